//! The engine's whole state, as a value: what a checkpoint keeps and a replay rebuilds.
//!
//! Rows stand in tables by dense key, in tables of which a snapshot can be taken while the
//! engine goes on. Beside them stand indices and merged rule sets, which are derived from the
//! rows and never kept.

mod rules_in_force;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admit::Device;
use super::alerts::work::Closed;
use super::alerts::{Alert, Moment, Open, Trigger};
use super::attention::Attention;
use super::audit;
use super::context::Context;
use super::directory::Directory;
use super::ids::Ids;
use super::input::{Schedule, Settings};
use super::monitoring;
use super::outage::gateways::Gateways;
use super::outage::ingest::Ingest;
use super::output::{Erased, MonitoringChange, Output, SiteRow};
use super::patient::Patient;
use super::profile::VersionedProfile;
use super::redrive::Redrives;
use super::requests::Requests;
use super::rules::{self, RuleSet};
use super::table::Table;
use super::timers::{self, Deadlines, Timers};
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, DeviceKey, PatientKey, SiteKey};

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
    /// The requests that were carried out, by what their callers call them.
    pub(super) requests: Requests,
    /// Keys by id. Derived.
    site_ids: Ids,
    /// Keys by id. Derived.
    patient_ids: Ids,
    /// Keys by id. Derived.
    device_ids: Ids,
    /// Who and what there is, by id and site. Derived.
    pub(super) directory: Directory,
    /// Patients with an open alert. Derived.
    pub(super) alarming: BTreeSet<PatientKey>,
    /// Patients with rules of their own. Derived.
    individual: BTreeSet<PatientKey>,
    /// The devices that have named a gateway, by gateway. Derived.
    pub(super) behind: BTreeMap<DeviceKey, BTreeSet<DeviceKey>>,
    /// How many patients wear a device. Derived.
    pub(super) worn: u32,
    /// When patients are to be looked at. Derived.
    pub(super) timers: Timers,
    /// How devices measure, each schedule once: a ward's are mostly alike, and a list of its own
    /// for each binding was a tenth of a patient's memory. Derived.
    schedules: BTreeSet<Arc<Schedule>>,
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
    pub(super) profile: Option<Box<VersionedProfile>>,
    /// Counts the profiles put: a patient whose tracks are of an earlier one is adapted before
    /// anything else happens to them.
    pub(super) generation: u32,
    /// The clock of silence.
    pub(super) attention: Attention,
    /// Our own intake.
    pub(super) ingest: Ingest,
    /// The gateways that are offline.
    pub(super) gateways: Gateways,
    /// Open alerts of gateways and of the service itself.
    pub(super) alerts: Vec<Open>,
    /// The alerts that ended last.
    pub(super) closed: Closed,
    /// The messages that were sent through again last.
    pub(super) redrives: Redrives,
    /// Where the chain of audit events ends.
    pub(super) audit: audit::Head,
    /// How many requests were remembered, the forgotten included.
    pub(super) requests: u64,
}

/// One site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Site {
    /// What it is.
    pub(super) row: SiteRow,
    /// Its rules, if it has any.
    pub(super) profile: Option<Box<VersionedProfile>>,
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
        let (sites, patients, devices) = (Table::new(), Table::new(), Table::new());
        let requests = Requests::default();
        Self::restored(General::default(), sites, patients, devices, requests, BTreeSet::new())
    }
}

impl State {
    /// The state of these rows.
    pub(super) fn restored(
        general: General,
        sites: Table<Site>,
        patients: Table<Patient>,
        devices: Table<Device>,
        requests: Requests,
        schedules: BTreeSet<Arc<Schedule>>,
    ) -> Self {
        let site_ids = Ids::of(sites.iter().map(|site| site.row.id.as_str()));
        let patient_ids = Ids::of(patients.iter().map(|patient| patient.row.id.as_str()));
        let device_ids = Ids::of(devices.iter().map(|device| device.row.id.as_str()));
        let wears = |p: &&Patient| !p.devices.is_empty();
        let keys = |is_wanted: &dyn Fn(&Patient) -> bool| -> BTreeSet<PatientKey> {
            patients.iter().filter(|p| is_wanted(p)).map(|p| p.row.key).collect()
        };
        let mut state = Self {
            alarming: keys(&|p| !p.alerts.is_empty()),
            individual: keys(&|p| p.profile.is_some()),
            behind: behind(&devices),
            worn: u32::try_from(patients.iter().filter(wears).count()).unwrap_or(u32::MAX),
            timers: Timers::default(),
            directory: Directory::of(&sites, &patients, &devices),
            schedules,
            rule_sets: RuleSets::default(),
            general,
            sites,
            patients,
            devices,
            requests,
            site_ids,
            patient_ids,
            device_ids,
        };
        for index in 0..state.patients.len() {
            let key = state.patients.get(index).expect("counted").row.key;
            state.forget_id_of_erased(key);
            state.reschedule(key);
        }
        state
    }

