//! Profiles: the wire's rules to the engine's, and back.
//!
//! Form is checked here, meaning by [`Profile::validate`], whose paths name a rule by its id
//! (`rules[hr-high].levels[1].limit`); callers get the path of the field in their own request
//! (`profile.rules[2].limit.levels[1].limit`).

mod at;
mod read;
mod write;

use self::at::At;
use super::{Violations, wire_timestamp};
use crate::engine::input::{Action, ProfileOwner};
use crate::engine::output::{ProfileRow, Refusal};
use crate::engine::profile::{OwnerKind, Profile, RULES_MAX, Rule, Violation};
use crate::engine::query::{Effective, ProfileQuestion, RuleInForce};
use crate::proto::v1;
use crate::proto::v1::profile_owner::Owner;
use crate::proto::v1::rule::Kind;

pub(in crate::grpc) fn put_profile(
    request: &v1::PutProfileRequest,
) -> Result<Action, Vec<Violation>> {
    let mut wrong = Violations::default();
    let owner = owner(&mut wrong, request.owner.as_ref());
    let expected_version = expected_version(&mut wrong, &request.etag);
    let profile = match &request.profile {
        Some(profile) => rules(&mut wrong, &profile.rules).map(|rules| Profile { rules }),
        None => wrong.refuse("profile", "required"),
    };
    if let (Some(owner), Some(profile)) = (&owner, &profile)
        && let Err(violations) = profile.validate(kind_of(owner))
    {
        wrong.0.extend(violations.into_iter().map(|it| in_path_of(it, request)));
    }
    wrong.finish(|| {
        let expected_version = expected_version?;
        Some(Action::PutProfile { owner: owner?, profile: profile?, expected_version })
    })
}

/// The owner, and which version is asked for.
pub(in crate::grpc) fn get_profile(
    request: &v1::GetProfileRequest,
) -> Result<(ProfileOwner, Option<u32>), Vec<Violation>> {
    let mut wrong = Violations::default();
    let owner = owner(&mut wrong, request.owner.as_ref());
    let version = Some(request.version).filter(|version| *version != 0);
    wrong.finish(|| Some((owner?, version)))
}

pub(in crate::grpc) fn get_effective_profile(
    request: &v1::GetEffectiveProfileRequest,
) -> Result<ProfileQuestion, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    wrong.finish(|| Some(ProfileQuestion::Effective(patient?)))
}

fn owner(wrong: &mut Violations, owner: Option<&v1::ProfileOwner>) -> Option<ProfileOwner> {
    match owner.and_then(|owner| owner.owner.as_ref()) {
        Some(Owner::Everyone(_)) => Some(ProfileOwner::Default),
        Some(Owner::SiteId(id)) => wrong.id("owner.site_id", id).map(ProfileOwner::Site),
        Some(Owner::PatientId(id)) => wrong.id("owner.patient_id", id).map(ProfileOwner::Patient),
        None => wrong.refuse("owner", "required"),
    }
}

const fn kind_of(owner: &ProfileOwner) -> OwnerKind {
    match owner {
        ProfileOwner::Default => OwnerKind::Everyone,
        ProfileOwner::Site(_) => OwnerKind::Site,
        ProfileOwner::Patient(_) => OwnerKind::Patient,
    }
}

/// The outer `None`: wrong; the inner one: whatever version is there.
fn expected_version(wrong: &mut Violations, etag: &str) -> Option<Option<u32>> {
    match etag {
        "" => Some(None),
        _ => match etag.parse() {
            Ok(version) => Some(Some(version)),
            Err(_) => wrong.refuse("etag", "not one that this service gave out"),
        },
    }
}

/// The rules, or `None` if one of them is not well formed.
fn rules(wrong: &mut Violations, wire: &[v1::Rule]) -> Option<Vec<Rule>> {
    if wire.len() > RULES_MAX {
        let description = format!("{} rules; at most {RULES_MAX}", wire.len());
        return wrong.refuse("profile.rules", description);
    }
    let mut rules = Vec::with_capacity(wire.len());
    for (index, rule) in wire.iter().enumerate() {
        let path = format!("profile.rules[{index}]");
        if wire[..index].iter().any(|earlier| earlier.rule_id == rule.rule_id) {
            wrong.add(&format!("{path}.rule_id"), "a second rule with this id");
        }
        rules.push(read::rule(&mut At::new(path, wrong), rule));
    }
    if wrong.0.is_empty() { rules.into_iter().collect() } else { None }
}

/// A rule in the wire's words.
pub(super) fn wire_rule(rule: &Rule) -> v1::Rule {
    write::rule(rule)
}

