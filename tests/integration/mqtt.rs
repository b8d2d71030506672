//! The source and the verdicts' publisher against a real Mosquitto.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use pulseward::clock::SystemClock;
use pulseward::engine::input::{Event, Link, Publish};
use pulseward::engine::output::Verdict;
use pulseward::mqtt::delivery::{Acknowledgement, Delivery};
use pulseward::mqtt::publisher;
use pulseward::mqtt::session::Session;
use pulseward::mqtt::{Error, Settings};
use pulseward::proto::v1::BatchVerdict;
use pulseward::vitals::{DeviceId, SiteId};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event as ClientEvent, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::mosquitto::{self, Mosquitto};

/// A passing test never spends it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A broker whose queues are long enough for what the tests leave in them.
fn start_broker() -> Mosquitto {
    Mosquitto::start_with(mosquitto::Settings {
        persistent: true,
        extra: "max_queued_messages 100000\nmax_inflight_messages 0\n".to_owned(),
        ..mosquitto::Settings::default()
    })
}

/// Restarts it without standing in the way of the clients.
fn restart(mut broker: Mosquitto) -> JoinHandle<Mosquitto> {
    tokio::task::spawn_blocking(move || {
        broker.restart();
        broker
    })
}

fn settings(broker: &Mosquitto) -> Settings {
    Settings {
        // Small, so that what waits at the broker takes many turns.
        receive_maximum: NonZeroU16::new(16).expect("not zero"),
        reconnect_min: Duration::from_millis(10),
        reconnect_max: Duration::from_millis(200),
        ..Settings::new(broker.url().parse().expect("an address"))
    }
}

/// A running session, with the two ends that the service would hold.
struct Source {
    inbox: mpsc::Receiver<Delivery>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Source {
    fn start(broker: &Mosquitto) -> Self {
        let (sender, inbox) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let session = Session::new(settings(broker), Arc::new(SystemClock), sender);
        Self { inbox, cancel: cancel.clone(), task: tokio::spawn(session.run(cancel)) }
    }

    async fn next(&mut self) -> Delivery {
        soon("a delivery", self.inbox.recv()).await.expect("the session runs")
    }

    async fn expect_link(&mut self, expected: Link) {
        assert_eq!(self.next().await.event, Event::Link(expected));
    }

    async fn message(&mut self) -> (Publish, Acknowledgement) {
        let delivery = self.next().await;
        match (delivery.event, delivery.acknowledgement) {
            (Event::Publish(publish), Some(acknowledgement)) => (publish, acknowledgement),
            other => panic!("{other:?} instead of a QoS 1 message"),
        }
    }

    /// Receives and acknowledges messages, and returns their numbers.
    async fn take(&mut self, count: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let (publish, acknowledgement) = self.message().await;
            numbers.push(number(&publish.payload));
            acknowledgement.send();
        }
        numbers
    }

    /// Receives and acknowledges, adding to `received` until it holds `count` numbers.
    async fn collect(&mut self, count: u32, received: &mut BTreeSet<u32>, links: &mut Vec<Link>) {
        while received.len() < count as usize {
            let delivery = self.next().await;
            match delivery.event {
                Event::Publish(publish) => received.extend([number(&publish.payload)]),
                Event::Link(link) => links.push(link),
                other => panic!("{other:?} from the source"),
            }
            if let Some(acknowledgement) = delivery.acknowledgement {
                acknowledgement.send();
            }
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        let ended = soon("the session to end", self.task).await.expect("no panic");
        ended.expect("it stopped as it was told");
    }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.try_into().expect("four bytes"))
}

/// A client of the broker that is none of ours.
struct Gateway {
    client: AsyncClient,
    events: EventLoop,
    topic: String,
}

