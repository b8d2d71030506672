//! A clinician's client of `WatchAlerts` that writes down everything it is told, and can take up
//! the stream where it was cut, also at another run of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::watch_alerts_response::{Message, event};
use pulseward::proto::v1::{Alert, AlertEvent, AlertPhase, WatchAlertsRequest};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Endpoint;

use super::recording::EventRow;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a client was told so far, over all its streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The last cursor.
    cursor: String,
    /// How often a stream has come to the present.
    lives: usize,
    /// Alerts that a snapshot said were open.
    pub(crate) snapshot: Vec<String>,
    /// Every event of a patient's live alert, in the order in which they came.
    pub(crate) events: Vec<AlertEvent>,
    /// The other events: of the service itself, of gateways, and of the past.
    pub(crate) others: Vec<AlertEvent>,
}

/// The client. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    told: Arc<watch::Sender<Told>>,
}

impl Watcher {
    /// A client that was told nothing yet.
    pub(crate) fn new() -> Self {
        Self { told: Arc::new(watch::Sender::new(Told::default())) }
    }

    /// [`Watcher::stream`] in a task, whose outcome is the stream's end. Returns once the stream has come to the present.
    pub(crate) async fn follow(&self, url: String) -> JoinHandle<Status> {
        let lives = self.told().lives;
        let watcher = self.clone();
        let task = tokio::spawn(async move { watcher.stream(url).await });
        self.until("the stream to be live", |told| told.lives > lives).await;
        task
    }

    /// What it was told by now.
    pub(crate) fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// Waits for what it is told.
    pub(crate) async fn until(&self, what: &str, enough: impl FnMut(&Told) -> bool) {
        let mut told = self.told.subscribe();
        let waited = tokio::time::timeout(PATIENCE, told.wait_for(enough)).await;
        let Ok(reached) = waited else {
            let told = self.told();
            panic!("waited in vain for {what}, with {} events", told.events.len());
        };
        reached.expect("we hold the sender");
    }

    /// Waits for so many events.
    pub(crate) async fn until_events(&self, count: usize) {
        let what = format!("{count} events");
        self.until(&what, |told| told.events.len() >= count).await;
    }

    /// Watches at `url` behind the last cursor until the stream ends. Cancel safe: what it was
    /// told by then is written down.
    pub(crate) async fn stream(&self, url: String) -> Status {
        let channel = Endpoint::from_shared(url).expect("an address").connect_lazy();
        let mut client = AlertServiceClient::new(channel);
        let resume_after = self.told().cursor;
        let request = WatchAlertsRequest { filter: None, resume_after };
        let mut stream = match client.watch_alerts(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status,
        };
        loop {
            match stream.message().await {
                Ok(Some(response)) => self.told.send_modify(|told| told.take(response.message)),
                Ok(None) => return Status::ok("the stream has ended"),
                Err(status) => return status,
            }
        }
    }
}

impl Told {
    fn take(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Snapshot(part)) => {
                self.snapshot.extend(part.alerts.into_iter().map(|alert| alert.alert_id));
            }
            Some(Message::Live(live)) => {
                self.cursor = live.cursor;
                self.lives += 1;
            }
            Some(Message::Event(event)) => {
                self.cursor = event.cursor;
                if let Some(event::Change::Alert(event)) = event.change {
                    let of_a_patient = |it: &Alert| !it.patient_id.is_empty() && !it.retrospective;
                    if event.alert.as_ref().is_some_and(of_a_patient) {
                        self.events.push(event);
                    } else {
                        self.others.push(event);
                    }
                }
            }
            Some(Message::Heartbeat(heartbeat)) => self.cursor = heartbeat.cursor,
            Some(Message::LeftScope(_)) | None => {}
        }
    }

    /// The events, as they must be; sorted.
    pub(crate) fn rows(&self) -> Vec<EventRow> {
        let mut rows: Vec<_> = self.events.iter().map(row).collect();
        rows.sort();
        rows
    }

    /// Asserts that each alert begins once, ends at most once and after its begin, and that a
    /// patient's rule has no two alerts open at a time.
    pub(crate) fn check_lives(&self) {
        let mut open = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for event in &self.events {
            let alert = event.alert.clone().expect("an event carries its alert");
            let place = (alert.patient_id, alert.rule_id);
            match event.phase() {
                AlertPhase::Start => {
                    assert!(seen.insert(alert.alert_id.clone()), "{} began twice", alert.alert_id);
                    let other = open.insert(place.clone(), alert.alert_id);
                    assert_eq!(other, None, "two alerts are open for {place:?}");
                }
                AlertPhase::End => {
                    assert_eq!(open.remove(&place), Some(alert.alert_id), "{place:?}");
                }
                phase => panic!("{phase:?} in a ward whose rules have one level"),
            }
        }
    }
}

fn row(event: &AlertEvent) -> EventRow {
    let alert = event.alert.as_ref().expect("an event carries its alert");
    let reading = event.readings.first().expect("a reading decided it");
    EventRow {
        patient: alert.patient_id.clone(),
        rule: alert.rule_id.clone(),
        onset: micros(alert.onset_at),
        decided_by: micros(reading.measured_at),
        phase: event.phase().as_str_name().trim_start_matches("ALERT_PHASE_").to_lowercase(),
    }
}

/// Microseconds since 1970.
pub(crate) fn micros(at: Option<prost_types::Timestamp>) -> i64 {
    let at = at.expect("the time is given");
    at.seconds * 1_000_000 + i64::from(at.nanos / 1000)
}
