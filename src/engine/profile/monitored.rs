//! Whether a rule can fire at all for a patient: on the devices present, at the rate at which they
//! measure, for somebody of that age.
//!
//! Nothing here is a fault of a profile: the same rule is fine on another ward. A rule that cannot
//! fire must not look as if it watched, so the reason is said in words for people. A rule of which
//! only some levels can fire does fire, and is not named here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span::Span;
use super::{
    BaselineRule, Level, LimitRule, Rule, RuleKind, Score, ScoreRule, SilenceRule, Spot, Sustained,
    TrendRule,
};
use crate::vitals::Vital;

/// Whether a patient is old enough for the scores and limits of adults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgeGroup {
    /// Not known.
    #[default]
    Unknown,
    /// 16 years or more.
    Adult,
    /// Under 16 years.
    Child,
}

/// Whether a patient is pregnant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pregnancy {
    /// Not known.
    #[default]
    Unknown,
    /// Not pregnant.
    NotPregnant,
    /// Pregnant.
    Pregnant,
}

/// What decides whether a score may be used for a patient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// Whether the patient is an adult.
    pub age_group: AgeGroup,
    /// Whether the patient is pregnant.
    pub pregnancy: Pregnancy,
}

impl Eligibility {
    /// Why a score is not for this patient, if it isn't. What is not known refuses nothing.
    #[must_use]
    pub const fn refuses(self, score: Score) -> Option<&'static str> {
        let Score::News2(_) = score;
        match (self.age_group, self.pregnancy) {
            (AgeGroup::Child, _) => Some("NEWS2 is not for patients under 16"),
            (_, Pregnancy::Pregnant) => Some("NEWS2 is not for pregnant patients"),
            _ => None,
        }
    }
}

/// The form of persistence that a level uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// A breach must last.
    Sustained(Sustained),
    /// A breach must be confirmed.
    Spot(Spot),
}

impl Persistence {
    /// Readings of one breach are no further apart than this.
    #[must_use]
    pub const fn longest_gap(self) -> Duration {
        match self {
            Self::Sustained(sustained) => sustained.max_gap,
            Self::Spot(spot) => spot.within,
        }
    }
}

impl Level {
    /// How long a breach lasts that raises at once: what a level says that says nothing.
    const AT_ONCE: Sustained = Sustained { delay: Duration::ZERO, max_gap: super::DELAY_MAX };
}

/// How a level confirms a breach on a device that measures at this interval.
///
/// Sustained where the device measures often enough for it, or where nobody knows; else spot; and
/// where there is only one form, that one, even if it can never hold: [`not_monitored`] says so.
#[must_use]
pub fn persistence(level: &Level, expected_interval: Option<Duration>) -> Persistence {
    let steady = |sustained: &Sustained| {
        expected_interval.is_none_or(|interval| interval <= sustained.max_gap)
    };
    match (level.sustained, level.spot) {
        (Some(sustained), _) if steady(&sustained) => Persistence::Sustained(sustained),
        (_, Some(spot)) => Persistence::Spot(spot),
        (sustained, None) => Persistence::Sustained(sustained.unwrap_or(Level::AT_ONCE)),
    }
}

/// Why `rule` cannot fire for a patient whose present devices measure `covered`, each vital with
/// its expected interval where one is declared; `None` if it can.
#[must_use]
pub fn not_monitored(
    rule: &Rule,
    covered: &[(Vital, Option<Duration>)],
    patient: Eligibility,
) -> Option<String> {
    match &rule.kind {
        RuleKind::Off | RuleKind::Technical(_) | RuleKind::Asserted(_) => None,
        RuleKind::Limit(limit) => limit_not_monitored(limit, covered),
        RuleKind::Trend(trend) => trend_not_monitored(trend, covered),
        RuleKind::Baseline(baseline) => baseline_not_monitored(baseline, covered),
        RuleKind::Score(score) => score_not_monitored(score, covered, patient),
        RuleKind::Silence(silence) => silence_not_monitored(silence, covered),
    }
}

type Covered = (Vital, Option<Duration>);

