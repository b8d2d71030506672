//! `docs/sql.md`: its queries are run as printed, by the role that it makes, and find something.

use pulseward::clock::{Clock, SystemClock};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::store::{Task, Writer};
use pulseward::vitals::{Acvpu, DeviceKey, PatientKey, Quantity, Value, Vital};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::stand::{Caring, Running, Source, Store, registry};
use crate::support::postgres::Database;

const PAGE: &str = include_str!("../../../docs/sql.md");

/// The blocks of SQL that are marked so.
fn blocks(mark: &str) -> Vec<&'static str> {
    let fence = if mark.is_empty() { "```sql\n".to_owned() } else { format!("```sql {mark}\n") };
    let blocks: Vec<_> = PAGE
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect();
    assert!(!blocks.is_empty(), "{mark}");
    blocks
}

/// Two patients' readings of now, one of them late.
fn measured() -> Vec<Output> {
    let reading = |vital, value, quality| Reading {
        measured_at: SystemClock.now(),
        patient: PatientKey(0),
        device: DeviceKey(0),
        vital,
        value,
        quality,
        original: None,
        interval: None,
        measurement_id: 0,
    };
    let rate = Value::Quantity(Quantity::whole(72));
    vec![
        Output::Reading(reading(Vital::HeartRate, rate, Quality::default())),
        Output::Reading(reading(Vital::HeartRate, rate, Quality::LATE)),
        Output::Reading(reading(
            Vital::Consciousness,
            Value::Consciousness(Acvpu::Alert),
            Quality::default(),
        )),
    ]
}

/// An alert that was acknowledged and is open, a refusal, a device with gaps, and a binding.
const ROWS: &str = "
    INSERT INTO alerts (alert_id, kind, patient_key, site_id, rule_id, onset, raised_at,
        retrospective, device_id, rule_version, scope, scope_key, vital, limit_value, priority,
        condition, signal, delayed, unconfirmed, escalation_level, covered, is_over, revision,
        risen_in)
    VALUES ('00000000-0000-0000-0000-000000000007', 'physiological', 0, 'north', 'hr', NOW, NOW,
        FALSE, 'd-0', 1, 'default', 0, 1, 120, 'high', 'active', 'acknowledged', FALSE, FALSE, 0,
        0, FALSE, 2, 1);
    INSERT INTO alert_events (journal_id, partition, position, output_index, alert_id, phase,
        determined_at, cause, actor, device_id, rule_version, scope, scope_key, vital, limit_value,
        priority, condition, signal, delayed, unconfirmed, escalation_level, covered, is_over,
        revision)
    VALUES ('00000000-0000-0000-0000-000000000001', 0, 1, 0,
        '00000000-0000-0000-0000-000000000007', 'acknowledge', NOW, 'command', 'nurse', 'd-0', 1,
        'default', 0, 1, 120, 'high', 'active', 'acknowledged', FALSE, FALSE, 0, 0, FALSE, 2);
    INSERT INTO rejected_messages (journal_id, partition, position, output_index, received_at,
        topic, reason, detail, site_id, device_id, reading_count)
    VALUES ('00000000-0000-0000-0000-000000000001', 0, 2, 0, NOW, 'x', 'too_old', 'why', 'north',
        'd-0', 3);
    INSERT INTO device_sequences (device_key, boot_id, missing_count, accepted_count,
        duplicate_count, reordered_count, rejected_count, amended_count, restart_count, gap_count,
        gap_overflow_count, unknown_field_count, last_seen_at, position)
    VALUES (0, 1, 4, 10, 0, 0, 0, 0, 0, 1, 0, 0, NOW, 1);
    INSERT INTO bindings (device_key, bound_from, patient_key, schedule)
    VALUES (0, NOW, 0, '{}');";

/// A store with something of everything.
async fn filled(store: &Store) {
    let mut source = Source::new();
    let writer = Writer::new(store.settings(), source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    running.stored(source.commit(vec![registry(), measured()])).await;
    caring.done(Task::Partitions).await;
    let now = SystemClock.now();
    let (prefix, now) = match store {
        Store::Postgres(_) => ("SET search_path = pulseward;", format!("timestamptz '{now}'")),
        Store::Sqlite(_) => ("", now.micros().to_string()),
    };
    store.execute(&format!("{prefix}{}", ROWS.replace("NOW", &now))).await;
}

async fn run_as(database: &Database, role: &str, sql: &str) -> usize {
    let mut config: tokio_postgres::Config = database.url().parse().expect("a url");
    // As the page says.
    config.user(role).password("change me");
    let (client, connection) = config.connect(NoTls).await.expect("the role may connect");
    tokio::spawn(connection);
    let answers = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}{error:?}"));
    let refused = client.batch_execute("DELETE FROM readings").await;
    assert!(refused.is_err(), "the role can write");
    answers.iter().filter(|answer| matches!(answer, SimpleQueryMessage::Row(_))).count()
}

