//! The connection of the follower: batches in, transactions out.

use std::future::pending;
use std::sync::LazyLock;

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, ToSql, Transaction, TransactionBehavior, params,
    params_from_iter,
};
use uuid::Uuid;

use super::{WriteConnection, away, blocking, notes};
use crate::clock::Timestamp;
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::batch::{Batch, Part};
use crate::store::database::{Failure, Session, Stand};
use crate::store::refused::{Dialect, Fault, REFUSED_ROWS, Refusals, Written, hexadecimal};
use crate::store::row::{self, Beside, Cell, Change, ReadingRow, Row};

const READ_CURSOR: &str =
    "SELECT journal_id, position, updated_at FROM journal_cursor WHERE partition = ?1";

const BEGIN_CURSOR: &str = "INSERT INTO journal_cursor \
     (partition, journal_id, position, updated_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO NOTHING";

const BEGIN_JOURNAL: &str = "INSERT INTO journals (journal_id, partition, how, began_at) \
     SELECT journal_id, partition, 'first', updated_at FROM journal_cursor WHERE partition = ?1";

const MOVE_CURSOR: &str = "UPDATE journal_cursor SET position = ?1, updated_at = ?2, \
     received_at = coalesce(?6, received_at) \
     WHERE journal_id = ?3 AND partition = ?4 AND position = ?5 AND updated_at < ?2";

/// As the columns hold them, but for blobs, which `unhex` reads.
const DIALECT: Dialect = Dialect { time: |time| time.micros().to_string(), bytes: hexadecimal };

/// A session on the connection that writes.
#[derive(Debug)]
pub(in crate::store) struct Writing {
    connection: WriteConnection,
}

impl Writing {
    pub(super) fn new(connection: WriteConnection) -> Self {
        Self { connection }
    }

    async fn at_work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = self.connection.clone();
        blocking(move || connection.with(work)).await
    }
}

impl Session for Writing {
    async fn stand(&mut self, partition: Partition) -> Result<Option<Stand>, Failure> {
        self.at_work(move |connection| {
            let found: Option<(String, i64, i64)> = connection
                .query_row(READ_CURSOR, [partition.0], |row| row.try_into())
                .optional()
                .map_err(|error| away(&error))?;
            found.map(|found| stored_stand(partition, &found)).transpose()
        })
        .await
    }

    async fn begin(&mut self, stand: Stand) -> Result<(), Failure> {
        self.at_work(move |connection| {
            let Stand { cursor, stored_at } = stand;
            let (id, position) = (cursor.journal_id.to_string(), cursor.position.0.cast_signed());
            let values = params![cursor.partition.0, id, position, stored_at.micros()];
            match begin(connection, values) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::Moved),
                Err(error) => Err(away(&error)),
            }
        })
        .await
    }

    async fn write(&mut self, mut batch: Batch, stored_at: Timestamp) -> Result<Written, Failure> {
        self.at_work(move |connection| {
            batch.sort();
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| away(&error))?;
            let written = write(&transaction, &batch, stored_at)?;
            transaction.commit().map_err(|error| failure(&error))?;
            Ok(written)
        })
        .await
    }

    /// A file is not lost while nothing is done with it.
    async fn lost(&mut self) -> String {
        pending().await
    }
}

/// False if there is a cursor already.
fn begin(connection: &mut Connection, values: &[&dyn ToSql]) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if transaction.execute(BEGIN_CURSOR, values)? == 0 {
        return Ok(false);
    }
    transaction.execute(BEGIN_JOURNAL, &values[..1])?;
    transaction.commit()?;
    Ok(true)
}

fn stored_stand(partition: Partition, found: &(String, i64, i64)) -> Result<Stand, Failure> {
    let (journal_id, position, updated_at) = found;
    let journal_id = Uuid::parse_str(journal_id)
        .map_err(|_| Failure::Away(format!("journal_cursor names the journal {journal_id:?}")))?;
    let stored_at = Timestamp::from_micros(*updated_at)
        .ok_or_else(|| Failure::Away(format!("journal_cursor was updated at {updated_at}")))?;
    let position = Position(position.cast_unsigned());
    let cursor = Cursor { journal_id: JournalId(journal_id), partition, position };
    Ok(Stand { cursor, stored_at })
}

/// Writes everything of a batch. A row that is refused undoes only its own statement, so that it
/// need not be looked for.
fn write(
    transaction: &Transaction<'_>,
    batch: &Batch,
    stored_at: Timestamp,
) -> Result<Written, Failure> {
    let mut refusals = Refusals::new(batch.from, stored_at, DIALECT);
    for part in batch.parts() {
        for index in 0..part.len() {
            match put(transaction, &part, index, stored_at).map_err(|error| failure(&error)) {
                Ok(()) => {}
                // Unless what refused it has ended the transaction, as a trigger may.
                Err(Failure::Refused(fault)) if !transaction.is_autocommit() => {
                    refusals.push(&part, index, &fault);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    for row in refusals.rows() {
        insert(transaction, Change::Insert(&REFUSED_ROWS), row).map_err(|error| failure(&error))?;
    }
    let noted = notes::note(transaction, &batch.readings, stored_at);
    noted.map_err(|error| failure(&error))?;
    move_cursor(transaction, batch, stored_at)?;
    Ok(refusals.written())
}

fn put(
    transaction: &Transaction<'_>,
    part: &Part<'_>,
    index: usize,
    stored_at: Timestamp,
) -> rusqlite::Result<()> {
    match part {
        Part::Readings(rows) => insert_reading(transaction, &rows[index], stored_at),
        Part::Others(change, rows) => insert(transaction, *change, &rows[index].row),
    }
}

fn move_cursor(
    transaction: &Transaction<'_>,
    batch: &Batch,
    stored_at: Timestamp,
) -> Result<(), Failure> {
    let from = batch.from;
    let values = params![
        batch.through.0.cast_signed(),
        stored_at.micros(),
        from.journal_id.to_string(),
        from.partition.0,
        from.position.0.cast_signed(),
        batch.received_at.map(Timestamp::micros),
    ];
    let moved = transaction.prepare_cached(MOVE_CURSOR).and_then(|mut sql| sql.execute(values));
    match moved {
        Ok(1) => Ok(()),
        Ok(_) => Err(Failure::Moved),
        Err(error) => Err(failure(&error)),
    }
}

fn insert_reading(
    transaction: &Transaction<'_>,
    ReadingRow { reading, received_at, .. }: &ReadingRow,
    stored_at: Timestamp,
) -> rusqlite::Result<()> {
    let (value, absent) = row::value_columns(reading.value);
    let beside = Beside::of(reading);
    let mut statement = transaction.prepare_cached(INSERT_READING.as_str())?;
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
    Ok(())
}

static INSERT_READING: LazyLock<String> = LazyLock::new(|| row::READINGS.insert_sql("", '?'));

fn insert(transaction: &Transaction<'_>, change: Change, row: &Row) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&change.sql("", '?'))?;
    statement.execute(params_from_iter(row))?;
    Ok(())
}

/// A row that the database can't hold is refused; else the database is away.
fn failure(error: &rusqlite::Error) -> Failure {
    let rusqlite::Error::SqliteFailure(cause, message) = error else { return away(error) };
    match cause.code {
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            Failure::Refused(Fault {
                code: cause.extended_code.to_string(),
                about: None,
                message: message.clone().unwrap_or_else(|| cause.to_string()),
            })
        }
        _ => away(error),
    }
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
