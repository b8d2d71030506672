//! What the follower needs of a database, told once for both kinds.

use std::future::Future;

use super::Error;
use super::batch::Batch;
use crate::clock::Timestamp;
use crate::position::{Cursor, Partition};

/// Why something did not work out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database can't be reached, or does not do what it should. Trying again may help. What
    /// became of a transaction that was under way is not known.
    Away(String),
    /// The cursor is not where it was: someone else moved it. Nothing was written.
    Moved,
    /// Trying again cannot help.
    Fatal(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// A database that can be connected to.
pub(super) trait Database: Send + Sync {
    /// A connection to it.
    type Session: Session;

    /// Connects, and brings the schema up to date. Bounded in time.
    fn open(&self) -> impl Future<Output = Result<Self::Session, Failure>> + Send;
}

/// A connection with the schema in place. After any failure it is not used again.
pub(super) trait Session: Send {
    /// Where the database stands, if it has a cursor for this partition.
    fn cursor(
        &mut self,
        partition: Partition,
    ) -> impl Future<Output = Result<Option<Cursor>, Failure>> + Send;

    /// Gives a database that has no cursor for the partition its first.
    fn begin(&mut self, cursor: Cursor) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes a batch and moves the cursor over it, in one transaction, if the cursor still
    /// stands where the batch begins. Bounded in time.
    fn write(
        &mut self,
        batch: Batch,
        stored_at: Timestamp,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Waits until the connection is lost while nothing is under way, and says why. Cancel safe.
    fn lost(&mut self) -> impl Future<Output = String> + Send;
}
