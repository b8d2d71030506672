//! What is admitted, recognised as a duplicate, or refused, and what is said of it.

use super::*;

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
fn a_pressure_panel_that_cannot_be_is_implausible_as_a_whole() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let panel =
        |vital, value| proto::Reading { measurement_id: 7, ..measured(vital, BEGIN, value) };
    let outputs = ward.send_readings(
        1,
        vec![
            panel(Vital::SystolicPressure, 70.0),
            panel(Vital::DiastolicPressure, 90.0),
            panel(Vital::PulseRate, 70.0),
        ],
    );
    let flagged: Vec<_> =
        readings(&outputs).iter().map(|it| it.quality.has(Quality::IMPLAUSIBLE)).collect();
    assert_eq!(flagged, [true, true, false]);
}

/// How many readings the gateway is told were refused, and how many of them are listed.
fn told_refused(outputs: &[Output]) -> (u32, usize) {
    let told = outputs.iter().find_map(|output| match output {
        Output::Verdict(verdict) => Some((verdict.rejected_total, verdict.rejected.len())),
        _ => None,
    });
    told.expect("a verdict")
}

#[test]
fn a_batch_that_is_refused_as_a_whole_counts_all_its_readings_and_an_empty_one_itself() {
    let mut ward = Ward::new();
    let beats = vec![heart_rate(BEGIN, 80); 3];
    assert_eq!(told_refused(&ward.publish(1, &numbered(0, beats))), (3, 1));
    assert_eq!(told_refused(&ward.publish(1, &numbered(0, vec![]))), (1, 1));
}

#[test]
fn a_gateway_is_not_told_at_which_other_site_a_device_is() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = numbered(0, vec![heart_rate(BEGIN, 80)]).encode_to_vec();
    let outputs = ward.send("pulseward/v1/south/device-1/readings", batch);
    let [Output::Reject(reject), Output::Verdict(verdict)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(reject.reason, RejectReason::WrongSite);
    for detail in [&reject.detail, &verdict.rejected[0].detail] {
        assert!(!detail.contains(SITE), "{detail}");
    }
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