/// `None` if one of the devices can make the rule fire; else why the first of them can't, or that
/// there is none.
fn unless_any(
    devices: impl Iterator<Item = Covered>,
    nobody: impl FnOnce() -> String,
    why_not: impl Fn(Covered) -> Option<String>,
) -> Option<String> {
    let mut first = None;
    for device in devices {
        let reason = why_not(device)?;
        first.get_or_insert(reason);
    }
    Some(first.unwrap_or_else(nobody))
}

fn measured(vital: Vital, covered: &[Covered]) -> impl Iterator<Item = Covered> {
    covered.iter().copied().filter(move |(it, _)| *it == vital)
}

fn nobody_measures(vital: Vital) -> String {
    format!("no bound device measures {vital}")
}

fn limit_not_monitored(limit: &LimitRule, covered: &[Covered]) -> Option<String> {
    let devices = covered.iter().copied().filter(|(vital, _)| limit.covers(*vital));
    let nobody = || match limit.covers_pulse_rate {
        true => format!("no bound device measures {} or {}", limit.vital, Vital::PulseRate),
        false => nobody_measures(limit.vital),
    };
    unless_any(devices, nobody, |(vital, interval)| {
        let interval = interval?;
        let can_fire = |level: &Level| holds(persistence(level, Some(interval)), interval);
        if limit.levels.iter().any(can_fire) {
            return None;
        }
        Some(never_persists(&limit.levels, vital, interval))
    })
}

/// Whether readings at this interval can fulfil the persistence.
pub(in crate::engine) fn holds(persistence: Persistence, interval: Duration) -> bool {
    match persistence {
        Persistence::Sustained(it) => it.delay.is_zero() || interval <= it.max_gap,
        Persistence::Spot(it) => takes(u32::from(it.n), interval) <= it.within,
    }
}

/// How far apart the first and the last of so many readings are.
fn takes(readings: u32, interval: Duration) -> Duration {
    interval.saturating_mul(readings.saturating_sub(1))
}

fn never_persists(levels: &[Level], vital: Vital, interval: Duration) -> String {
    let widest = levels.iter().filter_map(|level| level.sustained).map(|it| it.max_gap).max();
    let gaps = widest.map(|gap| format!("gaps of {} at most", Span(gap)));
    let spots = levels.iter().filter_map(|level| level.spot).max_by_key(|spot| spot.within);
    let spots = spots.map(|it| format!("{} readings within {}", it.n, Span(it.within)));
    let needs = match (gaps, spots) {
        (Some(gaps), Some(spots)) => format!("a breach needs {gaps}, or {spots}"),
        (Some(gaps), None) => format!("a breach may have {gaps}, and there is no spot form"),
        (None, spots) => format!("a breach needs {}", spots.unwrap_or_else(|| "a level".into())),
    };
    format!("{vital} is measured every {}, but {needs}", Span(interval))
}

fn trend_not_monitored(trend: &TrendRule, covered: &[Covered]) -> Option<String> {
    let nobody = || nobody_measures(trend.vital);
    unless_any(measured(trend.vital, covered), nobody, |(vital, interval)| {
        too_few(vital, interval?, trend.readings_min, trend.window)
    })
}

fn baseline_not_monitored(baseline: &BaselineRule, covered: &[Covered]) -> Option<String> {
    let nobody = || nobody_measures(baseline.vital);
    unless_any(measured(baseline.vital, covered), nobody, |(vital, interval)| {
        let interval = interval?;
        if let Some(reason) = too_few(vital, interval, baseline.readings_min, baseline.history) {
            return Some(reason);
        }
        let mut sustained = baseline.levels.iter().map(|level| level.sustained);
        if sustained.clone().any(|it| holds(Persistence::Sustained(it), interval)) {
            return None;
        }
        let widest = sustained.by_ref().map(|it| it.max_gap).max().unwrap_or_default();
        Some(format!(
            "{vital} is measured every {}, but a breach may have gaps of {} at most",
            Span(interval),
            Span(widest)
        ))
    })
}

fn too_few(vital: Vital, interval: Duration, least: u32, window: Duration) -> Option<String> {
    (takes(least, interval) > window).then(|| {
        let (interval, window) = (Span(interval), Span(window));
        format!("{vital} is measured every {interval}, but {least} readings are needed in {window}")
    })
}

