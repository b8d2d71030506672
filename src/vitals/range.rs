//! What a vital's quantity can be: impossible, implausible, plausible, or no value at all.
//!
//! Ranges are those of published data sets of intensive care (ricu, mimic3-benchmarks), inclusive
//! and in the vital's canonical unit; where these have none, the comment says whose it is. What is
//! outside the possible range is refused; what is outside the plausible one is kept and confirms
//! nothing by itself.
//!
//! Monitors without a sensor do not fall silent: they send a number that no patient has. Such a
//! [sentinel](Vital::means_no_sensor) is neither refused nor taken for the patient's, for it says
//! something true of the monitor.

use super::{Quantity, Unit, Vital};

/// An inclusive range of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest quantity inside.
    pub low: Quantity,
    /// The highest quantity inside.
    pub high: Quantity,
}

impl Range {
    const fn whole(low: i64, high: i64) -> Self {
        Self { low: Quantity::whole(low), high: Quantity::whole(high) }
    }

    /// Above 0: from the smallest quantity there is.
    const fn positive(high: i64) -> Self {
        Self { low: Quantity::from_ten_thousandths(1), high: Quantity::whole(high) }
    }

    /// Whether `quantity` lies inside.
    #[must_use]
    pub fn contains(self, quantity: Quantity) -> bool {
        (self.low..=self.high).contains(&quantity)
    }
}

/// What 0 °F becomes where it is converted upstream: -17.7778 °C, to one to four digits.
const ZERO_FAHRENHEIT: [Quantity; 4] = [
    Quantity::from_ten_thousandths(-178_000),
    Quantity::from_ten_thousandths(-177_800),
    Quantity::from_ten_thousandths(-177_780),
    Quantity::from_ten_thousandths(-177_778),
];
/// 0 K, in °C.
const ZERO_KELVIN: Quantity = Quantity::from_ten_thousandths(-2_731_500);

impl Vital {
    /// The range outside which a value is impossible and refused, in [`Vital::unit`].
    #[must_use]
    pub const fn possible(self) -> Range {
        match self {
            Self::HeartRate | Self::PulseRate => Range::whole(0, 350),
            Self::Spo2 => Range::positive(100),
            Self::RespiratoryRate => Range::whole(0, 150),
            Self::SystolicPressure | Self::DiastolicPressure => Range::whole(0, 375),
            Self::MeanPressure => Range::whole(14, 330),
            Self::BodyTemperature => Range::whole(25, 45),
            // Ours: between freezing and burning.
            Self::SkinTemperature => Range::whole(0, 60),
            Self::BloodGlucose => Range::positive(2000),
            Self::Weight => Range::positive(635),
            Self::PerfusionIndex => Range::whole(0, 25),
            // Ours: high-flow devices end at 60 to 80 L/min.
            Self::OxygenFlow => Range::whole(0, 100),
            Self::Consciousness => Range::whole(0, 0),
            // Ours: three times what is plausible.
            Self::Steps => Range::whole(0, 200_000),
        }
    }

    /// The range outside which a possible value is implausible in an adult.
    #[must_use]
    pub const fn plausible(self) -> Range {
        match self {
            Self::HeartRate | Self::PulseRate => Range::whole(20, 250),
            Self::Spo2 => Range::whole(50, 100),
            Self::RespiratoryRate => Range::whole(3, 70),
            Self::SystolicPressure => Range::whole(40, 300),
            Self::DiastolicPressure => Range::whole(20, 200),
            Self::MeanPressure => Range::whole(30, 250),
            Self::BodyTemperature => Range::whole(32, 42),
            // Ours, as for the possible range.
            Self::SkinTemperature => Range::whole(10, 45),
            Self::BloodGlucose => Range::whole(20, 1000),
            Self::Weight => Range::whole(1, 500),
            Self::PerfusionIndex => {
                Range { low: Quantity::from_ten_thousandths(200), high: Quantity::whole(20) }
            }
            // Ours, as for the possible range.
            Self::OxygenFlow => Range::whole(0, 80),
            Self::Consciousness => Range::whole(0, 0),
            // Of a day, and so of any span that steps may be counted over.
            Self::Steps => Range::whole(0, 60_000),
        }
    }

