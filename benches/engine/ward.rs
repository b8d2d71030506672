//! The load: a ward of patients who each wear one device, and the messages that it sends.
//!
//! The device is a patch that measures heart rate, SpO2, respiratory rate and body temperature every
//! five seconds, which is what wearables can give to NEWS2, and sends them as numbered readings. Patients come in a shuffled order that is the same in every round, as
//! devices have phases of their own: no patient's state is still in a cache when there are many.
//! Time passes as it does on such a ward, so that timers fire as often as they would.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use pulseward::clock::Timestamp;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Event, Input, NewBinding, Principal, ProfileOwner, Publish, Role, Schedule,
    Sites,
};
use pulseward::engine::output::Output;
use pulseward::engine::{self, State};
use pulseward::profile_file;
use pulseward::proto::v1 as proto;
use pulseward::vitals::{DeviceId, PatientId, SiteId, Vital};

/// How often the device measures each of its vitals.
const INTERVAL: Duration = Duration::from_secs(5);
/// What it measures.
const VITALS: [Vital; 4] =
    [Vital::HeartRate, Vital::Spo2, Vital::RespiratoryRate, Vital::BodyTemperature];
/// Readings of one instant.
pub(crate) const PANEL: u32 = 4;
/// How long a message is under way.
const TRANSIT: Duration = Duration::from_millis(200);
/// How old what a device had buffered is.
const BUFFERED: Duration = Duration::from_secs(30 * 60);
const SITE: &str = "north";
/// One patient in this many deteriorates on a ward as it is.
const DETERIORATING: u32 = 50;
/// Coprime to every size of a ward that is measured: steps through it in an order without locality.
const STRIDE: u64 = 7_654_321;

/// What the devices send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One patient in fifty is deteriorating, all others are well.
    Ward,
    /// Everyone is well: nothing is beyond a limit.
    Quiet,
    /// Everyone has alerts open, on limits and on NEWS2.
    Alarming,
    /// As [`Load::Ward`], in JSON.
    Json,
    /// Half an hour old, and marked historical: what a device had buffered.
    Late,
    /// As [`Load::Ward`], each device behind a gateway that its batches name.
    Gateway,
    /// As [`Load::Ward`], over links that lose every third message, from devices that restart
    /// every [`ROUNDS_OF_BOOT`] messages.
    Lossy,
    /// From devices that nobody has enrolled: decoded and refused whole.
    Unknown,
}

impl Load {
    /// All of them, with their names in reports.
    pub(crate) const ALL: [(Self, &str); 8] = [
        (Self::Ward, "1 of 50 is ill"),
        (Self::Quiet, "all are well"),
        (Self::Alarming, "all are ill"),
        (Self::Late, "historical"),
        (Self::Gateway, "behind gateways"),
        (Self::Json, "JSON"),
        (Self::Lossy, "over lossy links"),
        (Self::Unknown, "not enrolled, so decoded"),
    ];
}

/// Messages that come from one start of a device whose link is lossy.
pub(crate) const ROUNDS_OF_BOOT: u64 = 12;

/// An engine's state, and where the ward that feeds it stands.
pub(crate) struct Ward {
    pub state: State,
    patients: u32,
    readings: u32,
    /// Batches made so far.
    sent: u64,
    began: Timestamp,
}

impl Ward {
    /// A ward whose devices send `readings` at a time, with everyone enrolled and two rounds of
    /// `load` taken in.
    pub(crate) fn new(patients: u32, readings: u32, load: Load) -> Self {
        let began = Timestamp::from_seconds(1_800_000_000);
        let state = State::default();
        let mut ward = Self { state, patients, readings, sent: 0, began };
        ward.enroll();
        ward.pass(load, 2);
        ward
    }

    /// Takes in so many rounds.
    pub(crate) fn pass(&mut self, load: Load, rounds: u64) {
        for _ in 0..rounds * u64::from(self.patients).div_ceil(1024) {
            for input in self.inputs(load, 1024) {
                self.apply(&input, load);
            }
        }
    }

    /// Lets the patients of a small ward get worse until their alerts are open.
    pub(crate) fn deteriorate(&mut self, load: Load) {
        let rounds = Duration::from_secs(20 * 60).as_micros() / self.round().as_micros();
        for _ in 0..rounds {
            for input in self.inputs(load, self.patients) {
                self.apply(&input, load);
            }
        }
    }

