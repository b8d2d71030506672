//! Decoding: bytes from the broker into readings, or into reasons why not.
//!
//! Promises: no payload makes it panic; one bad reading refuses itself and not its batch; times
//! are cut to microseconds and quantities become exact decimals in the vital's canonical unit.
//! JSON and protobuf are two spellings of the same messages and take one way from here on: both
//! become the protobuf type first. Who sent it, and whether that counts, is for `admit`.

mod json;

use prost::Message;

use self::json::Parsed;
use super::input::{Encoding, Publish, Settings};
use super::output::{Quality, RejectReason};
use crate::clock::Timestamp;
use crate::mqtt::topic::Topic;
use crate::proto::v1 as proto;
use crate::vitals::{
    AbsentReason, Acvpu, DeviceEvent, DeviceId, Mode, Quantity, Unit, Value, Vital,
};

/// Why something was refused, and what exactly.
pub(super) type Refused = (RejectReason, String);

/// A batch whose readings were told good from bad.
#[derive(Debug)]
pub(super) struct Batch {
    /// 0 if the device keeps no numbers.
    pub(super) boot_id: u64,
    /// The number of its first reading.
    pub(super) first_seq: u64,
    /// Whether it is from real use.
    pub(super) mode: Mode,
    /// Whether the gateway asks for a verdict also if all is well.
    pub(super) want_verdict: bool,
    /// How it was encoded.
    pub(super) encoding: Encoding,
    /// When it was sent, by the sender's clock, if it said so.
    pub(super) sent_at: Option<Timestamp>,
    /// The gateway that sent it, if it named one.
    pub(super) gateway: Option<DeviceId>,
    /// The good readings, in the order in which they were sent.
    pub(super) readings: Vec<Decoded>,
    /// The bad ones, by their place in the batch.
    pub(super) refused: Vec<(u32, RejectReason, String)>,
}

/// A reading that says something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decoded {
    /// Its place in the batch, from 0.
    pub(super) index: u32,
    /// Its number within the boot; meaningless if the device keeps none.
    pub(super) sequence: u64,
    /// When it was measured, by the device's clock.
    pub(super) measured_at: Timestamp,
    /// What was measured.
    pub(super) vital: Vital,
    /// What it says, in the vital's canonical unit.
    pub(super) value: Value,
    /// Whether the device doubts it.
    pub(super) quality: Quality,
    /// Whether the device calls it historical.
    pub(super) historical: bool,
    /// What it was measured together with; 0 if it stands alone.
    pub(super) measurement_id: u32,
}

/// The encoding of a payload: as declared, else by its first byte.
pub(super) fn encoding_of(publish: &Publish) -> Encoding {
    publish.encoding.unwrap_or_else(|| {
        let first = publish.payload.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf }
    })
}

/// The batch of a `readings` message.
pub(super) fn batch(publish: &Publish, settings: &Settings) -> Result<Batch, Refused> {
    let bytes = publish.payload.len();
    if bytes > settings.payload_bytes_max as usize {
        let detail = format!("{bytes} bytes; at most {}", settings.payload_bytes_max);
        return Err((RejectReason::TooLarge, detail));
    }
    let encoding = encoding_of(publish);
    match encoding {
        Encoding::Protobuf => {
            let mut batch = proto::ReadingBatch::decode(&*publish.payload)
                .map_err(|error| malformed(format!("not a ReadingBatch in protobuf: {error}")))?;
            let readings = std::mem::take(&mut batch.readings);
            check_count(readings.len(), settings)?;
            sort_out(&batch, readings.into_iter().map(Ok), encoding)
        }
        Encoding::Json => {
            let Parsed { batch, readings } = json::batch(&publish.payload)
                .map_err(|error| malformed(format!("not a ReadingBatch in JSON: {error}")))?;
            check_count(readings.len(), settings)?;
            sort_out(&batch, readings.into_iter(), encoding)
        }
    }
}

