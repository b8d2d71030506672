//! The limit rule: a vital beyond a limit for some time, by measured time, level by level.
//!
//! A [`Track`] follows one rule on one channel (a device's vital). Its levels stand in rising
//! priority with ever more extreme limits, so that the active ones are always the lowest few:
//! a level that becomes active takes those below it along, and levels end from the top.
//!
//! - An inactive level is *pending* from its first breaching reading, and becomes active at the
//!   first breaching reading measured `delay` or more later, with no reading between that does
//!   not breach, no absent value, and no gap longer than `max_gap`.
//! - An active level ends at the first reading within its clear limit that was measured
//!   `clear_delay` or more after the first such reading, under the same conditions.
//! - Between limit and clear limit nothing changes: hovering does not flap.
//! - The absence of readings starts and ends nothing.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::profile::{LEVELS_MAX, Level, LimitRule};
use crate::vitals::Quantity;

/// Where one rule stands on one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Track {
    /// How many levels, from the lowest, are active.
    active: u8,
    /// For an active level: since when readings have been within its clear limit. For an
    /// inactive one: since when they have breached its limit.
    since: [Option<Timestamp>; LEVELS_MAX],
}

/// A reading as a rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Sample {
    /// When it was measured: later than every sample of the channel before it.
    pub(in crate::engine) measured_at: Timestamp,
    /// Its value, in the vital's canonical unit.
    pub(in crate::engine) value: Quantity,
    /// When the sample before it was measured, if nothing has broken the chain since.
    pub(in crate::engine) previous: Option<Timestamp>,
}

impl Track {
    /// How many levels are active; 0 means that the condition does not hold.
    pub(in crate::engine) const fn active(&self) -> usize {
        self.active as usize
    }

    /// Judges a sample. Returns the onset of the breach if a level became active.
    pub(in crate::engine) fn judge(
        &mut self,
        rule: &LimitRule,
        sample: Sample,
    ) -> Option<Timestamp> {
        let mut reached = None;
        for (index, level) in rule.levels.iter().enumerate() {
            let is_time_up = self.judge_level(rule, level, index, sample);
            if is_time_up && index >= self.active() {
                reached = Some(index);
            }
        }
        if let Some(level) = reached {
            return Some(self.activate(level));
        }
        self.end_from_the_top(rule, sample);
        None
    }

    /// An absent value: whatever was pending or clearing begins again.
    pub(in crate::engine) const fn break_off(&mut self) {
        self.since = [None; LEVELS_MAX];
    }

    /// The rule has changed: what is active stays so, as far as the rule still has the level,
    /// until readings end it by the new limits.
    pub(in crate::engine) fn adapt(&mut self, rule: &LimitRule) {
        self.break_off();
        let levels = u8::try_from(rule.levels.len()).unwrap_or(u8::MAX);
        self.active = self.active.min(levels);
    }

    /// Moves one level's timer on; true if its time is up: the level becomes active, or ends.
    fn judge_level(
        &mut self,
        rule: &LimitRule,
        level: &Level,
        index: usize,
        sample: Sample,
    ) -> bool {
        let (counts, delay) = if index < self.active() {
            (!rule.side.is_beyond(sample.value, level.clear_limit), rule.clear_delay)
        } else {
            (rule.side.is_beyond(sample.value, level.limit), level.sustained.delay)
        };
        if !counts {
            self.since[index] = None;
            return false;
        }
        let contiguous = sample
            .previous
            .is_some_and(|previous| sample.measured_at.since(previous) <= level.sustained.max_gap);
        let since = match self.since[index] {
            Some(since) if contiguous => since,
            _ => sample.measured_at,
        };
        self.since[index] = Some(since);
        sample.measured_at.since(since) >= delay
    }

    fn activate(&mut self, level: usize) -> Timestamp {
        let onset = self.since[self.active()..=level].iter().flatten().min();
        let onset = *onset.expect("the level that became active was pending");
        self.since[..=level].fill(None);
        self.active = u8::try_from(level + 1).expect("at most LEVELS_MAX levels");
        onset
    }

