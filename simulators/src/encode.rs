//! A batch as a gateway would publish it: `ReadingBatch` in protobuf, or in its proto3 JSON
//! mapping, on the topic of its device.
//!
//! Both encodings are made from the same message. Times within a batch are offsets from its first
//! sample where they are whole milliseconds apart, the compact form, else times of their own.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;
use serde_json::{Value, json};

use crate::convert;
use crate::proto::v1;
use crate::publish::Message;
use crate::sample::{Batch, Sample};

/// How payloads are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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
    let wire = reading_batch(&batch, sent_at);
    let payload = match encoding {
        Encoding::Protobuf => Bytes::from(wire.encode_to_vec()),
        Encoding::Json => Bytes::from(json(&wire).to_string()),
    };
    let topic = format!("pulseward/v1/{site}/{}/readings", batch.device);
    Message { topic, content_type: encoding.content_type(), payload, batch }
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

/// The proto3 JSON mapping of what [`reading_batch`] fills in: 64-bit integers as strings, times
/// in RFC 3339, enums by name.
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
    let quantity = match reading.value {
        Some(v1::reading::Value::Quantity(quantity)) => quantity,
        _ => unreachable!("our samples are quantities"),
    };
    let vital = reading.vital().as_str_name();
    match reading.measured {
        Some(v1::reading::Measured::MeasuredAt(at)) => {
            json!({ "measuredAt": time_json(at), "vital": vital, "quantity": quantity })
        }
        Some(v1::reading::Measured::OffsetMs(ms)) => {
            json!({ "offsetMs": ms.to_string(), "vital": vital, "quantity": quantity })
        }
        None => unreachable!("our samples have a time"),
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
}
