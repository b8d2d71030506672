//! The door's life: where it opens, what it lets through, and how it closes.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::create_site;
use super::fakes::{FakeStore, connect, open, open_with, parts, settings};
use crate::engine::audit::Access;
use crate::engine::input::Command;
use crate::engine::output::{Refusal, Reply};
use crate::engine::query::Query;
use crate::grpc::{Closed, Commands, Error, Parts, Server, Settings};
use crate::proto::v1::registry_service_client::RegistryServiceClient;

/// An engine that takes each command and holds its answer back.
pub(super) struct Slow {
    pub(super) asked: Semaphore,
    pub(super) released: Semaphore,
}

#[tonic::async_trait]
impl Commands for Slow {
    async fn submit(&self, _command: Command) -> Result<Reply, Closed> {
        self.asked.add_permits(1);
        self.released.acquire().await.expect("never closed").forget();
        Ok(Err(Refusal::AlreadyExists { kind: "site", id: "north".to_owned() }))
    }

    async fn record(&self, _access: Access) -> Result<Reply, Closed> {
        Err(Closed)
    }

    async fn query(&self, _query: Query) -> Result<Reply, Closed> {
        Err(Closed)
    }
}

pub(super) fn slow() -> (Arc<Slow>, Parts) {
    let engine = Arc::new(Slow { asked: Semaphore::new(0), released: Semaphore::new(0) });
    let parts = parts(engine.clone(), Arc::new(FakeStore::new()));
    (engine, parts)
}

#[tokio::test]
async fn without_authentication_the_door_stays_shut_to_other_machines() {
    let listen = "0.0.0.0:0".parse().expect("an address");
    let error = Server::build(Settings::new(listen), slow().1).err().expect("refused");
    assert!(matches!(error, Error::NotLoopback { .. }));
    assert!(error.to_string().contains("0.0.0.0:0 without authentication"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("bound");
    let error = Server::build(Settings::new(listen), slow().1).err().expect("taken");
    assert!(matches!(error, Error::Listen { listen: named, .. } if named == listen), "{error}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let door = open_with(Settings { message_bytes_max: 256, ..settings() }).await;
    let mut request = create_site();
    request.display_name = "x".repeat(300);
    let status = door.registry().create_site(request).await.expect_err("too long");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    door.close().await;
}

#[tokio::test]
async fn a_call_that_is_never_answered_ends() {
    let (_, parts) = slow();
    let settings = Settings { call_timeout: Duration::from_millis(1), ..settings() };
    let server = Server::build(settings, parts).expect("a free port");
    let mut client = RegistryServiceClient::new(connect(server.local_addr()));
    let cancel = CancellationToken::new();
    let running = tokio::spawn(server.run(cancel.clone()));
    let status = client.create_site(create_site()).await.expect_err("too late");
    assert_eq!(status.code(), Code::Cancelled, "{status}");
    cancel.cancel();
    running.await.expect("does not panic").expect("ends well");
}

#[tokio::test]
async fn services_are_healthy_until_the_server_stops_and_its_watchers_are_told() {
    let door = open().await;
    let mut health = HealthClient::new(door.channel.clone());
    for service in ["", "pulseward.v1.AlertService", "pulseward.v1.VitalsService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let health = health.check(request).await.expect("known").into_inner();
        assert_eq!(health.status, ServingStatus::Serving as i32, "{service}");
    }
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.expect("known").into_inner();
    let first = watch.next().await.expect("a status").expect("no error");
    assert_eq!(first.status, ServingStatus::Serving as i32);
    door.cancel.cancel();
    let last = watch.next().await.expect("a status").expect("no error");
    assert_eq!(last.status, ServingStatus::NotServing as i32);
    assert!(watch.next().await.is_none(), "the stream ends");
    door.close().await;
}

/// A server with `drain_timeout`, told to stop while a call is under way.
async fn stop_during_a_call(
    drain_timeout: Duration,
) -> (Arc<Slow>, JoinHandle<Result<(), Error>>, JoinHandle<Result<(), Status>>) {
    let (engine, parts) = slow();
    let settings = Settings { drain_timeout, ..settings() };
    let server = Server::build(settings, parts).expect("a free port");
    let mut client = RegistryServiceClient::new(connect(server.local_addr()));
    let cancel = CancellationToken::new();
    let running = tokio::spawn(server.run(cancel.clone()));
    let call = tokio::spawn(async move { client.create_site(create_site()).await.map(|_| ()) });
    engine.asked.acquire().await.expect("never closed").forget();
    cancel.cancel();
    (engine, running, call)
}

#[tokio::test]
async fn a_call_under_way_when_the_server_stops_is_answered() {
    let (engine, running, call) = stop_during_a_call(Duration::from_secs(60)).await;
    engine.released.add_permits(1);
    let status = call.await.expect("does not panic").expect_err("refused");
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    running.await.expect("does not panic").expect("ends well");
}

#[tokio::test]
async fn a_call_that_does_not_end_is_left_behind_at_the_deadline() {
    let (_engine, running, call) = stop_during_a_call(Duration::ZERO).await;
    running.await.expect("does not panic").expect("ends well");
    assert!(!call.is_finished());
}

#[tokio::test]
async fn a_closed_door_takes_no_call() {
    let door = open().await;
    let mut registry = door.registry();
    door.close().await;
    let status = registry.create_site(create_site()).await.expect_err("closed");
    assert_eq!(status.code(), Code::Unavailable);
}
