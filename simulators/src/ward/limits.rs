//! The demo's alarm limits, and the same as a profile.
//!
//! Delays are short, so that a demo of half a minute shows alarms; nobody should be monitored by
//! them.

use jiff::SignedDuration;

use crate::convert;
use crate::proto::v1;
use crate::sample::Vital;

const DELAY: SignedDuration = SignedDuration::from_secs(5);
const MAX_GAP: SignedDuration = SignedDuration::from_millis(1500);

/// A limit on one vital of every patient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its id in the profile.
    pub id: &'static str,
    /// What it watches.
    pub vital: Vital,
    /// Which values breach.
    pub limit: Limit,
    /// How long a breach lasts before it raises.
    pub delay: SignedDuration,
    /// The largest distance of two samples of one breach.
    pub max_gap: SignedDuration,
}

/// A limit and the side on which a value breaches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Values strictly above breach.
    Above(f64),
    /// Values strictly below breach.
    Below(f64),
}

/// The rules of the demo. A heart rate limit does not cover pulse rate here.
pub const RULES: &[Rule] = &[
    Rule {
        id: "hr-high",
        vital: Vital::HeartRate,
        limit: Limit::Above(110.0),
        delay: DELAY,
        max_gap: MAX_GAP,
    },
    Rule {
        id: "rr-high",
        vital: Vital::RespiratoryRate,
        limit: Limit::Above(24.0),
        delay: DELAY,
        max_gap: MAX_GAP,
    },
    Rule {
        id: "spo2-low",
        vital: Vital::Spo2,
        limit: Limit::Below(90.0),
        delay: DELAY,
        max_gap: MAX_GAP,
    },
];

/// The profile that says the same as `rules`.
#[must_use]
pub fn profile(rules: &[Rule]) -> v1::Profile {
    v1::Profile { rules: rules.iter().map(rule).collect() }
}

fn rule(rule: &Rule) -> v1::Rule {
    let (side, limit) = match rule.limit {
        Limit::Above(limit) => (v1::Side::Above, limit),
        Limit::Below(limit) => (v1::Side::Below, limit),
    };
    let level = v1::LimitLevel {
        priority: priority(rule.vital).into(),
        limit,
        sustained: Some(v1::Sustained {
            delay: Some(convert::to_duration(rule.delay)),
            max_gap: Some(convert::to_duration(rule.max_gap)),
        }),
        ..v1::LimitLevel::default()
    };
    let kind = v1::rule::Kind::Limit(v1::LimitRule {
        vital: convert::to_vital(rule.vital).into(),
        side: side.into(),
        levels: vec![level],
        ..v1::LimitRule::default()
    });
    v1::Rule { rule_id: rule.id.to_owned(), kind: Some(kind), ..v1::Rule::default() }
}

fn priority(vital: Vital) -> v1::Priority {
    match vital {
        Vital::Spo2 => v1::Priority::High,
        _ => v1::Priority::Medium,
    }
}
