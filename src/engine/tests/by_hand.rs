//! Readings by hand: admitted like a device's, judged each for itself, and never missed.

use super::*;
use crate::vitals::{Acvpu, DeviceKey};

fn record(ward: &mut Ward, readings: Vec<proto::Reading>) -> (Reply, Vec<Output>) {
    record_as(ward, Role::Clinician, Sites::All, readings)
}

/// The same, of readings that nothing is wrong with.
fn enter(ward: &mut Ward, readings: Vec<proto::Reading>) -> Vec<Output> {
    let (reply, outputs) = record(ward, readings);
    assert_eq!(recorded(&reply).2, []);
    outputs
}

fn record_as(
    ward: &mut Ward,
    role: Role,
    sites: Sites,
    readings: Vec<proto::Reading>,
) -> (Reply, Vec<Output>) {
    let batch = proto::ReadingBatch { readings, ..proto::ReadingBatch::default() };
    let readings = batch.encode_to_vec().into();
    let principal = Principal { subject: "nora".to_owned(), role, sites };
    let action = Action::RecordReadings { patient: patient(1), readings };
    let (reply, outputs) = ward.apply(Event::Command(Box::new(Command {
        principal,
        action,
        origin: origin(),
        request: None,
    })));
    (reply.expect("answered"), outputs)
}

fn level_of(at: i64, level: proto::Acvpu) -> proto::Reading {
    proto::Reading {
        measured: Some(measured_at(at)),
        vital: proto::Vital::Consciousness as i32,
        value: Some(proto::reading::Value::Consciousness(level as i32)),
        ..proto::Reading::default()
    }
}

/// Readings accepted, known before, and why others were refused.
fn recorded(reply: &Reply) -> (u32, u32, Vec<(u32, RejectReason)>) {
    let Ok(Done::Recorded { accepted, duplicate, rejected }) = reply else { panic!("{reply:?}") };
    (*accepted, *duplicate, rejected.iter().map(|it| (it.index, it.reason)).collect())
}

/// Pulse over 120: at once by a single reading, or sustained for 10 s.
fn pulse_high() -> Rule {
    let spot = Spot { n: 1, of: 1, within: Duration::from_secs(3600) };
    let both = Level { spot: Some(spot), ..level(Priority::High, 120, 10) };
    let limit = LimitRule {
        vital: Vital::PulseRate,
        covers_pulse_rate: false,
        side: Side::Above,
        levels: vec![both],
        clear_delay: Duration::ZERO,
    };
    rule_of("pulse-high", RuleKind::Limit(limit))
}

fn news2() -> Rule {
    rule_of(
        "news2",
        RuleKind::Score(ScoreRule {
            score: Score::News2(SpO2Scale::One),
            levels: vec![ScoreLevel { priority: Priority::High, total: 5, clear_total: 4 }],
            single_parameter_priority: Some(Priority::Medium),
            max_ages: vec![],
            delay: Duration::ZERO,
            clear_delay: Duration::ZERO,
        }),
    )
}

#[test]
fn a_reading_by_hand_is_the_patients_under_a_device_of_nobody() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let pressure = measured(Vital::SystolicPressure, BEGIN - 600, 128.0);
    let (reply, outputs) = record(&mut ward, vec![pressure, level_of(BEGIN, proto::Acvpu::Voice)]);
    assert_eq!(recorded(&reply), (2, 0, vec![]));
    let admitted: Vec<_> = readings(&outputs)
        .iter()
        .map(|it| (it.device, since_begin(it.measured_at), it.value, it.quality))
        .collect();
    let (by_hand, plain) = (DeviceKey::BY_HAND, Quality::default());
    let pressure = Value::Quantity(Quantity::whole(128));
    let voice = Value::Consciousness(Acvpu::Voice);
    assert_eq!(admitted, [(by_hand, -600, pressure, plain), (by_hand, 0, voice, plain)]);
}

