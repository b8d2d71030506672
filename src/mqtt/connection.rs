//! One MQTT 5 connection: packets in, packets out, kept alive.
//!
//! Promises: whatever waits to be written leaves while the connection is being read, and nothing
//! that was given to [`Connection::send`] is lost because a future was dropped; a silent broker
//! is noticed within the keep-alive time. What the packets mean is the callers' business, and so
//! is making a new connection.

use std::io;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rumqttc::v5::mqttbytes::Error as CodecError;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode,
    Login, Packet, PingReq, SubscribeReasonCode, check,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Address, Credentials, Settings, Tls};
use crate::tls;

/// Room made for each read: a good hundred small batches, a sixtieth of the largest.
const READ_BYTES: usize = 32 << 10;

/// The shortest time between two pings; a broker that asks for more is pinged this often.
const PING_EVERY_MIN: Duration = Duration::from_millis(100);

/// What a connection is asked for.
pub(super) struct Hello {
    pub(super) client_id: String,
    /// How long the broker is to keep the session; `None` for a new session that ends with the
    /// connection.
    pub(super) session_expiry: Option<Duration>,
    pub(super) receive_maximum: NonZeroU16,
}

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("connecting to {address}")]
    Connect {
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("TLS with {address}: {reason}")]
    Handshake { address: Address, reason: String },
    // With TLS 1.3 a broker refuses our certificate only after the handshake.
    #[error("TLS with the broker: {0}")]
    Tls(String),
    #[error("connecting to {address}: no answer within {timeout:?}")]
    ConnectTimeout { address: Address, timeout: Duration },
    #[error("the broker refuses the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker refuses the subscription: {0:?}")]
    SubscriptionRefused(SubscribeReasonCode),
    // Mosquitto before 2.0.15 doesn't say so when it gives a session to another client.
    #[error(
        "the broker closed the connection without saying why; if it does so again and again, \
         another client may have the same client id"
    )]
    Closed,
    #[error("the broker ended the connection: {reason:?} {text}")]
    Disconnected { reason: DisconnectReasonCode, text: String },
    #[error("the broker is silent")]
    Silent,
    #[error("reading from or writing to the broker")]
    Io(#[source] io::Error),
    #[error("reading a packet of the broker")]
    Malformed(#[from] CodecError),
    #[error("the broker breaks the protocol: {0}")]
    Protocol(&'static str),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        // TLS that ends without a goodbye; plain TCP says so by reading nothing.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match tls::explain(&error) {
            Some(why) => Self::Tls(why.reason),
            None => Self::Io(error),
        }
    }
}

impl Lost {
    /// Whether only a person can do something about it.
    pub(super) fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused(code) => !matches!(
                code,
                ConnectReturnCode::ServerUnavailable
                    | ConnectReturnCode::ServerBusy
                    | ConnectReturnCode::ConnectionRateExceeded
            ),
            Self::SubscriptionRefused(_) | Self::Handshake { .. } | Self::Tls(_) => true,
            _ => false,
        }
    }

    /// Whether another client took our session over.
    pub(super) fn is_taken_over(&self) -> bool {
        matches!(self, Self::Disconnected { reason: DisconnectReasonCode::SessionTakenOver, .. })
    }
}

/// An open connection.
pub(super) struct Connection {
    reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Read and not yet decoded: at most one packet and one read.
    incoming: BytesMut,
    /// Encoded and not yet written. Its bound is its callers': they send answers to what they
    /// were sent, or no more than a window.
    outgoing: BytesMut,
    /// Whether what was written may still stand in TLS.
    is_unflushed: bool,
    packet_bytes_max: u32,
    /// The broker's limit for our packets.
    outgoing_bytes_max: Option<u32>,
    ping: Interval,
    /// Whether anything was read since the last ping.
    heard: bool,
}

impl Connection {
    /// Connects and logs in. Not cancel safe: dropping it drops the attempt.
    pub(super) async fn open(settings: &Settings, hello: &Hello) -> Result<(Self, ConnAck), Lost> {
        timeout(settings.connect_timeout, Self::log_in(settings, hello)).await.unwrap_or_else(
            |_| {
                Err(Lost::ConnectTimeout {
                    address: settings.url.clone(),
                    timeout: settings.connect_timeout,
                })
            },
        )
    }

