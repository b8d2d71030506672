//! What makes a request one that can be told when it comes again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine::audit::Digest;

/// What a caller gave with a request, so that repeating it is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeatable {
    /// Chosen by the caller.
    pub id: RequestId,
    /// What the whole call asked for, where the command is one of several that it became; `None`
    /// where the command is all of it, and says so itself.
    pub call: Option<Digest>,
}

impl Repeatable {
    /// Of a call that becomes several commands, and asks for all of `asked`.
    #[must_use]
    pub fn of_several(id: RequestId, asked: &impl Serialize) -> Self {
        let bytes = postcard::to_stdvec(asked)
            .expect("plain values into a growing buffer have no way to fail");
        Self { id, call: Some(Digest(Sha256::digest(bytes).into())) }
    }
}

/// The name of a request, unique among those of its caller. 1 to 64 printable ASCII characters and
/// no space, of which a UUID is the usual one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct RequestId(Arc<str>);

/// A text is not the name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request id: 1 to 64 printable ASCII characters without spaces, such as a UUID")]
pub struct InvalidRequestId;

impl RequestId {
    /// More bytes it never has.
    pub const BYTES_MAX: usize = 64;

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let is_fit = (1..=Self::BYTES_MAX).contains(&text.len());
        if is_fit && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRequestId)
        }
    }
}

impl TryFrom<Arc<str>> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(text: Arc<str>) -> Result<Self, InvalidRequestId> {
        text.parse()
    }
}

impl From<RequestId> for Arc<str> {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_uuid_or_anything_else_short_and_printable() {
        for fit in ["1", "6f1c2d8a-9f0e-4b52-8f50-0f6f7e4f3b11", "a/b:c~!", &"x".repeat(64)] {
            assert_eq!(fit.parse::<RequestId>().map(|id| id.to_string()), Ok(fit.to_owned()));
        }
        for wrong in ["", " ", "a b", "a\n", "nul\0", "é", "\u{7f}", &"x".repeat(65)] {
            assert_eq!(wrong.parse::<RequestId>(), Err(InvalidRequestId), "{wrong:?}");
        }
    }
}
