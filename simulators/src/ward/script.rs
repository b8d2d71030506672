//! What befalls a patient, by their place in the ward, in rounds of [`ROUND`] seconds.
//!
//! Of six patients three deteriorate for longer than the demo's alarm delay and recover, one in
//! each vital; three come near to it, and must not alarm: one too short, one with a gap, one with
//! values in between that do not breach. All of it fits into the first 25 seconds of a round.
//! Scripts say what happens to the body; which alerts must follow is the oracle's to say.

use crate::sample::Vital;

/// After this many seconds everything happens again.
pub(super) const ROUND: u64 = 45;
/// Patients of a larger ward have the same scripts, this much later.
const SHIFT: u64 = 2;
/// So many shifts fit into a round.
const SHIFTS_MAX: usize = 10;

/// What an episode does to a patient in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// This vital is moved from its usual value towards a target.
    Toward {
        /// Which.
        vital: Vital,
        /// Where to.
        target: f64,
        /// How far, from 0 to 1.
        share: f64,
    },
    /// This vital is not measured.
    Missing(Vital),
}

/// One patient's episode in each round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    episode: &'static Episode,
    shift: u64,
}

/// A vital goes somewhere, stays, and comes back. Times are seconds.
#[derive(Debug)]
struct Episode {
    vital: Vital,
    target: f64,
    begins: u64,
    rise: u64,
    hold: u64,
    fall: u64,
    flaw: Flaw,
}

/// What keeps an episode from being one long breach.
#[derive(Debug)]
enum Flaw {
    None,
    /// The vital is not measured from one second of the hold to before another.
    Gap(u64, u64),
    /// In every so many seconds of the hold the value is back where it belongs.
    Relief(u64),
}

const EPISODES: [Episode; 6] = [
    // Three that must alarm.
    Episode {
        vital: Vital::HeartRate,
        target: 132.0,
        begins: 3,
        rise: 3,
        hold: 9,
        fall: 4,
        flaw: Flaw::None,
    },
    Episode {
        vital: Vital::Spo2,
        target: 83.0,
        begins: 5,
        rise: 4,
        hold: 9,
        fall: 4,
        flaw: Flaw::None,
    },
    Episode {
        vital: Vital::RespiratoryRate,
        target: 33.0,
        begins: 7,
        rise: 3,
        hold: 10,
        fall: 4,
        flaw: Flaw::None,
    },
    // Three that must not.
    Episode {
        vital: Vital::HeartRate,
        target: 128.0,
        begins: 8,
        rise: 2,
        hold: 2,
        fall: 2,
        flaw: Flaw::None,
    },
    Episode {
        vital: Vital::Spo2,
        target: 84.0,
        begins: 6,
        rise: 1,
        hold: 9,
        fall: 1,
        flaw: Flaw::Gap(3, 6),
    },
    Episode {
        vital: Vital::RespiratoryRate,
        target: 31.0,
        begins: 4,
        rise: 1,
        hold: 15,
        fall: 1,
        flaw: Flaw::Relief(4),
    },
];

impl Script {
    /// The script of the patient at this place.
    pub(super) fn of(place: usize) -> Self {
        let group = (place / EPISODES.len()) % SHIFTS_MAX;
        Self { episode: &EPISODES[place % EPISODES.len()], shift: SHIFT * group as u64 }
    }

    /// What happens in this second since the begin of the ward.
    pub(super) fn at(self, second: u64) -> Effect {
        let begins = self.episode.begins + self.shift;
        match (second % ROUND).checked_sub(begins) {
            Some(into) => self.episode.at(into),
            None => Effect::None,
        }
    }
}

impl Episode {
    /// What happens in this second since the begin of the episode.
    fn at(&self, into: u64) -> Effect {
        let Self { vital, target, rise, hold, fall, .. } = *self;
        let toward = |part: u64, whole: u64| {
            #[expect(clippy::cast_precision_loss, reason = "episodes last some seconds")]
            let share = part as f64 / whole as f64;
            Effect::Toward { vital, target, share }
        };
        match into {
            _ if into < rise => toward(into + 1, rise + 1),
            _ if into < rise + hold => self.held(into - rise),
            _ if into < rise + hold + fall => toward(rise + hold + fall - into, fall + 1),
            _ => Effect::None,
        }
    }

    /// What happens in this second of the hold.
    fn held(&self, second: u64) -> Effect {
        let Self { vital, target, .. } = *self;
        match self.flaw {
            Flaw::Gap(from, until) if (from..until).contains(&second) => Effect::Missing(vital),
            Flaw::Relief(every) if second % every == every - 1 => Effect::None,
            _ => Effect::Toward { vital, target, share: 1.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_episode_is_over_within_25_seconds_and_a_shifted_one_within_its_round() {
        for episode in &EPISODES {
            let ends = episode.begins + episode.rise + episode.hold + episode.fall;
            assert!(ends <= 25, "{episode:?}");
            assert!(ends + SHIFT * (SHIFTS_MAX as u64 - 1) <= ROUND, "{episode:?}");
        }
    }

    #[test]
    fn a_round_is_like_the_one_before() {
        for place in 0..12 {
            let script = Script::of(place);
            for second in 0..ROUND {
                assert_eq!(script.at(second), script.at(second + 3 * ROUND));
            }
        }
    }
}
