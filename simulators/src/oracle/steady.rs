//! The oracle for devices that send every sample at once: no record, no lateness.
//!
//! Each patient wears one device, and every sample is in time. Which alerts follow is decided by
//! the same [`super::alarms`] as of a whole fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;

use super::alarms::{self, ExpectedAlert, Step};
use super::profile::{self, Micros, Rule};
use super::vital;
use crate::convert;
use crate::proto::v1;
use crate::sample::Sample;

/// Judges the samples of a ward.
#[derive(Debug)]
pub struct Steady {
    rules: Vec<Rule>,
    measures_every: Micros,
    steps: BTreeMap<Arc<str>, Vec<Step>>,
}

impl Steady {
    /// Judges by `profile` devices that measure this often.
    #[must_use]
    pub fn new(profile: &v1::Profile, measures_every: SignedDuration) -> Self {
        let measures_every = Micros::try_from(measures_every.as_micros()).unwrap_or(Micros::MAX);
        Self { rules: profile::rules(profile), measures_every, steps: BTreeMap::new() }
    }

    /// Takes the next sample of `patient`. One that the contract refuses says nothing.
    pub fn observe(&mut self, patient: &Arc<str>, sample: &Sample) {
        let vital = convert::to_vital(sample.vital);
        let Ok((worth, _)) = vital::worth(vital, sample.value, "") else { return };
        let measured_at = sample.measured_at.as_microsecond();
        let steps = self.steps.entry(Arc::clone(patient)).or_default();
        steps.push(Step {
            message: u32::try_from(steps.len()).unwrap_or(u32::MAX),
            device: 0,
            measured_at,
            vital,
            worth,
            is_doubted: false,
            is_historical: false,
            received: (measured_at, measured_at),
            upload_interval: 0,
            measures_every: Some(self.measures_every),
        });
    }

    /// The alerts that must follow, in the order in which they raise.
    #[must_use]
    pub fn into_expected(self) -> Vec<ExpectedAlert> {
        let of = |(patient, steps): (&Arc<str>, &Vec<Step>)| {
            alarms::expect(patient, &self.rules, steps, &[]).alerts
        };
        let mut expected: Vec<_> = self.steps.iter().flat_map(of).collect();
        expected.sort_by_key(|alert| alert.raise_at);
        expected
    }
}
