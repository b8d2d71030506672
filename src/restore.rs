//! `pulseward restore --from-store`: a new data directory in the place of one that was lost, rebuilt
//! from the database.
//!
//! Promises: without `--yes` nothing is changed but the database's schema, which is brought up to
//! date as a start would; a directory that holds a journal is never touched, it is for a person to
//! move it away; what is being rebuilt can't be started before it is whole; and it may be cut off at
//! any moment and run again. The last step is the database's: it passes to the new journal in one
//! transaction, and only if nobody has written to it meanwhile.
//!
//! The new journal has an id of its own. Its first entries are the rows of the store, chunk by chunk,
//! received when the last entry was that the store has: to the engine the service was down since.
//!
//! Deliberately absent: it does not look for readings that are lost. What the devices' numbers say
//! is told (`--report`); which of them are really missing, `GetDeviceReport` says once devices have
//! sent again.

mod report;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Handle;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::engine::input::{Event, Input};
use crate::engine::restore::Chunk;
use crate::engine::{self, State};
use crate::journal::{self, Contents, Entry, Record};
use crate::position::{JournalId, Position};
use crate::store;
use crate::store::restore::{Counts, ReadError, Source, StoredCursor};

/// Bytes of entries that share a commit: each waits for the disk, and together they fit in memory.
const COMMIT_BYTES: usize = 4 << 20;

/// What is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Rebuild from the database that the configuration names. It is the only thing to rebuild from.
    #[arg(long, required = true)]
    pub from_store: bool,
    /// The configuration of the service.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Do it. Without this it is only told what would be done.
    #[arg(long)]
    pub yes: bool,
    /// Write to this file, line by line, up to which number each device's readings are stored.
    #[arg(long, value_name = "FILE.csv")]
    pub report: Option<PathBuf>,
}

/// Why nothing was restored, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds a journal.
    #[error(
        "{} holds a journal. If it can still be opened, start the service with it: it knows more \
         than the database. If it is damaged, move it away first (mv {0} {0}.lost): nothing in it \
         is touched here", dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The database holds nothing.
    #[error("the database {url} holds no rows of a journal: there is nothing to restore from")]
    Empty {
        /// The database, without its password.
        url: String,
    },
    /// Somebody wrote to the database.
    #[error(
        "the database was written to meanwhile: a service is running on it. Stop that, then run \
         this again"
    )]
    Moved,
    /// The database.
    #[error("reading the database")]
    Store(#[from] store::LedgerError),
    /// The new journal.
    #[error("writing the new journal")]
    Journal(#[from] journal::Error),
    /// What was to be told.
    #[error("writing {what}")]
    Report {
        /// Where.
        what: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it was only told what would be.
    Told,
    /// The journal was rebuilt, and the database is its own.
    Restored(JournalId),
    /// The journal had been rebuilt before; the database is its own now.
    Finished(JournalId),
}

/// Restores, or tells what it would do. Blocking: from a thread that may wait, with the runtime
/// that moves the database's bytes.
///
/// # Errors
/// [`Error`].
pub fn run(
    options: &Options,
    journal: &journal::Settings,
    store: &store::Settings,
    runtime: Handle,
    out: &mut impl Write,
) -> Result<Outcome, Error> {
    // Before the database is asked: what can't be done anyway is told at once.
    let contents = journal::contents(&journal.dir)?;
    let mut source = Source::open(store, runtime)?;
    let Some(stored) = source.cursor()? else {
        return Err(Error::Empty { url: store.url.to_string() });
    };
    if contents == Contents::Journal {
        return finish(options, journal, &mut source, stored, out);
    }
    let counts = source.counts()?;
    tell(out, &report::before(journal, store, stored, counts))?;
    let mut rebuilding = if options.yes {
        let opened = journal::begin_restored(journal, stored.cursor)?;
        Rebuilding::into_journal(opened, stored)
    } else {
        Rebuilding::nowhere(stored)
    };
    rebuild(&mut rebuilding, &mut source, stored, counts)?;
    if let Some(file) = &options.report {
        report::write(&rebuilding.state, file)?;
    }
    tell(out, &report::devices(&rebuilding.state, options.report.as_deref()))?;
    let Some(opened) = &rebuilding.journal else {
        tell(out, "Nothing was changed. Run it again with --yes to do it.\n")?;
        return Ok(Outcome::Told);
    };
    opened.journal.finish_restored()?;
    let id = opened.journal.journal_id();
    hand_over(&mut source, stored, id)?;
    tell(out, &report::after(journal, id))?;
    Ok(Outcome::Restored(id))
}

/// A directory that holds a journal is left alone, unless it is the one that was rebuilt from where
/// the database still stands: then only the last step is missing.
fn finish(
    options: &Options,
    settings: &journal::Settings,
    source: &mut Source,
    stored: StoredCursor,
    out: &mut impl Write,
) -> Result<Outcome, Error> {
    let journal = journal::open(settings)?.journal;
    if journal.restored_from() != Some(stored.cursor) {
        return Err(Error::InUse { dir: settings.dir.clone() });
    }
    let id = journal.journal_id();
    if !options.yes {
        tell(out, &report::unfinished(settings, id))?;
        return Ok(Outcome::Told);
    }
    hand_over(source, stored, id)?;
    tell(out, &report::after(settings, id))?;
    Ok(Outcome::Finished(id))
}

fn hand_over(source: &mut Source, stored: StoredCursor, id: JournalId) -> Result<(), Error> {
    if source.hand_over(stored, id, SystemClock.now())? { Ok(()) } else { Err(Error::Moved) }
}

fn tell(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()) {
        // Whoever has read enough is not told the rest.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Report { what: "what was found".to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn rebuild(
    rebuilding: &mut Rebuilding,
    source: &mut Source,
    stored: StoredCursor,
    counts: Counts,
) -> Result<(), Error> {
    // Shown where somebody looks; nothing in a log.
    let bar = ProgressBar::new(counts.sites + 2 * counts.patients + counts.devices).with_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len} rows {eta}").expect("valid"),
    );
    let read = source.chunks(stored, &mut |chunk| {
        bar.inc(rows(&chunk));
        rebuilding.take(chunk)
    });
    bar.finish_and_clear();
    read.map_err(|error| match error {
        ReadError::Ledger(error) => Error::Store(error),
        ReadError::Taker(error) => Error::Journal(error),
    })?;
    Ok(rebuilding.commit()?)
}

