//! The storage on fjall: entries in segments, each a keyspace of its own.
//!
//! A segment's name says its first position, so that the journal's beginning is known without
//! looking for it: a scan that begins on deleted keys has to pass each of them. Old entries go by
//! dropping whole segments, which leaves no tombstones and gives compaction nothing to do; the
//! active segment is never dropped. Keys are big-endian positions. Entries are only ever appended
//! in order, so tables never overlap and compaction moves instead of rewriting them.
//!
//! Durability is fjall's write-ahead log, flushed by `fdatasync` with each batch. That is enough
//! where `fsync` would be: what it leaves out is the file's times, while size and extents, which
//! reading back needs, are in; new files are made durable by fjall with their directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::blobs::BlobStore;
use super::flushes::wait_for_flushes;
use super::{Batch, Failure, Found, Reader, Sealed, Space, Storage, log_tail, space};
use crate::clock::Timestamp;
use crate::journal::checkpoint::Piece;
use crate::journal::directory::{self, Directory};
use crate::journal::meta::{self, Identity, MetaRecord};
use crate::journal::{Error, Settings, entry};
use crate::position::{Cursor, JournalId, Partition, Position};

const META: &str = "meta";
const SEGMENT_PREFIX: &str = "entries-";

/// A flush writes a table of about this size. A segment must fill its memtable at least once:
/// fjall clears its write-ahead log only as it flushes.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// The write-ahead log is cleared when it grows beyond this. It bounds the replay at open, and
/// the entries that fjall holds in memory.
const LOG_BYTES: u64 = 128 << 20;
/// Blocks read from disk. Followers read forwards, once, so that there is little to gain.
const CACHE_BYTES: u64 = 16 << 20;
/// Large, for reading forwards.
const BLOCK_BYTES: u32 = 32 << 10;
/// One flushes while the other compacts.
const WORKERS: usize = 2;
/// Kept free of the file system, beside room to write the checkpoint anew: the preallocated part
/// of a write-ahead log file (64 MiB), which takes space only as it is filled, the tables flushed
/// before the log is cleared (128 MiB), and as much again as one of them for what others write
/// between two looks.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Entries from a position on, up to where the next segment begins.
#[derive(Clone)]
struct Segment {
    keyspace: Keyspace,
    /// Its last entry; the one before its first while it is empty.
    last: Position,
    /// Receipt of its last entry.
    newest: Timestamp,
}

/// Segments by their first position; never empty, the last one is active.
type Shelf = RwLock<BTreeMap<Position, Segment>>;

/// The write side.
struct Segments {
    database: Database,
    blobs: BlobStore,
    shelf: Arc<Shelf>,
    segment_bytes: u64,
    /// What the active segment holds.
    active_bytes: u64,
}

/// The read side.
struct SegmentReader {
    /// Its keyspaces can be read while it is open, which readers may need longer than the writer.
    _database: Database,
    shelf: Arc<Shelf>,
    /// Measured as the file system sees it: fjall itself doesn't count segments that were dropped
    /// and whose files its write-ahead log still holds.
    dir: PathBuf,
    /// What writing the checkpoint anew would take.
    compaction_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Opens what the directory holds, or begins a new journal.
pub(in crate::journal) fn open(
    directory: &Directory,
    settings: &Settings,
    restored_from: Option<Cursor>,
) -> Result<Found, Error> {
    let opening = |failure: fjall::Error| Error::storage("opening")(failure.into());
    log_tail::settle(&directory.storage())
        .map_err(|damage| Error::storage("opening")(damage.into()))?;
    let database = Database::builder(directory.storage())
        .cache_size(CACHE_BYTES)
        .max_journaling_size(LOG_BYTES)
        .worker_threads(WORKERS)
        .open()
        .map_err(opening)?;
    let meta = database.keyspace(META, KeyspaceCreateOptions::default).map_err(opening)?;
    let shelf = open_shelf(&database, settings.segment_bytes)?;
    let identity = identify(&database, &meta, settings.partition, restored_from)
        .map_err(Error::storage("opening"))?;
    if identity.partition != settings.partition {
        return Err(Error::OtherPartition {
            dir: directory.path().to_owned(),
            expected: settings.partition,
            found: identity.partition,
        });
    }
    let blobs = BlobStore::open(&database, &meta).map_err(Error::storage("opening"))?;
    let checkpoint = blobs.checkpoint();
    let (last, active_bytes) = shelf
        .last_key_value()
        .map_or((Position::START, 0), |(_, active)| (active.last, active.keyspace.disk_space()));
    let shelf = Arc::new(RwLock::new(shelf));
    let reader = SegmentReader {
        _database: database.clone(),
        shelf: Arc::clone(&shelf),
        dir: directory.storage(),
        compaction_bytes: Box::new(blobs.compaction_bytes()),
    };
    let segment_bytes = settings.segment_bytes;
    let storage = Segments { database, blobs, shelf, segment_bytes, active_bytes };
    Ok(Found {
        storage: Box::new(storage),
        reader: Box::new(reader),
        journal_id: identity.journal_id,
        restored_from: identity.restored_from,
        last,
        checkpoint,
    })
}

impl Segments {
    /// The keyspace that an entry at `next` goes to, a new one if the active segment is full.
    fn active(&mut self, next: Position) -> Result<Keyspace, Failure> {
        if self.active_bytes < self.segment_bytes {
            let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
            let (_, active) = shelf.last_key_value().expect("a shelf is never empty");
            return Ok(active.keyspace.clone());
        }
        let segment = new_segment(&self.database, next, self.segment_bytes)?;
        let keyspace = segment.keyspace.clone();
        self.shelf.write().unwrap_or_else(PoisonError::into_inner).insert(next, segment);
        self.active_bytes = 0;
        Ok(keyspace)
    }
}

impl Storage for Segments {
    fn append(&mut self, batch: Batch) -> Result<(), Failure> {
        let (Some(&(first, _)), Some(&(last, _))) = (batch.records.first(), batch.records.last())
        else {
            return Ok(());
        };
        let keyspace = self.active(first)?;
        wait_for_flushes(&self.database, &keyspace)?;
        let mut write = self.database.batch().durability(Some(PersistMode::SyncData));
        for (position, bytes) in batch.records {
            self.active_bytes += bytes.len() as u64;
            write.insert(&keyspace, position.0.to_be_bytes(), bytes);
        }
        self.blobs.put(&mut write, batch.piece)?;
        write.commit()?;
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut active) = shelf.last_entry() {
            active.get_mut().last = last;
            active.get_mut().newest = batch.newest;
        }
        Ok(())
    }

