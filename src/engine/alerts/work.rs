//! What clinicians do with alerts: acknowledge, pause, reset, assign, note, and pause a patient.
//!
//! None of it ends a condition. Acknowledge, pause and reset name the revision that was seen: if
//! the priority has risen since, nobody has seen this alert, and the request is refused. An alert
//! outside the caller's sites does not exist for them.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::life::Open;
use super::{Alert, AlertEvent, AlertId, Condition, Phase, Signal, Trigger};
use crate::clock::Timestamp;
use crate::engine::input::{AlertAction, Principal, Sites};
use crate::engine::monitoring;
use crate::engine::output::{Done, Output, Refusal, RegistryChange, Reply};
use crate::engine::profile::Violation;
use crate::engine::state::State;
use crate::engine::timers;
use crate::vitals::PatientKey;

/// A pause lasts no longer: a bath or a procedure, not a shift.
pub(in crate::engine) const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Alerts that are over and still told apart from those that never were.
const CLOSED_MAX: usize = 1024;

/// The alerts that ended last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Closed {
    ids: VecDeque<AlertId>,
}

impl Closed {
    /// Takes note of what an input led to.
    pub(in crate::engine) fn follow(&mut self, outputs: &[Output]) {
        for output in outputs {
            let Output::Alert(event) = output else { continue };
            if event.alert.is_over() {
                if self.ids.len() == CLOSED_MAX {
                    self.ids.pop_front();
                }
                self.ids.push_back(event.alert.id);
            }
        }
    }
}

/// Carries out alarm work on one alert.
pub(in crate::engine) fn execute(
    state: &mut State,
    caller: &Principal,
    id: AlertId,
    action: &AlertAction,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let place = find(state, caller, id)?;
    let paused_until = match place {
        Place::Patient(key, _) => state.patient(key).row.paused_until,
        Place::Service(_) => None,
    };
    let open = match place {
        Place::Patient(key, index) => {
            let patient = state.patients.get_mut(key.index()).expect("just found");
            &mut patient.alerts[index]
        }
        Place::Service(index) => &mut state.general.alerts[index],
    };
    let before = open.alert.priority;
    let (phase, note) = step(open, action, &caller.subject, paused_until, now)?;
    let alert = open.alert.clone();
    let is_over = alert.is_over();
    let event = AlertEvent {
        phase: phase.unwrap_or(Phase::Update),
        determined_at: now,
        trigger: Trigger::Request,
        priority_before: Some(before),
        actor: Some(caller.subject.clone()),
        note,
        alert,
    };
    if phase.is_some() {
        outputs.push(Output::Alert(Box::new(event.clone())));
    }
    match place {
        Place::Patient(key, index) => {
            if is_over {
                let patient = state.patients.get_mut(key.index()).expect("just found");
                patient.alerts.remove(index);
            }
            state.note_alerts(key);
            state.reschedule(key);
        }
        Place::Service(index) if is_over => drop(state.general.alerts.remove(index)),
        Place::Service(_) => {}
    }
    Ok(Done::Alert(Box::new(event)))
}

