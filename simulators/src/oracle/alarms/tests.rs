//! The stories of `docs/alarms.md`, told to the oracle, and every short story told to a second,
//! more naive reading of the same page.

mod late;

use super::super::profile::{Level, Spot, Sustained};
use super::super::vital::quantity;
use super::*;

const S: Micros = 1_000_000;
const MIN: i64 = 60;

fn level(priority: v1::Priority, limit: f64, clear: f64, delay: i64, max_gap: i64) -> Level {
    Level {
        priority,
        limit: quantity(limit),
        clear_limit: quantity(clear),
        sustained: Some(Sustained { delay: delay * S, max_gap: max_gap * S }),
        spot: None,
    }
}

fn limit(id: &str, vital: v1::Vital, is_above: bool, levels: Vec<Level>, clear: i64) -> Rule {
    let vitals = vec![vital];
    let kind = Kind::Limit(LimitRule { vitals, is_above, levels, clear_delay: clear * S });
    Rule { id: id.into(), actionable_for: 600 * S, kind }
}

fn spo2() -> Rule {
    let medium = level(v1::Priority::Medium, 90.0, 92.0, 30, 10);
    limit("spo2-low", v1::Vital::Spo2, false, vec![medium], 15)
}

fn spo2_levels() -> Rule {
    let medium = level(v1::Priority::Medium, 90.0, 92.0, 30, 10);
    let high = level(v1::Priority::High, 85.0, 87.0, 15, 10);
    limit("spo2-low", v1::Vital::Spo2, false, vec![medium, high], 15)
}

fn heart() -> Rule {
    let medium = level(v1::Priority::Medium, 130.0, 125.0, 3 * MIN, 90);
    limit("hr-high", v1::Vital::HeartRate, true, vec![medium], 0)
}

fn step(vital: v1::Vital, second: i64, worth: Worth) -> Step {
    let at = second * S;
    Step {
        message: u32::try_from(second).expect("after 1970"),
        device: 1,
        measured_at: at,
        vital,
        worth,
        is_doubted: false,
        is_historical: false,
        received: (at, at),
        upload_interval: 0,
        measures_every: Some(S),
    }
}

/// What one word of a story says: a value, `?` an implausible one, `~` a doubted one, `x` none.
fn said(rule: &Rule, second: i64, word: &str) -> Option<Step> {
    let Kind::Limit(limit) = &rule.kind else { unreachable!("limits only") };
    let vital = limit.vitals[0];
    let low = if limit.is_above { 300.0 } else { 42.0 };
    Some(match word {
        "." => return None,
        "x" => step(vital, second, Worth::Absent(2)),
        "?" => step(vital, second, Worth::Implausible(quantity(low))),
        "?ok" => step(
            vital,
            second,
            Worth::Implausible(quantity(if limit.is_above { 5.0 } else { 99.0 })),
        ),
        "~" => {
            let doubted = Worth::Plausible(quantity(88.0));
            Step { is_doubted: true, ..step(vital, second, doubted) }
        }
        value => {
            let value = value.parse().expect("a number");
            step(vital, second, Worth::Plausible(quantity(value)))
        }
    })
}

fn story(rule: &Rule, every: i64, words: &str) -> Vec<Step> {
    let seconds = (0..).map(|place| place * every);
    seconds.zip(words.split(' ')).filter_map(|(at, word)| said(rule, at, word)).collect()
}

/// An alert in short: onset, priorities with their seconds, end, retrospective.
type Short<'a> = (i64, &'a [(v1::Priority, i64)], Option<i64>, bool);

