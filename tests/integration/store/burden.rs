//! How much alarms ask of a ward, from rows: the numbers of a ward that was reckoned by hand are the
//! same from both databases, and each caller's are those of their own sites.

use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::{
    Alert, AlertEvent, AlertId, AlertKind, Condition, Phase, Signal, Trigger,
};
use pulseward::engine::input::{Schedule, Sites};
use pulseward::engine::output::{
    BindingRow, DeviceRow, Erased, Output, PatientRow, RegistryChange,
};
use pulseward::engine::profile::{Eligibility, Scope};
use pulseward::store::alerts::burden::{
    HourTally, MostAlarmed, PatientTally, RuleTally, Tally, Waits,
};
use pulseward::store::{Burden, BurdenQuery, open_history};
use pulseward::vitals::{
    DeviceKey, PatientId, PatientKey, Priority, Quantity, SiteId, SiteKey, Vital,
};
use uuid::Uuid;

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

const HOUR: Duration = Duration::from_secs(3600);
const DAY_HOURS: i64 = 24;
/// Patients 0 to before this: patient 1 is in the south, all others are in the north.
const PATIENTS: u32 = 14;

/// So many hours from noon, when the span begins.
fn hours(hours: i64) -> Timestamp {
    let distance = HOUR * u32::try_from(hours.unsigned_abs()).expect("a few hours");
    if hours < 0 { noon().minus(distance) } else { noon().plus(distance) }
}

fn at(seconds: u64) -> Timestamp {
    noon().plus(Duration::from_secs(seconds))
}

fn site_of(patient: u32) -> SiteKey {
    SiteKey(u32::from(patient == 1))
}

fn site(key: SiteKey) -> SiteId {
    if key.0 == 0 { id("north") } else { id("south") }
}

fn id<Id: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Id {
    text.parse().expect("an id")
}

fn registered(change: RegistryChange) -> Output {
    Output::Registry(Box::new(change))
}

/// Patients 2 and later, in the north.
fn patients() -> Vec<Output> {
    let patient = |key| PatientRow {
        key: PatientKey(key),
        id: id(&format!("p-{key}")),
        site: site_of(key),
        created_at: noon(),
        eligibility: Eligibility::default(),
        paused_until: None,
    };
    (2..PATIENTS).map(|key| registered(RegistryChange::Patient(patient(key)))).collect()
}

/// A device of its own for each binding, from and until some hours from noon.
fn bindings() -> Vec<Output> {
    let bound = [
        (0, -10, None),
        (0, 2, Some(4)),
        (1, 1, Some(3)),
        (1, 2, Some(5)),
        (2, 22, None),
        (3, -5, Some(-1)),
        (4, -5, Some(1)),
        (4, 6, Some(7)),
        (6, 0, None),
    ];
    let others = (7..PATIENTS).map(|patient| (patient, 3, Some(4)));
    let bound = bound.into_iter().chain(others);
    let numbered = (100..).zip(bound);
    numbered.flat_map(|(key, (patient, from, until))| binding(key, patient, from, until)).collect()
}

fn binding(key: u32, patient: u32, from: i64, until: Option<i64>) -> [Output; 2] {
    let device = DeviceRow {
        key: DeviceKey(key),
        id: id(&format!("d-{key}")),
        site: site_of(patient),
        created_at: noon(),
    };
    let binding = BindingRow {
        device: DeviceKey(key),
        patient: PatientKey(patient),
        from: hours(from),
        until: until.map(hours),
        schedule: Schedule::default().into(),
    };
    [registered(RegistryChange::Device(device)), registered(RegistryChange::Binding(binding))]
}

