//! What a stream of live vitals begins with.

use std::collections::BTreeSet;

use super::*;
use crate::engine::query::{LivePage, LiveQuestion, Query, Question, answer};

fn question() -> LiveQuestion {
    LiveQuestion {
        sites: BTreeSet::from([id(SITE)]),
        patients: BTreeSet::new(),
        vitals: BTreeSet::new(),
        behind: None,
        limit: 10,
    }
}

fn ask(ward: &Ward, role: Role, sites: Sites, question: LiveQuestion) -> Result<LivePage, Refusal> {
    let principal = Principal { subject: "anna".to_owned(), role, sites };
    let query = Query { principal, question: Question::Live(question) };
    match answer(&ward.state, &query)? {
        Done::Live(page) => Ok(*page),
        other => panic!("{other:?}"),
    }
}

/// The page in words: `patient-1 heart_rate 80 of device-1 at 5`, with flags.
fn told(ward: &Ward, question: LiveQuestion) -> (Vec<String>, Option<PatientId>) {
    let page = ask(ward, Role::Viewer, Sites::All, question).expect("a page");
    let words = page.readings.iter().map(|it| {
        let value = match it.value {
            Value::Quantity(quantity) => quantity.to_f64().to_string(),
            other => format!("{other:?}"),
        };
        let at = since_begin(it.measured_at);
        let flags = it.quality.0;
        format!("{} {} {value} of {} at {at} flags {flags}", it.patient, it.vital, it.device)
    });
    (words.collect(), page.next_behind)
}

#[test]
fn it_begins_with_the_newest_of_each_vital_and_what_it_is_worth() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.measure_all(Vital::HeartRate, 5, &[80.0, 81.0]);
    ward.measure(Vital::Spo2, 97.0);
    // Out of order: it is kept, and not the newest.
    let now = ward.now;
    ward.send_readings(1, vec![measured(Vital::HeartRate, now - 1, 99.0)]);
    let expected = [
        "patient-1 heart_rate 81 of device-1 at 10 flags 0",
        "patient-1 spo2 97 of device-1 at 10 flags 0",
    ];
    assert_eq!(told(&ward, question()), (expected.map(str::to_owned).to_vec(), None));
    ward.now += 5;
    let now = ward.now;
    ward.send_readings(1, vec![absent(Vital::HeartRate, now, proto::AbsentReason::SensorOff)]);
    ward.measure(Vital::Spo2, 0.0);
    let expected = [
        "patient-1 heart_rate Absent(SensorOff) of device-1 at 15 flags 0".to_owned(),
        format!("patient-1 spo2 0 of device-1 at 15 flags {}", Quality::NO_SENSOR.0),
    ];
    assert_eq!(told(&ward, question()).0, expected);
    let only_spo2 = LiveQuestion { vitals: BTreeSet::from([Vital::Spo2]), ..question() };
    assert_eq!(told(&ward, only_spo2).0, expected[1..]);
}

#[test]
fn a_test_never_stands_for_the_patient() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.measure_all(Vital::HeartRate, 5, &[80.0]);
    ward.now += 5;
    let reading = measured(Vital::HeartRate, ward.now, 20.0);
    let batch = proto::ReadingBatch {
        mode: proto::Mode::Test as i32,
        ..numbered(ward.sequence, vec![reading])
    };
    ward.sequence += 1;
    ward.publish(1, &batch);
    assert_eq!(told(&ward, question()).0, ["patient-1 heart_rate 80 of device-1 at 5 flags 0"]);
}

#[test]
fn of_two_devices_the_one_that_measured_last_is_told() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.bind_second_device();
    ward.beat(1, 0, 80);
    ward.beat(2, 0, 90);
    assert_eq!(told(&ward, question()).0, ["patient-1 heart_rate 90 of device-2 at 2 flags 0"]);
    ward.done(Action::UnbindDevice { device: device(2), at: None });
    assert_eq!(told(&ward, question()).0, ["patient-1 heart_rate 80 of device-1 at 1 flags 0"]);
}

#[test]
fn patients_come_in_pages_each_once_whether_named_or_of_a_site() {
    let mut ward = Ward::new();
    for number in 1..=5 {
        ward.enroll(number);
        ward.beat(number, 0, 80);
    }
    let asked = LiveQuestion { patients: [patient(3), patient(5)].into(), limit: 2, ..question() };
    let (mut names, mut behind) = (Vec::new(), None);
    loop {
        let page = told(&ward, LiveQuestion { behind, ..asked.clone() });
        names.extend(page.0.iter().map(|words| words.split(' ').next().unwrap().to_owned()));
        behind = page.1;
        if behind.is_none() {
            break;
        }
    }
    assert_eq!(names, (1..=5).map(|number| patient(number).to_string()).collect::<Vec<_>>());
}

#[test]
fn what_is_named_must_be_there_for_the_caller() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let elsewhere = || Sites::Only(vec![id("south")]);
    let refused = |sites, question| ask(&ward, Role::Viewer, sites, question).expect_err("refused");
    let not_found = |kind: &'static str, id: &str| Refusal::NotFound { kind, id: id.to_owned() };
    assert_eq!(refused(elsewhere(), question()), not_found("site", SITE));
    let named = |number| LiveQuestion {
        sites: BTreeSet::new(),
        patients: BTreeSet::from([patient(number)]),
        ..question()
    };
    assert_eq!(refused(elsewhere(), named(1)), not_found("patient", "patient-1"));
    assert_eq!(refused(Sites::All, named(9)), not_found("patient", "patient-9"));
    for role in [Role::DeviceAdmin, Role::Auditor] {
        let refusal = ask(&ward, role, Sites::All, named(1)).expect_err("refused");
        assert_eq!(refusal, Refusal::PermissionDenied { role, action: "watch vitals" });
    }
}
