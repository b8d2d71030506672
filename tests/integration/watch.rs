//! `pulseward watch` against the real service, over a network that fails: NOT LIVE is said in time,
//! and whoever was cut off misses nothing and is told nothing twice.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::house::House;
use crate::support::network::Network;
use crate::support::process::{Process, Signal};
use crate::support::publishing::publish;
use crate::support::recording::{EventRow, Recording};
use crate::support::sql::Sql;
use crate::support::wait::{wait_until, wait_within};

const DEVICES: usize = 4;
const SECONDS: usize = 4 * 60;
/// After the last sign of life.
const NOT_LIVE_WITHIN: Duration = Duration::from_secs(25);
/// A busy machine looks at a file a little later than it was written.
const LATER: Duration = Duration::from_secs(5);

/// Somebody who watches in lines, over a network.
struct Watching {
    process: Process,
    network: Network,
    _dir: TempDir,
}

impl Watching {
    async fn start(house: &House) -> Self {
        let network = Network::to(house.service.listener("grpc").await.port()).await;
        let dir = TempDir::with_prefix("watch-").expect("temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
        let url = format!("http://127.0.0.1:{}", network.port());
        command.args(["watch", "--grpc", &url]);
        let process = Process::spawn("watch", &mut command, &dir.path().join("lines"));
        let watching = Self { process, network, _dir: dir };
        watching.says("live", 1).await;
        watching
    }

    /// How often that word was said.
    fn count(&self, word: &str) -> usize {
        self.process.log().lines().filter(|line| self::word(line) == Some(word)).count()
    }

    async fn says(&self, word: &str, times: usize) {
        let what = format!("{word} to be said {times} times");
        wait_until(&what, async || self.count(word) >= times).await;
    }

    /// The events of alerts, as patient, rule and phase, sorted.
    fn events(&self) -> Vec<(String, String, String)> {
        let log = self.process.log();
        let event = |line: &str| {
            let phase = word(line).filter(|word| ["start", "end"].contains(word))?;
            Some((pair(line, "patient")?, pair(line, "rule")?, phase.to_owned()))
        };
        let mut events: Vec<_> = log.lines().filter_map(event).collect();
        events.sort();
        events
    }
}

/// What a line says has happened.
fn word(line: &str) -> Option<&str> {
    line.split(' ').nth(1)
}

fn pair(line: &str, key: &str) -> Option<String> {
    let pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).next()
}

fn of_row(row: EventRow) -> (String, String, String) {
    (row.patient, row.rule, row.phase)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_is_told_what_happened_meanwhile_once() {
    let recording = Recording::new(5, DEVICES, SECONDS);
    let house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    let mut watching = Watching::start(&house).await;

    let mut messages = recording.messages();
    let later = messages.split_off(messages.len() / 2);
    publish(&house.broker.url(), messages).await;
    watching.says("start", 1).await;
    watching.network.cut().await;
    watching.says("NOT-LIVE", 1).await;
    publish(&house.broker.url(), later).await;
    house.stored(recording.readings().len()).await;
    watching.network.heal();

    watching.says("live", 2).await;
    let mut expected: Vec<_> = recording.events().into_iter().map(of_row).collect();
    expected.sort();
    wait_until("every event", async || watching.events().len() >= expected.len()).await;
    assert_eq!(watching.events(), expected);
    assert_eq!(watching.count("open"), 0, "it resumed, and was given no new snapshot");
    assert!(watching.process.stop(Signal::Terminate).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_shows_as_not_live_within_25_s() {
    let house = House::start(Sql::sqlite()).await;
    let watching = Watching::start(&house).await;
    let stalled = Instant::now();
    watching.network.stall();
    let said = async || (watching.count("NOT-LIVE") == 1).then_some(());
    wait_within(NOT_LIVE_WITHIN + LATER, "NOT-LIVE", said).await;
    let within = stalled.elapsed();
    assert!(within <= NOT_LIVE_WITHIN + LATER / 5, "NOT-LIVE after {within:?}");
    watching.network.heal();
    watching.says("live", 2).await;
}

#[test]
fn a_service_that_is_not_there_is_an_error_and_says_where_it_was_looked_for() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    let output = command.args(["watch", "--grpc", "http://127.0.0.1:1"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("can't connect to the service at http://127.0.0.1:1: "), "{told}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
