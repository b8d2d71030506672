//! Rows for a person's command, read and changed on a thread that waits.

use std::pin::pin;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio_postgres::{Config, Row as SqlRow};
use uuid::Uuid;

use super::migrate::MIGRATION_MAX;
use super::types::Time;
use super::{Address, Link, SCHEMA, bounded, migrate, reason};
use crate::store::Settings;
use crate::store::database::Failure;
use crate::store::ledger::{Cells, Change, Dialect, Each, Ledger, LedgerError, Query, Type};
use crate::store::row::{Cell, Row};

const DIALECT: Dialect = Dialect { prefix: SCHEMA, mark: '$', recent: "r.received_at >= #1" };

/// What is read is of one moment, however long that takes.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A connection that takes its time.
pub(in crate::store) struct PostgresLedger {
    runtime: Handle,
    link: Link,
    is_reading: bool,
}

/// Connects, and brings the schema up to date. Blocking.
pub(in crate::store) fn ledger(
    config: &Config,
    settings: &Settings,
    runtime: Handle,
) -> Result<Box<dyn Ledger>, LedgerError> {
    let options = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0";
    let address = Address::new(config, settings, "pulseward command", options);
    let mut link = runtime
        .block_on(bounded(settings.connect_timeout, Link::to(&address)))
        .map_err(connecting)?;
    runtime.block_on(migrate::migrate(&mut link.client, MIGRATION_MAX)).map_err(|failure| {
        match failure {
            Failure::Fatal(error) => LedgerError::Schema(Box::new(error)),
            other => LedgerError::Unavailable { action: "migrating", reason: other.reason() },
        }
    })?;
    Ok(Box::new(PostgresLedger { runtime, link, is_reading: false }))
}

fn connecting(failure: Failure) -> LedgerError {
    LedgerError::Unavailable { action: "connecting to", reason: failure.reason() }
}

fn unavailable(action: &'static str) -> impl FnOnce(tokio_postgres::Error) -> LedgerError {
    move |error| LedgerError::Unavailable { action, reason: reason(&error) }
}

impl Ledger for PostgresLedger {
    fn read(&mut self, query: &Query, each: Each<'_>) -> Result<(), LedgerError> {
        let (runtime, is_reading) = (self.runtime.clone(), &mut self.is_reading);
        let client = &self.link.client;
        runtime.block_on(async {
            let reading = unavailable;
            if !*is_reading {
                client.batch_execute(SNAPSHOT).await.map_err(reading("reading"))?;
                *is_reading = true;
            }
            let sql = DIALECT.text(query.sql);
            let rows = client.query_raw(&sql, &query.values).await.map_err(reading("reading"))?;
            let mut rows = pin!(rows);
            while let Some(row) = rows.try_next().await.map_err(reading("reading"))? {
                each(Cells::new(query.sql, cells(&row, query.types)?))?;
            }
            Ok(())
        })
    }

    fn change(&mut self, changes: &[Change]) -> Result<bool, LedgerError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.change_all(changes)).map_err(unavailable("changing"))
    }
}

impl PostgresLedger {
    async fn change_all(&mut self, changes: &[Change]) -> Result<bool, tokio_postgres::Error> {
        let client = &mut self.link.client;
        if std::mem::take(&mut self.is_reading) {
            client.batch_execute("COMMIT").await?;
        }
        let transaction = client.transaction().await?;
        for alike in changes.chunk_by(|one, other| DIALECT.change(one).0 == DIALECT.change(other).0)
        {
            let (sql, _) = DIALECT.change(&alike[0]);
            let statement = transaction.prepare(&sql).await?;
            let rows = alike.iter().map(|change| DIALECT.change(change).1);
            let sent = rows.map(|row| transaction.execute_raw(&statement, row));
            let changed = try_join_all(sent).await?;
            if matches!(alike[0], Change::Guard(..)) && changed.contains(&0) {
                return Ok(false);
            }
        }
        transaction.commit().await?;
        Ok(true)
    }
}

pub(super) fn cells(row: &SqlRow, types: &[Type]) -> Result<Row, LedgerError> {
    let read = |(index, kind): (usize, &Type)| cell(row, index, *kind);
    types.iter().enumerate().map(read).collect::<Result<_, _>>().map_err(unavailable("reading"))
}

fn cell(row: &SqlRow, index: usize, kind: Type) -> Result<Cell, tokio_postgres::Error> {
    let cell = match kind {
        Type::Int => row.try_get::<_, Option<i64>>(index)?.map(Cell::Int),
        Type::Real => row.try_get::<_, Option<f64>>(index)?.map(Cell::Real),
        Type::Text => row.try_get::<_, Option<String>>(index)?.map(Cell::Text),
        Type::Bool => row.try_get::<_, Option<bool>>(index)?.map(Cell::Bool),
        Type::Bytes => {
            let bytes = row.try_get::<_, Option<Vec<u8>>>(index)?;
            bytes.map(|bytes| Cell::Bytes(Bytes::from(bytes)))
        }
        Type::Time => row.try_get::<_, Option<Time>>(index)?.map(|time| Cell::Time(time.0)),
        Type::Uuid => row.try_get::<_, Option<Uuid>>(index)?.map(Cell::Uuid),
    };
    Ok(cell.unwrap_or(Cell::Null))
}
