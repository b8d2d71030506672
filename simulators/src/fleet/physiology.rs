//! A simulated patient: baselines, slow drift, the time of day, activity, noise, and an episode.
//!
//! Seeded and exact: the same seed and patient give the same values in every round, whoever else
//! there is and however fast it is sent. A patient who is well stays within the fleet's limits by a
//! clear distance, also in their clear limits. Values are as monitors send them: whole numbers,
//! temperatures to a tenth. It knows no limit and decides nothing about alerts.

use std::f64::consts::TAU;

use super::episode::{Course, Kind};
use super::scenario::Scenario;
use crate::proto::v1::AbsentReason;
use crate::random::Random;
use crate::sample::Vital;

/// How long somebody goes on with what they are doing.
const BOUT_MS: i64 = 60_000;
/// How fast a body follows what is being done.
const INERTIA_MS: f64 = 15_000.0;
const DAY_MS: f64 = 86_400_000.0;
/// Streams of randomness of a patient.
const BODY: u64 = 0xb0;
const NOISE: u64 = 0xb1;
const ACTIVITY: u64 = 0xb2;

/// How a vital behaves in a patient who is well.
struct Habit {
    vital: Vital,
    /// Baselines of patients, from and to.
    baseline: (f64, f64),
    /// Slow swing to either side, and its period in minutes.
    drift: (f64, f64),
    /// How far the afternoon is above the night, to either side of the mean.
    day: f64,
    /// What full activity adds.
    activity: f64,
    /// Noise to either side, in steps.
    noise: i32,
    /// The smallest difference that is said.
    step: f64,
}

/// Pulse rate is not here: it follows the heart. Nor is diastolic pressure: it follows the systolic.
const HABITS: [Habit; 6] = [
    habit(Vital::HeartRate, (62.0, 80.0), (4.0, 23.0), 4.0, 18.0, 2, 1.0),
    habit(Vital::RespiratoryRate, (12.0, 16.0), (1.0, 17.0), 0.5, 4.0, 1, 1.0),
    habit(Vital::Spo2, (96.5, 98.5), (0.6, 31.0), 0.2, -0.5, 1, 1.0),
    habit(Vital::SystolicPressure, (108.0, 130.0), (4.0, 37.0), 5.0, 12.0, 2, 1.0),
    habit(Vital::BodyTemperature, (36.4, 37.0), (0.1, 53.0), 0.3, 0.1, 1, 0.1),
    habit(Vital::BloodGlucose, (94.0, 125.0), (9.0, 71.0), 2.0, -2.0, 2, 1.0),
];

const fn habit(
    vital: Vital,
    baseline: (f64, f64),
    drift: (f64, f64),
    day: f64,
    activity: f64,
    noise: i32,
    step: f64,
) -> Habit {
    Habit { vital, baseline, drift, day, activity, noise, step }
}

/// What a sensor says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Said {
    /// A value.
    Value(f64),
    /// A value, and that the patient moved.
    Moved(f64),
    /// None.
    Absent(AbsentReason),
}

/// One patient.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    seed: u64,
    number: u32,
    noise: Random,
    baselines: [f64; HABITS.len()],
    phases: [f64; HABITS.len()],
    course: Option<Course>,
    /// The time of the day at which the run begins.
    began_ms: f64,
    activity: f64,
    measured_ms: Option<i64>,
    round: u64,
}

impl Patient {
    /// The patient of this number.
    pub(super) fn new(scenario: &Scenario, number: u32) -> Self {
        let seed = scenario.seed;
        let mut body = Random::stream(seed, &[BODY, u64::from(number)]);
        let baselines = HABITS.map(|habit| body.between(habit.baseline.0, habit.baseline.1));
        let phases = HABITS.map(|_| body.between(0.0, TAU));
        Self {
            seed,
            number,
            noise: Random::stream(seed, &[NOISE, u64::from(number)]),
            baselines,
            phases,
            course: Course::draw(scenario, number),
            began_ms: scenario.measuring.hour * 3_600_000.0,
            activity: 0.0,
            measured_ms: None,
            round: 0,
        }
    }

    /// The patient's episode, if they have one.
    pub(super) const fn course(&self) -> Option<&Course> {
        self.course.as_ref()
    }

    /// What the device's sensors say in the next round, which is at this time, with the slow ones
    /// or without.
    pub(super) fn measure(&mut self, at_ms: i64, slow: bool, to: &mut Vec<(Vital, Said)>) {
        self.follow_activity(at_ms);
        let round = self.round;
        self.round += 1;
        let heart = self.value(0, at_ms);
        let pulse = heart + self.noise.whole(1);
        let (breath, spo2) = (self.value(1, at_ms), self.value(2, at_ms));
        to.push((Vital::HeartRate, Said::Value(heart)));
        to.push((Vital::PulseRate, self.by_oximeter(pulse, 262.0, round, at_ms)));
        to.push((Vital::RespiratoryRate, Said::Value(breath)));
        to.push((Vital::Spo2, self.by_oximeter(spo2, 41.0, round, at_ms)));
        if slow {
            self.measure_slow(at_ms, to);
        }
    }

