//! Watchers cut off 200 times at random moments, during restarts of the service too: they end with
//! exactly the events that an uninterrupted watcher got, each once and in order (V5).
//!
//! A ward lives meanwhile: readings come through a real broker and raise and end alerts at three
//! sites, clinicians work on them, patients are paused and transferred. Two clients watch it, one
//! everything and one a single site, and are cut off together; two more watch the same and lose
//! their streams only with the service. At the end two that were never there take up the streams
//! from their first cursors. All are compared with each other, with what the journal holds, by an
//! oracle that shares no code with the service, and with what the store holds.
//!
//! What the ward does depends on the machine's pace; what must come of it does not. The moments
//! come from a seed, which a failure shows together with the number of the cut;
//! `PULSEWARD_TEST_SEED` sets another.

mod client;
mod life;

use std::collections::BTreeSet;
use std::time::Duration;

use pulseward::engine::output::Output;
use pulseward::hub::WatchCursor;
use pulseward::proto::v1;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::client::{Client, What};
use self::life::Life;
use crate::support::house::{House, assert_same};
use crate::support::journal::entries;
use crate::support::random::Random;
use crate::support::sql::Sql;

const CUTS: usize = 200;
/// Every so many cuts the service goes down as well, in turns by SIGTERM and by `kill -9`.
const CUTS_PER_RESTART: usize = 18;
/// How long a client listens between two cuts, and is away after one.
const LISTENS_MS_MAX: i64 = 80;
const AWAY_MS_MAX: i64 = 40;
/// The site that one of the clients watches.
const SITE: &str = "north";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_two_hundred_times_ends_with_what_an_uninterrupted_watcher_got() {
    let given = std::env::var("PULSEWARD_TEST_SEED").ok();
    let seed = given.map_or(3, |given| given.parse().expect("a seed is a number"));
    eprintln!("PULSEWARD_TEST_SEED={seed}");

    let mut house = House::start(Sql::sqlite()).await;
    let url = watch::Sender::new(house.grpc_url().await);
    let cut_off = [Client::new(None), Client::new(Some(SITE))];
    let whole = [Client::new(None), Client::new(Some(SITE))];
    let over = CancellationToken::new();
    let life = Life::enroll(&house, &url).await;
    for client in cut_off.iter().chain(&whole) {
        client.until_live(&url.borrow().clone()).await;
    }
    let following = whole.clone().map(|client| {
        let (url, over) = (url.subscribe(), over.clone());
        tokio::spawn(async move { client.follow(url, over).await })
    });
    let life = life.begin(&house, whole[0].clone(), seed);

    cut(&mut house, &url, &cut_off, Random::new(seed)).await;

    life.end(&house).await;
    let ending = cut_off.clone().map(|client| {
        let (url, over) = (url.subscribe(), over.clone());
        tokio::spawn(async move { client.follow(url, over).await })
    });
    for client in cut_off.iter().chain(&whole) {
        client.until_the_last().await;
    }
    over.cancel();
    for task in ending.into_iter().chain(following) {
        task.await.expect("no panic");
    }
    for (cut_off, whole) in cut_off.iter().zip(&whole) {
        check(cut_off, whole, &url.borrow().clone()).await;
    }
    assert!(house.service.terminate().success());
    check_against_the_journal(&house, &cut_off);
    check_against_the_store(&house, &cut_off[0]).await;
}

/// Cuts the clients off again and again.
async fn cut(
    house: &mut House,
    url: &watch::Sender<String>,
    clients: &[Client; 2],
    random: Random,
) {
    let mut random = random;
    for cut in 1..=CUTS {
        let address = url.borrow().clone();
        let listens = random.between(0, LISTENS_MS_MAX);
        let messages = usize::try_from(random.between(1, 12)).expect("positive");
        let by_count = random.percent(50);
        let [one, other] = clients;
        one.at_cut(cut);
        other.at_cut(cut);
        let moment = async {
            if by_count {
                // In the middle of whatever comes at once; but nobody waits for ever.
                tokio::select! {
                    () = one.told_more(messages) => {}
                    () = pause(LISTENS_MS_MAX) => {}
                }
            } else {
                pause(listens).await;
            }
        };
        tokio::select! {
            () = async { tokio::join!(one.listen(&address), other.listen(&address)); } => {}
            () = moment => {}
        }
        if cut % CUTS_PER_RESTART == 0 {
            if (cut / CUTS_PER_RESTART).is_multiple_of(2) {
                house.service.kill9();
            } else {
                assert!(house.service.terminate().success(), "at cut {cut}");
            }
            house.service.restart().await;
            url.send_replace(house.grpc_url().await);
        } else if random.percent(60) {
            pause(random.between(0, AWAY_MS_MAX)).await;
        }
    }
}

