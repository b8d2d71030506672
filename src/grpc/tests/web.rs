//! Web pages at the door: which may call, and what they get to see.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::TcpStream;

use super::callers::{for_tokens, token};
use super::fakes::{Door, open_with};
use super::list_readings;
use crate::grpc::Settings;
use crate::store::ReadingsPage;

const PAGE: &str = "https://ward.example";
const OTHER: &str = "https://evil.example";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

async fn for_pages() -> Door {
    open_with(Settings { web_origins: vec![PAGE.parse().expect("a value")], ..for_tokens() }).await
}

/// What a browser sends by HTTP/1.1.
async fn send(door: &Door, method: Method, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let stream = TcpStream::connect(door.address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    let mut request = Request::builder()
        .method(method)
        .uri("/pulseward.v1.VitalsService/ListReadings")
        .header("host", "ward.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let exchange = async move {
        let answer = sender.send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    };
    tokio::join!(exchange, connection).0
}

async fn call(door: &Door, origin: &str, token: &str) -> Answer {
    let message = list_readings().encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    body.extend(message);
    let authorization = format!("Bearer {token}");
    let headers = [
        ("origin", origin),
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
        ("authorization", &authorization),
    ];
    send(door, Method::POST, &headers, body).await
}

async fn ask_first(door: &Door, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
    ];
    send(door, Method::OPTIONS, &headers, Vec::new()).await
}

#[tokio::test]
async fn a_page_that_is_listed_may_call_and_sees_how_its_call_ended() {
    let door = for_pages().await;
    let answer = ask_first(&door, PAGE).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert!(answer.header("access-control-allow-headers").contains("authorization"));

    door.history.answer(Ok(ReadingsPage { readings: vec![], next_page_token: None }));
    let answer = call(&door, PAGE, &token(&[])).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/grpc-web+proto")
    );
    assert!(answer.body.windows(13).any(|it| it == b"grpc-status:0"), "{:?}", answer.body);
    let exposed = answer.header(ACCESS_CONTROL_EXPOSE_HEADERS.as_str());
    assert_eq!(exposed, "grpc-status,grpc-message,grpc-status-details-bin");

    let answer = call(&door, PAGE, "x").await;
    assert_eq!(answer.header(ACCESS_CONTROL_ALLOW_ORIGIN.as_str()), PAGE);
    let ended = answer.headers.contains_key("grpc-status")
        || answer.body.windows(14).any(|it| it == b"grpc-status:16");
    assert!(ended, "{:?} {:?}", answer.headers, answer.body);
    door.close().await;
}

#[tokio::test]
async fn a_page_that_is_not_listed_is_refused_whatever_it_brings() {
    let door = for_pages().await;
    let answer = ask_first(&door, OTHER).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let answer = call(&door, OTHER, &token(&[])).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(door.history.seen(), []);
    assert_eq!(door.commands.recorded()[0].reason, "ORIGIN_NOT_ALLOWED");
    door.close().await;
}

#[tokio::test]
async fn without_any_listed_page_there_is_no_grpc_web() {
    let door = open_with(for_tokens()).await;
    let stream = TcpStream::connect(door.address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("begun");
    let request = Request::post("/").body(Full::new(Bytes::new())).expect("a request");
    let (answer, _) = tokio::join!(async move { sender.send_request(request).await }, connection);
    assert!(answer.is_err(), "{answer:?}");
    door.close().await;
}
