//! The ward page's port before the door: which pages may call, that they meet the same gate, the
//! same limits and the same record as callers of gRPC, and how their streams end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::callers::{for_tokens, token};
use super::fakes::{Door, open_before, open_with, settings};
use super::life::slow;
use super::{create_site, list_readings};
use crate::engine::audit::Outcome;
use crate::grpc::auth::Limits;
use crate::grpc::{Reached, Server, Settings, Web};
use crate::http;
use crate::hub::tests::House;
use crate::hub::tests::house::start;
use crate::proto::v1;
use crate::readiness::Readiness;
use crate::store::ReadingsPage;
use crate::telemetry::Metrics;

const LIST: &str = "/pulseward.v1.VitalsService/ListReadings";
const WATCH: &str = "/pulseward.v1.AlertService/WatchAlerts";
const PATIENCE: Duration = Duration::from_secs(30);

/// The port, before a door with fakes.
struct Port {
    door: Door,
    address: SocketAddr,
    cancel: CancellationToken,
    running: JoinHandle<()>,
}

/// The ward page's port, which calls these services.
fn serve(web: Web) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let ward = http::Ward::Open(web);
    let settings = http::Settings { listen: ([127, 0, 0, 1], 0).into(), tls: None, ward };
    let server = http::Server::bind(settings, Readiness::new(), Metrics::detached().0);
    let server = server.expect("a free port");
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let running = tokio::spawn(server.run(cancel.clone()));
    (address, cancel, running)
}

impl Port {
    fn before(door: Door) -> Self {
        let (address, cancel, running) = serve(door.web.clone());
        Self { door, address, cancel, running }
    }

    /// As a browser says where its page came from.
    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn close(self) {
        self.door.close().await;
        self.cancel.cancel();
        self.running.await.expect("does not panic");
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Incoming> {
        send(self.address, method, path, headers, body).await
    }

    async fn call(
        &self,
        path: &str,
        message: &impl prost::Message,
        headers: &[(&str, &str)],
    ) -> Called {
        call(self.address, path, message, headers).await
    }
}

/// Sends a request on a connection of its own, by HTTP/1.1.
async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).expect("a request");
    let answered = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    answered.expect("in time").expect("an answer")
}

/// Calls as a page does, with these headers beside what gRPC-Web needs.
async fn call(
    address: SocketAddr,
    path: &str,
    message: &impl prost::Message,
    headers: &[(&str, &str)],
) -> Called {
    let grpc_web = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
    let headers = [&grpc_web, headers].concat();
    let answer = send(address, Method::POST, path, &headers, framed(message)).await;
    let (parts, body) = answer.into_parts();
    Called { status: parts.status, headers: parts.headers, body, received: BytesMut::new() }
}

fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

/// An answer by gRPC-Web, as it comes in.
struct Called {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    received: BytesMut,
}

/// A part of it.
#[derive(Debug)]
enum Part {
    Message,
    /// How it ended.
    Trailers(String),
}

impl Called {
    /// The next part; `None` at the end.
    async fn next(&mut self) -> Option<Part> {
        loop {
            if let Some(part) = self.whole() {
                return Some(part);
            }
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("in time")?;
            if let Ok(data) = frame.expect("not broken off").into_data() {
                self.received.extend_from_slice(&data);
            }
        }
    }

    fn whole(&mut self) -> Option<Part> {
        let length = u32::from_be_bytes(self.received.get(1..5)?.try_into().expect("four bytes"));
        let length = usize::try_from(length).expect("it fits");
        if self.received.len() < 5 + length {
            return None;
        }
        let is_end = self.received[0] & 0x80 != 0;
        self.received.advance(5);
        let part = self.received.split_to(length).freeze();
        Some(match is_end {
            true => Part::Trailers(String::from_utf8(part.to_vec()).expect("text")),
            false => Part::Message,
        })
    }

    /// How the call ended, once it has.
    async fn ended(&mut self) -> Code {
        let header =
            self.headers.get("grpc-status").map(|it| it.to_str().expect("text").to_owned());
        let mut status = header;
        while let Some(part) = self.next().await {
            if let Part::Trailers(trailers) = part {
                let line = trailers.lines().find_map(|it| it.strip_prefix("grpc-status:"));
                status = line.map(|it| it.trim().to_owned());
            }
        }
        let status = status.expect("a status").parse::<i32>().expect("a number");
        Code::from_i32(status)
    }
}

fn answers_once(port: &Port) {
    port.door.history.answer(Ok(ReadingsPage { readings: vec![], next_page_token: None }));
}

