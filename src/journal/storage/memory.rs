//! A storage in memory for tests, which fails, fills and stalls on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;

use super::{Batch, Failure, Found, Reader, Sealed, Space, Storage};
use crate::clock::Timestamp;
use crate::engine::input::{Event, Input};
use crate::journal::checkpoint::{BlobKey, Piece};
use crate::journal::disk::SLACK_BYTES;
use crate::journal::entry::Entry;
use crate::journal::{Opened, Record, Settings, assemble};
use crate::position::{JournalId, Position};

/// The state of a [`Memory`], for a test to look at and to change.
#[derive(Default)]
pub(crate) struct State {
    entries: BTreeMap<Position, (Timestamp, Bytes)>,
    /// Every entry up to here is gone.
    dropped: Position,
    /// The next write fails.
    pub(crate) fails: bool,
    pub(crate) disk_bytes: u64,
    /// What the file system has left for entries; unlimited if not set.
    pub(crate) space_left: Option<u64>,
    /// How often that was asked.
    pub(crate) asked_for_space: usize,
    /// What was written of the checkpoint under way, a piece after the other.
    pub(crate) pieces: Vec<Vec<BlobKey>>,
    /// The last complete checkpoint: what it stands for, and its pieces.
    pub(crate) checkpoint: (Position, Vec<Vec<BlobKey>>),
    pub(crate) reads: usize,
    /// Reads wait while this is set.
    stalled: bool,
}

impl State {
    fn add(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.pieces.push(piece.into_iter().map(|(key, _)| key).collect());
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<(Mutex<State>, Condvar)>);

impl Memory {
    /// A journal on an empty one.
    pub(crate) fn journal(settings: &Settings) -> (Self, Opened) {
        let memory = Self::default();
        let found = Found {
            storage: Box::new(memory.clone()),
            reader: Box::new(memory.clone()),
            journal_id: JournalId(uuid::Uuid::from_u128(1)),
            restored_from: None,
            last: Position::START,
            checkpoint: None,
        };
        (memory, assemble(settings, found, None))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("no test panics with it")
    }

    /// Loses an entry, as a failing disk would.
    pub(crate) fn lose(&self, position: u64) {
        self.state().entries.remove(&Position(position));
    }

    /// Gives up every entry up to there, as retention does.
    pub(crate) fn forget_through(&self, position: u64) {
        let last = Position(position);
        let mut state = self.state();
        state.entries = state.entries.split_off(&last.next());
        state.dropped = last;
    }

    pub(crate) fn stall_reads(&self, stalled: bool) {
        self.state().stalled = stalled;
        self.0.1.notify_all();
    }

    fn write(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        if std::mem::take(&mut state.fails) { Err("the disk failed".into()) } else { Ok(state) }
    }
}

impl Storage for Memory {
    fn append(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut state = self.write()?;
        for (position, bytes) in batch.records {
            state.entries.insert(position, (batch.newest, bytes.into()));
        }
        state.add(batch.piece);
        Ok(())
    }

    fn checkpoint_piece(&mut self, piece: Piece) -> Result<(), Failure> {
        self.write()?.add(piece);
        Ok(())
    }

    fn complete_checkpoint(&mut self, piece: Piece, position: Position) -> Result<(), Failure> {
        let mut state = self.write()?;
        state.add(piece);
        state.checkpoint = (position, std::mem::take(&mut state.pieces));
        Ok(())
    }

    fn drop_through(&mut self, last: Position) -> Result<(), Failure> {
        drop(self.write()?);
        self.forget_through(last.0);
        Ok(())
    }
}

/// Every entry but the last is a segment.
impl Reader for Memory {
    fn first(&self) -> Position {
        self.state().dropped.next()
    }

    fn sealed(&self) -> Vec<Sealed> {
        let state = self.state();
        let sealed = state.entries.iter().take(state.entries.len().saturating_sub(1));
        sealed.map(|(last, (newest, _))| Sealed { last: *last, newest: *newest }).collect()
    }

    fn read(
        &self,
        after: Position,
        last: Position,
        bytes_max: usize,
    ) -> Result<Vec<(Position, Bytes)>, Failure> {
        let mut state = self.state();
        state.reads += 1;
        while state.stalled {
            state = self.0.1.wait(state).expect("no test panics with it");
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        for (position, (_, record)) in state.entries.range(after.next()..=last) {
            bytes += record.len();
            found.push((*position, record.clone()));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(found)
    }

    fn disk_bytes(&self) -> Result<u64, Failure> {
        Ok(self.state().disk_bytes)
    }

    fn space(&self) -> Result<Space, Failure> {
        let mut state = self.state();
        state.asked_for_space += 1;
        Ok(Space { available: state.space_left.unwrap_or(u64::MAX), reserved: 0 })
    }
}

/// Settings of a journal in memory that holds a thousand bytes.
pub(crate) fn settings(memory_bytes: usize) -> Settings {
    Settings { max_bytes: SLACK_BYTES + 1000, memory_bytes, ..Settings::new("in memory") }
}

/// Ticks at these positions, a second apart.
pub(crate) fn ticks(positions: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    positions
        .map(|position| {
            let seconds = i64::try_from(position).expect("a small number");
            let received_at = Timestamp::from_seconds(seconds);
            let input = Input { received_at, event: Event::Tick };
            Record::new(Arc::new(Entry { position: Position(position), input, outputs: vec![] }))
        })
        .collect()
}
