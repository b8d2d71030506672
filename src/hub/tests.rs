//! The hub on a real journal: what watchers are told, and when.

pub(crate) mod house;
mod late;
mod standing;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;

use self::house::*;
pub(crate) use self::house::{House, idle};
use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use crate::engine::input::{Event, Input, Publish, Sites};
use crate::engine::output::{Erased, MonitoringChange, MonitoringState, Output, PatientRow};
use crate::engine::profile::{Eligibility, Scope};
use crate::journal::{Record, Settings, Writer};
use crate::vitals::{
    DeviceId, PatientId, PatientKey, Priority, Quantity, RuleId, SiteId, SiteKey, Vital,
};

#[tokio::test]
async fn a_new_watcher_gets_what_is_open_and_then_what_happens() {
    let mut house = House::new();
    house.journal(&[start(1), start(2)]);
    house.journal(&[end(1)]);
    let mut first = house.watch(everything(), Some(OutputId::default()));
    told(&mut first, 3).await;
    let mut watch = house.watch(everything(), None);
    let (words, _) = told(&mut watch, 1).await;
    assert_eq!(words, ["[p2]", "live"]);
    house.journal(&[start(3)]);
    assert_eq!(told(&mut watch, 1).await.0, ["start p3"]);
}

#[tokio::test]
async fn who_resumes_gets_exactly_what_came_after_the_cursor() {
    let mut house = House::new();
    house.journal(&[start(1), start(2), start(3)]);
    let after = OutputId { position: Position(1), index: 0 };
    let mut watch = house.watch(everything(), Some(after));
    house.journal(&[end(2)]);
    // `live` stands somewhere among them, depending on how far the hub was.
    let (mut words, _) = told(&mut watch, 3).await;
    words.retain(|word| word != "live");
    assert_eq!(words, ["start p2", "start p3", "end p2"]);
}