/// The parameters of NEWS2 with the most points that each can give. RCP 2017, chart 1.
const NEWS2_POINTS: [(&[Vital], u8); 7] = [
    (&[Vital::RespiratoryRate], 3),
    (&[Vital::Spo2], 3),
    (&[Vital::OxygenFlow], 2),
    (&[Vital::SystolicPressure], 3),
    (&[Vital::HeartRate, Vital::PulseRate], 3),
    (&[Vital::Consciousness], 3),
    (&[Vital::BodyTemperature], 3),
];

/// The points that alarm as those of a single parameter.
const SINGLE: u8 = 3;

fn score_not_monitored(
    rule: &ScoreRule,
    covered: &[Covered],
    patient: Eligibility,
) -> Option<String> {
    if let Some(reason) = patient.refuses(rule.score) {
        return Some(reason.to_owned());
    }
    let is_covered = |vitals: &[Vital]| covered.iter().any(|(vital, _)| vitals.contains(vital));
    let points: Vec<u8> = NEWS2_POINTS
        .into_iter()
        .filter(|(vitals, _)| is_covered(vitals))
        .map(|(_, points)| points)
        .collect();
    let least = rule.levels.iter().map(|level| level.total).min();
    let most: u8 = points.iter().sum();
    let single = rule.single_parameter_priority.is_some() && points.contains(&SINGLE);
    match least {
        _ if points.is_empty() => Some("no bound device measures a parameter of NEWS2".to_owned()),
        Some(least) if !single && most < least => Some(format!(
            "what the bound devices measure scores {most} at most, and the lowest level is {least}"
        )),
        _ => None,
    }
}

