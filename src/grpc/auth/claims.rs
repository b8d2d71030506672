//! What a token says: for whom it was made and until when, and who brings it.
//!
//! Promises: a claim that is missing or of the wrong kind is refused, never guessed; a caller sees
//! all sites only if the token says so by `"*"`, and only as an administrator or auditor: who cares
//! for patients has sites that can be listed. Nothing here looks at the signature.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::refusal::Refused;
use crate::clock::Timestamp;
use crate::engine::input::{Principal, Role, Sites};
use crate::vitals::SiteId;

/// Longer subjects would be cut on record, and then be one another's.
const SUBJECT_BYTES_MAX: usize = 256;
/// They travel with every command.
const SITES_MAX: usize = 256;
/// The one entry that stands for every site.
const ALL_SITES: &str = "*";

/// What tokens must say, and where they say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who makes them.
    pub issuer: String,
    /// Whom they are made for.
    pub audience: String,
    /// How far the clock of who makes them may be off.
    pub leeway: Duration,
    /// The claim that says the role.
    pub role_claim: String,
    /// The claim that lists the sites.
    pub sites_claim: String,
}

type Claims = Map<String, Value>;

impl Expected {
    /// Who brings a token with these claims, and until when they are known.
    pub(super) fn read(
        &self,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<(Principal, Timestamp), Refused> {
        if claims.get("iss").and_then(Value::as_str) != Some(&*self.issuer) {
            return Err(Refused::TokenIssuer);
        }
        if !is_among(claims.get("aud"), &self.audience) {
            return Err(Refused::TokenAudience);
        }
        let until = self.time(claims, now)?;
        let subject = subject(claims)?;
        let role = self.role(claims)?;
        let sites = self.sites(claims, role)?;
        Ok((Principal { subject, role, sites }, until))
    }

    /// Until when the token is good, if it is now.
    fn time(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, Refused> {
        let from = claims.get("nbf").map(|value| instant("nbf", value)).transpose()?;
        if from.is_some_and(|from| from > now.plus(self.leeway)) {
            return Err(Refused::TokenNotYetValid);
        }
        let expiry = claims.get("exp").ok_or_else(|| wrong("exp", "is missing"))?;
        let until = instant("exp", expiry)?.plus(self.leeway);
        if until > now { Ok(until) } else { Err(Refused::TokenExpired) }
    }

    fn role(&self, claims: &Claims) -> Result<Role, Refused> {
        let claim = &*self.role_claim;
        let name = claims.get(claim).ok_or_else(|| wrong(claim, "is missing"))?.as_str();
        let role = Role::ALL.into_iter().find(|role| Some(role.name()) == name);
        role.ok_or_else(|| {
            wrong(claim, "is none of viewer, clinician, device_admin, admin, auditor")
        })
    }

    fn sites(&self, claims: &Claims, role: Role) -> Result<Sites, Refused> {
        let claim = &*self.sites_claim;
        let listed = claims.get(claim).ok_or_else(|| wrong(claim, "is missing"))?;
        let listed = listed.as_array().ok_or_else(|| wrong(claim, "is no list of site ids"))?;
        if let [only] = listed.as_slice()
            && only == ALL_SITES
        {
            return match role {
                Role::Admin | Role::Auditor => Ok(Sites::All),
                Role::Viewer | Role::Clinician | Role::DeviceAdmin => {
                    Err(wrong(claim, "is \"*\", which is for the roles admin and auditor only"))
                }
            };
        }
        if listed.len() > SITES_MAX {
            return Err(wrong(claim, "lists more than 256 sites"));
        }
        let id = |value: &Value| SiteId::new(value.as_str()?).ok();
        let ids: Option<BTreeSet<_>> = listed.iter().map(id).collect();
        // In order, and each once: the same sites are the same scope, in whichever order they come.
        let ids = ids.ok_or_else(|| wrong(claim, "holds something that is no site id"))?;
        Ok(Sites::Only(ids.into_iter().collect()))
    }
}

fn wrong(claim: &str, problem: &'static str) -> Refused {
    Refused::TokenClaims { claim: claim.to_owned(), problem }
}

fn is_among(audiences: Option<&Value>, audience: &str) -> bool {
    match audiences {
        Some(Value::String(only)) => only == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        _ => false,
    }
}

fn subject(claims: &Claims) -> Result<String, Refused> {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if subject.is_empty() {
        return Err(wrong("sub", "is missing"));
    }
    if subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(wrong("sub", "is longer than 256 bytes, or holds control characters"));
    }
    Ok(subject.to_owned())
}

/// RFC 7519's NumericDate: seconds since 1970, at times with a fraction.
fn instant(claim: &str, value: &Value) -> Result<Timestamp, Refused> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| wrong(claim, "is no time in seconds since 1970"))?;
    Ok(Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds)))
}

