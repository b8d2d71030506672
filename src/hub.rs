//! The hub: one task that follows the journal, holds the open alerts and how each patient is
//! watched, and owns every watcher.
//!
//! A watcher joins at a point of the journal and from then on gets each event that its filter
//! lets through, in order, and nothing twice (V5). Without a cursor it gets a snapshot of what
//! stands first. With one it gets the events behind it: from the hub's memory of recent events,
//! or, if it was away for longer, from the journal, read by its own task until it has caught up.
//!
//! Promises: a slow watcher slows nobody. Its queue is bounded; when it overflows, the watcher goes
//! on from the journal, if it still reads, or is closed and told so with its last cursor. Heartbeats travel in the
//! same queue as events, so that a heartbeat's cursor means that everything before it was given.
//!
//! Those who watch vitals belong to a task of their own, [`vitals`]: they need what is newest and not
//! everything, so that nothing about them is like the above.
//!
//! The hub decides nothing: events carry the alert, or the patient's monitoring, as it stands. It
//! knows nothing of gRPC either.

mod cursor;
mod filter;
#[cfg(test)]
pub(crate) mod tests;
mod view;
pub mod vitals;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use metrics::{gauge, histogram};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use self::cursor::{CursorError, WatchCursor};
pub use self::filter::Filter;
use self::view::View;
pub use self::view::{Change, EventRef, Left, Snapshot};
use self::watcher::Watcher;
pub use self::watcher::{Ended, Heartbeat, Lagged, Update, Watch};
use crate::clock::Clock;
use crate::engine::input::{Event, Intake, Link};
use crate::journal::{self, Entry, Follower, Journal};
use crate::partition::Backlog;
use crate::position::{OutputId, Position};
use crate::telemetry::names;

/// How often a watcher hears from the hub when nothing else happens.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// A watcher whose queue overflowed goes on from the journal if it comes back to read within this
/// time; one that does not read is closed. The same as a client's own limit for NOT LIVE.
const LAG_PATIENCE: Duration = Duration::from_secs(25);
/// Watchers waiting to be let in.
const JOINS_MAX: usize = 64;

/// Asks the hub to let a watcher in.
struct Join {
    filter: Filter,
    /// The last output that the watcher has seen, if it resumes.
    after: Option<OutputId>,
    joined: oneshot::Sender<Joined>,
}

/// What the hub says to that.
enum Joined {
    /// The watcher is in.
    In(watcher::Queue),
    /// What it has missed is no longer in memory: it must read the journal first.
    Behind,
}

/// The hub.
pub struct Hub {
    follower: Follower,
    view: View,
    watchers: Vec<Watcher>,
    joins: mpsc::Receiver<Join>,
    /// Whether the link to the broker is up, by what the journal says.
    is_linked: bool,
    /// Whether messages are left to the broker, by what the journal says.
    is_held: bool,
    /// Whether messages come from the broker; told to who asks.
    ingest_connected: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    /// How far behind the partition is.
    backlog: Arc<Backlog>,
}

/// The way in for watchers.
#[derive(Clone)]
pub struct Handle {
    joins: mpsc::Sender<Join>,
    journal: Journal,
    /// See [`LAG_PATIENCE`].
    patience: Duration,
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
        let (sender, joins) = mpsc::channel(JOINS_MAX);
        let handle = Handle { joins: sender, journal: journal.clone(), patience: LAG_PATIENCE };
        let watchers = Vec::new();
        // Every connection is an input, so that one of an earlier run says nothing.
        let (ingest_connected, _) = watch::channel(false);
        let (is_linked, is_held) = (false, false);
        let hub = Self {
            follower,
            view,
            watchers,
            joins,
            is_linked,
            is_held,
            ingest_connected,
            clock,
            backlog,
        };
        Ok((hub, handle))
    }

    /// Whether messages come from the broker, now and later: the link is up, and they are taken.
    #[must_use]
    pub fn ingest_connected(&self) -> watch::Receiver<bool> {
        self.ingest_connected.subscribe()
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
                Some(join) = self.joins.recv() => self.join(join),
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
        if let Some(last) = entries.last() {
            let lag = self.clock.now().since(last.input.received_at);
            histogram!(names::HUB_LAG_SECONDS).record(lag);
            gauge!(names::HUB_POSITION).set(last.position.0 as f64);
            gauge!(names::ALERTS_OPEN).set(self.view.open_count() as f64);
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

    fn count_watchers(&self) {
        gauge!(names::WATCHERS).set(self.watchers.len() as f64);
    }

    fn beat(&mut self) {
        let service_time = self.clock.now();
        let heartbeat = Heartbeat {
            last: self.view.last(),
            service_time,
            ingest_connected: *self.ingest_connected.borrow(),
            engine_lag: self.backlog.age(service_time),
        };
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
    /// A new watch: with a snapshot first, or the events behind `after`.
    ///
    /// # Errors
    /// [`WatchError`] if `after` is no longer, or not yet, in the journal.
    pub fn watch(&self, filter: Filter, after: Option<OutputId>) -> Result<Watch, WatchError> {
        // Found out before the stream begins, so that the caller gets a plain error.
        if let Some(after) = after {
            self.journal.follow(after.position)?;
        }
        Ok(Watch::new(self.clone(), filter, after))
    }

    /// The cursor text for an output, for a watcher with this filter.
    #[must_use]
    pub fn cursor(&self, filter: &Filter, after: OutputId) -> WatchCursor {
        let (journal_id, partition) = (self.journal.journal_id(), self.journal.partition());
        WatchCursor { journal_id, partition, after, filter: filter.digest() }
    }

    async fn join(&self, filter: Filter, after: Option<OutputId>) -> Result<Joined, WatchError> {
        let (joined, answer) = oneshot::channel();
        let join = Join { filter, after, joined };
        self.joins.send(join).await.map_err(|_| WatchError::Closed)?;
        answer.await.map_err(|_| WatchError::Closed)
    }
}
