//! What devices say of themselves, and what their clocks say.
//!
//! Statuses of one device are ordered by (boot, time); a Last Will counts at its receipt, and one
//! of an older boot is ignored. What a device says after its Last Will takes that back; it is
//! ordered by the device's clock alone, which may be behind ours. What a status says becomes faults
//! of the patient who wears the device, and, if others stand behind it, the outage of a gateway. A
//! clock is off if a message was sent from the future, or if every one of the last messages took
//! longer than a network does; how far it is off is kept in the device's account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admit::{self, Device, Other};
use super::alerts::Trigger;
use super::context::Context;
use super::decode::{self, Batch, Refused};
use super::input::Publish;
use super::outage::gateways;
use super::output::{Output, RejectReason};
use super::patient::{Patient, Source};
use super::profile::TechnicalCondition;
use super::query::DeviceStatus;
use super::rules::technical::{self, Fault};
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceEvent, DeviceId, DeviceKey};

/// A clock that is further off is a fault.
const SKEW_MAX: Duration = Duration::from_secs(30);
/// Messages in a row that look too old until the clock is what is wrong, and not the network.
const BEHIND_MESSAGES: u8 = 5;

/// What is known of a device besides its readings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceState {
    /// The gateway in front of it.
    pub(super) gateway: Option<DeviceKey>,
    /// The boot of the status in force, and when in it the device itself last said something, by
    /// its own clock; [`Timestamp::MIN`] if never.
    said: Option<(u64, Timestamp)>,
    /// When its Last Will came, if that is in force.
    lost_at: Option<Timestamp>,
    battery_percent: Option<u8>,
    /// Whether the sensor is on the patient, if the device can tell.
    is_attached: Option<bool>,
    has_fault: bool,
    event: Option<DeviceEvent>,
    /// The version of its firmware, if it said so.
    firmware: Option<Box<str>>,
    /// Whether its clock is off.
    is_clock_off: bool,
    /// Whether it says that its clock was never set.
    is_clock_unset: bool,
    /// Messages in a row that looked too old.
    behind: u8,
}

