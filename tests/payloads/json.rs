//! Messages in the proto3 JSON mapping, in all the spellings that gateways use: names in either
//! case, numbers bare or in quotes, enums by name, by its end, or by number, defaults written,
//! omitted or `null`. Which, follows from a stream of random numbers.

use pulseward::proto::v1 as proto;
use pulseward::proto::v1::reading::{Measured, Value};

use crate::random::Random;

/// The fields of an object as they are written.
struct Object<'r> {
    fields: Vec<String>,
    random: &'r mut Random,
}

impl<'r> Object<'r> {
    fn new(random: &'r mut Random) -> Self {
        Self { fields: Vec::new(), random }
    }

    /// A field by its name in the proto file.
    fn put(&mut self, name: &str, value: &str) {
        let name = if self.random.per_mille(500) { camel_case(name) } else { name.to_owned() };
        self.fields.push(format!("\"{name}\":{value}"));
    }

    /// A field that may be left out where it says nothing.
    fn put_or_omit(&mut self, name: &str, value: &str, is_default: bool) {
        match (is_default, self.random.index(3)) {
            (true, 0) => {}
            (true, 1) => self.put(name, "null"),
            _ => self.put(name, value),
        }
    }

    /// A number that may stand in quotes.
    fn number(&mut self, name: &str, value: &str, is_default: bool) {
        let is_quoted = self.random.per_mille(500);
        let value = if is_quoted { format!("\"{value}\"") } else { value.to_owned() };
        self.put_or_omit(name, &value, is_default);
    }

    fn time(&mut self, name: &str, time: Option<prost_types::Timestamp>) {
        if let Some(time) = time {
            self.put(name, &format!("\"{}\"", time_text(time)));
        }
    }

    /// An enum: `names` are those of its values, from 0 on, behind `prefix`.
    fn one_of(&mut self, name: &str, prefix: &str, number: i32, names: &[&str], is_default: bool) {
        let value = enum_text(self.random, prefix, number, names);
        self.put_or_omit(name, &value, is_default);
    }

    fn write(mut self) -> String {
        // Of fields that differ, order says nothing.
        let turn = self.random.index(self.fields.len() + 1);
        self.fields.rotate_left(turn);
        format!("{{{}}}", self.fields.join(","))
    }
}

fn enum_text(random: &mut Random, prefix: &str, number: i32, names: &[&str]) -> String {
    let known = usize::try_from(number).ok().and_then(|number| names.get(number));
    match (known, random.index(3)) {
        (Some(name), 0) => format!("\"{name}\""),
        (Some(name), 1) => format!("\"{}\"", name[prefix.len()..].to_lowercase()),
        _ => number.to_string(),
    }
}

/// The names of an enum's values, from 0 on.
macro_rules! names {
    ($kind:ty) => {
        (0..)
            .map_while(|number| <$kind>::try_from(number).ok())
            .map(|it| it.as_str_name())
            .collect::<Vec<_>>()
    };
}

pub(crate) fn batch(batch: &proto::ReadingBatch, random: &mut Random) -> String {
    let readings: Vec<_> = batch.readings.iter().map(|it| reading(it, random)).collect();
    let mut object = Object::new(random);
    object.number("boot_id", &batch.boot_id.to_string(), batch.boot_id == 0);
    object.number("first_seq", &batch.first_seq.to_string(), batch.first_seq == 0);
    object.time("sent_at", batch.sent_at);
    object.time("base_time", batch.base_time);
    let (clock_sync, mode) = (batch.clock_sync, batch.mode);
    object.one_of(
        "clock_sync",
        "CLOCK_SYNC_",
        clock_sync,
        &names!(proto::ClockSync),
        clock_sync == 0,
    );
    object.one_of("mode", "MODE_", mode, &names!(proto::Mode), mode == 0);
    object.put_or_omit("gateway", &text(&batch.gateway), batch.gateway.is_empty());
    object.put("readings", &format!("[{}]", readings.join(", ")));
    object.put_or_omit("want_verdict", &batch.want_verdict.to_string(), !batch.want_verdict);
    object.write()
}

fn reading(reading: &proto::Reading, random: &mut Random) -> String {
    let mut object = Object::new(random);
    match reading.measured {
        Some(Measured::MeasuredAt(at)) => object.time("measured_at", Some(at)),
        Some(Measured::OffsetMs(offset)) => object.number("offset_ms", &offset.to_string(), false),
        None => {}
    }
    object.one_of("vital", "VITAL_", reading.vital, &names!(proto::Vital), reading.vital == 0);
    match reading.value {
        Some(Value::Quantity(number)) if number.is_finite() => {
            object.number("quantity", &number.to_string(), false);
        }
        Some(Value::Quantity(number)) => object.put("quantity", &format!("\"{}\"", none(number))),
        Some(Value::Consciousness(level)) => {
            object.one_of("consciousness", "ACVPU_", level, &names!(proto::Acvpu), false);
        }
        Some(Value::Absent(reason)) => {
            let names = names!(proto::AbsentReason);
            object.one_of("absent", "ABSENT_REASON_", reason, &names, false);
        }
        None => {}
    }
    object.put_or_omit("unit", &text(&reading.unit), reading.unit.is_empty());
    let flag = |flag: &i32| enum_text(object.random, "QUALITY_", *flag, &names!(proto::Quality));
    let quality: Vec<_> = reading.quality.iter().map(flag).collect();
    let quality = format!("[{}]", quality.join(","));
    object.put_or_omit("quality", &quality, reading.quality.is_empty());
    object.put_or_omit("historical", &reading.historical.to_string(), !reading.historical);
    let measurement_id = reading.measurement_id;
    object.number("measurement_id", &measurement_id.to_string(), measurement_id == 0);
    if let Some(interval) = reading.interval {
        object.put("interval", &format!("\"{}\"", span_text(interval)));
    }
    object.write()
}

pub(crate) fn status(status: &proto::DeviceStatus, random: &mut Random) -> String {
    let mut object = Object::new(random);
    object.put_or_omit("online", &status.online.to_string(), !status.online);
    object.number("boot_id", &status.boot_id.to_string(), status.boot_id == 0);
    object.time("at", status.at);
    object.put_or_omit("gateway", &text(&status.gateway), status.gateway.is_empty());
    if let Some(percent) = status.battery_percent {
        object.number("battery_percent", &percent.to_string(), false);
    }
    if let Some(is_attached) = status.sensor_attached {
        object.put("sensor_attached", &is_attached.to_string());
    }
    if let Some(event) = status.event {
        object.one_of("event", "DEVICE_EVENT_", event, &names!(proto::DeviceEvent), false);
    }
    object.put_or_omit("firmware", &text(&status.firmware), status.firmware.is_empty());
    object.write()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn text(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// The name of a number that is none.
fn none(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn time_text(time: prost_types::Timestamp) -> String {
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    jiff::Timestamp::from_nanosecond(nanos).expect("of the years 1 to 9999").to_string()
}

fn span_text(span: prost_types::Duration) -> String {
    let sign = if span.seconds < 0 || span.nanos < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}s", span.seconds.unsigned_abs(), span.nanos.unsigned_abs())
}