    /// Nothing leads to who was erased.
    fn forget_id_of_erased(&mut self, key: PatientKey) {
        let patients = &self.patients;
        let id_of = |key: u32| patients.get(key as usize).expect("numbers of rows").row.id.as_str();
        if patients.get(key.index()).is_some_and(|patient| patient.erased.is_some()) {
            self.patient_ids.remove(id_of(key.0), id_of);
        }
    }

    /// Puts a tombstone in the place of a patient who wears nothing and has no open alert.
    pub(super) fn erase(&mut self, erased: Erased) {
        let key = erased.tombstone.key;
        let generation = self.general.generation;
        let patients = &self.patients;
        let id_of = |key: u32| patients.get(key as usize).expect("numbers of rows").row.id.as_str();
        self.patient_ids.remove(id_of(key.0), id_of);
        self.directory.remove_patient(key, patients);
        self.individual.remove(&key);
        self.rule_sets.of_patients.remove(&key);
        let patient = self.patients.get_mut(key.index()).expect("keys name patients");
        *patient = Patient { generation, ..Patient::tombstone(erased) };
        self.requests.forget(key);
        self.note_alerts(key);
        self.reschedule(key);
    }

    /// The patients who were erased, by number.
    pub fn erased(&self) -> impl Iterator<Item = &Erased> {
        self.patients.iter().filter_map(|patient| patient.erased.as_deref())
    }

    /// The one copy of a schedule.
    pub(super) fn share(&mut self, schedule: &Schedule) -> Arc<Schedule> {
        if let Some(shared) = self.schedules.get(schedule) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(schedule.clone());
        self.schedules.insert(Arc::clone(&shared));
        shared
    }

    /// Receipt of the last input, if there was one.
    #[must_use]
    pub const fn now(&self) -> Option<Timestamp> {
        self.general.now
    }

