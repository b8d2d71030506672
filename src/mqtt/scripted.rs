//! A broker that does exactly what a test says, packet by packet.
//!
//! For what a real broker does only once in a while, or never. It waits for what it expects, at
//! most [`PATIENCE`], and panics on anything else.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, Login, Packet, PingResp, PubAck,
    PubAckReason, Publish, PublishProperties, SubAck, Subscribe, SubscribeReasonCode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::connection::decode;
use super::{Address, Settings};

/// A passing test never spends it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits what must come.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(super) struct Broker {
    listener: TcpListener,
}

impl Broker {
    pub(super) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub(super) fn url(&self) -> Address {
        let address = self.listener.local_addr().expect("it listens");
        format!("mqtt://{address}").parse().expect("an address")
    }

    /// Settings of a client of this broker that comes back quickly.
    pub(super) fn settings(&self) -> Settings {
        Settings { reconnect_min: Duration::from_millis(1), ..Settings::new(self.url()) }
    }

    /// The next client, with what it said in its CONNECT; not yet answered.
    pub(super) async fn next_client(&self) -> (Peer, Connect, Option<Login>) {
        let (stream, _) = soon("a client", self.listener.accept()).await.expect("accepted");
        let (reader, writer) = stream.into_split();
        let mut peer = Peer { reader, writer, incoming: BytesMut::new() };
        match peer.receive().await {
            Packet::Connect(connect, _, login) => (peer, connect, login),
            other => panic!("a client begins with {other:?}"),
        }
    }

    /// The next client, welcomed.
    pub(super) async fn welcome(&self, session_present: bool) -> Peer {
        let (mut peer, _, _) = self.next_client().await;
        peer.accept(session_present).await;
        peer
    }

    /// The next client, welcomed, and its subscription granted.
    pub(super) async fn serve(&self, session_present: bool) -> Peer {
        let mut peer = self.welcome(session_present).await;
        peer.grant().await;
        peer
    }
}

/// The broker's end of one connection.
pub(super) struct Peer {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    incoming: BytesMut,
}

impl Peer {
    pub(super) async fn receive(&mut self) -> Packet {
        soon("a packet", self.try_receive()).await.expect("the client stays connected")
    }

    /// The next packet; `None` once the client has hung up.
    pub(super) async fn try_receive(&mut self) -> Option<Packet> {
        loop {
            let decoded = decode(&mut self.incoming, u32::MAX);
            if let Some(packet) = decoded.expect("the client sends packets") {
                return Some(packet);
            }
            self.incoming.reserve(4096);
            if self.reader.read_buf(&mut self.incoming).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).expect("a packet that can be written");
        self.send_bytes(&bytes).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("the client reads");
    }

    /// Sends bytes until so many pings have come, and returns those that did not go out.
    pub(super) async fn send_until_pinged<'a>(&mut self, bytes: &'a [u8], pings: u32) -> &'a [u8] {
        let mut rest = bytes;
        let mut pinged = 0;
        while !rest.is_empty() && pinged < pings {
            self.incoming.reserve(4096);
            tokio::select! {
                written = self.writer.write(rest) => {
                    rest = &rest[written.expect("the client is there")..];
                }
                read = self.reader.read_buf(&mut self.incoming) => {
                    assert_ne!(read.expect("the client is there"), 0);
                }
            }
            while let Some(packet) = decode(&mut self.incoming, u32::MAX).expect("packets") {
                assert!(matches!(packet, Packet::PingReq(_)), "{packet:?}");
                pinged += 1;
            }
        }
        rest
    }

    pub(super) async fn accept(&mut self, session_present: bool) {
        self.send(Packet::ConnAck(connack(ConnectReturnCode::Success, session_present))).await;
    }

    pub(super) async fn refuse(&mut self, code: ConnectReturnCode) {
        self.send(Packet::ConnAck(connack(code, false))).await;
    }

    /// Waits for the subscription and grants it.
    pub(super) async fn grant(&mut self) -> Subscribe {
        let Packet::Subscribe(subscribe) = self.receive().await else { panic!("no SUBSCRIBE") };
        let return_codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
        let ack = SubAck { pkid: subscribe.pkid, return_codes, properties: None };
        self.send(Packet::SubAck(ack)).await;
        subscribe
    }

    /// Publishes `payload` as readings of a device, at QoS 1.
    pub(super) async fn publish(&mut self, packet_id: u16, payload: &[u8]) {
        self.send(readings(packet_id, payload, None)).await;
    }

    /// The packet id of the next PUBACK; answers pings on the way.
    pub(super) async fn expect_puback(&mut self) -> u16 {
        loop {
            match self.receive().await {
                Packet::PubAck(ack) => return ack.pkid,
                Packet::PingReq(_) => self.pong().await,
                other => panic!("{other:?} instead of a PUBACK"),
            }
        }
    }

    pub(super) async fn pong(&mut self) {
        self.send(Packet::PingResp(PingResp)).await;
    }

    pub(super) async fn expect_publish(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} instead of a PUBLISH"),
        }
    }

    pub(super) async fn acknowledge(&mut self, packet_id: u16) {
        let ack = PubAck { pkid: packet_id, reason: PubAckReason::Success, properties: None };
        self.send(Packet::PubAck(ack)).await;
    }
}

/// A QoS 1 message on a device's `readings`; QoS 0 for packet id 0.
pub(super) fn readings(
    packet_id: u16,
    payload: &[u8],
    properties: Option<PublishProperties>,
) -> Packet {
    let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let mut publish =
        Publish::new("pulseward/v1/s1/d1/readings", qos, payload.to_vec(), properties);
    publish.pkid = packet_id;
    Packet::Publish(publish)
}

/// A CONNACK's properties with nothing set.
pub(super) fn no_properties() -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

fn connack(code: ConnectReturnCode, session_present: bool) -> ConnAck {
    ConnAck { session_present, code, properties: None }
}
