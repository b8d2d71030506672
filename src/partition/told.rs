//! What followers believe of alerts and of who did what, by the outputs that stand in the journal.
//!
//! The state that a replay leads to may be another, if the engine that replays decides otherwise
//! than the one that wrote: then followers are told (design §1.6).

use std::collections::BTreeMap;

use crate::engine::State;
use crate::engine::alerts::{Alert, AlertId};
use crate::engine::audit::Head;
use crate::engine::output::Output;

/// The alerts that followers believe to be open, and the audit events that they know.
#[derive(Debug, Default)]
pub(super) struct Told {
    open: BTreeMap<AlertId, Alert>,
    audit_head: Head,
}

impl Told {
    /// Followers believe what stands in this state.
    pub(super) fn of(state: &State) -> Self {
        let open = state.open_alerts().map(|alert| (alert.id, alert.clone())).collect();
        Self { open, audit_head: state.audit_head() }
    }

    /// Followers are told this.
    pub(super) fn follow(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Alert(event) if event.alert.is_over() => {
                    self.open.remove(&event.alert.id);
                }
                Output::Alert(event) => {
                    self.open.insert(event.alert.id, event.alert.clone());
                }
                Output::Audit(event) => {
                    self.audit_head = Head { number: event.number, digest: event.digest };
                }
                _ => {}
            }
        }
    }

    /// Whether their alerts are those of this state.
    pub(super) fn is_true_of(&self, state: &State) -> bool {
        let standing: BTreeMap<_, _> =
            state.open_alerts().map(|alert| (&alert.id, alert)).collect();
        self.open.iter().eq(standing)
    }

    /// Where the chain of audit events ends.
    pub(super) const fn audit_head(&self) -> Head {
        self.audit_head
    }

    /// The alerts.
    pub(super) fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::alerts::{AlertKind, Condition, Signal};
    use crate::engine::profile::Scope;
    use crate::vitals::Priority;

    /// An alert that no rule of this engine raised.
    pub(in crate::partition) fn unknown_alert() -> Alert {
        Alert {
            id: AlertId(Uuid::from_u128(7)),
            kind: AlertKind::Technical,
            patient: None,
            patient_key: None,
            site: None,
            device: None,
            rule: "gone".parse().unwrap(),
            rule_version: 1,
            scope: Scope::Default,
            vital: None,
            limit: None,
            score: None,
            priority: Priority::Low,
            condition: Condition::Active,
            signal: Signal::On,
            onset: Timestamp::EPOCH,
            raised_at: Timestamp::EPOCH,
            ended_at: None,
            retrospective: false,
            delayed: false,
            unconfirmed: false,
            escalation_level: 0,
            assignee: None,
            covered: 0,
            revision: 1,
            risen_in: 1,
        }
    }
}
