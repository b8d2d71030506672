//! When a recorded moment was measured, and when it is sent.
//!
//! `--start` says when the recording's time 0 was, `--speed` how fast it is sent. Measured times
//! keep the recording's spacing at any speed. A [`Timeline`] promises never to send what would
//! not have been measured yet; a start that would need to is refused with the latest one that
//! would not. It waits for nothing itself, and reads no clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};

use crate::clock;

/// When time 0 of the recordings was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// When the replay begins.
    Now,
    /// Then.
    At(Timestamp),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::Now);
        }
        text.parse().map(Self::At).map_err(|_| {
            format!(
                "{text:?} is neither now nor a time with an offset, such as 2026-01-31T08:15:00Z"
            )
        })
    }
}

/// How fast recordings are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As many times faster than they were measured; positive.
    Times(f64),
    /// As fast as the broker takes them.
    Max,
}

impl Speed {
    const TIMES: std::ops::RangeInclusive<f64> = 0.01..=1e6;

    /// How long a span of the recording takes to send.
    fn of(self, span: SignedDuration) -> Duration {
        let seconds = span.as_secs_f64().max(0.0);
        match self {
            Self::Times(factor) => Duration::from_secs_f64(seconds / factor),
            Self::Max => Duration::ZERO,
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(factor) if Self::TIMES.contains(&factor) => Ok(Self::Times(factor)),
            _ => Err(format!(
                "{text:?} is neither max nor a factor from {} to {}",
                Self::TIMES.start(),
                Self::TIMES.end()
            )),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(factor) => write!(f, "{factor}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// The first and the last moment of the recordings, in milliseconds from their time 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub first_ms: i64,
    /// The last moment.
    pub last_ms: i64,
}

/// A replay laid out in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeline {
    start: Timestamp,
    began: Timestamp,
    speed: Speed,
    span: Span,
}

/// Why a replay can't begin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It would send readings before their time.
    #[error(
        "a replay from {start} at this speed runs {ahead:#} ahead of the clock, and the service \
         refuses readings from the future; take --start {latest} or earlier"
    )]
    Ahead {
        /// The start that was asked for.
        start: Timestamp,
        /// How far ahead of the clock it would come.
        ahead: SignedDuration,
        /// The latest start that never runs ahead, in whole seconds.
        latest: Timestamp,
    },
    /// A recorded moment would fall outside the years that can be said.
    #[error("a replay from {start} leaves the years 1 to 9999")]
    Range {
        /// The start that was asked for.
        start: Timestamp,
    },
}

impl Timeline {
    /// The layout of a replay that begins at the wall time `now`.
    ///
    /// # Errors
    /// If it would send readings before their time.
    pub fn new(start: Start, speed: Speed, span: Span, now: Timestamp) -> Result<Self, Error> {
        let start = match start {
            Start::Now => now,
            Start::At(start) => clock::whole(Unit::Microsecond, start),
        };
        for edge in [span.first_ms, span.last_ms] {
            let moment = start.checked_add(SignedDuration::from_millis(edge));
            moment.map_err(|_| Error::Range { start })?;
        }
        let timeline = Self { start, began: now, speed, span };
        let ahead = timeline.ahead();
        if ahead <= SignedDuration::ZERO {
            return Ok(timeline);
        }
        let latest = start.saturating_sub(ahead).map(|latest| clock::whole(Unit::Second, latest));
        let latest = latest.unwrap_or(Timestamp::MIN);
        Err(Error::Ahead { start, ahead, latest })
    }

    /// When time 0 of the recordings was.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// When this moment of the recordings was measured.
    #[must_use]
    pub fn measured_at(&self, offset_ms: i64) -> Timestamp {
        let offset = SignedDuration::from_millis(offset_ms);
        self.start.checked_add(offset).expect("both ends of the span were checked at the start")
    }

    /// How long after the replay began this moment is sent.
    #[must_use]
    pub fn due(&self, offset_ms: i64) -> Duration {
        self.speed.of(SignedDuration::from_millis(offset_ms))
    }

