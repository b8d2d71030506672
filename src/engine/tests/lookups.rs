//! What callers may learn of the registry.

use super::*;
use crate::engine::query::{
    BindingsOf, BindingsQuestion, Found, Query, Question, RegistryQuestion, answer,
};
use crate::vitals::DeviceKey;

pub(super) fn ask(ward: &Ward, sites: Sites, question: RegistryQuestion) -> Result<Found, Refusal> {
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

type Behind = Option<(Timestamp, DeviceKey)>;

fn bindings(ward: &Ward, sites: Sites, of: BindingsOf, behind: Behind) -> (Vec<String>, Behind) {
    let question = BindingsQuestion { of, behind, limit: 2 };
    let found = ask(ward, sites, RegistryQuestion::Bindings(question)).expect("found");
    let Found::Bindings(page) = found else { panic!("{found:?}") };
    let told = page.bindings.iter().map(|(row, device, patient)| {
        let until = row.until.map_or("now".to_owned(), |until| since_begin(until).to_string());
        format!("{device} on {patient} {} to {until}", since_begin(row.from))
    });
    (told.collect(), page.next_behind)
}

fn of_device(number: u32) -> BindingsOf {
    BindingsOf::Device(device(number))
}

fn of_patient(number: u32) -> BindingsOf {
    BindingsOf::Patient(patient(number))
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
    let (first, next) = bindings(&ward, Sites::All, of_device(1), None);
    assert_eq!(first, ["device-1 on patient-3 20 to now", "device-1 on patient-2 10 to 20"]);
    ward.now += 10;
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    ward.enroll(4);
    let last = (vec!["device-1 on patient-1 0 to 10".to_owned()], None);
    assert_eq!(bindings(&ward, Sites::All, of_device(1), next), last);
    let before_all = Some((Timestamp::from_seconds(BEGIN), DeviceKey(0)));
    assert_eq!(bindings(&ward, Sites::All, of_device(1), before_all), (vec![], None));
}

#[test]
fn no_binding_is_left_out_because_somebody_was_erased_between_two_pages() {
    let mut ward = ward();
    let (_, next) = bindings(&ward, Sites::All, of_device(1), None);
    ward.done(Action::ErasePatient { patient: patient(3), added_before: None });
    let (last, _) = bindings(&ward, Sites::All, of_device(1), next);
    assert_eq!(last, ["device-1 on patient-1 0 to 10"]);
}

/// Patient 1 had the first device on twice, and has two others on.
#[test]
fn what_a_patient_wore_is_told_like_who_wore_a_device() {
    let mut ward = ward();
    ward.now += 10;
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    for number in 1..=3 {
        if number > 1 {
            ward.done(Action::CreateDevice { device: device(number), site: id(SITE) });
        }
        ward.done(Action::BindDevice(NewBinding {
            device: device(number),
            patient: patient(1),
            from: None,
            schedule: Schedule::default(),
        }));
        ward.now += 10;
    }
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    let (first, next) = bindings(&ward, Sites::All, of_patient(1), None);
    assert_eq!(first, ["device-3 on patient-1 50 to now", "device-2 on patient-1 40 to now"]);
    let (last, next) = bindings(&ward, Sites::All, of_patient(1), next);
    assert_eq!(last, ["device-1 on patient-1 30 to 60", "device-1 on patient-1 0 to 10"]);
    assert_eq!(next, None);
    let (told, _) = bindings(&ward, Sites::All, of_patient(2), None);
    assert_eq!(told, ["device-1 on patient-2 10 to 20"]);
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
    let question = BindingsQuestion { of: of_device(1), behind: None, limit: 2 };
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
    let (told, next) = bindings(&ward, here.clone(), of_device(1), None);
    assert_eq!(told, ["device-1 on patient-3 20 to now", "device-1 on patient-1 0 to 10"]);
    assert_eq!(next, None);
    let question = BindingsQuestion { of: of_patient(2), behind: None, limit: 2 };
    let told = ask(&ward, here, RegistryQuestion::Bindings(question));
    assert_eq!(told, Err(Refusal::NotFound { kind: "patient", id: "patient-2".to_owned() }));
    // What they wore stayed behind.
    let there = Sites::Only(vec![id("south")]);
    assert_eq!(bindings(&ward, there, of_patient(2), None), (vec![], None));
}
