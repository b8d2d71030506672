//! Databases in trouble: in each case the rows wait in the journal, the reason is told, history is
//! unavailable where nobody can read, and afterwards every row is there once.

use std::sync::Arc;
use std::time::Duration;

use pulseward::store::{History, HistoryError, Link, ReadingsQuery, Settings, open_history};
use tokio_postgres::Client;

use super::history::all_of;
use super::stand::{Running, Source, Store, noon, readings, registry, settings};
use crate::support::from_tests_run;
use crate::support::network::Network;
use crate::support::postgres::{Database, PrivateServer, connect};
use crate::support::wait::wait_until;

/// A store with some rows in it, which then gets into trouble.
struct Ward {
    source: Source,
    running: Running,
    history: Arc<dyn History>,
    until: u32,
}

/// A question that costs nothing: nothing was measured before noon.
fn question() -> ReadingsQuery {
    ReadingsQuery { until: noon(), ..all_of("p-0") }
}

impl Ward {
    async fn start(settings: Settings) -> Self {
        let mut source = Source::new();
        let mut running = Running::start(settings.clone(), &source.journal);
        source.commit(vec![registry()]);
        running.stored(source.commit(readings(0, 100, 10))).await;
        Self { source, running, history: open_history(&settings), until: 100 }
    }

    /// A hundred readings more, in the journal.
    fn go_on(&mut self) {
        self.source.commit(readings(self.until, self.until + 100, 10));
        self.until += 100;
    }

    /// Waits until the outage is told, with such a reason, and the lag with it.
    async fn is_away_for(&mut self, expected: &str) {
        let wanted = format!("an outage for {expected:?}");
        let told =
            |link: &Link| matches!(link, Link::Away { reason, .. } if reason.contains(expected));
        self.running.until(&wanted, |state| told(&state.link) && state.lag_entries() > 0).await;
    }

