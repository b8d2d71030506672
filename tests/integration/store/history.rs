//! What callers get to read: everything, once, page by page, and nothing of other sites.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use pulseward::clock::Timestamp;
use pulseward::engine::input::Sites;
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::store::{History, HistoryError, ReadingsQuery, StoredReading, open_history};
use pulseward::vitals::{
    AbsentReason, Acvpu, DeviceKey, PatientKey, Quantity, SiteId, Unit, Value, Vital,
};

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

/// Everything of a patient, in pages of 100.
pub(super) fn all_of(patient: &str) -> ReadingsQuery {
    ReadingsQuery {
        patient: patient.parse().expect("an id"),
        sites: Sites::All,
        vitals: vec![],
        from: Timestamp::MIN,
        until: Timestamp::MAX,
        page_size: 100,
        page_token: None,
    }
}

fn only(sites: &[&str]) -> Sites {
    Sites::Only(sites.iter().map(|site| SiteId::new(site).expect("an id")).collect())
}

/// Few values of everything, so that readings often share a time, a device, or all of it.
fn any_reading() -> impl Strategy<Value = Reading> {
    let value = prop_oneof![
        (0..4_i64).prop_map(|n| (Vital::Spo2, Value::Quantity(Quantity::whole(n)))),
        (0..2_i64).prop_map(|n| (Vital::HeartRate, Value::Quantity(Quantity::whole(n)))),
        (1..=5).prop_map(|n| {
            let level = Acvpu::from_number(n).expect("a level");
            (Vital::Consciousness, Value::Consciousness(level))
        }),
        (1..=5).prop_map(|n| {
            let reason = AbsentReason::from_number(n).expect("a reason");
            (Vital::Spo2, Value::Absent(reason))
        }),
    ];
    // Two days, so that pages cross the border of a partition.
    let original = option::of((1..10_000_i64, sample::select(&Unit::ALL[..])));
    let original = original
        .prop_map(|it| it.map(|(count, unit)| (Quantity::from_ten_thousandths(count), unit)));
    let interval = option::of((1..90_000_000_000_u64).prop_map(Duration::from_micros));
    let beside = (original, interval, 0..3_u32);
    (-20..20_i64, 0..2_u32, 0..2_u32, 0..3_u16, value, beside).prop_map(
        |(hours, patient, device, quality, (vital, value), beside)| Reading {
            measured_at: at(hours),
            patient: PatientKey(patient),
            device: DeviceKey(device),
            vital,
            value,
            quality: Quality(quality),
            original: beside.0,
            interval: beside.1,
            measurement_id: beside.2,
        },
    )
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_micros(noon().micros() + hours * 3_600_000_000).expect("in range")
}

/// What is compared: all but the times of receipt and storing.
type Seen = (Timestamp, Vital, String, String, u16);

fn seen(reading: &StoredReading) -> Seen {
    let StoredReading { value, original, interval, measurement_id, .. } = reading;
    let value = format!("{value:?} {original:?} {interval:?} {measurement_id}");
    (reading.measured_at, reading.vital, reading.device.to_string(), value, reading.quality.0)
}

fn expected(readings: &[Reading], query: &ReadingsQuery) -> Vec<Seen> {
    let wanted = readings.iter().filter(|reading| {
        query.patient.as_str() == format!("p-{}", reading.patient)
            && (query.vitals.is_empty() || query.vitals.contains(&reading.vital))
            && query.from <= reading.measured_at
            && reading.measured_at < query.until
    });
    let mut seen: Vec<Seen> = wanted
        .map(|reading| {
            let Reading { value, original, interval, measurement_id, .. } = reading;
            let value = format!("{value:?} {original:?} {interval:?} {measurement_id}");
            let device = format!("d-{}", reading.device);
            (reading.measured_at, reading.vital, device, value, reading.quality.0)
        })
        .collect();
    seen.sort();
    seen
}

/// Every page of a query, in the order in which they came.
async fn pages(history: &dyn History, query: ReadingsQuery) -> Vec<StoredReading> {
    let (mut query, mut all) = (query, Vec::new());
    loop {
        let page = history.list_readings(query.clone()).await.expect("a page");
        assert!(page.readings.len() <= query.page_size as usize, "{}", page.readings.len());
        all.extend(page.readings);
        match page.next_page_token {
            Some(token) => query.page_token = Some(token),
            None => return all,
        }
    }
}

async fn check(history: &dyn History, readings: &[Reading], query: ReadingsQuery) {
    let found = pages(history, query.clone()).await;
    let keys = found.iter().map(|r| (r.measured_at, r.vital, r.device.clone()));
    assert!(keys.is_sorted(), "{query:?}");
    let mut found: Vec<_> = found.iter().map(seen).collect();
    found.sort();
    assert_eq!(found, expected(readings, &query), "{query:?}");
}

