//! Files there and back, what is refused with its line, and the profiles that ship.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::profile::{Eligibility, Score, SpO2Scale, arbitrary, not_monitored, span::Span};
use crate::vitals::Vital;

fn own(text: &str) -> Result<Profile, Violations> {
    parse("x.toml", text, OwnerKind::Patient)
}

fn check(text: &str, expected: &[&str]) {
    let found = own(text).expect_err("wrong").to_string();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{text}");
}

proptest! {
    #[test]
    fn every_valid_profile_comes_back_from_its_file_as_it_was(profile in arbitrary::profile()) {
        let text = write(&profile);
        prop_assert_eq!(own(&text), Ok(profile), "{}", text);
    }
}

const LIMIT: &str = "\
[[rules]]
id = \"hr\"
kind = \"limit\"
vital = \"heart_rate\"
side = \"above\"
[[rules.levels]]
priority = \"high\"
limit = 150.5
spot = { n = 2, of = 3, within = \"10 min\" }
";

#[test]
fn what_is_left_out_means_what_it_means_on_the_wire() {
    let profile = own(LIMIT).expect("valid");
    let [rule] = &profile.rules[..] else { panic!("one rule") };
    assert_eq!(rule.actionable_for, Duration::from_secs(600));
    let RuleKind::Limit(limit) = &rule.kind else { panic!("a limit rule") };
    assert_eq!(limit.levels[0].clear_limit, limit.levels[0].limit);
    assert!(!limit.covers_pulse_rate && limit.clear_delay.is_zero());
}

#[test]
fn a_misspelt_key_or_name_is_named_with_its_line_and_the_nearest_known_one() {
    for (right, wrong, expected) in [
        (
            "side =",
            "sides =",
            &[
                "x.toml:1:1: rules[hr].side: required",
                "x.toml:5:1: rules[hr].sides: unknown key; did you mean side?",
            ][..],
        ),
        (
            "heart_rate",
            "hart_rate",
            &["x.toml:4:1: rules[hr].vital: \"hart_rate\" is not known; did you mean heart_rate?"],
        ),
        (
            "\"limit\"",
            "\"limits\"",
            &["x.toml:3:1: rules[hr].kind: \"limits\" is not known; did you mean limit?"],
        ),
        (
            "priority =",
            "prio =",
            &[
                "x.toml:6:1: rules[hr].levels[0].priority: required",
                "x.toml:7:1: rules[hr].levels[0].prio: unknown key; did you mean priority?",
            ],
        ),
        (
            "of = 3",
            "off = 3",
            &[
                "x.toml:9:1: rules[hr].levels[0].spot.of: required",
                "x.toml:9:17: rules[hr].levels[0].spot.off: unknown key; did you mean of?",
            ],
        ),
    ] {
        check(&LIMIT.replace(right, wrong), expected);
    }
    check(
        &LIMIT.replace("[[rules]]", "[[rule]]").replace("[[rules.", "[[rule."),
        &["x.toml:1:3: rule: unknown key; did you mean rules?"],
    );
}

#[test]
fn a_value_of_the_wrong_kind_or_meaning_is_named_with_its_line() {
    for (right, wrong, expected) in [
        (
            "10 min",
            "10",
            "x.toml:9:25: rules[hr].levels[0].spot.within: \"10\" is not a duration, such as \
             \"30s\", \"5m\" or \"24h\"",
        ),
        ("n = 2", "n = 4", "x.toml:9:10: rules[hr].levels[0].spot.n: 4 of 3; 1 to 3"),
        (
            "150.5",
            "900",
            "x.toml:8:1: rules[hr].levels[0].limit: 900 is no heart_rate; 0 to 350 /min",
        ),
        (
            "\"hr\"",
            "\"pulseward.hr\"",
            "x.toml:2:1: rules[pulseward.hr].id: ids that begin with pulseward. are the service's \
             own",
        ),
    ] {
        let text = LIMIT.replace(right, wrong);
        let found = own(&text).expect_err("wrong").to_string();
        assert!(found.lines().any(|line| line == expected), "{expected}\n{found}");
    }
    let twice = format!("{LIMIT}{LIMIT}");
    check(&twice, &["x.toml:11:1: rules[hr].id: a second rule with this id; a rule stands once"]);
    check("rules = 3", &["x.toml:1:1: rules: not a list of tables"]);
    check("rules = [3]", &["x.toml:1:10: rules[0]: not a table"]);
    assert!(own("rules = ").is_err(), "no TOML");
}

/// What a ward measures, and how often.
fn ward() -> Vec<(Vital, Option<Duration>)> {
    let every = |vital, seconds| (vital, Some(Duration::from_secs(seconds)));
    vec![
        every(Vital::HeartRate, 1),
        every(Vital::PulseRate, 1),
        every(Vital::Spo2, 1),
        every(Vital::RespiratoryRate, 15),
        every(Vital::SystolicPressure, 4 * 3600),
        every(Vital::BodyTemperature, 300),
        every(Vital::BloodGlucose, 300),
        every(Vital::Weight, 86_400),
        (Vital::OxygenFlow, None),
        (Vital::Consciousness, None),
    ]
}

#[test]
fn every_rule_of_the_default_profile_can_fire_on_a_ward() {
    for rule in &adult().rules {
        assert_eq!(not_monitored(rule, &ward(), Eligibility::default()), None, "{}", rule.id);
    }
}

#[test]
fn every_limit_of_the_default_profile_can_fire_also_on_slow_devices() {
    for interval in [1, 15, 60, 300, 900, 4 * 3600, 86_400] {
        let interval = Some(Duration::from_secs(interval));
        let devices: Vec<_> = ward().into_iter().map(|(vital, _)| (vital, interval)).collect();
        for rule in &adult().rules {
            let reason = not_monitored(rule, &devices, Eligibility::default());
            assert_eq!(reason, None, "{} every {:?}", rule.id, interval.map(Span));
        }
    }
}

#[test]
fn the_profile_for_a_target_of_88_to_92_replaces_rules_of_the_default_one() {
    let parse = |owner| parse("target.toml", ADULT_TARGET_88_92, owner);
    let profile = parse(OwnerKind::Patient).expect("valid as a patient's own");
    assert!(parse(OwnerKind::Everyone).is_err(), "scale 2 is a decision for one patient");
    for rule in &profile.rules {
        assert!(adult().rules.iter().any(|wide| wide.id == rule.id), "{}", rule.id);
    }
    let scale = profile.rules.iter().find_map(|rule| match &rule.kind {
        RuleKind::Score(rule) => Some(rule.score),
        _ => None,
    });
    assert_eq!(scale, Some(Score::News2(SpO2Scale::Two)));
}

#[test]
fn what_ships_says_that_it_needs_signing_off() {
    for text in [ADULT, ADULT_TARGET_88_92] {
        let head: Vec<_> = text.lines().take(6).collect();
        assert!(head.join(" ").contains("BEFORE A CLINICAL OWNER HAS SIGNED IT OFF"), "{head:?}");
    }
}

#[test]
fn a_difference_shows_what_comes_and_what_goes_and_nothing_else() {
    let before = own(LIMIT).expect("valid");
    let after = own(&LIMIT.replace("150.5", "140").replace("10 min", "1 h")).expect("valid");
    assert_eq!(summary::difference(&before, &before), "");
    assert_eq!(
        summary::difference(&before, &after),
        "- hr: heart_rate above a limit\n\
         -     high above 150.5 /min, clears at 150.5: 2 of 3 readings within 10 min\n\
         + hr: heart_rate above a limit\n\
         +     high above 140 /min, clears at 140: 2 of 3 readings within 1 h\n",
    );
    let none = Profile::default();
    assert!(summary::difference(&none, &after).lines().all(|line| line.starts_with("+ ")));
}

proptest! {
    #[test]
    fn rules_that_differ_read_differently(
        before in arbitrary::profile(),
        after in arbitrary::profile(),
    ) {
        for (one, other) in before.rules.iter().zip(&after.rules) {
            let words = |rule: &crate::engine::profile::Rule| {
                summary::summary(&Profile { rules: vec![rule.clone()] })
            };
            prop_assert_eq!(one == other, words(one) == words(other));
        }
    }
}
