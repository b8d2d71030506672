//! The notes that batches leave for the passes that sum them up.

use rusqlite::{Transaction, params};

use crate::clock::Timestamp;
use crate::store::row::ReadingRow;

/// The rows that were inserted last have the highest ids. Of a batch that lacks some rows the
/// range reaches back into the batch before, whose `stored_at` is another.
const NOTE: &str = "
    INSERT INTO stored_batches (aggregate, stored_at, reading_count, first_rowid, last_rowid)
    SELECT name, ?1, ?2, last - ?2 + 1, last
    FROM aggregates, (SELECT coalesce(max(rowid), 0) AS last FROM readings)";

/// Notes that these rows were stored by this transaction, and no other readings after them.
/// `stored_at` is no other batch's.
pub(super) fn note(
    transaction: &Transaction<'_>,
    rows: &[ReadingRow],
    stored_at: Timestamp,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    transaction.prepare_cached(NOTE)?.execute(params![stored_at.micros(), count])?;
    Ok(())
}
