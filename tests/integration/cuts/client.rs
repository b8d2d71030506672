//! A client of `WatchAlerts` that notes every event with its cursor, and resumes after the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::watch_alerts_response::{Message, event::Change};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use super::life::LAST;

/// For what a busy machine has left to do when the ward is quiet.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before a stream is opened again that ended by itself: the service may be down.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Something that a client was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Alert(Box<v1::AlertEvent>),
    Monitoring(v1::PatientMonitoring),
    Left(String),
}

/// The same, where it stands in the stream, and after how many cuts it came.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) cursor: String,
    pub(super) what: What,
    pub(super) cut: usize,
}

/// All that a client was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// The first cursor, behind the snapshot.
    pub(super) first_cursor: String,
    cursor: String,
    pub(super) snapshots: usize,
    pub(super) lives: usize,
    messages: usize,
    cut: usize,
    pub(super) events: Vec<Told>,
    /// Alerts that are open by what was told, with their etags.
    pub(super) open: BTreeMap<String, String>,
}

/// The client. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Client {
    filter: v1::AlertFilter,
    notes: Arc<watch::Sender<Notes>>,
}

impl Client {
    /// One that was told nothing yet, and watches a site, or everything.
    pub(super) fn new(site: Option<&str>) -> Self {
        let site_ids = site.into_iter().map(str::to_owned).collect();
        let filter = v1::AlertFilter { site_ids, ..v1::AlertFilter::default() };
        Self { filter, notes: Arc::new(watch::Sender::new(Notes::default())) }
    }

    /// One that was told what the other was told at first, and no event.
    pub(super) fn resuming(other: &Self) -> Self {
        let cursor = other.told().first_cursor;
        let notes = Notes { cursor, ..Notes::default() };
        Self { filter: other.filter.clone(), notes: Arc::new(watch::Sender::new(notes)) }
    }

    /// What it was told by now.
    pub(super) fn told(&self) -> Notes {
        self.notes.borrow().clone()
    }

    /// From here on it is told things at this cut.
    pub(super) fn at_cut(&self, cut: usize) {
        self.notes.send_modify(|notes| notes.cut = cut);
    }

    /// Waits for so many messages more.
    pub(super) async fn told_more(&self, messages: usize) {
        let until = self.notes.borrow().messages + messages;
        let mut notes = self.notes.subscribe();
        notes.wait_for(|notes| notes.messages >= until).await.expect("we hold the sender");
    }

    /// Waits for the last event that there is.
    pub(super) async fn until_the_last(&self) {
        let mut notes = self.notes.subscribe();
        let last = notes.wait_for(Notes::has_the_last);
        if tokio::time::timeout(PATIENCE, last).await.is_err() {
            panic!("waited in vain for the last event, with {}", self.told().events.len());
        }
    }

    /// Listens until it has had its snapshot and is live.
    pub(super) async fn until_live(&self, url: &str) {
        let mut notes = self.notes.subscribe();
        tokio::select! {
            () = self.listen(url) => panic!("the stream ended at once"),
            live = notes.wait_for(|notes| notes.lives > 0) => drop(live.expect("we hold the sender")),
        }
    }

    /// Listens until all is over, wherever the service is.
    pub(super) async fn follow(&self, url: watch::Receiver<String>, over: CancellationToken) {
        let following = async {
            loop {
                let address = url.borrow().clone();
                self.listen(&address).await;
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = over.cancelled() => {}
        }
    }

    /// Listens at `url` behind the last cursor until the stream ends. Cancel safe: what it was
    /// told by then is noted.
    pub(super) async fn listen(&self, url: &str) {
        let channel = Endpoint::from_shared(url.to_owned()).expect("an address").connect_lazy();
        let resume_after = self.notes.borrow().cursor.clone();
        let request = v1::WatchAlertsRequest { filter: Some(self.filter.clone()), resume_after };
        let Ok(answer) = AlertServiceClient::new(channel).watch_alerts(request).await else {
            return;
        };
        let mut stream = answer.into_inner();
        while let Ok(Some(response)) = stream.message().await {
            self.notes.send_modify(|notes| notes.take(response.message.expect("a message")));
        }
    }
}

impl Notes {
    fn has_the_last(&self) -> bool {
        self.events.last().is_some_and(|told| told.is_the_last())
    }

    fn take(&mut self, message: Message) {
        // What time does after the last event is nobody's concern.
        if self.has_the_last() {
            return;
        }
        self.messages += 1;
        match message {
            Message::Snapshot(part) => self.snapshots += usize::from(part.part == 0),
            Message::Live(live) => {
                self.lives += 1;
                if self.first_cursor.is_empty() {
                    self.first_cursor.clone_from(&live.cursor);
                }
                self.cursor = live.cursor;
            }
            Message::Heartbeat(heartbeat) => self.cursor = heartbeat.cursor,
            Message::Event(event) => {
                let what = match event.change.expect("a change") {
                    Change::Alert(event) => What::Alert(Box::new(event)),
                    Change::Monitoring(change) => What::Monitoring(change),
                };
                self.note(event.cursor, what);
            }
            Message::LeftScope(left) => self.note(left.cursor, What::Left(left.patient_id)),
        }
    }

    fn note(&mut self, cursor: String, what: What) {
        if let What::Alert(event) = &what {
            let alert = event.alert.clone().expect("an event carries its alert");
            if alert.closed {
                self.open.remove(&alert.alert_id);
            } else {
                self.open.insert(alert.alert_id, alert.etag);
            }
        }
        self.cursor.clone_from(&cursor);
        self.events.push(Told { cursor, what, cut: self.cut });
    }
}

impl Told {
    fn is_the_last(&self) -> bool {
        matches!(&self.what, What::Monitoring(change) if change.patient_id == LAST)
    }
}

/// Asserts that two clients were told the same, and says at which cut they part.
pub(super) fn assert_same(cut_off: &[Told], other: &[Told]) {
    let same = |(one, other): (&Told, &Told)| one.cursor == other.cursor && one.what == other.what;
    let parts = cut_off.iter().zip(other).position(|pair| !same(pair));
    if let Some(parts) = parts {
        panic!(
            "event {parts} is another: at cut {} came {:?}, and {:?} to the other",
            cut_off[parts].cut, cut_off[parts], other[parts]
        );
    }
    assert_eq!(cut_off.len(), other.len(), "one was told more, and not the last event last");
}
