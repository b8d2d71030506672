//! What clinicians do with alerts: each call is one command, and answers with what it led to.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

use super::fakes::open;
use super::{check, fields, id, only_action, wire};
use crate::clock::Timestamp;
use crate::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use crate::engine::input::{Action, AlertAction};
use crate::engine::output::{Done, Refusal};
use crate::engine::profile::Scope;
use crate::proto::v1;
use crate::vitals::{PatientKey, Priority, Vital};

const ALERT: &str = "00000000-0000-0000-0000-000000000007";

fn done(phase: Phase, signal: Signal, note: Option<&str>) -> Done {
    let alert = Alert {
        id: AlertId(Uuid::from_u128(7)),
        kind: AlertKind::Physiological,
        patient: Some(id("p-1")),
        patient_key: Some(PatientKey(1)),
        site: Some(id("north")),
        device: Some(id("d-1")),
        rule: id("hr"),
        rule_version: 1,
        scope: Scope::Default,
        vital: Some(Vital::HeartRate),
        limit: None,
        score: None,
        priority: Priority::High,
        condition: Condition::Active,
        signal,
        onset: Timestamp::from_seconds(1),
        raised_at: Timestamp::from_seconds(2),
        ended_at: None,
        retrospective: false,
        delayed: false,
        unconfirmed: false,
        escalation_level: 0,
        assignee: None,
        covered: 0,
        revision: 5,
        risen_in: 1,
    };
    Done::Alert(Box::new(AlertEvent {
        phase,
        determined_at: Timestamp::from_seconds(3),
        trigger: Trigger::Request,
        priority_before: Some(Priority::High),
        actor: Some("anonymous".to_owned()),
        note: note.map(str::to_owned),
        alert,
    }))
}

fn work(action: AlertAction) -> Action {
    Action::WorkOnAlert { alert: AlertId(Uuid::from_u128(7)), action }
}

#[tokio::test]
async fn acknowledging_is_a_command_and_answers_with_the_alert() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(Phase::Acknowledge, Signal::Acknowledged, None))));
    let request = v1::AcknowledgeAlertRequest {
        alert_id: ALERT.into(),
        etag: "4".into(),
        note: "on my way".into(),
        request_id: String::new(),
    };
    let alert = door.alerts().acknowledge_alert(request).await.expect("done").into_inner();
    assert_eq!((&*alert.alert_id, &*alert.etag), (ALERT, "5"));
    assert_eq!(alert.signal(), v1::SignalState::Acknowledged);
    let note = Some("on my way".to_owned());
    assert_eq!(only_action(&door), work(AlertAction::Acknowledge { revision: 4, note }));
    door.close().await;
}

#[tokio::test]
async fn pausing_is_a_command_and_answers_with_when_the_signal_comes_back() {
    let door = open().await;
    let until = Timestamp::from_seconds(603);
    door.commands.answer(Ok(Ok(done(Phase::Pause, Signal::Paused { until }, None))));
    let request = v1::PauseAlertRequest {
        alert_id: ALERT.into(),
        etag: "4".into(),
        duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..v1::PauseAlertRequest::default()
    };
    let alert = door.alerts().pause_alert(request).await.expect("done").into_inner();
    assert_eq!((alert.signal(), alert.paused_until), (v1::SignalState::Paused, wire(603)));
    let duration = Duration::from_secs(600);
    assert_eq!(only_action(&door), work(AlertAction::Pause { revision: 4, duration, note: None }));
    door.close().await;
}

#[tokio::test]
async fn resetting_is_a_command_and_answers_with_the_alert() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(Phase::Reset, Signal::Off, None))));
    let request = v1::ResetAlertRequest {
        alert_id: ALERT.into(),
        etag: "4".into(),
        request_id: String::new(),
    };
    let alert = door.alerts().reset_alert(request).await.expect("done").into_inner();
    assert_eq!(alert.signal(), v1::SignalState::Off);
    assert_eq!(only_action(&door), work(AlertAction::Reset { revision: 4 }));
    door.close().await;
}

