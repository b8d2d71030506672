//! The kinds of rules, each on a story of its own.

use super::*;

fn starts_and_ends(ward: &mut Ward) -> Vec<String> {
    let is_told = |line: &String| line.contains(" start ") || line.contains(" end ");
    ward.told().into_iter().filter(is_told).collect()
}

fn spot(n: u8, of: u8) -> Rule {
    let limit = Quantity::whole(100);
    let spot = Spot { n, of, within: Duration::from_secs(3600) };
    let sustained =
        Sustained { delay: Duration::from_secs(15), max_gap: Duration::from_millis(1500) };
    let level = Level {
        priority: Priority::Medium,
        limit,
        clear_limit: limit,
        sustained: Some(sustained),
        spot: Some(spot),
    };
    rule("hr", vec![level])
}

#[test]
fn a_spot_device_raises_when_a_repeat_confirms() {
    let mut ward = Ward::with(vec![spot(2, 3)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 600)]);
    ward.measure_all(Vital::HeartRate, 600, &[110.0, 90.0, 110.0, 110.0, 90.0, 110.0]);
    assert_eq!(
        starts_and_ends(&mut ward),
        ["1800 start hr medium active/on", "3000 end hr medium inactive/off"],
        "what was confirmed before the end confirms nothing after it"
    );
}

#[test]
fn readings_too_far_apart_do_not_confirm_each_other() {
    let mut ward = Ward::with(vec![spot(2, 2)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 600)]);
    ward.measure_all(Vital::HeartRate, 3601, &[110.0, 110.0]);
    assert_eq!(starts_and_ends(&mut ward), [""; 0]);
}

#[test]
fn who_measures_too_seldom_to_confirm_anything_is_watched_in_part_only() {
    for (seconds, expected) in [(600, "monitored"), (7200, "partial")] {
        let mut ward = Ward::with(vec![spot(2, 2)]);
        ward.enroll_measuring(1, &[(Vital::HeartRate, seconds)]);
        ward.measure(Vital::HeartRate, 80.0);
        assert_eq!(ward.monitored().last(), Some(&(0, expected)), "every {seconds} s");
    }
}

#[test]
fn the_same_rule_asks_a_steady_device_for_a_sustained_breach() {
    let mut ward = Ward::with(vec![spot(1, 1)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 1)]);
    ward.measure_all(Vital::HeartRate, 1, &[110.0; 20]);
    assert_eq!(starts_and_ends(&mut ward), ["16 start hr medium active/on"]);
}

#[test]
fn implausible_values_raise_together_and_say_that_they_are_unconfirmed() {
    let mut ward = Ward::with(vec![rule("hr", vec![level(Priority::Medium, 100, 5)])]);
    ward.enroll(1);
    ward.measure_all(Vital::HeartRate, 1, &[300.0, 300.0, 300.0]);
    assert_eq!(ward.told(), ["3 start hr medium active/on"]);
    assert!(ward.open().unconfirmed);
    ward.measure_all(Vital::HeartRate, 1, &[110.0]);
    assert_eq!(ward.told(), ["4 update hr medium active/on"]);
    assert!(!ward.open().unconfirmed);
}

#[test]
fn a_trend_raises_on_the_change_and_ends_with_it() {
    let delta = Quantity::whole(2);
    let trend = TrendRule {
        vital: Vital::Weight,
        direction: Side::Above,
        window: Duration::from_secs(3 * 24 * 3600),
        levels: vec![TrendLevel { priority: Priority::Medium, delta, clear_delta: delta }],
        readings_min: 2,
    };
    let mut ward = Ward::with(vec![rule_of("weight", RuleKind::Trend(trend))]);
    ward.enroll_measuring(1, &[(Vital::Weight, 24 * 3600)]);
    let day = 24 * 3600;
    ward.measure_all(Vital::Weight, day, &[80.0, 81.0, 82.5, 82.5, 82.5, 82.5]);
    assert_eq!(
        starts_and_ends(&mut ward),
        [
            format!("{} start weight medium active/on", 3 * day),
            format!("{} end weight medium inactive/off", 5 * day),
        ]
    );
}

