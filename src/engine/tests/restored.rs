//! A state rebuilt from what followers were told: what goes on, what is known again, and what is
//! said of it.

use std::collections::BTreeMap;

use super::restore::{
    AlertStanding, Chunk, DeviceStanding, NewestReading, PatientStanding, ReceivedReading, Totals,
};
use super::*;
use crate::engine::audit::Head;
use crate::vitals::{DeviceKey, PatientKey, SiteKey};

/// What a store holds of outputs that it was told.
#[derive(Default)]
struct Held {
    sites: BTreeMap<SiteKey, SiteRow>,
    patients: BTreeMap<PatientKey, PatientStanding>,
    monitoring: BTreeMap<PatientKey, (MonitoringState, Timestamp)>,
    devices: BTreeMap<DeviceKey, DeviceStanding>,
    erased: Vec<Erased>,
    profiles: Vec<ProfileRow>,
    alerts: Vec<AlertStanding>,
    totals: Totals,
}

impl Held {
    fn of(ward: &Ward) -> Self {
        let mut held = Self::default();
        ward.outputs.iter().for_each(|output| held.take(output, ward.now));
        held
    }

    fn take(&mut self, output: &Output, now: i64) {
        match output {
            Output::Registry(change) => self.register(change),
            Output::Monitoring(change) => {
                self.monitoring.insert(change.patient_key, (change.state, change.since));
            }
            Output::DeviceNumbers(numbers) => {
                let device = self.devices.get_mut(&numbers.device).expect("known");
                device.numbers = numbers.packed.clone();
                device.newest_measured_at = numbers.newest;
            }
            Output::DeviceSequences(told) => {
                let device = self.devices.get_mut(&told.device).expect("known");
                device.account = Some((told.counts, told.last_seen_at));
            }
            Output::Reading(reading) => self.measure(reading, Timestamp::from_seconds(now)),
            Output::Alert(event) => self.alert(event),
            Output::Redriven(told) => self.totals.redrives = told.number,
            Output::Audit(event) => {
                self.totals.audit = Head { number: event.number, digest: event.digest };
            }
            Output::Erased(erased) => self.erase(erased),
            Output::Reject(_) | Output::Verdict(_) => {}
        }
    }

    fn erase(&mut self, erased: &Erased) {
        let key = erased.tombstone.key;
        self.register(&RegistryChange::Patient(erased.tombstone.clone()));
        self.monitoring.remove(&key);
        for worn in &erased.worn {
            let device = self.devices.get_mut(&worn.device).expect("known");
            device.bindings.retain(|binding| binding.patient != key);
            let until = worn.until.minus(Duration::from_micros(1));
            device.newest_measured_at = device.newest_measured_at.max(Some(until));
        }
        self.erased.push(erased.clone());
    }

    fn register(&mut self, change: &RegistryChange) {
        match change.clone() {
            RegistryChange::Site(row) => drop(self.sites.insert(row.key, row)),
            RegistryChange::Patient(row) => {
                let occurrences = self.patients.get(&row.key).map_or(0, |held| held.occurrences);
                let (monitoring, by_hand) = (None, Vec::new());
                let standing = PatientStanding { monitoring, occurrences, by_hand, row };
                self.patients.insert(standing.row.key, standing);
            }
            RegistryChange::Device(row) => drop(self.devices.insert(
                row.key,
                DeviceStanding {
                    row,
                    bindings: Vec::new(),
                    numbers: bytes::Bytes::new(),
                    newest_measured_at: None,
                    account: None,
                    newest: Vec::new(),
                    unnumbered: Vec::new(),
                },
            )),
            RegistryChange::Binding(row) => {
                let bindings = &mut self.devices.get_mut(&row.device).expect("known").bindings;
                bindings.retain(|binding| binding.from != row.from);
                bindings.push(row);
            }
            RegistryChange::Profile(row) => self.profiles.push(row),
        }
    }

