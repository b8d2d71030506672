//! Which alerts the limit rules must raise for one patient, and when they must end.
//!
//! `docs/alarms.md`, sections 3 and 5. Readings come in the order in which the service received
//! them, each with the moments between which that was. [`expect`] judges them twice, once as if
//! everything had come as early as it can have, and once as late: what comes out both times is
//! certain, what comes out once may be or not. Late readings fold alone, and tell of alerts that
//! are over. Floods, pauses and requests are not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::profile::{Kind, LimitRule, Micros, Rule};
use super::track::{Said, Track};
use super::vital::Worth;
use crate::proto::v1;

/// Beyond its upload interval, a reading this much older is still in time.
pub const LIVE_WINDOW_GRACE: Micros = 120_000_000;

/// A reading on its way to the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its message, in the order in which they were published.
    pub message: u32,
    /// The device that measured it.
    pub device: u32,
    /// When it was measured, in microseconds since 1970.
    pub measured_at: Micros,
    /// What was measured.
    pub vital: v1::Vital,
    /// What it is worth.
    pub worth: Worth,
    /// Whether the device itself doubts it.
    pub is_doubted: bool,
    /// Whether it comes from a memory, or was measured under a binding that has ended.
    pub is_historical: bool,
    /// The earliest and the latest moment at which the service can have received it.
    pub received: (Micros, Micros),
    /// The binding's interval between uploads.
    pub upload_interval: Micros,
    /// How often the device measures the vital; `None` if nobody said.
    pub measures_every: Option<Micros>,
}

/// A device takes the place of another on the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Which was worn.
    pub from: u32,
    /// Which is worn now.
    pub to: u32,
    /// When the service said so.
    pub at: Micros,
}

/// An alert that must be raised, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    /// Whose.
    pub patient: Arc<str>,
    /// By which rule.
    pub rule: Arc<str>,
    /// When the first reading of the breach was measured.
    pub onset: Timestamp,
    /// When the reading that raises it was measured.
    pub raise_at: Timestamp,
    /// When the reading that ends it was measured, if one did.
    pub end_at: Option<Timestamp>,
    /// Whether that is certain.
    pub is_end_certain: bool,
    /// Each priority that it has, from the first, and when the reading that made it so was
    /// measured.
    pub priorities: Vec<(i32, Timestamp)>,
    /// Whether it is told by late readings alone: over when it becomes known, without signal.
    pub is_retrospective: bool,
    /// Whether it rests on implausible values alone when it is raised, or, if it is retrospective,
    /// when it is told.
    pub is_unconfirmed: bool,
    /// Whether it must be raised; else it may.
    pub is_certain: bool,
    /// The message of the reading that raises it, in the order in which they were published.
    pub message: u32,
}

/// What must follow for one patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The alerts, by rule and onset.
    pub alerts: Vec<ExpectedAlert>,
    /// The rules of which it depends on the moments of receipt what comes out.
    pub unsure: Vec<Arc<str>>,
}

/// What `rules` must raise for `patient`, from `steps` in the order of receipt.
#[must_use]
pub fn expect(
    patient: &Arc<str>,
    rules: &[Rule],
    steps: &[Step],
    handovers: &[Handover],
) -> Expected {
    let judged = |latest: bool| {
        let received = move |step: &Step| if latest { step.received.1 } else { step.received.0 };
        let mut ordered = steps.to_vec();
        ordered.sort_by_key(|it| (received(it), it.message, it.measured_at));
        judge(patient, rules, &ordered, handovers, &received)
    };
    let early = judged(false);
    if steps.iter().all(|step| step.received.0 == step.received.1) {
        return Expected { alerts: early, unsure: Vec::new() };
    }
    merge(early, judged(true))
}

