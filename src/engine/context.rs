//! What the decisions about one patient may look at, besides the patient.

use super::admit::Device;
use super::alerts::{Alert, AlertEvent, Moment, Phase, Subject, Trigger};
use super::outage::gateways::Gateways;
use super::output::Output;
use super::patient::Patient;
use super::rules::RuleSet;
use super::table::Table;
use crate::vitals::{DeviceId, DeviceKey, Priority, SiteId};

/// The surroundings of one patient at one input or timer.
pub(super) struct Context<'a> {
    /// The time.
    pub(super) moment: Moment,
    /// Where the patient is.
    pub(super) site: &'a SiteId,
    /// The rules in force for them.
    pub(super) rules: &'a RuleSet,
    /// All devices, for their ids and what is known of them.
    pub(super) devices: &'a Table<Device>,
    /// The gateways that are offline.
    pub(super) gateways: &'a Gateways,
    /// What it leads to.
    pub(super) outputs: &'a mut Vec<Output>,
    /// Whether a deadline of the patient may have come nearer, or an alert has come or gone: only
    /// then are the indices brought in line.
    pub(super) is_changed: bool,
}

impl Context<'_> {
    /// What is known of a device that is bound.
    pub(super) fn device(&self, key: DeviceKey) -> &Device {
        self.devices.get(key.index()).expect("bindings name devices")
    }

    /// The id of what a channel is measured by: a device's, or the one reserved for people.
    pub(super) fn device_id(&self, key: DeviceKey) -> DeviceId {
        match key {
            DeviceKey::BY_HAND => DeviceId::by_hand(),
            _ => self.device(key).row.id.clone(),
        }
    }

    /// The gateway in front of what a channel is measured by; nobody is in front of a person.
    pub(super) fn gateway(&self, key: DeviceKey) -> Option<DeviceKey> {
        match key {
            DeviceKey::BY_HAND => None,
            _ => self.device(key).gateway(),
        }
    }

    /// Says what happened to an alert.
    pub(super) fn emit(
        &mut self,
        phase: Phase,
        before: Option<Priority>,
        trigger: Trigger,
        alert: Alert,
    ) {
        self.is_changed = true;
        self.outputs.push(event(phase, self.moment, before, trigger, alert));
    }

    /// Whom the patient's alerts are about.
    pub(super) fn subject<'s>(&'s self, patient: &'s Patient) -> Subject<'s> {
        Subject { patient: Some((&patient.row.id, patient.row.key)), site: Some(self.site) }
    }
}

/// An event that no person asked for.
pub(super) fn event(
    phase: Phase,
    moment: Moment,
    priority_before: Option<Priority>,
    trigger: Trigger,
    alert: Alert,
) -> Output {
    Output::Alert(Box::new(AlertEvent {
        phase,
        determined_at: moment.now,
        trigger,
        priority_before,
        actor: None,
        note: None,
        alert,
    }))
}
