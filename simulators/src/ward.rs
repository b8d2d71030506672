//! A small simulated ward: patients with wearables that measure every second, some of whom
//! deteriorate on schedule.
//!
//! [`Ward::run`] publishes in real time until it is told to stop, and reports what it sent, which
//! alerts the service must raise for it, and when each reading was published. What is expected is
//! judged from the samples as they were sent, by the [`crate::oracle`], not from the script. The
//! same settings give the same values; only their times differ from run to run.

mod limits;
mod patient;
mod script;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use limits::{Limit, RULES, Rule, profile};
use patient::Patient;

use crate::encode::{self, Encoding};
use crate::enroll::{self, Enroller, Wearing};
use crate::oracle::alarms::ExpectedAlert;
use crate::oracle::steady::Steady;
use crate::publish::{self, Broker, Message, Progress, Publisher};
use crate::sample::{self, Batch, Numbering, Sample};
use crate::score::PublishTimes;
use crate::{clock, sample::Vital};

/// Every device measures once in this time.
const INTERVAL: Duration = Duration::from_secs(1);
/// Messages encoded ahead of the connection.
const AHEAD_MAX: usize = 16;
/// How long the broker may be away.
const PATIENCE: Duration = Duration::from_secs(30);
/// Readings are sent at once; this leaves room for a broker that is away for a while.
const UPLOAD_INTERVAL: SignedDuration = SignedDuration::from_secs(30);
/// How far before its enrolment a binding begins.
const BOUND_BEFORE: SignedDuration = SignedDuration::from_mins(1);

/// Which ward.
#[derive(Clone, Debug)]
pub struct WardSettings {
    /// Its site.
    pub site: String,
    /// How many patients; six show every script once.
    pub patients: usize,
    /// Told apart only by this, two wards of a size differ.
    pub seed: u64,
    /// How messages are encoded.
    pub encoding: Encoding,
}

impl Default for WardSettings {
    fn default() -> Self {
        Self { site: "demo".to_owned(), patients: 6, seed: 1, encoding: Encoding::default() }
    }
}

/// A ward that is about to begin.
#[derive(Debug)]
pub struct Ward {
    settings: WardSettings,
    beds: Vec<Bed>,
}

/// A patient and their device.
#[derive(Debug)]
struct Bed {
    patient_id: Arc<str>,
    device_id: Arc<str>,
    patient: Patient,
}

/// What a ward did, and what must follow.
#[derive(Debug)]
pub struct WardReport {
    /// Readings that the broker has acknowledged: all that were published.
    pub sent: u64,
    /// The messages they were in.
    pub batches: u64,
    /// Messages to which nobody was subscribed.
    pub unheard_batches: u64,
    /// How often the broker was lost and found again.
    pub reconnects: u64,
    /// The alerts that the service must raise, each once, and no others.
    pub expected: Vec<ExpectedAlert>,
    /// When each reading was published.
    pub published: PublishTimes,
}

impl Ward {
    /// The ward of these settings.
    #[must_use]
    pub fn new(settings: WardSettings) -> Self {
        let bed = |place: usize| Bed {
            patient_id: format!("patient-{:02}", place + 1).into(),
            device_id: format!("wearable-{:02}", place + 1).into(),
            patient: Patient::new(settings.seed, place),
        };
        Self { beds: (0..settings.patients).map(bed).collect(), settings }
    }

    /// Makes site, patients, devices and bindings known to the service at `url`, and puts the
    /// demo's limits as the site's profile.
    ///
    /// # Errors
    /// If the service can't be reached or refuses.
    pub async fn enroll(&self, url: &str) -> Result<(), enroll::Error> {
        let site = &self.settings.site;
        let mut enroller = Enroller::connect(url).await?;
        enroller.site(site, "Simulated ward").await?;
        enroller.put_profile(site, profile(RULES)).await?;
        let from = clock::now().saturating_sub(BOUND_BEFORE).unwrap_or(Timestamp::MIN);
        for Bed { patient_id, device_id, .. } in &self.beds {
            enroller.patient(patient_id, site).await?;
            enroller.device(device_id, site).await?;
            let wearing = Wearing {
                device: device_id,
                patient: patient_id,
                from,
                upload_interval: UPLOAD_INTERVAL,
                upload_interval_min: SignedDuration::ZERO,
                measures_every: SignedDuration::from_secs(1),
            };
            enroller.bind(&wearing).await?;
        }
        Ok(())
    }

