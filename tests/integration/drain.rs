//! How a service ends and how it does not begin: SIGTERM drains, a data directory has one service,
//! and a database of another data directory is left alone.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::house::{House, assert_same};
use crate::support::journal::admitted;
use crate::support::publishing::{Publishing, publish};
use crate::support::recording::Recording;
use crate::support::service::{self, Service};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

/// The publishers never rest while the service ends.
const PAUSE: Duration = Duration::from_millis(1);
/// A passing test never spends it.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_told_to_end_under_load_stores_what_it_took_and_leaves_the_rest_at_the_broker() {
    let recording = Recording::new(4, 6, 8 * 60);
    let mut house = House::start(Sql::postgres().await).await;
    house.enroll(&recording).await;
    let (url, messages) = (house.broker.url(), recording.messages());
    let publishing = Publishing::start_paced(&url, messages, PAUSE);
    for share in [recording.len() / 3, recording.len() * 2 / 3, recording.len()] {
        publishing.allow(share);
        wait_until("work to be under way", async || {
            house.metric("pulseward_inputs_total{kind=\"publish\"}").await > 0.0
        })
        .await;
        let exit = house.service.terminate();
        assert!(exit.success(), "{exit}");
        check_everything_taken_is_stored(&house).await;
        house.service.restart().await;
    }
    publishing.finish().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    house.check_stored(&recording).await;
}

/// V6: after a drain, the rows in the store are the readings admitted in the journal.
async fn check_everything_taken_is_stored(house: &House) {
    let admitted = admitted(house.service.dir());
    assert_eq!(house.stored_readings().await.len(), admitted, "rows, of readings admitted");
    let log = house.service.log();
    let last = log.lines().last().expect("it logs");
    assert!(last.contains("\"stopped\""), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_data_says_so_and_ends_and_the_first_goes_on() {
    let recording = Recording::new(5, 1, 60);
    let house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    let journal = house.service.dir().join("journal");
    let mut second = Service::launch(&service::Settings {
        mqtt_url: house.broker.url(),
        store_url: None,
        environment: vec![("PULSEWARD_JOURNAL__DIR", journal.display().to_string())],
    });
    assert_eq!(second.wait().code(), Some(1));
    let expected = format!("{} is locked: another process holds it", journal.display());
    assert!(second.log().contains(&expected), "{}", second.log());

    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_told_to_end_while_it_opens_its_journal_does_so_at_once() {
    let dir = TempDir::with_prefix("journal-").expect("temporary directory");
    // Whoever reads a pipe waits until something is written to it, and that never happens here.
    let pipe = dir.path().join("format");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let mut service = Service::launch(&service::Settings {
        mqtt_url: "mqtt://127.0.0.1:1".to_owned(),
        store_url: None,
        environment: vec![("PULSEWARD_JOURNAL__DIR", dir.path().display().to_string())],
    });
    // Opened as soon as it is read.
    let opening = spawn_blocking(move || File::options().write(true).open(pipe));
    let opened = timeout(PATIENCE, opening).await.expect("it is read").expect("no panic");
    let exit = service.terminate();
    assert!(exit.success(), "{exit}");
    drop(opened.expect("opened"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_journal_is_left_alone_and_alarms_go_on() {
    let first_recording = Recording::new(6, 1, 60);
    let mut first = House::start(Sql::postgres().await).await;
    first.enroll(&first_recording).await;
    publish(&first.broker.url(), first_recording.messages()).await;
    first.stored(first_recording.readings().len()).await;
    assert!(first.service.terminate().success());

    let House { sql, broker: _broker, service: _service } = first;
    let recording = Recording::new(7, 3, 4 * 60);
    let mut second = House::start(sql).await;
    second.until_store_is("degraded").await;
    let (_, store) = second.ready().await;
    let reason = store["reason"].as_str().expect("a degraded part says why");
    assert!(reason.contains("the database holds rows of journal"), "{reason}");
    assert!(
        second.service.log().contains("set [store] url to the database of this data directory")
    );
    second.enroll(&recording).await;
    let watcher = Watcher::new();
    let stream = watcher.follow(second.grpc_url().await).await;
    publish(&second.broker.url(), recording.messages()).await;
    assert!(recording.events().len() > 3);
    watcher.until_events(recording.events().len()).await;
    assert_same(&watcher.told().rows(), &recording.events());

    // What could not be stored is no success, and is kept for the right database.
    assert_eq!(second.service.terminate().code(), Some(1));
    drop(stream.await.expect("no panic"));
    assert_eq!(admitted(second.service.dir()), recording.readings().len());
    assert_same(&second.stored_readings().await, &first_recording.readings());
}

/// A client that holds a call open must not hold up the end of the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_ends_does_not_keep_the_service_from_ending() {
    let mut house = House::start(Sql::sqlite()).await;
    let channel = tonic::transport::Endpoint::from_shared(house.grpc_url().await)
        .expect("a URL")
        .connect()
        .await
        .expect("it listens");
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(channel);
    let nothing = tokio_stream::pending();
    let held = reflection.server_reflection_info(nothing).await.expect("it answers");
    let exit = house.service.terminate();
    assert!(exit.success(), "{exit}");
    drop(held);
}
