//! What a simulated patient's body does: a steady state, and episodes in which it worsens.
//!
//! Coarse on purpose. Values are plausible at all times and cross every limit of the ward's
//! profiles now and then, also by hovering at one.

use pulseward::vitals::Vital;

use crate::random::Random;
use crate::ward::{HOUR, MINUTE, Micros};

/// One patient's body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    heart_rate: i64,
    spo2: i64,
    respiratory_rate: i64,
    systolic: i64,
    episode: Option<Episode>,
    /// When the next episode begins.
    next_at: Micros,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    kind: Kind,
    from: Micros,
    until: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Desaturation,
    Tachycardia,
    Bradycardia,
    Sepsis,
    Hypertension,
    /// Heart rate moves about the upper limit.
    Hovering,
}

const KINDS: [Kind; 6] = [
    Kind::Desaturation,
    Kind::Tachycardia,
    Kind::Bradycardia,
    Kind::Sepsis,
    Kind::Hypertension,
    Kind::Hovering,
];

/// An episode reaches its height after this long.
const RAMP: Micros = 8 * MINUTE;

impl Body {
    /// A body whose episodes come after `calm` on average.
    pub(crate) fn new(mut random: Random, now: Micros, calm: Micros) -> Self {
        Self {
            heart_rate: random.range(580, 860),
            spo2: random.range(960, 985),
            respiratory_rate: random.range(130, 180),
            systolic: random.range(1150, 1400),
            episode: None,
            next_at: now + random.wait(calm),
            random,
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Micros, calm: Micros) {
        if self.episode.is_some_and(|episode| episode.until <= now) {
            self.episode = None;
            self.next_at = now + self.random.wait(calm);
        }
        if self.episode.is_none() && self.next_at <= now {
            let until = now + self.random.range(10 * MINUTE, 3 * HOUR);
            self.episode = Some(Episode { kind: self.random.pick(&KINDS), from: now, until });
        }
    }

    /// A vital in tenths of its unit; a level of consciousness by ten times its number.
    pub(crate) fn measure(&mut self, vital: Vital, now: Micros) -> i64 {
        let moved = self.by(vital, now);
        let mut swing = |most: i64| self.random.range(-most, most + 1);
        match vital {
            Vital::HeartRate | Vital::PulseRate => self.heart_rate + moved + swing(30),
            Vital::Spo2 => (self.spo2 + moved + swing(8)).min(1000) / 10 * 10,
            Vital::RespiratoryRate => (self.respiratory_rate + moved + swing(10)) / 10 * 10,
            Vital::SkinTemperature => 335 + moved + swing(4),
            Vital::BodyTemperature => 368 + moved + swing(2),
            Vital::SystolicPressure => self.systolic + moved,
            Vital::DiastolicPressure => 780 + swing(50),
            Vital::MeanPressure => 930 + swing(50),
            Vital::Consciousness if moved > 5 => 20,
            Vital::Consciousness => 10,
            _ => 0,
        }
    }

    /// By how much the episode moves a vital now.
    fn by(&self, vital: Vital, now: Micros) -> i64 {
        let Some(Episode { kind, from, until }) = self.episode else { return 0 };
        let ramp = (now - from).min(until - now).clamp(0, RAMP);
        let height = match (kind, vital) {
            (Kind::Desaturation, Vital::Spo2) => -230,
            (Kind::Desaturation | Kind::Sepsis, Vital::RespiratoryRate) => 160,
            (Kind::Tachycardia, Vital::HeartRate | Vital::PulseRate) => 650,
            (Kind::Sepsis, Vital::HeartRate | Vital::PulseRate) => 380,
            (Kind::Bradycardia, Vital::HeartRate | Vital::PulseRate) => -330,
            (Kind::Hovering, Vital::HeartRate | Vital::PulseRate) => 1080 - self.heart_rate,
            (Kind::Sepsis, Vital::SystolicPressure) => -380,
            (Kind::Sepsis, Vital::SkinTemperature | Vital::BodyTemperature) => 25,
            (Kind::Sepsis, Vital::Consciousness) => 10,
            (Kind::Hypertension, Vital::SystolicPressure) => 550,
            _ => 0,
        };
        height * ramp / RAMP
    }
}
