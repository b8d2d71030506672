//! Live vitals: one task that follows the journal and owns everybody who watches them.
//!
//! A watcher has a place for the newest reading of each vital of each patient that it watches, and
//! nothing else: what comes before the last was taken replaces it and is counted. So a watcher that
//! reads slowly, or asks for little, conflates more; it holds nobody up, is never waited for, and
//! takes a bounded part of the memory. The order is that of measured times: what came late never
//! takes the place of something newer.
//!
//! What is known when a watch begins is the engine's to tell: whoever watches asks it, and hands it
//! to [`VitalsWatch::begin_with`]. Nothing of it is kept here twice, and it outlives a restart.
//!
//! Promises: a watcher that was let in is offered every reading behind that moment which it may see,
//! and of each vital what it takes and what it is told was left out add up to what came in. A patient
//! who leaves what it may see is gone from its places in the same step. Readings of tests and
//! demonstrations are nobody's. This task knows nothing of gRPC, and decides nothing.

mod filter;
mod names;
mod slots;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::time::{Instant, MissedTickBehavior};

use self::filter::Coverage;
pub use self::filter::VitalsFilter;
pub use self::names::Names;
pub use self::slots::{LiveReading, Told};
use self::slots::{Offered, Slots};
use self::watch::Shared;
pub use self::watch::{VitalsEnded, VitalsWatch};
use super::{HEARTBEAT_EVERY, Heartbeat};
use crate::clock::Clock;
use crate::engine::output::{MonitoringChange, Output, Quality, Reading, RegistryChange};
use crate::journal::{self, Entry, Follower, Journal};
use crate::partition::Backlog;
use crate::position::Position;
use crate::telemetry::names as metric;
use crate::vitals::{PatientId, PatientKey, SiteId};

/// Watchers waiting to be let in.
const JOINS_MAX: usize = 64;
/// Entries that are offered to everybody between two looks at who else wants something: a heartbeat
/// is not late because much is measured.
const ENTRIES_AT_ONCE: usize = 16;
/// Places of all watchers together: at about 250 bytes each half a GiB.
const PLACES_IN_ALL_MAX: usize = 2_000_000;
/// A watcher that has taken nothing for this long, though there was something, is let go: its client
/// has been showing NOT LIVE for minutes.
pub const UNREAD_MAX: Duration = Duration::from_secs(5 * 60);

/// The task.
pub struct VitalsHub {
    follower: Follower,
    names: Names,
    watchers: Vec<Watcher>,
    joins: mpsc::Receiver<Join>,
    /// Whether messages come from the broker.
    ingest_connected: channel::Receiver<bool>,
    clock: Arc<dyn Clock>,
    /// How far behind the partition is.
    backlog: Arc<Backlog>,
    /// Entries that were read and not offered yet.
    unread: VecDeque<Arc<Entry>>,
}

/// Asks to be let in.
struct Join {
    filter: VitalsFilter,
    shared: Arc<Shared>,
    joined: oneshot::Sender<()>,
}

/// This task's side of a watcher.
struct Watcher {
    filter: VitalsFilter,
    /// What it covers of each site, by the number that the site has here.
    coverage: Vec<Coverage>,
    shared: Arc<Shared>,
}

/// The way in for watchers.
#[derive(Clone)]
pub struct VitalsHandle {
    joins: mpsc::Sender<Join>,
    /// How many places all watchers have.
    places: Arc<AtomicUsize>,
}

impl VitalsHub {
    /// A task that begins behind the entry at `position`, where everybody goes by these names.
    ///
    /// # Errors
    /// [`journal::Error`] if the journal can't be followed from there.
    pub fn new(
        journal: &Journal,
        position: Position,
        names: Names,
        ingest_connected: channel::Receiver<bool>,
        backlog: Arc<Backlog>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, VitalsHandle), journal::Error> {
        let follower = journal.follow(position)?;
        let (sender, joins) = mpsc::channel(JOINS_MAX);
        let handle = VitalsHandle { joins: sender, places: Arc::default() };
        let (watchers, unread) = (Vec::new(), VecDeque::new());
        let hub =
            Self { follower, names, watchers, joins, ingest_connected, clock, backlog, unread };
        Ok((hub, handle))
    }

    /// How far it has come, now and later.
    #[must_use]
    pub fn done(&self) -> journal::Progress {
        self.follower.done()
    }

    /// Runs until the journal ends; every watch ends then.
    ///
    /// # Errors
    /// [`journal::Error`] if the journal can't be read.
    pub async fn run(mut self) -> Result<(), journal::Error> {
        let result = self.follow_all().await;
        for watcher in &self.watchers {
            watcher.shared.end(VitalsEnded::Stopping);
        }
        result
    }

    async fn follow_all(&mut self) -> Result<(), journal::Error> {
        let mut heartbeat =
            tokio::time::interval_at(Instant::now() + HEARTBEAT_EVERY, HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_behind = !self.unread.is_empty();
            tokio::select! {
                biased;
                _ = heartbeat.tick() => self.beat(),
                Some(join) = self.joins.recv() => self.join(join),
                () = tokio::task::yield_now(), if is_behind => self.offer_some(),
                entries = self.follower.next(), if !is_behind => match entries? {
                    Some(entries) => self.unread.extend(entries),
                    None => return Ok(()),
                },
            }
        }
    }

