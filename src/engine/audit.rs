//! Who did and read what, from where, and what came of it: events in a chain that shows any later
//! change.
//!
//! Every command is told by the entry that carries it out or refuses it, so that neither stands
//! without the other. Every other call, one that only reads or that was refused before it became a
//! command, comes as an input of its own, [`Access`], which is durable before the caller is
//! answered; a stream is two of them, its beginning and its end.
//!
//! Promises: numbers run from 1 without gaps, and each event holds the digest of the one before, so
//! that whoever knows the last digest knows the whole past ([`event`] says of what digests are
//! made). A patient's part of an event stands behind a salt and can be erased without breaking the
//! chain. Whose data an event is about, and at which site they were, is decided here, by the state
//! of that moment and whether or not the caller may see them; so that an attempt from outside is
//! told as one, though the caller is answered as if there were nothing.
//!
//! No event holds what a caller read, wrote in words, or measured. The engine draws no salt: it is
//! an input like any other.

mod about;
pub mod event;
mod method;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::event::{AuditEvent, Details, Digest, Head, Outcome, Salt, Sealed};
pub use self::method::Method;
use super::admit::Device;
use super::input::{Command, Principal, Role, Sites};
use super::output::{BindingRow, Done, Output, Refusal, Reply};
use super::requests::{Concerned, Recalled};
use super::state::State;
use crate::clock::Timestamp;
use crate::vitals::{DeviceId, PatientId, SiteId};

/// Patients that one event lists: as many as the filter of a stream may name. Beyond, they are
/// counted.
pub const PATIENTS_MAX: usize = 1000;
/// Bytes of an event's text.
pub const TEXT_BYTES_MAX: usize = 512;
/// Bytes of a subject: longer ones in tokens are cut.
const SUBJECT_BYTES_MAX: usize = 256;
/// Bytes of a peer's address, or of a reason.
const NAME_BYTES_MAX: usize = 128;

/// The reason of what was carried out before, under the same request id: it got the first answer and
/// changed nothing.
pub const REPEATED: &str = "REPEATED";

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The peer's address.
    pub peer: String,
    /// Random, for this call alone.
    pub salt: Salt,
}

/// What a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The patients that it names, or that its answer told of.
    pub patients: Vec<PatientId>,
    /// How many patients it told of, where more than are named.
    pub patient_count: u32,
    /// The device that it names: who wears it is concerned too.
    pub device: Option<DeviceId>,
    /// The site that it names.
    pub site: Option<SiteId>,
    /// What exactly, for people. Never a value, a name or a note.
    pub text: String,
}

/// A call that is no command: it read something, or was refused before it became one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Who called, if that is known.
    pub principal: Option<Principal>,
    /// Where from.
    pub origin: Origin,
    /// What was called.
    pub method: Method,
    /// What of.
    pub about: About,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for programs, such as `INVALID_FIELDS`; empty where there is nothing to say.
    pub reason: String,
}

/// What an event is made of before it is part of the chain.
struct Draft<'a> {
    principal: Option<&'a Principal>,
    origin: &'a Origin,
    method: Method,
    about: About,
    place: Place,
    outcome: Outcome,
    reason: String,
}

impl<'a> Draft<'a> {
    fn of(command: &'a Command, about: About, place: Place, ended: (Outcome, String)) -> Self {
        let (outcome, reason) = ended;
        let (principal, origin) = (Some(&command.principal), &command.origin);
        let method = Method::of(&command.action);
        Self { principal, origin, method, about, place, outcome, reason }
    }
}

/// Where those are whom a call is about.
#[derive(Default)]
struct Place {
    /// Their site, if it is one.
    site: Option<SiteId>,
    /// Whether some of them are where the caller may not look.
    is_outside: bool,
}

/// A command under way: what it is about, as the state was before it.
pub(super) struct Asked {
    about: About,
    place: Place,
    /// How many outputs there were before it.
    outputs: usize,
}

/// Looks at a command before it is carried out: it may change whose device it is about.
pub(super) fn ask(state: &State, command: &Command, now: Timestamp, outputs: &[Output]) -> Asked {
    let mut about = about::of(state, &command.action);
    let place = locate(state, &mut about, Some(&command.principal), now);
    Asked { about, place, outputs: outputs.len() }
}