fn silence_not_monitored(silence: &SilenceRule, covered: &[Covered]) -> Option<String> {
    let nobody = || nobody_measures(silence.vital);
    unless_any(measured(silence.vital, covered), nobody, |(vital, interval)| match interval {
        Some(_) => None,
        None => Some(format!("no binding says how often {vital} is expected")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::profile::{Side, TrendLevel};
    use crate::vitals::{Priority, Quantity, RuleId};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const STEADY: Sustained =
        Sustained { delay: seconds(15), max_gap: Duration::from_millis(1500) };
    const TWICE: Spot = Spot { n: 2, of: 2, within: seconds(3600) };

    fn level(sustained: Option<Sustained>, spot: Option<Spot>) -> Level {
        let limit = Quantity::whole(130);
        Level { priority: Priority::High, limit, clear_limit: limit, sustained, spot }
    }

    fn limit(levels: Vec<Level>) -> RuleKind {
        RuleKind::Limit(LimitRule {
            vital: Vital::HeartRate,
            covers_pulse_rate: true,
            side: Side::Above,
            levels,
            clear_delay: Duration::ZERO,
        })
    }

    fn check(kind: RuleKind, covered: &[Covered], expected: Option<&str>) {
        let rule = Rule::new(RuleId::new("r").expect("valid"), kind);
        let found = not_monitored(&rule, covered, Eligibility::default());
        assert_eq!(found.as_deref(), expected, "{rule:?} on {covered:?}");
    }

    #[test]
    fn the_sustained_form_is_used_where_the_device_measures_often_enough() {
        let (sustained, spot) = (Persistence::Sustained(STEADY), Persistence::Spot(TWICE));
        let both = level(Some(STEADY), Some(TWICE));
        let (only_steady, only_spot) = (level(Some(STEADY), None), level(None, Some(TWICE)));
        for (level, interval, expected) in [
            (&both, Some(seconds(1)), sustained),
            (&both, Some(STEADY.max_gap), sustained),
            (&both, Some(seconds(2)), spot),
            (&both, None, sustained),
            (&only_steady, Some(seconds(60)), sustained),
            (&only_spot, Some(seconds(1)), spot),
            (&only_spot, None, spot),
        ] {
            assert_eq!(persistence(level, interval), expected, "{level:?} at {interval:?}");
        }
    }

    #[test]
    fn a_limit_needs_a_device_that_measures_its_vital_often_enough() {
        let steady = || limit(vec![level(Some(STEADY), None)]);
        check(steady(), &[(Vital::PulseRate, Some(seconds(1)))], None);
        check(steady(), &[(Vital::HeartRate, None)], None);
        check(steady(), &[], Some("no bound device measures heart_rate or pulse_rate"));
        check(
            steady(),
            &[(Vital::HeartRate, Some(seconds(60)))],
            Some(
                "heart_rate is measured every 1 min, but a breach may have gaps of 1.5 s at most, \
                 and there is no spot form",
            ),
        );
    }

    #[test]
    fn one_level_on_one_device_is_enough() {
        let at_once = Sustained { delay: Duration::ZERO, ..STEADY };
        let slow = [(Vital::HeartRate, Some(seconds(60)))];
        check(limit(vec![level(Some(STEADY), None), level(Some(at_once), None)]), &slow, None);
        check(limit(vec![level(Some(STEADY), Some(TWICE))]), &slow, None);
        let devices = [slow[0], (Vital::PulseRate, Some(seconds(1)))];
        check(limit(vec![level(Some(STEADY), None)]), &devices, None);
        check(
            limit(vec![level(None, Some(TWICE))]),
            &[(Vital::HeartRate, Some(seconds(7200)))],
            Some("heart_rate is measured every 2 h, but a breach needs 2 readings within 1 h"),
        );
    }

    #[test]
    fn a_trend_needs_enough_readings_in_its_window() {
        let delta = Quantity::whole(2);
        let trend = |readings_min| {
            RuleKind::Trend(TrendRule {
                vital: Vital::Weight,
                direction: Side::Above,
                window: seconds(3 * 86_400),
                levels: vec![TrendLevel { priority: Priority::Low, delta, clear_delta: delta }],
                readings_min,
            })
        };
        let daily = [(Vital::Weight, Some(seconds(86_400)))];
        check(trend(4), &daily, None);
        check(
            trend(5),
            &daily,
            Some("weight is measured every 24 h, but 5 readings are needed in 72 h"),
        );
    }

    #[test]
    fn silence_needs_an_interval_that_somebody_declared() {
        let silence = || {
            RuleKind::Silence(SilenceRule {
                vital: Vital::Spo2,
                intervals: Quantity::whole(3),
                at_least: Duration::ZERO,
                priority: Priority::Medium,
            })
        };
        check(silence(), &[(Vital::Spo2, None), (Vital::Spo2, Some(seconds(1)))], None);
        check(
            silence(),
            &[(Vital::Spo2, None)],
            Some("no binding says how often spo2 is expected"),
        );
        check(silence(), &[(Vital::Weight, None)], Some("no bound device measures spo2"));
    }

    fn news2(single_parameter_priority: Option<Priority>) -> RuleKind {
        use crate::engine::profile::{ScoreLevel, SpO2Scale};
        RuleKind::Score(ScoreRule {
            score: Score::News2(SpO2Scale::One),
            levels: vec![ScoreLevel { priority: Priority::Medium, total: 5, clear_total: 4 }],
            single_parameter_priority,
            max_ages: Vec::new(),
            delay: Duration::ZERO,
            clear_delay: Duration::ZERO,
        })
    }

    #[test]
    fn a_score_needs_parameters_that_can_reach_it() {
        let watch = [(Vital::HeartRate, None), (Vital::OxygenFlow, None)];
        check(news2(None), &watch, None);
        check(
            news2(None),
            &watch[..1],
            Some("what the bound devices measure scores 3 at most, and the lowest level is 5"),
        );
        check(news2(Some(Priority::Medium)), &watch[..1], None);
        check(news2(None), &[], Some("no bound device measures a parameter of NEWS2"));
    }

    #[test]
    fn news2_is_refused_under_16_and_in_pregnancy_and_not_where_that_is_unknown() {
        let rule = Rule::new(RuleId::new("news2").expect("valid"), news2(Some(Priority::Medium)));
        for (age_group, pregnancy, expected) in [
            (AgeGroup::Unknown, Pregnancy::Unknown, None),
            (AgeGroup::Adult, Pregnancy::NotPregnant, None),
            (AgeGroup::Child, Pregnancy::Unknown, Some("NEWS2 is not for patients under 16")),
            (AgeGroup::Adult, Pregnancy::Pregnant, Some("NEWS2 is not for pregnant patients")),
        ] {
            let patient = Eligibility { age_group, pregnancy };
            let found = not_monitored(&rule, &[(Vital::HeartRate, None)], patient);
            assert_eq!(found.as_deref(), expected);
        }
    }
}
