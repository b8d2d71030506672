//! The baseline: what is usual for this patient, and how far from it a value lies.
//!
//! A [`Baseline`] learns one vital for one rule. Its usual value is the median of the history and
//! its spread the median distance from there (MAD): neither notices a few odd values. A deviation
//! is a robust z, `(value - median) / (1.4826 × max(MAD, smallest spread))`, all in integers.
//!
//! **Resolution.** Values are counted in bins as wide as devices report that vital, each taken as
//! spread evenly over its bin. So the median is within half a bin of the true one, and a rate told
//! in whole numbers has a spread between them. 128 bins a slice are more than a patient's own
//! values fill; beyond that a value goes to the nearest bin, where it still counts on its side.
//!
//! **What is learned**, so that a deterioration is not:
//! - Nothing while the caller doesn't [`add`](Baseline::add), as during an alert of the rule. What
//!   is unusual for long is so never declared usual by itself; somebody has to decide it.
//! - Once there is a baseline, nothing that lies beyond [`LEARNED_Z_MAX`] on either side. It is an
//!   artefact or another state of the patient.
//! - But what is not learned still lets the history age. A level that has changed for good, and
//!   raises nothing, is learned when the old one has fallen out: after one history at most. (It is
//!   then unknown again what is usual, until there are enough readings.)
//!
//! A drift over the whole history is followed and not noticed: limit, trend and score rules see to
//! that. Nor does it know of day and night, sleep or exercise.

use serde::{Deserialize, Serialize};

use super::slices::Slices;
use crate::clock::Timestamp;
use crate::engine::profile::{BaselineRule, Side};
use crate::vitals::{Quantity, Vital};

/// Slices of the history: an eighth of it at a time is forgotten.
const SLICES_MAX: u32 = 8;

/// Bins of one slice at most. At 8 bytes a bin, a baseline takes 8 KiB at most; a heart rate that
/// wanders over 40 beats within a few hours, a third of that.
const BINS_MAX: usize = 128;

/// Median and MAD are reckoned anew when this share of the history, one in so many readings, has
/// come in since, or some of it has gone: what they have not seen yet cannot move them by much.
const RECKONED_EACH: u64 = 32;

/// Values further from the median than this many robust standard deviations are not learned.
const LEARNED_Z_MAX: Quantity = Quantity::whole(6);

/// What one rule has learned of one patient's vital.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Baseline {
    history: Slices<Histogram, SLICES_MAX>,
    /// As last reckoned; `None` while there are too few readings.
    usual: Option<Usual>,
    /// How many readings have been learned since.
    unreckoned: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Usual {
    median: Quantity,
    /// Median distance from the median.
    spread: Quantity,
}

impl Baseline {
    /// Takes a reading, measured no earlier than those before it, and learns it if it may.
    pub(in crate::engine) fn add(
        &mut self,
        rule: &BaselineRule,
        measured_at: Timestamp,
        value: Quantity,
    ) {
        if self.history.let_go(rule.history, measured_at) {
            self.reckon(rule);
        }
        if self.z(rule, value).is_some_and(|z| z > LEARNED_Z_MAX || z < LEARNED_Z_MAX.scaled(-1, 1))
        {
            return;
        }
        let bin = Bins::of(rule.vital).holding(value);
        self.history.newest(rule.history, measured_at).count(bin);
        self.unreckoned += 1;
        if self.usual.is_none() || self.unreckoned * RECKONED_EACH >= self.readings() {
            self.reckon(rule);
        }
    }

    /// How far `value` lies beyond the usual on the rule's side, in robust standard deviations;
    /// negative on the other side. By the history as of the last reading added; `None` while that
    /// has fewer readings than the rule asks for.
    pub(in crate::engine) fn deviation(
        &self,
        rule: &BaselineRule,
        value: Quantity,
    ) -> Option<Quantity> {
        let z = self.z(rule, value)?;
        Some(match rule.side {
            Side::Above => z,
            Side::Below => z.scaled(-1, 1),
        })
    }

    /// The robust z of `value`, positive above the median.
    fn z(&self, rule: &BaselineRule, value: Quantity) -> Option<Quantity> {
        let usual = self.usual?;
        let spread = usual.spread.max(rule.spread_min).ten_thousandths().max(1);
        // 1.4826: of normally distributed values, standard deviations to a MAD.
        Some(value.minus(usual.median).scaled(10_000 * 10_000, spread.saturating_mul(14_826)))
    }

    /// How many readings the history holds.
    fn readings(&self) -> u64 {
        self.history.iter().map(|slice| u64::from(slice.readings)).sum()
    }

