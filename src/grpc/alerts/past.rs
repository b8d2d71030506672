//! Alerts of now and of the past: listed, and one told in full.
//!
//! What is true is what the journal says. Two follow it, and each answers what it can say in full:
//! open alerts come from the hub, everything that may lie in the past from the store. An answer of
//! either is as of everything that was durable when the call came: whoever has just been answered
//! that they acknowledged an alert never finds it unacknowledged. The hub is there in an instant;
//! for the store a call waits, because it writes in batches.
//!
//! While the store is away or too far behind, open alerts are listed all the same, an open alert is
//! told as far as the hub remembers it, and the rest answers UNAVAILABLE. An alert of another site
//! is dealt with as one that does not exist.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::Status;

use super::Service;
use crate::engine::alerts::{Alert, AlertId};
use crate::engine::input::Sites;
use crate::engine::output::Refusal;
use crate::grpc::calls::Call;
use crate::grpc::convert::{alert_lists as convert, alerts};
use crate::grpc::status;
use crate::hub::{Filter, Story, WatchError};
use crate::proto::v1;
use crate::store::alerts::{AlertStory, Page};
use crate::store::{AlertsPage, AlertsQuery};
use crate::vitals::PatientId;

/// How long a call waits for the store to come as far as the journal was when it came. The store
/// writes every 50 ms, and its slowest regular batch takes less than a second.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// A page of alerts.
    pub(super) async fn list(
        &self,
        call: &mut Call,
        request: &v1::ListAlertsRequest,
    ) -> Result<v1::ListAlertsResponse, Status> {
        let query = convert::query(request, call.principal.sites.clone());
        let query = query.map_err(status::invalid)?;
        let (alerts, next_page_token) = if query.is_over == Some(false) {
            let AlertsPage { alerts, next_page_token } = self.open(query).await?;
            let alerts = alerts.iter().map(|alert| named(call, alert)).collect();
            (alerts, next_page_token)
        } else {
            let AlertsPage { alerts, next_page_token } = self.stored(query).await?;
            let alerts = alerts.iter().map(|alert| named(call, alert)).collect();
            (alerts, next_page_token)
        };
        let next_page_token = next_page_token.unwrap_or_default();
        Ok(v1::ListAlertsResponse { alerts, next_page_token })
    }

    /// Open alerts, from the hub.
    async fn open(&self, query: AlertsQuery) -> Result<AlertsPage<Arc<Alert>>, Status> {
        let page = Page::of(&query).map_err(|error| status::no_history(error, ""))?;
        let filter = filter(&query);
        let open =
            self.hub.open_alerts(move |alert| filter.admits(alert) && is_wanted(&query, alert));
        let open = open.await;
        Ok(page.cut(open.map_err(closed)?))
    }

    /// Alerts whether open or not, from the store.
    async fn stored(&self, query: AlertsQuery) -> Result<AlertsPage, Status> {
        let behind = self.store_is_there().await;
        let page = self.history.list_alerts(query).await;
        // What the database says is why it is behind, if it says anything.
        let page = page.map_err(|error| status::no_history(error, ""))?;
        behind.map(|()| page)
    }

    /// An alert with its story.
    pub(super) async fn get(
        &self,
        call: &mut Call,
        request: &v1::GetAlertRequest,
    ) -> Result<v1::GetAlertResponse, Status> {
        let id = convert::alert_id(request).map_err(status::invalid)?;
        let sites = call.principal.sites.clone();
        let open = self.open_story(id, &sites).await?;
        let answer = match (self.stored_story(id, sites).await, open) {
            (Ok(Some(story)), _) => convert::stored_story(&story),
            (_, Some(open)) => convert::open_story(&open),
            (Ok(None), None) => return Err(status::refused(not_found(id))),
            (Err(away), None) => return Err(away),
        };
        let patient = answer.alert.as_ref().and_then(|alert| alert.patient_id.parse().ok());
        call.about.patients.extend(patient);
        Ok(answer)
    }

    /// What the hub knows of an alert, if it is open and the caller may see it.
    async fn open_story(&self, id: AlertId, sites: &Sites) -> Result<Option<Story>, Status> {
        let story = self.hub.open_alert(id).await.map_err(closed)?;
        let everything = Filter::everything(sites.clone());
        Ok(story.filter(|story| everything.covers(&story.alert)))
    }

    async fn stored_story(&self, id: AlertId, sites: Sites) -> Result<Option<AlertStory>, Status> {
        let behind = self.store_is_there().await;
        let story = self.history.alert(id, sites).await;
        let story = story.map_err(|error| status::no_history(error, ""))?;
        behind.map(|()| story)
    }

    /// Waits until the store has come as far as the journal is now. Cancel safe.
    pub(super) async fn store_is_there(&self) -> Result<(), Status> {
        let durable = self.hub.durable();
        let mut stored = self.stored.clone();
        let there = stored.wait_for(|stored| *stored >= durable);
        let there = timeout(STORE_PATIENCE, there).await.is_ok_and(|there| there.is_ok());
        let entries = durable.0.saturating_sub(self.stored.borrow().0);
        if there { Ok(()) } else { Err(status::history_behind(entries)) }
    }
}

/// What the stream would show of it.
fn filter(query: &AlertsQuery) -> Filter {
    Filter {
        sites: query.sites.iter().cloned().collect(),
        patients: query.patients.iter().cloned().collect(),
        priority_min: query.priority_min,
        ..Filter::everything(query.scope.clone())
    }
}

/// What is asked for beyond that.
fn is_wanted(query: &AlertsQuery, alert: &Alert) -> bool {
    (query.rules.is_empty() || query.rules.contains(&alert.rule))
        && (query.from..query.until).contains(&alert.onset)
}

/// The alert for the answer, with its patient on record.
fn named(call: &mut Call, alert: &Alert) -> v1::Alert {
    let patients: &mut Vec<PatientId> = &mut call.about.patients;
    // Alerts of one patient often stand together; the record leaves out the other doubles.
    if alert.patient.is_some() && patients.last() != alert.patient.as_ref() {
        patients.extend(alert.patient.clone());
    }
    alerts::alert(alert)
}

fn not_found(id: AlertId) -> Refusal {
    Refusal::NotFound { kind: "alert", id: id.to_string() }
}

fn closed(_: WatchError) -> Status {
    status::stopping()
}
