//! The proto3 JSON mapping of a batch, read into the same message as protobuf.
//!
//! `docs/mqtt.md`, section 5: names in lowerCamelCase or as in the proto, 64-bit integers as text
//! or number, enums by name, short name or number, times with an offset. A field of the wrong kind
//! makes its own reading malformed; one of the batch itself the whole message.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::convert;
use crate::proto::v1;
use crate::proto::v1::reading;

/// A batch, and the places of its readings that are malformed. `None` if it can't be read.
pub(super) fn batch(payload: &[u8]) -> Option<(v1::ReadingBatch, Vec<usize>)> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(payload) else { return None };
    let field = |camel, snake| field(&fields, camel, snake);
    let none = Vec::new();
    let found = match field("readings", "readings") {
        Some(Value::Array(found)) => found,
        Some(_) => return None,
        None => &none,
    };
    let mut malformed = Vec::new();
    let mut readings = Vec::with_capacity(found.len());
    for (place, found) in found.iter().enumerate() {
        readings.push(found.as_object().and_then(reading).unwrap_or_else(|| {
            malformed.push(place);
            v1::Reading::default()
        }));
    }
    let batch = v1::ReadingBatch {
        boot_id: or_default(field("bootId", "boot_id"), unsigned)?,
        first_seq: or_default(field("firstSeq", "first_seq"), unsigned)?,
        sent_at: optional(field("sentAt", "sent_at"), time)?,
        base_time: optional(field("baseTime", "base_time"), time)?,
        clock_sync: or_default(field("clockSync", "clock_sync"), |it| {
            named(it, "CLOCK_SYNC_", |name| v1::ClockSync::from_str_name(name).map(i32::from))
        })?,
        mode: or_default(field("mode", "mode"), |it| {
            named(it, "MODE_", |name| v1::Mode::from_str_name(name).map(i32::from))
        })?,
        gateway: or_default(field("gateway", "gateway"), text)?,
        want_verdict: or_default(field("wantVerdict", "want_verdict"), Value::as_bool)?,
        readings,
    };
    Some((batch, malformed))
}

fn reading(fields: &Map<String, Value>) -> Option<v1::Reading> {
    let field = |camel, snake| field(fields, camel, snake);
    let vital = or_default(field("vital", "vital"), |it| {
        // A name of no vital is an unknown vital, and no malformed reading.
        let known = named(it, "VITAL_", |name| v1::Vital::from_str_name(name).map(i32::from));
        known.or_else(|| it.is_string().then_some(0))
    })?;
    let interval = optional(field("interval", "interval"), span)?;
    Some(v1::Reading {
        vital,
        measured: measured(fields)?,
        value: value(fields)?,
        unit: or_default(field("unit", "unit"), text)?,
        quality: or_default(field("quality", "quality"), qualities)?,
        historical: or_default(field("historical", "historical"), Value::as_bool)?,
        measurement_id: or_default(field("measurementId", "measurement_id"), |it| {
            unsigned(it).and_then(|it| u32::try_from(it).ok())
        })?,
        interval,
    })
}

/// The outer `None` is of a reading that is malformed.
fn measured(fields: &Map<String, Value>) -> Option<Option<reading::Measured>> {
    let offset = optional(field(fields, "offsetMs", "offset_ms"), signed)?;
    let at = optional(field(fields, "measuredAt", "measured_at"), time)?;
    match (offset, at) {
        (Some(_), Some(_)) => None,
        (Some(offset), None) => Some(Some(reading::Measured::OffsetMs(offset))),
        (None, at) => Some(at.map(reading::Measured::MeasuredAt)),
    }
}

fn value(fields: &Map<String, Value>) -> Option<Option<reading::Value>> {
    let quantity = optional(field(fields, "quantity", "quantity"), number)?;
    let level = optional(field(fields, "consciousness", "consciousness"), |it| {
        named(it, "ACVPU_", |name| v1::Acvpu::from_str_name(name).map(i32::from))
    })?;
    let absent = optional(field(fields, "absent", "absent"), |it| {
        named(it, "ABSENT_REASON_", |name| v1::AbsentReason::from_str_name(name).map(i32::from))
    })?;
    match (quantity, level, absent) {
        (Some(quantity), None, None) => Some(Some(reading::Value::Quantity(quantity))),
        (None, Some(level), None) => Some(Some(reading::Value::Consciousness(level))),
        (None, None, Some(reason)) => Some(Some(reading::Value::Absent(reason))),
        (None, None, None) => Some(None),
        _ => None,
    }
}