async fn pause(milliseconds: i64) {
    tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs())).await;
}

/// Who was cut off, who was not, and who resumes at the end from the first cursor in one go.
async fn check(cut_off: &Client, whole: &Client, url: &str) {
    let late = Client::resuming(whole);
    tokio::select! {
        () = late.listen(url) => panic!("the stream ended before its last event"),
        () = late.until_the_last() => {}
    }
    let [cut_off, whole, late] = [cut_off, whole, &late].map(Client::told);
    assert_eq!((cut_off.snapshots, whole.snapshots, late.snapshots), (1, 1, 0), "who resumes");
    assert!(cut_off.lives > CUTS / 4, "it came back {} times only", cut_off.lives);
    let cursors: BTreeSet<_> = cut_off.events.iter().map(|event| &event.cursor).collect();
    assert_eq!(cursors.len(), cut_off.events.len(), "an event came twice");
    client::assert_same(&cut_off.events, &whole.events);
    client::assert_same(&cut_off.events, &late.events);
}

/// What the journal says that each client had to be told, from its first cursor to the last event.
fn check_against_the_journal(house: &House, clients: &[Client; 2]) {
    let entries = entries(house.service.dir());
    for (client, site) in clients.iter().zip([None, Some(SITE)]) {
        let told = client.told();
        let place = |cursor: &str| WatchCursor::decode(cursor).expect("a cursor").after;
        let (first, last) =
            (place(&told.first_cursor), place(&told.events.last().expect("some").cursor));
        let mut expected = Vec::new();
        for entry in &entries {
            for (index, output) in (0..).zip(&entry.outputs) {
                let id = pulseward::position::OutputId { position: entry.position, index };
                if first < id && id <= last {
                    expected.extend(oracle(output, site));
                }
            }
        }
        let found: Vec<_> = told.events.iter().map(|event| event.what.line()).collect();
        assert_same(&found, &expected);
        let has = |word: &str| found.iter().any(|line| line.split(' ').any(|it| it == word));
        for word in ["start", "end", "acknowledge", "update", "monitoring"] {
            assert!(has(word), "the ward was too quiet: no {word}");
        }
        assert_eq!(has("left"), site.is_some(), "only who watches one site loses a patient");
    }
}

/// What an output says to who watches a site, or everything, in a line.
fn oracle(output: &Output, site: Option<&str>) -> Option<String> {
    let is_seen = |at: &str| site.is_none_or(|site| site == at);
    match output {
        Output::Alert(event) => {
            let alert = &event.alert;
            let seen = alert.site.as_ref().is_none_or(|at| is_seen(at.as_str()));
            let (phase, revision) = (event.phase.name(), alert.revision);
            seen.then(|| format!("alert {} {phase} {revision}", alert.id))
        }
        Output::Monitoring(change) => {
            let (patient, state) = (&change.patient, change.state.name());
            if is_seen(change.site.as_str()) {
                Some(format!("monitoring {patient} {state}"))
            } else {
                let from = change.moved_from.as_ref()?;
                is_seen(from.as_str()).then(|| format!("left {patient}"))
            }
        }
        _ => None,
    }
}

/// Every event of an alert stands in the store, once.
async fn check_against_the_store(house: &House, client: &Client) {
    let rows = house.sql.rows("SELECT alert_id, phase, revision FROM alert_events").await;
    let stored: Vec<_> = rows.iter().map(|row| format!("alert {}", row.join(" "))).collect();
    let distinct: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!(stored.len(), distinct.len(), "an event is stored twice");
    for event in &client.told().events {
        if let What::Alert(_) = event.what {
            let line = event.what.line();
            assert!(distinct.contains(&line), "told at cut {} and not stored: {line}", event.cut);
        }
    }
}

/// As the service's own name for it: `ALERT_PHASE_START` is `start`.
fn short(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

impl What {
    /// In a line, as [`oracle`] says it.
    fn line(&self) -> String {
        match self {
            Self::Alert(event) => {
                let alert = event.alert.as_ref().expect("an event carries its alert");
                let phase = short(event.phase().as_str_name(), "ALERT_PHASE_");
                format!("alert {} {phase} {}", alert.alert_id, alert.etag)
            }
            Self::Monitoring(change) => {
                let state: v1::MonitoringState = change.state();
                let state = short(state.as_str_name(), "MONITORING_STATE_");
                format!("monitoring {} {state}", change.patient_id)
            }
            Self::Left(patient) => format!("left {patient}"),
        }
    }
}
