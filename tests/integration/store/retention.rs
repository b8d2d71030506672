//! What is older than its retention goes, and nothing else; and nobody waits for it.

use std::time::Duration;

use bytes::Bytes;
use pulseward::clock::{Clock, SystemClock, Timestamp};
use pulseward::engine::input::{Event, Input, Publish};
use pulseward::engine::output::{Output, Quality, Reading, Reject, RejectReason};
use pulseward::store::{Aggregate, Settings, Task, Writer};
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};

use super::on_both;
use super::stand::{Caring, Running, Source, Store, settings};
use crate::support::postgres::{Database, PrivateServer};
use crate::support::wait::{wait_for, wait_until};

const DAY: Duration = Duration::from_secs(86_400);

fn days_ago(days: u32) -> Timestamp {
    SystemClock.now().minus(DAY * days)
}

fn measured(measured_at: Timestamp, patient: u32) -> Output {
    Output::Reading(Reading {
        measured_at,
        patient: PatientKey(patient),
        device: DeviceKey(0),
        vital: Vital::HeartRate,
        value: Value::Quantity(Quantity::whole(70)),
        quality: Quality::default(),
        original: None,
        interval: None,
        measurement_id: 0,
    })
}

/// A reading of each of these days ago, of two patients.
fn of_days(days: impl Iterator<Item = u32>) -> Vec<Vec<Output>> {
    days.map(|day| (0..2).map(|patient| measured(days_ago(day), patient)).collect()).collect()
}

/// Maintenance that is always due.
fn eager(settings: Settings) -> Settings {
    let often = Duration::from_millis(5);
    Settings {
        minute_pass_interval: often,
        hour_pass_interval: often,
        maintenance_interval: often,
        ..settings
    }
}

/// How many days ago what a statement gives was, rounded, the latest first.
async fn ages(store: &Store, column: &str, table: &str) -> Vec<i64> {
    let sql = format!("SELECT DISTINCT {} FROM {table} ORDER BY 1 DESC", store.micros(column));
    let rows = store.rows(&sql).await;
    let now = SystemClock.now().micros();
    let hour = 3_600_000_000;
    let age = |row: &Vec<String>| (now - row[0].parse::<i64>().expect("µs") + hour / 2) / hour / 24;
    let mut ages: Vec<_> = rows.iter().map(age).collect();
    ages.dedup();
    ages
}

