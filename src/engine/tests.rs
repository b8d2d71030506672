//! The engine as a whole: messages and commands in, outputs out.

mod alarms;
mod audit;
mod by_hand;
mod decoding;
mod erasure;
mod ingest;
mod late;
mod life;
mod lists;
mod live;
mod lookups;
mod outages;
mod poison;
mod profiles;
mod properties;
mod redrive;
mod registry;
mod requests;
mod restored;
mod rules;
mod sequences;
mod status;
mod wearing;

use std::time::Duration;

use prost::Message;

use super::alerts::{Alert, AlertEvent, Condition, Phase, Signal, Trigger};
use super::audit::{AuditEvent, Origin};
use super::input::*;
use super::output::*;
use super::profile::*;
use super::query::{DeviceReport, Query, Question};
use super::*;
use crate::proto::v1 as proto;
use crate::vitals::{
    DeviceEvent, DeviceId, PatientId, Priority, Quantity, RuleId, SiteId, Value, Vital,
};

const SITE: &str = "north";

/// An engine, what it was told, and what came of it.
#[derive(Default)]
struct Ward {
    state: State,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// How many of the outputs [`Ward::told`] has told.
    told: usize,
    /// The number of the next reading of any device.
    sequence: u64,
    now: i64,
}

/// When a ward's story begins.
const BEGIN: i64 = 1_000_000;

impl Ward {
    /// A ward with one site and one rule: heart rate over 100 for 3 s is medium, over 130 for
    /// 2 s high.
    fn new() -> Self {
        let mut ward = Self { now: BEGIN, ..Self::default() };
        ward.done(Action::CreateSite {
            site: id(SITE),
            display_name: "North".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        });
        let levels = vec![level(Priority::Medium, 100, 3), level(Priority::High, 130, 2)];
        ward.done(Action::PutProfile {
            owner: ProfileOwner::Default,
            profile: Profile { rules: vec![rule("hr-high", levels)] },
            expected_version: None,
        });
        ward
    }

    /// A ward with one site and these rules.
    fn with(rules: Vec<Rule>) -> Self {
        let mut ward = Self::new();
        ward.put_default(rules);
        ward
    }

    fn enroll(&mut self, number: u32) {
        self.enroll_with(number, Schedule::default());
    }

    /// Enrolls a patient whose device measures each vital every so many seconds.
    fn enroll_measuring(&mut self, number: u32, vitals: &[(Vital, u64)]) {
        let every = |(vital, seconds): &(Vital, u64)| (*vital, Duration::from_secs(*seconds));
        let expected_intervals = vitals.iter().map(every).collect();
        let schedule = Schedule { upload_interval: Duration::ZERO, expected_intervals };
        self.enroll_with(number, schedule);
    }

    fn enroll_with(&mut self, number: u32, schedule: Schedule) {
        let (patient, device) = (patient(number), device(number));
        self.done(Action::CreatePatient { patient: patient.clone(), site: id(SITE) });
        self.done(Action::CreateDevice { device: device.clone(), site: id(SITE) });
        self.done(Action::BindDevice(NewBinding { device, patient, from: None, schedule }));
    }

    /// A reading of a vital by the first device, measured now.
    fn measure(&mut self, vital: Vital, value: f64) -> Vec<Output> {
        let reading = measured(vital, self.now, value);
        self.send_readings(1, vec![reading])
    }

    /// One after the other, each `every` seconds after what came before.
    fn measure_all(&mut self, vital: Vital, every: i64, values: &[f64]) {
        for value in values {
            self.now += every;
            self.measure(vital, *value);
        }
    }

    /// Readings of a device, numbered on.
    fn send_readings(&mut self, number: u32, readings: Vec<proto::Reading>) -> Vec<Output> {
        let first = self.sequence;
        self.sequence += readings.len() as u64;
        self.publish(number, &numbered(first, readings))
    }

    fn status(&mut self, number: u32, status: &proto::DeviceStatus) -> Vec<Output> {
        let topic = format!("pulseward/v1/{SITE}/{}/status", device(number));
        self.send(&topic, status.encode_to_vec())
    }

