//! What a command was answered, in the form in which it is remembered.
//!
//! As bytes an answer takes a third of what it takes as a value. They are postcard's, behind the
//! version of the checkpoint's blob that holds them; whoever restores one has read them.

use serde::{Deserialize, Serialize};

use crate::engine::alerts::AlertEvent;
use crate::engine::output::{
    BindingRow, Done, RedrivenMessage, RegistryChange, Reject, RejectedReading,
};
use crate::vitals::{PatientId, PatientKey, SiteId};

/// An answer to a command: see [`Done`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) enum Answer {
    /// [`Done::Registry`]
    Registry(Box<RegistryChange>, Option<PatientId>, Option<SiteId>),
    /// [`Done::Replaced`]
    Replaced(BindingRow, BindingRow, PatientId),
    /// [`Done::Alert`]
    Alert(Box<AlertEvent>),
    /// [`Done::Redriven`]
    Redriven(RedrivenMessage, Vec<Reject>),
    /// [`Done::Recorded`]
    Recorded(u32, u32, Vec<RejectedReading>),
    /// [`Done::Erased`], of which the patient's row holds all that may be kept.
    Erased(PatientKey),
}

impl Answer {
    /// Of what was done; `None` if nothing was.
    pub(super) fn of(done: &Done) -> Option<Self> {
        Some(match done.clone() {
            Done::Registry { change, patient, site } => {
                Self::Registry(Box::new(change), patient, site)
            }
            Done::Replaced { ended, began, patient } => Self::Replaced(ended, began, patient),
            Done::Alert(event) => Self::Alert(event),
            Done::Redriven { told, refusals } => Self::Redriven(told, refusals),
            Done::Recorded { accepted, duplicate, rejected } => {
                Self::Recorded(accepted, duplicate, rejected)
            }
            Done::Erased(erased) => Self::Erased(erased.tombstone.key),
            Done::DeviceReport(_)
            | Done::Found(_)
            | Done::Audited { .. }
            | Done::Profile(_)
            | Done::Live(_) => return None,
        })
    }

    /// What was done, as it was told then; `None` for an erasure.
    pub(super) fn done(self) -> Option<Done> {
        Some(match self {
            Self::Registry(change, patient, site) => {
                Done::Registry { change: *change, patient, site }
            }
            Self::Replaced(ended, began, patient) => Done::Replaced { ended, began, patient },
            Self::Alert(event) => Done::Alert(event),
            Self::Redriven(told, refusals) => Done::Redriven { told, refusals },
            Self::Recorded(accepted, duplicate, rejected) => {
                Done::Recorded { accepted, duplicate, rejected }
            }
            Self::Erased(_) => return None,
        })
    }

    /// Who was erased.
    pub(super) const fn erased(&self) -> Option<PatientKey> {
        match self {
            Self::Erased(key) => Some(*key),
            _ => None,
        }
    }
}
