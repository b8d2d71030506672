//! What callers get to know of refused messages: each once, latest first, those of their sites;
//! and that what was sent through again says so.

use std::time::Duration;

use bytes::Bytes;
use pulseward::clock::Timestamp;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Encoding, Event, Input, Principal, Publish, Redrive, RefusedSpan, Role, Sites,
};
use pulseward::engine::output::{Output, RedrivenMessage, Reject, RejectReason};
use pulseward::position::{MessageId, Partition, Position};
use pulseward::store::{
    History, HistoryError, RejectedMessage, RejectedPage, RejectedQuery, open_history,
};

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

fn everything() -> RejectedQuery {
    RejectedQuery {
        sites: Sites::All,
        site: None,
        device: None,
        reasons: None,
        from: Timestamp::MIN,
        until: Timestamp::MAX,
        with_payload: false,
        page_size: 100,
        page_token: None,
    }
}

fn for_reasons(reasons: &[RejectReason]) -> RejectedQuery {
    RejectedQuery { reasons: Some(reasons.to_vec()), ..everything() }
}

fn only(sites: &[&str]) -> Sites {
    Sites::Only(sites.iter().map(|site| site.parse().expect("an id")).collect())
}

fn at(seconds: u64) -> Timestamp {
    noon().plus(Duration::from_secs(seconds))
}

fn published(topic: &str, payload: impl Into<Bytes>) -> Publish {
    Publish {
        topic: topic.to_owned(),
        payload: payload.into(),
        encoding: Some(Encoding::Json),
        correlation: None,
        retained: false,
    }
}

fn readings_of(site: &str, device: &str) -> String {
    format!("pulseward/v1/{site}/{device}/readings")
}

fn reject(topic: &str, index: Option<u32>, reason: RejectReason, count: u32) -> Output {
    let (topic, detail) = (topic.to_owned(), format!("{} at {index:?}", reason.name()));
    Output::Reject(Box::new(Reject { topic, index, reason, detail, count }))
}

/// A message on `topic`, received at `seconds`, with these refusals.
fn refused(
    seconds: u64,
    topic: &str,
    refusals: &[(Option<u32>, RejectReason, u32)],
) -> (Input, Vec<Output>) {
    let event = Event::Publish(published(topic, format!("payload of {seconds}")));
    let outputs = refusals
        .iter()
        .map(|(index, reason, count)| reject(topic, *index, *reason, *count))
        .collect();
    (Input { received_at: at(seconds), event }, outputs)
}

fn unknown(seconds: u64, site: &str, device: &str) -> (Input, Vec<Output>) {
    refused(seconds, &readings_of(site, device), &[(None, RejectReason::UnknownDevice, 1)])
}

/// The command that sent `message` through again, and what came of it.
fn redriven(
    seconds: u64,
    message: MessageId,
    number: u64,
    refusals: Vec<Output>,
) -> (Input, Vec<Output>) {
    let redrive = Redrive {
        message,
        publish: published(&readings_of("north", "d-9"), "payload of old"),
        received_at: at(0),
        refused: vec![],
        redrives_stored: 0,
    };
    let principal =
        Principal { subject: "dora".to_owned(), role: Role::DeviceAdmin, sites: Sites::All };
    let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
    let command = Command { principal, action: Action::Redrive(redrive), origin, request: None };
    let told = RedrivenMessage { message, number, accepted: 0, duplicate: 0, refused: 1 };
    let mut outputs = refusals;
    outputs.push(Output::Redriven(Box::new(told)));
    (Input { received_at: at(seconds), event: Event::Command(Box::new(command)) }, outputs)
}

fn message(source: &Source, position: u64) -> MessageId {
    let journal_id = source.journal.journal_id();
    MessageId { journal_id, partition: Partition::FIRST, position: Position(position) }
}

async fn list(history: &dyn History, query: RejectedQuery) -> RejectedPage {
    history.list_rejected(query).await.expect("a page")
}

/// The positions of everything that a query finds.
async fn positions(history: &dyn History, query: RejectedQuery) -> Vec<u64> {
    position_of_all(&list(history, query).await.messages)
}

fn position_of_all(messages: &[RejectedMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.id.position.0).collect()
}

