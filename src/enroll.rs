//! `pulseward enroll`: who wears what, from a sheet, over gRPC.
//!
//! Promises: the whole sheet is read first, and nothing is sent if anything is wrong with it. Then
//! each line is looked up, and only what is missing is made, so that a sheet may be enrolled again
//! and again; nothing that is there is ever changed or removed. A line that the service refuses
//! does not keep the others from going on, and every line is told with what became of it. A dry run
//! looks up and decides the same way, and stops there.
//!
//! Putting the sheet in force is a matter of ordinary calls: the service decides on each whether it
//! may be.

mod client;
mod plan;
mod report;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};

use self::client::{Client, Failure};
use self::plan::Steps;
pub use self::report::Tally;
use self::report::{End, Outcome, Report};
pub use self::sheet::Measure;
use self::sheet::{Defaults, Entry};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Period, Violations};
use crate::engine::input::Schedule;
use crate::grpc_client::{self, Service};
use crate::vitals::SiteId;

/// A larger file is none of people in a hospital: a million lines take less.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// Patients whose lines are under way at a time: enough to share the service's commits, far below
/// the calls that it takes on one connection.
const PATIENTS_IN_FLIGHT_MAX: usize = 64;
const PROGRESS: &str = "{bar:30} {human_pos}/{human_len} lines, {per_sec}, {eta} to go";

/// What is enrolled, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// The sheet: CSV with the columns site, patient_id, device_id and, if wanted, from,
    /// upload_interval and measures.
    pub file: PathBuf,
    /// The service.
    #[command(flatten)]
    pub service: Service,
    /// Only look up and tell what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Write what became of each line to this file, too, as CSV.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Tell only the lines that went wrong.
    #[arg(long)]
    pub quiet: bool,
    /// The longest regular time between measuring and sending, for lines that don't say.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub upload_interval: Period,
    /// How often a vital is measured, such as heart_rate=1s, for lines that don't say. Without it
    /// nobody can tell when a device falls silent.
    #[arg(long, value_name = "VITAL=TIME", value_delimiter = ',')]
    pub measures: Vec<Measure>,
    /// Enroll the device alone where patient_id is empty, as for a gateway or a spare.
    #[arg(long)]
    pub allow_unbound: bool,
    /// Create the sites that are missing.
    #[arg(long, requires = "time_zone")]
    pub create_sites: bool,
    /// The IANA time zone of sites that are created, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", requires = "create_sites")]
    pub time_zone: Option<String>,
}

