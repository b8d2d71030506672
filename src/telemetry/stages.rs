//! How long messages take from their receipt to the end of each stage, as quantiles.
//!
//! Fixed buckets (the histograms of [`names`]) add up over instances and say little about a tail
//! between two bounds; these quantiles don't add up, and are within 1 % of what was measured. So
//! there are both: buckets for alarms over a fleet, quantiles for people who look at one service.
//! What is told is of the last minute, in steps of ten seconds; sums and counts are since the
//! start.
//!
//! Each stage has one thread or task that records, once a batch and behind what somebody waits for;
//! only a scrape takes the same lock, for microseconds. Nothing is recorded before
//! [`install_metrics`](super::install_metrics), and nothing here ever waits or fails.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::names;
use crate::clock::Timestamp;

/// The part of the window that is forgotten at once.
const SLOT: Duration = Duration::from_secs(10);
/// The window: a minute.
const SLOTS: usize = 6;
/// What is longer counts as this long. A message that waited for an hour has a story of its own.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;
/// Two digits keep a value within 1 %, and a slot at 13 KiB.
const SIGNIFICANT_DIGITS: u8 = 2;
/// What is told of a stage.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// A stage of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The engine has applied it.
    Applied,
    /// It is durable, with what it led to.
    Committed,
    /// What it led to was offered to every alert stream.
    Streamed,
    /// Its readings are in the database.
    Stored,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Applied, Self::Committed, Self::Streamed, Self::Stored];

    /// Its name in metric labels and in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Committed => "committed",
            Self::Streamed => "streamed",
            Self::Stored => "stored",
        }
    }
}

/// Those of this process, once it measures.
static INSTALLED: OnceLock<Arc<Stages>> = OnceLock::new();

/// Records that messages received at these times have passed a stage at `now`.
pub fn passed(stage: Stage, now: Timestamp, received_at: impl IntoIterator<Item = Timestamp>) {
    if let Some(stages) = INSTALLED.get() {
        stages.record(stage, received_at.into_iter().map(|received_at| now.since(received_at)));
    }
}

/// The stages' windows.
#[derive(Debug)]
pub(super) struct Stages {
    windows: [Mutex<Window>; Stage::ALL.len()],
}

impl Stages {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { windows: std::array::from_fn(|_| Mutex::new(Window::new(now))) }
    }

    /// Makes these the ones of this process; who comes second is not heard.
    pub(super) fn install(self: &Arc<Self>) {
        drop(INSTALLED.set(Arc::clone(self)));
    }

    fn record(&self, stage: Stage, latencies: impl Iterator<Item = Duration>) {
        let mut latencies = latencies.peekable();
        if latencies.peek().is_some() {
            let mut window = self.window(stage);
            window.turn(Instant::now());
            latencies.for_each(|latency| window.record(latency));
        }
    }

    /// In Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let (name, mut text) = (names::STAGE_LATENCY_SECONDS, String::new());
        let says = names::row(name).expect("every metric is in the catalogue").says();
        let written = writeln!(text, "# HELP {name} {says}\n# TYPE {name} summary");
        let stages = Stage::ALL.into_iter().map(|stage| {
            let told = self.window(stage).told(Instant::now());
            told.write(name, stage.name(), &mut text)
        });
        let stages: std::fmt::Result = stages.collect();
        written.and(stages).expect("a String takes all");
        text
    }

    /// A window is consistent between any two of its operations.
    fn window(&self, stage: Stage) -> MutexGuard<'_, Window> {
        self.windows[stage as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a stage took lately.
#[derive(Debug)]
struct Window {
    slots: [Histogram<u32>; SLOTS],
    /// The slot that is written, as a number since `begun`.
    slot: u64,
    begun: Instant,
    count: u64,
    sum: Duration,
}

impl Window {
    fn new(begun: Instant) -> Self {
        let empty = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, SIGNIFICANT_DIGITS)
            .expect("these bounds and digits are possible");
        let slots = std::array::from_fn(|_| empty.clone());
        Self { slots, slot: 0, begun, count: 0, sum: Duration::ZERO }
    }

    /// Forgets what is older than the window.
    fn turn(&mut self, now: Instant) {
        let slot = now.duration_since(self.begun).as_secs() / SLOT.as_secs();
        let passed = slot.saturating_sub(self.slot).min(SLOTS as u64);
        for number in (slot + 1 - passed)..=slot {
            self.at(number).reset();
        }
        self.slot = slot.max(self.slot);
    }

    fn at(&mut self, number: u64) -> &mut Histogram<u32> {
        let index = usize::try_from(number % SLOTS as u64).expect("below the number of slots");
        &mut self.slots[index]
    }

    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.at(self.slot).saturating_record(micros.max(1));
        self.count += 1;
        self.sum += latency;
    }

    fn told(&mut self, now: Instant) -> Told {
        self.turn(now);
        let mut all = self.slots[0].clone();
        for slot in &self.slots[1..] {
            all.add(slot).expect("every slot has the same bounds");
        }
        let quantiles = QUANTILES.map(|quantile| {
            let micros = (!all.is_empty()).then(|| all.value_at_quantile(quantile));
            (quantile, micros.map(Duration::from_micros))
        });
        Told { quantiles, count: self.count, sum: self.sum }
    }
}

