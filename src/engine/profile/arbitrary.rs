//! Any valid profile, for properties: every kind of rule, within all bounds.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::vitals::Range;

/// A profile that is valid as a patient's own.
pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    vec((kind(), what_every_rule_says()), 0..8).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        let rules = numbered.map(|(number, (kind, rest))| Rule {
            id: RuleId::new(&format!("r{number}.{number}")).expect("valid"),
            kind,
            ..rest
        });
        Profile { rules: rules.collect() }
    })
}

fn what_every_rule_says() -> impl Strategy<Value = Rule> {
    let escalations = subsequence(Priority::ALL.to_vec(), 0..=3).prop_shuffle();
    let after = seconds(10..=86_400);
    (seconds(0..=86_400), option::of(priority()), escalations, after).prop_map(
        |(actionable_for, latching_from, priorities, after)| Rule {
            actionable_for,
            latching_from,
            escalations: priorities
                .into_iter()
                .map(|priority| Escalation { priority, after })
                .collect(),
            ..Rule::new(RuleId::new("r").expect("valid"), RuleKind::Off)
        },
    )
}

fn kind() -> impl Strategy<Value = RuleKind> {
    prop_oneof![
        Just(RuleKind::Off),
        limit().prop_map(RuleKind::Limit),
        trend().prop_map(RuleKind::Trend),
        baseline().prop_map(RuleKind::Baseline),
        score().prop_map(RuleKind::Score),
        silence().prop_map(RuleKind::Silence),
        technical().prop_map(RuleKind::Technical),
        asserted().prop_map(RuleKind::Asserted),
    ]
}

fn priority() -> impl Strategy<Value = Priority> {
    select(Priority::ALL.to_vec())
}

/// To the microsecond, which is as fine as any spelling gets.
fn seconds(range: RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    let micros = |seconds: &u64| seconds * 1_000_000;
    prop_oneof![
        (micros(range.start())..=micros(range.end())).prop_map(Duration::from_micros),
        range.prop_map(Duration::from_secs),
    ]
}

fn quantity(range: Range) -> impl Strategy<Value = Quantity> {
    (range.low.ten_thousandths()..=range.high.ten_thousandths())
        .prop_map(Quantity::from_ten_thousandths)
}

fn up_to(high: Quantity) -> impl Strategy<Value = Quantity> {
    quantity(Range { low: Quantity::from_ten_thousandths(1), high })
}

fn measurable() -> impl Strategy<Value = Vital> {
    select(Vital::ALL.to_vec()).prop_filter("a quantity", |vital| *vital != Vital::Consciousness)
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Above), Just(Side::Below)]
}

/// One to three priorities with rising numbers between 1 and 1000.
fn rising() -> impl Strategy<Value = Vec<(Priority, i64)>> {
    let numbers = btree_set(1_i64..=1000, 1..=3);
    numbers.prop_flat_map(|numbers: BTreeSet<i64>| {
        subsequence(Priority::ALL.to_vec(), numbers.len())
            .prop_map(move |priorities| priorities.into_iter().zip(numbers.clone()).collect())
    })
}

fn sustained() -> impl Strategy<Value = Sustained> {
    (seconds(0..=86_400), seconds(1..=86_400))
        .prop_map(|(delay, max_gap)| Sustained { delay, max_gap })
}

fn spot() -> impl Strategy<Value = Spot> {
    let counts = (1..=SPOT_READINGS_MAX).prop_flat_map(|of| (1..=of, Just(of)));
    (counts, seconds(1..=604_800)).prop_map(|((n, of), within)| Spot { n, of, within })
}

fn persistence_forms() -> impl Strategy<Value = (Option<Sustained>, Option<Spot>)> {
    prop_oneof![
        sustained().prop_map(|it| (Some(it), None)),
        spot().prop_map(|it| (None, Some(it))),
        (sustained(), spot()).prop_map(|(sustained, spot)| (Some(sustained), Some(spot))),
    ]
}

/// Limits that rise by thousandths of the possible range, and clear so many thousandths before.
fn limit() -> impl Strategy<Value = LimitRule> {
    let forms = vec(persistence_forms(), LEVELS_MAX);
    let own = (measurable(), any::<bool>(), side(), seconds(0..=86_400));
    (own, rising(), 0_i64..=1000, forms).prop_map(
        |((vital, split, side, clear_delay), steps, hysteresis, forms)| {
            let level = |((priority, step), (sustained, spot)): ((Priority, i64), _)| {
                let place = |step: i64| place(vital.possible(), side, step);
                let (limit, clear_limit) = (place(step - 1), place((step - 1 - hysteresis).max(0)));
                Level { priority, limit, clear_limit, sustained, spot }
            };
            LimitRule {
                vital,
                covers_pulse_rate: split && vital == Vital::HeartRate,
                side,
                levels: steps.into_iter().zip(forms).map(level).collect(),
                clear_delay,
            }
        },
    )
}

