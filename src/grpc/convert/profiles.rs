//! Profiles: the wire's rules to the engine's, and back.
//!
//! Form is checked here, meaning by [`Profile::validate`], whose paths name a rule by its id
//! (`rules[hr-high].levels[1].limit`); callers get the path of the field in their own request
//! (`profile.rules[2].limit.levels[1].limit`).

use super::{Violations, wire_duration, wire_timestamp};
use crate::engine::input::{Action, ProfileOwner};
use crate::engine::output::{ProfileRow, Refusal};
use crate::engine::profile::{
    Level, LimitRule, Profile, RULES_MAX, Rule, RuleKind, Side, Sustained, Violation,
};
use crate::proto::v1;
use crate::proto::v1::profile_owner::Owner;
use crate::proto::v1::rule::{Kind, Off};
use crate::vitals::Priority;

/// A rule's id is not checked yet when a message names it; no longer one is valid.
const ID_SHOWN_MAX: usize = 64;

/// The first thing in the request that the contract knows and this version does not serve.
pub(in crate::grpc) fn first_not_served(request: &v1::PutProfileRequest) -> Option<String> {
    let rules = request.profile.iter().flat_map(|profile| &profile.rules);
    rules.enumerate().find_map(|(index, rule)| {
        let kind = match rule.kind.as_ref()? {
            Kind::Off(_) => return None,
            Kind::Limit(limit) if limit.levels.iter().all(|level| level.spot.is_none()) => {
                return None;
            }
            Kind::Limit(_) => "spot persistence",
            Kind::Trend(_) => "trend rules",
            Kind::Baseline(_) => "baseline rules",
            Kind::Score(_) => "score rules",
            Kind::Silence(_) => "silence rules",
            Kind::Technical(_) => "technical rules",
        };
        let id: String = rule.rule_id.chars().take(ID_SHOWN_MAX).collect();
        Some(format!("profile.rules[{index}] {id:?}: {kind}"))
    })
}

pub(in crate::grpc) fn put_profile(
    request: &v1::PutProfileRequest,
) -> Result<Action, Vec<Violation>> {
    let mut wrong = Violations::default();
    let owner = owner(&mut wrong, request.owner.as_ref());
    let profile = match &request.profile {
        Some(profile) => rules(&mut wrong, &profile.rules).map(|rules| Profile { rules }),
        None => wrong.refuse("profile", "required"),
    };
    if let Some(Err(violations)) = profile.as_ref().map(Profile::validate) {
        wrong.0.extend(violations.into_iter().map(|it| in_path_of(it, request)));
    }
    wrong.finish(|| Some(Action::PutProfile { owner: owner?, profile: profile? }))
}

fn owner(wrong: &mut Violations, owner: Option<&v1::ProfileOwner>) -> Option<ProfileOwner> {
    match owner.and_then(|owner| owner.owner.as_ref()) {
        Some(Owner::Everyone(_)) => Some(ProfileOwner::Default),
        Some(Owner::SiteId(id)) => wrong.id("owner.site_id", id).map(ProfileOwner::Site),
        Some(Owner::PatientId(id)) => wrong.id("owner.patient_id", id).map(ProfileOwner::Patient),
        None => wrong.refuse("owner", "required"),
    }
}

/// The rules, or `None` if one of them is not well formed.
fn rules(wrong: &mut Violations, wire: &[v1::Rule]) -> Option<Vec<Rule>> {
    if wire.len() > RULES_MAX {
        let description = format!("{} rules; at most {RULES_MAX}", wire.len());
        return wrong.refuse("profile.rules", description);
    }
    let mut rules = Vec::with_capacity(wire.len());
    for (index, rule) in wire.iter().enumerate() {
        let path = format!("profile.rules[{index}]");
        if wire[..index].iter().any(|earlier| earlier.rule_id == rule.rule_id) {
            wrong.add(&format!("{path}.rule_id"), "a second rule with this id");
        }
        rules.push(self::rule(wrong, &path, rule));
    }
    if wrong.0.is_empty() { rules.into_iter().collect() } else { None }
}

