//! A watcher: the end of it that the hub holds, and the watch that its client reads.
//!
//! A watch joins the hub, gives what comes in its queue, and where that is not enough, reads the
//! journal until it can join again. While it does, it tells by itself that it is alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior};

use super::filter::Filter;
use super::queue::{self, BYTES_MAX, Next, Queue, Refused, UPDATES_MAX};
use super::view::{self, EventRef, Snapshot};
use super::{Handle, Joined, WatchError};
use crate::clock::Timestamp;
use crate::journal::{Follower, Journal};
use crate::position::{OutputId, Position};
use crate::telemetry::names;

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// What stands, which replaces whatever the watcher held.
    Snapshot {
        /// It.
        standing: Arc<Snapshot>,
        /// Everything up to here is in it.
        last: OutputId,
    },
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

impl Update {
    /// What it may be the last to hold.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.bytes,
            Self::Snapshot { .. } | Self::Live { .. } | Self::Heartbeat(_) => 0,
        }
    }

    /// Everything up to here was given with it.
    const fn last(&self) -> OutputId {
        match self {
            Self::Event(event) => event.id,
            Self::Snapshot { last, .. }
            | Self::Live { last }
            | Self::Heartbeat(Heartbeat { last, .. }) => *last,
        }
    }
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
#[error("the watcher did not read for more than {UPDATES_MAX} updates or {BYTES_MAX} bytes")]
pub struct Lagged;

/// The hub's side of a watcher.
pub(super) struct Watcher {
    filter: Arc<Filter>,
    /// The watcher has seen everything up to here. It may lie ahead of the hub, if the watcher
    /// has just read the journal itself.
    after: OutputId,
    updates: queue::Sender,
}

pub(super) fn queue(filter: Arc<Filter>, after: OutputId) -> (Watcher, Queue) {
    let (updates, queue) = queue::channel();
    (Watcher { filter, after, updates }, queue)
}

impl Watcher {
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Begins with a snapshot.
    pub(super) fn begin(&self, standing: Snapshot, last: OutputId) {
        self.send(Update::Snapshot { standing: Arc::new(standing), last });
        self.send(Update::Live { last });
    }

    /// Begins with what was missed; false if that is more than the queue holds.
    pub(super) fn catch_up(&self, missed: impl Iterator<Item = EventRef>, last: OutputId) -> bool {
        let last = last.max(self.after);
        let offered = missed.into_iter().all(|event| self.offer(&event));
        offered && self.send(Update::Live { last })
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
    fn send(&self, update: Update) -> bool {
        let sent = self.updates.send(update);
        if sent == Err(Refused::Lagged) {
            counter!(names::WATCHERS_OVERRUN_TOTAL).increment(1);
        }
        sent.is_ok()
    }
}

/// A watch, to be read by the one who asked for it.
pub struct Watch {
    hub: Handle,
    filter: Arc<Filter>,
    stage: Stage,
    /// Everything up to here was given; `None` before the snapshot.
    last: Option<OutputId>,
    /// When to tell of life, while the hub does not.
    heartbeat: Interval,
}

enum Stage {
    /// Asks the hub to be let in.
    Joining(Option<oneshot::Receiver<Joined>>),
    /// Reads what it missed from the journal, up to `after` so far.
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
        /// The last output that it was given: it can resume behind it. `None` if it was given
        /// nothing.
        last: Option<OutputId>,
    },
    /// The journal or the hub is gone.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

impl Watch {
    /// Must be called within a Tokio runtime.
    pub(super) fn new(hub: Handle, filter: Filter, last: Option<OutputId>) -> Self {
        let every = hub.heartbeat_every;
        let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { hub, filter: Arc::new(filter), stage: Stage::Joining(None), last, heartbeat }
    }

    /// The filter.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The last output given, if there is one.
    #[must_use]
    pub const fn last(&self) -> Option<OutputId> {
        self.last
    }

