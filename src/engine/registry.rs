//! The registry: sites, patients, devices, bindings and profiles, changed by commands.
//!
//! Promises: a command changes everything it says or nothing, and is answered with the row as it
//! stands or with the reason why not. A binding never reaches behind a reading that was already
//! admitted from its device (V7). A name outside the caller's sites is answered exactly like a
//! name that does not exist.

use std::sync::Arc;
use std::time::Duration;

use super::admit::{CLOCK_AHEAD_MAX, Device};
use super::alerts::{self, Wearer};
use super::input::{Action, Command, NewBinding, Principal, ProfileOwner, Role, Schedule, Sites};
use super::output::{
    BindingRow, DeviceRow, Done, Output, PatientRow, ProfileRow, Refusal, RegistryChange, Reply,
    SiteRow,
};
use super::patient::Patient;
use super::profile::{Profile, Scope, VersionedProfile, Violation};
use super::rules::RuleSet;
use super::state::{Site, State};
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, SiteKey};

/// Bindings a device may have had; a bound on its state.
const BINDINGS_MAX: usize = 1024;

/// How far ahead a binding may begin: who prepares tomorrow's round may, a mistyped year may not.
const BIND_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Carries out a command, or says why not.
pub(super) fn execute(
    state: &mut State,
    command: &Command,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let caller = &command.principal;
    let change = match &command.action {
        Action::CreateSite { site, display_name, time_zone } => {
            allow(caller, "create sites", &[Role::Admin])?;
            if caller.sites != Sites::All {
                return Err(not_found("site", site.as_str()));
            }
            create_site(state, site, display_name, time_zone, now)
        }
        Action::CreatePatient { patient, site } => {
            allow(caller, "create patients", &[Role::Admin, Role::DeviceAdmin])?;
            let site = find_site(state, caller, site)?;
            create_patient(state, patient, site, now)
        }
        Action::CreateDevice { device, site } => {
            allow(caller, "create devices", &[Role::Admin, Role::DeviceAdmin])?;
            let site = find_site(state, caller, site)?;
            create_device(state, device, site, now)
        }
        Action::BindDevice(binding) => {
            allow(caller, "bind devices", &[Role::Admin, Role::DeviceAdmin])?;
            bind(state, caller, binding, now)
        }
        Action::UnbindDevice { device, at } => {
            allow(caller, "unbind devices", &[Role::Admin, Role::DeviceAdmin])?;
            unbind(state, caller, device, *at, now, outputs)
        }
        Action::PutProfile { owner, profile } => {
            put_profile(state, caller, owner, profile, now, outputs)
        }
    }?;
    outputs.push(Output::Registry(Box::new(change.clone())));
    let patient = match &change {
        RegistryChange::Binding(row) => Some(state.patient(row.patient).row.id.clone()),
        _ => None,
    };
    Ok(Done { change, patient })
}

