//! NEWS2, the National Early Warning Score 2 (Royal College of Physicians, 2017).
//!
//! Each parameter of the chart earns points on its own; the total, or one parameter alone at 3,
//! says how soon someone must look at the patient.
//!
//! - Values are rounded in decimal, halves up, to what the chart is written in: whole numbers,
//!   and tenths of a degree. Only then are they looked up, as integers. The bands are `match`
//!   arms, so that the compiler refuses a band that leaves a gap.
//! - A missing parameter is missing, never normal: it earns no points and is named, and the total
//!   is then a lower bound of the true one.
//! - What this does not do: it does not judge how old an observation is, nor whether the patient
//!   may be scored at all (not under 16, not in pregnancy), and it never chooses the SpO2 scale.
//!   Its callers do, from what clinicians have recorded.

use crate::engine::alerts::Risk;
use crate::engine::profile::SpO2Scale;
use crate::vitals::{Acvpu, Quantity, Vital};

/// The parameters in the order of the chart. [`Vital::OxygenFlow`] stands for "air or oxygen".
pub(in crate::engine) const PARAMETERS: [Vital; 7] = [
    Vital::RespiratoryRate,
    Vital::Spo2,
    Vital::OxygenFlow,
    Vital::SystolicPressure,
    Vital::PulseRate,
    Vital::Consciousness,
    Vital::BodyTemperature,
];

/// What is known of a patient, in canonical units. `None`: never measured, too old, or absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Observations {
    /// Breaths per minute.
    pub(in crate::engine) respiratory_rate: Option<Quantity>,
    /// Oxygen saturation, percent.
    pub(in crate::engine) spo2: Option<Quantity>,
    /// Whether the patient is on supplemental oxygen; `Some(false)` is air.
    pub(in crate::engine) oxygen: Option<bool>,
    /// Systolic blood pressure, mmHg.
    pub(in crate::engine) systolic_pressure: Option<Quantity>,
    /// Pulse per minute, from whatever counts it.
    pub(in crate::engine) pulse: Option<Quantity>,
    /// Level of consciousness; confusion is *new* confusion.
    pub(in crate::engine) consciousness: Option<Acvpu>,
    /// Body temperature, °C.
    pub(in crate::engine) temperature: Option<Quantity>,
}

/// The score of some observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct News2 {
    /// Of each of [`PARAMETERS`]; `None` if it is missing.
    points: [Option<u8>; PARAMETERS.len()],
}

impl News2 {
    /// Scores what is known.
    ///
    /// On scale two, SpO2 above 92 % earns points only on oxygen. Where nobody knows whether the
    /// patient is, SpO2 counts as on air, which is never more: the total stays a lower bound, and
    /// "air or oxygen" is among the missing.
    pub(in crate::engine) fn of(known: &Observations, scale: SpO2Scale) -> Self {
        let on_oxygen = known.oxygen.unwrap_or(false);
        let spo2 = |percent| match scale {
            SpO2Scale::One => spo2_on_scale_one(percent),
            SpO2Scale::Two => spo2_on_scale_two(percent, on_oxygen),
        };
        let points = [
            known.respiratory_rate.map(to_whole).map(respiratory_rate),
            known.spo2.map(to_whole).map(spo2),
            known.oxygen.map(air_or_oxygen),
            known.systolic_pressure.map(to_whole).map(systolic_pressure),
            known.pulse.map(to_whole).map(pulse),
            known.consciousness.map(consciousness),
            known.temperature.map(to_tenths).map(temperature),
        ];
        Self { points }
    }

    /// Each parameter with its points, in the order of the chart; `None` if it is missing.
    pub(in crate::engine) fn points(&self) -> impl Iterator<Item = (Vital, Option<u8>)> {
        PARAMETERS.into_iter().zip(self.points)
    }

    /// The sum of the points, 0 to 20; a lower bound while a parameter is missing.
    pub(in crate::engine) fn total(&self) -> u8 {
        self.points.iter().flatten().sum()
    }

    /// The parameters that are missing, in the order of the chart.
    pub(in crate::engine) fn missing(&self) -> impl Iterator<Item = Vital> {
        self.points().filter(|(_, points)| points.is_none()).map(|(parameter, _)| parameter)
    }

    /// Whether no parameter is missing, so that the total is the true one.
    #[cfg(test)]
    pub(in crate::engine) fn is_complete(&self) -> bool {
        self.points.iter().all(Option::is_some)
    }

    /// Whether a parameter alone has the highest points.
    pub(in crate::engine) fn has_single_three(&self) -> bool {
        self.points.contains(&Some(3))
    }

    /// The band of the total. A parameter alone at 3 lifts a low one, and never lowers another.
    pub(in crate::engine) fn risk(&self) -> Risk {
        match self.total() {
            7.. => Risk::High,
            5..=6 => Risk::Medium,
            _ if self.has_single_three() => Risk::LowMedium,
            _ => Risk::Low,
        }
    }
}

// The chart. RCP 2017, chart 1.

/// Breaths per minute.
const fn respiratory_rate(per_minute: i64) -> u8 {
    match per_minute {
        ..=8 => 3,
        9..=11 => 1,
        12..=20 => 0,
        21..=24 => 2,
        25.. => 3,
    }
}

/// SpO2 on scale 1, percent.
const fn spo2_on_scale_one(percent: i64) -> u8 {
    match percent {
        ..=91 => 3,
        92..=93 => 2,
        94..=95 => 1,
        96.. => 0,
    }
}

/// SpO2 on scale 2, percent: too much oxygen harms too, but only who is given it.
const fn spo2_on_scale_two(percent: i64, on_oxygen: bool) -> u8 {
    match percent {
        ..=83 => 3,
        84..=85 => 2,
        86..=87 => 1,
        88..=92 => 0,
        93.. if !on_oxygen => 0,
        93..=94 => 1,
        95..=96 => 2,
        97.. => 3,
    }
}

/// Air or supplemental oxygen.
const fn air_or_oxygen(on_oxygen: bool) -> u8 {
    if on_oxygen { 2 } else { 0 }
}

/// Systolic blood pressure, mmHg.
const fn systolic_pressure(millimetres: i64) -> u8 {
    match millimetres {
        ..=90 => 3,
        91..=100 => 2,
        101..=110 => 1,
        111..=219 => 0,
        220.. => 3,
    }
}

/// Pulse per minute.
const fn pulse(per_minute: i64) -> u8 {
    match per_minute {
        ..=40 => 3,
        41..=50 => 1,
        51..=90 => 0,
        91..=110 => 1,
        111..=130 => 2,
        131.. => 3,
    }
}

/// Level of consciousness.
const fn consciousness(level: Acvpu) -> u8 {
    match level {
        Acvpu::Alert => 0,
        Acvpu::Confusion | Acvpu::Voice | Acvpu::Pain | Acvpu::Unresponsive => 3,
    }
}

/// Body temperature, tenths of a degree Celsius.
const fn temperature(tenths: i64) -> u8 {
    match tenths {
        ..=350 => 3,
        351..=360 => 1,
        361..=380 => 0,
        381..=390 => 1,
        391.. => 2,
    }
}

// What a value is rounded to before it is looked up.

const fn to_whole(value: Quantity) -> i64 {
    steps_half_up(value, 10_000)
}

const fn to_tenths(value: Quantity) -> i64 {
    steps_half_up(value, 1_000)
}

/// The nearest number of steps, each of so many ten-thousandths; a half goes up.
const fn steps_half_up(value: Quantity, step: i64) -> i64 {
    value.ten_thousandths().saturating_add(step / 2).div_euclid(step)
}

#[cfg(test)]
mod tests;
