//! An entry of every kind of input and output, with nothing left at its default that could hide a
//! field.

mod alerts;
mod audit;
mod restored;
mod rules;

use std::time::Duration;

use bytes::Bytes;
use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, DecidingReading, Phase, Risk, ScoreSummary,
    Signal, Trigger,
};
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, AlertAction, Command, Encoding, Event, Input, Intake, Link, NewBinding, Poisoned,
    Principal, ProfileOwner, Publish, Redrive, RefusedSpan, Repeatable, Replacement, Role,
    Schedule, Settings, Sites,
};
use pulseward::engine::output::{
    BindingRow, DeviceNumbers, DeviceRow, DeviceSequences, Erased, IntakeCounts, MonitoringChange,
    MonitoringState, Output, PatientRow, ProfileRow, Quality, Reading, RedrivenMessage,
    RegistryChange, Reject, RejectReason, RejectedReading, SequenceEvents, SiteRow, Verdict, Worn,
};
use pulseward::engine::profile::{
    AgeGroup, AssertedRule, BaselineLevel, BaselineRule, Eligibility, Escalation, Level, LimitRule,
    Pregnancy, Profile, Rule, RuleKind, Scope, Score, ScoreLevel, ScoreRule, Side, SilenceRule,
    SpO2Scale, Spot, Sustained, TechnicalCondition, TechnicalRule, TrendLevel, TrendRule,
};
use pulseward::journal::entry::Entry;
use pulseward::position::{JournalId, MessageId, Partition, Position};
use pulseward::vitals::{
    AbsentReason, Acvpu, DeviceEvent, DeviceId, DeviceKey, PatientId, PatientKey, Priority,
    Quantity, RuleId, SiteId, SiteKey, Unit, Value, Vital,
};
use uuid::Uuid;

use self::alerts::*;
use self::audit::{access, audit_event, head, stranger};
use self::restored::restored;
use self::rules::profile;
use super::POSITION;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + seconds)
}

fn site() -> SiteId {
    SiteId::new("north").expect("an id")
}

fn patient() -> PatientId {
    PatientId::new("p-0017").expect("an id")
}

fn device() -> DeviceId {
    DeviceId::new("watch.3_a").expect("an id")
}

fn entry(event: Event, outputs: Vec<Output>) -> Entry {
    Entry { position: POSITION, input: Input { received_at: at(0), event }, outputs }
}

fn origin() -> Origin {
    Origin { peer: "192.0.2.7:50122".to_owned(), salt: *b"0123456789abcdef" }
}

fn command(action: Action) -> Event {
    let subject = "nurse@example.org".to_owned();
    let sites = Sites::Only(vec![site()]);
    let principal = Principal { subject, role: Role::Clinician, sites };
    Event::Command(Box::new(Command { principal, action, origin: origin(), request: None }))
}

/// The same, so that it can be told when it comes again.
fn repeatable(action: Action) -> Event {
    let Event::Command(mut command) = command(action) else { unreachable!("it is a command") };
    let id = "6f1c2d8a-9f0e-4b52-8f50-0f6f7e4f3b11".parse().expect("an id");
    command.request = Some(Repeatable::of_several(id, &"what the call asks for"));
    Event::Command(command)
}

fn publish(encoding: Option<Encoding>, payload: &'static str) -> Event {
    Event::Publish(Publish {
        topic: "pulseward/v1/north/watch.3_a/readings".to_owned(),
        payload: payload.into(),
        encoding,
        correlation: encoding.map(|_| "c-1".into()),
        retained: encoding.is_none(),
    })
}

fn poisoned(event: Event) -> Event {
    Event::Poisoned(match event {
        Event::Publish(publish) => Poisoned::Publish(publish),
        Event::Command(command) => Poisoned::Command(command),
        other => unreachable!("{other:?} is not set aside"),
    })
}

fn reading(vital: Vital, value: Value) -> Output {
    Output::Reading(Reading {
        measured_at: at(-5),
        patient: PatientKey(3),
        device: DeviceKey(70_000),
        vital,
        value,
        quality: Quality::LATE.with(Quality::DEMO),
        original: None,
        interval: None,
        measurement_id: 0,
    })
}