    /// Waits until history can't be read, and gives the reason.
    async fn history_is_unavailable(&self) -> String {
        let mut told = String::new();
        wait_until("history to be unavailable", async || {
            match self.history.list_readings(question()).await {
                Err(HistoryError::Unavailable { reason }) => {
                    told = reason;
                    true
                }
                Ok(_) => false,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        told
    }

    /// Waits until everything is stored and can be read.
    async fn recovers(&mut self, store: &Store) {
        self.running.stored(self.source.journal.last()).await;
        self.running.until("the link", |state| state.link == Link::Connected).await;
        store.holds_readings(self.until).await;
        wait_until("history to return", async || {
            self.history.list_readings(question()).await.is_ok()
        })
        .await;
    }
}

/// The settings of a store at this address, with limits that a test can wait for.
fn impatient(url: &str) -> Settings {
    Settings {
        connect_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_secs(1),
        query_timeout: Duration::from_millis(500),
        ..settings(url)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_given_up_and_loses_and_doubles_nothing() {
    let server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let network = Network::to(server.port()).await;
    let through = |port| format!(":{port}/");
    let url = database.url().replace(&through(server.port()), &through(network.port()));
    let store = Store::Postgres(database);
    let mut ward = Ward::start(impatient(&url)).await;
    for _ in 0..2 {
        network.stall();
        ward.go_on();
        // The transaction that is under way, and then new connections, which stand but are silent.
        ward.is_away_for("did not answer within").await;
        assert!(ward.history_is_unavailable().await.contains("in time"));
        network.heal();
        ward.recovers(&store).await;
    }
    network.cut().await;
    ward.go_on();
    ward.is_away_for("").await;
    ward.history_is_unavailable().await;
    network.heal();
    ward.recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only_is_an_outage_in_which_history_goes_on() {
    let server = PrivateServer::start();
    let store = Store::Postgres(Database::create_on(&server.url()).await);
    let mut ward = Ward::start(store.settings()).await;
    let admin = connect(&server.url()).await;
    admin.batch_execute("SET default_transaction_read_only = off").await.expect("set");
    let set = async |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        admin.batch_execute(&sql).await.expect("set");
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("told");
    };
    set("on").await;
    // Until every session has heard of it.
    let is_on = async || {
        let client = connect(&server.url()).await;
        let on: String = client
            .query_one("SHOW default_transaction_read_only", &[])
            .await
            .expect("answers")
            .get(0);
        on == "on"
    };
    wait_until("the server to be read-only", is_on).await;
    ward.go_on();
    ward.is_away_for("read-only transaction (SQLSTATE 25006)").await;
    assert!(ward.history.list_readings(question()).await.is_ok());
    set("off").await;
    ward.recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_servers_the_one_that_can_be_written_to_is_found() {
    let [standby, primary] = [PrivateServer::start(), PrivateServer::start()];
    let database = Database::create_on(&primary.url()).await;
    let name = database.url().rsplit_once('/').expect("a path").1.to_owned();
    let admin = connect(&standby.url()).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("created");
    admin
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .expect("set");
    let url = format!(
        "postgres://pulseward@127.0.0.1:{},127.0.0.1:{}/{name}",
        standby.port(),
        primary.port()
    );
    let mut source = Source::new();
    let mut running = Running::start(settings(&url), &source.journal);
    running.stored(source.commit(readings(0, 100, 10))).await;
    Store::Postgres(database).holds_readings(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_outage_that_ends_when_there_is_room() {
    let Some(server) = PrivateServer::start_with_small_disk(24) else { return };
    let database = Database::create_on(&server.url()).await;
    let admin = database.connect().await;
    let name = database.url().rsplit_once('/').expect("a path").1.to_owned();
    let path = server.small_disk();
    for sql in [
        format!("CREATE TABLESPACE small LOCATION '{}'", path.display()),
        format!("ALTER DATABASE {name} SET default_tablespace = small"),
    ] {
        admin.batch_execute(&sql).await.expect("executes");
    }
    let store = Store::Postgres(database);
    let mut ward = Ward::start(store.settings()).await;

    admin.batch_execute("CREATE TABLE others (text text) TABLESPACE small").await.expect("made");
    fill(&admin).await;
    // More than the pages that the tables have already.
    for _ in 0..100 {
        ward.go_on();
    }
    ward.is_away_for("(SQLSTATE 53100)").await;
    assert!(ward.history.list_readings(question()).await.is_ok());
    admin.batch_execute("DROP TABLE others").await.expect("dropped");
    ward.recovers(&store).await;
    assert_eq!(store.value("SELECT count(*) FROM refused_rows").await, "0");
    drop(store);
    let admin = connect(&server.url()).await;
    admin.batch_execute("DROP TABLESPACE small").await.expect("dropped");
}

/// Lets a table take all that the disk has.
async fn fill(admin: &Client) {
    for rows in [1000, 100, 10, 1] {
        let sql = format!(
            "INSERT INTO others SELECT string_agg(md5(n::text || m), '') \
             FROM generate_series(1, {rows}) n, generate_series(1, 50) m GROUP BY n"
        );
        loop {
            let Err(error) = admin.batch_execute(&sql).await else { continue };
            let code = error.code().expect("the server answers");
            assert_eq!(code.code(), "53100", "{error:?}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_that_is_corrected_in_its_file_needs_no_restart() {
    let server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let admin = database.connect().await;
    let role = "CREATE ROLE ward SUPERUSER LOGIN PASSWORD 'first'";
    admin.batch_execute(role).await.expect("created");
    server.ask_for_password("ward").await;
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let write = |password: &str| std::fs::write(file.path(), password).expect("written");
    write("first\n");
    let mut settings = settings(&database.url().replace("pulseward@", "ward@"));
    settings.password_file = Some(file.path().to_owned());
    let store = Store::Postgres(database);
    let mut ward = Ward::start(settings).await;

    // The password changes, and whoever is connected must come again.
    let away = async |sql: &str| {
        admin.batch_execute(sql).await.expect("changed");
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ward'";
        admin.batch_execute(kill).await.expect("ended");
    };
    away("ALTER ROLE ward PASSWORD 'second'").await;
    ward.go_on();
    ward.is_away_for("password authentication failed").await;
    let reason = ward.history_is_unavailable().await;
    assert!(reason.contains("password authentication failed"), "{reason}");
    write("second\n");
    ward.recovers(&store).await;

    // A file that is no password says so.
    write("");
    away("SELECT").await;
    ward.go_on();
    ward.is_away_for("does not hold one line").await;
    write("second\n");
    ward.recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_connection_to_spare_is_an_outage() {
    let database = Database::create().await;
    let admin = database.connect().await;
    let role = format!("crowded_{}", uuid::Uuid::new_v4().simple());
    let name = database.url().rsplit_once('/').expect("a path").1.to_owned();
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{role}' CONNECTION LIMIT 1;
         GRANT ALL ON DATABASE {name} TO {role}"
    );
    admin.batch_execute(&sql).await.expect("created");
    let theirs = database.url();
    let (_, address) = theirs.split_once('@').expect("a URL with a user");
    let url = format!("postgres://{role}:{role}@{address}");
    let taken = connect(&url).await;

    let mut source = Source::new();
    let mut running = Running::start(settings(&url), &source.journal);
    source.commit(readings(0, 100, 10));
    let is_told = |link: &Link| matches!(link, Link::Away { reason, .. } if reason.contains("(SQLSTATE 53300)"));
    running.until("the outage to show", |state| is_told(&state.link)).await;
    drop(taken);
    running.stored(source.journal.last()).await;
    let closed = source.close();
    running.end().await.expect("drained");
    drop(closed);
    Store::Postgres(database).holds_readings(100).await;
    let admin = connect(&from_tests_run("PULSEWARD_TEST_POSTGRES_URL")).await;
    admin.batch_execute(&format!("DROP ROLE {role}")).await.expect("dropped");
}

/// As a failover to a standby that had not heard of everything does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_has_lost_its_tail_gets_it_again_and_nothing_twice() {
    let mut server = PrivateServer::start();
    let store = Store::Postgres(Database::create_on(&server.url()).await);
    let mut ward = Ward::start(store.settings()).await;
    let last_stored =
        "SELECT updated_at = (SELECT max(stored_at) FROM readings) FROM journal_cursor";
    server.remember();
    ward.recovers(&store).await;
    for _ in 0..2 {
        for _ in 0..10 {
            ward.go_on();
        }
        ward.recovers(&store).await;
        server.go_back();
        ward.go_on();
        ward.recovers(&store).await;
        assert_eq!(store.value(last_stored).await, "t");
    }
}
