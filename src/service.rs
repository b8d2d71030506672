//! The composition root: the only place that knows everyone.
//!
//! *Build, then run, then drain.* [`Service::build`] opens what can fail at once (journal,
//! listeners, secrets) and wires the stages; [`Service::run`] starts each as a named task and
//! waits. On the stop signal only the sources are told: the MQTT session stops taking messages,
//! gRPC stops taking calls. With them the partition's inbox closes, with the partition the
//! journal, and with the journal its followers, which end once they have read everything. HTTP
//! goes last, so that health can be asked to the end.
//!
//! When a stage fails, the rest is drained the same way, and the first error is what
//! [`Service::run`] returns. Only the store may end early without taking anyone along (V9): ingest,
//! alarms and streams go on, and readiness says what is missing.

mod certificates;
mod error;
mod feeds;
mod gaps;
mod lags;
mod monitor;
mod page;
mod reload;
mod settings;
mod signals;
mod stages;
mod supervisor;
mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use metrics::gauge;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::certificates::Certificates;
pub use self::error::Error;
use self::feeds::{Desk, VerdictFeed};
use self::lags::{Done, Lags};
use self::monitor::Monitor;
use self::page::{Facts, Page};
use self::reload::Reloader;
pub use self::reload::{Hangups, LIVE, Source};
pub use self::settings::{check, for_restore, store_settings};
pub use self::signals::stop_at_signal;
use self::stages::Stages;
use self::tally::Tally;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::hub::vitals::{Names, VitalsHub};
use crate::hub::{self, Hub};
use crate::mqtt::publisher::{self, Publisher};
use crate::mqtt::session::Session;
use crate::partition::{self, Backlog, Guard, Inlets, Partition, Quarantine, Surroundings, Work};
use crate::readiness::{Part, Readiness};
use crate::store::OnGap;
use crate::telemetry::{Metrics, names};
use crate::{grpc, http, journal, store};

/// A service whose parts stand and do not run yet.
pub struct Service {
    partition: Partition,
    session: Session<Work>,
    publisher: Publisher,
    verdicts: VerdictFeed,
    tally: Tally,
    hub: Hub,
    vitals: VitalsHub,
    store: store::Writer<SystemClock>,
    maintenance: store::Maintenance<SystemClock>,
    grpc: grpc::Server,
    http: http::Server,
    /// Keeps the partition open for commands while gRPC serves.
    inbox: mpsc::Sender<Work>,
    monitor: Monitor,
    lags: Lags,
    certificates: Certificates,
    /// `None` where the configuration comes from nowhere to which it could be looked for again.
    reloader: Option<Reloader>,
    /// What the start found, and when it began.
    facts: (Facts, Instant),
    /// `None` where nobody asked for it.
    page: Option<Page>,
    /// Whether the service as a whole runs, or is stopping.
    part: Part,
    readiness: Readiness,
    /// Tells the sources, and every stream, to stop.
    stopping: CancellationToken,
}

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// Health, metrics and the ward page.
    pub http: SocketAddr,
}

