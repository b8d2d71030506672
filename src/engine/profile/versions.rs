//! Profiles as they are kept, with their versions, and what of three scopes is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Profile, Rule, RuleKind, Scope};
use crate::clock::Timestamp;
use crate::engine::output::ProfileRow;

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
    /// When it was put.
    pub put_at: Timestamp,
    /// Who put it: the subject of their token.
    pub put_by: Box<str>,
}

impl VersionedProfile {
    /// What `row` says, as the successor of `before`; versions between may be unknown.
    #[must_use]
    pub fn succeeding(before: Option<&Self>, row: &ProfileRow) -> Self {
        let ProfileRow { version, profile, put_at, put_by, .. } = row.clone();
        let unchanged = |rule: &Rule| {
            let before = before?;
            let index = before.profile.rules.iter().position(|earlier| earlier == rule)?;
            before.rule_versions.get(index).copied()
        };
        let rule_versions =
            profile.rules.iter().map(|rule| unchanged(rule).unwrap_or(version)).collect();
        Self { version, profile, rule_versions, put_at, put_by: put_by.into() }
    }

    /// As it is told, where it is that of `scope`.
    #[must_use]
    pub fn row(&self, scope: Scope) -> ProfileRow {
        ProfileRow {
            scope,
            version: self.version,
            profile: self.profile.clone(),
            put_at: self.put_at,
            put_by: self.put_by.to_string(),
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
    use std::time::Duration;

    use super::*;
    use crate::engine::profile::{Level, LimitRule, Side, Sustained};
    use crate::vitals::{PatientKey, Priority, Quantity, RuleId, Vital};

    fn level(priority: Priority, limit: i64) -> Level {
        Level {
            priority,
            limit: Quantity::whole(limit),
            clear_limit: Quantity::whole(limit),
            sustained: Some(Sustained {
                delay: Duration::from_secs(15),
                max_gap: Duration::from_secs(2),
            }),
            spot: None,
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
        Rule::new(RuleId::new(id).expect("valid"), RuleKind::Limit(limit))
    }

    fn put(version: u32, profile: Profile) -> ProfileRow {
        let (put_at, put_by) = (Timestamp::EPOCH, "anna".to_owned());
        ProfileRow { scope: Scope::Default, version, profile, put_at, put_by }
    }

    #[test]
    fn the_narrower_scope_replaces_the_whole_rule_and_can_switch_it_off() {
        let wide = Profile {
            rules: vec![rule("a", vec![level(Priority::Low, 100)]), rule("b", Vec::new())],
        };
        let own = Profile {
            rules: vec![
                rule("a", vec![level(Priority::High, 140)]),
                Rule::new(RuleId::new("b").expect("valid"), RuleKind::Off),
            ],
        };
        let patient = Scope::Patient(PatientKey(3));
        let rules = merge(&[
            (Scope::Default, &VersionedProfile::succeeding(None, &put(1, wide))),
            (patient, &VersionedProfile::succeeding(None, &put(1, own.clone()))),
        ]);
        assert_eq!(rules.len(), 1);
        assert_eq!((&rules[0].rule, rules[0].scope), (&own.rules[0], patient));
    }

    #[test]
    fn a_rule_put_again_unchanged_keeps_its_version() {
        let first = Profile { rules: vec![rule("a", Vec::new()), rule("b", Vec::new())] };
        let mut second = first.clone();
        second.rules[1] = rule("b", vec![level(Priority::Low, 100)]);
        let first = VersionedProfile::succeeding(None, &put(1, first));
        let second = VersionedProfile::succeeding(Some(&first), &put(2, second));
        assert_eq!(second.version, 2);
        assert_eq!(second.rule_versions, [1, 2]);
    }
}
