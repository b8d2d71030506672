//! One partition of patients: its input order, its engine and its journal, run as one.
//!
//! Two threads make the line. The *engine thread* takes inputs from the inbox in their one order,
//! makes their receipt times monotonic, applies them, and hands batches of entries on. The
//! *committer* writes each batch in one durable commit; only then does it acknowledge publishes
//! and answer commands (V1). While a batch is being written the engine applies the next: under
//! load many inputs share one fsync, without it an input waits for nobody.
//!
//! Promises: entries stand in the journal in the order in which they were applied, and whoever
//! waits for an input is told after its commit, in that order. What is due because time passes
//! happens when it is due, also while nothing arrives. A failed commit or a panic of the
//! engine ends the run with an error; what was not acknowledged comes again.
//!
//! Checkpoints are taken along the way: begun when enough was journaled, gathered a bounded number
//! of rows between batches, and written by the committer. [`recover`] leads from the last one and
//! the entries behind it to the state at the journal's end.

mod backlog;
mod commit;
mod inbox;
mod line;
mod recover;
mod told;

use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::backlog::Backlog;
use self::commit::Committer;
use self::line::Line;
pub use self::recover::{Recovered, recover};
use crate::clock::{Clock, Timestamp};
use crate::engine::input::{Command, Event, Settings};
use crate::engine::output::Reply;
use crate::journal::Writer;
use crate::mqtt::delivery::{Acknowledgement, Delivery};
use crate::position::Position;

/// Inputs waiting for the engine. Full, it makes the source wait, which stops the broker at its
/// receive maximum, and makes commands wait; nothing is shed.
const INBOX_MAX: usize = 4096;
/// Batches between engine and committer: one being written, one waiting. More would only delay
/// acknowledgements.
const BATCHES_MAX: usize = 1;

/// An input on its way to the engine.
#[derive(Debug)]
pub struct Work {
    received_at: Timestamp,
    event: Event,
    completion: Completion,
}

/// Who is told, and how, once an input is durable.
#[derive(Debug)]
enum Completion {
    Nobody,
    Acknowledge(Acknowledgement),
    Answer(oneshot::Sender<Reply>),
}

impl From<Delivery> for Work {
    fn from(delivery: Delivery) -> Self {
        let Delivery { received_at, event, acknowledgement } = delivery;
        let completion = acknowledgement.map_or(Completion::Nobody, Completion::Acknowledge);
        Self { received_at, event, completion }
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
    inbox: mpsc::WeakSender<Work>,
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
        let (answer, answered) = oneshot::channel();
        let work = Work {
            received_at: self.clock.now(),
            event: Event::Command(Box::new(command)),
            completion: Completion::Answer(answer),
        };
        let inbox = self.inbox.upgrade().ok_or(Closed)?;
        inbox.send(work).await.map_err(|_| Closed)?;
        drop(inbox);
        answered.await.map_err(|_| Closed)
    }
}

/// Why a partition ended before its inputs did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal could not be written or read.
    #[error("keeping the journal")]
    Journal(#[from] crate::journal::Error),
    /// A checkpoint could not be read.
    #[error("restoring the checkpoint")]
    Restore(#[from] crate::engine::snapshot::RestoreError),
    /// A checkpoint blob is of a kind that this service doesn't know.
    #[error("the checkpoint holds a blob of the unknown kind {kind:#04x}")]
    UnknownBlob {
        /// The kind.
        kind: u8,
    },
    /// A thread could not be started.
    #[error("starting the {thread} thread")]
    Spawn {
        /// Which.
        thread: &'static str,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked: our own bug. What was not committed comes again after the restart.
    #[error("the {thread} thread panicked")]
    Panicked {
        /// Which.
        thread: &'static str,
    },
}

/// A partition ready to run.
pub struct Partition {
    recovered: Recovered,
    writer: Writer,
    settings: Settings,
    stored: watch::Receiver<Position>,
    inbox: mpsc::Receiver<Work>,
    backlog: Arc<Backlog>,
    /// The service is stopping: a full journal is no longer waited for.
    stopping: CancellationToken,
    clock: Arc<dyn Clock>,
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

impl Partition {
    /// Puts the parts together. The sender is the way in: for the source as it is, for commands
    /// by [`handle`].
    #[must_use]
    pub fn new(
        recovered: Recovered,
        writer: Writer,
        settings: Settings,
        surroundings: Surroundings,
    ) -> (Self, mpsc::Sender<Work>) {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let Surroundings { stored, backlog, stopping, clock } = surroundings;
        let partition =
            Self { recovered, writer, settings, stored, inbox, backlog, stopping, clock };
        (partition, sender)
    }

    /// Runs until every sender of the inbox is gone and everything is committed, the last
    /// checkpoint included.
    ///
    /// # Errors
    /// [`Error`] if the journal fails or a thread panics; inputs not committed by then are not
    /// acknowledged.
    pub async fn run(self) -> Result<(), Error> {
        let Self { recovered, writer, settings, stored, inbox, backlog, stopping, clock } = self;
        let (batches, to_commit) = std::sync::mpsc::sync_channel(BATCHES_MAX);
        let line = Line::new(recovered, inbox, batches, Arc::clone(&backlog), clock);
        let engine = spawn("engine", move || {
            line.run(settings);
            Ok(())
        })?;
        let committer = Committer::new(writer, stored, backlog, stopping);
        let committer = spawn("committer", move || committer.run(to_commit))?;
        // The committer first: if it fails, the engine finds its channel closed and ends too.
        let committed = join("committer", committer).await;
        join("engine", engine).await.and(committed)
    }
}

/// The way in for commands, beside the source.
#[must_use]
pub fn handle(inbox: &mpsc::Sender<Work>, clock: Arc<dyn Clock>) -> Handle {
    Handle { inbox: inbox.downgrade(), clock }
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
