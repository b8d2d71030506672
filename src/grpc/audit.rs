//! `AuditService`: none of its calls is served yet.

use crate::proto::v1::audit_service_server::AuditService;

/// Answers calls about who did what.
pub(super) struct Service;

impl AuditService for Service {}
