//! Rules in words, made from the rules themselves.

use std::fmt::Write as _;
use std::time::Duration;

use pulseward::engine::profile::{
    BaselineRule, Level, LimitRule, Rule, RuleKind, Score, ScoreRule, Side, SpO2Scale,
    TechnicalCondition, TrendRule,
};
use pulseward::vitals::Vital;

/// What a rule says, a line each.
pub(crate) fn of(rule: &Rule) -> String {
    let mut lines = match &rule.kind {
        RuleKind::Off => vec!["off".to_owned()],
        RuleKind::Limit(limit) => limit_lines(limit),
        RuleKind::Trend(trend) => trend_lines(trend),
        RuleKind::Baseline(baseline) => baseline_lines(baseline),
        RuleKind::Score(score) => score_lines(score),
        RuleKind::Silence(silence) => {
            let at_least = match silence.at_least {
                Duration::ZERO => String::new(),
                at_least => format!(", never before {}", span(at_least)),
            };
            let (vital, intervals) = (vital(silence.vital), silence.intervals);
            let priority = silence.priority.name();
            vec![format!("no {vital} for {intervals} expected intervals{at_least}: {priority}")]
        }
        RuleKind::Asserted(asserted) => {
            let event = asserted.event.name().replace('_', " ");
            vec![format!("the device asserts {event}: {}", asserted.priority.name())]
        }
        RuleKind::Technical(technical) => {
            let fault = fault(technical.condition);
            let lasting = match technical.delay {
                Duration::ZERO => String::new(),
                delay => format!(" for {}", span(delay)),
            };
            vec![format!("{fault}{lasting}: {}", technical.priority.name())]
        }
    };
    life(rule, &mut lines);
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let name = if index == 0 { format!("{}:", rule.id) } else { String::new() };
        writeln!(text, "{name:14} {line}").expect("a String takes all");
    }
    text
}

/// What becomes of its alerts, where that is not the default.
fn life(rule: &Rule, lines: &mut Vec<String>) {
    if let Some(from) = rule.latching_from {
        lines.push(format!("latches from {}", from.name()));
    }
    for it in &rule.escalations {
        lines.push(format!("{} is passed on each {}", it.priority.name(), span(it.after)));
    }
    if rule.actionable_for != Rule::ACTIONABLE_FOR {
        lines.push(format!("late readings act for {}", span(rule.actionable_for)));
    }
}

fn limit_lines(rule: &LimitRule) -> Vec<String> {
    let mut lines: Vec<_> = rule.levels.iter().map(|level| limit_level(rule, level)).collect();
    if !rule.clear_delay.is_zero() {
        lines.push(format!("a level ends after {} clear", span(rule.clear_delay)));
    }
    lines
}

fn limit_level(rule: &LimitRule, level: &Level) -> String {
    let (vital, side, limit) = (vital(rule.vital), side(rule.side), level.limit);
    let mut text = format!("{vital} {side} {limit}: {}", level.priority.name());
    if level.sustained.is_some_and(|it| it.delay.is_zero()) {
        text.push_str(", at once");
    } else if let Some(it) = level.sustained {
        let (delay, gap) = (span(it.delay), span(it.max_gap));
        write!(text, ", sustained for {delay} with gaps of {gap} at most").expect("fits");
    }
    if let Some(it) = level.spot {
        let joint = if level.sustained.is_some() { "; where measured seldom," } else { "," };
        write!(text, "{joint} {} of {} within {}", it.n, it.of, span(it.within)).expect("fits");
    }
    if level.clear_limit != level.limit {
        write!(text, "; clear from {}", level.clear_limit).expect("fits");
    }
    text
}

fn trend_lines(rule: &TrendRule) -> Vec<String> {
    let direction = match rule.direction {
        Side::Above => "rises",
        Side::Below => "falls",
    };
    let (vital, window, least) = (vital(rule.vital), span(rule.window), rule.readings_min);
    let level = |it: &pulseward::engine::profile::TrendLevel| {
        format!(
            "{vital} {direction} by more than {} within {window}, {least} readings or more: {}; \
             clear from {}",
            it.delta,
            it.priority.name(),
            it.clear_delta
        )
    };
    rule.levels.iter().map(level).collect()
}

fn baseline_lines(rule: &BaselineRule) -> Vec<String> {
    let (vital, side, history) = (vital(rule.vital), side(rule.side), span(rule.history));
    let level = |it: &pulseward::engine::profile::BaselineLevel| {
        let (delay, gap) = (span(it.sustained.delay), span(it.sustained.max_gap));
        format!(
            "{vital} more than {} robust standard deviations {side} the patient's median of {history}: {}, \
             sustained for {delay} with gaps of {gap} at most; clear from {}",
            it.z,
            it.priority.name(),
            it.clear_z
        )
    };
    rule.levels.iter().map(level).collect()
}

fn score_lines(rule: &ScoreRule) -> Vec<String> {
    let Score::News2(scale) = rule.score;
    let scale = if scale == SpO2Scale::One { 1 } else { 2 };
    let level = |it: &pulseward::engine::profile::ScoreLevel| {
        format!(
            "NEWS2 (scale {scale}) of {} or more: {}; clear from {}",
            it.total,
            it.priority.name(),
            it.clear_total
        )
    };
    let mut lines: Vec<_> = rule.levels.iter().map(level).collect();
    if let Some(priority) = rule.single_parameter_priority {
        lines.push(format!("one parameter alone at 3: {}", priority.name()));
    }
    for (name, delay) in
        [("stand before it raises", rule.delay), ("be clear before it ends", rule.clear_delay)]
    {
        if !delay.is_zero() {
            lines.push(format!("a score must {name}: {}", span(delay)));
        }
    }
    for (of, age) in &rule.max_ages {
        lines.push(format!("{} counts for {}", vital(*of), span(*age)));
    }
    lines
}

fn fault(condition: TechnicalCondition) -> String {
    match condition {
        TechnicalCondition::SensorOff => "sensor off".to_owned(),
        TechnicalCondition::BatteryLow(percent) => format!("battery below {percent} %"),
        TechnicalCondition::ClockFault => "clock more than 30 s off".to_owned(),
        TechnicalCondition::DeviceOffline => "device offline".to_owned(),
        TechnicalCondition::GatewayOffline => "gateway offline".to_owned(),
        TechnicalCondition::DeviceFault => "device reports a fault".to_owned(),
    }
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Above => "above",
        Side::Below => "below",
    }
}

/// A vital as a ward says it.
pub(crate) const fn vital(vital: Vital) -> &'static str {
    match vital {
        Vital::HeartRate => "heart rate",
        Vital::PulseRate => "pulse rate",
        Vital::Spo2 => "SpO2",
        Vital::RespiratoryRate => "respiratory rate",
        Vital::SystolicPressure => "systolic pressure",
        Vital::BodyTemperature => "temperature",
        Vital::OxygenFlow => "oxygen flow",
        Vital::Consciousness => "consciousness",
        other => other.name(),
    }
}

/// A span in the largest unit in which it is a whole number.
pub(crate) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 if span.is_zero() => "0 s".to_owned(),
        _ if span.subsec_millis() > 0 => format!("{} s", span.as_secs_f64()),
        seconds if seconds % 86_400 == 0 => {
            format!("{} days", seconds / 86_400).replace("1 days", "24 h")
        }
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