fn with_all_it_can_carry() -> Output {
    Output::Reading(Reading {
        measured_at: at(-5),
        patient: PatientKey(3),
        device: DeviceKey(70_000),
        vital: Vital::Steps,
        value: Value::Quantity(Quantity::whole(412)),
        quality: Quality::CLOCK_UNSET,
        original: Some((Quantity::from_ten_thousandths(986_000), Unit::Fahrenheit)),
        interval: Some(Duration::from_millis(900_500)),
        measurement_id: 300,
    })
}

fn monitoring() -> Vec<Output> {
    let change = |state| {
        let (patient_key, since) = (PatientKey(3), at(-7));
        let moved_from =
            (state == MonitoringState::Partial).then(|| "south".parse().expect("an id"));
        let (patient, site) = (patient(), site());
        let change = MonitoringChange { patient, patient_key, site, state, since, moved_from };
        Output::Monitoring(Box::new(change))
    };
    [
        MonitoringState::Monitored,
        MonitoringState::Partial,
        MonitoringState::Paused,
        MonitoringState::LimitsOff,
        MonitoringState::NoDevice,
        MonitoringState::NoData,
    ]
    .map(change)
    .into()
}

fn device_sequences() -> Output {
    Output::DeviceSequences(Box::new(DeviceSequences {
        device: DeviceKey(70_000),
        boot_id: 1_767_225_000,
        highest_seq: Some(86_399),
        missing: 40,
        counts: IntakeCounts {
            accepted: 86_340,
            duplicate: 60,
            reordered: 20,
            rejected: 21,
            amended: 3,
            restarted: 2,
            gap: 4,
            gap_overflow: 1,
            unknown_field: 86_400,
        },
        events: SequenceEvents {
            in_order: 300,
            reordered: 20,
            duplicate: 40,
            amended: 1,
            restarted: 1,
            gap: 2,
        },
        last_seen_at: at(0),
        clock_skew_ms: Some(-1250),
    }))
}

fn device_numbers() -> Vec<Output> {
    let of = |newest, packed| {
        Output::DeviceNumbers(DeviceNumbers { device: DeviceKey(70_000), newest, packed })
    };
    vec![of(Some(at(-5)), "\u{1}\u{7}\u{5}".into()), of(None, Bytes::new())]
}

fn registry(change: RegistryChange) -> Output {
    Output::Registry(Box::new(change))
}

fn schedule() -> Schedule {
    Schedule {
        upload_interval: Duration::from_secs(60),
        expected_intervals: vec![(Vital::Spo2, Duration::from_millis(2500))],
    }
}

fn inputs() -> Vec<(&'static str, Entry)> {
    let alone = |event| entry(event, vec![]);
    vec![
        ("started", alone(Event::Started { last_alive: Some(at(-3600)) })),
        ("started-new", alone(Event::Started { last_alive: None })),
        ("settings", alone(Event::Settings(Settings::default()))),
        ("tick", alone(Event::Tick)),
        ("link-up", alone(Event::Link(Link::Up { session_present: true }))),
        ("link-down", alone(Event::Link(Link::Down))),
        ("link-caught-up", alone(Event::Link(Link::CaughtUp))),
        ("reconcile", alone(Event::Reconcile(vec![tachycardia(), deteriorating(), outage()]))),
        ("publish-json", alone(publish(Some(Encoding::Json), "{\"boot_id\":1}"))),
        ("publish-protobuf", alone(publish(Some(Encoding::Protobuf), "\u{8}\u{1}"))),
        ("publish-plain", alone(publish(None, ""))),
        ("intake-held", alone(Event::Intake(Intake::Held))),
        ("intake-resumed", alone(Event::Intake(Intake::Resumed))),
        ("access", alone(Event::Access(Box::new(access())))),
        ("access-of-a-stranger", alone(Event::Access(Box::new(stranger())))),
        ("audit-head", alone(Event::AuditHead(head()))),
        ("poisoned-publish", alone(poisoned(publish(Some(Encoding::Json), "{")))),
        (
            "poisoned-command",
            alone(poisoned(command(Action::UnbindDevice { device: device(), at: Some(at(3)) }))),
        ),
    ]
}

