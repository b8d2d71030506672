//! The latest readings and readings in buckets, against what the readings themselves say.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use pulseward::clock::Timestamp;
use pulseward::engine::input::Sites;
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::store::{
    BucketsQuery, History, HistoryError, LatestQuery, ReadingBucket, open_history,
};
use pulseward::vitals::{
    AbsentReason, Acvpu, DeviceKey, PatientKey, Quantity, SiteId, Value, Vital,
};

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(noon().micros() + seconds * 1_000_000).expect("in range")
}

/// Of a few days, often in the same minute, and some that do not count.
fn any_reading() -> impl Strategy<Value = Reading> {
    let value = prop_oneof![
        6 => (0..400_000_i64).prop_map(|n| {
            (Vital::Spo2, Value::Quantity(Quantity::from_ten_thousandths(n)))
        }),
        3 => (0..200_i64).prop_map(|n| (Vital::HeartRate, Value::Quantity(Quantity::whole(n)))),
        1 => Just((Vital::Consciousness, Value::Consciousness(Acvpu::Alert))),
        1 => Just((Vital::Spo2, Value::Absent(AbsentReason::SensorOff))),
    ];
    let quality = prop_oneof![
        4 => Just(Quality::default()),
        1 => sample::select(vec![
            Quality::TEST,
            Quality::DEMO,
            Quality::NO_SENSOR,
            Quality::IMPLAUSIBLE,
            Quality::LATE.with(Quality::AMENDED),
        ]),
    ];
    let seconds = prop_oneof![3 => -300..300_i64, 1 => -200_000..200_000_i64];
    (seconds, 0..999_999_u64, 0..2_u32, 0..2_u32, quality, value).prop_map(
        |(seconds, micros, patient, device, quality, (vital, value))| Reading {
            measured_at: at(seconds).plus(Duration::from_micros(micros)),
            patient: PatientKey(patient),
            device: DeviceKey(device),
            vital,
            value,
            quality,
            original: None,
            interval: None,
            measurement_id: 0,
        },
    )
}

fn query(patient: &str) -> BucketsQuery {
    BucketsQuery {
        patient: patient.parse().expect("an id"),
        sites: Sites::All,
        vitals: vec![Vital::Spo2, Vital::HeartRate, Vital::Weight],
        from: at(-1_000_000),
        until: at(1_000_000),
        width: MINUTE,
        page_size: 1000,
        page_token: None,
    }
}

/// The quantity of a reading that counts.
fn counted(reading: &Reading) -> Option<Quantity> {
    let left_out = [Quality::NO_SENSOR, Quality::TEST, Quality::DEMO];
    match reading.value {
        Value::Quantity(quantity) if !left_out.iter().any(|bit| reading.quality.has(*bit)) => {
            Some(quantity)
        }
        _ => None,
    }
}

/// What the buckets of a query must be, by the readings themselves.
fn expected(readings: &[Reading], query: &BucketsQuery) -> Vec<ReadingBucket> {
    let width = i64::try_from(query.width.as_micros()).expect("in range");
    let begin = |time: Timestamp| time.micros().div_euclid(width) * width;
    let last = query.until.micros() - 1;
    let mut buckets: BTreeMap<(i64, Vital), Vec<(Timestamp, Quantity)>> = BTreeMap::new();
    for reading in readings {
        let from = begin(reading.measured_at);
        if query.patient.as_str() == format!("p-{}", reading.patient)
            && query.vitals.contains(&reading.vital)
            && begin(query.from) <= from
            && from <= last.div_euclid(width) * width
            && let Some(quantity) = counted(reading)
        {
            let quantities = buckets.entry((from, reading.vital)).or_default();
            quantities.push((reading.measured_at, quantity));
        }
    }
    buckets
        .into_iter()
        .map(|((from, vital), quantities)| {
            let sum: f64 = quantities.iter().map(|(_, quantity)| quantity.to_f64()).sum();
            let (last_measured_at, last) = *quantities.iter().max().expect("never empty");
            ReadingBucket {
                from: Timestamp::from_micros(from).expect("in range"),
                vital,
                count: quantities.len() as u64,
                min: quantities.iter().map(|it| it.1).min().expect("never empty"),
                max: quantities.iter().map(|it| it.1).max().expect("never empty"),
                mean: sum / quantities.len() as f64,
                last,
                last_measured_at,
            }
        })
        .collect()
}

