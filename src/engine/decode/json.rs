//! The proto3 JSON mapping of `ReadingBatch` and `DeviceStatus`.
//!
//! 64-bit integers come as strings or numbers, enums as `VITAL_SPO2`, `spo2` or their number,
//! quantities also as `"NaN"`, times as RFC 3339 with an offset, durations as `"60s"`. Field
//! names may be `lowerCamelCase` or as in the proto file; `null` is a field's default; unknown
//! fields are ignored. An enum name that nobody knows becomes a number that no enum has.
//!
//! A reading that can't be read refuses itself and not its batch: only what surrounds the
//! readings can make the whole message malformed. Errors name the place and never the text that
//! stood there, for it may be a patient's.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::proto::v1 as proto;

/// The number of an enum name that nobody knows.
const NOBODY: i32 = -1;

/// A batch whose readings are read one by one.
pub(super) struct Parsed {
    /// The batch, without its readings.
    pub(super) batch: proto::ReadingBatch,
    /// Each reading, or where it could not be read.
    pub(super) readings: Vec<Result<proto::Reading, String>>,
}

/// Reads a batch; an error says where it is none.
pub(super) fn batch(bytes: &[u8]) -> Result<Parsed, String> {
    let batch: Batch<'_> = serde_json::from_slice(bytes).map_err(|error| place(&error))?;
    let read = |raw: &&RawValue| {
        let reading: Result<Reading<'_>, _> = serde_json::from_str(raw.get());
        reading.map(Reading::into_proto).map_err(|error| place(&error))
    };
    Ok(Parsed {
        readings: batch.readings.iter().map(read).collect(),
        batch: proto::ReadingBatch {
            boot_id: batch.boot_id.0,
            first_seq: batch.first_seq.0,
            sent_at: batch.sent_at.map(Time::into_proto),
            base_time: batch.base_time.map(Time::into_proto),
            clock_sync: batch.clock_sync.number("CLOCK_SYNC_", proto::ClockSync::from_str_name),
            mode: batch.mode.number("MODE_", proto::Mode::from_str_name),
            gateway: batch.gateway.into_owned(),
            want_verdict: batch.want_verdict,
            readings: Vec::new(),
        },
    })
}

/// Reads a device's status; an error says where it is none.
pub(super) fn status(bytes: &[u8]) -> Result<proto::DeviceStatus, String> {
    let status: Status<'_> = serde_json::from_slice(bytes).map_err(|error| place(&error))?;
    let event = |event: Enum<'_>| event.number("DEVICE_EVENT_", proto::DeviceEvent::from_str_name);
    Ok(proto::DeviceStatus {
        online: status.online,
        boot_id: status.boot_id.0,
        at: status.at.map(Time::into_proto),
        gateway: status.gateway.into_owned(),
        battery_percent: status.battery_percent.map(|percent| percent.0),
        sensor_attached: status.sensor_attached,
        event: status.event.map(event),
        firmware: status.firmware.into_owned(),
    })
}

/// What is wrong, and where, without what stood there.
fn place(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends too soon",
        Category::Syntax | Category::Io => "not JSON",
        Category::Data => "a value of the wrong kind",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// A field's default where `null` stands.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Batch<'a> {
    #[serde(default, alias = "bootId", deserialize_with = "nullable")]
    boot_id: Uint64,
    #[serde(default, alias = "firstSeq", deserialize_with = "nullable")]
    first_seq: Uint64,
    #[serde(default, alias = "sentAt")]
    sent_at: Option<Time>,
    #[serde(default, alias = "baseTime")]
    base_time: Option<Time>,
    #[serde(default, alias = "clockSync", borrow, deserialize_with = "nullable")]
    clock_sync: Enum<'a>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    mode: Enum<'a>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    gateway: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    readings: Vec<&'a RawValue>,
    #[serde(default, alias = "wantVerdict", deserialize_with = "nullable")]
    want_verdict: bool,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Reading<'a> {
    #[serde(default, alias = "measuredAt")]
    measured_at: Option<Time>,
    #[serde(default, alias = "offsetMs")]
    offset_ms: Option<Int64>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    vital: Enum<'a>,
    #[serde(default)]
    quantity: Option<Double>,
    #[serde(default, borrow)]
    consciousness: Option<Enum<'a>>,
    #[serde(default, borrow)]
    absent: Option<Enum<'a>>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    unit: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    quality: Vec<Enum<'a>>,
    #[serde(default, deserialize_with = "nullable")]
    historical: bool,
    #[serde(default, alias = "measurementId", deserialize_with = "nullable")]
    measurement_id: Uint32,
    #[serde(default)]
    interval: Option<Span>,
}

