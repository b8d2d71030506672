//! Lists of the registry, page by page, while rows come and go.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::lookups::ask;
use super::*;
use crate::engine::query::{
    DevicesQuestion, Found, PatientsQuestion, RegistryQuestion, SitesQuestion, WornBy,
};
use crate::engine::snapshot::Restoration;

const SITES: [&str; 3] = ["north", "south", "west"];

/// A ward with three sites, and this many patients and devices at each in turn.
fn hospital(patients: u32) -> Ward {
    let mut ward = Ward::new();
    for site in &SITES[1..] {
        let (display_name, time_zone) = (String::new(), "Etc/UTC".to_owned());
        ward.done(Action::CreateSite { site: id(site), display_name, time_zone });
    }
    for number in 0..patients {
        add(&mut ward, number, SITES[number as usize % 3]);
    }
    ward
}

fn add(ward: &mut Ward, number: u32, site: &str) {
    ward.done(Action::CreatePatient { patient: patient(number), site: id(site) });
    ward.done(Action::CreateDevice { device: device(number), site: id(site) });
}

fn bind(ward: &mut Ward, device: DeviceId, patient: PatientId) {
    let schedule = Schedule::default();
    ward.done(Action::BindDevice(NewBinding { device, patient, from: None, schedule }));
}

fn all_patients() -> PatientsQuestion {
    PatientsQuestion { site: None, id_prefix: String::new(), behind: None, limit: 2 }
}

fn all_devices() -> DevicesQuestion {
    DevicesQuestion { site: None, worn: None, id_prefix: String::new(), behind: None, limit: 2 }
}

/// A page of patients, `patient-1@north`, and where the next begins.
fn patients(
    ward: &Ward,
    sites: &Sites,
    question: PatientsQuestion,
) -> (Vec<String>, Option<PatientId>) {
    match ask(ward, sites.clone(), RegistryQuestion::Patients(question)).expect("a page") {
        Found::Patients(page) => {
            let told = page.rows.iter().map(|(row, site)| format!("{}@{site}", row.id));
            (told.collect(), page.next_behind)
        }
        other => panic!("{other:?}"),
    }
}

/// Every page of patients, one after the other.
fn every_patient(ward: &Ward, sites: &Sites, question: &PatientsQuestion) -> Vec<String> {
    let (mut told, mut behind) = (Vec::new(), None);
    loop {
        let (page, next) = patients(ward, sites, PatientsQuestion { behind, ..question.clone() });
        assert!(page.len() <= question.limit as usize);
        told.extend(page);
        behind = next;
        if behind.is_none() {
            return told;
        }
    }
}

fn every_device(ward: &Ward, sites: &Sites, question: &DevicesQuestion) -> Vec<String> {
    let (mut told, mut behind) = (Vec::new(), None);
    loop {
        let question = DevicesQuestion { behind, ..question.clone() };
        let found = ask(ward, sites.clone(), RegistryQuestion::Devices(question));
        let Found::Devices(page) = found.expect("a page") else { panic!("devices") };
        told.extend(page.rows.iter().map(|(row, site)| format!("{}@{site}", row.id)));
        behind = page.next_behind;
        if behind.is_none() {
            return told;
        }
    }
}

fn only(sites: &[&str]) -> Sites {
    Sites::Only(sites.iter().map(|site| id(site)).collect())
}

#[test]
fn sites_are_listed_by_id_and_only_those_of_the_caller() {
    let ward = hospital(0);
    let pages = |sites: Sites| {
        let (mut told, mut behind) = (Vec::new(), None);
        loop {
            let question = RegistryQuestion::Sites(SitesQuestion { behind, limit: 2 });
            let Found::Sites(page) = ask(&ward, sites.clone(), question).expect("a page") else {
                panic!("sites")
            };
            told.extend(page.rows.into_iter().map(|row| row.id.to_string()));
            behind = page.next_behind;
            if behind.is_none() {
                return told;
            }
        }
    };
    assert_eq!(pages(Sites::All), SITES);
    assert_eq!(pages(only(&["west", "north", "nowhere", "west"])), ["north", "west"]);
    assert_eq!(pages(only(&[])), [""; 0]);
}

