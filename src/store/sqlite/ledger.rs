//! Rows for a person's command, read and changed on a thread that waits.

use std::path::Path;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row as SqlRow, TransactionBehavior, params_from_iter};
use uuid::Uuid;

use super::{connect, make_private, migrate};
use crate::clock::Timestamp;
use crate::store::chain;
use crate::store::database::Failure;
use crate::store::ledger::{Cells, Change, Dialect, Each, Ledger, LedgerError, Query, Type};
use crate::store::row::{Cell, Row};

/// Rows stand as they were written: of the last ones none was written before it was received.
const RECENT: &str = "r.rowid > coalesce((SELECT max(old.rowid) FROM (
        SELECT rowid FROM readings WHERE stored_at < #1 ORDER BY rowid DESC LIMIT 1) old), 0)
    AND r.received_at >= #1";

const DIALECT: Dialect = Dialect { prefix: "", mark: '?', recent: RECENT };

/// A connection that takes its time.
struct SqliteLedger {
    connection: Connection,
    is_reading: bool,
}

/// Opens the file, and brings the schema up to date. Blocking.
pub(in crate::store) fn ledger(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    make_private(path).map_err(|error| LedgerError::Unavailable {
        action: "opening",
        reason: error.to_string(),
    })?;
    let mut connection = connect(path).map_err(unavailable("opening"))?;
    // What a person asked for once must not be taken back by a power cut.
    connection.pragma_update(None, "synchronous", "full").map_err(unavailable("opening"))?;
    migrate::migrate(&mut connection).map_err(|failure| match failure {
        Failure::Fatal(error) => LedgerError::Schema(Box::new(error)),
        other => LedgerError::Unavailable { action: "migrating", reason: other.reason() },
    })?;
    Ok(Box::new(SqliteLedger { connection, is_reading: false }))
}

fn unavailable(action: &'static str) -> impl FnOnce(rusqlite::Error) -> LedgerError {
    move |error| LedgerError::Unavailable { action, reason: chain(&error) }
}

impl Ledger for SqliteLedger {
    fn read(&mut self, query: &Query, each: Each<'_>) -> Result<(), LedgerError> {
        let reading = unavailable;
        if !self.is_reading {
            self.connection.execute_batch("BEGIN").map_err(reading("reading"))?;
            self.is_reading = true;
        }
        let sql = DIALECT.text(query.sql);
        let mut statement = self.connection.prepare(&sql).map_err(reading("reading"))?;
        let values = params_from_iter(&query.values);
        let mut rows = statement.query(values).map_err(reading("reading"))?;
        while let Some(row) = rows.next().map_err(reading("reading"))? {
            each(Cells::new(query.sql, cells(row, query.types)?))?;
        }
        Ok(())
    }

    fn change(&mut self, changes: &[Change]) -> Result<bool, LedgerError> {
        self.change_all(changes).map_err(unavailable("changing"))
    }
}

impl SqliteLedger {
    fn change_all(&mut self, changes: &[Change]) -> rusqlite::Result<bool> {
        if std::mem::take(&mut self.is_reading) {
            self.connection.execute_batch("COMMIT")?;
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        for change in changes {
            let (sql, row) = DIALECT.change(change);
            let changed = transaction.prepare_cached(&sql)?.execute(params_from_iter(row))?;
            if matches!(change, Change::Guard(..)) && changed == 0 {
                return Ok(false);
            }
        }
        transaction.commit()?;
        Ok(true)
    }
}

pub(super) fn cells(row: &SqlRow<'_>, types: &[Type]) -> Result<Row, LedgerError> {
    let read = |(index, kind): (usize, &Type)| {
        let value = row.get_ref(index).map_err(unavailable("reading"))?;
        // What does not fit is told by whoever takes the cell.
        Ok(cell(value, *kind).unwrap_or(Cell::Null))
    };
    types.iter().enumerate().map(read).collect()
}

fn cell(value: ValueRef<'_>, kind: Type) -> Option<Cell> {
    Some(match (kind, value) {
        (Type::Int, ValueRef::Integer(number)) => Cell::Int(number),
        (Type::Real, ValueRef::Real(number)) => Cell::Real(number),
        (Type::Bool, ValueRef::Integer(number)) => Cell::Bool(number != 0),
        (Type::Time, ValueRef::Integer(micros)) => Cell::Time(Timestamp::from_micros(micros)?),
        (Type::Text, ValueRef::Text(text)) => Cell::Text(str::from_utf8(text).ok()?.to_owned()),
        (Type::Uuid, ValueRef::Text(text)) => {
            Cell::Uuid(Uuid::parse_str(str::from_utf8(text).ok()?).ok()?)
        }
        (Type::Bytes, ValueRef::Blob(bytes)) => Cell::Bytes(Bytes::copy_from_slice(bytes)),
        _ => return None,
    })
}
