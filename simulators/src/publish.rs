//! One MQTT 5 connection that publishes messages at QoS 1 and sees each of them acknowledged.
//!
//! [`Publisher::run`] promises that a message counts as sent only once its PUBACK has come, and
//! that after a loss of the connection every message without one is sent again, in order, with
//! the same bytes. The broker may therefore see a message twice; the numbers inside let the
//! service tell. At most [`IN_FLIGHT_MAX`] messages are under way: beyond, the publisher takes no
//! more and its sender waits.
//!
//! A message may have a moment before which it is not sent ([`Cargo::due`]), and a connection may
//! be cut on purpose ([`Publisher::with_cuts`]).
//!
//! The client's own resending is not used. It forgets pending messages when the broker has lost
//! the session, so each connection here begins with a clean session and a fresh client, and what
//! to send again is decided from our own window.

mod broker;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::StateError;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Packet, PubAck, PubAckReason, PublishProperties,
};
use rumqttc::v5::{AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

pub use broker::Broker;
use window::Window;

use crate::sample::Batch;

/// Messages without their PUBACK at most: enough to fill a link of some milliseconds, few enough
/// that a lost connection repeats little.
pub const IN_FLIGHT_MAX: usize = 64;
/// How long a broker may leave a ping unanswered.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Waits between attempts to connect, doubling from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a message carries, as whoever sends it knows it.
pub trait Cargo: Clone {
    /// The moment before which it is not handed over. Messages keep their order: one that is due
    /// holds back those behind it.
    fn due(&self) -> Option<Instant> {
        None
    }
}

impl Cargo for Batch {}

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Message<C = Batch> {
    /// Where to.
    pub topic: String,
    /// MQTT 5 content type of the payload.
    pub content_type: &'static str,
    /// The bytes, the same at every attempt.
    pub payload: Bytes,
    /// What the payload carries.
    pub batch: C,
}

/// How a connection is made and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker.
    pub broker: Broker,
    /// MQTT client id; no two connections to a broker may share one.
    pub client_id: String,
    /// How long the broker may be away, without a PUBACK in between, before the publisher gives up.
    pub patience: Duration,
}

/// What happened to a message or to the connection.
#[derive(Debug)]
pub enum Progress<'a, C = Batch> {
    /// The first connection stands.
    Connected,
    /// The message is about to be handed to the connection for the first time.
    Published(&'a Message<C>),
    /// The message is about to be handed over again, after the connection was lost.
    Repeated(&'a C),
    /// The broker has taken the message over.
    Acknowledged {
        /// What it carried.
        batch: &'a C,
        /// Whether anyone is subscribed to its topic. If not, the broker has dropped it.
        heard: bool,
    },
    /// The connection is gone; messages without a PUBACK will be sent again.
    Lost {
        /// Why.
        error: &'a Error,
        /// How many messages have no PUBACK.
        unacknowledged: usize,
    },
    /// It is there again.
    Reconnected,
}

/// Why messages could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the broker, or there no longer is.
    #[error("connection to {broker}")]
    Connection {
        /// The broker.
        broker: Broker,
        /// What is wrong with it.
        #[source]
        source: Box<ConnectionError>,
    },
    /// The broker was away for too long.
    #[error(
        "gave up on {broker} after {patience:?}, with {unacknowledged} messages unacknowledged"
    )]
    GaveUp {
        /// The broker.
        broker: Broker,
        /// For how long it was waited for.
        patience: Duration,
        /// How many messages have no PUBACK.
        unacknowledged: usize,
        /// The last attempt's failure.
        #[source]
        source: Box<Error>,
    },
    /// The broker refused a message.
    #[error("the broker refused a message on {topic}: {reason:?}")]
    Refused {
        /// Where to.
        topic: String,
        /// Its reason.
        reason: PubAckReason,
    },
    /// The connection was cut on purpose.
    #[error("cut the connection to {broker}")]
    Cut {
        /// The broker.
        broker: Broker,
    },
    /// A message is none that MQTT can carry.
    #[error("handing over a message on {topic}")]
    Message {
        /// Where to.
        topic: String,
        /// What is wrong with it.
        #[source]
        source: Box<ClientError>,
    },
}

impl Error {
    /// Whether another attempt may fare better.
    fn may_pass(&self) -> bool {
        if matches!(self, Self::Cut { .. }) {
            return true;
        }
        let Self::Connection { source, .. } = self else { return false };
        match &**source {
            ConnectionError::ConnectionRefused(code) => matches!(
                code,
                ConnectReturnCode::ServerUnavailable
                    | ConnectReturnCode::ServerBusy
                    | ConnectReturnCode::ConnectionRateExceeded
                    | ConnectReturnCode::UnspecifiedError
            ),
            ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }) => false,
            _ => true,
        }
    }
}

