//! How far behind the partition is: what it has taken in and not yet committed, and whether it takes
//! messages at all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// The receipt of the first input of each batch that is not durable yet, the oldest first. There
/// are never more batches than the engine and the committer hold between them.
#[derive(Debug, Default)]
pub struct Backlog {
    batches: Mutex<VecDeque<Timestamp>>,
    /// The committer says so, and the engine thread heeds it before it takes another message.
    is_held: AtomicBool,
    /// The same, for those who only read.
    is_scarce: AtomicBool,
}

impl Backlog {
    /// For how long the oldest input that is not durable has waited; zero if there is none.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.lock().front().map_or(Duration::ZERO, |oldest| now.since(*oldest))
    }

    /// Whether messages are left to the broker, because the journal is full.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Whether so little is left of the journal's reserve that it is kept for commands alone.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.is_scarce.load(Ordering::Relaxed)
    }

    /// What is left of the journal is kept for commands, or no longer.
    pub(super) fn keep_for_commands(&self, is_scarce: bool) {
        self.is_scarce.store(is_scarce, Ordering::Relaxed);
    }

    /// Messages are left to the broker, or taken again.
    pub(super) fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// A batch begins with an input received then.
    pub(crate) fn enter(&self, received_at: Timestamp) {
        self.lock().push_back(received_at);
    }

    /// The oldest batch is durable.
    pub(super) fn leave(&self) {
        self.lock().pop_front();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Timestamp>> {
        // Consistent between any two of its operations.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_oldest_batch_that_is_not_durable() {
        let at = Timestamp::from_seconds;
        let backlog = Backlog::default();
        assert_eq!(backlog.age(at(100)), Duration::ZERO);
        backlog.enter(at(100));
        backlog.enter(at(104));
        assert_eq!(backlog.age(at(131)), Duration::from_secs(31));
        backlog.leave();
        assert_eq!(backlog.age(at(131)), Duration::from_secs(27));
        backlog.leave();
        assert_eq!(backlog.age(at(131)), Duration::ZERO);
    }
}
