//! Vitals like recorded ones: several monitors, a value of each vital a second, with gaps, values
//! that hover at a limit, and breaches of every length. A seed makes the same again.
//!
//! What must follow from them is computed here, from the samples alone and by the simulators'
//! oracle, which shares nothing with the service.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::oracle::steady::Steady;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{self, Batch, Numbering, Sample, Vital};
use pulseward_sim::ward::{self, Limit, Rule};

use super::random::Random;

/// The site of every patient.
pub(crate) const SITE: &str = "icu";

const DELAY: SignedDuration = SignedDuration::from_secs(15);
const MAX_GAP: SignedDuration = SignedDuration::from_millis(1500);

/// The limits in force. They do not cover pulse rate, and clear where they breach, at once.
pub(crate) const RULES: &[Rule] = &[
    rule("hr-high", Vital::HeartRate, Limit::Above(100.0)),
    rule("rr-high", Vital::RespiratoryRate, Limit::Above(24.0)),
    rule("spo2-low", Vital::Spo2, Limit::Below(90.0)),
];

const fn rule(id: &'static str, vital: Vital, limit: Limit) -> Rule {
    Rule { id, vital, limit, delay: DELAY, max_gap: MAX_GAP }
}

/// A reading as SQL and gRPC must give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadingRow {
    pub(crate) patient: String,
    pub(crate) device: String,
    pub(crate) vital: String,
    /// Microseconds since 1970.
    pub(crate) measured_at: i64,
    pub(crate) ten_thousandths: i64,
}

/// An event of an alert as SQL and a stream must give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventRow {
    pub(crate) patient: String,
    pub(crate) rule: String,
    /// Microseconds since 1970.
    pub(crate) onset: i64,
    /// When the reading that decided it was measured.
    pub(crate) decided_by: i64,
    /// `start` or `end`
    pub(crate) phase: String,
}

/// What several monitors measured.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) start: Timestamp,
    pub(crate) devices: Vec<Arc<str>>,
    /// In the order in which they are sent.
    batches: Vec<Batch>,
}

impl Recording {
    /// What `devices` monitors measured over the last hour's first `seconds`.
    pub(crate) fn new(seed: u64, devices: usize, seconds: usize) -> Self {
        let whole = TimestampRound::new().smallest(Unit::Second);
        let start =
            Timestamp::now().round(whole).expect("in range") - SignedDuration::from_hours(1);
        let mut random = Random::new(seed);
        let devices: Vec<Arc<str>> =
            (1..=devices).map(|number| format!("monitor-{number:02}").into()).collect();
        let monitors =
            devices.iter().map(|device| Monitor::new(device, start, &mut random, seconds));
        let monitors: Vec<_> = monitors.collect();
        Self { start, devices, batches: batches(monitors, seconds, &mut random) }
    }

    /// Who wears a device.
    pub(crate) fn patient_of(device: &str) -> Arc<str> {
        format!("patient-of-{device}").into()
    }

    /// How many messages carry it.
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// The messages, in protobuf from every other device, in JSON from the rest.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let message = |batch: &Batch| {
            let place = self.devices.iter().position(|device| *device == batch.device);
            let is_even = place.expect("a batch is of a device").is_multiple_of(2);
            let encoding = if is_even { Encoding::Protobuf } else { Encoding::Json };
            encode::message(SITE, batch.clone(), encoding, Timestamp::now())
        };
        self.batches.iter().map(message).collect()
    }

    /// The readings of the first `messages`, sorted.
    pub(crate) fn readings_of(&self, messages: usize) -> Vec<ReadingRow> {
        let mut rows: Vec<_> =
            self.samples_of(messages).map(|(device, sample)| row(device, sample)).collect();
        rows.sort();
        rows
    }

    /// All readings, sorted.
    pub(crate) fn readings(&self) -> Vec<ReadingRow> {
        self.readings_of(self.len())
    }

    /// What must happen to alerts by the first `messages`, sorted.
    pub(crate) fn events_of(&self, messages: usize) -> Vec<EventRow> {
        let mut oracle = Steady::new(&ward::profile(RULES), SignedDuration::from_secs(1));
        for (device, sample) in self.samples_of(messages) {
            oracle.observe(&Self::patient_of(device), sample);
        }
        let mut events = Vec::new();
        for alert in oracle.into_expected() {
            let event = |phase: &str, decided_by: Timestamp| EventRow {
                patient: alert.patient.to_string(),
                rule: alert.rule.to_string(),
                onset: alert.onset.as_microsecond(),
                decided_by: decided_by.as_microsecond(),
                phase: phase.to_owned(),
            };
            events.push(event("start", alert.raise_at));
            events.extend(alert.end_at.map(|end_at| event("end", end_at)));
        }
        events.sort();
        events
    }

    /// All that must happen to alerts, sorted.
    pub(crate) fn events(&self) -> Vec<EventRow> {
        self.events_of(self.len())
    }

    fn samples_of(&self, messages: usize) -> impl Iterator<Item = (&Arc<str>, &Sample)> {
        let batches = self.batches[..messages].iter();
        batches.flat_map(|batch| batch.samples.iter().map(|sample| (&batch.device, sample)))
    }
}