#[tokio::test]
async fn assigning_names_a_person_or_nobody() {
    for (assignee, expected) in [("anna", Some("anna".to_owned())), ("", None)] {
        let door = open().await;
        door.commands.answer(Ok(Ok(done(Phase::Update, Signal::On, None))));
        let request = v1::AssignAlertRequest {
            alert_id: ALERT.into(),
            assignee: assignee.into(),
            etag: String::new(),
            request_id: String::new(),
        };
        door.alerts().assign_alert(request).await.expect("done");
        assert_eq!(
            only_action(&door),
            work(AlertAction::Assign { assignee: expected, revision: None })
        );
        door.close().await;
    }
}

#[tokio::test]
async fn a_note_is_a_command_and_answers_with_its_event() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(Phase::Update, Signal::On, Some("in a chair")))));
    let request = v1::AddAlertNoteRequest {
        alert_id: ALERT.into(),
        note: "in a chair".into(),
        request_id: String::new(),
    };
    let event = door.alerts().add_alert_note(request).await.expect("done").into_inner();
    assert_eq!((&*event.note, &*event.actor), ("in a chair", "anonymous"));
    assert_eq!((event.phase(), event.cause()), (v1::AlertPhase::Update, v1::AlertCause::Request));
    assert_eq!(only_action(&door), work(AlertAction::AddNote { note: "in a chair".to_owned() }));
    door.close().await;
}

#[tokio::test]
async fn who_comes_second_is_told_who_acknowledged_and_when() {
    let door = open().await;
    let at = Timestamp::from_seconds(90);
    let refusal = Refusal::AlertAcknowledged { by: "anna".to_owned(), at, revision: 5 };
    door.commands.answer(Ok(Err(refusal)));
    let request = v1::AcknowledgeAlertRequest {
        alert_id: ALERT.into(),
        etag: "4".into(),
        ..v1::AcknowledgeAlertRequest::default()
    };
    let status = door.alerts().acknowledge_alert(request).await.expect_err("refused");
    check(&status, Code::FailedPrecondition, "ALERT_ACKNOWLEDGED");
    let told = status.get_error_details().error_info().expect("a reason").metadata.clone();
    let told: BTreeMap<_, _> =
        told.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [("at", "1970-01-01T00:01:30Z"), ("by", "anna"), ("etag", "5")];
    assert_eq!(told, BTreeMap::from(expected));
    door.close().await;
}

#[tokio::test]
async fn alert_work_that_the_engine_refuses_says_why() {
    let door = open().await;
    let precondition = |reason| Refusal::FailedPrecondition { reason, description: "no".into() };
    let unknown = Refusal::NotFound { kind: "alert", id: ALERT.to_owned() };
    for (refusal, code, reason) in [
        (precondition("ALERT_ESCALATED"), Code::FailedPrecondition, "ALERT_ESCALATED"),
        (precondition("ALERT_ENDED"), Code::FailedPrecondition, "ALERT_ENDED"),
        (unknown, Code::NotFound, "ALERT_NOT_FOUND"),
    ] {
        door.commands.answer(Ok(Err(refusal)));
        let request = v1::ResetAlertRequest {
            alert_id: ALERT.into(),
            etag: "4".into(),
            request_id: String::new(),
        };
        let status = door.alerts().reset_alert(request).await.expect_err("refused");
        check(&status, code, reason);
    }
    door.close().await;
}

#[tokio::test]
async fn wrong_alert_work_never_reaches_the_engine() {
    let door = open().await;
    let request = v1::PauseAlertRequest { alert_id: ALERT.into(), ..Default::default() };
    let status = door.alerts().pause_alert(request).await.expect_err("wrong");
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&status), ["etag", "duration"]);
    let request = v1::ResetAlertRequest {
        alert_id: ALERT.into(),
        etag: "4".into(),
        request_id: "once more".into(),
    };
    let status = door.alerts().reset_alert(request).await.expect_err("wrong");
    assert_eq!(fields(&status), ["request_id"]);
    assert!(door.commands.seen().is_empty());
    door.close().await;
}
