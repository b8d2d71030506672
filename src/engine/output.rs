//! What an input led to: the only thing that followers ever see.
//!
//! Outputs say all that a follower needs, so that none of them decides anything. They stand in
//! the journal beside their input and are never computed again once they stand there. Answers are
//! not among them: they are for the caller alone, and kept nowhere ([`Reply`]).

mod erased;
mod registry;
mod reply;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::erased::{Erased, Worn};
pub use self::registry::{BindingRow, DeviceRow, PatientRow, ProfileRow, RegistryChange, SiteRow};
pub use self::reply::{Done, Refusal, Reply};
use super::alerts::AlertEvent;
use super::audit::AuditEvent;
use crate::clock::Timestamp;
use crate::position::MessageId;
use crate::vitals::{
    DeviceId, DeviceKey, PatientId, PatientKey, Quantity, SiteId, Unit, Value, Vital,
};

/// One thing that an input led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A reading was admitted for a patient.
    Reading(Reading),
    /// An alert started, changed or ended.
    Alert(Box<AlertEvent>),
    /// A message, or one reading of it, was refused. The payload stands in the entry's input.
    Reject(Box<Reject>),
    /// The registry changed.
    Registry(Box<RegistryChange>),
    /// A gateway is to be told what became of a batch.
    Verdict(Box<Verdict>),
    /// A patient is watched otherwise than before.
    Monitoring(Box<MonitoringChange>),
    /// A message that had been refused was sent through the intake again. What was refused of it
    /// again are outputs of the same entry.
    Redriven(Box<RedrivenMessage>),
    /// Where the account of a device's intake stands.
    DeviceSequences(Box<DeviceSequences>),
    /// What has come from a device, exactly.
    DeviceNumbers(DeviceNumbers),
    /// Somebody read or changed something, or tried to.
    Audit(Box<AuditEvent>),
    /// A patient was erased.
    Erased(Box<Erased>),
}

/// A message that was sent through the intake again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedrivenMessage {
    /// Which.
    pub message: MessageId,
    /// The how manyth redrive of the journal it was, from 1.
    pub number: u64,
    /// Readings admitted.
    pub accepted: u32,
    /// Readings that had been admitted before.
    pub duplicate: u32,
    /// Readings refused again; 1 if the message was refused as a whole.
    pub refused: u32,
}

/// A reading that counts for a patient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When it was measured, by the device's clock.
    pub measured_at: Timestamp,
    /// Whose.
    pub patient: PatientKey,
    /// What measured it.
    pub device: DeviceKey,
    /// What was measured.
    pub vital: Vital,
    /// What it says.
    pub value: Value,
    /// What is to be known about its worth.
    pub quality: Quality,
    /// What arrived, if that was in another unit than the vital's.
    pub original: Option<(Quantity, Unit)>,
    /// The span before `measured_at` that it is about, if it is about one, as steps are.
    pub interval: Option<Duration>,
    /// What was measured together with it has the same number; 0 if it stands alone.
    pub measurement_id: u32,
}

/// Flags about a reading's worth; the `quality` column holds the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality(pub u16);

impl Quality {
    /// The device itself doubts it.
    pub const QUESTIONABLE: Self = Self(1);
    /// Outside the range that is plausible in an adult.
    pub const IMPLAUSIBLE: Self = Self(1 << 1);
    /// A number by which a monitor says that it has no sensor, such as 0 or -1.
    pub const NO_SENSOR: Self = Self(1 << 2);
    /// Older than the binding's live window, marked historical, or out of order.
    pub const LATE: Self = Self(1 << 3);
    /// Measured ahead of the service's clock, within tolerance.
    pub const CLOCK_AHEAD: Self = Self(1 << 4);
    /// From a test, not from a patient.
    pub const TEST: Self = Self(1 << 5);
    /// From a demonstration.
    pub const DEMO: Self = Self(1 << 6);
    /// Of the same device, vital and time as another reading, and saying something else.
    pub const AMENDED: Self = Self(1 << 7);
    /// From a device whose clock was never set, so that its time is not to be trusted.
    pub const CLOCK_UNSET: Self = Self(1 << 8);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The account of a device's intake, as it stands after a message. It is told when something
/// unusual happened, and otherwise now and then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSequences {
    /// Which device.
    pub device: DeviceKey,
    /// The start it counts in now; 0 if it keeps no numbers.
    pub boot_id: u64,
    /// The highest number of that start that has come, if any has.
    pub highest_seq: Option<u64>,
    /// Numbers below it that have not come.
    pub missing: u64,
    /// How much there was since it was enrolled.
    pub counts: IntakeCounts,
    /// What happened since the account was told before.
    pub events: SequenceEvents,
    /// When anything was received from it last.
    pub last_seen_at: Timestamp,
    /// How far its clock is ahead of the service's, in milliseconds; negative if behind.
    pub clock_skew_ms: Option<i32>,
}

