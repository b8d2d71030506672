//! What callers may learn of profiles.

use super::*;
use crate::engine::query::{FoundProfile, ProfileQuestion, Query, Question, answer};

fn ask(ward: &Ward, sites: Sites, question: ProfileQuestion) -> Result<FoundProfile, Refusal> {
    let principal = Principal { subject: "nora".to_owned(), role: Role::Viewer, sites };
    let query = Query { principal, question: Question::Profile(question) };
    match answer(&ward.state, &query)? {
        Done::Profile(found) => Ok(*found),
        other => panic!("{other:?}"),
    }
}

fn own(owner: &ProfileOwner, version: Option<u32>) -> ProfileQuestion {
    ProfileQuestion::Own { owner: owner.clone(), version }
}

fn put(ward: &mut Ward, owner: &ProfileOwner, rules: Vec<Rule>) {
    ward.now += 10;
    let profile = Profile { rules };
    ward.done(Action::PutProfile { owner: owner.clone(), profile, expected_version: None });
}

fn high(limit: i64) -> Rule {
    rule("hr-high", vec![level(Priority::Medium, limit, 3)])
}

#[test]
fn the_newest_profile_says_who_put_it_and_when() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let owner = ProfileOwner::Patient(patient(1));
    put(&mut ward, &owner, vec![high(120)]);
    put(&mut ward, &owner, vec![high(125)]);
    for version in [None, Some(2)] {
        let found = ask(&ward, Sites::All, own(&owner, version)).expect("found");
        let FoundProfile::Newest(row) = found else { panic!("{found:?}") };
        assert_eq!((row.version, &row.profile.rules), (2, &vec![high(125)]));
        assert_eq!((since_begin(row.put_at), &*row.put_by), (20, "anna"));
    }
    let earlier = ask(&ward, Sites::All, own(&owner, Some(1))).expect("found");
    assert!(matches!(earlier, FoundProfile::Earlier(Scope::Patient(_))), "{earlier:?}");
}

#[test]
fn an_owner_without_a_profile_and_a_version_to_come_are_not_found() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let not_found = |kind: &'static str, id: &str| Refusal::NotFound { kind, id: id.to_owned() };
    for (sites, owner, version, refusal) in [
        (Sites::All, ProfileOwner::Site(id(SITE)), None, ("profile", "site north")),
        (Sites::All, ProfileOwner::Default, Some(2), ("profile", "everyone, version 2")),
        (Sites::All, ProfileOwner::Patient(patient(1)), None, ("profile", "patient patient-1")),
        (Sites::All, ProfileOwner::Patient(patient(2)), None, ("patient", "patient-2")),
        (Sites::Only(vec![]), ProfileOwner::Patient(patient(1)), None, ("patient", "patient-1")),
        (Sites::Only(vec![]), ProfileOwner::Site(id(SITE)), None, ("site", "north")),
    ] {
        let refused = ask(&ward, sites, own(&owner, version)).expect_err("refused");
        assert_eq!(refused, not_found(refusal.0, refusal.1));
    }
}

#[test]
fn each_rule_in_force_says_whose_it_is_and_why_it_cannot_fire() {
    let mut ward = Ward::new();
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1)]);
    let (site, own) = (ProfileOwner::Site(id(SITE)), ProfileOwner::Patient(patient(1)));
    put(&mut ward, &site, vec![silence(Vital::Spo2, 3), high(110)]);
    put(&mut ward, &own, vec![silence(Vital::HeartRate, 3)]);
    put(&mut ward, &own, vec![silence(Vital::HeartRate, 3), rule_of("off", RuleKind::Off)]);
    let effective = |ward: &Ward, sites| {
        let found = ask(ward, sites, ProfileQuestion::Effective(patient(1)))?;
        let FoundProfile::Effective(effective) = found else { panic!("{found:?}") };
        Ok(effective)
    };
    let told = effective(&ward, Sites::All).expect("found");
    let rules: Vec<_> = told
        .rules
        .iter()
        .map(|it| (it.rule.id.as_str(), it.owner.clone(), it.version, it.not_monitored.clone()))
        .collect();
    assert_eq!(rules, [("hr-high", site.clone(), 1, None), ("silence", own.clone(), 1, None)]);
    assert_eq!(told.layers, [(ProfileOwner::Default, 1), (site, 1), (own.clone(), 2)]);
    put(&mut ward, &own, vec![silence(Vital::Spo2, 3)]);
    let told = effective(&ward, Sites::All).expect("found");
    let why = told.rules[1].not_monitored.as_deref();
    assert_eq!(why, Some("no bound device measures spo2"));
    let hidden = effective(&ward, Sites::Only(vec![id("south")]));
    let refusal = Refusal::NotFound { kind: "patient", id: "patient-1".to_owned() };
    assert_eq!(hidden, Err(refusal));
}
