//! The durable journal: every input with everything it led to, in one order, on one disk.
//!
//! One [`Writer`] commits batches of entries; any number of [`Follower`]s read them, each at its
//! own pace. What it promises:
//!
//! - A commit is atomic and durable when [`Writer::commit`] returns: one batch, one `fdatasync`.
//!   Followers see its entries only then, so nobody ever acts on what a crash takes back (V1).
//! - After a crash the journal is a prefix: it holds every acknowledged commit, perhaps the one
//!   being written, whole, and never a hole between (V2). A gap that a failing disk leaves is
//!   found by whoever reads across it and is an error, never skipped.
//! - A failed write or fsync is never retried. The writer is then broken for good, every later
//!   call fails, and the process must end: only a fresh open tells what reached the disk.
//! - A follower gets exactly the entries behind its position, in order, once: from memory while
//!   it is at most [`Settings::memory_bytes`] behind, else from disk, and again from memory once
//!   it has caught up. It holds nobody up and is held up by nobody.
//! - Each directory has a lock, so that two processes never write it, and a
//!   [`JournalId`], so that a cursor of another history is an error and not a wrong answer.
//! - A checkpoint is written in pieces that go along with the commits, one with each. A crash at any
//!   moment leaves the last checkpoint or the new one, whole.
//!
//! What it does about the disk limit: [`Settings::max_bytes`] is for all that the storage has on
//! disk (entries, checkpoint, and the write-ahead log with its preallocation). [`Writer::room`]
//! tells what is left of it: at [`Room::Low`] the resume window is given up by
//! [`Writer::retain`], at [`Room::CommandsOnly`] the last twentieth is left for commands. It is
//! measured every few MiB, with slack for what the storage does in between; only a compaction of
//! the checkpoint may exceed it for a moment, by the tables being merged. A commit is never refused
//! for it, because what must go on would be lost by that: to take no more messages where only
//! commands have room is the partition's part.
//!
//! A file system with less space than that is a limit too, told the same way and before a write
//! fails ([`Shortage::FileSystem`]). Where others fill it faster than it is seen, a write does
//! fail, and [`Error::NoSpace`] says so.
//!
//! What it deliberately does not do: read a clock, interpret an entry beyond its `received_at`,
//! or decide when to checkpoint and to retain.

pub mod checkpoint;
mod directory;
mod disk;
pub mod entry;
mod error;
mod follower;
mod meta;
mod storage;
mod window;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use self::checkpoint::{BlobKey, Blobs, Checkpoint};
pub use self::directory::Contents;
pub use self::disk::Shortage;
pub use self::entry::Entry;
pub use self::error::Error;
pub use self::follower::{Follower, Progress};
pub use self::writer::{Record, Writer};

use self::directory::Directory;
#[cfg(test)]
pub(crate) use self::storage::memory;
use self::storage::{Found, Reader, available, is_for_want_of_space, segments};
use self::window::Window;
use crate::position::{Cursor, JournalId, Partition, Position};

/// Where the journal is kept, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its directory, of its own; made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// The partition whose journal it is. A directory belongs to one.
    pub partition: Partition,
    /// What it may take on disk, all in all. At least [`Settings::MAX_BYTES_MIN`].
    pub max_bytes: u64,
    /// Old entries go in segments of about this size: small beside the limit, so that letting one
    /// go is a small step, and large enough that beginning one, which takes a few fsyncs, is rare.
    pub segment_bytes: u64,
    /// The newest entries kept in memory for followers, by their estimated size there. Less makes
    /// followers read from disk sooner; it loses nothing.
    pub memory_bytes: usize,
    /// Entries younger than this stay, so that clients can resume, though nothing else needs them.
    pub resume_window: Duration,
}

impl Settings {
    /// 10 GiB: about 50 million messages of 200 bytes.
    pub const MAX_BYTES_DEFAULT: u64 = 10 << 30;
    /// 1 GiB. The storage's write-ahead log takes up to a quarter of it before it is cleared, and
    /// for a while holds on to the files of as many entries that were let go.
    pub const MAX_BYTES_MIN: u64 = 1 << 30;
    /// 128 MiB: 80 of them in the default limit.
    pub const SEGMENT_BYTES_DEFAULT: u64 = 128 << 20;
    /// 64 MiB: several seconds at full ingest, so that a follower survives a pause in memory.
    pub const MEMORY_BYTES_DEFAULT: usize = 64 << 20;
    /// A day: a client that slept over night resumes without a new snapshot.
    pub const RESUME_WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