    /// Measures and publishes until `until` completes and everything published is acknowledged.
    /// Not cancel safe: messages under way would be lost.
    ///
    /// # Errors
    /// If the broker can't be reached, refuses, or stays away.
    pub async fn run(
        self,
        broker: Broker,
        until: impl Future<Output = ()>,
    ) -> Result<WardReport, publish::Error> {
        let mut ledger = Ledger::new();
        let (messages, taken) = mpsc::channel(AHEAD_MAX);
        let connection = publish::Settings {
            broker,
            client_id: format!("{}-ward", publish::client_id(0)),
            patience: PATIENCE,
        };
        let patients: Vec<_> = self.beds.iter().map(Bed::names).collect();
        let observe = |progress: Progress<'_>| ledger.note(&progress, &patients);
        let publisher = Publisher::new(connection, taken, observe).run();
        let ((), published) = tokio::join!(measure(self, messages, until), publisher);
        published?;
        Ok(ledger.close())
    }
}

impl Bed {
    fn names(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.device_id), Arc::clone(&self.patient_id))
    }

    /// The samples of one second.
    fn measure(&mut self, measured_at: Timestamp) -> Vec<Sample> {
        let sample = |(vital, value): (Vital, f64)| Sample { measured_at, vital, value };
        self.patient.measure().into_iter().map(sample).collect()
    }
}

