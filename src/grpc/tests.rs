//! The door from outside: a real client against the real server on a free port, with fakes of the
//! engine and the store behind it.

mod alert_work;
mod audit;
mod burden;
mod callers;
mod care;
mod contract;
mod dead_letters;
mod encrypted;
mod erasure;
mod fakes;
mod life;
mod lists;
mod live;
mod lookups;
mod malformed;
mod page;
mod past;
mod profiles;
mod reports;
pub(in crate::grpc) mod tokens;
mod trends;
mod watching;
mod web;

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use self::fakes::{Door, open};
use super::Closed;
use crate::clock::Timestamp;
use crate::engine::input::{Action, NewBinding, ProfileOwner, Repeatable, Role, Schedule, Sites};
use crate::engine::output::{
    BindingRow, DeviceRow, Done, PatientRow, ProfileRow, Quality, Refusal, RegistryChange, SiteRow,
};
use crate::engine::profile::{Eligibility, Profile, Rule, RuleKind, Scope, Violation};
use crate::proto::v1;
use crate::store::{HistoryError, ReadingsPage, ReadingsQuery, StoredReading};
use crate::vitals::{
    AbsentReason, Acvpu, DeviceKey, PatientKey, Quantity, SiteKey, Unit, Value, Vital,
};

fn id<Id: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Id {
    text.parse().expect("an id")
}

fn wire(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn done(change: RegistryChange) -> Done {
    let site = matches!(change, RegistryChange::Patient(_)).then(|| id("north"));
    Done::Registry { change, patient: None, site }
}

fn site_row() -> RegistryChange {
    RegistryChange::Site(SiteRow {
        key: SiteKey(1),
        id: id("north"),
        display_name: "North ward".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        created_at: Timestamp::from_seconds(10),
    })
}

fn create_site() -> v1::CreateSiteRequest {
    v1::CreateSiteRequest {
        site_id: "north".into(),
        display_name: "North ward".into(),
        time_zone: "Europe/Berlin".into(),
        request_id: String::new(),
    }
}

/// The one command that was submitted, by the anonymous administrator.
fn only_action(door: &Door) -> Action {
    let mut commands = door.commands.seen();
    assert_eq!(commands.len(), 1, "{commands:?}");
    let command = commands.remove(0);
    assert_eq!(command.principal.subject, "anonymous");
    assert_eq!((command.principal.role, command.principal.sites), (Role::Admin, Sites::All));
    command.action
}

fn check(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("a reason").reason, reason);
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().expect("violations").field_violations.clone();
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn creating_a_site_is_a_command_and_answers_with_the_site() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(site_row()))));
    let site = door.registry().create_site(create_site()).await.expect("created").into_inner();
    let expected = v1::Site {
        site_id: "north".into(),
        display_name: "North ward".into(),
        time_zone: "Europe/Berlin".into(),
        created_at: wire(10),
    };
    assert_eq!(site, expected);
    let action = Action::CreateSite {
        site: id("north"),
        display_name: "North ward".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
    };
    assert_eq!(only_action(&door), action);
    door.close().await;
}

fn patient_row(eligibility: Eligibility, paused_until: Option<Timestamp>) -> PatientRow {
    PatientRow {
        key: PatientKey(1),
        id: id("p-1"),
        site: SiteKey(1),
        created_at: Timestamp::from_seconds(10),
        eligibility,
        paused_until,
    }
}

#[tokio::test]
async fn creating_a_patient_is_a_command_and_answers_with_the_patient() {
    let door = open().await;
    let row = patient_row(Eligibility::default(), None);
    door.commands.answer(Ok(Ok(done(RegistryChange::Patient(row)))));
    let request = v1::CreatePatientRequest {
        patient_id: "p-1".into(),
        site_id: "north".into(),
        request_id: String::new(),
    };
    let patient = door.registry().create_patient(request).await.expect("created").into_inner();
    assert_eq!((patient.patient_id.as_str(), patient.site_id.as_str()), ("p-1", "north"));
    assert_eq!(patient.created_at, wire(10));
    let action = Action::CreatePatient { patient: id("p-1"), site: id("north") };
    assert_eq!(only_action(&door), action);
    door.close().await;
}

