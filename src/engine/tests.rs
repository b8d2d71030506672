//! The engine as a whole: messages and commands in, outputs out.

mod properties;

use std::time::Duration;

use prost::Message;

use super::alerts::{AlertEvent, Phase};
use super::input::*;
use super::output::*;
use super::profile::*;
use super::*;
use crate::proto::v1 as proto;
use crate::vitals::{DeviceId, PatientId, Priority, Quantity, RuleId, SiteId, Value, Vital};

const SITE: &str = "north";

/// An engine, what it was told, and what came of it.
#[derive(Default)]
struct Ward {
    state: State,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    now: i64,
}

impl Ward {
    /// A ward with one site and one rule: heart rate over 100 for 3 s is medium, over 130 for
    /// 2 s high.
    fn new() -> Self {
        let mut ward = Self { now: 1_000_000, ..Self::default() };
        ward.done(Action::CreateSite {
            site: id(SITE),
            display_name: "North".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        });
        let levels = vec![level(Priority::Medium, 100, 3), level(Priority::High, 130, 2)];
        ward.done(Action::PutProfile {
            owner: ProfileOwner::Default,
            profile: Profile { rules: vec![rule("hr-high", levels)] },
        });
        ward
    }

    fn enroll(&mut self, number: u32) {
        let (patient, device) = (patient(number), device(number));
        self.done(Action::CreatePatient { patient: patient.clone(), site: id(SITE) });
        self.done(Action::CreateDevice { device: device.clone(), site: id(SITE) });
        self.done(Action::BindDevice(NewBinding {
            device,
            patient,
            from: None,
            schedule: Schedule::default(),
        }));
    }

    fn apply(&mut self, event: Event) -> (Option<Reply>, Vec<Output>) {
        let input = Input { received_at: Timestamp::from_seconds(self.now), event };
        let mut outputs = Vec::new();
        let reply = apply(&mut self.state, &input, &mut outputs);
        self.inputs.push(input);
        self.outputs.extend(outputs.iter().cloned());
        (reply, outputs)
    }

    fn command(&mut self, action: Action) -> Reply {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let command = Box::new(Command { principal, action });
        self.apply(Event::Command(command)).0.expect("a command is answered")
    }

    fn done(&mut self, action: Action) {
        self.command(action).expect("accepted");
    }

    fn publish(&mut self, number: u32, batch: &proto::ReadingBatch) -> Vec<Output> {
        let topic = format!("pulseward/v1/{SITE}/{}/readings", device(number));
        self.send(&topic, batch.encode_to_vec())
    }

    fn send(&mut self, topic: &str, payload: impl Into<bytes::Bytes>) -> Vec<Output> {
        let publish = Publish {
            topic: topic.to_owned(),
            payload: payload.into(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        self.apply(Event::Publish(publish)).1
    }

    /// One heart rate, measured now, a second after whatever came before.
    fn beat(&mut self, number: u32, sequence: u64, rate: i64) -> Vec<Output> {
        self.now += 1;
        let reading = heart_rate(self.now, rate);
        self.publish(number, &numbered(sequence, vec![reading]))
    }
}

fn id(text: &str) -> SiteId {
    SiteId::new(text).expect("valid")
}

fn patient(number: u32) -> PatientId {
    PatientId::new(&format!("patient-{number}")).expect("valid")
}

fn device(number: u32) -> DeviceId {
    DeviceId::new(&format!("device-{number}")).expect("valid")
}

fn level(priority: Priority, limit: i64, delay: u64) -> Level {
    let (limit, delay) = (Quantity::whole(limit), Duration::from_secs(delay));
    let sustained = Sustained { delay, max_gap: Duration::from_millis(1500) };
    Level { priority, limit, clear_limit: limit, sustained }
}

fn rule(id: &str, levels: Vec<Level>) -> Rule {
    let limit = LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: false,
        side: Side::Above,
        levels,
        clear_delay: Duration::ZERO,
    };
    Rule { id: RuleId::new(id).expect("valid"), kind: RuleKind::Limit(limit) }
}

fn heart_rate(measured_at: i64, rate: i64) -> proto::Reading {
    proto::Reading {
        measured: Some(proto::reading::Measured::MeasuredAt(prost_types::Timestamp {
            seconds: measured_at,
            nanos: 0,
        })),
        vital: proto::Vital::HeartRate as i32,
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        value: Some(proto::reading::Value::Quantity(rate as f64)),
        ..proto::Reading::default()
    }
}

fn numbered(first_seq: u64, readings: Vec<proto::Reading>) -> proto::ReadingBatch {
    proto::ReadingBatch { boot_id: 7, first_seq, readings, ..proto::ReadingBatch::default() }
}

fn phases(outputs: &[Output]) -> Vec<Phase> {
    events(outputs).map(|event| event.phase).collect()
}

fn events(outputs: &[Output]) -> impl Iterator<Item = &AlertEvent> {
    outputs.iter().filter_map(|output| match output {
        Output::Alert(event) => Some(&**event),
        _ => None,
    })
}

fn readings(outputs: &[Output]) -> Vec<&Reading> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Reading(reading) => Some(reading),
            _ => None,
        })
        .collect()
}

