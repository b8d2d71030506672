//! What is asked of the service about one alert, and its answers.
//!
//! Acknowledging, pausing and resetting carry the etag of the alert as it stood on the screen when
//! the key was pressed, so that what has escalated since is never answered unseen. A refusal is shown
//! and not tried again: what to do then is for people to say. Only an answer that got lost is asked
//! for again, under the same request id, which does nothing twice.

use std::time::Duration;

use tokio::sync::mpsc;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::pages::Subject;
use super::{News, words};
use crate::clock::Timestamp;
use crate::grpc_client::{Connection, Service};
use crate::proto::v1;
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::profile_service_client::ProfileServiceClient;
use crate::repeat::Attempts;
use crate::telemetry::with_causes;

/// For one attempt: whoever waits at a screen wants to know.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to ask for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// To change an alert.
    Change(Change),
    /// An alert's story, by its id.
    Story(String),
    /// A patient's limits.
    Limits(String),
}

/// A change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// The alert as it was seen.
    pub(super) seen: Box<v1::Alert>,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Acknowledge { note: String },
    Pause { length: Duration, reason: String },
    Reset,
    Note { note: String },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done(Change),
    Refused(Change, Refusal),
    Story(Box<v1::GetAlertResponse>),
    Limits(Box<v1::EffectiveProfile>),
    /// What this page is about can't be told, and why not.
    Untold(Subject, String),
}

/// Why a change was not made, or whether it was is not known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// The service's reason, such as `ALERT_ESCALATED`; empty if there was no answer.
    pub(super) reason: String,
    /// In words.
    pub(super) message: String,
    /// Who was faster, and when.
    pub(super) by: Option<(String, Option<Timestamp>)>,
}

impl What {
    /// As in "not acknowledged".
    pub(super) const fn done(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "acknowledged",
            Self::Pause { .. } => "paused",
            Self::Reset => "reset",
            Self::Note { .. } => "noted",
        }
    }
}

/// Asks for one thing after the other, until nobody asks any more. What was asked for when the
/// screen closes is still carried out.
pub(super) async fn run(
    service: Service,
    mut asked: mpsc::Receiver<Ask>,
    news: mpsc::Sender<News>,
) {
    while let Some(ask) = asked.recv().await {
        let answer = answer(&service, ask).await;
        // Once the screen is closed nobody hears the answer; what was asked for is done all the same.
        let _unheard = news.send(News::Answer(answer)).await;
    }
}

/// Not cancel safe: a change whose answer was not awaited may have been made.
async fn answer(service: &Service, ask: Ask) -> Answer {
    match ask {
        Ask::Change(change) => match make(service, &change).await {
            Ok(()) => Answer::Done(change),
            Err(status) => Answer::Refused(change, Refusal::of(&status)),
        },
        Ask::Story(alert_id) => match story(service, alert_id.clone()).await {
            Ok(story) => Answer::Story(Box::new(story)),
            Err(status) => Answer::Untold(Subject::Alert(alert_id), status.message().to_owned()),
        },
        Ask::Limits(patient_id) => match limits(service, patient_id.clone()).await {
            Ok(limits) => Answer::Limits(Box::new(limits)),
            Err(status) => Answer::Untold(Subject::Limits(patient_id), status.message().to_owned()),
        },
    }
}

async fn connect(service: &Service) -> Result<Connection, Status> {
    let connection = service.connect(CALL_TIMEOUT).await;
    connection.map_err(|error| Status::unavailable(with_causes(&error)))
}

async fn make(service: &Service, change: &Change) -> Result<(), Status> {
    let mut attempts = Attempts::new();
    loop {
        match send(service, change, attempts.request_id()).await {
            Err(status) if attempts.is_another_due(&status).await => {}
            answer => return answer,
        }
    }
}

async fn send(service: &Service, change: &Change, request_id: String) -> Result<(), Status> {
    let mut client = AlertServiceClient::new(connect(service).await?);
    let (alert_id, etag) = (change.seen.alert_id.clone(), change.seen.etag.clone());
    match change.what.clone() {
        What::Acknowledge { note } => {
            let request = v1::AcknowledgeAlertRequest { alert_id, etag, note, request_id };
            client.acknowledge_alert(request).await.map(drop)
        }
        What::Pause { length, reason: note } => {
            let duration = prost_types::Duration::try_from(length).ok();
            let request = v1::PauseAlertRequest { alert_id, etag, duration, note, request_id };
            client.pause_alert(request).await.map(drop)
        }
        What::Reset => {
            let request = v1::ResetAlertRequest { alert_id, etag, request_id };
            client.reset_alert(request).await.map(drop)
        }
        What::Note { note } => {
            let request = v1::AddAlertNoteRequest { alert_id, note, request_id };
            client.add_alert_note(request).await.map(drop)
        }
    }
}