#[test]
fn patients_are_listed_by_id_wherever_the_caller_may_look() {
    let ward = hospital(12);
    let told = |sites: &Sites, question| every_patient(&ward, sites, &question).join(" ");
    assert_eq!(
        told(&only(&["south", "west"]), all_patients()),
        "patient-1@south patient-10@south patient-11@west patient-2@west patient-4@south \
         patient-5@west patient-7@south patient-8@west"
    );
    assert_eq!(
        told(&Sites::All, PatientsQuestion { site: Some(id("south")), ..all_patients() }),
        "patient-1@south patient-10@south patient-4@south patient-7@south"
    );
    let begins = |prefix: &str| PatientsQuestion { id_prefix: prefix.into(), ..all_patients() };
    assert_eq!(
        told(&Sites::All, begins("patient-1")),
        "patient-1@south patient-10@south patient-11@west"
    );
    assert_eq!(told(&Sites::All, begins("z")), "");
    assert_eq!(told(&only(&[]), all_patients()), "");
}

#[test]
fn a_list_of_a_site_that_is_not_the_callers_is_refused_like_one_that_is_not_there() {
    let ward = hospital(3);
    for (site, sites) in [("west", only(&["north"])), ("nowhere", Sites::All)] {
        let question = PatientsQuestion { site: Some(id(site)), ..all_patients() };
        let told = ask(&ward, sites.clone(), RegistryQuestion::Patients(question));
        let refusal = Refusal::NotFound { kind: "site", id: site.to_owned() };
        assert_eq!(told, Err(refusal.clone()));
        let question = DevicesQuestion { site: Some(id(site)), ..all_devices() };
        assert_eq!(ask(&ward, sites, RegistryQuestion::Devices(question)), Err(refusal));
    }
    let worn = Some(WornBy::Patient(patient(1)));
    let question = DevicesQuestion { worn, ..all_devices() };
    let told = ask(&ward, only(&["north"]), RegistryQuestion::Devices(question));
    assert_eq!(told, Err(Refusal::NotFound { kind: "patient", id: "patient-1".to_owned() }));
}

#[test]
fn devices_are_listed_by_who_wears_them() {
    let mut ward = hospital(9);
    for number in [3, 0, 6] {
        bind(&mut ward, device(number), patient(3));
    }
    let told = |worn, site: Option<&str>| {
        let question = DevicesQuestion { worn, site: site.map(id), ..all_devices() };
        every_device(&ward, &Sites::All, &question).join(" ")
    };
    let worn_by = |number| Some(WornBy::Patient(patient(number)));
    assert_eq!(told(worn_by(3), None), "device-0@north device-3@north device-6@north");
    assert_eq!(told(worn_by(3), Some("north")), "device-0@north device-3@north device-6@north");
    assert_eq!(told(worn_by(3), Some("west")), "");
    assert_eq!(told(worn_by(1), None), "");
    let nobodys = "device-1@south device-2@west device-4@south device-5@west device-7@south \
                   device-8@west";
    assert_eq!(told(Some(WornBy::Nobody), None), nobodys);
    assert_eq!(told(Some(WornBy::Nobody), Some("north")), "");
}

