//! Every reason for a refusal: a message that provokes it has the verdict that the page's table
//! says, and what the table says of sending it again is so.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use pulseward::proto::v1;
use serde_json::{Value, json};

use super::bench::{Bench, SITE};
use super::blocks::Page;
use super::link::{Link, readings_of};
use crate::support::wait::wait_until;

const DEVICE: &str = "watch-0042";
const STRANGER: &str = "watch-0666";
const UNWORN: &str = "watch-0667";
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const READINGS_MAX: usize = 10_000;
/// The service has to break down before it says so; that is tried where it is made to.
const NOT_PROVOKED: &str = "POISONED";

/// What the page says of a reason.
#[derive(Debug)]
struct Row {
    /// Whether it may refuse a message as a whole, and a single reading.
    scope: String,
    /// Whether the same bytes may be taken later.
    is_temporary: bool,
}

/// The page's table, by reason.
fn table(page: &Page) -> BTreeMap<String, Row> {
    let rows = page.rows("table: reasons").into_iter();
    rows.map(|row| {
        let [_, reason, scope, _, again, _] = &row[..] else { panic!("{row:?}") };
        let is_temporary = match &**again {
            "later" => true,
            "never" => false,
            other => panic!("{reason} may come again {other}"),
        };
        let row = Row { scope: scope.clone(), is_temporary };
        (reason.trim_matches('`').to_owned(), row)
    })
    .collect()
}

/// A message that provokes a refusal.
struct Case {
    reason: &'static str,
    /// Whether it refuses the whole message, and not one reading of it.
    is_whole: bool,
    topic: String,
    batch: String,
    /// Readings of the batch that are taken.
    accepted: u64,
    refused: u64,
    remedy: Remedy,
}

