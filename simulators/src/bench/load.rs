//! How messages get to the broker: over a few connections, at QoS 1, each device always over the
//! same one, so that its messages stay in order.
//!
//! A *schedule* is open-loop: a thread of its own hands each message over when it is due, whatever
//! became of those before, and latencies count from when it was due. A *flood* is closed-loop:
//! windows are kept full, and it waits only while whoever consumes is too far behind, so that what
//! the broker queues can't hide who is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::publish::{Broker, Error, Message, Progress, Publisher, Settings, client_id};
use crate::record::RunClock;

/// Connections, each with a window of its own: together a quarter of what the consumer may leave
/// unacknowledged, and more than the broker answers in a round trip.
const CONNECTIONS: usize = 4;
/// Messages waiting for a connection: a second of the fastest schedule. Beyond, the schedule waits,
/// and its messages count as late.
const WAITING_MAX: usize = 2048;
/// How far a flood may be ahead of its consumer: twenty times what the consumer may leave
/// unacknowledged, so that it never runs dry; a fiftieth of what the broker queues before it drops.
const AHEAD_MAX: u64 = 20_000;
/// How long a flood that is too far ahead waits.
const AHEAD_PAUSE: Duration = Duration::from_millis(1);
/// Nothing of ours restarts the broker.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that publish.
#[derive(Debug)]
pub(super) struct Load {
    lanes: Vec<mpsc::Sender<Message>>,
    publishers: JoinSet<Result<(), Error>>,
    counts: Arc<Counts>,
}

/// What the broker has said of messages.
#[derive(Debug, Default)]
struct Counts {
    /// That it has taken one that nobody subscribes to.
    unheard: AtomicU64,
}

impl Load {
    /// Connects.
    pub(super) fn connect(broker: &Broker) -> Self {
        let counts = Arc::new(Counts::default());
        let (mut lanes, mut publishers) = (Vec::new(), JoinSet::new());
        for number in 0..CONNECTIONS {
            let (lane, messages) = mpsc::channel(WAITING_MAX);
            let (broker, client_id) = (broker.clone(), client_id(number));
            let settings = Settings { broker, client_id, patience: PATIENCE };
            let counts = Arc::clone(&counts);
            let publisher = Publisher::new(settings, messages, move |it| counts.note(&it));
            publishers.spawn(publisher.run());
            lanes.push(lane);
        }
        Self { lanes, publishers, counts }
    }

    /// Publishes as fast as `consumed` follows: it gives how many messages the consumer has taken.
    /// Returns once the last is handed over. Not cancel safe.
    pub(super) async fn flood(
        &self,
        messages: impl Iterator<Item = (usize, Message)>,
        consumed: impl Fn() -> u64,
    ) -> Result<()> {
        for (number, (device, message)) in (0_u64..).zip(messages) {
            while number.saturating_sub(consumed()) > AHEAD_MAX {
                ensure!(!self.is_broken(), "a publisher has ended");
                sleep(AHEAD_PAUSE).await;
            }
            self.lane(device).send(message).await.context("a publisher has ended")?;
        }
        Ok(())
    }

    /// Publishes each message when it is due, in microseconds of `clock`; they come in order.
    /// Gives the exhausted schedule back once the last is handed over. Not cancel safe.
    pub(super) async fn schedule<S>(&self, clock: RunClock, mut schedule: S) -> Result<S>
    where
        S: Iterator<Item = Due> + Send + 'static,
    {
        let lanes = self.lanes.clone();
        let (ended, end) = tokio::sync::oneshot::channel();
        // A thread that sleeps is woken within a tenth of a millisecond, a timer of the runtime
        // within one.
        std::thread::spawn(move || {
            let is_whole = schedule.by_ref().all(|due| due.hand_over(clock, &lanes));
            // Nobody waits for it only if the benchmark was interrupted.
            drop(ended.send(is_whole.then_some(schedule)));
        });
        let schedule = end.await.context("the schedule's thread panicked")?;
        schedule.context("a publisher has ended before its schedule")
    }

    /// Waits until the broker has acknowledged everything. Not cancel safe.
    ///
    /// # Errors
    /// If a publisher failed, or nobody was subscribed to what it published.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.lanes.clear();
        while let Some(ended) = self.publishers.join_next().await {
            ended.context("a publisher panicked")?.context("publishing")?;
        }
        let unheard = self.counts.unheard.load(Ordering::Relaxed);
        ensure!(unheard == 0, "nobody was subscribed to {unheard} messages");
        Ok(())
    }

    fn lane(&self, device: usize) -> &mpsc::Sender<Message> {
        &self.lanes[device % self.lanes.len()]
    }

    fn is_broken(&self) -> bool {
        self.lanes.iter().any(mpsc::Sender::is_closed)
    }
}

impl Counts {
    fn note(&self, progress: &Progress<'_>) {
        if let Progress::Acknowledged { heard: false, .. } = progress {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A message with its time.
#[derive(Debug)]
pub(super) struct Due {
    /// Microseconds since the clock began.
    pub(super) micros: u64,
    /// Whose message it is.
    pub(super) device: usize,
    /// The message.
    pub(super) message: Message,
}

impl Due {
    /// Waits until it is due. False if there is nobody to hand it over to. Blocking.
    fn hand_over(self, clock: RunClock, lanes: &[mpsc::Sender<Message>]) -> bool {
        let early = self.micros.saturating_sub(clock.micros());
        if early > 0 {
            std::thread::sleep(Duration::from_micros(early));
        }
        lanes[self.device % lanes.len()].blocking_send(self.message).is_ok()
    }
}
