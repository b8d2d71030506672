//! Episodes: what moves a patient's vitals away for a while, and whom it befalls.
//!
//! An episode breaches the fleet's limits by a clear distance, or, as a near miss, stays within
//! them by one, so that a difference of a value decides nothing. Whom it befalls, and when, is
//! drawn from the seed for each patient. It says what happens to the body; which alerts must follow
//! is for whoever judges the run.

use std::fmt;

use clap::ValueEnum;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::scenario::{Episode, Scenario};
use crate::random::Random;
use crate::sample::Vital;

/// Kinds of episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SpO2 falls to 81.
    Desaturation,
    /// Heart rate, respiratory rate and temperature rise, blood pressure falls, all of them slowly.
    Sepsis,
    /// Heart rate falls to 39.
    Bradycardia,
    /// Heart rate jumps about between 125 and 165.
    AtrialFibrillation,
    /// Systolic pressure rises to 212.
    HypertensiveCrisis,
    /// Temperature rises to 39.6.
    Fever,
    /// Glucose falls to 46.
    Hypoglycaemia,
    /// The oximeter is off: pulse rate and SpO2 are absent.
    SensorOff,
    /// The patient moves: the oximeter says now and then what can't be, and doubts itself.
    MotionArtefact,
}

/// A vital that an episode moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) vital: Vital,
    /// Where to.
    pub(super) target: f64,
    /// How far it jumps about there.
    pub(super) spread: i32,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Desaturation,
        Self::Sepsis,
        Self::Bradycardia,
        Self::AtrialFibrillation,
        Self::HypertensiveCrisis,
        Self::Fever,
        Self::Hypoglycaemia,
        Self::SensorOff,
        Self::MotionArtefact,
    ];

    /// Its name in scenario files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Desaturation => "desaturation",
            Self::Sepsis => "sepsis",
            Self::Bradycardia => "bradycardia",
            Self::AtrialFibrillation => "atrial-fibrillation",
            Self::HypertensiveCrisis => "hypertensive-crisis",
            Self::Fever => "fever",
            Self::Hypoglycaemia => "hypoglycaemia",
            Self::SensorOff => "sensor-off",
            Self::MotionArtefact => "motion-artefact",
        }
    }

    /// Whether it can come near a limit without breaching it.
    #[must_use]
    pub const fn has_near_miss(self) -> bool {
        !matches!(self, Self::SensorOff | Self::MotionArtefact)
    }

    const fn is_slow(self) -> bool {
        matches!(self, Self::Sepsis | Self::HypertensiveCrisis | Self::Fever | Self::Hypoglycaemia)
    }

    /// Which part of its length it takes to come, and to go.
    const fn ramp(self) -> f64 {
        if matches!(self, Self::Sepsis) { 0.3 } else { 0.1 }
    }

    fn moves(self, near_miss: bool) -> &'static [Move] {
        const fn to(vital: Vital, target: f64) -> Move {
            Move { vital, target, spread: 0 }
        }
        const fn about(vital: Vital, target: f64, spread: i32) -> Move {
            Move { vital, target, spread }
        }
        use Vital::*;
        match (self, near_miss) {
            (Self::Desaturation, false) => const { &[to(Spo2, 81.0)] },
            (Self::Desaturation, true) => const { &[to(Spo2, 93.0)] },
            (Self::Sepsis, false) => {
                const {
                    &[
                        to(HeartRate, 135.0),
                        to(RespiratoryRate, 30.0),
                        to(BodyTemperature, 39.4),
                        to(SystolicPressure, 82.0),
                        to(DiastolicPressure, 48.0),
                    ]
                }
            }
            (Self::Sepsis, true) => {
                const {
                    &[
                        to(HeartRate, 111.0),
                        to(RespiratoryRate, 22.0),
                        to(BodyTemperature, 38.0),
                        to(SystolicPressure, 97.0),
                    ]
                }
            }
            (Self::Bradycardia, false) => const { &[to(HeartRate, 39.0)] },
            (Self::Bradycardia, true) => const { &[to(HeartRate, 52.0)] },
            (Self::AtrialFibrillation, false) => const { &[about(HeartRate, 145.0, 20)] },
            (Self::AtrialFibrillation, true) => const { &[about(HeartRate, 100.0, 12)] },
            (Self::HypertensiveCrisis, false) => {
                const { &[to(SystolicPressure, 212.0), to(DiastolicPressure, 122.0)] }
            }
            (Self::HypertensiveCrisis, true) => {
                const { &[to(SystolicPressure, 169.0), to(DiastolicPressure, 98.0)] }
            }
            (Self::Fever, false) => const { &[to(BodyTemperature, 39.6)] },
            (Self::Fever, true) => const { &[to(BodyTemperature, 38.0)] },
            (Self::Hypoglycaemia, false) => const { &[to(BloodGlucose, 46.0)] },
            (Self::Hypoglycaemia, true) => const { &[to(BloodGlucose, 80.0)] },
            (Self::SensorOff | Self::MotionArtefact, _) => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One patient's episode. Times are milliseconds since the fleet began to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    pub(super) kind: Kind,
    pub(super) near_miss: bool,
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Course {
    /// What befalls this patient, if anything does.
    pub(super) fn draw(scenario: &Scenario, patient: u32) -> Option<Self> {
        const STREAM: u64 = 0xe9;
        for (place, episode) in scenario.episodes.iter().enumerate() {
            let mut random =
                Random::stream(scenario.seed, &[STREAM, u64::from(patient), place as u64]);
            if !random.chance(episode.patients) {
                continue;
            }
            let length = episode.length.unwrap_or_else(|| usual_length(episode.kind, scenario));
            let length = millis(length);
            // So that its end is seen too.
            let tail = millis(scenario.limits.clear_delay + scenario.slow_every() * 2);
            let last = (millis(scenario.duration) - length - tail).max(0);
            let drawn = random.within(last / 20, last);
            let from = episode.at.map_or(drawn, millis);
            let Episode { kind, near_miss, .. } = *episode;
            return Some(Self { kind, near_miss, from, until: from.saturating_add(length) });
        }
        None
    }

    /// Whether it lasts at this time.
    pub(super) fn is_on(&self, at_ms: i64) -> bool {
        (self.from..self.until).contains(&at_ms)
    }

    /// How far it has come at this time, from 0 to 1.
    pub(super) fn share(&self, at_ms: i64) -> f64 {
        if !self.is_on(at_ms) {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 milliseconds")]
        let (since, left, length) = (
            (at_ms - self.from) as f64,
            (self.until - at_ms) as f64,
            (self.until - self.from) as f64,
        );
        (since.min(left) / (length * self.kind.ramp()).max(1.0)).min(1.0)
    }

    /// How it moves a vital, if it does.
    pub(super) fn moves(&self, vital: Vital) -> Option<&'static Move> {
        self.kind.moves(self.near_miss).iter().find(|moved| moved.vital == vital)
    }
}

/// Long enough for an alert, whatever is measured.
fn usual_length(kind: Kind, scenario: &Scenario) -> SignedDuration {
    let delay = scenario.limits.delay + scenario.limits.clear_delay;
    let rounds = if kind.is_slow() { scenario.slow_every() } else { scenario.every() };
    let least = (delay * 4).max(rounds * 6) + SignedDuration::from_secs(10);
    if matches!(kind, Kind::Sepsis) { least * 2 } else { least }
}

/// Whole milliseconds of a span.
pub(super) fn millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4)
}
