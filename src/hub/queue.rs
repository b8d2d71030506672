//! The queue between the hub and one watcher, bounded in updates and in bytes.
//!
//! The hub never waits for it. When it would overflow, it is emptied and closed: the watcher finds
//! that it has lagged, and since when, and goes on from the journal or not at all. So a watcher
//! that does not read keeps nothing in memory but its place.
//!
//! An update is a pointer to what all watchers share. Its bytes are counted all the same, because
//! who reads late may be the last who holds an event. A snapshot is not counted: it comes first,
//! and is a pointer for each alert and each patient.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::watcher::Update;

/// Updates that wait for one watcher at most.
pub(super) const UPDATES_MAX: usize = 1024;
/// Bytes of the events among them at most: so many of a usual size, or a few hundred with notes of
/// the greatest length.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// The hub's end. Dropping it ends the queue behind what waits in it.
pub(super) struct Sender(Arc<Shared>);

/// The watcher's end.
pub(super) struct Queue(Arc<Shared>);

/// What a queue gives.
pub(super) enum Next {
    /// An update.
    Update(Update),
    /// The hub has let the watcher go because its queue would have overflowed then.
    Lagged(Instant),
    /// The hub is gone.
    End,
}

/// Why nothing was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The watcher is gone.
    Gone,
    /// The queue would have overflowed: it is closed.
    Lagged,
}

struct Shared {
    /// Held for the moving of pointers only, never over an await.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    updates: VecDeque<Update>,
    bytes: usize,
    lagged_since: Option<Instant>,
    has_hub: bool,
    has_watcher: bool,
}

/// The two ends of a queue.
pub(super) fn channel() -> (Sender, Queue) {
    let state = State { has_hub: true, has_watcher: true, ..State::default() };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
    (Sender(Arc::clone(&shared)), Queue(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two of its operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Next> {
        if let Some(update) = self.updates.pop_front() {
            self.bytes -= update.bytes();
            return Some(Next::Update(update));
        }
        match self.lagged_since {
            Some(since) => Some(Next::Lagged(since)),
            None => (!self.has_hub).then_some(Next::End),
        }
    }

    fn clear(&mut self) {
        // With its room: a watcher that lags may stay for long.
        self.updates = VecDeque::new();
        self.bytes = 0;
    }
}

impl Sender {
    /// Puts an update in.
    pub(super) fn send(&self, update: Update) -> Result<(), Refused> {
        let mut state = self.0.state();
        if !state.has_watcher {
            return Err(Refused::Gone);
        }
        let bytes = state.bytes + update.bytes();
        let fits = state.updates.len() < UPDATES_MAX && bytes <= BYTES_MAX;
        if fits {
            state.bytes = bytes;
            state.updates.push_back(update);
        } else {
            state.lagged_since = Some(Instant::now());
            state.clear();
        }
        drop(state);
        self.0.changed.notify_one();
        if fits { Ok(()) } else { Err(Refused::Lagged) }
    }

    /// Whether the watcher is gone.
    pub(super) fn is_closed(&self) -> bool {
        !self.0.state().has_watcher
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state().has_hub = false;
        self.0.changed.notify_one();
    }
}

impl Queue {
    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.0.state().take() {
                return next;
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_watcher = false;
        state.clear();
    }
}
