//! An enrolment sheet: CSV text into entries, or into everything that is wrong with it.
//!
//! Promises: nothing ends at the first mistake, and each is told with the line and column at which
//! its field begins. A byte order mark, either kind of line end, quoted fields, blank lines, lines
//! that begin with `#`, and semicolons or tabs between the columns, as spreadsheets write them, are
//! all read. What only the service can know is not looked at here.

mod place;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use csv::StringRecord;

use self::place::Text;
use crate::clock::Timestamp;
use crate::config::{Period, Violation, Violations, hint};
use crate::engine::input::{BIND_AHEAD_MAX, Schedule};
use crate::vitals::{DeviceId, PatientId, SiteId, Vital};

/// A year, as in `BindDevice`.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One line: who wears what, where, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    /// The site of both.
    pub(super) site: SiteId,
    /// Who wears the device; `None` if nobody does, as with gateways.
    pub(super) patient: Option<PatientId>,
    /// The device.
    pub(super) device: DeviceId,
    /// Since when; `None` for the moment at which it is enrolled.
    pub(super) from: Option<Timestamp>,
    /// How the device measures and sends.
    pub(super) schedule: Schedule,
}

/// What holds where a line says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// How devices measure and send.
    pub(super) schedule: Schedule,
    /// Whether a device may be enrolled without a patient.
    pub(super) allow_unbound: bool,
}

/// A vital, and how often a device measures it: `heart_rate=1s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The vital.
    pub vital: Vital,
    /// From one reading to the next.
    pub every: Duration,
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, every) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not like heart_rate=1s"))?;
        let name = name.trim();
        let known = Vital::ALL.into_iter().map(Vital::name);
        let unknown = || format!("{name:?} is no vital{}", hint(name, known));
        let vital = Vital::from_name(name).ok_or_else(unknown)?;
        let every = interval(every.trim())?;
        if every.is_zero() {
            return Err(format!("{vital} every 0 s; leave out what the device does not measure"));
        }
        Ok(Self { vital, every })
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let Period(interval) = text.parse().map_err(|error| format!("{error}"))?;
    // The service counts microseconds.
    let interval = Duration::new(interval.as_secs(), interval.subsec_micros() * 1000);
    if interval > INTERVAL_MAX { Err("longer than 365 days".to_owned()) } else { Ok(interval) }
}

/// The schedule of these measures, or the vital that is named twice.
pub(super) fn expected_intervals(measures: &[Measure]) -> Result<Vec<(Vital, Duration)>, String> {
    let mut intervals: Vec<(Vital, Duration)> = Vec::with_capacity(measures.len());
    for Measure { vital, every } in measures {
        if intervals.iter().any(|(earlier, _)| earlier == vital) {
            return Err(format!("{vital} a second time"));
        }
        intervals.push((*vital, *every));
    }
    Ok(intervals)
}

/// The columns, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Site,
    Patient,
    Device,
    From,
    UploadInterval,
    Measures,
}

impl Column {
    const ALL: [Self; 6] =
        [Self::Site, Self::Patient, Self::Device, Self::From, Self::UploadInterval, Self::Measures];
    /// Without these nobody can be enrolled.
    const REQUIRED: [Self; 3] = [Self::Site, Self::Patient, Self::Device];

    const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Patient => "patient_id",
            Self::Device => "device_id",
            Self::From => "from",
            Self::UploadInterval => "upload_interval",
            Self::Measures => "measures",
        }
    }

    /// As people write it in a spreadsheet, too: `Patient ID`.
    fn of_title(title: &str) -> Option<Self> {
        let name = title.to_ascii_lowercase().replace([' ', '-'], "_");
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// The entries of a sheet, which errors call `file`.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(
    file: &str,
    bytes: &[u8],
    defaults: &Defaults,
    now: Timestamp,
) -> Result<Vec<Entry>, Violations> {
    let text = Text::new(file, bytes).map_err(|violation| Violations(vec![violation]))?;
    let mut reading = Reading { text: &text, violations: Vec::new(), defaults, now };
    let mut records = text.records();
    let entries = match records.next().map(|(at, record)| reading.header(at, &record)) {
        None => {
            reading.refuse(0, "", "nothing in it; its first line names the columns");
            Vec::new()
        }
        Some(None) => Vec::new(),
        Some(Some(columns)) => reading.entries(&columns, records),
    };
    if reading.violations.is_empty() { Ok(entries) } else { Err(Violations(reading.violations)) }
}

