//! Questions about the registry: a site, a patient, a device, and the bindings of a device.
//!
//! Who was on a patient in the past is not kept by patient here: that is for the store to say.

use super::super::input::{Principal, Role};
use super::super::output::{BindingRow, DeviceRow, Done, PatientRow, Refusal, SiteRow};
use super::super::registry::{allow, find_device, find_patient, find_site};
use super::super::state::State;
use crate::vitals::{DeviceId, PatientId, SiteId};

/// A question about the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryQuestion {
    /// What is known of a site.
    Site(SiteId),
    /// What is known of a patient.
    Patient(PatientId),
    /// What is known of a device.
    Device(DeviceId),
    /// Who has worn a device.
    Bindings(BindingsQuestion),
}

/// Asks for bindings of a device, latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingsQuestion {
    /// The device.
    pub device: DeviceId,
    /// Only from among its first so many; `None` for all. New ones are always the last, so that
    /// pages don't shift.
    pub among: Option<u32>,
    /// At most so many.
    pub limit: u32,
}

/// What a question about the registry found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A site.
    Site(SiteRow),
    /// A patient, and their site.
    Patient(PatientRow, SiteId),
    /// A device, and its site.
    Device(DeviceRow, SiteId),
    /// Bindings.
    Bindings(Bindings),
    /// What a message's part in a request was answered, if it was carried out.
    Redriven(Option<Box<Done>>),
}

/// Bindings of a device, with their patients, latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// Those of this page.
    pub bindings: Vec<(BindingRow, PatientId)>,
    /// Among how many of the device's first the next page is to be looked for; `None` after the
    /// last.
    pub next_among: Option<u32>,
}

/// Answers a question about the registry.
pub(super) fn answer(
    state: &State,
    caller: &Principal,
    question: &RegistryQuestion,
) -> Result<Found, Refusal> {
    let roles = [Role::Viewer, Role::Clinician, Role::DeviceAdmin, Role::Admin];
    allow(caller, "read the registry", &roles)?;
    Ok(match question {
        RegistryQuestion::Site(id) => {
            Found::Site(state.site(find_site(state, caller, id)?).row.clone())
        }
        RegistryQuestion::Patient(id) => {
            let row = state.patient(find_patient(state, caller, id)?).row.clone();
            let site = state.site(row.site).row.id.clone();
            Found::Patient(row, site)
        }
        RegistryQuestion::Device(id) => {
            let row = state.device(find_device(state, caller, id)?).row.clone();
            let site = state.site(row.site).row.id.clone();
            Found::Device(row, site)
        }
        RegistryQuestion::Bindings(question) => Found::Bindings(bindings(state, caller, question)?),
    })
}

/// A patient who has moved out of the caller's sites takes their bindings along.
fn bindings(
    state: &State,
    caller: &Principal,
    question: &BindingsQuestion,
) -> Result<Bindings, Refusal> {
    let all = &state.device(find_device(state, caller, &question.device)?).bindings;
    let among = question.among.map_or(all.len(), |among| all.len().min(among as usize));
    let mut visible = all[..among].iter().enumerate().rev().filter_map(|(place, binding)| {
        let patient = &state.patient(binding.patient).row;
        let is_visible = caller.sites.include(&state.site(patient.site).row.id);
        is_visible.then(|| (place, (binding.clone(), patient.id.clone())))
    });
    let page: Vec<_> = visible.by_ref().take(question.limit as usize).collect();
    let next = visible.next().map(|(place, _)| u32::try_from(place + 1));
    Ok(Bindings {
        bindings: page.into_iter().map(|(_, binding)| binding).collect(),
        next_among: next.map(|among| among.expect("a device has few bindings")),
    })
}