    /// The next update; `None` once the service ends.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`] if the watcher was too slow, or what it missed can't be read.
    pub async fn next(&mut self) -> Result<Option<Update>, Ended> {
        loop {
            let advanced = match &mut self.stage {
                Stage::In(queue) => match queue.next().await {
                    Next::Update(update) => Some(update),
                    Next::End => return Ok(None),
                    Next::Lagged(since) => {
                        self.lagged(since)?;
                        None
                    }
                },
                Stage::Joining(_) | Stage::Reading { .. } => tokio::select! {
                    // First: who has much to catch up is told of life in between.
                    biased;
                    _ = self.heartbeat.tick(), if self.last.is_some() => {
                        self.last.map(|last| Update::Heartbeat(self.hub.heartbeat(last)))
                    }
                    advanced = advance(&mut self.stage, &self.hub, &self.filter, &mut self.last) => {
                        advanced?
                    }
                },
            };
            if let Some(update) = advanced {
                self.last = Some(update.last());
                return Ok(Some(update));
            }
        }
    }

    /// A burst was more than the queue holds. If the watcher reads, it takes up from the journal
    /// where it stands.
    fn lagged(&mut self, since: Instant) -> Result<(), Ended> {
        if since.elapsed() >= self.hub.patience {
            counter!(names::WATCHERS_ENDED_TOTAL, "reason" => "lagged").increment(1);
            return Err(Ended::Lagged { lagged: Lagged, last: self.last });
        }
        self.stage = Stage::Joining(None);
        Ok(())
    }
}

/// Takes a watch one step on that the hub has not let in; gives what it comes upon. Cancel safe.
async fn advance(
    stage: &mut Stage,
    hub: &Handle,
    filter: &Arc<Filter>,
    last: &mut Option<OutputId>,
) -> Result<Option<Update>, WatchError> {
    match stage {
        Stage::Joining(answer) => *stage = join(answer, hub, filter, *last).await?,
        Stage::Reading { follower, pending, after } => {
            if let Some(event) = pending.next() {
                return Ok(Some(Update::Event(event)));
            }
            *last = Some(*after);
            match read_on(hub, follower, filter, after).await? {
                Some(next) => *pending = next.into_iter(),
                None => *stage = Stage::Joining(None),
            }
        }
        // The hub tells what there is.
        Stage::In(_) => {}
    }
    Ok(None)
}

/// Asks the hub, unless it was asked before and has not answered yet; gives what follows.
async fn join(
    asked: &mut Option<oneshot::Receiver<Joined>>,
    hub: &Handle,
    filter: &Arc<Filter>,
    after: Option<OutputId>,
) -> Result<Stage, WatchError> {
    if asked.is_none() {
        *asked = Some(hub.join(Arc::clone(filter), after).await?);
    }
    let answer = asked.as_mut().expect("asked just now");
    match (answer.await.map_err(|_| WatchError::Closed)?, after) {
        (Joined::In(queue), _) => Ok(Stage::In(queue)),
        (Joined::Behind, Some(after)) => {
            let follower = follow_from(&hub.journal, after)?;
            Ok(Stage::Reading { follower, pending: Vec::new().into_iter(), after })
        }
        (Joined::Behind, None) => unreachable!("who begins now has missed nothing"),
    }
}

/// A follower whose first entry may hold outputs behind `after`.
pub(super) fn follow_from(journal: &Journal, after: OutputId) -> Result<Follower, WatchError> {
    // Found out first: the entry before one that was never reached may be there.
    let follower = journal.follow(after.position)?;
    if after.index == u32::MAX || after.position == Position::START {
        return Ok(follower);
    }
    Ok(journal.follow(Position(after.position.0 - 1))?)
}

/// The next events behind `after` that concern the watcher; `None` once it has caught up. Waits
/// while as many as may read the journal do. Cancel safe.
async fn read_on(
    hub: &Handle,
    follower: &mut Follower,
    filter: &Filter,
    after: &mut OutputId,
) -> Result<Option<Vec<EventRef>>, WatchError> {
    if follower.position() >= hub.journal.last() {
        return Ok(None);
    }
    let _permit = hub.readers.acquire().await.map_err(|_| WatchError::Closed)?;
    let Some(entries) = follower.next().await? else { return Err(WatchError::Closed) };
    let concerns = |event: &EventRef| event.id > *after && filter.admits_change(&event.change);
    let events = entries.iter().flat_map(|entry| view::events(entry)).filter(concerns).collect();
    if let Some(last) = entries.last() {
        *after = view::end_of(last.position);
    }
    Ok(Some(events))
}
