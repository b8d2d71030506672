//! Recorded vitals as the BIDMC data set writes them: `bidmc_01_Numerics.csv`.
//!
//! A file begins with the header `Time [s], HR, PULSE, RESP, SpO2` and holds one row per second.
//! Its times are seconds from the recording's begin, and may start below zero. `NaN` is a missing
//! value. [`read`] refuses anything else, naming file and line. It does not judge values: what a
//! monitor recorded is what is sent.

use std::io;
use std::path::{Path, PathBuf};

use crate::sample::Vital;

const TIME_COLUMN: &str = "Time [s]";
const FILE_NAME: (&str, &str) = ("bidmc_", "_Numerics.csv");
const MISSING: &str = "NaN";
/// Times beyond ten years are no recording's; the bound keeps milliseconds exact in a float.
const SECONDS_MAX: f64 = 10.0 * 366.0 * 86_400.0;

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The number in the file's name, such as `01`.
    pub number: String,
    /// At least one row, in strictly rising time.
    pub rows: Vec<Row>,
}

/// What was recorded at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// From the recording's time 0, in milliseconds.
    pub offset_ms: i64,
    /// Present values.
    pub values: Vec<(Vital, f64)>,
    /// How many values are missing.
    pub missing: u64,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name does not say which recording it is.
    #[error("{path}: the name of a recording is like bidmc_01_Numerics.csv")]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not what the format asks for.
    #[error("{path}:{line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// The recording in the file at `path`.
///
/// # Errors
/// If the file's name, or any line of it, is not of the format.
pub fn read(path: &Path) -> Result<Recording, Error> {
    let number = number(path).ok_or_else(|| Error::Name { path: path.to_owned() })?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let rows =
        parse(&text).map_err(|(line, what)| Error::Line { path: path.to_owned(), line, what })?;
    Ok(Recording { number, rows })
}

/// `01` of `bidmc_01_Numerics.csv`.
fn number(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_prefix(FILE_NAME.0)?.strip_suffix(FILE_NAME.1)?;
    let plain = !number.is_empty()
        && number.len() <= 8
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| number.to_owned())
}

/// The rows of a file's text, or the number of the first bad line and what is wrong with it.
fn parse(text: &str) -> Result<Vec<Row>, (usize, String)> {
    let mut lines = (1..).zip(text.lines());
    let (_, header) = lines.next().ok_or_else(|| (1, "the file is empty".to_owned()))?;
    let columns = parse_header(header).map_err(|what| (1, what))?;
    let mut rows: Vec<Row> = Vec::new();
    for (line, text) in lines {
        let after = rows.last().map(|row| row.offset_ms);
        rows.push(parse_row(text, &columns, after).map_err(|what| (line, what))?);
    }
    if rows.is_empty() { Err((1, "no rows follow the header".to_owned())) } else { Ok(rows) }
}

fn parse_header(header: &str) -> Result<Vec<Vital>, String> {
    let mut names = header.split(',').map(str::trim);
    if names.next() != Some(TIME_COLUMN) {
        return Err(format!("the header does not begin with {TIME_COLUMN:?}"));
    }
    let columns: Vec<Vital> = names.map(vital).collect::<Result<_, _>>()?;
    let twice = columns.iter().enumerate().any(|(at, vital)| columns[..at].contains(vital));
    match (columns.is_empty(), twice) {
        (true, _) => Err("the header names no vital".to_owned()),
        (_, true) => Err("the header names a column twice".to_owned()),
        _ => Ok(columns),
    }
}

fn vital(column: &str) -> Result<Vital, String> {
    Ok(match column {
        "HR" => Vital::HeartRate,
        "PULSE" => Vital::PulseRate,
        "RESP" => Vital::RespiratoryRate,
        "SpO2" => Vital::Spo2,
        _ => return Err(format!("column {column:?} is none of HR, PULSE, RESP, SpO2")),
    })
}

fn parse_row(text: &str, columns: &[Vital], after: Option<i64>) -> Result<Row, String> {
    let mut cells = text.split(',').map(str::trim);
    let offset_ms = parse_time(cells.next().unwrap_or(""))?;
    if after.is_some_and(|after| offset_ms <= after) {
        return Err("its time is not later than that of the line before".to_owned());
    }
    let cells: Vec<&str> = cells.collect();
    if cells.len() != columns.len() {
        return Err(format!("{} values under {} columns", cells.len(), columns.len()));
    }
    let mut row = Row { offset_ms, values: Vec::with_capacity(columns.len()), missing: 0 };
    for (vital, cell) in columns.iter().zip(cells) {
        match parse_value(cell)? {
            Some(value) => row.values.push((*vital, value)),
            None => row.missing += 1,
        }
    }
    Ok(row)
}

