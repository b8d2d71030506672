//! The ward page in a real browser, against the real service: what a nurse sees, and when.
//!
//! The stories stand in `page/test/browser`; here is the house in which they happen, and what in it
//! they may change. Every story also fails if its page asks an address that is not its own, or does
//! what its content security policy forbids.

mod bedside;
mod fleet;
mod limits;
mod past;
mod story;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::bedside::{Bedside, NORTH, SOUTH};
use self::fleet::Measuring;
use self::story::{done, nothing, tell};
use crate::support::house::House;
use crate::support::network::Network;
#[cfg(feature = "demo")]
use crate::support::process::Process;
use crate::support::sql::Sql;
use crate::support::wait::wait_for;

/// Three patients of the nurse's, and one elsewhere.
const PATIENTS: [(&str, &str); 4] =
    [("ada", NORTH), ("bea", NORTH), ("cia", NORTH), ("solveig", SOUTH)];

/// What most stories ask for.
async fn at_the_bedside(bedside: &mut Bedside, question: &Value) -> Value {
    match question["ask"].as_str() {
        Some("measure") => {
            let value = question["value"].as_f64().expect("a value");
            let at = bedside.measures(word(question, "patient"), word(question, "vital"), value);
            json!({ "at": at.await })
        }
        Some("stored events") => {
            stored_events(bedside, question["least"].as_u64().expect("a number")).await
        }
        Some("token") => {
            let seconds = question["seconds"].as_i64().expect("a number");
            let expiry = Timestamp::now().as_second() + seconds;
            let issuer = &bedside.issuer;
            let token = issuer
                .token_with("nora", "clinician", &[NORTH], |claims| claims["exp"] = expiry.into());
            json!({ "token": token })
        }
        _ => panic!("nobody answers {question}"),
    }
}

fn word<'a>(question: &'a Value, key: &str) -> &'a str {
    question[key].as_str().unwrap_or_else(|| panic!("{question} says no {key}"))
}

