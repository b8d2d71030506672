//! Clinicians' clients: each holds the stream of alerts open, and records what it is told.
//!
//! A watcher takes a cut stream up again after the last cursor that it saw, and begins anew where
//! the service no longer has that cursor. It judges nothing.

use std::collections::HashSet;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::recorder::Recorder;
use crate::caller::{Authorised, Caller};
use crate::proto::v1;
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::watch_alerts_response as told;
use crate::record::{Cut, Told, What};
use crate::watch::cursor;

/// A stream that says nothing for this long is not live; the service sends a heartbeat every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(25);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Alerts that are told apart by their id. Beyond, the count of them is too high or too low.
const ALERTS_MAX: usize = 1_000_000;

/// What a watcher has come to, for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether the stream has come to the present at least once.
    pub(super) was_live: bool,
    /// Whether its stream stands, and the service said last that messages come to it.
    pub(super) is_up: bool,
    /// When it was last told of a change; heartbeats are none.
    pub(super) last_change: Option<Instant>,
    /// Live alerts that it was told of.
    pub(super) alerts: usize,
    /// How often its stream was cut.
    pub(super) cuts: u64,
    /// Why it watches no more.
    pub(super) refused: Option<String>,
}

/// A watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    number: u32,
    client: AlertServiceClient<Authorised>,
    site: String,
    cursor: String,
    alerts: HashSet<String>,
    seen: watch::Sender<Seen>,
    recorder: Recorder,
}

impl Watcher {
    /// The watcher of this number, of the alerts of a site. It connects when it runs.
    pub(super) fn new(
        number: u32,
        endpoint: &Endpoint,
        caller: &Caller,
        site: &str,
        recorder: Recorder,
    ) -> (Self, watch::Receiver<Seen>) {
        let channel = endpoint.clone().connect_timeout(CONNECT_TIMEOUT).connect_lazy();
        let client = AlertServiceClient::new(caller.over(channel));
        let (seen, receiver) = watch::channel(Seen::default());
        let (site, cursor) = (site.to_owned(), String::new());
        let alerts = HashSet::new();
        (Self { number, client, site, cursor, alerts, seen, recorder }, receiver)
    }

    /// Watches until `stop` is true, or the service refuses.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.watch() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Takes up the stream again and again. Cancel safe.
    async fn watch(&mut self) {
        let mut backoff = BACKOFF.0;
        loop {
            let (status, was_told) = self.stream().await;
            let said = format!("{:?}: {}", status.code(), status.message());
            self.recorder.add(What::Cut(Cut { watcher: self.number, status: said.clone() }));
            self.seen.send_modify(|seen| {
                seen.cuts += 1;
                seen.is_up = false;
            });
            match status.code() {
                Code::OutOfRange => self.cursor.clear(),
                Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unimplemented => {
                    self.seen.send_modify(|seen| seen.refused = Some(said));
                    return;
                }
                _ => {}
            }
            backoff = if was_told { BACKOFF.0 } else { (backoff * 2).min(BACKOFF.1) };
            sleep(backoff).await;
        }
    }

