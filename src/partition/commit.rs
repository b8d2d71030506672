//! The committer thread: one durable commit a batch, then the news of it; and whether there is room
//! for more.
//!
//! It never waits for room. While no more than the reserve is left it says so, and the engine
//! thread takes no messages: what was applied until it heard of that, three batches at most, goes
//! into the reserve, as do commands and what the service does by itself. The reserve is 5 % of at
//! least 1 GiB, and three batches are a few MiB. Who only reads is put on record from its first half.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{gauge, histogram};
use tokio::sync::watch;
use tracing::{debug, error, info};

use super::{Backlog, Completion, Error};
use crate::clock::Timestamp;
use crate::engine::output::Reply;
use crate::engine::snapshot::Captured;
use crate::journal::{BlobKey, Record, Room, Writer};
use crate::position::Position;
use crate::telemetry::names;
use crate::telemetry::stages::{self, Stage};
use crate::telemetry::traces::{self, Commit};

/// How often a journal whose room is short is looked at again: the store empties it in seconds at
/// best, and measuring it looks at every file.
const ROOM_CHECK_EVERY: Duration = Duration::from_millis(250);

/// What the engine hands on at once.
#[derive(Default)]
pub(super) struct Batch {
    /// Entries, in order.
    pub(super) records: Vec<Record>,
    /// Their encoded size.
    pub(super) bytes: usize,
    /// How long the engine took for them.
    pub(super) applying: Duration,
    /// When the engine handed them on, by both clocks.
    pub(super) applied_at: Option<(Timestamp, Instant)>,
    /// Who is to be told, in order.
    told: Vec<Told>,
    /// What became of checkpoints meanwhile, in order.
    pub(super) progress: Vec<Progress>,
}

/// Somebody who waits for a commit.
struct Told {
    completion: Completion,
    reply: Option<Reply>,
}

/// A step of a checkpoint.
pub(super) enum Progress {
    /// One begins, of the state after the entry at `position`.
    Begin {
        /// The last entry it holds.
        position: Position,
        /// What belongs to no row.
        general: Captured,
    },
    /// More rows of it.
    Rows(Vec<Captured>),
    /// That was all.
    Complete,
}

impl Batch {
    /// Adds an entry, and who waits for it.
    pub(super) fn add(&mut self, record: Record, completion: Completion, reply: Option<Reply>) {
        self.bytes += record.bytes.len();
        self.records.push(record);
        self.tell(completion, reply);
    }

    /// Adds the answer to a query: it leaves once everything before it is durable.
    pub(super) fn answer(&mut self, completion: Completion, reply: Reply) {
        self.tell(completion, Some(reply));
    }

    /// How many inputs and answers are in it.
    pub(super) fn len(&self) -> usize {
        self.records.len().max(self.told.len())
    }

    fn tell(&mut self, completion: Completion, reply: Option<Reply>) {
        if !matches!(completion, Completion::Nobody) {
            self.told.push(Told { completion, reply });
        }
    }
}

/// Owns the journal's writer.
pub(super) struct Committer {
    writer: Writer,
    stored: watch::Receiver<Position>,
    backlog: Arc<Backlog>,
    /// What the checkpoint under way stands for.
    checkpoint: Position,
    /// Receipt of the last entry committed.
    now: Timestamp,
    /// When a journal whose room is short was last looked at.
    looked_at: Instant,
}

impl Committer {
    /// A committer that has said already whether there is room.
    pub(super) fn new(
        writer: Writer,
        stored: watch::Receiver<Position>,
        backlog: Arc<Backlog>,
    ) -> Self {
        let (checkpoint, now) = (Position::START, Timestamp::MIN);
        let looked_at = Instant::now();
        let mut committer = Self { writer, stored, backlog, checkpoint, now, looked_at };
        committer.writer.measure();
        committer.tell_room(committer.writer.room());
        committer
    }

