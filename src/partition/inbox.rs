//! The engine thread's side of the inbox: waiting for an input, but not for longer than until
//! something is due.
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
    receiver: Receiver<Work>,
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inbox {
    pub(super) const fn new(receiver: Receiver<Work>) -> Self {
        Self { receiver }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The next input, if there is one now.
    pub(super) fn take(&mut self) -> Option<Work> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next input, no longer than `patience`. Blocking.
    pub(super) fn wait(&mut self, patience: Duration) -> Received {
        let begun = Instant::now();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match self.receiver.poll_recv(&mut context) {
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
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::Event;
    use crate::partition::Completion;

    fn work() -> Work {
        let (received_at, event) = (Timestamp::EPOCH, Event::Tick);
        Work { received_at, event, completion: Completion::Nobody }
    }

    #[test]
    fn an_input_ends_the_wait_at_once_and_its_absence_when_patience_is_over() {
        let (sender, receiver) = mpsc::channel(4);
        let mut inbox = Inbox::new(receiver);
        let patience = Duration::from_millis(20);
        let begun = Instant::now();
        assert!(matches!(inbox.wait(patience), Received::Nothing));
        assert!(begun.elapsed() >= patience);
        let sending = thread::spawn(move || {
            sender.blocking_send(work()).unwrap();
            sender
        });
        // Far longer than any test may take: only the input can end it.
        assert!(matches!(inbox.wait(Duration::from_secs(3600)), Received::Work(_)));
        drop(sending.join().unwrap());
        assert!(matches!(inbox.wait(Duration::from_secs(3600)), Received::Closed));
    }
}
