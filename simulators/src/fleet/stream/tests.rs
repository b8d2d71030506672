//! One device's plan: each fault's effect on its messages, and that nothing else changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::super::device::{Flaw, Reading};
use super::super::physiology::Said;
use super::super::scenario::Scheduled;
use super::*;
use crate::sample::Vital;

fn calm() -> Scenario {
    let duration = SignedDuration::from_mins(10);
    Scenario { duration, episodes: Vec::new(), ..Scenario::default() }
}

fn with(kind: Kind, rate: f64) -> Scenario {
    Scenario { rates: BTreeMap::from([(kind, rate)]), ..calm() }
}

fn at(kind: Kind, from: i64, seconds: i64) -> Scenario {
    let (at, length) = (SignedDuration::from_secs(from), SignedDuration::from_secs(seconds));
    let fault = Scheduled { kind, at, length: Some(length), rate: 1.0 };
    Scenario { scheduled: vec![fault], ..calm() }
}

/// All that a device does.
fn plan(scenario: &Scenario, number: u32) -> Vec<Planned> {
    let mut stream = Stream::new(scenario, number, number, "d");
    let plan: Vec<_> = std::iter::from_fn(|| stream.next()).collect();
    assert!(plan.is_sorted_by_key(|planned| planned.due), "in the order of their times");
    plan
}

fn batches(plan: &[Planned]) -> Vec<(i64, &Batch)> {
    plan.iter()
        .filter_map(|planned| match &planned.what {
            What::Batch(batch) => Some((planned.due, batch)),
            _ => None,
        })
        .collect()
}

/// Every number with what it carries: the same at each time it comes.
fn numbered(plan: &[Planned]) -> BTreeMap<(i32, u64), Reading> {
    let mut numbered = BTreeMap::new();
    for (_, batch) in batches(plan) {
        for (number, reading) in (batch.first_seq..).zip(&batch.readings) {
            let first = numbered.entry((batch.boot, number)).or_insert_with(|| reading.clone());
            assert_eq!(first, reading, "number {number} carries one reading");
        }
    }
    numbered
}

/// Numbers of each boot go from 1 without a hole.
fn check_without_holes(numbered: &BTreeMap<(i32, u64), Reading>) {
    let boots: BTreeSet<i32> = numbered.keys().map(|(boot, _)| *boot).collect();
    for boot in boots {
        let numbers = numbered.keys().filter(|(of, _)| *of == boot).map(|(_, number)| *number);
        assert!(numbers.eq(1..=numbered.keys().filter(|(of, _)| *of == boot).count() as u64));
    }
}

fn values(plan: &[Planned]) -> Vec<Said> {
    numbered(plan).into_values().filter(|it| it.flaw.is_none()).map(|it| it.said).collect()
}

fn count(plan: &[Planned], kind: Kind) -> usize {
    plan.iter().filter(|planned| planned.faults.contains(&kind)).count()
}

#[test]
fn a_calm_device_sends_each_second_what_it_measured_under_consecutive_numbers() {
    let plan = plan(&calm(), 3);
    let batches = batches(&plan);
    assert_eq!(batches.len(), 600);
    check_without_holes(&numbered(&plan));
    for (due, batch) in batches {
        let measured = batch.readings.iter().map(|reading| reading.at_ms);
        assert_eq!(measured.max().expect("some") * 1000 + 3, due, "sent once it is measured");
    }
}

#[test]
fn the_plan_depends_on_seed_and_number_alone() {
    let scenario =
        Scenario { rates: Kind::ALL.map(|kind| (kind, 0.2)).into_iter().collect(), ..calm() };
    let is_same = |other: &Scenario, number| plan(&scenario, 5) == plan(other, number);
    assert!(is_same(&scenario, 5));
    let other = Scenario { connections: 1, speed: 7.0, watchers: 9, ..scenario.clone() };
    assert!(is_same(&other, 5));
    assert!(!is_same(&Scenario { seed: 2, ..scenario.clone() }, 5));
    assert!(!is_same(&scenario, 6));
}

