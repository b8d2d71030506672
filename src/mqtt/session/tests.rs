//! The session against a scripted broker: what a real one does rarely, at the worst moment.

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Disconnect, DisconnectReasonCode, PublishProperties,
};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SystemClock;
use crate::engine::input::{Encoding, Event, Link};
use crate::mqtt::scripted::{Broker, Peer, no_properties, readings, soon};
use crate::mqtt::{Credentials, Password};

/// A session that runs, with the two ends that the service would hold.
struct Source {
    inbox: mpsc::Receiver<Delivery>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Source {
    fn start(settings: Settings) -> Self {
        Self::start_with_inbox(settings, 1000)
    }

    fn start_with_inbox(settings: Settings, capacity: usize) -> Self {
        let (sender, inbox) = mpsc::channel(capacity);
        let cancel = CancellationToken::new();
        let session = Session::new(settings, Arc::new(SystemClock), sender);
        let task = tokio::spawn(session.run(cancel.clone()));
        Self { inbox, cancel, task }
    }

    async fn next(&mut self) -> Delivery {
        soon("a delivery", self.inbox.recv()).await.expect("the session runs")
    }

    async fn expect_link(&mut self, expected: Link) {
        assert_eq!(self.next().await.event, Event::Link(expected));
    }

    /// The next delivery's message, and its acknowledgement.
    async fn message(&mut self) -> (input::Publish, Option<Acknowledgement>) {
        let delivery = self.next().await;
        match delivery.event {
            Event::Publish(publish) => (publish, delivery.acknowledgement),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The next delivery's payload, and its acknowledgement, which it must have.
    async fn payload(&mut self) -> (Vec<u8>, Acknowledgement) {
        let (publish, acknowledgement) = self.message().await;
        (publish.payload.to_vec(), acknowledgement.expect("a QoS 1 message"))
    }

    /// Waits until something stands in the inbox; with a capacity of 1 it is then full.
    async fn full(&self) {
        let filled = async {
            while self.inbox.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon("a full inbox", filled).await;
    }

    async fn stop(self) -> Result<(), Error> {
        self.cancel.cancel();
        self.ended().await
    }

    async fn ended(self) -> Result<(), Error> {
        soon("the session to end", self.task).await.expect("no panic")
    }
}

const UP: Link = Link::Up { session_present: true };

/// A source that is connected to a broker that still had its session.
async fn connected(settings: Settings, broker: &Broker) -> (Source, Peer) {
    let mut source = Source::start(settings);
    let peer = broker.serve(true).await;
    source.expect_link(UP).await;
    (source, peer)
}

#[tokio::test]
async fn the_session_is_persistent_and_its_bounds_are_told() {
    let broker = Broker::start().await;
    let settings = Settings {
        client_id: "ward".into(),
        credentials: Some(Credentials { username: "u".into(), password: Password::new("p") }),
        session_expiry: Duration::from_secs(7200),
        receive_maximum: NonZeroU16::new(17).expect("not zero"),
        ..broker.settings()
    };
    let packet_bytes_max = settings.packet_bytes_max();
    let _source = Source::start(settings);
    let (_peer, connect, login) = broker.next_client().await;
    assert_eq!(connect.client_id, "ward");
    assert!(!connect.clean_start);
    assert_eq!(connect.keep_alive, 12);
    let properties = connect.properties.expect("set");
    assert_eq!(properties.session_expiry_interval, Some(7200));
    assert_eq!(properties.receive_maximum, Some(17));
    assert_eq!(properties.max_packet_size, Some(packet_bytes_max));
    let login = login.expect("credentials are set");
    assert_eq!((login.username.as_str(), login.password.as_str()), ("u", "p"));
}

/// Also with a session: a crash between CONNECT and SUBSCRIBE leaves one that has none.
#[tokio::test]
async fn every_connection_subscribes_and_wants_retained_messages_only_when_that_is_new() {
    let broker = Broker::start().await;
    let mut source = Source::start(broker.settings());
    for session_present in [false, true] {
        let mut peer = broker.welcome(session_present).await;
        let subscribe = peer.grant().await;
        assert_eq!(subscribe.filters.len(), 1);
        assert_eq!(subscribe.filters[0].path, "pulseward/v1/#");
        assert_eq!(subscribe.filters[0].qos, QoS::AtLeastOnce);
        assert_eq!(subscribe.filters[0].retain_forward_rule, RetainForwardRule::OnNewSubscribe);
        source.expect_link(Link::Up { session_present }).await;
        drop(peer);
        source.expect_link(Link::Down).await;
    }
}

#[tokio::test]
async fn a_message_is_handed_on_as_it_came() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    let before = SystemClock.now();
    let properties = PublishProperties {
        content_type: Some("Application/JSON; charset=utf-8".into()),
        correlation_data: Some("c7".into()),
        ..PublishProperties::default()
    };
    peer.send(readings(4, b"{}", Some(properties))).await;
    let delivery = source.next().await;
    assert!((before..=SystemClock.now()).contains(&delivery.received_at));
    let expected = input::Publish {
        topic: "pulseward/v1/s1/d1/readings".into(),
        payload: "{}".into(),
        encoding: Some(Encoding::Json),
        correlation: Some("c7".into()),
        retained: false,
    };
    assert_eq!(delivery.event, Event::Publish(expected));
}

#[tokio::test]
async fn acknowledgements_leave_in_arrival_order_from_any_thread() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    let mut acknowledgements = Vec::new();
    for packet_id in [9, 4, 7] {
        peer.publish(packet_id, b"x").await;
        acknowledgements.push(source.payload().await.1);
    }
    let committer = std::thread::spawn(move || {
        acknowledgements.into_iter().rev().for_each(Acknowledgement::send);
    });
    for packet_id in [9, 4, 7] {
        assert_eq!(peer.expect_puback().await, packet_id);
    }
    committer.join().expect("no panic");
}

#[tokio::test]
async fn an_acknowledgement_of_an_earlier_connection_is_not_sent() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    peer.publish(1, b"first").await;
    peer.publish(2, b"second").await;
    let stale = [source.payload().await.1, source.payload().await.1];
    drop(peer);
    source.expect_link(Link::Down).await;

    let mut peer = broker.serve(true).await;
    source.expect_link(UP).await;
    peer.publish(1, b"another").await;
    peer.publish(2, b"one more").await;
    let current = [source.payload().await.1, source.payload().await.1];
    stale.into_iter().for_each(Acknowledgement::send);
    // Had a stale one been sent, this would come second.
    peer.send(readings(0, b"marker", None)).await;
    let (marker, none) = source.message().await;
    assert_eq!((&marker.payload[..], none.is_none()), (&b"marker"[..], true));
    let [first, second] = current;
    drop(second);
    first.send();
    assert_eq!(peer.expect_puback().await, 1);
    source.cancel.cancel();
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)), "2 was never acknowledged");
}

