//! What a lost data directory is rebuilt from: the rows as of the store's cursor, as chunks for the
//! engine.
//!
//! Promises: all chunks are of one snapshot; they come in the order that the engine wants, each
//! bounded in size; and [`Source::hand_over`] makes the new journal the database's own only if the
//! database still stands where it was read. A row that makes no sense is an error, never skipped.
//!
//! Readings are read only as far as something must be recognised by them: those received in the
//! last [`RECENT`] before the cursor's.

mod alerts;
mod people;
mod recent;
pub(in crate::store) mod rows;

use std::time::Duration;

use tokio::runtime::Handle;

use super::ledger::{Ledger, LedgerError, Query, Type};
use super::lineage::{self, How};
use super::settings::Kind;
use super::{Settings, postgres, row, sqlite};
use crate::clock::Timestamp;
use crate::engine::audit::{Digest, Head};
use crate::engine::restore::{Chunk, Totals};
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::vitals::PatientKey;

/// For how long before the cursor readings are looked at: as long as unnumbered ones are recognised.
pub const RECENT: Duration = Duration::from_secs(10 * 60);
/// Rows of a chunk. An entry of the journal of as many is some hundred KiB.
const CHUNK_ROWS: usize = 512;
/// Profiles of a chunk: each may be as long as hundreds of other rows.
const CHUNK_PROFILES: usize = 8;

/// What becomes of each chunk. Its error ends the reading.
pub type EachChunk<'a, E> = &'a mut dyn FnMut(Chunk) -> Result<(), E>;

/// Why a database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E: std::error::Error + 'static> {
    /// The database.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Whoever takes the chunks.
    #[error(transparent)]
    Taker(E),
}

/// Where a database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCursor {
    /// The last entry whose rows are there.
    pub cursor: Cursor,
    /// When it was received; about then, where the database was written by an earlier version.
    pub received_at: Timestamp,
}

/// How many rows there are of what is rebuilt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sites.
    pub sites: u64,
    /// Patients.
    pub patients: u64,
    /// Devices.
    pub devices: u64,
    /// Alerts that are not over.
    pub open_alerts: u64,
}

/// A database from which a journal is rebuilt.
pub struct Source {
    ledger: Box<dyn Ledger>,
    partition: Partition,
}

/// Connects to a database for a person's command. Blocking.
pub(super) fn open_ledger(
    settings: &Settings,
    runtime: Handle,
) -> Result<Box<dyn Ledger>, LedgerError> {
    match &settings.url.0 {
        Kind::Postgres(config) => postgres::ledger(config, settings, runtime),
        Kind::Sqlite(path) => sqlite::ledger(path),
    }
}

impl Source {
    /// Connects to the database, and brings its schema up to date. Blocking: from a thread that may
    /// wait, with the runtime that moves the connection's bytes.
    ///
    /// # Errors
    /// [`LedgerError`] if it can't be reached.
    pub fn open(settings: &Settings, runtime: Handle) -> Result<Self, LedgerError> {
        // A file that is not there is not a store that holds nothing.
        if let Kind::Sqlite(path) = &settings.url.0
            && !path.is_file()
        {
            let reason = format!("there is no file {}", path.display());
            return Err(LedgerError::Unavailable { action: "opening", reason });
        }
        Ok(Self { ledger: open_ledger(settings, runtime)?, partition: Partition::FIRST })
    }

