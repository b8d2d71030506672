//! Late readings: what they would have raised is told once, and over.
//!
//! Readings that arrive too late to act on fold by themselves, in the order of their arrival, in a
//! small state of their own: one [`Fold`] a limit rule and channel, kept only while it says
//! something. They neither end, retract nor raise a live alert (V8). An alert that they would have
//! raised is emitted once, marked, without signal, already over; how they were cut into batches does
//! not change which. If they end in breach, and lead up to a live reading, their onset is handed on
//! to the live condition *when that reading is judged*, and no sooner: until then later ones may
//! still say that the breach was over.
//!
//! What happened while a live alert of the rule was open is in that alert already, and is not
//! told again. Trends, baselines and scores do not look at late readings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::DecidingReading;
use super::alerts::settle::{self, RetrospectiveBreach};
use super::context::Context;
use super::patient::{Patient, Source};
use super::profile::{EffectiveRule, Persistence, Scope};
use super::rules::track::{LateRun, Reach, Sample, Track, Weight};
use super::rules::{Seen, deciding};
use crate::clock::Timestamp;
use crate::vitals::{Quantity, RuleId};

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
    /// When the first was measured that came since a live reading of the channel was judged.
    first: Option<Timestamp>,
    /// When the last one was measured.
    last: Timestamp,
    /// How many levels, from the lowest, it was beyond.
    breached: u8,
    /// What it said.
    value: Quantity,
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
        return;
    }
    // A dip after a live breach that is pending matters to what late readings hand on to it.
    let breaches = reaches.iter().any(|reach| reach.breaches);
    let is_of_use = breaches || is_pending(patient, effective, source);
    let Some(mut fold) = take(patient, effective, source, is_of_use) else { return };
    if fold.is_of_another_run(reaches, seen.measured_at) {
        tell(patient, cx, effective, &mut fold);
        fold.begin_again();
    }
    let previous = (fold.last != Timestamp::MIN).then_some(fold.last);
    fold.first.get_or_insert(seen.measured_at);
    let sample = Sample {
        measured_at: seen.measured_at,
        previous,
        weight: if seen.weight == Weight::Doubtful { seen.weight } else { Weight::Full },
    };
    let before = fold.track.active();
    let onset = fold.track.judge(reaches, clear_delay, sample);
    if before > 0 && fold.track.active() == 0 {
        fold.last = seen.measured_at;
        tell(patient, cx, effective, &mut fold);
        fold.breach = None;
    }
    (fold.last, fold.value) = (seen.measured_at, seen.value);
    if sample.weight == Weight::Full {
        let breached = reaches.iter().take_while(|reach| reach.breaches).count();
        fold.breached = u8::try_from(breached).expect("at most LEVELS_MAX levels");
    }
    if let (Some(onset), Source::Channel(_, vital)) = (onset, source) {
        let decided_by = deciding(vital, seen.measured_at, seen.value);
        let (level, first) = (fold.track.active() - 1, fold.breach.as_ref());
        let onset = first.map_or(onset, |first| first.onset);
        let is_told = first.is_some_and(|first| first.is_told);
        fold.breach = Some(Breach { onset, level, decided_by, is_told });
    }
    put(patient, effective, fold);
}

/// A late reading without a value: what was pending among the late ones begins again.
pub(super) fn miss(patient: &mut Patient, source: Source, measured_at: Timestamp) {
    let folds = patient.late.iter_mut().flat_map(|late| &mut late.folds);
    for fold in folds.filter(|fold| fold.source == source && fold.last < measured_at) {
        fold.track.break_off();
        (fold.last, fold.breached) = (measured_at, 0);
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
        breached: 0,
        value: Quantity::default(),
        breach: None,
    })
}

fn put(patient: &mut Patient, effective: &EffectiveRule, fold: Fold) {
    if fold.track.is_at_rest() && !is_pending(patient, effective, fold.source) {
        if patient.late.as_ref().is_some_and(|late| late.folds.is_empty()) {
            patient.late = None;
        }
        return;
    }
    let late = patient.late.get_or_insert_default();
    if late.folds.len() == FOLDS_MAX {
        late.folds.remove(0);
    }
    late.folds.push(fold);
}

impl Fold {
    /// Whether a reading measured then begins another run: one from before this run, or so long after
    /// it that no level's breach goes on.
    fn is_of_another_run(&self, reaches: &[Reach], measured_at: Timestamp) -> bool {
        measured_at <= self.last || reaches.iter().all(|reach| self.is_apart(reach, measured_at))
    }

    fn is_apart(&self, reach: &Reach, measured_at: Timestamp) -> bool {
        match reach.persistence {
            Persistence::Sustained(sustained) => measured_at.since(self.last) > sustained.max_gap,
            Persistence::Spot(_) => false,
        }
    }

    fn begin_again(&mut self) {
        self.track = Track::default();
        (self.first, self.last, self.breached) = (None, Timestamp::MIN, 0);
        self.breach = None;
    }

    fn run(&self) -> LateRun<'_> {
        let onset = self.breach.as_ref().map(|breach| breach.onset);
        LateRun { track: &self.track, onset, breached: self.breached.into(), first: self.first }
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
    };
    settle::tell_retrospective(patient, cx, effective, breach.level, told);
}

/// The late readings of a batch are folded: tells what they left in breach.
pub(super) fn conclude(patient: &mut Patient, cx: &mut Context<'_>) {
    let Some(mut late) = patient.late.take() else { return };
    late.folds.retain_mut(|fold| {
        let Some(effective) = cx.rules.get(&fold.rule) else { return false };
        tell(patient, cx, effective, fold);
        true
    });
    if !late.folds.is_empty() {
        patient.late = Some(late);
    }
}

/// A live reading is about to be judged by a rule, `heard_before` being the newest before it. Where
/// late readings lead up to it, the live condition goes on from them: gives the reading that came
/// before it in measured time, which is one of theirs.
pub(super) fn hand_on(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    (reaches, sample): (&[Reach], Sample),
    heard_before: Timestamp,
) -> Option<Timestamp> {
    let is_it = |it: &&mut Fold| it.source == source && it.rule == effective.rule.id;
    let mut late = patient.late.take()?;
    let handed_on = late.folds.iter_mut().find(is_it).and_then(|fold| {
        let leads_up = heard_before <= fold.last && fold.last < sample.measured_at;
        if leads_up && fold.breached > 0 {
            let index = super::rules::track(patient, effective, source);
            patient.tracks[index].track.go_on_from(fold.run(), reaches, sample);
        }
        fold.first = None;
        (leads_up && fold.breached > 0).then_some(fold.last)
    });
    patient.late = Some(late);
    handed_on
}
