//! A table of rows by dense key, of which a consistent snapshot can be taken without stopping.
//!
//! Promises: [`Table::begin_snapshot`] is O(1) and fixes what the snapshot will hold: the rows
//! changed since the snapshot before, as they are at that moment. [`Table::capture`] then gathers
//! them a few at a time, while rows go on changing: a row that changes before it was gathered is
//! first set aside as it was (copy on write). No row is ever removed.

use std::sync::Arc;

/// Rows of `T`, by index from 0.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Counts snapshots begun; a slot whose `changed_in` equals it has changed since the last.
    epoch: u64,
    /// Indices of the rows changed in this epoch.
    changed: Vec<u32>,
    /// Indices of the rows that the snapshot under way has still to gather.
    awaited: Vec<u32>,
    /// Rows that changed before they were gathered, as they were.
    set_aside: Vec<(u32, Arc<T>)>,
}

#[derive(Debug)]
struct Slot<T> {
    row: Arc<T>,
    /// The epoch in which the row last changed; 0 once a snapshot holds it as it is.
    changed_in: u64,
}

impl<T: Clone> Table<T> {
    /// An empty table.
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            epoch: 1,
            changed: Vec::new(),
            awaited: Vec::new(),
            set_aside: Vec::new(),
        }
    }

    /// A table of rows that a snapshot holds already, in the order of their indices.
    pub(super) fn restored(rows: impl Iterator<Item = T>) -> Self {
        let slots = rows.map(|row| Slot { row: Arc::new(row), changed_in: 0 }).collect();
        Self { slots, ..Self::new() }
    }

    /// How many rows there are, which is the index of the next one.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The row at `index`, if there is one.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.slots.get(index).map(|slot| &*slot.row)
    }

    /// All rows, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &*slot.row)
    }

    /// Adds a row at the next index.
    pub(super) fn push(&mut self, row: T) {
        self.changed.push(as_u32(self.slots.len()));
        self.slots.push(Slot { row: Arc::new(row), changed_in: self.epoch });
    }

    /// The row at `index`, to be changed.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let slot = self.slots.get_mut(index)?;
        if slot.changed_in != self.epoch {
            let awaited = slot.changed_in != 0 && slot.changed_in + 1 == self.epoch;
            if awaited && !self.awaited.is_empty() {
                self.set_aside.push((as_u32(index), Arc::clone(&slot.row)));
            }
            slot.changed_in = self.epoch;
            self.changed.push(as_u32(index));
        }
        Some(Arc::make_mut(&mut slot.row))
    }

    /// Begins a snapshot of the rows changed since the one before.
    ///
    /// # Panics
    /// While a snapshot is under way: our own bug.
    pub(super) fn begin_snapshot(&mut self) {
        assert!(self.awaited.is_empty() && self.set_aside.is_empty(), "one snapshot at a time");
        self.awaited = std::mem::take(&mut self.changed);
        self.epoch += 1;
    }

    /// Gathers up to `rows` more rows of the snapshot under way; an empty answer means that it
    /// is complete.
    pub(super) fn capture(&mut self, rows: usize) -> Vec<(u32, Arc<T>)> {
        let mut captured = std::mem::take(&mut self.set_aside);
        while captured.len() < rows {
            let Some(index) = self.awaited.pop() else { break };
            let slot = &mut self.slots[index as usize];
            if slot.changed_in + 1 == self.epoch {
                slot.changed_in = 0;
                captured.push((index, Arc::clone(&slot.row)));
            }
        }
        captured
    }
}

fn as_u32(index: usize) -> u32 {
    u32::try_from(index).expect("keys are u32, and the registry refuses the row after the last")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Change(usize, u8),
        Begin,
        Capture(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u8>().prop_map(Step::Push),
            (0_usize..20, any::<u8>()).prop_map(|(index, row)| Step::Change(index, row)),
            Just(Step::Begin),
            (1_usize..5).prop_map(Step::Capture),
        ]
    }

    proptest! {
        #[test]
        fn a_snapshot_holds_the_rows_as_they_were_when_it_began(
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let mut table = Table::new();
            // What snapshots have gathered so far, and what they should amount to.
            let mut gathered = BTreeMap::new();
            let mut expected: Option<Vec<u8>> = None;
            for step in steps {
                match step {
                    Step::Push(row) => table.push(row),
                    Step::Change(index, row) => {
                        if let Some(slot) = table.get_mut(index) {
                            *slot = row;
                        }
                    }
                    Step::Begin if expected.is_none() => {
                        expected = Some(table.iter().copied().collect());
                        table.begin_snapshot();
                    }
                    Step::Begin => {}
                    Step::Capture(rows) => {
                        let Some(then) = &expected else { continue };
                        let captured = table.capture(rows);
                        if captured.is_empty() {
                            let held: Vec<u8> = gathered.values().copied().collect();
                            prop_assert_eq!(&held, then);
                            expected = None;
                        }
                        gathered.extend(captured.into_iter().map(|(index, row)| (index, *row)));
                    }
                }
            }
        }
    }
}
