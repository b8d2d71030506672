//! What a baseline learns, what it refuses to learn, and that it is the same wherever it was cut.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 60;

/// A rule over 24 hours of heart rates, one a minute and so 8 slices of up to 206.
fn rule(side: Side) -> BaselineRule {
    BaselineRule {
        vital: Vital::HeartRate,
        side,
        history: Duration::from_secs(24 * 60 * 60),
        readings_min: 60,
        spread_min: Quantity::whole(2),
        levels: Vec::new(),
        clear_delay: Duration::ZERO,
    }
}

/// A baseline that is told one value a minute.
struct Told {
    rule: BaselineRule,
    baseline: Baseline,
    minute: u64,
}

impl Told {
    fn nothing(rule: BaselineRule) -> Self {
        Self { rule, baseline: Baseline::default(), minute: 0 }
    }

    fn then(mut self, values: impl IntoIterator<Item = i64>) -> Self {
        for value in values {
            self.minute += 1;
            let measured_at = Timestamp::EPOCH.plus(Duration::from_secs(self.minute * 60));
            self.baseline.add(&self.rule, measured_at, Quantity::whole(value));
        }
        self
    }

    fn deviation(&self, value: i64) -> Option<Quantity> {
        self.baseline.deviation(&self.rule, Quantity::whole(value))
    }

    fn usual(&self) -> (Quantity, Quantity) {
        let usual = self.baseline.usual.expect("a baseline");
        (usual.median, usual.spread)
    }
}

/// Heart rates about `centre`, each minute another.
fn about(centre: i64, hours: u64) -> impl Iterator<Item = i64> {
    (0..hours * HOUR)
        .zip([0, 2, -1, 4, -3, 1, -2, 3, -4].into_iter().cycle())
        .map(move |(_, by)| centre + by)
}

fn tenths(z: Option<Quantity>) -> Option<i64> {
    z.map(|z| z.ten_thousandths() / 1_000)
}

#[test]
fn before_enough_readings_there_is_no_baseline() {
    let told = Told::nothing(rule(Side::Above)).then(about(70, 1).take(59));
    assert_eq!(told.deviation(200), None);
    assert!(told.then([70]).deviation(200).is_some());
}

#[test]
fn the_usual_is_median_and_median_distance() {
    let told = Told::nothing(rule(Side::Above)).then(about(70, 6));
    let (median, spread) = told.usual();
    assert_eq!((median, spread), (Quantity::whole(70), Quantity::from_ten_thousandths(22_500)));
}

#[test]
fn a_deviation_counts_in_robust_deviations_on_the_rules_side() {
    let above = Told::nothing(rule(Side::Above)).then(about(70, 6));
    assert_eq!(tenths(above.deviation(80)), Some(29), "10 / (1.4826 × 2.25)");
    assert_eq!(tenths(above.deviation(60)), Some(-29));
    let below = Told::nothing(rule(Side::Below)).then(about(70, 6));
    assert_eq!(tenths(below.deviation(60)), Some(29));
}

#[test]
fn a_value_that_never_changes_has_the_smallest_spread() {
    let told = Told::nothing(rule(Side::Above)).then([70; 100]);
    assert_eq!(tenths(told.deviation(76)), Some(20), "6 / (1.4826 × 2)");
}

#[test]
fn a_handful_of_artefacts_moves_nothing() {
    let clean = Told::nothing(rule(Side::Above)).then(about(70, 6));
    let odd = Told::nothing(rule(Side::Above)).then(about(70, 6)).then([180; 9]);
    assert_eq!(odd.usual(), clean.usual());
}

#[test]
fn a_sudden_deterioration_is_not_learned_on_either_side() {
    for (side, rate) in [(Side::Above, 110), (Side::Below, 110), (Side::Above, 30)] {
        let told = Told::nothing(rule(side)).then(about(70, 24)).then(about(rate, 12));
        assert_eq!(told.usual().0, Quantity::whole(70), "{rate}");
    }
}

#[test]
fn a_level_that_has_changed_for_good_is_learned_after_one_history() {
    let told = Told::nothing(rule(Side::Above)).then(about(70, 24)).then(about(110, 20));
    assert!(told.deviation(110) > Some(Quantity::whole(6)));
    let told = told.then(about(110, 5));
    assert_eq!(tenths(told.deviation(110)), Some(0));
}

#[test]
fn a_ramp_of_a_few_hours_is_noticed() {
    let ramp = (0..4 * 60).map(|minute| 70 + minute / 8);
    let told = Told::nothing(rule(Side::Above)).then(about(70, 24)).then(ramp);
    assert!(told.deviation(100) > Some(Quantity::whole(6)));
}

#[test]
fn a_drift_over_the_whole_history_is_followed_and_not_noticed() {
    let drift = (0..72 * 60).map(|minute| 70 + minute / 144);
    let told = Told::nothing(rule(Side::Above)).then(drift);
    assert!(told.deviation(100) < Some(Quantity::whole(3)));
}

#[test]
fn after_a_gap_longer_than_the_history_it_learns_anew() {
    let mut told = Told::nothing(rule(Side::Above)).then(about(70, 24));
    told.minute += 25 * HOUR;
    let told = told.then([70]);
    assert_eq!(told.deviation(200), None);
}

#[test]
fn as_many_readings_as_are_needed_are_a_baseline_again() {
    let mut told = Told::nothing(rule(Side::Above)).then(about(70, 2));
    told.minute = 1_300;
    told = told.then([70; 59]);
    told.minute = 1_500;
    assert_eq!(told.then([70]).deviation(70), Some(Quantity::default()), "59 were left");
}

