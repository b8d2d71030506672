//! The directory: who and what there is by id, everywhere and at each site, and what patients wore
//! before. All of it is derived from the rows and never kept.
//!
//! Promises: where a list goes on is found without looking at what comes before it, and a row costs
//! no more than its neighbours: a page takes work in proportion to its size, however many patients
//! there are. Who was erased is not in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Bound;

use super::admit::Device;
use super::input::Sites;
use super::ordered::Ordered;
use super::output::BindingRow;
use super::patient::Patient;
use super::state::{Site, State};
use super::table::Table;
use crate::clock::Timestamp;
use crate::vitals::{DeviceKey, PatientKey, SiteKey};

/// The directory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    sites: Ordered,
    patients: Listed,
    devices: Listed,
    /// The bindings that have ended, by patient and begin; those that last are with their patients.
    past: BTreeSet<(PatientKey, Timestamp, DeviceKey)>,
}

/// Rows of one kind.
#[derive(Debug, Default)]
struct Listed {
    everywhere: Ordered,
    at: BTreeMap<SiteKey, Ordered>,
}

/// Where somebody may look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everywhere.
    Everywhere,
    /// At these sites, each once.
    At(Vec<SiteKey>),
}

impl Reach {
    /// Where a caller may look who may see `sites`.
    pub(super) fn of(state: &State, sites: &Sites) -> Self {
        match sites {
            Sites::All => Self::Everywhere,
            Sites::Only(sites) => {
                let keys = sites.iter().filter_map(|site| state.site_key(site.as_str()));
                let keys: BTreeSet<_> = keys.collect();
                Self::At(keys.into_iter().collect())
            }
        }
    }

    /// Whether a site is within it.
    pub(super) fn includes(&self, site: SiteKey) -> bool {
        match self {
            Self::Everywhere => true,
            Self::At(sites) => sites.contains(&site),
        }
    }
}

impl Directory {
    /// That of these rows.
    pub(super) fn of(
        sites: &Table<Site>,
        patients: &Table<Patient>,
        devices: &Table<Device>,
    ) -> Self {
        let there = patients.iter().filter(|patient| patient.erased.is_none());
        let there = there.map(|patient| patient.row.key.0);
        let mut directory = Self {
            sites: Ordered::of(sites.iter().map(|site| site.row.key.0), site_ids(sites)),
            patients: Listed::of(there, patient_ids(patients), |number| {
                row(patients, number).row.site
            }),
            devices: Listed::of(
                devices.iter().map(|device| device.row.key.0),
                device_ids(devices),
                |number| row(devices, number).row.site,
            ),
            past: BTreeSet::new(),
        };
        devices.iter().for_each(|device| directory.add_bindings(device));
        directory
    }

    /// Adds the last site.
    pub(super) fn add_site(&mut self, site: SiteKey, sites: &Table<Site>) {
        self.sites.insert(site.0, site_ids(sites));
    }

    /// Adds a patient.
    pub(super) fn add_patient(&mut self, patient: PatientKey, patients: &Table<Patient>) {
        let site = row(patients, patient.0).row.site;
        self.patients.insert(patient.0, site, patient_ids(patients));
    }

    /// Takes a patient out, with what they wore.
    pub(super) fn remove_patient(&mut self, patient: PatientKey, patients: &Table<Patient>) {
        let site = row(patients, patient.0).row.site;
        self.patients.remove(patient.0, site, patient_ids(patients));
        let theirs: Vec<_> = self.past_of(patient, None).collect();
        for (begin, device) in theirs {
            self.past.remove(&(patient, begin, device));
        }
    }

    /// Adds a device, with those who wore it.
    pub(super) fn add_device(&mut self, device: DeviceKey, devices: &Table<Device>) {
        let device = row(devices, device.0);
        self.devices.insert(device.row.key.0, device.row.site, device_ids(devices));
        self.add_bindings(device);
    }

