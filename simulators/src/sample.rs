//! What a simulated device measures: samples, and batches of them with their numbers.
//!
//! [`Numbering`] promises that the numbers of one device are consecutive over all of its readings
//! and depend on nothing but their order, so that the same recording sent again, in batches of
//! another size or another encoding, carries the same numbers. Nothing here sends or encodes.

use std::sync::Arc;

use jiff::Timestamp;

/// The vitals that the simulated devices measure, in the order in which a device reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vital {
    /// Heart rate from the ECG, per minute.
    HeartRate,
    /// Pulse rate from the oximeter, per minute.
    PulseRate,
    /// Respiratory rate, breaths per minute.
    RespiratoryRate,
    /// Oxygen saturation, percent.
    Spo2,
    /// Systolic blood pressure, `mm[Hg]`.
    SystolicPressure,
    /// Diastolic blood pressure, `mm[Hg]`.
    DiastolicPressure,
    /// Body temperature, Cel.
    BodyTemperature,
    /// Blood glucose, mg/dL.
    BloodGlucose,
}

impl Vital {
    /// Those that are measured all the time.
    pub const STEADY: [Self; 4] =
        [Self::HeartRate, Self::PulseRate, Self::RespiratoryRate, Self::Spo2];
    /// Those that are measured now and then.
    pub const SLOW: [Self; 4] = [
        Self::SystolicPressure,
        Self::DiastolicPressure,
        Self::BodyTemperature,
        Self::BloodGlucose,
    ];

    /// The UCUM code of its canonical unit, where a reading must say it; empty elsewhere.
    #[must_use]
    pub const fn said_unit(self) -> &'static str {
        match self {
            Self::BodyTemperature => "Cel",
            Self::BloodGlucose => "mg/dL",
            _ => "",
        }
    }
}

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was measured, by the device's clock.
    pub measured_at: Timestamp,
    /// What was measured.
    pub vital: Vital,
    /// In the vital's canonical unit.
    pub value: f64,
}

/// What one message carries: samples of one device with their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The device's id.
    pub device: Arc<str>,
    /// The device's boot, within which numbers count.
    pub boot_id: u64,
    /// The number of the first sample; the others follow on.
    pub first_seq: u64,
    /// The samples, in the order in which they were measured.
    pub samples: Vec<Sample>,
}

/// Gives the samples of one device their numbers, from 1.
#[derive(Clone, Debug)]
pub struct Numbering {
    device: Arc<str>,
    boot_id: u64,
    next_seq: u64,
}

impl Numbering {
    /// Begins a boot of `device`.
    #[must_use]
    pub fn new(device: Arc<str>, boot_id: u64) -> Self {
        Self { device, boot_id, next_seq: 1 }
    }

    /// The batch of these samples, which follow all those numbered before.
    pub fn number(&mut self, samples: Vec<Sample>) -> Batch {
        let first_seq = self.next_seq;
        self.next_seq += samples.len() as u64;
        Batch { device: Arc::clone(&self.device), boot_id: self.boot_id, first_seq, samples }
    }
}

/// The boot id that devices take which begin to measure at `start`: its microseconds since 1970,
/// so that the same start is the same boot, a later start a later one, and never 0, which would
/// mean that the device keeps no numbers.
#[must_use]
pub fn boot_id(start: Timestamp) -> u64 {
    u64::try_from(start.as_microsecond()).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: usize) -> Vec<Sample> {
        let sample =
            Sample { measured_at: Timestamp::UNIX_EPOCH, vital: Vital::HeartRate, value: 70.0 };
        vec![sample; count]
    }

    #[test]
    fn numbers_follow_on_over_all_batches_of_a_device() {
        let mut numbering = Numbering::new("d".into(), 7);
        let first_seqs = [3, 1, 4].map(|count| numbering.number(samples(count)).first_seq);
        assert_eq!(first_seqs, [1, 4, 5]);
    }

    #[test]
    fn an_empty_batch_takes_no_number() {
        let mut numbering = Numbering::new("d".into(), 7);
        numbering.number(Vec::new());
        assert_eq!(numbering.number(samples(1)).first_seq, 1);
    }

    #[test]
    fn a_boot_id_is_stable_for_a_start_grows_with_it_and_is_never_zero() {
        let start: Timestamp = "2026-01-31T08:15:00Z".parse().expect("valid");
        assert_eq!(boot_id(start), 1_769_847_300_000_000);
        assert!(boot_id(Timestamp::UNIX_EPOCH) < boot_id(start));
        assert_eq!(boot_id("1969-01-01T00:00:00Z".parse().expect("valid")), 1);
    }
}
