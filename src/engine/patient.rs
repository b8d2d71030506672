//! A patient's state: the channels that measure them, and their open alerts.
//!
//! A [`Channel`] is one vital of one device. It keeps the order of its readings and, for each rule
//! that judges it, where the rule stands. Everything here is plain state of the engine, kept in
//! checkpoints; `rules` and `alerts` change it.

use serde::{Deserialize, Serialize};

use super::alerts::Alert;
use super::output::PatientRow;
use super::profile::{EffectiveRule, RuleKind, Scope, VersionedProfile};
use super::rules::RuleSet;
use super::rules::limit::Track;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, RuleId, Vital};

/// One patient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Patient {
    /// Who they are.
    pub(super) row: PatientRow,
    /// Their own rules, if they have any.
    pub(super) profile: Option<VersionedProfile>,
    /// What measures them, in the order in which it first did.
    pub(super) channels: Vec<Channel>,
    /// Their open alerts, in the order in which they were raised; one a rule at most.
    pub(super) alerts: Vec<Alert>,
    /// How many alerts they have had: part of the next one's id.
    pub(super) occurrences: u32,
}

/// One vital of one device, while it is bound to a patient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Channel {
    /// The device.
    pub(super) device: DeviceKey,
    /// The vital.
    pub(super) vital: Vital,
    /// When the newest of its readings was measured: one measured no later is out of order.
    pub(super) newest: Timestamp,
    /// When the newest one that the rules judged was measured, unless an absent value came since.
    pub(super) judged: Option<Timestamp>,
    /// The rules that judge it.
    pub(super) tracks: Vec<RuleTrack>,
}

/// Where a rule stands on a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RuleTrack {
    /// The rule.
    pub(super) rule: RuleId,
    /// Whose rule it was when it last judged, and in which version: if that changed, the track
    /// is adapted before it goes on.
    pub(super) provenance: (Scope, u32),
    /// Where it stands.
    pub(super) track: Track,
}

impl Patient {
    /// A patient who has not been measured yet.
    pub(super) const fn new(row: PatientRow) -> Self {
        Self { row, profile: None, channels: Vec::new(), alerts: Vec::new(), occurrences: 0 }
    }

    /// The channel of this vital of this device, if it has measured.
    pub(super) fn channel(&self, device: DeviceKey, vital: Vital) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.device == device && channel.vital == vital)
    }

    /// The index of the channel for a reading measured at `measured_at`, which is its newest.
    pub(super) fn channel_for(
        &mut self,
        device: DeviceKey,
        vital: Vital,
        measured_at: Timestamp,
    ) -> usize {
        let found = self.channels.iter().position(|c| c.device == device && c.vital == vital);
        let index = found.unwrap_or_else(|| {
            let tracks = Vec::new();
            self.channels.push(Channel {
                device,
                vital,
                newest: measured_at,
                judged: None,
                tracks,
            });
            self.channels.len() - 1
        });
        self.channels[index].newest = measured_at;
        index
    }

    /// The channel on which a rule stands highest, and how many of its levels are active there.
    pub(super) fn worst(&self, rule: &RuleId) -> Option<(DeviceKey, Vital, usize)> {
        let standing = |channel: &Channel| {
            let track = channel.tracks.iter().find(|track| track.rule == *rule)?;
            Some((channel.device, channel.vital, track.track.active()))
        };
        // The first of equals, so that the answer does not depend on who measured last.
        self.channels
            .iter()
            .filter_map(standing)
            .reduce(|worst, other| if other.2 > worst.2 { other } else { worst })
    }
}

impl RuleTrack {
    fn adapt(&mut self, effective: &EffectiveRule) {
        let provenance = (effective.scope, effective.version);
        if self.provenance == provenance {
            return;
        }
        self.provenance = provenance;
        if let RuleKind::Limit(limit) = &effective.rule.kind {
            self.track.adapt(limit);
        }
    }
}

impl Channel {
    /// Where `effective` stands on this channel, adapted to its present form, and how many levels
    /// were active before that.
    pub(super) fn track(&mut self, effective: &EffectiveRule) -> (&mut Track, usize) {
        let provenance = (effective.scope, effective.version);
        let found = self.tracks.iter().position(|track| track.rule == effective.rule.id);
        let index = found.unwrap_or_else(|| {
            let rule = effective.rule.id.clone();
            self.tracks.push(RuleTrack { rule, provenance, track: Track::default() });
            self.tracks.len() - 1
        });
        let standing = &mut self.tracks[index];
        let before = standing.track.active();
        standing.adapt(effective);
        (&mut standing.track, before)
    }

    /// Adapts every rule's standing to the rule's present form.
    pub(super) fn adapt(&mut self, rules: &RuleSet) {
        for standing in &mut self.tracks {
            if let Some(effective) = rules.get(&standing.rule) {
                standing.adapt(effective);
            }
        }
    }

    /// An absent value: every rule's pending breach begins again.
    pub(super) fn break_off(&mut self) {
        self.judged = None;
        for standing in &mut self.tracks {
            standing.track.break_off();
        }
    }
}