async fn story(service: &Service, alert_id: String) -> Result<v1::GetAlertResponse, Status> {
    let mut client = AlertServiceClient::new(connect(service).await?);
    Ok(client.get_alert(v1::GetAlertRequest { alert_id }).await?.into_inner())
}

async fn limits(service: &Service, patient_id: String) -> Result<v1::EffectiveProfile, Status> {
    let mut client = ProfileServiceClient::new(connect(service).await?);
    let request = v1::GetEffectiveProfileRequest { patient_id };
    Ok(client.get_effective_profile(request).await?.into_inner())
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map(|it| (it.reason, it.metadata)).unwrap_or_default();
        let at = metadata.get("at").and_then(|at| at.parse().ok());
        let by = metadata.get("by").map(|by| (by.clone(), at));
        Self { reason, message: status.message().to_owned(), by }
    }

    /// What it means, in a sentence.
    pub(super) fn words(&self) -> String {
        match (self.reason.as_str(), &self.by) {
            ("ALERT_ESCALATED", _) => "Its priority has risen since you saw it.".to_owned(),
            ("ALERT_ACKNOWLEDGED", Some((by, at))) => {
                let at = at.map(words::time_of_day).map(|at| format!(" at {at}"));
                let by = if by.is_empty() { "somebody" } else { by.as_str() };
                format!("It was acknowledged by {by}{} before.", at.unwrap_or_default())
            }
            ("ALERT_ACKNOWLEDGED", None) => "It was acknowledged by somebody before.".to_owned(),
            ("ALERT_ENDED", _) => "It is over.".to_owned(),
            ("ALERT_ACTIVE", _) => {
                "Its condition still holds: there is nothing to reset yet.".to_owned()
            }
            ("", _) => format!("No answer ({}): it may have been done or not.", self.message),
            _ => format!("{}.", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::watch::fake::Fake;

    fn refusal(reason: &str, metadata: &[(&str, &str)]) -> Refusal {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata: HashMap<String, String> = metadata.iter().map(owned).collect();
        let details = ErrorDetails::with_error_info(reason, "pulseward", metadata);
        Refusal::of(&Status::with_error_details(Code::FailedPrecondition, "no", details))
    }

    #[test]
    fn a_refusal_says_what_has_changed() {
        assert!(refusal("ALERT_ESCALATED", &[]).words().contains("risen since you saw it"));
        assert!(refusal("ALERT_ENDED", &[]).words().contains("over"));
        let told = [("by", "dr-weber"), ("at", "2026-01-31T08:15:00.5Z")];
        let words = refusal("ALERT_ACKNOWLEDGED", &told).words();
        assert_eq!(words, "It was acknowledged by dr-weber at 08:15:00Z before.");
    }

    async fn asked(what: What, answers: Vec<Result<v1::Alert, Status>>) -> (Answer, Fake) {
        let fake = Fake::default();
        fake.state().answers = answers.into();
        let seen = v1::Alert { etag: "7".to_owned(), ..v1::Alert::default() };
        let change = Change { seen: Box::new(seen), what };
        let service = Service::at(fake.serve().await);
        (answer(&service, Ask::Change(change)).await, fake)
    }

    #[tokio::test]
    async fn what_was_seen_is_acknowledged_and_a_lost_answer_asked_for_under_the_same_id() {
        let what = What::Acknowledge { note: "seen".to_owned() };
        let lost = Err(Status::unavailable("the service stops"));
        let (answer, fake) = asked(what, vec![lost, Ok(v1::Alert::default())]).await;
        assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
        let asked = fake.state().acknowledged.clone();
        assert_eq!((asked.len(), asked[0].etag.as_str(), asked[0].note.as_str()), (2, "7", "seen"));
        assert_eq!(asked[0].request_id, asked[1].request_id);
    }

    #[tokio::test]
    async fn an_escalation_is_never_acknowledged_unseen_and_not_tried_again() {
        let details = ErrorDetails::with_error_info("ALERT_ESCALATED", "pulseward", []);
        let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        let what = What::Acknowledge { note: String::new() };
        let (answer, fake) = asked(what, vec![Err(status)]).await;
        let Answer::Refused(_, refusal) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.reason, "ALERT_ESCALATED");
        assert_eq!(fake.state().acknowledged.len(), 1);
    }

    #[test]
    fn no_answer_is_never_told_as_done_or_not_done() {
        let lost = Refusal::of(&Status::unavailable("no connection"));
        assert!(lost.words().contains("may have been done or not"), "{}", lost.words());
    }
}
