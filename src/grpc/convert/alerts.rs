//! Alerts, their events, and how patients are watched, to the wire.

use super::wire_timestamp;
use crate::engine::alerts::{
    Alert, AlertEvent, AlertKind, Condition, DecidingReading, Risk, ScoreSummary, Signal, Trigger,
};
use crate::engine::output::MonitoringChange;
use crate::engine::profile::{RESERVED_ID_PREFIX, Scope};
use crate::proto::v1;
use crate::proto::v1::profile_owner::{Everyone, Owner};
use crate::vitals::Value;

/// The alert as it stands.
pub(in crate::grpc) fn alert(alert: &Alert) -> v1::Alert {
    let unit = alert.vital.map(|vital| vital.unit().ucum().to_owned());
    v1::Alert {
        alert_id: alert.id.to_string(),
        patient_id: text(alert.patient.as_ref()),
        site_id: text(alert.site.as_ref()),
        rule_id: alert.rule.to_string(),
        vital: alert.vital.map_or(0, |vital| i32::from(vital.number())),
        priority: alert.priority as i32,
        condition: condition(alert.condition).into(),
        signal: signal(alert.signal).into(),
        device_id: text(alert.device.as_ref()),
        rule_version: alert.rule_version,
        limit_owner: limit_owner(alert),
        limit: alert.limit.map(|limit| limit.to_f64()),
        // A score's total has no unit.
        unit: unit.filter(|_| alert.score.is_none()).unwrap_or_default(),
        onset_at: Some(wire_timestamp(alert.onset)),
        raised_at: Some(wire_timestamp(alert.raised_at)),
        ended_at: alert.ended_at.map(wire_timestamp),
        etag: alert.revision.to_string(),
        kind: kind(alert.kind).into(),
        retrospective: alert.retrospective,
        delayed: alert.delayed,
        unconfirmed: alert.unconfirmed,
        paused_until: paused_until(alert.signal),
        escalation_level: u32::from(alert.escalation_level),
        assignee: alert.assignee.clone().unwrap_or_default(),
        closed: alert.is_over(),
        score: alert.score.as_deref().map(score),
        covered: alert.covered,
    }
}

