//! The one clock of a run: it is the wall clock of the run's start, carried on by the monotonic one,
//! so that it never steps.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::clock;

/// The one clock of a run: microseconds since it began, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    began: Instant,
    began_at: Timestamp,
}

impl RunClock {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now(), began_at: clock::now() }
    }

    /// The wall time at which it began.
    #[must_use]
    pub const fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Microseconds since then.
    #[must_use]
    pub fn micros(&self) -> u64 {
        self.micros_of(Instant::now())
    }

    /// Microseconds from then to `moment`; 0 if it lies before.
    #[must_use]
    pub fn micros_of(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// The moment so many microseconds after it began.
    #[must_use]
    pub fn instant(&self, micros: u64) -> Instant {
        self.began + Duration::from_micros(micros)
    }

    /// The wall time so many microseconds after it began.
    #[must_use]
    pub fn wall(&self, micros: u64) -> Timestamp {
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        self.began_at.saturating_add(SignedDuration::from_micros(micros)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_from_the_runs_beginning() {
        let clock = RunClock::start();
        let moment = clock.instant(1_500_000);
        assert_eq!(clock.micros_of(moment), 1_500_000);
        assert_eq!(clock.wall(1_500_000).duration_since(clock.began_at()).as_millis(), 1500);
        assert_eq!(clock.micros_of(clock.instant(0)), 0);
    }
}
