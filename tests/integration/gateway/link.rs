//! A gateway's link to the broker: publishes what it is given, and hears the verdicts.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;

use super::bench::SITE;

/// A passing test never spends it.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any verdict takes.
const PACKET_BYTES_MAX: u32 = 1 << 20;
/// What the page says of them.
const DETAIL_BYTES_MAX: usize = 199;
const EXPIRY_S_MAX: u32 = 10 * 60 + 1;

/// The topic of a device's readings.
pub(super) fn readings_of(device: &str) -> String {
    format!("pulseward/v1/{SITE}/{device}/readings")
}

/// The link.
pub(super) struct Link {
    client: AsyncClient,
    events: EventLoop,
    published: u32,
}

impl Link {
    /// A link that hears the verdicts for everybody.
    pub(super) async fn open(port: u16) -> Self {
        let mut options = MqttOptions::new("gateway", "127.0.0.1", port);
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(PACKET_BYTES_MAX);
        options.set_keep_alive(Duration::from_secs(30)).set_connect_properties(properties);
        let (client, events) = AsyncClient::new(options, 10);
        client.subscribe("pulseward/v1/+/+/verdicts", QoS::AtLeastOnce).await.expect("queued");
        let mut link = Self { client, events, published: 0 };
        while !matches!(link.packet().await, Packet::SubAck(_)) {}
        link
    }

    /// Publishes a batch in JSON and waits for its verdict.
    pub(super) async fn ask(&mut self, topic: &str, batch: &str) -> Value {
        self.ask_in("application/json", topic, batch.as_bytes().to_vec()).await
    }

    /// Publishes a payload of some content type and waits for its verdict, which must be in JSON.
    ///
    /// # Panics
    /// If what comes is not what the page promises of every verdict.
    pub(super) async fn ask_in(
        &mut self,
        content_type: &str,
        topic: &str,
        payload: Vec<u8>,
    ) -> Value {
        let (properties, payload) = self.exchange(content_type, topic, payload).await;
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
        let verdict: Value = serde_json::from_slice(&payload).expect("JSON");
        for rejected in verdict["rejected"].as_array().expect("a list") {
            let detail = rejected["detail"].as_str().expect("text");
            assert!((1..=DETAIL_BYTES_MAX).contains(&detail.len()), "{detail}");
        }
        verdict
    }

    /// Publishes a payload and waits for the verdict on it, whatever its encoding.
    pub(super) async fn exchange(
        &mut self,
        content_type: &str,
        topic: &str,
        payload: Vec<u8>,
    ) -> (PublishProperties, Vec<u8>) {
        self.published += 1;
        let correlation = format!("message {}", self.published);
        let properties = PublishProperties {
            content_type: Some(content_type.to_owned()),
            correlation_data: Some(correlation.clone().into()),
            ..PublishProperties::default()
        };
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .await
            .expect("queued");
        loop {
            let Packet::Publish(verdict) = self.packet().await else { continue };
            let properties = verdict.properties.unwrap_or_default();
            assert_eq!(verdict.topic, topic.replace("/readings", "/verdicts"));
            assert_eq!(properties.correlation_data.as_deref(), Some(correlation.as_bytes()));
            let expiry = properties.message_expiry_interval.expect("a verdict expires");
            assert!(expiry <= EXPIRY_S_MAX, "{expiry} s");
            return (properties, verdict.payload.to_vec());
        }
    }

    async fn packet(&mut self) -> Packet {
        loop {
            let polled = tokio::time::timeout(PATIENCE, self.events.poll()).await;
            let event = polled.expect("waited in vain for a packet").expect("the link holds");
            if let Event::Incoming(packet) = event {
                return packet;
            }
        }
    }
}
