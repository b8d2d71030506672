//! The server of health and metrics: `/healthz`, `/readyz`, `/metrics`.
//!
//! It tells how the service is, never anything about a patient, and changes nothing; it needs no
//! authentication. Each connection carries one request and lives at most
//! [`CONNECTION_DEADLINE`], and there are at most [`CONNECTIONS_MAX`]; more wait to be accepted.

mod connection;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use metrics::gauge;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::connection::Limited;
use crate::readiness::Readiness;
use crate::telemetry::{Metrics, names};

/// A supervisor and a few scrapers need a handful.
pub const CONNECTIONS_MAX: usize = 64;
/// One request and its answer take milliseconds; a connection that is older is broken off.
pub const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// How often measured values are folded into the histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 takes a free one; see [`Server::local_addr`].
    pub listen: SocketAddr,
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
    /// It broke down.
    #[error("can't serve HTTP")]
    Serve(#[source] std::io::Error),
}

/// A server that has its port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    told: Told,
}

/// What is told about.
#[derive(Clone, Debug)]
struct Told {
    readiness: Readiness,
    metrics: Metrics,
}

impl Server {
    /// Takes the port. From here on connections are accepted, and answered once it runs.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn bind(
        settings: &Settings,
        readiness: Readiness,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let listen = settings.listen;
        let failed = |source| Error::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        info!(listener = "http", address = %local_addr, "listening");
        Ok(Self { listener, local_addr, told: Told { readiness, metrics } })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until cancelled, then ends once the requests under way are answered, which takes at
    /// most [`CONNECTION_DEADLINE`]. Not cancel safe: dropping it breaks those off.
    ///
    /// # Errors
    /// When the listener breaks down.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let metrics = self.told.metrics.clone();
        let listener = Limited::new(self.listener, CONNECTIONS_MAX, CONNECTION_DEADLINE);
        let served = axum::serve(listener, router(self.told))
            .with_graceful_shutdown(cancel.cancelled_owned())
            .into_future();
        tokio::select! {
            ended = served => ended.map_err(Error::Serve),
            never = upkeep(metrics) => match never {},
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

fn router(told: Told) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(told)
        .layer(map_response(close))
}

/// Says on every answer, also on one that something is not found, that its connection ends. Else
/// the client would keep it, and its place, until the deadline.
async fn close(mut answer: Response) -> Response {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

type Answer = (StatusCode, [(HeaderName, &'static str); 1], String);

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    (status, [(CONTENT_TYPE, content_type)], body)
}

/// Whether the process runs and its tasks make progress.
async fn healthz() -> Answer {
    answer(StatusCode::OK, "text/plain", "ok\n".to_owned())
}

/// Whether the service does what it is for, part by part.
async fn readyz(State(told): State<Told>) -> Answer {
    let parts = told.readiness.parts();
    let ready = told.readiness.is_ready();
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, state)| json!({ "name": name, "state": state.name(), "reason": state.reason() }))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, "application/json", format!("{}\n", json!({ "ready": ready, "parts": parts })))
}

async fn metrics(State(told): State<Told>) -> Answer {
    gauge!(names::READY).set(if told.readiness.is_ready() { 1.0 } else { 0.0 });
    answer(StatusCode::OK, "text/plain; version=0.0.4", told.metrics.render())
}

#[cfg(test)]
mod tests;
