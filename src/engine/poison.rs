//! Inputs on which an engine has panicked: refused unread.
//!
//! Whoever feeds the engine has set them aside and says so by the kind of the input; nothing of
//! their content is looked at, except a message's topic and who sent a command. A message becomes a refusal, with a
//! verdict if it was to be a batch, and a command its caller's answer. Either is told by an alert
//! that waits for a person, one for each device: this is our own bug, and somebody must hear of
//! it. While that alert is open it counts what follows.

use super::admit::{self, Other};
use super::alerts::{Phase, Policy, Trigger};
use super::audit;
use super::context::event;
use super::input::{Poisoned, Publish};
use super::outage::{Outage, highest_technical, is_of, own, raise_latched};
use super::output::{Output, Refusal, RejectReason, Reply};
use super::state::State;
use super::{find_device, refuse_all, reject, verdict};
use crate::clock::Timestamp;
use crate::mqtt::topic::{Kind, Topic};
use crate::vitals::{DeviceKey, Priority};

/// The rule of the alert that something was refused unread.
pub(super) const POISON: &str = "pulseward.poison";

/// What the sender of a message is told.
const DETAIL: &str = "the service broke down on this message before and has not read it again; \
                      tell the service's makers";

/// Refuses an input; the answer, if it was a command.
pub(super) fn refuse(
    state: &mut State,
    poisoned: &Poisoned,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Option<Reply> {
    match poisoned {
        Poisoned::Publish(publish) => {
            refuse_message(state, publish, now, outputs);
            None
        }
        Poisoned::Command(command) => {
            tell(state, None, now, outputs);
            audit::tell_unread(state, command, now, outputs);
            Some(Err(Refusal::Poisoned))
        }
    }
}

fn refuse_message(state: &mut State, publish: &Publish, now: Timestamp, outputs: &mut Vec<Output>) {
    let refused = (RejectReason::Poisoned, DETAIL.to_owned());
    outputs.push(reject(publish, None, refused.clone()));
    let topic = Topic::parse(&publish.topic).ok();
    let readings = topic.filter(|topic| topic.kind == Kind::Readings);
    if let Some(topic) = readings {
        outputs.push(verdict(refuse_all(publish, topic, refused)));
    }
    let device = topic.and_then(|topic| find_device(state, topic).ok());
    if let Some(device) = device {
        // A status may be a Last Will, which is the broker's.
        let other = Other { is_refused: true, is_seen: readings.is_some() };
        admit::take_note(state, device, other, now, outputs);
    }
    tell(state, device, now, outputs);
}

/// Tells of it by an alert of the device, or of the service itself.
fn tell(state: &mut State, device: Option<DeviceKey>, now: Timestamp, outputs: &mut Vec<Output>) {
    if count(state, device, now, outputs) {
        return;
    }
    let rule = own(POISON);
    let outage = Outage {
        policy: Policy::own(&rule),
        place: device.map(|device| {
            let row = &state.device(device).row;
            (state.site(row.site).row.id.clone(), row.id.clone())
        }),
        priority: priority(state, device),
        covered: 1,
        onset: now,
        trigger: Trigger::Ingest,
    };
    raise_latched(state, outage, now, outputs);
}

/// Counts it in the alert that is open; false if none is.
fn count(
    state: &mut State,
    device: Option<DeviceKey>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> bool {
    let moment = state.moment(now);
    let id = device.map(|device| state.device(device).row.id.clone());
    let mut alerts = state.general.alerts.iter_mut();
    let Some(open) = alerts.find(|open| is_of(open, POISON) && open.alert.device == id) else {
        return false;
    };
    open.alert.covered = open.alert.covered.saturating_add(1);
    open.bump();
    let (before, alert) = (Some(open.alert.priority), open.alert.clone());
    outputs.push(event(Phase::Update, moment, before, Trigger::Ingest, alert));
    true
}

/// As high as what may have been missed: the data of whoever wears the device, or of anybody.
fn priority(state: &mut State, device: Option<DeviceKey>) -> Priority {
    let Some(device) = device else { return state.highest_technical_priority() };
    let device = state.device(device);
    let rules = match device.bound().map(|binding| binding.patient) {
        Some(patient) => state.rules_of(patient),
        None => state.rules_of_site(device.row.site),
    };
    highest_technical(&rules).unwrap_or(Priority::Medium)
}
