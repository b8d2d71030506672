//! A recorded payload as the contract reads it: a batch of readings, or a refusal.
//!
//! `docs/mqtt.md`, sections 5 and 6: protobuf or the proto3 JSON mapping, told by the content type
//! or else by the first byte. What makes no sense refuses its reading, or the whole message. What
//! depends on the registry or on clocks is not decided here.

use prost::Message as _;

use super::json;
use super::vital::{self, Quantity, Refusal, Worth};
use crate::proto::v1;
use crate::proto::v1::reading::{Measured, Value};

/// Beyond this a payload is refused.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Beyond this a batch is refused.
const READINGS_MAX: usize = 10_000;
const INTERVAL_SECONDS_MAX: i64 = 25 * 3600;
const MICROS: i64 = 1_000_000;
/// The years 1 to 9999, in seconds since 1970.
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A message that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The device's start; 0 without numbers.
    pub boot_id: u64,
    /// The number of the first reading.
    pub first_seq: u64,
    /// Whether it is of a patient, and not of a test or a demonstration.
    pub is_real: bool,
    /// Each reading in its place, as it was sent.
    pub readings: Vec<Result<Reading, Refusal>>,
}

/// A reading that makes sense.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Microseconds since 1970.
    pub measured_at: i64,
    /// What was measured.
    pub vital: v1::Vital,
    /// What it is worth.
    pub worth: Worth,
    /// Whether its number was in another unit than the vital's own.
    pub is_converted: bool,
    /// Whether the device itself doubts it.
    pub is_doubted: bool,
    /// Whether it comes from a memory.
    pub is_historical: bool,
    /// What it was measured together with; 0 for nothing.
    pub panel: u32,
}

/// Reads a payload.
///
/// # Errors
/// If the whole message is refused.
pub fn batch(content_type: &str, payload: &[u8]) -> Result<Batch, Refusal> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let (wire, malformed) = if is_json(content_type, payload) {
        json::batch(payload).ok_or(Refusal::MalformedPayload)?
    } else {
        let wire = v1::ReadingBatch::decode(payload).map_err(|_| Refusal::MalformedPayload)?;
        (wire, Vec::new())
    };
    check(&wire)?;
    let base = wire.base_time.as_ref().map(micros);
    let reading = |(place, reading): (usize, &v1::Reading)| {
        if malformed.contains(&place) {
            return Err(Refusal::MalformedPayload);
        }
        read(reading, base)
    };
    let mut readings: Vec<_> = wire.readings.iter().enumerate().map(reading).collect();
    doubt_panels(&mut readings);
    let is_real = wire.mode() == v1::Mode::Real;
    Ok(Batch { boot_id: wire.boot_id, first_seq: wire.first_seq, is_real, readings })
}

fn is_json(content_type: &str, payload: &[u8]) -> bool {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => true,
        "application/protobuf" => false,
        _ => payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'),
    }
}

/// What refuses a batch as a whole.
fn check(wire: &v1::ReadingBatch) -> Result<(), Refusal> {
    let length = wire.readings.len() as u64;
    let has_room = wire.boot_id == 0 || wire.first_seq.checked_add(length).is_some();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let gateway = &wire.gateway;
    let is_id = gateway.is_empty() || (gateway.len() <= 64 && gateway.bytes().all(plain));
    if v1::Mode::try_from(wire.mode).is_err() || !has_room || !is_id {
        return Err(Refusal::MalformedPayload);
    }
    if wire.readings.len() > READINGS_MAX {
        return Err(Refusal::TooManyReadings);
    }
    Ok(())
}

