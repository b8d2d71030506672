//! What the wire says, in a few words for a screen and for lines.
//!
//! Marks follow IEC 60601-1-8: `!!!` high, `!!` medium, `!` low, beside a word, so that no colour is
//! needed to tell them apart. A word that this version does not know is `?`, never left out.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::proto::v1;
use crate::proto::v1::{
    AlertCause, AlertKind, AlertPhase, ConditionState, MonitoringState, Priority, SignalState,
};
use crate::vitals::{AbsentReason, Acvpu, Vital};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `!!!`, `!!` or `!`.
pub(super) const fn mark(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "!!!",
        Priority::Medium => "!!",
        Priority::Low => "!",
        Priority::Unspecified => "?",
    }
}

pub(super) const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "HIGH",
        Priority::Medium => "MEDIUM",
        Priority::Low => "LOW",
        Priority::Unspecified => "?",
    }
}

pub(super) const fn monitoring(state: MonitoringState) -> &'static str {
    match state {
        MonitoringState::Monitored => "monitored",
        MonitoringState::Partial => "partial",
        MonitoringState::Paused => "paused",
        MonitoringState::LimitsOff => "limits off",
        MonitoringState::NoDevice => "no device",
        MonitoringState::NoData => "NO DATA",
        MonitoringState::Unspecified => "?",
    }
}

pub(super) const fn signal(state: SignalState) -> &'static str {
    match state {
        SignalState::On => "ON",
        SignalState::Acknowledged => "acknowledged",
        SignalState::Paused => "paused",
        SignalState::Latched => "latched",
        SignalState::Off => "off",
        SignalState::Unspecified => "?",
    }
}

pub(super) const fn condition(state: ConditionState) -> &'static str {
    match state {
        ConditionState::Active => "active",
        ConditionState::Inactive => "inactive",
        ConditionState::Indeterminate => "indeterminate",
        ConditionState::Unspecified => "?",
    }
}

pub(super) const fn phase(phase: AlertPhase) -> &'static str {
    match phase {
        AlertPhase::Start => "start",
        AlertPhase::Escalate => "escalate",
        AlertPhase::Deescalate => "deescalate",
        AlertPhase::End => "end",
        AlertPhase::Close => "close",
        AlertPhase::Update => "update",
        AlertPhase::Acknowledge => "acknowledge",
        AlertPhase::Pause => "pause",
        AlertPhase::Resume => "resume",
        AlertPhase::Remind => "remind",
        AlertPhase::Indeterminate => "indeterminate",
        AlertPhase::Reset => "reset",
        AlertPhase::Unspecified => "?",
    }
}

/// What decided an event; empty where readings did.
pub(super) const fn cause(cause: AlertCause) -> &'static str {
    match cause {
        AlertCause::Unspecified => "",
        AlertCause::Unbound => "the device was unbound",
        AlertCause::RuleChanged => "the rule changed",
        AlertCause::Request => "asked for",
        AlertCause::Timer => "time passed",
        AlertCause::Transfer => "device replaced or patient transferred",
        AlertCause::EngineChanged => "a new version of the engine",
        AlertCause::DeviceStatus => "the device's status",
        AlertCause::Ingest => "the service's own intake",
        AlertCause::Grouping => "grouped with another alert",
        AlertCause::Restored => "rebuilt from the database",
        AlertCause::Erased => "the patient was erased",
    }
}

/// A vital as it heads a column.
pub(super) const fn short(vital: Vital) -> &'static str {
    match vital {
        Vital::HeartRate => "HR",
        Vital::PulseRate => "PR",
        Vital::Spo2 => "SpO2",
        Vital::RespiratoryRate => "RR",
        Vital::SystolicPressure => "SBP",
        Vital::DiastolicPressure => "DBP",
        Vital::MeanPressure => "MAP",
        Vital::BodyTemperature => "Temp",
        Vital::SkinTemperature => "Tskin",
        Vital::BloodGlucose => "Gluc",
        Vital::Weight => "Wt",
        Vital::PerfusionIndex => "PI",
        Vital::OxygenFlow => "O2",
        Vital::Consciousness => "ACVPU",
        Vital::Steps => "Steps",
    }
}