/// What both worlds have is certain; what they disagree in is not.
fn merge(early: Vec<ExpectedAlert>, late: Vec<ExpectedAlert>) -> Expected {
    let key = |alert: &ExpectedAlert| {
        (Arc::clone(&alert.rule), alert.is_retrospective, alert.onset, alert.raise_at)
    };
    let mut others: BTreeMap<_, _> = late.into_iter().map(|alert| (key(&alert), alert)).collect();
    let (mut alerts, mut unsure) = (Vec::new(), Vec::new());
    for alert in early {
        let other = others.remove(&key(&alert));
        let is_same = |other: &ExpectedAlert| {
            other.end_at == alert.end_at && other.priorities == alert.priorities
        };
        let is_certain = other.as_ref().is_some_and(|other| other.is_certain);
        let is_end_certain = other.as_ref().is_some_and(is_same);
        if other.is_none() || !is_end_certain {
            unsure.push(Arc::clone(&alert.rule));
        }
        alerts.push(ExpectedAlert {
            is_certain: alert.is_certain && is_certain,
            is_end_certain: alert.is_end_certain && is_end_certain,
            ..alert
        });
    }
    for alert in others.into_values() {
        unsure.push(Arc::clone(&alert.rule));
        alerts.push(ExpectedAlert { is_certain: false, is_end_certain: false, ..alert });
    }
    alerts.sort();
    unsure.sort();
    unsure.dedup();
    Expected { alerts, unsure }
}

/// How a reading stands to the present of its vital and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timeliness {
    InTime,
    /// Late by age alone, and the newest: how old.
    Aged(Micros),
    Late,
}

fn judge(
    patient: &Arc<str>,
    rules: &[Rule],
    steps: &[Step],
    handovers: &[Handover],
    received: &impl Fn(&Step) -> Micros,
) -> Vec<ExpectedAlert> {
    let mut wards: Vec<Ward<'_>> = rules.iter().filter_map(|it| Ward::new(patient, it)).collect();
    let mut newest: BTreeMap<(u32, v1::Vital), Micros> = BTreeMap::new();
    let mut handovers = handovers.iter().peekable();
    let mut message = None;
    for step in steps {
        while let Some(handover) = handovers.next_if(|it| it.at <= received(step)) {
            wards.iter_mut().for_each(|ward| ward.hand_over(*handover));
        }
        if message.replace(step.message) != Some(step.message) {
            wards.iter_mut().for_each(Ward::close_message);
        }
        let timeliness = timeliness(step, received(step), &newest);
        if timeliness != Timeliness::Late {
            newest.insert((step.device, step.vital), step.measured_at);
        }
        wards.iter_mut().for_each(|ward| ward.take(step, timeliness));
    }
    wards.iter_mut().for_each(Ward::close_message);
    let mut alerts: Vec<_> = wards.into_iter().flat_map(Ward::into_alerts).collect();
    alerts.sort();
    alerts
}

fn timeliness(
    step: &Step,
    received: Micros,
    newest: &BTreeMap<(u32, v1::Vital), Micros>,
) -> Timeliness {
    let newest = newest.get(&(step.device, step.vital));
    let age = received - step.measured_at;
    if step.is_historical || newest.is_some_and(|it| step.measured_at <= *it) {
        Timeliness::Late
    } else if age <= step.upload_interval + LIVE_WINDOW_GRACE {
        Timeliness::InTime
    } else {
        Timeliness::Aged(age)
    }
}

/// A device and one of its vitals.
type Channel = (u32, v1::Vital);

/// One rule on one patient.
struct Ward<'a> {
    patient: &'a Arc<str>,
    rule: &'a Rule,
    limit: &'a LimitRule,
    live: BTreeMap<Channel, Track>,
    late: BTreeMap<Channel, Fold>,
    /// When the last one was measured that was not late and said something, be it that there is no
    /// value.
    judged_at: BTreeMap<Channel, Micros>,
    /// The place of the alert that is open.
    open: Option<usize>,
    alerts: Vec<ExpectedAlert>,
}

/// Late readings of one channel, which fold alone.
#[derive(Default)]
struct Fold {
    track: Track,
    /// The first that came after one in time, and was measured after it.
    first_since: Option<Micros>,
    /// The place of the alert that it told, and whether in the message that is being read.
    told: Option<(usize, bool)>,
    /// Whether readings came backwards, after which nothing is certain.
    is_torn: bool,
}

