//! The source: one persistent session at the broker, from which every message is handed on once
//! per delivery, and acknowledged when its owner says so.
//!
//! Promises:
//! - Messages and changes of the link reach the inbox in the order in which they happened.
//! - The connection is kept alive, and acknowledgements leave, while the inbox is full. What
//!   cannot be handed on yet waits here, at most the receive maximum of messages: a broker stops
//!   sending at that many unacknowledged ones. Should it not (Mosquitto 2.0.11 exceeds it when it
//!   resumes a session; QoS 0, which the contract does not provide for, knows no such limit), its
//!   connection is not read until there is room, and TCP makes it wait.
//!   The same holds where the messages on their way to the engine take more than
//!   [`Settings::admitted_bytes_max`], however few they are.
//! - A lost connection is made again only when everything it brought was handed on. So nothing
//!   that was received is thrown away, and two connections' messages never wait at once.
//! - Stopping acknowledges what was handed out and leaves the rest to the session at the broker.
//!
//! It subscribes on every connection, also when the broker still had the session: a crash between
//! connecting and subscribing would otherwise leave a session behind that never receives anything.
//! Retained messages come only with a subscription that is new.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;

use metrics::counter;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, PubAck, Publish, RetainForwardRule, SubAck, Subscribe,
    SubscribeReasonCode,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, PollSender};
use tracing::{info, warn};

use super::connection::{Connection, Hello, Lost};
use super::delivery::{Acknowledgement, Admission, Admissions, Delivery, Ledger};
use super::reconnect::{Reconnect, Trouble};
use super::topic::{FILTER, Kind, Topic};
use super::{Error, Settings};
use crate::clock::Clock;
use crate::engine::input;
use crate::telemetry::names;

#[cfg(test)]
mod tests;

/// The packet id of the only SUBSCRIBE of a connection.
const SUBSCRIBE_ID: u16 = 1;

/// The source of an inbox of `T`.
pub struct Session<T> {
    settings: Settings,
    clock: Arc<dyn Clock>,
    waiting: Waiting<T>,
    admissions: Admissions,
    /// Shared with every [`Acknowledgement`] that is out.
    ledger: Arc<Ledger>,
    /// Room for the packet ids of one batch of acknowledgements.
    released: Vec<u16>,
    trouble: Trouble,
}

/// How a connection ended.
enum End {
    /// We were told to stop, and did.
    Stopped,
    /// By the broker or the network.
    Lost(Lost),
    /// Nobody takes our messages any more.
    InboxClosed,
}

