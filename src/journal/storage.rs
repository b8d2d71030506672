//! What the journal asks of a storage: append atomically and durably, read a range, keep blobs.
//!
//! [`segments`] does it on fjall. The seam is here so that tests can make a disk fail, and so that
//! plain append-only files could take its place if fjall were ever what limits the whole.

mod blobs;
mod flushes;
mod log_tail;
#[cfg(test)]
pub(crate) mod memory;
pub(super) mod segments;
mod slots;
mod space;

use bytes::Bytes;

pub(super) use self::space::{Space, available, is_for_want_of_space};
use super::checkpoint::{Checkpoint, Piece};
use crate::clock::Timestamp;
use crate::position::{Cursor, JournalId, Position};

/// What went wrong in a storage, for people.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Entries of one commit, and what goes along with them.
pub(super) struct Batch {
    /// Their positions and bytes; not empty.
    pub(super) records: Vec<(Position, Vec<u8>)>,
    /// Receipt of the last of them.
    pub(super) newest: Timestamp,
    /// Some of the checkpoint under way, or nothing.
    pub(super) piece: Piece,
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
    pub(super) restored_from: Option<Cursor>,
    pub(super) last: Position,
    pub(super) checkpoint: Option<Checkpoint>,
}

/// The side that writes. After an error its state is unknown and it must not be used again.
pub(super) trait Storage: Send {
    /// Adds entries and a piece; all or nothing, and durable on return.
    fn append(&mut self, batch: Batch) -> Result<(), Failure>;

    /// Adds a piece to the checkpoint under way, or begins one; durable on return. Until it is
    /// completed an open finds the checkpoint before, and nothing of this one.
    fn checkpoint_piece(&mut self, piece: Piece) -> Result<(), Failure>;

    /// Adds a last piece and completes the checkpoint, which stands for every entry up to
    /// `position`; all or nothing, and durable on return.
    fn complete_checkpoint(&mut self, piece: Piece, position: Position) -> Result<(), Failure>;

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

    /// What the file system has left. Asked with every commit: one system call.
    fn space(&self) -> Result<Space, Failure>;
}
