//! Failure drills: a simulated fleet measures, something fails, and in the end the oracle says whether
//! the service has stored and raised what it had to, and nothing else.
//!
//! Each drill is a test by itself. `tests/drills/run NAME` runs one at its full size, over and over if
//! asked; in the suite they are small. What a drill does is in its function; how it is judged is
//! `pulseward-sim verify`, and nothing else.
//!
//! Nothing waits here for a condition by sleeping: a drill follows the fleet's time, which is real.

mod clock;
mod drill;
#[expect(dead_code, reason = "drills use a part of what all tests stand on")]
#[path = "../integration"]
mod integration {
    pub(crate) mod support;
}
mod planted;
mod watchers;

use std::time::Duration;

use integration::support;

use crate::clock::Clock;
use crate::drill::{Drill, Plan, Store, full_size};
use crate::support::small_disk::SmallDisk;
use crate::watchers::Sleepers;

/// At full size.
const KILLS: u32 = 20;
const KILLS_SMALL: u32 = 3;
/// Far less than what makes a reading late, or refused as one of the future.
const STEP: Duration = Duration::from_secs(12);
/// Watchers that never read, beside those of the fleet.
const SLEEPERS: usize = 20;
/// A bad radio link.
const SLOW: Duration = Duration::from_millis(200);
/// The journal keeps 256 MiB free: 64 are left for entries.
const DISK_MEBIBYTES: u32 = 320;

/// What a fleet of the suite, or one of full size, is asked for.
fn sized<T>(small: T, full: T) -> T {
    if full_size() { full } else { small }
}

/// Devices with a few of all faults of their own.
const FAULTS: &str = "duplicates,recuts,reordering,backfill,restarts,garbage,swaps,strangers";

