//! A drill: real servers, a fleet that measures, and the verdict.
//!
//! Devices and clinicians reach broker and service through networks that may fail. The oracle judges
//! by the fleet's record alone; a drill that ends well has nothing lost, doubled, wrong, missed, false
//! or late.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use pulseward_sim::caller::Caller;
use pulseward_sim::fleet::{self, Fleet, Marks, Scenario, Summary};
use pulseward_sim::replay::Show;
use pulseward_sim::verify::{self, Report};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::support::house::House;
use crate::support::mosquitto::{self, Mosquitto};
use crate::support::network::Network;
use crate::support::port;
use crate::support::postgres::{Database, PrivateServer};
use crate::support::service::{self, Service};
use crate::support::sql::Sql;
use crate::support::wait::wait_until;
use crate::watchers::Sleepers;

/// `full` makes drills of a ward of a thousand, for minutes; otherwise they are small.
const SIZE: &str = "PULSEWARD_DRILL";
/// Where reports and records of drills are kept; otherwise nowhere.
const REPORTS: &str = "PULSEWARD_DRILL_REPORTS";
/// Another seed than the usual one.
const SEED: &str = "PULSEWARD_TEST_SEED";
/// The fleet's site.
pub(crate) const SITE: &str = "ward";
/// Patients to whom each of the fleet's episodes happens: most have one.
const EPISODE_SHARE: f64 = 0.1;
/// How long the store may take to have everything.
const PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// How late an alert may be told where nothing fails: a busy machine.
const LATE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// What a drill needs.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// How long the fleet measures.
    pub(crate) seconds: u32,
    pub(crate) devices: u32,
    /// Gateways.
    pub(crate) connections: u32,
    /// The fleet's own faults: a list, as `pulseward-sim fleet --faults` takes it.
    pub(crate) faults: &'static str,
    pub(crate) store: Store,
    /// Of the service.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What runs the service.
    pub(crate) under: Vec<String>,
    /// How far the service's clock may be off.
    pub(crate) clocks_apart: Duration,
    /// What else the fleet is.
    pub(crate) scenario: fn(&mut Scenario),
}

/// What the service stores in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// A database on the run's server.
    Postgres,
    /// A server of the drill's own, which it may stop.
    Private,
    Sqlite,
}

impl Plan {
    pub(crate) fn named(name: &'static str) -> Self {
        let (devices, connections) = if full_size() { (1000, 40) } else { (40, 5) };
        Self {
            name,
            seconds: 0,
            devices,
            connections,
            faults: "",
            store: Store::Postgres,
            environment: Vec::new(),
            under: Vec::new(),
            clocks_apart: Duration::from_millis(250),
            scenario: |_| {},
        }
    }
}

/// Whether drills are to be of full size.
pub(crate) fn full_size() -> bool {
    match std::env::var(SIZE).as_deref() {
        Ok("full") => true,
        Ok("small") | Err(_) => false,
        Ok(other) => panic!("{SIZE}={other}: full or small"),
    }
}

/// A drill under way.
pub(crate) struct Drill {
    pub(crate) house: House,
    /// Between the service and the broker.
    pub(crate) inner: Network,
    /// Between the gateways and the broker.
    pub(crate) outer: Network,
    /// Between the fleet, with its clinicians, and the service.
    pub(crate) door: Network,
    /// Where the service's gRPC server listens, whenever it runs.
    pub(crate) grpc: String,
    server: Option<PrivateServer>,
    fleet: JoinHandle<Result<Summary, fleet::Error>>,
    marks: Marks,
    /// When the fleet began to measure.
    began: Instant,
    lasts: Duration,
    clocks_apart: Duration,
    reports: Reports,
}

impl Drill {
    /// Starts the servers and the fleet; the fleet has begun to measure.
    pub(crate) async fn begin(plan: Plan) -> Self {
        let server = (plan.store == Store::Private).then(PrivateServer::start);
        let sql = match (&server, plan.store) {
            (Some(server), _) => Sql::Postgres(Database::create_on(&server.url()).await),
            (None, Store::Sqlite) => Sql::sqlite(),
            (None, _) => Sql::postgres().await,
        };
        let settings = mosquitto::Settings { shipped: true, quiet: true, ..Default::default() };
        let broker = Mosquitto::start_with(settings);
        let inner = Network::to(broker.port()).await;
        let outer = Network::to(broker.port()).await;
        // Its clients find it again after a restart.
        let port = port::candidate();
        let door = Network::to(port).await;
        let grpc = format!("127.0.0.1:{port}");
        let listen = ("PULSEWARD_GRPC__LISTEN", grpc.clone());
        let settings = service::Settings {
            mqtt_url: inner.mqtt_url(),
            store_url: Some(sql.url()),
            environment: [vec![listen], plan.environment.clone()].concat(),
        };
        let service = Service::launch_under(&settings, plan.under.clone());
        service.ready().await;
        let house = House { service, broker, sql };
        let (grpc, reports) = (format!("http://{grpc}"), Reports::of(plan.name));
        let lasts = Duration::from_secs(plan.seconds.into());
        let fleet = the_fleet(&plan, &outer, &door, reports.dir());
        let marks = fleet.marks();
        let fleet = tokio::spawn(fleet.run(pending()));
        wait_until("the fleet to measure", async || {
            house.metric("pulseward_inputs_total{kind=\"publish\"}").await > 0.0
        })
        .await;
        let began = Instant::now();
        let clocks_apart = plan.clocks_apart;
        Self {
            house,
            inner,
            outer,
            door,
            grpc,
            server,
            fleet,
            marks,
            began,
            lasts,
            clocks_apart,
            reports,
        }
    }

