//! The score rule: an early-warning score of what is known of a patient now.
//!
//! A score is made of the newest value of each of its parameters, whatever device measured it,
//! as long as it is not older than the rule lets it be. It is made anew once for all readings
//! measured at one instant, so that a panel is judged whole. A parameter that is missing is never
//! taken as normal: the sum of the others is a lower bound, which may raise. It ends an alert only
//! while every parameter is known on which that alert rests.

use std::time::Duration;

use super::news2::{self, Observations};
use super::track::{Reach, Reaches, Sample, Weight};
use super::{Evidence, at_once, deciding, judge};
use crate::clock::Timestamp;
use crate::engine::alerts::settle::{self, Cause};
use crate::engine::alerts::{ScoreSummary, Trigger, value_of};
use crate::engine::context::Context;
use crate::engine::patient::{Patient, Source};
use crate::engine::profile::{
    AgeGroup, EffectiveRule, Pregnancy, RuleKind, Score, ScoreLevel, ScoreRule,
};
use crate::vitals::{Priority, Quantity, Value, Vital};

/// How many parameters NEWS2 has.
const PARAMETERS: usize = 7;

/// The place of a vital among the parameters of NEWS2, in the order of its chart. The pulse is the
/// newest of heart rate and pulse rate.
const fn parameter(vital: Vital) -> Option<usize> {
    match vital {
        Vital::RespiratoryRate => Some(0),
        Vital::Spo2 => Some(1),
        Vital::OxygenFlow => Some(2),
        Vital::SystolicPressure => Some(3),
        Vital::HeartRate | Vital::PulseRate => Some(4),
        Vital::Consciousness => Some(5),
        Vital::BodyTemperature => Some(6),
        _ => None,
    }
}

/// Whether a score is made of this vital.
pub(super) const fn is_parameter(vital: Vital) -> bool {
    parameter(vital).is_some()
}

/// The newest value of one parameter.
#[derive(Clone, Copy, Debug)]
struct Newest {
    vital: Vital,
    measured_at: Timestamp,
    value: Quantity,
}

/// What is known of a patient at one instant, in the order of the chart. Once through the channels,
/// because every instant of readings comes by here.
fn newest(patient: &Patient, rule: &ScoreRule, as_of: Timestamp) -> [Option<Newest>; PARAMETERS] {
    let mut known: [Option<Newest>; PARAMETERS] = [None; PARAMETERS];
    for channel in &patient.channels {
        let Some(place) = parameter(channel.vital) else { continue };
        let Some((measured_at, value)) = channel.last_value() else { continue };
        if as_of.since(measured_at) > max_age(rule, channel.vital) {
            continue;
        }
        // The first of equals, so that the order of channels decides and not that of readings.
        if known[place].is_none_or(|best| measured_at > best.measured_at) {
            known[place] = Some(Newest { vital: channel.vital, measured_at, value });
        }
    }
    known
}

fn max_age(rule: &ScoreRule, vital: Vital) -> Duration {
    let named = rule.max_ages.iter().find(|(it, _)| *it == vital);
    named.map_or(ScoreRule::MAX_AGE, |(_, age)| *age)
}

fn compute(rule: &ScoreRule, newest: &[Option<Newest>; PARAMETERS]) -> news2::News2 {
    let [respiratory_rate, spo2, oxygen, systolic_pressure, pulse, consciousness, temperature] =
        newest.map(|it| it.map(|it| it.value));
    let consciousness =
        consciousness.and_then(|number| match value_of(Vital::Consciousness, number) {
            Value::Consciousness(level) => Some(level),
            Value::Quantity(_) | Value::Absent(_) => None,
        });
    let observations = Observations {
        respiratory_rate,
        spo2,
        oxygen: oxygen.map(|flow| flow > Quantity::whole(0)),
        systolic_pressure,
        pulse,
        consciousness,
        temperature,
    };
    let Score::News2(scale) = rule.score;
    news2::News2::of(&observations, scale)
}

/// A level of a score: at least a total, or one parameter's 3, whichever the profile names.
struct Step {
    priority: Priority,
    level: Option<ScoreLevel>,
    on_single: bool,
}

/// The levels of a rule by rising priority: those of totals, and that of a single parameter.
fn steps(rule: &ScoreRule) -> impl Iterator<Item = Step> {
    Priority::ALL.into_iter().filter_map(|priority| {
        let level = rule.levels.iter().find(|level| level.priority == priority).copied();
        let is_named = level.is_some() || rule.single_parameter_priority == Some(priority);
        let on_single = rule.single_parameter_priority.is_some_and(|single| single >= priority);
        is_named.then_some(Step { priority, level, on_single })
    })
}