    fn offer_some(&mut self) {
        let count = self.unread.len().min(ENTRIES_AT_ONCE);
        let entries: Vec<_> = self.unread.drain(..count).collect();
        let left_out: u64 = entries.iter().map(|entry| self.follow(entry)).sum();
        if left_out > 0 {
            counter!(metric::VITALS_CONFLATED_TOTAL).increment(left_out);
        }
    }

    /// Offers what an entry says; how many readings were left out for it.
    fn follow(&mut self, entry: &Entry) -> u64 {
        let (mut left_out, now) = (0, Instant::now());
        for output in &entry.outputs {
            match output {
                Output::Reading(reading) => left_out += self.offer(reading, entry, now),
                Output::Monitoring(change) => self.place(change),
                Output::Erased(erased) => self.forget(erased.tombstone.key),
                Output::Registry(change) => {
                    if let RegistryChange::Device(row) = &**change {
                        self.names.add_device(row.key, row.id.clone());
                    }
                }
                _ => {}
            }
        }
        left_out
    }

    fn offer(&mut self, reading: &Reading, entry: &Entry, now: Instant) -> u64 {
        // A device is tried out while a patient wears it: that is nothing of theirs.
        if self.watchers.is_empty() || reading.quality.has(Quality::TEST.with(Quality::DEMO)) {
            return 0;
        }
        let Some((patient, site)) = self.names.patient(reading.patient) else { return 0 };
        let mut left_out = 0;
        for watcher in &mut self.watchers {
            if !watcher.covers(&self.names, patient, site) || !watcher.wants(reading) {
                continue;
            }
            let offered = LiveReading {
                patient: patient.clone(),
                device: self.names.device(reading.device),
                reading: *reading,
                received_at: Some(entry.input.received_at),
            };
            left_out += u64::from(watcher.shared.offer(offered, now) == Offered::LeftOut);
        }
        left_out
    }

    /// A patient is new, or elsewhere, or watched otherwise than before.
    fn place(&mut self, change: &MonitoringChange) {
        let before = self.names.patient(change.patient_key).map(|(_, site)| site);
        let site = self.names.place_patient(change);
        if let Some(before) = before.filter(|before| *before != site) {
            self.leave(change.patient_key, &change.patient, before, Some(site));
        }
    }

    /// A patient was erased.
    fn forget(&mut self, key: PatientKey) {
        if let Some((patient, site)) = self.names.forget_patient(key) {
            self.leave(key, &patient, site, None);
        }
    }

    /// Tells those who covered a patient before, and do not any more.
    fn leave(&mut self, key: PatientKey, patient: &PatientId, before: usize, now: Option<usize>) {
        for watcher in &mut self.watchers {
            let is_left = watcher.covers(&self.names, patient, before)
                && !now.is_some_and(|site| watcher.covers(&self.names, patient, site));
            if is_left {
                watcher.shared.leave(key, patient);
            }
        }
    }

    fn join(&mut self, join: Join) {
        let Join { filter, shared, joined } = join;
        if joined.send(()).is_ok() {
            self.watchers.push(Watcher { filter, coverage: Vec::new(), shared });
            gauge!(metric::VITALS_WATCHERS).set(self.watchers.len() as f64);
        }
    }

    fn beat(&mut self) {
        let service_time = self.clock.now();
        let heartbeat = Heartbeat {
            last: super::view::end_of(self.follower.position()),
            service_time,
            ingest_connected: *self.ingest_connected.borrow(),
            engine_lag: self.backlog.age(service_time),
        };
        let now = Instant::now();
        self.watchers.retain(|watcher| watcher.shared.beat(heartbeat, now));
        gauge!(metric::VITALS_WATCHERS).set(self.watchers.len() as f64);
    }
}

impl Watcher {
    fn wants(&self, reading: &Reading) -> bool {
        self.filter.vitals.is_empty() || self.filter.vitals.contains(&reading.vital)
    }

    /// Whether a patient who is at the site of this number is the watcher's to see.
    fn covers(&mut self, names: &Names, patient: &PatientId, site: usize) -> bool {
        while self.coverage.len() <= site {
            let next: &SiteId = names.site(self.coverage.len());
            self.coverage.push(self.filter.coverage(next));
        }
        match self.coverage[site] {
            Coverage::Everybody => true,
            Coverage::Named => self.filter.patients.contains(patient),
            Coverage::Nobody => false,
        }
    }
}

impl VitalsHandle {
    /// A new watch: it is offered everything that comes in behind this call's return.
    ///
    /// Cancel safe: who does not wait is not let in.
    ///
    /// # Errors
    /// [`VitalsEnded::Stopping`] if the service is ending.
    pub async fn watch(&self, filter: VitalsFilter) -> Result<VitalsWatch, VitalsEnded> {
        let slots = Slots::new(filter.interval, Arc::clone(&self.places), PLACES_IN_ALL_MAX);
        let shared = Arc::new(Shared::new(slots));
        let watch = VitalsWatch::new(Arc::clone(&shared));
        let (joined, answer) = oneshot::channel();
        let join = Join { filter, shared, joined };
        self.joins.send(join).await.map_err(|_| VitalsEnded::Stopping)?;
        answer.await.map_err(|_| VitalsEnded::Stopping)?;
        Ok(watch)
    }
}
