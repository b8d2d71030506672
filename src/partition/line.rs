//! The engine thread: inputs in one order, applied one by one, handed on in batches.
//!
//! It makes inputs itself: a tick when something is due because time passes, the end of a backlog
//! once no input has come for a moment, and a sign of life now and then; and it says when messages
//! are held because the journal is full, and when they are taken again. It looks at the time
//! whenever nothing arrives, and once a round also if something does: who only asks does not stop
//! it. A tick that leads to nothing is not journaled: what it would do, the next input does at
//! the same deadlines.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commit::{Batch, Progress};
use super::guard::Guard;
use super::inbox::{Inbox, Messages, Received};
use super::told::Told;
use super::{Backlog, Completion, Error, Recovered, Task, Work};
use crate::clock::{Clock, Timestamp};
use crate::engine::State;
use crate::engine::audit::Outcome;
use crate::engine::input::{Event, Input, Intake, Link, Settings};
use crate::engine::output::{Output, Refusal, Reply};
use crate::engine::query;
use crate::journal::Record;
use crate::journal::entry::{self, Entry};
use crate::position::Position;

/// A batch is handed on at this many inputs: more gain little from sharing an fsync.
const BATCH_INPUTS_MAX: usize = 1024;
/// Or at this many bytes: bounds what one commit holds in memory.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// Rows gathered for a checkpoint between two batches: about what one commit takes along of it.
const CAPTURE_ROWS: usize = 512;

/// Deadlines closer together than this share a tick: a bound on what a quiet house costs.
const TICK_SPACING: Duration = Duration::from_millis(10);

/// How often it is looked at whether messages that are held may be taken.
const HELD_LOOK_EVERY: Duration = Duration::from_millis(250);

/// When the line makes an input itself.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    /// A backlog is drained once no input has come for this long with the link up.
    drained_after: Duration,
    /// Something is journaled at least this often, so that the next start knows when this service
    /// was alive last: what it tells as an outage of its own begins there. Well below the time
    /// after which an outage is told.
    alive_every: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { drained_after: Duration::from_secs(1), alive_every: Duration::from_secs(5) }
    }
}

/// The state and what it is fed from and into.
pub(super) struct Line {
    guard: Guard,
    state: State,
    /// The last entry applied.
    position: Position,
    /// What followers believed of alerts at the start.
    told: Told,
    inbox: Inbox,
    batches: SyncSender<Batch>,
    surroundings: Surroundings,
    checkpoint: Checkpointing,
    rhythm: Rhythm,
    /// When an input last came from the inbox.
    fed_at: Instant,
    /// When something was last journaled.
    journaled_at: Instant,
}

/// Those around the line.
pub(super) struct Surroundings {
    pub(super) backlog: Arc<Backlog>,
    /// The service is stopping: messages that are held go back to the broker.
    pub(super) stopping: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
    /// A checkpoint is begun after this many journaled bytes.
    pub(super) checkpoint_bytes: u64,
}

/// What an input led to.
struct Applied {
    input: Input,
    outputs: Vec<Output>,
    reply: Option<Reply>,
    took: Duration,
}

enum Checkpointing {
    /// None under way; this much was journaled since the last.
    Waiting { bytes: u64 },
    /// Rows are being gathered.
    Gathering,
}

impl Line {
    pub(super) fn new(
        recovered: Recovered,
        inbox: Inbox,
        batches: SyncSender<Batch>,
        surroundings: Surroundings,
    ) -> Self {
        let Recovered { guard, state, position, told, replayed_bytes } = recovered;
        let checkpoint = Checkpointing::Waiting { bytes: replayed_bytes as u64 };
        let (rhythm, now) = (Rhythm::default(), Instant::now());
        Self {
            guard,
            state,
            position,
            told,
            inbox,
            batches,
            surroundings,
            checkpoint,
            rhythm,
            fed_at: now,
            journaled_at: now,
        }
    }

