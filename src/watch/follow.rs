//! Holds the streams open: alerts, and vitals beside them.
//!
//! A stream that is cut, or says nothing for too long, is taken up again over a new connection: of
//! alerts behind the last cursor, so that nothing is missed and nothing told twice; where the service
//! no longer has that cursor, from a new snapshot. Vitals have nothing to resume. What the service
//! refuses before the first stream has come to the present ends it, for then something is wrong with
//! what it was asked for; afterwards everything is tried again, and said.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::liveness::SILENCE_MAX;
use super::{Error, News};
use crate::grpc_client::{NotConnected, Service};
use crate::proto::v1;
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::vitals_service_client::VitalsServiceClient;
use crate::proto::v1::watch_alerts_response::Message;
use crate::telemetry::with_causes;

/// For a stream to begin; the service itself gives up after 30 s.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Waits between attempts, doubling from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// The stream of vitals takes at most so many sites.
pub(super) const SITES_MAX: usize = 100;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Only these sites; empty for all of the caller's.
    pub(super) sites: Vec<String>,
    /// Only these patients; empty for all of the caller's.
    pub(super) patients: Vec<String>,
}

/// Follows alerts.
pub(super) struct Alerts {
    service: Service,
    scope: Scope,
    news: mpsc::Sender<News>,
    /// To resume after; empty for a snapshot.
    cursor: String,
    /// Whether a stream has come to the present.
    was_live: bool,
}

/// Why a stream ended.
enum Cut {
    /// By the service, or on the way.
    Status(Box<Status>),
    /// There is no way.
    Connect(NotConnected),
}

impl From<Status> for Cut {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Cut> for Error {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Connect(error) => error.into(),
            Cut::Status(status) => Self::Refused { action: "watching alerts", status },
        }
    }
}

impl From<NotConnected> for Cut {
    fn from(error: NotConnected) -> Self {
        Self::Connect(error)
    }
}

impl Alerts {
    pub(super) fn new(service: Service, scope: Scope, news: mpsc::Sender<News>) -> Self {
        Self { service, scope, news, cursor: String::new(), was_live: false }
    }