fn rejects(outputs: &[Output]) -> Vec<(Option<u32>, RejectReason)> {
    let reject = |output: &Output| match output {
        Output::Reject(reject) => Some((reject.index, reject.reason)),
        _ => None,
    };
    outputs.iter().filter_map(reject).collect()
}

#[test]
fn an_alert_starts_escalates_falls_and_ends_with_its_breach() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for (sequence, rate) in (0..).zip([90, 110, 110, 110, 110, 140, 140, 140, 120, 100]) {
        ward.beat(1, sequence, rate);
    }
    use Phase::{Deescalate, End, Escalate, Start};
    assert_eq!(phases(&ward.outputs), [Start, Escalate, Deescalate, End]);
    let story: Vec<_> = events(&ward.outputs).collect();
    assert_eq!(story[0].alert.onset, Timestamp::from_seconds(1_000_002));
    assert_eq!(story[0].alert.raised_at, Timestamp::from_seconds(1_000_005));
    assert!(story.iter().all(|event| event.alert.id == story[0].alert.id));
    let revisions: Vec<_> = story.iter().map(|event| event.alert.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4]);
    assert_eq!(story[3].alert.ended_at, Some(Timestamp::from_seconds(1_000_010)));
}

#[test]
fn a_resend_in_another_cut_stores_nothing_twice() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let all: Vec<_> = (0..6).map(|at| heart_rate(1_000_000 + at, 80)).collect();
    ward.now += 6;
    let first = ward.publish(1, &numbered(0, all[0..4].to_vec()));
    let second = ward.publish(1, &numbered(2, all[2..6].to_vec()));
    assert_eq!((readings(&first).len(), readings(&second).len()), (4, 2));
}

#[test]
fn an_unnumbered_reading_is_recognised_by_what_it_is() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 1;
    let batch = proto::ReadingBatch { boot_id: 0, ..numbered(0, vec![heart_rate(1_000_001, 80)]) };
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 1);
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 0);
}

#[test]
fn one_bad_reading_refuses_itself_and_the_gateway_is_told() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let mut unknown = heart_rate(1_000_000, 80);
    unknown.vital = 99;
    let mut wrong_unit = heart_rate(1_000_000, 80);
    wrong_unit.unit = "kg".to_owned();
    let mut empty = heart_rate(1_000_000, 80);
    empty.value = None;
    let ahead = heart_rate(1_000_031, 80);
    let impossible = heart_rate(1_000_000, 351);
    let unbound = heart_rate(999_999, 80);
    let good = heart_rate(1_000_000, 80);
    let batch = vec![unknown, wrong_unit, empty, ahead, impossible, unbound, good];
    let outputs = ward.publish(1, &numbered(0, batch));
    let reasons: Vec<_> = rejects(&outputs).into_iter().map(|(_, reason)| reason).collect();
    use RejectReason as R;
    let expected = [
        R::UnknownVital,
        R::UnknownUnit,
        R::NoValue,
        R::ClockAhead,
        R::ImpossibleValue,
        R::UnboundDevice,
    ];
    assert_eq!(reasons, expected);
    assert_eq!(readings(&outputs).len(), 1);
    let Some(Output::Verdict(verdict)) = outputs.last() else { panic!("a verdict is due") };
    assert_eq!((verdict.accepted, verdict.rejected_total), (1, 6));
}

