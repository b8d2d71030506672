//! The text of a sheet, its records, and where in it things stand.
//!
//! The `csv` crate reads the records; it does not say where a field begins, and calls the comments
//! before a record a part of it. Both are found here again, by the same rules.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::config::{Violation, place_in_file};

/// What begins a line that is not read.
const COMMENT: u8 = b'#';
const QUOTE: u8 = b'"';
const BYTE_ORDER_MARK: char = '\u{feff}';
/// What may stand between columns; the first is the one of a sheet with a single column.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// A sheet's text.
pub(super) struct Text<'t> {
    file: &'t str,
    text: Cow<'t, str>,
    delimiter: u8,
}

impl<'t> Text<'t> {
    /// The text of these bytes.
    ///
    /// # Errors
    /// If it is not UTF-8, with the place where it ceases to be.
    pub(super) fn new(file: &'t str, bytes: &'t [u8]) -> Result<Self, Violation> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            Violation {
                place: place_in_file(file, &valid, valid.len()),
                subject: String::new(),
                problem: "not UTF-8; save it as CSV in UTF-8".to_owned(),
            }
        })?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        // A carriage return alone ends the lines of some old spreadsheets.
        let text =
            if text.contains('\n') { Cow::from(text) } else { text.replace('\r', "\n").into() };
        let delimiter = delimiter(&text);
        Ok(Self { file, text, delimiter })
    }

    /// `file:line:column` of an offset.
    pub(super) fn place(&self, at: usize) -> String {
        place_in_file(self.file, &self.text, at)
    }

    /// The records with something in them, and where each begins. Fields are trimmed.
    pub(super) fn records(&self) -> impl Iterator<Item = (usize, StringRecord)> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(COMMENT))
            .delimiter(self.delimiter)
            .trim(Trim::All)
            .from_reader(self.text.as_bytes());
        let records = reader.into_records().map(|record| {
            let record = record.expect("a text in memory is read, and may have any shape");
            let from = record.position().expect("a record that was read has one").byte();
            (self.skip_unread(usize::try_from(from).expect("within the text")), record)
        });
        // Spreadsheets leave lines behind that have columns and nothing in them.
        records.filter(|(_, record)| record.iter().any(|field| !field.is_empty()))
    }

    /// Where the first line at or behind `at` begins that is neither blank nor a comment.
    fn skip_unread(&self, mut at: usize) -> usize {
        while let Some(line) = self.text[at..].split_inclusive('\n').next() {
            if !line.trim_end_matches(['\r', '\n']).is_empty() && line.as_bytes()[0] != COMMENT {
                break;
            }
            at += line.len();
        }
        at
    }

    /// Where the field `index` begins of the record that begins at `record`.
    pub(super) fn field_at(&self, record: usize, index: usize) -> usize {
        let mut is_quoted = false;
        let mut left = index;
        for (offset, byte) in self.text.as_bytes()[record..].iter().enumerate() {
            let is_space = *byte == b' ';
            if left == 0 && !is_space {
                return record + offset;
            }
            if *byte == QUOTE {
                is_quoted = !is_quoted;
            }
            if *byte == self.delimiter && !is_quoted {
                left -= 1;
            }
        }
        record
    }

    /// Counts lines along the text.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { text: &self.text, at: 0, line: 1 }
    }
}

/// Tells the lines of offsets that do not go back.
pub(super) struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of this offset, from 1.
    pub(super) fn line_of(&mut self, at: usize) -> usize {
        self.line += self.text[self.at..at].matches('\n').count();
        self.at = at;
        self.line
    }
}

/// What stands between the columns of the first line that is read.
fn delimiter(text: &str) -> u8 {
    let is_read = |line: &&str| !line.trim().is_empty() && line.as_bytes()[0] != COMMENT;
    let header = text.lines().find(is_read).unwrap_or_default();
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    let most = DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter));
    most.expect("there are some")
}
