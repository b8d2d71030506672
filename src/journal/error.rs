//! Why the journal could not do something, and what to do about it.

use std::path::PathBuf;

use super::storage::Failure;
use super::{Settings, entry};
use crate::position::{JournalId, Partition, Position};

/// Why the journal could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured limit is below what the storage itself takes.
    #[error("max_bytes {max_bytes} of the journal is less than {}", Settings::MAX_BYTES_MIN)]
    LimitTooSmall {
        /// The configured limit.
        max_bytes: u64,
    },
    /// Another process works on the directory.
    #[error("the journal directory {} is locked: another process holds it", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not empty and is not a journal's directory", dir.display())]
    NotAJournal {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was written by a later version of the service.
    #[error("the journal in {} has format {version}, newer than this service knows", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        version: u32,
    },
    /// A journal was being rebuilt in the directory, and that was cut off.
    #[error(
        "a restore into {} was cut off: run `pulseward restore --from-store` again",
        dir.display()
    )]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },
    /// A journal can't be rebuilt in a directory that holds one.
    #[error("{} holds a journal: move it away first, nothing in it is touched", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is another partition's.
    #[error("the journal in {} is of partition {}, not {}", dir.display(), found.0, expected.0)]
    OtherPartition {
        /// The directory.
        dir: PathBuf,
        /// The partition of the settings.
        expected: Partition,
        /// The partition that wrote it.
        found: Partition,
    },
    /// The directory could not be prepared.
    #[error("{action} {}", path.display())]
    Directory {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The storage failed. From a writer's call: the writer is broken now.
    #[error("{action} the journal")]
    Storage {
        /// What was being done.
        action: &'static str,
        /// What went wrong.
        #[source]
        source: Failure,
    },
    /// The storage failed because the file system is full. The writer is broken now.
    #[error(
        "{action} the journal in {}: its file system is full ({available_bytes} bytes left). \
         Nothing acknowledged is lost: make room there, then start the service again",
        dir.display()
    )]
    NoSpace {
        /// What was being done.
        action: &'static str,
        /// The journal's directory.
        dir: PathBuf,
        /// What the file system has left.
        available_bytes: u64,
        /// What went wrong.
        #[source]
        source: Failure,
    },
    /// An earlier write failed; the process must end.
    #[error("writing the journal failed before; the process must end")]
    Broken,
    /// Bytes on disk are not an entry.
    #[error("reading an entry of the journal")]
    Entry(#[from] entry::DecodeEntryError),
    /// Entries that should be there are not: the disk lost them.
    #[error("the journal has a hole behind position {after}")]
    Hole {
        /// The last position before it.
        after: Position,
    },
    /// Entries behind this position are no longer kept.
    #[error("position {after} is too old: the journal begins at {first}")]
    TooOld {
        /// The position asked for.
        after: Position,
        /// The oldest entry kept.
        first: Position,
    },
    /// The position was never reached here.
    #[error("position {after} is beyond the journal, which ends at {last}")]
    Beyond {
        /// The position asked for.
        after: Position,
        /// The newest entry.
        last: Position,
    },
    /// The cursor belongs to another history or partition.
    #[error("the cursor is of journal {found}, partition {}, not of this one, {expected}", partition.0)]
    Foreign {
        /// The journal's id.
        expected: JournalId,
        /// The cursor's.
        found: JournalId,
        /// The cursor's partition.
        partition: Partition,
    },
}

impl Error {
    pub(super) fn storage(action: &'static str) -> impl FnOnce(Failure) -> Self {
        move |source| Self::Storage { action, source }
    }
}
