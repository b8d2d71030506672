//! `[mqtt.tls]`, `[store.tls]`, `[grpc.tls]`, `[http.tls]` and `auth.certificates`: the files of TLS,
//! and who calls by it.
//!
//! Files are named here and read where the service is put together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use crate::engine::input::{Role, Sites};
use crate::tls::Pair;
use crate::tls::peer::Name;
use crate::vitals::SiteId;

/// `[mqtt.tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MqttTls {
    /// The authorities of the broker's certificate. Default those of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, for a broker that wants one. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The name that the broker's certificate must stand for. Default the host of `mqtt.url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl MqttTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ca: reader.optional("mqtt.tls", "ca"),
            certificate: reader.optional("mqtt.tls", "certificate"),
            key: reader.optional("mqtt.tls", "key"),
            server_name: reader.optional("mqtt.tls", "server_name"),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>, is_encrypted: bool) {
        check_pair(reader, "mqtt.tls", &self.certificate, &self.key);
        let set = [
            ("ca", self.ca.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
            ("server_name", self.server_name.is_some()),
        ];
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set && !is_encrypted) {
            reader.refuse("mqtt.tls", key, "is of no use while mqtt.url begins with mqtt://");
        }
    }

    /// Our own certificate and key.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        pair(&self.certificate, &self.key)
    }
}

/// `[store.tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreTls {
    /// The authorities of the database's certificate. Default those of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, for a database that wants one. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl StoreTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ca: reader.optional("store.tls", "ca"),
            certificate: reader.optional("store.tls", "certificate"),
            key: reader.optional("store.tls", "key"),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>, is_encrypted: bool) {
        check_pair(reader, "store.tls", &self.certificate, &self.key);
        let set = [
            ("ca", self.ca.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
        ];
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set && !is_encrypted) {
            let problem =
                "is of no use without ?sslmode=verify-full behind a postgres:// store.url";
            reader.refuse("store.tls", key, problem);
        }
    }

    /// Our own certificate and key.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        pair(&self.certificate, &self.key)
    }
}

/// `[grpc.tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GrpcTls {
    /// The certificate that callers see. Default none: no TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities of callers' certificates. Default none: callers have no certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

impl GrpcTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            certificate: reader.optional("grpc.tls", "certificate"),
            key: reader.optional("grpc.tls", "key"),
            client_ca: reader.optional("grpc.tls", "client_ca"),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        check_pair(reader, "grpc.tls", &self.certificate, &self.key);
        if self.client_ca.is_some() && self.certificate.is_none() {
            reader.refuse("grpc.tls", "client_ca", "needs certificate and key beside it");
        }
    }

    /// The certificate that callers see, and its key.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        pair(&self.certificate, &self.key)
    }
}

/// `[http.tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HttpTls {
    /// The certificate that browsers see. Default none: no TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl HttpTls {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            certificate: reader.optional("http.tls", "certificate"),
            key: reader.optional("http.tls", "key"),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        check_pair(reader, "http.tls", &self.certificate, &self.key);
    }

    /// The certificate that browsers see, and its key.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        pair(&self.certificate, &self.key)
    }
}

/// A caller who is known by a certificate: one element of `auth.certificates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateCaller {
    /// The name in its certificate: `DNS:…` or `URI:…`.
    pub san: String,
    /// What it may do: viewer, clinician, `device_admin`, admin or auditor.
    pub role: String,
    /// The sites that it may see; `["*"]` for all, as admin or auditor.
    pub sites: Vec<String>,
}

impl CertificateCaller {
    /// Who it is, and what it may do where.
    ///
    /// # Errors
    /// What of it can't be.
    pub fn parse(&self) -> Result<(Name, Role, Sites), String> {
        let name = self.san.parse::<Name>().map_err(|invalid| invalid.to_string())?;
        let role =
            Role::ALL.into_iter().find(|role| role.name() == self.role).ok_or_else(|| {
                format!(
                    "{:?} is none of viewer, clinician, device_admin, admin, auditor",
                    self.role
                )
            })?;
        let sites = sites(&self.sites, role).map_err(|problem| format!("{name}: {problem}"))?;
        Ok((name, role, sites))
    }
}

/// As in tokens: who cares for patients has sites that can be listed.
fn sites(listed: &[String], role: Role) -> Result<Sites, &'static str> {
    if listed == ["*"] {
        return match role {
            Role::Admin | Role::Auditor => Ok(Sites::All),
            _ => Err("sites = [\"*\"] is for the roles admin and auditor only"),
        };
    }
    let ids: Option<BTreeSet<_>> = listed.iter().map(|id| SiteId::new(id.as_str()).ok()).collect();
    match ids {
        Some(ids) if !ids.is_empty() => Ok(Sites::Only(ids.into_iter().collect())),
        _ => Err("sites must be the ids of sites, one at least"),
    }
}

/// Checks the list as a whole, and each of it.
pub(super) fn check_callers(
    reader: &mut Reader<'_>,
    callers: &[CertificateCaller],
    has_client_ca: bool,
) {
    if !callers.is_empty() && !has_client_ca {
        let problem = "needs grpc.tls.client_ca, the authority of these certificates";
        reader.refuse("auth", "certificates", problem);
    }
    for (index, caller) in callers.iter().enumerate() {
        if let Err(problem) = caller.parse() {
            reader.refuse("auth", "certificates", problem);
        }
        let is_twin = |other: &&CertificateCaller| other.san.eq_ignore_ascii_case(&caller.san);
        if callers[..index].iter().any(|other| is_twin(&other)) {
            reader.refuse("auth", "certificates", format!("{:?} stands here twice", caller.san));
        }
    }
}

fn pair(certificate: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<Pair> {
    let (certificate, key) = (certificate.clone()?, key.clone()?);
    Some(Pair { certificate, key })
}

fn check_pair(
    reader: &mut Reader<'_>,
    section: &'static str,
    certificate: &Option<PathBuf>,
    key: &Option<PathBuf>,
) {
    match (certificate, key) {
        (Some(_), None) => reader.refuse(section, "certificate", "needs key beside it"),
        (None, Some(_)) => reader.refuse(section, "key", "needs certificate beside it"),
        _ => {}
    }
}
