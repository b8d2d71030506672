//! Verdicts on their way to gateways, over a connection of their own.
//!
//! Promises: giving a verdict away never blocks; each is published at QoS 1 until the broker has
//! taken it, in order; after [`VERDICT_LIFE`] nobody waits for it and it is dropped, here or by
//! the broker. While the broker is away or slow, the newest [`VERDICTS_QUEUED_MAX`] are kept and
//! older ones dropped, because a gateway that has waited longest is likeliest to have given up
//! and sent its batch again. What is dropped is counted by reason.
//!
//! It does not promise that a verdict arrives: a verdict is a courtesy, and a gateway that hears
//! none sends its batch again, which is then a duplicate.

use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroU16;
use std::time::Duration;

use metrics::counter;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAck, PubAckReason};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::connection::{Connection, Hello, Lost};
use super::reconnect::{Reconnect, Trouble};
use super::{Error, Settings, verdict};
use crate::engine::output::Verdict;
use crate::telemetry::names;

#[cfg(test)]
mod tests;

/// How long a verdict is of use to the gateway that waits for it.
pub const VERDICT_LIFE: Duration = Duration::from_secs(10 * 60);

/// Verdicts that wait for the broker. The largest is some 20 KiB, so they take 80 MiB at the very
/// worst; an ordinary one takes 200 bytes.
pub const VERDICTS_QUEUED_MAX: usize = 4096;

/// Verdicts between the giver and the publisher's task, which takes them at once whatever the
/// broker does; more is only a burst between two turns of the runtime.
const HANDOVER_MAX: usize = 1024;

/// Verdicts published and not yet acknowledged by the broker; what it must have taken before
/// more are sent. Enough to fill a round trip, little to repeat after a lost connection.
const WINDOW: u16 = 64;

/// Makes the two ends: verdicts are given to the first and published by the second.
#[must_use]
pub fn channel(settings: Settings) -> (Verdicts, Publisher) {
    let (sender, given) = mpsc::channel(HANDOVER_MAX);
    let publisher = Publisher {
        settings,
        given,
        queue: VecDeque::new(),
        in_flight: VecDeque::new(),
        window: WINDOW,
        last_packet_id: 0,
    };
    (Verdicts { sender }, publisher)
}

/// Where verdicts are given away. The publisher ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Verdicts {
    sender: mpsc::Sender<Verdict>,
}

impl Verdicts {
    /// Gives a verdict to the publisher. Never blocks; drops and counts it if the publisher has
    /// ended or is behind by more than a burst.
    pub fn publish(&self, verdict: Verdict) {
        if self.sender.try_send(verdict).is_err() {
            dropped(1, "overrun");
        }
    }
}

/// The stage that publishes verdicts.
#[derive(Debug)]
pub struct Publisher {
    settings: Settings,
    given: mpsc::Receiver<Verdict>,
    /// Not yet published, the oldest first; at most [`VERDICTS_QUEUED_MAX`].
    queue: VecDeque<Queued>,
    /// Published under these packet ids, in this order; at most `window`.
    in_flight: VecDeque<(NonZeroU16, Queued)>,
    /// [`WINDOW`], or what the broker takes if that is less.
    window: u16,
    last_packet_id: u16,
}

#[derive(Debug)]
struct Queued {
    verdict: Verdict,
    until: Instant,
}

/// How a connection ended.
enum End {
    /// There is nothing more to publish.
    Flushed,
    Lost(Lost),
}

impl Publisher {
    /// Publishes until every [`Verdicts`] is dropped and what they gave is published, or
    /// `settings.drain` has passed since. Not cancel safe.
    ///
    /// # Errors
    /// [`Error::SessionTakenOver`] if another client of this name connects.
    pub async fn run(mut self) -> Result<(), Error> {
        let client_id = format!("{}-verdicts", self.settings.client_id);
        let mut reconnect = Reconnect::new(
            "verdicts",
            self.settings.clone(),
            hello(&client_id),
            // Readiness speaks of the source: both have one broker, and who mends it, mends both.
            Trouble::default(),
        );
        // Set once no more verdicts are given: until when the rest may take.
        let mut deadline = None;
        loop {
            let Some((connection, ack)) = self.connect(&mut reconnect, &mut deadline).await else {
                break;
            };
            match self.serve(connection, &ack, &mut deadline).await {
                End::Flushed => break,
                End::Lost(why) if why.is_taken_over() => {
                    reconnect.stopped();
                    return Err(Error::SessionTakenOver { client_id });
                }
                End::Lost(why) => reconnect.lost(&why),
            }
        }
        self.give_up();
        reconnect.stopped();
        Ok(())
    }