#[tokio::test]
async fn what_a_lost_connection_brought_comes_before_the_loss_and_the_next_connection() {
    let broker = Broker::start().await;
    let mut source = Source::start_with_inbox(broker.settings(), 1);
    let mut peer = broker.serve(true).await;
    for packet_id in 1..=20 {
        peer.publish(packet_id, &[u8::try_from(packet_id).expect("small")]).await;
    }
    drop(peer);
    source.expect_link(UP).await;
    let mut stale = Vec::new();
    for packet_id in 1..=20 {
        let (payload, acknowledgement) = source.payload().await;
        assert_eq!(payload, [packet_id]);
        stale.push(acknowledgement);
    }
    source.expect_link(Link::Down).await;
    let mut peer = broker.serve(true).await;
    source.expect_link(UP).await;
    stale.into_iter().for_each(Acknowledgement::send);
    peer.publish(77, b"new").await;
    source.payload().await.1.send();
    assert_eq!(peer.expect_puback().await, 77, "nothing of the old connection before it");
}

#[tokio::test]
async fn a_message_of_a_mebibyte_passes() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    for size in [10 << 10, (10 << 10) + 1, 1 << 20] {
        peer.publish(1, &vec![b'x'; size]).await;
        let (payload, acknowledgement) = source.payload().await;
        assert_eq!(payload.len(), size);
        acknowledgement.send();
        assert_eq!(peer.expect_puback().await, 1);
    }
}

#[tokio::test]
async fn pings_go_on_while_the_inbox_is_full() {
    let broker = Broker::start().await;
    let settings = Settings { keep_alive: Duration::from_millis(400), ..broker.settings() };
    let mut source = Source::start_with_inbox(settings, 1);
    let mut peer = broker.serve(true).await;
    for packet_id in 1..=3 {
        peer.publish(packet_id, b"x").await;
    }
    for _ in 0..4 {
        assert!(matches!(peer.receive().await, Packet::PingReq(_)));
        peer.pong().await;
    }
    source.expect_link(UP).await;
    for packet_id in 1..=3 {
        source.payload().await.1.send();
        assert_eq!(peer.expect_puback().await, packet_id);
    }
}