/// What has come from a device, exactly as a duplicate is told by it. Told with every message that
/// changed it, so that who holds the readings also holds what they were admitted by: a state that is
/// rebuilt from the store admits none of them twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNumbers {
    /// Which device.
    pub device: DeviceKey,
    /// When the newest reading admitted from it was measured; no binding may reach behind that.
    pub newest: Option<Timestamp>,
    /// Its boots, marks and gaps, packed; begins with the version of that form. Empty if it keeps
    /// no numbers.
    pub packed: Bytes,
}

/// How much of what came from a device, since it was enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeCounts {
    /// Readings admitted.
    pub accepted: u64,
    /// Readings that had come before.
    pub duplicate: u64,
    /// Readings admitted that came after a later one.
    pub reordered: u64,
    /// Readings refused, and messages refused as a whole.
    pub rejected: u64,
    /// Readings admitted that say something else than another of their vital and time.
    pub amended: u64,
    /// Starts of the device after the first that was heard of.
    pub restarted: u64,
    /// Gaps in its numbers that opened.
    pub gap: u64,
    /// How often two gaps were taken for one, because there were too many to be kept apart.
    pub gap_overflow: u64,
    /// Fields in its messages that this version doesn't know, and ignored.
    pub unknown_field: u64,
}

impl IntakeCounts {
    pub(super) fn add(&mut self, events: &SequenceEvents, rejected: u64) {
        let SequenceEvents { in_order, reordered, duplicate, amended, restarted, gap } = *events;
        self.accepted += u64::from(in_order) + u64::from(reordered);
        self.reordered += u64::from(reordered);
        self.duplicate += u64::from(duplicate);
        self.amended += u64::from(amended);
        self.restarted += u64::from(restarted);
        self.gap += u64::from(gap);
        self.rejected += rejected;
    }
}

/// What happened to the order of a device's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceEvents {
    /// Readings admitted in order.
    pub in_order: u32,
    /// Readings admitted that came after a later one.
    pub reordered: u32,
    /// Readings that had come before.
    pub duplicate: u32,
    /// Of those admitted, the ones that amend another.
    pub amended: u32,
    /// Starts of the device.
    pub restarted: u32,
    /// Gaps that opened.
    pub gap: u32,
}

/// How a patient is watched, from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitoringChange {
    /// Who.
    pub patient: PatientId,
    /// The same, by number.
    pub patient_key: PatientKey,
    /// Where they are.
    pub site: SiteId,
    /// How.
    pub state: MonitoringState,
    /// Since when.
    pub since: Timestamp,
    /// Where they were before, if they were transferred: who sees only that site has seen the last
    /// of them.
    pub moved_from: Option<SiteId>,
}

/// How a patient is watched. Numbers are those of protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum MonitoringState {
    /// Readings arrive and every rule on what the devices measure can fire.
    Monitored = 1,
    /// Some vitals are silent, or some rules cannot fire on the patient's devices.
    Partial = 2,
    /// Signals are paused.
    Paused = 3,
    /// No rule is in force.
    LimitsOff = 4,
    /// No device is bound.
    NoDevice = 5,
    /// A device is bound and no reading arrives.
    NoData = 6,
}

