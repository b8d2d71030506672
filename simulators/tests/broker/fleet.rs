//! The fleet, against a broker alone: what it sends, and what its record says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::SignedDuration;
use prost::bytes::Bytes;
use pulseward_sim::caller::Caller;
use pulseward_sim::fleet::scenario::{FaultKind, Scheduled};
use pulseward_sim::fleet::{Fleet, Scenario, Settings, Summary};
use pulseward_sim::record::{self, What};
use pulseward_sim::replay::Show;

use crate::mosquitto::Mosquitto;
use crate::subscriber::{Heard, Subscriber, distinct, readings};

fn scenario(seconds: i64) -> Scenario {
    let mut scenario = Scenario {
        devices: 20,
        connections: 3,
        duration: SignedDuration::from_secs(seconds),
        ..Scenario::default()
    };
    scenario.measuring.every = SignedDuration::from_millis(100);
    scenario.gateways.batch = SignedDuration::from_millis(200);
    scenario
}

fn settings(scenario: Scenario, broker: &Mosquitto, record: &Path) -> Settings {
    Settings {
        scenario,
        broker: broker.url().parse().expect("an address"),
        grpc: None,
        caller: Caller::default(),
        record: record.to_owned(),
        show: Show::Nothing,
    }
}

/// What a record says of each message.
#[derive(Debug, Default)]
struct Recorded {
    payloads: BTreeMap<u64, Bytes>,
    /// In how many entries each was handed over.
    handed: BTreeMap<u64, usize>,
    acknowledged: BTreeMap<u64, usize>,
    due: BTreeMap<u64, u64>,
    marks: Vec<String>,
}

fn recorded(dir: &Path) -> Recorded {
    let mut recorded = Recorded::default();
    for entry in record::read(dir).expect("a record") {
        let entry = entry.expect("whole");
        match entry.what.expect("said") {
            What::Published(published) => {
                assert!(entry.at_micros >= published.due_micros, "nothing is sent early");
                let again = recorded.handed.entry(published.message).or_default();
                *again += 1;
                let is_first = *again == 1;
                assert_eq!(published.payload.is_empty(), !is_first, "the payload is kept once");
                assert_eq!(published.kind, "readings");
                if is_first {
                    recorded.payloads.insert(published.message, published.payload);
                    recorded.due.insert(published.message, published.due_micros);
                }
            }
            What::Acknowledged(acknowledged) => {
                assert!(acknowledged.heard);
                *recorded.acknowledged.entry(acknowledged.message).or_default() += 1;
            }
            What::Mark(mark) => recorded.marks.push(mark.text),
            other => panic!("{other:?}"),
        }
    }
    recorded
}

/// Everything was acknowledged once, is in the record once, and is what was heard.
fn check(summary: &Summary, dir: &Path, heard: &[Heard]) -> Recorded {
    let recorded = recorded(dir);
    assert!(summary.complete, "{summary}");
    assert_eq!(summary.acknowledged_messages, summary.messages);
    assert_eq!(recorded.payloads.len() as u64, summary.messages);
    assert!(recorded.payloads.keys().copied().eq(0..summary.messages), "numbered from 0");
    assert!(recorded.acknowledged.keys().eq(recorded.payloads.keys()));
    assert!(recorded.acknowledged.values().all(|count| *count == 1));
    let repeated: usize = recorded.handed.values().map(|count| count - 1).sum();
    assert_eq!(repeated as u64, summary.resent_messages);
    let sent: BTreeSet<&[u8]> = recorded.payloads.values().map(|bytes| &**bytes).collect();
    let came: BTreeSet<&[u8]> = heard.iter().map(|message| &*message.payload).collect();
    assert!(sent == came, "{} sent, {} heard", sent.len(), came.len());
    recorded
}