impl Fold {
    /// What it tells is told as it stands.
    fn close(&mut self, alerts: &mut [ExpectedAlert]) {
        if let Some((told, true)) = self.told {
            alerts[told].end_at = self.track.last_at().map(moment);
            self.told = Some((told, false));
        }
    }
}

impl<'a> Ward<'a> {
    fn new(patient: &'a Arc<str>, rule: &'a Rule) -> Option<Self> {
        let Kind::Limit(limit) = &rule.kind else { return None };
        let (live, late, judged_at) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Some(Self { patient, rule, limit, live, late, judged_at, open: None, alerts: Vec::new() })
    }

    fn take(&mut self, step: &Step, timeliness: Timeliness) {
        let Some(said) = said(step).filter(|_| self.limit.vitals.contains(&step.vital)) else {
            return;
        };
        let channel = (step.device, step.vital);
        match timeliness {
            Timeliness::Late => return self.fold(channel, step, said),
            Timeliness::Aged(age) if age > self.rule.actionable_for => {
                self.fold(channel, step, said);
            }
            Timeliness::InTime | Timeliness::Aged(_) => {
                self.judge(channel, step, said, timeliness == Timeliness::InTime);
            }
        }
        if matches!(said, Said::Value(_) | Said::Nothing) {
            self.judged_at.insert(channel, step.measured_at);
        }
    }

    fn judge(&mut self, channel: Channel, step: &Step, said: Said, may_end: bool) {
        let track = self.live.entry(channel).or_default();
        let at = step.measured_at;
        if let Some(fold) = self.late.get_mut(&channel)
            && matches!(said, Said::Value(_) | Said::Nothing)
            && let Some(first) = fold.first_since.take()
        {
            track.take_over(self.limit, step.measures_every, (&fold.track, first), (at, said));
        }
        track.feed(self.limit, step.measures_every, (at, said), may_end);
        self.follow(step);
    }

    /// Whether an alert covers that time that is open: it has what happens then already.
    fn is_covered(&self, at: Micros) -> bool {
        self.open.is_some_and(|open| self.alerts[open].onset <= moment(at))
    }

    /// The alert is what the worst of the channels says.
    fn follow(&mut self, step: &Step) {
        let worst = self.live.values().max_by_key(|track| track.level());
        let level = worst.and_then(Track::level);
        let at = moment(step.measured_at);
        match (self.open, level) {
            (None, Some(level)) => {
                let worst = worst.expect("it has a level");
                let onset = worst.onset().unwrap_or(step.measured_at);
                let alert = ExpectedAlert {
                    is_unconfirmed: worst.is_unconfirmed(),
                    ..self.alert(step, onset, level)
                };
                self.open = Some(self.alerts.len());
                self.alerts.push(alert);
            }
            (Some(open), Some(level)) => {
                let priority = self.limit.levels[level].priority.into();
                let priorities = &mut self.alerts[open].priorities;
                if priorities.last().is_none_or(|(before, _)| *before != priority) {
                    priorities.push((priority, at));
                }
            }
            (Some(open), None) => {
                self.alerts[open].end_at = Some(at);
                self.open = None;
            }
            (None, None) => {}
        }
    }

    fn alert(&self, step: &Step, onset: Micros, level: usize) -> ExpectedAlert {
        let at = moment(step.measured_at);
        ExpectedAlert {
            patient: Arc::clone(self.patient),
            rule: Arc::clone(&self.rule.id),
            onset: moment(onset),
            raise_at: at,
            end_at: None,
            is_end_certain: true,
            priorities: vec![(self.limit.levels[level].priority.into(), at)],
            is_retrospective: false,
            is_unconfirmed: false,
            is_certain: true,
            message: step.message,
        }
    }

