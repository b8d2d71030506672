//! Who makes tokens for callers: a key of its own, and the key set that the service reads.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "pulseward";

/// An identity provider.
pub(crate) struct Issuer {
    key: EncodingKey,
    jwks: NamedTempFile,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "x": x });
        let jwks = NamedTempFile::new().expect("a file");
        std::fs::write(jwks.path(), json!({ "keys": [key] }).to_string()).expect("written");
        Self { key: EncodingKey::from_ed_der(der.as_ref()), jwks }
    }

    /// The variables by which a service believes its tokens.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PULSEWARD_AUTH__MODE", "jwt".to_owned()),
            ("PULSEWARD_AUTH__ISSUER", ISSUER.to_owned()),
            ("PULSEWARD_AUTH__AUDIENCE", AUDIENCE.to_owned()),
            ("PULSEWARD_AUTH__JWKS", self.jwks.path().display().to_string()),
        ]
    }

    /// A token that is good for an hour.
    pub(crate) fn token(&self, subject: &str, role: &str, sites: &[&str]) -> String {
        self.token_with(subject, role, sites, |_| {})
    }

    /// The same, with other claims.
    pub(crate) fn token_with(
        &self,
        subject: &str,
        role: &str,
        sites: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": Timestamp::now().as_second() + 3600,
            "sub": subject, "role": role, "sites": sites,
        });
        change(&mut claims);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("k".to_owned());
        encode(&header, &claims, &self.key).expect("signed")
    }
}
