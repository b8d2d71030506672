//! Outputs as rows: the one place that knows tables, columns and what stands in them.
//!
//! Readings keep their own compact form, [`ReadingRow`], because there are so many. Everything
//! else becomes a [`Row`] of [`Cell`]s, which both databases write by the same two statements:
//! upsert by key, or append.
//!
//! Numbers: a quantity is a double, because its ten-thousandths are whole numbers far below 2^53
//! for everything that [`Vital::possible`] lets through, so that the nearest double leads back to
//! the exact decimal. Keys and counts are unsigned here and signed there; they keep their bits.

mod alerts;
mod audit;
mod erasures;
mod intake;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub(super) use self::alerts::{ALERT_EVENTS, alert, alert_event, monitoring};
use self::alerts::{ALERTS, MONITORING};
pub(super) use self::audit::{AUDIT_EVENTS, audit_event, patients_json};
use self::erasures::ERASED_WEAR;
pub(super) use self::erasures::{BEGIN_ERASURE, FORGET, erasure, forgotten};
use self::intake::{DEVICE_NUMBERS, DEVICE_SEQUENCES, REDRIVES};
pub(super) use self::intake::{
    Letter, MARK_REDRIVEN, REJECTED_MESSAGES, device_numbers, device_sequences, encoding_of,
    mark_redriven, redrives, reject,
};
use super::blob::{self, Blob};
use super::ledger;
use crate::clock::Timestamp;
use crate::engine::alerts::AlertId;
use crate::engine::output::{
    BindingRow, DeviceRow, Erased, Output, PatientRow, ProfileRow, Quality, Reading,
    RegistryChange, SiteRow,
};
use crate::engine::profile::{AgeGroup, Pregnancy, Scope};
use crate::position::{JournalId, Partition, Position};
use crate::vitals::{
    AbsentReason, Acvpu, DeviceKey, PatientKey, Quantity, SiteKey, Unit, Value, Vital,
};

/// The columns of `readings`, in the order in which they are written.
pub(super) static READINGS: Table = Table {
    name: "readings",
    columns: &[
        "measured_at",
        "received_at",
        "stored_at",
        "value",
        "patient_key",
        "device_key",
        "quality",
        "vital",
        "absent",
        "original_value",
        "original_unit",
        "interval_us",
        "measurement_id",
    ],
    key: 0,
};

/// One value of a projected row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    /// JSON text; a type of its own in Postgres.
    Json(String),
    Bytes(Bytes),
    Time(Timestamp),
    Uuid(Uuid),
}

/// The cells of a row, in the order of its table's columns.
pub(super) type Row = Vec<Cell>;

/// A table, as far as writing it goes.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The first so many columns identify a row that is overwritten; 0 where rows only come.
    pub(super) key: usize,
}

const SITES: Table = Table {
    name: "sites",
    columns: &["site_key", "site_id", "display_name", "time_zone", "created_at"],
    key: 1,
};

const PATIENTS: Table = Table {
    name: "patients",
    columns: &[
        "patient_key",
        "patient_id",
        "site_key",
        "created_at",
        "age_group",
        "pregnancy",
        "paused_until",
    ],
    key: 1,
};

const DEVICES: Table = Table {
    name: "devices",
    columns: &["device_key", "device_id", "site_key", "created_at"],
    key: 1,
};

const BINDINGS: Table = Table {
    name: "bindings",
    columns: &["device_key", "bound_from", "bound_until", "patient_key", "schedule"],
    key: 2,
};

static PROFILES: Table = Table {
    name: "profiles",
    columns: &["scope", "scope_key", "version", "profile", "put_at", "put_by"],
    key: 3,
};

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

/// A reading, with the receipt of the input that brought it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReadingRow {
    pub(super) place: Place,
    pub(super) reading: Reading,
    pub(super) received_at: Timestamp,
}

