//! Which numbered readings of a device have come: duplicates are told from gaps.
//!
//! A device numbers its readings within a boot, from 0 or 1 on. For each of its last
//! [`BOOTS_MAX`] boots this keeps a high-water mark and the gaps below it, so that a resend in any
//! cut or order is recognised. Numbers count as come that were admitted, or refused for what they
//! are; one that was refused because its device was unbound, say, may come again and be admitted
//! then. Numbers below the first one ever seen are a gap too, for they may still come; only a
//! number 0 that alone is missing is not told as such, because a device may begin at 1.
//!
//! The boot of the highest id is the present one. Its high-water mark stands by itself, so that a
//! device whose numbers come in order costs two words; gaps and earlier boots are packed into at
//! most [`PACKED_BYTES_MAX`] bytes. That is room for about fifty gaps of some twenty readings
//! each: a gap costs two to four bytes, and twenty at most.
//!
//! **At the bounds.** Where the gaps no longer fit, the two lowest of the boot that was heard of
//! longest ago become one, and that is counted. Readings between them would be stored twice if
//! they were sent again, and are told as missing: the lowest, because what was sent longest ago is
//! the least likely to be sent again. The other way, calling an open gap closed, would lose
//! readings that were never stored. Of more boots than [`BOOTS_MAX`] the earlier one that was
//! heard of longest ago is forgotten: its readings would be stored twice, too.
//!
//! [`Sequences::to_packed`] is the same in bytes, for followers: who holds the readings holds with
//! them by which numbers they were admitted. Its first byte is the version of its form.

mod boot;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::boot::{Boot, Span, ZERO_ALONE, absolute, relative};

/// Boots whose numbers are remembered. A buffering gateway resends across a restart or two.
pub(super) const BOOTS_MAX: usize = 4;
/// What gaps and earlier boots may take: all that is left of the 512 bytes that the accounting of
/// a device may take.
pub(super) const PACKED_BYTES_MAX: usize = 128;
/// More gaps than this can never fit.
const GAPS_MAX: usize = PACKED_BYTES_MAX / 2;

/// The version of what [`Sequences::to_packed`] gives. Its body is postcard's wire format of the
/// present boot and of one past its highest number, and behind it, if there are any, gaps and
/// earlier boots as they stand in memory.
const PACKED_VERSION: u8 = 1;

/// Bytes are not the numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are not a device's numbers, or of a version that this service does not know")]
pub struct InvalidNumbers;

/// The numbers of one device. Checkpoints keep them unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Boot>", into = "Vec<Boot>")]
pub(super) struct Sequences {
    /// The present boot; 0 while no numbers have come.
    boot_id: u64,
    /// One past its highest number that has come.
    next: u64,
    /// Its gaps and the earlier boots, if there are any.
    packed: Box<[u8]>,
}

/// What is known of the numbers of one batch before it is taken in.
#[derive(Debug)]
pub(super) struct Known {
    next: u64,
    /// Left empty if no number of the batch is below `next`.
    gaps: Vec<Span>,
    is_earlier_boot: bool,
}

impl Known {
    /// Whether this number has come before.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        sequence < self.next && !self.gaps.iter().any(|gap| (gap.0..gap.1).contains(&sequence))
    }

    /// Whether a number that has not come before comes after a later one.
    pub(super) const fn is_overtaken(&self, sequence: u64) -> bool {
        self.is_earlier_boot || sequence < self.next
    }
}

/// What was unusual about the numbers of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unusual {
    /// A boot began that was not known, and was not the first.
    pub(super) is_restarted: bool,
    /// Gaps that opened.
    pub(super) gaps: u64,
    /// How often two gaps became one because there were too many.
    pub(super) overflows: u64,
}

