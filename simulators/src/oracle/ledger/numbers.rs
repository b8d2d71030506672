//! Which readings of a device have come before.
//!
//! With numbers, by boot and sequence number for ever; boots beyond the contract's four may be
//! forgotten. Without, by what a reading says, for ten minutes, and by the whole message among the
//! last 256. Runs of numbers that stand in a row are kept as one.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};

use super::super::decode::Reading;
use super::super::profile::Micros;
use super::super::vital::Worth;
use super::RECEIPT_MAX;

/// Boots whose numbers the service promises to remember.
const BOOTS_MAX: usize = 4;
/// For how long it remembers a reading without a number.
const IDENTITY_WINDOW: Micros = 10 * 60 * 1_000_000;
/// So many messages are told by their digest.
const PAYLOADS_MAX: usize = 256;

/// What is known of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has not come.
    New,
    /// It was admitted, as this slot.
    Slot(u32),
    /// It was, so long ago that the service may not know it any more.
    Perhaps(u32),
    /// It was refused for good.
    Gone,
}

/// What has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    boots: BTreeMap<u64, BTreeMap<u64, Span>>,
    unnumbered: HashMap<(i32, Micros, i64), (u32, Micros)>,
    payloads: VecDeque<u64>,
}

/// Consecutive numbers: how many, and the slot of the first; `None` if they were refused.
#[derive(Clone, Copy, Debug)]
struct Span {
    length: u64,
    slot: Option<u32>,
}

impl Numbers {
    /// Notes a payload; whether it was among the last.
    pub(super) fn note_payload(&mut self, payload: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        let digest = hasher.finish();
        if self.payloads.contains(&digest) {
            return true;
        }
        if self.payloads.len() == PAYLOADS_MAX {
            self.payloads.pop_front();
        }
        self.payloads.push_back(digest);
        false
    }

    pub(super) fn known(
        &self,
        seq: Option<(u64, u64)>,
        reading: Option<Reading>,
        published: Micros,
        repeats: bool,
    ) -> Known {
        match (seq, reading) {
            (Some((boot, seq)), _) => self.numbered(boot, seq),
            (None, Some(reading)) => self.by_content(&reading, published, repeats),
            (None, None) => Known::New,
        }
    }

    fn numbered(&self, boot: u64, seq: u64) -> Known {
        let span = self.boots.get(&boot).and_then(|spans| spans.range(..=seq).next_back());
        let Some((first, span)) = span.filter(|(first, span)| seq - **first < span.length) else {
            return Known::New;
        };
        let is_old = self.boots.range(boot..).count() > BOOTS_MAX;
        match span.slot {
            None => Known::Gone,
            Some(slot) => {
                let slot = slot + u32::try_from(seq - first).unwrap_or(0);
                if is_old { Known::Perhaps(slot) } else { Known::Slot(slot) }
            }
        }
    }

    fn by_content(&self, reading: &Reading, published: Micros, repeats: bool) -> Known {
        let Some((slot, at)) = self.unnumbered.get(&content(reading)) else { return Known::New };
        let age = published - at;
        if repeats || age < IDENTITY_WINDOW - RECEIPT_MAX {
            Known::Slot(*slot)
        } else if age < IDENTITY_WINDOW + RECEIPT_MAX {
            Known::Perhaps(*slot)
        } else {
            Known::New
        }
    }

    pub(super) fn admit(
        &mut self,
        seq: Option<(u64, u64)>,
        reading: Option<Reading>,
        published: Micros,
        slot: u32,
    ) {
        match (seq, reading) {
            (Some((boot, seq)), _) => self.add(boot, seq, Some(slot)),
            (None, Some(reading)) => {
                self.unnumbered.insert(content(&reading), (slot, published));
            }
            (None, None) => {}
        }
    }

    pub(super) fn gone(&mut self, seq: Option<(u64, u64)>) {
        if let Some((boot, seq)) = seq {
            self.add(boot, seq, None);
        }
    }

    fn add(&mut self, boot: u64, seq: u64, slot: Option<u32>) {
        let spans = self.boots.entry(boot).or_default();
        if let Some((first, span)) = spans.range_mut(..seq).next_back() {
            let next = span.slot.map(|it| u64::from(it) + span.length);
            if *first + span.length == seq && next == slot.map(u64::from) {
                span.length += 1;
                return;
            }
        }
        spans.insert(seq, Span { length: 1, slot });
    }
}

fn content(reading: &Reading) -> (i32, Micros, i64) {
    let value = match reading.worth {
        Worth::Plausible(value) | Worth::Implausible(value) => value,
        Worth::NoSensor => i64::MIN,
        Worth::Absent(reason) => i64::MIN + 1 + i64::from(reason),
        Worth::Level(level) => i64::from(level),
    };
    (reading.vital.into(), reading.measured_at, value)
}