/// What has happened to alerts by the store, once it is at least so much.
async fn stored_events(bedside: &Bedside, least: u64) -> Value {
    let events = "SELECT p.patient_id, a.rule_id, e.phase, COALESCE(e.actor, ''), a.alert_id \
                  FROM alert_events e JOIN alerts a USING (alert_id) \
                  JOIN patients p USING (patient_key) ORDER BY e.position, e.output_index";
    wait_for(&format!("{least} events to be stored"), async || {
        let rows = bedside.house.sql.rows(events).await;
        let event = |row: &Vec<String>| {
            let [patient, rule, phase, actor, alert] = &row[..] else { panic!("{row:?}") };
            json!({ "patient": patient, "rule": rule, "phase": phase, "actor": actor, "alert": alert })
        };
        (rows.len() as u64 >= least).then(|| rows.iter().map(event).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_and_an_alert_are_on_the_screen_within_a_second() {
    let mut bedside = Bedside::open(&PATIENTS).await;
    let given = json!({ "url": bedside.url().await, "token": bedside.nurse("nora") });
    tell("live-update", given, async |question| at_the_bedside(&mut bedside, question).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_acknowledge_one_does_and_no_escalation_is_acknowledged_unseen() {
    let mut bedside = Bedside::open(&PATIENTS).await;
    let tokens = json!({ "nora": bedside.nurse("nora"), "milo": bedside.nurse("milo") });
    let given = json!({ "url": bedside.url().await, "tokens": tokens });
    tell("two-pages", given, async |question| at_the_bedside(&mut bedside, question).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_said_in_time_and_afterwards_nothing_was_missed() {
    let mut bedside = Bedside::open(&PATIENTS).await;
    let (url, network) = by_network(&bedside).await;
    let given = json!({ "url": url, "token": bedside.nurse("nora") });
    tell("lost-connection", given, async |question| {
        on_the_way(&network, &mut bedside, question).await
    })
    .await;
}

/// The page's address through a network that can fail.
async fn by_network(bedside: &Bedside) -> (String, Network) {
    let network = Network::to(bedside.house.service.http().await.port()).await;
    (format!("http://127.0.0.1:{}/ward/", network.port()), network)
}

/// What befalls a network, or else its wards.
async fn on_the_way(network: &Network, bedside: &mut Bedside, question: &Value) -> Value {
    match question["ask"].as_str() {
        Some("stall") => network.stall(),
        Some("cut") => network.cut().await,
        Some("heal") => network.heal(),
        _ => return at_the_bedside(bedside, question).await,
    }
    done()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_and_an_expired_token_are_told_apart_and_a_new_one_misses_nothing() {
    let environment = vec![("PULSEWARD_AUTH__LEEWAY", "0s".to_owned())];
    let mut bedside = Bedside::open_with(&PATIENTS, environment).await;
    let given = json!({ "url": bedside.url().await });
    tell("tokens", given, async |question| at_the_bedside(&mut bedside, question).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_of_another_site_is_in_no_view_and_in_no_answer() {
    let mut bedside = Bedside::open(&PATIENTS).await;
    let south = bedside.issuer.token("sam", "clinician", &[SOUTH]);
    let tokens = json!({ "north": bedside.nurse("nora"), "south": south });
    let given = json!({ "url": bedside.url().await, "tokens": tokens });
    tell("scope", given, async |question| at_the_bedside(&mut bedside, question).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_acknowledged_with_the_keyboard_alone() {
    let mut bedside = Bedside::open(&PATIENTS).await;
    let given = json!({ "url": bedside.url().await, "token": bedside.nurse("nora") });
    tell("keyboard", given, async |question| at_the_bedside(&mut bedside, question).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_patients_at_one_hertz_leave_the_browser_time() {
    let house = House::start(Sql::sqlite()).await;
    let dir = tempfile::TempDir::with_prefix("fleet-").expect("temporary directory");
    let fleet = Measuring::begin(&house, 500, &dir.path().join("record")).await;
    let given = json!({ "url": format!("http://{}/ward/", house.service.http().await) });
    tell("five-hundred", given, nothing).await;
    fleet.end().await;
}

/// A ward as it is in the middle of a shift.
const WARD: [(&str, &str); 12] = [
    ("p-1002", NORTH),
    ("p-1007", NORTH),
    ("p-1011", NORTH),
    ("p-1013", NORTH),
    ("p-1018", NORTH),
    ("p-1021", NORTH),
    ("p-1024", NORTH),
    ("p-1030", NORTH),
    ("p-1036", NORTH),
    ("p-1042", NORTH),
    ("p-1045", NORTH),
    ("p-1051", NORTH),
];

/// Where screenshots go, if they are to be made.
fn screenshots() -> Option<String> {
    let asked = std::env::var_os("PULSEWARD_WRITE_SCREENSHOTS").is_some_and(|it| it == "1");
    asked.then(|| concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_accessible_in_dark_and_light_on_phone_and_desktop() {
    let mut bedside = Bedside::open_after(&WARD, Vec::new(), 3).await;
    let (url, network) = by_network(&bedside).await;
    bedside.add_unmonitored("p-1060").await;
    let (token, administrator) = (bedside.nurse("nora"), bedside.administrator("dana"));
    let given = json!({
        "url": url, "token": token, "administrator": administrator, "screenshots": screenshots(),
    });
    tell("views", given, async |question| on_the_way(&network, &mut bedside, question).await).await;
}

#[cfg(feature = "demo")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demos_page_is_live_at_the_address_that_it_prints() {
    let dir = tempfile::TempDir::with_prefix("demo-").expect("temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pulseward"));
    command.args(["demo", "--plain"]);
    let demo = Process::spawn("the demo", &mut command, &dir.path().join("log"));
    let url = wait_for("the page's address on a line of its own", async || {
        demo.log().lines().find_map(|line| line.strip_prefix("ward page ").map(str::to_owned))
    })
    .await;
    tell("demo", json!({ "url": url }), nothing).await;
}
