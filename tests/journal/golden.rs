//! Bytes that were once released decode for ever, and today's encoder still makes them.
//!
//! One file per kind of input and output under `tests/fixtures/journal`. With
//! `PULSEWARD_WRITE_GOLDEN` set, files that are missing are written; one that is there never is,
//! because journals in the field hold bytes like it. An entry's layout changes only with a new
//! version: new files beside the old, which then keep being decoded, and an encoder for the new.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{Alert, AlertEvent, AlertId, Condition, Phase, Trigger};
use pulseward::engine::input::{
    Action, Command, Encoding, Event, Input, Link, NewBinding, Principal, ProfileOwner, Publish,
    Role, Schedule, Settings, Sites,
};
use pulseward::engine::output::{
    BindingRow, DeviceRow, Output, PatientRow, ProfileRow, Quality, Reading, RegistryChange,
    Reject, RejectReason, RejectedReading, SiteRow, Verdict,
};
use pulseward::engine::profile::{
    Level, LimitRule, Profile, Rule, RuleKind, Scope, Side, Sustained,
};
use pulseward::journal::entry::{self, Entry};
use pulseward::position::Position;
use pulseward::vitals::{
    AbsentReason, Acvpu, DeviceId, DeviceKey, PatientId, PatientKey, Priority, Quantity, RuleId,
    SiteId, SiteKey, Value, Vital,
};
use uuid::Uuid;

const WRITE: &str = "PULSEWARD_WRITE_GOLDEN";
const POSITION: Position = Position(42);

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal")
}

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

fn command(action: Action) -> Event {
    let subject = "nurse@example.org".to_owned();
    let sites = Sites::Only(vec![site()]);
    let principal = Principal { subject, role: Role::Clinician, sites };
    Event::Command(Box::new(Command { principal, action }))
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

fn reading(vital: Vital, value: Value) -> Output {
    let quality = Quality::LATE.with(Quality::DEMO);
    let (patient, device) = (PatientKey(3), DeviceKey(70_000));
    Output::Reading(Reading { measured_at: at(-5), patient, device, vital, value, quality })
}

fn profile() -> Profile {
    let level = |priority, limit| Level {
        priority,
        limit: Quantity::whole(limit),
        clear_limit: Quantity::whole(limit - 2),
        sustained: Sustained {
            delay: Duration::from_secs(15),
            max_gap: Duration::from_millis(1500),
        },
    };
    let limit = LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: true,
        side: Side::Above,
        levels: vec![level(Priority::Medium, 100), level(Priority::High, 130)],
        clear_delay: Duration::from_secs(30),
    };
    let rule = |id, kind| Rule { id: RuleId::new(id).expect("an id"), kind };
    Profile { rules: vec![rule("hr-high", RuleKind::Limit(limit)), rule("rr-low", RuleKind::Off)] }
}

