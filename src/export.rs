//! `pulseward export`: everything held about one patient, as JSON Lines.
//!
//! The first line tells what the file is, of whom, when and as of where in the journal; the last
//! counts the rows of each kind, so that a file that was cut off is known as such. Between them each
//! line is a row, `{"kind": "reading", …}`. Times are RFC 3339 in UTC, quantities stand with their
//! units, payloads in base64.
//!
//! It reads the store directly, in one snapshot, and needs no running service; who may read the
//! configuration's database may export. A file is made readable by its owner only, because it holds
//! what is to be protected most. Nothing is overwritten.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::position::Cursor;
use crate::store::{ExportError, Settings, Sink, export_kinds};
use crate::vitals::{PatientId, PatientKey};

/// Of the lines. A reader that knows another refuses the file.
const FORMAT_VERSION: u32 = 1;

/// What is exported, and where to.
#[derive(Debug, Args)]
pub struct Options {
    /// The patient.
    #[arg(long, value_name = "ID")]
    pub patient: PatientId,
    /// The service's configuration, whose database is read.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A new file, readable by nobody else; the standard output if not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Why nothing was exported, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database can't be read, or the lines not written.
    #[error("exporting {patient}")]
    Export {
        /// Whom.
        patient: PatientId,
        /// Why.
        #[source]
        source: ExportError,
    },
    /// The file can't be made.
    #[error("creating {}", .path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was written may not have reached the disk, or the reader.
    #[error("writing the export")]
    Write(#[source] io::Error),
}

/// How many rows of each kind there were.
pub type Counts = BTreeMap<&'static str, u64>;

/// Exports to a new file or the standard output. A file that was not completed is left, without its
/// last line.
///
/// # Errors
/// [`Error`].
pub async fn run(options: &Options, settings: &Settings) -> Result<Counts, Error> {
    match &options.out {
        Some(path) => {
            let file = create(path)?;
            let mut out = BufWriter::new(file);
            let counts = write(settings, &options.patient, &mut out, bar()).await?;
            let file = out.into_inner().map_err(|error| Error::Write(error.into_error()))?;
            file.sync_all().map_err(Error::Write)?;
            Ok(counts)
        }
        None => {
            let mut out = BufWriter::new(io::stdout());
            // A bar between the lines of a terminal would hide them.
            let counts = write(settings, &options.patient, &mut out, ProgressBar::hidden()).await?;
            out.flush().map_err(Error::Write)?;
            Ok(counts)
        }
    }
}

/// How many rows of each kind there are.
///
/// # Errors
/// [`Error`].
pub async fn count(settings: &Settings, patient: &PatientId) -> Result<Counts, Error> {
    write(settings, patient, &mut io::sink(), bar()).await
}

fn create(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| Error::Create { path: path.to_owned(), source })
}

async fn write(
    settings: &Settings,
    patient: &PatientId,
    out: &mut (impl Write + Send),
    bar: ProgressBar,
) -> Result<Counts, Error> {
    let counts = export_kinds().map(|kind| (kind, 0)).collect();
    let mut lines = Lines { out, patient: patient.clone(), at: SystemClock.now(), counts, bar };
    let exported = crate::store::export(settings, patient, &mut lines).await;
    let exported = exported.and_then(|()| lines.end().map_err(ExportError::from));
    lines.bar.finish_and_clear();
    exported.map_err(|source| Error::Export { patient: patient.clone(), source })?;
    Ok(lines.counts)
}

/// The lines on their way out.
struct Lines<'a, W> {
    out: &'a mut W,
    patient: PatientId,
    at: Timestamp,
    counts: Counts,
    bar: ProgressBar,
}

impl<W: Write + Send> Sink for Lines<'_, W> {
    fn begin(&mut self, patient: PatientKey, cursors: &[Cursor]) -> io::Result<()> {
        let as_of = |cursor: &Cursor| {
            json!({
                "journal_id": cursor.journal_id.to_string(),
                "partition": cursor.partition.0,
                "position": cursor.position.0,
            })
        };
        let header = json!({
            "kind": "header",
            "format": "pulseward-export",
            "version": FORMAT_VERSION,
            "patient_id": self.patient.as_str(),
            "patient_number": patient.0,
            "exported_at": self.at.to_string(),
            "as_of": cursors.iter().map(as_of).collect::<Vec<_>>(),
        });
        writeln!(self.out, "{header}")
    }

    fn row(&mut self, kind: &'static str, json: &str) -> io::Result<()> {
        *self.counts.entry(kind).or_default() += 1;
        self.bar.inc(1);
        self.out.write_all(json.as_bytes())?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Lines<'_, W> {
    fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "{}", json!({ "kind": "summary", "counts": self.counts }))?;
        self.out.flush()
    }
}

