//! Units: the UCUM codes that are accepted, and how they convert into one another.

use serde::{Deserialize, Serialize};

use super::{Quantity, Vital};

/// A unit of measurement, by its UCUM code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// `/min`
    PerMinute,
    /// `%`
    Percent,
    /// `mm[Hg]`
    MillimetreOfMercury,
    /// `kPa`
    Kilopascal,
    /// `Cel`
    Celsius,
    /// `[degF]`
    Fahrenheit,
    /// `K`
    Kelvin,
    /// `mg/dL`
    MilligramPerDecilitre,
    /// `mmol/L`
    MillimolePerLitre,
    /// `kg`
    Kilogram,
    /// `g`
    Gram,
    /// `[lb_av]`
    Pound,
    /// `L/min`
    LitrePerMinute,
    /// `mL/min`
    MillilitrePerMinute,
    /// `1`, a plain number
    One,
}

impl Unit {
    /// The unit of a UCUM code. Annotations in braces are ignored, as UCUM says: `{beats}/min`
    /// is `/min`, `{steps}` is `1`.
    #[must_use]
    pub fn from_ucum(code: &str) -> Option<Self> {
        Some(match code {
            "/min" | "1/min" | "{beats}/min" | "{breaths}/min" | "{beat}/min" | "{breath}/min"
            | "{Beats}/min" | "{resp}/min" => Self::PerMinute,
            "%" => Self::Percent,
            "mm[Hg]" => Self::MillimetreOfMercury,
            "kPa" => Self::Kilopascal,
            "Cel" => Self::Celsius,
            "[degF]" => Self::Fahrenheit,
            "K" => Self::Kelvin,
            "mg/dL" => Self::MilligramPerDecilitre,
            "mmol/L" => Self::MillimolePerLitre,
            "kg" => Self::Kilogram,
            "g" => Self::Gram,
            "[lb_av]" => Self::Pound,
            "L/min" => Self::LitrePerMinute,
            "mL/min" => Self::MillilitrePerMinute,
            "1" | "{steps}" | "{score}" => Self::One,
            _ => return None,
        })
    }

    /// Its UCUM code.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::PerMinute => "/min",
            Self::Percent => "%",
            Self::MillimetreOfMercury => "mm[Hg]",
            Self::Kilopascal => "kPa",
            Self::Celsius => "Cel",
            Self::Fahrenheit => "[degF]",
            Self::Kelvin => "K",
            Self::MilligramPerDecilitre => "mg/dL",
            Self::MillimolePerLitre => "mmol/L",
            Self::Kilogram => "kg",
            Self::Gram => "g",
            Self::Pound => "[lb_av]",
            Self::LitrePerMinute => "L/min",
            Self::MillilitrePerMinute => "mL/min",
            Self::One => "1",
        }
    }

    /// `quantity`, which was measured in this unit, in the canonical unit of `vital`; `None` if
    /// this unit does not measure that vital. A fraction of 1 is accepted where a percentage is
    /// due, because the sender said that it is one; it is never guessed from the magnitude.
    #[must_use]
    pub fn convert(self, quantity: Quantity, vital: Vital) -> Option<Quantity> {
        let target = vital.unit();
        if self == target {
            return Some(quantity);
        }
        Some(match (self, target) {
            (Self::One, Self::Percent) => quantity.scaled(100, 1),
            (Self::Kilopascal, Self::MillimetreOfMercury) => quantity.scaled(750_062, 100_000),
            (Self::Fahrenheit, Self::Celsius) => quantity.minus(Quantity::whole(32)).scaled(5, 9),
            (Self::Kelvin, Self::Celsius) => {
                quantity.minus(Quantity::from_ten_thousandths(2_731_500))
            }
            (Self::MillimolePerLitre, Self::MilligramPerDecilitre) => {
                quantity.scaled(180_156, 10_000)
            }
            (Self::Gram, Self::Kilogram) => quantity.scaled(1, 1000),
            (Self::Pound, Self::Kilogram) => quantity.scaled(45_359_237, 100_000_000),
            (Self::MillilitrePerMinute, Self::LitrePerMinute) => quantity.scaled(1, 1000),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(number: f64) -> Quantity {
        Quantity::from_f64(number).expect("finite")
    }

    #[test]
    fn accepted_units_convert_exactly_to_four_digits() {
        for (value, unit, vital, expected) in [
            (96.8, "[degF]", Vital::BodyTemperature, "36"),
            (0.0, "[degF]", Vital::BodyTemperature, "-17.7778"),
            (310.15, "K", Vital::BodyTemperature, "37"),
            (16.0, "kPa", Vital::SystolicPressure, "120.0099"),
            (5.5, "mmol/L", Vital::BloodGlucose, "99.0858"),
            (150.0, "[lb_av]", Vital::Weight, "68.0389"),
            (0.97, "1", Vital::Spo2, "97"),
            (72.0, "{beats}/min", Vital::HeartRate, "72"),
        ] {
            let unit = Unit::from_ucum(unit).expect("known unit");
            let converted = unit.convert(quantity(value), vital).expect("measures the vital");
            assert_eq!(converted.to_string(), expected, "{value} {} {vital}", unit.ucum());
        }
        assert_eq!(Unit::Kilogram.convert(quantity(1.0), Vital::HeartRate), None);
    }
}
