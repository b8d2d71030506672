//! The people of the ward and what they ask for: alarm work, registry changes, profiles.
//!
//! They go by what the service has told, mostly; now and then they are behind, mistaken, or ask for
//! what can't be.

use std::time::Duration;

use pulseward::engine::alerts::AlertId;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, AlertAction, Command, Event, NewBinding, Principal, ProfileOwner, Repeatable,
    Replacement, Role, Sites,
};
use pulseward::engine::profile::{AgeGroup, Eligibility, Pregnancy};

use super::device::{Kind, first_wearers};
use super::{HOUR, MINUTE, Micros, SECOND, SITES, Ward, device_id, instant, patient_id, site_id};
use crate::checks::Checks;
use crate::profiles;

impl Ward {
    /// The ward as it is first set up.
    pub(super) fn set_up(&mut self) {
        for site in 0..SITES {
            let display_name = format!("Ward {site}");
            let time_zone = "Europe/Berlin".to_owned();
            self.ask(Action::CreateSite { site: site_id(site), display_name, time_zone });
        }
        self.put_profile(ProfileOwner::Default);
        for patient in 0..self.people.len() {
            let site = site_id(patient % SITES);
            self.ask(Action::CreatePatient { patient: patient_id(patient), site });
        }
        for index in 0..self.devices.len() {
            let site = site_id(self.devices[index].site);
            self.ask(Action::CreateDevice { device: device_id(index), site });
        }
        for (device, patient) in first_wearers(&self.devices, self.people.len()) {
            self.bind(device, patient, None);
        }
    }

    fn ask(&mut self, action: Action) {
        self.ask_as(Role::Admin, Sites::All, action);
    }

    fn ask_as(&mut self, role: Role, sites: Sites, action: Action) {
        let principal = Principal { subject: format!("{role:?}").to_lowercase(), role, sites };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        self.asked += 1;
        let id = format!("request-{}", self.asked).parse().expect("an id");
        let request = Some(Repeatable { id, call: None });
        self.input(Event::Command(Box::new(Command { principal, action, origin, request })));
    }

    fn bind(&mut self, device: usize, patient: usize, from: Option<Micros>) {
        let binding = NewBinding {
            device: device_id(device),
            patient: patient_id(patient),
            from: from.map(instant),
            schedule: self.devices[device].schedule(),
        };
        self.ask(Action::BindDevice(binding));
    }

    fn put_profile(&mut self, owner: ProfileOwner) {
        let profile = match owner {
            ProfileOwner::Default => profiles::everyones(&mut self.random),
            ProfileOwner::Site(_) => profiles::of_site(&mut self.random),
            ProfileOwner::Patient(_) => profiles::of_patient(&mut self.random),
        };
        self.ask(Action::PutProfile { owner, profile, expected_version: None });
    }

    /// A clinician looks at the open alerts and works on some.
    pub(super) fn look(&mut self, known: &Checks) {
        if !self.broker.is_serving() {
            return;
        }
        let open: Vec<(AlertId, u32)> = known.stories.open().collect();
        for _ in 0..self.random.range(1, 6) {
            let (alert, revision) = match open.len() {
                0 => return,
                count => open[self.random.index(count)],
            };
            let action = self.work(revision);
            let sites = match self.random.range(0, 10) {
                0 => Sites::Only(vec![site_id(self.random.index(SITES))]),
                _ => Sites::All,
            };
            let role = if self.random.per_mille(30) { Role::Viewer } else { Role::Clinician };
            self.ask_as(role, sites, Action::WorkOnAlert { alert, action });
        }
    }

    /// Some work on an alert, going by a revision that is mostly the present one.
    fn work(&mut self, revision: u32) -> AlertAction {
        let revision = match self.random.range(0, 10) {
            0 => revision + 3,
            1 | 2 => {
                revision.saturating_sub(u32::try_from(self.random.range(1, 4)).expect("small"))
            }
            _ => revision,
        };
        let note = self.random.per_mille(200).then(|| "seen".to_owned());
        match self.random.range(0, 12) {
            0..4 => AlertAction::Acknowledge { revision, note },
            4..7 => {
                let seconds = self.random.range(0, 3600);
                let duration = Duration::from_secs(u64::try_from(seconds).expect("not negative"));
                AlertAction::Pause { revision, duration, note }
            }
            7..10 => AlertAction::Reset { revision },
            10 => AlertAction::Assign { assignee: note, revision: None },
            _ => AlertAction::AddNote { note: "looked at".to_owned() },
        }
    }

    /// Somebody changes something of the registry or a profile.
    pub(super) fn manage(&mut self, known: &Checks) {
        if !self.broker.is_serving() {
            return;
        }
        self.bind_again(known);
        let patient = self.random.index(self.people.len());
        match self.random.range(0, 12) {
            0..2 => self.swap(known),
            2..4 => self.replace(known, patient),
            4 => self.unbind(known, patient),
            5 => self.transfer(patient),
            6 | 7 => self.pause(patient),
            8 => self.update(patient),
            9 => {
                let owner = ProfileOwner::Patient(patient_id(patient));
                self.put_profile(owner);
            }
            10 => {
                let site = self.random.index(SITES);
                self.put_profile(ProfileOwner::Site(site_id(site)));
            }
            _ => self.put_profile(ProfileOwner::Default),
        }
    }

