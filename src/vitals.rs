//! The domain in clinical words: vitals, quantities, units, priorities and identities.
//!
//! Promises: a [`Quantity`] is an exact decimal with four fractional digits, so that a limit is
//! compared as it was written (36.05 °C is not 36.0499…); an identity such as [`PatientId`] is
//! valid once it exists. Codes, units and ranges are those of LOINC, UCUM, IEEE 11073 and the
//! early-warning literature. Nothing here decides anything about a patient.

mod identity;
mod quantity;
mod range;
mod unit;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::identity::is_id;
pub use self::identity::{
    DeviceId, DeviceKey, InvalidId, PatientId, PatientKey, RuleId, SiteId, SiteKey,
};
pub use self::quantity::Quantity;
pub use self::range::Range;
pub use self::unit::Unit;

/// What is measured. Numbers are those of the protobuf enum and of the `vital` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Vital {
    /// Heart rate from an ECG, per minute. LOINC 8867-4.
    HeartRate = 1,
    /// Pulse rate from an oximeter or a cuff, per minute. LOINC 8889-8.
    PulseRate = 2,
    /// Oxygen saturation by pulse oximetry, percent. LOINC 59408-5.
    Spo2 = 3,
    /// Respiratory rate, breaths per minute. LOINC 9279-1.
    RespiratoryRate = 4,
    /// Systolic blood pressure, mmHg. LOINC 8480-6.
    SystolicPressure = 5,
    /// Diastolic blood pressure, mmHg. LOINC 8462-4.
    DiastolicPressure = 6,
    /// Mean blood pressure, mmHg. LOINC 8478-0.
    MeanPressure = 7,
    /// Body temperature, °C. LOINC 8310-5.
    BodyTemperature = 8,
    /// Skin temperature, °C: a different quantity from body temperature. LOINC 39106-0.
    SkinTemperature = 9,
    /// Blood glucose, mg/dL. LOINC 2339-0.
    BloodGlucose = 10,
    /// Body weight, kg. LOINC 29463-7.
    Weight = 11,
    /// Perfusion index, percent. LOINC 61006-3.
    PerfusionIndex = 12,
    /// Supplemental oxygen flow, L/min; 0 is room air. LOINC 3151-8.
    OxygenFlow = 13,
    /// Level of consciousness on the ACVPU scale. LOINC 67775-7.
    Consciousness = 14,
    /// Steps over an interval. LOINC 55423-8.
    Steps = 15,
}

impl Vital {
    /// Every vital, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::HeartRate,
        Self::PulseRate,
        Self::Spo2,
        Self::RespiratoryRate,
        Self::SystolicPressure,
        Self::DiastolicPressure,
        Self::MeanPressure,
        Self::BodyTemperature,
        Self::SkinTemperature,
        Self::BloodGlucose,
        Self::Weight,
        Self::PerfusionIndex,
        Self::OxygenFlow,
        Self::Consciousness,
        Self::Steps,
    ];

    /// The vital with this protobuf number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// Its number in protobuf and in the store.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in profiles, JSON and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeartRate => "heart_rate",
            Self::PulseRate => "pulse_rate",
            Self::Spo2 => "spo2",
            Self::RespiratoryRate => "respiratory_rate",
            Self::SystolicPressure => "systolic_pressure",
            Self::DiastolicPressure => "diastolic_pressure",
            Self::MeanPressure => "mean_pressure",
            Self::BodyTemperature => "body_temperature",
            Self::SkinTemperature => "skin_temperature",
            Self::BloodGlucose => "blood_glucose",
            Self::Weight => "weight",
            Self::PerfusionIndex => "perfusion_index",
            Self::OxygenFlow => "oxygen_flow",
            Self::Consciousness => "consciousness",
            Self::Steps => "steps",
        }
    }

    /// The vital of this name, as [`Vital::name`] writes it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vital| vital.name() == name)
    }

    /// The unit its quantities are kept in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::HeartRate | Self::PulseRate | Self::RespiratoryRate => Unit::PerMinute,
            Self::Spo2 | Self::PerfusionIndex => Unit::Percent,
            Self::SystolicPressure | Self::DiastolicPressure | Self::MeanPressure => {
                Unit::MillimetreOfMercury
            }
            Self::BodyTemperature | Self::SkinTemperature => Unit::Celsius,
            Self::BloodGlucose => Unit::MilligramPerDecilitre,
            Self::Weight => Unit::Kilogram,
            Self::OxygenFlow => Unit::LitrePerMinute,
            Self::Consciousness | Self::Steps => Unit::One,
        }
    }

    /// The units that its quantities may arrive in, its own first.
    pub fn accepted_units(self) -> impl Iterator<Item = Unit> {
        let others = Unit::ALL.into_iter().filter(move |unit| {
            *unit != self.unit() && unit.convert(Quantity::default(), self).is_some()
        });
        std::iter::once(self.unit()).chain(others)
    }

    /// Whether an empty unit may stand for [`Vital::unit`]. Glucose and temperature are reported
    /// in two scales whose ranges touch, so theirs must be said.
    #[must_use]
    pub const fn unit_may_be_omitted(self) -> bool {
        !matches!(self, Self::BodyTemperature | Self::SkinTemperature | Self::BloodGlucose)
    }
}