#[tokio::test]
async fn a_silent_broker_is_given_up() {
    let broker = Broker::start().await;
    let settings = Settings { keep_alive: Duration::from_millis(400), ..broker.settings() };
    let (mut source, _silent) = connected(settings, &broker).await;
    source.expect_link(Link::Down).await;
    broker.serve(true).await;
    source.expect_link(UP).await;
}

#[tokio::test]
async fn the_brokers_own_keep_alive_is_heeded() {
    let broker = Broker::start().await;
    let _source = Source::start(broker.settings());
    let (mut peer, _, _) = broker.next_client().await;
    let mut properties = no_properties();
    properties.server_keep_alive = Some(1);
    let code = ConnectReturnCode::Success;
    let ack = ConnAck { session_present: true, code, properties: Some(properties) };
    peer.send(Packet::ConnAck(ack)).await;
    peer.grant().await;
    assert!(matches!(peer.receive().await, Packet::PingReq(_)), "long before 30 s");
}

#[tokio::test]
async fn a_session_that_is_taken_over_ends() {
    // As Mosquitto says it, and as the standard would have it.
    for bytes in [&[0xE0, 1, 0x8E][..], &[0xE0, 2, 0x8E, 0]] {
        let broker = Broker::start().await;
        let (source, mut peer) = connected(broker.settings(), &broker).await;
        peer.send_bytes(bytes).await;
        let ended = source.ended().await;
        assert!(matches!(ended, Err(Error::SessionTakenOver { .. })), "{ended:?}");
    }
}

#[tokio::test]
async fn another_disconnect_of_the_broker_is_survived() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    let goodbye = Disconnect::new(DisconnectReasonCode::ServerShuttingDown);
    peer.send(Packet::Disconnect(goodbye)).await;
    source.expect_link(Link::Down).await;
    broker.serve(false).await;
    source.expect_link(Link::Up { session_present: false }).await;
}

