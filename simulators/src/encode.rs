//! A batch as a gateway would publish it: `ReadingBatch` in protobuf, or in its proto3 JSON
//! mapping, on the topic of its device.
//!
//! Both encodings are made from the same message. Times within a batch are offsets from its first
//! sample where they are whole milliseconds apart, the compact form, else times of their own.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::convert;
use crate::proto::v1;
use crate::publish::Message;
use crate::sample::{Batch, Sample};

/// How payloads are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Protobuf, `application/protobuf`.
    #[default]
    Protobuf,
    /// The proto3 JSON mapping, `application/json`.
    Json,
}

impl Encoding {
    /// Its MQTT 5 content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protobuf => "protobuf",
            Self::Json => "json",
        })
    }
}

/// The message that carries `batch` from `site`, stamped as sent at `sent_at`.
#[must_use]
pub fn message(site: &str, batch: Batch, encoding: Encoding, sent_at: Timestamp) -> Message {
    let payload = payload(&reading_batch(&batch, sent_at), encoding);
    let topic = format!("pulseward/v1/{site}/{}/readings", batch.device);
    Message { topic, content_type: encoding.content_type(), payload, batch }
}

/// The bytes of a batch.
pub(crate) fn payload(wire: &v1::ReadingBatch, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Protobuf => Bytes::from(wire.encode_to_vec()),
        Encoding::Json => Bytes::from(json(wire).to_string()),
    }
}

fn reading_batch(batch: &Batch, sent_at: Timestamp) -> v1::ReadingBatch {
    let base = batch.samples.first().map(|sample| sample.measured_at);
    v1::ReadingBatch {
        boot_id: batch.boot_id,
        first_seq: batch.first_seq,
        sent_at: Some(convert::to_timestamp(sent_at)),
        base_time: base.map(convert::to_timestamp),
        clock_sync: v1::ClockSync::Synchronised.into(),
        mode: v1::Mode::Real.into(),
        readings: batch.samples.iter().map(|sample| reading(sample, base)).collect(),
        ..v1::ReadingBatch::default()
    }
}

fn reading(sample: &Sample, base: Option<Timestamp>) -> v1::Reading {
    v1::Reading {
        measured: Some(measured(sample.measured_at, base.unwrap_or(sample.measured_at))),
        vital: convert::to_vital(sample.vital).into(),
        value: Some(v1::reading::Value::Quantity(sample.value)),
        unit: sample.vital.said_unit().to_owned(),
        ..v1::Reading::default()
    }
}

fn measured(at: Timestamp, base: Timestamp) -> v1::reading::Measured {
    let offset = at.duration_since(base);
    let whole_ms = i64::try_from(offset.as_millis()).ok();
    match whole_ms.filter(|ms| SignedDuration::from_millis(*ms) == offset) {
        Some(offset_ms) => v1::reading::Measured::OffsetMs(offset_ms),
        None => v1::reading::Measured::MeasuredAt(convert::to_timestamp(at)),
    }
}

/// The proto3 JSON mapping of what simulated devices fill in: 64-bit integers as strings, times in
/// RFC 3339, enums by name.
fn json(batch: &v1::ReadingBatch) -> Value {
    let readings: Vec<Value> = batch.readings.iter().map(reading_json).collect();
    json!({
        "bootId": batch.boot_id.to_string(),
        "firstSeq": batch.first_seq.to_string(),
        "sentAt": batch.sent_at.and_then(time_json),
        "baseTime": batch.base_time.and_then(time_json),
        "clockSync": batch.clock_sync().as_str_name(),
        "mode": batch.mode().as_str_name(),
        "readings": readings,
    })
}

fn reading_json(reading: &v1::Reading) -> Value {
    let mut said = serde_json::Map::new();
    let mut say = |field: &str, value: Value| drop(said.insert(field.to_owned(), value));
    match reading.measured {
        Some(v1::reading::Measured::MeasuredAt(at)) => say("measuredAt", time_json(at).into()),
        Some(v1::reading::Measured::OffsetMs(ms)) => say("offsetMs", ms.to_string().into()),
        None => {}
    }
    // A vital that the contract does not know is said by its number, as the mapping has it.
    let vital = v1::Vital::try_from(reading.vital);
    say("vital", vital.map_or(reading.vital.into(), |vital| vital.as_str_name().into()));
    match reading.value {
        Some(v1::reading::Value::Quantity(quantity)) => say("quantity", quantity_json(quantity)),
        Some(v1::reading::Value::Absent(reason)) => {
            let reason = v1::AbsentReason::try_from(reason).unwrap_or_default();
            say("absent", reason.as_str_name().into());
        }
        Some(v1::reading::Value::Consciousness(level)) => {
            let level = v1::Acvpu::try_from(level).unwrap_or_default();
            say("consciousness", level.as_str_name().into());
        }
        None => {}
    }
    if !reading.unit.is_empty() {
        say("unit", reading.unit.as_str().into());
    }
    if !reading.quality.is_empty() {
        say("quality", reading.quality().map(|quality| quality.as_str_name()).collect());
    }
    if reading.historical {
        say("historical", true.into());
    }
    if reading.measurement_id != 0 {
        say("measurementId", reading.measurement_id.into());
    }
    Value::Object(said)
}