/// Takes in a status.
pub(super) fn receive(
    state: &mut State,
    publish: &Publish,
    device: DeviceKey,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<(), Refused> {
    let read = decode::status(publish, &state.general.settings);
    // What the broker had kept, and a Last Will, come from the broker; so may what can't be read.
    let is_seen = read.as_ref().is_ok_and(|status| status.is_online) && !publish.retained;
    let taken = read.and_then(|status| check_clock(status, now));
    let is_refused = taken.is_err();
    admit::take_note(state, device, Other { is_refused, is_seen }, now, outputs);
    let status = taken?;
    if !state.device(device).state.is_news(&status, publish.retained) {
        return Ok(());
    }
    set_gateway(state, device, status.gateway.as_ref());
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    let was_offline = row.state.is_offline();
    let said = row.state.said_by(&status, now);
    row.state = DeviceState {
        said: Some((status.boot_id, said)),
        lost_at: (!status.is_online).then_some(now),
        battery_percent: status.battery_percent.or(row.state.battery_percent),
        is_attached: status.is_attached.or(row.state.is_attached),
        // A Last Will was written before anything happened.
        has_fault: if status.is_online { status.has_fault } else { row.state.has_fault },
        event: if status.is_online { status.event } else { row.state.event },
        firmware: status.firmware.or_else(|| row.state.firmware.clone()),
        ..row.state.clone()
    };
    tell_gateway(state, device, was_offline, now, outputs);
    tell_wearer(state, device, now, outputs);
    Ok(())
}

fn check_clock(status: decode::Status, now: Timestamp) -> Result<decode::Status, Refused> {
    if status.at.is_some_and(|at| at.since(now) > SKEW_MAX) && status.is_online {
        let detail = "the status is from more than 30 s ahead of the service's clock".to_owned();
        return Err((RejectReason::ClockAhead, detail));
    }
    Ok(status)
}

impl DeviceState {
    /// An alert that tells so was rebuilt: it ends with the first message that tells otherwise.
    pub(super) const fn restore_clock_fault(&mut self) {
        self.is_clock_off = true;
    }

    /// What it asserts is about nobody any more.
    pub(super) const fn forget_wearer(&mut self) {
        self.event = None;
    }

    const fn is_offline(&self) -> bool {
        self.lost_at.is_some()
    }

    /// Whether a status says something that is not known, and not overtaken.
    fn is_news(&self, status: &decode::Status, is_retained: bool) -> bool {
        let Some((boot_id, said)) = self.said else { return true };
        if status.boot_id != boot_id {
            return status.boot_id == 0 || status.boot_id > boot_id;
        }
        match status.at {
            // A Last Will comes again and again if it is retained.
            _ if !status.is_online => !self.is_offline(),
            // What says that it is there again was said after what it had said before, by the
            // clock that had said that, whatever ours says of when its Last Will came.
            Some(at) if self.is_offline() => at > said,
            Some(at) => at >= said,
            // As old as anything, if the broker had kept it.
            None => !is_retained,
        }
    }

    /// When the device itself last said something in the boot of a status that is taken in.
    fn said_by(&self, status: &decode::Status, now: Timestamp) -> Timestamp {
        match self.said {
            _ if status.is_online => status.at.unwrap_or(now),
            Some((boot_id, said)) if boot_id == status.boot_id => said,
            _ => Timestamp::MIN,
        }
    }

    /// Everything that is known, as faults.
    fn faults(&self, is_covered: bool) -> Vec<Fault> {
        let either = |is_present: bool, condition| {
            if is_present { Fault::Present(condition) } else { Fault::Absent(condition) }
        };
        let mut faults = vec![
            either(self.is_offline() && !is_covered, TechnicalCondition::DeviceOffline),
            either(self.is_attached == Some(false), TechnicalCondition::SensorOff),
            either(self.has_fault, TechnicalCondition::DeviceFault),
            either(self.is_clock_off || self.is_clock_unset, TechnicalCondition::ClockFault),
            Fault::Asserted(self.event),
        ];
        faults.extend(self.battery_percent.map(Fault::Battery));
        faults
    }
}

/// What a device last said of itself, if it did.
pub(super) fn told(state: &State, device: &Device) -> Option<DeviceStatus> {
    let held = &device.state;
    let (boot_id, said) = held.said?;
    Some(DeviceStatus {
        is_online: !held.is_offline(),
        boot_id,
        at: held.lost_at.unwrap_or(said),
        gateway: held.gateway.map(|gateway| state.device(gateway).row.id.clone()),
        battery_percent: held.battery_percent,
        is_attached: held.is_attached,
        has_fault: held.has_fault,
        event: held.event,
        firmware: held.firmware.as_deref().unwrap_or_default().to_owned(),
    })
}

/// A device that others stand behind is a gateway: its outage is theirs.
fn tell_gateway(
    state: &mut State,
    device: DeviceKey,
    was_offline: bool,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let is_offline = state.device(device).state.is_offline();
    if is_offline && !was_offline && state.behind.contains_key(&device) {
        gateways::offline(state, device, now, now, outputs);
    } else if !is_offline {
        gateways::online(state, device, now, outputs);
    }
}

fn tell_wearer(state: &mut State, device: DeviceKey, now: Timestamp, outputs: &mut Vec<Output>) {
    let Some(binding) = state.device(device).bound() else { return };
    let patient = binding.patient;
    state.with_patient(patient, now, outputs, |patient, cx| note_faults(patient, cx, device));
}

/// Makes what is known of a device known to the rules of who wears it.
pub(super) fn note_faults(patient: &mut Patient, cx: &mut Context<'_>, device: DeviceKey) {
    let state = &cx.device(device).state;
    let is_covered = cx.gateways.cover(state.gateway);
    for fault in state.faults(is_covered) {
        technical::note(patient, cx, Source::Device(device), fault, &Trigger::DeviceStatus);
    }
}

/// A device names the gateway in front of it.
pub(super) fn set_gateway(state: &mut State, device: DeviceKey, gateway: Option<&DeviceId>) {
    let Some(gateway) = gateway.and_then(|id| state.device_key(id.as_str())) else { return };
    let held = state.device(device);
    let is_its = held.row.site == state.device(gateway).row.site && gateway != device;
    if !is_its || held.state.gateway == Some(gateway) {
        return;
    }
    let before = held.state.gateway;
    let row = state.devices.get_mut(device.index()).expect("just seen");
    row.state.gateway = Some(gateway);
    state.note_gateway(device, before, gateway);
    if state.general.gateways.cover(Some(gateway)) {
        leave_to_gateway(state, device);
    }
}

/// Its gateway is offline already: what was about to be told of the device alone is not.
fn leave_to_gateway(state: &mut State, device: DeviceKey) {
    let Some(patient) = state.device(device).bound().map(|binding| binding.patient) else { return };
    let rules = state.rules_of(patient);
    let wearer = state.patients.get_mut(patient.index()).expect("bindings name patients");
    technical::leave_to_gateway(wearer, &rules, device);
}

/// Heeds what a device says of its clock, for as long as it says so.
pub(super) fn note_clock_sync(
    state: &mut State,
    device: DeviceKey,
    batch: &Batch,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    if state.device(device).state.is_clock_unset == batch.is_clock_unset {
        return;
    }
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    row.state.is_clock_unset = batch.is_clock_unset;
    tell_wearer(state, device, now, outputs);
}

/// Looks at a device's clock, by when a batch says it was sent.
pub(super) fn watch_clock(
    state: &mut State,
    device: DeviceKey,
    batch: &Batch,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let Some(sent_at) = batch.sent_at else { return };
    let is_listening = !state.general.attention.is_still();
    let is_ahead = sent_at.since(now) > SKEW_MAX;
    let is_behind = now.since(sent_at) > SKEW_MAX;
    let held = &state.device(device).state;
    // What waited for us, or for a network, says nothing of the clock.
    let behind = if is_behind { held.behind.saturating_add(u8::from(is_listening)) } else { 0 };
    let is_off = is_ahead || behind >= BEHIND_MESSAGES;
    if (held.behind, held.is_clock_off) == (behind, is_off) {
        return;
    }
    let is_news = held.is_clock_off != is_off;
    let row = state.devices.get_mut(device.index()).expect("the caller looked it up");
    (row.state.behind, row.state.is_clock_off) = (behind, is_off);
    if is_news {
        tell_wearer(state, device, now, outputs);
    }
}
