//! `AlertService`: streams of alerts (`feed`), what clinicians do with them, and alerts of now and of
//! the past, listed and told in full (`past`), and counted (`burden`).

mod burden;
mod feed;
mod past;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::feed::Feed;
use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert;
use super::status;
use super::streams::{Responses, Streams, responses};
use crate::engine::alerts::AlertEvent;
use crate::engine::input::Action;
use crate::engine::output::Done;
use crate::engine::profile::Violation;
use crate::hub;
use crate::position::Position;
use crate::proto::v1;
use crate::proto::v1::alert_service_server::AlertService;
use crate::store::History;

/// Answers calls about alerts.
pub(super) struct Service {
    desk: Desk,
    streams: Streams,
    hub: hub::Handle,
    history: Arc<dyn History>,
    /// How far the store has come.
    stored: watch::Receiver<Position>,
    /// The service is stopping: streams end and say so.
    stopping: CancellationToken,
}

impl Service {
    pub(super) fn new(
        commands: Arc<dyn Commands>,
        streams: Streams,
        hub: hub::Handle,
        (history, stored): (Arc<dyn History>, watch::Receiver<Position>),
        stopping: CancellationToken,
    ) -> Self {
        Self { desk: Desk::new(commands), streams, hub, history, stored, stopping }
    }

    /// What a watcher is told from now on.
    fn feed(&self, call: &Call, request: v1::WatchAlertsRequest) -> Result<Feed, Status> {
        let sites = call.principal.sites.clone();
        Feed::begin(self.hub.clone(), sites, request, self.stopping.clone())
    }

    /// Has an action on an alert carried out, and gives what happened to the alert.
    async fn work(
        &self,
        call: &mut Call,
        action: Result<Action, Vec<Violation>>,
        request_id: &str,
    ) -> Result<Box<AlertEvent>, Status> {
        let change = convert::Change::of(action, request_id).map_err(status::invalid)?;
        match self.desk.carry_out(call, change).await? {
            Done::Alert(event) => Ok(event),
            _ => Err(unexpected("alert")),
        }
    }
}

#[tonic::async_trait]
impl AlertService for Service {
    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Responses<v1::WatchAlertsResponse>>, Status> {
        let begin = |call: &Call, request| self.feed(call, request);
        let opened = self.streams.open(request, begin).await?;
        Ok(Response::new(responses(opened)))
    }

    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        self.desk.serve(request, async |call, request| self.list(call, &request).await).await
    }

    async fn get_alarm_burden(
        &self,
        request: Request<v1::GetAlarmBurdenRequest>,
    ) -> Result<Response<v1::GetAlarmBurdenResponse>, Status> {
        self.desk.serve(request, async |call, request| self.burden(call, &request).await).await
    }

    async fn get_alert(
        &self,
        request: Request<v1::GetAlertRequest>,
    ) -> Result<Response<v1::GetAlertResponse>, Status> {
        self.desk.serve(request, async |call, request| self.get(call, &request).await).await
    }

    async fn acknowledge_alert(
        &self,
        request: Request<v1::AcknowledgeAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let event = self
                    .work(call, convert::alert_work::acknowledge(&request), &request.request_id)
                    .await?;
                Ok(convert::alerts::alert(&event.alert))
            })
            .await
    }

    async fn pause_alert(
        &self,
        request: Request<v1::PauseAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let event = self
                    .work(call, convert::alert_work::pause(&request), &request.request_id)
                    .await?;
                Ok(convert::alerts::alert(&event.alert))
            })
            .await
    }

    async fn reset_alert(
        &self,
        request: Request<v1::ResetAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let event = self
                    .work(call, convert::alert_work::reset(&request), &request.request_id)
                    .await?;
                Ok(convert::alerts::alert(&event.alert))
            })
            .await
    }

    async fn assign_alert(
        &self,
        request: Request<v1::AssignAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let event = self
                    .work(call, convert::alert_work::assign(&request), &request.request_id)
                    .await?;
                Ok(convert::alerts::alert(&event.alert))
            })
            .await
    }

    async fn add_alert_note(
        &self,
        request: Request<v1::AddAlertNoteRequest>,
    ) -> Result<Response<v1::AlertEvent>, Status> {
        self.desk
            .serve(request, async |call, request| {
                let event = self
                    .work(call, convert::alert_work::add_note(&request), &request.request_id)
                    .await?;
                Ok(convert::alerts::alert_event(&event))
            })
            .await
    }
}
