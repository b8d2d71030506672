//! The registry: sites, patients, devices, bindings and profiles, changed by commands.
//!
//! Promises: a command changes everything it says or nothing, and is answered with the row as it
//! stands or with the reason why not. A binding never reaches behind a reading that was already
//! admitted from its device (V7). A name outside the caller's sites is answered exactly like a
//! name that does not exist.

mod erasure;
mod permission;
mod wearing;

use std::collections::BTreeSet;

pub(super) use self::permission::permit;

use super::admit::{Device, by_hand};
use super::alerts::work;
use super::input::{Action, Command, Principal, ProfileOwner, Role, Sites};
use super::monitoring;
use super::output::{
    DeviceRow, Done, Output, PatientRow, ProfileRow, Refusal, RegistryChange, Reply, SiteRow,
};
use super::patient::Patient;
use super::profile::{Eligibility, Profile, Scope, VersionedProfile, Violation};
use super::redrive;
use super::rules::score;
use super::state::{Site, State};
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, SiteKey};

/// Bindings a device may have had; a bound on its state.
const BINDINGS_MAX: usize = 1024;

/// Carries out a command, or says why not.
pub(super) fn execute(
    state: &mut State,
    command: &Command,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let caller = &command.principal;
    permit(caller, &command.action)?;
    let change = match &command.action {
        Action::CreateSite { site, display_name, time_zone } => {
            if caller.sites != Sites::All {
                return Err(not_found("site", site.as_str()));
            }
            create_site(state, site, display_name, time_zone, now)
        }
        Action::CreatePatient { patient, site } => {
            let site = find_site(state, caller, site)?;
            create_patient(state, patient, site, now, outputs)
        }
        Action::CreateDevice { device, site } => {
            let site = find_site(state, caller, site)?;
            create_device(state, device, site, now)
        }
        Action::BindDevice(binding) => wearing::bind(state, caller, binding, now, outputs),
        Action::UnbindDevice { device, at } => {
            wearing::unbind(state, caller, device, *at, now, outputs)
        }
        Action::ReplaceDevice(replacement) => {
            return wearing::replace(state, caller, replacement, now, outputs);
        }
        Action::TransferPatient { patient, site } => {
            wearing::transfer(state, caller, patient, site, now, outputs)
        }
        Action::UpdatePatient { patient, eligibility, expected } => {
            let key = find_patient(state, caller, patient)?;
            check_eligibility(state.patient(key).row.eligibility, *expected)?;
            update_patient(state, key, *eligibility, now, outputs)
        }
        Action::PausePatient { patient, until, reason } => {
            let key = find_patient(state, caller, patient)?;
            let actor = (caller.subject.as_str(), reason.as_deref());
            work::pause_patient(state, key, *until, actor, now, outputs)
        }
        Action::WorkOnAlert { alert, action } => {
            return work::execute(state, caller, *alert, action, now, outputs);
        }
        Action::Redrive(redrive) => {
            return redrive::execute(state, caller, redrive, now, outputs);
        }
        Action::RecordReadings { patient, readings } => {
            let key = find_patient(state, caller, patient)?;
            return by_hand::record(state, key, readings, now, outputs);
        }
        Action::ErasePatient { patient, added_before } => {
            return erasure::erase(state, caller, patient, *added_before, now, outputs);
        }
        Action::PutProfile { owner, profile, expected_version } => {
            let scope = authorised_scope(state, caller, owner)?;
            profile.validate(scope.into()).map_err(Refusal::InvalidArgument)?;
            check_version(held_profile(state, scope).as_deref(), *expected_version)?;
            put_profile(state, caller, scope, profile, now, outputs)
        }
    }?;
    outputs.push(Output::Registry(Box::new(change.clone())));
    let patient = match &change {
        RegistryChange::Binding(row) => Some(state.patient(row.patient).row.id.clone()),
        _ => None,
    };
    let site = match &change {
        RegistryChange::Patient(row) => Some(state.site(row.site).row.id.clone()),
        _ => None,
    };
    Ok(Done::Registry { change, patient, site })
}