fn allow(caller: &Principal, action: &'static str, roles: &[Role]) -> Result<(), Refusal> {
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

fn find_site(state: &State, caller: &Principal, id: &SiteId) -> Result<SiteKey, Refusal> {
    let key = state.site_keys.get(id).filter(|_| caller.sites.include(id));
    key.copied().ok_or_else(|| not_found("site", id.as_str()))
}

fn find_patient(state: &State, caller: &Principal, id: &PatientId) -> Result<PatientKey, Refusal> {
    let visible =
        |key: &&PatientKey| caller.sites.include(&state.site(state.patient(**key).row.site).row.id);
    let key = state.patient_keys.get(id).filter(visible);
    key.copied().ok_or_else(|| not_found("patient", id.as_str()))
}

fn find_device(state: &State, caller: &Principal, id: &DeviceId) -> Result<DeviceKey, Refusal> {
    let visible =
        |key: &&DeviceKey| caller.sites.include(&state.site(state.device(**key).row.site).row.id);
    let key = state.device_keys.get(id).filter(visible);
    key.copied().ok_or_else(|| not_found("device", id.as_str()))
}

/// The number of the next row of a table.
fn next_key(rows: usize, kind: &'static str) -> Result<u32, Refusal> {
    u32::try_from(rows).map_err(|_| Refusal::FailedPrecondition {
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
    if state.site_keys.contains_key(id) {
        return Err(already_exists("site", id.as_str()));
    }
    let row = SiteRow {
        key: SiteKey(next_key(state.sites.len(), "site")?),
        id: id.clone(),
        display_name: display_name.to_owned(),
        time_zone: time_zone.to_owned(),
        created_at: now,
    };
    state.site_keys.insert(row.id.clone(), row.key);
    state.sites.push(Site { row: row.clone(), profile: None });
    Ok(RegistryChange::Site(row))
}

fn create_patient(
    state: &mut State,
    id: &PatientId,
    site: SiteKey,
    now: Timestamp,
) -> Result<RegistryChange, Refusal> {
    if state.patient_keys.contains_key(id) {
        return Err(already_exists("patient", id.as_str()));
    }
    let key = PatientKey(next_key(state.patients.len(), "patient")?);
    let row = PatientRow { key, id: id.clone(), site, created_at: now };
    state.patient_keys.insert(row.id.clone(), key);
    state.patients.push(Patient::new(row.clone()));
    Ok(RegistryChange::Patient(row))
}

fn create_device(
    state: &mut State,
    id: &DeviceId,
    site: SiteKey,
    now: Timestamp,
) -> Result<RegistryChange, Refusal> {
    if state.device_keys.contains_key(id) {
        return Err(already_exists("device", id.as_str()));
    }
    let key = DeviceKey(next_key(state.devices.len(), "device")?);
    let row = DeviceRow { key, id: id.clone(), site, created_at: now };
    state.device_keys.insert(row.id.clone(), key);
    state.devices.push(Device::new(row.clone()));
    Ok(RegistryChange::Device(row))
}

fn bind(
    state: &mut State,
    caller: &Principal,
    binding: &NewBinding,
    now: Timestamp,
) -> Result<RegistryChange, Refusal> {
    let device = find_device(state, caller, &binding.device)?;
    let patient = find_patient(state, caller, &binding.patient)?;
    check_schedule(&binding.schedule)?;
    let from = binding.from.unwrap_or(now);
    let held = state.device(device);
    if state.patient(patient).row.site != held.row.site {
        return Err(Refusal::FailedPrecondition {
            reason: "SITES_DIFFER",
            description: "the device belongs to another site than the patient".to_owned(),
        });
    }
    check_not_ahead(from, now, BIND_AHEAD_MAX)?;
    check_room(held, from)?;
    let row = BindingRow { device, patient, from, until: None, schedule: binding.schedule.clone() };
    let held = state.devices.get_mut(device.index()).expect("just found");
    held.bindings.push(row.clone());
    Ok(RegistryChange::Binding(row))
}

fn check_schedule(schedule: &Schedule) -> Result<(), Refusal> {
    let zero = schedule.expected_intervals.iter().find(|(_, interval)| interval.is_zero());
    zero.map_or(Ok(()), |(vital, _)| {
        Err(Refusal::InvalidArgument(vec![Violation {
            field: format!("expected_intervals[{vital}]"),
            description: "zero; leave the vital out if the device does not measure it".to_owned(),
        }]))
    })
}

/// Whether a binding that begins at `from` fits behind what the device did before.
fn check_room(device: &Device, from: Timestamp) -> Result<(), Refusal> {
    let refuse = |reason, description| Err(Refusal::FailedPrecondition { reason, description });
    if let Some(last) = device.bindings.last() {
        match last.until {
            None => {
                let description = "the device is bound; unbind it first".to_owned();
                return refuse("DEVICE_BOUND", description);
            }
            Some(until) if from < until => {
                let description =
                    format!("the device was bound until {until}; begin then or later");
                return refuse("BINDINGS_OVERLAP", description);
            }
            Some(_) => {}
        }
    }
    if device.bindings.len() >= BINDINGS_MAX {
        let description = format!("the device has had {BINDINGS_MAX} bindings; enroll it anew");
        return refuse("TOO_MANY_BINDINGS", description);
    }
    check_behind(device, from)
}

fn check_not_ahead(at: Timestamp, now: Timestamp, most: Duration) -> Result<(), Refusal> {
    if at.since(now) <= most {
        return Ok(());
    }
    Err(Refusal::FailedPrecondition {
        reason: "TIME_AHEAD",
        description: format!("{at} is more than {} s ahead", most.as_secs()),
    })
}

/// A change of binding may not reach behind a reading that was admitted (V7).
fn check_behind(device: &Device, at: Timestamp) -> Result<(), Refusal> {
    match device.newest {
        Some(newest) if at <= newest => Err(Refusal::FailedPrecondition {
            reason: "READINGS_ADMITTED",
            description: format!(
                "readings measured up to {newest} have been admitted; take a later time"
            ),
        }),
        _ => Ok(()),
    }
}

fn unbind(
    state: &mut State,
    caller: &Principal,
    device: &DeviceId,
    at: Option<Timestamp>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let key = find_device(state, caller, device)?;
    let held = state.device(key);
    // A device whose clock is ahead has measured later than now; it must be possible to unbind it.
    let after_newest = held.newest.map(|newest| newest.plus(Duration::from_micros(1)));
    let at = at.unwrap_or_else(|| after_newest.map_or(now, |after| after.max(now)));
    let bound = held.bindings.last().filter(|binding| binding.until.is_none());
    let Some(bound) = bound.filter(|binding| binding.from < at) else {
        return Err(Refusal::FailedPrecondition {
            reason: "DEVICE_NOT_BOUND",
            description: format!("the device is bound to nobody just before {at}"),
        });
    };
    check_not_ahead(at, now, CLOCK_AHEAD_MAX)?;
    check_behind(held, at)?;
    let row = BindingRow { until: Some(at), ..bound.clone() };
    let held = state.devices.get_mut(key.index()).expect("just found");
    *held.bindings.last_mut().expect("just seen") = row.clone();
    with_patient(state, row.patient, now, |patient, rules, wearer| {
        alerts::unbind(patient, key, rules, wearer, outputs);
    });
    Ok(RegistryChange::Binding(row))
}

fn put_profile(
    state: &mut State,
    caller: &Principal,
    owner: &ProfileOwner,
    profile: &Profile,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let scope = match owner {
        ProfileOwner::Default => {
            allow(caller, "put the default profile", &[Role::Admin])?;
            if caller.sites != Sites::All {
                let action = "put the default profile without authority over all sites";
                return Err(Refusal::PermissionDenied { role: caller.role, action });
            }
            Scope::Default
        }
        ProfileOwner::Site(site) => {
            allow(caller, "put site profiles", &[Role::Admin])?;
            Scope::Site(find_site(state, caller, site)?)
        }
        ProfileOwner::Patient(patient) => {
            allow(caller, "put patient profiles", &[Role::Admin, Role::Clinician])?;
            Scope::Patient(find_patient(state, caller, patient)?)
        }
    };
    profile.validate().map_err(Refusal::InvalidArgument)?;
    let held = held_profile(state, scope);
    let next = VersionedProfile::succeeding(held.as_ref(), profile.clone());
    let row = ProfileRow {
        scope,
        version: next.version,
        profile: profile.clone(),
        put_at: now,
        put_by: caller.subject.clone(),
    };
    *held = Some(next);
    state.forget_rules();
    settle_open_alerts(state, now, outputs);
    Ok(RegistryChange::Profile(row))
}

fn held_profile(state: &mut State, scope: Scope) -> &mut Option<VersionedProfile> {
    let found = "the scope was just made from what exists";
    match scope {
        Scope::Default => &mut state.general.profile,
        Scope::Site(key) => &mut state.sites.get_mut(key.index()).expect(found).profile,
        Scope::Patient(key) => &mut state.patients.get_mut(key.index()).expect(found).profile,
    }
}

/// Closes the alerts whose rule is gone. A patient without one adapts with the next reading.
fn settle_open_alerts(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let alarming: Vec<PatientKey> = state.alarming.iter().copied().collect();
    for key in alarming {
        with_patient(state, key, now, |patient, rules, wearer| {
            alerts::change_rules(patient, rules, wearer, outputs);
        });
    }
}

fn with_patient(
    state: &mut State,
    key: PatientKey,
    now: Timestamp,
    change: impl FnOnce(&mut Patient, &RuleSet, &Wearer<'_>),
) {
    let rules: Arc<RuleSet> = state.rules_of(key);
    let site = state.site(state.patient(key).row.site).row.id.clone();
    let devices = &state.devices;
    let device_id =
        |key: DeviceKey| devices.get(key.index()).expect("channels name devices").row.id.clone();
    let wearer = Wearer { site: &site, now, device_id: &device_id };
    let patient = state.patients.get_mut(key.index()).expect("keys name patients");
    change(patient, &rules, &wearer);
    state.note_alerts(key);
}