    /// The defaults, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            partition: Partition::FIRST,
            max_bytes: Self::MAX_BYTES_DEFAULT,
            segment_bytes: Self::SEGMENT_BYTES_DEFAULT,
            memory_bytes: Self::MEMORY_BYTES_DEFAULT,
            resume_window: Self::RESUME_WINDOW_DEFAULT,
        }
    }
}

/// How much is left of the disk limit, or of the file system where that is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Plenty,
    /// Over 85 % are taken: [`Writer::retain`] gives up the resume window.
    Low,
    /// Over 95 % are taken: what is left is for commands, and for telling who read what.
    CommandsOnly,
    /// Over 97 % are taken: what is left is for commands that change something.
    ChangesOnly,
}

/// A journal that was opened.
pub struct Opened {
    /// Its read side.
    pub journal: Journal,
    /// Its write side.
    pub writer: Writer,
    /// The last checkpoint, if one was ever made. Drop it once it is restored: it pins what
    /// compaction could clear.
    pub checkpoint: Option<Checkpoint>,
}

/// Opens the journal in `settings.dir`, or begins a new one there.
///
/// Blocking. The directory is locked until every part of [`Opened`], and every [`Follower`] made
/// from it, is dropped.
///
/// # Errors
/// [`Error::Locked`] if another process has it; [`Error::NotAJournal`], [`Error::Newer`] and
/// [`Error::OtherPartition`] if it holds something else; other errors if the disk fails or holds
/// what a crash alone can't explain.
pub fn open(settings: &Settings) -> Result<Opened, Error> {
    if settings.max_bytes < Settings::MAX_BYTES_MIN {
        return Err(Error::LimitTooSmall { max_bytes: settings.max_bytes });
    }
    let directory = Directory::open(&settings.dir)?;
    open_in(directory, settings, None)
}

/// Begins a journal that is rebuilt from where the store stands, under a new id. It can't be opened
/// before [`Journal::finish_restored`]; until then this may be called again, and begins anew.
///
/// Blocking.
///
/// # Errors
/// [`Error::InUse`] if the directory holds a journal, and those of [`open`].
pub fn begin_restored(settings: &Settings, from: Cursor) -> Result<Opened, Error> {
    if settings.max_bytes < Settings::MAX_BYTES_MIN {
        return Err(Error::LimitTooSmall { max_bytes: settings.max_bytes });
    }
    let directory = Directory::begin_restored(&settings.dir)?;
    open_in(directory, settings, Some(from))
}

/// What is in a directory that may be a journal's.
///
/// # Errors
/// [`Error::NotAJournal`] if that is something else, [`Error::Newer`], or what the disk said.
pub fn contents(dir: &Path) -> Result<Contents, Error> {
    directory::contents(dir)
}

fn open_in(
    directory: Directory,
    settings: &Settings,
    restored_from: Option<Cursor>,
) -> Result<Opened, Error> {
    let found = segments::open(&directory, settings, restored_from);
    let found = found.map_err(|error| name_want_of_space(error, &settings.dir))?;
    Ok(assemble(settings, found, Some(directory)))
}

/// A start also writes: it says where there is no space for that.
fn name_want_of_space(error: Error, dir: &Path) -> Error {
    match error {
        Error::Storage { action, source } if is_for_want_of_space(&source) => {
            let (dir, available_bytes) = (dir.to_owned(), available(dir).unwrap_or_default());
            Error::NoSpace { action, dir, available_bytes, source }
        }
        other => other,
    }
}

/// Builds a journal on any storage.
fn assemble(settings: &Settings, found: Found, directory: Option<Directory>) -> Opened {
    let Found { storage, reader, journal_id, restored_from, last, checkpoint } = found;
    let (progress, seen) = watch::channel(last);
    let shared = Arc::new(Shared {
        id: journal_id,
        restored_from,
        partition: settings.partition,
        reader,
        window: Mutex::new(Window::new(last, settings.memory_bytes)),
        directory,
    });
    let checkpointed = checkpoint.as_ref().map_or(Position::START, |found| found.position);
    let writer = Writer::new(settings, storage, Arc::clone(&shared), progress, checkpointed);
    Opened { journal: Journal { shared, progress: seen }, writer, checkpoint }
}

