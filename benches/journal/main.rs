//! How fast the journal commits, replays and clears, beside the bare `fdatasync` of the same disk,
//! and how long a commit waits while a large checkpoint is written.
//!
//! `cargo bench --bench journal [-- DIRECTORY [PART]]`: in DIRECTORY, on the disk to be measured, or
//! the system's temporary directory; PART is one of `commit`, `replay`, `checkpoint` and
//! `clearing`, else all are measured. It measures the committing call alone: encoding is the caller's
//! part and done before. A disk's sync rate differs by a hundred between machines and by two
//! between minutes, so compare the ratio, not the rate.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod checkpoint;
mod commit;
mod replay;
#[path = "../engine/ward.rs"]
#[expect(dead_code, reason = "the ward of the other benchmark, of which one load is needed here")]
mod ward;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use pulseward::clock::Timestamp;
use pulseward::engine::input::{Encoding, Event, Input, Publish};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::journal::{Entry, Record, Writer};
use pulseward::position::Position;
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};

/// Payload of a message that carries one reading, and what else its entry takes.
const MESSAGE_BYTES: usize = 200;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let part = arguments.next();
    let is_wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let dir = tempfile::tempdir_in(&parent).context("making a directory")?;
    println!("{}; disk of {}", machine(), parent.display());
    if is_wanted("commit") {
        for per_commit in [1, 100, 500] {
            commit::measure(&dir.path().join(format!("commit-{per_commit}")), per_commit)?;
        }
    }
    if is_wanted("replay") {
        replay::entries(&dir.path().join("entries"))?;
        replay::engine(&dir.path().join("engine"))?;
    }
    if is_wanted("checkpoint") {
        checkpoint::measure(&dir.path().join("checkpoint"))?;
    }
    if is_wanted("clearing") {
        commit::clearing(&dir.path().join("clearing"))?;
    }
    Ok(())
}

fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    format!("{}, {threads} threads", model.as_deref().unwrap_or("processor unknown"))
}

/// A message of one reading, with its reading.
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
        original: None,
        interval: None,
        measurement_id: 0,
    });
    let publish = Publish {
        topic: "pulseward/v1/ward-3/device-017/readings".to_owned(),
        payload: vec![b'x'; MESSAGE_BYTES - 62].into(),
        encoding: Some(Encoding::Protobuf),
        correlation: None,
        retained: false,
    };
    let input = Input { received_at, event: Event::Publish(publish) };
    Record::new(Arc::new(Entry { position: Position(position), input, outputs: vec![reading] }))
}

/// The records of the next `count` messages.
fn next_records(writer: &Writer, count: u64) -> Vec<Record> {
    let last = writer.last().0;
    (last + 1..=last + count).map(record).collect()
}

/// How long calls took.
struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("the histogram grows as it must");
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile));
        write!(f, "p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(1.0))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn mebibytes(bytes: u64) -> f64 {
    const MEBIBYTE: f64 = 1_048_576.0;
    bytes as f64 / MEBIBYTE
}