fn commands() -> Vec<(&'static str, Entry)> {
    let (site, patient, device) = (site(), patient(), device());
    let create_site = Action::CreateSite {
        site: site.clone(),
        display_name: "Nord, 2. Stock".to_owned(),
        time_zone: "Europe/Vienna".to_owned(),
    };
    let create_patient = Action::CreatePatient { patient: patient.clone(), site: site.clone() };
    let create_device = Action::CreateDevice { device: device.clone(), site: site.clone() };
    let bind = NewBinding {
        device: device.clone(),
        patient: patient.clone(),
        from: Some(at(-60)),
        schedule: schedule(),
    };
    let put_profile = |owner| {
        command(Action::PutProfile { owner, profile: profile(), expected_version: Some(1) })
    };
    let done = |event, change| entry(event, vec![registry(change)]);
    vec![
        ("create-site", done(command(create_site), RegistryChange::Site(site_row()))),
        ("create-patient", done(command(create_patient), RegistryChange::Patient(patient_row()))),
        ("create-device", done(command(create_device), RegistryChange::Device(device_row()))),
        (
            "bind-device",
            done(command(Action::BindDevice(bind)), RegistryChange::Binding(binding_row(None))),
        ),
        (
            "unbind-device",
            done(
                command(Action::UnbindDevice { device, at: None }),
                RegistryChange::Binding(binding_row(Some(at(0)))),
            ),
        ),
        (
            "put-profile-default",
            done(
                put_profile(ProfileOwner::Default),
                RegistryChange::Profile(profile_row(Scope::Default)),
            ),
        ),
        (
            "put-profile-site",
            done(
                put_profile(ProfileOwner::Site(site)),
                RegistryChange::Profile(profile_row(Scope::Site(SiteKey(1)))),
            ),
        ),
        (
            "put-profile-patient",
            done(
                put_profile(ProfileOwner::Patient(patient)),
                RegistryChange::Profile(profile_row(Scope::Patient(PatientKey(3)))),
            ),
        ),
    ]
}

fn site_row() -> SiteRow {
    SiteRow {
        key: SiteKey(1),
        id: site(),
        display_name: "Nord, 2. Stock".to_owned(),
        time_zone: "Europe/Vienna".to_owned(),
        created_at: at(0),
    }
}

fn device_row() -> DeviceRow {
    DeviceRow { key: DeviceKey(70_000), id: device(), site: SiteKey(1), created_at: at(0) }
}

fn binding_row(until: Option<Timestamp>) -> BindingRow {
    let (device, patient) = (DeviceKey(70_000), PatientKey(3));
    BindingRow { device, patient, from: at(-60), until, schedule: schedule().into() }
}

fn profile_row(scope: Scope) -> ProfileRow {
    ProfileRow {
        scope,
        version: 2,
        profile: profile(),
        put_at: at(0),
        put_by: "nurse@example.org".to_owned(),
    }
}

fn patient_row() -> PatientRow {
    PatientRow {
        key: PatientKey(3),
        id: patient(),
        site: SiteKey(1),
        created_at: at(0),
        eligibility: eligibility(),
        paused_until: Some(at(900)),
    }
}

const fn eligibility() -> Eligibility {
    Eligibility { age_group: AgeGroup::Adult, pregnancy: Pregnancy::NotPregnant }
}

/// What is done with patients and their devices.
fn care() -> Vec<(&'static str, Entry)> {
    let (site, patient) = (site(), patient());
    let replacement = Replacement {
        device: device(),
        new_device: DeviceId::new("watch.4").expect("an id"),
        at: Some(at(-30)),
        schedule: Some(schedule()),
    };
    let pause = |until| Action::PausePatient {
        patient: patient.clone(),
        until,
        reason: Some("bath".to_owned()),
    };
    let update = Action::UpdatePatient {
        patient: patient.clone(),
        eligibility: eligibility(),
        expected: Some(Eligibility::default()),
    };
    let row = || registry(RegistryChange::Patient(patient_row()));
    let done = |action| entry(command(action), vec![row()]);
    vec![
        ("update-patient", done(update)),
        ("replace-device", entry(command(Action::ReplaceDevice(replacement)), vec![])),
        ("transfer-patient", done(Action::TransferPatient { patient: patient.clone(), site })),
        ("pause-patient", done(pause(Some(at(900))))),
        ("unpause-patient", done(pause(None))),
    ]
}