/// Where a device stands in its present boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Standing {
    /// The boot; 0 if the device keeps no numbers.
    pub(in crate::engine) boot_id: u64,
    /// The highest number that has come, if any has.
    pub(in crate::engine) highest: Option<u64>,
    /// What has not come below it: the first and the last of each span, ascending.
    pub(in crate::engine) missing: Vec<(u64, u64)>,
    /// How many numbers that are.
    pub(in crate::engine) missing_count: u64,
}

/// Whether these bytes are the numbers of a device, as an output carries them.
///
/// # Errors
/// [`InvalidNumbers`] if they are not.
pub fn check_packed(bytes: &[u8]) -> Result<(), InvalidNumbers> {
    Sequences::from_packed(bytes).map(drop)
}

impl Sequences {
    /// What is known of a batch of this boot whose lowest number is `first`.
    pub(super) fn look_up(&self, boot_id: u64, first: u64) -> Known {
        let is_earlier_boot = boot_id < self.boot_id;
        if boot_id == self.boot_id && first >= self.next {
            return Known { next: self.next, gaps: Vec::new(), is_earlier_boot };
        }
        let boot = self.unpack().into_iter().find(|boot| boot.id == boot_id).unwrap_or_default();
        Known { next: boot.next, gaps: boot.gaps, is_earlier_boot }
    }

