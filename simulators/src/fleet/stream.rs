//! What one device sends, and when: its batches, and what faults make of them.
//!
//! [`Stream`] is the plan of a device: a pure function of the scenario and the device's number,
//! asked for one piece after the other, in the order in which they are due. It reads no clock and
//! sends nothing.

mod detail;

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use prost::bytes::Bytes;

use super::device::{self, Batch, Device};
use super::episode::millis;
use super::fault::{self, Chance, Kind, Window};
use super::scenario::Scenario;
use detail::{Offline, SKEW_MS};

/// Batches that may come again in another cut.
const RECENT_MAX: usize = 4;
/// How long after a batch it may come again, in milliseconds.
const AGAIN_WITHIN_MS: i64 = 2_000;
/// Steps together stay below this.
const CLOCK_OFF_MAX_MS: i64 = 24_000;
/// How often a device starts anew at most. The service remembers the last four boots of a device:
/// those, the first, and the one before the run.
const RESTARTS_MAX: i32 = 2;
/// In how many rounds a device measured what it kept from before the run.
const KEPT_ROUNDS: i64 = 60;
/// How long before the run devices are bound: before anything that is kept.
pub(super) const BOUND_BEFORE_MS: i64 = 24 * 3_600_000;

/// Something that a device does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// Sends readings.
    Batch(Batch),
    /// Sends what is no message.
    Garbage(Bytes),
    /// Nothing; something begins or ends, for people.
    Mark(String),
    /// Is replaced: it stops.
    Swap,
}

/// When it does what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    /// In microseconds since the fleet began to measure.
    pub(super) due: i64,
    pub(super) what: What,
    /// Which faults are in it.
    pub(super) faults: Vec<Kind>,
}

/// The plan of one device.
#[derive(Debug)]
pub(super) struct Stream {
    id: String,
    device: Device,
    /// Microseconds after the millisecond in which it measures.
    micros: i64,
    end_ms: i64,
    per_message: PerMessage,
    silences: Vec<Window>,
    offline: Vec<Offline>,
    skews: Vec<(Window, i64)>,
    /// What steps have made of the clock, in milliseconds.
    stepped_ms: i64,
    /// Batches that wait until the device is back.
    held_back: Vec<Batch>,
    /// A message that waits for the one that follows it.
    overtaken: Option<What>,
    recent: VecDeque<Batch>,
    ready: BinaryHeap<Ready>,
    order: u64,
    /// The device's own batches have ended.
    is_over: bool,
    swap_at_ms: Option<i64>,
    /// The latest measured time so far, by the device's clock.
    latest_ms: i64,
}

/// How far a device had come when it stopped to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    /// Its start; 0 is the first of the run.
    pub(super) boot: i32,
    /// The number of its last reading.
    pub(super) last_seq: u64,
    /// The first time at which its patient may wear another.
    pub(super) free_from_ms: i64,
}

#[derive(Debug)]
struct PerMessage {
    duplicates: Chance,
    recuts: Chance,
    reordering: Chance,
    jumps: Chance,
    restarts: Chance,
    garbage: Chance,
}

/// By due time, and in the order in which it was planned.
#[derive(Debug)]
struct Ready(u64, Planned);

impl Stream {
    /// The plan of the device of this number, whose id is only for people, on this patient: a
    /// wearable on the patient of its number, a spare on that of another, or a stranger.
    pub(super) fn new(scenario: &Scenario, number: u32, patient: u32, id: &str) -> Self {
        let chance = |kind| Chance::new(scenario, kind, number);
        // Spare devices and strangers have no faults of their own besides those of messages.
        let windows = |kind| match number < scenario.devices {
            true => fault::windows(scenario, kind, number),
            false => Vec::new(),
        };
        let skews: Vec<_> =
            windows(Kind::Skew).into_iter().map(|it| detail::skew(it, scenario)).collect();
        // Of a device whose readings are all refused nobody can tell when the last has come.
        let is_far = skews.iter().any(|(_, ahead_ms)| *ahead_ms > CLOCK_OFF_MAX_MS);
        let swap = windows(Kind::Swaps).first().filter(|_| !is_far).map(|(window, _)| window.from);
        let mut stream = Self {
            id: id.to_owned(),
            device: Device::new(scenario, number, patient),
            micros: i64::from(number % 1000),
            end_ms: millis(scenario.duration),
            per_message: PerMessage {
                duplicates: chance(Kind::Duplicates),
                recuts: chance(Kind::Recuts),
                reordering: chance(Kind::Reordering),
                jumps: chance(Kind::Jumps),
                restarts: chance(Kind::Restarts),
                garbage: chance(Kind::Garbage),
            },
            silences: windows(Kind::Silence).into_iter().map(|(window, _)| window).collect(),
            offline: windows(Kind::Backfill).into_iter().map(detail::offline).collect(),
            skews,
            stepped_ms: 0,
            held_back: Vec::new(),
            overtaken: None,
            recent: VecDeque::new(),
            ready: BinaryHeap::new(),
            order: 0,
            is_over: false,
            swap_at_ms: swap,
            latest_ms: i64::MIN,
        };
        stream.plan_kept(scenario, patient);
        match number < scenario.devices {
            true => stream.announce(),
            false if patient == number => stream.mark(0, Kind::Strangers, "is not enrolled"),
            false => {}
        }
        stream
    }

