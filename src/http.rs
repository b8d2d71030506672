//! The server of health and metrics, and of the ward page.
//!
//! `/healthz`, `/readyz` and `/metrics` tell how the service is, never anything about a patient,
//! and change nothing; they need no authentication. `/ward/` is the page that clinicians look at,
//! and the page calls the services of [`grpc`](crate::grpc) here by gRPC-Web: through the very same
//! gate, with the same limits, on the same record. Nothing else is served.
//!
//! The page lives by long streams, and health by being told at once. So each connection and each
//! request is bounded by what it is for (`places`), and neither crowds out the other.
//!
//! Deliberately absent: callers' certificates. A browser has none to show, and machines have the
//! port of gRPC.

mod connection;
mod health;
mod held;
mod page;
mod places;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming as Received;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codegen::Service as _;
use tracing::{info, warn};

pub use self::connection::PROTOCOLS;
use self::health::Told;
use self::held::until_told;
use self::places::{Guest, Kind, Places};
use crate::grpc::Web;
use crate::incoming::{Door, Incoming, Peer};
use crate::readiness::Readiness;
use crate::telemetry::{Metrics, names};
use crate::tls;

/// How often measured values are folded into the histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How its connections are told of.
const DOOR: Door = Door { of: "HTTP", failed_total: names::HTTP_HANDSHAKES_FAILED_TOTAL };
/// What the paths of calls begin with.
const CALLS: &str = "/pulseward.v1.";

/// Where to listen, and for what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 takes a free one; see [`Server::local_addr`].
    pub listen: SocketAddr,
    /// The certificates of the moment; `None` for plain text.
    pub tls: Option<tls::Current<ServerConfig>>,
    /// Whether the ward page is served.
    pub ward: Ward,
}

/// The ward page, as it is served or not.
#[derive(Clone, Debug)]
pub enum Ward {
    /// It was switched off: there is nothing.
    Off,
    /// It must not be served like this; whoever comes for it is told why.
    Shut(Shut),
    /// It is served, and calls these services.
    Open(Web),
}

/// Why the ward page must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// Other machines would speak with it in plain text.
    Plaintext,
    /// Other machines would come in without being known.
    NoAuthentication,
    /// Callers are known by what is not asked for here.
    CertificatesOnly,
}

impl Shut {
    /// For whoever came for it, and for the log.
    const fn text(self) -> &'static str {
        match self {
            Self::Plaintext => {
                "the ward page is not served here: other machines reach this address, and without \
                 TLS whoever is between reads patients' data and callers' tokens; set certificate \
                 and key in [http.tls], or [http] allow_plaintext = true where a proxy before it \
                 speaks TLS\n"
            }
            Self::NoAuthentication => {
                "the ward page is not served here: other machines reach this address, and [auth] \
                 mode = \"none\" would let whoever reaches it read and change everything; set \
                 [auth] mode = \"jwt\", or [http] listen to a loopback address such as \
                 127.0.0.1:8080\n"
            }
            Self::CertificatesOnly => {
                "the ward page is not served here: with [auth] mode = \"certificates\" callers are \
                 known by their certificates, which browsers are not asked for; set [auth] mode = \
                 \"jwt\", beside which those callers stay known\n"
            }
        }
    }
}

/// Why the server can't serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address can't be listened on.
    #[error("can't listen for HTTP on {listen}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A server that has its port.
pub struct Server {
    incoming: Incoming,
    local_addr: SocketAddr,
    scheme: &'static str,
    site: Site,
    metrics: Metrics,
}

impl Server {
    /// Takes the port. From here on connections are accepted, and answered once it runs. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub fn bind(settings: Settings, readiness: Readiness, metrics: Metrics) -> Result<Self, Error> {
        let Settings { listen, tls, ward } = settings;
        let failed = |source| Error::Bind { listen, source };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let incoming = Incoming::bind(DOOR, listen, tls).map_err(failed)?;
        let local_addr = incoming.local_addr().map_err(failed)?;
        info!(listener = "http", address = %local_addr, "listening");
        let told = Told { readiness, metrics: metrics.clone() };
        let site = Site { health: health::router(told), ward };
        Ok(Self { incoming, local_addr, scheme, site, metrics })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where the ward page is, if it is served: the address, as a browser takes it.
    #[must_use]
    pub fn ward_page(&self) -> Option<String> {
        let is_open = matches!(self.site.ward, Ward::Open(_));
        is_open.then(|| format!("{}://{}{}", self.scheme, self.local_addr, page::PATH))
    }

    /// Serves until cancelled, then ends once the requests under way are answered, which takes 10 s
    /// at most. Not cancel safe: dropping it leaves connections behind.
    pub async fn run(self, cancel: CancellationToken) {
        self.tell();
        let Self { mut incoming, site, metrics, .. } = self;
        let (site, places) = (Arc::new(site), Arc::new(Places::new()));
        let connections = TaskTracker::new();
        let accepting = async {
            loop {
                let io = incoming.next().await;
                let (guest, site) = (Guest::new(&places), Arc::clone(&site));
                connections.spawn(connection::serve(io, site, guest, cancel.clone()));
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            never = upkeep(metrics) => match never {},
            () = accepting => {}
        }
        connections.close();
        connections.wait().await;
    }

    /// Says once whether the ward page is served.
    fn tell(&self) {
        match (&self.site.ward, self.ward_page()) {
            (Ward::Shut(why), _) => warn!(reason = why.text().trim_end(), "no ward page"),
            (_, Some(url)) => info!(url, "serving the ward page"),
            _ => {}
        }
    }
}

/// Cancel safe.
async fn upkeep(metrics: Metrics) -> Infallible {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        metrics.upkeep();
    }
}

/// What is served.
struct Site {
    health: Router,
    ward: Ward,
}

impl Site {
    /// Answers one request. Cancel safe as far as its answers are.
    async fn answer(
        &self,
        request: hyper::Request<Received>,
        guest: &Arc<Guest>,
        peer: &Peer,
    ) -> Response {
        let request = request.map(Body::new);
        let (path, version) = (request.uri().path(), request.version());
        if health::PATHS.contains(&path) {
            return ended(self.tell_health(request, guest).await, version);
        }
        let is_call = path.starts_with(CALLS);
        match &self.ward {
            Ward::Open(web) if is_call => call(web, request, guest, peer).await,
            Ward::Open(_) => {
                guest.ask();
                page::answer(request.method(), path, request.headers())
            }
            Ward::Shut(why) if is_call || path == "/" || path.starts_with("/ward") => {
                ended(page::text(StatusCode::FORBIDDEN, why.text()), version)
            }
            _ => ended(page::nothing(), version),
        }
    }

    async fn tell_health(&self, request: Request, guest: &Arc<Guest>) -> Response {
        let Some(under_way) = guest.begin(Kind::Health) else { return busy(request.version()) };
        let answered = self.health.clone().call(request).await;
        until_told(answered.unwrap_or_else(|never| match never {}), under_way)
    }
}

async fn call(web: &Web, request: Request, guest: &Arc<Guest>, peer: &Peer) -> Response {
    let Some(under_way) = guest.begin(Kind::Call) else { return busy(request.version()) };
    let (answer, call) = web.call(request, peer).await;
    until_told(answer, (call, under_way))
}

/// There are too many requests of this kind under way.
fn busy(version: Version) -> Response {
    ended((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response(), version)
}

/// Says on an answer that its connection ends: else the client would keep it, for nothing. HTTP/2
/// has no word for it, and a page shares its connection.
fn ended(mut answer: Response, version: Version) -> Response {
    if version < Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

#[cfg(test)]
mod tests;
