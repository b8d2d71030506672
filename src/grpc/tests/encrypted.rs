//! The door over TLS: who comes in, as whom, and what happens when certificates are replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::fakes::{FakeEngine, FakeStore, parts, settings};
use super::{create_site, done, site_row};
use crate::clock::{Clock, SystemClock};
use crate::engine::input::{Role, Sites};
use crate::grpc::auth::certificate::{Caller, Callers};
use crate::grpc::{Error, PROTOCOLS, Server, Settings};
use crate::grpc_client::{Connection, Service};
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::readiness::Readiness;
use crate::telemetry::with_causes;
use crate::tls::trial::{Authority, Files, Issue, Issued};
use crate::tls::{Current, Keeper, Load as _, client, server};

const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A door with a certificate of one authority, whose callers have those of another.
struct House {
    authority: Authority,
    callers: Authority,
    files: Files,
    keeper: Keeper<server::Files>,
    engine: Arc<FakeEngine>,
    address: SocketAddr,
    cancel: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

fn keep(files: &Files) -> (Keeper<server::Files>, Current<ServerConfig>) {
    let client_ca = Some(files.path("callers.pem"));
    let files = server::Files { pair: files.pair(), client_ca, protocols: PROTOCOLS };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let part = Readiness::new().register("grpc certificates");
    Keeper::open("grpc", files, clock, part).expect("good files")
}

fn listed() -> Callers {
    let name = "DNS:dash.ward.example".parse().expect("a name");
    [Caller { name, role: Role::Admin, sites: Sites::All }].into_iter().collect()
}

impl House {
    fn open() -> Self {
        let (authority, callers) = (Authority::new("the house"), Authority::new("the callers"));
        let files = Files::of(&authority, &authority.issue(&Issue::named("door")));
        files.write("callers.pem", &callers.pem());
        let (keeper, current) = keep(&files);
        let engine = FakeEngine::new();
        let settings = Settings { tls: Some(current), certificates: listed(), ..settings() };
        let server = Server::build(settings, parts(engine.clone(), Arc::new(FakeStore::new())));
        let server = server.expect("a free port");
        let (address, cancel) = (server.local_addr(), CancellationToken::new());
        let running = tokio::spawn(server.run(cancel.clone()));
        Self { authority, callers, files, keeper, engine, address, cancel, running }
    }

    /// Whoever trusts the house, and shows nothing.
    fn service(&self) -> Service {
        let url = format!("https://localhost:{}", self.address.port());
        Service { ca: Some(self.files.ca()), ..Service::at(url) }
    }

    /// Whoever shows this certificate.
    fn showing(&self, shown: &Issued) -> Service {
        self.files.write("caller.pem", &shown.certificate_pem());
        self.files.write("caller.key", &shown.key_pem());
        let certificate = Some(self.files.path("caller.pem"));
        Service { certificate, key: Some(self.files.path("caller.key")), ..self.service() }
    }

    /// The certificate that a new connection sees.
    async fn shown(&self) -> Vec<u8> {
        let files = client::Files { ca: Some(self.files.ca()), pair: None, protocols: PROTOCOLS };
        let config = files.load().expect("good files").config;
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(config).connect(name, stream).await.expect("a handshake");
        let chain = stream.get_ref().1.peer_certificates().expect("it has one");
        chain[0].to_vec()
    }

