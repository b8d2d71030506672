//! A stand-in for the service, for tests: streams told in advance, and answers to come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::proto::v1;
use crate::proto::v1::alert_service_server::{AlertService, AlertServiceServer};
use crate::proto::v1::vitals_service_server::{VitalsService, VitalsServiceServer};
use crate::proto::v1::watch_alerts_response::Message;

type Answer<T> = Result<Response<T>, Status>;

/// What the service says on one stream, before it cuts it with the status.
pub(super) type Told = (Vec<Message>, Status);

/// What the service has to say, and was asked.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The streams of alerts to come; after the last, a stream stays silent.
    pub(super) streams: VecDeque<Told>,
    pub(super) watched: Vec<v1::WatchAlertsRequest>,
    pub(super) vitals_watched: Vec<v1::WatchVitalsRequest>,
    /// The answers to acknowledgements to come.
    pub(super) answers: VecDeque<Result<v1::Alert, Status>>,
    pub(super) acknowledged: Vec<v1::AcknowledgeAlertRequest>,
}

/// A fake service on a port of its own. It ends with the test's runtime.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// Serves; gives the address.
    pub(super) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Server::builder()
            .add_service(AlertServiceServer::new(self.clone()))
            .add_service(VitalsServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with it")
    }
}

#[tonic::async_trait]
impl AlertService for Fake {
    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Answer<BoxStream<v1::WatchAlertsResponse>> {
        let mut state = self.state();
        state.watched.push(request.into_inner());
        let stream: BoxStream<v1::WatchAlertsResponse> = match state.streams.pop_front() {
            Some((told, end)) => {
                let told = told.into_iter().map(|it| v1::WatchAlertsResponse { message: Some(it) });
                let told = told.map(Ok).chain([Err(end)]);
                Box::pin(tokio_stream::iter(told.collect::<Vec<_>>()))
            }
            None => Box::pin(tokio_stream::pending()),
        };
        Ok(Response::new(stream))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<v1::AcknowledgeAlertRequest>,
    ) -> Answer<v1::Alert> {
        let mut state = self.state();
        state.acknowledged.push(request.into_inner());
        let answer = state.answers.pop_front();
        answer.unwrap_or_else(|| Err(Status::internal("nothing is to be asked"))).map(Response::new)
    }
}

#[tonic::async_trait]
impl VitalsService for Fake {
    async fn watch_vitals(
        &self,
        request: Request<v1::WatchVitalsRequest>,
    ) -> Answer<BoxStream<v1::WatchVitalsResponse>> {
        self.state().vitals_watched.push(request.into_inner());
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}