/// The row of a sample.
pub(crate) fn row(device: &str, sample: &Sample) -> ReadingRow {
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
    let ten_thousandths = (sample.value * 10_000.0).round() as i64;
    ReadingRow {
        patient: Recording::patient_of(device).to_string(),
        device: device.to_owned(),
        vital: name_of(sample.vital).to_owned(),
        measured_at: sample.measured_at.as_microsecond(),
        ten_thousandths,
    }
}

const fn name_of(vital: Vital) -> &'static str {
    match vital {
        Vital::HeartRate => "heart_rate",
        Vital::PulseRate => "pulse_rate",
        Vital::RespiratoryRate => "respiratory_rate",
        Vital::Spo2 => "spo2",
        _ => panic!("a monitor measures what is steady"),
    }
}

/// Every device sends what it has measured after one to three seconds.
fn batches(mut monitors: Vec<Monitor>, seconds: usize, random: &mut Random) -> Vec<Batch> {
    let mut batches = Vec::new();
    for second in 0..seconds {
        let is_last = second + 1 == seconds;
        for monitor in &mut monitors {
            monitor.measure(second);
            if is_last || random.percent(60) {
                batches.extend(monitor.send());
            }
        }
    }
    batches
}

/// One device, with all that it will ever measure.
struct Monitor {
    numbering: Numbering,
    start: Timestamp,
    /// By vital; `None` where the recording says NaN.
    values: BTreeMap<usize, Vec<Option<f64>>>,
    measured: Vec<Sample>,
}

impl Monitor {
    fn new(device: &Arc<str>, start: Timestamp, random: &mut Random, seconds: usize) -> Self {
        let values = Vital::STEADY.into_iter().map(|vital| series(vital, random, seconds));
        Self {
            numbering: Numbering::new(Arc::clone(device), sample::boot_id(start)),
            start,
            values: values.enumerate().collect(),
            measured: Vec::new(),
        }
    }

    fn measure(&mut self, second: usize) {
        let offset = SignedDuration::from_secs(i64::try_from(second).expect("minutes"));
        let measured_at = self.start + offset;
        for (index, values) in &self.values {
            if let Some(value) = values[second] {
                self.measured.push(Sample { measured_at, vital: Vital::STEADY[*index], value });
            }
        }
    }

    fn send(&mut self) -> Option<Batch> {
        let samples = std::mem::take(&mut self.measured);
        (!samples.is_empty()).then(|| self.numbering.number(samples))
    }
}

/// Stretches of calm, of hovering at the limit, and of breach.
fn series(vital: Vital, random: &mut Random, seconds: usize) -> Vec<Option<f64>> {
    let mut values = Vec::with_capacity(seconds);
    while values.len() < seconds {
        let (centre, spread) = match random.between(0, 9) {
            0..=3 => (-8, 2),
            4..=6 => (0, 1),
            _ => (6, 3),
        };
        for _ in 0..random.between(4, 50) {
            let beyond = centre + random.between(-spread, spread);
            values.push((!random.percent(2)).then(|| value(vital, beyond)));
        }
        if random.percent(15) {
            values.extend([None; 4]);
        }
    }
    values.truncate(seconds);
    values
}

/// The value so far beyond the vital's limit.
fn value(vital: Vital, beyond: i64) -> f64 {
    let whole = match vital {
        Vital::HeartRate | Vital::PulseRate => 100 + beyond,
        Vital::RespiratoryRate => 24 + beyond,
        Vital::Spo2 => 90 - beyond,
        _ => unreachable!("a monitor measures what is steady"),
    };
    f64::from(i32::try_from(whole).expect("a vital"))
}
