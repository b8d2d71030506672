//! Patients and devices, with what is theirs, from their rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Take;
use super::recent::Recent;
use crate::engine::input::Schedule;
use crate::engine::output::{
    BindingRow, DeviceRow, Erased, IntakeCounts, MonitoringState, PatientRow, Worn,
};
use crate::engine::profile::{AgeGroup, Eligibility, Pregnancy};
use crate::engine::restore::{DeviceStanding, PatientStanding, check_packed};
use crate::store::blob;
use crate::store::ledger::{Cells, Ledger, LedgerError, Query, Type};
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, SiteKey};

pub(super) fn patients(
    ledger: &mut dyn Ledger,
    recent: &Recent,
    take: Take<'_, PatientStanding>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT CAST(p.patient_key AS bigint), p.patient_id, CAST(p.site_key AS bigint),
                     p.created_at, p.age_group, p.pregnancy, p.paused_until,
                     m.state, m.since, coalesce(a.number, 0)
              FROM @patients p
              LEFT JOIN @patient_monitoring m ON m.patient_key = p.patient_key
              LEFT JOIN (SELECT patient_key, count(*) AS number FROM @alerts
                         WHERE patient_key IS NOT NULL GROUP BY patient_key) a
                  ON a.patient_key = p.patient_key
              ORDER BY p.patient_key",
        types: &[
            Type::Int,
            Type::Text,
            Type::Int,
            Type::Time,
            Type::Text,
            Type::Text,
            Type::Time,
            Type::Text,
            Type::Time,
            Type::Int,
        ],
        values: Vec::new(),
    };
    ledger.read(&query, &mut |mut row| {
        let patient = patient(&mut row)?;
        let state = row.word_or_null("a state", MonitoringState::from_name)?;
        let since = row.time_or_null()?;
        take(PatientStanding {
            monitoring: state.zip(since),
            occurrences: row.number()?,
            by_hand: recent.by_hand.get(&patient.key).cloned().unwrap_or_default(),
            row: patient,
        })
    })
}

fn patient(row: &mut Cells) -> Result<PatientRow, LedgerError> {
    Ok(PatientRow {
        key: PatientKey(row.key()?),
        id: row.word("an id", |id| PatientId::new(id).ok())?,
        site: SiteKey(row.key()?),
        created_at: row.time()?,
        eligibility: Eligibility {
            age_group: row.word("an age group", age_group)?,
            pregnancy: row.word("a pregnancy", pregnancy)?,
        },
        paused_until: row.time_or_null()?,
    })
}

fn age_group(name: &str) -> Option<AgeGroup> {
    match name {
        "unknown" => Some(AgeGroup::Unknown),
        "adult" => Some(AgeGroup::Adult),
        "child" => Some(AgeGroup::Child),
        _ => None,
    }
}

fn pregnancy(name: &str) -> Option<Pregnancy> {
    match name {
        "unknown" => Some(Pregnancy::Unknown),
        "not_pregnant" => Some(Pregnancy::NotPregnant),
        "pregnant" => Some(Pregnancy::Pregnant),
        _ => None,
    }
}

/// Patients who were erased, with what they wore: as many rows as that.
pub(super) fn erased(ledger: &mut dyn Ledger, take: Take<'_, Erased>) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT CAST(p.patient_key AS bigint), p.patient_id, CAST(p.site_key AS bigint),
                     p.created_at, p.age_group, p.pregnancy, p.paused_until,
                     s.site_id, e.requested_by,
                     CAST(w.device_key AS bigint), w.worn_from, w.worn_until
              FROM @erasures e
              JOIN @patients p ON p.patient_key = e.patient_key
              JOIN @sites s ON s.site_key = p.site_key
              LEFT JOIN @erased_wear w ON w.patient_key = e.patient_key
              ORDER BY e.patient_key, w.device_key, w.worn_until",
        types: ERASED,
        values: Vec::new(),
    };
    let mut held: Option<Erased> = None;
    ledger.read(&query, &mut |mut row| {
        let tombstone = patient(&mut row)?;
        let site = row.word("an id", |id| SiteId::new(id).ok())?;
        let requested_by = row.text()?;
        let worn = worn(&mut row)?;
        match &mut held {
            Some(held) if held.tombstone.key == tombstone.key => held.worn.extend(worn),
            _ => {
                let worn = worn.into_iter().collect();
                let next = Erased { patient: None, site, tombstone, requested_by, worn };
                if let Some(whole) = held.replace(next) {
                    take(whole)?;
                }
            }
        }
        Ok(())
    })?;
    held.map_or(Ok(()), take)
}

const ERASED: &[Type] = &[
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Time,
    Type::Text,
    Type::Text,
    Type::Time,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Time,
    Type::Time,
];

fn worn(row: &mut Cells) -> Result<Option<Worn>, LedgerError> {
    let device = row.key_or_null()?.map(DeviceKey);
    let (from, until) = (row.time_or_null()?, row.time_or_null()?);
    Ok(device.zip(until).map(|(device, until)| Worn { device, from, until }))
}

