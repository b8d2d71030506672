//! A patient's alerts, brought in line with where their rules stand.
//!
//! Rules move tracks; [`settle`] looks at all tracks of a rule, takes the worst, and starts,
//! changes or ends the rule's one alert accordingly. It is called whenever a track of the rule
//! reached another level, or the data that makes it stopped or came back.

use super::life::{self, Open, Policy, Standing};
use super::{Condition, DecidingReading, Phase, ScoreSummary, Trigger};
use crate::clock::Timestamp;
use crate::engine::context::Context;
use crate::engine::patient::{Patient, RuleTrack, Source};
use crate::engine::profile::{EffectiveRule, RuleKind};
use crate::engine::rules::{self, score};
use crate::vitals::RuleId;

/// Why an alert is looked at.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Cause {
    /// The onset, should an alert start.
    pub(in crate::engine) onset: Timestamp,
    /// What decides.
    pub(in crate::engine) trigger: Trigger,
    /// Whether that arrived late.
    pub(in crate::engine) delayed: bool,
}

impl Cause {
    /// Something other than readings, at `now`.
    pub(in crate::engine) const fn at(now: Timestamp, trigger: Trigger) -> Self {
        Self { onset: now, trigger, delayed: false }
    }
}

/// Brings the alert of a rule in line with where the rule stands, and says what changed.
pub(in crate::engine) fn settle(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    cause: Cause,
) {
    let standing = standing(patient, cx, effective);
    let open = patient.alert_index(&effective.rule.id);
    let policy = Policy::from(effective);
    match (standing, open) {
        (Some(standing), None) => raise(patient, cx, policy, standing, cause),
        (Some(standing), Some(open)) if patient.alerts[open].is_latched() => {
            supersede(patient, cx, open, policy, standing, cause);
        }
        (Some(standing), Some(open)) => follow(patient, cx, open, policy, standing, cause),
        (None, Some(open)) if patient.alerts[open].is_latched() => {}
        (None, Some(open)) => finish(patient, cx, open, policy, cause),
        (None, None) => patient.release(&effective.rule.id),
    }
}

/// Where a rule stands highest on a patient; `None` if its condition holds nowhere. Every track
/// was adapted to the rule when the rule changed, so that a level that is active is one it has.
fn standing(patient: &Patient, cx: &Context<'_>, effective: &EffectiveRule) -> Option<Standing> {
    let rank = |it: &&RuleTrack| (it.track.active(), !it.is_lost);
    let of_rule = patient.tracks.iter().filter(|it| it.rule == effective.rule.id);
    // The first of equals, so that the answer does not depend on who measured last.
    let worst =
        of_rule.reduce(|worst, other| if rank(&other) > rank(&worst) { other } else { worst })?;
    let level = worst.track.active().checked_sub(1)?;
    let (priority, limit) = rules::level(effective, level)?;
    Some(Standing {
        device: worst.source.device().map(|device| cx.device_id(device)),
        vital: rules::vital_of(effective, worst.source),
        limit,
        score: score_of(patient, cx, effective),
        priority,
        is_current: !worst.is_lost,
        unconfirmed: worst.track.is_unconfirmed(),
        covered: 0,
    })
}

fn score_of(
    patient: &Patient,
    cx: &Context<'_>,
    effective: &EffectiveRule,
) -> Option<Box<ScoreSummary>> {
    match &effective.rule.kind {
        RuleKind::Score(rule) => Some(Box::new(score::summary(patient, rule, cx.moment.now))),
        _ => None,
    }
}

fn raise(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    policy: Policy<'_>,
    standing: Standing,
    cause: Cause,
) {
    if super::flood::admits(patient, cx, policy.rule, standing.priority, cause.onset) {
        start(patient, cx, policy, standing, cause);
    }
}

/// The condition holds again while the alert before it still waits to be reset. The new alert
/// takes its place, for there are never two of one rule, and what nobody has answered it answers
/// for: it latches by the highest priority of both.
fn supersede(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    open: usize,
    policy: Policy<'_>,
    standing: Standing,
    cause: Cause,
) {
    if !super::flood::admits(patient, cx, policy.rule, standing.priority, cause.onset) {
        return;
    }
    let highest = patient.alerts[open].highest;
    close(patient, cx, open, Trigger::Grouping);
    start(patient, cx, policy, standing, cause);
    if let Some(open) = patient.alerts.last_mut() {
        open.highest = open.highest.max(highest);
    }
}

