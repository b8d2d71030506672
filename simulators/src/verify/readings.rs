//! What is stored, held against what must be: patient by patient.
//!
//! Readings match by device, vital, measured time and value. What is left over on both sides is
//! told as what it most likely is: another value at the same time, another time with the same value,
//! another patient with both. Of what is stored, the ledger learns when it was received.

use std::collections::BTreeMap;

use super::report::Readings;
use super::stored::StoredReading;
use crate::oracle::Ledger;
use crate::oracle::alarms::moment;
use crate::oracle::ledger::{Slot, stored_value};
use crate::oracle::profile::Micros;
use crate::oracle::vital::{self, Worth};

/// Readings that are lost or unexpected are told apart from those of a wrong patient up to here.
const LEFT_OVER_MAX: usize = 100_000;
/// Four decimal places, and what a conversion may round otherwise.
const VALUE_APART_MAX: f64 = 0.000_06;
const CONVERTED_APART_MAX: f64 = 0.000_1;
/// `readings.quality`: a number that means that there is no sensor.
const NO_SENSOR: u32 = 4;

/// What is compared, so far.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) readings: Readings,
    /// Lost readings, by whose they should be.
    lost: Vec<(u32, u32, Slot)>,
    /// Readings that nobody sent, by whose they are.
    unexpected: Vec<(String, StoredReading)>,
}

type Key = (u32, i32, Micros);

impl Comparison {
    /// Compares what is stored of a patient, and tells the ledger when it was received.
    pub(super) fn patient(&mut self, ledger: &mut Ledger, patient: u32, rows: Vec<StoredReading>) {
        let name = ledger.patient(patient).to_string();
        let mut found: BTreeMap<Key, Vec<StoredReading>> = BTreeMap::new();
        for row in rows {
            match row.device {
                Some(device) => {
                    let key = (device, row.vital.into(), row.measured_at);
                    found.entry(key).or_default().push(row);
                }
                None => self.unexpected(name.clone(), row),
            }
        }
        let devices: Vec<u32> = ledger.devices_of(patient).collect();
        let mut missing = Vec::new();
        for device in devices {
            for place in 0..ledger.slots[device as usize].len() {
                let slot = ledger.slots[device as usize][place];
                if slot.patient == patient {
                    let received = self.slot(ledger, (patient, device), &slot, &mut found);
                    match received {
                        Some(received) => ledger.slots[device as usize][place].received = received,
                        None if slot.must_be_stored() => missing.push((device, slot)),
                        None => {}
                    }
                }
            }
        }
        self.leave(ledger, patient, &name, missing, found);
    }

    /// When the reading was received, if it is there.
    fn slot(
        &mut self,
        ledger: &Ledger,
        (patient, device): (u32, u32),
        slot: &Slot,
        found: &mut BTreeMap<Key, Vec<StoredReading>>,
    ) -> Option<Micros> {
        let counted =
            if slot.must_be_stored() { &mut self.readings.must } else { &mut self.readings.may };
        *counted += 1;
        let key = (device, slot.reading.vital.into(), slot.reading.measured_at);
        let rows = found.get_mut(&key)?;
        let place = rows.iter().position(|row| is_value(slot, row))?;
        let row = rows.swap_remove(place);
        self.readings.stored += 1;
        self.readings.may_stored += u64::from(!slot.must_be_stored());
        let (earliest, latest) = ledger.survey.window(slot.message as usize);
        if !slot.may_be_doubled()
            && !(earliest..=latest).contains(&row.received_at)
            && (row.received_at < earliest || !slot.came_again())
        {
            self.readings.received_oddly.add(|| {
                let published = moment(earliest);
                format!(
                    "{}, published {published}, received {}",
                    named(ledger, patient, device, slot),
                    moment(row.received_at)
                )
            });
        }
        // Beyond the contract's bounds one of two is right.
        if slot.may_be_doubled()
            && let Some(again) = rows.iter().position(|row| is_value(slot, row))
        {
            rows.swap_remove(again);
        }
        Some(row.received_at)
    }