#[test]
fn faults_of_messages_change_no_value_and_lose_no_number() {
    let expected = values(&plan(&calm(), 0));
    for kind in [Kind::Duplicates, Kind::Recuts, Kind::Reordering, Kind::Garbage, Kind::Jumps] {
        let plan = plan(&with(kind, 0.1), 0);
        assert!(count(&plan, kind) >= 20, "{kind}: {}", count(&plan, kind));
        check_without_holes(&numbered(&plan));
        assert!(values(&plan) == expected, "{kind}");
    }
}

#[test]
fn a_duplicate_is_another_message_of_the_same_bytes_after_the_first() {
    let plan = plan(&with(Kind::Duplicates, 0.1), 0);
    for (place, again) in plan.iter().enumerate() {
        if again.faults.contains(&Kind::Duplicates) {
            let before = plan[..place].iter().any(|first| first.what == again.what);
            assert!(before, "at {place}");
        }
    }
}

#[test]
fn a_recut_carries_readings_that_have_been_sent() {
    let plan = plan(&with(Kind::Recuts, 0.2), 0);
    let mut sent = BTreeSet::new();
    let mut cut_otherwise = 0;
    for planned in &plan {
        let What::Batch(batch) = &planned.what else { continue };
        let numbers = batch.first_seq..batch.first_seq + batch.readings.len() as u64;
        if planned.faults.contains(&Kind::Recuts) {
            assert!(numbers.clone().all(|number| sent.contains(&number)));
            cut_otherwise += usize::from(numbers.clone().count() > 8);
        }
        sent.extend(numbers);
    }
    assert!(cut_otherwise > 5, "{cut_otherwise} hold more than a batch does");
}

#[test]
fn reordering_sends_a_message_after_the_one_that_follows_it() {
    let plan = plan(&with(Kind::Reordering, 0.1), 0);
    let firsts: Vec<u64> = batches(&plan).iter().map(|(_, batch)| batch.first_seq).collect();
    let overtaken = firsts.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(overtaken, count(&plan, Kind::Reordering));
}

#[test]
fn a_device_that_was_offline_sends_everything_when_it_is_back() {
    let mut marked = BTreeSet::new();
    for number in 0..20 {
        let plan = plan(&at(Kind::Backfill, 60, 90), number);
        let live = |(due, batch): &&(i64, &Batch)| {
            batch.boot == 0 && (60_000_000..150_000_000).contains(due)
        };
        let batches = batches(&plan);
        assert_eq!(batches.iter().filter(live).count(), 0, "nothing leaves an offline device");
        check_without_holes(&numbered(&plan));
        let offline = |reading: &&Reading| (60_000..150_000).contains(&reading.at_ms);
        let numbered = numbered(&plan);
        let held: Vec<_> = numbered.values().filter(offline).collect();
        assert!(held.len() > 80 * 4, "{}", held.len());
        assert!(held.iter().all(|it| it.is_historical == held[0].is_historical));
        let back = batches.iter().find(|(_, batch)| batch.readings.contains(held[0]));
        let back = back.map(|(due, _)| *due).expect("sent");
        assert!((150_000_000..152_000_000).contains(&back), "as soon as it is back: {back}");
        marked.insert(held[0].is_historical);
        let kept = numbered.iter().filter(|((boot, _), _)| *boot < 0);
        let old = kept.map(|(_, reading)| reading.at_ms).max();
        assert!(old.is_none_or(|at_ms| at_ms < -2 * 3_600_000), "{old:?}");
    }
    assert_eq!(marked.len(), 2, "marked historical, and not");
}

#[test]
fn a_wrong_clock_stays_far_from_where_it_is_refused_or_is_hours_ahead() {
    let mut far = 0;
    for number in 0..60 {
        let scenario =
            Scenario { rates: BTreeMap::from([(Kind::Skew, 1.0), (Kind::Jumps, 0.05)]), ..calm() };
        for (_, batch) in batches(&plan(&scenario, number)) {
            let clock_ms = batch.clock_ms.abs();
            let is_far = batch.clock_ms > 3_000_000;
            assert!(clock_ms < CLOCK_OFF_MAX_MS || is_far, "{} ms", batch.clock_ms);
            far += u32::from(is_far);
        }
        for (_, batch) in batches(&plan(&with(Kind::Jumps, 0.2), number)) {
            assert!(batch.clock_ms.abs() < CLOCK_OFF_MAX_MS, "{} ms", batch.clock_ms);
        }
    }
    assert!(far > 0);
}