#[test]
fn a_baseline_raises_far_from_the_patients_own() {
    let sustained = Sustained { delay: Duration::from_secs(120), max_gap: Duration::from_secs(90) };
    let level = BaselineLevel {
        priority: Priority::Low,
        z: Quantity::whole(4),
        clear_z: Quantity::whole(2),
        sustained,
    };
    let baseline = BaselineRule {
        vital: Vital::HeartRate,
        side: Side::Above,
        history: Duration::from_secs(24 * 3600),
        readings_min: 30,
        spread_min: Quantity::whole(2),
        levels: vec![level],
        clear_delay: Duration::ZERO,
    };
    let mut ward = Ward::with(vec![rule_of("own", RuleKind::Baseline(baseline))]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 60)]);
    let usual: Vec<f64> = (0..120).map(|minute| 60.0 + f64::from(minute % 5)).collect();
    ward.measure_all(Vital::HeartRate, 60, &usual);
    assert_eq!(ward.told(), [""; 0]);
    ward.measure_all(Vital::HeartRate, 60, &[90.0; 5]);
    assert_eq!(ward.told(), [format!("{} start own low active/on", 123 * 60)]);
    ward.measure_all(Vital::HeartRate, 60, &[62.0]);
    assert_eq!(ward.told(), [format!("{} end own low inactive/off", 126 * 60)]);
}

fn news2() -> Rule {
    let level = |priority, total| ScoreLevel { priority, total, clear_total: total - 1 };
    let score = ScoreRule {
        score: Score::News2(SpO2Scale::One),
        levels: vec![level(Priority::Medium, 5), level(Priority::High, 7)],
        single_parameter_priority: Some(Priority::Low),
        max_ages: vec![(Vital::Spo2, Duration::from_secs(600))],
        delay: Duration::ZERO,
        clear_delay: Duration::ZERO,
    };
    rule_of("news2", RuleKind::Score(score))
}

/// All seven parameters, measured now.
fn panel(ward: &mut Ward, pulse: f64, spo2: f64, respiration: f64) -> Vec<Output> {
    let now = ward.now;
    let alert = proto::Reading {
        value: Some(proto::reading::Value::Consciousness(proto::Acvpu::Alert as i32)),
        unit: String::new(),
        ..measured(Vital::Consciousness, now, 0.0)
    };
    ward.send_readings(
        1,
        vec![
            measured(Vital::HeartRate, now, pulse),
            measured(Vital::Spo2, now, spo2),
            measured(Vital::RespiratoryRate, now, respiration),
            measured(Vital::SystolicPressure, now, 120.0),
            measured(Vital::BodyTemperature, now, 37.0),
            measured(Vital::OxygenFlow, now, 0.0),
            alert,
        ],
    )
}

#[test]
fn a_panel_is_scored_whole_and_its_alert_says_what_of() {
    let mut ward = Ward::with(vec![news2()]);
    ward.enroll(1);
    panel(&mut ward, 115.0, 93.0, 22.0);
    assert_eq!(ward.told(), ["0 start news2 medium active/on"]);
    let alert = ward.open();
    let score = alert.score.expect("a score");
    assert_eq!((score.total, score.missing.len(), score.parameters.len()), (6, 0, 7));
    assert!(score.age_unknown && score.pregnancy_unknown);
    let Trigger::Readings(decided_by) = &events(&ward.outputs).last().expect("one").trigger else {
        panic!("readings decide");
    };
    assert_eq!(decided_by.len(), 7);
    ward.now += 60;
    panel(&mut ward, 135.0, 93.0, 22.0);
    ward.now += 60;
    panel(&mut ward, 70.0, 97.0, 16.0);
    assert_eq!(
        ward.told(),
        ["60 escalate news2 high active/on", "120 end news2 high inactive/off"]
    );
}

#[test]
fn an_incomplete_score_raises_by_its_lower_bound_and_ends_by_what_it_rested_on() {
    let mut ward = Ward::with(vec![news2()]);
    ward.enroll(1);
    ward.measure(Vital::RespiratoryRate, 26.0);
    assert_eq!(ward.told(), ["0 start news2 low active/on"], "a single 3");
    assert_eq!(ward.open().score.expect("a score").missing.len(), 6);
    ward.now += 60;
    ward.measure(Vital::RespiratoryRate, 16.0);
    assert_eq!(ward.told(), ["60 end news2 low inactive/off"], "a wearable knows no more");
}

