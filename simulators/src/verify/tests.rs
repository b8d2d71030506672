//! A good run, doctored in every way that a service may fail: each fault must be named.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::convert;
use crate::oracle::alarms::moment;
use crate::oracle::ledger::stored_value;
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response as told;
use crate::record::{Acknowledged, Cut, Device, Entry, Mark, Published, Run, Told, What, Writer};
use crate::verify::report::Finding;

const S: i64 = 1_000_000;
/// When the run began, in microseconds since 1970.
const BEGAN: i64 = 1_769_847_300 * S;
/// Each patient's breach: from, raised, and back within the limit, in seconds of the run.
const BREACH: (i64, i64, i64) = (20, 25, 50);
const LASTS: i64 = 80;
const LATE_AFTER: Micros = 3 * S;
/// A quarter of a second.
const CLOCKS_APART: Micros = 250_000;

fn at(second: i64) -> Timestamp {
    moment(BEGAN + second * S)
}

fn wire(second: i64) -> Option<prost_types::Timestamp> {
    Some(convert::to_timestamp(at(second)))
}

/// A run and what a good service made of it.
struct Scene {
    dir: TempDir,
    given: Given,
    stories: Vec<Story>,
    /// What the watcher is told, and when in microseconds of the run.
    told: Vec<(u64, Heard)>,
}

#[derive(Clone, Debug)]
enum Heard {
    Event(Box<v1::AlertEvent>),
    Live,
    Snapshot,
    Cut,
}

fn profile() -> v1::Profile {
    let span = |seconds| Some(convert::to_duration(SignedDuration::from_secs(seconds)));
    let level = v1::LimitLevel {
        priority: v1::Priority::High.into(),
        limit: 90.0,
        clear_limit: Some(92.0),
        sustained: Some(v1::Sustained { delay: span(5), max_gap: span(2) }),
        ..v1::LimitLevel::default()
    };
    let limit = v1::LimitRule {
        vital: v1::Vital::Spo2.into(),
        side: v1::Side::Below.into(),
        levels: vec![level],
        ..v1::LimitRule::default()
    };
    let silence = v1::SilenceRule {
        vital: v1::Vital::Spo2.into(),
        intervals: 3.0,
        priority: v1::Priority::Medium.into(),
        at_least: span(20),
    };
    let rule = |id: &str, kind| v1::Rule {
        rule_id: id.to_owned(),
        kind: Some(kind),
        ..v1::Rule::default()
    };
    let rules = vec![
        rule("spo2-low", v1::rule::Kind::Limit(limit)),
        rule("silent", v1::rule::Kind::Silence(silence)),
    ];
    v1::Profile { rules }
}

fn device(place: usize, is_enrolled: bool) -> Device {
    Device {
        device_id: format!("d-{place}"),
        patient_id: is_enrolled.then(|| format!("p-{place}")),
        is_enrolled,
        bound_from: at(-60),
        upload_interval: SignedDuration::ZERO,
        measures_every: SignedDuration::from_secs(1),
    }
}

fn value(second: i64) -> f64 {
    if (BREACH.0..BREACH.2).contains(&second) { 85.0 } else { 96.0 }
}

impl Scene {
    /// Two patients, each with an alert, a device that nobody enrolled, and a watcher.
    fn good() -> Self {
        let mut scene = Self::recorded();
        let ledger = ledger::read(scene.dir.path(), CLOCKS_APART).expect("a record");
        for (place, slots) in ledger.slots.iter().enumerate() {
            let device = u32::try_from(place).ok();
            let row = |slot: &crate::oracle::ledger::Slot| StoredReading {
                device,
                vital: slot.reading.vital,
                measured_at: slot.reading.measured_at,
                value: stored_value(slot.reading.worth),
                absent: 0,
                quality: 0,
                received_at: slot.reading.measured_at + 20_000,
            };
            if !slots.is_empty() {
                let rows = slots.iter().map(row).collect();
                scene.given.readings.insert(format!("p-{place}"), rows);
            }
        }
        scene.given.refused = BTreeMap::from([("unknown_device".to_owned(), LASTS as u64)]);
        scene.stories = (0..2).map(story).collect();
        scene
    }

