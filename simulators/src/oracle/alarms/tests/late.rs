//! Readings that come late: delayed, too old to act on, or out of memory.

use super::*;

#[test]
fn delayed_readings_raise_with_signal_and_end_nothing() {
    let steps = [
        in_time(0..3, "80 80 80"),
        sent(3..8, 10, "140 140 140 140 80"),
        sent(8..9, 11, "80"),
        in_time(13..15, "80 80"),
    ];
    check(&heart(), &steps.concat(), &[(3 * MIN, &[(Medium, 6 * MIN)], Some(13 * MIN), false)]);
}

#[test]
fn late_readings_tell_of_an_alert_that_is_over() {
    let steps = [
        in_time(0..3, "80 80 80"),
        in_time(10..14, "80 80 80 80"),
        sent(3..12, 14, "80 140 140 140 140 140 80 80 80"),
        in_time(14..15, "80"),
    ];
    let mut steps = steps.concat();
    // Those that the live ones have overtaken.
    steps.retain(|step| {
        step.received.0 != 14 * MIN * S || step.measured_at < 10 * MIN * S || step.message < 1000
    });
    check(&heart(), &steps, &[(4 * MIN, &[(Medium, 7 * MIN)], Some(9 * MIN), true)]);
}

#[test]
fn what_is_the_newest_but_too_old_to_act_on_is_told_afterwards() {
    let rule = Rule { actionable_for: 300 * S, ..heart() };
    let steps = [in_time(0..3, "80 80 80"), sent(3..10, 16, "80 140 140 140 140 140 80")];
    check(&rule, &steps.concat(), &[(4 * MIN, &[(Medium, 7 * MIN)], Some(9 * MIN), true)]);
}

#[test]
fn late_readings_that_lead_up_to_now_hand_their_onset_on() {
    let live = in_time(10..14, "140 140 80 80");
    let mut late = sent(4..10, 10, "140 140 140 140 140 140");
    late.iter_mut().for_each(|step| {
        (step.is_historical, step.message) = (true, 0);
    });
    let steps = [in_time(0..3, "80 80 80"), late, live].concat();
    let over: Short<'_> = (4 * MIN, &[(Medium, 7 * MIN)], Some(9 * MIN), true);
    let live: Short<'_> = (4 * MIN, &[(Medium, 10 * MIN)], Some(12 * MIN), false);
    let found = expect(&"p".into(), &[heart()], &steps, &[]);
    assert_eq!(found.alerts.len(), 2, "{found:?}");
    let short = |alert: &ExpectedAlert| (alert.onset.as_second(), alert.raise_at.as_second());
    let mut shorts: Vec<_> = found.alerts.iter().map(short).collect();
    shorts.sort_unstable();
    assert_eq!(shorts, [(over.0, over.1[0].1), (live.0, live.1[0].1)]);
}

#[test]
fn late_readings_that_were_overtaken_hand_nothing_on() {
    // The last but one comes after the last, which is not beyond the limit, or is.
    for (overtaker, onset, raised) in [("130", 6, 9), ("140", 5, 8)] {
        let mut late = sent(4..5, 6, "140");
        late[0].message = 5;
        late[0].received = (5 * MIN * S + 1, 5 * MIN * S + 1);
        let steps = [
            in_time(0..4, "80 80 80 80"),
            in_time(5..6, overtaker),
            late,
            in_time(6..11, "140 140 140 140 140"),
        ];
        let expected: Short<'_> = (onset * MIN, &[(Medium, raised * MIN)], None, false);
        check(&heart(), &steps.concat(), &[expected]);
    }
}

