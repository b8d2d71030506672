//! The profiles that the simulated ward puts: every kind of rule, in variants.
//!
//! [`CRITICAL`] is the same in every variant and stands in no narrower scope, so that the checkers
//! know what it must do. Silence rules let between [`SILENT_AFTER_MIN`] and [`SILENT_AFTER_MAX`]
//! intervals pass. There are more rules of low priority than a sane profile has, so that floods
//! occur.

use std::time::Duration;

use pulseward::engine::profile::{
    BaselineLevel, BaselineRule, Escalation, Level, LimitRule, Profile, Rule, RuleKind, Score,
    ScoreLevel, ScoreRule, Side, SilenceRule, SpO2Scale, Spot, Sustained, TechnicalCondition,
    TechnicalRule, TrendLevel, TrendRule,
};
use pulseward::vitals::{Priority, Quantity, RuleId, Vital};

use crate::random::Random;

/// SpO2 below [`CRITICAL_LIMIT`] is high priority, at once.
pub(crate) const CRITICAL: &str = "spo2-critical";
/// See [`CRITICAL`].
pub(crate) const CRITICAL_LIMIT: i64 = 80;
/// From here on [`CRITICAL`] ends.
pub(crate) const CRITICAL_CLEAR: i64 = 84;
/// The rule of gateways that are offline, always in force.
pub(crate) const GATEWAY_OFFLINE: &str = "gateway-offline";
/// How long a gateway is offline before it is told.
pub(crate) const GATEWAY_DELAY: Duration = Duration::from_secs(30);
/// The rule of devices that are offline.
pub(crate) const DEVICE_OFFLINE: &str = "device-offline";
/// Ids of silence rules begin so.
pub(crate) const SILENCE: &str = "silence-";
/// No variant calls a vital silent after fewer of its intervals.
pub(crate) const SILENT_AFTER_MIN: i64 = 3;
/// No variant waits longer.
pub(crate) const SILENT_AFTER_MAX: i64 = 8;
/// Nor less than this.
pub(crate) const SILENT_AT_LEAST: Duration = Duration::from_secs(20);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn id(id: &str) -> RuleId {
    RuleId::new(id).expect("a valid id")
}

/// A level that breaches beyond `limit` and clears at `clear`.
fn level(priority: Priority, limit: i64, clear: i64, delay: Duration) -> Level {
    Level {
        priority,
        limit: Quantity::whole(limit),
        clear_limit: Quantity::whole(clear),
        sustained: Some(Sustained { delay, max_gap: Duration::from_secs(150) }),
        spot: Some(Spot { n: 2, of: 3, within: HOUR }),
    }
}

fn limit(name: &str, vital: Vital, side: Side, clear_delay: Duration, levels: Vec<Level>) -> Rule {
    let covers_pulse_rate = vital == Vital::HeartRate;
    let limit = LimitRule { vital, covers_pulse_rate, side, levels, clear_delay };
    Rule::new(id(name), RuleKind::Limit(limit))
}

/// High heart rate, in a variant: the rule that narrower scopes replace.
fn heart_rate_high(random: &mut Random) -> Rule {
    let shift = random.range(-6, 10);
    let delay = random.pick(&[Duration::ZERO, MINUTE, 2 * MINUTE]);
    let clear_delay = random.pick(&[Duration::ZERO, 3 * MINUTE]);
    let mut levels = vec![
        level(Priority::Medium, 108 + shift, 104 + shift, delay),
        level(Priority::High, 128 + shift, 124 + shift, delay),
    ];
    if random.per_mille(150) {
        levels.truncate(1);
    }
    let rule = limit("hr-high", Vital::HeartRate, Side::Above, clear_delay, levels);
    let latching_from = random.pick(&[None, Some(Priority::High), Some(Priority::Low)]);
    Rule { latching_from, escalations: escalations(), ..rule }
}

fn escalations() -> Vec<Escalation> {
    vec![
        Escalation { priority: Priority::Medium, after: 10 * MINUTE },
        Escalation { priority: Priority::High, after: 3 * MINUTE },
    ]
}

fn limits(random: &mut Random) -> Vec<Rule> {
    use Priority::{High, Low, Medium};
    use Side::{Above, Below};
    let zero = Duration::ZERO;
    let critical = level(High, CRITICAL_LIMIT, CRITICAL_CLEAR, zero);
    let skin = random.pick(&[36, 37]);
    vec![
        limit(CRITICAL, Vital::Spo2, Below, zero, vec![critical]),
        heart_rate_high(random),
        limit(
            "hr-low",
            Vital::HeartRate,
            Below,
            MINUTE,
            vec![level(Medium, 48, 50, MINUTE), level(High, 40, 43, MINUTE)],
        ),
        limit("hr-notice", Vital::HeartRate, Above, zero, vec![level(Low, 96, 96, zero)]),
        limit(
            "spo2-low",
            Vital::Spo2,
            Below,
            zero,
            vec![
                level(Low, 93, 94, MINUTE),
                level(Medium, 90, 91, MINUTE),
                level(High, 86, 87, MINUTE),
            ],
        ),
        limit(
            "rr-high",
            Vital::RespiratoryRate,
            Above,
            MINUTE,
            vec![level(Medium, 24, 22, MINUTE), level(High, 30, 27, MINUTE)],
        ),
        limit("rr-notice", Vital::RespiratoryRate, Above, zero, vec![level(Low, 20, 20, zero)]),
        limit("skin-warm", Vital::SkinTemperature, Above, zero, vec![level(Low, skin, 35, zero)]),
        limit(
            "sys-high",
            Vital::SystolicPressure,
            Above,
            zero,
            vec![level(Medium, 170, 160, zero)],
        ),
        limit(
            "sys-low",
            Vital::SystolicPressure,
            Below,
            zero,
            vec![level(Medium, 100, 105, zero), level(High, 90, 92, zero)],
        ),
    ]
}

