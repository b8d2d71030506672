//! A checkpoint of a million blobs while commits go on, and reading it back.
//!
//! What a commit waits for is its own write and the piece that is written before it. Commits come
//! as fast as they can, or not at all: then every piece is written by itself, and what is measured
//! is how long a commit would have waited for it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pulseward::journal::{self, BlobKey, Opened, Settings, Writer};

use super::commit::commit;
use super::{Latencies, rate};

const BLOBS: u64 = 1_000_000;
const BLOB_BYTES: usize = 300;
/// Blobs between two commits, as the service gathers them.
const BLOBS_A_STEP: u64 = 512;
const MESSAGES_A_COMMIT: u64 = 100;
const ROUNDS: u32 = 3;

pub(crate) fn measure(dir: &Path) -> Result<()> {
    let Opened { mut writer, .. } = journal::open(&Settings::new(dir))?;
    let mut alone = Latencies::new();
    for _ in 0..BLOBS / BLOBS_A_STEP {
        alone.record(commit(&mut writer, MESSAGES_A_COMMIT)?);
    }
    println!("without a checkpoint, a commit of {MESSAGES_A_COMMIT}: {alone}");
    for round in 1..=ROUNDS {
        write(&mut writer, round, Some(MESSAGES_A_COMMIT))?;
    }
    write(&mut writer, ROUNDS + 1, None)?;
    drop(writer);
    let begin = Instant::now();
    let Opened { checkpoint, .. } = journal::open(&Settings::new(dir))?;
    let opened = begin.elapsed();
    let blobs = checkpoint.context("a checkpoint")?.blobs.count();
    println!("restore of {blobs} blobs: {:.1?}, the open {opened:.1?} of it", begin.elapsed());
    Ok(())
}

/// Writes a whole checkpoint, with commits of so many messages or none in between.
fn write(writer: &mut Writer, round: u32, messages: Option<u64>) -> Result<()> {
    let position = writer.last();
    let blob = bytes::Bytes::from(vec![7; BLOB_BYTES]);
    let mut waits = Latencies::new();
    let begin = Instant::now();
    for first in (0..BLOBS).step_by(usize::try_from(BLOBS_A_STEP)?) {
        let step = Instant::now();
        for id in first..(first + BLOBS_A_STEP).min(BLOBS) {
            writer.checkpoint_put(BlobKey { kind: 1, id }, blob.clone())?;
        }
        let put = step.elapsed();
        let committed = messages.map_or(Ok(Duration::ZERO), |count| commit(writer, count))?;
        waits.record(put + committed);
    }
    let step = Instant::now();
    writer.checkpoint_complete(position)?;
    waits.record(step.elapsed());
    let waiting = messages.map_or("none meanwhile, who would wait".to_owned(), |messages| {
        format!("commits of {messages} meanwhile, each waits")
    });
    println!(
        "checkpoint {round} of {BLOBS} blobs of {BLOB_BYTES} bytes: {:.1?}, {:.0} blobs/s; \
         {waiting} {waits}",
        begin.elapsed(),
        rate(BLOBS, begin.elapsed()),
    );
    Ok(())
}
