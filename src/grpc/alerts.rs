//! `AlertService`: streams of alerts, and what clinicians do with them. What lies in the past is
//! not listed yet.
//!
//! A stream begins with a snapshot of the open alerts and of how each patient is watched, or, where the client resumes, with what it
//! missed; then `Live`, then what happens, with a heartbeat in between. It never just stops: it
//! ends with a status that says why, and what the client holds then is a cursor to resume from.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::calls::Call;
use super::commands::{Commands, Desk, unexpected};
use super::convert::{self, wire_timestamp};
use super::status;
use super::streams::Streams;
use crate::engine::alerts::AlertEvent;
use crate::engine::input::{Action, Sites};
use crate::engine::output::Done;
use crate::engine::profile::Violation;
use crate::hub::{self, Change, Ended, Filter, Update, Watch, WatchCursor, WatchError};
use crate::journal;
use crate::position::OutputId;
use crate::proto::v1;
use crate::proto::v1::alert_service_server::AlertService;
use crate::proto::v1::watch_alerts_response::{
    Event, Heartbeat, LeftScope, Live, Message, Snapshot, event,
};
use crate::vitals::{PatientId, Priority, SiteId};

/// Alerts in one message of a snapshot: well under the smallest message limit in use.
const SNAPSHOT_PART_ALERTS_MAX: usize = 1000;
/// Patients in one message of a snapshot: each takes less than 200 bytes.
const SNAPSHOT_PART_PATIENTS_MAX: usize = 5000;
/// Sites that a filter may name.
const FILTER_SITES_MAX: usize = 100;
/// Patients that a filter may name.
const FILTER_PATIENTS_MAX: usize = 1000;

/// Answers calls about alerts.
pub(super) struct Service {
    desk: Desk,
    streams: Streams,
    hub: hub::Handle,
    /// The service is stopping: streams end and say so.
    stopping: CancellationToken,
}

impl Service {
    pub(super) fn new(
        commands: Arc<dyn Commands>,
        streams: Streams,
        hub: hub::Handle,
        stopping: CancellationToken,
    ) -> Self {
        Self { desk: Desk::new(commands), streams, hub, stopping }
    }

