//! How much is taken in for good: readings a second, beside a subscriber that only acknowledges;
//! how far the database is behind; and what it costs the service.
//!
//! A round floods the consumer with messages: the publishers' windows are kept full, and the clock
//! stops when the *consumer* has acknowledged the last one, not when the broker has. Rounds of the
//! reference and of the service take turns; after each of the service it is waited until its rows
//! are in the database, so that the next round does not pay for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::enroll;
use super::http;
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
const ACKNOWLEDGED: &str = "pulseward_mqtt_acknowledged_total";
const ADMITTED: &str = "pulseward_readings_admitted_total";
const STORED: &str = "pulseward_store_readings_total";

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Five instants of four vitals: what gateways are asked to send.
    Batch,
    /// One reading: the most messages for the same readings.
    Single,
}

impl Shape {
    const ALL: [Self; 2] = [Self::Batch, Self::Single];

    /// Readings of a message.
    const fn readings(self) -> u32 {
        match self {
            Self::Batch => READINGS,
            Self::Single => 1,
        }
    }
}

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
        (self.rounds * 2 * Shape::ALL.len()) as u64
    }
}

/// A ward that sends as fast as it is taken, from a past that is long enough for all of it.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    shape: Shape,
    devices: Devices,
    began_at: Timestamp,
    sent: u64,
}

impl Flood {
    /// A ward whose measurements will reach the present after so many messages.
    pub(super) fn new(shape: Shape, to: To, devices: usize, messages: u64) -> Self {
        let turns = i32::try_from(messages.div_ceil(devices as u64) + 1).unwrap_or(i32::MAX);
        let now = clock::now();
        let began_at = now.checked_sub(COVERS * turns).unwrap_or(Timestamp::MIN);
        let devices = Devices::new(to, WARD, devices, began_at);
        Self { shape, devices, began_at, sent: 0 }
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
        let message = match self.shape {
            Shape::Batch => self.devices.vitals(device, until, SPACING, clock::now()),
            Shape::Single => self.devices.single(device, until, clock::now()),
        };
        (device, message)
    }
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

/// Measures it, for messages of each shape.
pub(super) async fn run(
    size: Size,
    programs: &Programs,
    postgres: &Postgres,
    dir: &Path,
    steps: &mut Steps,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for shape in Shape::ALL {
        let name = format!("{PART}_{}", shape.readings());
        let house = House::open(&name, dir, programs, postgres, Options::default()).await?;
        enroll::ward(&house.service, size.devices).await?;
        rows.extend(Bench { house, shape, size }.run(steps).await?);
    }
    Ok(rows)
}

/// What is measured, and in which house.
#[derive(Debug)]
struct Bench {
    house: House,
    shape: Shape,
    size: Size,
}

impl Bench {
    async fn run(self, steps: &mut Steps) -> Result<Vec<Row>> {
        let Size { devices, messages, rounds } = self.size;
        let flood = |to| Flood::new(self.shape, to, devices, messages * rounds as u64);
        let (mut to_reference, mut to_service) = (flood(To::Reference), flood(To::Service));
        let (mut references, mut found) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            let what = format!("ingest, {} a message, round {round}", self.shape.readings());
            steps.begin(&format!("{what}: a subscriber that only acknowledges"));
            let bare_s = reference_round(&self.house, &mut to_reference, messages).await?;
            steps.begin(&format!("{what}: the service"));
            let ours = self.service_round(&mut to_service).await?;
            let (rate, bare) = (self.readings() / ours.took_s, self.readings() / bare_s);
            steps.say(&format!("{rate:.0} readings/s; subscriber {bare:.0} readings/s"));
            references.push(bare_s);
            found.push(ours);
        }
        Ok(self.rows(&references, &found))
    }

