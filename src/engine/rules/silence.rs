//! The silence rule: nothing of a vital for a multiple of its expected interval.
//!
//! What counts is what arrives, by the clock of [`crate::engine::attention`]: an absent value is
//! not silence (the sensor speaks, and a technical rule says what of), and neither is an outage of
//! our own. A device that has never measured a vital it declared is silent too. Behind a gateway
//! that is offline no device is silent: the gateway's alert stands for all of them.

use super::{RuleSet, track};
use crate::engine::alerts::Trigger;
use crate::engine::alerts::settle::{self, Cause};
use crate::engine::attention::Attentive;
use crate::engine::context::Context;
use crate::engine::patient::{Channel, Patient, Source};
use crate::engine::profile::{EffectiveRule, RuleKind, SilenceRule};
use crate::vitals::RuleId;

/// The silence rules of a channel.
fn of<'r>(
    rules: &'r RuleSet,
    channel: &Channel,
) -> impl Iterator<Item = (&'r EffectiveRule, &'r SilenceRule)> {
    rules.judging(channel.vital).silences.iter().filter_map(|place| {
        let effective = rules.at(*place);
        match &effective.rule.kind {
            RuleKind::Silence(silence) => Some((effective, silence)),
            _ => None,
        }
    })
}

/// When a channel is silent by the first of its rules that doesn't know it yet.
pub(in crate::engine) fn due_at(
    patient: &Patient,
    rules: &RuleSet,
    channel: &Channel,
) -> Option<Attentive> {
    of(rules, channel)
        .filter(|(effective, _)| {
            patient.track_index(&effective.rule.id, channel.source()).is_none()
        })
        .filter_map(|(_, silence)| channel.silent_at(silence))
        .min()
}

/// Raises the rules by which a channel is silent now.
pub(in crate::engine) fn fire(patient: &mut Patient, cx: &mut Context<'_>, channel: usize) {
    let (rules, moment) = (cx.rules, cx.moment);
    let (source, heard) = (patient.channels[channel].source(), patient.channels[channel].clone());
    for (effective, silence) in of(rules, &heard) {
        let is_due = heard.silent_at(silence).is_some_and(|due| due <= moment.attentive);
        if !is_due || patient.track_index(&effective.rule.id, source).is_some() {
            continue;
        }
        let index = track(patient, effective, source);
        patient.tracks[index].track.hold();
        settle::settle(patient, cx, effective, Cause::at(moment.now, Trigger::Timer));
    }
}

/// Something came on a source: it is not silent any more.
pub(in crate::engine) fn end(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    trigger: &Trigger,
) {
    let rules = cx.rules;
    let is_silence = |rule: &RuleId| {
        rules.get(rule).is_some_and(|it| matches!(it.rule.kind, RuleKind::Silence(_)))
    };
    let mut ended = Vec::new();
    patient.tracks.retain(|held| {
        let is_over = held.source == source && is_silence(&held.rule);
        if is_over {
            ended.push(held.rule.clone());
        }
        !is_over
    });
    let now = cx.moment.now;
    super::settle_all(patient, cx, ended, &Cause::at(now, trigger.clone()));
}
