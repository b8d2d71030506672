//! Spans in OpenTelemetry's words, and the thread that exports them.
//!
//! A trace that is drawn waits in a short list until every follower has passed it. The list is
//! bounded: while the database is away the oldest leave it, and their traces end without a `store`.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt as _, Tracer as _};
use opentelemetry::trace::{SpanContext, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::warn;

use super::{Commit, Error};
use crate::clock::Timestamp;
use crate::position::Position;

/// Traces that wait for a follower: a minute of a busy house at the usual share.
const WAITING_MAX: usize = 256;
/// A collector that does not answer for this long has lost what was sent to it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the collector.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The traces of this process, once it traces.
static INSTALLED: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    tracer: SdkTracer,
    /// Held for a few pointers only.
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A followers' way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Stream,
    Store,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Store => "store",
        }
    }
}

/// A trace that is not whole.
struct Waiting {
    root: SpanContext,
    committed_at: Timestamp,
    last: Position,
    streamed: bool,
    stored: bool,
}

impl Waiting {
    /// Whether a follower that has come this far ends its part of it, and did not before.
    fn passes(&mut self, way: Way, through: Position) -> bool {
        let passed = match way {
            Way::Stream => &mut self.streamed,
            Way::Store => &mut self.stored,
        };
        self.last <= through && !std::mem::replace(passed, self.last <= through || *passed)
    }
}

/// What exports.
#[derive(Debug)]
pub(super) struct Exported {
    provider: SdkTracerProvider,
}

impl Exported {
    pub(super) fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FINISH_TIMEOUT) {
            warn!(%error, "the last traces were not exported");
        }
    }
}

pub(super) fn install(endpoint: &str, sample_ratio: f64) -> Result<Exported, Error> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|source| Error::Exporter { endpoint: endpoint.to_owned(), source })?;
    let resource = Resource::builder()
        .with_service_name("pulseward")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        // A child is traced where its root is.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio))))
        .with_resource(resource)
        .build();
    let tracing = Tracing { tracer: provider.tracer("pulseward"), waiting: Mutex::default() };
    // Who comes second is not heard.
    drop(INSTALLED.set(tracing));
    Ok(Exported { provider })
}

pub(super) fn committed(commit: impl FnOnce() -> Commit) {
    if let Some(tracing) = INSTALLED.get() {
        tracing.committed(&commit());
    }
}

pub(super) fn passed(way: Way, through: Position, now: Timestamp) {
    if let Some(tracing) = INSTALLED.get() {
        tracing.passed(way, through, now);
    }
}

impl Tracing {
    fn committed(&self, commit: &Commit) {
        let builder = SpanBuilder::from_name("batch")
            .with_start_time(system_time(commit.received_at))
            .with_attributes([
                KeyValue::new("pulseward.messages", count(commit.messages as u64)),
                KeyValue::new("pulseward.position.first", count(commit.first.0)),
                KeyValue::new("pulseward.position.last", count(commit.last.0)),
            ]);
        let mut root = self.tracer.build_with_context(builder, &Context::new());
        if !root.is_recording() {
            return;
        }
        let context = root.span_context().clone();
        self.child("apply", &context, commit.received_at, commit.applied_at);
        self.child("commit", &context, commit.applied_at, commit.committed_at);
        root.end_with_timestamp(system_time(commit.committed_at));
        let (committed_at, last) = (commit.committed_at, commit.last);
        let waiting = Waiting { root: context, committed_at, last, streamed: false, stored: false };
        let mut all = self.waiting();
        all.push_back(waiting);
        if all.len() > WAITING_MAX {
            all.pop_front();
        }
    }

    fn passed(&self, way: Way, through: Position, now: Timestamp) {
        let mut all = self.waiting();
        for waiting in all.iter_mut() {
            if waiting.passes(way, through) {
                self.child(way.name(), &waiting.root, waiting.committed_at, now);
            }
        }
        all.retain(|waiting| !(waiting.streamed && waiting.stored));
    }

    fn child(&self, name: &'static str, root: &SpanContext, from: Timestamp, until: Timestamp) {
        let parent = Context::new().with_remote_span_context(root.clone());
        let builder = SpanBuilder::from_name(name).with_start_time(system_time(from));
        let mut span = self.tracer.build_with_context(builder, &parent);
        span.end_with_timestamp(system_time(until));
    }

    /// Whole between any two of its operations.
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}

/// Attributes are signed; no count of ours comes near the bound.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_follower_ends_its_part_of_a_trace_once() {
        let (root, committed_at) = (SpanContext::empty_context(), Timestamp::EPOCH);
        let last = Position(7);
        let mut waiting = Waiting { root, committed_at, last, streamed: false, stored: false };
        assert!(!waiting.passes(Way::Stream, Position(6)), "not there yet");
        assert!(waiting.passes(Way::Stream, Position(9)));
        assert!(!waiting.passes(Way::Stream, Position(10)), "once");
        assert!(waiting.passes(Way::Store, Position(7)));
        assert!(waiting.streamed && waiting.stored);
    }
}
