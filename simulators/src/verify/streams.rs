//! What each watcher was told, held against what happened.
//!
//! A stream keeps order per patient, repeats nothing, and leaves nothing out between its first
//! `Live` and its last word, however often it was cut and taken up again. Where a watcher began
//! anew with a snapshot, nothing is asked of the time between.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::report::Watcher;
use super::service::Story;
use crate::convert;
use crate::oracle::alarms::moment;
use crate::oracle::profile::Micros;
use crate::oracle::survey::{Met, Survey};
use crate::proto::v1;
use crate::proto::v1::watch_alerts_response::Message;
use crate::proto::v1::watch_alerts_response::event::Change;

/// How near to the edges of what a watcher has seen nothing is asked of it: the two clocks, and
/// what was under way.
const EDGE: Micros = 2_000_000;

/// What all watchers were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) watchers: Vec<Watcher>,
    /// When the first watcher was told of each alert's start.
    pub(super) starts: HashMap<String, Micros>,
    /// Spans in which some watcher saw everything.
    pub(super) seen: Vec<(Micros, Micros)>,
}

/// One watcher's view, so far.
#[derive(Default)]
struct View {
    watcher: Watcher,
    /// Since when it has seen everything.
    whole_since: Option<Micros>,
    spans: Vec<(Micros, Micros)>,
    last: Micros,
    was_cut: bool,
    cursors: HashSet<String>,
    tags: HashSet<(String, String)>,
    latest: HashMap<String, Micros>,
}

/// Reads all streams.
pub(super) fn read(survey: &Survey, stories: &[Story]) -> Told {
    let mut views: BTreeMap<u32, View> = BTreeMap::new();
    let mut starts = HashMap::new();
    for heard in &survey.heard {
        let view = views.entry(heard.watcher).or_insert_with(|| View {
            watcher: Watcher { watcher: heard.watcher, ..Watcher::default() },
            ..View::default()
        });
        match &heard.met {
            Met::Told(response) => view.told(heard.at, response, &mut starts),
            Met::Unreadable => view.watcher.unreadable += 1,
            Met::Cut(_) => view.cut(heard.at),
        }
    }
    let mut told = Told { starts, ..Told::default() };
    for view in views.into_values() {
        let (watcher, spans) = view.conclude(stories);
        told.watchers.push(watcher);
        told.seen.extend(spans);
    }
    told
}

impl Told {
    /// Whether some watcher must have been told of what was determined then.
    pub(super) fn must_have_seen(&self, at: Micros) -> bool {
        self.seen.iter().any(|(from, until)| (from + EDGE..=until - EDGE).contains(&at))
    }
}

impl View {
    fn cut(&mut self, at: Micros) {
        self.watcher.cuts += 1;
        (self.last, self.was_cut) = (at, true);
    }

    fn told(
        &mut self,
        at: Micros,
        response: &v1::WatchAlertsResponse,
        starts: &mut HashMap<String, Micros>,
    ) {
        let Some(message) = &response.message else { return };
        if self.was_cut {
            self.was_cut = false;
            match message {
                Message::Snapshot(_) => {
                    let last = self.last;
                    self.spans.extend(self.whole_since.take().map(|since| (since, last)));
                }
                _ => self.watcher.resumed += 1,
            }
        }
        match message {
            Message::Snapshot(snapshot) => self.snapshot(snapshot),
            Message::Live(_) => {
                self.whole_since.get_or_insert(at);
            }
            Message::Event(event) => {
                if !self.cursors.insert(event.cursor.clone()) {
                    self.watcher.repeated.add(|| format!("an event at {}", moment(at)));
                } else if let Some(Change::Alert(event)) = &event.change {
                    self.event(at, event, starts);
                }
            }
            Message::Heartbeat(_) | Message::LeftScope(_) => {}
        }
        self.last = at;
    }

    /// What a snapshot says need not be told again, and may be.
    fn snapshot(&mut self, snapshot: &v1::watch_alerts_response::Snapshot) {
        self.watcher.snapshots += u64::from(snapshot.part == 0);
        if snapshot.part == 0 {
            self.latest.clear();
        }
    }

    fn event(&mut self, at: Micros, event: &v1::AlertEvent, starts: &mut HashMap<String, Micros>) {
        let Some(alert) = &event.alert else { return };
        self.watcher.events += 1;
        if !self.tags.insert((alert.alert_id.clone(), alert.etag.clone())) {
            self.watcher.repeated.add(|| named(event, alert));
            return;
        }
        let determined = micros(event.determined_at);
        let latest = self.latest.entry(alert.patient_id.clone()).or_insert(Micros::MIN);
        if determined < *latest && !alert.patient_id.is_empty() {
            let before = *latest;
            let named = || format!("{}, after one of {}", named(event, alert), moment(before));
            self.watcher.out_of_order.add(named);
        }
        *latest = determined.max(*latest);
        if event.phase() == v1::AlertPhase::Start {
            let told = starts.entry(alert.alert_id.clone()).or_insert(at);
            *told = at.min(*told);
        }
    }

    /// What it was not told, and what it saw whole.
    fn conclude(mut self, stories: &[Story]) -> (Watcher, Vec<(Micros, Micros)>) {
        let last = self.last;
        self.spans.extend(self.whole_since.map(|since| (since, last)));
        let mut known = HashSet::new();
        for story in stories {
            known.insert(story.alert.alert_id.as_str());
            for event in &story.events {
                let Some(alert) = &event.alert else { continue };
                let determined = micros(event.determined_at);
                let is_asked = self
                    .spans
                    .iter()
                    .any(|(from, until)| (from + EDGE..=until - EDGE).contains(&determined));
                let tag = (alert.alert_id.clone(), alert.etag.clone());
                if is_asked && !self.tags.contains(&tag) {
                    self.watcher.missing.add(|| named(event, alert));
                }
            }
        }
        let mut unknown: Vec<_> =
            self.tags.iter().filter(|(id, _)| !known.contains(id.as_str())).collect();
        unknown.sort_unstable();
        unknown.dedup_by_key(|(id, _)| id.clone());
        for (id, _) in unknown {
            self.watcher.unknown.add(|| format!("alert {id}"));
        }
        (self.watcher, self.spans)
    }
}

fn micros(at: Option<prost_types::Timestamp>) -> Micros {
    at.and_then(convert::from_timestamp).map_or(Micros::MIN, |it| it.as_microsecond())
}

fn named(event: &v1::AlertEvent, alert: &v1::Alert) -> String {
    let phase = event.phase().as_str_name().trim_start_matches("ALERT_PHASE_").to_ascii_lowercase();
    let (rule, patient) = (&alert.rule_id, &alert.patient_id);
    let at = moment(micros(event.determined_at));
    format!("{phase} of {rule} of {patient} determined {at}, alert {}", alert.alert_id)
}
