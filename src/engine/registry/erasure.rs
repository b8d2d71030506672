//! The erasure of a patient: everything that is known of them goes, in one step.
//!
//! Their open alerts close, so that followers let them go as well. What is left is a tombstone under
//! their number, because rows in the store name it and it must never be another's: an id that is
//! nobody's, when they were erased and by whom, and what they wore. Their id is free again.
//!
//! Their devices are nobody's from then on, and were nobody's then: what is still on its way from
//! that time is refused. A device's next binding does not reach behind it either, so that it never
//! becomes another patient's. What the device's account remembers of their readings goes with them.
//!
//! Takes time in proportion to the devices that they wore.

use std::time::Duration;

use super::find_patient;
use crate::clock::Timestamp;
use crate::engine::admit::Device;
use crate::engine::alerts::{Trigger, settle};
use crate::engine::input::Principal;
use crate::engine::output::{Done, Erased, Output, PatientRow, Refusal, Reply, Worn};
use crate::engine::profile::Eligibility;
use crate::engine::state::State;
use crate::vitals::{PatientId, PatientKey};

/// Erases a patient.
pub(super) fn erase(
    state: &mut State,
    caller: &Principal,
    patient: &PatientId,
    added_before: Option<Timestamp>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let key = find_patient(state, caller, patient)?;
    let row = state.patient(key).row.clone();
    if added_before.is_some_and(|before| row.created_at >= before) {
        return Err(Refusal::FailedPrecondition {
            reason: "PATIENT_ADDED_SINCE",
            description: format!("the patient of this id was added at {}", row.created_at),
        });
    }
    if !state.patient(key).devices.is_empty() {
        state.worn -= 1;
    }
    state.with_patient(key, now, outputs, |patient, cx| {
        while !patient.alerts.is_empty() {
            settle::close(patient, cx, 0, Trigger::Erased);
        }
    });
    let erased = Erased {
        patient: Some(row.id.clone()),
        site: state.site(row.site).row.id.clone(),
        tombstone: tombstone(&row, now),
        requested_by: caller.subject.clone(),
        worn: take_off_all(state, key, now),
    };
    state.erase(erased.clone());
    outputs.push(Output::Erased(Box::new(erased.clone())));
    Ok(Done::Erased(Box::new(erased)))
}

/// Nothing in it is about the patient but their number, and where they were: a caller of that site
/// may still ask how far the erasure is.
fn tombstone(row: &PatientRow, now: Timestamp) -> PatientRow {
    PatientRow {
        key: row.key,
        id: PatientId::erased(row.key),
        site: row.site,
        created_at: now,
        eligibility: Eligibility::default(),
        paused_until: None,
    }
}

/// Takes the patient's bindings from their devices, with what is remembered of their readings.
fn take_off_all(state: &mut State, patient: PatientKey, now: Timestamp) -> Vec<Worn> {
    let mut worn = Vec::new();
    for key in state.devices_worn_by(patient) {
        let device = state.devices.get_mut(key.index()).expect("just seen");
        worn.extend(worn_by(device, patient, now));
        device.forget(patient, now);
    }
    worn
}

/// When what came from the device can only have been about this patient, or about nobody. Bindings
/// of theirs without another between are one time.
fn worn_by(device: &Device, patient: PatientKey, now: Timestamp) -> Vec<Worn> {
    let mut spans: Vec<Worn> = Vec::new();
    let mut before = None;
    // What is received in the same instant stands before it.
    let end = now.plus(Duration::from_micros(1));
    let runs = device.bindings.chunk_by(|one, next| one.patient == next.patient);
    let mut runs = runs.peekable();
    while let Some(run) = runs.next() {
        if run[0].patient == patient {
            let until = runs.peek().map_or(end, |next| next[0].from.min(end));
            spans.push(Worn { device: device.row.key, from: before, until });
        }
        before = run.last().and_then(|last| last.until);
    }
    spans
}

impl Device {
    /// Was never this patient's.
    fn forget(&mut self, patient: PatientKey, now: Timestamp) {
        let (theirs, others): (Vec<_>, Vec<_>) =
            self.bindings.drain(..).partition(|binding| binding.patient == patient);
        self.bindings = others;
        // Most devices have few bindings and keep them.
        self.bindings.shrink_to_fit();
        for binding in &theirs {
            let newest = self.newest.map_or(now, |newest| newest.max(now));
            let until = binding.until.unwrap_or(newest.plus(Duration::from_micros(1)));
            self.account.forget(binding.from, until);
            if binding.from < until {
                self.newest = self.newest.max(Some(until.minus(Duration::from_micros(1))));
            }
            if binding.until.is_none() {
                self.state.forget_wearer();
            }
        }
    }
}
