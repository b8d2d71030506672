//! What becomes of alarm conditions: onset, levels, devices, changed rules.

use super::*;

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
fn a_rule_taken_away_closes_its_alert_and_a_changed_one_does_not() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for sequence in 0..4 {
        ward.beat(1, sequence, 110);
    }
    ward.put_default(vec![rule("hr-high", vec![level(Priority::Medium, 120, 3)])]);
    assert_eq!(phases(&ward.outputs), [Phase::Start, Phase::Update], "it ends nothing by itself");
    ward.put_default(vec![rule("other", vec![level(Priority::Medium, 120, 3)])]);
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
        expected_version: None,
    });
    for sequence in 0..5 {
        ward.beat(1, sequence, 110);
        let now = ward.now;
        ward.publish(2, &numbered(sequence, vec![heart_rate(now, 110)]));
    }
    let raised: Vec<_> = events(&ward.outputs)
        .map(|event| (event.alert.patient.clone(), event.alert.priority))
        .collect();
    assert_eq!(raised, [(Some(patient(1)), Priority::Medium), (Some(patient(2)), Priority::High)]);
}

#[test]
fn a_rule_is_one_alert_of_its_worst_device_and_ends_when_all_are_clear() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.bind_second_device();
    let told = [(110, 90), (110, 140), (110, 140), (110, 140), (110, 90), (90, 90)];
    for (sequence, (first, second)) in (0..).zip(told) {
        ward.beat_both(sequence, first, second);
    }
    let story: Vec<_> =
        events(&ward.outputs).map(|event| (event.phase, event.alert.device.clone())).collect();
    assert_eq!(
        story,
        [
            (Phase::Start, Some(device(1))),
            (Phase::Escalate, Some(device(2))),
            (Phase::Deescalate, Some(device(1))),
            (Phase::End, Some(device(1))),
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
    ward.bind_second_device();
    for sequence in 0..5 {
        ward.beat_both(sequence, 140, 140);
    }
    let rules = vec![rule("hr-high", vec![level(Priority::Medium, 100, 3)])];
    ward.put_default(rules);
    ward.beat_both(5, 141, 141);
    use Phase::{Deescalate, Start};
    assert_eq!(phases(&ward.outputs), [Start, Deescalate]);
    ward.beat_both(6, 90, 90);
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
    ward.put_default(rules);
    let last = events(&ward.outputs).last().expect("it has risen");
    assert_eq!((last.phase, last.alert.priority), (Phase::Escalate, Priority::High));
    assert_eq!(last.alert.limit, Some(Quantity::whole(105)));
}

#[test]
fn an_alert_names_the_device_that_still_breaches() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.bind_second_device();
    for (sequence, (first, second)) in (0..).zip([(110, 110); 4].into_iter().chain([(90, 110)])) {
        ward.beat_both(sequence, first, second);
    }
    let last = events(&ward.outputs).last().expect("two events");
    assert_eq!((last.phase, last.alert.device.clone()), (Phase::Update, Some(device(2))));
}
