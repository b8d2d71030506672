//! Alerts: the life of an alarm condition, and of the signal that tells of it, as followers see it.
//!
//! Two machines (IEC 60601-1-8): the *condition* is what the patient's data says, the *signal* is
//! whom it has reached. Nothing a person does ends a condition; no reading takes a signal back
//! that nobody has answered, if its rule latches. Promises:
//!
//! - at most one live open alert per (patient, rule) (V4), and every start has at most one end;
//! - loss of data makes an alert indeterminate and never ends it, late data neither ends nor
//!   retracts nor raises it again (V8);
//! - each event carries the whole alert as it stands after it, so that a follower overwrites what
//!   it holds and decides nothing.
//!
//! The id of an alert is a UUIDv5 of what makes it itself, so that a replay gives the same one.
//! `life` holds the steps of one alert, `settle` brings a patient's alerts in line with where
//! their rules stand, `work` is what clinicians do, `flood` keeps one patient from drowning the
//! ward.

pub(crate) mod flood;
mod life;
pub(super) mod reconcile;
pub(super) mod settle;
pub(super) mod work;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::life::{Moment, Open, Policy, Standing, Subject};
use super::profile::Scope;
use crate::clock::Timestamp;
use crate::vitals::{
    Acvpu, DeviceId, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, Value, Vital,
};

/// Namespace of alert ids: a UUID of our own, drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_52d3_0f0b_4b6e_9d55_7c1f_34a8_e2b7);

/// Identity of an alert: UUIDv5 of (patient, rule, onset, occurrence, live or retrospective).
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
    /// About the patient, or about the equipment.
    pub kind: AlertKind,
    /// Whose; `None` for an alert of a gateway or of the service itself.
    pub patient: Option<PatientId>,
    /// The same, by number.
    pub patient_key: Option<PatientKey>,
    /// Where the patient or the gateway is; `None` for an alert of the service itself.
    pub site: Option<SiteId>,
    /// The device whose readings make its level; `None` where no single one does.
    pub device: Option<DeviceId>,
    /// The rule that raised it.
    pub rule: RuleId,
    /// The version of the profile in which the rule got the form it has now; 0 for rules of the
    /// service itself.
    pub rule_version: u32,
    /// Whose limit it is.
    pub scope: Scope,
    /// The vital; `None` for scores and technical alerts without one.
    pub vital: Option<Vital>,
    /// The limit in force at the level it has, in the vital's canonical unit; for a score, the
    /// total.
    pub limit: Option<Quantity>,
    /// For a score: what it was made of.
    pub score: Option<Box<ScoreSummary>>,
    /// Its priority now, or when it ended.
    pub priority: Priority,
    /// What the patient's data says now.
    pub condition: Condition,
    /// Whom it has reached.
    pub signal: Signal,
    /// Measured time of the first breaching reading; for technical alerts, when it began.
    pub onset: Timestamp,
    /// Receipt of the input that raised it.
    pub raised_at: Timestamp,
    /// When the condition ended: measured time of the reading that ended it, if one did.
    pub ended_at: Option<Timestamp>,
    /// Raised by late readings only: it was over when it became known, and never signalled.
    pub retrospective: bool,
    /// Raised or escalated by a reading that arrived late and was the newest.
    pub delayed: bool,
    /// Rests on implausible readings that nothing has confirmed.
    pub unconfirmed: bool,
    /// How far the unacknowledged alert has been passed on, from 0.
    pub escalation_level: u8,
    /// Who takes care of it.
    pub assignee: Option<String>,
    /// How many others it stands for: patients of a gateway or of the service, alerts of a flood,
    /// inputs that were refused unread.
    pub covered: u32,
    /// How many events it has had; the etag that alarm work must show.
    pub revision: u32,
    /// The revision in which its priority last rose: who has seen an older one has not seen this
    /// alert.
    pub risen_in: u32,
}

impl Alert {
    /// Whether it is over: its condition has ended and no signal waits to be reset.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.condition == Condition::Inactive && self.signal == Signal::Off
    }
}

/// Whether an alert is about the patient or about the equipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertKind {
    /// A patient's vital or score.
    Physiological,
    /// A device, a gateway, or the service's own intake.
    Technical,
}

/// What the patient's data says of an alarm condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It holds.
    Active,
    /// It no longer holds.
    Inactive,
    /// It held when its data stopped.
    Indeterminate,
}

/// Whom an alert has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// No signal.
    Off,
    /// Signalling.
    On,
    /// A clinician has taken note: off until the condition ends or escalates.
    Acknowledged,
    /// Off for a while, by wall time.
    Paused {
        /// When it comes back.
        until: Timestamp,
    },
    /// The condition has ended; the signal waits to be reset.
    Latched,
}

/// What a score was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// The sum of the parameters that are known: a lower bound while one is missing.
    pub total: u8,
    /// The band that the total and its parameters are in.
    pub risk: Risk,
    /// Each parameter that counts, its points, and when it was measured.
    pub parameters: Vec<(Vital, u8, Timestamp)>,
    /// Parameters that are missing or too old.
    pub missing: Vec<Vital>,
    /// Whether it is not known that the patient is 16 or over.
    pub age_unknown: bool,
    /// Whether it is not known that the patient is not pregnant.
    pub pregnancy_unknown: bool,
}