    fn measure(&mut self, reading: &Reading, received_at: Timestamp) {
        let Reading { vital, measured_at, value, .. } = *reading;
        let device = self.devices.get_mut(&reading.device).expect("known");
        device.unnumbered.push(ReceivedReading { vital, measured_at, value, received_at });
        device.newest.retain(|newest| newest.vital != vital || newest.measured_at > measured_at);
        if device.newest.iter().all(|newest| newest.vital != vital) {
            device.newest.push(NewestReading { vital, measured_at, value, is_judged: true });
        }
    }

    fn alert(&mut self, event: &AlertEvent) {
        let alert = event.alert.clone();
        if event.phase == Phase::Start {
            match alert.patient_key {
                Some(key) => self.patients.get_mut(&key).expect("known").occurrences += 1,
                None => self.totals.own_alerts += 1,
            }
        }
        let held = self.alerts.iter().position(|held| held.alert.id == alert.id);
        let highest = alert.priority;
        match held {
            Some(index) if alert.is_over() => drop(self.alerts.remove(index)),
            Some(index) => {
                let highest = highest.max(self.alerts[index].highest);
                self.alerts[index] = AlertStanding { alert, highest };
            }
            None if alert.is_over() => {}
            None => self.alerts.push(AlertStanding { alert, highest }),
        }
    }

    /// In chunks of one row each, with which nothing that is whole could be taken for granted.
    fn into_chunks(self) -> Vec<Chunk> {
        let scope = |wanted: fn(&Scope) -> bool| {
            let of_scope = self.profiles.iter().filter(move |row| wanted(&row.scope));
            of_scope.map(|row| Chunk::Profiles(vec![row.clone()])).collect::<Vec<_>>()
        };
        let general = scope(|scope| !matches!(scope, Scope::Patient(_)));
        let individual = scope(|scope| matches!(scope, Scope::Patient(_)));
        let patients = u32::try_from(self.patients.len()).expect("few") + 2;
        let sites = self.sites.into_values().map(|row| Chunk::Sites(vec![row]));
        let rows = self.patients.into_values().map(|mut row| {
            row.monitoring = self.monitoring.get(&row.row.key).copied();
            Chunk::Patients(vec![row])
        });
        let devices = self.devices.into_values().map(|mut row| {
            if !row.numbers.is_empty() {
                row.unnumbered.clear();
            }
            Chunk::Devices(vec![row])
        });
        let erased = self.erased.into_iter().map(|erased| Chunk::Erased(vec![erased]));
        let alerts = self.alerts.into_iter().map(|row| Chunk::Alerts(vec![row]));
        let settle = (0..patients).map(|key| Chunk::Settle { first: PatientKey(key), count: 1 });
        sites
            .chain(general)
            .chain(rows)
            .chain(erased)
            .chain(individual)
            .chain(devices)
            .chain(alerts)
            .chain(settle)
            .chain([Chunk::End(self.totals)])
            .collect()
    }
}

impl Ward {
    /// The journal is lost, and rebuilt from what followers were told of it so far.
    fn restored(&self) -> Self {
        Self::rebuilt(Held::of(self), self)
    }

    fn rebuilt(held: Held, before: &Ward) -> Self {
        let (now, sequence) = (before.now, before.sequence);
        let mut ward = Self { now, sequence, ..Self::default() };
        for chunk in held.into_chunks() {
            ward.apply(Event::Restored(Box::new(chunk)));
        }
        ward
    }

    /// The rebuilt service starts so many seconds later, and its broker is there.
    fn begin(&mut self, after: i64) {
        let last_alive = Some(Timestamp::from_seconds(self.now));
        self.now += after;
        self.apply(Event::Started { last_alive });
        self.apply(Event::Link(Link::Up { session_present: true }));
        self.apply(Event::Link(Link::CaughtUp));
    }
}

/// A ward with a patient whose alert is open at high priority, at 150 a minute.
fn alarming() -> Ward {
    let mut ward = Ward::new();
    ward.enroll(1);
    for (sequence, rate) in (1..).zip([120, 120, 120, 120, 150, 150, 150]) {
        ward.beat(1, sequence, rate);
    }
    assert_eq!(ward.open().priority, Priority::High);
    ward
}

