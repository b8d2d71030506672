//! The ward's messages, as devices send them.

use bytes::Bytes;
use prost::Message as _;
use pulseward::engine::input::Publish;
use pulseward::proto::v1 as proto;
use pulseward::vitals::Vital;

use super::broker::Message;
use super::device::{Said, Sent};
use super::{Batch, MILLISECOND, Micros, SECOND, Status, Told, Ward, device_id, site_id};

/// Every so many messages the compact form of times is used.
const COMPACT_EVERY: u64 = 2;
/// And every so many a verdict is asked for.
const VERDICT_EVERY: u64 = 64;

impl Ward {
    /// A message of these readings, which are of one boot and numbered on.
    pub(super) fn batch(&mut self, index: usize, readings: &[Sent]) -> Message {
        let device = &self.devices[index];
        let first = readings.first().expect("a message has readings");
        let compact = device.is_numbered && first.sequence.is_multiple_of(COMPACT_EVERY);
        let base = first.measured_at.micros();
        let batch = proto::ReadingBatch {
            boot_id: if device.is_numbered { first.boot } else { 0 },
            first_seq: first.sequence,
            sent_at: Some(time(self.now + device.skew)),
            base_time: compact.then(|| time(base)),
            mode: if first.is_test { proto::Mode::Test } else { proto::Mode::Real } as i32,
            gateway: device.gateway.map(|it| device_id(it).to_string()).unwrap_or_default(),
            readings: readings.iter().map(|it| reading(it, compact.then_some(base))).collect(),
            want_verdict: first.sequence.is_multiple_of(VERDICT_EVERY),
            ..proto::ReadingBatch::default()
        };
        let told = Batch {
            device: index,
            site: device.site,
            gateway: device.gateway,
            is_numbered: device.is_numbered,
            readings: readings.to_vec(),
        };
        let publish = publish(device.site, index, "readings", batch.encode_to_vec());
        Message { publish, told: Told::Batch(told) }
    }

    /// A message of a status.
    pub(super) fn status(&self, status: Status) -> Message {
        let device = &self.devices[status.device];
        let content = proto::DeviceStatus {
            online: status.is_online,
            boot_id: status.boot,
            at: Some(time(status.at)),
            gateway: status.gateway.map(|it| device_id(it).to_string()).unwrap_or_default(),
            battery_percent: device.measures().then_some(device.battery),
            sensor_attached: device.measures().then_some(device.is_attached),
            event: None,
            firmware: "1.2.3".to_owned(),
        };
        let publish = publish(status.site, status.device, "status", content.encode_to_vec());
        Message { publish, told: Told::Status(status) }
    }
}

fn publish(site: usize, device: usize, kind: &str, payload: Vec<u8>) -> Publish {
    Publish {
        topic: format!("pulseward/v1/{}/{}/{kind}", site_id(site), device_id(device)),
        payload: Bytes::from(payload),
        encoding: None,
        correlation: None,
        retained: false,
    }
}

fn reading(sent: &Sent, base: Option<Micros>) -> proto::Reading {
    use proto::reading::{Measured, Value};
    let measured = match base {
        Some(base) => Measured::OffsetMs((sent.measured_at.micros() - base) / MILLISECOND),
        None => Measured::MeasuredAt(time(sent.measured_at.micros())),
    };
    let value = match sent.said {
        Said::NoValue => None,
        Said::NotANumber => Some(Value::Quantity(f64::NAN)),
        Said::SensorOff => Some(Value::Absent(proto::AbsentReason::SensorOff as i32)),
        Said::Absent => Some(Value::Absent(proto::AbsentReason::Artefact as i32)),
        _ if sent.vital == Vital::Consciousness => Some(Value::Consciousness(consciousness(sent))),
        _ => Some(Value::Quantity(quantity(sent))),
    };
    let is_temperature = matches!(sent.vital, Vital::SkinTemperature | Vital::BodyTemperature);
    let doubt = (sent.said == Said::Doubted).then_some(proto::Quality::Motion as i32);
    proto::Reading {
        measured: Some(measured),
        vital: i32::from(sent.vital.number()),
        value,
        unit: if is_temperature { "Cel".to_owned() } else { String::new() },
        quality: doubt.into_iter().collect(),
        historical: sent.historical,
        ..proto::Reading::default()
    }
}

fn consciousness(sent: &Sent) -> i32 {
    i32::try_from(sent.tenths / 10).expect("a level")
}

fn quantity(sent: &Sent) -> f64 {
    let tenths = i32::try_from(sent.tenths).expect("a vital is a small number");
    f64::from(tenths) / 10.0
}

fn time(micros: Micros) -> prost_types::Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(SECOND) * 1_000).expect("less than a second");
    prost_types::Timestamp { seconds: micros.div_euclid(SECOND), nanos }
}
