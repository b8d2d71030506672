//! Who did and read what, as rows: each event once, listed by those who may; and a chain in which
//! every later change is found.

use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::engine::audit::{About, Access, Head, Method, Origin, Outcome};
use pulseward::engine::input::{Action, Command, Event, Input, Principal, Role, Sites};
use pulseward::engine::output::Output;
use pulseward::engine::{State, apply};
use pulseward::position::Partition;
use pulseward::store::audit::verify::{
    BrokenLink, ExportedHead, VerifiedChain, VerifyError, verify,
};
use pulseward::store::{
    AuditPage, AuditQuery, History, HistoryError, StoredAuditEvent, StoredDetails, open_history,
};
use pulseward::vitals::PatientId;

use super::on_both;
use super::stand::{Running, Source, Store, noon};

/// A house as the engine knows it, and what happened in it on its way to the journal.
#[derive(Default)]
pub(super) struct House {
    state: State,
    entries: Vec<(Input, Vec<Output>)>,
    /// A salt for each call, and the second of it.
    calls: u8,
}

impl House {
    /// Sites north, with patients p-0 to p-2, and south, with p-3: six calls.
    pub(super) fn new() -> Self {
        let mut house = Self::default();
        for site in ["north", "south"] {
            let (display_name, time_zone) = (site.to_owned(), "UTC".to_owned());
            let site = site.parse().expect("an id");
            house.command(Action::CreateSite { site, display_name, time_zone });
        }
        for (number, site) in [(0, "north"), (1, "north"), (2, "north"), (3, "south")] {
            let site = site.parse().expect("an id");
            house.command(Action::CreatePatient { patient: patient(number), site });
        }
        house
    }

    fn apply(&mut self, event: Event) {
        let input = Input { received_at: at(self.calls), event };
        let mut outputs = Vec::new();
        apply(&mut self.state, &input, &mut outputs);
        self.entries.push((input, outputs));
    }

    fn origin(&mut self) -> Origin {
        self.calls += 1;
        Origin { peer: "192.0.2.7:50122".to_owned(), salt: [self.calls; 16] }
    }

    pub(super) fn command(&mut self, action: Action) {
        let (principal, origin) = (principal("anna", Sites::All), self.origin());
        self.apply(Event::Command(Box::new(Command { principal, action, origin, request: None })));
    }

    /// Somebody reads of patients.
    pub(super) fn read(&mut self, subject: &str, patients: &[u32], text: &str) {
        let patients = patients.iter().map(|number| patient(*number)).collect();
        let access = Access {
            principal: Some(principal(subject, Sites::All)),
            origin: self.origin(),
            method: Method::ListReadings,
            about: About { patients, text: text.to_owned(), ..About::default() },
            outcome: Outcome::Done,
            reason: String::new(),
        };
        self.apply(Event::Access(Box::new(access)));
    }

    /// A call of nobody known.
    fn stranger(&mut self) {
        let access = Access {
            principal: None,
            origin: self.origin(),
            method: Method::WatchAlerts,
            about: About::default(),
            outcome: Outcome::Denied,
            reason: "UNAUTHENTICATED".to_owned(),
        };
        self.apply(Event::Access(Box::new(access)));
    }

    /// Everything that happened since, stored.
    pub(super) async fn store(&mut self, source: &mut Source, running: &mut Running) {
        source.commit_inputs(std::mem::take(&mut self.entries));
        running.stored(source.journal.last()).await;
    }

    pub(super) fn head(&self) -> ExportedHead {
        ExportedHead { partition: Partition::FIRST, head: self.state.audit_head() }
    }
}

fn at(second: u8) -> Timestamp {
    noon().plus(Duration::from_secs(second.into()))
}

pub(super) fn patient(number: u32) -> PatientId {
    format!("p-{number}").parse().expect("an id")
}

fn principal(subject: &str, sites: Sites) -> Principal {
    Principal { subject: subject.to_owned(), role: Role::Admin, sites }
}

