//! The alert stream as a clinician's client sees it.
//!
//! [`alerts`] gives a watcher, which holds the stream open, and [`SeenAlerts`], through which
//! others read what it has seen. A watcher promises to take up a cut stream after the last cursor
//! it saw, and to begin anew where the service no longer has that cursor. An alert counts once,
//! by its id, however often it is told. Only live alerts of patients count as raised: what late
//! readings tell of the past, and what the service tells of itself or of a gateway, is counted
//! apart. It acknowledges nothing and sends nothing.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::address::{InvalidAddress, endpoint};
use crate::convert;
use crate::proto::v1;
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::watch_alerts_response as told;

/// A stream that says nothing for this long is not live; the service sends a heartbeat every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Waits between attempts, doubling from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Alerts kept. Beyond, they are counted only.
const RAISED_MAX: usize = 100_000;

/// An alert when it became known.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Its id.
    pub alert_id: String,
    /// Whose.
    pub patient: String,
    /// By which rule.
    pub rule: String,
    /// The device whose readings raised it.
    pub device: String,
    /// When the first reading of the breach was measured.
    pub onset: Timestamp,
    /// When the reading that raised it was measured; `None` if it came in a snapshot.
    pub decided_by: Option<Timestamp>,
    /// When it came out of the stream.
    pub received: Instant,
}

/// What a watcher has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Alerts, in the order in which they became known, each once.
    pub raised: Vec<Raised>,
    /// Alerts that were not kept, because there were too many.
    pub not_kept: u64,
    /// Start events of an alert that had started before.
    pub repeated: usize,
    /// Alerts of the past, told by late readings: over when they became known, never signalled.
    pub retrospective: usize,
    /// Alerts of no patient: of a gateway, or of the service itself.
    pub of_no_patient: usize,
    /// Events of a raised alert's rise to a higher priority.
    pub escalated: usize,
    /// Events of a raised alert's end, with or without readings.
    pub ended: usize,
    /// How often the stream was cut and taken up again.
    pub cuts: u64,
    /// Whether the stream has come to the present at least once.
    pub was_live: bool,
    /// When the service last said that it is there.
    pub last_heard: Option<Instant>,
    pub(crate) ids: HashSet<String>,
}

/// Why a watcher gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The service does not let us watch.
    #[error("watching alerts: {} ({:?})", .status.message(), .status.code())]
    Refused {
        /// Its answer.
        status: Box<Status>,
    },
}

/// Holds the stream open; [`AlertWatcher::run`] does the work.
#[derive(Debug)]
pub struct AlertWatcher {
    client: AlertServiceClient<Channel>,
    filter: v1::AlertFilter,
    /// The last cursor; empty before the first, and after it was refused.
    cursor: String,
    seen: watch::Sender<Seen>,
}

/// What a watcher has seen, for others. It ends to grow when its watcher ends.
#[derive(Clone, Debug)]
pub struct SeenAlerts(watch::Receiver<Seen>);

/// A watcher of the alerts of a site, or of all sites, at the service at `url`. It connects when
/// it runs.
///
/// # Errors
/// If `url` is no address.
pub fn alerts(url: &str, site: Option<&str>) -> Result<(AlertWatcher, SeenAlerts), Error> {
    let endpoint = endpoint(url)?.connect_timeout(CONNECT_TIMEOUT);
    let client = AlertServiceClient::new(endpoint.connect_lazy());
    let site_ids = site.map(str::to_owned).into_iter().collect();
    let filter = v1::AlertFilter { site_ids, ..v1::AlertFilter::default() };
    let (seen, receiver) = watch::channel(Seen::default());
    Ok((AlertWatcher { client, filter, cursor: String::new(), seen }, SeenAlerts(receiver)))
}

impl SeenAlerts {
    /// What has been seen by now.
    #[must_use]
    pub fn now(&self) -> Seen {
        self.0.borrow().clone()
    }

