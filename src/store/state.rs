//! How the follower is doing: for readiness, for the metrics and for the log.

use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tracing::{info, warn};

use super::refused::Written;
use super::{Gap, Url};
use crate::clock::Timestamp;
use crate::journal::Journal;
use crate::position::Position;
use crate::telemetry::names;

/// How the follower is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether the database is there.
    pub link: Link,
    /// The last entry whose rows are known to be stored, as durably as the database stores;
    /// `None` before the first connection. It goes back with the database.
    pub cursor: Option<Position>,
    /// The last entry of the journal when this was told.
    pub journal_last: Position,
    /// Readings stored since the start.
    pub readings_stored: u64,
    /// Transactions committed since the start.
    pub batches_stored: u64,
    /// Rows that the database refused since the start, and that were set aside.
    pub rows_refused: u64,
    /// Rows that are missing for good, as was accepted at this start.
    pub gap: Option<Gap>,
}

impl State {
    /// Entries that are not known to be stored.
    #[must_use]
    pub fn lag_entries(&self) -> u64 {
        self.journal_last.0.saturating_sub(self.cursor.unwrap_or_default().0)
    }
}

/// Whether the database is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not yet known.
    Connecting,
    /// It takes what it is given.
    Connected,
    /// It can't be written to; this is tried again and again.
    Away {
        /// Since when.
        since: Timestamp,
        /// What it or the network said.
        reason: String,
    },
    /// The follower has ended, with an error or because the journal was closed.
    Ended {
        /// The error, if there was one.
        error: Option<String>,
    },
}

/// Who tells it.
pub(super) struct Report {
    url: Url,
    journal: Journal,
    state: watch::Sender<State>,
}

impl Report {
    pub(super) fn new(url: Url, journal: Journal) -> Self {
        let (state, _) = watch::channel(State {
            link: Link::Connecting,
            cursor: None,
            journal_last: journal.last(),
            readings_stored: 0,
            batches_stored: 0,
            rows_refused: 0,
            gap: None,
        });
        Self { url, journal, state }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn cursor(&self) -> Position {
        self.state.borrow().cursor.unwrap_or_default()
    }

    pub(super) fn behind(&self, gap: Option<Gap>) {
        self.state.send_modify(|state| state.gap = gap);
    }

    /// The journal has grown.
    pub(super) fn grown(&self) {
        self.state.send_modify(|state| state.journal_last = self.journal.last());
    }

    pub(super) fn connected(&self, cursor: Position) {
        info!(url = %self.url, %cursor, "store connected");
        gauge!(names::STORE_CONNECTED).set(1.0);
        gauge!(names::STORE_POSITION).set(cursor.0 as f64);
        self.state.send_modify(|state| {
            state.link = Link::Connected;
            state.cursor = Some(cursor);
            state.journal_last = self.journal.last();
        });
    }

    /// A batch with so many readings was written, in this time.
    pub(super) fn stored(
        &self,
        cursor: Position,
        readings: usize,
        written: &Written,
        took: std::time::Duration,
    ) {
        let refused = self.refused(written);
        let readings = readings as u64 - written.refused.get("readings").copied().unwrap_or(0);
        histogram!(names::STORE_WRITE_SECONDS).record(took);
        counter!(names::STORE_READINGS_TOTAL).increment(readings);
        gauge!(names::STORE_POSITION).set(cursor.0 as f64);
        self.state.send_modify(|state| {
            state.cursor = Some(cursor);
            state.journal_last = self.journal.last();
            state.readings_stored += readings;
            state.batches_stored += 1;
            state.rows_refused += refused;
        });
    }

    fn refused(&self, written: &Written) -> u64 {
        for (table, rows) in &written.refused {
            warn!(url = %self.url, table, rows, "rows were refused, and set aside in refused_rows");
            counter!(names::STORE_REFUSED_ROWS_TOTAL, "table" => *table).increment(*rows);
        }
        written.refused.values().sum()
    }

    /// An attempt has failed.
    pub(super) fn away(&self, reason: String, now: Timestamp) {
        counter!(names::STORE_FAILURES_TOTAL).increment(1);
        gauge!(names::STORE_CONNECTED).set(0.0);
        self.state.send_modify(|state| {
            let since = match &state.link {
                Link::Away { since, .. } => *since,
                _ => now,
            };
            let news = Link::Away { since, reason };
            // Once per reason, not once per attempt.
            if state.link != news
                && let Link::Away { reason, .. } = &news
            {
                warn!(url = %self.url, reason, "store away, rows wait in the journal");
            }
            state.link = news;
            state.journal_last = self.journal.last();
        });
    }

    pub(super) fn ended(&self, error: Option<String>) {
        gauge!(names::STORE_CONNECTED).set(0.0);
        self.state.send_modify(|state| state.link = Link::Ended { error });
    }
}
