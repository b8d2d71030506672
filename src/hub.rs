//! The hub: one task that follows the journal, holds the open alerts and how each patient is
//! watched, and owns every watcher.
//!
//! A watcher joins at a point of the journal and from then on gets each event that its filter
//! lets through, in order, and nothing twice (V5). Without a cursor it gets a snapshot of what
//! stands first. With one it gets the events behind it: from the hub's memory of recent events,
//! or, if it was away for longer, from the journal, read by its own task until it has caught up.
//!
//! Promises: a slow watcher slows nobody. Its queue is bounded in updates and in bytes; when it
//! overflows, it is emptied, and the watcher goes on from the journal, if it still reads, or is
//! closed and told so with its last cursor. Heartbeats travel in the same queue as events, so that
//! a heartbeat's cursor means that everything before it was given; a watcher that catches up from
//! the journal gets them all the same.
//!
//! What one watcher costs: its filter, its queue of `queue::UPDATES_MAX` pointers and at most
//! `queue::BYTES_MAX` of events that nobody else holds any more; before it is live, its snapshot,
//! a pointer for each alert and patient; while it reads the journal, the events of a batch of about
//! a MiB, and no more than `READERS_MAX` read at once.
//!
//! Who asks what stands gets it as of everything that was durable when they asked.
//!
//! Those who watch vitals belong to a task of their own, [`vitals`]: they need what is newest and not
//! everything, so that nothing about them is like the above.
//!
//! The hub decides nothing: events carry the alert, or the patient's monitoring, as it stands. It
//! knows nothing of gRPC either.

mod cursor;
mod filter;
mod queue;
#[cfg(test)]
pub(crate) mod tests;
mod view;
pub mod vitals;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use metrics::{gauge, histogram};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use self::cursor::{CursorError, WatchCursor};
pub use self::filter::Filter;
use self::queue::Queue;
use self::view::View;
pub use self::view::{Change, EventRef, Left, Snapshot, Story};
use self::watcher::Watcher;
pub use self::watcher::{Ended, Heartbeat, Lagged, Update, Watch};
use crate::clock::Clock;
use crate::engine::alerts::{Alert, AlertId};
use crate::engine::input::{Event, Intake, Link};
use crate::journal::{self, Entry, Follower, Journal};
use crate::partition::Backlog;
use crate::position::{OutputId, Position};
use crate::telemetry::names;
use crate::telemetry::stages::{self, Stage};
use crate::telemetry::traces;

/// How often a watcher hears from the hub when nothing else happens.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// A watcher whose queue overflowed goes on from the journal if it comes back to read within this
/// time; one that does not read is closed. The same as a client's own limit for NOT LIVE.
const LAG_PATIENCE: Duration = Duration::from_secs(25);
/// Questions to the hub that wait to be taken: watchers to be let in, and what stands.
const ASKED_MAX: usize = 64;
/// Questions taken that wait until the hub has followed the journal far enough: it takes no more
/// while there are so many.
const DEFERRED_MAX: usize = 64;
/// Watchers that read the journal at once; others wait for their turn, batch by batch. Each has a
/// batch of about a MiB in memory and a thread at the disk that commits are written to.
const READERS_MAX: usize = 16;

/// What the hub is asked.
enum Asked {
    Join(Join),
    Look(Look),
}

/// Asks what stands once everything up to `at_least` has been followed.
struct Look {
    at_least: Position,
    look: Box<dyn FnOnce(&View) + Send>,
}

/// Asks the hub to let a watcher in.
struct Join {
    filter: Arc<Filter>,
    /// The last output that the watcher has seen, if it resumes.
    after: Option<OutputId>,
    joined: oneshot::Sender<Joined>,
}

/// What the hub says to that.
enum Joined {
    /// The watcher is in.
    In(Queue),
    /// What it has missed is no longer in memory: it must read the journal first.
    Behind,
}

/// The hub.
pub struct Hub {
    follower: Follower,
    view: View,
    watchers: Vec<Watcher>,
    asked: mpsc::Receiver<Asked>,
    /// Looks that are to wait until the journal has been followed further.
    deferred: Vec<Look>,
    /// Whether the link to the broker is up, by what the journal says.
    is_linked: bool,
    /// Whether messages are left to the broker, by what the journal says.
    is_held: bool,
    /// Whether messages come from the broker; told to who asks.
    ingest_connected: watch::Sender<bool>,
    pulse: Pulse,
}

