//! Late readings: what they would have raised is told once, and over.
//!
//! Readings that arrive too late to act on fold by themselves, in the order of their arrival, in a
//! small state of their own: one [`Fold`] a limit rule and channel, kept only while it says
//! something. They neither end, retract nor raise a live alert (V8). An alert that they would have
//! raised is emitted once, marked, without signal, already over; how they were cut into batches does
//! not change which. If they end in breach, and lead up to a live reading, their onset is handed on
//! to the live condition *when that reading is judged*, and no sooner: until then later ones may
//! still say that the breach was over. It reaches back no further than to the live reading before
//! that, be it one without a value: what that one said stands between.
//!
//! What happened while a live alert of the rule was open is in that alert already, and is not
//! told again: late readings of such a time end a run. Trends, baselines and scores do not look at
//! late readings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::DecidingReading;
use super::alerts::settle::{self, RetrospectiveBreach};
use super::context::Context;
use super::patient::{Patient, Source};
use super::profile::{EffectiveRule, LEVELS_MAX, Scope};
use super::rules::track::{LateRun, Reach, Sample, Track, Weight};
use super::rules::{RuleSet, Seen, deciding};
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, RuleId};

/// Folds that a patient may have at once; the oldest goes first, and is told as it stands.
const FOLDS_MAX: usize = 32;

/// What late readings have left open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Late {
    folds: Vec<Fold>,
}

/// One rule on the late readings of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fold {
    rule: RuleId,
    source: Source,
    provenance: (Scope, u32),
    track: Track,
    /// When the first was measured that came after the channel's last live reading, and since that
    /// was judged: none before it leads up to the next.
    first: Option<Timestamp>,
    /// When the last one was measured.
    last: Timestamp,
    /// The levels that the last value was beyond, as far as no gap came after it.
    breached: [bool; LEVELS_MAX],
    /// The breach that the track's active levels are of.
    breach: Option<Breach>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Breach {
    onset: Timestamp,
    /// Its highest level so far.
    level: usize,
    /// The reading that raised that.
    decided_by: DecidingReading,
    /// Whether that rests on doubtful readings only.
    is_unconfirmed: bool,
    /// Whether it was told.
    is_told: bool,
}

/// Folds a late reading into one rule.
pub(super) fn fold(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    source: Source,
    (reaches, clear_delay): (&[Reach], Duration),
    seen: Seen,
) {
    if is_known(patient, effective, seen.measured_at) {
        return end_run(patient, cx, effective, source);
    }
    // A dip after a live breach that is pending matters to what late readings hand on to it.
    let breaches = reaches.iter().any(|reach| reach.breaches);
    let is_of_use = breaches || is_pending(patient, effective, source);
    let Some(mut fold) = take(patient, effective, source, is_of_use) else { return };
    if fold.is_of_another_run(reaches, seen.measured_at) {
        tell(patient, cx, effective, &mut fold);
        fold.begin_again();
    }
    let sample = fold.follow(patient, seen);
    let before = fold.track.active();
    let onset = fold.track.judge(reaches, clear_delay, sample);
    fold.last = seen.measured_at;
    fold.note_breaches(reaches, sample);
    if let (Some(onset), Source::Channel(_, vital)) = (onset, source) {
        fold.note_breach(onset, deciding(vital, seen.measured_at, seen.value));
    }
    fold.confirm();
    if before > 0 && fold.track.active() == 0 {
        tell(patient, cx, effective, &mut fold);
        fold.breach = None;
    }
    put(patient, cx, effective, fold);
}

/// A late reading without a value: what was pending among the late ones begins again, and leads up
/// to nothing.
pub(super) fn miss(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    effective: &EffectiveRule,
    source: Source,
    (reaches, measured_at): (&[Reach], Timestamp),
) {
    if is_known(patient, effective, measured_at) {
        return end_run(patient, cx, effective, source);
    }
    let is_of_use = is_pending(patient, effective, source);
    let Some(mut fold) = take(patient, effective, source, is_of_use) else { return };
    if fold.last < measured_at {
        if fold.is_of_another_run(reaches, measured_at) {
            tell(patient, cx, effective, &mut fold);
            fold.begin_again();
        }
        fold.lead_from(patient, measured_at);
        fold.track.miss();
        (fold.last, fold.breached) = (measured_at, [false; LEVELS_MAX]);
    }
    put(patient, cx, effective, fold);
}

