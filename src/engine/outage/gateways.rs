//! Gateways that are offline: one alert for all the devices behind each.
//!
//! A gateway is a device that others have named as the one in front of them. While it is offline
//! nobody behind it is called silent or offline, provided that a rule of its site tells of the
//! gateway; its alert has the highest priority among the rules that it stands for. When it is back,
//! the devices behind it are given their intervals anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Outage, end, highest_technical, is_of, raise};
use crate::clock::Timestamp;
use crate::engine::alerts::{Open, Policy, Trigger};
use crate::engine::context::Context;
use crate::engine::output::Output;
use crate::engine::patient::Patient;
use crate::engine::poison::POISON;
use crate::engine::profile::{EffectiveRule, RuleKind, TechnicalCondition, TechnicalRule};
use crate::engine::rules::{RuleSet, technical};
use crate::engine::state::State;
use crate::engine::status;
use crate::vitals::{DeviceKey, PatientKey};

/// The gateways that are offline, with devices behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Gateways {
    offline: BTreeMap<DeviceKey, GatewayOutage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GatewayOutage {
    since: Timestamp,
    /// When its alert is due; `None` once it was raised.
    due_at: Option<Timestamp>,
}

impl Gateways {
    /// Whether this gateway is offline, so that its alert stands for the devices behind it.
    pub(in crate::engine) fn cover(&self, gateway: Option<DeviceKey>) -> bool {
        gateway.is_some_and(|gateway| self.offline.contains_key(&gateway))
    }

    /// When the next of their alerts is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.offline.values().filter_map(|outage| outage.due_at).min()
    }
}

/// The alert of a gateway was rebuilt from the store: it lasts until the gateway says otherwise.
pub(in crate::engine) fn restored(state: &mut State, gateway: DeviceKey, since: Timestamp) {
    let outage = GatewayOutage { since, due_at: None };
    state.general.gateways.offline.insert(gateway, outage);
}

/// A device with others behind it is offline. Without a rule that says so to the ward, the devices
/// behind it speak for themselves.
pub(in crate::engine) fn offline(
    state: &mut State,
    gateway: DeviceKey,
    since: Timestamp,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let rules = state.rules_of_site(state.device(gateway).row.site);
    let Some((_, rule)) = gateway_rule(&rules) else { return };
    let due_at = Some(since.plus(rule.delay));
    let outage = GatewayOutage { since, due_at };
    state.general.gateways.offline.entry(gateway).or_insert(outage);
    tell_wearers(state, gateway, now, outputs, |patient, cx, device| {
        technical::leave_to_gateway(patient, cx.rules, device);
    });
    fire(state, now, outputs);
}

fn gateway_rule(rules: &RuleSet) -> Option<(&EffectiveRule, &TechnicalRule)> {
    rules.iter().find_map(|effective| match &effective.rule.kind {
        RuleKind::Technical(rule) if rule.condition == TechnicalCondition::GatewayOffline => {
            Some((effective, rule))
        }
        _ => None,
    })
}

/// Raises the alerts that are due.
pub(super) fn fire(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let is_due = |outage: &GatewayOutage| outage.due_at.is_some_and(|at| at <= now);
    let due = state.general.gateways.offline.iter().filter(|(_, outage)| is_due(outage));
    let due: Vec<(DeviceKey, Timestamp)> = due.map(|(key, outage)| (*key, outage.since)).collect();
    for (gateway, since) in due {
        if let Some(outage) = state.general.gateways.offline.get_mut(&gateway) {
            outage.due_at = None;
        }
        let site = state.device(gateway).row.site;
        let rules = state.rules_of_site(site);
        let Some((effective, rule)) = gateway_rule(&rules) else { continue };
        let covered = patients_behind(state, gateway);
        let priority = covered
            .iter()
            .map(|patient| highest_technical(&state.rules_of(*patient)))
            .fold(rule.priority, |highest, of_patient| highest.max(of_patient.unwrap_or(highest)));
        let place = (state.site(site).row.id.clone(), state.device(gateway).row.id.clone());
        let outage = Outage {
            policy: Policy::from(effective),
            place: Some(place),
            priority,
            covered: u32::try_from(covered.len()).unwrap_or(u32::MAX),
            onset: since,
            trigger: Trigger::DeviceStatus,
        };
        raise(state, outage, now, outputs);
    }
}

/// A gateway is back: the devices behind it are heard from now on.
pub(in crate::engine) fn online(
    state: &mut State,
    gateway: DeviceKey,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    if state.general.gateways.offline.remove(&gateway).is_none() {
        return;
    }
    let device = state.device(gateway).row.id.clone();
    let is_its = |open: &&Open| {
        open.alert.patient.is_none()
            && open.alert.device.as_ref() == Some(&device)
            && !is_of(open, POISON)
    };
    let rule = state.general.alerts.iter().find(is_its).map(|open| open.alert.rule.clone());
    if let Some(rule) = rule {
        end(state, rule.as_str(), Some(&device), now, Trigger::DeviceStatus, outputs);
    }
    tell_wearers(state, gateway, now, outputs, |patient, cx, device| {
        let of_device = patient.channels.iter_mut().filter(|it| it.device == device);
        of_device.for_each(|channel| channel.heard = cx.moment.attentive);
        // It may be offline by itself too.
        status::note_faults(patient, cx, device);
    });
}

/// Lets something happen to everybody who wears a device behind a gateway.
fn tell_wearers(
    state: &mut State,
    gateway: DeviceKey,
    now: Timestamp,
    outputs: &mut Vec<Output>,
    change: impl Fn(&mut Patient, &mut Context<'_>, DeviceKey),
) {
    for device in state.behind.get(&gateway).cloned().unwrap_or_default() {
        let Some(patient) = state.device(device).bound().map(|it| it.patient) else { continue };
        state.with_patient(patient, now, outputs, |patient, cx| {
            change(patient, cx, device);
            cx.is_changed = true;
        });
    }
}

fn patients_behind(state: &State, gateway: DeviceKey) -> BTreeSet<PatientKey> {
    let Some(behind) = state.behind.get(&gateway) else { return BTreeSet::new() };
    let wearer = |device: &DeviceKey| {
        let binding = state.device(*device).bindings.last()?;
        binding.until.is_none().then_some(binding.patient)
    };
    behind.iter().filter_map(wearer).collect()
}
