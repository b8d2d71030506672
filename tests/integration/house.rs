//! The whole line, from the broker to a clinician and into the database: vitals like recorded
//! ones go in through a real Mosquitto, and every reading and every alert comes out once.

use std::collections::BTreeSet;

use crate::support::house::{House, assert_same};
use crate::support::publishing::publish;
use crate::support::recording::{RULES, ReadingRow, Recording};
use crate::support::sql::Sql;
use crate::support::watcher::Watcher;

/// As many devices and seconds as make some ten thousand readings.
const DEVICES: usize = 6;
const SECONDS: usize = 8 * 60;

#[test]
fn a_recording_has_what_makes_alarms_hard() {
    let recording = Recording::new(1, DEVICES, SECONDS);
    let readings = recording.readings();
    let whole = DEVICES * SECONDS * 4;
    assert!((whole * 9 / 10..whole).contains(&readings.len()), "{} gaps", whole - readings.len());
    let at_a_limit = readings.iter().filter(|row| is_at_a_limit(row));
    assert!(at_a_limit.count() > whole / 20, "values hover at their limit");
    let events = recording.events();
    let rules: BTreeSet<_> = events.iter().map(|event| &*event.rule).collect();
    assert_eq!(rules, RULES.iter().map(|rule| rule.id).collect());
    assert!(events.len() > 50, "{} events", events.len());
}

fn is_at_a_limit(row: &ReadingRow) -> bool {
    let limit = match &*row.vital {
        "heart_rate" => 100,
        "respiratory_rate" => 24,
        "spo2" => 90,
        _ => return false,
    };
    row.ten_thousandths == limit * 10_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reading_is_stored_and_every_alert_told_once_on_postgres() {
    check(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reading_is_stored_and_every_alert_told_once_on_sqlite() {
    check(Sql::sqlite()).await;
}

async fn check(sql: Sql) {
    let recording = Recording::new(1, DEVICES, SECONDS);
    let mut house = House::start(sql).await;
    house.enroll(&recording).await;
    let watcher = Watcher::new();
    let stream = watcher.follow(house.grpc_url().await).await;
    assert!(watcher.told().snapshot.is_empty(), "nothing was open before");

    publish(&house.broker.url(), recording.messages()).await;
    let (readings, events) = (recording.readings(), recording.events());
    house.stored(readings.len()).await;
    watcher.until_events(events.len()).await;
    check_history(&house, &recording).await;
    check_metrics(&house, &recording).await;

    let exit = house.service.terminate();
    assert!(exit.success(), "{exit}");
    let ended = stream.await.expect("no panic");
    assert_eq!(ended.code(), tonic::Code::Unavailable, "{ended}");
    assert_same(&watcher.told().rows(), &events);
    watcher.told().check_lives();
    house.check_stored(&recording).await;
}

/// `ListReadings` gives what SQL gives.
async fn check_history(house: &House, recording: &Recording) {
    let mut listed = Vec::new();
    for device in &recording.devices {
        let patient = Recording::patient_of(device);
        listed.extend(house.list_readings(&patient).await.expect("the history is there"));
    }
    listed.sort();
    assert_same(&listed, &recording.readings());
}

/// What the service counts is what there was.
async fn check_metrics(house: &House, recording: &Recording) {
    let (readings, events) = (recording.readings(), recording.events());
    let starts = events.iter().filter(|event| event.phase == "start").count();
    for (metric, expected) in [
        ("pulseward_mqtt_messages_total", recording.len()),
        ("pulseward_mqtt_acknowledged_total", recording.len()),
        ("pulseward_inputs_total{kind=\"publish\"}", recording.len()),
        ("pulseward_readings_admitted_total", readings.len()),
        ("pulseward_store_readings_total", readings.len()),
        ("pulseward_alert_events_total", events.len()),
        ("pulseward_alert_events_total{phase=\"start\"", starts),
        ("pulseward_alerts_open", starts * 2 - events.len()),
        ("pulseward_rejects_total", 0),
        ("pulseward_watchers ", 1),
        ("pulseward_store_connected", 1),
    ] {
        let expected = f64::from(u32::try_from(expected).expect("small"));
        assert_eq!(house.metric(metric).await, expected, "{metric}");
    }
    for histogram in ["engine", "commit", "hub_lag", "store_write"] {
        let count = format!("pulseward_{histogram}_seconds_count");
        assert!(house.metric(&count).await > 0.0, "{count}");
    }
}
