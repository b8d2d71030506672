//! The rules of a file: form only. What a rule may mean is validated afterwards.

use std::time::Duration;

use super::table::{Item, Table, named, plain};
use super::{CONDITIONS, KINDS, SIDES, named_in};
use crate::config::Period;
use crate::engine::profile::{
    AssertedRule, BaselineLevel, BaselineRule, Escalation, Level, LimitRule, Profile, Rule,
    RuleKind, Score, ScoreLevel, ScoreRule, Side, SilenceRule, SpO2Scale, Spot, Sustained,
    TechnicalCondition, TechnicalRule, TrendLevel, TrendRule,
};
use crate::vitals::{DeviceEvent, Priority, Quantity, RuleId, Vital};

type In<'s, 't, 'i> = Table<'s, 't, 'i>;

pub(super) fn profile(table: &mut In<'_, '_, '_>) -> Option<Profile> {
    Some(Profile { rules: table.each("rules", rule)? })
}

fn rule(table: &mut In<'_, '_, '_>) -> Option<Rule> {
    let id: Option<RuleId> = table.required("id", id);
    if let Some(id) = &id {
        table.rename(format!("rules[{id}]"));
    }
    let actionable_for = table.or("actionable_for", span, Rule::ACTIONABLE_FOR);
    let latching_from = table.optional("latching_from", priority);
    let escalations = table.each("escalations", escalation);
    let kind = kind(table);
    Some(Rule {
        id: id?,
        kind: kind?,
        actionable_for: actionable_for?,
        latching_from: latching_from?,
        escalations: escalations?,
    })
}

fn kind(table: &mut In<'_, '_, '_>) -> Option<RuleKind> {
    let known = named(KINDS.into_iter(), |name| KINDS.into_iter().find(|kind| *kind == name));
    let Some(kind) = table.required("kind", known) else {
        table.ignore_the_rest();
        return None;
    };
    Some(match kind {
        "limit" => RuleKind::Limit(limit(table)?),
        "trend" => RuleKind::Trend(trend(table)?),
        "baseline" => RuleKind::Baseline(baseline(table)?),
        "score" => RuleKind::Score(score(table)?),
        "silence" => RuleKind::Silence(silence(table)?),
        "technical" => RuleKind::Technical(technical(table)?),
        "asserted" => RuleKind::Asserted(asserted(table)?),
        _ => RuleKind::Off,
    })
}

fn escalation(table: &mut In<'_, '_, '_>) -> Option<Escalation> {
    let priority = table.required("priority", priority);
    let after = table.required("after", span);
    Some(Escalation { priority: priority?, after: after? })
}

fn limit(table: &mut In<'_, '_, '_>) -> Option<LimitRule> {
    let vital = table.required("vital", vital);
    let covers_pulse_rate = table.or("covers_pulse_rate", plain, false);
    let side = table.required("side", side);
    let clear_delay = table.or("clear_delay", span, Duration::ZERO);
    let levels = table.each("levels", level);
    Some(LimitRule {
        vital: vital?,
        covers_pulse_rate: covers_pulse_rate?,
        side: side?,
        levels: levels?,
        clear_delay: clear_delay?,
    })
}

fn level(table: &mut In<'_, '_, '_>) -> Option<Level> {
    let priority = table.required("priority", priority);
    let limit = table.required("limit", quantity);
    let clear_limit = table.optional("clear_limit", quantity);
    let sustained = table.table("sustained", sustained);
    let spot = table.table("spot", spot);
    Some(Level {
        priority: priority?,
        limit: limit?,
        clear_limit: clear_limit?.or(limit)?,
        sustained: sustained?,
        spot: spot?,
    })
}

fn sustained(table: &mut In<'_, '_, '_>) -> Option<Sustained> {
    let delay = table.or("delay", span, Duration::ZERO);
    let max_gap = table.required("max_gap", span);
    Some(Sustained { delay: delay?, max_gap: max_gap? })
}

fn spot(table: &mut In<'_, '_, '_>) -> Option<Spot> {
    let n = table.required("n", plain);
    let of = table.required("of", plain);
    let within = table.required("within", span);
    Some(Spot { n: n?, of: of?, within: within? })
}

fn trend(table: &mut In<'_, '_, '_>) -> Option<TrendRule> {
    let vital = table.required("vital", vital);
    let direction = table.required("direction", side);
    let window = table.required("window", span);
    let readings_min = table.required("readings_min", plain);
    let levels = table.each("levels", |table| {
        let priority = table.required("priority", priority);
        let delta = table.required("delta", quantity);
        let clear_delta = table.optional("clear_delta", quantity)?.or(delta);
        Some(TrendLevel { priority: priority?, delta: delta?, clear_delta: clear_delta? })
    });
    Some(TrendRule {
        vital: vital?,
        direction: direction?,
        window: window?,
        levels: levels?,
        readings_min: readings_min?,
    })
}

fn baseline(table: &mut In<'_, '_, '_>) -> Option<BaselineRule> {
    let vital = table.required("vital", vital);
    let side = table.required("side", side);
    let history = table.required("history", span);
    let readings_min = table.required("readings_min", plain);
    let spread_min = table.required("spread_min", quantity);
    let clear_delay = table.or("clear_delay", span, Duration::ZERO);
    let levels = table.each("levels", baseline_level);
    Some(BaselineRule {
        vital: vital?,
        side: side?,
        history: history?,
        readings_min: readings_min?,
        spread_min: spread_min?,
        levels: levels?,
        clear_delay: clear_delay?,
    })
}