#[tokio::test]
async fn our_own_page_may_call_and_is_on_record_with_its_address() {
    let port = Port::before(open_with(for_tokens()).await);
    answers_once(&port);
    let (origin, token) = (port.origin(), format!("Bearer {}", token(&[])));
    let headers = [("origin", origin.as_str()), ("authorization", token.as_str())];
    let mut called = port.call(LIST, &list_readings(), &headers).await;
    assert_eq!(called.status, StatusCode::OK);
    assert_eq!(called.headers["content-type"], "application/grpc-web+proto");
    assert_eq!(called.headers["cache-control"], "no-store");
    assert!(!called.headers.contains_key("access-control-allow-origin"));
    assert!(matches!(called.next().await, Some(Part::Message)));
    assert_eq!(called.ended().await, Code::Ok);
    let recorded = port.door.commands.recorded();
    assert!(recorded[0].origin.peer.starts_with("127.0.0.1:"), "{recorded:?}");
    assert_eq!(recorded[0].outcome, Outcome::Done);
    port.close().await;
}

#[tokio::test]
async fn a_page_of_elsewhere_is_refused_whatever_it_brings_also_one_that_is_listed_for_grpc() {
    let listed = "https://other.example";
    let web_origins = vec![listed.parse().expect("a value")];
    let port = Port::before(open_with(Settings { web_origins, ..for_tokens() }).await);
    let token = format!("Bearer {}", token(&[]));
    for (number, foreign) in [listed, "https://evil.example", "null"].into_iter().enumerate() {
        let headers = [("origin", foreign), ("authorization", token.as_str())];
        let mut called = port.call(LIST, &list_readings(), &headers).await;
        assert!(!called.headers.contains_key("access-control-allow-origin"));
        assert_eq!(called.ended().await, Code::PermissionDenied, "{foreign}");
        let recorded = port.door.commands.recorded();
        assert_eq!(recorded[number].reason, "ORIGIN_NOT_ALLOWED");
        assert!(recorded[number].origin.peer.starts_with("127.0.0.1:"));
        let asks = [("origin", foreign), ("access-control-request-method", "POST")];
        let answer = port.send(Method::OPTIONS, LIST, &asks, Bytes::new()).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(port.door.history.seen(), []);
    port.close().await;
}

#[tokio::test]
async fn without_a_token_nobody_is_let_in_and_with_a_bad_one_it_is_told() {
    let port = Port::before(open_with(for_tokens()).await);
    let origin = port.origin();
    for (bad, reason) in [(None, "TOKEN_MISSING"), (Some("Bearer x"), "TOKEN_INVALID")] {
        let mut headers = vec![("origin", origin.as_str())];
        headers.extend(bad.map(|it| ("authorization", it)));
        let mut called = port.call(WATCH, &v1::WatchAlertsRequest::default(), &headers).await;
        assert_eq!(called.ended().await, Code::Unauthenticated);
        assert_eq!(port.door.commands.recorded().last().expect("recorded").reason, reason);
    }
    port.close().await;
}

/// A name of somebody's that was made to lead to this machine.
#[tokio::test]
async fn where_everybody_on_this_machine_is_let_in_only_its_own_names_lead_in() {
    let port = Port::before(open_with(settings()).await);
    let number = port.address.port();
    for (host, expected) in [
        (format!("evil.example:{number}"), Code::PermissionDenied),
        (format!("localhost:{number}"), Code::Ok),
        (format!("127.0.0.1:{number}"), Code::Ok),
    ] {
        let origin = format!("http://{host}");
        for headers in [vec![("host", &*host), ("origin", &*origin)], vec![("host", &*host)]] {
            if expected == Code::Ok {
                answers_once(&port);
            }
            let mut called = port.call(LIST, &list_readings(), &headers).await;
            assert_eq!(called.ended().await, expected, "{headers:?}");
        }
    }
    port.close().await;
}

#[tokio::test]
async fn nothing_but_calls_by_grpc_web_is_taken() {
    let port = Port::before(open_with(settings()).await);
    let body = || framed(&list_readings());
    let grpc = [("content-type", "application/grpc")];
    let web = [("content-type", "application/grpc-web+proto")];
    for (method, path, headers, expected) in [
        (Method::POST, LIST, &grpc[..], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, LIST, &[], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::GET, LIST, &web, StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/grpc.health.v1.Health/Check", &web, StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/grpc.health.v1.Health/Check", &web, StatusCode::NOT_FOUND),
    ] {
        let answer = port.send(method.clone(), path, headers, body()).await;
        assert_eq!(answer.status(), expected, "{method} {path} {headers:?}");
    }
    let path = "/pulseward.v1.NoService/NoCall";
    let mut called = port.call(path, &list_readings(), &[]).await;
    assert_eq!(called.ended().await, Code::Unimplemented);
    assert_eq!(port.door.commands.recorded().len(), 0);
    port.close().await;
}

#[tokio::test]
async fn a_callers_streams_are_counted_over_both_ports() {
    let house = House::new();
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let port = Port::before(open_before(house.handle(), Settings { limits, ..for_tokens() }).await);
    let token = format!("Bearer {}", token(&[]));
    let headers = [("authorization", token.as_str())];
    let request = v1::WatchAlertsRequest::default();
    let mut first = port.call(WATCH, &request, &headers).await;
    assert!(matches!(first.next().await, Some(Part::Message)));

    let mut over_grpc = tonic::Request::new(request.clone());
    over_grpc.metadata_mut().insert("authorization", token.parse().expect("a value"));
    let refused = port.door.alerts().watch_alerts(over_grpc).await.expect_err("one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let mut second = port.call(WATCH, &request, &headers).await;
    assert_eq!(second.ended().await, Code::ResourceExhausted);

    // A page that goes away makes room, and its stream's end goes on record.
    drop(first);
    let ended = |it: &crate::engine::audit::Access| it.outcome == Outcome::Closed;
    while !port.door.commands.recorded().iter().any(ended) {
        let count = port.door.commands.recorded().len();
        port.door.commands.recorded_in_time(count + 1).await;
    }
    let mut third = port.call(WATCH, &request, &headers).await;
    assert!(matches!(third.next().await, Some(Part::Message)));
    port.door.stopping.cancel();
    drop(third);
    port.close().await;
}

#[tokio::test]
async fn when_the_service_stops_a_pages_stream_is_told_and_a_new_call_is_refused() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    let port = Port::before(open_before(house.handle(), settings()).await);
    let mut watch = port.call(WATCH, &v1::WatchAlertsRequest::default(), &[]).await;
    assert!(matches!(watch.next().await, Some(Part::Message)));
    port.door.stopping.cancel();
    assert_eq!(watch.ended().await, Code::Unavailable);
    let mut late = port.call(LIST, &list_readings(), &[]).await;
    assert_eq!(late.ended().await, Code::Unavailable);
    assert_eq!(port.door.history.seen(), []);
    port.close().await;
}

#[tokio::test]
async fn the_door_waits_for_a_pages_stream_and_its_end_is_on_record() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    let port = Port::before(open_before(house.handle(), settings()).await);
    let mut watch = port.call(WATCH, &v1::WatchAlertsRequest::default(), &[]).await;
    assert!(matches!(watch.next().await, Some(Part::Message)));
    let (commands, stopping) = (port.door.commands.clone(), port.door.stopping.clone());
    let Port { door, cancel, running, .. } = port;
    // Told of it only after the door begins to close.
    let ending = async {
        stopping.cancel();
        watch.ended().await
    };
    let (code, ()) = tokio::join!(ending, door.close());
    assert_eq!(code, Code::Unavailable);
    let outcomes: Vec<_> = commands.recorded().iter().map(|access| access.outcome).collect();
    assert_eq!(outcomes, [Outcome::Opened, Outcome::Closed]);
    cancel.cancel();
    running.await.expect("does not panic");
}