fn start(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    policy: Policy<'_>,
    standing: Standing,
    cause: Cause,
) {
    let occurrence = patient.next_occurrence();
    let paused = patient.row.paused_until;
    let subject = cx.subject(patient);
    let mut open =
        Open::start(subject, policy, standing, cause.onset, occurrence, cx.moment, paused);
    open.alert.delayed = cause.delayed;
    cx.emit(Phase::Start, None, cause.trigger, open.alert.clone());
    patient.alerts.push(open);
}

fn follow(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    open: usize,
    policy: Policy<'_>,
    standing: Standing,
    cause: Cause,
) {
    let paused = patient.row.paused_until;
    let open = &mut patient.alerts[open];
    let before = open.alert.priority;
    let Some(phase) = open.follow(policy, standing, cx.moment, paused) else { return };
    if phase == Phase::Escalate {
        open.alert.delayed = cause.delayed;
    }
    cx.emit(phase, Some(before), cause.trigger, open.alert.clone());
}

/// The condition holds nowhere any more: readings end an alert, anything else closes it.
fn finish(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    index: usize,
    policy: Policy<'_>,
    cause: Cause,
) {
    let ended_at = match &cause.trigger {
        Trigger::Readings(readings) => readings.iter().map(|reading| reading.measured_at).max(),
        Trigger::DeviceStatus | Trigger::Ingest => Some(cx.moment.now),
        _ => None,
    };
    let Some(ended_at) = ended_at else { return close(patient, cx, index, cause.trigger) };
    let score = cx.rules.get(policy.rule).and_then(|effective| score_of(patient, cx, effective));
    let open = &mut patient.alerts[index];
    let before = open.alert.priority;
    open.alert.score = score;
    open.end(policy, ended_at);
    let alert = open.alert.clone();
    if alert.is_over() {
        patient.alerts.remove(index);
    }
    cx.emit(Phase::End, Some(before), cause.trigger, alert);
}

/// Closes an open alert without readings.
pub(in crate::engine) fn close(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    index: usize,
    trigger: Trigger,
) {
    let mut open = patient.alerts.remove(index);
    let before = open.alert.priority;
    open.close(cx.moment.now);
    cx.emit(Phase::Close, Some(before), trigger, open.alert);
}

/// Settles every rule that stands on something or has an open alert: what they rest on changed.
/// An alert whose rule is gone is closed.
pub(in crate::engine) fn resettle(patient: &mut Patient, cx: &mut Context<'_>, trigger: &Trigger) {
    let mut held: Vec<RuleId> = patient.alerts.iter().map(|open| open.alert.rule.clone()).collect();
    for track in &patient.tracks {
        if track.track.active() > 0 && !held.contains(&track.rule) {
            held.push(track.rule.clone());
        }
    }
    for rule in held {
        match cx.rules.get(&rule) {
            Some(effective) => {
                let cause = Cause::at(cx.moment.now, trigger.clone());
                settle(patient, cx, effective, cause);
            }
            None if rule.as_str() == super::flood::RULE => {}
            None => {
                if let Some(open) = patient.alert_index(&rule) {
                    close(patient, cx, open, trigger.clone());
                }
            }
        }
    }
}

/// What late readings alone would have raised: told once, and over.
pub(in crate::engine) fn tell_retrospective(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    level: usize,
    breach: RetrospectiveBreach,
) {
    let Some((priority, limit)) = rules::level(effective, level) else { return };
    let standing = Standing {
        device: breach.source.device().map(|device| cx.device_id(device)),
        vital: rules::vital_of(effective, breach.source),
        limit,
        score: None,
        priority,
        is_current: true,
        unconfirmed: breach.is_unconfirmed,
        covered: 0,
    };
    let occurrence = patient.next_occurrence();
    let alert = life::retrospective(
        cx.subject(patient),
        Policy::from(effective),
        standing,
        (breach.onset, breach.ended_at),
        occurrence,
        cx.moment.now,
    );
    let trigger = Trigger::Readings(vec![breach.decided_by]);
    cx.emit(Phase::Start, None, trigger, alert);
}

/// A breach among late readings.
pub(in crate::engine) struct RetrospectiveBreach {
    pub(in crate::engine) source: Source,
    pub(in crate::engine) onset: Timestamp,
    pub(in crate::engine) ended_at: Timestamp,
    pub(in crate::engine) decided_by: DecidingReading,
    pub(in crate::engine) is_unconfirmed: bool,
}

impl Open {
    /// Whether its condition has ended and its signal waits to be reset.
    pub(in crate::engine) fn is_latched(&self) -> bool {
        self.alert.condition == Condition::Inactive
    }
}
