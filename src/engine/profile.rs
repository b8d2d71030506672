//! Alarm profiles: sets of rules with individual limits, and how three scopes merge into one.
//!
//! A [`Profile`] belongs to one [`Scope`]. A patient's effective rules are patient over site over
//! default, rule by rule: a rule of a narrower scope replaces the whole rule of the same id.
//! [`Profile::validate`] accepts only rules that can mean what they say; [`not_monitored`] says why
//! one that does cannot fire on a patient's devices. What a rule does with readings stands in
//! `rules`.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod monitored;
pub(crate) mod span;
mod validate;
mod versions;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::monitored::{
    AgeGroup, Eligibility, Persistence, Pregnancy, not_monitored, persistence,
};
pub use self::validate::OwnerKind;
pub use self::versions::{EffectiveRule, VersionedProfile, merge};
use crate::vitals::{DeviceEvent, PatientKey, Priority, Quantity, RuleId, SiteKey, Vital};

/// Rules of one profile at most; a bound on the work that one reading can cause.
pub const RULES_MAX: usize = 64;
/// Levels of one rule at most: one per priority.
pub const LEVELS_MAX: usize = 3;
/// Readings that a spot persistence may look back on; a bound on its state.
pub const SPOT_READINGS_MAX: u8 = 16;
/// Ids that begin so are those of the service's own alerts, and no rule may have one.
pub const RESERVED_ID_PREFIX: &str = "pulseward.";
/// The longest delay or gap that a rule may ask for.
pub const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose limits they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everyone's, unless a narrower scope says otherwise.
    Default,
    /// A site's.
    Site(SiteKey),
    /// One patient's own.
    Patient(PatientKey),
}

/// A set of rules with unique ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The rules, at most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id, under which scopes merge and alerts name it.
    pub id: RuleId,
    /// What it watches.
    pub kind: RuleKind,
    /// How old a reading that arrives late may be and still raise or escalate.
    pub actionable_for: Duration,
    /// From which priority on its alerts latch; `None`: they don't.
    pub latching_from: Option<Priority>,
    /// When an unacknowledged alert is passed on, by priority.
    pub escalations: Vec<Escalation>,
}

impl Rule {
    /// [`Rule::actionable_for`], where a profile doesn't say.
    pub const ACTIONABLE_FOR: Duration = Duration::from_secs(10 * 60);

    /// A rule of this kind that does not latch and is not passed on.
    #[must_use]
    pub const fn new(id: RuleId, kind: RuleKind) -> Self {
        Self {
            id,
            kind,
            actionable_for: Self::ACTIONABLE_FOR,
            latching_from: None,
            escalations: Vec::new(),
        }
    }
}

/// When the signal of an unacknowledged alert is passed on to the next escalation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Of alerts of this priority.
    pub priority: Priority,
    /// After this long, and again after each further such time.
    pub after: Duration,
}

/// The kinds of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleKind {
    /// Replaces a rule of a wider scope by nothing: that rule is off in this scope.
    Off,
    /// A vital beyond a limit.
    Limit(LimitRule),
    /// A vital that changes too much over a window.
    Trend(TrendRule),
    /// A vital far from the patient's own usual range.
    Baseline(BaselineRule),
    /// An early-warning score.
    Score(ScoreRule),
    /// A vital that is no longer measured.
    Silence(SilenceRule),
    /// A fault of a device or a gateway.
    Technical(TechnicalRule),
    /// Something that a device asserts by itself.
    Asserted(AssertedRule),
}

/// A vital beyond a limit for some time, with a level for each priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRule {
    /// The vital.
    pub vital: Vital,
    /// For [`Vital::HeartRate`]: whether pulse rate counts as heart rate.
    pub covers_pulse_rate: bool,
    /// On which side of its limit a value breaches.
    pub side: Side,
    /// The levels, by rising priority, each limit more extreme than the one before.
    pub levels: Vec<Level>,
    /// How long values must stay within a level's clear limit before the level ends, by measured
    /// time. Zero: the first such value ends it.
    pub clear_delay: Duration,
}

/// Which values breach a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Those above it.
    Above,
    /// Those below it.
    Below,
}

impl Side {
    /// Whether `value` lies strictly beyond `limit` on this side.
    #[must_use]
    pub fn is_beyond(self, value: Quantity, limit: Quantity) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

/// One level of a limit rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The priority of an alert at this level.
    pub priority: Priority,
    /// A value strictly beyond it breaches. In the vital's canonical unit.
    pub limit: Quantity,
    /// A value not beyond it counts towards clearing. The limit itself, or on its safe side.
    pub clear_limit: Quantity,
    /// How long a breach must last, where a device measures steadily.
    pub sustained: Option<Sustained>,
    /// How a breach is confirmed, where a device measures now and then.
    pub spot: Option<Spot>,
}

/// Persistence for a device that measures steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sustained {
    /// The alarm condition delay: from the first breaching reading to the one that raises, by
    /// measured time.
    pub delay: Duration,
    /// Two readings further apart than this are not one breach.
    pub max_gap: Duration,
}

