//! What the follower needs of a database, told once for both kinds.

use std::future::Future;

use super::Error;
use super::batch::Batch;
use super::refused::{Fault, Written};
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
    /// The database refuses what stands in a row, and nothing was written. To the follower this
    /// comes only when that row can't even be set aside.
    Refused(Fault),
    /// Trying again cannot help.
    Fatal(Error),
}

impl Failure {
    /// What happened, for people.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Away(reason) => reason.clone(),
            Self::Moved => "another writer moved the cursor".to_owned(),
            // Not what may quote the row.
            Self::Refused(fault) => format!("a row was refused: {fault}"),
            Self::Fatal(error) => super::chain(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// The last entry whose rows it has.
    pub(super) cursor: Cursor,
    /// The `stored_at` of the transaction that brought it there.
    pub(super) stored_at: Timestamp,
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
    fn stand(
        &mut self,
        partition: Partition,
    ) -> impl Future<Output = Result<Option<Stand>, Failure>> + Send;

    /// Gives a database that has no cursor for the partition its first.
    fn begin(&mut self, stand: Stand) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes a batch and moves the cursor over it, in one transaction, if the cursor still stands
    /// where the batch begins and was last moved before `stored_at`. Rows that the database refuses
    /// are set aside in the same transaction. Bounded in time. Not cancel safe: what became of the
    /// transaction is not known then.
    fn write(
        &mut self,
        batch: Batch,
        stored_at: Timestamp,
    ) -> impl Future<Output = Result<Written, Failure>> + Send;

    /// Waits until the connection is lost while nothing is under way, and says why. Cancel safe.
    fn lost(&mut self) -> impl Future<Output = String> + Send;
}
