//! Alerts: the life of an alarm condition from its start to its end, as followers see it.
//!
//! Promises: at most one live open alert per (patient, rule) (V4); each event carries the whole
//! alert as it stands after it, so that a follower overwrites what it holds and decides nothing.
//! The id of an alert is a UUIDv5 of what makes it itself, so that a replay gives the same one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::output::Output;
use super::patient::Patient;
use super::profile::{EffectiveRule, Scope};
use super::rules::{self, RuleSet};
use crate::clock::Timestamp;
use crate::vitals::{
    DeviceId, DeviceKey, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, Vital,
};

/// Namespace of alert ids: a UUID of our own, drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_52d3_0f0b_4b6e_9d55_7c1f_34a8_e2b7);

/// Identity of an alert: UUIDv5 of (patient, rule, onset, occurrence, live).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId(pub Uuid);

impl std::fmt::Display for AlertId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for AlertId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An alert as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its identity.
    pub id: AlertId,
    /// Whose.
    pub patient: PatientId,
    /// The same, by number.
    pub patient_key: PatientKey,
    /// Where the patient is.
    pub site: SiteId,
    /// The device whose readings make its level.
    pub device: DeviceId,
    /// The rule that raised it.
    pub rule: RuleId,
    /// The version of the profile that held the rule when it was raised.
    pub rule_version: u32,
    /// Whose limit it was.
    pub scope: Scope,
    /// The vital.
    pub vital: Vital,
    /// The limit in force at the level it has, in the vital's canonical unit.
    pub limit: Quantity,
    /// Its priority now.
    pub priority: Priority,
    /// What the patient's data says now.
    pub condition: Condition,
    /// Measured time of the first breaching reading.
    pub onset: Timestamp,
    /// Receipt of the input that raised it.
    pub raised_at: Timestamp,
    /// Measured time of the reading that ended it.
    pub ended_at: Option<Timestamp>,
    /// How many events it has had; the etag that alarm work must show.
    pub revision: u32,
}

/// What the patient's data says of an alarm condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It holds.
    Active,
    /// It no longer holds.
    Inactive,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// What.
    pub phase: Phase,
    /// Receipt of the input that decided it.
    pub determined_at: Timestamp,
    /// What decided it.
    pub trigger: Trigger,
    /// The priority before it, if the alert was open: who watches only higher priorities must
    /// still learn that an alert has left them.
    pub priority_before: Option<Priority>,
    /// The alert after it.
    pub alert: Alert,
}

impl AlertEvent {
    /// Whether it concerns who watches `priority` and above.
    #[must_use]
    pub fn concerns(&self, priority: Priority) -> bool {
        self.alert.priority >= priority
            || self.priority_before.is_some_and(|before| before >= priority)
    }
}

/// What can happen to an alert. IHE ACM event phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Phase {
    /// The condition began.
    Start = 1,
    /// It reached a higher priority.
    Escalate = 2,
    /// It fell to a lower priority.
    Deescalate = 3,
    /// The condition ended by readings.
    End = 4,
    /// It was closed without readings: its device was unbound, or its rule is gone.
    Close = 5,
    /// Its device, limit or rule changed, and its priority did not.
    Update = 6,
}

impl Phase {
    /// Its name in the store and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Escalate => "escalate",
            Self::Deescalate => "deescalate",
            Self::End => "end",
            Self::Close => "close",
            Self::Update => "update",
        }
    }

    /// Whether an alert is over after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::End | Self::Close)
    }
}

/// What decided an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// A reading.
    Reading {
        /// When it was measured.
        measured_at: Timestamp,
        /// Its value, in the vital's canonical unit.
        value: Quantity,
    },
    /// The device was unbound from the patient.
    Unbound,
    /// The rule changed, or is no longer in force for the patient.
    RuleChanged,
}

/// The names that an alert carries beside its keys, at the receipt of the input being applied.
pub(super) struct Wearer<'a> {
    /// Where the patient is.
    pub(super) site: &'a SiteId,
    /// Receipt of the input.
    pub(super) now: Timestamp,
    /// The id of a device.
    pub(super) device_id: &'a dyn Fn(DeviceKey) -> DeviceId,
}

/// Brings the alert of a limit rule in line with where the rule stands on the patient's channels,
/// and says what changed. `onset` is that of the breach, should an alert start.
pub(super) fn settle(
    patient: &mut Patient,
    effective: &EffectiveRule,
    wearer: &Wearer<'_>,
    onset: Timestamp,
    trigger: Trigger,
    outputs: &mut Vec<Output>,
) {
    let standing = standing(patient, effective, wearer);
    let open = patient.alerts.iter().position(|alert| alert.rule == effective.rule.id);
    match (standing, open) {
        (Some(standing), None) => {
            let alert = start(patient, effective, wearer, onset, standing);
            patient.alerts.push(alert.clone());
            emit(Phase::Start, None, wearer, trigger, alert, outputs);
        }
        (Some(standing), Some(open)) => {
            let alert = &mut patient.alerts[open];
            let before = alert.priority;
            let Some(phase) = alert.follow(effective, standing) else { return };
            let alert = alert.clone();
            emit(phase, Some(before), wearer, trigger, alert, outputs);
        }
        (None, Some(open)) => finish(patient, open, wearer, trigger, outputs),
        (None, None) => {}
    }
}

