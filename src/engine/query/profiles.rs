//! Questions about profiles: one owner's own, and the rules in force for a patient.
//!
//! The engine holds the newest version of each profile. Of an earlier one it says whose it is, so
//! that the store can be asked for it; who may see it is decided here all the same.

use super::super::input::{Principal, ProfileOwner, Role};
use super::super::output::{ProfileRow, Refusal};
use super::super::patient::Patient;
use super::super::profile::{self, EffectiveRule, Rule, Scope};
use super::super::registry::{allow, find_patient, find_site};
use super::super::state::State;
use crate::vitals::PatientId;

/// A question about profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileQuestion {
    /// One owner's own.
    Own {
        /// Whose.
        owner: ProfileOwner,
        /// Which version; `None` for the newest.
        version: Option<u32>,
    },
    /// The rules in force for a patient.
    Effective(PatientId),
}

/// What a question about profiles found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundProfile {
    /// The newest version.
    Newest(ProfileRow),
    /// The version is an earlier one, of this scope: the store has it.
    Earlier(Scope),
    /// The rules in force.
    Effective(Effective),
}

/// The rules in force for a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// By rule id, without those that are off.
    pub rules: Vec<RuleInForce>,
    /// Whose profiles they are merged from, the widest first, each with its version; 0 if its owner
    /// has none.
    pub layers: Vec<(ProfileOwner, u32)>,
}

/// A rule in force for a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInForce {
    /// The rule.
    pub rule: Rule,
    /// Whose it is.
    pub owner: ProfileOwner,
    /// The version of that owner's profile in which it got its present form.
    pub version: u32,
    /// Why it can't fire on what the patient wears now; `None` if it can.
    pub not_monitored: Option<String>,
}

pub(super) fn answer(
    state: &State,
    caller: &Principal,
    question: &ProfileQuestion,
) -> Result<FoundProfile, Refusal> {
    let roles = [Role::Viewer, Role::Clinician, Role::DeviceAdmin, Role::Admin];
    allow(caller, "read profiles", &roles)?;
    match question {
        ProfileQuestion::Own { owner, version } => own(state, caller, owner, *version),
        ProfileQuestion::Effective(patient) => {
            let patient = state.patient(find_patient(state, caller, patient)?);
            Ok(FoundProfile::Effective(effective(state, patient)))
        }
    }
}

fn own(
    state: &State,
    caller: &Principal,
    owner: &ProfileOwner,
    version: Option<u32>,
) -> Result<FoundProfile, Refusal> {
    let scope = match owner {
        ProfileOwner::Default => Scope::Default,
        ProfileOwner::Site(site) => Scope::Site(find_site(state, caller, site)?),
        ProfileOwner::Patient(patient) => Scope::Patient(find_patient(state, caller, patient)?),
    };
    let held = state.own_profile(scope).ok_or_else(|| no_profile(owner, version))?;
    match version {
        Some(version) if version > held.version => Err(no_profile(owner, Some(version))),
        Some(version) if version < held.version => Ok(FoundProfile::Earlier(scope)),
        _ => Ok(FoundProfile::Newest(held.row(scope))),
    }
}

/// Why there is no such profile of an owner who is there.
#[must_use]
pub fn no_profile(owner: &ProfileOwner, version: Option<u32>) -> Refusal {
    let owner = match owner {
        ProfileOwner::Default => "everyone".to_owned(),
        ProfileOwner::Site(site) => format!("site {site}"),
        ProfileOwner::Patient(patient) => format!("patient {patient}"),
    };
    let version = version.map_or(String::new(), |version| format!(", version {version}"));
    Refusal::NotFound { kind: "profile", id: format!("{owner}{version}") }
}

fn effective(state: &State, patient: &Patient) -> Effective {
    let scopes = [Scope::Default, Scope::Site(patient.row.site), Scope::Patient(patient.row.key)];
    let held = scopes.map(|scope| (scope, state.own_profile(scope)));
    let layers: Vec<_> =
        held.iter().filter_map(|(scope, held)| held.map(|held| (*scope, held))).collect();
    let covered: Vec<_> =
        patient.channels.iter().map(|channel| (channel.vital, channel.interval())).collect();
    let told = |effective: &EffectiveRule| RuleInForce {
        rule: effective.rule.clone(),
        owner: owner(state, effective.scope),
        version: effective.version,
        not_monitored: profile::not_monitored(&effective.rule, &covered, patient.row.eligibility),
    };
    Effective {
        rules: profile::merge(&layers).iter().map(told).collect(),
        layers: held
            .into_iter()
            .map(|(scope, held)| (owner(state, scope), held.map_or(0, |held| held.version)))
            .collect(),
    }
}

fn owner(state: &State, scope: Scope) -> ProfileOwner {
    match scope {
        Scope::Default => ProfileOwner::Default,
        Scope::Site(key) => ProfileOwner::Site(state.site(key).row.id.clone()),
        Scope::Patient(key) => ProfileOwner::Patient(state.patient(key).row.id.clone()),
    }
}
