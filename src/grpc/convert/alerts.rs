//! Alerts and their events to the wire.
//!
//! So far an alert has no signal of its own (nothing acknowledges, pauses or latches): it is on
//! while the condition is active, and over when the condition has ended.

use super::wire_timestamp;
use crate::engine::alerts::{Alert, AlertEvent, Condition, Trigger};
use crate::engine::profile::Scope;
use crate::proto::v1;
use crate::proto::v1::profile_owner::{Everyone, Owner};

/// The alert as it stands.
pub(in crate::grpc) fn alert(alert: &Alert) -> v1::Alert {
    let (condition, signal) = match alert.condition {
        Condition::Active => (v1::ConditionState::Active, v1::SignalState::On),
        Condition::Inactive => (v1::ConditionState::Inactive, v1::SignalState::Off),
    };
    v1::Alert {
        alert_id: alert.id.to_string(),
        patient_id: alert.patient.to_string(),
        site_id: alert.site.to_string(),
        rule_id: alert.rule.to_string(),
        vital: i32::from(alert.vital.number()),
        priority: alert.priority as i32,
        condition: condition.into(),
        signal: signal.into(),
        device_id: alert.device.to_string(),
        rule_version: alert.rule_version,
        limit_owner: Some(limit_owner(alert)),
        limit: Some(alert.limit.to_f64()),
        unit: alert.vital.unit().ucum().to_owned(),
        onset_at: Some(wire_timestamp(alert.onset)),
        raised_at: Some(wire_timestamp(alert.raised_at)),
        ended_at: alert.ended_at.map(wire_timestamp),
        etag: alert.revision.to_string(),
        kind: v1::AlertKind::Physiological.into(),
        closed: alert.condition == Condition::Inactive,
        ..v1::Alert::default()
    }
}

/// A limit in force for a patient is everyone's, that of the patient's site, or the patient's own.
fn limit_owner(alert: &Alert) -> v1::ProfileOwner {
    let owner = match alert.scope {
        Scope::Default => Owner::Everyone(Everyone {}),
        Scope::Site(_) => Owner::SiteId(alert.site.to_string()),
        Scope::Patient(_) => Owner::PatientId(alert.patient.to_string()),
    };
    v1::ProfileOwner { owner: Some(owner) }
}

/// What happened to an alert.
pub(in crate::grpc) fn alert_event(event: &AlertEvent) -> v1::AlertEvent {
    let (reading, cause) = match event.trigger {
        Trigger::Reading { measured_at, value } => {
            let reading = v1::DecidingReading {
                measured_at: Some(wire_timestamp(measured_at)),
                quantity: value.to_f64(),
            };
            (Some(reading), v1::AlertCause::Unspecified)
        }
        Trigger::Unbound => (None, v1::AlertCause::Unbound),
        Trigger::RuleChanged => (None, v1::AlertCause::RuleChanged),
    };
    v1::AlertEvent {
        phase: event.phase as i32,
        determined_at: Some(wire_timestamp(event.determined_at)),
        alert: Some(alert(&event.alert)),
        reading,
        cause: cause.into(),
        ..v1::AlertEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::alerts::{AlertId, Phase};
    use crate::vitals::{PatientKey, Priority, Quantity, SiteKey, Vital};

    fn desaturation() -> Alert {
        Alert {
            id: AlertId(Uuid::from_u128(7)),
            patient: "p-1".parse().expect("an id"),
            patient_key: PatientKey(1),
            site: "north".parse().expect("an id"),
            device: "oxi-1".parse().expect("an id"),
            rule: "spo2-low".parse().expect("an id"),
            rule_version: 4,
            scope: Scope::Patient(PatientKey(1)),
            vital: Vital::Spo2,
            limit: Quantity::from_ten_thousandths(895_000),
            priority: Priority::High,
            condition: Condition::Active,
            onset: Timestamp::from_seconds(100),
            raised_at: Timestamp::from_seconds(116),
            ended_at: None,
            revision: 2,
        }
    }

    fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn an_open_alert_arrives_with_everything_that_is_known_of_it() {
        let owner = Owner::PatientId("p-1".into());
        let expected = v1::Alert {
            alert_id: "00000000-0000-0000-0000-000000000007".into(),
            patient_id: "p-1".into(),
            site_id: "north".into(),
            rule_id: "spo2-low".into(),
            vital: v1::Vital::Spo2.into(),
            priority: v1::Priority::High.into(),
            condition: v1::ConditionState::Active.into(),
            signal: v1::SignalState::On.into(),
            device_id: "oxi-1".into(),
            rule_version: 4,
            limit_owner: Some(v1::ProfileOwner { owner: Some(owner) }),
            limit: Some(89.5),
            unit: "%".into(),
            onset_at: seconds(100),
            raised_at: seconds(116),
            etag: "2".into(),
            kind: v1::AlertKind::Physiological.into(),
            ..v1::Alert::default()
        };
        assert_eq!(alert(&desaturation()), expected);
    }

    #[test]
    fn an_ended_alert_says_when_and_signals_no_more() {
        let ended = Alert {
            condition: Condition::Inactive,
            ended_at: Some(Timestamp::from_seconds(130)),
            ..desaturation()
        };
        let wire = alert(&ended);
        assert_eq!(wire.condition(), v1::ConditionState::Inactive);
        assert_eq!(wire.signal(), v1::SignalState::Off);
        assert_eq!((wire.ended_at, wire.closed), (seconds(130), true));
    }

    #[test]
    fn the_limit_names_its_owner() {
        let owner = |scope| limit_owner(&Alert { scope, ..desaturation() }).owner;
        assert_eq!(owner(Scope::Default), Some(Owner::Everyone(Everyone {})));
        assert_eq!(owner(Scope::Site(SiteKey(9))), Some(Owner::SiteId("north".into())));
    }

    #[test]
    fn an_event_names_the_reading_that_decided_it_or_the_cause() {
        let value = Quantity::whole(88);
        let measured_at = Timestamp::from_seconds(115);
        for (trigger, quantity, cause) in [
            (Trigger::Reading { measured_at, value }, Some(88.0), v1::AlertCause::Unspecified),
            (Trigger::Unbound, None, v1::AlertCause::Unbound),
            (Trigger::RuleChanged, None, v1::AlertCause::RuleChanged),
        ] {
            let event = alert_event(&AlertEvent {
                phase: Phase::Escalate,
                determined_at: Timestamp::from_seconds(116),
                priority_before: None,
                trigger,
                alert: desaturation(),
            });
            assert_eq!(event.reading.map(|reading| reading.quantity), quantity);
            assert_eq!((event.cause(), event.phase()), (cause, v1::AlertPhase::Escalate));
            assert_eq!(event.alert, Some(alert(&desaturation())));
        }
    }
}
