//! The store in a SQLite file: the embedded default, so that one binary runs with nothing beside
//! it. The same tables and the same promises as in Postgres, without partitions.
//!
//! One connection writes; its work runs on the runtime's threads for blocking work, one batch at
//! a time. The maintenance takes turns on it, so that neither finds the file locked. Readers have connections of their own, and in WAL mode neither waits for the other.
//!
//! `synchronous` is FULL: a commit is synced. The journal lets go of old entries by what is stored,
//! and when its disk goes short it does so at once; so a power cut must not take back what was told
//! to be stored. The follower's pace bounds the syncs: twenty a second, beside the journal's own.

mod aggregate;
mod alerts;
mod audit;
mod erasure;
mod expire;
mod export;
mod ledger;
mod maintain;
mod migrate;
mod notes;
mod query;
mod rejected;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use super::database::{Database, Failure};

pub(super) use export::export;
pub(super) use ledger::ledger;
pub(super) use maintain::Maintaining;
pub(super) use query::history;

/// How long a statement waits for another process that holds the file, such as a backup.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after a checkpoint: a burst may have made it large.
const LOG_BYTES_MAX: i64 = 64 << 20;

/// The file that the follower writes to.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    connection: WriteConnection,
}

impl Sqlite {
    pub(super) fn new(path: &Path, connection: WriteConnection) -> Self {
        Self { path: path.to_owned(), connection }
    }
}

/// The one connection that writes, while there is one. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteConnection(Arc<Mutex<Option<Connection>>>);

impl WriteConnection {
    /// Puts a new one in place of what was there.
    fn renew(&self, connection: Connection) {
        *self.lock() = Some(connection);
    }

    /// Works on it once nobody else does. Waits for the disk, so call it where that holds up
    /// nobody. Work that panics leaves no connection behind.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut place = self.lock();
        match place.as_mut() {
            Some(connection) => work(connection),
            None => Err(Failure::Away("the file is not open".to_owned())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.0.lock().unwrap_or_else(|poisoned| {
            self.0.clear_poison();
            let mut place = poisoned.into_inner();
            *place = None;
            place
        })
    }
}

impl Database for Sqlite {
    type Session = write::Writing;

    async fn open(&self) -> Result<write::Writing, Failure> {
        let (path, place) = (self.path.clone(), self.connection.clone());
        blocking(move || {
            make_private(&path).map_err(|error| Failure::Away(error.to_string()))?;
            let mut connection = connect(&path).map_err(|error| away(&error))?;
            migrate::migrate(&mut connection)?;
            place.renew(connection);
            Ok(write::Writing::new(place))
        })
        .await
    }
}

/// Creates the file if it is not there, readable by nobody else: it holds patients' data. SQLite
/// gives its log the same permissions.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
    Ok(connection)
}

/// Runs work that waits for the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.unwrap_or_else(|ended| Err(Failure::Away(ended.to_string())))
}

fn away(error: &rusqlite::Error) -> Failure {
    Failure::Away(super::chain(error))
}