    /// How long the replay takes at least.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.due(self.span.last_ms)
    }

    /// How old the oldest reading is when it is sent, if everything is sent when it is due and
    /// readings wait up to `batch` for their message.
    #[must_use]
    pub fn oldest(&self, batch: Duration) -> Duration {
        let edges = [self.span.first_ms, self.span.last_ms];
        let age = edges.map(|edge| -self.lead(edge)).into_iter().max();
        Duration::try_from(age.unwrap_or_default()).unwrap_or_default() + batch
    }

    /// How far ahead of the clock the replay comes.
    fn ahead(&self) -> SignedDuration {
        let edges = [0.max(self.span.first_ms), self.span.last_ms];
        edges.map(|edge| self.lead(edge)).into_iter().max().unwrap_or_default()
    }

    /// How far ahead of the clock this moment is when it is sent; negative: how old it is.
    fn lead(&self, offset_ms: i64) -> SignedDuration {
        let sent = SignedDuration::try_from(self.due(offset_ms)).unwrap_or(SignedDuration::MAX);
        self.measured_at(offset_ms).duration_since(self.began).saturating_sub(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { first_ms: -1000, last_ms: 480_000 };

    fn time(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn now() -> Timestamp {
        time("2026-01-31T12:00:00Z")
    }

    fn timeline(start: Start, speed: Speed) -> Timeline {
        Timeline::new(start, speed, SPAN, now()).expect("not ahead")
    }

    fn latest(start: Start, speed: Speed) -> Timestamp {
        match Timeline::new(start, speed, SPAN, now()) {
            Err(Error::Ahead { latest, .. }) => latest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn measured_times_keep_their_spacing_at_any_speed() {
        let start = time("2026-01-30T00:00:00Z");
        for speed in [Speed::Times(1.0), Speed::Times(60.0), Speed::Max] {
            let timeline = timeline(Start::At(start), speed);
            assert_eq!(timeline.measured_at(0), start);
            assert_eq!(timeline.measured_at(-1000), time("2026-01-29T23:59:59Z"));
            assert_eq!(timeline.measured_at(480_000), time("2026-01-30T00:08:00Z"));
        }
    }

    #[test]
    fn a_moment_is_due_after_its_time_over_the_speed_and_what_came_before_zero_at_once() {
        let start = Start::At(time("2026-01-30T00:00:00Z"));
        let due = |speed, offset| timeline(start, speed).due(offset);
        assert_eq!(due(Speed::Times(1.0), 480_000), Duration::from_secs(480));
        assert_eq!(due(Speed::Times(60.0), 480_000), Duration::from_secs(8));
        assert_eq!(due(Speed::Times(0.5), 1000), Duration::from_secs(2));
        assert_eq!(due(Speed::Max, 480_000), Duration::ZERO);
        assert_eq!(due(Speed::Times(1.0), -1000), Duration::ZERO);
    }

    #[test]
    fn now_is_a_start_at_the_speed_of_life_or_slower() {
        for factor in [1.0, 0.5] {
            assert_eq!(timeline(Start::Now, Speed::Times(factor)).start(), now());
        }
    }

    #[test]
    fn a_replay_that_would_run_ahead_is_told_the_latest_start_that_does_not() {
        for (speed, expected) in [
            (Speed::Times(2.0), "2026-01-31T11:56:00Z"),
            (Speed::Times(10.0), "2026-01-31T11:52:48Z"),
            (Speed::Max, "2026-01-31T11:52:00Z"),
        ] {
            let latest = latest(Start::Now, speed);
            assert_eq!(latest, time(expected), "{speed}");
            timeline(Start::At(latest), speed);
        }
    }

    #[test]
    fn a_start_in_the_future_is_refused_at_any_speed() {
        let tomorrow = Start::At(time("2026-02-01T12:00:00Z"));
        assert_eq!(latest(tomorrow, Speed::Times(1.0)), now());
        assert_eq!(latest(tomorrow, Speed::Times(0.5)), now());
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let refusal = Timeline::new(Start::Now, Speed::Max, SPAN, now()).expect_err("ahead");
        let said = refusal.to_string();
        assert!(said.contains("8m ahead of the clock"), "{said}");
        assert!(said.contains("take --start 2026-01-31T11:52:00Z or earlier"), "{said}");
    }

    #[test]
    fn a_start_at_the_end_of_time_is_refused() {
        let end = Start::At(Timestamp::MAX);
        let refusal = Timeline::new(end, Speed::Max, SPAN, now()).expect_err("out of range");
        assert!(matches!(refusal, Error::Range { .. }));
    }

    #[test]
    fn the_oldest_reading_is_the_first_of_a_fast_replay_and_the_last_of_a_slow_one() {
        let start = Start::At(time("2026-01-31T11:00:00Z"));
        let oldest = |factor| timeline(start, Speed::Times(factor)).oldest(Duration::from_secs(1));
        assert_eq!(oldest(10.0), Duration::from_secs(3600 + 1 + 1));
        assert_eq!(oldest(0.5), Duration::from_secs(3600 + 480 + 1));
    }

    #[test]
    fn starts_and_speeds_are_read_as_written() {
        assert_eq!("now".parse(), Ok(Start::Now));
        assert_eq!("2026-01-31T13:00:00+01:00".parse(), Ok(Start::At(now())));
        assert!("2026-01-31T12:00:00".parse::<Start>().is_err(), "no offset");
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse(), Ok(Speed::Times(60.0)));
        for text in ["0", "-1", "inf", "NaN", "fast", "1e7"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