/// What has to happen before a message that was refused for now is taken.
#[derive(Clone, Copy, Debug)]
enum Remedy {
    Nothing,
    Enroll(&'static str),
    Bind(&'static str),
    OtherTopic,
    Wait,
}

fn reading(measured_at: Timestamp, vital: &str, value: (&str, Value)) -> Value {
    json!({ "measuredAt": measured_at.to_string(), "vital": vital, value.0: value.1 })
}

/// Makes messages, each with numbers of its own.
struct Maker {
    now: Timestamp,
    next_seq: u64,
}

impl Maker {
    fn good(&self) -> Value {
        // A time of its own, by its number: on no account an amendment.
        let at = self.now - SignedDuration::from_millis(self.next_seq.cast_signed());
        reading(at, "heart_rate", ("quantity", json!(72)))
    }

    fn batch(&mut self, readings: &[Value]) -> String {
        let first_seq = self.next_seq;
        self.next_seq += readings.len() as u64;
        json!({ "bootId": 1, "firstSeq": first_seq, "wantVerdict": true, "readings": readings })
            .to_string()
    }

    /// One reading of a batch is refused, the one before it is not.
    fn one_of_two(&mut self, reason: &'static str, bad: Value) -> Case {
        let batch = self.batch(&[self.good(), bad]);
        let topic = readings_of(DEVICE);
        let (accepted, refused, remedy) = (1, 1, Remedy::Nothing);
        Case { reason, is_whole: false, topic, batch, accepted, refused, remedy }
    }

    /// A message is refused as a whole.
    fn whole(&mut self, reason: &'static str, batch: String) -> Case {
        let topic = readings_of(DEVICE);
        let (accepted, refused, remedy) = (0, 1, Remedy::Nothing);
        Case { reason, is_whole: true, topic, batch, accepted, refused, remedy }
    }

    fn in_time(&mut self) -> Vec<Case> {
        let ahead = self.now + SignedDuration::from_secs(33);
        let old = self.now - SignedDuration::from_hours(31 * 24);
        let ahead = reading(ahead, "heart_rate", ("quantity", json!(72)));
        let old = reading(old, "heart_rate", ("quantity", json!(72)));
        vec![
            Case { remedy: Remedy::Wait, ..self.one_of_two("CLOCK_AHEAD", ahead) },
            self.one_of_two("TOO_OLD", old),
        ]
    }

    fn of_devices(&mut self) -> Vec<Case> {
        let mut of = |reason, is_whole, topic, remedy| {
            let batch = self.batch(&[self.good()]);
            Case { is_whole, topic, remedy, accepted: 0, ..self.whole(reason, batch) }
        };
        let elsewhere = readings_of(DEVICE).replace(SITE, "ward-8");
        vec![
            of("UNKNOWN_DEVICE", true, readings_of(STRANGER), Remedy::Enroll(STRANGER)),
            of("WRONG_SITE", true, elsewhere, Remedy::OtherTopic),
            of("UNBOUND_DEVICE", false, readings_of(UNWORN), Remedy::Bind(UNWORN)),
        ]
    }

    fn of_messages(&mut self) -> Vec<Case> {
        let too_many = vec![json!({}); READINGS_MAX + 1];
        let mut too_large = self.batch(&[self.good()]);
        too_large.push_str(&" ".repeat(MESSAGE_BYTES_MAX + 1 - too_large.len()));
        let too_many = self.batch(&too_many);
        vec![
            self.whole("MALFORMED_PAYLOAD", "{\"readings\": [".to_owned()),
            self.whole("TOO_LARGE", too_large),
            Case { refused: 1, ..self.whole("TOO_MANY_READINGS", too_many) },
        ]
    }

    fn of_readings(&mut self) -> Vec<Case> {
        let now = self.now;
        let of = |vital: &str, value| reading(now, vital, value);
        let timeless = json!({ "vital": "heart_rate", "quantity": 72 });
        let wordless = json!({ "measuredAt": now.to_string(), "vital": "heart_rate" });
        let unit_of = |unit| {
            let mut reading = of("body_temperature", ("quantity", json!(37)));
            reading["unit"] = json!(unit);
            reading
        };
        let no_number = ("quantity", json!("NaN"));
        [
            ("MALFORMED_PAYLOAD", timeless),
            ("MALFORMED_PAYLOAD", of("steps", ("quantity", json!(40)))),
            ("MALFORMED_PAYLOAD", of("consciousness", ("quantity", json!(1)))),
            ("MALFORMED_PAYLOAD", of("heart_rate", ("consciousness", json!("alert")))),
            ("UNKNOWN_VITAL", of("mood", ("quantity", json!(7)))),
            ("UNKNOWN_UNIT", unit_of("degF")),
            ("UNKNOWN_UNIT", unit_of("")),
            ("UNKNOWN_UNIT", unit_of("kg")),
            ("NOT_A_NUMBER", of("heart_rate", no_number)),
            ("NO_VALUE", wordless),
            ("IMPOSSIBLE_VALUE", of("heart_rate", ("quantity", json!(351)))),
        ]
        .into_iter()
        .map(|(reason, bad)| self.one_of_two(reason, bad))
        .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_is_told_and_may_come_again_as_the_table_says() {
    let bench = Bench::start(&[DEVICE]).await;
    bench.enroll(UNWORN).await;
    let mut link = Link::open(bench.house.broker.port()).await;
    let table = table(&bench.page);
    let mut provoked: Vec<(String, bool)> = Vec::new();
    // The one that waits for its time comes first, so that it need not wait long.
    let mut maker = Maker { now: Timestamp::now(), next_seq: 0 };
    let makers = [Maker::in_time, Maker::of_readings, Maker::of_messages, Maker::of_devices];
    for case in makers.iter().flat_map(|make| make(&mut maker)) {
        let row = table.get(case.reason).expect("the table has every reason");
        let scope = if case.is_whole { "message" } else { "reading" };
        assert!(row.scope.split(" or ").any(|it| it == scope), "{}: {scope}", case.reason);
        check(&bench, &mut link, &case, row).await;
        provoked.push((case.reason.to_owned(), case.is_whole));
    }
    for (reason, row) in table.iter().filter(|(reason, _)| *reason != NOT_PROVOKED) {
        for scope in row.scope.split(" or ") {
            let case = (reason.clone(), scope == "message");
            assert!(provoked.contains(&case), "{reason} never refused a {scope}");
        }
    }
}

async fn check(bench: &Bench, link: &mut Link, case: &Case, row: &Row) {
    let reason = case.reason;
    let verdict = link.ask(&case.topic, &case.batch).await;
    assert_eq!(verdict["accepted"], case.accepted, "{reason}: {verdict}");
    assert_eq!(verdict["rejectedTotal"], case.refused, "{reason}: {verdict}");
    let expected = format!("REJECT_REASON_{reason}");
    assert_eq!(verdict["rejected"][0]["reason"], expected, "{verdict}");
    let index = if case.is_whole { 0 } else { case.accepted };
    assert_eq!(verdict["rejected"][0]["index"], index, "{reason}: {verdict}");
    if !row.is_temporary {
        let is_for_good = matches!(case.remedy, Remedy::Nothing);
        assert!(is_for_good, "{reason}: the page says that nothing helps, but {:?}", case.remedy);
        let verdict = link.ask(&case.topic, &case.batch).await;
        assert_eq!(verdict["accepted"], 0, "{reason}, again: {verdict}");
        return;
    }
    let topic = apply(bench, case).await;
    wait_until(&format!("{reason} to be over"), async || {
        link.ask(&topic, &case.batch).await["accepted"] == case.refused
    })
    .await;
}

/// Puts right what was wrong, and says where to publish now.
async fn apply(bench: &Bench, case: &Case) -> String {
    match case.remedy {
        Remedy::Enroll(device) => {
            bench.enroll(device).await;
            bench.bind(device).await;
        }
        Remedy::Bind(device) => bench.bind(device).await,
        Remedy::OtherTopic => return readings_of(DEVICE),
        Remedy::Wait => {}
        Remedy::Nothing => panic!("{}: the page says that it is over some time", case.reason),
    }
    case.topic.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_in_both_encodings_is_read_as_one() {
    let bench = Bench::start(&[DEVICE]).await;
    let mut link = Link::open(bench.house.broker.port()).await;
    let json = bench.page.block("example: json");
    let told = link.ask(&readings_of(DEVICE), &json).await;
    // Every reading is understood, and of a time that has passed long since.
    assert_eq!((&told["bootId"], &told["firstSeq"]), (&json!("7"), &json!("120")));
    let reasons = told["rejected"].as_array().expect("a list").iter().map(|it| &it["reason"]);
    assert_eq!(reasons.collect::<Vec<_>>(), ["REJECT_REASON_TOO_OLD"; 3]);

    let protobuf = super::tables::bytes_of(&bench.page);
    let (properties, payload) =
        link.exchange("application/protobuf", &readings_of(DEVICE), protobuf).await;
    assert_eq!(properties.content_type.as_deref(), Some("application/protobuf"));
    let verdict = v1::BatchVerdict::decode(&*payload).expect("a verdict");
    assert_eq!((verdict.boot_id, verdict.first_seq), (7, 120));
    let known = verdict.duplicate as usize + verdict.rejected.len();
    assert_eq!((verdict.accepted, known), (0, 3), "{verdict:?}");
}
