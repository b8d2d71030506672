//! `VitalsService`: what was measured. Not served yet: `WatchVitals`.
//!
//! History is read from the store, so readings appear here a moment after they are durable; while
//! the database is away its calls answer UNAVAILABLE and say why. Recording does not need it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::commands::{Commands, Desk, unexpected};
use super::convert::{Change, buckets, readings};
use super::status;
use crate::clock::{Clock, SystemClock};
use crate::engine::output::Done;
use crate::proto::v1::vitals_service_server::VitalsService;
use crate::proto::v1::{
    AggregateReadingsRequest, AggregateReadingsResponse, GetLatestVitalsRequest,
    GetLatestVitalsResponse, ListReadingsRequest, ListReadingsResponse, RecordReadingsRequest,
    RecordReadingsResponse,
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
        self.desk
            .serve(request, async |call, request| {
                let sites = call.principal.sites.clone();
                let query = readings::query(&request, sites).map_err(status::invalid)?;
                let page = self
                    .history
                    .list_readings(query)
                    .await
                    .map_err(|error| status::no_history(error, &request.patient_id))?;
                Ok(readings::page(page))
            })
            .await
    }

    async fn get_latest_vitals(
        &self,
        request: Request<GetLatestVitalsRequest>,
    ) -> Result<Response<GetLatestVitalsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let sites = call.principal.sites.clone();
                let query = readings::latest_query(&request, sites).map_err(status::invalid)?;
                let latest = self
                    .history
                    .latest_readings(query)
                    .await
                    .map_err(|error| status::no_history(error, &request.patient_id))?;
                Ok(readings::latest(&latest, SystemClock.now()))
            })
            .await
    }

    async fn aggregate_readings(
        &self,
        request: Request<AggregateReadingsRequest>,
    ) -> Result<Response<AggregateReadingsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let sites = call.principal.sites.clone();
                let query = buckets::query(&request, sites).map_err(status::invalid)?;
                let page = self
                    .history
                    .aggregate_readings(query)
                    .await
                    .map_err(|error| status::no_history(error, &request.patient_id))?;
                Ok(buckets::page(page))
            })
            .await
    }

    async fn record_readings(
        &self,
        request: Request<RecordReadingsRequest>,
    ) -> Result<Response<RecordReadingsResponse>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let change = Change::of(readings::record(&request), &request.request_id)
                    .map_err(status::invalid)?;
                match self.desk.carry_out(call, change).await? {
                    Done::Recorded { accepted, duplicate, rejected } => {
                        let rejected = rejected.into_iter().map(readings::rejected).collect();
                        let answer = RecordReadingsResponse { accepted, duplicate, rejected };
                        Ok(answer)
                    }
                    _ => Err(unexpected("readings by hand")),
                }
            })
            .await
    }
}