/// Where a rule stands highest on a patient.
struct Standing {
    device: DeviceId,
    vital: Vital,
    priority: Priority,
    limit: Quantity,
}

/// `None` if the rule's condition holds on no channel. Every track was adapted to the rule when
/// the rule changed, so that a level that is active is one that the rule has.
fn standing(patient: &Patient, effective: &EffectiveRule, wearer: &Wearer<'_>) -> Option<Standing> {
    let (device, vital, active) = patient.worst(&effective.rule.id)?;
    let levels = &rules::limit_of(effective)?.levels;
    let level = levels.get(active.min(levels.len()).checked_sub(1)?)?;
    let device = (wearer.device_id)(device);
    Some(Standing { device, vital, priority: level.priority, limit: level.limit })
}

impl Alert {
    /// Takes on where its rule stands now; says what that is, if anything changed.
    fn follow(&mut self, effective: &EffectiveRule, standing: Standing) -> Option<Phase> {
        let before = self.clone();
        let Standing { device, vital, priority, limit } = standing;
        (self.device, self.vital, self.priority, self.limit) = (device, vital, priority, limit);
        (self.rule_version, self.scope) = (effective.version, effective.scope);
        if *self == before {
            return None;
        }
        self.revision += 1;
        Some(match self.priority.cmp(&before.priority) {
            std::cmp::Ordering::Greater => Phase::Escalate,
            std::cmp::Ordering::Less => Phase::Deescalate,
            std::cmp::Ordering::Equal => Phase::Update,
        })
    }
}

fn start(
    patient: &mut Patient,
    effective: &EffectiveRule,
    wearer: &Wearer<'_>,
    onset: Timestamp,
    standing: Standing,
) -> Alert {
    let Standing { device, vital, priority, limit } = standing;
    patient.occurrences += 1;
    Alert {
        id: identify(&patient.row.id, &effective.rule.id, onset, patient.occurrences),
        patient: patient.row.id.clone(),
        patient_key: patient.row.key,
        site: wearer.site.clone(),
        device,
        rule: effective.rule.id.clone(),
        rule_version: effective.version,
        scope: effective.scope,
        vital,
        limit,
        priority,
        condition: Condition::Active,
        onset,
        raised_at: wearer.now,
        ended_at: None,
        revision: 1,
    }
}

fn identify(patient: &PatientId, rule: &RuleId, onset: Timestamp, occurrence: u32) -> AlertId {
    let name = format!("{patient}/{rule}/{}/{occurrence}/live", onset.micros());
    AlertId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

fn finish(
    patient: &mut Patient,
    open: usize,
    wearer: &Wearer<'_>,
    trigger: Trigger,
    outputs: &mut Vec<Output>,
) {
    let mut alert = patient.alerts.remove(open);
    let before = alert.priority;
    alert.condition = Condition::Inactive;
    alert.revision += 1;
    let phase = match trigger {
        Trigger::Reading { measured_at, .. } => {
            alert.ended_at = Some(measured_at);
            Phase::End
        }
        Trigger::Unbound | Trigger::RuleChanged => {
            alert.ended_at = Some(wearer.now);
            Phase::Close
        }
    };
    emit(phase, Some(before), wearer, trigger, alert, outputs);
}

fn emit(
    phase: Phase,
    priority_before: Option<Priority>,
    wearer: &Wearer<'_>,
    trigger: Trigger,
    alert: Alert,
    outputs: &mut Vec<Output>,
) {
    let event = AlertEvent { phase, determined_at: wearer.now, trigger, priority_before, alert };
    outputs.push(Output::Alert(Box::new(event)));
}

/// A device no longer measures the patient: its channels go, and with them what they held open.
pub(super) fn unbind(
    patient: &mut Patient,
    device: DeviceKey,
    rules: &RuleSet,
    wearer: &Wearer<'_>,
    outputs: &mut Vec<Output>,
) {
    patient.channels.retain(|channel| channel.device != device);
    resettle(patient, rules, wearer, Trigger::Unbound, outputs);
}

/// The patient's rules have changed. What no rule judges any more goes, and with it what it held
/// open; a rule that merely changed goes on in its new form, with what is active of it, until
/// readings end it.
pub(super) fn change_rules(
    patient: &mut Patient,
    rules: &RuleSet,
    wearer: &Wearer<'_>,
    outputs: &mut Vec<Output>,
) {
    for channel in &mut patient.channels {
        let vital = channel.vital;
        channel.tracks.retain(|track| rules.judges(track.rule.as_str(), vital));
        channel.adapt(rules);
    }
    resettle(patient, rules, wearer, Trigger::RuleChanged, outputs);
}

fn resettle(
    patient: &mut Patient,
    rules: &RuleSet,
    wearer: &Wearer<'_>,
    trigger: Trigger,
    outputs: &mut Vec<Output>,
) {
    let held: Vec<RuleId> = patient.alerts.iter().map(|alert| alert.rule.clone()).collect();
    for rule in held {
        match rules.get(&rule) {
            Some(effective) => {
                settle(patient, effective, wearer, wearer.now, trigger, outputs);
            }
            None => {
                let open = patient.alerts.iter().position(|alert| alert.rule == rule);
                finish(patient, open.expect("taken from the open ones"), wearer, trigger, outputs);
            }
        }
    }
}