/// One connection's worth of publishing.
#[derive(Debug)]
pub struct Publisher<F, C = Batch> {
    settings: Settings,
    messages: mpsc::Receiver<Message<C>>,
    /// The next message, taken from the channel and waiting for its moment. It outlives a
    /// connection that is lost meanwhile.
    next: Option<Message<C>>,
    /// Each change cuts the connection.
    cuts: Option<watch::Receiver<u64>>,
    /// What is under way, and who is told. Shared between the two halves of a connection, which
    /// run in one task; the lock is never held over an await.
    shared: Mutex<Shared<F, C>>,
    /// Whether a connection was ever made: before, nothing is waited for.
    was_connected: bool,
}

#[derive(Debug)]
struct Shared<F, C> {
    window: Window<C>,
    observe: F,
    /// Since when the connection has been lost, with no PUBACK in between.
    lost_since: Option<Instant>,
}

impl<C: Cargo, F: FnMut(Progress<'_, C>)> Publisher<F, C> {
    /// Publishes what comes from `messages` until it is closed, telling `observe`.
    pub fn new(settings: Settings, messages: mpsc::Receiver<Message<C>>, observe: F) -> Self {
        let shared = Shared { window: Window::default(), observe, lost_since: None };
        let shared = Mutex::new(shared);
        Self { settings, messages, next: None, cuts: None, shared, was_connected: false }
    }

    /// Drops the connection, without a goodbye, at each change of `cuts`, and makes it anew.
    #[must_use]
    pub fn with_cuts(self, cuts: watch::Receiver<u64>) -> Self {
        Self { cuts: Some(cuts), ..self }
    }

    /// Returns when `messages` is closed and every message was acknowledged. Not cancel safe:
    /// messages under way would be lost.
    ///
    /// # Errors
    /// At once if the broker can't be reached at first, or refuses us or a message; after the
    /// settings' patience if it goes away later and stays away.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut backoff = BACKOFF.0;
        loop {
            let Err(error) = self.connection().await else { return Ok(()) };
            if !self.was_connected || !error.may_pass() {
                return Err(error);
            }
            if self.lock().lost_since.is_none() {
                backoff = BACKOFF.0;
            }
            self.announce_loss(error)?;
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Tells the observer, or gives up.
    fn announce_loss(&self, error: Error) -> Result<(), Error> {
        let mut shared = self.lock();
        let unacknowledged = shared.window.len();
        (shared.observe)(Progress::Lost { error: &error, unacknowledged });
        let Settings { broker, patience, .. } = self.settings.clone();
        if shared.lost_since.get_or_insert_with(Instant::now).elapsed() < patience {
            return Ok(());
        }
        Err(Error::GaveUp { broker, patience, unacknowledged, source: Box::new(error) })
    }

    /// One connection, from its first packet until everything is acknowledged or it is lost.
    async fn connection(&mut self) -> Result<(), Error> {
        let (client, mut events) = AsyncClient::new(self.options(), IN_FLIGHT_MAX);
        self.await_connack(&mut events).await?;
        self.announce_connection();
        let Self { settings, messages, next, cuts, shared, .. } = self;
        let places = Semaphore::new(IN_FLIGHT_MAX);
        // Each half is one future that lives as long as the connection, so that neither is ever
        // dropped in the middle of a packet while the connection goes on.
        tokio::select! {
            read = read(&mut events, shared, &places, &settings.broker) => read,
            Err(error) = write(&client, messages, next, shared, &places) => Err(error),
            () = cut(cuts) => Err(Error::Cut { broker: settings.broker.clone() }),
        }
    }

    fn announce_connection(&mut self) {
        let again = std::mem::replace(&mut self.was_connected, true);
        let mut shared = self.lock();
        let progress = if again { Progress::Reconnected } else { Progress::Connected };
        (shared.observe)(progress);
        if shared.window.len() == 0 {
            shared.lost_since = None;
        }
    }

    async fn await_connack(&self, events: &mut EventLoop) -> Result<(), Error> {
        loop {
            let event = events.poll().await;
            let event = event.map_err(|source| connection_error(&self.settings.broker, source))?;
            if matches!(event, Event::Incoming(Packet::ConnAck(_))) {
                return Ok(());
            }
        }
    }

    fn options(&self) -> MqttOptions {
        let Broker { host, port, credentials } = &self.settings.broker;
        let mut options = MqttOptions::new(&self.settings.client_id, host, *port);
        let window = u16::try_from(IN_FLIGHT_MAX).expect("the window is far below 65,536");
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(true)
            .set_outgoing_inflight_upper_limit(window);
        if let Some((user, password)) = credentials {
            options.set_credentials(user, password);
        }
        options
    }

    fn lock(&self) -> MutexGuard<'_, Shared<F, C>> {
        lock(&self.shared)
    }
}

