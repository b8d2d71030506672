//! A good run, to be doctored: two patients who each breach a limit once, a watcher who is told of it,
//! and a store that has everything.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;
use tempfile::TempDir;

use super::super::*;
use crate::convert;
use crate::oracle::alarms::moment;
use crate::oracle::ledger::stored_value;
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response as told;
use crate::record::{Acknowledged, Cut, Device, Entry, Mark, Published, Run, Told, What, Writer};
use crate::verify::report::Finding;

pub(super) const S: i64 = 1_000_000;
/// When the run began, in microseconds since 1970.
pub(super) const BEGAN: i64 = 1_769_847_300 * S;
/// Each patient's breach: from, raised, and back within the limit, in seconds of the run.
pub(super) const BREACH: (i64, i64, i64) = (20, 25, 50);
pub(super) const LASTS: i64 = 80;
pub(super) const LATE_AFTER: Micros = 3 * S;
/// A quarter of a second.
pub(super) const CLOCKS_APART: Micros = 250_000;

pub(super) fn at(second: i64) -> Timestamp {
    moment(BEGAN + second * S)
}

pub(super) fn wire(second: i64) -> Option<prost_types::Timestamp> {
    Some(convert::to_timestamp(at(second)))
}

/// A run and what a good service made of it.
pub(super) struct Scene {
    dir: TempDir,
    pub(super) given: Given,
    pub(super) stories: Vec<Story>,
    /// What the watcher is told, and when in microseconds of the run.
    pub(super) told: Vec<(u64, Heard)>,
}

#[derive(Clone, Debug)]
pub(super) enum Heard {
    Event(Box<v1::AlertEvent>),
    Live,
    Snapshot,
    Cut,
}

pub(super) fn profile() -> v1::Profile {
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

pub(super) fn device(place: usize, is_enrolled: bool) -> Device {
    Device {
        device_id: format!("d-{place}"),
        patient_id: is_enrolled.then(|| format!("p-{place}")),
        is_enrolled,
        bound_from: at(-60),
        upload_interval: SignedDuration::ZERO,
        measures_every: SignedDuration::from_secs(1),
    }
}

pub(super) fn value(second: i64) -> f64 {
    if (BREACH.0..BREACH.2).contains(&second) { 85.0 } else { 96.0 }
}

impl Scene {
    /// Two patients, each with an alert, a device that nobody enrolled, and a watcher.
    pub(super) fn good() -> Self {
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
    pub(super) fn recorded() -> Self {
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
    pub(super) async fn judge(mut self) -> Report {
        self.tell();
        let ledger = ledger::read(self.dir.path(), CLOCKS_APART).expect("a record");
        let stored = Stored::Given(self.given);
        let progress = ProgressBar::hidden();
        judge(ledger, &stored, &self.stories, LATE_AFTER, &progress).await.expect("given")
    }

    /// Writes what the watcher was told to the end of the record.
    pub(super) fn tell(&mut self) {
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

pub(super) fn response(number: usize, heard: Heard) -> v1::WatchAlertsResponse {
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

pub(super) fn published(message: u64, device: u32, second: i64) -> Published {
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
pub(super) fn story(patient: usize) -> Story {
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
pub(super) async fn check(doctor: impl FnOnce(&mut Scene), kind: &str, named: &[&str]) {
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
    pub(super) fn row(&mut self, patient: usize, second: usize) -> &mut StoredReading {
        &mut self.rows(patient)[second]
    }

    pub(super) fn rows(&mut self, patient: usize) -> &mut Vec<StoredReading> {
        self.given.readings.get_mut(&format!("p-{patient}")).expect("a patient")
    }

    pub(super) fn start_of(&mut self, patient: usize) -> usize {
        let id = format!("alert-{patient}");
        let is_it = |heard: &Heard| {
            matches!(heard, Heard::Event(event)
                if event.phase() == v1::AlertPhase::Start
                    && event.alert.as_ref().is_some_and(|it| it.alert_id == id))
        };
        self.told.iter().position(|(_, heard)| is_it(heard)).expect("it was told")
    }
}
