//! Every kind of output as rows, and the tables for people.

use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, DecidingReading, Phase, Risk, ScoreSummary,
    Signal, Trigger,
};
use pulseward::engine::input::Schedule;
use pulseward::engine::output::{
    BindingRow, DeviceSequences, IntakeCounts, MonitoringChange, MonitoringState, Output,
    ProfileRow, Quality, Reading, RegistryChange, Reject, RejectReason, SequenceEvents,
};
use pulseward::engine::profile::{Profile, Rule, RuleKind, Scope};
use pulseward::store::blob;
use pulseward::vitals::{
    AbsentReason, Acvpu, DeviceKey, PatientKey, Priority, Quantity, SiteKey, Value, Vital,
};
use uuid::Uuid;

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};
use crate::support::postgres::Database;

fn change(change: RegistryChange) -> Output {
    Output::Registry(Box::new(change))
}

fn binding(until: Option<Timestamp>) -> Output {
    change(RegistryChange::Binding(BindingRow {
        device: DeviceKey(0),
        patient: PatientKey(0),
        from: noon(),
        until,
        schedule: schedule().into(),
    }))
}

fn schedule() -> Schedule {
    Schedule {
        upload_interval: Duration::from_secs(60),
        expected_intervals: vec![(Vital::HeartRate, Duration::from_secs(1))],
    }
}

fn profile() -> Profile {
    Profile { rules: vec![Rule::new("hr".parse().expect("an id"), RuleKind::Off)] }
}

fn put(scope: Scope, version: u32) -> Output {
    change(RegistryChange::Profile(ProfileRow {
        scope,
        version,
        profile: profile(),
        put_at: noon(),
        put_by: "dr-who".to_owned(),
    }))
}

fn tachycardia() -> Alert {
    Alert {
        id: AlertId(Uuid::from_u128(7)),
        kind: AlertKind::Physiological,
        patient: Some("p-0".parse().expect("an id")),
        patient_key: Some(PatientKey(0)),
        site: Some("north".parse().expect("an id")),
        device: Some("d-0".parse().expect("an id")),
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
    }
}

fn told(phase: Phase, trigger: Trigger, alert: Alert) -> AlertEvent {
    AlertEvent {
        phase,
        determined_at: noon(),
        trigger,
        priority_before: None,
        actor: None,
        note: None,
        alert,
    }
}

fn deciding() -> Vec<DecidingReading> {
    let value = Value::Quantity(Quantity::from_ten_thousandths(1_205_000));
    vec![DecidingReading { measured_at: noon(), vital: Vital::HeartRate, value }]
}

fn event(
    phase: Phase,
    priority_before: Option<Priority>,
    priority: Priority,
    revision: u32,
) -> Output {
    let mut alert = Alert { priority, revision, ..tachycardia() };
    let mut trigger = Trigger::Readings(deciding());
    if phase == Phase::Close {
        trigger = Trigger::Unbound;
        alert.condition = Condition::Inactive;
        alert.signal = Signal::Off;
        alert.ended_at = Some(noon().plus(Duration::from_secs(9)));
    }
    let event = AlertEvent { priority_before, ..told(phase, trigger, alert) };
    Output::Alert(Box::new(event))
}

fn reject(index: Option<u32>, reason: RejectReason) -> Output {
    let (topic, detail) = ("some/topic".to_owned(), "why\0not".to_owned());
    Output::Reject(Box::new(Reject { topic, index, reason, detail, count: 1 }))
}

fn says(vital: Vital, value: Value, quality: Quality) -> Output {
    let (patient, device) = (PatientKey(0), DeviceKey(0));
    Output::Reading(Reading {
        measured_at: noon(),
        patient,
        device,
        vital,
        value,
        quality,
        original: None,
        interval: None,
        measurement_id: 0,
    })
}