impl fmt::Display for Vital {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Level of consciousness. NEWS2 (RCP 2017): anything but alert scores 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Acvpu {
    /// Alert.
    Alert = 1,
    /// New confusion.
    Confusion = 2,
    /// Responds to voice.
    Voice = 3,
    /// Responds to pain.
    Pain = 4,
    /// Unresponsive.
    Unresponsive = 5,
}

impl Acvpu {
    /// The level with this protobuf number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Alert, Self::Confusion, Self::Voice, Self::Pain, Self::Unresponsive]
            .into_iter()
            .find(|level| *level as i32 == number)
    }
}

/// Why a sensor gave no value. FHIR `data-absent-reason`, as far as devices tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum AbsentReason {
    /// Not said.
    Unknown = 1,
    /// The sensor is off the patient, or a lead is off.
    SensorOff = 2,
    /// The device could not compute a value.
    NotANumber = 3,
    /// The device reports a fault.
    Error = 4,
    /// Motion or another artefact.
    Artefact = 5,
}

impl AbsentReason {
    /// The reason with this protobuf number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Unknown, Self::SensorOff, Self::NotANumber, Self::Error, Self::Artefact]
            .into_iter()
            .find(|reason| *reason as i32 == number)
    }
}

/// Something that a device asserts of the patient by itself. Numbers are those of protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DeviceEvent {
    /// The patient pressed the call button.
    Sos = 1,
    /// The patient fell.
    Fall = 2,
    /// No heart action.
    Asystole = 3,
    /// Ventricular fibrillation.
    VentricularFibrillation = 4,
    /// Ventricular tachycardia.
    VentricularTachycardia = 5,
    /// Atrial fibrillation.
    AtrialFibrillation = 6,
    /// A pause of the heart.
    Pause = 7,
    /// Another arrhythmia.
    Arrhythmia = 8,
}

impl DeviceEvent {
    /// Every event, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Sos,
        Self::Fall,
        Self::Asystole,
        Self::VentricularFibrillation,
        Self::VentricularTachycardia,
        Self::AtrialFibrillation,
        Self::Pause,
        Self::Arrhythmia,
    ];

    /// The event with this protobuf number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|event| *event as i32 == number)
    }

    /// Its name in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sos => "sos",
            Self::Fall => "fall",
            Self::Asystole => "asystole",
            Self::VentricularFibrillation => "ventricular_fibrillation",
            Self::VentricularTachycardia => "ventricular_tachycardia",
            Self::AtrialFibrillation => "atrial_fibrillation",
            Self::Pause => "pause",
            Self::Arrhythmia => "arrhythmia",
        }
    }

    /// The event of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A quantity in the vital's canonical unit.
    Quantity(Quantity),
    /// A level of consciousness.
    Consciousness(Acvpu),
    /// The sensor gave no value, and why.
    Absent(AbsentReason),
}

/// Alarm priority, IEC 60601-1-8: high asks for immediate response, medium for prompt response,
/// low for awareness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Priority {
    /// Awareness.
    Low = 1,
    /// Prompt response.
    Medium = 2,
    /// Immediate response.
    High = 3,
}

impl Priority {
    /// All, from low to high.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Its name in profiles and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The priority of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

/// Whether a batch is from real use. Only real readings alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Mode {
    /// From a patient.
    #[default]
    Real = 0,
    /// From a technician's test.
    Test = 1,
    /// From a demonstration.
    Demo = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_vitals_lead_back() {
        for vital in Vital::ALL {
            assert_eq!(Vital::from_number(i32::from(vital.number())), Some(vital));
            assert_eq!(Vital::from_name(vital.name()), Some(vital));
        }
        assert_eq!(Vital::from_number(0), None);
        assert_eq!(Vital::from_number(16), None);
    }
}
