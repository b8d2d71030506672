//! Live vitals through the whole house: a ward measures faster than anybody wants to see, and what is
//! shown, and what is said to be left out, is everything that was published.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pulseward::proto::v1;
use pulseward::proto::v1::stored_reading::Value;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use pulseward::proto::v1::watch_vitals_response::Message;
use pulseward_sim::enroll::Wearing;
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};

use crate::support::house::House;
use crate::support::live_ward::LiveWard;
use crate::support::recording::{ReadingRow, Recording, SITE};
use crate::support::sql::Sql;
use crate::support::watcher::micros;

/// A fiftieth of what each device measures of each vital.
const PER_SECOND: f64 = 2.0;
/// For how long the ward measures, by its own rounds.
const DAY: Duration = Duration::from_secs(5);
/// No passing test waits for a message that long: heartbeats come every 10 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// A patient's vital.
type Key = (String, String);

/// What a client was told of one vital.
#[derive(Clone, Debug, Default)]
struct Shown {
    delivered: usize,
    conflated: usize,
    /// The last one: when it was measured, and its value.
    last: Option<(i64, f64)>,
}

/// A client of `WatchVitals`.
struct Watcher {
    stream: Streaming<v1::WatchVitalsResponse>,
    shown: BTreeMap<Key, Shown>,
    is_begun: bool,
}

impl Watcher {
    async fn open(house: &House, per_second_max: f64) -> Self {
        let request = v1::WatchVitalsRequest {
            site_ids: vec![SITE.to_owned()],
            per_second_max,
            ..v1::WatchVitalsRequest::default()
        };
        let endpoint = Endpoint::from_shared(house.grpc_url().await).expect("an address");
        let mut client = VitalsServiceClient::new(endpoint.connect_lazy());
        let stream = client.watch_vitals(request).await.expect("opened").into_inner();
        let mut watcher = Self { stream, shown: BTreeMap::new(), is_begun: false };
        watcher.until(|watcher| watcher.is_begun).await;
        watcher
    }

    /// Reads until that is so.
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
            let message = next.expect("a heartbeat is due").expect("it goes on");
            self.take(message.and_then(|it| it.message).expect("it never just stops"));
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Reading(live) => {
                let reading = live.reading.expect("a reading");
                let Some(Value::Quantity(value)) = reading.value else { panic!("{reading:?}") };
                let shown = self.shown.entry((live.patient_id, vital(&reading))).or_default();
                let at = micros(reading.measured_at);
                assert!(shown.last.is_none_or(|(before, _)| before < at), "it went back in time");
                shown.delivered += 1;
                shown.conflated += live.conflated as usize;
                shown.last = Some((at, value));
            }
            Message::Begun(_) => self.is_begun = true,
            Message::Heartbeat(heartbeat) => assert!(heartbeat.ingest_connected),
            Message::LeftScope(left) => panic!("{left:?}"),
        }
    }

    /// Reads until the newest is shown, once it is known what that is.
    async fn read_along(
        mut self,
        newest: watch::Receiver<Option<BTreeMap<Key, ReadingRow>>>,
    ) -> Self {
        let is_enough = |watcher: &Self| {
            newest.borrow().as_ref().is_some_and(|newest| watcher.has_newest(newest))
        };
        self.until(is_enough).await;
        self
    }

    /// Whether the newest that was published of each vital is shown.
    fn has_newest(&self, newest: &BTreeMap<Key, ReadingRow>) -> bool {
        newest.iter().all(|(key, row)| {
            self.shown.get(key).and_then(|shown| shown.last).is_some_and(|(at, _)| {
                assert!(at <= row.measured_at, "{key:?}");
                at == row.measured_at
            })
        })
    }
}

fn vital(reading: &v1::StoredReading) -> String {
    reading.vital().as_str_name().trim_start_matches("VITAL_").to_lowercase()
}

async fn enroll(house: &House) {
    let mut enroller = house.enroller().await;
    enroller.site(SITE, "Intensive care").await.expect("site");
    for device in LiveWard::devices() {
        let patient = Recording::patient_of(&device);
        enroller.patient(&patient, SITE).await.expect("patient");
        enroller.device(&device, SITE).await.expect("device");
        let wearing = Wearing {
            device: &device,
            patient: &patient,
            from: Timestamp::now() - SignedDuration::from_mins(1),
            upload_interval: SignedDuration::from_mins(5),
            upload_interval_min: SignedDuration::ZERO,
            measures_every: SignedDuration::from_secs(1),
        };
        enroller.bind(&wearing).await.expect("binding");
    }
}

/// Of each vital how many there were, and the newest.
fn published(measured: &[ReadingRow]) -> (BTreeMap<Key, usize>, BTreeMap<Key, ReadingRow>) {
    let (mut counts, mut newest) = (BTreeMap::new(), BTreeMap::new());
    for row in measured {
        let key = (row.patient.clone(), row.vital.clone());
        *counts.entry(key.clone()).or_default() += 1;
        let held: &mut ReadingRow = newest.entry(key).or_insert_with(|| row.clone());
        if row.measured_at > held.measured_at {
            *held = row.clone();
        }
    }
    (counts, newest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_and_what_is_left_out_is_all_that_was_published_at_the_asked_rate() {
    let mut house = House::start(Sql::sqlite()).await;
    enroll(&house).await;
    let reader = Watcher::open(&house, PER_SECOND).await;
    let mut sleeper = Watcher::open(&house, 10.0).await;
    assert!(reader.shown.is_empty(), "nothing was measured yet");

    let begun = Instant::now();
    let mut ward = LiveWard::start(&house.broker.url());
    let (silent, is_silent) = watch::channel(None);
    let reading = tokio::spawn(reader.read_along(is_silent));
    ward.measures_for(DAY).await;
    let (counts, newest) = published(&ward.fall_silent().await);
    silent.send_replace(Some(newest.clone()));
    let reader = reading.await.expect("no panic");
    let time = begun.elapsed();
    check(&reader, &counts, &newest);
    for (key, shown) in &reader.shown {
        let most = time.as_secs_f64() * PER_SECOND + 1.0;
        assert!((shown.delivered as f64) <= most, "{key:?}: {} in {time:?}", shown.delivered);
        assert!(shown.conflated > shown.delivered, "{key:?}: {shown:?}");
    }

    // Who has not read all the while has missed nothing that matters now.
    sleeper.until(|watcher| watcher.has_newest(&newest)).await;
    check(&sleeper, &counts, &newest);

    // What is known outlives the service.
    assert!(house.service.terminate().success());
    let ended = loop {
        if let Err(status) = sleeper.stream.message().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    house.service.restart().await;
    let again = Watcher::open(&house, PER_SECOND).await;
    assert!(again.has_newest(&newest), "{:?}", again.shown);
    assert!(again.shown.values().all(|shown| (shown.delivered, shown.conflated) == (1, 0)));
}

/// Delivered and conflated are all, and the last is the newest, with its value.
fn check(watcher: &Watcher, counts: &BTreeMap<Key, usize>, newest: &BTreeMap<Key, ReadingRow>) {
    assert_eq!(watcher.shown.len(), counts.len());
    for (key, shown) in &watcher.shown {
        assert_eq!(shown.delivered + shown.conflated, counts[key], "{key:?}: {shown:?}");
        let (at, value) = shown.last.expect("something was shown");
        let row = &newest[key];
        assert_eq!(at, row.measured_at, "{key:?}");
        assert!((value * 10_000.0 - row.ten_thousandths as f64).abs() < 0.5, "{key:?}: {value}");
    }
}