/// Ten thousand devices that are all worn but for the last.
#[test]
fn a_page_is_short_rather_than_long_under_way() {
    let mut ward = Ward::new();
    ward.done(Action::CreatePatient { patient: patient(1), site: id(SITE) });
    for number in 10_000..20_000 {
        ward.done(Action::CreateDevice { device: device(number), site: id(SITE) });
        if number < 19_999 {
            bind(&mut ward, device(number), patient(1));
        }
    }
    let mut question = DevicesQuestion { worn: Some(WornBy::Nobody), ..all_devices() };
    let mut told = Vec::new();
    for pages in 1.. {
        let found = ask(&ward, Sites::All, RegistryQuestion::Devices(question.clone()));
        let Found::Devices(page) = found.expect("a page") else { panic!("devices") };
        told.extend(page.rows.into_iter().map(|(row, _)| row.id));
        question.behind = page.next_behind;
        if question.behind.is_none() {
            assert_eq!((told, pages), (vec![device(19_999)], 2));
            return;
        }
    }
}

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Step {
    Add(u32, usize),
    Erase(u32),
    Move(u32, usize),
    Unbind(u32),
    Bind(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_u32..40;
    prop_oneof![
        (number.clone(), 0_usize..3).prop_map(|(number, site)| Step::Add(number, site)),
        number.clone().prop_map(Step::Erase),
        (number.clone(), 0_usize..3).prop_map(|(number, site)| Step::Move(number, site)),
        number.clone().prop_map(Step::Unbind),
        (number.clone(), number).prop_map(|(one, other)| Step::Bind(one, other)),
    ]
}

/// Does what can be done of it.
fn take(ward: &mut Ward, step: &Step) {
    let action = match *step {
        Step::Add(number, site) => {
            let (device, site) = (device(number), id(SITES[site]));
            drop(ward.command(Action::CreateDevice { device, site: site.clone() }));
            Action::CreatePatient { patient: patient(number), site }
        }
        Step::Erase(number) => {
            Action::ErasePatient { patient: patient(number), added_before: None }
        }
        Step::Move(number, site) => {
            Action::TransferPatient { patient: patient(number), site: id(SITES[site]) }
        }
        Step::Unbind(number) => Action::UnbindDevice { device: device(number), at: None },
        Step::Bind(one, other) => Action::BindDevice(NewBinding {
            device: device(one),
            patient: patient(other),
            from: None,
            schedule: Schedule::default(),
        }),
    };
    ward.now += 1;
    drop(ward.command(action));
}

/// Who is where the caller may look, by the rows themselves.
fn standing(ward: &Ward, sites: &Sites) -> BTreeSet<PatientId> {
    let row = |change: MonitoringChange| sites.include(&change.site).then_some(change.patient);
    ward.state.monitoring().filter_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn who_stands_all_the_time_is_told_once_whoever_comes_goes_or_moves(
        begun in proptest::collection::vec(step(), 0..120),
        between in proptest::collection::vec(proptest::collection::vec(step(), 0..6), 1..40),
        is_everywhere in any::<bool>(),
        limit in 1_u32..6,
    ) {
        let mut ward = hospital(20);
        begun.iter().for_each(|step| take(&mut ward, step));
        let sites = if is_everywhere { Sites::All } else { only(&["north", "west"]) };
        let question = PatientsQuestion { limit, ..all_patients() };
        let mut always = standing(&ward, &sites);
        let (mut told, mut behind) = (BTreeMap::<PatientId, u32>::new(), None);
        for page in 0.. {
            let (rows, next) =
                patients(&ward, &sites, PatientsQuestion { behind, ..question.clone() });
            let there = standing(&ward, &sites);
            for row in rows {
                let id: PatientId = row.split('@').next().unwrap().parse().unwrap();
                prop_assert!(there.contains(&id), "{id} is not there");
                *told.entry(id).or_default() += 1;
            }
            behind = next;
            if behind.is_none() { break; }
            for step in between.get(page).into_iter().flatten() {
                take(&mut ward, step);
                always = &always & &standing(&ward, &sites);
            }
        }
        prop_assert!(told.values().all(|times| *times == 1), "{told:?}");
        prop_assert!(always.iter().all(|id| told.contains_key(id)), "{always:?} {told:?}");
    }

    #[test]
    fn a_state_that_was_put_back_lists_the_same(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut ward = hospital(20);
        steps.iter().for_each(|step| take(&mut ward, step));
        let mut blobs = vec![ward.state.begin_snapshot().encode()];
        loop {
            let rows = ward.state.capture(100);
            if rows.is_empty() { break; }
            blobs.extend(rows.iter().map(crate::engine::snapshot::Captured::encode));
        }
        blobs.sort();
        let mut restoration = Restoration::default();
        blobs.iter().for_each(|(key, bytes)| restoration.add(*key, bytes).unwrap());
        let again = Ward { state: restoration.finish(), ..Ward::default() };
        for sites in [Sites::All, only(&["south"])] {
            let told = |ward: &Ward| (
                every_patient(ward, &sites, &all_patients()),
                every_device(ward, &sites, &all_devices()),
            );
            prop_assert_eq!(told(&again), told(&ward));
        }
        for number in 0..40 {
            let worn = |ward: &Ward| {
                let key = ward.state.patient_key(patient(number).as_str())?;
                Some(ward.state.bindings_of_patient(key, None).cloned().collect::<Vec<_>>())
            };
            let expected = |ward: &Ward| {
                let key = ward.state.patient_key(patient(number).as_str())?;
                let of_all = ward.state.devices.iter().flat_map(|device| &device.bindings);
                let mut theirs: Vec<_> = of_all.filter(|it| it.patient == key).cloned().collect();
                theirs.sort_by_key(|it| std::cmp::Reverse((it.from, it.device)));
                Some(theirs)
            };
            prop_assert_eq!(worn(&ward), expected(&ward));
            prop_assert_eq!(worn(&again), expected(&ward));
        }
    }
}
