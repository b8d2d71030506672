//! A good run, doctored in every way that a service may fail: each fault must be named.

mod scene;

use scene::*;

use super::*;
use crate::proto::v1;

#[tokio::test]
async fn a_good_run_is_good() {
    let report = Scene::good().judge().await;
    assert!(report.is_good, "{:#?}", report.faults());
    let readings = &report.readings;
    let lasts = LASTS as u64;
    assert_eq!((readings.must, readings.may, readings.stored), (2 * lasts, 0, 2 * lasts));
    assert_eq!(readings.refused["unknown_device"].must, lasts);
    assert_eq!((report.alerts.must, report.alerts.matched), (2, 2));
    let latency = report.latency.alerts["high"];
    assert_eq!(latency.count, 2);
    assert!((latency.max - 5.0).abs() < 0.05, "{latency:?}");
    assert_eq!((report.watchers[0].events, report.watchers[0].cuts), (4, 0));
}

#[tokio::test]
async fn a_reading_that_is_not_there_is_lost() {
    let measured = at(7).to_string();
    let doctor = |scene: &mut Scene| {
        scene.rows(1).remove(7);
    };
    check(doctor, "readings lost", &["spo2 of p-1", &measured, "d-1", "message 22"]).await;
}

#[tokio::test]
async fn a_reading_that_is_there_twice_is_doubled() {
    let doctor = |scene: &mut Scene| {
        let row = *scene.row(0, 7);
        scene.rows(0).push(row);
    };
    check(doctor, "readings doubled", &["p-0", &at(7).to_string()]).await;
}

#[tokio::test]
async fn a_reading_with_another_value_is_named_with_both() {
    let doctor = |scene: &mut Scene| scene.row(0, 7).value = Some(95.9999);
    check(doctor, "readings with a wrong value", &["p-0", "96 sent", "95.9999 stored"]).await;
}

#[tokio::test]
async fn a_reading_at_another_time_or_of_another_patient_is_named_as_such() {
    let doctor = |scene: &mut Scene| scene.row(0, 7).measured_at += 1;
    check(doctor, "readings at a wrong time", &["p-0", &at(7).to_string()]).await;
    let doctor = |scene: &mut Scene| {
        let row = scene.rows(0).remove(7);
        scene.rows(1).push(row);
    };
    check(doctor, "readings of a wrong patient", &["p-0", "\"p-1\""]).await;
    let doctor = |scene: &mut Scene| {
        let row = scene.rows(0).remove(7);
        scene.given.strays.push(("somebody".to_owned(), row));
    };
    check(doctor, "readings of a wrong patient", &["p-0", "\"somebody\""]).await;
}

#[tokio::test]
async fn a_reading_that_nobody_sent_is_unexpected() {
    let doctor = |scene: &mut Scene| {
        let row = *scene.row(0, 7);
        scene.rows(0).push(StoredReading { measured_at: BEGAN - S, value: Some(1.0), ..row });
    };
    check(doctor, "readings that nobody sent", &["p-0", &at(-1).to_string()]).await;
}

#[tokio::test]
async fn a_reading_received_before_it_was_sent_is_odd() {
    let doctor = |scene: &mut Scene| scene.row(0, 70).received_at -= 2 * S;
    check(doctor, "readings received at an odd time", &["p-0", &at(70).to_string()]).await;
}

#[tokio::test]
async fn what_was_not_refused_is_told_by_reason() {
    let doctor = |scene: &mut Scene| scene.given.refused.clear();
    check(doctor, "messages that were not refused", &["unknown_device"]).await;
    let doctor = |scene: &mut Scene| {
        scene.given.refused.insert("impossible_value".to_owned(), 1);
    };
    check(doctor, "messages that were not refused", &["impossible_value"]).await;
}

#[tokio::test]
async fn an_alert_that_is_not_raised_is_missed() {
    let doctor = |scene: &mut Scene| {
        scene.stories.remove(1);
    };
    let onset = at(BREACH.0).to_string();
    check(doctor, "alerts missed", &["spo2-low of p-1", &onset, "message 76"]).await;
}

#[tokio::test]
async fn an_alert_that_had_not_to_be_is_false() {
    let doctor = |scene: &mut Scene| {
        let mut extra = story(0);
        extra.alert.alert_id = "extra".to_owned();
        extra.alert.onset_at = wire(60);
        extra.alert.raised_at = wire(65);
        extra.events.clear();
        scene.stories.push(extra);
    };
    check(doctor, "false alerts", &["spo2-low of p-0", "extra"]).await;
}

#[tokio::test]
async fn two_alerts_of_one_breach_are_doubled() {
    let doctor = |scene: &mut Scene| {
        let mut twin = story(0);
        twin.alert.alert_id = "twin".to_owned();
        twin.events.iter_mut().for_each(|event| {
            event.alert.as_mut().expect("given").alert_id = "twin".to_owned();
            event.determined_at = wire(-100);
        });
        scene.stories.push(twin);
    };
    check(doctor, "alerts doubled", &["spo2-low of p-0", "twin"]).await;
}