on_both! {
    async fn a_message_refused_in_parts_is_one_with_all_of_them(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let topic = readings_of("north", "d-0");
        let (too_old, no_value) = (RejectReason::TooOld, RejectReason::NoValue);
        let refusals = [(Some(3), too_old, 1), (Some(7), no_value, 1), (Some(100), too_old, 50)];
        source.commit_inputs(vec![refused(1, &topic, &refusals), unknown(2, "north", "d-9")]);
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());

        let found = list(&*history, everything()).await.messages;
        assert_eq!(position_of_all(&found), [2, 1]);
        let whole = &found[0];
        assert_eq!((whole.refusals[0].index, whole.refused_spans()), (None, vec![]));
        let parts = &found[1];
        assert_eq!((parts.id, parts.topic.as_str()), (message(&source, 1), topic.as_str()));
        assert_eq!((parts.received_at, parts.encoding), (at(1), Some(Encoding::Json)));
        let reasons: Vec<_> = parts.refusals.iter().map(|it| (it.reason, &*it.detail)).collect();
        let expected = [
            (too_old, "too_old at Some(3)"),
            (no_value, "no_value at Some(7)"),
            (too_old, "too_old at Some(100)"),
        ];
        assert_eq!(reasons, expected);
        let spans = [(3, 1, too_old), (7, 1, no_value), (100, 50, too_old)];
        let spans = spans.map(|(first, count, reason)| RefusedSpan { first, count, reason });
        assert_eq!(parts.refused_spans(), spans);
        assert!(found.iter().all(|it| it.payload.is_none()), "nobody asked for payloads");

        let query = RejectedQuery { with_payload: true, ..everything() };
        let payloads: Vec<_> = list(&*history, query)
            .await
            .messages
            .into_iter()
            .map(|message| message.payload.expect("asked for"))
            .collect();
        assert_eq!(payloads, ["payload of 2", "payload of 1"]);
        let letter = history.dead_letter(message(&source, 1), Sites::All).await.expect("there");
        assert_eq!((letter.redrives_stored, &letter.message.refusals), (0, &parts.refusals));
        assert_eq!(letter.message.payload.as_deref(), Some(&b"payload of 1"[..]));
    }

    async fn each_filter_leaves_out_what_it_says(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let late = [(Some(0), RejectReason::NoValue, 1), (Some(1), RejectReason::TooOld, 1)];
        source.commit_inputs(vec![
            unknown(1, "north", "d-0"),
            unknown(2, "south", "d-0"),
            refused(3, &readings_of("north", "d-1"), &late),
            refused(4, "some/topic", &[(None, RejectReason::MalformedPayload, 1)]),
        ]);
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());
        let id = |text: &str| Some(text.parse().expect("an id"));
        let (site, device) = (id("north"), Some("d-0".parse().expect("an id")));
        for (query, expected) in [
            (everything(), vec![4, 3, 2, 1]),
            (RejectedQuery { site: site.clone(), ..everything() }, vec![3, 1]),
            (RejectedQuery { device: device.clone(), ..everything() }, vec![2, 1]),
            (RejectedQuery { site, device, ..everything() }, vec![1]),
            (for_reasons(&[RejectReason::TooOld]), vec![3]),
            (for_reasons(&[RejectReason::TooOld, RejectReason::UnknownDevice]), vec![3, 2, 1]),
            (for_reasons(&[RejectReason::TooLarge]), vec![]),
            (for_reasons(&[]), vec![]),
            (RejectedQuery { from: at(2), until: at(4), ..everything() }, vec![3, 2]),
        ] {
            assert_eq!(positions(&*history, query.clone()).await, expected, "{query:?}");
        }
        let found = list(&*history, for_reasons(&[RejectReason::TooOld])).await.messages;
        assert_eq!(found[0].refusals.len(), 2, "the others of the message too");
    }

    async fn callers_see_the_messages_of_their_sites(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry()]);
        source.commit_inputs(vec![
            unknown(2, "north", "d-0"),
            unknown(3, "south", "d-0"),
            unknown(4, "atlantis", "d-0"),
            refused(5, "pulseward/v1/north/a b/readings", &[(None, RejectReason::MalformedPayload, 1)]),
        ]);
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());
        for (sites, seen) in [
            (Sites::All, vec![5, 4, 3, 2]),
            (only(&["north"]), vec![2]),
            (only(&["north", "south"]), vec![3, 2]),
            (only(&["atlantis"]), vec![]),
            (only(&[]), vec![]),
        ] {
            let query = RejectedQuery { sites: sites.clone(), ..everything() };
            assert_eq!(positions(&*history, query).await, seen, "{sites:?}");
            for position in 2..=5 {
                let letter = history.dead_letter(message(&source, position), sites.clone()).await;
                match seen.contains(&position) {
                    true => assert_eq!(letter.expect("seen").message.id.position.0, position),
                    false => assert_eq!(letter, Err(HistoryError::UnknownMessage), "{sites:?}"),
                }
            }
        }
        let nowhere = history.dead_letter(message(&source, 99), Sites::All).await;
        assert_eq!(nowhere, Err(HistoryError::UnknownMessage));
        let site = Some("north".parse().expect("an id"));
        let query = RejectedQuery { sites: only(&["south"]), site, ..everything() };
        assert_eq!(positions(&*history, query).await, [0_u64; 0]);
    }

    async fn pages_hold_each_message_once_whatever_comes_in_meanwhile(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        // Two of each second, so that a page may end between them.
        let first: Vec<_> = (0..20).map(|n| unknown(n / 2, "north", "d-0")).collect();
        running.stored(source.commit_inputs(first)).await;
        let history = open_history(&store.settings());
        let (mut query, mut found) = (RejectedQuery { page_size: 3, ..everything() }, vec![]);
        for round in 0.. {
            let page = list(&*history, query.clone()).await;
            assert!(page.messages.len() <= 3);
            found.extend(position_of_all(&page.messages));
            if round < 3 {
                let more = vec![unknown(10 + round, "north", "d-0")];
                running.stored(source.commit_inputs(more)).await;
            }
            let Some(token) = page.next_page_token else { break };
            query.page_token = Some(token);
        }
        assert_eq!(found, (1..=20).rev().collect::<Vec<_>>());
        let site = Some("south".parse().expect("an id"));
        let foreign = history.list_rejected(RejectedQuery { site, ..query }).await;
        assert_eq!(foreign, Err(HistoryError::InvalidPageToken));
    }

    async fn a_page_of_large_payloads_ends_early_and_none_is_left_out(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let topic = readings_of("north", "d-0");
        let large = |seconds: u64, bytes: usize| {
            let event = Event::Publish(published(&topic, vec![b'x'; bytes]));
            let outputs = vec![reject(&topic, None, RejectReason::TooLarge, 1)];
            (Input { received_at: at(seconds), event }, outputs)
        };
        let sizes = [900_000, 900_000, 900_000, 3_000_000, 10, 10];
        source.commit_inputs((0..).zip(sizes).map(|(at, bytes)| large(at, bytes)).collect());
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());
        assert_eq!(positions(&*history, everything()).await.len(), 6, "without payloads");
        let mut query = RejectedQuery { with_payload: true, ..everything() };
        let mut pages = vec![];
        loop {
            let page = list(&*history, query.clone()).await;
            pages.push(position_of_all(&page.messages));
            let Some(token) = page.next_page_token else { break };
            query.page_token = Some(token);
        }
        assert_eq!(pages, [vec![6, 5], vec![4], vec![3, 2], vec![1]]);
    }

    async fn what_was_sent_through_again_says_so_and_so_does_what_came_of_it(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let (first, second) = (message(&source, 1), message(&source, 2));
        let again = reject(&readings_of("north", "d-9"), Some(4), RejectReason::UnboundDevice, 1);
        // The first two in one transaction: the row is there before it is marked.
        source.commit_inputs(vec![
            unknown(1, "north", "d-9"),
            unknown(2, "north", "d-9"),
            redriven(60, first, 1, vec![again]),
        ]);
        running.stored(source.journal.last()).await;
        running.stored(source.commit_inputs(vec![redriven(70, second, 2, vec![])])).await;
        let history = open_history(&store.settings());
        let found = list(&*history, everything()).await.messages;
        let told: Vec<_> =
            found.iter().map(|it| (it.id.position.0, it.redriven_at, it.redriven_from)).collect();
        let expected = [(3, None, Some(first)), (2, Some(at(70)), None), (1, Some(at(60)), None)];
        assert_eq!(told, expected);
        let letter = history.dead_letter(message(&source, 3), Sites::All).await.expect("there");
        assert_eq!(letter.redrives_stored, 2);
        assert_eq!(letter.message.payload.as_deref(), Some(&b"payload of old"[..]));
        assert_eq!(letter.message.received_at, at(60));
    }
}

#[tokio::test]
async fn where_no_database_is_nothing_is_known_of_refused_messages() {
    let store = Store::sqlite();
    let history = open_history(&store.settings());
    let page = history.list_rejected(everything()).await;
    assert!(matches!(page, Err(HistoryError::Unavailable { .. })), "{page:?}");
    let source = Source::new();
    let letter = history.dead_letter(message(&source, 1), Sites::All).await;
    assert!(matches!(letter, Err(HistoryError::Unavailable { .. })), "{letter:?}");
}
