//! Profiles as files: TOML that says the same as `profile.proto`, for people to write and review.
//!
//! Keys are the fields of the protobuf messages, with the rule's kind in `kind`; what may be left
//! out, and what that means, is the same too. Vitals and priorities go by their names, durations
//! are written as `"15 s"`, `"2 min"` or `"24 h"`. [`parse`] gives all that is wrong at once, each
//! with its line, its rule and the nearest known key.
//!
//! The profiles that ship with the service stand in `profiles/` and are part of the binary.

mod read;
pub mod summary;
mod table;
mod write;

use self::table::{Source, Table};
use crate::config::{Violations, parse_toml};
use crate::engine::profile::{OwnerKind, Profile, RuleKind, Side, TechnicalCondition};

/// The text of the default profile for adults.
pub const ADULT: &str = include_str!("../profiles/adult.toml");
/// The text of the rules that differ for a patient with an SpO2 target of 88 to 92 %.
pub const ADULT_TARGET_88_92: &str = include_str!("../profiles/adult-target-88-92.toml");

/// The default profile for adults. It needs the sign-off of whoever answers for its use.
///
/// # Panics
/// Never: a test holds the text that ships to what this version reads.
#[must_use]
pub fn adult() -> Profile {
    parse("profiles/adult.toml", ADULT, OwnerKind::Everyone).expect("tested to be valid")
}

/// The profile of a text, valid for this owner; errors call it `file`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str, owner: OwnerKind) -> Result<Profile, Violations> {
    let table = parse_toml(file, text)?;
    let mut source = Source::new(file, text);
    let profile = Table::read(&mut source, String::new(), table, read::profile);
    if let Some(Err(violations)) = profile.as_ref().map(|profile| profile.validate(owner)) {
        for violation in violations {
            source.refuse(&violation.field, violation.description);
        }
    }
    match (profile, source.violations()) {
        (Some(profile), violations) if violations.is_empty() => Ok(profile),
        (_, violations) => Err(Violations(violations)),
    }
}

/// The text of a profile, from which [`parse`] makes the same profile.
#[must_use]
pub fn write(profile: &Profile) -> String {
    write::profile(profile)
}

const KINDS: [&str; 8] =
    ["limit", "trend", "baseline", "score", "silence", "technical", "asserted", "off"];

const fn kind_name(kind: &RuleKind) -> &'static str {
    match kind {
        RuleKind::Off => "off",
        RuleKind::Limit(_) => "limit",
        RuleKind::Trend(_) => "trend",
        RuleKind::Baseline(_) => "baseline",
        RuleKind::Score(_) => "score",
        RuleKind::Silence(_) => "silence",
        RuleKind::Technical(_) => "technical",
        RuleKind::Asserted(_) => "asserted",
    }
}

const SIDES: [(Side, &str); 2] = [(Side::Above, "above"), (Side::Below, "below")];

/// A low battery's percentage stands in a key of its own, not in its name.
const CONDITIONS: [(TechnicalCondition, &str); 6] = [
    (TechnicalCondition::SensorOff, "sensor_off"),
    (TechnicalCondition::BatteryLow(0), "battery_low"),
    (TechnicalCondition::ClockFault, "clock_fault"),
    (TechnicalCondition::DeviceOffline, "device_offline"),
    (TechnicalCondition::GatewayOffline, "gateway_offline"),
    (TechnicalCondition::DeviceFault, "device_fault"),
];

fn named_in<T: Copy>(names: &[(T, &'static str)], name: &str) -> Option<T> {
    names.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
}

fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests;
