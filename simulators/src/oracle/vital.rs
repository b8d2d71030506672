//! What a number of each vital is worth: units, ranges, and how monitors say "no sensor".
//!
//! The table of `docs/mqtt.md`, section 6, typed in once more. Quantities are kept as the contract
//! keeps them, with four decimal places, as whole ten-thousandths. Nothing here knows a rule.

use crate::proto::v1::Vital;

/// Ten-thousandths of the vital's unit.
pub type Quantity = i64;

/// Ten-thousandths in one.
const QUANTUM: f64 = 10_000.0;

/// What a value is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It may be a patient's, and is judged.
    Plausible(Quantity),
    /// Possible, and hardly a patient's.
    Implausible(Quantity),
    /// A number that means that there is no sensor.
    NoSensor,
    /// The sensor gave none, for this reason of `AbsentReason`.
    Absent(u8),
    /// A level of consciousness, from 1.
    Level(u8),
}

/// Why a message or a reading is refused, by the names of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// What makes no sense.
    MalformedPayload,
    /// A vital that is none.
    UnknownVital,
    /// A unit that is none of the vital.
    UnknownUnit,
    /// NaN or infinite.
    NotANumber,
    /// Neither value nor absence.
    NoValue,
    /// No patient can have it.
    ImpossibleValue,
    /// A device that nobody enrolled.
    UnknownDevice,
    /// Of nobody when it measured.
    UnboundDevice,
    /// Measured ahead of the service's clock.
    ClockAhead,
    /// Measured before what is kept.
    TooOld,
    /// A payload over the limit.
    TooLarge,
    /// A batch over the limit.
    TooManyReadings,
}

impl Refusal {
    /// Its name in the store and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedPayload => "malformed_payload",
            Self::UnknownVital => "unknown_vital",
            Self::UnknownUnit => "unknown_unit",
            Self::NotANumber => "not_a_number",
            Self::NoValue => "no_value",
            Self::ImpossibleValue => "impossible_value",
            Self::UnknownDevice => "unknown_device",
            Self::UnboundDevice => "unbound_device",
            Self::ClockAhead => "clock_ahead",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::TooManyReadings => "too_many_readings",
        }
    }

    /// Whether a reading that was refused for it has used up its number.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            Self::UnknownDevice
                | Self::UnboundDevice
                | Self::ClockAhead
                | Self::TooLarge
                | Self::TooManyReadings
        )
    }
}

/// How a unit becomes the vital's own: times the factor, plus the shift.
type Scale = (&'static str, f64, f64);

/// A row of the contract's table. Ranges are inclusive, in the first unit.
struct Facts {
    units: &'static [Scale],
    may_be_empty: bool,
    possible: (f64, f64),
    plausible: (f64, f64),
    /// Whether 0 and -1 say that there is no sensor.
    has_sentinels: bool,
}

const fn facts(
    units: &'static [Scale],
    possible: (f64, f64),
    plausible: (f64, f64),
    has_sentinels: bool,
) -> Facts {
    Facts { units, may_be_empty: true, possible, plausible, has_sentinels }
}

const PER_MINUTE: &[Scale] = &[("/min", 1.0, 0.0)];
const PERCENT: &[Scale] = &[("%", 1.0, 0.0), ("1", 100.0, 0.0)];
const PRESSURE: &[Scale] = &[("mm[Hg]", 1.0, 0.0), ("kPa", 7.500_617, 0.0)];
const TEMPERATURE: &[Scale] =
    &[("Cel", 1.0, 0.0), ("K", 1.0, -273.15), ("[degF]", 5.0 / 9.0, -160.0 / 9.0)];
const GLUCOSE: &[Scale] = &[("mg/dL", 1.0, 0.0), ("mmol/L", 18.0156, 0.0)];
const WEIGHT: &[Scale] = &[("kg", 1.0, 0.0), ("[lb_av]", 0.453_592_37, 0.0), ("g", 0.001, 0.0)];
const FLOW: &[Scale] = &[("L/min", 1.0, 0.0), ("mL/min", 0.001, 0.0)];
const COUNT: &[Scale] = &[("1", 1.0, 0.0)];

const fn of(vital: Vital) -> Option<Facts> {
    Some(match vital {
        Vital::HeartRate | Vital::PulseRate => facts(PER_MINUTE, (0.0, 350.0), (20.0, 250.0), true),
        Vital::Spo2 => facts(PERCENT, (0.0001, 100.0), (50.0, 100.0), true),
        Vital::RespiratoryRate => facts(PER_MINUTE, (0.0, 150.0), (3.0, 70.0), true),
        Vital::SystolicPressure => facts(PRESSURE, (0.0, 375.0), (40.0, 300.0), true),
        Vital::DiastolicPressure => facts(PRESSURE, (0.0, 375.0), (20.0, 200.0), true),
        Vital::MeanPressure => facts(PRESSURE, (14.0, 330.0), (30.0, 250.0), true),
        Vital::BodyTemperature => {
            Facts { may_be_empty: false, ..facts(TEMPERATURE, (25.0, 45.0), (32.0, 42.0), true) }
        }
        Vital::SkinTemperature => {
            Facts { may_be_empty: false, ..facts(TEMPERATURE, (0.0, 60.0), (10.0, 45.0), true) }
        }
        Vital::BloodGlucose => {
            Facts { may_be_empty: false, ..facts(GLUCOSE, (0.0001, 2000.0), (20.0, 1000.0), false) }
        }
        Vital::Weight => facts(WEIGHT, (0.0001, 635.0), (1.0, 500.0), false),
        Vital::PerfusionIndex => facts(PERCENT, (0.0, 25.0), (0.02, 20.0), true),
        Vital::OxygenFlow => facts(FLOW, (0.0, 100.0), (0.0, 80.0), false),
        Vital::Steps => facts(COUNT, (0.0, 200_000.0), (0.0, 60_000.0), false),
        Vital::Consciousness | Vital::Unspecified => return None,
    })
}

/// A vital's name in the store and in reports.
#[must_use]
pub fn name(vital: Vital) -> String {
    vital.as_str_name().trim_start_matches("VITAL_").to_ascii_lowercase()
}

/// A number with four decimal places, as ten-thousandths.
#[must_use]
pub fn quantity(value: f64) -> Quantity {
    #[expect(clippy::cast_possible_truncation, reason = "possible values are far below 2^53")]
    let tenthousandths = (value * QUANTUM).round() as Quantity;
    tenthousandths
}

/// The number of so many ten-thousandths.
#[must_use]
pub fn number(quantity: Quantity) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "possible values are far below 2^53")]
    let number = quantity as f64 / QUANTUM;
    number
}

