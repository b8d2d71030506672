//! How much is taken in for good: readings a second, beside a subscriber that only acknowledges;
//! how far the database is behind; and what it costs the service.
//!
//! A round floods the consumer with messages: the publishers' windows are kept full, and the clock
//! stops when the *consumer* has acknowledged the last one, not when the broker has. Rounds of the
//! reference and of the service take turns; after each of the service it is waited until its rows
//! are in the database, so that the next round does not pay for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::enroll;
use super::http::{self, Metrics};
use super::listener::Listener;
use super::load::Load;
use super::progress::Steps;
use super::report::{Row, Target};
use super::servers::{House, Options, Postgres, Programs};
use super::traffic::{Devices, READINGS, To, WARD};
use crate::clock;
use crate::publish::Message;
use crate::record::RunClock;

const PART: &str = "ingest";
/// What the rate should be beside that of a subscriber that only acknowledges.
const RATE_RATIO_MIN: f64 = 0.8;
/// How often the service is asked how far it is: a hundredth of a short round, and a percent of its
/// time.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// Nothing moves for so long: it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// Between two instants of a wearable.
const SPACING: SignedDuration = SignedDuration::from_secs(1);
/// Threads that did less are not shown.
const BUSY_MIN: Duration = Duration::from_millis(50);
/// What one message covers: its five instants.
const COVERS: SignedDuration = SignedDuration::from_secs(5);

/// The service's own counts.
pub(super) const ACKNOWLEDGED: &str = "pulseward_mqtt_acknowledged_total";
const ADMITTED: &str = "pulseward_readings_admitted_total";
const STORED: &str = "pulseward_store_readings_total";

/// How large the part is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Wearables.
    pub(super) devices: usize,
    /// Messages of a round.
    pub(super) messages: u64,
    /// Rounds of each.
    pub(super) rounds: usize,
}

impl Size {
    /// Steps to be shown.
    pub(super) const fn steps(&self) -> u64 {
        self.rounds as u64 * 2
    }
}

/// A ward that sends as fast as it is taken, from a past that is long enough for all of it.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    devices: Devices,
    began_at: Timestamp,
    sent: u64,
}

/// What a round of the service was.
#[derive(Clone, Debug, Default)]
struct Round {
    took_s: f64,
    /// Rows that reached the database meanwhile, and how long it took for the others.
    stored: u64,
    behind: u64,
    behind_s: f64,
    cpu: Duration,
    rss_bytes: u64,
    peak_rss_bytes: u64,
    threads: Vec<(String, Duration)>,
}

impl Flood {
    /// A ward whose measurements will reach the present after so many messages.
    pub(super) fn new(to: To, devices: usize, messages: u64) -> Self {
        let turns = i32::try_from(messages.div_ceil(devices as u64) + 1).unwrap_or(i32::MAX);
        let now = clock::now();
        let began_at = now.checked_sub(COVERS * turns).unwrap_or(Timestamp::MIN);
        Self { devices: Devices::new(to, WARD, devices, began_at), began_at, sent: 0 }
    }

    /// The next messages, made as they are asked for.
    pub(super) fn messages(&mut self, count: u64) -> impl Iterator<Item = (usize, Message)> {
        (0..count).map(|_| self.next_message())
    }

    fn next_message(&mut self) -> (usize, Message) {
        let count = self.devices.count() as u64;
        let device = usize::try_from(self.sent % count).expect("below the number of devices");
        let turn = i32::try_from(self.sent / count + 1).unwrap_or(i32::MAX);
        let until = self.began_at.checked_add(COVERS * turn).unwrap_or(Timestamp::MAX);
        self.sent += 1;
        (device, self.devices.vitals(device, until, SPACING, clock::now()))
    }
}

