//! What is left of a patient who was erased, and of everybody else.

use std::collections::BTreeSet;

use super::properties::blobs;
use super::*;
use crate::engine::snapshot::{BlobKey, Kind};
use crate::vitals::{DeviceKey, PatientKey};

impl Ward {
    pub(super) fn erase(&mut self, number: u32) -> Result<Erased, Refusal> {
        let patient = patient(number);
        match self.command(Action::ErasePatient { patient, added_before: None })? {
            Done::Erased(erased) => Ok(*erased),
            other => panic!("{other:?}"),
        }
    }

    fn unbind(&mut self, number: u32) {
        self.now += 1;
        self.done(Action::UnbindDevice { device: device(number), at: None });
    }

    fn bind(&mut self, device_number: u32, patient_number: u32) {
        self.now += 1;
        self.done(Action::BindDevice(NewBinding {
            device: device(device_number),
            patient: patient(patient_number),
            from: None,
            schedule: Schedule::default(),
        }));
    }

    fn by(&mut self, role: Role, sites: Sites, action: Action) -> Reply {
        let principal = Principal { subject: "anna".to_owned(), role, sites };
        let command = Box::new(Command { principal, action, origin: origin(), request: None });
        self.apply(Event::Command(command)).0.expect("a command is answered")
    }
}

fn erase_first() -> Action {
    Action::ErasePatient { patient: patient(1), added_before: None }
}

fn unknown() -> Refusal {
    Refusal::NotFound { kind: "patient", id: "patient-1".to_owned() }
}

fn at(seconds_since_begin: i64) -> Timestamp {
    Timestamp::from_seconds(BEGIN + seconds_since_begin)
}

/// A ward of two, of whom the first has an open alert, a profile of their own and readings by hand.
fn ward() -> Ward {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    ward.done(Action::PutProfile {
        owner: ProfileOwner::Patient(patient(1)),
        profile: Profile { rules: vec![rule("own", vec![level(Priority::Low, 90, 0)])] },
        expected_version: None,
    });
    for sequence in 0..4 {
        ward.beat_both(sequence, 140, 141);
    }
    let by_hand = proto::ReadingBatch {
        readings: vec![measured(Vital::Weight, ward.now, 71.0)],
        ..proto::ReadingBatch::default()
    };
    let readings = by_hand.encode_to_vec().into();
    ward.done(Action::RecordReadings { patient: patient(1), readings });
    ward
}

#[test]
fn their_alerts_close_and_they_are_unknown_from_then_on() {
    let mut ward = ward();
    let (now, begun) = (ward.now, ward.outputs.len());
    let erased = ward.erase(1).expect("erased");
    assert_eq!(erased.patient, Some(patient(1)));
    assert_eq!((erased.tombstone.key, erased.tombstone.created_at), (PatientKey(0), since(now)));
    assert_eq!(erased.requested_by, "anna");
    let closed: Vec<_> = events(&ward.outputs[begun..]).collect();
    assert!(closed.iter().all(|event| event.alert.is_over() && event.trigger == Trigger::Erased));
    assert_eq!(closed.len(), 2);
    // What is told of the command follows, and is to be erased with everything before.
    let told = &ward.outputs[begun..];
    let place = |is_it: fn(&Output) -> bool| told.iter().position(is_it);
    let erased_at = place(|output| matches!(output, Output::Erased(_)));
    assert!(erased_at < place(|output| matches!(output, Output::Audit(_))), "{told:?}");
    assert_eq!(told[erased_at.expect("told")], Output::Erased(Box::new(erased)));
    assert!(ward.state.open_alerts().all(|alert| alert.patient == Some(patient(2))));
    assert!(ward.state.monitoring().all(|change| change.patient == patient(2)));
    assert_eq!(ward.erase(1), Err(unknown()));
    assert_eq!(
        ward.command(Action::TransferPatient { patient: patient(1), site: id(SITE) }),
        Err(unknown())
    );
}

fn since(now: i64) -> Timestamp {
    Timestamp::from_seconds(now)
}

#[test]
fn nothing_of_them_is_left_and_all_others_stay_as_they_were_byte_for_byte() {
    let mut ward = ward();
    let before = blobs(&mut ward.state);
    assert!(before.values().any(|blob| holds(blob, "patient-1")));
    ward.erase(1).expect("erased");
    let after = blobs(&mut ward.state);
    assert!(!after.values().any(|blob| holds(blob, "patient-1") || holds(blob, "own")));
    let tombstone = BlobKey { kind: Kind::Patient, id: 0 };
    let of_them = BTreeSet::from([
        BlobKey { kind: Kind::General, id: 0 },
        tombstone,
        BlobKey { kind: Kind::Device, id: 0 },
    ]);
    // Of all others a checkpoint has nothing new to keep.
    assert_eq!(after.keys().copied().collect::<BTreeSet<_>>(), of_them);
    let others = before.iter().filter(|(key, _)| !after.contains_key(key));
    assert!(others.map(|(_, blob)| blob).all(|blob| !holds(blob, "patient-1")));
    // A tombstone, as small as they come.
    assert!(after[&tombstone].len() < 120, "{} bytes", after[&tombstone].len());
}

