//! Lists of the registry over the wire: pages, their tokens, and who is on record.

use tonic::Code;

use super::fakes::{Door, open};
use super::{bound, check, fields, id, patient_row, wire};
use crate::clock::Timestamp;
use crate::engine::audit::Outcome;
use crate::engine::output::{DeviceRow, Done, Refusal, RegistryChange, SiteRow};
use crate::engine::profile::Eligibility;
use crate::engine::query::{
    Bindings, BindingsOf, BindingsQuestion, DevicesQuestion, Found, Page, PatientsQuestion,
    Question, RegistryQuestion, SitesQuestion, WornBy,
};
use crate::proto::v1;
use crate::proto::v1::list_bindings_request::Of;
use crate::proto::v1::list_devices_request::WornBy as WireWornBy;
use crate::vitals::{DeviceKey, SiteKey};

fn finds(door: &Door, found: Found) {
    door.commands.queries.answer(Ok(Ok(Done::Found(Box::new(found)))));
}

/// What the lists answer of which an empty request is right.
pub(super) fn answer_empty_pages(door: &Door) {
    finds(door, Found::Sites(Page { rows: vec![], next_behind: None }));
    finds(door, Found::Patients(Page { rows: vec![], next_behind: None }));
    finds(door, Found::Devices(Page { rows: vec![], next_behind: None }));
}

fn asked(door: &Door) -> Vec<RegistryQuestion> {
    let question = |question| match question {
        Question::Registry(question) => question,
        other => panic!("{other:?}"),
    };
    door.commands.queries.seen().into_iter().map(|query| question(query.question)).collect()
}

#[tokio::test]
async fn sites_come_in_pages() {
    let door = open().await;
    let row = SiteRow {
        key: SiteKey(1),
        id: id("north"),
        display_name: "North ward".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        created_at: Timestamp::from_seconds(10),
    };
    finds(&door, Found::Sites(Page { rows: vec![row], next_behind: Some(id("north")) }));
    finds(&door, Found::Sites(Page { rows: vec![], next_behind: None }));
    let mut request = v1::ListSitesRequest { page_size: 1, page_token: String::new() };
    let first = door.registry().list_sites(request.clone()).await.expect("listed").into_inner();
    assert_eq!(first.sites[0].site_id, "north");
    assert_eq!(first.sites[0].created_at, wire(10));
    request.page_token = first.next_page_token;
    let last = door.registry().list_sites(request).await.expect("listed").into_inner();
    assert_eq!((last.sites.len(), &*last.next_page_token), (0, ""));
    let question = |behind| RegistryQuestion::Sites(SitesQuestion { behind, limit: 1 });
    assert_eq!(asked(&door), [question(None), question(Some(id("north")))]);
    door.close().await;
}

#[tokio::test]
async fn patients_are_listed_and_each_of_them_is_on_record() {
    let door = open().await;
    let row = |name| {
        let row = patient_row(Eligibility::default(), None);
        (crate::engine::output::PatientRow { id: id(name), ..row }, id("north"))
    };
    let rows = vec![row("p-1"), row("p-2")];
    finds(&door, Found::Patients(Page { rows, next_behind: Some(id("p-2")) }));
    let request = v1::ListPatientsRequest {
        site_id: "north".into(),
        id_prefix: "p-".into(),
        page_size: 2,
        page_token: String::new(),
    };
    let answer = door.registry().list_patients(request.clone()).await.expect("listed");
    let page = answer.into_inner();
    let told: Vec<_> = page.patients.iter().map(|it| (&*it.patient_id, &*it.site_id)).collect();
    assert_eq!(told, [("p-1", "north"), ("p-2", "north")]);
    let question = PatientsQuestion {
        site: Some(id("north")),
        id_prefix: "p-".to_owned(),
        behind: None,
        limit: 2,
    };
    assert_eq!(asked(&door), [RegistryQuestion::Patients(question)]);
    let access = door.commands.recorded().remove(0);
    assert_eq!(access.outcome, Outcome::Done);
    assert_eq!(access.about.patients, [id("p-1"), id("p-2")]);
    assert_eq!(access.about.site, Some(id("north")));
    assert_eq!(access.about.text, "ids that begin with p-");
    // The token is of this list, and of no other.
    let page_token = page.next_page_token;
    let other = v1::ListPatientsRequest { id_prefix: "p".into(), page_token, ..request };
    let status = door.registry().list_patients(other).await.expect_err("of another list");
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&status), ["page_token"]);
    door.close().await;
}

