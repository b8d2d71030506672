//! Who is where, and what stands: transfers between sites, and what is open now.

use super::*;

/// A filter of one site.
fn at(site: &str) -> Filter {
    Filter { sites: [SiteId::new(site).unwrap()].into(), ..everything() }
}

/// What a patient's transfer to the south leads to.
fn transfer(number: u8) -> Vec<Output> {
    let south = SiteId::new("south").unwrap();
    let mut moved = event_of((number, Phase::Indeterminate, Priority::Medium, None));
    moved.alert.site = Some(south.clone());
    let change = MonitoringChange {
        moved_from: Some(site_of(number)),
        site: south,
        ..monitoring(number, MonitoringState::NoData)
    };
    vec![tell(moved), Output::Monitoring(Box::new(change))]
}

#[tokio::test]
async fn a_transferred_patient_leaves_one_site_and_comes_to_the_other_with_their_alerts() {
    let mut house = House::new();
    let mut watches = [at("north"), at("south"), everything()]
        .map(|filter| house.watch(filter, Some(OutputId::default())));
    house.say(vec![watch_over(1, MonitoringState::Monitored), tell(event_of(start(1)))]);
    house.say(transfer(1));
    let expected = [
        &["p1:monitored", "start p1", "left p1"][..],
        &["indeterminate p1", "p1:no_data"],
        &["p1:monitored", "start p1", "indeterminate p1", "p1:no_data"],
    ];
    for (watch, expected) in watches.iter_mut().zip(expected) {
        let (mut words, _) = told(watch, expected.len()).await;
        words.retain(|word| word != "live");
        assert_eq!(words, expected);
    }
    // Snapshots say the same.
    for (site, expected) in [("north", "[]"), ("south", "[p1 p1:no_data]")] {
        assert_eq!(told(&mut house.watch(at(site), None), 1).await.0, [expected, "live"]);
    }
}

#[tokio::test]
async fn who_was_away_during_a_transfer_learns_of_it_from_the_journal_too() {
    let mut house = House::new();
    house.say(vec![watch_over(1, MonitoringState::Monitored)]);
    house.say(transfer(1));
    let clock = Arc::new(SystemClock);
    let (hub, handle) =
        Hub::new(&house.journal, house.position, Snapshot::default(), Arc::default(), clock)
            .unwrap();
    tokio::spawn(hub.run());
    let mut north = handle.watch(at("north"), Some(view::end_of(Position(1)))).unwrap();
    let (words, last) = told(&mut north, 1).await;
    assert_eq!(words, ["left p1"]);
    // Its cursor stands behind it.
    let mut again = handle.watch(at("north"), Some(last)).unwrap();
    house.say(vec![watch_over(2, MonitoringState::Partial)]);
    assert_eq!(told(&mut again, 1).await.0.last().unwrap(), "p2:partial");
}

#[tokio::test]
async fn what_is_open_is_told_as_of_everything_that_was_durable_when_it_was_asked_for() {
    let mut house = House::new();
    for number in 1..=200 {
        house.journal(&[start(number)]);
        let open = house.hub.open_alerts(|_| true).await.unwrap();
        assert_eq!(open.len(), usize::from(number));
        let acknowledged = event_of((number, Phase::Acknowledge, Priority::Medium, None));
        let signal = Signal::Acknowledged;
        let alert = Alert { signal, revision: 2, ..acknowledged.alert };
        house.say(vec![tell(AlertEvent { alert, ..acknowledged })]);
        let id = AlertId(Uuid::from_u128(u128::from(number)));
        let story = house.hub.open_alert(id).await.unwrap().expect("it is open");
        assert_eq!(story.alert.signal, signal);
        let phases: Vec<_> = story.events.iter().map(|event| event.phase).collect();
        assert_eq!((phases, story.is_whole()), (vec![Phase::Start, Phase::Acknowledge], true));
    }
    house.journal(&[end(7)]);
    assert!(house.hub.open_alert(AlertId(Uuid::from_u128(7))).await.unwrap().is_none());
    let of_one = |alert: &Alert| alert.patient == Some(patient_of(9));
    assert_eq!(house.hub.open_alerts(of_one).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_question_that_the_hub_can_no_longer_answer_says_so() {
    let house = House::new();
    drop(house.writer);
    house.running.await.unwrap().unwrap();
    assert!(matches!(house.hub.open_alerts(|_| true).await, Err(WatchError::Closed)));
}