/// Persistence for a device that measures now and then: `n` of the last `of` readings, measured
/// within `within`, must breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// How many must breach, from 1 to `of`.
    pub n: u8,
    /// Of how many, at most [`SPOT_READINGS_MAX`].
    pub of: u8,
    /// How far apart the first and the last may have been measured.
    pub within: Duration,
}

/// A vital that rises or falls by more than a delta within a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendRule {
    /// The vital.
    pub vital: Vital,
    /// Above: it rises by more than the delta. Below: it falls by more.
    pub direction: Side,
    /// Over which the change is judged.
    pub window: Duration,
    /// The levels, by rising priority and delta.
    pub levels: Vec<TrendLevel>,
    /// Fewer readings than this within the window are not judged.
    pub readings_min: u32,
}

/// One level of a trend rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendLevel {
    /// The priority of an alert at this level.
    pub priority: Priority,
    /// Size of the change that breaches when it is exceeded; positive, in the vital's unit.
    pub delta: Quantity,
    /// A change not above it clears the level; at most `delta`.
    pub clear_delta: Quantity,
}

/// A vital far from the patient's own: robust z against median and MAD of the patient's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRule {
    /// The vital.
    pub vital: Vital,
    /// On which side a deviation counts.
    pub side: Side,
    /// How much history makes the baseline.
    pub history: Duration,
    /// Fewer readings than this make no baseline.
    pub readings_min: u32,
    /// The smallest spread (MAD) assumed, in the vital's unit.
    pub spread_min: Quantity,
    /// The levels, by rising priority and z.
    pub levels: Vec<BaselineLevel>,
    /// How long z must stay within a level's clear z before the level ends.
    pub clear_delay: Duration,
}

/// One level of a baseline rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineLevel {
    /// The priority of an alert at this level.
    pub priority: Priority,
    /// Robust standard deviations from the median that breach when exceeded; positive.
    pub z: Quantity,
    /// A z not above it clears the level; at most `z`.
    pub clear_z: Quantity,
    /// How long a breach must last.
    pub sustained: Sustained,
}

/// An early-warning score at or above a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreRule {
    /// Which score, and how it reads SpO2.
    pub score: Score,
    /// The levels, by rising priority and total.
    pub levels: Vec<ScoreLevel>,
    /// The priority of an alert when one parameter alone scores 3; `None`: that raises nothing.
    pub single_parameter_priority: Option<Priority>,
    /// How long a parameter's latest reading counts; [`ScoreRule::MAX_AGE`] for others.
    pub max_ages: Vec<(Vital, Duration)>,
    /// How long a score must stand at a level before it raises.
    pub delay: Duration,
    /// How long a complete score must stand at or below a level's `clear_total` before it ends.
    pub clear_delay: Duration,
}

impl ScoreRule {
    /// How long a parameter counts whose vital [`ScoreRule::max_ages`] doesn't name.
    pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
}

/// The early-warning scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Score {
    /// National Early Warning Score 2, RCP 2017.
    News2(SpO2Scale),
}

/// How NEWS2 reads SpO2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpO2Scale {
    /// For everyone not named below.
    One,
    /// For confirmed hypercapnic respiratory failure with a prescribed target of 88 to 92 %, by a
    /// clinician's decision.
    Two,
}

/// One level of a score rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreLevel {
    /// The priority of an alert at this level.
    pub priority: Priority,
    /// The total from which on it applies.
    pub total: u8,
    /// The total at or below which it clears; less than `total`.
    pub clear_total: u8,
}

/// No reading of a vital for a multiple of its expected interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceRule {
    /// The vital.
    pub vital: Vital,
    /// How many expected intervals may pass; at least 1.
    pub intervals: Quantity,
    /// Nobody is called silent before this long has passed, however short the interval.
    pub at_least: Duration,
    /// The priority of the alert.
    pub priority: Priority,
}

/// A fault of a device or a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TechnicalRule {
    /// Which fault.
    pub condition: TechnicalCondition,
    /// The priority of the alert.
    pub priority: Priority,
    /// How long it must last.
    pub delay: Duration,
}

/// Something that a device asserts of the patient: from the status that asserts it to the next one
/// that doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertedRule {
    /// What.
    pub event: DeviceEvent,
    /// The priority of the alert.
    pub priority: Priority,
}

/// Faults that can be watched. Numbers are those of protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TechnicalCondition {
    /// The sensor is off the patient.
    SensorOff,
    /// The battery's charge is below this many percent.
    BatteryLow(u8),
    /// The device's clock is more than 30 s off.
    ClockFault,
    /// The device is offline.
    DeviceOffline,
    /// The gateway is offline: one alert for all devices behind it.
    GatewayOffline,
    /// The device reports a fault.
    DeviceFault,
}

/// What is wrong with a profile: which field of which rule, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path of the field, such as `rules[hr-high].levels[1].clear_limit`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

impl LimitRule {
    /// Whether readings of `vital` are judged by this rule.
    #[must_use]
    pub fn covers(&self, vital: Vital) -> bool {
        vital == self.vital || (self.covers_pulse_rate && vital == Vital::PulseRate)
    }
}
