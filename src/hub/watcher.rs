//! A watcher: its queue in the hub, and the stream that reads from it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::mpsc;

use super::filter::Filter;
use super::view::{self, EventRef, Snapshot};
use super::{Handle, Joined, WatchError};
use crate::clock::Timestamp;
use crate::journal::{Follower, Journal};
use crate::position::{OutputId, Position};
use crate::telemetry::names;

/// Updates that wait for one watcher. Full, the watcher is closed: it can resume.
const QUEUE_MAX: usize = 1024;

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// What stands, which replaces whatever the watcher held.
    Snapshot(Arc<Snapshot>),
    /// Everything before was the past: from here on it is live.
    Live {
        /// Everything up to here was given.
        last: OutputId,
    },
    /// Something happened.
    Event(EventRef),
    /// The hub is alive.
    Heartbeat(Heartbeat),
}

/// A sign of life.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Everything up to here was given.
    pub last: OutputId,
    /// The service's clock.
    pub service_time: Timestamp,
    /// Whether the broker is connected.
    pub ingest_connected: bool,
    /// For how long the oldest input that is not durable yet has waited.
    pub engine_lag: Duration,
}

/// The watcher was too slow: it is closed, and can resume from its last cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watcher did not read for more than {QUEUE_MAX} updates")]
pub struct Lagged;

/// The hub's side of a watcher.
pub(super) struct Watcher {
    filter: Filter,
    /// The watcher has seen everything up to here. It may lie ahead of the hub, if the watcher
    /// has just read the journal itself.
    after: OutputId,
    updates: mpsc::Sender<Update>,
    lagged: Arc<OnceLock<Instant>>,
}

/// The stream's side.
pub(super) struct Queue {
    updates: mpsc::Receiver<Update>,
    /// When the hub found the queue full, if it did.
    lagged: Arc<OnceLock<Instant>>,
}

pub(super) fn queue(filter: Filter, after: OutputId) -> (Watcher, Queue) {
    let (sender, updates) = mpsc::channel(QUEUE_MAX);
    let lagged = Arc::new(OnceLock::new());
    let watcher = Watcher { filter, after, updates: sender, lagged: Arc::clone(&lagged) };
    (watcher, Queue { updates, lagged })
}

impl Watcher {
    pub(super) const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Begins with a snapshot.
    pub(super) fn begin(&self, standing: Snapshot, last: OutputId) {
        self.send(Update::Snapshot(Arc::new(standing)));
        self.send(Update::Live { last });
    }

    /// Begins with what was missed; false if that is more than the queue holds.
    pub(super) fn catch_up(&self, missed: impl Iterator<Item = EventRef>, last: OutputId) -> bool {
        let last = last.max(self.after);
        missed.into_iter().all(|event| self.offer(&event)) && self.send(Update::Live { last })
    }

    /// Tells the watcher that the hub is alive; false if the watcher is to be let go.
    pub(super) fn beat(&self, heartbeat: Heartbeat) -> bool {
        let last = heartbeat.last.max(self.after);
        self.send(Update::Heartbeat(Heartbeat { last, ..heartbeat }))
    }

    /// Tells the watcher of an event that concerns it; false if the watcher is to be let go.
    pub(super) fn offer(&self, event: &EventRef) -> bool {
        if event.id > self.after && self.filter.admits_change(&event.change) {
            self.send(Update::Event(event.clone()))
        } else {
            !self.updates.is_closed()
        }
    }