fn trend() -> Rule {
    let delta = Quantity::whole(5);
    let levels =
        vec![TrendLevel { priority: Priority::Medium, delta, clear_delta: Quantity::whole(3) }];
    let (vital, direction, window) = (Vital::Spo2, Side::Below, 30 * MINUTE);
    let trend = TrendRule { vital, direction, window, levels, readings_min: 5 };
    Rule::new(id("spo2-falls"), RuleKind::Trend(trend))
}

fn baseline() -> Rule {
    let level = BaselineLevel {
        priority: Priority::Low,
        z: Quantity::whole(6),
        clear_z: Quantity::whole(4),
        sustained: Sustained { delay: 3 * MINUTE, max_gap: Duration::from_secs(150) },
    };
    let baseline = BaselineRule {
        vital: Vital::HeartRate,
        side: Side::Above,
        history: 6 * HOUR,
        readings_min: 30,
        spread_min: Quantity::whole(2),
        levels: vec![level],
        clear_delay: MINUTE,
    };
    Rule::new(id("hr-unusual"), RuleKind::Baseline(baseline))
}

fn score(scale: SpO2Scale, max_age: Duration) -> Rule {
    let level = |priority, total| ScoreLevel { priority, total, clear_total: total - 1 };
    let score = ScoreRule {
        score: Score::News2(scale),
        levels: vec![level(Priority::Medium, 5), level(Priority::High, 7)],
        single_parameter_priority: Some(Priority::Medium),
        max_ages: vec![(Vital::HeartRate, max_age), (Vital::Spo2, max_age)],
        delay: Duration::ZERO,
        clear_delay: Duration::ZERO,
    };
    let rule = Rule::new(id("news2"), RuleKind::Score(score));
    Rule { latching_from: Some(Priority::High), escalations: escalations(), ..rule }
}

fn silence(name: &str, vital: Vital, intervals: i64) -> Rule {
    let (intervals, priority) = (Quantity::whole(intervals), Priority::Medium);
    let rule = SilenceRule { vital, intervals, at_least: SILENT_AT_LEAST, priority };
    Rule::new(id(&format!("{SILENCE}{name}")), RuleKind::Silence(rule))
}

fn technical(name: &str, condition: TechnicalCondition, delay: Duration) -> Rule {
    let rule = TechnicalRule { condition, priority: Priority::Medium, delay };
    Rule::new(id(name), RuleKind::Technical(rule))
}

/// Everyone's rules, in a variant.
pub(crate) fn everyones(random: &mut Random) -> Profile {
    let mut intervals = || random.range(SILENT_AFTER_MIN, SILENT_AFTER_MAX + 1);
    let mut rules = vec![
        silence("hr", Vital::HeartRate, intervals()),
        silence("spo2", Vital::Spo2, intervals()),
        silence("sys", Vital::SystolicPressure, intervals()),
        technical("sensor-off", TechnicalCondition::SensorOff, MINUTE),
        technical("battery-low", TechnicalCondition::BatteryLow(20), Duration::ZERO),
        technical("clock-off", TechnicalCondition::ClockFault, Duration::ZERO),
        technical(DEVICE_OFFLINE, TechnicalCondition::DeviceOffline, MINUTE),
        technical("device-fault", TechnicalCondition::DeviceFault, Duration::ZERO),
        technical(GATEWAY_OFFLINE, TechnicalCondition::GatewayOffline, GATEWAY_DELAY),
        trend(),
        baseline(),
        score(SpO2Scale::One, random.pick(&[10 * MINUTE, 2 * HOUR])),
    ];
    rules.extend(limits(random));
    Profile { rules }
}

/// A site's rules, in a variant.
pub(crate) fn of_site(random: &mut Random) -> Profile {
    let mut rules = vec![heart_rate_high(random)];
    if random.per_mille(300) {
        let intervals = random.range(SILENT_AFTER_MIN, SILENT_AFTER_MAX + 1);
        rules.push(silence("hr", Vital::HeartRate, intervals));
    }
    Profile { rules }
}

/// A patient's own rules, in a variant.
pub(crate) fn of_patient(random: &mut Random) -> Profile {
    let mut rules = vec![heart_rate_high(random)];
    match random.range(0, 4) {
        0 => rules.push(Rule::new(id("spo2-falls"), RuleKind::Off)),
        1 => rules.push(Rule::new(id("news2"), RuleKind::Off)),
        2 => rules.push(score(SpO2Scale::Two, HOUR)),
        _ => {}
    }
    Profile { rules }
}
