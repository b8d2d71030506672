//! What a certificate says of its holder: for what names it stands, and until when.
//!
//! Nothing is verified here. rustls has done that for whatever comes from a handshake; our own
//! files are believed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::clock::Timestamp;

/// A name for which a certificate stands, by its extension `subjectAltName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Of a machine. In lower case, since case means nothing in it.
    Dns(String),
    /// Such as `spiffe://ward.example/dashboard`.
    Uri(String),
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name in a certificate, such as \"DNS:dashboard.ward.example\" or \"URI:…\"")]
pub struct InvalidName(String);

impl FromStr for Name {
    type Err = InvalidName;

    /// As openssl writes them: `DNS:…` or `URI:…`. A wildcard names nobody.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |name: &&str| !name.is_empty() && !name.contains(char::is_whitespace);
        if let Some(name) = text.strip_prefix("DNS:").filter(is_name)
            && !name.contains('*')
        {
            return Ok(Self::Dns(name.to_ascii_lowercase()));
        }
        let uri = text.strip_prefix("URI:").filter(is_name).filter(|uri| uri.contains(':'));
        uri.map(|uri| Self::Uri(uri.to_owned())).ok_or_else(|| InvalidName(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(name) => write!(f, "URI:{name}"),
        }
    }
}

/// A certificate, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// For what it stands; other kinds of names are left out.
    pub names: Vec<Name>,
    /// Whose it is, in words, for logs.
    pub subject: String,
    /// The last moment at which it is valid.
    pub not_after: Timestamp,
}

/// Why a certificate can't be read.
#[derive(Debug, thiserror::Error)]
#[error("it is no X.509 certificate: {0}")]
pub struct Unreadable(#[from] x509_cert::der::Error);

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(certificate: &CertificateDer<'_>) -> Result<Self, Unreadable> {
        let parsed = x509_cert::Certificate::from_der(certificate)?;
        let signed = parsed.tbs_certificate();
        let names = signed.get_extension::<SubjectAltName>()?;
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        Ok(Self {
            names: names.iter().filter_map(name).collect(),
            subject: signed.subject().to_string(),
            not_after: instant(signed.validity().not_after.to_unix_duration()),
        })
    }
}

fn name(name: &GeneralName) -> Option<Name> {
    match name {
        GeneralName::DnsName(name) => Some(Name::Dns(name.as_str().to_ascii_lowercase())),
        GeneralName::UniformResourceIdentifier(uri) => Some(Name::Uri(uri.as_str().to_owned())),
        _ => None,
    }
}

/// "No end", 99991231235959Z, lies within what can be said.
fn instant(since_1970: Duration) -> Timestamp {
    Timestamp::EPOCH.plus(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::trial::{Authority, Issue};

    #[test]
    fn a_certificate_says_its_names_and_its_end() {
        let authority = Authority::new("trial");
        let issue = Issue {
            dns: &["Dashboard.ward.example", "*.ward.example"],
            uri: &["spiffe://ward.example/Dash"],
            ..Issue::named("dash")
        };
        let issued = authority.issue(&issue);
        let certificate = Certificate::parse(issued.der()).expect("readable");
        assert_eq!(
            certificate.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["DNS:dashboard.ward.example", "DNS:*.ward.example", "URI:spiffe://ward.example/Dash"]
        );
        assert_eq!(certificate.not_after, issue.not_after);
        assert_eq!(certificate.subject, "CN=dash");
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for bytes in [&b""[..], b"0", &[0x30, 0x80], &[0x30, 3, 2, 1, 1], &[0xff; 300]] {
            assert!(Certificate::parse(&CertificateDer::from(bytes)).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_name_is_dns_or_uri_and_never_a_wildcard() {
        let read = |text: &str| text.parse::<Name>();
        assert_eq!(read("DNS:Dash.Ward"), Ok(Name::Dns("dash.ward".into())));
        assert_eq!(read("URI:urn:x:Dash"), Ok(Name::Uri("urn:x:Dash".into())));
        for wrong in ["dash.ward", "DNS:", "DNS:*.ward", "DNS:a b", "URI:dash", "IP:127.0.0.1", ""]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
