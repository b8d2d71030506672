//! The life of the process, as whoever runs it sees it: the page that a start prints, the
//! configuration that is read again, and what systemd hears.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::house::House;
use crate::support::mosquitto::Mosquitto;
use crate::support::publishing::publish;
use crate::support::recording::Recording;
use crate::support::service::{Service, Settings};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

/// A passing test never waits that long for a datagram.
const PATIENCE: Duration = Duration::from_secs(30);
const READ_AGAIN: &str = "the configuration was read again";
const PARTLY: &str =
    "the configuration was read again; what waits for the next start has not changed";
const OVERRIDDEN: &str =
    "the configuration was read again; RUST_LOG stays in the place of log.level";
const WRONG: &str = "the configuration was read again and is wrong: nothing has changed";

fn settings(broker: &Mosquitto) -> Settings {
    Settings { mqtt_url: broker.url(), store_url: None, environment: Vec::new() }
}

#[tokio::test]
async fn a_start_says_on_one_page_what_it_is_connected_to() {
    let broker = Mosquitto::start();
    let service = Service::start(&settings(&broker)).await;
    let told = service.logged("started", 0).await;
    let page = told["page"].as_str().expect("a text");
    for said in [&broker.url(), "readings.sqlite", "0 patients, 0 open alerts", "/readyz"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(told["standing"].as_str().expect("a text").starts_with("ready after "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_ingest_change_while_the_service_runs_and_hold_after_a_crash() {
    let recording = Recording::new(11, 2, 60);
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    house.service.reload(|text| text + "[ingest]\nbatch_readings_max = 1\n");
    let told = house.service.logged(READ_AGAIN, 0).await;
    assert_eq!(told["in_force"], "ingest.batch_readings_max");
    publish(&house.broker.url(), recording.messages()).await;
    let refused = "pulseward_rejects_total{reason=\"too_many_readings\"}";
    wait_until("batches to be refused", async || house.metric(refused).await > 0.0).await;
    assert_eq!(house.sql.number("SELECT count(*) FROM readings").await, 0);

    // What was journaled is replayed under the bounds of its time: nothing of it is admitted now.
    house.service.reload(|text| text.replace("batch_readings_max = 1\n", ""));
    let told = house.service.logged(READ_AGAIN, 1).await;
    assert_eq!(told["in_force"], "ingest.batch_readings_max");
    house.service.restart().await;
    assert_eq!(house.sql.number("SELECT count(*) FROM readings").await, 0);
    publish(&house.broker.url(), recording.messages()).await;
    house.stored(recording.readings().len()).await;
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_named_and_what_is_wrong_changes_nothing() {
    let broker = Mosquitto::start();
    let mut service = Service::start(&settings(&broker)).await;
    service
        .reload(|text| text.replace("[log]\n", "[log]\nlevel = \"debug\"\n[ingest]\nbatch = 1\n"));
    let told = service.logged(WRONG, 0).await;
    let reason = told["reason"].as_str().expect("a text");
    assert!(reason.contains("pulseward.toml:") && reason.contains("ingest.batch"), "{reason}");

    service.reload(|text| {
        text.replace("[ingest]\nbatch = 1\n", "").replace("[mqtt]\n", "[mqtt]\nclient_id = \"b\"\n")
    });
    let told = service.logged(PARTLY, 0).await;
    assert_eq!(told["in_force"], "log.level");
    assert_eq!(told["waiting_for_start"], "mqtt.client_id");
    assert!(service.terminate().success(), "{}", service.log());
}

#[tokio::test]
async fn a_level_of_the_log_in_whose_place_rust_log_stands_is_not_said_to_be_in_force() {
    let broker = Mosquitto::start();
    let environment = vec![("RUST_LOG", "info".to_owned())];
    let mut service = Service::start(&Settings { environment, ..settings(&broker) }).await;
    service.reload(|text| text.replace("[log]\n", "[log]\nlevel = \"error\"\n"));
    let told = service.logged(OVERRIDDEN, 0).await;
    assert_eq!((&told["in_force"], &told["rust_log"]), (&"".into(), &"info".into()), "{told}");
    assert!(service.terminate().success(), "{}", service.log());
    assert!(service.log().contains("\"stopped\""), "it logs as RUST_LOG says");
}

#[tokio::test]
async fn systemd_hears_that_it_runs_how_it_stands_and_that_it_stops() {
    let dir = tempfile::TempDir::with_prefix("notify-").expect("temporary directory");
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let broker = Mosquitto::start();
    let environment = vec![("NOTIFY_SOCKET", path.display().to_string())];
    let mut service = Service::start(&Settings { environment, ..settings(&broker) }).await;
    let first = heard(&socket);
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    while !heard(&socket).contains("STATUS=ready") {}
    assert!(heard(&socket).contains("WATCHDOG=1"));
    assert!(service.terminate().success());
    socket.set_nonblocking(true).expect("set");
    let rest: Vec<_> = std::iter::from_fn(|| received(&socket)).collect();
    let last = rest.last().expect("it says that it stops");
    assert!(last.starts_with("STOPPING=1\nSTATUS=stopping"), "{last}");
}

fn heard(socket: &UnixDatagram) -> String {
    received(socket).expect("systemd hears of it")
}

fn received(socket: &UnixDatagram) -> Option<String> {
    let mut datagram = [0; 4096];
    let length = socket.recv(&mut datagram).ok()?;
    Some(String::from_utf8_lossy(&datagram[..length]).into_owned())
}
