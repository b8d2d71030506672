//! Who did and read what: what is told, of whom, and how it is chained.

use sha2::{Digest as _, Sha256};

use super::*;
use crate::engine::audit::{About, Access, Details, Digest, Head, Method, Outcome, PATIENTS_MAX};

fn principal(role: Role, sites: Sites) -> Principal {
    Principal { subject: "anna".to_owned(), role, sites }
}

fn only(site: &str) -> Sites {
    Sites::Only(vec![id(site)])
}

fn read(method: Method, about: About) -> Access {
    let principal = Some(principal(Role::Clinician, Sites::All));
    let (outcome, reason) = (Outcome::Done, String::new());
    Access { principal, origin: origin(), method, about, outcome, reason }
}

fn of_patient(number: u32) -> About {
    About { patients: vec![patient(number)], ..About::default() }
}

impl Ward {
    /// What is told of a call that is no command.
    fn access(&mut self, access: Access) -> AuditEvent {
        let (reply, _) = self.apply(Event::Access(Box::new(access)));
        let event = self.audited().pop().expect("told");
        assert_eq!(reply, Some(Ok(Done::Audited { number: event.number })));
        event
    }

    /// What is told of a command.
    fn told_of(&mut self, role: Role, sites: Sites, action: Action) -> AuditEvent {
        let (principal, origin) = (principal(role, sites), origin());
        self.apply(Event::Command(Box::new(Command { principal, action, origin, request: None })));
        self.audited().pop().expect("told")
    }

    fn told_of_admin(&mut self, action: Action) -> AuditEvent {
        self.told_of(Role::Admin, Sites::All, action)
    }
}

fn add_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The commitment, by what is written of it and not by the code.
fn commitment(details: &Details) -> Digest {
    let mut bytes = b"pulseward audit details 1\n".to_vec();
    bytes.extend(details.salt);
    bytes.extend(u32::try_from(details.patients.len()).expect("few").to_be_bytes());
    details.patients.iter().for_each(|patient| add_text(&mut bytes, patient.as_str()));
    bytes.extend(details.patient_count.to_be_bytes());
    add_text(&mut bytes, &details.text);
    sha256(&bytes)
}

/// The same of the digest.
fn digest(event: &AuditEvent, before: Digest) -> Digest {
    let mut bytes = b"pulseward audit event 1\n".to_vec();
    bytes.extend(before.0);
    bytes.extend(event.number.to_be_bytes());
    bytes.extend(event.at.micros().to_be_bytes());
    let role = event.role.map_or("", Role::name);
    let site = event.site.as_ref().map_or("", SiteId::as_str);
    let (method, outcome) = (event.method.name(), event.outcome.name());
    for text in [&event.subject, role, &event.peer, method, outcome, &event.reason, site] {
        add_text(&mut bytes, text);
    }
    bytes.extend(event.commitment.0);
    sha256(&bytes)
}

/// A ward in which all kinds of things happened.
fn busy() -> Ward {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    ward.beat(1, 0, 80);
    ward.access(read(Method::ListReadings, of_patient(1)));
    let again = Action::CreatePatient { patient: patient(1), site: id(SITE) };
    ward.command(again).expect_err("is there already");
    ward.now += 60;
    let stranger = Access { principal: None, ..read(Method::WatchAlerts, About::default()) };
    ward.access(Access { outcome: Outcome::Denied, reason: "NO_TOKEN".to_owned(), ..stranger });
    ward.done(Action::UnbindDevice { device: device(2), at: None });
    ward
}

#[test]
fn every_call_has_its_number_and_every_link_is_what_is_written_of_it() {
    let ward = busy();
    let events = ward.audited();
    assert_eq!(events.len(), 12, "a site, a profile, three for each patient, and four calls");
    let mut before = Digest::default();
    for (number, event) in (1..).zip(&events) {
        assert_eq!(event.number, number);
        assert_eq!(event.commitment, commitment(&event.details), "{number}");
        assert_eq!(event.digest, digest(event, before), "{number}");
        before = event.digest;
    }
    assert_eq!(ward.state.audit_head(), Head { number: 12, digest: before });
}

#[test]
fn the_same_calls_make_the_same_chain() {
    let ward = busy();
    let mut state = State::default();
    let mut outputs = Vec::new();
    for input in &ward.inputs {
        apply(&mut state, input, &mut outputs);
    }
    assert_eq!(outputs, ward.outputs);
    assert_eq!(state.audit_head(), ward.state.audit_head());
}

#[test]
fn another_salt_is_another_digest_of_the_same_details() {
    let told = |salt| {
        let origin = Origin { salt, ..origin() };
        let access = Access { origin, ..read(Method::GetPatient, of_patient(1)) };
        Ward::new().access(access).commitment
    };
    assert_ne!(told([1; 16]), told([2; 16]));
    assert_eq!(told([1; 16]), told([1; 16]));
}

