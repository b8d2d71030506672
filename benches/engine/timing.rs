//! Processor time, and how it is told: what the benchmarks of the engine share.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The machine, for the reader of the numbers.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("a processor that the system does not name", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {}", std::env::consts::OS)
}

/// How long this thread has been running on a processor, where the system tells; else wall time.
pub(crate) fn running_for() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    // The system counts at every switch of threads, and in between only now and then.
    std::thread::yield_now();
    let nanos = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

/// Nanoseconds a reading in each turn, the fastest first.
pub(crate) struct Turns(Vec<f64>);

impl FromIterator<f64> for Turns {
    fn from_iter<I: IntoIterator<Item = f64>>(turns: I) -> Self {
        let mut sorted: Vec<f64> = turns.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

impl Turns {
    /// That of the turn in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl Display for Turns {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (fastest, median) = (self.0[0], self.median());
        write!(
            f,
            "{median:>6.0} ns a reading ({:.2} M readings/s), fastest {fastest:.0} ns ({:.2} M/s)",
            1e3 / median,
            1e3 / fastest
        )
    }
}
