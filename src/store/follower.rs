//! The follower: from the journal's entries to transactions, and back again when one fails.
//!
//! Promises: after any failure the cursor is read from the database again, and the journal is
//! followed again from there, before anything is written; so a COMMIT whose fate is unknown is
//! neither repeated nor forgotten. While one batch is written the next is gathered; there are never
//! more than these two, and never two transactions at a time. The `stored_at` of a transaction is
//! greater than that of every one before, over restarts and when the clock steps back: the rows
//! stored at or before a time are exactly those of the transactions up to it. (After a clock that
//! was far ahead, it stays there until the clock has caught up.) While the database is away the
//! follower reads the end of the journal only to see it grow and close.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::batch::Batch;
use super::cursor::{Extent, resume};
use super::database::{Database, Failure, Session, Stand};
use super::refused::Written;
use super::settings::Kind;
use super::state::{Report, State};
use super::{Error, Gap, Maintenance, Settings, postgres, sqlite};
use crate::clock::{Clock, Timestamp};
use crate::journal::entry::Entry;
use crate::journal::{Follower, Journal};
use crate::telemetry::stages::{self, Stage};
use crate::telemetry::traces;

/// The follower of one partition's journal. [`Writer::run`] does the work.
pub struct Writer<C> {
    settings: Settings,
    journal: Journal,
    clock: C,
    report: Report,
    /// Where the store is SQLite: the maintenance takes turns on it.
    connection: sqlite::WriteConnection,
    /// Why it is not to write at all, if so.
    refused: Option<Error>,
}

impl<C: Clock> Writer<C> {
    /// A follower of `journal`. Nothing is connected to yet.
    pub fn new(settings: Settings, journal: Journal, clock: C) -> Self {
        let report = Report::new(settings.url.clone(), journal.clone());
        let connection = sqlite::WriteConnection::default();
        Self { settings, journal, clock, report, connection, refused: None }
    }

    /// The same behind a gap, if one was accepted at this start, which is told along with its state;
    /// or, if it may not be accepted, one that ends with that error.
    #[must_use]
    pub fn behind(mut self, gap: Result<Option<Gap>, Error>) -> Self {
        match gap {
            Ok(gap) => self.report.behind(gap),
            Err(error) => self.refused = Some(error),
        }
        self
    }

    /// How it is doing, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.report.subscribe()
    }

    /// The maintenance of the same database, to be run beside this.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance<C>
    where
        C: Clone,
    {
        let connection = self.connection.clone();
        Maintenance::new(self.settings.clone(), connection, self.state(), self.clock.clone())
    }

    /// Writes what the journal brings until it is closed and everything is written. Dropping it
    /// loses nothing: what was not committed comes again at the next start.
    ///
    /// # Errors
    /// [`Error`] when going on could not help; never because the database is away, save after the
    /// journal has closed and `drain_timeout` has passed.
    pub async fn run(mut self) -> Result<(), Error> {
        let result = match (self.refused.take(), &self.settings.url.0) {
            (Some(error), _) => Err(error),
            (None, Kind::Postgres(config)) => {
                self.run_on(postgres::Postgres::new(config, &self.settings)).await
            }
            (None, Kind::Sqlite(path)) => {
                self.run_on(sqlite::Sqlite::new(path, self.connection.clone())).await
            }
        };
        self.report.ended(result.as_ref().err().map(|error| super::chain(error)));
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
                Err(Failure::Refused(fault)) => {
                    format!("the database refuses a row, and to set it aside: {fault}")
                }
            };
            self.report.away(reason, self.clock.now());
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
        let mut stand = self.resume(&mut session).await?;
        let follower = self.journal.follow(stand.cursor.position).map_err(Error::Journal)?;
        let mut intake = Intake { follower, waiting: VecDeque::new(), closed: false };
        outage.tail = None;
        self.report.connected(stand.cursor.position);
        let mut batch = Batch::after(stand.cursor);
        let mut last_flush = None;
        loop {
            self.fill(&mut batch, &mut intake, &mut session, last_flush).await?;
            if batch.is_empty() {
                // The journal is closed, and nothing is left.
                return Ok(());
            }
            let begun = Instant::now();
            last_flush = Some(begun);
            stand = Stand { cursor: batch.end(), stored_at: later(stand.stored_at, &self.clock) };
            let (readings, mut next) = (batch.readings.len(), Batch::after(stand.cursor));
            let receipts = std::mem::take(&mut batch.receipts);
            let write = session.write(batch, stand.stored_at);
            let written = self.gather_meanwhile(write, &mut next, &mut intake).await?;
            outage.over();
            let now = self.clock.now();
            stages::passed(Stage::Stored, now, receipts);
            traces::stored(stand.cursor.position, now);
            self.report.stored(stand.cursor.position, readings, &written, begun.elapsed());
            batch = next;
        }
    }

    /// Where the database stands, after giving it a cursor if it has none.
    async fn resume<T: Session>(&self, session: &mut T) -> Result<Stand, Failure> {
        let stored = session.stand(self.journal.partition()).await?;
        let extent = Extent::of(&self.journal);
        let stored_cursor = stored.map(|stand| stand.cursor);
        let cursor = self.journal.cursor(resume(stored_cursor, extent)?);
        if let Some(stored) = stored {
            return Ok(Stand { cursor, ..stored });
        }
        let stand = Stand { cursor, stored_at: self.clock.now() };
        session.begin(stand).await?;
        Ok(stand)
    }

    /// Waits until a batch is written, and gathers the next one meanwhile. Not cancel safe.
    async fn gather_meanwhile(
        &self,
        write: impl Future<Output = Result<Written, Failure>>,
        next: &mut Batch,
        intake: &mut Intake,
    ) -> Result<Written, Failure> {
        let mut write = pin!(write);
        loop {
            self.take(next, intake);
            tokio::select! {
                biased;
                written = &mut write => return written,
                more = intake.more(), if !intake.closed && !self.is_full(next) => more?,
            }
        }
    }

    /// Takes entries until the batch is full, its time has come, or the journal is closed.
    async fn fill<T: Session>(
        &self,
        batch: &mut Batch,
        intake: &mut Intake,
        session: &mut T,
        last_flush: Option<Instant>,
    ) -> Result<(), Failure> {
        loop {
            self.take(batch, intake);
            if self.is_full(batch) || intake.is_done() {
                return Ok(());
            }
            // In this order: entries that are there already go into the batch even when it is due.
            tokio::select! {
                biased;
                reason = session.lost() => return Err(Failure::Away(reason)),
                more = intake.more() => more?,
                () = sleep_until(self.due(batch, last_flush)), if !batch.is_empty() => {
                    return Ok(());
                }
            }
        }
    }

    /// Takes entries that are here already, until the batch is full.
    fn take(&self, batch: &mut Batch, intake: &mut Intake) {
        while !self.is_full(batch)
            && let Some(entry) = intake.waiting.pop_front()
        {
            batch.push(&entry);
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
                    return Err(Error::Undrained { cursor: self.report.cursor(), waited });
                }
                pause.as_mut().await;
                return Ok(());
            }
            tokio::select! {
                () = &mut pause => return Ok(()),
                news = outage.watch(&self.journal) => {
                    news?;
                    self.report.grown();
                }
            }
        }
    }
}

/// The time of a transaction that follows one of `last`.
fn later(last: Timestamp, clock: &impl Clock) -> Timestamp {
    clock.now().max(last.plus(Duration::from_micros(1)))
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
