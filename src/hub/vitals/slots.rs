//! The places of one watcher: of each vital of each patient the newest reading, until it is taken.
//!
//! Promises: two readings taken of one place are at least the asked interval apart; what waits
//! longest is taken first; what was replaced, or came too late, is counted and told with the next.
//! The work of an offer does not depend on how much waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::{UNREAD_MAX, VitalsEnded};
use crate::clock::Timestamp;
use crate::engine::output::Reading;
use crate::hub::Heartbeat;
use crate::telemetry::names;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, Value, Vital};

/// Places of one watcher: a ward of a thousand has some ten thousand.
const PLACES_MAX: usize = 100_000;

/// A reading, by its names.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveReading {
    /// Whose.
    pub patient: PatientId,
    /// What measured it.
    pub device: DeviceId,
    /// The reading.
    pub reading: Reading,
    /// When the service received it; `None` where that is not known any more.
    pub received_at: Option<Timestamp>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// The newest reading of a patient's vital.
    Reading {
        /// The reading.
        live: LiveReading,
        /// How many came in since the one before and were left out.
        conflated: u32,
    },
    /// A patient is no longer the watcher's to see.
    Left(PatientId),
    /// The service is alive.
    Heartbeat(Heartbeat),
}

/// What there is for a watcher now.
#[derive(Debug)]
pub(super) enum Next {
    /// This.
    Told(Box<Told>),
    /// Nothing, but something then unless it comes sooner.
    Wait(Option<Instant>),
    /// Nothing any more.
    Ended(VitalsEnded),
}

/// What became of a reading that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is to be taken, and nothing was left out for it.
    Held,
    /// It, or the one in whose place it is, was left out.
    LeftOut,
    /// It is nothing to this watcher.
    Ignored,
}

type Key = (PatientKey, Vital);

/// The places.
#[derive(Debug)]
pub(super) struct Slots {
    interval: Duration,
    slots: BTreeMap<Key, Slot>,
    /// The places from which something is to be taken, and from when on.
    due: BTreeSet<(Instant, Key)>,
    /// Who has left and is to be told of.
    left: VecDeque<PatientId>,
    /// Who has left while it is still being told what was known at the beginning: what was known of
    /// them comes too late. `None` once all of that was told.
    left_at_first: Option<BTreeSet<PatientKey>>,
    heartbeat: Option<Heartbeat>,
    /// When something was last taken.
    taken_at: Instant,
    ended: Option<VitalsEnded>,
    /// How many places all watchers have.
    in_all: Arc<AtomicUsize>,
    in_all_max: usize,
}

#[derive(Debug)]
struct Slot {
    /// When the newest reading was measured, by what, and what it says.
    newest: (Timestamp, DeviceKey, Value),
    /// Whether the newest is one that was known at the beginning: it may come a second time, from
    /// the journal.
    is_known: bool,
    /// The newest, until it is taken.
    waiting: Option<LiveReading>,
    /// How many were left out since one was taken.
    conflated: u32,
    /// When the next may be taken.
    open_at: Instant,
}

impl Slots {
    pub(super) fn new(interval: Duration, in_all: Arc<AtomicUsize>, in_all_max: usize) -> Self {
        Self {
            interval,
            slots: BTreeMap::new(),
            due: BTreeSet::new(),
            left: VecDeque::new(),
            left_at_first: Some(BTreeSet::new()),
            heartbeat: None,
            taken_at: Instant::now(),
            ended: None,
            in_all,
            in_all_max,
        }
    }

    /// Takes in a reading that has just come.
    pub(super) fn offer(&mut self, live: LiveReading, now: Instant) -> Offered {
        let key = (live.reading.patient, live.reading.vital);
        let Some(slot) = self.slots.get_mut(&key) else { return self.open(key, live, false, now) };
        let Reading { measured_at, device, value, .. } = live.reading;
        if slot.is_known && slot.newest == (measured_at, device, value) {
            slot.is_known = false;
            return Offered::Ignored;
        }
        if measured_at <= slot.newest.0 {
            slot.conflated = slot.conflated.saturating_add(1);
            return Offered::LeftOut;
        }
        slot.is_known = false;
        self.replace(key, live, now)
    }

    /// Takes in a reading that was known when the watch began; it counts as come in only if it comes
    /// from the journal too.
    pub(super) fn begin_with(&mut self, live: LiveReading, now: Instant) {
        let key = (live.reading.patient, live.reading.vital);
        if self.left_at_first.as_ref().is_none_or(|left| left.contains(&key.0)) {
            return;
        }
        match self.slots.get_mut(&key) {
            None => drop(self.open(key, live, true, now)),
            Some(slot) if live.reading.measured_at > slot.newest.0 => {
                slot.is_known = true;
                self.replace(key, live, now);
            }
            Some(_) => {}
        }
    }

