//! V4 and the life of an alert: at most one open alert of a rule on a patient; every event carries
//! the whole alert and takes one legal step; nothing comes after it is over; alarm work is answered
//! as the contract says and never changes a condition; pauses expire at their time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use pulseward::engine::input::{Action, AlertAction, Command, Event, Role, Sites};
use pulseward::engine::output::Reply;
use pulseward::vitals::{DeviceId, PatientId, Priority, RuleId};

use super::registry::Registry;
use super::{Violation, hold, micros};
use crate::ward::{HOUR, SECOND, Step, site_id};

/// The alert that stands for others of its patient.
pub(crate) const FLOOD: &str = "pulseward.flood";

/// Whose alert of which rule: of a patient, a gateway, or the service.
type Key = (Option<PatientId>, Option<DeviceId>, RuleId);

/// All alerts that are not over.
#[derive(Default)]
pub(crate) struct Stories {
    open: BTreeMap<AlertId, Alert>,
    by_rule: BTreeMap<Key, AlertId>,
    ever: HashSet<AlertId>,
    pauses: BTreeSet<(Timestamp, AlertId)>,
    /// The event of the alarm work of this input, if there was one.
    worked: Option<AlertEvent>,
}

fn key(alert: &Alert) -> Key {
    // Of several devices of a patient the worst is named; of gateways each has its own.
    let device = alert.device.clone().filter(|_| alert.patient.is_none());
    (alert.patient.clone(), device, alert.rule.clone())
}

const STORY: &str = "an alert's events form a legal story";

impl Stories {
    /// The open alerts with their revisions.
    pub(crate) fn open(&self) -> impl Iterator<Item = (AlertId, u32)> {
        self.open.values().map(|alert| (alert.id, alert.revision))
    }

    /// The open alerts themselves.
    pub(super) const fn alerts(&self) -> &BTreeMap<AlertId, Alert> {
        &self.open
    }

    /// The open alert of a rule of a patient, or of a gateway or the service.
    pub(super) fn of(
        &self,
        patient: Option<PatientId>,
        device: Option<DeviceId>,
        rule: &str,
    ) -> Option<&Alert> {
        let rule = RuleId::new(rule).expect("a valid id");
        self.by_rule.get(&(patient, device, rule)).map(|id| &self.open[id])
    }

    /// Follows an event.
    pub(super) fn event(
        &mut self,
        event: &AlertEvent,
        registry: &Registry,
    ) -> Result<(), Violation> {
        let alert = &event.alert;
        let is_legal = if event.phase == Phase::Start {
            self.start(event, registry)?
        } else {
            let Some(before) = self.open.get(&alert.id) else {
                return Err(Violation::new(
                    STORY,
                    format!("{event:?} of an alert that isn't open"),
                ));
            };
            hold(is_same(before, alert), STORY, || format!("{event:?} after {before:?}"))?;
            let is_legal = is_step(event, before);
            hold(is_legal, STORY, || format!("{event:?} after {before:?}"))?;
            true
        };
        hold(is_legal, STORY, || format!("{event:?}"))?;
        let is_at_home = alert.patient_key.is_none_or(|patient| {
            alert.site == Some(site_id(registry.patients[patient.index()].site))
        });
        // While a patient moves, alerts are told of with the site that they move to.
        let is_at_home =
            is_at_home || matches!(event.trigger, Trigger::Transfer | Trigger::RuleChanged);
        hold(is_at_home, STORY, || format!("{event:?} names another site"))?;
        self.hold_flood(event)?;
        self.put(event);
        if event.actor.is_some() && event.trigger == Trigger::Request {
            self.worked = Some(event.clone());
        }
        Ok(())
    }