#[tokio::test]
async fn an_alert_that_is_told_late_is_late() {
    let doctor = |scene: &mut Scene| {
        let start = scene.start_of(1);
        scene.told[start].0 += 4_000_000;
    };
    check(doctor, "alerts told late", &["p-1", "told"]).await;
}

#[tokio::test]
async fn an_alert_that_no_watcher_is_told_of_is_named() {
    let doctor = |scene: &mut Scene| {
        let start = scene.start_of(1);
        scene.told.remove(start);
    };
    check(doctor, "alerts not told", &["p-1"]).await;
    let doctor = |scene: &mut Scene| {
        let start = scene.start_of(1);
        scene.told.remove(start);
    };
    check(doctor, "events missing to watcher 1", &["start of spo2-low of p-1"]).await;
}

#[tokio::test]
async fn an_event_that_is_told_twice_is_repeated() {
    let doctor = |scene: &mut Scene| {
        let start = scene.start_of(1);
        let again = scene.told[start].clone();
        scene.told.push((again.0 + 9_000, again.1));
    };
    check(doctor, "events repeated to watcher 1", &["start of spo2-low of p-1"]).await;
}

#[tokio::test]
async fn an_event_after_a_later_one_of_the_patient_is_out_of_order() {
    let doctor = |scene: &mut Scene| {
        let start = scene.start_of(1);
        scene.told[start].0 = u64::try_from((BREACH.2 + 1) * S).expect("after");
    };
    check(doctor, "events out of order to watcher 1", &["start of spo2-low of p-1"]).await;
}

#[tokio::test]
async fn an_event_that_is_missing_after_a_cut_is_named_and_after_a_snapshot_is_not_asked_for() {
    let cut = |scene: &mut Scene, anew: bool| {
        let start = scene.start_of(1);
        scene.told.remove(start);
        let around = u64::try_from(BREACH.1 * S).expect("after");
        scene.told.push((around - 4_000_000, Heard::Cut));
        if anew {
            // The other patient's start falls into the same time.
            let other = scene.start_of(0);
            scene.told.remove(other);
            scene.told.push((around + 3_000_000, Heard::Snapshot));
        }
        scene.told.push((around + 4_000_000, Heard::Live));
    };
    check(|scene| cut(scene, false), "events missing to watcher 1", &["start of"]).await;
    let mut scene = Scene::good();
    cut(&mut scene, true);
    let report = scene.judge().await;
    assert_eq!(report.watchers[0].missing.count, 0, "{:?}", report.watchers);
}

#[tokio::test]
async fn an_alert_that_never_ends_and_one_that_ends_early_or_late_are_named() {
    let never = |scene: &mut Scene| {
        let alert = &mut scene.stories[0].alert;
        alert.condition = v1::ConditionState::Active.into();
        (alert.ended_at, alert.closed) = (None, false);
    };
    check(never, "alerts not ended", &["p-0", "to end"]).await;
    let early = |scene: &mut Scene| scene.stories[0].alert.ended_at = wire(BREACH.2 - 1);
    check(early, "alerts ended too early", &["p-0", &at(BREACH.2 - 1).to_string()]).await;
    let late = |scene: &mut Scene| scene.stories[0].alert.ended_at = wire(BREACH.2 + 1);
    check(late, "alerts ended too late", &["p-0", &at(BREACH.2 + 1).to_string()]).await;
}

#[tokio::test]
async fn another_priority_onset_or_deciding_reading_is_named() {
    let priority = |scene: &mut Scene| {
        for event in &mut scene.stories[0].events {
            event.alert.as_mut().expect("given").priority = v1::Priority::Low.into();
        }
    };
    check(priority, "alerts of a wrong priority", &["p-0", "it was low"]).await;
    let onset = |scene: &mut Scene| scene.stories[0].alert.onset_at = wire(BREACH.0 + 1);
    check(onset, "alerts with a wrong onset", &["p-0"]).await;
    let reading = |scene: &mut Scene| {
        scene.stories[0].events[0].readings[0].measured_at = wire(BREACH.1 + 1);
    };
    check(reading, "alerts raised by another reading", &["p-0"]).await;
}

#[tokio::test]
async fn what_other_rules_raise_is_counted_and_not_judged() {
    let mut scene = Scene::good();
    let mut other = story(0);
    other.alert.rule_id = "pulseward.ingest".to_owned();
    (other.alert.alert_id, other.alert.patient_id) = ("own".to_owned(), String::new());
    other.events.clear();
    scene.stories.push(other);
    let report = scene.judge().await;
    assert!(report.is_good, "{:?}", report.faults());
    let count = &report.alerts.rules["pulseward.ingest"];
    assert_eq!((count.raised, count.is_judged), (1, false));
}

#[tokio::test]
async fn the_page_needs_nothing_but_itself() {
    let page = page(&Scene::good().judge().await);
    assert!(page.contains("All is as it must be") && page.contains("half"));
    for foreign in ["http://", "https://", "src=", "@import", "<script"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
