//! What the page says of values, clocks and modes: what is stored, and with which flags.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::bench::Bench;
use super::link::{Link, readings_of};

const DEVICE: &str = "watch-0042";

/// A device's readings, on their way one by one.
struct Claims {
    bench: Bench,
    link: Link,
    now: Timestamp,
    next_seq: u64,
    expected: Vec<String>,
}

impl Claims {
    async fn begin() -> Self {
        let bench = Bench::start(&[DEVICE]).await;
        let link = Link::open(bench.house.broker.port()).await;
        Self { bench, link, now: Timestamp::now(), next_seq: 0, expected: Vec::new() }
    }

    /// Sends a batch that says more than its reading.
    async fn send(&mut self, mut reading: Value, batch: Value) -> Value {
        // Each is newer than the one before.
        let at = self.now + SignedDuration::from_millis(self.next_seq.cast_signed());
        if reading.get("measuredAt").is_none() {
            reading["measuredAt"] = json!(at.to_string());
        }
        let mut message = batch;
        message["bootId"] = json!(1);
        message["firstSeq"] = json!(self.next_seq);
        message["wantVerdict"] = json!(true);
        message["readings"] = json!([reading]);
        self.next_seq += 1;
        self.link.ask(&readings_of(DEVICE), &message.to_string()).await
    }

    /// What the reading leads to in the store.
    async fn stores(&mut self, reading: Value, batch: Value, stored: &str) {
        let verdict = self.send(reading, batch).await;
        assert_eq!(verdict["accepted"], 1, "{stored}: {verdict}");
        self.expected.push(stored.to_owned());
    }

    async fn end(mut self) {
        self.expected.sort();
        let expected: Vec<_> = self.expected.iter().map(String::as_str).collect();
        self.bench.until_stored(DEVICE, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_are_stored_with_the_flags_that_the_page_names() {
    let mut claims = Claims::begin().await;
    let real = json!({});
    let heart_rate = |quantity: f64| json!({ "vital": "heart_rate", "quantity": quantity });
    claims.stores(heart_rate(72.0), real.clone(), "heart_rate 72.0 /min -").await;
    claims.stores(heart_rate(251.0), real.clone(), "heart_rate 251.0 /min - implausible").await;
    let mut doubted = heart_rate(73.0);
    doubted["quality"] = json!(["motion"]);
    claims.stores(doubted, real.clone(), "heart_rate 73.0 /min - questionable").await;
    let mut confirmed = heart_rate(74.0);
    confirmed["quality"] = json!(["validated"]);
    claims.stores(confirmed, real.clone(), "heart_rate 74.0 /min -").await;
    let mut historical = heart_rate(75.0);
    historical["historical"] = json!(true);
    claims.stores(historical, real.clone(), "heart_rate 75.0 /min - late").await;
    let test = json!({ "mode": "test" });
    claims.stores(heart_rate(76.0), test, "heart_rate 76.0 /min - test").await;
    let demo = json!({ "mode": "MODE_DEMO" });
    claims.stores(heart_rate(77.0), demo, "heart_rate 77.0 /min - demo").await;
    let unset = json!({ "clockSync": "CLOCK_SYNC_UNSET" });
    claims.stores(heart_rate(79.0), unset, "heart_rate 79.0 /min - clock_unset").await;
    let mut ahead = heart_rate(78.0);
    ahead["measuredAt"] = json!((claims.now + SignedDuration::from_secs(25)).to_string());
    claims.stores(ahead, real.clone(), "heart_rate 78.0 /min - clock_ahead").await;
    let fraction = json!({ "vital": "spo2", "quantity": 0.97, "unit": "1" });
    claims.stores(fraction, real.clone(), "spo2 97.0 % -").await;
    claims.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_means_no_sensor_is_never_the_patients() {
    let mut claims = Claims::begin().await;
    for vital in ["heart_rate", "pulse_rate", "spo2", "respiratory_rate", "systolic_pressure"] {
        let verdict = claims.send(json!({ "vital": vital, "quantity": 0 }), json!({})).await;
        assert_eq!(verdict["accepted"], 1, "{vital}: {verdict}");
    }
    for (vital, quantity, unit) in [
        ("heart_rate", -1.0, ""),
        ("spo2", -1.0, "%"),
        ("body_temperature", 0.0, "[degF]"),
        ("body_temperature", -17.8, "Cel"),
    ] {
        let reading = json!({ "vital": vital, "quantity": quantity, "unit": unit });
        let verdict = claims.send(reading, json!({})).await;
        assert_eq!(verdict["accepted"], 1, "{vital} {quantity} {unit}: {verdict}");
    }
    // A message later than all of them, so that they are stored when it is.
    let last = json!({ "vital": "weight", "quantity": 70 });
    claims.stores(last, json!({}), "").await;
    let patients = "SELECT vital FROM readings_named WHERE value IS NOT NULL AND \
                    quality NOT LIKE '%no_sensor%'";
    claims.bench.house.stored(10).await;
    assert_eq!(claims.bench.house.sql.rows(patients).await, [["weight"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_tell_a_resend_in_any_cut() {
    let bench = Bench::start(&[DEVICE]).await;
    let mut link = Link::open(bench.house.broker.port()).await;
    let now = Timestamp::now();
    let mut ask = async |boot_id: u64, numbers: std::ops::Range<u64>| {
        let reading = |number: u64| {
            let at = now - SignedDuration::from_millis(number.cast_signed());
            json!({ "measuredAt": at.to_string(), "vital": "spo2", "quantity": 97 })
        };
        let batch = json!({
            "bootId": boot_id, "firstSeq": numbers.start, "wantVerdict": true,
            "readings": numbers.map(reading).collect::<Vec<_>>(),
        });
        let verdict = link.ask(&readings_of(DEVICE), &batch.to_string()).await;
        [&verdict["accepted"], &verdict["duplicate"]].map(|it| it.as_u64().expect("a number"))
    };
    assert_eq!(ask(7, 10..20).await, [10, 0]);
    assert_eq!(ask(7, 0..5).await, [5, 0], "what came late is no duplicate");
    assert_eq!(ask(7, 0..20).await, [5, 15], "in another cut");
    assert_eq!(ask(7, 3..20).await, [0, 17]);
    // The trap: another reading under a number that was used.
    assert_eq!(ask(8, 100..101).await, [1, 0]);
    assert_eq!(ask(8, 100..101).await, [0, 1]);
    assert_eq!(ask(7, 0..20).await, [0, 20], "an earlier start is remembered");
}
