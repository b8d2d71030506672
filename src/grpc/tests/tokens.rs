//! Tokens of tests, and who signs them: keys that are made as they are needed, and kept nowhere.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::clock::{Clock as _, SystemClock};
use crate::grpc::auth::Expected;

/// Long enough for HS256.
pub(in crate::grpc) const SECRET: &str = "a secret of thirty-two bytes and some";

/// Who signs tokens.
pub(in crate::grpc) struct Signer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    public: Value,
}

impl Signer {
    /// By RS256.
    pub(in crate::grpc) fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        let public = json!({ "kty": "RSA", "kid": id, "n": base64(n), "e": base64(e) });
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key");
        // What it wants is the PKCS #1 key within, behind the header that every such key has.
        let key = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        Self { id: id.to_owned(), algorithm: Algorithm::RS256, key, public }
    }

    /// By ES256.
    pub(in crate::grpc) fn p256(id: &str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(kind, der.as_ref()).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        let public = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y });
        let key = EncodingKey::from_ec_der(der.as_ref());
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, key, public }
    }

    /// By EdDSA.
    pub(in crate::grpc) fn ed25519(id: &str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key");
        let x = base64(pair.public_key().as_ref());
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x });
        let key = EncodingKey::from_ed_der(der.as_ref());
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, key, public }
    }

    /// By HS256.
    pub(in crate::grpc) fn secret(secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self { id: "s".to_owned(), algorithm: Algorithm::HS256, key, public: Value::Null }
    }

    /// Its key, as a key set lists it.
    pub(in crate::grpc) fn public(&self) -> Value {
        self.public.clone()
    }

    /// A token that says this.
    pub(in crate::grpc) fn sign(&self, claims: &Value) -> String {
        self.sign_with(claims, |_| {})
    }

    /// The same, with something else in its header.
    pub(in crate::grpc) fn sign_with(
        &self,
        claims: &Value,
        change: impl FnOnce(&mut Header),
    ) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        change(&mut header);
        encode(&header, claims, &self.key).expect("signed")
    }
}

/// A key set of these keys.
pub(in crate::grpc) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// What tokens must say.
pub(in crate::grpc) fn expected() -> Expected {
    Expected {
        issuer: "https://id.example".to_owned(),
        audience: "pulseward".to_owned(),
        leeway: Duration::from_secs(30),
        role_claim: "role".to_owned(),
        sites_claim: "sites".to_owned(),
    }
}

/// What a good token says.
pub(in crate::grpc) fn claims() -> Value {
    let in_an_hour = SystemClock.now().micros() / 1_000_000 + 3600;
    json!({
        "iss": "https://id.example", "aud": "pulseward", "exp": in_an_hour, "sub": "nora",
        "role": "clinician", "sites": ["north"],
    })
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