fn everything() -> AuditQuery {
    AuditQuery {
        sites: Sites::All,
        subject: None,
        patient: None,
        from: Timestamp::MIN,
        until: Timestamp::MAX,
        page_size: 100,
        page_token: None,
    }
}

async fn list(history: &dyn History, query: AuditQuery) -> AuditPage {
    history.list_audit_events(query).await.expect("a page")
}

async fn numbers(history: &dyn History, query: AuditQuery) -> Vec<u64> {
    numbers_of(&list(history, query).await.events)
}

fn numbers_of(events: &[StoredAuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.number).collect()
}

/// A store that holds six calls that made the house, and these: 7 and 10 by nora about p-0, 8 about
/// p-1 and p-0, 9 of nobody known, 11 about p-3, 12 a refusal.
pub(super) async fn stored(store: &Store) -> House {
    let mut source = Source::new();
    let mut running = Running::start(store.settings(), &source.journal);
    let mut house = House::new();
    house.read("nora", &[0], "a \"quoted\" text with \u{1f600}");
    house.read("anna", &[1, 0], "");
    house.stranger();
    house.read("nora", &[0], "");
    house.read("omar", &[3], "");
    let site = "north".parse().expect("an id");
    house.command(Action::CreatePatient { patient: patient(0), site });
    house.store(&mut source, &mut running).await;
    drop(source);
    running.end().await.expect("drained");
    house
}

pub(super) async fn verified(
    store: &Store,
    heads: &[ExportedHead],
) -> Result<VerifiedChain, BrokenLink> {
    let history = open_history(&store.settings());
    match verify(&*history, heads, |_| {}).await {
        Ok(mut chains) => Ok(chains.remove(0)),
        Err(VerifyError::Broken { link, .. }) => Err(link),
        Err(VerifyError::Read(error)) => panic!("{error}"),
    }
}

/// The table, as the store calls it.
fn table(store: &Store) -> &'static str {
    match store {
        Store::Postgres(_) => "pulseward.audit_events",
        Store::Sqlite(_) => "audit_events",
    }
}

impl Store {
    /// Changes the stored events behind the service's back.
    pub(super) async fn tamper(&self, change: &str) {
        self.execute(&change.replace("audit_events", table(self))).await;
    }

    /// Bytes in SQL.
    pub(super) fn bytes(&self, hex: &str) -> String {
        match self {
            Self::Postgres(_) => format!("'\\x{hex}'"),
            Self::Sqlite(_) => format!("x'{hex}'"),
        }
    }
}

