//! How the service is: `/healthz`, `/readyz` and `/metrics`.
//!
//! It tells nothing about a patient and changes nothing; it needs no authentication.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use metrics::gauge;
use serde_json::json;

use crate::readiness::Readiness;
use crate::telemetry::{Metrics, names};

/// Where it is asked.
pub(super) const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What is told about.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
}

pub(super) fn router(told: Told) -> Router {
    let [health, ready, numbers] = PATHS;
    Router::new()
        .route(health, get(healthz))
        .route(ready, get(readyz))
        .route(numbers, get(metrics))
        .with_state(told)
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
