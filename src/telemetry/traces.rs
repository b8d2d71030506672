//! Traces of message batches, exported by OTLP over gRPC where the feature `otlp` is built in.
//!
//! A trace is the way of one commit: a root span from the receipt of its oldest message until it is
//! durable, and under it `apply` and `commit`, then `stream` once every alert stream was offered
//! what the batch led to, and `store` once the database has it. So a trace shows in one picture
//! where a slow batch was slow. Batches are drawn by a share that is configured; a batch that is not
//! drawn costs a comparison. Attributes are counts and positions of the journal: never a payload, a
//! vital, a patient, a device or a topic.
//!
//! Nothing waits for the collector. One that is away loses spans, and that is all.

use crate::clock::Timestamp;
use crate::position::Position;

#[cfg(feature = "otlp")]
mod otlp;

/// A batch that is durable.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Receipt of its oldest input.
    pub received_at: Timestamp,
    /// When the engine had applied all of it.
    pub applied_at: Timestamp,
    /// When it was durable.
    pub committed_at: Timestamp,
    /// Its first entry.
    pub first: Position,
    /// Its last entry.
    pub last: Position,
    /// The messages from the broker in it.
    pub messages: usize,
}

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter can't be made.
    #[cfg(feature = "otlp")]
    #[error("can't export traces to {endpoint}")]
    Exporter {
        /// The collector.
        endpoint: String,
        /// Why not.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// What is exported until it is dropped or finished.
#[derive(Debug, Default)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    exported: Option<otlp::Exported>,
}

/// Begins to trace, if that is configured. Must be called within a Tokio runtime; once in a process.
///
/// # Errors
/// [`Error`]; never because the collector is away.
pub fn install(settings: &crate::config::Traces) -> Result<Traces, Error> {
    #[cfg(feature = "otlp")]
    if let Some(endpoint) = &settings.endpoint {
        let exported = otlp::install(endpoint.as_str(), settings.sample_ratio)?;
        return Ok(Traces { exported: Some(exported) });
    }
    #[cfg(not(feature = "otlp"))]
    // The configuration refuses an endpoint that nobody would send to.
    debug_assert!(settings.endpoint.is_none(), "refused by the configuration");
    Ok(Traces::default())
}

impl Traces {
    /// Exports what is left, for a few seconds at most. Blocking.
    pub fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(exported) = self.exported {
            exported.finish();
        }
    }
}

/// A batch with messages is durable. Never blocks.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "nobody is told"))]
pub fn committed(commit: impl FnOnce() -> Commit) {
    #[cfg(feature = "otlp")]
    otlp::committed(commit);
}

/// Every alert stream was offered what entries up to this one led to. Never blocks.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "nobody is told"))]
pub fn streamed(through: Position, now: Timestamp) {
    #[cfg(feature = "otlp")]
    otlp::passed(otlp::Way::Stream, through, now);
}

/// The database has everything of entries up to this one. Never blocks.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "nobody is told"))]
pub fn stored(through: Position, now: Timestamp) {
    #[cfg(feature = "otlp")]
    otlp::passed(otlp::Way::Store, through, now);
}
