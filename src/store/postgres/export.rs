//! Everything about one patient from Postgres, in one snapshot.
//!
//! Rows come as the server gives them and as fast as they are taken: the driver holds a few at a
//! time. The snapshot is read only and holds up nobody, but keeps the server from tidying up what
//! changes meanwhile.

use futures_util::TryStreamExt;
use futures_util::pin_mut;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Error, IsolationLevel, Row, Transaction};
use uuid::Uuid;

use super::types::Time;
use super::{Address, Link, bounded, reason};
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::Settings;
use crate::store::export::{Dialect, ExportError, Form, KINDS, Kind, Sink};
use crate::store::row::Cell;
use crate::vitals::{PatientId, PatientKey};

const DIALECT: Dialect = Dialect {
    schema: "pulseward.",
    mark: "$",
    is_about: "e.patients @> to_jsonb($2::text) AND $1::integer IS NOT NULL",
    has_number: "r.content ->> 'patient_key' = $1::integer::text",
};

const FIND: &str = "SELECT patient_key FROM pulseward.patients WHERE patient_id = $1";

const CURSORS: &str =
    "SELECT partition, journal_id, position FROM pulseward.journal_cursor ORDER BY partition";

/// Gives everything held about a patient to `sink`. Not cancel safe.
pub(in crate::store) async fn export(
    config: &Config,
    settings: &Settings,
    patient: &PatientId,
    sink: &mut dyn Sink,
) -> Result<(), ExportError> {
    // No limit of time: a patient may have a hundred million readings.
    let address = Address::new(config, settings, "pulseward export", "-c statement_timeout=0");
    let link = bounded(settings.connect_timeout, Link::to(&address)).await;
    let mut link = link.map_err(|failure| ExportError::Database(failure.reason()))?;
    let snapshot = link.client.build_transaction();
    let snapshot = snapshot.isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await.map_err(|error| failed(&error))?;
    let found = snapshot.query_opt(FIND, &[&patient.as_str()]).await;
    let found = found.map_err(|error| failed(&error))?;
    let found = found.ok_or_else(|| ExportError::UnknownPatient(patient.clone()))?;
    let key: i32 = found.try_get(0).map_err(|error| failed(&error))?;
    let cursors = cursors(&snapshot).await.map_err(|error| failed(&error))?;
    sink.begin(PatientKey(key.cast_unsigned()), &cursors)?;
    for kind in &KINDS {
        rows_of(kind, &snapshot, key, patient, sink).await?;
    }
    Ok(())
}

async fn cursors(snapshot: &Transaction<'_>) -> Result<Vec<Cursor>, Error> {
    let rows = snapshot.query(CURSORS, &[]).await?;
    let cursor = |row: &Row| {
        Ok(Cursor {
            partition: Partition(row.try_get::<_, i16>(0)?.cast_unsigned()),
            journal_id: JournalId(row.try_get::<_, Uuid>(1)?),
            position: Position(row.try_get::<_, i64>(2)?.cast_unsigned()),
        })
    };
    rows.iter().map(cursor).collect()
}

async fn rows_of(
    kind: &Kind,
    snapshot: &Transaction<'_>,
    key: i32,
    patient: &PatientId,
    sink: &mut dyn Sink,
) -> Result<(), ExportError> {
    let id = patient.as_str();
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&key];
    if kind.needs_id() {
        values.push(&id);
    }
    let rows = snapshot.query_raw(&kind.sql(DIALECT), values).await;
    let rows = rows.map_err(|error| failed(&error))?;
    pin_mut!(rows);
    while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
        let cells = cells(kind, &row).map_err(|error| failed(&error))?;
        sink.row(kind.name, &kind.object(&cells))?;
    }
    Ok(())
}

fn cells(kind: &Kind, row: &Row) -> Result<Vec<Cell>, Error> {
    let read = |(index, form)| {
        let cell = match form {
            Form::Text => row.try_get::<_, Option<_>>(index)?.map(Cell::Text),
            Form::Json => row.try_get::<_, Option<_>>(index)?.map(Cell::Json),
            Form::Int => row.try_get::<_, Option<_>>(index)?.map(Cell::Int),
            Form::Real => row.try_get::<_, Option<_>>(index)?.map(Cell::Real),
            Form::Bool => row.try_get::<_, Option<_>>(index)?.map(Cell::Bool),
            Form::Time => row.try_get::<_, Option<Time>>(index)?.map(|time| Cell::Time(time.0)),
            Form::Bytes => {
                row.try_get::<_, Option<Vec<u8>>>(index)?.map(|bytes| Cell::Bytes(bytes.into()))
            }
        };
        Ok(cell.unwrap_or(Cell::Null))
    };
    kind.columns.iter().map(|column| column.form).enumerate().map(read).collect()
}

fn failed(error: &Error) -> ExportError {
    ExportError::Database(reason(error))
}
