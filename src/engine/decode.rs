//! Decoding: bytes from the broker into readings, or into reasons why not.
//!
//! Promises: no payload makes it panic; one bad reading refuses itself and not its batch, in either
//! encoding; times are cut to microseconds and quantities become exact decimals in the vital's
//! canonical unit, with what arrived kept beside them; what a payload says beyond the contract is
//! counted and ignored. A refusal's detail never repeats text of the payload.
//!
//! JSON and protobuf are two spellings of the same messages and take one way from here on: both
//! become the protobuf type first, reading by reading. Who sent it, and whether that counts, is for
//! `admit`.

mod json;
mod protobuf;
mod reading;

use std::time::Duration;

use super::input::{Encoding, Publish, Settings};
use super::output::{Quality, RejectReason};
use crate::clock::Timestamp;
use crate::mqtt::topic::Topic;
use crate::proto::v1 as proto;
use crate::vitals::{DeviceEvent, DeviceId, Mode, Quantity, Unit, Value, Vital};

/// Why something was refused, and what exactly.
pub type Refused = (RejectReason, String);

/// A batch whose readings were told good from bad.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// 0 if the device keeps no numbers.
    pub boot_id: u64,
    /// The number of its first reading.
    pub first_seq: u64,
    /// Whether it is from real use.
    pub mode: Mode,
    /// Whether the gateway asks for a verdict also if all is well.
    pub want_verdict: bool,
    /// How it was encoded.
    pub encoding: Encoding,
    /// When it was sent, by the sender's clock, if it said so.
    pub sent_at: Option<Timestamp>,
    /// Whether the device says that its clock was never set.
    pub is_clock_unset: bool,
    /// The gateway that sent it, if it named one.
    pub gateway: Option<DeviceId>,
    /// The good readings, in the order in which they were sent.
    pub readings: Vec<Decoded>,
    /// The bad ones, by their place in the batch.
    pub refused: Vec<(u32, RejectReason, String)>,
    /// Fields of the batch and its readings that the contract does not know. Each was ignored.
    pub unknown_fields: u32,
}

/// A reading that says something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Its number within the boot; meaningless if the device keeps none.
    pub sequence: u64,
    /// When it was measured, by the device's clock.
    pub measured_at: Timestamp,
    /// What was measured.
    pub vital: Vital,
    /// What it says, in the vital's canonical unit.
    pub value: Value,
    /// What arrived, if that was in another unit.
    pub original: Option<(Quantity, Unit)>,
    /// What the device says of its worth.
    pub quality: Quality,
    /// Whether the device calls it historical.
    pub historical: bool,
    /// What it was measured together with; 0 if it stands alone.
    pub measurement_id: u32,
    /// The span before `measured_at` that it is about, if it is about one.
    pub interval: Option<Duration>,
}

/// A payload taken apart: what surrounds the readings, and each of these or why it is none.
struct Parsed<R> {
    /// The batch, without its readings.
    header: proto::ReadingBatch,
    /// The readings, up to the limit.
    readings: R,
    /// How many readings there are, those beyond the limit included.
    readings_count: usize,
    unknown_fields: u32,
}

/// The encoding of a payload: as declared, else by its first byte.
#[must_use]
pub(super) fn encoding_of(publish: &Publish) -> Encoding {
    publish.encoding.unwrap_or_else(|| {
        let first = publish.payload.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf }
    })
}

/// The batch of a `readings` message. Pure: the same bytes and bounds give the same batch.
///
/// # Errors
/// Why no reading of the message can be taken: it is too large, has too many readings, or what
/// surrounds its readings is malformed.
pub fn batch(publish: &Publish, settings: &Settings) -> Result<Batch, Refused> {
    check_size(publish, settings)?;
    let most = settings.batch_readings_max as usize;
    match encoding_of(publish) {
        Encoding::Protobuf => {
            let parsed = protobuf::batch(&publish.payload, most).map_err(malformed)?;
            sort_out(parsed, Encoding::Protobuf, most)
        }
        Encoding::Json => {
            let parsed = json::batch(&publish.payload, most)
                .map_err(|error| malformed(format!("not a ReadingBatch in JSON: {error}")))?;
            sort_out(parsed, Encoding::Json, most)
        }
    }
}