#[test]
fn each_wrong_reading_by_hand_refuses_itself_and_is_answered_only() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let good = || measured(Vital::PulseRate, BEGIN, 70.0);
    let offset = proto::Reading { measured: Some(proto::reading::Measured::OffsetMs(0)), ..good() };
    let (reply, outputs) = record(
        &mut ward,
        vec![
            offset,
            proto::Reading { unit: "kg".to_owned(), ..good() },
            measured(Vital::PulseRate, BEGIN + 31, 70.0),
            measured(Vital::PulseRate, BEGIN, 351.0),
            measured(Vital::PulseRate, BEGIN, 0.0),
            absent(Vital::PulseRate, BEGIN, proto::AbsentReason::SensorOff),
            measured(Vital::PulseRate, BEGIN - 31 * 24 * 3600, 70.0),
            good(),
        ],
    );
    use RejectReason as R;
    let expected = [
        R::MalformedPayload,
        R::UnknownUnit,
        R::ClockAhead,
        R::ImpossibleValue,
        R::ImpossibleValue,
        R::NoValue,
        R::TooOld,
    ];
    assert_eq!(recorded(&reply), (1, 0, (0..).zip(expected).collect()));
    assert_eq!((readings(&outputs).len(), rejects(&outputs)), (1, vec![]));
}

#[test]
fn typed_in_twice_it_counts_once_and_another_value_is_another_reading() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let at_70 = || measured(Vital::PulseRate, BEGIN, 70.0);
    let at_80 = measured(Vital::PulseRate, BEGIN, 80.0);
    assert_eq!(recorded(&record(&mut ward, vec![at_70(), at_70()]).0), (1, 1, vec![]));
    ward.now += 86_400;
    assert_eq!(recorded(&record(&mut ward, vec![at_70(), at_80]).0), (1, 1, vec![]));
    for second in 1..129 {
        enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN + second, 70.0)]);
    }
    assert_eq!(recorded(&record(&mut ward, vec![at_70()]).0), (1, 0, vec![]), "forgotten");
}

#[test]
fn a_single_reading_by_hand_raises_by_the_spot_form_and_the_next_one_ends_it() {
    let mut ward = Ward::with(vec![pulse_high()]);
    ward.enroll_measuring(1, &[(Vital::PulseRate, 1)]);
    ward.told();
    ward.now += 600;
    let outputs = enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN, 140.0)]);
    assert_eq!(phases(&outputs), [Phase::Start]);
    let alert = ward.open();
    assert_eq!(alert.device, Some(DeviceId::by_hand()));
    assert!(!alert.delayed);
    // The device's readings are another channel: they do not end what a person found.
    ward.measure_all(Vital::PulseRate, 1, &[70.0, 70.0, 70.0]);
    assert_eq!(ward.open().id, alert.id);
    enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN + 603, 90.0)]);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn an_entry_after_the_round_is_live_and_a_later_one_may_raise_and_ends_nothing() {
    for (age, delayed) in [(17 * 60, false), (17 * 60 + 1, true)] {
        let rule = Rule { actionable_for: Duration::from_secs(3600), ..pulse_high() };
        let mut ward = Ward::with(vec![rule]);
        ward.enroll(1);
        ward.now += 7200;
        let first = measured(Vital::PulseRate, ward.now - age, 140.0);
        let outputs = enter(&mut ward, vec![first]);
        assert_eq!(readings(&outputs)[0].quality.has(Quality::LATE), delayed, "{age} s");
        assert_eq!(ward.open().delayed, delayed, "{age} s");
        let second = measured(Vital::PulseRate, ward.now - age + 1, 80.0);
        ward.now += 1;
        enter(&mut ward, vec![second]);
        assert_eq!(ward.state.open_alerts().count(), usize::from(delayed), "{age} s");
    }
}

#[test]
fn a_score_counts_what_was_typed_in_minutes_later_as_present() {
    let mut ward = Ward::with(vec![news2()]);
    ward.enroll_measuring(1, &[(Vital::RespiratoryRate, 60), (Vital::Spo2, 60)]);
    ward.now += 700;
    ward.measure(Vital::RespiratoryRate, 22.0);
    ward.measure(Vital::Spo2, 96.0);
    assert_eq!(ward.state.open_alerts().count(), 0);
    // Responds to voice: 3 by itself, and 5 with the respiratory rate's 2.
    let ten_minutes_ago = level_of(ward.now - 600, proto::Acvpu::Voice);
    let outputs = enter(&mut ward, vec![ten_minutes_ago]);
    assert_eq!(phases(&outputs), [Phase::Start]);
    let alert = ward.open();
    assert_eq!((alert.priority, alert.score.expect("a score").total), (Priority::High, 5));
}

