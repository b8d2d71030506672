//! What followers would hold of a state if they had been told everything that led to it: for a store
//! that has missed entries which are gone.
//!
//! Promises: rows as an output would carry them, in an order in which none refers to one that comes
//! later, one at a time, so that a state is never in memory twice. What is over is not among them.

use super::output::{Output, ProfileRow, RegistryChange};
use super::profile::{Scope, VersionedProfile};
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey};

impl State {
    /// The registry without profiles, how patients are watched, and what came from devices.
    pub fn projection(&self) -> impl Iterator<Item = Output> {
        let sites = self.sites.iter().map(|site| RegistryChange::Site(site.row.clone()));
        let patients = self.patients.iter().map(|it| RegistryChange::Patient(it.row.clone()));
        let devices = self.devices.iter().map(|it| RegistryChange::Device(it.row.clone()));
        let bindings = self.devices.iter().flat_map(|device| &device.bindings);
        let bindings = bindings.map(|binding| RegistryChange::Binding(binding.clone()));
        let registry = sites.chain(patients).chain(devices).chain(bindings);
        let monitoring = self.monitoring().map(|change| Output::Monitoring(Box::new(change)));
        let told = self.devices.iter().flat_map(|device| {
            let account = device.account.as_told(device.row.key);
            let account = account.map(|account| Output::DeviceSequences(Box::new(account)));
            account.into_iter().chain([Output::DeviceNumbers(device.numbers())])
        });
        registry.map(|change| Output::Registry(Box::new(change))).chain(monitoring).chain(told)
    }

    /// The profiles in force.
    pub fn profiles(&self) -> impl Iterator<Item = ProfileRow> {
        let default = self.general.profile.as_deref().map(|it| (Scope::Default, it));
        let sites = self.sites.iter().filter_map(|site| {
            site.profile.as_deref().map(|profile| (Scope::Site(site.row.key), profile))
        });
        let patients = self.patients.iter().filter_map(|patient| {
            patient.profile.as_deref().map(|profile| (Scope::Patient(patient.row.key), profile))
        });
        let all = default.into_iter().chain(sites).chain(patients);
        all.map(|(scope, held): (Scope, &VersionedProfile)| held.row(scope))
    }

    /// The id of each device, by key.
    pub fn device_ids(&self) -> impl Iterator<Item = (DeviceKey, DeviceId)> {
        self.devices.iter().map(|device| (device.row.key, device.row.id.clone()))
    }

    /// How many messages were sent through the intake again.
    #[must_use]
    pub const fn redrives(&self) -> u64 {
        self.general.redrives.count()
    }

    /// How many rows the registry has.
    #[must_use]
    pub fn registered(&self) -> Registered {
        Registered {
            sites: self.sites.len(),
            patients: self.patients.len(),
            devices: self.devices.len(),
        }
    }

    /// The id under which each key is known; `None` for a key that was not given yet.
    #[must_use]
    pub fn id_of(&self, kind: RowKind, key: u32) -> Option<&str> {
        let index = key as usize;
        match kind {
            RowKind::Site => self.sites.get(index).map(|row| row.row.id.as_str()),
            RowKind::Patient => self.patients.get(index).map(|row| row.row.id.as_str()),
            RowKind::Device => self.devices.get(index).map(|row| row.row.id.as_str()),
        }
    }

    /// Where each device stands in its numbers, by key.
    pub fn device_reports(&self) -> impl Iterator<Item = DeviceIntake<'_>> {
        self.devices.iter().map(|device| {
            let standing = device.account.standing();
            DeviceIntake {
                site: self.site(device.row.site).row.id.as_str(),
                device: device.row.id.as_str(),
                patient: device.bound().map(|it| self.patient(it.patient).row.id.as_str()),
                boot_id: standing.boot_id,
                highest_seq: standing.highest,
                missing: standing.missing_count,
                newest_measured_at: device.newest,
            }
        })
    }
}

/// Rows of the registry, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Sites.
    pub sites: usize,
    /// Patients.
    pub patients: usize,
    /// Devices.
    pub devices: usize,
}

/// What has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A site.
    Site,
    /// A patient.
    Patient,
    /// A device.
    Device,
}

/// What has come from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIntake<'a> {
    /// Where it belongs.
    pub site: &'a str,
    /// The device.
    pub device: &'a str,
    /// Who wears it, if anybody does.
    pub patient: Option<&'a str>,
    /// The start it counts in now; 0 if it keeps no numbers.
    pub boot_id: u64,
    /// The highest number of that start that has come, if any has.
    pub highest_seq: Option<u64>,
    /// Numbers below it that have not come.
    pub missing: u64,
    /// When the newest reading admitted from it was measured.
    pub newest_measured_at: Option<Timestamp>,
}
