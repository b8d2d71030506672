//! Which numbered readings of a device have been admitted: duplicates are told from gaps.
//!
//! A device numbers its readings within a boot. For each of its last [`BOOTS_MAX`] boots this
//! keeps a high-water mark and the gaps below it, so that a resend in any cut or order is
//! recognised. Readings count that were admitted, or refused for what they are; one that was refused
//! because its device was unbound, say, may come again and be admitted then. Numbers below the first one ever seen are a gap too, for they may still come.
//!
//! When a boot has more than [`GAPS_MAX`] gaps, its two lowest become one. Readings between them
//! would be stored twice if they were sent again; the overflow is counted. The other way, calling
//! an open gap closed, would lose readings that were never stored.

use serde::{Deserialize, Serialize};

/// Boots whose numbers are remembered. A buffering gateway resends across a restart or two.
const BOOTS_MAX: usize = 4;
/// Gaps remembered for a boot; bounds the memory of a device.
const GAPS_MAX: usize = 16;

/// The numbers of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequences {
    /// The boots, the most recently begun last.
    boots: Vec<Boot>,
    /// How often two gaps became one because there were too many.
    overflows: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    id: u64,
    /// One past the highest number admitted.
    next: u64,
    /// Ranges below `next` not admitted, half open, ascending and apart.
    gaps: Vec<(u64, u64)>,
}

impl Sequences {
    /// Whether reading `sequence` of boot `boot_id` has been admitted.
    pub(super) fn contains(&self, boot_id: u64, sequence: u64) -> bool {
        self.boots.iter().any(|boot| boot.id == boot_id && boot.contains(sequence))
    }

    /// Records that these readings of boot `boot_id` need not come again. All of a batch at once,
    /// so that gaps which its own readings close are never counted.
    pub(super) fn insert_all(&mut self, boot_id: u64, mut sequences: Vec<u64>) {
        let index = match self.boots.iter().rposition(|boot| boot.id == boot_id) {
            Some(index) => index,
            None => self.begin(boot_id),
        };
        sequences.sort_unstable();
        for sequence in sequences {
            self.boots[index].insert(sequence);
        }
        while self.boots[index].join_gaps() {
            self.overflows = self.overflows.saturating_add(1);
        }
    }

    fn begin(&mut self, boot_id: u64) -> usize {
        if self.boots.len() == BOOTS_MAX {
            self.boots.remove(0);
        }
        // Without spare room: most devices have sent from one boot only.
        self.boots.reserve_exact(1);
        self.boots.push(Boot { id: boot_id, next: 0, gaps: Vec::new() });
        self.boots.len() - 1
    }
}

impl Boot {
    fn contains(&self, sequence: u64) -> bool {
        sequence < self.next && self.gap_of(sequence).is_none()
    }

    fn gap_of(&self, sequence: u64) -> Option<usize> {
        let index = self.gaps.partition_point(|(_, end)| *end <= sequence);
        self.gaps.get(index).filter(|(start, _)| *start <= sequence).map(|_| index)
    }

    fn insert(&mut self, sequence: u64) {
        if sequence >= self.next {
            if sequence > self.next {
                // The first gap, below the first number ever seen, is the only one of most.
                if self.gaps.is_empty() {
                    self.gaps.reserve_exact(1);
                }
                self.gaps.push((self.next, sequence));
            }
            self.next = sequence.saturating_add(1);
        } else if let Some(index) = self.gap_of(sequence) {
            self.split(index, sequence);
        }
    }

    /// Joins the two lowest gaps if there are too many; says whether it did.
    fn join_gaps(&mut self) -> bool {
        let too_many = self.gaps.len() > GAPS_MAX;
        if too_many {
            let (start, _) = self.gaps.remove(0);
            self.gaps[0].0 = start;
        }
        too_many
    }

    fn split(&mut self, index: usize, sequence: u64) {
        let (start, end) = self.gaps[index];
        match (start == sequence, sequence + 1 == end) {
            (true, true) => drop(self.gaps.remove(index)),
            (true, false) => self.gaps[index].0 = sequence + 1,
            (false, true) => self.gaps[index].1 = sequence,
            (false, false) => {
                self.gaps[index].1 = sequence;
                self.gaps.insert(index + 1, (sequence + 1, end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_a_duplicate_exactly_if_it_was_admitted(
            numbers in proptest::collection::vec((1_u64..4, 0_u64..30), 0..200),
        ) {
            let mut sequences = Sequences::default();
            let mut admitted = BTreeSet::new();
            for (boot, number) in numbers {
                prop_assert_eq!(sequences.contains(boot, number), admitted.contains(&(boot, number)));
                sequences.insert_all(boot, vec![number]);
                admitted.insert((boot, number));
            }
        }

        #[test]
        fn nothing_that_was_not_admitted_is_ever_called_a_duplicate(
            numbers in proptest::collection::vec(0_u64..2000, 0..500),
        ) {
            let mut sequences = Sequences::default();
            let mut admitted = BTreeSet::new();
            for number in numbers {
                sequences.insert_all(7, vec![number]);
                admitted.insert(number);
            }
            for number in 0..2000 {
                prop_assert!(!sequences.contains(7, number) || admitted.contains(&number));
            }
        }
    }

    #[test]
    fn a_batch_in_any_order_leaves_no_gap_behind() {
        let mut sequences = Sequences::default();
        let shuffled: Vec<u64> = (0..200).map(|number| number * 77 % 200).collect();
        sequences.insert_all(1, shuffled);
        assert_eq!((sequences.overflows, sequences.boots[0].gaps.len()), (0, 0));
        assert!((0..200).all(|number| sequences.contains(1, number)));
    }

    #[test]
    fn too_many_gaps_are_joined_and_counted() {
        let mut sequences = Sequences::default();
        for number in (1..100).step_by(2) {
            sequences.insert_all(1, vec![number]);
        }
        assert!(sequences.overflows > 0);
        assert!(sequences.boots[0].gaps.len() <= GAPS_MAX);
        assert!(sequences.contains(1, 99), "the newest are still known");
    }
}
