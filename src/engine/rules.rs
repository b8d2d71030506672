//! Rules: what a patient's readings mean, by the limits in force for that patient.
//!
//! A [`RuleSet`] is the merged profile of some patients, arranged by vital. [`judge`] runs the
//! rules of one reading's vital on its channel and then lets `alerts` settle what changed. Rules
//! see plausible readings of real use, in measured order per channel; `admit` sees to that.

pub(super) mod limit;

use std::sync::Arc;

use self::limit::Sample;
use super::alerts::{self, Trigger, Wearer};
use super::output::{Output, Reading};
use super::patient::Patient;
use super::profile::{EffectiveRule, LimitRule, RuleKind};
use crate::vitals::{Quantity, RuleId, Vital};

/// The rules in force for some patients.
#[derive(Debug)]
pub(super) struct RuleSet {
    /// All of them, by rule id.
    rules: Arc<[EffectiveRule]>,
    /// Those that judge each vital, by the vital's number.
    by_vital: [Vec<u16>; Vital::ALL.len() + 1],
}

impl RuleSet {
    /// Arranges merged rules.
    pub(super) fn new(rules: Arc<[EffectiveRule]>) -> Self {
        let by_vital = std::array::from_fn(|number| {
            let Some(vital) = i32::try_from(number).ok().and_then(Vital::from_number) else {
                return Vec::new();
            };
            (0..).zip(&*rules).filter(|(_, rule)| covers(rule, vital)).map(|(at, _)| at).collect()
        });
        Self { rules, by_vital }
    }

    /// The rules that judge `vital`.
    fn judging(&self, vital: Vital) -> impl Iterator<Item = &EffectiveRule> {
        self.by_vital[usize::from(vital.number())].iter().map(|at| &self.rules[usize::from(*at)])
    }

    /// The rule of this id.
    pub(super) fn get(&self, rule: &RuleId) -> Option<&EffectiveRule> {
        self.rules.iter().find(|effective| effective.rule.id == *rule)
    }

    /// Whether a rule of this id judges `vital`.
    pub(super) fn judges(&self, rule: &str, vital: Vital) -> bool {
        self.judging(vital).any(|effective| effective.rule.id.as_str() == rule)
    }
}

fn covers(effective: &EffectiveRule, vital: Vital) -> bool {
    limit_of(effective).is_some_and(|limit| limit.covers(vital))
}

pub(super) fn limit_of(effective: &EffectiveRule) -> Option<&LimitRule> {
    match &effective.rule.kind {
        RuleKind::Limit(limit) => Some(limit),
        RuleKind::Off => None,
    }
}

/// Judges the newest reading of a channel, whose value is `value`.
pub(super) fn judge(
    patient: &mut Patient,
    rules: &RuleSet,
    wearer: &Wearer<'_>,
    reading: &Reading,
    value: Quantity,
    outputs: &mut Vec<Output>,
) {
    let measured_at = reading.measured_at;
    let channel = patient.channel_for(reading.device, reading.vital, measured_at);
    let previous = patient.channels[channel].judged.replace(measured_at);
    let sample = Sample { measured_at, value, previous };
    for effective in rules.judging(reading.vital) {
        let Some(limit) = limit_of(effective) else { continue };
        let (track, before) = patient.channels[channel].track(effective);
        let onset = track.judge(limit, sample).unwrap_or(measured_at);
        if track.active() != before {
            let trigger = Trigger::Reading { measured_at, value };
            alerts::settle(patient, effective, wearer, onset, trigger, outputs);
        }
    }
}

/// Takes note of a newest reading without a value.
pub(super) fn miss(patient: &mut Patient, reading: &Reading) {
    let channel = patient.channel_for(reading.device, reading.vital, reading.measured_at);
    patient.channels[channel].break_off();
}

/// Takes note of a newest reading that neither satisfies nor breaks a delay.
pub(super) fn pass_over(patient: &mut Patient, reading: &Reading) {
    patient.channel_for(reading.device, reading.vital, reading.measured_at);
}
