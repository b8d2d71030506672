//! `pulseward demo`: the whole house in one process, and a simulated ward in front of it.
//!
//! An embedded broker, the service as it is (SQLite for a store, everything on loopback and free
//! ports, its data in a directory of its own that goes with it), and a ward of simulated patients,
//! some of whom deteriorate on schedule. The ward and the clinician's view come from
//! `pulseward-sim`, which talks to the service by MQTT and gRPC like anybody else.
//!
//! The demo checks itself: it ends with what was sent (by the simulator's count of PUBACKs), what
//! is stored (by SQL), which alerts were due (by the simulator's oracle) and which came out of
//! the stream (by a gRPC watcher). It fails if these differ. It is no benchmark: the broker is
//! the demo's only.
//!
//! On a terminal it shows the ward as `pulseward watch` does, over the same gRPC, until somebody
//! leaves; elsewhere it prints a line for each thing that happens.

mod broker;
mod view;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use pulseward_sim::publish::Broker;
use pulseward_sim::score::{Latency, Score};
use pulseward_sim::ward::{Ward, WardReport, WardSettings};
use pulseward_sim::watch::{self, SeenAlerts};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::view::View;
use crate::config::{Config, LogLevel};
use crate::service::Service;
use crate::store::OnGap;
use crate::telemetry::{self, Metrics};

/// How long anything that should be immediate may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The ward's site.
const SITE: &str = "demo";

/// What kind of demo.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long the ward is measured; until ctrl-c if not given.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    pub duration: Option<Duration>,
    /// How many patients.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub patients: u16,
    /// Tells one simulated ward from another.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep database and journal in this directory, which is made and must not be there.
    #[arg(long, value_name = "DIRECTORY")]
    pub keep: Option<PathBuf>,
    /// Lines, one for each thing that happens, also on a terminal.
    #[arg(long)]
    pub plain: bool,
}

fn span(text: &str) -> Result<Duration, crate::config::InvalidPeriod> {
    text.parse::<crate::config::Period>().map(|period| period.0)
}

/// What the demo found; its last line, in JSON.
#[derive(Debug, Serialize)]
struct Summary {
    /// Readings that the broker acknowledged to the simulator.
    sent: u64,
    /// Rows that SQL counts.
    stored: u64,
    /// Alerts that the simulator's oracle demands.
    alerts_expected: usize,
    /// Alerts that came out of the stream.
    alerts_raised: usize,
    /// From publishing the deciding reading to the alert on the stream, milliseconds.
    alert_latency_ms: Latency,
}

/// Runs the demo; its last line of output is the summary, in JSON.
///
/// # Errors
/// If anything could not be started, or if what was stored or raised is not what was sent or due.
#[expect(clippy::print_stdout, reason = "the summary is what was asked for")]
pub async fn run(options: Options) -> anyhow::Result<()> {
    let home = Home::make(options.keep.as_deref())?;
    let store = home.path().join("readings.sqlite");
    let broker = broker::Embedded::start().await?;
    let mut config = config(home.path(), &store, broker.url())?;
    config.log.level = LogLevel::Warn;
    let view = View::of(&options);
    let log = view.install_log(&config.log, home.path())?;
    let service = House::start(&config, telemetry::install_metrics()?).await?;

    let outcome = measure(&options, view, broker.url(), &service, &store).await;
    // Stopped in any case, so that the error of the demo and not that of a torn-down ward is seen.
    let stopped = service.stop().await;
    broker.stop().await?;
    log.show();
    let (summary, score) = outcome?;
    stopped?;
    view::differences(&score);
    println!("{}", serde_json::to_string(&summary)?);
    if summary.sent != summary.stored {
        bail!("{} readings were sent and {} are stored", summary.sent, summary.stored);
    }
    if !score.is_exact() {
        bail!("the alerts raised are not those that were due");
    }
    Ok(())
}

/// Where everything is kept: in a directory that goes with the demo, or one that stays.
enum Home {
    Passing(tempfile::TempDir),
    Kept(PathBuf),
}

