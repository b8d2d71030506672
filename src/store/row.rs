//! Outputs as rows: the one place that knows tables, columns and what stands in them.
//!
//! Readings keep their own compact form, [`ReadingRow`], because there are so many. Everything
//! else becomes a [`Row`] of [`Cell`]s, which both databases write by the same two statements:
//! upsert by key, or append. Keys and counts are unsigned here and signed there; they keep their
//! bits.

mod alerts;
mod audit;
mod erasures;
mod intake;
mod readings;
mod registry;
mod table;

pub(super) use self::alerts::{ALERT_EVENTS, ANSWER, alert, alert_event, answer, monitoring};
use self::alerts::{ALERTS, MONITORING};
pub(super) use self::audit::{AUDIT_EVENTS, audit_event, patients_json};
use self::erasures::ERASED_WEAR;
pub(super) use self::erasures::{BEGIN_ERASURE, FORGET, erasure, forgotten};
use self::intake::{DEVICE_NUMBERS, DEVICE_SEQUENCES, REDRIVES};
pub(super) use self::intake::{
    Letter, MARK_REDRIVEN, REJECTED_MESSAGES, device_numbers, device_sequences, encoding_of,
    mark_redriven, redrives, reject,
};
pub(super) use self::readings::{
    Beside, READINGS, ReadingRow, interval_of, measurement_of, original_of, quality_of,
    value_columns, value_of, vital_of,
};
use self::registry::{BINDINGS, DEVICES, PATIENTS, PROFILES, SITES};
pub(super) use self::registry::{missing_profile, registry, scope_cells, scope_columns};
use self::table::Update;
pub(super) use self::table::{Cell, Change, Row, Statement, Table};
use super::blob::{self, Blob};
use crate::clock::Timestamp;
use crate::engine::alerts::AlertId;
use crate::engine::output::{Erased, Output};
use crate::engine::profile::Scope;
use crate::position::{JournalId, Partition, Position};
use crate::vitals::{DeviceKey, PatientKey, Quantity, SiteKey};

/// Which journals the rows came from.
pub(super) static JOURNALS: Table = Table {
    name: "journals",
    columns: &[
        "journal_id",
        "partition",
        "how",
        "began_at",
        "parent_journal_id",
        "parent_position",
    ],
    key: 2,
};

/// Where rows are known to be missing.
pub(super) static GAPS: Table = Table {
    name: "gaps",
    columns: &[
        "partition",
        "journal_id",
        "before_position",
        "accepted_at",
        "after_journal_id",
        "after_position",
        "reason",
        "missing_from",
        "missing_until",
    ],
    key: 4,
};

/// Which row of which table is overwritten. Its order is the order of writing, the same in every
/// transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    Site(SiteKey),
    Patient(PatientKey),
    Device(DeviceKey),
    Binding(DeviceKey, Timestamp),
    Profile(Scope, u32),
    Alert(AlertId),
    Monitoring(PatientKey),
    Redrives(Partition),
    DeviceSequences(DeviceKey),
    DeviceNumbers(DeviceKey),
    ErasedWear(PatientKey, DeviceKey, Timestamp),
}

impl Identity {
    pub(super) const fn table(&self) -> &'static Table {
        match self {
            Self::Site(_) => &SITES,
            Self::Patient(_) => &PATIENTS,
            Self::Device(_) => &DEVICES,
            Self::Binding(..) => &BINDINGS,
            Self::Profile(..) => &PROFILES,
            Self::Alert(_) => &ALERTS,
            Self::Monitoring(_) => &MONITORING,
            Self::Redrives(_) => &REDRIVES,
            Self::DeviceSequences(_) => &DEVICE_SEQUENCES,
            Self::DeviceNumbers(_) => &DEVICE_NUMBERS,
            Self::ErasedWear(..) => &ERASED_WEAR,
        }
    }
}

/// Which output of the journal a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) index: u32,
}

/// A row, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) place: Place,
    pub(super) row: Row,
}

/// Where a row comes from, with all that is to be known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) journal_id: JournalId,
    pub(super) partition: Partition,
    pub(super) position: Position,
    pub(super) index: u32,
    pub(super) received_at: Timestamp,
}

impl Origin {
    pub(super) const fn place(&self) -> Place {
        Place { position: self.position, index: self.index }
    }
}

/// An unsigned number in a signed column of the same width.
pub(super) const fn signed(number: u32) -> i32 {
    number.cast_signed()
}

fn int(number: u32) -> Cell {
    Cell::Int(i64::from(signed(number)))
}

/// Postgres has no text with NUL in it, and some texts come from devices.
fn text(text: &str) -> Cell {
    Cell::Text(text.replace('\0', "\u{fffd}"))
}

fn text_or_null(content: Option<&str>) -> Cell {
    content.map_or(Cell::Null, text)
}

fn json(value: &impl Blob) -> Cell {
    Cell::Json(blob::encode(value))
}

fn time_or_null(time: Option<Timestamp>) -> Cell {
    time.map_or(Cell::Null, Cell::Time)
}

fn real(quantity: Quantity) -> Cell {
    Cell::Real(quantity.to_f64())
}

/// The row of an output that says how something stands, wherever and whenever it is said.
pub(super) fn standing(output: &Output, position: Position) -> Option<(Identity, Row)> {
    match output {
        Output::Registry(change) => Some(registry(change)),
        Output::Monitoring(change) => Some(monitoring(change)),
        Output::DeviceSequences(account) => Some(device_sequences(position, account)),
        Output::DeviceNumbers(numbers) => Some(device_numbers(numbers)),
        _ => None,
    }
}

/// What a patient who was erased wore, row by row.
pub(super) fn erased_wear(erased: &Erased) -> impl Iterator<Item = (Identity, Row)> {
    let patient = erased.tombstone.key;
    erased.worn.iter().map(move |worn| {
        let identity = Identity::ErasedWear(patient, worn.device, worn.until);
        (identity, erasures::worn(patient, worn))
    })
}

pub(super) fn origin_cells(origin: Origin) -> [Cell; 4] {
    [
        Cell::Uuid(origin.journal_id.0),
        partition_cell(origin.partition),
        Cell::Int(origin.position.0.cast_signed()),
        int(origin.index),
    ]
}

pub(super) fn partition_cell(partition: Partition) -> Cell {
    Cell::Int(i64::from(partition.0.cast_signed()))
}
