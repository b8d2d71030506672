//! Patients at two sites whose wearables measure every second what a test says, from the same
//! simulators as everything else here, and the house in which a nurse with a token looks at them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pulseward_sim::caller::Caller;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::enroll::{Enroller, Wearing};
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{self, Numbering, Sample, Vital};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::{limits, past};
use crate::support::house::House;
use crate::support::publishing::Publishing;
use crate::support::sql::Sql;
use crate::support::tokens::Issuer;

/// The nurse's site.
pub(super) const NORTH: &str = "north";
/// Another, of which the nurse shall see nothing.
pub(super) const SOUTH: &str = "south";

const MEASURES_EVERY: Duration = Duration::from_secs(1);
/// What waits for the broker: a minute of every patient.
const WAITING_MAX: usize = 60 * 32;
/// A ward of the past is judged as if it were live.
const UPLOAD_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// What a patient's wearable measures now.
type Values = BTreeMap<&'static str, f64>;

/// Somebody who is well.
const CALM: [(&str, f64); 4] =
    [("heart_rate", 72.0), ("pulse_rate", 72.0), ("respiratory_rate", 15.0), ("spo2", 97.0)];

/// The patients, and what they measure.
pub(super) struct Bedside {
    pub(super) house: House,
    pub(super) issuer: Issuer,
    caller: Caller,
    measured: Arc<Mutex<BTreeMap<String, Values>>>,
    /// The time of the last round of measuring; rounds begin once there is somebody to measure.
    rounds: watch::Receiver<i64>,
    _publishing: Publishing,
    _dir: TempDir,
}

impl Bedside {
    /// A house with these patients, each at a site, who are all well.
    pub(super) async fn open(patients: &[(&str, &str)]) -> Self {
        Self::open_with(patients, Vec::new()).await
    }

