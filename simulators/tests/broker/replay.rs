//! Replays of made-up recordings in the data set's format.

use std::future::pending;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use jiff::Timestamp;
use pulseward_sim::encode::Encoding;
use pulseward_sim::proto::v1;
use pulseward_sim::replay::{Replay, Settings, Show, Speed, Start, Summary};
use serde_json::Value;
use tokio::time::timeout;

use crate::mosquitto::Mosquitto;
use crate::subscriber::{DEADLINE, Heard, Readings, Subscriber, distinct, readings};

/// What the two fixture files hold.
const READINGS: usize = 482;
const MISSING: u64 = 6;
const START: &str = "2025-01-31T08:00:00Z";

fn fixture(number: &str) -> PathBuf {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/bidmc");
    PathBuf::from(directory).join(format!("bidmc_{number}_Numerics.csv"))
}

fn settings(broker: &Mosquitto) -> Settings {
    Settings {
        files: vec![fixture("01"), fixture("02")],
        broker: broker.url().parse().expect("an address"),
        enroll: None,
        site: "icu".to_owned(),
        start: Start::At(start()),
        speed: Speed::Max,
        batch: Duration::from_secs(1),
        encoding: Encoding::Protobuf,
        upload_interval: None,
        connections: 1,
        boot_id: None,
        patience: Duration::from_secs(30),
        show: Show::Nothing,
    }
}

fn start() -> Timestamp {
    START.parse().expect("valid")
}

async fn replay(settings: Settings) -> Summary {
    let replay = Replay::read(settings).expect("good files");
    let ended = timeout(DEADLINE, replay.run(pending())).await.expect("ended in time");
    let (summary, whole) = ended.expect("nothing to enrol");
    whole.expect("everything was acknowledged");
    summary
}

/// Replays while a subscriber listens.
async fn replay_and_hear(settings: Settings, broker: &Mosquitto) -> (Summary, Vec<Heard>) {
    let mut subscriber = Subscriber::start(broker.port).await;
    let summary = replay(settings).await;
    if summary.complete {
        subscriber.until_distinct(READINGS).await;
    }
    (summary, subscriber.finish().await)
}

fn check_each_once_in_order(readings: &Readings) {
    assert_eq!(readings.keys().collect::<Vec<_>>(), ["bidmc-01", "bidmc-02"]);
    for (device, came) in readings {
        let numbers: Vec<u64> = came.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u64> = (1..=came.len() as u64).collect();
        assert_eq!(numbers, expected, "{device}");
    }
    assert_eq!(distinct(readings), READINGS);
}

#[tokio::test]
async fn every_reading_arrives_once_and_in_order() {
    let broker = Mosquitto::start();
    let (summary, heard) = replay_and_hear(settings(&broker), &broker).await;
    check_each_once_in_order(&readings(&heard));
    assert_eq!((summary.readings, summary.missing), (READINGS as u64, MISSING));
    assert_eq!((summary.batches, summary.unheard_batches), (heard.len() as u64, 0));
    assert!(summary.complete);
}

