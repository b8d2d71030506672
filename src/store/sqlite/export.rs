//! Everything about one patient from SQLite, in one read transaction. The writer goes on meanwhile;
//! its log can't be tidied up until the export is done.

use std::path::Path;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use uuid::Uuid;

use super::query::{connect, time};
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::export::{Dialect, ExportError, Form, KINDS, Kind, Sink};
use crate::store::row::Cell;
use crate::vitals::{PatientId, PatientKey};

const DIALECT: Dialect = Dialect {
    schema: "",
    mark: "?",
    is_about: "?1 IS NOT NULL AND (e.patients ->> 0 = ?2
               OR (json_array_length(e.patients) > 1
                   AND EXISTS (SELECT 1 FROM json_each(e.patients) p WHERE p.value = ?2)))",
    has_number: "r.content ->> 'patient_key' = ?1",
};

const FIND: &str = "SELECT patient_key FROM patients WHERE patient_id = ?1";

const CURSORS: &str =
    "SELECT partition, journal_id, position FROM journal_cursor ORDER BY partition";

/// Gives everything held about a patient to `sink`. Blocks the thread it runs on.
pub(in crate::store) fn export(
    path: &Path,
    patient: &PatientId,
    sink: &mut dyn Sink,
) -> Result<(), ExportError> {
    let mut connection = connect(path).map_err(|error| failed(&error))?;
    let snapshot = connection.transaction().map_err(|error| failed(&error))?;
    let found = find(&snapshot, patient).map_err(|error| failed(&error))?;
    let key = found.ok_or_else(|| ExportError::UnknownPatient(patient.clone()))?;
    let cursors = cursors(&snapshot).map_err(|error| failed(&error))?;
    sink.begin(PatientKey(key.cast_unsigned()), &cursors)?;
    for kind in &KINDS {
        rows_of(kind, &snapshot, key, patient, sink)?;
    }
    Ok(())
}

fn find(snapshot: &Transaction<'_>, patient: &PatientId) -> rusqlite::Result<Option<i32>> {
    snapshot.query_row(FIND, [patient.as_str()], |row| row.get(0)).optional()
}

fn cursors(snapshot: &Connection) -> rusqlite::Result<Vec<Cursor>> {
    let mut statement = snapshot.prepare(CURSORS)?;
    let rows = statement.query_map([], |row| {
        let journal_id: String = row.get(1)?;
        let journal_id = Uuid::parse_str(&journal_id).unwrap_or_default();
        Ok(Cursor {
            partition: Partition(row.get(0)?),
            journal_id: JournalId(journal_id),
            position: Position(row.get::<_, i64>(2)?.cast_unsigned()),
        })
    })?;
    rows.collect()
}

fn rows_of(
    kind: &Kind,
    snapshot: &Transaction<'_>,
    key: i32,
    patient: &PatientId,
    sink: &mut dyn Sink,
) -> Result<(), ExportError> {
    let id = patient.as_str();
    let mut values: Vec<&dyn ToSql> = vec![&key];
    if kind.needs_id() {
        values.push(&id);
    }
    let mut statement = snapshot.prepare(&kind.sql(DIALECT)).map_err(|error| failed(&error))?;
    let mut rows = statement.query(values.as_slice()).map_err(|error| failed(&error))?;
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        let cells = cells(kind, row).map_err(|error| failed(&error))?;
        sink.row(kind.name, &kind.object(&cells))?;
    }
    Ok(())
}

fn cells(kind: &Kind, row: &Row<'_>) -> rusqlite::Result<Vec<Cell>> {
    let read = |(index, form)| {
        let cell = match form {
            Form::Text => row.get::<_, Option<_>>(index)?.map(Cell::Text),
            Form::Json => row.get::<_, Option<_>>(index)?.map(Cell::Json),
            Form::Int => row.get::<_, Option<_>>(index)?.map(Cell::Int),
            Form::Real => row.get::<_, Option<_>>(index)?.map(Cell::Real),
            Form::Bool => row.get::<_, Option<_>>(index)?.map(Cell::Bool),
            Form::Time => {
                let at = row.get::<_, Option<i64>>(index)?;
                at.map(|at| time(index, at)).transpose()?.map(Cell::Time)
            }
            Form::Bytes => {
                row.get::<_, Option<Vec<u8>>>(index)?.map(|bytes| Cell::Bytes(bytes.into()))
            }
        };
        Ok(cell.unwrap_or(Cell::Null))
    };
    kind.columns.iter().map(|column| column.form).enumerate().map(read).collect()
}

fn failed(error: &rusqlite::Error) -> ExportError {
    ExportError::Database(crate::store::chain(error))
}