#[tokio::test]
async fn wrong_credentials_are_tried_again() {
    let broker = Broker::start().await;
    let mut source = Source::start(broker.settings());
    for _ in 0..3 {
        let (mut peer, _, _) = broker.next_client().await;
        peer.refuse(ConnectReturnCode::BadUserNamePassword).await;
    }
    broker.serve(false).await;
    source.expect_link(Link::Up { session_present: false }).await;
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_tried_again() {
    let broker = Broker::start().await;
    let mut source = Source::start(broker.settings());
    for refusal in
        [SubscribeReasonCode::NotAuthorized, SubscribeReasonCode::Success(QoS::AtMostOnce)]
    {
        let mut peer = broker.welcome(true).await;
        assert!(matches!(peer.receive().await, Packet::Subscribe(_)));
        let ack = SubAck { pkid: 1, return_codes: vec![refusal], properties: None };
        peer.send(Packet::SubAck(ack)).await;
        source.expect_link(UP).await;
        source.expect_link(Link::Down).await;
    }
    broker.serve(true).await;
    source.expect_link(UP).await;
}

fn own_verdict(packet_id: u16) -> Packet {
    let topic = "pulseward/v1/s1/d1/verdicts";
    let mut verdict = Publish::new(topic, QoS::AtLeastOnce, "our own", None);
    verdict.pkid = packet_id;
    Packet::Publish(verdict)
}

#[tokio::test]
async fn our_own_verdicts_are_acknowledged_in_turn_and_not_handed_on() {
    let broker = Broker::start().await;
    let (mut source, mut peer) = connected(broker.settings(), &broker).await;
    peer.publish(1, b"before").await;
    peer.send(own_verdict(2)).await;
    peer.publish(3, b"after").await;
    for payload in [&b"before"[..], b"after"] {
        let (received, acknowledgement) = source.payload().await;
        assert_eq!(received, payload);
        acknowledgement.send();
    }
    for packet_id in 1..=3 {
        assert_eq!(peer.expect_puback().await, packet_id);
    }
}

/// Sends far more than may wait, and than the network's own buffers hold, to a session whose inbox
/// is full: it must stop reading, live on, and have everything in the end.
async fn check_that_waiting_is_bounded(packet_ids: impl Iterator<Item = u16>) {
    let broker = Broker::start().await;
    let settings = Settings {
        receive_maximum: NonZeroU16::new(2).expect("not zero"),
        keep_alive: Duration::from_millis(400),
        ..broker.settings()
    };
    let mut source = Source::start_with_inbox(settings, 1);
    let mut peer = broker.serve(true).await;
    let mut flood = BytesMut::new();
    let mut sent = 0;
    for packet_id in packet_ids {
        readings(packet_id, &vec![b'x'; 1 << 20], None).write(&mut flood, None).expect("it fits");
        sent += 1;
    }
    let rest = peer.send_until_pinged(&flood, 4).await;
    assert!(!rest.is_empty(), "it reads on");
    let receiving = async {
        source.expect_link(UP).await;
        for _ in 0..sent {
            if let Some(acknowledgement) = source.message().await.1 {
                acknowledgement.send();
            }
        }
    };
    tokio::join!(receiving, peer.send_bytes(rest));
}

#[tokio::test]
async fn a_broker_that_exceeds_the_receive_maximum_is_made_to_wait() {
    check_that_waiting_is_bounded(1..=40).await;
}

#[tokio::test]
async fn a_flood_of_qos_0_is_made_to_wait() {
    check_that_waiting_is_bounded(std::iter::repeat_n(0, 40)).await;
}

#[tokio::test]
async fn stopping_acknowledges_what_was_handed_out_and_nothing_else() {
    let broker = Broker::start().await;
    let mut source = Source::start_with_inbox(broker.settings(), 1);
    let mut peer = broker.serve(true).await;
    source.expect_link(UP).await;
    peer.publish(1, b"handed out").await;
    peer.publish(2, b"in the inbox").await;
    peer.publish(3, b"waits for the inbox").await;
    let (_, first) = source.payload().await;
    source.full().await;
    source.cancel.cancel();
    peer.publish(4, b"too late").await;
    first.send();
    assert_eq!(peer.expect_puback().await, 1);
    source.payload().await.1.send();
    assert_eq!(peer.expect_puback().await, 2);
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    drop(peer);
    source.ended().await.expect("it stopped as it was told");
}

#[tokio::test]
async fn stopping_waits_for_acknowledgements_no_longer_than_it_may() {
    let broker = Broker::start().await;
    let settings = Settings { drain: Duration::from_millis(50), ..broker.settings() };
    let (mut source, mut peer) = connected(settings, &broker).await;
    peer.publish(1, b"never acknowledged").await;
    let _held = source.payload().await;
    source.stop().await.expect("it stopped");
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_broker_that_is_away() {
    let broker = Broker::start().await;
    let source = Source::start(broker.settings());
    let _unanswered = broker.next_client().await;
    source.stop().await.expect("it stopped");
}

#[tokio::test]
async fn a_closed_inbox_ends_the_session() {
    let broker = Broker::start().await;
    let (mut source, peer) = connected(broker.settings(), &broker).await;
    source.inbox.close();
    drop(peer);
    assert!(matches!(source.ended().await, Err(Error::InboxClosed)));
}

#[test]
fn content_types_are_told_apart_without_their_parameters() {
    for (content_type, expected) in [
        ("application/protobuf", Some(Encoding::Protobuf)),
        ("application/json;charset=utf-8", Some(Encoding::Json)),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(encoding(content_type), expected, "{content_type}");
    }
}

#[tokio::test]
async fn messages_on_their_way_are_bounded_by_their_bytes_and_pings_go_on() {
    let broker = Broker::start().await;
    let payload_bytes_max = 300_000;
    let settings = Settings {
        payload_bytes_max,
        // Two messages, and less than the largest beside them.
        admitted_bytes_max: 900_000,
        keep_alive: Duration::from_millis(400),
        ..broker.settings()
    };
    let largest = vec![b'x'; 300_000];
    let (mut source, mut peer) = connected(settings, &broker).await;
    for packet_id in 1..=2 {
        peer.publish(packet_id, &largest).await;
    }
    let first = source.next().await;
    let second = source.next().await;
    // Small enough to lie in the socket's buffers.
    peer.publish(3, b"more").await;
    for _ in 0..2 {
        assert!(matches!(peer.receive().await, Packet::PingReq(_)));
        peer.pong().await;
    }
    assert!(source.inbox.is_empty(), "it is not read");
    assert!(second.acknowledgement.is_some() && second.admission.is_some());
    drop(first.admission);
    assert_eq!(source.payload().await.0, b"more");
    drop((first.acknowledgement, second));
    drop(source.stop().await);
}
