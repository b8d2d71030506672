//! Readings in their own compact form, because there are so many.
//!
//! Numbers: a quantity is a double, because its ten-thousandths are whole numbers far below 2^53
//! for everything that [`Vital::possible`] lets through, so that the nearest double leads back to
//! the exact decimal.

use std::time::Duration;

use super::{Cell, Place, Row, Table, int, text_or_null};
use crate::clock::Timestamp;
use crate::engine::output::{Quality, Reading};
use crate::vitals::{AbsentReason, Acvpu, Quantity, Unit, Value, Vital};

/// The columns of `readings`, in the order in which they are written.
pub(in crate::store) static READINGS: Table = Table {
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

/// A reading, with the receipt of the input that brought it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::store) struct ReadingRow {
    pub(in crate::store) place: Place,
    pub(in crate::store) reading: Reading,
    pub(in crate::store) received_at: Timestamp,
}

impl ReadingRow {
    /// The cells of its columns, for who writes few.
    pub(in crate::store) fn cells(&self, stored_at: Timestamp) -> Row {
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

/// The columns `value` and `absent` of a value.
pub(in crate::store) fn value_columns(value: Value) -> (Option<f64>, i16) {
    match value {
        Value::Quantity(quantity) => (Some(quantity.to_f64()), 0),
        Value::Consciousness(level) => (Some(f64::from(level as u8)), 0),
        Value::Absent(reason) => (None, i16::from(reason as u8)),
    }
}

/// The value of the columns `vital`, `value` and `absent`; `None` if they hold none of ours.
pub(in crate::store) fn value_of(vital: Vital, value: Option<f64>, absent: i16) -> Option<Value> {
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
pub(in crate::store) struct Beside {
    pub(in crate::store) original_value: Option<f64>,
    pub(in crate::store) original_unit: Option<&'static str>,
    pub(in crate::store) interval_us: Option<i64>,
    pub(in crate::store) measurement_id: Option<i64>,
}

impl Beside {
    pub(in crate::store) fn of(reading: &Reading) -> Self {
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
pub(in crate::store) fn original_of(
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
pub(in crate::store) fn interval_of(micros: Option<i64>) -> Option<Option<Duration>> {
    let Some(micros) = micros else { return Some(None) };
    u64::try_from(micros).ok().map(|micros| Some(Duration::from_micros(micros)))
}

/// The number of a column.
pub(in crate::store) fn measurement_of(number: Option<i64>) -> Option<u32> {
    u32::try_from(number.unwrap_or(0)).ok()
}

/// The vital of a column.
pub(in crate::store) fn vital_of(number: i16) -> Option<Vital> {
    Vital::from_number(i32::from(number))
}

/// The flags of a column.
pub(in crate::store) fn quality_of(bits: i32) -> Option<Quality> {
    u16::try_from(bits).ok().map(Quality)
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

    proptest! {
        #[test]
        fn a_double_leads_back_to_the_exact_decimal(count in -2_000_000_000_000_i64..2_000_000_000_000) {
            round_trips(Vital::Weight, Value::Quantity(Quantity::from_ten_thousandths(count)));
        }
    }
}
