//! How far a replay has come: counted exactly, and shown on the terminal.
//!
//! On a terminal there is a bar with rate and time to go; elsewhere a plain line every
//! [`LINE_EVERY`]. Both go to standard error, so that standard output holds the summary alone.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::publish::Progress;

const LINE_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{bar:30} {human_pos}/{human_len} readings, {per_sec}, {eta} to go";

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// On standard error: a bar if it is a terminal, else lines.
    Terminal,
    /// Nowhere.
    Nothing,
}

/// What has been acknowledged so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) batches: u64,
    pub(super) readings: u64,
    pub(super) unheard_batches: u64,
    pub(super) reconnects: u64,
}

/// Counts for all connections of a replay.
#[derive(Debug)]
pub(super) struct Reporter {
    counted: Mutex<Counted>,
    view: View,
    total: u64,
}

#[derive(Debug)]
struct Counted {
    counts: Counts,
    began: Instant,
    last_line: Instant,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Reporter {
    /// For a replay of this many readings.
    pub(super) fn new(show: Show, total: u64) -> Self {
        let view = match show {
            Show::Nothing => View::Nothing,
            Show::Terminal if std::io::stderr().is_terminal() => View::Bar(bar(total)),
            Show::Terminal => View::Lines,
        };
        let began = Instant::now();
        let counted = Counted { counts: Counts::default(), began, last_line: began };
        Self { counted: Mutex::new(counted), view, total }
    }

    pub(super) fn counts(&self) -> Counts {
        self.with(|counted| counted.counts)
    }

    /// Counts what a connection says.
    pub(super) fn note(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Connected | Progress::Published(_) | Progress::Repeated(_) => {}
            Progress::Acknowledged { batch, heard } => {
                self.acknowledged(batch.samples.len() as u64, *heard);
            }
            Progress::Lost { error, unacknowledged } => {
                let cause = std::error::Error::source(error)
                    .map_or_else(String::new, |source| format!(": {source}"));
                self.say(&format!(
                    "lost {error}{cause}; {unacknowledged} messages will be sent again"
                ));
            }
            Progress::Reconnected => {
                self.with(|counted| counted.counts.reconnects += 1);
                self.say("connected again");
            }
        }
    }

    /// Says something between the lines.
    pub(super) fn say(&self, line: &str) {
        match &self.view {
            View::Bar(bar) => bar.println(line),
            View::Lines => write_line(line),
            View::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }

    fn acknowledged(&self, readings: u64, heard: bool) {
        let line = self.with(|counted| {
            counted.counts.batches += 1;
            counted.counts.readings += readings;
            counted.counts.unheard_batches += u64::from(!heard);
            counted.line_due(self.total)
        });
        match (&self.view, line) {
            (View::Bar(bar), _) => bar.inc(readings),
            (View::Lines, Some(line)) => write_line(&line),
            _ => {}
        }
    }

    fn with<R>(&self, read: impl FnOnce(&mut Counted) -> R) -> R {
        read(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counted {
    /// The line to be written now, if it is time for one.
    fn line_due(&mut self, total: u64) -> Option<String> {
        if self.last_line.elapsed() < LINE_EVERY {
            return None;
        }
        self.last_line = Instant::now();
        let readings = self.counts.readings;
        let rate = per_second(readings, self.began.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let to_go = total.saturating_sub(readings) as f64 / rate.max(f64::MIN_POSITIVE);
        Some(format!("{readings}/{total} readings, {rate:.0}/s, {to_go:.0} s to go"))
    }
}

/// A count over a time.
pub(super) fn per_second(count: u64, span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 readings")]
    let count = count as f64;
    count / span.as_secs_f64().max(1e-9)
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a constant");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}

/// A closed standard error is no reason to end a replay.
fn write_line(line: &str) {
    let _written = writeln!(std::io::stderr(), "{line}");
}