#[tokio::test]
async fn creating_a_device_is_a_command_and_answers_with_the_device() {
    let door = open().await;
    let row = DeviceRow {
        key: DeviceKey(1),
        id: id("d-1"),
        site: SiteKey(1),
        created_at: Timestamp::from_seconds(10),
    };
    door.commands.answer(Ok(Ok(done(RegistryChange::Device(row)))));
    let request = v1::CreateDeviceRequest {
        device_id: "d-1".into(),
        site_id: "north".into(),
        request_id: String::new(),
    };
    let device = door.registry().create_device(request).await.expect("created").into_inner();
    let expected =
        v1::Device { device_id: "d-1".into(), site_id: "north".into(), created_at: wire(10) };
    assert_eq!(device, expected);
    let action = Action::CreateDevice { device: id("d-1"), site: id("north") };
    assert_eq!(only_action(&door), action);
    door.close().await;
}

fn schedule() -> (Schedule, v1::Schedule) {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected = v1::ExpectedInterval { vital: v1::Vital::HeartRate.into(), interval: span(1) };
    (
        Schedule {
            upload_interval: Duration::from_secs(60),
            expected_intervals: vec![(Vital::HeartRate, Duration::from_secs(1))],
        },
        v1::Schedule { upload_interval: span(60), expected_intervals: vec![expected] },
    )
}

fn bound(until: Option<Timestamp>) -> Done {
    let row = BindingRow {
        device: DeviceKey(1),
        patient: PatientKey(1),
        from: Timestamp::from_seconds(20),
        until,
        schedule: schedule().0.into(),
    };
    Done::Registry { change: RegistryChange::Binding(row), patient: Some(id("p-1")), site: None }
}

#[tokio::test]
async fn binding_a_device_is_a_command_and_answers_with_the_binding() {
    let door = open().await;
    door.commands.answer(Ok(Ok(bound(None))));
    let (schedule, wire_schedule) = schedule();
    let request = v1::BindDeviceRequest {
        device_id: "d-1".into(),
        patient_id: "p-1".into(),
        from: wire(20),
        schedule: Some(wire_schedule.clone()),
        request_id: String::new(),
    };
    let binding = door.registry().bind_device(request).await.expect("bound").into_inner();
    let expected = v1::Binding {
        device_id: "d-1".into(),
        patient_id: "p-1".into(),
        from: wire(20),
        until: None,
        schedule: Some(wire_schedule),
    };
    assert_eq!(binding, expected);
    let from = Some(Timestamp::from_seconds(20));
    let new = NewBinding { device: id("d-1"), patient: id("p-1"), from, schedule };
    assert_eq!(only_action(&door), Action::BindDevice(new));
    door.close().await;
}

#[tokio::test]
async fn unbinding_a_device_answers_whose_it_was_and_until_when() {
    let door = open().await;
    door.commands.answer(Ok(Ok(bound(Some(Timestamp::from_seconds(30))))));
    let request = v1::UnbindDeviceRequest { device_id: "d-1".into(), ..Default::default() };
    let binding = door.registry().unbind_device(request).await.expect("unbound").into_inner();
    assert_eq!((binding.patient_id.as_str(), binding.until), ("p-1", wire(30)));
    assert_eq!(only_action(&door), Action::UnbindDevice { device: id("d-1"), at: None });
    door.close().await;
}

fn put_off(rule_id: &str) -> v1::PutProfileRequest {
    let kind = v1::rule::Kind::Off(v1::rule::Off {});
    let actionable_for = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    let rule = v1::Rule {
        rule_id: rule_id.into(),
        kind: Some(kind),
        actionable_for,
        ..v1::Rule::default()
    };
    let owner = v1::profile_owner::Owner::SiteId("north".into());
    v1::PutProfileRequest {
        owner: Some(v1::ProfileOwner { owner: Some(owner) }),
        profile: Some(v1::Profile { rules: vec![rule] }),
        ..v1::PutProfileRequest::default()
    }
}

