//! What the hub knows: the open alerts and how each patient is watched now, and what happened to
//! both a while ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::filter::Filter;
use crate::engine::alerts::{Alert, AlertEvent, AlertId};
use crate::engine::output::{MonitoringChange, Output};
use crate::journal::Entry;
use crate::position::{OutputId, Position};
use crate::vitals::{PatientId, PatientKey, SiteId};

/// Events remembered for watchers that were cut off briefly. At a thousand beds, a hundred alerts
/// and a few changes of monitoring a bed and day this is about an hour.
const RECENT_MAX: usize = 16_384;

/// What stands at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Open alerts.
    pub alerts: Vec<Alert>,
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
}

/// What can happen that watchers are told of.
#[derive(Clone, Debug)]
pub enum Change {
    /// Something happened to an alert.
    Alert(Arc<AlertEvent>),
    /// A patient is watched otherwise than before.
    Monitoring(Arc<MonitoringChange>),
    /// A patient is there no longer: they were erased.
    Left(Arc<Left>),
}

/// Who is there no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Who.
    pub patient: PatientId,
    /// The same, by number.
    pub patient_key: PatientKey,
    /// Where they were.
    pub site: SiteId,
}

impl Change {
    /// What an output says to watchers. It is copied out of its entry, so that remembering it does
    /// not keep a whole batch of readings.
    fn of(output: &Output) -> Option<Self> {
        match output {
            Output::Alert(event) => Some(Self::Alert(Arc::new((**event).clone()))),
            Output::Monitoring(change) => Some(Self::Monitoring(Arc::new((**change).clone()))),
            Output::Erased(erased) => Some(Self::Left(Arc::new(Left {
                // Told again, long after, to who has forgotten them.
                patient: erased.patient.clone()?,
                patient_key: erased.tombstone.key,
                site: erased.site.clone(),
            }))),
            Output::Reading(_)
            | Output::Reject(_)
            | Output::Registry(_)
            | Output::Verdict(_)
            | Output::Redriven(_)
            | Output::DeviceSequences(_)
            | Output::DeviceNumbers(_)
            | Output::Audit(_) => None,
        }
    }
}

/// What an entry says to watchers, in order.
pub(super) fn events(entry: &Entry) -> impl Iterator<Item = EventRef> {
    (0..).zip(&entry.outputs).filter_map(|(index, output)| {
        let id = OutputId { position: entry.position, index };
        Some(EventRef { id, change: Change::of(output)? })
    })
}

/// The hub's knowledge, as of one position.
pub(super) struct View {
    position: Position,
    open: BTreeMap<AlertId, Alert>,
    patients: BTreeMap<PatientKey, Arc<MonitoringChange>>,
    /// How many patients are watched in each way, by its name.
    watched: BTreeMap<&'static str, usize>,
    /// What happened after `recent_after`, in order.
    recent: VecDeque<EventRef>,
    recent_after: OutputId,
}

impl View {
    /// The view after the entry at `position`, where this stands.
    pub(super) fn new(position: Position, standing: Snapshot) -> Self {
        let Snapshot { alerts, patients } = standing;
        let mut view = Self {
            position,
            open: alerts.into_iter().map(|alert| (alert.id, alert)).collect(),
            patients: BTreeMap::new(),
            watched: BTreeMap::new(),
            recent: VecDeque::new(),
            recent_after: end_of(position),
        };
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
                self.open.remove(&event.alert.id);
            }
            Change::Alert(event) => {
                self.open.insert(event.alert.id, event.alert.clone());
            }
            Change::Monitoring(change) => self.watch(Arc::clone(change)),
            Change::Left(left) => self.unwatch(left.patient_key),
        }
        if self.recent.len() == RECENT_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_after = oldest.id;
        }
        self.recent.push_back(event.clone());
    }

    /// Everything up to here has been seen.
    pub(super) fn last(&self) -> OutputId {
        end_of(self.position)
    }

    /// How many patients are watched in each way.
    pub(super) const fn watched(&self) -> &BTreeMap<&'static str, usize> {
        &self.watched
    }

    /// How many alerts are open.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
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
