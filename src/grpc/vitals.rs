//! `VitalsService`: what is measured, and what was.
//!
//! History is read from the store, so readings appear there a moment after they are durable; while
//! the database is away its calls answer UNAVAILABLE and say why. Recording does not need it, and
//! neither does the live stream: it begins with what the engine knows, page by page as the client
//! takes it, and goes on with what the hub is told. It never just stops: its status says why.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert::{Change, buckets, live, readings};
use super::status;
use super::streams::{self, Responses, Streams, responses};
use crate::clock::{Clock, SystemClock};
use crate::engine::output::Done;
use crate::engine::query::{LivePage, Query, Question};
use crate::hub::vitals::{VitalsEnded, VitalsHandle, VitalsWatch};
use crate::proto::v1;
use crate::proto::v1::vitals_service_server::VitalsService;
use crate::proto::v1::watch_vitals_response::{Begun, Message};
use crate::proto::v1::{
    AggregateReadingsRequest, AggregateReadingsResponse, GetLatestVitalsRequest,
    GetLatestVitalsResponse, ListReadingsRequest, ListReadingsResponse, RecordReadingsRequest,
    RecordReadingsResponse,
};
use crate::store::History;
use crate::vitals::PatientId;

/// Answers calls about vitals.
pub(super) struct Service {
    desk: Desk,
    history: Arc<dyn History>,
    live: Live,
}

/// What live streams are made of.
pub(super) struct Live {
    pub(super) streams: Streams,
    pub(super) vitals: VitalsHandle,
    /// The service is stopping: streams end and say so.
    pub(super) stopping: CancellationToken,
}

impl Service {
    pub(super) fn new(commands: Arc<dyn Commands>, history: Arc<dyn History>, live: Live) -> Self {
        Self { desk: Desk::new(commands), history, live }
    }

    /// What a watcher is told from now on. It is let in before the engine is asked what is known, so
    /// that nothing falls in between.
    async fn feed(&self, call: &Call, request: v1::WatchVitalsRequest) -> Result<Feed, Status> {
        let filter = live::filter(&request, &call.principal.sites).map_err(status::invalid)?;
        let asked = live::question(&filter);
        let mut watch = self.live.vitals.watch(filter).await.map_err(ended)?;
        let query = Query { principal: call.principal.clone(), question: Question::Live(asked) };
        let page = self.desk.newest(&query).await?;
        let stage = Stage::of(&mut watch, page);
        let (desk, stopping) = (self.desk.clone(), self.live.stopping.clone());
        Ok(Feed { desk, watch, query, stage, stopping })
    }
}

#[tonic::async_trait]
impl VitalsService for Service {
    async fn watch_vitals(
        &self,
        request: Request<v1::WatchVitalsRequest>,
    ) -> Result<Response<Responses<v1::WatchVitalsResponse>>, Status> {
        let begin = async |call: &Call, request| self.feed(call, request).await;
        let opened = self.live.streams.open_after(request, begin).await?;
        Ok(Response::new(responses(opened)))
    }

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

/// One client's stream.
struct Feed {
    desk: Desk,
    watch: VitalsWatch,
    /// Asks for what is known, page by page.
    query: Query,
    stage: Stage,
    stopping: CancellationToken,
}

/// How far a stream has come.
enum Stage {
    /// A page of what is known is on its way to the client; who stands behind it comes next.
    Beginning { since: Instant, next: Option<PatientId> },
    /// What comes is news.
    Live,
}

impl Stage {
    /// Takes a page in.
    fn of(watch: &mut VitalsWatch, page: LivePage) -> Self {
        watch.begin_with(page.readings.into_iter().map(live::known));
        Self::Beginning { since: Instant::now(), next: page.next_behind }
    }
}

impl streams::Feed for Feed {
    type Response = v1::WatchVitalsResponse;

    async fn next(&mut self) -> Result<v1::WatchVitalsResponse, Status> {
        loop {
            if let Stage::Beginning { since, next } = &mut self.stage
                && self.watch.has_told(*since)
            {
                let Some(behind) = next.take() else {
                    self.stage = Stage::Live;
                    self.watch.begun();
                    return Ok(live::response(Message::Begun(Begun {})));
                };
                self.read_on(behind).await?;
                continue;
            }
            let told = tokio::select! {
                told = self.watch.next() => told,
                () = self.stopping.cancelled() => return Err(status::stopping()),
            };
            return Ok(live::response(live::message(told.map_err(ended)?)));
        }
    }

    /// What is live has no cursor: who comes back begins again.
    fn last_cursor(&self) -> Option<String> {
        None
    }
}

impl Feed {
    /// Takes in what is known of those behind.
    async fn read_on(&mut self, behind: PatientId) -> Result<(), Status> {
        if let Question::Live(asked) = &mut self.query.question {
            asked.behind = Some(behind);
        }
        let page = tokio::select! {
            page = self.desk.newest(&self.query) => page?,
            () = self.stopping.cancelled() => return Err(status::stopping()),
        };
        self.stage = Stage::of(&mut self.watch, page);
        Ok(())
    }
}

impl Desk {
    /// A page of what was measured last.
    async fn newest(&self, query: &Query) -> Result<LivePage, Status> {
        match self.query(query.clone()).await? {
            Done::Live(page) => Ok(*page),
            _ => Err(unexpected("newest readings")),
        }
    }
}

/// Why a stream ends.
fn ended(ended: VitalsEnded) -> Status {
    match ended {
        VitalsEnded::TooWide => status::exhausted(
            "WATCH_TOO_WIDE",
            "more vitals of patients than a stream may show; watch fewer sites, patients or vitals",
        ),
        VitalsEnded::TooSlow => {
            status::exhausted("WATCHER_TOO_SLOW", "nothing was read for 5 min; watch again")
        }
        VitalsEnded::Stopping | VitalsEnded::Dropped => status::stopping(),
    }
}
