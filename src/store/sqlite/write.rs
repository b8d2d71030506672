//! The connection of the follower: batches in, transactions out.

use std::future::pending;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{
    Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params,
    params_from_iter,
};
use uuid::Uuid;

use super::{away, blocking};
use crate::clock::Timestamp;
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::batch::Batch;
use crate::store::database::{Failure, Session};
use crate::store::row::{self, Beside, Cell, ReadingRow, Row, Table};

const READ_CURSOR: &str = "SELECT journal_id, position FROM journal_cursor WHERE partition = ?1";

const BEGIN_CURSOR: &str = "INSERT INTO journal_cursor \
     (partition, journal_id, position, updated_at) \
     VALUES (?1, ?2, ?3, unixepoch() * 1000000) ON CONFLICT DO NOTHING";

const MOVE_CURSOR: &str = "UPDATE journal_cursor SET position = ?1, updated_at = ?2 \
     WHERE journal_id = ?3 AND partition = ?4 AND position = ?5";

/// A connection that writes. It is away while it is at work on another thread; a failure leaves
/// it there, for it is not used again.
#[derive(Debug)]
pub(in crate::store) struct Writing {
    connection: Option<Connection>,
}

impl Writing {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Some(connection) }
    }

    async fn at_work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Failure::Away("the connection was given up".to_owned()));
        };
        let (connection, result) = blocking(move || {
            let result = work(&mut connection)?;
            Ok((connection, result))
        })
        .await?;
        self.connection = Some(connection);
        Ok(result)
    }
}

impl Session for Writing {
    async fn cursor(&mut self, partition: Partition) -> Result<Option<Cursor>, Failure> {
        self.at_work(move |connection| {
            let found: Option<(String, i64)> = connection
                .query_row(READ_CURSOR, [partition.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .map_err(|error| away(&error))?;
            found.map(|found| stored_cursor(partition, &found)).transpose()
        })
        .await
    }

    async fn begin(&mut self, cursor: Cursor) -> Result<(), Failure> {
        self.at_work(move |connection| {
            let id = cursor.journal_id.to_string();
            let values = params![cursor.partition.0, id, cursor.position.0.cast_signed()];
            match connection.execute(BEGIN_CURSOR, values) {
                Ok(1) => Ok(()),
                Ok(_) => Err(Failure::Moved),
                Err(error) => Err(away(&error)),
            }
        })
        .await
    }

    async fn write(&mut self, mut batch: Batch, stored_at: Timestamp) -> Result<(), Failure> {
        self.at_work(move |connection| {
            batch.sort();
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| away(&error))?;
            if !write(&transaction, &batch, stored_at).map_err(|error| away(&error))? {
                return Err(Failure::Moved);
            }
            transaction.commit().map_err(|error| away(&error))
        })
        .await
    }

    /// A file is not lost while nothing is done with it.
    async fn lost(&mut self) -> String {
        pending().await
    }
}

fn stored_cursor(partition: Partition, found: &(String, i64)) -> Result<Cursor, Failure> {
    let (journal_id, position) = found;
    let journal_id = Uuid::parse_str(journal_id)
        .map_err(|_| Failure::Away(format!("journal_cursor names the journal {journal_id:?}")))?;
    let position = Position(position.cast_unsigned());
    Ok(Cursor { journal_id: JournalId(journal_id), partition, position })
}

/// Writes everything of a batch, and says whether the cursor stood where it should.
fn write(
    transaction: &Transaction<'_>,
    batch: &Batch,
    stored_at: Timestamp,
) -> rusqlite::Result<bool> {
    insert_readings(transaction, &batch.readings, stored_at)?;
    for (identity, row) in &batch.upserts {
        insert(transaction, identity.table(), row)?;
    }
    for row in &batch.alert_events {
        insert(transaction, &row::ALERT_EVENTS, row)?;
    }
    for row in &batch.rejects {
        insert(transaction, &row::REJECTED_MESSAGES, row)?;
    }
    for row in &batch.redriven {
        let mut statement = transaction.prepare_cached(&row::MARK_REDRIVEN.sql("", '?'))?;
        statement.execute(params_from_iter(row))?;
    }
    let from = batch.from;
    let moved = transaction.prepare_cached(MOVE_CURSOR)?.execute(params![
        batch.through.0.cast_signed(),
        stored_at.micros(),
        from.journal_id.to_string(),
        from.partition.0,
        from.position.0.cast_signed(),
    ])?;
    Ok(moved == 1)
}

fn insert_readings(
    transaction: &Transaction<'_>,
    rows: &[ReadingRow],
    stored_at: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&row::READINGS.insert_sql("", '?'))?;
    for ReadingRow { reading, received_at } in rows {
        let (value, absent) = row::value_columns(reading.value);
        let beside = Beside::of(reading);
        statement.execute(params![
            reading.measured_at.micros(),
            received_at.micros(),
            stored_at.micros(),
            value,
            row::signed(reading.patient.0),
            row::signed(reading.device.0),
            reading.quality.0,
            reading.vital.number(),
            absent,
            beside.original_value,
            beside.original_unit,
            beside.interval_us,
            beside.measurement_id,
        ])?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, table: &Table, row: &Row) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&table.insert_sql("", '?'))?;
    statement.execute(params_from_iter(row))?;
    Ok(())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let borrowed = |value| Ok(ToSqlOutput::Borrowed(value));
        match self {
            Self::Null => borrowed(ValueRef::Null),
            Self::Bool(is_so) => borrowed(ValueRef::Integer(i64::from(*is_so))),
            Self::Int(number) => borrowed(ValueRef::Integer(*number)),
            Self::Real(number) => borrowed(ValueRef::Real(*number)),
            Self::Text(text) | Self::Json(text) => borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => borrowed(ValueRef::Blob(bytes)),
            Self::Time(time) => borrowed(ValueRef::Integer(time.micros())),
            Self::Uuid(uuid) => Ok(ToSqlOutput::Owned(SqlValue::Text(uuid.to_string()))),
        }
    }
}
