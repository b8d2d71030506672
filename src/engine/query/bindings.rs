//! Questions about bindings: who has worn a device, and what a patient has worn.
//!
//! A page begins behind the last binding of the page before, by begin and device: it is found again
//! whatever was bound, unbound or erased in between. Who is where the caller may not look is left
//! out, and so is a device: one who moved away takes their bindings along.

use super::super::directory::place;
use super::super::input::Principal;
use super::super::output::{BindingRow, Refusal};
use super::super::registry::{find_device, find_patient};
use super::super::state::State;
use super::ROWS_LOOKED_AT_MAX;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientId};

/// Asks for bindings, latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingsQuestion {
    /// Of whom or what.
    pub of: BindingsOf,
    /// Only those behind this one in that order.
    pub behind: Option<(Timestamp, DeviceKey)>,
    /// At most so many.
    pub limit: u32,
}

/// Whose bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingsOf {
    /// A device's.
    Device(DeviceId),
    /// A patient's.
    Patient(PatientId),
}

/// Bindings, latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// Those of this page, each with its device and patient.
    pub bindings: Vec<(BindingRow, DeviceId, PatientId)>,
    /// Behind which one the next page begins; `None` after the last.
    pub next_behind: Option<(Timestamp, DeviceKey)>,
}

pub(super) fn answer(
    state: &State,
    caller: &Principal,
    question: &BindingsQuestion,
) -> Result<Bindings, Refusal> {
    let BindingsQuestion { of, behind, limit } = question;
    Ok(match of {
        BindingsOf::Device(device) => {
            let all = &state.device(find_device(state, caller, device)?).bindings;
            let is_behind = |binding: &&BindingRow| behind.is_none_or(|it| place(binding) < it);
            page(state, caller, all.iter().rev().filter(is_behind), *limit)
        }
        BindingsOf::Patient(patient) => {
            let patient = find_patient(state, caller, patient)?;
            page(state, caller, state.bindings_of_patient(patient, *behind), *limit)
        }
    })
}

fn page<'a>(
    state: &State,
    caller: &Principal,
    bindings: impl Iterator<Item = &'a BindingRow>,
    limit: u32,
) -> Bindings {
    let mut page = Bindings { bindings: Vec::new(), next_behind: None };
    let mut last = None;
    for (looked_at, binding) in bindings.enumerate() {
        if page.bindings.len() == limit as usize || looked_at == ROWS_LOOKED_AT_MAX {
            page.next_behind = last;
            break;
        }
        last = Some(place(binding));
        page.bindings.extend(told(state, caller, binding));
    }
    page
}

/// The binding as it is told, if its device and its patient are the caller's to see.
fn told(
    state: &State,
    caller: &Principal,
    binding: &BindingRow,
) -> Option<(BindingRow, DeviceId, PatientId)> {
    let (device, patient) =
        (&state.device(binding.device).row, &state.patient(binding.patient).row);
    let is_visible = [device.site, patient.site]
        .into_iter()
        .all(|site| caller.sites.include(&state.site(site).row.id));
    is_visible.then(|| (binding.clone(), device.id.clone(), patient.id.clone()))
}
