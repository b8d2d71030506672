//! Timers: what happens because time passes.
//!
//! Before an input applies, everything due by then happens, in the order of (deadline, patient),
//! each at its own deadline and not at the moment of the input: how often time is looked at changes
//! nothing. For each patient the queue holds one bound on each clock, never later than the
//! patient's next deadline; readings push deadlines away all the time, and the queue learns of it
//! when the bound comes up. The queue is derived from the patients and is not kept.

use std::collections::BTreeSet;

use super::alerts::flood;
use super::alerts::{Open, Phase, Signal, Trigger};
use super::attention::{Attention, Attentive};
use super::context::Context;
use super::monitoring;
use super::outage;
use super::output::Output;
use super::patient::Patient;
use super::profile::Escalation;
use super::rules::{self, RuleSet, score, silence, technical};
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::PatientKey;

/// When each patient is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_attention: BTreeSet<(Attentive, PatientKey)>,
    by_wall: BTreeSet<(Timestamp, PatientKey)>,
    /// What stands in the queues, by patient.
    of: Vec<Deadlines>,
}

/// A patient's next deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// By the clock that stands still while we are not listening.
    attentive: Attentive,
    /// By wall time.
    wall: Timestamp,
}

impl Deadlines {
    /// Never.
    pub(super) const NONE: Self = Self { attentive: Attentive::NEVER, wall: Timestamp::MAX };

    /// One look at this time, whatever for.
    pub(super) const fn at(wall: Timestamp) -> Self {
        Self { attentive: Attentive::NEVER, wall }
    }
}

impl Timers {
    /// Puts a patient's deadlines into the queues, in place of what stood there.
    pub(super) fn set(&mut self, key: PatientKey, deadlines: Deadlines) {
        if self.of.len() <= key.index() {
            self.of.resize(key.index() + 1, Deadlines::NONE);
        }
        let before = std::mem::replace(&mut self.of[key.index()], deadlines);
        if before.attentive != deadlines.attentive {
            self.by_attention.remove(&(before.attentive, key));
            if deadlines.attentive != Attentive::NEVER {
                self.by_attention.insert((deadlines.attentive, key));
            }
        }
        if before.wall != deadlines.wall {
            self.by_wall.remove(&(before.wall, key));
            if deadlines.wall != Timestamp::MAX {
                self.by_wall.insert((deadlines.wall, key));
            }
        }
    }

    /// The first patient to be looked at, and when.
    fn first(&self, attention: &Attention) -> Option<(Timestamp, PatientKey)> {
        let attentive = self.by_attention.first();
        let attentive = attentive.and_then(|(at, key)| Some((attention.reaches(*at)?, *key)));
        [attentive, self.by_wall.first().copied()].into_iter().flatten().min()
    }
}

/// When something is due next, if nothing arrives before.
pub(super) fn next(state: &State) -> Option<Timestamp> {
    let patient = state.timers.first(&state.general.attention).map(|(at, _)| at);
    [patient, outage::due_at(state)].into_iter().flatten().min()
}

/// Lets everything happen that is due by `now`.
pub(super) fn advance(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    loop {
        // What was due before it could be is due at once.
        let floor = state.general.now.unwrap_or(now);
        let own = outage::due_at(state).map(|at| at.max(floor));
        let first = state.timers.first(&state.general.attention);
        let first = first.map(|(at, key)| (at.max(floor), key));
        match (own, first) {
            // What concerns everyone goes first: it may hold the clock or let it go on.
            (Some(own), patient) if own <= now && patient.is_none_or(|(at, _)| own <= at) => {
                state.general.now = Some(own);
                outage::fire(state, own, outputs);
            }
            (_, Some((at, key))) if at <= now => {
                state.general.now = Some(at);
                state.with_patient(key, at, outputs, fire);
                state.reschedule(key);
            }
            _ => return,
        }
    }
}