#[test]
fn the_registry_is_as_it_was_under_its_keys() {
    let mut ward = Ward::new();
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1), (Vital::Spo2, 5)]);
    ward.enroll(2);
    ward.now += 5;
    ward.done(Action::UnbindDevice { device: device(2), at: None });
    ward.done(Action::BindDevice(NewBinding {
        device: device(2),
        patient: patient(1),
        from: Some(Timestamp::from_seconds(BEGIN + 10)),
        schedule: Schedule::default(),
    }));
    ward.done(Action::PutProfile {
        owner: ProfileOwner::Patient(patient(2)),
        profile: Profile { rules: vec![rule("own", vec![level(Priority::Low, 90, 0)])] },
        expected_version: None,
    });
    ward.put_default(vec![rule("hr-high", vec![level(Priority::Medium, 100, 3)])]);
    let restored = ward.restored();
    let registry = |ward: &Ward| {
        let is_row = |output: &Output| matches!(output, Output::Registry(_));
        ward.state.projection().filter(is_row).collect::<Vec<_>>()
    };
    assert_eq!(registry(&restored), registry(&ward));
    let profiles = |ward: &Ward| ward.state.profiles().collect::<Vec<_>>();
    assert_eq!(profiles(&restored), profiles(&ward));
    assert_eq!(profiles(&restored)[0].version, 2);
}

#[test]
fn what_was_stored_is_a_duplicate_and_what_was_not_is_missing() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let send = |ward: &mut Ward, from: u64| {
        let at = BEGIN + i64::try_from(from).expect("small");
        let batch = numbered(from, (at..at + 10).map(|at| heart_rate(at, 70)).collect());
        ward.now = ward.now.max(at + 20);
        readings(&ward.publish(1, &batch)).len()
    };
    assert_eq!((send(&mut ward, 0), send(&mut ward, 20)), (10, 10));
    let mut restored = ward.restored();
    restored.begin(30);
    assert_eq!((send(&mut restored, 0), send(&mut restored, 20)), (0, 0), "they are stored");
    assert_eq!(restored.report(1).gaps, [(10, 19)]);
    // The message with 30 to 39 was acknowledged and is lost.
    assert_eq!(send(&mut restored, 40), 10);
    let report = restored.report(1);
    assert_eq!((report.gaps, report.highest_seq), (vec![(10, 19), (30, 39)], Some(49)));
    assert_eq!((send(&mut restored, 30), send(&mut restored, 10)), (10, 10), "they may still come");
    assert_eq!(restored.report(1).missing, 0);
    assert_eq!(restored.report(1).counts.accepted, 50, "as it was told last, and since");
}

#[test]
fn what_has_come_from_a_device_costs_a_message_a_few_bytes() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let bytes = |outputs: &[Output]| {
        let numbers = outputs.iter().find(|output| matches!(output, Output::DeviceNumbers(_)));
        postcard::to_stdvec(numbers.expect("told")).expect("encodes").len()
    };
    ward.now += 100;
    let in_order = numbered(70_000, vec![heart_rate(BEGIN, 70)]);
    let boot_id = 1_767_225_000;
    let first = proto::ReadingBatch { boot_id, first_seq: 0, ..in_order.clone() };
    assert!(bytes(&ward.publish(1, &first)) <= 24);
    assert!(bytes(&ward.publish(1, &proto::ReadingBatch { boot_id, ..in_order })) <= 32, "a gap");
    let again = ward.publish(1, &first);
    assert!(!again.iter().any(|it| matches!(it, Output::DeviceNumbers(_))), "nothing has changed");
}

#[test]
fn readings_without_numbers_are_recognised_too() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = |at: i64| proto::ReadingBatch {
        boot_id: 0,
        ..numbered(0, vec![heart_rate(at, 70), heart_rate(at + 1, 71)])
    };
    ward.now += 10;
    ward.publish(1, &batch(BEGIN));
    let mut restored = ward.restored();
    restored.begin(30);
    let now = restored.now;
    assert_eq!(readings(&restored.publish(1, &batch(BEGIN))).len(), 0);
    assert_eq!(readings(&restored.publish(1, &batch(now - 5))).len(), 2);
}

