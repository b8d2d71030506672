//! From publish to alert: how long after a reading was due its alert is on a clinician's stream,
//! beside the bare way through the same broker and one fsync of the same disk.
//!
//! A round of the reference publishes a ward's load and the probes to a subscriber that only
//! acknowledges, while the service idles, and measures the disk's fsync meanwhile. A round of the
//! service publishes the same to the service, with a watcher on its alert stream. They take turns.
//! Latencies count from when a message was due by an open-loop schedule.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use super::distribution::Latencies;
use super::enroll;
use super::fsync::Fsync;
use super::listener::Listener;
use super::load::{Due, Load};
use super::progress::Steps;
use super::report::{Row, Target};
use super::servers::{House, Options, Postgres, Programs};
use super::traffic::{Devices, PROBE_RULE, PROBES, READINGS, To, WARD};
use crate::clock;
use crate::record::RunClock;
use crate::watch::{self, Raised, Seen};

const PART: &str = "latency";
/// What p99 may be beside the bare loop and one fsync.
const P99_RATIO_MAX: f64 = 3.0;
/// Probes: enough that each rests for a second between two messages.
const PROBE_DEVICES: usize = 100;
/// Messages of probes a second, every second of which raises: thousands of alerts a minute, one in
/// a hundred of the messages at the highest load.
const PROBES_PER_SECOND: u64 = 100;
const PROBE_EVERY_MICROS: u64 = 1_000_000 / PROBES_PER_SECOND;
/// How long an alert may take before it counts as lost.
const ALERT_PATIENCE: Duration = Duration::from_secs(30);

/// How large the part is.
#[derive(Clone, Debug)]
pub(super) struct Size {
    /// Wearables that make up the load.
    pub(super) devices: usize,
    /// Loads, readings a second.
    pub(super) rates: Vec<u64>,
    /// Of each load.
    pub(super) rounds: usize,
    /// Seconds of a round before it is measured.
    pub(super) warm_up_s: u64,
    /// Seconds of a round.
    pub(super) measured_s: u64,
}

impl Size {
    /// Steps to be shown.
    pub(super) fn steps(&self) -> u64 {
        (self.rates.len() * self.rounds * 2) as u64
    }

    fn messages_of_probes(&self) -> u64 {
        let messages = PROBES_PER_SECOND * (self.warm_up_s + self.measured_s);
        // Each probe breaches and clears as often, so that no alert stays open for the next round.
        let turn = 2 * PROBE_DEVICES as u64;
        messages.div_ceil(turn) * turn
    }
}

/// What is measured, and in which house.
#[derive(Debug)]
struct Bench<'a> {
    house: House,
    dir: &'a Path,
    size: &'a Size,
    /// The service's ward and probes, and the reference's.
    service: Senders,
    reference: Senders,
}

/// Those who publish to one listener, and how far their numbers have come.
#[derive(Clone, Debug)]
struct Senders {
    ward: Devices,
    probes: Devices,
}

/// The rounds of one load.
#[derive(Debug, Default)]
struct Rounds {
    service: Vec<Latencies>,
    reference: Vec<Latencies>,
    bare: Vec<Latencies>,
    fsync: Vec<Latencies>,
}

/// Measures it.
pub(super) async fn run(
    size: &Size,
    programs: &Programs,
    postgres: &Postgres,
    dir: &Path,
    steps: &mut Steps,
) -> Result<Vec<Row>> {
    let house = House::open(PART, dir, programs, postgres, Options::default()).await?;
    enroll::ward(&house.service, size.devices).await?;
    enroll::probes(&house.service, PROBE_DEVICES).await?;
    let senders = |to| Senders {
        ward: Devices::new(to, WARD, size.devices, clock::now()),
        probes: Devices::new(to, PROBES, PROBE_DEVICES, clock::now()),
    };
    let (service, reference) = (senders(To::Service), senders(To::Reference));
    let mut bench = Bench { house, dir, size, service, reference };
    let mut rows = Vec::new();
    for &rate in &size.rates {
        rows.extend(bench.at(rate, steps).await?.rows(rate));
    }
    Ok(rows)
}

