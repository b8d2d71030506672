//! The messages on their way: handed to a connection, and not yet acknowledged.
//!
//! A message stands here from the moment it is taken until its PUBACK, over any number of
//! connections. Within a connection, messages get their packet ids in the order in which they
//! were handed over; that is how a PUBACK finds its message. It does no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Message;

/// The place of a message in the order in which messages were taken.
type Order = u64;

/// Messages by the order in which they were taken.
#[derive(Debug)]
pub(super) struct Window<C> {
    /// Taken and not acknowledged. The publisher bounds how many.
    unacknowledged: BTreeMap<Order, Message<C>>,
    next: Order,
    /// Handed to the connection, without a packet id as yet.
    handed: VecDeque<Order>,
    /// Written to the connection.
    written: HashMap<u16, Order>,
}

impl<C> Default for Window<C> {
    fn default() -> Self {
        let (unacknowledged, handed, written) = Default::default();
        Self { unacknowledged, next: 0, handed, written }
    }
}

impl<C: Clone> Window<C> {
    /// Begins a new connection: nothing has been handed to it.
    ///
    /// Gives the messages that it has to carry again, in order.
    pub(super) fn reconnect(&mut self) -> Vec<Message<C>> {
        self.written.clear();
        self.handed = self.unacknowledged.keys().copied().collect();
        self.unacknowledged.values().cloned().collect()
    }

    /// Takes a message that is about to be handed to the connection.
    pub(super) fn take(&mut self, message: Message<C>) {
        self.unacknowledged.insert(self.next, message);
        self.handed.push_back(self.next);
        self.next += 1;
    }

    /// Notes that the next of the messages handed over was written with this packet id.
    pub(super) fn written(&mut self, packet_id: u16) {
        if let Some(order) = self.handed.pop_front() {
            self.written.insert(packet_id, order);
        }
    }

    /// The message with this packet id, which the broker has now taken over.
    pub(super) fn acknowledge(&mut self, packet_id: u16) -> Option<Message<C>> {
        let order = self.written.remove(&packet_id)?;
        self.unacknowledged.remove(&order)
    }

    /// How many messages are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.unacknowledged.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Numbering;

    fn message(name: &str) -> Message {
        let batch = Numbering::new("d".into(), 1).number(Vec::new());
        Message { topic: name.to_owned(), content_type: "", payload: Default::default(), batch }
    }

    fn topics(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.topic.as_str()).collect()
    }

    #[test]
    fn an_acknowledgement_finds_its_message_in_any_order() {
        let mut window = Window::default();
        for (name, packet_id) in [("a", 1), ("b", 2), ("c", 3)] {
            window.take(message(name));
            window.written(packet_id);
        }
        let found = [2, 3, 1].map(|id| window.acknowledge(id).expect("under way").topic);
        assert_eq!((found, window.len()), (["b", "c", "a"].map(str::to_owned), 0));
    }

    #[test]
    fn a_new_connection_carries_what_was_not_acknowledged_in_the_old_order() {
        let mut window = Window::default();
        for (name, packet_id) in [("a", 1), ("b", 2), ("c", 3)] {
            window.take(message(name));
            window.written(packet_id);
        }
        window.acknowledge(2).expect("under way");
        window.take(message("d"));
        assert_eq!(topics(&window.reconnect()), ["a", "c", "d"]);
        window.written(1);
        window.written(2);
        assert_eq!(window.acknowledge(2).expect("under way").topic, "c");
    }

    #[test]
    fn an_acknowledgement_of_an_earlier_connection_acknowledges_nothing() {
        let mut window = Window::default();
        window.take(message("a"));
        window.written(1);
        window.reconnect();
        assert!(window.acknowledge(1).is_none());
        assert_eq!(window.len(), 1);
    }
}