/// Moves the ward to where it is past midnight as the readings are measured, then to where midnight
/// is between them and whoever asks.
async fn the_day_begins_at_the_wards_midnight(
    admin: &tokio_postgres::Client,
    database: &Database,
    role: &str,
) {
    let blocks = blocks("");
    let day = blocks.iter().find(|sql| sql.contains("date_trunc('day', now()")).expect("printed");
    let hour = "SELECT extract(hour FROM max(measured_at) AT TIME ZONE 'UTC')::integer
        FROM pulseward.readings";
    let hour: i32 = admin.query_one(hour, &[]).await.expect("measured").get(0);
    for (local_hour, asked_after, is_found) in [(0, "0 minutes", true), (23, "1 hour", false)] {
        let offset = (local_hour - hour + 36) % 24 - 12;
        // POSIX counts westwards.
        let moved = format!("UPDATE pulseward.sites SET time_zone = 'Etc/GMT{:+}'", -offset);
        admin.batch_execute(&moved).await.expect("moved");
        let asked = format!("(SELECT max(measured_at) + interval '{asked_after}' FROM readings)");
        let found = run_as(database, role, &day.replace("now()", &asked)).await;
        assert_eq!(found > 0, is_found, "at {local_hour}:00 there, asked {asked_after} later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_for_postgres_runs_as_the_role_that_only_reads() {
    let store = Store::postgres().await;
    filled(&store).await;
    let is_hypertable = store.is_hypertable().await;
    let Store::Postgres(database) = &store else { unreachable!("it is") };
    let admin = database.connect().await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    let config: tokio_postgres::Config = database.url().parse().expect("a url");
    let owner = format!("FOR ROLE {}", config.get_user().expect("a user"));
    for sql in blocks("role") {
        let sql = sql.replace("FOR ROLE pulseward", &owner).replace("grafana", &role);
        admin.batch_execute(&sql).await.expect("granted");
    }

    let mut queries = blocks("");
    queries.extend(blocks(if is_hypertable { "hypertable" } else { "partitioned" }));
    for sql in &queries {
        assert!(run_as(database, &role, sql).await > 0, "finds nothing: {sql}");
    }
    assert!(queries.len() >= 13, "{} queries", queries.len());
    the_day_begins_at_the_wards_midnight(&admin, database, &role).await;
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    admin.batch_execute(&drop).await.expect("role dropped");
}

#[test]
fn the_panel_for_grafana_is_its_plain_twin_with_macros() {
    let [panel] = blocks("grafana")[..] else { panic!("one panel") };
    let twin = panel.replace("$patient", "p-0").replace(
        "$__timeFilter(h.bucket)",
        "h.bucket BETWEEN '2026-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'",
    );
    assert!(blocks("").contains(&twin.as_str()), "{twin}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_for_sqlite_runs() {
    let store = Store::sqlite();
    filled(&store).await;
    let queries = blocks("sqlite");
    for sql in &queries {
        assert!(!store.rows(sql).await.is_empty(), "finds nothing: {sql}");
    }
    assert!(queries.len() >= 6, "{} queries", queries.len());
}

#[test]
fn the_table_of_quality_says_what_the_bits_say() {
    let expected = [
        (Quality::QUESTIONABLE, "questionable"),
        (Quality::IMPLAUSIBLE, "implausible"),
        (Quality::NO_SENSOR, "no_sensor"),
        (Quality::LATE, "late"),
        (Quality::CLOCK_AHEAD, "clock_ahead"),
        (Quality::TEST, "test"),
        (Quality::DEMO, "demo"),
        (Quality::AMENDED, "amended"),
        (Quality::CLOCK_UNSET, "clock_unset"),
    ];
    for (bit, name) in expected {
        assert!(PAGE.contains(&format!("| {} | {name} |", bit.0)), "{name}");
    }
}
