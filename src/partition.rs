//! One partition of patients: its input order, its engine and its journal, run as one.
//!
//! Two threads make the line. The *engine thread* takes inputs from the inbox in their one order,
//! makes their receipt times monotonic, applies them, and hands batches of entries on. The
//! *committer* writes each batch in one durable commit; only then does it acknowledge publishes
//! and answer commands (V1). While a batch is being written the engine applies the next: under
//! load many inputs share one fsync, without it an input waits for nobody.
//!
//! Callers' queries come in the same order. They are answered from the engine's state and leave
//! with the batch of the inputs before them, so that nobody is told of what a crash takes back.
//!
//! Promises: entries stand in the journal in the order in which they were applied, and whoever
//! waits for an input is told after its commit, in that order. What is due because time passes
//! happens when it is due, also while nothing arrives. A failed commit or a panic of the
//! engine ends the run with an error; what was not acknowledged comes again.
//!
//! An input on which the engine panics is set aside ([`Quarantine`]) before the run ends. When it
//! comes again, the next run gives the engine [`Event::Poisoned`] in its place, an input like any
//! other: it becomes a refusal and an alert, is acknowledged, and the line goes on. What stands in
//! the journal was applied, and is replayed as it was, whatever became of the same bytes since.
//!
//! When no more than the reserve of the journal is left, messages wait, unacknowledged, and the
//! engine is told so by an input ([`Event::Intake`]), because a patient whose messages we do not
//! take is not silent. Commands, and what is due because time passes, go on; where even the reserve
//! gets short, whoever only reads is turned away, because nothing is read that is not on record.
//!
//! Checkpoints are taken along the way: begun when enough was journaled, gathered a bounded number
//! of rows between batches, and written by the committer. [`recover`] leads from the last one and
//! the entries behind it to the state at the journal's end.

mod backlog;
mod commit;
mod error;
mod guard;
mod inbox;
mod line;
mod quarantine;
mod recover;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::backlog::Backlog;
use self::commit::Committer;
pub use self::error::Error;
pub use self::guard::{Apply, Guard};
use self::inbox::Inbox;
use self::line::Line;
pub use self::quarantine::Quarantine;
pub use self::recover::{Recovered, recover};
use crate::clock::{Clock, Timestamp};
use crate::engine::audit::Access;
use crate::engine::input::{Command, Event, Settings};
use crate::engine::output::Reply;
use crate::engine::query::Query;
use crate::journal::Writer;
use crate::mqtt::delivery::{Acknowledgement, Admission, Delivery};
use crate::position::Position;

/// Deliveries waiting for the engine; their bytes are bounded by the source. Full, it makes the
/// source wait, which stops the broker at its receive maximum; nothing is shed.
const DELIVERIES_MAX: usize = 4096;
/// Commands waiting for the engine. Full, it makes their callers wait, which are as many as gRPC
/// serves at a time; nothing is shed.
const COMMANDS_MAX: usize = 256;
/// Batches between engine and committer: one being written, one waiting. More would only delay
/// acknowledgements.
const BATCHES_MAX: usize = 1;
/// A checkpoint is begun after this many journaled bytes: bounds the replay at start to about a
/// second.
pub const CHECKPOINT_BYTES_DEFAULT: u64 = 64 << 20;

/// An input or a query on its way to the engine.
#[derive(Debug)]
pub struct Work {
    received_at: Timestamp,
    task: Task,
    completion: Completion,
    /// The room that a message takes, given back once it is applied: from then on what there is of
    /// it is bounded by batches.
    admission: Option<Admission>,
}

/// What the engine is to do.
#[derive(Debug)]
enum Task {
    /// Apply an input, which is then journaled.
    Apply(Event),
    /// Answer a query, which changes nothing.
    Answer(Box<Query>),
}

/// Who is told, and how, once an input is durable.
#[derive(Debug)]
enum Completion {
    Nobody,
    Acknowledge(Acknowledgement),
    Answer(oneshot::Sender<Reply>),
    /// What has no answer is only told to be done.
    Confirm(oneshot::Sender<()>),
}

impl Work {
    /// Whether it is something that a broker may keep for us.
    const fn is_message(&self) -> bool {
        matches!(self.task, Task::Apply(Event::Publish(_)))
    }
}

impl From<Delivery> for Work {
    fn from(delivery: Delivery) -> Self {
        let Delivery { received_at, event, acknowledgement, admission } = delivery;
        let completion = acknowledgement.map_or(Completion::Nobody, Completion::Acknowledge);
        Self { received_at, task: Task::Apply(event), completion, admission }
    }
}

/// The partition no longer takes inputs: the service is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is ending")]
pub struct Closed;

/// The way in for commands. It does not keep the partition open: whoever composes the service
/// does, so that a caller who never goes away can't hold up its end.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::WeakSender<Work>,
    clock: Arc<dyn Clock>,
}

impl Handle {
    /// Submits a command; answers once it is durable and applied.
    ///
    /// Not cancel safe: a dropped call's command may be carried out all the same.
    ///
    /// # Errors
    /// [`Closed`] if the service ends first. The command may have been carried out.
    pub async fn submit(&self, command: Command) -> Result<Reply, Closed> {
        self.ask(Task::Apply(Event::Command(Box::new(command)))).await
    }

