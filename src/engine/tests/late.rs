//! Late readings: told once, over, and never in the way of what is live.

use super::*;

fn ward() -> Ward {
    let levels = vec![level(Priority::Medium, 100, 3)];
    let mut ward =
        Ward::with(vec![Rule { actionable_for: Duration::from_secs(300), ..rule("hr", levels) }]);
    ward.enroll(1);
    ward.now += 1000;
    ward
}

/// Heart rates a second each from `from` seconds after the story's begin, marked historical.
fn historical(from: i64, rates: &[i64]) -> Vec<proto::Reading> {
    (BEGIN + from..)
        .zip(rates)
        .map(|(at, rate)| proto::Reading { historical: true, ..heart_rate(at, *rate) })
        .collect()
}

fn retrospective(ward: &Ward) -> Vec<(i64, i64)> {
    let told = events(&ward.outputs).filter(|event| event.alert.retrospective);
    told.map(|event| {
        assert_eq!(event.phase, Phase::Start);
        assert!(event.alert.is_over() && event.alert.signal == Signal::Off);
        let ended_at = event.alert.ended_at.expect("it is over");
        (since_begin(event.alert.onset), since_begin(ended_at))
    })
    .collect()
}

#[test]
fn a_breach_among_late_readings_is_told_once_and_over() {
    let mut ward = ward();
    ward.send_readings(1, historical(100, &[110, 110, 110, 110, 110, 90, 90]));
    assert_eq!(retrospective(&ward), [(100, 105)]);
    assert_eq!(ward.state.open_alerts().count(), 0);
    assert_eq!(phases(&ward.outputs), [Phase::Start]);
}

#[test]
fn a_late_breach_that_goes_on_in_the_next_batch_is_not_told_again() {
    for is_heard in [true, false] {
        let mut ward = ward();
        if is_heard {
            ward.measure(Vital::HeartRate, 80.0);
        }
        ward.send_readings(1, historical(100, &[110; 6]));
        ward.send_readings(1, historical(106, &[110; 6]));
        ward.send_readings(1, historical(112, &[110, 90]));
        assert_eq!(retrospective(&ward), [(100, 105)], "heard before: {is_heard}");
    }
}

#[test]
fn late_readings_that_lead_up_to_the_live_ones_pass_their_onset_on() {
    let mut ward = ward();
    ward.send_readings(1, historical(990, &[110; 10]));
    assert_eq!(retrospective(&ward), [(990, 999)]);
    ward.measure(Vital::HeartRate, 110.0);
    let last = events(&ward.outputs).last().expect("two");
    assert_eq!((last.phase, last.alert.retrospective), (Phase::Start, false));
    assert_eq!(since_begin(last.alert.onset), 990);
    assert_eq!(last.alert.signal, Signal::On);
}

/// Each in a batch of its own, from `from` seconds after the story's begin.
fn one_by_one(ward: &mut Ward, from: i64, rates: &[i64]) {
    for (at, rate) in (from..).zip(rates) {
        ward.send_readings(1, historical(at, &[*rate]));
    }
}

#[test]
fn how_late_readings_are_cut_into_batches_does_not_matter() {
    let rates = [110, 110, 110, 110, 110, 90, 110, 110, 110, 110, 90, 90];
    for batch in [1, 2, 3, 5, 12] {
        let mut ward = ward();
        for (index, rates) in rates.chunks(batch).enumerate() {
            let from = 100 + i64::try_from(index * batch).expect("few");
            ward.send_readings(1, historical(from, rates));
        }
        let onsets: Vec<_> = retrospective(&ward).iter().map(|(onset, _)| *onset).collect();
        assert_eq!(onsets, [100, 106], "in batches of {batch}");
    }
}