    /// Time passes, and nothing else happens.
    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        self.apply(Event::Tick);
    }

    fn work(&mut self, action: AlertAction) -> Reply {
        let alert = self.open().id;
        self.command(Action::WorkOnAlert { alert, action })
    }

    /// The one alert that is open.
    fn open(&self) -> Alert {
        let open: Vec<_> = self.state.open_alerts().collect();
        let [alert] = open[..] else { panic!("{} open alerts", open.len()) };
        alert.clone()
    }

    /// What happened to alerts since this was last asked, a line each: seconds since the story
    /// began, phase, rule, priority, condition/signal.
    fn told(&mut self) -> Vec<String> {
        let told = events(&self.outputs[self.told..]).map(line).collect();
        self.told = self.outputs.len();
        told
    }

    /// How patients came to be watched since the story began.
    fn monitored(&self) -> Vec<(i64, &'static str)> {
        let change = |output: &Output| match output {
            Output::Monitoring(change) => Some((since_begin(change.since), change.state.name())),
            _ => None,
        };
        self.outputs.iter().filter_map(change).collect()
    }

    /// Binds a second device to the first patient.
    fn bind_second_device(&mut self) {
        self.done(Action::CreateDevice { device: device(2), site: id(SITE) });
        self.done(Action::BindDevice(NewBinding {
            device: device(2),
            patient: patient(1),
            from: None,
            schedule: Schedule::default(),
        }));
    }

    fn put_default(&mut self, rules: Vec<Rule>) {
        let profile = Profile { rules };
        let owner = ProfileOwner::Default;
        self.done(Action::PutProfile { owner, profile, expected_version: None });
    }

    /// The answer, and what it led to, but for what tells who did it.
    fn apply(&mut self, event: Event) -> (Option<Reply>, Vec<Output>) {
        let input = Input { received_at: Timestamp::from_seconds(self.now), event };
        let mut outputs = Vec::new();
        let reply = apply(&mut self.state, &input, &mut outputs);
        self.inputs.push(input);
        self.outputs.extend(outputs.iter().cloned());
        outputs.retain(|output| !matches!(output, Output::Audit(_)));
        (reply, outputs)
    }

    /// Who did what since the story began.
    fn audited(&self) -> Vec<AuditEvent> {
        let event = |output: &Output| match output {
            Output::Audit(event) => Some(AuditEvent::clone(event)),
            _ => None,
        };
        self.outputs.iter().filter_map(event).collect()
    }

    fn command(&mut self, action: Action) -> Reply {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let command = Box::new(Command { principal, action, origin: origin(), request: None });
        self.apply(Event::Command(command)).0.expect("a command is answered")
    }

    fn done(&mut self, action: Action) {
        self.command(action).expect("accepted");
    }

    fn publish(&mut self, number: u32, batch: &proto::ReadingBatch) -> Vec<Output> {
        let topic = format!("pulseward/v1/{SITE}/{}/readings", device(number));
        self.send(&topic, batch.encode_to_vec())
    }

    fn send(&mut self, topic: &str, payload: impl Into<bytes::Bytes>) -> Vec<Output> {
        let publish = Publish {
            topic: topic.to_owned(),
            payload: payload.into(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        self.apply(Event::Publish(publish)).1
    }

    /// One heart rate, measured now, a second after whatever came before.
    fn beat(&mut self, number: u32, sequence: u64, rate: i64) -> Vec<Output> {
        self.now += 1;
        let reading = heart_rate(self.now, rate);
        self.publish(number, &numbered(sequence, vec![reading]))
    }

    /// One heart rate of each of two devices, measured at the same time.
    fn beat_both(&mut self, sequence: u64, first: i64, second: i64) {
        self.beat(1, sequence, first);
        let now = self.now;
        self.publish(2, &numbered(sequence, vec![heart_rate(now, second)]));
    }
}

impl Ward {
    /// What an administrator of all sites is told of a device.
    fn report(&self, number: u32) -> DeviceReport {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let question = Question::DeviceReport(device(number));
        match query::answer(&self.state, &Query { principal, question }) {
            Ok(Done::DeviceReport(report)) => *report,
            other => panic!("{other:?}"),
        }
    }
}

/// Where the calls of these tests come from.
fn origin() -> Origin {
    Origin { peer: "192.0.2.7:50122".to_owned(), salt: [7; 16] }
}

fn since_begin(at: Timestamp) -> i64 {
    at.micros() / 1_000_000 - BEGIN
}

fn line(event: &AlertEvent) -> String {
    let Alert { rule, priority, condition, signal, .. } = &event.alert;
    let condition = match condition {
        Condition::Active => "active",
        Condition::Inactive => "inactive",
        Condition::Indeterminate => "indeterminate",
    };
    let signal = match signal {
        Signal::Off => "off".to_owned(),
        Signal::On => "on".to_owned(),
        Signal::Acknowledged => "acknowledged".to_owned(),
        Signal::Paused { until } => format!("paused until {}", since_begin(*until)),
        Signal::Latched => "latched".to_owned(),
    };
    let (at, phase, priority) =
        (since_begin(event.determined_at), event.phase.name(), priority.name());
    format!("{at} {phase} {rule} {priority} {condition}/{signal}")
}

/// A reading in the vital's canonical unit.
fn measured(vital: Vital, at: i64, value: f64) -> proto::Reading {
    proto::Reading {
        measured: Some(measured_at(at)),
        vital: i32::from(vital.number()),
        value: Some(proto::reading::Value::Quantity(value)),
        unit: vital.unit().ucum().to_owned(),
        ..proto::Reading::default()
    }
}

fn absent(vital: Vital, at: i64, reason: proto::AbsentReason) -> proto::Reading {
    proto::Reading {
        value: Some(proto::reading::Value::Absent(reason as i32)),
        unit: String::new(),
        ..measured(vital, at, 0.0)
    }
}

fn measured_at(seconds: i64) -> proto::reading::Measured {
    proto::reading::Measured::MeasuredAt(prost_types::Timestamp { seconds, nanos: 0 })
}

fn id(text: &str) -> SiteId {
    SiteId::new(text).expect("valid")
}

fn patient(number: u32) -> PatientId {
    PatientId::new(&format!("patient-{number}")).expect("valid")
}

fn device(number: u32) -> DeviceId {
    DeviceId::new(&format!("device-{number}")).expect("valid")
}

fn level(priority: Priority, limit: i64, delay: u64) -> Level {
    let (limit, delay) = (Quantity::whole(limit), Duration::from_secs(delay));
    let sustained = Sustained { delay, max_gap: Duration::from_millis(1500) };
    Level { priority, limit, clear_limit: limit, sustained: Some(sustained), spot: None }
}

/// A rule of any kind.
fn rule_of(id: &str, kind: RuleKind) -> Rule {
    Rule::new(RuleId::new(id).expect("valid"), kind)
}

fn silence(vital: Vital, intervals: i64) -> Rule {
    let rule = SilenceRule {
        vital,
        intervals: Quantity::whole(intervals),
        priority: Priority::Medium,
        at_least: Duration::ZERO,
    };
    rule_of("silence", RuleKind::Silence(rule))
}

fn technical(condition: TechnicalCondition, delay: u64) -> Rule {
    let rule =
        TechnicalRule { condition, priority: Priority::Low, delay: Duration::from_secs(delay) };
    rule_of("technical", RuleKind::Technical(rule))
}

fn rule(id: &str, levels: Vec<Level>) -> Rule {
    let limit = LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: false,
        side: Side::Above,
        levels,
        clear_delay: Duration::ZERO,
    };
    Rule::new(RuleId::new(id).expect("valid"), RuleKind::Limit(limit))
}

