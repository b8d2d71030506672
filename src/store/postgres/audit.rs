//! Audit events from Postgres.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::query::PostgresHistory;
use super::types::Time;
use super::{SCHEMA, reason};
use crate::store::audit::{
    AuditPage, AuditQuery, ChainKey, Dialect, Page, RawAudit, Statement, StoredAuditEvent,
    chain_statement,
};
use crate::store::history::{HistoryError, unavailable};

const DIALECT: Dialect = Dialect { prefix: SCHEMA, mark: '$', has_containment: true };

/// The column behind those of an event.
const FOUND: usize = 19;

impl PostgresHistory {
    pub(super) async fn audit_events(&self, query: &AuditQuery) -> Result<AuditPage, HistoryError> {
        let page = Page::of(query)?;
        let rows = self.answers(page.statement(query, &DIALECT)).await?;
        let read = || {
            let found = rows.first().map_or(Ok(0), |row| row.try_get(FOUND))?;
            Ok((rows.iter().map(raw).collect::<Result<_, _>>()?, found))
        };
        let (rows, found) = read().map_err(|error| misread(&error))?;
        Ok(page.filled(rows, found))
    }

    pub(super) async fn chain(
        &self,
        after: ChainKey,
        limit: u32,
    ) -> Result<Vec<(ChainKey, StoredAuditEvent)>, HistoryError> {
        let rows = self.answers(chain_statement(after, limit, &DIALECT)).await?;
        let events = rows.iter().map(|row| raw(row).map(RawAudit::stored));
        events.collect::<Result<_, _>>().map_err(|error| misread(&error))
    }

    async fn answers(&self, statement: Statement) -> Result<Vec<Row>, HistoryError> {
        let values: Vec<_> =
            statement.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.rows(&statement.sql, &values).await
    }
}

fn misread(error: &tokio_postgres::Error) -> HistoryError {
    unavailable(reason(error))
}

fn raw(row: &Row) -> Result<RawAudit, tokio_postgres::Error> {
    Ok(RawAudit {
        key: ChainKey {
            partition: row.try_get(0)?,
            number: row.try_get(1)?,
            journal_id: row.try_get(2)?,
            position: row.try_get(3)?,
            output_index: row.try_get(4)?,
        },
        at: row.try_get::<_, Time>(5)?.0,
        subject: row.try_get(6)?,
        role: row.try_get(7)?,
        peer: row.try_get(8)?,
        method: row.try_get(9)?,
        outcome: row.try_get(10)?,
        reason: row.try_get(11)?,
        site: row.try_get(12)?,
        patients: row.try_get(13)?,
        patient_count: row.try_get(14)?,
        detail: row.try_get(15)?,
        salt: row.try_get(16)?,
        commitment: row.try_get(17)?,
        digest: row.try_get(18)?,
    })
}
