//! Rules: what a patient's readings mean, by the limits in force for that patient.
//!
//! A [`RuleSet`] is the merged profile of some patients, arranged by vital, so that a reading
//! meets only the rules that judge it. Every rule turns a reading into the same thing: for each
//! of its levels, whether the reading breaches it, is clear of it, or neither ([`track::Reach`]).
//! A [`track::Track`] makes a condition of that, and `alerts` an alert of the condition.
//!
//! Rules see readings of real use in measured order per channel; `admit` sees to that. Which of
//! them may raise, end or only doubt is in [`Seen::weight`]. Histories are fed by the newest
//! readings, delayed ones too; scores are made anew by readings in time only.

pub(super) mod absence;
pub(super) mod baseline;
pub(super) mod history;
mod limit;
pub(super) mod news2;
pub(super) mod restored;
pub(super) mod score;
pub(super) mod silence;
mod slices;
pub(super) mod technical;
pub(super) mod track;
pub(super) mod trend;

use std::sync::Arc;
use std::time::Duration;

use self::track::{Reach, Sample, Track, Weight};
use super::alerts::settle::{self, Cause};
use super::alerts::{DecidingReading, Trigger, value_of};
use super::attention::Attentive;
use super::context::Context;
use super::late;
use super::patient::{Patient, RuleTrack, Source};
use super::profile::{self, EffectiveRule, LimitRule, Persistence, RuleKind, Side, Sustained};
use super::status;
use crate::clock::Timestamp;
use crate::vitals::{Priority, Quantity, RuleId, Vital};

/// The rules in force for some patients.
#[derive(Debug)]
pub(super) struct RuleSet {
    /// All of them, by rule id.
    rules: Arc<[EffectiveRule]>,
    /// Those that judge each vital, by the vital's number.
    by_vital: [Judging; Vital::ALL.len() + 1],
    /// Scores.
    scores: Vec<u16>,
    /// Faults, and what devices assert.
    technical: Vec<u16>,
}

/// The rules that judge one vital, by their place in the set.
#[derive(Debug, Default)]
struct Judging {
    limits: Vec<Threshold>,
    histories: Vec<u16>,
    silences: Vec<u16>,
    /// Whether a score is made of it.
    is_scored: bool,
}

/// A limit rule, with what most readings need to know of it.
#[derive(Debug)]
struct Threshold {
    rule: u16,
    side: Side,
    /// The limit of its lowest level: what is not beyond it begins nothing.
    lowest: Quantity,
}

impl RuleSet {
    /// Arranges merged rules.
    pub(super) fn new(rules: Arc<[EffectiveRule]>) -> Self {
        let of = |number: usize| {
            let vital = i32::try_from(number).ok().and_then(Vital::from_number);
            vital.map_or_else(Judging::default, |vital| Judging::of(vital, &rules))
        };
        let by_vital = std::array::from_fn(of);
        let scores = places(&rules, |kind| matches!(kind, RuleKind::Score(_)));
        let technical =
            places(&rules, |kind| matches!(kind, RuleKind::Technical(_) | RuleKind::Asserted(_)));
        Self { by_vital, scores, technical, rules }
    }

    /// The rule of this id.
    pub(super) fn get(&self, rule: &RuleId) -> Option<&EffectiveRule> {
        let found = self.rules.binary_search_by(|effective| effective.rule.id.cmp(rule));
        found.ok().map(|place| &self.rules[place])
    }