async fn kills(store: Store) {
    let plan = Plan { seconds: sized(14, 120), store, faults: FAULTS, ..Plan::named("kill") };
    let mut drill = Drill::begin(plan).await;
    let kills = sized(KILLS_SMALL, KILLS);
    for kill in 1..=kills {
        drill.at(f64::from(kill) / f64::from(kills + 1)).await;
        drill.mark(&format!("kill -9, {kill} of {kills}"));
        drill.house.service.restart().await;
    }
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_on_postgres() {
    kills(Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_on_sqlite() {
    kills(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_away() {
    let plan =
        Plan { seconds: sized(12, 150), store: Store::Private, ..Plan::named("postgres-away") };
    let mut drill = Drill::begin(plan).await;
    drill.at(0.2).await;
    drill.mark("Postgres is stopped");
    drill.server().stop();
    drill.at(sized(0.5, 0.6)).await;
    drill.server().restart();
    drill.mark("Postgres is back");
    drill.at(0.8).await;
    drill.mark("Postgres is killed");
    drill.server().kill();
    drill.server().restart();
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_restart() {
    let plan = Plan { seconds: sized(12, 90), ..Plan::named("broker-restart") };
    let mut drill = Drill::begin(plan).await;
    for share in [0.25, 0.5, 0.75] {
        drill.at(share).await;
        drill.mark("the broker is stopped");
        drill.house.broker.stop();
        drill.at(share + 0.1).await;
        drill.house.broker.restart();
        drill.mark("the broker is back");
    }
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network() {
    let plan = Plan { seconds: sized(16, 120), faults: "storms", ..Plan::named("network") };
    let drill = Drill::begin(plan).await;
    for (share, network, name) in
        [(0.1, &drill.inner, "service and broker"), (0.5, &drill.outer, "gateways and broker")]
    {
        drill.at(share).await;
        drill.mark(&format!("the network between {name} is cut"));
        network.cut().await;
        drill.at(share + 0.1).await;
        network.heal();
        drill.mark("it is healed");
        drill.at(share + 0.15).await;
        drill.mark(&format!("the network between {name} is slow"));
        network.slow_down(SLOW);
        drill.at(share + 0.3).await;
        network.heal();
        drill.mark("it is healed");
    }
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk() {
    let Some(mut disk) = SmallDisk::mount(DISK_MEBIBYTES) else { return };
    let journal = disk.mount_point().join("journal");
    let directory = journal.to_str().expect("a plain name").to_owned();
    let plan = Plan {
        seconds: sized(14, 90),
        environment: vec![("PULSEWARD_JOURNAL__DIR", directory)],
        under: disk.enter(),
        ..Plan::named("full-disk")
    };
    let mut drill = Drill::begin(plan).await;
    drill.at(0.2).await;
    drill.mark("the disk is nearly full");
    disk.fill(100);
    drill.at(0.4).await;
    disk.clear();
    drill.mark("there is room again");
    drill.at(0.6).await;
    drill.mark("the disk is full");
    disk.fill_up();
    // It ends itself once it must write, or goes on waiting for room.
    drill.at(0.75).await;
    disk.clear();
    drill.house.service.restart().await;
    drill.mark("there is room again");
    drill.end().await;
    assert!(disk.is_there(), "the disk was there all along");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_step() {
    let clock = Clock::right();
    let plan = Plan {
        seconds: sized(16, 120),
        clocks_apart: STEP,
        environment: clock.environment().to_vec(),
        ..Plan::named("clock-step")
    };
    let drill = Drill::begin(plan).await;
    drill.at(0.2).await;
    drill.mark("the service's clock steps ahead");
    clock.ahead(STEP);
    drill.at(0.4).await;
    drill.mark("the service's clock steps back");
    clock.ahead(Duration::ZERO);
    drill.at(0.6).await;
    drill.mark("the service's clock steps behind");
    clock.behind(STEP);
    drill.at(0.8).await;
    drill.mark("the service's clock is right");
    clock.ahead(Duration::ZERO);
    drill.end().await;
}

/// All that a hundred connections have kept comes at once, a hundred times what usually comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn burst() {
    let plan = Plan { seconds: sized(14, 110), connections: 100, ..Plan::named("burst") };
    let drill = Drill::begin(plan).await;
    drill.at(0.1).await;
    drill.mark("gateways keep what they measure");
    drill.outer.cut().await;
    drill.at(0.8).await;
    drill.mark("and send it at once");
    drill.outer.heal();
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleeping_watchers() {
    let plan = Plan { seconds: sized(12, 120), ..Plan::named("sleeping-watchers") };
    let drill = Drill::begin(plan).await;
    let sleepers = Sleepers::open(&drill.grpc, SLEEPERS).await;
    drill.mark("watchers that never read have opened their streams");
    drill.end_beside(sleepers).await;
}

/// Longer than the service's own clocks stand still: it is back in the middle of a backlog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_outage() {
    let plan = Plan { seconds: sized(16, 780), ..Plan::named("long-outage") };
    let mut drill = Drill::begin(plan).await;
    drill.at(0.1).await;
    drill.mark("the service is down");
    assert!(drill.house.service.terminate().success());
    drill.at(sized(0.7, 0.1 + 600.0 / 780.0)).await;
    drill.house.service.restart().await;
    drill.mark("the service is back");
    drill.end().await;
}

/// All but swaps: when a device was replaced can't be told by a clock that is wrong.
const ALL_FAULTS: &str = "duplicates,recuts,reordering,backfill,skew,jumps,restarts,garbage,storms,\
                          silence,strangers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once() {
    let clock = Clock::right();
    let plan = Plan {
        seconds: sized(20, 240),
        faults: ALL_FAULTS,
        store: Store::Private,
        clocks_apart: STEP,
        environment: clock.environment().to_vec(),
        ..Plan::named("all-at-once")
    };
    let mut drill = Drill::begin(plan).await;
    let sleepers = Sleepers::open(&drill.grpc, SLEEPERS).await;
    drill.at(0.1).await;
    drill.mark("Postgres is killed, the service's clock steps ahead");
    drill.server().kill();
    clock.ahead(STEP);
    drill.at(0.2).await;
    drill.mark("kill -9, and the network is slow");
    drill.inner.slow_down(SLOW);
    drill.house.service.restart().await;
    drill.at(0.3).await;
    drill.mark("the broker is stopped, Postgres is back");
    drill.house.broker.stop();
    drill.server().restart();
    drill.at(0.4).await;
    drill.house.broker.restart();
    drill.inner.cut().await;
    drill.mark("the broker is back, and the service cut off from it");
    drill.at(0.5).await;
    drill.inner.heal();
    drill.outer.cut().await;
    drill.mark("gateways are cut off");
    drill.at(0.6).await;
    drill.outer.heal();
    clock.ahead(Duration::ZERO);
    drill.mark("the networks are healed, the clock is right, kill -9");
    drill.house.service.restart().await;
    drill.end_beside(sleepers).await;
}
