//! The engine's whole state, as a value: what a checkpoint keeps and a replay rebuilds.
//!
//! Rows stand in tables by dense key, in tables of which a snapshot can be taken while the
//! engine goes on. Beside them stand indices and merged rule sets, which are derived from the
//! rows and never kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admit::Device;
use super::alerts::Alert;
use super::input::Settings;
use super::output::SiteRow;
use super::patient::Patient;
use super::profile::{self, Scope, VersionedProfile};
use super::rules::RuleSet;
use super::table::Table;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientId, PatientKey, SiteId, SiteKey};

/// Everything that the engine knows.
#[derive(Debug)]
pub struct State {
    /// What belongs to no row.
    pub(super) general: General,
    /// Sites, by key.
    pub(super) sites: Table<Site>,
    /// Patients, by key.
    pub(super) patients: Table<Patient>,
    /// Devices, by key.
    pub(super) devices: Table<Device>,
    /// Keys by id. Derived.
    pub(super) site_keys: HashMap<SiteId, SiteKey>,
    /// Keys by id. Derived.
    pub(super) patient_keys: HashMap<PatientId, PatientKey>,
    /// Keys by id. Derived.
    pub(super) device_keys: HashMap<DeviceId, DeviceKey>,
    /// Patients with an open alert. Derived.
    pub(super) alarming: BTreeSet<PatientKey>,
    /// Merged rules, as far as they have been needed since the last change. Derived.
    rule_sets: RuleSets,
}

/// What belongs to no row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct General {
    /// Receipt of the last input, if there was one.
    pub(super) now: Option<Timestamp>,
    /// The settings in force.
    pub(super) settings: Settings,
    /// Everyone's rules, if any were put.
    pub(super) profile: Option<VersionedProfile>,
}

/// One site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Site {
    /// What it is.
    pub(super) row: SiteRow,
    /// Its rules, if it has any.
    pub(super) profile: Option<VersionedProfile>,
}

#[derive(Debug, Default)]
struct RuleSets {
    /// For patients without rules of their own.
    of_sites: BTreeMap<SiteKey, Arc<RuleSet>>,
    /// For those with.
    of_patients: BTreeMap<PatientKey, Arc<RuleSet>>,
}

impl Default for State {
    fn default() -> Self {
        Self::restored(General::default(), Table::new(), Table::new(), Table::new())
    }
}

impl State {
    /// The state of these rows.
    pub(super) fn restored(
        general: General,
        sites: Table<Site>,
        patients: Table<Patient>,
        devices: Table<Device>,
    ) -> Self {
        let site_keys = sites.iter().map(|site| (site.row.id.clone(), site.row.key)).collect();
        let patient_keys = patients.iter().map(|p| (p.row.id.clone(), p.row.key)).collect();
        let device_keys = devices.iter().map(|d| (d.row.id.clone(), d.row.key)).collect();
        let alarming =
            patients.iter().filter(|p| !p.alerts.is_empty()).map(|p| p.row.key).collect();
        let rule_sets = RuleSets::default();
        Self {
            general,
            sites,
            patients,
            devices,
            site_keys,
            patient_keys,
            device_keys,
            alarming,
            rule_sets,
        }
    }

    /// Receipt of the last input, if there was one.
    #[must_use]
    pub const fn now(&self) -> Option<Timestamp> {
        self.general.now
    }

    /// All open alerts, by patient and in the order in which they were raised.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alarming.iter().flat_map(|key| &self.patient(*key).alerts)
    }

    /// The site with this key.
    pub(super) fn site(&self, key: SiteKey) -> &Site {
        self.sites.get(key.index()).expect("keys are given by the registry and never withdrawn")
    }

    /// The patient with this key.
    pub(super) fn patient(&self, key: PatientKey) -> &Patient {
        self.patients.get(key.index()).expect("keys are given by the registry and never withdrawn")
    }

    /// The device with this key.
    pub(super) fn device(&self, key: DeviceKey) -> &Device {
        self.devices.get(key.index()).expect("keys are given by the registry and never withdrawn")
    }

    /// The rules in force for a patient: patient over site over default.
    pub(super) fn rules_of(&mut self, key: PatientKey) -> Arc<RuleSet> {
        let patient = self.patient(key);
        let site = patient.row.site;
        let cached = match patient.profile {
            Some(_) => self.rule_sets.of_patients.get(&key),
            None => self.rule_sets.of_sites.get(&site),
        };
        if let Some(rules) = cached {
            return Arc::clone(rules);
        }
        let mut layers = Vec::with_capacity(3);
        layers.extend(self.general.profile.as_ref().map(|own| (Scope::Default, own)));
        layers.extend(self.site(site).profile.as_ref().map(|own| (Scope::Site(site), own)));
        layers.extend(patient.profile.as_ref().map(|own| (Scope::Patient(key), own)));
        let rules = Arc::new(RuleSet::new(profile::merge(&layers)));
        if patient.profile.is_some() {
            self.rule_sets.of_patients.insert(key, Arc::clone(&rules));
        } else {
            self.rule_sets.of_sites.insert(site, Arc::clone(&rules));
        }
        rules
    }

    /// Forgets merged rules after a profile changed.
    pub(super) fn forget_rules(&mut self) {
        self.rule_sets = RuleSets::default();
    }

    /// Keeps [`State::alarming`] in line after a patient's alerts may have changed.
    pub(super) fn note_alerts(&mut self, key: PatientKey) {
        if self.patient(key).alerts.is_empty() {
            self.alarming.remove(&key);
        } else {
            self.alarming.insert(key);
        }
    }
}
