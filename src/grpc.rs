//! The gRPC door: clinicians and administrators come in here, and by its [`Web`] at the port of the
//! ward page; nowhere else.
//!
//! Each service of `proto/pulseward/v1` has a file. Calls that change something become engine
//! commands through [`Commands`] and are answered once they are durable and applied; calls about
//! what the engine knows now go the same way as queries, and calls about the past to [`History`]. Health (`grpc.health.v1`) and reflection are served beside them. A call
//! that this version does not serve answers UNIMPLEMENTED.
//!
//! Nothing is decided here: requests are checked for form, converted, passed on, and the answer is
//! converted back. The caller's authority travels with every command and query. Every call goes on
//! record before it is answered, refusals included (`calls`, `streams`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codegen::http::HeaderValue;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptorLayer;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::incoming::{self, Incoming};
use crate::position::Position;
use crate::proto::v1::alert_service_server::AlertServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::ingest_service_server::IngestServiceServer;
use crate::proto::v1::profile_service_server::ProfileServiceServer;
use crate::proto::v1::registry_service_server::RegistryServiceServer;
use crate::proto::v1::vitals_service_server::VitalsServiceServer;
use crate::readiness::Readiness;
use crate::store::History;
use crate::telemetry::names;
use crate::{hub, tls};

pub mod auth;
pub mod commands;

mod alerts;
mod audit;
mod calls;
mod convert;
mod health;
mod ingest;
mod profiles;
mod registry;
mod status;
mod streams;
#[cfg(test)]
mod tests;
mod vitals;
mod web;

use auth::Gated;
use commands::Desk;
pub use commands::{Closed, Commands};
pub(crate) use convert::profiles::{profile, wire_profile};
pub(crate) use convert::registry::wire_schedule;
pub(crate) use convert::{timestamp, wire_timestamp};
use health::Health;
use streams::{Ends, Streams};
pub use web::{Reached, Web};

/// What is spoken over TLS: gRPC, and gRPC-Web from browsers, over HTTP/2.
pub const PROTOCOLS: &[&[u8]] = &[b"h2"];

/// How its connections are told of.
const DOOR: incoming::Door =
    incoming::Door { of: "gRPC", failed_total: names::GRPC_HANDSHAKES_FAILED_TOTAL };

/// A peer that has said nothing for this long is asked whether it is there. With
/// [`KEEPALIVE_TIMEOUT`] a dead clinician's connection is gone within the 25 s after which a client
/// itself would show NOT LIVE.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that does not answer that within this time is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the door is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Port 0 takes a free one; see [`Server::local_addr`].
    pub listen: SocketAddr,
    /// The certificates of the moment. Default none: plain text.
    pub tls: Option<tls::Current<ServerConfig>>,
    /// Whether plain text may be spoken with other machines. Default no.
    pub allow_plaintext: bool,
    /// Who is known by a certificate. Default nobody.
    pub certificates: auth::certificate::Callers,
    /// How callers are known.
    pub auth: auth::Mode,
    /// What each of them may do. Not heeded where they are not known.
    pub limits: auth::Limits,
    /// Refused calls of one address that go on record one by one each minute. Default 60.
    pub refusals_recorded_per_minute: u32,
    /// The web pages that may call by gRPC-Web. Default none.
    pub web_origins: Vec<HeaderValue>,
    /// Longer messages are refused, in both directions. Default 4 MiB: a page of 10,000 readings
    /// takes under 1 MiB, a full profile under 100 KiB.
    pub message_bytes_max: usize,
    /// More calls at once on one connection wait. Default 256.
    pub streams_per_connection_max: u32,
    /// A call that was not answered within this time ends as CANCELLED; what it asked for may still
    /// happen. For a stream it is the time to its beginning. Default 30 s.
    pub call_timeout: Duration,
    /// When the service stops, calls under way have this long to end. Default 5 s.
    pub drain_timeout: Duration,
}

