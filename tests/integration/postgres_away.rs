//! The database away (V9): ingest, alarms, streams and the registry go on, only history is
//! unavailable, and every row is there once when the database is back (V6).

use pulseward_sim::enroll::Outcome;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::house::{House, assert_same};
use crate::support::postgres::{Database, PrivateServer};
use crate::support::publishing::Publishing;
use crate::support::recording::{Recording, SITE};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::support::watcher::Watcher;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_only_history_is_missing() {
    let recording = Recording::new(3, 4, 8 * 60);
    let third = recording.len() / 3;
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let mut house = House::start(Sql::Postgres(database)).await;
    house.enroll(&recording).await;
    let watcher = Watcher::new();
    let stream = watcher.follow(house.grpc_url().await).await;
    let mut publishing = Publishing::start(&house.broker.url(), recording.messages());

    publishing.allow(third);
    house.stored(recording.readings_of(third).len()).await;
    server.stop();
    house.until_store_is("degraded").await;
    publishing.allow(2 * third);
    publishing.acknowledged(2 * third).await;
    watcher.until_events(recording.events_of(2 * third).len()).await;
    assert_same(&watcher.told().rows(), &recording.events_of(2 * third));
    check_history_is_unavailable(&house, &recording).await;
    let enrolled = house.enroller().await.patient("admitted-meanwhile", SITE).await;
    assert_eq!(enrolled.expect("the registry goes on"), Outcome::New);

    server.restart();
    house.stored(recording.readings_of(2 * third).len()).await;
    house.until_store_is("ready").await;
    assert_same(&house.stored_readings().await, &recording.readings_of(2 * third));

    // Now in the middle of writing, and not in order.
    publishing.allow(recording.len() - third / 2);
    let more_than = house.metric("pulseward_store_readings_total").await;
    wait_until("more to be stored", async || {
        house.metric("pulseward_store_readings_total").await > more_than
    })
    .await;
    server.kill();
    publishing.finish().await;
    watcher.until_events(recording.events().len()).await;
    house.until_store_is("degraded").await;
    server.restart();
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    drop(stream.await.expect("no panic"));
    house.check_stored(&recording).await;
    assert_same(&watcher.told().rows(), &recording.events());
    let patients = "SELECT count(*) FROM patients WHERE patient_id = 'admitted-meanwhile'";
    assert_eq!(house.sql.number(patients).await, 1);
}

async fn check_history_is_unavailable(house: &House, recording: &Recording) {
    let patient = Recording::patient_of(&recording.devices[0]);
    let status = house.list_readings(&patient).await.expect_err("nobody can read");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let info = status.get_details_error_info().expect("an error says its reason");
    assert_eq!(info.reason, "HISTORY_UNAVAILABLE");
    let (_, store) = house.ready().await;
    let reason = store["reason"].as_str().expect("a degraded part says why");
    assert!(reason.starts_with("away since "), "{reason}");
}
