//! A million spoiled messages, each with an answer.
//!
//! Good messages of every kind are spoiled, put on topics that are right for the most part, and
//! given to an engine with patients, devices and the default rules. After each, what came out must
//! fit what went in: nothing panics, what is refused has a reason that repeats nothing of the
//! payload, and of a batch that can be read every reading is admitted, a duplicate, or refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use pulseward::clock::Timestamp;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Encoding, Event, Input, NewBinding, Principal, ProfileOwner, Publish, Role,
    Schedule, Settings, Sites,
};
use pulseward::engine::output::{Output, Quality, Reading, Reject, RejectReason, Verdict};
use pulseward::engine::{self, State, decode};
use pulseward::mqtt::topic::{Kind, Topic};
use pulseward::profile_file;
use pulseward::vitals::{DeviceId, PatientId, SiteId, Value};

use crate::messages::{any_batch, any_status};
use crate::random::Random;
use crate::spoil::{NAME, spoil};
use crate::{json, publish};

/// Payloads of a run that is not told otherwise: a few seconds, whoever compiled it.
const PAYLOADS: u64 = if cfg!(debug_assertions) { 30_000 } else { 1_000_000 };
/// Messages that are spoiled again and again.
const SEEDS: usize = 400;
/// Low, so that payloads meet them.
const LIMITS: (u32, u32) = (20_000, 6);
/// As `reading.proto` promises.
const DETAIL_BYTES_MAX: usize = 199;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(format!("PULSEWARD_FUZZ_{name}")).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn fuzz_everything_that_devices_send_is_answered_and_breaks_nothing() {
    let seed = number_from("SEED").unwrap_or(1);
    let payloads = number_from("PAYLOADS").unwrap_or(PAYLOADS);
    let mut random = Random::new(seed);
    let messages = messages(seed, &mut random);
    let mut ward = Ward::new();
    let began = Instant::now();
    for index in 0..payloads {
        let publish = spoiled(&mut random, &messages);
        let case = Case { seed, index, publish };
        ward.take(&case.publish);
    }
    eprintln!("{payloads} payloads of seed {seed} in {:?}: {:?}", began.elapsed(), ward.seen);
    assert!(ward.seen.reasons.len() >= 12, "{:?}", ward.seen);
    let least = [ward.seen.admitted, ward.seen.duplicate, ward.seen.unknown_fields];
    assert!(least.into_iter().all(|seen| seen > payloads / 100), "{:?}", ward.seen);
}

/// What is tried; says how to try it again if that fails.
struct Case {
    seed: u64,
    index: u64,
    publish: Publish,
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, index, publish } = self;
            let Publish { topic, payload, encoding, .. } = publish;
            let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("PULSEWARD_FUZZ_SEED={seed}, payload {index} as {encoding:?} on {topic:?}:");
            eprintln!("{hex}");
        }
    }
}

/// Good messages, with the level of the topic and the encoding that they belong to.
fn messages(seed: u64, random: &mut Random) -> Vec<(&'static str, Encoding, Vec<u8>)> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut messages = Vec::new();
    for _ in 0..SEEDS / 4 {
        let batch = any_batch().new_tree(&mut runner).expect("a batch").current();
        messages.push(("readings", Encoding::Protobuf, batch.encode_to_vec()));
        messages.push(("readings", Encoding::Json, json::batch(&batch, random).into_bytes()));
        let status = any_status().new_tree(&mut runner).expect("a status").current();
        messages.push(("status", Encoding::Protobuf, status.encode_to_vec()));
        messages.push(("status", Encoding::Json, json::status(&status, random).into_bytes()));
    }
    messages
}

