//! What is to be stored: journals of a ward's messages.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pulseward::clock::Timestamp;
use pulseward::engine::input::{Encoding, Event, Input, Publish};
use pulseward::engine::output::{
    DeviceNumbers, DeviceSequences, IntakeCounts, Output, Quality, Reading, SequenceEvents,
};
use pulseward::journal::{self, Entry, Journal, Record, Writer};
use pulseward::position::Position;
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, Value, Vital};
use tempfile::TempDir;

/// Patients with a device each.
pub(crate) const DEVICES: usize = 5000;
/// What a message of a bedside monitor carries: a value of each vital, once a second.
pub(crate) const READINGS_PER_MESSAGE: usize = 10;
/// How often every device's account is told.
pub(crate) const ACCOUNT_ROUNDS: usize = 20;
/// Entries of one commit.
const COMMIT_ENTRIES: usize = 500;

/// A journal that is not written any more, but not closed either.
pub(crate) struct Ward {
    pub(crate) journal: Journal,
    _writer: Writer,
    _dir: TempDir,
}

/// Whose numbers come with the readings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbered {
    Nobody,
    SmallFleet,
    LargeFleet,
}

impl Numbered {
    pub(crate) const ALL: [Self; 3] = [Self::Nobody, Self::SmallFleet, Self::LargeFleet];

    const fn devices(self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::SmallFleet => DEVICES / 10,
            Self::LargeFleet => DEVICES,
        }
    }

    pub(crate) fn suffix(self) -> String {
        match self.devices() {
            0 => String::new(),
            devices => format!(" with the numbers of {devices} devices"),
        }
    }
}

/// So many readings, ten to a message, each message with what has come from its device.
pub(crate) fn readings(count: usize, numbered: Numbered) -> Result<Ward> {
    let message = |number: usize| {
        let readings = (0..READINGS_PER_MESSAGE).map(|vital| reading(number, vital));
        readings.chain(number.checked_rem(numbered.devices()).map(numbers)).collect()
    };
    ward((0..count / READINGS_PER_MESSAGE).map(message))
}

/// Every device's account again and again, one to a message.
pub(crate) fn accounts() -> Result<Ward> {
    ward((0..DEVICES * ACCOUNT_ROUNDS).map(|number| vec![account(number)]))
}

fn ward(messages: impl Iterator<Item = Vec<Output>>) -> Result<Ward> {
    let dir = TempDir::new()?;
    let opened = journal::open(&journal::Settings::new(dir.path().join("journal")))?;
    let mut writer = opened.writer;
    let mut records: Vec<_> = (1..).zip(messages).map(record).collect();
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(COMMIT_ENTRIES));
        writer.commit(records)?;
        records = rest;
    }
    Ok(Ward { journal: opened.journal, _writer: writer, _dir: dir })
}

fn record((position, outputs): (u64, Vec<Output>)) -> Record {
    let publish = Publish {
        topic: "pulseward/v1/ward-3/device-017/readings".to_owned(),
        payload: vec![b'x'; 20 * READINGS_PER_MESSAGE].into(),
        encoding: Some(Encoding::Protobuf),
        correlation: None,
        retained: false,
    };
    let input = Input { received_at: time(number(position)), event: Event::Publish(publish) };
    Record::new(Arc::new(Entry { position: Position(position), input, outputs }))
}

/// Every device sends once a second; their messages are spread over it.
fn time(message: usize) -> Timestamp {
    let start: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
    start.plus(Duration::from_micros(message as u64 * 1_000_000 / DEVICES as u64))
}

fn number(position: u64) -> usize {
    usize::try_from(position).expect("few")
}

fn key(message: usize) -> u32 {
    u32::try_from(message % DEVICES).expect("few")
}

fn reading(message: usize, vital: usize) -> Output {
    Output::Reading(Reading {
        measured_at: time(message),
        patient: PatientKey(key(message)),
        device: DeviceKey(key(message)),
        vital: Vital::ALL[vital],
        value: Value::Quantity(Quantity::whole(60 + i64::from(key(message) % 60))),
        quality: Quality::default(),
        original: None,
        interval: None,
        measurement_id: 0,
    })
}

fn numbers(message: usize) -> Output {
    let packed = [&[1, 7][..], &(message as u64).to_be_bytes()].concat().into();
    Output::DeviceNumbers(DeviceNumbers {
        device: DeviceKey(key(message)),
        newest: Some(time(message)),
        packed,
    })
}

fn account(message: usize) -> Output {
    let received_at = time(message);
    Output::DeviceSequences(Box::new(DeviceSequences {
        device: DeviceKey(key(message)),
        boot_id: 7,
        highest_seq: Some(message as u64),
        missing: 0,
        counts: IntakeCounts::default(),
        events: SequenceEvents::default(),
        clock_skew_ms: Some(12),
        last_seen_at: received_at,
    }))
}
