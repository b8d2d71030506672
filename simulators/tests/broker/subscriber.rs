//! Listens where the service listens, with a persistent session, and decodes what comes.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use pulseward_sim::proto::v1;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far beyond what any test needs, so that what never comes fails a test instead of holding it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const TOPICS: &str = "pulseward/v1/+/+/readings";

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) topic: String,
    pub(crate) content_type: Option<String>,
    pub(crate) payload: Vec<u8>,
}

/// Reading numbers and contents of each device, in the order in which they came.
pub(crate) type Readings = BTreeMap<String, Vec<(u64, v1::Reading)>>;

pub(crate) struct Subscriber {
    heard: watch::Receiver<Vec<Heard>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Subscriber {
    /// Subscribed once this returns.
    pub(crate) async fn start(port: u16) -> Self {
        let (hear, heard) = watch::channel(Vec::new());
        let (stop, stopped) = watch::channel(false);
        let (subscribed, mut is_subscribed) = watch::channel(false);
        let task = tokio::spawn(listen(port, hear, subscribed, stopped));
        is_subscribed.wait_for(|yes| *yes).await.expect("the listener is there");
        Self { heard, stop, task }
    }

    /// Waits until this many messages have come.
    pub(crate) async fn until_messages(&mut self, count: u64) {
        self.until(|heard| heard.len() as u64 >= count).await;
    }

    /// Waits until this many readings have come, repetitions aside.
    pub(crate) async fn until_distinct(&mut self, count: usize) {
        self.until(|heard| distinct(&readings(heard)) >= count).await;
    }

    async fn until(&mut self, mut enough: impl FnMut(&[Heard]) -> bool) {
        let wait = self.heard.wait_for(|heard| enough(heard));
        let heard = timeout(DEADLINE, wait).await.expect("heard in time");
        heard.expect("the listener is there");
    }

    pub(crate) async fn finish(self) -> Vec<Heard> {
        self.stop.send_replace(true);
        self.task.await.expect("the listener ended in good order");
        self.heard.borrow().clone()
    }
}

async fn listen(
    port: u16,
    hear: watch::Sender<Vec<Heard>>,
    subscribed: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
    let mut session = ConnectProperties::new();
    session.session_expiry_interval = Some(3600);
    options.set_clean_start(false).set_connect_properties(session);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe(TOPICS, QoS::AtLeastOnce).await.expect("the client is there");
    let listening = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    hear.send_modify(|heard| heard.push(keep(message)));
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send_replace(true)),
                Ok(_) => {}
                // The broker restarts; the next poll connects again.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::select! {
        () = listening => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn keep(message: Publish) -> Heard {
    Heard {
        topic: String::from_utf8(message.topic.to_vec()).expect("topics are UTF-8"),
        content_type: message.properties.and_then(|properties| properties.content_type),
        payload: message.payload.to_vec(),
    }
}

/// Protobuf readings with their numbers, by device.
pub(crate) fn readings(heard: &[Heard]) -> Readings {
    let mut readings = Readings::new();
    for message in heard {
        let batch = v1::ReadingBatch::decode(&*message.payload).expect("a ReadingBatch");
        let device = message.topic.split('/').nth(3).expect("a device in the topic");
        let numbered = (batch.first_seq..).zip(batch.readings);
        readings.entry(device.to_owned()).or_default().extend(numbered);
    }
    readings
}

/// How many numbers have come, repetitions aside.
pub(crate) fn distinct(readings: &Readings) -> usize {
    let numbers = |came: &Vec<(u64, v1::Reading)>| {
        came.iter().map(|(number, _)| *number).collect::<std::collections::BTreeSet<_>>().len()
    };
    readings.values().map(numbers).sum()
}
