//! `pulseward-sim verify`: did the service store and raise what it had to?
//!
//! ```text
//! record ─▶ oracle ─▶ what must be ─┐
//! SQL ──────────────▶ what is stored ├─▶ judge ─▶ report ─▶ report.json, page, summary, exit code
//! gRPC ─────────────▶ what was raised│
//! record ─▶ streams ▶ what was told ─┘
//! ```
//!
//! [`run`] does all of it. [`judge`] is the part between: those who have rows and alerts in hand,
//! such as tests, call it with [`Stored::Given`] and [`Story`] of their own. What nobody can know
//! from outside is counted as such, and neither praised nor blamed.
//!
//! It reads only: nothing of what it judges is changed. How a report is to be read, and what
//! exactly each word counts, is in `docs/simulators-report.md`.

mod alerts;
pub mod arguments;
mod judge;
mod latency;
mod page;
mod plot;
mod readings;
pub mod report;
pub mod service;
pub mod stored;
mod streams;
mod summary;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

pub use judge::judge;
pub use page::page;
pub use report::Report;
pub use service::{Service, Story};
pub use stored::{Given, Stored, StoredReading};
pub use summary::Summary;

use crate::caller::{self, Caller};
use crate::oracle::profile::Micros;
use crate::oracle::{Ledger, ledger};
use crate::record;

/// The store has come to rest when it has not grown for so long.
const REST: Duration = Duration::from_secs(10);
/// What has come after everything that was due must be noticed: a reading that is stored twice.
const REST_WHEN_DONE: Duration = Duration::from_secs(2);
/// Between two looks at the store.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two lines of progress where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// What was stored before the run is not the run's; the clocks may be so far apart.
const BEFORE: Micros = 1_000_000;

/// What to verify, and where to write it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The record's directory.
    pub record: PathBuf,
    /// The store's address.
    pub store: String,
    /// The service's address.
    pub grpc: String,
    /// A file with the token to ask with.
    pub token_file: Option<PathBuf>,
    /// Where to write the report in JSON.
    pub report: Option<PathBuf>,
    /// Where to write it as a page.
    pub html: Option<PathBuf>,
    /// How long after the due time of its message an alert may be told.
    pub late_after: SignedDuration,
    /// How far the service's clock may be off this machine's.
    pub clocks_apart: SignedDuration,
    /// How long to wait at most for the store.
    pub patience: SignedDuration,
}

/// Why nothing can be verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record can't be read.
    #[error("reading the record")]
    Record(#[from] record::Error),
    /// The store can't be read.
    #[error("reading the store")]
    Stored(#[from] stored::Error),
    /// The service can't be asked.
    #[error("asking the service")]
    Service(#[from] service::Error),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] caller::Error),
    /// A report can't be written.
    #[error("writing {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: std::io::Error,
    },
}

/// Verifies a run, and writes what it found.
///
/// # Errors
/// If anything can't be read or written. A run that went wrong is no error: [`Report::is_good`].
pub async fn run(settings: &Settings) -> Result<Report, Error> {
    let caller = settings.token_file.as_deref().map(Caller::read).transpose()?.unwrap_or_default();
    let service = Service::new(&settings.grpc, &caller)?;
    let progress = bar();
    progress.set_message("reading the record");
    let ledger = ledger::read(&settings.record, span_micros(settings.clocks_apart))?;
    let devices: Vec<String> =
        ledger.survey.run.devices.iter().map(|it| it.device_id.clone()).collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let since = ledger.survey.span.0 - BEFORE;
    let patience = settings.patience.unsigned_abs();
    wait(&ledger, settings, (&devices, since), &progress).await?;
    let stored = Stored::open(&settings.store, &devices, since).await?;
    progress.set_message("asking for alerts");
    let stories = service.alerts(&ledger.survey.run.site, patience).await?;
    progress.set_length(2 * ledger.survey.patients.len() as u64);
    progress.set_position(0);
    progress.set_message("comparing patients");
    let late_after = span_micros(settings.late_after);
    let report = judge(ledger, &stored, &stories, late_after, &progress).await?;
    progress.finish_and_clear();
    if let Some(path) = &settings.report {
        let text = serde_json::to_string_pretty(&report).expect("numbers and names are JSON");
        write(path, &text)?;
    }
    if let Some(path) = &settings.html {
        write(path, &page(&report))?;
    }
    Ok(report)
}

/// Waits until the store has what must be there, or has come to rest without it.
async fn wait(
    ledger: &Ledger,
    settings: &Settings,
    (devices, since): (&[&str], Micros),
    progress: &ProgressBar,
) -> Result<(), Error> {
    let due = judge::due(ledger);
    let until = Instant::now() + settings.patience.unsigned_abs();
    let stored = Stored::open(&settings.store, devices, since).await?;
    let (mut count, mut grown, mut said) = (0, Instant::now(), Instant::now());
    progress.set_length(due);
    progress.set_message("waiting for the store");
    loop {
        let looked = Instant::now();
        let now = stored.count().await?;
        progress.set_position(now);
        if progress.is_hidden() && said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let line = format!("{now} of {due} readings are stored");
            let _closed = writeln!(std::io::stderr(), "{line}");
        }
        if now != count {
            (count, grown) = (now, Instant::now());
        }
        let rest = if now >= due { REST_WHEN_DONE } else { REST };
        if grown.elapsed() >= rest || Instant::now() >= until {
            return Ok(());
        }
        // Counting a large table takes long itself.
        sleep(LOOK_EVERY.max(looked.elapsed() * 4)).await;
    }
}

fn span_micros(span: SignedDuration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX)
}

fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.into(), source })
}

#[cfg(test)]
mod tests;
