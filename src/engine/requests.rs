//! Requests that were carried out, by the id that the caller gave them: repeating one is harmless.
//!
//! Promises: a request that comes again from the same caller, under the same id and with the same
//! content, gets the first answer and changes nothing; with other content it is refused
//! ([`Refusal::RequestReused`]). What is remembered is journaled, checkpointed and replayed like all
//! state, in the commit of the command itself, so that no crash stands between a change and the
//! memory of it.
//!
//! Remembered is only what was carried out. What was refused has changed nothing: when it comes
//! again it is judged again, by then perhaps otherwise.
//!
//! **How long.** For [`KEPT_FOR`], by the time of the inputs. Memory is bounded: beyond
//! 4,096 requests (or their answers' bytes) a caller's own oldest is forgotten,
//! beyond 65,536 the oldest of all. A state that is rebuilt from the store has forgotten all.
//!
//! **Who gets an answer again.** Only who may still ask for it: the role is checked again, and so
//! are the sites of everybody whom it is about, as they are now. A request that names an erased
//! patient's is answered that they were erased, and holds nothing of them: the answer and the digest
//! of what was asked are gone. The erasure itself can be repeated; its answer is made of what is
//! kept of it anyway.
//!
//! A call that becomes several commands ([`Repeatable::call`]) is remembered command by command; what
//! of it was not carried out goes through when the call is repeated.

pub(super) mod answer;
pub(super) mod kept;

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use self::answer::Answer;
use self::kept::{Carried, Content, Kept, Key};
use super::input::{Action, Command, Principal, Repeatable, Sites};
use super::output::{Done, Erased, Refusal, Reply};
use super::registry;
use super::state::State;
use crate::clock::Timestamp;
use crate::position::MessageId;
use crate::vitals::{PatientId, PatientKey, SiteKey};

pub(super) use self::kept::Requests;

/// For so long a request is remembered.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A request that was carried out before.
pub(super) struct Recalled {
    /// What it is answered.
    pub(super) reply: Reply,
    /// Whom it was about.
    pub(super) patients: Vec<PatientId>,
    /// Whether one of them was erased since, so that nothing of what it says is to be told.
    pub(super) is_erased: bool,
}

impl Recalled {
    fn refused(refusal: Refusal) -> Self {
        Self { reply: Err(refusal), patients: Vec::new(), is_erased: false }
    }
}

/// Whom and where a request that was carried out was about, as it was told on record.
pub(super) struct Concerned {
    /// The patients.
    pub(super) patients: Vec<PatientId>,
    /// The site, if it was one.
    pub(super) site: Option<SiteKey>,
}

/// What tells a command again.
struct Asked {
    caller: Key,
    /// Of the request.
    key: Key,
    /// Of the command, where the request became several.
    part: Option<Key>,
    content: Content,
}

impl Asked {
    fn of(command: &Command) -> Option<Self> {
        let request = command.request.as_ref()?;
        let part = match &command.action {
            Action::Redrive(redrive) if request.call.is_some() => Some(redrive.message),
            _ => None,
        };
        let content = || content_of(&command.action);
        Some(Self::part_of(&command.principal, request, part, content))
    }

    fn part_of(
        principal: &Principal,
        request: &Repeatable,
        part: Option<MessageId>,
        content: impl FnOnce() -> Content,
    ) -> Self {
        let (subject, id) = (principal.subject.as_bytes(), request.id.as_str().as_bytes());
        Self {
            caller: key_of(b"caller", &[subject]),
            key: key_of(b"request", &[subject, id]),
            part: part.map(|it| key_of(b"part", &[subject, id, it.to_string().as_bytes()])),
            content: request.call.map_or_else(content, |call| content_of(&call)),
        }
    }
}

/// What was carried out under a request's id, if anything was: what a repeat of it is answered.
pub(super) fn recall(state: &State, command: &Command, now: Timestamp) -> Option<Recalled> {
    let asked = Asked::of(command)?;
    let of_all = state.requests.find(&asked.key, now)?;
    if let Err(refusal) = registry::permit(&command.principal, &command.action) {
        return Some(Recalled::refused(refusal));
    }
    recall_asked(state, &command.principal, command, &asked, of_all, now)
}

fn recall_asked(
    state: &State,
    caller: &Principal,
    command: &Command,
    asked: &Asked,
    of_all: &Kept,
    now: Timestamp,
) -> Option<Recalled> {
    let id = &command.request.as_ref()?.id;
    let kept = match of_all.carried() {
        Some(carried) if carried.content != asked.content => {
            return Some(Recalled::refused(Refusal::RequestReused { id: id.to_string() }));
        }
        _ => match &asked.part {
            Some(part) => state.requests.find(part, now)?,
            None => of_all,
        },
    };
    let Some(carried) = kept.carried() else { return Some(erased()) };
    if !is_visible(state, caller, carried) {
        let (kind, id) = ("request", id.to_string());
        return Some(Recalled::refused(Refusal::NotFound { kind, id }));
    }
    let ids = carried.patients.iter().map(|key| state.patient(*key).row.id.clone());
    let done = answered(state, carried, &command.action);
    let is_erased = matches!(done, Done::Erased(_));
    Some(Recalled { reply: Ok(done), patients: ids.collect(), is_erased })
}