    /// Puts a call on record that is no command; answers with the number of its audit event once
    /// that is durable. [`Refusal::JournalFull`](crate::engine::output::Refusal::JournalFull) if
    /// there is no room for it.
    ///
    /// Not cancel safe: a dropped call may be on record all the same.
    ///
    /// # Errors
    /// [`Closed`] if the service ends first. The call may be on record.
    pub async fn record(&self, access: Access) -> Result<Reply, Closed> {
        self.ask(Task::Apply(Event::Access(Box::new(access)))).await
    }

    /// Asks a query; answers once everything that the answer is based on is durable.
    ///
    /// Cancel safe: a query changes nothing.
    ///
    /// # Errors
    /// [`Closed`] if the service ends first.
    pub async fn query(&self, query: Query) -> Result<Reply, Closed> {
        self.ask(Task::Answer(Box::new(query))).await
    }

    /// Puts other bounds in force; returns once that is durable. They hold for what is received
    /// after it.
    ///
    /// Not cancel safe: a dropped call's bounds may be in force all the same.
    ///
    /// # Errors
    /// [`Closed`] if the service ends first. They may have been put in force.
    pub async fn configure(&self, settings: Settings) -> Result<(), Closed> {
        let (confirm, confirmed) = oneshot::channel();
        let task = Task::Apply(Event::Settings(settings));
        self.hand_in(task, Completion::Confirm(confirm)).await?;
        confirmed.await.map_err(|_| Closed)
    }

    async fn ask(&self, task: Task) -> Result<Reply, Closed> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(task, Completion::Answer(answer)).await?;
        answered.await.map_err(|_| Closed)
    }

    async fn hand_in(&self, task: Task, completion: Completion) -> Result<(), Closed> {
        let work = Work { received_at: self.clock.now(), task, completion, admission: None };
        let commands = self.commands.upgrade().ok_or(Closed)?;
        commands.send(work).await.map_err(|_| Closed)
    }
}

/// A partition ready to run.
pub struct Partition {
    recovered: Recovered,
    writer: Writer,
    settings: Settings,
    stored: watch::Receiver<Position>,
    inbox: Inbox,
    line: line::Surroundings,
}

/// What a partition is told by those around it.
pub struct Surroundings {
    /// How far the store has read: what it has not must be kept.
    pub stored: watch::Receiver<Position>,
    /// Where the partition says how far behind it is.
    pub backlog: Arc<Backlog>,
    /// Cancelled when the service stops.
    pub stopping: CancellationToken,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The ways into a partition, which runs until all of them are gone.
pub struct Inlets {
    /// For the source. Messages wait in it while the journal is full.
    pub deliveries: mpsc::Sender<Work>,
    /// For commands, by [`handle`]. Holding it keeps the partition open for them.
    pub commands: mpsc::Sender<Work>,
}

impl Partition {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        recovered: Recovered,
        writer: Writer,
        settings: Settings,
        surroundings: Surroundings,
    ) -> (Self, Inlets) {
        let (deliveries, delivered) = mpsc::channel(DELIVERIES_MAX);
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let inbox = Inbox::new(delivered, commanded);
        let Surroundings { stored, backlog, stopping, clock } = surroundings;
        let checkpoint_bytes = CHECKPOINT_BYTES_DEFAULT;
        let line = line::Surroundings { backlog, stopping, clock, checkpoint_bytes };
        let partition = Self { recovered, writer, settings, stored, inbox, line };
        (partition, Inlets { deliveries, commands })
    }

    /// Begins a checkpoint after so many journaled bytes, rather than
    /// [`CHECKPOINT_BYTES_DEFAULT`]. More makes a start after a crash take longer.
    #[must_use]
    pub fn checkpoint_after(mut self, bytes: u64) -> Self {
        self.line.checkpoint_bytes = bytes;
        self
    }

    /// Runs until every inlet is gone and everything is committed, the last
    /// checkpoint included.
    ///
    /// # Errors
    /// [`Error`] if the journal fails or a thread panics; inputs not committed by then are not
    /// acknowledged. [`Error::Poisoned`] if the next run can go on behind the input to blame.
    pub async fn run(self) -> Result<(), Error> {
        let Self { recovered, writer, settings, stored, inbox, line } = self;
        let (batches, to_commit) = std::sync::mpsc::sync_channel(BATCHES_MAX);
        // It says first whether there is room.
        let committer = Committer::new(writer, stored, Arc::clone(&line.backlog));
        let line = Line::new(recovered, inbox, batches, line);
        let engine = spawn("engine", move || line.run(settings))?;
        let committer = spawn("committer", move || committer.run(to_commit))?;
        // The committer first: if it fails, the engine finds its channel closed and ends too.
        let committed = join("committer", committer).await;
        join("engine", engine).await.and(committed)
    }
}

/// The way in for commands.
#[must_use]
pub fn handle(commands: &mpsc::Sender<Work>, clock: Arc<dyn Clock>) -> Handle {
    Handle { commands: commands.downgrade(), clock }
}

type Outcome = Result<(), Error>;

/// Runs a thread whose end can be awaited; a panic drops the sender.
fn spawn(
    name: &'static str,
    work: impl FnOnce() -> Outcome + Send + 'static,
) -> Result<oneshot::Receiver<Outcome>, Error> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let outcome = work();
            // Nobody waits for it only if the whole service was dropped.
            drop(ended.send(outcome));
        })
        .map_err(|source| Error::Spawn { thread: name, source })?;
    Ok(end)
}

async fn join(thread: &'static str, end: oneshot::Receiver<Outcome>) -> Outcome {
    end.await.unwrap_or(Err(Error::Panicked { thread }))
}