fn rows(chunk: &Chunk) -> u64 {
    let rows = match chunk {
        Chunk::Sites(rows) => rows.len(),
        Chunk::Patients(rows) => rows.len(),
        Chunk::Devices(rows) => rows.len(),
        Chunk::Settle { count, .. } => *count as usize,
        Chunk::Profiles(_) | Chunk::Alerts(_) | Chunk::Erased(_) | Chunk::End(_) => 0,
    };
    rows as u64
}

/// A state that is being rebuilt, and the journal that it goes into, if it goes into one.
struct Rebuilding {
    state: State,
    journal: Option<journal::Opened>,
    position: Position,
    /// Receipt of every entry: when the last one was received that the store has.
    received_at: Timestamp,
    records: Vec<Record>,
    bytes: usize,
}

impl Rebuilding {
    fn nowhere(stored: StoredCursor) -> Self {
        Self {
            state: State::default(),
            journal: None,
            position: Position::START,
            received_at: stored.received_at.min(SystemClock.now()),
            records: Vec::new(),
            bytes: 0,
        }
    }

    fn into_journal(opened: journal::Opened, stored: StoredCursor) -> Self {
        Self { journal: Some(opened), ..Self::nowhere(stored) }
    }

    fn take(&mut self, chunk: Chunk) -> Result<(), journal::Error> {
        let input =
            Input { received_at: self.received_at, event: Event::Restored(Box::new(chunk)) };
        let mut outputs = Vec::new();
        engine::apply(&mut self.state, &input, &mut outputs);
        if self.journal.is_none() {
            return Ok(());
        }
        self.position = self.position.next();
        let record = Record::new(Arc::new(Entry { position: self.position, input, outputs }));
        self.bytes += record.bytes.len();
        self.records.push(record);
        if self.bytes >= COMMIT_BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), journal::Error> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        match &mut self.journal {
            Some(opened) if !records.is_empty() => opened.writer.commit(records),
            _ => Ok(()),
        }
    }
}
