//! What was raised, held against what must be.
//!
//! Alerts of limit rules match by patient, rule, and onset or the reading that raised them; those of
//! silence rules by the time at which they were raised. Alerts of other rules are counted and not
//! judged. Where the oracle says "may", both are right.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::latency::Gathered;
use super::report::{Alerts, RuleCount};
use super::service::Story;
use super::streams::Told;
use crate::convert;
use crate::oracle::Ledger;
use crate::oracle::alarms::{Expected, ExpectedAlert, moment};
use crate::oracle::profile::{self, Kind, Micros};
use crate::oracle::silence::Silence;
use crate::proto::v1;

/// The service's own rule that holds alerts back.
const FLOOD: &str = "pulseward.flood";

/// The silences of a patient by a rule.
#[derive(Clone, Debug)]
pub(super) struct ExpectedSilences {
    pub(super) patient: Arc<str>,
    pub(super) rule: Arc<str>,
    pub(super) priority: v1::Priority,
    /// How many devices the patient has worn.
    pub(super) devices: usize,
    pub(super) silences: Vec<Silence>,
}

/// What is compared, so far.
pub(super) struct Comparison<'a> {
    ledger: &'a Ledger,
    told: &'a Told,
    /// Each patient's alerts of each rule, in the order in which they were raised.
    raised: BTreeMap<(&'a str, &'a str), Vec<&'a Story>>,
    late_after: Micros,
    pub(super) alerts: Alerts,
    pub(super) latency: Gathered,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        stories: &'a [Story],
        told: &'a Told,
        late_after: Micros,
    ) -> Self {
        let mut raised: BTreeMap<(&str, &str), Vec<&Story>> = BTreeMap::new();
        let earliest = ledger.survey.span.0 - ledger.survey.clocks_apart;
        let of_run = stories.iter().filter(|it| micros(it.alert.raised_at) >= earliest);
        for story in of_run {
            let key = (story.alert.patient_id.as_str(), story.alert.rule_id.as_str());
            raised.entry(key).or_default().push(story);
        }
        for stories in raised.values_mut() {
            stories.sort_by_key(|it| (micros(it.alert.raised_at), it.alert.alert_id.clone()));
        }
        let mut comparison = Self {
            ledger,
            told,
            raised,
            late_after,
            alerts: Alerts::default(),
            latency: Gathered::default(),
        };
        comparison.count();
        comparison
    }

    /// What there is, by rule; and what there is twice.
    fn count(&mut self) {
        for rule in &self.ledger.rules {
            let (kind, is_judged) = match rule.kind {
                Kind::Limit(_) => ("limit", true),
                Kind::Silence(_) => ("silence", true),
                Kind::NotJudged(kind) => (kind, false),
            };
            let count = RuleCount { kind: kind.to_owned(), is_judged, ..RuleCount::default() };
            self.alerts.rules.insert(rule.id.to_string(), count);
        }
        for ((_, rule), stories) in &self.raised {
            let count = self.alerts.rules.entry((*rule).to_owned()).or_insert_with(|| RuleCount {
                kind: if profile::is_own(rule) { "own" } else { "unknown" }.to_owned(),
                ..RuleCount::default()
            });
            let late = stories.iter().filter(|it| it.alert.retrospective).count() as u64;
            count.raised += stories.len() as u64;
            count.retrospective += late;
        }
        let doubled: Vec<_> = self.raised.values().flat_map(|it| twice(it)).collect();
        for story in doubled {
            self.alerts.doubled.add(|| named(story));
        }
    }

    fn rule(&mut self, rule: &str) -> &mut RuleCount {
        self.alerts.rules.entry(rule.to_owned()).or_default()
    }

    /// Compares one patient's alerts of limit rules.
    pub(super) fn limits(&mut self, patient: &Arc<str>, expected: &Expected) {
        let rules: Vec<Arc<str>> = self
            .ledger
            .rules
            .iter()
            .filter(|rule| matches!(rule.kind, Kind::Limit(_)))
            .map(|rule| Arc::clone(&rule.id))
            .collect();
        for rule in rules {
            let key = (&**patient, &*rule);
            let mut raised = self.raised.get(&key).cloned().unwrap_or_default();
            let of_rule: Vec<_> = expected.alerts.iter().filter(|it| it.rule == rule).collect();
            let is_unsure = expected.unsure.contains(&rule);
            let mut unmatched = Vec::new();
            for alert in of_rule {
                self.expected(&rule, alert.is_certain);
                match take(&mut raised, alert, Story::has_onset) {
                    Some(story) => self.compare(alert, story),
                    None => unmatched.push(alert),
                }
            }
            unmatched.retain(|alert| match take(&mut raised, alert, Story::is_raised_by) {
                Some(story) => {
                    self.compare(alert, story);
                    false
                }
                None => true,
            });
            for alert in &unmatched {
                self.unmatched(alert, &mut raised, is_unsure);
            }
            for story in raised {
                let is_unsure = is_unsure || unmatched.iter().any(|it| may_be(it, story));
                self.unexpected(story, is_unsure);
            }
        }
    }

    fn expected(&mut self, rule: &str, is_certain: bool) {
        let count = self.rule(rule);
        *(if is_certain { &mut count.must } else { &mut count.may }) += 1;
        *(if is_certain { &mut self.alerts.must } else { &mut self.alerts.may }) += 1;
    }

    /// An expected alert that neither its onset nor its reading finds.
    fn unmatched(&mut self, alert: &ExpectedAlert, raised: &mut Vec<&'a Story>, is_unsure: bool) {
        if !alert.is_certain {
            self.alerts.unsure += 1;
            return;
        }
        if self.is_held_back(alert) {
            self.alerts.held_back += 1;
            return;
        }
        if is_unsure {
            self.alerts.unsure += 1;
            return;
        }
        // What was raised within its time, by whatever reading, is this one.
        let overlaps = |story: &Story| {
            story.alert.retrospective == alert.is_retrospective
                && story.onset() >= alert.onset.as_microsecond()
                && alert.end_at.is_none_or(|end| story.onset() < end.as_microsecond())
        };
        match raised.iter().position(|story| overlaps(story)) {
            Some(place) => {
                let story = raised.remove(place);
                self.compare(alert, story);
            }
            None => {
                self.rule(&alert.rule).missed += 1;
                self.alerts.missed.add(|| expected_as(self.ledger, alert));
            }
        }
    }

    fn unexpected(&mut self, story: &Story, is_unsure: bool) {
        if is_unsure {
            self.alerts.unsure += 1;
            return;
        }
        self.rule(&story.alert.rule_id).false_alerts += 1;
        self.alerts.false_alerts.add(|| named(story));
    }

    /// Whether a flood that was told stands for it.
    fn is_held_back(&self, alert: &ExpectedAlert) -> bool {
        let high = i32::from(v1::Priority::High);
        if alert.is_retrospective || alert.priorities.iter().any(|(it, _)| *it == high) {
            return false;
        }
        let floods = self.raised.get(&(&*alert.patient, FLOOD));
        floods.into_iter().flatten().any(|flood| {
            let from = micros(flood.alert.raised_at);
            let ended =
                flood.events.iter().rev().find(|event| {
                    matches!(event.phase(), v1::AlertPhase::Close | v1::AlertPhase::End)
                });
            let until = ended.map_or(Micros::MAX, |event| micros(event.determined_at));
            let due = self.ledger.survey.window(alert.message as usize);
            due.1 >= from && due.0 <= until
        })
    }

    /// An alert that was raised, and how it was.
    fn compare(&mut self, alert: &ExpectedAlert, story: &Story) {
        self.alerts.matched += 1;
        let ledger = self.ledger;
        let said = || expected_as(ledger, alert);
        if story.onset() != alert.onset.as_microsecond() {
            let onset = moment(story.onset());
            self.alerts.wrong_onset.add(|| format!("{}: onset {onset}", said()));
        }
        if let Some(at) = story.raised_by().filter(|at| *at != alert.raise_at.as_microsecond()) {
            let text = format!("{}: raised by the reading of {}", said(), moment(at));
            self.alerts.wrong_start.add(|| text);
        }
        if alert.is_end_certain {
            self.compare_priorities(alert, story);
            self.compare_end(alert, story);
        }
        if !alert.is_retrospective {
            self.compare_told(alert, story);
        }
    }

    fn compare_priorities(&mut self, alert: &ExpectedAlert, story: &Story) {
        let expected: Vec<i32> = alert.priorities.iter().map(|(priority, _)| *priority).collect();
        let found = story.priorities();
        let is_same = if alert.is_retrospective {
            found.last() == expected.iter().max()
        } else {
            found == expected || !story.is_whole
        };
        if !is_same {
            let ledger = self.ledger;
            let text = || format!("{}: it was {}", expected_as(ledger, alert), priorities(&found));
            self.alerts.wrong_priority.add(text);
        }
    }

    fn compare_end(&mut self, alert: &ExpectedAlert, story: &Story) {
        let ended = story.alert.ended_at.map(|at| micros(Some(at)));
        let is_over = story.alert.condition() == v1::ConditionState::Inactive;
        let expected = alert.end_at.map(jiff::Timestamp::as_microsecond);
        let ledger = self.ledger;
        let said = || expected_as(ledger, alert);
        match (expected, ended) {
            (Some(_), None) if !is_over => self.alerts.not_ended.add(said),
            (Some(_) | None, None) if is_over => {
                self.alerts.ended_early.add(|| format!("{}: closed without a reading", said()));
            }
            (None, Some(ended)) => {
                self.alerts.ended_early.add(|| format!("{}: ended {}", said(), moment(ended)));
            }
            (Some(expected), Some(ended)) if ended < expected => {
                self.alerts.ended_early.add(|| format!("{}: ended {}", said(), moment(ended)));
            }
            (Some(expected), Some(ended)) if ended > expected => {
                self.alerts.ended_late.add(|| format!("{}: ended {}", said(), moment(ended)));
            }
            _ => {}
        }
    }

    /// Whether watchers were told of its start, and how soon.
    fn compare_told(&mut self, alert: &ExpectedAlert, story: &Story) {
        let Some(told) = self.told.starts.get(&story.alert.alert_id).copied() else {
            if self.told.must_have_seen(micros(story.alert.raised_at)) {
                self.alerts.not_told.add(|| expected_as(self.ledger, alert));
            }
            return;
        };
        let Some(message) = self.ledger.survey.messages.get(alert.message as usize) else { return };
        let latency = (told - message.due).max(0);
        let priority = priority_name(alert.priorities.first().map_or(0, |it| it.0));
        self.latency.add(&self.ledger.survey, message.due, latency, &priority);
        // What could not be reached is not late before it can be.
        let outage = self.ledger.survey.outages.end_within(message.due, told);
        let due = outage.map_or(message.due, |end| end.max(message.due));
        if told - due > self.late_after {
            let after = moment(message.due);
            let ledger = self.ledger;
            let text =
                || format!("{}: due {after}, told {}", expected_as(ledger, alert), moment(told));
            self.alerts.late.add(text);
        }
    }

    /// Compares one patient's alerts of one silence rule.
    pub(super) fn silences(&mut self, expected: &ExpectedSilences) {
        let ExpectedSilences { patient, rule, priority, silences, .. } = expected;
        let raised = self.raised.get(&(&**patient, &**rule)).cloned().unwrap_or_default();
        let live = || raised.iter().filter(|it| !it.alert.retrospective);
        for silence in silences {
            self.expected(rule, silence.is_certain);
            // Of several silent devices one alert stands for all.
            let stands = |story: &&&Story| {
                micros(story.alert.raised_at) <= silence.start.1
                    && story.over_at().is_none_or(|over| over >= silence.start.0)
            };
            let Some(story) = live().find(stands) else {
                if silence.is_certain && !self.is_behind_gateway(silence) {
                    self.rule(rule).missed += 1;
                    self.alerts.missed.add(|| silent_as(patient, rule, silence));
                }
                continue;
            };
            self.alerts.matched += u64::from(silence.is_certain);
            if story.alert.priority() != *priority {
                let found = priority_name(story.alert.priority);
                let text = || format!("{}: it was {found}", silent_as(patient, rule, silence));
                self.alerts.wrong_priority.add(text);
            }
            self.compare_silence_end(expected, silence, story);
        }
        let within = |story: &&Story| {
            let at = micros(story.alert.raised_at);
            silences.iter().any(|it| (it.start.0..=it.start.1).contains(&at))
        };
        let unexpected: Vec<_> = raised.iter().copied().filter(|it| !within(it)).collect();
        for story in unexpected {
            self.rule(rule).false_alerts += 1;
            self.alerts.false_alerts.add(|| named(story));
        }
    }

    /// The next reading ends it, unless another device of the patient is silent too.
    fn compare_silence_end(
        &mut self,
        expected: &ExpectedSilences,
        silence: &Silence,
        story: &Story,
    ) {
        let ExpectedSilences { patient, rule, devices, .. } = expected;
        let is_of_this =
            (silence.start.0..=silence.start.1).contains(&micros(story.alert.raised_at));
        let Some(ended_by) = silence.ended_by.filter(|_| *devices == 1 && is_of_this) else {
            return;
        };
        match story.over_at() {
            None => self.alerts.not_ended.add(|| silent_as(patient, rule, silence)),
            Some(over) if over > ended_by => {
                let over = moment(over);
                let said = || format!("{}: ended {over}", silent_as(patient, rule, silence));
                self.alerts.ended_late.add(said);
            }
            Some(_) => {}
        }
    }

    /// Whether an alert of a gateway may stand for it.
    fn is_behind_gateway(&self, silence: &Silence) -> bool {
        let of_gateways = self
            .raised
            .iter()
            .filter(|((patient, rule), _)| patient.is_empty() && !profile::is_own(rule));
        of_gateways.flat_map(|(_, stories)| stories).any(|story| {
            micros(story.alert.raised_at) <= silence.start.1
                && story.over_at().is_none_or(|over| over >= silence.start.0)
        })
    }
}