#[test]
fn nothing_is_expected_of_people() {
    let rules = vec![silence(Vital::PulseRate, 3), pulse_high()];
    let mut ward = Ward::with(rules);
    ward.enroll(1);
    enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN, 70.0)]);
    ward.told();
    ward.wait(7 * 86_400);
    assert_eq!(ward.told(), [] as [&str; 0]);
    // A device that is silent is silent, whatever people measure.
    assert_eq!(ward.monitored().last(), Some(&(0, "no_data")));
}

#[test]
fn a_patient_with_a_device_that_measures_is_watched_as_before() {
    let mut ward = Ward::with(vec![rule("hr-high", vec![level(Priority::High, 120, 10)])]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1)]);
    ward.measure(Vital::HeartRate, 70.0);
    let before = ward.monitored();
    assert_eq!(before.last(), Some(&(0, "monitored")));
    // The limit has no spot form, so that it judges no reading by hand: no device's fault.
    enter(&mut ward, vec![measured(Vital::HeartRate, BEGIN, 70.0)]);
    assert_eq!(ward.monitored(), before);
}

#[test]
fn an_alert_by_hand_becomes_indeterminate_when_no_round_follows_and_waits_for_a_person() {
    let mut ward = Ward::with(vec![pulse_high()]);
    ward.enroll(1);
    enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN, 140.0)]);
    ward.told();
    ward.wait(75 * 60 - 1);
    assert_eq!(ward.open().condition, Condition::Active);
    ward.wait(1);
    assert_eq!(ward.told(), ["4500 indeterminate pulse-high high indeterminate/on"]);
}

#[test]
fn a_transfer_and_a_replacement_keep_what_was_found_by_hand() {
    let mut ward = Ward::with(vec![pulse_high()]);
    ward.enroll(1);
    enter(&mut ward, vec![measured(Vital::PulseRate, BEGIN, 140.0)]);
    let alert = ward.open().id;
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    ward.now += 1;
    ward.done(Action::ReplaceDevice(Replacement {
        device: device(1),
        new_device: device(2),
        at: None,
        schedule: None,
    }));
    assert_eq!((ward.open().id, ward.open().condition), (alert, Condition::Active));
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: "South".to_owned(),
        time_zone: "Etc/UTC".to_owned(),
    });
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    assert_eq!((ward.open().id, ward.open().condition), (alert, Condition::Indeterminate));
    ward.now += 1;
    let well = measured(Vital::PulseRate, ward.now, 80.0);
    enter(&mut ward, vec![well]);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn clinicians_of_the_site_record_and_nobody_else() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let reading = || vec![measured(Vital::PulseRate, BEGIN, 70.0)];
    for role in [Role::Viewer, Role::DeviceAdmin, Role::Auditor] {
        let (reply, outputs) = record_as(&mut ward, role, Sites::All, reading());
        assert!(matches!(reply, Err(Refusal::PermissionDenied { .. })), "{role:?}");
        assert_eq!(outputs, []);
    }
    let elsewhere = Sites::Only(vec![id("south")]);
    let (reply, _) = record_as(&mut ward, Role::Clinician, elsewhere, reading());
    assert!(matches!(reply, Err(Refusal::NotFound { kind: "patient", .. })));
    let theirs = Sites::Only(vec![id(SITE)]);
    assert_eq!(recorded(&record_as(&mut ward, Role::Admin, theirs, reading()).0).0, 1);
}

#[test]
fn no_device_takes_the_place_of_people() {
    let mut ward = Ward::with(vec![]);
    let reply = ward.command(Action::CreateDevice { device: DeviceId::by_hand(), site: id(SITE) });
    let Err(Refusal::InvalidArgument(violations)) = reply else { panic!("{reply:?}") };
    assert_eq!(violations[0].field, "device_id");
    let outputs = ward.send("pulseward/v1/north/by-hand/readings", "{}");
    assert_eq!(rejects(&outputs), [(None, RejectReason::UnknownDevice)]);
}