on_both! {
    async fn pages_hold_exactly_what_is_stored(store: Store) {
        let mut runner = TestRunner::deterministic();
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry()]);
        let history = open_history(&store.settings());
        let mut readings = Vec::new();
        for _ in 0..3 {
            let more = vec(any_reading(), 200).new_tree(&mut runner).expect("readings").current();
            let outputs: Vec<_> = more.iter().map(|reading| Output::Reading(*reading)).collect();
            running.stored(source.commit(outputs.chunks(7).map(<[_]>::to_vec).collect())).await;
            readings.extend(more);
            for patient in ["p-0", "p-1"] {
                for page_size in [1, 7, 1000] {
                    check(&*history, &readings, ReadingsQuery { page_size, ..all_of(patient) })
                        .await;
                }
                let vitals = vec![Vital::Spo2, Vital::Weight, Vital::Spo2];
                let (from, until) = (at(-5), at(3));
                let part = ReadingsQuery { vitals, from, until, page_size: 3, ..all_of(patient) };
                check(&*history, &readings, part).await;
            }
        }
    }

    async fn what_comes_between_two_pages_repeats_and_hides_nothing(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry()]);
        let history = open_history(&store.settings());
        let of_p0 = |hours, n| {
            Output::Reading(Reading {
                measured_at: at(hours),
                patient: PatientKey(0),
                device: DeviceKey(0),
                vital: Vital::HeartRate,
                value: Value::Quantity(Quantity::whole(n)),
                quality: Quality::default(),
                original: None,
                interval: None,
                measurement_id: 0,
            })
        };
        let first: Vec<_> = (0..10).map(|n| of_p0(0, 100 - n)).collect();
        running.stored(source.commit(vec![first])).await;

        let (mut query, mut found) = (all_of("p-0"), Vec::new());
        query.page_size = 3;
        for round in 0.. {
            let page = history.list_readings(query.clone()).await.expect("a page");
            found.extend(page.readings.iter().map(|reading| reading.value));
            // One before, one of the very key, one after what is being read.
            let more = [-1, 0, 1].map(|hours| of_p0(hours, 200 + round)).to_vec();
            if round < 3 {
                running.stored(source.commit(vec![more])).await;
            }
            let Some(token) = page.next_page_token else { break };
            query.page_token = Some(token);
        }
        let values = |numbers: &[i64]| -> Vec<_> {
            numbers.iter().map(|n| Value::Quantity(Quantity::whole(*n))).collect()
        };
        assert_eq!(found[..10], values(&[91, 92, 93, 94, 95, 96, 97, 98, 99, 100]));
        assert_eq!(found[10..], values(&[200, 201, 202, 200, 201, 202]));
    }

    async fn a_patient_of_another_site_is_unknown(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![registry()])).await;
        let history = open_history(&store.settings());
        for (patient, sites, known) in [
            ("p-0", Sites::All, true),
            ("p-0", only(&["north"]), true),
            ("p-0", only(&["south", "north"]), true),
            ("p-0", only(&["south"]), false),
            ("p-0", only(&[]), false),
            ("p-1", only(&["north"]), false),
            ("p-2", Sites::All, false),
        ] {
            let page = history.list_readings(ReadingsQuery { sites, ..all_of(patient) }).await;
            match known {
                true => assert!(page.expect("known").readings.is_empty(), "{patient}"),
                false => assert_eq!(page, Err(HistoryError::UnknownPatient), "{patient}"),
            }
        }
    }

    async fn a_reading_tells_its_three_times(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry()]);
        let reading = Reading {
            measured_at: noon(),
            patient: PatientKey(1),
            device: DeviceKey(1),
            vital: Vital::BodyTemperature,
            value: Value::Quantity(Quantity::from_ten_thousandths(360_500)),
            quality: Quality::LATE.with(Quality::CLOCK_AHEAD),
            original: None,
            interval: None,
            measurement_id: 0,
        };
        running.stored(source.commit(vec![vec![Output::Reading(reading)]])).await;
        let found = pages(&*open_history(&store.settings()), all_of("p-1")).await;
        assert_eq!(found.len(), 1);
        assert_eq!(seen(&found[0]), expected(&[reading], &all_of("p-1"))[0]);
        assert_eq!(found[0].received_at, noon().plus(Duration::from_secs(1)));
        assert!(found[0].stored_at > found[0].received_at);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_no_history() {
    let store = Store::sqlite();
    let page = open_history(&store.settings()).list_readings(all_of("p-0")).await;
    assert!(matches!(page, Err(HistoryError::Unavailable { .. })), "{page:?}");
}
