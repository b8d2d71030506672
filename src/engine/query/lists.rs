//! Questions about who and what there is: sites, patients and devices, by id.
//!
//! A page begins behind an id, whether or not that is still there: who is there all the time is told
//! once, whoever comes, goes or moves between the pages. Each page is bounded in work as well as in
//! size, so that it may be short, or even empty, while there is more.

use std::ops::Bound;

use super::super::admit::Device;
use super::super::directory::Reach;
use super::super::input::{Principal, Sites};
use super::super::output::{DeviceRow, PatientRow, Refusal, SiteRow};
use super::super::registry::{find_patient, find_site};
use super::super::state::State;
use super::ROWS_LOOKED_AT_MAX;
use crate::vitals::{DeviceId, PatientId, SiteId};

/// Asks for the caller's sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitesQuestion {
    /// Only those behind this id.
    pub behind: Option<SiteId>,
    /// At most so many.
    pub limit: u32,
}

/// Asks for patients of the caller's sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientsQuestion {
    /// Only of this site.
    pub site: Option<SiteId>,
    /// Only those whose id begins so.
    pub id_prefix: String,
    /// Only those behind this id.
    pub behind: Option<PatientId>,
    /// At most so many.
    pub limit: u32,
}

/// Asks for devices of the caller's sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicesQuestion {
    /// Only of this site.
    pub site: Option<SiteId>,
    /// Only those that are bound to somebody in particular, or to nobody.
    pub worn: Option<WornBy>,
    /// Only those whose id begins so.
    pub id_prefix: String,
    /// Only those behind this id.
    pub behind: Option<DeviceId>,
    /// At most so many.
    pub limit: u32,
}

/// Who wears a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WornBy {
    /// This patient.
    Patient(PatientId),
    /// Nobody.
    Nobody,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Row, Id> {
    /// The rows, by id.
    pub rows: Vec<Row>,
    /// Behind which id the next page begins; `None` after the last.
    pub next_behind: Option<Id>,
}

pub(super) fn sites(
    state: &State,
    caller: &Principal,
    question: &SitesQuestion,
) -> Page<SiteRow, SiteId> {
    let SitesQuestion { behind, limit } = question;
    let behind = behind.as_ref().map(SiteId::as_str);
    match &caller.sites {
        Sites::All => {
            let start = behind.map_or(Bound::Unbounded, Bound::Excluded);
            let rows = state.sites_by_id(start).map(|site| (&site.row.id, Some(&site.row)));
            page(rows, *limit, SiteRow::clone)
        }
        Sites::Only(sites) => {
            let mut sites: Vec<_> = sites.iter().map(SiteId::as_str).collect();
            sites.sort_unstable();
            sites.dedup();
            let sites = sites.into_iter().filter(|site| Some(*site) > behind);
            let rows =
                sites.filter_map(|site| state.site_key(site)).map(|key| &state.site(key).row);
            page(rows.map(|row| (&row.id, Some(row))), *limit, SiteRow::clone)
        }
    }
}

pub(super) fn patients(
    state: &State,
    caller: &Principal,
    question: &PatientsQuestion,
) -> Result<Page<(PatientRow, SiteId), PatientId>, Refusal> {
    let PatientsQuestion { site, id_prefix, behind, limit } = question;
    let reach = reach(state, caller, site.as_ref())?;
    let start = start(behind.as_ref().map(PatientId::as_str), id_prefix);
    let patients = state.patients_by_id(&reach, start).map(|patient| &patient.row);
    let matching = patients.take_while(|row| row.id.as_str().starts_with(id_prefix));
    let with_site = |row: &PatientRow| (row.clone(), state.site(row.site).row.id.clone());
    Ok(page(matching.map(|row| (&row.id, Some(row))), *limit, with_site))
}

pub(super) fn devices(
    state: &State,
    caller: &Principal,
    question: &DevicesQuestion,
) -> Result<Page<(DeviceRow, SiteId), DeviceId>, Refusal> {
    let DevicesQuestion { site, worn, id_prefix, behind, limit } = question;
    let reach = reach(state, caller, site.as_ref())?;
    let start = start(behind.as_ref().map(DeviceId::as_str), id_prefix);
    let with_site = |row: &DeviceRow| (row.clone(), state.site(row.site).row.id.clone());
    if let Some(WornBy::Patient(patient)) = worn {
        let mut theirs = devices_of(state, caller, patient, &reach)?;
        theirs.retain(|device| is_from(start, device.row.id.as_str()));
        let matching = theirs.into_iter().map(|device| &device.row);
        let matching = matching.filter(|row| row.id.as_str().starts_with(id_prefix));
        return Ok(page(matching.map(|row| (&row.id, Some(row))), *limit, with_site));
    }
    let devices = state.devices_by_id(&reach, start);
    let matching = devices.take_while(|device| device.row.id.as_str().starts_with(id_prefix));
    let is_wanted = |device: &Device| worn.is_none() || device.bound().is_none();
    let told = matching.map(|device| (&device.row.id, is_wanted(device).then_some(&device.row)));
    Ok(page(told, *limit, with_site))
}

/// What a patient wears within reach, by id.
fn devices_of<'a>(
    state: &'a State,
    caller: &Principal,
    patient: &PatientId,
    reach: &Reach,
) -> Result<Vec<&'a Device>, Refusal> {
    let patient = state.patient(find_patient(state, caller, patient)?);
    let devices = patient.devices.iter().map(|device| state.device(*device));
    let mut devices: Vec<_> = devices.filter(|device| reach.includes(device.row.site)).collect();
    devices.sort_unstable_by(|one, other| one.row.id.cmp(&other.row.id));
    Ok(devices)
}

/// Where to look: at the site that was named, or wherever the caller may.
fn reach(state: &State, caller: &Principal, site: Option<&SiteId>) -> Result<Reach, Refusal> {
    match site {
        Some(site) => Ok(Reach::At(vec![find_site(state, caller, site)?])),
        None => Ok(Reach::of(state, &caller.sites)),
    }
}

fn start<'a>(behind: Option<&'a str>, id_prefix: &'a str) -> Bound<&'a str> {
    behind.map_or(Bound::Included(id_prefix), Bound::Excluded)
}

fn is_from(start: Bound<&str>, id: &str) -> bool {
    match start {
        Bound::Included(start) => id >= start,
        Bound::Excluded(start) => id > start,
        Bound::Unbounded => true,
    }
}

/// As many rows as are wanted, of those that may be told; what may not comes as an id alone.
fn page<'a, Row: 'a, Told, Id: Clone + 'a>(
    rows: impl Iterator<Item = (&'a Id, Option<&'a Row>)>,
    limit: u32,
    tell: impl Fn(&Row) -> Told,
) -> Page<Told, Id> {
    let mut page = Page { rows: Vec::new(), next_behind: None };
    let mut last: Option<&Id> = None;
    for (looked_at, (id, row)) in rows.enumerate() {
        if page.rows.len() == limit as usize || looked_at == ROWS_LOOKED_AT_MAX {
            page.next_behind = last.cloned();
            break;
        }
        last = Some(id);
        page.rows.extend(row.map(&tell));
    }
    page
}
