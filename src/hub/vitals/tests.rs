//! The task on a real journal, and one watcher's places by themselves.

mod places;

use std::collections::BTreeSet;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::engine::input::{Event, Input, Sites};
use crate::engine::output::{DeviceRow, Erased, MonitoringState, PatientRow};
use crate::engine::profile::Eligibility;
use crate::journal::{Record, Settings, Writer};
use crate::vitals::{DeviceId, DeviceKey, Quantity, SiteKey, Value, Vital};

/// The task on a real journal.
pub(crate) struct House {
    writer: Option<Writer>,
    position: Position,
    hub: VitalsHandle,
    running: JoinHandle<Result<(), journal::Error>>,
    _dir: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let opened = journal::open(&Settings::new(dir.path().join("journal"))).unwrap();
        let (hub, handle) = unstarted(&opened.journal);
        let running = tokio::spawn(hub.run());
        let (writer, position) = (Some(opened.writer), Position::START);
        Self { writer, position, hub: handle, running, _dir: dir }
    }

    /// The way in for watchers.
    pub(crate) fn handle(&self) -> VitalsHandle {
        self.hub.clone()
    }

    /// A moment of the story.
    pub(crate) fn time(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    pub(super) fn say(&mut self, outputs: Vec<Output>) {
        self.position = self.position.next();
        let input = Input { received_at: Self::time(0), event: Event::Tick };
        let entry = Entry { position: self.position, input, outputs };
        let writer = self.writer.as_mut().expect("not closed");
        writer.commit(vec![Record::new(Arc::new(entry))]).unwrap();
    }

    /// A patient and a device of the same number at a site.
    pub(crate) fn enroll(&mut self, number: u32, site: &str) {
        let row = DeviceRow {
            key: DeviceKey(number),
            id: device_of(number),
            site: SiteKey(0),
            created_at: Self::time(0),
        };
        let device = Output::Registry(Box::new(RegistryChange::Device(row)));
        self.say(vec![device, placed(number, site)]);
    }

    pub(crate) fn move_to(&mut self, number: u32, site: &str) {
        self.say(vec![placed(number, site)]);
    }

    /// A heart rate of the patient by their device.
    pub(crate) fn measure(&mut self, number: u32, at: i64, rate: i64) {
        self.say(vec![Output::Reading(beat(number, at, rate))]);
    }

    fn erase(&mut self, number: u32) {
        let key = PatientKey(number);
        let tombstone = PatientRow {
            key,
            id: PatientId::erased(key),
            site: SiteKey(0),
            created_at: Self::time(0),
            eligibility: Eligibility::default(),
            paused_until: None,
        };
        self.say(vec![Output::Erased(Box::new(Erased {
            patient: None,
            site: "north".parse().unwrap(),
            tombstone,
            requested_by: "anna".to_owned(),
            worn: Vec::new(),
        }))]);
    }

    async fn watch(&self, filter: VitalsFilter) -> VitalsWatch {
        self.hub.watch(filter).await.unwrap()
    }
}

fn unstarted(journal: &Journal) -> (VitalsHub, VitalsHandle) {
    let (connected, ingest_connected) = channel::channel(true);
    // Nobody sends on it any more; what it last said stands.
    drop(connected);
    let (names, clock) = (Names::default(), Arc::new(SystemClock));
    VitalsHub::new(journal, Position::START, names, ingest_connected, Arc::default(), clock)
        .unwrap()
}

/// A task that does not run, on an empty journal, for tests of what stands before it.
pub(crate) fn idle() -> VitalsHandle {
    let dir = TempDir::new().unwrap();
    let opened = journal::open(&Settings::new(dir.path().join("journal"))).unwrap();
    unstarted(&opened.journal).1
}

fn patient_of(number: u32) -> PatientId {
    format!("p{number}").parse().unwrap()
}

fn device_of(number: u32) -> DeviceId {
    format!("d{number}").parse().unwrap()
}

fn placed(number: u32, site: &str) -> Output {
    Output::Monitoring(Box::new(MonitoringChange {
        patient: patient_of(number),
        patient_key: PatientKey(number),
        site: site.parse().unwrap(),
        state: MonitoringState::Monitored,
        since: House::time(0),
        moved_from: None,
    }))
}

fn beat(number: u32, at: i64, rate: i64) -> Reading {
    Reading {
        measured_at: House::time(at),
        patient: PatientKey(number),
        device: DeviceKey(number),
        vital: Vital::HeartRate,
        value: Value::Quantity(Quantity::whole(rate)),
        quality: Quality::default(),
        original: None,
        interval: None,
        measurement_id: 0,
    }
}

/// Everybody at this site, as fast as it goes.
fn everybody_at(site: &str) -> VitalsFilter {
    VitalsFilter {
        scope: Sites::All,
        sites: BTreeSet::from([site.parse().unwrap()]),
        patients: BTreeSet::new(),
        vitals: BTreeSet::new(),
        interval: Duration::ZERO,
    }
}

fn only(site: &str) -> Sites {
    Sites::Only(vec![site.parse().unwrap()])
}

/// What comes next but for heartbeats: `p1 80`, `p1 80 +3` with what was left out, `p1 left`.
async fn told(watch: &mut VitalsWatch) -> String {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.next());
        match next.await.expect("in time").expect("the task runs") {
            Told::Reading { live, conflated } => {
                assert_eq!(live.device, device_of(live.reading.patient.0));
                let Value::Quantity(rate) = live.reading.value else { panic!("{live:?}") };
                let conflated =
                    if conflated > 0 { format!(" +{conflated}") } else { String::new() };
                return format!("{} {}{conflated}", live.patient, rate.to_f64());
            }
            Told::Left(patient) => return format!("{patient} left"),
            Told::Heartbeat(_) => {}
        }
    }
}

