//! What a command is about, in the words of an audit event.
//!
//! Ids, times and counts, and nothing of what people wrote or measured: a note, a reason, an
//! eligibility and a reading stand where they belong.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::About;
use crate::clock::Timestamp;
use crate::engine::alerts::AlertId;
use crate::engine::input::{Action, AlertAction, NewBinding, ProfileOwner, Redrive, Replacement};
use crate::engine::output::{Done, Output, Reply};
use crate::engine::state::State;
use crate::mqtt::topic::Topic;
use crate::vitals::{DeviceId, PatientId};

/// What an action is about, before it is carried out.
pub(super) fn of(state: &State, action: &Action) -> About {
    match action {
        Action::CreateSite { site, .. } => About { site: Some(site.clone()), ..About::default() },
        Action::CreatePatient { patient, site } => {
            About { site: Some(site.clone()), ..of_patient(patient, String::new()) }
        }
        Action::CreateDevice { device, site } => {
            About { site: Some(site.clone()), ..of_device(device, String::new()) }
        }
        Action::BindDevice(binding) => of_binding(binding),
        Action::UnbindDevice { device, at } => of_device(device, since("at", *at)),
        Action::UpdatePatient { patient, .. } => of_patient(patient, "eligibility".to_owned()),
        Action::ReplaceDevice(replacement) => of_replacement(replacement),
        Action::TransferPatient { patient, site } => of_patient(patient, format!("to site {site}")),
        Action::PausePatient { patient, until, .. } => {
            let text = until.map_or("the pause ends".to_owned(), |until| format!("until {until}"));
            of_patient(patient, text)
        }
        Action::WorkOnAlert { alert, action } => of_alert(state, *alert, action),
        Action::PutProfile { owner, profile, .. } => {
            of_owner(owner, format!("{} rules", profile.rules.len()))
        }
        Action::Redrive(redrive) => of_redrive(state, redrive),
        Action::RecordReadings { patient, .. } | Action::ErasePatient { patient, .. } => {
            of_patient(patient, String::new())
        }
    }
}

/// Adds what is known once it was carried out.
pub(super) fn complete(state: &State, about: &mut About, reply: &Reply, outputs: &[Output]) {
    match reply {
        Ok(Done::Redriven { told, .. }) => {
            about.patients.extend(measured(state, outputs));
            let (accepted, duplicate, refused) = (told.accepted, told.duplicate, told.refused);
            add_counts(&mut about.text, accepted, duplicate, refused as usize);
        }
        Ok(Done::Recorded { accepted, duplicate, rejected }) => {
            add_counts(&mut about.text, *accepted, *duplicate, rejected.len());
        }
        _ => {}
    }
}

/// Whose readings were admitted.
fn measured(state: &State, outputs: &[Output]) -> Vec<PatientId> {
    let patient = |output: &Output| match output {
        Output::Reading(reading) => Some(reading.patient),
        _ => None,
    };
    let keys: BTreeSet<_> = outputs.iter().filter_map(patient).collect();
    keys.into_iter().map(|key| state.patient(key).row.id.clone()).collect()
}

fn add_counts(text: &mut String, accepted: u32, duplicate: u32, refused: usize) {
    let separator = if text.is_empty() { "" } else { ": " };
    let counts = format_args!("{accepted} readings taken, {duplicate} known, {refused} refused");
    write!(text, "{separator}{counts}").expect("a text takes what is written to it");
}

fn of_patient(patient: &PatientId, text: String) -> About {
    About { patients: vec![patient.clone()], text, ..About::default() }
}

fn of_device(device: &DeviceId, more: String) -> About {
    let text = format!("device {device}{more}");
    About { device: Some(device.clone()), text, ..About::default() }
}

fn since(word: &str, at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!(" {word} {at}"))
}

fn of_binding(binding: &NewBinding) -> About {
    let NewBinding { device, patient, from, .. } = binding;
    About { patients: vec![patient.clone()], ..of_device(device, since("from", *from)) }
}

fn of_replacement(replacement: &Replacement) -> About {
    let Replacement { device, new_device, at, .. } = replacement;
    of_device(device, format!(" by device {new_device}{}", since("from", *at)))
}

fn of_owner(owner: &ProfileOwner, text: String) -> About {
    match owner {
        ProfileOwner::Default => About { text: format!("everyone's: {text}"), ..About::default() },
        ProfileOwner::Site(site) => About { site: Some(site.clone()), text, ..About::default() },
        ProfileOwner::Patient(patient) => of_patient(patient, text),
    }
}

fn of_redrive(state: &State, redrive: &Redrive) -> About {
    let text = format!("message {}", redrive.message);
    let topic = Topic::parse(&redrive.publish.topic).ok();
    let device = topic.and_then(|topic| DeviceId::new(topic.device).ok());
    // A device that is not known yet was at the site that it named.
    let named = topic.filter(|topic| state.device_key(topic.device).is_none());
    let site = named.and_then(|topic| state.site_key(topic.site));
    let site = site.map(|key| state.site(key).row.id.clone());
    About { device, site, text, ..About::default() }
}

/// The alert is looked for wherever it is: an attempt from outside concerns its patient too.
fn of_alert(state: &State, id: AlertId, action: &AlertAction) -> About {
    let alert = state.open_alerts().find(|alert| alert.id == id);
    About {
        patients: alert.and_then(|alert| alert.patient.clone()).into_iter().collect(),
        site: alert.and_then(|alert| alert.site.clone()),
        text: format!("alert {id}{}", work(action)),
        ..About::default()
    }
}

fn work(action: &AlertAction) -> String {
    match action {
        AlertAction::Acknowledge { revision, .. } | AlertAction::Reset { revision } => {
            format!(" as of revision {revision}")
        }
        AlertAction::Pause { revision, duration, .. } => {
            format!(" as of revision {revision}, for {} s", duration.as_secs())
        }
        AlertAction::Assign { assignee: Some(assignee), .. } => format!(" to {assignee}"),
        AlertAction::Assign { assignee: None, .. } => " to nobody".to_owned(),
        AlertAction::AddNote { .. } => String::new(),
    }
}