    /// Whether a monitor that has no sensor, or no signal from it, would send this quantity: 0 or
    /// -1 in the unit in which it arrived, and for temperatures any of their zeros converted.
    /// `original` is what arrived, if that was converted.
    ///
    /// Oxygen flow and steps can be 0. Glucose and weight come from instruments that send nothing
    /// when they have nothing; their 0 is impossible.
    #[must_use]
    pub fn means_no_sensor(self, quantity: Quantity, original: Option<(Quantity, Unit)>) -> bool {
        let is_zero_of_a_scale = match self {
            Self::HeartRate
            | Self::PulseRate
            | Self::Spo2
            | Self::RespiratoryRate
            | Self::SystolicPressure
            | Self::DiastolicPressure
            | Self::MeanPressure
            | Self::PerfusionIndex => false,
            Self::BodyTemperature | Self::SkinTemperature => {
                quantity == ZERO_KELVIN || ZERO_FAHRENHEIT.contains(&quantity)
            }
            Self::BloodGlucose
            | Self::Weight
            | Self::OxygenFlow
            | Self::Consciousness
            | Self::Steps => return false,
        };
        let sent = original.map_or(quantity, |(sent, _)| sent);
        let is_nothing = |it| it == Quantity::whole(0) || it == Quantity::whole(-1);
        is_zero_of_a_scale || is_nothing(sent) || quantity == Quantity::whole(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(number: f64) -> Quantity {
        Quantity::from_f64(number).expect("finite")
    }

    /// Refused at and beyond the outer numbers, implausible at the inner ones, in canonical units:
    /// the tables of the data sets, row by row.
    #[test]
    fn ranges_are_those_of_the_literature() {
        use Vital::*;
        for (vital, refused_below, implausible_below, implausible_above, refused_above) in [
            (HeartRate, -0.1, 19.9, 250.1, 350.1),
            (PulseRate, -0.1, 19.9, 250.1, 350.1),
            (Spo2, 0.0, 49.9, 100.1, 100.1),
            (RespiratoryRate, -0.1, 2.9, 70.1, 150.1),
            (SystolicPressure, -0.1, 39.9, 300.1, 375.1),
            (DiastolicPressure, -0.1, 19.9, 200.1, 375.1),
            (MeanPressure, 13.9, 29.9, 250.1, 330.1),
            (BodyTemperature, 24.9, 31.9, 42.1, 45.1),
            (SkinTemperature, -0.1, 9.9, 45.1, 60.1),
            (BloodGlucose, 0.0, 19.9, 1000.1, 2000.1),
            (Weight, 0.0, 0.9, 500.1, 635.1),
            (PerfusionIndex, -0.1, 0.0199, 20.1, 25.1),
            (OxygenFlow, -0.1, -0.1, 80.1, 100.1),
            (Steps, -0.1, -0.1, 60_000.1, 200_000.1),
        ] {
            let step = Quantity::from_ten_thousandths(1001);
            for (outside, inside) in [
                (quantity(refused_below), quantity(refused_below).plus(step)),
                (quantity(refused_above), quantity(refused_above).minus(step)),
            ] {
                assert!(!vital.possible().contains(outside), "{vital} {outside}");
                assert!(vital.possible().contains(inside), "{vital} {inside}");
            }
            for (outside, inside) in [
                (quantity(implausible_below), quantity(implausible_below).plus(step)),
                (quantity(implausible_above), quantity(implausible_above).minus(step)),
            ] {
                assert!(!vital.plausible().contains(outside), "{vital} {outside}");
                assert!(vital.plausible().contains(inside), "{vital} {inside}");
            }
        }
    }

    #[test]
    fn what_is_plausible_is_possible() {
        for vital in Vital::ALL {
            let (possible, plausible) = (vital.possible(), vital.plausible());
            assert!(possible.contains(plausible.low) && possible.contains(plausible.high));
        }
    }

    #[test]
    fn what_a_monitor_sends_without_a_sensor_is_known_in_every_unit() {
        for (vital, number, unit, expected) in [
            (Vital::HeartRate, 0.0, "/min", true),
            (Vital::HeartRate, -1.0, "/min", true),
            (Vital::HeartRate, -2.0, "/min", false),
            (Vital::HeartRate, 1.0, "/min", false),
            (Vital::Spo2, 0.0, "%", true),
            (Vital::Spo2, -1.0, "1", true),
            (Vital::Spo2, -0.01, "1", false),
            (Vital::RespiratoryRate, -1.0, "/min", true),
            (Vital::SystolicPressure, -1.0, "kPa", true),
            (Vital::DiastolicPressure, 0.0, "mm[Hg]", true),
            (Vital::MeanPressure, 0.0, "kPa", true),
            (Vital::PerfusionIndex, 0.0, "%", true),
            (Vital::BodyTemperature, 0.0, "Cel", true),
            (Vital::BodyTemperature, 0.0, "[degF]", true),
            (Vital::BodyTemperature, 32.0, "[degF]", true),
            (Vital::BodyTemperature, 0.0, "K", true),
            (Vital::BodyTemperature, 273.15, "K", true),
            (Vital::BodyTemperature, -273.15, "Cel", true),
            (Vital::BodyTemperature, -17.8, "Cel", true),
            (Vital::BodyTemperature, -17.78, "Cel", true),
            (Vital::SkinTemperature, -17.778, "Cel", true),
            (Vital::SkinTemperature, -17.7778, "Cel", true),
            (Vital::BodyTemperature, -1.0, "Cel", true),
            (Vital::BodyTemperature, -1.0, "[degF]", true),
            (Vital::BodyTemperature, -17.7, "Cel", false),
            (Vital::BodyTemperature, -18.0, "Cel", false),
            (Vital::OxygenFlow, 0.0, "L/min", false),
            (Vital::Steps, 0.0, "1", false),
            (Vital::Weight, 0.0, "kg", false),
            (Vital::BloodGlucose, -1.0, "mg/dL", false),
        ] {
            let (sent, unit) = (quantity(number), Unit::from_ucum(unit).expect("a unit"));
            let canonical = unit.convert(sent, vital).expect("measures the vital");
            let original = (unit != vital.unit()).then_some((sent, unit));
            let told = vital.means_no_sensor(canonical, original);
            assert_eq!(told, expected, "{vital} {number} {}", unit.ucum());
        }
    }
}