/// Drawn on stderr, and only on a terminal.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows, {elapsed}");
    ProgressBar::new_spinner()
        .with_style(style.expect("the template is fixed, and a test draws it"))
}

/// Why a file is not a whole export.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It can't be read.
    #[error("reading the export")]
    Read(#[from] io::Error),
    /// A line is not JSON of ours, or of a later version.
    #[error("line {line} is not a line of an export of version {FORMAT_VERSION}")]
    Line {
        /// Which, from 1.
        line: u64,
    },
    /// It ends before its summary.
    #[error("the file ends at line {line} without a summary: it was cut off")]
    Cut {
        /// Its last.
        line: u64,
    },
    /// The summary counts other lines.
    #[error("the summary counts other rows than there are")]
    Counts,
}

/// Whether a file is an export, and whole; gives how many rows of each kind there are.
///
/// # Errors
/// [`Broken`].
pub fn check(file: impl io::BufRead) -> Result<BTreeMap<String, u64>, Broken> {
    let mut counts = BTreeMap::new();
    let mut told = None;
    let mut number = 0;
    for line in file.lines() {
        let line = line?;
        number += 1;
        let wrong = || Broken::Line { line: number };
        if told.is_some() {
            return Err(wrong());
        }
        let line: serde_json::Value = serde_json::from_str(&line).map_err(|_| wrong())?;
        let kind = line["kind"].as_str().ok_or_else(wrong)?;
        match (number, kind) {
            (1, "header") if line["version"] == FORMAT_VERSION => {}
            (1, _) | (_, "header") => return Err(wrong()),
            (_, "summary") => told = Some(line["counts"].clone()),
            (_, kind) => *counts.entry(kind.to_owned()).or_default() += 1,
        }
    }
    let told = told.ok_or(Broken::Cut { line: number })?;
    let told: BTreeMap<String, u64> = serde_json::from_value(told).map_err(|_| Broken::Counts)?;
    let is_there = |(kind, count): (&String, &u64)| counts.get(kind).unwrap_or(&0) == count;
    if told.iter().all(is_there) && counts.keys().all(|kind| told.contains_key(kind)) {
        Ok(told)
    } else {
        Err(Broken::Counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported() -> Vec<String> {
        let mut out = Vec::new();
        let counts = export_kinds().map(|kind| (kind, 0)).collect();
        let (patient, at) = (PatientId::new("p-1").expect("an id"), Timestamp::EPOCH);
        let bar = ProgressBar::hidden();
        let mut lines = Lines { out: &mut out, patient, at, counts, bar };
        lines.begin(PatientKey(3), &[]).expect("written");
        for number in 0..3 {
            lines.row("reading", &format!("{{\"kind\":\"reading\",\"value\":{number}}}")).unwrap();
        }
        lines.end().expect("written");
        let text = String::from_utf8(out).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    fn checked(lines: &[String]) -> Result<BTreeMap<String, u64>, String> {
        check(lines.join("\n").as_bytes()).map_err(|broken| broken.to_string())
    }

    #[test]
    fn a_whole_file_is_known_as_such() {
        let counts = checked(&exported()).expect("whole");
        assert_eq!((counts["reading"], counts["alert"]), (3, 0));
        assert_eq!(counts.len(), export_kinds().count());
    }

    #[test]
    fn a_file_that_was_cut_off_is_known_as_such_wherever_it_was_cut() {
        let whole = exported();
        for end in 0..whole.len() {
            let cut = checked(&whole[..end]).expect_err("cut between two lines");
            assert!(cut.contains("cut off"), "{cut}");
        }
        let text = whole.join("\n");
        for end in 1..text.len() {
            assert!(check(&text.as_bytes()[..end]).is_err(), "cut after {end} bytes");
        }
    }

    #[test]
    fn a_row_more_or_less_is_noticed() {
        let mut lines = exported();
        let removed = lines.remove(2);
        assert_eq!(checked(&lines), Err(Broken::Counts.to_string()));
        lines.extend([removed.clone()]);
        assert_eq!(checked(&lines), Err(Broken::Line { line: 5 }.to_string()));
        let mut lines = exported();
        lines.insert(2, removed);
        assert_eq!(checked(&lines), Err(Broken::Counts.to_string()));
    }
}