on_both! {
    async fn an_audit_event_is_stored_as_it_was_told_and_once(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let mut house = House::new();
        house.store(&mut source, &mut running).await;
        let closed = source.close();
        running.end().await.expect("drained");
        let mut source = closed.open();
        let mut running = Running::start(store.settings(), &source.journal);
        house.read("nora", &[0, 1], "two\0of them");
        house.stranger();
        house.store(&mut source, &mut running).await;

        let columns = format!(
            "SELECT partition, position, output_index, number, {}, subject, role, peer, method,
             outcome, reason, site_id, patient_count, detail FROM audit_events
             WHERE number > 5 ORDER BY number", store.micros("at"));
        let method = |name: &str| format!("pulseward.v1.{name}");
        let time = |second: u8| at(second).micros();
        let peer = "192.0.2.7:50122";
        let expected = [
            format!("0 6 2 6 {} anna admin {peer} {} done  south 1 ", time(6),
                method("RegistryService/CreatePatient")),
            format!("0 7 0 7 {} nora admin {peer} {} done  north 2 two\u{fffd}of them", time(7),
                method("VitalsService/ListReadings")),
            format!("0 8 0 8 {}  NULL {peer} {} denied UNAUTHENTICATED NULL 0 ", time(8),
                method("AlertService/WatchAlerts")),
        ];
        assert_eq!(store.lines(&columns).await, expected);
        assert_eq!(store.value("SELECT count(*) FROM audit_events").await, "8");
        assert_eq!(store.value("SELECT count(DISTINCT number) FROM audit_events").await, "8");
        let chain = verified(&store, &[house.head()]).await.expect("whole");
        assert_eq!((chain.head, chain.erased), (house.state.audit_head(), 0));
    }

    async fn events_are_found_by_who_whom_and_when_latest_first(store: Store) {
        stored(&store).await;
        let history = open_history(&store.settings());
        let history = &*history;
        assert_eq!(numbers(history, everything()).await, (1..=12).rev().collect::<Vec<_>>());
        let by = |subject: &str| AuditQuery { subject: Some(subject.to_owned()), ..everything() };
        assert_eq!(numbers(history, by("nora")).await, [10, 7]);
        assert_eq!(numbers(history, by("")).await, [9]);
        assert_eq!(numbers(history, by("nobody")).await, [0_u64; 0]);
        let of = |number| AuditQuery { patient: Some(patient(number)), ..everything() };
        assert_eq!(numbers(history, of(0)).await, [12, 10, 8, 7, 3], "alone or among others");
        assert_eq!(numbers(history, of(1)).await, [8, 4]);
        assert_eq!(numbers(history, of(9)).await, [0_u64; 0]);
        let by_nora_of_0 = AuditQuery { patient: Some(patient(0)), ..by("nora") };
        assert_eq!(numbers(history, by_nora_of_0).await, [10, 7]);
        let within = AuditQuery { from: at(4), until: at(7), ..everything() };
        assert_eq!(numbers(history, within).await, [6, 5, 4]);

        let event = list(history, by("nora")).await.events.remove(1);
        assert_eq!((event.at, &*event.method), (at(7), "pulseward.v1.VitalsService/ListReadings"));
        let details = StoredDetails::Kept {
            salt: [7; 16],
            patients: vec!["p-0".to_owned()],
            patient_count: 1,
            text: "a \"quoted\" text with \u{1f600}".to_owned(),
        };
        assert_eq!(event.details, details);
    }

    async fn a_caller_sees_what_is_about_their_sites_alone(store: Store) {
        stored(&store).await;
        let history = open_history(&store.settings());
        let as_of = async |sites: &[&str]| {
            let sites = sites.iter().map(|site| site.parse().expect("an id")).collect();
            let sites = Sites::Only(sites);
            numbers(&*history, AuditQuery { sites, ..everything() }).await
        };
        assert_eq!(as_of(&["south"]).await, [11, 6, 2]);
        assert_eq!(as_of(&["north"]).await, [12, 10, 8, 7, 5, 4, 3, 1]);
        assert_eq!(as_of(&["north", "south"]).await.len(), 11, "not what is of nobody known");
        assert_eq!(as_of(&["west"]).await, [0_u64; 0]);
        assert_eq!(as_of(&[]).await, [0_u64; 0]);
    }

    async fn pages_hold_each_event_once_whatever_is_added_meanwhile(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let mut house = House::new();
        (0..10).for_each(|_| house.read("nora", &[0], ""));
        house.store(&mut source, &mut running).await;
        let history = open_history(&store.settings());
        let query = AuditQuery {
            patient: Some(patient(0)),
            subject: Some("nora".to_owned()),
            page_size: 3,
            ..everything()
        };
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let query = AuditQuery { page_token: token, ..query.clone() };
            let page = list(&*history, query).await;
            assert!(page.events.len() <= 3);
            found.extend(numbers_of(&page.events));
            house.read("nora", &[0], "");
            house.store(&mut source, &mut running).await;
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, (7..=16).rev().collect::<Vec<_>>());
        let foreign = AuditQuery { page_token: Some("x".to_owned()), ..everything() };
        let refused = history.list_audit_events(foreign).await;
        assert_eq!(refused, Err(HistoryError::InvalidPageToken));
    }

    async fn a_page_of_large_events_ends_early_and_is_not_the_last(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let mut house = House::new();
        let many: Vec<_> = (0..1000).map(|number| number * 1_000_000 + 999_999_999).collect();
        (0..200).for_each(|_| house.read("nora", &many, ""));
        house.store(&mut source, &mut running).await;
        let history = open_history(&store.settings());
        let query = AuditQuery { subject: Some("nora".to_owned()), page_size: 1000, ..everything() };
        let page = list(&*history, query.clone()).await;
        assert!((50..190).contains(&page.events.len()), "{}", page.events.len());
        let mut found = page.events.len();
        let mut token = page.next_page_token;
        while let Some(page_token) = token {
            let page = list(&*history, AuditQuery { page_token: Some(page_token), ..query.clone() });
            let page = page.await;
            found += page.events.len();
            token = page.next_page_token;
        }
        assert_eq!(found, 200);
    }

    async fn any_change_of_a_stored_event_is_found_and_named(store: Store) {
        let house = stored(&store).await;
        let heads = [house.head()];
        store.tamper("CREATE TABLE kept AS SELECT * FROM audit_events").await;
        let other = store.bytes(&"ab".repeat(32));
        let salt = store.bytes(&"ab".repeat(16));
        let changed = BrokenLink::Changed { number: 7 };
        let details = BrokenLink::DetailsChanged { number: 7 };
        let later = match &store {
            Store::Postgres(_) => "at + interval '1 microsecond'",
            Store::Sqlite(_) => "at + 1",
        };
        for (change, expected) in [
            (format!("at = {later}"), changed.clone()),
            ("subject = 'nobody'".to_owned(), changed.clone()),
            ("role = 'viewer'".to_owned(), changed.clone()),
            ("role = NULL".to_owned(), changed.clone()),
            ("peer = ''".to_owned(), changed.clone()),
            ("method = 'pulseward.v1.RegistryService/GetSite'".to_owned(), changed.clone()),
            ("outcome = 'denied'".to_owned(), changed.clone()),
            ("reason = 'X'".to_owned(), changed.clone()),
            ("site_id = 'south'".to_owned(), changed.clone()),
            ("site_id = NULL".to_owned(), changed.clone()),
            (format!("digest = {other}"), changed.clone()),
            (format!("commitment = {other}"), details.clone()),
            (format!("salt = {salt}"), details.clone()),
            ("patients = '[\"p-1\"]'".to_owned(), details.clone()),
            ("patients = '[\"p-0\",\"p-1\"]'".to_owned(), details.clone()),
            ("patient_count = 2".to_owned(), details.clone()),
            ("detail = ''".to_owned(), details.clone()),
            ("salt = NULL".to_owned(), details.clone()),
            ("patients = NULL, patient_count = NULL".to_owned(), details.clone()),
            (
                format!("salt = NULL, patients = NULL, patient_count = NULL, detail = NULL,
                    commitment = {other}"),
                changed.clone(),
            ),
            ("number = 70".to_owned(), BrokenLink::Missing { first: 7, last: 7 }),
            ("number = 6".to_owned(), BrokenLink::Repeated { number: 6 }),
        ] {
            store.tamper(&format!("UPDATE audit_events SET {change} WHERE number = 7")).await;
            assert_eq!(verified(&store, &[]).await, Err(expected), "{change}");
            store.tamper("DELETE FROM audit_events").await;
            store.tamper("INSERT INTO audit_events SELECT * FROM kept").await;
            verified(&store, &heads).await.expect("whole again");
        }
    }

    async fn swapped_missing_and_doubled_events_are_found(store: Store) {
        let house = stored(&store).await;
        store.tamper("CREATE TABLE kept AS SELECT * FROM audit_events").await;
        for (changes, expected) in [
            (
                vec![
                    "UPDATE audit_events SET number = 107 WHERE number = 7",
                    "UPDATE audit_events SET number = 7 WHERE number = 10",
                    "UPDATE audit_events SET number = 10 WHERE number = 107",
                ],
                BrokenLink::Changed { number: 7 },
            ),
            (
                vec!["DELETE FROM audit_events WHERE number IN (4, 5)"],
                BrokenLink::Missing { first: 4, last: 5 },
            ),
            (
                vec!["DELETE FROM audit_events WHERE number = 1"],
                BrokenLink::Missing { first: 1, last: 1 },
            ),
            (
                // And the numbers closed up behind them.
                vec![
                    "DELETE FROM audit_events WHERE number = 4",
                    "UPDATE audit_events SET number = number - 1 WHERE number > 4",
                ],
                BrokenLink::Changed { number: 4 },
            ),
            (
                vec![
                    "UPDATE kept SET position = 99 WHERE number = 8",
                    "INSERT INTO audit_events SELECT * FROM kept WHERE number = 8",
                    "UPDATE kept SET position = 8 WHERE number = 8",
                ],
                BrokenLink::Repeated { number: 8 },
            ),
        ] {
            for change in &changes {
                store.tamper(change).await;
            }
            assert_eq!(verified(&store, &[]).await, Err(expected), "{changes:?}");
            store.tamper("DELETE FROM audit_events").await;
            store.tamper("INSERT INTO audit_events SELECT * FROM kept").await;
            verified(&store, &[house.head()]).await.expect("whole again");
        }
    }

    async fn the_latest_events_missing_are_found_by_a_head_and_by_nothing_else(store: Store) {
        let house = stored(&store).await;
        let heads = [house.head()];
        store.tamper("DELETE FROM audit_events WHERE number > 9").await;
        let shorter = verified(&store, &[]).await.expect("a shorter chain holds by itself");
        assert_eq!(shorter.head.number, 9);
        let cut_off = Err(BrokenLink::CutOff { last: 9, expected: 12 });
        assert_eq!(verified(&store, &heads).await, cut_off);
        let earlier = ExportedHead { partition: Partition::FIRST, head: shorter.head };
        verified(&store, &[earlier]).await.expect("it goes so far");

        // Another chain in its place, whole by itself.
        let other = Head { digest: house.head().head.digest, ..shorter.head };
        let other = ExportedHead { partition: Partition::FIRST, head: other };
        let found = verified(&store, &[earlier, other]).await;
        assert_eq!(found, Err(BrokenLink::OtherHead { number: 9 }));
        store.tamper("DELETE FROM audit_events").await;
        let history = open_history(&store.settings());
        assert_eq!(verify(&*history, &[], |_| {}).await, Ok(vec![]));
        let link = BrokenLink::CutOff { last: 0, expected: 12 };
        let broken = VerifyError::Broken { partition: Partition::FIRST, link };
        assert_eq!(verify(&*history, &heads, |_| {}).await, Err(broken));
    }

    async fn after_an_erasure_the_chain_holds_and_says_what_was_erased(store: Store) {
        let house = stored(&store).await;
        store
            .tamper(
                "UPDATE audit_events SET salt = NULL, patients = NULL, patient_count = NULL,
                 detail = NULL WHERE number IN (3, 7, 8, 10)",
            )
            .await;
        let chain = verified(&store, &[house.head()]).await.expect("whole");
        assert_eq!((chain.erased, chain.erased_spans), (4, vec![3..=3, 7..=8, 10..=10]));
        let history = open_history(&store.settings());
        let of_erased = AuditQuery { patient: Some(patient(0)), ..everything() };
        assert_eq!(numbers(&*history, of_erased).await, [12], "what is not erased yet");
        let by = AuditQuery { subject: Some("nora".to_owned()), ..everything() };
        let events = list(&*history, by).await.events;
        assert!(events.iter().all(|event| event.details == StoredDetails::Erased));
        store.tamper("UPDATE audit_events SET subject = 'omar' WHERE number = 7").await;
        assert_eq!(verified(&store, &[]).await, Err(BrokenLink::Changed { number: 7 }));
    }
}
