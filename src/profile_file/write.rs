//! A profile as the text of a file. Options that are not set are left out; everything else is said.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::{CONDITIONS, SIDES, name_of};
use crate::engine::profile::span::Span;
use crate::engine::profile::{
    BaselineRule, Escalation, LimitRule, Profile, Rule, RuleKind, Score, ScoreRule, Side,
    SilenceRule, SpO2Scale, Spot, Sustained, TechnicalCondition, TechnicalRule, TrendRule,
};
use crate::vitals::{Priority, Vital};

pub(super) fn profile(profile: &Profile) -> String {
    let mut text = Text(String::new());
    for rule in &profile.rules {
        text.rule(rule);
    }
    text.0
}

struct Text(String);

impl Text {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes any text");
    }

    /// A key whose value is written as it stands.
    fn value(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn name(&mut self, key: &str, name: &str) {
        self.line(format_args!("{key} = \"{name}\""));
    }

    fn span(&mut self, key: &str, span: Duration) {
        self.line(format_args!("{key} = {}", quoted(span)));
    }

    fn list<T>(&mut self, key: &str, items: &[T], item: impl Fn(&T) -> String) {
        if !items.is_empty() {
            let items: Vec<_> = items.iter().map(item).collect();
            self.line(format_args!("{key} = [{}]", items.join(", ")));
        }
    }

    fn levels<T>(&mut self, levels: &[T], level: impl Fn(&mut Self, &T)) {
        for item in levels {
            self.line(format_args!("\n[[rules.levels]]"));
            level(self, item);
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.line(format_args!("{gap}[[rules]]"));
        self.name("id", rule.id.as_str());
        self.span("actionable_for", rule.actionable_for);
        if let Some(priority) = rule.latching_from {
            self.name("latching_from", priority.name());
        }
        self.list("escalations", &rule.escalations, |it: &Escalation| {
            let (priority, after) = (it.priority.name(), quoted(it.after));
            format!("{{ priority = \"{priority}\", after = {after} }}")
        });
        self.kind(&rule.kind);
    }

    fn kind(&mut self, kind: &RuleKind) {
        self.name("kind", super::kind_name(kind));
        match kind {
            RuleKind::Off => {}
            RuleKind::Limit(rule) => self.limit(rule),
            RuleKind::Trend(rule) => self.trend(rule),
            RuleKind::Baseline(rule) => self.baseline(rule),
            RuleKind::Score(rule) => self.score(rule),
            RuleKind::Silence(rule) => self.silence(*rule),
            RuleKind::Technical(rule) => self.technical(*rule),
            RuleKind::Asserted(rule) => {
                self.name("event", rule.event.name());
                self.priority(rule.priority);
            }
        }
    }

    fn side(&mut self, key: &str, side: Side) {
        self.name(key, name_of(&SIDES, side));
    }

    fn priority(&mut self, priority: Priority) {
        self.name("priority", priority.name());
    }

    fn limit(&mut self, rule: &LimitRule) {
        self.name("vital", rule.vital.name());
        if rule.covers_pulse_rate {
            self.value("covers_pulse_rate", true);
        }
        self.side("side", rule.side);
        self.span("clear_delay", rule.clear_delay);
        self.levels(&rule.levels, |text, level| {
            text.priority(level.priority);
            text.value("limit", level.limit);
            text.value("clear_limit", level.clear_limit);
            if let Some(sustained) = level.sustained {
                text.sustained(sustained);
            }
            if let Some(Spot { n, of, within }) = level.spot {
                let within = quoted(within);
                text.value("spot", format_args!("{{ n = {n}, of = {of}, within = {within} }}"));
            }
        });
    }

    fn sustained(&mut self, Sustained { delay, max_gap }: Sustained) {
        let (delay, max_gap) = (quoted(delay), quoted(max_gap));
        self.value("sustained", format_args!("{{ delay = {delay}, max_gap = {max_gap} }}"));
    }

    fn trend(&mut self, rule: &TrendRule) {
        self.name("vital", rule.vital.name());
        self.side("direction", rule.direction);
        self.span("window", rule.window);
        self.value("readings_min", rule.readings_min);
        self.levels(&rule.levels, |text, level| {
            text.priority(level.priority);
            text.value("delta", level.delta);
            text.value("clear_delta", level.clear_delta);
        });
    }

    fn baseline(&mut self, rule: &BaselineRule) {
        self.name("vital", rule.vital.name());
        self.side("side", rule.side);
        self.span("history", rule.history);
        self.value("readings_min", rule.readings_min);
        self.value("spread_min", rule.spread_min);
        self.span("clear_delay", rule.clear_delay);
        self.levels(&rule.levels, |text, level| {
            text.priority(level.priority);
            text.value("z", level.z);
            text.value("clear_z", level.clear_z);
            text.sustained(level.sustained);
        });
    }

    fn score(&mut self, rule: &ScoreRule) {
        let Score::News2(scale) = rule.score;
        self.name("score", "news2");
        self.value("spo2_scale", if scale == SpO2Scale::One { 1 } else { 2 });
        if let Some(priority) = rule.single_parameter_priority {
            self.name("single_parameter_priority", priority.name());
        }
        self.span("delay", rule.delay);
        self.span("clear_delay", rule.clear_delay);
        self.list("max_ages", &rule.max_ages, |(vital, max_age): &(Vital, Duration)| {
            format!("{{ vital = \"{vital}\", max_age = {} }}", quoted(*max_age))
        });
        self.levels(&rule.levels, |text, level| {
            text.priority(level.priority);
            text.value("total", level.total);
            text.value("clear_total", level.clear_total);
        });
    }

    fn silence(&mut self, rule: SilenceRule) {
        self.name("vital", rule.vital.name());
        self.value("intervals", rule.intervals);
        self.priority(rule.priority);
        self.span("at_least", rule.at_least);
    }

    fn technical(&mut self, rule: TechnicalRule) {
        let condition = match rule.condition {
            TechnicalCondition::BatteryLow(_) => TechnicalCondition::BatteryLow(0),
            condition => condition,
        };
        self.name("condition", name_of(&CONDITIONS, condition));
        if let TechnicalCondition::BatteryLow(percent) = rule.condition {
            self.value("battery_percent", percent);
        }
        self.priority(rule.priority);
        self.span("delay", rule.delay);
    }
}

fn quoted(span: Duration) -> String {
    format!("\"{}\"", Span(span))
}