/// JSON has no number for these; the mapping writes them as texts.
fn quantity_json(quantity: f64) -> Value {
    match quantity {
        _ if quantity.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        _ => quantity.into(),
    }
}

fn time_json(at: prost_types::Timestamp) -> Option<String> {
    convert::from_timestamp(at).map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Numbering, Vital};

    fn time(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn batch(times: &[&str]) -> Batch {
        let sample = |at: &&str| Sample { measured_at: time(at), vital: Vital::Spo2, value: 97.0 };
        Numbering::new("bidmc-01".into(), 5).number(times.iter().map(sample).collect())
    }

    fn encoded(times: &[&str], encoding: Encoding) -> Message {
        message("icu", batch(times), encoding, time("2026-01-31T08:15:09Z"))
    }

    #[test]
    fn a_message_goes_to_its_devices_topic_with_its_content_type() {
        let message = encoded(&["2026-01-31T08:15:00Z"], Encoding::Json);
        assert_eq!(message.topic, "pulseward/v1/icu/bidmc-01/readings");
        assert_eq!(message.content_type, "application/json");
    }

    #[test]
    fn protobuf_keeps_numbers_times_and_values() {
        let message =
            encoded(&["2026-01-31T08:15:00Z", "2026-01-31T08:15:01.5Z"], Encoding::Protobuf);
        let wire = v1::ReadingBatch::decode(message.payload).expect("our own encoding");
        assert_eq!((wire.boot_id, wire.first_seq, wire.readings.len()), (5, 1, 2));
        assert_eq!(wire.base_time, Some(convert::to_timestamp(time("2026-01-31T08:15:00Z"))));
        assert_eq!(wire.readings[1].measured, Some(v1::reading::Measured::OffsetMs(1500)));
        assert_eq!(wire.readings[1].vital(), v1::Vital::Spo2);
        assert_eq!(wire.readings[1].value, Some(v1::reading::Value::Quantity(97.0)));
    }

    #[test]
    fn a_time_between_milliseconds_is_said_in_full() {
        let odd = "2026-01-31T08:15:00.000123Z";
        let message = encoded(&["2026-01-31T08:15:00Z", odd], Encoding::Protobuf);
        let wire = v1::ReadingBatch::decode(message.payload).expect("our own encoding");
        let expected = v1::reading::Measured::MeasuredAt(convert::to_timestamp(time(odd)));
        assert_eq!(wire.readings[1].measured, Some(expected));
    }

    #[test]
    fn json_is_the_proto3_mapping() {
        let message =
            encoded(&["2026-01-31T08:15:00.25Z", "2026-01-31T08:15:01.25Z"], Encoding::Json);
        let json: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let expected = json!({
            "bootId": "5", "firstSeq": "1",
            "sentAt": "2026-01-31T08:15:09Z", "baseTime": "2026-01-31T08:15:00.25Z",
            "clockSync": "CLOCK_SYNC_SYNCHRONISED", "mode": "MODE_REAL",
            "readings": [
                { "offsetMs": "0", "vital": "VITAL_SPO2", "quantity": 97.0 },
                { "offsetMs": "1000", "vital": "VITAL_SPO2", "quantity": 97.0 },
            ],
        });
        assert_eq!(json, expected);
    }

    fn reading(value: Option<v1::reading::Value>) -> v1::Reading {
        let measured = Some(v1::reading::Measured::OffsetMs(0));
        v1::Reading { measured, vital: 8, value, ..v1::Reading::default() }
    }

    fn check_json(reading: &v1::Reading, expected: Value) {
        let mut said = reading_json(reading);
        let fields = said.as_object_mut().expect("an object");
        assert_eq!(fields.remove("offsetMs"), Some("0".into()));
        assert_eq!(said, expected);
    }

    #[test]
    fn json_says_whatever_a_reading_holds() {
        use v1::reading::Value::{Absent, Consciousness, Quantity};
        let temperature = v1::Reading {
            unit: "Cel".to_owned(),
            quality: vec![v1::Quality::Motion.into()],
            historical: true,
            measurement_id: 4,
            ..reading(Some(Quantity(36.6)))
        };
        let expected = json!({
            "vital": "VITAL_BODY_TEMPERATURE", "quantity": 36.6, "unit": "Cel",
            "quality": ["QUALITY_MOTION"], "historical": true, "measurementId": 4,
        });
        check_json(&temperature, expected);
        let vital = "VITAL_BODY_TEMPERATURE";
        let off = v1::AbsentReason::SensorOff.into();
        let expected = json!({ "vital": vital, "absent": "ABSENT_REASON_SENSOR_OFF" });
        check_json(&reading(Some(Absent(off))), expected);
        let expected = json!({ "vital": vital, "consciousness": "ACVPU_VOICE" });
        check_json(&reading(Some(Consciousness(v1::Acvpu::Voice.into()))), expected);
        check_json(&reading(None), json!({ "vital": vital }));
        let not_a_number = reading(Some(Quantity(f64::NAN)));
        check_json(&not_a_number, json!({ "vital": vital, "quantity": "NaN" }));
        let unknown = v1::Reading { vital: 99, ..reading(None) };
        check_json(&unknown, json!({ "vital": 99 }));
    }
}
