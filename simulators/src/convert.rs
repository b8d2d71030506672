//! Between our own values and those of the wire.

use jiff::{SignedDuration, Timestamp};

use crate::proto::v1;
use crate::sample::Vital;

pub(crate) fn to_timestamp(moment: Timestamp) -> prost_types::Timestamp {
    // Moments before 1970 have negative fractions here, which the wire does not know.
    let (second, nanos) = (moment.as_second(), moment.subsec_nanosecond());
    let (second, nanos) =
        if nanos < 0 { (second - 1, nanos + 1_000_000_000) } else { (second, nanos) };
    prost_types::Timestamp { seconds: second, nanos }
}

/// `None` if it is outside the years that can be said.
pub(crate) fn from_timestamp(moment: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(moment.seconds, moment.nanos).ok()
}

pub(crate) fn to_duration(span: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: span.as_secs(), nanos: span.subsec_nanos() }
}

/// `None` if its parts contradict each other.
pub(crate) fn from_duration(span: prost_types::Duration) -> Option<SignedDuration> {
    let nanos = SignedDuration::from_nanos(i64::from(span.nanos));
    SignedDuration::from_secs(span.seconds).checked_add(nanos)
}

pub(crate) fn to_vital(vital: Vital) -> v1::Vital {
    match vital {
        Vital::HeartRate => v1::Vital::HeartRate,
        Vital::PulseRate => v1::Vital::PulseRate,
        Vital::RespiratoryRate => v1::Vital::RespiratoryRate,
        Vital::Spo2 => v1::Vital::Spo2,
        Vital::SystolicPressure => v1::Vital::SystolicPressure,
        Vital::DiastolicPressure => v1::Vital::DiastolicPressure,
        Vital::BodyTemperature => v1::Vital::BodyTemperature,
        Vital::BloodGlucose => v1::Vital::BloodGlucose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_the_wire_before_and_after_1970() {
        for text in
            ["2026-01-31T08:15:00.123456Z", "1969-12-31T23:59:58.25Z", "1970-01-01T00:00:00Z"]
        {
            let moment: Timestamp = text.parse().expect("valid");
            let wire = to_timestamp(moment);
            assert!(wire.nanos >= 0, "{text}");
            assert_eq!(from_timestamp(wire), Some(moment), "{text}");
        }
    }

    #[test]
    fn spans_survive_the_wire() {
        let span = SignedDuration::from_millis(1500);
        assert_eq!(from_duration(to_duration(span)), Some(span));
    }
}