impl Bench<'_> {
    async fn at(&mut self, rate: u64, steps: &mut Steps) -> Result<Rounds> {
        let mut rounds = Rounds::default();
        for round in 1..=self.size.rounds {
            let what = format!("latency at {rate} readings/s, round {round}");
            steps.begin(&format!("{what}: bare loop and fsync"));
            let (bare, fsync) = self.reference_round(rate).await?;
            steps.begin(&format!("{what}: the service"));
            let service = self.service_round(rate).await?;
            let (p99, bare_p99) = (service.quantile_ms(0.99), bare.quantile_ms(0.99));
            let fsync_p99 = fsync.quantile_ms(0.99);
            steps.say(&format!(
                "p99 {p99:.2} ms; bare loop {bare_p99:.2} ms, fsync {fsync_p99:.2} ms"
            ));
            rounds.reference.push(bare.then(&fsync));
            rounds.service.push(service);
            rounds.bare.push(bare);
            rounds.fsync.push(fsync);
        }
        Ok(rounds)
    }

    /// How long probes take to a bare subscriber, and what an fsync takes meanwhile.
    async fn reference_round(&mut self, rate: u64) -> Result<(Latencies, Latencies)> {
        let broker = self.house.broker.broker();
        let clock = RunClock::start();
        let listener = Listener::start(&broker, clock).await?;
        let load = Load::connect(&broker);
        let fsync = Fsync::start(self.dir)?;
        let schedule = Schedule::new(self.size, rate, clock, self.reference.clone());
        let expected = schedule.messages();
        self.reference = load.schedule(clock, schedule).await?.senders;
        load.finish().await?;
        super::until("the last message", ALERT_PATIENCE, || listener.messages() >= expected)
            .await?;
        let (probes, fsync) = (listener.probes(), fsync.finish()?);
        listener.finish().await?;
        Ok((probes, fsync))
    }

    /// How long probes take to the alert stream.
    async fn service_round(&mut self, rate: u64) -> Result<Latencies> {
        let (watcher, mut seen) = watch::alerts(&self.house.service.url(), Some(PROBES))?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let watching = tokio::spawn(watcher.run(async { drop(stopped.await) }));
        ensure!(seen.until_live(ALERT_PATIENCE).await, "the alert stream does not come live");
        let clock = RunClock::start();
        let load = Load::connect(&self.house.broker.broker());
        let schedule = Schedule::new(self.size, rate, clock, self.service.clone());
        let expected = schedule.alerts();
        self.service = load.schedule(clock, schedule).await?.senders;
        load.finish().await?;
        seen.until(ALERT_PATIENCE, |seen| alerts(seen).count() >= expected).await;
        let seen = seen.now();
        drop(stop);
        watching.await.context("the watcher panicked")??;
        let found = alerts(&seen).count();
        ensure!(found == expected, "{found} alerts came of {expected} that were due");
        Ok(since_due(&seen, clock, self.size.warm_up_s))
    }
}

/// Alerts of this round: not those of a snapshot.
fn alerts(seen: &Seen) -> impl Iterator<Item = (&Raised, Timestamp)> {
    let of_probes = seen.raised.iter().filter(|raised| raised.rule == PROBE_RULE);
    of_probes.filter_map(|raised| Some((raised, raised.decided_by?)))
}

/// A probe measures when it is due, so that what decided an alert tells when that was.
fn since_due(seen: &Seen, clock: RunClock, warm_up_s: u64) -> Latencies {
    let mut latencies = Latencies::default();
    for (raised, due) in alerts(seen) {
        let due = due.duration_since(clock.began_at()).as_micros();
        let due = u64::try_from(due).unwrap_or(0);
        if due >= warm_up_s * 1_000_000 {
            latencies.record_micros(clock.micros_of(raised.received).saturating_sub(due));
        }
    }
    latencies
}