#[test]
fn a_dip_among_late_readings_breaks_what_they_hand_on() {
    let mut ward = ward();
    one_by_one(&mut ward, 990, &[110, 90, 90, 90, 90, 90, 90, 90, 90, 110]);
    ward.measure_all(Vital::HeartRate, 0, &[110.0]);
    ward.measure_all(Vital::HeartRate, 1, &[110.0]);
    assert_eq!(ward.told(), [""; 0], "it has lasted for 2 s of 3");
    ward.measure_all(Vital::HeartRate, 1, &[110.0]);
    assert_eq!(since_begin(ward.open().onset), 999);
}

#[test]
fn a_live_breach_that_late_readings_go_on_with_keeps_its_onset() {
    let mut ward = ward();
    ward.measure(Vital::HeartRate, 110.0);
    ward.now += 3;
    one_by_one(&mut ward, 1001, &[110, 110]);
    ward.measure(Vital::HeartRate, 110.0);
    assert_eq!(since_begin(ward.open().onset), 1000);
}

#[test]
fn a_live_breach_is_not_joined_by_late_readings_to_which_there_is_a_gap_or_a_dip() {
    for (late, onset) in [(&[0, 0, 110][..], 1003), (&[90, 110, 110], 1002)] {
        let mut ward = ward();
        ward.measure(Vital::HeartRate, 110.0);
        ward.now += 4;
        for (at, rate) in (1001..).zip(late).filter(|(_, rate)| **rate > 0) {
            ward.send_readings(1, historical(at, &[*rate]));
        }
        while ward.state.open_alerts().count() == 0 {
            assert!(ward.now < BEGIN + onset + 4, "{late:?}: nothing is raised");
            ward.measure(Vital::HeartRate, 110.0);
            ward.now += 1;
        }
        let alert = ward.open();
        assert_eq!(since_begin(alert.onset), onset, "{late:?}");
        assert_eq!(ward.now - 1, BEGIN + onset + 3, "{late:?}: it has to last for 3 s");
    }
}

#[test]
fn a_late_reading_without_a_value_breaks_what_is_pending_among_them() {
    let mut ward = ward();
    let absent = proto::Reading {
        value: Some(proto::reading::Value::Absent(proto::AbsentReason::SensorOff.into())),
        ..historical(993, &[0]).remove(0)
    };
    one_by_one(&mut ward, 990, &[110, 110, 110]);
    ward.send_readings(1, vec![absent]);
    one_by_one(&mut ward, 994, &[110, 110, 110]);
    assert_eq!(retrospective(&ward), []);
}

/// A ward whose patient's breaches go on over gaps of `max_gap` seconds, at each of these levels.
fn with_gaps(levels: &[(Priority, i64)], delay: u64, max_gap: u64) -> Ward {
    let (delay, max_gap) = (Duration::from_secs(delay), Duration::from_secs(max_gap));
    let sustained = Some(Sustained { delay, max_gap });
    let levels = levels.iter().map(|(priority, limit)| level(*priority, *limit, 0));
    let levels = levels.map(|it| Level { sustained, ..it }).collect();
    let actionable_for = Duration::from_secs(130);
    let mut ward = Ward::with(vec![Rule { actionable_for, ..rule("hr", levels) }]);
    ward.enroll(1);
    ward.now += 1000;
    ward
}

/// When what is open began and was raised, once live breaches a second each have raised it.
fn raised(ward: &mut Ward, within: i64) -> (i64, i64) {
    for _ in 0..within {
        ward.measure(Vital::HeartRate, 110.0);
        if ward.state.open_alerts().count() > 0 {
            return (since_begin(ward.open().onset), ward.now - BEGIN);
        }
        ward.now += 1;
    }
    panic!("nothing is raised within {within} s")
}

fn no_value(seconds_since_begin: i64) -> proto::Reading {
    absent(Vital::HeartRate, BEGIN + seconds_since_begin, proto::AbsentReason::Error)
}