    /// Follows until nobody takes the news. Cancel safe.
    ///
    /// # Errors
    /// If the service is not there or refuses before the stream was live once.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let news = self.news.clone();
        tokio::select! {
            error = self.follow() => Err(error),
            () = news.closed() => Ok(()),
        }
    }

    async fn follow(&mut self) -> Error {
        let mut backoff = BACKOFF.0;
        loop {
            let begun_behind = self.cursor.clone();
            let cut = match self.stream().await {
                Ok(never) => match never {},
                Err(cut) if self.was_live => cut,
                Err(cut) => return cut.into(),
            };
            if self.cursor != begun_behind {
                backoff = BACKOFF.0;
            }
            self.forget_cursor_if_gone(&cut);
            tell(&self.news, News::Cut(why(&cut))).await;
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// One stream, until it is cut.
    async fn stream(&mut self) -> Result<Infallible, Cut> {
        let opened = async {
            let connection = self.service.connect(OPEN_TIMEOUT).await?;
            let mut client = AlertServiceClient::new(connection);
            Ok(client.watch_alerts(self.request()).await?.into_inner())
        };
        let mut stream = in_time(opened).await?;
        tell(&self.news, News::Opened).await;
        // A cursor within a snapshot would leave out the rest of it.
        let mut is_resumable = !self.cursor.is_empty();
        loop {
            let Some(message) = next(&mut stream).await?.message else { continue };
            let is_live = matches!(message, Message::Live(_));
            is_resumable |= is_live;
            self.was_live |= is_live;
            let cursor = cursor(&message).filter(|_| is_resumable).map(str::to_owned);
            tell(&self.news, News::Alerts(Box::new(message))).await;
            if let Some(cursor) = cursor {
                self.cursor = cursor;
            }
        }
    }

    fn request(&self) -> v1::WatchAlertsRequest {
        let filter = v1::AlertFilter {
            site_ids: self.scope.sites.clone(),
            patient_ids: self.scope.patients.clone(),
            ..v1::AlertFilter::default()
        };
        v1::WatchAlertsRequest { filter: Some(filter), resume_after: self.cursor.clone() }
    }

    fn forget_cursor_if_gone(&mut self, cut: &Cut) {
        // Another service than before may not even know it for a cursor.
        if let Cut::Status(status) = cut
            && matches!(status.code(), Code::OutOfRange | Code::InvalidArgument)
        {
            self.cursor.clear();
        }
    }
}

/// What to resume after once this message was told; `None` if it does not say.
fn cursor(message: &Message) -> Option<&str> {
    let cursor = match message {
        Message::Snapshot(_) => return None,
        Message::Live(live) => &live.cursor,
        Message::Event(event) => &event.cursor,
        Message::Heartbeat(heartbeat) => &heartbeat.cursor,
        Message::LeftScope(left) => &left.cursor,
    };
    Some(cursor.as_str()).filter(|cursor| !cursor.is_empty())
}

/// Tells news. Nobody who takes them any more ends the follower, which waits here for that.
async fn tell(to: &mpsc::Sender<News>, news: News) {
    if to.send(news).await.is_err() {
        std::future::pending().await
    }
}

/// Follows vitals of the sites that the receiver names, or of the patients of `scope`, until nobody
/// takes the news. Cancel safe.
pub(super) async fn vitals(
    service: Service,
    scope: Scope,
    mut sites: watch::Receiver<BTreeSet<String>>,
    news: mpsc::Sender<News>,
) {
    let follow = async {
        let mut backoff = BACKOFF.0;
        loop {
            let request = request(&scope, &sites.borrow_and_update());
            let cut = tokio::select! {
                changed = sites.changed() => match changed {
                    Ok(()) => continue,
                    // Nobody names sites any more: the screen is closed.
                    Err(_) => return,
                },
                cut = stream_vitals(&service, request, &news, &mut backoff) => cut,
            };
            tell(&news, News::VitalsCut(why(&cut))).await;
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    };
    tokio::select! {
        () = follow => {}
        () = news.closed() => {}
    }
}

/// Whose vitals; nobody's while no site is known.
fn request(scope: &Scope, sites: &BTreeSet<String>) -> Option<v1::WatchVitalsRequest> {
    let patient_ids = scope.patients.clone();
    let site_ids: Vec<_> = match patient_ids.is_empty() {
        true => sites.iter().take(SITES_MAX).cloned().collect(),
        false => Vec::new(),
    };
    let request = v1::WatchVitalsRequest { site_ids, patient_ids, ..Default::default() };
    (!request.site_ids.is_empty() || !request.patient_ids.is_empty()).then_some(request)
}

async fn stream_vitals(
    service: &Service,
    request: Option<v1::WatchVitalsRequest>,
    news: &mpsc::Sender<News>,
    backoff: &mut Duration,
) -> Cut {
    let Some(request) = request else { return std::future::pending().await };
    let streamed: Result<Infallible, Cut> = async {
        let opened = async {
            let connection = service.connect(OPEN_TIMEOUT).await?;
            Ok(VitalsServiceClient::new(connection).watch_vitals(request).await?.into_inner())
        };
        let mut stream = in_time(opened).await?;
        loop {
            let Some(message) = next(&mut stream).await?.message else { continue };
            *backoff = BACKOFF.0;
            tell(news, News::Vitals(Box::new(message))).await;
        }
    }
    .await;
    match streamed {
        Ok(never) => match never {},
        Err(cut) => cut,
    }
}

/// What was opened; a network that swallows everything would let it be waited for without end.
async fn in_time<S>(opened: impl Future<Output = Result<S, Cut>>) -> Result<S, Cut> {
    match timeout(OPEN_TIMEOUT, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(Status::unavailable("the service does not answer").into()),
    }
}

/// The next message. One that does not come in time is a cut.
async fn next<M>(stream: &mut Streaming<M>) -> Result<M, Cut> {
    match timeout(SILENCE_MAX, stream.message()).await {
        Ok(message) => Ok(message?.ok_or_else(|| Status::unavailable("the stream has ended"))?),
        Err(_) => Err(Status::unavailable("the service says nothing").into()),
    }
}

fn why(cut: &Cut) -> String {
    match cut {
        Cut::Status(status) if status.message().is_empty() => format!("{:?}", status.code()),
        Cut::Status(status) => status.message().to_owned(),
        Cut::Connect(error) => with_causes(&error.reason),
    }
}

#[cfg(test)]
mod tests;
