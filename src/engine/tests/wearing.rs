//! Devices replaced, patients transferred: alerts go on, without data until readings come.

use super::*;

fn ward() -> Ward {
    let mut ward = Ward::with(vec![rule("hr", vec![level(Priority::High, 100, 0)])]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 60)]);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    ward.measure_all(Vital::HeartRate, 60, &[110.0]);
    ward.told();
    ward
}

fn replacement() -> Action {
    Action::ReplaceDevice(Replacement {
        device: device(1),
        new_device: device(2),
        at: None,
        schedule: None,
    })
}

#[test]
fn a_replaced_device_hands_its_alert_on() {
    let mut ward = ward();
    ward.now += 10;
    ward.done(replacement());
    assert_eq!(ward.told(), ["70 indeterminate hr high indeterminate/on"]);
    assert_eq!(ward.open().device, Some(device(2)));
    ward.now += 10;
    ward.send_readings(2, vec![heart_rate(ward.now, 120)]);
    assert_eq!(ward.told(), ["80 update hr high active/on"]);
    ward.now += 10;
    ward.send_readings(2, vec![heart_rate(ward.now, 80)]);
    assert_eq!(ward.told(), ["90 end hr high inactive/off"]);
}

#[test]
fn the_old_devices_readings_are_nobodys_from_then_on() {
    let mut ward = ward();
    ward.now += 10;
    ward.done(replacement());
    ward.now += 10;
    let outputs = ward.send_readings(1, vec![heart_rate(ward.now, 80)]);
    assert_eq!(rejects(&outputs), [(Some(0), RejectReason::UnboundDevice)]);
}

#[test]
fn a_replacement_that_is_bound_elsewhere_changes_nothing() {
    let mut ward = ward();
    ward.done(Action::CreatePatient { patient: patient(2), site: id(SITE) });
    ward.done(Action::BindDevice(NewBinding {
        device: device(2),
        patient: patient(2),
        from: None,
        schedule: Schedule::default(),
    }));
    let refused = ward.command(replacement());
    let Err(Refusal::FailedPrecondition { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "DEVICE_BOUND");
    ward.now += 1;
    assert_eq!(readings(&ward.send_readings(1, vec![heart_rate(ward.now, 110)])).len(), 1);
}

#[test]
fn a_transferred_patient_takes_devices_and_alerts_along() {
    let mut ward = ward();
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.now += 10;
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    assert_eq!(ward.told(), ["70 indeterminate hr high indeterminate/on"]);
    assert_eq!(ward.open().site, Some(id("south")));
    // Who sees only the old site learns of it by how they are watched, which is told last.
    let places = ward.outputs.iter().filter_map(|output| match output {
        Output::Monitoring(change) => Some((change.site.clone(), change.moved_from.clone())),
        _ => None,
    });
    assert_eq!(places.last(), Some((id("south"), Some(id(SITE)))));
    ward.now += 10;
    let batch = numbered(50, vec![heart_rate(ward.now, 120)]);
    let old = ward.publish(1, &batch);
    assert_eq!(rejects(&old), [(None, RejectReason::WrongSite)]);
    ward.send("pulseward/v1/south/device-1/readings", batch.encode_to_vec());
    assert_eq!(ward.told(), ["80 update hr high active/on"]);
}

#[test]
fn an_alert_without_data_is_told_of_when_its_patient_is_transferred() {
    let mut ward = ward();
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.wait(1000);
    ward.told();
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    assert_eq!(ward.told(), ["1060 update hr high indeterminate/on"]);
    let last = events(&ward.outputs).last().expect("just told");
    assert_eq!(last.alert, ward.open());
}

#[test]
fn the_other_sites_rules_are_in_force_after_a_transfer() {
    let mut ward = ward();
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.done(Action::PutProfile {
        owner: ProfileOwner::Site(id("south")),
        profile: Profile { rules: vec![rule_of("hr", RuleKind::Off)] },
        expected_version: None,
    });
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    assert_eq!(ward.told(), ["60 close hr high inactive/off"]);
    assert_eq!(ward.monitored().last(), Some(&(60, "limits_off")));
}

#[test]
fn a_patient_without_a_device_is_not_well_but_unwatched() {
    let mut ward = ward();
    ward.now += 1;
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    assert_eq!(
        ward.monitored(),
        [(0, "no_device"), (0, "no_data"), (60, "monitored"), (61, "no_device")]
    );
}

#[test]
fn what_a_replaced_device_asserted_waits_to_be_reset() {
    let asserted =
        AssertedRule { event: crate::vitals::DeviceEvent::Sos, priority: Priority::High };
    let latching_from = Some(Priority::High);
    let mut ward =
        Ward::with(vec![Rule { latching_from, ..rule_of("sos", RuleKind::Asserted(asserted)) }]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 60)]);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    let event = Some(proto::DeviceEvent::Sos as i32);
    ward.status(1, &proto::DeviceStatus { online: true, event, ..proto::DeviceStatus::default() });
    ward.now += 10;
    ward.done(replacement());
    let told = ward.told();
    assert_eq!(
        told.last().map(String::as_str),
        Some("10 end sos high inactive/latched"),
        "{told:?}"
    );
}

#[test]
fn the_other_sites_rules_are_in_force_for_a_patient_with_rules_of_their_own_too() {
    let mut ward = ward();
    let own = Profile { rules: vec![silence(Vital::Spo2, 3)] };
    let owner = ProfileOwner::Patient(patient(1));
    ward.done(Action::PutProfile { owner, profile: own, expected_version: None });
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.done(Action::PutProfile {
        owner: ProfileOwner::Site(id("south")),
        profile: Profile { rules: vec![rule_of("hr", RuleKind::Off)] },
        expected_version: None,
    });
    // Their rules at this site are known.
    ward.now += 10;
    ward.measure(Vital::HeartRate, 120.0);
    ward.told();
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    assert_eq!(ward.told(), ["70 close hr high inactive/off"]);
}
