//! What is known of a device's intake, and told of it: numbers, duplicates, amendments, clocks.

mod delivery;

use super::*;

fn ward() -> Ward {
    let mut ward = Ward::with(vec![rule("hr", vec![level(Priority::High, 100, 0)])]);
    ward.enroll(1);
    ward
}

/// A heart rate so many microseconds after the story's begin.
fn rate_at(micros: i64, rate: f64) -> proto::Reading {
    let seconds = BEGIN + micros.div_euclid(1_000_000);
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("below a second");
    let at = prost_types::Timestamp { seconds, nanos };
    let measured = Some(proto::reading::Measured::MeasuredAt(at));
    proto::Reading { measured, ..measured_now(rate) }
}

fn measured_now(rate: f64) -> proto::Reading {
    measured(Vital::HeartRate, BEGIN, rate)
}

fn unnumbered(readings: Vec<proto::Reading>) -> proto::ReadingBatch {
    proto::ReadingBatch { boot_id: 0, ..numbered(0, readings) }
}

/// Heart rates a second each, from so many seconds after the story's begin.
fn series(from: i64, count: i64) -> Vec<proto::Reading> {
    (from..from + count).map(|at| heart_rate(BEGIN + at, 70)).collect()
}

fn accounts(outputs: &[Output]) -> Vec<&DeviceSequences> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::DeviceSequences(account) => Some(&**account),
            _ => None,
        })
        .collect()
}

/// Accepted, duplicate, rejected.
fn counted(ward: &Ward) -> (u64, u64, u64) {
    let IntakeCounts { accepted, duplicate, rejected, .. } = ward.report(1).counts;
    (accepted, duplicate, rejected)
}

fn flags(outputs: &[Output], flag: Quality) -> Vec<bool> {
    readings(outputs).iter().map(|reading| reading.quality.has(flag)).collect()
}

#[test]
fn every_reading_counts_as_accepted_duplicate_or_rejected() {
    let mut ward = ward();
    ward.now += 20;
    let mut some = series(0, 10);
    some[3] = heart_rate(BEGIN + 3, 999);
    some[4].vital = 99;
    ward.publish(1, &numbered(1, some.clone()));
    assert_eq!(counted(&ward), (8, 0, 2));
    ward.publish(1, &numbered(1, some));
    assert_eq!(counted(&ward), (8, 8, 4), "what is wrong is told again");
    assert_eq!(ward.report(1).missing, 0, "what was refused for what it is need not come again");
    ward.send("pulseward/v1/north/device-1/readings", "{");
    assert_eq!(counted(&ward), (8, 8, 5), "a message counts as one");
}

#[test]
fn a_reading_that_may_be_admitted_later_is_missing_until_then() {
    let mut ward = ward();
    let batch = numbered(1, vec![rate_at(31_000_000, 70.0), rate_at(0, 70.0)]);
    ward.publish(1, &batch);
    let report = ward.report(1);
    assert_eq!((report.gaps, report.missing, report.highest_seq), (vec![(0, 1)], 2, Some(2)));
    ward.now += 5;
    ward.publish(1, &batch);
    let report = ward.report(1);
    assert_eq!((report.gaps, report.missing), (vec![], 0));
    assert_eq!(counted(&ward), (2, 1, 1));
}

#[test]
fn an_orderly_device_is_told_of_once_a_minute_and_an_unusual_one_at_once() {
    let mut ward = ward();
    let mut told = Vec::new();
    let mut send = |ward: &mut Ward, first: u64| {
        let batch = numbered(first, vec![heart_rate(ward.now, 70)]);
        for account in accounts(&ward.publish(1, &batch)) {
            told.push((ward.now - BEGIN, account.events));
        }
        ward.now += 1;
    };
    for first in 1..=125 {
        send(&mut ward, first);
    }
    for first in [125, 130, 127] {
        send(&mut ward, first);
    }
    let in_order = |in_order| SequenceEvents { in_order, ..SequenceEvents::default() };
    let expected = [
        (0, in_order(1)),
        (60, in_order(60)),
        (120, in_order(60)),
        (125, SequenceEvents { duplicate: 1, ..in_order(4) }),
        (126, SequenceEvents { gap: 1, ..in_order(1) }),
        (127, SequenceEvents { reordered: 1, ..in_order(0) }),
    ];
    assert_eq!(told, expected);
    let counts = ward.report(1).counts;
    assert_eq!((counts.accepted, counts.duplicate, counts.reordered, counts.gap), (127, 1, 1, 1));
    assert_eq!(ward.report(1).gaps, [(126, 126), (128, 129)]);
}

