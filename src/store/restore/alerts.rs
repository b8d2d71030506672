//! Alerts that are not over, from their rows.

use super::Take;
use super::rows::scope;
use crate::engine::alerts::{Alert, AlertId, AlertKind, Condition, Signal};
use crate::engine::profile::Scope;
use crate::engine::restore::AlertStanding;
use crate::store::blob;
use crate::store::ledger::{Cells, Ledger, LedgerError, Query, Type};
use crate::vitals::{DeviceId, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, Vital};

/// In the order in which they were raised. The highest priority that one has reached stands in its
/// events: it may have fallen since.
pub(super) fn open_alerts(
    ledger: &mut dyn Ledger,
    take: Take<'_, AlertStanding>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT a.alert_id, a.kind, CAST(a.patient_key AS bigint), p.patient_id, a.site_id,
                     a.device_id, a.rule_id, CAST(a.rule_version AS bigint), a.scope,
                     CAST(a.scope_key AS bigint), CAST(a.vital AS bigint), a.limit_value,
                     CAST(a.score AS text), a.priority, a.condition, a.signal, a.paused_until,
                     a.onset, a.raised_at, a.ended_at, a.delayed, a.unconfirmed,
                     CAST(a.escalation_level AS bigint), a.assignee, CAST(a.covered AS bigint),
                     CAST(a.revision AS bigint), CAST(a.risen_in AS bigint),
                     (SELECT CAST(max(CASE e.priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2
                                                      ELSE 1 END) AS bigint)
                      FROM @alert_events e WHERE e.alert_id = a.alert_id)
              FROM @alerts a LEFT JOIN @patients p ON p.patient_key = a.patient_key
              WHERE NOT a.is_over AND NOT a.retrospective
              ORDER BY a.raised_at, a.alert_id",
        types: ALERT,
        values: Vec::new(),
    };
    ledger.read(&query, &mut |mut row| take(standing(&mut row)?))
}

const ALERT: &[Type] = &[
    Type::Uuid,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Real,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Time,
    Type::Time,
    Type::Time,
    Type::Time,
    Type::Bool,
    Type::Bool,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
];

/// Cell by cell, in the order of the statement.
fn standing(row: &mut Cells) -> Result<AlertStanding, LedgerError> {
    let alert = Alert {
        id: AlertId(row.uuid()?),
        kind: row.word("a kind", kind)?,
        patient_key: row.key_or_null()?.map(PatientKey),
        patient: row.word_or_null("an id", |id| PatientId::new(id).ok())?,
        site: row.word_or_null("an id", |id| SiteId::new(id).ok())?,
        device: row.word_or_null("an id", device)?,
        rule: row.word("a rule's id", rule)?,
        rule_version: row.key()?,
        scope: read_scope(row)?,
        vital: row.int_or_null()?.and_then(vital),
        limit: row.real_or_null()?.and_then(Quantity::from_f64),
        score: row.word_or_null("a score", |text| blob::decode(text).ok().map(Box::new))?,
        priority: row.word("a priority", Priority::from_name)?,
        condition: row.word("a condition", condition)?,
        signal: read_signal(row)?,
        onset: row.time()?,
        raised_at: row.time()?,
        ended_at: row.time_or_null()?,
        retrospective: false,
        delayed: row.flag()?,
        unconfirmed: row.flag()?,
        escalation_level: row.number()?,
        assignee: row.text_or_null()?,
        covered: row.key()?,
        revision: row.key()?,
        risen_in: row.key()?,
    };
    let highest = match row.int_or_null()? {
        Some(3) => Priority::High,
        Some(2) => Priority::Medium,
        _ => alert.priority,
    };
    Ok(AlertStanding { highest: highest.max(alert.priority), alert })
}

fn read_scope(row: &mut Cells) -> Result<Scope, LedgerError> {
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
fn rule(id: &str) -> Option<RuleId> {
    RuleId::new(id).ok()
}

fn vital(number: i64) -> Option<Vital> {
    i32::try_from(number).ok().and_then(Vital::from_number)
}

fn kind(name: &str) -> Option<AlertKind> {
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
