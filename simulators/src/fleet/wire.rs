//! What a device's batch looks like on the wire, in the times of the run.

use jiff::{SignedDuration, Timestamp};
use prost::bytes::Bytes;

use super::device::{Batch, Flaw, Reading};
use super::physiology::Said;
use crate::convert;
use crate::encode::{self, Encoding};
use crate::proto::v1;
use crate::record::RunClock;

/// A vital that no version of the contract knows.
const UNKNOWN_VITAL: i32 = 99;

/// How the fleet's own time lies within the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    clock: RunClock,
    /// When the fleet began to measure, in microseconds of the run.
    began: u64,
    /// The wall time that devices call then. A fleet that is faster than life begins in the past.
    zero: Timestamp,
    speed: f64,
}

impl Times {
    /// A fleet that begins to measure at this microsecond of the run.
    pub(super) fn new(clock: RunClock, began: u64, speed: f64, duration: SignedDuration) -> Self {
        let shift = if speed > 1.0 {
            let share = 1.0 - 1.0 / speed;
            SignedDuration::try_from_secs_f64(duration.as_secs_f64() * share).unwrap_or_default()
        } else {
            SignedDuration::ZERO
        };
        // Whole milliseconds, because readings count from one another in those.
        let zero = clock.wall(began).saturating_sub(shift).unwrap_or(Timestamp::MIN);
        let zero = crate::clock::whole(jiff::Unit::Millisecond, zero);
        Self { clock, began, zero, speed }
    }

    /// The microsecond of the run at which something is due.
    pub(super) fn run(&self, due: i64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "exact below 2^53 microseconds"
        )]
        let due = if self.speed == 1.0 { due } else { (due as f64 / self.speed) as i64 };
        self.began.saturating_add_signed(due)
    }

    /// The fleet's own millisecond at this microsecond of the run.
    pub(super) fn fleet_ms(&self, run: u64) -> i64 {
        let since = i64::try_from(run.saturating_sub(self.began)).unwrap_or(i64::MAX);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "exact below 2^53 microseconds"
        )]
        let since = if self.speed == 1.0 { since } else { (since as f64 * self.speed) as i64 };
        since / 1000
    }

    /// The wall time that a device whose clock is right has at a millisecond of the fleet.
    pub(super) fn wall(&self, at_ms: i64) -> Timestamp {
        let wall = self.zero.saturating_add(SignedDuration::from_millis(at_ms));
        wall.unwrap_or(Timestamp::MAX)
    }

    fn sent_at(&self, due: i64, clock_ms: i64) -> Timestamp {
        let wall = self.clock.wall(self.run(due));
        wall.saturating_add(SignedDuration::from_millis(clock_ms)).unwrap_or(wall)
    }
}

/// The payload of a batch that is due then, from a device whose first start has this number.
pub(super) fn payload(
    batch: &Batch,
    due: i64,
    boot_id: u64,
    times: &Times,
    encoding: Encoding,
) -> Bytes {
    let base_ms = batch.readings.first().map_or(0, |reading| reading.at_ms);
    let wire = v1::ReadingBatch {
        boot_id: boot_id.saturating_add_signed(batch.boot.into()),
        first_seq: batch.first_seq,
        sent_at: Some(convert::to_timestamp(times.sent_at(due, batch.clock_ms))),
        base_time: Some(convert::to_timestamp(times.wall(base_ms))),
        clock_sync: v1::ClockSync::Synchronised.into(),
        mode: v1::Mode::Real.into(),
        readings: batch.readings.iter().map(|it| reading(it, base_ms)).collect(),
        ..v1::ReadingBatch::default()
    };
    encode::payload(&wire, encoding)
}