fn rule(wrong: &mut Violations, path: &str, rule: &v1::Rule) -> Option<Rule> {
    let id = wrong.id(&format!("{path}.rule_id"), &rule.rule_id);
    let kind = match &rule.kind {
        Some(Kind::Off(_)) => Some(RuleKind::Off),
        Some(Kind::Limit(limit)) => {
            limit_rule(wrong, &format!("{path}.limit"), limit).map(RuleKind::Limit)
        }
        Some(_) => wrong.refuse(path, "not served by this version of the service"),
        None => wrong.refuse(&format!("{path}.kind"), "required: limit, or off"),
    };
    Some(Rule { id: id?, kind: kind? })
}

fn limit_rule(wrong: &mut Violations, path: &str, limit: &v1::LimitRule) -> Option<LimitRule> {
    let vital = wrong.vital(&format!("{path}.vital"), limit.vital);
    let side = match limit.side() {
        v1::Side::Above => Some(Side::Above),
        v1::Side::Below => Some(Side::Below),
        v1::Side::Unspecified => wrong.refuse(&format!("{path}.side"), "required: above or below"),
    };
    let levels: Vec<_> = limit
        .levels
        .iter()
        .enumerate()
        .map(|(index, level)| self::level(wrong, &format!("{path}.levels[{index}]"), level))
        .collect();
    let clear_delay =
        wrong.optional_span(&format!("{path}.clear_delay"), limit.clear_delay.as_ref());
    Some(LimitRule {
        vital: vital?,
        covers_pulse_rate: limit.covers_pulse_rate,
        side: side?,
        levels: levels.into_iter().collect::<Option<_>>()?,
        clear_delay: clear_delay?,
    })
}

fn level(wrong: &mut Violations, path: &str, level: &v1::LimitLevel) -> Option<Level> {
    let priority = match level.priority() {
        v1::Priority::Low => Some(Priority::Low),
        v1::Priority::Medium => Some(Priority::Medium),
        v1::Priority::High => Some(Priority::High),
        v1::Priority::Unspecified => {
            wrong.refuse(&format!("{path}.priority"), "required: low, medium or high")
        }
    };
    let limit = wrong.quantity(&format!("{path}.limit"), level.limit);
    let clear_limit = match level.clear_limit {
        Some(number) => wrong.quantity(&format!("{path}.clear_limit"), number),
        None => limit,
    };
    let sustained = sustained(wrong, &format!("{path}.sustained"), level.sustained.as_ref());
    Some(Level {
        priority: priority?,
        limit: limit?,
        clear_limit: clear_limit?,
        sustained: sustained?,
    })
}

fn sustained(
    wrong: &mut Violations,
    path: &str,
    sustained: Option<&v1::Sustained>,
) -> Option<Sustained> {
    let Some(sustained) = sustained else { return wrong.refuse(path, "required") };
    let delay = wrong.optional_span(&format!("{path}.delay"), sustained.delay.as_ref());
    let max_gap = wrong.required_span(&format!("{path}.max_gap"), sustained.max_gap.as_ref());
    Some(Sustained { delay: delay?, max_gap: max_gap? })
}

/// A refusal by the engine, with the paths of the request that led to it.
pub(in crate::grpc) fn in_paths_of_the_request(
    refusal: Refusal,
    request: &v1::PutProfileRequest,
) -> Refusal {
    match refusal {
        Refusal::InvalidArgument(violations) => Refusal::InvalidArgument(
            violations.into_iter().map(|violation| in_path_of(violation, request)).collect(),
        ),
        other => other,
    }
}

fn in_path_of(violation: Violation, request: &v1::PutProfileRequest) -> Violation {
    let rules = request.profile.as_ref().map_or(&[][..], |profile| &profile.rules);
    let field = wire_path(&violation.field, rules)
        .unwrap_or_else(|| format!("profile.{}", violation.field));
    Violation { field, ..violation }
}

/// `rules[hr-high].levels[1].limit` → `profile.rules[2].limit.levels[1].limit`.
fn wire_path(field: &str, rules: &[v1::Rule]) -> Option<String> {
    let (id, rest) = field.strip_prefix("rules[")?.split_once(']')?;
    let index = rules.iter().position(|rule| rule.rule_id == id)?;
    let kind = if rest.is_empty() { "" } else { ".limit" };
    Some(format!("profile.rules[{index}]{kind}{rest}"))
}

