//! One journal entry: an input, with everything it led to, and its bytes.
//!
//! Every encoded entry begins with a kind and a version. Each version that was ever released
//! keeps its decoder, and golden files under `tests/fixtures/journal` hold its bytes to it. The
//! body of version 3 is postcard's wire format of [`Input`] and `Vec<Output>`. Earlier ones
//! were only ever written by pre-releases and have no decoder.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::position::Position;

const KIND_ENTRY: u8 = b'E';
const VERSION: u8 = 3;
/// Up to here, what pre-releases wrote.
const PRE_RELEASE_VERSION_MAX: u8 = 2;

/// An input with all its outputs: what one position of the journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What happened.
    pub input: Input,
    /// What it led to.
    pub outputs: Vec<Output>,
}

impl Entry {
    /// When it was received, if it is a message from the broker.
    #[must_use]
    pub fn message_received(&self) -> Option<Timestamp> {
        self.input.event.message().map(|_| self.input.received_at)
    }
}

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEntryError {
    /// The first byte is not that of an entry.
    #[error("entry {position}: kind {kind:#04x} is not an entry's")]
    Kind {
        /// Where the bytes stood.
        position: Position,
        /// The byte.
        kind: u8,
    },
    /// Written by a version of the service that this one doesn't know.
    #[error("entry {position}: version {version} is newer than this service knows ({VERSION})")]
    Version {
        /// Where the bytes stood.
        position: Position,
        /// The version.
        version: u8,
    },
    /// Written before the first release.
    #[error(
        "entry {position}: written by a pre-release of the service (version {version}); it \
         can't be read"
    )]
    PreRelease {
        /// Where the bytes stood.
        position: Position,
        /// The version.
        version: u8,
    },
    /// The body does not hold what its version says.
    #[error("entry {position}: reading its body")]
    Body {
        /// Where the bytes stood.
        position: Position,
        /// What was wrong.
        #[source]
        source: postcard::Error,
    },
    /// Too short to be an entry.
    #[error("entry {position}: only {length} bytes")]
    Short {
        /// Where the bytes stood.
        position: Position,
        /// How many bytes stood there.
        length: usize,
    },
}

/// What an output usually takes, a reading above all.
const OUTPUT_BYTES_USUAL: usize = 32;
/// What surrounds payload and outputs, the topic above all.
const BESIDE_BYTES_USUAL: usize = 96;

#[derive(Serialize)]
struct BodyRef<'a> {
    input: &'a Input,
    outputs: &'a [Output],
}

#[derive(Deserialize)]
struct Body {
    input: Input,
    outputs: Vec<Output>,
}

/// Appends the bytes of an entry to `bytes`. The position is the key under which it is kept, and
/// not part of them.
pub fn encode(input: &Input, outputs: &[Output], bytes: Vec<u8>) -> Vec<u8> {
    let mut bytes = bytes;
    // Room at once for what is usual: a buffer that grows is copied again and again.
    let payload_bytes = input.event.payload_bytes();
    bytes.reserve(BESIDE_BYTES_USUAL + payload_bytes + OUTPUT_BYTES_USUAL * outputs.len());
    bytes.extend_from_slice(&[KIND_ENTRY, VERSION]);
    postcard::to_extend(&BodyRef { input, outputs }, bytes)
        .expect("plain values into a growing buffer have no way to fail")
}

/// The entry that `bytes`, kept at `position`, hold.
///
/// # Errors
/// [`DecodeEntryError`] if they were not written by [`encode`] of this or an earlier version.
pub fn decode(position: Position, bytes: &[u8]) -> Result<Entry, DecodeEntryError> {
    let [kind, version, body @ ..] = bytes else {
        return Err(DecodeEntryError::Short { position, length: bytes.len() });
    };
    match (*kind, *version) {
        (KIND_ENTRY, VERSION) => {
            let Body { input, outputs } = postcard::from_bytes(body)
                .map_err(|source| DecodeEntryError::Body { position, source })?;
            Ok(Entry { position, input, outputs })
        }
        (KIND_ENTRY, version @ 1..=PRE_RELEASE_VERSION_MAX) => {
            Err(DecodeEntryError::PreRelease { position, version })
        }
        (KIND_ENTRY, version) => Err(DecodeEntryError::Version { position, version }),
        (kind, _) => Err(DecodeEntryError::Kind { position, kind }),
    }
}