    fn start(&mut self, event: &AlertEvent, registry: &Registry) -> Result<bool, Violation> {
        let alert = &event.alert;
        let (is_new, held) = (self.ever.insert(alert.id), self.by_rule.get(&key(alert)));
        if alert.retrospective {
            let is_over = alert.is_over() && alert.ended_at >= Some(alert.onset);
            return Ok(is_new && is_over && alert.revision == 1 && event.priority_before.is_none());
        }
        hold(held.is_none(), "V4", || format!("{event:?} while {held:?} is open"))?;
        let paused = alert.patient_key.and_then(|it| registry.patients[it.index()].paused_until);
        let paused = paused.filter(|until| *until > event.determined_at);
        let signal = paused.map_or(Signal::On, |until| Signal::Paused { until });
        let is_begun = alert.onset.micros() <= alert.raised_at.micros() + 30 * SECOND;
        Ok(is_new
            && is_begun
            && (alert.revision, alert.risen_in, alert.escalation_level) == (1, 1, 0)
            && alert.raised_at == event.determined_at
            && alert.ended_at.is_none()
            && event.priority_before.is_none()
            && alert.condition != Condition::Inactive
            && alert.signal == signal)
    }

    /// A flood holds back low and medium priority only, and so is never of high priority itself.
    fn hold_flood(&self, event: &AlertEvent) -> Result<(), Violation> {
        let is_held = event.alert.rule.as_str() == FLOOD && event.alert.priority == Priority::High;
        hold(!is_held, "high priority is never held back", || format!("{event:?}"))
    }

    fn put(&mut self, event: &AlertEvent) {
        let alert = &event.alert;
        if let Some(Alert { signal: Signal::Paused { until }, id, .. }) = self.open.get(&alert.id) {
            self.pauses.remove(&(*until, *id));
        }
        if alert.is_over() {
            if self.open.remove(&alert.id).is_some() {
                self.by_rule.remove(&key(alert));
            }
            return;
        }
        if let Signal::Paused { until } = alert.signal {
            self.pauses.insert((until, alert.id));
        }
        self.by_rule.insert(key(alert), alert.id);
        self.open.insert(alert.id, alert.clone());
    }

    /// Nothing is paused beyond its time.
    pub(super) fn after(&self, now: Timestamp) -> Result<(), Violation> {
        let overdue = self.pauses.first().filter(|(until, _)| *until <= now);
        hold(overdue.is_none(), "a pause expires at its time", || format!("{overdue:?} at {now}"))
    }

    /// Another input is looked at.
    pub(super) fn begin(&mut self) {
        self.worked = None;
    }

    /// Alarm work is answered by what was seen and what is.
    pub(super) fn compare_reply(
        &self,
        step: &Step,
        reply: Option<&Reply>,
    ) -> Result<(), Violation> {
        let Event::Command(command) = &step.input.event else {
            let worked = &self.worked;
            return hold(worked.is_none(), STORY, || format!("nobody asked for {worked:?}"));
        };
        let Action::WorkOnAlert { alert: id, action } = &command.action else { return Ok(()) };
        let before = match &self.worked {
            Some(event) => event.alert.revision - 1,
            None => self.open.get(id).map_or(0, |alert| alert.revision),
        };
        let may = self.may_work(command, *id, action, before);
        let is_done = matches!(reply, Some(Ok(_)));
        let is_told = !is_done || self.worked.is_some() || says_nothing(action);
        hold(may == is_done && is_told, "alarm work goes by what was seen", || {
            let alert = self.open.get(id);
            format!("{command:?} was answered {reply:?} and {:?}, with {alert:?}", self.worked)
        })
    }

    /// Whether the contract allows this work on the alert as it was before.
    fn may_work(&self, command: &Command, id: AlertId, action: &AlertAction, before: u32) -> bool {
        let after = self.worked.as_ref().map(|event| &event.alert);
        let Some(alert) = after.or_else(|| self.open.get(&id)) else { return false };
        let is_visible = match (&command.principal.sites, &alert.site) {
            (Sites::All, _) => true,
            (Sites::Only(sites), Some(site)) => sites.contains(site),
            (Sites::Only(_), None) => false,
        };
        let is_seen = |revision: u32| revision <= before && revision >= alert.risen_in;
        let is_ended = alert.condition == Condition::Inactive;
        command.principal.role == Role::Clinician
            && is_visible
            && match action {
                AlertAction::Acknowledge { revision, .. } => is_seen(*revision) && !is_ended,
                AlertAction::Pause { revision, duration, .. } => {
                    is_seen(*revision) && !is_ended && (1..=24 * HOUR).contains(&micros(*duration))
                }
                AlertAction::Reset { revision } => is_seen(*revision) && is_ended,
                AlertAction::Assign { .. } | AlertAction::AddNote { .. } => true,
            }
    }
}

