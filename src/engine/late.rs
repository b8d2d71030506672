//! Late readings: what they would have raised is told once, and over.
//!
//! Readings that arrive too late to act on fold by themselves, in the order of their arrival, in a
//! small state of their own: one [`Fold`] a limit rule and channel, kept only while it says
//! something. They neither end, retract nor raise a live alert (V8). An alert that they would have
//! raised is emitted once, marked, without signal, already over. If they end in breach, and lead
//! up to the live readings, the onset passes to the live condition, so that the next contiguous
//! breaching reading raises with signal.
//!
//! What happened while a live alert of the rule was open is in that alert already, and is not
//! told again. Trends, baselines and scores do not look at late readings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::DecidingReading;
use super::alerts::settle::{self, RetrospectiveBreach};
use super::attention::Attentive;
use super::context::Context;
use super::patient::{Patient, RuleTrack, Source};
use super::profile::{EffectiveRule, Scope};
use super::rules::track::{Reach, Sample, Track, Weight};
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
    /// When the last one was measured.
    last: Timestamp,
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
    let breaches = reaches.iter().any(|reach| reach.breaches);
    let Some(mut fold) = take(patient, effective, source, breaches) else { return };
    if seen.measured_at <= fold.last {
        // Another run of late readings, from before this one: it has nothing to do with it.
        tell(patient, cx, effective, &mut fold);
        fold.begin_again();
    }
    let previous = (fold.last != Timestamp::MIN).then_some(fold.last);
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
    if let (Some(onset), Source::Channel(_, vital)) = (onset, source) {
        let decided_by = deciding(vital, seen.measured_at, seen.value);
        let (level, first) = (fold.track.active() - 1, fold.breach.as_ref());
        let onset = first.map_or(onset, |first| first.onset);
        let is_told = first.is_some_and(|first| first.is_told);
        fold.breach = Some(Breach { onset, level, decided_by, is_told });
    }
    put(patient, fold);
}

/// Whether a live alert of the rule covers that time: late readings add nothing to it.
fn is_known(patient: &Patient, effective: &EffectiveRule, measured_at: Timestamp) -> bool {
    patient.alert_index(&effective.rule.id).is_some_and(|open| {
        let alert = &patient.alerts[open].alert;
        alert.onset <= measured_at && alert.ended_at.is_none_or(|ended| measured_at <= ended)
    })
}

/// Takes the fold out of the patient's state, or begins one if there is a breach to follow.
fn take(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    breaches: bool,
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
    breaches.then(|| Fold {
        rule: effective.rule.id.clone(),
        source,
        provenance,
        track: Track::default(),
        last: Timestamp::MIN,
        value: Quantity::default(),
        breach: None,
    })
}

fn put(patient: &mut Patient, fold: Fold) {
    if fold.track.is_at_rest() {
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
    fn begin_again(&mut self) {
        self.track = Track::default();
        self.last = Timestamp::MIN;
        self.breach = None;
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

/// The late readings of a batch are folded: tells what they left in breach, and passes the onset
/// on to the live condition where they lead up to it.
pub(super) fn conclude(patient: &mut Patient, cx: &mut Context<'_>) {
    let Some(late) = patient.late.take() else { return };
    let mut kept = Vec::new();
    for mut fold in late.folds {
        let Some(effective) = cx.rules.get(&fold.rule) else { continue };
        tell(patient, cx, effective, &mut fold);
        if !hand_over(patient, &fold) {
            kept.push(fold);
        }
    }
    if !kept.is_empty() {
        patient.late = Some(Box::new(Late { folds: kept }));
    }
}

/// Whether the breach passed to the live condition: nothing live was measured since.
fn hand_over(patient: &mut Patient, fold: &Fold) -> bool {
    let Source::Channel(device, vital) = fold.source else { return false };
    let Some(index) = patient.channel_index(device, vital) else { return false };
    let channel = &mut patient.channels[index];
    if channel.newest > fold.last {
        return false;
    }
    let onset = fold.breach.as_ref().map(|breach| breach.onset);
    // The live readings go on where the late ones ended.
    (channel.judged_at, channel.value) = (fold.last, fold.value);
    channel.newest = fold.last;
    channel.is_broken = false;
    let live = patient.track_index(&fold.rule, fold.source);
    let live = live.unwrap_or_else(|| {
        patient.tracks.push(RuleTrack {
            rule: fold.rule.clone(),
            source: fold.source,
            provenance: fold.provenance,
            track: Track::default(),
            is_lost: false,
            began: Attentive::NEVER,
            rests_on: 0,
        });
        patient.tracks.len() - 1
    });
    patient.tracks[live].track.inherit(&fold.track, onset);
    true
}