impl ReadingRow {
    /// The cells of its columns, for who writes few.
    pub(super) fn cells(&self, stored_at: Timestamp) -> Row {
        let Self { reading, received_at, .. } = self;
        let (value, absent) = value_columns(reading.value);
        let beside = Beside::of(reading);
        let int_or_null = |number: Option<i64>| number.map_or(Cell::Null, Cell::Int);
        vec![
            Cell::Time(reading.measured_at),
            Cell::Time(*received_at),
            Cell::Time(stored_at),
            value.map_or(Cell::Null, Cell::Real),
            int(reading.patient.0),
            int(reading.device.0),
            Cell::Int(i64::from(reading.quality.0)),
            Cell::Int(i64::from(reading.vital.number())),
            Cell::Int(i64::from(absent)),
            beside.original_value.map_or(Cell::Null, Cell::Real),
            text_or_null(beside.original_unit),
            int_or_null(beside.interval_us),
            int_or_null(beside.measurement_id),
        ]
    }
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

/// The columns `value` and `absent` of a value.
pub(super) fn value_columns(value: Value) -> (Option<f64>, i16) {
    match value {
        Value::Quantity(quantity) => (Some(quantity.to_f64()), 0),
        Value::Consciousness(level) => (Some(f64::from(level as u8)), 0),
        Value::Absent(reason) => (None, i16::from(reason as u8)),
    }
}

/// The value of the columns `vital`, `value` and `absent`; `None` if they hold none of ours.
pub(super) fn value_of(vital: Vital, value: Option<f64>, absent: i16) -> Option<Value> {
    let Some(number) = value else {
        return AbsentReason::from_number(i32::from(absent)).map(Value::Absent);
    };
    let quantity = Quantity::from_f64(number)?;
    if vital != Vital::Consciousness {
        return Some(Value::Quantity(quantity));
    }
    let level = (1..=5).find(|level| Quantity::whole(i64::from(*level)) == quantity)?;
    Acvpu::from_number(level).map(Value::Consciousness)
}

/// What few readings carry beside their value; null in almost all rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beside {
    pub(super) original_value: Option<f64>,
    pub(super) original_unit: Option<&'static str>,
    pub(super) interval_us: Option<i64>,
    pub(super) measurement_id: Option<i64>,
}

impl Beside {
    pub(super) fn of(reading: &Reading) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self {
            original_value: reading.original.map(|(quantity, _)| quantity.to_f64()),
            original_unit: reading.original.map(|(_, unit)| unit.ucum()),
            interval_us: reading.interval.map(micros),
            measurement_id: (reading.measurement_id != 0).then(|| reading.measurement_id.into()),
        }
    }
}

/// What arrived, of the columns `original_value` and `original_unit`; `None` if they hold half a
/// quantity, or one in no unit of ours.
pub(super) fn original_of(
    value: Option<f64>,
    unit: Option<&str>,
) -> Option<Option<(Quantity, Unit)>> {
    match (value, unit) {
        (None, None) => Some(None),
        (Some(value), Some(unit)) => {
            Some(Some((Quantity::from_f64(value)?, Unit::from_ucum(unit)?)))
        }
        _ => None,
    }
}

/// The span of a column.
pub(super) fn interval_of(micros: Option<i64>) -> Option<Option<Duration>> {
    let Some(micros) = micros else { return Some(None) };
    u64::try_from(micros).ok().map(|micros| Some(Duration::from_micros(micros)))
}

/// The number of a column.
pub(super) fn measurement_of(number: Option<i64>) -> Option<u32> {
    u32::try_from(number.unwrap_or(0)).ok()
}

/// The vital of a column.
pub(super) fn vital_of(number: i16) -> Option<Vital> {
    Vital::from_number(i32::from(number))
}

