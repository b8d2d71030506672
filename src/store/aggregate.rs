//! What is summed up: buckets of a minute and of an hour, and which readings are in them.
//!
//! The views `readings_1min` and `readings_1h` show them, by the same names and columns in every
//! database. Where no database does it for us, the service keeps a table behind each view: every
//! batch that is stored leaves a note beside its rows, in `stored_batches`, and a pass takes notes
//! away and adds their readings to the kept table, in one transaction. So each reading is summed
//! up once, whatever comes late and whatever crashes, and nothing is ever read twice.

use std::time::Duration;

/// A width of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregate {
    /// `readings_1min`
    Minute,
    /// `readings_1h`
    Hour,
}

/// The readings that are in buckets, in SQL of either database. Not what was never measured, nor
/// the level of consciousness, which has no mean; nor what was no patient's: test, demo, and a
/// monitor's zero without a sensor.
pub(super) const COUNTED: &str = "absent = 0 AND vital <> 14 AND quality & 100 = 0";

impl Aggregate {
    /// Its view.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "readings_1min",
            Self::Hour => "readings_1h",
        }
    }

    /// The table behind it, where the service keeps one.
    pub(super) const fn kept(self) -> &'static str {
        match self {
            Self::Minute => "readings_1min_kept",
            Self::Hour => "readings_1h_kept",
        }
    }

    /// How long a bucket is.
    pub(super) const fn width(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(60 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::output::Quality;
    use crate::vitals::Vital;

    #[test]
    fn the_numbers_in_the_condition_are_those_of_the_words() {
        let left_out = Quality::NO_SENSOR.0 | Quality::TEST.0 | Quality::DEMO.0;
        let consciousness = Vital::Consciousness.number();
        let expected =
            format!("absent = 0 AND vital <> {consciousness} AND quality & {left_out} = 0");
        assert_eq!(COUNTED, expected);
    }

    #[test]
    fn every_schema_has_the_same_condition() {
        for schema in [
            include_str!("postgres/migrations/V4__aggregates_views.sql"),
            include_str!("postgres/migrations/V4__aggregates_hypertable.sql"),
            include_str!("sqlite/migrations/V4__aggregates.sql"),
        ] {
            assert_eq!(schema.matches(COUNTED).count(), 2, "once for each view");
        }
    }
}
