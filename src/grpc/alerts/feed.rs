//! A client's stream of alerts.
//!
//! It begins with a snapshot of the open alerts and of how each patient is watched, or, where the
//! client resumes, with what it missed; then `Live` and a heartbeat, then what happens, with more in
//! between. It never just stops: it ends with a status that says why, and what the client holds
//! then is a cursor to resume from.
//!
//! Messages are made one by one, when the client takes them: of a snapshot of many patients there
//! is only ever one part in memory.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::engine::input::Sites;
use crate::engine::profile::Violation;
use crate::grpc::convert::{self, alert_lists, wire_timestamp};
use crate::grpc::{status, streams};
use crate::hub::{self, Change, Ended, Update, Watch, WatchCursor, WatchError};
use crate::journal;
use crate::position::OutputId;
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response::{
    Event, Heartbeat, LeftScope, Live, Message, Snapshot, event,
};

/// Alerts in one message of a snapshot: well under the smallest message limit in use.
const SNAPSHOT_PART_ALERTS_MAX: usize = 1000;
/// Patients in one message of a snapshot: each takes less than 200 bytes.
const SNAPSHOT_PART_PATIENTS_MAX: usize = 5000;

/// One client's stream.
pub(super) struct Feed {
    hub: hub::Handle,
    watch: Watch,
    /// The digest of its filter, by which cursors know it.
    filter: u64,
    /// A snapshot of which parts are still to be sent.
    snapshot: Option<Parts>,
    /// Where it stands, if it has just become live: how we are follows at once. Until it knows that, a
    /// client cannot say that what it shows is live.
    became_live: Option<OutputId>,
    stopping: CancellationToken,
}

impl Feed {
    /// What the caller is told from now on. Must be called within a Tokio runtime.
    pub(super) fn begin(
        hub: hub::Handle,
        sites: Sites,
        request: v1::WatchAlertsRequest,
        stopping: CancellationToken,
    ) -> Result<Self, Status> {
        let wanted = request.filter.unwrap_or_default();
        let wanted = alert_lists::filter(&wanted, sites).map_err(status::invalid)?;
        let filter = wanted.digest();
        let after = resume_after(&hub, filter, &request.resume_after)?;
        let watch = hub.watch(wanted, after).map_err(not_watched)?;
        Ok(Self { hub, watch, filter, snapshot: None, became_live: None, stopping })
    }

    fn alive(&self, heartbeat: hub::Heartbeat) -> Message {
        Message::Heartbeat(Heartbeat {
            cursor: self.cursor(heartbeat.last),
            service_time: Some(wire_timestamp(heartbeat.service_time)),
            ingest_connected: heartbeat.ingest_connected,
            engine_lag: prost_types::Duration::try_from(heartbeat.engine_lag).ok(),
        })
    }

    fn cursor(&self, after: OutputId) -> String {
        self.hub.cursor(self.filter, after).encode()
    }
}

impl streams::Feed for Feed {
    type Response = v1::WatchAlertsResponse;

    /// Cancel safe.
    async fn next(&mut self) -> Result<v1::WatchAlertsResponse, Status> {
        loop {
            if let Some(part) = self.snapshot.as_mut().and_then(Iterator::next) {
                return Ok(response(Message::Snapshot(part)));
            }
            self.snapshot = None;
            if let Some(last) = self.became_live.take() {
                return Ok(response(self.alive(self.hub.heartbeat(last))));
            }
            let update = tokio::select! {
                update = self.watch.next() => update,
                () = self.stopping.cancelled() => return Err(status::stopping()),
            };
            let update = update
                .map_err(|why| ended(why, |last| self.cursor(last)))?
                .ok_or_else(status::stopping)?;
            match update {
                Update::Snapshot { standing, .. } => self.snapshot = Some(Parts::of(standing)),
                Update::Live { last } => {
                    self.became_live = Some(last);
                    return Ok(response(Message::Live(Live { cursor: self.cursor(last) })));
                }
                Update::Event(event) => {
                    return Ok(response(happened(self.cursor(event.id), &event.change)));
                }
                Update::Heartbeat(heartbeat) => return Ok(response(self.alive(heartbeat))),
            }
        }
    }

    /// Where the client stands, once it stands anywhere.
    fn last_cursor(&self) -> Option<String> {
        self.watch.last().map(|last| self.cursor(last))
    }
}

