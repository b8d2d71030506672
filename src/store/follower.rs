//! The follower: from the journal's entries to transactions, and back again when one fails.
//!
//! Promises: after any failure the cursor is read from the database again, and the journal is
//! followed again from there, before anything is written; so a COMMIT whose fate is unknown is
//! neither repeated nor forgotten. At most one batch is in memory. While the database is away the
//! follower reads the end of the journal only to see it grow and close.

use std::collections::VecDeque;
use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::batch::Batch;
use super::cursor::{Extent, resume};
use super::database::{Database, Failure, Session};
use super::settings::Kind;
use super::{Error, Settings, postgres, sqlite};
use crate::clock::{Clock, Timestamp};
use crate::journal::entry::Entry;
use crate::journal::{Follower, Journal};
use crate::position::{Cursor, Position};
use crate::telemetry::names;

/// How the follower is doing, for readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether the database is there.
    pub link: Link,
    /// The last entry whose rows are known to be stored; `None` before the first connection.
    pub cursor: Option<Position>,
    /// The last entry of the journal when this was told.
    pub journal_last: Position,
    /// Readings stored since the start.
    pub readings_stored: u64,
    /// Transactions committed since the start.
    pub batches_stored: u64,
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

/// The follower of one partition's journal. [`Writer::run`] does the work.
pub struct Writer<C> {
    settings: Settings,
    journal: Journal,
    clock: C,
    state: watch::Sender<State>,
}

impl<C: Clock> Writer<C> {
    /// A follower of `journal`. Nothing is connected to yet.
    pub fn new(settings: Settings, journal: Journal, clock: C) -> Self {
        let (state, _) = watch::channel(State {
            link: Link::Connecting,
            cursor: None,
            journal_last: journal.last(),
            readings_stored: 0,
            batches_stored: 0,
        });
        Self { settings, journal, clock, state }
    }

    /// How it is doing, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Writes what the journal brings until it is closed and everything is written. Dropping it
    /// loses nothing: what was not committed comes again at the next start.
    ///
    /// # Errors
    /// [`Error`] when going on could not help; never because the database is away, save after the
    /// journal has closed and `drain_timeout` has passed.
    pub async fn run(self) -> Result<(), Error> {
        let result = match &self.settings.url.0 {
            Kind::Postgres(config) => {
                self.run_on(postgres::Postgres::new(config, &self.settings)).await
            }
            Kind::Sqlite(path) => self.run_on(sqlite::Sqlite::new(path)).await,
        };
        let error = result.as_ref().err().map(|error| super::chain(error));
        gauge!(names::STORE_CONNECTED).set(0.0);
        self.state.send_modify(|state| state.link = Link::Ended { error });
        result
    }