fn read(wire: &v1::Reading, base: Option<Option<i64>>) -> Result<Reading, Refusal> {
    let malformed = Refusal::MalformedPayload;
    let measured_at = match wire.measured.as_ref().ok_or(malformed)? {
        Measured::MeasuredAt(at) => micros(at).ok_or(malformed)?,
        Measured::OffsetMs(offset) => {
            let base = base.flatten().ok_or(malformed)?;
            offset.checked_mul(1000).and_then(|it| base.checked_add(it)).ok_or(malformed)?
        }
    };
    if !YEARS.contains(&measured_at.div_euclid(MICROS)) {
        return Err(malformed);
    }
    let vital = v1::Vital::try_from(wire.vital).unwrap_or(v1::Vital::Unspecified);
    if vital == v1::Vital::Unspecified {
        return Err(Refusal::UnknownVital);
    }
    check_interval(vital, wire.interval)?;
    let (worth, is_converted) = value(vital, wire)?;
    let is_doubt = |quality: &i32| {
        *quality != i32::from(v1::Quality::Unspecified)
            && *quality != i32::from(v1::Quality::Validated)
    };
    Ok(Reading {
        measured_at,
        vital,
        worth,
        is_converted,
        is_doubted: wire.quality.iter().any(is_doubt),
        is_historical: wire.historical,
        panel: wire.measurement_id,
    })
}

fn check_interval(
    vital: v1::Vital,
    interval: Option<prost_types::Duration>,
) -> Result<(), Refusal> {
    let fits = |span: prost_types::Duration| {
        let (seconds, nanos) = (span.seconds, span.nanos);
        (seconds > 0 || (seconds == 0 && nanos > 0))
            && nanos >= 0
            && (seconds < INTERVAL_SECONDS_MAX || (seconds == INTERVAL_SECONDS_MAX && nanos == 0))
    };
    match interval {
        Some(span) if !fits(span) => Err(Refusal::MalformedPayload),
        None if vital == v1::Vital::Steps => Err(Refusal::MalformedPayload),
        _ => Ok(()),
    }
}

fn value(vital: v1::Vital, wire: &v1::Reading) -> Result<(Worth, bool), Refusal> {
    let of_levels = vital == v1::Vital::Consciousness;
    match wire.value.ok_or(Refusal::NoValue)? {
        Value::Quantity(_) if of_levels => Err(Refusal::MalformedPayload),
        Value::Quantity(quantity) => vital::worth(vital, quantity, &wire.unit),
        Value::Consciousness(_) if !of_levels => Err(Refusal::MalformedPayload),
        Value::Consciousness(level) => match u8::try_from(level) {
            Ok(level @ 1..=5) => Ok((Worth::Level(level), false)),
            Ok(0) => Err(Refusal::NoValue),
            _ => Err(Refusal::MalformedPayload),
        },
        Value::Absent(reason) => match u8::try_from(reason) {
            Ok(0) => Err(Refusal::NoValue),
            Ok(reason @ 1..=5) => Ok((Worth::Absent(reason), false)),
            _ => Ok((Worth::Absent(1), false)),
        },
    }
}

/// Whole microseconds since 1970, cut off; `None` if it is no time of the contract.
fn micros(at: &prost_types::Timestamp) -> Option<i64> {
    let nanos = i64::from(at.nanos);
    let is_time = YEARS.contains(&at.seconds) && (0..1_000_000_000).contains(&nanos);
    is_time.then(|| at.seconds * MICROS + nanos / 1000)
}

/// A systolic pressure that is not above its diastolic makes both implausible.
fn doubt_panels(readings: &mut [Result<Reading, Refusal>]) {
    let pressure =
        |reading: &Result<Reading, Refusal>, vital| match reading {
            Ok(Reading {
                vital: found, worth: Worth::Plausible(it), panel, measured_at, ..
            }) if *found == vital && *panel != 0 => Some((*it, *panel, *measured_at)),
            _ => None,
        };
    let mut doubted = Vec::new();
    for (place, above) in readings.iter().enumerate() {
        let Some((systolic, panel, at)) = pressure(above, v1::Vital::SystolicPressure) else {
            continue;
        };
        for (other, below) in readings.iter().enumerate() {
            let found = pressure(below, v1::Vital::DiastolicPressure);
            if found.is_some_and(|it| it.1 == panel && it.2 == at && it.0 >= systolic) {
                doubted.extend([(place, systolic), (other, found.map_or(0, |it| it.0))]);
            }
        }
    }
    for (place, quantity) in doubted {
        doubt(&mut readings[place], quantity);
    }
}

