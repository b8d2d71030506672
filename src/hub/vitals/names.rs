//! Who goes by which id, and where they are: readings name patients and devices by number.
//!
//! Some forty bytes for each patient with a device, for the ids themselves are the engine's, shared.

use std::collections::BTreeMap;

use crate::engine::State;
use crate::engine::output::MonitoringChange;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId};

/// The names of everybody.
#[derive(Debug, Default)]
pub struct Names {
    /// By key, with the number of the site; `None` for who was erased.
    patients: Vec<Option<(PatientId, u32)>>,
    /// By key.
    devices: Vec<Option<DeviceId>>,
    /// By number, in the order in which they were first heard of.
    sites: Vec<SiteId>,
    site_numbers: BTreeMap<SiteId, u32>,
}

impl Names {
    /// Those of a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let mut names = Self::default();
        for change in state.monitoring() {
            names.place_patient(&change);
        }
        for (key, id) in state.device_ids() {
            names.add_device(key, id);
        }
        names
    }

    /// Takes note of where a patient is; gives the number of that site.
    pub(super) fn place_patient(&mut self, change: &MonitoringChange) -> usize {
        let number = self.number_of(&change.site);
        let index = change.patient_key.index();
        if self.patients.len() <= index {
            self.patients.resize(index + 1, None);
        }
        match &mut self.patients[index] {
            // The id that is held is shared with the engine.
            Some((_, site)) => *site = number,
            none => *none = Some((change.patient.clone(), number)),
        }
        number as usize
    }

    fn number_of(&mut self, site: &SiteId) -> u32 {
        if let Some(number) = self.site_numbers.get(site) {
            return *number;
        }
        let number = u32::try_from(self.sites.len()).expect("sites have keys of 32 bits");
        self.sites.push(site.clone());
        self.site_numbers.insert(site.clone(), number);
        number
    }

    /// Forgets a patient; tells who they were and where.
    pub(super) fn forget_patient(&mut self, key: PatientKey) -> Option<(PatientId, usize)> {
        let (patient, site) = self.patients.get_mut(key.index())?.take()?;
        Some((patient, site as usize))
    }

    /// Takes note of a device.
    pub(super) fn add_device(&mut self, key: DeviceKey, id: DeviceId) {
        if self.devices.len() <= key.index() {
            self.devices.resize(key.index() + 1, None);
        }
        self.devices[key.index()] = Some(id);
    }

    /// A patient, and the number of their site.
    pub(super) fn patient(&self, key: PatientKey) -> Option<(&PatientId, usize)> {
        let (patient, site) = self.patients.get(key.index())?.as_ref()?;
        Some((patient, *site as usize))
    }

    /// What measured; people have an id of their own.
    pub(super) fn device(&self, key: DeviceKey) -> DeviceId {
        if key == DeviceKey::BY_HAND {
            return DeviceId::by_hand();
        }
        let device = self.devices.get(key.index()).and_then(Option::as_ref);
        device.expect("a device is told of before its readings").clone()
    }

    /// The site of this number.
    pub(super) fn site(&self, number: usize) -> &SiteId {
        &self.sites[number]
    }
}
