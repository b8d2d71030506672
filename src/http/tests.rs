//! The server as probes, Prometheus and browsers meet it, over real connections. What the ward page
//! calls is tried where those services are (`grpc`).

use std::net::Ipv4Addr;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::tls::trial::{Authority, Files, Issue};
use crate::tls::{Keeper, Load as _, client, server};

struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    ended: JoinHandle<()>,
}

fn settings() -> Settings {
    Settings { listen: (Ipv4Addr::LOCALHOST, 0).into(), tls: None, ward: Ward::Off }
}

fn start(settings: Settings, readiness: &Readiness, metrics: Metrics) -> Running {
    let server = Server::bind(settings, readiness.clone(), metrics).expect("port 0 is free");
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let ended = tokio::spawn(server.run(cancel.clone()));
    Running { address, cancel, ended }
}

fn start_with(settings: Settings) -> Running {
    start(settings, &Readiness::new(), Metrics::detached().0)
}

impl Running {
    /// The whole answer to `GET path`; the server ends the connection.
    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")).await
    }

    /// Everything that comes back, until the server ends the connection.
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.ended.await.expect("does not panic");
    }
}

fn check(answer: &str, status: u16, body: &str) {
    let (head, found) = answer.split_once("\r\n\r\n").expect("HTTP");
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(found, body);
}