/// So many thousandths of a range from its safe end towards the other one.
fn place(range: Range, side: Side, thousandths: i64) -> Quantity {
    let way = range.high.minus(range.low).scaled(thousandths, 1000);
    match side {
        Side::Above => range.low.plus(way),
        Side::Below => range.high.minus(way),
    }
}

fn trend() -> impl Strategy<Value = TrendRule> {
    let own = (measurable(), side(), seconds(60..=2_592_000), 2_u32..=64);
    (own, rising(), 0_i64..=1000).prop_map(
        |((vital, direction, window, readings_min), steps, hysteresis)| {
            let level = |(priority, step): (Priority, i64)| {
                let delta = |step: i64| Quantity::from_ten_thousandths(step * 100);
                let clear_delta = delta((step - hysteresis).max(0));
                TrendLevel { priority, delta: delta(step), clear_delta }
            };
            let levels = steps.into_iter().map(level).collect();
            TrendRule { vital, direction, window, levels, readings_min }
        },
    )
}

fn baseline() -> impl Strategy<Value = BaselineRule> {
    let own = (measurable(), side(), seconds(7200..=2_592_000), 10_u32..=1000);
    let rest = (up_to(Quantity::whole(10)), seconds(0..=86_400), vec(sustained(), LEVELS_MAX));
    (own, rest, rising(), 0_i64..=1000).prop_map(
        |((vital, side, history, readings_min), rest, steps, hysteresis)| {
            let (spread_min, clear_delay, forms) = rest;
            let level = |((priority, step), sustained): ((Priority, i64), Sustained)| {
                let z = |step: i64| Quantity::from_ten_thousandths(step * 1000);
                let clear_z = z((step - hysteresis).max(0));
                BaselineLevel { priority, z: z(step), clear_z, sustained }
            };
            let levels = steps.into_iter().zip(forms).map(level).collect();
            BaselineRule { vital, side, history, readings_min, spread_min, levels, clear_delay }
        },
    )
}

fn score() -> impl Strategy<Value = ScoreRule> {
    let scale = prop_oneof![Just(SpO2Scale::One), Just(SpO2Scale::Two)];
    let totals = btree_set(1_u8..=20, 3);
    let vitals = [Vital::PulseRate, Vital::Spo2, Vital::OxygenFlow, Vital::Consciousness];
    let max_ages = (subsequence(vitals.to_vec(), 0..=4).prop_shuffle(), seconds(1..=604_800));
    let spans = (seconds(0..=86_400), seconds(0..=86_400));
    (scale, rising(), totals, option::of(priority()), max_ages, spans).prop_map(
        |(scale, steps, totals, single_parameter_priority, (vitals, max_age), spans)| {
            let level = |((priority, _), total): ((Priority, i64), u8)| ScoreLevel {
                priority,
                total,
                clear_total: total - 1,
            };
            ScoreRule {
                score: Score::News2(scale),
                levels: steps.into_iter().zip(totals).map(level).collect(),
                single_parameter_priority,
                max_ages: vitals.into_iter().map(|vital| (vital, max_age)).collect(),
                delay: spans.0,
                clear_delay: spans.1,
            }
        },
    )
}

fn silence() -> impl Strategy<Value = SilenceRule> {
    let intervals = quantity(Range { low: Quantity::whole(1), high: Quantity::whole(1000) });
    (select(Vital::ALL.to_vec()), intervals, priority(), 0..=24 * 3600_u64).prop_map(
        |(vital, intervals, priority, seconds)| SilenceRule {
            vital,
            intervals,
            priority,
            at_least: Duration::from_secs(seconds),
        },
    )
}

fn technical() -> impl Strategy<Value = TechnicalRule> {
    let condition = prop_oneof![
        Just(TechnicalCondition::SensorOff),
        (1_u8..=99).prop_map(TechnicalCondition::BatteryLow),
        Just(TechnicalCondition::ClockFault),
        Just(TechnicalCondition::DeviceOffline),
        Just(TechnicalCondition::GatewayOffline),
        Just(TechnicalCondition::DeviceFault),
    ];
    (condition, priority(), seconds(0..=86_400))
        .prop_map(|(condition, priority, delay)| TechnicalRule { condition, priority, delay })
}

fn asserted() -> impl Strategy<Value = AssertedRule> {
    (select(crate::vitals::DeviceEvent::ALL.to_vec()), priority())
        .prop_map(|(event, priority)| AssertedRule { event, priority })
}