    fn measure_slow(&mut self, at_ms: i64, to: &mut Vec<(Vital, Said)>) {
        let systolic = self.value(3, at_ms);
        let diastolic = (systolic * 0.62).round() + self.noise.whole(1);
        to.push((Vital::SystolicPressure, Said::Value(systolic)));
        to.push((Vital::DiastolicPressure, Said::Value(diastolic)));
        to.push((Vital::BodyTemperature, Said::Value(self.value(4, at_ms))));
        to.push((Vital::BloodGlucose, Said::Value(self.value(5, at_ms))));
    }

    /// What an oximeter makes of a value: of eight rounds in motion one is implausible and two are
    /// doubted, so that no three implausible ones come close together, which would confirm each
    /// other.
    fn by_oximeter(&self, value: f64, implausible: f64, round: u64, at_ms: i64) -> Said {
        let Some(course) = self.course.filter(|course| course.is_on(at_ms)) else {
            return Said::Value(value);
        };
        match (course.kind, round % 8) {
            (Kind::SensorOff, _) => Said::Absent(AbsentReason::SensorOff),
            (Kind::MotionArtefact, 0) => Said::Value(implausible),
            (Kind::MotionArtefact, 3 | 6) => Said::Moved(value - 15.0),
            _ => Said::Value(value),
        }
    }

    fn value(&mut self, habit: usize, at_ms: i64) -> f64 {
        let Habit { vital, drift, day, activity, noise, step, .. } = &HABITS[habit];
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 milliseconds")]
        let at = at_ms as f64;
        let slow = (self.phases[habit] + TAU * at / (drift.1 * 60_000.0)).sin();
        // The body's afternoon is its warmest and fastest time, four in the morning the opposite.
        let hour = (TAU * ((self.began_ms + at) / DAY_MS - 10.0 / 24.0)).sin();
        let well = self.baselines[habit] + drift.0 * slow + day * hour + activity * self.activity;
        let course = self.course.as_ref();
        let (share, moved) = course
            .and_then(|course| course.moves(*vital).map(|moved| (course.share(at_ms), Some(moved))))
            .unwrap_or((0.0, None));
        let target = moved.map_or(well, |moved| moved.target);
        let spread = moved.map_or(0, |moved| moved.spread);
        let jump = self.noise.whole(spread) * share;
        let noise = self.noise.whole(*noise) * step;
        let value = ((well + (target - well) * share + jump) / step).round() * step + noise;
        let value = (value * 10.0).round() / 10.0;
        if *vital == Vital::Spo2 { value.min(100.0) } else { value }
    }