#[test]
fn a_value_between_two_bins_counts_in_the_nearer() {
    let rule = BaselineRule { vital: Vital::BodyTemperature, readings_min: 1, ..rule(Side::Above) };
    for (value, median) in [(366_600, 367_000), (366_400, 366_000), (366_500, 367_000)] {
        let mut baseline = Baseline::default();
        baseline.add(&rule, Timestamp::EPOCH, Quantity::from_ten_thousandths(value));
        let usual = baseline.usual.map(|usual| usual.median.ten_thousandths());
        assert_eq!(usual, Some(median), "{value}");
    }
}

#[test]
fn a_slice_with_all_bins_full_counts_a_value_with_its_nearest() {
    let mut slice = Histogram::default();
    for number in 0..200 {
        slice.count(number * 2);
    }
    assert_eq!((slice.readings, slice.bins.len()), (200, BINS_MAX));
    assert_eq!(slice.bins.last().map(|bin| (bin.number, bin.count)), Some((254, 73)));
    slice.count(-5);
    slice.count(101);
    assert_eq!((slice.bins[0].count, slice.bins[50].count), (2, 2));
}

/// Median and MAD of whole numbers by sorting, as doubles of themselves to stay whole.
fn sorted_usual(values: &[i64]) -> (i64, i64) {
    let middle_doubled = |mut values: Vec<i64>| {
        values.sort_unstable();
        values[(values.len() - 1) / 2] + values[values.len() / 2]
    };
    let median = middle_doubled(values.to_vec());
    let distances = values.iter().map(|value| (2 * value - median).abs()).collect();
    (median, middle_doubled(distances) / 2)
}

fn rates() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(60..100_i64, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn median_and_mad_are_those_of_the_sorted_values_within_a_bin(rates in rates()) {
        let odd = &rates[..rates.len() - (rates.len() + 1) % 2];
        prop_assume!(odd.len() >= 3);
        let always = BaselineRule { readings_min: u32::MAX, ..rule(Side::Above) };
        let told = Told::nothing(always).then(odd.iter().copied());
        let usual = told.baseline.usual(Bins::of(Vital::HeartRate));
        let (median, mad) = sorted_usual(odd);
        prop_assert!((usual.median.ten_thousandths() - median * 5_000).abs() <= 5_000);
        prop_assert!((usual.spread.ten_thousandths() - mad * 5_000).abs() <= 10_000);
    }

    #[test]
    fn a_steady_patient_never_deviates(steps in proptest::collection::vec(-2..=2_i64, 100..1_500)) {
        let mut told = Told::nothing(rule(Side::Above));
        for step in steps {
            told = told.then([70 + step]);
            let z = told.deviation(70 + step);
            prop_assert!(z.is_none_or(|z| z < Quantity::whole(2)), "{z:?}");
        }
    }

    #[test]
    fn a_step_beyond_the_cap_deviates_at_once_and_for_a_history(
        step in 40..100_i64, hours in 1..20_u64,
    ) {
        let told = Told::nothing(rule(Side::Above)).then(about(70, 24));
        let told = told.then(about(70 + step, hours));
        prop_assert!(told.deviation(70 + step) > Some(LEARNED_Z_MAX));
    }

    #[test]
    fn a_restored_baseline_goes_on_as_if_never_cut(
        readings in proptest::collection::vec((1..2_000_u64, 40..160_i64), 1..600),
        cut in any::<prop::sample::Index>(),
    ) {
        let rule = BaselineRule { readings_min: 10, ..rule(Side::Below) };
        let (mut whole, mut parted) = (Baseline::default(), Baseline::default());
        let mut at = Timestamp::EPOCH;
        for (index, (seconds, rate)) in readings.iter().enumerate() {
            at = at.plus(Duration::from_secs(*seconds));
            let rate = Quantity::whole(*rate);
            if index == cut.index(readings.len()) {
                let bytes = postcard::to_stdvec(&parted).unwrap();
                parted = postcard::from_bytes(&bytes).unwrap();
            }
            whole.add(&rule, at, rate);
            parted.add(&rule, at, rate);
            prop_assert_eq!(whole.deviation(&rule, rate), parted.deviation(&rule, rate));
        }
        prop_assert_eq!(whole, parted);
    }

    #[test]
    fn its_memory_is_bounded(
        readings in proptest::collection::vec((0..3_600_u64, any::<i32>()), 1..1_500),
        history in 0..100_000_u64,
    ) {
        let rule = BaselineRule {
            history: Duration::from_secs(history), readings_min: 1, ..rule(Side::Above)
        };
        let mut baseline = Baseline::default();
        let mut at = Timestamp::EPOCH;
        for (seconds, value) in readings {
            at = at.plus(Duration::from_secs(seconds));
            baseline.add(&rule, at, Quantity::from_ten_thousandths(i64::from(value)));
        }
        prop_assert!(baseline.history.iter().count() <= SLICES_MAX as usize);
        prop_assert!(baseline.history.iter().all(|slice| slice.bins.len() <= BINS_MAX));
    }

    #[test]
    fn a_value_further_out_never_deviates_less(rates in rates(), value in 0..300_i64) {
        let told = Told::nothing(BaselineRule { readings_min: 1, ..rule(Side::Above) }).then(rates);
        prop_assert!(told.deviation(value + 1) > told.deviation(value));
    }
}
