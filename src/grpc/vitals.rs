//! `VitalsService`: what was measured. Served so far: `ListReadings`.
//!
//! History is read from the store, so readings appear here a moment after they are durable; while
//! the database is away the call answers UNAVAILABLE and says why.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert::readings;
use super::{auth, status};
use crate::proto::v1::vitals_service_server::VitalsService;
use crate::proto::v1::{ListReadingsRequest, ListReadingsResponse};
use crate::store::History;

/// Answers calls about vitals.
pub(super) struct Service {
    history: Arc<dyn History>,
}

impl Service {
    pub(super) fn new(history: Arc<dyn History>) -> Self {
        Self { history }
    }
}

#[tonic::async_trait]
impl VitalsService for Service {
    async fn list_readings(
        &self,
        request: Request<ListReadingsRequest>,
    ) -> Result<Response<ListReadingsResponse>, Status> {
        let (principal, request) = auth::caller(request)?;
        let query = readings::query(&request, principal.sites).map_err(status::invalid)?;
        let page = self
            .history
            .list_readings(query)
            .await
            .map_err(|error| status::no_history(error, &request.patient_id))?;
        Ok(Response::new(readings::page(page)))
    }
}
