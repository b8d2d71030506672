//! What people do with alerts, and what time does with those that nobody answers.

use pulseward::engine::input::AlertAction;
use pulseward::engine::profile::{Rule, RuleKind};
use pulseward::vitals::{Priority, Quantity, Vital};

use super::{Scenario, heart_rate, passed_on};
use crate::story::Story;

pub(super) const ALL: &[Scenario] = &[
    ("acknowledge", acknowledge),
    ("acknowledge-escalated", escalated),
    ("pause", pause),
    ("pause-patient", pause_patient),
    ("reminders", reminders),
    ("latching", latching),
    ("latching-falls", latching_falls),
    ("latching-answered", latching_answered),
    ("latched-again", latched_again),
    ("notes", notes),
    ("limit-changed", limit_changed),
    ("rule-removed", rule_removed),
];

/// A heart rate each minute.
fn monitor(rule: Rule) -> Story {
    let mut story = Story::new(60, vec![rule]);
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story
}

fn acknowledge() -> Story {
    let mut story = monitor(passed_on(heart_rate(), Priority::Medium, 600));
    story.play(Vital::HeartRate, "80 140 140");
    story.acknowledge("");
    story.play(Vital::HeartRate, "140 140 140 140 140 140 140 140 140 140 140 140 80 80");
    story.play(Vital::HeartRate, "140 140");
    story
}

fn escalated() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 140 140");
    story.acknowledge("");
    story.play(Vital::HeartRate, "140 160");
    story.say("somebody still looks at what they saw before, and acknowledges");
    story.acknowledge_as_of("", 1);
    story.play(Vital::HeartRate, "160");
    story.acknowledge("");
    story.play(Vital::HeartRate, "160 140 140 160 160 80");
    story
}

fn pause() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 140 140");
    story.pause("", 300);
    story.play(Vital::HeartRate, "140 140 140 140 140 140 140");
    story.pause("", 300);
    story.play(Vital::HeartRate, "140 160 160 80");
    story.reset("");
    story.next();
    story
}

fn pause_patient() -> Story {
    let mut story = monitor(heart_rate());
    story.tells_monitoring = true;
    story.play(Vital::HeartRate, "80 140 140");
    story.pause_patient(480);
    story.play(Vital::HeartRate, "140 80 80 160");
    story.say("the pause is made longer");
    story.pause_patient(720);
    story.play(Vital::HeartRate, "160 160 160 160 160 160 160");
    story
}

fn reminders() -> Story {
    let mut story = monitor(passed_on(heart_rate(), Priority::Medium, 300));
    story.play(Vital::HeartRate, "80 140");
    story.play(Vital::HeartRate, &"140 ".repeat(22));
    story
}

fn latching() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 160 160 80 80 80");
    story.acknowledge("");
    story.next();
    story.reset("");
    story.play(Vital::HeartRate, "80 80");
    story.reset("");
    story
}

fn latching_falls() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 160 160 140 140 80 80");
    story
}

fn latching_answered() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 160 160");
    story.acknowledge("");
    story.play(Vital::HeartRate, "160 80 80");
    story
}

fn latched_again() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 160 160 80 80 140 140 80 80");
    story
}

fn notes() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 140");
    story.work("", AlertAction::Assign { assignee: Some("ben".to_owned()), revision: None });
    story.play(Vital::HeartRate, "140");
    story.work("", AlertAction::AddNote { note: "walked to the ward".to_owned() });
    story.play(Vital::HeartRate, "140 80");
    story
}

fn with_limits(medium: i64, high: i64) -> Rule {
    let mut rule = heart_rate();
    if let RuleKind::Limit(limit) = &mut rule.kind {
        for (level, at) in limit.levels.iter_mut().zip([medium, high]) {
            level.limit = Quantity::whole(at);
            level.clear_limit = Quantity::whole(at - 5);
        }
    }
    rule
}

fn limit_changed() -> Story {
    let mut story = monitor(heart_rate());
    story.play(Vital::HeartRate, "80 140 140");
    story.say("the limits become 145 and 160");
    story.put(vec![with_limits(145, 160)]);
    story.skip(2);
    story.play(Vital::HeartRate, "143 142 139 139");
    story
}

fn rule_removed() -> Story {
    let mut story = monitor(heart_rate());
    story.tells_monitoring = true;
    story.play(Vital::HeartRate, "80 140 140");
    story.say("the profile is put without the rule");
    story.put(Vec::new());
    story.play(Vital::HeartRate, "140 140");
    story
}