impl Service {
    /// Opens the journal, recovers the state, takes the addresses and wires the stages. Where
    /// database and journal do not fit, `on_gap` says what to do. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Error`]: nothing runs then, and nothing has changed.
    pub async fn build(config: &Config, on_gap: OnGap, metrics: Metrics) -> Result<Self, Error> {
        let began = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stopping = CancellationToken::new();
        let readiness = Readiness::new();
        let part = readiness.register("service");
        let mut mqtt = settings::mqtt(&config.mqtt, &config.ingest)?;
        let mut door = settings::grpc(config)?;
        let mut certificates =
            Certificates::open(config, &clock, &readiness, &mut mqtt, &mut door)?;
        let http_tls = certificates.open_http(config, &clock, &readiness)?;
        let mut store = settings::store(&config.store)?;
        store.on_gap = on_gap;
        certificates.open_store(config, &clock, &readiness, &mut store)?;

        let (opened, recovered) = recover(settings::journal(&config.journal)).await?;
        let journal = opened.journal;
        let (recovered, gap) = gaps::mind(&store, &journal, recovered).await?;
        let standing = hub::Snapshot {
            alerts: recovered.open_alerts().cloned().map(Arc::new).collect(),
            patients: recovered.state.monitoring().map(Arc::new).collect(),
        };
        let at = recovered.position;
        let (patients, alerts_open) = (standing.patients.len(), standing.alerts.len());
        let backlog = Arc::new(Backlog::default());
        let (hub, watching) =
            Hub::new(&journal, at, standing, Arc::clone(&backlog), Arc::clone(&clock))?;

        let (vitals, watching_vitals) = VitalsHub::new(
            &journal,
            at,
            Names::of(&recovered.state),
            hub.ingest_connected(),
            Arc::clone(&backlog),
            Arc::clone(&clock),
        )?;

        let history = store::open_history(&store);
        let store = store::Writer::new(store, journal.clone(), SystemClock).behind(gap);
        let maintenance = store.maintenance();
        let monitor = Monitor::new(
            &readiness,
            hub.ingest_connected(),
            (store.state(), maintenance.state()),
            (Arc::clone(&backlog), Arc::clone(&clock)),
        );

        let lags = Lags::new(journal.clone(), Arc::clone(&clock), store.state());
        let surroundings = Surroundings {
            stored: monitor.stored(),
            backlog,
            stopping: stopping.clone(),
            clock: Arc::clone(&clock),
        };
        let bounds = settings::ingest(&config.ingest);
        let (partition, Inlets { deliveries, commands: inbox }) =
            Partition::new(recovered, opened.writer, bounds, surroundings);
        let partition = partition.checkpoint_after(config.journal.checkpoint_bytes.0);
        let commands = Arc::new(Desk::new(partition::handle(&inbox, Arc::clone(&clock))));
        let told_by = Arc::clone(&clock);
        let session = Session::new(mqtt.clone(), clock, deliveries);
        let trouble = session.trouble();
        let (given, publisher) = publisher::channel(mqtt);
        let verdicts = VerdictFeed::new(journal.follow(at)?, given);
        let tally = Tally::new(journal.follow(at)?);
        let lags = lags
            .of("hub", Done::Followed(hub.done()))
            .of("vitals_hub", Done::Followed(vitals.done()))
            .of("verdicts", Done::Followed(verdicts.done()))
            .of("tally", Done::Followed(tally.done()));
        gauge!(names::STARTED_TIMESTAMP_SECONDS).set(told_by.now().micros() as f64 / 1e6);
        gauge!(names::JOURNAL_LIMIT_BYTES).set(config.journal.max_bytes.0 as f64);

        let parts = grpc::Parts {
            commands,
            history,
            stored: monitor.stored(),
            hub: watching,
            vitals: watching_vitals,
            stopping: stopping.clone(),
            clock: Arc::clone(&told_by),
        };
        let grpc = grpc::Server::build(door, parts)?.telling(&readiness);
        let ward = match settings::ward_page(config) {
            None => http::Ward::Off,
            Some(Err(why)) => http::Ward::Shut(why),
            Some(Ok(reached)) => http::Ward::Open(grpc.web(reached)),
        };
        let http = http::Settings { listen: config.http.listen, tls: http_tls, ward };
        let http = http::Server::bind(http, readiness.clone(), metrics)?;
        let facts = Facts {
            addresses: Addresses { grpc: grpc.local_addr(), http: http.local_addr() },
            ward_page: http.ward_page(),
            position: at,
            journal_bytes: journal.disk_bytes()?,
            patients,
            alerts_open,
        };
        Ok(Self {
            partition,
            session,
            publisher,
            verdicts,
            tally,
            hub,
            vitals,
            store,
            maintenance,
            grpc,
            http,
            inbox,
            monitor: monitor.of_broker(trouble),
            lags,
            certificates,
            reloader: None,
            facts: (facts, began),
            page: None,
            part,
            readiness,
            stopping,
        })
    }

