//! Watchers that never read: their streams are open, and whatever the service sends stays on its way.

use pulseward_sim::proto::v1;
use pulseward_sim::proto::v1::alert_service_client::AlertServiceClient;
use pulseward_sim::proto::v1::vitals_service_client::VitalsServiceClient;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::drill::SITE;

/// The smallest that HTTP/2 has.
const WINDOW_BYTES: u32 = 65_535;

/// Their streams, half of alerts and half of vitals.
#[derive(Default)]
pub(crate) struct Sleepers {
    alerts: Vec<Streaming<v1::WatchAlertsResponse>>,
    vitals: Vec<Streaming<v1::WatchVitalsResponse>>,
}

impl Sleepers {
    /// Opens so many streams of each kind, each on a connection of its own.
    pub(crate) async fn open(url: &str, count: usize) -> Self {
        let mut sleepers = Self::default();
        for _ in 0..count {
            let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address");
            let endpoint = endpoint
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES * 2);
            let channel = endpoint.connect().await.expect("the service listens");
            let alerts = v1::WatchAlertsRequest::default();
            let alerts = AlertServiceClient::new(channel.clone()).watch_alerts(alerts).await;
            sleepers.alerts.push(alerts.expect("a stream").into_inner());
            let site_ids = vec![SITE.to_owned()];
            let vitals = v1::WatchVitalsRequest { site_ids, ..Default::default() };
            let vitals = VitalsServiceClient::new(channel).watch_vitals(vitals).await;
            sleepers.vitals.push(vitals.expect("a stream").into_inner());
        }
        sleepers
    }

    /// Asserts that no stream has just stopped: what ends says why.
    pub(crate) async fn check(self) {
        for stream in self.alerts {
            assert_told(ended(stream).await);
        }
        for stream in self.vitals {
            assert_told(ended(stream).await);
        }
    }
}

/// How the stream has ended by now; `None` if it goes on.
async fn ended<T>(mut stream: Streaming<T>) -> Option<Status> {
    loop {
        let next = std::pin::pin!(stream.message());
        match futures_util::poll!(next) {
            std::task::Poll::Pending => return None,
            std::task::Poll::Ready(Ok(Some(_))) => {}
            std::task::Poll::Ready(Ok(None)) => return Some(Status::ok("it just stopped")),
            std::task::Poll::Ready(Err(status)) => return Some(status),
        }
        tokio::task::yield_now().await;
    }
}

fn assert_told(ended: Option<Status>) {
    let Some(status) = ended else { return };
    let told = [Code::ResourceExhausted, Code::Unavailable, Code::Unknown, Code::Internal];
    assert!(told.contains(&status.code()), "{status}");
}
