//! The simulated ward, in real time.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message as _;
use pulseward_sim::proto::v1;
use pulseward_sim::ward::{Ward, WardReport, WardSettings};

use crate::mosquitto::Mosquitto;
use crate::subscriber::{Heard, Subscriber, distinct, readings};

/// Runs a ward of so many patients until so many readings were heard.
async fn run(patients: usize, until: usize) -> (WardReport, Vec<Heard>) {
    let broker = Mosquitto::start();
    let mut subscriber = Subscriber::start(broker.port).await;
    let ward = Ward::new(WardSettings { patients, ..WardSettings::default() });
    let url = broker.url().parse().expect("an address");
    let report = ward.run(url, subscriber.until_distinct(until)).await.expect("all acknowledged");
    subscriber.until_messages(report.batches).await;
    (report, subscriber.finish().await)
}

#[tokio::test]
async fn what_the_ward_says_it_sent_is_what_is_heard() {
    let (report, heard) = run(6, 50).await;
    assert_eq!(report.sent, distinct(&readings(&heard)) as u64);
    assert_eq!((report.batches, report.unheard_batches), (heard.len() as u64, 0));
}

#[tokio::test]
async fn every_reading_has_a_publish_moment_under_its_device_and_time() {
    let (report, heard) = run(3, 20).await;
    for message in heard {
        let batch = v1::ReadingBatch::decode(&*message.payload).expect("a ReadingBatch");
        let base = batch.base_time.expect("there are offsets");
        let at = jiff::Timestamp::new(base.seconds, base.nanos).expect("in range");
        let device = message.topic.split('/').nth(3).expect("a device in the topic");
        assert!(report.published.at(device, at).is_some(), "{device} at {at}");
    }
}

#[tokio::test]
async fn devices_measure_every_second_and_not_all_at_once() {
    let (_, heard) = run(4, 4 * 4 * 2).await;
    let times = heard.iter().map(|message| {
        let batch = v1::ReadingBatch::decode(&*message.payload).expect("a ReadingBatch");
        let base = batch.base_time.expect("there are offsets");
        Duration::new(u64::try_from(base.seconds).expect("after 1970"), base.nanos.unsigned_abs())
    });
    let times: BTreeSet<Duration> = times.collect();
    let spacing: Vec<_> = times.iter().zip(times.iter().skip(1)).map(|(a, b)| *b - *a).collect();
    assert!(spacing.iter().all(|gap| *gap == Duration::from_millis(250)), "{spacing:?}");
}