/// The end of the year 9999.
const MAX_SECONDS: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn expected() -> Expected {
        Expected {
            issuer: "https://id.example".to_owned(),
            audience: "pulseward".to_owned(),
            leeway: Duration::from_secs(30),
            role_claim: "role".to_owned(),
            sites_claim: "sites".to_owned(),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.example", "aud": "pulseward", "exp": 1_000_060, "sub": "nora",
            "role": "clinician", "sites": ["north"],
        })
    }

    fn with(claim: &str, value: Value) -> Value {
        let mut claims = good();
        claims[claim] = value;
        claims
    }

    fn without(claim: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().expect("an object").remove(claim);
        claims
    }

    fn read(claims: &Value) -> Result<(Principal, Timestamp), Refused> {
        expected().read(claims.as_object().expect("an object"), NOW)
    }

    fn check(claims: &Value, reason: &str) {
        let found = read(claims).map_or_else(|refused| refused.reason(), |_| "");
        assert_eq!(found, reason, "{claims}");
    }

    fn sites(ids: &[&str]) -> Sites {
        Sites::Only(ids.iter().map(|id| id.parse().expect("an id")).collect())
    }

    #[test]
    fn a_token_says_who_brings_it_and_until_when() {
        let (principal, until) = read(&good()).expect("good");
        let expected =
            Principal { subject: "nora".into(), role: Role::Clinician, sites: sites(&["north"]) };
        assert_eq!(principal, expected);
        assert_eq!(until, Timestamp::from_seconds(1_000_090));
    }

    #[test]
    fn a_token_for_others_or_of_others_is_refused() {
        for audience in [json!("other"), json!(["a", "b"]), json!([]), json!(7), json!(null)] {
            check(&with("aud", audience), "TOKEN_AUDIENCE");
        }
        check(&without("aud"), "TOKEN_AUDIENCE");
        check(&with("aud", json!(["account", "pulseward"])), "");
        check(&with("iss", json!("https://id.example/")), "TOKEN_ISSUER");
        check(&without("iss"), "TOKEN_ISSUER");
    }

    #[test]
    fn a_token_is_good_from_its_beginning_to_its_end_give_or_take_the_leeway() {
        for (expiry, reason) in
            [(999_969, "TOKEN_EXPIRED"), (999_970, "TOKEN_EXPIRED"), (999_971, ""), (2_000_000, "")]
        {
            check(&with("exp", json!(expiry)), reason);
        }
        check(&without("exp"), "TOKEN_CLAIMS");
        check(&with("exp", json!("soon")), "TOKEN_CLAIMS");
        check(&with("exp", json!(-1)), "TOKEN_CLAIMS");
        check(&with("exp", json!(1e300)), "TOKEN_CLAIMS");
        check(&with("exp", json!(1_000_000.5)), "");
        check(&with("nbf", json!(1_000_030)), "");
        check(&with("nbf", json!(1_000_031)), "TOKEN_NOT_YET_VALID");
    }

    #[test]
    fn a_caller_needs_a_name_a_role_and_sites() {
        for claim in ["sub", "role", "sites"] {
            check(&without(claim), "TOKEN_CLAIMS");
            check(&with(claim, json!(7)), "TOKEN_CLAIMS");
        }
        check(&with("sub", json!("")), "TOKEN_CLAIMS");
        check(&with("sub", json!("x".repeat(257))), "TOKEN_CLAIMS");
        check(&with("sub", json!("a\nb")), "TOKEN_CLAIMS");
        check(&with("role", json!("Admin")), "TOKEN_CLAIMS");
        check(&with("role", json!(["admin"])), "TOKEN_CLAIMS");
        check(&with("sites", json!("north")), "TOKEN_CLAIMS");
        check(&with("sites", json!(["a b"])), "TOKEN_CLAIMS");
        check(&with("sites", json!(vec!["x"; 257])), "TOKEN_CLAIMS");
    }

    #[test]
    fn sites_are_the_same_in_whichever_order_they_are_listed() {
        let read = |listed: Value| read(&with("sites", listed)).expect("good").0.sites;
        assert_eq!(read(json!(["south", "north", "south"])), sites(&["north", "south"]));
        assert_eq!(read(json!([])), sites(&[]));
    }

    #[test]
    fn all_sites_are_for_administrators_and_auditors_only() {
        for role in Role::ALL {
            let mut claims = with("sites", json!(["*"]));
            claims["role"] = json!(role.name());
            let found = read(&claims).map(|(principal, _)| principal.sites);
            match role {
                Role::Admin | Role::Auditor => assert_eq!(found, Ok(Sites::All)),
                _ => assert!(found.is_err(), "{role:?}"),
            }
        }
        check(&with("sites", json!(["north", "*"])), "TOKEN_CLAIMS");
    }

    #[test]
    fn claims_have_the_names_that_are_configured() {
        let elsewhere = Expected {
            role_claim: "https://clinic.example/role".to_owned(),
            sites_claim: "wards".to_owned(),
            ..expected()
        };
        let mut claims = with("https://clinic.example/role", json!("viewer"));
        claims["wards"] = json!(["south"]);
        let (principal, _) =
            elsewhere.read(claims.as_object().expect("an object"), NOW).expect("ok");
        assert_eq!((principal.role, principal.sites), (Role::Viewer, sites(&["south"])));
    }
}