pub(super) fn holds(blob: &[u8], text: &str) -> bool {
    blob.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_the_account_of_their_device_remembers_of_their_readings_goes_too() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 1;
    // 173.9375 is 0x1a8a7f in ten-thousandths: found in a blob if it is there.
    let reading = measured(Vital::HeartRate, ward.now, 173.9375);
    let unnumbered =
        proto::ReadingBatch { readings: vec![reading], ..proto::ReadingBatch::default() };
    assert_eq!(readings(&ward.publish(1, &unnumbered)).len(), 1);
    let value = varint(1_739_375);
    let is_found = |ward: &mut Ward| {
        blobs(&mut ward.state).values().any(|blob| blob.windows(3).any(|it| it == value))
    };
    assert!(is_found(&mut ward));
    ward.erase(1).expect("erased");
    assert!(!is_found(&mut ward));
    // And still the message is known when it comes again: it would be kept as refused otherwise.
    let again = ward.publish(1, &unnumbered);
    assert!(!again.iter().any(|output| matches!(output, Output::Reading(_) | Output::Reject(_))));
}

/// As blobs hold numbers.
fn varint(number: u32) -> [u8; 3] {
    let low = |shift: u32| u8::try_from(number >> shift & 0x7f).expect("seven bits");
    [low(0) | 0x80, low(7) | 0x80, low(14)]
}

#[test]
fn their_id_is_free_and_their_number_is_not() {
    let mut ward = ward();
    ward.erase(1).expect("erased");
    ward.now += 1;
    ward.done(Action::CreatePatient { patient: patient(1), site: id(SITE) });
    ward.bind(1, 1);
    let outputs = ward.beat(1, 9, 80);
    let reading = readings(&outputs)[0];
    assert_eq!((reading.patient, reading.device), (PatientKey(2), DeviceKey(0)));
    assert_eq!(phases(&outputs), [], "the new patient has no profile of their own");
    assert_eq!(ward.erase(1).expect("erased").tombstone.key, PatientKey(2));
}

#[test]
fn nobody_is_enrolled_under_the_id_of_a_tombstone_and_nobody_finds_one() {
    let mut ward = ward();
    ward.erase(1).expect("erased");
    let tombstone = PatientId::erased(PatientKey(0));
    let added = ward.command(Action::CreatePatient { patient: tombstone.clone(), site: id(SITE) });
    assert!(matches!(added, Err(Refusal::InvalidArgument(_))), "{added:?}");
    let erased = ward.command(Action::ErasePatient { patient: tombstone, added_before: None });
    assert!(matches!(erased, Err(Refusal::NotFound { .. })), "{erased:?}");
}

#[test]
fn what_is_still_on_its_way_from_their_time_is_refused_and_never_another_patients() {
    let mut ward = ward();
    let measured = ward.now + 1;
    ward.now += 60;
    ward.erase(1).expect("erased");
    let late = numbered(4, vec![heart_rate(measured, 140)]);
    assert_eq!(rejects(&ward.publish(1, &late)), [(Some(0), RejectReason::UnboundDevice)]);
    ward.now += 60;
    let behind = Action::BindDevice(NewBinding {
        device: device(1),
        patient: patient(2),
        from: Some(since(measured)),
        schedule: Schedule::default(),
    });
    let refused = ward.command(behind);
    assert!(matches!(refused, Err(Refusal::FailedPrecondition { .. })), "{refused:?}");
    ward.bind(1, 2);
    assert_eq!(rejects(&ward.publish(1, &late)), [(Some(0), RejectReason::UnboundDevice)]);
}

#[test]
fn what_their_devices_sent_is_theirs_up_to_the_bindings_of_others() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    ward.unbind(1); // at 1
    ward.bind(1, 2); // at 2
    ward.unbind(1); // at 3
    ward.bind(1, 1); // at 4
    ward.unbind(1); // at 5
    ward.now += 5;
    let worn = ward.erase(1).expect("erased").worn;
    let end = since(ward.now).plus(Duration::from_micros(1));
    let worn_as = |from, until| Worn { device: DeviceKey(0), from, until };
    assert_eq!(worn, [worn_as(None, at(2)), worn_as(Some(at(3)), end)]);
    let worn = ward.erase(2).expect("erased").worn;
    // What the first one's bindings had cut off is the second one's or nobody's by now.
    let all = Worn { device: DeviceKey(1), from: None, until: end };
    assert_eq!(worn, [worn_as(None, end), all]);
}

#[test]
fn only_an_administrator_of_their_site_may_erase_a_patient() {
    let mut ward = ward();
    for role in [Role::Viewer, Role::Clinician, Role::DeviceAdmin, Role::Auditor] {
        let refused = ward.by(role, Sites::All, erase_first());
        assert!(matches!(refused, Err(Refusal::PermissionDenied { .. })), "{refused:?}");
    }
    let elsewhere = Sites::Only(vec![id("south")]);
    assert_eq!(ward.by(Role::Admin, elsewhere, erase_first()), Err(unknown()));
    let here = Sites::Only(vec![id(SITE)]);
    assert!(ward.by(Role::Admin, here, erase_first()).is_ok());
}

#[test]
fn a_list_of_erasures_does_not_erase_who_was_added_since() {
    let mut ward = ward();
    let erased_at = since(ward.now + 1);
    ward.erase(1).expect("erased");
    ward.now += 10;
    ward.done(Action::CreatePatient { patient: patient(1), site: id(SITE) });
    let again = |before| Action::ErasePatient { patient: patient(1), added_before: Some(before) };
    let refused = ward.command(again(erased_at));
    let Err(Refusal::FailedPrecondition { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "PATIENT_ADDED_SINCE");
    assert!(ward.command(again(since(ward.now + 1))).is_ok());
}