    async fn log_in(settings: &Settings, hello: &Hello) -> Result<(Self, ConnAck), Lost> {
        let mut connection = Self::dial(settings).await?;
        let login = settings.credentials.as_ref().map(login);
        connection.send(&Packet::Connect(connect(settings, hello), None, login))?;
        match connection.next().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                connection.heed(&ack);
                Ok((connection, ack))
            }
            Packet::ConnAck(ack) => Err(Lost::Refused(ack.code)),
            _ => Err(Lost::Protocol("its first packet is not a CONNACK")),
        }
    }

    async fn dial(settings: &Settings) -> Result<Self, Lost> {
        let address = &settings.url;
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|source| Lost::Connect { address: address.clone(), source })?;
        // Acknowledgements are few bytes and somebody waits for each: they must not wait for more.
        stream.set_nodelay(true)?;
        let (reader, writer) = match &settings.tls {
            // Better no connection than one that is not what its address says.
            None if address.is_encrypted() => {
                let reason = "no authorities are given that could vouch for it".to_owned();
                return Err(Lost::Handshake { address: address.clone(), reason });
            }
            None => {
                let (reader, writer) = stream.into_split();
                (Box::new(reader) as _, Box::new(writer) as _)
            }
            Some(tls) => {
                let stream = shake_hands(tls, address, stream).await?;
                let (reader, writer) = tokio::io::split(stream);
                (Box::new(reader) as _, Box::new(writer) as _)
            }
        };
        Ok(Self {
            reader,
            writer,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            is_unflushed: false,
            packet_bytes_max: settings.packet_bytes_max(),
            outgoing_bytes_max: None,
            ping: pings(settings.keep_alive),
            heard: true,
        })
    }

    /// Takes over what the broker demands in its CONNACK.
    fn heed(&mut self, ack: &ConnAck) {
        let Some(demands) = &ack.properties else { return };
        self.outgoing_bytes_max = demands.max_packet_size;
        // 0 is "none at all"; ours stays, since it is also how we notice that the broker is gone.
        if let Some(seconds) = demands.server_keep_alive.filter(|seconds| *seconds > 0) {
            self.ping = pings(Duration::from_secs(seconds.into()));
        }
    }

    /// Puts a packet behind those that wait to be written; [`Connection::next`] writes them.
    /// Fails without a trace if it is larger than the broker takes.
    pub(super) fn send(&mut self, packet: &Packet) -> Result<(), CodecError> {
        let before = self.outgoing.len();
        let written = packet.write(&mut self.outgoing, self.outgoing_bytes_max);
        written.map(|_| ()).inspect_err(|_| self.outgoing.truncate(before))
    }

    /// Says goodbye and waits until the broker, having read everything before it, hangs up.
    /// Closing earlier could take back what it has not read yet. Not cancel safe.
    pub(super) async fn close(mut self) {
        let goodbye = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        if self.send(&Packet::Disconnect(goodbye)).is_err() {
            return;
        }
        while self.next().await.is_ok() {}
    }

    /// The next packet from the broker. Meanwhile writes what waits, and pings. Cancel safe: what
    /// was read, or is still to be written, stays with the connection.
    pub(super) async fn next(&mut self) -> Result<Packet, Lost> {
        loop {
            match decode(&mut self.incoming, self.packet_bytes_max)? {
                Some(Packet::PingResp(_)) => {}
                Some(Packet::Disconnect(disconnect)) => return Err(ended(disconnect)),
                Some(packet) => return Ok(packet),
                None => self.progress(Reading::On).await?,
            }
        }
    }

    /// Leaves what the broker sends where it is, while writing what waits, and pinging. Returns
    /// when the connection is lost; whether the broker still speaks is not known meanwhile.
    /// Cancel safe.
    pub(super) async fn pause(&mut self) -> Lost {
        loop {
            self.heard = true;
            if let Err(why) = self.progress(Reading::Paused).await {
                return why;
            }
        }
    }

    /// Reads something, writes something or pings. Cancel safe.
    async fn progress(&mut self, reading: Reading) -> Result<(), Lost> {
        use tokio::io::AsyncReadExt as _;

        self.incoming.reserve(READ_BYTES);
        let writes = !self.outgoing.is_empty() || self.is_unflushed;
        let is_over = tokio::select! {
            read = self.reader.read_buf(&mut self.incoming), if reading == Reading::On => {
                self.heard = true;
                read? == 0
            }
            written = write(&mut self.writer, &mut self.outgoing, &mut self.is_unflushed),
                if writes => written?,
            _ = self.ping.tick() => return self.keep_alive(),
        };
        if is_over { Err(Lost::Closed) } else { Ok(()) }
    }

    fn keep_alive(&mut self) -> Result<(), Lost> {
        if !std::mem::replace(&mut self.heard, false) {
            return Err(Lost::Silent);
        }
        Ok(self.send(&Packet::PingReq(PingReq))?)
    }
}

