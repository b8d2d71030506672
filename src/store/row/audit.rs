//! Who did what, as rows.
//!
//! Digests are of what stands here, byte for byte: the texts are those that the chain was made of,
//! and patients are a list of texts in JSON, whose order both databases keep.

use bytes::Bytes;

use super::{Cell, Origin, Row, Table, int, origin_cells, text, text_or_null};
use crate::engine::audit::{AuditEvent, Digest};
use crate::vitals::SiteId;

/// The columns of `audit_events`, in the order in which they are written.
pub(in crate::store) static AUDIT_EVENTS: Table = Table {
    name: "audit_events",
    columns: &[
        "journal_id",
        "partition",
        "position",
        "output_index",
        "number",
        "at",
        "subject",
        "role",
        "peer",
        "method",
        "outcome",
        "reason",
        "site_id",
        "patients",
        "patient_count",
        "detail",
        "salt",
        "commitment",
        "digest",
    ],
    key: 0,
};

/// The row of an audit event.
pub(in crate::store) fn audit_event(origin: Origin, event: &AuditEvent) -> Row {
    let details = &event.details;
    let mut cells = Row::from(origin_cells(origin));
    cells.extend([
        Cell::Int(event.number.cast_signed()),
        Cell::Time(event.at),
        text(&event.subject),
        text_or_null(event.role.map(|role| role.name())),
        text(&event.peer),
        text(event.method.name()),
        text(event.outcome.name()),
        text(&event.reason),
        text_or_null(event.site.as_ref().map(SiteId::as_str)),
        Cell::Json(patients_json(details.patients.iter().map(|patient| patient.as_str()))),
        int(details.patient_count),
        text(&details.text),
        Cell::Bytes(Bytes::copy_from_slice(&details.salt)),
        digest(event.commitment),
        digest(event.digest),
    ]);
    cells
}

/// Ids need no escaping.
pub(in crate::store) fn patients_json<'a>(patients: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<_> = patients.map(|patient| format!("\"{patient}\"")).collect();
    format!("[{}]", ids.join(","))
}

fn digest(digest: Digest) -> Cell {
    Cell::Bytes(Bytes::copy_from_slice(&digest.0))
}