#[test]
fn a_reading_too_old_to_act_on_does_not_join_two_live_breaches() {
    let mut ward = with_gaps(&[(Priority::Medium, 100)], 600, 400);
    ward.measure(Vital::HeartRate, 110.0);
    ward.now += 400;
    ward.send_readings(1, vec![heart_rate(BEGIN + 1200, 90)]);
    ward.measure_all(Vital::HeartRate, 100, &[110.0; 6]);
    assert_eq!(ward.state.open_alerts().count(), 0, "it has lasted since 1500");
    ward.measure_all(Vital::HeartRate, 100, &[110.0]);
    assert_eq!(since_begin(ward.open().onset), 1500);
}

#[test]
fn what_late_readings_hand_on_does_not_reach_back_over_a_live_reading() {
    for from in [990, 998] {
        let mut ward = with_gaps(&[(Priority::Medium, 100)], 3, 10);
        let before = [110; 10];
        ward.send_readings(1, historical(from, &before[..usize::try_from(1000 - from).unwrap()]));
        ward.measure(Vital::HeartRate, 80.0);
        ward.now += 6;
        ward.send_readings(1, historical(1005, &[110]));
        assert_eq!(raised(&mut ward, 9), (1005, 1008), "late since {from}");
    }
}

#[test]
fn a_live_reading_without_a_value_stands_between_late_ones_and_the_next() {
    let mut ward = with_gaps(&[(Priority::Medium, 100)], 3, 10);
    ward.send_readings(1, historical(990, &[110; 10]));
    ward.send_readings(1, vec![no_value(1000)]);
    ward.now += 1;
    assert_eq!(raised(&mut ward, 9), (1001, 1004));
}

#[test]
fn an_implausible_live_reading_does_not_stand_between_late_ones_and_the_next() {
    let mut ward = with_gaps(&[(Priority::Medium, 100)], 3, 10);
    ward.send_readings(1, historical(990, &[110; 10]));
    ward.measure(Vital::HeartRate, 300.0);
    ward.now += 1;
    assert_eq!(raised(&mut ward, 1), (990, 1001));
}

#[test]
fn a_late_reading_without_a_value_parts_a_live_breach_from_late_ones_after_it() {
    let mut ward = with_gaps(&[(Priority::Medium, 100)], 3, 10);
    ward.measure(Vital::HeartRate, 110.0);
    ward.now += 14;
    let without = proto::Reading { historical: true, ..no_value(1004) };
    ward.send_readings(1, vec![without]);
    ward.send_readings(1, historical(1008, &[110]));
    assert_eq!(raised(&mut ward, 9), (1008, 1014));
}

#[test]
fn a_reading_without_a_value_that_is_too_old_to_act_on_breaks_late_ones_only() {
    let mut ward = with_gaps(&[(Priority::Medium, 100)], 600, 400);
    ward.measure(Vital::HeartRate, 110.0);
    ward.now += 300;
    ward.send_readings(1, vec![no_value(1100)]);
    ward.measure_all(Vital::HeartRate, 100, &[110.0; 3]);
    assert_eq!(since_begin(ward.open().onset), 1000);
}

#[test]
fn late_readings_go_on_when_another_device_is_taken_off() {
    let mut ward = ward();
    ward.now -= 10;
    ward.bind_second_device();
    ward.now += 10;
    ward.send_readings(1, historical(990, &[110; 10]));
    ward.done(Action::UnbindDevice { device: device(2), at: None });
    assert_eq!(raised(&mut ward, 1), (990, 1000));
}

#[test]
fn late_readings_go_on_when_another_rule_changes() {
    let mut ward = ward();
    ward.send_readings(1, historical(990, &[110; 10]));
    let profile = Profile { rules: vec![rule("other", vec![level(Priority::Low, 200, 3)])] };
    let owner = ProfileOwner::Patient(patient(1));
    ward.done(Action::PutProfile { owner, profile, expected_version: None });
    assert_eq!(raised(&mut ward, 1), (990, 1000));
}