/// Alerts that begin while another of their patient and rule lives, or are raised again.
fn twice<'a>(stories: &[&'a Story]) -> Vec<&'a Story> {
    let is_twin = |one: &Story, other: &Story| {
        let (a, b) = (&one.alert, &other.alert);
        let same = a.retrospective == b.retrospective
            && one.onset() == other.onset()
            && one.raised_by() == other.raised_by()
            && a.vital != 0;
        let both_live = !a.retrospective
            && !b.retrospective
            && one.over_at().is_none_or(|over| over > micros(b.raised_at));
        same || both_live
    };
    let mut doubled = Vec::new();
    for (place, story) in stories.iter().enumerate() {
        if stories[..place].iter().any(|before| is_twin(before, story)) {
            doubled.push(*story);
        }
    }
    doubled
}

/// Whether an alert that may be raised may have been raised as this one.
fn may_be(alert: &ExpectedAlert, story: &Story) -> bool {
    let until = alert.end_at.unwrap_or(alert.raise_at).max(alert.raise_at).as_microsecond();
    !alert.is_certain
        && story.alert.retrospective == alert.is_retrospective
        && (alert.onset.as_microsecond()..=until).contains(&story.onset())
}

fn take<'a>(
    raised: &mut Vec<&'a Story>,
    alert: &ExpectedAlert,
    is_it: impl Fn(&Story, &ExpectedAlert) -> bool,
) -> Option<&'a Story> {
    let fits =
        |story: &&Story| story.alert.retrospective == alert.is_retrospective && is_it(story, alert);
    let place = raised.iter().position(fits)?;
    Some(raised.remove(place))
}

