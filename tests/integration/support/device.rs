//! A device, or a gateway, as the broker knows it: a connection with a Last Will, which says how
//! it is on its own topic, and can be killed.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use pulseward::proto::v1::DeviceStatus;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use super::network::Network;
use super::recording::SITE;

/// No passing test waits for the broker that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is connected.
pub(crate) struct Device {
    id: String,
    boot_id: u64,
    client: AsyncClient,
    events: EventLoop,
    /// How it reaches the broker; nobody else does so through it.
    network: Network,
}

impl Device {
    /// Connects as the MQTT client `client_id`, with the Last Will of this boot.
    pub(crate) async fn connect(broker_port: u16, client_id: &str, id: &str, boot_id: u64) -> Self {
        let network = Network::to(broker_port).await;
        let mut options = MqttOptions::new(client_id, "127.0.0.1", network.port());
        let will = DeviceStatus { boot_id, ..DeviceStatus::default() };
        let will = LastWill::new(topic(id), will.encode_to_vec(), QoS::AtLeastOnce, true, None);
        options.set_keep_alive(PATIENCE).set_last_will(will);
        let (client, events) = AsyncClient::new(options, 10);
        let mut device = Self { id: id.to_owned(), boot_id, client, events, network };
        device.until(|packet| matches!(packet, Packet::ConnAck(_))).await;
        device
    }

    /// Says that it is online, since now.
    pub(crate) async fn says_that_it_is_online(&mut self) {
        self.says(self.online(Timestamp::now())).await;
    }

    /// That it is online, in this boot and since then.
    pub(crate) fn online(&self, at: Timestamp) -> DeviceStatus {
        online(self.boot_id, at)
    }

    /// Says how it is; returns once the broker has it.
    pub(crate) async fn says(&mut self, status: DeviceStatus) {
        self.speaks_for(&self.id.clone(), status).await;
    }

    /// Says how another device is, as a gateway does.
    pub(crate) async fn speaks_for(&mut self, device: &str, status: DeviceStatus) {
        let payload = status.encode_to_vec();
        let queued = self.client.try_publish(topic(device), QoS::AtLeastOnce, true, payload);
        queued.expect("one at a time is under way");
        self.until(|packet| matches!(packet, Packet::PubAck(_))).await;
    }

    /// Ends without a goodbye: its connection is reset, and the broker says its Last Will.
    pub(crate) async fn dies(self) {
        self.network.cut().await;
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) {
        let search = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.expect("the link holds")
                    && wanted(&packet)
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("the broker answers");
    }
}

/// That a device is online, in this boot and since then.
pub(crate) fn online(boot_id: u64, at: Timestamp) -> DeviceStatus {
    let at = prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    DeviceStatus { online: true, boot_id, at: Some(at), ..DeviceStatus::default() }
}

fn topic(device: &str) -> String {
    format!("pulseward/v1/{SITE}/{device}/status")
}