    /// Waits until what has been seen is `enough`. False if the watcher ended, or `within` has
    /// passed, before. Cancel safe.
    pub async fn until(&mut self, within: Duration, enough: impl FnMut(&Seen) -> bool) -> bool {
        matches!(timeout(within, self.0.wait_for(enough)).await, Ok(Ok(_)))
    }

    /// Waits until the stream has come to the present: what happens from then on will be seen.
    /// False as for [`SeenAlerts::until`]. Cancel safe.
    pub async fn until_live(&mut self, within: Duration) -> bool {
        self.until(within, |seen| seen.was_live).await
    }
}

impl AlertWatcher {
    /// Watches until `stop` completes.
    ///
    /// # Errors
    /// If the service does not let us watch. A service that is away is waited for.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            error = self.watch() => Err(error),
            () = stop => Ok(()),
        }
    }

    /// Takes up the stream again and again. Cancel safe.
    async fn watch(&mut self) -> Error {
        let mut backoff = BACKOFF.0;
        loop {
            let heard_before = self.seen.borrow().last_heard;
            let status = self.stream().await;
            if let Err(error) = self.judge(status) {
                return error;
            }
            if self.seen.borrow().last_heard != heard_before {
                backoff = BACKOFF.0;
            }
            self.seen.send_modify(|seen| seen.cuts += 1);
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// One stream, until it is cut; how it was.
    async fn stream(&mut self) -> Status {
        let request = v1::WatchAlertsRequest {
            filter: Some(self.filter.clone()),
            resume_after: self.cursor.clone(),
        };
        let mut stream = match self.client.watch_alerts(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status,
        };
        loop {
            match next(&mut stream).await {
                Ok(message) => self.take(message, Instant::now()),
                Err(status) => return status,
            }
        }
    }

    /// Whether another attempt is in order after this status.
    fn judge(&mut self, status: Status) -> Result<(), Error> {
        match status.code() {
            Code::OutOfRange => self.cursor.clear(),
            Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => return Err(Error::Refused { status: Box::new(status) }),
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, message: v1::WatchAlertsResponse, now: Instant) {
        if let Some(cursor) = message.message.as_ref().and_then(cursor) {
            cursor.clone_into(&mut self.cursor);
        }
        self.seen.send_modify(|seen| {
            seen.last_heard = Some(now);
            seen.take(message, now);
        });
    }
}

async fn next(
    stream: &mut Streaming<v1::WatchAlertsResponse>,
) -> Result<v1::WatchAlertsResponse, Status> {
    match timeout(SILENCE_MAX, stream.message()).await {
        Ok(message) => message?.ok_or_else(|| Status::unavailable("the stream has ended")),
        Err(_) => Err(Status::unavailable("the stream is silent")),
    }
}

/// What to resume after, once this message was seen; `None` if it does not say.
pub(crate) fn cursor(message: &told::Message) -> Option<&str> {
    let cursor = match message {
        told::Message::Snapshot(_) => return None,
        told::Message::Live(live) => &live.cursor,
        told::Message::Event(event) => &event.cursor,
        told::Message::Heartbeat(heartbeat) => &heartbeat.cursor,
        told::Message::LeftScope(left) => &left.cursor,
    };
    Some(cursor).filter(|cursor| !cursor.is_empty()).map(String::as_str)
}

impl Seen {
    fn take(&mut self, message: v1::WatchAlertsResponse, now: Instant) {
        match message.message {
            Some(told::Message::Snapshot(snapshot)) => {
                let of_patients = |alert: &v1::Alert| !alert.patient_id.is_empty();
                for alert in snapshot.alerts.into_iter().filter(of_patients) {
                    self.raise(alert, None, now);
                }
            }
            Some(told::Message::Live(_)) => self.was_live = true,
            Some(told::Message::Event(event)) => self.event(event, now),
            Some(told::Message::Heartbeat(_) | told::Message::LeftScope(_)) | None => {}
        }
    }

    fn event(&mut self, event: told::Event, now: Instant) {
        let Some(told::event::Change::Alert(event)) = event.change else { return };
        let phase = event.phase();
        let Some(alert) = event.alert else { return };
        match phase {
            v1::AlertPhase::Start if alert.retrospective => self.retrospective += 1,
            v1::AlertPhase::Start if alert.patient_id.is_empty() => self.of_no_patient += 1,
            v1::AlertPhase::Start => {
                let decided_by = event.readings.first().and_then(|reading| reading.measured_at);
                let decided_by = decided_by.and_then(convert::from_timestamp);
                let is_new = self.raise(alert, decided_by, now);
                self.repeated += usize::from(!is_new);
            }
            _ if !self.ids.contains(&alert.alert_id) => {}
            v1::AlertPhase::Escalate => self.escalated += 1,
            v1::AlertPhase::End | v1::AlertPhase::Close => self.ended += 1,
            _ => {}
        }
    }

    /// Whether the alert was unknown before.
    fn raise(&mut self, alert: v1::Alert, decided_by: Option<Timestamp>, now: Instant) -> bool {
        if self.ids.contains(&alert.alert_id) {
            return false;
        }
        if self.raised.len() >= RAISED_MAX {
            self.not_kept += 1;
            return true;
        }
        self.ids.insert(alert.alert_id.clone());
        self.raised.push(Raised {
            onset: alert.onset_at.and_then(convert::from_timestamp).unwrap_or(Timestamp::MIN),
            alert_id: alert.alert_id,
            patient: alert.patient_id,
            rule: alert.rule_id,
            device: alert.device_id,
            decided_by,
            received: now,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Told};

    const SOON: Duration = Duration::from_secs(10);

    fn response(message: told::Message) -> v1::WatchAlertsResponse {
        v1::WatchAlertsResponse { message: Some(message) }
    }

    fn alert(id: &str) -> v1::Alert {
        let (alert_id, patient_id) = (id.to_owned(), "p-1".to_owned());
        v1::Alert { alert_id, patient_id, ..v1::Alert::default() }
    }

    fn event(cursor: &str, phase: v1::AlertPhase, id: &str) -> v1::WatchAlertsResponse {
        event_of(cursor, phase, alert(id))
    }

    fn event_of(cursor: &str, phase: v1::AlertPhase, alert: v1::Alert) -> v1::WatchAlertsResponse {
        let decided_at = prost_types::Timestamp { seconds: 60, nanos: 0 };
        let reading =
            v1::DecidingReading { measured_at: Some(decided_at), ..v1::DecidingReading::default() };
        let event = v1::AlertEvent {
            phase: phase.into(),
            alert: Some(alert),
            readings: vec![reading],
            ..v1::AlertEvent::default()
        };
        let change = Some(told::event::Change::Alert(event));
        response(told::Message::Event(told::Event { cursor: cursor.to_owned(), change }))
    }

    fn start(cursor: &str, id: &str) -> v1::WatchAlertsResponse {
        event(cursor, v1::AlertPhase::Start, id)
    }

    fn snapshot(ids: &[&str]) -> v1::WatchAlertsResponse {
        let alerts = ids.iter().map(|id| alert(id)).collect();
        response(told::Message::Snapshot(told::Snapshot { alerts, ..told::Snapshot::default() }))
    }

    fn live(cursor: &str) -> v1::WatchAlertsResponse {
        response(told::Message::Live(told::Live { cursor: cursor.to_owned() }))
    }

    fn cut() -> Status {
        Status::unavailable("the service stops")
    }

    /// Watches these streams until all were asked for; gives what was seen and the cursors.
    async fn watch(streams: Vec<Told>) -> (Seen, Vec<String>) {
        let fake = Fake::default();
        let count = streams.len() as u64;
        fake.state().streams = streams.into();
        let (watcher, mut seen) = alerts(&fake.serve().await, None).expect("an address");
        let all_cut = seen.until(SOON, |seen| seen.cuts == count);
        tokio::select! {
            ended = watcher.run(std::future::pending()) => panic!("{ended:?}"),
            done = all_cut => assert!(done),
        }
        let cursors = fake.state().resumed_after.clone();
        (seen.now(), cursors)
    }

    fn ids(seen: &Seen) -> Vec<&str> {
        seen.raised.iter().map(|raised| raised.alert_id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_cut_stream_is_taken_up_after_the_last_cursor() {
        let first = (vec![live("1"), start("2", "a")], cut());
        let second = (vec![start("3", "b"), live("4")], Status::resource_exhausted("too slow"));
        let (seen, cursors) = watch(vec![first, second]).await;
        assert_eq!((ids(&seen), seen.repeated, seen.was_live), (vec!["a", "b"], 0, true));
        assert_eq!(cursors[..2], ["", "2"]);
        assert_eq!(seen.raised[0].decided_by, Timestamp::from_second(60).ok());
    }

    #[tokio::test]
    async fn a_cursor_that_is_gone_begins_anew_and_counts_nothing_twice() {
        let first = (vec![live("1"), start("2", "a")], cut());
        let refused = (Vec::new(), Status::out_of_range("CURSOR_TOO_OLD"));
        let anew = (vec![snapshot(&["a", "b"]), live("9"), start("10", "c")], cut());
        let (seen, cursors) = watch(vec![first, refused, anew]).await;
        assert_eq!((ids(&seen), seen.repeated), (vec!["a", "b", "c"], 0));
        assert_eq!(cursors[..3], ["", "2", ""]);
    }

    #[tokio::test]
    async fn an_alert_that_starts_twice_is_kept_once_and_counted() {
        let (seen, _) = watch(vec![(vec![start("1", "a"), start("2", "a")], cut())]).await;
        assert_eq!((ids(&seen), seen.repeated), (vec!["a"], 1));
    }

    #[tokio::test]
    async fn escalations_and_ends_raise_nothing() {
        let told = vec![
            start("1", "a"),
            event("2", v1::AlertPhase::Escalate, "a"),
            event("3", v1::AlertPhase::End, "a"),
        ];
        let (seen, _) = watch(vec![(told, cut())]).await;
        assert_eq!((ids(&seen), seen.escalated, seen.ended), (vec!["a"], 1, 1));
    }

    #[tokio::test]
    async fn what_is_no_live_alert_of_a_patient_is_not_raised() {
        let (start, end) = (v1::AlertPhase::Start, v1::AlertPhase::End);
        let late = v1::Alert { retrospective: true, closed: true, ..alert("late") };
        let outage = v1::Alert { patient_id: String::new(), ..alert("outage") };
        let told = vec![
            event_of("1", start, late),
            event_of("2", start, outage.clone()),
            event_of("3", end, outage),
            event("4", start, "a"),
        ];
        let (seen, _) = watch(vec![(told, cut())]).await;
        assert_eq!((ids(&seen), seen.ended), (vec!["a"], 0));
        assert_eq!((seen.retrospective, seen.of_no_patient, seen.repeated), (1, 1, 0));
    }

    #[tokio::test]
    async fn a_refusal_ends_the_watcher() {
        let fake = Fake::default();
        fake.state().streams = [(Vec::new(), Status::permission_denied("not yours"))].into();
        let (watcher, mut seen) = alerts(&fake.serve().await, Some("icu")).expect("an address");
        let error = watcher.run(std::future::pending()).await.expect_err("refused");
        assert_eq!(error.to_string(), "watching alerts: not yours (PermissionDenied)");
        assert!(!seen.until_live(SOON).await, "nothing more will come");
    }

    #[tokio::test]
    async fn a_watcher_ends_when_told() {
        let fake = Fake::default();
        let (watcher, _seen) = alerts(&fake.serve().await, None).expect("an address");
        watcher.run(std::future::ready(())).await.expect("told to");
    }
}
