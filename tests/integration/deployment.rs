//! What we ship for running the service: the broker's configuration does what its comments say.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};

use crate::support::mosquitto::{Mosquitto, Settings};

/// More than Mosquitto queues by default (1,000).
const MESSAGES: u32 = 1_500;

/// What the service asks for by default.
const RECEIVE_MAXIMUM: u16 = 1_024;
/// The largest payload that the service takes.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// A client whose session outlives its connections, as the service's does.
fn client(broker: &Mosquitto, id: &str) -> (AsyncClient, EventLoop) {
    AsyncClient::new(options(broker, id), 2_000)
}

fn options(broker: &Mosquitto, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(3_600);
    properties.receive_maximum = Some(RECEIVE_MAXIMUM);
    properties.max_packet_size = Some(4 << 20);
    options.set_clean_start(false).set_connect_properties(properties);
    options
}

/// Publishes numbers from 0, and waits until the broker has them.
async fn publish_all(broker: &Mosquitto) {
    let (publisher, events) = client(broker, "gateway");
    for number in 0..MESSAGES {
        let payload = number.to_be_bytes().to_vec();
        publisher.publish("readings", QoS::AtLeastOnce, false, payload).await.expect("queued");
    }
    until_incoming(events, MESSAGES, |packet| matches!(packet, Incoming::PubAck(_))).await;
}

/// [`poll_until`], and ends the connection.
async fn until_incoming(mut events: EventLoop, count: u32, picked: fn(&Incoming) -> bool) {
    poll_until(&mut events, count, picked).await;
}

/// Polls until `count` packets were picked.
async fn poll_until(events: &mut EventLoop, count: u32, picked: fn(&Incoming) -> bool) {
    let search = async {
        let mut left = count;
        while left > 0 {
            if let Event::Incoming(packet) = events.poll().await.expect("link holds") {
                left -= u32::from(picked(&packet));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), search).await.expect("the broker answers");
}

#[tokio::test]
async fn the_shipped_broker_keeps_what_the_service_has_not_received_over_a_restart() {
    let mut broker = Mosquitto::start_with(Settings { shipped: true, ..Settings::default() });
    let (subscriber, events) = client(&broker, "service");
    subscriber.subscribe("readings", QoS::AtLeastOnce).await.expect("queued");
    until_incoming(events, 1, |packet| matches!(packet, Incoming::SubAck(_))).await;

    publish_all(&broker).await;
    broker.restart();
    let (_subscriber, events) = client(&broker, "service");
    until_incoming(events, MESSAGES, |packet| matches!(packet, Incoming::Publish(_))).await;
    for complaint in ["Error", "deprecated"] {
        assert!(!broker.log().contains(complaint), "{complaint}");
    }
}

#[tokio::test]
async fn the_shipped_broker_has_as_many_messages_under_way_as_the_service_asks_for() {
    let broker = Mosquitto::start_with(Settings { shipped: true, ..Settings::default() });
    let mut options = options(&broker, "service");
    options.set_manual_acks(true);
    let (subscriber, mut events) = AsyncClient::new(options, 10);
    subscriber.subscribe("readings", QoS::AtLeastOnce).await.expect("queued");
    poll_until(&mut events, 1, |packet| matches!(packet, Incoming::SubAck(_))).await;
    publish_all(&broker).await;
    let in_flight = u32::from(RECEIVE_MAXIMUM);
    poll_until(&mut events, in_flight, |packet| matches!(packet, Incoming::Publish(_))).await;
}

#[tokio::test]
async fn the_shipped_broker_keeps_retained_messages_over_a_restart() {
    let mut broker = Mosquitto::start_with(Settings { shipped: true, ..Settings::default() });
    let (device, events) = client(&broker, "device");
    device.publish("status", QoS::AtLeastOnce, true, "here").await.expect("queued");
    until_incoming(events, 1, |packet| matches!(packet, Incoming::PubAck(_))).await;
    broker.restart();
    let (service, events) = client(&broker, "service");
    service.subscribe("status", QoS::AtLeastOnce).await.expect("queued");
    let kept = |packet: &Incoming| matches!(packet, Incoming::Publish(it) if it.payload == "here");
    until_incoming(events, 1, kept).await;
}

/// What the service takes at most arrives; more is refused at its sender, who learns it.
#[tokio::test]
async fn the_shipped_broker_refuses_a_message_that_the_service_would_not_take() {
    let broker = Mosquitto::start_with(Settings { shipped: true, ..Settings::default() });
    let (subscriber, mut events) = client(&broker, "service");
    subscriber.subscribe("readings", QoS::AtLeastOnce).await.expect("queued");
    poll_until(&mut events, 1, |packet| matches!(packet, Incoming::SubAck(_))).await;
    let mut options = options(&broker, "gateway");
    options.set_max_packet_size(None);
    let (gateway, mut sent) = AsyncClient::new(options, 10);
    let largest = vec![0; MESSAGE_BYTES_MAX];
    gateway.publish("readings", QoS::AtLeastOnce, false, largest.clone()).await.expect("queued");
    poll_until(&mut sent, 1, |packet| matches!(packet, Incoming::PubAck(_))).await;
    let arrived = |packet: &Incoming| matches!(packet, Incoming::Publish(it) if it.payload.len() == MESSAGE_BYTES_MAX);
    poll_until(&mut events, 1, arrived).await;

    let larger = vec![0; MESSAGE_BYTES_MAX + 1];
    gateway.publish("readings", QoS::AtLeastOnce, false, larger).await.expect("queued");
    // PUBACK with reason 149, packet too large, which this client takes for a broken connection.
    let refusal = async { while sent.poll().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), refusal).await.expect("the broker answers");
    assert!(broker.log().contains("Sending PUBACK to gateway (m2, rc149)"), "{}", broker.log());
}
