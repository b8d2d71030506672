//! What the kernel says that a process has used: processor time by thread, and memory.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The unit of times in `/proc`: Linux tells user space hundredths of a second, whatever its own
/// clock's rate.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, user and system, of all threads, also of those that have ended.
    pub(super) cpu: Duration,
    /// The same of the threads that are there, by name.
    pub(super) threads: BTreeMap<String, Duration>,
    /// Most memory that was resident at any time.
    pub(super) peak_rss_bytes: u64,
    /// Memory resident now.
    pub(super) rss_bytes: u64,
}

impl Usage {
    /// Of the process with this id, which must be ours to look at.
    ///
    /// # Errors
    /// If it has ended, or this is no Linux.
    pub(super) fn of(process_id: u32) -> Result<Self> {
        let dir = format!("/proc/{process_id}");
        let read = |name: &str| {
            let path = format!("{dir}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        let (_, cpu) = stat(&read("stat")?).context("/proc/…/stat is not as expected")?;
        let status = read("status")?;
        let kib = |key| memory_kib(&status, key).with_context(|| format!("no {key} of a process"));
        let (peak_rss_bytes, rss_bytes) = (kib("VmHWM:")? << 10, kib("VmRSS:")? << 10);
        Ok(Self { cpu, threads: threads(&dir)?, peak_rss_bytes, rss_bytes })
    }

    /// Processor time since `earlier`.
    pub(super) fn cpu_since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }

    /// The same by thread, the busiest first.
    pub(super) fn threads_since(&self, earlier: &Self) -> Vec<(String, Duration)> {
        let since = |(name, cpu): (&String, &Duration)| {
            let before = earlier.threads.get(name).copied().unwrap_or_default();
            (name.clone(), cpu.saturating_sub(before))
        };
        let mut threads: Vec<_> = self.threads.iter().map(since).collect();
        threads.sort_by_key(|(_, cpu)| std::cmp::Reverse(*cpu));
        threads
    }
}

/// A thread that ends while it is looked at is left out.
fn threads(dir: &str) -> Result<BTreeMap<String, Duration>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir(format!("{dir}/task")).context("listing threads")? {
        let Ok(text) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        if let Some((name, cpu)) = stat(&text) {
            *threads.entry(name).or_default() += cpu;
        }
    }
    Ok(threads)
}

/// Name and processor time. The name stands in brackets and may hold anything.
fn stat(text: &str) -> Option<(String, Duration)> {
    let (before, after) = text.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    let mut fields = after.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some((name.to_owned(), Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)))
}

fn memory_kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let text = "42 (a) (b) S 1 42 42 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 8 0";
        assert_eq!(stat(text), Some(("a) (b".to_owned(), Duration::from_millis(1750))));
        assert_eq!(stat("nonsense"), None);
    }

    #[test]
    fn our_own_process_can_be_looked_at() {
        let before = Usage::of(std::process::id()).expect("a Linux");
        assert!(before.peak_rss_bytes >= before.rss_bytes && before.rss_bytes > 0);
        assert!(!before.threads.is_empty());
        let after = Usage::of(std::process::id()).expect("a Linux");
        assert!(after.cpu_since(&before) < Duration::from_secs(60));
    }
}
