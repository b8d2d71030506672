//! What a watcher of vitals is shown: whoever is at the sites that were asked for, and the patients
//! that were named besides; within the caller's scope.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::input::Sites;
use crate::vitals::{PatientId, SiteId, Vital};

/// What a watcher wants, within what it may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitalsFilter {
    /// The sites that the caller may see.
    pub scope: Sites,
    /// Whoever is at these sites.
    pub sites: BTreeSet<SiteId>,
    /// And these patients.
    pub patients: BTreeSet<PatientId>,
    /// Only these vitals; all if there are none.
    pub vitals: BTreeSet<Vital>,
    /// Two readings of a patient's vital are at least so far apart.
    pub interval: Duration,
}

/// Whom of a site a watcher is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Everybody.
    Everybody,
    /// Those that it names.
    Named,
    /// Nobody.
    Nobody,
}

impl VitalsFilter {
    pub(super) fn coverage(&self, site: &SiteId) -> Coverage {
        if !self.scope.include(site) {
            Coverage::Nobody
        } else if self.sites.contains(site) {
            Coverage::Everybody
        } else {
            Coverage::Named
        }
    }
}
