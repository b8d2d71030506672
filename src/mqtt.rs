//! MQTT: the source of readings, and the way back for verdicts.
//!
//! Two clients of one broker, each with its own connection, so that a verdict that is stuck never
//! holds an acknowledgement up:
//!
//! - [`session::Session`] subscribes to everything under `pulseward/v1/` at QoS 1 in a persistent
//!   session and hands each message on as a [`delivery::Delivery`].
//! - [`publisher::Publisher`] tells gateways what became of their batches.
//!
//! Promises: a message is acknowledged only by [`delivery::Acknowledgement::send`], which its
//! owner calls after the commit; PUBACKs leave in the order in which the messages arrived, on the
//! connection on which they arrived and on no other; the connection is read and kept alive
//! whatever the stages behind do. What is not acknowledged comes again.
//!
//! Deliberately absent: this stage does not look into payloads and refuses nothing. A message on
//! a topic that the contract doesn't know goes to the engine, which refuses it with a reason.
//!
//! A connection is plain TCP, or TLS by our own rustls configuration; rumqttc brings none of its own.
//! Packets are read and written by rumqttc's MQTT 5 codec; the connection is our own. rumqttc's
//! event loop does not fit a source that must not lose an acknowledgement: its `poll` drops a
//! connection attempt or a request under way when a `select!` drops it; it carries requests and
//! unread publishes of one connection over to the next; and it swallows the three bytes with
//! which Mosquitto says "session taken over", so that two instances would fight for ever.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls;

mod connection;
pub mod delivery;
pub mod publisher;
mod reconnect;
#[cfg(test)]
mod scripted;
pub mod session;
pub mod topic;
mod verdict;

/// Room in a packet for what surrounds a payload: the topic (at most 64 KiB by MQTT) and the
/// properties.
const PACKET_OVERHEAD_BYTES_MAX: u32 = 128 << 10;

/// How to reach the broker and how to behave towards it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the broker listens.
    pub url: Address,
    /// The name of the session at the broker. Stable across restarts, since unacknowledged and
    /// queued messages are kept under it, and unique: a second client of this name takes the
    /// session over. The publisher's client is this with `-verdicts` behind it.
    pub client_id: String,
    /// Whom to log in as.
    pub credentials: Option<Credentials>,
    /// How to speak to it confidentially; to be set where [`Address::is_encrypted`], and only there.
    pub tls: Option<Tls>,
    /// Messages that may be unacknowledged at a time, and that may wait in this stage. Default
    /// 1024: at a commit every 10 ms this carries 100,000 messages a second; more would only
    /// lengthen what comes twice after a lost connection. At the limit the broker waits.
    pub receive_maximum: NonZeroU16,
    /// How long the broker keeps the session while we are away. Default 24 h: longer than a
    /// night with nobody to repair the service; the broker's own queue limits end earlier.
    pub session_expiry: Duration,
    /// The largest payload that is taken. Default 2 MiB: twice what the engine accepts, so that a
    /// message somewhat too large is refused with a reason. The broker discards a still larger
    /// one unseen, as MQTT 5 demands.
    pub payload_bytes_max: u32,
    /// Bytes of messages that may be on their way from the broker to the engine, with topics and
    /// correlation data. Default 64 MiB: some seconds of a busy house, where the inbox alone, full
    /// of the largest messages, would hold gigabytes. At the limit nothing more is read, and the
    /// broker waits. The largest message always fits.
    pub admitted_bytes_max: u32,
    /// A broker that is silent for longer than this is given up. Default 12 s: heartbeats tell watchers
    /// within 10 s more, so that they show NOT LIVE within 25 s.
    pub keep_alive: Duration,
    /// How long an attempt to connect may take. Default 5 s.
    pub connect_timeout: Duration,
    /// The wait before the first attempt to connect again; it doubles with each failure. Default
    /// 100 ms: a broker that restarts is back within a second.
    pub reconnect_min: Duration,
    /// The longest wait between attempts. Default 5 s: a ward is not kept waiting longer for a
    /// broker that is back.
    pub reconnect_max: Duration,
    /// How long to wait for acknowledgements of what was handed out, or for the last verdicts,
    /// when the service stops. Default 5 s.
    pub drain: Duration,
}

