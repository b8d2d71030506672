//! Alerts of every kind, and what happens to them.

use super::*;

pub(super) fn tachycardia() -> Alert {
    Alert {
        id: AlertId(Uuid::from_u128(0x0123_4567_89ab_5def_8123_4567_89ab_cdef)),
        kind: AlertKind::Physiological,
        patient: Some(patient()),
        patient_key: Some(PatientKey(3)),
        site: Some(site()),
        device: Some(device()),
        rule: RuleId::new("hr-high").expect("an id"),
        rule_version: 2,
        scope: Scope::Site(SiteKey(1)),
        vital: Some(Vital::HeartRate),
        limit: Some(Quantity::whole(130)),
        score: None,
        priority: Priority::High,
        condition: Condition::Active,
        signal: Signal::On,
        onset: at(-20),
        raised_at: at(-1),
        ended_at: None,
        retrospective: false,
        delayed: true,
        unconfirmed: true,
        escalation_level: 2,
        assignee: Some("nurse@example.org".to_owned()),
        covered: 0,
        revision: 4,
        risen_in: 3,
    }
}

pub(super) fn latched() -> Alert {
    let (condition, signal) = (Condition::Inactive, Signal::Latched);
    Alert { condition, signal, ended_at: Some(at(0)), ..tachycardia() }
}

pub(super) fn over() -> Alert {
    Alert { signal: Signal::Off, ..latched() }
}

/// An alert of a score.
pub(super) fn deteriorating() -> Alert {
    let summary = ScoreSummary {
        total: 5,
        risk: Risk::Medium,
        parameters: vec![(Vital::Spo2, 3, at(-9)), (Vital::HeartRate, 2, at(-5))],
        missing: vec![Vital::Consciousness],
        age_unknown: true,
        pregnancy_unknown: true,
    };
    Alert {
        device: None,
        vital: None,
        limit: Some(Quantity::whole(5)),
        score: Some(Box::new(summary)),
        condition: Condition::Indeterminate,
        signal: Signal::Acknowledged,
        scope: Scope::Patient(PatientKey(3)),
        ..tachycardia()
    }
}

/// An alert of the service itself.
pub(super) fn outage() -> Alert {
    Alert {
        kind: AlertKind::Technical,
        patient: None,
        patient_key: None,
        site: None,
        device: None,
        rule: RuleId::new("pulseward.ingest").expect("an id"),
        rule_version: 0,
        scope: Scope::Default,
        vital: None,
        limit: None,
        signal: Signal::Paused { until: at(600) },
        covered: 200,
        ..tachycardia()
    }
}

pub(super) fn told(phase: Phase, trigger: Trigger, alert: Alert) -> Output {
    let by_a_person = matches!(trigger, Trigger::Request);
    Output::Alert(Box::new(AlertEvent {
        phase,
        determined_at: at(0),
        trigger,
        priority_before: (phase != Phase::Start).then_some(Priority::Medium),
        actor: by_a_person.then(|| "nurse@example.org".to_owned()),
        note: by_a_person.then(|| "seen at the bedside".to_owned()),
        alert,
    }))
}

/// Each phase and each trigger at least once.
pub(super) fn alerts() -> Vec<Output> {
    let reading = |vital, value| DecidingReading { measured_at: at(-5), vital, value };
    let by_readings = || {
        Trigger::Readings(vec![
            reading(Vital::HeartRate, Value::Quantity(Quantity::whole(131))),
            reading(Vital::Consciousness, Value::Consciousness(Acvpu::Voice)),
            reading(Vital::Spo2, Value::Absent(AbsentReason::SensorOff)),
        ])
    };
    let late = Alert { retrospective: true, ..over() };
    vec![
        told(Phase::Start, by_readings(), tachycardia()),
        told(Phase::Start, by_readings(), late),
        told(Phase::Start, Trigger::Ingest, outage()),
        told(Phase::Escalate, by_readings(), deteriorating()),
        told(Phase::Deescalate, by_readings(), tachycardia()),
        told(Phase::End, by_readings(), latched()),
        told(Phase::Close, Trigger::Unbound, over()),
        told(Phase::Close, Trigger::EngineChanged, over()),
        told(Phase::Close, Trigger::Erased, over()),
        told(Phase::Update, Trigger::RuleChanged, tachycardia()),
        told(Phase::Update, Trigger::Grouping, outage()),
        told(Phase::Update, Trigger::Restored, tachycardia()),
        told(Phase::Acknowledge, Trigger::Request, deteriorating()),
        told(Phase::Pause, Trigger::Request, outage()),
        told(Phase::Resume, Trigger::Timer, tachycardia()),
        told(Phase::Remind, Trigger::Timer, tachycardia()),
        told(Phase::Indeterminate, Trigger::Transfer, deteriorating()),
        told(Phase::Indeterminate, Trigger::DeviceStatus, deteriorating()),
        told(Phase::Reset, Trigger::Request, over()),
    ]
}
