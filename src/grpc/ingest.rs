//! `IngestService`: none of its calls is served yet.

use crate::proto::v1::ingest_service_server::IngestService;

/// Answers calls about what devices sent.
pub(super) struct Service;

impl IngestService for Service {}
