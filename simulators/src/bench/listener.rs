//! What the service is compared with: a subscriber that only acknowledges.
//!
//! It has the same room for unacknowledged messages as the service, the client's own way of
//! acknowledging, and no work but to count. Of probes it also notes how long after they were due
//! they came.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::distribution::Latencies;
use super::traffic::{self, PROBES, To};
use crate::publish::Broker;
use crate::record::RunClock;

/// The service's own default.
const RECEIVE_MAXIMUM: u16 = 1024;
/// Far above any of our messages.
const PACKET_BYTES_MAX: u32 = 1 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A subscription takes a round trip.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests of ours: one subscription, one goodbye.
const REQUESTS_MAX: usize = 4;

/// A subscriber. Dropping it leaves its task to end with the runtime; [`Listener::finish`] ends it.
#[derive(Debug)]
pub(super) struct Listener {
    client: AsyncClient,
    heard: Arc<Heard>,
    task: JoinHandle<Result<()>>,
}

/// What it has heard.
#[derive(Debug)]
pub(super) struct Heard {
    messages: AtomicU64,
    probes: Mutex<Latencies>,
    clock: RunClock,
    probes_under: String,
}

impl Listener {
    /// Subscribes; what is published from now on is heard. Probes are timed by `clock`.
    pub(super) async fn start(broker: &Broker, clock: RunClock) -> Result<Self> {
        let (client, mut events) = AsyncClient::new(options(broker), REQUESTS_MAX);
        let root = To::Reference.root();
        client.subscribe(format!("{root}/v1/+/+/readings"), QoS::AtLeastOnce).await?;
        timeout(PATIENCE, subscribed(&mut events)).await.context("no subscription in time")??;
        let probes_under = format!("{root}/v1/{PROBES}/");
        let (messages, probes) = (AtomicU64::new(0), Mutex::default());
        let heard = Arc::new(Heard { messages, probes, clock, probes_under });
        let task = tokio::spawn(listen(events, Arc::clone(&heard)));
        Ok(Self { client, heard, task })
    }

    /// How many messages it has taken.
    pub(super) fn messages(&self) -> u64 {
        self.heard.messages.load(Ordering::Relaxed)
    }

    /// How many probes came, and how late.
    pub(super) fn probes(&self) -> Latencies {
        self.heard.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says goodbye and waits for its end. Not cancel safe.
    pub(super) async fn finish(self) -> Result<()> {
        self.client.disconnect().await?;
        self.task.await.context("the subscriber panicked")?
    }
}

fn options(broker: &Broker) -> MqttOptions {
    let client_id = format!("pulseward-bench-{}", std::process::id());
    let mut options = MqttOptions::new(client_id, &broker.host, broker.port);
    let properties = ConnectProperties {
        receive_maximum: Some(RECEIVE_MAXIMUM),
        max_packet_size: Some(PACKET_BYTES_MAX),
        ..ConnectProperties::new()
    };
    // As the service does: acknowledgements are few bytes, and somebody waits for each.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(true)
        .set_connect_properties(properties)
        .set_network_options(network);
    options
}

async fn subscribed(events: &mut EventLoop) -> Result<()> {
    loop {
        if let Event::Incoming(Packet::SubAck(_)) = events.poll().await.context("subscribing")? {
            return Ok(());
        }
    }
}

/// Until the goodbye is written.
async fn listen(mut events: EventLoop, heard: Arc<Heard>) -> Result<()> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => heard.note(&publish),
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return Ok(()),
            Ok(_) => {}
            Err(error) => bail!("the subscriber lost its connection: {error}"),
        }
    }
}

impl Heard {
    fn note(&self, publish: &Publish) {
        if publish.topic.starts_with(self.probes_under.as_bytes()) {
            self.note_probe(publish);
        }
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn note_probe(&self, publish: &Publish) {
        let now = self.clock.micros();
        let Some(due) = traffic::base_time(&publish.payload) else { return };
        let due = due.duration_since(self.clock.began_at()).as_micros();
        let due = u64::try_from(due).unwrap_or(0);
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.record_micros(now.saturating_sub(due));
    }
}
