//! Latencies as distributions, and figures of several rounds as one.
//!
//! Times are whole microseconds, kept to three digits, up to an hour. The sum of two independent
//! distributions is computed from their quantiles: a percentile of a sum is not the sum of the
//! percentiles, and adding those would flatter whoever is compared with it.

use std::time::Duration;

use hdrhistogram::Histogram;

const MICROS_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
/// Points of each distribution that a sum is made of: a million pairs, so that the sum's 99.9th
/// percentile still rests on a thousand of them.
const POINTS: u32 = 1000;

/// How long something took, many times.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_max(MICROS_MAX, DIGITS).expect("the bounds are constants"))
    }
}

impl Latencies {
    /// Adds one; what is longer than an hour counts as an hour.
    pub(super) fn record_micros(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    /// Adds one.
    pub(super) fn record(&mut self, took: Duration) {
        self.record_micros(u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// Adds those of another round.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds within which this share of them was done.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an hour in microseconds is exact")]
        let micros = self.0.value_at_quantile(share) as f64;
        micros / 1000.0
    }

    /// How long both take, one after the other, where neither knows of the other. Empty if either
    /// is.
    pub(super) fn then(&self, other: &Self) -> Self {
        let mut sum = Self::default();
        if self.count() == 0 || other.count() == 0 {
            return sum;
        }
        let (first, second) = (self.points(), other.points());
        for one in &first {
            second.iter().for_each(|another| sum.record_micros(one + another));
        }
        sum
    }

    /// Values at evenly spaced shares, each in the middle of its own.
    fn points(&self) -> Vec<u64> {
        let share = |point: u32| (f64::from(point) + 0.5) / f64::from(POINTS);
        (0..POINTS).map(|point| self.0.value_at_quantile(share(point))).collect()
    }
}

/// The median of what several rounds measured; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        micros.into_iter().for_each(|micros| latencies.record_micros(micros));
        latencies
    }

    fn check(latencies: &Latencies, share: f64, expected_ms: f64) {
        let found = latencies.quantile_ms(share);
        assert!((found / expected_ms - 1.0).abs() < 0.01, "{share}: {found} for {expected_ms}");
    }

    #[test]
    fn a_sum_of_two_constants_is_their_sum() {
        let sum = latencies([2000; 10]).then(&latencies([3000; 5]));
        [0.5, 0.99, 0.999].into_iter().for_each(|share| check(&sum, share, 5.0));
    }

    #[test]
    fn two_rare_delays_seldom_meet() {
        // Each is 1 ms, and 101 ms in 5 of 100 cases: both meet in a quarter of a percent.
        let rare = || latencies((0..100).map(|case| if case < 5 { 101_000 } else { 1000 }));
        let sum = rare().then(&rare());
        check(&sum, 0.5, 2.0);
        check(&sum, 0.99, 102.0);
        check(&sum, 0.999, 202.0);
    }

    #[test]
    fn a_sum_with_nothing_is_nothing() {
        assert_eq!(latencies([1]).then(&Latencies::default()).count(), 0);
    }

    #[test]
    fn a_median_lies_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