/// The wire says nothing by an empty text.
fn text(id: Option<&impl ToString>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

pub(super) const fn kind(kind: AlertKind) -> v1::AlertKind {
    match kind {
        AlertKind::Physiological => v1::AlertKind::Physiological,
        AlertKind::Technical => v1::AlertKind::Technical,
    }
}

const fn condition(condition: Condition) -> v1::ConditionState {
    match condition {
        Condition::Active => v1::ConditionState::Active,
        Condition::Inactive => v1::ConditionState::Inactive,
        Condition::Indeterminate => v1::ConditionState::Indeterminate,
    }
}

const fn signal(signal: Signal) -> v1::SignalState {
    match signal {
        Signal::Off => v1::SignalState::Off,
        Signal::On => v1::SignalState::On,
        Signal::Acknowledged => v1::SignalState::Acknowledged,
        Signal::Paused { .. } => v1::SignalState::Paused,
        Signal::Latched => v1::SignalState::Latched,
    }
}

fn paused_until(signal: Signal) -> Option<prost_types::Timestamp> {
    match signal {
        Signal::Paused { until } => Some(wire_timestamp(until)),
        _ => None,
    }
}

/// A limit in force for a patient is everyone's, that of the patient's site, or the patient's own.
/// The service's own alerts rest on nobody's limit.
fn limit_owner(alert: &Alert) -> Option<v1::ProfileOwner> {
    rests_on_a_profile(alert).then(|| owner(alert.scope, alert))
}

/// Whether it was raised by a rule of a profile, and not by one of the service's own.
pub(super) fn rests_on_a_profile(alert: &Alert) -> bool {
    !alert.rule.as_str().starts_with(RESERVED_ID_PREFIX)
}

/// Whose profile a scope is of, by the ids of an alert.
pub(super) fn owner(scope: Scope, alert: &Alert) -> v1::ProfileOwner {
    let owner = match scope {
        Scope::Default => Owner::Everyone(Everyone {}),
        Scope::Site(_) => Owner::SiteId(text(alert.site.as_ref())),
        Scope::Patient(_) => Owner::PatientId(text(alert.patient.as_ref())),
    };
    v1::ProfileOwner { owner: Some(owner) }
}

fn score(score: &ScoreSummary) -> v1::ScoreSummary {
    let parameters =
        score.parameters.iter().map(|(vital, points, measured_at)| v1::ScoreParameter {
            vital: i32::from(vital.number()),
            points: u32::from(*points),
            measured_at: Some(wire_timestamp(*measured_at)),
        });
    let age = score.age_unknown.then_some(v1::ScoreCaveat::AgeUnknown);
    let pregnancy = score.pregnancy_unknown.then_some(v1::ScoreCaveat::PregnancyUnknown);
    v1::ScoreSummary {
        total: u32::from(score.total),
        parameters: parameters.collect(),
        missing: score.missing.iter().map(|vital| i32::from(vital.number())).collect(),
        caveats: age.into_iter().chain(pregnancy).map(i32::from).collect(),
        risk: risk(score.risk).into(),
    }
}

const fn risk(risk: Risk) -> v1::ScoreRisk {
    match risk {
        Risk::Low => v1::ScoreRisk::Low,
        Risk::LowMedium => v1::ScoreRisk::LowMedium,
        Risk::Medium => v1::ScoreRisk::Medium,
        Risk::High => v1::ScoreRisk::High,
    }
}

/// What happened to an alert.
pub(in crate::grpc) fn alert_event(event: &AlertEvent) -> v1::AlertEvent {
    let cause = match &event.trigger {
        Trigger::Readings(_) => v1::AlertCause::Unspecified,
        Trigger::Unbound => v1::AlertCause::Unbound,
        Trigger::RuleChanged => v1::AlertCause::RuleChanged,
        Trigger::Request => v1::AlertCause::Request,
        Trigger::Timer => v1::AlertCause::Timer,
        Trigger::Transfer => v1::AlertCause::Transfer,
        Trigger::EngineChanged => v1::AlertCause::EngineChanged,
        Trigger::DeviceStatus => v1::AlertCause::DeviceStatus,
        Trigger::Ingest => v1::AlertCause::Ingest,
        Trigger::Grouping => v1::AlertCause::Grouping,
        Trigger::Restored => v1::AlertCause::Restored,
        Trigger::Erased => v1::AlertCause::Erased,
    };
    v1::AlertEvent {
        phase: event.phase as i32,
        determined_at: Some(wire_timestamp(event.determined_at)),
        alert: Some(alert(&event.alert)),
        readings: event.trigger.readings().iter().map(deciding_reading).collect(),
        cause: cause.into(),
        actor: event.actor.clone().unwrap_or_default(),
        note: event.note.clone().unwrap_or_default(),
    }
}

fn deciding_reading(reading: &DecidingReading) -> v1::DecidingReading {
    let (quantity, consciousness) = match reading.value {
        Value::Quantity(quantity) => (Some(quantity.to_f64()), 0),
        Value::Consciousness(level) => (None, level as i32),
        // A reading without a value can decide that an alert is indeterminate.
        Value::Absent(_) => (None, 0),
    };
    v1::DecidingReading {
        measured_at: Some(wire_timestamp(reading.measured_at)),
        quantity,
        vital: i32::from(reading.vital.number()),
        consciousness,
    }
}

/// How a patient is watched.
pub(in crate::grpc) fn monitoring(change: &MonitoringChange) -> v1::PatientMonitoring {
    v1::PatientMonitoring {
        patient_id: change.patient.to_string(),
        site_id: change.site.to_string(),
        state: change.state as i32,
        since: Some(wire_timestamp(change.since)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::alerts::{AlertId, Phase};
    use crate::engine::output::MonitoringState;
    use crate::vitals::{Acvpu, PatientKey, Priority, Quantity, SiteKey, Vital};

    fn desaturation() -> Alert {
        Alert {
            id: AlertId(Uuid::from_u128(7)),
            kind: AlertKind::Physiological,
            patient: Some("p-1".parse().expect("an id")),
            patient_key: Some(PatientKey(1)),
            site: Some("north".parse().expect("an id")),
            device: Some("oxi-1".parse().expect("an id")),
            rule: "spo2-low".parse().expect("an id"),
            rule_version: 4,
            scope: Scope::Patient(PatientKey(1)),
            vital: Some(Vital::Spo2),
            limit: Some(Quantity::from_ten_thousandths(895_000)),
            score: None,
            priority: Priority::High,
            condition: Condition::Active,
            signal: Signal::On,
            onset: Timestamp::from_seconds(100),
            raised_at: Timestamp::from_seconds(116),
            ended_at: None,
            retrospective: false,
            delayed: true,
            unconfirmed: true,
            escalation_level: 2,
            assignee: Some("anna".to_owned()),
            covered: 0,
            revision: 2,
            risen_in: 1,
        }
    }

    /// The alert of an outage of our own.
    fn outage() -> Alert {
        Alert {
            kind: AlertKind::Technical,
            patient: None,
            patient_key: None,
            site: None,
            device: None,
            rule: "pulseward.ingest".parse().expect("an id"),
            rule_version: 0,
            scope: Scope::Default,
            vital: None,
            limit: None,
            covered: 200,
            ..desaturation()
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
            delayed: true,
            unconfirmed: true,
            escalation_level: 2,
            assignee: "anna".into(),
            ..v1::Alert::default()
        };
        assert_eq!(alert(&desaturation()), expected);
    }

    #[test]
    fn an_alert_of_the_service_itself_has_no_patient_no_limit_and_no_owner() {
        let wire = alert(&outage());
        assert_eq!((&*wire.patient_id, &*wire.site_id, &*wire.device_id), ("", "", ""));
        assert_eq!((wire.vital(), wire.limit, &*wire.unit), (v1::Vital::Unspecified, None, ""));
        assert_eq!((wire.kind(), wire.covered), (v1::AlertKind::Technical, 200));
        assert_eq!(wire.limit_owner, None);
    }

    #[test]
    fn condition_and_signal_are_two_machines_and_closed_is_the_end_of_both() {
        let until = Timestamp::from_seconds(500);
        let (active, ended) = (Condition::Active, Condition::Inactive);
        for (condition, signal, expected) in [
            (active, Signal::On, ("ACTIVE", "ON", false)),
            (active, Signal::Acknowledged, ("ACTIVE", "ACKNOWLEDGED", false)),
            (active, Signal::Paused { until }, ("ACTIVE", "PAUSED", false)),
            (Condition::Indeterminate, Signal::On, ("INDETERMINATE", "ON", false)),
            (ended, Signal::Latched, ("INACTIVE", "LATCHED", false)),
            (ended, Signal::Off, ("INACTIVE", "OFF", true)),
        ] {
            let ended_at = (condition == ended).then_some(Timestamp::from_seconds(130));
            let wire = alert(&Alert { condition, signal, ended_at, ..desaturation() });
            let (condition, signal_state, closed) = expected;
            assert_eq!(wire.condition().as_str_name(), format!("CONDITION_STATE_{condition}"));
            assert_eq!(wire.signal().as_str_name(), format!("SIGNAL_STATE_{signal_state}"));
            assert_eq!(wire.closed, closed);
            assert_eq!(wire.ended_at, ended_at.and(seconds(130)));
            assert_eq!(wire.paused_until.is_some(), signal_state == "PAUSED");
        }
    }

    #[test]
    fn the_limit_names_its_owner() {
        let owner =
            |scope| limit_owner(&Alert { scope, ..desaturation() }).expect("an owner").owner;
        assert_eq!(owner(Scope::Default), Some(Owner::Everyone(Everyone {})));
        assert_eq!(owner(Scope::Site(SiteKey(9))), Some(Owner::SiteId("north".into())));
    }

    #[test]
    fn a_score_says_what_it_was_made_of_and_what_is_missing() {
        let summary = ScoreSummary {
            total: 5,
            risk: Risk::Medium,
            parameters: vec![(Vital::Spo2, 3, Timestamp::from_seconds(99))],
            missing: vec![Vital::Consciousness],
            age_unknown: true,
            pregnancy_unknown: false,
        };
        let wire = alert(&Alert {
            vital: None,
            limit: Some(Quantity::whole(5)),
            score: Some(Box::new(summary)),
            ..desaturation()
        });
        assert_eq!((wire.limit, &*wire.unit), (Some(5.0), ""));
        let score = wire.score.expect("a score");
        let parameter = v1::ScoreParameter {
            vital: v1::Vital::Spo2.into(),
            points: 3,
            measured_at: seconds(99),
        };
        assert_eq!((score.total, &*score.parameters), (5, &[parameter][..]));
        assert_eq!(score.risk(), v1::ScoreRisk::Medium);
        assert_eq!(score.missing, [i32::from(v1::Vital::Consciousness)]);
        assert_eq!(score.caveats, [i32::from(v1::ScoreCaveat::AgeUnknown)]);
    }

    fn event(trigger: Trigger) -> v1::AlertEvent {
        alert_event(&AlertEvent {
            phase: Phase::Escalate,
            determined_at: Timestamp::from_seconds(116),
            priority_before: None,
            actor: Some("anna".to_owned()),
            note: Some("seen".to_owned()),
            trigger,
            alert: desaturation(),
        })
    }

    #[test]
    fn an_event_names_the_readings_that_decided_it_each_with_its_vital() {
        let measured_at = Timestamp::from_seconds(115);
        let reading = |vital, value| DecidingReading { measured_at, vital, value };
        let wire = event(Trigger::Readings(vec![
            reading(Vital::Spo2, Value::Quantity(Quantity::whole(88))),
            reading(Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
        ]));
        let told: Vec<_> = wire
            .readings
            .iter()
            .map(|reading| (reading.vital(), reading.quantity, reading.consciousness()))
            .collect();
        let spo2 = (v1::Vital::Spo2, Some(88.0), v1::Acvpu::Unspecified);
        assert_eq!(told, [spo2, (v1::Vital::Consciousness, None, v1::Acvpu::Voice)]);
        assert_eq!(wire.cause(), v1::AlertCause::Unspecified);
        assert_eq!(
            (wire.phase(), wire.alert),
            (v1::AlertPhase::Escalate, Some(alert(&desaturation())))
        );
        assert_eq!((&*wire.actor, &*wire.note), ("anna", "seen"));
    }

    #[test]
    fn an_event_that_no_reading_decided_names_its_cause() {
        for trigger in Trigger::ALL.into_iter().skip(1) {
            let expected = format!("ALERT_CAUSE_{}", trigger.name().to_uppercase());
            let wire = event(trigger);
            assert_eq!(wire.cause().as_str_name(), expected);
            assert!(wire.readings.is_empty());
        }
    }

    #[test]
    fn the_wire_numbers_monitoring_states_as_the_domain_does() {
        for state in [
            MonitoringState::Monitored,
            MonitoringState::Partial,
            MonitoringState::Paused,
            MonitoringState::LimitsOff,
            MonitoringState::NoDevice,
            MonitoringState::NoData,
        ] {
            let wire = monitoring(&MonitoringChange {
                patient: "p-1".parse().expect("an id"),
                patient_key: PatientKey(1),
                site: "north".parse().expect("an id"),
                state,
                since: Timestamp::from_seconds(9),
                moved_from: None,
            });
            let name = format!("MONITORING_STATE_{}", state.name().to_uppercase());
            assert_eq!((wire.state().as_str_name(), wire.since), (&*name, seconds(9)));
            assert_eq!((&*wire.patient_id, &*wire.site_id), ("p-1", "north"));
        }
    }
}