impl Settings {
    /// The defaults, for the broker at `url`.
    #[must_use]
    pub fn new(url: Address) -> Self {
        Self {
            url,
            client_id: "pulseward".to_owned(),
            credentials: None,
            tls: None,
            receive_maximum: NonZeroU16::new(1024).expect("1024 is not zero"),
            session_expiry: Duration::from_secs(24 * 60 * 60),
            payload_bytes_max: 2 << 20,
            admitted_bytes_max: 64 << 20,
            keep_alive: Duration::from_secs(12),
            connect_timeout: Duration::from_secs(5),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }

    fn packet_bytes_max(&self) -> u32 {
        self.payload_bytes_max.saturating_add(PACKET_OVERHEAD_BYTES_MAX)
    }
}

/// TLS to the broker.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whom we trust, and our own certificate: those of the moment, for each new connection.
    pub files: tls::Current<ClientConfig>,
    /// The name that the broker's certificate must stand for.
    pub server_name: ServerName<'static>,
}

/// A user of the broker.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Password,
}

/// A password. It shows itself to nobody but the broker.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Keeps `text` from being printed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Where a broker listens: `mqtt://host:port`, without a port 1883; or `mqtts://host:port`, over
/// TLS, without a port 8883.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Mqtt,
    Mqtts,
}

impl Scheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt://",
            Self::Mqtts => "mqtts://",
        }
    }

    /// As IANA has registered them.
    const fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
        }
    }
}

impl Address {
    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::Mqtts
    }

    /// The host as a certificate names it, if it can.
    #[must_use]
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }
}

/// Why a text is not a broker's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a broker's address, such as mqtt://localhost:1883: {problem}")]
pub struct InvalidAddress {
    url: String,
    problem: &'static str,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| InvalidAddress { url: without_user(url), problem };
        let (scheme, rest) = [Scheme::Mqtt, Scheme::Mqtts]
            .into_iter()
            .find_map(|scheme| Some((scheme, url.strip_prefix(scheme.prefix())?)))
            .ok_or_else(|| refuse("it does not begin with mqtt:// or mqtts://"))?;
        let authority = rest.trim_end_matches('/');
        if authority.contains('@') {
            return Err(refuse("user and password belong into settings of their own"));
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => scheme.port(),
            Some(digits) => digits.parse().map_err(|_| refuse("its port is not a number"))?,
        };
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(refuse("it must name a host and, if need be, a port, and nothing else"));
        }
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

/// Splits off the port. An IPv6 address stands in brackets, which are taken off.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// The URL with nothing in it that may be a password, for error messages.
fn without_user(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://[hidden]{}", &url[..scheme], &url[at..])
        }
        _ => url.to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.prefix();
        if self.host.contains(':') {
            write!(f, "{scheme}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}{}:{}", self.host, self.port)
        }
    }
}

/// Why a client of the broker ended though it was not told to. A lost connection is no reason:
/// it is made again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another client connected under our client id. Connecting again would take the session
    /// back, and the other would take it back in turn, so this instance stops.
    #[error("the MQTT session {client_id:?} was taken over by another client of this name")]
    SessionTakenOver {
        /// Our client id.
        client_id: String,
    },
    /// Nobody takes our messages any more: the stage behind has ended.
    #[error("handing on a message from the broker: the inbox is closed")]
    InboxClosed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let shown = match url.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(invalid) => invalid.problem.to_owned(),
        };
        assert_eq!(shown, expected, "{url}");
    }

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        check("mqtt://broker.ward", "mqtt://broker.ward:1883");
        check("mqtt://127.0.0.1:18831/", "mqtt://127.0.0.1:18831");
        check("mqtt://[::1]:1884", "mqtt://[::1]:1884");
        check("mqtts://broker.ward", "mqtts://broker.ward:8883");
        check("mqtts://[::1]", "mqtts://[::1]:8883");
        check("http://broker", "it does not begin with mqtt:// or mqtts://");
        check("mqtt://broker:port", "its port is not a number");
        check("mqtt://", "it must name a host and, if need be, a port, and nothing else");
        check(
            "mqtt://broker/path",
            "it must name a host and, if need be, a port, and nothing else",
        );
    }

    #[test]
    fn a_password_is_never_printed() {
        let refused = "mqtt://ward:secret@broker".parse::<Address>().expect_err("has a user");
        assert!(!refused.to_string().contains("secret"), "{refused}");
        let mut settings = Settings::new("mqtt://broker".parse().expect("valid"));
        settings.credentials =
            Some(Credentials { username: "ward".into(), password: Password::new("secret") });
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
