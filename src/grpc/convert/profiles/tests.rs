//! Profiles in the wire's words: there and back, and what is refused by which path.

use proptest::prelude::*;

use super::*;
use crate::engine::profile::{RuleKind, Scope, Score, SpO2Scale, arbitrary};
use crate::proto::v1::rule::Off;

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
    v1::Rule { rule_id: id.into(), kind: Some(kind), ..v1::Rule::default() }
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

proptest! {
    #[test]
    fn every_valid_profile_comes_back_from_the_wire_as_it_was(profile in arbitrary::profile()) {
        let patient = Owner::PatientId("p-1".into());
        let request = v1::PutProfileRequest {
            owner: Some(v1::ProfileOwner { owner: Some(patient) }),
            profile: Some(wire_profile(&profile)),
            etag: "3".into(),
            ..v1::PutProfileRequest::default()
        };
        let owner = ProfileOwner::Patient("p-1".parse().expect("an id"));
        let expected = Action::PutProfile { owner, profile, expected_version: Some(3) };
        prop_assert_eq!(put_profile(&request), Ok(expected));
    }
}

#[test]
fn a_version_of_a_profile_names_its_owner_and_is_its_own_etag() {
    let request = put(vec![rule("x", Kind::Off(Off {}))]);
    let Ok(Action::PutProfile { owner: ProfileOwner::Default, profile, expected_version: None }) =
        put_profile(&request)
    else {
        panic!("a profile of everyone")
    };
    let put_at = crate::clock::Timestamp::EPOCH;
    let put_by = "tester".to_owned();
    let row = ProfileRow { scope: Scope::Default, version: 3, profile, put_at, put_by };
    let version = profile_version(&row, request.owner.clone());
    assert_eq!((version.owner, version.version, version.etag.as_str()), (request.owner, 3, "3"));
}

#[test]
fn an_unset_clear_limit_is_the_limit() {
    let request = put(vec![rule("r", Kind::Limit(limit(vec![level(v1::Priority::Low, 100.0)])))]);
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
    let mut request = put(vec![
        v1::Rule { rule_id: "a b".into(), ..v1::Rule::default() },
        rule("w", Kind::Limit(wrong)),
        rule("w", Kind::Limit(limit(Vec::new()))),
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
fn what_is_unset_has_its_documented_meaning() {
    let level = v1::ScoreLevel { priority: 2, total: 5, clear_total: None };
    let score = v1::ScoreRule { score: 1, levels: vec![level], ..v1::ScoreRule::default() };
    let request = put(vec![rule("news2", Kind::Score(score))]);
    let Ok(Action::PutProfile { profile, .. }) = put_profile(&request) else { panic!("valid") };
    let [rule] = &profile.rules[..] else { panic!("one rule") };
    assert_eq!((rule.actionable_for, rule.latching_from), (Rule::ACTIONABLE_FOR, None));
    let RuleKind::Score(score) = &rule.kind else { panic!("a score rule") };
    assert_eq!(score.levels[0].clear_total, 4);
    assert_eq!(score.score, Score::News2(SpO2Scale::One));
    assert_eq!(score.single_parameter_priority, None);
}

#[test]
fn fields_of_each_kind_go_by_their_path_in_form_and_in_meaning() {
    let technical = |condition: v1::TechnicalCondition, battery_percent| {
        let condition = condition.into();
        Kind::Technical(v1::TechnicalRule { condition, priority: 1, delay: None, battery_percent })
    };
    let battery = technical(v1::TechnicalCondition::BatteryLow, 0);
    for (kind, fields) in [
        (Kind::Trend(v1::TrendRule::default()), &["vital", "direction", "window"][..]),
        (
            Kind::Baseline(v1::BaselineRule { levels: vec![<_>::default()], ..<_>::default() }),
            &["vital", "side", "history", "levels[0].priority", "levels[0].sustained"],
        ),
        (Kind::Score(v1::ScoreRule { spo2_scale: 3, ..<_>::default() }), &["score"]),
        (Kind::Silence(v1::SilenceRule::default()), &["vital", "priority"]),
        (
            Kind::Silence(v1::SilenceRule {
                vital: 1,
                intervals: 0.5,
                priority: 1,
                at_least: None,
            }),
            &["intervals"],
        ),
        (battery, &["battery_percent"]),
        (technical(v1::TechnicalCondition::SensorOff, 5), &["battery_percent"]),
        (technical(v1::TechnicalCondition::Unspecified, 0), &["condition"]),
    ] {
        let path = |field: &&str| format!("profile.rules[0].{}.{field}", kind_name(&kind));
        let paths: Vec<String> = fields.iter().map(path).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        check(&put(vec![rule("r", kind.clone())]), &paths);
    }
}

#[test]
fn fields_beside_the_kind_go_by_their_own_path() {
    let escalation = v1::Escalation { priority: 3, after: seconds(1) };
    let wrong = v1::Rule {
        actionable_for: seconds(90_000),
        escalations: vec![escalation],
        ..rule("pulseward.x", Kind::Off(Off {}))
    };
    check(
        &put(vec![wrong]),
        &[
            "profile.rules[0].rule_id",
            "profile.rules[0].actionable_for",
            "profile.rules[0].escalations[0].after",
        ],
    );
    let unknown = v1::Rule { latching_from: 9, ..rule("r", Kind::Off(Off {})) };
    check(&put(vec![unknown]), &["profile.rules[0].latching_from"]);
}

#[test]
fn an_etag_is_one_that_was_given_out() {
    check(&v1::PutProfileRequest { etag: "x".into(), ..put(Vec::new()) }, &["etag"]);
}
