//! What a person's command needs of a database, told once for both kinds: rows read one by one in
//! one snapshot, and a few rows changed in one transaction.
//!
//! It blocks, and belongs on a thread of its own: whoever rebuilds or hands over works through
//! millions of rows one after the other, and a journal's commits, which come between, block too.
//! The follower has its own way, which is faster.

use super::Error;
use super::row::{Cell, Row, Statement, Table};
use crate::clock::Timestamp;
use uuid::Uuid;

/// Why a database could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It can't be reached, or does not do what it should.
    #[error("{action} the database: {reason}")]
    Unavailable {
        /// What was being done.
        action: &'static str,
        /// What it or the network said.
        reason: String,
    },
    /// Its schema is none of this service.
    #[error("the schema of the database")]
    Schema(#[source] Box<Error>),
    /// A row holds what no service wrote.
    #[error("{table} in the database holds {what} that makes no sense")]
    Senseless {
        /// Where.
        table: &'static str,
        /// What.
        what: String,
    },
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Any whole number, cast to eight bytes by the statement.
    Int,
    Real,
    Text,
    Bool,
    Bytes,
    Time,
    Uuid,
}

/// The types of some columns and then of others, `N` in all.
pub(super) const fn joined<const N: usize>(first: &[Type], rest: &[Type]) -> [Type; N] {
    let mut types = [Type::Int; N];
    let (left, right) = types.split_at_mut(first.len());
    left.copy_from_slice(first);
    right.copy_from_slice(rest);
    types
}

/// A statement that reads. In its text `@` stands for the schema before a name of ours, `#1` for a
/// parameter, and `@recent` for what leaves over the readings received since `#1`, and some more.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) sql: &'static str,
    pub(super) types: &'static [Type],
    pub(super) values: Vec<Cell>,
}

