//! Alerts, their events, and how patients are watched, as rows.
//!
//! The row of an alert is the alert after its last event; the row of an event is what it made of
//! the alert, so that an alert's story can be told from its events alone.

use super::{
    Cell, Identity, Origin, Row, Statement, Table, int, json, origin_cells, real, scope_cells,
    text, text_or_null, time_or_null,
};
use crate::engine::alerts::{Alert, AlertEvent, AlertKind, Condition, Phase, Signal, Trigger};
use crate::engine::output::MonitoringChange;

pub(in crate::store) static ALERT_EVENTS: Table = Table {
    name: "alert_events",
    columns: &[
        "journal_id",
        "partition",
        "position",
        "output_index",
        "alert_id",
        "phase",
        "determined_at",
        "cause",
        "readings",
        "actor",
        "note",
        "priority_before",
        "device_id",
        "rule_version",
        "scope",
        "scope_key",
        "vital",
        "limit_value",
        "priority",
        "condition",
        "signal",
        "paused_until",
        "delayed",
        "unconfirmed",
        "escalation_level",
        "assignee",
        "covered",
        "score",
        "ended_at",
        "is_over",
        "revision",
    ],
    key: 0,
};

pub(super) const ALERTS: Table = Table {
    name: "alerts",
    columns: &[
        "alert_id",
        "kind",
        "patient_key",
        "site_id",
        "rule_id",
        "onset",
        "raised_at",
        "retrospective",
        "device_id",
        "rule_version",
        "scope",
        "scope_key",
        "vital",
        "limit_value",
        "priority",
        "condition",
        "signal",
        "paused_until",
        "delayed",
        "unconfirmed",
        "escalation_level",
        "assignee",
        "covered",
        "score",
        "ended_at",
        "is_over",
        "revision",
        "risen_in",
    ],
    key: 1,
};

/// Notes how an alert was answered, and how far it went; what is null changes nothing. What came
/// first stays, and so does the highest priority. Columns of their own, that no overwriting of the
/// alert's row touches, because an alert does not remember them.
pub(in crate::store) static ANSWER: Statement = Statement {
    table: "alerts",
    columns: &[
        "alert_id",
        "priority_reached",
        "acknowledged_at",
        "paused_at",
        "condition_ended_at",
        "raised_paused",
    ],
    sql: "UPDATE {schema}alerts SET
              priority_reached = CASE WHEN coalesce(priority_reached, 0) < $2 THEN $2
                                      ELSE priority_reached END,
              acknowledged_at = coalesce(acknowledged_at, $3),
              paused_at = coalesce(paused_at, $4),
              condition_ended_at = coalesce(condition_ended_at, $5),
              raised_paused = coalesce(raised_paused, $6)
          WHERE alert_id = $1",
};

pub(super) const MONITORING: Table =
    Table { name: "patient_monitoring", columns: &["patient_key", "state", "since"], key: 1 };

/// The row of an alert as it stands.
pub(in crate::store) fn alert(alert: &Alert) -> (Identity, Row) {
    let mut cells = vec![
        Cell::Uuid(alert.id.0),
        text(kind_name(alert.kind)),
        alert.patient_key.map_or(Cell::Null, |key| int(key.0)),
        text_or_null(alert.site.as_ref().map(|site| site.as_str())),
        text(alert.rule.as_str()),
        Cell::Time(alert.onset),
        Cell::Time(alert.raised_at),
        Cell::Bool(alert.retrospective),
    ];
    cells.extend(standing(alert));
    cells.push(int(alert.risen_in));
    (Identity::Alert(alert.id), cells)
}

/// The row of an event of an alert.
pub(in crate::store) fn alert_event(origin: Origin, event: &AlertEvent) -> Row {
    let readings = match &event.trigger {
        Trigger::Readings(readings) => json(readings),
        _ => Cell::Null,
    };
    let mut cells = Row::from(origin_cells(origin));
    cells.extend([
        Cell::Uuid(event.alert.id.0),
        text(event.phase.name()),
        Cell::Time(event.determined_at),
        text(event.trigger.name()),
        readings,
        text_or_null(event.actor.as_deref()),
        text_or_null(event.note.as_deref()),
        text_or_null(event.priority_before.map(|before| before.name())),
    ]);
    cells.extend(standing(&event.alert));
    cells
}

/// The cells of [`ANSWER`], if an event tells anything of it.
pub(in crate::store) fn answer(event: &AlertEvent) -> Option<Row> {
    let (phase, alert) = (event.phase, &event.alert);
    let tells = [Phase::Start, Phase::Escalate, Phase::Acknowledge, Phase::Pause, Phase::End];
    if !tells.contains(&phase) {
        return None;
    }
    let at = |told| time_or_null((phase == told).then_some(event.determined_at));
    let raised_paused = match phase {
        Phase::Start => Cell::Bool(matches!(alert.signal, Signal::Paused { .. })),
        _ => Cell::Null,
    };
    Some(vec![
        Cell::Uuid(alert.id.0),
        Cell::Int(alert.priority as i64),
        at(Phase::Acknowledge),
        at(Phase::Pause),
        at(Phase::End),
        raised_paused,
    ])
}

/// What may change from event to event: the columns of both tables from `device_id` to `revision`.
fn standing(alert: &Alert) -> impl Iterator<Item = Cell> {
    let paused_until = match alert.signal {
        Signal::Paused { until } => Some(until),
        _ => None,
    };
    let rule = [
        text_or_null(alert.device.as_ref().map(|device| device.as_str())),
        int(alert.rule_version),
    ];
    let state = [
        alert.vital.map_or(Cell::Null, |vital| Cell::Int(i64::from(vital.number()))),
        alert.limit.map_or(Cell::Null, real),
        text(alert.priority.name()),
        text(condition_name(alert.condition)),
        text(signal_name(alert.signal)),
        time_or_null(paused_until),
        Cell::Bool(alert.delayed),
        Cell::Bool(alert.unconfirmed),
        Cell::Int(i64::from(alert.escalation_level)),
        text_or_null(alert.assignee.as_deref()),
        int(alert.covered),
        alert.score.as_deref().map_or(Cell::Null, json),
        time_or_null(alert.ended_at),
        Cell::Bool(alert.is_over()),
        int(alert.revision),
    ];
    rule.into_iter().chain(scope_cells(alert.scope)).chain(state)
}

/// The row of how a patient is watched.
pub(in crate::store) fn monitoring(change: &MonitoringChange) -> (Identity, Row) {
    let cells =
        vec![int(change.patient_key.0), text(change.state.name()), Cell::Time(change.since)];
    (Identity::Monitoring(change.patient_key), cells)
}

const fn kind_name(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Physiological => "physiological",
        AlertKind::Technical => "technical",
    }
}

const fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::Active => "active",
        Condition::Inactive => "inactive",
        Condition::Indeterminate => "indeterminate",
    }
}

const fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Off => "off",
        Signal::On => "on",
        Signal::Acknowledged => "acknowledged",
        Signal::Paused { .. } => "paused",
        Signal::Latched => "latched",
    }
}
