//! What every test of the store stands on: a real journal that the test fills, a database of its
//! own, and the same questions in SQL to either kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulseward::clock::{Clock, SystemClock, Timestamp};
use pulseward::engine::input::{Event, Input, Publish};
use pulseward::engine::output::{
    DeviceRow, Output, PatientRow, Quality, Reading, RegistryChange, SiteRow,
};
use pulseward::engine::profile::{AgeGroup, Eligibility, Pregnancy};
use pulseward::journal::{self, Entry, Journal, Record};
use pulseward::position::Position;
use pulseward::store::{Error, Maintenance, MaintenanceState, Settings, State, Task, Url, Writer};
use pulseward::vitals::{DeviceKey, PatientKey, Quantity, SiteKey, Value, Vital};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::postgres::Database;
use crate::support::sql::{postgres_rows, sqlite_rows};
use crate::support::wait::wait_until;

/// Everything here was measured on 31 January 2026.
pub(crate) fn noon() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().expect("a time")
}

/// A journal of a test.
pub(crate) struct Source {
    pub(crate) journal: Journal,
    writer: journal::Writer,
    next: u64,
    dir: TempDir,
}

impl Source {
    pub(crate) fn new() -> Self {
        let dir = TempDir::with_prefix("journal-").expect("temporary directory");
        Self::open(dir)
    }

    fn open(dir: TempDir) -> Self {
        let opened = journal::open(&journal_settings(dir.path())).expect("journal opens");
        let next = opened.journal.last().0 + 1;
        Self { journal: opened.journal, writer: opened.writer, next, dir }
    }

    /// Adds an entry for each of these lists of outputs, in one commit.
    pub(crate) fn commit(&mut self, entries: Vec<Vec<Output>>) -> Position {
        self.commit_inputs(entries.into_iter().map(|outputs| (publish(), outputs)).collect())
    }

    /// The same of other inputs.
    pub(crate) fn commit_inputs(&mut self, entries: Vec<(Input, Vec<Output>)>) -> Position {
        let records = entries.into_iter().map(|(input, outputs)| {
            let position = Position(self.next);
            self.next += 1;
            Record::new(Arc::new(Entry { position, input, outputs }))
        });
        let records: Vec<_> = records.collect();
        self.writer.commit(records).expect("commit");
        self.journal.last()
    }

    /// Closes it, and gives what can open it again once its followers are gone.
    pub(crate) fn close(self) -> Closed {
        Closed(self.dir)
    }
}

/// A journal that no one writes.
pub(crate) struct Closed(TempDir);

impl Closed {
    pub(crate) fn open(self) -> Source {
        Source::open(self.0)
    }
}

fn journal_settings(dir: &Path) -> journal::Settings {
    journal::Settings::new(dir.join("journal"))
}

/// The input of every entry: a refusal's payload comes from it.
fn publish() -> Input {
    let publish = Publish {
        topic: "pulseward/v1/north/d/readings".to_owned(),
        payload: Bytes::from_static(b"\x00\xffpayload"),
        encoding: None,
        correlation: None,
        retained: false,
    };
    Input { received_at: noon().plus(Duration::from_secs(1)), event: Event::Publish(publish) }
}

/// The `n`th reading of a test: no two of them are alike.
pub(crate) fn reading(n: u32) -> Reading {
    Reading {
        measured_at: noon().plus(Duration::from_micros(u64::from(n) * 37)),
        patient: PatientKey(n % 7),
        device: DeviceKey(n % 11),
        vital: Vital::ALL[n as usize % 13],
        value: Value::Quantity(Quantity::from_ten_thousandths(i64::from(n))),
        quality: Quality::default(),
        original: None,
        interval: None,
        measurement_id: 0,
    }
}

/// Readings `from` to before `until`, `per_entry` to an entry.
pub(crate) fn readings(from: u32, until: u32, per_entry: usize) -> Vec<Vec<Output>> {
    let all: Vec<_> = (from..until).map(|n| Output::Reading(reading(n))).collect();
    all.chunks(per_entry).map(<[Output]>::to_vec).collect()
}