fn reading(reading: &Reading, base_ms: i64) -> v1::Reading {
    let (value, quality) = match reading.said {
        Said::Value(_) if reading.flaw == Some(Flaw::NotANumber) => {
            (v1::reading::Value::Quantity(f64::NAN), Vec::new())
        }
        Said::Value(value) => (v1::reading::Value::Quantity(value), Vec::new()),
        Said::Moved(value) => {
            (v1::reading::Value::Quantity(value), vec![v1::Quality::Motion.into()])
        }
        Said::Absent(reason) => (v1::reading::Value::Absent(reason.into()), Vec::new()),
    };
    let is_absent = matches!(value, v1::reading::Value::Absent(_));
    let says_unit = !is_absent && reading.flaw != Some(Flaw::MissingUnit);
    v1::Reading {
        measured: Some(v1::reading::Measured::OffsetMs(reading.at_ms - base_ms)),
        vital: match reading.flaw {
            Some(Flaw::UnknownVital) => UNKNOWN_VITAL,
            _ => convert::to_vital(reading.vital).into(),
        },
        value: Some(value).filter(|_| reading.flaw != Some(Flaw::NoValue)),
        unit: if says_unit { reading.vital.said_unit().to_owned() } else { String::new() },
        quality,
        historical: reading.is_historical,
        measurement_id: reading.measurement_id,
        ..v1::Reading::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::v1::reading::{Measured, Value};
    use crate::sample::Vital;

    fn times(speed: f64) -> Times {
        Times::new(RunClock::start(), 1_000_000, speed, SignedDuration::from_mins(10))
    }

    fn reading(vital: Vital, said: Said, flaw: Option<Flaw>) -> Reading {
        Reading { at_ms: 500, vital, said, flaw, is_historical: false, measurement_id: 0 }
    }

    /// The one reading of a batch, as the service gets it.
    fn wire(reading: Reading) -> v1::Reading {
        let batch = Batch { boot: 2, first_seq: 7, clock_ms: 0, readings: vec![reading] };
        let payload = payload(&batch, 0, 100, &times(1.0), Encoding::Protobuf);
        let wire = v1::ReadingBatch::decode(payload).expect("ours");
        assert_eq!((wire.boot_id, wire.first_seq), (102, 7));
        wire.readings.into_iter().next().expect("one")
    }

    #[test]
    fn a_reading_says_its_unit_where_it_must() {
        let temperature = wire(reading(Vital::BodyTemperature, Said::Value(36.6), None));
        assert_eq!((&*temperature.unit, temperature.value), ("Cel", Some(Value::Quantity(36.6))));
        assert_eq!(wire(reading(Vital::BloodGlucose, Said::Value(90.0), None)).unit, "mg/dL");
        assert_eq!(wire(reading(Vital::HeartRate, Said::Value(70.0), None)).unit, "");
        let moved = wire(reading(Vital::Spo2, Said::Moved(80.0), None));
        assert_eq!(moved.quality().collect::<Vec<_>>(), [v1::Quality::Motion]);
        let off = Said::Absent(v1::AbsentReason::SensorOff);
        let absent = wire(reading(Vital::Spo2, off, None)).value;
        assert_eq!(absent, Some(Value::Absent(v1::AbsentReason::SensorOff.into())));
    }

    #[test]
    fn a_flaw_is_what_its_name_says() {
        let flawed = |vital, flaw| wire(reading(vital, Said::Value(37.0), Some(flaw)));
        assert_eq!(flawed(Vital::HeartRate, Flaw::UnknownVital).vital, UNKNOWN_VITAL);
        assert_eq!(flawed(Vital::BodyTemperature, Flaw::MissingUnit).unit, "");
        assert_eq!(flawed(Vital::HeartRate, Flaw::NoValue).value, None);
        let value = flawed(Vital::HeartRate, Flaw::NotANumber).value;
        assert!(matches!(value, Some(Value::Quantity(value)) if value.is_nan()));
    }

    #[test]
    fn readings_are_said_from_the_first_one_on() {
        let mut later = reading(Vital::Spo2, Said::Value(97.0), None);
        later.at_ms = 1_250;
        let first = reading(Vital::Spo2, Said::Value(97.0), None);
        let batch = Batch { boot: 0, first_seq: 1, clock_ms: 3_000, readings: vec![first, later] };
        let times = times(1.0);
        let payload = payload(&batch, 250_000, 1, &times, Encoding::Protobuf);
        let wire = v1::ReadingBatch::decode(payload).expect("ours");
        assert_eq!(wire.base_time, Some(convert::to_timestamp(times.wall(500))));
        assert_eq!(wire.readings[1].measured, Some(Measured::OffsetMs(750)));
        let sent_at = convert::from_timestamp(wire.sent_at.expect("said")).expect("valid");
        let ahead = sent_at.duration_since(times.clock.wall(1_250_000));
        assert_eq!(ahead, SignedDuration::from_secs(3), "by the device's own clock");
    }

    #[test]
    fn a_fast_fleet_begins_in_the_past_and_ends_now() {
        let times = times(10.0);
        let whole = 10 * 60 * 1_000_000;
        assert_eq!(times.run(whole), 1_000_000 + 60_000_000);
        assert_eq!(times.fleet_ms(times.run(whole)), 600_000);
        let end = times.clock.wall(times.run(whole)).duration_since(times.wall(600_000));
        assert!(end.abs() <= SignedDuration::from_millis(1), "{end}");
        let begin = times.clock.wall(times.run(0)).duration_since(times.wall(0));
        assert!(begin >= SignedDuration::from_mins(9), "{begin}");
    }
}