/// The priority and total of one of the rule's levels.
pub(super) fn level(rule: &ScoreRule, index: usize) -> Option<(Priority, Option<Quantity>)> {
    let step = steps(rule).nth(index)?;
    let total = step.level.map(|level| Quantity::whole(i64::from(level.total)));
    Some((step.priority, total))
}

/// What a score says of each level. Only a score that knows every parameter on which its alert
/// rests (`rests_on`) can clear a level: what is missing may be what was wrong.
fn reaches(rule: &ScoreRule, score: &news2::News2, rests_on: u8) -> Reaches {
    let single = score.has_single_three();
    let above = |priority: Priority| rule.levels.iter().filter(move |it| it.priority >= priority);
    let reach = |step: Step| Reach {
        breaches: (step.on_single && single)
            || above(step.priority).any(|level| score.total() >= level.total),
        clear: is_known(score, rests_on)
            && !(step.on_single && single)
            && above(step.priority).all(|level| score.total() <= level.clear_total),
        persistence: at_once(rule.delay),
    };
    steps(rule).map(reach).collect()
}

/// The parameters that a score was made of, one bit each in the order of the chart.
pub(super) fn made_of(summary: &ScoreSummary) -> u8 {
    let places = summary.parameters.iter().filter_map(|(vital, ..)| parameter(*vital));
    places.fold(0, |bits, place| bits | 1 << place)
}

/// Which parameters a score knows, one bit each in the order of the chart.
fn known(score: &news2::News2) -> u8 {
    let bit =
        |(place, (_, points)): (usize, (Vital, Option<u8>))| u8::from(points.is_some()) << place;
    score.points().enumerate().map(bit).sum()
}

/// Whether a score knows all parameters on which an alert rests.
fn is_known(score: &news2::News2, rests_on: u8) -> bool {
    known(score) & rests_on == rests_on
}

/// The parameters on which the rule's alert rests; all of them if there is none.
fn rests_on(patient: &Patient, effective: &EffectiveRule) -> u8 {
    let held = patient.track_index(&effective.rule.id, Source::Patient);
    held.map_or(u8::MAX >> 1, |index| patient.tracks[index].rests_on)
}

/// Judges the patient's scores as of the newest readings, measured at `measured_at`.
pub(in crate::engine) fn observe(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    measured_at: Timestamp,
    weight: Weight,
) {
    let rules = cx.rules;
    for place in &rules.scores {
        let effective = rules.at(*place);
        let RuleKind::Score(rule) = &effective.rule.kind else { continue };
        if patient.row.eligibility.refuses(rule.score).is_some() {
            continue;
        }
        let newest = newest(patient, rule, measured_at);
        let score = compute(rule, &newest);
        let reaches = reaches(rule, &score, rests_on(patient, effective));
        let sample = Sample { measured_at, previous: Some(measured_at), weight };
        let trigger = || decided_by(&newest);
        let evidence = Evidence { source: Source::Patient, sample, delayed: false, trigger };
        judge(patient, cx, effective, (&reaches, rule.clear_delay), evidence);
        note_parameters(patient, effective, &reaches, &score);
        note_completeness(patient, cx, effective, &reaches, &score, || decided_by(&newest));
    }
}

fn decided_by(newest: &[Option<Newest>; PARAMETERS]) -> Trigger {
    let known = newest.iter().flatten();
    Trigger::Readings(known.map(|it| deciding(it.vital, it.measured_at, it.value)).collect())
}

/// A score that reaches a level rests on all it knows.
fn note_parameters(
    patient: &mut Patient,
    effective: &EffectiveRule,
    reaches: &[Reach],
    score: &news2::News2,
) {
    let Some(index) = patient.track_index(&effective.rule.id, Source::Patient) else { return };
    if reaches.iter().any(|reach| reach.breaches) {
        patient.tracks[index].rests_on |= known(score);
    }
}

/// An alert whose score can neither be confirmed nor cleared rests on data that has stopped.
fn note_completeness(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    reaches: &[Reach],
    score: &news2::News2,
    trigger: impl FnOnce() -> Trigger,
) {
    let Some(index) = patient.track_index(&effective.rule.id, Source::Patient) else { return };
    let held = &mut patient.tracks[index];
    let Some(top) = held.track.active().checked_sub(1) else { return };
    let is_lost = !is_known(score, held.rests_on) && !reaches[top].breaches;
    if held.is_lost != is_lost {
        held.is_lost = is_lost;
        let cause = Cause::at(cx.moment.now, trigger());
        settle::settle(patient, cx, effective, cause);
    }
}

