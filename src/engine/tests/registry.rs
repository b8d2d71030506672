//! Bindings, and who may change them.

use super::*;

#[test]
fn unbinding_closes_what_the_device_held_open_and_ends_its_patients_readings() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for sequence in 0..4 {
        ward.beat(1, sequence, 110);
    }
    ward.now += 1;
    let action = |device| Action::UnbindDevice { device, at: None };
    ward.done(action(device(1)));
    assert_eq!(phases(&ward.outputs), [Phase::Start, Phase::Close]);
    let outputs = ward.beat(1, 4, 110);
    assert_eq!(rejects(&outputs), [(Some(0), RejectReason::UnboundDevice)]);
}

#[test]
fn a_binding_never_reaches_behind_an_admitted_reading() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.beat(1, 0, 80);
    let at = Some(Timestamp::from_seconds(ward.now));
    let refused = ward.command(Action::UnbindDevice { device: device(1), at });
    let Err(Refusal::FailedPrecondition { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "READINGS_ADMITTED");
}

#[test]
fn a_device_outside_the_callers_sites_does_not_exist_for_them() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let principal = Principal {
        subject: "eve".to_owned(),
        role: Role::DeviceAdmin,
        sites: Sites::Only(vec![id("south")]),
    };
    let action = Action::UnbindDevice { device: device(1), at: None };
    let command = Box::new(Command { principal, action, origin: origin(), request: None });
    let reply = ward.apply(Event::Command(command)).0.expect("answered");
    let id = "device-1".to_owned();
    assert_eq!(reply, Err(Refusal::NotFound { kind: "device", id }));
}

#[test]
fn a_device_whose_clock_is_ahead_can_be_unbound() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let ahead = heart_rate(ward.now + 20, 80);
    assert_eq!(readings(&ward.publish(1, &numbered(0, vec![ahead]))).len(), 1);
    ward.done(Action::UnbindDevice { device: device(1), at: None });
}

#[test]
fn a_binding_does_not_begin_in_a_mistyped_year() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 1;
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    let refused = ward.command(Action::BindDevice(NewBinding {
        device: device(1),
        patient: patient(1),
        from: Some(Timestamp::MAX),
        schedule: Schedule::default(),
    }));
    let Err(Refusal::FailedPrecondition { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "TIME_AHEAD");
}

#[test]
fn a_profile_that_was_changed_meanwhile_is_not_overwritten_unseen() {
    let mut ward = Ward::new();
    let put = |expected_version| Action::PutProfile {
        owner: ProfileOwner::Site(id(SITE)),
        profile: Profile::default(),
        expected_version,
    };
    ward.done(put(Some(0)));
    let refused = ward.command(put(Some(0)));
    let Err(Refusal::Aborted { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "PROFILE_CHANGED");
    ward.done(put(Some(1)));
    ward.done(put(None));
}

#[test]
fn a_patient_who_was_updated_meanwhile_is_not_overwritten_unseen() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let adult = Eligibility { age_group: AgeGroup::Adult, pregnancy: Pregnancy::Unknown };
    let child = Eligibility { age_group: AgeGroup::Child, pregnancy: Pregnancy::Unknown };
    let update = |eligibility, expected| Action::UpdatePatient {
        patient: patient(1),
        eligibility,
        expected,
    };
    ward.done(update(adult, Some(Eligibility::default())));
    let refused = ward.command(update(child, Some(Eligibility::default())));
    assert_eq!(refused.map_err(|it| it.reason()), Err("PATIENT_CHANGED".to_owned()));
    ward.done(update(child, Some(adult)));
    ward.done(update(adult, None));
}
