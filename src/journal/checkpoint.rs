//! Checkpoints: the engine's state in pieces, and the position it stands for.
//!
//! The journal keeps blobs without knowing what is in them; whoever encodes one puts its version
//! into its bytes, and its kind into its key. A checkpoint replaces only what changed since the
//! last one. Blobs and position change in one atomic write: after a crash it is the old
//! checkpoint or the new one. Reading one back streams, so that a state is never in memory twice.
//! A checkpoint is not split: commits wait while it is written, about two seconds for a million
//! blobs, so whoever makes one keeps the changes small by making them often.

use bytes::Bytes;

use super::Error;
use super::storage::Failure;
use crate::position::Position;

/// The name of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    /// What it is of; numbers belong to the engine's encoder and are never given twice.
    pub kind: u8,
    /// Which one of its kind, such as a patient's key.
    pub id: u64,
}

impl BlobKey {
    /// Kind first, so that blobs are read back kind by kind.
    pub(super) fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [self.kind; 9];
        bytes[1..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&kind, id) = bytes.split_first()?;
        Some(Self { kind, id: u64::from_be_bytes(id.try_into().ok()?) })
    }
}

/// What changed since the last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointDelta {
    /// What the state stands for when it is applied: every entry up to here.
    pub position: Position,
    /// Blobs new or changed.
    pub put: Vec<(BlobKey, Bytes)>,
    /// Blobs gone.
    pub remove: Vec<BlobKey>,
}

/// A checkpoint as it was found at open.
pub struct Checkpoint {
    /// The last entry that it holds.
    pub position: Position,
    /// Its blobs.
    pub blobs: Blobs,
}

/// The blobs of a checkpoint, one after the other in the order of their keys: a snapshot, which
/// later checkpoints don't change.
pub struct Blobs(pub(super) Box<dyn Iterator<Item = Result<(BlobKey, Bytes), Failure>> + Send>);

impl Iterator for Blobs {
    type Item = Result<(BlobKey, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(Error::storage("reading a checkpoint of")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_sorts_by_kind_then_id() {
        let keys = [(0, 0), (0, 256), (1, 1), (1, u64::MAX), (255, 2)]
            .map(|(kind, id)| BlobKey { kind, id });
        assert!(keys.map(BlobKey::to_bytes).is_sorted());
        for key in keys {
            assert_eq!(BlobKey::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(BlobKey::from_bytes(&[1, 2, 3]), None);
    }
}