fn check_count(readings: usize, settings: &Settings) -> Result<(), Refused> {
    if readings <= settings.batch_readings_max as usize {
        return Ok(());
    }
    let detail = format!("{readings} readings; at most {}", settings.batch_readings_max);
    Err((RejectReason::TooManyReadings, detail))
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Whether it is connected.
    pub(super) is_online: bool,
    /// The number of its start; 0 if it keeps none.
    pub(super) boot_id: u64,
    /// When this became so, by the device's clock, if it said so.
    pub(super) at: Option<Timestamp>,
    /// The gateway in front of it, if it named one.
    pub(super) gateway: Option<DeviceId>,
    /// Charge of its battery in percent, if it has one.
    pub(super) battery_percent: Option<u8>,
    /// Whether its sensor is on the patient, if it can tell.
    pub(super) is_attached: Option<bool>,
    /// Whether it reports that a sensor is broken.
    pub(super) has_fault: bool,
    /// What it asserts of the patient, if anything.
    pub(super) event: Option<DeviceEvent>,
}

/// The status of a `status` message.
pub(super) fn status(publish: &Publish, settings: &Settings) -> Result<Status, Refused> {
    let bytes = publish.payload.len();
    if bytes > settings.payload_bytes_max as usize {
        let detail = format!("{bytes} bytes; at most {}", settings.payload_bytes_max);
        return Err((RejectReason::TooLarge, detail));
    }
    let message = match encoding_of(publish) {
        Encoding::Protobuf => proto::DeviceStatus::decode(&*publish.payload)
            .map_err(|error| malformed(format!("not a DeviceStatus in protobuf: {error}")))?,
        Encoding::Json => json::status(&publish.payload)
            .map_err(|error| malformed(format!("not a DeviceStatus in JSON: {error}")))?,
    };
    let battery_percent = match message.battery_percent {
        Some(percent) if percent > 100 => {
            return Err(malformed(format!("a battery at {percent} percent")));
        }
        percent => percent.and_then(|percent| u8::try_from(percent).ok()),
    };
    Ok(Status {
        is_online: message.online,
        boot_id: message.boot_id,
        at: message.at.as_ref().map(instant).transpose()?,
        gateway: gateway(&message.gateway)?,
        battery_percent,
        is_attached: message.sensor_attached,
        has_fault: message.event == Some(proto::DeviceEvent::SensorFault as i32),
        event: message.event.and_then(DeviceEvent::from_number),
    })
}

fn gateway(id: &str) -> Result<Option<DeviceId>, Refused> {
    if id.is_empty() {
        return Ok(None);
    }
    DeviceId::new(id).map(Some).map_err(|_| malformed("the gateway is not an id"))
}

fn malformed(detail: impl Into<String>) -> Refused {
    (RejectReason::MalformedPayload, detail.into())
}

fn sort_out(
    message: &proto::ReadingBatch,
    readings: impl ExactSizeIterator<Item = Result<proto::Reading, String>>,
    encoding: Encoding,
) -> Result<Batch, Refused> {
    let mode = match message.mode {
        0 => Mode::Real,
        1 => Mode::Test,
        2 => Mode::Demo,
        // Never taken for real: an unknown mode must not alarm.
        other => return Err(malformed(format!("mode {other} is none of real, test and demo"))),
    };
    if message.first_seq.checked_add(readings.len() as u64).is_none() {
        return Err(malformed("first_seq leaves no numbers for the readings of the batch"));
    }
    let base_time = message.base_time.as_ref().map(instant).transpose()?;
    let mut batch = Batch {
        boot_id: message.boot_id,
        first_seq: message.first_seq,
        mode,
        want_verdict: message.want_verdict,
        encoding,
        sent_at: message.sent_at.as_ref().map(instant).transpose()?,
        gateway: gateway(&message.gateway)?,
        readings: Vec::with_capacity(readings.len()),
        refused: Vec::new(),
    };
    for (index, reading) in (0..).zip(readings) {
        let decoded = reading.map_err(malformed).and_then(|reading| {
            let (measured_at, vital, value) = decode_reading(&reading, base_time)?;
            Ok((reading, measured_at, vital, value))
        });
        match decoded {
            Ok((reading, measured_at, vital, value)) => batch.readings.push(Decoded {
                index,
                sequence: message.first_seq.saturating_add(u64::from(index)),
                measured_at,
                vital,
                value,
                quality: quality_of(&reading.quality),
                historical: reading.historical,
                measurement_id: reading.measurement_id,
            }),
            Err((reason, detail)) => batch.refused.push((index, reason, detail)),
        }
    }
    Ok(batch)
}