#[test]
fn a_message_that_cannot_be_taken_says_why() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let check = |ward: &mut Ward, topic: &str, payload: &str, expected| {
        let outputs = ward.send(topic, payload.to_owned());
        assert_eq!(rejects(&outputs), [(None, expected)], "{topic} {payload}");
    };
    let readings = "pulseward/v1/north/device-1/readings";
    check(&mut ward, readings, "{\"readings\": 7}", RejectReason::MalformedPayload);
    check(&mut ward, readings, "\u{1}garbage", RejectReason::MalformedPayload);
    check(&mut ward, "pulseward/v1/north/nobody/readings", "{}", RejectReason::UnknownDevice);
    check(&mut ward, "pulseward/v1/south/device-1/readings", "{}", RejectReason::WrongSite);
    check(&mut ward, "pulseward/v1/north/device-1/reading", "{}", RejectReason::MalformedPayload);
}

#[test]
fn json_and_protobuf_say_the_same() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let json = r#"{ "bootId": "7", "first_seq": 0, "readings": [
        { "measured_at": "1970-01-12T13:46:40Z", "vital": "VITAL_HEART_RATE", "quantity": 80 },
        { "measuredAt": "1970-01-12T14:46:40.5+01:00", "vital": "spo2", "quantity": "0.97", "unit": "1" },
        { "measured_at": "1970-01-12T13:46:41Z", "vital": 3, "absent": "sensor_off" },
        { "measured_at": "1970-01-12T13:46:41Z", "vital": "consciousness", "consciousness": "ACVPU_VOICE" },
        { "measured_at": "1970-01-12T13:46:41Z", "vital": "spo2", "quantity": "NaN" },
        { "measured_at": "1970-01-12T13:46:41Z", "vital": "mood", "quantity": 3, "future": {} } ] }"#;
    ward.now += 1;
    let outputs = ward.send("pulseward/v1/north/device-1/readings", json);
    let values: Vec<_> = readings(&outputs).iter().map(|r| (r.vital, r.value)).collect();
    use crate::vitals::{AbsentReason, Acvpu};
    assert_eq!(
        values,
        [
            (Vital::HeartRate, Value::Quantity(Quantity::whole(80))),
            (Vital::Spo2, Value::Quantity(Quantity::whole(97))),
            (Vital::Spo2, Value::Absent(AbsentReason::SensorOff)),
            (Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
        ]
    );
    let refused = [(Some(4), RejectReason::NotANumber), (Some(5), RejectReason::UnknownVital)];
    assert_eq!(rejects(&outputs), refused);
}

#[test]
fn late_readings_are_kept_and_neither_raise_nor_end() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for (sequence, rate) in (0..).zip([110, 110, 110, 110]) {
        ward.beat(1, sequence, rate);
    }
    assert_eq!(phases(&ward.outputs), [Phase::Start]);
    let late = ward.publish(1, &numbered(10, vec![heart_rate(1_000_002, 80)]));
    assert_eq!(readings(&late).len(), 1);
    assert!(readings(&late)[0].quality.has(Quality::LATE));
    assert_eq!(phases(&late), []);
}

#[test]
fn a_zero_without_a_sensor_is_no_asystole_and_breaks_a_delay() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for (sequence, rate) in (0..).zip([110, 110, 0, 110, 110, 110]) {
        ward.beat(1, sequence, rate);
    }
    assert_eq!(phases(&ward.outputs), []);
    assert!(readings(&ward.outputs)[2].quality.has(Quality::NO_SENSOR));
    ward.beat(1, 6, 110);
    assert_eq!(phases(&ward.outputs), [Phase::Start]);
}

