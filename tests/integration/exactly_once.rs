//! Exactly once, the whole way: `kill -9` of the service and of Postgres at random moments while
//! 200,000 readings flow, and in the end every one of them stands in the store once, by count and
//! by checksum.
//!
//! The moments come from a seed, which a failure shows; `PULSEWARD_TEST_SEED` sets another. The
//! publishers go on through the broker all the while. What was sent is known from the recording
//! alone; its checksum is computed here, that of the rows by Postgres.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::support::house::House;
use crate::support::postgres::{Database, PrivateServer};
use crate::support::publishing::Publishing;
use crate::support::random::Random;
use crate::support::recording::{ReadingRow, Recording};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

const READINGS_MIN: usize = 200_000;
const DEVICES: usize = 16;
const SECONDS: usize = 59 * 60;
/// In the middle of work, of the service, of Postgres, or of both.
const KILLS: usize = 10;
/// The publishers never rest before the last kill, or a kill could find everybody idle.
const PAUSE: Duration = Duration::from_micros(300);
/// The latest moment of a kill in milliseconds, counted from when the service is at work.
const WORKING_MS_MAX: u64 = 800;
/// How long Postgres is gone at most.
const GONE_MS_MAX: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_service_and_postgres_lose_and_double_none_of_200_000_readings() {
    let given = std::env::var("PULSEWARD_TEST_SEED").ok();
    let seed = given.map_or(5, |given| given.parse().expect("a seed is a number"));
    eprintln!("PULSEWARD_TEST_SEED={seed}");
    let recording = Recording::new(seed, DEVICES, SECONDS);
    let sent = recording.readings();
    assert!(sent.len() >= READINGS_MIN, "{} readings", sent.len());

    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let mut house = House::start(Sql::Postgres(database)).await;
    house.enroll(&recording).await;
    let url = house.broker.url();
    let mut publishing = Publishing::start_paced(&url, recording.messages(), PAUSE);
    publishing.allow(usize::MAX);
    let mut random = Random::new(seed);
    // Some messages are left for after each kill, also for after the last.
    let share = |kill| recording.len() * kill / (KILLS + 1);
    for kill in 1..=KILLS {
        publishing.acknowledged(share(kill)).await;
        until_at_work(&house).await;
        pause(&mut random, WORKING_MS_MAX).await;
        let whom = Whom::any(&mut random);
        let stored = house.metric("pulseward_store_readings_total").await;
        eprintln!("kill {kill}: {whom:?}, after {stored} readings stored in this run");
        whom.kill(&mut house, &mut server, &mut random).await;
    }
    house.service.ready().await;
    publishing.finish().await;
    // In steps, each of which may take its time on a machine that is busy.
    for share in 1..=4 {
        house.stored(sent.len() * share / 4).await;
    }
    assert!(house.service.terminate().success());

    let stored = checksum_of_rows(&house.sql).await;
    eprintln!("{} readings sent, {} rows stored, checksum {:x}", sent.len(), stored.0, stored.1);
    assert_eq!(stored, checksum(&sent));
    assert_eq!(house.sql.number("SELECT count(*) FROM refused_rows").await, 0);
}

/// Whom a kill strikes.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Service,
    Postgres,
    Both,
}

impl Whom {
    fn any(random: &mut Random) -> Self {
        match random.between(0, 8) {
            0..=2 => Self::Service,
            3..=6 => Self::Postgres,
            _ => Self::Both,
        }
    }

    /// Ends it as a crash does, and starts it again after a while.
    async fn kill(self, house: &mut House, server: &mut PrivateServer, random: &mut Random) {
        if !matches!(self, Self::Service) {
            server.kill();
        }
        if !matches!(self, Self::Postgres) {
            house.service.relaunch();
        }
        if !matches!(self, Self::Service) {
            pause(random, GONE_MS_MAX).await;
            server.restart();
        }
    }
}

async fn pause(random: &mut Random, milliseconds_max: u64) {
    tokio::time::sleep(Duration::from_millis(random.next() % milliseconds_max)).await;
}

/// Waits until this run of the service has written something to the store.
async fn until_at_work(house: &House) {
    wait_until("readings to be stored", async || {
        house.metric("pulseward_store_readings_total").await > 0.0
    })
    .await;
}

/// The number of readings, and the sum of their digests, which knows no order and misses neither
/// one that is lost nor one that is there twice.
fn checksum(readings: &[ReadingRow]) -> (usize, u128) {
    let digests = readings.iter().map(|row| {
        let ReadingRow { patient, device, vital, measured_at, ten_thousandths } = row;
        let text = format!("{patient} {device} {vital} {measured_at} {ten_thousandths}");
        let digest = Sha256::digest(text.as_bytes());
        digest[..7].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    });
    (readings.len(), digests.sum())
}

async fn checksum_of_rows(sql: &Sql) -> (usize, u128) {
    let text = format!(
        "p.patient_id || ' ' || d.device_id || ' ' || v.name || ' ' || {} || ' ' || {}",
        sql.micros("r.measured_at"),
        "round(r.value * 10000)::bigint",
    );
    let digest = format!("substr(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 1, 14)");
    let rows = sql
        .rows(&format!(
            "SELECT count(*), sum(('x' || {digest})::bit(56)::bigint) FROM readings r
             JOIN vitals v USING (vital) JOIN patients p USING (patient_key)
             JOIN devices d USING (device_key)"
        ))
        .await;
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{rows:?}"));
    (usize::try_from(number(&rows[0][0])).expect("few"), number(&rows[0][1]))
}