fn doubt(reading: &mut Result<Reading, Refusal>, quantity: Quantity) {
    if let Ok(reading) = reading {
        reading.worth = Worth::Implausible(quantity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(readings: Vec<v1::Reading>) -> v1::ReadingBatch {
        let base_time = Some(prost_types::Timestamp { seconds: 100, nanos: 1_999 });
        v1::ReadingBatch { boot_id: 1, base_time, readings, ..v1::ReadingBatch::default() }
    }

    fn reading(vital: v1::Vital, value: Option<Value>) -> v1::Reading {
        let measured = Some(Measured::OffsetMs(250));
        v1::Reading { measured, vital: vital.into(), value, ..v1::Reading::default() }
    }

    fn heart(value: f64) -> v1::Reading {
        reading(v1::Vital::HeartRate, Some(Value::Quantity(value)))
    }

    fn decoded(wire: &v1::ReadingBatch) -> Result<Batch, Refusal> {
        batch("application/protobuf", &wire.encode_to_vec())
    }

    /// What becomes of the one reading.
    fn check(reading: v1::Reading, expected: Result<Worth, Refusal>) {
        let batch = decoded(&wire(vec![reading.clone()])).expect("a batch");
        assert_eq!(batch.readings[0].map(|it| it.worth), expected, "{reading:?}");
    }

    #[test]
    fn times_are_cut_to_microseconds_and_offsets_count_from_the_base() {
        let batch = decoded(&wire(vec![heart(70.0)])).expect("a batch");
        assert_eq!(batch.readings[0].expect("fine").measured_at, 100_250_001);
    }

    #[test]
    fn a_reading_without_time_or_value_refuses_itself_alone() {
        let timeless = v1::Reading { measured: None, ..heart(70.0) };
        let batch = decoded(&wire(vec![timeless, heart(70.0)])).expect("a batch");
        assert_eq!(batch.readings[0], Err(Refusal::MalformedPayload));
        assert!(batch.readings[1].is_ok());
        check(reading(v1::Vital::HeartRate, None), Err(Refusal::NoValue));
        check(reading(v1::Vital::Spo2, Some(Value::Absent(0))), Err(Refusal::NoValue));
        check(reading(v1::Vital::Spo2, Some(Value::Absent(2))), Ok(Worth::Absent(2)));
        check(reading(v1::Vital::Unspecified, None), Err(Refusal::UnknownVital));
    }

    #[test]
    fn levels_are_of_consciousness_alone_and_steps_need_an_interval() {
        let malformed = Err(Refusal::MalformedPayload);
        check(reading(v1::Vital::Spo2, Some(Value::Consciousness(1))), malformed);
        check(reading(v1::Vital::Consciousness, Some(Value::Quantity(1.0))), malformed);
        check(
            reading(v1::Vital::Consciousness, Some(Value::Consciousness(5))),
            Ok(Worth::Level(5)),
        );
        check(reading(v1::Vital::Steps, Some(Value::Quantity(9.0))), malformed);
    }

    #[test]
    fn bytes_that_are_no_batch_refuse_the_message() {
        for (content_type, payload) in [
            ("application/protobuf", &b"\xff\xff\xff"[..]),
            ("application/json", b"{\"readings\":"),
            ("", b"{ not json"),
            ("application/json", b"[]"),
        ] {
            assert_eq!(batch(content_type, payload), Err(Refusal::MalformedPayload));
        }
        let of_no_mode = v1::ReadingBatch { mode: 9, ..wire(Vec::new()) };
        assert_eq!(decoded(&of_no_mode), Err(Refusal::MalformedPayload));
        let full = v1::ReadingBatch { first_seq: u64::MAX, ..wire(vec![heart(1.0)]) };
        assert_eq!(decoded(&full), Err(Refusal::MalformedPayload));
    }

    #[test]
    fn a_pressure_that_contradicts_itself_is_implausible() {
        let panel = |vital, value| v1::Reading {
            measurement_id: 3,
            ..reading(vital, Some(Value::Quantity(value)))
        };
        let systolic = panel(v1::Vital::SystolicPressure, 80.0);
        for (diastolic, plausible) in [(79.0, true), (80.0, false), (90.0, false)] {
            let other = panel(v1::Vital::DiastolicPressure, diastolic);
            let batch = decoded(&wire(vec![systolic.clone(), other])).expect("a batch");
            for found in batch.readings {
                let is_plausible = matches!(found.expect("fine").worth, Worth::Plausible(_));
                assert_eq!(is_plausible, plausible, "80 over {diastolic}");
            }
        }
    }
}
