//! Where rules stand whose alerts were rebuilt from the store.
//!
//! An alert names the device and the vital that make its level, and so the source that its rule
//! stands on. Where it rested on several, it rests on the one it named. What led to the level is
//! not known, nor what was pending or clearing.

use super::track::Track;
use super::{RuleTrack, Source, level, levels, score};
use crate::engine::alerts::Alert;
use crate::engine::attention::Attentive;
use crate::engine::patient::Patient;
use crate::engine::profile::{EffectiveRule, RuleKind, TechnicalCondition};
use crate::vitals::DeviceKey;

/// Whether the rule's condition rests on readings, so that nothing is known of it without them.
pub(in crate::engine) const fn rests_on_readings(effective: &EffectiveRule) -> bool {
    matches!(
        effective.rule.kind,
        RuleKind::Limit(_) | RuleKind::Trend(_) | RuleKind::Baseline(_) | RuleKind::Score(_)
    )
}

/// Lets the rule of an alert whose condition has not ended stand where the alert says.
pub(in crate::engine) fn stand(
    patient: &mut Patient,
    effective: &EffectiveRule,
    alert: &Alert,
    device: Option<DeviceKey>,
) {
    let rests_on = alert.score.as_deref().map_or(0, score::made_of);
    for source in sources(patient, effective, alert, device) {
        patient.tracks.push(RuleTrack {
            rule: effective.rule.id.clone(),
            source,
            provenance: (effective.scope, effective.version),
            track: Track::restored(active(effective, alert), alert.unconfirmed),
            last: None,
            is_lost: rests_on_readings(effective),
            began: Attentive::NEVER,
            rests_on,
        });
    }
}

/// How many levels must be active for the alert to have its priority.
fn active(effective: &EffectiveRule, alert: &Alert) -> usize {
    let reached = |index: &usize| {
        level(effective, *index).is_some_and(|(priority, _)| priority <= alert.priority)
    };
    (0..levels(effective)).filter(reached).count().max(1)
}

fn sources(
    patient: &Patient,
    effective: &EffectiveRule,
    alert: &Alert,
    device: Option<DeviceKey>,
) -> Vec<Source> {
    match &effective.rule.kind {
        RuleKind::Off => Vec::new(),
        RuleKind::Score(_) => vec![Source::Patient],
        RuleKind::Limit(_) | RuleKind::Trend(_) | RuleKind::Baseline(_) | RuleKind::Silence(_) => {
            let channel = device.zip(alert.vital);
            channel.map(|(device, vital)| Source::Channel(device, vital)).into_iter().collect()
        }
        RuleKind::Technical(rule) => match rule.condition {
            TechnicalCondition::SensorOff | TechnicalCondition::DeviceFault => {
                channels_of(patient, device)
            }
            _ => device.map(Source::Device).into_iter().collect(),
        },
        RuleKind::Asserted(_) => device.map(Source::Device).into_iter().collect(),
    }
}

/// What readings with a value prove the opposite of, one by one. A device that says so in its
/// status will say it again.
fn channels_of(patient: &Patient, device: Option<DeviceKey>) -> Vec<Source> {
    let of_device = patient.channels.iter().filter(|channel| Some(channel.device) == device);
    let sources: Vec<_> = of_device.map(|channel| channel.source()).collect();
    if sources.is_empty() { device.map(Source::Device).into_iter().collect() } else { sources }
}
