//! The account of one device's intake: what of a batch has come before, what was unusual about it,
//! and how much of everything there was since the device was enrolled.
//!
//! Every reading that is taken in counts as exactly one of accepted, duplicate and rejected; of the
//! accepted, some are reordered or amend another. A whole message that is refused counts as one
//! rejected. The account is told to followers when something unusual happened, at most once a
//! message, and otherwise once in [`TELL_EVERY`]: an orderly fleet costs the journal next to
//! nothing. When it was told last is part of the state.
//!
//! **Memory.** The account of a numbered device takes at most 512 bytes, whatever it sends: see
//! [`super::sequences`] for what that bounds. What unnumbered devices need
//! is boxed, so that the others don't pay for it: see [`super::unnumbered`].
//!
//! **Amendments.** A reading of a known time that says something else is an amendment. For a
//! device without numbers that holds within the window in which its readings are recognised; for
//! one with numbers, whose readings are told apart by those, it is looked for against the newest
//! reading of each vital only: [`super::newest`]. An amendment of an earlier one is kept like any
//! other late reading, without its flag.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::newest::{Newest, Order};
use super::sequences::{Known, Sequences, Standing, Unusual};
use super::skew::Skew;
use super::unnumbered::{Unnumbered, digest};
use super::{Again, Other, Tally, place};
use crate::clock::Timestamp;
use crate::engine::decode::{Batch, Decoded};
use crate::engine::output::{DeviceSequences, IntakeCounts, SequenceEvents};
use crate::engine::restore::DeviceStanding;
use crate::vitals::DeviceKey;

/// An account that nothing unusual happened to is told this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the account of a numbered device takes in memory at most, the allocator's part included.
#[cfg(test)]
const NUMBERED_BYTES_MAX: usize = 512;

/// One device's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Account {
    /// Which of its numbered readings have come.
    sequences: Sequences,
    /// The newest reading of each vital.
    newest: Newest,
    /// What came without numbers, if anything did.
    unnumbered: Option<Box<Unnumbered>>,
    /// How far its clock is off.
    skew: Skew,
    /// How much there was since it was enrolled.
    counts: IntakeCounts,
    /// Readings that came in order since the account was told.
    untold: u32,
    /// When it was told; [`Timestamp::MIN`] if never.
    told_at: Timestamp,
    /// When anything came from the device; [`Timestamp::MIN`] if never.
    seen_at: Timestamp,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            sequences: Sequences::default(),
            newest: Newest::default(),
            unnumbered: None,
            skew: Skew::default(),
            counts: IntakeCounts::default(),
            untold: 0,
            told_at: Timestamp::MIN,
            seen_at: Timestamp::MIN,
        }
    }
}

/// A batch on its way into the account.
pub(super) struct Visit {
    boot_id: u64,
    now: Timestamp,
    sent_at: Option<Timestamp>,
    unknown_fields: u64,
    /// If it came before and is sent through again.
    again: Option<Again>,
    recognise: Recognise,
    events: SequenceEvents,
}

/// What a message adds to an account.
struct Addition {
    events: SequenceEvents,
    rejected: u64,
    now: Timestamp,
    /// When it came: before now only if it is sent through again.
    came_at: Timestamp,
}

/// By what a batch's readings are recognised.
enum Recognise {
    Numbers {
        known: Known,
        /// Those that need not come again: admitted, or refused for what they are.
        settled: Vec<u64>,
    },
    Identities {
        digest: u128,
        /// The whole message was settled before.
        is_repeated: bool,
    },
}

impl Visit {
    /// A reading was refused; if finally, its number need not come again.
    pub(super) fn refuse(&mut self, sequence: u64, is_final: bool) {
        if let (Recognise::Numbers { settled, .. }, true) = (&mut self.recognise, is_final) {
            settled.push(sequence);
        }
    }

    /// Whether a reading counts as come only because it was refused.
    fn forgives(&self, reading: &Decoded) -> bool {
        let forgives = |again: &Again| again.forgiven.binary_search(&reading.index).is_ok();
        self.again.as_ref().is_some_and(forgives)
    }
}