/// Sites `north` (patient `p-0`, device `d-0`) and `south` (patient `p-1`, device `d-1`), with
/// keys 0 and 1 each.
pub(crate) fn registry() -> Vec<Output> {
    let change = |change| Output::Registry(Box::new(change));
    let mut outputs = Vec::new();
    for (key, site) in [(0, "north"), (1, "south")] {
        outputs.push(change(RegistryChange::Site(SiteRow {
            key: SiteKey(key),
            id: site.parse().expect("an id"),
            display_name: format!("Site {site}"),
            time_zone: "Europe/Berlin".to_owned(),
            created_at: noon(),
        })));
        outputs.push(change(RegistryChange::Patient(PatientRow {
            key: PatientKey(key),
            id: format!("p-{key}").parse().expect("an id"),
            site: SiteKey(key),
            created_at: noon(),
            eligibility: Eligibility {
                age_group: AgeGroup::Adult,
                pregnancy: Pregnancy::NotPregnant,
            },
            paused_until: None,
        })));
        outputs.push(change(RegistryChange::Device(DeviceRow {
            key: DeviceKey(key),
            id: format!("d-{key}").parse().expect("an id"),
            site: SiteKey(key),
            created_at: noon(),
        })));
    }
    outputs
}

/// A database of a test.
pub(crate) enum Store {
    Postgres(Database),
    Sqlite(TempDir),
}

impl Store {
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Database::create().await)
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::with_prefix("store-").expect("temporary directory"))
    }

    pub(crate) fn settings(&self) -> Settings {
        match self {
            Self::Postgres(database) => settings(&database.url()),
            Self::Sqlite(dir) => settings(&format!("sqlite:{}", sqlite_file(dir).display())),
        }
    }

    /// Whether it is TimescaleDB that keeps the buckets and drops what is old.
    pub(crate) async fn is_hypertable(&self) -> bool {
        matches!(self, Self::Postgres(_))
            && self.value("SELECT value FROM store_meta WHERE name = 'layout'").await
                == "hypertable"
    }

    /// Brings TimescaleDB's buckets up to date, as its jobs do in their time: one of these may be
    /// at it just now.
    pub(crate) async fn refresh(&self) {
        let Self::Postgres(database) = self else { return };
        let client = database.connect().await;
        for view in ["readings_1min", "readings_1h"] {
            let sql = format!("CALL refresh_continuous_aggregate('pulseward.{view}', NULL, NULL)");
            wait_until("a refresh", async || match client.batch_execute(&sql).await {
                Ok(()) => true,
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => false,
                Err(error) if error.to_string().contains("concurrently") => false,
                Err(error) => panic!("{sql}: {error:?}"),
            })
            .await;
        }
    }

    /// Waits until everything that is stored is in the buckets that are kept.
    pub(crate) async fn summed_up(&self) {
        if self.is_hypertable().await {
            return self.refresh().await;
        }
        wait_until("every batch to be summed up", async || {
            self.value("SELECT count(*) FROM stored_batches").await == "0"
        })
        .await;
    }

    /// Runs TimescaleDB's jobs of a kind now.
    pub(crate) async fn run_jobs(&self, procedure: &str) {
        let sql = format!(
            "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = '{procedure}'"
        );
        for row in self.rows(&sql).await {
            self.rows(&format!("CALL run_job({})", row[0])).await;
        }
    }

    /// The microseconds of a time's column, in SQL.
    pub(crate) fn micros(&self, column: &str) -> String {
        match self {
            Self::Postgres(_) => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
            Self::Sqlite(_) => column.to_owned(),
        }
    }

    /// What a statement gives, as text; `NULL` for none.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Postgres(database) => postgres_rows(&database.url(), sql).await,
            Self::Sqlite(dir) => sqlite_rows(&sqlite_file(dir), sql),
        }
    }

    /// The same, with one space between the words of each row.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.into_iter().map(|row| row.join(" ")).collect()
    }

    /// `yes` or `no`, of a column that says so, in SQL.
    pub(crate) fn is(column: &str) -> String {
        format!("CASE WHEN {column} THEN 'yes' ELSE 'no' END")
    }

    /// A table by the name that [`Store::execute`] knows it by.
    pub(crate) fn name(&self, table: &str) -> String {
        match self {
            Self::Postgres(_) => format!("pulseward.{table}"),
            Self::Sqlite(_) => table.to_owned(),
        }
    }

    /// Runs statements before there is a store.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database) => {
                let client = database.connect().await;
                client.batch_execute(sql).await.expect("executes");
            }
            Self::Sqlite(dir) => {
                let file = sqlite_file(dir);
                std::fs::create_dir_all(file.parent().expect("has one")).expect("created");
                let connection = rusqlite::Connection::open(file).expect("opens");
                connection.execute_batch(sql).expect("executes");
            }
        }
    }

    /// The one value that a statement gives.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    /// Asserts that the readings before `until` are stored, each once, each as it was.
    pub(crate) async fn holds_readings(&self, until: u32) {
        let sql = format!(
            "SELECT {}, patient_key, device_key, vital, value FROM readings ORDER BY measured_at",
            self.micros("measured_at")
        );
        let rows = self.rows(&sql).await;
        for (n, row) in (0..until).zip(&rows) {
            let reading = reading(n);
            let expected = [
                reading.measured_at.micros().to_string(),
                reading.patient.to_string(),
                reading.device.to_string(),
                reading.vital.number().to_string(),
            ];
            assert_eq!(row[..4], expected, "reading {n}");
            let value: f64 = row[4].parse().expect("a number");
            assert_eq!(Quantity::from_f64(value).map(Value::Quantity), Some(reading.value));
        }
        assert_eq!(rows.len(), until as usize, "rows");
    }
}