fn check(rule: &Rule, steps: &[Step], expected: &[Short<'_>]) {
    check_handed(rule, steps, &[], expected);
}

fn check_handed(rule: &Rule, steps: &[Step], handovers: &[Handover], expected: &[Short<'_>]) {
    let found = compare(rule, steps, handovers, expected);
    assert!(found.iter().all(|alert| alert.is_certain), "{found:?}");
}

/// What is expected, in short, whether certain or not.
fn compare(
    rule: &Rule,
    steps: &[Step],
    handovers: &[Handover],
    expected: &[Short<'_>],
) -> Vec<ExpectedAlert> {
    let found = expect(&"p".into(), std::slice::from_ref(rule), steps, handovers).alerts;
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(onset, priorities, end, late)| {
            let priorities: Vec<(i32, i64)> =
                priorities.iter().map(|(priority, at)| (i32::from(*priority), *at)).collect();
            (*onset, priorities, *end, *late)
        })
        .collect();
    expected.sort();
    let mut short: Vec<_> = found
        .iter()
        .map(|alert| {
            let priorities =
                alert.priorities.iter().map(|(priority, at)| (*priority, at.as_second())).collect();
            let end = alert.end_at.map(Timestamp::as_second);
            (alert.onset.as_second(), priorities, end, alert.is_retrospective)
        })
        .collect();
    short.sort();
    assert_eq!(short, expected, "{steps:?}");
    found
}

use v1::Priority::{High, Medium};

#[test]
fn a_breach_that_lasts_raises_and_ends_after_the_clear_delay() {
    let words = "96 89 88 88 88 88 88 88 88 88 93 95 95 95 95 95 95";
    check(&spo2(), &story(&spo2(), 5, words), &[(5, &[(Medium, 35)], Some(65), false)]);
    let words = "90 90 90 90 90 90 90 90 90 90";
    check(&spo2(), &story(&spo2(), 5, words), &[]);
    let words = "89 89 89 89 89 89";
    check(&spo2(), &story(&spo2(), 5, words), &[]);
    let words = "89 89 89 89 89 89 89";
    check(&spo2(), &story(&spo2(), 5, words), &[(0, &[(Medium, 30)], None, false)]);
}

#[test]
fn a_gap_an_absence_and_one_value_that_is_not_beyond_begin_the_delay_again() {
    let gap = "96 88 88 . 88 88 . . 88 88 88 88 88 88 88 88 88";
    check(&spo2(), &story(&spo2(), 5, gap), &[(40, &[(Medium, 70)], None, false)]);
    let absent = "96 88 88 88 88 88 x 88 88 88 88 88 88 88 88 88";
    check(&spo2(), &story(&spo2(), 5, absent), &[(35, &[(Medium, 65)], None, false)]);
    let back = "96 88 88 88 88 88 91 88 88 88 88 88 88 88 88 88";
    check(&spo2(), &story(&spo2(), 5, back), &[(35, &[(Medium, 65)], None, false)]);
}

#[test]
fn levels_end_from_the_top_each_by_its_own_clear_limit() {
    let words =
        "96 89 88 88 88 88 88 88 88 84 83 83 83 83 83 86 87 88 88 88 88 91 92 93 93 93 95 95";
    let priorities = [(Medium, 35), (High, 60), (Medium, 95)];
    check(&spo2_levels(), &story(&spo2_levels(), 5, words), &[(5, &priorities, Some(125), false)]);
}

#[test]
fn a_level_that_becomes_active_takes_those_below_it_along() {
    let words = "96 84 84 84 84 86 87 87 87 87 93 93 93 93";
    let priorities = [(High, 20), (Medium, 45)];
    check(&spo2_levels(), &story(&spo2_levels(), 5, words), &[(5, &priorities, Some(65), false)]);
}

#[test]
fn the_onset_is_the_first_value_beyond_any_limit() {
    let words = "96 88 88 84 84 84 84 96";
    check(&spo2_levels(), &story(&spo2_levels(), 5, words), &[(5, &[(High, 30)], None, false)]);
}

#[test]
fn hovering_at_the_limit_is_one_alert() {
    let words = "89 89 89 89 89 89 89 90 91 89 90 91 91 89 92 92 91 92 93 89 92 92 92 92 93 93";
    check(&spo2(), &story(&spo2(), 5, words), &[(0, &[(Medium, 30)], Some(115), false)]);
}

#[test]
fn implausible_values_neither_satisfy_nor_break_a_delay() {
    let words = "96 88 88 88 ? 88 88 88 88 88 96 ? 95 94 93 93 93 93";
    check(&spo2(), &story(&spo2(), 5, words), &[(5, &[(Medium, 35)], Some(65), false)]);
    check(&spo2(), &story(&spo2(), 5, "? ? 96 96 96 96 96"), &[]);
    check(&spo2(), &story(&spo2(), 5, "?ok ?ok ?ok ?ok ?ok"), &[]);
}

#[test]
fn three_of_five_implausible_values_raise_unconfirmed() {
    let words = "96 96 ? 96 ? 96 ? ? 96 96 89 95 95 95 95 95";
    check(&spo2(), &story(&spo2(), 5, words), &[(10, &[(Medium, 30)], Some(70), false)]);
    let found = expect(&"p".into(), &[spo2()], &story(&spo2(), 5, words), &[]);
    assert!(found.alerts[0].is_unconfirmed);
}

#[test]
fn doubted_values_say_that_the_device_is_there_and_the_gap_goes_on() {
    let words = "96 88 88 ~ 88 88 ~ ~ 88 88 88 88 88 88 88 88";
    check(&spo2(), &story(&spo2(), 5, words), &[(40, &[(Medium, 70)], None, false)]);
}

#[test]
fn a_spot_level_asks_for_n_of_the_last_and_has_no_clear_delay() {
    let spot = Level {
        sustained: None,
        spot: Some(Spot { n: 2, of: 3, within: 6 * 3600 * S }),
        ..level(Medium, 180.0, 175.0, 0, 0)
    };
    let rule = limit("pressure", v1::Vital::SystolicPressure, true, vec![spot], 15);
    let words = "150 185 160 190 178 186 170 185 . . . . . 190 184";
    let hour = 3600;
    let first: Short<'_> = (hour, &[(Medium, 3 * hour)], Some(6 * hour), false);
    let second: Short<'_> = (7 * hour, &[(Medium, 13 * hour)], None, false);
    check(&rule, &story(&rule, hour, words), &[first, second]);
}

#[test]
fn one_alert_for_all_devices_the_worst_of_them_counts() {
    let rule = spo2_levels();
    let first = story(
        &rule,
        5,
        "96 88 88 88 88 88 88 88 88 88 88 88 88 88 93 93 93 93 93 93 93 93 93 93 93",
    );
    let second = story(
        &rule,
        5,
        "96 96 96 96 96 96 96 96 96 84 84 84 84 84 88 88 88 88 88 93 93 93 93 93 93",
    );
    let of_two = second.into_iter().map(|step| Step { device: 2, ..step });
    let steps: Vec<_> = first.into_iter().chain(of_two).collect();
    let priorities = [(Medium, 35), (High, 60), (Medium, 85)];
    check(&rule, &steps, &[(5, &priorities, Some(110), false)]);
}

/// Steps measured each minute from the first of `minutes` on, received at `received` minutes.
fn sent(minutes: std::ops::Range<i64>, received: i64, words: &str) -> Vec<Step> {
    let rule = heart();
    let said =
        minutes.zip(words.split(' ')).filter_map(|(minute, word)| said(&rule, minute * MIN, word));
    let at = received * MIN * S;
    let message = u32::try_from(received).expect("small") + 1000;
    let late =
        |step: Step| Step { message, received: (at, at), measures_every: Some(60 * S), ..step };
    said.map(late).collect()
}

fn in_time(minutes: std::ops::Range<i64>, words: &str) -> Vec<Step> {
    let steps = minutes
        .zip(words.split(' '))
        .flat_map(|(minute, word)| sent(minute..minute + 1, minute, word));
    steps.collect()
}

#[test]
fn a_replaced_devices_alert_goes_on_with_the_next_one() {
    let rule = heart();
    let old = in_time(0..5, "140 140 140 140 140");
    let new: Vec<_> =
        in_time(6..9, "138 138 80").into_iter().map(|step| Step { device: 2, ..step }).collect();
    let handover = Handover { from: 1, to: 2, at: 5 * MIN * S };
    let steps = [old, new].concat();
    check_handed(&rule, &steps, &[handover], &[(0, &[(Medium, 3 * MIN)], Some(8 * MIN), false)]);
}

#[test]
fn what_depends_on_the_moment_of_receipt_is_not_certain() {
    // A breach whose last reading is in time if it came at once, and else too old to end anything.
    let mut steps = in_time(0..6, "140 140 140 140 140 80");
    steps[5].received = (5 * MIN * S, 8 * MIN * S);
    let found = expect(&"p".into(), &[heart()], &steps, &[]);
    assert_eq!(found.alerts.len(), 1);
    assert!(found.alerts[0].is_certain && !found.alerts[0].is_end_certain, "{found:?}");
    assert_eq!(found.unsure.len(), 1);
    // And one that is raised at all only if it came at once.
    let mut steps = in_time(0..4, "140 140 140 140");
    steps[3].received = (3 * MIN * S, 20 * MIN * S);
    let found = expect(&"p".into(), &[heart()], &steps, &[]);
    assert!(found.alerts.iter().all(|alert| !alert.is_certain), "{found:?}");
}

fn of_whole(value: i64) -> i64 {
    value * 10_000
}

/// The same rule read backwards, for readings in time that are plausible or none: does a level hold
/// after the last of them? It looks at the whole sequence again for each reading, and remembers
/// nothing.
mod naive {
    use super::*;

    /// For each reading: the highest level that holds after it.
    pub(super) fn levels(rule: &LimitRule, readings: &[(i64, Option<i64>)]) -> Vec<Option<usize>> {
        let mut held: Vec<Option<usize>> = Vec::new();
        for last in 0..readings.len() {
            let before = held.last().copied().flatten();
            let raised =
                (0..rule.levels.len()).rev().find(|level| raises(rule, *level, readings, last));
            let kept = (0..rule.levels.len()).rev().find(|level| {
                before.max(raised) >= Some(*level) && !ends(rule, *level, readings, last, &held)
            });
            held.push(kept);
        }
        held
    }

    /// Whether an unbroken breach reaches back from the last reading for the delay.
    fn raises(
        rule: &LimitRule,
        level: usize,
        readings: &[(i64, Option<i64>)],
        last: usize,
    ) -> bool {
        let level = &rule.levels[level];
        let sustained = level.sustained.expect("given");
        let beyond =
            |at: usize| readings[at].1.is_some_and(|it| rule.is_beyond(of_whole(it), level.limit));
        (0..=last).any(|first| {
            let unbroken = (first..last)
                .all(|at| (readings[at + 1].0 - readings[at].0) * S <= sustained.max_gap);
            (first..=last).all(beyond)
                && unbroken
                && (readings[last].0 - readings[first].0) * S >= sustained.delay
        })
    }

    /// Whether an unbroken time clear of the limit reaches back for the clear delay.
    fn ends(
        rule: &LimitRule,
        level: usize,
        readings: &[(i64, Option<i64>)],
        last: usize,
        held: &[Option<usize>],
    ) -> bool {
        let found = &rule.levels[level];
        let clear = |at: usize| {
            readings[at].1.is_some_and(|it| !rule.is_beyond(of_whole(it), found.clear_limit))
        };
        let gap = found.sustained.expect("given").max_gap;
        let since_raised = |at: usize| at == 0 || held[at - 1] >= Some(level);
        (0..=last).any(|first| {
            let unbroken = (first..last).all(|at| (readings[at + 1].0 - readings[at].0) * S <= gap);
            (first..=last).all(clear)
                && unbroken
                && since_raised(first)
                && (readings[last].0 - readings[first].0) * S >= rule.clear_delay
        })
    }
}

#[test]
fn every_short_story_ends_as_a_more_naive_reading_says() {
    let medium = level(Medium, 90.0, 92.0, 2, 1);
    let high = level(High, 85.0, 87.0, 1, 1);
    for clear in [0, 1] {
        let rule = limit("r", v1::Vital::Spo2, false, vec![medium.clone(), high.clone()], clear);
        let Kind::Limit(read) = &rule.kind else { unreachable!("it is one") };
        // Each second: nothing, none, or a value in each band.
        let words = [".", "x", "95", "91", "88", "86", "80"];
        for number in 0..7_u32.pow(6) {
            let said: Vec<&str> =
                (0..6).map(|place| words[(number / 7_u32.pow(place) % 7) as usize]).collect();
            let steps = story(&rule, 1, &said.join(" "));
            let readings: Vec<_> = said
                .iter()
                .zip(0..)
                .filter(|(word, _)| **word != ".")
                .map(|(word, at): (_, i64)| (at, word.parse::<i64>().ok()))
                .collect();
            let mut track = Track::default();
            let mut found = Vec::new();
            for step in &steps {
                track.feed(
                    read,
                    Some(S),
                    (step.measured_at, super::said(step).expect("said")),
                    true,
                );
                found.push(track.level());
            }
            assert_eq!(found, naive::levels(read, &readings), "{said:?}, clear for {clear} s");
        }
    }
}