impl Gateway {
    async fn connect(broker: &Mosquitto, device: &str) -> Self {
        let mut options = MqttOptions::new(device, "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, events) = AsyncClient::new(options, 10);
        let topic = format!("pulseward/v1/s1/{device}/readings");
        let mut gateway = Self { client, events, topic };
        while !matches!(gateway.next_packet().await, Packet::ConnAck(_)) {}
        gateway
    }

    /// Publishes a number until the broker has acknowledged it, also if it goes away meanwhile.
    async fn publish(&mut self, number: u32) {
        self.queue(number);
        let mut packet_id = None;
        loop {
            match self.events.poll().await {
                Ok(ClientEvent::Outgoing(Outgoing::Publish(sent))) => packet_id = Some(sent),
                Ok(ClientEvent::Incoming(Packet::PubAck(ack))) if Some(ack.pkid) == packet_id => {
                    return;
                }
                // A new session forgets what was under way before it, so it is said again.
                Ok(ClientEvent::Incoming(Packet::ConnAck(_))) => self.queue(number),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn queue(&self, number: u32) {
        let payload = number.to_be_bytes().to_vec();
        let queued = self.client.try_publish(&self.topic, QoS::AtLeastOnce, false, payload);
        queued.expect("one at a time is under way");
    }

    async fn publish_all(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            soon("the broker's acknowledgement", self.publish(number)).await;
        }
    }

    /// The next message on what it has subscribed to.
    async fn receive(&mut self) -> rumqttc::v5::mqttbytes::v5::Publish {
        loop {
            if let Packet::Publish(publish) = self.next_packet().await {
                return publish;
            }
        }
    }

    async fn subscribe(&mut self, topic: &str) {
        self.client.try_subscribe(topic, QoS::AtLeastOnce).expect("there is room");
        while !matches!(self.next_packet().await, Packet::SubAck(_)) {}
    }

    async fn next_packet(&mut self) -> Packet {
        loop {
            let event = soon("a packet", self.events.poll()).await.expect("the broker is there");
            if let ClientEvent::Incoming(packet) = event {
                return packet;
            }
        }
    }
}

#[tokio::test]
async fn what_was_published_while_we_were_away_is_delivered_once_we_are_back() {
    let broker = start_broker();
    let mut gateway = Gateway::connect(&broker, "d1").await;
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: false }).await;
    gateway.publish_all([0]).await;
    assert_eq!(source.take(1).await, [0]);
    source.stop().await;

    gateway.publish_all(1..=300).await;
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: true }).await;
    assert_eq!(source.take(300).await, (1..=300).collect::<Vec<_>>());
    source.stop().await;

    // Everything was acknowledged, so that nothing comes again.
    gateway.publish_all([301]).await;
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: true }).await;
    assert_eq!(source.take(1).await, [301]);
    source.stop().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_the_broker_restarts() {
    let broker = start_broker();
    let mut gateway = Gateway::connect(&broker, "d1").await;
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: false }).await;
    gateway.publish_all(1..=5).await;
    assert_eq!(source.take(2).await, [1, 2]);
    let mut unacknowledged = Vec::new();
    for expected in 3..=5 {
        let (publish, acknowledgement) = source.message().await;
        assert_eq!(number(&publish.payload), expected);
        unacknowledged.push(acknowledgement);
    }
    // Until the broker has heard of 1 and 2, it may send them again, too.
    let broker = restart(broker).await.expect("restarted");
    source.expect_link(Link::Down).await;
    source.expect_link(Link::Up { session_present: true }).await;
    unacknowledged.into_iter().for_each(Acknowledgement::send);
    let mut again = BTreeSet::new();
    while !again.is_superset(&BTreeSet::from([3, 4, 5])) {
        again.extend(source.take(1).await);
    }
    source.stop().await;
    drop(broker);
}

#[tokio::test]
async fn a_broker_restart_under_load_loses_nothing_that_it_had_acknowledged() {
    const GATEWAYS: u32 = 4;
    const EACH: u32 = 250;
    let broker = start_broker();
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: false }).await;
    let mut publishing = Vec::new();
    for index in 0..GATEWAYS {
        let mut gateway = Gateway::connect(&broker, &format!("d{index}")).await;
        let numbers = index * EACH..(index + 1) * EACH;
        publishing.push(tokio::spawn(async move { gateway.publish_all(numbers).await }));
    }
    let mut received = BTreeSet::new();
    let mut links = Vec::new();
    source.collect(EACH, &mut received, &mut links).await;
    let restarting = restart(broker);
    source.collect(GATEWAYS * EACH, &mut received, &mut links).await;
    for gateway in publishing {
        soon("the gateways", gateway).await.expect("no panic");
    }
    assert_eq!(received, (0..GATEWAYS * EACH).collect());
    assert_eq!(links, [Link::Down, Link::Up { session_present: true }]);
    source.stop().await;
    drop(restarting.await);
}

#[tokio::test]
async fn a_verdict_reaches_its_gateway_with_the_batchs_correlation_and_not_ourselves() {
    let broker = start_broker();
    let mut source = Source::start(&broker);
    source.expect_link(Link::Up { session_present: false }).await;
    let mut gateway = Gateway::connect(&broker, "d1").await;
    gateway.subscribe("pulseward/v1/s1/d1/verdicts").await;
    let (verdicts, publisher) = publisher::channel(settings(&broker));
    let publisher = tokio::spawn(publisher.run());

    verdicts.publish(verdict());
    let publish = gateway.receive().await;
    let properties = publish.properties.expect("set");
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"batch 7"[..]));
    assert_eq!(properties.content_type.as_deref(), Some("application/protobuf"));
    assert!(properties.message_expiry_interval.is_some_and(|seconds| seconds <= 600));
    let message = BatchVerdict::decode(publish.payload).expect("a BatchVerdict");
    assert_eq!((message.boot_id, message.first_seq, message.accepted), (3, 7, 1));

    drop(verdicts);
    let ended = soon("the publisher to end", publisher).await.expect("no panic");
    ended.expect("everything is published");
    // The source has heard the verdict, too; what it hands on first is this.
    let mut another = Gateway::connect(&broker, "d2").await;
    another.publish_all([1]).await;
    assert_eq!(source.take(1).await, [1]);
    source.stop().await;
}

fn verdict() -> Verdict {
    Verdict {
        site: SiteId::new("s1").expect("valid"),
        device: DeviceId::new("d1").expect("valid"),
        boot_id: 3,
        first_seq: 7,
        accepted: 1,
        duplicate: 0,
        rejected: Vec::new(),
        rejected_total: 0,
        correlation: Some("batch 7".into()),
        json: false,
    }
}