fn sqlite_file(dir: &TempDir) -> PathBuf {
    dir.path().join("made/on/demand/store.db")
}

/// Settings with waits that suit a test.
pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        retry_first: Duration::from_millis(5),
        retry_max: Duration::from_millis(50),
        ..Settings::new(url.parse::<Url>().expect("a store url"))
    }
}

/// The maintenance beside a follower. Dropping it ends it, wherever it is.
pub(crate) struct Caring {
    pub(crate) state: watch::Receiver<MaintenanceState>,
    _stop: DropGuard,
}

impl Caring {
    pub(crate) fn start(writer: &Writer<SystemClock>) -> Self {
        Self::of(writer.maintenance())
    }

    pub(crate) fn of(maintenance: Maintenance<SystemClock>) -> Self {
        let state = maintenance.state();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        tokio::spawn(async move { stop.run_until_cancelled(maintenance.run()).await });
        Self { state, _stop: guard }
    }

    /// Waits for a state.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wanted: impl FnMut(&MaintenanceState) -> bool,
    ) -> MaintenanceState {
        let reached = self.state.wait_for(wanted);
        match tokio::time::timeout(Duration::from_secs(30), reached).await {
            Ok(Ok(state)) => return state.clone(),
            Ok(Err(_)) => panic!("the maintenance ended before {what}"),
            Err(_) => {}
        }
        panic!("waited in vain for {what}: {:?}", *self.state.borrow())
    }

    /// Waits until a task had nothing left to do.
    pub(crate) async fn done(&mut self, task: Task) {
        self.until("a task to be done", |state| {
            state.tasks.get(&task).is_some_and(|state| state.last_done.is_some())
        })
        .await;
    }

    /// Waits until a task that begins from now on has nothing left to do.
    pub(crate) async fn done_again(&mut self, task: Task) {
        let asked_at = SystemClock.now();
        self.until("a task to be done", |state| {
            state.tasks.get(&task).and_then(|state| state.last_done) > Some(asked_at)
        })
        .await;
    }
}

/// A follower at work.
pub(crate) struct Running {
    pub(crate) state: watch::Receiver<State>,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) fn start(settings: Settings, journal: &Journal) -> Self {
        Self::start_by(SystemClock, settings, journal)
    }

    /// By another clock than the computer's.
    pub(crate) fn start_by(clock: impl Clock, settings: Settings, journal: &Journal) -> Self {
        Self::of(Writer::new(settings, journal.clone(), clock))
    }

    pub(crate) fn of(writer: Writer<impl Clock>) -> Self {
        Self { state: writer.state(), task: tokio::spawn(writer.run()) }
    }

    /// Waits for a state.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl FnMut(&State) -> bool) -> State {
        let reached = self.state.wait_for(wanted);
        match tokio::time::timeout(Duration::from_secs(30), reached).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => panic!("the follower ended before {what}"),
            Err(_) => panic!("waited in vain for {what}"),
        }
    }

    /// Waits until everything up to `position` is stored.
    pub(crate) async fn stored(&mut self, position: Position) {
        self.until("rows to be stored", |state| state.cursor >= Some(position)).await;
    }

    /// Waits for the end, after the journal was closed.
    pub(crate) async fn end(self) -> Result<(), Error> {
        let end = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        end.expect("the follower ends").expect("without a panic")
    }
}
