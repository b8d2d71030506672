//! Bad input: each kind of it is refused with a reason that is counted, logged, stored with its
//! payload and told to the gateway, and the line goes on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use pulseward::proto::v1::{BatchVerdict, RejectReason};
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{Batch, Sample, Vital};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::recording::{Recording, SITE};
use crate::support::sql::Sql;
use crate::support::wait::{wait_for, wait_until};

/// What stands in a payload that must never stand in a log.
const SECRET: &str = "whose-name-is-nobodys-business";
/// The largest payload and batch that the service takes.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
const BATCH_READINGS_MAX: usize = 10_000;

/// Bad input, and what must be said of it.
struct Bad {
    what: &'static str,
    message: Message,
    reason: RejectReason,
    /// The device that the log must name, if the topic names one.
    device: Option<&'static str>,
    /// Readings that the verdict says were refused, and taken; `None` where no device is to be
    /// told.
    verdict: Option<(u32, u32)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_message_has_its_reason_everywhere_and_the_line_goes_on() {
    let mut ward = Ward::start().await;
    let bad = bad_input(&mut ward);
    let count = bad.len();
    for (number, case) in bad.into_iter().enumerate() {
        ward.check(number, case).await;
    }
    assert_eq!(ward.house.metric("pulseward_rejects_total").await, ward.refused_f64());
    assert!(!ward.house.service.log().contains(SECRET), "a payload stands in the log");
    ward.check_nothing_is_counted_twice(count).await;
}

fn bad_input(ward: &mut Ward) -> Vec<Bad> {
    let garbage = |payload: &str| payload.as_bytes().to_vec();
    let huge = vec![b'{'; PAYLOAD_BYTES_MAX + 1];
    let mut unknown = ward.good();
    unknown.topic = topic("nobody");
    let mut elsewhere = ward.good();
    elsewhere.topic = "pulseward/v1/x/y/foo".to_owned();
    let refused =
        |what, message, reason, device, verdict| Bad { what, message, reason, device, verdict };
    let device = Some(DEVICE);
    vec![
        refused(
            "garbage",
            raw("application/protobuf", garbage(&format!("\u{7f}{SECRET}"))),
            RejectReason::MalformedPayload,
            device,
            Some((1, 0)),
        ),
        refused(
            "JSON that ends too soon",
            raw("application/json", garbage(&format!("{{\"gateway\": \"{SECRET}"))),
            RejectReason::MalformedPayload,
            device,
            Some((1, 0)),
        ),
        refused(
            "an unknown device",
            unknown,
            RejectReason::UnknownDevice,
            Some("nobody"),
            Some((1, 0)),
        ),
        refused("an unknown topic", elsewhere, RejectReason::MalformedPayload, None, None),
        refused(
            "a payload that is too large",
            raw("application/json", huge),
            RejectReason::TooLarge,
            device,
            Some((1, 0)),
        ),
        refused(
            "a batch of too many readings",
            ward.batch(BATCH_READINGS_MAX + 1, 70.0),
            RejectReason::TooManyReadings,
            device,
            Some((1, 0)),
        ),
        refused(
            "a reading that is not a number, among good ones",
            ward.mixed(),
            RejectReason::NotANumber,
            device,
            Some((1, 2)),
        ),
    ]
}

const DEVICE: &str = "monitor-01";

fn topic(device: &str) -> String {
    format!("pulseward/v1/{SITE}/{device}/readings")
}

fn raw(content_type: &'static str, payload: Vec<u8>) -> Message {
    let batch = Batch { device: DEVICE.into(), boot_id: 0, first_seq: 0, samples: Vec::new() };
    Message { topic: topic(DEVICE), content_type, payload: payload.into(), batch }
}

/// A house with one patient, somebody who hears the verdicts, and what was sent so far.
struct Ward {
    house: House,
    verdicts: EventLoop,
    /// Keeps the subscription.
    _client: AsyncClient,
    start: Timestamp,
    /// Numbers used up.
    sequence: u64,
    /// Readings that must be stored.
    good: usize,
    /// Refusals that must be counted.
    refused: usize,
}

impl Ward {
    async fn start() -> Self {
        let recording = Recording::new(8, 1, 1);
        let house = House::start(Sql::postgres().await).await;
        house.enroll(&recording).await;
        let mut options = MqttOptions::new("gateway", "127.0.0.1", house.broker.port());
        options.set_keep_alive(Duration::from_secs(30));
        let (client, verdicts) = AsyncClient::new(options, 10);
        client.subscribe("pulseward/v1/+/+/verdicts", QoS::AtLeastOnce).await.expect("queued");
        let start = recording.start;
        let mut ward =
            Self { house, verdicts, _client: client, start, sequence: 1, good: 0, refused: 0 };
        while !matches!(ward.packet().await, Packet::SubAck(_)) {}
        ward
    }

    async fn packet(&mut self) -> Packet {
        loop {
            let polled = tokio::time::timeout(Duration::from_secs(30), self.verdicts.poll()).await;
            let event = polled.expect("waited in vain for a packet").expect("the link holds");
            if let Event::Incoming(packet) = event {
                return packet;
            }
        }
    }

    async fn verdict(&mut self) -> (String, BatchVerdict) {
        loop {
            if let Packet::Publish(publish) = self.packet().await {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                return (topic, verdict_of(&publish.payload));
            }
        }
    }

