//! Everything that may change the engine's state, in the one order in which it happened.
//!
//! If the engine reads something, it stands here: there is no other way in. An [`Input`] is kept
//! in the journal as it arrived (a publish with its raw payload), so that a replay, also by a
//! newer engine, sees what this one saw.

mod request;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::request::{InvalidRequestId, Repeatable, RequestId};
use super::alerts::{Alert, AlertId};
use super::audit::{Access, Head, Origin};
use super::output::RejectReason;
use super::profile::{Eligibility, Profile};
use super::restore::Chunk;
use crate::clock::Timestamp;
use crate::position::MessageId;
use crate::vitals::{DeviceId, PatientId, SiteId, Vital};

/// One thing that happened, and when the service received it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Receipt, never earlier than that of the input before.
    pub received_at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The kinds of inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The service started and has replayed its journal.
    Started {
        /// Receipt of the last input before, if there was one.
        last_alive: Option<Timestamp>,
    },
    /// The settings that the engine heeds, at start and on every reload.
    Settings(Settings),
    /// Time passed.
    Tick,
    /// The link to the MQTT broker changed.
    Link(Link),
    /// A message arrived from the broker.
    Publish(Publish),
    /// A caller asks for a change.
    Command(Box<Command>),
    /// The engine that replayed the journal decides otherwise than the one that wrote it: these
    /// are the alerts that followers believe to be open.
    Reconcile(Vec<Alert>),
    /// An input arrived on which the engine has panicked before. It is refused unread.
    Poisoned(Poisoned),
    /// Whether messages are taken from the broker changed.
    Intake(Intake),
    /// A caller read something, or was refused before there was a command.
    Access(Box<Access>),
    /// The engine that replayed the journal tells otherwise of who did what than the one that wrote
    /// it: this is where the chain of audit events ends that followers know.
    AuditHead(Head),
    /// A part of what the store held when the journal before this one was lost. Such inputs come
    /// before every other.
    Restored(Box<Chunk>),
}

impl Event {
    /// Its kind in metric labels and in what is told to people.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Settings(_) => "settings",
            Self::Tick => "tick",
            Self::Link(_) => "link",
            Self::Publish(_) => "publish",
            Self::Command(_) => "command",
            Self::Reconcile(_) => "reconcile",
            Self::Poisoned(_) => "poisoned",
            Self::Intake(_) => "intake",
            Self::Access(_) => "access",
            Self::AuditHead(_) => "audit_head",
            Self::Restored(_) => "restored",
        }
    }

    /// The bytes of the payload that it carries: what makes an input large.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Publish(publish) | Self::Poisoned(Poisoned::Publish(publish)) => {
                publish.payload.len()
            }
            Self::Command(command) | Self::Poisoned(Poisoned::Command(command)) => {
                match &command.action {
                    Action::Redrive(redrive) => redrive.publish.payload.len(),
                    Action::RecordReadings { readings, .. } => readings.len(),
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// The message, if it is one, read or not.
    #[must_use]
    pub const fn message(&self) -> Option<&Publish> {
        match self {
            Self::Publish(publish) | Self::Poisoned(Poisoned::Publish(publish)) => Some(publish),
            _ => None,
        }
    }
}

/// An input that was set aside, because the engine panicked on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Poisoned {
    /// A message from the broker.
    Publish(Publish),
    /// A caller's command.
    Command(Box<Command>),
}

/// The part of the configuration that the engine heeds. Bounds of what it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Payloads over this many bytes are refused. Default 1 MiB.
    pub payload_bytes_max: u32,
    /// Batches of more readings are refused. Default 10,000.
    pub batch_readings_max: u32,
    /// Readings measured longer ago are refused. Default 30 days.
    pub retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            batch_readings_max: 10_000,
            retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// A change of the link to the MQTT broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// Connected.
    Up {
        /// Whether the broker still had our session. If it had not, messages published while we
        /// were away may be lost.
        session_present: bool,
    },
    /// The connection is gone.
    Down,
    /// What piled up while it was gone has been taken in.
    CaughtUp,
}

/// A change of whether messages are taken, whatever the link to the broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intake {
    /// The journal is full: what arrives is left to the broker.
    Held,
    /// There is room again, and what piled up is coming.
    Resumed,
}

/// A message from the broker, unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Its topic, as the broker gave it.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// The encoding that its MQTT 5 content type declares, if it declares one.
    pub encoding: Option<Encoding>,
    /// MQTT 5 correlation data, echoed in the verdict.
    pub correlation: Option<Bytes>,
    /// Whether the broker had retained it.
    pub retained: bool,
}

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// `application/protobuf`
    Protobuf,
    /// `application/json`: the proto3 JSON mapping of the same messages.
    Json,
}

/// A change that a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Who asks, verified.
    pub principal: Principal,
    /// The change.
    pub action: Action,
    /// Where it came from.
    pub origin: Origin,
    /// What tells it again should it be repeated, if the caller wants that.
    pub request: Option<Repeatable>,
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Their stable name: the token's `sub`.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// Where they may do it.
    pub sites: Sites,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Read vitals and alerts.
    Viewer,
    /// And work on alerts, profiles of patients, and readings taken by hand.
    Clinician,
    /// Sites' devices, patients and bindings.
    DeviceAdmin,
    /// Everything, the audit log included.
    Admin,
    /// The audit log.
    Auditor,
}

/// The sites that a caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sites {
    /// All of them.
    All,
    /// These.
    Only(Vec<SiteId>),
}