    /// When the next piece is due.
    pub(super) fn due(&mut self) -> Option<i64> {
        while !self.is_over
            && self.ready.peek().is_none_or(|Ready(_, it)| it.due >= self.base_due())
        {
            self.advance();
        }
        self.ready.peek().map(|Ready(_, planned)| planned.due)
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Option<Planned> {
        self.due()?;
        self.ready.pop().map(|Ready(_, planned)| planned)
    }

    /// Whether it is to be replaced, and so needs a spare device.
    pub(super) const fn is_replaced(&self) -> bool {
        self.swap_at_ms.is_some()
    }

    /// How far it has come.
    pub(super) fn stopped(&self) -> Stopped {
        let (boot, last_seq) = self.device.last();
        let stop_ms = self.swap_at_ms.unwrap_or(self.end_ms);
        Stopped { boot, last_seq, free_from_ms: stop_ms.max(self.latest_ms + 1) }
    }

    /// Begins now: what was before is not measured.
    pub(super) fn begin_at(&mut self, at_ms: i64) {
        self.device.skip_to(at_ms);
        let before = |Ready(_, planned): &Ready| planned.due >= at_ms * 1000;
        self.ready.retain(before);
    }

    /// Goes on after it was replaced, worn by nobody.
    pub(super) fn go_on_unbound(&mut self, at_ms: i64) {
        self.swap_at_ms = None;
        self.is_over = false;
        self.begin_at(at_ms);
    }

    /// Marks for what is known from the beginning.
    fn announce(&mut self) {
        let silences = self.silences.iter().map(|it| (it.from, Kind::Silence, "falls silent"));
        let offline = self.offline.iter().map(|it| (it.window.from, Kind::Backfill, "is offline"));
        let skews = self.skews.iter().map(|(window, ahead_ms)| {
            let how = if *ahead_ms < 0 { "has its clock behind" } else { "has its clock ahead" };
            (window.from, Kind::Skew, how)
        });
        let marks: Vec<_> = silences.chain(offline).chain(skews).collect();
        for (at_ms, kind, how) in marks {
            self.mark(at_ms, kind, how);
        }
        if let Some(course) = self.device.patient().course() {
            let near = if course.near_miss { ", nearly" } else { "" };
            let text = format!("episode: {} on {}{near}", course.kind, self.id);
            self.plan(course.from * 1000, What::Mark(text), Vec::new());
        }
    }

    fn mark(&mut self, at_ms: i64, kind: Kind, how: &str) {
        let text = format!("{kind}: {} {how}", self.id);
        self.plan(at_ms.max(0) * 1000, What::Mark(text), vec![kind]);
    }

    /// What the device kept from before the run, sent when it is back.
    fn plan_kept(&mut self, scenario: &Scenario, patient: u32) {
        for offline in self.offline.clone() {
            let Some(from_ms) = offline.kept_from_ms else { continue };
            let mut batch = device::kept(scenario, patient, from_ms, KEPT_ROUNDS);
            detail::mark_historical(&mut batch, offline.is_marked);
            let due = offline.window.until * 1000;
            self.plan(due, What::Batch(batch), vec![Kind::Backfill]);
        }
    }

    fn plan(&mut self, due: i64, what: What, faults: Vec<Kind>) {
        let due = due.min(self.end_ms * 1000 + 999);
        self.ready.push(Ready(self.order, Planned { due, what, faults }));
        self.order += 1;
    }

    fn base_due(&self) -> i64 {
        self.device.next_due() * 1000 + self.micros
    }

    /// Takes the device's next batch, or ends.
    fn advance(&mut self) {
        let due_ms = self.device.next_due();
        if let Some(at_ms) = self.swap_at_ms.filter(|at_ms| due_ms >= *at_ms) {
            self.end(at_ms);
            self.plan(at_ms * 1000 + self.micros, What::Swap, vec![Kind::Swaps]);
        } else if due_ms >= self.end_ms {
            self.end(self.end_ms);
        } else {
            self.take_batch(due_ms);
        }
    }

    /// Sends what is left.
    fn end(&mut self, at_ms: i64) {
        self.is_over = true;
        let due = at_ms * 1000 + self.micros;
        self.release(due, true);
        if let Some(what) = self.overtaken.take() {
            self.plan(due, what, vec![Kind::Reordering]);
        }
    }

    fn take_batch(&mut self, due_ms: i64) {
        let due = self.base_due();
        let mut faults = Vec::new();
        let may_restart = self.device.last().0 < RESTARTS_MAX;
        if self.per_message.restarts.hits(due_ms).is_some() && may_restart {
            self.device.restart();
            self.recent.clear();
            faults.push(Kind::Restarts);
        }
        self.step_clock(due_ms, &mut faults);
        let garbage = self.per_message.garbage.hits(due_ms).map(detail::garbage);
        let flaw = garbage.as_ref().and_then(|garbage| garbage.clone().err());
        let clock_ms = self.clock_ms(due_ms);
        let Some(batch) = self.device.measure(&self.silences, clock_ms, flaw) else { return };
        let latest = batch.readings.iter().map(|reading| reading.at_ms).max();
        self.latest_ms = self.latest_ms.max(latest.unwrap_or(i64::MIN));
        if self.is_offline(due_ms) {
            self.held_back.push(batch);
            return;
        }
        self.release(due, false);
        faults.extend(flaw.map(|_| Kind::Garbage));
        if let Some(Ok(bytes)) = garbage {
            self.plan(due, What::Garbage(bytes), vec![Kind::Garbage]);
        }
        self.send(due, due_ms, batch, faults);
    }

    /// Plans a batch that leaves the device now, with what befalls messages on their way.
    fn send(&mut self, due: i64, due_ms: i64, batch: Batch, faults: Vec<Kind>) {
        if self.overtaken.is_none() && self.per_message.reordering.hits(due_ms).is_some() {
            self.overtaken = Some(What::Batch(batch));
            return;
        }
        if let Some(random) = self.per_message.duplicates.hits(due_ms) {
            let again = due + random.within(1, AGAIN_WITHIN_MS) * 1000;
            self.plan(again, What::Batch(batch.clone()), vec![Kind::Duplicates]);
        }
        self.remember(&batch);
        self.plan(due, What::Batch(batch), faults);
        if let Some(what) = self.overtaken.take() {
            self.plan(due, what, vec![Kind::Reordering]);
        }
        if let Some(random) = self.per_message.recuts.hits(due_ms) {
            let pieces = detail::recut(&self.recent, random);
            let again = due + random.within(1, AGAIN_WITHIN_MS) * 1000;
            for piece in pieces {
                self.plan(again, What::Batch(piece), vec![Kind::Recuts]);
            }
        }
    }

    /// Sends what was measured offline, now that the device is back.
    fn release(&mut self, due: i64, at_the_end: bool) {
        if self.held_back.is_empty() {
            return;
        }
        let over = |offline: &&Offline| at_the_end || offline.window.until * 1000 <= due;
        let is_marked = self.offline.iter().rfind(over).is_some_and(|offline| offline.is_marked);
        for mut batch in std::mem::take(&mut self.held_back) {
            detail::mark_historical(&mut batch, is_marked);
            self.plan(due, What::Batch(batch), vec![Kind::Backfill]);
        }
        // What is sent in one go may not come again in another cut that mixes both.
        self.recent.clear();
    }

    fn remember(&mut self, batch: &Batch) {
        let follows = self.recent.back().is_none_or(|last| {
            last.boot == batch.boot
                && last.first_seq + last.readings.len() as u64 == batch.first_seq
        });
        if !follows {
            self.recent.clear();
        }
        self.recent.push_back(batch.clone());
        self.recent.drain(..self.recent.len().saturating_sub(RECENT_MAX));
    }

    fn is_offline(&self, at_ms: i64) -> bool {
        self.offline.iter().any(|offline| offline.window.contains(at_ms))
    }

    fn clock_ms(&self, at_ms: i64) -> i64 {
        let on = self.skews.iter().filter(|(window, _)| window.contains(at_ms));
        self.stepped_ms + on.map(|(_, ahead_ms)| ahead_ms).sum::<i64>()
    }

    /// A step never brings the clock near the border beyond which it is refused, and never onto a
    /// time at which the device has measured already. A clock that is wrong anyway does not step.
    fn step_clock(&mut self, at_ms: i64, faults: &mut Vec<Kind>) {
        let Some(random) = self.per_message.jumps.hits(at_ms) else { return };
        let mut step_ms = random.within(SKEW_MS.0, SKEW_MS.1) / 10 * 10 + 3;
        if random.chance(0.5) {
            step_ms = -step_ms;
        }
        if (self.stepped_ms + step_ms).abs() >= CLOCK_OFF_MAX_MS {
            step_ms = -step_ms;
        }
        if self.skews.is_empty() {
            self.stepped_ms += step_ms;
            faults.push(Kind::Jumps);
        }
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ready {}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ready {
    /// The earliest is the greatest: a heap gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.1.due, other.0).cmp(&(self.1.due, self.0))
    }
}

#[cfg(test)]
mod tests;