    /// Patients without a wearable get one that is nobody's.
    fn bind_again(&mut self, known: &Checks) {
        let is_free = |it: &usize| {
            self.devices[*it].kind == Kind::Wearable && known.registry.wearer(*it).is_none()
        };
        let mut free: Vec<usize> = (0..self.devices.len()).filter(is_free).collect();
        for patient in 0..self.people.len() {
            let site = known.registry.patients[patient].site;
            if !self.wearables(known, patient).is_empty() || self.random.per_mille(300) {
                continue;
            }
            let Some(at) = free.iter().position(|it| known.registry.devices[*it].site == site)
            else {
                continue;
            };
            let from = match self.random.range(0, 5) {
                0 => Some(self.now - MINUTE),
                1 => Some(self.now + 5 * MINUTE),
                _ => None,
            };
            self.bind(free.swap_remove(at), patient, from);
        }
    }

    fn wearables(&self, known: &Checks, patient: usize) -> Vec<usize> {
        let worn = known.registry.patients[patient].devices.iter().copied();
        worn.filter(|it| self.devices[*it].kind == Kind::Wearable).collect()
    }

    /// Two patients of a site take each other's wearable.
    fn swap(&mut self, known: &Checks) {
        let (one, other) =
            (self.random.index(self.people.len()), self.random.index(self.people.len()));
        let (of_one, of_other) = (self.wearables(known, one), self.wearables(known, other));
        let (Some(first), Some(second)) = (of_one.first(), of_other.first()) else { return };
        if one == other || known.registry.patients[one].site != known.registry.patients[other].site
        {
            return;
        }
        for device in [*first, *second] {
            self.ask(Action::UnbindDevice { device: device_id(device), at: None });
        }
        let from = self.random.per_mille(500).then_some(self.now + 90 * SECOND);
        self.bind(*first, other, from);
        self.bind(*second, one, from);
    }

    fn replace(&mut self, known: &Checks, patient: usize) {
        let Some(device) = self.wearables(known, patient).first().copied() else { return };
        let site = known.registry.patients[patient].site;
        let is_free = |it: &usize| {
            let device = &self.devices[*it];
            device.kind == Kind::Wearable
                && known.registry.devices[*it].site == site
                && known.registry.wearer(*it).is_none()
        };
        let Some(new) = (0..self.devices.len()).find(is_free) else { return };
        let at = self.random.per_mille(200).then_some(instant(self.now - 2 * MINUTE));
        let keeps = self.random.per_mille(300);
        self.ask(Action::ReplaceDevice(Replacement {
            device: device_id(device),
            new_device: device_id(new),
            at,
            schedule: (!keeps).then(|| self.devices[new].schedule()),
        }));
    }

    fn unbind(&mut self, known: &Checks, patient: usize) {
        let worn = &known.registry.patients[patient].devices;
        if worn.is_empty() {
            return;
        }
        let device = worn[self.random.index(worn.len())];
        let at = match self.random.range(0, 4) {
            0 => Some(instant(self.now - 5 * MINUTE)),
            1 => Some(instant(self.now + 10 * SECOND)),
            _ => None,
        };
        self.ask(Action::UnbindDevice { device: device_id(device), at });
        // What was taken off by mistake, and is neither worn nor spare, is put on again.
        if self.devices[device].kind != Kind::Wearable {
            self.bind(device, patient, Some(self.now + 30 * SECOND));
        }
    }

    fn transfer(&mut self, patient: usize) {
        let site = self.random.index(SITES);
        self.ask(Action::TransferPatient { patient: patient_id(patient), site: site_id(site) });
    }

    /// A patient's devices are at another site, and behind no gateway at first.
    pub(crate) fn moved(&mut self, devices: &[usize], site: usize) {
        for device in devices {
            let device = &mut self.devices[*device];
            (device.site, device.retained) = (site, None);
            let gateway = self.random.pick(&[None, Some(site), Some(site + SITES)]);
            device.gateway = gateway;
        }
    }

    fn pause(&mut self, patient: usize) {
        let wait = self.random.range(MINUTE, 2 * HOUR);
        let until = self.random.per_mille(700).then_some(instant(self.now + wait));
        let (patient, reason) = (patient_id(patient), Some("bath".to_owned()));
        self.ask(Action::PausePatient { patient, until, reason });
    }

    fn update(&mut self, patient: usize) {
        let ages = [AgeGroup::Adult, AgeGroup::Adult, AgeGroup::Unknown, AgeGroup::Child];
        let pregnancies = [Pregnancy::NotPregnant, Pregnancy::Unknown, Pregnancy::Pregnant];
        let eligibility = Eligibility {
            age_group: self.random.pick(&ages),
            pregnancy: self.random.pick(&pregnancies),
        };
        self.ask(Action::UpdatePatient {
            patient: patient_id(patient),
            eligibility,
            expected: None,
        });
    }
}
