//! What validation refuses, field by field, and that each sentence says what would be right.

use super::super::{ScoreLevel, TrendLevel};
use super::*;
use crate::vitals::RuleId;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn whole(number: i64) -> Quantity {
    Quantity::whole(number)
}

const STEADY: Sustained = Sustained { delay: seconds(15), max_gap: seconds(2) };
const TWICE: Spot = Spot { n: 2, of: 3, within: seconds(600) };

fn level(priority: Priority, limit: i64) -> Level {
    let limit = whole(limit);
    Level { priority, limit, clear_limit: limit, sustained: Some(STEADY), spot: Some(TWICE) }
}

fn limit() -> LimitRule {
    LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: true,
        side: Side::Above,
        levels: vec![level(Priority::Medium, 120), level(Priority::High, 150)],
        clear_delay: DELAY_MAX,
    }
}

fn trend() -> TrendRule {
    let level = |priority, delta, clear| TrendLevel {
        priority,
        delta: whole(delta),
        clear_delta: whole(clear),
    };
    TrendRule {
        vital: Vital::Weight,
        direction: Side::Above,
        window: seconds(3 * 86_400),
        levels: vec![level(Priority::Low, 1, 0), level(Priority::Medium, 2, 2)],
        readings_min: 2,
    }
}

fn baseline() -> BaselineRule {
    BaselineRule {
        vital: Vital::HeartRate,
        side: Side::Above,
        history: seconds(7200),
        readings_min: 10,
        spread_min: whole(2),
        levels: vec![BaselineLevel {
            priority: Priority::Low,
            z: whole(4),
            clear_z: whole(3),
            sustained: STEADY,
        }],
        clear_delay: Duration::ZERO,
    }
}

fn news2() -> ScoreRule {
    let level = |priority, total, clear_total| ScoreLevel { priority, total, clear_total };
    ScoreRule {
        score: Score::News2(SpO2Scale::One),
        levels: vec![level(Priority::Medium, 5, 4), level(Priority::High, 7, 6)],
        single_parameter_priority: Some(Priority::Medium),
        max_ages: vec![(Vital::Spo2, seconds(600)), (Vital::PulseRate, seconds(600))],
        delay: seconds(60),
        clear_delay: seconds(900),
    }
}

fn silence(intervals: i64) -> RuleKind {
    let intervals = whole(intervals);
    let (vital, at_least) = (Vital::Spo2, Duration::ZERO);
    RuleKind::Silence(SilenceRule { vital, intervals, priority: Priority::Medium, at_least })
}

fn technical(condition: TechnicalCondition, delay: Duration) -> RuleKind {
    RuleKind::Technical(TechnicalRule { condition, priority: Priority::Low, delay })
}

fn rule(kind: RuleKind) -> Rule {
    Rule::new(RuleId::new("r").expect("valid"), kind)
}

fn found(rule: Rule, owner: OwnerKind) -> Vec<String> {
    let violations = Profile { rules: vec![rule] }.validate(owner).err().unwrap_or_default();
    let text = |it: Violation| {
        let field = it.field.strip_prefix("rules[r]").expect("the rule's path").to_owned();
        format!("{}: {}", field.trim_start_matches('.'), it.description)
    };
    violations.into_iter().map(text).collect()
}

/// A change of a sound rule, and the violations that it leads to.
type Change<T> = (fn(&mut T), &'static [&'static str]);

fn check<T: Clone>(sound: &T, kind: fn(T) -> RuleKind, changes: &[Change<T>]) {
    assert_eq!(found(rule(kind(sound.clone())), OwnerKind::Everyone), [""; 0]);
    for (change, expected) in changes {
        let mut changed = sound.clone();
        change(&mut changed);
        assert_eq!(found(rule(kind(changed)), OwnerKind::Everyone), *expected);
    }
}

#[test]
fn limits_stand_in_order_within_what_is_possible() {
    check(
        &limit(),
        RuleKind::Limit,
        &[
            (
                |it| it.vital = Vital::PulseRate,
                &["covers_pulse_rate: only a heart_rate rule can cover pulse rate"],
            ),
            (|it| it.clear_delay += seconds(1), &["clear_delay: 86401 s; 0 s to 24 h"]),
            (
                |it| it.levels[1].limit = whole(400),
                &["levels[1].limit: 400 is no heart_rate; 0 to 350 /min"],
            ),
            (
                |it| it.levels[1].limit = whole(350),
                &["levels[1].limit: no possible heart_rate lies above 350"],
            ),
            (
                |it| it.levels[0].clear_limit = whole(121),
                &["levels[0].clear_limit: 121 would clear values that breach 120; at most 120"],
            ),
            (
                |it| it.levels[1].clear_limit = whole(110),
                &[
                    "levels[1].clear_limit: 110 would end this level after the lower one, which ends \
                   at 120; 120 or more extreme",
                ],
            ),
            (
                |it| it.levels[0].limit = whole(150),
                &["levels[1].limit: 150 is not more extreme than 150 of the lower level"],
            ),
            (
                |it| it.levels[1].priority = Priority::Low,
                &["levels[1].priority: low after medium; levels rise in priority"],
            ),
            (|it| it.levels.clear(), &["levels: 0 levels; 1 to 3"]),
        ],
    );
}

