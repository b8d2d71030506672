//! The trend: how far a vital has risen or fallen within a window, by measured time.
//!
//! A [`Trend`] follows one vital on one channel for one rule. It cuts the window into slices and
//! keeps of each only count, sum, lowest and highest. The change is the newest slice's mean
//! against the most extreme mean of the window: against the lowest for a rise, the highest for a
//! fall. Where each reading has a slice of its own, as with a scale once a day, this is simply the
//! newest reading against the most extreme one.
//!
//! - One artefact makes no trend. From three readings on, a mean leaves out the lowest and the
//!   highest one, and a slice that has only begun speaks together with the one before it. Of
//!   two readings an artefact counts half, and one all by itself is taken at its word: nothing
//!   near it says otherwise.
//! - A slower rhythm of readings is so seen late by at most one and a half slices, a tenth of the
//!   window.
//! - Older slices fall out of the window; over a gap nothing is interpolated. Fewer readings than
//!   the rule asks for say nothing, and never that all is well.
//! - It fits no line and knows no slope: a fall within minutes counts like one over the window.

use serde::{Deserialize, Serialize};

use super::slices::Slices;
use crate::clock::Timestamp;
use crate::engine::profile::{Side, TrendRule};
use crate::vitals::Quantity;

/// Slices at most. Their 40 bytes each, 640 in all, are the whole memory of a trend.
const SLICES_MAX: u32 = 16;

/// From so many readings on, a mean leaves out the lowest and the highest.
const TRIMMED_FROM: u32 = 3;

/// What one rule remembers of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Trend {
    slices: Slices<Readings, SLICES_MAX>,
}

impl Trend {
    /// Takes a reading, measured no earlier than those before it, and gives the size of the change
    /// in the rule's direction that the window now shows: 0 or more. `None` if the window holds
    /// too few readings.
    pub(in crate::engine) fn add(
        &mut self,
        rule: &TrendRule,
        measured_at: Timestamp,
        value: Quantity,
    ) -> Option<Quantity> {
        self.slices.let_go(rule.window, measured_at);
        self.slices.newest(rule.window, measured_at).add(value);
        let readings: u64 = self.slices.iter().map(|slice| u64::from(slice.count)).sum();
        if readings < u64::from(rule.readings_min) {
            return None;
        }
        let level = self.level()?;
        let change = |from: Quantity| match rule.direction {
            Side::Above => level.minus(from),
            Side::Below => from.minus(level),
        };
        let earlier = self.slices.iter().rev().skip(1);
        earlier.map(Readings::mean).map(change).chain([Quantity::default()]).max()
    }

    /// Where the vital stands now.
    fn level(&self) -> Option<Quantity> {
        let mut from_newest = self.slices.iter().rev();
        let newest = from_newest.next()?;
        let together = match from_newest.next() {
            Some(before) if newest.has_only_begun(before) => newest.joined(before),
            _ => *newest,
        };
        Some(together.mean())
    }
}

/// Readings of one slice, as far as a mean needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Readings {
    count: u32,
    sum: Quantity,
    low: Quantity,
    high: Quantity,
}

impl Default for Readings {
    /// None: joined to others, they change nothing.
    fn default() -> Self {
        Self {
            count: 0,
            sum: Quantity::default(),
            low: Quantity::from_ten_thousandths(i64::MAX),
            high: Quantity::from_ten_thousandths(i64::MIN),
        }
    }
}

impl Readings {
    fn add(&mut self, value: Quantity) {
        *self = self.joined(&Self { count: 1, sum: value, low: value, high: value });
    }

