//! The limits that the fleet is watched by, as the profile of its site.
//!
//! Well patients stay within them by a clear distance, episodes breach them clearly, near misses
//! clearly don't; see `physiology` and `episode`. Delays are as short as the
//! scenario says; nobody should be monitored by them.

use jiff::SignedDuration;

use super::scenario::Scenario;
use crate::convert;
use crate::proto::v1;
use crate::sample::Vital;

/// The rule that tells silence of a device: of its heart rate.
pub const SILENCE: &str = "heart-silent";
/// A level's limit, and the clear limit at which it may end.
type Level = (f64, f64);

/// A limit rule, its medium and its high level.
struct LimitSpec {
    id: &'static str,
    vital: Vital,
    side: v1::Side,
    medium: Level,
    high: Option<Level>,
}

const fn above(id: &'static str, vital: Vital, medium: Level, high: Option<Level>) -> LimitSpec {
    LimitSpec { id, vital, side: v1::Side::Above, medium, high }
}

const fn below(id: &'static str, vital: Vital, medium: Level, high: Option<Level>) -> LimitSpec {
    LimitSpec { id, vital, side: v1::Side::Below, medium, high }
}

const LIMITS: [LimitSpec; 8] = [
    above("hr-high", Vital::HeartRate, (120.0, 115.0), Some((150.0, 145.0))),
    below("hr-low", Vital::HeartRate, (45.0, 48.0), Some((35.0, 38.0))),
    above("rr-high", Vital::RespiratoryRate, (26.0, 24.0), Some((34.0, 32.0))),
    below("spo2-low", Vital::Spo2, (90.0, 92.0), Some((85.0, 87.0))),
    above("pressure-high", Vital::SystolicPressure, (180.0, 175.0), Some((200.0, 195.0))),
    below("pressure-low", Vital::SystolicPressure, (90.0, 93.0), None),
    above("temperature-high", Vital::BodyTemperature, (38.5, 38.2), None),
    below("glucose-low", Vital::BloodGlucose, (70.0, 75.0), Some((54.0, 58.0))),
];

/// The site's profile.
#[must_use]
pub fn profile(scenario: &Scenario) -> v1::Profile {
    let limits = LIMITS.iter().map(|spec| limit_rule(spec, scenario));
    v1::Profile { rules: limits.chain([silence_rule(scenario)]).collect() }
}

fn limit_rule(spec: &LimitSpec, scenario: &Scenario) -> v1::Rule {
    let Persistence { delay, clear_delay, max_gap } = Persistence::of(spec.vital, scenario);
    let level = |priority: v1::Priority, (limit, clear): Level, delay| v1::LimitLevel {
        priority: priority.into(),
        limit,
        clear_limit: Some(clear),
        sustained: Some(v1::Sustained {
            delay: Some(convert::to_duration(delay)),
            max_gap: Some(convert::to_duration(max_gap)),
        }),
        spot: None,
    };
    let medium = level(v1::Priority::Medium, spec.medium, delay);
    let high = spec.high.map(|high| level(v1::Priority::High, high, delay / 2));
    rule(
        spec.id,
        v1::rule::Kind::Limit(v1::LimitRule {
            vital: convert::to_vital(spec.vital).into(),
            side: spec.side.into(),
            levels: [Some(medium), high].into_iter().flatten().collect(),
            clear_delay: Some(convert::to_duration(clear_delay)),
            covers_pulse_rate: false,
        }),
    )
}

/// How long a breach of a vital lasts before it raises, and so on.
struct Persistence {
    delay: SignedDuration,
    clear_delay: SignedDuration,
    max_gap: SignedDuration,
}

impl Persistence {
    /// What is measured now and then raises with the second value, unless the delay asks for more.
    fn of(vital: Vital, scenario: &Scenario) -> Self {
        let limits = &scenario.limits;
        let gap = limits.max_gap.unwrap_or(SignedDuration::from_secs(10));
        if Vital::STEADY.contains(&vital) {
            return Self { delay: limits.delay, clear_delay: limits.clear_delay, max_gap: gap };
        }
        let every = scenario.slow_every();
        Self {
            delay: limits.delay.max(every),
            clear_delay: limits.clear_delay,
            max_gap: gap.max(every * 5 / 2),
        }
    }
}

/// How long a device may be silent before it is called so.
pub(super) fn silent_after(scenario: &Scenario) -> SignedDuration {
    let intervals = scenario.every() * 5;
    scenario.gateways.upload_interval.saturating_add(intervals.max(scenario.limits.silence))
}

fn silence_rule(scenario: &Scenario) -> v1::Rule {
    rule(
        SILENCE,
        v1::rule::Kind::Silence(v1::SilenceRule {
            vital: convert::to_vital(Vital::HeartRate).into(),
            intervals: 5.0,
            priority: v1::Priority::Medium.into(),
            at_least: Some(convert::to_duration(scenario.limits.silence)),
        }),
    )
}

fn rule(id: &str, kind: v1::rule::Kind) -> v1::Rule {
    v1::Rule { rule_id: id.to_owned(), kind: Some(kind), ..v1::Rule::default() }
}