impl Story {
    fn has_onset(&self, alert: &ExpectedAlert) -> bool {
        self.onset() == alert.onset.as_microsecond()
    }

    fn is_raised_by(&self, alert: &ExpectedAlert) -> bool {
        self.raised_by() == Some(alert.raise_at.as_microsecond())
    }

    fn onset(&self) -> Micros {
        micros(self.alert.onset_at)
    }

    /// When the reading that raised it was measured, if its start is known.
    fn raised_by(&self) -> Option<Micros> {
        let start = self.events.first().filter(|it| it.phase() == v1::AlertPhase::Start)?;
        start.readings.first().map(|reading| micros(reading.measured_at))
    }

    /// Its priorities in order, each that differs from the one before.
    fn priorities(&self) -> Vec<i32> {
        let mut found: Vec<i32> =
            self.events.iter().filter_map(|it| it.alert.as_ref()).map(|it| it.priority).collect();
        if found.is_empty() {
            found.push(self.alert.priority);
        }
        found.dedup();
        found
    }

    /// When its condition ended, by the service's clock.
    fn over_at(&self) -> Option<Micros> {
        let is_end = |event: &&v1::AlertEvent| {
            matches!(event.phase(), v1::AlertPhase::End | v1::AlertPhase::Close)
        };
        let end = self.events.iter().find(is_end).map(|event| micros(event.determined_at));
        end.or_else(|| self.alert.closed.then(|| micros(self.alert.ended_at)))
    }
}

