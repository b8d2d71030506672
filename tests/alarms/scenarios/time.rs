//! Event time: readings in time, delayed, late, doubled; and data that stops.

use pulseward::engine::profile::{Rule, Side};
use pulseward::vitals::{Priority, Vital};

use super::{Scenario, level, limit, seconds, silence};
use crate::story::Story;

pub(super) const ALL: &[Scenario] = &[
    ("delayed", delayed),
    ("late", late),
    ("late-too-old", too_old),
    ("late-handed-on", handed_on),
    ("late-and-live", late_and_live),
    ("duplicates", duplicates),
    ("clock-ahead", clock_ahead),
    ("data-loss", data_loss),
    ("data-loss-fast", data_loss_fast),
];

/// Heart rate over 130 for 3 min is medium; a value a minute.
fn rule() -> Rule {
    let levels = vec![level(Priority::Medium, 130, 125, (180, 90))];
    limit("hr-high", Vital::HeartRate, Side::Above, levels, 0)
}

fn monitor(rule: Rule) -> Story {
    let mut story = Story::new(60, vec![rule]);
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story
}

fn delayed() -> Story {
    let mut story = monitor(rule());
    story.play(Vital::HeartRate, "80 80 80");
    story.skip(7);
    story.catch_up(Vital::HeartRate, 180, "140 140 140 140", false);
    story.next();
    story.catch_up(Vital::HeartRate, 420, "80 80", false);
    story.skip(2);
    story.play(Vital::HeartRate, "80 80");
    story
}

fn late() -> Story {
    let mut story = monitor(rule());
    story.play(Vital::HeartRate, "80 80 80");
    story.skip(9);
    story.play(Vital::HeartRate, "80 80");
    story.catch_up(Vital::HeartRate, 180, "80 140 140 140 140 140 80 80 80", true);
    story.play(Vital::HeartRate, "80 80 80");
    story
}

fn too_old() -> Story {
    let rule = Rule { actionable_for: seconds(300), ..rule() };
    let mut story = monitor(rule);
    story.play(Vital::HeartRate, "80 80 80");
    story.skip(13);
    story.catch_up(Vital::HeartRate, 180, "80 140 140 140 140 140 80", false);
    story.skip(3);
    story
}

fn handed_on() -> Story {
    let mut story = monitor(rule());
    story.play(Vital::HeartRate, "80 80 80");
    story.skip(7);
    story.catch_up(Vital::HeartRate, 240, "140 140 140 140 140 140", true);
    story.play(Vital::HeartRate, "140 140 80 80");
    story
}

fn late_and_live() -> Story {
    let mut story = monitor(rule());
    story.play(Vital::HeartRate, "80 140 140 140 140 . . . . 140");
    story.catch_up(Vital::HeartRate, 300, "80 80 80 80", true);
    story.play(Vital::HeartRate, "140 140 80 80");
    story
}

fn duplicates() -> Story {
    let mut story = monitor(rule());
    for _ in 0..4 {
        story.measure(1, Vital::HeartRate, "140");
        story.repeat_last(Vital::HeartRate, "140");
        story.next();
    }
    story.play(Vital::HeartRate, "80 80");
    story
}

fn clock_ahead() -> Story {
    let mut story = Story::new(10, vec![rule()]);
    story.wear(1, &[(Vital::HeartRate, 10)]);
    story.play(Vital::HeartRate, "80 80");
    story.say("a reading of 30 s ahead is taken");
    story.catch_up(Vital::HeartRate, 50, "80", false);
    story.next();
    story.say("and one of 40 s ahead is not");
    story.catch_up(Vital::HeartRate, 70, "80", false);
    story.skip(7);
    story
}

fn data_loss() -> Story {
    let mut story = Story::new(60, vec![rule(), silence(Vital::HeartRate, 3, 0)]);
    story.tells_monitoring = true;
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.play(Vital::HeartRate, "80 140 140 140 140 140");
    story.skip(8);
    story.play(Vital::HeartRate, "140 140 80 80");
    story
}

fn data_loss_fast() -> Story {
    let levels = vec![level(Priority::Medium, 130, 125, (3, 2))];
    let rule = limit("hr-high", Vital::HeartRate, Side::Above, levels, 0);
    let mut story = Story::new(1, vec![rule, silence(Vital::HeartRate, 3, 120)]);
    story.tells_monitoring = true;
    story.wear(1, &[(Vital::HeartRate, 1)]);
    story.play(Vital::HeartRate, "80 140 140 140 140 140 140 . . . . . 140 140 140 80 80");
    story
}
