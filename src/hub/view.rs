//! What the hub knows: the open alerts and how each patient is watched now, and what happened to
//! both a while ago.
//!
//! What happened is kept once and shared by all who are told of it. Memory of the past is bounded
//! in events and in bytes; whoever needs more finds it in the journal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::filter::Filter;
use crate::engine::alerts::{Alert, AlertEvent, AlertId, Trigger};
use crate::engine::output::{Erased, MonitoringChange, Output};
use crate::journal::Entry;
use crate::position::{OutputId, Position};
use crate::vitals::{PatientId, PatientKey, SiteId};

/// Events remembered for watchers that were cut off briefly. At a thousand beds, a hundred alerts
/// and a few changes of monitoring a bed and day this is about an hour.
const RECENT_MAX: usize = 16_384;
/// And no more bytes of them than this: an event takes about half a KiB, one with a long note a few.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// What stands at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Open alerts.
    pub alerts: Vec<Arc<Alert>>,
    /// How each patient is watched.
    pub patients: Vec<Arc<MonitoringChange>>,
}

/// Something that happened, and which output it is. Shared by every watcher.
#[derive(Clone, Debug)]
pub struct EventRef {
    /// Which output.
    pub id: OutputId,
    /// What happened.
    pub change: Change,
    /// What it takes in memory, for as long as anybody holds it.
    pub(super) bytes: usize,
}

/// What can happen that watchers are told of.
#[derive(Clone, Debug)]
pub enum Change {
    /// Something happened to an alert.
    Alert(Arc<AlertEvent>),
    /// A patient is watched otherwise than before.
    Monitoring(Arc<MonitoringChange>),
    /// A patient is at their site no longer: they were erased, or transferred.
    Left(Arc<Left>),
}

/// Who is at a site no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Who.
    pub patient: PatientId,
    /// The same, by number.
    pub patient_key: PatientKey,
    /// Where they were.
    pub site: SiteId,
    /// Where they are now; `None` if they were erased.
    pub to: Option<SiteId>,
}

impl Change {
    /// What an output says to watchers: for a transfer, to those who see the site that was left,
    /// and then to those who see the other. It is copied out of its entry, so that remembering it
    /// does not keep a whole batch of readings.
    fn of(output: &Output) -> [Option<Self>; 2] {
        let changed = match output {
            Output::Alert(event) => Some(Self::Alert(Arc::new((**event).clone()))),
            Output::Monitoring(change) => {
                let left = Left::by_transfer(change).map(|left| Self::Left(Arc::new(left)));
                return [left, Some(Self::Monitoring(Arc::new((**change).clone())))];
            }
            Output::Erased(erased) => {
                Left::by_erasure(erased).map(|left| Self::Left(Arc::new(left)))
            }
            Output::Reading(_)
            | Output::Reject(_)
            | Output::Registry(_)
            | Output::Verdict(_)
            | Output::Redriven(_)
            | Output::DeviceSequences(_)
            | Output::DeviceNumbers(_)
            | Output::Audit(_) => None,
        };
        [changed, None]
    }

    /// What it takes in memory: its own size and that of its texts and lists.
    fn bytes(&self) -> usize {
        match self {
            Self::Alert(event) => size_of::<AlertEvent>() + bytes_beside(event),
            Self::Monitoring(_) => size_of::<MonitoringChange>() + IDS_BYTES,
            Self::Left(_) => size_of::<Left>() + IDS_BYTES,
        }
    }
}

/// Ids are short; these are as many bytes as two may have at most.
const IDS_BYTES: usize = 128;

fn bytes_beside(event: &AlertEvent) -> usize {
    let texts = [&event.actor, &event.note, &event.alert.assignee];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let readings = match &event.trigger {
        Trigger::Readings(readings) => size_of_val(&readings[..]),
        _ => 0,
    };
    let score = event.alert.score.as_ref().map_or(0, |score| {
        size_of_val(&**score) + size_of_val(&score.parameters[..]) + size_of_val(&score.missing[..])
    });
    texts + readings + score + 2 * IDS_BYTES
}

impl Left {
    fn by_transfer(change: &MonitoringChange) -> Option<Self> {
        let (patient, patient_key) = (change.patient.clone(), change.patient_key);
        let (site, to) = (change.moved_from.clone()?, Some(change.site.clone()));
        Some(Self { patient, patient_key, site, to })
    }

    /// `None` if it is told again, long after, to who has forgotten them.
    fn by_erasure(erased: &Erased) -> Option<Self> {
        let (site, patient_key) = (erased.site.clone(), erased.tombstone.key);
        Some(Self { patient: erased.patient.clone()?, patient_key, site, to: None })
    }
}

/// What an entry says to watchers, in order.
pub(super) fn events(entry: &Entry) -> impl Iterator<Item = EventRef> {
    (0..).zip(&entry.outputs).flat_map(|(index, output)| {
        let id = OutputId { position: entry.position, index };
        let told = Change::of(output).into_iter().flatten();
        told.map(move |change| EventRef { id, bytes: change.bytes(), change })
    })
}

/// An open alert, with as much of its past as is in memory.
#[derive(Clone, Debug)]
pub struct Story {
    /// The alert.
    pub alert: Arc<Alert>,
    /// Its latest events, in order.
    pub events: Vec<Arc<AlertEvent>>,
}

impl Story {
    /// Whether no event is missing: each makes the alert's revision one more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        usize::try_from(self.alert.revision).is_ok_and(|revision| revision == self.events.len())
    }
}