    /// Waits until the fleet has measured for this share of its time.
    pub(crate) async fn at(&self, share: f64) {
        sleep_until(self.began + self.lasts.mul_f64(share)).await;
    }

    /// Notes what happens, for whoever reads the report.
    pub(crate) fn mark(&self, text: &str) {
        eprintln!("{:5.1} s: {text}", self.began.elapsed().as_secs_f64());
        self.marks.add(text);
    }

    /// The database server of the drill's own.
    pub(crate) fn server(&mut self) -> &mut PrivateServer {
        self.server.as_mut().expect("the plan asks for one")
    }

    /// Waits for the fleet's end and asserts that all is as it must be.
    pub(crate) async fn end(self) {
        self.end_beside(Sleepers::default()).await;
    }

    /// [`Drill::end`] beside watchers that never read.
    pub(crate) async fn end_beside(mut self, sleepers: Sleepers) {
        self.fleet_ends().await;
        let late_after = LATE_AFTER.saturating_add(self.lasts.try_into().expect("minutes"));
        let report = self.judge(late_after).await;
        assert!(report.is_good, "see above");
        sleepers.check().await;
        let exit = self.house.service.terminate();
        assert!(exit.success(), "{exit}");
    }

    /// Waits until the fleet has measured all that it was to, and all of it is acknowledged.
    pub(crate) async fn fleet_ends(&mut self) {
        let ended = (&mut self.fleet).await.expect("no panic");
        let summary = ended.expect("the fleet runs to its end");
        eprintln!("{summary}");
        assert!(summary.complete, "nobody has stopped it");
    }

    /// What the oracle says of it.
    pub(crate) async fn judge(&self, late_after: SignedDuration) -> Report {
        let settings = verify::Settings {
            record: self.reports.dir().join("record"),
            store: self.house.sql.url(),
            grpc: self.grpc.clone(),
            token_file: None,
            report: Some(self.reports.dir().join("report.json")),
            html: Some(self.reports.dir().join("report.html")),
            late_after,
            clocks_apart: self.clocks_apart.try_into().expect("seconds"),
            patience: PATIENCE,
        };
        let report = verify::run(&settings).await.expect("it can be judged");
        eprintln!("{}", verify::Summary(&report));
        report
    }
}

fn the_fleet(plan: &Plan, outer: &Network, door: &Network, dir: &Path) -> Fleet {
    let seed = std::env::var(SEED).map_or(7, |seed| seed.parse().expect("a seed is a number"));
    eprintln!("{SEED}={seed}");
    let mut scenario = Scenario {
        devices: plan.devices,
        duration: SignedDuration::from_secs(plan.seconds.into()),
        connections: plan.connections,
        watchers: 2,
        site: SITE.to_owned(),
        seed,
        ..Scenario::default()
    };
    if !plan.faults.is_empty() {
        scenario.take_faults(plan.faults).expect("known faults");
    }
    // Many alerts in a short time.
    for episode in &mut scenario.episodes {
        episode.patients = EPISODE_SHARE;
    }
    scenario.limits.delay = SignedDuration::from_secs(2);
    scenario.limits.clear_delay = SignedDuration::from_secs(1);
    scenario.limits.silence = SignedDuration::from_secs(5);
    (plan.scenario)(&mut scenario);
    let settings = fleet::Settings {
        scenario,
        broker: outer.mqtt_url().parse().expect("an address"),
        grpc: Some(format!("http://127.0.0.1:{}", door.port())),
        caller: Caller::default(),
        record: dir.join("record"),
        show: Show::Nothing,
    };
    Fleet::new(settings).expect("a fleet")
}

/// Where what a drill leaves behind is put.
enum Reports {
    Kept(PathBuf),
    /// Gone with it.
    Temporary(TempDir),
}

impl Reports {
    fn of(name: &str) -> Self {
        let Some(kept) = std::env::var_os(REPORTS) else {
            return Self::Temporary(TempDir::with_prefix("drill-").expect("temporary directory"));
        };
        let dir = Path::new(&kept).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the directory of reports can be written");
        eprintln!("report and record: {}", dir.display());
        Self::Kept(dir)
    }

    fn dir(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}