/// How soon someone must look by NEWS2, from least to most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Risk {
    /// A total of 0 to 4.
    Low,
    /// The same, with one parameter alone at 3.
    LowMedium,
    /// A total of 5 or 6: urgent response.
    Medium,
    /// A total of 7 or more: emergency response.
    High,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// What.
    pub phase: Phase,
    /// When it was decided: receipt of the input, or the deadline of the timer.
    pub determined_at: Timestamp,
    /// What decided it.
    pub trigger: Trigger,
    /// The priority before it, if the alert was open: who watches only higher priorities must
    /// still learn that an alert has left them.
    pub priority_before: Option<Priority>,
    /// Who asked for it, if a person did: the subject of their token.
    pub actor: Option<String>,
    /// What they said.
    pub note: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Phase {
    /// The condition began. A retrospective alert has this one event, and is over with it.
    Start = 1,
    /// It reached a higher priority.
    Escalate = 2,
    /// It fell to a lower priority.
    Deescalate = 3,
    /// The condition ended by readings.
    End = 4,
    /// It was closed without readings: its device was unbound, its rule is gone, or its patient was
    /// erased.
    Close = 5,
    /// Something else about it changed: its device, limit or rule, its assignee, a note, or its
    /// data came back.
    Update = 6,
    /// A clinician acknowledged it.
    Acknowledge = 7,
    /// Its signal was paused.
    Pause = 8,
    /// The pause expired or was ended.
    Resume = 9,
    /// It was not acknowledged in time and is passed on to the next escalation level.
    Remind = 10,
    /// Its data stopped, or its device was replaced.
    Indeterminate = 11,
    /// A clinician reset the latched signal.
    Reset = 12,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Escalate,
        Self::Deescalate,
        Self::End,
        Self::Close,
        Self::Update,
        Self::Acknowledge,
        Self::Pause,
        Self::Resume,
        Self::Remind,
        Self::Indeterminate,
        Self::Reset,
    ];

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
            Self::Acknowledge => "acknowledge",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remind => "remind",
            Self::Indeterminate => "indeterminate",
            Self::Reset => "reset",
        }
    }
}

/// What decided an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Readings: one for a limit, all parameters for a score.
    Readings(Vec<DecidingReading>),
    /// The device was unbound from the patient.
    Unbound,
    /// The rule changed, or is no longer in force for the patient.
    RuleChanged,
    /// A clinician asked for it.
    Request,
    /// Time passed.
    Timer,
    /// The device was replaced, or the patient transferred.
    Transfer,
    /// A new version of the engine judges the same readings differently.
    EngineChanged,
    /// A device's status, or what it says of its sensor.
    DeviceStatus,
    /// The link to the broker, or the service itself, was down or came back.
    Ingest,
    /// It stands for, or is covered by, another alert.
    Grouping,
    /// The data directory was lost, and the alert rebuilt from the store.
    Restored,
    /// The patient was erased.
    Erased,
}

impl Trigger {
    /// All of them, that of readings without any.
    pub const ALL: [Self; 12] = [
        Self::Readings(Vec::new()),
        Self::Unbound,
        Self::RuleChanged,
        Self::Request,
        Self::Timer,
        Self::Transfer,
        Self::EngineChanged,
        Self::DeviceStatus,
        Self::Ingest,
        Self::Grouping,
        Self::Restored,
        Self::Erased,
    ];

    /// The readings that decided it, if any did.
    #[must_use]
    pub fn readings(&self) -> &[DecidingReading] {
        match self {
            Self::Readings(readings) => readings,
            _ => &[],
        }
    }

    /// Its name in the store.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Readings(_) => "reading",
            Self::Unbound => "unbound",
            Self::RuleChanged => "rule_changed",
            Self::Request => "request",
            Self::Timer => "timer",
            Self::Transfer => "transfer",
            Self::EngineChanged => "engine_changed",
            Self::DeviceStatus => "device_status",
            Self::Ingest => "ingest",
            Self::Grouping => "grouping",
            Self::Restored => "restored",
            Self::Erased => "erased",
        }
    }
}

/// A reading that decided an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidingReading {
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What was measured.
    pub vital: Vital,
    /// What it said, in the vital's canonical unit.
    pub value: Value,
}

/// How channels keep a level of consciousness among their quantities: by its number.
pub(super) fn value_of(vital: Vital, quantity: Quantity) -> Value {
    if vital != Vital::Consciousness {
        return Value::Quantity(quantity);
    }
    let number = i32::try_from(quantity.ten_thousandths() / 10_000).unwrap_or(0);
    Acvpu::from_number(number).map_or(Value::Quantity(quantity), Value::Consciousness)
}

/// The id of an alert.
fn identify(
    subject: &str,
    rule: &RuleId,
    onset: Timestamp,
    occurrence: u32,
    retrospective: bool,
) -> AlertId {
    let tense = if retrospective { "retrospective" } else { "live" };
    let name = format!("{subject}/{rule}/{}/{occurrence}/{tense}", onset.micros());
    AlertId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}