impl Home {
    fn make(kept: Option<&Path>) -> anyhow::Result<Self> {
        let Some(kept) = kept else {
            let passing = tempfile::Builder::new().prefix("pulseward-demo-").tempdir()?;
            return Ok(Self::Passing(passing));
        };
        let made = std::fs::DirBuilder::new().mode(0o700).create(kept);
        made.with_context(|| format!("making {} for --keep", kept.display()))?;
        Ok(Self::Kept(kept.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Passing(directory) => directory.path(),
            Self::Kept(directory) => directory,
        }
    }
}

/// The demo's configuration: all defaults, but private places.
fn config(home: &Path, store: &Path, broker: &str) -> anyhow::Result<Config> {
    let text = format!(
        "[mqtt]\nurl = {broker:?}\n[store]\nurl = {:?}\n[journal]\ndir = {:?}\n\
         [grpc]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        format!("sqlite:{}", plain(store)?),
        plain(&home.join("journal"))?,
    );
    Ok(Config::parse("the demo's configuration", &text, [])?)
}

fn plain(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not plain text", path.display()))
}

/// The running service.
struct House {
    grpc: std::net::SocketAddr,
    ward_page: Option<String>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), crate::service::Error>>,
}

impl House {
    async fn start(config: &Config, metrics: Metrics) -> anyhow::Result<Self> {
        let service =
            Service::build(config, OnGap::Refuse, metrics).await.context("starting the service")?;
        let (addresses, readiness) = (service.addresses(), service.readiness());
        let ward_page = service.ward_page();
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        let ready = tokio::time::timeout(PATIENCE, readiness.ready()).await;
        ready.context("the service did not become ready")?;
        view::started(addresses, ward_page.as_deref());
        Ok(Self { grpc: addresses.grpc, ward_page, stop, running })
    }

    fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?.context("stopping the service")
    }
}

/// Lets the ward be measured, and holds what came of it against what was due.
async fn measure(
    options: &Options,
    view: View,
    broker: &str,
    house: &House,
    store: &Path,
) -> anyhow::Result<(Summary, Score)> {
    let grpc = &house.grpc_url();
    let patients = usize::from(options.patients);
    let settings = WardSettings {
        site: SITE.to_owned(),
        patients,
        seed: options.seed,
        ..WardSettings::default()
    };
    let ward = Ward::new(settings);
    ward.enroll(grpc).await.context("enrolling the ward")?;

    let (watcher, mut seen) = watch::alerts(grpc, Some(SITE))?;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watcher.run(stop.clone().cancelled_owned()));
    if !seen.until_live(PATIENCE).await {
        bail!("the alert stream did not become live");
    }
    let left = CancellationToken::new();
    let page = house.ward_page.clone();
    let showing = view.show(grpc.to_owned(), page, seen.clone(), stop.clone());
    let leaving = left.clone().drop_guard();
    let viewing = tokio::spawn(async move {
        let shown = showing.await;
        drop(leaving);
        shown
    });

    let address: Broker = broker.parse().map_err(anyhow::Error::msg)?;
    let report = ward.run(address, until(options.duration, left)).await.context("the ward");
    let settled = match &report {
        Ok(report) => settle(report, &mut seen, store).await.map(Some),
        Err(_) => Ok(None),
    };
    stop.cancel();
    // The terminal is put back before anything else is said.
    viewing.await??;
    watching.await?.context("watching alerts")?;
    report?;
    Ok(settled?.expect("a ward that ran was settled"))
}

/// When to stop measuring: after that time, at ctrl-c, or when whoever looked on has left.
async fn until(duration: Option<Duration>, left: CancellationToken) {
    let timer = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = timer => {}
        () = left.cancelled() => {}
        // Without a handler ctrl-c would end the process before its summary.
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Waits until everything that was sent is stored and everything due was raised, or for long
/// enough, and counts.
async fn settle(
    report: &WardReport,
    seen: &mut SeenAlerts,
    store: &Path,
) -> anyhow::Result<(Summary, Score)> {
    let due = report.expected.len();
    seen.until(PATIENCE, |seen| seen.raised.len() >= due).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut stored = count(store.to_owned()).await?;
    while stored < report.sent && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stored = count(store.to_owned()).await?;
    }
    let score = Score::new(&report.expected, &report.published, &seen.now());
    let summary = Summary {
        sent: report.sent,
        stored,
        alerts_expected: score.expected,
        alerts_raised: score.raised,
        alert_latency_ms: score.latency,
    };
    Ok((summary, score))
}

/// What SQL says is stored, asked beside the service.
async fn count(store: PathBuf) -> anyhow::Result<u64> {
    tokio::task::spawn_blocking(move || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(store, flags)?;
        let count: i64 =
            database.query_row("SELECT count(*) FROM readings", [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    })
    .await?
}
