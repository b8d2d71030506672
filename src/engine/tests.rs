//! The engine as a whole: messages and commands in, outputs out.

mod alarms;
mod ingest;
mod properties;
mod registry;

use std::time::Duration;

use prost::Message;

use super::alerts::{AlertEvent, Phase};
use super::input::*;
use super::output::*;
use super::profile::*;
use super::*;
use crate::proto::v1 as proto;
use crate::vitals::{DeviceId, PatientId, Priority, Quantity, RuleId, SiteId, Value, Vital};

const SITE: &str = "north";

/// An engine, what it was told, and what came of it.
#[derive(Default)]
struct Ward {
    state: State,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    now: i64,
}

impl Ward {
    /// A ward with one site and one rule: heart rate over 100 for 3 s is medium, over 130 for
    /// 2 s high.
    fn new() -> Self {
        let mut ward = Self { now: 1_000_000, ..Self::default() };
        ward.done(Action::CreateSite {
            site: id(SITE),
            display_name: "North".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        });
        let levels = vec![level(Priority::Medium, 100, 3), level(Priority::High, 130, 2)];
        ward.done(Action::PutProfile {
            owner: ProfileOwner::Default,
            profile: Profile { rules: vec![rule("hr-high", levels)] },
        });
        ward
    }

    fn enroll(&mut self, number: u32) {
        let (patient, device) = (patient(number), device(number));
        self.done(Action::CreatePatient { patient: patient.clone(), site: id(SITE) });
        self.done(Action::CreateDevice { device: device.clone(), site: id(SITE) });
        self.done(Action::BindDevice(NewBinding {
            device,
            patient,
            from: None,
            schedule: Schedule::default(),
        }));
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
        self.done(Action::PutProfile { owner: ProfileOwner::Default, profile });
    }

    fn apply(&mut self, event: Event) -> (Option<Reply>, Vec<Output>) {
        let input = Input { received_at: Timestamp::from_seconds(self.now), event };
        let mut outputs = Vec::new();
        let reply = apply(&mut self.state, &input, &mut outputs);
        self.inputs.push(input);
        self.outputs.extend(outputs.iter().cloned());
        (reply, outputs)
    }

    fn command(&mut self, action: Action) -> Reply {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let command = Box::new(Command { principal, action });
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
    Level { priority, limit, clear_limit: limit, sustained }
}

fn rule(id: &str, levels: Vec<Level>) -> Rule {
    let limit = LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: false,
        side: Side::Above,
        levels,
        clear_delay: Duration::ZERO,
    };
    Rule { id: RuleId::new(id).expect("valid"), kind: RuleKind::Limit(limit) }
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
