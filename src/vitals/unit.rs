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
    /// Every unit that measures some vital.
    pub const ALL: [Self; 15] = [
        Self::PerMinute,
        Self::Percent,
        Self::MillimetreOfMercury,
        Self::Kilopascal,
        Self::Celsius,
        Self::Fahrenheit,
        Self::Kelvin,
        Self::MilligramPerDecilitre,
        Self::MillimolePerLitre,
        Self::Kilogram,
        Self::Gram,
        Self::Pound,
        Self::LitrePerMinute,
        Self::MillilitrePerMinute,
        Self::One,
    ];

    /// The unit of a UCUM code. An annotation in braces before or behind it is ignored, as UCUM
    /// says: `{beats}/min` is `/min`, `%{saturation}` is `%`, `{steps}` is `1`; the litre may be
    /// `L` or `l`.
    ///
    /// Besides UCUM, spellings that gateways are known to send and that can mean nothing else are
    /// taken: `bpm`, `beats/min`, `breaths/min`, `insp/min`, `mmHg`, `°C`, `°F`, `lb`. A bare `C`
    /// or `F` is a coulomb or a farad, and none of ours.
    #[must_use]
    pub fn from_ucum(code: &str) -> Option<Self> {
        Some(match without_annotation(code)? {
            "/min" | "1/min" | "bpm" | "beats/min" | "breaths/min" | "insp/min" => Self::PerMinute,
            "%" => Self::Percent,
            "mm[Hg]" | "mmHg" => Self::MillimetreOfMercury,
            "kPa" => Self::Kilopascal,
            "Cel" | "°C" => Self::Celsius,
            "[degF]" | "°F" => Self::Fahrenheit,
            "K" => Self::Kelvin,
            "mg/dL" | "mg/dl" => Self::MilligramPerDecilitre,
            "mmol/L" | "mmol/l" => Self::MillimolePerLitre,
            "kg" => Self::Kilogram,
            "g" => Self::Gram,
            "[lb_av]" | "lb" => Self::Pound,
            "L/min" | "l/min" => Self::LitrePerMinute,
            "mL/min" | "ml/min" => Self::MillilitrePerMinute,
            "1" => Self::One,
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

/// The code without an annotation before or behind it; `1` for an annotation alone. `None` for
/// braces that are none.
fn without_annotation(code: &str) -> Option<&str> {
    if let Some(annotated) = code.strip_prefix('{') {
        let (_, rest) = annotated.split_once('}')?;
        return Some(if rest.is_empty() { "1" } else { rest });
    }
    match code.strip_suffix('}') {
        Some(annotated) => annotated.split_once('{').map(|(code, _)| code),
        None => Some(code),
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

    #[test]
    fn a_code_means_the_same_however_it_is_annotated_or_commonly_written() {
        for (spellings, ucum) in [
            (&["/min", "1/min", "{beats}/min", "{any thing}/min", "bpm", "beats/min"][..], "/min"),
            (&["breaths/min", "{breaths}/min", "insp/min"], "/min"),
            (&["%", "%{saturation}", "{x}%"], "%"),
            (&["mmHg", "mm[Hg]", "mm[Hg]{systolic}"], "mm[Hg]"),
            (&["°F", "[degF]"], "[degF]"),
            (&["°C", "Cel"], "Cel"),
            (&["lb", "[lb_av]"], "[lb_av]"),
            (&["mg/dl", "mg/dL"], "mg/dL"),
            (&["{steps}", "{}", "1"], "1"),
        ] {
            for spelling in spellings {
                assert_eq!(Unit::from_ucum(spelling).map(Unit::ucum), Some(ucum), "{spelling}");
            }
        }
        for none in ["", "C", "F", "{beats", "beats}", "{a}{b}", "/MIN", "mm", "stone", " /min"] {
            assert_eq!(Unit::from_ucum(none), None, "{none}");
        }
    }

    #[test]
    fn every_unit_is_known_by_its_code_and_measures_something() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_ucum(unit.ucum()), Some(unit));
            let measures = |vital: &Vital| vital.accepted_units().any(|it| it == unit);
            assert!(Vital::ALL.iter().any(measures), "{}", unit.ucum());
        }
        let accepted: Vec<_> = Vital::BodyTemperature.accepted_units().map(Unit::ucum).collect();
        assert_eq!(accepted, ["Cel", "[degF]", "K"]);
    }
}
