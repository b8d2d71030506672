//! Which readings of a batch count, by what is known of the device alone: not seen before, of a
//! time that can be, from a device that was bound then, and of a value that a patient can have.

use std::time::Duration;

use super::account::Visit;
use super::{Arriving, CLOCK_AHEAD_MAX, Device, Tally};
use crate::clock::Timestamp;
use crate::engine::decode::Decoded;
use crate::engine::output::{DeviceNumbers, DeviceSequences, Quality, RejectReason};
use crate::engine::state::State;
use crate::vitals::{AbsentReason, DeviceKey, Quantity, Value, Vital};

/// What is known of a batch by its device alone.
pub(super) struct Placing {
    /// The readings that count, in measured order.
    pub(super) placed: Vec<Placed>,
    pub(super) tally: Tally,
    /// The device's account, if it is to be told.
    pub(super) told: Option<DeviceSequences>,
    /// What has come from it, if the batch changed that.
    pub(super) numbers: Option<DeviceNumbers>,
}

/// Tells the readings that count from those that don't, by what is known of the device alone.
pub(super) fn place_all(
    state: &mut State,
    device: DeviceKey,
    Arriving { batch, payload, again }: Arriving<'_>,
    now: Timestamp,
) -> Placing {
    let retention = state.general.settings.retention;
    let is_listening = !state.general.attention.is_still();
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    let before = (row.newest, row.account.sequences().clone());
    let mut visit = row.account.open(&batch, payload, again, now);
    for (index, reason, _) in &batch.refused {
        visit.refuse(batch.first_seq + u64::from(*index), is_final(*reason));
    }
    let mut tally = Tally { refused: batch.refused, ..Tally::default() };
    let mut readings = batch.readings;
    // Stable, so that readings of one instant keep the order in which they were sent.
    readings.sort_by_key(|reading| reading.measured_at);
    let mut placed = Vec::with_capacity(readings.len());
    for reading in readings {
        match place(row, &visit, reading, now, retention) {
            Ok(None) => tally.duplicate += 1,
            Ok(Some(mut admitted)) => {
                tally.accepted += 1;
                row.newest = row.newest.max(Some(reading.measured_at));
                if row.account.note(&mut visit, &reading) {
                    admitted.quality = admitted.quality.with(Quality::AMENDED);
                }
                placed.push(admitted);
            }
            Err((reason, detail)) => {
                visit.refuse(reading.sequence, is_final(reason));
                tally.refused.push((reading.index, reason, detail));
            }
        }
    }
    let told = row.account.close(visit, &tally, is_listening, device);
    let is_changed = (row.newest, row.account.sequences()) != (before.0, &before.1);
    let numbers = is_changed.then(|| row.numbers());
    tally.refused.sort_by_key(|(index, ..)| *index);
    doubt_impossible_panels(&mut placed);
    Placing { placed, tally, told, numbers }
}

/// A blood-pressure panel is judged whole: a systolic pressure that is not above the diastolic of
/// the same measurement makes both implausible.
pub(super) fn doubt_impossible_panels(placed: &mut [Placed]) {
    let same = |one: &Placed, other: &Placed| {
        one.reading.measured_at == other.reading.measured_at
            && one.reading.measurement_id == other.reading.measurement_id
    };
    for panel in placed.chunk_by_mut(same) {
        let pressure = |vital| {
            let of = |it: &&Placed| it.reading.vital == vital;
            match panel.iter().find(of).map(|it| it.grade) {
                Some(Grade::Plausible(value)) => Some(value),
                _ => None,
            }
        };
        let systolic = pressure(Vital::SystolicPressure);
        let diastolic = pressure(Vital::DiastolicPressure);
        let is_impossible = systolic.zip(diastolic).is_some_and(|(high, low)| high <= low);
        if panel[0].reading.measurement_id == 0 || !is_impossible {
            continue;
        }
        for it in panel.iter_mut() {
            if let (Grade::Plausible(value), Vital::SystolicPressure | Vital::DiastolicPressure) =
                (it.grade, it.reading.vital)
            {
                it.grade = Grade::Implausible(value);
                it.quality = it.quality.with(Quality::IMPLAUSIBLE);
            }
        }
    }
}