#[tokio::test]
async fn putting_a_profile_is_a_command_and_answers_with_its_version() {
    let door = open().await;
    let profile = Profile { rules: vec![Rule::new(id("hr-high"), RuleKind::Off)] };
    let row = ProfileRow {
        scope: Scope::Site(SiteKey(1)),
        version: 2,
        profile: profile.clone(),
        put_at: Timestamp::from_seconds(40),
        put_by: "anonymous".to_owned(),
    };
    door.commands.answer(Ok(Ok(done(RegistryChange::Profile(row)))));
    let request = put_off("hr-high");
    let put = door.profiles().put_profile(request.clone()).await.expect("put").into_inner();
    let expected = v1::ProfileVersion {
        owner: request.owner,
        version: 2,
        profile: request.profile,
        put_at: wire(40),
        put_by: "anonymous".into(),
        etag: "2".into(),
    };
    assert_eq!(put, expected);
    let action = Action::PutProfile {
        owner: ProfileOwner::Site(id("north")),
        profile,
        expected_version: None,
    };
    assert_eq!(only_action(&door), action);
    door.close().await;
}

#[tokio::test]
async fn a_wrong_request_names_its_fields_and_reaches_nobody() {
    let door = open().await;
    let request = v1::CreateSiteRequest { site_id: "a b".into(), ..create_site() };
    let status = door.registry().create_site(request).await.expect_err("wrong");
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&status), ["site_id"]);
    let status = door.profiles().put_profile(put_off("")).await.expect_err("wrong");
    assert_eq!(fields(&status), ["profile.rules[0].rule_id"]);
    let status = door.vitals().list_readings(v1::ListReadingsRequest::default()).await;
    assert_eq!(fields(&status.expect_err("wrong")), ["patient_id", "from", "until"]);
    assert_eq!(door.commands.seen(), []);
    assert_eq!(door.history.seen(), []);
    door.close().await;
}

#[tokio::test]
async fn a_request_with_very_many_wrong_fields_still_gets_its_answer() {
    let door = open().await;
    let mut request = put_off(&"\u{10ffff}".repeat(10_000));
    let profile = request.profile.as_mut().expect("set above");
    profile.rules = vec![profile.rules[0].clone(); 64];
    let status = door.profiles().put_profile(request).await.expect_err("wrong");
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(status.message().ends_with("(and 126 more)"), "{status}");
    assert!((1..127).contains(&fields(&status).len()));
    door.close().await;
}

#[tokio::test]
async fn a_refusal_of_the_engine_keeps_its_reason() {
    let door = open().await;
    let refusal = Refusal::AlreadyExists { kind: "site", id: "north".to_owned() };
    door.commands.answer(Ok(Err(refusal)));
    let status = door.registry().create_site(create_site()).await.expect_err("refused");
    check(&status, Code::AlreadyExists, "SITE_EXISTS");
    door.close().await;
}

#[tokio::test]
async fn a_violation_found_by_the_engine_is_named_by_the_path_in_the_request() {
    let door = open().await;
    let violation = |field: &str| Violation { field: field.into(), description: "no".into() };
    let found = vec![violation("rules[hr-high].actionable_for"), violation("rules")];
    door.commands.answer(Ok(Err(Refusal::InvalidArgument(found))));
    let status = door.profiles().put_profile(put_off("hr-high")).await.expect_err("refused");
    assert_eq!(fields(&status), ["profile.rules[0].actionable_for", "profile.rules"]);
    door.close().await;
}

#[tokio::test]
async fn while_the_service_stops_changes_are_unavailable() {
    let door = open().await;
    door.commands.answer(Err(Closed));
    let status = door.registry().create_site(create_site()).await.expect_err("stopping");
    check(&status, Code::Unavailable, "SERVICE_STOPPING");
    door.close().await;
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_is_an_internal_error() {
    let door = open().await;
    door.commands.answer(Ok(Ok(bound(None))));
    let status = door.registry().create_site(create_site()).await.expect_err("our bug");
    assert_eq!(status.code(), Code::Internal);
    door.close().await;
}

#[tokio::test]
async fn the_id_of_a_request_goes_with_its_command() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(site_row()))));
    let request = v1::CreateSiteRequest { request_id: "r-1".into(), ..create_site() };
    door.registry().create_site(request).await.expect("created");
    let request = door.commands.seen()[0].request.clone();
    let id = "r-1".parse().expect("an id");
    assert_eq!(request, Some(Repeatable { id, call: None }));
    door.close().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_named_with_all_else_that_is_wrong() {
    let door = open().await;
    for wrong in ["two words", "nul\0", &"x".repeat(65)] {
        let request = v1::CreateSiteRequest { request_id: wrong.into(), ..Default::default() };
        let status = door.registry().create_site(request).await.expect_err("wrong");
        assert_eq!(fields(&status).last().map(String::as_str), Some("request_id"), "{wrong:?}");
        let request = v1::PutProfileRequest { request_id: wrong.into(), ..put_off("x") };
        let status = door.profiles().put_profile(request).await.expect_err("wrong");
        check(&status, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&status), ["request_id"]);
    }
    assert_eq!(door.commands.seen(), []);
    door.close().await;
}