const fn response(message: Message) -> v1::WatchAlertsResponse {
    v1::WatchAlertsResponse { message: Some(message) }
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

/// The parts of a snapshot: alerts first, then patients; at least one, so that an empty snapshot
/// clears what the client held.
struct Parts {
    standing: Arc<hub::Snapshot>,
    alerts_sent: usize,
    patients_sent: usize,
    next: u32,
}

impl Parts {
    const fn of(standing: Arc<hub::Snapshot>) -> Self {
        Self { standing, alerts_sent: 0, patients_sent: 0, next: 0 }
    }
}

impl Iterator for Parts {
    type Item = Snapshot;

    fn next(&mut self) -> Option<Snapshot> {
        let alerts = &self.standing.alerts[self.alerts_sent..];
        let patients = &self.standing.patients[self.patients_sent..];
        let (alerts, patients) = match (alerts, patients) {
            ([], []) if self.next > 0 => return None,
            ([], patients) => {
                (&[][..], &patients[..patients.len().min(SNAPSHOT_PART_PATIENTS_MAX)])
            }
            (alerts, _) => (&alerts[..alerts.len().min(SNAPSHOT_PART_ALERTS_MAX)], &[][..]),
        };
        (self.alerts_sent, self.patients_sent) =
            (self.alerts_sent + alerts.len(), self.patients_sent + patients.len());
        self.next += 1;
        Some(Snapshot {
            part: self.next - 1,
            alerts: alerts.iter().map(|alert| convert::alerts::alert(alert)).collect(),
            patients: patients.iter().map(|it| convert::alerts::monitoring(it)).collect(),
        })
    }
}

/// Where the client's cursor stands, if it has one that is good here.
fn resume_after(hub: &hub::Handle, filter: u64, text: &str) -> Result<Option<OutputId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let cursor = WatchCursor::decode(text).map_err(|error| {
        status::invalid(vec![Violation {
            field: "resume_after".to_owned(),
            description: format!("{error}; watch again without it"),
        }])
    })?;
    let ours = hub.cursor(filter, cursor.after);
    if (cursor.journal_id, cursor.partition) != (ours.journal_id, ours.partition) {
        return Err(out_of_range("CURSOR_FOREIGN", "the cursor is of another journal"));
    }
    if cursor.filter != ours.filter {
        let message = "the cursor is of another filter, or the caller sees other sites now";
        return Err(out_of_range("CURSOR_OF_OTHER_FILTER", message));
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
            let cursor = last.map(cursor).unwrap_or_default();
            let metadata = HashMap::from([("cursor".to_owned(), cursor)]);
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
    use crate::position::Position;

    #[test]
    fn a_client_that_was_too_slow_is_told_where_to_resume() {
        let last = Some(OutputId { position: Position(7), index: 2 });
        let cursor_of = |last| {
            let lagged = Ended::Lagged { lagged: Lagged, last };
            let status = ended(lagged, |last| format!("cursor-{}", last.index));
            assert_eq!(status.code(), Code::ResourceExhausted);
            let info = status.get_details_error_info().expect("every error says its reason");
            assert_eq!(info.reason, "WATCHER_TOO_SLOW");
            info.metadata["cursor"].clone()
        };
        assert_eq!(cursor_of(last), "cursor-2");
        assert_eq!(cursor_of(None), "", "who was given nothing starts again");
    }

    #[test]
    fn a_cursor_behind_which_nothing_is_kept_says_so_also_in_the_middle_of_a_stream() {
        let (after, first) = (Position(3), Position(9));
        let too_old = || WatchError::Journal(journal::Error::TooOld { after, first });
        for status in [not_watched(too_old()), ended(Ended::Watch(too_old()), |_| String::new())] {
            assert_eq!(status.code(), Code::OutOfRange);
            let info = status.get_details_error_info().expect("every error says its reason");
            assert_eq!(info.reason, "CURSOR_TOO_OLD");
            assert!(status.message().ends_with("watch again without resume_after"), "{status}");
        }
    }

    #[test]
    fn an_empty_snapshot_is_one_part_that_clears_what_the_client_held() {
        let parts: Vec<_> = Parts::of(Arc::default()).collect();
        assert_eq!(parts, [Snapshot::default()]);
    }
}
