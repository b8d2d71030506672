//! The way of messages to the service: the broker's queue, the link to it, and the service itself,
//! all of which fail now and then.

use std::collections::VecDeque;

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Event, Link, Publish, Settings};

use super::{HOUR, Happening, MILLISECOND, MINUTE, SECOND, Told, Ward};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(super) publish: Publish,
    pub(super) told: Told,
}

/// The broker, and the service as it sees it.
#[derive(Debug, Default)]
pub(super) struct Broker {
    is_linked: bool,
    is_running: bool,
    /// Whether what piled up is still being taken in.
    is_draining: bool,
    /// What waits for the service, oldest first.
    backlog: VecDeque<Message>,
    /// Receipt of the service's last input.
    pub(super) last_alive: Option<Timestamp>,
}

impl Broker {
    /// Whether the service gets messages.
    pub(super) const fn is_up(&self) -> bool {
        self.is_running && self.is_linked
    }

    /// Whether a message gets there without waiting.
    pub(super) const fn is_direct(&self) -> bool {
        self.is_up() && !self.is_draining
    }

    /// Whether the service runs, and so takes commands.
    pub(super) const fn is_serving(&self) -> bool {
        self.is_running
    }
}

impl Ward {
    /// A message reaches the broker.
    pub(super) fn pass_on(&mut self, message: Message) {
        if self.broker.is_direct() {
            self.deliver(message);
        } else {
            self.broker.backlog.push_back(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        self.hand_out(Event::Publish(message.publish), message.told);
    }

    /// The link is gone, for longer than a moment or not.
    pub(super) fn link_down(&mut self) {
        let wait = self.random.wait(self.plan.every(8));
        self.after(wait, Happening::LinkDown);
        if !self.broker.is_up() {
            return;
        }
        self.broker.is_linked = false;
        self.broker.is_draining = false;
        self.input(Event::Link(Link::Down));
        let wait = self.outage();
        self.after(wait, Happening::LinkUp);
    }

    /// The service stops, in the middle of whatever it did.
    pub(super) fn stop(&mut self) {
        let wait = self.random.wait(self.plan.every(12));
        self.after(wait, Happening::Stop);
        if !self.broker.is_up() {
            return;
        }
        self.broker.is_running = false;
        self.broker.is_draining = false;
        let wait = self.outage();
        self.after(wait, Happening::Start);
    }

    fn outage(&mut self) -> i64 {
        let most = self.random.pick(&[9 * SECOND, 2 * MINUTE, 30 * MINUTE, 2 * HOUR]);
        self.random.range(SECOND / 2, most)
    }

    /// The link is back, or the service is and has its link.
    pub(super) fn start_or_link_up(&mut self) {
        if !self.broker.is_running {
            let last_alive = self.broker.last_alive;
            self.input(Event::Started { last_alive });
            self.input(Event::Settings(Settings::default()));
        }
        let has_session = !self.random.per_mille(200);
        self.come_up(has_session);
    }

    /// The service is connected. Without its session the broker has nothing for it but what it
    /// retains.
    pub(super) fn come_up(&mut self, has_session: bool) {
        (self.broker.is_running, self.broker.is_linked) = (true, true);
        self.broker.is_draining = true;
        if !has_session {
            self.broker.backlog.clear();
        }
        self.input(Event::Link(Link::Up { session_present: has_session }));
        if !has_session {
            let retained: Vec<_> =
                self.devices.iter().filter_map(|device| device.retained.clone()).collect();
            for mut message in retained {
                message.publish.retained = true;
                self.deliver(message);
            }
        }
        self.after(50 * MILLISECOND, Happening::Drain);
    }

    /// The service takes in some of what piled up. Mostly it notices when that was all.
    pub(super) fn drain(&mut self, messages: usize) {
        if !self.broker.is_draining {
            return;
        }
        let messages = messages.min(self.broker.backlog.len());
        for _ in 0..messages {
            let message = self.broker.backlog.pop_front().expect("counted");
            self.deliver(message);
        }
        if self.broker.backlog.is_empty() {
            self.broker.is_draining = false;
            if self.random.per_mille(850) {
                self.input(Event::Link(Link::CaughtUp));
            }
        } else {
            let wait = self.random.range(MILLISECOND, 900 * MILLISECOND);
            self.after(wait, Happening::Drain);
        }
    }
}