#[test]
fn a_restart_is_counted_and_what_was_sent_before_it_is_still_recognised() {
    let mut ward = ward();
    ward.now += 100;
    ward.publish(1, &numbered(1, series(0, 10)));
    let restarted = proto::ReadingBatch { boot_id: 8, ..numbered(1, series(20, 10)) };
    let told = accounts(&ward.publish(1, &restarted))[0].clone();
    assert_eq!((told.events.restarted, told.boot_id, told.highest_seq), (1, 8, Some(10)));
    let outputs = ward.publish(1, &numbered(6, series(5, 10)));
    assert_eq!(readings(&outputs).len(), 5, "numbers 11 to 15 of the boot before");
    let told = accounts(&outputs)[0];
    assert_eq!((told.events.reordered, told.events.duplicate), (5, 5));
    let report = ward.report(1);
    assert_eq!((report.boot_id, report.highest_seq, report.counts.restarted), (8, Some(10), 1));
}

#[test]
fn a_report_is_for_who_may_see_the_devices_site() {
    let ward = ward();
    let ask = |role, sites: &[&str], number| {
        let sites = Sites::Only(sites.iter().map(|site| id(site)).collect());
        let principal = Principal { subject: "anna".to_owned(), role, sites };
        let question = Question::DeviceReport(device(number));
        query::answer(&ward.state, &Query { principal, question })
    };
    for role in [Role::Viewer, Role::Clinician, Role::DeviceAdmin, Role::Admin] {
        assert!(ask(role, &[SITE], 1).is_ok());
        let not_found =
            |number: u32| Err(Refusal::NotFound { kind: "device", id: device(number).to_string() });
        assert_eq!(ask(role, &["south"], 1), not_found(1));
        assert_eq!(ask(role, &[SITE], 2), not_found(2));
    }
    let refused = ask(Role::Auditor, &[SITE], 1);
    assert!(matches!(refused, Err(Refusal::PermissionDenied { .. })), "{refused:?}");
}

#[test]
fn a_report_lists_the_latest_gaps_and_counts_them_all() {
    let mut ward = ward();
    ward.now += 1000;
    for first in (1..120).step_by(2) {
        ward.publish(1, &numbered(first, series(i64::try_from(first).expect("small"), 1)));
    }
    let report = ward.report(1);
    assert!(report.gaps.len() <= query::GAPS_LISTED_MAX);
    assert_eq!((report.gaps.last(), report.missing), (Some(&(118, 118)), 59));
    assert_eq!(report.counts.gap_overflow, 0);
}

#[test]
fn ten_thousand_unnumbered_readings_are_recognised_as_a_whole_an_hour_later() {
    let mut ward = ward();
    ward.now += 10_000;
    let batch = unnumbered(series(0, 10_000));
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 10_000);
    ward.now += 3600;
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 0);
    assert_eq!(counted(&ward), (10_000, 10_000, 0));
}

#[test]
fn an_unnumbered_batch_is_not_settled_while_something_of_it_may_be_admitted() {
    let mut ward = ward();
    let batch = unnumbered(vec![rate_at(0, 70.0), rate_at(31_000_000, 70.0), rate_at(1, 999.0)]);
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 1);
    ward.now += 5;
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 1, "its time has come");
    ward.now += 3600;
    let outputs = ward.publish(1, &batch);
    assert_eq!(rejects(&outputs), [(Some(2), RejectReason::ImpossibleValue)]);
    assert_eq!((readings(&outputs).len(), counted(&ward)), (0, (2, 3, 4)));
}

#[test]
fn unnumbered_readings_out_of_order_are_counted_by_their_vital() {
    let mut ward = ward();
    ward.now += 10;
    let spo2 = measured(Vital::Spo2, BEGIN + 1, 97.0);
    ward.publish(1, &unnumbered(vec![rate_at(5_000_000, 70.0)]));
    ward.publish(1, &unnumbered(vec![rate_at(4_000_000, 70.0), spo2]));
    assert_eq!(ward.report(1).counts.reordered, 1);
    assert_eq!((ward.report(1).boot_id, ward.report(1).highest_seq), (0, None));
}

#[test]
fn an_amendment_is_kept_flagged_and_counted_and_a_resend_of_either_is_a_duplicate() {
    for boot_id in [0, 7] {
        let mut ward = ward();
        ward.now += 1;
        let batch = |first, rate| {
            let readings = vec![rate_at(1_000_000, rate)];
            proto::ReadingBatch { boot_id, ..numbered(first, readings) }
        };
        let (first, amended) = (batch(1, 70.0), batch(2, 71.0));
        assert_eq!(flags(&ward.publish(1, &first), Quality::AMENDED), [false]);
        let outputs = ward.publish(1, &amended);
        assert_eq!(flags(&outputs, Quality::AMENDED), [true]);
        assert_eq!(flags(&outputs, Quality::LATE), [true]);
        assert_eq!(accounts(&outputs)[0].events.amended, 1);
        for batch in [&first, &amended] {
            assert!(readings(&ward.publish(1, batch)).is_empty());
        }
        assert_eq!(counted(&ward), (2, 2, 0));
        assert_eq!(ward.report(1).counts.amended, 1);
    }
}

