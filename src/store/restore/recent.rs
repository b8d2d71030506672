//! The readings that came last before the cursor: what is recognised when it comes again.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::engine::output::Quality;
use crate::engine::restore::{NewestReading, ReceivedReading};
use crate::store::ledger::{Cells, Ledger, LedgerError, Query, Type};
use crate::store::row::{self, Cell};
use crate::vitals::{DeviceKey, PatientKey, Value, Vital};

/// Readings of one device without numbers that are kept: as many as the engine keeps.
const UNNUMBERED_MAX: usize = 4096;

/// By device and by patient; looked up, never walked through.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) devices: HashMap<DeviceKey, OfDevice>,
    pub(super) by_hand: HashMap<PatientKey, Vec<(Timestamp, Vital, Value)>>,
}

#[derive(Debug, Default)]
pub(super) struct OfDevice {
    pub(super) newest: Vec<NewestReading>,
    pub(super) unnumbered: Vec<ReceivedReading>,
}

/// Reads those received since then.
pub(super) fn read(ledger: &mut dyn Ledger, since: Timestamp) -> Result<Recent, LedgerError> {
    let query = Query {
        sql: "SELECT CAST(r.device_key AS bigint), CAST(r.patient_key AS bigint),
                     CAST(r.vital AS bigint), r.measured_at, r.received_at, r.value,
                     CAST(r.absent AS bigint), CAST(r.quality AS bigint),
                     coalesce(length(n.packed), 0) > 0
              FROM @readings r LEFT JOIN @device_numbers n ON n.device_key = r.device_key
              WHERE @recent AND NOT EXISTS (SELECT 1 FROM @erasures e
                                            WHERE e.patient_key = r.patient_key)",
        types: &[
            Type::Int,
            Type::Int,
            Type::Int,
            Type::Time,
            Type::Time,
            Type::Real,
            Type::Int,
            Type::Int,
            Type::Bool,
        ],
        values: vec![Cell::Time(since)],
    };
    let mut recent = Recent::default();
    ledger.read(&query, &mut |row| recent.take(row))?;
    // Rows came in no order.
    recent.by_hand.values_mut().for_each(|readings| readings.sort_by_key(|(at, ..)| *at));
    recent.devices.values_mut().for_each(OfDevice::sort);
    Ok(recent)
}

impl Recent {
    fn take(&mut self, mut row: Cells) -> Result<(), LedgerError> {
        let (device, patient) = (DeviceKey(row.key()?), PatientKey(row.key()?));
        let vital = row::vital_of(row.number()?).ok_or_else(|| row.wrong("a vital"))?;
        let (measured_at, received_at) = (row.time()?, row.time()?);
        let (number, absent) = (row.real_or_null()?, row.number()?);
        let value = row::value_of(vital, number, absent).ok_or_else(|| row.wrong("a value"))?;
        let quality = row::quality_of(row.number()?).ok_or_else(|| row.wrong("a quality"))?;
        let is_numbered = row.flag()?;
        if device == DeviceKey::BY_HAND {
            self.by_hand.entry(patient).or_default().push((measured_at, vital, value));
            return Ok(());
        }
        let of_device = self.devices.entry(device).or_default();
        if !is_numbered {
            let received = ReceivedReading { vital, measured_at, value, received_at };
            of_device.unnumbered.push(received);
        }
        let is_real = !quality.has(Quality::TEST.with(Quality::DEMO));
        let doubts = Quality::QUESTIONABLE.with(Quality::IMPLAUSIBLE).with(Quality::NO_SENSOR);
        if is_real {
            let is_judged = !quality.has(doubts) && !matches!(value, Value::Absent(_));
            of_device.note(NewestReading { vital, measured_at, value, is_judged });
        }
        Ok(())
    }
}

impl OfDevice {
    fn note(&mut self, reading: NewestReading) {
        match self.newest.iter_mut().find(|held| held.vital == reading.vital) {
            Some(held) if held.measured_at >= reading.measured_at => {}
            Some(held) => *held = reading,
            None => self.newest.push(reading),
        }
    }

    /// The same chunk from the same rows.
    fn sort(&mut self) {
        self.newest.sort_by_key(|reading| reading.vital);
        self.unnumbered.sort_by_key(|it| (it.measured_at, it.vital, it.received_at));
        let from = self.unnumbered.len().saturating_sub(UNNUMBERED_MAX);
        self.unnumbered.drain(..from);
    }
}