#[test]
fn what_is_missing_of_a_score_ends_nothing_for_it_may_be_what_was_wrong() {
    let mut ward = Ward::with(vec![news2()]);
    ward.enroll(1);
    ward.measure(Vital::Spo2, 85.0);
    ward.now += 60;
    ward.measure(Vital::RespiratoryRate, 26.0);
    ward.now += 700;
    ward.measure(Vital::RespiratoryRate, 16.0);
    let told = ward.told();
    assert_eq!(
        told.last().map(String::as_str),
        Some("600 indeterminate news2 medium indeterminate/on")
    );
    assert!(!told.iter().any(|line| line.contains(" end ")), "{told:#?}");
    ward.measure(Vital::Spo2, 97.0);
    assert_eq!(ward.told(), ["760 end news2 medium inactive/off"]);
}

#[test]
fn a_score_noted_once_stands_and_raises_when_its_delay_has_passed() {
    let mut rule = news2();
    if let RuleKind::Score(score) = &mut rule.kind {
        score.delay = Duration::from_secs(60);
    }
    let mut ward = Ward::with(vec![rule]);
    ward.enroll(1);
    panel(&mut ward, 115.0, 93.0, 22.0);
    ward.wait(300);
    assert_eq!(ward.told()[0], "60 start news2 medium active/on");
}

#[test]
fn a_rule_that_is_new_looks_at_what_devices_have_said_already() {
    let mut ward = Ward::with(vec![]);
    ward.enroll(1);
    ward.status(1, &status(10));
    ward.now += 5;
    ward.put_default(vec![technical(TechnicalCondition::BatteryLow(20), 0)]);
    ward.wait(1);
    assert_eq!(ward.told(), ["5 start technical low active/on"]);
}

#[test]
fn a_parameter_that_becomes_too_old_makes_the_score_indeterminate() {
    let mut ward = Ward::with(vec![news2()]);
    ward.enroll(1);
    panel(&mut ward, 115.0, 92.0, 22.0);
    ward.told();
    ward.wait(700);
    let told: Vec<_> =
        ward.told().into_iter().filter(|line| line.contains("indeterminate")).collect();
    assert_eq!(told, ["600 indeterminate news2 medium indeterminate/on"]);
}

#[test]
fn a_score_is_refused_under_16_and_in_pregnancy() {
    for (age_group, pregnancy) in
        [(AgeGroup::Child, Pregnancy::Unknown), (AgeGroup::Adult, Pregnancy::Pregnant)]
    {
        let mut ward = Ward::with(vec![news2()]);
        ward.enroll(1);
        panel(&mut ward, 115.0, 93.0, 22.0);
        let eligibility = Eligibility { age_group, pregnancy };
        ward.done(Action::UpdatePatient { patient: patient(1), eligibility, expected: None });
        assert_eq!(ward.told()[1..], ["0 close news2 medium inactive/off"]);
        ward.now += 60;
        panel(&mut ward, 140.0, 80.0, 30.0);
        assert_eq!(ward.told(), [""; 0]);
    }
}

#[test]
fn a_sensor_that_is_off_is_a_technical_alert_after_its_delay() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::SensorOff, 60)]);
    ward.enroll_measuring(1, &[(Vital::Spo2, 10)]);
    for _ in 0..8 {
        ward.now += 10;
        let reading = absent(Vital::Spo2, ward.now, proto::AbsentReason::SensorOff);
        ward.send_readings(1, vec![reading]);
    }
    assert_eq!(ward.told(), ["70 start technical low active/on"]);
    assert_eq!(ward.open().onset, Timestamp::from_seconds(BEGIN + 10));
    ward.measure_all(Vital::Spo2, 10, &[97.0]);
    assert_eq!(ward.told(), ["90 end technical low inactive/off"]);
}

