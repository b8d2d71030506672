//! `[auth]`: who may call, and how that is known.
//!
//! A token is believed for its signature, so that either the keys of who signs them are configured
//! (`jwks`), or a secret that is shared with them (`hs256_secret_file`), or both.
//! For whom a token was made (`audience`) and by whom (`issuer`) must be said: a token that the same
//! provider made for another program is not for us.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use super::url::Jwks;
use super::{CertificateCaller, Period, Secret, SecretError, tls};

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Auth {
    /// How callers are known. Default `none`.
    pub mode: AuthMode,
    /// Who makes the tokens: their claim `iss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whom they are made for: one of their claim `aud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Where the keys of who makes them are, a JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// The authorities, PEM, who may vouch for the server of `jwks`. Default the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    /// How often the keys are read again. Default 10 min.
    pub jwks_refresh: Period,
    /// The file that holds the secret with which tokens are signed by HS256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hs256_secret_file: Option<PathBuf>,
    /// How far the clock of who makes tokens may be off. Default 30 s.
    pub leeway: Period,
    /// The claim that says the role. Default `role`.
    pub role_claim: String,
    /// The claim that lists the sites. Default `sites`.
    pub sites_claim: String,
    /// Refused calls of one address that go on record one by one each minute. Default 60.
    pub refusals_recorded_per_minute: u32,
    /// Machines that are known by their certificates. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateCaller>,
}

/// How callers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum AuthMode {
    /// Not at all: whoever reaches the port may do everything. On loopback only.
    None,
    /// By the token that they bring, or by their certificate.
    Jwt,
    /// By their certificate alone.
    Certificates,
}

impl TryFrom<String> for AuthMode {
    type Error = String;

    fn try_from(mode: String) -> Result<Self, Self::Error> {
        match mode.as_str() {
            "none" => Ok(Self::None),
            "jwt" => Ok(Self::Jwt),
            "certificates" => Ok(Self::Certificates),
            _ => Err(format!(
                "{mode:?} is no way to know callers; known are \"none\", \"jwt\", \"certificates\""
            )),
        }
    }
}

impl Auth {
    /// A key that was taken back is believed no longer than this, where its server answers; and the
    /// server is asked 6 times an hour.
    const JWKS_REFRESH_DEFAULT: Period = Period(Duration::from_secs(10 * 60));
    /// More often would be a burden to the server.
    const JWKS_REFRESH_MIN: Period = Period(Duration::from_secs(10));
    /// A key that was taken back must not be believed for longer.
    const JWKS_REFRESH_MAX: Period = Period(Duration::from_secs(24 * 60 * 60));
    /// Clocks that are set by NTP are closer.
    const LEEWAY_DEFAULT: Period = Period(Duration::from_secs(30));
    /// More is no inexact clock, but tokens that live too long.
    const LEEWAY_MAX: Period = Period(Duration::from_secs(5 * 60));
    /// A client that has lost its token tries again every second.
    const REFUSALS_RECORDED_DEFAULT: u32 = 60;
    /// As many as the journal takes without feeling it.
    const REFUSALS_RECORDED_MAX: u32 = 60_000;
    /// RFC 7518, 3.2: not shorter than what HS256 puts out.
    const SECRET_BYTES_MIN: usize = 32;

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let refusals = Self::REFUSALS_RECORDED_DEFAULT;
        Self {
            mode: reader.or("auth", "mode", AuthMode::None),
            issuer: reader.optional("auth", "issuer"),
            audience: reader.optional("auth", "audience"),
            jwks: reader.optional("auth", "jwks"),
            jwks_ca_file: reader.optional("auth", "jwks_ca_file"),
            jwks_refresh: reader.or("auth", "jwks_refresh", Self::JWKS_REFRESH_DEFAULT),
            hs256_secret_file: reader.optional("auth", "hs256_secret_file"),
            leeway: reader.or("auth", "leeway", Self::LEEWAY_DEFAULT),
            role_claim: reader.or("auth", "role_claim", "role".to_owned()),
            sites_claim: reader.or("auth", "sites_claim", "sites".to_owned()),
            refusals_recorded_per_minute: reader.or(
                "auth",
                "refusals_recorded_per_minute",
                refusals,
            ),
            certificates: reader.or("auth", "certificates", Vec::new()),
        }
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>, has_client_ca: bool) {
        tls::check_callers(reader, &self.certificates, has_client_ca);
        if self.mode == AuthMode::Certificates && self.certificates.is_empty() {
            let problem = "auth.mode = \"certificates\" needs it: who may call";
            reader.refuse("auth", "certificates", problem);
        }
        if self.mode == AuthMode::Jwt {
            self.check_tokens(reader);
        }
        if self.jwks_ca_file.is_some() && !self.jwks.as_ref().is_some_and(Jwks::is_https) {
            reader.refuse("auth", "jwks_ca_file", "needs auth.jwks to be an address, https://…");
        }
        let (least, most) = (Self::JWKS_REFRESH_MIN, Self::JWKS_REFRESH_MAX);
        if !(least..=most).contains(&self.jwks_refresh) {
            reader.refuse("auth", "jwks_refresh", format!("must be {least} to {most}"));
        }
        if self.leeway > Self::LEEWAY_MAX {
            let most = Self::LEEWAY_MAX;
            reader.refuse("auth", "leeway", format!("must be {most} or less"));
        }
        for (key, claim) in [("role_claim", &self.role_claim), ("sites_claim", &self.sites_claim)] {
            if claim.is_empty() {
                reader.refuse("auth", key, "a claim has a name");
            }
        }
        let most = Self::REFUSALS_RECORDED_MAX;
        if !(1..=most).contains(&self.refusals_recorded_per_minute) {
            let problem = format!("must be 1 to {most}");
            reader.refuse("auth", "refusals_recorded_per_minute", problem);
        }
    }

    /// What must be there to believe a token.
    fn check_tokens(&self, reader: &mut Reader<'_>) {
        for (key, value, what) in [
            ("issuer", &self.issuer, "who makes the tokens, as their claim iss says it"),
            ("audience", &self.audience, "whom they are made for, as their claim aud says it"),
        ] {
            if value.as_ref().is_none_or(String::is_empty) {
                let problem = format!("auth.mode = \"jwt\" needs it: {what}");
                reader.refuse("auth", key, problem);
            }
        }
        if self.jwks.is_none() && self.hs256_secret_file.is_none() {
            let problem = "\"jwt\" needs keys: set auth.jwks or auth.hs256_secret_file";
            reader.refuse("auth", "mode", problem);
        }
    }

    /// The shared secret, if one is configured.
    ///
    /// # Errors
    /// When its file can't be read, or the secret is too short to be one.
    pub fn secret(&self) -> Result<Option<Secret>, SecretError> {
        let Some(path) = self.hs256_secret_file.as_deref() else { return Ok(None) };
        let secret = Secret::read(path)?;
        if secret.expose().len() < Self::SECRET_BYTES_MIN {
            let (path, bytes_min) = (path.to_owned(), Self::SECRET_BYTES_MIN);
            return Err(SecretError::TooShort { path, bytes_min });
        }
        Ok(Some(secret))
    }
}