#[tokio::test]
async fn what_left_memory_comes_from_the_journal() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    // A hub that begins here remembers nothing before.
    let (hub, handle) = Hub::new(
        &house.journal,
        house.position,
        Snapshot::default(),
        Arc::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let running = tokio::spawn(hub.run());
    let mut watch = handle.watch(everything(), Some(OutputId::default())).unwrap();
    assert_eq!(told(&mut watch, 1).await.0, ["start p1"]);
    house.journal(&[end(1)]);
    assert_eq!(told(&mut watch, 1).await.0.last().unwrap(), "end p1");
    drop(house.writer);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_alert_that_falls_below_the_filter_is_still_told() {
    let mut house = House::new();
    let high = Filter { priority_min: Priority::High, ..everything() };
    let mut watch = house.watch(high, Some(OutputId::default()));
    house.journal(&[start(1)]);
    house.journal(&[(1, Phase::Escalate, Priority::High, Some(Priority::Medium))]);
    house.journal(&[(1, Phase::Deescalate, Priority::Medium, Some(Priority::High))]);
    house.journal(&[end(1)]);
    house.journal(&[(2, START, Priority::High, None)]);
    let words: Vec<_> =
        told(&mut watch, 3).await.0.into_iter().filter(|word| word != "live").collect();
    assert_eq!(words, ["escalate p1", "deescalate p1", "start p2"]);
}

#[tokio::test]
async fn another_sites_alerts_are_not_shown() {
    let mut house = House::new();
    let sites = Sites::Only(vec![SiteId::new("south").unwrap()]);
    let mut watch = house.watch(Filter { scope: sites, ..everything() }, Some(OutputId::default()));
    house.journal(&[start(1), start(101)]);
    let words = told(&mut watch, 1).await.0;
    assert_eq!(words.last().unwrap(), "start p101");
    assert!(!words.contains(&"start p1".to_owned()));
}

/// A burst that no queue holds, while another watcher reads along.
async fn burst(house: &mut House) -> (Watch, OutputId) {
    let mut asleep = house.watch(everything(), None);
    let mut awake = house.watch(everything(), None);
    let (_, given) = told(&mut asleep, 1).await;
    told(&mut awake, 1).await;
    for _ in 0..20 {
        house.journal(&[start(1); 100]);
        told(&mut awake, 100).await;
    }
    (asleep, given)
}

#[tokio::test]
async fn a_watcher_that_never_reads_is_closed_and_the_rest_notice_nothing() {
    let mut house = House::new();
    house.hub.patience = Duration::ZERO;
    let (mut asleep, given) = burst(&mut house).await;
    let Err(Ended::Lagged { last, .. }) = asleep.next().await else { panic!("it lags") };
    assert_eq!(last, Some(given), "it can resume behind the last that it was given");
}

#[tokio::test]
async fn a_watcher_that_comes_back_after_a_burst_has_missed_nothing() {
    let mut house = House::new();
    let (mut asleep, _) = burst(&mut house).await;
    let mut given = Vec::new();
    while given.len() < 2000 {
        if let Some(Update::Event(event)) = asleep.next().await.unwrap() {
            given.push(event.id);
        }
    }
    assert!(given.is_sorted_by(|before, after| before < after), "in order, and none twice");
}

#[tokio::test]
async fn every_stream_ends_with_the_journal() {
    let house = House::new();
    let mut watch = house.watch(everything(), None);
    told(&mut watch, 1).await;
    drop(house.writer);
    house.running.await.unwrap().unwrap();
    assert!(matches!(watch.next().await, Ok(None)));
}

#[tokio::test]
async fn a_cursor_beyond_the_journal_is_an_error_at_once() {
    let house = House::new();
    let after = OutputId { position: Position(9), index: 0 };
    assert!(house.hub.watch(everything(), Some(after)).is_err());
}

#[tokio::test]
async fn a_watcher_ahead_of_the_hub_gets_nothing_twice_and_no_older_cursor() {
    let mut house = House::new();
    let clock = Arc::new(SystemClock);
    let (mut behind, _handle) =
        Hub::new(&house.journal, Position::START, Snapshot::default(), Arc::default(), clock)
            .unwrap();
    house.journal(&[start(1)]);
    // The watcher has read the first entry itself before this hub came to it.
    let after = view::end_of(Position(1));
    let (joined, answer) = oneshot::channel();
    behind.join(Join { filter: Arc::new(everything()), after: Some(after), joined });
    let Ok(Joined::In(mut queue)) = answer.await else { panic!("there is room") };
    behind.beat();
    let running = tokio::spawn(behind.run());
    house.journal(&[end(1)]);
    let mut words = Vec::new();
    while words.len() < 3 {
        let queue::Next::Update(update) = queue.next().await else { panic!("the hub runs") };
        words.push(match update {
            Update::Live { last } => format!("live {}", last >= after),
            Update::Heartbeat(heartbeat) => format!("heartbeat {}", heartbeat.last >= after),
            Update::Event(event) => word(&event),
            Update::Snapshot { .. } => panic!("who resumes gets none"),
        });
    }
    assert_eq!(words, ["live true", "heartbeat true", "end p1"]);
    drop(house.writer);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_retrospective_alert_is_told_once_and_never_stands_open() {
    let mut house = House::new();
    let mut watch = house.watch(everything(), Some(OutputId::default()));
    let mut late = event_of(start(1));
    late.alert.retrospective = true;
    late.alert.condition = Condition::Inactive;
    late.alert.signal = Signal::Off;
    house.say(vec![tell(late)]);
    assert_eq!(told(&mut watch, 1).await.0.last().unwrap(), "start p1");
    let mut later = house.watch(everything(), None);
    assert_eq!(told(&mut later, 1).await.0, ["[]", "live"]);
}

#[tokio::test]
async fn a_patient_who_was_erased_leaves_those_who_watch_and_those_to_come() {
    let mut house = House::new();
    let only = |number| Filter { patients: BTreeSet::from([patient_of(number)]), ..everything() };
    let mut watch = house.watch(only(1), Some(OutputId::default()));
    let partial = |number| watch_over(number, MonitoringState::Partial);
    house.say(vec![partial(1), partial(2), tell(event_of(start(1)))]);
    house.say(vec![tell(event_of(end(1))), erased(2, Some(patient_of(2)))]);
    house.say(vec![erased(1, Some(patient_of(1))), erased(3, None)]);
    let told_of = ["p1:partial", "start p1", "end p1", "left p1"];
    let heard = told(&mut watch, told_of.len()).await.0;
    assert_eq!(heard.iter().filter(|word| *word != "live").collect::<Vec<_>>(), told_of);
    let mut later = house.watch(everything(), None);
    assert_eq!(told(&mut later, 1).await.0, ["[]", "live"]);
}

#[tokio::test]
async fn a_latched_alert_stands_open_until_it_is_reset() {
    let mut house = House::new();
    let mut watch = house.watch(everything(), Some(OutputId::default()));
    let mut latched = event_of(end(1));
    latched.alert.signal = Signal::Latched;
    house.say(vec![tell(event_of(start(1))), tell(latched)]);
    told(&mut watch, 2).await;
    let mut other = house.watch(everything(), None);
    assert_eq!(told(&mut other, 1).await.0, ["[p1]", "live"]);
    let mut reset = event_of(end(1));
    reset.phase = Phase::Reset;
    house.say(vec![tell(reset)]);
    assert_eq!(told(&mut other, 1).await.0, ["reset p1"]);
    let mut later = house.watch(everything(), None);
    assert_eq!(told(&mut later, 1).await.0, ["[]", "live"]);
}

#[tokio::test]
async fn how_patients_are_watched_is_in_the_snapshot_and_in_order_with_alerts() {
    let mut house = House::new();
    let mut first = house.watch(everything(), Some(OutputId::default()));
    house
        .say(vec![watch_over(1, MonitoringState::NoData), watch_over(2, MonitoringState::Partial)]);
    house.say(vec![watch_over(1, MonitoringState::Monitored), tell(event_of(start(1)))]);
    let (words, _) = told(&mut first, 4).await;
    let words: Vec<_> = words.into_iter().filter(|word| word != "live").collect();
    assert_eq!(words, ["p1:no_data", "p2:partial", "p1:monitored", "start p1"]);
    let mut watch = house.watch(everything(), None);
    assert_eq!(told(&mut watch, 1).await.0, ["[p1 p1:monitored p2:partial]", "live"]);
    house.say(vec![tell(event_of(end(1))), watch_over(1, MonitoringState::NoDevice)]);
    assert_eq!(told(&mut watch, 2).await.0, ["end p1", "p1:no_device"]);
}

#[tokio::test]
async fn who_resumes_between_an_alert_and_a_monitoring_change_gets_the_rest() {
    let mut house = House::new();
    house.say(vec![tell(event_of(start(1))), watch_over(1, MonitoringState::Partial)]);
    let after = OutputId { position: Position(1), index: 0 };
    let mut watch = house.watch(everything(), Some(after));
    let (words, last) = told(&mut watch, 1).await;
    assert_eq!(words.last().unwrap(), "p1:partial");
    assert_eq!(last, OutputId { position: Position(1), index: 1 });
    // From the journal as well, for a hub that begins behind it.
    let clock = Arc::new(SystemClock);
    let (hub, handle) =
        Hub::new(&house.journal, house.position, Snapshot::default(), Arc::default(), clock)
            .unwrap();
    let running = tokio::spawn(hub.run());
    let mut watch = handle.watch(everything(), Some(after)).unwrap();
    assert_eq!(told(&mut watch, 1).await.0.last().unwrap(), "p1:partial");
    drop(house.writer);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hub_begins_with_what_followers_believe() {
    let house = House::new();
    let standing = Snapshot {
        alerts: vec![Arc::new(event_of(start(7)).alert)],
        patients: vec![Arc::new(monitoring(7, MonitoringState::Paused))],
    };
    let clock = Arc::new(SystemClock);
    let (hub, handle) =
        Hub::new(&house.journal, Position::START, standing, Arc::default(), clock).unwrap();
    let running = tokio::spawn(hub.run());
    let mut watch = handle.watch(everything(), None).unwrap();
    assert_eq!(told(&mut watch, 1).await.0, ["[p7 p7:paused]", "live"]);
    drop(house.writer);
    running.await.unwrap().unwrap();
}

/// What each filter lets through of alerts of a patient, of that patient's monitoring, of a
/// gateway at the same site, and of the service itself.
#[test]
fn who_filters_still_hears_that_nothing_can_be_heard() {
    let north = || Some(site_of(1));
    let outputs = [
        tell(event_of(start(1))),
        watch_over(1, MonitoringState::NoData),
        technical(Phase::Start, north()),
        technical(Phase::Start, None),
    ];
    let entry = Entry {
        position: Position(1),
        input: Input { received_at: now(), event: Event::Tick },
        outputs: outputs.into(),
    };
    let check = |filter: Filter, expected: &[&str]| {
        let admitted = view::events(&entry).filter(|event| filter.admits_change(&event.change));
        assert_eq!(admitted.map(|event| word(&event)).collect::<Vec<_>>(), expected);
    };
    let (alert, watched) = ("start p1", "p1:no_data");
    let (gateway, service) = ("start gateway@north", "start service");
    let south = Sites::Only(vec![site_of(101)]);
    check(everything(), &[alert, watched, gateway, service]);
    check(
        Filter { sites: [site_of(1)].into(), ..everything() },
        &[alert, watched, gateway, service],
    );
    check(Filter { patients: [patient_of(1)].into(), ..everything() }, &[alert, watched, service]);
    check(Filter { patients: [patient_of(2)].into(), ..everything() }, &[service]);
    check(Filter { sites: [site_of(101)].into(), ..everything() }, &[service]);
    check(Filter { scope: south, ..everything() }, &[service]);
    // The alerts are of medium priority; how a patient is watched has none.
    check(Filter { priority_min: Priority::High, ..everything() }, &[watched]);
}

#[tokio::test]
async fn ingest_is_connected_while_the_link_is_up_and_messages_are_taken() {
    let mut house = House::new();
    let up = || Event::Link(Link::Up { session_present: true });
    for (event, expected) in [
        (up(), true),
        (Event::Intake(Intake::Held), false),
        (Event::Link(Link::Down), false),
        (up(), false),
        (Event::Intake(Intake::Resumed), true),
        (Event::Link(Link::Down), false),
        (Event::Intake(Intake::Held), false),
        (Event::Started { last_alive: None }, false),
        (up(), true),
    ] {
        house.commit(event.clone(), Vec::new());
        house.ingest_connected.changed().await.unwrap();
        assert_eq!(*house.ingest_connected.borrow_and_update(), expected, "{event:?}");
    }
}
