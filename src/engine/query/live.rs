//! The question with which a stream of live vitals begins: what was measured last of whom.
//!
//! Told is what the devices that a patient wears now, and people, have measured: of each vital the
//! newest, of those of real use. What a device said on another patient, or in a test, is not. A page
//! is bounded in patients; each of them has a few vitals.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::super::directory::Reach;
use super::super::input::{Principal, Role};
use super::super::output::{Quality, Refusal};
use super::super::patient::{Channel, Patient};
use super::super::registry::{allow, find_patient, find_site};
use super::super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, Value, Vital};

/// Asks for the newest readings of patients, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveQuestion {
    /// Of the patients of these sites.
    pub sites: BTreeSet<SiteId>,
    /// And of these patients.
    pub patients: BTreeSet<PatientId>,
    /// Only these vitals; all if there are none.
    pub vitals: BTreeSet<Vital>,
    /// Only of patients behind this id. Without it, every site and patient named must be there.
    pub behind: Option<PatientId>,
    /// Of at most so many patients.
    pub limit: u32,
}

/// The newest readings of some patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePage {
    /// The readings, by patient's id and vital.
    pub readings: Vec<NewestReading>,
    /// Behind which patient the next page begins; `None` after the last.
    pub next_behind: Option<PatientId>,
}

/// The newest reading of a patient's vital.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestReading {
    /// Whose.
    pub patient: PatientId,
    /// The same, by number.
    pub patient_key: PatientKey,
    /// What measured it.
    pub device: DeviceId,
    /// The same, by number.
    pub device_key: DeviceKey,
    /// What was measured.
    pub vital: Vital,
    /// When.
    pub measured_at: Timestamp,
    /// What it says.
    pub value: Value,
    /// What is to be known about its worth.
    pub quality: Quality,
}

pub(super) fn answer(
    state: &State,
    caller: &Principal,
    question: &LiveQuestion,
) -> Result<LivePage, Refusal> {
    allow(caller, "watch vitals", &[Role::Viewer, Role::Clinician, Role::Admin])?;
    if question.behind.is_none() {
        check_there(state, caller, question)?;
    }
    let mut page = LivePage { readings: Vec::new(), next_behind: None };
    let mut last = None;
    for (count, patient) in watched(state, caller, question).into_iter().enumerate() {
        if count == question.limit as usize {
            page.next_behind = last;
            break;
        }
        page.readings.extend(newest_of(state, patient, &question.vitals));
        last = Some(patient.row.id.clone());
    }
    Ok(page)
}

fn check_there(state: &State, caller: &Principal, question: &LiveQuestion) -> Result<(), Refusal> {
    for site in &question.sites {
        find_site(state, caller, site)?;
    }
    for patient in &question.patients {
        find_patient(state, caller, patient)?;
    }
    Ok(())
}

/// Those patients behind, by id; one more than the limit, which tells whether there are more.
fn watched<'a>(state: &'a State, caller: &Principal, question: &LiveQuestion) -> Vec<&'a Patient> {
    let most = question.limit as usize + 1;
    let visible = question.sites.iter().filter_map(|site| find_site(state, caller, site).ok());
    let reach = Reach::At(visible.collect());
    let start = question.behind.as_ref().map(PatientId::as_str);
    let start = start.map_or(Bound::Unbounded, Bound::Excluded);
    let of_sites = state.patients_by_id(&reach, start).take(most);
    let named = question.patients.range::<str, _>((start, Bound::Unbounded));
    let named = named.filter_map(|id| find_patient(state, caller, id).ok()).take(most);
    let mut patients: BTreeMap<&PatientId, &Patient> =
        named.map(|key| state.patient(key)).map(|patient| (&patient.row.id, patient)).collect();
    patients.extend(of_sites.map(|patient| (&patient.row.id, patient)));
    patients.into_values().take(most).collect()
}

fn newest_of(
    state: &State,
    patient: &Patient,
    vitals: &BTreeSet<Vital>,
) -> impl Iterator<Item = NewestReading> {
    let mut newest: BTreeMap<Vital, (&Channel, Value, Quality)> = BTreeMap::new();
    let is_wanted = |channel: &&Channel| vitals.is_empty() || vitals.contains(&channel.vital);
    for channel in patient.channels.iter().filter(is_wanted) {
        let Some((value, quality)) = channel.newest_reading() else { continue };
        let is_newer = |(held, _, _): &(&Channel, Value, Quality)| channel.newest > held.newest;
        if newest.get(&channel.vital).is_none_or(is_newer) {
            newest.insert(channel.vital, (channel, value, quality));
        }
    }
    newest.into_values().map(|(channel, value, quality)| NewestReading {
        patient: patient.row.id.clone(),
        patient_key: patient.row.key,
        device: state.device_id(channel.device),
        device_key: channel.device,
        vital: channel.vital,
        measured_at: channel.newest,
        value,
        quality,
    })
}