    /// Both together. A sum of possible values stays exact over more readings than a count holds.
    fn joined(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum.plus(other.sum),
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    /// Whether it has too few readings to speak without those before: less than half as many, or
    /// not enough to leave an artefact out where those had.
    fn has_only_begun(&self, before: &Self) -> bool {
        self.count < (before.count / 2).max(before.count.min(TRIMMED_FROM))
    }

    /// Their mean, without the extremes if there are enough, to the nearest ten-thousandth.
    fn mean(&self) -> Quantity {
        let (sum, count) = if self.count < TRIMMED_FROM {
            (self.sum, self.count)
        } else {
            (self.sum.minus(self.low).minus(self.high), self.count - 2)
        };
        let (sum, count) = (sum.ten_thousandths(), i64::from(count));
        let half = count / 2 * sum.signum();
        Quantity::from_ten_thousandths(sum.saturating_add(half) / count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::vitals::Vital;

    fn rule(direction: Side, minutes: u64, readings_min: u32) -> TrendRule {
        TrendRule {
            vital: Vital::Spo2,
            direction,
            window: Duration::from_secs(minutes * 60),
            levels: Vec::new(),
            readings_min,
        }
    }

    /// The change after the last of these readings, each the minute and the value.
    fn change(
        rule: &TrendRule,
        readings: impl IntoIterator<Item = (i64, i64)>,
    ) -> Option<Quantity> {
        let mut trend = Trend::default();
        let mut change = None;
        for (minute, value) in readings {
            let measured_at = Timestamp::from_seconds(minute * 60);
            change = trend.add(rule, measured_at, Quantity::whole(value));
        }
        change
    }

    fn check(rule: &TrendRule, readings: &[(i64, i64)], expected: Option<i64>) {
        let expected = expected.map(Quantity::whole);
        assert_eq!(change(rule, readings.iter().copied()), expected, "{readings:?}");
    }

    const DAY: i64 = 24 * 60;
    const THREE_DAYS: u64 = 3 * 24 * 60;

    #[test]
    fn a_gain_of_two_kilograms_in_three_daily_weighings_is_two() {
        let gain = rule(Side::Above, THREE_DAYS, 2);
        check(&gain, &[(0, 80), (DAY, 81), (2 * DAY, 82)], Some(2));
    }

    #[test]
    fn a_reading_exactly_a_window_ago_counts_and_an_older_one_does_not() {
        let gain = rule(Side::Above, THREE_DAYS, 2);
        check(&gain, &[(0, 80), (DAY, 81), (3 * DAY, 82)], Some(2));
        check(&gain, &[(0, 80), (DAY, 81), (3 * DAY + 1, 82)], Some(1));
    }

    #[test]
    fn a_change_the_other_way_is_none_at_all() {
        check(&rule(Side::Above, THREE_DAYS, 2), &[(0, 80), (DAY, 78)], Some(0));
        check(&rule(Side::Below, THREE_DAYS, 2), &[(0, 80), (DAY, 78)], Some(2));
    }

    #[test]
    fn a_fall_counts_from_the_highest_of_the_window_not_from_its_beginning() {
        let fall = rule(Side::Below, 60, 2);
        check(&fall, &[(0, 94), (20, 97), (40, 95), (55, 92)], Some(5));
    }

    #[test]
    fn too_few_readings_in_the_window_say_nothing() {
        let fall = rule(Side::Below, 60, 3);
        check(&fall, &[(0, 97), (20, 90)], None);
        check(&fall, &[(0, 97), (20, 97), (90, 90)], None);
    }

    #[test]
    fn over_a_gap_longer_than_the_window_nothing_is_interpolated() {
        let fall = rule(Side::Below, 60, 1);
        check(&fall, &[(0, 97), (10, 97), (120, 88)], Some(0));
    }

    #[test]
    fn one_artefact_among_readings_each_minute_is_no_trend() {
        let fall = rule(Side::Below, 60, 10);
        for artefact in 0..90 {
            let readings = (0..90).map(|minute| (minute, if minute == artefact { 60 } else { 97 }));
            assert_eq!(change(&fall, readings), Some(Quantity::default()), "at {artefact}");
        }
    }

    #[test]
    fn a_lasting_fall_is_seen_within_a_tenth_of_the_window() {
        let fall = rule(Side::Below, 60, 10);
        let readings = (0..66).map(|minute| (minute, if minute < 60 { 97 } else { 90 }));
        assert_eq!(change(&fall, readings), Some(Quantity::whole(7)));
    }

    #[test]
    fn a_new_slice_speaks_for_itself_once_it_is_half_full() {
        let fall = rule(Side::Below, 60, 10);
        let mut trend = Trend::default();
        let mut changes = (0..252).map(|step| {
            let value = Quantity::whole(if step < 240 { 97 } else { 90 });
            trend.add(&fall, Timestamp::from_seconds(step * 10), value)
        });
        assert!(changes.nth(250) < Some(Some(Quantity::whole(4))), "11 of 24: with those before");
        assert_eq!(changes.next(), Some(Some(Quantity::whole(7))), "12 of 24: alone");
    }

    #[test]
    fn a_mean_is_rounded_to_the_nearest_halves_away_from_zero() {
        for (values, expected) in [([1, 2], 2), ([-1, -2], -2), ([2, 2], 2)] {
            let mut readings = Readings::default();
            for value in values {
                readings.add(Quantity::from_ten_thousandths(value));
            }
            assert_eq!(readings.mean(), Quantity::from_ten_thousandths(expected));
        }
    }

    #[test]
    fn a_slower_rhythm_does_not_hide_a_fall() {
        let fall = rule(Side::Below, 60, 2);
        let quick = (0..30).map(|minute| (minute, 97));
        assert_eq!(change(&fall, quick.chain([(35, 90), (40, 90)])), Some(Quantity::whole(7)));
    }

    /// Readings at random times, the patient's own values about 97.
    fn readings() -> impl Strategy<Value = Vec<(u64, i64)>> {
        proptest::collection::vec((1..400_u64, 960_000..=980_000_i64), 1..200)
    }

    fn feed(trend: &mut Trend, rule: &TrendRule, readings: &[(u64, i64)]) -> Vec<Option<Quantity>> {
        let mut at = Timestamp::EPOCH;
        let mut changes = Vec::new();
        for (seconds, value) in readings {
            at = at.plus(Duration::from_secs(*seconds));
            changes.push(trend.add(rule, at, Quantity::from_ten_thousandths(*value)));
        }
        changes
    }

    proptest! {
        #[test]
        fn a_restored_trend_goes_on_as_if_never_cut(
            readings in readings(), cut in any::<prop::sample::Index>(),
        ) {
            let rule = rule(Side::Below, 60, 3);
            let mut whole = Trend::default();
            let mut parted = Trend::default();
            let mut at = Timestamp::EPOCH;
            for (index, (seconds, value)) in readings.iter().enumerate() {
                at = at.plus(Duration::from_secs(*seconds));
                let value = Quantity::from_ten_thousandths(*value);
                if index == cut.index(readings.len()) {
                    let bytes = postcard::to_stdvec(&parted).unwrap();
                    parted = postcard::from_bytes(&bytes).unwrap();
                }
                prop_assert_eq!(whole.add(&rule, at, value), parted.add(&rule, at, value));
            }
            prop_assert_eq!(whole, parted);
        }

        #[test]
        fn the_hour_on_the_clock_has_no_part_in_it(
            readings in readings(), later in 0..100_000_u64,
        ) {
            let rule = rule(Side::Above, 60, 3);
            let mut shifted = readings.clone();
            shifted[0].0 += later;
            let (mut one, mut other) = (Trend::default(), Trend::default());
            prop_assert_eq!(feed(&mut one, &rule, &readings), feed(&mut other, &rule, &shifted));
        }

        #[test]
        fn a_steady_patient_never_shows_more_than_the_own_spread(readings in readings()) {
            for direction in [Side::Above, Side::Below] {
                let changes = feed(&mut Trend::default(), &rule(direction, 60, 1), &readings);
                prop_assert!(changes.iter().flatten().all(|change| *change <= Quantity::whole(2)));
                prop_assert!(changes.iter().flatten().all(|change| *change >= Quantity::default()));
            }
        }

        #[test]
        fn of_close_readings_one_artefact_never_makes_a_trend(
            mut readings in proptest::collection::vec((1..60_u64, 960_000..=980_000_i64), 4..300),
            artefact in any::<prop::sample::Index>(), value in 0..1_000_000_i64,
        ) {
            let at = artefact.index(readings.len());
            readings[at].1 = value;
            for direction in [Side::Above, Side::Below] {
                let changes = feed(&mut Trend::default(), &rule(direction, 60, 4), &readings);
                prop_assert!(changes.iter().flatten().all(|change| *change <= Quantity::whole(2)));
            }
        }

        #[test]
        fn a_ramp_is_noticed_nearly_in_full(seconds in 1..120_i64, per_hour in 4..40_i64) {
            let rule = rule(Side::Below, 60, 10);
            let mut trend = Trend::default();
            let mut seen = None;
            for at in (0..=3600 / seconds).map(|step| step * seconds) {
                let value = Quantity::from_ten_thousandths(1_000_000 - per_hour * 10_000 * at / 3600);
                seen = trend.add(&rule, Timestamp::from_seconds(at), value);
            }
            let all = Quantity::whole(per_hour);
            prop_assert!(seen >= Some(all.scaled(4, 5)) && seen <= Some(all), "{seen:?}");
        }

        #[test]
        fn its_memory_is_bounded(
            readings in proptest::collection::vec((0..900_u64, any::<i64>()), 1..400),
        ) {
            let mut trend = Trend::default();
            feed(&mut trend, &rule(Side::Below, 60, 1), &readings);
            prop_assert!(trend.slices.iter().count() <= SLICES_MAX as usize);
        }
    }
}