impl Account {
    /// Looks a batch up.
    pub(super) fn open(
        &self,
        batch: &Batch,
        payload: &[u8],
        again: Option<Again>,
        now: Timestamp,
    ) -> Visit {
        let recognise = if batch.boot_id == 0 {
            let digest = digest(payload);
            let known = self.unnumbered.as_deref();
            let is_repeated = known.is_some_and(|known| known.has_payload(digest));
            Recognise::Identities { digest, is_repeated }
        } else {
            let known = self.sequences.look_up(batch.boot_id, batch.first_seq);
            let settled = Vec::with_capacity(batch.readings.len() + batch.refused.len());
            Recognise::Numbers { known, settled }
        };
        let events = SequenceEvents::default();
        let Batch { boot_id, sent_at, .. } = *batch;
        let unknown_fields = u64::from(batch.unknown_fields);
        Visit { boot_id, now, sent_at, unknown_fields, again, recognise, events }
    }

    /// Whether a reading has come before.
    pub(super) fn is_duplicate(&self, visit: &Visit, reading: &Decoded) -> bool {
        let is_forgiven = visit.forgives(reading);
        match &visit.recognise {
            Recognise::Numbers { known, .. } => !is_forgiven && known.contains(reading.sequence),
            Recognise::Identities { is_repeated: true, .. } if !is_forgiven => true,
            Recognise::Identities { .. } => {
                self.order(reading) == Order::Same
                    || self.unnumbered.as_deref().is_some_and(|known| known.contains(reading))
            }
        }
    }

    /// Takes note of a reading that is admitted; says whether it amends another.
    pub(super) fn note(&mut self, visit: &mut Visit, reading: &Decoded) -> bool {
        let Decoded { vital, measured_at, value, .. } = *reading;
        let order = self.newest.note(vital, measured_at, value);
        let mut amends = order == Order::Amends;
        let is_reordered = match &mut visit.recognise {
            Recognise::Numbers { known, settled } => {
                settled.push(reading.sequence);
                known.is_overtaken(reading.sequence)
            }
            Recognise::Identities { .. } => {
                let known = self.unnumbered.get_or_insert_default();
                amends |= known.note(reading, visit.now);
                order == Order::Older
            }
        };
        visit.events.in_order += u32::from(!is_reordered);
        visit.events.reordered += u32::from(is_reordered);
        visit.events.amended += u32::from(amends);
        amends
    }

    fn order(&self, reading: &Decoded) -> Order {
        self.newest.order(reading.vital, reading.measured_at, reading.value)
    }

    /// The batch is through: closes its page, and tells of it if that is due.
    pub(super) fn close(
        &mut self,
        mut visit: Visit,
        tally: &Tally,
        is_listening: bool,
        device: DeviceKey,
    ) -> Option<DeviceSequences> {
        let unusual = self.settle(&mut visit, tally);
        visit.events.duplicate = tally.duplicate;
        visit.events.gap = u32::try_from(unusual.gaps).unwrap_or(u32::MAX);
        if visit.again.is_none() {
            visit.events.restarted = u32::from(unusual.is_restarted);
            self.heed(&visit, unusual.is_restarted, is_listening);
        }
        self.counts.gap_overflow += unusual.overflows;
        self.counts.unknown_field += visit.unknown_fields;
        let Visit { events, now, again, .. } = visit;
        let rejected = tally.refused.len() as u64;
        let came_at = again.map_or(now, |again| again.received_at);
        self.conclude(Addition { events, rejected, now, came_at }, device)
    }

    /// What a message says of how its device is now.
    fn heed(&mut self, visit: &Visit, is_restarted: bool, is_listening: bool) {
        self.seen_at = visit.now;
        if is_restarted {
            // A device that starts anew may have set its clock anew.
            self.skew = Skew::default();
        }
        if let Some(sent_at) = visit.sent_at.filter(|_| is_listening) {
            self.skew.note(sent_at, visit.now);
        }
    }

