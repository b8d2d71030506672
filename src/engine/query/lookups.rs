//! Questions about the registry: one thing by its id, or many by the page.

use super::super::input::{Principal, Role};
use super::super::output::{DeviceRow, Done, PatientRow, Refusal, SiteRow};
use super::super::registry::{allow, find_device, find_patient, find_site};
use super::super::state::State;
use super::bindings::{self, Bindings, BindingsQuestion};
use super::lists::{self, DevicesQuestion, Page, PatientsQuestion, SitesQuestion};
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
    /// Who has worn a device, or what a patient has worn.
    Bindings(BindingsQuestion),
    /// Which sites there are.
    Sites(SitesQuestion),
    /// Which patients there are.
    Patients(PatientsQuestion),
    /// Which devices there are.
    Devices(DevicesQuestion),
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
    /// Sites.
    Sites(Page<SiteRow, SiteId>),
    /// Patients, and their sites.
    Patients(Page<(PatientRow, SiteId), PatientId>),
    /// Devices, and their sites.
    Devices(Page<(DeviceRow, SiteId), DeviceId>),
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
        RegistryQuestion::Bindings(question) => {
            Found::Bindings(bindings::answer(state, caller, question)?)
        }
        RegistryQuestion::Sites(question) => Found::Sites(lists::sites(state, caller, question)),
        RegistryQuestion::Patients(question) => {
            Found::Patients(lists::patients(state, caller, question)?)
        }
        RegistryQuestion::Devices(question) => {
            Found::Devices(lists::devices(state, caller, question)?)
        }
    })
}