#[test]
fn a_command_is_told_by_the_entry_that_carries_it_out_or_refuses_it() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let pause = |until| Action::PausePatient { patient: patient(1), until, reason: None };
    let until = Timestamp::from_seconds(ward.now + 600);
    let event = ward.told_of(Role::Clinician, only(SITE), pause(Some(until)));
    assert_eq!((event.method, event.outcome), (Method::PausePatient, Outcome::Done));
    assert_eq!((event.subject.as_str(), event.role), ("anna", Some(Role::Clinician)));
    assert_eq!((event.peer, event.at), (origin().peer, Timestamp::from_seconds(ward.now)));
    assert_eq!(event.details.patients, [patient(1)]);
    assert_eq!(event.details.text, format!("until {until}"));

    let event = ward.told_of(Role::Viewer, Sites::All, pause(None));
    assert_eq!((event.outcome, &*event.reason), (Outcome::Denied, "ROLE_NOT_ALLOWED"));
    assert_eq!(event.details.patients, [patient(1)]);
    let event = ward.told_of_admin(Action::CreateDevice { device: device(1), site: id(SITE) });
    assert_eq!((event.outcome, &*event.reason), (Outcome::Failed, "DEVICE_EXISTS"));
}

#[test]
fn an_attempt_from_outside_is_denied_and_one_at_nothing_has_failed() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let pause =
        |number| Action::PausePatient { patient: patient(number), until: None, reason: None };
    let outside = ward.told_of(Role::Clinician, only("south"), pause(1));
    assert_eq!((outside.outcome, &*outside.reason), (Outcome::Denied, "PATIENT_NOT_FOUND"));
    assert_eq!(outside.site, Some(id(SITE)), "those of the patient's site are to hear of it");
    let nobody = ward.told_of(Role::Clinician, only("south"), pause(9));
    assert_eq!((nobody.outcome, &*nobody.reason), (Outcome::Failed, "PATIENT_NOT_FOUND"));
    let told = "else what is missing in the record of a site would tell who is at another";
    assert_eq!((nobody.site, nobody.details.patients), (None, vec![patient(9)]), "{told}");

    let not_found = |sites| Access {
        principal: Some(principal(Role::Viewer, sites)),
        outcome: Outcome::Failed,
        reason: "PATIENT_NOT_FOUND".to_owned(),
        ..read(Method::ListReadings, of_patient(1))
    };
    assert_eq!(ward.access(not_found(only("south"))).outcome, Outcome::Denied);
    // The store may be behind.
    assert_eq!(ward.access(not_found(only(SITE))).outcome, Outcome::Failed);
}

#[test]
fn a_command_is_about_whom_it_concerned_when_it_came() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(Action::CreateDevice { device: device(2), site: id(SITE) });
    let replace = Action::ReplaceDevice(Replacement {
        device: device(1),
        new_device: device(2),
        at: None,
        schedule: None,
    });
    ward.now += 60;
    let event = ward.told_of_admin(replace);
    assert_eq!((event.outcome, event.details.patients), (Outcome::Done, vec![patient(1)]));
    assert_eq!(event.details.text, "device device-1 by device device-2");
    ward.now += 60;
    let event = ward.told_of_admin(Action::UnbindDevice { device: device(2), at: None });
    assert_eq!((event.outcome, event.site), (Outcome::Done, Some(id(SITE))));
    assert_eq!(event.details.patients, [patient(1)]);
    let event = ward.told_of_admin(Action::UnbindDevice { device: device(2), at: None });
    assert_eq!((event.outcome, event.details.patients), (Outcome::Failed, vec![]));
}

#[test]
fn work_on_an_alert_is_about_its_patient_and_says_nothing_of_what_was_written() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for (sequence, rate) in (0..).zip([140, 140, 140, 140]) {
        ward.beat(1, sequence, rate);
    }
    let alert = ward.open().id;
    let work = |action| Action::WorkOnAlert { alert, action };
    let note = || "mother is worried".to_owned();
    let acknowledge = AlertAction::Acknowledge { revision: 9, note: Some(note()) };
    let event = ward.told_of_admin(work(acknowledge));
    assert_eq!((event.outcome, &*event.reason), (Outcome::Failed, "ETAG_UNKNOWN"));
    assert_eq!((&event.details.patients[..], &event.site), (&[patient(1)][..], &Some(id(SITE))));
    assert_eq!(event.details.text, format!("alert {alert} as of revision 9"));
    let event = ward.told_of_admin(work(AlertAction::AddNote { note: note() }));
    assert_eq!((event.method, event.outcome), (Method::AddAlertNote, Outcome::Done));
    assert_eq!(event.details.text, format!("alert {alert}"));
    let assignee = Some("nora".to_owned());
    let event = ward.told_of_admin(work(AlertAction::Assign { assignee, revision: None }));
    assert_eq!(event.details.text, format!("alert {alert} to nora"));
    let outside =
        ward.told_of(Role::Clinician, only("south"), work(AlertAction::AddNote { note: note() }));
    assert_eq!((outside.outcome, outside.details.patients), (Outcome::Denied, vec![patient(1)]));
}

