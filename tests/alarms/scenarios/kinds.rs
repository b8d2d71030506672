//! The other kinds of rules: trend, baseline, score, silence, faults.

use pulseward::engine::input::Action;
use pulseward::engine::profile::{
    AgeGroup, AssertedRule, BaselineLevel, BaselineRule, Eligibility, Pregnancy, Rule, RuleKind,
    Score, ScoreLevel, ScoreRule, Side, SpO2Scale, Sustained, TechnicalCondition, TrendLevel,
    TrendRule,
};
use pulseward::proto::v1 as proto;
use pulseward::vitals::{DeviceEvent, Priority, Quantity, Vital};

use super::{DAY, Scenario, rule_of, seconds, silence, technical};
use crate::story::{Story, patient};

pub(super) const ALL: &[Scenario] = &[
    ("trend", trend),
    ("baseline", baseline),
    ("news2", news2_complete),
    ("news2-delay", news2_delay),
    ("news2-incomplete", news2_incomplete),
    ("news2-old", news2_old),
    ("news2-refused", news2_refused),
    ("silence", silent),
    ("silence-never", silent_never),
    ("silence-upload", silent_upload),
    ("silence-at-least", silent_at_least),
    ("sensor-off", sensor_off),
    ("battery", battery),
    ("offline", offline),
    ("asserted", asserted),
];

fn trend() -> Story {
    let level = TrendLevel {
        priority: Priority::Medium,
        delta: Quantity::whole(2),
        clear_delta: Quantity::whole(1),
    };
    let rule = TrendRule {
        vital: Vital::Weight,
        direction: Side::Above,
        window: seconds(74 * 3600),
        levels: vec![level],
        readings_min: 2,
    };
    let mut story =
        Story::wide(DAY.cast_signed(), 7, vec![rule_of("weight-gain", RuleKind::Trend(rule))]);
    story.wear(1, &[(Vital::Weight, DAY)]);
    story.play(Vital::Weight, "80.0 80.4 81.2 82.5 82.6 82.6 82.6 82.4 82.5");
    story
}

fn baseline() -> Story {
    let level = BaselineLevel {
        priority: Priority::Low,
        z: Quantity::whole(4),
        clear_z: Quantity::whole(2),
        sustained: Sustained { delay: seconds(180), max_gap: seconds(90) },
    };
    let rule = BaselineRule {
        vital: Vital::HeartRate,
        side: Side::Above,
        history: seconds(DAY),
        readings_min: 60,
        spread_min: Quantity::whole(2),
        levels: vec![level],
        clear_delay: seconds(120),
    };
    let mut story = Story::wide(60, 4, vec![rule_of("hr-unusual", RuleKind::Baseline(rule))]);
    story.wear(1, &[(Vital::HeartRate, 60)]);
    for minute in 0..120 {
        story.play(Vital::HeartRate, ["60", "61", "62", "63", "64"][minute % 5]);
    }
    story.begin_here();
    story.say("two hours at 60 to 64 went before");
    story.play(Vital::HeartRate, "62 63 80 62 78 79 80 80 80 72 70 68 66 63 62 62");
    story
}

fn news2() -> Rule {
    let level = |priority, total| ScoreLevel { priority, total, clear_total: total - 1 };
    let rule = ScoreRule {
        score: Score::News2(SpO2Scale::One),
        levels: vec![level(Priority::Medium, 5), level(Priority::High, 7)],
        single_parameter_priority: Some(Priority::Medium),
        max_ages: vec![(Vital::RespiratoryRate, seconds(3600))],
        delay: seconds(60),
        clear_delay: seconds(15 * 60),
    };
    rule_of("news2", RuleKind::Score(rule))
}

/// A patient whose vitals are noted by hand: no intervals are expected.
fn chart(step: i64) -> Story {
    let mut story = Story::wide(step, 6, vec![news2()]);
    story.wear(1, &[]);
    story
}

/// What is measured by hand once and not looked at any more, all normal.
fn rest_of_the_panel(story: &mut Story) {
    for (vital, word) in [
        (Vital::OxygenFlow, "0"),
        (Vital::SystolicPressure, "120"),
        (Vital::Consciousness, "A"),
        (Vital::BodyTemperature, "37"),
    ] {
        story.measure(1, vital, word);
    }
}

fn news2_complete() -> Story {
    let mut story = chart(300);
    rest_of_the_panel(&mut story);
    story.play_all(&[
        (1, Vital::RespiratoryRate, "16 22 22 22 25 22 22 16 16 16 16 16"),
        (1, Vital::Spo2, "97 93 93 93 93 93 93 96 96 96 96 96"),
        (1, Vital::HeartRate, "80 95 95 95 95 95 95 80 80 80 80 80"),
    ]);
    story
}

fn news2_delay() -> Story {
    let mut story = chart(3600);
    rest_of_the_panel(&mut story);
    story.play_all(&[
        (1, Vital::RespiratoryRate, ". 26 . . 26 . ."),
        (1, Vital::Spo2, ". 91 . . 91 . ."),
        (1, Vital::HeartRate, ". 115 . . 115 . ."),
    ]);
    story
}

