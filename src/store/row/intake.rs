//! What became of what devices sent, as rows: refusals, what was sent through again, and each
//! device's account.
//!
//! A refused message is as many rows as it has refusals, and its payload stands in the first.

use bytes::Bytes;

use super::{
    Cell, Identity, Origin, Row, Table, Update, int, origin_cells, partition_cell, text,
    text_or_null, time_or_null,
};
use crate::clock::Timestamp;
use crate::engine::input::{Action, Encoding, Event, Poisoned};
use crate::engine::output::{DeviceNumbers, DeviceSequences, Reject};
use crate::mqtt::topic::Topic;
use crate::position::{MessageId, Partition, Position};

pub(in crate::store) static REJECTED_MESSAGES: Table = Table {
    name: "rejected_messages",
    columns: &[
        "journal_id",
        "partition",
        "position",
        "output_index",
        "received_at",
        "topic",
        "reading_index",
        "reason",
        "detail",
        "payload",
        "site_id",
        "device_id",
        "encoding",
        "reading_count",
        "redriven_from",
    ],
    key: 0,
};

pub(super) const REDRIVES: Table =
    Table { name: "redrives", columns: &["partition", "number"], key: 1 };

pub(super) const DEVICE_SEQUENCES: Table = Table {
    name: "device_sequences",
    columns: &[
        "device_key",
        "boot_id",
        "highest_seq",
        "missing_count",
        "accepted_count",
        "duplicate_count",
        "reordered_count",
        "rejected_count",
        "amended_count",
        "restart_count",
        "gap_count",
        "gap_overflow_count",
        "unknown_field_count",
        "clock_skew_seconds",
        "last_seen_at",
        "position",
    ],
    key: 1,
};

/// A table of its own beside the accounts: it is written with every message, they once a minute.
pub(super) const DEVICE_NUMBERS: Table = Table {
    name: "device_numbers",
    columns: &["device_key", "newest_measured_at", "packed"],
    key: 1,
};

/// The row of what has come from a device, and which row it overwrites.
pub(in crate::store) fn device_numbers(numbers: &DeviceNumbers) -> (Identity, Row) {
    let row = vec![
        int(numbers.device.0),
        time_or_null(numbers.newest),
        Cell::Bytes(numbers.packed.clone()),
    ];
    (Identity::DeviceNumbers(numbers.device), row)
}

/// The row of a device's account, and which row it overwrites.
pub(in crate::store) fn device_sequences(
    position: Position,
    account: &DeviceSequences,
) -> (Identity, Row) {
    let count = |number: u64| Cell::Int(number.cast_signed());
    let counts = &account.counts;
    let row = vec![
        int(account.device.0),
        count(account.boot_id),
        account.highest_seq.map_or(Cell::Null, count),
        count(account.missing),
        count(counts.accepted),
        count(counts.duplicate),
        count(counts.reordered),
        count(counts.rejected),
        count(counts.amended),
        count(counts.restarted),
        count(counts.gap),
        count(counts.gap_overflow),
        count(counts.unknown_field),
        account.clock_skew_ms.map_or(Cell::Null, |ms| Cell::Real(f64::from(ms) / 1000.0)),
        Cell::Time(account.last_seen_at),
        count(position.0),
    ];
    (Identity::DeviceSequences(account.device), row)
}

/// The message that was refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Letter<'a> {
    /// Its payload; given for the first refusal of a message only: a message of ten thousand
    /// readings may be refused ten thousand times, and is kept once.
    pub(in crate::store) payload: Option<&'a Bytes>,
    pub(in crate::store) encoding: Option<Encoding>,
    /// The message that it was before it was sent through the intake again.
    pub(in crate::store) redriven_from: Option<MessageId>,
}

impl<'a> Letter<'a> {
    /// The message of an input, if it is one.
    pub(in crate::store) fn of(event: &'a Event) -> Self {
        let (publish, redriven_from) = match event {
            Event::Publish(publish) | Event::Poisoned(Poisoned::Publish(publish)) => {
                (publish, None)
            }
            Event::Command(command) => match &command.action {
                Action::Redrive(redrive) => (&redrive.publish, Some(redrive.message)),
                _ => return Self { payload: None, encoding: None, redriven_from: None },
            },
            _ => return Self { payload: None, encoding: None, redriven_from: None },
        };
        Self { payload: Some(&publish.payload), encoding: publish.encoding, redriven_from }
    }
}

const PROTOBUF: &str = "protobuf";
const JSON: &str = "json";

/// The encoding of a column; the outer `None` for one that is none of ours.
pub(in crate::store) fn encoding_of(name: Option<&str>) -> Option<Option<Encoding>> {
    match name {
        None => Some(None),
        Some(PROTOBUF) => Some(Some(Encoding::Protobuf)),
        Some(JSON) => Some(Some(Encoding::Json)),
        Some(_) => None,
    }
}

/// The row of a refusal.
pub(in crate::store) fn reject(origin: Origin, reject: &Reject, letter: Letter<'_>) -> Row {
    let topic = Topic::parse(&reject.topic).ok();
    let encoding = letter.encoding.map(|encoding| match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    });
    let mut cells = Row::from(origin_cells(origin));
    cells.extend([
        Cell::Time(origin.received_at),
        text(&reject.topic),
        reject.index.map_or(Cell::Null, |index| Cell::Int(i64::from(index))),
        text(reject.reason.name()),
        text(&reject.detail),
        letter.payload.map_or(Cell::Null, |payload| Cell::Bytes(payload.clone())),
        text_or_null(topic.map(|topic| topic.site)),
        text_or_null(topic.map(|topic| topic.device)),
        text_or_null(encoding),
        int(reject.count),
        letter.redriven_from.map_or(Cell::Null, |message| Cell::Text(message.to_string())),
    ]);
    cells
}

/// Takes note in the rows of a message that it was sent through the intake again.
pub(in crate::store) static MARK_REDRIVEN: Update = Update {
    name: "rejected_messages",
    set: "redriven_at",
    key: &["journal_id", "partition", "position"],
};

/// How many messages were sent through again, and which row says so.
pub(in crate::store) fn redrives(partition: Partition, number: u64) -> (Identity, Row) {
    let cells = vec![partition_cell(partition), Cell::Int(number.cast_signed())];
    (Identity::Redrives(partition), cells)
}

/// The cells of [`MARK_REDRIVEN`].
pub(in crate::store) fn mark_redriven(message: MessageId, at: Timestamp) -> Row {
    vec![
        Cell::Time(at),
        Cell::Uuid(message.journal_id.0),
        partition_cell(message.partition),
        Cell::Int(message.position.0.cast_signed()),
    ]
}
