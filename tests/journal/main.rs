//! The journal on a real disk: what it promises to those who write it and those who follow it.

mod checkpoints;
mod claims;
mod crash;
mod golden;
mod properties;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Encoding, Event, Input, Publish};
use pulseward::engine::output::{Output, Quality, Reading};
use pulseward::journal::{self, Entry, Error, Follower, Journal, Opened, Record, Settings, Writer};
use pulseward::position::Position;
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};

/// Small segments, so that there are several, and little memory, so that followers fall behind it.
fn settings(dir: &Path) -> Settings {
    Settings { segment_bytes: 16 << 10, memory_bytes: 4096, ..Settings::new(dir) }
}

fn open(dir: &Path) -> Opened {
    journal::open(&settings(dir)).expect("opens")
}

/// The entry of a position: always the same, received at that second, of 0 to 700 bytes.
fn entry(position: u64) -> Entry {
    let number = i64::try_from(position).expect("a small number");
    let received_at = Timestamp::from_seconds(number);
    let filler = u8::try_from(position % 251).expect("below 251");
    let publish = Publish {
        topic: format!("pulseward/v1/site/device-{position}/readings"),
        payload: vec![filler; usize::from(filler) * 2].into(),
        encoding: Some(Encoding::Protobuf),
        correlation: None,
        retained: false,
    };
    let reading = Output::Reading(Reading {
        measured_at: received_at,
        patient: PatientKey(u32::from(filler)),
        device: DeviceKey(7),
        vital: Vital::HeartRate,
        value: Value::Quantity(Quantity::whole(number)),
        quality: Quality::default(),
        original: None,
        interval: None,
        measurement_id: 0,
    });
    let outputs = vec![reading; usize::from(filler % 4)];
    let input = Input { received_at, event: Event::Publish(publish) };
    Entry { position: Position(position), input, outputs }
}

fn records(positions: RangeInclusive<u64>) -> Vec<Record> {
    positions.map(|position| Record::new(Arc::new(entry(position)))).collect()
}

/// Commits the next `count` entries.
fn commit_next(writer: &mut Writer, count: u64) {
    let last = writer.last().0;
    writer.commit(records(last + 1..=last + count)).expect("commits");
}

/// Everything behind `after`, read in small pieces, each checked to be what was written.
fn read_all(journal: &Journal, after: u64) -> Vec<u64> {
    let mut positions = Vec::new();
    let mut after = Position(after);
    while after < journal.last() {
        for found in journal.read(after, 2000).expect("readable") {
            assert_eq!(*found, entry(found.position.0));
            positions.push(found.position.0);
            after = found.position;
        }
    }
    positions
}

/// Everything that a follower gives until the writer is gone.
async fn drain(follower: &mut Follower) -> Result<Vec<u64>, Error> {
    let mut positions = Vec::new();
    while let Some(entries) = follower.next().await? {
        for found in entries {
            assert_eq!(*found, entry(found.position.0));
            positions.push(found.position.0);
        }
    }
    Ok(positions)
}