/// What `value` in `unit` of `vital` is worth, and whether it was in another unit than its own.
///
/// # Errors
/// If it is refused.
pub fn worth(vital: Vital, value: f64, unit: &str) -> Result<(Worth, bool), Refusal> {
    let facts = of(vital).ok_or(Refusal::UnknownVital)?;
    let (own, factor, shift) = scale(&facts, unit).ok_or(Refusal::UnknownUnit)?;
    if !value.is_finite() {
        return Err(Refusal::NotANumber);
    }
    let canonical = value * factor + shift;
    if facts.has_sentinels && is_sentinel(&facts, value, canonical) {
        return Ok((Worth::NoSensor, !own));
    }
    let within =
        |(low, high): (f64, f64)| (quantity(low)..=quantity(high)).contains(&quantity(canonical));
    let worth = match quantity(canonical) {
        _ if !within(facts.possible) => return Err(Refusal::ImpossibleValue),
        canonical if within(facts.plausible) => Worth::Plausible(canonical),
        canonical => Worth::Implausible(canonical),
    };
    Ok((worth, !own))
}

/// 0 and -1 as they were sent, and 0 °F after somebody has converted it.
fn is_sentinel(facts: &Facts, sent: f64, canonical: f64) -> bool {
    let is = |value: f64, sentinel: f64| (value - sentinel).abs() < 0.000_05;
    let was_fahrenheit = facts.units == TEMPERATURE && (canonical + 17.8).abs() < 0.05;
    is(sent, 0.0) || is(sent, -1.0) || was_fahrenheit
}

/// Whether it is the vital's own unit, its factor and its shift.
fn scale(facts: &Facts, unit: &str) -> Option<(bool, f64, f64)> {
    if unit.is_empty() {
        return facts.may_be_empty.then_some((true, 1.0, 0.0));
    }
    if unit.len() > UNIT_BYTES_MAX {
        return None;
    }
    let unit = spelt(&unannotated(unit)?);
    let place = facts.units.iter().position(|(code, _, _)| *code == unit)?;
    let (_, factor, shift) = facts.units[place];
    Some((place == 0, factor, shift))
}

const UNIT_BYTES_MAX: usize = 31;

/// The unit without what stands in braces; alone they count things.
fn unannotated(unit: &str) -> Option<String> {
    let mut rest = unit;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        rest = after.split_once('}')?.1;
    }
    plain.push_str(rest);
    Some(if plain.is_empty() { "1".to_owned() } else { plain })
}