#[test]
fn below_mirrors_above() {
    let mut low = limit();
    (low.side, low.levels[0].limit, low.levels[1].limit) = (Side::Below, whole(50), whole(40));
    (low.levels[0].clear_limit, low.levels[1].clear_limit) = (whole(55), whole(45));
    check(
        &low,
        RuleKind::Limit,
        &[
            (
                |it| it.levels[0].clear_limit = whole(49),
                &["levels[0].clear_limit: 49 would clear values that breach 50; at least 50"],
            ),
            (
                |it| it.levels[1].limit = whole(0),
                &["levels[1].limit: no possible heart_rate lies below 0"],
            ),
            (
                |it| it.levels[1].limit = whole(50),
                &[
                    "levels[1].clear_limit: 45 would clear values that breach 50; at least 50",
                    "levels[1].limit: 50 is not more extreme than 50 of the lower level",
                ],
            ),
        ],
    );
}

#[test]
fn a_level_says_how_a_breach_persists() {
    check(
        &limit(),
        RuleKind::Limit,
        &[
            (|it| it.levels[0].spot = None, &[]),
            (|it| it.levels[0].sustained = None, &[]),
            (
                |it| (it.levels[0].sustained, it.levels[0].spot) = (None, None),
                &["levels[0]: no persistence; sustained, spot, or both"],
            ),
            (
                |it| it.levels[0].sustained = Some(Sustained { max_gap: seconds(0), ..STEADY }),
                &["levels[0].sustained.max_gap: 0 s; more than 0 s, at most 24 h"],
            ),
            (
                |it| it.levels[0].sustained = Some(Sustained { delay: seconds(90_000), ..STEADY }),
                &["levels[0].sustained.delay: 25 h; 0 s to 24 h"],
            ),
            (
                |it| it.levels[0].spot = Some(Spot { n: 4, ..TWICE }),
                &["levels[0].spot.n: 4 of 3; 1 to 3"],
            ),
            (
                |it| it.levels[0].spot = Some(Spot { n: 0, ..TWICE }),
                &["levels[0].spot.n: 0 of 3; 1 to 3"],
            ),
            (
                |it| it.levels[0].spot = Some(Spot { of: 17, ..TWICE }),
                &["levels[0].spot.of: 17; 1 to 16"],
            ),
            (
                |it| it.levels[0].spot = Some(Spot { within: seconds(0), ..TWICE }),
                &["levels[0].spot.within: 0 s; more than 0 s, at most 168 h"],
            ),
        ],
    );
}

#[test]
fn a_trend_is_judged_over_a_window_with_readings_in_it() {
    check(
        &trend(),
        RuleKind::Trend,
        &[
            (|it| it.window = seconds(59), &["window: 59 s; 1 min to 720 h"]),
            (|it| it.readings_min = 1, &["readings_min: 1; 2 to 64"]),
            (
                |it| it.levels[1].delta = whole(700),
                &["levels[1].delta: 700; more than 0, at most 634.9999"],
            ),
            (
                |it| (it.levels[0].delta, it.levels[0].clear_delta) = (whole(0), whole(-1)),
                &[
                    "levels[0].delta: 0; more than 0, at most 634.9999",
                    "levels[0].clear_delta: -1; 0 to 0, the delta",
                ],
            ),
            (
                |it| it.levels[1].clear_delta = whole(3),
                &["levels[1].clear_delta: 3; 0 to 2, the delta"],
            ),
            (
                |it| it.levels[1].delta = whole(1),
                &[
                    "levels[1].clear_delta: 2; 0 to 1, the delta",
                    "levels[1].delta: 1 is not more extreme than 1 of the lower level",
                ],
            ),
        ],
    );
}

#[test]
fn a_baseline_has_history_spread_and_a_rising_z() {
    check(
        &baseline(),
        RuleKind::Baseline,
        &[
            (|it| it.history = seconds(7199), &["history: 7199 s; 2 h to 720 h"]),
            (|it| it.readings_min = 9, &["readings_min: 9; 10 to 1000"]),
            (|it| it.spread_min = whole(0), &["spread_min: 0; more than 0, at most 350"]),
            (|it| it.clear_delay = seconds(90_000), &["clear_delay: 25 h; 0 s to 24 h"]),
            (
                |it| it.levels[0].sustained.max_gap = seconds(0),
                &["levels[0].sustained.max_gap: 0 s; more than 0 s, at most 24 h"],
            ),
            (|it| it.levels[0].clear_z = whole(5), &["levels[0].clear_z: 5; 0 to 4, the z"]),
            (|it| it.levels[0].z = whole(101), &["levels[0].z: 101; more than 0, at most 100"]),
        ],
    );
}