/// Measures it.
pub(super) async fn run(
    size: Size,
    programs: &Programs,
    postgres: &Postgres,
    dir: &Path,
    steps: &mut Steps,
) -> Result<Vec<Row>> {
    let house = House::open(PART, dir, programs, postgres, Options::default()).await?;
    enroll::ward(&house.service, size.devices).await?;
    let total = size.messages * size.rounds as u64;
    let mut to_reference = Flood::new(To::Reference, size.devices, total);
    let mut to_service = Flood::new(To::Service, size.devices, total);
    let (mut references, mut rounds) = (Vec::new(), Vec::new());
    for round in 1..=size.rounds {
        steps.begin(&format!("ingest, round {round}: a subscriber that only acknowledges"));
        references.push(reference_round(&house, &mut to_reference, size.messages).await?);
        steps.begin(&format!("ingest, round {round}: the service"));
        let found = service_round(&house, &mut to_service, size.messages).await?;
        let readings = readings(size.messages);
        let (rate, bare) = (readings / found.took_s, readings / references[round - 1]);
        steps.say(&format!("{rate:.0} readings/s; subscriber {bare:.0} readings/s"));
        rounds.push(found);
    }
    Ok(rows(size, &references, &rounds))
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 readings")]
fn readings(messages: u64) -> f64 {
    (messages * u64::from(READINGS)) as f64
}

/// Seconds until a subscriber has acknowledged them all.
async fn reference_round(house: &House, flood: &mut Flood, messages: u64) -> Result<f64> {
    let broker = house.broker.broker();
    let listener = Listener::start(&broker, RunClock::start()).await?;
    let load = Load::connect(&broker);
    let began = Instant::now();
    load.flood(flood.messages(messages), || listener.messages()).await?;
    super::until("the last message", STUCK_AFTER, || listener.messages() >= messages).await?;
    let took = began.elapsed();
    load.finish().await?;
    listener.finish().await?;
    Ok(took.as_secs_f64())
}

async fn service_round(house: &House, flood: &mut Flood, messages: u64) -> Result<Round> {
    let service = &house.service;
    let (before, used_before) = (service.metrics().await?, service.usage()?);
    let follower = Follower::start(service.http(), before.count(ACKNOWLEDGED));
    let began = Instant::now();
    follower.flood(house, flood, messages).await?;
    let took_s = began.elapsed().as_secs_f64();
    let at_end = service.metrics().await?;
    let used_at_end = service.usage()?;
    let stored = |metrics: &Metrics| metrics.count(STORED) - before.count(STORED);
    let behind = messages * u64::from(READINGS) - stored(&at_end);
    let began = Instant::now();
    drained(service.http(), before.count(STORED) + messages * u64::from(READINGS)).await?;
    let (after, used) = (service.metrics().await?, service.usage()?);
    let admitted = after.count(ADMITTED) - before.count(ADMITTED);
    ensure!(
        admitted == messages * u64::from(READINGS),
        "{admitted} readings admitted of what was sent"
    );
    Ok(Round {
        took_s,
        stored: stored(&at_end),
        behind,
        behind_s: began.elapsed().as_secs_f64(),
        cpu: used.cpu_since(&used_before),
        rss_bytes: used_before.rss_bytes,
        peak_rss_bytes: used.peak_rss_bytes,
        threads: used_at_end.threads_since(&used_before),
    })
}

/// Waits until so many rows are in the database.
pub(super) async fn drained(http: SocketAddr, rows: u64) -> Result<()> {
    let (mut seen, mut moved_at) = (0, Instant::now());
    loop {
        let stored = http::metrics(http).await?.count(STORED);
        if stored >= rows {
            return Ok(());
        }
        if stored != seen {
            (seen, moved_at) = (stored, Instant::now());
        }
        ensure!(moved_at.elapsed() < STUCK_AFTER, "the store is stuck at {stored} of {rows} rows");
        sleep(ASK_EVERY).await;
    }
}

/// Asks the service again and again how much it has acknowledged. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    acknowledged: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Follower {
    /// Counts what is acknowledged beyond `before`.
    pub(super) fn start(http: SocketAddr, before: u64) -> Self {
        let (acknowledged, is_over) = <(Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let (count, over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
        let task = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let now = http::metrics(http).await?.count(ACKNOWLEDGED);
                count.store(now.saturating_sub(before), Ordering::Relaxed);
                sleep(ASK_EVERY).await;
            }
            Ok(())
        });
        Self { acknowledged, is_over, task }
    }

    /// Sends so many messages and returns when the service has acknowledged the last. Not cancel
    /// safe.
    pub(super) async fn flood(self, house: &House, flood: &mut Flood, messages: u64) -> Result<()> {
        let load = Load::connect(&house.broker.broker());
        let acknowledged = || self.acknowledged.load(Ordering::Relaxed);
        load.flood(flood.messages(messages), acknowledged).await?;
        super::until("the service's last acknowledgement", STUCK_AFTER, || {
            acknowledged() >= messages || self.task.is_finished()
        })
        .await?;
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.context("asking for metrics panicked")??;
        load.finish().await
    }
}

fn rows(size: Size, references: &[f64], rounds: &[Round]) -> Vec<Row> {
    let readings = readings(size.messages);
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    let rates = |count: f64| {
        let reference: Vec<f64> = references.iter().map(|took_s| count / took_s).collect();
        (of(&|round| count / round.took_s), reference)
    };
    let by_reading = rates(readings);
    let by_message = rates(readings / f64::from(READINGS));
    let cpu = of(&|round| round.cpu.as_secs_f64() * 1e6 / readings);
    let grown = of(&|round| mebibytes(round.peak_rss_bytes.saturating_sub(round.rss_bytes)));
    let mut rows = vec![
        Row::of(PART, "readings taken in", "/s", &by_reading.0)
            .beside(&by_reading.1)
            .should_be(Target::RatioAtLeast(RATE_RATIO_MIN)),
        Row::of(PART, "messages taken in", "/s", &by_message.0).beside(&by_message.1),
        Row::of("store", "rows stored meanwhile", "/s", &of(&rows_per_second)),
        Row::of("store", "rows behind at the end", "", &of(&behind)),
        Row::of("store", "until they are stored", "s", &of(&|round| round.behind_s)),
        Row::of("cost", "processor, a million readings", "s", &cpu),
        Row::of("cost", "memory at most", "MiB", &of(&|it| mebibytes(it.peak_rss_bytes))),
        Row::of("cost", "memory more than before", "MiB", &grown),
    ];
    rows.extend(threads(rounds, readings / 1e6));
    rows
}

fn rows_per_second(round: &Round) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 rows")]
    let stored = round.stored as f64;
    stored / round.took_s
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 rows")]
fn behind(round: &Round) -> f64 {
    round.behind as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    (bytes >> 10) as f64 / 1024.0
}

/// Threads that took part, while readings were taken in.
fn threads(rounds: &[Round], millions: f64) -> Vec<Row> {
    let Some(last) = rounds.last() else { return Vec::new() };
    let busy = last.threads.iter().filter(|(_, cpu)| *cpu >= BUSY_MIN);
    busy.map(|(name, cpu)| {
        let value = cpu.as_secs_f64() / millions;
        Row::of("cost", format!("of it, thread {name}"), "s", &[value])
    })
    .collect()
}
