//! The buckets of a minute and of an hour: what they say is what the rows say, at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use pulseward::clock::{Clock, SystemClock, Timestamp};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::store::{Aggregate, Settings, Task, Writer};
use pulseward::vitals::{AbsentReason, Acvpu, DeviceKey, PatientKey, Quantity, Value, Vital};

use super::cutter::{Cut, Cutter};
use super::on_both;
use super::stand::{Caring, Running, Source, Store, settings};
use crate::support::postgres::Database;
use crate::support::random::Random;

/// A bucket as people compute it: what is in it, and what it says, in whole ten-thousandths.
type Buckets = BTreeMap<(i64, u32, u8), Vec<(i64, i64)>>;

const WIDTHS: [(&str, i64); 2] = [("readings_1min", 60_000_000), ("readings_1h", 3_600_000_000)];

/// Readings of the last hours; some are late by weeks, absent, of consciousness, or flagged.
fn draw(random: &mut Random, now: Timestamp) -> Reading {
    let age = match random.between(0, 9) {
        0 => random.between(0, 25 * 24 * 3600),
        1..=4 => random.between(0, 4 * 3600),
        _ => random.between(0, 90),
    };
    let age = Duration::from_micros(
        u64::try_from(age * 1_000_000 + random.between(0, 999_999)).expect("positive"),
    );
    let vital = [Vital::HeartRate, Vital::Spo2, Vital::Consciousness][draw_below(random, 3)];
    let value = match vital {
        _ if random.percent(10) => Value::Absent(AbsentReason::SensorOff),
        Vital::Consciousness => Value::Consciousness(Acvpu::Alert),
        _ => Value::Quantity(Quantity::from_ten_thousandths(random.between(-1_000, 2_000_000))),
    };
    let qualities = [Quality::NO_SENSOR, Quality::TEST, Quality::DEMO, Quality::IMPLAUSIBLE];
    let quality =
        if random.percent(20) { qualities[draw_below(random, 4)] } else { Quality::default() };
    Reading {
        measured_at: now.minus(age),
        patient: PatientKey(u32::try_from(random.between(0, 2)).expect("small")),
        device: DeviceKey(0),
        vital,
        value,
        quality,
        original: None,
        interval: None,
        measurement_id: 0,
    }
}

fn draw_below(random: &mut Random, number: i64) -> usize {
    usize::try_from(random.between(0, number - 1)).expect("small")
}

/// What counts of the readings, by bucket of this width.
fn by_hand(readings: &[Reading], width: i64) -> Buckets {
    let left_out = [Quality::NO_SENSOR, Quality::TEST, Quality::DEMO];
    let mut buckets = Buckets::new();
    for reading in readings {
        let Value::Quantity(quantity) = reading.value else { continue };
        if left_out.into_iter().any(|flag| reading.quality.has(flag)) {
            continue;
        }
        let at = reading.measured_at.micros();
        let key = (at.div_euclid(width) * width, reading.patient.0, reading.vital.number());
        buckets.entry(key).or_default().push((at, quantity.ten_thousandths()));
    }
    buckets
}

/// What a view says is what the rows in it say.
async fn check(store: &Store, readings: &[Reading]) {
    for (view, width) in WIDTHS {
        let sql = format!(
            "SELECT {}, patient_key, vital, count, min, max, sum, last, {} FROM {view}",
            store.micros("bucket"),
            store.micros("last_measured_at")
        );
        let rows = store.rows(&sql).await;
        let expected = by_hand(readings, width);
        let mut found = BTreeMap::new();
        for row in &rows {
            let key = (
                row[0].parse().expect("µs"),
                row[1].parse().expect("key"),
                row[2].parse().expect("vital"),
            );
            assert!(found.insert(key, &row[3..]).is_none(), "{view}: two rows for {key:?}");
        }
        let (expected_keys, found_keys): (Vec<_>, Vec<_>) =
            (expected.keys().collect(), found.keys().collect());
        assert_eq!(expected_keys, found_keys, "{view}");
        for (key, parts) in &expected {
            check_bucket(&format!("{view} {key:?}"), parts, found[key]);
        }
    }
}

fn check_bucket(bucket: &str, parts: &[(i64, i64)], row: &[String]) {
    let whole = |text: &str| {
        let value: f64 = text.parse().expect("a number");
        Quantity::from_f64(value).expect("a quantity").ten_thousandths()
    };
    let values = || parts.iter().map(|(_, value)| *value);
    let last_at = parts.iter().map(|(at, _)| *at).max().expect("not empty");
    assert_eq!(row[0], parts.len().to_string(), "count of {bucket}");
    assert_eq!(whole(&row[1]), values().min().expect("not empty"), "min of {bucket}");
    assert_eq!(whole(&row[2]), values().max().expect("not empty"), "max of {bucket}");
    assert_eq!(whole(&row[3]), values().sum::<i64>(), "sum of {bucket}");
    let last = whole(&row[4]);
    assert!(parts.contains(&(last_at, last)), "last of {bucket}: {last}");
    assert_eq!(row[5], last_at.to_string(), "time of the last of {bucket}");
}

