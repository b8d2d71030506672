//! How often something may happen: so many at once, and so many a second in the long run.
//!
//! A bucket is one instant, the one at which it is full again, so that a full one need not be kept.
//! A clock that steps back makes a bucket full: better to let too much through once than to refuse
//! for hours.

use std::time::Duration;

use crate::clock::Timestamp;

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// What one costs.
    interval: Duration,
    /// What a full bucket holds.
    capacity: Duration,
}

impl Rate {
    /// So many each `span`, and so many at once.
    pub(super) fn new(count: u32, span: Duration, burst: u32) -> Self {
        let interval = span / count.max(1);
        Self { interval, capacity: interval * burst.max(1) }
    }
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    pub(super) const fn full(now: Timestamp) -> Self {
        Self { full_at: now }
    }

    pub(super) fn is_full(self, now: Timestamp) -> bool {
        self.full_at <= now
    }

    /// Takes one out; or says when there is one again.
    pub(super) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let empty = now.plus(rate.capacity);
        let from = if self.full_at > empty { now } else { self.full_at.max(now) };
        let after = from.plus(rate.interval);
        if after > empty {
            return Err(after.since(empty));
        }
        self.full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + millis * 1000).expect("in range")
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_as_much_as_comes_in() {
        let rate = Rate::new(10, Duration::from_secs(1), 3);
        let mut bucket = Bucket::full(at(0));
        let mut taken =
            [0, 0, 0, 0, 50, 100, 150, 200].map(|time| bucket.take(rate, at(time)).is_ok());
        assert_eq!(taken, [true, true, true, false, false, true, false, true]);
        assert_eq!(bucket.take(rate, at(230)), Err(Duration::from_millis(70)));
        assert!(!bucket.is_full(at(499)) && bucket.is_full(at(500)));
        taken = [900; 8].map(|time| bucket.take(rate, at(time)).is_ok());
        assert_eq!(
            taken.iter().filter(|taken| **taken).count(),
            3,
            "it holds no more than it holds"
        );
    }

    #[test]
    fn a_clock_that_steps_back_shuts_nobody_out() {
        let rate = Rate::new(1, Duration::from_secs(1), 2);
        let mut bucket = Bucket::full(at(3_600_000));
        assert!(bucket.take(rate, at(3_600_000)).is_ok());
        assert!(bucket.take(rate, at(0)).is_ok());
    }
}