/// A rule, the vital of its alerts, and what they are about.
type Kind = (&'static str, Option<Vital>, AlertKind);

const HEART: Kind = ("hr-high", Some(Vital::HeartRate), AlertKind::Physiological);
const BREATH: Kind = ("rr-high", Some(Vital::RespiratoryRate), AlertKind::Physiological);
const OXYGEN: Kind = ("spo2-low", Some(Vital::Spo2), AlertKind::Physiological);
const SENSOR: Kind = ("sensor-off", None, AlertKind::Technical);
const GATEWAY: Kind = ("gateway-offline", None, AlertKind::Technical);
const FLOOD: Kind = ("pulseward.flood", None, AlertKind::Technical);
const INGEST: Kind = ("pulseward.ingest", None, AlertKind::Technical);

/// An alert, and what is told of it.
struct Story {
    alert: Alert,
    told: Vec<Output>,
}

impl Story {
    /// Raised so many seconds behind noon.
    fn of((rule, vital, kind): Kind, patient: Option<u32>, raised: u64) -> Self {
        let alert = Alert {
            id: AlertId(Uuid::from_u128(
                u128::from(raised) << 16 | u128::from(patient.unwrap_or(99)),
            )),
            kind,
            patient: patient.map(|key| id(&format!("p-{key}"))),
            patient_key: patient.map(PatientKey),
            site: patient.map(|key| site(site_of(key))),
            device: None,
            // The service's own ids are none that a profile may have.
            rule: id(rule),
            rule_version: 1,
            scope: Scope::Default,
            vital,
            limit: vital.map(|_| Quantity::whole(120)),
            score: None,
            priority: Priority::Medium,
            condition: Condition::Active,
            signal: Signal::On,
            onset: at(raised).minus(HOUR),
            raised_at: at(raised),
            ended_at: None,
            retrospective: false,
            delayed: false,
            unconfirmed: false,
            escalation_level: 0,
            assignee: None,
            covered: 0,
            revision: 0,
            risen_in: 1,
        };
        Self { alert, told: Vec::new() }
    }

    fn start(self, priority: Priority) -> Self {
        let at = self.alert.raised_at;
        self.then(Phase::Start, at, |alert| alert.priority = priority)
    }

    /// So many seconds after it was raised.
    fn after(self, phase: Phase, seconds: u64) -> Self {
        let at = self.alert.raised_at.plus(Duration::from_secs(seconds));
        self.then(phase, at, |alert| match phase {
            Phase::Escalate => alert.priority = Priority::High,
            Phase::Deescalate => alert.priority = Priority::Medium,
            Phase::Acknowledge => alert.signal = Signal::Acknowledged,
            Phase::Pause => alert.signal = Signal::Paused { until: at.plus(HOUR) },
            Phase::End | Phase::Close => {
                (alert.condition, alert.signal) = (Condition::Inactive, Signal::Off);
            }
            _ => {}
        })
    }

    fn then(
        mut self,
        phase: Phase,
        determined_at: Timestamp,
        change: impl FnOnce(&mut Alert),
    ) -> Self {
        change(&mut self.alert);
        self.alert.revision += 1;
        let (priority_before, actor, note) = (None, None, None);
        let (trigger, alert) = (Trigger::Timer, self.alert.clone());
        let event =
            AlertEvent { phase, determined_at, trigger, priority_before, actor, note, alert };
        self.told.push(Output::Alert(Box::new(event)));
        self
    }
}

fn with(mut story: Story, change: impl FnOnce(&mut Alert)) -> Story {
    change(&mut story.alert);
    story
}

/// What the ward heard.
fn stories() -> Vec<Story> {
    use Phase::{Acknowledge, Close, Deescalate, End, Escalate, Pause};
    use Priority::{Low, Medium};
    let latched = |alert: &mut Alert| alert.signal = Signal::Latched;
    vec![
        // Acknowledged after 20 s, raised in the first moment of the span.
        Story::of(BREATH, Some(0), 0).start(Low).after(Acknowledge, 20),
        // Reached high, fell, and was acknowledged after 60 s; acknowledged again later.
        Story::of(HEART, Some(0), 100)
            .start(Low)
            .after(Acknowledge, 60)
            .after(Escalate, 70)
            .after(Acknowledge, 80)
            .after(Deescalate, 90)
            .after(End, 100),
        // Ended by itself, just in time.
        Story::of(HEART, Some(0), 3_700).start(Medium).after(End, 30),
        // Not in time; it waits to be reset.
        Story::of(BREATH, Some(0), 3_800).start(Medium).after(End, 31).then(
            Phase::Update,
            at(3_840),
            latched,
        ),
        // In the south: acknowledged after 10 s, open; open and unanswered; closed; of a gateway.
        Story::of(HEART, Some(1), 7_200).start(Medium).after(Acknowledge, 10),
        Story::of(HEART, Some(1), 7_300).start(Low),
        Story::of(SENSOR, Some(1), 7_400).start(Medium).after(Close, 5),
        with(Story::of(GATEWAY, None, 7_500), |it| it.site = Some(id("south")))
            .start(Medium)
            .after(End, 10),
        // Raised while the patient was paused, and ended by itself.
        with(Story::of(OXYGEN, Some(4), 10_800), |it| {
            it.signal = Signal::Paused { until: at(20_000) }
        })
        .start(Medium)
        .after(End, 10),
        // Somebody paused it, and so it did not end by itself.
        Story::of(OXYGEN, Some(4), 10_900).start(Low).after(Pause, 5).after(End, 20),
        // Stands for four others; acknowledged after 90 s. The patient wears no device.
        with(Story::of(FLOOD, Some(5), 11_000), |it| it.covered = 4)
            .start(Medium)
            .after(Acknowledge, 90),
    ]
}

/// What must be in no number of the ward: of the service, by late readings, of one who is erased,
/// before the span and behind it.
fn others() -> Vec<Story> {
    let early = with(Story::of(HEART, Some(4), 50), |it| {
        it.raised_at = noon().minus(Duration::from_micros(1));
    });
    vec![
        Story::of(INGEST, None, 7_600).start(Priority::High),
        with(Story::of(BREATH, Some(0), 7_700), |it| {
            (it.retrospective, it.condition, it.signal) = (true, Condition::Inactive, Signal::Off);
        })
        .start(Priority::High),
        Story::of(HEART, Some(6), 500).start(Priority::High),
        early.start(Priority::High),
        Story::of(HEART, Some(4), 86_400).start(Priority::High),
    ]
}

fn erased() -> Output {
    let tombstone = PatientRow {
        key: PatientKey(6),
        id: PatientId::erased(PatientKey(6)),
        site: SiteKey(0),
        created_at: at(100),
        eligibility: Eligibility::default(),
        paused_until: None,
    };
    Output::Erased(Box::new(Erased {
        patient: Some(id("p-6")),
        site: id("north"),
        tombstone,
        requested_by: "anna".to_owned(),
        worn: vec![],
    }))
}

async fn ward(store: &Store) -> (Source, Running) {
    let mut source = Source::new();
    let mut running = Running::start(store.settings(), &source.journal);
    source.commit(vec![registry(), patients(), bindings()]);
    let told = stories().into_iter().chain(others()).map(|story| story.told);
    source.commit(told.collect());
    source.commit(vec![vec![erased()]]);
    running.stored(source.journal.last()).await;
    (source, running)
}

fn query() -> BurdenQuery {
    BurdenQuery {
        scope: Sites::All,
        sites: vec![],
        span: noon()..hours(DAY_HOURS),
        as_of: hours(20),
        hour_offset: Duration::ZERO,
    }
}

fn only(site: &str) -> Sites {
    Sites::Only(vec![id(site)])
}

fn waits(median: u64, p90: u64) -> Option<Waits> {
    let (median, p90) = (Duration::from_secs(median), Duration::from_secs(p90));
    Some(Waits { median, p90 })
}

/// Alerts by priority, and how many of them were acknowledged, ended and are open unanswered.
fn tally(by_priority: [u32; 3], [acknowledged, ended, open]: [u32; 3]) -> Tally {
    Tally {
        alerts: by_priority.iter().sum(),
        by_priority,
        acknowledged,
        ended_unacknowledged: ended,
        open_unacknowledged: open,
        ..Tally::default()
    }
}

fn physiological() -> Tally {
    let (self_ended, paused, raised_paused) = (2, 1, 1);
    Tally { self_ended, paused, raised_paused, ..tally([1, 4, 3], [3, 4, 1]) }
}

fn technical() -> Tally {
    Tally { self_ended: 1, ..tally([0, 3, 0], [1, 2, 0]) }
}

fn rule((rule, vital, kind): Kind, tally: Tally) -> RuleTally {
    RuleTally { rule: id(rule), vital, kind, tally }
}

fn rules() -> Vec<RuleTally> {
    let oxygen =
        Tally { self_ended: 1, paused: 1, raised_paused: 1, ..tally([0, 1, 1], [0, 2, 0]) };
    vec![
        rule(HEART, Tally { self_ended: 1, ..tally([1, 2, 1], [2, 1, 1]) }),
        rule(BREATH, tally([0, 1, 1], [1, 1, 0])),
        rule(OXYGEN, oxygen),
        rule(GATEWAY, Tally { self_ended: 1, ..tally([0, 1, 0], [0, 1, 0]) }),
        rule(FLOOD, tally([0, 1, 0], [1, 0, 0])),
        rule(SENSOR, tally([0, 1, 0], [0, 1, 0])),
    ]
}

fn patient(key: u32, technical: u32, tally: Tally) -> PatientTally {
    let (patient, site) = (id(&format!("p-{key}")), site(site_of(key)));
    PatientTally { patient, site, technical, tally }
}

/// The tenth of eleven patients is two.
fn most_alarmed() -> MostAlarmed {
    let first = Tally { self_ended: 1, ..tally([1, 2, 1], [2, 2, 0]) };
    let second = tally([0, 2, 1], [1, 1, 1]);
    let listed = vec![patient(0, 0, first), patient(1, 1, second)];
    MostAlarmed { of_patients: 11, patients: 2, alerts: 7, of_alerts: 10, listed }
}

/// When hours begin, and how many alerts of each kind they have.
fn by_hour(burden: &Burden) -> Vec<(Timestamp, u32, u32)> {
    let counts = |hour: &HourTally| (hour.from, hour.physiological.alerts, hour.technical.alerts);
    burden.hours.iter().map(counts).collect()
}

on_both! {
    async fn a_wards_burden_is_what_was_reckoned_by_hand(store: Store) {
        let (source, running) = ward(&store).await;
        let history = open_history(&store.settings());
        let burden = history.alarm_burden(query()).await.expect("counted");
        // Patient 0 until it is counted; 1 with two devices at once; 4 in two pieces; seven others
        // for an hour.
        assert_eq!((burden.monitored_patients, burden.monitored), (10, HOUR * (20 + 4 + 2 + 7)));
        assert_eq!(burden.physiological, physiological());
        assert_eq!(burden.technical, technical());
        assert_eq!(burden.all().alerts, 11);
        assert_eq!(burden.waits, waits(20, 90));
        assert_eq!(burden.physiological_waits, waits(20, 60));
        assert_eq!(burden.technical_waits, waits(90, 90));
        assert_eq!(burden.rules, rules());
        assert_eq!(
            by_hour(&burden),
            [(hours(0), 2, 0), (hours(1), 2, 0), (hours(2), 2, 2), (hours(3), 2, 1)]
        );
        assert_eq!(burden.hours[0].physiological.by_priority, [1, 0, 1]);
        assert_eq!(burden.most_alarmed, most_alarmed());
        assert_eq!((burden.retrospective, burden.of_service, burden.held_back), (1, 1, 4));
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn nobody_is_counted_whom_the_caller_may_not_see(store: Store) {
        let (source, running) = ward(&store).await;
        let history = open_history(&store.settings());
        let north = BurdenQuery { scope: only("north"), ..query() };
        let north = history.alarm_burden(north).await.expect("counted");
        assert_eq!((north.monitored_patients, north.monitored), (9, HOUR * (20 + 2 + 7)));
        assert_eq!((north.physiological.alerts, north.technical.alerts), (6, 1));
        assert_eq!((north.most_alarmed.of_patients, north.most_alarmed.patients), (10, 1));
        let listed: Vec<_> = north.most_alarmed.listed.iter().map(|it| it.patient.as_str()).collect();
        assert_eq!((&listed[..], north.most_alarmed.of_alerts), (&["p-0"][..], 7));
        // The same is asked for by who sees more.
        let asked = BurdenQuery { sites: vec![id("north")], ..query() };
        assert_eq!(history.alarm_burden(asked).await.expect("counted"), north);
        // Outside one's sites there is nothing but the service itself.
        let nothing = Burden { of_service: 1, ..Burden::default() };
        for query in [
            BurdenQuery { scope: only("nowhere"), ..query() },
            BurdenQuery { scope: Sites::Only(vec![]), ..query() },
            BurdenQuery { scope: only("north"), sites: vec![id("south")], ..query() },
        ] {
            assert_eq!(history.alarm_burden(query).await.expect("counted"), nothing);
        }
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn hours_begin_where_the_time_zone_has_them(store: Store) {
        let (source, running) = ward(&store).await;
        let history = open_history(&store.settings());
        let half = HOUR / 2;
        let query = BurdenQuery { hour_offset: half, ..query() };
        let burden = history.alarm_burden(query).await.expect("counted");
        let from = |number: i64| hours(number).minus(half);
        assert_eq!(
            by_hour(&burden),
            [(from(0), 2, 0), (from(1), 2, 0), (from(2), 2, 2), (from(3), 2, 1)]
        );
        drop(source);
        running.end().await.expect("ends well");
    }

    async fn a_span_without_anybody_has_no_burden(store: Store) {
        let (source, running) = ward(&store).await;
        let history = open_history(&store.settings());
        for span in [hours(-100)..hours(-50), hours(30)..hours(40)] {
            let query = BurdenQuery { span, ..query() };
            assert_eq!(history.alarm_burden(query).await, Ok(Burden::default()));
        }
        drop(source);
        running.end().await.expect("ends well");
    }
}
