//! The technical rule: a fault of a device, from its status, its readings or its clock. And its
//! sibling, the asserted rule: what a device says of the patient by itself.
//!
//! A fault that lasts as long as the rule's delay raises; it ends when the device says so, or by
//! itself where a reading with a value proves the opposite. Times here are those of receipt; the
//! delay stands still with [`crate::engine::attention`], so that what was put right while nobody
//! listened is not told first. A
//! gateway's own outage is not told patient by patient: see [`crate::engine::outage`].

use std::time::Duration;

use super::{RuleSet, track};
use crate::engine::alerts::Trigger;
use crate::engine::alerts::settle::{self, Cause};
use crate::engine::attention::Attentive;
use crate::engine::context::Context;
use crate::engine::patient::{Patient, RuleTrack, Source};
use crate::engine::profile::{EffectiveRule, RuleKind, TechnicalCondition};
use crate::vitals::{DeviceEvent, DeviceKey, RuleId};

/// Charge that a battery must gain beyond a rule's limit before its alert ends, in percent: a
/// gauge that wavers must not.
const BATTERY_HYSTERESIS: u8 = 5;

/// What is known of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Fault {
    /// It is there.
    Present(TechnicalCondition),
    /// It is gone.
    Absent(TechnicalCondition),
    /// The battery's charge, in percent.
    Battery(u8),
    /// What the device asserts of the patient, if anything.
    Asserted(Option<DeviceEvent>),
}

/// Whether what a rule watches for is there; `None` if nothing is said of it.
fn verdict(kind: &RuleKind, fault: Fault) -> Option<bool> {
    let rule = match (kind, fault) {
        (RuleKind::Technical(rule), _) => rule,
        (RuleKind::Asserted(rule), Fault::Asserted(event)) => {
            return Some(event == Some(rule.event));
        }
        _ => return None,
    };
    match (rule.condition, fault) {
        (TechnicalCondition::BatteryLow(limit), Fault::Battery(charge)) => {
            let is_clear = charge >= limit.saturating_add(BATTERY_HYSTERESIS).min(100);
            if charge < limit { Some(true) } else { is_clear.then_some(false) }
        }
        (condition, Fault::Present(present)) if condition == present => Some(true),
        (condition, Fault::Absent(absent)) if condition == absent => Some(false),
        _ => None,
    }
}

/// How long a fault must last. What a device asserts is believed at once.
const fn delay(kind: &RuleKind) -> Duration {
    match kind {
        RuleKind::Technical(rule) => rule.delay,
        _ => Duration::ZERO,
    }
}

fn of(rules: &RuleSet) -> impl Iterator<Item = &EffectiveRule> {
    rules.technical.iter().map(|place| rules.at(*place))
}

/// Takes note of what is known of a fault of a source.
pub(in crate::engine) fn note(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    fault: Fault,
    trigger: &Trigger,
) {
    if patient.tracks.is_empty() && matches!(fault, Fault::Absent(_) | Fault::Asserted(None)) {
        return;
    }
    let (rules, now) = (cx.rules, cx.moment.now);
    for effective in of(rules) {
        match verdict(&effective.rule.kind, fault) {
            Some(true) => begin(patient, cx, effective, source, trigger),
            Some(false) => {
                let Some(index) = patient.track_index(&effective.rule.id, source) else { continue };
                patient.tracks.remove(index);
                settle::settle(patient, cx, effective, Cause::at(now, trigger.clone()));
            }
            None => {}
        }
    }
}

fn begin(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    source: Source,
    trigger: &Trigger,
) {
    let moment = cx.moment;
    let index = track(patient, effective, source);
    let held = &mut patient.tracks[index];
    if held.track.active() > 0 {
        return;
    }
    held.track.pend(moment.now);
    held.began = held.began.min(moment.attentive);
    cx.is_changed = true;
    raise_if_due(patient, cx, effective, index, trigger);
}

/// Whether a pending fault has lasted long enough; if so, raises it.
fn raise_if_due(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    index: usize,
    trigger: &Trigger,
) {
    let held = &mut patient.tracks[index];
    let since = held.track.pending_since();
    let Some(onset) = since.filter(|_| due_at_of(held, effective) <= cx.moment.attentive) else {
        return;
    };
    held.track.hold();
    let cause = Cause { onset, trigger: trigger.clone(), delayed: false };
    settle::settle(patient, cx, effective, cause);
}

/// When a pending fault will have lasted long enough.
fn due_at_of(held: &RuleTrack, effective: &EffectiveRule) -> Attentive {
    held.began.plus(delay(&effective.rule.kind))
}

/// A device is offline because of its gateway, whose alert stands for it: what was about to be
/// told of the device alone is not.
pub(in crate::engine) fn leave_to_gateway(
    patient: &mut Patient,
    rules: &RuleSet,
    device: DeviceKey,
) {
    let is_offline = |rule: &RuleId| {
        rules.get(rule).is_some_and(|effective| match &effective.rule.kind {
            RuleKind::Technical(rule) => rule.condition == TechnicalCondition::DeviceOffline,
            _ => false,
        })
    };
    patient.tracks.retain(|held| {
        let is_pending = held.source == Source::Device(device) && held.track.active() == 0;
        !is_pending || !is_offline(&held.rule)
    });
}

/// The faults that wait for their delay to pass.
fn pending<'p, 'r>(
    patient: &'p Patient,
    rules: &'r RuleSet,
) -> impl Iterator<Item = (usize, &'p RuleTrack, &'r EffectiveRule)> {
    patient.tracks.iter().enumerate().filter_map(|(index, held)| {
        let is_pending = held.track.active() == 0 && held.began != Attentive::NEVER;
        let effective = rules.get(&held.rule).filter(|_| is_pending)?;
        Some((index, held, effective))
    })
}

/// When the first pending fault has lasted long enough.
pub(in crate::engine) fn due_at(patient: &Patient, rules: &RuleSet) -> Option<Attentive> {
    pending(patient, rules).map(|(_, held, effective)| due_at_of(held, effective)).min()
}

/// Raises the faults that have lasted long enough.
pub(in crate::engine) fn fire(patient: &mut Patient, cx: &mut Context<'_>) {
    let rules = cx.rules;
    let due: Vec<_> = pending(patient, rules)
        .filter(|(_, held, effective)| due_at_of(held, effective) <= cx.moment.attentive)
        .map(|(index, _, effective)| (index, effective))
        .collect();
    for (index, effective) in due {
        raise_if_due(patient, cx, effective, index, &Trigger::Timer);
    }
}
