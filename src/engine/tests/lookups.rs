//! What callers may learn of the registry.

use super::*;
use crate::engine::query::{BindingsQuestion, Found, Query, Question, RegistryQuestion, answer};

fn ask(ward: &Ward, sites: Sites, question: RegistryQuestion) -> Result<Found, Refusal> {
    let principal = Principal { subject: "anna".to_owned(), role: Role::Viewer, sites };
    let query = Query { principal, question: Question::Registry(question) };
    match answer(&ward.state, &query)? {
        Done::Found(found) => Ok(*found),
        other => panic!("{other:?}"),
    }
}

/// The first device was on patients 1, 2 and 3, one after the other.
fn ward() -> Ward {
    let mut ward = Ward::new();
    ward.enroll(1);
    for number in 2..=3 {
        ward.now += 10;
        ward.done(Action::UnbindDevice { device: device(1), at: None });
        ward.done(Action::CreatePatient { patient: patient(number), site: id(SITE) });
        ward.done(Action::BindDevice(NewBinding {
            device: device(1),
            patient: patient(number),
            from: None,
            schedule: Schedule::default(),
        }));
    }
    ward
}

fn bindings(ward: &Ward, sites: Sites, among: Option<u32>) -> (Vec<String>, Option<u32>) {
    let question = BindingsQuestion { device: device(1), among, limit: 2 };
    let found = ask(ward, sites, RegistryQuestion::Bindings(question)).expect("found");
    let Found::Bindings(page) = found else { panic!("{found:?}") };
    let told = page.bindings.iter().map(|(row, patient)| {
        let until = row.until.map_or("now".to_owned(), |until| since_begin(until).to_string());
        format!("{patient} {} to {until}", since_begin(row.from))
    });
    (told.collect(), page.next_among)
}

#[test]
fn each_thing_is_found_by_its_id_with_its_site() {
    let ward = ward();
    let found = |question| ask(&ward, Sites::All, question).expect("found");
    let Found::Site(site) = found(RegistryQuestion::Site(id(SITE))) else { panic!("a site") };
    assert_eq!((site.id, &*site.display_name), (id(SITE), "North"));
    let Found::Patient(row, site) = found(RegistryQuestion::Patient(patient(2))) else {
        panic!("a patient")
    };
    assert_eq!((row.id, site), (patient(2), id(SITE)));
    let Found::Device(row, site) = found(RegistryQuestion::Device(device(1))) else {
        panic!("a device")
    };
    assert_eq!((row.id, site), (device(1), id(SITE)));
}

#[test]
fn bindings_are_told_latest_first_in_pages_that_new_ones_do_not_shift() {
    let mut ward = ward();
    let (first, next) = bindings(&ward, Sites::All, None);
    assert_eq!(first, ["patient-3 20 to now", "patient-2 10 to 20"]);
    ward.now += 10;
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    ward.enroll(4);
    assert_eq!(bindings(&ward, Sites::All, next), (vec!["patient-1 0 to 10".to_owned()], None));
    assert_eq!(bindings(&ward, Sites::All, Some(0)), (vec![], None));
}

#[test]
fn what_is_outside_the_callers_sites_does_not_exist_for_them() {
    let ward = ward();
    let elsewhere = || Sites::Only(vec![id("south")]);
    let not_found = |kind: &'static str, id: &str| Refusal::NotFound { kind, id: id.to_owned() };
    let questions = [
        (RegistryQuestion::Site(id(SITE)), not_found("site", SITE)),
        (RegistryQuestion::Patient(patient(1)), not_found("patient", "patient-1")),
        (RegistryQuestion::Device(device(1)), not_found("device", "device-1")),
        (RegistryQuestion::Device(device(9)), not_found("device", "device-9")),
    ];
    for (question, refusal) in questions {
        assert_eq!(ask(&ward, elsewhere(), question), Err(refusal));
    }
    let question = BindingsQuestion { device: device(1), among: None, limit: 2 };
    let told = ask(&ward, elsewhere(), RegistryQuestion::Bindings(question));
    assert_eq!(told, Err(not_found("device", "device-1")));
}

/// Somebody else's patient is not told of by the device that they once wore.
#[test]
fn bindings_of_patients_who_moved_away_are_left_out() {
    let mut ward = ward();
    let south = Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "Etc/UTC".to_owned(),
    };
    ward.done(south);
    ward.done(Action::TransferPatient { patient: patient(2), site: id("south") });
    let here = Sites::Only(vec![id(SITE)]);
    let (told, next) = bindings(&ward, here, None);
    assert_eq!(told, ["patient-3 20 to now", "patient-1 0 to 10"]);
    assert_eq!(next, None);
}
