//! Rows that the database refuses: how they are told from a database in trouble, and what is kept
//! of them.
//!
//! A row is refused when the database says that it can't hold what stands in it: a number beyond a
//! column's range, a text beyond the database's encoding, a `CHECK` or a trigger that somebody
//! added. Such a row would come again for ever. It is found among the others, and stands in
//! `refused_rows` instead, with the error, in the transaction that writes the others and moves the
//! cursor: each row is stored or set aside, once. What concerns a whole table or the database (a
//! missing column or right, a disk that is full) is no row's fault; then all rows wait in the
//! journal.
//!
//! Promises: nothing of a row is logged; a row that can't even be set aside is an outage with a
//! reason, not a silent loop.
//!
//! How operators see them and put them back: docs/operations.md, whose statements a test runs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::batch::Part;
use super::row::{self, Cell, Origin, Row, Table};
use crate::clock::Timestamp;
use crate::position::Cursor;

pub(super) static REFUSED_ROWS: Table = Table {
    name: "refused_rows",
    columns: &[
        "journal_id",
        "partition",
        "position",
        "output_index",
        "table_name",
        "content",
        "error_code",
        "error",
        "refused_at",
    ],
    key: 0,
};

/// What a database said against a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// SQLSTATE, or SQLite's extended result code.
    pub(super) code: String,
    /// The constraint or the column that was violated, if the database names one.
    pub(super) about: Option<String>,
    /// In the database's words, which may quote the row: they go where the row goes, and not into
    /// a log.
    pub(super) message: String,
}

impl fmt::Display for Fault {
    /// Without what may quote the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        self.about.as_ref().map_or(Ok(()), |about| write!(f, " ({about})"))
    }
}

/// What became of a batch that was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many rows were set aside, by table.
    pub(super) refused: BTreeMap<&'static str, u64>,
}

/// How a database writes what JSON has no form for, so that it can read it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) time: fn(Timestamp) -> String,
    pub(super) bytes: fn(&[u8]) -> String,
}

/// Rows on their way into [`REFUSED_ROWS`].
#[derive(Debug)]
pub(super) struct Refusals {
    /// Where the batch begins, which names the journal.
    from: Cursor,
    /// The moment of the transaction.
    at: Timestamp,
    dialect: Dialect,
    rows: Vec<Row>,
    written: Written,
}

impl Refusals {
    pub(super) fn new(from: Cursor, at: Timestamp, dialect: Dialect) -> Self {
        Self { from, at, dialect, rows: Vec::new(), written: Written::default() }
    }

    /// Takes a row of a part, and why it was refused.
    pub(super) fn push(&mut self, part: &Part<'_>, index: usize, fault: &Fault) {
        let (place, cells) = part.row(index, self.at);
        let origin = Origin {
            journal_id: self.from.journal_id,
            partition: self.from.partition,
            position: place.position,
            index: place.index,
            received_at: self.at,
        };
        let mut row = Row::from(row::origin_cells(origin));
        row.extend([
            Cell::Text(part.table_name().to_owned()),
            Cell::Json(content(&part.columns(), &cells, self.dialect)),
            Cell::Text(ascii(&fault.code)),
            Cell::Text(ascii(&fault.message)),
            Cell::Time(self.at),
        ]);
        self.rows.push(row);
        *self.written.refused.entry(part.table_name()).or_default() += 1;
    }

    /// The rows of [`REFUSED_ROWS`].
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn written(self) -> Written {
        self.written
    }
}

/// A row as a JSON object in ASCII, which every encoding has.
fn content(columns: &[&str], cells: &[Cell], dialect: Dialect) -> String {
    let mut text = String::from("{");
    for (column, cell) in columns.iter().zip(cells) {
        let comma = if text.len() == 1 { "" } else { ", " };
        let value = match cell {
            Cell::Null => "null".to_owned(),
            Cell::Bool(is_so) => is_so.to_string(),
            Cell::Int(number) => number.to_string(),
            Cell::Real(number) => serde_json::Value::from(*number).to_string(),
            Cell::Text(text) => quoted(text),
            Cell::Json(text) => text.clone(),
            Cell::Bytes(bytes) => quoted(&(dialect.bytes)(bytes)),
            Cell::Time(time) => (dialect.time)(*time),
            Cell::Uuid(uuid) => quoted(&uuid.to_string()),
        };
        text.push_str(comma);
        text.push_str(&quoted(column));
        text.push_str(": ");
        text.push_str(&value);
    }
    text.push('}');
    ascii(&text)
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A digit pair for each byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// What is not ASCII as JSON escapes, by its UTF-16 units. Inside of a JSON text these mean the same.
fn ascii(text: &str) -> String {
    let mut units = [0; 2];
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        if character.is_ascii() && character != '\0' {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes everything");
            }
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect { time: |time| time.micros().to_string(), bytes: hexadecimal };

    #[test]
    fn a_row_is_kept_as_json_that_every_encoding_has() {
        let cells = [
            Cell::Text("Zoë \"🩺\"".to_owned()),
            Cell::Json("{\"a\": \"ß\"}".to_owned()),
            Cell::Real(36.6),
            Cell::Null,
            Cell::Bytes(bytes::Bytes::from_static(b"\x00\xff")),
            Cell::Time(Timestamp::EPOCH),
        ];
        let kept = content(&["a", "b", "c", "d", "e", "f"], &cells, DIALECT);
        assert!(kept.is_ascii(), "{kept}");
        let read: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
        let expected = serde_json::json!({
            "a": "Zoë \"🩺\"", "b": {"a": "ß"}, "c": 36.6, "d": null, "e": "00ff", "f": 0,
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn what_a_log_gets_of_a_fault_quotes_no_row() {
        let fault = Fault {
            code: "22003".to_owned(),
            about: Some("column value".to_owned()),
            message: "value 271.5 of patient Zoë is out of range".to_owned(),
        };
        assert_eq!(fault.to_string(), "22003 (column value)");
    }
}
