//! What the service raised, held against what it had to raise, and how long it took.
//!
//! Alerts match by patient, rule and onset: an alert with another onset is another alert. The
//! latency of an alert runs from the moment at which the reading that decided it was handed to
//! the broker's connection to the moment at which its event came out of the stream; neither the
//! PUBACK nor the measured time counts in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::oracle::ExpectedAlert;
use crate::sample::Batch;
use crate::watch::{Raised, Seen};

/// Publish moments kept; about an hour of a hundred devices. The oldest are forgotten beyond:
/// an alert is decided by a recent reading.
const TIMES_MAX: usize = 400_000;
/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(3600);
/// Three digits: percentiles are exact to a thousandth.
const DIGITS: u8 = 3;

type Reading = (Arc<str>, Timestamp);

/// When readings were handed to the connection, by device and measured time.
#[derive(Debug, Default)]
pub struct PublishTimes {
    times: HashMap<Reading, Instant>,
    order: VecDeque<Reading>,
}

impl PublishTimes {
    /// Notes that `batch` is published at `now`. The first time counts.
    pub fn note(&mut self, batch: &Batch, now: Instant) {
        for sample in &batch.samples {
            let reading = (Arc::clone(&batch.device), sample.measured_at);
            if !self.times.contains_key(&reading) {
                self.times.insert(reading.clone(), now);
                self.order.push_back(reading);
            }
        }
        while self.order.len() > TIMES_MAX {
            let oldest = self.order.pop_front().expect("there are too many");
            self.times.remove(&oldest);
        }
    }

    /// When what `device` measured then was published.
    #[must_use]
    pub fn at(&self, device: &str, measured_at: Timestamp) -> Option<Instant> {
        self.times.get(&(device.into(), measured_at)).copied()
    }
}

/// How what was raised compares to what was expected.
#[derive(Debug)]
pub struct Score {
    /// Alerts that had to be raised.
    pub expected: usize,
    /// Alerts that were raised.
    pub raised: usize,
    /// Those that had to be and were not.
    pub missing: Vec<ExpectedAlert>,
    /// Those that were and had not to be, or were raised again.
    pub unexpected: Vec<Raised>,
    /// Start events that repeat an alert.
    pub repeated: usize,
    /// From publishing the deciding reading to the event on the stream.
    pub latency: Latency,
}

impl Score {
    /// Holds `seen` against what was expected of readings that were `published` then.
    #[must_use]
    pub fn new(expected: &[ExpectedAlert], published: &PublishTimes, seen: &Seen) -> Self {
        let wanted: HashSet<_> = expected.iter().map(expected_key).collect();
        let mut found = HashSet::new();
        let mut unexpected = Vec::new();
        for raised in &seen.raised {
            let key = raised_key(raised);
            if !wanted.contains(&key) || !found.insert(key) {
                unexpected.push(raised.clone());
            }
        }
        let is_missing = |alert: &&ExpectedAlert| !found.contains(&expected_key(alert));
        Self {
            expected: expected.len(),
            raised: seen.raised.len(),
            missing: expected.iter().filter(is_missing).cloned().collect(),
            unexpected,
            repeated: seen.repeated,
            latency: Latency::of(seen, published),
        }
    }

    /// Whether every expected alert was raised once, and no other.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.repeated == 0
    }
}

fn expected_key(alert: &ExpectedAlert) -> (&str, &str, Timestamp) {
    (&alert.patient, &alert.rule, alert.onset)
}

fn raised_key(alert: &Raised) -> (&str, &str, Timestamp) {
    (&alert.patient, &alert.rule, alert.onset)
}

/// Percentiles of latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the alerts came within this.
    pub p50: f64,
    /// All but one in a hundred came within this.
    pub p99: f64,
}