impl Settings {
    /// The defaults, listening at `listen` without authentication.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            allow_plaintext: false,
            certificates: auth::certificate::Callers::default(),
            auth: auth::Mode::None,
            limits: auth::Limits::default(),
            refusals_recorded_per_minute: 60,
            web_origins: Vec::new(),
            message_bytes_max: 4 << 20,
            streams_per_connection_max: 256,
            call_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }

    fn is_confidential(&self) -> bool {
        self.tls.is_some() || self.allow_plaintext || self.listen.ip().to_canonical().is_loopback()
    }
}

/// What stands behind the door.
#[derive(Clone)]
pub struct Parts {
    /// Takes changes.
    pub commands: Arc<dyn Commands>,
    /// Answers about the past.
    pub history: Arc<dyn History>,
    /// How far the store has come, whose history it is.
    pub stored: watch::Receiver<Position>,
    /// Knows what is open, and tells what happens.
    pub hub: hub::Handle,
    /// Tells what is measured.
    pub vitals: hub::vitals::VitalsHandle,
    /// Cancelled when the service stops: streams end then, and say so.
    pub stopping: CancellationToken,
    /// By what tokens end.
    pub clock: Arc<dyn Clock>,
}

/// Why the door could not be opened, or fell shut.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Without authentication only this machine may come in.
    #[error(
        "refusing to listen on {listen} without authentication: \
         with [auth] mode = \"none\" [grpc] listen must be a loopback address such as 127.0.0.1:50051"
    )]
    NotLoopback {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The keys of callers' tokens can't be read from where they are said to be.
    #[error("[auth] jwks")]
    Keys(#[from] auth::SourceError),
    /// What other machines ask and hear could be read on the way.
    #[error(
        "refusing to listen on {listen} without TLS: set [grpc.tls] certificate and key, or \
         [grpc] allow_plaintext = true where a proxy before it speaks TLS"
    )]
    Plaintext {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The address could not be taken.
    #[error("listening for gRPC on {listen}")]
    Listen {
        /// The address that was asked for.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("serving gRPC")]
    Serve(#[source] tonic::transport::Error),
}

/// The door, listening and not yet serving: connections wait until [`Server::run`].
pub struct Server {
    incoming: Incoming,
    local_addr: SocketAddr,
    routes: Routes,
    /// The same services, for the ward page.
    web: web::Unplaced,
    /// The ends of streams, on their way to the record.
    ends: Ends,
    /// Refused calls, on theirs.
    attempts: auth::Attempts,
    /// Keeps the keys of callers' tokens, if they have any.
    keeper: Option<auth::Keeper>,
    health: Health,
    settings: Settings,
}

impl Server {
    /// Takes the address and wires the services. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::Plaintext`], [`Error::Keys`] and [`Error::Listen`].
    pub fn build(settings: Settings, parts: Parts) -> Result<Self, Error> {
        let listen = settings.listen;
        if !settings.auth.may_listen_at(listen) {
            return Err(Error::NotLoopback { listen });
        }
        if !settings.is_confidential() {
            return Err(Error::Plaintext { listen });
        }
        let failed = |source| Error::Listen { listen, source };
        let incoming = Incoming::bind(DOOR, listen, settings.tls.clone()).map_err(failed)?;
        let local_addr = incoming.local_addr().map_err(failed)?;
        let health = Health::new();
        let (commands, clock) = (Arc::clone(&parts.commands), Arc::clone(&parts.clock));
        let (gate, keeper) = auth::Gate::new(&settings, Desk::new(Arc::clone(&commands)), &clock)?;
        let attempts = gate.attempts();
        let streams_max =
            (settings.auth != auth::Mode::None).then_some(settings.limits.streams_max);
        let of_callers = auth::Streams::new(streams_max);
        let (streams, ends) = streams::channel(commands, streams::STREAMS_MAX, of_callers);
        let stopping = parts.stopping.clone();
        let routes = routes(&settings, parts, streams, &gate, &health);
        let web = web::Unplaced {
            routes: routes.clone(),
            under_way: TaskTracker::new(),
            are_all_let_in: settings.auth == auth::Mode::None,
            stopping,
            call_timeout: settings.call_timeout,
        };
        let routes = web::for_pages(routes, &settings.web_origins);
        Ok(Self { incoming, local_addr, routes, web, ends, attempts, keeper, health, settings })
    }

    /// The services as the ward page calls them, at a port that is reached like this. Callers, their
    /// limits and their record are the same as here, and [`Server::run`] waits for these calls, too.
    #[must_use]
    pub fn web(&self, reached: Reached) -> Web {
        self.web.at(reached)
    }

    /// Lets it say in readiness how what it depends on stands: the keys of callers' tokens.
    #[must_use]
    pub fn telling(mut self, readiness: &Readiness) -> Self {
        if let Some(keeper) = &mut self.keeper {
            keeper.telling(readiness.register("token keys"));
        }
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `cancel`, then takes no new call and gives those under way
    /// [`Settings::drain_timeout`] to end. Streams have to end by themselves at `cancel`.
    ///
    /// Not cancel safe: dropping it cuts off new connections without draining.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let Self { incoming, local_addr, routes, web, ends, attempts, keeper, health, settings } =
            self;
        info!(%local_addr, "serving gRPC");
        health.serving().await;
        let served = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(settings.streams_per_connection_max)
            .timeout(settings.call_timeout)
            // Browsers speak HTTP/1.1 where there is no TLS; nobody else has to.
            .accept_http1(!settings.web_origins.is_empty())
            .layer(InterceptorLayer::new(incoming::tell_address))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming.connections(), cancel.clone().cancelled_owned());
        let served = async {
            served.await?;
            // The ward page's calls end like ours, and by now no other is taken.
            web.under_way.close();
            web.under_way.wait().await;
            Ok(())
        };
        let overdue = async {
            cancel.cancelled().await;
            health.close().await;
            tokio::time::sleep(settings.drain_timeout).await;
        };
        let closed = CancellationToken::new();
        let serving = async {
            let result = tokio::select! {
                result = served => result.map_err(Error::Serve),
                () = overdue => {
                    warn!(drain_timeout = ?settings.drain_timeout, "leaving gRPC calls behind");
                    Ok(())
                }
            };
            closed.cancel();
            result
        };
        let keeping = async {
            if let Some(keeper) = keeper {
                keeper.run(closed.clone()).await;
            }
        };
        let recording =
            async { tokio::join!(ends.run(closed.clone()), attempts.run(closed.clone())) };
        let (result, (), _) = tokio::join!(serving, keeping, recording);
        result
    }
}

fn routes(
    settings: &Settings,
    parts: Parts,
    streams: Streams,
    gate: &auth::Gate,
    health: &Health,
) -> Routes {
    let limit = settings.message_bytes_max;
    let Parts { commands, history, stored, hub, vitals, stopping, .. } = parts;
    macro_rules! guarded {
        ($server:path, $service:expr) => {{
            let server = <$server>::new($service);
            let bounded = server.max_decoding_message_size(limit).max_encoding_message_size(limit);
            Gated::new(bounded, gate.clone())
        }};
    }
    Routes::default()
        .add_service(guarded!(
            AlertServiceServer<_>,
            alerts::Service::new(
                commands.clone(),
                streams.clone(),
                hub,
                (history.clone(), stored),
                stopping.clone()
            )
        ))
        .add_service(guarded!(
            VitalsServiceServer<_>,
            vitals::Service::new(
                commands.clone(),
                history.clone(),
                vitals::Live { streams, vitals, stopping }
            )
        ))
        .add_service(guarded!(
            RegistryServiceServer<_>,
            registry::Service::new(commands.clone(), history.clone())
        ))
        .add_service(guarded!(
            ProfileServiceServer<_>,
            profiles::Service::new(commands.clone(), history.clone())
        ))
        .add_service(guarded!(
            IngestServiceServer<_>,
            ingest::Service::new(commands.clone(), history.clone())
        ))
        .add_service(guarded!(AuditServiceServer<_>, audit::Service::new(commands, history)))
        .add_service(health.service())
        .add_service(Gated::new(health::reflection(), gate.clone()))
}