    /// The same, with further variables of the service's environment.
    pub(super) async fn open_with(
        patients: &[(&str, &str)],
        further: Vec<(&'static str, String)>,
    ) -> Self {
        Self::open_after(patients, further, 0).await
    }

    /// The same, for a ward of the nurse's site that has measured for some hours already, and goes on
    /// as it is on wards.
    pub(super) async fn open_after(
        patients: &[(&str, &str)],
        further: Vec<(&'static str, String)>,
        hours: i64,
    ) -> Self {
        let issuer = Issuer::new();
        let mut environment = issuer.environment();
        environment.extend(further);
        let house = House::start_under(Sql::sqlite(), environment, Vec::new()).await;
        let dir = TempDir::with_prefix("bedside-").expect("temporary directory");
        let token = dir.path().join("token");
        std::fs::write(&token, issuer.token("root", "admin", &["*"])).expect("written");
        let caller = Caller::read(&token).expect("a token");
        enroll(&house, &caller, patients).await;
        let at_rest = if hours == 0 { Values::from(CALM) } else { Values::new() };
        let calm = |(patient, _): &(&str, &str)| ((*patient).to_owned(), at_rest.clone());
        let measured = Arc::new(Mutex::new(patients.iter().map(calm).collect()));
        let (messages, taken) = mpsc::channel(WAITING_MAX);
        let (round, rounds) = watch::channel(0);
        let beds = patients.iter().map(|(patient, site)| Bed::new(patient, site)).collect();
        let ward = Ward { beds, hours, measured: Arc::clone(&measured) };
        tokio::spawn(ward.measure(messages, round));
        let publishing = Publishing::of(&house.broker.url(), taken);
        Self { house, issuer, caller, measured, rounds, _publishing: publishing, _dir: dir }
    }

    /// The nurse's token.
    pub(super) fn nurse(&self, name: &str) -> String {
        self.issuer.token(name, "clinician", &[NORTH])
    }

    /// An administrator's token.
    pub(super) fn administrator(&self, name: &str) -> String {
        self.issuer.token(name, "admin", &[NORTH])
    }

    /// A patient of the nurse's site who wears nothing.
    pub(super) async fn add_unmonitored(&self, patient: &str) {
        let url = self.house.grpc_url().await;
        let mut enroller = Enroller::connect_as(&url, &self.caller).await.expect("gRPC answers");
        enroller.patient(patient, NORTH).await.expect("patient");
    }

    /// Where the page is.
    pub(super) async fn url(&self) -> String {
        format!("http://{}/ward/", self.house.service.http().await)
    }

    /// From now on a patient's wearable measures this, or, where it is negative, not at all; once it has been published, tells when the
    /// round began in which it was, in milliseconds since 1970.
    pub(super) async fn measures(&mut self, patient: &str, vital: &str, value: f64) -> i64 {
        let vital = CALM.iter().find(|(known, _)| *known == vital).expect("a vital").0;
        self.rounds.mark_unchanged();
        self.say(patient, vital, value);
        self.rounds.changed().await.expect("it goes on");
        *self.rounds.borrow_and_update()
    }

    fn say(&self, patient: &str, vital: &'static str, value: f64) {
        let mut measured = self.measured.lock().expect("no panic");
        measured.get_mut(patient).expect("a patient").insert(vital, value);
    }
}

/// A patient's wearable.
pub(super) fn device_of(patient: &str) -> String {
    format!("wearable-{patient}")
}

async fn enroll(house: &House, caller: &Caller, patients: &[(&str, &str)]) {
    let mut enroller =
        Enroller::connect_as(&house.grpc_url().await, caller).await.expect("gRPC answers");
    for site in [NORTH, SOUTH] {
        enroller.site(site, site).await.expect("site");
        enroller.put_profile(site, limits::profile()).await.expect("profile");
    }
    for (patient, site) in patients {
        let device = device_of(patient);
        enroller.patient(patient, site).await.expect("patient");
        enroller.device(&device, site).await.expect("device");
        let wearing = Wearing {
            device: &device,
            patient,
            from: Timestamp::now() - SignedDuration::from_hours(12),
            upload_interval: UPLOAD_INTERVAL,
            upload_interval_min: UPLOAD_INTERVAL,
            measures_every: SignedDuration::from_secs(1),
        };
        enroller.bind(&wearing).await.expect("binding");
    }
}

/// Who measures.
struct Ward {
    beds: Vec<Bed>,
    /// How long it has measured already.
    hours: i64,
    measured: Arc<Mutex<BTreeMap<String, Values>>>,
}

struct Bed {
    patient: String,
    site: String,
    numbering: Numbering,
}

impl Bed {
    fn new(patient: &str, site: &str) -> Self {
        let numbering =
            Numbering::new(device_of(patient).into(), sample::boot_id(Timestamp::now()));
        Self { patient: patient.to_owned(), site: site.to_owned(), numbering }
    }
}

impl Ward {
    /// Measures as long as anybody takes the messages.
    async fn measure(mut self, messages: mpsc::Sender<Message>, rounds: watch::Sender<i64>) {
        for message in self.past() {
            if messages.send(message).await.is_err() {
                return;
            }
        }
        let mut rhythm = tokio::time::interval(MEASURES_EVERY);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rhythm.tick().await;
            let now = Timestamp::now();
            for message in self.round(now) {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            rounds.send_replace(now.as_millisecond());
        }
    }

    fn past(&mut self) -> Vec<Message> {
        if self.hours == 0 {
            return Vec::new();
        }
        let now = Timestamp::now();
        let mut devices: Vec<_> = self.beds.iter().map(|bed| bed.numbering.clone()).collect();
        let mut messages = past::messages(NORTH, &mut devices, self.hours, now);
        for (bed, numbering) in self.beds.iter_mut().zip(devices) {
            bed.numbering = numbering;
        }
        let patients: Vec<_> = self.beds.iter().map(|bed| bed.patient.as_str()).collect();
        messages.extend(past::said(NORTH, &patients, now));
        messages
    }

    /// What is measured now, of those who measure anything.
    fn round(&mut self, now: Timestamp) -> Vec<Message> {
        let now = Timestamp::from_microsecond(now.as_microsecond()).expect("it can be said");
        let measured = self.measured.lock().expect("no panic");
        let mut messages = Vec::new();
        for (place, bed) in self.beds.iter_mut().enumerate() {
            let mut samples = samples(&measured[&bed.patient], now);
            if self.hours > 0 {
                add_rest(&mut samples, place, now);
            }
            samples.retain(|sample| sample.value >= 0.0);
            if !samples.is_empty() {
                let batch = bed.numbering.number(samples);
                messages.push(encode::message(&bed.site, batch, Encoding::Protobuf, now));
            }
        }
        messages
    }
}

/// What nobody has said is what it is at rest.
fn add_rest(samples: &mut Vec<Sample>, place: usize, now: Timestamp) {
    for vital in Vital::STEADY {
        if samples.iter().all(|sample| sample.vital != vital) {
            samples.push(Sample { measured_at: now, vital, value: past::value(place, vital, now) });
        }
    }
}

fn samples(values: &Values, now: Timestamp) -> Vec<Sample> {
    let sample = |(name, value): (&&str, &f64)| Sample {
        measured_at: now,
        vital: vital(name),
        value: *value,
    };
    values.iter().map(sample).collect()
}

fn vital(name: &str) -> Vital {
    match name {
        "heart_rate" => Vital::HeartRate,
        "pulse_rate" => Vital::PulseRate,
        "respiratory_rate" => Vital::RespiratoryRate,
        "spo2" => Vital::Spo2,
        _ => panic!("nothing measures {name}"),
    }
}