fn alert_work() -> Vec<(&'static str, Entry)> {
    let alert = tachycardia().id;
    let note = Some("seen at the bedside".to_owned());
    let work = |action| entry(command(Action::WorkOnAlert { alert, action }), vec![]);
    let duration = Duration::from_secs(600);
    let assignee = Some("nurse@example.org".to_owned());
    vec![
        ("acknowledge", work(AlertAction::Acknowledge { revision: 4, note: note.clone() })),
        ("pause", work(AlertAction::Pause { revision: 4, duration, note })),
        ("reset", work(AlertAction::Reset { revision: 4 })),
        ("assign", work(AlertAction::Assign { assignee, revision: Some(4) })),
        ("note", work(AlertAction::AddNote { note: "moved to a chair".to_owned() })),
        (
            "repeatable",
            entry(
                repeatable(Action::WorkOnAlert {
                    alert,
                    action: AlertAction::Reset { revision: 4 },
                }),
                vec![],
            ),
        ),
    ]
}

/// What people send in: a dead letter, and readings that they took by hand.
fn intake() -> Vec<(&'static str, Entry)> {
    let journal_id = JournalId(Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef));
    let message = MessageId { journal_id, partition: Partition(1), position: Position(7) };
    let Event::Publish(published) = publish(Some(Encoding::Json), "{}") else {
        unreachable!("it is a publish")
    };
    let span = |first, count, reason| RefusedSpan { first, count, reason };
    let redrive = Action::Redrive(Redrive {
        message,
        publish: published,
        received_at: at(-3600),
        refused: vec![span(0, 1, RejectReason::UnboundDevice), span(4, 300, RejectReason::TooOld)],
        redrives_stored: 2,
    });
    let told = RedrivenMessage { message, number: 3, accepted: 299, duplicate: 12, refused: 2 };
    let patient = patient();
    let by_hand = Action::RecordReadings { patient: patient.clone(), readings: "\x42\x00".into() };
    let erase = Action::ErasePatient { patient, added_before: Some(at(-60)) };
    vec![
        ("redrive", entry(command(redrive), vec![Output::Redriven(Box::new(told))])),
        ("record-readings", entry(command(by_hand), vec![])),
        ("erase-patient", entry(command(erase), vec![Output::Erased(Box::new(erased()))])),
    ]
}

fn erased() -> Erased {
    let key = PatientKey(300);
    let tombstone = PatientRow {
        key,
        id: PatientId::erased(key),
        site: SiteKey(3),
        created_at: at(0),
        eligibility: eligibility(),
        paused_until: Some(at(60)),
    };
    let worn = |from| Worn { device: DeviceKey(70_000), from, until: at(1) };
    let worn = vec![worn(None), worn(Some(at(-3600)))];
    let requested_by = "anna".to_owned();
    Erased { patient: Some(patient()), site: site(), tombstone, requested_by, worn }
}

fn outputs() -> Vec<(&'static str, Entry)> {
    let led_to = |outputs| entry(publish(Some(Encoding::Json), "{}"), outputs);
    let reject = Reject {
        topic: "pulseward/v1/north/watch.3_a/readings".to_owned(),
        index: Some(300),
        reason: RejectReason::UnboundDevice,
        detail: "bound to nobody when it measured".to_owned(),
        count: 1,
    };
    let rejected = RejectedReading {
        index: 300,
        reason: RejectReason::ClockAhead,
        detail: "95 s ahead".to_owned(),
    };
    let verdict = Verdict {
        site: site(),
        device: device(),
        boot_id: u64::MAX,
        first_seq: 12,
        accepted: 300,
        duplicate: 1,
        rejected: vec![rejected],
        rejected_total: 301,
        correlation: Some("c-1".into()),
        json: true,
    };
    let readings = vec![
        reading(Vital::BodyTemperature, Value::Quantity(Quantity::from_ten_thousandths(368_500))),
        reading(Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
        reading(Vital::Steps, Value::Absent(AbsentReason::SensorOff)),
        with_all_it_can_carry(),
    ];
    vec![
        ("readings", led_to(readings)),
        ("alerts", led_to(alerts())),
        ("monitoring", led_to(monitoring())),
        ("device-sequences", led_to(vec![device_sequences()])),
        ("device-numbers", led_to(device_numbers())),
        ("audit", led_to(vec![Output::Audit(Box::new(audit_event()))])),
        ("reject", led_to(vec![Output::Reject(Box::new(reject))])),
        ("verdict", led_to(vec![Output::Verdict(Box::new(verdict))])),
    ]
}

pub(super) fn samples() -> Vec<(&'static str, Entry)> {
    [inputs(), commands(), care(), alert_work(), intake(), restored(), outputs()].concat()
}