impl Rounds {
    fn rows(&self, rate: u64) -> Vec<Row> {
        let at = |share: f64, rounds: &[Latencies]| {
            rounds.iter().map(|round| round.quantile_ms(share)).collect::<Vec<_>>()
        };
        let row = |name: &str, service: &[f64], reference: &[f64]| {
            Row::of(PART, format!("{name} at {rate} readings/s"), "ms", service).beside(reference)
        };
        let plain = |name: &str, rounds: &[f64]| {
            Row::of(PART, format!("{name} at {rate} readings/s"), "ms", rounds)
        };
        let (service, reference) = (&self.service, &self.reference);
        vec![
            row("p50", &at(0.5, service), &at(0.5, reference)),
            row("p99", &at(0.99, service), &at(0.99, reference))
                .should_be(Target::RatioAtMost(P99_RATIO_MAX)),
            // A round has too few alerts for a thousandth of them: all rounds as one.
            row("p99.9", &[whole(service)], &[whole(reference)]),
            plain("bare loop p99", &at(0.99, &self.bare)),
            plain("fsync p50", &at(0.5, &self.fsync)),
            plain("fsync p99", &at(0.99, &self.fsync)),
        ]
    }
}

/// The 99.9th percentile of all rounds together.
fn whole(rounds: &[Latencies]) -> f64 {
    let mut whole = Latencies::default();
    rounds.iter().for_each(|round| whole.add(round));
    whole.quantile_ms(0.999)
}

/// The messages of a round, in the order in which they are due.
#[derive(Debug)]
pub(super) struct Schedule {
    clock: RunClock,
    senders: Senders,
    /// Between two messages of the ward.
    interval_micros: u64,
    /// How many of each are to be sent, and were.
    ward: (u64, u64),
    probes: (u64, u64),
}

impl Schedule {
    fn new(size: &Size, rate: u64, clock: RunClock, senders: Senders) -> Self {
        let interval_micros = 1_000_000 * u64::from(READINGS) / rate;
        let probes = size.messages_of_probes();
        let ward = probes * PROBE_EVERY_MICROS / interval_micros;
        Self { clock, senders, interval_micros, ward: (ward, 0), probes: (probes, 0) }
    }

    fn messages(&self) -> u64 {
        self.ward.0 + self.probes.0
    }

    fn alerts(&self) -> usize {
        usize::try_from(self.probes.0 / 2).unwrap_or(usize::MAX)
    }

    /// When the next message of the ward is due; never after the last.
    fn ward_due(&self) -> u64 {
        let (total, sent) = self.ward;
        if sent < total { sent * self.interval_micros } else { u64::MAX }
    }

    /// When the next probe is due: at a moment of its slot that differs from one to the next, so
    /// that probes do not keep step with the load or with commits.
    fn probe_due(&self) -> u64 {
        let (total, sent) = self.probes;
        let within = sent.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if sent < total {
            sent * PROBE_EVERY_MICROS + within % PROBE_EVERY_MICROS
        } else {
            u64::MAX
        }
    }

    fn ward_message(&mut self) -> Due {
        let (micros, at) = (self.ward_due(), self.clock.wall(self.ward_due()));
        let count = self.senders.ward.count() as u64;
        let device = usize::try_from(self.ward.1 % count).expect("below the number of devices");
        // Five instants over the time since its last message.
        let spacing_micros = self.interval_micros * count / 5;
        let spacing = i64::try_from(spacing_micros).unwrap_or(i64::MAX);
        let spacing = SignedDuration::from_micros(spacing);
        let message = self.senders.ward.vitals(device, at, spacing, at);
        self.ward.1 += 1;
        Due { micros, device, message }
    }

    fn probe_message(&mut self) -> Due {
        let (micros, at) = (self.probe_due(), self.clock.wall(self.probe_due()));
        let number = usize::try_from(self.probes.1).expect("far below 2^32");
        let (turn, device) = (number / PROBE_DEVICES, number % PROBE_DEVICES);
        let message = self.senders.probes.probe(device, at, turn.is_multiple_of(2));
        self.probes.1 += 1;
        Due { micros, device, message }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        match (self.ward_due(), self.probe_due()) {
            (u64::MAX, u64::MAX) => None,
            (ward, probe) if probe < ward => Some(self.probe_message()),
            _ => Some(self.ward_message()),
        }
    }
}
