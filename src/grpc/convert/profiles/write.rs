//! The engine's rules in the wire's words. Every field is set, so that a client need not know what
//! is meant where nothing is said.

use super::super::wire_duration;
use crate::engine::profile::{
    BaselineLevel, BaselineRule, Escalation, Level, LimitRule, Rule, RuleKind, Score, ScoreLevel,
    ScoreRule, Side, SilenceRule, SpO2Scale, Spot, Sustained, TechnicalCondition, TechnicalRule,
    TrendLevel, TrendRule,
};
use crate::proto::v1;
use crate::proto::v1::rule::{Kind, Off};
use crate::vitals::{Priority, Vital};

pub(super) fn rule(rule: &Rule) -> v1::Rule {
    v1::Rule {
        rule_id: rule.id.to_string(),
        kind: Some(kind(&rule.kind)),
        actionable_for: Some(wire_duration(rule.actionable_for)),
        latching_from: optional_priority(rule.latching_from),
        escalations: rule.escalations.iter().map(escalation).collect(),
    }
}

fn kind(kind: &RuleKind) -> Kind {
    match kind {
        RuleKind::Off => Kind::Off(Off {}),
        RuleKind::Limit(rule) => Kind::Limit(limit(rule)),
        RuleKind::Trend(rule) => Kind::Trend(trend(rule)),
        RuleKind::Baseline(rule) => Kind::Baseline(baseline(rule)),
        RuleKind::Score(rule) => Kind::Score(score(rule)),
        RuleKind::Silence(rule) => Kind::Silence(silence(*rule)),
        RuleKind::Technical(rule) => Kind::Technical(technical(*rule)),
        RuleKind::Asserted(rule) => Kind::Asserted(v1::AssertedRule {
            event: rule.event as i32,
            priority: priority(rule.priority),
        }),
    }
}

fn vital(vital: Vital) -> i32 {
    i32::from(vital.number())
}

fn priority(priority: Priority) -> i32 {
    priority as i32
}

fn optional_priority(priority: Option<Priority>) -> i32 {
    priority.map_or(v1::Priority::Unspecified.into(), self::priority)
}

fn side(side: Side) -> i32 {
    match side {
        Side::Above => v1::Side::Above.into(),
        Side::Below => v1::Side::Below.into(),
    }
}

fn escalation(escalation: &Escalation) -> v1::Escalation {
    v1::Escalation {
        priority: priority(escalation.priority),
        after: Some(wire_duration(escalation.after)),
    }
}

fn limit(rule: &LimitRule) -> v1::LimitRule {
    v1::LimitRule {
        vital: vital(rule.vital),
        side: side(rule.side),
        levels: rule.levels.iter().map(level).collect(),
        clear_delay: Some(wire_duration(rule.clear_delay)),
        covers_pulse_rate: rule.covers_pulse_rate,
    }
}

fn level(level: &Level) -> v1::LimitLevel {
    v1::LimitLevel {
        priority: priority(level.priority),
        limit: level.limit.to_f64(),
        clear_limit: Some(level.clear_limit.to_f64()),
        sustained: level.sustained.map(sustained),
        spot: level.spot.map(spot),
    }
}

fn sustained(sustained: Sustained) -> v1::Sustained {
    v1::Sustained {
        delay: Some(wire_duration(sustained.delay)),
        max_gap: Some(wire_duration(sustained.max_gap)),
    }
}

fn spot(spot: Spot) -> v1::Spot {
    v1::Spot { n: spot.n.into(), of: spot.of.into(), within: Some(wire_duration(spot.within)) }
}

fn trend(rule: &TrendRule) -> v1::TrendRule {
    let level = |level: &TrendLevel| v1::TrendLevel {
        priority: priority(level.priority),
        delta: level.delta.to_f64(),
        clear_delta: Some(level.clear_delta.to_f64()),
    };
    v1::TrendRule {
        vital: vital(rule.vital),
        direction: side(rule.direction),
        window: Some(wire_duration(rule.window)),
        levels: rule.levels.iter().map(level).collect(),
        readings_min: rule.readings_min,
    }
}

fn baseline(rule: &BaselineRule) -> v1::BaselineRule {
    let level = |level: &BaselineLevel| v1::BaselineLevel {
        priority: priority(level.priority),
        z: level.z.to_f64(),
        clear_z: Some(level.clear_z.to_f64()),
        sustained: Some(sustained(level.sustained)),
    };
    v1::BaselineRule {
        vital: vital(rule.vital),
        side: side(rule.side),
        history: Some(wire_duration(rule.history)),
        readings_min: rule.readings_min,
        spread_min: rule.spread_min.to_f64(),
        levels: rule.levels.iter().map(level).collect(),
        clear_delay: Some(wire_duration(rule.clear_delay)),
    }
}

fn score(rule: &ScoreRule) -> v1::ScoreRule {
    let Score::News2(scale) = rule.score;
    let level = |level: &ScoreLevel| v1::ScoreLevel {
        priority: priority(level.priority),
        total: level.total.into(),
        clear_total: Some(level.clear_total.into()),
    };
    let max_age = |(vital, max_age): &(Vital, _)| v1::ScoreMaxAge {
        vital: self::vital(*vital),
        max_age: Some(wire_duration(*max_age)),
    };
    v1::ScoreRule {
        score: v1::Score::News2.into(),
        spo2_scale: match scale {
            SpO2Scale::One => v1::NewsScale::One.into(),
            SpO2Scale::Two => v1::NewsScale::Two.into(),
        },
        levels: rule.levels.iter().map(level).collect(),
        single_parameter_priority: optional_priority(rule.single_parameter_priority),
        max_ages: rule.max_ages.iter().map(max_age).collect(),
        delay: Some(wire_duration(rule.delay)),
        clear_delay: Some(wire_duration(rule.clear_delay)),
    }
}

fn silence(rule: SilenceRule) -> v1::SilenceRule {
    v1::SilenceRule {
        vital: vital(rule.vital),
        intervals: rule.intervals.to_f64(),
        priority: priority(rule.priority),
        at_least: Some(wire_duration(rule.at_least)),
    }
}

fn technical(rule: TechnicalRule) -> v1::TechnicalRule {
    use v1::TechnicalCondition as Wire;
    let (condition, battery_percent) = match rule.condition {
        TechnicalCondition::SensorOff => (Wire::SensorOff, 0),
        TechnicalCondition::BatteryLow(percent) => (Wire::BatteryLow, percent.into()),
        TechnicalCondition::ClockFault => (Wire::ClockFault, 0),
        TechnicalCondition::DeviceOffline => (Wire::DeviceOffline, 0),
        TechnicalCondition::GatewayOffline => (Wire::GatewayOffline, 0),
        TechnicalCondition::DeviceFault => (Wire::DeviceFault, 0),
    };
    v1::TechnicalRule {
        condition: condition.into(),
        priority: priority(rule.priority),
        delay: Some(wire_duration(rule.delay)),
        battery_percent,
    }
}