/// Every page of a query, in the order in which they came.
async fn pages(history: &dyn History, query: BucketsQuery) -> Vec<ReadingBucket> {
    let (mut query, mut all) = (query, Vec::new());
    loop {
        let page = history.aggregate_readings(query.clone()).await.expect("a page");
        assert!(page.buckets.len() <= query.page_size as usize, "{}", page.buckets.len());
        all.extend(page.buckets);
        match page.next_page_token {
            Some(token) => query.page_token = Some(token),
            None => return all,
        }
    }
}

async fn check(history: &dyn History, readings: &[Reading], query: BucketsQuery) {
    let found = pages(history, query.clone()).await;
    let mut expected = expected(readings, &query);
    assert_eq!(found.len(), expected.len(), "{query:?}");
    for (found, expected) in found.iter().zip(&mut expected) {
        // The order of a sum is the database's.
        assert!((found.mean - expected.mean).abs() < 1e-6, "{found:?} {expected:?}");
        expected.mean = found.mean;
        assert_eq!(found, expected, "{query:?}");
    }
}

on_both! {
    async fn buckets_sum_up_exactly_the_readings_that_count(store: Store) {
        let mut runner = TestRunner::deterministic();
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry()]);
        let history = open_history(&store.settings());
        let mut readings: Vec<Reading> = Vec::new();
        for _ in 0..3 {
            let more = vec(any_reading(), 300).new_tree(&mut runner).expect("readings").current();
            let outputs: Vec<_> = more.iter().map(|reading| Output::Reading(*reading)).collect();
            running.stored(source.commit(outputs.chunks(7).map(<[_]>::to_vec).collect())).await;
            readings.extend(more);
            for minutes in [1, 5, 60, 90, 7 * 60, 24 * 60, 31 * 24 * 60] {
                let width = MINUTE * minutes;
                for page_size in [1, 7, 1000] {
                    check(&*history, &readings, BucketsQuery { width, page_size, ..query("p-0") })
                        .await;
                }
                let (from, until) = (at(-100), at(3_601));
                let part = BucketsQuery { width, from, until, ..query("p-1") };
                check(&*history, &readings, part).await;
            }
        }
    }

    async fn the_latest_reading_of_each_vital_is_the_one_measured_last(store: Store) {
        let mut runner = TestRunner::deterministic();
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![registry()])).await;
        let history = open_history(&store.settings());
        let asked = |vitals: &[Vital]| LatestQuery {
            patient: "p-0".parse().expect("an id"),
            sites: Sites::All,
            vitals: vitals.to_vec(),
        };
        assert_eq!(history.latest_readings(asked(&[])).await, Ok(vec![]));
        let mut newest: BTreeMap<Vital, Reading> = BTreeMap::new();
        for _ in 0..10 {
            let more = vec(any_reading(), 20).new_tree(&mut runner).expect("readings").current();
            let outputs: Vec<_> = more.iter().map(|reading| Output::Reading(*reading)).collect();
            running.stored(source.commit(vec![outputs])).await;
            for reading in more.iter().filter(|reading| reading.patient == PatientKey(0)) {
                let known = newest.entry(reading.vital).or_insert(*reading);
                if known.measured_at < reading.measured_at {
                    *known = *reading;
                }
            }
            let latest = history.latest_readings(asked(&[])).await.expect("readings");
            let told = latest.iter().map(|it| (it.vital, it.measured_at, it.value));
            let expected = newest.values().map(|it| (it.vital, it.measured_at, it.value));
            assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        let some = history.latest_readings(asked(&[Vital::Spo2, Vital::Weight])).await;
        let some: Vec<_> = some.expect("readings").iter().map(|it| it.vital).collect();
        assert_eq!(some, [Vital::Spo2]);
    }

    async fn trends_of_a_patient_of_another_site_are_unknown(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![registry()])).await;
        let history = open_history(&store.settings());
        let south = Sites::Only(vec![SiteId::new("south").expect("an id")]);
        for (patient, sites, known) in [
            ("p-0", Sites::All, true),
            ("p-1", south.clone(), true),
            ("p-0", south, false),
            ("p-0", Sites::Only(vec![]), false),
            ("p-2", Sites::All, false),
        ] {
            let asked = LatestQuery {
                patient: patient.parse().expect("an id"),
                sites: sites.clone(),
                vitals: vec![],
            };
            let latest = history.latest_readings(asked).await;
            let page = history.aggregate_readings(BucketsQuery { sites, ..query(patient) }).await;
            match known {
                true => {
                    assert_eq!(latest, Ok(vec![]), "{patient}");
                    assert!(page.expect("known").buckets.is_empty(), "{patient}");
                }
                false => {
                    assert_eq!(latest, Err(HistoryError::UnknownPatient), "{patient}");
                    assert_eq!(page, Err(HistoryError::UnknownPatient), "{patient}");
                }
            }
        }
    }
}
