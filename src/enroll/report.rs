//! What happened to each line: as lines for people, and as a CSV file for programs.
//!
//! Lines are told in the order of the sheet, each as soon as all before it are known.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::plan::Steps;
use super::sheet::Entry;
use crate::clock::Timestamp;

/// The columns of the CSV file. The last but one is since when the device is bound, or to be.
const COLUMNS: [&str; 10] = [
    "line",
    "site",
    "patient_id",
    "device_id",
    "outcome",
    "patient",
    "device",
    "binding",
    "from",
    "reason",
];

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What was done, or is to be done; also where the rest was refused.
    pub(super) steps: Steps,
    /// How it ended.
    pub(super) end: End,
}

impl Outcome {
    /// It ended so before anything was done.
    pub(super) fn nothing(end: End) -> Self {
        Self { steps: Steps::default(), end }
    }
}

/// How a line ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As the sheet says, and since when the device is bound, if it is.
    Enrolled(Option<Timestamp>),
    /// A dry run has found nothing in its way.
    WouldEnroll,
    /// It was so before.
    Unchanged,
    /// Something else is there.
    Conflict(String),
    /// The service does not do it.
    Refused(String),
    /// The service could not be asked, or has not answered: nobody knows what happened.
    Unknown(String),
}

impl End {
    /// Its name in reports.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Enrolled(_) => "enrolled",
            Self::WouldEnroll => "would enroll",
            Self::Unchanged => "unchanged",
            Self::Conflict(_) => "conflict",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether the line is as the sheet says, or would be.
    const fn is_well(&self) -> bool {
        matches!(self, Self::Enrolled(_) | Self::WouldEnroll | Self::Unchanged)
    }

    fn reason(&self) -> &str {
        match self {
            Self::Conflict(reason) | Self::Refused(reason) | Self::Unknown(reason) => reason,
            Self::Enrolled(_) | Self::WouldEnroll | Self::Unchanged => "",
        }
    }
}

/// How many lines ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<&'static str, usize>,
    failed: usize,
}

impl Tally {
    fn count(&mut self, end: &End) {
        *self.counts.entry(end.name()).or_default() += 1;
        self.failed += usize::from(!end.is_well());
    }

    /// How many lines are not as the sheet says.
    #[must_use]
    pub const fn failed(&self) -> usize {
        self.failed
    }
}

impl fmt::Display for Tally {
    /// `3 lines: 1 conflict, 2 enrolled`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: usize = self.counts.values().sum();
        write!(f, "{lines} {}: ", if lines == 1 { "line" } else { "lines" })?;
        let counts = self.counts.iter().map(|(name, count)| format!("{count} {name}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

/// Where lines are told.
pub(super) struct Report<'e, W> {
    /// What the lines call the sheet.
    file: &'e str,
    entries: &'e [Entry],
    /// Whether only those lines are told that went wrong.
    is_quiet: bool,
    out: W,
    csv: Option<(PathBuf, csv::Writer<File>)>,
    /// What is known of lines behind the next one.
    waiting: BTreeMap<usize, Outcome>,
    /// The next line to be told, by its place among the entries.
    next: usize,
    tally: Tally,
}

impl<'e, W: Write> Report<'e, W> {
    pub(super) fn new(file: &'e str, entries: &'e [Entry], is_quiet: bool, out: W) -> Self {
        let (waiting, tally) = (BTreeMap::new(), Tally::default());
        Self { file, entries, is_quiet, out, csv: None, waiting, next: 0, tally }
    }

    /// Writes it to a CSV file, too.
    pub(super) fn with_csv(mut self, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Report { path: path.to_owned(), source };
        let writer = csv::Writer::from_writer(File::create(path).map_err(failed)?);
        self.csv = Some((path.to_owned(), writer));
        self.record(COLUMNS)?;
        Ok(self)
    }

    fn record<F: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = F>) -> Result<(), Error> {
        let Some((path, csv)) = &mut self.csv else { return Ok(()) };
        let written = csv.write_record(fields);
        written.map_err(|error| Error::Report { path: path.clone(), source: error.into() })
    }

    /// Tells something of the sheet as a whole.
    pub(super) fn say(&mut self, what: &str) -> Result<(), Error> {
        let line = format!("{}: {what}", self.file);
        self.print(&line)
    }

    /// Who has read enough and closed the pipe does not keep the lines from being enrolled.
    fn print(&mut self, line: &str) -> Result<(), Error> {
        match writeln!(self.out, "{line}") {
            Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::Print(source)),
            _ => Ok(()),
        }
    }