    /// All of them, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &EffectiveRule> {
        self.rules.iter()
    }

    /// Whether any rule judges what a patient's body does.
    pub(super) fn judges_anything(&self) -> bool {
        let is_limit = |it: &EffectiveRule| !matches!(it.rule.kind, RuleKind::Asserted(_));
        self.rules.iter().any(|effective| !is_technical(effective) && is_limit(effective))
    }

    /// Whether every rule on what the patient's devices measure can fire on it.
    pub(super) fn can_all_fire(&self, patient: &Patient) -> bool {
        let mut of_devices = patient.channels.iter().filter(|channel| !channel.is_by_hand());
        of_devices.all(|channel| {
            self.judging(channel.vital).limits.iter().all(|threshold| {
                let limit = limit_of(self.at(threshold.rule));
                limit.is_none_or(|limit| limit::can_fire(limit, channel.interval()))
            })
        })
    }

    /// Whether a score is made of this vital.
    pub(super) fn scores_are_made_of(&self, vital: Vital) -> bool {
        self.judging(vital).is_scored
    }

    fn judging(&self, vital: Vital) -> &Judging {
        &self.by_vital[usize::from(vital.number())]
    }

    /// The limit rules that judge this vital.
    fn limits_on(&self, vital: Vital) -> impl Iterator<Item = (&EffectiveRule, &LimitRule)> {
        let of_vital = self.judging(vital).limits.iter().map(|threshold| self.at(threshold.rule));
        of_vital.filter_map(|effective| limit_of(effective).map(|limit| (effective, limit)))
    }

    fn at(&self, place: u16) -> &EffectiveRule {
        &self.rules[usize::from(place)]
    }

    /// Whether the rule of this id judges that source.
    pub(super) fn judges(&self, rule: &RuleId, source: Source) -> bool {
        let Some(effective) = self.get(rule) else { return false };
        match (&effective.rule.kind, source) {
            (RuleKind::Limit(limit), Source::Channel(_, vital)) => limit.covers(vital),
            (RuleKind::Trend(trend), Source::Channel(_, vital)) => trend.vital == vital,
            (RuleKind::Baseline(baseline), Source::Channel(_, vital)) => baseline.vital == vital,
            (RuleKind::Silence(silence), Source::Channel(_, vital)) => silence.vital == vital,
            (RuleKind::Score(_), Source::Patient)
            | (RuleKind::Asserted(_), Source::Device(_))
            | (RuleKind::Technical(_), Source::Channel(..) | Source::Device(_)) => true,
            _ => false,
        }
    }
}

fn places(rules: &[EffectiveRule], is_wanted: impl Fn(&RuleKind) -> bool) -> Vec<u16> {
    (0..).zip(rules).filter(|(_, it)| is_wanted(&it.rule.kind)).map(|(place, _)| place).collect()
}

impl Judging {
    fn of(vital: Vital, rules: &[EffectiveRule]) -> Self {
        let mut judging = Self::default();
        for (place, effective) in (0..).zip(rules) {
            match &effective.rule.kind {
                RuleKind::Limit(limit) if limit.covers(vital) => {
                    let Some(lowest) = limit.levels.first() else { continue };
                    let (side, lowest) = (limit.side, lowest.limit);
                    judging.limits.push(Threshold { rule: place, side, lowest });
                }
                RuleKind::Trend(rule) if rule.vital == vital => judging.histories.push(place),
                RuleKind::Baseline(rule) if rule.vital == vital => judging.histories.push(place),
                RuleKind::Silence(rule) if rule.vital == vital => judging.silences.push(place),
                RuleKind::Score(_) => judging.is_scored |= score::is_parameter(vital),
                _ => {}
            }
        }
        judging
    }
}

/// Whether a rule's alerts are about the equipment.
pub(super) const fn is_technical(effective: &EffectiveRule) -> bool {
    matches!(effective.rule.kind, RuleKind::Silence(_) | RuleKind::Technical(_))
}

fn limit_of(effective: &EffectiveRule) -> Option<&LimitRule> {
    match &effective.rule.kind {
        RuleKind::Limit(limit) => Some(limit),
        _ => None,
    }
}

/// The priority and limit of one of a rule's levels, if it has it.
pub(super) fn level(
    effective: &EffectiveRule,
    level: usize,
) -> Option<(Priority, Option<Quantity>)> {
    match &effective.rule.kind {
        RuleKind::Off => None,
        RuleKind::Limit(rule) => rule.levels.get(level).map(|it| (it.priority, Some(it.limit))),
        RuleKind::Trend(rule) => rule.levels.get(level).map(|it| (it.priority, Some(it.delta))),
        RuleKind::Baseline(rule) => rule.levels.get(level).map(|it| (it.priority, Some(it.z))),
        RuleKind::Score(rule) => score::level(rule, level),
        RuleKind::Silence(rule) => (level == 0).then_some((rule.priority, None)),
        RuleKind::Technical(rule) => (level == 0).then_some((rule.priority, None)),
        RuleKind::Asserted(rule) => (level == 0).then_some((rule.priority, None)),
    }
}