fn heart_rate(measured_at: i64, rate: i64) -> proto::Reading {
    proto::Reading {
        measured: Some(proto::reading::Measured::MeasuredAt(prost_types::Timestamp {
            seconds: measured_at,
            nanos: 0,
        })),
        vital: proto::Vital::HeartRate as i32,
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        value: Some(proto::reading::Value::Quantity(rate as f64)),
        ..proto::Reading::default()
    }
}

fn numbered(first_seq: u64, readings: Vec<proto::Reading>) -> proto::ReadingBatch {
    proto::ReadingBatch { boot_id: 7, first_seq, readings, ..proto::ReadingBatch::default() }
}

fn phases(outputs: &[Output]) -> Vec<Phase> {
    events(outputs).map(|event| event.phase).collect()
}

fn events(outputs: &[Output]) -> impl Iterator<Item = &AlertEvent> {
    outputs.iter().filter_map(|output| match output {
        Output::Alert(event) => Some(&**event),
        _ => None,
    })
}

fn readings(outputs: &[Output]) -> Vec<&Reading> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Reading(reading) => Some(reading),
            _ => None,
        })
        .collect()
}

fn rejects(outputs: &[Output]) -> Vec<(Option<u32>, RejectReason)> {
    let reject = |output: &Output| match output {
        Output::Reject(reject) => Some((reject.index, reject.reason)),
        _ => None,
    };
    outputs.iter().filter_map(reject).collect()
}