/// The flags of a column.
pub(super) fn quality_of(bits: i32) -> Option<Quality> {
    u16::try_from(bits).ok().map(Quality)
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

fn scope_cells(scope: Scope) -> [Cell; 2] {
    let (kind, key) = match scope {
        Scope::Default => ("default", 0),
        Scope::Site(site) => ("site", site.0),
        Scope::Patient(patient) => ("patient", patient.0),
    };
    [text(kind), int(key)]
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

/// The row of a change of the registry, and which row it overwrites.
pub(super) fn registry(change: &RegistryChange) -> (Identity, Row) {
    match change {
        RegistryChange::Site(row) => (Identity::Site(row.key), site(row)),
        RegistryChange::Patient(row) => (Identity::Patient(row.key), patient(row)),
        RegistryChange::Device(row) => (Identity::Device(row.key), device(row)),
        RegistryChange::Binding(row) => (Identity::Binding(row.device, row.from), binding(row)),
        RegistryChange::Profile(row) => (Identity::Profile(row.scope, row.version), profile(row)),
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

fn site(row: &SiteRow) -> Row {
    vec![
        int(row.key.0),
        text(row.id.as_str()),
        text(&row.display_name),
        text(&row.time_zone),
        Cell::Time(row.created_at),
    ]
}

fn patient(row: &PatientRow) -> Row {
    let age_group = match row.eligibility.age_group {
        AgeGroup::Unknown => "unknown",
        AgeGroup::Adult => "adult",
        AgeGroup::Child => "child",
    };
    let pregnancy = match row.eligibility.pregnancy {
        Pregnancy::Unknown => "unknown",
        Pregnancy::NotPregnant => "not_pregnant",
        Pregnancy::Pregnant => "pregnant",
    };
    vec![
        int(row.key.0),
        text(row.id.as_str()),
        int(row.site.0),
        Cell::Time(row.created_at),
        text(age_group),
        text(pregnancy),
        time_or_null(row.paused_until),
    ]
}

fn device(row: &DeviceRow) -> Row {
    vec![int(row.key.0), text(row.id.as_str()), int(row.site.0), Cell::Time(row.created_at)]
}

fn binding(row: &BindingRow) -> Row {
    vec![
        int(row.device.0),
        Cell::Time(row.from),
        time_or_null(row.until),
        int(row.patient.0),
        json(&*row.schedule),
    ]
}

fn profile(row: &ProfileRow) -> Row {
    let mut cells = Row::from(scope_cells(row.scope));
    cells.extend([int(row.version), json(&row.profile), Cell::Time(row.put_at), text(&row.put_by)]);
    cells
}

/// A version of a profile of which it is not known who put it, where no row says so.
pub(super) fn missing_profile(row: ProfileRow) -> ledger::Change {
    let put_by = "not known".to_owned();
    ledger::Change::Add(&PROFILES, profile(&ProfileRow { put_by, ..row }))
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

/// How a row gets into its table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// It is added, or overwrites the one of its key if the table has one.
    Insert(&'static Table),
    /// It tells what to change in rows that are there.
    Update(&'static Update),
    /// It is what a statement of its own is told.
    Execute(&'static Statement),
}

impl Change {
    /// With the table's name it tells two statements apart.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Insert(_) => "insert",
            Self::Update(_) => "update",
            Self::Execute(_) => "execute",
        }
    }

    pub(super) const fn table_name(self) -> &'static str {
        match self {
            Self::Insert(table) => table.name,
            Self::Update(update) => update.name,
            Self::Execute(statement) => statement.table,
        }
    }

    /// What its cells are, in their order.
    pub(super) fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Insert(table) => table.columns.to_vec(),
            Self::Update(update) => [&[update.set], update.key].concat(),
            Self::Execute(statement) => statement.columns.to_vec(),
        }
    }

    /// The statement for one row; see [`Table::insert_sql`].
    pub(super) fn sql(self, prefix: &str, mark: char) -> String {
        match self {
            Self::Insert(table) => table.insert_sql(prefix, mark),
            Self::Update(update) => update.sql(prefix, mark),
            Self::Execute(statement) => statement.sql(prefix, mark),
        }
    }
}

/// A statement that is no plain insert or update of one column.
#[derive(Debug)]
pub(super) struct Statement {
    /// The table that it changes.
    table: &'static str,
    /// What its parameters are, in their order.
    columns: &'static [&'static str],
    /// With `{schema}` before each name of ours.
    sql: &'static str,
}

impl Statement {
    pub(super) fn sql(&self, prefix: &str, mark: char) -> String {
        self.sql.replace("{schema}", prefix).replace('$', mark.encode_utf8(&mut [0; 4]))
    }
}

/// A change of one column in the rows of a key.
#[derive(Debug)]
pub(super) struct Update {
    name: &'static str,
    set: &'static str,
    key: &'static [&'static str],
}