    async fn close(self) {
        self.cancel.cancel();
        self.running.await.expect("does not panic").expect("ends well");
    }
}

async fn connect(service: &Service) -> RegistryServiceClient<Connection> {
    let connection = service.connect(CALL_TIMEOUT).await;
    RegistryServiceClient::new(connection.unwrap_or_else(|error| panic!("{}", with_causes(&error))))
}

#[tokio::test]
async fn a_call_over_tls_is_answered_and_known_by_its_address() {
    let house = House::open();
    house.engine.answer(Ok(Ok(done(site_row()))));
    connect(&house.service()).await.create_site(create_site()).await.expect("answered");
    let command = house.engine.seen().remove(0);
    assert!(command.origin.peer.starts_with("127.0.0.1:"), "{:?}", command.origin.peer);
    house.close().await;
}

#[tokio::test]
async fn who_is_listed_is_known_by_their_certificate() {
    let house = House::open();
    let names: &[&str] = &["dash.ward.example"];
    let shown = house.callers.issue(&Issue { dns: names, ..Issue::named("dash") });
    house.engine.answer(Ok(Ok(done(site_row()))));
    let mut registry = connect(&house.showing(&shown)).await;
    registry.create_site(create_site()).await.expect("answered");
    assert_eq!(house.engine.seen()[0].principal.subject, "DNS:dash.ward.example");
    house.close().await;
}

#[tokio::test]
async fn a_certificate_of_nobody_who_is_listed_lets_nobody_in() {
    let house = House::open();
    let shown = house.callers.issue(&Issue::named("dash.ward.example"));
    let mut registry = connect(&house.showing(&shown)).await;
    let status = registry.create_site(create_site()).await.expect_err("not listed");
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(house.engine.seen().is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_the_caller_hears_why() {
    let house = House::open();
    let stranger = Authority::new("a stranger");
    let names: &[&str] = &["dash.ward.example"];
    let shown = stranger.issue(&Issue { dns: names, ..Issue::named("dash") });
    let told = match house.showing(&shown).connect(CALL_TIMEOUT).await {
        Err(error) => with_causes(&error),
        // With TLS 1.3 the refusal may come after the handshake, with the first call.
        Ok(connection) => {
            let mut registry = RegistryServiceClient::new(connection);
            let status = registry.create_site(create_site()).await.expect_err("refused");
            with_causes(&status)
        }
    };
    assert!(told.contains("UnknownCA"), "{told}");
    assert!(house.engine.seen().is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_service_of_another_authority_or_name_is_not_believed_and_the_reason_told() {
    let house = House::open();
    // Also one that calls itself the same.
    for name in ["a stranger", "the house"] {
        house.files.write("other.pem", &Authority::new(name).pem());
        let other = Service { ca: Some(house.files.path("other.pem")), ..house.service() };
        let error = other.connect(CALL_TIMEOUT).await.map(drop).expect_err("not trusted");
        let told = with_causes(&error);
        assert!(told.contains("issued by none of the authorities that are trusted"), "{told}");
    }

    let url = format!("https://127.0.0.1:{}", house.address.port());
    let by_address = Service { url, ..house.service() };
    let error = by_address.connect(CALL_TIMEOUT).await.map(drop).expect_err("another name");
    let told = with_causes(&error);
    assert!(told.contains("not valid for name \"127.0.0.1\""), "{told}");
    house.close().await;
}

#[tokio::test]
async fn a_new_connection_sees_the_new_certificate_while_an_old_stream_goes_on() {
    let mut house = House::open();
    let connection = house.service().connect(CALL_TIMEOUT).await.expect("connects");
    let mut health = HealthClient::new(connection);
    let watching = health.watch(HealthCheckRequest::default()).await.expect("watches");
    let mut watching = watching.into_inner();
    watching.message().await.expect("open").expect("how it is now");
    let before = house.shown().await;

    let next = house.authority.issue(&Issue::named("door, renewed"));
    house.files.replace(&next);
    house.keeper.look().await;
    let after = house.shown().await;
    assert_ne!(before, after);
    assert_eq!(after, next.der().to_vec());
    // The stream tells what happens next, which is the end.
    house.cancel.cancel();
    assert!(watching.message().await.expect("still open").is_some());
    drop((watching, health));
    house.close().await;
}

#[tokio::test]
async fn a_caller_without_tls_is_not_answered() {
    let house = House::open();
    let service = Service::at(format!("http://{}", house.address));
    match service.connect(CALL_TIMEOUT).await {
        Err(_) => {}
        Ok(connection) => {
            let mut registry = RegistryServiceClient::new(connection);
            registry.create_site(create_site()).await.expect_err("no TLS");
        }
    }
    assert!(house.engine.seen().is_empty());
    house.close().await;
}

#[test]
fn other_machines_are_not_answered_in_plain_text_unless_that_is_said() {
    let at = |listen: &str| Settings::new(listen.parse().expect("an address"));
    assert!(at("127.0.0.1:1").is_confidential() && at("[::1]:1").is_confidential());
    assert!(!at("0.0.0.0:1").is_confidential() && !at("192.0.2.7:1").is_confidential());
    assert!(Settings { allow_plaintext: true, ..at("0.0.0.0:1") }.is_confidential());
}