    /// A patient is at `site` from now on, who was where their row still says.
    pub(super) fn move_patient(
        &mut self,
        patient: PatientKey,
        site: SiteKey,
        patients: &Table<Patient>,
    ) {
        let before = row(patients, patient.0).row.site;
        self.patients.move_to(patient.0, (before, site), patient_ids(patients));
    }

    /// The same of a device.
    pub(super) fn move_device(
        &mut self,
        device: DeviceKey,
        site: SiteKey,
        devices: &Table<Device>,
    ) {
        let before = row(devices, device.0).row.site;
        self.devices.move_to(device.0, (before, site), device_ids(devices));
    }

    fn add_bindings(&mut self, device: &Device) {
        device.bindings.iter().for_each(|binding| self.note_end(binding));
    }

    /// Takes note of a binding that has ended.
    pub(super) fn note_end(&mut self, binding: &BindingRow) {
        if binding.until.is_some() {
            self.past.insert((binding.patient, binding.from, binding.device));
        }
    }

    /// The bindings of a patient that have ended, latest first: only those before `before`.
    pub(super) fn past_of(
        &self,
        patient: PatientKey,
        before: Option<(Timestamp, DeviceKey)>,
    ) -> impl Iterator<Item = (Timestamp, DeviceKey)> + '_ {
        let first = Bound::Included((patient, Timestamp::MIN, DeviceKey(0)));
        let last = match before {
            Some((begin, device)) => Bound::Excluded((patient, begin, device)),
            None => Bound::Included((patient, Timestamp::MAX, DeviceKey(u32::MAX))),
        };
        self.past.range((first, last)).rev().map(|(_, begin, device)| (*begin, *device))
    }
}

impl Listed {
    fn of<'a>(
        numbers: impl Iterator<Item = u32>,
        id_of: impl Fn(u32) -> &'a str,
        site_of: impl Fn(u32) -> SiteKey,
    ) -> Self {
        let everywhere = Ordered::of(numbers, &id_of);
        let mut at: BTreeMap<SiteKey, Ordered> = BTreeMap::new();
        for number in everywhere.from(Bound::Unbounded, &id_of) {
            at.entry(site_of(number)).or_default().push(number);
        }
        Self { everywhere, at }
    }

    fn insert<'a>(&mut self, number: u32, site: SiteKey, id_of: impl Fn(u32) -> &'a str) {
        self.everywhere.insert(number, &id_of);
        self.at.entry(site).or_default().insert(number, &id_of);
    }

    fn remove<'a>(&mut self, number: u32, site: SiteKey, id_of: impl Fn(u32) -> &'a str) {
        self.everywhere.remove(number, &id_of);
        if let Some(there) = self.at.get_mut(&site) {
            there.remove(number, &id_of);
        }
    }

    fn move_to<'a>(
        &mut self,
        number: u32,
        (before, site): (SiteKey, SiteKey),
        id_of: impl Fn(u32) -> &'a str,
    ) {
        if let Some(there) = self.at.get_mut(&before) {
            there.remove(number, &id_of);
        }
        self.at.entry(site).or_default().insert(number, &id_of);
    }

    /// The rows within reach from `start` on, by id.
    fn within<'s, 'a: 's>(
        &'s self,
        reach: &Reach,
        start: Bound<&str>,
        id_of: impl Fn(u32) -> &'a str + Copy + 's,
    ) -> Box<dyn Iterator<Item = u32> + 's> {
        match reach {
            Reach::Everywhere => Box::new(self.everywhere.from(start, &id_of)),
            Reach::At(sites) => {
                let lists = sites.iter().filter_map(|site| self.at.get(site));
                Box::new(merged(lists.map(|list| list.from(start, &id_of)), id_of))
            }
        }
    }
}