/// A vital's name in plain words; empty if there is none.
pub(super) fn vital(number: i32) -> String {
    Vital::from_number(number).map(|vital| vital.name().replace('_', " ")).unwrap_or_default()
}

/// A level of consciousness.
pub(super) fn consciousness(number: i32) -> &'static str {
    match Acvpu::from_number(number) {
        Some(Acvpu::Alert) => "alert",
        Some(Acvpu::Confusion) => "confusion",
        Some(Acvpu::Voice) => "voice",
        Some(Acvpu::Pain) => "pain",
        Some(Acvpu::Unresponsive) => "unresponsive",
        None => "?",
    }
}

/// Why there is no value.
pub(super) fn absent(number: i32) -> &'static str {
    match AbsentReason::from_number(number) {
        Some(AbsentReason::SensorOff) => "sensor off",
        Some(AbsentReason::NotANumber) => "not computed",
        Some(AbsentReason::Error) => "device fault",
        Some(AbsentReason::Artefact) => "artefact",
        Some(AbsentReason::Unknown) | None => "no value",
    }
}

/// A unit as people write it; its UCUM code where that is the same.
pub(super) fn unit(ucum: &str) -> &str {
    match ucum {
        "mm[Hg]" => "mmHg",
        "Cel" => "°C",
        "1" => "",
        other => other,
    }
}

/// `spo2-low of patient-02`; alerts of equipment are of what they are about.
pub(super) fn subject(alert: &v1::Alert) -> String {
    format!("{} of {}", alert.rule_id, whose(alert))
}

/// The patient, else the device, else the service itself.
pub(super) fn whose(alert: &v1::Alert) -> &str {
    let names = [alert.patient_id.as_str(), alert.device_id.as_str()];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or("the service")
}

/// What else is to be known about an alert.
pub(super) fn remarks(alert: &v1::Alert) -> Vec<&'static str> {
    let all = [
        (alert.kind() == AlertKind::Technical, "technical"),
        (alert.condition() != ConditionState::Active, condition(alert.condition())),
        (alert.delayed, "delayed"),
        (alert.unconfirmed, "unconfirmed"),
        (alert.retrospective, "retrospective"),
        (alert.escalation_level > 0, "passed on"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words).collect()
}

/// A time on the wire, if it is one.
pub(super) fn timestamp(wire: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    wire.and_then(crate::grpc::timestamp)
}

/// The time of day in UTC, such as `12:04:31Z`.
pub(super) fn time_of_day(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('T') {
        Some((_, clock)) => format!("{}Z", clock.get(..8).unwrap_or(clock)),
        None => text,
    }
}

/// The time with its date, such as `2026-01-31 12:04:31Z`.
pub(super) fn date_and_time(time: Timestamp) -> String {
    let text = time.to_string();
    let date = text.split_once('T').map_or("", |(date, _)| date);
    format!("{date} {}", time_of_day(time))
}

/// A span as people say it, in one unit: `12 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        seconds @ HOUR..DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_differ_by_shape_and_by_word() {
        let all = [Priority::High, Priority::Medium, Priority::Low];
        assert_eq!(all.map(mark), ["!!!", "!!", "!"]);
        assert_eq!(all.map(priority), ["HIGH", "MEDIUM", "LOW"]);
    }

    #[test]
    fn spans_are_said_in_one_unit_and_never_too_long() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_secs(3 * DAY)), "3 d");
    }

    #[test]
    fn a_time_of_day_is_whole_seconds_in_utc() {
        let time: Timestamp = "2026-01-31T08:15:00.25Z".parse().expect("a time");
        assert_eq!(time_of_day(time), "08:15:00Z");
        assert_eq!(date_and_time(time), "2026-01-31 08:15:00Z");
    }

    #[test]
    fn an_alert_of_equipment_is_of_its_device_or_of_the_service() {
        let alert = |patient: &str, device: &str| v1::Alert {
            patient_id: patient.to_owned(),
            device_id: device.to_owned(),
            ..v1::Alert::default()
        };
        assert_eq!(whose(&alert("p-1", "d-1")), "p-1");
        assert_eq!(whose(&alert("", "gateway-1")), "gateway-1");
        assert_eq!(whose(&alert("", "")), "the service");
    }
}