/// Whether a reading refused for this reason is refused whenever it comes again. The others may
/// be admitted later: once the device is bound, or its time has come.
pub(in crate::engine) const fn is_final(reason: RejectReason) -> bool {
    !matches!(
        reason,
        RejectReason::UnknownDevice
            | RejectReason::WrongSite
            | RejectReason::UnboundDevice
            | RejectReason::ClockAhead
    )
}

/// A reading that counts, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) reading: Decoded,
    /// The place of the binding among the device's.
    pub(super) binding: usize,
    pub(super) quality: Quality,
    pub(super) grade: Grade,
}

/// What a reading's value is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// It is judged; a level of consciousness by its number.
    Plausible(Quantity),
    /// It confirms nothing by itself.
    Implausible(Quantity),
    /// There is none.
    Missing(AbsentReason),
    /// The device itself doubts it: only that it came counts.
    Doubted,
}

/// Where a reading belongs; nowhere if it has come before.
fn place(
    device: &Device,
    visit: &Visit,
    reading: Decoded,
    now: Timestamp,
    retention: Duration,
) -> Result<Option<Placed>, (RejectReason, String)> {
    let (grade, flags) = grade(&reading)?;
    if device.account.is_duplicate(visit, &reading) {
        return Ok(None);
    }
    let measured_at = reading.measured_at;
    check_clock(measured_at, now, retention)?;
    let Some(binding) = device.binding_at(measured_at) else {
        let detail = format!("bound to nobody at {measured_at}");
        return Err((RejectReason::UnboundDevice, detail));
    };
    Ok(Some(placed(reading, binding, (grade, flags), now)))
}

/// What a reading of a time that can be is worth.
pub(super) fn judge(
    reading: Decoded,
    binding: usize,
    now: Timestamp,
) -> Result<Placed, (RejectReason, String)> {
    Ok(placed(reading, binding, grade(&reading)?, now))
}

fn placed(
    reading: Decoded,
    binding: usize,
    (grade, flags): (Grade, Quality),
    now: Timestamp,
) -> Placed {
    let measured_at = reading.measured_at;
    let mut quality = reading.quality.with(flags);
    if measured_at > now {
        quality = quality.with(Quality::CLOCK_AHEAD);
    }
    Placed { reading, binding, quality, grade }
}

/// Whether a reading's time is one that can be.
pub(super) fn check_clock(
    measured_at: Timestamp,
    now: Timestamp,
    retention: Duration,
) -> Result<(), (RejectReason, String)> {
    if measured_at.since(now) > CLOCK_AHEAD_MAX {
        let ahead = measured_at.since(now).as_secs();
        let detail = format!("measured {ahead} s ahead of the service's clock");
        return Err((RejectReason::ClockAhead, detail));
    }
    if now.since(measured_at) > retention {
        let days = retention.as_secs() / (24 * 60 * 60);
        let detail = format!("measured at {measured_at}; readings are kept for {days} days");
        return Err((RejectReason::TooOld, detail));
    }
    Ok(())
}

/// The tier of a value: refused, doubted, technical or judged.
fn grade(decoded: &Decoded) -> Result<(Grade, Quality), (RejectReason, String)> {
    let vital = decoded.vital;
    let quantity = match decoded.value {
        Value::Absent(reason) => return Ok((Grade::Missing(reason), Quality(0))),
        Value::Consciousness(level) => {
            let number = Quantity::whole(level as i64);
            return Ok((doubted_or(decoded, Grade::Plausible(number)), Quality(0)));
        }
        Value::Quantity(quantity) => quantity,
    };
    if vital.means_no_sensor(quantity, decoded.original) {
        return Ok((Grade::Missing(AbsentReason::SensorOff), Quality::NO_SENSOR));
    }
    let possible = vital.possible();
    if !possible.contains(quantity) {
        let unit = vital.unit().ucum();
        let detail =
            format!("{vital} is possible from {} to {} {unit}", possible.low, possible.high);
        return Err((RejectReason::ImpossibleValue, detail));
    }
    if !vital.plausible().contains(quantity) {
        let grade = doubted_or(decoded, Grade::Implausible(quantity));
        return Ok((grade, Quality::IMPLAUSIBLE));
    }
    Ok((doubted_or(decoded, Grade::Plausible(quantity)), Quality(0)))
}

fn doubted_or(decoded: &Decoded, grade: Grade) -> Grade {
    if decoded.quality.has(Quality::QUESTIONABLE) { Grade::Doubted } else { grade }
}
