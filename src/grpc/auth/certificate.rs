//! Machines that are known by their certificates: dashboards on a wall, gateways of other systems.
//!
//! A handshake has shown that the caller holds the key of a certificate of an authority whom we
//! trust for this ([`tls::server::Files::client_ca`](crate::tls::server::Files)). Promises: that
//! alone lets nobody in. The certificate must stand for a name that the configuration lists, by
//! its `subjectAltName` and exactly; its subject, which authorities fill in as they like, is only
//! for logs. It is looked at anew for each call, so that a caller is known no longer than their
//! certificate is valid, however long their connection lasts.

use crate::clock::Timestamp;
use crate::engine::input::{Principal, Role, Sites};
use crate::tls::peer::{Certificate, Name};

/// A machine that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in its certificate.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Where it may do it.
    pub sites: Sites,
}

/// The machines that may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers(Vec<Caller>);

impl FromIterator<Caller> for Callers {
    fn from_iter<I: IntoIterator<Item = Caller>>(callers: I) -> Self {
        Self(callers.into_iter().collect())
    }
}

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who it is. The subject is the listed name, `DNS:…` or `URI:…`, which no token's should be.
    pub principal: Principal,
    /// Until when: the end of the certificate.
    pub until: Timestamp,
}

/// Why a certificate that was verified lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was valid at the handshake, and no longer is.
    #[error("the certificate has expired; connect again with a new one")]
    Expired,
    /// It stands for nobody who may call.
    #[error("the certificate is of nobody who may call")]
    NotListed,
    /// It stands for several who may call, and which of them asks can't be told.
    #[error("the certificate is of several who may call; each needs its own")]
    Ambiguous,
}

impl Callers {
    /// Whether nobody is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who shows this certificate, which has been verified, now.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn know(&self, certificate: &Certificate, now: Timestamp) -> Result<Known, Refused> {
        if certificate.not_after < now {
            return Err(Refused::Expired);
        }
        let mut listed = self.0.iter().filter(|caller| certificate.names.contains(&caller.name));
        let caller = listed.next().ok_or(Refused::NotListed)?;
        if listed.next().is_some() {
            return Err(Refused::Ambiguous);
        }
        let Caller { name, role, sites } = caller;
        let principal = Principal { subject: name.to_string(), role: *role, sites: sites.clone() };
        Ok(Known { principal, until: certificate.not_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::SiteId;

    const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn callers() -> Callers {
        let ward = Sites::Only(vec![SiteId::new("ward-7").expect("valid")]);
        let caller = |text: &str, role, sites| Caller { name: name(text), role, sites };
        [
            caller("DNS:dash.ward.example", Role::Viewer, ward),
            caller("URI:spiffe://ward.example/export", Role::Auditor, Sites::All),
        ]
        .into_iter()
        .collect()
    }

    fn check(names: &[&str], expected: Result<&str, Refused>) {
        let certificate = Certificate {
            names: names.iter().map(|text| name(text)).collect(),
            subject: "CN=dash.ward.example".to_owned(),
            not_after: NOON,
        };
        let known = callers().know(&certificate, NOON).map(|known| {
            assert_eq!(known.until, NOON);
            known.principal.subject
        });
        assert_eq!(known, expected.map(str::to_owned), "{names:?}");
    }

    #[test]
    fn a_caller_is_who_their_certificate_names_exactly() {
        check(&["DNS:dash.ward.example"], Ok("DNS:dash.ward.example"));
        check(&["DNS:DASH.ward.example"], Ok("DNS:dash.ward.example"));
        check(&["DNS:x", "DNS:dash.ward.example"], Ok("DNS:dash.ward.example"));
        check(&["URI:spiffe://ward.example/export"], Ok("URI:spiffe://ward.example/export"));
        for other in ["DNS:ward.example", "DNS:a.dash.ward.example", "DNS:dash.ward.example.evil"] {
            check(&[other], Err(Refused::NotListed));
        }
        check(&["URI:spiffe://ward.example/Export"], Err(Refused::NotListed));
        check(&["URI:DNS:dash.ward.example"], Err(Refused::NotListed));
        check(&[], Err(Refused::NotListed));
    }

    #[test]
    fn a_certificate_of_two_who_may_call_is_of_neither() {
        let both = ["DNS:dash.ward.example", "URI:spiffe://ward.example/export"];
        check(&both, Err(Refused::Ambiguous));
    }

    #[test]
    fn a_wildcard_is_a_name_like_others_and_nobodys() {
        let certificate = Certificate {
            names: vec![Name::Dns("*.ward.example".to_owned())],
            subject: String::new(),
            not_after: NOON,
        };
        assert_eq!(callers().know(&certificate, NOON), Err(Refused::NotListed));
    }

    #[test]
    fn a_caller_is_known_no_longer_than_their_certificate_is_valid() {
        let certificate = Certificate {
            names: vec![name("DNS:dash.ward.example")],
            subject: String::new(),
            not_after: NOON,
        };
        assert!(callers().know(&certificate, NOON).is_ok());
        let later = NOON.plus(std::time::Duration::from_secs(1));
        assert_eq!(callers().know(&certificate, later), Err(Refused::Expired));
    }

    #[test]
    fn the_role_and_the_sites_are_those_of_the_list() {
        let certificate = Certificate {
            names: vec![name("DNS:dash.ward.example")],
            subject: String::new(),
            not_after: NOON,
        };
        let known = callers().know(&certificate, NOON).expect("listed");
        assert_eq!(known.principal.role, Role::Viewer);
        assert!(known.principal.sites.include(&SiteId::new("ward-7").expect("valid")));
        assert!(!known.principal.sites.include(&SiteId::new("ward-8").expect("valid")));
    }
}
