//! How a patient is watched: an empty list of alerts does not mean that all is well.
//!
//! Reviewed whenever something that makes the state may have changed; told when it has.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::output::{MonitoringChange, MonitoringState, Output};
use super::patient::{Channel, Patient};
use crate::clock::Timestamp;
use crate::vitals::SiteId;

/// A patient's monitoring state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Monitoring {
    state: MonitoringState,
    since: Timestamp,
}

impl Monitoring {
    /// Nobody has a device at first.
    pub(super) const fn new(since: Timestamp) -> Self {
        Self { state: MonitoringState::NoDevice, since }
    }

    /// As it was told last.
    pub(super) const fn restored(state: MonitoringState, since: Timestamp) -> Self {
        Self { state, since }
    }
}

/// Brings the state in line with what makes it, and says so if it changed.
pub(super) fn review(patient: &mut Patient, cx: &mut Context<'_>) {
    let state = assess(patient, cx);
    if state == patient.monitoring.state {
        return;
    }
    patient.monitoring.state = state;
    patient.monitoring.since = cx.moment.now;
    cx.outputs.push(Output::Monitoring(Box::new(change(patient, cx.site))));
}

/// Says the state as it is now, changed or not: followers hear of this patient, or of them at this
/// place, for the first time.
pub(super) fn tell(patient: &mut Patient, cx: &mut Context<'_>) {
    let state = assess(patient, cx);
    if state != patient.monitoring.state {
        (patient.monitoring.state, patient.monitoring.since) = (state, cx.moment.now);
    }
    cx.outputs.push(Output::Monitoring(Box::new(change(patient, cx.site))));
}

/// The same of a patient who was at another site until now.
pub(super) fn tell_moved(patient: &mut Patient, cx: &mut Context<'_>, from: SiteId) {
    tell(patient, cx);
    if let Some(Output::Monitoring(change)) = cx.outputs.last_mut() {
        change.moved_from = Some(from);
    }
}

/// The state as it is told.
pub(super) fn change(patient: &Patient, site: &SiteId) -> MonitoringChange {
    MonitoringChange {
        patient: patient.row.id.clone(),
        patient_key: patient.row.key,
        site: site.clone(),
        state: patient.monitoring.state,
        since: patient.monitoring.since,
        moved_from: None,
    }
}

fn assess(patient: &Patient, cx: &Context<'_>) -> MonitoringState {
    let is_silent = |it: &Channel| it.is_stale && it.interval().is_some();
    // Watching is what devices do: what people measure now and then makes nobody watched.
    let mut of_devices = patient.channels.iter().filter(|channel| !channel.is_by_hand());
    if patient.devices.is_empty() {
        MonitoringState::NoDevice
    } else if patient.row.paused_until.is_some() {
        MonitoringState::Paused
    } else if !cx.rules.judges_anything() {
        MonitoringState::LimitsOff
    } else if of_devices.all(|channel| channel.is_stale) {
        MonitoringState::NoData
    } else if patient.channels.iter().any(is_silent) || !cx.rules.can_all_fire(patient) {
        MonitoringState::Partial
    } else {
        MonitoringState::Monitored
    }
}
