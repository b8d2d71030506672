//! From readings to a condition: delays, gaps, levels, repeats, and values that are doubted.

use pulseward::engine::profile::Side;
use pulseward::vitals::{Priority, Vital};

use super::{DAY, Scenario, level, limit, spo2, spo2_levels, spot};
use crate::story::Story;

pub(super) const ALL: &[Scenario] = &[
    ("sustained", sustained),
    ("sustained-gap", sustained_gap),
    ("sustained-absent", sustained_absent),
    ("sustained-back", sustained_back),
    ("levels", levels),
    ("hysteresis", hysteresis),
    ("spot", spot_confirmed),
    ("spot-clear", spot_clear),
    ("two-forms", two_forms),
    ("implausible", implausible),
    ("unconfirmed", unconfirmed),
    ("doubted", doubted),
    ("two-devices", two_devices),
];

/// SpO2 every 5 s, a column each.
fn oximeter(rule: pulseward::engine::profile::Rule) -> Story {
    let mut story = Story::new(5, vec![rule]);
    story.wear(1, &[(Vital::Spo2, 5)]);
    story
}

fn sustained() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 95 89 88 88 87 88 88 88 88 88 93 94 95 95 96 96 96");
    story
}

fn sustained_gap() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 89 88 . 88 88 . . 88 88 88 88 88 88 88 88 88");
    story
}

fn sustained_absent() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 89 88 88 88 88 xe 88 88 88 88 88 88 88 88 88");
    story
}

fn sustained_back() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 89 88 88 88 88 91 88 88 88 88 88 88 88 88 88");
    story
}

fn levels() -> Story {
    let mut story = oximeter(spo2_levels());
    story.play(
        Vital::Spo2,
        "96 89 88 88 88 88 88 88 88 84 83 83 83 83 83 86 87 88 88 88 88 91 92 93 93 93 95 95",
    );
    story
}

fn hysteresis() -> Story {
    let mut story = oximeter(spo2());
    story.play(
        Vital::Spo2,
        "89 89 89 89 89 89 89 90 91 89 90 91 91 89 92 92 91 92 93 89 92 92 92 92 93 93",
    );
    story
}

fn spot_confirmed() -> Story {
    let levels = vec![spot(Priority::Medium, 180, 175, (2, 3, 6 * 3600))];
    let rule = limit("pressure-high", Vital::SystolicPressure, Side::Above, levels, 0);
    let mut story = Story::wide(3600, 5, vec![rule]);
    story.wear(1, &[(Vital::SystolicPressure, 3600)]);
    story.play(Vital::SystolicPressure, "150 185 160 190 178 186 170 185 . . . . . 190 184");
    story
}

fn spot_clear() -> Story {
    let levels = vec![spot(Priority::High, 85, 87, (1, 1, 26 * 3600))];
    let mut story = Story::wide(
        DAY.cast_signed(),
        6,
        vec![limit("spo2-low", Vital::Spo2, Side::Below, levels, 15)],
    );
    story.wear(1, &[(Vital::Spo2, DAY)]);
    story.play(Vital::Spo2, "96 84 95 96 96");
    story
}

fn two_forms() -> Story {
    let both = |level: pulseward::engine::profile::Level, n| pulseward::engine::profile::Level {
        spot: spot(Priority::Low, 0, 0, (n, n, 26 * 3600)).spot,
        ..level
    };
    let levels = vec![
        both(level(Priority::Low, 92, 94, (120, 90)), 2),
        both(level(Priority::Medium, 90, 92, (30, 10)), 2),
        both(level(Priority::High, 85, 87, (15, 10)), 1),
    ];
    let mut story =
        Story::wide(60, 4, vec![limit("spo2-low", Vital::Spo2, Side::Below, levels, 15)]);
    story.wear(1, &[(Vital::Spo2, 60)]);
    story.play(Vital::Spo2, "96 91 91 91 91 95 95 96 89 89 95 95 96 84 95 95 96");
    story
}

fn implausible() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 89 88 88 40 88 88 88 88 88 93 40 93 93 93 93 95 95");
    story
}

fn unconfirmed() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 96 40 96 45 96 42 42 96 96 89 93 94 94 95 95");
    story
}

fn doubted() -> Story {
    let mut story = oximeter(spo2());
    story.play(Vital::Spo2, "96 89 88 ~97 88 88 ~97 ~97 88 88 88 88 88 88 88 88");
    story
}

fn two_devices() -> Story {
    let mut story = oximeter(spo2_levels());
    story.create_device(2);
    story.bind(2, 1, &[(Vital::Spo2, 5)], 0);
    let first = "96 89 88 88 88 88 88 88 88 88 88 88 88 88 93 93 93 93 93 93 93 93 93 93 93";
    let second = "96 96 96 96 96 96 96 96 96 84 84 84 84 84 88 88 88 88 88 93 93 93 93 93 93";
    story.play_all(&[(1, Vital::Spo2, first), (2, Vital::Spo2, second)]);
    story
}