#[test]
fn a_restart_begins_a_new_boot_at_number_1() {
    let plan = plan(&with(Kind::Restarts, 0.02), 0);
    let numbered = numbered(&plan);
    check_without_holes(&numbered);
    let boots: BTreeSet<i32> = numbered.keys().map(|(boot, _)| *boot).collect();
    assert_eq!(boots.len(), count(&plan, Kind::Restarts) + 1);
    assert_eq!(boots, BTreeSet::from([0, 1, 2]), "and so the service remembers all of them");
}

#[test]
fn garbage_is_no_message_or_a_reading_that_is_none_within_a_good_one() {
    use prost::Message as _;
    let plan = plan(&with(Kind::Garbage, 0.2), 0);
    let mut flaws = BTreeSet::new();
    let mut garbage = BTreeSet::new();
    for planned in &plan {
        match &planned.what {
            What::Garbage(bytes) => {
                assert!(crate::proto::v1::ReadingBatch::decode(bytes.clone()).is_err());
                garbage.insert(bytes.clone());
            }
            What::Batch(batch) => {
                flaws.extend(batch.readings.iter().filter_map(|it| it.flaw).map(|it| it as u8));
                assert!(batch.readings.iter().any(|reading| reading.flaw.is_none()));
            }
            _ => {}
        }
    }
    assert_eq!((garbage.len(), flaws.len()), (3, Flaw::ALL.len()));
}

#[test]
fn a_silent_device_measures_nothing_and_numbers_go_on() {
    let plan = plan(&at(Kind::Silence, 100, 200), 0);
    let numbered = numbered(&plan);
    check_without_holes(&numbered);
    assert!(numbered.values().all(|it| !(100_000..300_000).contains(&it.at_ms)));
    assert_eq!(numbered.values().map(|it| it.at_ms).max(), Some(599_000));
}

#[test]
fn a_device_that_is_replaced_stops_and_the_spare_goes_on_with_the_patient() {
    let scenario = at(Kind::Swaps, 100, 1);
    let worn = plan(&scenario, 0);
    assert!(matches!(worn.last(), Some(Planned { what: What::Swap, due: 100_000_000, .. })));
    let mut spare = Stream::new(&scenario, scenario.devices, 0, "spare");
    assert!(!spare.is_replaced());
    spare.begin_at(103_000);
    let spare: Vec<_> = std::iter::from_fn(|| spare.next()).collect();
    check_without_holes(&numbered(&spare));
    let by_time = |plan: &[Planned]| -> BTreeMap<_, _> {
        let readings = numbered(plan).into_values();
        let steady = readings.filter(|it| Vital::STEADY.contains(&it.vital));
        steady.map(|it| ((it.at_ms, it.vital as u8), it.said)).collect()
    };
    let (spare, one) = (by_time(&spare), by_time(&plan(&calm(), 0)));
    assert_eq!(spare.keys().next().map(|(at_ms, _)| *at_ms), Some(103_000));
    assert!(spare.iter().all(|(at, said)| one.get(at) == Some(said)), "the same body");
}

#[test]
fn a_stranger_says_that_it_is_one_and_a_spare_says_nothing() {
    let strange = plan(&calm(), calm().devices);
    assert_eq!(strange[0].what, What::Mark("strangers: d is not enrolled".to_owned()));
    let mut spare = Stream::new(&calm(), calm().devices, 0, "spare");
    assert!(!std::iter::from_fn(|| spare.next()).any(|it| matches!(it.what, What::Mark(_))));
}

#[test]
fn what_is_scheduled_is_told_when_it_is_due() {
    let plan = plan(&at(Kind::Silence, 100, 200), 0);
    let marks = plan.iter().filter(|planned| matches!(planned.what, What::Mark(_)));
    let marks: Vec<i64> = marks.map(|mark| mark.due).collect();
    assert_eq!((marks, count(&plan, Kind::Silence)), (vec![100_000_000], 1));
}
