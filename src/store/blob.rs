//! Values of the domain that stand in one column as JSON: profiles, schedules, what a score was
//! made of, and the readings that decided an event.
//!
//! Every blob says its kind and its version. Each version that was ever released keeps its
//! decoder, and golden files under `tests/fixtures/store` hold its text to it. The body of
//! version 1 is what serde makes of the domain's types: quantities in ten-thousandths.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::alerts::{DecidingReading, ScoreSummary};
use crate::engine::input::Schedule;
use crate::engine::profile::Profile;

const VERSION: u32 = 1;

/// A value that may stand in a column as JSON.
pub trait Blob: Serialize + DeserializeOwned {
    /// What it is, in every blob of it.
    const KIND: &'static str;
}

impl Blob for Profile {
    const KIND: &'static str = "profile";
}

impl Blob for Schedule {
    const KIND: &'static str = "schedule";
}

impl Blob for ScoreSummary {
    const KIND: &'static str = "score";
}

impl Blob for Vec<DecidingReading> {
    const KIND: &'static str = "deciding_readings";
}

/// Why a text is not a blob.
#[derive(Debug, thiserror::Error)]
pub enum DecodeBlobError {
    /// It is no JSON, or not that of its kind and version.
    #[error("reading a {kind} from its column")]
    Body {
        /// What was expected.
        kind: &'static str,
        /// What was wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It is something else.
    #[error("the column holds {found:?} version {version}, not {kind:?} up to {VERSION}")]
    Kind {
        /// What was expected.
        kind: &'static str,
        /// What it says it is.
        found: String,
        /// Its version.
        version: u32,
    },
}

#[derive(Serialize)]
struct Written<'a, T> {
    kind: &'static str,
    version: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct Label {
    kind: String,
    version: u32,
}

#[derive(Deserialize)]
struct Body<T> {
    body: T,
}

/// The JSON of a value.
pub fn encode<T: Blob>(body: &T) -> String {
    serde_json::to_string(&Written { kind: T::KIND, version: VERSION, body })
        .expect("plain values with text keys have no way to fail")
}

/// The value that a JSON text holds.
///
/// # Errors
/// [`DecodeBlobError`] if it was not written by [`encode`] of this or an earlier version.
pub fn decode<T: Blob>(text: &str) -> Result<T, DecodeBlobError> {
    let kind = T::KIND;
    let wrong = |source| DecodeBlobError::Body { kind, source };
    let label: Label = serde_json::from_str(text).map_err(wrong)?;
    if label.kind != kind || label.version != VERSION {
        return Err(DecodeBlobError::Kind { kind, found: label.kind, version: label.version });
    }
    Ok(serde_json::from_str::<Body<T>>(text).map_err(wrong)?.body)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::alerts::Risk;
    use crate::engine::profile::{Level, LimitRule, Rule, RuleKind, Side, Sustained};
    use crate::vitals::{AbsentReason, Acvpu, Priority, Quantity, RuleId, Value, Vital};

    fn check<T: Blob + Debug + PartialEq>(value: &T, golden: &str) {
        assert_eq!(encode(value), golden.trim_end());
        assert_eq!(&decode::<T>(golden).expect("its own text"), value);
    }

    #[test]
    fn version_1_of_a_profile_stays_readable() {
        let level = Level {
            priority: Priority::High,
            limit: Quantity::from_f64(120.5).expect("finite"),
            clear_limit: Quantity::whole(118),
            sustained: Some(Sustained {
                delay: Duration::from_secs(15),
                max_gap: Duration::from_millis(1500),
            }),
            spot: None,
        };
        let limit = LimitRule {
            vital: Vital::HeartRate,
            covers_pulse_rate: true,
            side: Side::Above,
            levels: vec![level],
            clear_delay: Duration::ZERO,
        };
        let rule = |id, kind| Rule::new(RuleId::new(id).expect("an id"), kind);
        let profile = Profile {
            rules: vec![rule("hr-high", RuleKind::Limit(limit)), rule("rr-high", RuleKind::Off)],
        };
        check(&profile, include_str!("../../tests/fixtures/store/profile_v1.json"));
    }

    #[test]
    fn version_1_of_a_schedule_stays_readable() {
        let schedule = Schedule {
            upload_interval: Duration::from_secs(3600),
            expected_intervals: vec![(Vital::HeartRate, Duration::from_secs(1))],
        };
        check(&schedule, include_str!("../../tests/fixtures/store/schedule_v1.json"));
    }

    #[test]
    fn version_1_of_a_score_stays_readable() {
        let at = Timestamp::from_seconds(1_767_225_600);
        let score = ScoreSummary {
            total: 5,
            risk: Risk::Medium,
            parameters: vec![(Vital::Spo2, 3, at), (Vital::HeartRate, 2, at)],
            missing: vec![Vital::Consciousness],
            age_unknown: true,
            pregnancy_unknown: false,
        };
        check(&score, include_str!("../../tests/fixtures/store/score_v1.json"));
    }

    #[test]
    fn version_1_of_deciding_readings_stays_readable() {
        let measured_at = Timestamp::from_seconds(1_767_225_600);
        let reading = |vital, value| DecidingReading { measured_at, vital, value };
        let readings = vec![
            reading(Vital::HeartRate, Value::Quantity(Quantity::whole(131))),
            reading(Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
            reading(Vital::Spo2, Value::Absent(AbsentReason::SensorOff)),
        ];
        check(&readings, include_str!("../../tests/fixtures/store/deciding_readings_v1.json"));
    }

    #[test]
    fn another_kind_or_version_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"kind":"schedule","version":1,"body":{"rules":[]}}"#,
            r#"{"kind":"profile","version":2,"body":{"rules":[]}}"#,
            r#"{"kind":"profile","version":1,"body":{}}"#,
        ] {
            assert!(decode::<Profile>(text).is_err(), "{text}");
        }
    }
}
