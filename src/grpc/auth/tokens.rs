//! Bearer tokens: whose signature is believed, and then what they say.
//!
//! Promises: a token is read only once its signature was found right, by a key of the algorithm that
//! the token names, which is one of RS256, ES256, EdDSA, and HS256 where a secret is configured. No
//! token, and no part of one, is logged or told.

use std::collections::HashSet;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::claims::Expected;
use super::keeper::Keys;
use super::refusal::Refused;
use crate::clock::{Clock, Timestamp};
use crate::engine::input::Principal;

/// Providers that put all a person's groups into a token reach a few KiB.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Checks tokens.
pub(super) struct Tokens {
    expected: Expected,
    keys: Option<Keys>,
    /// The secret of HS256, if there is one.
    secret: Option<DecodingKey>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    pub(super) fn new(
        expected: Expected,
        keys: Option<Keys>,
        secret: Option<&[u8]>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { expected, keys, secret: secret.map(DecodingKey::from_secret), clock }
    }

    /// Who brings this token, and until when they are known. May wait for keys to be read. Cancel
    /// safe.
    pub(super) async fn check(&self, token: &str) -> Result<(Principal, Timestamp), Refused> {
        let header = header(token)?;
        let claims = if header.alg == Algorithm::HS256 {
            verified(token, header.alg, self.secret.as_ref())?
        } else {
            self.verified_by_keys(token, &header).await?
        };
        self.expected.read(&claims, self.clock.now())
    }

    async fn verified_by_keys(&self, token: &str, header: &Header) -> Result<Claims, Refused> {
        let keys = self.keys.as_ref().ok_or(Refused::TokenInvalid)?;
        let (algorithm, id) = (header.alg, header.kid.as_deref());
        if let Some(current) = keys.current()
            && let Some(key) = current.find(algorithm, id)
        {
            return verified(token, algorithm, Some(key));
        }
        // It may be a new one.
        let renewed = keys.renewed().await.ok_or(Refused::KeysUnavailable)?;
        verified(token, algorithm, renewed.find(algorithm, id))
    }
}

type Claims = Map<String, Value>;

fn header(token: &str) -> Result<Header, Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refused::TokenInvalid);
    }
    let header = decode_header(token).map_err(|_| Refused::TokenInvalid)?;
    // RFC 7515, 4.1.11: what has to be understood and is not makes it invalid. We understand none.
    if header.crit.is_some() { Err(Refused::TokenInvalid) } else { Ok(header) }
}

/// The claims of a token whose signature is right.
fn verified(
    token: &str,
    algorithm: Algorithm,
    key: Option<&DecodingKey>,
) -> Result<Claims, Refused> {
    let key = key.ok_or(Refused::TokenInvalid)?;
    let mut validation = Validation::new(algorithm);
    // The claims are checked by us, and by our clock.
    validation.required_spec_claims = HashSet::new();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let decoded = decode::<Claims>(token, key, &validation);
    decoded.map(|token| token.claims).map_err(|_| Refused::TokenInvalid)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::super::fetch::{Fetch, Source};
    use super::super::keeper;
    use super::*;
    use crate::clock::SystemClock;
    use crate::grpc::tests::tokens::{SECRET, Signer, claims, expected, jwks};

    /// Checks with these keys, and with the secret of HS256 if it is asked for.
    async fn tokens(signers: &[&Signer], has_secret: bool) -> (Tokens, CancellationToken) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
        std::fs::write(file.path(), jwks(&keys)).expect("written");
        let fetch = Fetch::new(&Source::File(file.path().to_owned())).expect("a file");
        let clock = Arc::new(SystemClock);
        let (keys, keeper) =
            keeper::channel(fetch, keeper::Pauses::new(Duration::from_secs(60)), clock.clone());
        let stop = CancellationToken::new();
        tokio::spawn(keeper.run(stop.clone()));
        keys.renewed().await;
        let secret = has_secret.then_some(SECRET.as_bytes());
        (Tokens::new(expected(), Some(keys), secret, clock), stop)
    }

    async fn check(tokens: &Tokens, token: &str, reason: &str) {
        let checked = tokens.check(token).await;
        assert_eq!(checked.map_or_else(|refused| refused.reason(), |_| ""), reason);
    }

    #[tokio::test]
    async fn a_token_is_believed_for_the_signature_of_a_key_that_is_known() {
        let signers = [Signer::rsa("r"), Signer::p256("p"), Signer::ed25519("e")];
        let (tokens, stop) = tokens(&[&signers[0], &signers[1], &signers[2]], false).await;
        for signer in &signers {
            check(&tokens, &signer.sign(&claims()), "").await;
        }
        for stranger in [Signer::rsa("r"), Signer::p256("p"), Signer::ed25519("e")] {
            check(&tokens, &stranger.sign(&claims()), "TOKEN_INVALID").await;
        }
        check(&tokens, &Signer::ed25519("x").sign(&claims()), "TOKEN_INVALID").await;
        stop.cancel();
    }

    #[tokio::test]
    async fn a_token_signed_by_a_secret_is_believed_only_where_one_is_configured() {
        let key = Signer::rsa("r");
        let (without, stop) = tokens(&[&key], false).await;
        check(&without, &Signer::secret(SECRET).sign(&claims()), "TOKEN_INVALID").await;
        stop.cancel();
        let (with, stop) = tokens(&[&key], true).await;
        check(&with, &Signer::secret(SECRET).sign(&claims()), "").await;
        let modulus = key.public()["n"].as_str().expect("a number").to_owned();
        check(&with, &Signer::secret(&modulus).sign(&claims()), "TOKEN_INVALID").await;
        stop.cancel();
    }

    #[tokio::test]
    async fn what_is_no_token_or_was_changed_is_refused_without_saying_why() {
        let signer = Signer::ed25519("e");
        let (tokens, stop) = tokens(&[&signer], true).await;
        let good = signer.sign(&claims());
        let parts: Vec<_> = good.split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!("three parts") };
        let mut other = claims();
        other["role"] = json!("admin");
        let other = signer.sign(&other);
        let other = other.split('.').nth(1).expect("claims");
        let unsigned = "eyJhbGciOiJub25lIn0";
        for wrong in [
            "",
            "x",
            "..",
            &format!("{header}.{payload}."),
            &format!("{header}.{payload}.{}", &signature[1..]),
            &format!("{header}.{other}.{signature}"),
            &format!("{unsigned}.{payload}."),
            &format!("{unsigned}.{payload}.{signature}"),
            &"x".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            check(&tokens, wrong, "TOKEN_INVALID").await;
        }
        let mut expired = claims();
        expired["exp"] = json!(1);
        check(&tokens, &signer.sign(&expired), "TOKEN_EXPIRED").await;
        let forged = Signer::ed25519("e").sign(&expired);
        check(&tokens, &forged, "TOKEN_INVALID").await;
        stop.cancel();
    }

    #[tokio::test]
    async fn a_token_that_wants_to_be_understood_in_other_ways_is_refused() {
        let signer = Signer::ed25519("e");
        let (tokens, stop) = tokens(&[&signer], false).await;
        let token = signer.sign_with(&claims(), |header| header.crit = Some(vec!["b64".into()]));
        check(&tokens, &token, "TOKEN_INVALID").await;
        stop.cancel();
    }
}
