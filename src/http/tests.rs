//! The server as probes and Prometheus meet it, over real connections.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    ended: JoinHandle<Result<(), Error>>,
}

async fn start(readiness: &Readiness, metrics: Metrics) -> Running {
    let settings = Settings { listen: (Ipv4Addr::LOCALHOST, 0).into() };
    let server = Server::bind(&settings, readiness.clone(), metrics).await.expect("port 0 is free");
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let ended = tokio::spawn(server.run(cancel.clone()));
    Running { address, cancel, ended }
}

impl Running {
    /// The whole answer to `GET path`; the server ends the connection.
    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.ended.await.expect("does not panic").expect("ends in order");
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
    let server = start(&readiness, Metrics::detached().0).await;
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
    let server = start(&Readiness::new(), metrics).await;
    let answer = server.get("/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("asked_total 3"), "{answer}");
    assert!(server.get("/else").await.starts_with("HTTP/1.1 404 "));
    server.stop().await;
}

#[tokio::test]
async fn every_answer_ends_its_connection_also_that_there_is_nothing() {
    let server = start(&Readiness::new(), Metrics::detached().0).await;
    for path in ["/healthz", "/else"] {
        let answer = server.get(path).await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let readiness = Readiness::new();
    let server = start(&readiness, Metrics::detached().0).await;
    let settings = Settings { listen: server.address };
    let refused = Server::bind(&settings, readiness.clone(), Metrics::detached().0).await;
    let expected = format!("can't listen for HTTP on {}", server.address);
    assert_eq!(refused.expect_err("taken").to_string(), expected);
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_one_to_end() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("port 0 is free");
    let address = listener.local_addr().expect("bound");
    let mut limited = Limited::new(listener, 1, CONNECTION_DEADLINE);
    let (_first_client, _second_client) =
        (TcpStream::connect(address).await, TcpStream::connect(address).await);

    let (first, _) = axum::serve::Listener::accept(&mut limited).await;
    {
        let mut second = std::pin::pin!(axum::serve::Listener::accept(&mut limited));
        tokio::select! {
            biased;
            _ = &mut second => panic!("accepted over the limit"),
            () = tokio::task::yield_now() => drop(first),
        }
        second.await;
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_broken_off() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("port 0 is free");
    let address = listener.local_addr().expect("bound");
    let mut limited = Limited::new(listener, 1, Duration::from_millis(20));
    let _silent = TcpStream::connect(address).await.expect("listens");
    let (mut connection, _) = axum::serve::Listener::accept(&mut limited).await;
    let read = connection.read_u8().await;
    assert_eq!(read.expect_err("nothing comes").kind(), std::io::ErrorKind::TimedOut);
}
