//! What a watcher is shown: the caller's scope, and what the caller asked for.
//!
//! Alerts of the service itself belong to no site, and go to everyone: they say that nothing can
//! be heard of anyone. An alert of a gateway goes to its site, but not to who asked for single
//! patients: each of those tells by their monitoring state that nothing is heard of them.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::view::Change;
use crate::engine::alerts::Alert;
use crate::engine::input::Sites;
use crate::engine::output::MonitoringChange;
use crate::vitals::{PatientId, Priority, SiteId};

/// What a watcher wants, within what it may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The sites that the caller may see.
    pub scope: Sites,
    /// Only these sites; all in scope if empty.
    pub sites: BTreeSet<SiteId>,
    /// Only these patients; all in scope if empty.
    pub patients: BTreeSet<PatientId>,
    /// Only this priority and higher ones.
    pub priority_min: Priority,
}

impl Filter {
    /// All that is in scope.
    #[must_use]
    pub fn everything(scope: Sites) -> Self {
        let (sites, patients) = Default::default();
        Self { scope, sites, patients, priority_min: Priority::Low }
    }

    /// Whether an open alert belongs into the watcher's snapshot.
    #[must_use]
    pub fn admits(&self, alert: &Alert) -> bool {
        self.covers(alert) && alert.priority >= self.priority_min
    }

    /// Whether something that happened concerns the watcher: also an event by which an alert falls
    /// below its priority.
    #[must_use]
    pub fn admits_change(&self, change: &Change) -> bool {
        match change {
            Change::Alert(event) => self.covers(&event.alert) && event.concerns(self.priority_min),
            Change::Monitoring(monitoring) => self.admits_patient(monitoring),
            Change::Left(left) => {
                let stays = left.to.as_ref().is_some_and(|to| self.covers_site(to));
                self.covers_site(&left.site) && self.covers_patient(&left.patient) && !stays
            }
        }
    }

    /// Whether how a patient is watched concerns the watcher.
    #[must_use]
    pub fn admits_patient(&self, monitoring: &MonitoringChange) -> bool {
        self.covers_site(&monitoring.site) && self.covers_patient(&monitoring.patient)
    }

    /// Whether an alert is of what the watcher asked for, whatever its priority.
    #[must_use]
    pub fn covers(&self, alert: &Alert) -> bool {
        match (&alert.site, &alert.patient) {
            (None, _) => true,
            (Some(site), None) => self.covers_site(site) && self.patients.is_empty(),
            (Some(site), Some(patient)) => self.covers_site(site) && self.covers_patient(patient),
        }
    }

    fn covers_site(&self, site: &SiteId) -> bool {
        self.scope.include(site) && (self.sites.is_empty() || self.sites.contains(site))
    }

    fn covers_patient(&self, patient: &PatientId) -> bool {
        self.patients.is_empty() || self.patients.contains(patient)
    }

    /// A number by which a cursor knows its filter again. Scope counts too: what a caller was
    /// not shown before, a cursor can't bring.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update(text.as_bytes());
            digest.update([0]);
        };
        match &self.scope {
            Sites::All => add("*"),
            Sites::Only(sites) => {
                let sorted: BTreeSet<_> = sites.iter().collect();
                sorted.into_iter().for_each(|site| add(site.as_str()));
            }
        }
        add("/sites");
        self.sites.iter().for_each(|site| add(site.as_str()));
        add("/patients");
        self.patients.iter().for_each(|patient| add(patient.as_str()));
        add(self.priority_min.name());
        let bytes = digest.finalize();
        u64::from_be_bytes(bytes[..8].try_into().expect("a digest has 32 bytes"))
    }
}