    /// The same, which reads its configuration again when it is asked to. `config` is what it was
    /// built of.
    #[must_use]
    pub fn reloading(mut self, source: Source, config: Config) -> Self {
        let partition = partition::handle(&self.inbox, Arc::new(SystemClock));
        self.reloader = Some(Reloader::new(source, config, partition));
        self
    }

    /// The same, which says on a page what it is connected to and where it listens, once it is ready.
    /// `config` is what it was built of.
    #[must_use]
    pub fn with_start_page(mut self, config: &Config) -> Self {
        let (facts, began) = &self.facts;
        self.page = Some(Page::new(config, facts, *began));
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses { grpc: self.grpc.local_addr(), http: self.http.local_addr() }
    }

    /// Where the ward page is, as a browser takes it; `None` where it is not served.
    #[must_use]
    pub fn ward_page(&self) -> Option<String> {
        self.http.ward_page()
    }

    /// How its parts stand, now and later.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Runs until `stop`, or until a stage fails; then drains.
    ///
    /// # Errors
    /// The first error of a stage.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Addresses { grpc, .. } = self.addresses();
        // HTTP has said so itself when it took its port.
        info!(listener = "grpc", address = %grpc, "listening");
        let Self { partition, session, publisher, verdicts, tally, hub, .. } = self;
        let Self { vitals, store, grpc, http, .. } = self;
        let (monitor, stopping, inbox, part) = (self.monitor, self.stopping, self.inbox, self.part);
        let (maintenance, certificates) = (self.maintenance, self.certificates);

        let http_stop = CancellationToken::new();
        let http = tokio::spawn(http.run(http_stop.clone()));

        let mut stages = Stages::default();
        let (token, calls) = (stopping.clone(), stopping.clone());
        stages.spawn("mqtt", session.run(token));
        stages.spawn("grpc", async move {
            let served = grpc.run(calls).await;
            // From here on no command is taken, also not from a caller who was left behind.
            drop(inbox);
            served
        });
        stages.spawn("partition", partition.run());
        stages.spawn("hub", hub.run());
        stages.spawn("vitals hub", vitals.run());
        stages.spawn("verdicts", verdicts.run());
        stages.spawn("tally", tally.run());
        stages.spawn("publisher", publisher.run());
        // Without it ingest, alarms and streams go on (V9). Its maintenance ends because it does.
        stages.spawn_expendable("store", store.run());
        stages.spawn_expendable("store maintenance", never_fails(maintenance.run()));
        stages.spawn("certificates", never_fails(certificates.run(stopping.clone())));
        if let Some(reloader) = self.reloader {
            stages.spawn("reloader", never_fails(reloader.run(stopping.clone())));
        }
        if let Some(page) = self.page {
            let page = page.print(self.readiness.clone(), stopping.clone());
            stages.spawn_expendable("start-up page", never_fails(page));
        }
        // It ends because every stage that it watches has ended.
        stages.spawn("monitor", never_fails(monitor.run()));
        stages.spawn_expendable("lags", never_fails(self.lags.run(stopping.clone())));
        let told = supervisor::tell(self.readiness.clone(), stopping.clone());
        stages.spawn_expendable("supervisor", never_fails(told));

        part.ready();
        let outcome = stages.supervise(&stop, &stopping, &part).await;
        http_stop.cancel();
        let served = http.await.map_err(|_| Error::Panicked { stage: "http" });
        outcome.and(served)
    }
}

/// Opens the journal and recovers the state from it, off the runtime's threads.
async fn recover(
    settings: journal::Settings,
) -> Result<(journal::Opened, partition::Recovered), Error> {
    let recovering = tokio::task::spawn_blocking(move || {
        let mut opened = journal::open(&settings)?;
        let guard = Guard::new(Quarantine::open(&settings.dir)?);
        let recovered = partition::recover(&opened.journal, opened.checkpoint.take(), guard)?;
        Ok((opened, recovered))
    });
    recovering.await.unwrap_or(Err(Error::Panicked { stage: "recovery" }))
}

/// A stage that copes with whatever happens.
async fn never_fails(stage: impl Future<Output = ()>) -> Result<(), Error> {
    stage.await;
    Ok(())
}