    /// One stream, until it is cut: how it was, and whether it said anything.
    async fn stream(&mut self) -> (Status, bool) {
        let filter =
            v1::AlertFilter { site_ids: vec![self.site.clone()], ..v1::AlertFilter::default() };
        let request =
            v1::WatchAlertsRequest { filter: Some(filter), resume_after: self.cursor.clone() };
        let mut stream = match self.client.watch_alerts(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return (status, false),
        };
        let mut was_told = false;
        loop {
            let message = match timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return (Status::unavailable("the stream has ended"), was_told),
                Ok(Err(status)) => return (status, was_told),
                Err(_) => return (Status::unavailable("the stream is silent"), was_told),
            };
            was_told = true;
            self.take(&message);
        }
    }

    fn take(&mut self, message: &v1::WatchAlertsResponse) {
        let response = message.encode_to_vec().into();
        self.recorder.add(What::Told(Told { watcher: self.number, response }));
        let Some(message) = &message.message else { return };
        if let Some(after) = cursor(message) {
            after.clone_into(&mut self.cursor);
        }
        match message {
            told::Message::Snapshot(snapshot) => {
                snapshot.alerts.iter().for_each(|alert| self.count(alert));
            }
            told::Message::Live(_) => self.seen.send_modify(|seen| {
                seen.was_live = true;
                seen.is_up = true;
            }),
            told::Message::Event(event) => self.event(event),
            told::Message::Heartbeat(heartbeat) => {
                self.seen.send_modify(|seen| seen.is_up = heartbeat.ingest_connected);
            }
            told::Message::LeftScope(_) => {}
        }
        let alerts = self.alerts.len();
        self.seen.send_modify(|seen| seen.alerts = alerts);
    }

    fn event(&mut self, event: &told::Event) {
        self.seen.send_modify(|seen| seen.last_change = Some(Instant::now()));
        if let Some(told::event::Change::Alert(event)) = &event.change
            && let Some(alert) = &event.alert
        {
            self.count(alert);
        }
    }

    fn count(&mut self, alert: &v1::Alert) {
        if !alert.retrospective && self.alerts.len() < ALERTS_MAX {
            self.alerts.insert(alert.alert_id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::record::{self, Run, RunClock};

    fn response(message: told::Message) -> v1::WatchAlertsResponse {
        v1::WatchAlertsResponse { message: Some(message) }
    }

    fn live(cursor: &str) -> v1::WatchAlertsResponse {
        response(told::Message::Live(told::Live { cursor: cursor.to_owned() }))
    }

    fn event(cursor: &str, alert_id: &str, retrospective: bool) -> v1::WatchAlertsResponse {
        let alert_id = alert_id.to_owned();
        let alert = v1::Alert { alert_id, retrospective, ..v1::Alert::default() };
        let event = v1::AlertEvent { alert: Some(alert), ..v1::AlertEvent::default() };
        let change = Some(told::event::Change::Alert(event));
        response(told::Message::Event(told::Event { cursor: cursor.to_owned(), change }))
    }

    /// Watches a service until it was seen so; what was seen, and what the record says.
    async fn watch(fake: &Fake, enough: impl FnMut(&Seen) -> bool) -> (Seen, Vec<What>) {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = RunClock::start();
        let run = Run::of_nobody(&clock);
        let (recorder, writing) = Recorder::begin(dir.path(), &run, clock).expect("a record");
        let endpoint = Endpoint::from_shared(fake.serve().await).expect("an address");
        let (watcher, mut seen) = Watcher::new(5, &endpoint, &Caller::default(), "icu", recorder);
        let (stop, stopped) = watch::channel(false);
        let watching = tokio::spawn(watcher.run(stopped));
        seen.wait_for(enough).await.expect("it watches");
        stop.send_replace(true);
        watching.await.expect("no panic");
        writing.close().await.expect("room");
        let entries = record::read(dir.path()).expect("a record");
        let said = entries.map(|entry| entry.expect("whole").what.expect("said")).collect();
        let seen = seen.borrow().clone();
        (seen, said)
    }

    #[tokio::test]
    async fn a_cut_stream_is_taken_up_after_its_last_cursor_and_everything_is_recorded_as_it_came()
    {
        let fake = Fake::default();
        let first = vec![live("c1"), event("c2", "a", false)];
        let second = vec![event("c3", "a", false), event("c4", "b", false), event("c5", "c", true)];
        let cut = Status::unavailable("stopping");
        fake.state().streams.extend([(first.clone(), cut.clone()), (second.clone(), cut)]);
        let (seen, said) = watch(&fake, |seen| seen.cuts == 2).await;
        assert_eq!((seen.alerts, seen.was_live), (2, true), "what is told of the past is none");
        let resumed = fake.state().resumed_after.clone();
        assert_eq!(resumed[..2], [String::new(), "c2".to_owned()]);
        let told = |response: &v1::WatchAlertsResponse| {
            What::Told(Told { watcher: 5, response: response.encode_to_vec().into() })
        };
        let status = "Unavailable: stopping".to_owned();
        let cut = || What::Cut(Cut { watcher: 5, status: status.clone() });
        let expected = first.iter().map(told).chain([cut()]);
        let expected = expected.chain(second.iter().map(told)).chain([cut()]);
        assert_eq!(said, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_cursor_that_is_no_longer_kept_is_given_up_and_a_refusal_ends_the_watch() {
        let fake = Fake::default();
        let (old, refused) = (Status::out_of_range("too old"), Status::permission_denied("no"));
        fake.state().streams.extend([(vec![live("c1")], old), (vec![live("c2")], refused)]);
        let (seen, said) = watch(&fake, |seen| seen.refused.is_some()).await;
        assert_eq!(fake.state().resumed_after, ["", ""]);
        assert_eq!(seen.refused.as_deref(), Some("PermissionDenied: no"));
        assert_eq!(said.len(), 4);
    }
}