/// Each device is as many rows as it has bindings, one after the other.
pub(super) fn devices(
    ledger: &mut dyn Ledger,
    mut recent: Recent,
    take: Take<'_, DeviceStanding>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT CAST(d.device_key AS bigint), d.device_id, CAST(d.site_key AS bigint),
                     d.created_at, CAST(b.patient_key AS bigint), b.bound_from, b.bound_until,
                     CAST(b.schedule AS text), n.newest_measured_at,
                     (SELECT max(w.worn_until) FROM @erased_wear w
                      WHERE w.device_key = d.device_key), n.packed,
                     s.last_seen_at, s.accepted_count, s.duplicate_count, s.reordered_count,
                     s.rejected_count, s.amended_count, s.restart_count, s.gap_count,
                     s.gap_overflow_count, s.unknown_field_count
              FROM @devices d
              LEFT JOIN @device_numbers n ON n.device_key = d.device_key
              LEFT JOIN @device_sequences s ON s.device_key = d.device_key
              LEFT JOIN @bindings b ON b.device_key = d.device_key
              WHERE d.device_key <> -1
              ORDER BY d.device_key, b.bound_from",
        types: DEVICE,
        values: Vec::new(),
    };
    let mut schedules = Schedules::default();
    let mut held: Option<DeviceStanding> = None;
    ledger.read(&query, &mut |mut row| {
        let device = device(&mut row)?;
        let binding = binding(&mut row, device.key, &mut schedules)?;
        match &mut held {
            Some(held) if held.row.key == device.key => held.bindings.extend(binding),
            _ => {
                let standing = standing(&mut row, device, binding, &mut recent)?;
                if let Some(whole) = held.replace(standing) {
                    take(whole)?;
                }
            }
        }
        Ok(())
    })?;
    held.map_or(Ok(()), take)
}

const DEVICE: &[Type] = &[
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Time,
    Type::Int,
    Type::Time,
    Type::Time,
    Type::Text,
    Type::Time,
    Type::Time,
    Type::Bytes,
    Type::Time,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
];

fn device(row: &mut Cells) -> Result<DeviceRow, LedgerError> {
    Ok(DeviceRow {
        key: DeviceKey(row.key()?),
        id: row.word("an id", |id| DeviceId::new(id).ok())?,
        site: SiteKey(row.key()?),
        created_at: row.time()?,
    })
}

/// Schedules by their text: a ward's are mostly alike.
#[derive(Default)]
struct Schedules(HashMap<String, Arc<Schedule>>);

impl Schedules {
    fn read(&mut self, text: String) -> Option<Arc<Schedule>> {
        if let Some(known) = self.0.get(&text) {
            return Some(Arc::clone(known));
        }
        let schedule: Arc<Schedule> = Arc::new(blob::decode(&text).ok()?);
        self.0.insert(text, Arc::clone(&schedule));
        Some(schedule)
    }
}

fn binding(
    row: &mut Cells,
    device: DeviceKey,
    schedules: &mut Schedules,
) -> Result<Option<BindingRow>, LedgerError> {
    let patient = row.key_or_null()?.map(PatientKey);
    let (from, until, schedule) = (row.time_or_null()?, row.time_or_null()?, row.text_or_null()?);
    let (Some(patient), Some(from), Some(schedule)) = (patient, from, schedule) else {
        return Ok(None);
    };
    let schedule = schedules.read(schedule).ok_or_else(|| row.wrong("a schedule"))?;
    Ok(Some(BindingRow { device, patient, from, until, schedule }))
}

fn standing(
    row: &mut Cells,
    device: DeviceRow,
    binding: Option<BindingRow>,
    recent: &mut Recent,
) -> Result<DeviceStanding, LedgerError> {
    let newest = row.time_or_null()?;
    // No binding reaches behind the time of somebody who was erased either.
    let erased = row.time_or_null()?.map(|until| until.minus(Duration::from_micros(1)));
    let newest_measured_at = newest.max(erased);
    let numbers = row.bytes_or_null()?.unwrap_or_default();
    if check_packed(&numbers).is_err() {
        return Err(row.wrong("numbers of a device"));
    }
    let of_device = recent.devices.remove(&device.key).unwrap_or_default();
    Ok(DeviceStanding {
        row: device,
        bindings: binding.into_iter().collect(),
        numbers,
        newest_measured_at,
        account: account(row)?,
        newest: of_device.newest,
        unnumbered: of_device.unnumbered,
    })
}

fn account(
    row: &mut Cells,
) -> Result<Option<(IntakeCounts, crate::clock::Timestamp)>, LedgerError> {
    let Some(last_seen_at) = row.time_or_null()? else { return Ok(None) };
    let mut count = || row.int().map(i64::cast_unsigned);
    let counts = IntakeCounts {
        accepted: count()?,
        duplicate: count()?,
        reordered: count()?,
        rejected: count()?,
        amended: count()?,
        restarted: count()?,
        gap: count()?,
        gap_overflow: count()?,
        unknown_field: count()?,
    };
    Ok(Some((counts, last_seen_at)))
}
