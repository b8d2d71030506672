//! Connections on their way in: accepted, and with TLS their handshakes made.
//!
//! Promises: a handshake that is slow holds up nobody else's. Each has [`HANDSHAKE_TIMEOUT`], and
//! of more than [`HANDSHAKES_MAX`] at once the oldest is dropped for the newest: a whole one takes
//! two round trips, so that the oldest of so many is no honest one. Where the system has no
//! descriptor left for a new connection, those that stand are served, and accepting is tried again.
//!
//! A peer that takes nothing of what it is sent, or that is gone without a word, is let go
//! (`patience`).
//!
//! A handshake uses the certificates of its moment; a connection keeps those that it began with.

mod patience;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use metrics::counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::{Request, Status};
use tracing::{debug, warn};

use self::patience::Patient;
use crate::tls::{self, peer::Certificate};

/// A handshake takes two round trips and a millisecond of computing; on a bad radio link, seconds.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A thousand dashboards that come back together after an outage are through in a second or two.
/// Each takes some 40 KiB meanwhile.
pub(crate) const HANDSHAKES_MAX: usize = 512;

/// The pause after the system could not accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines of the log about callers' certificates.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Whose connections they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// As the log says it.
    pub(crate) of: &'static str,
    /// The metric that counts handshakes which came to nothing.
    pub(crate) failed_total: &'static str,
}

/// The listener, and how its connections are made.
pub(crate) struct Incoming {
    door: Door,
    listener: TcpListener,
    tls: Option<tls::Current<ServerConfig>>,
    handshakes: Handshakes,
}

impl Incoming {
    /// Takes the address. Must be called within a Tokio runtime.
    pub(crate) fn bind(
        door: Door,
        listen: SocketAddr,
        tls: Option<tls::Current<ServerConfig>>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let handshakes = Handshakes::new(door, HANDSHAKES_MAX, HANDSHAKE_TIMEOUT);
        Ok(Self { door, listener, tls, handshakes })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connections, without end.
    pub(crate) fn connections(self) -> impl Stream<Item = io::Result<Io>> {
        stream::unfold(self, |mut incoming| async {
            let io = incoming.next().await;
            Some((Ok(io), incoming))
        })
    }

    /// Cancel safe: handshakes go on by themselves.
    pub(crate) async fn next(&mut self) -> Io {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match (accepted, &self.tls) {
                    (Err(error), _) => pause(self.door, &error).await,
                    (Ok((stream, address)), None) => return plain(stream, address),
                    (Ok((stream, address)), Some(tls)) => {
                        self.handshakes.begin(stream, address, tls.get());
                    }
                },
                made = self.handshakes.made() => return made,
            }
        }
    }
}

fn plain(stream: TcpStream, address: SocketAddr) -> Io {
    hurry(&stream);
    let peer = Peer { address, certificate: None };
    Io { stream: Transport::Plain(Patient::new(stream)), peer }
}

/// Events are few bytes, and somebody waits for each: they must not wait for more.
fn hurry(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a new connection is gone already");
    }
    patience::miss_the_silent(stream);
}