fn stored(vital: Vital, value: Value) -> StoredReading {
    StoredReading {
        measured_at: Timestamp::from_seconds(1),
        vital,
        device: id("d-1"),
        value,
        quality: Quality::LATE,
        received_at: Timestamp::from_seconds(2),
        stored_at: Timestamp::from_seconds(3),
        original: (vital == Vital::Spo2)
            .then(|| (Quantity::from_ten_thousandths(9_750), Unit::One)),
        interval: (vital == Vital::HeartRate).then(|| Duration::from_millis(1500)),
        measurement_id: vital.number().into(),
    }
}

fn list_readings() -> v1::ListReadingsRequest {
    v1::ListReadingsRequest {
        patient_id: "p-1".into(),
        vitals: vec![v1::Vital::Spo2.into()],
        from: wire(0),
        until: wire(60),
        page_size: 50,
        page_token: "page-2".into(),
    }
}

#[tokio::test]
async fn listing_readings_asks_the_store_within_the_callers_sites() {
    let door = open().await;
    let quantity = Value::Quantity(Quantity::from_ten_thousandths(975_000));
    door.history.answer(Ok(ReadingsPage {
        readings: vec![
            stored(Vital::Spo2, quantity),
            stored(Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
            stored(Vital::HeartRate, Value::Absent(AbsentReason::SensorOff)),
        ],
        next_page_token: Some("page-3".to_owned()),
    }));
    let page = door.vitals().list_readings(list_readings()).await.expect("a page").into_inner();
    assert_eq!(page.next_page_token, "page-3");
    let expected = v1::StoredReading {
        measured_at: wire(1),
        vital: v1::Vital::Spo2.into(),
        value: Some(v1::stored_reading::Value::Quantity(97.5)),
        unit: "%".into(),
        flags: vec![v1::ReadingFlag::Late.into()],
        device_id: "d-1".into(),
        received_at: wire(2),
        stored_at: wire(3),
        original_quantity: Some(0.975),
        original_unit: "1".into(),
        interval: None,
        measurement_id: 3,
    };
    assert_eq!(page.readings[0], expected);
    let level = v1::stored_reading::Value::Consciousness(v1::Acvpu::Voice.into());
    assert_eq!(page.readings[1].value, Some(level));
    let absent = v1::stored_reading::Value::Absent(v1::AbsentReason::SensorOff.into());
    assert_eq!(page.readings[2].value, Some(absent));
    let interval = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
    assert_eq!(page.readings[2].interval, Some(interval));
    assert_eq!((page.readings[2].original_quantity, &*page.readings[2].original_unit), (None, ""));
    let query = ReadingsQuery {
        patient: id("p-1"),
        sites: Sites::All,
        vitals: vec![Vital::Spo2],
        from: Timestamp::from_seconds(0),
        until: Timestamp::from_seconds(60),
        page_size: 50,
        page_token: Some("page-2".to_owned()),
    };
    assert_eq!(door.history.seen(), [query]);
    door.close().await;
}

#[tokio::test]
async fn history_that_cannot_be_read_says_why() {
    let door = open().await;
    let unavailable = HistoryError::Unavailable { reason: "connecting".to_owned() };
    for (error, code, reason) in [
        (unavailable, Code::Unavailable, "HISTORY_UNAVAILABLE"),
        (HistoryError::InvalidPageToken, Code::InvalidArgument, "INVALID_FIELDS"),
        (HistoryError::UnknownPatient, Code::NotFound, "PATIENT_NOT_FOUND"),
    ] {
        door.history.answer(Err(error));
        let status = door.vitals().list_readings(list_readings()).await.expect_err("no history");
        check(&status, code, reason);
    }
    door.close().await;
}