    /// Runs until the inbox is closed and empty, or the committer is gone.
    ///
    /// # Errors
    /// [`Error`] if the engine panicked: the state is worth nothing then. What was applied before
    /// is sound and is handed on, so that it need not come again.
    pub(super) fn run(mut self, settings: Settings) -> Result<(), Error> {
        let mut batch = Batch::default();
        match self.work(settings, &mut batch) {
            Ok(()) => self.finish(),
            Err(error) => {
                // A committer that is gone has an error of its own.
                drop(self.batches.send(batch));
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&mut self, settings: Settings, batch: &mut Batch) -> Result<(), Error> {
        self.start(settings, batch)?;
        loop {
            self.round(batch)?;
            batch.applied_at = Some((self.surroundings.clock.now(), Instant::now()));
            // The committer is gone only if a commit failed; its error tells.
            if self.batches.send(std::mem::take(batch)).is_err() || !self.wait(batch)? {
                return Ok(());
            }
        }
    }

    /// Makes a batch of whatever there is.
    fn round(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.fill(batch)?;
        self.mind_time(batch)?;
        self.checkpoint(batch);
        Ok(())
    }

    /// The first inputs of a run.
    fn start(&mut self, settings: Settings, batch: &mut Batch) -> Result<(), Error> {
        let last_alive = self.state.now();
        self.make(Event::Started { last_alive }, batch)?;
        self.make(Event::Settings(settings), batch)?;
        let mut told = std::mem::take(&mut self.told);
        batch.records.iter().for_each(|record| told.follow(&record.entry.outputs));
        if !told.is_true_of(&self.state) {
            warn!("open alerts differ from what followers were told: they are told anew");
            self.make(Event::Reconcile(told.open_alerts().cloned().collect()), batch)?;
        }
        if told.audit_head() != self.state.audit_head() {
            warn!("audit events differ from those on record: they go on from what is on record");
            self.make(Event::AuditHead(told.audit_head()), batch)?;
        }
        Ok(())
    }

    /// Waits for the next input; false once none will come. While a checkpoint is being gathered
    /// there is always work, so it doesn't wait.
    fn wait(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        loop {
            self.mind_room(batch)?;
            if matches!(self.checkpoint, Checkpointing::Gathering) || batch.len() > 0 {
                return Ok(true);
            }
            match self.inbox.wait(self.messages(), self.patience()) {
                Received::Work(work) => self.take_awaited(work, batch)?,
                Received::Closed => return Ok(false),
                Received::Nothing => self.pass_time(batch)?,
            }
        }
    }

    /// Takes what was waited for, unless it is a message and the room has gone meanwhile: then it
    /// stays where it was.
    fn take_awaited(&mut self, work: Work, batch: &mut Batch) -> Result<(), Error> {
        self.mind_room(batch)?;
        if self.messages() == Messages::Held && work.is_message() {
            self.inbox.hold_back(work);
            return Ok(());
        }
        self.take(work, batch)
    }

    /// Whether messages are taken: what was journaled of it, so that none is between the inputs
    /// that say otherwise.
    const fn messages(&self) -> Messages {
        if self.state.is_intake_held() { Messages::Held } else { Messages::Taken }
    }

    /// Says to the engine whether messages are held, if that has changed.
    fn mind_room(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let is_held = self.surroundings.backlog.is_held();
        if is_held != self.state.is_intake_held() {
            let intake = if is_held { Intake::Held } else { Intake::Resumed };
            self.make(Event::Intake(intake), batch)?;
            // What piled up is only coming: an inbox that is empty says nothing yet.
            self.fed_at = Instant::now();
        }
        if is_held && self.surroundings.stopping.is_cancelled() {
            self.inbox.give_back();
        }
        Ok(())
    }

    /// For how long nothing happens if nothing arrives. Wall time may jump; a sign of life is due
    /// so often that it is looked at again soon.
    fn patience(&self) -> Duration {
        let alive = self.rhythm.alive_every.saturating_sub(self.journaled_at.elapsed());
        let now = self.surroundings.clock.now();
        let due = self.state.next_deadline().map(|at| at.since(now).max(TICK_SPACING));
        let drained = self.rhythm.drained_after.saturating_sub(self.fed_at.elapsed());
        let drained = self.state.is_catching_up().then_some(drained);
        let held = self.state.is_intake_held().then_some(HELD_LOOK_EVERY);
        [due, drained, held].into_iter().flatten().fold(alive, Duration::min)
    }

    /// What is due happens, whatever else arrives; but not before what is delivered already, which
    /// takes time on to its own receipt: a patient is not silent whose reading is in the inbox.
    fn mind_time(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if self.inbox.has_delivery(self.messages()) { Ok(()) } else { self.pass_time(batch) }
    }

    /// What is due by now happens.
    fn pass_time(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let is_drained = self.fed_at.elapsed() >= self.rhythm.drained_after;
        if self.state.is_catching_up() && is_drained {
            return self.make(Event::Link(Link::CaughtUp), batch);
        }
        let now = self.surroundings.clock.now();
        let is_due = self.state.next_deadline().is_some_and(|at| at <= now);
        let is_to_live = self.journaled_at.elapsed() >= self.rhythm.alive_every;
        if !is_due && !is_to_live {
            return Ok(());
        }
        let applied = self.apply(now, Event::Tick)?;
        if is_to_live || !applied.outputs.is_empty() {
            self.journal(applied, Completion::Nobody, batch);
        }
        Ok(())
    }

    /// Takes along whatever else has arrived.
    fn fill(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.mind_room(batch)?;
        while batch.len() < BATCH_INPUTS_MAX && batch.bytes < BATCH_BYTES_MAX {
            let Some(work) = self.inbox.take(self.messages()) else { break };
            self.take(work, batch)?;
        }
        Ok(())
    }

    /// Applies and journals an input from the inbox, or answers a query.
    fn take(&mut self, work: Work, batch: &mut Batch) -> Result<(), Error> {
        let Work { received_at, task, completion, admission } = work;
        match task {
            Task::Apply(event) if self.turns_away(&event) => {
                batch.answer(completion, Err(Refusal::JournalFull));
            }
            Task::Apply(event) => {
                self.fed_at = Instant::now();
                let event = self.guard.screen(event);
                let applied = self.apply(received_at, event)?;
                drop(admission);
                self.journal(applied, completion, batch);
            }
            Task::Answer(query) => batch.answer(completion, query::answer(&self.state, &query)),
        }
        Ok(())
    }

    /// Whether there is no room for it: who reads is turned away before who changes something. The
    /// end of a stream is told all the same, for there are no more of them than of beginnings.
    fn turns_away(&self, event: &Event) -> bool {
        self.surroundings.backlog.is_scarce()
            && matches!(event, Event::Access(access) if access.outcome != Outcome::Closed)
    }

    /// Applies and journals an input of the line's own, now.
    fn make(&mut self, event: Event, batch: &mut Batch) -> Result<(), Error> {
        let applied = self.apply(self.surroundings.clock.now(), event)?;
        self.journal(applied, Completion::Nobody, batch);
        Ok(())
    }

    /// An input on which the engine panics is set aside at once: before anything is waited for.
    fn apply(&mut self, received_at: Timestamp, event: Event) -> Result<Applied, Error> {
        // Wall time may step back; the order of receipt may not.
        let received_at = self.state.now().map_or(received_at, |now| now.max(received_at));
        let input = Input { received_at, event };
        let mut outputs = Vec::new();
        let begun = Instant::now();
        match self.guard.apply(&mut self.state, &input, &mut outputs) {
            Ok(reply) => Ok(Applied { input, outputs, reply, took: begun.elapsed() }),
            Err(panic) => Err(self.guard.blame(&input, panic)),
        }
    }

    fn journal(&mut self, applied: Applied, completion: Completion, batch: &mut Batch) {
        let Applied { input, outputs, reply, took } = applied;
        if batch.records.is_empty() {
            self.surroundings.backlog.enter(input.received_at);
        }
        batch.applying += took;
        self.journaled_at = Instant::now();
        self.position = self.position.next();
        let bytes = entry::encode(&input, &outputs, Vec::new());
        let entry = Arc::new(Entry { position: self.position, input, outputs });
        batch.add(Record { entry, bytes }, completion, reply);
    }

    /// Moves the checkpoint on by one step.
    fn checkpoint(&mut self, batch: &mut Batch) {
        match &mut self.checkpoint {
            Checkpointing::Waiting { bytes } => {
                *bytes += batch.bytes as u64;
                if *bytes >= self.surroundings.checkpoint_bytes {
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
