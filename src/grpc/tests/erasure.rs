//! Patients who are erased: who may, how it is confirmed, and how far it is.

use tonic::Code;

use super::fakes::open;
use super::{id, only_action, patient_row};
use crate::clock::Timestamp;
use crate::engine::input::{Action, Sites};
use crate::engine::output::{Done, Erased};
use crate::engine::profile::Eligibility;
use crate::proto::v1;
use crate::store::{HistoryError, StoredErasure};
use crate::vitals::{PatientId, PatientKey};

fn request(confirmed: &str) -> v1::ErasePatientRequest {
    v1::ErasePatientRequest {
        patient_id: "p-1".into(),
        confirm_patient_id: confirmed.into(),
        ..v1::ErasePatientRequest::default()
    }
}

#[tokio::test]
async fn an_erasure_is_a_command_and_answers_with_the_number_that_stays() {
    let door = open().await;
    let key = PatientKey(7);
    let mut tombstone = patient_row(Eligibility::default(), None);
    (tombstone.key, tombstone.id) = (key, PatientId::erased(key));
    tombstone.created_at = Timestamp::from_seconds(90);
    let erased = Erased {
        patient: Some(id("p-1")),
        site: id("north"),
        tombstone,
        requested_by: "anna".to_owned(),
        worn: Vec::new(),
    };
    door.commands.answer(Ok(Ok(Done::Erased(Box::new(erased)))));
    let erasure = door.registry().erase_patient(request("p-1")).await.expect("done").into_inner();
    assert_eq!((erasure.patient_number, &*erasure.requested_by), (7, "anna"));
    assert_eq!(erasure.requested_at.map(|at| at.seconds), Some(90));
    assert_eq!(erasure.done_at, None);
    assert_eq!(only_action(&door), Action::ErasePatient { patient: id("p-1"), added_before: None });
    door.close().await;
}

#[tokio::test]
async fn nobody_is_erased_without_their_id_being_said_twice() {
    let door = open().await;
    for confirmed in ["", "p-2"] {
        let refused = door.registry().erase_patient(request(confirmed)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("confirm_patient_id: "), "{refused}");
    }
    assert_eq!(door.commands.seen(), []);
    door.close().await;
}

pub(super) fn done() -> StoredErasure {
    StoredErasure {
        patient_key: PatientKey(7),
        requested_at: Timestamp::from_seconds(90),
        requested_by: "anna".to_owned(),
        done_at: Some(Timestamp::from_seconds(95)),
        readings: 1,
        buckets: 2,
        alerts: 3,
        alert_events: 4,
        rejected: 5,
        refused_rows: 6,
        audit_events: 7,
    }
}

#[tokio::test]
async fn how_far_an_erasure_is_is_the_stores_to_say() {
    let door = open().await;
    door.erasures.answer(Ok(done()));
    let asked = v1::GetErasureRequest { patient_number: 7 };
    let erasure = door.registry().get_erasure(asked).await.expect("told").into_inner();
    assert_eq!(erasure.done_at.map(|at| at.seconds), Some(95));
    let counts = [
        erasure.reading_count,
        erasure.bucket_count,
        erasure.alert_count,
        erasure.alert_event_count,
        erasure.rejected_count,
        erasure.refused_row_count,
        erasure.audit_event_count,
    ];
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(door.erasures.seen(), [(PatientKey(7), Sites::All)]);
    door.erasures.answer(Err(HistoryError::UnknownPatient));
    let unknown = door.registry().get_erasure(asked).await.expect_err("not heard of yet");
    assert_eq!(unknown.code(), Code::NotFound);
    door.close().await;
}