/// The profile of `row`, whose owner goes by the ids of `owner`.
pub(in crate::grpc) fn profile_version(
    row: &ProfileRow,
    owner: Option<v1::ProfileOwner>,
) -> v1::ProfileVersion {
    v1::ProfileVersion {
        owner,
        version: row.version,
        profile: Some(v1::Profile { rules: row.profile.rules.iter().map(wire_rule).collect() }),
        put_at: Some(wire_timestamp(row.put_at)),
        put_by: row.put_by.clone(),
        etag: row.version.to_string(),
    }
}

fn wire_rule(rule: &Rule) -> v1::Rule {
    let kind = match &rule.kind {
        RuleKind::Off => Kind::Off(Off {}),
        RuleKind::Limit(limit) => Kind::Limit(wire_limit_rule(limit)),
    };
    v1::Rule { rule_id: rule.id.to_string(), kind: Some(kind) }
}

fn wire_limit_rule(limit: &LimitRule) -> v1::LimitRule {
    let side = match limit.side {
        Side::Above => v1::Side::Above,
        Side::Below => v1::Side::Below,
    };
    v1::LimitRule {
        vital: i32::from(limit.vital.number()),
        side: side.into(),
        levels: limit.levels.iter().map(wire_level).collect(),
        clear_delay: Some(wire_duration(limit.clear_delay)),
        covers_pulse_rate: limit.covers_pulse_rate,
    }
}

