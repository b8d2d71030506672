//! What is done with patients and their devices after they were enrolled.

use super::fakes::open;
use super::{done, fields, id, only_action, patient_row, schedule, wire};
use crate::clock::Timestamp;
use crate::engine::input::{Action, Replacement};
use crate::engine::output::{BindingRow, Done, RegistryChange};
use crate::engine::profile::{AgeGroup, Eligibility, Pregnancy};
use crate::proto::v1;
use crate::vitals::{DeviceKey, PatientKey};

const ADULT: Eligibility =
    Eligibility { age_group: AgeGroup::Adult, pregnancy: Pregnancy::NotPregnant };

#[tokio::test]
async fn what_scores_must_know_is_a_command_and_answers_with_the_patient() {
    let door = open().await;
    door.commands.answer(Ok(Ok(done(RegistryChange::Patient(patient_row(ADULT, None))))));
    let request = v1::UpdatePatientRequest {
        patient_id: "p-1".into(),
        age_group: v1::AgeGroup::Adult.into(),
        pregnancy: v1::Pregnancy::NotPregnant.into(),
        etag: String::new(),
        request_id: String::new(),
    };
    let patient = door.registry().update_patient(request).await.expect("done").into_inner();
    assert_eq!(&*patient.patient_id, "p-1");
    assert_eq!(patient.age_group(), v1::AgeGroup::Adult);
    assert_eq!(patient.pregnancy(), v1::Pregnancy::NotPregnant);
    let action =
        |expected| Action::UpdatePatient { patient: id("p-1"), eligibility: ADULT, expected };
    assert_eq!(only_action(&door), action(None));

    door.commands.answer(Ok(Ok(done(RegistryChange::Patient(patient_row(ADULT, None))))));
    let again = v1::UpdatePatientRequest {
        patient_id: "p-1".into(),
        age_group: v1::AgeGroup::Adult.into(),
        pregnancy: v1::Pregnancy::NotPregnant.into(),
        etag: patient.etag,
        request_id: String::new(),
    };
    door.registry().update_patient(again.clone()).await.expect("done");
    assert_eq!(door.commands.seen()[1].action, action(Some(ADULT)));
    let wrong = v1::UpdatePatientRequest { etag: "9.9".into(), ..again };
    let status = door.registry().update_patient(wrong).await.expect_err("no etag");
    assert_eq!(fields(&status), ["etag"]);
    door.close().await;
}

#[tokio::test]
async fn a_transfer_is_a_command_and_answers_with_the_patient_at_the_new_site() {
    let door = open().await;
    let row = patient_row(Eligibility::default(), None);
    let change = RegistryChange::Patient(row);
    let moved = Done::Registry { change, patient: None, site: Some(id("south")) };
    door.commands.answer(Ok(Ok(moved)));
    let request = v1::TransferPatientRequest {
        patient_id: "p-1".into(),
        site_id: "south".into(),
        request_id: String::new(),
    };
    let patient = door.registry().transfer_patient(request).await.expect("done").into_inner();
    assert_eq!((&*patient.patient_id, &*patient.site_id), ("p-1", "south"));
    let action = Action::TransferPatient { patient: id("p-1"), site: id("south") };
    assert_eq!(only_action(&door), action);
    door.close().await;
}

#[tokio::test]
async fn a_pause_of_a_patient_has_an_end_and_unset_ends_it() {
    for until in [Some(Timestamp::from_seconds(900)), None] {
        let door = open().await;
        let row = patient_row(Eligibility::default(), until);
        door.commands.answer(Ok(Ok(done(RegistryChange::Patient(row)))));
        let request = v1::PausePatientRequest {
            patient_id: "p-1".into(),
            until: until.and(wire(900)),
            reason: "bath".into(),
            request_id: String::new(),
        };
        let patient = door.registry().pause_patient(request).await.expect("done").into_inner();
        assert_eq!(patient.paused_until, until.and(wire(900)));
        let reason = Some("bath".to_owned());
        let action = Action::PausePatient { patient: id("p-1"), until, reason };
        assert_eq!(only_action(&door), action);
        door.close().await;
    }
}

fn binding(device: u32, from: i64, until: Option<i64>) -> BindingRow {
    BindingRow {
        device: DeviceKey(device),
        patient: PatientKey(1),
        from: Timestamp::from_seconds(from),
        until: until.map(Timestamp::from_seconds),
        schedule: schedule().0.into(),
    }
}

#[tokio::test]
async fn a_replacement_is_one_command_and_answers_with_both_bindings() {
    let door = open().await;
    let (ended, began) = (binding(1, 20, Some(50)), binding(2, 50, None));
    door.commands.answer(Ok(Ok(Done::Replaced { ended, began, patient: id("p-1") })));
    let request = v1::ReplaceDeviceRequest {
        device_id: "d-1".into(),
        new_device_id: "d-2".into(),
        at: wire(50),
        schedule: None,
        request_id: String::new(),
    };
    let both = door.registry().replace_device(request).await.expect("done").into_inner();
    let (ended, began) = (both.ended.expect("ended"), both.began.expect("began"));
    assert_eq!((&*ended.device_id, &*ended.patient_id, ended.until), ("d-1", "p-1", wire(50)));
    assert_eq!((&*began.device_id, &*began.patient_id, began.from), ("d-2", "p-1", wire(50)));
    assert_eq!((began.until, began.schedule), (None, Some(schedule().1)));
    let action = Action::ReplaceDevice(Replacement {
        device: id("d-1"),
        new_device: id("d-2"),
        at: Some(Timestamp::from_seconds(50)),
        schedule: None,
    });
    assert_eq!(only_action(&door), action);
    door.close().await;
}