    /// A connection, unless none comes before the deadline. Takes in verdicts meanwhile.
    async fn connect(
        &mut self,
        reconnect: &mut Reconnect,
        deadline: &mut Option<Instant>,
    ) -> Option<(Connection, ConnAck)> {
        let establish = reconnect.establish();
        tokio::pin!(establish);
        while !self.is_flushed(*deadline) {
            tokio::select! {
                opened = &mut establish => return Some(opened),
                given = self.given.recv(), if deadline.is_none() => self.take(given, deadline),
                () = passed(*deadline) => return None,
            }
        }
        None
    }

    /// Lives through one connection.
    async fn serve(
        &mut self,
        mut connection: Connection,
        ack: &ConnAck,
        deadline: &mut Option<Instant>,
    ) -> End {
        self.begin(ack);
        loop {
            self.fill_window(&mut connection);
            if self.is_flushed(*deadline) {
                let _ = tokio::time::timeout(self.settings.drain, connection.close()).await;
                return End::Flushed;
            }
            tokio::select! {
                given = self.given.recv(), if deadline.is_none() => self.take(given, deadline),
                () = passed(*deadline) => return End::Flushed,
                packet = connection.next() => {
                    if let Err(why) = packet.and_then(|packet| self.answered(packet)) {
                        return End::Lost(why);
                    }
                }
            }
        }
    }

    /// What the last connection left unacknowledged is published again, before all else.
    fn begin(&mut self, ack: &ConnAck) {
        let again = self.in_flight.drain(..).map(|(_, queued)| queued);
        self.queue = again.chain(std::mem::take(&mut self.queue)).collect();
        self.trim();
        let allowed = ack.properties.as_ref().and_then(|granted| granted.receive_max);
        self.window = allowed.unwrap_or(u16::MAX).min(WINDOW);
    }

    fn is_flushed(&self, deadline: Option<Instant>) -> bool {
        deadline.is_some() && self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Takes in what was given, or learns that nothing more will be.
    fn take(&mut self, given: Option<Verdict>, deadline: &mut Option<Instant>) {
        match given {
            Some(verdict) => {
                self.queue.push_back(Queued { verdict, until: Instant::now() + VERDICT_LIFE });
                self.trim();
            }
            None => *deadline = Some(Instant::now() + self.settings.drain),
        }
    }

    fn trim(&mut self) {
        let excess = self.queue.len().saturating_sub(VERDICTS_QUEUED_MAX);
        self.queue.drain(..excess);
        dropped(excess, "queue_full");
    }

    fn fill_window(&mut self, connection: &mut Connection) {
        while self.in_flight.len() < usize::from(self.window)
            && let Some(queued) = self.queue.pop_front()
        {
            let left = queued.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                dropped(1, "expired");
                continue;
            }
            let packet_id = self.next_packet_id();
            let mut publish = verdict::packet(&queued.verdict, left);
            publish.pkid = packet_id.get();
            match connection.send(&Packet::Publish(publish)) {
                Ok(()) => self.in_flight.push_back((packet_id, queued)),
                Err(_) => dropped(1, "larger_than_the_broker_takes"),
            }
        }
    }

    fn next_packet_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if let Some(packet_id) = NonZeroU16::new(self.last_packet_id)
                && self.in_flight.iter().all(|(used, _)| *used != packet_id)
            {
                return packet_id;
            }
        }
    }

    fn answered(&mut self, packet: Packet) -> Result<(), Lost> {
        let Packet::PubAck(ack) = packet else {
            return Err(Lost::Protocol("a packet that answers nothing we sent"));
        };
        let place = self.in_flight.iter().position(|(id, _)| id.get() == ack.pkid);
        if place.and_then(|place| self.in_flight.remove(place)).is_none() {
            return Err(Lost::Protocol("an acknowledgement of nothing we published"));
        }
        count_answer(&ack);
        Ok(())
    }

    /// What is left when the deadline has passed.
    fn give_up(&mut self) {
        let left = self.queue.len() + self.in_flight.len();
        if left > 0 {
            warn!(left, "stopped with verdicts that the broker has not taken");
            dropped(left, "stopped");
        }
    }
}

fn hello(client_id: &str) -> Hello {
    Hello {
        client_id: client_id.to_owned(),
        // The broker holds nothing for a client that only publishes.
        session_expiry: None,
        receive_maximum: NonZeroU16::MIN,
    }
}

/// Returns once the deadline has passed; never without one.
async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn count_answer(ack: &PubAck) {
    match ack.reason {
        // Nobody may be listening: the gateway is away, and has no session.
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
            counter!(names::MQTT_VERDICTS_PUBLISHED_TOTAL).increment(1);
        }
        reason => {
            warn!(?reason, "the broker refused a verdict");
            dropped(1, "refused");
        }
    }
}

fn dropped(count: usize, reason: &'static str) {
    if count > 0 {
        counter!(names::MQTT_VERDICTS_DROPPED_TOTAL, "reason" => reason).increment(count as u64);
    }
}
