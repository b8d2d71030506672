//! Which row an id belongs to.
//!
//! Ids stand in their rows and nowhere else: this holds their numbers only, and asks for the id of
//! a number when it must know. A map with ids of its own took eight times the room. The order of
//! its entries is nobody's business: it is only ever asked, never walked.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// The numbers of a table's rows, to be found by their ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    numbers: HashTable<u32>,
    /// Seeded by chance: who chooses ids can't choose collisions.
    hasher: RandomState,
}

impl Ids {
    /// Those of all rows, in the order of their numbers.
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        let rows: Vec<&str> = ids.collect();
        all.numbers.reserve(rows.len(), |_| 0);
        for number in 0..u32::try_from(rows.len()).expect("keys are u32") {
            all.insert(number, |number| rows[number as usize]);
        }
        all
    }

    /// The number of the row with this id.
    pub(super) fn find<'a>(&self, id: &str, id_of: impl Fn(u32) -> &'a str) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.numbers.find(hash, |number| id_of(*number) == id).copied()
    }

    /// Takes the row with this id out: nothing leads to it any more.
    pub(super) fn remove<'a>(&mut self, id: &str, id_of: impl Fn(u32) -> &'a str) {
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.numbers.find_entry(hash, |number| id_of(*number) == id) {
            entry.remove();
        }
    }

    /// Adds a row whose id no other has.
    pub(super) fn insert<'a>(&mut self, number: u32, id_of: impl Fn(u32) -> &'a str) {
        let hash = |number: &u32| self.hasher.hash_one(id_of(*number));
        self.numbers.insert_unique(hash(&number), number, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_leads_to_its_row_and_no_other_to_any() {
        let rows: Vec<String> = (0..1000).map(|number| format!("device-{number}")).collect();
        let id_of = |number: u32| rows[number as usize].as_str();
        let mut ids = Ids::of(rows[..500].iter().map(String::as_str));
        (500..1000).for_each(|number| ids.insert(number, id_of));
        for number in 0..1000 {
            assert_eq!(ids.find(id_of(number), id_of), Some(number));
        }
        assert_eq!(ids.find("device-1000", id_of), None);
        ids.remove("device-7", id_of);
        assert_eq!((ids.find("device-7", id_of), ids.find("device-8", id_of)), (None, Some(8)));
    }
}
