//! The engine thread's side of the inbox: waiting for an input, but not for longer than until
//! something is due.
//!
//! There are two lanes, each in its own order: what the source delivers, and commands. Where both
//! have something they take turns, so that neither starves the other. While messages are not taken
//! the first message that comes stands in the way of what was delivered behind it; commands go on.
//!
//! A plain thread that parks, and not a timer of the runtime: however busy the runtime is, a
//! deadline is not missed by it, and an input wakes the thread at once.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::Work;

/// What came of waiting.
#[derive(Debug)]
pub(super) enum Received {
    /// An input.
    Work(Work),
    /// Nothing, for as long as was waited.
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

/// The inbox.
#[derive(Debug)]
pub(super) struct Inbox {
    deliveries: Receiver<Work>,
    commands: Receiver<Work>,
    /// A message that came while none is taken.
    held_back: Option<Work>,
    /// Whose turn it is where both have something.
    turn: Lane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Deliveries,
    Commands,
}

impl Lane {
    const fn other(self) -> Self {
        match self {
            Self::Deliveries => Self::Commands,
            Self::Commands => Self::Deliveries,
        }
    }
}

/// Whether messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Messages {
    /// They are.
    Taken,
    /// They wait, unacknowledged.
    Held,
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inbox {
    pub(super) const fn new(deliveries: Receiver<Work>, commands: Receiver<Work>) -> Self {
        Self { deliveries, commands, held_back: None, turn: Lane::Commands }
    }

    /// The next input, if there is one now.
    pub(super) fn take(&mut self, messages: Messages) -> Option<Work> {
        match self.poll(messages, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    /// Whether something that was delivered waits to be taken.
    pub(super) fn has_delivery(&self, messages: Messages) -> bool {
        match (messages, &self.held_back) {
            (Messages::Taken, held_back) => held_back.is_some() || !self.deliveries.is_empty(),
            // What stands in the way of the others is not taken.
            (Messages::Held, held_back) => held_back.is_none() && !self.deliveries.is_empty(),
        }
    }

    /// Puts a message back in its place, before all others. To be called only with the one that was
    /// taken last.
    pub(super) fn hold_back(&mut self, message: Work) {
        self.held_back = Some(message);
    }

    /// Gives back to the broker, unacknowledged, what it has delivered.
    pub(super) fn give_back(&mut self) {
        self.held_back = None;
        while self.deliveries.try_recv().is_ok() {}
    }

    /// Waits for the next input, no longer than `patience`. Blocking.
    pub(super) fn wait(&mut self, messages: Messages, patience: Duration) -> Received {
        let begun = Instant::now();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match self.poll(messages, &mut context) {
                Poll::Ready(Some(work)) => return Received::Work(work),
                Poll::Ready(None) => return Received::Closed,
                Poll::Pending => {}
            }
            // The thread may be woken for no reason.
            let rest = patience.saturating_sub(begun.elapsed());
            if rest.is_zero() {
                return Received::Nothing;
            }
            thread::park_timeout(rest);
        }
    }

    /// `None` once both lanes are closed, and nothing that is taken is left in them.
    fn poll(&mut self, messages: Messages, context: &mut Context<'_>) -> Poll<Option<Work>> {
        let mut closed = 0;
        for lane in [self.turn, self.turn.other()] {
            let next = match lane {
                Lane::Commands => self.commands.poll_recv(context),
                Lane::Deliveries => self.poll_deliveries(messages, context),
            };
            match next {
                Poll::Ready(Some(work)) => {
                    self.turn = lane.other();
                    return Poll::Ready(Some(work));
                }
                Poll::Ready(None) => closed += 1,
                Poll::Pending => {}
            }
        }
        if closed == 2 { Poll::Ready(None) } else { Poll::Pending }
    }

    fn poll_deliveries(
        &mut self,
        messages: Messages,
        context: &mut Context<'_>,
    ) -> Poll<Option<Work>> {
        let next = match self.held_back.take() {
            Some(work) => Poll::Ready(Some(work)),
            None => self.deliveries.poll_recv(context),
        };
        match next {
            Poll::Ready(Some(work)) if messages == Messages::Held && work.is_message() => {
                self.held_back = Some(work);
                // Nobody is there any more who could be answered: it goes back to the broker.
                if self.deliveries.is_closed() { Poll::Ready(None) } else { Poll::Pending }
            }
            next => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::{Event, Link, Publish};
    use crate::partition::{Completion, Task};

    /// A work of its own kind.
    fn work(number: i64, event: Event) -> Work {
        let (received_at, task) = (Timestamp::from_seconds(number), Task::Apply(event));
        Work { received_at, task, completion: Completion::Nobody, admission: None }
    }

    fn message(number: i64) -> Work {
        let publish = Publish {
            topic: String::new(),
            payload: Bytes::new(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        work(number, Event::Publish(publish))
    }

    fn command(number: i64) -> Work {
        work(number, Event::Tick)
    }

    fn inbox() -> (mpsc::Sender<Work>, mpsc::Sender<Work>, Inbox) {
        let (deliveries, delivered) = mpsc::channel(16);
        let (commands, commanded) = mpsc::channel(16);
        (deliveries, commands, Inbox::new(delivered, commanded))
    }

    fn take_all(inbox: &mut Inbox, messages: Messages) -> Vec<i64> {
        let taken = std::iter::from_fn(|| inbox.take(messages));
        taken.map(|work| work.received_at.micros() / 1_000_000).collect()
    }

    #[test]
    fn an_input_ends_the_wait_at_once_and_its_absence_when_patience_is_over() {
        for lane in [Lane::Deliveries, Lane::Commands] {
            let (deliveries, commands, mut inbox) = inbox();
            let patience = Duration::from_millis(20);
            let begun = Instant::now();
            assert!(matches!(inbox.wait(Messages::Taken, patience), Received::Nothing));
            assert!(begun.elapsed() >= patience);
            let sending = thread::spawn(move || {
                let sender = if lane == Lane::Commands { &commands } else { &deliveries };
                sender.blocking_send(message(1)).unwrap();
                (deliveries, commands)
            });
            // Far longer than any test may take: only the input can end it.
            let long = Duration::from_secs(3600);
            assert!(matches!(inbox.wait(Messages::Taken, long), Received::Work(_)));
            drop(sending.join().unwrap());
            assert!(matches!(inbox.wait(Messages::Taken, long), Received::Closed));
        }
    }

    #[test]
    fn the_lanes_take_turns_and_each_keeps_its_order() {
        let (deliveries, commands, mut inbox) = inbox();
        for number in 1..=4 {
            deliveries.try_send(message(number)).unwrap();
        }
        for number in 11..=12 {
            commands.try_send(command(number)).unwrap();
        }
        assert_eq!(take_all(&mut inbox, Messages::Taken), [11, 1, 12, 2, 3, 4]);
    }

    #[test]
    fn while_messages_are_held_commands_go_on_and_no_message_is_lost_or_overtaken() {
        let (deliveries, commands, mut inbox) = inbox();
        deliveries.try_send(work(1, Event::Link(Link::Down))).unwrap();
        deliveries.try_send(message(2)).unwrap();
        deliveries.try_send(work(3, Event::Link(Link::Down))).unwrap();
        commands.try_send(command(11)).unwrap();
        assert!(inbox.has_delivery(Messages::Held), "the link's change is taken");
        assert_eq!(take_all(&mut inbox, Messages::Held), [11, 1]);
        assert!(!inbox.has_delivery(Messages::Held) && inbox.has_delivery(Messages::Taken));
        commands.try_send(command(12)).unwrap();
        assert_eq!(take_all(&mut inbox, Messages::Held), [12]);
        assert_eq!(take_all(&mut inbox, Messages::Taken), [2, 3]);
        assert!(!inbox.has_delivery(Messages::Taken));
    }

    #[test]
    fn held_messages_do_not_keep_a_house_open_that_everybody_has_left() {
        let (deliveries, commands, mut inbox) = inbox();
        deliveries.try_send(message(1)).unwrap();
        commands.try_send(command(11)).unwrap();
        drop((deliveries, commands));
        let long = Duration::from_secs(3600);
        assert!(matches!(inbox.wait(Messages::Held, long), Received::Work(_)));
        assert!(matches!(inbox.wait(Messages::Held, long), Received::Closed));
    }
}
