//! Which readings of a batch count, by what is known of the device alone: not seen before, of a
//! time that can be, from a device that was bound then, and of a value that a patient can have.

use std::time::Duration;

use super::{CLOCK_AHEAD_MAX, Device, Tally};
use crate::clock::Timestamp;
use crate::engine::decode::{Batch, Decoded};
use crate::engine::output::{Quality, RejectReason};
use crate::engine::state::State;
use crate::vitals::{AbsentReason, DeviceKey, Quantity, Value, Vital};

/// Tells the readings that count from those that don't, by what is known of the device alone.
pub(super) fn place_all(
    state: &mut State,
    device: DeviceKey,
    batch: Batch,
    now: Timestamp,
) -> (Vec<Placed>, Tally) {
    let retention = state.general.settings.retention;
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    let mut tally = Tally { refused: batch.refused, ..Tally::default() };
    let mut readings = batch.readings;
    // Stable, so that readings of one instant keep the order in which they were sent.
    readings.sort_by_key(|reading| reading.measured_at);
    let mut seen = Seq::of(&tally.refused, batch.first_seq, readings.len());
    let mut placed = Vec::with_capacity(readings.len());
    for reading in readings {
        if row.is_duplicate(batch.boot_id, &reading) {
            tally.duplicate += 1;
            continue;
        }
        match place(row, reading, now, retention) {
            Ok(admitted) => {
                tally.accepted += 1;
                row.remember(batch.boot_id, &reading, now);
                seen.numbers.push(reading.sequence);
                placed.push(admitted);
            }
            Err((reason, detail)) => {
                if is_final(reason) {
                    seen.numbers.push(reading.sequence);
                }
                tally.refused.push((reading.index, reason, detail));
            }
        }
    }
    if batch.boot_id != 0 && !seen.numbers.is_empty() {
        row.sequences.insert_all(batch.boot_id, seen.numbers);
    }
    tally.refused.sort_by_key(|(index, ..)| *index);
    doubt_impossible_panels(&mut placed);
    (placed, tally)
}

/// A blood-pressure panel is judged whole: a systolic pressure that is not above the diastolic of
/// the same measurement makes both implausible.
fn doubt_impossible_panels(placed: &mut [Placed]) {
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

/// Numbers of a batch that need not come again: admitted, or refused for what they are.
struct Seq {
    numbers: Vec<u64>,
}

impl Seq {
    fn of(refused: &[(u32, RejectReason, String)], first_seq: u64, readings: usize) -> Self {
        let is_over = |(_, reason, _): &&(u32, RejectReason, String)| is_final(*reason);
        let number = |(index, ..): &(u32, RejectReason, String)| first_seq + u64::from(*index);
        let mut numbers = Vec::with_capacity(refused.len() + readings);
        numbers.extend(refused.iter().filter(is_over).map(number));
        Self { numbers }
    }
}

/// Whether a reading refused for this reason is refused whenever it comes again. The others may
/// be admitted later: once the device is bound, or its time has come.
const fn is_final(reason: RejectReason) -> bool {
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

fn place(
    device: &Device,
    reading: Decoded,
    now: Timestamp,
    retention: Duration,
) -> Result<Placed, (RejectReason, String)> {
    let measured_at = reading.measured_at;
    check_clock(measured_at, now, retention)?;
    let Some(binding) = device.binding_at(measured_at) else {
        let detail = format!("bound to nobody at {measured_at}");
        return Err((RejectReason::UnboundDevice, detail));
    };
    let (grade, flags) = grade(&reading)?;
    let mut quality = reading.quality.with(flags);
    if measured_at > now {
        quality = quality.with(Quality::CLOCK_AHEAD);
    }
    Ok(Placed { reading, binding, quality, grade })
}

fn check_clock(
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
