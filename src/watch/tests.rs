//! What the tests of the ward are told.

use crate::proto::v1;
use crate::proto::v1::watch_alerts_response as alerts;
use crate::proto::v1::watch_vitals_response as vitals;
use crate::vitals::Vital;

pub(super) fn alert(id: &str, patient: &str, priority: v1::Priority) -> v1::Alert {
    v1::Alert {
        alert_id: id.to_owned(),
        patient_id: patient.to_owned(),
        rule_id: "spo2-low".to_owned(),
        rule_version: 1,
        etag: format!("{id}-{}", priority.as_str_name()),
        priority: priority.into(),
        condition: v1::ConditionState::Active.into(),
        signal: v1::SignalState::On.into(),
        ..v1::Alert::default()
    }
}

pub(super) fn monitored(patient: &str, site: &str) -> v1::PatientMonitoring {
    v1::PatientMonitoring {
        patient_id: patient.to_owned(),
        site_id: site.to_owned(),
        state: v1::MonitoringState::Monitored.into(),
        since: None,
    }
}

pub(super) fn snapshot(
    part: u32,
    alerts: Vec<v1::Alert>,
    patients: Vec<v1::PatientMonitoring>,
) -> alerts::Message {
    alerts::Message::Snapshot(alerts::Snapshot { part, alerts, patients })
}

pub(super) fn live() -> alerts::Message {
    alerts::Message::Live(alerts::Live { cursor: "live".to_owned() })
}

/// Something that happened to an alert: an escalation, unless it is over.
pub(super) fn event(alert: v1::Alert) -> alerts::Message {
    let phase = if alert.closed { v1::AlertPhase::End } else { v1::AlertPhase::Escalate };
    let event =
        v1::AlertEvent { phase: phase.into(), alert: Some(alert), ..v1::AlertEvent::default() };
    let change = Some(alerts::event::Change::Alert(event));
    alerts::Message::Event(alerts::Event { cursor: "event".to_owned(), change })
}

pub(super) fn reading(patient: &str, vital: Vital, value: f64, second: i64) -> vitals::Message {
    let reading = v1::StoredReading {
        measured_at: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
        vital: vital.number().into(),
        value: Some(v1::stored_reading::Value::Quantity(value)),
        unit: vital.unit().ucum().to_owned(),
        ..v1::StoredReading::default()
    };
    let patient_id = patient.to_owned();
    vitals::Message::Reading(vitals::Live { patient_id, reading: Some(reading), conflated: 0 })
}