/// The hub's knowledge, as of one position.
pub(super) struct View {
    position: Position,
    open: BTreeMap<AlertId, Arc<Alert>>,
    /// How many of them there are, by the name of their priority.
    open_counts: BTreeMap<&'static str, usize>,
    patients: BTreeMap<PatientKey, Arc<MonitoringChange>>,
    /// How many patients are watched in each way, by its name.
    watched: BTreeMap<&'static str, usize>,
    /// What happened after `recent_after`, in order.
    recent: VecDeque<EventRef>,
    /// What those take.
    recent_bytes: usize,
    recent_after: OutputId,
}

impl View {
    /// The view after the entry at `position`, where this stands.
    pub(super) fn new(position: Position, standing: Snapshot) -> Self {
        let Snapshot { alerts, patients } = standing;
        let mut view = Self {
            position,
            open: BTreeMap::new(),
            open_counts: BTreeMap::new(),
            patients: BTreeMap::new(),
            watched: BTreeMap::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_after: end_of(position),
        };
        alerts.into_iter().for_each(|alert| view.open_alert(alert));
        patients.into_iter().for_each(|change| view.watch(change));
        view
    }

    /// Takes the next entry in; gives what it says to watchers.
    pub(super) fn follow(&mut self, entry: &Entry) -> Vec<EventRef> {
        self.position = entry.position;
        let events: Vec<EventRef> = events(entry).collect();
        for event in &events {
            self.remember(event);
        }
        events
    }

    fn open_alert(&mut self, alert: Arc<Alert>) {
        *self.open_counts.entry(alert.priority.name()).or_default() += 1;
        if let Some(before) = self.open.insert(alert.id, alert) {
            // As with patients: one that stands at 0 stays.
            *self.open_counts.entry(before.priority.name()).or_default() -= 1;
        }
    }

    fn close_alert(&mut self, id: AlertId) {
        if let Some(before) = self.open.remove(&id) {
            *self.open_counts.entry(before.priority.name()).or_default() -= 1;
        }
    }

    fn watch(&mut self, change: Arc<MonitoringChange>) {
        *self.watched.entry(change.state.name()).or_default() += 1;
        if let Some(before) = self.patients.insert(change.patient_key, change) {
            // One that nobody is in any more stays, at 0: its gauge must fall.
            *self.watched.entry(before.state.name()).or_default() -= 1;
        }
    }

    fn unwatch(&mut self, patient: PatientKey) {
        if let Some(before) = self.patients.remove(&patient) {
            *self.watched.entry(before.state.name()).or_default() -= 1;
        }
    }

    fn remember(&mut self, event: &EventRef) {
        match &event.change {
            // A retrospective alert is over with its start, and never stands open.
            Change::Alert(event) if event.alert.is_over() => {
                self.close_alert(event.alert.id);
            }
            Change::Alert(event) => self.open_alert(Arc::new(event.alert.clone())),
            Change::Monitoring(change) => self.watch(Arc::clone(change)),
            Change::Left(left) if left.to.is_none() => self.unwatch(left.patient_key),
            // How they are watched at the other site is told next.
            Change::Left(_) => {}
        }
        self.recent_bytes += event.bytes;
        self.recent.push_back(event.clone());
        while self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.bytes;
            self.recent_after = oldest.id;
        }
    }

    /// Everything up to here has been seen.
    pub(super) fn last(&self) -> OutputId {
        end_of(self.position)
    }

    /// How many patients are watched in each way.
    pub(super) const fn watched(&self) -> &BTreeMap<&'static str, usize> {
        &self.watched
    }

    /// The last entry that was taken in.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// The open alerts that `wanted` picks.
    pub(super) fn open(&self, wanted: impl Fn(&Alert) -> bool) -> Vec<Arc<Alert>> {
        self.open.values().filter(|alert| wanted(alert)).cloned().collect()
    }

    /// An open alert, and what is remembered of its events.
    pub(super) fn story(&self, id: AlertId) -> Option<Story> {
        let alert = Arc::clone(self.open.get(&id)?);
        let events = self.recent.iter().filter_map(|event| match &event.change {
            Change::Alert(event) if event.alert.id == id => Some(Arc::clone(event)),
            _ => None,
        });
        Some(Story { alert, events: events.collect() })
    }

    /// How many alerts are open, by the name of their priority.
    pub(super) const fn open_counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.open_counts
    }

    /// What a filter admits of the open alerts and the patients.
    pub(super) fn snapshot(&self, filter: &Filter) -> Snapshot {
        let alerts = self.open.values().filter(|alert| filter.admits(alert)).cloned();
        let patients = self.patients.values().filter(|change| filter.admits_patient(change));
        Snapshot { alerts: alerts.collect(), patients: patients.cloned().collect() }
    }

    /// The events after `after`, or none of them for a watcher that begins now; `None` if they
    /// are no longer in memory.
    pub(super) fn since(
        &self,
        after: Option<OutputId>,
    ) -> Option<impl Iterator<Item = EventRef> + use<'_>> {
        let after = after.unwrap_or_else(|| self.last());
        if after < self.recent_after {
            return None;
        }
        let seen = self.recent.partition_point(|event| event.id <= after);
        Some(self.recent.range(seen..).cloned())
    }
}

/// After every output of the entry at `position`.
pub(super) const fn end_of(position: Position) -> OutputId {
    OutputId { position, index: u32::MAX }
}