#[test]
fn late_readings_from_before_a_live_alert_hand_nothing_on_once_later_ones_are_covered_by_it() {
    let mut ward = with_gaps(&[(Priority::Medium, 100), (Priority::High, 120)], 3, 10);
    ward.bind_second_device();
    for at in 1001..=1004 {
        ward.now = BEGIN + at;
        ward.send_readings(2, vec![heart_rate(BEGIN + at, 110)]);
    }
    assert_eq!(since_begin(ward.open().onset), 1001);
    ward.send_readings(1, historical(998, &[130, 130, 130]));
    ward.send_readings(1, historical(1002, &[90]));
    ward.measure_all(Vital::HeartRate, 1, &[130.0, 130.0, 130.0]);
    assert_eq!(ward.open().priority, Priority::Medium, "it has been high for 2 s of 3");
    ward.measure_all(Vital::HeartRate, 1, &[130.0]);
    assert_eq!(ward.open().priority, Priority::High);
}

#[test]
fn a_late_breach_is_told_at_the_highest_level_that_it_reached() {
    let levels = vec![level(Priority::Medium, 100, 3), level(Priority::High, 120, 3)];
    let mut ward = Ward::with(vec![rule("hr", levels)]);
    ward.enroll(1);
    ward.now += 1000;
    ward.send_readings(1, historical(100, &[130, 130, 130, 130, 110, 110, 90, 110, 110, 90]));
    let told: Vec<_> = events(&ward.outputs).map(|event| event.alert.priority).collect();
    assert_eq!(told, [Priority::High]);
}

#[test]
fn a_late_breach_of_implausible_values_only_says_that_it_is_unconfirmed() {
    let mut ward = ward();
    ward.send_readings(1, historical(100, &[300; 5]));
    let told: Vec<_> = events(&ward.outputs).map(|event| event.alert.unconfirmed).collect();
    assert_eq!(told, [true]);
}

#[test]
fn a_late_run_of_spots_ends_with_the_time_that_they_are_counted_for() {
    let mut ward = of_spots(2);
    ward.now += 3 * 86_400;
    ward.send_readings(1, historical(100, &[110, 110]));
    ward.send_readings(1, historical(100 + 2 * 86_400, &[110, 110]));
    assert_eq!(retrospective(&ward), [(100, 101), (100 + 2 * 86_400, 101 + 2 * 86_400)]);
}

#[test]
fn a_late_breach_long_after_another_is_one_of_its_own() {
    let mut ward = ward();
    ward.send_readings(1, historical(100, &[110; 5]));
    ward.measure(Vital::HeartRate, 80.0);
    ward.send_readings(1, historical(200, &[110; 5]));
    assert_eq!(retrospective(&ward), [(100, 104), (200, 204)]);
}

#[test]
fn late_readings_do_not_end_a_live_alert_and_add_nothing_to_it() {
    let mut ward = ward();
    ward.measure_all(Vital::HeartRate, 1, &[110.0; 5]);
    assert_eq!(phases(&ward.outputs), [Phase::Start]);
    ward.send_readings(1, historical(1001, &[90, 90, 90]));
    ward.send_readings(1, historical(1001, &[110; 4]));
    assert_eq!(phases(&ward.outputs), [Phase::Start]);
}

#[test]
fn late_readings_from_before_the_last_late_ones_have_nothing_to_do_with_them() {
    let mut ward = ward();
    ward.send_readings(1, historical(200, &[110, 110]));
    ward.send_readings(1, historical(100, &[110, 110]));
    ward.send_readings(1, historical(202, &[110, 110]));
    assert_eq!(retrospective(&ward), []);
}

#[test]
fn a_delayed_reading_that_is_the_newest_raises_with_signal_and_ends_nothing() {
    let mut ward = ward();
    let delayed = |ward: &mut Ward, from: i64, rates: &[i64]| {
        let readings = (BEGIN + from..).zip(rates).map(|(at, rate)| heart_rate(at, *rate));
        let readings = readings.collect();
        ward.send_readings(1, readings)
    };
    delayed(&mut ward, 800, &[110; 4]);
    assert_eq!(ward.told(), ["1000 start hr medium active/on"]);
    assert!(ward.open().delayed);
    delayed(&mut ward, 804, &[90; 4]);
    assert_eq!(ward.told(), [""; 0]);
    ward.measure(Vital::HeartRate, 90.0);
    assert_eq!(ward.told(), ["1000 end hr medium inactive/off"]);
}

