//! `pulseward-sim bench`: what the whole service does on this machine, beside what the same broker,
//! disk and database do without it.
//!
//! ```text
//!  latency   publish ─▶ alert on the stream     beside   publish ─▶ subscriber, and one fsync
//!  ingest    acknowledged by the service        beside   acknowledged by a subscriber that does
//!            rows behind, processor, memory              nothing else
//!  restart   killed ─▶ ready, with millions of readings behind the last checkpoint
//! ```
//!
//! Promises: everything runs in one go on servers of its own, in one directory, and both sides of a
//! comparison take turns, so that what else the machine does hits both. A figure that rests on lost
//! messages is none: whatever was sent and is not admitted, stored or alerted is an error. It does
//! not tune the machine, and measures nothing but what a user of the service would see.

pub mod arguments;
pub mod command;
mod distribution;
mod enroll;
mod fsync;
mod http;
mod ingest;
mod latency;
mod listener;
mod load;
mod machine;
mod progress;
pub mod report;
mod restart;
mod servers;
mod traffic;
mod usage;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub use machine::Machine;
pub use report::Report;
pub use servers::Programs;

use progress::Steps;
use report::{Row, Run};
use servers::Postgres;

use crate::clock;

const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 2;
/// How often something is looked at that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// From publish to alert.
    Latency,
    /// Readings taken in, with the store's lag and what it costs.
    Ingest,
    /// A start after a crash.
    Restart,
}

impl Part {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Ingest, Self::Restart];
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is run.
    pub programs: Programs,
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// At small size.
    pub is_quick: bool,
    /// Rounds of each comparison, if not as many as usual.
    pub rounds: Option<usize>,
    /// Where the benchmark's own directory is made.
    pub directory: PathBuf,
}

/// Measures. Dropping the future ends every server that was started.
///
/// # Errors
/// If a program can't be run, a server fails, or something that was sent is missing in the end.
pub async fn run(settings: &Settings) -> Result<Report> {
    let programs = settings.programs.absolute()?;
    let dir = directory(&settings.directory)?;
    let machine = Machine::look(&programs, dir.path())?;
    let (began, began_at) = (Instant::now(), clock::now().to_string());
    let rows = settings.rows(&programs, dir.path()).await?;
    let (took_s, is_quick) = (began.elapsed().as_secs_f64(), settings.is_quick);
    let run = Run { began_at, took_s, is_quick, rounds: settings.rounds() };
    Ok(Report { machine, run, rows })
}

impl Settings {
    async fn rows(&self, programs: &Programs, dir: &Path) -> Result<Vec<Row>> {
        let (latency, ingest, restart) = (self.latency(), self.ingest(), self.restart());
        let steps = self.parts.iter().map(|part| match part {
            Part::Latency => latency.steps(),
            Part::Ingest => ingest.steps(),
            Part::Restart => restart.steps(),
        });
        let mut steps = Steps::new(steps.sum());
        let postgres = Postgres::start(&programs.postgres_bin, dir).await?;
        let (postgres, steps) = (&postgres, &mut steps);
        let mut rows = Vec::new();
        for part in &self.parts {
            rows.extend(match part {
                Part::Latency => latency::run(&latency, programs, postgres, dir, steps).await?,
                Part::Ingest => ingest::run(ingest, programs, postgres, dir, steps).await?,
                Part::Restart => restart::run(restart, programs, postgres, dir, steps).await?,
            });
        }
        Ok(rows)
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.is_quick { ROUNDS_QUICK } else { ROUNDS })
    }

    fn latency(&self) -> latency::Size {
        let rounds = self.rounds();
        if self.is_quick {
            let rates = vec![1000, 10_000];
            latency::Size { devices: 200, rates, rounds, warm_up_s: 1, measured_s: 3 }
        } else {
            let rates = vec![1000, 10_000, 50_000];
            latency::Size { devices: 2000, rates, rounds, warm_up_s: 2, measured_s: 10 }
        }
    }

    fn ingest(&self) -> ingest::Size {
        let rounds = self.rounds();
        if self.is_quick {
            ingest::Size { devices: 200, messages: 10_000, rounds }
        } else {
            ingest::Size { devices: 1000, messages: 200_000, rounds }
        }
    }

    fn restart(&self) -> restart::Size {
        let rounds = self.rounds();
        if self.is_quick {
            restart::Size { devices: 200, messages: 25_000, rounds }
        } else {
            restart::Size { devices: 1000, messages: 500_000, rounds }
        }
    }
}

impl Programs {
    /// By whole paths: they run in other directories.
    fn absolute(&self) -> Result<Self> {
        let absolute = |path: &Path| {
            let found = path.canonicalize();
            found.with_context(|| format!("there is no {}", path.display()))
        };
        Ok(Self {
            pulseward: absolute(&self.pulseward)?,
            mosquitto: absolute(&self.mosquitto)?,
            postgres_bin: absolute(&self.postgres_bin)?,
        })
    }
}

/// A directory of our own, removed in the end. The database's user passes through it.
fn directory(parent: &Path) -> Result<TempDir> {
    let dir = TempDir::with_prefix_in("pulseward-bench-", parent);
    let dir = dir.with_context(|| format!("making a directory in {}", parent.display()))?;
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o711))?;
    Ok(dir)
}

/// Waits until something is so; an error after `patience`. Cancel safe.
async fn until(what: &str, patience: Duration, is_so: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_so() {
        ensure!(began.elapsed() < patience, "no {what} within {patience:?}");
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
