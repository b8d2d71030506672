//! The registry is asked: what was found, and what is nobody's to find.

use tonic::Code;

use super::fakes::{Door, open};
use super::{check, id, patient_row, wire};
use crate::clock::Timestamp;
use crate::engine::output::{DeviceRow, Done, Refusal, SiteRow};
use crate::engine::profile::Eligibility;
use crate::engine::query::{Found, Question, RegistryQuestion};
use crate::proto::v1;
use crate::vitals::{DeviceKey, SiteKey};

fn finds(door: &Door, found: Found) {
    door.commands.queries.answer(Ok(Ok(Done::Found(Box::new(found)))));
}

/// The one question that was asked; nothing was submitted for it.
fn only_question(door: &Door) -> RegistryQuestion {
    assert!(door.commands.seen().is_empty(), "nothing is journaled for a question");
    let [query] = &door.commands.queries.seen()[..] else { panic!("asked once") };
    let Question::Registry(question) = query.question.clone() else { panic!("{query:?}") };
    question
}

#[tokio::test]
async fn a_site_is_looked_up() {
    let door = open().await;
    finds(
        &door,
        Found::Site(SiteRow {
            key: SiteKey(1),
            id: id("north"),
            display_name: "North ward".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            created_at: Timestamp::from_seconds(10),
        }),
    );
    let request = v1::GetSiteRequest { site_id: "north".to_owned() };
    let site = door.registry().get_site(request).await.expect("found").into_inner();
    let expected = v1::Site {
        site_id: "north".to_owned(),
        display_name: "North ward".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        created_at: wire(10),
    };
    assert_eq!(site, expected);
    assert_eq!(only_question(&door), RegistryQuestion::Site(id("north")));
    door.close().await;
}

#[tokio::test]
async fn a_patient_is_looked_up() {
    let door = open().await;
    let row = patient_row(Eligibility::default(), Some(Timestamp::from_seconds(99)));
    finds(&door, Found::Patient(row, id("north")));
    let request = v1::GetPatientRequest { patient_id: "p-1".to_owned() };
    let patient = door.registry().get_patient(request).await.expect("found").into_inner();
    assert_eq!((&*patient.patient_id, &*patient.site_id), ("p-1", "north"));
    assert_eq!(patient.paused_until, wire(99));
    assert_eq!(only_question(&door), RegistryQuestion::Patient(id("p-1")));
    door.close().await;
}

#[tokio::test]
async fn a_device_is_looked_up() {
    let door = open().await;
    let created_at = Timestamp::from_seconds(10);
    let row = DeviceRow { key: DeviceKey(1), id: id("d-1"), site: SiteKey(1), created_at };
    finds(&door, Found::Device(row, id("north")));
    let request = v1::GetDeviceRequest { device_id: "d-1".to_owned() };
    let device = door.registry().get_device(request).await.expect("found").into_inner();
    assert_eq!((&*device.device_id, &*device.site_id), ("d-1", "north"));
    assert_eq!(only_question(&door), RegistryQuestion::Device(id("d-1")));
    door.close().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let door = open().await;
    let refusal = Refusal::NotFound { kind: "device", id: "d-1".to_owned() };
    door.commands.queries.answer(Ok(Err(refusal)));
    let request = v1::GetDeviceRequest { device_id: "d-1".to_owned() };
    let status = door.registry().get_device(request).await.expect_err("nobody has it");
    check(&status, Code::NotFound, "DEVICE_NOT_FOUND");
    door.close().await;
}