/// What is told of a stage.
#[derive(Debug)]
struct Told {
    /// Each quantile; `None` while there was nothing.
    quantiles: [(f64, Option<Duration>); QUANTILES.len()],
    count: u64,
    sum: Duration,
}

impl Told {
    fn write(&self, name: &str, stage: &str, text: &mut String) -> std::fmt::Result {
        for (quantile, latency) in self.quantiles {
            let seconds = latency.map_or(f64::NAN, |latency| latency.as_secs_f64());
            writeln!(text, "{name}{{stage=\"{stage}\",quantile=\"{quantile}\"}} {seconds}")?;
        }
        writeln!(text, "{name}_sum{{stage=\"{stage}\"}} {}", self.sum.as_secs_f64())?;
        writeln!(text, "{name}_count{{stage=\"{stage}\"}} {}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(told: &Told) -> Vec<Option<u128>> {
        told.quantiles.iter().map(|(_, latency)| latency.map(|it| it.as_millis())).collect()
    }

    #[test]
    fn quantiles_are_those_of_what_was_measured() {
        let begun = Instant::now();
        let mut window = Window::new(begun);
        (1..=1000).for_each(|ms| window.record(Duration::from_millis(ms)));
        let told = window.told(begun);
        for ((quantile, found), expected) in told.quantiles.into_iter().zip([500, 900, 990, 999]) {
            let off = found.expect("measured").as_millis().abs_diff(expected);
            assert!(off * 100 <= expected, "{quantile}: {found:?}, {off} ms off");
        }
        assert_eq!((told.count, told.sum), (1000, Duration::from_millis(500_500)));
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten_and_stays_in_the_count() {
        let begun = Instant::now();
        let mut window = Window::new(begun);
        window.record(Duration::from_millis(2000));
        window.turn(begun + SLOT * 3);
        window.record(Duration::from_millis(1));
        assert_eq!(millis(&window.told(begun + SLOT * 5))[3], Some(2007), "both are in it");
        assert_eq!(millis(&window.told(begun + SLOT * 6)), [Some(1); 4], "the older is not");
        let told = window.told(begun + SLOT * 1_000_000);
        assert_eq!((millis(&told), told.count), (vec![None; 4], 2));
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_far_ahead_is_borne() {
        let begun = Instant::now();
        let mut window = Window::new(begun);
        window.turn(begun);
        window.record(Duration::ZERO);
        window.record(Duration::from_secs(1_000_000));
        let told = window.told(begun);
        assert_eq!(told.quantiles[3].1.map(|it| it.as_secs() / 60), Some(60), "an hour at most");
    }

    #[test]
    fn a_stage_without_messages_is_told_without_a_number() {
        let stages = Stages::new();
        let micros = |micros| Duration::from_micros(micros);
        stages.record(Stage::Stored, [micros(250)].into_iter());
        stages.record(Stage::Applied, std::iter::empty());
        let text = stages.render();
        assert!(text.contains("# TYPE pulseward_stage_latency_seconds summary\n"), "{text}");
        for line in [
            "pulseward_stage_latency_seconds{stage=\"applied\",quantile=\"0.5\"} NaN\n",
            "pulseward_stage_latency_seconds_count{stage=\"applied\"} 0\n",
            "pulseward_stage_latency_seconds{stage=\"stored\",quantile=\"0.999\"} 0.00025\n",
            "pulseward_stage_latency_seconds_sum{stage=\"stored\"} 0.00025\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
