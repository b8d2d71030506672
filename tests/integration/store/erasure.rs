//! Patients who are erased, and patients who are exported: what is there before, and what is left.

use std::time::Duration;

use pulseward::clock::SystemClock;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use pulseward::engine::input::{Schedule, Sites};
use pulseward::engine::output::{
    BindingRow, Erased, MonitoringChange, MonitoringState, Output, PatientRow, ProfileRow, Quality,
    Reading, RegistryChange, Reject, RejectReason, Worn,
};
use pulseward::engine::profile::{Eligibility, Profile, Rule, RuleKind, Scope};
use pulseward::export;
use pulseward::store::{HistoryError, Settings, Writer, open_history};
use pulseward::vitals::{
    DeviceKey, PatientId, PatientKey, Priority, Quantity, SiteKey, Value, Vital,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::on_both;
use super::stand::{Caring, Running, Source, Store, noon, registry};
use crate::support::wait::wait_until;

/// More than two steps of one vital, and some of two others.
const READINGS: u32 = 25_000;

/// Every table in which a patient may be, and by what its rows are put in order.
const TABLES: [(&str, &str); 11] = [
    ("patients", "patient_key"),
    ("bindings", "device_key, bound_from"),
    ("profiles", "scope, scope_key, version"),
    ("patient_monitoring", "patient_key"),
    ("readings", "patient_key, vital, measured_at"),
    ("alerts", "alert_id"),
    ("alert_events", "position, output_index"),
    ("rejected_messages", "position, output_index"),
    ("refused_rows", "position, output_index"),
    ("audit_events", "number"),
    ("erasures", "patient_key"),
];

fn change(change: RegistryChange) -> Output {
    Output::Registry(Box::new(change))
}

fn patient(key: u32) -> PatientId {
    format!("p-{key}").parse().expect("an id")
}

fn at(seconds: u64) -> pulseward::clock::Timestamp {
    noon().plus(Duration::from_secs(seconds))
}

/// What was refused in January is not to go for its age.
fn settings(store: &Store) -> Settings {
    Settings { rejected_retention: Duration::from_secs(1 << 32), ..store.settings() }
}

/// What there is of a patient beside their readings.
fn about(key: u32) -> Vec<Output> {
    let profile = Profile { rules: vec![Rule::new("hr".parse().expect("an id"), RuleKind::Off)] };
    let alert = |number: u128| Alert {
        id: AlertId(Uuid::from_u128(u128::from(key) << 32 | number)),
        kind: AlertKind::Physiological,
        patient: Some(patient(key)),
        patient_key: Some(PatientKey(key)),
        site: Some("north".parse().expect("an id")),
        device: Some(format!("d-{key}").parse().expect("an id")),
        rule: "hr".parse().expect("an id"),
        rule_version: 2,
        scope: Scope::Site(SiteKey(0)),
        vital: Some(Vital::HeartRate),
        limit: Some(Quantity::whole(120)),
        score: None,
        priority: Priority::High,
        condition: Condition::Active,
        signal: Signal::On,
        onset: noon(),
        raised_at: noon(),
        ended_at: None,
        retrospective: false,
        delayed: false,
        unconfirmed: false,
        escalation_level: 0,
        assignee: None,
        covered: 0,
        revision: 1,
        risen_in: 1,
    };
    let told = |number, phase, note: &str| {
        Output::Alert(Box::new(AlertEvent {
            phase,
            determined_at: noon(),
            trigger: Trigger::Request,
            priority_before: None,
            actor: Some("anna".to_owned()),
            note: Some(format!("{note} of {}", patient(key))),
            alert: alert(number),
        }))
    };
    vec![
        change(RegistryChange::Binding(BindingRow {
            device: DeviceKey(key),
            patient: PatientKey(key),
            from: noon(),
            until: None,
            schedule: Schedule::default().into(),
        })),
        change(RegistryChange::Profile(ProfileRow {
            scope: Scope::Patient(PatientKey(key)),
            version: 1,
            profile,
            put_at: noon(),
            put_by: "anna".to_owned(),
        })),
        Output::Monitoring(Box::new(MonitoringChange {
            patient: patient(key),
            patient_key: PatientKey(key),
            site: "north".parse().expect("an id"),
            state: MonitoringState::Monitored,
            since: noon(),
            moved_from: None,
        })),
        told(1, Phase::Start, "start"),
        told(1, Phase::Acknowledge, "note"),
        told(2, Phase::Start, "another"),
        Output::Reject(Box::new(Reject {
            topic: format!("pulseward/v1/north/d-{key}/readings"),
            index: Some(0),
            reason: RejectReason::UnknownUnit,
            detail: "no such unit".to_owned(),
            count: 1,
        })),
    ]
}

fn readings(key: u32, count: u32) -> Vec<Vec<Output>> {
    let reading = |n: u32| {
        Output::Reading(Reading {
            measured_at: at(u64::from(n)),
            patient: PatientKey(key),
            device: DeviceKey(key),
            vital: if n.is_multiple_of(50) { Vital::Spo2 } else { Vital::HeartRate },
            value: Value::Quantity(Quantity::whole(i64::from(n % 100))),
            quality: Quality::default(),
            original: None,
            interval: None,
            measurement_id: 0,
        })
    };
    (0..count).map(reading).collect::<Vec<_>>().chunks(5_000).map(<[Output]>::to_vec).collect()
}

fn erased(key: u32, id: Option<PatientId>) -> Output {
    let key = PatientKey(key);
    Output::Erased(Box::new(Erased {
        patient: id,
        site: "north".parse().expect("an id"),
        tombstone: PatientRow {
            key,
            id: PatientId::erased(key),
            site: SiteKey(0),
            created_at: at(10),
            eligibility: Eligibility::default(),
            paused_until: None,
        },
        requested_by: "anna".to_owned(),
        worn: vec![Worn { device: DeviceKey(key.0), from: None, until: at(10) }],
    }))
}

/// Two patients, of whom the first is to be erased, and events about them by hand: the chain of
/// digests is for other tests.
async fn two_patients(store: &Store, source: &mut Source) {
    let mut running = Running::start(settings(store), &source.journal);
    source.commit(vec![registry(), about(0), about(1)]);
    source.commit(readings(0, READINGS));
    running.stored(source.commit(readings(1, 1_000))).await;
    let journal = source.journal.journal_id();
    for (number, patients, seconds) in [
        (1, "[\"p-0\"]", 1),
        (2, "[\"p-1\",\"p-0\"]", 2),
        (3, "[\"p-1\"]", 3),
        (4, "[\"p-0\"]", 60),
    ] {
        let (time, bytes) = match store {
            Store::Postgres(_) => (format!("'{}'", at(seconds)), "'\\x01'"),
            Store::Sqlite(_) => (at(seconds).micros().to_string(), "x'01'"),
        };
        let table = store.name("audit_events");
        store
            .execute(&format!(
                "INSERT INTO {table} VALUES ('{journal}', 0, {number}, 9, {number}, {time}, 'anna', \
                 'admin', '', 'GetPatient', 'done', '', 'north', '{patients}', 1, 'of {number}', \
                 {bytes}, {bytes}, {bytes})"
            ))
            .await;
    }
}

/// All that a store holds, a line for each row, without what tells how far an erasure is.
async fn everything(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let buckets = bucket_tables(store).await.map(|table| (table, "patient_key, vital, bucket"));
    for (table, order) in TABLES.into_iter().chain(buckets) {
        let rows = store.lines(&format!("SELECT * FROM {table} ORDER BY {order}")).await;
        lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    lines
}

/// Everything of a patient that is told by their number, but for what maintenance makes.
async fn rows_of(store: &Store, key: u32) -> Vec<String> {
    let tables = ["patients", "bindings", "patient_monitoring", "readings", "alerts"];
    rows_in(store, &tables, key).await
}

async fn buckets_of(store: &Store, key: u32) -> Vec<String> {
    rows_in(store, &bucket_tables(store).await, key).await
}

/// Where buckets are kept: in tables of ours, or behind the views of TimescaleDB.
async fn bucket_tables(store: &Store) -> [&'static str; 2] {
    if store.is_hypertable().await {
        ["readings_1min", "readings_1h"]
    } else {
        ["readings_1min_kept", "readings_1h_kept"]
    }
}

async fn rows_in(store: &Store, tables: &[&str], key: u32) -> Vec<String> {
    let mut lines = Vec::new();
    for table in tables {
        let sql = format!("SELECT * FROM {table} WHERE patient_key = {key}");
        let mut rows = store.lines(&sql).await;
        rows.sort();
        lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    lines
}

async fn is_done(store: &Store) -> bool {
    store.value("SELECT count(*) FROM erasures WHERE done_at IS NOT NULL").await == "1"
}

/// Asserts that nothing of the first patient is left, and all of the second.
async fn check_erased(store: &Store, others: &[String]) {
    let left = rows_of(store, 0).await;
    let [tombstone] = &left[..] else { panic!("{left:?}") };
    assert!(tombstone.starts_with("patients: 0 erased-0 0"), "{tombstone}");
    let mentions: Vec<_> =
        everything(store).await.into_iter().filter(|line| line.contains("p-0")).collect();
    let [newer] = &mentions[..] else { panic!("{mentions:?}") };
    assert!(newer.starts_with("audit_events: ") && newer.contains("of 4"), "{newer}");
    assert_eq!(rows_of(store, 1).await, others);
    assert_eq!(buckets_of(store, 0).await, [""; 0]);
    let payloads = "SELECT device_id, count(payload), count(erased_at) FROM rejected_messages
        GROUP BY device_id ORDER BY device_id";
    assert_eq!(store.lines(payloads).await, ["d-0 0 1", "d-1 1 0"]);
    let details = "SELECT number, count(patients) + count(patient_count) + count(detail)
        + count(salt), count(commitment) + count(digest) FROM audit_events
        GROUP BY number ORDER BY number";
    assert_eq!(store.lines(details).await, ["1 0 2", "2 0 2", "3 4 2", "4 4 2"]);
    let counts = "SELECT patient_id, reading_count, alert_count, alert_event_count, rejected_count,
        audit_event_count FROM erasures";
    assert_eq!(store.lines(counts).await, [format!("NULL {READINGS} 2 3 1 2")]);
    let events = "SELECT count(*) FROM alert_events";
    assert_eq!(store.value(events).await, "3");
}

on_both! {
    async fn nothing_of_a_patient_is_left_and_all_of_everybody_else(store: Store) {
        let mut source = Source::new();
        two_patients(&store, &mut source).await;
        let writer = Writer::new(settings(&store), source.journal.clone(), SystemClock);
        let _caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        store.summed_up().await;
        assert!(!buckets_of(&store, 0).await.is_empty());
        let (others, buckets) = (rows_of(&store, 1).await, buckets_of(&store, 1).await);
        running.stored(source.commit(vec![vec![erased(0, Some(patient(0)))]])).await;
        let known = "SELECT patient_id FROM patients ORDER BY patient_key";
        assert_eq!(store.lines(known).await, ["erased-0", "p-1"], "at once");
        wait_until("the erasure", async || is_done(&store).await).await;
        check_erased(&store, &others).await;
        assert_eq!(buckets_of(&store, 1).await, buckets);
        let history = open_history(&settings(&store));
        let stands = history.erasure(PatientKey(0), Sites::All).await.expect("it is known");
        assert_eq!((stands.requested_at, stands.readings), (at(10), u64::from(READINGS)));
        assert!(stands.buckets > 0 && stands.done_at.is_some(), "{stands:?}");
        let elsewhere = Sites::Only(vec!["south".parse().expect("an id")]);
        let hidden = history.erasure(PatientKey(0), elsewhere).await;
        assert_eq!(hidden, Err(HistoryError::UnknownPatient));
    }

    async fn an_erasure_that_is_cut_off_again_and_again_goes_on_where_it_was(store: Store) {
        let mut source = Source::new();
        two_patients(&store, &mut source).await;
        let others = rows_of(&store, 1).await;
        let writer = Writer::new(settings(&store), source.journal.clone(), SystemClock);
        let mut cares: Vec<_> = (0..100).map(|_| writer.maintenance()).collect();
        let mut running = Running::of(writer);
        running.stored(source.commit(vec![vec![erased(0, Some(patient(0)))]])).await;
        let progress = "SELECT reading_count + alert_count + rejected_count + audit_event_count
            + refused_row_count + bucket_count FROM erasures";
        let mut before = store.value(progress).await;
        let mut cuts = 0;
        while !is_done(&store).await {
            let caring = Caring::of(cares.pop().expect("fewer steps"));
            wait_until("a step", async || {
                store.value(progress).await != before || is_done(&store).await
            })
            .await;
            drop(caring);
            before = store.value(progress).await;
            cuts += 1;
        }
        assert!(cuts >= 2, "cut {cuts} times");
        check_erased(&store, &others).await;
    }

    async fn a_database_that_was_put_back_from_before_is_told_again(store: Store) {
        let mut source = Source::new();
        two_patients(&store, &mut source).await;
        let others = rows_of(&store, 1).await;
        // What the journal brings again behind the backup, in one batch; the engine that tells
        // erasures anew has forgotten the id, and the database has not.
        let mut again = readings(0, 100);
        again.push(about(0));
        again.push(vec![erased(0, None)]);
        let position = source.commit(again);
        let writer = Writer::new(settings(&store), source.journal.clone(), SystemClock);
        let _caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        running.stored(position).await;
        wait_until("the erasure", async || is_done(&store).await).await;
        let left: Vec<_> = rows_of(&store, 0).await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(rows_of(&store, 1).await, others);
        let mentions = everything(&store).await.into_iter().filter(|line| line.contains("p-0"));
        assert_eq!(mentions.count(), 1, "of another patient of the same id");
    }

    async fn an_export_holds_every_row_once_and_nobody_elses(store: Store) {
        let mut source = Source::new();
        two_patients(&store, &mut source).await;
        let dir = TempDir::with_prefix("export-").expect("temporary directory");
        let out = dir.path().join("p-0.jsonl");
        let options = export::Options {
            patient: patient(0),
            config: "unused".into(),
            out: Some(out.clone()),
        };
        let counts = export::run(&options, &settings(&store)).await.expect("exported");
        for (kind, expected) in [
            ("patient", 1), ("site", 1), ("binding", 1), ("profile", 1), ("monitoring", 1),
            ("alert", 2), ("alert_event", 3), ("rejected_message", 1), ("audit_event", 3),
            ("refused_row", 0), ("reading", u64::from(READINGS)),
        ] {
            assert_eq!(counts[kind], expected, "{kind}");
        }
        let text = std::fs::read_to_string(&out).expect("written");
        let checked = export::check(text.as_bytes()).expect("whole");
        assert!(checked.iter().map(|(kind, count)| (kind.as_str(), *count)).eq(
            counts.iter().map(|(kind, count)| (*kind, *count))
        ));
        let mut lines: Vec<_> = text.lines().collect();
        let header: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
        assert_eq!(header["as_of"][0]["position"], source.journal.last().0);
        assert!(lines.iter().any(|line| line.contains("\"payload\":\"AP9wYXlsb2Fk\"")));
        assert!(!text.contains("p-1") && !text.contains("d-1"), "of somebody else");
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), count, "twice");
        let cut = text.rsplit_once("{\"counts\"").expect("a summary").0;
        assert!(export::check(cut.as_bytes()).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&out).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(export::run(&options, &settings(&store)).await.is_err(), "never overwritten");
        let nobody = export::Options { patient: patient(9), out: None, ..options };
        assert!(export::run(&nobody, &settings(&store)).await.is_err());
    }
}