fn micros(at: Option<prost_types::Timestamp>) -> Micros {
    at.and_then(convert::from_timestamp).map_or(Micros::MIN, |it| it.as_microsecond())
}

fn priority_name(priority: i32) -> String {
    let priority = v1::Priority::try_from(priority).unwrap_or_default();
    priority.as_str_name().trim_start_matches("PRIORITY_").to_ascii_lowercase()
}

fn priorities(found: &[i32]) -> String {
    found.iter().map(|it| priority_name(*it)).collect::<Vec<_>>().join(" then ")
}

fn named(story: &Story) -> String {
    let v1::Alert { alert_id, patient_id, rule_id, .. } = &story.alert;
    let (onset, raised) = (moment(story.onset()), moment(micros(story.alert.raised_at)));
    let kind = if story.alert.retrospective { "retrospective " } else { "" };
    format!("{kind}{rule_id} of {patient_id}, onset {onset}, raised {raised}, alert {alert_id}")
}

fn silent_as(patient: &str, rule: &str, silence: &Silence) -> String {
    let (from, until) = (moment(silence.start.0), moment(silence.start.1));
    format!("{rule} of {patient}, to start between {from} and {until}")
}

/// An alert that had to be, as people look for it.
fn expected_as(ledger: &Ledger, alert: &ExpectedAlert) -> String {
    let ExpectedAlert { patient, rule, onset, raise_at, .. } = alert;
    let number = ledger.survey.messages.get(alert.message as usize).map_or(0, |it| it.number);
    let kind = if alert.is_retrospective { "retrospective " } else { "" };
    let expected: Vec<i32> = alert.priorities.iter().map(|(priority, _)| *priority).collect();
    let level = priorities(&expected);
    let end = alert.end_at.map_or_else(String::new, |end| format!(", to end {end}"));
    format!(
        "{kind}{rule} of {patient}, {level}, onset {onset}, raised by the reading of {raise_at} \
         of message {number}{end}"
    )
}
