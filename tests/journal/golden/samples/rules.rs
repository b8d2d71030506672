//! A profile with a rule of every kind.

use super::*;

pub(super) const SUSTAINED: Sustained =
    Sustained { delay: Duration::from_secs(15), max_gap: Duration::from_millis(1500) };

pub(super) fn limit() -> RuleKind {
    let level = |priority, limit| Level {
        priority,
        limit: Quantity::whole(limit),
        clear_limit: Quantity::whole(limit - 2),
        sustained: Some(SUSTAINED),
        spot: Some(Spot { n: 2, of: 3, within: Duration::from_secs(900) }),
    };
    RuleKind::Limit(LimitRule {
        vital: Vital::HeartRate,
        covers_pulse_rate: true,
        side: Side::Above,
        levels: vec![level(Priority::Medium, 100), level(Priority::High, 130)],
        clear_delay: Duration::from_secs(30),
    })
}

pub(super) fn trend() -> RuleKind {
    let (delta, clear_delta) = (Quantity::whole(2), Quantity::whole(1));
    RuleKind::Trend(TrendRule {
        vital: Vital::Weight,
        direction: Side::Above,
        window: Duration::from_secs(2 * 24 * 60 * 60),
        levels: vec![TrendLevel { priority: Priority::Low, delta, clear_delta }],
        readings_min: 2,
    })
}

pub(super) fn baseline() -> RuleKind {
    RuleKind::Baseline(BaselineRule {
        vital: Vital::RespiratoryRate,
        side: Side::Below,
        history: Duration::from_secs(24 * 60 * 60),
        readings_min: 60,
        spread_min: Quantity::from_ten_thousandths(5_000),
        levels: vec![BaselineLevel {
            priority: Priority::Medium,
            z: Quantity::whole(4),
            clear_z: Quantity::whole(3),
            sustained: SUSTAINED,
        }],
        clear_delay: Duration::from_secs(60),
    })
}

pub(super) fn score() -> RuleKind {
    let level = |priority, total| ScoreLevel { priority, total, clear_total: total - 1 };
    RuleKind::Score(ScoreRule {
        score: Score::News2(SpO2Scale::Two),
        levels: vec![level(Priority::Medium, 5), level(Priority::High, 7)],
        single_parameter_priority: Some(Priority::Low),
        max_ages: vec![(Vital::Consciousness, Duration::from_secs(12 * 60 * 60))],
        delay: Duration::from_secs(60),
        clear_delay: Duration::from_secs(120),
    })
}

pub(super) fn profile() -> Profile {
    let silence = SilenceRule {
        vital: Vital::Spo2,
        intervals: Quantity::from_ten_thousandths(25_000),
        at_least: Duration::from_secs(30),
        priority: Priority::Medium,
    };
    let technical = TechnicalRule {
        condition: TechnicalCondition::BatteryLow(20),
        priority: Priority::Low,
        delay: Duration::from_secs(300),
    };
    let asserted = AssertedRule { event: DeviceEvent::Fall, priority: Priority::High };
    let rule = |id, kind| Rule::new(RuleId::new(id).expect("an id"), kind);
    let latching = Rule {
        actionable_for: Duration::from_secs(300),
        latching_from: Some(Priority::High),
        escalations: vec![Escalation { priority: Priority::High, after: Duration::from_secs(120) }],
        ..rule("hr-high", limit())
    };
    let rules = vec![
        latching,
        rule("rr-low", RuleKind::Off),
        rule("weight-up", trend()),
        rule("rr-own", baseline()),
        rule("news2", score()),
        rule("spo2-silent", RuleKind::Silence(silence)),
        rule("battery", RuleKind::Technical(technical)),
        rule("fall", RuleKind::Asserted(asserted)),
    ];
    Profile { rules }
}
