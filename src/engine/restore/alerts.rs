//! Open alerts, rebuilt: with their ids and revisions, so that what clinicians have seen of them and
//! done about them still holds, and with what makes their rules stand where they stand.

use super::AlertStanding;
use crate::clock::Timestamp;
use crate::engine::admit;
use crate::engine::alerts::flood::{self, Flood};
use crate::engine::alerts::{Alert, AlertKind, Condition, Open, Trigger};
use crate::engine::context::event;
use crate::engine::outage::gateways;
use crate::engine::output::Output;
use crate::engine::profile::{EffectiveRule, RuleKind, TechnicalCondition};
use crate::engine::rules::restored;
use crate::engine::state::State;
use crate::vitals::{DeviceId, DeviceKey, PatientKey};

/// Takes an alert in, and tells that it is open. One of a rule that has an open alert already, or of
/// a patient who is not known, is nobody's: it stays as it stands in the store.
pub(super) fn open(
    state: &mut State,
    standing: &AlertStanding,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    if standing.alert.is_over() || standing.alert.retrospective {
        return;
    }
    match standing.alert.patient_key {
        Some(key) if key.index() < state.patients.len() => {
            open_of_patient(state, key, standing, now, outputs);
        }
        Some(_) => {}
        None => open_of_service(state, standing, now, outputs),
    }
}

fn device_of(state: &State, alert: &Alert) -> Option<DeviceKey> {
    let id = alert.device.as_ref()?;
    if *id == DeviceId::by_hand() {
        return Some(DeviceKey::BY_HAND);
    }
    state.device_key(id.as_str())
}

fn open_of_patient(
    state: &mut State,
    key: PatientKey,
    standing: &AlertStanding,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let AlertStanding { alert, highest } = standing;
    let device = device_of(state, alert);
    let mut is_clock_fault = false;
    state.with_patient(key, now, outputs, |patient, cx| {
        if patient.alert_index(&alert.rule).is_some() {
            return;
        }
        let effective = cx.rules.get(&alert.rule);
        let holds = alert.condition != Condition::Inactive;
        if let Some(effective) = effective.filter(|_| holds) {
            restored::stand(patient, effective, alert, device);
            is_clock_fault = is_of(effective, TechnicalCondition::ClockFault);
        }
        if alert.rule.as_str() == flood::RULE {
            patient.flood = Some(Box::new(Flood::restored(alert.raised_at, alert.covered)));
        }
        let is_lost =
            effective.map_or(alert.kind == AlertKind::Physiological, restored::rests_on_readings);
        let escalations = effective.map_or(&[][..], |it| &it.rule.escalations);
        let (open, phase) =
            Open::restored(alert.clone(), *highest, is_lost, escalations, cx.moment);
        cx.emit(phase, Some(alert.priority), Trigger::Restored, open.alert.clone());
        patient.alerts.push(open);
    });
    if let Some(device) = device.filter(|key| is_clock_fault && *key != DeviceKey::BY_HAND) {
        admit::restore_clock_fault(state, device);
    }
}

fn is_of(effective: &EffectiveRule, condition: TechnicalCondition) -> bool {
    matches!(&effective.rule.kind, RuleKind::Technical(rule) if rule.condition == condition)
}

fn open_of_service(
    state: &mut State,
    standing: &AlertStanding,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let AlertStanding { alert, highest } = standing;
    let site = alert.site.as_ref().and_then(|site| state.site_key(site.as_str()));
    let rules = site.map(|site| state.rules_of_site(site));
    let effective = rules.as_ref().and_then(|rules| rules.get(&alert.rule));
    let is_gateway = effective.is_some_and(|it| is_of(it, TechnicalCondition::GatewayOffline));
    let gateway =
        device_of(state, alert).filter(|_| is_gateway && alert.condition != Condition::Inactive);
    if let Some(gateway) = gateway {
        gateways::restored(state, gateway, alert.onset);
    }
    let moment = state.moment(now);
    let escalations = effective.map_or(&[][..], |it| &it.rule.escalations);
    let (open, phase) = Open::restored(alert.clone(), *highest, false, escalations, moment);
    let before = Some(alert.priority);
    outputs.push(event(phase, moment, before, Trigger::Restored, open.alert.clone()));
    state.general.alerts.push(open);
}