    /// Records that these numbers of a boot, each once, have come. All of a batch at once, so that
    /// gaps which its own readings close are never counted.
    pub(super) fn record(&mut self, boot_id: u64, mut numbers: Vec<u64>) -> Unusual {
        numbers.sort_unstable();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Unusual::default();
        };
        let is_whole = last - first + 1 == numbers.len() as u64;
        if boot_id == self.boot_id && *first == self.next && is_whole {
            self.next = last + 1;
            return Unusual::default();
        }
        self.record_unusual(boot_id, &numbers)
    }

    fn record_unusual(&mut self, boot_id: u64, numbers: &[u64]) -> Unusual {
        let mut boots = self.unpack();
        let known = boots.iter().position(|boot| boot.id == boot_id);
        let is_restarted = known.is_none() && !boots.is_empty();
        // The one that is heard of now goes last, and so is forgotten last.
        let mut boot = known
            .map_or_else(|| Boot { id: boot_id, ..Boot::default() }, |index| boots.remove(index));
        let mut gaps = 0;
        for run in numbers.chunk_by(|one, next| one + 1 == *next) {
            gaps += u64::from(boot.come(run[0], run[run.len() - 1] + 1));
        }
        boots.push(boot);
        if boots.len() > BOOTS_MAX {
            // Never the present one: it is among the last two.
            boots.remove(0);
        }
        let overflows = self.pack(boots);
        Unusual { is_restarted, gaps, overflows }
    }

    /// Where the device stands.
    pub(super) fn standing(&self) -> Standing {
        let present = self.unpack().into_iter().max_by_key(|boot| boot.id).unwrap_or_default();
        let told = present.gaps.iter().filter(|gap| **gap != ZERO_ALONE);
        let missing: Vec<_> = told.map(|(start, end)| (*start, end - 1)).collect();
        let count = missing.iter().map(|(first, last)| last - first + 1);
        Standing {
            boot_id: self.boot_id,
            highest: self.next.checked_sub(1),
            missing_count: count.sum(),
            missing,
        }
    }

    /// How many numbers of the present boot have not come.
    pub(super) fn missing_count(&self) -> u64 {
        if self.packed.is_empty() { 0 } else { self.standing().missing_count }
    }

    /// The present boot, and its highest number that has come.
    pub(super) fn highest(&self) -> (u64, Option<u64>) {
        (self.boot_id, self.next.checked_sub(1))
    }

    /// Allocated bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.len()
    }

    /// All of it in a few bytes; none if no numbers have come.
    pub(super) fn to_packed(&self) -> Bytes {
        if self.boot_id == 0 {
            return Bytes::new();
        }
        let mut bytes = postcard::to_extend(&(self.boot_id, self.next), vec![PACKED_VERSION])
            .expect("plain values into a growing buffer have no way to fail");
        bytes.extend_from_slice(&self.packed);
        bytes.into()
    }

    /// What [`Sequences::to_packed`] gave.
    pub(super) fn from_packed(bytes: &[u8]) -> Result<Self, InvalidNumbers> {
        let (version, body) = match bytes {
            [] => return Ok(Self::default()),
            [version, body @ ..] => (*version, body),
        };
        if version != PACKED_VERSION {
            return Err(InvalidNumbers);
        }
        let ((boot_id, next), packed) =
            postcard::take_from_bytes::<(u64, u64)>(body).map_err(|_| InvalidNumbers)?;
        let is_readable =
            packed.is_empty() || postcard::from_bytes::<(Vec<Span>, Vec<Boot>)>(packed).is_ok();
        if boot_id == 0 || !is_readable || packed.len() > PACKED_BYTES_MAX {
            return Err(InvalidNumbers);
        }
        let sequences = Self { boot_id, next, packed: packed.into() };
        let is_sound = sequences.unpack().iter().all(Boot::is_sound);
        if is_sound { Ok(sequences) } else { Err(InvalidNumbers) }
    }

    /// The earlier boots, the one that was heard of last at the end, and then the present one.
    fn unpack(&self) -> Vec<Boot> {
        if self.boot_id == 0 {
            return Vec::new();
        }
        let mut present = Boot { id: self.boot_id, next: self.next, gaps: Vec::new() };
        if self.packed.is_empty() {
            return vec![present];
        }
        let (gaps, mut boots): (Vec<Span>, Vec<Boot>) =
            postcard::from_bytes(&self.packed).expect("packed by `pack`");
        present.gaps = absolute(gaps);
        for boot in &mut boots {
            boot.gaps = absolute(std::mem::take(&mut boot.gaps));
        }
        boots.push(present);
        boots
    }

    /// Takes these boots in; says how many gaps had to become one with another.
    fn pack(&mut self, mut boots: Vec<Boot>) -> u64 {
        let mut overflows = 0;
        for boot in &mut boots {
            overflows += boot.join_lowest(boot.gaps.len().saturating_sub(GAPS_MAX));
        }
        loop {
            *self = Self::packed(&boots);
            let longest_ago = boots.iter_mut().find(|boot| boot.gaps.len() > 1);
            match longest_ago {
                Some(boot) if self.packed.len() > PACKED_BYTES_MAX => {
                    overflows += boot.join_lowest(1);
                }
                _ => return overflows,
            }
        }
    }

    fn packed(boots: &[Boot]) -> Self {
        let Some(present) = boots.iter().max_by_key(|boot| boot.id) else {
            return Self::default();
        };
        let earlier = boots.iter().filter(|boot| boot.id != present.id);
        let earlier: Vec<_> =
            earlier.map(|boot| Boot { gaps: relative(&boot.gaps), ..boot.clone() }).collect();
        let packed = if present.gaps.is_empty() && earlier.is_empty() {
            Vec::new()
        } else {
            postcard::to_stdvec(&(relative(&present.gaps), earlier))
                .expect("plain values into a growing buffer have no way to fail")
        };
        Self { boot_id: present.id, next: present.next, packed: packed.into_boxed_slice() }
    }
}

impl From<Vec<Boot>> for Sequences {
    fn from(boots: Vec<Boot>) -> Self {
        Self::packed(&boots)
    }
}