    /// The record alone, but for what the watcher was told.
    fn recorded() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let run = Run {
            version: Run::version(),
            began_at: at(0),
            site: "icu".to_owned(),
            seed: 1,
            profile: profile().encode_to_vec(),
            scenario: serde_json::json!({ "devices": 3 }),
            devices: vec![device(0, true), device(1, true), device(2, false)],
        };
        let mut writer = Writer::create(dir.path(), &run).expect("a record");
        let mut messages = 0;
        for second in 0..LASTS {
            for device in 0..3_u32 {
                let published = published(messages, device, second);
                let micros = u64::try_from(second * S).expect("after the beginning");
                let heard = Acknowledged { message: messages, heard: true };
                writer.add(micros, What::Published(published)).expect("room");
                writer.add(micros + 2_000, What::Acknowledged(heard)).expect("room");
                messages += 1;
            }
        }
        writer.add(30_000_000, What::Mark(Mark { text: "half".to_owned() })).expect("room");
        // Entries are flushed when the writer closes; the ledger is read again at the end.
        writer.close().expect("room");
        let told = [(0, Heard::Snapshot), (1_000, Heard::Live)].into();
        let told = (0..2).fold(told, |mut told: Vec<_>, patient| {
            for event in story(patient).events {
                let at = event.determined_at.and_then(convert::from_timestamp).expect("given");
                let micros = u64::try_from(at.as_microsecond() - BEGAN).expect("after") + 5_000;
                told.push((micros, Heard::Event(Box::new(event))));
            }
            told
        });
        Self { dir, given: Given::default(), stories: Vec::new(), told }
    }

    /// The verdict.
    async fn judge(mut self) -> Report {
        self.tell();
        let ledger = ledger::read(self.dir.path(), CLOCKS_APART).expect("a record");
        let stored = Stored::Given(self.given);
        let progress = ProgressBar::hidden();
        judge(ledger, &stored, &self.stories, LATE_AFTER, &progress).await.expect("given")
    }

    /// Writes what the watcher was told to the end of the record.
    fn tell(&mut self) {
        self.told.sort_by_key(|(micros, _)| *micros);
        let mut bytes = Vec::new();
        let end = u64::try_from(LASTS * S).expect("after");
        let mut told = std::mem::take(&mut self.told);
        told.push((end, Heard::Live));
        for (number, (micros, heard)) in told.into_iter().enumerate() {
            let what = match heard {
                Heard::Cut => What::Cut(Cut { watcher: 1, status: "cut".to_owned() }),
                heard => {
                    let response = response(number, heard).encode_to_vec();
                    What::Told(Told { watcher: 1, response: Bytes::from(response) })
                }
            };
            let entry = Entry { at_micros: micros, what: Some(what) };
            entry.encode_length_delimited(&mut bytes).expect("a vector grows");
        }
        let path = self.dir.path().join("entries");
        let mut whole = std::fs::read(&path).expect("there");
        whole.extend(bytes);
        std::fs::write(&path, whole).expect("room");
    }
}

fn response(number: usize, heard: Heard) -> v1::WatchAlertsResponse {
    let cursor = number.to_string();
    let message = match heard {
        Heard::Event(event) => told::Message::Event(told::Event {
            cursor,
            change: Some(told::event::Change::Alert(*event)),
        }),
        Heard::Snapshot => told::Message::Snapshot(told::Snapshot::default()),
        Heard::Live | Heard::Cut => told::Message::Live(told::Live { cursor }),
    };
    v1::WatchAlertsResponse { message: Some(message) }
}

