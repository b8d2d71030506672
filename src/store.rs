//! The store: every admitted reading, the registry, the alerts and the refusals as rows in a
//! database, for history and for people with SQL.
//!
//! [`Writer`] follows the journal and writes rows *and* its cursor in one transaction, compare and
//! set, so that each row arrives exactly once, wherever a crash of the service or of the database
//! cuts the run, and without a unique index on the hot table. [`History`] is the way to read.
//! Both speak to one of two databases, told apart by the [`Url`]: Postgres 15 or newer, also with
//! TimescaleDB, or SQLite in a file beside the service. The tables and their names are the same.
//!
//! Promises: the follower decides nothing, it writes what the outputs say; it never slows the
//! journal, and never gives up on a database that is away (V9), but says so in [`State`]; a
//! database that belongs to another journal is refused with both names, not written to.
//!
//! A row that the database can't hold is set aside and blocks nobody: the module `refused` tells
//! how, and what operators can do. [`Maintenance`] runs beside the writer: it keeps the buckets of
//! `readings_1min` and `readings_1h`, makes partitions ahead, and deletes what is older than its
//! retention, and what is left of patients who were erased. Where a database does not fit the journal, a person decides: [`accept_gap`] goes on
//! after a gap, and [`restore`] reads what a lost data directory is rebuilt from.
//!
//! Postgres is spoken to by TLS where its URL demands it, and never by half: then the server is
//! verified, and there is no falling back.

mod aggregate;
pub mod alerts;
pub mod audit;
mod backoff;
mod batch;
mod bisection;
pub mod blob;
mod buckets;
mod cursor;
mod database;
mod erasure;
mod export;
mod follower;
mod history;
mod ledger;
mod lineage;
mod maintenance;
mod migration;
mod page;
mod postgres;
mod refused;
mod rejected;
pub mod restore;
mod row;
mod settings;
mod sqlite;
mod state;

use std::time::Duration;

pub use aggregate::Aggregate;
pub use alerts::burden::{Burden, BurdenQuery};
pub use alerts::{ALERTS_PAGE_SIZE_MAX, AlertStory, AlertsPage, AlertsQuery};
pub use audit::{AUDIT_PAGE_SIZE_MAX, AuditPage, AuditQuery, StoredAuditEvent, StoredDetails};
pub use buckets::{BucketsPage, BucketsQuery, ReadingBucket};
pub use erasure::StoredErasure;
pub use export::{ExportError, Sink, export, kinds as export_kinds};
pub use follower::Writer;
pub use history::{
    History, HistoryError, LatestQuery, PAGE_SIZE_MAX, ReadingsPage, ReadingsQuery, StoredReading,
    open_history,
};
pub use ledger::LedgerError;
pub use lineage::{Gap, GapReason, accept_gap};
pub use maintenance::{Failing, Maintenance, MaintenanceState, Task, TaskState};
pub use rejected::{
    DeadLetter, REJECTED_PAGE_SIZE_MAX, RejectedMessage, RejectedPage, RejectedQuery, StoredRefusal,
};
pub use settings::{OnGap, Settings, Url, UrlError};
pub use state::{Link, State};

use crate::journal;
use crate::position::{JournalId, Position};

/// Why the follower stopped. A database that is merely away is none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal can't be read.
    #[error("reading the journal for the store")]
    Journal(#[source] journal::Error),
    /// The database was written from another history.
    #[error(
        "the database holds rows of journal {database}, but the data directory is journal \
         {journal}: set [store] url to the database of this data directory, or to an empty one; if \
         both are of the same service, start it once with --accept-gap"
    )]
    ForeignJournal {
        /// Whose rows the database holds.
        database: JournalId,
        /// The journal that was to be written.
        journal: JournalId,
    },
    /// The database has rows of entries that the journal does not have.
    #[error(
        "the database stands at entry {cursor} of journal {journal}, which ends at {last}: an \
         older copy of the data directory was put back; use the newer one, or move this one away \
         and run `pulseward restore --from-store`"
    )]
    CursorAhead {
        /// The journal.
        journal: JournalId,
        /// Where the database stands.
        cursor: Position,
        /// The journal's last entry.
        last: Position,
    },
    /// The journal no longer has the entries that the database needs next.
    #[error(
        "the database stands at entry {cursor} of journal {journal}, which begins at {first}: the \
         entries between are gone; restore a newer copy of the database, or start the service once \
         with --accept-gap, which notes what is missing and goes on"
    )]
    CursorBehind {
        /// The journal.
        journal: JournalId,
        /// Where the database stands.
        cursor: Position,
        /// The journal's first entry.
        first: Position,
    },
    /// Keys of the database name others than those of the journal.
    #[error(
        "the database (journal {}) and the data directory (journal {journal}) know different \
         people under the same keys: {conflict}. Rows of one would be taken for rows of the other: \
         set [store] url to the database of this data directory, or to an empty one; or move the \
         data directory away and run `pulseward restore --from-store`",
        .database.map_or_else(|| "none".to_owned(), |id| id.to_string())
    )]
    KeysDiffer {
        /// Whose rows the database holds, if it has a cursor.
        database: Option<JournalId>,
        /// The journal that was to be written.
        journal: JournalId,
        /// The first difference.
        conflict: String,
    },
    /// The schema was made by a version of the service that this one doesn't know.
    #[error(
        "the database has schema version {found}, this service knows {known}: start the newer \
         service, migrations only go forward"
    )]
    SchemaNewer {
        /// The database's.
        found: i32,
        /// The newest that this service knows.
        known: i32,
    },
    /// A migration in the database is not the one of the same number in this service.
    #[error(
        "migration {version} in the database is {found:?}, in this service {known:?}, or differs"
    )]
    SchemaDiverged {
        /// Its number.
        version: i32,
        /// Its name in the database.
        found: String,
        /// Its name here.
        known: &'static str,
    },
    /// The journal was closed while the database was away. Nothing is lost: the rows stand in the
    /// journal and are written after the next start.
    #[error(
        "the database stayed away for {} s after the journal closed; entries after {cursor} are \
         stored at the next start",
        .waited.as_secs()
    )]
    Undrained {
        /// How far the database is known to be.
        cursor: Position,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// The text of an error with those that caused it, for reasons that are shown to people.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some drivers repeat the cause in their own text.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
