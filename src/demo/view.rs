//! What the demo shows: the live ward on a terminal, else one plain line for each thing that happens.
#![expect(clippy::print_stdout, reason = "showing is what this is for")]

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use pulseward_sim::score::Score;
use pulseward_sim::watch::{Seen, SeenAlerts};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Options;
use crate::config::Log;
use crate::grpc_client::Service;
use crate::service::Addresses;
use crate::{telemetry, watch};

/// How often the ward's state is told when nothing happens.
const EVERY: Duration = Duration::from_secs(5);
/// How often the stream is looked at: sooner than a person would notice.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn started(addresses: Addresses, ward_page: Option<&str>) {
    println!("pulseward demo: simulated patients, not people; not a medical device");
    println!("grpc http://{}   metrics http://{}/metrics", addresses.grpc, addresses.http);
    if let Some(url) = ward_page {
        println!("ward page {url}");
    }
}

/// How the demo is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// As `pulseward watch` shows a ward.
    Screen,
    /// In lines.
    Lines,
}

impl View {
    pub(super) fn of(options: &Options) -> Self {
        let on_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if on_terminal && !options.plain { Self::Screen } else { Self::Lines }
    }

    /// Installs the log: beside the screen it would write across it, so it goes to a file first.
    pub(super) fn install_log(self, settings: &Log, home: &Path) -> anyhow::Result<HeldLog> {
        if self == Self::Lines {
            telemetry::install_log(settings)?;
            return Ok(HeldLog { path: None });
        }
        let path = home.join("log");
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        telemetry::install_log_into(settings, file)?;
        Ok(HeldLog { path: Some(path) })
    }

    /// Shows what happens until `stop`, or until somebody leaves the screen.
    pub(super) async fn show(
        self,
        grpc: String,
        ward_page: Option<String>,
        seen: SeenAlerts,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        match self {
            Self::Screen => {
                let service = Service::at(grpc);
                let options = watch::Options { service, ward_page, ..watch::Options::default() };
                Ok(watch::run(&options, stop.cancelled_owned()).await?)
            }
            Self::Lines => {
                lines(seen, stop).await;
                Ok(())
            }
        }
    }
}

/// A log that waits for the screen to be closed.
#[derive(Debug)]
pub(super) struct HeldLog {
    path: Option<PathBuf>,
}

impl HeldLog {
    /// Writes it where it would have been.
    pub(super) fn show(&self) {
        let held = self.path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        eprint!("{}", held.unwrap_or_default());
    }
}

/// Tells what happens until `stop`.
async fn lines(seen: SeenAlerts, stop: CancellationToken) {
    let began = Instant::now();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_told = began;
    let mut shown = Seen::default();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = seen.now();
        let second = began.elapsed().as_secs();
        for raised in &now.raised[shown.raised.len()..] {
            println!("{second:>4} s  ALERT {} {}", raised.patient, raised.rule);
        }
        for _ in shown.ended..now.ended {
            println!("{second:>4} s  an alert ended");
        }
        shown = now;
        if last_told.elapsed() >= EVERY {
            last_told = Instant::now();
            let open = shown.raised.len().saturating_sub(shown.ended);
            println!("{second:>4} s  {open} open alerts, {} so far", shown.raised.len());
        }
    }
}

/// Names what was raised and not due, and what was due and not raised.
pub(super) fn differences(score: &Score) {
    for missing in &score.missing {
        println!("MISSED {} {} with onset {}", missing.patient, missing.rule, missing.onset);
    }
    for raised in &score.unexpected {
        println!("NOT DUE {} {} with onset {}", raised.patient, raised.rule, raised.onset);
    }
    if score.repeated > 0 {
        println!("{} alerts were started twice", score.repeated);
    }
}
