//! Alarm profiles: sets of rules with individual limits, and how three scopes merge into one.
//!
//! A [`Profile`] belongs to one [`Scope`]. A patient's effective rules are patient over site over
//! default, rule by rule: a rule of a narrower scope replaces the whole rule of the same id.
//! [`Profile::validate`] accepts only rules that can mean what they say. What a rule does with
//! readings stands in `rules`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::vitals::{PatientKey, Priority, Quantity, RuleId, SiteKey, Vital};

/// Rules of one profile at most; a bound on the work that one reading can cause.
pub const RULES_MAX: usize = 64;
/// Levels of one rule at most: one per priority.
pub const LEVELS_MAX: usize = 3;
/// The longest delay or gap that a rule may ask for.
pub const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose limits they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everyone's, unless a narrower scope says otherwise.
    Default,
    /// A site's.
    Site(SiteKey),
    /// One patient's own.
    Patient(PatientKey),
}

/// A set of rules with unique ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The rules, at most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id, under which scopes merge and alerts name it.
    pub id: RuleId,
    /// What it watches.
    pub kind: RuleKind,
}

/// The kinds of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleKind {
    /// Replaces a rule of a wider scope by nothing: that rule is off in this scope.
    Off,
    /// A vital beyond a limit.
    Limit(LimitRule),
}

/// A vital beyond a limit for some time, with a level for each priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRule {
    /// The vital.
    pub vital: Vital,
    /// For [`Vital::HeartRate`]: whether pulse rate counts as heart rate.
    pub covers_pulse_rate: bool,
    /// On which side of its limit a value breaches.
    pub side: Side,
    /// The levels, by rising priority, each limit more extreme than the one before.
    pub levels: Vec<Level>,
    /// How long values must stay within a level's clear limit before the level ends, by measured
    /// time. Zero: the first such value ends it.
    pub clear_delay: Duration,
}

/// Which values breach a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Those above it.
    Above,
    /// Those below it.
    Below,
}

impl Side {
    /// Whether `value` lies strictly beyond `limit` on this side.
    #[must_use]
    pub fn is_beyond(self, value: Quantity, limit: Quantity) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

/// One level of a limit rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The priority of an alert at this level.
    pub priority: Priority,
    /// A value strictly beyond it breaches. In the vital's canonical unit.
    pub limit: Quantity,
    /// A value not beyond it counts towards clearing. The limit itself, or on its safe side.
    pub clear_limit: Quantity,
    /// How long a breach must last.
    pub sustained: Sustained,
}

/// Persistence for a device that measures steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sustained {
    /// The alarm condition delay: from the first breaching reading to the one that raises, by
    /// measured time.
    pub delay: Duration,
    /// Two readings further apart than this are not one breach.
    pub max_gap: Duration,
}

/// What is wrong with a profile: which field of which rule, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path of the field, such as `rules[hr-high].levels[1].clear_limit`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// A rule in force for a patient, with its provenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveRule {
    /// The rule.
    pub rule: Rule,
    /// Whose it is.
    pub scope: Scope,
    /// The version of that scope's profile in which the rule got its present form.
    pub version: u32,
}

/// A profile as it stands in the registry: with its version, which counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionedProfile {
    /// How often this scope's profile was put.
    pub version: u32,
    /// The rules.
    pub profile: Profile,
    /// For each rule, the version in which it got its present form: one that was put again
    /// unchanged goes on as if nothing had happened.
    pub rule_versions: Vec<u32>,
}

impl VersionedProfile {
    /// `profile` as the successor of `before`.
    #[must_use]
    pub fn succeeding(before: Option<&Self>, profile: Profile) -> Self {
        let version = before.map_or(0, |before| before.version) + 1;
        let unchanged = |rule: &Rule| {
            let before = before?;
            let index = before.profile.rules.iter().position(|earlier| earlier == rule)?;
            before.rule_versions.get(index).copied()
        };
        let rule_versions =
            profile.rules.iter().map(|rule| unchanged(rule).unwrap_or(version)).collect();
        Self { version, profile, rule_versions }
    }
}