fn field<'a>(fields: &'a Map<String, Value>, camel: &str, snake: &str) -> Option<&'a Value> {
    fields.get(camel).or_else(|| fields.get(snake)).filter(|value| !value.is_null())
}

/// The field's value, or the default where it is not there; `None` if it is of the wrong kind.
fn or_default<T: Default>(
    field: Option<&Value>,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    field.map_or_else(|| Some(T::default()), read)
}

/// The same of a field whose absence says something.
fn optional<T>(field: Option<&Value>, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    field.map_or(Some(None), |field| read(field).map(Some))
}

fn unsigned(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn signed(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// A number, or one of the mapping's words for what is none.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn time(value: &Value) -> Option<prost_types::Timestamp> {
    // A time without an offset is refused by the type: it names no moment.
    value.as_str()?.parse::<Timestamp>().ok().map(convert::to_timestamp)
}

fn span(value: &Value) -> Option<prost_types::Duration> {
    let seconds = value.as_str()?.strip_suffix('s')?;
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let nanos: i32 = format!("{part:0<9}").parse().ok().filter(|_| part.len() <= 9)?;
    let seconds: i64 = whole.parse().ok()?;
    let nanos = if whole.starts_with('-') { -nanos } else { nanos };
    Some(prost_types::Duration { seconds, nanos })
}

fn named(value: &Value, prefix: &str, known: impl Fn(&str) -> Option<i32>) -> Option<i32> {
    let Some(name) = value.as_str() else {
        return value.as_i64().and_then(|it| i32::try_from(it).ok());
    };
    known(name).or_else(|| known(&format!("{prefix}{}", name.to_ascii_uppercase())))
}

fn qualities(value: &Value) -> Option<Vec<i32>> {
    let one = |value: &Value| {
        let known =
            named(value, "QUALITY_", |name| v1::Quality::from_str_name(name).map(i32::from));
        // One that is unknown counts as questionable.
        known.or_else(|| value.is_string().then_some(v1::Quality::Questionable.into()))
    };
    value.as_array()?.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_all_forms_of_numbers_are_read() {
        let text = r#"{ "bootId": "7", "first_seq": 120, "baseTime": "2026-01-15T08:30:00+01:00",
            "unheard_of": {}, "mode": null, "readings": [
            { "offsetMs": "-5", "vital": "spo2", "quantity": 97, "unit": "%" },
            { "offset_ms": 5, "vital": "VITAL_HEART_RATE", "absent": "sensor_off" },
            { "measuredAt": "2026-01-15T08:30:00Z", "vital": 1, "quantity": "NaN" },
            { "offsetMs": 1, "vital": "steps", "quantity": 5, "interval": "60.5s" } ] }"#;
        let (batch, malformed) = batch(text.as_bytes()).expect("a batch");
        assert_eq!((batch.boot_id, batch.first_seq, malformed), (7, 120, vec![]));
        assert_eq!(batch.base_time.map(|it| it.seconds), Some(1_768_462_200));
        assert_eq!(batch.readings[0].measured, Some(reading::Measured::OffsetMs(-5)));
        assert_eq!(batch.readings[0].vital(), v1::Vital::Spo2);
        assert_eq!(batch.readings[1].value, Some(reading::Value::Absent(2)));
        assert!(
            matches!(batch.readings[2].value, Some(reading::Value::Quantity(it)) if it.is_nan())
        );
        let span = prost_types::Duration { seconds: 60, nanos: 500_000_000 };
        assert_eq!(batch.readings[3].interval, Some(span));
    }

    #[test]
    fn a_wrong_kind_spoils_its_reading_and_a_time_without_offset_the_message() {
        let (_, malformed) =
            batch(br#"{"readings":[{"vital":"spo2","quantity":[]},{"vital":"spo2"},7]}"#)
                .expect("a batch");
        assert_eq!(malformed, [0, 2]);
        assert!(batch(br#"{"sentAt":"2026-01-15T08:30:00"}"#).is_none());
        let unknown = batch(br#"{"readings":[{"vital":"mood","quantity":1}]}"#);
        let (batch, malformed) = unknown.expect("a batch");
        assert_eq!((batch.readings[0].vital, malformed), (0, vec![]));
    }
}
