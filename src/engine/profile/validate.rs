//! Whether every rule of a profile can mean what it says.
//!
//! Each violation names the rule and the field, says what is wrong and what would be right, and all
//! are found at once. The bounds here are those that `profile.proto` states, no more and no fewer.
//! What depends on a patient's devices is no violation; `monitored` says it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::span::Span;
use super::{
    BaselineLevel, BaselineRule, DELAY_MAX, Escalation, LEVELS_MAX, Level, LimitRule, Profile,
    RESERVED_ID_PREFIX, RULES_MAX, Rule, RuleKind, SPOT_READINGS_MAX, Scope, Score, ScoreRule,
    Side, SilenceRule, SpO2Scale, Spot, Sustained, TechnicalCondition, TechnicalRule, TrendRule,
    Violation,
};
use crate::vitals::{Priority, Quantity, Vital};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Delays of any kind.
const DELAY: RangeInclusive<Duration> = Duration::ZERO..=DELAY_MAX;
/// How late a reading may still act: what happened yesterday is history.
const ACTIONABLE: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Nobody walks to a bed faster, and nobody may be left alone longer.
const ESCALATION: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;
/// From a fast desaturation to a month of weights.
const TREND_WINDOW: RangeInclusive<Duration> = MINUTE..=MONTH;
/// Two make a change; more than these no rule needs and no state keeps.
const TREND_READINGS: RangeInclusive<u32> = 2..=64;
/// Two hours are what a baseline needs to settle.
const BASELINE_HISTORY: RangeInclusive<Duration> = HOUR.saturating_mul(2)..=MONTH;
/// Fewer give no spread; more no baseline needs.
const BASELINE_READINGS: RangeInclusive<u32> = 10..=1000;
/// Beyond this no reading of a living patient lies.
const Z_MAX: Quantity = Quantity::whole(100);
/// NEWS2's range without 0, which is no reason to alarm.
const TOTAL: RangeInclusive<u8> = 1..=20;
/// How many expected intervals may pass.
const INTERVALS_MIN: Quantity = Quantity::whole(1);
const INTERVALS_MAX: Quantity = Quantity::whole(1000);
/// An empty and a full battery are never "below".
const BATTERY: RangeInclusive<u8> = 1..=99;

/// The vitals that count for NEWS2.
const NEWS2_VITALS: [Vital; 8] = [
    Vital::HeartRate,
    Vital::PulseRate,
    Vital::Spo2,
    Vital::RespiratoryRate,
    Vital::SystolicPressure,
    Vital::BodyTemperature,
    Vital::OxygenFlow,
    Vital::Consciousness,
];

/// Whose profile it is, as far as that decides what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// Everyone's.
    Everyone,
    /// A site's.
    Site,
    /// A patient's own.
    Patient,
}

impl From<Scope> for OwnerKind {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Default => Self::Everyone,
            Scope::Site(_) => Self::Site,
            Scope::Patient(_) => Self::Patient,
        }
    }
}

impl Profile {
    /// Checks that every rule can mean what it says in a profile of this owner.
    ///
    /// # Errors
    /// All violations, in the order of the rules.
    pub fn validate(&self, owner: OwnerKind) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        if self.rules.len() > RULES_MAX {
            let description = format!("{} rules; at most {RULES_MAX}", self.rules.len());
            found.push(Violation { field: "rules".to_owned(), description });
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let mut check = Check { path: format!("rules[{}]", rule.id), found: &mut found };
            if self.rules[..index].iter().any(|earlier| earlier.id == rule.id) {
                check.refuse("id", "a second rule with this id; a rule stands once");
            }
            check.rule(rule, owner);
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// Collects what is wrong with what stands at `path`.
struct Check<'a> {
    path: String,
    found: &'a mut Vec<Violation>,
}

impl Check<'_> {
    fn refuse(&mut self, field: impl Display, description: impl Into<String>) {
        let field = match field.to_string().as_str() {
            "" => self.path.clone(),
            field => format!("{}.{field}", self.path),
        };
        self.found.push(Violation { field, description: description.into() });
    }