impl Latency {
    /// Of the alerts whose deciding reading is known; zero if there are none.
    fn of(seen: &Seen, published: &PublishTimes) -> Self {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let most = micros(LATENCY_MAX);
        let mut histogram: Histogram<u64> =
            Histogram::new_with_max(most, DIGITS).expect("the bounds are constants");
        for raised in &seen.raised {
            let decided_at = raised.decided_by.and_then(|at| published.at(&raised.device, at));
            if let Some(decided_at) = decided_at {
                let latency = raised.received.saturating_duration_since(decided_at);
                histogram.saturating_record(micros(latency));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds")]
        let at = |percentile| histogram.value_at_percentile(percentile) as f64 / 1000.0;
        Self { p50: at(50.0), p99: at(99.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Numbering, Sample, Vital};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn expected(patient: &str, onset: i64) -> ExpectedAlert {
        let (onset, raise_at) = (at(onset), at(onset + 5));
        ExpectedAlert {
            patient: patient.into(),
            rule: "hr-high".into(),
            onset,
            raise_at,
            end_at: None,
            is_end_certain: true,
            priorities: Vec::new(),
            is_retrospective: false,
            is_unconfirmed: false,
            is_certain: true,
            message: 0,
        }
    }

    fn raised(patient: &str, onset: i64, received: Instant) -> Raised {
        Raised {
            alert_id: format!("{patient}-{onset}"),
            patient: patient.to_owned(),
            rule: "hr-high".to_owned(),
            device: format!("device of {patient}"),
            onset: at(onset),
            decided_by: Some(at(onset + 5)),
            received,
        }
    }

    fn seen(raised: Vec<Raised>) -> Seen {
        Seen { raised, ..Seen::default() }
    }

    #[test]
    fn alerts_match_by_patient_rule_and_onset() {
        let now = Instant::now();
        let wanted = [expected("a", 1), expected("b", 1)];
        let seen = seen(vec![raised("b", 1, now), raised("a", 1, now)]);
        assert!(Score::new(&wanted, &PublishTimes::default(), &seen).is_exact());
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let now = Instant::now();
        let wanted = [expected("a", 1), expected("b", 1)];
        let seen = seen(vec![raised("a", 2, now), raised("b", 1, now)]);
        let score = Score::new(&wanted, &PublishTimes::default(), &seen);
        assert_eq!(score.missing, [expected("a", 1)]);
        assert_eq!(score.unexpected, [raised("a", 2, now)]);
        assert!(!score.is_exact());
    }

    #[test]
    fn an_alert_raised_twice_is_one_too_many() {
        let now = Instant::now();
        let twice = seen(vec![raised("a", 1, now), raised("a", 1, now)]);
        let score = Score::new(&[expected("a", 1)], &PublishTimes::default(), &twice);
        assert_eq!((score.missing.len(), score.unexpected.len()), (0, 1));
    }

    #[test]
    fn latency_runs_from_publishing_the_deciding_reading_to_its_event() {
        let began = Instant::now();
        let mut published = PublishTimes::default();
        for (patient, ms) in [("a", 0), ("b", 1000)] {
            let sample = Sample { measured_at: at(6), vital: Vital::HeartRate, value: 120.0 };
            let device = format!("device of {patient}").into();
            let batch = Numbering::new(device, 1).number(vec![sample]);
            published.note(&batch, began + Duration::from_millis(ms));
            published.note(&batch, began + Duration::from_millis(ms + 500));
        }
        let received = |ms| began + Duration::from_millis(ms);
        let seen = seen(vec![raised("a", 1, received(4)), raised("b", 1, received(1020))]);
        let score = Score::new(&[], &published, &seen);
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.05;
        assert!(near(score.latency.p50, 4.0) && near(score.latency.p99, 20.0), "{score:?}");
    }

    #[test]
    fn without_alerts_latency_is_zero() {
        let score = Score::new(&[], &PublishTimes::default(), &Seen::default());
        assert_eq!(score.latency, Latency { p50: 0.0, p99: 0.0 });
    }
}
