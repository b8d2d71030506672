//! The wall time, in the whole microseconds that the service keeps: the one place that reads the
//! computer's clock.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// The current wall time.
pub(crate) fn now() -> Timestamp {
    whole(Unit::Microsecond, Timestamp::now())
}

/// `moment`, cut down to whole units.
pub(crate) fn whole(unit: Unit, moment: Timestamp) -> Timestamp {
    let down = TimestampRound::new().smallest(unit).mode(RoundMode::Floor);
    moment.round(down).unwrap_or(moment)
}
