//! The rules of a run's profile, as the oracle reads them.
//!
//! Limit and silence rules are judged. All others are named as [`Kind::NotJudged`]: what the service
//! raises by them is reported, and neither expected nor called false.

use std::sync::Arc;

use crate::proto::v1;

use super::vital::{self, Quantity};

/// Microseconds.
pub type Micros = i64;

const SECOND: Micros = 1_000_000;
/// `actionable_for` where a rule doesn't say.
const ACTIONABLE_FOR: Micros = 10 * 60 * SECOND;
/// Ids that begin so are of the service itself.
const OWN_RULES: &str = "pulseward.";

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: Arc<str>,
    /// Until what age a reading that is late and the newest may raise with signal.
    pub actionable_for: Micros,
    /// What it does.
    pub kind: Kind,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A vital beyond a limit.
    Limit(LimitRule),
    /// A vital that is no longer measured.
    Silence(SilenceRule),
    /// The kind's name, of a kind that is not judged.
    NotJudged(&'static str),
}

/// A vital beyond a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRule {
    /// The vitals that it covers, each judged like a device of its own.
    pub vitals: Vec<v1::Vital>,
    /// Whether values above breach; else those below.
    pub is_above: bool,
    /// By rising priority.
    pub levels: Vec<Level>,
    /// How long values must stay clear.
    pub clear_delay: Micros,
}

/// One level.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Of an alert at this level.
    pub priority: v1::Priority,
    /// A value strictly beyond it breaches.
    pub limit: Quantity,
    /// A value not beyond it is clear.
    pub clear_limit: Quantity,
    /// For a device that measures steadily.
    pub sustained: Option<Sustained>,
    /// For one that measures now and then.
    pub spot: Option<Spot>,
}

/// A breach must last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sustained {
    /// For so long.
    pub delay: Micros,
    /// With no longer gap.
    pub max_gap: Micros,
}

/// A breach must be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// So often.
    pub n: usize,
    /// Of so many.
    pub of: usize,
    /// Within so long.
    pub within: Micros,
}

/// A vital that is no longer measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceRule {
    /// Which.
    pub vital: v1::Vital,
    /// Expected intervals that may pass.
    pub intervals: f64,
    /// Never before.
    pub at_least: Micros,
    /// Of its alert.
    pub priority: v1::Priority,
}

impl LimitRule {
    /// Whether `value` lies strictly beyond `limit`.
    #[must_use]
    pub const fn is_beyond(&self, value: Quantity, limit: Quantity) -> bool {
        if self.is_above { value > limit } else { value < limit }
    }

    /// Whether no level's breach goes on over a gap as long as `gap`.
    #[must_use]
    pub fn is_apart(&self, interval: Option<Micros>, gap: Micros) -> bool {
        self.levels
            .iter()
            .all(|level| level.longest_gap(interval).is_some_and(|longest| gap > longest))
    }
}

impl Level {
    /// How far apart the readings of one breach may be.
    #[must_use]
    pub fn longest_gap(&self, interval: Option<Micros>) -> Option<Micros> {
        if self.is_spot(interval) {
            return self.spot.map(|spot| spot.within);
        }
        self.sustained.map(|sustained| sustained.max_gap)
    }

    /// Whether it is judged as spot for a device that measures every `interval`.
    #[must_use]
    pub fn is_spot(&self, interval: Option<Micros>) -> bool {
        match (self.sustained, self.spot) {
            (Some(sustained), Some(_)) => interval.is_some_and(|it| it > sustained.max_gap),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// The rules of `profile`; those that are switched off are left out.
#[must_use]
pub fn rules(profile: &v1::Profile) -> Vec<Rule> {
    profile.rules.iter().filter_map(rule).collect()
}

/// Whether the service has this rule by itself.
#[must_use]
pub fn is_own(rule_id: &str) -> bool {
    rule_id.starts_with(OWN_RULES)
}

fn rule(rule: &v1::Rule) -> Option<Rule> {
    use v1::rule::Kind as Wire;
    let kind = match rule.kind.as_ref()? {
        Wire::Off(_) => return None,
        Wire::Limit(limit) => Kind::Limit(limit_rule(limit)),
        Wire::Silence(silence) => Kind::Silence(SilenceRule {
            vital: silence.vital(),
            intervals: silence.intervals,
            at_least: silence.at_least.map_or(0, micros),
            priority: silence.priority(),
        }),
        Wire::Trend(_) => Kind::NotJudged("trend"),
        Wire::Baseline(_) => Kind::NotJudged("baseline"),
        Wire::Score(_) => Kind::NotJudged("score"),
        Wire::Technical(_) => Kind::NotJudged("technical"),
        Wire::Asserted(_) => Kind::NotJudged("asserted"),
    };
    let actionable_for = rule.actionable_for.map_or(ACTIONABLE_FOR, micros);
    Some(Rule { id: rule.rule_id.as_str().into(), actionable_for, kind })
}

fn limit_rule(rule: &v1::LimitRule) -> LimitRule {
    let mut vitals = vec![rule.vital()];
    if rule.covers_pulse_rate {
        vitals.push(v1::Vital::PulseRate);
    }
    LimitRule {
        vitals,
        is_above: rule.side() == v1::Side::Above,
        levels: rule.levels.iter().map(level).collect(),
        clear_delay: rule.clear_delay.map_or(0, micros),
    }
}

fn level(level: &v1::LimitLevel) -> Level {
    let limit = vital::quantity(level.limit);
    Level {
        priority: level.priority(),
        limit,
        clear_limit: level.clear_limit.map_or(limit, vital::quantity),
        sustained: level.sustained.as_ref().map(|it| Sustained {
            delay: it.delay.map_or(0, micros),
            max_gap: it.max_gap.map_or(0, micros),
        }),
        spot: level.spot.map(|it| Spot {
            n: it.n as usize,
            of: it.of as usize,
            within: it.within.map_or(0, micros),
        }),
    }
}

fn micros(span: prost_types::Duration) -> Micros {
    span.seconds * SECOND + i64::from(span.nanos) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_spot_where_the_device_measures_less_often_than_its_gap() {
        let sustained = Some(Sustained { delay: 0, max_gap: 90 * SECOND });
        let spot = Some(Spot { n: 2, of: 2, within: SECOND });
        let level = |sustained, spot| Level {
            priority: v1::Priority::Low,
            limit: 0,
            clear_limit: 0,
            sustained,
            spot,
        };
        for (level, interval, is_spot) in [
            (level(sustained, spot), None, false),
            (level(sustained, spot), Some(90 * SECOND), false),
            (level(sustained, spot), Some(90 * SECOND + 1), true),
            (level(sustained, None), Some(3600 * SECOND), false),
            (level(None, spot), None, true),
        ] {
            assert_eq!(level.is_spot(interval), is_spot, "{level:?} every {interval:?}");
        }
    }

    #[test]
    fn rules_that_are_switched_off_are_none_and_other_kinds_are_named() {
        let kinds = [
            v1::rule::Kind::Off(v1::rule::Off {}),
            v1::rule::Kind::Trend(v1::TrendRule::default()),
        ];
        let rules_of = |kind| v1::Rule { kind: Some(kind), ..v1::Rule::default() };
        let found = rules(&v1::Profile { rules: kinds.map(rules_of).to_vec() });
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, Kind::NotJudged("trend"));
        assert_eq!(found[0].actionable_for, 600 * SECOND);
    }
}