/// A patient's next deadlines, as they stand.
pub(super) fn deadlines(
    patient: &Patient,
    rules: &RuleSet,
    now: Timestamp,
    is_covered: impl Fn(crate::vitals::DeviceKey) -> bool,
) -> Deadlines {
    let silences = patient.channels.iter().flat_map(|channel| {
        let silence = silence::due_at(patient, rules, channel);
        let silence = silence.filter(|_| !is_covered(channel.device));
        [silence, channel.stale_at()]
    });
    let escalations = patient.alerts.iter().map(|open| open.passed_on_at);
    let faults = std::iter::once(technical::due_at(patient, rules));
    let pauses = patient.alerts.iter().map(|open| match open.alert.signal {
        Signal::Paused { until } => Some(until),
        _ => None,
    });
    let others = [
        patient.row.paused_until,
        patient.flood_recedes_at(),
        score::expires_at(patient, rules, now),
        score::due_at(patient, rules),
    ];
    Deadlines {
        attentive: silences
            .chain(escalations)
            .chain(faults)
            .flatten()
            .min()
            .unwrap_or(Attentive::NEVER),
        wall: pauses.chain(others).flatten().min().unwrap_or(Timestamp::MAX),
    }
}

/// Does everything of a patient that is due now.
fn fire(patient: &mut Patient, cx: &mut Context<'_>) {
    end_pauses(patient, cx);
    if patient.flood_recedes_at().is_some_and(|at| at <= cx.moment.now) {
        flood::recede(patient, cx);
    }
    technical::fire(patient, cx);
    score::fire(patient, cx);
    score::expire(patient, cx, &Trigger::Timer);
    // A change of rules or of gateways may make somebody silent at once, but not while nobody
    // listens.
    if cx.moment.is_listening {
        fall_silent(patient, cx);
        pass_on(patient, cx);
    }
}

fn end_pauses(patient: &mut Patient, cx: &mut Context<'_>) {
    let moment = cx.moment;
    if patient.row.paused_until.is_some_and(|until| until <= moment.now) {
        patient.row.paused_until = None;
        monitoring::review(patient, cx);
    }
    for index in 0..patient.alerts.len() {
        let escalations = escalations(cx.rules, &patient.alerts[index]);
        let open = &mut patient.alerts[index];
        if matches!(open.alert.signal, Signal::Paused { until } if until <= moment.now) {
            open.resume(escalations, moment);
            let (before, alert) = (open.alert.priority, open.alert.clone());
            cx.emit(Phase::Resume, Some(before), Trigger::Timer, alert);
        }
    }
}

/// When a rule's unacknowledged alerts are passed on.
pub(super) fn escalations<'r>(rules: &'r RuleSet, open: &Open) -> &'r [Escalation] {
    rules.get(&open.alert.rule).map_or(&[], |effective| &effective.rule.escalations)
}

fn fall_silent(patient: &mut Patient, cx: &mut Context<'_>) {
    let attentive = cx.moment.attentive;
    let mut is_news = false;
    for index in 0..patient.channels.len() {
        let gateway = cx.gateway(patient.channels[index].device);
        if !cx.gateways.cover(gateway) {
            silence::fire(patient, cx, index);
        }
        let channel = &mut patient.channels[index];
        if channel.stale_at().is_some_and(|at| at <= attentive) {
            channel.is_stale = true;
            is_news = true;
            let source = channel.source();
            rules::absence::lose(patient, cx, source, Trigger::Timer);
        }
    }
    if is_news {
        monitoring::review(patient, cx);
    }
}

fn pass_on(patient: &mut Patient, cx: &mut Context<'_>) {
    let moment = cx.moment;
    for index in 0..patient.alerts.len() {
        let escalations = escalations(cx.rules, &patient.alerts[index]);
        let open = &mut patient.alerts[index];
        if open.passed_on_at.is_some_and(|at| at <= moment.attentive) {
            open.remind(escalations, moment);
            let (before, alert) = (open.alert.priority, open.alert.clone());
            cx.emit(Phase::Remind, Some(before), Trigger::Timer, alert);
        }
    }
}