/// A sheet that is being read.
struct Reading<'t> {
    text: &'t Text<'t>,
    violations: Vec<Violation>,
    defaults: &'t Defaults,
    now: Timestamp,
}

/// A line that is being read, and where its fields stand.
struct Row<'r> {
    /// Where it begins in the text.
    at: usize,
    columns: &'r [Column],
    fields: &'r StringRecord,
}

impl Row<'_> {
    fn index(&self, column: Column) -> Option<usize> {
        self.columns.iter().position(|it| *it == column)
    }

    /// What it says; empty if there is no such column.
    fn field(&self, column: Column) -> &str {
        self.index(column).and_then(|index| self.fields.get(index)).unwrap_or_default()
    }
}

impl Reading<'_> {
    fn refuse(&mut self, at: usize, subject: &str, problem: impl Into<String>) {
        let (subject, problem) = (subject.to_owned(), problem.into());
        self.violations.push(Violation { place: self.text.place(at), subject, problem });
    }

    fn refuse_field<T>(&mut self, row: &Row<'_>, column: Column, problem: String) -> Option<T> {
        let index = row.index(column).unwrap_or_default();
        self.refuse(self.text.field_at(row.at, index), column.name(), problem);
        None
    }

    /// The columns in their order; `None` if the lines below can't be understood.
    fn header(&mut self, at: usize, titles: &StringRecord) -> Option<Vec<Column>> {
        let columns: Vec<_> = titles.iter().map(Column::of_title).collect();
        if columns.iter().all(Option::is_none) {
            let problem = "the first line names the columns: site, patient_id, device_id, from";
            self.refuse(at, "", problem);
            return None;
        }
        let count = self.violations.len();
        for (index, (title, column)) in titles.iter().zip(&columns).enumerate() {
            let at = self.text.field_at(at, index);
            match column {
                None => {
                    let hint = hint(title, Column::ALL.into_iter().map(Column::name));
                    self.refuse(at, title, format!("unknown column{hint}"));
                }
                Some(column) if columns[..index].contains(&Some(*column)) => {
                    self.refuse(at, title, "a second column of this name");
                }
                Some(_) => {}
            }
        }
        for column in Column::REQUIRED {
            if !columns.contains(&Some(column)) {
                self.refuse(at, column.name(), "there is no such column");
            }
        }
        (self.violations.len() == count).then(|| columns.into_iter().flatten().collect())
    }

    fn entries(
        &mut self,
        columns: &[Column],
        records: impl Iterator<Item = (usize, StringRecord)>,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut earlier = Earlier::default();
        let mut lines = self.text.lines();
        let mut is_empty = true;
        for (at, fields) in records {
            is_empty = false;
            let row = Row { at, columns, fields: &fields };
            let line = lines.line_of(at);
            let Some(entry) = self.entry(&row, line) else { continue };
            if self.agrees(&row, &entry, &mut earlier) {
                entries.push(entry);
            }
        }
        if is_empty {
            self.refuse(0, "", "no line but the one that names the columns");
        }
        entries
    }

    /// Everything that is wrong with a line is noted before it is given up.
    fn entry(&mut self, row: &Row<'_>, line: usize) -> Option<Entry> {
        let (has, needs) = (row.fields.len(), row.columns.len());
        if has != needs {
            self.refuse(row.at, "", format!("{has} fields, where the first line names {needs}"));
            return None;
        }
        let site = self.id(row, Column::Site);
        let patient = self.patient(row);
        let device = self.id(row, Column::Device);
        let from = self.from(row);
        let schedule = self.schedule(row);
        let entry = Entry {
            line,
            site: site?,
            patient: patient?,
            device: device?,
            from: from?,
            schedule: schedule?,
        };
        self.has_wearer(row, &entry).then_some(entry)
    }

    fn id<T: FromStr<Err: ToString>>(&mut self, row: &Row<'_>, column: Column) -> Option<T> {
        match row.field(column) {
            "" => self.refuse_field(row, column, "empty".to_owned()),
            open if open.contains(['\n', '\r']) => {
                let problem = "runs over several lines; is a quote not closed?".to_owned();
                self.refuse_field(row, column, problem)
            }
            text => match text.parse() {
                Ok(id) => Some(id),
                Err(error) => self.refuse_field(row, column, error.to_string()),
            },
        }
    }

    /// The outer `None`: wrong, and noted.
    fn patient(&mut self, row: &Row<'_>) -> Option<Option<PatientId>> {
        if !row.field(Column::Patient).is_empty() {
            return self.id(row, Column::Patient).map(Some);
        }
        if self.defaults.allow_unbound {
            return Some(None);
        }
        let problem = "empty; with --allow-unbound the device alone is enrolled, as for a gateway";
        self.refuse_field(row, Column::Patient, problem.to_owned())
    }

    fn from(&mut self, row: &Row<'_>) -> Option<Option<Timestamp>> {
        let text = row.field(Column::From);
        if text.is_empty() {
            return Some(None);
        }
        match text.parse::<Timestamp>() {
            Ok(from) if from.since(self.now) > BIND_AHEAD_MAX => {
                let hours = BIND_AHEAD_MAX.as_secs() / 3600;
                self.refuse_field(row, Column::From, format!("{from} is over {hours} h ahead"))
            }
            Ok(from) => Some(Some(from)),
            Err(error) => self.refuse_field(row, Column::From, error.to_string()),
        }
    }

    fn schedule(&mut self, row: &Row<'_>) -> Option<Schedule> {
        let Schedule { upload_interval, expected_intervals } = self.defaults.schedule.clone();
        let upload_interval = match row.field(Column::UploadInterval) {
            "" => Some(upload_interval),
            text => match interval(text) {
                Ok(interval) => Some(interval),
                Err(problem) => self.refuse_field(row, Column::UploadInterval, problem),
            },
        };
        let expected_intervals = match row.field(Column::Measures) {
            "" => Some(expected_intervals),
            text => match measures(text) {
                Ok(intervals) => Some(intervals),
                Err(problem) => self.refuse_field(row, Column::Measures, problem),
            },
        };
        Some(Schedule {
            upload_interval: upload_interval?,
            expected_intervals: expected_intervals?,
        })
    }

    /// What is said of a binding needs one.
    fn has_wearer(&mut self, row: &Row<'_>, entry: &Entry) -> bool {
        if entry.patient.is_some() {
            return true;
        }
        let of_bindings = [Column::From, Column::UploadInterval, Column::Measures];
        let said = of_bindings.into_iter().find(|column| !row.field(*column).is_empty());
        if let Some(column) = said {
            let problem = "says how a patient wears the device, but there is no patient_id";
            let _refused: Option<()> = self.refuse_field(row, column, problem.to_owned());
        }
        said.is_none()
    }

    /// Whether a line can stand beside those before it. No binding here ends, so that two of one
    /// device overlap.
    fn agrees(&mut self, row: &Row<'_>, entry: &Entry, earlier: &mut Earlier) -> bool {
        if let Some(line) = earlier.devices.insert(entry.device.clone(), entry.line) {
            let problem = format!("{} stands on line {line}, too", entry.device);
            let _refused: Option<()> = self.refuse_field(row, Column::Device, problem);
            return false;
        }
        let Some(patient) = &entry.patient else { return true };
        let place = (entry.site.clone(), entry.line);
        let (site, line) = earlier.patients.entry(patient.clone()).or_insert(place);
        if *site == entry.site {
            return true;
        }
        let problem = format!("{patient} is at site {site} on line {line}");
        let _refused: Option<()> = self.refuse_field(row, Column::Site, problem);
        false
    }
}

/// What the lines before have said, and on which line.
#[derive(Default)]
struct Earlier {
    devices: HashMap<DeviceId, usize>,
    patients: HashMap<PatientId, (SiteId, usize)>,
}

fn measures(text: &str) -> Result<Vec<(Vital, Duration)>, String> {
    let pieces = text.split([';', ',']).map(str::trim).filter(|piece| !piece.is_empty());
    let measures: Vec<Measure> = pieces.map(str::parse).collect::<Result<_, _>>()?;
    expected_intervals(&measures)
}
