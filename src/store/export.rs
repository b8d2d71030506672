//! Everything that the store holds about one patient, row by row: what, in which order, and as
//! which words of JSON.
//!
//! Promises: all rows come from one snapshot of the database, each once; one row at a time is in
//! memory. Numbers of ours are told by their names: vitals, units, devices and sites. A list of
//! whom else an audit event was about is left out, and with it what may tell of them.
//!
//! Buckets are not in it: they say nothing that the readings don't. What stands in the journal is
//! what stands here, a moment earlier.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::row::Cell;
use super::settings::Kind as Database;
use super::{Settings, postgres, sqlite};
use crate::position::Cursor;
use crate::vitals::{PatientId, PatientKey};

/// Takes what is exported.
pub trait Sink: Send {
    /// The patient was found, under this number, in a database that stands at this cursor.
    ///
    /// # Errors
    /// Ends the export.
    fn begin(&mut self, patient: PatientKey, cursors: &[Cursor]) -> io::Result<()>;

    /// A row of a kind, as a JSON object that begins with its kind.
    ///
    /// # Errors
    /// Ends the export.
    fn row(&mut self, kind: &'static str, json: &str) -> io::Result<()>;
}

/// Why nothing was exported, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such patient in the database.
    #[error("the database knows no patient {0}")]
    UnknownPatient(PatientId),
    /// The database does not answer, or not as it should.
    #[error("reading the database: {0}")]
    Database(String),
    /// What was read could not be written.
    #[error("writing the export")]
    Write(#[from] io::Error),
}

/// Gives everything held about a patient to `sink`. Not cancel safe: what was given was given.
///
/// # Errors
/// [`ExportError`].
pub async fn export(
    settings: &Settings,
    patient: &PatientId,
    sink: &mut dyn Sink,
) -> Result<(), ExportError> {
    match &settings.url.0 {
        Database::Postgres(config) => postgres::export(config, settings, patient, sink).await,
        Database::Sqlite(path) => sqlite::export(path, patient, sink),
    }
}

/// The kinds of rows there are.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// What two databases say in two ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Before each name of ours.
    pub(super) schema: &'static str,
    /// Begins a numbered parameter.
    pub(super) mark: &'static str,
    /// Whether the list of ids `e.patients` has the one of the second parameter.
    pub(super) is_about: &'static str,
    /// Whether the JSON object `r.content` has the patient's number.
    pub(super) has_number: &'static str,
}

/// A kind of rows.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// With `{schema}` before names of ours, `{is_about}` and `{has_number}` as [`Dialect`] says;
    /// `$1` is the patient's number, `$2` their id.
    from: &'static str,
    order: &'static str,
}

/// A member of the object.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) form: Form,
    sql: &'static str,
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Int,
    Real,
    Bool,
    Json,
    Bytes,
    Time,
}

