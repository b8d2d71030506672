//! How fast the journal commits, replays and clears, beside the bare `fdatasync` of the same disk.
//!
//! `cargo bench --bench journal [-- DIRECTORY]`: in DIRECTORY, on the disk to be measured, or the
//! system's temporary directory. It measures the committing call alone: encoding is the caller's
//! part and done before. A disk's sync rate differs by a hundred between machines and by two
//! between minutes, so compare the ratio, not the rate.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pulseward::clock::Timestamp;
use pulseward::engine::input::{Encoding, Event, Input, Publish};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::journal::{self, BlobKey, CheckpointDelta, Entry, Opened, Record, Settings, Writer};
use pulseward::position::Position;
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};

/// Encoded length of an entry.
const ENTRY_BYTES: usize = 200;
const ENTRIES: u64 = 400_000;
/// What goes through the journal to see that it clears what it should.
const CLEARING_BYTES: u64 = 2 << 30;
const BLOBS: u64 = 100_000;
const BLOB_BYTES: usize = 300;
const MEBIBYTE: f64 = 1_048_576.0;

fn main() -> Result<()> {
    let parent = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(&parent).context("making a directory")?;
    println!("disk of {}, {} threads", parent.display(), std::thread::available_parallelism()?);
    for per_commit in [1, 100, 500] {
        commits(&dir.path().join(format!("commit-{per_commit}")), per_commit)?;
    }
    replay(&dir.path().join("commit-100"))?;
    checkpoints(&dir.path().join("checkpoint"))?;
    clearing(&dir.path().join("clearing"))
}

fn record(position: u64) -> Record {
    let number = i64::try_from(position).unwrap_or(i64::MAX);
    let received_at = Timestamp::EPOCH.plus(Duration::from_millis(position));
    let reading = Output::Reading(Reading {
        measured_at: received_at,
        patient: PatientKey(17),
        device: DeviceKey(17),
        vital: Vital::HeartRate,
        value: Value::Quantity(Quantity::whole(60 + number % 60)),
        quality: Quality::default(),
    });
    let publish = Publish {
        topic: "pulseward/v1/ward-3/device-017/readings".to_owned(),
        payload: vec![b'x'; ENTRY_BYTES - 62].into(),
        encoding: Some(Encoding::Protobuf),
        correlation: None,
        retained: false,
    };
    let input = Input { received_at, event: Event::Publish(publish) };
    Record::new(Arc::new(Entry { position: Position(position), input, outputs: vec![reading] }))
}

/// Commits the next `count` entries; gives how long the call took.
fn commit(writer: &mut Writer, count: u64) -> Result<Duration> {
    let last = writer.last().0;
    let records = (last + 1..=last + count).map(record).collect();
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

fn commits(dir: &Path, per_commit: u64) -> Result<()> {
    let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
    let bytes = ENTRY_BYTES * usize::try_from(per_commit)?;
    let count = (ENTRIES / per_commit).min(4000);
    let before = bare_sync(dir, bytes)?;
    let mut took = Vec::new();
    for _ in 0..count {
        took.push(commit(&mut writer, per_commit)?);
    }
    let sync = (before + bare_sync(dir, bytes)?) / 2;
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    let percentile = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "commit {per_commit:>4} entries of {} bytes: {:>6.0} commits/s, {:>8.0} entries/s; \
         p50 {:?}, p99 {:?}, max {:?}; bare sync {sync:?}, a commit takes {:.1} of it",
        record(1).bytes.len(),
        rate(count, total),
        rate(count * per_commit, total),
        percentile(50),
        percentile(99),
        percentile(100),
        total.as_secs_f64() / f64::from(u32::try_from(count)?) / sync.as_secs_f64(),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

fn replay(dir: &Path) -> Result<()> {
    let begin = Instant::now();
    let Opened { journal, writer, .. } = journal::open(&Settings::new(dir))?;
    println!("open after {} entries: {:?}", journal.last(), begin.elapsed());
    let begin = Instant::now();
    let mut after = Position::START;
    while after < journal.last() {
        after = journal.read(after, 1 << 20)?.last().context("entries")?.position;
    }
    println!("replay: {:>8.0} entries/s", rate(after.0, begin.elapsed()));

    drop(writer);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let mut follower = journal.follow(Position::START)?;
    let begin = Instant::now();
    runtime.block_on(async {
        while follower.next().await?.is_some() {}
        anyhow::Ok(())
    })?;
    println!("follower from disk: {:>8.0} entries/s", rate(after.0, begin.elapsed()));
    Ok(())
}

fn checkpoints(dir: &Path) -> Result<()> {
    let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
    for round in 0..3 {
        commit(&mut writer, 100)?;
        let blob = bytes::Bytes::from(vec![7; BLOB_BYTES]);
        let put = (0..BLOBS).map(|id| (BlobKey { kind: 1, id }, blob.clone())).collect();
        let delta = CheckpointDelta { position: writer.last(), put, remove: vec![] };
        let begin = Instant::now();
        writer.checkpoint(delta)?;
        println!(
            "checkpoint {round} of {BLOBS} blobs of {BLOB_BYTES} bytes: {:?}",
            begin.elapsed()
        );
    }
    drop(writer);
    let begin = Instant::now();
    let Opened { checkpoint, .. } = journal::open(&Settings::new(dir))?;
    let blobs = checkpoint.context("a checkpoint")?.blobs.count();
    println!("open and restore of {blobs} blobs: {:?}", begin.elapsed());
    Ok(())
}

/// Lets much more through than is kept, with a checkpoint and a follower close behind.
fn clearing(dir: &Path) -> Result<()> {
    let settings = Settings { resume_window: Duration::ZERO, ..Settings::new(dir) };
    let Opened { journal, mut writer, .. } = journal::open(&settings)?;
    let mut most = 0;
    let mut longest = Duration::ZERO;
    let commits = CLEARING_BYTES / (500 * ENTRY_BYTES as u64);
    for number in 0..commits {
        longest = longest.max(commit(&mut writer, 500)?);
        if number % 100 == 0 {
            let position = writer.last();
            let put = vec![(BlobKey { kind: 1, id: 1 }, bytes::Bytes::from_static(b"state"))];
            writer.checkpoint(CheckpointDelta { position, put, remove: vec![] })?;
            writer.retain(Timestamp::MAX, position)?;
            most = most.max(journal.disk_bytes()?);
        }
    }
    println!(
        "cleared: of {:.0} MiB written, at most {:.0} on disk, in the end {:.0}; {:.0} MiB of \
         memory; longest commit {longest:?}",
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