impl From<Sequences> for Vec<Boot> {
    fn from(sequences: Sequences) -> Self {
        sequences.unpack()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Sequences {
        fn contains(&self, boot_id: u64, sequence: u64) -> bool {
            self.look_up(boot_id, sequence).contains(sequence)
        }
    }

    /// Consecutive numbers, some of which were refused and may come again.
    fn numbers_of_a_batch() -> impl Strategy<Value = Vec<u64>> {
        (0_u64..30, proptest::collection::vec(any::<bool>(), 1..10)).prop_map(
            |(first, admitted)| {
                let numbers = (first..).zip(admitted).filter(|(_, is_admitted)| *is_admitted);
                numbers.map(|(number, _)| number).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn a_number_is_a_duplicate_exactly_if_it_came_before(
            batches in proptest::collection::vec((1_u64..5, numbers_of_a_batch()), 0..60),
        ) {
            let mut sequences = Sequences::default();
            let mut come = BTreeSet::new();
            for (boot, numbers) in batches {
                for number in 0..40 {
                    let has_come = come.contains(&(boot, number));
                    prop_assert_eq!(sequences.contains(boot, number), has_come);
                }
                come.extend(numbers.iter().map(|number| (boot, *number)));
                sequences.record(boot, numbers);
            }
            let present = come.iter().next_back().map_or(0, |(boot, _)| *boot);
            let highest = come.iter().next_back().map(|(_, number)| *number);
            prop_assert_eq!(sequences.highest(), (present, highest));
        }

        #[test]
        fn what_has_not_come_is_never_called_a_duplicate_and_the_packed_has_its_bound(
            numbers in proptest::collection::vec((0_u64..6, 0_u64..4000), 0..300),
        ) {
            let mut sequences = Sequences::default();
            let mut come = BTreeSet::new();
            for (boot, number) in numbers {
                sequences.record(u64::MAX - boot, vec![number]);
                come.insert((u64::MAX - boot, number));
                prop_assert!(sequences.heap_bytes() <= PACKED_BYTES_MAX);
            }
            for boot in (0..6).map(|boot| u64::MAX - boot) {
                let known = sequences.look_up(boot, 0);
                for number in 0..4000 {
                    prop_assert!(!known.contains(number) || come.contains(&(boot, number)));
                }
            }
        }

        #[test]
        fn a_checkpoint_keeps_them(numbers in proptest::collection::vec((1_u64..5, 0_u64..300), 0..60)) {
            let mut sequences = Sequences::default();
            for (boot, number) in numbers {
                sequences.record(boot, vec![number]);
            }
            let kept = postcard::to_stdvec(&sequences).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Sequences>(&kept).unwrap(), &sequences);
            let packed = sequences.to_packed();
            prop_assert_eq!(Sequences::from_packed(&packed).unwrap(), sequences);
        }

        #[test]
        fn any_bytes_are_numbers_that_can_be_read_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = bytes;
            if let Some(version) = bytes.first_mut() {
                *version = PACKED_VERSION;
            }
            if let Ok(sequences) = Sequences::from_packed(&bytes) {
                sequences.standing();
            }
        }
    }

    #[test]
    fn version_1_of_packed_numbers_stays_readable() {
        let mut sequences = Sequences::default();
        sequences.record(1_767_225_000, (0..70_000).collect());
        let in_order = [1, 0xa8, 0xed, 0xd6, 0xca, 0x06, 0xf0, 0xa2, 0x04];
        assert_eq!(*sequences.to_packed(), in_order);
        sequences.record(1_767_225_000, vec![70_020]);
        sequences.record(7, vec![0, 1, 5]);
        let gaps = [1, 0xf0, 0xa2, 0x04, 20];
        let earlier = [1, 7, 6, 1, 2, 3];
        let unusual = [&in_order[..6], &[0x85, 0xa3, 0x04], &gaps, &earlier].concat();
        assert_eq!(*sequences.to_packed(), unusual);
        assert_eq!(Sequences::from_packed(&unusual), Ok(sequences));
        assert_eq!(Sequences::from_packed(&[]), Ok(Sequences::default()));
        for wrong in [&[2, 7, 1][..], &[1], &[1, 0, 1], &[1, 7, 1, 0xff]] {
            assert_eq!(Sequences::from_packed(wrong), Err(InvalidNumbers), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_in_order_take_nothing_beyond_the_mark() {
        let mut sequences = Sequences::default();
        for batch in 0..100 {
            let unusual = sequences.record(7, (batch * 20..batch * 20 + 20).rev().collect());
            assert_eq!(unusual, Unusual::default());
        }
        assert_eq!((sequences.heap_bytes(), sequences.highest()), (0, (7, Some(1999))));
    }

    #[test]
    fn a_batch_in_any_order_leaves_no_gap_behind() {
        let mut sequences = Sequences::default();
        let unusual = sequences.record(1, (0..200).map(|number| number * 77 % 200).collect());
        assert_eq!((unusual, sequences.missing_count()), (Unusual::default(), 0));
        assert!((0..200).all(|number| sequences.contains(1, number)));
    }

    #[test]
    fn a_batch_that_begins_in_order_may_have_gaps_all_the_same() {
        let mut sequences = Sequences::default();
        sequences.record(1, vec![0]);
        let unusual = sequences.record(1, vec![1, 2, 5, 6]);
        assert_eq!((unusual.gaps, sequences.standing().missing), (1, vec![(3, 4)]));
    }

    #[test]
    fn gaps_are_counted_as_they_open_and_told_while_they_last() {
        let mut sequences = Sequences::default();
        let unusual = sequences.record(1, vec![1, 2, 3, 10, 11, 20]);
        assert_eq!(unusual, Unusual { gaps: 2, ..Unusual::default() });
        let standing = sequences.standing();
        assert_eq!(standing.missing, [(4, 9), (12, 19)], "a device may begin at 1");
        assert_eq!((standing.missing_count, standing.highest), (14, Some(20)));
        assert_eq!(sequences.record(1, (4..10).collect()), Unusual::default());
        assert_eq!(sequences.standing().missing, [(12, 19)]);
        assert_eq!(sequences.record(1, (12..20).collect()), Unusual::default());
        assert_eq!(sequences.missing_count(), 0);
        assert!(!sequences.contains(1, 0), "should it come after all, it is admitted");
    }

    #[test]
    fn an_unknown_boot_is_a_restart_and_the_highest_is_the_present_one() {
        let mut sequences = Sequences::default();
        assert!(!sequences.record(5, vec![0]).is_restarted, "the first is no restart");
        assert!(sequences.record(6, vec![0, 1]).is_restarted);
        assert!(sequences.look_up(5, 1).is_overtaken(1));
        assert!(!sequences.record(5, vec![1]).is_restarted, "it is known");
        assert_eq!(sequences.highest(), (6, Some(1)));
    }

    #[test]
    fn the_earlier_boot_heard_of_longest_ago_is_forgotten() {
        let mut sequences = Sequences::default();
        for boot in [9, 1, 2, 3] {
            sequences.record(boot, vec![0]);
        }
        sequences.record(1, vec![1]);
        sequences.record(4, vec![0]);
        let known = [9, 1, 2, 3, 4].map(|boot| sequences.contains(boot, 0));
        assert_eq!(known, [true, true, false, true, true]);
    }

    #[test]
    fn too_many_gaps_are_joined_from_the_lowest_and_counted() {
        let mut sequences = Sequences::default();
        // A link that loses every other message of twenty readings, and never gets them again.
        let mut overflows = 0;
        for batch in (1..400_u64).step_by(2) {
            overflows += sequences.record(1, (batch * 20..batch * 20 + 20).collect()).overflows;
        }
        assert!(overflows > 0);
        let kept = sequences.standing().missing.len();
        assert!(kept >= 50, "{kept} gaps are kept");
        assert!(sequences.contains(1, 399 * 20) && !sequences.contains(1, 398 * 20));
        assert!(!sequences.contains(1, 20), "the oldest are forgotten");
    }

    #[test]
    fn thousands_of_gaps_in_one_batch_are_joined_too() {
        let mut sequences = Sequences::default();
        let unusual = sequences.record(3, (1..10_000).step_by(2).collect());
        assert!(unusual.overflows > 4900, "{unusual:?}");
        assert!(sequences.contains(3, 9999) && !sequences.contains(3, 9998));
    }
}
