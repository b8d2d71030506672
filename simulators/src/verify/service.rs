//! The service's own account of its alerts, over gRPC.
//!
//! Every alert of the run's site, with all of its events. It asks as an ordinary caller does and
//! changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::address::{InvalidAddress, endpoint};
use crate::caller::{Authorised, Caller};
use crate::proto::v1;
use crate::proto::v1::alert_service_client::AlertServiceClient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Alerts of one page.
const PAGE: i32 = 1000;
/// Calls under way at once: the service answers a few thousand a second.
const CALLS_MAX: usize = 16;
/// Waits between attempts while the history is behind.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a service that can't be reached is waited for: one that starts has its listener soon.
const UNREACHABLE_MAX: Duration = Duration::from_secs(10);
/// A larger answer than tonic expects: an alert may have a thousand events.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// An alert, and what happened to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// As it stands.
    pub alert: v1::Alert,
    /// What happened to it, in order.
    pub events: Vec<v1::AlertEvent>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// Why the service can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// Nobody listens there.
    #[error("no service is at {url} ({}); start it, or name another with --grpc", .status.message())]
    Unreachable {
        /// Where.
        url: String,
        /// What the connection says.
        status: Box<Status>,
    },
    /// The service refuses to answer, or does not.
    #[error("{doing}: {} ({:?})", .status.message(), .status.code())]
    Refused {
        /// What was asked.
        doing: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
}

/// The service, as a caller meets it.
#[derive(Clone, Debug)]
pub struct Service {
    url: String,
    client: AlertServiceClient<Authorised>,
}

impl Service {
    /// The service at `url`, asked as `caller`. It connects when it is asked.
    ///
    /// # Errors
    /// If `url` is no address.
    pub fn new(url: &str, caller: &Caller) -> Result<Self, Error> {
        let endpoint = endpoint(url)?.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        let client = AlertServiceClient::new(caller.over(endpoint.connect_lazy()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { url: url.to_owned(), client })
    }

    /// Every alert of `site`, waiting up to `patience` for a history that is behind, and for a moment
    /// for a service that is not there.
    ///
    /// # Errors
    /// If the service can't be reached, or does not answer.
    pub async fn alerts(&self, site: &str, patience: Duration) -> Result<Vec<Story>, Error> {
        let began = Instant::now();
        loop {
            let status = match self.list(site).await {
                Ok(alerts) => {
                    let stories = stream::iter(alerts).map(|alert| self.story(alert));
                    return stories.buffer_unordered(CALLS_MAX).try_collect().await;
                }
                Err(status) => Box::new(status),
            };
            // What the service itself answers has details.
            let is_reached = !status.details().is_empty();
            match status.code() {
                Code::Unavailable if is_reached && began.elapsed() < patience => {}
                Code::Unavailable if !is_reached && began.elapsed() < UNREACHABLE_MAX => {}
                Code::Unavailable if !is_reached => {
                    return Err(Error::Unreachable { url: self.url.clone(), status });
                }
                _ => return Err(Error::Refused { doing: "listing alerts", status }),
            }
            sleep(PAUSE).await;
        }
    }

    async fn list(&self, site: &str) -> Result<Vec<v1::Alert>, Status> {
        let (mut alerts, mut seen) = (Vec::new(), BTreeSet::new());
        let mut page_token = String::new();
        loop {
            let filter =
                v1::AlertFilter { site_ids: vec![site.to_owned()], ..v1::AlertFilter::default() };
            let request = v1::ListAlertsRequest {
                filter: Some(filter),
                page_size: PAGE,
                page_token,
                ..v1::ListAlertsRequest::default()
            };
            let page = self.client.clone().list_alerts(request).await?.into_inner();
            let new = |alert: &v1::Alert| seen.insert(alert.alert_id.clone());
            alerts.extend(page.alerts.into_iter().filter(new));
            if page.next_page_token.is_empty() {
                return Ok(alerts);
            }
            page_token = page.next_page_token;
        }
    }

    async fn story(&self, alert: v1::Alert) -> Result<Story, Error> {
        let request = v1::GetAlertRequest { alert_id: alert.alert_id };
        let answer = self.client.clone().get_alert(request).await;
        let answer = answer
            .map_err(|status| Error::Refused { doing: "getting an alert", status: status.into() })?
            .into_inner();
        let is_whole = !answer.missing().any(|part| part == v1::AlertPart::Events);
        Ok(Story { alert: answer.alert.unwrap_or_default(), events: answer.events, is_whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far beyond what a service is waited for that nobody can reach.
    const PATIENCE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_service_that_is_not_there_is_named_with_what_to_do_and_not_waited_for_long() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", free.local_addr().expect("bound"));
        drop(free);
        let service = Service::new(&url, &Caller::default()).expect("an address");
        let refused =
            service.alerts("icu", PATIENCE).await.expect_err("nobody listens").to_string();
        assert!(refused.starts_with(&format!("no service is at {url} (")), "{refused}");
        assert!(refused.ends_with("start it, or name another with --grpc"), "{refused}");
    }
}
