//! Streams that are cut, at a service that tells what it is told to.

use super::super::fake::{Fake, Told};
use super::super::tests::{alert, event, live, snapshot};
use super::*;
use crate::proto::v1::Priority;
use crate::proto::v1::watch_alerts_response as told;

const SOON: Duration = Duration::from_secs(10);

fn with_cursor(message: Message, cursor: &str) -> Message {
    let cursor = cursor.to_owned();
    match message {
        Message::Live(_) => Message::Live(told::Live { cursor }),
        Message::Event(event) => Message::Event(told::Event { cursor, ..event }),
        other => other,
    }
}

fn heartbeat(cursor: &str) -> Message {
    let cursor = cursor.to_owned();
    Message::Heartbeat(told::Heartbeat { cursor, ..told::Heartbeat::default() })
}

fn start(cursor: &str, id: &str) -> Message {
    with_cursor(event(alert(id, "p-1", Priority::High)), cursor)
}

fn live_at(cursor: &str) -> Message {
    with_cursor(live(), cursor)
}

fn open(ids: &[&str]) -> Message {
    snapshot(0, ids.iter().map(|id| alert(id, "p-1", Priority::High)).collect(), Vec::new())
}

fn cut() -> Status {
    Status::unavailable("the service stops")
}

/// Follows these streams, and one more that stays; gives what was told of them, as words, and after
/// which cursors they were asked for.
async fn followed(streams: Vec<Told>) -> (Vec<String>, Vec<String>) {
    let fake = Fake::default();
    let count = streams.len();
    fake.state().streams = streams.into();
    let (news, mut taken) = mpsc::channel(64);
    let service = Service::at(fake.serve().await);
    let following = tokio::spawn(Alerts::new(service, Scope::default(), news).run());
    let mut words = Vec::new();
    let mut opened = 0;
    while opened <= count {
        let news = timeout(SOON, taken.recv()).await.expect("in time").expect("followed");
        opened += usize::from(matches!(news, News::Opened));
        words.push(word(&news));
    }
    drop(taken);
    let ended = timeout(SOON, following).await.expect("in time").expect("no panic");
    ended.expect("nobody listens any more");
    let cursors = fake.state().watched.iter().map(|it| it.resume_after.clone()).collect();
    (words, cursors)
}

fn word(news: &News) -> String {
    match news {
        News::Opened => "opened".to_owned(),
        News::Cut(why) => format!("cut: {why}"),
        News::Alerts(message) => match &**message {
            Message::Snapshot(it) => format!("snapshot of {}", it.alerts.len()),
            Message::Live(_) => "live".to_owned(),
            Message::Event(it) => format!("event {}", it.cursor),
            Message::Heartbeat(_) => "heartbeat".to_owned(),
            Message::LeftScope(_) => "left".to_owned(),
        },
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cut_stream_is_taken_up_after_the_last_cursor_and_nothing_is_missed() {
    let first = (vec![open(&["a"]), live_at("1"), start("2", "b"), heartbeat("3")], cut());
    let second = (vec![start("4", "c"), live_at("5")], Status::resource_exhausted("too slow"));
    let (words, cursors) = followed(vec![first, second]).await;
    let first =
        ["opened", "snapshot of 1", "live", "event 2", "heartbeat", "cut: the service stops"];
    let second = ["opened", "event 4", "live", "cut: too slow", "opened"];
    assert_eq!(words, [&first[..], &second[..]].concat());
    assert_eq!(cursors, ["", "3", "5"]);
}

#[tokio::test]
async fn a_cursor_that_is_gone_leads_to_a_new_snapshot() {
    let first = (vec![open(&["a"]), live_at("1")], cut());
    let gone = (Vec::new(), Status::out_of_range("CURSOR_TOO_OLD"));
    let anew = (vec![open(&["a", "b"]), live_at("9")], cut());
    let (words, cursors) = followed(vec![first, gone, anew]).await;
    assert!(words.contains(&"snapshot of 2".to_owned()), "{words:?}");
    assert_eq!(cursors, ["", "1", "", "9"]);
}

#[tokio::test]
async fn a_cut_within_a_snapshot_begins_it_anew() {
    let first = (vec![open(&["a"]), live_at("1")], cut());
    let gone = (Vec::new(), Status::out_of_range("CURSOR_FOREIGN"));
    let half = (vec![open(&["a"]), heartbeat("5")], cut());
    let (_, cursors) = followed(vec![first, gone, half]).await;
    assert_eq!(cursors, ["", "1", "", ""], "behind 5 the rest of the snapshot would be missing");
}

#[tokio::test]
async fn what_is_refused_at_first_is_an_error_and_so_is_a_service_that_is_not_there() {
    let fake = Fake::default();
    fake.state().streams = [(Vec::new(), Status::permission_denied("not yours"))].into();
    let (news, _taken) = mpsc::channel(64);
    let service = Service::at(fake.serve().await);
    let refused = Alerts::new(service, Scope::default(), news.clone()).run().await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let nowhere = Service::at("http://127.0.0.1:1");
    let absent = Alerts::new(nowhere, Scope::default(), news).run().await;
    assert!(matches!(absent, Err(Error::Connect { .. })), "{absent:?}");
}

#[tokio::test]
async fn vitals_are_of_the_sites_that_are_known_and_begin_anew_when_one_comes() {
    let fake = Fake::default();
    let (news, taken) = mpsc::channel(64);
    let (sites, named) = watch::channel(BTreeSet::new());
    let service = Service::at(fake.serve().await);
    let following = tokio::spawn(vitals(service, Scope::default(), named, news));
    for known in [vec!["north"], vec!["north", "south"]] {
        sites.send_replace(known.iter().map(|it| (*it).to_owned()).collect());
        let asked = async {
            while fake.state().vitals_watched.last().is_none_or(|it| it.site_ids != known) {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, asked).await.expect("asked for");
    }
    drop(taken);
    timeout(SOON, following).await.expect("in time").expect("no panic");
}

#[test]
fn named_patients_are_watched_whatever_their_site_and_at_most_so_many_sites() {
    let scope = Scope { patients: vec!["p-1".to_owned()], ..Scope::default() };
    let sites: BTreeSet<_> = (0..=SITES_MAX).map(|it| format!("s-{it:03}")).collect();
    let of_patients = request(&scope, &sites).expect("somebody");
    assert_eq!((of_patients.patient_ids.len(), of_patients.site_ids.len()), (1, 0));
    let of_sites = request(&Scope::default(), &sites).expect("somebody");
    assert_eq!(of_sites.site_ids.len(), SITES_MAX);
    assert_eq!(request(&Scope::default(), &BTreeSet::new()), None);
}
