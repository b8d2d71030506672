//! Rows that the database refuses, under the real service: it goes on, and says how many there were.

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::recording::Recording;
use crate::support::sql::Sql;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_goes_on_and_tells_how_many_rows_were_refused() {
    let recording = Recording::new(8, 2, 60);
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    house.until_store_is("ready").await;
    house
        .sql
        .execute(
            "CREATE TRIGGER sane BEFORE INSERT ON readings WHEN NEW.vital = 1
             BEGIN SELECT RAISE(ABORT, 'no heart rates today'); END",
        )
        .await;
    publish(&house.broker.url(), recording.messages()).await;

    let rows = recording.readings();
    let refused = rows.iter().filter(|row| row.vital == "heart_rate").count();
    house.stored(rows.len() - refused).await;
    house.until_store_is("degraded").await;
    assert!(house.service.terminate().success());
    let kept = "SELECT count(*) FROM refused_rows WHERE table_name = 'readings'";
    assert_eq!(house.sql.number(kept).await, refused);
    assert_eq!(house.sql.number("SELECT count(*) FROM readings").await, rows.len() - refused);
    let log = house.service.log();
    assert!(log.contains("rows were refused, and set aside in refused_rows"), "{log}");
    assert!(!log.contains("no heart rates today"), "what may quote a row is not logged");
}