    /// Ends active levels, the highest first, while their time is up.
    fn end_from_the_top(&mut self, rule: &LimitRule, sample: Sample) {
        while let Some(top) = self.active().checked_sub(1) {
            let is_over = self.since[top]
                .is_some_and(|since| sample.measured_at.since(since) >= rule.clear_delay);
            if !is_over {
                return;
            }
            self.since[top] = None;
            self.active -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::profile::{Side, Sustained};
    use crate::vitals::{Priority, Vital};

    fn level(priority: Priority, limit: i64, clear_limit: i64, delay: u64) -> Level {
        Level {
            priority,
            limit: Quantity::whole(limit),
            clear_limit: Quantity::whole(clear_limit),
            sustained: Sustained {
                delay: Duration::from_secs(delay),
                max_gap: Duration::from_millis(1500),
            },
        }
    }

    fn above(levels: Vec<Level>, clear_delay: u64) -> LimitRule {
        LimitRule {
            vital: Vital::HeartRate,
            covers_pulse_rate: false,
            side: Side::Above,
            levels,
            clear_delay: Duration::from_secs(clear_delay),
        }
    }

    /// Feeds one sample a second, `None` being a second without one and -1 an absent value, and
    /// writes down how many levels were active after each.
    fn check(rule: &LimitRule, seconds: &[Option<i64>], expected: &str) {
        let mut track = Track::default();
        let mut previous = None;
        let mut active = String::new();
        for (second, value) in (0..).zip(seconds) {
            let measured_at = Timestamp::from_seconds(second);
            match value {
                Some(-1) => {
                    track.break_off();
                    previous = None;
                }
                Some(value) => {
                    let sample = Sample { measured_at, value: Quantity::whole(*value), previous };
                    track.judge(rule, sample);
                    previous = Some(measured_at);
                }
                None => {}
            }
            active.push_str(&track.active().to_string());
        }
        assert_eq!(active, expected);
    }

    fn each(seconds: &[i64]) -> Vec<Option<i64>> {
        seconds.iter().copied().map(Some).collect()
    }

    #[test]
    fn raises_at_the_first_breaching_sample_after_the_delay() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 3)], 0);
        check(&rule, &each(&[99, 101, 101, 101, 101, 101]), "000011");
    }

    #[test]
    fn a_value_at_the_limit_does_not_breach() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 0)], 0);
        check(&rule, &each(&[100, 101, 100]), "010");
    }

    #[test]
    fn one_sample_within_the_limit_restarts_the_delay() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 3)], 0);
        check(&rule, &each(&[101, 101, 101, 100, 101, 101, 101, 101]), "00000001");
    }

    #[test]
    fn a_gap_and_an_absent_value_restart_the_delay() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 2)], 0);
        check(&rule, &[Some(101), Some(101), None, Some(101), Some(101), Some(101)], "000001");
        check(&rule, &[Some(101), Some(101), Some(-1), Some(101), Some(101), Some(101)], "000001");
    }

    #[test]
    fn hovering_between_limit_and_clear_limit_does_not_flap() {
        let rule = above(vec![level(Priority::Medium, 100, 95, 0)], 0);
        check(&rule, &each(&[101, 99, 101, 96, 98, 95, 99, 101]), "11111001");
    }

    #[test]
    fn ends_only_after_the_clear_delay_without_interruption() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 0)], 2);
        check(&rule, &each(&[101, 90, 90, 101, 90, 90, 90]), "1111110");
        check(
            &rule,
            &[Some(101), Some(90), Some(90), None, Some(90), Some(90), Some(90)],
            "1111110",
        );
    }

    #[test]
    fn a_higher_level_takes_the_lower_along_and_falls_back_to_it() {
        let rule =
            above(vec![level(Priority::Low, 100, 100, 60), level(Priority::High, 120, 120, 2)], 0);
        check(&rule, &each(&[110, 125, 125, 125, 110, 110, 100]), "0002110");
    }

    #[test]
    fn a_gap_ends_nothing() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 0)], 0);
        check(&rule, &[Some(101), None, None, Some(101), None, Some(100)], "111110");
    }

    #[test]
    fn the_onset_is_the_first_breaching_sample() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 2)], 0);
        let mut track = Track::default();
        let mut onset = None;
        for second in 0..3 {
            let measured_at = Timestamp::from_seconds(second);
            let previous = (second > 0).then(|| Timestamp::from_seconds(second - 1));
            let sample = Sample { measured_at, value: Quantity::whole(130), previous };
            onset = onset.or(track.judge(&rule, sample));
        }
        assert_eq!(onset, Some(Timestamp::from_seconds(0)));
    }

    #[test]
    fn a_changed_rule_keeps_what_is_active_and_restarts_what_is_pending() {
        let rule = above(vec![level(Priority::Medium, 100, 100, 0)], 0);
        let mut track = Track::default();
        let sample = |second, value| Sample {
            measured_at: Timestamp::from_seconds(second),
            value: Quantity::whole(value),
            previous: None,
        };
        track.judge(&rule, sample(0, 110));
        let wider = above(vec![level(Priority::Medium, 120, 120, 0)], 0);
        track.adapt(&wider);
        assert_eq!(track.active(), 1, "a changed limit clears nothing by itself");
        track.judge(&wider, sample(1, 110));
        assert_eq!(track.active(), 0, "the next reading within the new limit does");
    }
}