impl Reading<'_> {
    fn into_proto(self) -> proto::Reading {
        use proto::reading::{Measured, Value};
        let measured = match (self.measured_at, self.offset_ms) {
            (Some(at), _) => Some(Measured::MeasuredAt(at.into_proto())),
            (None, Some(offset)) => Some(Measured::OffsetMs(offset.0)),
            (None, None) => None,
        };
        let value = match (self.quantity, self.consciousness, self.absent) {
            (Some(quantity), ..) => Some(Value::Quantity(quantity.0)),
            (None, Some(level), _) => {
                Some(Value::Consciousness(level.number("ACVPU_", proto::Acvpu::from_str_name)))
            }
            (None, None, Some(reason)) => Some(Value::Absent(
                reason.number("ABSENT_REASON_", proto::AbsentReason::from_str_name),
            )),
            (None, None, None) => None,
        };
        let quality = |flag: &Enum<'_>| flag.number("QUALITY_", proto::Quality::from_str_name);
        proto::Reading {
            measured,
            vital: self.vital.number("VITAL_", proto::Vital::from_str_name),
            value,
            unit: self.unit.into_owned(),
            quality: self.quality.iter().map(quality).collect(),
            historical: self.historical,
            measurement_id: self.measurement_id.0,
            interval: self.interval.map(|span| span.0),
        }
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    #[serde(default, deserialize_with = "nullable")]
    online: bool,
    #[serde(default, alias = "bootId", deserialize_with = "nullable")]
    boot_id: Uint64,
    #[serde(default)]
    at: Option<Time>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    gateway: Cow<'a, str>,
    #[serde(default, alias = "batteryPercent")]
    battery_percent: Option<Uint32>,
    #[serde(default, alias = "sensorAttached")]
    sensor_attached: Option<bool>,
    #[serde(default, borrow)]
    event: Option<Enum<'a>>,
    #[serde(default, borrow, deserialize_with = "nullable")]
    firmware: Cow<'a, str>,
}

/// An enum by name or number.
#[derive(Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'a"))]
enum Enum<'a> {
    Number(i32),
    Name(#[serde(borrow)] Cow<'a, str>),
}

impl Default for Enum<'_> {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Enum<'_> {
    fn number<E: Into<i32>>(&self, prefix: &str, from_name: impl Fn(&str) -> Option<E>) -> i32 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => from_name(name)
                .or_else(|| from_name(&format!("{prefix}{}", name.to_ascii_uppercase())))
                .map_or(NOBODY, Into::into),
        }
    }
}

/// A value that proto3 JSON allows to stand in quotes.
#[derive(Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'a"))]
enum Quoted<'a, T: Deserialize<'a>> {
    Bare(T),
    Text(#[serde(borrow)] Cow<'a, str>),
}

fn quoted<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + std::str::FromStr,
{
    match Quoted::<T>::deserialize(deserializer)? {
        Quoted::Bare(value) => Ok(value),
        Quoted::Text(text) => text
            .parse()
            .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &"a number")),
    }
}

#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Uint64(#[serde(deserialize_with = "quoted")] u64);

#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Uint32(#[serde(deserialize_with = "quoted")] u32);

#[derive(Deserialize)]
#[serde(transparent)]
struct Int64(#[serde(deserialize_with = "quoted")] i64);

/// Rust's parser of floats knows proto3's `NaN`, `Infinity` and `-Infinity`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Double(#[serde(deserialize_with = "quoted")] f64);

struct Time(Timestamp);

impl Time {
    fn into_proto(self) -> prost_types::Timestamp {
        let micros = self.0.micros();
        prost_types::Timestamp {
            seconds: micros.div_euclid(1_000_000),
            nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("below 10^9"),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

struct Span(prost_types::Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"a duration such as \"60s\"")
        })
    }
}
