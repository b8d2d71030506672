//! Which alerts a stream of samples must raise, by the plain reading of the rule.
//!
//! A breach that began at t raises at the first breaching sample measured at t + delay or later,
//! if no sample in between did not breach. Two samples further apart than the largest gap are not
//! one breach: the second begins a new one. An active alert ends at the first sample that does
//! not breach; a gap does not end it.
//!
//! This is the simulators' own reading of the contract, written to be checked by eye. It shares
//! nothing with the service, and knows neither levels, lateness nor implausible values: devices
//! that are judged by it send none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::sample::{Sample, Vital};

/// A limit on one vital of every patient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its id in the profile.
    pub id: &'static str,
    /// What it watches.
    pub vital: Vital,
    /// Which values breach.
    pub limit: Limit,
    /// How long a breach lasts before it raises.
    pub delay: SignedDuration,
    /// The largest distance of two samples of one breach.
    pub max_gap: SignedDuration,
}

/// A limit and the side on which a value breaches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Values strictly above breach.
    Above(f64),
    /// Values strictly below breach.
    Below(f64),
}

impl Limit {
    /// Whether `value` lies strictly beyond it.
    #[must_use]
    pub fn is_breached_by(self, value: f64) -> bool {
        match self {
            Self::Above(limit) => value > limit,
            Self::Below(limit) => value < limit,
        }
    }
}

/// An alert that must be raised, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    /// Whose.
    pub patient: Arc<str>,
    /// By which rule.
    pub rule: &'static str,
    /// When the first sample of the breach was measured.
    pub onset: Timestamp,
    /// When the sample that raises it was measured.
    pub raise_at: Timestamp,
    /// When the sample that ends it was measured, if one did.
    pub end_at: Option<Timestamp>,
}

/// Judges the samples of a ward. Each patient wears one device.
#[derive(Debug)]
pub struct Oracle {
    rules: &'static [Rule],
    breaches: BTreeMap<(Arc<str>, &'static str), Breach>,
    expected: Vec<ExpectedAlert>,
}

/// Where one rule stands for one patient.
#[derive(Clone, Copy, Debug)]
struct Breach {
    onset: Timestamp,
    last: Timestamp,
    /// Its place among the expected alerts, once it has raised.
    alert: Option<usize>,
}

impl Oracle {
    /// Judges by these rules.
    #[must_use]
    pub fn new(rules: &'static [Rule]) -> Self {
        Self { rules, breaches: BTreeMap::new(), expected: Vec::new() }
    }

    /// Takes the next sample of `patient`, in measured order.
    pub fn observe(&mut self, patient: &Arc<str>, sample: &Sample) {
        for rule in self.rules {
            if rule.vital == sample.vital {
                self.judge(rule, patient, sample);
            }
        }
    }

    /// The alerts so far, in the order in which they raise.
    #[must_use]
    pub fn into_expected(self) -> Vec<ExpectedAlert> {
        self.expected
    }

    fn judge(&mut self, rule: &Rule, patient: &Arc<str>, sample: &Sample) {
        let at = sample.measured_at;
        let key = (Arc::clone(patient), rule.id);
        if !rule.limit.is_breached_by(sample.value) {
            let ended = self.breaches.remove(&key).and_then(|breach| breach.alert);
            if let Some(alert) = ended {
                self.expected[alert].end_at = Some(at);
            }
            return;
        }
        let fresh = Breach { onset: at, last: at, alert: None };
        let breach = self.breaches.entry(key).or_insert(fresh);
        if at.duration_since(breach.last) > rule.max_gap {
            breach.onset = at;
        }
        breach.last = at;
        if breach.alert.is_none() && at.duration_since(breach.onset) >= rule.delay {
            breach.alert = Some(self.expected.len());
            self.expected.push(ExpectedAlert {
                patient: Arc::clone(patient),
                rule: rule.id,
                onset: breach.onset,
                raise_at: at,
                end_at: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule] = &[Rule {
        id: "hr-high",
        vital: Vital::HeartRate,
        limit: Limit::Above(100.0),
        delay: SignedDuration::from_secs(5),
        max_gap: SignedDuration::from_millis(1500),
    }];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    /// Heart rates, one a second; `0` is a second without a sample. Expected: (onset, raise, end).
    fn check(rates: &[u8], expected: &[(i64, i64, Option<i64>)]) {
        let patient: Arc<str> = "p".into();
        let mut oracle = Oracle::new(RULES);
        for (second, rate) in (0..).zip(rates).filter(|(_, rate)| **rate != 0) {
            let value = f64::from(*rate);
            let sample = Sample { measured_at: at(second), vital: Vital::HeartRate, value };
            oracle.observe(&patient, &sample);
        }
        let found = oracle.into_expected();
        let expected: Vec<_> = expected
            .iter()
            .map(|(onset, raise, end)| ExpectedAlert {
                patient: Arc::clone(&patient),
                rule: "hr-high",
                onset: at(*onset),
                raise_at: at(*raise),
                end_at: end.map(at),
            })
            .collect();
        assert_eq!(found, expected, "{rates:?}");
    }

    #[test]
    fn a_breach_raises_when_it_has_lasted_the_delay() {
        check(&[90, 120, 120, 120, 120, 120], &[]);
        check(&[90, 120, 120, 120, 120, 120, 120], &[(1, 6, None)]);
    }

    #[test]
    fn the_limit_itself_does_not_breach() {
        check(&[100; 12], &[]);
        check(&[101; 6], &[(0, 5, None)]);
    }

    #[test]
    fn a_sample_that_does_not_breach_starts_the_delay_anew() {
        check(&[120, 120, 120, 120, 120, 90, 120, 120, 120, 120, 120], &[]);
        check(&[120, 90, 120, 120, 120, 120, 120, 120], &[(2, 7, None)]);
    }

    #[test]
    fn a_gap_starts_the_delay_anew() {
        check(&[120, 120, 120, 120, 0, 120, 120, 120, 120, 120], &[]);
        check(&[120, 120, 120, 120, 0, 120, 120, 120, 120, 120, 120], &[(5, 10, None)]);
    }

    #[test]
    fn an_active_alert_ends_at_the_first_sample_that_does_not_breach_and_not_in_a_gap() {
        check(&[120, 120, 120, 120, 120, 120, 0, 0, 0, 120, 90, 90], &[(0, 5, Some(10))]);
    }

    #[test]
    fn the_same_limit_can_raise_again_after_an_end() {
        let twice = [[120; 6].as_slice(), &[90], &[120; 6], &[90]].concat();
        check(&twice, &[(0, 5, Some(6)), (7, 12, Some(13))]);
    }

    #[test]
    fn patients_and_other_vitals_do_not_mix() {
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let mut oracle = Oracle::new(RULES);
        for second in 0..12 {
            let patient = if second % 2 == 0 { &one } else { &other };
            let sample = |vital| Sample { measured_at: at(second), vital, value: 120.0 };
            oracle.observe(patient, &sample(Vital::HeartRate));
            oracle.observe(&one, &sample(Vital::PulseRate));
        }
        assert_eq!(oracle.into_expected(), [], "every second sample is missing to each");
    }
}
