//! Every call goes on record before it is answered, and nobody is answered what does not.

use std::collections::BTreeSet;

use prost::Message;
use tokio_stream::StreamExt;
use tonic::{Code, Request};

use super::contract::{call, methods};
use super::fakes::{Door, FakeEngine, open, open_before, settings};
use super::*;
use super::{erasure, lists};
use crate::engine::audit::{About, Access, Method, Outcome};
use crate::engine::input::Principal;
use crate::engine::query::Found;
use crate::grpc::{auth, streams};
use crate::hub::tests::House;
use crate::store::{
    AlertsPage, AuditPage, AuditQuery, RejectedPage, StoredAuditEvent, StoredDetails,
};

/// The one call that went on record.
fn only_access(door: &Door) -> Access {
    let mut recorded = door.commands.recorded();
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    recorded.remove(0)
}

#[test]
fn every_call_of_the_contract_has_its_name_on_record() {
    let contract: BTreeSet<_> =
        methods().into_iter().map(|(name, _)| format!("pulseward.v1.{name}")).collect();
    let known = Method::ALL.iter().map(|method| method.name().to_owned());
    assert_eq!(known.collect::<BTreeSet<_>>(), contract);
}

#[tokio::test]
async fn every_call_that_is_served_goes_on_record_by_its_name_also_when_it_is_wrong() {
    let door = open().await;
    for (name, method) in methods() {
        door.rejected.answer(Ok(RejectedPage { messages: vec![], next_page_token: None }));
        door.audit.answer(Ok(AuditPage { events: vec![], next_page_token: None }));
        door.listed.answer(Ok(AlertsPage { alerts: vec![], next_page_token: None }));
        door.erasures.answer(Ok(erasure::done()));
        lists::answer_empty_pages(&door);
        let before = door.commands.recorded().len();
        let called = call(&door.channel, &name, method.server_streaming()).await;
        if called.is_err_and(|status| status.code() == Code::Unimplemented) {
            continue;
        }
        let recorded = door.commands.recorded();
        assert!(recorded.len() > before, "{name} is served and not on record");
        let access = &recorded[before];
        assert_eq!(access.method.name(), format!("pulseward.v1.{name}"));
        let principal = access.principal.as_ref().expect("known");
        assert_eq!((&*principal.subject, principal.role), ("anonymous", Role::Admin));
        assert!(access.origin.peer.starts_with("127.0.0.1:"), "{}", access.origin.peer);
    }
    let salts: BTreeSet<_> = door.commands.recorded().iter().map(|it| it.origin.salt).collect();
    assert_eq!(salts.len(), door.commands.recorded().len(), "each has a salt of its own");
    door.close().await;
}

#[tokio::test]
async fn a_read_is_on_record_with_whom_it_is_about_and_never_with_what_was_read() {
    let door = open().await;
    door.history.answer(Ok(ReadingsPage { readings: vec![], next_page_token: None }));
    door.vitals().list_readings(list_readings()).await.expect("a page");
    let access = only_access(&door);
    assert_eq!((access.method, access.outcome), (Method::ListReadings, Outcome::Done));
    let text = "from 1970-01-01T00:00:00Z, until 1970-01-01T00:01:00Z, 1 vital".to_owned();
    let about = About { patients: vec![id("p-1")], text, ..About::default() };
    assert_eq!(access.about, about);
    door.close().await;
}

#[tokio::test]
async fn a_read_that_failed_is_on_record_with_the_reason_that_the_caller_got() {
    let door = open().await;
    door.history.answer(Err(HistoryError::UnknownPatient));
    door.vitals().list_readings(list_readings()).await.expect_err("nobody");
    let access = only_access(&door);
    assert_eq!((access.outcome, &*access.reason), (Outcome::Failed, "PATIENT_NOT_FOUND"));
    assert_eq!(access.about.patients, [id("p-1")]);
    let refusal = Refusal::PermissionDenied { role: Role::Auditor, action: "read the registry" };
    door.commands.queries.answer(Ok(Err(refusal)));
    let request = v1::GetPatientRequest { patient_id: "p-1".into() };
    door.registry().get_patient(request).await.expect_err("refused");
    let access = &door.commands.recorded()[1];
    assert_eq!((access.outcome, &*access.reason), (Outcome::Denied, "ROLE_NOT_ALLOWED"));
    door.close().await;
}