#[tokio::test]
async fn a_reading_carries_what_was_recorded() {
    let broker = Mosquitto::start();
    let (_, heard) = replay_and_hear(settings(&broker), &broker).await;
    let first = &heard.iter().find(|message| message.topic.contains("bidmc-01")).expect("came");
    assert_eq!(first.topic, "pulseward/v1/icu/bidmc-01/readings");
    assert_eq!(first.content_type.as_deref(), Some("application/protobuf"));
    let batch = <v1::ReadingBatch as prost::Message>::decode(&*first.payload).expect("a batch");
    let base = batch.base_time.expect("there are offsets").seconds;
    assert_eq!(base, start().as_second() - 1, "the file begins a second before its time 0");
    let said: Vec<_> =
        batch.readings.iter().map(|reading| (reading.vital(), reading.value)).collect();
    let quantity = |value| Some(v1::reading::Value::Quantity(value));
    let expected = [
        (v1::Vital::HeartRate, quantity(87.0)),
        (v1::Vital::PulseRate, quantity(86.0)),
        (v1::Vital::RespiratoryRate, quantity(17.0)),
        (v1::Vital::Spo2, quantity(96.0)),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_rerun_with_the_same_start_repeats_the_same_numbers() {
    let broker = Mosquitto::start();
    let (_, once) = replay_and_hear(settings(&broker), &broker).await;
    let again = Settings { batch: Duration::from_secs(7), connections: 2, ..settings(&broker) };
    let (_, again) = replay_and_hear(again, &broker).await;
    let (once, again) = (readings(&once), readings(&again));
    check_each_once_in_order(&again);
    let content = |readings: &Readings| -> Vec<_> {
        let all = readings.values().flatten();
        all.map(|(number, reading)| (*number, reading.vital, reading.value)).collect()
    };
    assert_eq!(content(&once), content(&again));
}

#[tokio::test]
async fn json_says_the_same_in_the_proto3_mapping() {
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::start(broker.port).await;
    let json = Settings { encoding: Encoding::Json, ..settings(&broker) };
    let summary = replay(json).await;
    subscriber.until_messages(summary.batches).await;
    let heard = subscriber.finish().await;
    let batches = heard.iter().map(|message| serde_json::from_slice(&message.payload));
    let batches: Vec<Value> = batches.collect::<Result<_, _>>().expect("JSON");
    let count = |batch: &Value| batch["readings"].as_array().map_or(0, Vec::len);
    assert_eq!(batches.iter().map(count).sum::<usize>(), READINGS);
    assert_eq!(heard[0].content_type.as_deref(), Some("application/json"));
    assert_eq!(batches[0]["bootId"], summary.boot_id.to_string());
}

#[tokio::test]
async fn a_broker_that_restarts_in_the_middle_loses_no_reading() {
    let mut broker = Mosquitto::start();
    let mut subscriber = Subscriber::start(broker.port).await;
    let slower = Settings { speed: Speed::Times(40.0), ..settings(&broker) };
    let running = tokio::spawn(replay(slower));
    subscriber.until_distinct(READINGS / 4).await;
    broker.restart();
    let summary = running.await.expect("no panic");
    subscriber.until_distinct(READINGS).await;
    let readings = readings(&subscriber.finish().await);
    assert_eq!(summary.reconnects, 1);
    assert_eq!(summary.readings, READINGS as u64, "a repeated message counts once");
    check_repeats_are_equal(&readings);
    assert_eq!(distinct(&readings), READINGS);
}

/// A reading that came twice came with the same number and content.
fn check_repeats_are_equal(readings: &Readings) {
    for (device, came) in readings {
        let mut by_number = std::collections::BTreeMap::new();
        for (number, reading) in came {
            let first = by_number.entry(number).or_insert(reading);
            assert_eq!(*first, reading, "{device} {number}");
        }
    }
}

#[tokio::test]
async fn messages_that_nobody_hears_are_said_to_be_unheard() {
    let broker = Mosquitto::start();
    let summary = replay(settings(&broker)).await;
    assert_eq!(summary.unheard_batches, summary.batches);
}

#[tokio::test]
async fn a_replay_that_is_stopped_says_how_far_it_came() {
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::start(broker.port).await;
    let slow = Settings { speed: Speed::Times(1.0), ..settings(&broker) };
    let replay = Replay::read(slow).expect("good files");
    let (summary, whole) =
        replay.run(subscriber.until_distinct(8)).await.expect("nothing to enrol");
    assert_eq!(whole.expect_err("stopped").to_string(), "interrupted");
    assert!((8..READINGS as u64).contains(&summary.readings), "{}", summary.readings);
    assert!(!summary.complete);
}

fn program(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_pulseward-sim");
    Command::new(program).arg("replay").args(arguments).output().expect("the program runs")
}

#[test]
fn the_program_ends_with_a_summary_in_json() {
    let broker = Mosquitto::start();
    let file = fixture("01");
    let arguments = [
        file.to_str().expect("UTF-8"),
        "--format=bidmc",
        "--speed=max",
        "--summary=json",
        &format!("--start={START}"),
        &format!("--mqtt={}", broker.url()),
    ];
    let output = program(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(summary["readings"], 245);
    assert_eq!(summary["missing"], 3);
    assert_eq!(summary["complete"], true);
    assert_eq!(summary["start"], START);
}

#[test]
fn the_program_ends_with_exit_1_and_a_reason() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bad = directory.path().join("bidmc_09_Numerics.csv");
    std::fs::write(&bad, "Time [s], HR\n0,70\n1,seventy\n").expect("written");
    let (good, bad) = (fixture("01"), bad);
    let (good, bad) = (good.to_str().expect("UTF-8"), bad.to_str().expect("UTF-8"));
    let nobody = "--mqtt=mqtt://127.0.0.1:1";
    for (arguments, reason) in [
        (vec![bad, nobody], "bidmc_09_Numerics.csv:3: \"seventy\" is no number"),
        (vec![good, good, nobody], "a second file of this device"),
        (vec![good, "--speed=10", nobody], "take --start 2"),
        (vec![good, nobody], "connection to mqtt://127.0.0.1:1: I/O: Connection refused"),
        (vec![good, nobody, "--enroll=http://127.0.0.1:1"], "connecting to the service"),
    ] {
        let output = program(&[&arguments[..], &["--format=bidmc"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}