/// The code of a unit that may also be written otherwise.
fn spelt(unit: &str) -> String {
    let code = match unit {
        "1/min" | "beats/min" | "bpm" | "breaths/min" | "insp/min" => "/min",
        "°C" => "Cel",
        "l/min" => "L/min",
        "°F" => "[degF]",
        "lb" => "[lb_av]",
        "ml/min" => "mL/min",
        "mg/dl" => "mg/dL",
        "mmHg" => "mm[Hg]",
        "mmol/l" => "mmol/L",
        other => other,
    };
    code.to_owned()
}

#[cfg(test)]
mod tests {
    use super::Refusal::{ImpossibleValue, NotANumber, UnknownUnit, UnknownVital};
    use super::*;

    fn plausible(value: f64) -> Result<Worth, Refusal> {
        Ok(Worth::Plausible(quantity(value)))
    }

    fn implausible(value: f64) -> Result<Worth, Refusal> {
        Ok(Worth::Implausible(quantity(value)))
    }

    fn check(vital: Vital, unit: &str, cases: &[(f64, Result<Worth, Refusal>)]) {
        for (value, expected) in cases {
            let found = worth(vital, *value, unit).map(|(worth, _)| worth);
            assert_eq!(found, *expected, "{vital:?} {value} {unit:?}");
        }
    }

    #[test]
    fn ranges_are_inclusive() {
        check(
            Vital::HeartRate,
            "",
            &[
                (350.0001, Err(ImpossibleValue)),
                (350.0, implausible(350.0)),
                (250.0001, implausible(250.0001)),
                (250.0, plausible(250.0)),
                (20.0, plausible(20.0)),
                (19.9999, implausible(19.9999)),
                (0.0001, implausible(0.0001)),
                (-2.0, Err(ImpossibleValue)),
            ],
        );
        check(Vital::Spo2, "%", &[(100.0, plausible(100.0)), (100.0001, Err(ImpossibleValue))]);
        check(Vital::Spo2, "%", &[(50.0, plausible(50.0)), (49.0, implausible(49.0))]);
    }

    #[test]
    fn monitors_say_no_sensor_by_0_and_minus_1_and_0_fahrenheit() {
        for vital in [Vital::HeartRate, Vital::Spo2, Vital::RespiratoryRate, Vital::MeanPressure] {
            check(vital, "", &[(0.0, Ok(Worth::NoSensor)), (-1.0, Ok(Worth::NoSensor))]);
        }
        let sentinels = [(0.0, Ok(Worth::NoSensor))];
        check(Vital::BodyTemperature, "[degF]", &sentinels);
        check(Vital::BodyTemperature, "Cel", &[(-17.8, Ok(Worth::NoSensor))]);
        check(Vital::OxygenFlow, "", &[(0.0, plausible(0.0)), (-1.0, Err(ImpossibleValue))]);
        check(Vital::BloodGlucose, "mg/dL", &[(0.0, Err(ImpossibleValue))]);
        check(Vital::Weight, "", &[(0.0, Err(ImpossibleValue))]);
    }

    #[test]
    fn units_are_converted_or_refused_and_never_guessed() {
        check(Vital::BodyTemperature, "[degF]", &[(98.6, plausible(37.0))]);
        check(Vital::BodyTemperature, "K", &[(310.15, plausible(37.0))]);
        check(Vital::BodyTemperature, "", &[(37.0, Err(UnknownUnit))]);
        check(Vital::BodyTemperature, "degF", &[(98.6, Err(UnknownUnit))]);
        check(Vital::Spo2, "1", &[(0.97, plausible(97.0)), (97.0, Err(ImpossibleValue))]);
        check(Vital::HeartRate, "{beats}/min", &[(70.0, plausible(70.0))]);
        check(Vital::Steps, "{steps}", &[(70.0, plausible(70.0))]);
        check(Vital::HeartRate, "BPM", &[(70.0, Err(UnknownUnit))]);
        check(Vital::Weight, "g", &[(70_000.0, plausible(70.0))]);
    }

    #[test]
    fn what_is_no_number_or_no_vital_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            check(Vital::HeartRate, "", &[(value, Err(NotANumber))]);
        }
        check(Vital::Unspecified, "", &[(1.0, Err(UnknownVital))]);
    }

    #[test]
    fn what_is_kept_has_four_decimal_places() {
        check(Vital::Weight, "kg", &[(70.123_44, plausible(70.1234))]);
        check(Vital::Weight, "kg", &[(70.123_46, plausible(70.1235))]);
    }
}
