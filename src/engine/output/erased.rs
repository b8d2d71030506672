//! A patient who was erased: what the engine keeps of it, and what followers are to forget.

use serde::{Deserialize, Serialize};

use super::PatientRow;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, PatientId, SiteId};

/// A patient was erased. What followers hold under their number is to go, with what devices sent
/// that was refused while it could only be theirs.
///
/// The engine keeps it for ever, without the id, in the patient's place: a database that was put
/// back is told again what it is to forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Who they were; `None` where that is forgotten.
    pub patient: Option<PatientId>,
    /// Where they were.
    pub site: SiteId,
    /// What stands in their place: their number, an id that is nobody's, and when they were erased.
    pub tombstone: PatientRow,
    /// Who asked for it: the subject of their token.
    pub requested_by: String,
    /// What they wore, by device and time; of a device the times are apart.
    pub worn: Vec<Worn>,
}

/// When what came from a device can only have been about one patient, or about nobody: from the end
/// of the binding before theirs to the begin of the one after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worn {
    /// The device.
    pub device: DeviceKey,
    /// From here on, inclusive; `None` if nobody wore it before.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive. At the latest when they were erased, just after it.
    pub until: Timestamp,
}
