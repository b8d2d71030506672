//! Waiting for fjall's flushes where writing outruns them.
//!
//! fjall itself holds up a write while four memtables of a keyspace wait to be flushed: it looks
//! again every 100 ms, and goes on looking for ever when its workers have failed. So we wait
//! before it comes to that, look more often, and end with an error when nobody flushes any more.

use std::thread;
use std::time::Duration;

use fjall::{Database, Keyspace, PersistMode};

use super::Failure;

/// One fewer than where fjall holds up a write; a write adds one at most.
const WAITING_MEMTABLES_MAX: usize = 3;
/// Short beside a flush, which takes some tens of milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Returns when a write to the keyspace won't be held up.
pub(super) fn wait_for_flushes(database: &Database, keyspace: &Keyspace) -> Result<(), Failure> {
    while keyspace.sealed_memtable_count() >= WAITING_MEMTABLES_MAX {
        // Syncs nothing. It fails once a worker has.
        database.persist(PersistMode::Buffer)?;
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