    fn checkpoint_piece(&mut self, piece: Piece) -> Result<(), Failure> {
        self.blobs.write(piece)
    }

    fn complete_checkpoint(&mut self, piece: Piece, position: Position) -> Result<(), Failure> {
        self.blobs.complete(piece, position)
    }

    fn drop_through(&mut self, last: Position) -> Result<(), Failure> {
        loop {
            let oldest = {
                let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
                if shelf.len() == 1 {
                    return Ok(());
                }
                match shelf.first_entry() {
                    Some(oldest) if oldest.get().last <= last => oldest.remove(),
                    _ => return Ok(()),
                }
            };
            self.database.delete_keyspace(oldest.keyspace)?;
        }
    }
}

impl SegmentReader {
    fn shelf(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Position, Segment>> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for SegmentReader {
    fn first(&self) -> Position {
        self.shelf().first_key_value().map_or(Position::START.next(), |(first, _)| *first)
    }

    fn sealed(&self) -> Vec<Sealed> {
        let shelf = self.shelf();
        let sealed = shelf.values().take(shelf.len().saturating_sub(1));
        sealed.map(|segment| Sealed { last: segment.last, newest: segment.newest }).collect()
    }

    fn read(
        &self,
        after: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<(Position, Bytes)>, Failure> {
        let next = after.next();
        let Some(segment) =
            self.shelf().range(..=next).next_back().map(|(_, segment)| segment.clone())
        else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        for found in segment.keyspace.range(next.0.to_be_bytes()..=last.0.to_be_bytes()) {
            let (key, record) = found.into_inner()?;
            bytes += record.len();
            records.push((position_of(&key)?, Bytes::from(record)));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(records)
    }

    fn disk_bytes(&self) -> Result<u64, Failure> {
        Ok(directory::bytes_in(&self.dir)?)
    }

    fn space(&self) -> Result<Space, Failure> {
        let reserved = FREE_BYTES_MIN.saturating_add((self.compaction_bytes)());
        Ok(Space { available: space::available(&self.dir)?, reserved })
    }
}

fn position_of(key: &[u8]) -> Result<Position, Failure> {
    Ok(Position(u64::from_be_bytes(key.try_into()?)))
}

fn entry_options(segment_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES.min(segment_bytes / 2))
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        // Nobody asks whether one key is there.
        .filter_policy(FilterPolicy::disabled())
}

fn new_segment(
    database: &Database,
    first: Position,
    segment_bytes: u64,
) -> Result<Segment, fjall::Error> {
    let name = format!("{SEGMENT_PREFIX}{:020}", first.0);
    let keyspace = database.keyspace(&name, || entry_options(segment_bytes))?;
    Ok(Segment { keyspace, last: Position(first.0 - 1), newest: Timestamp::MIN })
}

/// The segments on disk, checked to follow one another, or a first one.
fn open_shelf(
    database: &Database,
    segment_bytes: u64,
) -> Result<BTreeMap<Position, Segment>, Error> {
    let opening = |failure| Error::storage("opening")(failure);
    let mut shelf = BTreeMap::new();
    for name in database.list_keyspace_names() {
        let Some(first) = name.strip_prefix(SEGMENT_PREFIX) else { continue };
        let first = Position(first.parse().map_err(|error| opening(Failure::from(error)))?);
        let segment = open_segment(database, first, segment_bytes).map_err(opening)?;
        shelf.insert(first, segment);
    }
    for (segment, next) in shelf.values().zip(shelf.keys().skip(1)) {
        if segment.last.next() != *next {
            return Err(Error::Hole { after: segment.last });
        }
    }
    if shelf.is_empty() {
        let first = Position::START.next();
        let segment = new_segment(database, first, segment_bytes)
            .map_err(|failure| opening(failure.into()))?;
        shelf.insert(first, segment);
    }
    Ok(shelf)
}

fn open_segment(
    database: &Database,
    first: Position,
    segment_bytes: u64,
) -> Result<Segment, Failure> {
    let mut segment = new_segment(database, first, segment_bytes)?;
    if let Some(newest) = segment.keyspace.last_key_value() {
        let (key, bytes) = newest.into_inner()?;
        segment.last = position_of(&key)?;
        segment.newest = entry::decode(segment.last, &bytes)?.input.received_at;
    }
    Ok(segment)
}

/// Reads what the journal is, or makes a new identity.
fn identify(
    database: &Database,
    meta: &Keyspace,
    partition: Partition,
    restored_from: Option<Cursor>,
) -> Result<Identity, Failure> {
    if let Some(found) = meta.get(Identity::KEY)? {
        return Ok(meta::decode(&found)?);
    }
    let identity = Identity { journal_id: JournalId::generate(), partition, restored_from };
    let mut write = database.batch().durability(Some(PersistMode::SyncData));
    write.insert(meta, Identity::KEY, meta::encode(&identity));
    write.commit()?;
    Ok(identity)
}
