//! Alerts from their rows: listed by those who may, page by page, and told with all that decided
//! them; what is read is what was written.

use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, DecidingReading, Phase, Risk, ScoreSummary,
    Signal, Trigger,
};
use pulseward::engine::input::Sites;
use pulseward::engine::output::{
    Erased, Output, PatientRow, ProfileRow, Quality, Reading, RegistryChange, Worn,
};
use pulseward::engine::profile::{Eligibility, Profile, Rule, RuleKind, Scope};
use pulseward::store::{AlertsQuery, History, HistoryError, open_history};
use pulseward::vitals::{
    Acvpu, DeviceKey, PatientId, PatientKey, Priority, Quantity, SiteId, SiteKey, Value, Vital,
};
use uuid::Uuid;

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

fn at(seconds: u64) -> Timestamp {
    noon().plus(Duration::from_secs(seconds))
}

/// The site that a patient, a gateway or nobody is at, as [`registry`] has it.
fn site(key: u32) -> Option<SiteId> {
    Some(if key == 0 { "north" } else { "south" }.parse().expect("an id"))
}

/// An open alert with an onset so many seconds behind noon. Its number says it all.
fn alert(number: u128, patient: Option<u32>, onset: u64) -> Alert {
    Alert {
        id: AlertId(Uuid::from_u128(number)),
        kind: AlertKind::Physiological,
        patient: patient.map(|key| format!("p-{key}").parse().expect("an id")),
        patient_key: patient.map(PatientKey),
        site: patient.and_then(site),
        device: patient.map(|key| format!("d-{key}").parse().expect("an id")),
        rule: "hr-high".parse().expect("an id"),
        rule_version: 1,
        scope: Scope::Default,
        vital: Some(Vital::HeartRate),
        limit: Some(Quantity::whole(120)),
        score: None,
        priority: Priority::Medium,
        condition: Condition::Active,
        signal: Signal::On,
        onset: at(onset),
        raised_at: at(onset + 1),
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

fn event(phase: Phase, trigger: Trigger, alert: Alert) -> AlertEvent {
    let (priority_before, actor, note) = (None, None, None);
    AlertEvent { phase, determined_at: at(60), trigger, priority_before, actor, note, alert }
}

fn start(alert: Alert) -> Output {
    Output::Alert(Box::new(event(Phase::Start, Trigger::Timer, alert)))
}

/// The same alert, over by its second event.
fn end(alert: Alert) -> Output {
    let alert = Alert {
        condition: Condition::Inactive,
        signal: Signal::Off,
        ended_at: Some(at(90)),
        revision: 2,
        ..alert
    };
    Output::Alert(Box::new(event(Phase::End, Trigger::Timer, alert)))
}

fn everything() -> AlertsQuery {
    AlertsQuery {
        scope: Sites::All,
        sites: vec![],
        patients: vec![],
        rules: vec![],
        priority_min: Priority::Low,
        is_over: None,
        from: Timestamp::MIN,
        until: Timestamp::MAX,
        page_size: 100,
        page_token: None,
    }
}

fn only(site: &str) -> Sites {
    Sites::Only(vec![site.parse().expect("an id")])
}

async fn numbers(history: &dyn History, query: AlertsQuery) -> Vec<u128> {
    let page = history.list_alerts(query).await.expect("a page");
    page.alerts.iter().map(|alert| alert.id.0.as_u128()).collect()
}

/// 1: of p-0, over; 2: of p-1, open, high; 3: of a gateway in the south; 4: of the service itself;
/// 5: of p-0, open, of another rule. Each has its onset ten seconds behind the one before, but 5 has
/// that of 4.
async fn ward(store: &Store) -> (Source, Running) {
    let mut source = Source::new();
    let mut running = Running::start(store.settings(), &source.journal);
    let high = Alert { priority: Priority::High, ..alert(2, Some(1), 20) };
    let gateway = Alert { site: site(1), kind: AlertKind::Technical, ..alert(3, None, 30) };
    let other = Alert { rule: "rr-high".parse().expect("an id"), ..alert(5, Some(0), 40) };
    source.commit(vec![
        registry(),
        vec![start(alert(1, Some(0), 10)), start(high), end(alert(1, Some(0), 10))],
        vec![start(gateway), start(alert(4, None, 40)), start(other)],
    ]);
    running.stored(source.journal.last()).await;
    (source, running)
}

on_both! {
    async fn alerts_are_listed_latest_onset_first_by_what_was_asked_for(store: Store) {
        let (source, running) = ward(&store).await;
        let history = open_history(&store.settings());
        let sites = |site: &str| vec![site.parse().expect("an id")];
        let patients = |patient: &str| vec![patient.parse::<PatientId>().expect("an id")];
        let rules = |rule: &str| vec![rule.parse().expect("an id")];
        for (query, expected) in [
            (everything(), &[5, 4, 3, 2, 1][..]),
            (AlertsQuery { is_over: Some(true), ..everything() }, &[1]),
            (AlertsQuery { is_over: Some(false), ..everything() }, &[5, 4, 3, 2]),
            // What a watcher of the same filter is shown: the service's own alerts are everybody's.
            (AlertsQuery { sites: sites("south"), ..everything() }, &[4, 3, 2]),
            (AlertsQuery { patients: patients("p-0"), ..everything() }, &[5, 4, 1]),
            (AlertsQuery { sites: sites("south"), patients: patients("p-0"), ..everything() }, &[4]),
            (AlertsQuery { rules: rules("rr-high"), ..everything() }, &[5]),
            (AlertsQuery { priority_min: Priority::High, ..everything() }, &[2]),
            (AlertsQuery { from: at(20), until: at(40), ..everything() }, &[3, 2]),
            (AlertsQuery { scope: only("north"), ..everything() }, &[5, 4, 1]),
            (AlertsQuery { scope: only("nowhere"), ..everything() }, &[4]),
            (AlertsQuery { scope: Sites::Only(vec![]), ..everything() }, &[4]),
            (AlertsQuery { scope: only("north"), sites: sites("south"), ..everything() }, &[4]),
        ] {
            assert_eq!(numbers(&*history, query.clone()).await, expected, "{query:?}");
        }
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn pages_hold_each_alert_once_whatever_comes_meanwhile(store: Store) {
        let (mut source, mut running) = ward(&store).await;
        let history = open_history(&store.settings());
        let mut query = AlertsQuery { page_size: 2, ..everything() };
        let mut told = Vec::new();
        loop {
            let page = history.list_alerts(query.clone()).await.expect("a page");
            told.push(page.alerts.iter().map(|alert| alert.id.0.as_u128()).collect::<Vec<_>>());
            // A later one, and one that changes where it stands.
            source.commit(vec![
                vec![start(alert(100 + told.len() as u128, Some(0), 1000))],
                vec![end(alert(2, Some(1), 20))],
            ]);
            running.stored(source.journal.last()).await;
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        assert_eq!(told, [vec![5, 4], vec![3, 2], vec![1]]);
        let other = AlertsQuery { is_over: Some(true), page_token: Some("x".into()), ..query };
        assert_eq!(history.list_alerts(other).await, Err(HistoryError::InvalidPageToken));
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn a_patients_past_goes_with_them_and_that_of_an_erased_one_is_nobodys(store: Store) {
        let (mut source, mut running) = ward(&store).await;
        let history = open_history(&store.settings());
        let moved = PatientRow {
            key: PatientKey(0),
            id: "p-0".parse().expect("an id"),
            site: SiteKey(1),
            created_at: noon(),
            eligibility: Eligibility::default(),
            paused_until: None,
        };
        source.commit(vec![vec![Output::Registry(Box::new(RegistryChange::Patient(moved)))]]);
        running.stored(source.journal.last()).await;
        let at_site = |site| AlertsQuery { scope: only(site), ..everything() };
        assert_eq!(numbers(&*history, at_site("north")).await, [4]);
        assert_eq!(numbers(&*history, at_site("south")).await, [5, 4, 3, 2, 1]);
        let id = AlertId(Uuid::from_u128(1));
        let south = history.alert(id, only("south")).await.expect("read").expect("it moved along");
        assert_eq!(south.alert.site, site(1));
        assert_eq!(history.alert(id, only("north")).await, Ok(None));

        let erased = Erased {
            patient: Some("p-0".parse().expect("an id")),
            site: site(1).expect("a site"),
            tombstone: PatientRow {
                key: PatientKey(0),
                id: PatientId::erased(PatientKey(0)),
                site: SiteKey(1),
                created_at: at(100),
                eligibility: Eligibility::default(),
                paused_until: None,
            },
            requested_by: "anna".to_owned(),
            worn: vec![Worn { device: DeviceKey(0), from: None, until: at(100) }],
        };
        source.commit(vec![vec![Output::Erased(Box::new(erased))]]);
        running.stored(source.journal.last()).await;
        assert_eq!(numbers(&*history, everything()).await, [4, 3, 2]);
        assert_eq!(history.alert(id, Sites::All).await, Ok(None));
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn an_alert_is_told_exactly_as_it_was_written(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let deciding = |seconds: u64, vital: Vital, value| {
            DecidingReading { measured_at: at(seconds), vital, value }
        };
        let beats = Value::Quantity(Quantity::from_ten_thousandths(1_505_000));
        let voice = Value::Consciousness(Acvpu::Voice);
        let decided = vec![
            deciding(10, Vital::HeartRate, beats),
            deciding(9, Vital::Consciousness, voice),
        ];
        let score = ScoreSummary {
            total: 7,
            risk: Risk::High,
            parameters: vec![(Vital::HeartRate, 3, at(10))],
            missing: vec![Vital::Spo2],
            age_unknown: true,
            pregnancy_unknown: false,
        };
        let began = Alert {
            score: Some(Box::new(score)),
            scope: Scope::Site(SiteKey(0)),
            rule_version: 3,
            delayed: true,
            unconfirmed: true,
            ..alert(1, Some(0), 10)
        };
        let until = at(500);
        let later = Alert {
            signal: Signal::Paused { until },
            assignee: Some("anna".to_owned()),
            escalation_level: 2,
            covered: 4,
            priority: Priority::High,
            device: None,
            limit: None,
            revision: 2,
            risen_in: 2,
            rule_version: 4,
            ..began.clone()
        };
        let events = [
            event(Phase::Start, Trigger::Readings(decided.clone()), began),
            AlertEvent {
                priority_before: Some(Priority::Medium),
                actor: Some("anna".to_owned()),
                note: Some("two\nlines".to_owned()),
                ..event(Phase::Pause, Trigger::Request, later.clone())
            },
        ];
        let rule = Rule::new("hr-high".parse().expect("an id"), RuleKind::Off);
        let put = |version, rules| {
            Output::Registry(Box::new(RegistryChange::Profile(ProfileRow {
                scope: Scope::Site(SiteKey(0)),
                version,
                profile: Profile { rules },
                put_at: noon(),
                put_by: "anna".to_owned(),
            })))
        };
        let measured = |seconds: u64, vital, value| {
            Output::Reading(Reading {
                measured_at: at(seconds),
                patient: PatientKey(0),
                device: DeviceKey(0),
                vital,
                value,
                quality: Quality::LATE,
                original: None,
                interval: None,
                measurement_id: 5,
            })
        };
        let mut second = registry();
        second.extend([put(3, vec![rule.clone()]), put(4, vec![])]);
        source.commit(vec![
            second,
            vec![
                measured(10, Vital::HeartRate, beats),
                measured(9, Vital::Consciousness, voice),
                measured(11, Vital::HeartRate, beats),
            ],
            events.iter().map(|event| Output::Alert(Box::new(event.clone()))).collect(),
        ]);
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());
        let story = history.alert(later.id, only("north")).await.expect("read").expect("told");
        // What never changes of an alert is told with each event as it is now.
        let with_last = |event: &AlertEvent| AlertEvent {
            alert: Alert { risen_in: later.risen_in, ..event.alert.clone() },
            ..event.clone()
        };
        assert_eq!(story.alert, later);
        assert_eq!(story.events, events.iter().map(with_last).collect::<Vec<_>>());
        assert!(story.is_whole());
        let readings: Vec<_> =
            story.readings.iter().map(|it| (it.measured_at, it.vital, it.value)).collect();
        let expected =
            [(at(9), Vital::Consciousness, voice), (at(10), Vital::HeartRate, beats)];
        assert_eq!(readings, expected, "those that decided it, and no other");
        let found = story.rule.expect("the version of then");
        assert_eq!((found.rule, found.scope, found.version), (rule, Scope::Site(SiteKey(0)), 3));
        assert_eq!(history.alert(later.id, only("south")).await, Ok(None));
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn of_a_long_story_the_first_event_and_the_latest_are_told(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let events = (1..=1_200).map(|revision| {
            let phase = if revision == 1 { Phase::Start } else { Phase::Update };
            let alert = Alert { revision, ..alert(1, Some(0), 10) };
            Output::Alert(Box::new(event(phase, Trigger::Timer, alert)))
        });
        source.commit(vec![registry(), events.collect()]);
        running.stored(source.journal.last()).await;
        let history = open_history(&store.settings());
        let id = AlertId(Uuid::from_u128(1));
        let story = history.alert(id, Sites::All).await.expect("read").expect("told");
        let revisions: Vec<_> = story.events.iter().map(|event| event.alert.revision).collect();
        let expected: Vec<_> = std::iter::once(1).chain(202..=1_200).collect();
        assert_eq!(revisions, expected);
        assert!(!story.is_whole());
        drop(source);
        running.end().await.expect("ends well");
    }
}