/// Lets every device measure once a second, one after the other within the second, and sends what
/// it measured at once. Ends early when the publisher is gone, whose error is then the ward's.
async fn measure(ward: Ward, messages: mpsc::Sender<Message>, until: impl Future<Output = ()>) {
    let Ward { settings: WardSettings { site, encoding, .. }, mut beds } = ward;
    let (start, began) = (clock::now(), Instant::now());
    let boot_id = sample::boot_id(start);
    let numbering = |bed: &Bed| Numbering::new(Arc::clone(&bed.device_id), boot_id);
    let mut numberings: Vec<Numbering> = beds.iter().map(numbering).collect();
    let offsets = offsets(beds.len());
    let measure_on = async {
        for second in 0_u32.. {
            for ((bed, numbering), offset) in beds.iter_mut().zip(&mut numberings).zip(&offsets) {
                let due = INTERVAL * second + *offset;
                sleep_until(began + due).await;
                let batch = numbering.number(bed.measure(start + due));
                let message = encode::message(&site, batch, encoding, clock::now());
                if messages.send(message).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = measure_on => {}
        () = messages.closed() => {}
        () = until => {}
    }
}

/// When within the interval each of so many devices measures, in whole milliseconds.
fn offsets(devices: usize) -> Vec<Duration> {
    let interval = u64::try_from(INTERVAL.as_millis()).expect("a second");
    let devices = devices as u64;
    (0..devices).map(|place| Duration::from_millis(interval * place / devices)).collect()
}

/// Which alerts the demo's limits must raise.
fn oracle() -> Steady {
    Steady::new(&profile(RULES), SignedDuration::try_from(INTERVAL).expect("a second"))
}

/// What was sent, as it is sent.
#[derive(Debug)]
struct Ledger {
    oracle: Steady,
    report: WardReport,
}

impl Ledger {
    fn new() -> Self {
        let report = WardReport {
            sent: 0,
            batches: 0,
            unheard_batches: 0,
            reconnects: 0,
            expected: Vec::new(),
            published: PublishTimes::default(),
        };
        Self { oracle: oracle(), report }
    }

    /// The oracle judges what is published, in the order in which it is: when the run ends in
    /// good order, all of it was acknowledged.
    fn note(&mut self, progress: &Progress<'_>, names: &[(Arc<str>, Arc<str>)]) {
        match progress {
            Progress::Published(message) => self.published(&message.batch, names),
            Progress::Acknowledged { batch, heard } => {
                self.report.sent += batch.samples.len() as u64;
                self.report.batches += 1;
                self.report.unheard_batches += u64::from(!heard);
            }
            Progress::Connected | Progress::Repeated(_) | Progress::Lost { .. } => {}
            Progress::Reconnected => self.report.reconnects += 1,
        }
    }

    fn published(&mut self, batch: &Batch, names: &[(Arc<str>, Arc<str>)]) {
        self.report.published.note(batch, Instant::now());
        let patient = names.iter().find(|(device, _)| *device == batch.device);
        let (_, patient) = patient.expect("every batch is of a bed of this ward");
        for sample in &batch.samples {
            self.oracle.observe(patient, sample);
        }
    }

    fn close(self) -> WardReport {
        WardReport { expected: self.oracle.into_expected(), ..self.report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the oracle expects of a ward after so many seconds: (patient, rule).
    fn expected(patients: usize, seed: u64, seconds: i64) -> Vec<ExpectedAlert> {
        let mut ward = Ward::new(WardSettings { patients, seed, ..WardSettings::default() });
        let mut oracle = oracle();
        for second in 0..seconds {
            let at = Timestamp::from_second(second).expect("in range");
            for bed in &mut ward.beds {
                let samples = bed.measure(at);
                samples.iter().for_each(|sample| oracle.observe(&bed.patient_id, sample));
            }
        }
        oracle.into_expected()
    }

    fn names(expected: &[ExpectedAlert]) -> Vec<(&str, &str)> {
        let mut names: Vec<_> =
            expected.iter().map(|alert| (&*alert.patient, &*alert.rule)).collect();
        names.sort_unstable();
        names
    }

    const THREE: [(&str, &str); 3] =
        [("patient-01", "hr-high"), ("patient-02", "spo2-low"), ("patient-03", "rr-high")];

    #[test]
    fn three_of_six_patients_alarm_within_a_demo_and_recover_whatever_the_seed() {
        for seed in 0..300 {
            let expected = expected(6, seed, 25);
            assert_eq!(names(&expected), THREE, "seed {seed}");
            assert!(expected.iter().all(|alert| alert.end_at.is_some()), "seed {seed}");
        }
    }

    #[test]
    fn near_misses_do_breach_their_limits() {
        let mut ward = Ward::new(WardSettings::default());
        for bed in &mut ward.beds[3..] {
            let samples: Vec<_> =
                (0..25).flat_map(|_| bed.measure(Timestamp::UNIX_EPOCH)).collect();
            let breaches = |sample: &Sample| {
                let mut rules = RULES.iter().filter(|rule| rule.vital == sample.vital);
                rules.any(|rule| match rule.limit {
                    Limit::Above(limit) => sample.value > limit,
                    Limit::Below(limit) => sample.value < limit,
                })
            };
            assert!(samples.iter().filter(|sample| breaches(sample)).count() >= 2);
        }
    }

    #[test]
    fn a_longer_demo_alarms_again_in_every_round() {
        let rounds = 4;
        let seconds = i64::try_from(script::ROUND).expect("seconds") * rounds;
        for seed in 0..20 {
            let expected = expected(6, seed, seconds);
            assert_eq!(expected.len(), 3 * 4, "seed {seed}");
        }
    }

    #[test]
    fn a_larger_ward_has_more_of_the_same() {
        assert_eq!(expected(60, 5, 45).len(), 30);
    }

    #[test]
    fn devices_measure_one_after_the_other_within_the_second() {
        assert_eq!(offsets(4), [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(offsets(0), []);
    }
}