/// Whether work may have nothing to say: who acknowledges twice changes nothing.
const fn says_nothing(action: &AlertAction) -> bool {
    matches!(action, AlertAction::Acknowledge { .. } | AlertAction::Assign { .. })
}

/// Whether what makes an alert itself is as it was.
fn is_same(before: &Alert, after: &Alert) -> bool {
    (before.kind, before.patient_key, before.onset, before.raised_at, before.retrospective)
        == (after.kind, after.patient_key, after.onset, after.raised_at, after.retrospective)
        && before.rule == after.rule
        && before.patient == after.patient
        && after.revision == before.revision + 1
}

/// Whether an event takes a step that its phase may take.
fn is_step(event: &AlertEvent, before: &Alert) -> bool {
    let after = &event.alert;
    let was_over = before.condition == Condition::Inactive;
    let by_person = event.actor.is_some() == (event.trigger == Trigger::Request);
    let same_condition = after.condition == before.condition;
    let same_signal = after.signal == before.signal;
    let same_level = after.escalation_level == before.escalation_level;
    let is_level = after.priority == before.priority && after.risen_in == before.risen_in;
    let is_phase = match event.phase {
        Phase::Start => false,
        Phase::Escalate => {
            after.priority > before.priority
                && after.risen_in == after.revision
                && matches!(after.signal, Signal::On | Signal::Paused { .. })
                && after.escalation_level == 0
                && !was_over
        }
        Phase::Deescalate => {
            after.priority < before.priority
                && after.risen_in == before.risen_in
                && same_signal
                && same_level
                && !was_over
        }
        Phase::End => {
            let latches = after.signal == Signal::Latched && before.signal != Signal::Acknowledged;
            is_level
                && same_level
                && !was_over
                && after.condition == Condition::Inactive
                && after.ended_at.is_some()
                && (latches || after.signal == Signal::Off)
        }
        Phase::Close => is_level && after.is_over() && after.ended_at.is_some(),
        Phase::Update => {
            let is_back = before.condition == Condition::Indeterminate
                && after.condition == Condition::Active;
            // What was acknowledged of a flood does not cover the rules that join it.
            let joins = after.rule.as_str() == FLOOD && after.covered > before.covered;
            let same_priority = after.priority == before.priority;
            let signals_again = joins
                && same_priority
                && before.signal == Signal::Acknowledged
                && after.signal == Signal::On
                && after.risen_in == after.revision;
            same_level
                && ((is_level && same_signal) || signals_again)
                && (same_condition || (is_back && !was_over))
        }
        Phase::Acknowledge => {
            is_level
                && same_level
                && same_condition
                && !was_over
                && after.signal == Signal::Acknowledged
        }
        Phase::Pause => {
            let is_ahead =
                matches!(after.signal, Signal::Paused { until } if until > event.determined_at);
            is_level && same_level && same_condition && !was_over && is_ahead
        }
        Phase::Resume => is_level && same_condition && is_resumed(event, before),
        Phase::Remind => {
            is_level
                && same_condition
                && (before.signal, after.signal) == (Signal::On, Signal::On)
                && after.escalation_level == before.escalation_level + 1
                && !was_over
        }
        Phase::Indeterminate => {
            is_level
                && same_signal
                && before.condition == Condition::Active
                && after.condition == Condition::Indeterminate
        }
        Phase::Reset => is_level && before.signal == Signal::Latched && after.is_over(),
    };
    let is_flood = before.rule.as_str() == FLOOD;
    let kind_ends_rightly =
        before.kind == AlertKind::Technical || event.phase != Phase::End || !is_flood;
    is_phase && by_person && kind_ends_rightly && event.priority_before == Some(before.priority)
}

/// Whether a pause ended by a person, or by time when it was up.
fn is_resumed(event: &AlertEvent, before: &Alert) -> bool {
    let Signal::Paused { until } = before.signal else { return false };
    let is_in_time = event.trigger == Trigger::Request || event.determined_at == until;
    event.alert.signal == Signal::On && is_in_time
}
