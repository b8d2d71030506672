//! The wire's rules to the engine's: form only. What a rule may mean is validated afterwards.

use super::at::At;
use crate::engine::profile::{
    AssertedRule, BaselineLevel, BaselineRule, Escalation, Level, LimitRule, Rule, RuleKind, Score,
    ScoreLevel, ScoreRule, SilenceRule, Spot, Sustained, TechnicalCondition, TechnicalRule,
    TrendLevel, TrendRule,
};
use crate::proto::v1;
use crate::proto::v1::rule::Kind;
use crate::vitals::DeviceEvent;

const KINDS: &str = "required: limit, trend, baseline, score, silence, technical, asserted, or off";

pub(super) fn rule(at: &mut At<'_>, rule: &v1::Rule) -> Option<Rule> {
    let id = at.id("rule_id", &rule.rule_id);
    let kind = match &rule.kind {
        Some(kind) => self::kind(at, kind),
        None => at.refuse("kind", KINDS),
    };
    let actionable_for = match &rule.actionable_for {
        None => Some(Rule::ACTIONABLE_FOR),
        span => at.span("actionable_for", span.as_ref()),
    };
    let latching_from = at.optional_priority("latching_from", rule.latching_from);
    let escalations = at.each("escalations", &rule.escalations, escalation);
    Some(Rule {
        id: id?,
        kind: kind?,
        actionable_for: actionable_for?,
        latching_from: latching_from?,
        escalations: escalations?,
    })
}

fn kind(at: &mut At<'_>, kind: &Kind) -> Option<RuleKind> {
    let at = &mut at.within(super::kind_name(kind));
    Some(match kind {
        Kind::Off(_) => RuleKind::Off,
        Kind::Limit(rule) => RuleKind::Limit(limit(at, rule)?),
        Kind::Trend(rule) => RuleKind::Trend(trend(at, rule)?),
        Kind::Baseline(rule) => RuleKind::Baseline(baseline(at, rule)?),
        Kind::Score(rule) => RuleKind::Score(score(at, rule)?),
        Kind::Silence(rule) => RuleKind::Silence(silence(at, *rule)?),
        Kind::Technical(rule) => RuleKind::Technical(technical(at, rule)?),
        Kind::Asserted(rule) => RuleKind::Asserted(asserted(at, *rule)?),
    })
}

fn escalation(at: &mut At<'_>, escalation: &v1::Escalation) -> Option<Escalation> {
    let priority = at.priority("priority", escalation.priority);
    let after = at.required_span("after", escalation.after.as_ref());
    Some(Escalation { priority: priority?, after: after? })
}

fn limit(at: &mut At<'_>, rule: &v1::LimitRule) -> Option<LimitRule> {
    let vital = at.vital("vital", rule.vital);
    let side = at.side("side", rule.side);
    let levels = at.each("levels", &rule.levels, level);
    let clear_delay = at.span("clear_delay", rule.clear_delay.as_ref());
    Some(LimitRule {
        vital: vital?,
        covers_pulse_rate: rule.covers_pulse_rate,
        side: side?,
        levels: levels?,
        clear_delay: clear_delay?,
    })
}

fn level(at: &mut At<'_>, level: &v1::LimitLevel) -> Option<Level> {
    let priority = at.priority("priority", level.priority);
    let limit = at.quantity("limit", level.limit);
    let clear_limit = at.quantity_or("clear_limit", level.clear_limit, limit);
    let sustained = level.sustained.as_ref();
    let sustained = sustained.map(|it| self::sustained(&mut at.within("sustained"), it));
    let spot = level.spot.as_ref().map(|it| self::spot(&mut at.within("spot"), it));
    Some(Level {
        priority: priority?,
        limit: limit?,
        clear_limit: clear_limit?,
        sustained: found_if_given(sustained)?,
        spot: found_if_given(spot)?,
    })
}

/// What was not given needs no conversion; what was, needs one that succeeded.
fn found_if_given<T>(converted: Option<Option<T>>) -> Option<Option<T>> {
    converted.map_or(Some(None), |converted| converted.map(Some))
}

fn sustained(at: &mut At<'_>, sustained: &v1::Sustained) -> Option<Sustained> {
    let delay = at.span("delay", sustained.delay.as_ref());
    let max_gap = at.required_span("max_gap", sustained.max_gap.as_ref());
    Some(Sustained { delay: delay?, max_gap: max_gap? })
}

fn spot(at: &mut At<'_>, spot: &v1::Spot) -> Option<Spot> {
    let n = at.small("n", spot.n);
    let of = at.small("of", spot.of);
    let within = at.required_span("within", spot.within.as_ref());
    Some(Spot { n: n?, of: of?, within: within? })
}

fn trend(at: &mut At<'_>, rule: &v1::TrendRule) -> Option<TrendRule> {
    let vital = at.vital("vital", rule.vital);
    let direction = at.side("direction", rule.direction);
    let window = at.required_span("window", rule.window.as_ref());
    let levels = at.each("levels", &rule.levels, |at, level| {
        let priority = at.priority("priority", level.priority);
        let delta = at.quantity("delta", level.delta);
        let clear_delta = at.quantity_or("clear_delta", level.clear_delta, delta);
        Some(TrendLevel { priority: priority?, delta: delta?, clear_delta: clear_delta? })
    });
    Some(TrendRule {
        vital: vital?,
        direction: direction?,
        window: window?,
        levels: levels?,
        readings_min: rule.readings_min,
    })
}

