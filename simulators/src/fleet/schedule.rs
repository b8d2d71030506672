//! The open-loop schedule: every message is handed to its connection when it is due by the plan,
//! whatever became of those before.
//!
//! One heap over all devices. Messages are made and encoded [`AHEAD`] of their time and queued at
//! their connection, which waits for the moment: a connection that is away or slow lets its queue
//! grow, and is measured by it. What all queues hold is bounded by bytes; at the bound the run ends
//! with an error, because a fleet that waits measures nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Lane;
use super::board::{Board, Ticket, read};
use super::fault::{Kind, Per};
use super::recorder::Recorder;
use super::roster::Roster;
use super::stream::{Planned, Stream, What};
use super::swap::{Swap, Swapped, Swapper};
use super::wire::{self, Times};
use crate::encode::Encoding;
use crate::publish::Message;
use crate::record::RunClock;

/// How long before its time a message is made: longer than anything else takes on this thread.
pub(super) const AHEAD: Duration = Duration::from_millis(300);
/// Messages that are made in one go, before others get their turn.
const AT_ONCE: usize = 256;
/// Messages that one connection may queue. A queue takes room only for what it holds; the bound
/// that counts is that of bytes.
pub(super) const QUEUE_MAX: usize = 1 << 22;
/// A spare device begins to measure so long after it was put on.
const SPARE_AFTER_MS: i64 = 1_000;
/// A device that was replaced goes on by itself so long after; its clock may be behind by 24 s.
const UNBOUND_AFTER_MS: i64 = 50_000;

/// Why the schedule could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too much waits to be acknowledged.
    #[error(
        "{waiting_mib} MiB of messages wait to be acknowledged: the broker does not keep up, or is \
         away; allow more (gateways.buffer_mib), or take a lower rate"
    )]
    Behind {
        /// How much.
        waiting_mib: u64,
    },
    /// A connection has ended before the fleet has.
    #[error("a connection has ended")]
    Ended,
}

/// How it is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) site: String,
    pub(super) encoding: Encoding,
    pub(super) boot_id: u64,
    pub(super) buffer_bytes_max: u64,
    /// When all connections drop, in the fleet's milliseconds.
    pub(super) storms: Vec<i64>,
}

/// Something besides messages that has its time.
#[derive(Debug)]
enum Moment {
    Mark(String),
    Storm,
}

/// The running schedule.
#[derive(Debug)]
pub(super) struct Schedule {
    plan: Plan,
    times: Times,
    clock: RunClock,
    recorder: Recorder,
    board: Arc<Board>,
    /// Where each connection takes its messages from.
    lanes: Vec<Lane>,
    cuts: watch::Sender<u64>,
    swapper: Option<Swapper>,
    ids: Vec<String>,
    topics: Vec<String>,
    spares: BTreeMap<u32, u32>,
    streams: BTreeMap<u32, Stream>,
    heap: BinaryHeap<Reverse<(i64, u32)>>,
    moments: BTreeMap<(u64, u64), Moment>,
    swaps: JoinSet<Swapped>,
    next_number: u64,
    next_moment: u64,
    pub(super) faults: BTreeMap<Kind, u64>,
    pub(super) replaced: u64,
}

/// What a schedule reports to and hands to.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) board: Arc<Board>,
    pub(super) lanes: Vec<Lane>,
    pub(super) cuts: watch::Sender<u64>,
    pub(super) swapper: Option<Swapper>,
}

impl Schedule {
    pub(super) fn new(plan: Plan, times: Times, roster: Roster, ends: Ends) -> Self {
        let Ends { clock, recorder, board, lanes, cuts, swapper } = ends;
        let ids: Vec<String> = roster.devices.into_iter().map(|it| it.device_id).collect();
        let topic = |id: &String| format!("pulseward/v1/{}/{id}/readings", plan.site);
        let topics = ids.iter().map(topic).collect();
        let mut schedule = Self {
            times,
            clock,
            recorder,
            board,
            lanes,
            cuts,
            swapper,
            ids,
            topics,
            spares: roster.spares.into_iter().collect(),
            streams: roster.streams.into_iter().collect(),
            heap: BinaryHeap::new(),
            moments: BTreeMap::new(),
            swaps: JoinSet::new(),
            next_number: 0,
            next_moment: 0,
            faults: BTreeMap::new(),
            replaced: 0,
            plan,
        };
        for at_ms in std::mem::take(&mut schedule.plan.storms) {
            schedule.at(at_ms.saturating_mul(1000), Moment::Storm);
        }
        let devices: Vec<u32> = schedule.streams.keys().copied().collect();
        devices.into_iter().for_each(|device| schedule.expect(device));
        schedule.streams.extend(roster.spare_streams);
        schedule
    }