fn erased() -> Recalled {
    let description = "the request was carried out before, and a patient whom it was about was \
                       erased since: it is not carried out again";
    let (reason, description) = ("PATIENT_ERASED", description.to_owned());
    let reply = Err(Refusal::FailedPrecondition { reason, description });
    Recalled { reply, patients: Vec::new(), is_erased: true }
}

/// What one message's part in a call was answered before, for who is about to send it through.
///
/// # Errors
/// If the id was given to another call, or the caller may no longer be told.
pub(super) fn recall_part(
    state: &State,
    caller: &Principal,
    request: &Repeatable,
    part: MessageId,
) -> Result<Option<Done>, Refusal> {
    let now = state.now().unwrap_or(Timestamp::MIN);
    let asked = Asked::part_of(caller, request, Some(part), Content::default);
    let Some(of_all) = state.requests.find(&asked.key, now) else { return Ok(None) };
    if of_all.carried().is_none_or(|carried| carried.content != asked.content) {
        return Err(Refusal::RequestReused { id: request.id.to_string() });
    }
    let kept = asked.part.as_ref().and_then(|part| state.requests.find(part, now));
    let Some(kept) = kept else { return Ok(None) };
    match kept.carried() {
        None => erased().reply.map(Some),
        Some(carried) if !is_visible(state, caller, carried) => {
            Err(Refusal::NotFound { kind: "request", id: request.id.to_string() })
        }
        Some(carried) => Ok(carried.answer().and_then(Answer::done)),
    }
}

/// Whether all whom it was about, and the site where it was, are within the caller's sites still.
fn is_visible(state: &State, caller: &Principal, carried: &Carried) -> bool {
    let sites = carried.patients.iter().map(|key| state.patient(*key).row.site);
    let mut sites = sites.chain(carried.site).peekable();
    if sites.peek().is_none() {
        return caller.sites == Sites::All;
    }
    sites.all(|site| caller.sites.include(&state.site(site).row.id))
}

fn answered(state: &State, carried: &Carried, action: &Action) -> Done {
    let answer = carried.answer().expect("only the first of several commands has none");
    match (answer, action) {
        (Answer::Erased(key), Action::ErasePatient { patient, .. }) => {
            let erased = state.patient(key).erased.as_deref();
            let erased = erased.expect("what was erased stays so").clone();
            Done::Erased(Box::new(Erased { patient: Some(patient.clone()), ..erased }))
        }
        (answer, _) => answer.done().expect("an erasure answers an erasure alone"),
    }
}

/// Takes note of a command that was carried out.
pub(super) fn remember(
    state: &mut State,
    command: &Command,
    done: &Done,
    concerned: Concerned,
    now: Timestamp,
) {
    let Some(asked) = Asked::of(command) else { return };
    let Some(answer) = Answer::of(done) else { return };
    let Asked { caller, key, part, content } = asked;
    let mut patients: Vec<PatientKey> =
        concerned.patients.iter().filter_map(|id| state.patient_key(id.as_str())).collect();
    patients.extend(answer.erased());
    patients.extend(done_about(done).and_then(|id| state.patient_key(id.as_str())));
    patients.sort_unstable();
    patients.dedup();
    let carried = Carried::new(content, patients, concerned.site, &answer);
    let count = &mut state.general.requests;
    match part {
        None => state.requests.insert(count, Kept::new(now, caller, key, carried)),
        Some(part) => {
            if state.requests.find(&key, now).is_none() {
                let of_all = Kept::new(now, caller, key, Carried::of_several(content));
                state.requests.insert(count, of_all);
            }
            state.requests.insert(count, Kept::new(now, caller, part, carried));
        }
    }
}

fn done_about(done: &Done) -> Option<&PatientId> {
    match done {
        Done::Registry { patient, .. } => patient.as_ref(),
        Done::Replaced { patient, .. } => Some(patient),
        Done::Alert(event) => event.alert.patient.as_ref(),
        _ => None,
    }
}

/// Half of a SHA-256 keeps apart whatever callers think of; each counts only among a caller's own.
fn key_of(what: &[u8], parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new_with_prefix(b"pulseward request 1\n");
    for part in std::iter::once(&what).chain(parts) {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    *digest.first_chunk().expect("16 of 32 bytes")
}

fn content_of(asked: &impl serde::Serialize) -> Content {
    let bytes =
        postcard::to_stdvec(asked).expect("plain values into a growing buffer have no way to fail");
    key_of(b"content", &[&bytes])
}
