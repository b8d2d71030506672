//! Flood control: one patient's alerts must not drown the ward's.
//!
//! A patient who has had [`STARTS_MAX`] alerts of low or medium priority within [`WINDOW`] gets no
//! further ones for now: one alert of the rule [`RULE`] stands for all of them, says how many, and
//! has the highest priority among them. High priority is never held back, and an alert that
//! reaches it is told at once. When the window has room again, conditions that still hold raise
//! their own alerts, and the flood ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::life::{Open, Policy, Standing};
use super::settle::{self, Cause};
use super::{Phase, Trigger};
use crate::clock::Timestamp;
use crate::engine::context::Context;
use crate::engine::patient::Patient;
use crate::vitals::{Priority, RuleId};

/// The rule of the alert that stands for the others.
pub(crate) const RULE: &str = "pulseward.flood";
/// Alerts of low or medium priority that a patient may have within [`WINDOW`]. Tuned wards see 2
/// to 11 alarms a patient and day (clinical facts, section 4): ten in an hour is a patient whose
/// limits are to be looked at.
const STARTS_MAX: usize = 10;
/// See [`STARTS_MAX`].
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// How many alerts a patient has had of late.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Flood {
    /// When they started, oldest first; at most [`STARTS_MAX`].
    starts: VecDeque<Timestamp>,
    /// Rules whose alerts are held back now, and their onsets.
    held_back: BTreeMap<RuleId, Timestamp>,
    /// How many alerts were held back in this flood.
    covered: u32,
}

impl Flood {
    /// Of an alert that stands for others and was rebuilt: which they were is not known, so that it
    /// recedes by itself.
    pub(in crate::engine) fn restored(raised_at: Timestamp, covered: u32) -> Self {
        let (starts, held_back) = (VecDeque::from([raised_at]), BTreeMap::new());
        Self { starts, held_back, covered: covered.max(1) }
    }

    fn is_full(&mut self, now: Timestamp) -> bool {
        let expired = now.minus(WINDOW);
        while self.starts.front().is_some_and(|start| *start <= expired) {
            self.starts.pop_front();
        }
        self.starts.len() >= STARTS_MAX
    }

    /// When there is room again, if alerts are held back.
    fn recedes_at(&self) -> Option<Timestamp> {
        let oldest = self.starts.front()?;
        (self.covered > 0).then(|| oldest.plus(WINDOW))
    }
}

impl Patient {
    /// The rule's condition no longer holds: if its alert was held back, it never comes.
    pub(in crate::engine) fn release(&mut self, rule: &RuleId) {
        if let Some(flood) = &mut self.flood {
            flood.held_back.remove(rule);
        }
    }

    /// When held back alerts are looked at again.
    pub(in crate::engine) fn flood_recedes_at(&self) -> Option<Timestamp> {
        self.flood.as_ref()?.recedes_at()
    }
}

/// Whether an alert of this rule may start. If not, the flood's alert stands for it.
pub(in crate::engine) fn admits(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    rule: &RuleId,
    priority: Priority,
    onset: Timestamp,
) -> bool {
    let now = cx.moment.now;
    let flood = patient.flood.get_or_insert_default();
    if priority == Priority::High || !flood.is_full(now) {
        flood.held_back.remove(rule);
        if priority != Priority::High {
            flood.starts.push_back(now);
        }
        return true;
    }
    if !flood.held_back.contains_key(rule) {
        flood.held_back.insert(rule.clone(), onset);
        flood.covered += 1;
    }
    let covered = flood.covered;
    tell(patient, cx, priority, covered);
    false
}

/// Starts or changes the alert that stands for the others.
fn tell(patient: &mut Patient, cx: &mut Context<'_>, priority: Priority, covered: u32) {
    let rule = RuleId::new(RULE).expect("a valid id");
    let open = patient.alert_index(&rule);
    let highest = open.map_or(priority, |open| patient.alerts[open].alert.priority.max(priority));
    let standing = Standing {
        device: None,
        vital: None,
        limit: None,
        score: None,
        priority: highest,
        is_current: true,
        unconfirmed: false,
        covered,
    };
    let (policy, moment) = (Policy::own(&rule), cx.moment);
    let paused = patient.row.paused_until;
    let Some(open) = open else {
        let occurrence = patient.next_occurrence();
        let subject = cx.subject(patient);
        let open = Open::start(subject, policy, standing, moment.now, occurrence, moment, paused);
        cx.emit(Phase::Start, None, Trigger::Grouping, open.alert.clone());
        return patient.alerts.push(open);
    };
    let open = &mut patient.alerts[open];
    let before = open.alert.priority;
    if covered > open.alert.covered {
        open.signal_again();
    }
    if let Some(phase) = open.follow(policy, standing, moment, paused) {
        cx.emit(phase, Some(before), Trigger::Grouping, open.alert.clone());
    }
}

/// There is room again: what was held back and still holds raises its own alert.
pub(in crate::engine) fn recede(patient: &mut Patient, cx: &mut Context<'_>) {
    let Some(flood) = &mut patient.flood else { return };
    flood.is_full(cx.moment.now);
    let held_back = std::mem::take(&mut flood.held_back);
    flood.covered = 0;
    for (rule, onset) in held_back {
        let Some(effective) = cx.rules.get(&rule) else { continue };
        settle::settle(patient, cx, effective, Cause::at(onset, Trigger::Grouping));
    }
    let flood = patient.flood.as_mut().expect("just looked at");
    if flood.held_back.is_empty() {
        let rule = RuleId::new(RULE).expect("a valid id");
        if let Some(open) = patient.alert_index(&rule) {
            settle::close(patient, cx, open, Trigger::Timer);
        }
    } else {
        // Room for some only: the flood goes on for those that are left.
        flood.covered = u32::try_from(flood.held_back.len()).unwrap_or(u32::MAX);
    }
}