/// How many levels a rule has.
fn levels(effective: &EffectiveRule) -> usize {
    (0..profile::LEVELS_MAX).take_while(|index| level(effective, *index).is_some()).count()
}

/// The vital that a rule's alert is about, on a source.
pub(super) fn vital_of(effective: &EffectiveRule, source: Source) -> Option<Vital> {
    match (&effective.rule.kind, source) {
        (RuleKind::Technical(_), _) | (_, Source::Device(_) | Source::Patient) => None,
        (_, Source::Channel(_, vital)) => Some(vital),
    }
}

/// A reading as the rules see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When it was measured.
    pub(super) measured_at: Timestamp,
    /// What it said; a level of consciousness by its number.
    pub(super) value: Quantity,
    /// What it may do.
    pub(super) weight: Weight,
    /// How old it was at receipt, if that was too old to be live: where a rule calls it too old to
    /// act on, it is folded with the late ones.
    pub(super) delayed_by: Option<Duration>,
}

/// Whether what was so old at receipt came too late for this rule to act on.
fn is_too_old(effective: &EffectiveRule, delayed_by: Option<Duration>) -> bool {
    delayed_by.is_some_and(|age| age > effective.rule.actionable_for)
}

/// Judges the newest reading of a channel.
pub(super) fn observe(patient: &mut Patient, cx: &mut Context<'_>, channel: usize, seen: Seen) {
    let held = &patient.channels[channel];
    let (vital, source, interval) = (held.vital, held.source(), held.spacing());
    let sample =
        Sample { measured_at: seen.measured_at, previous: held.previous(), weight: seen.weight };
    let rules = cx.rules;
    for threshold in &rules.judging(vital).limits {
        // Most readings of most patients are far from anything.
        let is_beyond = threshold.side.is_beyond(seen.value, threshold.lowest);
        if !is_beyond && patient.tracks.is_empty() && patient.late.is_none() {
            continue;
        }
        let effective = rules.at(threshold.rule);
        let Some(limit) = limit_of(effective) else { continue };
        let reaches = limit::reaches(limit, interval, seen.value);
        if is_too_old(effective, seen.delayed_by) {
            late::fold(patient, cx, effective, source, (&reaches, limit.clear_delay), seen);
        } else {
            let sample = follow(patient, effective, source, (&reaches, sample));
            let evidence = Evidence::of(source, seen, sample);
            judge(patient, cx, effective, (&reaches, limit.clear_delay), evidence);
        }
    }
    if seen.weight != Weight::Doubtful {
        history::observe(patient, cx, channel, seen, sample);
    }
}

/// The reading as a limit rule sees it: after the one that the rule judged before, or after late ones
/// that lead up to it.
fn follow(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    (reaches, sample): (&[Reach], Sample),
) -> Sample {
    let track = patient.track_index(&effective.rule.id, source);
    let previous = track.and_then(|index| patient.tracks[index].last);
    let sample = Sample { previous, ..sample };
    if sample.weight == Weight::Doubtful {
        return sample;
    }
    let late = late::hand_on(patient, effective, source, (reaches, sample));
    Sample { previous: late.max(previous), ..sample }
}

/// Judges a late reading of a channel, which only the limit rules look at, each by itself.
pub(super) fn observe_late(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    source: Source,
    interval: Option<Duration>,
    seen: Seen,
) {
    let Source::Channel(_, vital) = source else { return };
    let rules = cx.rules;
    for threshold in &rules.judging(vital).limits {
        let is_beyond = threshold.side.is_beyond(seen.value, threshold.lowest);
        if !is_beyond && patient.tracks.is_empty() && patient.late.is_none() {
            continue;
        }
        let effective = rules.at(threshold.rule);
        let Some(limit) = limit_of(effective) else { continue };
        let reaches = limit::reaches(limit, interval, seen.value);
        late::fold(patient, cx, effective, source, (&reaches, limit.clear_delay), seen);
    }
}

/// A sample of a source, and what an event says decided it.
struct Evidence<F> {
    source: Source,
    sample: Sample,
    /// Whether it arrived too late to be live.
    delayed: bool,
    trigger: F,
}

