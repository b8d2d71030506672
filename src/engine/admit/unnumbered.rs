//! What is known of the readings of a device that keeps no numbers.
//!
//! A reading is identified by what it is: vital, measured time and value. It is recognised when it
//! comes again within [`IDENTITY_WINDOW`], as long as no more than [`IDENTITIES_MAX`] came since;
//! the oldest measured are forgotten first. One of a known vital and time with another value is an
//! amendment, and has an identity of its own. Beside that, the digests of the last
//! [`PAYLOADS_MAX`] messages that were settled as a whole are kept for as long as it takes: such a
//! message is recognised when it comes again byte for byte, however many readings it has. A
//! message of which something may still be admitted (its device was not bound, its time has not
//! come) is not among them.
//!
//! Digests have 128 bits, because two messages of one digest would be one, and readings lost.
//! Beyond these bounds a reading that comes again is stored again: who resends over hours has to
//! number.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::packed::code;
use crate::clock::Timestamp;
use crate::engine::decode::Decoded;
use crate::engine::restore::ReceivedReading;
use crate::vitals::Vital;

/// For how long an unnumbered reading is recognised when it comes again.
const IDENTITY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Unnumbered readings recognised at most.
const IDENTITIES_MAX: usize = 4096;
/// Messages recognised at most: more than a client has under way at once, in 4 KiB.
const PAYLOADS_MAX: usize = 256;

/// Vital, time and value, by time.
type Identity = (Timestamp, Vital, u32);

/// What came without numbers from one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unnumbered {
    /// Readings, with their receipt.
    readings: BTreeMap<Identity, Timestamp>,
    /// Digests of messages, the oldest first.
    payloads: VecDeque<u128>,
}

fn identity(reading: &Decoded) -> Identity {
    (reading.measured_at, reading.vital, code(reading.value))
}

/// The digest by which a message is recognised.
pub(in crate::engine) fn digest(payload: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(payload)
}

impl Unnumbered {
    /// These readings came last. Messages are not recognised as such until they come again.
    pub(super) fn restored(readings: &[ReceivedReading]) -> Self {
        let identity =
            |it: &ReceivedReading| ((it.measured_at, it.vital, code(it.value)), it.received_at);
        Self { readings: readings.iter().map(identity).collect(), payloads: VecDeque::new() }
    }

    /// Whether a message with this digest was settled.
    pub(super) fn has_payload(&self, digest: u128) -> bool {
        self.payloads.contains(&digest)
    }

    /// A message was settled: nothing of it may still be admitted.
    pub(super) fn keep_payload(&mut self, digest: u128) {
        if self.payloads.len() == PAYLOADS_MAX {
            self.payloads.pop_front();
        }
        self.payloads.push_back(digest);
    }

    /// Whether exactly this reading was admitted.
    pub(super) fn contains(&self, reading: &Decoded) -> bool {
        self.readings.contains_key(&identity(reading))
    }

    /// Takes note of a reading that is admitted; says whether another of its vital and time was.
    pub(super) fn note(&mut self, reading: &Decoded, now: Timestamp) -> bool {
        let (at, vital, code) = identity(reading);
        let of_its_time = (at, vital, 0)..=(at, vital, u32::MAX);
        let amends = self.readings.range(of_its_time).next().is_some();
        self.readings.insert((at, vital, code), now);
        self.forget(now.minus(IDENTITY_WINDOW));
        amends
    }

    /// Forgets readings that were measured between, the end exclusive.
    pub(super) fn forget_measured(&mut self, from: Timestamp, until: Timestamp) {
        self.readings.retain(|(at, ..), _| !(from..until).contains(at));
    }

    /// About what it takes in memory: a tree's nodes are filled to two thirds.
    pub(super) fn bytes(&self) -> usize {
        let readings = self.readings.len() * size_of::<(Identity, Timestamp)>() * 3 / 2;
        size_of::<Self>() + readings + self.payloads.capacity() * size_of::<u128>()
    }

    fn forget(&mut self, expired: Timestamp) {
        while let Some(oldest) = self.readings.first_entry() {
            if *oldest.get() >= expired && self.readings.len() <= IDENTITIES_MAX {
                break;
            }
            self.readings.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_forgets_the_oldest_message_first() {
        let mut unnumbered = Unnumbered::default();
        for number in 0..PAYLOADS_MAX as u128 + 10 {
            unnumbered.keep_payload(number);
        }
        let known = |number| unnumbered.has_payload(number);
        assert!((0..10).all(|number| !known(number)));
        assert!((10..PAYLOADS_MAX as u128 + 10).all(known));
        assert_eq!(unnumbered.payloads.len(), PAYLOADS_MAX);
    }
}
