//! Traces of message batches, as a collector gets them by OTLP from the real service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::recording::Recording;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

/// Every span that was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves until the runtime ends; gives the address.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is free");
        let address = listener.local_addr().expect("bound");
        let service = TraceServiceServer::new(self.clone());
        let connections = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
        format!("http://{address}")
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

async fn house(endpoint: &str, sample_ratio: &str) -> House {
    let environment = vec![
        ("PULSEWARD_TRACES__ENDPOINT", endpoint.to_owned()),
        ("PULSEWARD_TRACES__SAMPLE_RATIO", sample_ratio.to_owned()),
    ];
    House::start_under(Sql::sqlite(), environment, Vec::new()).await
}

/// The spans by trace, and in each by name.
fn by_trace(spans: &[Span]) -> BTreeMap<Vec<u8>, BTreeMap<&str, &Span>> {
    let mut traces: BTreeMap<Vec<u8>, BTreeMap<&str, &Span>> = BTreeMap::new();
    for span in spans {
        let trace = traces.entry(span.trace_id.clone()).or_default();
        assert!(trace.insert(&span.name, span).is_none(), "{} twice", span.name);
    }
    traces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_sees_the_whole_way_of_a_batch_and_nothing_of_a_patient() {
    let recording = Recording::new(8, 2, 60);
    let collector = Collector::default();
    let mut house = house(&collector.serve().await, "1.0").await;
    house.enroll(&recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    wait_until("every trace to be whole", async || {
        let spans = collector.spans();
        let messages: i64 = spans.iter().filter_map(messages_of).sum();
        let traces = by_trace(&spans);
        messages == i64::try_from(recording.len()).expect("small")
            && traces.values().all(|trace| trace.len() == 5)
    })
    .await;
    let spans = collector.spans();
    for trace in by_trace(&spans).values() {
        check_trace(trace);
    }
    let keys: BTreeSet<_> =
        spans.iter().flat_map(|span| &span.attributes).map(|it| it.key.as_str()).collect();
    let expected = ["pulseward.messages", "pulseward.position.first", "pulseward.position.last"];
    assert_eq!(keys, BTreeSet::from(expected));
    assert!(house.service.terminate().success());
}

/// How many messages a batch had.
fn messages_of(span: &Span) -> Option<i64> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let attribute = span.attributes.iter().find(|it| it.key == "pulseward.messages")?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::IntValue(count) => Some(*count),
        _ => None,
    }
}

fn check_trace(trace: &BTreeMap<&str, &Span>) {
    let root = trace["batch"];
    assert!(root.parent_span_id.is_empty(), "{root:?}");
    for name in ["apply", "commit", "stream", "store"] {
        let span = trace[name];
        assert_eq!(span.parent_span_id, root.span_id, "{name}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
    }
    assert_eq!(trace["apply"].end_time_unix_nano, trace["commit"].start_time_unix_nano);
    assert_eq!(trace["commit"].end_time_unix_nano, root.end_time_unix_nano);
    assert_eq!(trace["store"].start_time_unix_nano, root.end_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_nobody_up() {
    let recording = Recording::new(9, 2, 60);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port 0 is free");
    let nobody = taken.local_addr().expect("bound");
    drop(taken);
    let mut house = house(&format!("http://{nobody}"), "1.0").await;
    house.enroll(&recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success(), "{}", house.service.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_drawn_is_not_sent() {
    let recording = Recording::new(10, 2, 60);
    let collector = Collector::default();
    let mut house = house(&collector.serve().await, "0.0").await;
    house.enroll(&recording).await;
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    assert!(collector.spans().is_empty());
}