    fn fold(&mut self, channel: Channel, step: &Step, said: Said) {
        let at = step.measured_at;
        let mut fold = self.late.remove(&channel).unwrap_or_default();
        let says_nothing = match said {
            Said::Doubted => true,
            Said::Nothing => fold.track.last_at().is_some_and(|last| at <= last),
            Said::Value(_) | Said::Implausible(_) => false,
        };
        if says_nothing {
            self.late.insert(channel, fold);
            return;
        }
        if self.is_covered(at) {
            return fold.close(&mut self.alerts);
        }
        match fold.track.last_at() {
            Some(last) if at <= last => fold = Fold { is_torn: true, ..Fold::default() },
            // So long after the others that no breach goes on: it is a run of its own.
            Some(last) if self.limit.is_apart(step.measures_every, at - last) => {
                fold = Fold { is_torn: fold.is_torn, ..Fold::default() };
            }
            _ => {}
        }
        let is_after_live = self.judged_at.get(&channel).is_none_or(|judged_at| *judged_at < at);
        if is_after_live && said != Said::Doubted {
            fold.first_since.get_or_insert(at);
        }
        fold.track.feed(self.limit, step.measures_every, (at, said), true);
        match (fold.track.level(), fold.told) {
            (Some(level), None) => {
                let onset = fold.track.onset().unwrap_or(at);
                let alert = self.alert(step, onset, level);
                fold.told = Some((self.alerts.len(), true));
                self.alerts.push(ExpectedAlert {
                    is_retrospective: true,
                    is_certain: !fold.is_torn,
                    is_unconfirmed: fold.track.is_unconfirmed(),
                    ..alert
                });
            }
            (Some(level), Some((told, true))) => {
                let priority = self.limit.levels[level].priority.into();
                let alert = &mut self.alerts[told];
                if alert.priorities.last().is_some_and(|(highest, _)| *highest <= priority) {
                    alert.is_unconfirmed &= fold.track.is_unconfirmed();
                }
                if alert.priorities.iter().all(|(before, _)| *before < priority) {
                    alert.priorities.push((priority, moment(at)));
                }
            }
            (None, Some((told, is_new))) => {
                if is_new {
                    self.alerts[told].end_at = Some(moment(at));
                }
                fold.told = None;
            }
            _ => {}
        }
        self.late.insert(channel, fold);
    }

    /// An alert of late readings is told with its message as it stands then.
    fn close_message(&mut self) {
        for fold in self.late.values_mut() {
            fold.close(&mut self.alerts);
        }
    }

    /// What holds goes on for the device that is worn now, and what was pending begins again.
    fn hand_over(&mut self, handover: Handover) {
        for vital in &self.limit.vitals {
            if let Some(mut track) = self.live.remove(&(handover.from, *vital)) {
                track.begin_again();
                self.live.insert((handover.to, *vital), track);
            }
        }
    }

    /// What late readings tell of a time that a live alert covers may be told or not.
    fn into_alerts(mut self) -> Vec<ExpectedAlert> {
        let live: Vec<_> = self.alerts.iter().filter(|it| !it.is_retrospective).collect();
        let covered: Vec<bool> = self
            .alerts
            .iter()
            .map(|late| {
                let overlaps = |it: &&ExpectedAlert| {
                    it.onset <= late.raise_at && it.end_at.is_none_or(|end| end >= late.onset)
                };
                late.is_retrospective && live.iter().any(overlaps)
            })
            .collect();
        for (alert, covered) in self.alerts.iter_mut().zip(covered) {
            alert.is_certain &= !covered;
        }
        self.alerts
    }
}

/// What a reading says to a limit rule; `None` if nothing.
const fn said(step: &Step) -> Option<Said> {
    Some(match step.worth {
        _ if step.is_doubted => Said::Doubted,
        Worth::Plausible(value) => Said::Value(value),
        Worth::Implausible(value) => Said::Implausible(value),
        Worth::NoSensor | Worth::Absent(_) => Said::Nothing,
        Worth::Level(_) => return None,
    })
}

/// The time so many microseconds after 1970.
#[must_use]
pub fn moment(micros: Micros) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