#[test]
fn readings_by_hand_are_counted_and_not_told() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let readings = vec![heart_rate(ward.now, 71), heart_rate(ward.now, 71)];
    let batch = proto::ReadingBatch { readings, ..proto::ReadingBatch::default() };
    let readings = batch.encode_to_vec().into();
    let event = ward.told_of_admin(Action::RecordReadings { patient: patient(1), readings });
    assert_eq!(event.details.text, "1 readings taken, 1 known, 0 refused");
}

#[test]
fn what_is_read_of_a_device_is_about_who_wears_it() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let about = |number| About { device: Some(device(number)), ..About::default() };
    let event = ward.access(read(Method::GetDeviceReport, about(1)));
    assert_eq!((event.details.patients, event.site), (vec![patient(1)], Some(id(SITE))));
    assert_eq!(event.details.patient_count, 1);
    let event = ward.access(read(Method::GetDeviceReport, about(9)));
    assert_eq!((event.details.patients, event.site), (vec![], None));
}

#[test]
fn what_names_nobody_is_about_the_one_site_of_the_caller_if_they_have_one() {
    let told = |sites| {
        let access = read(Method::WatchAlerts, About::default());
        let principal = Some(principal(Role::Clinician, sites));
        Ward::new().access(Access { principal, ..access }).site
    };
    assert_eq!(told(only(SITE)), Some(id(SITE)));
    assert_eq!(told(Sites::Only(vec![id(SITE), id("south")])), None);
    assert_eq!(told(Sites::All), None);
}

#[test]
fn patients_of_two_sites_are_of_none() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.done(Action::CreatePatient { patient: patient(2), site: id("south") });
    let patients = vec![patient(1), patient(2), patient(1)];
    let event = ward.access(read(Method::WatchAlerts, About { patients, ..About::default() }));
    assert_eq!((event.site, event.details.patients), (None, vec![patient(1), patient(2)]));
}

#[test]
fn what_is_too_long_is_cut_where_the_store_can_keep_it() {
    let mut ward = Ward::new();
    let patients: Vec<_> = (0..2000).map(patient).collect();
    let about = About { patients, text: "\0ö".repeat(500), ..About::default() };
    let access = read(Method::WatchAlerts, about);
    let subject = "\u{10ffff}\0".repeat(100);
    let principal = Some(Principal { subject, ..principal(Role::Viewer, Sites::All) });
    let event = ward.access(Access { principal, ..access });
    assert_eq!((event.details.patients.len(), event.details.patient_count), (PATIENTS_MAX, 2000));
    assert!((500..=512).contains(&event.details.text.len()) && !event.details.text.contains('\0'));
    assert!((250..=256).contains(&event.subject.len()) && !event.subject.contains('\0'));
    assert_eq!(event.digest, digest(&event, ward.audited()[1].digest));
}

#[test]
fn a_command_refused_unread_is_told_by_who_sent_it() {
    let mut ward = Ward::new();
    let action = Action::CreatePatient { patient: patient(1), site: id(SITE) };
    let command = Command {
        principal: principal(Role::Admin, Sites::All),
        action,
        origin: origin(),
        request: None,
    };
    ward.apply(Event::Poisoned(Poisoned::Command(Box::new(command))));
    let event = ward.audited().pop().expect("told");
    assert_eq!((event.method, event.outcome), (Method::CreatePatient, Outcome::Failed));
    assert_eq!((&*event.reason, event.details.patients), ("POISONED", vec![]));
}

#[test]
fn the_chain_goes_on_from_where_followers_know_it() {
    let mut ward = Ward::new();
    let head = Head { number: 300, digest: Digest([7; 32]) };
    ward.apply(Event::AuditHead(head));
    let event = ward.access(read(Method::GetPatient, of_patient(1)));
    assert_eq!((event.number, event.digest), (301, digest(&event, head.digest)));
}

#[test]
fn messages_are_not_on_record() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let before = ward.audited().len();
    ward.beat(1, 0, 80);
    ward.wait(3600);
    assert_eq!(ward.audited().len(), before);
}