impl Sites {
    /// Whether `site` is among them.
    #[must_use]
    pub fn include(&self, site: &SiteId) -> bool {
        match self {
            Self::All => true,
            Self::Only(sites) => sites.contains(site),
        }
    }
}

/// The changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Adds a site.
    CreateSite {
        /// Its id, new.
        site: SiteId,
        /// For people.
        display_name: String,
        /// IANA time zone, for display and schedules; the engine itself knows UTC only.
        time_zone: String,
    },
    /// Adds a patient to a site.
    CreatePatient {
        /// Its id, new.
        patient: PatientId,
        /// The site.
        site: SiteId,
    },
    /// Adds a device to a site.
    CreateDevice {
        /// Its id, new.
        device: DeviceId,
        /// The site.
        site: SiteId,
    },
    /// Binds a device to a patient.
    BindDevice(NewBinding),
    /// Ends a device's binding.
    UnbindDevice {
        /// The device.
        device: DeviceId,
        /// From when on it is nobody's; receipt if not given.
        at: Option<Timestamp>,
    },
    /// Says what scores must know of a patient.
    UpdatePatient {
        /// Who.
        patient: PatientId,
        /// What.
        eligibility: Eligibility,
        /// What was said before, if the caller says: another one's change is not overwritten
        /// unseen.
        expected: Option<Eligibility>,
    },
    /// Puts another device in the place of a patient's.
    ReplaceDevice(Replacement),
    /// Moves a patient with their devices to another site.
    TransferPatient {
        /// Who.
        patient: PatientId,
        /// Where to.
        site: SiteId,
    },
    /// Pauses all alarm signals of a patient, or ends the pause.
    PausePatient {
        /// Who.
        patient: PatientId,
        /// Until when; `None` ends the pause.
        until: Option<Timestamp>,
        /// Why, for people.
        reason: Option<String>,
    },
    /// Works on an alert.
    WorkOnAlert {
        /// Which.
        alert: AlertId,
        /// How.
        action: AlertAction,
    },
    /// Replaces the profile of a scope.
    PutProfile {
        /// Whose.
        owner: ProfileOwner,
        /// All of its rules.
        profile: Profile,
        /// The version it replaces, 0 for none, if the caller says: another one in force is not
        /// overwritten unseen.
        expected_version: Option<u32>,
    },
    /// Sends a refused message through the intake again.
    Redrive(Redrive),
    /// Takes readings that a person measured by hand.
    RecordReadings {
        /// Whose.
        patient: PatientId,
        /// A `ReadingBatch` in protobuf that holds nothing but the readings, as they were given.
        readings: Bytes,
    },
    /// Erases a patient.
    ErasePatient {
        /// Who.
        patient: PatientId,
        /// Only if they were added before this: an id that was erased is free, and may be another
        /// patient's by now.
        added_before: Option<Timestamp>,
    },
}

/// A refused message, as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// Which message.
    pub message: MessageId,
    /// The message as it came.
    pub publish: Publish,
    /// When it came.
    pub received_at: Timestamp,
    /// Which of its readings were refused; none if it was refused as a whole.
    pub refused: Vec<RefusedSpan>,
    /// How many redrives the store knew of when it said that the message had not been sent
    /// through again.
    pub redrives_stored: u64,
}

/// Readings of a message that were refused. Where there are as many of them from `first` on as the
/// message has readings, or only one, it is known which; else only that there were so many. All of
/// them were refused for what they are, or all of them may be admitted once something else is put
/// right: which, the reason tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSpan {
    /// The first of them, by its place in the message.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Why the first of them was.
    pub reason: RejectReason,
}

/// What a clinician does with an alert. A revision is that of the alert as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertAction {
    /// Stops the signal until the condition ends or reaches a higher priority.
    Acknowledge {
        /// As it was seen.
        revision: u32,
        /// For the others.
        note: Option<String>,
    },
    /// Stops the signal for a time.
    Pause {
        /// As it was seen.
        revision: u32,
        /// For how long, by wall time.
        duration: Duration,
        /// For the others.
        note: Option<String>,
    },
    /// Clears the latched signal of a condition that has ended.
    Reset {
        /// As it was seen.
        revision: u32,
    },
    /// Says who takes care of it.
    Assign {
        /// Who; `None` for nobody.
        assignee: Option<String>,
        /// As it was seen, if the caller says: it is not taken from whom it was given to since.
        revision: Option<u32>,
    },
    /// Adds a note.
    AddNote {
        /// What.
        note: String,
    },
}

/// A device to be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The device that is bound.
    pub device: DeviceId,
    /// The one that takes its place.
    pub new_device: DeviceId,
    /// From when on; receipt if not given.
    pub at: Option<Timestamp>,
    /// How the new one measures and sends; as the old one if not given.
    pub schedule: Option<Schedule>,
}

/// A binding to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBinding {
    /// The device.
    pub device: DeviceId,
    /// The patient who wears it.
    pub patient: PatientId,
    /// Readings measured from here on are the patient's; receipt if not given.
    pub from: Option<Timestamp>,
    /// How it measures and sends.
    pub schedule: Schedule,
}

/// How far ahead a binding may begin: who prepares tomorrow's round may, a mistyped year may not.
pub const BIND_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How a bound device measures and sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Schedule {
    /// The longest regular time between measuring and sending. Readings older than this plus two
    /// minutes are late.
    pub upload_interval: Duration,
    /// How often it measures each vital that it measures.
    pub expected_intervals: Vec<(Vital, Duration)>,
}

/// Whose profile, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileOwner {
    /// Everyone's default.
    Default,
    /// A site's.
    Site(SiteId),
    /// A patient's.
    Patient(PatientId),
}
