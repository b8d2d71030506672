//! When a patient's device must be called silent.
//!
//! `docs/alarms.md`, sections 4 and 9. What counts is what arrives, by the service's clock, which
//! stands still while nothing can reach it. All of this is known from outside only to within
//! [`SLACK`] and the length of outages: each silence is a span in which its alert must start, or may.

use super::outages::Outages;
use super::profile::{Micros, SilenceRule};

/// How long after its time an alert of silence may start, and how exactly arrivals are known.
pub const SLACK: Micros = 3_000_000;
/// For how long after an outage the clock may stand still.
const DRAIN_MAX: Micros = 60_000_000;

/// A reading that breaks the silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The earliest and the latest moment at which the service can have received it.
    pub received: (Micros, Micros),
    /// Whether it counts for sure.
    pub is_sure: bool,
}

/// For how long, and how, a device is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The earliest and the latest moment from which on it is.
    pub from: (Micros, Micros),
    /// Until when, if its binding has ended.
    pub until: Option<Micros>,
    /// Up to when the run can tell what must have happened.
    pub seen_until: Micros,
    /// How often it measures the vital.
    pub every: Micros,
    /// The binding's interval between uploads.
    pub upload_interval: Micros,
    /// Whether it is known to measure the vital at all.
    pub is_sure: bool,
}

/// A time without readings, long enough that the alert must start, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The earliest and the latest moment at which its alert starts.
    pub start: (Micros, Micros),
    /// The latest moment at which the reading that ends it was received; `None` if none came.
    pub ended_by: Option<Micros>,
    /// Whether it must be told; else it may.
    pub is_certain: bool,
}

/// The silences between `arrivals`, which stand in the order of receipt.
#[must_use]
pub fn expect(
    rule: &SilenceRule,
    listening: &Listening,
    arrivals: &[Arrival],
    outages: &Outages,
) -> Vec<Silence> {
    let threshold = threshold(rule, listening);
    let outages = outages.drained(DRAIN_MAX);
    let mut silences = certain(threshold, listening, arrivals, &outages);
    let is_new = |possible: &Silence| {
        let meets = |it: &Silence| it.start.0 <= possible.start.1 && possible.start.0 <= it.start.1;
        !silences.iter().any(meets)
    };
    let more: Vec<_> =
        possible(threshold, listening, arrivals).into_iter().filter(is_new).collect();
    silences.extend(more);
    silences.sort_by_key(|it| it.start);
    silences
}

/// For how long nothing must come.
fn threshold(rule: &SilenceRule, listening: &Listening) -> Micros {
    #[expect(clippy::cast_possible_truncation, reason = "spans of days at most")]
    #[expect(clippy::cast_precision_loss, reason = "spans of days at most")]
    let expected = (rule.intervals * listening.every as f64) as Micros;
    expected.max(rule.at_least) + listening.upload_interval
}

/// What must be told, by all that may have broken the silence.
fn certain(
    threshold: Micros,
    listening: &Listening,
    arrivals: &[Arrival],
    outages: &Outages,
) -> Vec<Silence> {
    let end = listening.until.unwrap_or(listening.seen_until).min(listening.seen_until);
    let gaps = gaps(listening.from, arrivals.iter().map(|it| it.received));
    let told = |((early, late), next): ((Micros, Micros), Option<(Micros, Micros)>)| {
        let until = next.map_or(end, |it| it.0.min(end));
        let still = outages.within(early, until);
        let lasts = until - late - still > threshold + SLACK;
        (lasts && listening.is_sure).then_some(Silence {
            start: (early + threshold - SLACK, late + threshold + still + SLACK),
            ended_by: next.map(|it| it.1 + SLACK),
            is_certain: true,
        })
    };
    gaps.into_iter().filter_map(told).collect()
}

/// What may be told, by what has broken the silence for sure.
fn possible(threshold: Micros, listening: &Listening, arrivals: &[Arrival]) -> Vec<Silence> {
    let sure = arrivals.iter().filter(|it| it.is_sure).map(|it| it.received);
    let end = listening.until.map(|it| it + SLACK);
    let told = |((early, _), next): ((Micros, Micros), Option<(Micros, Micros)>)| {
        let until = next.map(|it| it.1 + SLACK).or(end).unwrap_or(Micros::MAX);
        let earliest = early + threshold - SLACK;
        (until >= earliest).then_some(Silence {
            start: (earliest, until),
            ended_by: next.map(|it| it.1 + SLACK),
            is_certain: false,
        })
    };
    gaps(listening.from, sure).into_iter().filter_map(told).collect()
}