/// A panic while the lock was held was the observer's, and has ended the task that we are in.
fn lock<F, C>(shared: &Mutex<Shared<F, C>>) -> MutexGuard<'_, Shared<F, C>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connection_error(broker: &Broker, source: ConnectionError) -> Error {
    Error::Connection { broker: broker.clone(), source: Box::new(source) }
}

/// Drives the connection and takes its PUBACKs, until we have said goodbye or it is lost.
async fn read<C: Cargo, F: FnMut(Progress<'_, C>)>(
    events: &mut EventLoop,
    shared: &Mutex<Shared<F, C>>,
    places: &Semaphore,
    broker: &Broker,
) -> Result<(), Error> {
    loop {
        match events.poll().await.map_err(|source| connection_error(broker, source))? {
            Event::Outgoing(Outgoing::Publish(packet_id)) => lock(shared).window.written(packet_id),
            Event::Incoming(Packet::PubAck(ack)) => {
                acknowledge(&mut lock(shared), &ack)?;
                places.add_permits(1);
            }
            Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
            _ => {}
        }
    }
}

fn acknowledge<C: Cargo, F: FnMut(Progress<'_, C>)>(
    shared: &mut Shared<F, C>,
    ack: &PubAck,
) -> Result<(), Error> {
    let Some(Message { topic, batch, .. }) = shared.window.acknowledge(ack.pkid) else {
        return Ok(());
    };
    let heard = match ack.reason {
        PubAckReason::Success => true,
        PubAckReason::NoMatchingSubscribers => false,
        reason => return Err(Error::Refused { topic, reason }),
    };
    shared.lost_since = None;
    (shared.observe)(Progress::Acknowledged { batch: &batch, heard });
    Ok(())
}

/// Hands over what the last connection left behind, then what comes, then waits for the last
/// PUBACK and says goodbye. Never returns but with an error: the other half sees the goodbye.
async fn write<C: Cargo, F: FnMut(Progress<'_, C>)>(
    client: &AsyncClient,
    messages: &mut mpsc::Receiver<Message<C>>,
    next: &mut Option<Message<C>>,
    shared: &Mutex<Shared<F, C>>,
    places: &Semaphore,
) -> Result<(), Error> {
    let left_behind = lock(shared).window.reconnect();
    for message in &left_behind {
        take_place(places, 1).await;
        (lock(shared).observe)(Progress::Repeated(&message.batch));
        hand_over(client, message).await?;
    }
    loop {
        take_place(places, 1).await;
        let Some(message) = due(messages, next).await else { break };
        {
            let mut shared = lock(shared);
            (shared.observe)(Progress::Published(&message));
            shared.window.take(message.clone());
        }
        hand_over(client, &message).await?;
    }
    places.add_permits(1);
    take_place(places, IN_FLIGHT_MAX).await;
    let goodbye = client.disconnect().await;
    goodbye.map_err(|source| Error::Message { topic: String::new(), source: Box::new(source) })?;
    std::future::pending().await
}

/// The next message, once its moment has come; `None` when there is none to come. Cancel safe: one
/// that waits stays in `next`.
async fn due<C: Cargo>(
    messages: &mut mpsc::Receiver<Message<C>>,
    next: &mut Option<Message<C>>,
) -> Option<Message<C>> {
    if next.is_none() {
        *next = messages.recv().await;
    }
    if let Some(moment) = next.as_ref()?.batch.due() {
        sleep_until(moment).await;
    }
    next.take()
}

/// Completes when the connection, which has just been made, is to be cut. Cancel safe.
async fn cut(cuts: &mut Option<watch::Receiver<u64>>) {
    if let Some(cuts) = cuts {
        cuts.mark_unchanged();
        if cuts.changed().await.is_ok() {
            return;
        }
    }
    std::future::pending().await
}

/// Waits until this many of the places in flight are free, and takes them.
async fn take_place(places: &Semaphore, count: usize) {
    let count = u32::try_from(count).expect("the window is far below 65,536");
    let place = places.acquire_many(count).await;
    place.expect("the semaphore is never closed").forget();
}

async fn hand_over<C>(client: &AsyncClient, message: &Message<C>) -> Result<(), Error> {
    let properties = PublishProperties {
        content_type: Some(message.content_type.to_owned()),
        ..PublishProperties::default()
    };
    let (topic, payload) = (message.topic.clone(), message.payload.clone());
    let handed =
        client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).await;
    handed
        .map_err(|source| Error::Message { topic: message.topic.clone(), source: Box::new(source) })
}

/// A client id for connection `number` of this process.
#[must_use]
pub fn client_id(number: usize) -> String {
    format!("pulseward-sim-{}-{number}", std::process::id())
}
