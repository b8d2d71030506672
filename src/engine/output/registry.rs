//! Changes of the registry, each with the whole row as it stands from then on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::engine::input::Schedule;
use crate::engine::profile::{Eligibility, Profile, Scope};
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, SiteKey};

/// A change of the registry, with the whole new row, so that followers overwrite what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryChange {
    /// A site, new or changed.
    Site(SiteRow),
    /// A patient, new or changed.
    Patient(PatientRow),
    /// A device, new or changed.
    Device(DeviceRow),
    /// A binding, new or ended.
    Binding(BindingRow),
    /// A profile, replaced.
    Profile(ProfileRow),
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its number.
    pub key: SiteKey,
    /// Its id.
    pub id: SiteId,
    /// For people.
    pub display_name: String,
    /// IANA time zone.
    pub time_zone: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientRow {
    /// Its number.
    pub key: PatientKey,
    /// Its id.
    pub id: PatientId,
    /// Where they are.
    pub site: SiteKey,
    /// When they were added.
    pub created_at: Timestamp,
    /// What scores must know of them.
    pub eligibility: Eligibility,
    /// Until when their signals are paused, if they are.
    pub paused_until: Option<Timestamp>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Its number.
    pub key: DeviceKey,
    /// Its id.
    pub id: DeviceId,
    /// Where it belongs.
    pub site: SiteKey,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A device's time with a patient. `(device, from)` identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRow {
    /// The device.
    pub device: DeviceKey,
    /// The patient.
    pub patient: PatientKey,
    /// Readings measured from here on, inclusive.
    pub from: Timestamp,
    /// Up to here, exclusive; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// How the device measures and sends.
    pub schedule: Arc<Schedule>,
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Whose.
    pub scope: Scope,
    /// How often this scope's profile was put.
    pub version: u32,
    /// The rules.
    pub profile: Profile,
    /// When it was put.
    pub put_at: Timestamp,
    /// Who put it.
    pub put_by: String,
}