#[tokio::test]
async fn everything_is_acknowledged_and_recorded_once() {
    let (broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut subscriber = Subscriber::start(broker.port).await;
    let fleet = Fleet::new(settings(scenario(2), &broker, dir.path())).expect("a fleet");
    let marks = fleet.marks();
    marks.add("drill: begins");
    let summary = fleet.run(std::future::pending()).await.expect("sent");
    subscriber.until_messages(summary.messages).await;
    let heard = subscriber.finish().await;
    let recorded = check(&summary, dir.path(), &heard);
    // Ten batches in two seconds; some devices begin in the middle of one.
    assert_eq!(summary.messages, 20 * 10);
    assert_eq!(summary.readings, distinct(&readings(&heard)) as u64);
    assert_eq!((summary.resent_messages, summary.unheard_messages), (0, 0));
    assert_eq!(recorded.marks[0], "drill: begins");
    let dues: BTreeSet<_> = recorded.due.values().collect();
    assert!(dues.len() > 150, "devices do not send at once");
    marks.add("too late to be recorded, and no error");
}

#[tokio::test]
async fn what_a_restarted_broker_has_not_acknowledged_is_sent_again_and_the_schedule_goes_on() {
    let (mut broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut subscriber = Subscriber::start(broker.port).await;
    let fleet = Fleet::new(settings(scenario(4), &broker, dir.path())).expect("a fleet");
    let running = tokio::spawn(fleet.run(std::future::pending()));
    subscriber.until_messages(100).await;
    broker.restart();
    let summary = running.await.expect("no panic").expect("sent");
    let (expected, readings_expected) = (summary.messages, summary.readings);
    subscriber.until_distinct(usize::try_from(readings_expected).expect("few")).await;
    let recorded = check(&summary, dir.path(), &subscriber.finish().await);
    assert_eq!(expected, 20 * 20, "nothing was left out");
    assert!(summary.lost_connections >= 3, "{summary}");
    // The schedule went on while the broker was away: due times know nothing of it.
    let dues: Vec<_> = recorded.due.values().collect();
    assert!(dues.windows(2).all(|pair| *pair[1] - *pair[0] < 100_000), "no pause in the schedule");
}

#[tokio::test]
async fn a_storm_drops_every_connection_and_loses_nothing() {
    let (broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut subscriber = Subscriber::start(broker.port).await;
    let at = |millis| Scheduled {
        kind: FaultKind::Storms,
        at: SignedDuration::from_millis(millis),
        length: None,
        rate: 1.0,
    };
    let stormy = Scenario { connections: 0, scheduled: vec![at(700), at(1400)], ..scenario(3) };
    let fleet = Fleet::new(settings(stormy, &broker, dir.path())).expect("a fleet");
    let summary = fleet.run(std::future::pending()).await.expect("sent");
    subscriber.until_distinct(usize::try_from(summary.readings).expect("few")).await;
    let recorded = check(&summary, dir.path(), &subscriber.finish().await);
    assert_eq!((summary.connections, summary.lost_connections), (20, 40));
    assert_eq!(summary.faults, BTreeMap::from([(FaultKind::Storms, 2)]));
    assert_eq!(recorded.marks.iter().filter(|mark| mark.starts_with("storms")).count(), 2);
}

#[tokio::test]
async fn a_fleet_that_is_stopped_leaves_a_record_that_can_be_judged() {
    let (broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut subscriber = Subscriber::start(broker.port).await;
    let fleet = Fleet::new(settings(scenario(3600), &broker, dir.path())).expect("a fleet");
    let summary = fleet.run(subscriber.until_messages(50)).await.expect("stopped in good order");
    assert!(!summary.complete);
    assert_eq!(summary.acknowledged_messages, summary.messages);
    let recorded = recorded(dir.path());
    assert_eq!(recorded.payloads.len() as u64, summary.messages);
    assert!(recorded.acknowledged.keys().eq(recorded.payloads.keys()));
}

#[tokio::test]
async fn one_seed_sends_the_same_over_however_many_connections_and_however_fast() {
    let broker = Mosquitto::start();
    let mut sent = Vec::new();
    for (connections, speed) in [(1, 1.0), (7, 4.0)] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut subscriber = Subscriber::start(broker.port).await;
        let one = Scenario { connections, speed, devices: 7, ..scenario(2) };
        let fleet = Fleet::new(settings(one, &broker, dir.path())).expect("a fleet");
        let summary = fleet.run(std::future::pending()).await.expect("sent");
        subscriber.until_messages(summary.messages).await;
        let readings = readings(&subscriber.finish().await);
        let content: BTreeSet<_> = readings
            .iter()
            .flat_map(|(device, came)| {
                came.iter().map(move |it| (device.clone(), it.0, said(&it.1)))
            })
            .collect();
        sent.push(content);
    }
    assert!(sent[0] == sent[1]);
}

fn said(reading: &pulseward_sim::proto::v1::Reading) -> String {
    format!("{:?} {:?} {:?}", reading.vital(), reading.value, reading.measured)
}

fn program(arguments: &[&str]) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_pulseward-sim");
    let output = Command::new(program).arg("fleet").args(arguments).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_program_says_what_is_wrong_and_ends_with_exit_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[gateways]\nbacth = \"1s\"\n").expect("room");
    let (file, none) = (file.to_str().expect("UTF-8"), dir.path().join("none.toml"));
    let record = dir.path().join("record");
    let record = record.to_str().expect("UTF-8");
    for (arguments, reason) in [
        (
            vec!["--scenario", file],
            "bad.toml:2:1: gateways.bacth: unknown key; did you mean batch?",
        ),
        (vec!["--scenario", none.to_str().expect("UTF-8")], "reading "),
        (vec!["--faults", "storm"], "\"storm\" is no fault; did you mean storms?"),
        (vec!["--devices", "0"], "devices: 1 to 100000"),
        (vec!["--token-file", "/nowhere"], "reading the token in /nowhere"),
        (vec!["--grpc", "http://127.0.0.1:1"], "connecting to the service at http://127.0.0.1:1"),
        (vec![], "holds a record already"),
    ] {
        let (code, said) = program(&[&["--record", record][..], &arguments].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn what_waits_beyond_the_bound_ends_the_run_with_a_record() {
    let (broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut bounded = scenario(3600);
    bounded.gateways.buffer_mib = 0;
    let fleet = Fleet::new(settings(bounded, &broker, dir.path())).expect("a fleet");
    let error = fleet.run(std::future::pending()).await.expect_err("no room for any message");
    let cause = std::error::Error::source(&error).expect("the schedule's").to_string();
    assert!(cause.contains("allow more (gateways.buffer_mib)"), "{cause}");
    let mut entries = record::read(dir.path()).expect("a record");
    assert!(entries.by_ref().all(|entry| entry.is_ok()) && entries.is_whole());
}

/// Far longer than the tests' fleets take, so that a hang fails a test instead of holding it.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_broker_that_is_not_there_is_an_error_at_once() {
    let (broker, dir) = (Mosquitto::start(), tempfile::tempdir().expect("a directory"));
    let mut nowhere = settings(scenario(2), &broker, dir.path());
    nowhere.broker = "mqtt://127.0.0.1:1".parse().expect("an address");
    let fleet = Fleet::new(nowhere).expect("a fleet");
    let failed = tokio::time::timeout(DEADLINE, fleet.run(std::future::pending())).await;
    let error = failed.expect("at once").expect_err("nobody is there").to_string();
    assert_eq!(error, "publishing");
}
