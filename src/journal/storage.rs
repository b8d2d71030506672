//! What the journal asks of a storage: append atomically and durably, read a range, keep blobs.
//!
//! [`segments`] does it on fjall. The seam is here so that tests can make a disk fail, and so that
//! plain append-only files could take its place if fjall were ever what limits the whole.

mod log_tail;
#[cfg(test)]
pub(crate) mod memory;
pub(super) mod segments;

use bytes::Bytes;

use super::checkpoint::{Checkpoint, CheckpointDelta};
use crate::clock::Timestamp;
use crate::position::{JournalId, Position};

/// What went wrong in a storage, for people.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Entries of one commit.
pub(super) struct Batch {
    /// Their positions and bytes; not empty.
    pub(super) records: Vec<(Position, Vec<u8>)>,
    /// Receipt of the last of them.
    pub(super) newest: Timestamp,
}

/// Entries that can only go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The last of them.
    pub(super) last: Position,
    /// Its receipt, and so the latest of them all.
    pub(super) newest: Timestamp,
}

/// A storage as it was opened.
pub(super) struct Found {
    pub(super) storage: Box<dyn Storage>,
    pub(super) reader: Box<dyn Reader>,
    pub(super) journal_id: JournalId,
    pub(super) last: Position,
    pub(super) checkpoint: Option<Checkpoint>,
}

/// The side that writes. After an error its state is unknown and it must not be used again.
pub(super) trait Storage: Send {
    /// Adds entries; all or none, and durable on return.
    fn append(&mut self, batch: Batch) -> Result<(), Failure>;

    /// Changes blobs and the position they stand for; all or nothing, and durable on return.
    fn checkpoint(&mut self, delta: CheckpointDelta) -> Result<(), Failure>;

    /// Removes the sealed entries up to and including `last`, one that [`Reader::sealed`] named.
    /// A crash in between leaves the newer of them, without a gap.
    fn drop_through(&mut self, last: Position) -> Result<(), Failure>;
}

/// The side that reads, from any thread.
pub(super) trait Reader: Send + Sync {
    /// The oldest entry kept; the next one to come if there is none.
    fn first(&self) -> Position;

    /// What may be dropped, oldest first.
    fn sealed(&self) -> Vec<Sealed>;

    /// Entries behind `after` up to `last`, ascending, until they exceed `bytes_max`. There may
    /// be fewer, but none only if the next one is not here.
    fn read(
        &self,
        after: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<(Position, Bytes)>, Failure>;

    /// All bytes on disk.
    fn disk_bytes(&self) -> Result<u64, Failure>;
}