    /// Runs until the engine is gone and everything it handed on is durable.
    pub(super) fn run(mut self, batches: Receiver<Batch>) -> Result<(), Error> {
        loop {
            match batches.recv_timeout(ROOM_CHECK_EVERY) {
                Ok(batch) => self.commit(batch)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.look_at_room()?;
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        let inputs = batch.records.len();
        let messages = batch.records.iter().filter_map(|record| record.entry.message_received());
        let received: Vec<_> = messages.collect();
        let begun = Instant::now();
        if let Some(last) = batch.records.last() {
            self.now = last.entry.input.received_at;
            self.writer.commit(batch.records)?;
            self.backlog.leave();
        }
        let (committing, committed_at) = (begun.elapsed(), Instant::now());
        batch.told.into_iter().for_each(tell);
        if inputs > 0 {
            self.measure(inputs, batch.applying, committing);
        }
        if let Some((applied_at, handed_on)) = batch.applied_at {
            stages::passed(Stage::Applied, applied_at, received.iter().copied());
            let committed_at = applied_at.plus(committed_at.duration_since(handed_on));
            stages::passed(Stage::Committed, committed_at, received.iter().copied());
            if let Some(oldest) = received.first() {
                let (last, messages) = (self.writer.last(), received.len());
                let first = Position(last.0 + 1 - inputs as u64);
                traces::committed(|| Commit {
                    received_at: *oldest,
                    applied_at,
                    committed_at,
                    first,
                    last,
                    messages,
                });
            }
        }
        for step in batch.progress {
            self.advance(step)?;
        }
        Ok(())
    }

    /// Where room is short, lets go of whatever may go before more comes.
    fn look_at_room(&mut self) -> Result<(), Error> {
        // The file system is asked for it: once a batch is enough.
        let mut room = self.writer.room();
        if room != Room::Plenty && self.looked_at.elapsed() >= ROOM_CHECK_EVERY {
            self.retain()?;
            // The storage lets go of files some time after it was told.
            self.writer.measure();
            self.looked_at = Instant::now();
            room = self.writer.room();
        }
        self.tell_room(room);
        Ok(())
    }

    fn tell_room(&self, room: Room) {
        gauge!(names::JOURNAL_LOW).set(if room > Room::Plenty { 1.0 } else { 0.0 });
        self.backlog.keep_for_commands(room >= Room::ChangesOnly);
        let is_full = room >= Room::CommandsOnly;
        if is_full == self.backlog.is_held() {
            return;
        }
        self.backlog.hold(is_full);
        gauge!(names::JOURNAL_FULL).set(if is_full { 1.0 } else { 0.0 });
        if is_full {
            let reason = self.writer.shortage().map(|shortage| shortage.to_string());
            error!(
                reason,
                "the journal is full: messages are left at the broker until there is room"
            );
        } else {
            info!("the journal has room again: messages are taken");
        }
    }

    /// After those who waited were told: nobody waits for a number.
    fn measure(&self, inputs: usize, applying: Duration, committing: Duration) {
        histogram!(names::ENGINE_SECONDS).record(applying);
        histogram!(names::COMMIT_SECONDS).record(committing);
        histogram!(names::COMMIT_BATCH).record(inputs as f64);
        gauge!(names::JOURNAL_LAST_POSITION).set(self.writer.last().0 as f64);
        gauge!(names::JOURNAL_BYTES).set(self.writer.disk_bytes() as f64);
    }

    fn advance(&mut self, step: Progress) -> Result<(), Error> {
        match step {
            Progress::Begin { position, general } => {
                self.checkpoint = position;
                self.put(&general)?;
            }
            Progress::Rows(rows) => rows.iter().try_for_each(|row| self.put(row))?,
            Progress::Complete => {
                self.writer.checkpoint_complete(self.checkpoint)?;
                debug!(position = %self.checkpoint, "checkpoint written");
                self.retain()?;
            }
        }
        Ok(())
    }

    /// Lets go of entries that neither a restart nor the store needs.
    fn retain(&mut self) -> Result<(), Error> {
        let stored = *self.stored.borrow();
        self.writer.retain(self.now, stored)?;
        Ok(())
    }

    fn put(&mut self, row: &Captured) -> Result<(), Error> {
        let (key, bytes) = row.encode();
        let key = BlobKey { kind: key.kind as u8, id: u64::from(key.id) };
        Ok(self.writer.checkpoint_put(key, Bytes::from(bytes))?)
    }
}

fn tell(told: Told) {
    match (told.completion, told.reply) {
        (Completion::Acknowledge(acknowledgement), _) => acknowledgement.send(),
        // A caller who has gone away needs no answer.
        (Completion::Answer(answer), Some(reply)) => drop(answer.send(reply)),
        (Completion::Confirm(confirm), _) => drop(confirm.send(())),
        (Completion::Answer(_) | Completion::Nobody, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::engine::output::Refusal;
    use crate::journal::memory::{Memory, settings, ticks};

    /// A batch of one input, and who waits for it.
    fn batch() -> (Batch, oneshot::Receiver<Reply>) {
        let (answer, answered) = oneshot::channel();
        let mut batch = Batch::default();
        let record = ticks(1..=1).remove(0);
        let reply = Err(Refusal::NotFound { kind: "site", id: "north".to_owned() });
        batch.add(record, Completion::Answer(answer), Some(reply));
        (batch, answered)
    }

    #[test]
    fn the_file_system_is_asked_once_a_batch_while_there_is_room() {
        let (memory, opened) = Memory::journal(&settings(1 << 20));
        let (_, stored) = watch::channel(Position::START);
        let mut committer = Committer::new(opened.writer, stored, Arc::default());
        let before = memory.state().asked_for_space;
        committer.commit(batch().0).unwrap();
        committer.look_at_room().unwrap();
        assert_eq!(memory.state().asked_for_space - before, 1);
    }

    #[test]
    fn who_waits_is_told_after_the_commit_and_not_at_all_if_it_fails() {
        for fails in [false, true] {
            let (memory, opened) = Memory::journal(&settings(1 << 20));
            let (_, stored) = watch::channel(Position::START);
            let mut committer = Committer::new(opened.writer, stored, Arc::default());
            memory.state().fails = fails;
            let (batch, mut answered) = batch();
            assert_eq!(committer.commit(batch).is_err(), fails);
            assert_eq!(answered.try_recv().is_err(), fails);
            assert_eq!(opened.journal.last(), Position(u64::from(!fails)));
        }
    }
}
