//! Answers to commands and queries: for who asked, never journaled.

use super::{BindingRow, Erased, RedrivenMessage, RegistryChange, Reject, RejectedReading};
use crate::clock::Timestamp;
use crate::engine::alerts::AlertEvent;
use crate::engine::profile::Violation;
use crate::engine::query::{DeviceReport, Found, FoundProfile, LivePage};
use crate::vitals::{PatientId, SiteId};

/// The answer to a command, given once the command is durable, or to a query, given once
/// everything that it is based on is. Not journaled.
pub type Reply = Result<Done, Refusal>;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The registry's row as it stands now.
    Registry {
        /// The row.
        change: RegistryChange,
        /// For a binding: whose it is or was, by id, because a caller who unbinds names the
        /// device only.
        patient: Option<PatientId>,
        /// For a patient: where they are, by id.
        site: Option<SiteId>,
    },
    /// A device took another's place.
    Replaced {
        /// The binding that ended.
        ended: BindingRow,
        /// The one that began.
        began: BindingRow,
        /// Whose they are.
        patient: PatientId,
    },
    /// What happened to an alert, with the alert as it stands now.
    Alert(Box<AlertEvent>),
    /// A message was sent through the intake again.
    Redriven {
        /// How that went.
        told: RedrivenMessage,
        /// What was refused again.
        refusals: Vec<Reject>,
    },
    /// Readings measured by hand were taken.
    Recorded {
        /// Readings admitted.
        accepted: u32,
        /// Readings that had been admitted before.
        duplicate: u32,
        /// Readings refused.
        rejected: Vec<RejectedReading>,
    },
    /// A patient was erased.
    Erased(Box<Erased>),
    /// What a query found of a device. Nothing was done.
    DeviceReport(Box<DeviceReport>),
    /// What a query found in the registry. Nothing was done.
    Found(Box<Found>),
    /// A call that was no command is on record.
    Audited {
        /// The number of its event in the chain.
        number: u64,
    },
    /// What a query found of profiles. Nothing was done.
    Profile(Box<FoundProfile>),
    /// What was measured last. Nothing was done.
    Live(Box<LivePage>),
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What it names does not exist, or not for this caller.
    #[error("no {kind} {id:?}")]
    NotFound {
        /// `site`, `patient`, `device` or `profile`.
        kind: &'static str,
        /// The id that was named.
        id: String,
    },
    /// What it would add is there already.
    #[error("{kind} {id:?} exists already")]
    AlreadyExists {
        /// `site`, `patient` or `device`.
        kind: &'static str,
        /// The id that was named.
        id: String,
    },
    /// It doesn't fit the state of things.
    #[error("{description}")]
    FailedPrecondition {
        /// Machine-readable, such as `DEVICE_BOUND`.
        reason: &'static str,
        /// For people: what stands in the way and what to do.
        description: String,
    },
    /// What it was based on has changed meanwhile.
    #[error("{description}")]
    Aborted {
        /// Machine-readable, such as `PROFILE_CHANGED`.
        reason: &'static str,
        /// For people: what has changed and what to do.
        description: String,
    },
    /// Its content is wrong.
    #[error("{} violations", .0.len())]
    InvalidArgument(Vec<Violation>),
    /// The engine panicked on it before: our own bug. It is not tried again.
    #[error(
        "the service broke down on this request before and does not try it again; tell the \
         service's makers"
    )]
    Poisoned,
    /// There is no room to put on record who reads, so that nothing may be read.
    #[error(
        "the service's disk is full, so that nobody's reading can be put on record; what changes \
         something still goes on"
    )]
    JournalFull,
    /// The caller's role does not allow it.
    #[error("role {role:?} may not {action}")]
    PermissionDenied {
        /// The caller's role.
        role: crate::engine::input::Role,
        /// What was asked, such as `put profiles`.
        action: &'static str,
    },
    /// Somebody else has acknowledged the alert already.
    #[error("{by} has acknowledged the alert already, at {at}")]
    AlertAcknowledged {
        /// The subject of their token.
        by: String,
        /// When.
        at: Timestamp,
        /// The revision of the alert as it stands.
        revision: u32,
    },
    /// Its caller gave its id to another request, which was carried out.
    #[error(
        "request_id {id:?} was given to another request, which was carried out; give each request \
         an id of its own"
    )]
    RequestReused {
        /// The id.
        id: String,
    },
}

impl Refusal {
    /// Why, for programs: stable words, of which clients and the audit log make use.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::NotFound { kind, .. } => format!("{}_NOT_FOUND", kind.to_uppercase()),
            Self::AlreadyExists { kind, .. } => format!("{}_EXISTS", kind.to_uppercase()),
            Self::FailedPrecondition { reason, .. } | Self::Aborted { reason, .. } => {
                (*reason).to_owned()
            }
            Self::InvalidArgument(_) => "INVALID_FIELDS".to_owned(),
            Self::Poisoned => "POISONED".to_owned(),
            Self::JournalFull => "JOURNAL_FULL".to_owned(),
            Self::PermissionDenied { .. } => "ROLE_NOT_ALLOWED".to_owned(),
            Self::AlertAcknowledged { .. } => "ALERT_ACKNOWLEDGED".to_owned(),
            Self::RequestReused { .. } => "REQUEST_ID_REUSED".to_owned(),
        }
    }
}
