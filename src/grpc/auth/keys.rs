//! The keys of who makes tokens: a JSON Web Key Set, as far as we can use it.
//!
//! Each key verifies tokens of one algorithm, told by its kind: RSA of RS256, the curve P-256 of
//! ES256, Ed25519 of EdDSA. A token can't choose another for it, so that no public key is ever taken
//! for a secret. Keys of other kinds, for other uses, and secrets are passed over.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Providers publish the key of today and that of tomorrow; no set has so many.
const KEYS_MAX: usize = 64;

/// Why there are no keys in a text.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeys {
    /// It is something else.
    #[error("is no JSON Web Key Set")]
    Json(#[source] serde_json::Error),
    /// Nothing in it helps.
    #[error(
        "holds no key that verifies tokens; known are RSA (RS256), P-256 (ES256), Ed25519 (EdDSA)"
    )]
    NoneUsable,
}

/// Keys that verify tokens.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish()
    }
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<Value>,
}

impl KeySet {
    /// The usable keys of a JSON Web Key Set.
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidKeys> {
        let Listed { keys } = serde_json::from_slice(json).map_err(InvalidKeys::Json)?;
        let keys: Vec<_> = keys.into_iter().filter_map(usable).take(KEYS_MAX).collect();
        if keys.is_empty() { Err(InvalidKeys::NoneUsable) } else { Ok(Self { keys }) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key that a token of this algorithm names; one that names none is verified only where
    /// there is no choice.
    pub(super) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&DecodingKey> {
        let mut of_algorithm = self.keys.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => of_algorithm.find(|key| key.id.as_deref() == Some(id)),
            None => of_algorithm.next().filter(|_| of_algorithm.next().is_none()),
        }
        .map(|key| &key.key)
    }
}

fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_it =
        common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let verifies = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|it| it.contains(&KeyOperations::Verify));
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_it && verifies)?;
    Some(Key { id: jwk.common.key_id, algorithm, key })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grpc::tests::tokens::{Signer, jwks};

    fn check(key: &Value, algorithm: Algorithm, is_usable: bool) {
        let found = KeySet::parse(jwks(std::slice::from_ref(key)).as_bytes())
            .is_ok_and(|keys| keys.find(algorithm, None).is_some());
        assert_eq!(found, is_usable, "{key} {algorithm:?}");
    }

    fn with(key: &Value, field: &str, value: Value) -> Value {
        let mut key = key.clone();
        key[field] = value;
        key
    }

    #[test]
    fn a_key_verifies_tokens_of_its_one_algorithm() {
        for (signer, own) in [
            (Signer::rsa("k"), Algorithm::RS256),
            (Signer::p256("k"), Algorithm::ES256),
            (Signer::ed25519("k"), Algorithm::EdDSA),
        ] {
            for algorithm in [
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::PS256,
                Algorithm::ES256,
                Algorithm::EdDSA,
                Algorithm::HS256,
            ] {
                check(&signer.public(), algorithm, algorithm == own);
            }
        }
    }

    #[test]
    fn a_key_for_something_else_is_passed_over() {
        let key = Signer::ed25519("k").public();
        check(&with(&key, "use", json!("sig")), Algorithm::EdDSA, true);
        check(&with(&key, "use", json!("enc")), Algorithm::EdDSA, false);
        check(&with(&key, "key_ops", json!(["verify"])), Algorithm::EdDSA, true);
        check(&with(&key, "key_ops", json!(["sign"])), Algorithm::EdDSA, false);
        check(&with(&key, "alg", json!("EdDSA")), Algorithm::EdDSA, true);
        check(&with(&key, "alg", json!("ES256")), Algorithm::EdDSA, false);
        check(&json!({ "kty": "oct", "k": "c2VjcmV0" }), Algorithm::HS256, false);
    }

    #[test]
    fn a_key_that_we_do_not_know_does_not_take_the_others_along() {
        let (odd, key) = (json!({ "kty": "new", "q": 1 }), Signer::ed25519("k").public());
        let keys = KeySet::parse(jwks(&[odd, json!(7), key]).as_bytes()).expect("one is usable");
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_token_names_its_key_unless_there_is_only_one() {
        let (a, b) = (Signer::ed25519("a").public(), Signer::ed25519("b").public());
        let keys = KeySet::parse(jwks(&[a.clone(), b]).as_bytes()).expect("keys");
        let finds = |id| keys.find(Algorithm::EdDSA, id).is_some();
        assert!(finds(Some("a")) && finds(Some("b")) && !finds(Some("c")) && !finds(None));
        let only = KeySet::parse(jwks(&[a]).as_bytes()).expect("keys");
        assert!(only.find(Algorithm::EdDSA, None).is_some());
        assert!(only.find(Algorithm::EdDSA, Some("b")).is_none());
    }

    #[test]
    fn what_holds_no_key_is_refused() {
        for text in ["", "{}", "[]", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"eA\"}]}"]
        {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
