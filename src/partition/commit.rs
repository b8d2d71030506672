//! The committer thread: one durable commit a batch, then the news of it.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{gauge, histogram};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{Backlog, Completion, Error};
use crate::clock::Timestamp;
use crate::engine::input::Event;
use crate::engine::output::Reply;
use crate::engine::snapshot::Captured;
use crate::journal::{BlobKey, Record, Room, Writer};
use crate::position::Position;
use crate::telemetry::names;

/// How often a full journal is looked at again: the store empties it in seconds at best.
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
    stopping: CancellationToken,
    /// What the checkpoint under way stands for.
    checkpoint: Position,
    /// Receipt of the last entry committed.
    now: Timestamp,
}

impl Committer {
    pub(super) fn new(
        writer: Writer,
        stored: watch::Receiver<Position>,
        backlog: Arc<Backlog>,
        stopping: CancellationToken,
    ) -> Self {
        let (checkpoint, now) = (Position::START, Timestamp::MIN);
        Self { writer, stored, backlog, stopping, checkpoint, now }
    }

    /// Runs until the engine is gone and everything it handed on is durable.
    pub(super) fn run(mut self, batches: Receiver<Batch>) -> Result<(), Error> {
        for batch in batches {
            self.commit(batch)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        let inputs = batch.records.len();
        let begun = Instant::now();
        if let Some(last) = batch.records.last() {
            self.now = last.entry.input.received_at;
            let from_devices = batch.records.iter().any(is_from_a_device);
            if from_devices {
                self.make_room(batch.bytes)?;
                self.writer.commit(batch.records)?;
            } else {
                self.writer.commit_from_reserve(batch.records)?;
            }
            self.backlog.leave();
        }
        let committing = begun.elapsed();
        batch.told.into_iter().for_each(tell);
        if inputs > 0 {
            self.measure(inputs, batch.applying, committing);
        }
        for step in batch.progress {
            self.advance(step)?;
        }
        Ok(())
    }

    /// Waits until there is room for what devices sent. Meanwhile nothing of theirs is
    /// acknowledged, so that the broker and the devices keep it.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let mut is_told = false;
        loop {
            // Where room is short, whatever may go does before more comes.
            if self.writer.room() != Room::Plenty {
                self.retain()?;
            }
            let fits = self.writer.make_sure_of_room(bytes as u64);
            if self.writer.room() != Room::CommandsOnly && fits.is_ok() {
                return Ok(());
            }
            if self.stopping.is_cancelled() {
                return fits.map_err(Error::from);
            }
            if !is_told {
                let reason = self.writer.shortage().map(|shortage| shortage.to_string());
                error!(reason, "the journal is full: nothing is acknowledged until there is room");
                is_told = true;
            }
            thread::sleep(ROOM_CHECK_EVERY);
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

fn is_from_a_device(record: &Record) -> bool {
    matches!(record.entry.input.event, Event::Publish(_))
}

fn tell(told: Told) {
    match (told.completion, told.reply) {
        (Completion::Acknowledge(acknowledgement), _) => acknowledgement.send(),
        // A caller who has gone away needs no answer.
        (Completion::Answer(answer), Some(reply)) => drop(answer.send(reply)),
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
    fn who_waits_is_told_after_the_commit_and_not_at_all_if_it_fails() {
        for fails in [false, true] {
            let (memory, opened) = Memory::journal(&settings(1 << 20));
            let (_, stored) = watch::channel(Position::START);
            let mut committer =
                Committer::new(opened.writer, stored, Arc::default(), CancellationToken::new());
            memory.state().fails = fails;
            let (batch, mut answered) = batch();
            assert_eq!(committer.commit(batch).is_err(), fails);
            assert_eq!(answered.try_recv().is_err(), fails);
            assert_eq!(opened.journal.last(), Position(u64::from(!fails)));
        }
    }
}
