//! Databases that do not fit their journal: what a person may accept, what becomes of the rows then,
//! and what nobody can accept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulseward::clock::{Clock, SystemClock, Timestamp};
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Event, Input, NewBinding, Principal, ProfileOwner, Publish, Role, Schedule,
    Sites,
};
use pulseward::engine::profile::{Level, LimitRule, Profile, Rule, RuleKind, Side, Sustained};
use pulseward::engine::{self, State};
use pulseward::journal::{self, Entry, Journal, Record};
use pulseward::position::Position;
use pulseward::store::{Error, Gap, GapReason, Settings, Writer, accept_gap};
use pulseward::vitals::{DeviceId, PatientId, Priority, Quantity, SiteId, Vital};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::on_both;
use super::stand::{Running, Store, noon};

/// A service without its doors: an engine and its journal, whose entries go in small segments.
struct Line {
    state: State,
    journal: Journal,
    writer: journal::Writer,
    now: Timestamp,
    sequence: u64,
    _dir: TempDir,
}

impl Line {
    fn new() -> Self {
        let dir = TempDir::with_prefix("journal-").expect("temporary directory");
        let settings = journal::Settings {
            segment_bytes: 2048,
            resume_window: Duration::ZERO,
            ..journal::Settings::new(dir.path().join("journal"))
        };
        let journal::Opened { journal, writer, .. } = journal::open(&settings).expect("opens");
        Self { state: State::default(), journal, writer, now: noon(), sequence: 1, _dir: dir }
    }

    /// A ward whose rule is a heart rate over 100, with these patients and a device for each.
    fn with(patients: &[&str]) -> Self {
        let mut line = Self::new();
        line.command(Action::CreateSite {
            site: "north".parse().expect("an id"),
            display_name: "North".to_owned(),
            time_zone: "UTC".to_owned(),
        });
        let level = Level {
            priority: Priority::High,
            limit: Quantity::whole(100),
            clear_limit: Quantity::whole(100),
            sustained: Some(Sustained { delay: Duration::ZERO, max_gap: Duration::from_secs(2) }),
            spot: None,
        };
        let limit = LimitRule {
            vital: Vital::HeartRate,
            covers_pulse_rate: false,
            side: Side::Above,
            levels: vec![level],
            clear_delay: Duration::ZERO,
        };
        let rules = vec![Rule::new("hr-high".parse().expect("an id"), RuleKind::Limit(limit))];
        let profile = Profile { rules };
        let owner = ProfileOwner::Default;
        line.command(Action::PutProfile { owner, profile, expected_version: None });
        patients.iter().for_each(|patient| line.enroll(patient));
        line
    }

    fn enroll(&mut self, patient: &str) {
        let site: SiteId = "north".parse().expect("an id");
        let device = format!("device-of-{patient}");
        let patient: PatientId = patient.parse().expect("an id");
        let device: DeviceId = device.parse().expect("an id");
        self.command(Action::CreatePatient { patient: patient.clone(), site: site.clone() });
        self.command(Action::CreateDevice { device: device.clone(), site });
        let schedule = Schedule::default();
        self.command(Action::BindDevice(NewBinding { device, patient, from: None, schedule }));
    }

