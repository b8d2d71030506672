//! The newest entries in memory, shared by every follower that keeps up.
//!
//! Entries stand in it without a gap up to the last durable one; the oldest leave when the whole
//! grows beyond its bound. Followers get pointers, never copies.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Entry;
use super::writer::Record;
use crate::engine::output::Output;
use crate::position::Position;

/// Entries handed out at once at most, so that the writer never waits long for the window.
pub(super) const ENTRIES_MAX: usize = 4096;

pub(super) struct Window {
    entries: VecDeque<(Arc<Entry>, usize)>,
    /// The last entry that was let go; the first of `entries` stands behind it.
    before: Position,
    bytes: usize,
    bytes_max: usize,
}

impl Window {
    /// An empty window of a journal that ends at `last`.
    pub(super) fn new(last: Position, bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), before: last, bytes: 0, bytes_max }
    }

    /// Adds what was committed, and lets the oldest go.
    pub(super) fn push(&mut self, entry: Arc<Entry>, weight: usize) {
        self.entries.push_back((entry, weight));
        self.bytes += weight;
        while self.bytes > self.bytes_max
            && let Some((_, weight)) = self.entries.pop_front()
        {
            self.bytes -= weight;
            self.before = self.before.next();
        }
    }

    /// The entries behind `after`, at least one and not much more than `bytes_max`; `None` if the
    /// next one is not here.
    pub(super) fn read(&self, after: Position, bytes_max: usize) -> Option<Vec<Arc<Entry>>> {
        let skip = usize::try_from(after.0.checked_sub(self.before.0)?).ok()?;
        let mut bytes = 0;
        let found: Vec<_> = self
            .entries
            .range(skip.min(self.entries.len())..)
            .take(ENTRIES_MAX)
            .take_while(|(_, weight)| {
                let fits = bytes < bytes_max;
                bytes += weight;
                fits
            })
            .map(|(entry, _)| Arc::clone(entry))
            .collect();
        (!found.is_empty()).then_some(found)
    }
}

/// What an entry takes in memory, near enough: its values where they stand, and its texts and
/// payloads, which its encoded length bounds well.
pub(super) fn weight(record: &Record) -> usize {
    size_of::<Entry>() + record.entry.outputs.len() * size_of::<Output>() + record.bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::{Event, Input};

    fn window(positions: std::ops::RangeInclusive<u64>, weight: usize, max: usize) -> Window {
        let mut window = Window::new(Position(positions.start() - 1), max);
        for position in positions {
            let input = Input { received_at: Timestamp::EPOCH, event: Event::Tick };
            let entry = Entry { position: Position(position), input, outputs: vec![] };
            window.push(Arc::new(entry), weight);
        }
        window
    }

    fn positions(window: &Window, after: u64, bytes_max: usize) -> Option<Vec<u64>> {
        let found = window.read(Position(after), bytes_max)?;
        Some(found.iter().map(|entry| entry.position.0).collect())
    }

    #[test]
    fn it_holds_no_more_than_its_bytes_and_always_the_newest() {
        let window = window(11..=30, 10, 45);
        assert_eq!(positions(&window, 25, 1000), None);
        assert_eq!(positions(&window, 26, 1000), Some(vec![27, 28, 29, 30]));
        assert_eq!(positions(&window, 29, 1000), Some(vec![30]));
    }

    #[test]
    fn nothing_is_behind_the_last_entry() {
        assert_eq!(positions(&window(1..=3, 10, 100), 3, 1000), None);
        assert_eq!(positions(&window(1..=3, 10, 100), 9, 1000), None);
    }

    #[test]
    fn a_batch_is_bounded_by_bytes_but_never_empty() {
        let window = window(1..=9, 10, 1000);
        assert_eq!(positions(&window, 0, 25), Some(vec![1, 2, 3]));
        assert_eq!(positions(&window, 0, 1), Some(vec![1]));
    }

    #[test]
    fn an_entry_larger_than_the_window_leaves_it_empty_and_in_place() {
        let window = window(1..=3, 10, 5);
        assert_eq!(positions(&window, 2, 1000), None);
        assert_eq!(window.before, Position(3));
    }
}
