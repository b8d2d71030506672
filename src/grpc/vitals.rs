//! `VitalsService`: what was measured. Served so far: `ListReadings` and `RecordReadings`.
//!
//! History is read from the store, so readings appear here a moment after they are durable; while
//! the database is away the call answers UNAVAILABLE and says why. Recording does not need it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::commands::{Commands, Desk, unexpected};
use super::convert::readings;
use super::{auth, status};
use crate::engine::output::Done;
use crate::proto::v1::vitals_service_server::VitalsService;
use crate::proto::v1::{
    ListReadingsRequest, ListReadingsResponse, RecordReadingsRequest, RecordReadingsResponse,
};
use crate::store::History;

/// Answers calls about vitals.
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

    async fn record_readings(
        &self,
        request: Request<RecordReadingsRequest>,
    ) -> Result<Response<RecordReadingsResponse>, Status> {
        let (principal, request) = auth::caller(request)?;
        status::leave_empty("request_id", &request.request_id)?;
        let action = readings::record(&request).map_err(status::invalid)?;
        match self.desk.carry_out(principal, action).await? {
            Done::Recorded { accepted, duplicate, rejected } => {
                let rejected = rejected.into_iter().map(readings::rejected).collect();
                let answer = RecordReadingsResponse { accepted, duplicate, rejected };
                Ok(Response::new(answer))
            }
            _ => Err(unexpected("readings by hand")),
        }
    }
}