#[tokio::test]
async fn devices_are_listed_by_who_wears_them() {
    let door = open().await;
    let created_at = Timestamp::from_seconds(10);
    let row = DeviceRow { key: DeviceKey(1), id: id("d-1"), site: SiteKey(1), created_at };
    for _ in 0..2 {
        let rows = vec![(row.clone(), id("north"))];
        finds(&door, Found::Devices(Page { rows, next_behind: None }));
    }
    for worn_by in [WireWornBy::PatientId("p-1".into()), WireWornBy::Nobody(true)] {
        let request = v1::ListDevicesRequest { worn_by: Some(worn_by), ..Default::default() };
        let page = door.registry().list_devices(request).await.expect("listed").into_inner();
        assert_eq!((&*page.devices[0].device_id, &*page.devices[0].site_id), ("d-1", "north"));
    }
    let question = |worn| {
        let question = DevicesQuestion {
            site: None,
            worn: Some(worn),
            id_prefix: String::new(),
            behind: None,
            limit: 100,
        };
        RegistryQuestion::Devices(question)
    };
    let expected = [question(WornBy::Patient(id("p-1"))), question(WornBy::Nobody)];
    assert_eq!(asked(&door), expected);
    assert_eq!(door.commands.recorded()[0].about.patients, [id("p-1")]);
    door.close().await;
}

#[tokio::test]
async fn bindings_come_in_pages_whether_of_a_device_or_of_a_patient() {
    let door = open().await;
    let Done::Registry { change: RegistryChange::Binding(row), .. } =
        bound(Some(Timestamp::from_seconds(30)))
    else {
        panic!("a binding")
    };
    let place = (Timestamp::from_seconds(20), DeviceKey(1));
    let bindings = vec![(row, id("d-1"), id("p-1"))];
    finds(&door, Found::Bindings(Bindings { bindings, next_behind: Some(place) }));
    finds(&door, Found::Bindings(Bindings { bindings: vec![], next_behind: None }));
    let mut request = v1::ListBindingsRequest {
        of: Some(Of::PatientId("p-1".to_owned())),
        page_size: 1,
        page_token: String::new(),
    };
    let first = door.registry().list_bindings(request.clone()).await.expect("found").into_inner();
    let told = &first.bindings[0];
    assert_eq!((&*told.device_id, &*told.patient_id), ("d-1", "p-1"));
    assert_eq!((told.from, told.until), (wire(20), wire(30)));
    request.page_token = first.next_page_token;
    let last = door.registry().list_bindings(request).await.expect("found").into_inner();
    assert_eq!((last.bindings.len(), &*last.next_page_token), (0, ""));
    let question = |behind| {
        let of = BindingsOf::Patient(id("p-1"));
        RegistryQuestion::Bindings(BindingsQuestion { of, behind, limit: 1 })
    };
    assert_eq!(asked(&door), [question(None), question(Some(place))]);
    door.close().await;
}

#[tokio::test]
async fn a_site_that_is_not_the_callers_is_not_found_and_that_is_on_record() {
    let door = open().await;
    let refusal = Refusal::NotFound { kind: "site", id: "west".to_owned() };
    door.commands.queries.answer(Ok(Err(refusal)));
    let request = v1::ListPatientsRequest { site_id: "west".into(), ..Default::default() };
    let status = door.registry().list_patients(request).await.expect_err("nobody's");
    check(&status, Code::NotFound, "SITE_NOT_FOUND");
    let access = door.commands.recorded().remove(0);
    assert_eq!((access.outcome, &*access.reason), (Outcome::Failed, "SITE_NOT_FOUND"));
    door.close().await;
}