    /// How many patients it has.
    pub(crate) const fn patients(&self) -> u32 {
        self.patients
    }

    /// Readings of a message.
    pub(crate) const fn readings(&self) -> u32 {
        self.readings
    }

    fn apply(&mut self, input: &Input, load: Load) {
        let mut outputs = Vec::new();
        engine::apply(&mut self.state, input, &mut outputs);
        let is_refused = outputs.iter().any(|output| matches!(output, Output::Reject(_)));
        assert_eq!(is_refused, load == Load::Unknown, "what is measured is what should be");
    }

    fn enroll(&mut self) {
        let site = SiteId::new(SITE).expect("valid");
        self.command(Action::CreateSite {
            site: site.clone(),
            display_name: "North".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        });
        self.command(Action::PutProfile {
            owner: ProfileOwner::Default,
            profile: profile_file::adult(),
            expected_version: None,
        });
        let gateways = self.patients.div_ceil(PATIENTS_OF_GATEWAY);
        for device in (0..gateways).map(gateway) {
            self.command(Action::CreateDevice { device, site: site.clone() });
        }
        let upload_interval = INTERVAL * (self.readings / PANEL);
        let expected_intervals = VITALS.map(|vital| (vital, INTERVAL)).to_vec();
        for number in 0..self.patients {
            let (patient, device) = (patient(number), device(number));
            self.command(Action::CreatePatient { patient: patient.clone(), site: site.clone() });
            self.command(Action::CreateDevice { device: device.clone(), site: site.clone() });
            let expected_intervals = expected_intervals.clone();
            let schedule = Schedule { upload_interval, expected_intervals };
            let from = Some(self.began.minus(2 * BUFFERED));
            self.command(Action::BindDevice(NewBinding { device, patient, from, schedule }));
        }
    }

