//! The scenarios, by chapter of the page, and the rules that they share.

mod kinds;
mod life;
mod persistence;
mod time;
mod ward;

use std::time::Duration;

use pulseward::engine::profile::{
    Escalation, Level, LimitRule, Rule, RuleKind, Side, SilenceRule, Spot, Sustained,
    TechnicalCondition, TechnicalRule,
};
use pulseward::vitals::{Priority, Quantity, RuleId, Vital};

use crate::story::Story;

/// A scenario: the name in the page's marker, and how it is told.
pub(crate) type Scenario = (&'static str, fn() -> Story);

/// All scenarios.
pub(crate) const ALL: &[&[Scenario]] =
    &[persistence::ALL, kinds::ALL, time::ALL, life::ALL, ward::ALL];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const DAY: u64 = 24 * 60 * 60;

fn rule_of(id: &str, kind: RuleKind) -> Rule {
    Rule::new(RuleId::new(id).expect("valid"), kind)
}

/// A level of a limit rule, sustained for so many seconds.
pub(crate) fn level(
    priority: Priority,
    limit: i64,
    clear: i64,
    (delay, max_gap): (u64, u64),
) -> Level {
    Level {
        priority,
        limit: Quantity::whole(limit),
        clear_limit: Quantity::whole(clear),
        sustained: Some(Sustained { delay: seconds(delay), max_gap: seconds(max_gap) }),
        spot: None,
    }
}

/// The same, confirmed by repeat.
pub(crate) fn spot(
    priority: Priority,
    limit: i64,
    clear: i64,
    (n, of, within): (u8, u8, u64),
) -> Level {
    let spot = Some(Spot { n, of, within: seconds(within) });
    Level { sustained: None, spot, ..level(priority, limit, clear, (0, 0)) }
}

pub(crate) fn limit(
    id: &str,
    vital: Vital,
    side: Side,
    levels: Vec<Level>,
    clear_delay: u64,
) -> Rule {
    let covers_pulse_rate = false;
    let clear_delay = seconds(clear_delay);
    rule_of(id, RuleKind::Limit(LimitRule { vital, covers_pulse_rate, side, levels, clear_delay }))
}

/// SpO2 below 90 for 30 s is medium; clear from 92 for 15 s.
fn spo2() -> Rule {
    let levels = vec![level(Priority::Medium, 90, 92, (30, 10))];
    limit("spo2-low", Vital::Spo2, Side::Below, levels, 15)
}

/// SpO2 below 90 for 30 s is medium and below 85 for 15 s high.
fn spo2_levels() -> Rule {
    let levels =
        vec![level(Priority::Medium, 90, 92, (30, 10)), level(Priority::High, 85, 87, (15, 10))];
    limit("spo2-low", Vital::Spo2, Side::Below, levels, 15)
}

/// Heart rate over 130 at once is medium and over 150 high; latching from high.
fn heart_rate() -> Rule {
    let levels =
        vec![level(Priority::Medium, 130, 125, (0, 90)), level(Priority::High, 150, 145, (0, 90))];
    let rule = limit("hr-high", Vital::HeartRate, Side::Above, levels, 0);
    Rule { latching_from: Some(Priority::High), ..rule }
}

fn passed_on(rule: Rule, priority: Priority, after: u64) -> Rule {
    Rule { escalations: vec![Escalation { priority, after: seconds(after) }], ..rule }
}

fn silence(vital: Vital, intervals: i64, at_least: u64) -> Rule {
    let rule = SilenceRule {
        vital,
        intervals: Quantity::whole(intervals),
        at_least: seconds(at_least),
        priority: Priority::Medium,
    };
    rule_of("silent", RuleKind::Silence(rule))
}

fn technical(id: &str, condition: TechnicalCondition, priority: Priority, delay: u64) -> Rule {
    let rule = TechnicalRule { condition, priority, delay: seconds(delay) };
    rule_of(id, RuleKind::Technical(rule))
}
