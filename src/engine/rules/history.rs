//! Rules that judge a reading by those before it: trends and baselines.
//!
//! What they remember stands with the patient, one memory a rule and channel, bounded by the
//! memory itself. A trend is fed by every reading in measured order; a baseline is fed only while
//! its own rule holds no alarm condition, so that a deterioration is not learned as the usual.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::track::{Reach, Reaches, Sample};
use super::trend::Trend;
use super::{Evidence, RuleSet, Seen, at_once, judge};
use crate::engine::context::Context;
use crate::engine::patient::{Patient, Source};
use crate::engine::profile::{BaselineRule, EffectiveRule, Persistence, RuleKind, TrendRule};
use crate::vitals::{DeviceKey, Quantity, RuleId};

/// What one rule remembers of one channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::engine) struct History {
    rule: RuleId,
    source: Source,
    memory: Memory,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Memory {
    Trend(Box<Trend>),
    Baseline(Box<Baseline>),
}

impl History {
    /// What it is of.
    pub(in crate::engine) const fn source(&self) -> Source {
        self.source
    }

    /// It goes on with another device that measures the same vital of the patient.
    pub(in crate::engine) fn hand_on(&mut self, old: DeviceKey, new: DeviceKey) {
        if let Source::Channel(device, vital) = self.source
            && device == old
        {
            self.source = Source::Channel(new, vital);
        }
    }
}

/// Judges the newest reading of a channel by what came before it.
pub(super) fn observe(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    channel: usize,
    seen: Seen,
    sample: Sample,
) {
    let held = &patient.channels[channel];
    let (vital, source) = (held.vital, held.source());
    let rules = cx.rules;
    for place in &rules.judging(vital).histories {
        let effective = rules.at(*place);
        let Some((reaches, clear_delay)) = remember(patient, effective, source, seen) else {
            continue;
        };
        if !super::is_too_old(effective, seen.delayed_by) {
            let evidence = Evidence::of(source, seen, sample);
            judge(patient, cx, effective, (&reaches, clear_delay), evidence);
        }
    }
}

/// Adds the reading to what the rule remembers; gives what it says of the rule's levels.
fn remember(
    patient: &mut Patient,
    effective: &EffectiveRule,
    source: Source,
    seen: Seen,
) -> Option<(Reaches, Duration)> {
    let index = memory(patient, effective, source)?;
    let is_active = patient
        .track_index(&effective.rule.id, source)
        .is_some_and(|track| patient.tracks[track].track.active() > 0);
    match (&mut patient.histories[index].memory, &effective.rule.kind) {
        (Memory::Trend(trend), RuleKind::Trend(rule)) => {
            let change = trend.add(rule, seen.measured_at, seen.value)?;
            Some((trend_reaches(rule, change), Duration::ZERO))
        }
        (Memory::Baseline(baseline), RuleKind::Baseline(rule)) => {
            let deviation = baseline.deviation(rule, seen.value);
            if !is_active {
                baseline.add(rule, seen.measured_at, seen.value);
            }
            Some((baseline_reaches(rule, deviation?), rule.clear_delay))
        }
        _ => None,
    }
}

/// The index of what the rule remembers of the source, new if it is the first time.
fn memory(patient: &mut Patient, effective: &EffectiveRule, source: Source) -> Option<usize> {
    let is_it = |it: &History| it.source == source && it.rule == effective.rule.id;
    if let Some(index) = patient.histories.iter().position(is_it) {
        return Some(index);
    }
    let memory = match effective.rule.kind {
        RuleKind::Trend(_) => Memory::Trend(Box::default()),
        RuleKind::Baseline(_) => Memory::Baseline(Box::default()),
        _ => return None,
    };
    patient.histories.push(History { rule: effective.rule.id.clone(), source, memory });
    Some(patient.histories.len() - 1)
}

fn trend_reaches(rule: &TrendRule, change: Quantity) -> Reaches {
    let reach = |breaches, clear| Reach { breaches, clear, persistence: at_once(Duration::ZERO) };
    let levels = rule.levels.iter();
    levels.map(|level| reach(change > level.delta, change <= level.clear_delta)).collect()
}

fn baseline_reaches(rule: &BaselineRule, z: Quantity) -> Reaches {
    let levels = rule.levels.iter();
    levels
        .map(|level| Reach {
            breaches: z > level.z,
            clear: z <= level.clear_z,
            persistence: Persistence::Sustained(level.sustained),
        })
        .collect()
}

/// Forgets what no rule asks for any more.
pub(super) fn adapt(patient: &mut Patient, rules: &RuleSet) {
    patient.histories.retain(|history| rules.judges(&history.rule, history.source));
}
