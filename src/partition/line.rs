//! The engine thread: inputs in one order, applied one by one, handed on in batches.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use tokio::sync::mpsc::Receiver;

use super::commit::{Batch, Progress};
use super::{Backlog, Completion, Recovered, Work};
use crate::clock::Timestamp;
use crate::engine::input::{Event, Input, Settings};
use crate::engine::{self, State};
use crate::journal::Record;
use crate::journal::entry::{self, Entry};
use crate::position::Position;

/// A batch is handed on at this many inputs: more gain little from sharing an fsync.
const BATCH_INPUTS_MAX: usize = 1024;
/// Or at this many bytes: bounds what one commit holds in memory.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// A checkpoint is begun after this many journaled bytes: bounds the replay at start to about a
/// second.
const CHECKPOINT_EVERY_BYTES: usize = 64 << 20;
/// Rows gathered for a checkpoint between two batches: well under a millisecond.
const CAPTURE_ROWS: usize = 4096;

/// The state and what it is fed from and into.
pub(super) struct Line {
    state: State,
    /// The last entry applied.
    position: Position,
    inbox: Receiver<Work>,
    batches: SyncSender<Batch>,
    backlog: Arc<Backlog>,
    checkpoint: Checkpointing,
}

enum Checkpointing {
    /// None under way; this much was journaled since the last.
    Waiting { bytes: usize },
    /// Rows are being gathered.
    Gathering,
}

impl Line {
    pub(super) fn new(
        recovered: Recovered,
        inbox: Receiver<Work>,
        batches: SyncSender<Batch>,
        backlog: Arc<Backlog>,
    ) -> Self {
        let Recovered { state, position, replayed_bytes } = recovered;
        let checkpoint = Checkpointing::Waiting { bytes: replayed_bytes };
        Self { state, position, inbox, batches, backlog, checkpoint }
    }

    /// Runs until the inbox is closed and empty, or the committer is gone.
    pub(super) fn run(mut self, settings: Settings, started_at: Timestamp) {
        let mut batch = Batch::default();
        let last_alive = self.state.now();
        for event in [Event::Started { last_alive }, Event::Settings(settings)] {
            let work = Work { received_at: started_at, event, completion: Completion::Nobody };
            self.apply(work, &mut batch);
        }
        loop {
            self.fill(&mut batch);
            self.checkpoint(&mut batch);
            // The committer is gone only if a commit failed; its error tells.
            if self.batches.send(std::mem::take(&mut batch)).is_err() {
                return;
            }
            if !self.wait(&mut batch) {
                break;
            }
        }
        self.finish();
    }

    /// Waits for the next input; false once none will come. While a checkpoint is being gathered
    /// there is always work, so it doesn't wait.
    fn wait(&mut self, batch: &mut Batch) -> bool {
        if matches!(self.checkpoint, Checkpointing::Gathering) && self.inbox.is_empty() {
            return true;
        }
        match self.inbox.blocking_recv() {
            Some(work) => {
                self.apply(work, batch);
                true
            }
            None => false,
        }
    }

    /// Takes along whatever else has arrived.
    fn fill(&mut self, batch: &mut Batch) {
        while batch.records.len() < BATCH_INPUTS_MAX && batch.bytes < BATCH_BYTES_MAX {
            let Ok(work) = self.inbox.try_recv() else { return };
            self.apply(work, batch);
        }
    }

    fn apply(&mut self, work: Work, batch: &mut Batch) {
        let Work { received_at, event, completion } = work;
        // Wall time may step back; the order of receipt may not.
        let received_at = self.state.now().map_or(received_at, |now| now.max(received_at));
        if batch.records.is_empty() {
            self.backlog.enter(received_at);
        }
        let input = Input { received_at, event };
        let mut outputs = Vec::new();
        let begun = Instant::now();
        let reply = engine::apply(&mut self.state, &input, &mut outputs);
        batch.applying += begun.elapsed();
        self.position = self.position.next();
        let bytes = entry::encode(&input, &outputs, Vec::new());
        let entry = Arc::new(Entry { position: self.position, input, outputs });
        batch.add(Record { entry, bytes }, completion, reply);
    }

    /// Moves the checkpoint on by one step.
    fn checkpoint(&mut self, batch: &mut Batch) {
        match &mut self.checkpoint {
            Checkpointing::Waiting { bytes } => {
                *bytes += batch.bytes;
                if *bytes >= CHECKPOINT_EVERY_BYTES {
                    self.begin_checkpoint(batch);
                }
            }
            Checkpointing::Gathering => {
                let rows = self.state.capture(CAPTURE_ROWS);
                if rows.is_empty() {
                    self.checkpoint = Checkpointing::Waiting { bytes: 0 };
                    batch.progress.push(Progress::Complete);
                } else {
                    batch.progress.push(Progress::Rows(rows));
                }
            }
        }
    }

    fn begin_checkpoint(&mut self, batch: &mut Batch) {
        let general = self.state.begin_snapshot();
        batch.progress.push(Progress::Begin { position: self.position, general });
        self.checkpoint = Checkpointing::Gathering;
    }

    /// A last checkpoint, so that the next start has nothing to replay.
    fn finish(mut self) {
        let mut batch = Batch::default();
        while matches!(self.checkpoint, Checkpointing::Gathering) {
            self.checkpoint(&mut batch);
        }
        self.begin_checkpoint(&mut batch);
        while matches!(self.checkpoint, Checkpointing::Gathering) {
            self.checkpoint(&mut batch);
        }
        drop(self.batches.send(batch));
    }
}
