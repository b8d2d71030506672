//! `kill -9` of the service at random moments of a replay: nothing is lost, nothing is doubled,
//! and the journal says the same as that of a run that nobody disturbed (V2, V3).
//!
//! The moments come from a seed, which a failure shows; `PULSEWARD_TEST_SEED` sets another. The
//! publishers go on through the broker all the while.

use std::sync::Arc;
use std::time::Duration;

use pulseward::engine::alerts::AlertEvent;
use pulseward::engine::input::Event;
use pulseward::engine::output::Output;
use pulseward::engine::{self, State};
use pulseward::journal::{Entry, entry};

use crate::support::house::{House, assert_same};
use crate::support::journal::entries;
use crate::support::publishing::{Publishing, publish};
use crate::support::random::Random;
use crate::support::recording::Recording;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

const DEVICES: usize = 8;
const SECONDS: usize = 8 * 60;
/// Kills in the middle of work. Those of a start that is under way come on top.
const KILLS: usize = 10;
/// The publishers never rest, or the service would, and a kill would find it idle.
const PAUSE: Duration = Duration::from_millis(1);
/// The latest moment of a kill in milliseconds, after the start and after the first message.
const STARTING_MS_MAX: u64 = 150;
const WORKING_MS_MAX: u64 = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_and_doubles_nothing_on_postgres() {
    check(Sql::postgres().await, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_and_doubles_nothing_on_sqlite() {
    check(Sql::sqlite(), 2).await;
}

async fn check(sql: Sql, seed: u64) {
    let given = std::env::var("PULSEWARD_TEST_SEED").ok();
    let seed = given.map_or(seed, |given| given.parse().expect("a seed is a number"));
    eprintln!("PULSEWARD_TEST_SEED={seed}");
    let recording = Recording::new(seed, DEVICES, SECONDS);

    let crashed = run_with_kills(sql, &recording, Random::new(seed)).await;
    check_positions(&crashed);
    check_replay(&crashed);
    let runs = messages_of_runs(&crashed);
    let at_work = runs.iter().filter(|messages| **messages > 0).count();
    // The last run is not killed, and may find that the one before has done everything.
    assert!(at_work >= KILLS, "killed at rest: {runs:?}");

    let undisturbed = run(&recording).await;
    assert_same(&readings(&crashed), &readings(&undisturbed));
    assert_same(&alert_events(&crashed), &alert_events(&undisturbed));
}

/// Replays while the service is killed again and again; its journal in the end.
async fn run_with_kills(sql: Sql, recording: &Recording, mut random: Random) -> Vec<Arc<Entry>> {
    let mut house = House::start(sql).await;
    house.enroll(recording).await;
    let watcher = Watcher::new();
    let (url, messages) = (house.broker.url(), recording.messages());
    let publishing = Publishing::start_paced(&url, messages, PAUSE);
    // Each run of the service finds messages that no run before has seen.
    let share = |kill| recording.len() * kill / KILLS;
    for kill in 1..=KILLS {
        publishing.allow(share(kill));
        let working = Duration::from_millis(random.next() % WORKING_MS_MAX);
        tokio::select! {
            () = at_work_for(&house, working) => {}
            () = watch(&house, &watcher) => {}
        }
        house.service.kill9();
        if random.percent(30) {
            house.service.relaunch();
            tokio::time::sleep(Duration::from_millis(random.next() % STARTING_MS_MAX)).await;
            house.service.kill9();
        }
        house.service.relaunch();
    }
    house.service.ready().await;
    let stream = watcher.follow(house.grpc_url().await).await;
    publishing.finish().await;

    house.stored(recording.readings().len()).await;
    watcher.until_events(recording.events().len()).await;
    assert!(house.service.terminate().success());
    drop(stream.await.expect("no panic"));
    house.check_stored(recording).await;
    // Also who watched through all of it was told everything once.
    assert_same(&watcher.told().rows(), &recording.events());
    watcher.told().check_lives();
    entries(house.service.dir())
}

/// Waits until this run of the service is at work, and for this long then.
async fn at_work_for(house: &House, working: Duration) {
    wait_until("a message to be applied", async || {
        house.metric("pulseward_inputs_total{kind=\"publish\"}").await > 0.0
    })
    .await;
    tokio::time::sleep(working).await;
}

/// Watches this run of the service; never ends before it.
async fn watch(house: &House, watcher: &Watcher) {
    let ended = watcher.stream(house.grpc_url().await).await;
    panic!("the stream ended before the service: {ended}");
}

/// The same replay, undisturbed; its journal in the end.
async fn run(recording: &Recording) -> Vec<Arc<Entry>> {
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    entries(house.service.dir())
}

/// A prefix without a hole.
fn check_positions(entries: &[Arc<Entry>]) {
    let found: Vec<_> = entries.iter().map(|entry| entry.position.0).collect();
    assert_same(&found, &(1..=entries.len() as u64).collect::<Vec<_>>());
}

/// How many messages each run of the service has journaled.
fn messages_of_runs(entries: &[Arc<Entry>]) -> Vec<usize> {
    let mut runs = Vec::new();
    for entry in entries {
        match &entry.input.event {
            Event::Started { .. } => runs.push(0),
            Event::Publish(_) => *runs.last_mut().expect("a run begins with its start") += 1,
            _ => {}
        }
    }
    runs
}

/// The inputs, given to a fresh engine, lead to the outputs that stand beside them, byte for byte.
fn check_replay(entries: &[Arc<Entry>]) {
    let mut state = State::default();
    for Entry { position, input, outputs } in entries.iter().map(|entry| &**entry) {
        let mut again = Vec::new();
        engine::apply(&mut state, input, &mut again);
        let (stands, comes) =
            (entry::encode(input, outputs, Vec::new()), entry::encode(input, &again, Vec::new()));
        assert!(stands == comes, "entry {position}: {outputs:?} stands there, {again:?} came");
    }
}

/// The admitted readings in order, as text; whatever is not about receipt.
fn readings(entries: &[Arc<Entry>]) -> Vec<String> {
    let told = |output: &Output| match output {
        Output::Reading(reading) => Some(format!("{reading:?}")),
        _ => None,
    };
    outputs(entries, told)
}

/// The alert events in order, as text; whatever is not about receipt.
fn alert_events(entries: &[Arc<Entry>]) -> Vec<String> {
    let told = |output: &Output| match output {
        Output::Alert(event) => {
            let AlertEvent { phase, trigger, priority_before, alert, .. } = &**event;
            let (id, revision, onset, ended_at) =
                (alert.id, alert.revision, alert.onset, alert.ended_at);
            Some(format!(
                "{id} {revision} {phase:?} {onset} {ended_at:?} {trigger:?} {priority_before:?} \
                 {:?} {:?} {:?} {}",
                alert.condition, alert.signal, alert.limit, alert.priority as u8
            ))
        }
        _ => None,
    };
    outputs(entries, told)
}

fn outputs(entries: &[Arc<Entry>], told: impl Fn(&Output) -> Option<String>) -> Vec<String> {
    entries.iter().flat_map(|entry| &entry.outputs).filter_map(told).collect()
}
