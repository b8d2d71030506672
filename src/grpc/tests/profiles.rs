//! Profiles are asked for: the newest, an earlier one, and what is in force.

use tonic::Code;

use super::fakes::{Door, open};
use super::{check, id, wire};
use crate::clock::Timestamp;
use crate::engine::input::ProfileOwner;
use crate::engine::output::{Done, ProfileRow, Refusal};
use crate::engine::profile::{Profile, Rule, RuleKind, Scope};
use crate::engine::query::{Effective, FoundProfile, ProfileQuestion, Question, RuleInForce};
use crate::proto::v1;
use crate::proto::v1::profile_owner::{Everyone, Owner};
use crate::store::HistoryError;
use crate::vitals::SiteKey;

fn finds(door: &Door, found: FoundProfile) {
    door.commands.queries.answer(Ok(Ok(Done::Profile(Box::new(found)))));
}

fn row(version: u32) -> ProfileRow {
    ProfileRow {
        scope: Scope::Site(SiteKey(1)),
        version,
        profile: Profile { rules: vec![Rule::new(id("hr-high"), RuleKind::Off)] },
        put_at: Timestamp::from_seconds(40),
        put_by: "nora".to_owned(),
    }
}

fn owner(owner: Owner) -> Option<v1::ProfileOwner> {
    Some(v1::ProfileOwner { owner: Some(owner) })
}

fn of_site(version: u32) -> v1::GetProfileRequest {
    v1::GetProfileRequest { owner: owner(Owner::SiteId("north".into())), version }
}

#[tokio::test]
async fn the_newest_profile_is_the_engines_and_carries_the_etag_that_putting_takes() {
    let door = open().await;
    finds(&door, FoundProfile::Newest(row(3)));
    let found = door.profiles().get_profile(of_site(0)).await.expect("found").into_inner();
    assert_eq!((found.version, &*found.etag, &*found.put_by), (3, "3", "nora"));
    assert_eq!((found.owner, found.put_at), (owner(Owner::SiteId("north".into())), wire(40)));
    assert_eq!(found.profile.expect("a profile").rules[0].rule_id, "hr-high");
    let asked = door.commands.queries.seen().remove(0).question;
    let question = ProfileQuestion::Own { owner: ProfileOwner::Site(id("north")), version: None };
    assert_eq!(asked, Question::Profile(question));
    assert_eq!(door.profile_versions.seen(), []);
    assert_eq!(door.commands.recorded()[0].about.site, Some(id("north")));
    door.close().await;
}

#[tokio::test]
async fn an_earlier_version_is_the_stores_once_the_engine_has_let_the_caller_see_it() {
    let door = open().await;
    let scope = Scope::Site(SiteKey(1));
    finds(&door, FoundProfile::Earlier(scope));
    door.profile_versions.answer(Ok(row(2)));
    let found = door.profiles().get_profile(of_site(2)).await.expect("found").into_inner();
    assert_eq!((found.version, &*found.put_by), (2, "nora"));
    assert_eq!(door.profile_versions.seen(), [(scope, 2)]);

    finds(&door, FoundProfile::Earlier(scope));
    door.profile_versions.answer(Err(HistoryError::UnknownProfile));
    let status = door.profiles().get_profile(of_site(1)).await.expect_err("not stored");
    check(&status, Code::NotFound, "PROFILE_NOT_FOUND");
    let of_engine = Refusal::NotFound { kind: "profile", id: "site north, version 1".to_owned() };
    assert_eq!(status.message(), of_engine.to_string());

    finds(&door, FoundProfile::Earlier(scope));
    let reason = "away".to_owned();
    door.profile_versions.answer(Err(HistoryError::Unavailable { reason }));
    let status = door.profiles().get_profile(of_site(1)).await.expect_err("away");
    check(&status, Code::Unavailable, "HISTORY_UNAVAILABLE");
    door.close().await;
}

#[tokio::test]
async fn rules_in_force_say_whose_they_are_with_the_etags_of_all_owners() {
    let door = open().await;
    let patient = ProfileOwner::Patient(id("p-1"));
    let why = "no bound device measures spo2".to_owned();
    let rule = RuleInForce {
        rule: Rule::new(id("spo2-low"), RuleKind::Off),
        owner: patient.clone(),
        version: 4,
        not_monitored: Some(why.clone()),
    };
    let site = ProfileOwner::Site(id("north"));
    let layers = vec![(ProfileOwner::Default, 1), (site, 0), (patient, 5)];
    finds(&door, FoundProfile::Effective(Effective { rules: vec![rule], layers }));
    let request = v1::GetEffectiveProfileRequest { patient_id: "p-1".into() };
    let found = door.profiles().get_effective_profile(request).await.expect("found").into_inner();
    assert_eq!(found.patient_id, "p-1");
    let rule = &found.rules[0];
    assert_eq!(rule.owner, owner(Owner::PatientId("p-1".into())));
    assert_eq!((rule.version, &rule.not_monitored_because), (4, &why));
    let layers: Vec<_> = found.layers.iter().map(|it| (it.version, &*it.etag)).collect();
    assert_eq!(layers, [(1, "1"), (0, "0"), (5, "5")]);
    assert_eq!(found.layers[0].owner, owner(Owner::Everyone(Everyone {})));
    assert_eq!(door.commands.recorded()[0].about.patients, [id("p-1")]);
    door.close().await;
}

#[tokio::test]
async fn an_owner_must_be_named() {
    let door = open().await;
    let status = door.profiles().get_profile(v1::GetProfileRequest::default()).await;
    check(&status.expect_err("wrong"), Code::InvalidArgument, "INVALID_FIELDS");
    let status =
        door.profiles().get_effective_profile(v1::GetEffectiveProfileRequest::default()).await;
    check(&status.expect_err("wrong"), Code::InvalidArgument, "INVALID_FIELDS");
    door.close().await;
}
