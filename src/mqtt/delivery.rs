//! What the source hands on, and the ledger by which acknowledgements find their way back.
//!
//! The ledger promises three things about the PUBACKs that leave:
//!
//! - **Order.** They leave in the order of arrival, as MQTT demands, whatever the order in which
//!   owners settle: one that is settled early waits for those before it.
//! - **Epoch.** Each belongs to the connection its message came on. A packet id means another
//!   message on the next connection, so one that is late is dropped and counted, under the same
//!   lock under which epochs change.
//! - **Bound.** The ledger holds one slot for each message of the current connection that was
//!   received and is not acknowledged, so no more than stand in the queues that hold deliveries.
//!
//! It does not send: the session takes what is released and writes it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::counter;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::clock::Timestamp;
use crate::engine::input::Event;
use crate::telemetry::names;

/// Something that happened at the broker, in order.
#[derive(Debug)]
pub struct Delivery {
    /// When it was received.
    pub received_at: Timestamp,
    /// What happened: [`Event::Publish`] or [`Event::Link`].
    pub event: Event,
    /// How to acknowledge it, if it is a message that wants to be.
    pub acknowledgement: Option<Acknowledgement>,
    /// The room that a message takes among those on their way; dropping it makes room for others.
    pub admission: Option<Admission>,
}

/// A message's room among those on their way to the engine.
#[derive(Debug)]
pub struct Admission {
    /// Held, never used: dropping it gives the room back.
    _bytes: OwnedSemaphorePermit,
}

/// The room for messages on their way.
///
/// Only the session takes of it, and reads a message only where the largest has room: so no
/// message waits for room once it was read.
#[derive(Debug)]
pub(super) struct Admissions {
    free: Arc<Semaphore>,
    /// What the largest message takes.
    message_bytes_max: u32,
}

impl Admissions {
    /// Room for `bytes_max`, or for one message if that takes more.
    pub(super) fn new(bytes_max: u32, message_bytes_max: u32) -> Self {
        let bytes = bytes_max.max(message_bytes_max);
        let bytes = usize::try_from(bytes).unwrap_or(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes)), message_bytes_max }
    }

    /// Whether any message has room.
    pub(super) fn has_room(&self) -> bool {
        self.free.available_permits() >= self.message_bytes_max as usize
    }

    /// Waits until any message has room. Cancel safe.
    pub(super) async fn room(&self) {
        let room = self.free.acquire_many(self.message_bytes_max).await;
        drop(room.expect("it is never closed"));
    }

    /// Takes the room of a message of so many bytes. To be asked only where there was room.
    pub(super) fn admit(&self, bytes: usize) -> Admission {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.message_bytes_max);
        let taken = Arc::clone(&self.free).try_acquire_many_owned(bytes);
        Admission { _bytes: taken.expect("there was room for the largest, and nobody else takes") }
    }
}

/// The duty to acknowledge a message once it is durable.
///
/// Dropping it unsent gives the message back: it and those after it stay unacknowledged on this
/// connection, and the broker sends them again on the next.
#[must_use = "a message that is not acknowledged holds up all after it"]
pub struct Acknowledgement {
    /// `None` once it was sent.
    ledger: Option<Arc<Ledger>>,
    epoch: u64,
    sequence: u64,
}

impl Acknowledgement {
    /// Acknowledges the message. Never blocks; may be called from any thread.
    pub fn send(mut self) {
        self.settle(Status::Acknowledged);
    }

    fn settle(&mut self, status: Status) {
        if let Some(ledger) = self.ledger.take() {
            ledger.settle(self.epoch, self.sequence, status);
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        self.settle(Status::GivenBack);
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acknowledgement({}/{})", self.epoch, self.sequence)
    }
}

/// The unacknowledged messages of the current connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the connection.
    epoch: u64,
    /// The sequence number of the first slot; they are counted on from connection to connection.
    first: u64,
    /// One for each message that the broker holds unacknowledged, in order of arrival.
    slots: VecDeque<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    packet_id: u16,
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Somebody still has its [`Acknowledgement`].
    Open,
    /// May leave once those before it have left.
    Acknowledged,
    /// Will never leave.
    GivenBack,
}

impl Ledger {
    /// Takes a message in, the last in order.
    pub(super) fn enter(self: &Arc<Self>, packet_id: u16) -> Acknowledgement {
        let mut state = self.lock();
        let sequence = state.first + state.slots.len() as u64;
        state.slots.push_back(Slot { packet_id, status: Status::Open });
        Acknowledgement { ledger: Some(Arc::clone(self)), epoch: state.epoch, sequence }
    }

    /// Moves the packet ids that may leave now into `released`, in order.
    pub(super) fn release(&self, released: &mut Vec<u16>) {
        let mut state = self.lock();
        while let Some(Slot { packet_id, status: Status::Acknowledged }) = state.slots.front() {
            released.push(*packet_id);
            state.slots.pop_front();
            state.first += 1;
        }
    }

    /// The connection is gone: nothing of it may be acknowledged any more.
    pub(super) fn end_epoch(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.first += state.slots.len() as u64;
        state.slots.clear();
    }

    /// Whether nobody has a message of this connection that is still to be settled.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().slots.iter().all(|slot| slot.status != Status::Open)
    }

    /// Returns when something may have become ready to leave since it last returned. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn settle(&self, epoch: u64, sequence: u64, status: Status) {
        let mut state = self.lock();
        if epoch != state.epoch {
            if status == Status::Acknowledged {
                counter!(names::MQTT_ACKNOWLEDGED_STALE_TOTAL).increment(1);
            }
            return;
        }
        let index = usize::try_from(sequence - state.first)
            .expect("an open slot has not left, and there are few");
        state.slots[index].status = status;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the ledger is locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(ledger: &Ledger) -> Vec<u16> {
        let mut packet_ids = Vec::new();
        ledger.release(&mut packet_ids);
        packet_ids
    }

    #[test]
    fn acknowledgements_leave_in_arrival_order() {
        let ledger = Arc::default();
        let [first, second, third] = [7, 3, 5].map(|id| Ledger::enter(&ledger, id));
        second.send();
        assert_eq!(released(&ledger), [0; 0]);
        first.send();
        assert_eq!(released(&ledger), [7, 3]);
        third.send();
        assert_eq!(released(&ledger), [5]);
    }

    #[test]
    fn one_of_an_earlier_connection_is_dropped() {
        let ledger = Arc::default();
        let [sent, unsent] = [1, 2].map(|id| Ledger::enter(&ledger, id));
        sent.send();
        ledger.end_epoch();
        let current = Ledger::enter(&ledger, 2);
        unsent.send();
        assert_eq!(released(&ledger), [0; 0]);
        current.send();
        assert_eq!(released(&ledger), [2]);
    }

    #[test]
    fn what_is_given_back_holds_up_those_after_it() {
        let ledger = Arc::default();
        let [first, second, third] = [1, 2, 3].map(|id| Ledger::enter(&ledger, id));
        first.send();
        drop(second);
        assert!(!ledger.is_settled());
        third.send();
        assert!(ledger.is_settled());
        assert_eq!(released(&ledger), [1]);
    }
}
