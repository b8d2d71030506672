//! The steps in the life of one alert: pure, one function a step, each changes the alert whole or
//! not at all. Who calls them, and what is told of it, is for `settle` and `work`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Alert, AlertKind, Condition, Phase, ScoreSummary, Signal, identify};
use crate::clock::Timestamp;
use crate::engine::attention::Attentive;
use crate::engine::profile::{EffectiveRule, Escalation, RuleKind, Scope};
use crate::vitals::{DeviceId, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, Vital};

/// How far an alert is passed on at most: a nurse, the nurse in charge, the physician on duty.
const ESCALATION_LEVEL_MAX: u8 = 3;

/// An alert that is not over, and what followers need not see of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Open {
    /// The alert.
    pub(in crate::engine) alert: Alert,
    /// The highest priority that it has reached: what decides whether it latches.
    pub(super) highest: Priority,
    /// When it is passed on next, if nobody takes note of it before.
    pub(in crate::engine) passed_on_at: Option<Attentive>,
    /// Who acknowledged it last, and when; `None` if nobody did, or in a state that was lost.
    pub(super) acknowledged: Option<Box<(String, Timestamp)>>,
    /// The revision in which it was given to somebody last.
    pub(super) assigned_in: u32,
}

/// Whom an alert is about.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Subject<'a> {
    /// The patient; `None` for a gateway or the service itself.
    pub(in crate::engine) patient: Option<(&'a PatientId, PatientKey)>,
    /// Where they are; `None` for the service itself.
    pub(in crate::engine) site: Option<&'a SiteId>,
}

/// What a rule says of its alerts' lives.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Policy<'a> {
    pub(in crate::engine) rule: &'a RuleId,
    pub(in crate::engine) version: u32,
    pub(in crate::engine) scope: Scope,
    pub(in crate::engine) kind: AlertKind,
    pub(in crate::engine) latching_from: Option<Priority>,
    pub(in crate::engine) escalations: &'a [Escalation],
}

impl<'a> From<&'a EffectiveRule> for Policy<'a> {
    fn from(effective: &'a EffectiveRule) -> Self {
        let rule = &effective.rule;
        let kind = match rule.kind {
            RuleKind::Silence(_) | RuleKind::Technical(_) => AlertKind::Technical,
            _ => AlertKind::Physiological,
        };
        Self {
            rule: &rule.id,
            version: effective.version,
            scope: effective.scope,
            kind,
            latching_from: rule.latching_from,
            escalations: &rule.escalations,
        }
    }
}

impl<'a> Policy<'a> {
    /// Of an alert that no profile asks for.
    pub(in crate::engine) const fn own(rule: &'a RuleId) -> Self {
        Self {
            rule,
            version: 0,
            scope: Scope::Default,
            kind: AlertKind::Technical,
            latching_from: None,
            escalations: &[],
        }
    }

    fn latches(&self, priority: Priority) -> bool {
        self.latching_from.is_some_and(|from| priority >= from)
    }
}

/// The two clocks at the input or timer being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Moment {
    /// Wall time.
    pub(in crate::engine) now: Timestamp,
    /// Attentive time.
    pub(in crate::engine) attentive: Attentive,
    /// Whether that goes on.
    pub(in crate::engine) is_listening: bool,
}

/// Where a rule stands highest: what its alert takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Standing {
    pub(in crate::engine) device: Option<DeviceId>,
    pub(in crate::engine) vital: Option<Vital>,
    pub(in crate::engine) limit: Option<Quantity>,
    pub(in crate::engine) score: Option<Box<ScoreSummary>>,
    pub(in crate::engine) priority: Priority,
    /// Whether the data that makes it still comes.
    pub(in crate::engine) is_current: bool,
    pub(in crate::engine) unconfirmed: bool,
    pub(in crate::engine) covered: u32,
}

impl Standing {
    const fn condition(&self) -> Condition {
        if self.is_current { Condition::Active } else { Condition::Indeterminate }
    }
}