on_both! {
    async fn the_registry_is_what_the_last_change_made_of_it(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![registry(), vec![binding(None)], vec![put(Scope::Default, 1)]]);
        running.stored(source.journal.last()).await;
        let end = noon().plus(Duration::from_secs(5));
        let patient = put(Scope::Patient(PatientKey(1)), 1);
        source.commit(vec![vec![binding(Some(end)), put(Scope::Default, 2), patient]]);
        running.stored(source.journal.last()).await;

        let sites = "SELECT site_key, site_id, display_name, time_zone FROM sites ORDER BY site_key";
        let sites = store.lines(sites).await;
        assert_eq!(sites, ["0 north Site north Europe/Berlin", "1 south Site south Europe/Berlin"]);
        let patients = "SELECT patient_key, patient_id, site_key, age_group, pregnancy,
            paused_until FROM patients ORDER BY 1";
        let expected = ["0 p-0 0 adult not_pregnant NULL", "1 p-1 1 adult not_pregnant NULL"];
        assert_eq!(store.lines(patients).await, expected);
        let devices = "SELECT device_key, device_id, site_key FROM devices ORDER BY 1";
        let by_hand = "-1 by-hand -1";
        assert_eq!(store.lines(devices).await, [by_hand, "0 d-0 0", "1 d-1 1"]);

        let (from, until) = (store.micros("bound_from"), store.micros("bound_until"));
        let bindings = format!("SELECT device_key, {from}, {until}, patient_key FROM bindings");
        let expected = format!("0 {} {} 0", noon().micros(), end.micros());
        assert_eq!(store.lines(&bindings).await, [expected]);
        let stored = store.value("SELECT schedule FROM bindings").await;
        assert_eq!(blob::decode::<Schedule>(&stored).expect("a schedule"), schedule());

        let profiles = "SELECT scope, scope_key, version, put_by FROM profiles ORDER BY 1, 2, 3";
        let expected = ["default 0 1 dr-who", "default 0 2 dr-who", "patient 1 1 dr-who"];
        assert_eq!(store.lines(profiles).await, expected);
        let stored = store.value("SELECT profile FROM profiles WHERE version = 2").await;
        assert_eq!(blob::decode::<Profile>(&stored).expect("a profile"), profile());
    }

    async fn an_alert_stands_as_its_last_event_left_it_and_keeps_each_event(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let start = event(Phase::Start, None, Priority::Medium, 1);
        source.commit(vec![vec![start, event(Phase::Escalate, Some(Priority::Medium), Priority::High, 2)]]);
        running.stored(source.journal.last()).await;
        let alert = "SELECT alert_id, kind, patient_key, site_id, device_id, rule_id, rule_version,
            scope, scope_key, vital, limit_value, priority, condition, signal, ended_at, revision
            FROM alerts";
        let id = Uuid::from_u128(7);
        let open = format!("{id} physiological 0 north d-0 hr 2 site 0 1 120 high active on NULL 2");
        assert_eq!(store.lines(alert).await, [open]);

        source.commit(vec![vec![], vec![event(Phase::Close, Some(Priority::High), Priority::High, 3)]]);
        running.stored(source.journal.last()).await;
        let now = "SELECT condition, signal, revision FROM alerts WHERE ended_at > onset AND is_over";
        assert_eq!(store.lines(now).await, ["inactive off 3"]);
        let events = "SELECT partition, position, output_index, alert_id, phase, cause, device_id,
            rule_version, scope, scope_key, vital, limit_value, priority_before, priority,
            condition, signal, revision FROM alert_events ORDER BY position, output_index";
        let expected = [
            format!("0 1 0 {id} start reading d-0 2 site 0 1 120 NULL medium active on 1"),
            format!("0 1 1 {id} escalate reading d-0 2 site 0 1 120 medium high active on 2"),
            format!("0 3 0 {id} close unbound d-0 2 site 0 1 120 high high inactive off 3"),
        ];
        assert_eq!(store.lines(events).await, expected);
        let readings = "SELECT readings FROM alert_events WHERE output_index = 1";
        let decided: Vec<DecidingReading> =
            blob::decode(&store.value(readings).await).expect("readings");
        assert_eq!(decided, deciding());
        let own = format!(
            "SELECT count(*) FROM alert_events WHERE journal_id = '{}'",
            source.journal.journal_id()
        );
        assert_eq!(store.value(&own).await, "3");
    }

    async fn what_a_clinician_did_stands_with_the_alert_and_its_event(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let until = noon().plus(Duration::from_secs(600));
        let paused = Alert {
            signal: Signal::Paused { until },
            escalation_level: 2,
            assignee: Some("nurse@example.org".to_owned()),
            delayed: true,
            ..tachycardia()
        };
        let asked = AlertEvent {
            actor: Some("nurse@example.org".to_owned()),
            note: Some("bath\0".to_owned()),
            ..told(Phase::Pause, Trigger::Request, paused)
        };
        running.stored(source.commit(vec![vec![Output::Alert(Box::new(asked))]])).await;
        for table in ["alerts", "alert_events"] {
            let stands = format!(
                "SELECT signal, {}, escalation_level, assignee, {}, {}, {} FROM {table}",
                store.micros("paused_until"),
                Store::is("delayed"),
                Store::is("unconfirmed"),
                Store::is("is_over"),
            );
            let expected = format!("paused {} 2 nurse@example.org yes no no", until.micros());
            assert_eq!(store.lines(&stands).await, [expected], "{table}");
        }
        let who = "SELECT phase, cause, actor, note FROM alert_events";
        assert_eq!(store.lines(who).await, ["pause request nurse@example.org bath\u{fffd}"]);
    }

    async fn an_alert_of_the_service_itself_and_one_of_a_score_have_their_rows(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let outage = Alert {
            kind: AlertKind::Technical,
            patient: None,
            patient_key: None,
            site: None,
            device: None,
            vital: None,
            limit: None,
            covered: 200,
            ..tachycardia()
        };
        let summary = ScoreSummary {
            total: 5,
            risk: Risk::Medium,
            parameters: vec![(Vital::Spo2, 3, noon())],
            missing: vec![Vital::Consciousness],
            age_unknown: true,
            pregnancy_unknown: false,
        };
        let id = AlertId(Uuid::from_u128(8));
        let score = Some(Box::new(summary.clone()));
        let limit = Some(Quantity::whole(5));
        let score = Alert { id, device: None, vital: None, limit, score, ..tachycardia() };
        let start = |alert| Output::Alert(Box::new(told(Phase::Start, Trigger::Ingest, alert)));
        running.stored(source.commit(vec![vec![start(outage), start(score)]])).await;
        for table in ["alerts", "alert_events"] {
            let stands = format!(
                "SELECT device_id, vital, limit_value, covered FROM {table} ORDER BY alert_id"
            );
            assert_eq!(store.lines(&stands).await, ["NULL NULL NULL 200", "NULL NULL 5 0"]);
            let score = format!("SELECT score FROM {table} WHERE score IS NOT NULL");
            let score: ScoreSummary =
                blob::decode(&store.value(&score).await).expect("a score");
            assert_eq!(score, summary, "{table}");
        }
        let whose = "SELECT kind, patient_key, site_id FROM alerts ORDER BY alert_id";
        assert_eq!(store.lines(whose).await, ["technical NULL NULL", "physiological 0 north"]);
    }

    async fn a_reader_can_tell_live_alerts_from_retrospective_ones(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let late = Alert {
            id: AlertId(Uuid::from_u128(8)),
            retrospective: true,
            condition: Condition::Inactive,
            signal: Signal::Off,
            ended_at: Some(noon()),
            ..tachycardia()
        };
        let start = |alert| Output::Alert(Box::new(told(Phase::Start, Trigger::Timer, alert)));
        running.stored(source.commit(vec![vec![start(tachycardia()), start(late)]])).await;
        let live = "SELECT count(*) FROM alerts WHERE NOT retrospective";
        let open = "SELECT count(*) FROM alerts WHERE NOT is_over";
        let all = "SELECT count(*) FROM alerts";
        for (sql, expected) in [(live, "1"), (open, "1"), (all, "2")] {
            assert_eq!(store.value(sql).await, expected, "{sql}");
        }
    }

    async fn how_a_patient_is_watched_is_what_was_said_last(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let watched = |key, state, seconds| {
            Output::Monitoring(Box::new(MonitoringChange {
                patient: format!("p-{key}").parse().expect("an id"),
                patient_key: PatientKey(key),
                site: "north".parse().expect("an id"),
                state,
                since: noon().plus(Duration::from_secs(seconds)),
                moved_from: None,
            }))
        };
        source.commit(vec![
            vec![watched(0, MonitoringState::NoData, 0), watched(1, MonitoringState::Partial, 0)],
            vec![watched(0, MonitoringState::Monitored, 7)],
        ]);
        running.stored(source.journal.last()).await;
        let monitoring = format!(
            "SELECT patient_key, state, {} FROM patient_monitoring ORDER BY 1",
            store.micros("since")
        );
        let at = |seconds| noon().plus(Duration::from_secs(seconds)).micros();
        let expected = [format!("0 monitored {}", at(7)), format!("1 partial {}", at(0))];
        assert_eq!(store.lines(&monitoring).await, expected);
    }

    async fn a_refused_message_is_kept_with_its_payload_once(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        source.commit(vec![
            vec![reject(None, RejectReason::MalformedPayload)],
            vec![
                reject(Some(0), RejectReason::UnknownUnit),
                says(Vital::Spo2, Value::Quantity(Quantity::whole(97)), Quality::default()),
                reject(Some(2), RejectReason::ImpossibleValue),
            ],
        ]);
        running.stored(source.journal.last()).await;
        let rows = "SELECT position, output_index, topic, reading_index, reason, detail, payload
            FROM rejected_messages ORDER BY position, output_index";
        let expected = [
            "1 0 some/topic NULL malformed_payload why\u{fffd}not \\x00ff7061796c6f6164",
            "2 0 some/topic 0 unknown_unit why\u{fffd}not \\x00ff7061796c6f6164",
            "2 2 some/topic 2 impossible_value why\u{fffd}not NULL",
        ];
        assert_eq!(store.lines(rows).await, expected);
        assert_eq!(store.value("SELECT count(*) FROM readings").await, "1");
    }

    async fn a_devices_account_is_kept_as_it_was_told_last(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let account = |boot_id, highest_seq, clock_skew_ms| {
            let counts = IntakeCounts {
                accepted: 1,
                duplicate: 2,
                reordered: 3,
                rejected: 4,
                amended: 5,
                restarted: 6,
                gap: 7,
                gap_overflow: 8,
                unknown_field: 9,
            };
            let (events, last_seen_at) = (SequenceEvents::default(), noon());
            let (device, missing) = (DeviceKey(0), 10);
            Output::DeviceSequences(Box::new(DeviceSequences {
                device, boot_id, highest_seq, missing, counts, events, last_seen_at, clock_skew_ms,
            }))
        };
        source.commit(vec![registry(), vec![account(0, None, None)]]);
        running.stored(source.journal.last()).await;
        let seen = store.micros("last_seen_at");
        let rows = format!("SELECT device_key, boot_id, highest_seq, missing_count, accepted_count,
            duplicate_count, reordered_count, rejected_count, amended_count, restart_count,
            gap_count, gap_overflow_count, unknown_field_count, clock_skew_seconds, {seen},
            position FROM device_sequences");
        let noon = noon().micros();
        let expected = format!("0 0 NULL 10 1 2 3 4 5 6 7 8 9 NULL {noon} 2");
        assert_eq!(store.lines(&rows).await, [expected]);
        source.commit(vec![vec![account(u64::MAX, Some(1 << 63), Some(-1250))]]);
        running.stored(source.journal.last()).await;
        let (boot_id, highest) = (-1, i64::MIN);
        let expected = format!("0 {boot_id} {highest} 10 1 2 3 4 5 6 7 8 9 -1.25 {noon} 3");
        assert_eq!(store.lines(&rows).await, [expected]);
    }

    async fn people_read_names_and_units(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let late = Quality::IMPLAUSIBLE.with(Quality::LATE);
        let all = Quality(0b1_1111_1111);
        source.commit(vec![registry(), vec![
            says(Vital::BodyTemperature, Value::Quantity(Quantity::from_ten_thousandths(360_500)), late),
            says(Vital::Consciousness, Value::Consciousness(Acvpu::Confusion), all),
            says(Vital::Spo2, Value::Absent(AbsentReason::SensorOff), Quality::default()),
        ]]);
        running.stored(source.journal.last()).await;
        let named = "SELECT site_id, patient_id, device_id, vital, value, unit, consciousness,
            absent_reason, quality FROM readings_named ORDER BY vital";
        let expected = [
            "north p-0 d-0 body_temperature 36.05 Cel NULL NULL implausible,late",
            "north p-0 d-0 consciousness 2 1 confusion NULL \
             questionable,implausible,no_sensor,late,clock_ahead,test,demo,amended,clock_unset",
            "north p-0 d-0 spo2 NULL % NULL sensor_off ",
        ];
        assert_eq!(store.lines(named).await, expected);
        let measured = store.value("SELECT min(measured_at) FROM readings_named").await;
        assert!(measured.starts_with("2026-01-31"), "{measured}");

        let vitals = store.lines("SELECT vital, name, unit FROM vitals ORDER BY vital").await;
        let expected =
            Vital::ALL.map(|v| format!("{} {} {}", v.number(), v.name(), v.unit().ucum()));
        assert_eq!(vitals, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_day_gets_its_partition_and_the_days_ahead_have_theirs() {
    let database = Database::create().await;
    let admin = database.connect().await;
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let mut running = Running::start(store.settings(), &source.journal);
    let on = |day: &str| {
        Output::Reading(Reading {
            measured_at: day.parse().expect("a time"),
            patient: PatientKey(0),
            device: DeviceKey(0),
            vital: Vital::HeartRate,
            value: Value::Quantity(Quantity::whole(60)),
            quality: Quality::LATE,
            original: None,
            interval: None,
            measurement_id: 0,
        })
    };
    let days = ["2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z", "2024-02-29T12:00:00Z"];
    running.stored(source.commit(vec![days.map(on).to_vec()])).await;
    running
        .stored(source.commit(vec![vec![on("2024-02-29T13:00:00Z"), on("2023-06-01T00:00:00Z")]]))
        .await;

    if store.is_hypertable().await {
        return;
    }
    let filled = "SELECT DISTINCT tableoid::regclass::text FROM readings ORDER BY 1";
    let expected = [20_230_601, 20_240_229, 20_251_231, 20_260_101];
    let expected = expected.map(|day| format!("readings_{day}"));
    assert_eq!(store.lines(filled).await, expected);
    let ahead = "SELECT to_regclass('pulseward.readings_' || to_char((now() AT TIME ZONE 'UTC')
        + make_interval(days => $1), 'YYYYMMDD')) IS NOT NULL";
    for day in [0, 1, 2] {
        assert!(admin.query_one(ahead, &[&day]).await.expect("answers").get::<_, bool>(0), "{day}");
    }
    let indexed = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'readings_2%' AND indexdef
        LIKE '%(patient_key, vital, measured_at DESC)'";
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'readings'::regclass";
    assert_eq!(store.value(indexed).await, store.value(partitions).await);
    assert_eq!(
        store.value("SELECT value FROM store_meta WHERE name = 'layout'").await,
        "partitioned"
    );
}