#[tokio::test]
async fn a_wrong_request_is_on_record_with_what_of_it_is_an_id() {
    let door = open().await;
    let request = v1::CreatePatientRequest {
        patient_id: "p-1".into(),
        site_id: "a b".into(),
        request_id: String::new(),
    };
    door.registry().create_patient(request).await.expect_err("wrong");
    let access = only_access(&door);
    assert_eq!((access.outcome, &*access.reason), (Outcome::Failed, "INVALID_FIELDS"));
    assert_eq!((access.about.patients, access.about.site), (vec![id("p-1")], None));
    door.close().await;
}

#[tokio::test]
async fn a_change_is_told_by_the_engine_and_not_a_second_time() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(site_row()))));
    door.registry().create_site(create_site()).await.expect("created");
    door.commands.answer(Ok(Err(Refusal::AlreadyExists { kind: "site", id: "north".into() })));
    door.registry().create_site(create_site()).await.expect_err("is there");
    assert_eq!(door.commands.recorded(), []);
    let peers = door.commands.seen().into_iter().map(|command| command.origin.peer);
    assert!(peers.into_iter().all(|peer| peer.starts_with("127.0.0.1:")));
    door.close().await;
}

#[tokio::test]
async fn what_cannot_go_on_record_is_not_answered() {
    let door = open().await;
    door.commands.fill();
    door.history.answer(Ok(ReadingsPage { readings: vec![], next_page_token: None }));
    let status = door.vitals().list_readings(list_readings()).await.expect_err("not told");
    check(&status, Code::Unavailable, "JOURNAL_FULL");
    let request = v1::ListReadingsRequest::default();
    let status = door.vitals().list_readings(request).await.expect_err("nor why it is wrong");
    check(&status, Code::Unavailable, "JOURNAL_FULL");
    let status = door.alerts().watch_alerts(v1::WatchAlertsRequest::default()).await;
    check(&status.expect_err("nor opened"), Code::Unavailable, "JOURNAL_FULL");
    door.commands.answer(Ok(Ok(done(site_row()))));
    door.registry().create_site(create_site()).await.expect("changes go on");
    door.close().await;
}

#[tokio::test]
async fn bindings_are_on_record_with_the_patients_that_the_answer_told_of() {
    let door = open().await;
    let Done::Registry { change: RegistryChange::Binding(row), .. } = bound(None) else {
        panic!("a binding")
    };
    let binding = |patient| (row.clone(), id("d-1"), patient);
    let bindings = vec![binding(id("p-1")), binding(id("p-2"))];
    let found = crate::engine::query::Bindings { bindings, next_behind: None };
    door.commands.queries.answer(Ok(Ok(Done::Found(Box::new(Found::Bindings(found))))));
    let of = Some(v1::list_bindings_request::Of::DeviceId("d-1".into()));
    let request = v1::ListBindingsRequest { of, ..v1::ListBindingsRequest::default() };
    door.registry().list_bindings(request).await.expect("found");
    let about = only_access(&door).about;
    assert_eq!(about.patients, [id("p-1"), id("p-2")]);
    assert_eq!((about.device, &*about.text), (Some(id("d-1")), "device d-1"));
    door.close().await;
}

#[tokio::test]
async fn a_stream_is_one_opening_and_one_end_however_it_ends() {
    let house = House::new();
    let door = open_before(house.handle(), settings()).await;
    let filter = v1::AlertFilter { site_ids: vec!["north".into()], ..v1::AlertFilter::default() };
    let request = v1::WatchAlertsRequest { filter: Some(filter), resume_after: String::new() };
    let watch = door.alerts().watch_alerts(request.clone()).await.expect("opened").into_inner();
    let opened = only_access(&door);
    assert_eq!((opened.outcome, opened.about.site), (Outcome::Opened, Some(id("north"))));
    drop(watch);
    let left = door.commands.recorded_in_time(2).await.remove(1);
    assert_eq!((left.outcome, &*left.reason), (Outcome::Closed, ""));
    assert_eq!(left.about.text, "opened by event 1");
    assert_ne!(left.origin.salt, opened.origin.salt);

    let mut watch = door.alerts().watch_alerts(request).await.expect("opened").into_inner();
    door.stopping.cancel();
    let ended = loop {
        match watch.next().await {
            Some(Ok(_)) => {}
            Some(Err(status)) => break status,
            None => panic!("it never just stops"),
        }
    };
    check(&ended, Code::Unavailable, "SERVICE_STOPPING");
    let stopped = door.commands.recorded_in_time(4).await.remove(3);
    assert_eq!((stopped.outcome, &*stopped.reason), (Outcome::Closed, "SERVICE_STOPPING"));
    assert_eq!(stopped.about.text, "opened by event 3");
    door.close().await;
}