/// Why a sheet was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sheet can't be read.
    #[error("can't read the sheet {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The sheet is wrong. Nothing was sent.
    #[error("{0}")]
    Invalid(Violations),
    /// An option is wrong. Nothing was sent.
    #[error("--measures: {0}")]
    Measures(String),
    /// The service can't be reached.
    #[error(transparent)]
    Connect(#[from] grpc_client::NotConnected),
    /// The service was lost while it was asked for a site. No line was tried.
    #[error("looking for site {site}: {reason}")]
    Site {
        /// The site.
        site: SiteId,
        /// What the service answered.
        reason: String,
    },
    /// What became of the lines can't be told.
    #[error("can't print")]
    Print(#[source] io::Error),
    /// The report can't be written.
    #[error("can't write the report {}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Enrolls a sheet, or only says what that would do. What became of each line is written to `out`.
///
/// Not cancel safe: what was sent by then may have been done. Enrolling again tells.
///
/// # Errors
/// [`Error`]; a line that went wrong is none, see [`Tally::failed`].
pub async fn run(options: &Options, out: impl Write) -> Result<Tally, Error> {
    let entries = read(options)?;
    let file = options.file.display().to_string();
    let mut report = Report::new(&file, &entries, options.quiet, out);
    if let Some(path) = &options.report {
        report = report.with_csv(path)?;
    }
    let client = Client::connect(&options.service).await?;
    let closed = close_sites(&client, &entries, options, &mut report).await?;
    let is_dry = options.dry_run;
    let enrolling = Enrolling { client, closed, is_dry, is_gone: AtomicBool::new(false) };

    let bar = progress_bar(entries.len());
    let patients = stream::iter(by_patient(&entries)).map(|lines| enrolling.patient(lines));
    let mut patients = pin!(patients.buffer_unordered(PATIENTS_IN_FLIGHT_MAX));
    while let Some(outcomes) = patients.next().await {
        bar.inc(outcomes.len() as u64);
        let note = || outcomes.into_iter().try_for_each(|(at, it)| report.note(at, it));
        bar.suspend(note)?;
    }
    bar.finish_and_clear();
    report.finish()
}

fn read(options: &Options) -> Result<Vec<Entry>, Error> {
    let expected_intervals =
        sheet::expected_intervals(&options.measures).map_err(Error::Measures)?;
    let schedule = Schedule { upload_interval: options.upload_interval.0, expected_intervals };
    let defaults = Defaults { schedule, allow_unbound: options.allow_unbound };
    let bytes = read_file(&options.file)
        .map_err(|source| Error::Read { path: options.file.clone(), source })?;
    let file = options.file.display().to_string();
    sheet::parse(&file, &bytes, &defaults, SystemClock.now()).map_err(Error::Invalid)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// Shown on standard error, if that is a terminal.
fn progress_bar(lines: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(PROGRESS).expect("a valid template");
    ProgressBar::new(lines as u64).with_style(style)
}

/// The entries with their places, those of a patient together and in their order.
fn by_patient(entries: &[Entry]) -> Vec<Vec<(usize, &Entry)>> {
    let mut places = HashMap::new();
    let mut patients: Vec<Vec<_>> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let alone = patients.len();
        let place = match &entry.patient {
            Some(patient) => *places.entry(patient).or_insert(alone),
            None => alone,
        };
        if place == alone {
            patients.push(Vec::new());
        }
        patients[place].push((at, entry));
    }
    patients
}

/// Creates the sites that are missing, if that is wanted; those where nobody can be enrolled, and
/// why not.
async fn close_sites<W: Write>(
    client: &Client,
    entries: &[Entry],
    options: &Options,
    report: &mut Report<'_, W>,
) -> Result<BTreeMap<SiteId, String>, Error> {
    let sites: BTreeSet<_> = entries.iter().map(|entry| &entry.site).collect();
    let mut closed = BTreeMap::new();
    for site in sites {
        match open_site(client, site, options).await {
            Ok(None) => {}
            Ok(Some(note)) => {
                report.say(&note)?;
            }
            Err(Failure::Refused(reason)) => {
                closed.insert(site.clone(), reason);
            }
            Err(Failure::Gone(reason)) => return Err(Error::Site { site: site.clone(), reason }),
        }
    }
    Ok(closed)
}

/// Looks for a site, and creates it if it is missing; what is to be told of that.
async fn open_site(
    client: &Client,
    site: &SiteId,
    options: &Options,
) -> Result<Option<String>, Failure> {
    if client.has_site(site).await? {
        return Ok(None);
    }
    match &options.time_zone {
        None => Err(Failure::Refused(format!("there is no site {site}; see --create-sites"))),
        Some(_) if options.dry_run => Ok(Some(format!("site {site} would be created"))),
        Some(time_zone) => {
            client.create_site(site, time_zone).await?;
            Ok(Some(format!("site {site} created")))
        }
    }
}

/// What is the same for all lines.
struct Enrolling {
    client: Client,
    /// Sites where nobody can be enrolled, and why not.
    closed: BTreeMap<SiteId, String>,
    is_dry: bool,
    /// Whether a call was not answered: nothing more is sent.
    is_gone: AtomicBool,
}

impl Enrolling {
    /// The lines of one patient, one after the other.
    async fn patient(&self, lines: Vec<(usize, &Entry)>) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(lines.len());
        let mut is_made = false;
        for (at, entry) in lines {
            let outcome = self.line(entry, is_made).await;
            is_made |= outcome.steps.create_patient;
            outcomes.push((at, outcome));
        }
        outcomes
    }

    /// One line. In a dry run an earlier line's patient is made only as far as it knows.
    async fn line(&self, entry: &Entry, is_patient_made: bool) -> Outcome {
        if let Some(reason) = self.closed.get(&entry.site) {
            return Outcome::nothing(End::Refused(reason.clone()));
        }
        if self.is_gone.load(Ordering::Relaxed) {
            let reason = "not tried, because the service no longer answers".to_owned();
            return Outcome::nothing(End::Unknown(reason));
        }
        let mut found = match self.client.find(entry).await {
            Ok(found) => found,
            Err(failure) => return Outcome::nothing(self.end(failure)),
        };
        if is_patient_made {
            found.patient_at.get_or_insert_with(|| entry.site.to_string());
        }
        match plan::steps(entry, &found) {
            Err(conflict) => Outcome::nothing(End::Conflict(conflict)),
            Ok(steps) if steps.is_nothing() => Outcome::nothing(End::Unchanged),
            Ok(steps) if self.is_dry => Outcome { steps, end: End::WouldEnroll },
            Ok(steps) => self.act(entry, steps).await,
        }
    }

    /// Takes the steps as far as the service lets it.
    async fn act(&self, entry: &Entry, steps: Steps) -> Outcome {
        let mut done = Steps::default();
        let end = match self.take(entry, steps, &mut done).await {
            Ok(from) => End::Enrolled(from),
            Err(failure) => self.end(failure),
        };
        Outcome { steps: done, end }
    }

    async fn take(
        &self,
        entry: &Entry,
        steps: Steps,
        done: &mut Steps,
    ) -> Result<Option<Timestamp>, Failure> {
        if steps.create_patient {
            self.client.create_patient(entry).await?;
            done.create_patient = true;
        }
        if steps.create_device {
            self.client.create_device(entry).await?;
            done.create_device = true;
        }
        if !steps.bind {
            return Ok(None);
        }
        let from = self.client.bind(entry).await?;
        done.bind = true;
        Ok(from)
    }

    fn end(&self, failure: Failure) -> End {
        match failure {
            Failure::Refused(reason) => End::Refused(reason),
            Failure::Gone(reason) => {
                self.is_gone.store(true, Ordering::Relaxed);
                End::Unknown(format!("{reason}; enroll again to see"))
            }
        }
    }
}