fn baseline_level(table: &mut In<'_, '_, '_>) -> Option<BaselineLevel> {
    let priority = table.required("priority", priority);
    let z = table.required("z", quantity);
    let clear_z = table.optional("clear_z", quantity);
    let Some(sustained) = table.table("sustained", sustained)? else {
        return table.refuse("sustained", "required");
    };
    Some(BaselineLevel { priority: priority?, z: z?, clear_z: clear_z?.or(z)?, sustained })
}

fn score(table: &mut In<'_, '_, '_>) -> Option<ScoreRule> {
    let score =
        table.required("score", named(["news2"].into_iter(), |it| (it == "news2").then_some(())));
    let scale = table.or("spo2_scale", spo2_scale, SpO2Scale::One);
    let single_parameter_priority = table.optional("single_parameter_priority", priority);
    let delay = table.or("delay", span, Duration::ZERO);
    let clear_delay = table.or("clear_delay", span, Duration::ZERO);
    let max_ages = table.each("max_ages", |table| {
        let vital = table.required("vital", vital);
        let max_age = table.required("max_age", span);
        Some((vital?, max_age?))
    });
    let levels = table.each("levels", score_level);
    Some(ScoreRule {
        score: score.and(scale).map(Score::News2)?,
        levels: levels?,
        single_parameter_priority: single_parameter_priority?,
        max_ages: max_ages?,
        delay: delay?,
        clear_delay: clear_delay?,
    })
}

fn score_level(table: &mut In<'_, '_, '_>) -> Option<ScoreLevel> {
    let priority = table.required("priority", priority);
    let total: Option<u8> = table.required("total", plain);
    let below = total.map(|total| total.saturating_sub(1));
    let clear_total = table.optional("clear_total", plain)?.or(below);
    Some(ScoreLevel { priority: priority?, total: total?, clear_total: clear_total? })
}

fn silence(table: &mut In<'_, '_, '_>) -> Option<SilenceRule> {
    let vital = table.required("vital", vital);
    let intervals = table.required("intervals", quantity);
    let priority = table.required("priority", priority);
    let at_least = table.or("at_least", span, Duration::ZERO);
    let (vital, intervals) = (vital?, intervals?);
    Some(SilenceRule { vital, intervals, priority: priority?, at_least: at_least? })
}

fn technical(table: &mut In<'_, '_, '_>) -> Option<TechnicalRule> {
    let condition = table.required("condition", condition);
    let condition = match condition {
        Some(TechnicalCondition::BatteryLow(_)) => {
            table.required("battery_percent", plain).map(TechnicalCondition::BatteryLow)
        }
        condition => condition,
    };
    let priority = table.required("priority", priority);
    let delay = table.or("delay", span, Duration::ZERO);
    Some(TechnicalRule { condition: condition?, priority: priority?, delay: delay? })
}

fn asserted(table: &mut In<'_, '_, '_>) -> Option<AssertedRule> {
    let event = table.required("event", event);
    let priority = table.required("priority", priority);
    Some(AssertedRule { event: event?, priority: priority? })
}

fn event(item: Item<'_>) -> Result<DeviceEvent, String> {
    named(DeviceEvent::ALL.into_iter().map(DeviceEvent::name), DeviceEvent::from_name)(item)
}

fn id(item: Item<'_>) -> Result<RuleId, String> {
    let text: String = plain(item)?;
    RuleId::new(&text).map_err(|invalid| invalid.to_string())
}

fn quantity(item: Item<'_>) -> Result<Quantity, String> {
    let number: f64 = plain(item)?;
    Quantity::from_f64(number).ok_or_else(|| format!("{number} is not a quantity"))
}

/// A span, cut to microseconds as every time is.
fn span(item: Item<'_>) -> Result<Duration, String> {
    let Period(span) = plain(item)?;
    Ok(Duration::new(span.as_secs(), span.subsec_micros() * 1000))
}

fn vital(item: Item<'_>) -> Result<Vital, String> {
    named(Vital::ALL.into_iter().map(Vital::name), Vital::from_name)(item)
}

fn priority(item: Item<'_>) -> Result<Priority, String> {
    named(Priority::ALL.into_iter().map(Priority::name), Priority::from_name)(item)
}

fn side(item: Item<'_>) -> Result<Side, String> {
    named(SIDES.into_iter().map(|(_, name)| name), |name| named_in(&SIDES, name))(item)
}

/// A low battery's percentage stands in a key of its own; here it is any.
fn condition(item: Item<'_>) -> Result<TechnicalCondition, String> {
    named(CONDITIONS.into_iter().map(|(_, name)| name), |name| named_in(&CONDITIONS, name))(item)
}

fn spo2_scale(item: Item<'_>) -> Result<SpO2Scale, String> {
    match plain(item)? {
        1 => Ok(SpO2Scale::One),
        2 => Ok(SpO2Scale::Two),
        scale => Err(format!("{scale} is no SpO2 scale of NEWS2; 1 or 2")),
    }
}