#[tokio::test]
async fn the_door_stays_open_for_a_pages_call_until_it_is_answered() {
    let (engine, parts) = slow();
    let drain_timeout = PATIENCE;
    let server = Server::build(Settings { drain_timeout, ..settings() }, parts);
    let server = server.expect("a free port");
    let (grpc, web) = (server.local_addr(), server.web(Reached::FromThisMachine));
    let stop = CancellationToken::new();
    let closing = tokio::spawn(server.run(stop.clone()));
    let (address, cancel, running) = serve(web);
    let path = "/pulseward.v1.RegistryService/CreateSite";
    let calling =
        tokio::spawn(async move { call(address, path, &create_site(), &[]).await.ended().await });
    engine.asked.acquire().await.expect("never closed").forget();
    stop.cancel();
    while TcpStream::connect(grpc).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // Nobody calls by gRPC any more: if that were all, it would be over by now.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    engine.released.add_permits(1);
    assert_eq!(calling.await.expect("no panic"), Code::AlreadyExists);
    closing.await.expect("no panic").expect("ends well");
    cancel.cancel();
    running.await.expect("no panic");
}

#[tokio::test]
async fn a_page_that_is_left_behind_does_not_hold_up_the_end() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    let brief = Settings { drain_timeout: Duration::ZERO, ..settings() };
    let port = Port::before(open_before(house.handle(), brief).await);
    let mut watch = port.call(WATCH, &v1::WatchAlertsRequest::default(), &[]).await;
    assert!(matches!(watch.next().await, Some(Part::Message)));
    // Nobody tells the stream to end.
    port.door.cancel.cancel();
    let Port { door, .. } = port;
    tokio::time::timeout(PATIENCE, door.close()).await.expect("in time");
}