pub(super) fn allow(
    caller: &Principal,
    action: &'static str,
    roles: &[Role],
) -> Result<(), Refusal> {
    if roles.contains(&caller.role) {
        Ok(())
    } else {
        Err(Refusal::PermissionDenied { role: caller.role, action })
    }
}

fn not_found(kind: &'static str, id: &str) -> Refusal {
    Refusal::NotFound { kind, id: id.to_owned() }
}

fn already_exists(kind: &'static str, id: &str) -> Refusal {
    Refusal::AlreadyExists { kind, id: id.to_owned() }
}

fn reserved(field: &str, description: &str) -> Refusal {
    let (field, description) = (field.to_owned(), description.to_owned());
    Refusal::InvalidArgument(vec![Violation { field, description }])
}

pub(super) fn find_site(
    state: &State,
    caller: &Principal,
    id: &SiteId,
) -> Result<SiteKey, Refusal> {
    let key = state.site_key(id.as_str()).filter(|_| caller.sites.include(id));
    key.ok_or_else(|| not_found("site", id.as_str()))
}

pub(super) fn find_patient(
    state: &State,
    caller: &Principal,
    id: &PatientId,
) -> Result<PatientKey, Refusal> {
    let visible =
        |key: &PatientKey| caller.sites.include(&state.site(state.patient(*key).row.site).row.id);
    let key = state.patient_key(id.as_str()).filter(visible);
    key.ok_or_else(|| not_found("patient", id.as_str()))
}

pub(super) fn find_device(
    state: &State,
    caller: &Principal,
    id: &DeviceId,
) -> Result<DeviceKey, Refusal> {
    let visible =
        |key: &DeviceKey| caller.sites.include(&state.site(state.device(*key).row.site).row.id);
    let key = state.device_key(id.as_str()).filter(visible);
    key.ok_or_else(|| not_found("device", id.as_str()))
}

/// The number of the next row of a table.
fn next_key(rows: usize, kind: &'static str) -> Result<u32, Refusal> {
    // The last number is that of readings by hand.
    let key = u32::try_from(rows).ok().filter(|key| *key < u32::MAX);
    key.ok_or_else(|| Refusal::FailedPrecondition {
        reason: "REGISTRY_FULL",
        description: format!("no number is left for another {kind}"),
    })
}

fn create_site(
    state: &mut State,
    id: &SiteId,
    display_name: &str,
    time_zone: &str,
    now: Timestamp,
) -> Result<RegistryChange, Refusal> {
    if state.site_key(id.as_str()).is_some() {
        return Err(already_exists("site", id.as_str()));
    }
    let row = SiteRow {
        key: SiteKey(next_key(state.sites.len(), "site")?),
        id: id.clone(),
        display_name: display_name.to_owned(),
        time_zone: time_zone.to_owned(),
        created_at: now,
    };
    state.add_site(Site { row: row.clone(), profile: None });
    Ok(RegistryChange::Site(row))
}

fn create_patient(
    state: &mut State,
    id: &PatientId,
    site: SiteKey,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    if state.patient_key(id.as_str()).is_some() {
        return Err(already_exists("patient", id.as_str()));
    }
    if id.is_erased() {
        return Err(reserved("patient_id", "reserved for patients who were erased"));
    }
    let key = PatientKey(next_key(state.patients.len(), "patient")?);
    let row = PatientRow {
        key,
        id: id.clone(),
        site,
        created_at: now,
        eligibility: Eligibility::default(),
        paused_until: None,
    };
    let generation = state.general.generation;
    state.add_patient(Patient { generation, ..Patient::new(row.clone()) });
    state.with_patient(key, now, outputs, monitoring::tell);
    state.reschedule(key);
    Ok(RegistryChange::Patient(row))
}

