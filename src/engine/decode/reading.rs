//! One reading of the wire, whichever encoding it came in, as a reading that says something.
//!
//! What is judged here needs the reading alone: that it is about a vital of the contract, at a
//! time, and says something in a unit that measures the vital. Whether a patient can have the
//! value is for `admit`.

use std::time::Duration;

use super::{Decoded, Refused, malformed};
use crate::clock::Timestamp;
use crate::engine::output::{Quality, RejectReason};
use crate::proto::v1 as proto;
use crate::vitals::{AbsentReason, Acvpu, Quantity, Unit, Value, Vital};

/// The longest span that a quantity can be about: a day, also the one of 25 hours in autumn.
/// Longer ones would hide how the quantity came about, and no range is known for them.
const INTERVAL_MAX: Duration = Duration::from_secs(25 * 60 * 60);

/// What a value was before its conversion, if it was converted.
type Original = Option<(Quantity, Unit)>;

/// The reading, without its place in the batch.
pub(super) fn decode(
    reading: &proto::Reading,
    base_time: Option<Timestamp>,
) -> Result<Decoded, Refused> {
    let vital = Vital::from_number(reading.vital).ok_or_else(|| {
        (RejectReason::UnknownVital, "the vital is none of the contract's".to_owned())
    })?;
    let measured_at = measured_at(reading, base_time)?;
    let (value, original) = value_of(reading, vital)?;
    Ok(Decoded {
        index: 0,
        sequence: 0,
        measured_at,
        vital,
        value,
        original,
        quality: quality_of(&reading.quality),
        historical: reading.historical,
        measurement_id: reading.measurement_id,
        interval: interval_of(reading, vital, value)?,
    })
}

fn measured_at(
    reading: &proto::Reading,
    base_time: Option<Timestamp>,
) -> Result<Timestamp, Refused> {
    use proto::reading::Measured;
    match (&reading.measured, base_time) {
        (Some(Measured::MeasuredAt(at)), _) => instant(at),
        (Some(Measured::OffsetMs(offset)), Some(base)) => offset
            .checked_mul(1000)
            .and_then(|micros| base.micros().checked_add(micros))
            .and_then(Timestamp::from_micros)
            .ok_or_else(|| malformed("offset_ms leads outside the years 1 to 9999")),
        (Some(Measured::OffsetMs(_)), None) => {
            Err(malformed("offset_ms without base_time in the batch"))
        }
        (None, _) => Err(malformed("neither measured_at nor offset_ms")),
    }
}

/// A time of the wire, cut to microseconds.
pub(super) fn instant(at: &prost_types::Timestamp) -> Result<Timestamp, Refused> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return Err(malformed("a time whose nanos are not 0 to 999,999,999"));
    }
    at.seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(i64::from(at.nanos / 1000)))
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| malformed("a time outside the years 1 to 9999"))
}

fn value_of(reading: &proto::Reading, vital: Vital) -> Result<(Value, Original), Refused> {
    use proto::reading::Value as Wire;
    let value = match &reading.value {
        None => {
            return Err((
                RejectReason::NoValue,
                "no value, and no reason for its absence".to_owned(),
            ));
        }
        Some(Wire::Quantity(_)) if vital == Vital::Consciousness => {
            return Err(malformed("consciousness is given as a level, not as a quantity"));
        }
        Some(Wire::Quantity(number)) => return quantity_of(*number, &reading.unit, vital),
        Some(Wire::Consciousness(_)) if vital != Vital::Consciousness => {
            return Err(malformed(format!("a level of consciousness as the value of {vital}")));
        }
        Some(Wire::Consciousness(level)) => Acvpu::from_number(*level)
            .map(Value::Consciousness)
            .ok_or_else(|| malformed("the level is none of ACVPU"))?,
        Some(Wire::Absent(0)) => {
            return Err((RejectReason::NoValue, "absent without a reason".to_owned()));
        }
        // A reason of a later contract is still an absence.
        Some(Wire::Absent(reason)) => {
            Value::Absent(AbsentReason::from_number(*reason).unwrap_or(AbsentReason::Unknown))
        }
    };
    Ok((value, None))
}

fn quantity_of(number: f64, unit: &str, vital: Vital) -> Result<(Value, Original), Refused> {
    if !number.is_finite() {
        return Err((RejectReason::NotANumber, "the quantity is NaN or infinite".to_owned()));
    }
    let quantity = Quantity::from_f64(number).ok_or_else(|| {
        (RejectReason::ImpossibleValue, "the quantity is beyond 10^12".to_owned())
    })?;
    if unit.is_empty() {
        if vital.unit_may_be_omitted() {
            return Ok((Value::Quantity(quantity), None));
        }
        let detail = format!("{vital} needs its unit said; {}", accepted(vital));
        return Err((RejectReason::UnknownUnit, detail));
    }
    let unit = Unit::from_ucum(unit).ok_or_else(|| {
        let detail = format!("not an accepted unit of {vital}; {}", accepted(vital));
        (RejectReason::UnknownUnit, detail)
    })?;
    if unit == vital.unit() {
        return Ok((Value::Quantity(quantity), None));
    }
    let converted = unit.convert(quantity, vital).ok_or_else(|| {
        let detail = format!("{} does not measure {vital}; {}", unit.ucum(), accepted(vital));
        (RejectReason::UnknownUnit, detail)
    })?;
    Ok((Value::Quantity(converted), Some((quantity, unit))))
}

/// The codes that a vital may come in, for people.
fn accepted(vital: Vital) -> String {
    let codes: Vec<_> = vital.accepted_units().map(Unit::ucum).collect();
    format!("accepted are {}", codes.join(", "))
}

fn quality_of(flags: &[i32]) -> Quality {
    let doubted = |flag: &i32| {
        *flag != proto::Quality::Validated as i32 && *flag != proto::Quality::Unspecified as i32
    };
    if flags.iter().any(doubted) { Quality::QUESTIONABLE } else { Quality(0) }
}

/// A count without the span that it was counted over says nothing, so that steps must have theirs.
/// That there were none to be had may be said without.
fn interval_of(
    reading: &proto::Reading,
    vital: Vital,
    value: Value,
) -> Result<Option<Duration>, Refused> {
    let Some(interval) = &reading.interval else {
        if vital == Vital::Steps && matches!(value, Value::Quantity(_)) {
            return Err(malformed("steps need the interval that they were counted over"));
        }
        return Ok(None);
    };
    let seconds = u64::try_from(interval.seconds).ok();
    let nanos = u32::try_from(interval.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos / 1000 * 1000))
        .filter(|span| !span.is_zero() && *span <= INTERVAL_MAX)
        .map(Some)
        .ok_or_else(|| malformed("interval is not positive, or over 25 h"))
}