impl Update {
    /// The statement, with the new value as its first parameter; see [`Table::insert_sql`].
    pub(super) fn sql(&self, prefix: &str, mark: char) -> String {
        let key = (2..).zip(self.key).map(|(n, name)| format!("{name} = {mark}{n}"));
        let key = key.collect::<Vec<_>>().join(" AND ");
        format!("UPDATE {prefix}{} SET {} = {mark}1 WHERE {key}", self.name, self.set)
    }
}

impl Table {
    /// `INSERT` of one row, overwriting the row of the same key if the table has one. `prefix` is
    /// the schema with its dot, `mark` what begins a numbered parameter.
    pub(super) fn insert_sql(&self, prefix: &str, mark: char) -> String {
        let marks: Vec<_> = (1..=self.columns.len()).map(|n| format!("{mark}{n}")).collect();
        self.insert_from(prefix, &format!("VALUES ({})", marks.join(", ")))
    }

    /// `INSERT` of the rows that `source` gives, overwriting in the same way. They must be of
    /// different keys.
    pub(super) fn insert_from(&self, prefix: &str, source: &str) -> String {
        let columns = self.columns.join(", ");
        let mut sql = format!("INSERT INTO {prefix}{} ({columns}) {source}", self.name);
        if self.key > 0 {
            let (key, rest) = self.columns.split_at(self.key);
            let set: Vec<_> = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect();
            sql += &format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "));
        }
        sql
    }
}

impl Table {
    /// `INSERT` of one row, unless the table has one of its key.
    pub(super) fn add_sql(&self, prefix: &str, mark: char) -> String {
        let marks: Vec<_> = (1..=self.columns.len()).map(|n| format!("{mark}{n}")).collect();
        let (columns, marks) = (self.columns.join(", "), marks.join(", "));
        let name = self.name;
        format!("INSERT INTO {prefix}{name} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trips(vital: Vital, value: Value) {
        let (number, absent) = value_columns(value);
        assert_eq!(value_of(vital, number, absent), Some(value));
    }

    #[test]
    fn every_level_and_every_reason_leads_back() {
        for level in 1..=5 {
            let level = Acvpu::from_number(level).expect("a level");
            round_trips(Vital::Consciousness, Value::Consciousness(level));
            let reason = AbsentReason::from_number(level as i32).expect("a reason");
            round_trips(Vital::Spo2, Value::Absent(reason));
            round_trips(Vital::Consciousness, Value::Absent(reason));
        }
    }

    #[test]
    fn columns_of_nobody_are_no_value() {
        assert_eq!(value_of(Vital::Spo2, None, 0), None);
        assert_eq!(value_of(Vital::Consciousness, Some(6.0), 0), None);
        assert_eq!(value_of(Vital::Spo2, Some(f64::NAN), 0), None);
    }

    #[test]
    fn an_insert_overwrites_only_where_there_is_a_key() {
        assert_eq!(
            DEVICES.insert_sql("pulseward.", '$'),
            "INSERT INTO pulseward.devices (device_key, device_id, site_key, created_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (device_key) DO UPDATE SET \
             device_id = excluded.device_id, site_key = excluded.site_key, \
             created_at = excluded.created_at"
        );
        assert!(!REJECTED_MESSAGES.insert_sql("", '?').contains("CONFLICT"));
    }

    #[test]
    fn an_update_changes_the_rows_of_its_key() {
        assert_eq!(
            MARK_REDRIVEN.sql("", '?'),
            "UPDATE rejected_messages SET redriven_at = ?1 \
             WHERE journal_id = ?2 AND partition = ?3 AND position = ?4"
        );
    }

    proptest! {
        #[test]
        fn a_double_leads_back_to_the_exact_decimal(count in -2_000_000_000_000_i64..2_000_000_000_000) {
            round_trips(Vital::Weight, Value::Quantity(Quantity::from_ten_thousandths(count)));
        }
    }
}
