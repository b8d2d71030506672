//! Alerts and their events, from their rows.

use crate::clock::Timestamp;
use crate::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use crate::engine::profile::Scope;
use crate::store::blob;
use crate::store::ledger::{Cells, LedgerError, Type, joined};
use crate::store::restore::rows::scope;
use crate::vitals::{DeviceId, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, Vital};

/// The columns of an alert, of `alerts a` and `patients p`, in the order of [`ALERT`]. The argument
/// says where its site is to be found.
macro_rules! alert_columns {
    ($site:literal) => {
        concat!(
            "a.alert_id, a.kind, CAST(a.patient_key AS bigint), p.patient_id, ",
            $site,
            ", a.rule_id, a.onset, a.raised_at, a.retrospective, CAST(a.risen_in AS bigint),
            a.device_id, CAST(a.rule_version AS bigint), a.scope, CAST(a.scope_key AS bigint),
            CAST(a.vital AS bigint), a.limit_value, a.priority, a.condition, a.signal,
            a.paused_until, a.delayed, a.unconfirmed, CAST(a.escalation_level AS bigint),
            a.assignee, CAST(a.covered AS bigint), CAST(a.score AS text), a.ended_at,
            CAST(a.revision AS bigint)"
        )
    };
}
pub(in crate::store) use alert_columns;

/// What an event may change of an alert: the last columns of either.
const CHANGING: [Type; 18] = [
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Real,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Time,
    Type::Bool,
    Type::Bool,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Time,
    Type::Int,
];

/// What an alert keeps all its life, and then what each event may change.
pub(in crate::store) const ALERT: &[Type] = &joined::<28>(
    &[
        Type::Uuid,
        Type::Text,
        Type::Int,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Time,
        Type::Time,
        Type::Bool,
        Type::Int,
    ],
    &CHANGING,
);

/// The columns of an event, of `alert_events e`, in the order of [`EVENT`].
pub(super) const EVENT_COLUMNS: &str = "e.phase, e.determined_at, e.cause,
    CAST(e.readings AS text), e.actor, e.note, e.priority_before,
    e.device_id, CAST(e.rule_version AS bigint), e.scope, CAST(e.scope_key AS bigint),
    CAST(e.vital AS bigint), e.limit_value, e.priority, e.condition, e.signal,
    e.paused_until, e.delayed, e.unconfirmed, CAST(e.escalation_level AS bigint),
    e.assignee, CAST(e.covered AS bigint), CAST(e.score AS text), e.ended_at,
    CAST(e.revision AS bigint)";

/// What happened, and then what it made of the alert.
pub(super) const EVENT: &[Type] = &joined::<25>(
    &[Type::Text, Type::Time, Type::Text, Type::Text, Type::Text, Type::Text, Type::Text],
    &CHANGING,
);

/// What an alert keeps all its life.
struct Fixed {
    id: AlertId,
    kind: AlertKind,
    patient_key: Option<PatientKey>,
    patient: Option<PatientId>,
    site: Option<SiteId>,
    rule: RuleId,
    onset: Timestamp,
    raised_at: Timestamp,
    retrospective: bool,
    risen_in: u32,
}

impl Fixed {
    fn of(alert: &Alert) -> Self {
        Self {
            id: alert.id,
            kind: alert.kind,
            patient_key: alert.patient_key,
            patient: alert.patient.clone(),
            site: alert.site.clone(),
            rule: alert.rule.clone(),
            onset: alert.onset,
            raised_at: alert.raised_at,
            retrospective: alert.retrospective,
            risen_in: alert.risen_in,
        }
    }
}

/// An alert, cell by cell.
pub(in crate::store) fn alert(row: &mut Cells) -> Result<Alert, LedgerError> {
    let fixed = Fixed {
        id: AlertId(row.uuid()?),
        kind: row.word("a kind", kind)?,
        patient_key: row.key_or_null()?.map(PatientKey),
        patient: row.word_or_null("an id", |id| PatientId::new(id).ok())?,
        site: row.word_or_null("an id", |id| SiteId::new(id).ok())?,
        rule: row.word("a rule's id", rule)?,
        onset: row.time()?,
        raised_at: row.time()?,
        retrospective: row.flag()?,
        risen_in: row.key()?,
    };
    standing(row, fixed)
}