    /// Readings of a round.
    const fn count(&self) -> u64 {
        self.size.messages * self.shape.readings() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 readings")]
    fn readings(&self) -> f64 {
        self.count() as f64
    }

    async fn service_round(&self, flood: &mut Flood) -> Result<Round> {
        let service = &self.house.service;
        let (before, used_before) = (service.metrics().await?, service.usage()?);
        let began = Instant::now();
        flood_service(&self.house, flood, self.size.messages).await?;
        let took_s = began.elapsed().as_secs_f64();
        let (at_end, used_at_end) = (service.metrics().await?, service.usage()?);
        let stored = at_end.count(STORED) - before.count(STORED);
        let began = Instant::now();
        drained(service.http(), before.count(STORED) + self.count()).await?;
        let (after, used) = (service.metrics().await?, service.usage()?);
        let admitted = after.count(ADMITTED) - before.count(ADMITTED);
        let expected = self.count();
        ensure!(admitted == expected, "{admitted} of {expected} readings were admitted");
        Ok(Round {
            took_s,
            stored,
            behind: expected - stored,
            behind_s: began.elapsed().as_secs_f64(),
            cpu: used.cpu_since(&used_before),
            rss_bytes: used_before.rss_bytes,
            peak_rss_bytes: used.peak_rss_bytes,
            threads: used_at_end.threads_since(&used_before),
        })
    }

    fn rows(&self, references: &[f64], rounds: &[Round]) -> Vec<Row> {
        let (readings, each) = (self.readings(), self.shape.readings());
        let row = |part: &'static str, name: &str, unit: &'static str, values: &[f64]| {
            Row::of(part, format!("{name}, {each} a message"), unit, values)
        };
        let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
        let rates = |count: f64| {
            let reference: Vec<f64> = references.iter().map(|took_s| count / took_s).collect();
            (of(&|round| count / round.took_s), reference)
        };
        let (by_reading, by_message) = (rates(readings), rates(readings / f64::from(each)));
        let cpu = of(&|round| round.cpu.as_secs_f64() * 1e6 / readings);
        let grown = grown(rounds) * 1e6 / readings;
        let mut rows = vec![
            row(PART, "readings taken in", "/s", &by_reading.0)
                .beside(&by_reading.1)
                .should_be(Target::RatioAtLeast(RATE_RATIO_MIN)),
            row(PART, "messages taken in", "/s", &by_message.0).beside(&by_message.1),
            row("store", "rows stored meanwhile", "/s", &of(&rows_per_second)),
            row("store", "rows behind at the end", "", &of(&behind)),
            row("store", "until they are stored", "s", &of(&|round| round.behind_s)),
            row("cost", "processor, a million readings", "s", &cpu),
            row("cost", "memory at most", "MiB", &of(&|it| mebibytes(it.peak_rss_bytes))),
            row("cost", "memory, each million readings", "MiB", &[grown]),
        ];
        let threads = threads(rounds, readings / 1e6);
        rows.extend(threads.map(|(name, cpu)| row("cost", &format!("of it, {name}"), "s", &[cpu])));
        rows
    }
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

/// Sends so many messages and returns when the service has acknowledged the last. Not cancel safe.
pub(super) async fn flood_service(house: &House, flood: &mut Flood, messages: u64) -> Result<()> {
    let http = house.service.http();
    let before = house.service.metrics().await?.count(ACKNOWLEDGED);
    let acknowledged = AtomicU64::new(0);
    let load = Load::connect(&house.broker.broker());
    let so_far = || acknowledged.load(Ordering::Relaxed);
    let flooding = async {
        load.flood(flood.messages(messages), so_far).await?;
        let what = "the service's last acknowledgement";
        super::until(what, STUCK_AFTER, || so_far() >= messages).await
    };
    tokio::select! {
        asked = ask(http, before, &acknowledged) => match asked? {},
        flooded = flooding => flooded?,
    }
    load.finish().await
}

/// Asks the service again and again how much it has acknowledged since `before`. Cancel safe.
async fn ask(http: SocketAddr, before: u64, acknowledged: &AtomicU64) -> Result<Infallible> {
    loop {
        let now = http::metrics(http).await?.count(ACKNOWLEDGED);
        acknowledged.store(now.saturating_sub(before), Ordering::Relaxed);
        sleep(ASK_EVERY).await;
    }
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

/// By how much memory has grown, over all rounds, for the readings of one.
fn grown(rounds: &[Round]) -> f64 {
    let (Some(first), Some(last)) = (rounds.first(), rounds.last()) else { return 0.0 };
    let bytes = last.peak_rss_bytes.saturating_sub(first.rss_bytes);
    mebibytes(bytes / rounds.len() as u64)
}

/// Threads that took part in the last round while readings were taken in, with the seconds of a
/// million.
fn threads(rounds: &[Round], millions: f64) -> impl Iterator<Item = (String, f64)> {
    let threads = rounds.last().into_iter().flat_map(|last| &last.threads);
    let busy = threads.filter(|(_, cpu)| *cpu >= BUSY_MIN);
    busy.map(move |(name, cpu)| (format!("thread {name}"), cpu.as_secs_f64() / millions))
}
