//! Who wears what: bindings made, ended, handed on and moved, with what rests on them.
//!
//! A binding decides whose readings are (V7), so none may begin or end behind a reading that was
//! admitted. What ends with a device, ends with a reason: its channels go, and with them the
//! alerts that rest on nothing else. A device replaced and a patient transferred keep their
//! alerts, indeterminate until readings come again: a condition is the patient's, not the
//! device's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{BINDINGS_MAX, find_device, find_patient, find_site};
use crate::clock::Timestamp;
use crate::engine::admit::{CLOCK_AHEAD_MAX, Device};
use crate::engine::alerts::settle;
use crate::engine::alerts::{AlertId, Phase, Trigger};
use crate::engine::context::Context;
use crate::engine::input::{BIND_AHEAD_MAX, NewBinding, Principal, Replacement, Schedule};
use crate::engine::monitoring;
use crate::engine::output::{BindingRow, Done, Output, Refusal, RegistryChange, Reply};
use crate::engine::patient::{Channel, Patient, Source};
use crate::engine::profile::Violation;
use crate::engine::rules::{self, RuleSet, score};
use crate::engine::state::State;
use crate::engine::status;
use crate::vitals::{DeviceId, DeviceKey, PatientId, SiteId};

/// Binds a device to a patient.
pub(super) fn bind(
    state: &mut State,
    caller: &Principal,
    binding: &NewBinding,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let device = find_device(state, caller, &binding.device)?;
    let patient = find_patient(state, caller, &binding.patient)?;
    check_schedule(&binding.schedule)?;
    let from = binding.from.unwrap_or(now);
    let held = state.device(device);
    if state.patient(patient).row.site != held.row.site {
        return Err(sites_differ());
    }
    check_not_ahead(from, now, BIND_AHEAD_MAX)?;
    check_room(held, from)?;
    let schedule = state.share(&binding.schedule);
    let row = BindingRow { device, patient, from, until: None, schedule };
    begin(state, &row);
    state.with_patient(patient, now, outputs, |patient, cx| wear(patient, cx, &row));
    Ok(RegistryChange::Binding(row))
}

fn sites_differ() -> Refusal {
    Refusal::FailedPrecondition {
        reason: "SITES_DIFFER",
        description: "the device belongs to another site than the patient".to_owned(),
    }
}

/// Adds a binding to its device.
fn begin(state: &mut State, row: &BindingRow) {
    let held = state.devices.get_mut(row.device.index()).expect("just found");
    // One at a time: most devices stay with one patient, and spare room would be three times as
    // much as the binding.
    held.bindings.reserve_exact(1);
    held.bindings.push(row.clone());
    if state.patient(row.patient).devices.is_empty() {
        state.worn += 1;
    }
}

/// A patient has put a device on: a channel for each vital that it is to measure.
fn wear(patient: &mut Patient, cx: &mut Context<'_>, binding: &BindingRow) {
    patient.devices.reserve_exact(1);
    patient.devices.push(binding.device);
    // Who is bound for tomorrow is not silent today.
    let heard = cx.moment.attentive.plus(binding.from.since(cx.moment.now));
    patient.channels.reserve_exact(binding.schedule.expected_intervals.len());
    for (vital, _) in &binding.schedule.expected_intervals {
        let channel = Channel::new(binding.device, *vital, &binding.schedule, heard);
        patient.channels.push(channel);
    }
    cx.is_changed = true;
    status::note_faults(patient, cx, binding.device);
    monitoring::review(patient, cx);
}

/// A device no longer measures a patient.
fn take_off(patient: &mut Patient, device: DeviceKey) {
    patient.devices.retain(|it| *it != device);
    patient.channels.retain(|channel| channel.device != device);
    patient.tracks.retain(|held| held.source.device() != Some(device));
    patient.histories.retain(|history| history.source().device() != Some(device));
    crate::engine::late::take_off(patient, device);
}

/// Ends a device's binding.
pub(super) fn unbind(
    state: &mut State,
    caller: &Principal,
    device: &DeviceId,
    at: Option<Timestamp>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let key = find_device(state, caller, device)?;
    let row = ending(state, key, at, now)?;
    end(state, &row);
    state.with_patient(row.patient, now, outputs, |patient, cx| {
        take_off(patient, key);
        if patient.devices.is_empty() {
            // A score rests on all devices together.
            patient.tracks.clear();
        }
        cx.is_changed = true;
        settle::resettle(patient, cx, &Trigger::Unbound);
        score::expire(patient, cx, &Trigger::Unbound);
        monitoring::review(patient, cx);
    });
    if state.patient(row.patient).devices.is_empty() {
        state.worn -= 1;
    }
    Ok(RegistryChange::Binding(row))
}

