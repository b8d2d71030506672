//! One alert with its story: its events, the readings that decided them, and the rule as it was
//! when the alert was raised.
//!
//! Promises: it is as the store stood when the alert was read, for no row of it ever changes but the
//! alert's own; what was raised later is left out. Events are bounded: of a longer story the first
//! one and the latest are told, and that some are left out.

use std::collections::BTreeSet;

use super::read::{EVENT, EVENT_COLUMNS, event};
use super::{ALERT, Select, alert, alert_columns, tables, visible};
use crate::clock::Timestamp;
use crate::engine::alerts::{Alert, AlertEvent, AlertId, Trigger};
use crate::engine::input::Sites;
use crate::engine::profile::{Profile, RESERVED_ID_PREFIX, Rule, Scope};
use crate::store::audit::Statement;
use crate::store::blob;
use crate::store::history::{
    HistoryError, READING, RawReading, StoredReading, read_all, unavailable,
};
use crate::store::ledger::{Cells, LedgerError, Type};
use crate::store::row::{Cell, scope_cells};
use crate::vitals::{PatientKey, Vital};

/// Events of one story: with notes of the greatest length they stay below 4 MiB.
pub const EVENTS_MAX: u32 = 1_000;
/// Readings of one story: the latest that decided something.
pub const READINGS_MAX: u32 = 1_000;

/// An alert with its story.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStory {
    /// As it stands.
    pub alert: Alert,
    /// What happened to it, in order; at most [`EVENTS_MAX`].
    pub events: Vec<AlertEvent>,
    /// The readings that decided it, in measured order; at most [`READINGS_MAX`].
    pub readings: Vec<StoredReading>,
    /// The rule that raised it; `None` for the service's own, and where its profile is not stored.
    pub rule: Option<Provenance>,
}

impl AlertStory {
    /// Whether no event is left out: each makes the alert's revision one more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        usize::try_from(self.alert.revision).is_ok_and(|revision| revision == self.events.len())
    }
}

/// A rule as it was in force once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The rule.
    pub rule: Rule,
    /// Whose it was.
    pub scope: Scope,
    /// The version of that owner's profile.
    pub version: u32,
}

/// The story of an alert; `None` if there is none, or not for who may see `sites`.
pub(in crate::store) async fn tell<D: Select>(
    database: &D,
    id: AlertId,
    sites: &Sites,
) -> Result<Option<AlertStory>, HistoryError> {
    let mut rows = database.select(alert_statement::<D>(id, sites), ALERT).await?;
    let Some(mut row) = rows.pop() else { return Ok(None) };
    let alert = alert(&mut row).map_err(senseless)?;
    let rows = database.select(events_statement::<D>(&alert), EVENT).await?;
    let events = rows.into_iter().map(|mut row| event(&mut row, &alert)).collect::<Result<_, _>>();
    let events: Vec<AlertEvent> = events.map_err(senseless)?;
    let readings = readings(database, &alert, &events).await?;
    let raised = events.first().map_or(&alert, |start| &start.alert);
    let rule = rule(database, raised).await?;
    Ok(Some(AlertStory { alert, events, readings, rule }))
}

fn senseless(error: LedgerError) -> HistoryError {
    unavailable(error.to_string())
}

fn alert_statement<D: Select>(id: AlertId, sites: &Sites) -> Statement {
    let mut statement = Statement::new(D::MARK);
    let id = statement.value(Cell::Uuid(id.0));
    let visible = visible(sites, D::PREFIX, &mut statement).join(" AND ");
    let (columns, tables) = (alert_columns!("coalesce(s.site_id, a.site_id)"), tables(D::PREFIX));
    statement.sql = format!("SELECT {columns} FROM {tables} WHERE a.alert_id = {id} AND {visible}");
    statement
}

/// The first event and the latest ones, up to the alert as it was read.
fn events_statement<D: Select>(alert: &Alert) -> Statement {
    let mut statement = Statement::new(D::MARK);
    let id = statement.value(Cell::Uuid(alert.id.0));
    let revision = statement.value(Cell::Int(alert.revision.into()));
    let latest = statement.value(Cell::Int(i64::from(EVENTS_MAX) - 1));
    let prefix = D::PREFIX;
    let latest_first = "e.revision DESC, e.position DESC, e.output_index DESC";
    statement.sql = format!(
        "WITH told AS (
            SELECT * FROM (
                SELECT e.* FROM {prefix}alert_events e
                WHERE e.alert_id = {id} AND e.revision > 1 AND e.revision <= {revision}
                ORDER BY {latest_first} LIMIT {latest}) l
            UNION ALL
            SELECT e.* FROM {prefix}alert_events e WHERE e.alert_id = {id} AND e.revision = 1)
         SELECT {EVENT_COLUMNS} FROM told e ORDER BY e.revision, e.position, e.output_index"
    );
    statement
}