/// What concerns one connection is over with it; for the rest, a moment is given to get better.
async fn pause(door: Door, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        warn!(%error, of = door.of, "can't accept connections; trying again");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Handshakes under way.
struct Handshakes {
    /// [`HANDSHAKES_MAX`], or what a test says.
    most: usize,
    /// [`HANDSHAKE_TIMEOUT`], or what a test says.
    timeout: Duration,
    tasks: JoinSet<Done>,
    /// Dropping one ends its handshake. The oldest has the lowest number.
    leave: BTreeMap<u64, oneshot::Sender<()>>,
    last: u64,
    failures: Failures,
}

/// What became of a handshake, by its number.
struct Done {
    number: u64,
    address: SocketAddr,
    made: Result<Io, Failed>,
}

/// Why a handshake came to nothing.
enum Failed {
    TimedOut,
    CrowdedOut,
    Refused(io::Error),
    /// The certificate was verified, and still can't be read.
    Unreadable(tls::peer::Unreadable),
}

impl Handshakes {
    fn new(door: Door, most: usize, timeout: Duration) -> Self {
        let (tasks, failures) = (JoinSet::new(), Failures { door, told_at: None, untold: 0 });
        Self { most, timeout, tasks, leave: BTreeMap::new(), last: 0, failures }
    }

    fn begin(&mut self, stream: TcpStream, address: SocketAddr, config: Arc<ServerConfig>) {
        if self.leave.len() >= self.most {
            self.leave.pop_first();
        }
        self.last += 1;
        let (number, (leave, left)) = (self.last, oneshot::channel());
        self.leave.insert(number, leave);
        let in_time = timeout(self.timeout, shake_hands(stream, address, config));
        self.tasks.spawn(async move {
            let made = tokio::select! {
                made = in_time => made.unwrap_or(Err(Failed::TimedOut)),
                _ = left => Err(Failed::CrowdedOut),
            };
            Done { number, address, made }
        });
    }

    /// The next that is made; none ever, while none is under way. Cancel safe.
    async fn made(&mut self) -> Io {
        loop {
            let Some(done) = self.tasks.join_next().await else {
                return std::future::pending().await;
            };
            // A handshake that panicked leaves its number behind, which is dropped as the oldest.
            let Ok(Done { number, address, made }) = done else { continue };
            self.leave.remove(&number);
            match made {
                Ok(io) => return io,
                Err(why) => self.failures.tell(address, &why),
            }
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<Io, Failed> {
    hurry(&stream);
    let stream = Patient::new(stream);
    let stream = TlsAcceptor::from(config).accept(stream).await.map_err(Failed::Refused)?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(Certificate::parse).transpose().map_err(Failed::Unreadable)?;
    let peer = Peer { address, certificate: certificate.map(Arc::new) };
    Ok(Io { stream: Transport::Tls(Box::new(stream)), peer })
}

/// Whoever reaches the port can make handshakes fail. All are counted; told are those over a
/// certificate, which somebody has to mend, and no more of them than one in [`TOLD_EVERY`].
struct Failures {
    door: Door,
    told_at: Option<Instant>,
    untold: u64,
}

impl Failures {
    fn tell(&mut self, address: SocketAddr, why: &Failed) {
        let (label, reason) = describe(why);
        counter!(self.door.failed_total, "reason" => label).increment(1);
        let of = self.door.of;
        if label != CERTIFICATE {
            debug!(%address, of, label, reason, "a caller's TLS handshake failed");
        } else if self.told_at.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            self.untold += 1;
        } else {
            let untold = std::mem::take(&mut self.untold);
            self.told_at = Some(Instant::now());
            warn!(%address, of, reason, untold, "a caller's TLS handshake failed over a certificate");
        }
    }
}

const CERTIFICATE: &str = "certificate";

fn describe(why: &Failed) -> (&'static str, Option<String>) {
    match why {
        Failed::TimedOut => ("timed_out", None),
        Failed::CrowdedOut => ("crowded_out", None),
        Failed::Unreadable(error) => (CERTIFICATE, Some(error.to_string())),
        Failed::Refused(error) => match tls::explain(error) {
            Some(why) if why.is_of_certificate => (CERTIFICATE, Some(why.reason)),
            why => ("broken", why.map(|why| why.reason)),
        },
    }
}

/// Who is at the other end of a connection. It stands in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    /// The certificate that was shown, and verified.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// Where it is, as tonic looks for it in the extensions of a request.
    pub(crate) fn info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: None, remote_addr: Some(self.address) }
    }
}

/// Says where a request comes from where tonic looks for it; to be the outermost layer.
pub(crate) fn tell_address(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(info) = request.extensions().get::<Peer>().map(Peer::info) {
        request.extensions_mut().insert(info);
    }
    Ok(request)
}

/// A connection.
pub(crate) struct Io {
    stream: Transport,
    peer: Peer,
}

enum Transport {
    Plain(Patient<TcpStream>),
    Tls(Box<TlsStream<Patient<TcpStream>>>),
}

impl Connected for Io {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