impl<T: From<Delivery> + Send + 'static> Session<T> {
    /// A session that hands on to `inbox`. Nothing is sent before it runs.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, inbox: mpsc::Sender<T>) -> Self {
        let bound = usize::from(settings.receive_maximum.get());
        let inbox = PollSender::new(inbox);
        let admissions = Admissions::new(settings.admitted_bytes_max, settings.packet_bytes_max());
        Self {
            settings,
            clock,
            admissions,
            waiting: Waiting { queue: VecDeque::new(), bound, inbox },
            ledger: Arc::default(),
            released: Vec::new(),
            trouble: Trouble::default(),
        }
    }

    /// Why there is no connection to the broker, now and later; `None` while there is one.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Runs until `cancel`. Then it waits, at most `settings.drain`, until everything that was
    /// handed out is acknowledged, and disconnects; the broker keeps the session. Not cancel safe.
    ///
    /// # Errors
    /// [`Error`] if the session was taken over, or the inbox is closed.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let mut reconnect =
            Reconnect::new("source", self.settings.clone(), self.hello(), self.trouble.clone());
        loop {
            let (connection, ack) = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                opened = reconnect.establish() => opened,
            };
            match self.serve(connection, &ack, &cancel).await {
                End::Stopped => {
                    reconnect.stopped();
                    return Ok(());
                }
                End::InboxClosed => return Err(Error::InboxClosed),
                End::Lost(why) if why.is_taken_over() => {
                    reconnect.stopped();
                    return Err(Error::SessionTakenOver { client_id: self.settings.client_id });
                }
                End::Lost(why) => reconnect.lost(&why),
            }
            self.ledger.end_epoch();
            self.push_link(input::Link::Down);
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                handed_on = self.waiting.hand_on_all() => handed_on?,
            }
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            client_id: self.settings.client_id.clone(),
            session_expiry: Some(self.settings.session_expiry),
            receive_maximum: self.settings.receive_maximum,
        }
    }

    /// Lives through one connection.
    async fn serve(
        &mut self,
        mut connection: Connection,
        ack: &ConnAck,
        cancel: &CancellationToken,
    ) -> End {
        self.greet(ack);
        if let Err(error) = connection.send(&subscribe()) {
            return End::Lost(error.into());
        }
        loop {
            let admits = self.admissions.has_room();
            let has_room = admits && self.waiting.has_room();
            // In this order, because only the last branch brings new work: each of the others
            // runs dry, so that reading and pinging are never kept waiting for long.
            let step = tokio::select! {
                biased;
                () = cancel.cancelled() => return self.drain(connection).await,
                () = self.ledger.changed() => self.acknowledge(&mut connection),
                handed_on = self.waiting.hand_on(), if !self.waiting.is_empty() => match handed_on {
                    Ok(()) => Ok(()),
                    Err(_) => return End::InboxClosed,
                },
                () = self.admissions.room(), if !admits => Ok(()),
                packet = listen(&mut connection, has_room) => {
                    packet.and_then(|packet| self.take(packet))
                }
            };
            if let Err(why) = step {
                return End::Lost(why);
            }
        }
    }

    fn greet(&mut self, ack: &ConnAck) {
        let session_present = ack.session_present;
        if !session_present {
            counter!(names::MQTT_SESSIONS_ABSENT_TOTAL).increment(1);
            info!("the broker had no session of ours: messages published before now may be lost");
        }
        let granted = ack.properties.as_ref().and_then(|granted| granted.session_expiry_interval);
        if let Some(seconds) = granted
            && u64::from(seconds) < self.settings.session_expiry.as_secs()
        {
            warn!(seconds, "the broker keeps our session for less time than it was asked to");
        }
        self.push_link(input::Link::Up { session_present });
    }

    /// Sends the acknowledgements that have become ready.
    fn acknowledge(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        self.ledger.release(&mut self.released);
        counter!(names::MQTT_ACKNOWLEDGED_TOTAL).increment(self.released.len() as u64);
        for packet_id in self.released.drain(..) {
            connection.send(&Packet::PubAck(PubAck::new(packet_id, None)))?;
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet) -> Result<(), Lost> {
        match packet {
            Packet::Publish(publish) => self.receive(publish),
            Packet::SubAck(ack) => subscribed(&ack),
            _ => Err(Lost::Protocol("a packet that answers nothing we sent")),
        }
    }

    fn receive(&mut self, publish: Publish) -> Result<(), Lost> {
        let acknowledgement = match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(self.ledger.enter(publish.pkid)),
            QoS::ExactlyOnce => return Err(Lost::Protocol("QoS 2 where at most 1 was granted")),
        };
        counter!(names::MQTT_MESSAGES_TOTAL, "qos" => qos_label(publish.qos)).increment(1);
        counter!(names::MQTT_PAYLOAD_BYTES_TOTAL).increment(publish.payload.len() as u64);
        let admission = self.admissions.admit(bytes_of(&publish));
        let publish = convert(publish);
        if is_verdict(&publish.topic) {
            // What our own publisher says to devices: nothing to learn from, nothing to keep.
            if let Some(own) = acknowledgement {
                own.send();
            }
        } else {
            self.push(input::Event::Publish(publish), acknowledgement, Some(admission));
        }
        Ok(())
    }

    fn push_link(&mut self, link: input::Link) {
        self.push(input::Event::Link(link), None, None);
    }

    fn push(
        &mut self,
        event: input::Event,
        acknowledgement: Option<Acknowledgement>,
        admission: Option<Admission>,
    ) {
        let received_at = self.clock.now();
        let delivery = Delivery { received_at, event, acknowledgement, admission };
        self.waiting.queue.push_back(delivery);
    }

    /// Stops: what was handed out is acknowledged, what was not goes back to the broker.
    async fn drain(&mut self, connection: Connection) -> End {
        self.waiting.clear();
        let deadline = self.settings.drain;
        if timeout(deadline, self.acknowledge_rest(connection)).await.is_err() {
            warn!(
                ?deadline,
                "stopped with messages unacknowledged; the broker will send them again"
            );
        }
        self.ledger.end_epoch();
        End::Stopped
    }

    async fn acknowledge_rest(&mut self, mut connection: Connection) {
        loop {
            let settled = self.ledger.is_settled();
            if self.acknowledge(&mut connection).is_err() {
                return;
            }
            if settled {
                return connection.close().await;
            }
            // Messages that still arrive are left to the broker: not entered, not acknowledged.
            tokio::select! {
                () = self.ledger.changed() => {}
                packet = connection.next() => if packet.is_err() { return },
            }
        }
    }
}