    fn command(&mut self, action: Action) {
        let subject = "anna".to_owned();
        let principal = Principal { subject, role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        let event = Event::Command(Box::new(Command { principal, action, origin, request: None }));
        let input = Input { received_at: self.began, event };
        let reply = engine::apply(&mut self.state, &input, &mut Vec::new());
        reply.expect("commands are answered").expect("accepted");
    }

    /// How long it takes until every device has sent once.
    fn round(&self) -> Duration {
        INTERVAL * (self.readings / PANEL)
    }

    /// The next messages, in the order of their receipt.
    pub(crate) fn inputs(&mut self, load: Load, count: u32) -> Vec<Input> {
        (0..count).map(|_| self.input(load)).collect()
    }

    fn input(&mut self, load: Load) -> Input {
        let patients = u64::from(self.patients);
        let (round, turn) = (self.sent / patients, self.sent % patients);
        let number = as_u32(turn * STRIDE % patients);
        let each = self.round().as_nanos() / u128::from(patients);
        let since = Duration::from_nanos(as_u64(u128::from(self.sent + 1) * each));
        let received_at = self.began.plus(since);
        self.sent += 1;
        let batch = self.batch(load, number, round, received_at.minus(TRANSIT));
        let payload = match load {
            Load::Json => Bytes::from(json(&batch)),
            _ => Bytes::from(batch.encode_to_vec()),
        };
        let device = match load {
            Load::Unknown => format!("stranger-{number:07}"),
            _ => device(number).to_string(),
        };
        let topic = format!("pulseward/v1/{SITE}/{device}/readings");
        let publish =
            Publish { topic, payload, encoding: None, correlation: None, retained: false };
        Input { received_at, event: Event::Publish(publish) }
    }

    fn batch(
        &self,
        load: Load,
        number: u32,
        round: u64,
        sent_at: Timestamp,
    ) -> proto::ReadingBatch {
        let is_late = load == Load::Late;
        let newest = if is_late { sent_at.minus(BUFFERED) } else { sent_at };
        let is_ill = match load {
            Load::Alarming => true,
            Load::Quiet => false,
            _ => number.is_multiple_of(DETERIORATING),
        };
        let instants = self.readings / PANEL;
        let reading = |index: u32| {
            let vital = VITALS[(index % PANEL) as usize];
            let steps = i64::from(index / PANEL + 1) - i64::from(instants);
            let offset_ms = steps * as_i64(INTERVAL.as_millis());
            let unit = if vital == Vital::BodyTemperature { "Cel" } else { "" };
            let beat = round * u64::from(instants) + u64::from(index / PANEL) + u64::from(number);
            proto::Reading {
                measured: Some(proto::reading::Measured::OffsetMs(offset_ms)),
                vital: i32::from(vital.number()),
                value: Some(proto::reading::Value::Quantity(value(vital, is_ill, beat))),
                unit: unit.to_owned(),
                historical: is_late,
                ..proto::Reading::default()
            }
        };
        let (boot, message) = match load {
            // Two come, the third is lost.
            Load::Lossy => (round / ROUNDS_OF_BOOT, round % ROUNDS_OF_BOOT * 3 / 2),
            _ => (0, round),
        };
        proto::ReadingBatch {
            boot_id: 7 + boot,
            first_seq: 1 + message * u64::from(self.readings),
            sent_at: Some(instant(sent_at)),
            base_time: Some(instant(newest)),
            gateway: match load {
                Load::Gateway => gateway(number / PATIENTS_OF_GATEWAY).to_string(),
                _ => String::new(),
            },
            readings: (0..self.readings).map(reading).collect(),
            ..proto::ReadingBatch::default()
        }
    }
}

/// What a device measures, a little different every time.
fn value(vital: Vital, is_ill: bool, beat: u64) -> f64 {
    let (well, ill, spread) = match vital {
        Vital::HeartRate => (62.0, 133.0, 23),
        Vital::Spo2 => (95.0, 86.0, 4),
        Vital::RespiratoryRate => (13.0, 27.0, 6),
        _ => (36.4, 38.6, 2),
    };
    let wander = u32::try_from(beat * 7 % spread).unwrap_or(0);
    let wander = if vital == Vital::BodyTemperature { 0.1 } else { 1.0 } * f64::from(wander);
    if is_ill { ill + wander } else { well + wander }
}

/// Devices behind one gateway.
const PATIENTS_OF_GATEWAY: u32 = 20;

fn patient(number: u32) -> PatientId {
    PatientId::new(&format!("patient-{number:07}")).expect("valid")
}

fn device(number: u32) -> DeviceId {
    DeviceId::new(&format!("wearable-{number:07}")).expect("valid")
}

fn gateway(number: u32) -> DeviceId {
    DeviceId::new(&format!("gateway-{number:05}")).expect("valid")
}

fn instant(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("below a second");
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// The batch as a gateway with a JSON library writes it.
fn json(batch: &proto::ReadingBatch) -> String {
    let time = |at: &Option<prost_types::Timestamp>| {
        let at = at.expect("set above");
        let micros = at.seconds * 1_000_000 + i64::from(at.nanos / 1000);
        Timestamp::from_micros(micros).expect("of this century").to_string()
    };
    let reading = |reading: &proto::Reading| {
        let Some(proto::reading::Measured::OffsetMs(offset)) = reading.measured else {
            unreachable!("readings are given by their offsets")
        };
        let Some(proto::reading::Value::Quantity(value)) = reading.value else {
            unreachable!("readings are quantities")
        };
        let vital = Vital::from_number(reading.vital).expect("one of ours").name();
        let unit = &reading.unit;
        format!(r#"{{"offsetMs":"{offset}","vital":"{vital}","quantity":{value},"unit":"{unit}"}}"#)
    };
    let readings: Vec<String> = batch.readings.iter().map(reading).collect();
    format!(
        r#"{{"bootId":"{}","firstSeq":"{}","sentAt":"{}","baseTime":"{}","readings":[{}]}}"#,
        batch.boot_id,
        batch.first_seq,
        time(&batch.sent_at),
        time(&batch.base_time),
        readings.join(","),
    )
}

fn as_u32(number: u64) -> u32 {
    u32::try_from(number).expect("below the number of patients")
}

fn as_u64(nanos: u128) -> u64 {
    u64::try_from(nanos).expect("a benchmark ends before 500 years have passed")
}

fn as_i64(millis: u128) -> i64 {
    i64::try_from(millis).expect("a few seconds")
}