    fn command(&mut self, action: Action) {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "192.0.2.7:50122".to_owned(), salt: [7; 16] };
        self.apply(Event::Command(Box::new(Command { principal, action, origin, request: None })));
    }

    fn enroll_without_device(&mut self, patient: &str) {
        let patient = patient.parse().expect("an id");
        let site = "north".parse().expect("an id");
        self.command(Action::CreatePatient { patient, site });
    }

    /// A heart rate of a patient's device, measured now.
    fn beat(&mut self, patient: &str, rate: u32) {
        let (sequence, now) = (self.sequence, self.now);
        self.sequence += 1;
        let payload = format!(
            r#"{{"boot_id":7,"first_seq":{sequence},"readings":[
                {{"measured_at":"{now}","vital":"heart_rate","quantity":{rate}}}]}}"#
        );
        self.apply(Event::Publish(Publish {
            topic: format!("pulseward/v1/north/device-of-{patient}/readings"),
            payload: Bytes::from(payload),
            encoding: None,
            correlation: None,
            retained: false,
        }));
    }

    fn apply(&mut self, event: Event) {
        let input = Input { received_at: self.now, event };
        let mut outputs = Vec::new();
        engine::apply(&mut self.state, &input, &mut outputs);
        self.now = self.now.plus(Duration::from_secs(1));
        let position = self.journal.last().next();
        let record = Record::new(Arc::new(Entry { position, input, outputs }));
        self.writer.commit(vec![record]).expect("commits");
    }

    /// Lets go of what a restart does not need, as if the database had it.
    fn age(&mut self) {
        let last = self.journal.last();
        self.writer.checkpoint_complete(last).expect("checkpoints");
        let first = self.writer.retain(Timestamp::MAX, last).expect("lets go");
        assert!(Position(1) < first && first <= last, "{first}");
    }

    /// Runs a follower until everything is stored.
    async fn store(&self, settings: &Settings) {
        let writer = Writer::new(settings.clone(), self.journal.clone(), SystemClock);
        let (mut state, last) = (writer.state(), self.journal.last());
        let stored = state.wait_for(|state| state.cursor >= Some(last));
        tokio::select! {
            ended = writer.run() => panic!("it ended: {ended:?}"),
            stored = tokio::time::timeout(Duration::from_secs(30), stored) => {
                drop(stored.expect("stored in time").expect("it runs"));
            }
        }
    }

    /// What the follower ends with.
    async fn refused(&self, settings: &Settings) -> Error {
        Running::start(settings.clone(), &self.journal).end().await.expect_err("they don't fit")
    }

    async fn accept(self, settings: &Settings) -> (Self, Result<Option<Gap>, Error>) {
        let (settings, runtime) = (settings.clone(), Handle::current());
        let accepting = tokio::task::spawn_blocking(move || {
            let now = SystemClock.now();
            let gap = accept_gap(&settings, runtime, &self.journal, &self.state, now);
            (self, gap)
        });
        accepting.await.expect("no panic")
    }
}

/// What the store should hold of the registry and of devices' numbers.
async fn check_rows(store: &Store, patients: &[&str], open: &[&str]) {
    let sql = "SELECT patient_id FROM patients ORDER BY patient_key";
    assert_eq!(store.lines(sql).await, patients);
    let bound = "SELECT patient_id FROM bindings JOIN patients USING (patient_key)
                 ORDER BY patient_key";
    assert_eq!(store.lines(bound).await, patients);
    let sql = "SELECT patient_id FROM alerts JOIN patients USING (patient_key)
               WHERE NOT is_over ORDER BY patient_id";
    assert_eq!(store.lines(sql).await, open, "open alerts");
    let orphans = "SELECT count(*) FROM readings r LEFT JOIN patients p USING (patient_key)
                   LEFT JOIN devices d USING (device_key)
                   WHERE p.patient_key IS NULL OR d.device_key IS NULL";
    assert_eq!(store.value(orphans).await, "0", "every row refers to something");
}