    /// Runs until everything was handed to the connections, or is to stop. Not cancel safe: what it
    /// has begun would not be recorded.
    ///
    /// # Errors
    /// If the connections don't keep up, or end.
    pub(super) async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        while !*stop.borrow() {
            self.meet_moments();
            self.make()?;
            let wake = self.wake();
            if wake.is_none() && self.swaps.is_empty() {
                return Ok(());
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                Some(swapped) = self.swaps.join_next() => {
                    self.take_over(&swapped.expect("replacing a device does not panic"));
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        // What the service was asked for is waited for: else nobody could judge what follows.
        while let Some(swapped) = self.swaps.join_next().await {
            self.replaced += u64::from(swapped.is_ok_and(|it| it.from_ms.is_some()));
        }
        Ok(())
    }

    /// When there is something to do; `None` if there never will be.
    fn wake(&self) -> Option<Instant> {
        let message = self.heap.peek().map(|Reverse((due, _))| self.instant(*due) - AHEAD);
        let moment = self.moments.keys().next().map(|(at, _)| self.clock.instant(*at));
        [message, moment].into_iter().flatten().min()
    }

    fn instant(&self, due: i64) -> Instant {
        self.clock.instant(self.times.run(due))
    }

    fn at(&mut self, due: i64, moment: Moment) {
        self.moments.insert((self.times.run(due), self.next_moment), moment);
        self.next_moment += 1;
    }

    fn meet_moments(&mut self) {
        let now = self.clock.micros();
        while let Some(entry) = self.moments.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Moment::Mark(text) => self.recorder.mark(text),
                Moment::Storm => {
                    self.recorder.mark("storms: all connections drop and come back");
                    self.cuts.send_modify(|cuts| *cuts += 1);
                    self.count(Kind::Storms);
                }
            }
        }
    }

    /// Makes what is due soon, so much as can be done in one go.
    fn make(&mut self) -> Result<(), Error> {
        let soon = Instant::now() + AHEAD;
        for _ in 0..AT_ONCE {
            let Some(Reverse((due, device))) = self.heap.peek().copied() else { break };
            if self.instant(due) > soon {
                break;
            }
            self.heap.pop();
            if let Some(planned) = self.streams.get_mut(&device).and_then(Stream::next) {
                self.carry_out(device, planned)?;
            }
            self.expect(device);
        }
        Ok(())
    }

    fn expect(&mut self, device: u32) {
        let due = self.streams.get_mut(&device).and_then(Stream::due);
        self.heap.extend(due.map(|due| Reverse((due, device))));
    }

    fn carry_out(&mut self, device: u32, planned: Planned) -> Result<(), Error> {
        let Planned { due, what, faults } = planned;
        // What befalls a device is counted where it begins, and not with each of its messages.
        let is_mark = matches!(what, What::Mark(_) | What::Swap);
        let counts = |kind: &Kind| (kind.per() == Per::Device) == is_mark;
        faults.into_iter().filter(counts).for_each(|kind| self.count(kind));
        match what {
            What::Batch(batch) => {
                let Plan { boot_id, encoding, .. } = self.plan;
                let payload = wire::payload(&batch, due, boot_id, &self.times, encoding);
                let readings = u32::try_from(batch.readings.len()).unwrap_or(u32::MAX);
                self.send(device, due, payload, readings)
            }
            What::Garbage(payload) => self.send(device, due, payload, 0),
            What::Mark(text) => {
                self.at(due, Moment::Mark(text));
                Ok(())
            }
            What::Swap => {
                let text = format!("swaps: {} stops, to be replaced", self.ids[device as usize]);
                self.at(due, Moment::Mark(text));
                self.replace(device);
                Ok(())
            }
        }
    }

    fn count(&mut self, kind: Kind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    fn send(&mut self, device: u32, due: i64, payload: Bytes, readings: u32) -> Result<(), Error> {
        let due_micros = self.times.run(due);
        let bytes = payload.len() as u64;
        let ticket = Ticket {
            number: self.next_number,
            device,
            due_micros,
            due: self.clock.instant(due_micros),
            readings,
            bytes,
        };
        self.next_number += 1;
        self.board.plan(bytes);
        let waiting = read(&self.board.counts.waiting_bytes);
        let behind = || Error::Behind { waiting_mib: waiting >> 20 };
        if waiting > self.plan.buffer_bytes_max {
            return Err(behind());
        }
        let message = Message {
            topic: self.topics[device as usize].clone(),
            content_type: self.plan.encoding.content_type(),
            payload,
            batch: ticket,
        };
        let lane = &self.lanes[device as usize % self.lanes.len()];
        lane.try_send(message).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => behind(),
            mpsc::error::TrySendError::Closed(_) => Error::Ended,
        })
    }

    /// Has a device replaced that has stopped.
    fn replace(&mut self, from: u32) {
        let (Some(swapper), Some(to)) = (&self.swapper, self.spares.get(&from).copied()) else {
            return;
        };
        let swap = Swap {
            from,
            to,
            from_id: self.ids[from as usize].clone(),
            to_id: self.ids[to as usize].clone(),
            stopped: self.streams[&from].stopped(),
            boot_id: self.plan.boot_id,
        };
        self.swaps.spawn(swapper.clone().replace(swap, self.times));
    }

    /// Lets the spare device measure, and every other replaced one go on by itself.
    fn take_over(&mut self, swapped: &Swapped) {
        let Swapped { from, to, from_ms: Some(from_ms) } = *swapped else { return };
        self.replaced += 1;
        let now_ms = self.times.fleet_ms(self.clock.micros()).max(from_ms);
        if let Some(spare) = self.streams.get_mut(&to) {
            spare.begin_at(now_ms + SPARE_AFTER_MS);
            self.expect(to);
        }
        if from % 2 == 0
            && let Some(worn) = self.streams.get_mut(&from)
        {
            worn.go_on_unbound(now_ms + UNBOUND_AFTER_MS);
            self.expect(from);
        }
    }
}