    /// A message of so many readings, which follow all those before.
    fn batch(&mut self, readings: usize, value: f64) -> Message {
        let first_seq = self.sequence;
        let samples = (0..readings).map(|_| {
            let measured_at = self.start + SignedDuration::from_millis(self.sequence.cast_signed());
            self.sequence += 1;
            Sample { measured_at, vital: Vital::HeartRate, value }
        });
        let samples = samples.collect();
        let batch = Batch { device: DEVICE.into(), boot_id: 1, first_seq, samples };
        encode::message(SITE, batch, Encoding::Protobuf, Timestamp::now())
    }

    fn good(&mut self) -> Message {
        self.batch(1, 70.0)
    }

    /// Three readings, of which the middle one is NaN.
    fn mixed(&mut self) -> Message {
        let mut batch = self.batch(3, 70.0).batch;
        batch.samples[1].value = f64::NAN;
        encode::message(SITE, batch, Encoding::Protobuf, Timestamp::now())
    }

    async fn send(&self, message: Message) {
        publish(&self.house.broker.url(), vec![message]).await;
    }

    async fn check(&mut self, number: usize, bad: Bad) {
        let what = bad.what;
        let (topic, payload) = (bad.message.topic.clone(), bad.message.payload.clone());
        let before = self.house.metric(&metric(bad.reason)).await;
        self.send(bad.message).await;
        self.refused += 1;
        if let Some((rejected, accepted)) = bad.verdict {
            self.good += accepted as usize;
            let (to, verdict) = self.verdict().await;
            assert_eq!(to, topic.replace("/readings", "/verdicts"), "{what}");
            assert_eq!((verdict.rejected_total, verdict.accepted), (rejected, accepted), "{what}");
            assert_eq!(verdict.rejected[0].reason(), bad.reason, "{what}");
        }
        let good = self.good();
        self.send(good).await;
        self.good += 1;
        self.house.stored(self.good).await;

        wait_until(&format!("{what} to be counted"), async || {
            self.house.metric(&metric(bad.reason)).await > before
        })
        .await;
        assert_eq!(self.house.metric(&metric(bad.reason)).await, before + 1.0, "{what}");
        self.check_log(what, bad.reason, bad.device).await;
        self.check_row(number, what, bad.reason, &topic, payload.len()).await;
    }

    /// The last refusal in the log is this one.
    async fn check_log(&self, what: &str, reason: RejectReason, device: Option<&str>) {
        let line = wait_for(&format!("{what} to be logged"), async || {
            let lines = refusals_in(&self.house.service.log());
            (lines.len() == self.refused).then(|| lines.last().cloned())?
        })
        .await;
        assert_eq!(line["level"], "WARN", "{what}");
        assert_eq!(line["fields"]["reason"], name_of(reason), "{what}");
        assert_eq!(line["fields"]["device"].as_str(), device, "{what}");
    }

    /// The last refusal in the store is this one.
    async fn check_row(
        &self,
        number: usize,
        what: &str,
        reason: RejectReason,
        topic: &str,
        bytes: usize,
    ) {
        let sql = "SELECT topic, reason, length(payload) FROM rejected_messages ORDER BY position";
        let rows = self.house.sql.rows(sql).await;
        assert_eq!(rows.len(), number + 1, "{what}: {rows:?}");
        assert_eq!(rows[number], [topic, &name_of(reason), &bytes.to_string()], "{what}");
    }

    /// A crash and the replay after it count no refusal again.
    async fn check_nothing_is_counted_twice(&mut self, refused: usize) {
        self.house.service.kill9();
        self.house.service.restart().await;
        let good = self.good();
        self.send(good).await;
        self.good += 1;
        self.house.stored(self.good).await;
        assert_eq!(self.house.metric("pulseward_rejects_total").await, 0.0);
        assert_eq!(refusals_in(&self.house.service.log()).len(), refused);
        let rows = self.house.sql.number("SELECT count(*) FROM rejected_messages").await;
        assert_eq!(rows, refused);
    }

    fn refused_f64(&self) -> f64 {
        f64::from(u32::try_from(self.refused).expect("few"))
    }
}

fn refusals_in(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["fields"]["message"] == "message refused").collect()
}

fn metric(reason: RejectReason) -> String {
    format!("pulseward_rejects_total{{reason=\"{}\"}}", name_of(reason))
}

fn name_of(reason: RejectReason) -> String {
    reason.as_str_name().trim_start_matches("REJECT_REASON_").to_lowercase()
}

/// Verdicts come in the encoding of what they answer; JSON is read as far as it is checked.
fn verdict_of(payload: &[u8]) -> BatchVerdict {
    let Ok(json) = serde_json::from_slice::<Value>(payload) else {
        return BatchVerdict::decode(payload).expect("a verdict");
    };
    let reason = json["rejected"][0]["reason"].as_str().expect("a reason");
    let reason = RejectReason::from_str_name(reason).expect("one of the contract's");
    let count =
        |field: &str| json[field].as_u64().map_or(0, |count| u32::try_from(count).expect("few"));
    BatchVerdict {
        accepted: count("accepted"),
        rejected_total: count("rejectedTotal"),
        rejected: vec![pulseward::proto::v1::Rejected {
            reason: reason.into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}
