//! Two slots a blob: how a checkpoint is written in many pieces and still counts as a whole.
//!
//! Each checkpoint has a number, its *generation*, and what is kept of a blob begins with the one
//! that wrote it. A checkpoint under way writes a blob into the slot that does not hold its
//! version of the last complete checkpoint, which thereby stays whole. The *mark*, written last,
//! names the generation that is complete: of a blob the version of the greatest generation up to
//! the mark's counts. Versions beyond it are of a checkpoint that was cut off; they must go before
//! another one is completed, which takes the same number.
//!
//! Which slot counts is a bit a blob in memory, learnt as the blobs are read at the start. Nothing
//! here does I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use bytes::{Buf, BufMut, Bytes};

use super::Failure;
use crate::journal::checkpoint::BlobKey;

/// One of a blob's two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    First,
    Second,
}

const KEY_BYTES: usize = BlobKey::BYTES + 1;

/// Under which key a slot is kept: both of a blob side by side.
pub(super) fn key_to_bytes(key: BlobKey, slot: Slot) -> [u8; KEY_BYTES] {
    let mut bytes = [slot as u8; KEY_BYTES];
    bytes[..BlobKey::BYTES].copy_from_slice(&key.to_bytes());
    bytes
}

fn key_from_bytes(bytes: &[u8]) -> Option<(BlobKey, Slot)> {
    let (slot, key) = bytes.split_last()?;
    let slot = match slot {
        0 => Slot::First,
        1 => Slot::Second,
        _ => return None,
    };
    Some((BlobKey::from_bytes(key)?, slot))
}

/// What one slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: BlobKey,
    pub(super) slot: Slot,
    pub(super) generation: u64,
    /// `None`: from this generation on there is no such blob.
    pub(super) blob: Option<Bytes>,
}

const GONE: u8 = 0;
const THERE: u8 = 1;
/// Generation and whether there is a blob.
const HEADER_BYTES: usize = 9;

/// The bytes of a version, kept under its key.
pub(super) fn encode(generation: u64, blob: Option<&Bytes>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + blob.map_or(0, Bytes::len));
    bytes.put_u64(generation);
    bytes.put_u8(if blob.is_some() { THERE } else { GONE });
    bytes.extend_from_slice(blob.map_or(&[], |blob| blob));
    bytes
}

/// The version that stands under these bytes.
pub(super) fn decode(key: &[u8], mut bytes: Bytes) -> Result<Version, Failure> {
    let (key, slot) = key_from_bytes(key).ok_or("a blob's key is not of ten bytes")?;
    if bytes.len() < HEADER_BYTES {
        return Err(format!("blob {key:?} is of {} bytes only", bytes.len()).into());
    }
    let generation = bytes.get_u64();
    let blob = match bytes.get_u8() {
        THERE => Some(bytes),
        GONE => None,
        other => return Err(format!("blob {key:?} begins with {other:#04x}").into()),
    };
    Ok(Version { key, slot, generation, blob })
}

/// A set of blob keys, small where their ids are dense.
#[derive(Debug, Default)]
struct Bits {
    /// By kind, and id without its last six bits.
    words: BTreeMap<(u8, u64), u64>,
}

impl Bits {
    fn place(key: BlobKey) -> ((u8, u64), u64) {
        ((key.kind, key.id >> 6), 1 << (key.id & 63))
    }

    fn contains(&self, key: BlobKey) -> bool {
        let (word, bit) = Self::place(key);
        self.words.get(&word).is_some_and(|bits| bits & bit != 0)
    }

    fn insert(&mut self, key: BlobKey) {
        let (word, bit) = Self::place(key);
        *self.words.entry(word).or_default() |= bit;
    }

    /// Afterwards it holds what was in one of the two only.
    fn toggle(&mut self, other: Self) {
        for (word, bits) in other.words {
            *self.words.entry(word).or_default() ^= bits;
        }
    }
}

/// Which slot of each blob counts, and which blobs a checkpoint under way has written.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Blobs whose second slot counts.
    second: Bits,
    /// Blobs that the checkpoint under way has written.
    written: Bits,
    /// Blobs that the checkpoint under way removes.
    removed: BTreeSet<BlobKey>,
    /// Blobs that a complete checkpoint has removed: neither slot is needed any more.
    gone: BTreeSet<BlobKey>,
}

impl Slots {
    /// The version that counts.
    fn learn(&mut self, version: &Version) {
        if version.slot == Slot::Second {
            self.second.insert(version.key);
        }
        if version.blob.is_none() {
            self.gone.insert(version.key);
        }
    }

    /// Where the checkpoint under way writes a blob, or that there is none any more.
    pub(super) fn write(&mut self, key: BlobKey, is_there: bool) -> Slot {
        self.written.insert(key);
        // Its slots are still needed.
        self.gone.remove(&key);
        if is_there {
            self.removed.remove(&key);
        } else {
            self.removed.insert(key);
        }
        if self.second.contains(key) { Slot::First } else { Slot::Second }
    }

    /// Up to `count` blobs both of whose slots may go.
    pub(super) fn take_gone(&mut self, count: usize) -> Vec<BlobKey> {
        std::iter::from_fn(|| self.gone.pop_first()).take(count).collect()
    }

    /// The checkpoint under way counts.
    pub(super) fn complete(&mut self) {
        self.second.toggle(std::mem::take(&mut self.written));
        self.gone.append(&mut self.removed);
    }
}

