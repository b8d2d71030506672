//! After a change of the engine: what followers believe to be open, and what is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alert, Condition, Moment, Phase, Signal, Trigger};
use crate::clock::Timestamp;
use crate::engine::context::event;
use crate::engine::output::Output;
use crate::engine::state::State;

/// Closes the alerts that were told and that this engine does not have, and starts those that it
/// has and that were not told.
pub(in crate::engine) fn reconcile(
    state: &State,
    told: &[Alert],
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let moment: Moment = state.moment(now);
    let open: BTreeMap<_, _> = state.open_alerts().map(|alert| (alert.id, alert)).collect();
    for alert in told.iter().filter(|alert| !open.contains_key(&alert.id)) {
        let mut closed = alert.clone();
        closed.condition = Condition::Inactive;
        closed.signal = Signal::Off;
        closed.ended_at = Some(closed.ended_at.unwrap_or(now));
        closed.revision += 1;
        let before = Some(alert.priority);
        outputs.push(event(Phase::Close, moment, before, Trigger::EngineChanged, closed));
    }
    let known: BTreeSet<_> = told.iter().map(|alert| alert.id).collect();
    for alert in open.values().filter(|alert| !known.contains(&alert.id)) {
        let alert = (*alert).clone();
        outputs.push(event(Phase::Start, moment, None, Trigger::EngineChanged, alert));
    }
}