/// What the writer, the readers and every follower share.
struct Shared {
    id: JournalId,
    restored_from: Option<Cursor>,
    partition: Partition,
    reader: Box<dyn Reader>,
    /// The newest entries. Held for the copying of pointers only, never over a read or an await.
    window: Mutex<Window>,
    /// Declared last: the lock outlives the storage that it protects.
    directory: Option<Directory>,
}

impl Shared {
    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        // A window is consistent between any two of its operations.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries behind `after` up to `last`, at least one and not much more than `bytes_max`.
    fn read_disk(
        &self,
        after: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        let found = self.reader.read(after, last, bytes_max).map_err(Error::storage("reading"))?;
        let mut expected = after.next();
        let mut entries = Vec::with_capacity(found.len());
        for (position, bytes) in found {
            if position != expected {
                break;
            }
            entries.push(Arc::new(entry::decode(position, &bytes)?));
            expected = position.next();
        }
        if !entries.is_empty() || after == last {
            return Ok(entries);
        }
        let first = self.reader.first();
        if after.next() < first {
            Err(Error::TooOld { after, first })
        } else {
            Err(Error::Hole { after })
        }
    }
}

/// The read side of a journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    progress: watch::Receiver<Position>,
}

impl Journal {
    /// The identity of this history.
    #[must_use]
    pub fn journal_id(&self) -> JournalId {
        self.shared.id
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.shared.partition
    }

    /// Where the store stood when this journal was rebuilt from it, if it was.
    #[must_use]
    pub fn restored_from(&self) -> Option<Cursor> {
        self.shared.restored_from
    }

    /// Everything that it was rebuilt from stands in it: from here on it may be opened.
    ///
    /// # Errors
    /// [`Error::Directory`] if the disk fails.
    pub fn finish_restored(&self) -> Result<(), Error> {
        self.shared.directory.as_ref().map_or(Ok(()), Directory::finish_restored)
    }

    /// The oldest entry that is kept; the one to come if there is none.
    #[must_use]
    pub fn first(&self) -> Position {
        self.shared.reader.first()
    }

    /// The newest durable entry; [`Position::START`] before the first.
    #[must_use]
    pub fn last(&self) -> Position {
        *self.progress.borrow()
    }

    /// The cursor of a follower that has done everything up to `position`.
    #[must_use]
    pub fn cursor(&self, position: Position) -> Cursor {
        Cursor { journal_id: self.shared.id, partition: self.shared.partition, position }
    }

    /// What the journal has on disk, preallocated space included. Looks at every file: not for a
    /// hot path.
    ///
    /// # Errors
    /// [`Error::Storage`] if the disk doesn't say.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        self.shared.reader.disk_bytes().map_err(Error::storage("measuring"))
    }

    /// Entries behind `after`, from disk: about `bytes_max` of them, at least one unless `after`
    /// is the last. Blocking; for the replay at start.
    ///
    /// # Errors
    /// [`Error::TooOld`], [`Error::Beyond`], [`Error::Hole`], or what the disk said.
    pub fn read(&self, after: Position, bytes_max: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let last = self.check(after)?;
        self.shared.read_disk(after, last, bytes_max)
    }

    /// A follower that begins behind `after`.
    ///
    /// # Errors
    /// [`Error::TooOld`] if entries behind `after` are gone, [`Error::Beyond`] if `after` was
    /// never reached.
    pub fn follow(&self, after: Position) -> Result<Follower, Error> {
        self.check(after)?;
        Ok(Follower::new(Arc::clone(&self.shared), self.progress.clone(), after))
    }

    /// A follower that goes on where `cursor` stands.
    ///
    /// # Errors
    /// [`Error::Foreign`] if the cursor is of another journal, and those of [`Journal::follow`].
    pub fn resume(&self, cursor: Cursor) -> Result<Follower, Error> {
        let Shared { id, partition, .. } = *self.shared;
        if cursor.journal_id != id || cursor.partition != partition {
            return Err(Error::Foreign {
                expected: id,
                found: cursor.journal_id,
                partition: cursor.partition,
            });
        }
        self.follow(cursor.position)
    }

    /// The last position, if `after` lies within the journal.
    fn check(&self, after: Position) -> Result<Position, Error> {
        let (first, last) = (self.first(), self.last());
        if after > last {
            Err(Error::Beyond { after, last })
        } else if after.next() < first {
            Err(Error::TooOld { after, first })
        } else {
            Ok(last)
        }
    }
}
