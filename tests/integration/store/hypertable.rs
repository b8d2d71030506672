//! What is only so with TimescaleDB. On a server without it these tests find nothing to try, and
//! say nothing: point `PULSEWARD_TEST_POSTGRES_URL` at one that has it.

use std::time::Duration;

use pulseward::clock::{Clock, SystemClock};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::store::{Settings, Task, Writer};
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};

use super::stand::{Caring, Running, Source, Store};

const DAY: Duration = Duration::from_secs(86_400);

/// One of the first patient's heart rates.
fn measured(days_ago: u32) -> Output {
    Output::Reading(Reading {
        measured_at: SystemClock.now().minus(DAY * days_ago),
        patient: PatientKey(0),
        device: DeviceKey(0),
        vital: Vital::HeartRate,
        value: Value::Quantity(Quantity::whole(70)),
        quality: Quality::LATE,
        original: None,
        interval: None,
        measurement_id: 0,
    })
}

/// What the server's jobs do, and with which period.
async fn jobs(store: &Store) -> Vec<String> {
    let sql = "SELECT proc_name,
            coalesce(config ->> 'drop_after', config ->> 'compress_after', config ->> 'start_offset')
        FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy%' AND job_id >= 1000
        ORDER BY 1, 2";
    store.lines(sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_follow_the_configuration() {
    let store = Store::postgres().await;
    let mut source = Source::new();
    let always = [
        "policy_compression 168:00:00",
        "policy_refresh_continuous_aggregate NULL",
        "policy_refresh_continuous_aggregate NULL",
    ];
    let limited = [
        "policy_compression 168:00:00",
        "policy_refresh_continuous_aggregate 960:00:00",
        "policy_refresh_continuous_aggregate 960:00:00",
        "policy_retention 2400:00:00",
        "policy_retention 2400:00:00",
        "policy_retention 960:00:00",
    ];
    for (retention, expected) in [
        (None, always.as_slice()),
        (Some((40, 100)), limited.as_slice()),
        (Some((40, 100)), limited.as_slice()),
        (None, always.as_slice()),
    ] {
        let settings = Settings {
            readings_retention: retention.map(|(readings, _)| DAY * readings),
            buckets_retention: retention.map(|(_, buckets)| DAY * buckets),
            ..store.settings()
        };
        let writer = Writer::new(settings, source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        running.stored(source.commit(vec![vec![]])).await;
        if !store.is_hypertable().await {
            return;
        }
        caring.done(Task::Policies).await;
        assert_eq!(jobs(&store).await, expected);
        let closed = source.close();
        running.end().await.expect("drained");
        source = closed.open();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reading_lands_in_a_chunk_that_is_compressed() {
    let store = Store::postgres().await;
    let mut source = Source::new();
    let writer = Writer::new(store.settings(), source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    running.stored(source.commit(vec![(0..30).map(measured).collect()])).await;
    if !store.is_hypertable().await {
        return;
    }
    caring.done(Task::Policies).await;
    store.run_jobs("policy_compression").await;
    let compressed = "SELECT count(*) FROM timescaledb_information.chunks
        WHERE hypertable_name = 'readings' AND is_compressed";
    let chunks = store.value(compressed).await;
    assert!(chunks.parse::<i32>().expect("a number") >= 20, "{chunks}");

    store.refresh().await;
    running.stored(source.commit(vec![vec![measured(20), measured(20), measured(15)]])).await;
    assert_eq!(store.value("SELECT count(*) FROM readings").await, "33");
    store.refresh().await;
    assert_eq!(store.value("SELECT sum(count) FROM readings_1h").await, "33");
    assert_eq!(store.value("SELECT sum(count) FROM readings_1min").await, "33");
}