/// Of versions in the order of their keys those that count, and in the end which slots they have.
pub(super) struct Counting<I: Iterator<Item = Result<Version, Failure>>> {
    versions: Peekable<I>,
    /// The generation of the mark.
    generation: u64,
    slots: Slots,
}

impl<I: Iterator<Item = Result<Version, Failure>>> Counting<I> {
    pub(super) fn new(versions: I, generation: u64) -> Self {
        Self { versions: versions.peekable(), generation, slots: Slots::default() }
    }

    /// What was learnt; complete once everything was read.
    pub(super) fn into_slots(self) -> Slots {
        self.slots
    }

    /// The version of the next blob that counts, if one does.
    fn next_blob(&mut self) -> Option<Result<Option<Version>, Failure>> {
        let one = match self.versions.next()? {
            Ok(one) => one,
            Err(failure) => return Some(Err(failure)),
        };
        let is_other = |other: &Result<Version, Failure>| {
            other.as_ref().map_or(true, |other| other.key == one.key)
        };
        let other = match self.versions.next_if(is_other).transpose() {
            Ok(other) => other,
            Err(failure) => return Some(Err(failure)),
        };
        let complete = [Some(one), other].into_iter().flatten();
        let complete = complete.filter(|version| version.generation <= self.generation);
        Some(Ok(complete.max_by_key(|version| version.generation)))
    }
}

impl<I: Iterator<Item = Result<Version, Failure>>> Iterator for Counting<I> {
    type Item = Result<(BlobKey, Bytes), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let counting = match self.next_blob()? {
                Ok(Some(counting)) => counting,
                Ok(None) => continue,
                Err(failure) => return Some(Err(failure)),
            };
            self.slots.learn(&counting);
            if let Some(blob) = counting.blob {
                return Some(Ok((counting.key, blob)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: BlobKey = BlobKey { kind: 1, id: 70 };

    fn key(id: u64) -> BlobKey {
        BlobKey { kind: 1, id }
    }

    fn version(id: u64, slot: Slot, generation: u64, blob: Option<&'static str>) -> Version {
        Version { key: key(id), slot, generation, blob: blob.map(Bytes::from) }
    }

    fn counting(versions: Vec<Version>, mark: u64) -> (Vec<(u64, Bytes)>, Slots) {
        let mut counting = Counting::new(versions.into_iter().map(Ok), mark);
        let found = counting.by_ref().map(|found| found.expect("no version fails"));
        let found = found.map(|(key, blob)| (key.id, blob)).collect();
        (found, counting.into_slots())
    }

    #[test]
    fn a_version_reads_back_from_its_bytes() {
        for blob in [Some("state"), Some(""), None] {
            let version = version(300, Slot::Second, 1 << 40, blob);
            let key = key_to_bytes(version.key, version.slot);
            let bytes = encode(version.generation, version.blob.as_ref());
            assert_eq!(decode(&key, bytes.clone().into()).expect("whole"), version);
            assert!(decode(&key, Bytes::from(bytes).slice(..8)).is_err());
        }
        assert!(decode(&[1; 10], Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1, 2])).is_err());
        assert!(decode(&[2; 10], encode(1, None).into()).is_err(), "there is no third slot");
    }

    #[test]
    fn of_each_blob_the_newest_version_up_to_the_mark_counts() {
        let (found, mut slots) = counting(
            vec![
                version(1, Slot::First, 4, Some("old")),
                version(1, Slot::Second, 5, Some("new")),
                version(2, Slot::First, 5, Some("kept")),
                version(2, Slot::Second, 6, Some("cut off")),
                version(3, Slot::First, 6, Some("cut off, and the only one")),
                version(4, Slot::Second, 1, Some("unchanged")),
                version(5, Slot::First, 3, Some("removed since")),
                version(5, Slot::Second, 5, None),
            ],
            5,
        );
        assert_eq!(found, [(1, "new".into()), (2, "kept".into()), (4, "unchanged".into())]);
        let free: Vec<_> = (1..=4).map(|id| slots.write(key(id), true)).collect();
        assert_eq!(free, [Slot::First, Slot::Second, Slot::Second, Slot::First]);
        assert_eq!(slots.take_gone(9), [key(5)]);
    }

    #[test]
    fn a_checkpoint_never_writes_where_the_last_complete_one_stands() {
        let mut slots = Slots::default();
        assert_eq!(slots.write(KEY, true), Slot::Second);
        assert_eq!(slots.write(KEY, true), Slot::Second, "again in the same checkpoint");
        slots.complete();
        assert_eq!(slots.write(KEY, true), Slot::First);
        slots.complete();
        slots.complete();
        assert_eq!(slots.write(KEY, true), Slot::Second, "two without it in between");
    }

    #[test]
    fn a_removed_blob_leaves_the_disk_only_once_its_removal_counts() {
        let mut slots = Slots::default();
        slots.write(KEY, true);
        slots.complete();
        slots.write(KEY, false);
        assert_eq!(slots.take_gone(9), []);
        slots.complete();
        assert_eq!(slots.take_gone(9), [KEY]);
        assert_eq!(slots.take_gone(9), []);
    }

    #[test]
    fn a_blob_that_comes_back_stays_on_disk() {
        let mut slots = Slots::default();
        slots.write(KEY, false);
        slots.write(KEY, true);
        slots.complete();
        slots.write(key(8), false);
        slots.complete();
        slots.write(key(8), true);
        assert_eq!(slots.take_gone(9), []);
    }
}
