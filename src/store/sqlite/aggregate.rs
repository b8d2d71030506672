//! Keeps the buckets in SQLite: what was stored since the last pass is added to them.
//!
//! A pass takes notes from `stored_batches`, the oldest first and not too many, and adds the
//! readings that they are about, all in one transaction. It reads nothing but the row ids that the
//! notes name. Of a large batch a pass may take a part: the note then names the rest.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::away;
use crate::store::aggregate::{Aggregate, COUNTED};
use crate::store::database::Failure;
use crate::store::maintenance::Progress;

const OLDEST: &str = "
    SELECT rowid, stored_at, first_rowid, last_rowid FROM stored_batches
    WHERE aggregate = ?1 ORDER BY stored_at LIMIT 100";

const TAKE: &str = "DELETE FROM stored_batches WHERE rowid = ?1";

const TAKE_PART: &str = "UPDATE stored_batches
    SET first_rowid = ?2, reading_count = last_rowid - ?2 + 1 WHERE rowid = ?1";

const MARK: &str = "UPDATE aggregates SET mark = max(mark, ?2) WHERE name = ?1";

/// A batch that is to be summed up.
#[derive(Debug)]
struct Note {
    rowid: i64,
    stored_at: i64,
    /// Of its readings.
    first: i64,
    last: i64,
}

/// One pass, over `rows_max` readings at most.
pub(super) fn pass(
    connection: &mut Connection,
    aggregate: Aggregate,
    rows_max: i64,
) -> Result<Progress, Failure> {
    try_pass(connection, aggregate, rows_max).map_err(|error| away(&error))
}

fn try_pass(
    connection: &mut Connection,
    aggregate: Aggregate,
    rows_max: i64,
) -> rusqlite::Result<Progress> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let notes = oldest(&transaction, aggregate)?;
    let mut left = rows_max;
    for note in &notes {
        left -= take(&transaction, aggregate, note, left)?;
        if left <= 0 {
            break;
        }
    }
    transaction.commit()?;
    Ok(if notes.is_empty() { Progress::Done } else { Progress::More })
}

fn oldest(transaction: &Transaction<'_>, aggregate: Aggregate) -> rusqlite::Result<Vec<Note>> {
    let mut statement = transaction.prepare_cached(OLDEST)?;
    let notes = statement.query_map([aggregate.name()], |row| {
        Ok(Note {
            rowid: row.get(0)?,
            stored_at: row.get(1)?,
            first: row.get(2)?,
            last: row.get(3)?,
        })
    })?;
    notes.collect()
}

/// Adds up to `rows_max` readings of a batch, and gives how many it looked at.
fn take(
    transaction: &Transaction<'_>,
    aggregate: Aggregate,
    note: &Note,
    rows_max: i64,
) -> rusqlite::Result<i64> {
    let last = note.last.min(note.first + rows_max - 1);
    let values = params![note.first, last, note.stored_at];
    transaction.prepare_cached(&add_sql(aggregate))?.execute(values)?;
    if last < note.last {
        transaction.prepare_cached(TAKE_PART)?.execute([note.rowid, last + 1])?;
    } else {
        transaction.prepare_cached(TAKE)?.execute([note.rowid])?;
        transaction.prepare_cached(MARK)?.execute(params![aggregate.name(), note.stored_at])?;
    }
    Ok(last - note.first + 1)
}

/// `WHERE true` because the parser would take ON for a join's.
fn add_sql(aggregate: Aggregate) -> String {
    let (kept, width) = (aggregate.kept(), aggregate.width().as_micros());
    let bucket = format!("measured_at / {width} * {width}");
    format!(
        "INSERT INTO {kept} AS kept (
            bucket, patient_key, vital, count, min, max, sum, last, last_measured_at)
        SELECT * FROM (
            SELECT {bucket}, patient_key, vital,
                   count(*), min(value), max(value), sum(value),
                   CAST(substr(max(printf('%020d%s', measured_at, value)), 21) AS REAL),
                   max(measured_at)
            FROM readings
            WHERE rowid BETWEEN ?1 AND ?2 AND stored_at = ?3 AND {COUNTED}
            GROUP BY patient_key, vital, {bucket})
        WHERE true
        ON CONFLICT (patient_key, vital, bucket) DO UPDATE SET
            count = kept.count + excluded.count,
            min = min(kept.min, excluded.min),
            max = max(kept.max, excluded.max),
            sum = kept.sum + excluded.sum,
            last = iif(excluded.last_measured_at >= kept.last_measured_at,
                       excluded.last, kept.last),
            last_measured_at = max(kept.last_measured_at, excluded.last_measured_at)"
    )
}