/// The readings that decided events: the latest, in measured order.
async fn readings<D: Select>(
    database: &D,
    alert: &Alert,
    events: &[AlertEvent],
) -> Result<Vec<StoredReading>, HistoryError> {
    let decided: BTreeSet<(Timestamp, Vital)> = events
        .iter()
        .filter_map(|event| match &event.trigger {
            Trigger::Readings(readings) => Some(readings),
            _ => None,
        })
        .flatten()
        .map(|reading| (reading.measured_at, reading.vital))
        .collect();
    let left_out = decided.len().saturating_sub(READINGS_MAX as usize);
    let decided: Vec<_> = decided.into_iter().skip(left_out).collect();
    let (Some(patient), false) = (alert.patient_key, decided.is_empty()) else {
        return Ok(Vec::new());
    };
    let rows = database.select(readings_statement::<D>(patient, &decided), READING).await?;
    let rows = rows.into_iter().map(RawReading::from_cells).collect::<Result<Vec<_>, _>>();
    read_all(&rows.map_err(senseless)?)
}

/// The index of readings is by patient, vital and time; the span keeps away from old partitions.
fn readings_statement<D: Select>(patient: PatientKey, decided: &[(Timestamp, Vital)]) -> Statement {
    let mut statement = Statement::new(D::MARK);
    let patient = statement.value(Cell::Int(patient.0.cast_signed().into()));
    let wanted = decided.iter().map(|(measured_at, vital)| {
        let vital = statement.value(Cell::Int(vital.number().into()));
        let measured_at = statement.value(Cell::Time(*measured_at));
        format!("(CAST({vital} AS smallint), CAST({measured_at} AS timestamptz))")
    });
    let wanted = wanted.collect::<Vec<_>>().join(", ");
    let (first, last) = (decided.first(), decided.last());
    let mut time = |end: Option<&(Timestamp, Vital)>| {
        statement.value(Cell::Time(end.map_or(Timestamp::MIN, |(measured_at, _)| *measured_at)))
    };
    let (from, until) = (time(first), time(last));
    let limit = statement.value(Cell::Int(READINGS_MAX.into()));
    let prefix = D::PREFIX;
    statement.sql = format!(
        "WITH decided (vital, measured_at) AS (VALUES {wanted})
         SELECT r.measured_at, r.received_at, r.stored_at, r.value,
                CAST(r.device_key AS bigint), CAST(r.quality AS bigint),
                CAST(r.vital AS bigint), CAST(r.absent AS bigint), r.original_value,
                r.original_unit, r.interval_us, r.measurement_id, d.device_id
         FROM decided
         JOIN {prefix}readings r ON r.patient_key = {patient} AND r.vital = decided.vital
             AND r.measured_at = decided.measured_at
         LEFT JOIN {prefix}devices d ON d.device_key = r.device_key
         WHERE r.measured_at >= {from} AND r.measured_at <= {until}
         ORDER BY r.measured_at, r.vital, r.device_key, r.received_at LIMIT {limit}"
    );
    statement
}

/// The rule by which an alert was raised, from the version of the profile that it names.
async fn rule<D: Select>(database: &D, raised: &Alert) -> Result<Option<Provenance>, HistoryError> {
    if raised.rule.as_str().starts_with(RESERVED_ID_PREFIX) {
        return Ok(None);
    }
    let mut statement = Statement::new(D::MARK);
    let [kind, key] = scope_cells(raised.scope).map(|cell| statement.value(cell));
    let version = statement.value(Cell::Int(raised.rule_version.cast_signed().into()));
    statement.sql = format!(
        "SELECT CAST(profile AS text) FROM {}profiles
         WHERE scope = {kind} AND scope_key = {key} AND version = {version}",
        D::PREFIX
    );
    let mut rows = database.select(statement, &[Type::Text]).await?;
    let Some(mut row) = rows.pop() else { return Ok(None) };
    let profile = read_profile(&mut row).map_err(senseless)?;
    let rule = profile.rules.into_iter().find(|rule| rule.id == raised.rule);
    let (scope, version) = (raised.scope, raised.rule_version);
    Ok(rule.map(|rule| Provenance { rule, scope, version }))
}

fn read_profile(row: &mut Cells) -> Result<Profile, LedgerError> {
    row.word("a profile", |text| blob::decode(text).ok())
}