fn baseline(at: &mut At<'_>, rule: &v1::BaselineRule) -> Option<BaselineRule> {
    let vital = at.vital("vital", rule.vital);
    let side = at.side("side", rule.side);
    let history = at.required_span("history", rule.history.as_ref());
    let spread_min = at.quantity("spread_min", rule.spread_min);
    let levels = at.each("levels", &rule.levels, baseline_level);
    let clear_delay = at.span("clear_delay", rule.clear_delay.as_ref());
    Some(BaselineRule {
        vital: vital?,
        side: side?,
        history: history?,
        readings_min: rule.readings_min,
        spread_min: spread_min?,
        levels: levels?,
        clear_delay: clear_delay?,
    })
}

fn baseline_level(at: &mut At<'_>, level: &v1::BaselineLevel) -> Option<BaselineLevel> {
    let priority = at.priority("priority", level.priority);
    let z = at.quantity("z", level.z);
    let clear_z = at.quantity_or("clear_z", level.clear_z, z);
    let sustained = match &level.sustained {
        Some(sustained) => self::sustained(&mut at.within("sustained"), sustained),
        None => at.refuse("sustained", "required"),
    };
    Some(BaselineLevel { priority: priority?, z: z?, clear_z: clear_z?, sustained: sustained? })
}

fn score(at: &mut At<'_>, rule: &v1::ScoreRule) -> Option<ScoreRule> {
    let score = match v1::Score::try_from(rule.score) {
        Ok(v1::Score::News2) => at.spo2_scale(rule.spo2_scale).map(Score::News2),
        _ => at.refuse("score", "required: NEWS2"),
    };
    let levels = at.each("levels", &rule.levels, score_level);
    let single_parameter_priority =
        at.optional_priority("single_parameter_priority", rule.single_parameter_priority);
    let max_ages = at.each("max_ages", &rule.max_ages, |at, it| {
        let vital = at.vital("vital", it.vital);
        let max_age = at.required_span("max_age", it.max_age.as_ref());
        Some((vital?, max_age?))
    });
    let delay = at.span("delay", rule.delay.as_ref());
    let clear_delay = at.span("clear_delay", rule.clear_delay.as_ref());
    Some(ScoreRule {
        score: score?,
        levels: levels?,
        single_parameter_priority: single_parameter_priority?,
        max_ages: max_ages?,
        delay: delay?,
        clear_delay: clear_delay?,
    })
}

fn score_level(at: &mut At<'_>, level: &v1::ScoreLevel) -> Option<ScoreLevel> {
    let priority = at.priority("priority", level.priority);
    let total = at.small("total", level.total);
    let clear_total = match level.clear_total {
        Some(clear_total) => at.small("clear_total", clear_total),
        None => total.map(|total| total.saturating_sub(1)),
    };
    Some(ScoreLevel { priority: priority?, total: total?, clear_total: clear_total? })
}

fn silence(at: &mut At<'_>, rule: v1::SilenceRule) -> Option<SilenceRule> {
    let vital = at.vital("vital", rule.vital);
    let intervals = at.quantity("intervals", rule.intervals);
    let priority = at.priority("priority", rule.priority);
    let at_least = at.span("at_least", rule.at_least.as_ref());
    let (vital, intervals) = (vital?, intervals?);
    Some(SilenceRule { vital, intervals, priority: priority?, at_least: at_least? })
}

fn technical(at: &mut At<'_>, rule: &v1::TechnicalRule) -> Option<TechnicalRule> {
    let condition = condition(at, rule);
    let priority = at.priority("priority", rule.priority);
    let delay = at.span("delay", rule.delay.as_ref());
    Some(TechnicalRule { condition: condition?, priority: priority?, delay: delay? })
}

fn asserted(at: &mut At<'_>, rule: v1::AssertedRule) -> Option<AssertedRule> {
    let event = DeviceEvent::from_number(rule.event);
    let event = event.or_else(|| at.refuse("event", "required: an event of this version"));
    let priority = at.priority("priority", rule.priority);
    Some(AssertedRule { event: event?, priority: priority? })
}

fn condition(at: &mut At<'_>, rule: &v1::TechnicalRule) -> Option<TechnicalCondition> {
    use v1::TechnicalCondition as Wire;
    let condition = match rule.condition() {
        Wire::SensorOff => TechnicalCondition::SensorOff,
        Wire::BatteryLow => {
            return at
                .small("battery_percent", rule.battery_percent)
                .map(TechnicalCondition::BatteryLow);
        }
        Wire::ClockFault => TechnicalCondition::ClockFault,
        Wire::DeviceOffline => TechnicalCondition::DeviceOffline,
        Wire::GatewayOffline => TechnicalCondition::GatewayOffline,
        Wire::DeviceFault => TechnicalCondition::DeviceFault,
        Wire::Unspecified => return at.refuse("condition", "required: a fault of this version"),
    };
    if rule.battery_percent == 0 {
        return Some(condition);
    }
    at.refuse("battery_percent", "only BATTERY_LOW has one")
}
