//! The list of erasures: CSV with columns `patient_id` and `erased_at`, a line for each, as
//! `pulseward erase` prints them. A header may stand first; blank lines and lines that begin with
//! `#` are passed over.

use std::path::Path;

use csv::{ReaderBuilder, Trim};

use crate::clock::Timestamp;
use crate::vitals::PatientId;

/// Why a list can't be taken. Nobody on it is erased then.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It can't be read, or is no CSV.
    #[error("it can't be read")]
    Read(#[from] csv::Error),
    /// A line is not `patient_id,erased_at`.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

/// An erasure that is to be applied again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) patient: PatientId,
    /// Who was added under the id since is another.
    pub(super) erased_at: Timestamp,
}

/// Reads a list whole, before anything is done by it.
pub(super) fn read(path: &Path) -> Result<Vec<Listed>, ListError> {
    parse(builder().from_path(path)?)
}

fn builder() -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).comment(Some(b'#')).trim(Trim::All);
    builder
}

fn parse<R: std::io::Read>(mut reader: csv::Reader<R>) -> Result<Vec<Listed>, ListError> {
    let mut listed = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = record.iter().collect();
        match fields[..] {
            ["patient_id", "erased_at"] if listed.is_empty() => {}
            [patient, erased_at] => listed.push(
                entry(patient, erased_at).map_err(|problem| ListError::Line { line, problem })?,
            ),
            _ => {
                let problem = "not patient_id,erased_at".to_owned();
                return Err(ListError::Line { line, problem });
            }
        }
    }
    Ok(listed)
}

fn entry(patient: &str, erased_at: &str) -> Result<Listed, String> {
    let patient = PatientId::new(patient).map_err(|error| error.to_string())?;
    let erased_at = erased_at.parse().map_err(|error| format!("{erased_at:?}: {error}"))?;
    Ok(Listed { patient, erased_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Listed>, String> {
        parse(builder().from_reader(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_printed_is_read_with_or_without_a_header() {
        let lines =
            "p-1,2026-01-31T08:00:00.000001Z\n\n# kept by Anna\np-2, 2026-02-01T00:00:00Z\n";
        let listed = parsed(lines).expect("a list");
        let ids: Vec<_> = listed.iter().map(|it| it.patient.as_str()).collect();
        assert_eq!(ids, ["p-1", "p-2"]);
        assert_eq!(listed[0].erased_at.to_string(), "2026-01-31T08:00:00.000001Z");
        assert_eq!(parsed(&format!("patient_id,erased_at\n{lines}")), Ok(listed));
    }

    #[test]
    fn a_wrong_line_is_named_and_nobody_is_taken() {
        for (text, expected) in [
            ("p-1,2026-01-31T08:00:00Z\np-2\n", "line 2: not patient_id,erased_at"),
            ("p 1,2026-01-31T08:00:00Z\n", "line 1: \"p 1\" is not an id"),
            ("p-1,yesterday\n", "line 1: \"yesterday\""),
        ] {
            let refused = parsed(text).expect_err(text);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
