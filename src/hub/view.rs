//! What the hub knows: the open alerts now, and the alert events of a while ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::filter::Filter;
use crate::engine::alerts::{Alert, AlertEvent, AlertId};
use crate::engine::output::Output;
use crate::journal::Entry;
use crate::position::{OutputId, Position};

/// Events remembered for watchers that were cut off briefly. At a thousand beds and a hundred
/// alerts a bed and day this is about an hour.
const RECENT_MAX: usize = 16_384;

/// An alert event, and which output it is. Shared by every watcher.
#[derive(Clone, Debug)]
pub struct EventRef {
    /// Which output.
    pub id: OutputId,
    /// The event.
    pub event: Arc<AlertEvent>,
}

/// The alert events of an entry, in order. They are copied out of it, so that remembering one
/// does not keep a whole batch of readings.
pub(super) fn events(entry: &Entry) -> impl Iterator<Item = EventRef> {
    (0..).zip(&entry.outputs).filter_map(|(index, output)| match output {
        Output::Alert(event) => Some(EventRef {
            id: OutputId { position: entry.position, index },
            event: Arc::new((**event).clone()),
        }),
        _ => None,
    })
}

/// The hub's knowledge, as of one position.
pub(super) struct View {
    position: Position,
    open: BTreeMap<AlertId, Alert>,
    /// The alert events after `recent_after`, in order.
    recent: VecDeque<EventRef>,
    recent_after: OutputId,
}

impl View {
    /// The view after the entry at `position`, with these alerts open.
    pub(super) fn new(position: Position, open: impl Iterator<Item = Alert>) -> Self {
        let open = open.map(|alert| (alert.id, alert)).collect();
        let recent_after = end_of(position);
        Self { position, open, recent: VecDeque::new(), recent_after }
    }

    /// Takes the next entry in; gives its alert events.
    pub(super) fn follow(&mut self, entry: &Entry) -> Vec<EventRef> {
        self.position = entry.position;
        let events: Vec<EventRef> = events(entry).collect();
        for event in &events {
            self.remember(event);
        }
        events
    }

    fn remember(&mut self, event: &EventRef) {
        let AlertEvent { phase, alert, .. } = &*event.event;
        if phase.is_final() {
            self.open.remove(&alert.id);
        } else {
            self.open.insert(alert.id, alert.clone());
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

    /// How many alerts are open.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The open alerts that a filter admits.
    pub(super) fn snapshot(&self, filter: &Filter) -> Vec<Alert> {
        self.open.values().filter(|alert| filter.admits(alert)).cloned().collect()
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