/// A live reading said that there is no value: what late ones said before it leads up to nothing.
pub(super) fn cut_off(patient: &mut Patient, effective: &EffectiveRule, source: Source) {
    let folds = patient.late.iter_mut().flat_map(|late| &mut late.folds);
    for fold in folds.filter(|it| it.source == source && it.rule == effective.rule.id) {
        fold.first = None;
    }
}

/// A device no longer measures the patient.
pub(super) fn take_off(patient: &mut Patient, device: DeviceKey) {
    retain(patient, |fold| fold.source.device() != Some(device));
}

/// The patient's rules have changed: what was folded by another rule says nothing by this one.
pub(super) fn adapt(patient: &mut Patient, rules: &RuleSet) {
    retain(patient, |fold| {
        let effective = rules.get(&fold.rule);
        effective.is_some_and(|it| (it.scope, it.version) == fold.provenance)
            && rules.judges(&fold.rule, fold.source)
    });
}

fn retain(patient: &mut Patient, is_kept: impl Fn(&Fold) -> bool) {
    if let Some(late) = &mut patient.late {
        late.folds.retain(is_kept);
        if late.folds.is_empty() {
            patient.late = None;
        }
    }
}

/// The run is over, if there is one: tells of it, and forgets it.
fn end_run(patient: &mut Patient, cx: &mut Context<'_>, effective: &EffectiveRule, source: Source) {
    if let Some(mut fold) = take(patient, effective, source, false) {
        tell(patient, cx, effective, &mut fold);
    }
}

/// Whether a live alert of the rule covers that time: late readings add nothing to it.
fn is_known(patient: &Patient, effective: &EffectiveRule, measured_at: Timestamp) -> bool {
    patient.alert_index(&effective.rule.id).is_some_and(|open| {
        let alert = &patient.alerts[open].alert;
        alert.onset <= measured_at && alert.ended_at.is_none_or(|ended| measured_at <= ended)
    })
}

/// Whether a live breach of the rule on this source has begun and has not lasted.
fn is_pending(patient: &Patient, effective: &EffectiveRule, source: Source) -> bool {
    let track = patient.track_index(&effective.rule.id, source);
    track.is_some_and(|index| patient.tracks[index].track.pending_since().is_some())
}

/// Takes the fold out of the patient's state, or begins one if that is of use.
fn take(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    is_of_use: bool,
) -> Option<Fold> {
    let provenance = (effective.scope, effective.version);
    if let Some(late) = &mut patient.late {
        let is_it = |it: &Fold| it.source == source && it.rule == effective.rule.id;
        if let Some(index) = late.folds.iter().position(is_it) {
            let fold = late.folds.remove(index);
            if fold.provenance == provenance {
                return Some(fold);
            }
        }
    }
    is_of_use.then(|| Fold {
        rule: effective.rule.id.clone(),
        source,
        provenance,
        track: Track::default(),
        first: None,
        last: Timestamp::MIN,
        breached: [false; LEVELS_MAX],
        breach: None,
    })
}

fn put(patient: &mut Patient, cx: &mut Context<'_>, effective: &EffectiveRule, fold: Fold) {
    if !fold.says_something(patient, effective) {
        return;
    }
    let late = patient.late.get_or_insert_default();
    let oldest = (late.folds.len() == FOLDS_MAX).then(|| late.folds.remove(0));
    late.folds.push(fold);
    if let Some(mut oldest) = oldest
        && let Some(effective) = cx.rules.get(&oldest.rule)
    {
        tell(patient, cx, effective, &mut oldest);
    }
}

impl Fold {
    /// Whether a reading measured then begins another run: one from before this run, or so long after
    /// it that no level's breach goes on.
    fn is_of_another_run(&self, reaches: &[Reach], measured_at: Timestamp) -> bool {
        measured_at <= self.last || reaches.iter().all(|reach| self.is_apart(reach, measured_at))
    }

    fn is_apart(&self, reach: &Reach, measured_at: Timestamp) -> bool {
        measured_at.since(self.last) > reach.persistence.longest_gap()
    }

    fn begin_again(&mut self) {
        self.track = Track::default();
        (self.first, self.last) = (None, Timestamp::MIN);
        self.breached = [false; LEVELS_MAX];
        self.breach = None;
    }

    /// A reading of the run as its track sees it.
    fn follow(&mut self, patient: &Patient, seen: Seen) -> Sample {
        self.lead_from(patient, seen.measured_at);
        let doubtful = seen.weight == Weight::Doubtful;
        Sample {
            measured_at: seen.measured_at,
            previous: (self.last != Timestamp::MIN).then_some(self.last),
            weight: if doubtful { Weight::Doubtful } else { Weight::Full },
        }
    }

