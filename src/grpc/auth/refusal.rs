//! Why a stranger stays one: the errors of the gate.
//!
//! They say what a client has to do next, and nothing that helps to forge a token: whatever is wrong
//! before the signature was found right is TOKEN_INVALID. Nothing of the token is repeated.

use std::time::Duration;

use tonic::{Code, Status};

use super::certificate;
use crate::grpc::status::{retry_later, with_reason};

/// Why a call was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::grpc) enum Refused {
    /// There is nothing to know the caller by.
    #[error("a bearer token is needed, in the header authorization")]
    TokenMissing,
    /// It is no token of ours, or was changed.
    #[error("the token is not valid")]
    TokenInvalid,
    /// Its time is over.
    #[error("the token has expired; get a new one")]
    TokenExpired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    TokenNotYetValid,
    /// Somebody else made it.
    #[error("the token is not of the issuer whom this service believes")]
    TokenIssuer,
    /// It was made for another service.
    #[error("the token was not made for this service")]
    TokenAudience,
    /// It does not say what a caller must be known by.
    #[error("the token's claim {claim}: {problem}")]
    TokenClaims {
        /// Which claim.
        claim: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is nothing else to know the caller by.
    #[error("a certificate is needed, of who may call")]
    CertificateMissing,
    /// The one that was shown lets nobody in.
    #[error(transparent)]
    Certificate(#[from] certificate::Refused),
    /// Nobody's token can be checked.
    #[error("tokens can't be checked now, because their keys could not be read; try again later")]
    KeysUnavailable,
    /// A web page called that may not.
    #[error("web pages of this origin may not call")]
    OriginNotAllowed,
    /// The caller calls too often.
    #[error("too many calls; try again later")]
    TooManyCalls {
        /// When it may call again.
        retry_after: Duration,
    },
}

/// What clients are told to wait for keys: about as long as the next attempt takes.
const KEYS_RETRY_AFTER: Duration = Duration::from_secs(10);

impl Refused {
    /// For programs.
    pub(in crate::grpc) const fn reason(&self) -> &'static str {
        match self {
            Self::TokenMissing => "TOKEN_MISSING",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenNotYetValid => "TOKEN_NOT_YET_VALID",
            Self::TokenIssuer => "TOKEN_ISSUER",
            Self::TokenAudience => "TOKEN_AUDIENCE",
            Self::TokenClaims { .. } => "TOKEN_CLAIMS",
            Self::CertificateMissing => "CERTIFICATE_MISSING",
            Self::Certificate(certificate::Refused::Expired) => "CERTIFICATE_EXPIRED",
            Self::Certificate(certificate::Refused::NotListed) => "CERTIFICATE_NOT_LISTED",
            Self::Certificate(certificate::Refused::Ambiguous) => "CERTIFICATE_AMBIGUOUS",
            Self::KeysUnavailable => "KEYS_UNAVAILABLE",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::TooManyCalls { .. } => "TOO_MANY_CALLS",
        }
    }

    /// As the caller is told.
    pub(in crate::grpc) fn status(&self) -> Status {
        let (reason, message) = (self.reason(), self.to_string());
        match self {
            Self::TooManyCalls { retry_after } => {
                retry_later(Code::ResourceExhausted, reason, message, *retry_after)
            }
            Self::KeysUnavailable => {
                retry_later(Code::Unavailable, reason, message, KEYS_RETRY_AFTER)
            }
            Self::OriginNotAllowed => with_reason(Code::PermissionDenied, reason, message, &[]),
            _ => with_reason(Code::Unauthenticated, reason, message, &[]),
        }
    }
}