    /// What a watcher is told from now on.
    fn feed(&self, call: &Call, request: v1::WatchAlertsRequest) -> Result<Feed, Status> {
        let filter = filter(call.principal.sites.clone(), request.filter.unwrap_or_default())?;
        let after = resume_after(&self.hub, &filter, &request.resume_after)?;
        let watch = self.hub.watch(filter, after).map_err(not_watched)?;
        Ok(Feed {
            hub: self.hub.clone(),
            watch,
            pending: Vec::new().into_iter(),
            stopping: self.stopping.clone(),
        })
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

type Responses = Pin<Box<dyn Stream<Item = Result<v1::WatchAlertsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AlertService for Service {
    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Responses>, Status> {
        let begin = |call: &Call, request| self.feed(call, request);
        let opened = self.streams.open(request, begin).await?;
        let responses = stream::unfold(Some(opened), |open| async move {
            let (mut feed, mut closing) = open?;
            let response = tokio::select! {
                response = feed.next() => response,
                () = closing.expired() => Err(status::token_expired(feed.last_cursor())),
            };
            if let Err(status) = &response {
                closing.because(status);
            }
            let rest = response.is_ok().then_some((feed, closing));
            Some((response, rest))
        });
        Ok(Response::new(Box::pin(responses)))
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

/// One client's stream.
struct Feed {
    hub: hub::Handle,
    watch: Watch,
    /// Parts of a snapshot still to be sent.
    pending: std::vec::IntoIter<Message>,
    stopping: CancellationToken,
}

impl Feed {
    async fn next(&mut self) -> Result<v1::WatchAlertsResponse, Status> {
        loop {
            if let Some(message) = self.pending.next() {
                return Ok(v1::WatchAlertsResponse { message: Some(message) });
            }
            let update = tokio::select! {
                // A watch dropped while it joins may lose an update, but then the stream ends.
                update = self.watch.next() => update,
                () = self.stopping.cancelled() => return Err(status::stopping()),
            };
            let update = update
                .map_err(|why| ended(why, |last| self.cursor(last)))?
                .ok_or_else(status::stopping)?;
            self.pending = self.messages(update).into_iter();
        }
    }

    fn messages(&self, update: Update) -> Vec<Message> {
        match update {
            Update::Snapshot(standing) => snapshot(&standing),
            Update::Live { last } => vec![Message::Live(Live { cursor: self.cursor(last) })],
            Update::Event(event) => {
                vec![happened(self.cursor(event.id), &event.change)]
            }
            Update::Heartbeat(heartbeat) => vec![Message::Heartbeat(Heartbeat {
                cursor: self.cursor(heartbeat.last),
                service_time: Some(wire_timestamp(heartbeat.service_time)),
                ingest_connected: heartbeat.ingest_connected,
                engine_lag: prost_types::Duration::try_from(heartbeat.engine_lag).ok(),
            })],
        }
    }

    /// Where the client stands, once it stands anywhere.
    fn last_cursor(&self) -> Option<String> {
        let last = self.watch.last();
        (last != OutputId::default()).then(|| self.cursor(last))
    }

    fn cursor(&self, after: OutputId) -> String {
        self.hub.cursor(self.watch.filter(), after).encode()
    }
}

fn happened(cursor: String, change: &Change) -> Message {
    let change = match change {
        Change::Alert(event) => event::Change::Alert(convert::alerts::alert_event(event)),
        Change::Monitoring(change) => {
            event::Change::Monitoring(convert::alerts::monitoring(change))
        }
        Change::Left(left) => {
            return Message::LeftScope(LeftScope { cursor, patient_id: left.patient.to_string() });
        }
    };
    Message::Event(Event { cursor, change: Some(change) })
}

/// Alerts first, then patients, in parts of bounded size; at least one, so that an empty snapshot
/// clears what the client held.
fn snapshot(standing: &hub::Snapshot) -> Vec<Message> {
    let alerts = standing.alerts.chunks(SNAPSHOT_PART_ALERTS_MAX).map(|alerts| {
        let alerts = alerts.iter().map(convert::alerts::alert).collect();
        Snapshot { alerts, ..Snapshot::default() }
    });
    let patients = standing.patients.chunks(SNAPSHOT_PART_PATIENTS_MAX).map(|patients| {
        let patients = patients.iter().map(|patient| convert::alerts::monitoring(patient));
        Snapshot { patients: patients.collect(), ..Snapshot::default() }
    });
    let mut parts: Vec<_> = alerts.chain(patients).collect();
    if parts.is_empty() {
        parts.push(Snapshot::default());
    }
    let numbered = (0..).zip(parts).map(|(part, content)| Snapshot { part, ..content });
    numbered.map(Message::Snapshot).collect()
}

fn filter(scope: Sites, filter: v1::AlertFilter) -> Result<Filter, Status> {
    let mut violations = Vec::new();
    let sites =
        ids(&filter.site_ids, FILTER_SITES_MAX, "filter.site_ids", SiteId::new, &mut violations);
    let patients = ids(
        &filter.patient_ids,
        FILTER_PATIENTS_MAX,
        "filter.patient_ids",
        PatientId::new,
        &mut violations,
    );
    let priority_min = match filter.priority_min {
        0 => Priority::Low,
        number => {
            let found = Priority::ALL.into_iter().find(|priority| *priority as i32 == number);
            found.unwrap_or_else(|| {
                violations.push(Violation {
                    field: "filter.priority_min".to_owned(),
                    description: format!("{number} is none of the priorities"),
                });
                Priority::Low
            })
        }
    };
    if violations.is_empty() {
        Ok(Filter { scope, sites, patients, priority_min })
    } else {
        Err(status::invalid(violations))
    }
}

fn ids<I: Ord, E: std::fmt::Display>(
    texts: &[String],
    most: usize,
    field: &str,
    new: impl Fn(&str) -> Result<I, E>,
    violations: &mut Vec<Violation>,
) -> BTreeSet<I> {
    if texts.len() > most {
        violations.push(Violation {
            field: field.to_owned(),
            description: format!("{} ids; at most {most}", texts.len()),
        });
        return BTreeSet::new();
    }
    let mut ids = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        match new(text) {
            Ok(id) => drop(ids.insert(id)),
            Err(error) => violations.push(Violation {
                field: format!("{field}[{index}]"),
                description: error.to_string(),
            }),
        }
    }
    ids
}

/// Where the client's cursor stands, if it has one that is good here.
fn resume_after(
    hub: &hub::Handle,
    filter: &Filter,
    text: &str,
) -> Result<Option<OutputId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let cursor = WatchCursor::decode(text).map_err(|error| {
        status::invalid(vec![Violation {
            field: "resume_after".to_owned(),
            description: error.to_string(),
        }])
    })?;
    let ours = hub.cursor(filter, cursor.after);
    if (cursor.journal_id, cursor.partition) != (ours.journal_id, ours.partition) {
        return Err(out_of_range("CURSOR_FOREIGN", "the cursor is of another journal"));
    }
    if cursor.filter != ours.filter {
        return Err(out_of_range("CURSOR_OF_OTHER_FILTER", "the cursor is of another filter"));
    }
    Ok(Some(cursor.after))
}

fn out_of_range(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, status::DOMAIN, HashMap::new());
    let message = format!("{message}; watch again without resume_after");
    Status::with_error_details(Code::OutOfRange, message, details)
}

fn not_watched(error: WatchError) -> Status {
    match error {
        WatchError::Closed => status::stopping(),
        WatchError::Journal(journal::Error::TooOld { .. }) => {
            out_of_range("CURSOR_TOO_OLD", "what came after the cursor is no longer kept")
        }
        WatchError::Journal(journal::Error::Beyond { .. }) => {
            out_of_range("CURSOR_BEYOND", "the cursor lies beyond this journal")
        }
        WatchError::Journal(error) => {
            tracing::error!(error = %status::chain(&error), "a watcher's journal can't be read");
            Status::internal("the journal can't be read")
        }
    }
}

/// Why a stream ends; `cursor` makes the text of where its client stands.
fn ended(ended: Ended, cursor: impl Fn(OutputId) -> String) -> Status {
    match ended {
        Ended::Lagged { lagged, last } => {
            let metadata = HashMap::from([("cursor".to_owned(), cursor(last))]);
            let details =
                ErrorDetails::with_error_info("WATCHER_TOO_SLOW", status::DOMAIN, metadata);
            let message = format!("{lagged}; resume after the last cursor");
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        Ended::Watch(error) => not_watched(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Lagged;

    #[test]
    fn a_client_that_was_too_slow_is_told_where_to_resume() {
        let last = OutputId { position: crate::position::Position(7), index: 2 };
        let status =
            ended(Ended::Lagged { lagged: Lagged, last }, |last| format!("cursor-{}", last.index));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_details_error_info().expect("every error says its reason");
        assert_eq!(info.reason, "WATCHER_TOO_SLOW");
        assert_eq!(info.metadata["cursor"], "cursor-2");
    }
}