/// Lists in the order of their ids as one.
fn merged<'s, 'a: 's>(
    lists: impl Iterator<Item = impl Iterator<Item = u32> + 's>,
    id_of: impl Fn(u32) -> &'a str + 's,
) -> impl Iterator<Item = u32> + 's {
    let mut lists: Vec<_> = lists.collect();
    let mut heads = BinaryHeap::with_capacity(lists.len());
    for (place, list) in lists.iter_mut().enumerate() {
        heads.extend(list.next().map(|number| Reverse((id_of(number), place, number))));
    }
    std::iter::from_fn(move || {
        let Reverse((_, place, number)) = heads.pop()?;
        heads.extend(lists[place].next().map(|next| Reverse((id_of(next), place, next))));
        Some(number)
    })
}

impl State {
    /// The sites from `start` on, by id.
    pub(super) fn sites_by_id(&self, start: Bound<&str>) -> impl Iterator<Item = &Site> {
        self.directory.sites.from(start, &site_ids(&self.sites)).map(|it| row(&self.sites, it))
    }

    /// The patients within reach from `start` on, by id.
    pub(super) fn patients_by_id(
        &self,
        reach: &Reach,
        start: Bound<&str>,
    ) -> impl Iterator<Item = &Patient> {
        let listed = self.directory.patients.within(reach, start, patient_ids(&self.patients));
        listed.map(|number| row(&self.patients, number))
    }

    /// The devices within reach from `start` on, by id.
    pub(super) fn devices_by_id(
        &self,
        reach: &Reach,
        start: Bound<&str>,
    ) -> impl Iterator<Item = &Device> {
        let listed = self.directory.devices.within(reach, start, device_ids(&self.devices));
        listed.map(|number| row(&self.devices, number))
    }

    /// The devices that a patient has or had on, by number.
    pub(super) fn devices_worn_by(&self, patient: PatientKey) -> BTreeSet<DeviceKey> {
        let past = self.directory.past_of(patient, None).map(|(_, device)| device);
        past.chain(self.patient(patient).devices.iter().copied()).collect()
    }

    /// The bindings of a patient before `before`, by begin and device, latest first.
    pub(super) fn bindings_of_patient(
        &self,
        patient: PatientKey,
        before: Option<(Timestamp, DeviceKey)>,
    ) -> impl Iterator<Item = &BindingRow> {
        let devices = self.patient(patient).devices.iter();
        let lasting = devices.filter_map(|device| self.device(*device).bound());
        let is_before = |binding: &&BindingRow| before.is_none_or(|it| place(binding) < it);
        let mut lasting: Vec<_> = lasting.filter(is_before).collect();
        lasting.sort_unstable_by_key(|binding| place(binding));
        let past = self.directory.past_of(patient, before);
        let mut past = past.filter_map(|(begin, device)| self.binding(device, begin)).peekable();
        std::iter::from_fn(move || match (lasting.last(), past.peek()) {
            (Some(one), Some(other)) if place(one) < place(other) => past.next(),
            (None, _) => past.next(),
            (Some(_), _) => lasting.pop(),
        })
    }

    /// The binding of a device that begins then.
    fn binding(&self, device: DeviceKey, begin: Timestamp) -> Option<&BindingRow> {
        let bindings = &self.device(device).bindings;
        let place = bindings.binary_search_by_key(&begin, |binding| binding.from);
        place.ok().map(|place| &bindings[place])
    }
}

/// Where a binding stands among a patient's.
pub(super) fn place(binding: &BindingRow) -> (Timestamp, DeviceKey) {
    (binding.from, binding.device)
}

fn row<T: Clone>(rows: &Table<T>, number: u32) -> &T {
    rows.get(number as usize).expect("numbers of rows")
}

fn site_ids<'a>(rows: &'a Table<Site>) -> impl Fn(u32) -> &'a str + Copy {
    move |number| row(rows, number).row.id.as_str()
}

fn patient_ids<'a>(rows: &'a Table<Patient>) -> impl Fn(u32) -> &'a str + Copy {
    move |number| row(rows, number).row.id.as_str()
}

fn device_ids<'a>(rows: &'a Table<Device>) -> impl Fn(u32) -> &'a str + Copy {
    move |number| row(rows, number).row.id.as_str()
}
