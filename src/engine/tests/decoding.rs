//! What payloads say, in either encoding, and why some say nothing.

use super::*;
use crate::clock::Timestamp;
use crate::engine::decode::{self, Batch, Refused};
use crate::vitals::{AbsentReason, Acvpu, Unit};
use RejectReason as R;

fn decode(payload: impl Into<bytes::Bytes>) -> Result<Batch, Refused> {
    let publish = Publish {
        topic: "pulseward/v1/north/device-1/readings".to_owned(),
        payload: payload.into(),
        encoding: None,
        correlation: None,
        retained: false,
    };
    decode::batch(&publish, &Settings::default())
}

fn json(payload: &str) -> Batch {
    decode(payload.to_owned()).unwrap_or_else(|refused| panic!("{payload}: {refused:?}"))
}

/// What became of one reading in JSON, beside a good one that must stand.
fn one(reading: &str) -> Result<decode::Decoded, (RejectReason, String)> {
    let good = r#"{"measuredAt":"1970-01-12T13:46:40Z","vital":"spo2","quantity":97}"#;
    let batch = json(&format!(r#"{{"readings":[{reading},{good}]}}"#));
    assert_eq!(batch.readings.len() + batch.refused.len(), 2, "{reading}");
    assert_eq!(batch.readings.last().map(|it| it.index), Some(1), "{reading}");
    match batch.refused.into_iter().next() {
        Some((_, reason, detail)) => Err((reason, detail)),
        None => Ok(batch.readings[0]),
    }
}

/// One whose other fields are good.
fn one_with(fields: &str) -> Result<decode::Decoded, (RejectReason, String)> {
    one(&format!(r#"{{"measuredAt":"1970-01-12T13:46:40Z",{fields}}}"#))
}

#[test]
fn one_reading_of_the_wrong_kind_refuses_itself_by_the_name_of_its_field() {
    for (reading, reason, detail) in [
        ("7", R::MalformedPayload, "the reading is not an object"),
        ("null", R::MalformedPayload, "the reading is not an object"),
        ("[{}]", R::MalformedPayload, "the reading is not an object"),
        (r#""Jane""#, R::MalformedPayload, "the reading is not an object"),
        ("{}", R::UnknownVital, "the vital is none of the contract's"),
        (r#"{"vital":1}"#, R::MalformedPayload, "neither measured_at nor offset_ms"),
        (
            r#"{"vital":1,"offsetMs":0}"#,
            R::MalformedPayload,
            "offset_ms without base_time in the batch",
        ),
        (r#"{"vital":{}}"#, R::MalformedPayload, "vital is not a name or a number"),
        (
            r#"{"vital":1,"measuredAt":"1970-01-12T13:46:40"}"#,
            R::MalformedPayload,
            "measured_at is not an RFC 3339 time with an offset",
        ),
        (
            r#"{"vital":1,"measured_at":1000000}"#,
            R::MalformedPayload,
            "measured_at is not an RFC 3339 time with an offset",
        ),
        (
            r#"{"vital":1,"measured_at":"1970-01-12T13:46:40Z","offset_ms":"0"}"#,
            R::MalformedPayload,
            "both measured_at and offset_ms",
        ),
    ] {
        assert_eq!(one(reading), Err((reason, detail.to_owned())), "{reading}");
    }
    for (fields, reason, detail) in [
        (r#""vital":"mood","quantity":1"#, R::UnknownVital, "the vital is none of the contract's"),
        (r#""vital":"3","quantity":1"#, R::UnknownVital, "the vital is none of the contract's"),
        (
            r#""vital":99999999999,"quantity":1"#,
            R::UnknownVital,
            "the vital is none of the contract's",
        ),
        (r#""vital":1"#, R::NoValue, "no value, and no reason for its absence"),
        (r#""vital":1,"quantity":null"#, R::NoValue, "no value, and no reason for its absence"),
        (r#""vital":1,"absent":0"#, R::NoValue, "absent without a reason"),
        (r#""vital":1,"quantity":"Jane Doe""#, R::MalformedPayload, "quantity is not a number"),
        (r#""vital":1,"quantity":[80]"#, R::MalformedPayload, "quantity is not a number"),
        (r#""vital":1,"quantity":"NaN""#, R::NotANumber, "the quantity is NaN or infinite"),
        (r#""vital":1,"quantity":-1e999"#, R::NotANumber, "the quantity is NaN or infinite"),
        (r#""vital":1,"quantity":1e13"#, R::ImpossibleValue, "the quantity is beyond 10^12"),
        (
            r#""vital":1,"quantity":80,"absent":"error""#,
            R::MalformedPayload,
            "more than one of quantity, consciousness and absent",
        ),
        (
            r#""vital":14,"quantity":1"#,
            R::MalformedPayload,
            "consciousness is given as a level, not as a quantity",
        ),
        (
            r#""vital":1,"consciousness":1"#,
            R::MalformedPayload,
            "a level of consciousness as the value of heart_rate",
        ),
        (
            r#""vital":14,"consciousness":"awake""#,
            R::MalformedPayload,
            "the level is none of ACVPU",
        ),
        (r#""vital":1,"quantity":80,"unit":7"#, R::MalformedPayload, "unit is not a string"),
        (
            r#""vital":1,"quantity":80,"unit":"Jane""#,
            R::UnknownUnit,
            "not an accepted unit of heart_rate; accepted are /min",
        ),
        (
            r#""vital":8,"quantity":36,"unit":"kg""#,
            R::UnknownUnit,
            "kg does not measure body_temperature; accepted are Cel, [degF], K",
        ),
        (
            r#""vital":"blood_glucose","quantity":90"#,
            R::UnknownUnit,
            "blood_glucose needs its unit said; accepted are mg/dL, mmol/L",
        ),
        (
            r#""vital":1,"quantity":80,"quality":["motion",{}]"#,
            R::MalformedPayload,
            "quality is not a list of names or numbers",
        ),
        (
            r#""vital":1,"quantity":80,"historical":"true""#,
            R::MalformedPayload,
            "historical is not true or false",
        ),
        (
            r#""vital":1,"quantity":80,"measurementId":4294967296"#,
            R::MalformedPayload,
            "measurement_id is not a whole number in its range",
        ),
        (
            r#""vital":15,"quantity":80,"interval":"a minute""#,
            R::MalformedPayload,
            "interval is not a duration such as \"60s\"",
        ),
    ] {
        assert_eq!(one_with(fields), Err((reason, detail.to_owned())), "{fields}");
    }
}

#[test]
fn values_may_be_written_as_proto3_json_allows() {
    let quantity = |number| Value::Quantity(Quantity::from_f64(number).expect("finite"));
    for (fields, vital, value) in [
        (r#""vital":"VITAL_SPO2","quantity":97"#, Vital::Spo2, quantity(97.0)),
        (r#""vital":"spo2","quantity":"97.5""#, Vital::Spo2, quantity(97.5)),
        (r#""vital":"Spo2","quantity":9.75e1"#, Vital::Spo2, quantity(97.5)),
        (r#""vital":3.0,"quantity":"0.97","unit":"1""#, Vital::Spo2, quantity(97.0)),
        (r#""v\u0069tal":"sp\u006f2","quantity":97,"unit":"\u0025""#, Vital::Spo2, quantity(97.0)),
        (r#""vital":3,"absent":"sensor_off""#, Vital::Spo2, Value::Absent(AbsentReason::SensorOff)),
        (r#""vital":3,"absent":"of_later""#, Vital::Spo2, Value::Absent(AbsentReason::Unknown)),
        (
            r#""vital":14,"consciousness":"ACVPU_VOICE""#,
            Vital::Consciousness,
            Value::Consciousness(Acvpu::Voice),
        ),
        (
            r#""vital":14,"consciousness":5"#,
            Vital::Consciousness,
            Value::Consciousness(Acvpu::Unresponsive),
        ),
    ] {
        let read = one_with(fields).unwrap_or_else(|refused| panic!("{fields}: {refused:?}"));
        assert_eq!((read.vital, read.value), (vital, value), "{fields}");
    }
}

#[test]
fn of_a_field_given_twice_the_last_counts() {
    let read = one_with(r#""vital":"mood","quantity":{},"vital":3,"quantity":97"#).expect("good");
    assert_eq!((read.vital, read.value), (Vital::Spo2, Value::Quantity(Quantity::whole(97))));
    let batch = json(
        r#"{"boot_id":1,"readings":[{},{}],"bootId":"2","readings":[{"vital":1}],"unknown":[[]]}"#,
    );
    assert_eq!((batch.boot_id, batch.refused.len(), batch.unknown_fields), (2, 1, 1));
    let none = json(r#"{"readings":[{}],"readings":null}"#);
    assert_eq!(none.refused.len(), 0);
}

#[test]
fn a_message_that_is_no_batch_is_refused_whole_and_shows_nothing_of_itself() {
    for (payload, detail) in [
        ("{", "not a ReadingBatch in JSON: ends too soon at line 1 column 1"),
        ("{\n]", "not a ReadingBatch in JSON: not JSON at line 2 column 1"),
        ("{} {", "not a ReadingBatch in JSON: not JSON at line 1 column 4"),
        (
            r#"{"bootId":"Jane"}"#,
            "not a ReadingBatch in JSON: boot_id is not a whole number in its range",
        ),
        (
            r#"{"bootId":-1}"#,
            "not a ReadingBatch in JSON: boot_id is not a whole number in its range",
        ),
        (
            r#"{"sentAt":"Jane"}"#,
            "not a ReadingBatch in JSON: sent_at is not an RFC 3339 time with an offset",
        ),
        (r#"{"gateway":"Jane Doe"}"#, "the gateway is not an id"),
        (r#"{"mode":"Jane"}"#, "mode is none of real, test and demo"),
        (r#"{"mode":3}"#, "mode is none of real, test and demo"),
        (
            r#"{"readings":{}}"#,
            "not a ReadingBatch in JSON: a value of the wrong kind at line 1 column 14",
        ),
        (
            "{\"readings\":[\"Jane\u{1}\"]}",
            "not a ReadingBatch in JSON: not JSON at line 1 column 19",
        ),
    ] {
        let refused = decode(payload.to_owned()).expect_err(payload);
        assert_eq!(refused, (R::MalformedPayload, detail.to_owned()), "{payload}");
    }
    let refused = decode(&b"{\"gateway\":\"\xff\"}"[..]).expect_err("not UTF-8");
    assert_eq!(refused.1, "not a ReadingBatch in JSON: not UTF-8");
}

#[test]
fn what_the_contract_does_not_know_is_counted_and_ignored_in_both_encodings() {
    let batch = json(
        r#"{"a":1,"b":{"vital":[1e999]},"readings":[
            {"vital":3,"quantity":97,"measuredAt":"1970-01-12T13:46:40Z","c":null,"d":"\ud800"}]}"#,
    );
    assert_eq!((batch.readings.len(), batch.unknown_fields), (1, 4));
    let reading = numbered(0, vec![heart_rate(1_000_000, 80)]).readings[0].encode_to_vec();
    // A string of number 12 behind the reading's fields; a number and a group of 20 behind it all.
    let reading = [&reading[..], b"\x62\x02hi"].concat();
    let length = u8::try_from(reading.len()).expect("short");
    let payload = [&[0x42, length], &reading[..], b"\xa0\x01\x05\xa3\x01\xa4\x01"].concat();
    let batch = decode(payload).expect("a batch");
    assert_eq!((batch.readings.len(), batch.unknown_fields), (1, 3));
}

#[test]
fn a_reading_that_is_none_in_protobuf_refuses_itself() {
    let good = heart_rate(1_000_000, 80).encode_to_vec();
    let mut payload = vec![0x42, 3];
    payload.extend(b"\x3a\x01\xff");
    payload.extend([0x42, u8::try_from(good.len()).expect("short")]);
    payload.extend(good);
    let batch = decode(payload).expect("a batch");
    assert_eq!(batch.readings.iter().map(|it| it.index).collect::<Vec<_>>(), [1]);
    let [(0, R::MalformedPayload, detail)] = &batch.refused[..] else { panic!("{batch:?}") };
    assert!(detail.starts_with("not a Reading in protobuf: "), "{detail}");
}

#[test]
fn too_many_readings_are_counted_and_never_read() {
    let beyond = "{},".repeat(10_000) + "{}";
    for payload in
        [format!(r#"{{"readings":[{beyond}]}}"#).into_bytes(), b"\x42\x00".repeat(10_001)]
    {
        let refused = decode(payload).expect_err("too many");
        assert_eq!(refused, (R::TooManyReadings, "10001 readings; at most 10000".to_owned()));
    }
}

#[test]
fn depth_without_end_is_an_unknown_field_like_any_other() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for payload in [format!(r#"{{"x":{deep}}}"#), format!(r#"{{"readings":[{{"x":{deep}}}]}}"#)] {
        assert_eq!(json(&payload).unknown_fields, 1);
    }
    assert_eq!(json(&format!(r#"{{"readings":[{deep}]}}"#)).refused.len(), 1);
    let groups = [b"\xa3\x01".repeat(50_000), b"\xa4\x01".repeat(50_000)].concat();
    assert_eq!(decode(groups).expect_err("too deep").0, R::MalformedPayload);
}

#[test]
fn what_arrived_is_kept_beside_what_it_became() {
    let read = one_with(r#""vital":8,"quantity":98.6,"unit":"[degF]""#).expect("good");
    assert_eq!(read.value, Value::Quantity(Quantity::whole(37)));
    let sent = Quantity::from_ten_thousandths(986_000);
    assert_eq!(read.original, Some((sent, Unit::Fahrenheit)));
    let read =
        one_with(r#""vital":8,"quantity":37,"unit":"Cel","measurement_id":9"#).expect("good");
    assert_eq!((read.original, read.measurement_id), (None, 9));
}

#[test]
fn steps_say_over_which_span_they_were_counted() {
    let steps = |interval: &str| one_with(&format!(r#""vital":"steps","quantity":80{interval}"#));
    let span = |interval: &str| steps(&format!(r#","interval":"{interval}""#));
    let read = span("60s").expect("good");
    assert_eq!(read.interval, Some(Duration::from_secs(60)));
    let read = span("0.0000019s").expect("good");
    assert_eq!(read.interval, Some(Duration::from_micros(1)), "cut to microseconds");
    assert!(span("90000s").is_ok());
    for wrong in ["0s", "-60s", "0.0000001s", "90001s", "315576000000s"] {
        let refused = span(wrong).expect_err(wrong);
        assert_eq!(refused.1, "interval is not positive, or over 25 h", "{wrong}");
    }
    let refused = steps("").expect_err("no span");
    let detail = "steps need the interval that they were counted over";
    assert_eq!(refused, (R::MalformedPayload, detail.to_owned()));
    assert!(one_with(r#""vital":"steps","absent":"error""#).is_ok());
}

#[test]
fn a_device_whose_clock_was_never_set_says_so_of_its_readings() {
    for (clock_sync, is_unset) in
        [("\"unset\"", true), ("3", true), ("2", false), ("\"of_later\"", false), ("77", false)]
    {
        let batch = json(&format!(
            r#"{{"clockSync":{clock_sync},"readings":[
                {{"measuredAt":"1970-01-12T13:46:40Z","vital":3,"quantity":97}}]}}"#,
        ));
        assert_eq!(batch.is_clock_unset, is_unset, "{clock_sync}");
        assert_eq!(batch.readings[0].quality.has(Quality::CLOCK_UNSET), is_unset, "{clock_sync}");
    }
}

#[test]
fn what_a_reading_carries_reaches_those_who_read_outputs() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    let outputs = ward.send_readings(
        1,
        vec![
            proto::Reading {
                unit: "[degF]".to_owned(),
                measurement_id: 4,
                ..measured(Vital::BodyTemperature, BEGIN, 98.6)
            },
            proto::Reading {
                interval: Some(prost_types::Duration { seconds: 60, nanos: 5000 }),
                ..measured(Vital::Steps, BEGIN, 80.0)
            },
        ],
    );
    let readings = readings(&outputs);
    let sent = Quantity::from_ten_thousandths(986_000);
    assert_eq!(readings[0].original, Some((sent, Unit::Fahrenheit)));
    assert_eq!(readings[0].measurement_id, 4);
    assert_eq!(readings[1].interval, Some(Duration::from_micros(60_000_005)));
}

#[test]
fn a_clock_that_was_never_set_is_a_fault_for_as_long_as_the_device_says_so() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::ClockFault, 0)]);
    ward.enroll(1);
    let mut send = |clock_sync: proto::ClockSync| {
        ward.now += 10;
        let readings = vec![measured(Vital::HeartRate, ward.now, 70.0)];
        let first = ward.sequence;
        ward.sequence += 1;
        let clock_sync = clock_sync as i32;
        ward.publish(1, &proto::ReadingBatch { clock_sync, ..numbered(first, readings) });
        ward.told()
    };
    assert_eq!(send(proto::ClockSync::Unset), ["10 start technical low active/on"]);
    assert_eq!(send(proto::ClockSync::Unset), [""; 0]);
    assert_eq!(send(proto::ClockSync::FreeRunning), ["30 end technical low inactive/off"]);
}

#[test]
fn what_a_monitor_sends_without_a_sensor_is_technical_and_never_refused() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::SensorOff, 0)]);
    ward.enroll(1);
    for (vital, value, unit) in [
        (Vital::HeartRate, 0.0, ""),
        (Vital::Spo2, -1.0, "%"),
        (Vital::SystolicPressure, -1.0, "kPa"),
        (Vital::BodyTemperature, -17.8, "Cel"),
        (Vital::SkinTemperature, 0.0, "[degF]"),
        (Vital::PerfusionIndex, 0.0, ""),
    ] {
        ward.now += 10;
        let reading = proto::Reading { unit: unit.to_owned(), ..measured(vital, ward.now, value) };
        let outputs = ward.send_readings(1, vec![reading]);
        assert_eq!(rejects(&outputs), [], "{vital} {value} {unit}");
        assert!(readings(&outputs)[0].quality.has(Quality::NO_SENSOR), "{vital} {value} {unit}");
    }
    assert_eq!(ward.told()[0], "10 start technical low active/on");
}

#[test]
fn a_time_is_cut_to_microseconds_in_both_encodings() {
    let read = one(r#"{"measuredAt":"1970-01-12T14:46:40.1234569+01:00","vital":3,"quantity":97}"#);
    let at = Timestamp::from_micros(1_000_000_123_456).expect("in range");
    assert_eq!(read.expect("good").measured_at, at);
    let measured_at = prost_types::Timestamp { seconds: 1_000_000, nanos: 123_456_999 };
    let reading = proto::Reading {
        measured: Some(proto::reading::Measured::MeasuredAt(measured_at)),
        ..heart_rate(0, 80)
    };
    let batch = decode(numbered(0, vec![reading]).encode_to_vec()).expect("a batch");
    assert_eq!(batch.readings[0].measured_at, at);
}
