//! The publisher against a scripted broker.

use prost::Message;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Publish};
use tokio::task::JoinHandle;

use super::*;
use crate::mqtt::scripted::{Broker, Peer, no_properties, soon};
use crate::mqtt::verdict::tests::verdict;
use crate::proto::v1::BatchVerdict;

struct Running {
    verdicts: Verdicts,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let (verdicts, publisher) = channel(settings);
        Self { verdicts, task: tokio::spawn(publisher.run()) }
    }

    fn give(&self, first_seqs: impl IntoIterator<Item = u64>) {
        for first_seq in first_seqs {
            self.verdicts.publish(verdict(first_seq));
        }
    }

    /// Gives no more, and waits for the end.
    async fn ended(self) -> Result<(), Error> {
        drop(self.verdicts);
        soon("the publisher to end", self.task).await.expect("no panic")
    }
}

fn first_seq(publish: Publish) -> u64 {
    BatchVerdict::decode(publish.payload).expect("a BatchVerdict").first_seq
}

/// Receives verdicts and acknowledges them.
async fn take(peer: &mut Peer, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let publish = peer.expect_publish().await;
        peer.acknowledge(publish.pkid).await;
        taken.push(first_seq(publish));
    }
    taken
}

#[tokio::test]
async fn verdicts_go_out_in_order_and_the_end_waits_for_the_last() {
    let broker = Broker::start().await;
    let running = Running::start(broker.settings());
    running.give(1..=200);
    let mut peer = broker.welcome(false).await;
    let ended = tokio::spawn(running.ended());
    assert_eq!(take(&mut peer, 200).await, (1..=200).collect::<Vec<_>>());
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    drop(peer);
    soon("the end", ended).await.expect("no panic").expect("everything was published");
}

#[tokio::test]
async fn the_client_has_a_name_of_its_own_and_leaves_no_session() {
    let broker = Broker::start().await;
    let _running = Running::start(Settings { client_id: "ward".into(), ..broker.settings() });
    let (_peer, connect, _) = broker.next_client().await;
    assert_eq!(connect.client_id, "ward-verdicts");
    assert!(connect.clean_start);
    assert_eq!(connect.properties.expect("set").session_expiry_interval, None);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_published_again_before_the_rest() {
    let broker = Broker::start().await;
    let running = Running::start(broker.settings());
    running.give(1..=4);
    let mut peer = broker.welcome(false).await;
    assert_eq!(take(&mut peer, 2).await, [1, 2]);
    for again in [3, 4] {
        assert_eq!(first_seq(peer.expect_publish().await), again);
    }
    drop(peer);
    running.give([5]);
    let mut peer = broker.welcome(false).await;
    assert_eq!(take(&mut peer, 3).await, [3, 4, 5]);
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_broker_takes() {
    let broker = Broker::start().await;
    let settings = Settings { keep_alive: Duration::from_millis(400), ..broker.settings() };
    let running = Running::start(settings);
    running.give(1..=3);
    let (mut peer, _, _) = broker.next_client().await;
    let mut properties = no_properties();
    properties.receive_max = Some(1);
    let ack = ConnAck {
        session_present: false,
        code: ConnectReturnCode::Success,
        properties: Some(properties),
    };
    peer.send(Packet::ConnAck(ack)).await;
    for expected in 1..=3 {
        let publish = peer.expect_publish().await;
        assert!(matches!(peer.receive().await, Packet::PingReq(_)), "one at a time");
        peer.pong().await;
        peer.acknowledge(publish.pkid).await;
        assert_eq!(first_seq(publish), expected);
    }
}

#[tokio::test]
async fn the_oldest_are_dropped_while_the_broker_is_away() {
    let (_verdicts, mut publisher) = channel(Settings::new("mqtt://unused".parse().expect("url")));
    let excess = 3;
    let last = VERDICTS_QUEUED_MAX as u64 + excess;
    for first_seq in 1..=last {
        publisher.take(Some(verdict(first_seq)), &mut None);
    }
    assert_eq!(publisher.queue.len(), VERDICTS_QUEUED_MAX);
    assert_eq!(publisher.queue.front().map(|oldest| oldest.verdict.first_seq), Some(excess + 1));
    assert_eq!(publisher.queue.back().map(|newest| newest.verdict.first_seq), Some(last));
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_is_dropped() {
    let broker = Broker::start().await;
    let (verdicts, mut publisher) = channel(broker.settings());
    publisher.queue.push_back(Queued { verdict: verdict(1), until: Instant::now() });
    let running = Running { verdicts, task: tokio::spawn(publisher.run()) };
    running.give([2]);
    let mut peer = broker.welcome(false).await;
    let publish = peer.expect_publish().await;
    let expiry = publish.properties.as_ref().and_then(|set| set.message_expiry_interval);
    assert!(expiry.is_some_and(|seconds| (590..=600).contains(&seconds)), "{expiry:?}");
    assert_eq!(first_seq(publish), 2);
}

#[tokio::test]
async fn giving_never_blocks_and_the_end_does_not_wait_for_a_broker_that_is_away() {
    let broker = Broker::start().await;
    let settings = Settings { drain: Duration::from_millis(50), ..broker.settings() };
    let running = Running::start(settings);
    let _unanswered = broker.next_client().await;
    running.give(0..3 * VERDICTS_QUEUED_MAX as u64);
    running.ended().await.expect("it gave up");
}

#[tokio::test]
async fn a_publisher_that_is_taken_over_ends() {
    let broker = Broker::start().await;
    let running = Running::start(broker.settings());
    let mut peer = broker.welcome(false).await;
    peer.send_bytes(&[0xE0, 1, 0x8E]).await;
    let ended = soon("the end", running.task).await.expect("no panic");
    assert!(matches!(ended, Err(Error::SessionTakenOver { .. })), "{ended:?}");
}
