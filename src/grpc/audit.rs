//! `AuditService`: who did and read what. For auditors and administrators.
//!
//! Events are read from the store, so that they appear here a moment after they are durable; while
//! the database is away the call answers UNAVAILABLE, and goes on record all the same, as every
//! call does. Which events a caller may see is decided where they are read.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::commands::{Commands, Desk};
use super::convert::audit as convert;
use super::status;
use crate::proto::v1::audit_service_server::AuditService;
use crate::proto::v1::{ListAuditEventsRequest, ListAuditEventsResponse};
use crate::store::History;

/// Answers calls about who did what.
pub(super) struct Service {
    desk: Desk,
    history: Arc<dyn History>,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>, history: Arc<dyn History>) -> Self {
        Self { desk: Desk::new(commands), history }
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let sites = call.principal.sites.clone();
                let query = convert::query(&request, sites).map_err(status::invalid)?;
                let page = self.history.list_audit_events(query).await;
                let page = page.map_err(|error| status::no_history(error, ""))?;
                Ok(convert::page(page))
            })
            .await
    }
}