    /// Most of the time somebody rests; now and then they walk about.
    fn follow_activity(&mut self, at_ms: i64) {
        let bout = at_ms.div_euclid(BOUT_MS);
        let names = [ACTIVITY, u64::from(self.number), bout.unsigned_abs()];
        let doing = match Random::stream(self.seed, &names).share() {
            rest if rest < 0.7 => 0.0,
            light if light < 0.9 => 0.35,
            _ => 1.0,
        };
        let since = at_ms - self.measured_ms.replace(at_ms).unwrap_or(at_ms);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 milliseconds")]
        let share = (since.max(0) as f64 / INERTIA_MS).min(1.0);
        self.activity += (doing - self.activity) * share;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;

    use super::super::limits;
    use super::super::scenario::Episode;
    use super::*;
    use crate::convert;
    use crate::proto::v1;

    const ROUNDS: i64 = 1200;

    fn scenario(episodes: Vec<Episode>) -> Scenario {
        let duration = SignedDuration::from_mins(20);
        Scenario { episodes, duration, ..Scenario::default() }
    }

    fn episode(kind: Kind, near_miss: bool) -> Episode {
        Episode { kind, patients: 1.0, at: None, length: None, near_miss }
    }

    /// What a patient's device says in twenty minutes, by vital.
    fn said(scenario: &Scenario, number: u32) -> Vec<(i64, Vital, Said)> {
        let mut patient = Patient::new(scenario, number);
        let mut said = Vec::new();
        let mut all = Vec::new();
        for round in 0..ROUNDS {
            said.clear();
            patient.measure(round * 1000, round % 10 == 0, &mut said);
            all.extend(said.iter().map(|(vital, said)| (round * 1000, *vital, *said)));
        }
        all
    }

    /// How many values of each limit rule breach, and how many are not within the clear limit.
    fn beyond(scenario: &Scenario, numbers: std::ops::Range<u32>) -> BTreeMap<String, (u32, u32)> {
        let mut beyond = BTreeMap::new();
        let said: Vec<_> = numbers.flat_map(|number| said(scenario, number)).collect();
        for rule in limits::profile(scenario).rules {
            let Some(v1::rule::Kind::Limit(limit)) = rule.kind else { continue };
            let (breach, clear) = (limit.levels[0].limit, limit.levels[0].clear_limit());
            let is_above = limit.side() == v1::Side::Above;
            let is_beyond = |value: f64, limit: f64| {
                if is_above { value > limit } else { value < limit }
            };
            let values = said.iter().filter_map(|(_, vital, said)| match said {
                Said::Value(value) if convert::to_vital(*vital) == limit.vital() => Some(*value),
                _ => None,
            });
            let counts: &mut (u32, u32) = beyond.entry(rule.rule_id).or_default();
            for value in values {
                counts.0 += u32::from(is_beyond(value, breach));
                counts.1 += u32::from(is_beyond(value, clear));
            }
        }
        beyond
    }

    #[test]
    fn the_same_seed_and_patient_give_the_same_values_and_others_other_ones() {
        let usual = scenario(Scenario::default().episodes);
        assert_eq!(said(&usual, 7), said(&usual, 7));
        assert_ne!(said(&usual, 7), said(&usual, 8));
        assert_ne!(said(&usual, 7), said(&Scenario { seed: 2, ..usual.clone() }, 7));
        let larger = Scenario { devices: 9999, speed: 60.0, connections: 1, ..usual.clone() };
        assert_eq!(said(&usual, 7), said(&larger, 7));
    }

    #[test]
    fn who_is_well_stays_within_every_clear_limit() {
        for hour in [0.0, 4.0, 16.0] {
            let mut well = scenario(Vec::new());
            well.measuring.hour = hour;
            for (rule, counts) in beyond(&well, 0..40) {
                assert_eq!(counts, (0, 0), "{rule} at {hour} h");
            }
        }
    }

    #[test]
    fn a_near_miss_breaches_nothing() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has_near_miss()) {
            for (rule, counts) in beyond(&scenario(vec![episode(kind, true)]), 0..10) {
                assert_eq!(counts, (0, 0), "{kind}: {rule}");
            }
        }
    }

    #[test]
    fn an_episode_breaches_the_limits_that_are_its_own_and_no_others() {
        for (kind, rules) in [
            (Kind::Desaturation, &["spo2-low"][..]),
            (Kind::Sepsis, &["hr-high", "pressure-low", "rr-high", "temperature-high"]),
            (Kind::Bradycardia, &["hr-low"]),
            (Kind::AtrialFibrillation, &["hr-high"]),
            (Kind::HypertensiveCrisis, &["pressure-high"]),
            (Kind::Fever, &["temperature-high"]),
            (Kind::Hypoglycaemia, &["glucose-low"]),
            (Kind::SensorOff, &[]),
        ] {
            let beyond = beyond(&scenario(vec![episode(kind, false)]), 0..5);
            let breached = beyond.iter().filter(|(_, counts)| counts.0 > 0);
            let breached: Vec<&str> = breached.map(|(rule, _)| rule.as_str()).collect();
            assert_eq!(breached, rules, "{kind}");
        }
    }

    #[test]
    fn an_episode_is_over_before_the_run_is() {
        let sick = scenario(vec![episode(Kind::Sepsis, false)]);
        let last = said(&sick, 3).into_iter().rfind(|(_, vital, _)| *vital == Vital::HeartRate);
        assert!(matches!(last, Some((_, _, Said::Value(value))) if value < 115.0), "{last:?}");
    }

    #[test]
    fn values_are_as_monitors_send_them() {
        for (_, vital, said) in said(&scenario(Scenario::default().episodes), 1) {
            let Said::Value(value) = said else { continue };
            let steps = if vital == Vital::BodyTemperature { value * 10.0 } else { value };
            assert!((steps - steps.round()).abs() < 1e-9, "{vital:?} {value}");
        }
    }

    #[test]
    fn a_sensor_that_is_off_says_so_and_motion_never_confirms_itself() {
        let off = said(&scenario(vec![episode(Kind::SensorOff, false)]), 0);
        let absent = off.iter().filter(|(_, _, said)| matches!(said, Said::Absent(_)));
        assert!(absent.clone().count() > 20);
        assert!(absent.clone().all(|(_, it, _)| matches!(it, Vital::PulseRate | Vital::Spo2)));
        let moved = said(&scenario(vec![episode(Kind::MotionArtefact, false)]), 0);
        let spo2: Vec<_> = moved.iter().filter(|(_, vital, _)| *vital == Vital::Spo2).collect();
        let implausible = |said: &Said| matches!(said, Said::Value(value) if *value < 50.0);
        assert!(spo2.iter().any(|(_, _, said)| implausible(said)));
        let judged: Vec<_> =
            spo2.iter().filter(|(_, _, said)| !matches!(said, Said::Moved(_))).collect();
        for five in judged.windows(5) {
            assert!(five.iter().filter(|(_, _, said)| implausible(said)).count() < 3);
        }
    }
}