    /// Tells what is left over on both sides.
    fn leave(
        &mut self,
        ledger: &Ledger,
        patient: u32,
        name: &str,
        missing: Vec<(u32, Slot)>,
        mut found: BTreeMap<Key, Vec<StoredReading>>,
    ) {
        let mut lost = Vec::new();
        for (device, slot) in missing {
            let key = (device, slot.reading.vital.into(), slot.reading.measured_at);
            match found.get_mut(&key).and_then(Vec::pop) {
                Some(row) => self.readings.wrong_value.add(|| {
                    let said = value(stored_value(slot.reading.worth));
                    let stored = value(row.value);
                    format!(
                        "{}: {said} sent, {stored} stored",
                        named(ledger, patient, device, &slot)
                    )
                }),
                None => lost.push((device, slot)),
            }
        }
        for row in found.into_values().flatten() {
            let device = row.device.unwrap_or(u32::MAX);
            if let Some(slot) = sent(ledger, patient, device, &row) {
                let slot = *slot;
                self.readings.doubled.add(|| named(ledger, patient, device, &slot));
                continue;
            }
            let same = |(at, slot): &(u32, Slot)| {
                *at == device && slot.reading.vital == row.vital && is_value(slot, &row)
            };
            match lost.iter().position(same) {
                Some(place) => {
                    let (device, slot) = lost.swap_remove(place);
                    let stored = moment(row.measured_at);
                    let named = named(ledger, patient, device, &slot);
                    self.readings.wrong_time.add(|| format!("{named}: stored as of {stored}"));
                }
                None => self.unexpected(name.to_owned(), row),
            }
        }
        for (device, slot) in lost {
            if self.lost.len() < LEFT_OVER_MAX {
                self.lost.push((patient, device, slot));
            } else {
                self.readings.lost.add(|| named(ledger, patient, device, &slot));
            }
        }
    }

    /// A reading that nobody sent, as this patient's.
    pub(super) fn unexpected(&mut self, patient: String, row: StoredReading) {
        if self.unexpected.len() < LEFT_OVER_MAX {
            self.unexpected.push((patient, row));
        } else {
            self.readings.unexpected.add(|| unsent(&patient, &row));
        }
    }

    /// Once all patients are compared: who has another's readings?
    pub(super) fn conclude(mut self, ledger: &Ledger) -> Readings {
        for (patient, row) in std::mem::take(&mut self.unexpected) {
            let same = |(_, device, slot): &(u32, u32, Slot)| {
                row.device == Some(*device)
                    && slot.reading.vital == row.vital
                    && slot.reading.measured_at == row.measured_at
                    && is_value(slot, &row)
            };
            match self.lost.iter().position(same) {
                Some(place) => {
                    let (of, device, slot) = self.lost.swap_remove(place);
                    let named = named(ledger, of, device, &slot);
                    self.readings.wrong_patient.add(|| format!("{named}: stored as {patient:?}'s"));
                }
                None => self.readings.unexpected.add(|| unsent(&patient, &row)),
            }
        }
        self.lost.sort_by_key(|(patient, _, slot)| (*patient, slot.message, slot.place));
        for (patient, device, slot) in std::mem::take(&mut self.lost) {
            self.readings.lost.add(|| named(ledger, patient, device, &slot));
        }
        self.readings.repeated = ledger.repeated;
        self.readings
    }
}

/// The reading that was sent with this value at this time, if one was.
fn sent<'a>(
    ledger: &'a Ledger,
    patient: u32,
    device: u32,
    row: &StoredReading,
) -> Option<&'a Slot> {
    let same = |slot: &&Slot| {
        slot.patient == patient
            && slot.reading.vital == row.vital
            && slot.reading.measured_at == row.measured_at
            && is_value(slot, row)
    };
    ledger.slots.get(device as usize)?.iter().find(same)
}

fn is_value(slot: &Slot, row: &StoredReading) -> bool {
    match (stored_value(slot.reading.worth), row.value) {
        (Some(sent), Some(stored)) => {
            let apart =
                if slot.reading.is_converted { CONVERTED_APART_MAX } else { VALUE_APART_MAX };
            (sent - stored).abs() <= apart.max(sent.abs() * f64::EPSILON * 4.0)
        }
        (None, stored) => match slot.reading.worth {
            Worth::Absent(reason) => stored.is_none() && row.absent == reason,
            _ => stored.is_none() || row.quality & NO_SENSOR != 0,
        },
        (Some(_), None) => false,
    }
}

fn value(value: Option<f64>) -> String {
    value.map_or_else(|| "no value".to_owned(), |value| value.to_string())
}

/// A reading, as people look for it.
fn named(ledger: &Ledger, patient: u32, device: u32, slot: &Slot) -> String {
    let message = ledger.survey.messages.get(slot.message as usize).map_or(0, |it| it.number);
    let device = ledger.survey.run.devices.get(device as usize).map_or("?", |it| &it.device_id);
    let vital = vital::name(slot.reading.vital);
    let at = moment(slot.reading.measured_at);
    let patient = ledger.patient(patient);
    format!(
        "{vital} of {patient} measured {at} by {device}, reading {} of message {message}",
        slot.place
    )
}

fn unsent(patient: &str, row: &StoredReading) -> String {
    let (vital, at) = (vital::name(row.vital), moment(row.measured_at));
    format!("{vital} of {patient:?} measured {at}: {} stored", value(row.value))
}