/// Small batches, and passes all the time, of few batches each.
fn busy(settings: Settings) -> Settings {
    Settings {
        batch_rows_max: 40,
        flush_interval: Duration::ZERO,
        minute_pass_interval: Duration::from_millis(3),
        hour_pass_interval: Duration::from_millis(7),
        pass_rows_max: 100,
        ..settings
    }
}

fn commit(source: &mut Source, random: &mut Random, number: usize) -> Vec<Reading> {
    let now = SystemClock.now();
    let readings: Vec<_> = (0..number).map(|_| draw(random, now)).collect();
    let outputs = readings.iter().map(|reading| vec![Output::Reading(*reading)]);
    source.commit(outputs.collect());
    readings
}

on_both! {
    async fn buckets_say_what_the_rows_say(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(busy(store.settings()), source.journal.clone(), SystemClock);
        let _caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        let mut random = Random::new(5);
        let mut all = Vec::new();
        for _ in 0..12 {
            all.extend(commit(&mut source, &mut random, 200));
            running.stored(source.journal.last()).await;
            store.summed_up().await;
            check(&store, &all).await;
        }
    }

    async fn what_was_stored_a_moment_ago_is_in_the_buckets_of_the_last_hour(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(busy(store.settings()), source.journal.clone(), SystemClock);
        let caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        let mut random = Random::new(6);
        let mut all = commit(&mut source, &mut random, 300);
        running.stored(source.journal.last()).await;
        store.summed_up().await;
        // From here on nobody sums up.
        drop(caring);
        for n in 0..5 {
            let measured_at = SystemClock.now().minus(Duration::from_secs(n * 600));
            let recent = Reading { measured_at, ..all[0] };
            source.commit(vec![vec![Output::Reading(recent)]]);
            all.push(recent);
            running.stored(source.journal.last()).await;
            check(&store, &all).await;
        }
    }

    async fn a_pass_that_was_cut_is_made_once(store: Store) {
        let mut source = Source::new();
        let mut random = Random::new(7);
        let mut all = Vec::new();
        for run in 1..=12 {
            let writer = Writer::new(busy(store.settings()), source.journal.clone(), SystemClock);
            let maintenance = writer.maintenance();
            let mut running = Running::of(writer);
            all.extend(commit(&mut source, &mut random, 150));
            let moment = Duration::from_micros(run * 3_733 % 40_000);
            assert!(tokio::time::timeout(moment, maintenance.run()).await.is_err(), "it ran on");
            running.stored(source.journal.last()).await;
        }
        let writer = Writer::new(busy(store.settings()), source.journal.clone(), SystemClock);
        let _caring = Caring::start(&writer);
        let _running = Running::of(writer);
        store.summed_up().await;
        check(&store, &all).await;
    }

    async fn a_late_reading_is_added_to_a_bucket_that_stands(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(busy(store.settings()), source.journal.clone(), SystemClock);
        let mut caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        let mut random = Random::new(8);
        let mut all = commit(&mut source, &mut random, 100);
        running.stored(source.journal.last()).await;
        store.summed_up().await;
        let days_ago = |days: u64| Reading {
            measured_at: SystemClock.now().minus(Duration::from_secs(days * 86_400)),
            vital: Vital::HeartRate,
            value: Value::Quantity(Quantity::whole(70)),
            quality: Quality::LATE,
            ..all[0]
        };
        let late: Vec<_> = [9, 20, 20].map(days_ago).into();
        source.commit(late.iter().map(|reading| vec![Output::Reading(*reading)]).collect());
        all.extend(late);
        running.stored(source.journal.last()).await;
        caring.done_again(Task::Aggregate(Aggregate::Hour)).await;
        store.summed_up().await;
        check(&store, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_dies_in_a_pass_doubles_nothing() {
    let store = Store::Postgres(Database::create().await);
    let mut source = Source::new();
    let Store::Postgres(database) = &store else { unreachable!("it is") };
    let cutter = Cutter::before(&database.url()).await;
    let through = busy(settings(&cutter.url(&database.url())));
    let writer = Writer::new(through, source.journal.clone(), SystemClock);
    let _caring = Caring::start(&writer);
    let mut running = Running::of(writer);
    let mut random = Random::new(9);
    let mut all = Vec::new();
    for round in 0..12_usize {
        all.extend(commit(&mut source, &mut random, 60));
        cutter.arm(match round % 3 {
            0 => Cut::BeforeCommit,
            1 => Cut::AfterCommit,
            _ => Cut::AfterBytes(round * 1_997 % 20_000),
        });
        running.stored(source.journal.last()).await;
        store.summed_up().await;
    }
    check(&store, &all).await;
}