    /// Something came that is no batch, or could not be read.
    pub(super) fn take_note(
        &mut self,
        Other { is_refused, is_seen }: Other,
        now: Timestamp,
        device: DeviceKey,
    ) -> Option<DeviceSequences> {
        if is_seen {
            self.seen_at = now;
        }
        let (events, rejected) = (SequenceEvents::default(), u64::from(is_refused));
        let addition = Addition { events, rejected, now, came_at: now };
        (is_refused || is_seen).then(|| self.conclude(addition, device)).flatten()
    }

    /// Remembers what need not come again.
    fn settle(&mut self, visit: &mut Visit, tally: &Tally) -> Unusual {
        match &mut visit.recognise {
            Recognise::Numbers { settled, .. } => {
                self.sequences.record(visit.boot_id, std::mem::take(settled))
            }
            Recognise::Identities { digest, is_repeated } => {
                let is_settled =
                    tally.refused.iter().all(|(_, reason, _)| place::is_final(*reason));
                if !*is_repeated && is_settled && tally.accepted > 0 {
                    self.unnumbered.get_or_insert_default().keep_payload(*digest);
                }
                Unusual::default()
            }
        }
    }

    fn conclude(&mut self, addition: Addition, device: DeviceKey) -> Option<DeviceSequences> {
        let Addition { events, rejected, now, .. } = addition;
        self.counts.add(&events, rejected);
        self.untold = self.untold.saturating_add(events.in_order);
        let in_order_only = SequenceEvents { in_order: events.in_order, ..Default::default() };
        let is_unusual = rejected > 0 || events != in_order_only;
        let is_due = self.told_at == Timestamp::MIN || now.since(self.told_at) >= TELL_EVERY;
        (is_unusual || is_due).then(|| self.tell(&addition, device))
    }

    fn tell(&mut self, addition: &Addition, device: DeviceKey) -> DeviceSequences {
        let Addition { events, now, came_at, .. } = *addition;
        self.told_at = now;
        let in_order = std::mem::take(&mut self.untold);
        let (boot_id, highest_seq) = self.sequences.highest();
        DeviceSequences {
            device,
            boot_id,
            highest_seq,
            missing: self.sequences.missing_count(),
            counts: self.counts,
            events: SequenceEvents { in_order, ..events },
            // Of a device that has not been seen since it was enrolled, nothing else is known.
            last_seen_at: self.last_seen_at().unwrap_or(came_at),
            clock_skew_ms: self.skew.estimate_ms(),
        }
    }

    /// When anything came from the device, if ever.
    pub(in crate::engine) fn last_seen_at(&self) -> Option<Timestamp> {
        (self.seen_at != Timestamp::MIN).then_some(self.seen_at)
    }

    /// How far its clock is ahead, in milliseconds, as far as is known.
    pub(in crate::engine) fn clock_skew_ms(&self) -> Option<i32> {
        self.skew.estimate_ms()
    }

    /// How much there was since it was enrolled.
    pub(in crate::engine) const fn counts(&self) -> &IntakeCounts {
        &self.counts
    }

    /// What it takes in memory: itself, and what it has allocated as a common allocator gives it
    /// out, in steps of 16 bytes of which 8 are its own.
    pub(in crate::engine) fn bytes(&self) -> usize {
        let allocated = |bytes: usize| match bytes {
            0 => 0,
            bytes => (bytes + 8).next_multiple_of(16),
        };
        let unnumbered = self.unnumbered.as_deref().map_or(0, Unnumbered::bytes);
        size_of::<Self>()
            + allocated(self.sequences.heap_bytes())
            + allocated(self.newest.heap_bytes())
            + allocated(unnumbered)
    }