/// Writes some of what waits or, once it is written, pushes it through TLS; whether the broker has
/// hung up. Cancel safe.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut BytesMut,
    is_unflushed: &mut bool,
) -> io::Result<bool> {
    use tokio::io::AsyncWriteExt as _;

    if outgoing.is_empty() {
        writer.flush().await?;
        *is_unflushed = false;
        return Ok(false);
    }
    *is_unflushed = true;
    Ok(writer.write_buf(outgoing).await? == 0)
}

/// TLS over a new connection, with the certificates of this moment.
async fn shake_hands(
    tls: &Tls,
    address: &Address,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Lost> {
    let connector = TlsConnector::from(tls.files.get());
    connector.connect(tls.server_name.clone(), stream).await.map_err(|error| {
        let address = address.clone();
        match tls::explain(&error) {
            Some(why) => Lost::Handshake { address, reason: why.reason },
            None => Lost::Connect { address, source: error },
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    Paused,
}

/// Two pings in each keep-alive time: one goes out, and by the next its answer is overdue.
fn pings(keep_alive: Duration) -> Interval {
    let every = (keep_alive / 2).max(PING_EVERY_MIN);
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

fn connect(settings: &Settings, hello: &Hello) -> Connect {
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = hello.session_expiry.map(seconds);
    properties.receive_maximum = Some(hello.receive_maximum.get());
    properties.max_packet_size = Some(settings.packet_bytes_max());
    Connect {
        keep_alive: u16::try_from(settings.keep_alive.as_secs().max(1)).unwrap_or(u16::MAX),
        client_id: hello.client_id.clone(),
        clean_start: hello.session_expiry.is_none(),
        properties: Some(properties),
    }
}

fn login(credentials: &Credentials) -> Login {
    Login::new(credentials.username.as_str(), credentials.password.reveal())
}

/// Whole seconds; more than MQTT can say becomes its "never".
fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

fn ended(disconnect: Disconnect) -> Lost {
    let text = disconnect.properties.and_then(|properties| properties.reason_string);
    Lost::Disconnected { reason: disconnect.reason_code, text: text.unwrap_or_default() }
}

/// Takes the first packet off `incoming`, if it is there as a whole.
pub(super) fn decode(
    incoming: &mut BytesMut,
    packet_bytes_max: u32,
) -> Result<Option<Packet>, CodecError> {
    let header = match check(incoming.iter(), Some(packet_bytes_max)) {
        Ok(header) => header,
        Err(CodecError::InsufficientBytes(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(mut whole) = short_disconnect(&incoming[..header.frame_length()]) {
        incoming.advance(header.frame_length());
        return Packet::read(&mut whole, None).map(Some);
    }
    Packet::read(incoming, Some(packet_bytes_max)).map(Some)
}

/// A DISCONNECT whose reason code or property length is left out, written in full. MQTT 5 allows
/// the short forms (3.14.2), Mosquitto sends them, and the codec doesn't read them.
fn short_disconnect(frame: &[u8]) -> Option<BytesMut> {
    const DISCONNECT: u8 = 0xE0;
    match *frame {
        [DISCONNECT, 0] => Some(BytesMut::from(&[DISCONNECT, 2, 0, 0][..])),
        [DISCONNECT, 1, reason] => Some(BytesMut::from(&[DISCONNECT, 2, reason, 0][..])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_disconnect(frame: &[u8], expected: DisconnectReasonCode) {
        let mut incoming = BytesMut::from(frame);
        match decode(&mut incoming, 1024).expect("well formed") {
            Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason_code, expected),
            other => panic!("{frame:02x?} is {other:?}"),
        }
        assert!(incoming.is_empty());
    }

    #[test]
    fn a_disconnect_is_understood_in_all_its_lengths() {
        check_disconnect(&[0xE0, 0], DisconnectReasonCode::NormalDisconnection);
        check_disconnect(&[0xE0, 1, 0x8E], DisconnectReasonCode::SessionTakenOver);
        check_disconnect(&[0xE0, 2, 0x8E, 0], DisconnectReasonCode::SessionTakenOver);
        check_disconnect(
            &[0xE0, 6, 0x8B, 4, 0x1F, 0, 1, b'x'],
            DisconnectReasonCode::ServerShuttingDown,
        );
    }

    #[test]
    fn half_a_packet_waits_for_its_other_half() {
        let mut incoming = BytesMut::from(&[0xE0, 2, 0x8E][..]);
        assert!(decode(&mut incoming, 1024).expect("so far so good").is_none());
        assert_eq!(incoming.len(), 3);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for frame in [&[0x00, 0][..], &[0x30, 1, 0], &[0x32, 4, 0, 9, b'a', b'b'], &[0xFF; 5]] {
            assert!(decode(&mut BytesMut::from(frame), 1024).is_err(), "{frame:02x?}");
        }
    }
}
