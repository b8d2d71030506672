//! Audit events from SQLite: the statements of Postgres in its words.

use rusqlite::{Connection, Row, params_from_iter};
use uuid::Uuid;

use super::query::time;
use crate::store::audit::{
    AuditQuery, ChainKey, Dialect, Page, RawAudit, StoredAuditEvent, chain_statement,
};

const DIALECT: Dialect = Dialect { prefix: "", mark: '?', has_containment: false };

/// The column behind those of an event.
const FOUND: usize = 19;

/// The rows of a page, and how many events there are from its beginning on.
pub(super) fn list(
    connection: &Connection,
    query: &AuditQuery,
    page: &Page,
) -> rusqlite::Result<(Vec<RawAudit>, i64)> {
    let statement = page.statement(query, &DIALECT);
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let counted = |row: &Row<'_>| Ok((raw(row)?, row.get(FOUND)?));
    let rows = prepared.query_map(params_from_iter(&statement.values), counted)?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let found = rows.first().map_or(0, |(_, found)| *found);
    Ok((rows.into_iter().map(|(row, _)| row).collect(), found))
}

/// The next events of a chain.
pub(super) fn chain(
    connection: &Connection,
    after: ChainKey,
    limit: u32,
) -> rusqlite::Result<Vec<(ChainKey, StoredAuditEvent)>> {
    let statement = chain_statement(after, limit, &DIALECT);
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let rows = prepared.query_map(params_from_iter(&statement.values), raw)?;
    rows.map(|row| row.map(RawAudit::stored)).collect()
}

fn raw(row: &Row<'_>) -> rusqlite::Result<RawAudit> {
    Ok(RawAudit {
        key: ChainKey {
            partition: row.get(0)?,
            number: row.get(1)?,
            journal_id: journal_id(row)?,
            position: row.get(3)?,
            output_index: row.get(4)?,
        },
        at: time(5, row.get(5)?)?,
        subject: row.get(6)?,
        role: row.get(7)?,
        peer: row.get(8)?,
        method: row.get(9)?,
        outcome: row.get(10)?,
        reason: row.get(11)?,
        site: row.get(12)?,
        patients: row.get(13)?,
        patient_count: row.get(14)?,
        detail: row.get(15)?,
        salt: row.get(16)?,
        commitment: row.get(17)?,
        digest: row.get(18)?,
    })
}

fn journal_id(row: &Row<'_>) -> rusqlite::Result<Uuid> {
    let text: String = row.get(2)?;
    Uuid::parse_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
    })
}