/// What heartbeats tell beside how far a watcher has come.
#[derive(Clone)]
struct Pulse {
    ingest_connected: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    /// How far behind the partition is.
    backlog: Arc<Backlog>,
}

impl Pulse {
    fn beat(&self, last: OutputId) -> Heartbeat {
        let service_time = self.clock.now();
        Heartbeat {
            last,
            service_time,
            ingest_connected: *self.ingest_connected.borrow(),
            engine_lag: self.backlog.age(service_time),
        }
    }
}

/// The way in for watchers, and for who asks what stands.
#[derive(Clone)]
pub struct Handle {
    asked: mpsc::Sender<Asked>,
    journal: Journal,
    /// See [`READERS_MAX`].
    readers: Arc<Semaphore>,
    pulse: Pulse,
    /// See [`LAG_PATIENCE`].
    patience: Duration,
    /// See [`HEARTBEAT_EVERY`].
    heartbeat_every: Duration,
}

impl Hub {
    /// A hub that begins with what followers believe to stand after the entry at `position`.
    ///
    /// # Errors
    /// [`journal::Error`] if the journal can't be followed from there.
    pub fn new(
        journal: &Journal,
        position: Position,
        standing: Snapshot,
        backlog: Arc<Backlog>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Handle), journal::Error> {
        let follower = journal.follow(position)?;
        let view = View::new(position, standing);
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        // Every connection is an input, so that one of an earlier run says nothing.
        let (ingest_connected, connected) = watch::channel(false);
        let pulse = Pulse { ingest_connected: connected, clock, backlog };
        let handle = Handle {
            asked: sender,
            journal: journal.clone(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            pulse: pulse.clone(),
            patience: LAG_PATIENCE,
            heartbeat_every: HEARTBEAT_EVERY,
        };
        let hub = Self {
            follower,
            view,
            watchers: Vec::new(),
            asked,
            deferred: Vec::new(),
            is_linked: false,
            is_held: false,
            ingest_connected,
            pulse,
        };
        Ok((hub, handle))
    }

    /// Whether messages come from the broker, now and later: the link is up, and they are taken.
    #[must_use]
    pub fn ingest_connected(&self) -> watch::Receiver<bool> {
        self.ingest_connected.subscribe()
    }

    /// How far it has come, now and later.
    #[must_use]
    pub fn done(&self) -> journal::Progress {
        self.follower.done()
    }

    /// Runs until the journal ends; every watcher's stream ends then.
    ///
    /// # Errors
    /// [`journal::Error`] if the journal can't be read.
    pub async fn run(mut self) -> Result<(), journal::Error> {
        let mut heartbeat =
            tokio::time::interval_at(Instant::now() + HEARTBEAT_EVERY, HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                entries = self.follower.next() => match entries? {
                    Some(entries) => self.follow(&entries),
                    None => return Ok(()),
                },
                Some(asked) = self.asked.recv(), if self.deferred.len() < DEFERRED_MAX => {
                    match asked {
                        Asked::Join(join) => self.join(join),
                        Asked::Look(look) => self.look(look),
                    }
                }
                _ = heartbeat.tick() => self.beat(),
            }
        }
    }