    /// Tells the watcher something; false if it is to be let go.
    pub(super) fn send(&self, update: Update) -> bool {
        match self.updates.try_send(update) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lagged.get_or_init(Instant::now);
                counter!(names::WATCHERS_ENDED_TOTAL, "reason" => "lagged").increment(1);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// A watch, to be read by the one who asked for it.
pub struct Watch {
    hub: Handle,
    filter: Filter,
    stage: Stage,
    /// The last output given.
    last: OutputId,
}

enum Stage {
    /// Asks the hub to be let in.
    Joining { after: Option<OutputId> },
    /// Reads what it missed from the journal.
    Reading { follower: Follower, pending: std::vec::IntoIter<EventRef>, after: OutputId },
    /// Gets what the hub says.
    In(Queue),
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The watcher was too slow.
    #[error("{lagged}")]
    Lagged {
        /// How.
        lagged: Lagged,
        /// The last output that it was given: it can resume behind it.
        last: OutputId,
    },
    /// The journal or the hub is gone.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

impl Watch {
    pub(super) fn new(hub: Handle, filter: Filter, after: Option<OutputId>) -> Self {
        Self { hub, filter, stage: Stage::Joining { after }, last: after.unwrap_or_default() }
    }

    /// The filter.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The last output given; the default before there is one.
    #[must_use]
    pub const fn last(&self) -> OutputId {
        self.last
    }

    /// The next update; `None` once the service ends.
    ///
    /// Not cancel safe while it joins: an update could be lost with it.
    ///
    /// # Errors
    /// [`Ended`] if the watcher was too slow, or what it missed can't be read.
    pub async fn next(&mut self) -> Result<Option<Update>, Ended> {
        let update = self.advance().await?;
        match &update {
            Some(Update::Event(event)) => self.last = event.id,
            Some(Update::Live { last } | Update::Heartbeat(Heartbeat { last, .. })) => {
                self.last = *last;
            }
            Some(Update::Snapshot(_)) | None => {}
        }
        Ok(update)
    }

    async fn advance(&mut self) -> Result<Option<Update>, Ended> {
        loop {
            match &mut self.stage {
                Stage::Joining { after } => {
                    let after = *after;
                    self.stage = self.join(after).await?;
                }
                Stage::Reading { follower, pending, after } => {
                    if let Some(event) = pending.next() {
                        return Ok(Some(Update::Event(event)));
                    }
                    if let Some(next) =
                        read_on(&self.hub.journal, follower, &self.filter, after).await?
                    {
                        *pending = next.into_iter();
                    } else {
                        let after = Some(*after);
                        self.stage = Stage::Joining { after };
                    }
                }
                Stage::In(queue) => match queue.next().await {
                    Next::Update(update) => return Ok(Some(update)),
                    Next::End => return Ok(None),
                    // A burst was more than the queue holds, and the watcher reads: it takes up
                    // from the journal where it stands.
                    Next::Lagged(since) if since.elapsed() < self.hub.patience => {
                        self.stage = Stage::Joining { after: Some(self.last) };
                    }
                    Next::Lagged(_) => {
                        return Err(Ended::Lagged { lagged: Lagged, last: self.last });
                    }
                },
            }
        }
    }

    async fn join(&self, after: Option<OutputId>) -> Result<Stage, WatchError> {
        match (self.hub.join(self.filter.clone(), after).await?, after) {
            (Joined::In(queue), _) => Ok(Stage::In(queue)),
            (Joined::Behind, Some(after)) => {
                let follower = follow_from(&self.hub.journal, after)?;
                Ok(Stage::Reading { follower, pending: Vec::new().into_iter(), after })
            }
            (Joined::Behind, None) => unreachable!("who begins now has missed nothing"),
        }
    }
}

/// A follower whose first entry may hold outputs behind `after`.
fn follow_from(journal: &Journal, after: OutputId) -> Result<Follower, WatchError> {
    let seen_whole = after.index == u32::MAX;
    let before = Position(after.position.0.saturating_sub(1));
    let from = if seen_whole { after.position } else { before };
    Ok(journal.follow(from)?)
}

/// The next events behind `after` that concern the watcher; `None` once it has caught up.
async fn read_on(
    journal: &Journal,
    follower: &mut Follower,
    filter: &Filter,
    after: &mut OutputId,
) -> Result<Option<Vec<EventRef>>, WatchError> {
    if follower.position() >= journal.last() {
        return Ok(None);
    }
    let Some(entries) = follower.next().await? else { return Err(WatchError::Closed) };
    let concerns = |event: &EventRef| event.id > *after && filter.admits_change(&event.change);
    let events = entries.iter().flat_map(|entry| view::events(entry)).filter(concerns).collect();
    if let Some(last) = entries.last() {
        *after = view::end_of(last.position);
    }
    Ok(Some(events))
}

/// What a queue gives.
pub(super) enum Next {
    Update(Update),
    /// The hub has let the watcher go because its queue was full then.
    Lagged(Instant),
    /// The hub is gone.
    End,
}

impl Queue {
    pub(super) async fn next(&mut self) -> Next {
        match (self.updates.recv().await, self.lagged.get()) {
            (Some(update), _) => Next::Update(update),
            (None, Some(since)) => Next::Lagged(*since),
            (None, None) => Next::End,
        }
    }
}
