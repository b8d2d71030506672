//! Outages that are one cause of many silences: our own ([`ingest`]), and those of [`gateways`].
//!
//! Each is one alert of no patient, with the highest priority among the technical rules that it
//! stands for, and never a wave of silence alarms (V10).

pub(super) mod gateways;
pub(super) mod ingest;

use super::alerts::{Open, Phase, Policy, Signal, Standing, Subject, Trigger};
use super::context::event;
use super::output::Output;
use super::profile::{Escalation, Profile, RuleKind, TechnicalCondition};
use super::rules::RuleSet;
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, Priority, RuleId, SiteId};

/// When the next of the service's own deadlines is due.
pub(super) fn due_at(state: &State) -> Option<Timestamp> {
    let general = &state.general;
    let pauses = general.alerts.iter().filter_map(|open| match open.alert.signal {
        Signal::Paused { until } => Some(until),
        _ => None,
    });
    let passed_on = general.alerts.iter().filter_map(|open| open.passed_on_at).min();
    let passed_on = passed_on.and_then(|at| general.attention.reaches(at));
    let own = [ingest::due_at(general), general.gateways.due_at(), pauses.min(), passed_on];
    own.into_iter().flatten().min()
}

/// Does what of that is due.
pub(super) fn fire(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    resume_pauses(state, now, outputs);
    pass_on(state, now, outputs);
    ingest::fire(state, now, outputs);
    gateways::fire(state, now, outputs);
}

fn resume_pauses(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let moment = state.moment(now);
    let escalations = escalations(state);
    for (open, escalations) in state.general.alerts.iter_mut().zip(&escalations) {
        if matches!(open.alert.signal, Signal::Paused { until } if until <= now) {
            open.resume(escalations, moment);
            let alert = open.alert.clone();
            let before = Some(alert.priority);
            outputs.push(event(Phase::Resume, moment, before, Trigger::Timer, alert));
        }
    }
}

/// Those alerts that nobody has taken note of are passed on.
fn pass_on(state: &mut State, now: Timestamp, outputs: &mut Vec<Output>) {
    let moment = state.moment(now);
    let escalations = escalations(state);
    for (open, escalations) in state.general.alerts.iter_mut().zip(&escalations) {
        if open.passed_on_at.is_some_and(|at| at <= moment.attentive) {
            open.remind(escalations, moment);
            let alert = open.alert.clone();
            let before = Some(alert.priority);
            outputs.push(event(Phase::Remind, moment, before, Trigger::Timer, alert));
        }
    }
}

/// When each of these alerts is passed on: a gateway's by the rule of its site, our own never.
fn escalations(state: &mut State) -> Vec<Vec<Escalation>> {
    let alerts = state.general.alerts.iter();
    let of: Vec<_> = alerts.map(|it| (it.alert.site.clone(), it.alert.rule.clone())).collect();
    of.into_iter()
        .map(|(site, rule)| {
            let site = site.and_then(|site| state.site_key(site.as_str()));
            let rules = site.map(|site| state.rules_of_site(site));
            let effective = rules.as_ref().and_then(|rules| rules.get(&rule));
            effective.map_or_else(Vec::new, |effective| effective.rule.escalations.clone())
        })
        .collect()
}

pub(super) fn own(rule: &str) -> RuleId {
    RuleId::new(rule).expect("our own rule ids are valid")
}

pub(super) fn is_of(open: &Open, rule: &str) -> bool {
    open.alert.rule.as_str() == rule
}

/// An alert that is about no patient.
pub(super) struct Outage<'a> {
    pub(super) policy: Policy<'a>,
    /// A device, and where it is; `None` for the service itself.
    pub(super) place: Option<(SiteId, DeviceId)>,
    pub(super) priority: Priority,
    /// How many patients, or inputs, it stands for.
    pub(super) covered: u32,
    pub(super) onset: Timestamp,
    pub(super) trigger: Trigger,
}

fn raise(state: &mut State, outage: Outage<'_>, now: Timestamp, outputs: &mut Vec<Output>) {
    let occurrence = state.general.ingest.next_occurrence();
    let moment = state.moment(now);
    let standing = Standing {
        device: outage.place.as_ref().map(|(_, device)| device.clone()),
        vital: None,
        limit: None,
        score: None,
        priority: outage.priority,
        is_current: true,
        unconfirmed: false,
        covered: outage.covered,
    };
    let site = outage.place.as_ref().map(|(site, _)| site);
    let subject = Subject { patient: None, site };
    let policy = outage.policy;
    let open = Open::start(subject, policy, standing, outage.onset, occurrence, moment, None);
    outputs.push(event(Phase::Start, moment, None, outage.trigger, open.alert.clone()));
    state.general.alerts.push(open);
}

/// Raises an alert of our own that is over at once, and whose signal waits for a person.
pub(super) fn raise_latched(
    state: &mut State,
    outage: Outage<'_>,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let Outage { policy, priority, trigger, .. } = outage;
    raise(state, Outage { trigger: trigger.clone(), ..outage }, now, outputs);
    let moment = state.moment(now);
    let open = state.general.alerts.last_mut().expect("just raised");
    open.end(Policy { latching_from: Some(Priority::Low), ..policy }, now);
    let alert = open.alert.clone();
    outputs.push(event(Phase::End, moment, Some(priority), trigger, alert));
}

/// Ends the open alert of a rule of our own, if there is one.
fn end(
    state: &mut State,
    rule: &str,
    device: Option<&DeviceId>,
    now: Timestamp,
    trigger: Trigger,
    outputs: &mut Vec<Output>,
) {
    let moment = state.moment(now);
    let is_it = |open: &Open| is_of(open, rule) && open.alert.device.as_ref() == device;
    let Some(index) = state.general.alerts.iter().position(is_it) else { return };
    let mut open = state.general.alerts.remove(index);
    let (before, rule) = (open.alert.priority, open.alert.rule.clone());
    open.end(Policy::own(&rule), now);
    outputs.push(event(Phase::End, moment, Some(before), trigger, open.alert));
}

fn close(state: &mut State, rule: &str, now: Timestamp, outputs: &mut Vec<Output>) {
    let moment = state.moment(now);
    let Some(index) = state.general.alerts.iter().position(|open| is_of(open, rule)) else {
        return;
    };
    let mut open = state.general.alerts.remove(index);
    let before = open.alert.priority;
    open.close(now);
    outputs.push(event(Phase::Close, moment, Some(before), Trigger::Grouping, open.alert));
}

/// The highest priority with which these rules tell that data does not come.
pub(super) fn highest_technical(rules: &RuleSet) -> Option<Priority> {
    rules.iter().filter_map(|effective| technical_priority(&effective.rule.kind)).max()
}

/// The same of a profile.
pub(super) fn highest_in(profile: &Profile) -> Option<Priority> {
    profile.rules.iter().filter_map(|rule| technical_priority(&rule.kind)).max()
}

const fn technical_priority(kind: &RuleKind) -> Option<Priority> {
    match kind {
        RuleKind::Silence(rule) => Some(rule.priority),
        RuleKind::Technical(rule) => match rule.condition {
            TechnicalCondition::DeviceOffline | TechnicalCondition::GatewayOffline => {
                Some(rule.priority)
            }
            _ => None,
        },
        _ => None,
    }
}
