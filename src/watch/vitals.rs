//! The newest values of one vital of a patient, how old they are, and how they went.
//!
//! Pure. A sensor that gives no value is a gap in the line, not the value before it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::words;
use crate::clock::Timestamp;
use crate::proto::v1;
use crate::proto::v1::stored_reading::Value;

/// Values kept: a minute of a device that measures every second, as wide as a line has room for.
pub(super) const TRACE_LENGTH: usize = 60;
/// Older than this, a value is not called new: shown in brackets.
const FRESH_MAX: Duration = Duration::from_secs(60);
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A line this flat, as a share of its highest value, is drawn flat: noise is no news.
const FLAT: f64 = 0.05;

/// One vital of one patient.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    newest: Option<v1::StoredReading>,
    received: Option<Instant>,
    /// Oldest first; `None` where there was no quantity.
    quantities: VecDeque<Option<f64>>,
}

impl Trace {
    pub(super) fn push(&mut self, reading: v1::StoredReading, now: Instant) {
        if self.is_known(&reading) {
            return;
        }
        if self.quantities.len() == TRACE_LENGTH {
            self.quantities.pop_front();
        }
        self.quantities.push_back(match reading.value {
            Some(Value::Quantity(quantity)) if quantity.is_finite() => Some(quantity),
            _ => None,
        });
        self.newest = Some(reading);
        self.received = Some(now);
    }

    /// A stream that begins anew begins with what the one before told last.
    fn is_known(&self, reading: &v1::StoredReading) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|it| it.measured_at == reading.measured_at && it.value == reading.value)
    }

    /// How long ago it was measured, by the service's clock; by when it came, before that is known.
    pub(super) fn age(&self, service_time: Option<Timestamp>, now: Instant) -> Duration {
        let measured = self.newest.as_ref().and_then(|it| words::timestamp(it.measured_at));
        match (service_time, measured, self.received) {
            (Some(time), Some(measured), _) => time.since(measured),
            (_, _, Some(received)) => now.saturating_duration_since(received),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn is_fresh(&self, service_time: Option<Timestamp>, now: Instant) -> bool {
        self.age(service_time, now) <= FRESH_MAX
    }

    /// The newest value, without its unit; `--` where the sensor gave none.
    pub(super) fn value(&self) -> String {
        match self.newest.as_ref().and_then(|it| it.value) {
            Some(Value::Quantity(quantity)) => quantity.to_string(),
            Some(Value::Consciousness(level)) => words::consciousness(level).to_owned(),
            Some(Value::Absent(_)) | None => "--".to_owned(),
        }
    }

    /// Why there is no value.
    pub(super) fn absent(&self) -> Option<&'static str> {
        match self.newest.as_ref()?.value {
            Some(Value::Absent(reason)) => Some(words::absent(reason)),
            _ => None,
        }
    }

    pub(super) fn unit(&self) -> &str {
        self.newest.as_ref().map_or("", |it| words::unit(&it.unit))
    }

    /// Whether the newest value is one that nobody should lean on.
    pub(super) fn is_doubted(&self) -> bool {
        let doubts = [
            v1::ReadingFlag::Questionable,
            v1::ReadingFlag::Implausible,
            v1::ReadingFlag::NoSensor,
            v1::ReadingFlag::ClockUnset,
        ];
        let newest = self.newest.as_ref();
        newest.is_some_and(|it| it.flags().any(|flag| doubts.contains(&flag)))
    }

    /// The last values as bars, the newest rightmost, at most `width` wide.
    pub(super) fn sparkline(&self, width: usize) -> String {
        let from = self.quantities.len().saturating_sub(width);
        let shown: Vec<Option<f64>> = self.quantities.iter().skip(from).copied().collect();
        let known = shown.iter().flatten();
        let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| {
            (low.min(*it), high.max(*it))
        });
        let least = (high.abs() * FLAT).max(f64::EPSILON);
        let range = (high - low).max(least);
        shown.into_iter().map(|it| it.map_or(' ', |it| bar((it - low) / range))).collect()
    }
}

/// The bar of a share of the range.
fn bar(share: f64) -> char {
    let steps = f64::from(u8::try_from(BARS.len() - 1).expect("a few bars"));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the number of bars"
    )]
    let step = (share * steps).round().clamp(0.0, steps) as usize;
    BARS[step]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: i64, value: Value) -> v1::StoredReading {
        v1::StoredReading {
            measured_at: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
            value: Some(value),
            ..v1::StoredReading::default()
        }
    }

    fn trace(values: &[Value]) -> Trace {
        let mut trace = Trace::default();
        for (second, value) in (0..).zip(values) {
            trace.push(reading(second, *value), Instant::now());
        }
        trace
    }

    fn quantities(values: &[f64]) -> Trace {
        trace(&values.iter().map(|it| Value::Quantity(*it)).collect::<Vec<_>>())
    }

    #[test]
    fn bars_go_from_the_lowest_to_the_highest_and_noise_is_flat() {
        assert_eq!(quantities(&[60.0, 95.0, 130.0]).sparkline(9), "▁▅█");
        assert_eq!(quantities(&[97.0, 97.0]).sparkline(9), "▁▁");
        assert_eq!(quantities(&[1.0, 2.0, 60.0, 130.0]).sparkline(2), "▁█", "the newest fit");
        assert_eq!(Trace::default().sparkline(9), "");
    }

    #[test]
    fn no_value_is_a_gap_and_not_the_value_before() {
        let off = Value::Absent(v1::AbsentReason::SensorOff.into());
        let trace = trace(&[Value::Quantity(60.0), off]);
        assert_eq!((trace.value().as_str(), trace.absent()), ("--", Some("sensor off")));
        assert_eq!(trace.sparkline(9), "▁ ");
    }

    #[test]
    fn a_stream_that_begins_anew_draws_nothing_twice() {
        let mut trace = quantities(&[60.0, 130.0]);
        trace.push(reading(1, Value::Quantity(130.0)), Instant::now());
        assert_eq!(trace.sparkline(9), "▁█");
    }

    #[test]
    fn a_value_ages_by_the_services_clock() {
        let trace = quantities(&[60.0]);
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        assert_eq!(trace.age(at(90), Instant::now()), Duration::from_secs(90));
        assert!(trace.is_fresh(at(60), Instant::now()) && !trace.is_fresh(at(61), Instant::now()));
    }

    #[test]
    fn only_so_many_values_are_kept() {
        let trace = quantities(
            &vec![1.0; TRACE_LENGTH + 5]
                .iter()
                .zip(0..)
                .map(|(it, n)| it + f64::from(n))
                .collect::<Vec<_>>(),
        );
        assert_eq!(trace.quantities.len(), TRACE_LENGTH);
    }
}
