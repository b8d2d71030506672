//! Patients who were erased, as rows: what is to go at once, with the row that tells of it, and
//! what the rest is found by.
//!
//! What goes at once is little: the patient's bindings, profiles and monitoring. The masses are
//! deleted later, piece by piece.

use super::{
    Cell, Origin, PatientKey, Row, Statement, Table, int, text, text_or_null, time_or_null,
};
use crate::engine::output::{Erased, Worn};
use crate::vitals::PatientId;

/// Begins an erasure, or begins one anew that a database has heard of before. Runs before the
/// patient's row is overwritten: where the id is forgotten everywhere else, it stands there.
pub(in crate::store) static BEGIN_ERASURE: Statement = Statement {
    table: "erasures",
    columns: &[
        "patient_key",
        "patient_id",
        "requested_at",
        "requested_by",
        "journal_id",
        "partition",
        "position",
    ],
    sql: "INSERT INTO {schema}erasures
              (patient_key, patient_id, requested_at, requested_by, journal_id, partition, position)
          VALUES ($1, coalesce($2, (SELECT patient_id FROM {schema}patients WHERE patient_key = $1)),
                  $3, $4, $5, $6, $7)
          ON CONFLICT (patient_key) DO UPDATE SET
              patient_id = coalesce(excluded.patient_id, erasures.patient_id),
              requested_at = excluded.requested_at, requested_by = excluded.requested_by,
              journal_id = excluded.journal_id, partition = excluded.partition,
              position = excluded.position, done_at = NULL",
};

/// Run after everything else of the batch is written.
pub(in crate::store) static FORGET: [Statement; 3] = [
    Statement {
        table: "bindings",
        columns: &["patient_key"],
        sql: "DELETE FROM {schema}bindings WHERE patient_key = $1",
    },
    Statement {
        table: "profiles",
        columns: &["scope_key"],
        sql: "DELETE FROM {schema}profiles WHERE scope = 'patient' AND scope_key = $1",
    },
    Statement {
        table: "patient_monitoring",
        columns: &["patient_key"],
        sql: "DELETE FROM {schema}patient_monitoring WHERE patient_key = $1",
    },
];

pub(super) const ERASED_WEAR: Table = Table {
    name: "erased_wear",
    columns: &["patient_key", "device_key", "worn_until", "worn_from"],
    key: 3,
};

/// The cells of [`BEGIN_ERASURE`].
pub(in crate::store) fn erasure(origin: Origin, erased: &Erased) -> Row {
    vec![
        int(erased.tombstone.key.0),
        text_or_null(erased.patient.as_ref().map(PatientId::as_str)),
        Cell::Time(erased.tombstone.created_at),
        text(&erased.requested_by),
        Cell::Uuid(origin.journal_id.0),
        super::partition_cell(origin.partition),
        Cell::Int(origin.position.0.cast_signed()),
    ]
}

/// The cells of each of [`FORGET`].
pub(in crate::store) fn forgotten(patient: PatientKey) -> Row {
    vec![int(patient.0)]
}

pub(super) fn worn(patient: PatientKey, worn: &Worn) -> Row {
    vec![int(patient.0), int(worn.device.0), Cell::Time(worn.until), time_or_null(worn.from)]
}