/// The same, of late readings and live ones: what the late ones tell is certain unless a live alert
/// covers that time.
fn check_beside(rule: &Rule, steps: &[Step], expected: &[Short<'_>], is_covered: bool) {
    for alert in compare(rule, steps, &[], expected) {
        assert_eq!(alert.is_certain, !(alert.is_retrospective && is_covered), "{alert:?}");
    }
}

/// A late reading of a second, received at a minute and ahead of what else comes then.
fn late_at(second: i64, received: i64, word: &str) -> Step {
    let step = said(&heart(), second, word).expect("a word that says something");
    let at = received * MIN * S;
    let message = u32::try_from(received).expect("small");
    let (received, measures_every) = ((at, at), Some(60 * S));
    Step { message, received, measures_every, is_historical: true, ..step }
}

#[test]
fn what_late_readings_hand_on_does_not_reach_back_over_one_in_time() {
    let late: Vec<_> = (1..5).map(|minute| late_at(minute * MIN, 5, "140")).collect();
    let steps = [
        in_time(0..1, "80"),
        late,
        in_time(5..6, "80"),
        vec![late_at(5 * MIN + 20, 6, "140")],
        in_time(6..11, "140 140 140 140 80"),
    ];
    let before: Short<'_> = (MIN, &[(Medium, 4 * MIN)], Some(4 * MIN), true);
    let live: Short<'_> = (5 * MIN + 20, &[(Medium, 9 * MIN)], Some(10 * MIN), false);
    check(&heart(), &steps.concat(), &[before, live]);
}

#[test]
fn an_absent_value_in_time_stands_between_late_readings_and_the_next_and_a_doubted_one_does_not() {
    // When the value comes, and the next; when the alert began, and was raised.
    for (between, at, next, onset, raised) in
        [("x", 300, 360, 360, 540), ("?", 280, 320, 60, 320), ("~", 280, 320, 60, 320)]
    {
        let late: Vec<_> = (1..5).map(|minute| late_at(minute * MIN, 5, "140")).collect();
        let mut live = in_time(5..11, &format!("{between} 140 140 140 140 80"));
        (live[0].measured_at, live[1].measured_at) = (at * S, next * S);
        let steps = [in_time(0..1, "80"), late, live].concat();
        let before: Short<'_> = (MIN, &[(Medium, 4 * MIN)], Some(4 * MIN), true);
        let live: Short<'_> = (onset, &[(Medium, raised)], Some(10 * MIN), false);
        check_beside(&heart(), &steps, &[before, live], between != "x");
    }
}

#[test]
fn an_onset_handed_on_by_late_spots_lasts_no_longer_than_the_breach() {
    let spot = Some(Spot { n: 2, of: 2, within: 24 * 3600 * S });
    let level = Level { sustained: None, spot, ..level(Medium, 130.0, 125.0, 0, 0) };
    let rule = limit("hr-high", v1::Vital::HeartRate, true, vec![level], 0);
    for (words, onset, raised) in [("140 140 80", 1, 4), ("80 140 140 80", 4, 5)] {
        let late: Vec<_> = (1..3).map(|minute| late_at(minute * MIN, 3, "140")).collect();
        let end = 3 + i64::try_from(words.split(' ').count()).expect("few");
        let steps = [in_time(0..1, "80"), late, in_time(3..end, words)].concat();
        let before: Short<'_> = (MIN, &[(Medium, 2 * MIN)], Some(2 * MIN), true);
        let live: Short<'_> =
            (onset * MIN, &[(Medium, raised * MIN)], Some((end - 1) * MIN), false);
        check_beside(&rule, &steps, &[before, live], onset == 1);
    }
}

#[test]
fn late_readings_of_a_time_that_a_live_alert_covers_may_be_told_or_not() {
    let rule =
        limit("hr-high", v1::Vital::HeartRate, true, vec![level(Medium, 130.0, 125.0, 180, 90)], 0);
    let mut late = sent(5..9, 10, "140 140 140 140");
    late.iter_mut().for_each(|step| step.is_historical = true);
    let steps = [in_time(0..5, "80 140 140 140 140"), late, in_time(11..13, "140 80")].concat();
    let found = expect(&"p".into(), &[rule], &steps, &[]);
    let live: Vec<_> = found.alerts.iter().filter(|it| it.is_certain).collect();
    assert_eq!(live.len(), 1, "{found:?}");
    assert!(!live[0].is_retrospective);
}
