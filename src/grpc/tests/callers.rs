//! Who comes in, who does not, what they are told, and what is on record of it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1 as reflection;

use super::fakes::{Door, open_by, open_with, settings};
use super::tokens::{SECRET, Signer, claims, expected};
use super::*;
use crate::clock::{Clock, SystemClock};
use crate::config::Secret;
use crate::engine::audit::{Access, Method, Outcome};
use crate::grpc::Settings;
use crate::grpc::auth::{Jwt, Limits, Mode};
use crate::hub::tests::{House, idle};
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::proto::v1::vitals_service_client::VitalsServiceClient;
use crate::store::ReadingsPage;

/// A door for those with a token.
pub(super) fn for_tokens() -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), SECRET).expect("written");
    let secret = Some(Secret::read(file.path()).expect("a secret"));
    let refresh = Duration::from_secs(600);
    let jwt = Jwt { expected: expected(), keys: None, refresh, secret };
    Settings { auth: Mode::Jwt(Box::new(jwt)), ..settings() }
}

fn limited(limits: Limits) -> Settings {
    Settings { limits, ..for_tokens() }
}

/// A token that says this instead of what good ones say.
pub(super) fn token(changes: &[(&str, Value)]) -> String {
    let mut claims = claims();
    for (claim, value) in changes {
        claims[*claim] = value.clone();
    }
    Signer::secret(SECRET).sign(&claims)
}

/// Puts a token on each call.
#[derive(Clone)]
struct Bearer(AsciiMetadataValue);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type With = InterceptedService<Channel, Bearer>;

fn with(door: &Door, token: &str) -> With {
    let value = format!("Bearer {token}").parse().expect("a value");
    InterceptedService::new(door.channel.clone(), Bearer(value))
}

async fn read(with: With) -> Result<v1::ListReadingsResponse, Status> {
    let answer = VitalsServiceClient::new(with).list_readings(list_readings()).await;
    answer.map(tonic::Response::into_inner)
}

fn no_readings(door: &Door) {
    door.history.answer(Ok(ReadingsPage { readings: vec![], next_page_token: None }));
}