fn published(message: u64, device: u32, second: i64) -> Published {
    let reading = v1::Reading {
        measured: Some(v1::reading::Measured::OffsetMs(0)),
        vital: v1::Vital::Spo2.into(),
        value: Some(v1::reading::Value::Quantity(value(second))),
        ..v1::Reading::default()
    };
    let batch = v1::ReadingBatch {
        boot_id: 1,
        first_seq: u64::try_from(second).expect("after"),
        base_time: wire(second),
        readings: vec![reading],
        ..v1::ReadingBatch::default()
    };
    Published {
        message,
        device,
        kind: "readings".to_owned(),
        due_micros: u64::try_from(second * S).expect("after"),
        content_type: "application/protobuf".to_owned(),
        payload: Bytes::from(batch.encode_to_vec()),
    }
}

/// What a good service tells of a patient's alert.
fn story(patient: usize) -> Story {
    let alert = |is_over: bool| v1::Alert {
        alert_id: format!("alert-{patient}"),
        patient_id: format!("p-{patient}"),
        site_id: "icu".to_owned(),
        rule_id: "spo2-low".to_owned(),
        vital: v1::Vital::Spo2.into(),
        priority: v1::Priority::High.into(),
        condition: if is_over {
            v1::ConditionState::Inactive.into()
        } else {
            v1::ConditionState::Active.into()
        },
        onset_at: wire(BREACH.0),
        raised_at: wire(BREACH.1),
        ended_at: if is_over { wire(BREACH.2) } else { None },
        closed: is_over,
        etag: u8::from(is_over).to_string(),
        ..v1::Alert::default()
    };
    let event = |phase: v1::AlertPhase, second, is_over| v1::AlertEvent {
        phase: phase.into(),
        determined_at: wire(second),
        alert: Some(alert(is_over)),
        readings: vec![v1::DecidingReading {
            measured_at: wire(second),
            ..v1::DecidingReading::default()
        }],
        ..v1::AlertEvent::default()
    };
    let events = vec![
        event(v1::AlertPhase::Start, BREACH.1, false),
        event(v1::AlertPhase::End, BREACH.2, true),
    ];
    Story { alert: alert(true), events, is_whole: true }
}

/// Doctors a good run; the one kind of fault, by name, that is found, and what names it.
async fn check(doctor: impl FnOnce(&mut Scene), kind: &str, named: &[&str]) {
    let mut scene = Scene::good();
    doctor(&mut scene);
    let report = scene.judge().await;
    let faults: Vec<(String, Finding)> = report
        .faults()
        .into_iter()
        .filter(|(_, finding)| finding.count > 0)
        .map(|(name, finding)| (name, finding.clone()))
        .collect();
    let found = faults.iter().find(|(name, _)| name == kind);
    let (_, finding) = found.unwrap_or_else(|| panic!("no {kind:?} among {faults:?}"));
    assert_eq!(finding.count, 1, "{finding:?}");
    for name in named {
        assert!(finding.examples[0].contains(name), "{name:?} is not in {finding:?}");
    }
    assert!(!report.is_good);
    assert!(Summary(&report).to_string().contains(&finding.examples[0]));
    assert!(page(&report).contains(kind));
}

impl Scene {
    fn row(&mut self, patient: usize, second: usize) -> &mut StoredReading {
        &mut self.rows(patient)[second]
    }

    fn rows(&mut self, patient: usize) -> &mut Vec<StoredReading> {
        self.given.readings.get_mut(&format!("p-{patient}")).expect("a patient")
    }

    fn start_of(&mut self, patient: usize) -> usize {
        let id = format!("alert-{patient}");
        let is_it = |heard: &Heard| {
            matches!(heard, Heard::Event(event)
                if event.phase() == v1::AlertPhase::Start
                    && event.alert.as_ref().is_some_and(|it| it.alert_id == id))
        };
        self.told.iter().position(|(_, heard)| is_it(heard)).expect("it was told")
    }
}

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
