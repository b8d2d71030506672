//! Rows in the order of their ids, so that they can be listed page by page.
//!
//! Like [`Ids`](super::ids::Ids) it holds numbers only, four to eight bytes each, and asks for the
//! id of a number when it must know. Numbers stand in blocks: to add or remove one moves a block's
//! at most, and a place is found by halving. The order is that of the ids' bytes.

use std::ops::Bound;

/// Numbers of one block at most: 2 KiB to be moved, and a million rows are two thousand blocks.
const BLOCK_MAX: usize = 512;

/// The numbers of rows, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// None of them is empty.
    blocks: Vec<Vec<u32>>,
}

impl Ordered {
    /// Those of these rows, which no two of have the same id.
    pub(super) fn of<'a>(
        numbers: impl Iterator<Item = u32>,
        id_of: impl Fn(u32) -> &'a str,
    ) -> Self {
        // The ids stand here and there in memory: most are told apart by their beginnings.
        let mut begun: Vec<_> = numbers.map(|number| (beginning(id_of(number)), number)).collect();
        begun.sort_unstable_by(|(one, number), (other, another)| {
            one.cmp(other).then_with(|| id_of(*number).cmp(id_of(*another)))
        });
        let mut ordered = Self::default();
        begun.into_iter().for_each(|(_, number)| ordered.push(number));
        ordered
    }

    /// Adds a row whose id comes after all others.
    pub(super) fn push(&mut self, number: u32) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK_MAX => block.push(number),
            _ => self.blocks.push(vec![number]),
        }
    }

    /// Adds a row whose id no other has.
    pub(super) fn insert<'a>(&mut self, number: u32, id_of: impl Fn(u32) -> &'a str) {
        let id = id_of(number);
        let (place, index) = self.place(|other| id_of(other) < id);
        let Some(block) = self.blocks.get_mut(place) else { return self.push(number) };
        block.insert(index, number);
        if block.len() > BLOCK_MAX {
            let rest = block.split_off(BLOCK_MAX / 2);
            self.blocks.insert(place + 1, rest);
        }
    }

    /// Takes a row out, if it is there.
    pub(super) fn remove<'a>(&mut self, number: u32, id_of: impl Fn(u32) -> &'a str) {
        let id = id_of(number);
        let (place, index) = self.place(|other| id_of(other) < id);
        let Some(block) = self.blocks.get_mut(place) else { return };
        if block.get(index) == Some(&number) {
            block.remove(index);
            if block.is_empty() {
                self.blocks.remove(place);
            }
        }
    }

    /// The rows from `start` on, in order.
    pub(super) fn from<'s, 'a>(
        &'s self,
        start: Bound<&str>,
        id_of: &dyn Fn(u32) -> &'a str,
    ) -> impl Iterator<Item = u32> + use<'s, 'a> {
        let (place, index) = self.place(|number| match start {
            Bound::Included(id) => id_of(number) < id,
            Bound::Excluded(id) => id_of(number) <= id,
            Bound::Unbounded => false,
        });
        self.blocks[place..].iter().flatten().skip(index).copied()
    }

    /// Block and index of the first row that does not come before a place in the order.
    fn place(&self, is_before: impl Fn(u32) -> bool) -> (usize, usize) {
        let lies_before = |block: &Vec<u32>| block.last().is_some_and(|last| is_before(*last));
        let place = self.blocks.partition_point(lies_before);
        let block = self.blocks.get(place).map_or(&[][..], Vec::as_slice);
        (place, block.partition_point(|number| is_before(*number)))
    }
}

/// The first sixteen bytes, in an order that is that of texts.
fn beginning(id: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = id.len().min(bytes.len());
    bytes[..length].copy_from_slice(&id.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(count: u32) -> Vec<String> {
        // No order of the numbers, and of two lengths, so that beginnings are alike.
        (0..count).map(|number| format!("patient-in-the-ward-{}", number * 7919 % 10_007)).collect()
    }

    #[test]
    fn what_is_built_at_once_is_what_is_built_one_by_one() {
        let ids = ids(3000);
        let id_of = |number: u32| ids[number as usize].as_str();
        let built = Ordered::of(0..3000, id_of);
        let mut added = Ordered::default();
        (0..3000).for_each(|number| added.insert(number, id_of));
        let all = |ordered: &Ordered| ordered.from(Bound::Unbounded, &id_of).collect::<Vec<_>>();
        let mut sorted: Vec<u32> = (0..3000).collect();
        sorted.sort_by_key(|number| id_of(*number));
        assert_eq!((all(&built), all(&added)), (sorted.clone(), sorted));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_of_ids_would_hold_and_begins_anywhere(
            steps in proptest::collection::vec((any::<bool>(), 0_u32..2000), 0..3000),
            (start, is_excluded) in (0_u32..2000, any::<bool>()),
        ) {
            let ids = ids(2000);
            let id_of = |number: u32| ids[number as usize].as_str();
            let mut ordered = Ordered::default();
            let mut set = BTreeSet::new();
            for (is_added, number) in steps {
                if !is_added {
                    ordered.remove(number, id_of);
                    set.remove(id_of(number));
                } else if set.insert(id_of(number)) {
                    ordered.insert(number, id_of);
                }
            }
            let start = id_of(start);
            let start = if is_excluded { Bound::Excluded(start) } else { Bound::Included(start) };
            let found: Vec<_> = ordered.from(start, &id_of).map(id_of).collect();
            let expected: Vec<_> = set.range::<str, _>((start, Bound::Unbounded)).copied().collect();
            prop_assert_eq!(found, expected);
            prop_assert!(ordered.blocks.iter().all(|block| (1..=BLOCK_MAX).contains(&block.len())));
        }
    }
}