impl Open {
    /// An alert begins. While the patient is paused its signal waits until the pause is over.
    pub(in crate::engine) fn start(
        subject: Subject<'_>,
        policy: Policy<'_>,
        standing: Standing,
        onset: Timestamp,
        occurrence: u32,
        moment: Moment,
        paused_until: Option<Timestamp>,
    ) -> Self {
        let mut open = Self {
            highest: standing.priority,
            alert: alert(subject, policy, standing, onset, occurrence, moment.now, false),
            passed_on_at: None,
            acknowledged: None,
            assigned_in: 0,
        };
        open.alert.signal = paused_until.map_or(Signal::On, |until| Signal::Paused { until });
        open.arm(policy.escalations, moment);
        open
    }

    /// An alert of a state that was lost, as followers were told of it last; gives the phase of the
    /// event that tells that it is open again. If it rests on readings (`is_lost`), nothing is known
    /// of it until they come again. The time until it is passed on begins anew.
    pub(in crate::engine) fn restored(
        alert: Alert,
        highest: Priority,
        is_lost: bool,
        escalations: &[Escalation],
        moment: Moment,
    ) -> (Self, Phase) {
        let mut open = Self {
            highest: highest.max(alert.priority),
            passed_on_at: None,
            acknowledged: None,
            // It may have been in any that was seen.
            assigned_in: alert.revision,
            alert,
        };
        let loses = is_lost && open.alert.condition == Condition::Active;
        if loses {
            open.alert.condition = Condition::Indeterminate;
        }
        open.arm(escalations, moment);
        open.bump();
        (open, if loses { Phase::Indeterminate } else { Phase::Update })
    }

    /// Takes on where the rule stands now; says what that is, if anything a follower should know
    /// has changed. Reaching a higher priority signals again whatever anybody had answered before.
    pub(in crate::engine) fn follow(
        &mut self,
        policy: Policy<'_>,
        standing: Standing,
        moment: Moment,
        paused_until: Option<Timestamp>,
    ) -> Option<Phase> {
        let before = self.alert.clone();
        let alert = &mut self.alert;
        alert.condition = standing.condition();
        let Standing { device, vital, limit, score, priority, unconfirmed, covered, .. } = standing;
        (alert.device, alert.vital, alert.limit) = (device, vital, limit);
        (alert.priority, alert.unconfirmed, alert.covered) = (priority, unconfirmed, covered);
        (alert.rule_version, alert.scope) = (policy.version, policy.scope);
        // A score's other parameters are not news by themselves.
        if *alert == before {
            return None;
        }
        alert.score = score;
        let lost =
            alert.condition == Condition::Indeterminate && before.condition != alert.condition;
        let revision = self.bump();
        let alert = &mut self.alert;
        match priority.cmp(&before.priority) {
            Ordering::Greater => {
                self.highest = self.highest.max(priority);
                alert.risen_in = revision;
                alert.signal = paused_until.map_or(Signal::On, |until| Signal::Paused { until });
                alert.escalation_level = 0;
                self.arm(policy.escalations, moment);
                Some(Phase::Escalate)
            }
            Ordering::Less => {
                if self.passed_on_at.is_some() {
                    self.arm(policy.escalations, moment);
                }
                Some(Phase::Deescalate)
            }
            Ordering::Equal if lost => Some(Phase::Indeterminate),
            Ordering::Equal => Some(Phase::Update),
        }
    }

    /// The condition has ended. The signal stays of an alert that has reached a priority from which
    /// its rule latches, also if it fell before it ended, and that nobody has answered.
    pub(in crate::engine) fn end(&mut self, policy: Policy<'_>, ended_at: Timestamp) {
        let is_answered = self.alert.signal == Signal::Acknowledged;
        let latches = policy.latches(self.highest) && !is_answered;
        self.finish(ended_at, if latches { Signal::Latched } else { Signal::Off });
    }

    /// It is over without readings.
    pub(in crate::engine) fn close(&mut self, at: Timestamp) {
        self.finish(self.alert.ended_at.unwrap_or(at), Signal::Off);
    }

    fn finish(&mut self, ended_at: Timestamp, signal: Signal) {
        self.alert.condition = Condition::Inactive;
        self.alert.ended_at = Some(ended_at);
        self.alert.signal = signal;
        self.passed_on_at = None;
        self.bump();
    }