on_both! {
    async fn readings_go_after_their_retention_and_their_buckets_stay(store: Store) {
        let settings = Settings { readings_retention: Some(DAY * 40), ..eager(store.settings()) };
        let mut source = Source::new();
        let writer = Writer::new(settings, source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        let all: Vec<u32> = (0..=60).step_by(2).collect();
        running.stored(source.commit(of_days(all.iter().copied()))).await;
        store.summed_up().await;
        if store.is_hypertable().await {
            caring.done(Task::Policies).await;
            store.run_jobs("policy_retention").await;
        }
        caring.done_again(Task::ExpireReadings).await;
        let gone = async || {
            let ages = ages(&store, "measured_at", "readings").await;
            // A partition goes once its last moment is too old.
            (ages.last() <= Some(&41)).then_some(ages)
        };
        let left = wait_for("old readings to go", gone).await;
        assert!(left.starts_with(&(0..40).step_by(2).collect::<Vec<_>>()), "{left:?}");
        let buckets = "SELECT sum(count) FROM readings_1h";
        assert_eq!(store.value(buckets).await, (2 * all.len()).to_string());
        assert_eq!(caring.state.borrow().problem(), None);
    }

    async fn buckets_have_a_retention_of_their_own(store: Store) {
        let settings = Settings { buckets_retention: Some(DAY * 100), ..eager(store.settings()) };
        let mut source = Source::new();
        let writer = Writer::new(settings, source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        running.stored(source.commit(of_days((0..=200).step_by(4)))).await;
        store.summed_up().await;
        if store.is_hypertable().await {
            caring.done(Task::Policies).await;
            store.run_jobs("policy_retention").await;
        }
        for aggregate in [Aggregate::Minute, Aggregate::Hour] {
            caring.done_again(Task::ExpireBuckets(aggregate)).await;
        }
        for (view, span) in [("readings_1min", 7), ("readings_1h", 28)] {
            // TimescaleDB's chunks of buckets are ten times as long as those of the readings.
            let span = if store.is_hypertable().await { 10 } else { span };
            let gone = async || {
                let ages = ages(&store, "bucket", view).await;
                (ages.last() <= Some(&(100 + span)) && ages.len() > 1).then_some(ages)
            };
            let left = wait_for("old buckets to go", gone).await;
            assert!(left.starts_with(&(0..100).step_by(4).collect::<Vec<_>>()), "{left:?}");
        }
        let readings = store.value("SELECT count(*) FROM readings").await;
        assert_eq!(readings, "102", "readings are kept for ever");
    }

    async fn refused_messages_go_after_their_retention(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(eager(store.settings()), source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        // More than one piece of them is too old.
        let old = (0..1200).map(|_| refused(days_ago(91)));
        let all = old.chain((0..3).map(|n| refused(days_ago(n * 44)))).collect();
        running.stored(source.commit_inputs(all)).await;
        caring.done_again(Task::ExpireRejected).await;
        assert_eq!(ages(&store, "received_at", "rejected_messages").await, [0, 44, 88]);
    }

    async fn nothing_goes_that_is_to_be_kept_for_ever(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(eager(store.settings()), source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        running.stored(source.commit(of_days((0..=3000).step_by(1000)))).await;
        for task in [Task::ExpireReadings, Task::ExpireBuckets(Aggregate::Minute)] {
            caring.done_again(task).await;
        }
        assert_eq!(ages(&store, "measured_at", "readings").await, [0, 1000, 2000, 3000]);
    }
}

fn refused(received_at: Timestamp) -> (Input, Vec<Output>) {
    let topic = "pulseward/v1/north/d-0/readings".to_owned();
    let publish = Publish {
        topic: topic.clone(),
        payload: Bytes::from_static(b"x"),
        encoding: None,
        correlation: None,
        retained: false,
    };
    let reject = Reject {
        topic,
        index: None,
        reason: RejectReason::MalformedPayload,
        detail: "why".to_owned(),
        count: 1,
    };
    let input = Input { received_at, event: Event::Publish(publish) };
    (input, vec![Output::Reject(Box::new(reject))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_made_ahead_also_when_no_rows_come() {
    let database = Database::create().await;
    let admin = database.connect().await;
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let writer = Writer::new(store.settings(), source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    running.stored(source.commit(vec![vec![]])).await;
    caring.done(Task::Partitions).await;
    if store.is_hypertable().await {
        return;
    }
    for days in 0..3 {
        let at = SystemClock.now().plus(DAY * days);
        let bucket =
            format!("INSERT INTO pulseward.TABLE VALUES ('{at}', '{at}', 1, 1, 1, 1, 1, 1, 1)");
        let reading = format!(
            "INSERT INTO pulseward.readings (measured_at, received_at, stored_at, patient_key,
                device_key, quality, vital, absent) VALUES ('{at}', '{at}', '{at}', 0, 0, 0, 1, 1)"
        );
        for sql in [
            reading,
            bucket.replace("TABLE", "readings_1min_kept"),
            bucket.replace("TABLE", "readings_1h_kept"),
        ] {
            let done = admin.batch_execute(&sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_takes_long_holds_up_nobody_but_the_drop() {
    let database = Database::create().await;
    let reader = database.connect().await;
    let store = Store::Postgres(database);
    let settings = Settings { readings_retention: Some(DAY * 40), ..eager(store.settings()) };
    let mut source = Source::new();
    let writer = Writer::new(settings.clone(), source.journal.clone(), SystemClock);
    let mut running = Running::of(writer);
    running.stored(source.commit(of_days([0, 50].into_iter()))).await;
    if store.is_hypertable().await {
        return;
    }
    let count = "SELECT count(*) FROM pulseward.readings";
    reader.batch_execute(&format!("BEGIN; {count}")).await.expect("reads");

    let closed = source.close();
    running.end().await.expect("drained");
    source = closed.open();
    let writer = Writer::new(settings, source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    caring
        .until("the drop to have to wait", |state| {
            state.tasks.get(&Task::ExpireReadings).is_some_and(|task| task.failing.is_some())
        })
        .await;
    // The writer goes on, also with days that need a partition, and so does who reads.
    running.stored(source.commit(of_days([0, 7, 8].into_iter()))).await;
    assert_eq!(reader.query_one(count, &[]).await.expect("reads").get::<_, i64>(0), 8);
    assert_eq!(store.value(count).await, "8");

    reader.batch_execute("COMMIT").await.expect("ends");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'pulseward'
        AND tablename ~ '^readings_[0-9]{8}$'";
    let attached = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'readings'::regclass";
    wait_until("the partition's table to go", async || {
        store.value(tables).await == store.value(attached).await
    })
    .await;
    caring.done_again(Task::ExpireReadings).await;
    assert_eq!(store.value(count).await, "8");
    assert_eq!(caring.state.borrow().problem(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_was_detached_by_hand_stays() {
    let database = Database::create().await;
    let admin = database.connect().await;
    let store = Store::Postgres(database);
    let settings = Settings { readings_retention: Some(DAY * 40), ..eager(store.settings()) };
    let mut source = Source::new();
    let mut running = Running::start(settings.clone(), &source.journal);
    running.stored(source.commit(of_days([0, 50, 60].into_iter()))).await;
    if store.is_hypertable().await {
        return;
    }
    let table = format!("readings_{}", days_ago(60).to_string()[..10].replace('-', ""));
    let detach = format!("ALTER TABLE pulseward.readings DETACH PARTITION pulseward.{table}");
    admin.batch_execute(&detach).await.expect("detached");
    let closed = source.close();
    running.end().await.expect("drained");
    source = closed.open();
    let writer = Writer::new(settings, source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let _running = Running::of(writer);
    caring.done_again(Task::ExpireReadings).await;
    assert_eq!(store.value("SELECT count(*) FROM readings").await, "2");
    assert_eq!(store.value(&format!("SELECT count(*) FROM {table}")).await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_goes_on_when_the_database_is_back() {
    let mut server = PrivateServer::start();
    let database = Database::create_on(&server.url()).await;
    let mut source = Source::new();
    let settings = eager(settings(&database.url()));
    let writer = Writer::new(settings, source.journal.clone(), SystemClock);
    let mut caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    running.stored(source.commit(of_days(0..3))).await;
    caring.done_again(Task::Aggregate(Aggregate::Hour)).await;

    server.kill();
    let position = source.commit(of_days(0..5));
    running
        .until("the database to be missed", |state| state.link != pulseward::store::Link::Connected)
        .await;
    server.restart();
    running.stored(position).await;
    caring.done_again(Task::Aggregate(Aggregate::Hour)).await;
    let store = Store::Postgres(database);
    let buckets = "SELECT sum(count) FROM readings_1h_kept";
    wait_until("everything to be summed up", async || store.value(buckets).await == "16").await;
    assert_eq!(store.value("SELECT sum(count) FROM readings_1h").await, "16");
}