/// Tells of a command that was carried out, or refused.
pub(super) fn tell(
    state: &mut State,
    command: &Command,
    asked: Asked,
    reply: &Reply,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Concerned {
    let Asked { mut about, place, outputs: begun } = asked;
    about::complete(state, &mut about, reply, &outputs[begun..]);
    let site = place.site.as_ref().and_then(|site| state.site_key(site.as_str()));
    let concerned = Concerned { patients: about.patients.clone(), site };
    seal(state, Draft::of(command, about, place, outcome_of(reply)), now, outputs);
    concerned
}

/// Tells of a command that was carried out before, and gives its answer. Of a patient who was erased
/// since nothing is told again.
pub(super) fn tell_again(
    state: &mut State,
    command: &Command,
    recalled: Recalled,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let Recalled { reply, patients, is_erased } = recalled;
    let mut about = About::default();
    if !is_erased {
        about = about::of(state, &command.action);
        about.patients.extend(patients);
    }
    let place = locate(state, &mut about, Some(&command.principal), now);
    about::complete(state, &mut about, &reply, &[]);
    let (outcome, reason) = outcome_of(&reply);
    let reason = if reply.is_ok() { REPEATED.to_owned() } else { reason };
    seal(state, Draft::of(command, about, place, (outcome, reason)), now, outputs);
    reply
}

/// Tells of a command that is refused unread: nothing of its content is looked at.
pub(super) fn tell_unread(
    state: &mut State,
    command: &Command,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) {
    let (about, place) = (About::default(), Place::default());
    let ended = outcome_of(&Err(Refusal::Poisoned));
    seal(state, Draft::of(command, about, place, ended), now, outputs);
}

/// Tells of another call; answers with the event's number.
pub(super) fn tell_access(
    state: &mut State,
    access: &Access,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let mut about = access.about.clone();
    let principal = access.principal.as_ref();
    let place = locate(state, &mut about, principal, now);
    let draft = Draft {
        principal,
        origin: &access.origin,
        method: access.method,
        about,
        place,
        outcome: access.outcome,
        reason: access.reason.clone(),
    };
    Ok(Done::Audited { number: seal(state, draft, now, outputs) })
}

fn outcome_of(reply: &Reply) -> (Outcome, String) {
    match reply {
        Ok(_) => (Outcome::Done, String::new()),
        Err(refusal @ Refusal::PermissionDenied { .. }) => (Outcome::Denied, refusal.reason()),
        Err(refusal) => (Outcome::Failed, refusal.reason()),
    }
}

/// Adds whoever wears the device, and finds where all of them are.
fn locate(
    state: &State,
    about: &mut About,
    principal: Option<&Principal>,
    now: Timestamp,
) -> Place {
    let mut sites: BTreeSet<SiteId> = about.site.iter().cloned().collect();
    let is_nowhere = about.site.is_none() && names_nobody_known(state, about);
    if let Some(key) = about.device.as_ref().and_then(|id| state.device_key(id.as_str())) {
        let device = state.device(key);
        sites.insert(state.site(device.row.site).row.id.clone());
        // One that is bound for tomorrow is already somebody's.
        if let Some(binding) = device.bound().or_else(|| worn(device, now)) {
            about.patients.push(state.patient(binding.patient).row.id.clone());
        }
    }
    let keys = about.patients.iter().filter_map(|id| state.patient_key(id.as_str()));
    sites.extend(keys.map(|key| state.site(state.patient(key).row.site).row.id.clone()));
    let is_outside =
        principal.is_some_and(|principal| sites.iter().any(|site| !principal.sites.include(site)));
    let site = match sites.len() {
        _ if is_nowhere => None,
        0 => principal.and_then(|principal| only_site(&principal.sites)).cloned(),
        1 => sites.pop_first(),
        _ => None,
    };
    Place { site, is_outside }
}

/// Whether something that is named is at no site. Such an event is for those only who see all sites,
/// like one about something at a site that the caller may not see: else the record of one site would
/// tell by what it lists whether an id is known at another.
fn names_nobody_known(state: &State, about: &About) -> bool {
    let is_known = |id: &PatientId| state.patient_key(id.as_str()).is_some();
    about.device.as_ref().is_some_and(|id| state.device_key(id.as_str()).is_none())
        || !about.patients.iter().all(is_known)
}

/// The binding that ends later, where its end was already said.
fn worn(device: &Device, now: Timestamp) -> Option<&BindingRow> {
    device.binding_at(now).map(|place| &device.bindings[place])
}

/// What names nobody is about all whom the caller may see.
fn only_site(sites: &Sites) -> Option<&SiteId> {
    match sites {
        Sites::Only(sites) => match sites.as_slice() {
            [site] => Some(site),
            _ => None,
        },
        Sites::All => None,
    }
}

/// Makes the event the next of the chain; gives its number.
fn seal(state: &mut State, draft: Draft<'_>, now: Timestamp, outputs: &mut Vec<Output>) -> u64 {
    let Draft { principal, origin, method, about, place, outcome, reason } = draft;
    let is_hidden = outcome == Outcome::Failed && reason.ends_with("_NOT_FOUND");
    let outcome = if is_hidden && place.is_outside { Outcome::Denied } else { outcome };
    let head = state.general.audit;
    let details = details(origin.salt, about);
    let mut event = AuditEvent {
        number: head.number + 1,
        at: now,
        subject: principal.map_or_else(String::new, |it| fit(&it.subject, SUBJECT_BYTES_MAX)),
        role: principal.map(|it| it.role),
        peer: fit(&origin.peer, NAME_BYTES_MAX),
        method,
        outcome,
        reason: fit(&reason, NAME_BYTES_MAX),
        site: place.site,
        commitment: details.commitment(),
        details,
        digest: Digest::default(),
    };
    event.digest = event.sealed().digest(head.digest);
    let number = event.number;
    state.general.audit = Head { number, digest: event.digest };
    outputs.push(Output::Audit(Box::new(event)));
    number
}

fn details(salt: Salt, about: About) -> Details {
    let mut seen = BTreeSet::new();
    let mut patients = about.patients;
    patients.retain(|patient| seen.insert(patient.clone()));
    let named = u32::try_from(patients.len()).unwrap_or(u32::MAX);
    patients.truncate(PATIENTS_MAX);
    let text = fit(&about.text, TEXT_BYTES_MAX);
    Details { salt, patients, patient_count: about.patient_count.max(named), text }
}

/// As the store can keep it: what a digest is of must come back from there byte for byte.
fn fit(text: &str, bytes_max: usize) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Clinician, Self::DeviceAdmin, Self::Admin, Self::Auditor];

    /// Its name in the store and in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Clinician => "clinician",
            Self::DeviceAdmin => "device_admin",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}