fn news2_incomplete() -> Story {
    let mut story = chart(300);
    story.play(Vital::RespiratoryRate, "16 26 26 16 16 16 16");
    story.say("all others are noted by hand, and normal");
    rest_of_the_panel(&mut story);
    story.play_all(&[
        (1, Vital::RespiratoryRate, "16 16 16 16 16"),
        (1, Vital::Spo2, "97 97 97 97 97"),
        (1, Vital::HeartRate, "80 80 80 80 80"),
    ]);
    story
}

fn news2_old() -> Story {
    let mut story = chart(1200);
    rest_of_the_panel(&mut story);
    story.play_all(&[
        (1, Vital::RespiratoryRate, "22 22 . . . . 16 16 16"),
        (1, Vital::Spo2, "93 93 93 93 93 93 97 97 97"),
        (1, Vital::HeartRate, "95 95 95 95 95 95 80 80 80"),
    ]);
    story
}

fn news2_refused() -> Story {
    let mut story = chart(300);
    rest_of_the_panel(&mut story);
    let rows = |story: &mut Story| {
        story.play_all(&[
            (1, Vital::RespiratoryRate, "22 22 26"),
            (1, Vital::Spo2, "93 93 91"),
            (1, Vital::HeartRate, "95 95 115"),
        ]);
    };
    rows(&mut story);
    let eligibility = Eligibility { age_group: AgeGroup::Adult, pregnancy: Pregnancy::Pregnant };
    story.say("somebody notes that the patient is pregnant");
    story.done(Action::UpdatePatient { patient: patient(1), eligibility, expected: None });
    rows(&mut story);
    story
}

fn silent() -> Story {
    let mut story = Story::new(60, vec![silence(Vital::Spo2, 3, 0)]);
    story.tells_monitoring = true;
    story.wear(1, &[(Vital::Spo2, 60)]);
    story.play(Vital::Spo2, "96 96 96 . . . . . . 96 96 xe xe xe xe xe 96");
    story
}

fn silent_never() -> Story {
    let mut story = Story::new(60, vec![silence(Vital::Spo2, 3, 0)]);
    story.wear(1, &[(Vital::Spo2, 60)]);
    story.skip(8);
    story
}

fn silent_upload() -> Story {
    let mut story = Story::new(60, vec![silence(Vital::Spo2, 3, 0)]);
    story.wear_uploading(1, &[(Vital::Spo2, 60)], 600);
    story.skip(10);
    story.catch_up(Vital::Spo2, 60, "96 96 96 96 96 96 96 96 96", false);
    story.skip(16);
    story
}

fn silent_at_least() -> Story {
    let mut story = Story::new(5, vec![silence(Vital::Spo2, 3, 120)]);
    story.wear(1, &[(Vital::Spo2, 5)]);
    story.play(Vital::Spo2, "96 96 96 . . . . . . . . 96 96");
    story.skip(30);
    story
}

fn sensor_off() -> Story {
    let rule = technical("sensor-off", TechnicalCondition::SensorOff, Priority::Medium, 60);
    let mut story = Story::new(10, vec![rule]);
    story.wear(1, &[(Vital::Spo2, 10)]);
    story.play(Vital::Spo2, "96 96 x x x 96 96 x 0 x x x x x x x 96 96");
    story
}

fn battery() -> Story {
    let rule = technical("battery-low", TechnicalCondition::BatteryLow(20), Priority::Low, 0);
    let mut story = Story::new(600, vec![rule]);
    story.wear(1, &[(Vital::Spo2, 60)]);
    for percent in [22, 21, 20, 19, 20, 22, 24, 25, 60] {
        story.say(&format!("the device says {percent} %"));
        let battery_percent = Some(percent);
        story.status(
            1,
            &proto::DeviceStatus { online: true, battery_percent, ..Default::default() },
        );
        story.next();
    }
    story
}

fn offline() -> Story {
    let rule =
        technical("device-offline", TechnicalCondition::DeviceOffline, Priority::Medium, 120);
    let mut story = Story::new(30, vec![rule]);
    story.wear(1, &[(Vital::Spo2, 60)]);
    for (is_online, columns) in [(true, 2), (false, 2), (true, 2), (false, 8), (true, 2)] {
        story.say(if is_online { "the device is connected" } else { "its Last Will arrives" });
        story.status(1, &proto::DeviceStatus { online: is_online, ..Default::default() });
        story.skip(columns);
    }
    story
}

fn asserted() -> Story {
    let rule = AssertedRule { event: DeviceEvent::Sos, priority: Priority::High };
    let rule = rule_of("sos", RuleKind::Asserted(rule));
    let mut story = Story::new(30, vec![Rule { latching_from: Some(Priority::High), ..rule }]);
    story.wear(1, &[(Vital::Spo2, 60)]);
    let event = |event| proto::DeviceStatus { online: true, event, ..Default::default() };
    story.next();
    story.say("the patient presses the button");
    story.status(1, &event(Some(proto::DeviceEvent::Sos as i32)));
    story.skip(2);
    story.say("the next status says nothing of it");
    story.status(1, &event(None));
    story.skip(4);
    story.reset("");
    story.skip(2);
    story
}