fn spoiled(random: &mut Random, messages: &[(&'static str, Encoding, Vec<u8>)]) -> Publish {
    let (kind, encoding, payload) = &messages[random.index(messages.len())];
    let mut payload = payload.clone();
    if random.per_mille(800) {
        let (_, _, other) = &messages[random.index(messages.len())];
        spoil(random, &mut payload, other);
    }
    let declared = match random.index(10) {
        0 => Some(random.pick(&[Encoding::Json, Encoding::Protobuf])),
        1..=4 => Some(*encoding),
        _ => None,
    };
    let kind = if random.per_mille(950) { kind } else { random.pick(&["readings", "status"]) };
    let mut publish = publish(kind, payload, declared);
    publish.retained = random.per_mille(100);
    publish.topic = match random.index(100) {
        0 => {
            random.pick(&["", "pulseward/v1", "pulseward/v1/north/wearable-1/\u{0}", "+/#"]).into()
        }
        1 => format!("pulseward/v1/north/{}/{kind}", random.pick(&["stranger", "wearable-5", ""])),
        2 => format!("pulseward/v1/south/wearable-1/{kind}"),
        3 => "pulseward/v1/north/wearable-1/verdicts".to_owned(),
        _ => format!("pulseward/v1/north/wearable-{}/{kind}", 1 + random.index(4)),
    };
    publish
}

/// What came of all payloads.
#[derive(Debug, Default)]
struct Seen {
    admitted: u64,
    duplicate: u64,
    unknown_fields: u64,
    reasons: BTreeMap<RejectReason, u64>,
}

/// An engine with devices 1 to 3 on patients, 4 on nobody, and 5 at another site.
struct Ward {
    state: State,
    settings: Settings,
    now: Timestamp,
    seen: Seen,
}

impl Ward {
    fn new() -> Self {
        let settings = Settings {
            payload_bytes_max: LIMITS.0,
            batch_readings_max: LIMITS.1,
            ..Settings::default()
        };
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut ward = Self { state: State::default(), settings, now, seen: Seen::default() };
        ward.apply(Event::Settings(ward.settings.clone()));
        for site in ["north", "south"] {
            ward.command(Action::CreateSite {
                site: site.parse().expect("an id"),
                display_name: site.to_owned(),
                time_zone: "Europe/Berlin".to_owned(),
            });
        }
        let profile = profile_file::adult();
        let owner = ProfileOwner::Default;
        ward.command(Action::PutProfile { owner, profile, expected_version: None });
        for number in 1..=5 {
            ward.enroll(number);
        }
        ward.now = ward.now.plus(Duration::from_secs(1000));
        ward
    }

    fn enroll(&mut self, number: u32) {
        let site: SiteId = if number == 5 { "south" } else { "north" }.parse().expect("an id");
        let device: DeviceId = format!("wearable-{number}").parse().expect("an id");
        let patient: PatientId = format!("patient-{number}").parse().expect("an id");
        self.command(Action::CreateDevice { device: device.clone(), site: site.clone() });
        self.command(Action::CreatePatient { patient: patient.clone(), site });
        if number <= 3 {
            let (from, schedule) = (None, Schedule::default());
            self.command(Action::BindDevice(NewBinding { device, patient, from, schedule }));
        }
    }

    fn command(&mut self, action: Action) {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        let event = Event::Command(Box::new(Command { principal, action, origin, request: None }));
        let input = Input { received_at: self.now, event };
        let reply = engine::apply(&mut self.state, &input, &mut Vec::new());
        reply.expect("commands are answered").expect("accepted");
    }

    fn apply(&mut self, event: Event) -> Vec<Output> {
        let mut outputs = Vec::new();
        let input = Input { received_at: self.now, event };
        engine::apply(&mut self.state, &input, &mut outputs);
        outputs
    }

    /// Takes a message in and looks at what came of it.
    fn take(&mut self, publish: &Publish) {
        self.now = self.now.plus(Duration::from_micros(700));
        let answer = Answer::of(self.apply(Event::Publish(publish.clone())));
        answer.check_words();
        for reject in &answer.rejects {
            *self.seen.reasons.entry(reject.reason).or_default() += 1;
        }
        for reading in &answer.readings {
            check_reading(reading, self.now);
        }
        let Ok(topic) = Topic::parse(&publish.topic) else {
            return answer.check_whole(Some(RejectReason::MalformedPayload), None);
        };
        let is_enrolled = matches!(
            (topic.site, topic.device),
            ("north", "wearable-1" | "wearable-2" | "wearable-3" | "wearable-4")
                | ("south", "wearable-5")
        );
        match topic.kind {
            Kind::Verdicts => answer.check_whole(None, None),
            Kind::Status if is_enrolled => {
                let refused = decode::status(publish, &self.settings).err();
                if let Some((reason, _)) = refused {
                    answer.check_whole(Some(reason), None);
                }
            }
            Kind::Status => assert_eq!(answer.rejects.len(), 1),
            Kind::Readings => self.check_readings(publish, is_enrolled, &answer),
        }
    }

    fn check_readings(&mut self, publish: &Publish, is_enrolled: bool, answer: &Answer) {
        let batch = match decode::batch(publish, &self.settings) {
            Ok(batch) => batch,
            Err((reason, _)) => return answer.check_whole(Some(reason), Some(1)),
        };
        self.seen.unknown_fields += u64::from(batch.unknown_fields);
        let sent = batch.readings.len() + batch.refused.len();
        if !is_enrolled {
            assert!(answer.readings.is_empty());
            // An empty one is refused too.
            assert_eq!(answer.verdict().rejected_total as usize, sent.max(1));
            return;
        }
        let admitted = answer.readings.len();
        self.seen.admitted += admitted as u64;
        let refused: usize = answer.rejects.iter().map(|it| it.count as usize).sum();
        let is_due = batch.want_verdict || refused > 0;
        assert_eq!(answer.verdicts.len(), usize::from(is_due), "a verdict where one is due");
        assert!(admitted + refused <= sent && refused >= batch.refused.len());
        if is_due {
            let verdict = answer.verdict();
            assert_eq!((verdict.boot_id, verdict.first_seq), (batch.boot_id, batch.first_seq));
            assert_eq!(verdict.accepted as usize, admitted);
            assert_eq!(verdict.rejected_total as usize, refused);
            assert_eq!(admitted + refused + verdict.duplicate as usize, sent, "each is answered");
            self.seen.duplicate += u64::from(verdict.duplicate);
        }
    }
}

/// What an input led to, sorted.
#[derive(Default)]
struct Answer {
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
    verdicts: Vec<Verdict>,
}

impl Answer {
    fn of(outputs: Vec<Output>) -> Self {
        let mut answer = Self::default();
        for output in outputs {
            match output {
                Output::Reading(reading) => answer.readings.push(reading),
                Output::Reject(reject) => answer.rejects.push(*reject),
                Output::Verdict(verdict) => answer.verdicts.push(*verdict),
                _ => {}
            }
        }
        answer
    }

    fn verdict(&self) -> &Verdict {
        let [verdict] = &self.verdicts[..] else { panic!("{} verdicts", self.verdicts.len()) };
        verdict
    }

    /// Every refusal says why, briefly, and repeats nothing.
    fn check_words(&self) {
        let of_verdicts = self.verdicts.iter().flat_map(|verdict| &verdict.rejected);
        let details = self.rejects.iter().map(|it| &it.detail);
        for detail in details.chain(of_verdicts.map(|it| &it.detail)) {
            assert!((1..=DETAIL_BYTES_MAX).contains(&detail.len()), "{detail:?}");
            assert!(!detail.contains(NAME), "{detail:?} repeats the payload");
        }
    }

    /// The whole message was refused for this reason, or heeded in no way.
    fn check_whole(&self, reason: Option<RejectReason>, rejected_total: Option<u32>) {
        assert!(self.readings.is_empty());
        let reasons: Vec<_> = self.rejects.iter().map(|it| (it.index, it.reason)).collect();
        assert!(reasons.into_iter().eq(reason.map(|reason| (None, reason))));
        assert!(self.verdicts.iter().map(|it| it.rejected_total).eq(rejected_total));
    }
}

fn check_reading(reading: &Reading, now: Timestamp) {
    assert!(reading.measured_at.since(now) <= Duration::from_secs(30));
    if let Value::Quantity(quantity) = reading.value {
        let is_possible = reading.vital.possible().contains(quantity);
        assert!(is_possible || reading.quality.has(Quality::NO_SENSOR), "{reading:?}");
    }
}
