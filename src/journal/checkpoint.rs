//! Checkpoints: the engine's state in pieces, and the position it stands for.
//!
//! The journal keeps blobs without knowing what is in them; whoever encodes one puts its version
//! into its bytes, and its kind into its key. A checkpoint replaces only what changed since the
//! last one. It is written in pieces of bounded size, which go along with the commits of entries,
//! so that no commit writes more than one of them; a last small write makes it count. After a
//! crash at any moment it is the old checkpoint or the new one, whole. Reading one back streams,
//! so that a state is never in memory twice.

use std::collections::BTreeMap;

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
    /// Length of [`BlobKey::to_bytes`].
    pub(super) const BYTES: usize = 9;

    /// Kind first, so that blobs are read back kind by kind.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [self.kind; Self::BYTES];
        bytes[1..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&kind, id) = bytes.split_first()?;
        Some(Self { kind, id: u64::from_be_bytes(id.try_into().ok()?) })
    }
}

/// Changes of a checkpoint that has not been completed, the last one of each blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// What each blob becomes; `None` if it is gone.
    changes: BTreeMap<BlobKey, Option<Bytes>>,
    bytes: usize,
}

impl Piece {
    /// What a change takes beside its blob: keys, and their place in write-ahead log and table.
    const CHANGE_BYTES: usize = 48;

    pub(super) fn change(&mut self, key: BlobKey, blob: Option<Bytes>) {
        self.bytes += Self::size(blob.as_ref());
        if let Some(before) = self.changes.insert(key, blob) {
            self.bytes -= Self::size(before.as_ref());
        }
    }

    fn size(blob: Option<&Bytes>) -> usize {
        Self::CHANGE_BYTES + blob.map_or(0, Bytes::len)
    }

    /// About what it adds to the disk.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl IntoIterator for Piece {
    type Item = (BlobKey, Option<Bytes>);
    type IntoIter = std::collections::btree_map::IntoIter<BlobKey, Option<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.into_iter()
    }
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

    #[test]
    fn a_piece_holds_the_last_change_of_a_blob_and_counts_it_once() {
        let key = BlobKey { kind: 1, id: 1 };
        let mut piece = Piece::default();
        assert!(piece.is_empty());
        for (blob, bytes) in [(Some("longer".into()), 6), (None, 0), (Some("last".into()), 4)] {
            piece.change(key, blob);
            assert_eq!(piece.bytes(), Piece::CHANGE_BYTES + bytes);
        }
        assert_eq!(piece.into_iter().collect::<Vec<_>>(), [(key, Some("last".into()))]);
    }
}