fn create_device(
    state: &mut State,
    id: &DeviceId,
    site: SiteKey,
    now: Timestamp,
) -> Result<RegistryChange, Refusal> {
    if state.device_key(id.as_str()).is_some() {
        return Err(already_exists("device", id.as_str()));
    }
    if id.as_str() == DeviceId::BY_HAND {
        return Err(reserved("device_id", "reserved for what people measure by hand"));
    }
    let key = DeviceKey(next_key(state.devices.len(), "device")?);
    let row = DeviceRow { key, id: id.clone(), site, created_at: now };
    state.add_device(Device::new(row.clone()));
    Ok(RegistryChange::Device(row))
}

fn check_eligibility(held: Eligibility, expected: Option<Eligibility>) -> Result<(), Refusal> {
    if expected.is_none_or(|expected| expected == held) {
        return Ok(());
    }
    Err(Refusal::Aborted {
        reason: "PATIENT_CHANGED",
        description: "the patient was updated since; look at them and update them again".to_owned(),
    })
}

fn update_patient(
    state: &mut State,
    key: PatientKey,
    eligibility: Eligibility,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    state.with_patient(key, now, outputs, |patient, cx| {
        patient.row.eligibility = eligibility;
        score::review_eligibility(patient, cx);
    });
    Ok(RegistryChange::Patient(state.patient(key).row.clone()))
}

/// The scope of `owner`, if the caller may put its profile.
fn authorised_scope(
    state: &State,
    caller: &Principal,
    owner: &ProfileOwner,
) -> Result<Scope, Refusal> {
    match owner {
        ProfileOwner::Default => {
            if caller.sites != Sites::All {
                let action = "put the default profile without authority over all sites";
                return Err(Refusal::PermissionDenied { role: caller.role, action });
            }
            Ok(Scope::Default)
        }
        ProfileOwner::Site(site) => find_site(state, caller, site).map(Scope::Site),
        ProfileOwner::Patient(patient) => find_patient(state, caller, patient).map(Scope::Patient),
    }
}

/// Nobody's change is overwritten by who has not seen it.
fn check_version(held: Option<&VersionedProfile>, expected: Option<u32>) -> Result<(), Refusal> {
    let version = held.map_or(0, |held| held.version);
    match expected {
        Some(expected) if expected != version => Err(Refusal::Aborted {
            reason: "PROFILE_CHANGED",
            description: format!(
                "the profile is at version {version}, not {expected}; look at it and put it again"
            ),
        }),
        _ => Ok(()),
    }
}

fn put_profile(
    state: &mut State,
    caller: &Principal,
    scope: Scope,
    profile: &Profile,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let held = held_profile(state, scope);
    let row = ProfileRow {
        scope,
        version: held.as_ref().map_or(0, |held| held.version) + 1,
        profile: profile.clone(),
        put_at: now,
        put_by: caller.subject.clone(),
    };
    *held = Some(Box::new(VersionedProfile::succeeding(held.as_deref(), &row)));
    state.change_rules(scope);
    adapt_at_once(state, scope, now, outputs);
    Ok(RegistryChange::Profile(row))
}

pub(super) fn held_profile(state: &mut State, scope: Scope) -> &mut Option<Box<VersionedProfile>> {
    let found = "the scope was just made from what exists";
    match scope {
        Scope::Default => &mut state.general.profile,
        Scope::Site(key) => &mut state.sites.get_mut(key.index()).expect(found).profile,
        Scope::Patient(key) => &mut state.patients.get_mut(key.index()).expect(found).profile,
    }
}

/// Adapts those patients to the new rules for whom it can't wait: who has an open alert, and who
/// was named.
fn adapt_at_once(state: &mut State, scope: Scope, now: Timestamp, outputs: &mut Vec<Output>) {
    let mut keys = state.alarming.clone();
    if let Scope::Patient(key) = scope {
        keys = BTreeSet::from([key]);
    }
    for key in keys {
        state.with_patient(key, now, outputs, |_, _| {});
    }
}