type Moment = (Micros, Micros);

/// What lies between the beginning and the first arrival, between each two, and after the last.
fn gaps(from: Moment, arrivals: impl Iterator<Item = Moment>) -> Vec<(Moment, Option<Moment>)> {
    let mut gaps = Vec::new();
    let mut last = from;
    for arrival in arrivals {
        gaps.push((last, Some(arrival)));
        last = arrival;
    }
    gaps.push((last, None));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    const S: Micros = 1_000_000;

    fn rule() -> SilenceRule {
        let (vital, priority) = (v1::Vital::Spo2, v1::Priority::Medium);
        SilenceRule { vital, intervals: 3.0, at_least: 0, priority }
    }

    fn listening() -> Listening {
        Listening {
            from: (0, 0),
            until: None,
            seen_until: 1000 * S,
            every: 60 * S,
            upload_interval: 0,
            is_sure: true,
        }
    }

    /// Silences that must be told of a device heard at these seconds: when each starts, about.
    fn check(listening: Listening, heard: &[i64], outages: &[(i64, i64)], expected: &[i64]) {
        let arrival = |at: &i64| Arrival { received: (at * S, at * S), is_sure: true };
        let arrivals: Vec<_> = heard.iter().map(arrival).collect();
        let outages = outages.iter().map(|(from, until)| (from * S, until * S)).collect();
        let found = expect(&rule(), &listening, &arrivals, &Outages::new(outages));
        let certain: Vec<_> = found.iter().filter(|it| it.is_certain).collect();
        assert_eq!(certain.len(), expected.len(), "{heard:?}: {found:?}");
        for (silence, at) in certain.iter().zip(expected) {
            assert!((silence.start.0..=silence.start.1).contains(&(at * S)), "{silence:?}");
        }
    }

    #[test]
    fn three_intervals_without_a_reading_are_silence() {
        check(listening(), &[0, 60, 120, 540, 600, 660, 720, 780, 840, 900], &[], &[300]);
        check(Listening { seen_until: 500 * S, ..listening() }, &[0, 60, 120], &[], &[300]);
    }

    #[test]
    fn a_device_that_never_reports_is_silent_from_its_binding_on() {
        check(Listening { from: (100 * S, 100 * S), ..listening() }, &[], &[], &[280]);
    }

    #[test]
    fn the_upload_interval_and_the_least_span_come_on_top() {
        let uploads = Listening { upload_interval: 600 * S, ..listening() };
        check(uploads, &[10], &[], &[790]);
        let often = Listening { every: S, ..listening() };
        let patient = SilenceRule { at_least: 120 * S, ..rule() };
        let arrivals = [Arrival { received: (0, 0), is_sure: true }];
        let found = expect(&patient, &often, &arrivals, &Outages::default());
        assert_eq!(
            found.iter().find(|it| it.is_certain).map(|it| it.start),
            Some((117 * S, 123 * S))
        );
    }

    #[test]
    fn the_clock_stands_still_in_an_outage() {
        check(
            listening(),
            &[0, 60, 500, 560, 620, 680, 740, 800, 860, 920, 980],
            &[(100, 450)],
            &[],
        );
        check(Listening { seen_until: 900 * S, ..listening() }, &[0, 60], &[(100, 450)], &[600]);
    }

    #[test]
    fn what_may_be_silence_is_told_as_such() {
        let arrivals =
            [0, 179, 360].map(|at| Arrival { received: (at * S, at * S), is_sure: true });
        let brief = Listening { seen_until: 400 * S, ..listening() };
        let found = expect(&rule(), &brief, &arrivals, &Outages::default());
        assert!(found.iter().all(|it| !it.is_certain), "{found:?}");
        assert_eq!(found.len(), 3, "two that are close, and one after the end: {found:?}");
    }
}
