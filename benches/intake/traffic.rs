//! The load: a thousand wearables that measure four vitals every five seconds, and send them in
//! batches with numbers and offsets, as a gateway would that means to save bytes; in JSON with full
//! times, as one would that does not.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use pulseward::clock::Timestamp;
use pulseward::engine::State;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Encoding, Event, Input, NewBinding, Principal, Publish, Role, Schedule, Sites,
};
use pulseward::proto::v1 as proto;
use pulseward::proto::v1::reading::{Measured, Value};
use pulseward::vitals::{DeviceId, PatientId, SiteId, Vital};

const DEVICES: u32 = 1_000;
const INTERVAL: Duration = Duration::from_secs(5);
const VITALS: [(Vital, f64, &str); 4] = [
    (Vital::HeartRate, 72.0, ""),
    (Vital::Spo2, 97.0, "%"),
    (Vital::RespiratoryRate, 15.0, ""),
    (Vital::BodyTemperature, 36.6, "Cel"),
];

/// What the devices send, and the engine that they are enrolled in.
pub(crate) struct Traffic {
    pub(crate) state: State,
    encoding: Encoding,
    readings: u32,
    /// Messages made so far.
    sent: u32,
    began: Timestamp,
}

impl Traffic {
    /// Devices that send `readings` at a time.
    pub(crate) fn new(encoding: Encoding, readings: u32) -> Self {
        let began = Timestamp::from_seconds(1_800_000_000);
        let mut traffic = Self { state: State::default(), encoding, readings, sent: 0, began };
        let site = SiteId::new("north").expect("valid");
        traffic.command(Action::CreateSite {
            site: site.clone(),
            display_name: "North".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        });
        for number in 0..DEVICES {
            let patient = PatientId::new(&format!("patient-{number}")).expect("valid");
            let device = DeviceId::new(&format!("wearable-{number}")).expect("valid");
            traffic.command(Action::CreatePatient { patient: patient.clone(), site: site.clone() });
            traffic.command(Action::CreateDevice { device: device.clone(), site: site.clone() });
            let from = Some(began.minus(INTERVAL * 100));
            let schedule = Schedule::default();
            traffic.command(Action::BindDevice(NewBinding { device, patient, from, schedule }));
        }
        traffic
    }

    /// Readings of a message.
    pub(crate) const fn readings(&self) -> u32 {
        self.readings
    }

    /// The next messages.
    pub(crate) fn inputs(&mut self, count: u32) -> Vec<Input> {
        (0..count).map(|_| self.input()).collect()
    }

    fn command(&mut self, action: Action) {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        let event = Event::Command(Box::new(Command { principal, action, origin, request: None }));
        let input = Input { received_at: self.began, event };
        let reply = pulseward::engine::apply(&mut self.state, &input, &mut Vec::new());
        reply.expect("commands are answered").expect("accepted");
    }

    fn input(&mut self) -> Input {
        let (round, device) = (self.sent / DEVICES, self.sent % DEVICES);
        self.sent += 1;
        let instants = self.readings.div_ceil(4);
        let sent_at = self.began.plus(INTERVAL * instants * round);
        let batch = self.batch(round, sent_at);
        let payload = match self.encoding {
            Encoding::Protobuf => Bytes::from(batch.encode_to_vec()),
            Encoding::Json => Bytes::from(json(&batch, sent_at)),
        };
        let topic = format!("pulseward/v1/north/wearable-{device}/readings");
        let encoding = Some(self.encoding);
        let publish = Publish { topic, payload, encoding, correlation: None, retained: false };
        Input {
            received_at: sent_at.plus(Duration::from_millis(200)),
            event: Event::Publish(publish),
        }
    }

    fn batch(&self, round: u32, sent_at: Timestamp) -> proto::ReadingBatch {
        let reading = |index: u32| {
            let (vital, value, unit) = VITALS[(index % 4) as usize];
            let instants = i64::from(index / 4) - i64::from(self.readings.div_ceil(4)) + 1;
            proto::Reading {
                measured: Some(Measured::OffsetMs(instants * 5_000)),
                vital: i32::from(vital.number()),
                value: Some(Value::Quantity(value + f64::from((round + index) % 3))),
                unit: unit.to_owned(),
                ..proto::Reading::default()
            }
        };
        proto::ReadingBatch {
            boot_id: 7,
            first_seq: u64::from(1 + round * self.readings),
            sent_at: Some(instant(sent_at)),
            base_time: Some(instant(sent_at)),
            gateway: "gateway-3".to_owned(),
            readings: (0..self.readings).map(reading).collect(),
            ..proto::ReadingBatch::default()
        }
    }
}

fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.micros() / 1_000_000, nanos: 0 }
}

/// The batch as a gateway with a JSON library writes it.
fn json(batch: &proto::ReadingBatch, sent_at: Timestamp) -> String {
    let reading = |reading: &proto::Reading| {
        let (Some(Measured::OffsetMs(offset)), Some(Value::Quantity(value))) =
            (reading.measured, reading.value)
        else {
            unreachable!("all are quantities at offsets")
        };
        let back = Duration::from_millis(offset.unsigned_abs());
        let vital = Vital::from_number(reading.vital).expect("one of ours").name();
        format!(
            r#"{{"measuredAt":"{}","vital":"{vital}","quantity":{value},"unit":"{}"}}"#,
            sent_at.minus(back),
            reading.unit
        )
    };
    let readings: Vec<String> = batch.readings.iter().map(reading).collect();
    format!(
        r#"{{"bootId":"{}","firstSeq":"{}","sentAt":"{sent_at}","gateway":"{}","readings":[{}]}}"#,
        batch.boot_id,
        batch.first_seq,
        batch.gateway,
        readings.join(","),
    )
}