/// Pauses the signals of all of a patient's alerts, those to come included, or ends the pause.
pub(in crate::engine) fn pause_patient(
    state: &mut State,
    key: PatientKey,
    until: Option<Timestamp>,
    (subject, reason): (&str, Option<&str>),
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Result<RegistryChange, Refusal> {
    if until.is_some_and(|until| until <= now || until.since(now) > PAUSE_MAX) {
        return Err(Refusal::InvalidArgument(vec![Violation {
            field: "until".to_owned(),
            description: "later than now, and at most 24 h ahead".to_owned(),
        }]));
    }
    let before = state.patient(key).row.paused_until;
    state.with_patient(key, now, outputs, |patient, cx| {
        patient.row.paused_until = until;
        for index in 0..patient.alerts.len() {
            let escalations = timers::escalations(cx.rules, &patient.alerts[index]);
            let open = &mut patient.alerts[index];
            let phase = match (until, open.alert.signal) {
                (Some(until), Signal::On) => {
                    open.pause(until);
                    Phase::Pause
                }
                // A pause made longer or shorter takes along what it had paused, and what would come
                // back in the midst of it.
                (Some(until), Signal::Paused { until: own })
                    if own < until || (Some(own) == before && own != until) =>
                {
                    open.pause(until);
                    Phase::Pause
                }
                // Only what this pause had paused comes back with it.
                (None, Signal::Paused { until }) if Some(until) == before => {
                    open.resume(escalations, cx.moment);
                    Phase::Resume
                }
                _ => continue,
            };
            let event = AlertEvent {
                phase,
                determined_at: now,
                trigger: Trigger::Request,
                priority_before: Some(open.alert.priority),
                actor: Some(subject.to_owned()),
                note: reason.map(str::to_owned),
                alert: open.alert.clone(),
            };
            cx.outputs.push(Output::Alert(Box::new(event)));
        }
        cx.is_changed = true;
        monitoring::review(patient, cx);
    });
    Ok(RegistryChange::Patient(state.patient(key).row.clone()))
}

/// Where an open alert stands.
#[derive(Clone, Copy)]
enum Place {
    Patient(PatientKey, usize),
    Service(usize),
}

fn find(state: &State, caller: &Principal, id: AlertId) -> Result<Place, Refusal> {
    let is_it = |open: &Open| open.alert.id == id && is_visible(caller, &open.alert);
    let of_patient = state.alarming.iter().find_map(|key| {
        let index = state.patient(*key).alerts.iter().position(is_it)?;
        Some(Place::Patient(*key, index))
    });
    let own = || state.general.alerts.iter().position(is_it).map(Place::Service);
    of_patient.or_else(own).ok_or_else(|| {
        // What is over says so to whoever knows its id: an id can't be guessed.
        if state.general.closed.ids.contains(&id) {
            refuse("ALERT_ENDED", "the alert is over")
        } else {
            Refusal::NotFound { kind: "alert", id: id.to_string() }
        }
    })
}

fn is_visible(caller: &Principal, alert: &Alert) -> bool {
    match &alert.site {
        Some(site) => caller.sites.include(site),
        None => caller.sites == Sites::All,
    }
}

fn refuse(reason: &'static str, description: &str) -> Refusal {
    Refusal::FailedPrecondition { reason, description: description.to_owned() }
}

/// Takes one step; `None` for a phase if it was taken before and nothing is to be told.
fn step(
    open: &mut Open,
    action: &AlertAction,
    caller: &str,
    paused_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Option<Phase>, Option<String>), Refusal> {
    let is_active = open.alert.condition != Condition::Inactive;
    match action {
        AlertAction::Acknowledge { revision, note } => {
            check_seen(&open.alert, *revision)?;
            if !is_active {
                return Err(refuse("ALERT_ENDED", "the condition has ended; reset the signal"));
            }
            if open.alert.signal == Signal::Acknowledged {
                return acknowledged(open, caller).map(|()| (None, note.clone()));
            }
            open.acknowledge(caller, now);
            Ok((Some(Phase::Acknowledge), note.clone()))
        }
        AlertAction::Pause { revision, duration, note } => {
            check_seen(&open.alert, *revision)?;
            if !is_active {
                return Err(refuse("ALERT_ENDED", "the condition has ended; reset the signal"));
            }
            if duration.is_zero() || *duration > PAUSE_MAX {
                return Err(Refusal::InvalidArgument(vec![Violation {
                    field: "duration".to_owned(),
                    description: "more than 0 s, and at most 24 h".to_owned(),
                }]));
            }
            // A pause of the patient that lasts longer is not cut short.
            let until = now.plus(*duration);
            open.pause(paused_until.map_or(until, |patients| patients.max(until)));
            Ok((Some(Phase::Pause), note.clone()))
        }
        AlertAction::Reset { revision } => {
            check_seen(&open.alert, *revision)?;
            if is_active {
                return Err(refuse("ALERT_ACTIVE", "the condition still holds; acknowledge it"));
            }
            open.close(now);
            Ok((Some(Phase::Reset), None))
        }
        AlertAction::Assign { assignee, revision } => {
            if open.alert.assignee == *assignee {
                return Ok((None, None));
            }
            if let Some(revision) = revision {
                check_assigned(open, *revision)?;
            }
            open.assign(assignee.as_deref());
            Ok((Some(Phase::Update), None))
        }
        AlertAction::AddNote { note } => {
            open.bump();
            Ok((Some(Phase::Update), Some(note.clone())))
        }
    }
}

/// Who acknowledges again is told that it stands; whoever else is told who was first, because the
/// work is theirs, and so is its note.
fn acknowledged(open: &Open, caller: &str) -> Result<(), Refusal> {
    match open.acknowledged.as_deref() {
        Some((by, at)) if by != caller => Err(Refusal::AlertAcknowledged {
            by: by.clone(),
            at: *at,
            revision: open.alert.revision,
        }),
        // Of a state that was lost it is not known who it was.
        _ => Ok(()),
    }
}

/// Nobody takes an alert from whom it was given to since they looked.
fn check_assigned(open: &Open, revision: u32) -> Result<(), Refusal> {
    check_known(&open.alert, revision)?;
    if revision >= open.assigned_in {
        return Ok(());
    }
    let to = open.alert.assignee.as_deref().unwrap_or("nobody");
    Err(Refusal::Aborted {
        reason: "ALERT_REASSIGNED",
        description: format!("the alert was given to {to} since; look at it again"),
    })
}

fn check_known(alert: &Alert, revision: u32) -> Result<(), Refusal> {
    if revision > alert.revision {
        return Err(refuse("ETAG_UNKNOWN", "the alert never had this etag; read it again"));
    }
    Ok(())
}

/// Whether the caller has seen the alert at the priority it has.
fn check_seen(alert: &Alert, revision: u32) -> Result<(), Refusal> {
    check_known(alert, revision)?;
    if revision < alert.risen_in {
        return Err(refuse(
            "ALERT_ESCALATED",
            "the alert has reached a higher priority since; look at it again",
        ));
    }
    Ok(())
}