    /// Takes note of what became of an entry; tells what can be told in order.
    pub(super) fn note(&mut self, index: usize, outcome: Outcome) -> Result<(), Error> {
        self.waiting.insert(index, outcome);
        while let Some(outcome) = self.waiting.remove(&self.next) {
            let entry = &self.entries[self.next];
            self.next += 1;
            self.tell(entry, &outcome)?;
        }
        Ok(())
    }

    fn tell(&mut self, entry: &Entry, outcome: &Outcome) -> Result<(), Error> {
        self.tally.count(&outcome.end);
        if !self.is_quiet || !outcome.end.is_well() {
            let line = format!("{}:{}: {}", self.file, entry.line, words(entry, outcome));
            self.print(&line)?;
        }
        self.record(row(entry, outcome))
    }

    /// Every entry was told: sums them up.
    pub(super) fn finish(mut self) -> Result<Tally, Error> {
        let is_unwatched = |entry: &&Entry| {
            entry.patient.is_some() && entry.schedule.expected_intervals.is_empty()
        };
        let unwatched = self.entries.iter().filter(is_unwatched).count();
        if unwatched > 0 {
            self.say(&format!(
                "{unwatched} of its bindings expect no vital, so that nobody is told when the \
                 devices fall silent; see --measures"
            ))?;
        }
        self.say(&self.tally.to_string())?;
        if let Some((path, csv)) = &mut self.csv {
            csv.flush().map_err(|source| Error::Report { path: path.clone(), source })?;
        }
        Ok(self.tally)
    }
}

/// `enrolled: device d on patient p since …; new: patient, device`
fn words(entry: &Entry, outcome: &Outcome) -> String {
    let Entry { patient, device, .. } = entry;
    let end = outcome.end.name();
    let reason = outcome.end.reason();
    if !reason.is_empty() {
        return format!("{end}: {reason}{}", made(outcome.steps, "done before that: new"));
    }
    let on = patient.as_ref().map_or_else(String::new, |patient| format!(" on patient {patient}"));
    let since = match outcome.end {
        End::Enrolled(Some(from)) => format!(" since {from}"),
        _ => String::new(),
    };
    format!("{end}: device {device}{on}{since}{}", made(outcome.steps, "new"))
}

/// `; new: patient, device`, as far as that is so.
fn made(steps: Steps, what: &str) -> String {
    let made = [(steps.create_patient, "patient"), (steps.create_device, "device")];
    let made: Vec<_> = made.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
    if made.is_empty() { String::new() } else { format!("; {what}: {}", made.join(", ")) }
}

fn row(entry: &Entry, outcome: &Outcome) -> [String; 10] {
    let Entry { line, site, patient, device, from, .. } = entry;
    let Steps { create_patient, create_device, bind } = outcome.steps;
    let new = |is_new: bool| if is_new { "new" } else { "" }.to_owned();
    let from = match &outcome.end {
        End::Enrolled(bound) => bound.as_ref(),
        _ => from.as_ref(),
    };
    [
        line.to_string(),
        site.to_string(),
        patient.as_ref().map(ToString::to_string).unwrap_or_default(),
        device.to_string(),
        outcome.end.name().to_owned(),
        new(create_patient),
        new(create_device),
        new(bind),
        from.map(ToString::to_string).unwrap_or_default(),
        outcome.end.reason().to_owned(),
    ]
}