fn wire_level(level: &Level) -> v1::LimitLevel {
    v1::LimitLevel {
        priority: level.priority as i32,
        limit: level.limit.to_f64(),
        clear_limit: Some(level.clear_limit.to_f64()),
        sustained: Some(v1::Sustained {
            delay: Some(wire_duration(level.sustained.delay)),
            max_gap: Some(wire_duration(level.sustained.max_gap)),
        }),
        spot: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::profile::Scope;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn level(priority: v1::Priority, limit: f64) -> v1::LimitLevel {
        v1::LimitLevel {
            priority: priority.into(),
            limit,
            clear_limit: None,
            sustained: Some(v1::Sustained { delay: seconds(15), max_gap: seconds(2) }),
            spot: None,
        }
    }

    fn limit(levels: Vec<v1::LimitLevel>) -> v1::LimitRule {
        v1::LimitRule {
            vital: v1::Vital::HeartRate.into(),
            side: v1::Side::Above.into(),
            levels,
            clear_delay: None,
            covers_pulse_rate: false,
        }
    }

    fn rule(id: &str, kind: Kind) -> v1::Rule {
        v1::Rule { rule_id: id.into(), kind: Some(kind) }
    }

    fn put(rules: Vec<v1::Rule>) -> v1::PutProfileRequest {
        let everyone = Owner::Everyone(v1::profile_owner::Everyone {});
        v1::PutProfileRequest {
            owner: Some(v1::ProfileOwner { owner: Some(everyone) }),
            profile: Some(v1::Profile { rules }),
            ..v1::PutProfileRequest::default()
        }
    }

    fn check(request: &v1::PutProfileRequest, fields: &[&str]) {
        let violations = put_profile(request).expect_err("wrong");
        let found: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(found, fields);
    }

    #[test]
    fn a_profile_goes_in_and_comes_out_the_same() {
        let mut full = limit(vec![level(v1::Priority::Low, 100.5)]);
        full.levels[0].clear_limit = Some(98.0);
        full.clear_delay = seconds(5);
        full.covers_pulse_rate = true;
        let request = put(vec![rule("hr-high", Kind::Limit(full)), rule("x", Kind::Off(Off {}))]);
        let Ok(Action::PutProfile { owner: ProfileOwner::Default, profile }) =
            put_profile(&request)
        else {
            panic!("a profile of everyone")
        };
        let put_at = crate::clock::Timestamp::EPOCH;
        let put_by = "tester".to_owned();
        let row = ProfileRow { scope: Scope::Default, version: 3, profile, put_at, put_by };
        let version = profile_version(&row, request.owner.clone());
        assert_eq!((version.profile, version.owner), (request.profile, request.owner));
        assert_eq!((version.version, version.etag.as_str()), (3, "3"));
    }

    #[test]
    fn an_unset_clear_limit_is_the_limit() {
        let request =
            put(vec![rule("r", Kind::Limit(limit(vec![level(v1::Priority::Low, 100.0)])))]);
        let Ok(Action::PutProfile { profile, .. }) = put_profile(&request) else { panic!("valid") };
        let RuleKind::Limit(limit) = &profile.rules[0].kind else { panic!("a limit rule") };
        assert_eq!(limit.levels[0].clear_limit, limit.levels[0].limit);
    }

    #[test]
    fn every_field_of_wrong_form_is_named_by_its_path() {
        let mut wrong = limit(vec![v1::LimitLevel {
            priority: 0,
            limit: f64::NAN,
            clear_limit: Some(f64::INFINITY),
            sustained: Some(v1::Sustained { delay: seconds(-1), max_gap: None }),
            spot: None,
        }]);
        (wrong.vital, wrong.side, wrong.clear_delay) = (16, 7, seconds(-1));
        let no_sustained = v1::LimitLevel { sustained: None, ..level(v1::Priority::Low, 1.0) };
        let mut request = put(vec![
            v1::Rule { rule_id: "a b".into(), kind: None },
            rule("w", Kind::Limit(wrong)),
            rule("w", Kind::Limit(limit(vec![no_sustained]))),
        ]);
        request.owner = None;
        check(
            &request,
            &[
                "owner",
                "profile.rules[0].rule_id",
                "profile.rules[0].kind",
                "profile.rules[1].limit.vital",
                "profile.rules[1].limit.side",
                "profile.rules[1].limit.levels[0].priority",
                "profile.rules[1].limit.levels[0].limit",
                "profile.rules[1].limit.levels[0].clear_limit",
                "profile.rules[1].limit.levels[0].sustained.delay",
                "profile.rules[1].limit.levels[0].sustained.max_gap",
                "profile.rules[1].limit.clear_delay",
                "profile.rules[2].rule_id",
                "profile.rules[2].limit.levels[0].sustained",
            ],
        );
    }

    #[test]
    fn every_field_of_wrong_meaning_is_named_by_its_path() {
        let mut clears_a_breach = level(v1::Priority::Low, 100.0);
        clears_a_breach.clear_limit = Some(101.0);
        let levels = vec![clears_a_breach, level(v1::Priority::Low, 90.0)];
        check(
            &put(vec![rule("x", Kind::Off(Off {})), rule("hr", Kind::Limit(limit(levels)))]),
            &[
                "profile.rules[1].limit.levels[0].clear_limit",
                "profile.rules[1].limit.levels[1].priority",
                "profile.rules[1].limit.levels[1].clear_limit",
                "profile.rules[1].limit.levels[1].limit",
            ],
        );
        check(&put(vec![rule("x", Kind::Off(Off {})); RULES_MAX + 1]), &["profile.rules"]);
        check(&v1::PutProfileRequest { profile: None, ..put(Vec::new()) }, &["profile"]);
    }

    #[test]
    fn an_owner_is_named_by_a_valid_id() {
        for (owner, field) in [
            (Owner::SiteId("a/b".into()), "owner.site_id"),
            (Owner::PatientId(String::new()), "owner.patient_id"),
        ] {
            let owner = Some(v1::ProfileOwner { owner: Some(owner) });
            check(&v1::PutProfileRequest { owner, ..put(Vec::new()) }, &[field]);
        }
    }

    #[test]
    fn kinds_of_rules_that_are_not_served_are_named() {
        let spot =
            v1::LimitLevel { spot: Some(v1::Spot::default()), ..level(v1::Priority::Low, 1.0) };
        for (kind, what) in [
            (Kind::Limit(limit(vec![spot])), "spot persistence"),
            (Kind::Trend(v1::TrendRule::default()), "trend rules"),
            (Kind::Baseline(v1::BaselineRule::default()), "baseline rules"),
            (Kind::Score(v1::ScoreRule::default()), "score rules"),
            (Kind::Silence(v1::SilenceRule::default()), "silence rules"),
            (Kind::Technical(v1::TechnicalRule::default()), "technical rules"),
        ] {
            let request = put(vec![rule("ok", Kind::Off(Off {})), rule("r", kind)]);
            assert_eq!(first_not_served(&request), Some(format!("profile.rules[1] \"r\": {what}")));
        }
        assert_eq!(first_not_served(&put(vec![rule("ok", Kind::Off(Off {}))])), None);
    }
}