#[test]
fn an_implausible_value_neither_satisfies_nor_breaks_a_delay() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let at = |second: i64, rate| heart_rate(1_000_000 + second, rate);
    ward.now += 4;
    let mut batch = vec![at(0, 110), at(1, 110), at(2, 110), at(3, 110)];
    batch.insert(
        2,
        proto::Reading {
            measured: Some(proto::reading::Measured::MeasuredAt(prost_types::Timestamp {
                seconds: 1_000_001,
                nanos: 500_000_000,
            })),
            ..at(0, 300)
        },
    );
    let outputs = ward.publish(1, &numbered(0, batch));
    assert_eq!(phases(&outputs), [Phase::Start]);
    assert!(readings(&outputs)[2].quality.has(Quality::IMPLAUSIBLE));
}

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
fn a_rule_taken_away_closes_its_alert_and_a_changed_one_does_not() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for sequence in 0..4 {
        ward.beat(1, sequence, 110);
    }
    let put = |ward: &mut Ward, rules| {
        ward.done(Action::PutProfile { owner: ProfileOwner::Default, profile: Profile { rules } });
    };
    put(&mut ward, vec![rule("hr-high", vec![level(Priority::Medium, 120, 3)])]);
    assert_eq!(phases(&ward.outputs), [Phase::Start, Phase::Update], "it ends nothing by itself");
    put(&mut ward, vec![rule("other", vec![level(Priority::Medium, 120, 3)])]);
    assert_eq!(phases(&ward.outputs).last(), Some(&Phase::Close));
}

#[test]
fn a_patients_own_limit_stands_over_the_default() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    ward.done(Action::PutProfile {
        owner: ProfileOwner::Patient(patient(2)),
        profile: Profile { rules: vec![rule("hr-high", vec![level(Priority::High, 105, 3)])] },
    });
    for sequence in 0..5 {
        ward.beat(1, sequence, 110);
        let now = ward.now;
        ward.publish(2, &numbered(sequence, vec![heart_rate(now, 110)]));
    }
    let raised: Vec<_> = events(&ward.outputs)
        .map(|event| (event.alert.patient.clone(), event.alert.priority))
        .collect();
    assert_eq!(raised, [(patient(1), Priority::Medium), (patient(2), Priority::High)]);
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
    let command = Box::new(Command { principal, action });
    let reply = ward.apply(Event::Command(command)).0.expect("answered");
    let id = "device-1".to_owned();
    assert_eq!(reply, Err(Refusal::NotFound { kind: "device", id }));
}

#[test]
fn a_rule_is_one_alert_of_its_worst_device_and_ends_when_all_are_clear() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    let second = NewBinding {
        device: device(2),
        patient: patient(1),
        from: None,
        schedule: Schedule::default(),
    };
    ward.done(Action::BindDevice(second));
    let told = [(110, 90), (110, 140), (110, 140), (110, 140), (110, 90), (90, 90)];
    for (sequence, (first, second)) in (0..).zip(told) {
        ward.beat(1, sequence, first);
        let now = ward.now;
        ward.publish(2, &numbered(sequence, vec![heart_rate(now, second)]));
    }
    let story: Vec<_> =
        events(&ward.outputs).map(|event| (event.phase, event.alert.device.clone())).collect();
    assert_eq!(
        story,
        [
            (Phase::Start, device(1)),
            (Phase::Escalate, device(2)),
            (Phase::Deescalate, device(1)),
            (Phase::End, device(1)),
        ]
    );
}

#[test]
fn readings_of_a_test_are_kept_and_never_alarm() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for sequence in 0..6 {
        ward.now += 1;
        let reading = heart_rate(ward.now, 200);
        let mode = proto::Mode::Test as i32;
        let batch = proto::ReadingBatch { mode, ..numbered(sequence, vec![reading]) };
        ward.publish(1, &batch);
    }
    assert_eq!(phases(&ward.outputs), []);
    let kept = readings(&ward.outputs);
    assert_eq!(kept.len(), 6);
    assert!(kept.iter().all(|reading| reading.quality.has(Quality::TEST)));
}