/// When a score that stands at a level it has not raised yet will have stood long enough.
pub(in crate::engine) fn due_at(patient: &Patient, rules: &super::RuleSet) -> Option<Timestamp> {
    let of_rule = |place: &u16| {
        let effective = rules.at(*place);
        let RuleKind::Score(rule) = &effective.rule.kind else { return None };
        let held = &patient.tracks[patient.track_index(&effective.rule.id, Source::Patient)?];
        let is_refused = patient.row.eligibility.refuses(rule.score).is_some();
        let since = held.track.pending_since().filter(|_| !is_refused);
        since.map(|since| since.plus(rule.delay))
    };
    rules.scores.iter().filter_map(of_rule).min()
}

/// A score stands until it is made anew: its delay passes also while nothing is measured.
pub(in crate::engine) fn fire(patient: &mut Patient, cx: &mut Context<'_>) {
    let now = cx.moment.now;
    if due_at(patient, cx.rules).is_some_and(|at| at <= now) {
        observe(patient, cx, now, Weight::Full);
    }
}

/// Parameters may have become too old for the scores that hold.
pub(in crate::engine) fn expire(patient: &mut Patient, cx: &mut Context<'_>, trigger: &Trigger) {
    let (rules, now) = (cx.rules, cx.moment.now);
    for place in &rules.scores {
        let effective = rules.at(*place);
        let RuleKind::Score(rule) = &effective.rule.kind else { continue };
        let score = compute(rule, &newest(patient, rule, now));
        let reaches = reaches(rule, &score, rests_on(patient, effective));
        note_completeness(patient, cx, effective, &reaches, &score, || trigger.clone());
    }
}

/// When the next parameter of a score that holds becomes too old, after `now`.
pub(in crate::engine) fn expires_at(
    patient: &Patient,
    rules: &super::RuleSet,
    now: Timestamp,
) -> Option<Timestamp> {
    let of_rule = |place: &u16| {
        let effective = rules.at(*place);
        let RuleKind::Score(rule) = &effective.rule.kind else { return None };
        let held = &patient.tracks[patient.track_index(&effective.rule.id, Source::Patient)?];
        let holds = held.track.active() > 0 && !held.is_lost;
        // A parameter counts at its greatest age, and no longer a microsecond later.
        let until = |it: Newest| {
            it.measured_at.plus(max_age(rule, it.vital)).plus(Duration::from_micros(1))
        };
        let known = newest(patient, rule, now).into_iter().flatten();
        known.map(until).min().filter(|_| holds)
    };
    rules.scores.iter().filter_map(of_rule).min()
}

/// What is known of the patient has changed: a score that is not for them any more is over.
pub(in crate::engine) fn review_eligibility(patient: &mut Patient, cx: &mut Context<'_>) {
    let (rules, now) = (cx.rules, cx.moment.now);
    for place in &rules.scores {
        let effective = rules.at(*place);
        let RuleKind::Score(rule) = &effective.rule.kind else { continue };
        let is_refused = patient.row.eligibility.refuses(rule.score).is_some();
        let held = patient.track_index(&effective.rule.id, Source::Patient);
        if let Some(index) = held.filter(|_| is_refused) {
            patient.tracks.remove(index);
            settle::settle(patient, cx, effective, Cause::at(now, Trigger::RuleChanged));
        }
    }
}

/// What a score is made of, for its alert.
pub(in crate::engine) fn summary(
    patient: &Patient,
    rule: &ScoreRule,
    now: Timestamp,
) -> ScoreSummary {
    let newest = newest(patient, rule, now);
    let score = compute(rule, &newest);
    let parameters = newest
        .iter()
        .zip(score.points())
        .filter_map(|(newest, (_, points))| newest.zip(points))
        .map(|(newest, points)| (newest.vital, points, newest.measured_at));
    ScoreSummary {
        total: score.total(),
        risk: score.risk(),
        parameters: parameters.collect(),
        missing: score.missing().collect(),
        age_unknown: patient.row.eligibility.age_group == AgeGroup::Unknown,
        pregnancy_unknown: patient.row.eligibility.pregnancy == Pregnancy::Unknown,
    }
}
