//! A watch of vitals: its places, which the task fills and the stream empties.
//!
//! The places stand behind a lock that neither side holds for longer than one reading takes, and
//! never while it waits.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::slots::{LiveReading, Next, Offered, Slots, Told};
use crate::hub::Heartbeat;
use crate::vitals::{PatientId, PatientKey};

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VitalsEnded {
    /// There are more vitals to be watched than a watcher, or all of them, may hold.
    #[error("more vitals are to be watched than there is room for")]
    TooWide,
    /// It took nothing for longer than [`UNREAD_MAX`](super::UNREAD_MAX).
    #[error("the watcher read nothing for too long")]
    TooSlow,
    /// The service is ending.
    #[error("the service is ending")]
    Stopping,
    /// Nobody watches any more.
    #[error("nobody watches any more")]
    Dropped,
}

/// What both sides share.
pub(super) struct Shared {
    slots: Mutex<Slots>,
    /// There may be something to take.
    changed: Notify,
}

impl Shared {
    pub(super) fn new(slots: Slots) -> Self {
        Self { slots: Mutex::new(slots), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn offer(&self, live: LiveReading, now: Instant) -> Offered {
        let offered = self.lock().offer(live, now);
        if offered != Offered::LeftOut {
            self.changed.notify_one();
        }
        offered
    }

    pub(super) fn leave(&self, key: PatientKey, patient: &PatientId) {
        self.lock().leave(key, patient);
        self.changed.notify_one();
    }

    pub(super) fn beat(&self, heartbeat: Heartbeat, now: Instant) -> bool {
        let is_there = self.lock().beat(heartbeat, now);
        self.changed.notify_one();
        is_there
    }

    pub(super) fn end(&self, why: VitalsEnded) {
        self.lock().end(why);
        self.changed.notify_one();
    }
}

/// A watch, to be read by the one who asked for it.
pub struct VitalsWatch {
    shared: Arc<Shared>,
}

impl VitalsWatch {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes in what was known when the watch began.
    pub fn begin_with(&mut self, known: impl Iterator<Item = LiveReading>) {
        let now = Instant::now();
        for live in known {
            self.shared.lock().begin_with(live, now);
        }
    }

    /// Everything that was known when the watch began was taken in.
    pub fn begun(&mut self) {
        self.shared.lock().begun();
    }

    /// Whether nothing waits any more that waited then.
    #[must_use]
    pub fn has_told(&self, until: Instant) -> bool {
        self.shared.lock().has_told(until)
    }

    /// What the watcher is told next, as soon as it may be.
    ///
    /// Cancel safe: what a dropped call would have told, the next one tells.
    ///
    /// # Errors
    /// [`VitalsEnded`] once there will be nothing any more.
    pub async fn next(&mut self) -> Result<Told, VitalsEnded> {
        loop {
            let next = self.shared.lock().take(Instant::now());
            let changed = self.shared.changed.notified();
            match next {
                Next::Told(told) => return Ok(*told),
                Next::Ended(why) => return Err(why),
                Next::Wait(None) => changed.await,
                Next::Wait(Some(at)) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }
}

impl Drop for VitalsWatch {
    fn drop(&mut self) {
        self.shared.end(VitalsEnded::Dropped);
    }
}