fn parse_time(cell: &str) -> Result<i64, String> {
    let seconds: f64 = cell.parse().map_err(|_| format!("{cell:?} is not a time in seconds"))?;
    if !seconds.is_finite() || seconds.abs() > SECONDS_MAX {
        return Err(format!("{cell:?} is not a time of a recording"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by SECONDS_MAX above")]
    Ok((seconds * 1000.0).round() as i64)
}

fn parse_value(cell: &str) -> Result<Option<f64>, String> {
    if cell == MISSING {
        return Ok(None);
    }
    let value: f64 = cell
        .parse()
        .map_err(|_| format!("{cell:?} is no number (a missing value is written {MISSING})"))?;
    if value.is_finite() { Ok(Some(value)) } else { Err(format!("{cell:?} is not finite")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Time [s], HR, PULSE, RESP, SpO2\n";

    fn check_refused(rows: &str, line: usize, what: &str) {
        let (at, said) = parse(&format!("{HEADER}{rows}")).expect_err("refused");
        assert_eq!(at, line, "{said}");
        assert!(said.contains(what), "{said}");
    }

    #[test]
    fn values_are_those_of_their_columns() {
        let rows = parse(&format!("{HEADER}0,94,93,25,97\n")).expect("good");
        let values = vec![
            (Vital::HeartRate, 94.0),
            (Vital::PulseRate, 93.0),
            (Vital::RespiratoryRate, 25.0),
            (Vital::Spo2, 97.0),
        ];
        assert_eq!(rows, [Row { offset_ms: 0, values, missing: 0 }]);
    }

    #[test]
    fn a_missing_value_is_counted_and_left_out() {
        let rows = parse(&format!("{HEADER}0,94,NaN,25,NaN\n")).expect("good");
        let vitals: Vec<_> = rows[0].values.iter().map(|(vital, _)| *vital).collect();
        assert_eq!((vitals, rows[0].missing), (vec![Vital::HeartRate, Vital::RespiratoryRate], 2));
    }

    #[test]
    fn times_may_start_below_zero_at_minus_zero_and_within_a_second() {
        let rows = parse("Time [s], HR\n-1,60\n-0,61\n0.5,62").expect("good");
        let times: Vec<_> = rows.iter().map(|row| row.offset_ms).collect();
        assert_eq!(times, [-1000, 0, 500]);
    }

    #[test]
    fn a_bad_line_is_refused_by_its_number() {
        check_refused("0,94,93,25,97\n1,94,93,x,97\n", 3, "\"x\" is no number");
        check_refused("0,94,93,25\n", 2, "3 values under 4 columns");
        check_refused("0,94,93,25,97,1\n", 2, "5 values under 4 columns");
        check_refused("zero,94,93,25,97\n", 2, "not a time");
        check_refused("0,94,93,25,97\n\n1,94,93,25,97\n", 3, "not a time");
        check_refused("0,94,,25,97\n", 2, "missing value is written NaN");
        check_refused("0,inf,93,25,97\n", 2, "not finite");
        check_refused("inf,94,93,25,97\n", 2, "not a time");
        check_refused("", 1, "no rows");
    }

    #[test]
    fn time_that_stands_still_or_runs_backwards_is_refused() {
        check_refused("0,94,93,25,97\n0,94,93,25,97\n", 3, "not later");
        check_refused("5,94,93,25,97\n4,94,93,25,97\n", 3, "not later");
    }

    #[test]
    fn a_foreign_header_is_refused_at_line_one() {
        for (header, what) in [
            ("", "empty"),
            ("Seconds, HR\n0,1", "does not begin"),
            ("Time [s]\n0", "no vital"),
            ("Time [s], HR, ABP\n0,1,2", "ABP"),
            ("Time [s], HR, HR\n0,1,2", "twice"),
        ] {
            let (line, said) = parse(header).expect_err("refused");
            assert!(line == 1 && said.contains(what), "{line}: {said}");
        }
    }

    #[test]
    fn the_number_comes_from_the_name_of_the_file() {
        let number = |name: &str| super::number(Path::new(name));
        assert_eq!(number("a/bidmc_23_Numerics.csv").as_deref(), Some("23"));
        for name in ["bidmc_Numerics.csv", "bidmc__Numerics.csv", "bidmc_a b_Numerics.csv", "x.csv"]
        {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn an_error_names_file_and_line() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("bidmc_07_Numerics.csv");
        std::fs::write(&path, format!("{HEADER}0,1,2,3,4\n1,1,2,3\n")).expect("written");
        let said = read(&path).expect_err("refused").to_string();
        assert!(said.ends_with("bidmc_07_Numerics.csv:3: 3 values under 4 columns"), "{said}");
    }
}