#[tokio::test]
async fn a_stream_that_is_open_when_the_door_closes_has_its_end_on_record() {
    let house = House::new();
    let door = open_before(house.handle(), settings()).await;
    let request = v1::WatchAlertsRequest::default();
    let _watch = door.alerts().watch_alerts(request).await.expect("opened").into_inner();
    let commands = door.commands.clone();
    door.stopping.cancel();
    door.close().await;
    let outcomes: Vec<_> = commands.recorded().iter().map(|access| access.outcome).collect();
    assert_eq!(outcomes, [Outcome::Opened, Outcome::Closed]);
}

#[tokio::test]
async fn a_stream_for_whose_end_there_is_no_room_is_refused_and_that_is_on_record() {
    let engine = FakeEngine::new();
    let (streams, _ends) = streams::channel(engine.clone(), 1, auth::Streams::new(None));
    let open = || {
        let mut request = Request::new(v1::WatchAlertsRequest::default());
        let (subject, sites) = ("nora".to_owned(), Sites::All);
        request.extensions_mut().insert(Principal { subject, role: Role::Viewer, sites });
        streams.open(request, |_, _| Ok(()))
    };
    let first = open().await.expect("opened");
    let status = open().await.err().expect("refused");
    check(&status, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    let last = engine.recorded().pop().expect("on record");
    assert_eq!((last.outcome, &*last.reason), (Outcome::Failed, "TOO_MANY_STREAMS"));
    drop(first);
}

fn stored() -> StoredAuditEvent {
    StoredAuditEvent {
        partition: crate::position::Partition::FIRST,
        number: 7,
        at: Timestamp::from_seconds(10),
        subject: "nora".into(),
        role: Some("clinician".into()),
        peer: "192.0.2.7:50122".into(),
        method: "pulseward.v1.VitalsService/ListReadings".into(),
        outcome: "done".into(),
        reason: String::new(),
        site: Some("north".into()),
        details: StoredDetails::Kept {
            salt: [7; 16],
            patients: vec!["p-1".into()],
            patient_count: 1,
            text: "2 vitals".into(),
        },
        commitment: vec![1; 32],
        digest: vec![2; 32],
    }
}

#[tokio::test]
async fn audit_events_are_listed_within_the_callers_sites_and_without_what_was_erased() {
    let door = open().await;
    let erased = StoredAuditEvent { details: StoredDetails::Erased, ..stored() };
    let events = vec![stored(), erased];
    door.audit.answer(Ok(AuditPage { events, next_page_token: Some("page-2".into()) }));
    let request = v1::ListAuditEventsRequest {
        subject: "nora".into(),
        patient_id: "p-1".into(),
        from: wire(0),
        until: None,
        page_size: 0,
        page_token: "page-1".into(),
    };
    let page = door.auditing().list_audit_events(request).await.expect("a page").into_inner();
    assert_eq!(page.next_page_token, "page-2");
    let expected = v1::AuditEvent {
        number: 7,
        at: wire(10),
        subject: "nora".into(),
        role: "clinician".into(),
        peer: "192.0.2.7:50122".into(),
        method: "pulseward.v1.VitalsService/ListReadings".into(),
        patient_ids: vec!["p-1".into()],
        outcome: v1::AuditOutcome::Done.into(),
        detail: "2 vitals".into(),
        detail_digest: vec![1; 32],
        chain_digest: vec![2; 32],
        reason: String::new(),
        site_id: "north".into(),
        patient_count: 1,
        salt: vec![7; 16],
    };
    assert_eq!(page.events[0], expected);
    let erased = v1::AuditEvent {
        patient_ids: vec![],
        detail: String::new(),
        patient_count: 0,
        salt: vec![],
        ..expected
    };
    assert_eq!(page.events[1].encode_to_vec(), erased.encode_to_vec());
    let query = AuditQuery {
        sites: Sites::All,
        subject: Some("nora".into()),
        patient: Some(id("p-1")),
        from: Timestamp::from_seconds(0),
        until: Timestamp::MAX,
        page_size: 100,
        page_token: Some("page-1".into()),
    };
    assert_eq!(door.audit.seen(), [query]);
    let access = only_access(&door);
    assert_eq!((access.method, access.outcome), (Method::ListAuditEvents, Outcome::Done));
    assert_eq!(access.about.patients, [id("p-1")], "to read of it is on record too");
    door.close().await;
}
