//! Limits that raise with the first value beyond them, so that a test need not wait for a delay.

use pulseward_sim::proto::v1;
use v1::{Priority, Side, Vital};

/// The rules of both sites. `spo2-low` has two levels, so that an alert can escalate.
pub(super) fn profile() -> v1::Profile {
    let rules = vec![
        rule("hr-high", Vital::HeartRate, Side::Above, &[(Priority::Medium, 120.0)]),
        rule("rr-high", Vital::RespiratoryRate, Side::Above, &[(Priority::Low, 24.0)]),
        rule(
            "spo2-low",
            Vital::Spo2,
            Side::Below,
            &[(Priority::Medium, 92.0), (Priority::High, 85.0)],
        ),
    ];
    v1::Profile { rules }
}

fn rule(id: &str, vital: Vital, side: Side, levels: &[(Priority, f64)]) -> v1::Rule {
    let level = |(priority, limit): &(Priority, f64)| v1::LimitLevel {
        priority: (*priority).into(),
        limit: *limit,
        sustained: Some(v1::Sustained {
            delay: None,
            max_gap: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        }),
        ..v1::LimitLevel::default()
    };
    let limit = v1::LimitRule {
        vital: vital.into(),
        side: side.into(),
        levels: levels.iter().map(level).collect(),
        ..v1::LimitRule::default()
    };
    v1::Rule {
        rule_id: id.to_owned(),
        kind: Some(v1::rule::Kind::Limit(limit)),
        ..v1::Rule::default()
    }
}