    /// As the store holds it: by which numbers readings were admitted is exact, the counts are as
    /// they were told last. How far its clock is off is found out anew.
    pub(in crate::engine) fn restored(device: &DeviceStanding) -> Self {
        // Whoever made the input has looked at them.
        let sequences = Sequences::from_packed(&device.numbers).unwrap_or_default();
        let mut account = Self { sequences, ..Self::default() };
        for reading in &device.newest {
            account.newest.note(reading.vital, reading.measured_at, reading.value);
        }
        if !device.unnumbered.is_empty() {
            account.unnumbered = Some(Box::new(Unnumbered::restored(&device.unnumbered)));
        }
        if let Some((counts, seen_at)) = device.account {
            (account.counts, account.seen_at) = (counts, seen_at);
        }
        account
    }

    /// The account as it stands, if anything ever came; nothing is told by it.
    pub(in crate::engine) fn as_told(&self, device: DeviceKey) -> Option<DeviceSequences> {
        let (boot_id, highest_seq) = self.sequences.highest();
        Some(DeviceSequences {
            device,
            boot_id,
            highest_seq,
            missing: self.sequences.missing_count(),
            counts: self.counts,
            events: SequenceEvents::default(),
            last_seen_at: self.last_seen_at()?,
            clock_skew_ms: self.skew.estimate_ms(),
        })
    }

    /// Which of its numbered readings have come.
    pub(super) const fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// Forgets what was measured between, the end exclusive: who it was about was erased. Numbers
    /// and digests of messages tell nothing of them and stay, so that what comes again is known.
    pub(in crate::engine) fn forget(&mut self, from: Timestamp, until: Timestamp) {
        self.newest.forget(from, until);
        if let Some(unnumbered) = &mut self.unnumbered {
            unnumbered.forget_measured(from, until);
        }
    }

    /// Where it stands in its present boot.
    pub(in crate::engine) fn standing(&self) -> Standing {
        self.sequences.standing()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::input::Encoding;
    use crate::engine::output::Quality;
    use crate::vitals::{Mode, Quantity, Value, Vital};

    /// A batch of every vital there is.
    fn batch(boot_id: u64, first_seq: u64) -> Batch {
        let reading = |(index, vital): (u32, Vital)| Decoded {
            index,
            sequence: first_seq + u64::from(index),
            measured_at: Timestamp::from_seconds(1_800_000_000),
            vital,
            value: Value::Quantity(Quantity::whole(1)),
            quality: Quality(0),
            historical: false,
            measurement_id: 0,
            original: None,
            interval: None,
        };
        Batch {
            boot_id,
            first_seq,
            mode: Mode::Real,
            want_verdict: false,
            encoding: Encoding::Protobuf,
            sent_at: Some(Timestamp::from_seconds(1_800_000_000)),
            is_clock_unset: false,
            gateway: None,
            unknown_fields: 1,
            readings: (0..).zip(Vital::ALL).map(reading).collect(),
            refused: Vec::new(),
        }
    }

    fn take(account: &mut Account, batch: &Batch) {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut visit = account.open(batch, &[], None, now);
        for reading in &batch.readings {
            if !account.is_duplicate(&visit, reading) {
                account.note(&mut visit, reading);
            }
        }
        account.close(visit, &Tally::default(), true, DeviceKey(0));
    }

    proptest! {
        #[test]
        fn the_account_of_a_numbered_device_has_its_bound_whatever_it_sends(
            batches in proptest::collection::vec((0_u64..8, any::<u32>()), 0..200),
        ) {
            let mut account = Account::default();
            for (boot, first) in batches {
                take(&mut account, &batch(u64::MAX - boot, u64::from(first) << 31));
                prop_assert!(account.bytes() <= NUMBERED_BYTES_MAX, "{} bytes", account.bytes());
            }
        }
    }

    #[test]
    fn the_account_of_an_orderly_device_is_small() {
        let mut account = Account::default();
        for message in 0..100 {
            take(&mut account, &batch(7, message * 15));
        }
        assert_eq!(account.counts.accepted, 1500);
        assert!(account.bytes() <= 400, "{} bytes", account.bytes());
    }
}