#[test]
fn a_battery_that_wavers_at_its_limit_does_not_flap() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::BatteryLow(20), 0)]);
    ward.enroll(1);
    for percent in [21, 19, 21, 19, 24, 25] {
        ward.now += 60;
        ward.status(1, &status(percent));
    }
    assert_eq!(
        ward.told(),
        ["120 start technical low active/on", "360 end technical low inactive/off"]
    );
}

fn status(percent: u32) -> proto::DeviceStatus {
    proto::DeviceStatus {
        online: true,
        battery_percent: Some(percent),
        ..proto::DeviceStatus::default()
    }
}

#[test]
fn a_clock_that_is_off_either_way_is_a_fault() {
    for skew in [40, -40] {
        let mut ward = Ward::with(vec![technical(TechnicalCondition::ClockFault, 0)]);
        ward.enroll(1);
        let send = |ward: &mut Ward, skew: i64| {
            ward.now += 10;
            let sent_at = prost_types::Timestamp { seconds: ward.now + skew, nanos: 0 };
            let readings = vec![measured(Vital::HeartRate, ward.now, 70.0)];
            let first = ward.sequence;
            ward.sequence += 1;
            let batch = proto::ReadingBatch { sent_at: Some(sent_at), ..numbered(first, readings) };
            ward.publish(1, &batch);
        };
        for _ in 0..5 {
            send(&mut ward, skew);
        }
        let at = if skew > 0 { 10 } else { 50 };
        assert_eq!(ward.told(), [format!("{at} start technical low active/on")]);
        send(&mut ward, 0);
        assert_eq!(ward.told(), ["60 end technical low inactive/off"]);
    }
}

#[test]
fn a_last_will_of_an_older_boot_is_ignored() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::DeviceOffline, 0)]);
    ward.enroll(1);
    let boot =
        |boot_id, online| proto::DeviceStatus { boot_id, online, ..proto::DeviceStatus::default() };
    ward.status(1, &boot(2, true));
    ward.status(1, &boot(1, false));
    assert_eq!(ward.told(), [""; 0]);
    ward.now += 5;
    ward.status(1, &boot(2, false));
    ward.status(1, &boot(2, false));
    ward.now += 5;
    ward.status(1, &boot(3, true));
    assert_eq!(
        ward.told(),
        ["5 start technical low active/on", "10 end technical low inactive/off"]
    );
}

#[test]
fn a_call_for_help_raises_at_once_and_waits_to_be_answered() {
    let sos = AssertedRule { event: DeviceEvent::Sos, priority: Priority::High };
    let rule =
        Rule { latching_from: Some(Priority::High), ..rule_of("sos", RuleKind::Asserted(sos)) };
    let mut ward = Ward::with(vec![rule]);
    ward.enroll(1);
    let assert = |event: Option<proto::DeviceEvent>| proto::DeviceStatus {
        online: true,
        event: event.map(|event| event as i32),
        ..proto::DeviceStatus::default()
    };
    ward.status(1, &assert(Some(proto::DeviceEvent::Fall)));
    assert_eq!(ward.told(), [""; 0]);
    ward.now += 5;
    ward.status(1, &assert(Some(proto::DeviceEvent::Sos)));
    ward.status(1, &proto::DeviceStatus::default());
    assert_eq!(ward.told(), ["5 start sos high active/on"], "a Last Will takes nothing back");
    ward.now += 5;
    ward.status(1, &assert(None));
    assert_eq!(ward.told(), ["10 end sos high inactive/latched"]);
}

#[test]
fn a_score_whose_rule_lets_it_keep_less_is_indeterminate_at_once() {
    let with_max_age = |seconds| {
        let RuleKind::Score(score) = news2().kind else { unreachable!("news2 is a score") };
        let max_ages = vec![(Vital::HeartRate, Duration::from_secs(seconds))];
        rule_of("news2", RuleKind::Score(ScoreRule { max_ages, ..score }))
    };
    let mut ward = Ward::with(vec![with_max_age(7200)]);
    ward.enroll(1);
    panel(&mut ward, 135.0, 93.0, 22.0);
    ward.wait(3000);
    ward.told();
    ward.put_default(vec![with_max_age(600)]);
    let told = ward.told();
    assert!(told.iter().any(|line| line.contains("indeterminate")), "{told:?}");
}