    async fn run_on<D: Database>(&self, database: D) -> Result<(), Error> {
        let mut outage = Outage::new(&self.settings);
        loop {
            let reason = match self.connected(&database, &mut outage).await {
                Ok(()) => return Ok(()),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Moved) => "another writer moved the cursor".to_owned(),
                Err(Failure::Away(reason)) => reason,
            };
            self.report_away(reason);
            self.wait(&mut outage).await?;
        }
    }

    /// One connection's life: from where the database stands until the journal closes, or until
    /// something fails.
    async fn connected<D: Database>(
        &self,
        database: &D,
        outage: &mut Outage,
    ) -> Result<(), Failure> {
        let mut session = database.open().await?;
        let mut cursor = self.resume(&mut session).await?;
        let follower = self.journal.follow(cursor.position).map_err(Error::Journal)?;
        let mut intake = Intake { follower, waiting: VecDeque::new(), closed: false };
        outage.tail = None;
        self.report_connected(cursor.position);
        let mut last_flush = None;
        loop {
            let batch = self.fill(cursor, &mut intake, &mut session, last_flush).await?;
            last_flush = Some(Instant::now());
            if !batch.is_empty() {
                cursor.position = batch.through;
                let readings = batch.readings.len();
                let begun = Instant::now();
                session.write(batch, self.clock.now()).await?;
                histogram!(names::STORE_WRITE_SECONDS).record(begun.elapsed());
                outage.over();
                self.report_stored(cursor.position, readings);
            }
            if intake.is_done() {
                return Ok(());
            }
        }
    }

    /// Where the database stands, after giving it a cursor if it has none.
    async fn resume<T: Session>(&self, session: &mut T) -> Result<Cursor, Failure> {
        let stored = session.cursor(self.journal.partition()).await?;
        let extent = Extent::of(&self.journal);
        let cursor = self.journal.cursor(resume(stored, extent, self.settings.on_gap)?);
        if stored.is_none() {
            session.begin(cursor).await?;
        }
        Ok(cursor)
    }

    /// Takes entries until the batch is full, its time has come, or the journal is closed.
    async fn fill<T: Session>(
        &self,
        cursor: Cursor,
        intake: &mut Intake,
        session: &mut T,
        last_flush: Option<Instant>,
    ) -> Result<Batch, Failure> {
        let mut batch = Batch::after(cursor);
        loop {
            while !self.is_full(&batch)
                && let Some(entry) = intake.waiting.pop_front()
            {
                batch.push(&entry);
            }
            if self.is_full(&batch) || intake.is_done() {
                return Ok(batch);
            }
            // In this order: entries that are there already go into the batch even when it is due.
            tokio::select! {
                biased;
                reason = session.lost() => return Err(Failure::Away(reason)),
                more = intake.more() => more?,
                () = sleep_until(self.due(&batch, last_flush)), if !batch.is_empty() => {
                    return Ok(batch);
                }
            }
        }
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.size().rows >= self.settings.batch_rows_max
            || batch.size().bytes >= self.settings.batch_bytes_max
    }

    /// When a batch that is not full is to be written: at once after a rest.
    fn due(&self, batch: &Batch, last_flush: Option<Instant>) -> Instant {
        let rest = match batch.size().rows {
            0 => self.settings.cursor_interval,
            _ => self.settings.flush_interval,
        };
        last_flush.map_or_else(Instant::now, |last| last + rest)
    }

    /// Waits before the next attempt, and learns whether the journal has closed meanwhile.
    async fn wait(&self, outage: &mut Outage) -> Result<(), Error> {
        let pause = sleep(outage.backoff.wait());
        tokio::pin!(pause);
        loop {
            if let Some(closed_at) = outage.closed_at {
                let waited = closed_at.elapsed();
                if waited >= self.settings.drain_timeout {
                    let cursor = self.state.borrow().cursor.unwrap_or_default();
                    return Err(Error::Undrained { cursor, waited });
                }
                pause.as_mut().await;
                return Ok(());
            }
            tokio::select! {
                () = &mut pause => return Ok(()),
                news = outage.watch(&self.journal) => {
                    news?;
                    self.state.send_modify(|state| state.journal_last = self.journal.last());
                }
            }
        }
    }

    fn report_connected(&self, cursor: Position) {
        info!(url = %self.settings.url, %cursor, "store connected");
        gauge!(names::STORE_CONNECTED).set(1.0);
        gauge!(names::STORE_POSITION).set(cursor.0 as f64);
        self.state.send_modify(|state| {
            state.link = Link::Connected;
            state.cursor = Some(cursor);
            state.journal_last = self.journal.last();
        });
    }

    fn report_stored(&self, cursor: Position, readings: usize) {
        counter!(names::STORE_READINGS_TOTAL).increment(readings as u64);
        gauge!(names::STORE_POSITION).set(cursor.0 as f64);
        self.state.send_modify(|state| {
            state.cursor = Some(cursor);
            state.journal_last = self.journal.last();
            state.readings_stored += readings as u64;
            state.batches_stored += 1;
        });
    }

    fn report_away(&self, reason: String) {
        counter!(names::STORE_FAILURES_TOTAL).increment(1);
        gauge!(names::STORE_CONNECTED).set(0.0);
        self.state.send_modify(|state| {
            let since = match &state.link {
                Link::Away { since, .. } => *since,
                _ => self.clock.now(),
            };
            let news = Link::Away { since, reason };
            // Once per reason, not once per attempt.
            if state.link != news
                && let Link::Away { reason, .. } = &news
            {
                warn!(url = %self.settings.url, reason, "store away, rows wait in the journal");
            }
            state.link = news;
            state.journal_last = self.journal.last();
        });
    }
}

/// Entries on their way into a batch. The follower gives them by the chunk, and a chunk may be
/// more than a batch should hold.
struct Intake {
    follower: Follower,
    waiting: VecDeque<Arc<Entry>>,
    closed: bool,
}

impl Intake {
    /// Waits for the next chunk, or for the journal's end. Cancel safe.
    async fn more(&mut self) -> Result<(), Failure> {
        match self.follower.next().await.map_err(Error::Journal)? {
            Some(entries) => self.waiting.extend(entries),
            None => self.closed = true,
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.closed && self.waiting.is_empty()
    }
}

/// What is remembered from one failed attempt to the next.
struct Outage {
    backoff: Backoff,
    /// A reader at the journal's end. It is what tells that the journal has closed.
    tail: Option<Follower>,
    closed_at: Option<Instant>,
}

impl Outage {
    fn new(settings: &Settings) -> Self {
        let backoff = Backoff::new(settings.retry_first, settings.retry_max);
        Self { backoff, tail: None, closed_at: None }
    }

    /// Something was written.
    fn over(&mut self) {
        self.backoff.reset();
        self.closed_at = self.closed_at.map(|_| Instant::now());
    }

    /// Waits until the journal grows or closes. Cancel safe.
    async fn watch(&mut self, journal: &Journal) -> Result<(), Error> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => none.insert(journal.follow(journal.last()).map_err(Error::Journal)?),
        };
        if tail.next().await.map_err(Error::Journal)?.is_none() {
            self.closed_at = Some(Instant::now());
        }
        Ok(())
    }
}