    /// The checks of what stands at `field`.
    fn within(&mut self, field: impl Display) -> Check<'_> {
        Check { path: format!("{}.{field}", self.path), found: self.found }
    }

    fn span(&mut self, field: &str, span: Duration, range: &RangeInclusive<Duration>) {
        if !range.contains(&span) {
            let (low, high) = (Span(*range.start()), Span(*range.end()));
            self.refuse(field, format!("{}; {low} to {high}", Span(span)));
        }
    }

    fn positive_span(&mut self, field: &str, span: Duration, max: Duration) {
        if span.is_zero() || span > max {
            self.refuse(field, format!("{}; more than 0 s, at most {}", Span(span), Span(max)));
        }
    }

    fn number<T: Display + PartialOrd>(
        &mut self,
        field: impl Display,
        number: T,
        range: &RangeInclusive<T>,
    ) {
        if !range.contains(&number) {
            self.refuse(field, format!("{number}; {} to {}", range.start(), range.end()));
        }
    }

    fn positive(&mut self, field: &str, number: Quantity, max: Quantity) {
        if number <= Quantity::default() || number > max {
            self.refuse(field, format!("{number}; more than 0, at most {max}"));
        }
    }

    fn measurable(&mut self, vital: Vital, instead: &str) {
        if vital == Vital::Consciousness {
            self.refuse("vital", format!("consciousness is no quantity; {instead}"));
        }
    }

    fn rule(&mut self, rule: &Rule, owner: OwnerKind) {
        if rule.id.as_str().starts_with(RESERVED_ID_PREFIX) {
            let description =
                format!("ids that begin with {RESERVED_ID_PREFIX} are the service's own");
            self.refuse("id", description);
        }
        self.span("actionable_for", rule.actionable_for, &ACTIONABLE);
        self.escalations(&rule.escalations);
        match &rule.kind {
            RuleKind::Off | RuleKind::Asserted(_) => {}
            RuleKind::Limit(limit) => self.limit(limit),
            RuleKind::Trend(trend) => self.trend(trend),
            RuleKind::Baseline(baseline) => self.baseline(baseline),
            RuleKind::Score(score) => self.score(score, owner),
            RuleKind::Silence(silence) => self.silence(silence),
            RuleKind::Technical(technical) => self.technical(technical),
        }
    }

    fn escalations(&mut self, escalations: &[Escalation]) {
        for (index, escalation) in escalations.iter().enumerate() {
            let mut check = self.within(format_args!("escalations[{index}]"));
            let same = |earlier: &Escalation| earlier.priority == escalation.priority;
            if escalations[..index].iter().any(same) {
                let priority = escalation.priority.name();
                check.refuse("priority", format!("{priority} a second time; each once"));
            }
            check.span("after", escalation.after, &ESCALATION);
        }
    }

    fn limit(&mut self, limit: &LimitRule) {
        self.measurable(limit.vital, "use a score rule");
        if limit.covers_pulse_rate && limit.vital != Vital::HeartRate {
            self.refuse("covers_pulse_rate", "only a heart_rate rule can cover pulse rate");
        }
        self.span("clear_delay", limit.clear_delay, &DELAY);
        for (index, level) in limit.levels.iter().enumerate() {
            self.within(format_args!("levels[{index}]")).limit_level(level, limit);
        }
        let steps = limit.levels.iter();
        let steps =
            steps.map(|it| Step { priority: it.priority, at: it.limit, clear: it.clear_limit });
        self.ladder("limit", &steps.collect::<Vec<_>>(), |a, b| limit.side.is_beyond(a, b));
    }

    fn limit_level(&mut self, level: &Level, rule: &LimitRule) {
        let (vital, possible) = (rule.vital, rule.vital.possible());
        let far_end = if rule.side == Side::Above { possible.high } else { possible.low };
        for (field, value) in [("limit", level.limit), ("clear_limit", level.clear_limit)] {
            if !possible.contains(value) {
                let unit = vital.unit().ucum();
                let (low, high) = (possible.low, possible.high);
                self.refuse(field, format!("{value} is no {vital}; {low} to {high} {unit}"));
            }
        }
        if level.limit == far_end {
            let which = if rule.side == Side::Above { "above" } else { "below" };
            self.refuse("limit", format!("no possible {vital} lies {which} {far_end}"));
        }
        if rule.side.is_beyond(level.clear_limit, level.limit) {
            let (clear, limit) = (level.clear_limit, level.limit);
            let which = if rule.side == Side::Above { "at most" } else { "at least" };
            self.refuse(
                "clear_limit",
                format!("{clear} would clear values that breach {limit}; {which} {limit}"),
            );
        }
        self.persistence(level);
    }

    fn persistence(&mut self, level: &Level) {
        if level.sustained.is_none() && level.spot.is_none() {
            self.refuse("", "no persistence; sustained, spot, or both");
        }
        if let Some(sustained) = level.sustained {
            self.sustained(sustained);
        }
        if let Some(spot) = level.spot {
            self.within("spot").spot(spot);
        }
    }

    fn sustained(&mut self, sustained: Sustained) {
        let mut check = self.within("sustained");
        check.span("delay", sustained.delay, &DELAY);
        check.positive_span("max_gap", sustained.max_gap, DELAY_MAX);
    }

    fn spot(&mut self, spot: Spot) {
        self.number("of", spot.of, &(1..=SPOT_READINGS_MAX));
        if spot.n == 0 || spot.n > spot.of {
            self.refuse("n", format!("{} of {}; 1 to {}", spot.n, spot.of, spot.of.max(1)));
        }
        self.positive_span("within", spot.within, WEEK);
    }

    fn trend(&mut self, trend: &TrendRule) {
        self.measurable(trend.vital, "its changes have no size");
        self.span("window", trend.window, &TREND_WINDOW);
        self.number("readings_min", trend.readings_min, &TREND_READINGS);
        let steps: Vec<_> = trend
            .levels
            .iter()
            .map(|it| Step { priority: it.priority, at: it.delta, clear: it.clear_delta })
            .collect();
        self.sizes("delta", &steps, width(trend.vital));
    }

    fn baseline(&mut self, baseline: &BaselineRule) {
        self.measurable(baseline.vital, "it has no usual range");
        self.span("history", baseline.history, &BASELINE_HISTORY);
        self.number("readings_min", baseline.readings_min, &BASELINE_READINGS);
        self.positive("spread_min", baseline.spread_min, width(baseline.vital));
        self.span("clear_delay", baseline.clear_delay, &DELAY);
        for (index, level) in baseline.levels.iter().enumerate() {
            self.within(format_args!("levels[{index}]")).sustained(level.sustained);
        }
        let step = |it: &BaselineLevel| Step { priority: it.priority, at: it.z, clear: it.clear_z };
        self.sizes("z", &baseline.levels.iter().map(step).collect::<Vec<_>>(), Z_MAX);
    }

    /// Levels that count from 0 up, as trends and baselines do.
    fn sizes(&mut self, name: &str, steps: &[Step<Quantity>], max: Quantity) {
        for (index, step) in steps.iter().enumerate() {
            let mut check = self.within(format_args!("levels[{index}]"));
            check.positive(name, step.at, max);
            if step.clear < Quantity::default() || step.clear > step.at {
                let description = format!("{}; 0 to {}, the {name}", step.clear, step.at);
                check.refuse(format_args!("clear_{name}"), description);
            }
        }
        self.ladder(name, steps, |a, b| a > b);
    }

    fn score(&mut self, score: &ScoreRule, owner: OwnerKind) {
        let Score::News2(scale) = score.score;
        if scale == SpO2Scale::Two && owner != OwnerKind::Patient {
            let description = "scale two stands only in a patient's own profile, by a clinician's \
                               decision; scale one";
            self.refuse("spo2_scale", description);
        }
        for (index, level) in score.levels.iter().enumerate() {
            let mut check = self.within(format_args!("levels[{index}]"));
            check.number("total", level.total, &TOTAL);
            if level.clear_total >= level.total {
                let (clear, total) = (level.clear_total, level.total);
                check.refuse("clear_total", format!("{clear}; less than {total}, the total"));
            }
        }
        let steps = score.levels.iter();
        let steps =
            steps.map(|it| Step { priority: it.priority, at: it.total, clear: it.clear_total });
        self.ladder("total", &steps.collect::<Vec<_>>(), |a, b| a > b);
        self.max_ages(&score.max_ages);
        self.span("delay", score.delay, &DELAY);
        self.span("clear_delay", score.clear_delay, &DELAY);
    }

    fn max_ages(&mut self, max_ages: &[(Vital, Duration)]) {
        for (index, (vital, max_age)) in max_ages.iter().enumerate() {
            let mut check = self.within(format_args!("max_ages[{index}]"));
            if !NEWS2_VITALS.contains(vital) {
                check.refuse("vital", format!("{vital} is no parameter of NEWS2"));
            }
            if max_ages[..index].iter().any(|(earlier, _)| earlier == vital) {
                check.refuse("vital", format!("{vital} a second time; each once"));
            }
            check.positive_span("max_age", *max_age, WEEK);
        }
    }

    fn silence(&mut self, silence: &SilenceRule) {
        self.number("intervals", silence.intervals, &(INTERVALS_MIN..=INTERVALS_MAX));
        self.span("at_least", silence.at_least, &DELAY);
    }

    fn technical(&mut self, technical: &TechnicalRule) {
        self.span("delay", technical.delay, &DELAY);
        if let TechnicalCondition::BatteryLow(percent) = technical.condition {
            self.number("battery_percent", percent, &BATTERY);
        }
    }

    /// Levels rise by priority and by what they are reached at, and a higher one ends no later
    /// than the one below it. `beyond`: the first is strictly more extreme than the second.
    fn ladder<T: Copy + Display>(
        &mut self,
        name: &str,
        steps: &[Step<T>],
        beyond: impl Fn(T, T) -> bool,
    ) {
        if steps.is_empty() || steps.len() > LEVELS_MAX {
            self.refuse("levels", format!("{} levels; 1 to {LEVELS_MAX}", steps.len()));
        }
        for (index, pair) in steps.windows(2).enumerate() {
            let (lower, step) = (&pair[0], &pair[1]);
            let mut check = self.within(format_args!("levels[{}]", index + 1));
            if step.priority <= lower.priority {
                let (this, that) = (step.priority.name(), lower.priority.name());
                check.refuse("priority", format!("{this} after {that}; levels rise in priority"));
            }
            if beyond(lower.clear, step.clear) {
                let (this, that) = (step.clear, lower.clear);
                let description = format!(
                    "{this} would end this level after the lower one, which ends at {that}; {that} \
                     or more extreme"
                );
                check.refuse(format_args!("clear_{name}"), description);
            }
            if !beyond(step.at, lower.at) {
                let (this, that) = (step.at, lower.at);
                let description =
                    format!("{this} is not more extreme than {that} of the lower level");
                check.refuse(name, description);
            }
        }
    }
}

/// What all kinds of levels have in common.
struct Step<T> {
    priority: Priority,
    at: T,
    clear: T,
}

/// The largest change that a vital's possible range allows.
fn width(vital: Vital) -> Quantity {
    vital.possible().high.minus(vital.possible().low)
}

#[cfg(test)]
mod tests;
