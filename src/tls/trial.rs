//! Certificates for tests: an authority, and what it issues, in files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::Pair;
use crate::clock::{Clock as _, SystemClock, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Issues certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is issued.
pub(crate) struct Issue<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) dns: &'a [&'a str],
    pub(crate) uri: &'a [&'a str],
    pub(crate) not_after: Timestamp,
}

impl Issue<'_> {
    /// For localhost, and for thirty days.
    pub(crate) fn named(common_name: &str) -> Issue<'_> {
        let not_after = in_days(30);
        Issue { common_name, dns: &["localhost"], uri: &[], not_after }
    }
}

/// Midnight is midnight of every test: certificates know whole seconds only.
pub(crate) fn in_days(days: u32) -> Timestamp {
    let now = SystemClock.now();
    let second = now.micros() - now.micros() % 1_000_000;
    Timestamp::from_micros(second).expect("the present can be said").plus(DAY * days)
}

/// A certificate and its key.
pub(crate) struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Issued {
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    pub(crate) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, issue: &Issue<'_>) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, issue.common_name);
        let dns = issue.dns.iter().map(|name| SanType::DnsName((*name).try_into().expect("ASCII")));
        let uri = issue.uri.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII")));
        params.subject_alt_names = dns.chain(uri).collect();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let seconds = i32::try_from(issue.not_after.micros() / 1_000_000).expect("before 2038");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(u64::try_from(seconds).expect("after 1970"));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("issued");
        Issued { certificate, key }
    }
}

/// A directory with an authority's file and a pair's.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    pub(crate) fn of(authority: &Authority, issued: &Issued) -> Self {
        let files = Self { dir: TempDir::new().expect("temporary directory") };
        files.write("ca.pem", &authority.pem());
        files.replace(issued);
        files
    }

    /// Replaces the pair.
    pub(crate) fn replace(&self, issued: &Issued) {
        self.write("certificate.pem", &issued.certificate_pem());
        self.write("key.pem", &issued.key_pem());
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(crate) fn pair(&self) -> Pair {
        Pair { certificate: self.path("certificate.pem"), key: self.path("key.pem") }
    }
}