/// The binding that lasts, ended at `at`.
fn ending(
    state: &State,
    key: DeviceKey,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<BindingRow, Refusal> {
    let held = state.device(key);
    // A device whose clock is ahead has measured later than now; it must be possible to unbind it.
    let after_newest = held.newest.map(|newest| newest.plus(Duration::from_micros(1)));
    let at = at.unwrap_or_else(|| after_newest.map_or(now, |after| after.max(now)));
    let Some(bound) = held.bound().filter(|binding| binding.from < at) else {
        return Err(Refusal::FailedPrecondition {
            reason: "DEVICE_NOT_BOUND",
            description: format!("the device is bound to nobody just before {at}"),
        });
    };
    check_not_ahead(at, now, CLOCK_AHEAD_MAX)?;
    check_behind(held, at)?;
    Ok(BindingRow { until: Some(at), ..bound.clone() })
}

fn end(state: &mut State, row: &BindingRow) {
    let held = state.devices.get_mut(row.device.index()).expect("just found");
    *held.bindings.last_mut().expect("just seen") = row.clone();
    state.directory.note_end(row);
}

/// Puts another device in the place of one that is bound, in one step.
pub(super) fn replace(
    state: &mut State,
    caller: &Principal,
    replacement: &Replacement,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let old = find_device(state, caller, &replacement.device)?;
    let new = find_device(state, caller, &replacement.new_device)?;
    let ended = ending(state, old, replacement.at, now)?;
    let from = ended.until.expect("just ended");
    if state.device(new).row.site != state.device(old).row.site {
        return Err(sites_differ());
    }
    if let Some(schedule) = &replacement.schedule {
        check_schedule(schedule)?;
    }
    check_room(state.device(new), from)?;
    let schedule = replacement.schedule.as_ref().map(|schedule| state.share(schedule));
    let schedule = schedule.unwrap_or_else(|| Arc::clone(&ended.schedule));
    let began = BindingRow { device: new, patient: ended.patient, from, until: None, schedule };
    end(state, &ended);
    begin(state, &began);
    state.with_patient(ended.patient, now, outputs, |patient, cx| {
        hand_on(patient, cx, old, &began);
    });
    let patient = state.patient(ended.patient).row.id.clone();
    for row in [&ended, &began] {
        outputs.push(Output::Registry(Box::new(RegistryChange::Binding(row.clone()))));
    }
    Ok(Done::Replaced { ended, began, patient })
}

/// What stood on the old device's vitals stands on the new one's, without data until it measures.
fn hand_on(patient: &mut Patient, cx: &mut Context<'_>, old: DeviceKey, began: &BindingRow) {
    let in_force = cx.rules;
    let mut kept: Vec<_> = patient
        .tracks
        .iter()
        .filter(|held| in_force.get(&held.rule).is_some_and(|it| !rules::is_technical(it)))
        .cloned()
        .collect();
    for held in &mut kept {
        held.source = match held.source {
            Source::Channel(device, vital) if device == old => Source::Channel(began.device, vital),
            // What the old one asserted is for the new one to take back, or to be reset.
            Source::Device(device) if device == old => Source::Device(began.device),
            _ => continue,
        };
        held.track.break_off();
        held.is_lost = true;
    }
    kept.retain(|held| !held.track.is_at_rest());
    let of_others = |source: Source| source.device().is_some_and(|device| device != old);
    let technical = patient.tracks.iter().filter(|held| {
        of_others(held.source) && in_force.get(&held.rule).is_some_and(rules::is_technical)
    });
    kept.extend(technical.cloned());
    patient.histories.iter_mut().for_each(|history| history.hand_on(old, began.device));
    take_off(patient, old);
    patient.tracks = kept;
    wear(patient, cx, began);
    settle::resettle(patient, cx, &Trigger::Transfer);
    score::expire(patient, cx, &Trigger::Transfer);
}

/// Moves a patient with their devices to another site, in one step.
pub(super) fn transfer(
    state: &mut State,
    caller: &Principal,
    patient: &PatientId,
    site: &SiteId,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    let key = find_patient(state, caller, patient)?;
    let site_key = find_site(state, caller, site)?;
    let from = state.patient(key).row.site;
    if from == site_key {
        return Err(Refusal::FailedPrecondition {
            reason: "SAME_SITE",
            description: "the patient is at that site already".to_owned(),
        });
    }
    for device in state.patient(key).devices.clone() {
        state.change_device_site(device, site_key);
        let held = state.devices.get_mut(device.index()).expect("patients name devices");
        let gateway = held.state.gateway.take();
        let row = held.row.clone();
        if let Some(gateway) = gateway {
            state.forget_gateway(device, gateway);
        }
        outputs.push(Output::Registry(Box::new(RegistryChange::Device(row))));
    }
    let rules = state.rules_of(key);
    let from = state.site(from).row.id.clone();
    state.change_site(key, site_key);
    let row = state.patients.get_mut(key.index()).expect("just found");
    lose_all(row, &rules, site);
    let told = row.alerts.iter().map(|open| (open.alert.id, open.alert.revision)).collect();
    state.with_patient(key, now, outputs, |patient, cx| {
        // The other site's rules are in force from here on.
        rules::adapt(patient, cx, &Trigger::Transfer);
        tell_moved(patient, cx, &told);
        monitoring::tell_moved(patient, cx, from);
        cx.is_changed = true;
    });
    Ok(RegistryChange::Patient(state.patient(key).row.clone()))
}

/// Nothing is known of the patient at the new site until their devices measure there.
fn lose_all(patient: &mut Patient, rules: &RuleSet, site: &SiteId) {
    for channel in &mut patient.channels {
        channel.is_stale = true;
        channel.missed_at = channel.newest;
    }
    patient.late = None;
    for held in &mut patient.tracks {
        let is_technical = rules.get(&held.rule).is_none_or(rules::is_technical);
        if !is_technical {
            held.track.break_off();
            held.is_lost = held.track.active() > 0;
        }
    }
    patient.drop_resting();
    for open in &mut patient.alerts {
        open.alert.site = Some(site.clone());
    }
}

/// An alert that nothing else has happened to is told of too: it is open at another site now.
fn tell_moved(patient: &mut Patient, cx: &mut Context<'_>, told: &BTreeMap<AlertId, u32>) {
    for open in &mut patient.alerts {
        if told.get(&open.alert.id) == Some(&open.alert.revision) {
            open.bump();
            let (before, alert) = (open.alert.priority, open.alert.clone());
            cx.emit(Phase::Update, Some(before), Trigger::Transfer, alert);
        }
    }
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
