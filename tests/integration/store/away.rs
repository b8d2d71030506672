//! The database away: the journal goes on, and the rows come when it is back.

use std::time::Duration;

use pulseward::clock::SystemClock;
use pulseward::store::{Error, HistoryError, Link, State, Writer, open_history};

use super::history::all_of;
use super::stand::{Caring, Running, Source, Store, readings, registry, settings};
use crate::support::from_tests_run;
use crate::support::postgres::{Database, PrivateServer, connect};
use crate::support::wait::wait_until;

fn is_away(state: &State) -> bool {
    matches!(state.link, Link::Away { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_for_a_database_that_is_away_at_the_start_and_in_the_middle() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let url = database.url();
    let store = Store::Postgres(database);
    server.stop();

    let mut source = Source::new();
    let mut running = Running::start(settings(&url), &source.journal);
    source.commit(readings(0, 100, 10));
    let state = running.until("the outage to show", is_away).await;
    assert_eq!(state.cursor, None);
    running.until("the lag to show", |state| state.lag_entries() == 10).await;

    server.restart();
    running.stored(source.journal.last()).await;
    store.holds_readings(100).await;
    let state = running.until("the return to show", |state| state.link == Link::Connected).await;
    assert_eq!((state.readings_stored, state.lag_entries()), (100, 0));

    // An idle connection tells of its loss by itself.
    server.kill();
    running.until("the outage to show", is_away).await;
    source.commit(readings(100, 200, 10));
    running.until("the lag to show", |state| state.lag_entries() == 10).await;
    server.restart();
    running.stored(source.journal.last()).await;
    store.holds_readings(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_in_the_middle_of_writing_loses_and_doubles_nothing() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let mut settings = store.settings();
    settings.batch_rows_max = 100;
    settings.flush_interval = Duration::ZERO;
    let mut running = Running::start(settings, &source.journal);
    let mut until = 0;
    for _ in 0..2 {
        let begun = source.commit(readings(until, until + 20, 1));
        let last = source.commit(readings(until + 20, until + 4000, 20));
        until += 4000;
        running.stored(begun).await;
        server.kill();
        running.until("the outage to show", is_away).await;
        server.restart();
        running.stored(last).await;
        store.holds_readings(until).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_closes_during_an_outage_ends_the_follower_in_time() {
    let mut source = Source::new();
    // Nobody listens on the port of another protocol's discard service.
    let mut settings = settings("postgres://nobody@127.0.0.1:9/none");
    settings.drain_timeout = Duration::from_millis(100);
    let mut running = Running::start(settings, &source.journal);
    source.commit(readings(0, 10, 5));
    running.until("the outage to show", is_away).await;
    let state = running.state.clone();
    drop(source.close());
    let error = running.end().await.expect_err("nothing was stored");
    assert!(matches!(error, Error::Undrained { .. }), "{error:?}");
    let ended = state.borrow().link.clone();
    assert!(matches!(ended, Link::Ended { error: Some(_) }), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_outage_with_a_reason_that_does_not_tell_it() {
    let database = Database::create().await;
    let role = format!("locked_{}", uuid::Uuid::new_v4().simple());
    let admin = database.connect().await;
    admin
        .batch_execute(&format!("CREATE ROLE {role} NOLOGIN PASSWORD 's3cret'"))
        .await
        .expect("role created");
    let config: tokio_postgres::Config = database.url().parse().expect("a url");
    let (port, name) = (config.get_ports()[0], config.get_dbname().expect("a name"));
    let url = format!("postgres://{role}:s3cret@127.0.0.1:{port}/{name}");

    let source = Source::new();
    let mut running = Running::start(settings(&url), &source.journal);
    let state = running.until("the outage to show", is_away).await;
    let Link::Away { reason, .. } = &state.link else { panic!("{state:?}") };
    assert!(reason.contains("not permitted to log in"), "{reason}");
    assert!(!format!("{state:?}").contains("s3cret"), "{state:?}");
    admin.batch_execute(&format!("DROP ROLE {role}")).await.expect("role dropped");
}

/// Tasks of the maintenance.
const TASKS: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_owns_nothing_but_the_schema_is_enough() {
    let database = Database::create().await;
    let role = format!("owner_{}", uuid::Uuid::new_v4().simple());
    let admin = database.connect().await;
    let config: tokio_postgres::Config = database.url().parse().expect("a url");
    let (port, name) = (config.get_ports()[0], config.get_dbname().expect("a name"));
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'owner'; CREATE SCHEMA pulseward AUTHORIZATION {role};
         REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON DATABASE {name} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {name} TO {role}"
    );
    admin.batch_execute(&grants).await.expect("granted");
    // Where the server has it, only an administrator may install it.
    let offered = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'";
    if admin.query_opt(offered, &[]).await.expect("answers").is_some() {
        let install = "CREATE SCHEMA timescale; CREATE EXTENSION timescaledb SCHEMA timescale";
        let install = format!("{install}; GRANT USAGE ON SCHEMA timescale TO {role}");
        admin.batch_execute(&install).await.expect("installed");
    }
    let settings = settings(&format!("postgres://{role}:owner@127.0.0.1:{port}/{name}"));

    let mut source = Source::new();
    for until in [10, 20] {
        let writer = Writer::new(settings.clone(), source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        running.stored(source.commit(readings(until - 10, until, 5))).await;
        caring
            .until("every task to be done", |state| {
                let done = state.tasks.values().filter(|task| task.last_done.is_some());
                done.count() == TASKS
            })
            .await;
        let closed = source.close();
        running.end().await.expect("drained");
        source = closed.open();
    }
    let store = Store::Postgres(database);
    store.holds_readings(20).await;
    drop(store);
    let server = connect(&from_tests_run("PULSEWARD_TEST_POSTGRES_URL")).await;
    server.batch_execute(&format!("DROP ROLE {role}")).await.expect("role dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_unavailable_while_the_database_is_away_and_then_back() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let settings = settings(&database.url());
    let mut source = Source::new();
    let mut running = Running::start(settings.clone(), &source.journal);
    running.stored(source.commit(vec![registry()])).await;
    let history = open_history(&settings);
    let query = || all_of("p-0");
    assert!(history.list_readings(query()).await.is_ok());

    server.stop();
    let away = history.list_readings(query()).await;
    assert!(matches!(away, Err(HistoryError::Unavailable { .. })), "{away:?}");
    server.restart();
    running.until("the return to show", |state| state.link == Link::Connected).await;
    wait_until("history to return", async || history.list_readings(query()).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_is_given_up() {
    let database = Database::create().await;
    let mut settings = settings(&database.url());
    settings.query_timeout = Duration::from_millis(200);
    settings.query_connections_max = 1;
    let mut source = Source::new();
    let mut running = Running::start(settings.clone(), &source.journal);
    running.stored(source.commit(vec![registry()])).await;
    let history = open_history(&settings);

    let mut admin = database.connect().await;
    let lock = admin.transaction().await.expect("begins");
    lock.batch_execute("LOCK TABLE pulseward.readings").await.expect("locked");
    for _ in 0..3 {
        let slow = history.list_readings(all_of("p-0")).await;
        assert!(matches!(slow, Err(HistoryError::Unavailable { .. })), "{slow:?}");
    }
    lock.rollback().await.expect("unlocked");
    wait_until("history to return", async || history.list_readings(all_of("p-0")).await.is_ok())
        .await;
}
