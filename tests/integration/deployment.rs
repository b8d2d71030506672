//! What we ship for running the service: the broker's configuration does what its comments say.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};

use crate::support::mosquitto::{Mosquitto, Settings};

/// More than Mosquitto queues by default (1,000).
const MESSAGES: u32 = 1_500;

/// A client whose session outlives its connections, as the service's does.
fn client(broker: &Mosquitto, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(3_600);
    properties.receive_maximum = Some(1_024);
    options.set_clean_start(false).set_connect_properties(properties);
    AsyncClient::new(options, 2_000)
}

/// Polls until `count` packets were picked, and ends the connection.
async fn until_incoming(mut events: EventLoop, count: u32, picked: fn(&Incoming) -> bool) {
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

    let (publisher, events) = client(&broker, "gateway");
    for number in 0..MESSAGES {
        let payload = number.to_be_bytes().to_vec();
        publisher.publish("readings", QoS::AtLeastOnce, false, payload).await.expect("queued");
    }
    until_incoming(events, MESSAGES, |packet| matches!(packet, Incoming::PubAck(_))).await;

    broker.restart();
    let (_subscriber, events) = client(&broker, "service");
    until_incoming(events, MESSAGES, |packet| matches!(packet, Incoming::Publish(_))).await;
    for complaint in ["Error", "deprecated"] {
        assert!(!broker.log().contains(complaint), "{complaint}");
    }
}