#[test]
fn a_newest_reading_too_old_to_act_on_is_told_without_signal() {
    let mut ward = ward();
    let readings = (BEGIN + 400..).zip([110; 5]).map(|(at, rate)| heart_rate(at, rate)).collect();
    ward.send_readings(1, readings);
    assert_eq!(retrospective(&ward), [(400, 404)]);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn readings_of_a_binding_that_has_ended_are_told_to_whom_they_were() {
    let mut ward = ward();
    ward.done(Action::UnbindDevice { device: device(1), at: None });
    ward.now += 10;
    let outputs = ward.send_readings(1, historical(100, &[110; 5]));
    assert_eq!(readings(&outputs).len(), 5);
    assert_eq!(retrospective(&ward), [(100, 104)]);
}

#[test]
fn implausible_values_that_arrive_too_late_to_act_on_raise_nothing_with_signal() {
    let mut ward = ward();
    let doubtful = (BEGIN + 100..).step_by(60).take(4).map(|at| heart_rate(at, 300)).collect();
    ward.send_readings(1, doubtful);
    assert!(events(&ward.outputs).all(|event| event.alert.retrospective), "{:?}", ward.told());
}

#[test]
fn implausible_values_that_arrive_late_and_are_new_enough_say_that_they_are_delayed() {
    let mut ward = ward();
    let doubtful = (BEGIN + 740..).step_by(30).take(3).map(|at| heart_rate(at, 300)).collect();
    ward.send_readings(1, doubtful);
    let alert = ward.open();
    assert!(alert.unconfirmed && alert.delayed);
}

/// A ward in which `n` of `n` heart rates over 100 raise.
fn of_spots(n: u8) -> Ward {
    let spot = Some(Spot { n, of: n, within: Duration::from_secs(24 * 3600) });
    let levels = vec![Level { sustained: None, spot, ..level(Priority::Medium, 100, 0) }];
    let mut ward = Ward::with(vec![rule("hr", levels)]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 600)]);
    ward
}

#[test]
fn an_onset_handed_on_by_late_spots_does_not_outlast_the_breach() {
    let mut ward = of_spots(2);
    ward.now += 1000;
    ward.send_readings(1, historical(100, &[110, 110]));
    ward.measure_all(Vital::HeartRate, 600, &[80.0, 80.0, 110.0, 110.0]);
    let last = events(&ward.outputs).last().expect("it starts");
    assert_eq!((last.phase, last.alert.retrospective), (Phase::Start, false));
    assert_eq!(since_begin(last.alert.onset), 1000 + 3 * 600);
}

#[test]
fn a_delayed_breach_interrupts_what_was_clearing() {
    let sustained = Some(Sustained { delay: Duration::ZERO, max_gap: DELAY_MAX });
    let mut rule = rule("hr", vec![Level { sustained, ..level(Priority::Medium, 100, 0) }]);
    if let RuleKind::Limit(limit) = &mut rule.kind {
        limit.clear_delay = Duration::from_secs(1800);
    }
    let mut ward = Ward::with(vec![rule]);
    ward.enroll_measuring(1, &[(Vital::HeartRate, 600)]);
    ward.measure_all(Vital::HeartRate, 600, &[110.0, 80.0]);
    ward.now += 600;
    ward.send_readings(1, vec![heart_rate(ward.now - 300, 110)]);
    ward.measure_all(Vital::HeartRate, 600, &[80.0, 80.0, 80.0]);
    assert_eq!(phases(&ward.outputs), [Phase::Start], "clear for 20 min since the breach");
    ward.measure_all(Vital::HeartRate, 600, &[80.0]);
    assert_eq!(phases(&ward.outputs), [Phase::Start, Phase::End]);
}
