//! Deletes what is older than its retention, piece by piece, so that a batch never waits long.
//!
//! Readings and buckets are found by the index that they have: patient by patient and vital by
//! vital, from where the last piece ended. What is still to be summed up stays for a while. The
//! file does not shrink; its free pages are used again.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::away;
use crate::clock::Timestamp;
use crate::store::database::Failure;
use crate::store::maintenance::Progress;

/// Rows that a piece deletes, at most.
const ROWS_MAX: usize = 5_000;
/// Patients' vitals that a piece looks at, at most: most have nothing to delete.
const SERIES_MAX: usize = 1_000;

/// A table whose rows lie by patient, vital and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    pub(super) table: &'static str,
    /// The column of the time that counts, which is the third of the index.
    pub(super) time: &'static str,
    /// What names a row.
    pub(super) key: &'static str,
    /// What a row must fulfil besides; `?5` is when the oldest batch was stored that is still to
    /// be summed up.
    pub(super) condition: &'static str,
}

/// Nothing but its time.
pub(super) const ANY: &str = "?5 IS NOT NULL";
/// It is in every bucket that it belongs to.
pub(super) const SUMMED_UP: &str = "stored_at < ?5";

/// What may go: what is older than this, and stored before the oldest batch that is still to be
/// summed up.
#[derive(Clone, Copy, Debug)]
struct Until {
    before: Timestamp,
    summed_up: i64,
}

/// A patient's vital.
type Place = (i64, i64);

/// Deletes a piece of the rows before `before`, from `place` on; where the piece ended stands in
/// `place` afterwards, or nothing at the end of the table.
pub(super) fn series(
    connection: &mut Connection,
    series: Series,
    before: Timestamp,
    place: &mut Option<Place>,
) -> Result<Progress, Failure> {
    try_series(connection, series, before, place).map_err(|error| away(&error))
}

fn try_series(
    connection: &mut Connection,
    series: Series,
    before: Timestamp,
    place: &mut Option<Place>,
) -> rusqlite::Result<Progress> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let summed_up: Option<i64> =
        transaction.query_row("SELECT min(stored_at) FROM stored_batches", [], |row| row.get(0))?;
    let until = Until { before, summed_up: summed_up.unwrap_or(i64::MAX) };
    let (mut at, mut deleted) = (*place, 0);
    for _ in 0..SERIES_MAX {
        let Some(next) = next(&transaction, series, at)? else {
            transaction.commit()?;
            *place = None;
            return Ok(Progress::Done);
        };
        deleted += delete(&transaction, series, next, until, ROWS_MAX - deleted)?;
        if deleted >= ROWS_MAX {
            // There may be more of this one.
            break;
        }
        at = Some(next);
    }
    transaction.commit()?;
    *place = at;
    Ok(Progress::More)
}

fn next(
    transaction: &Transaction<'_>,
    Series { table, .. }: Series,
    after: Option<Place>,
) -> rusqlite::Result<Option<Place>> {
    let sql = format!(
        "SELECT patient_key, vital FROM {table} WHERE (patient_key, vital) > (?1, ?2)
        ORDER BY patient_key, vital LIMIT 1"
    );
    let (patient, vital) = after.unwrap_or((i64::MIN, i64::MIN));
    let mut statement = transaction.prepare_cached(&sql)?;
    statement.query_row([patient, vital], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn delete(
    transaction: &Transaction<'_>,
    Series { table, time, key, condition }: Series,
    (patient, vital): Place,
    until: Until,
    rows_max: usize,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "DELETE FROM {table} WHERE patient_key = ?1 AND vital = ?2 AND {key} IN (
            SELECT {key} FROM {table}
            WHERE patient_key = ?1 AND vital = ?2 AND {time} < ?3 AND {condition} LIMIT ?4)"
    );
    let rows_max = i64::try_from(rows_max).unwrap_or(0);
    let values = params![patient, vital, until.before.micros(), rows_max, until.summed_up];
    transaction.prepare_cached(&sql)?.execute(values)
}

/// Deletes a piece of the refused messages that were received before `before`.
pub(super) fn rejected(
    connection: &mut Connection,
    before: Timestamp,
) -> Result<Progress, Failure> {
    let sql = "DELETE FROM rejected_messages WHERE rowid IN (
        SELECT rowid FROM rejected_messages WHERE received_at < ?1 ORDER BY received_at LIMIT ?2)";
    let rows_max = i64::try_from(REJECTED_MAX).unwrap_or(i64::MAX);
    let deleted = connection
        .execute(sql, params![before.micros(), rows_max])
        .map_err(|error| away(&error))?;
    Ok(if deleted < REJECTED_MAX { Progress::Done } else { Progress::More })
}

/// Refused messages of a piece, at most: each may be as large as a payload.
const REJECTED_MAX: usize = 200;