#[test]
fn an_open_alert_goes_on_without_a_second_start() {
    let ward = alarming();
    let before = ward.open();
    let mut restored = ward.restored();
    let told = restored.told();
    assert_eq!(told[0], "7 indeterminate hr-high high indeterminate/on");
    let open: Vec<_> = restored.state.open_alerts().filter(|it| it.patient.is_some()).collect();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].id, open[0].revision), (before.id, before.revision + 1));
    restored.begin(5);
    restored.told();
    restored.beat(1, 8, 150);
    restored.beat(1, 9, 80);
    assert_eq!(
        restored.told(),
        ["13 update hr-high high active/on", "14 end hr-high high inactive/off"]
    );
}

#[test]
fn what_clinicians_did_and_saw_still_holds() {
    let mut ward = alarming();
    let revision = ward.open().revision;
    ward.work(AlertAction::Acknowledge { revision, note: None }).expect("acknowledged");
    let seen = ward.open();
    let mut restored = ward.restored();
    let alert = seen.id;
    let open = restored.state.open_alerts().find(|it| it.id == alert).expect("open").clone();
    assert_eq!(open.signal, Signal::Acknowledged);
    let pause = |revision| Action::WorkOnAlert {
        alert,
        action: AlertAction::Pause { revision, duration: Duration::from_secs(60), note: None },
    };
    let refused = restored.command(pause(seen.risen_in - 1)).expect_err("not seen at its priority");
    assert!(matches!(refused, Refusal::FailedPrecondition { reason: "ALERT_ESCALATED", .. }));
    restored.command(pause(seen.revision)).expect("seen before the journal was lost");
}

#[test]
fn who_is_watched_is_nobody_until_readings_come() {
    let mut ward = Ward::new();
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1)]);
    ward.beat(1, 1, 70);
    let mut restored = ward.restored();
    restored.begin(5);
    restored.beat(1, 2, 70);
    assert_eq!(restored.monitored(), [(1, "no_data"), (7, "monitored")]);
}

#[test]
fn a_reading_from_before_what_was_stored_is_late() {
    let ward = alarming();
    let mut restored = ward.restored();
    restored.begin(1);
    // Not stored, numbered after what was, and measured before it.
    let outputs = restored.publish(1, &numbered(8, vec![heart_rate(BEGIN + 2, 80)]));
    assert!(readings(&outputs)[0].quality.has(Quality::LATE));
    let open = restored.state.open_alerts().filter(|it| it.patient.is_some()).count();
    assert_eq!(open, 1, "late data ends nothing");
}

#[test]
fn no_binding_reaches_behind_what_was_stored() {
    let ward = alarming();
    let mut restored = ward.restored();
    let refused = restored.command(Action::UnbindDevice {
        device: device(1),
        at: Some(Timestamp::from_seconds(BEGIN + 3)),
    });
    let refused = refused.expect_err("readings were admitted until later");
    assert!(matches!(refused, Refusal::FailedPrecondition { reason: "READINGS_ADMITTED", .. }));
}

#[test]
fn somebody_is_told_that_messages_may_be_lost() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let mut restored = ward.restored();
    assert_eq!(
        restored.told(),
        [
            "0 start pulseward.ingest-gap medium active/on",
            "0 end pulseward.ingest-gap medium inactive/latched",
        ]
    );
    ward.told();
    restored.begin(5);
    assert_eq!(restored.told(), [""; 0], "a broker that kept the session has lost nothing");
}

#[test]
fn an_outage_of_a_device_lasts_until_the_device_says_otherwise() {
    for (condition, status) in [
        (TechnicalCondition::DeviceOffline, proto::DeviceStatus::default()),
        (
            TechnicalCondition::SensorOff,
            proto::DeviceStatus {
                online: true,
                sensor_attached: Some(false),
                ..proto::DeviceStatus::default()
            },
        ),
    ] {
        let mut ward = Ward::with(vec![technical(condition, 0)]);
        ward.enroll(1);
        ward.status(1, &status);
        assert_eq!(ward.open().rule.as_str(), "technical");
        let mut restored = ward.restored();
        restored.begin(5);
        restored.told();
        let there = proto::DeviceStatus {
            online: true,
            sensor_attached: Some(true),
            ..proto::DeviceStatus::default()
        };
        restored.status(1, &there);
        assert_eq!(restored.told(), ["5 end technical low inactive/off"], "{condition:?}");
    }
}

