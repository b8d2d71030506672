//! One watcher's places by themselves: how often, in which order, and what is counted.

use proptest::prelude::*;

use super::super::slots::Next;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn places(interval: Duration) -> Slots {
    Slots::new(interval, Arc::default(), usize::MAX)
}

fn live(number: u32, at: i64, rate: i64) -> LiveReading {
    LiveReading {
        patient: patient_of(number),
        device: device_of(number),
        reading: beat(number, at, rate),
        received_at: None,
    }
}

/// What is taken: `80`, or `80 +3` with what was left out before.
fn take(slots: &mut Slots, now: Instant) -> Option<String> {
    match slots.take(now) {
        Next::Told(told) => match *told {
            Told::Reading { live, conflated } => {
                let Value::Quantity(rate) = live.reading.value else { panic!("{live:?}") };
                Some(match conflated {
                    0 => format!("{}", rate.to_f64()),
                    _ => format!("{} +{conflated}", rate.to_f64()),
                })
            }
            Told::Left(patient) => Some(format!("{patient} left")),
            Told::Heartbeat(_) => panic!("none was given"),
        },
        Next::Wait(_) => None,
        Next::Ended(why) => Some(format!("ended: {why}")),
    }
}

#[test]
fn two_readings_of_a_vital_are_as_far_apart_as_was_asked() {
    let (mut slots, begin) = (places(SECOND), Instant::now());
    slots.offer(live(1, 1, 80), begin);
    assert_eq!(take(&mut slots, begin).as_deref(), Some("80"));
    slots.offer(live(1, 2, 81), begin);
    slots.offer(live(2, 2, 90), begin);
    assert_eq!(take(&mut slots, begin).as_deref(), Some("90"), "each vital has its own time");
    assert_eq!(take(&mut slots, begin), None);
    assert!(matches!(slots.take(begin), Next::Wait(Some(at)) if at == begin + SECOND));
    slots.offer(live(1, 3, 82), begin);
    assert_eq!(take(&mut slots, begin + SECOND).as_deref(), Some("82 +1"));
}

#[test]
fn what_came_late_never_takes_the_place_of_something_newer_and_is_counted() {
    let (mut slots, now) = (places(Duration::ZERO), Instant::now());
    slots.offer(live(1, 10, 80), now);
    slots.offer(live(1, 9, 81), now);
    assert_eq!(take(&mut slots, now).as_deref(), Some("80 +1"));
    slots.offer(live(1, 9, 82), now);
    slots.offer(live(1, 10, 83), now);
    assert_eq!(take(&mut slots, now), None, "nothing of the past is shown again");
    slots.offer(live(1, 11, 84), now);
    assert_eq!(take(&mut slots, now).as_deref(), Some("84 +2"));
}

#[test]
fn what_was_known_at_the_beginning_is_told_once_though_it_comes_from_the_journal_too() {
    let (mut slots, now) = (places(Duration::ZERO), Instant::now());
    slots.offer(live(1, 1, 79), now);
    slots.begin_with(live(1, 2, 80), now);
    slots.offer(live(1, 2, 80), now);
    slots.begin_with(live(2, 5, 90), now);
    slots.begin_with(live(1, 1, 79), now);
    slots.begun();
    assert_eq!(take(&mut slots, now).as_deref(), Some("80 +1"));
    assert_eq!(take(&mut slots, now).as_deref(), Some("90"));
    assert_eq!(take(&mut slots, now), None);
}

#[test]
fn nothing_is_told_of_who_has_left_though_it_was_known_before() {
    let (mut slots, now) = (places(Duration::ZERO), Instant::now());
    slots.offer(live(1, 1, 80), now);
    slots.leave(PatientKey(1), &patient_of(1));
    slots.begin_with(live(1, 1, 80), now);
    slots.offer(live(2, 1, 90), now);
    assert!(!slots.has_told(now));
    assert_eq!(take(&mut slots, now).as_deref(), Some("p1 left"));
    assert_eq!(take(&mut slots, now).as_deref(), Some("90"));
    assert_eq!(take(&mut slots, now), None);
    assert!(slots.has_told(now));
    // Who comes back is told of from then on.
    slots.offer(live(1, 2, 81), now);
    assert_eq!(take(&mut slots, now).as_deref(), Some("81"));
}

#[test]
fn more_places_than_all_may_have_end_the_one_that_asks_for_them_and_are_free_again() {
    let in_all = Arc::new(AtomicUsize::new(0));
    let places = || Slots::new(Duration::ZERO, Arc::clone(&in_all), 3);
    let (mut one, mut other, now) = (places(), places(), Instant::now());
    one.offer(live(1, 1, 80), now);
    other.offer(live(1, 1, 80), now);
    other.offer(live(2, 1, 80), now);
    other.offer(live(3, 1, 80), now);
    assert_eq!(take(&mut one, now).as_deref(), Some("80"));
    let ended = take(&mut other, now).expect("ended");
    assert!(ended.starts_with("ended: more vitals"), "{ended}");
    one.offer(live(2, 1, 81), now);
    one.offer(live(3, 1, 82), now);
    assert_eq!(take(&mut one, now).as_deref(), Some("81"));
    drop(one);
    assert_eq!(in_all.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn who_reads_nothing_for_minutes_is_let_go_and_who_reads_slowly_is_not() {
    let heartbeat = Heartbeat {
        last: super::super::super::view::end_of(Position::START),
        service_time: House::time(0),
        ingest_connected: true,
        engine_lag: Duration::ZERO,
    };
    let begin = Instant::now();
    let (mut asleep, mut slow) = (places(SECOND), places(SECOND));
    for beats in 0..=30 {
        let now = begin + beats * HEARTBEAT_EVERY;
        assert!(slow.beat(heartbeat, now) && asleep.beat(heartbeat, now), "{beats}");
        if beats % 15 == 0 {
            assert!(matches!(slow.take(now), Next::Told(_)));
        }
    }
    let now = begin + UNREAD_MAX + HEARTBEAT_EVERY;
    assert!(slow.beat(heartbeat, now) && !asleep.beat(heartbeat, now));
    asleep.offer(live(1, 1, 80), now);
    assert!(matches!(asleep.take(now), Next::Ended(VitalsEnded::TooSlow)));
}

proptest! {
    #[test]
    fn what_is_taken_and_what_is_told_as_left_out_is_everything_and_ends_with_the_newest(
        steps in proptest::collection::vec((0_i64..50, 0_u64..400, any::<bool>()), 1..200),
    ) {
        let (mut slots, begin) = (places(SECOND), Instant::now());
        let (mut now, mut offered, mut told) = (begin, 0, 0);
        let (mut taken_at, mut newest) = (None::<Instant>, i64::MIN);
        for (at, millis, is_taken) in steps {
            now += Duration::from_millis(millis);
            slots.offer(live(1, at, at), now);
            offered += 1;
            newest = newest.max(at);
            if is_taken && let Next::Told(it) = slots.take(now) {
                let Told::Reading { conflated, .. } = *it else { panic!("a reading") };
                told += 1 + conflated;
                prop_assert!(taken_at.is_none_or(|before| now - before >= SECOND));
                taken_at = Some(now);
            }
        }
        // One more, which brings along what was left out since.
        slots.offer(live(1, 99, 99), now);
        let Next::Told(it) = slots.take(now + SECOND) else { panic!("it is due") };
        let Told::Reading { live, conflated } = *it else { panic!("a reading") };
        prop_assert_eq!(live.reading.measured_at, House::time(99));
        prop_assert_eq!(told + 1 + conflated, offered + 1);
    }
}