fn decode_reading(
    reading: &proto::Reading,
    base_time: Option<Timestamp>,
) -> Result<(Timestamp, Vital, Value), Refused> {
    let vital = Vital::from_number(reading.vital).ok_or_else(|| {
        (RejectReason::UnknownVital, "the vital is none of the contract's".to_owned())
    })?;
    let measured_at = measured_at(reading, base_time)?;
    Ok((measured_at, vital, value_of(reading, vital)?))
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

fn instant(at: &prost_types::Timestamp) -> Result<Timestamp, Refused> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return Err(malformed("a time whose nanos are not 0 to 999,999,999"));
    }
    at.seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(i64::from(at.nanos / 1000)))
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| malformed("a time outside the years 1 to 9999"))
}

fn value_of(reading: &proto::Reading, vital: Vital) -> Result<Value, Refused> {
    use proto::reading::Value as Wire;
    match &reading.value {
        None => Err((RejectReason::NoValue, "no value, and no reason for its absence".to_owned())),
        Some(Wire::Quantity(_)) if vital == Vital::Consciousness => {
            Err(malformed("consciousness is given as a level, not as a quantity"))
        }
        Some(Wire::Quantity(number)) => quantity_of(*number, &reading.unit, vital),
        Some(Wire::Consciousness(_)) if vital != Vital::Consciousness => {
            Err(malformed(format!("a level of consciousness as the value of {vital}")))
        }
        Some(Wire::Consciousness(level)) => Acvpu::from_number(*level)
            .map(Value::Consciousness)
            .ok_or_else(|| malformed(format!("level {level} is none of ACVPU"))),
        Some(Wire::Absent(0)) => Err((RejectReason::NoValue, "absent without a reason".to_owned())),
        // A reason of a later contract is still an absence.
        Some(Wire::Absent(reason)) => {
            Ok(Value::Absent(AbsentReason::from_number(*reason).unwrap_or(AbsentReason::Unknown)))
        }
    }
}

fn quantity_of(number: f64, unit: &str, vital: Vital) -> Result<Value, Refused> {
    if !number.is_finite() {
        return Err((RejectReason::NotANumber, "the quantity is NaN or infinite".to_owned()));
    }
    let quantity = Quantity::from_f64(number).ok_or_else(|| {
        (RejectReason::ImpossibleValue, "the quantity is beyond 10^12".to_owned())
    })?;
    if unit.is_empty() {
        if vital.unit_may_be_omitted() {
            return Ok(Value::Quantity(quantity));
        }
        let detail = format!("{vital} needs its unit, such as {}", vital.unit().ucum());
        return Err((RejectReason::UnknownUnit, detail));
    }
    Unit::from_ucum(unit)
        .and_then(|unit| unit.convert(quantity, vital))
        .map(Value::Quantity)
        .ok_or_else(|| {
            // A unit may be told; a text that is none may be anything.
            let is_code = unit.len() <= 16 && unit.bytes().all(|byte| byte.is_ascii_graphic());
            let shown = if is_code { unit } else { "the unit" };
            (RejectReason::UnknownUnit, format!("{shown} is no accepted UCUM unit of {vital}"))
        })
}

fn quality_of(flags: &[i32]) -> Quality {
    let doubted = |flag: &i32| {
        *flag != proto::Quality::Validated as i32 && *flag != proto::Quality::Unspecified as i32
    };
    if flags.iter().any(doubted) { Quality::QUESTIONABLE } else { Quality(0) }
}

/// What a message is about.
pub(super) fn topic(publish: &Publish) -> Result<Topic<'_>, Refused> {
    Topic::parse(&publish.topic).map_err(|error| malformed(error.to_string()))
}