    /// All open alerts: those of the service and of gateways, then by patient, in the order in
    /// which they were raised.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        let of_patients = self.alarming.iter().flat_map(|key| &self.patient(*key).alerts);
        self.general.alerts.iter().chain(of_patients).map(|open| &open.alert)
    }

    /// How each patient is watched, by patient.
    pub fn monitoring(&self) -> impl Iterator<Item = MonitoringChange> {
        self.patients
            .iter()
            .filter(|patient| patient.erased.is_none())
            .map(|patient| monitoring::change(patient, &self.site(patient.row.site).row.id))
    }

    /// When something happens next because time passes, if nothing arrives before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        timers::next(self)
    }

    /// Whether what piled up during an outage of our own is still awaited.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.general.attention.resumes_at().is_some()
    }

    /// Whether messages are left to the broker: the last [`Intake`](super::input::Intake) says so.
    #[must_use]
    pub const fn is_intake_held(&self) -> bool {
        self.general.ingest.is_held()
    }

    /// Where the chain of audit events ends.
    #[must_use]
    pub const fn audit_head(&self) -> audit::Head {
        self.general.audit
    }

    /// What the accounts of devices' intakes take in memory, one by one.
    pub fn account_bytes(&self) -> impl Iterator<Item = usize> {
        self.devices.iter().map(|device| device.account.bytes())
    }

    /// Both clocks at `now`.
    pub(super) fn moment(&self, now: Timestamp) -> Moment {
        let attention = &self.general.attention;
        Moment { now, attentive: attention.at(now), is_listening: !attention.is_still() }
    }

    /// The key of the site with this id.
    pub(super) fn site_key(&self, id: &str) -> Option<SiteKey> {
        self.site_ids.find(id, |key| self.site(SiteKey(key)).row.id.as_str()).map(SiteKey)
    }

    /// The key of the patient with this id.
    pub(super) fn patient_key(&self, id: &str) -> Option<PatientKey> {
        let id_of = |key| self.patient(PatientKey(key)).row.id.as_str();
        self.patient_ids.find(id, id_of).map(PatientKey)
    }

    /// The key of the device with this id.
    pub(super) fn device_key(&self, id: &str) -> Option<DeviceKey> {
        let id_of = |key| self.device(DeviceKey(key)).row.id.as_str();
        self.device_ids.find(id, id_of).map(DeviceKey)
    }

    /// Adds a site, whose id no other has, under the next key.
    pub(super) fn add_site(&mut self, site: Site) {
        let key = site.row.key;
        self.sites.push(site);
        let rows = &self.sites;
        let id_of = |key: u32| rows.get(key as usize).expect("numbers of rows").row.id.as_str();
        self.site_ids.insert(key.0, id_of);
        self.directory.add_site(key, rows);
    }

    /// Adds a patient, whose id no other has, under the next key.
    pub(super) fn add_patient(&mut self, patient: Patient) {
        let key = patient.row.key;
        self.patients.push(patient);
        let rows = &self.patients;
        let id_of = |key: u32| rows.get(key as usize).expect("numbers of rows").row.id.as_str();
        self.patient_ids.insert(key.0, id_of);
        self.directory.add_patient(key, rows);
    }

    /// Adds a device, whose id no other has, under the next key.
    pub(super) fn add_device(&mut self, device: Device) {
        let key = device.row.key;
        self.devices.push(device);
        let rows = &self.devices;
        let id_of = |key: u32| rows.get(key as usize).expect("numbers of rows").row.id.as_str();
        self.device_ids.insert(key.0, id_of);
        self.directory.add_device(key, rows);
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

    /// The id of what a channel is measured by: a device's, or the one reserved for people.
    pub(super) fn device_id(&self, key: DeviceKey) -> DeviceId {
        match key {
            DeviceKey::BY_HAND => DeviceId::by_hand(),
            _ => self.device(key).row.id.clone(),
        }
    }

    /// Lets something happen to a patient, adapted to the rules in force, and brings the indices
    /// in line with what came of it.
    pub(super) fn with_patient(
        &mut self,
        key: PatientKey,
        now: Timestamp,
        outputs: &mut Vec<Output>,
        change: impl FnOnce(&mut Patient, &mut Context<'_>),
    ) {
        let rules = self.rules_of(key);
        let moment = self.moment(now);
        let patient = self.patients.get_mut(key.index()).expect("keys name patients");
        let mut cx = Context {
            moment,
            site: &self.sites.get(patient.row.site.index()).expect("patients name sites").row.id,
            rules: &rules,
            devices: &self.devices,
            gateways: &self.general.gateways,
            outputs,
            is_changed: false,
        };
        if patient.generation != self.general.generation {
            patient.generation = self.general.generation;
            rules::adapt(patient, &mut cx, &Trigger::RuleChanged);
            monitoring::review(patient, &mut cx);
            cx.is_changed = true;
        }
        change(patient, &mut cx);
        if cx.is_changed {
            self.note_alerts(key);
            self.reschedule(key);
        }
    }

    /// Brings a patient's timers in line with their deadlines.
    pub(super) fn reschedule(&mut self, key: PatientKey) {
        let now = self.general.now.unwrap_or(Timestamp::MIN);
        if self.patient(key).erased.is_some() {
            return self.timers.set(key, Deadlines::NONE);
        }
        if self.patient(key).generation != self.general.generation {
            // What is due by rules that have changed meanwhile is known once they are adapted to.
            return self.timers.set(key, Deadlines::at(now));
        }
        let rules = self.rules_of(key);
        // No gateway stands before a person.
        let gateway = |device: DeviceKey| self.devices.get(device.index())?.gateway();
        let is_covered = |device: DeviceKey| self.general.gateways.cover(gateway(device));
        let deadlines = timers::deadlines(self.patient(key), &rules, now, is_covered);
        self.timers.set(key, deadlines);
    }

    /// Takes note that a device stands behind a gateway.
    pub(super) fn note_gateway(
        &mut self,
        device: DeviceKey,
        before: Option<DeviceKey>,
        gateway: DeviceKey,
    ) {
        if let Some(before) = before {
            self.forget_gateway(device, before);
        }
        self.behind.entry(gateway).or_default().insert(device);
    }

    /// Takes note that a device no longer stands behind a gateway.
    pub(super) fn forget_gateway(&mut self, device: DeviceKey, gateway: DeviceKey) {
        let Some(devices) = self.behind.get_mut(&gateway) else { return };
        devices.remove(&device);
        if devices.is_empty() {
            self.behind.remove(&gateway);
        }
    }

    /// A patient is at another site, whose rules are in force from here on; whoever moves them
    /// adapts them to those.
    pub(super) fn change_site(&mut self, key: PatientKey, site: SiteKey) {
        self.rule_sets.of_patients.remove(&key);
        self.directory.move_patient(key, site, &self.patients);
        let patient = self.patients.get_mut(key.index()).expect("keys name patients");
        patient.row.site = site;
    }

    /// A device is at another site.
    pub(super) fn change_device_site(&mut self, key: DeviceKey, site: SiteKey) {
        self.directory.move_device(key, site, &self.devices);
        let device = self.devices.get_mut(key.index()).expect("keys name devices");
        device.row.site = site;
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

fn behind(devices: &Table<Device>) -> BTreeMap<DeviceKey, BTreeSet<DeviceKey>> {
    let mut behind: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for device in devices.iter() {
        if let Some(gateway) = device.gateway() {
            behind.entry(gateway).or_default().insert(device.row.key);
        }
    }
    behind
}