#[tokio::test]
async fn who_watches_a_site_is_told_of_those_who_are_there_and_of_nobody_else() {
    let mut house = House::new();
    house.enroll(1, "north");
    house.enroll(2, "south");
    let mut north = house.watch(everybody_at("north")).await;
    let elsewhere = VitalsFilter { scope: only("south"), ..everybody_at("north") };
    let mut elsewhere = house.watch(elsewhere).await;
    let named = [patient_of(1), patient_of(2)].into();
    let named = VitalsFilter { scope: only("south"), patients: named, ..everybody_at("north") };
    let mut named = house.watch(named).await;
    house.measure(1, 1, 80);
    house.measure(2, 2, 90);
    house.enroll(3, "north");
    house.measure(3, 3, 100);
    assert_eq!(told(&mut north).await, "p1 80");
    assert_eq!(told(&mut north).await, "p3 100");
    assert_eq!(told(&mut named).await, "p2 90");
    house.move_to(3, "south");
    assert_eq!(told(&mut north).await, "p3 left");
    // Whose scope does not hold the site that was asked for is told nothing, not even of its end.
    drop(house.writer.take());
    house.running.await.unwrap().unwrap();
    assert_eq!(elsewhere.next().await.unwrap_err(), VitalsEnded::Stopping);
}

#[tokio::test]
async fn what_is_left_out_and_what_is_told_add_up_to_what_came_in() {
    let mut house = House::new();
    house.enroll(1, "north");
    let mut watch = house.watch(everybody_at("north")).await;
    let last = 500;
    for at in 1..=last {
        house.measure(1, at, 60 + at % 40);
    }
    let (mut delivered, mut conflated) = (0, 0);
    loop {
        let Ok(Told::Reading { live, conflated: left_out }) = watch.next().await else { continue };
        delivered += 1;
        conflated += i64::from(left_out);
        if live.reading.measured_at == House::time(last) {
            break;
        }
    }
    assert_eq!(delivered + conflated, last);
}

#[tokio::test]
async fn only_vitals_that_are_wanted_are_told_and_no_tests() {
    let mut house = House::new();
    house.enroll(1, "north");
    let vitals = BTreeSet::from([Vital::Spo2]);
    let mut watch = house.watch(VitalsFilter { vitals, ..everybody_at("north") }).await;
    let spo2 = |at, value, quality| {
        Output::Reading(Reading { vital: Vital::Spo2, quality, ..beat(1, at, value) })
    };
    house.say(vec![
        Output::Reading(beat(1, 1, 80)),
        spo2(1, 97, Quality::default()),
        spo2(2, 20, Quality::TEST),
        spo2(3, 21, Quality::DEMO),
    ]);
    assert_eq!(told(&mut watch).await, "p1 97");
    house.say(vec![spo2(4, 96, Quality::IMPLAUSIBLE)]);
    assert_eq!(told(&mut watch).await, "p1 96");
}

#[tokio::test]
async fn who_was_erased_has_left_and_their_number_is_nobodys() {
    let mut house = House::new();
    house.enroll(1, "north");
    let mut watch = house.watch(everybody_at("north")).await;
    house.measure(1, 1, 80);
    assert_eq!(told(&mut watch).await, "p1 80");
    house.erase(1);
    assert_eq!(told(&mut watch).await, "p1 left");
    house.measure(1, 2, 81);
    house.enroll(2, "north");
    house.measure(2, 3, 90);
    assert_eq!(told(&mut watch).await, "p2 90");
}

#[tokio::test]
async fn a_watcher_that_reads_nothing_holds_nobody_up() {
    let mut house = House::new();
    house.enroll(1, "north");
    let asleep = house.watch(everybody_at("north")).await;
    let mut awake = house.watch(everybody_at("north")).await;
    for at in 1..=200 {
        house.measure(1, at, at % 100);
        assert_eq!(told(&mut awake).await, format!("p1 {}", at % 100));
    }
    drop(asleep);
}

/// A task that does not run yet is told that time has passed.
#[tokio::test]
async fn heartbeats_say_whether_messages_come_and_only_the_last_waits() {
    let dir = TempDir::new().unwrap();
    let opened = journal::open(&Settings::new(dir.path().join("journal"))).unwrap();
    let (connected, ingest_connected) = channel::channel(true);
    let (names, clock) = (Names::default(), Arc::new(SystemClock));
    let begin = Position::START;
    let made =
        VitalsHub::new(&opened.journal, begin, names, ingest_connected, Arc::default(), clock);
    let (mut hub, handle) = made.unwrap();
    let (watch, ()) = tokio::join!(handle.watch(everybody_at("north")), async {
        let join = hub.joins.recv().await.expect("somebody wants in");
        hub.join(join);
    });
    let mut watch = watch.unwrap();
    hub.beat();
    connected.send_replace(false);
    hub.beat();
    let Ok(Told::Heartbeat(heartbeat)) = watch.next().await else { panic!("a heartbeat") };
    assert!(!heartbeat.ingest_connected);
    connected.send_replace(true);
    hub.beat();
    let Ok(Told::Heartbeat(heartbeat)) = watch.next().await else { panic!("another") };
    assert!(heartbeat.ingest_connected);
    drop(watch);
    hub.beat();
    assert!(hub.watchers.is_empty(), "nobody is kept who has gone");
}