/// An event of `alert`, cell by cell.
pub(super) fn event(row: &mut Cells, alert: &Alert) -> Result<AlertEvent, LedgerError> {
    let phase = row.word("a phase", phase)?;
    let determined_at = row.time()?;
    let (cause, readings) = (row.text()?, row.text_or_null()?);
    let trigger = trigger(&cause, readings.as_deref()).ok_or_else(|| row.wrong("a cause"))?;
    Ok(AlertEvent {
        phase,
        determined_at,
        trigger,
        actor: row.text_or_null()?,
        note: row.text_or_null()?,
        priority_before: row.word_or_null("a priority", Priority::from_name)?,
        alert: standing(row, Fixed::of(alert))?,
    })
}

/// What may change from event to event, cell by cell.
fn standing(row: &mut Cells, fixed: Fixed) -> Result<Alert, LedgerError> {
    let Fixed { id, kind, patient_key, patient, site, rule, onset, raised_at, .. } = fixed;
    Ok(Alert {
        id,
        kind,
        patient,
        patient_key,
        site,
        rule,
        onset,
        raised_at,
        retrospective: fixed.retrospective,
        risen_in: fixed.risen_in,
        device: row.word_or_null("an id", device)?,
        rule_version: row.key()?,
        scope: read_scope(row)?,
        vital: row.int_or_null()?.and_then(vital),
        limit: row.real_or_null()?.and_then(Quantity::from_f64),
        priority: row.word("a priority", Priority::from_name)?,
        condition: row.word("a condition", condition)?,
        signal: read_signal(row)?,
        delayed: row.flag()?,
        unconfirmed: row.flag()?,
        escalation_level: row.number()?,
        assignee: row.text_or_null()?,
        covered: row.key()?,
        score: row.word_or_null("a score", |text| blob::decode(text).ok().map(Box::new))?,
        ended_at: row.time_or_null()?,
        revision: row.key()?,
    })
}

pub(super) fn read_scope(row: &mut Cells) -> Result<Scope, LedgerError> {
    let (kind, key) = (row.text()?, row.key()?);
    scope(&kind, key).ok_or_else(|| row.wrong("a scope"))
}

fn read_signal(row: &mut Cells) -> Result<Signal, LedgerError> {
    let (name, paused_until) = (row.text()?, row.time_or_null()?);
    let signal = match (&*name, paused_until) {
        ("off", None) => Some(Signal::Off),
        ("on", None) => Some(Signal::On),
        ("acknowledged", None) => Some(Signal::Acknowledged),
        ("latched", None) => Some(Signal::Latched),
        ("paused", Some(until)) => Some(Signal::Paused { until }),
        _ => None,
    };
    signal.ok_or_else(|| row.wrong("a signal"))
}

/// What people measure by hand has the one id that no device may have.
fn device(id: &str) -> Option<DeviceId> {
    if id == DeviceId::BY_HAND { Some(DeviceId::by_hand()) } else { DeviceId::new(id).ok() }
}

/// The service's own rules have ids that no profile's may have.
pub(super) fn rule(id: &str) -> Option<RuleId> {
    RuleId::new(id).ok()
}

pub(super) fn vital(number: i64) -> Option<Vital> {
    i32::try_from(number).ok().and_then(Vital::from_number)
}

pub(super) fn kind(name: &str) -> Option<AlertKind> {
    match name {
        "physiological" => Some(AlertKind::Physiological),
        "technical" => Some(AlertKind::Technical),
        _ => None,
    }
}

fn condition(name: &str) -> Option<Condition> {
    match name {
        "active" => Some(Condition::Active),
        "inactive" => Some(Condition::Inactive),
        "indeterminate" => Some(Condition::Indeterminate),
        _ => None,
    }
}

fn phase(name: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.name() == name)
}

/// What decided an event. The readings stand beside the name.
fn trigger(name: &str, readings: Option<&str>) -> Option<Trigger> {
    if let Some(readings) = readings {
        return blob::decode(readings).ok().map(Trigger::Readings);
    }
    Trigger::ALL.into_iter().find(|trigger| trigger.name() == name)
}
