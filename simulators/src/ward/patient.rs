//! A simulated patient: baseline, slow drift, noise, and episodes that move a vital away.
//!
//! Seeded and exact: the same seed and place give the same values in every second. Values are
//! whole numbers, as monitors send them, and plausible in an adult. Without an episode they stay
//! well within the demo's limits. It knows no limit and decides nothing about alerts.

use super::script::{Effect, Script};
use crate::random::Random;
use crate::sample::Vital;

/// How a vital behaves in a patient who is well.
struct Habit {
    vital: Vital,
    /// Baselines of patients, from and to.
    baseline: (f64, f64),
    /// Slow swing to either side, and its period in seconds.
    drift: (f64, f64),
}

/// Pulse rate is not here: it follows the heart.
const HABITS: [Habit; 3] = [
    Habit { vital: Vital::HeartRate, baseline: (62.0, 82.0), drift: (4.0, 47.0) },
    Habit { vital: Vital::RespiratoryRate, baseline: (13.0, 17.0), drift: (1.5, 31.0) },
    Habit { vital: Vital::Spo2, baseline: (97.0, 98.5), drift: (0.7, 61.0) },
];
const SPO2_MAX: f64 = 100.0;

/// One patient.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    random: Random,
    baselines: [f64; HABITS.len()],
    phase: f64,
    script: Script,
    second: u64,
}

impl Patient {
    /// The patient at this place of the ward.
    pub(super) fn new(seed: u64, place: usize) -> Self {
        let mut random = Random::stream(seed, &[place as u64]);
        let baselines = HABITS.map(|habit| random.between(habit.baseline.0, habit.baseline.1));
        let phase = random.between(0.0, std::f64::consts::TAU);
        Self { random, baselines, phase, script: Script::of(place), second: 0 }
    }

    /// What the patient's device measures in the next second: a vital that it can't measure then
    /// is missing.
    pub(super) fn measure(&mut self) -> Vec<(Vital, f64)> {
        let second = self.second;
        self.second += 1;
        let effect = self.script.at(second);
        let values = [0, 1, 2].map(|habit| self.value(habit, second, effect));
        let [heart, breath, spo2] = values;
        let pulse = heart + self.random.whole(1);
        let all = [heart, pulse, breath, spo2];
        let measured = Vital::STEADY.into_iter().zip(all);
        measured.filter(|(vital, _)| effect != Effect::Missing(*vital)).collect()
    }

    fn value(&mut self, habit: usize, second: u64, effect: Effect) -> f64 {
        let Habit { vital, drift: (swing, period), .. } = &HABITS[habit];
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 seconds")]
        let turn = self.phase + std::f64::consts::TAU * (second as f64) / period;
        let well = self.baselines[habit] + swing * turn.sin();
        let moved = match effect {
            Effect::Toward { vital: moved, target, share } if moved == *vital => {
                well + (target - well) * share
            }
            _ => well,
        };
        let noise = self.random.whole(1);
        let value = moved.round() + noise;
        if *vital == Vital::Spo2 { value.min(SPO2_MAX) } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seed: u64, place: usize, count: usize) -> Vec<Vec<(Vital, f64)>> {
        let mut patient = Patient::new(seed, place);
        (0..count).map(|_| patient.measure()).collect()
    }

    #[test]
    fn the_same_seed_and_place_give_the_same_values() {
        assert_eq!(seconds(7, 2, 100), seconds(7, 2, 100));
        assert_ne!(seconds(7, 2, 100), seconds(8, 2, 100));
        assert_ne!(seconds(7, 0, 100), seconds(7, 6, 100), "same script, another patient");
    }

    #[test]
    fn values_are_whole_and_plausible() {
        for seed in 0..20 {
            for (vital, value) in (0..6).flat_map(|place| seconds(seed, place, 200)).flatten() {
                let plausible = match vital {
                    Vital::HeartRate | Vital::PulseRate => 20.0..=250.0,
                    Vital::RespiratoryRate => 3.0..=70.0,
                    Vital::Spo2 => 50.0..=100.0,
                    other => panic!("the ward measures no {other:?}"),
                };
                assert!(value.fract() == 0.0 && plausible.contains(&value), "{vital:?} {value}");
            }
        }
    }

    #[test]
    fn pulse_follows_the_heart() {
        for measured in seconds(3, 0, 100) {
            let value = |wanted| measured.iter().find(|(vital, _)| *vital == wanted);
            let (heart, pulse) = (value(Vital::HeartRate), value(Vital::PulseRate));
            let (heart, pulse) = (heart.expect("measured").1, pulse.expect("measured").1);
            assert!((heart - pulse).abs() <= 1.0, "{heart} {pulse}");
        }
    }
}