#[test]
fn a_rule_that_loses_a_level_keeps_its_alert_at_the_levels_it_has() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    ward.done(Action::BindDevice(NewBinding {
        device: device(2),
        patient: patient(1),
        from: None,
        schedule: Schedule::default(),
    }));
    let both = |ward: &mut Ward, sequence, rate| {
        ward.beat(1, sequence, rate);
        let now = ward.now;
        ward.publish(2, &numbered(sequence, vec![heart_rate(now, rate)]));
    };
    for sequence in 0..5 {
        both(&mut ward, sequence, 140);
    }
    let rules = vec![rule("hr-high", vec![level(Priority::Medium, 100, 3)])];
    let profile = Profile { rules };
    ward.done(Action::PutProfile { owner: ProfileOwner::Default, profile });
    both(&mut ward, 5, 141);
    use Phase::{Deescalate, Start};
    assert_eq!(phases(&ward.outputs), [Start, Deescalate]);
    both(&mut ward, 6, 90);
    assert_eq!(phases(&ward.outputs).last(), Some(&Phase::End));
}

#[test]
fn a_rule_whose_priority_rises_raises_its_open_alert() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for sequence in 0..4 {
        ward.beat(1, sequence, 110);
    }
    let rules = vec![rule("hr-high", vec![level(Priority::High, 105, 3)])];
    let profile = Profile { rules };
    ward.done(Action::PutProfile { owner: ProfileOwner::Default, profile });
    let last = events(&ward.outputs).last().expect("it has risen");
    assert_eq!((last.phase, last.alert.priority), (Phase::Escalate, Priority::High));
    assert_eq!(last.alert.limit, Quantity::whole(105));
}

#[test]
fn an_alert_names_the_device_that_still_breaches() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    ward.done(Action::BindDevice(NewBinding {
        device: device(2),
        patient: patient(1),
        from: None,
        schedule: Schedule::default(),
    }));
    for (sequence, (first, second)) in (0..).zip([(110, 110); 4].into_iter().chain([(90, 110)])) {
        ward.beat(1, sequence, first);
        let now = ward.now;
        ward.publish(2, &numbered(sequence, vec![heart_rate(now, second)]));
    }
    let last = events(&ward.outputs).last().expect("two events");
    assert_eq!((last.phase, last.alert.device.clone()), (Phase::Update, device(2)));
}

#[test]
fn a_resend_of_a_shuffled_or_partly_refused_batch_stores_nothing_twice() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 200;
    let shuffled = (0..200).map(|at| heart_rate(1_000_000 + at * 77 % 200, 80)).collect();
    let shuffled = numbered(0, shuffled);
    let faulty = |at| if at % 2 == 0 { 80 } else { 999 };
    let faulty = (0..100).map(|at| heart_rate(1_000_000 + at, faulty(at))).collect();
    let faulty = numbered(1000, faulty);
    for (batch, admitted) in [(&shuffled, 200), (&faulty, 50)] {
        assert_eq!(readings(&ward.publish(1, batch)).len(), admitted);
        assert_eq!(readings(&ward.publish(1, batch)).len(), 0);
    }
    let beyond = numbered(u64::MAX - 1, vec![heart_rate(1_000_000, 80); 3]);
    let outputs = ward.publish(1, &beyond);
    assert_eq!(rejects(&outputs), [(None, RejectReason::MalformedPayload)]);
}

#[test]
fn a_bad_reading_in_json_refuses_itself_and_shows_nothing_of_itself() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let outputs = ward.send(
        "pulseward/v1/north/device-1/readings",
        r#"{ "mode": null, "readings": [
            { "measured_at": "1970-01-12T13:46:40Z", "vital": 1, "quantity": 80, "unit": null },
            { "measured_at": "1970-01-12T13:46:40", "vital": 1, "quantity": 80 },
            { "measured_at": "1970-01-12T13:46:40Z", "vital": 3, "quantity": "Jane Doe" } ] }"#,
    );
    assert_eq!(readings(&outputs).len(), 1);
    let malformed = RejectReason::MalformedPayload;
    assert_eq!(rejects(&outputs), [(Some(1), malformed), (Some(2), malformed)]);
    assert!(!format!("{outputs:?}").contains("Jane"));
}

#[test]
fn very_many_refusals_of_one_message_are_listed_in_part_and_counted_whole() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let outputs = ward.publish(1, &numbered(0, vec![proto::Reading::default(); 500]));
    let count = |output: &Output| match output {
        Output::Reject(reject) => reject.count,
        _ => 0,
    };
    assert_eq!(rejects(&outputs).len(), 101);
    assert_eq!(outputs.iter().map(count).sum::<u32>(), 500);
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
