//! Watchers that are behind: what they are told while they catch up, and what they cost.

use futures_util::FutureExt as _;

use super::*;

/// A hub that remembers nothing of a journal, and its way in.
fn forgetful(house: &House) -> Handle {
    let clock = Arc::new(SystemClock);
    let (hub, handle) =
        Hub::new(&house.journal, house.position, Snapshot::default(), Arc::default(), clock)
            .unwrap();
    tokio::spawn(hub.run());
    handle
}

#[tokio::test]
async fn who_catches_up_from_the_journal_is_told_of_life_meanwhile() {
    let mut house = House::new();
    house.journal(&[start(1), start(2)]);
    let mut hub = forgetful(&house);
    hub.heartbeat_every = Duration::from_millis(1);
    // All who may read the journal do.
    let readers = hub.readers.clone().acquire_many_owned(16).await.unwrap();
    let after = OutputId { position: Position(1), index: 0 };
    let mut watch = hub.watch(everything(), Some(after)).unwrap();
    for _ in 0..3 {
        let Ok(Some(Update::Heartbeat(heartbeat))) = watch.next().await else {
            panic!("nothing else can come")
        };
        assert_eq!(heartbeat.last, after, "no cursor runs ahead of what was given");
    }
    drop(readers);
    assert_eq!(told(&mut watch, 1).await.0, ["start p2"]);
}

#[tokio::test]
async fn a_heartbeat_comes_between_the_events_of_a_long_catching_up() {
    let mut house = House::new();
    for _ in 0..200 {
        house.journal(&[start(1); 10]);
    }
    let mut hub = forgetful(&house);
    hub.heartbeat_every = Duration::from_millis(50);
    let mut watch = hub.watch(everything(), Some(OutputId::default())).unwrap();
    let (mut events, mut heartbeats, mut given) = (0, 0, OutputId::default());
    while events < 2000 {
        match watch.next().await.unwrap().unwrap() {
            Update::Event(event) => {
                (events, given) = (events + 1, event.id);
                if events == 1 {
                    // As a client that takes its time.
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            }
            Update::Heartbeat(heartbeat) => {
                assert!(heartbeat.last >= given, "it says what was given");
                heartbeats += 1;
            }
            update => panic!("{update:?}"),
        }
    }
    assert!(heartbeats > 0);
}

#[tokio::test]
async fn a_dropped_call_loses_nothing() {
    let mut house = House::new();
    house.journal(&[start(1), start(2), start(3)]);
    let hub = forgetful(&house);
    let mut watch = hub.watch(everything(), Some(OutputId::default())).unwrap();
    let mut words = Vec::new();
    while words.len() < 3 {
        tokio::select! {
            biased;
            update = watch.next() => {
                if let Update::Event(event) = update.unwrap().unwrap() {
                    words.push(word(&event));
                }
            }
            // Polled once, then dropped and called again.
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(words, ["start p1", "start p2", "start p3"]);
}

/// An event with a note of so many bytes.
fn with_note(bytes: usize) -> Output {
    tell(AlertEvent { note: Some("n".repeat(bytes)), ..event_of(start(1)) })
}

#[tokio::test]
async fn a_queue_is_bounded_in_bytes_and_what_it_held_is_let_go() {
    let mut house = House::new();
    house.hub.patience = Duration::ZERO;
    let mut asleep = house.watch(everything(), None);
    let mut awake = house.watch(everything(), None);
    told(&mut asleep, 1).await;
    told(&mut awake, 1).await;
    // Far fewer than the queue holds, and more bytes.
    let mut first = None;
    for _ in 0..6 {
        house.say(vec![with_note(200 << 10)]);
        let Ok(Some(Update::Event(event))) = awake.next().await else { panic!("it is told") };
        let Change::Alert(event) = event.change else { panic!("an alert") };
        first.get_or_insert_with(|| Arc::downgrade(&event));
    }
    let Err(Ended::Lagged { .. }) = asleep.next().await else { panic!("it holds too much") };
    // Nobody but the hub's memory holds the first one now.
    assert_eq!(first.unwrap().strong_count(), 1);
}

#[tokio::test]
async fn memory_of_the_past_is_bounded_in_bytes_and_the_rest_is_in_the_journal() {
    let mut house = House::new();
    let mut awake = house.watch(everything(), None);
    told(&mut awake, 1).await;
    let mut remembered = Vec::new();
    for _ in 0..40 {
        house.say(vec![with_note(500 << 10)]);
        let Ok(Some(Update::Event(event))) = awake.next().await else { panic!("it is told") };
        let Change::Alert(event) = event.change else { panic!("an alert") };
        remembered.push(Arc::downgrade(&event));
    }
    let held = remembered.iter().filter(|event| event.strong_count() > 0).count();
    assert!((20..=32).contains(&held), "{held} half MiB are held");
    let mut resumed = house.watch(everything(), Some(OutputId::default()));
    let words = told(&mut resumed, 40).await.0;
    assert_eq!(words.iter().filter(|word| *word == "start p1").count(), 40);
}

#[tokio::test]
async fn who_lagged_before_anything_was_given_starts_again() {
    let mut house = House::new();
    house.hub.patience = Duration::ZERO;
    let mut awake = house.watch(everything(), None);
    told(&mut awake, 1).await;
    let mut asleep = house.watch(everything(), None);
    // It asks to be let in, and takes nothing.
    assert!(asleep.next().now_or_never().is_none(), "the hub has not answered yet");
    for _ in 0..20 {
        house.journal(&[start(1); 100]);
        told(&mut awake, 100).await;
    }
    let Err(Ended::Lagged { last, .. }) = asleep.next().await else { panic!("it lags") };
    assert_eq!(last, None);
}