#[test]
fn a_score_is_reached_and_left_within_its_range() {
    check(
        &news2(),
        RuleKind::Score,
        &[
            (|it| it.levels[1].total = 21, &["levels[1].total: 21; 1 to 20"]),
            (
                |it| it.levels[0].clear_total = 5,
                &["levels[0].clear_total: 5; less than 5, the total"],
            ),
            (
                |it| it.levels[1].clear_total = 3,
                &["levels[1].clear_total: 3 would end this level after the lower one, which ends \
                   at 4; 4 or more extreme"],
            ),
            (|it| it.delay = seconds(90_000), &["delay: 25 h; 0 s to 24 h"]),
            (|it| it.clear_delay = seconds(90_000), &["clear_delay: 25 h; 0 s to 24 h"]),
            (
                |it| it.max_ages[0] = (Vital::Weight, seconds(0)),
                &[
                    "max_ages[0].vital: weight is no parameter of NEWS2",
                    "max_ages[0].max_age: 0 s; more than 0 s, at most 168 h",
                ],
            ),
            (
                |it| it.max_ages[1].0 = Vital::Spo2,
                &["max_ages[1].vital: spo2 a second time; each once"],
            ),
        ],
    );
}

#[test]
fn scale_two_stands_only_in_a_patients_own_profile() {
    let two =
        || rule(RuleKind::Score(ScoreRule { score: Score::News2(SpO2Scale::Two), ..news2() }));
    for owner in [OwnerKind::Everyone, OwnerKind::Site] {
        let refused = found(two(), owner);
        assert!(refused[0].starts_with("spo2_scale: scale two stands only"), "{refused:?}");
    }
    assert_eq!(found(two(), OwnerKind::Patient), [""; 0]);
}

#[test]
fn silence_and_technical_rules_have_their_bounds() {
    let everyone = |kind| found(rule(kind), OwnerKind::Everyone);
    let battery = |percent| technical(TechnicalCondition::BatteryLow(percent), Duration::ZERO);
    assert_eq!(everyone(silence(1)), [""; 0]);
    assert_eq!(everyone(silence(0)), ["intervals: 0; 1 to 1000"]);
    assert_eq!(everyone(battery(99)), [""; 0]);
    assert_eq!(everyone(battery(0)), ["battery_percent: 0; 1 to 99"]);
    assert_eq!(everyone(battery(100)), ["battery_percent: 100; 1 to 99"]);
    let late = technical(TechnicalCondition::SensorOff, seconds(90_000));
    assert_eq!(everyone(late), ["delay: 25 h; 0 s to 24 h"]);
}

#[test]
fn consciousness_is_no_quantity() {
    let kinds = [
        RuleKind::Trend(TrendRule { vital: Vital::Consciousness, ..trend() }),
        RuleKind::Baseline(BaselineRule { vital: Vital::Consciousness, ..baseline() }),
        RuleKind::Limit(LimitRule {
            vital: Vital::Consciousness,
            covers_pulse_rate: false,
            ..limit()
        }),
    ];
    for kind in kinds {
        let refused = found(rule(kind), OwnerKind::Everyone);
        assert!(refused[0].starts_with("vital: consciousness is no quantity"), "{refused:?}");
    }
}

#[test]
fn what_every_rule_says_has_bounds_too() {
    let escalation = |priority, after| Escalation { priority, after: seconds(after) };
    let mut wrong = rule(RuleKind::Off);
    wrong.actionable_for = seconds(90_000);
    wrong.escalations = vec![
        escalation(Priority::High, 10),
        escalation(Priority::High, 9),
        escalation(Priority::Low, 90_000),
    ];
    assert_eq!(
        found(wrong, OwnerKind::Site),
        [
            "actionable_for: 25 h; 0 s to 24 h",
            "escalations[1].priority: high a second time; each once",
            "escalations[1].after: 9 s; 10 s to 24 h",
            "escalations[2].after: 25 h; 10 s to 24 h",
        ]
    );
}

#[test]
fn a_profile_has_so_many_rules_of_different_ids() {
    let numbered = |number: usize| {
        Rule::new(RuleId::new(&format!("r-{number}")).expect("valid"), RuleKind::Off)
    };
    let fields = |rules: Vec<Rule>| {
        let violations = Profile { rules }.validate(OwnerKind::Everyone).err().unwrap_or_default();
        violations.into_iter().map(|it| it.field).collect::<Vec<_>>()
    };
    assert_eq!(fields((0..RULES_MAX).map(numbered).collect()), [""; 0]);
    assert_eq!(fields((0..=RULES_MAX).map(numbered).collect()), ["rules"]);
    assert_eq!(fields(vec![numbered(1), numbered(1)]), ["rules[r-1].id"]);
    let reserved = RuleId::new("pulseward.silence").expect("valid");
    assert_eq!(fields(vec![Rule::new(reserved, RuleKind::Off)]), ["rules[pulseward.silence].id"]);
}

proptest::proptest! {
    #[test]
    fn what_keeps_to_all_bounds_is_valid(profile in super::super::arbitrary::profile()) {
        proptest::prop_assert_eq!(profile.validate(OwnerKind::Patient), Ok(()));
    }
}
