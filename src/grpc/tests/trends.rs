//! The latest readings of a patient, and readings in buckets.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt;

use super::fakes::open;
use super::{id, wire};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::engine::output::Quality;
use crate::proto::v1;
use crate::store::{
    BucketsPage, BucketsQuery, HistoryError, LatestQuery, ReadingBucket, StoredReading,
};
use crate::vitals::{Quantity, Value, Vital};

const HOUR: Duration = Duration::from_secs(3600);

fn latest() -> v1::GetLatestVitalsRequest {
    v1::GetLatestVitalsRequest { patient_id: "p-1".into(), vitals: vec![] }
}

fn aggregate() -> v1::AggregateReadingsRequest {
    v1::AggregateReadingsRequest {
        patient_id: "p-1".into(),
        vitals: vec![v1::Vital::Spo2.into(), v1::Vital::HeartRate.into()],
        from: wire(0),
        until: wire(7200),
        bucket: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        page_size: 0,
        page_token: "more".to_owned(),
    }
}

#[tokio::test]
async fn the_latest_readings_come_with_the_time_that_tells_how_old_they_are() {
    let door = open().await;
    door.latest.answer(Ok(vec![StoredReading {
        measured_at: Timestamp::from_seconds(1),
        vital: Vital::Spo2,
        device: id("d-1"),
        value: Value::Quantity(Quantity::whole(97)),
        quality: Quality::LATE,
        received_at: Timestamp::from_seconds(2),
        stored_at: Timestamp::from_seconds(3),
        original: None,
        interval: None,
        measurement_id: 0,
    }]));
    let answer = door.vitals().get_latest_vitals(latest()).await.expect("readings").into_inner();
    assert!(answer.service_time.is_some_and(|time| time.seconds > 1_700_000_000));
    let [reading] = answer.readings.as_slice() else { panic!("{answer:?}") };
    assert_eq!((reading.vital(), reading.measured_at), (v1::Vital::Spo2, wire(1)));
    assert_eq!(reading.value, Some(v1::stored_reading::Value::Quantity(97.0)));
    assert_eq!(reading.flags, [i32::from(v1::ReadingFlag::Late)]);
    let asked = LatestQuery { patient: id("p-1"), sites: Sites::All, vitals: vec![] };
    assert_eq!(door.latest.seen(), [asked]);
    door.close().await;
}

#[tokio::test]
async fn buckets_are_told_with_their_unit() {
    let door = open().await;
    let bucket = ReadingBucket {
        from: Timestamp::from_seconds(3600),
        vital: Vital::HeartRate,
        count: 3,
        min: Quantity::whole(60),
        max: Quantity::whole(80),
        mean: 70.25,
        last: Quantity::whole(71),
        last_measured_at: Timestamp::from_seconds(7199),
    };
    let next_page_token = Some("still more".to_owned());
    door.buckets.answer(Ok(BucketsPage { buckets: vec![bucket], next_page_token }));
    let page = door.vitals().aggregate_readings(aggregate()).await.expect("a page").into_inner();
    let expected = v1::ReadingBucket {
        from: wire(3600),
        vital: v1::Vital::HeartRate.into(),
        unit: "/min".to_owned(),
        count: 3,
        min: 60.0,
        max: 80.0,
        mean: 70.25,
        last: 71.0,
        last_measured_at: wire(7199),
    };
    assert_eq!((page.buckets, &*page.next_page_token), (vec![expected], "still more"));
    let asked = BucketsQuery {
        patient: id("p-1"),
        sites: Sites::All,
        vitals: vec![Vital::HeartRate, Vital::Spo2],
        from: Timestamp::from_seconds(0),
        until: Timestamp::from_seconds(7200),
        width: HOUR,
        page_size: 1_000,
        page_token: Some("more".to_owned()),
    };
    assert_eq!(door.buckets.seen(), [asked]);
    door.close().await;
}

#[tokio::test]
async fn while_the_database_is_away_they_say_so() {
    let door = open().await;
    let away = || HistoryError::Unavailable { reason: "connection refused".to_owned() };
    door.latest.answer(Err(away()));
    door.buckets.answer(Err(away()));
    let (mut one, mut other) = (door.vitals(), door.vitals());
    for status in [
        one.get_latest_vitals(latest()).await.expect_err("away"),
        other.aggregate_readings(aggregate()).await.expect_err("away"),
    ] {
        assert_eq!(status.code(), Code::Unavailable);
        let details = status.get_error_details();
        let info = details.error_info().expect("every error says its reason");
        assert_eq!(info.reason, "HISTORY_UNAVAILABLE");
        assert_eq!(info.metadata["cause"], "connection refused");
    }
    door.close().await;
}
