//! Streams of alerts at the door: cursors, and what is said of those that are not good.

use tokio_stream::StreamExt as _;

use super::fakes::{Door, open_before, settings};
use super::*;
use crate::hub::tests::House;
use crate::hub::tests::house::{end, start};
use crate::hub::{Filter, WatchCursor};
use crate::position::{JournalId, OutputId, Position};
use crate::proto::v1::watch_alerts_response::Message;

/// The status with which a watch is refused.
async fn refusal(door: &Door, resume_after: String) -> Status {
    let request = v1::WatchAlertsRequest { filter: None, resume_after };
    door.alerts().watch_alerts(request).await.expect_err("refused")
}

/// Behind the whole entry at a position, for who sees everything.
fn cursor(house: &House, position: u64) -> WatchCursor {
    let after = OutputId { position: Position(position), index: u32::MAX };
    house.handle().cursor(Filter::everything(Sites::All).digest(), after)
}

#[tokio::test]
async fn each_cursor_that_is_not_good_says_why_and_what_to_do() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    house.journal(&[end(1)]);
    let door = open_before(house.handle(), settings()).await;
    let good = cursor(&house, 1);
    let foreign = WatchCursor { journal_id: JournalId::generate(), ..good };
    let of_other_filter = WatchCursor { filter: good.filter ^ 1, ..good };
    for (cursor, reason) in [
        (cursor(&house, 3), "CURSOR_BEYOND"),
        (foreign, "CURSOR_FOREIGN"),
        (of_other_filter, "CURSOR_OF_OTHER_FILTER"),
    ] {
        let status = refusal(&door, cursor.encode()).await;
        check(&status, Code::OutOfRange, reason);
        assert!(status.message().ends_with("watch again without resume_after"), "{status}");
    }
    let status = refusal(&door, "nonsense?".to_owned()).await;
    check(&status, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&status), ["resume_after"]);
    assert!(status.message().ends_with("watch again without it"), "{status}");
    door.close().await;
}

#[tokio::test]
async fn who_resumes_gets_no_snapshot_and_every_message_carries_a_cursor_that_resumes() {
    let mut house = House::new();
    house.journal(&[start(1), start(2)]);
    let door = open_before(house.handle(), settings()).await;
    let mut resume_after = cursor(&house, 0).encode();
    let mut seen = Vec::new();
    // One message a stream: whatever comes, the next stream goes on behind it.
    while seen.len() < 3 {
        let request = v1::WatchAlertsRequest { filter: None, resume_after: resume_after.clone() };
        let mut stream = door.alerts().watch_alerts(request).await.expect("open").into_inner();
        let first = stream.next().await.expect("a message").expect("no error").message;
        match first.expect("a kind") {
            Message::Event(event) => {
                resume_after = event.cursor;
                seen.push("event");
            }
            Message::Live(live) => {
                resume_after = live.cursor;
                seen.push("live");
            }
            message => panic!("{message:?}"),
        }
    }
    assert_eq!(seen, ["event", "event", "live"]);
    door.close().await;
}

#[tokio::test]
async fn a_snapshot_comes_in_parts_of_which_the_first_replaces() {
    let mut house = House::new();
    house.journal(&[start(1)]);
    house.say(vec![crate::hub::tests::house::watch_over(
        1,
        crate::engine::output::MonitoringState::Partial,
    )]);
    let door = open_before(house.handle(), settings()).await;
    let request = v1::WatchAlertsRequest::default();
    // The hub may have followed less yet: then it is an event.
    door.alerts()
        .list_alerts(v1::ListAlertsRequest { open_only: true, ..Default::default() })
        .await
        .expect("the hub is there");
    let stream = door.alerts().watch_alerts(request).await.expect("open").into_inner();
    let parts: Vec<_> = stream.take(3).map(|it| it.expect("no error").message).collect().await;
    let Some(Message::Snapshot(alerts)) = &parts[0] else { panic!("{parts:?}") };
    let Some(Message::Snapshot(patients)) = &parts[1] else { panic!("{parts:?}") };
    assert_eq!((alerts.part, alerts.alerts.len(), alerts.patients.len()), (0, 1, 0));
    assert_eq!((patients.part, patients.alerts.len(), patients.patients.len()), (1, 0, 1));
    assert!(matches!(parts[2], Some(Message::Live(_))), "{parts:?}");
    door.close().await;
}
