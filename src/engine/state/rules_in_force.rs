//! Which rules are in force for whom: merged once, kept until a profile changes.

use std::sync::Arc;

use super::{RuleSets, State};
use crate::engine::outage;
use crate::engine::profile::{self, Scope, VersionedProfile};
use crate::engine::rules::RuleSet;
use crate::vitals::{PatientKey, Priority, SiteKey};

impl State {
    /// The rules in force for a patient: patient over site over default.
    pub(in crate::engine) fn rules_of(&mut self, key: PatientKey) -> Arc<RuleSet> {
        let patient = self.patient(key);
        if patient.profile.is_none() {
            return self.rules_of_site(patient.row.site);
        }
        if let Some(rules) = self.rule_sets.of_patients.get(&key) {
            return Arc::clone(rules);
        }
        let mut layers = self.layers(patient.row.site);
        layers.extend(patient.profile.as_deref().map(|own| (Scope::Patient(key), own)));
        let rules = Arc::new(RuleSet::new(profile::merge(&layers)));
        self.rule_sets.of_patients.insert(key, Arc::clone(&rules));
        rules
    }

    /// The rules in force at a site for patients without rules of their own.
    pub(in crate::engine) fn rules_of_site(&mut self, site: SiteKey) -> Arc<RuleSet> {
        if let Some(rules) = self.rule_sets.of_sites.get(&site) {
            return Arc::clone(rules);
        }
        let rules = Arc::new(RuleSet::new(profile::merge(&self.layers(site))));
        self.rule_sets.of_sites.insert(site, Arc::clone(&rules));
        rules
    }

    /// A scope's own rules, if any were put.
    pub(in crate::engine) fn own_profile(&self, scope: Scope) -> Option<&VersionedProfile> {
        match scope {
            Scope::Default => self.general.profile.as_deref(),
            Scope::Site(key) => self.site(key).profile.as_deref(),
            Scope::Patient(key) => self.patient(key).profile.as_deref(),
        }
    }

    fn layers(&self, site: SiteKey) -> Vec<(Scope, &VersionedProfile)> {
        let mut layers = Vec::with_capacity(3);
        layers.extend(self.general.profile.as_deref().map(|own| (Scope::Default, own)));
        layers.extend(self.site(site).profile.as_deref().map(|own| (Scope::Site(site), own)));
        layers
    }

    /// The highest priority with which any rule in force tells that data does not come.
    pub(in crate::engine) fn highest_technical_priority(&self) -> Priority {
        let own = self.individual.iter().filter_map(|key| self.patient(*key).profile.as_deref());
        let sites = self.sites.iter().filter_map(|site| site.profile.as_deref());
        let profiles = self.general.profile.as_deref().into_iter().chain(sites).chain(own);
        profiles.filter_map(|it| outage::highest_in(&it.profile)).max().unwrap_or(Priority::Medium)
    }

    /// A scope's profile changed: merged rules are made anew, and whoever they are for is adapted
    /// to them: one patient at once, all others before the next input.
    pub(in crate::engine) fn change_rules(&mut self, scope: Scope) {
        if let Scope::Patient(key) = scope {
            self.individual.insert(key);
            self.rule_sets.of_patients.remove(&key);
            let generation = self.general.generation.wrapping_sub(1);
            let patient = self.patients.get_mut(key.index()).expect("keys name patients");
            patient.generation = generation;
        } else {
            self.rule_sets = RuleSets::default();
            self.general.generation = self.general.generation.wrapping_add(1);
            for index in 0..self.patients.len() {
                let key = self.patients.get(index).expect("counted").row.key;
                self.reschedule(key);
            }
        }
    }
}
