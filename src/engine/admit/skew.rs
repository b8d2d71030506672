//! How far a device's clock is ahead of the service's, by when it says that it sent.
//!
//! A network delays, and never the other way: it makes a clock look behind. So the estimate is the
//! *most* that any message of the last minutes looked ahead. It follows a clock that drifts or is
//! set back within two [`BUCKET`]s, and one that is set forward at once. What waited for us says
//! nothing; whoever calls knows whether we were listening.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The estimate is over one to two of these: long enough that one message meets an idle network,
/// short enough that a clock that was set is believed soon.
const BUCKET: Duration = Duration::from_secs(5 * 60);

/// In a bucket that no message fell into.
const NONE: i32 = i32::MIN;

/// One device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Skew {
    /// When the present bucket began.
    began: Timestamp,
    /// The most that a message looked ahead, in milliseconds: in the bucket before, and in this.
    ahead_ms: [i32; 2],
}

impl Default for Skew {
    fn default() -> Self {
        Self { began: Timestamp::MIN, ahead_ms: [NONE; 2] }
    }
}

impl Skew {
    /// A message arrived that was sent at `sent_at` by the device's clock.
    pub(super) fn note(&mut self, sent_at: Timestamp, now: Timestamp) {
        let age = now.since(self.began);
        if age >= BUCKET {
            let before = if age < 2 * BUCKET { self.ahead_ms[1] } else { NONE };
            *self = Self { began: now, ahead_ms: [before, NONE] };
        }
        let ahead = sent_at.micros().saturating_sub(now.micros()).div_euclid(1000);
        let ahead = ahead.clamp(i64::from(NONE + 1), i64::from(i32::MAX));
        self.ahead_ms[1] = self.ahead_ms[1].max(i32::try_from(ahead).unwrap_or(NONE));
    }

    /// In milliseconds, negative if the clock is behind; `None` while nothing is known.
    pub(super) fn estimate_ms(&self) -> Option<i32> {
        let [before, now] = self.ahead_ms;
        Some(before.max(now)).filter(|ahead| *ahead != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages, by seconds and by how far each looked ahead in milliseconds, and what is made of
    /// it.
    fn estimate(messages: &[(i64, i64)]) -> Option<i32> {
        let mut skew = Skew::default();
        for (seconds, ahead_ms) in messages {
            let now = Timestamp::from_seconds(*seconds);
            skew.note(Timestamp::from_micros(now.micros() + ahead_ms * 1000).unwrap(), now);
        }
        skew.estimate_ms()
    }

    #[test]
    fn a_slow_network_does_not_make_a_clock_look_behind() {
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[(0, -4000), (60, -150), (120, -40_000)]), Some(-150));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_after_two_buckets() {
        let before = [(0, 20_000), (299, 20_000), (301, -100)];
        assert_eq!(estimate(&before), Some(20_000));
        assert_eq!(estimate(&[&before[..], &[(602, -100)]].concat()), Some(-100));
        assert_eq!(estimate(&[(0, -100), (10, 20_000)]), Some(20_000), "ahead at once");
    }

    #[test]
    fn a_clock_of_another_century_stays_a_number() {
        let mut skew = Skew::default();
        skew.note(Timestamp::MIN, Timestamp::MAX);
        assert_eq!(skew.estimate_ms(), Some(i32::MIN + 1));
        skew.note(Timestamp::MAX, Timestamp::EPOCH);
        assert_eq!(skew.estimate_ms(), Some(i32::MAX));
    }
}
