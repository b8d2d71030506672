//! Time as the service knows it: UTC instants in whole microseconds, and the one place that reads
//! the computer's clock.
//!
//! Everything that decides (`engine`) gets its time from its inputs; only I/O stages hold a
//! [`Clock`]. Wall time may step backwards; the partition makes it monotonic before the engine
//! sees it, not this module.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// An instant in UTC, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0001-01-01T00:00:00Z, the earliest instant protobuf's `Timestamp` can say.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the latest one.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The instant `micros` microseconds after the epoch, if it lies in the years 1 to 9999.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 { None } else { Some(Self(micros)) }
    }

    /// The instant `seconds` after the epoch; for constants and tests.
    ///
    /// # Panics
    /// Outside the years 1 to 9999.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        match Self::from_micros(seconds * 1_000_000) {
            Some(instant) => instant,
            None => panic!("instant outside the years 1 to 9999"),
        }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved later, stopping at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(span)).min(Self::MAX.0))
    }

    /// This instant moved earlier, stopping at [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(span)).max(Self::MIN.0))
    }
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many fractional digits as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time with an offset, such as 2026-01-31T08:15:00Z")]
pub struct ParseTimestampError(String);

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// RFC 3339 with an offset; digits beyond microseconds are cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| ParseTimestampError(text.to_owned()))?;
        let nanos = instant.as_nanosecond().div_euclid(1000);
        i64::try_from(nanos)
            .ok()
            .and_then(Self::from_micros)
            .ok_or_else(|| ParseTimestampError(text.to_owned()))
    }
}

/// Where an I/O stage gets the wall time from: the computer, or a test.
pub trait Clock: Send + Sync + 'static {
    /// The current wall time.
    fn now(&self) -> Timestamp;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the computer's clock")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp(micros.clamp(Timestamp::MIN.0, Timestamp::MAX.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_to_the_microsecond() {
        for text in
            ["2026-01-31T08:15:00Z", "2026-01-31T08:15:00.123456Z", "1969-12-31T23:59:59.5Z"]
        {
            assert_eq!(text.parse::<Timestamp>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn digits_beyond_microseconds_are_cut_off_towards_the_past() {
        let cut = "2026-01-31T08:15:00.1234569Z".parse::<Timestamp>().expect("valid");
        assert_eq!(cut.to_string(), "2026-01-31T08:15:00.123456Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert!("2026-01-31T08:15:00".parse::<Timestamp>().is_err());
    }
}