/// One change of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A row, overwriting the one of its key.
    Put(&'static Table, Row),
    /// A row, unless there is one of its key.
    Add(&'static Table, Row),
    /// A statement of ours, with its cells.
    Run(&'static Statement, Row),
    /// A statement, as that of a [`Query`].
    Execute(&'static str, Row),
    /// The same; if it changes no row, nothing of the transaction is done.
    Guard(&'static str, Row),
}

/// How the statements of one kind of database differ from the other's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The schema with its dot.
    pub(super) prefix: &'static str,
    /// What begins a numbered parameter.
    pub(super) mark: char,
    /// See [`Query`].
    pub(super) recent: &'static str,
}

impl Dialect {
    pub(super) fn text(&self, sql: &str) -> String {
        sql.replace("@recent", self.recent)
            .replace('@', self.prefix)
            .replace('#', self.mark.encode_utf8(&mut [0; 4]))
    }

    /// The text of a change, and its values.
    pub(super) fn change<'c>(&self, change: &'c Change) -> (String, &'c Row) {
        match change {
            Change::Put(table, row) => (table.insert_sql(self.prefix, self.mark), row),
            Change::Add(table, row) => (table.add_sql(self.prefix, self.mark), row),
            Change::Run(statement, row) => (statement.sql(self.prefix, self.mark), row),
            Change::Execute(sql, row) | Change::Guard(sql, row) => (self.text(sql), row),
        }
    }
}

/// What becomes of each row that is read.
pub(super) type Each<'a> = &'a mut dyn FnMut(Cells) -> Result<(), LedgerError>;

/// A connection with the schema in place.
pub(super) trait Ledger: Send {
    /// Reads rows, from one and the same snapshot until something is changed. Blocking.
    fn read(&mut self, query: &Query, each: Each<'_>) -> Result<(), LedgerError>;

    /// Changes all or nothing, durably; false if a guard found nothing. Blocking.
    fn change(&mut self, changes: &[Change]) -> Result<bool, LedgerError>;
}

impl dyn Ledger + '_ {
    /// The one row that a statement gives, if it gives one.
    pub(super) fn one(&mut self, query: &Query) -> Result<Option<Cells>, LedgerError> {
        let mut found = None;
        self.read(query, &mut |cells| {
            found = Some(cells);
            Ok(())
        })?;
        Ok(found)
    }
}

/// A row that was read, taken cell by cell from the left.
#[derive(Debug)]
pub(super) struct Cells {
    table: &'static str,
    cells: std::vec::IntoIter<Cell>,
}

impl Cells {
    /// `table` names where it is from, for errors.
    pub(super) fn new(sql: &'static str, cells: Row) -> Self {
        let from = sql.split_once("FROM @").map_or("a row", |(_, from)| from);
        let table = from.split(|c: char| c.is_whitespace()).next().unwrap_or("a row");
        Self { table, cells: cells.into_iter() }
    }

    fn next(&mut self) -> Cell {
        self.cells.next().unwrap_or(Cell::Null)
    }

    pub(super) fn wrong(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Senseless { table: self.table, what: what.into() }
    }

    /// What the next cell holds, by `read`; nothing else may stand there.
    fn take<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(Cell) -> Option<T>,
    ) -> Result<T, LedgerError> {
        let cell = self.next();
        read(cell).ok_or_else(|| self.wrong(what))
    }

    /// The same, or null.
    fn take_or<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(Cell) -> Option<T>,
    ) -> Result<Option<T>, LedgerError> {
        match self.next() {
            Cell::Null => Ok(None),
            cell => read(cell).map(Some).ok_or_else(|| self.wrong(what)),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64, LedgerError> {
        self.take("a number", int)
    }

    pub(super) fn int_or_null(&mut self) -> Result<Option<i64>, LedgerError> {
        self.take_or("a number", int)
    }

    /// A number that must be one of a narrower type.
    pub(super) fn number<N: TryFrom<i64>>(&mut self) -> Result<N, LedgerError> {
        self.take("a number", |cell| N::try_from(int(cell)?).ok())
    }

    /// A key: unsigned here and signed there.
    pub(super) fn key(&mut self) -> Result<u32, LedgerError> {
        self.take("a key", |cell| i32::try_from(int(cell)?).ok().map(i32::cast_unsigned))
    }

    pub(super) fn key_or_null(&mut self) -> Result<Option<u32>, LedgerError> {
        self.take_or("a key", |cell| i32::try_from(int(cell)?).ok().map(i32::cast_unsigned))
    }

    pub(super) fn real_or_null(&mut self) -> Result<Option<f64>, LedgerError> {
        self.take_or("a number", |cell| match cell {
            Cell::Real(number) => Some(number),
            _ => None,
        })
    }

    pub(super) fn text(&mut self) -> Result<String, LedgerError> {
        self.take("a text", text)
    }

    pub(super) fn text_or_null(&mut self) -> Result<Option<String>, LedgerError> {
        self.take_or("a text", text)
    }

    /// What a text says, by `read`.
    pub(super) fn word<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, LedgerError> {
        self.take(what, |cell| read(&text(cell)?))
    }

    pub(super) fn word_or_null<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, LedgerError> {
        self.take_or(what, |cell| read(&text(cell)?))
    }

    pub(super) fn flag(&mut self) -> Result<bool, LedgerError> {
        self.take("a flag", |cell| match cell {
            Cell::Bool(is_so) => Some(is_so),
            _ => None,
        })
    }

    pub(super) fn bytes_or_null(&mut self) -> Result<Option<bytes::Bytes>, LedgerError> {
        self.take_or("bytes", |cell| match cell {
            Cell::Bytes(bytes) => Some(bytes),
            _ => None,
        })
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, LedgerError> {
        self.take("a time", time)
    }

    pub(super) fn time_or_null(&mut self) -> Result<Option<Timestamp>, LedgerError> {
        self.take_or("a time", time)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, LedgerError> {
        self.take("an id", |cell| match cell {
            Cell::Uuid(uuid) => Some(uuid),
            _ => None,
        })
    }
}

fn int(cell: Cell) -> Option<i64> {
    match cell {
        Cell::Int(number) => Some(number),
        _ => None,
    }
}

fn text(cell: Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

fn time(cell: Cell) -> Option<Timestamp> {
    match cell {
        Cell::Time(time) => Some(time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_serves_both_databases() {
        let sql = "SELECT x FROM @sites WHERE @recent AND y = #2";
        let postgres = Dialect { prefix: "pulseward.", mark: '$', recent: "received_at >= #1" };
        assert_eq!(
            postgres.text(sql),
            "SELECT x FROM pulseward.sites WHERE received_at >= $1 AND y = $2"
        );
        let sqlite = Dialect { prefix: "", mark: '?', recent: "rowid > 0" };
        assert_eq!(sqlite.text(sql), "SELECT x FROM sites WHERE rowid > 0 AND y = ?2");
    }

    #[test]
    fn a_cell_of_another_kind_is_an_error_that_names_its_table() {
        let row = || Cells::new("SELECT a FROM @sites s", vec![Cell::Bool(true), Cell::Null]);
        let error = row().int().expect_err("it is a flag");
        assert_eq!(error.to_string(), "sites in the database holds a number that makes no sense");
        let mut cells = row();
        assert!(cells.flag().expect("a flag"));
        assert_eq!(cells.int_or_null().expect("null"), None);
        assert!(cells.int().is_err(), "there are no more");
    }
}
