//! Backups as docs/operations.md says: the database is put back as it was some time ago while the
//! data directory stays, and everything that is missing comes again, once.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::from_tests_run;
use crate::support::house::{House, assert_same};
use crate::support::postgres::Database;
use crate::support::publishing::Publishing;
use crate::support::recording::Recording;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_put_back_is_filled_up_from_the_journal() {
    let recording = Recording::new(5, 3, 3 * 60);
    let half = recording.len() / 2;
    let mut house = House::start(Sql::postgres().await).await;
    house.enroll(&recording).await;
    let publishing = Publishing::start(&house.broker.url(), recording.messages());
    publishing.allow(half);
    house.stored(recording.readings_of(half).len()).await;
    let dump = house.service.dir().join("pulseward.dump");
    // While the service writes.
    publishing.allow(half + half / 2);
    run("pg_dump", &["--format=custom", "--file", text(&dump), &house.sql.url()]);
    publishing.finish().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());

    let database = Database::create().await;
    run("pg_restore", &["--no-owner", "--dbname", &database.url(), text(&dump)]);
    house.sql = Sql::Postgres(database);
    let before = house.stored_readings().await.len();
    assert!(before < recording.readings().len(), "the dump is older");
    house.service.use_store(&house.sql.url());
    house.service.restart().await;
    house.stored(recording.readings().len()).await;
    house.until_store_is("ready").await;
    assert!(house.service.terminate().success());
    house.check_stored(&recording).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_file_that_is_put_back_is_filled_up_from_the_journal() {
    let recording = Recording::new(6, 3, 3 * 60);
    let half = recording.len() / 2;
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    let publishing = Publishing::start(&house.broker.url(), recording.messages());
    publishing.allow(half);
    house.stored(recording.readings_of(half).len()).await;
    let copy = house.service.dir().join("copy.sqlite");
    publishing.allow(half + half / 2);
    house.sql.rows(&format!("VACUUM INTO '{}'", text(&copy))).await;
    publishing.finish().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());

    let url = house.sql.url();
    let file = PathBuf::from(url.strip_prefix("sqlite:").expect("a file"));
    for rest in ["-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{rest}", file.display())));
    }
    std::fs::rename(&copy, &file).expect("put back");
    assert!(house.stored_readings().await.len() < recording.readings().len(), "it is older");
    house.service.restart().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    house.check_stored(&recording).await;
}

/// A database that is put in the place of another that belongs to a lost directory: by the option,
/// and only by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_goes_on_behind_a_gap_only_when_it_is_told_to() {
    let recording = Recording::new(7, 2, 60);
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    assert!(house.service.terminate().success());
    std::fs::remove_dir_all(house.service.dir().join("journal")).expect("lost");
    // A new directory, with the same people: alarms and ingest go on, and nothing is written.
    house.service.restart().await;
    house.enroll(&recording).await;
    let publishing = Publishing::start(&house.broker.url(), recording.messages());
    publishing.finish().await;
    house.until_store_is("degraded").await;
    let (_, store) = house.ready().await;
    let reason = store["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("--accept-gap"), "{reason}");
    assert_eq!(house.sql.number("SELECT count(*) FROM readings").await, 0);

    house.service.restart_with(&["--accept-gap"]).await;
    house.stored(recording.readings().len()).await;
    let (_, store) = house.ready().await;
    assert_eq!(store["state"], "ready");
    let reason = store["reason"].as_str().expect("a note").to_owned();
    assert!(reason.starts_with("a gap was accepted: "), "{reason}");
    assert_eq!(house.metric("pulseward_store_gaps_accepted_total").await, 1.0);
    assert_eq!(house.sql.number("SELECT count(*) FROM gaps").await, 1);
    assert!(house.service.log().contains("a gap was accepted: rows between are missing for good"));
    // Left standing it changes nothing.
    house.service.restart_with(&["--accept-gap"]).await;
    wait_until("the store to be there", async || house.ready().await.1["state"] == "ready").await;
    assert_eq!(house.sql.number("SELECT count(*) FROM gaps").await, 1);
    assert!(house.service.terminate().success());
    assert_same(&house.stored_readings().await, &recording.readings());
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a plain name")
}

/// Runs a client program of Postgres, which stands beside the server.
fn run(program: &str, arguments: &[&str]) {
    let bin = PathBuf::from(from_tests_run("PULSEWARD_TEST_POSTGRES_BIN"));
    let mut command = Command::new(bin.join(program));
    let output = command.arg0(program).args(arguments).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}
