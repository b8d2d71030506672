//! Who read what, through the whole house: nobody is answered what is not on record, wherever the
//! service is killed and whether or not the database is there; and the record is verified by the
//! program that people use.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pulseward::proto::v1;
use pulseward::proto::v1::audit_service_client::AuditServiceClient;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::house::House;
use crate::support::postgres::{Database, PrivateServer};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

const SITE: &str = "icu";
const PATIENT: &str = "patient-1";
/// Clinicians who read at once.
const READERS: usize = 8;
/// Answers after which the service is killed.
const ANSWERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_on_record_when_the_service_is_killed_on_postgres() {
    what_was_read_is_on_record(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_on_record_when_the_service_is_killed_on_sqlite() {
    what_was_read_is_on_record(Sql::sqlite()).await;
}

async fn what_was_read_is_on_record(sql: Sql) {
    let mut house = enrolled(sql).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (channel, answered) = (channel(&house).await, Arc::clone(&answered));
        readers.spawn(async move {
            while read(&channel).await.is_ok() {
                count(&answered);
            }
        });
    }
    wait_until("enough to be answered", async || answered.load(Ordering::SeqCst) >= ANSWERS).await;
    house.service.kill9();
    readers.join_all().await;
    let answered = answered.load(Ordering::SeqCst);
    house.service.restart().await;

    let reads = "SELECT count(*) FROM audit_events
        WHERE method = 'pulseward.v1.RegistryService/GetPatient' AND outcome = 'done'";
    wait_until("what was answered to be stored", async || {
        house.sql.number(reads).await >= answered
    })
    .await;
    let on_record = house.sql.number(reads).await;
    assert!(on_record <= answered + READERS, "{on_record} on record of {answered} answered");
    read(&channel(&house).await).await.expect("it goes on");
    wait_until("the next to be stored", async || house.sql.number(reads).await > on_record).await;
    let dense = "SELECT max(number) - count(*) FROM audit_events";
    assert_eq!(house.sql.number(dense).await, 0);
    check_verification(&mut house).await;
}

/// The chain holds; and what is changed in it is named.
async fn check_verification(house: &mut House) {
    let output = verify(house, &[]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let head = told.lines().find_map(|line| line.strip_prefix("head ")).expect("a head").to_owned();
    assert!(house.service.terminate().success(), "nobody writes meanwhile");
    execute(house, "UPDATE audit_events SET subject = 'somebody' WHERE number = 5").await;
    let output = verify(house, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("partition 0 is broken: event 5 was changed"), "{told}");
    execute(house, "UPDATE audit_events SET subject = 'anonymous' WHERE number = 5").await;
    assert!(verify(house, &["--head", &head]).status.success());
    let kept = house.service.dir().join("heads").display().to_string();
    for _ in 0..2 {
        assert!(verify(house, &["--heads", &kept]).status.success());
    }
    let heads = std::fs::read_to_string(&kept).expect("written");
    assert_eq!(heads, format!("{head}\n"), "once, because nothing has happened since");
    let last = head.split(':').nth(1).expect("a number");
    execute(house, &format!("DELETE FROM audit_events WHERE number = {last}")).await;
    assert!(verify(house, &[]).status.success(), "nobody can know without the head");
    let output = verify(house, &["--head", &head]);
    assert!(text(&output.stderr).contains("events were deleted"), "{output:?}");
    let output = verify(house, &["--heads", &kept]);
    assert!(text(&output.stderr).contains("events were deleted"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&kept).expect("there"), heads, "and nothing was added");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_calls_go_on_record_and_are_listed_when_it_is_back() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let house = enrolled(Sql::Postgres(database)).await;
    server.stop();
    house.until_store_is("degraded").await;
    read(&channel(&house).await).await.expect("the registry answers");
    let history = house.list_readings(PATIENT).await.expect_err("history is away");
    assert_eq!(history.code(), Code::Unavailable, "{history}");
    server.restart();
    house.until_store_is("ready").await;

    let mut auditor = AuditServiceClient::new(channel(&house).await);
    let request = v1::ListAuditEventsRequest {
        patient_id: PATIENT.to_owned(),
        ..v1::ListAuditEventsRequest::default()
    };
    wait_until("both to be listed", async || {
        let page = auditor.list_audit_events(request.clone()).await.expect("a page").into_inner();
        let told = |event: &v1::AuditEvent| {
            let method = event.method.rsplit('/').next().unwrap_or_default().to_owned();
            (method, event.outcome(), event.reason.clone())
        };
        let told: Vec<_> = page.events.iter().map(told).collect();
        let read = ("GetPatient".to_owned(), v1::AuditOutcome::Done, String::new());
        let failed = v1::AuditOutcome::Failed;
        let away = ("ListReadings".to_owned(), failed, "HISTORY_UNAVAILABLE".to_owned());
        told.contains(&read) && told.contains(&away)
    })
    .await;
}

/// A house with one patient.
async fn enrolled(sql: Sql) -> House {
    let house = House::start(sql).await;
    let mut enroller = house.enroller().await;
    enroller.site(SITE, "Intensive care").await.expect("site");
    enroller.patient(PATIENT, SITE).await.expect("patient");
    house
}

async fn channel(house: &House) -> Channel {
    Endpoint::from_shared(house.grpc_url().await).expect("an address").connect_lazy()
}

async fn read(channel: &Channel) -> Result<v1::Patient, tonic::Status> {
    let mut client = RegistryServiceClient::new(channel.clone());
    let request = v1::GetPatientRequest { patient_id: PATIENT.to_owned() };
    client.get_patient(request).await.map(tonic::Response::into_inner)
}

fn count(answered: &AtomicUsize) {
    answered.fetch_add(1, Ordering::SeqCst);
}

/// Changes what is stored behind the service's back.
async fn execute(house: &House, sql: &str) {
    house.sql.rows(&format!("{sql} RETURNING number")).await;
}

fn verify(house: &House, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    command.args(["audit", "verify", "--config"]).arg(house.service.dir().join("pulseward.toml"));
    command.args(options).output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}