impl Profile {
    /// Checks that every rule can mean what it says.
    ///
    /// # Errors
    /// All violations, in the order of the rules.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        if self.rules.len() > RULES_MAX {
            found.push(Violation {
                field: "rules".to_owned(),
                description: format!("{} rules; at most {RULES_MAX}", self.rules.len()),
            });
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if self.rules[..index].iter().any(|earlier| earlier.id == rule.id) {
                found.push(Violation {
                    field: format!("rules[{}]", rule.id),
                    description: "a second rule with this id".to_owned(),
                });
            }
            if let RuleKind::Limit(limit) = &rule.kind {
                limit.validate(&format!("rules[{}]", rule.id), &mut found);
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl LimitRule {
    /// Whether readings of `vital` are judged by this rule.
    #[must_use]
    pub fn covers(&self, vital: Vital) -> bool {
        vital == self.vital || (self.covers_pulse_rate && vital == Vital::PulseRate)
    }

    fn validate(&self, path: &str, found: &mut Vec<Violation>) {
        let mut refuse = |field: String, description: String| {
            found.push(Violation { field: format!("{path}.{field}"), description });
        };
        if matches!(self.vital, Vital::Consciousness) {
            refuse("vital".into(), "consciousness has no limit; use a score rule".into());
        }
        if self.covers_pulse_rate && self.vital != Vital::HeartRate {
            refuse(
                "covers_pulse_rate".into(),
                "only a heart rate rule can cover pulse rate".into(),
            );
        }
        if self.levels.is_empty() || self.levels.len() > LEVELS_MAX {
            refuse("levels".into(), format!("{} levels; 1 to {LEVELS_MAX}", self.levels.len()));
        }
        if self.clear_delay > DELAY_MAX {
            refuse("clear_delay".into(), "longer than 24 h".into());
        }
        for (index, level) in self.levels.iter().enumerate() {
            let at = |field: &str| format!("levels[{index}].{field}");
            if !self.vital.possible().contains(level.limit) {
                refuse(
                    at("limit"),
                    format!("{} is no possible value of {}", level.limit, self.vital),
                );
            }
            if !self.vital.possible().contains(level.clear_limit) {
                refuse(
                    at("clear_limit"),
                    format!("{} is no possible value of {}", level.clear_limit, self.vital),
                );
            }
            if self.side.is_beyond(level.clear_limit, level.limit) {
                refuse(
                    at("clear_limit"),
                    format!(
                        "{} would clear a value that breaches {}",
                        level.clear_limit, level.limit
                    ),
                );
            }
            if level.sustained.max_gap.is_zero() {
                refuse(at("sustained.max_gap"), "zero: no two readings would be one breach".into());
            }
            if level.sustained.delay > DELAY_MAX || level.sustained.max_gap > DELAY_MAX {
                refuse(at("sustained"), "longer than 24 h".into());
            }
            let Some(lower) = index.checked_sub(1).map(|before| &self.levels[before]) else {
                continue;
            };
            if level.priority <= lower.priority {
                refuse(at("priority"), "levels stand in rising priority".into());
            }
            if self.side.is_beyond(lower.clear_limit, level.clear_limit) {
                refuse(
                    at("clear_limit"),
                    format!(
                        "{} would end this level after the lower one, which ends at {}",
                        level.clear_limit, lower.clear_limit
                    ),
                );
            }
            if !self.side.is_beyond(level.limit, lower.limit) {
                refuse(
                    at("limit"),
                    format!(
                        "{} is not more extreme than {} of the lower level",
                        level.limit, lower.limit
                    ),
                );
            }
        }
    }
}

/// The rules in force where these scopes apply, ordered by rule id: later scopes of `layers`
/// replace rules of earlier ones. Rules that are off are left out.
#[must_use]
pub fn merge(layers: &[(Scope, &VersionedProfile)]) -> Arc<[EffectiveRule]> {
    let mut rules = BTreeMap::new();
    for (scope, layer) in layers {
        for (rule, version) in layer.profile.rules.iter().zip(&layer.rule_versions) {
            let effective = EffectiveRule { rule: rule.clone(), scope: *scope, version: *version };
            rules.insert(rule.id.clone(), effective);
        }
    }
    rules.into_values().filter(|effective| effective.rule.kind != RuleKind::Off).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(priority: Priority, limit: i64) -> Level {
        Level {
            priority,
            limit: Quantity::whole(limit),
            clear_limit: Quantity::whole(limit),
            sustained: Sustained {
                delay: Duration::from_secs(15),
                max_gap: Duration::from_secs(2),
            },
        }
    }

    fn rule(id: &str, levels: Vec<Level>) -> Rule {
        let limit = LimitRule {
            vital: Vital::HeartRate,
            covers_pulse_rate: true,
            side: Side::Above,
            levels,
            clear_delay: Duration::ZERO,
        };
        Rule { id: RuleId::new(id).expect("valid"), kind: RuleKind::Limit(limit) }
    }

    fn check(profile: &Profile, expected: &[&str]) {
        let fields: Vec<String> = profile
            .validate()
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_sound_profile_passes() {
        let levels = vec![level(Priority::Medium, 120), level(Priority::High, 150)];
        check(&Profile { rules: vec![rule("hr", levels)] }, &[]);
    }

    #[test]
    fn each_violation_names_its_rule_and_field() {
        let mut wrong = level(Priority::High, 400);
        wrong.clear_limit = Quantity::whole(500);
        wrong.sustained.max_gap = Duration::ZERO;
        check(
            &Profile { rules: vec![rule("hr", vec![wrong])] },
            &[
                "rules[hr].levels[0].limit",
                "rules[hr].levels[0].clear_limit",
                "rules[hr].levels[0].clear_limit",
                "rules[hr].levels[0].sustained.max_gap",
            ],
        );
        let disordered = vec![level(Priority::High, 120), level(Priority::Medium, 110)];
        check(
            &Profile { rules: vec![rule("hr", disordered), rule("hr", Vec::new())] },
            &[
                "rules[hr].levels[1].priority",
                "rules[hr].levels[1].clear_limit",
                "rules[hr].levels[1].limit",
                "rules[hr]",
                "rules[hr].levels",
            ],
        );
    }

    #[test]
    fn the_narrower_scope_replaces_the_whole_rule_and_can_switch_it_off() {
        let wide = Profile {
            rules: vec![rule("a", vec![level(Priority::Low, 100)]), rule("b", Vec::new())],
        };
        let own = Profile {
            rules: vec![
                rule("a", vec![level(Priority::High, 140)]),
                Rule { id: RuleId::new("b").expect("valid"), kind: RuleKind::Off },
            ],
        };
        let patient = Scope::Patient(PatientKey(3));
        let rules = merge(&[
            (Scope::Default, &VersionedProfile::succeeding(None, wide)),
            (patient, &VersionedProfile::succeeding(None, own.clone())),
        ]);
        assert_eq!(rules.len(), 1);
        assert_eq!((&rules[0].rule, rules[0].scope), (&own.rules[0], patient));
    }

    #[test]
    fn a_rule_put_again_unchanged_keeps_its_version() {
        let first = Profile { rules: vec![rule("a", Vec::new()), rule("b", Vec::new())] };
        let mut second = first.clone();
        second.rules[1] = rule("b", vec![level(Priority::Low, 100)]);
        let first = VersionedProfile::succeeding(None, first);
        let second = VersionedProfile::succeeding(Some(&first), second);
        assert_eq!(second.version, 2);
        assert_eq!(second.rule_versions, [1, 2]);
    }
}