    /// A reading measured then may lead up to the next live one, if the last live one was before it.
    fn lead_from(&mut self, patient: &Patient, measured_at: Timestamp) {
        let Source::Channel(device, vital) = self.source else { return };
        let channel = patient.channel_index(device, vital).map(|index| &patient.channels[index]);
        if channel.is_none_or(|channel| channel.judged_until() < measured_at) {
            self.first.get_or_insert(measured_at);
        }
    }

    fn note_breaches(&mut self, reaches: &[Reach], sample: Sample) {
        for (breached, reach) in self.breached.iter_mut().zip(reaches) {
            *breached = match sample.weight {
                Weight::Doubtful => *breached && sample.is_contiguous(reach),
                Weight::Full | Weight::Delayed => reach.breaches,
            };
        }
    }

    /// A level became active.
    fn note_breach(&mut self, onset: Timestamp, decided_by: DecidingReading) {
        let (level, is_unconfirmed) = (self.track.active() - 1, self.track.is_unconfirmed());
        match &mut self.breach {
            Some(breach) if breach.level >= level => {}
            Some(breach) => {
                *breach = Breach { level, decided_by, is_unconfirmed, ..breach.clone() };
            }
            None => {
                let is_told = false;
                self.breach = Some(Breach { onset, level, decided_by, is_unconfirmed, is_told });
            }
        }
    }

    /// While the highest level lasts, a reading that is not doubtful may confirm it.
    fn confirm(&mut self) {
        let track = &self.track;
        if let Some(breach) = self.breach.as_mut().filter(|breach| track.active() > breach.level) {
            breach.is_unconfirmed &= track.is_unconfirmed();
        }
    }

    /// Whether it is of use to keep it.
    fn says_something(&self, patient: &Patient, effective: &EffectiveRule) -> bool {
        !self.track.is_at_rest() || is_pending(patient, effective, self.source)
    }

    /// As far as it leads up to a live reading measured then, if it ends in breach.
    fn leading_up_to(&self, measured_at: Timestamp) -> Option<LateRun<'_>> {
        let onset = self.breach.as_ref().map(|breach| breach.onset);
        let first =
            self.first.filter(|_| self.last < measured_at && self.breached.contains(&true))?;
        let (breached, last) = (self.breached, self.last);
        Some(LateRun { track: &self.track, onset, breached, first, last })
    }
}

/// Tells of the breach, unless it was told.
fn tell(patient: &mut Patient, cx: &mut Context<'_>, effective: &EffectiveRule, fold: &mut Fold) {
    let Some(breach) = fold.breach.as_mut().filter(|breach| !breach.is_told) else { return };
    breach.is_told = true;
    let told = RetrospectiveBreach {
        source: fold.source,
        onset: breach.onset,
        ended_at: fold.last,
        decided_by: breach.decided_by,
        is_unconfirmed: breach.is_unconfirmed,
    };
    settle::tell_retrospective(patient, cx, effective, breach.level, told);
}

/// The late readings of a batch are folded: tells what they left in breach.
pub(super) fn conclude(patient: &mut Patient, cx: &mut Context<'_>) {
    let Some(mut late) = patient.late.take() else { return };
    late.folds.retain_mut(|fold| {
        let Some(effective) = cx.rules.get(&fold.rule) else { return false };
        tell(patient, cx, effective, fold);
        fold.says_something(patient, effective)
    });
    if !late.folds.is_empty() {
        patient.late = Some(late);
    }
}

/// A live reading is about to be judged by a rule. Where late readings lead up to it, the live
/// condition goes on from them: gives the reading that came before it in measured time, which is
/// one of theirs.
pub(super) fn hand_on(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    (reaches, sample): (&[Reach], Sample),
) -> Option<Timestamp> {
    let mut late = patient.late.take()?;
    let is_it = |it: &&mut Fold| it.source == source && it.rule == effective.rule.id;
    let handed_on = late.folds.iter_mut().find(is_it).and_then(|fold| {
        let handed_on = fold.leading_up_to(sample.measured_at).map(|run| {
            let index = super::rules::track(patient, effective, source);
            patient.tracks[index].track.go_on_from(run, reaches, sample);
            fold.last
        });
        fold.first = None;
        handed_on
    });
    patient.late = Some(late);
    handed_on
}