on_both! {
    async fn a_gap_that_is_accepted_is_noted_and_everything_else_is_there(store: Store) {
        let settings = store.settings();
        let mut line = Line::with(&["p-1", "p-2"]);
        line.beat("p-1", 130);
        line.store(&settings).await;
        let backup = line.journal.last();
        check_rows(&store, &["p-1", "p-2"], &["p-1"]).await;

        // What the database will never be told: an alert that ends, a patient, an alert that begins.
        line.beat("p-1", 80);
        line.enroll("p-3");
        line.beat("p-3", 130);
        for _ in 0..20 {
            line.beat("p-2", 80);
        }
        line.age();
        line.beat("p-2", 81);
        let error = line.refused(&settings).await;
        assert!(matches!(error, Error::CursorBehind { .. }), "{error}");
        assert!(error.to_string().contains("--accept-gap"), "{error}");

        let first = line.journal.first();
        let (line, gap) = line.accept(&settings).await;
        let gap = gap.expect("accepted").expect("a gap");
        assert_eq!((gap.before, gap.reason), (first, GapReason::AgedOut));
        assert_eq!(gap.after.map(|after| after.position), Some(backup));
        line.store(&settings).await;
        check_rows(&store, &["p-1", "p-2", "p-3"], &["p-3"]).await;
        let stored = store.value("SELECT count(*) FROM readings").await;
        let kept = line.journal.last().0 - first.0 + 1;
        assert_eq!(stored, (1 + kept).to_string(), "before the gap and behind it, each once");
        let noted = "SELECT after_position, before_position, reason FROM gaps";
        assert_eq!(store.lines(noted).await, [format!("{backup} {first} aged_out")]);
        let numbers = "SELECT count(*) FROM device_numbers WHERE length(packed) > 0";
        assert_eq!(store.value(numbers).await, "3");
        let (_, again) = line.accept(&settings).await;
        assert_eq!(again.expect("fits"), None);
    }

    async fn who_was_erased_in_the_gap_is_erased_behind_it(store: Store) {
        let settings = store.settings();
        let mut line = Line::with(&["p-1", "p-2"]);
        line.beat("p-2", 130);
        line.store(&settings).await;
        let patient: PatientId = "p-2".parse().expect("an id");
        line.command(Action::ErasePatient { patient, added_before: None });
        // The id is somebody else's from then on.
        line.enroll_without_device("p-2");
        for _ in 0..20 {
            line.beat("p-1", 80);
        }
        line.age();
        let (line, gap) = line.accept(&settings).await;
        gap.expect("accepted").expect("a gap");
        line.store(&settings).await;
        let patients = "SELECT patient_id FROM patients ORDER BY patient_key";
        assert_eq!(store.lines(patients).await, ["p-1", "erased-1", "p-2"]);
        let erasures = "SELECT patient_key, patient_id, done_at IS NULL FROM erasures";
        let told = store.lines(erasures).await;
        assert!(told.len() == 1 && told[0].starts_with("1 p-2 "), "{told:?}");
        let bindings = "SELECT count(*) FROM bindings WHERE patient_key = 1";
        assert_eq!(store.value(bindings).await, "0");
        assert_eq!(store.value("SELECT count(*) FROM erased_wear").await, "1");
        let open = "SELECT count(*) FROM alerts WHERE NOT is_over";
        assert_eq!(store.value(open).await, "0");
    }

    async fn an_empty_database_is_brought_up_to_a_journal_that_has_aged(store: Store) {
        let settings = store.settings();
        let mut line = Line::with(&["p-1"]);
        for _ in 0..20 {
            line.beat("p-1", 130);
        }
        line.age();
        assert!(matches!(line.refused(&settings).await, Error::CursorBehind { .. }));
        let (line, gap) = line.accept(&settings).await;
        assert_eq!(gap.expect("accepted").expect("a gap").after, None);
        line.store(&settings).await;
        check_rows(&store, &["p-1"], &["p-1"]).await;
        assert_eq!(store.value("SELECT put_by FROM profiles").await, "anna");
    }

    async fn another_journal_of_the_same_people_is_accepted(store: Store) {
        let settings = store.settings();
        let mut lost = Line::with(&["p-1", "p-2"]);
        lost.beat("p-1", 130);
        lost.store(&settings).await;
        let mut line = Line::with(&["p-1", "p-2", "p-3"]);
        line.beat("p-2", 130);
        let error = line.refused(&settings).await;
        assert!(matches!(error, Error::ForeignJournal { .. }), "{error}");
        assert!(error.to_string().contains("--accept-gap"), "{error}");
        let (line, gap) = line.accept(&settings).await;
        assert_eq!(gap.expect("accepted").expect("a gap").reason, GapReason::OtherJournal);
        line.store(&settings).await;
        check_rows(&store, &["p-1", "p-2", "p-3"], &["p-2"]).await;
        let lineage = format!(
            "SELECT how, parent_position FROM journals WHERE parent_journal_id = '{}'",
            lost.journal.journal_id()
        );
        assert_eq!(store.lines(&lineage).await, [format!("accepted {}", lost.journal.last())]);
    }

    async fn another_journal_of_other_people_is_refused_whoever_asks(store: Store) {
        let settings = store.settings();
        let lost = Line::with(&["p-1", "p-2"]);
        lost.store(&settings).await;
        for (patients, conflict) in [
            (&["p-1", "p-9"][..], "patient 1 is p-2 there and p-9 here"),
            (&["p-1"], "patient 1 is p-2 there and nobody here"),
        ] {
            let (_, refused) = Line::with(patients).accept(&settings).await;
            let refused = refused.expect_err("a patient would become another");
            assert!(matches!(refused, Error::KeysDiffer { .. }), "{refused}");
            assert!(refused.to_string().contains(conflict), "{refused}");
        }
        check_rows(&store, &["p-1", "p-2"], &[]).await;
        assert_eq!(store.value("SELECT count(*) FROM gaps").await, "0");
    }

    async fn a_database_that_is_ahead_is_refused_whoever_asks(store: Store) {
        let settings = store.settings();
        let line = Line::with(&["p-1"]);
        line.store(&settings).await;
        store.rows("UPDATE journal_cursor SET position = 1000").await;
        let (_, refused) = line.accept(&settings).await;
        let refused = refused.expect_err("positions would be given twice");
        assert!(matches!(refused, Error::CursorAhead { .. }), "{refused}");
        assert!(refused.to_string().contains("pulseward restore --from-store"), "{refused}");
    }
}
