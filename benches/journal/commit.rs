//! Commits of messages, and clearing behind them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pulseward::clock::Timestamp;
use pulseward::journal::{self, BlobKey, Opened, Settings, Writer};

use super::{Latencies, MESSAGE_BYTES, mebibytes, next_records, rate, record};

const MESSAGES: u64 = 800_000;
const COMMITS_MAX: u64 = 8000;
/// What goes through the journal to see that it clears what it should.
const CLEARING_BYTES: u64 = 2 << 30;

/// Commits the next `count` messages; gives how long the call took.
pub(crate) fn commit(writer: &mut Writer, count: u64) -> Result<Duration> {
    let records = next_records(writer, count);
    let begin = Instant::now();
    writer.commit(records)?;
    Ok(begin.elapsed())
}

/// What a bare append and `fdatasync` of as many bytes takes here and now.
fn bare_sync(dir: &Path, bytes: usize) -> Result<Duration> {
    const SYNCS: u32 = 100;
    let path = dir.join("bare");
    let mut file = File::create(&path)?;
    let content = vec![7; bytes];
    let begin = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&content)?;
        file.sync_data()?;
    }
    let each = begin.elapsed() / SYNCS;
    fs::remove_file(path)?;
    Ok(each)
}

pub(crate) fn measure(dir: &Path, per_commit: u64) -> Result<()> {
    let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
    let bytes = MESSAGE_BYTES * usize::try_from(per_commit)?;
    let count = (MESSAGES / per_commit).min(COMMITS_MAX);
    let before = bare_sync(dir, bytes)?;
    let (mut latencies, mut total) = (Latencies::new(), Duration::ZERO);
    for _ in 0..count {
        let took = commit(&mut writer, per_commit)?;
        latencies.record(took);
        total += took;
    }
    let sync = (before + bare_sync(dir, bytes)?) / 2;
    println!(
        "commit {per_commit:>4} messages of {} bytes, one reading each: {:>8.0} messages/s and \
         readings/s; a commit {latencies}; bare sync {sync:.1?}, a commit takes {:.1} of it",
        record(1).bytes.len(),
        rate(count * per_commit, total),
        total.as_secs_f64() / f64::from(u32::try_from(count)?) / sync.as_secs_f64(),
    );
    Ok(())
}

/// Lets much more through than is kept, with a checkpoint and a follower close behind.
pub(crate) fn clearing(dir: &Path) -> Result<()> {
    let settings = Settings { resume_window: Duration::ZERO, ..Settings::new(dir) };
    let Opened { journal, mut writer, .. } = journal::open(&settings)?;
    let mut most = 0;
    let mut latencies = Latencies::new();
    let commits = CLEARING_BYTES / (500 * MESSAGE_BYTES as u64);
    for number in 0..commits {
        latencies.record(commit(&mut writer, 500)?);
        if number % 100 == 0 {
            let position = writer.last();
            let key = BlobKey { kind: 1, id: 1 };
            writer.checkpoint_put(key, bytes::Bytes::from_static(b"state"))?;
            writer.checkpoint_complete(position)?;
            writer.retain(Timestamp::MAX, position)?;
            most = most.max(journal.disk_bytes()?);
        }
    }
    println!(
        "cleared: of {:.0} MiB written, at most {:.0} on disk, in the end {:.0}; {:.0} MiB of \
         memory; a commit {latencies}",
        mebibytes(CLEARING_BYTES),
        mebibytes(most),
        mebibytes(journal.disk_bytes()?),
        mebibytes(resident()?),
    );
    Ok(())
}

/// Resident memory of this process, where the system tells.
fn resident() -> Result<u64> {
    const PAGE_BYTES: u64 = 4096;
    let Ok(statm) = fs::read_to_string("/proc/self/statm") else { return Ok(0) };
    let pages: u64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * PAGE_BYTES)
}