    fn reckon(&mut self, rule: &BaselineRule) {
        self.unreckoned = 0;
        let readings_min = u64::from(rule.readings_min).max(1);
        let is_enough = self.readings() >= readings_min;
        self.usual = is_enough.then(|| self.usual(Bins::of(rule.vital)));
    }

    /// Median and MAD: the value below which half of the history lies, and the distance from it
    /// within which half does.
    fn usual(&self, bins: Bins) -> Usual {
        let half = i64::try_from(self.readings()).unwrap_or(i64::MAX).saturating_mul(bins.width);
        let holds_half = |low, high| self.mass(bins, low, high).saturating_mul(2) >= half;
        let edges = || self.history.iter().flat_map(Histogram::ends).map(|bin| bins.edges(bin));
        let lowest = edges().map(|(low, _)| low).min().unwrap_or(0);
        let highest = edges().map(|(_, high)| high).max().unwrap_or(0);
        let median = least(lowest, highest, |value| holds_half(lowest, value));
        let spread = least(0, highest - lowest, |far| holds_half(median - far, median + far));
        Usual {
            median: Quantity::from_ten_thousandths(median),
            spread: Quantity::from_ten_thousandths(spread),
        }
    }

    /// How much of the history lies between `low` and `high`: a reading weighs a bin's width.
    fn mass(&self, bins: Bins, low: i64, high: i64) -> i64 {
        let within = |bin: &Bin| {
            let (bin_low, bin_high) = bins.edges(bin.number);
            (high.min(bin_high) - low.max(bin_low)).max(0) * i64::from(bin.count)
        };
        self.history.iter().flat_map(|slice| &slice.bins).map(within).sum()
    }
}

/// The least number from `low` to `high` that is enough, where every greater one is too and
/// `high` is.
fn least(mut low: i64, mut high: i64, is_enough: impl Fn(i64) -> bool) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// How a vital's values are put into bins.
#[derive(Clone, Copy, Debug)]
struct Bins {
    /// In ten-thousandths, even.
    width: i64,
}

impl Bins {
    /// As finely as devices report the vital.
    const fn of(vital: Vital) -> Self {
        let width = match vital {
            Vital::HeartRate
            | Vital::PulseRate
            | Vital::Spo2
            | Vital::RespiratoryRate
            | Vital::SystolicPressure
            | Vital::DiastolicPressure
            | Vital::MeanPressure
            | Vital::Consciousness => 10_000,
            Vital::BodyTemperature
            | Vital::SkinTemperature
            | Vital::Weight
            | Vital::PerfusionIndex => 1_000,
            Vital::OxygenFlow => 5_000,
            Vital::BloodGlucose => 50_000,
            Vital::Steps => 1_000_000,
        };
        Self { width }
    }

    /// The number of the bin that holds `value`: bin 0 has its centre at 0.
    fn holding(self, value: Quantity) -> i32 {
        let number =
            (value.ten_thousandths().saturating_add(self.width / 2)).div_euclid(self.width);
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    fn edges(self, number: i32) -> (i64, i64) {
        let centre = i64::from(number) * self.width;
        (centre - self.width / 2, centre + self.width / 2)
    }
}

/// How often each value occurred in one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Histogram {
    readings: u32,
    /// Those that hold something, by rising number.
    bins: Vec<Bin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    number: i32,
    count: u32,
}

impl Histogram {
    fn count(&mut self, number: i32) {
        self.readings = self.readings.saturating_add(1);
        let at = match self.bins.binary_search_by_key(&number, |bin| bin.number) {
            Ok(at) => at,
            Err(at) if self.bins.len() < BINS_MAX => {
                self.bins.insert(at, Bin { number, count: 0 });
                at
            }
            Err(at) => self.nearest(at, number),
        };
        self.bins[at].count = self.bins[at].count.saturating_add(1);
    }

    /// Of the full bins on both sides of place `at`, the nearer one to `number`, or the lower.
    fn nearest(&self, at: usize, number: i32) -> usize {
        let far = |at: usize| self.bins.get(at).map_or(u32::MAX, |bin| bin.number.abs_diff(number));
        match at.checked_sub(1) {
            Some(below) if far(below) <= far(at) => below,
            _ => at,
        }
    }

    /// The numbers of its lowest and its highest bin.
    fn ends(&self) -> impl Iterator<Item = i32> {
        self.bins.first().into_iter().chain(self.bins.last()).map(|bin| bin.number)
    }
}

#[cfg(test)]
mod tests;