#[tokio::test]
async fn ready_is_told_part_by_part() {
    let readiness = Readiness::new();
    let (journal, store) = (readiness.register("journal"), readiness.register("store"));
    let server = start(settings(), &readiness, Metrics::detached().0);
    check(&server.get("/healthz").await, 200, "ok\n");

    store.ready();
    check(
        &server.get("/readyz").await,
        503,
        "{\"parts\":[{\"name\":\"journal\",\"reason\":\"starting\",\"state\":\"not ready\"},\
         {\"name\":\"store\",\"reason\":null,\"state\":\"ready\"}],\"ready\":false}\n",
    );

    journal.ready();
    store.degraded("the database is away");
    check(
        &server.get("/readyz").await,
        200,
        "{\"parts\":[{\"name\":\"journal\",\"reason\":null,\"state\":\"ready\"},\
         {\"name\":\"store\",\"reason\":\"the database is away\",\"state\":\"degraded\"}],\
         \"ready\":true}\n",
    );
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_rendered_for_prometheus() {
    let (metrics, recorder) = Metrics::detached();
    metrics::with_local_recorder(&recorder, || metrics::counter!("asked_total").increment(3));
    let server = start(settings(), &Readiness::new(), metrics);
    let answer = server.get("/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("asked_total 3"), "{answer}");
    assert!(server.get("/else").await.starts_with("HTTP/1.1 404 "));
    server.stop().await;
}

#[tokio::test]
async fn every_answer_ends_its_connection_also_that_there_is_nothing() {
    let server = start_with(settings());
    for path in ["/healthz", "/else", "/ward/", "/pulseward.v1.AlertService/WatchAlerts"] {
        let answer = server.get(path).await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = start_with(settings());
    let settings = Settings { listen: server.address, ..settings() };
    let refused = Server::bind(settings, Readiness::new(), Metrics::detached().0);
    let expected = format!("can't listen for HTTP on {}", server.address);
    assert_eq!(refused.err().expect("taken").to_string(), expected);
    server.stop().await;
}

#[tokio::test]
async fn a_ward_page_that_must_not_be_served_says_why_and_health_is_told() {
    for (shut, told) in [
        (Shut::Plaintext, "certificate and key in [http.tls], or [http] allow_plaintext = true"),
        (Shut::NoAuthentication, "mode = \"none\""),
        (Shut::CertificatesOnly, "mode = \"certificates\""),
    ] {
        let server = start_with(Settings { ward: Ward::Shut(shut), ..settings() });
        for path in ["/", "/ward", "/ward/", "/ward/index.html", "/pulseward.v1.A/B"] {
            let answer = server.get(path).await;
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(told), "{answer}");
            assert!(answer.contains("text/plain") && !answer.contains("<html"), "{answer}");
        }
        check(&server.get("/healthz").await, 200, "ok\n");
        assert!(server.get("/else").await.starts_with("HTTP/1.1 404 "));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_flood_of_connections_that_say_nothing_keeps_nobody_from_asking() {
    let server = start_with(settings());
    let began = tokio::time::Instant::now();
    let mut silent = Vec::new();
    for _ in 0..places::WAITING_MAX + 64 {
        let mut stream = TcpStream::connect(server.address).await.expect("listens");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHos").await.expect("sent");
        silent.push(stream);
    }
    check(&server.get("/healthz").await, 200, "ok\n");
    let ended = silent[0].read(&mut [0]).await;
    assert!(ended.map_or(true, |count| count == 0), "the first was dropped for the last");
    assert!(began.elapsed() < places::FIRST_REQUEST_TIMEOUT, "and not for its time");
    server.stop().await;
}

#[tokio::test]
async fn connections_that_wait_do_not_hold_up_the_end() {
    let server = start_with(settings());
    let _silent = TcpStream::connect(server.address).await.expect("listens");
    check(&server.get("/healthz").await, 200, "ok\n");
    let began = tokio::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed() < places::HEALTH_TIMEOUT);
}

#[tokio::test]
async fn a_head_beyond_all_measure_is_refused() {
    let server = start_with(settings());
    let long = "x".repeat(128 << 10);
    let mut stream = TcpStream::connect(server.address).await.expect("listens");
    let request = format!("GET /healthz HTTP/1.1\r\nHost: here\r\nX: {long}\r\n\r\n");
    // The rest of it may meet a closed connection.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    check(&server.get("/healthz").await, 200, "ok\n");
    server.stop().await;
}

/// A server with a certificate.
struct Encrypted {
    authority: Authority,
    files: Files,
    keeper: Keeper<server::Files>,
    server: Running,
}

impl Encrypted {
    fn start() -> Self {
        let authority = Authority::new("the house");
        let files = Files::of(&authority, &authority.issue(&Issue::named("page")));
        let of = server::Files { pair: files.pair(), client_ca: None, protocols: PROTOCOLS };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let part = Readiness::new().register("http certificates");
        let (keeper, current) = Keeper::open("http", of, clock, part).expect("good files");
        let server = start_with(Settings { tls: Some(current), ..settings() });
        Self { authority, files, keeper, server }
    }

    async fn connect(&self, protocols: &'static [&'static [u8]]) -> TlsStream<TcpStream> {
        let files = client::Files { ca: Some(self.files.ca()), pair: None, protocols };
        let stream = TcpStream::connect(self.server.address).await.expect("listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let config = files.load().expect("good files").config;
        TlsConnector::from(config).connect(name, stream).await.expect("a handshake")
    }
}

fn spoken(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
}

#[tokio::test]
async fn over_tls_http_2_is_spoken_with_who_can_and_http_1_with_others() {
    let house = Encrypted::start();
    let stream = house.connect(&[b"h2", b"http/1.1"]).await;
    assert_eq!(spoken(&stream).as_deref(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = hyper::Request::get("https://localhost/healthz");
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("answered, on the same connection");
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        assert!(answer.headers().get(CONNECTION).is_none());
        assert_eq!(answer.into_body().collect().await.expect("told").to_bytes(), "ok\n");
    }
    drop(sender);
    connection.await.expect("no panic").expect("ended in order");

    const OLDER: &[&[u8]] = &[b"http/1.1"];
    for protocols in [OLDER, &[]] {
        let mut stream = house.connect(protocols).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        check(&answer, 200, "ok\n");
    }
    house.server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_to_the_next_browser() {
    let mut house = Encrypted::start();
    let shown = |stream: TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().expect("it has one")[0].to_vec()
    };
    let before = shown(house.connect(PROTOCOLS).await);
    let next = house.authority.issue(&Issue::named("page"));
    house.files.replace(&next);
    house.keeper.look().await;
    let after = shown(house.connect(PROTOCOLS).await);
    assert_ne!(before, after);
    assert_eq!(after, next.der().to_vec());
    house.server.stop().await;
}

#[tokio::test]
async fn without_tls_nobody_is_answered_where_it_is_spoken() {
    let house = Encrypted::start();
    let mut stream = TcpStream::connect(house.server.address).await.expect("listens");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    house.server.stop().await;
}