#[test]
fn an_amendment_neither_raises_nor_ends_a_live_alert() {
    let mut ward = ward();
    let send = |ward: &mut Ward, rate| {
        ward.send_readings(1, vec![measured(Vital::HeartRate, ward.now, rate)]);
    };
    send(&mut ward, 70.0);
    send(&mut ward, 120.0);
    let live = |event: &&AlertEvent| !event.alert.retrospective;
    assert_eq!(events(&ward.outputs).filter(live).count(), 0, "told, and over");
    assert_eq!(ward.state.open_alerts().count(), 0);
    ward.now += 10;
    send(&mut ward, 120.0);
    assert_eq!(ward.state.open_alerts().count(), 1);
    send(&mut ward, 70.0);
    assert_eq!(ward.state.open_alerts().count(), 1, "it stands until a later reading ends it");
    ward.now += 1;
    send(&mut ward, 70.0);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn an_amendment_of_what_was_not_live_is_not_live_either() {
    let mut ward = ward();
    let historical = proto::Reading { historical: true, ..heart_rate(BEGIN, 70) };
    ward.send_readings(1, vec![historical]);
    let outputs = ward.send_readings(1, vec![heart_rate(BEGIN, 120)]);
    assert_eq!(flags(&outputs, Quality::AMENDED.with(Quality::LATE)), [true]);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn thirty_seconds_ahead_are_accepted_and_a_microsecond_more_is_not() {
    let mut ward = ward();
    let ahead = [0, 1, 30_000_000, 30_000_001].map(|micros| rate_at(micros, 70.0));
    let outputs = ward.send_readings(1, ahead.to_vec());
    assert_eq!(flags(&outputs, Quality::CLOCK_AHEAD), [false, true, true]);
    assert_eq!(rejects(&outputs), [(Some(3), RejectReason::ClockAhead)]);
}

#[test]
fn a_reading_is_refused_a_microsecond_after_the_retention() {
    let mut ward = ward();
    let retention = Duration::from_secs(100);
    ward.apply(Event::Settings(Settings { retention, ..Settings::default() }));
    ward.now += 100;
    let outputs = ward.send_readings(1, vec![rate_at(0, 70.0)]);
    assert_eq!(readings(&outputs).len(), 1);
    ward.now += 1;
    let old = vec![rate_at(999_999, 70.0), rate_at(1_000_000, 70.0)];
    let outputs = ward.send_readings(1, old);
    assert_eq!(rejects(&outputs), [(Some(0), RejectReason::TooOld)]);
    assert_eq!(readings(&outputs).len(), 1);
}

#[test]
fn a_reading_is_late_a_microsecond_after_the_live_window() {
    let schedule =
        Schedule { upload_interval: Duration::from_secs(60), expected_intervals: Vec::new() };
    let mut ward = Ward::new();
    ward.enroll_with(1, schedule);
    ward.now += 181;
    let window = vec![rate_at(999_999, 70.0), rate_at(1_000_000, 70.0)];
    let outputs = ward.send_readings(1, window);
    assert_eq!(flags(&outputs, Quality::LATE), [true, false], "upload interval and two minutes");
}

/// Sends one reading, said to be sent so many milliseconds ahead of our clock.
fn send_ahead(ward: &mut Ward, boot_id: u64, ahead_ms: i64) {
    ward.now += 1;
    let nanos = i32::try_from(ahead_ms.rem_euclid(1000) * 1_000_000).expect("below a second");
    let seconds = ward.now + ahead_ms.div_euclid(1000);
    let sent_at = Some(prost_types::Timestamp { seconds, nanos });
    ward.sequence += 1;
    let batch = numbered(ward.sequence, vec![heart_rate(ward.now, 70)]);
    ward.publish(1, &proto::ReadingBatch { boot_id, sent_at, ..batch });
}

#[test]
fn a_clocks_skew_is_the_most_that_a_message_looked_ahead() {
    let mut ward = ward();
    assert_eq!(ward.report(1).clock_skew_ms, None);
    for ahead_ms in [-900, -150, -20_000] {
        send_ahead(&mut ward, 7, ahead_ms);
    }
    assert_eq!(ward.report(1).clock_skew_ms, Some(-150));
    send_ahead(&mut ward, 7, 2500);
    assert_eq!(ward.report(1).clock_skew_ms, Some(2500));
    send_ahead(&mut ward, 8, -300);
    assert_eq!(ward.report(1).clock_skew_ms, Some(-300), "a start may have set the clock");
}

#[test]
fn what_waited_for_us_says_nothing_of_a_clock() {
    let mut ward = ward();
    ward.apply(Event::Link(Link::Down));
    ward.now += 60;
    ward.apply(Event::Link(Link::Up { session_present: true }));
    send_ahead(&mut ward, 7, -60_000);
    assert_eq!(ward.report(1).clock_skew_ms, None);
    ward.apply(Event::Link(Link::CaughtUp));
    send_ahead(&mut ward, 7, -100);
    assert_eq!(ward.report(1).clock_skew_ms, Some(-100));
}