#[test]
fn silence_lasts_until_something_comes_and_is_not_told_twice() {
    let mut ward = Ward::with(vec![silence(Vital::HeartRate, 5)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1)]);
    ward.apply(Event::Link(Link::Up { session_present: true }));
    ward.apply(Event::Link(Link::CaughtUp));
    ward.beat(1, 1, 70);
    ward.wait(10);
    assert_eq!(ward.open().rule.as_str(), "silence");
    let mut restored = ward.restored();
    restored.begin(5);
    restored.wait(60);
    restored.told();
    restored.beat(1, 2, 70);
    assert_eq!(restored.told(), ["77 end silence medium inactive/off"]);
}

#[test]
fn the_chain_of_audit_events_goes_on() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let mut restored = ward.restored();
    assert_eq!(restored.state.audit_head(), ward.state.audit_head());
    restored.enroll(2);
    ward.enroll(2);
    assert_eq!(restored.state.audit_head().number, ward.state.audit_head().number);
}

#[test]
fn who_was_erased_stays_erased() {
    let mut ward = alarming();
    let measured_at = ward.now;
    ward.now += 5;
    ward.done(Action::ErasePatient { patient: patient(1), added_before: None });
    let mut restored = ward.restored();
    let erased = |ward: &Ward| ward.state.erased().cloned().collect::<Vec<_>>();
    assert_eq!(erased(&restored), erased(&ward));
    restored.begin(5);
    let late = restored.publish(1, &numbered(8, vec![heart_rate(measured_at, 80)]));
    assert_eq!(rejects(&late), [(Some(0), RejectReason::UnboundDevice)]);
    restored.done(Action::CreatePatient { patient: patient(1), site: id(SITE) });
    let bind = Action::BindDevice(NewBinding {
        device: device(1),
        patient: patient(1),
        from: Some(Timestamp::from_seconds(measured_at)),
        schedule: Schedule::default(),
    });
    let refused = restored.command(bind).expect_err("it was somebody else's then");
    assert!(matches!(refused, Refusal::FailedPrecondition { reason: "READINGS_ADMITTED", .. }));
    assert_eq!(restored.state.id_of(projection::RowKind::Patient, 0), Some("erased-0"));
}

#[test]
fn a_row_that_is_missing_leaves_its_key_to_nobody() {
    let mut ward = Ward::new();
    for number in 1..=3 {
        ward.enroll(number);
    }
    ward.beat(3, 1, 70);
    let mut held = Held::of(&ward);
    held.patients.remove(&PatientKey(1));
    held.devices.remove(&DeviceKey(1));
    held.sites.clear();
    let mut restored = Ward::rebuilt(held, &ward);
    restored.begin(1);
    let registered = restored.state.registered();
    assert_eq!((registered.sites, registered.patients, registered.devices), (1, 3, 3));
    let id_of = |kind, key| restored.state.id_of(kind, key).expect("a row").to_owned();
    assert_eq!(id_of(projection::RowKind::Patient, 1), "pulseward.missing-patient-1");
    assert_eq!(id_of(projection::RowKind::Patient, 2), "patient-3");
    assert_eq!(id_of(projection::RowKind::Device, 2), "device-3");
}

#[test]
fn alerts_after_a_restore_have_ids_of_their_own() {
    let mut ward = alarming();
    ward.beat(1, 8, 80);
    let mut restored = ward.restored();
    restored.begin(1);
    for (sequence, rate) in (9..).zip([150, 150, 150, 150]) {
        restored.beat(1, sequence, rate);
    }
    let of_before: Vec<_> = events(&ward.outputs).map(|event| event.alert.id).collect();
    let open = restored.state.open_alerts().find(|it| it.patient.is_some()).expect("raised");
    assert!(!of_before.contains(&open.id));
}
