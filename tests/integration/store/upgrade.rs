//! A database with the first schema and rows in it, taken to the present one.

use std::time::Duration;

use pulseward::engine::alerts::DecidingReading;
use pulseward::store::{Settings, blob};
use pulseward::vitals::{Quantity, Value, Vital};
use sha2::{Digest, Sha256};

use super::on_both;
use super::stand::{Running, Source, Store, noon};
use crate::support::wait::wait_until;

/// The parts of the first migration, and the tables that tell of it.
fn first_schema(store: &Store) -> (Vec<&'static str>, &'static str) {
    match store {
        Store::Postgres(_) => (
            vec![
                include_str!("../../../src/store/postgres/migrations/V1__partitioned.sql"),
                include_str!("../../../src/store/postgres/migrations/V1__tables.sql"),
            ],
            "CREATE SCHEMA pulseward;
             CREATE TABLE pulseward.store_meta (name text PRIMARY KEY, value text NOT NULL);
             INSERT INTO pulseward.store_meta VALUES ('layout', 'partitioned');
             CREATE TABLE pulseward.schema_migrations (version integer PRIMARY KEY,
                 name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL);
             SET search_path = pulseward;",
        ),
        Store::Sqlite(_) => (
            vec![include_str!("../../../src/store/sqlite/migrations/V1__tables.sql")],
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,
                 digest TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;",
        ),
    }
}

/// An alert that a reading of 120.5 raised and the end of its rule closed, and one that stands.
const ROWS: &str = "
    INSERT INTO vitals VALUES (1, 'heart_rate', '/min');
    INSERT INTO patients VALUES (0, 'p-0', 0, NOON);
    INSERT INTO alerts VALUES
        ('00000000-0000-0000-0000-000000000007', 0, 'north', 'd-0', 'hr', 2, 'site', 0, 1, 120,
         'high', 'inactive', NOON, NOON, NOON, 2),
        ('00000000-0000-0000-0000-000000000008', 0, 'north', 'd-0', 'hr', 2, 'site', 0, 1, 120,
         'high', 'active', NOON, NOON, NULL, 1);
    INSERT INTO alert_events VALUES
        ('00000000-0000-0000-0000-000000000001', 0, 1, 0, '00000000-0000-0000-0000-000000000007',
         'start', NOON, 'reading', NOON, 120.5, 'd-0', 2, 'site', 0, 1, 120, NULL, 'high',
         'active', 1),
        ('00000000-0000-0000-0000-000000000001', 0, 2, 0, '00000000-0000-0000-0000-000000000007',
         'close', NOON, 'rule_removed', NULL, NULL, 'd-0', 2, 'site', 0, 1, 120, 'high', 'high',
         'inactive', 2);
    INSERT INTO rejected_messages VALUES
        ('00000000-0000-0000-0000-000000000001', 0, 3, 0, NOON,
         'pulseward/v1/north/d-0/readings', 4, 'too_old', 'why', NULL),
        ('00000000-0000-0000-0000-000000000001', 0, 4, 0, NOON,
         'pulseward/v1/north/d-0/x/readings', NULL, 'malformed_payload', 'why', NULL),
        ('00000000-0000-0000-0000-000000000001', 0, 5, 0, NOON,
         'pulseward/v1/north/d 0/status', NULL, 'malformed_payload', 'why', NULL);";

/// What the first version of the service left behind.
fn left_behind(store: &Store) -> String {
    let (parts, history) = first_schema(store);
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part.as_bytes()));
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let noon = match store {
        Store::Postgres(_) => format!("timestamptz '{}'", noon()),
        Store::Sqlite(_) => noon().micros().to_string(),
    };
    let applied = "INSERT INTO schema_migrations VALUES (1, 'first_light', 'DIGEST', NOON);";
    let rows = [applied, ROWS].concat().replace("DIGEST", &digest).replace("NOON", &noon);
    format!("{history}{}{rows}", parts.concat())
}

on_both! {
    async fn alerts_of_the_first_schema_are_kept_in_the_new_form(store: Store) {
        store.execute(&left_behind(&store)).await;
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![vec![]])).await;

        let patients = "SELECT patient_id, age_group, pregnancy, paused_until FROM patients";
        assert_eq!(store.lines(patients).await, ["p-0 unknown unknown NULL"]);
        let alerts = format!(
            "SELECT kind, patient_key, vital, condition, signal, {}, {}, covered, revision
             FROM alerts ORDER BY alert_id",
            Store::is("retrospective"),
            Store::is("is_over")
        );
        let expected = ["physiological 0 1 inactive off no yes 0 2", "physiological 0 1 active on no no 0 1"];
        assert_eq!(store.lines(&alerts).await, expected);
        let answered = format!(
            "SELECT priority_reached, acknowledged_at, paused_at, condition_ended_at, {}
             FROM alerts ORDER BY alert_id",
            Store::is("raised_paused")
        );
        // The second has no events that could tell more than its row does.
        assert_eq!(store.lines(&answered).await, ["3 NULL NULL NULL no", "NULL NULL NULL NULL no"]);
        let events = "SELECT phase, cause, actor, signal FROM alert_events ORDER BY position";
        assert_eq!(
            store.lines(events).await,
            ["start reading NULL on", "close rule_changed NULL off"]
        );
        let readings = store.value("SELECT readings FROM alert_events WHERE phase = 'start'").await;
        let decided: Vec<DecidingReading> = blob::decode(&readings).expect("readings");
        let value = Value::Quantity(Quantity::from_ten_thousandths(1_205_000));
        let expected = DecidingReading { measured_at: noon(), vital: Vital::HeartRate, value };
        assert_eq!(decided, [expected]);
        let none = "SELECT readings FROM alert_events WHERE phase = 'close'";
        assert_eq!(store.value(none).await, "NULL");
    }

    async fn refusals_of_the_first_schema_are_found_by_site_and_device(store: Store) {
        store.execute(&left_behind(&store)).await;
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![vec![]])).await;
        let rows = "SELECT position, site_id, device_id, reading_count, encoding, redriven_at
            FROM rejected_messages ORDER BY position";
        let expected = ["3 north d-0 1 NULL NULL", "4 NULL NULL 1 NULL NULL", "5 NULL NULL 1 NULL NULL"];
        assert_eq!(store.lines(rows).await, expected);
        let by_hand = "SELECT device_key FROM devices WHERE device_id = 'by-hand'";
        assert_eq!(store.value(by_hand).await, "-1");
    }
}

/// Whether a migration has waited for a lock for longer than the store allows a batch.
const IS_LONG_AT_IT: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pulseward writer'
      AND wait_event_type = 'Lock' AND now() - query_start > interval '1500 ms'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_may_take_longer_than_a_batch() {
    let store = Store::postgres().await;
    store.execute(&left_behind(&store)).await;
    let Store::Postgres(database) = &store else { unreachable!("just made") };
    let mut other = database.connect().await;
    let reader = other.transaction().await.expect("begins");
    reader.batch_execute("LOCK TABLE pulseward.patients").await.expect("locked");

    let mut source = Source::new();
    let settings = Settings { write_timeout: Duration::from_secs(1), ..store.settings() };
    let mut running = Running::start(settings, &source.journal);
    let watcher = database.connect().await;
    wait_until("the migration to wait for longer than that", async || {
        let row = watcher.query_one(IS_LONG_AT_IT, &[]).await.expect("counted");
        row.get::<_, i64>(0) > 0
    })
    .await;
    reader.rollback().await.expect("ended");
    running.stored(source.commit(vec![vec![]])).await;
    assert_eq!(store.value("SELECT patient_id FROM patients").await, "p-0");
}
