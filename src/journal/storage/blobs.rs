//! The checkpoint on fjall: blobs in two slots, the mark, and what a crash leaves of one.
//!
//! Every write here is one atomic batch, synced before the next begins, as [`super::log_tail`]
//! needs it; it may share its batch with entries. That a checkpoint was begun is written with its
//! first piece and cleared with its mark, so that only an open after a crash in between has to
//! look for what was left and remove it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fjall::config::FilterPolicy;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as WriteBatch, PersistMode,
};
use tracing::warn;

use super::Failure;
use super::flushes::wait_for_flushes;
use super::slots::{self, Counting, Slot, Slots, Version};
use crate::journal::checkpoint::{BlobKey, Blobs, Checkpoint, Piece};
use crate::journal::meta::{self, CheckpointBegun, CheckpointMark, MetaRecord};
use crate::position::Position;

const BLOBS: &str = "blobs";
/// A flush writes a table of about this size. Smaller ones were measured: commits then wait more
/// often, for more syncs and more changes of the tree, and not less.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// Versions removed in one batch at open: some hundred kilobytes.
const CLEAN_VERSIONS_MAX: usize = 4096;
/// Removed blobs that leave the disk with a piece: few beside what a piece holds.
const GONE_MAX: usize = 256;

/// What was learnt of slots by whoever read all blobs.
type Learnt = Arc<Mutex<Option<Slots>>>;

/// The write side of the checkpoint.
pub(super) struct BlobStore {
    database: Database,
    meta: Keyspace,
    blobs: Keyspace,
    /// The last complete checkpoint.
    mark: Option<CheckpointMark>,
    /// Known once a checkpoint is begun.
    slots: Option<Slots>,
    learnt: Learnt,
    /// Whether one is under way.
    has_begun: bool,
}