impl Kind {
    /// The statement that reads all rows of one patient.
    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let columns = self.columns.iter().map(|column| match column.form {
            Form::Text | Form::Json => format!("CAST({} AS text)", column.sql),
            Form::Int => format!("CAST({} AS bigint)", column.sql),
            Form::Real => format!("CAST({} AS double precision)", column.sql),
            Form::Bool | Form::Bytes | Form::Time => column.sql.to_owned(),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!("SELECT {columns} FROM {} ORDER BY {}", self.from, self.order)
            .replace("{is_about}", dialect.is_about)
            .replace("{has_number}", dialect.has_number)
            .replace("{schema}", dialect.schema)
            .replace('$', dialect.mark)
    }

    /// Whether its statement asks for the id too.
    pub(super) fn needs_id(&self) -> bool {
        self.from.contains("{is_about}")
    }

    /// A row as an object.
    pub(super) fn object(&self, cells: &[Cell]) -> String {
        let mut text = format!("{{\"kind\":\"{}\"", self.name);
        for (column, cell) in self.columns.iter().zip(cells) {
            let value = match cell {
                Cell::Null => "null".to_owned(),
                Cell::Bool(is_so) => is_so.to_string(),
                Cell::Int(number) => number.to_string(),
                Cell::Real(number) => serde_json::Value::from(*number).to_string(),
                Cell::Text(text) => quoted(text),
                Cell::Json(json) => json.clone(),
                Cell::Bytes(bytes) => quoted(&STANDARD.encode(bytes)),
                Cell::Time(time) => quoted(&time.to_string()),
                Cell::Uuid(uuid) => quoted(&uuid.to_string()),
            };
            text += &format!(",\"{}\":{value}", column.name);
        }
        text.push('}');
        text
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const fn column(name: &'static str, form: Form, sql: &'static str) -> Column {
    Column { name, form, sql }
}

/// In the order in which they are told.
pub(super) static KINDS: [Kind; 11] = [
    Kind {
        name: "patient",
        columns: &[
            column("patient_id", Form::Text, "p.patient_id"),
            column("patient_number", Form::Int, "p.patient_key"),
            column("site_id", Form::Text, "s.site_id"),
            column("created_at", Form::Time, "p.created_at"),
            column("age_group", Form::Text, "p.age_group"),
            column("pregnancy", Form::Text, "p.pregnancy"),
            column("paused_until", Form::Time, "p.paused_until"),
        ],
        from: "{schema}patients p LEFT JOIN {schema}sites s USING (site_key)
               WHERE p.patient_key = $1",
        order: "1",
    },
    Kind {
        name: "site",
        columns: &[
            column("site_id", Form::Text, "s.site_id"),
            column("display_name", Form::Text, "s.display_name"),
            column("time_zone", Form::Text, "s.time_zone"),
            column("created_at", Form::Time, "s.created_at"),
        ],
        from: "{schema}sites s JOIN {schema}patients p USING (site_key) WHERE p.patient_key = $1",
        order: "1",
    },
    Kind {
        name: "binding",
        columns: &[
            column("device_id", Form::Text, "d.device_id"),
            column("bound_from", Form::Time, "b.bound_from"),
            column("bound_until", Form::Time, "b.bound_until"),
            column("schedule", Form::Json, "b.schedule"),
        ],
        from: "{schema}bindings b LEFT JOIN {schema}devices d USING (device_key)
               WHERE b.patient_key = $1",
        order: "b.bound_from, b.device_key",
    },
    Kind {
        name: "profile",
        columns: &[
            column("version", Form::Int, "p.version"),
            column("profile", Form::Json, "p.profile"),
            column("put_at", Form::Time, "p.put_at"),
            column("put_by", Form::Text, "p.put_by"),
        ],
        from: "{schema}profiles p WHERE p.scope = 'patient' AND p.scope_key = $1",
        order: "p.version",
    },
    Kind {
        name: "monitoring",
        columns: &[column("state", Form::Text, "m.state"), column("since", Form::Time, "m.since")],
        from: "{schema}patient_monitoring m WHERE m.patient_key = $1",
        order: "1",
    },
    Kind {
        name: "reading",
        columns: &[
            column("measured_at", Form::Time, "r.measured_at"),
            column("vital", Form::Text, "v.name"),
            column("value", Form::Real, "r.value"),
            column("unit", Form::Text, "v.unit"),
            column(
                "consciousness",
                Form::Text,
                "CASE WHEN v.name = 'consciousness' THEN CASE r.value
                     WHEN 1 THEN 'alert' WHEN 2 THEN 'confusion' WHEN 3 THEN 'voice'
                     WHEN 4 THEN 'pain' WHEN 5 THEN 'unresponsive' END END",
            ),
            column(
                "absent_reason",
                Form::Text,
                "CASE r.absent WHEN 1 THEN 'unknown' WHEN 2 THEN 'sensor_off'
                     WHEN 3 THEN 'not_a_number' WHEN 4 THEN 'error' WHEN 5 THEN 'artefact' END",
            ),
            column("quality", Form::Int, "r.quality"),
            column("device_id", Form::Text, "d.device_id"),
            column("original_value", Form::Real, "r.original_value"),
            column("original_unit", Form::Text, "r.original_unit"),
            column("interval_us", Form::Int, "r.interval_us"),
            column("measurement_id", Form::Int, "r.measurement_id"),
            column("received_at", Form::Time, "r.received_at"),
            column("stored_at", Form::Time, "r.stored_at"),
        ],
        from: "{schema}readings r LEFT JOIN {schema}vitals v USING (vital)
               LEFT JOIN {schema}devices d USING (device_key)
               WHERE r.patient_key = $1",
        // As the index gives them: a sort of all would be held in memory or on disk.
        order: "r.vital, r.measured_at DESC",
    },
    Kind {
        name: "alert",
        columns: &[
            column("alert_id", Form::Text, "a.alert_id"),
            column("alert_kind", Form::Text, "a.kind"),
            column("site_id", Form::Text, "a.site_id"),
            column("rule_id", Form::Text, "a.rule_id"),
            column("rule_version", Form::Int, "a.rule_version"),
            column("scope", Form::Text, "a.scope"),
            column("onset", Form::Time, "a.onset"),
            column("raised_at", Form::Time, "a.raised_at"),
            column("ended_at", Form::Time, "a.ended_at"),
            column("retrospective", Form::Bool, "a.retrospective"),
            column("delayed", Form::Bool, "a.delayed"),
            column("unconfirmed", Form::Bool, "a.unconfirmed"),
            column("device_id", Form::Text, "a.device_id"),
            column("vital", Form::Text, "v.name"),
            column("limit", Form::Real, "a.limit_value"),
            column("priority", Form::Text, "a.priority"),
            column("condition", Form::Text, "a.condition"),
            column("signal", Form::Text, "a.signal"),
            column("paused_until", Form::Time, "a.paused_until"),
            column("escalation_level", Form::Int, "a.escalation_level"),
            column("assignee", Form::Text, "a.assignee"),
            column("covered", Form::Int, "a.covered"),
            column("score", Form::Json, "a.score"),
            column("is_over", Form::Bool, "a.is_over"),
            column("revision", Form::Int, "a.revision"),
        ],
        from: "{schema}alerts a LEFT JOIN {schema}vitals v USING (vital) WHERE a.patient_key = $1",
        order: "a.onset, a.alert_id",
    },
    Kind {
        name: "alert_event",
        columns: &[
            column("alert_id", Form::Text, "e.alert_id"),
            column("revision", Form::Int, "e.revision"),
            column("phase", Form::Text, "e.phase"),
            column("determined_at", Form::Time, "e.determined_at"),
            column("cause", Form::Text, "e.cause"),
            column("readings", Form::Json, "e.readings"),
            column("actor", Form::Text, "e.actor"),
            column("note", Form::Text, "e.note"),
            column("device_id", Form::Text, "e.device_id"),
            column("rule_version", Form::Int, "e.rule_version"),
            column("scope", Form::Text, "e.scope"),
            column("vital", Form::Text, "v.name"),
            column("limit", Form::Real, "e.limit_value"),
            column("priority_before", Form::Text, "e.priority_before"),
            column("priority", Form::Text, "e.priority"),
            column("condition", Form::Text, "e.condition"),
            column("signal", Form::Text, "e.signal"),
            column("paused_until", Form::Time, "e.paused_until"),
            column("delayed", Form::Bool, "e.delayed"),
            column("unconfirmed", Form::Bool, "e.unconfirmed"),
            column("escalation_level", Form::Int, "e.escalation_level"),
            column("assignee", Form::Text, "e.assignee"),
            column("covered", Form::Int, "e.covered"),
            column("score", Form::Json, "e.score"),
            column("ended_at", Form::Time, "e.ended_at"),
            column("is_over", Form::Bool, "e.is_over"),
        ],
        from: "{schema}alert_events e JOIN {schema}alerts a USING (alert_id)
               LEFT JOIN {schema}vitals v ON v.vital = e.vital
               WHERE a.patient_key = $1",
        order: "e.alert_id, e.revision, e.position, e.output_index",
    },
    Kind {
        name: "rejected_message",
        columns: &[
            column("received_at", Form::Time, "m.received_at"),
            column("device_id", Form::Text, "m.device_id"),
            column("topic", Form::Text, "m.topic"),
            column("reading_index", Form::Int, "m.reading_index"),
            column("reading_count", Form::Int, "m.reading_count"),
            column("reason", Form::Text, "m.reason"),
            column("detail", Form::Text, "m.detail"),
            column("encoding", Form::Text, "m.encoding"),
            column("payload", Form::Bytes, "m.payload"),
            column("redriven_from", Form::Text, "m.redriven_from"),
            column("redriven_at", Form::Time, "m.redriven_at"),
        ],
        from: "{schema}rejected_messages m WHERE EXISTS (
                   SELECT 1 FROM {schema}bindings b JOIN {schema}devices d USING (device_key)
                   WHERE b.patient_key = $1 AND d.device_id = m.device_id
                     AND m.received_at >= b.bound_from
                     AND (b.bound_until IS NULL OR m.received_at < b.bound_until))",
        order: "m.received_at, m.journal_id, m.partition, m.position, m.output_index",
    },
    Kind {
        name: "audit_event",
        columns: &[
            column("number", Form::Int, "e.number"),
            column("at", Form::Time, "e.at"),
            column("subject", Form::Text, "e.subject"),
            column("role", Form::Text, "e.role"),
            column("peer", Form::Text, "e.peer"),
            column("method", Form::Text, "e.method"),
            column("outcome", Form::Text, "e.outcome"),
            column("reason", Form::Text, "e.reason"),
            column("site_id", Form::Text, "e.site_id"),
            column("patient_count", Form::Int, "e.patient_count"),
            column("detail", Form::Text, "CASE WHEN e.patient_count = 1 THEN e.detail END"),
        ],
        from: "{schema}audit_events e WHERE {is_about}",
        order: "e.partition, e.number",
    },
    Kind {
        name: "refused_row",
        columns: &[
            column("table", Form::Text, "r.table_name"),
            column("content", Form::Json, "r.content"),
            column("error_code", Form::Text, "r.error_code"),
            column("error", Form::Text, "r.error"),
            column("refused_at", Form::Time, "r.refused_at"),
        ],
        from: "{schema}refused_rows r WHERE {has_number}",
        order: "r.journal_id, r.position, r.output_index",
    },
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_row_is_an_object_that_begins_with_its_kind() {
        let kind = &KINDS[4];
        let cells = [Cell::Text("a \"quoted\"\nline".to_owned()), Cell::Time(Timestamp::EPOCH)];
        let object = kind.object(&cells);
        assert!(object.starts_with(r#"{"kind":"monitoring","state":"a \"quoted\"\nline","#));
        assert!(!object.contains('\n'), "one line");
        let read: serde_json::Value = serde_json::from_str(&object).expect("JSON");
        assert_eq!(read["since"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn bytes_are_base64_and_json_stays_json() {
        const COLUMNS: &[Column] =
            &[column("bytes", Form::Bytes, ""), column("json", Form::Json, "")];
        let kind = Kind { name: "x", columns: COLUMNS, from: "", order: "" };
        let cells = [Cell::Bytes(Bytes::from_static(&[0xff, 0])), Cell::Json("[1]".to_owned())];
        assert_eq!(kind.object(&cells), r#"{"kind":"x","bytes":"/wA=","json":[1]}"#);
    }

    #[test]
    fn the_names_of_kinds_and_members_are_plain_and_told_once() {
        for kind in &KINDS {
            let mut names: Vec<_> = kind.columns.iter().map(|column| column.name).collect();
            assert!(names.iter().all(|name| crate::vitals::is_id(name)), "{names:?}");
            assert!(!names.contains(&"kind"), "{}", kind.name);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kind.columns.len(), "{}", kind.name);
        }
    }
}