    /// Everything that was known at the beginning was taken in.
    pub(super) fn begun(&mut self) {
        self.left_at_first = None;
    }

    fn open(&mut self, key: Key, live: LiveReading, is_known: bool, now: Instant) -> Offered {
        if self.ended.is_some() {
            return Offered::Ignored;
        }
        let is_full = self.in_all.fetch_add(1, Ordering::Relaxed) >= self.in_all_max;
        if is_full || self.slots.len() >= PLACES_MAX {
            self.give_back(1);
            self.end(VitalsEnded::TooWide);
            return Offered::Ignored;
        }
        let Reading { measured_at, device, value, .. } = live.reading;
        let newest = (measured_at, device, value);
        let slot = Slot { newest, is_known, waiting: Some(live), conflated: 0, open_at: now };
        self.slots.insert(key, slot);
        self.due.insert((now, key));
        Offered::Held
    }

    /// Puts a newer reading in its place.
    fn replace(&mut self, key: Key, live: LiveReading, now: Instant) -> Offered {
        let Some(slot) = self.slots.get_mut(&key) else { return Offered::Ignored };
        let Reading { measured_at, device, value, .. } = live.reading;
        slot.newest = (measured_at, device, value);
        if slot.waiting.replace(live).is_some() {
            slot.conflated = slot.conflated.saturating_add(1);
            return Offered::LeftOut;
        }
        self.due.insert((slot.open_at.max(now), key));
        Offered::Held
    }

    /// A patient is no longer the watcher's to see: nothing of theirs is.
    pub(super) fn leave(&mut self, key: PatientKey, patient: &PatientId) {
        if self.ended.is_some() {
            return;
        }
        if let Some(left) = &mut self.left_at_first {
            left.insert(key);
        }
        let of_patient = Vital::ALL.map(|vital| (key, vital));
        let before = self.slots.len();
        for place in of_patient {
            self.slots.remove(&place);
        }
        self.give_back(before - self.slots.len());
        self.due.retain(|(_, (of, _))| *of != key);
        if !self.left.contains(patient) {
            self.left.push_back(patient.clone());
        }
    }

    /// The service is alive; false if the watcher is gone, or takes nothing.
    pub(super) fn beat(&mut self, heartbeat: Heartbeat, now: Instant) -> bool {
        let is_unread = self.heartbeat.replace(heartbeat).is_some();
        if is_unread && now.duration_since(self.taken_at) > UNREAD_MAX {
            self.end(VitalsEnded::TooSlow);
            counter!(names::VITALS_WATCHERS_ENDED_TOTAL, "reason" => "unread").increment(1);
        }
        self.ended.is_none()
    }

    /// Ends it: nothing is held from here on. The first reason stays.
    pub(super) fn end(&mut self, why: VitalsEnded) {
        if self.ended.is_none() {
            self.ended = Some(why);
            self.give_back(self.slots.len());
            (self.slots, self.due, self.left) = Default::default();
        }
    }

    fn give_back(&self, places: usize) {
        self.in_all.fetch_sub(places, Ordering::Relaxed);
    }

    /// Whether nothing waits any more that could have been taken by then.
    pub(super) fn has_told(&self, until: Instant) -> bool {
        self.left.is_empty() && self.due.first().is_none_or(|(at, _)| *at > until)
    }

    /// What there is now: who has left, then whether the service is alive, then readings.
    pub(super) fn take(&mut self, now: Instant) -> Next {
        if let Some(why) = self.ended {
            return Next::Ended(why);
        }
        self.taken_at = now;
        if let Some(patient) = self.left.pop_front() {
            return Next::Told(Box::new(Told::Left(patient)));
        }
        if let Some(heartbeat) = self.heartbeat.take() {
            return Next::Told(Box::new(Told::Heartbeat(heartbeat)));
        }
        match self.due.first().copied() {
            Some((at, key)) if at <= now => {
                self.due.pop_first();
                Next::Told(Box::new(self.take_reading(key, now)))
            }
            later => Next::Wait(later.map(|(at, _)| at)),
        }
    }

    fn take_reading(&mut self, key: Key, now: Instant) -> Told {
        let slot = self.slots.get_mut(&key).expect("what is due has a place");
        slot.open_at = now + self.interval;
        let conflated = std::mem::take(&mut slot.conflated);
        let live = slot.waiting.take().expect("what is due waits");
        Told::Reading { live, conflated }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.give_back(self.slots.len());
    }
}