    fn follow(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.look_at_ingest(&entry.input.event);
            for event in self.view.follow(entry) {
                self.watchers.retain(|watcher| watcher.offer(&event));
            }
        }
        for look in std::mem::take(&mut self.deferred) {
            self.look(look);
        }
        if let Some(last) = entries.last() {
            let now = self.pulse.clock.now();
            let received = entries.iter().filter_map(|entry| entry.message_received());
            stages::passed(Stage::Streamed, now, received);
            traces::streamed(last.position, now);
            histogram!(names::HUB_LAG_SECONDS).record(now.since(last.input.received_at));
            gauge!(names::HUB_POSITION).set(last.position.0 as f64);
            for (priority, count) in self.view.open_counts() {
                gauge!(names::ALERTS_OPEN, "priority" => *priority).set(*count as f64);
            }
            for (state, count) in self.view.watched() {
                gauge!(names::PATIENTS, "state" => *state).set(*count as f64);
            }
            self.count_watchers();
        }
    }

    fn look_at_ingest(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => (self.is_linked, self.is_held) = (false, false),
            Event::Link(Link::Up { .. }) => self.is_linked = true,
            Event::Link(Link::Down) => self.is_linked = false,
            Event::Intake(intake) => self.is_held = *intake == Intake::Held,
            _ => return,
        }
        self.ingest_connected.send_replace(self.is_linked && !self.is_held);
    }

    fn join(&mut self, join: Join) {
        let Join { filter, after, joined } = join;
        let Some(missed) = self.view.since(after) else {
            drop(joined.send(Joined::Behind));
            return;
        };
        let (watcher, queue) = watcher::queue(filter, after.unwrap_or_else(|| self.view.last()));
        if after.is_none() {
            watcher.begin(self.view.snapshot(watcher.filter()), self.view.last());
        } else if !watcher.catch_up(missed, self.view.last()) {
            // More than a queue holds: it must take its time with the journal.
            drop(joined.send(Joined::Behind));
            return;
        }
        if joined.send(Joined::In(queue)).is_ok() {
            self.watchers.push(watcher);
            self.count_watchers();
        }
    }

    fn look(&mut self, look: Look) {
        if look.at_least <= self.view.position() {
            (look.look)(&self.view);
        } else {
            self.deferred.push(look);
        }
    }

    fn count_watchers(&self) {
        gauge!(names::WATCHERS).set(self.watchers.len() as f64);
    }

    fn beat(&mut self) {
        let heartbeat = self.pulse.beat(self.view.last());
        self.watchers.retain(|watcher| watcher.beat(heartbeat));
        self.count_watchers();
    }
}

/// Why a watcher could not be let in.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The cursor lies outside what the journal keeps.
    #[error("resuming from the journal")]
    Journal(#[from] journal::Error),
    /// The service is ending.
    #[error("the service is ending")]
    Closed,
}

impl Handle {
    /// A new watch: with a snapshot first, or the events behind `after`. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// [`WatchError`] if `after` is no longer, or not yet, in the journal.
    pub fn watch(&self, filter: Filter, after: Option<OutputId>) -> Result<Watch, WatchError> {
        // Found out before the stream begins, so that the caller gets a plain error.
        if let Some(after) = after {
            watcher::follow_from(&self.journal, after)?;
        }
        Ok(Watch::new(self.clone(), filter, after))
    }

    /// The cursor behind an output, for a watcher whose filter has this [`Filter::digest`].
    #[must_use]
    pub fn cursor(&self, filter: u64, after: OutputId) -> WatchCursor {
        let (journal_id, partition) = (self.journal.journal_id(), self.journal.partition());
        WatchCursor { journal_id, partition, after, filter }
    }

    /// The last entry that is durable: whatever anybody was answered stands there or before.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.journal.last()
    }

    /// The open alerts that `wanted` picks, as of everything that is durable now. Cancel safe.
    ///
    /// # Errors
    /// [`WatchError::Closed`].
    pub async fn open_alerts(
        &self,
        wanted: impl Fn(&Alert) -> bool + Send + 'static,
    ) -> Result<Vec<Arc<Alert>>, WatchError> {
        self.look(move |view| view.open(wanted)).await
    }

    /// An alert, if it is open, as of everything that is durable now. Cancel safe.
    ///
    /// # Errors
    /// [`WatchError::Closed`].
    pub async fn open_alert(&self, id: AlertId) -> Result<Option<Story>, WatchError> {
        self.look(move |view| view.story(id)).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> T + Send + 'static,
    ) -> Result<T, WatchError> {
        let (seen, answer) = oneshot::channel();
        let look: Box<dyn FnOnce(&View) + Send> = Box::new(|view| drop(seen.send(look(view))));
        let look = Look { at_least: self.durable(), look };
        self.asked.send(Asked::Look(look)).await.map_err(|_| WatchError::Closed)?;
        answer.await.map_err(|_| WatchError::Closed)
    }

    async fn join(
        &self,
        filter: Arc<Filter>,
        after: Option<OutputId>,
    ) -> Result<oneshot::Receiver<Joined>, WatchError> {
        let (joined, answer) = oneshot::channel();
        let join = Asked::Join(Join { filter, after, joined });
        self.asked.send(join).await.map_err(|_| WatchError::Closed)?;
        Ok(answer)
    }

    /// What tells a watcher of life that the hub does not tell itself.
    pub(crate) fn heartbeat(&self, last: OutputId) -> Heartbeat {
        self.pulse.beat(last)
    }
}
