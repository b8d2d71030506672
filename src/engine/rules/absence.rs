//! When there is no value: one reading says so, or no reading comes at all.
//!
//! A reading without a value makes delays begin again, and ends nothing. Data that has stopped
//! makes the alerts that rest on it indeterminate, until it comes back; whether it has is judged
//! elsewhere (`silence`, `monitoring`).

use std::time::Duration;

use super::{Seen, is_technical, is_too_old, limit, settle_all, trigger};
use crate::clock::Timestamp;
use crate::engine::alerts::Trigger;
use crate::engine::alerts::settle::Cause;
use crate::engine::context::Context;
use crate::engine::late;
use crate::engine::patient::{Patient, RuleTrack, Source};
use crate::engine::profile::EffectiveRule;

/// Takes note of a newest reading without a value, as old at receipt as `delayed_by` if that was too
/// old to be live: pending breaches of its channel begin again.
pub(in crate::engine) fn miss(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    channel: usize,
    (measured_at, delayed_by): (Timestamp, Option<Duration>),
) {
    let held = &patient.channels[channel];
    let (vital, source, interval) = (held.vital, held.source(), held.spacing());
    let is_too_old = |it: &EffectiveRule| is_too_old(it, delayed_by);
    let rules = cx.rules;
    if patient.late.is_some() || delayed_by.is_some() {
        for (effective, limit) in rules.limits_on(vital) {
            if is_too_old(effective) {
                let reaches = limit::of_no_value(limit, interval);
                late::miss(patient, cx, effective, source, (&reaches, measured_at));
            } else {
                late::cut_off(patient, effective, source);
            }
        }
    }
    patient.channels[channel].missed_at = measured_at;
    let is_broken = |it: &RuleTrack| {
        let effective = rules.get(&it.rule);
        it.source == source && effective.is_none_or(|it| !is_technical(it) && !is_too_old(it))
    };
    let broken = patient.tracks.iter_mut().filter(|it| is_broken(it));
    broken.for_each(|it| it.track.miss());
    patient.drop_resting();
}

/// Takes note of a late reading without a value.
pub(in crate::engine) fn miss_late(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    interval: Option<Duration>,
    measured_at: Timestamp,
) {
    let Source::Channel(_, vital) = source else { return };
    let rules = cx.rules;
    for (effective, limit) in rules.limits_on(vital) {
        let reaches = limit::of_no_value(limit, interval);
        late::miss(patient, cx, effective, source, (&reaches, measured_at));
    }
}

/// The data of a source came back: alerts that rest on it are no longer indeterminate.
pub(in crate::engine) fn revive(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    seen: Seen,
) {
    let mut rules = Vec::new();
    for held in &mut patient.tracks {
        if held.source == source && held.is_lost {
            held.is_lost = false;
            rules.push(held.rule.clone());
        }
    }
    settle_all(
        patient,
        cx,
        rules,
        &Cause {
            onset: seen.measured_at,
            trigger: trigger(source, seen),
            delayed: seen.delayed_by.is_some(),
        },
    );
}

/// The data of a source has stopped: alerts that rest on it become indeterminate.
pub(in crate::engine) fn lose(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    trigger: Trigger,
) {
    let mut rules = Vec::new();
    for held in &mut patient.tracks {
        let is_physiological =
            cx.rules.get(&held.rule).is_some_and(|effective| !is_technical(effective));
        if held.source == source && !held.is_lost && is_physiological {
            held.is_lost = true;
            rules.push(held.rule.clone());
        }
    }
    let now = cx.moment.now;
    settle_all(patient, cx, rules, &Cause::at(now, trigger));
}
