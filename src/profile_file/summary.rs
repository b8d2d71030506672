//! A profile in words, for whoever reviews it; and what a change of one would change.
//!
//! Nothing that decides about a patient is left out, so that two rules that read the same are the
//! same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CONDITIONS, SIDES, name_of};
use crate::engine::profile::span::Span;
use crate::engine::profile::{
    BaselineRule, Level, LimitRule, Profile, Rule, RuleKind, Score, ScoreRule, Side, SilenceRule,
    SpO2Scale, Sustained, TechnicalCondition, TechnicalRule, TrendRule,
};
use crate::vitals::Vital;

/// A line for each rule and for each of its levels.
#[must_use]
pub fn summary(profile: &Profile) -> String {
    profile.rules.iter().map(|rule| lines(rule, "")).collect()
}

/// What putting `after` in the place of `before` changes: rules that come (`+`) and that go (`-`),
/// a changed one as both.
#[must_use]
pub fn difference(before: &Profile, after: &Profile) -> String {
    let by_id = |profile: &Profile| -> BTreeMap<_, _> {
        profile.rules.iter().map(|rule| (rule.id.clone(), rule.clone())).collect()
    };
    let (before, after) = (by_id(before), by_id(after));
    let mut text = String::new();
    for id in before.keys().chain(after.keys().filter(|id| !before.contains_key(*id))) {
        let (old, new) = (before.get(id), after.get(id));
        if old != new {
            text.extend(old.map(|rule| lines(rule, "- ")));
            text.extend(new.map(|rule| lines(rule, "+ ")));
        }
    }
    text
}

fn lines(rule: &Rule, sign: &str) -> String {
    let (what, levels) = kind(&rule.kind);
    let mut text = format!("{sign}{}: {what}{}\n", rule.id, beside_the_kind(rule));
    for level in levels {
        text.push_str(&format!("{sign}    {level}\n"));
    }
    text
}

fn beside_the_kind(rule: &Rule) -> String {
    let mut text = String::new();
    if rule.actionable_for != Rule::ACTIONABLE_FOR {
        text.push_str(&format!("; acts on readings up to {} old", Span(rule.actionable_for)));
    }
    if let Some(priority) = rule.latching_from {
        text.push_str(&format!("; latches from {}", priority.name()));
    }
    for escalation in &rule.escalations {
        let (priority, after) = (escalation.priority.name(), Span(escalation.after));
        text.push_str(&format!("; {priority} is passed on after {after}"));
    }
    text
}

fn kind(kind: &RuleKind) -> (String, Vec<String>) {
    match kind {
        RuleKind::Off => ("off".to_owned(), Vec::new()),
        RuleKind::Limit(rule) => (limit(rule), each(&rule.levels, |it| level(rule, it))),
        RuleKind::Trend(rule) => trend(rule),
        RuleKind::Baseline(rule) => baseline(rule),
        RuleKind::Score(rule) => score(rule),
        RuleKind::Silence(rule) => (silence(*rule), Vec::new()),
        RuleKind::Technical(rule) => (technical(*rule), Vec::new()),
        RuleKind::Asserted(rule) => {
            let (priority, event) = (rule.priority.name(), rule.event.name());
            (format!("{priority} if a device asserts {event}"), Vec::new())
        }
    }
}

fn each<T>(levels: &[T], words: impl Fn(&T) -> String) -> Vec<String> {
    levels.iter().map(words).collect()
}

/// `, clears after 15 s`, or nothing where the first good value clears.
fn clears_after(delay: Duration) -> String {
    if delay.is_zero() { String::new() } else { format!(", clears after {}", Span(delay)) }
}

fn limit(rule: &LimitRule) -> String {
    let pulse = if rule.covers_pulse_rate { " (and pulse_rate)" } else { "" };
    let side = name_of(&SIDES, rule.side);
    format!("{}{pulse} {side} a limit{}", rule.vital, clears_after(rule.clear_delay))
}

fn level(rule: &LimitRule, level: &Level) -> String {
    let forms: Vec<String> = [
        level.sustained.map(sustained),
        level.spot.map(|it| format!("{} of {} readings within {}", it.n, it.of, Span(it.within))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (priority, side) = (level.priority.name(), name_of(&SIDES, rule.side));
    let (limit, clear, unit) = (level.limit, level.clear_limit, rule.vital.unit().ucum());
    format!("{priority} {side} {limit} {unit}, clears at {clear}: {}", forms.join(", or "))
}

fn sustained(sustained: Sustained) -> String {
    format!("{} with gaps of {} at most", Span(sustained.delay), Span(sustained.max_gap))
}

fn trend(rule: &TrendRule) -> (String, Vec<String>) {
    let changes = if rule.direction == Side::Above { "rises" } else { "falls" };
    let (window, least, unit) = (Span(rule.window), rule.readings_min, rule.vital.unit().ucum());
    let what = format!("{} {changes} within {window} ({least} readings or more)", rule.vital);
    let levels = each(&rule.levels, |it| {
        let (priority, delta, clear) = (it.priority.name(), it.delta, it.clear_delta);
        format!("{priority} by more than {delta} {unit}, clears at {clear}")
    });
    (what, levels)
}

fn baseline(rule: &BaselineRule) -> (String, Vec<String>) {
    let what = format!(
        "{} {} the patient's own of {} ({} readings or more, spread {} or more){}",
        rule.vital,
        name_of(&SIDES, rule.side),
        Span(rule.history),
        rule.readings_min,
        rule.spread_min,
        clears_after(rule.clear_delay),
    );
    let levels = each(&rule.levels, |it| {
        let (priority, z, clear) = (it.priority.name(), it.z, it.clear_z);
        format!(
            "{priority} by more than {z} spreads, clears at {clear}: {}",
            sustained(it.sustained)
        )
    });
    (what, levels)
}

fn score(rule: &ScoreRule) -> (String, Vec<String>) {
    let Score::News2(scale) = rule.score;
    let scale = if scale == SpO2Scale::One { 1 } else { 2 };
    let mut what = format!("NEWS2 on SpO2 scale {scale}, stands for {}", Span(rule.delay));
    what.push_str(&clears_after(rule.clear_delay));
    if let Some(priority) = rule.single_parameter_priority {
        what.push_str(&format!("; a single 3 is {}", priority.name()));
    }
    let mut levels = each(&rule.levels, |it| {
        format!("{} from {} points, clears at {}", it.priority.name(), it.total, it.clear_total)
    });
    if !rule.max_ages.is_empty() {
        let age = |(vital, max_age): &(Vital, Duration)| format!("{vital} {}", Span(*max_age));
        let ages = each(&rule.max_ages, age);
        levels.push(format!("readings count for: {}", ages.join(", ")));
    }
    (what, levels)
}

fn silence(rule: SilenceRule) -> String {
    let (priority, vital, intervals) = (rule.priority.name(), rule.vital, rule.intervals);
    let at_least = Span(rule.at_least);
    format!("{priority} if no {vital} for {intervals} intervals, and for {at_least} at least")
}

fn technical(rule: TechnicalRule) -> String {
    let what = match rule.condition {
        TechnicalCondition::BatteryLow(percent) => format!("battery below {percent} %"),
        condition => name_of(&CONDITIONS, condition).replace('_', " "),
    };
    let lasts = match rule.delay.is_zero() {
        true => String::new(),
        false => format!(" for {}", Span(rule.delay)),
    };
    format!("{} if {what}{lasts}", rule.priority.name())
}