/// A refusal by the engine, with the paths of the request that led to it.
pub(in crate::grpc) fn in_paths_of_the_request(
    refusal: Refusal,
    request: &v1::PutProfileRequest,
) -> Refusal {
    match refusal {
        Refusal::InvalidArgument(violations) => Refusal::InvalidArgument(
            violations.into_iter().map(|violation| in_path_of(violation, request)).collect(),
        ),
        other => other,
    }
}

fn in_path_of(violation: Violation, request: &v1::PutProfileRequest) -> Violation {
    let rules = request.profile.as_ref().map_or(&[][..], |profile| &profile.rules);
    let field = wire_path(&violation.field, rules)
        .unwrap_or_else(|| format!("profile.{}", violation.field));
    Violation { field, ..violation }
}

/// Fields that the wire has beside a rule's kind and not in it.
const BESIDE_THE_KIND: [&str; 3] = [".actionable_for", ".latching_from", ".escalations"];

/// `rules[hr-high].levels[1].limit` → `profile.rules[2].limit.levels[1].limit`.
fn wire_path(field: &str, rules: &[v1::Rule]) -> Option<String> {
    let (id, rest) = field.strip_prefix("rules[")?.split_once(']')?;
    let index = rules.iter().position(|rule| rule.rule_id == id)?;
    let rule = format!("profile.rules[{index}]");
    Some(match rest {
        "" => rule,
        ".id" => format!("{rule}.rule_id"),
        _ if BESIDE_THE_KIND.iter().any(|it| rest.starts_with(it)) => format!("{rule}{rest}"),
        _ => format!("{rule}.{}{rest}", kind_name(rules[index].kind.as_ref()?)),
    })
}

/// The kind's field in the message of a rule.
const fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Off(_) => "off",
        Kind::Limit(_) => "limit",
        Kind::Trend(_) => "trend",
        Kind::Baseline(_) => "baseline",
        Kind::Score(_) => "score",
        Kind::Silence(_) => "silence",
        Kind::Technical(_) => "technical",
        Kind::Asserted(_) => "asserted",
    }
}

/// The profile of `row`, whose owner goes by the ids of `owner`.
pub(in crate::grpc) fn profile_version(
    row: &ProfileRow,
    owner: Option<v1::ProfileOwner>,
) -> v1::ProfileVersion {
    v1::ProfileVersion {
        owner,
        version: row.version,
        profile: Some(wire_profile(&row.profile)),
        put_at: Some(wire_timestamp(row.put_at)),
        put_by: row.put_by.clone(),
        etag: etag(row.version),
    }
}

/// The rules in force for the patient of this id.
pub(in crate::grpc) fn effective_profile(
    effective: Effective,
    patient_id: String,
) -> v1::EffectiveProfile {
    let Effective { rules, layers } = effective;
    let layer = |(owner, version): (ProfileOwner, u32)| v1::effective_profile::Layer {
        owner: Some(wire_owner(owner)),
        version,
        etag: etag(version),
    };
    v1::EffectiveProfile {
        patient_id,
        rules: rules.into_iter().map(rule_in_force).collect(),
        layers: layers.into_iter().map(layer).collect(),
    }
}

fn rule_in_force(in_force: RuleInForce) -> v1::EffectiveRule {
    v1::EffectiveRule {
        rule: Some(write::rule(&in_force.rule)),
        owner: Some(wire_owner(in_force.owner)),
        version: in_force.version,
        not_monitored_because: in_force.not_monitored.unwrap_or_default(),
    }
}

fn wire_owner(owner: ProfileOwner) -> v1::ProfileOwner {
    let owner = match owner {
        ProfileOwner::Default => Owner::Everyone(v1::profile_owner::Everyone {}),
        ProfileOwner::Site(site) => Owner::SiteId(site.to_string()),
        ProfileOwner::Patient(patient) => Owner::PatientId(patient.to_string()),
    };
    v1::ProfileOwner { owner: Some(owner) }
}

/// What [`expected_version`] reads; of an owner without a profile that of version 0.
fn etag(version: u32) -> String {
    version.to_string()
}

/// The profile that a message says, which is yet to be validated.
///
/// # Errors
/// Everything that is not well formed.
pub(crate) fn profile(wire: &v1::Profile) -> Result<Profile, Vec<Violation>> {
    let mut wrong = Violations::default();
    let rules = rules(&mut wrong, &wire.rules);
    wrong.finish(|| Some(Profile { rules: rules? }))
}

/// A profile in the wire's words.
pub(crate) fn wire_profile(profile: &Profile) -> v1::Profile {
    v1::Profile { rules: profile.rules.iter().map(write::rule).collect() }
}

#[cfg(test)]
mod tests;