/// The next packet, unless there is no room for what it may bring. Cancel safe.
async fn listen(connection: &mut Connection, has_room: bool) -> Result<Packet, Lost> {
    if has_room { connection.next().await } else { Err(connection.pause().await) }
}

/// Deliveries that the inbox had no room for yet, in order.
struct Waiting<T> {
    queue: VecDeque<Delivery>,
    /// As many as may wait before no more is read.
    bound: usize,
    /// Keeps its place among those who wait for the inbox from poll to poll.
    inbox: PollSender<T>,
}

impl<T: From<Delivery> + Send + 'static> Waiting<T> {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < self.bound
    }

    /// Forgets everything, and gives up the place among those who wait for the inbox.
    fn clear(&mut self) {
        self.queue.clear();
        self.inbox.abort_send();
    }

    /// Hands the first delivery on, once the inbox has room. Cancel safe.
    async fn hand_on(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.inbox.poll_reserve(context))
            .await
            .map_err(|_| Error::InboxClosed)?;
        match self.queue.pop_front() {
            Some(delivery) => self.inbox.send_item(delivery.into()).map_err(|_| Error::InboxClosed),
            None => Ok(()),
        }
    }

    /// Cancel safe.
    async fn hand_on_all(&mut self) -> Result<(), Error> {
        while !self.is_empty() {
            self.hand_on().await?;
        }
        Ok(())
    }
}

fn subscribe() -> Packet {
    let mut filter = Filter::new(FILTER, QoS::AtLeastOnce);
    filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
    let mut subscribe = Subscribe::new(filter, None);
    subscribe.pkid = SUBSCRIBE_ID;
    Packet::Subscribe(subscribe)
}

fn subscribed(ack: &SubAck) -> Result<(), Lost> {
    match ack.return_codes.first() {
        Some(SubscribeReasonCode::Success(QoS::AtLeastOnce)) => Ok(()),
        Some(refused) => Err(Lost::SubscriptionRefused(*refused)),
        None => Err(Lost::Protocol("a SUBACK that grants nothing")),
    }
}

fn qos_label(qos: QoS) -> &'static str {
    match qos {
        QoS::AtMostOnce => "0",
        QoS::AtLeastOnce => "1",
        QoS::ExactlyOnce => "2",
    }
}

fn is_verdict(topic: &str) -> bool {
    Topic::parse(topic).is_ok_and(|topic| topic.kind == Kind::Verdicts)
}

/// What a message takes in memory while it is on its way, near enough.
fn bytes_of(publish: &Publish) -> usize {
    let correlation = publish.properties.as_ref().and_then(|it| it.correlation_data.as_ref());
    publish.topic.len() + publish.payload.len() + correlation.map_or(0, |data| data.len())
}

/// A message as the engine knows it. Its bytes are copied out of the read buffer, which would
/// otherwise stay as a whole for as long as anyone keeps the smallest message of it.
fn convert(publish: Publish) -> input::Publish {
    let properties = publish.properties.unwrap_or_default();
    input::Publish {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec().into(),
        encoding: properties.content_type.as_deref().and_then(encoding),
        correlation: properties.correlation_data.map(|data| data.to_vec().into()),
        retained: publish.retain,
    }
}

/// The encoding of an MQTT 5 content type; its parameters, such as `charset`, say nothing more.
fn encoding(content_type: &str) -> Option<input::Encoding> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/protobuf") {
        Some(input::Encoding::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Some(input::Encoding::Json)
    } else {
        None
    }
}