fn alert(phase: Phase, condition: Condition, trigger: Trigger) -> Output {
    let alert = Alert {
        id: AlertId(Uuid::from_u128(0x0123_4567_89ab_5def_8123_4567_89ab_cdef)),
        patient: patient(),
        patient_key: PatientKey(3),
        site: site(),
        device: device(),
        rule: RuleId::new("hr-high").expect("an id"),
        rule_version: 2,
        scope: Scope::Site(SiteKey(1)),
        vital: Vital::HeartRate,
        limit: Quantity::whole(130),
        priority: Priority::High,
        condition,
        onset: at(-20),
        raised_at: at(-1),
        ended_at: (condition == Condition::Inactive).then(|| at(0)),
        revision: 4,
    };
    Output::Alert(Box::new(AlertEvent {
        phase,
        determined_at: at(0),
        trigger,
        priority_before: (phase != Phase::Start).then_some(Priority::Medium),
        alert,
    }))
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
        ("publish-json", alone(publish(Some(Encoding::Json), "{\"boot_id\":1}"))),
        ("publish-protobuf", alone(publish(Some(Encoding::Protobuf), "\u{8}\u{1}"))),
        ("publish-plain", alone(publish(None, ""))),
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
    let put_profile = |owner| command(Action::PutProfile { owner, profile: profile() });
    let row = SiteRow {
        key: SiteKey(1),
        id: site.clone(),
        display_name: "Nord, 2. Stock".to_owned(),
        time_zone: "Europe/Vienna".to_owned(),
        created_at: at(0),
    };
    let device_row = DeviceRow {
        key: DeviceKey(70_000),
        id: device.clone(),
        site: SiteKey(1),
        created_at: at(0),
    };
    let patient_row =
        PatientRow { key: PatientKey(3), id: patient.clone(), site: SiteKey(1), created_at: at(0) };
    let binding = |until| {
        let (device, patient) = (DeviceKey(70_000), PatientKey(3));
        BindingRow { device, patient, from: at(-60), until, schedule: schedule() }
    };
    let profile_row = |scope| ProfileRow {
        scope,
        version: 2,
        profile: profile(),
        put_at: at(0),
        put_by: "nurse@example.org".to_owned(),
    };
    let done = |event, change| entry(event, vec![registry(change)]);
    vec![
        ("create-site", done(command(create_site), RegistryChange::Site(row))),
        ("create-patient", done(command(create_patient), RegistryChange::Patient(patient_row))),
        ("create-device", done(command(create_device), RegistryChange::Device(device_row))),
        (
            "bind-device",
            done(command(Action::BindDevice(bind)), RegistryChange::Binding(binding(None))),
        ),
        (
            "unbind-device",
            done(
                command(Action::UnbindDevice { device, at: None }),
                RegistryChange::Binding(binding(Some(at(0)))),
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

fn outputs() -> Vec<(&'static str, Entry)> {
    let led_to = |outputs| entry(publish(Some(Encoding::Json), "{}"), outputs);
    let reading_of =
        |value| Trigger::Reading { measured_at: at(-5), value: Quantity::whole(value) };
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
    ];
    let alerts = vec![
        alert(Phase::Start, Condition::Active, reading_of(131)),
        alert(Phase::Escalate, Condition::Active, reading_of(140)),
        alert(Phase::Deescalate, Condition::Active, reading_of(110)),
        alert(Phase::End, Condition::Inactive, reading_of(80)),
        alert(Phase::Update, Condition::Active, Trigger::RuleChanged),
        alert(Phase::Close, Condition::Inactive, Trigger::Unbound),
        alert(Phase::Close, Condition::Inactive, Trigger::RuleChanged),
    ];
    vec![
        ("readings", led_to(readings)),
        ("alerts", led_to(alerts)),
        ("reject", led_to(vec![Output::Reject(Box::new(reject))])),
        ("verdict", led_to(vec![Output::Verdict(Box::new(verdict))])),
    ]
}

fn samples() -> Vec<(&'static str, Entry)> {
    [inputs(), commands(), outputs()].concat()
}

fn write_missing(path: &PathBuf, sample: &Entry) {
    if std::env::var_os(WRITE).is_some() && !path.exists() {
        fs::write(path, entry::encode(&sample.input, &sample.outputs, Vec::new()))
            .expect("written");
    }
}

#[test]
fn every_golden_entry_decodes_and_encodes_back_byte_for_byte() {
    for (name, sample) in samples() {
        let path = directory().join(format!("entry-{name}.v1.bin"));
        write_missing(&path, &sample);
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; set {WRITE}"));
        let decoded = entry::decode(POSITION, &golden).expect("a released version");
        assert_eq!(decoded, sample, "{name}");
        let encoded = entry::encode(&decoded.input, &decoded.outputs, Vec::new());
        assert_eq!(encoded, golden, "{name}");
    }
}

#[test]
fn no_golden_entry_is_without_its_sample() {
    let expected: BTreeSet<_> =
        samples().into_iter().map(|(name, _)| format!("entry-{name}.v1.bin")).collect();
    let there = fs::read_dir(directory())
        .expect("listed")
        .map(|file| file.expect("listed").file_name().into_string().expect("an ordinary name"));
    let there: BTreeSet<_> = there.filter(|name| name.starts_with("entry-")).collect();
    assert_eq!(there, expected);
}

/// A number for each kind, so that a new kind does not compile until it is counted here and has
/// its sample.
fn kind_of_event(event: &Event) -> u8 {
    match event {
        Event::Started { .. } => 0,
        Event::Settings(_) => 1,
        Event::Tick => 2,
        Event::Link(_) => 3,
        Event::Publish(_) => 4,
        Event::Command(command) => match command.action {
            Action::CreateSite { .. } => 5,
            Action::CreatePatient { .. } => 6,
            Action::CreateDevice { .. } => 7,
            Action::BindDevice(_) => 8,
            Action::UnbindDevice { .. } => 9,
            Action::PutProfile { .. } => 10,
        },
    }
}

fn kind_of_output(output: &Output) -> u8 {
    match output {
        Output::Reading(_) => 0,
        Output::Alert(_) => 1,
        Output::Reject(_) => 2,
        Output::Verdict(_) => 3,
        Output::Registry(change) => match **change {
            RegistryChange::Site(_) => 4,
            RegistryChange::Patient(_) => 5,
            RegistryChange::Device(_) => 6,
            RegistryChange::Binding(_) => 7,
            RegistryChange::Profile(_) => 8,
        },
    }
}

#[test]
fn every_kind_of_input_and_output_has_a_sample() {
    let samples = samples();
    let events: BTreeSet<_> =
        samples.iter().map(|(_, sample)| kind_of_event(&sample.input.event)).collect();
    assert_eq!(events, (0..=10).collect());
    let outputs = samples.iter().flat_map(|(_, sample)| &sample.outputs);
    assert_eq!(outputs.map(kind_of_output).collect::<BTreeSet<_>>(), (0..=8).collect());
}

#[test]
fn bytes_of_another_kind_or_a_later_version_are_named_as_such() {
    let (_, sample) = &samples()[0];
    let bytes = entry::encode(&sample.input, &sample.outputs, Vec::new());
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        entry::decode(POSITION, &bytes).expect_err("refused").to_string()
    };
    let newer = refused(&|bytes| bytes[1] = 2);
    assert_eq!(newer, "entry 42: version 2 is newer than this service knows (1)");
    assert_eq!(refused(&|bytes| bytes[0] = 0), "entry 42: kind 0x00 is not an entry's");
    assert_eq!(refused(&|bytes| bytes.truncate(1)), "entry 42: only 1 bytes");
    assert_eq!(refused(&|bytes| bytes.truncate(9)), "entry 42: reading its body");
}