    /// Where the database stands, if it holds rows of any journal. Blocking.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn cursor(&mut self) -> Result<Option<StoredCursor>, LedgerError> {
        lineage::stored_cursor(&mut *self.ledger, self.partition)
    }

    /// How many rows there are. Blocking.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn counts(&mut self) -> Result<Counts, LedgerError> {
        let query = Query {
            sql: "SELECT (SELECT count(*) FROM @sites), (SELECT count(*) FROM @patients),
                         (SELECT count(*) FROM @devices WHERE device_key <> -1),
                         (SELECT count(*) FROM @alerts WHERE NOT is_over AND NOT retrospective)",
            types: &[Type::Int; 4],
            values: Vec::new(),
        };
        let Some(mut row) = self.ledger.one(&query)? else { return Ok(Counts::default()) };
        Ok(Counts {
            sites: row.number()?,
            patients: row.number()?,
            devices: row.number()?,
            open_alerts: row.number()?,
        })
    }

    /// Everything, as of `stored`. Blocking.
    ///
    /// # Errors
    /// [`ReadError`]: of the database, or of whoever takes the chunks.
    pub fn chunks<E: std::error::Error + 'static>(
        &mut self,
        stored: StoredCursor,
        each: EachChunk<'_, E>,
    ) -> Result<(), ReadError<E>> {
        let recent = recent::read(&mut *self.ledger, stored.received_at.minus(RECENT))?;
        self.give(each, CHUNK_ROWS, Chunk::Sites, rows::sites)?;
        self.give(each, CHUNK_PROFILES, Chunk::Profiles, rows::shared_profiles)?;
        let mut patients = 0;
        self.give(each, CHUNK_ROWS, Chunk::Patients, |ledger, take| {
            people::patients(ledger, &recent, &mut |patient| {
                patients = patients.max(patient.row.key.0.saturating_add(1));
                take(patient)
            })
        })?;
        self.give(each, CHUNK_ROWS, Chunk::Erased, people::erased)?;
        self.give(each, CHUNK_PROFILES, Chunk::Profiles, rows::own_profiles)?;
        self.give(each, CHUNK_ROWS, Chunk::Devices, |ledger, take| {
            people::devices(ledger, recent, take)
        })?;
        self.give(each, CHUNK_ROWS, Chunk::Alerts, alerts::open_alerts)?;
        let count = u32::try_from(CHUNK_ROWS).expect("small");
        for first in (0..patients).step_by(CHUNK_ROWS) {
            each(Chunk::Settle { first: PatientKey(first), count }).map_err(ReadError::Taker)?;
        }
        let totals = self.totals()?;
        each(Chunk::End(totals)).map_err(ReadError::Taker)
    }

    /// Gives what `read` reads in chunks of at most so many.
    fn give<T, E: std::error::Error + 'static>(
        &mut self,
        each: EachChunk<'_, E>,
        rows_max: usize,
        chunk: fn(Vec<T>) -> Chunk,
        read: impl FnOnce(&mut dyn Ledger, Take<'_, T>) -> Result<(), LedgerError>,
    ) -> Result<(), ReadError<E>> {
        let mut rows = Vec::new();
        // A taker's error stops the reading by one of the reader's, which nobody is shown.
        let mut refused = None;
        let read = read(&mut *self.ledger, &mut |row| {
            rows.push(row);
            if rows.len() < rows_max {
                return Ok(());
            }
            each(chunk(std::mem::take(&mut rows))).map_err(|error| {
                refused = Some(error);
                LedgerError::Unavailable { action: "reading", reason: "given up".to_owned() }
            })
        });
        if let Some(error) = refused {
            return Err(ReadError::Taker(error));
        }
        read?;
        if rows.is_empty() { Ok(()) } else { each(chunk(rows)).map_err(ReadError::Taker) }
    }

    fn totals(&mut self) -> Result<Totals, LedgerError> {
        let query = Query {
            sql: "SELECT (SELECT CAST(number AS bigint) FROM @redrives WHERE partition = #1),
                         (SELECT count(*) FROM @alerts WHERE patient_key IS NULL)",
            types: &[Type::Int; 2],
            values: vec![row::partition_cell(self.partition)],
        };
        let audit = self.audit_head()?;
        let Some(mut row) = self.ledger.one(&query)? else { return Ok(Totals::default()) };
        let redrives = row.int_or_null()?.unwrap_or(0).cast_unsigned();
        Ok(Totals { redrives, own_alerts: row.number()?, audit })
    }

    /// Where the chain of audit events ends, to which the next one is added.
    fn audit_head(&mut self) -> Result<Head, LedgerError> {
        let query = Query {
            sql: "SELECT CAST(number AS bigint), digest FROM @audit_events WHERE partition = #1
                  ORDER BY number DESC LIMIT 1",
            types: &[Type::Int, Type::Bytes],
            values: vec![row::partition_cell(self.partition)],
        };
        let Some(mut row) = self.ledger.one(&query)? else { return Ok(Head::default()) };
        let number = row.int()?.cast_unsigned();
        let digest = row.bytes_or_null()?.and_then(|digest| digest.as_ref().try_into().ok());
        let digest = Digest(digest.ok_or_else(|| row.wrong("a digest"))?);
        Ok(Head { number, digest })
    }

    /// Makes the rebuilt journal the database's own, from its first entry on; false if the database
    /// no longer stands at `from`: somebody has written to it. Once done it may be done again.
    /// Blocking.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn hand_over(
        &mut self,
        from: StoredCursor,
        journal: JournalId,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let to =
            Cursor { journal_id: journal, partition: self.partition, position: Position::START };
        lineage::hand_over(&mut *self.ledger, Some(from.cursor), to, How::Restored, Vec::new(), now)
    }
}

/// What becomes of each row of a kind.
pub(super) type Take<'a, T> = &'a mut dyn FnMut(T) -> Result<(), LedgerError>;