impl MonitoringState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Monitored,
        Self::Partial,
        Self::Paused,
        Self::LimitsOff,
        Self::NoDevice,
        Self::NoData,
    ];

    /// Its name in the store and in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitored => "monitored",
            Self::Partial => "partial",
            Self::Paused => "paused",
            Self::LimitsOff => "limits_off",
            Self::NoDevice => "no_device",
            Self::NoData => "no_data",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Monitored,
            Self::Partial,
            Self::Paused,
            Self::LimitsOff,
            Self::NoDevice,
            Self::NoData,
        ];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The topic it came on.
    pub topic: String,
    /// Which reading of the batch, from 0; `None` if the whole message was refused.
    pub index: Option<u32>,
    /// Why.
    pub reason: RejectReason,
    /// What exactly, for the gateway's maker. Never a vital's value or a patient's id.
    pub detail: String,
    /// How many readings it stands for. More than one only in the last refusals of a message that
    /// has more than [`Reject::LISTED_MAX`]: one for those that were refused for what they are, and
    /// one for those that may be admitted later.
    pub count: u32,
}

impl Reject {
    /// Refusals of one message that are listed one by one; the rest becomes two more at most.
    /// Bounds what a small message of many bad readings leaves behind.
    pub const LISTED_MAX: usize = 100;
}

/// Why something was refused. A closed list; numbers are those of protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RejectReason {
    /// The payload is not the message of its topic, or the topic is none of the contract's.
    MalformedPayload = 1,
    /// The vital is not one of the contract's.
    UnknownVital = 2,
    /// The unit is unknown, missing where it must be said, or does not measure the vital.
    UnknownUnit = 3,
    /// The quantity is NaN or infinite.
    NotANumber = 4,
    /// No value and no reason for its absence.
    NoValue = 5,
    /// A value that no patient can have.
    ImpossibleValue = 6,
    /// No device of this id is enrolled.
    UnknownDevice = 7,
    /// The device is enrolled at another site.
    WrongSite = 8,
    /// The device was bound to nobody when it measured.
    UnboundDevice = 9,
    /// Measured more than 30 s ahead of the service's clock.
    ClockAhead = 10,
    /// Measured longer ago than readings are kept.
    TooOld = 11,
    /// The payload is over the limit.
    TooLarge = 12,
    /// The batch has too many readings.
    TooManyReadings = 13,
    /// The service broke down on the message before, and has not read it again.
    Poisoned = 14,
}

impl RejectReason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::MalformedPayload,
        Self::UnknownVital,
        Self::UnknownUnit,
        Self::NotANumber,
        Self::NoValue,
        Self::ImpossibleValue,
        Self::UnknownDevice,
        Self::WrongSite,
        Self::UnboundDevice,
        Self::ClockAhead,
        Self::TooOld,
        Self::TooLarge,
        Self::TooManyReadings,
        Self::Poisoned,
    ];

    /// Its name in metric labels, logs and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedPayload => "malformed_payload",
            Self::UnknownVital => "unknown_vital",
            Self::UnknownUnit => "unknown_unit",
            Self::NotANumber => "not_a_number",
            Self::NoValue => "no_value",
            Self::ImpossibleValue => "impossible_value",
            Self::UnknownDevice => "unknown_device",
            Self::WrongSite => "wrong_site",
            Self::UnboundDevice => "unbound_device",
            Self::ClockAhead => "clock_ahead",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::TooManyReadings => "too_many_readings",
            Self::Poisoned => "poisoned",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// What became of a batch, for the gateway that sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Site part of the batch's topic.
    pub site: SiteId,
    /// Device part of the batch's topic.
    pub device: DeviceId,
    /// The batch's boot id.
    pub boot_id: u64,
    /// The batch's first sequence number.
    pub first_seq: u64,
    /// Readings admitted.
    pub accepted: u32,
    /// Readings that had been admitted before, or refused before for what they are.
    pub duplicate: u32,
    /// Readings refused; at most [`Verdict::REJECTED_MAX`] are listed.
    pub rejected: Vec<RejectedReading>,
    /// Readings refused, the unlisted included.
    pub rejected_total: u32,
    /// Correlation data of the batch.
    pub correlation: Option<Bytes>,
    /// The encoding of the batch, in which it is answered.
    pub json: bool,
}

impl Verdict {
    /// A verdict lists no more refusals than this.
    pub const REJECTED_MAX: usize = 100;
}

/// One refused reading of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedReading {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    pub reason: RejectReason,
    /// What exactly.
    pub detail: String,
}