    /// It comes to stand for more than was acknowledged, with the event that follows.
    pub(in crate::engine) const fn signal_again(&mut self) {
        if matches!(self.alert.signal, Signal::Acknowledged) {
            self.alert.signal = Signal::On;
            self.alert.risen_in = self.alert.revision + 1;
        }
    }

    /// A clinician has taken note.
    pub(in crate::engine) fn acknowledge(&mut self, by: &str, now: Timestamp) {
        self.alert.signal = Signal::Acknowledged;
        self.acknowledged = Some(Box::new((by.to_owned(), now)));
        self.passed_on_at = None;
        self.bump();
    }

    /// Somebody takes care of it from now on, or nobody.
    pub(in crate::engine) fn assign(&mut self, assignee: Option<&str>) {
        self.alert.assignee = assignee.map(str::to_owned);
        self.assigned_in = self.bump();
    }

    /// The signal is off until `until`.
    pub(in crate::engine) fn pause(&mut self, until: Timestamp) {
        self.alert.signal = Signal::Paused { until };
        self.passed_on_at = None;
        self.bump();
    }

    /// The pause is over.
    pub(in crate::engine) fn resume(&mut self, escalations: &[Escalation], moment: Moment) {
        self.alert.signal = Signal::On;
        self.arm(escalations, moment);
        self.bump();
    }

    /// Nobody has taken note: it is passed on.
    pub(in crate::engine) fn remind(&mut self, escalations: &[Escalation], moment: Moment) {
        self.alert.escalation_level += 1;
        self.arm(escalations, moment);
        self.bump();
    }

    /// Counts an event; gives its revision.
    pub(in crate::engine) fn bump(&mut self) -> u32 {
        self.alert.revision += 1;
        self.alert.revision
    }

    fn arm(&mut self, escalations: &[Escalation], moment: Moment) {
        let priority = self.alert.priority;
        let waits =
            self.alert.signal == Signal::On && self.alert.escalation_level < ESCALATION_LEVEL_MAX;
        let after = escalations.iter().find(|escalation| escalation.priority == priority);
        self.passed_on_at =
            after.filter(|_| waits).map(|escalation| moment.attentive.plus(escalation.after));
    }
}

/// An alert that late readings would have raised: over, and never signalled.
pub(in crate::engine) fn retrospective(
    subject: Subject<'_>,
    policy: Policy<'_>,
    standing: Standing,
    (onset, ended_at): (Timestamp, Timestamp),
    occurrence: u32,
    now: Timestamp,
) -> Alert {
    Alert {
        condition: Condition::Inactive,
        signal: Signal::Off,
        ended_at: Some(ended_at),
        ..alert(subject, policy, standing, onset, occurrence, now, true)
    }
}

fn alert(
    subject: Subject<'_>,
    policy: Policy<'_>,
    standing: Standing,
    onset: Timestamp,
    occurrence: u32,
    now: Timestamp,
    retrospective: bool,
) -> Alert {
    let condition = standing.condition();
    let Standing { device, vital, limit, score, priority, unconfirmed, covered, .. } = standing;
    let name = match (subject.patient, &device) {
        (Some((patient, _)), _) => patient.as_str(),
        (None, Some(device)) => device.as_str(),
        (None, None) => "",
    };
    Alert {
        id: identify(name, policy.rule, onset, occurrence, retrospective),
        kind: policy.kind,
        patient: subject.patient.map(|(id, _)| id.clone()),
        patient_key: subject.patient.map(|(_, key)| key),
        site: subject.site.cloned(),
        device,
        rule: policy.rule.clone(),
        rule_version: policy.version,
        scope: policy.scope,
        vital,
        limit,
        score,
        priority,
        condition,
        signal: Signal::On,
        onset,
        raised_at: now,
        ended_at: None,
        retrospective,
        delayed: false,
        unconfirmed,
        escalation_level: 0,
        assignee: None,
        covered,
        revision: 1,
        risen_in: 1,
    }
}