fn check_size(publish: &Publish, settings: &Settings) -> Result<(), Refused> {
    let bytes = publish.payload.len();
    if bytes <= settings.payload_bytes_max as usize {
        return Ok(());
    }
    let detail = format!("{bytes} bytes; at most {}", settings.payload_bytes_max);
    Err((RejectReason::TooLarge, detail))
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it is connected.
    pub is_online: bool,
    /// The number of its start; 0 if it keeps none.
    pub boot_id: u64,
    /// When this became so, by the device's clock, if it said so.
    pub at: Option<Timestamp>,
    /// The gateway in front of it, if it named one.
    pub gateway: Option<DeviceId>,
    /// Charge of its battery in percent, if it has one.
    pub battery_percent: Option<u8>,
    /// Whether its sensor is on the patient, if it can tell.
    pub is_attached: Option<bool>,
    /// Whether it reports that a sensor is broken.
    pub has_fault: bool,
    /// What it asserts of the patient, if anything.
    pub event: Option<DeviceEvent>,
    /// The version of its firmware, if it said so; its first 64 bytes.
    pub firmware: Option<Box<str>>,
}

/// A firmware's version is no longer than what `device.proto` promises.
const FIRMWARE_BYTES_MAX: usize = 64;

/// The status of a `status` message. Pure.
///
/// # Errors
/// Why it is none.
pub fn status(publish: &Publish, settings: &Settings) -> Result<Status, Refused> {
    check_size(publish, settings)?;
    let message = match encoding_of(publish) {
        Encoding::Protobuf => protobuf::status(&publish.payload).map_err(malformed)?,
        Encoding::Json => json::status(&publish.payload)
            .map_err(|error| malformed(format!("not a DeviceStatus in JSON: {error}")))?,
    };
    let battery_percent = match message.battery_percent {
        Some(percent) if percent > 100 => {
            return Err(malformed("battery_percent is over 100"));
        }
        percent => percent.and_then(|percent| u8::try_from(percent).ok()),
    };
    Ok(Status {
        is_online: message.online,
        boot_id: message.boot_id,
        at: message.at.as_ref().map(reading::instant).transpose()?,
        gateway: gateway(&message.gateway)?,
        battery_percent,
        is_attached: message.sensor_attached,
        has_fault: message.event == Some(proto::DeviceEvent::SensorFault as i32),
        event: message.event.and_then(DeviceEvent::from_number),
        firmware: firmware(message.firmware),
    })
}

fn firmware(mut version: String) -> Option<Box<str>> {
    version.truncate(version.floor_char_boundary(FIRMWARE_BYTES_MAX));
    (!version.is_empty()).then(|| version.into_boxed_str())
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

fn sort_out<R>(parsed: Parsed<R>, encoding: Encoding, most: usize) -> Result<Batch, Refused>
where
    R: ExactSizeIterator<Item = Result<proto::Reading, String>>,
{
    let Parsed { header, readings, readings_count, unknown_fields } = parsed;
    if readings_count > most {
        let detail = format!("{readings_count} readings; at most {most}");
        return Err((RejectReason::TooManyReadings, detail));
    }
    let mut batch = begin(&header, readings_count, encoding)?;
    batch.unknown_fields = unknown_fields;
    let base_time = header.base_time.as_ref().map(reading::instant).transpose()?;
    let flags = if batch.is_clock_unset { Quality::CLOCK_UNSET } else { Quality(0) };
    for (index, reading) in (0_u32..).zip(readings) {
        let decoded =
            reading.map_err(malformed).and_then(|reading| reading::decode(&reading, base_time));
        match decoded {
            Ok(decoded) => batch.readings.push(Decoded {
                index,
                sequence: header.first_seq.saturating_add(u64::from(index)),
                quality: decoded.quality.with(flags),
                ..decoded
            }),
            Err((reason, detail)) => batch.refused.push((index, reason, detail)),
        }
    }
    Ok(batch)
}

/// The batch before its readings, if what surrounds them is sound.
fn begin(
    header: &proto::ReadingBatch,
    readings_count: usize,
    encoding: Encoding,
) -> Result<Batch, Refused> {
    if header.first_seq.checked_add(readings_count as u64).is_none() {
        return Err(malformed("first_seq leaves no numbers for the readings of the batch"));
    }
    let mode = match header.mode {
        0 => Mode::Real,
        1 => Mode::Test,
        2 => Mode::Demo,
        // Never taken for real: an unknown mode must not alarm.
        _ => return Err(malformed("mode is none of real, test and demo")),
    };
    Ok(Batch {
        boot_id: header.boot_id,
        first_seq: header.first_seq,
        mode,
        want_verdict: header.want_verdict,
        encoding,
        sent_at: header.sent_at.as_ref().map(reading::instant).transpose()?,
        // Numbers of a later contract say nothing that is known today.
        is_clock_unset: header.clock_sync == proto::ClockSync::Unset as i32,
        gateway: gateway(&header.gateway)?,
        readings: Vec::with_capacity(readings_count),
        refused: Vec::new(),
        unknown_fields: 0,
    })
}

/// What a message is about.
pub(super) fn topic(publish: &Publish) -> Result<Topic<'_>, Refused> {
    Topic::parse(&publish.topic).map_err(|error| malformed(error.to_string()))
}