impl BlobStore {
    /// Opens what the database holds; removes what a checkpoint that was cut off has left.
    pub(super) fn open(database: &Database, meta: &Keyspace) -> Result<Self, Failure> {
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                // Nobody asks whether one key is there.
                .filter_policy(FilterPolicy::disabled())
        };
        let store = Self {
            database: database.clone(),
            meta: meta.clone(),
            blobs: database.keyspace(BLOBS, options)?,
            mark: read(meta)?,
            slots: None,
            learnt: Learnt::default(),
            has_begun: false,
        };
        if let Some(CheckpointBegun { generation }) = read(meta)? {
            store.clean(generation)?;
        }
        Ok(store)
    }

    /// The last checkpoint; its blobs are a snapshot as of now. Read to their end they tell the
    /// slots that count, which else are looked for when the next checkpoint begins.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let CheckpointMark { position, generation } = self.mark?;
        let counting = Counting::new(versions(&self.blobs), generation);
        let blobs = Learning { counting: Some(counting), learnt: Arc::clone(&self.learnt) };
        Some(Checkpoint { position, blobs: Blobs(Box::new(blobs)) })
    }

    /// About what the disk must have free so that all of it can be written anew, as a compaction
    /// may do.
    pub(super) fn compaction_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let blobs = self.blobs.clone();
        move || blobs.disk_space()
    }

    /// Adds a piece of the checkpoint under way to a batch.
    pub(super) fn put(&mut self, write: &mut WriteBatch, piece: Piece) -> Result<(), Failure> {
        if piece.is_empty() {
            return Ok(());
        }
        let generation = self.generation();
        if !self.has_begun {
            let begun = CheckpointBegun { generation };
            write.insert(&self.meta, CheckpointBegun::KEY, meta::encode(&begun));
            self.has_begun = true;
        }
        let blobs = self.blobs.clone();
        wait_for_flushes(&self.database, &blobs)?;
        let slots = self.slots()?;
        for (key, blob) in piece {
            let slot = slots.write(key, blob.is_some());
            let version = slots::encode(generation, blob.as_ref());
            write.insert(&blobs, slots::key_to_bytes(key, slot), version);
        }
        for key in slots.take_gone(GONE_MAX) {
            for slot in [Slot::First, Slot::Second] {
                write.remove(&blobs, slots::key_to_bytes(key, slot));
            }
        }
        Ok(())
    }

    /// Writes a piece by itself.
    pub(super) fn write(&mut self, piece: Piece) -> Result<(), Failure> {
        let mut write = self.batch();
        self.put(&mut write, piece)?;
        Ok(write.commit()?)
    }

    /// Writes a last piece, and that the checkpoint now counts.
    pub(super) fn complete(&mut self, piece: Piece, position: Position) -> Result<(), Failure> {
        let mut write = self.batch();
        self.put(&mut write, piece)?;
        let mark = CheckpointMark { position, generation: self.generation() };
        write.insert(&self.meta, CheckpointMark::KEY, meta::encode(&mark));
        if std::mem::take(&mut self.has_begun) {
            write.remove(&self.meta, CheckpointBegun::KEY);
        }
        write.commit()?;
        self.mark = Some(mark);
        if let Some(slots) = &mut self.slots {
            slots.complete();
        }
        Ok(())
    }

    /// The generation of the checkpoint under way.
    fn generation(&self) -> u64 {
        self.mark.map_or(0, |mark| mark.generation) + 1
    }

    fn slots(&mut self) -> Result<&mut Slots, Failure> {
        let slots = match self.slots.take() {
            Some(slots) => slots,
            None => match lock(&self.learnt).take() {
                Some(learnt) => learnt,
                None => self.learn()?,
            },
        };
        Ok(self.slots.insert(slots))
    }

    /// For whoever did not read the checkpoint to its end.
    fn learn(&self) -> Result<Slots, Failure> {
        let Some(mark) = self.mark else { return Ok(Slots::default()) };
        let mut counting = Counting::new(versions(&self.blobs), mark.generation);
        counting.by_ref().try_for_each(|blob| blob.map(drop))?;
        Ok(counting.into_slots())
    }

    /// Removes every version of a generation that never was complete. Its number is free again
    /// once that is durable.
    fn clean(&self, generation: u64) -> Result<(), Failure> {
        let mut left = Vec::new();
        for version in versions(&self.blobs) {
            let Version { key, slot, generation: found, .. } = version?;
            if found >= generation {
                left.push(slots::key_to_bytes(key, slot));
            }
        }
        warn!(blobs = left.len(), "a checkpoint was cut off; what was written of it is removed");
        for keys in left.chunks(CLEAN_VERSIONS_MAX) {
            let mut write = self.batch();
            keys.iter().for_each(|key| write.remove(&self.blobs, *key));
            write.commit()?;
        }
        let mut write = self.batch();
        write.remove(&self.meta, CheckpointBegun::KEY);
        Ok(write.commit()?)
    }

    fn batch(&self) -> WriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }
}

fn read<R: MetaRecord>(meta: &Keyspace) -> Result<Option<R>, Failure> {
    Ok(meta.get(R::KEY)?.map(|found| meta::decode(&found)).transpose()?)
}

fn lock(learnt: &Learnt) -> std::sync::MutexGuard<'_, Option<Slots>> {
    // It is put in place whole.
    learnt.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every slot that is taken, a snapshot.
fn versions(blobs: &Keyspace) -> impl Iterator<Item = Result<Version, Failure>> + Send + use<> {
    blobs.iter().map(|found| {
        let (key, bytes) = found.into_inner()?;
        slots::decode(&key, Bytes::from(bytes))
    })
}

/// Gives the blobs, and once all were given hands on which slots they have.
struct Learning<I: Iterator<Item = Result<Version, Failure>>> {
    /// Gone once everything was given.
    counting: Option<Counting<I>>,
    learnt: Learnt,
}

impl<I: Iterator<Item = Result<Version, Failure>>> Iterator for Learning<I> {
    type Item = Result<(BlobKey, Bytes), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.counting.as_mut()?.next();
        if next.is_none()
            && let Some(counting) = self.counting.take()
        {
            *lock(&self.learnt) = Some(counting.into_slots());
        }
        next
    }
}