impl Evidence<()> {
    /// A reading of a channel.
    fn of(source: Source, seen: Seen, sample: Sample) -> Evidence<impl FnOnce() -> Trigger> {
        let delayed = seen.delayed_by.is_some();
        Evidence { source, sample, delayed, trigger: move || trigger(source, seen) }
    }
}

/// Moves a rule's track on a source on by a sample, and settles its alert if that changes it.
fn judge(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    (reaches, clear_delay): (&[Reach], Duration),
    evidence: Evidence<impl FnOnce() -> Trigger>,
) {
    let Evidence { source, sample, delayed, trigger } = evidence;
    let found = patient.track_index(&effective.rule.id, source);
    let Some(index) = found.or_else(|| begin(patient, effective, source, reaches)) else { return };
    let held = &mut patient.tracks[index];
    let before = (held.track.active(), held.track.is_unconfirmed());
    held.last = Some(sample.measured_at);
    let onset = held.track.judge(reaches, clear_delay, sample);
    let is_news = (held.track.active(), held.track.is_unconfirmed()) != before;
    if is_news && sample.weight == Weight::Full && source != Source::Patient {
        // What tells of another level says too that its data is back.
        held.is_lost = false;
    }
    if held.track.is_at_rest() {
        patient.tracks.remove(index);
    }
    if is_news {
        let cause =
            Cause { onset: onset.unwrap_or(sample.measured_at), trigger: trigger(), delayed };
        settle::settle(patient, cx, effective, cause);
    }
}

/// A track for a rule that was at rest, if there is anything to track.
fn begin(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    reaches: &[Reach],
) -> Option<usize> {
    let is_needed = reaches.iter().any(|reach| reach.breaches);
    is_needed.then(|| track(patient, effective, source))
}

/// The index of the track of a rule on a source, new if it was at rest.
pub(super) fn track(patient: &mut Patient, effective: &EffectiveRule, source: Source) -> usize {
    patient.track_index(&effective.rule.id, source).unwrap_or_else(|| {
        patient.tracks.push(RuleTrack {
            rule: effective.rule.id.clone(),
            source,
            provenance: (effective.scope, effective.version),
            track: Track::default(),
            last: None,
            is_lost: false,
            began: Attentive::NEVER,
            rests_on: 0,
        });
        patient.tracks.len() - 1
    })
}

fn trigger(source: Source, seen: Seen) -> Trigger {
    let Source::Channel(_, vital) = source else { return Trigger::Timer };
    Trigger::Readings(vec![deciding(vital, seen.measured_at, seen.value)])
}

/// A reading as an event names it.
pub(super) fn deciding(vital: Vital, measured_at: Timestamp, value: Quantity) -> DecidingReading {
    DecidingReading { measured_at, vital, value: value_of(vital, value) }
}

fn settle_all(patient: &mut Patient, cx: &mut Context<'_>, rules: Vec<RuleId>, cause: &Cause) {
    for rule in rules {
        if let Some(effective) = cx.rules.get(&rule) {
            settle::settle(patient, cx, effective, cause.clone());
        }
    }
}

/// The patient's rules have changed. What no rule judges any more goes, and with it what it held
/// open; a rule that merely changed goes on in its new form, with what is active of it, until
/// readings end it.
pub(super) fn adapt(patient: &mut Patient, cx: &mut Context<'_>, trigger: &Trigger) {
    let rules = cx.rules;
    patient.tracks.retain_mut(|held| {
        let Some(effective) = rules.get(&held.rule) else { return false };
        let provenance = (effective.scope, effective.version);
        if held.provenance != provenance {
            held.provenance = provenance;
            held.track.adapt(levels(effective));
        }
        rules.judges(&held.rule, held.source) && !held.track.is_at_rest()
    });
    history::adapt(patient, rules);
    late::adapt(patient, rules);
    // A rule that is new may watch for what a device has said already.
    for device in patient.devices.clone() {
        status::note_faults(patient, cx, device);
    }
    settle::resettle(patient, cx, trigger);
    // What a score is made of may be too old by the new rule already.
    score::expire(patient, cx, trigger);
}

/// How a condition persists that is not judged by gaps between readings.
const fn at_once(delay: Duration) -> Persistence {
    Persistence::Sustained(Sustained { delay, max_gap: profile::DELAY_MAX })
}