async fn watch(with: With) -> Result<Streaming<v1::WatchAlertsResponse>, Status> {
    let request = v1::WatchAlertsRequest::default();
    let answer = AlertServiceClient::new(with).watch_alerts(request).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_caller_is_who_their_token_says() {
    let door = open_with(for_tokens()).await;
    no_readings(&door);
    read(with(&door, &token(&[]))).await.expect("let in");
    let sites = Sites::Only(vec![id("north")]);
    assert_eq!(door.history.seen()[0].sites, sites);
    let access = door.commands.recorded().remove(0);
    let principal = access.principal.expect("known");
    assert_eq!((&*principal.subject, principal.role), ("nora", Role::Clinician));
    assert_eq!(principal.sites, sites);
    door.close().await;
}

async fn check_refused(door: &Door, with: With, reason: &str) {
    let before = door.commands.recorded().len();
    let status = read(with).await.expect_err("not let in");
    check(&status, Code::Unauthenticated, reason);
    let recorded = door.commands.recorded();
    assert_eq!(recorded.len(), before + 1, "{reason}");
    let access = &recorded[before];
    assert_eq!((access.principal.as_ref(), access.outcome), (None, Outcome::Denied));
    assert_eq!((&*access.reason, access.method), (reason, Method::ListReadings));
    assert!(access.origin.peer.starts_with("127.0.0.1:"), "{}", access.origin.peer);
}

#[tokio::test]
async fn who_is_not_known_is_told_why_and_is_on_record_and_asks_nobody_anything() {
    let door = open_with(for_tokens()).await;
    let status = door.vitals().list_readings(list_readings()).await.expect_err("not let in");
    check(&status, Code::Unauthenticated, "TOKEN_MISSING");
    assert_eq!(door.commands.recorded()[0].reason, "TOKEN_MISSING");
    for (changes, reason) in [
        (("exp", json!(1)), "TOKEN_EXPIRED"),
        (("nbf", json!(claims()["exp"])), "TOKEN_NOT_YET_VALID"),
        (("aud", json!("other")), "TOKEN_AUDIENCE"),
        (("iss", json!("other")), "TOKEN_ISSUER"),
        (("role", json!("nurse")), "TOKEN_CLAIMS"),
    ] {
        check_refused(&door, with(&door, &token(&[changes])), reason).await;
    }
    check_refused(&door, with(&door, "abc"), "TOKEN_INVALID").await;
    let forged = Signer::secret("another secret of thirty-two bytes").sign(&claims());
    check_refused(&door, with(&door, &forged), "TOKEN_INVALID").await;
    assert_eq!(door.history.seen(), []);
    assert!(!format!("{:?}", door.commands.recorded()).contains(&forged));
    door.close().await;
}

#[tokio::test]
async fn a_refusal_that_cannot_go_on_record_is_answered_by_an_error() {
    let door = open_with(for_tokens()).await;
    door.commands.fill();
    let status = door.vitals().list_readings(list_readings()).await.expect_err("not let in");
    check(&status, Code::Unavailable, "JOURNAL_FULL");
    door.close().await;
}

#[tokio::test]
async fn without_any_keys_nobody_can_be_known_and_clients_are_to_try_again() {
    let Mode::Jwt(jwt) = for_tokens().auth else { panic!("tokens") };
    let nowhere = crate::grpc::auth::Source::File("/nowhere/jwks.json".into());
    let jwt = Jwt { keys: Some(nowhere), ..*jwt };
    let door = open_with(Settings { auth: Mode::Jwt(Box::new(jwt)), ..settings() }).await;
    let status = read(with(&door, &Signer::ed25519("k").sign(&claims()))).await;
    let status = status.expect_err("not let in");
    check(&status, Code::Unavailable, "KEYS_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some());
    door.close().await;
}

#[tokio::test]
async fn a_flood_of_strangers_is_counted_on_record_and_not_recorded_one_by_one() {
    let door = open_with(Settings { refusals_recorded_per_minute: 5, ..for_tokens() }).await;
    for _ in 0..20 {
        let status = door.vitals().list_readings(list_readings()).await.expect_err("not let in");
        check(&status, Code::Unauthenticated, "TOKEN_MISSING");
    }
    let commands = door.commands.clone();
    assert_eq!(commands.recorded().len(), 5);
    door.close().await;
    let told = commands.recorded().pop().expect("told when the door closes at the latest");
    assert_eq!((told.outcome, &*told.reason), (Outcome::Denied, "REFUSED_AND_COUNTED"));
    let text = "15 refused calls, of any kind, not recorded one by one: 15 from 127.0.0.1";
    assert_eq!((&*told.about.text, &*told.origin.peer), (text, "127.0.0.1"));
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back_and_others_are_served() {
    let slow = Limits { calls_per_second_max: 1, calls_burst_max: 2, ..Limits::default() };
    let door = open_by(Arc::new(Hand::still()), idle(), limited(slow)).await;
    let nora = token(&[("exp", json!(2_000_000_000))]);
    for _ in 0..2 {
        no_readings(&door);
        read(with(&door, &nora)).await.expect("served");
    }
    let status = read(with(&door, &nora)).await.expect_err("too often");
    check(&status, Code::ResourceExhausted, "TOO_MANY_CALLS");
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry_after, Some(Duration::from_secs(1)));
    let access = door.commands.recorded().pop().expect("on record");
    assert_eq!((access.outcome, &*access.reason), (Outcome::Failed, "TOO_MANY_CALLS"));
    assert_eq!(access.principal.expect("known").subject, "nora");
    no_readings(&door);
    let omar = token(&[("sub", json!("omar")), ("exp", json!(2_000_000_000))]);
    read(with(&door, &omar)).await.expect("another caller");
    door.close().await;
}

#[tokio::test]
async fn a_caller_has_so_many_streams_and_one_that_ends_makes_room() {
    let limits = Limits { streams_max: 2, ..Limits::default() };
    let house = House::new();
    let door = open_by(Arc::new(SystemClock), house.handle(), limited(limits)).await;
    let (nora, omar) = (token(&[]), token(&[("sub", json!("omar"))]));
    let _one = watch(with(&door, &nora)).await.expect("opened");
    let two = watch(with(&door, &nora)).await.expect("opened");
    let status = watch(with(&door, &nora)).await.expect_err("one too many");
    check(&status, Code::ResourceExhausted, "TOO_MANY_STREAMS_OF_CALLER");
    assert!(status.get_details_retry_info().is_some());
    let _other = watch(with(&door, &omar)).await.expect("another caller");
    drop(two);
    door.commands.recorded_in_time(5).await;
    let _again = watch(with(&door, &nora)).await.expect("there is room");
    door.stopping.cancel();
    door.close().await;
}

/// A clock that stands still until it is moved.
struct Hand(AtomicI64);

impl Hand {
    fn still() -> Self {
        Self(AtomicI64::new(SystemClock.now().micros()))
    }

    fn move_on(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).expect("a short time");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).expect("in range")
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_goes_on_with_a_new_one_where_it_ended() {
    let (clock, house) = (Arc::new(Hand::still()), House::new());
    let door = open_by(clock.clone(), house.handle(), for_tokens()).await;
    let nora = token(&[]);
    let mut stream = watch(with(&door, &nora)).await.expect("opened");
    let mut last = String::new();
    while last.is_empty() {
        let message = stream.next().await.expect("it goes on").expect("and well").message;
        if let Some(v1::watch_alerts_response::Message::Live(live)) = message {
            last = live.cursor;
        }
    }
    clock.move_on(Duration::from_secs(3600 + 29));
    let _still = watch(with(&door, &nora)).await.expect("good for the leeway");
    clock.move_on(Duration::from_secs(2));
    let ended = loop {
        if let Err(status) = stream.next().await.expect("it never just stops") {
            break status;
        }
    };
    check(&ended, Code::Unauthenticated, "TOKEN_EXPIRED");
    let info = ended.get_details_error_info().expect("a reason");
    assert_eq!(info.metadata["cursor"], last);
    let closed = |it: &Access| it.outcome == Outcome::Closed && it.reason == "TOKEN_EXPIRED";
    let recorded = door.commands.recorded_in_time(3).await;
    assert!(recorded.iter().any(closed), "{recorded:?}");
    let status = watch(with(&door, &nora)).await.expect_err("it is over");
    check(&status, Code::Unauthenticated, "TOKEN_EXPIRED");

    let fresh = token(&[("exp", json!(claims()["exp"].as_i64().expect("a time") + 3600))]);
    let request = v1::WatchAlertsRequest { resume_after: last, filter: None };
    let mut alerts = AlertServiceClient::new(with(&door, &fresh));
    let mut resumed = alerts.watch_alerts(request).await.expect("resumed").into_inner();
    let first = resumed.next().await.expect("it goes on").expect("and well").message;
    assert!(matches!(first, Some(v1::watch_alerts_response::Message::Live(_))), "{first:?}");
    door.stopping.cancel();
    door.close().await;
}

#[tokio::test]
async fn a_role_that_may_not_is_refused_before_anything_is_asked() {
    let door = open_with(for_tokens()).await;
    let auditor = token(&[("role", json!("auditor"))]);
    let status = read(with(&door, &auditor)).await.expect_err("not for auditors");
    check(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    let status = watch(with(&door, &auditor)).await.expect_err("not for auditors");
    check(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    let mut registry = RegistryServiceClient::new(with(&door, &token(&[])));
    let status = registry.create_site(create_site()).await.expect_err("not for clinicians");
    check(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    assert_eq!((door.history.seen(), door.commands.seen()), (vec![], vec![]));
    let recorded = door.commands.recorded();
    let outcomes: Vec<_> = recorded.iter().map(|it| (it.outcome, it.principal.is_some())).collect();
    assert_eq!(outcomes, [(Outcome::Denied, true); 3]);
    assert_eq!(recorded[0].about.patients, [id("p-1")]);
    door.close().await;
}

#[tokio::test]
async fn health_is_open_to_everybody_and_reflection_to_who_is_let_in() {
    let door = open_with(for_tokens()).await;
    let request = HealthCheckRequest { service: "pulseward.v1.AuditService".to_owned() };
    HealthClient::new(door.channel.clone()).check(request).await.expect("open");
    let list = || {
        let list = reflection::server_reflection_request::MessageRequest::ListServices("".into());
        tokio_stream::once(reflection::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(list),
        })
    };
    let mut strangers =
        reflection::server_reflection_client::ServerReflectionClient::new(door.channel.clone());
    let status = strangers.server_reflection_info(list()).await.expect_err("not for strangers");
    check(&status, Code::Unauthenticated, "TOKEN_MISSING");
    let known = with(&door, &token(&[]));
    let mut known = reflection::server_reflection_client::ServerReflectionClient::new(known);
    known.server_reflection_info(list()).await.expect("let in");
    door.close().await;
}

/// What a writer of logs was given.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // The test's runtime has this one thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let door = open_with(for_tokens()).await;
    no_readings(&door);
    let (good, expired) = (token(&[]), token(&[("exp", json!(1))]));
    read(with(&door, &good)).await.expect("let in");
    read(with(&door, &expired)).await.expect_err("not let in");
    tracing::info!("the log is heard");
    door.close().await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("the log is heard"));
    for token in [good, expired] {
        let parts: Vec<_> = token.split('.').collect();
        for part in [parts[1], parts[2]] {
            assert!(!logged.contains(part), "a part of a token is in the log");
        }
    }
}
