//! A fleet of simulated wearables that is driven through the service's own doors, and a record of
//! all that went in and came out.
//!
//! [`Fleet::new`] draws who there is and what will befall them from a [`Scenario`] and its seed;
//! [`Fleet::run`] enrols them over gRPC, publishes over MQTT by an open-loop schedule, watches the
//! stream of alerts, and writes it all to a [`crate::record`]. The same seed gives the same values
//! and the same faults, however fast it is sent and over however many connections; only times and
//! boot ids differ from run to run. **It judges nothing**: that is for whoever reads the record.
//!
//! ```text
//!  scenario ─▶ roster ─▶ stream (physiology, episode, device, fault)      one plan for each device
//!                           └─▶ schedule ─▶ wire ─▶ publish ──MQTT──▶ service
//!                                  swap, roster::enroll ──gRPC──▶ service
//!              recorder ◀─ board (what connections say) ◀─ watcher ◀──gRPC── service
//! ```

pub mod arguments;
mod board;
mod device;
mod episode;
mod fault;
pub mod limits;
mod physiology;
mod progress;
mod recorder;
mod roster;
mod run;
pub mod scenario;
mod schedule;
mod stream;
mod summary;
mod swap;
mod watcher;
mod wire;

use std::future::Future;
use std::path::PathBuf;

use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use board::Ticket;
pub use recorder::Marks;
use recorder::{Recorder, Writing};
use roster::Roster;
use run::Running;
pub use scenario::Scenario;
pub use summary::Summary;

use crate::address::InvalidAddress;
use crate::caller::Caller;
use crate::enroll;
use crate::publish::{self, Broker, Message};
use crate::record::{self, Run, RunClock};
use crate::replay::Show;

/// Where one connection takes its messages from.
type Lane = mpsc::Sender<Message<Ticket>>;
/// The connections that run.
type Connections = JoinSet<Result<(), publish::Error>>;

/// How a fleet is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the fleet is and what befalls it.
    pub scenario: Scenario,
    /// The broker.
    pub broker: Broker,
    /// The service's gRPC address. Without one nobody is enrolled, watched or replaced: for trying
    /// what a broker bears.
    pub grpc: Option<String>,
    /// Who enrols and watches.
    pub caller: Caller,
    /// The directory of the record, which holds none yet.
    pub record: PathBuf,
    /// Where progress is shown.
    pub show: Show,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario is none that can be run.
    #[error(transparent)]
    Scenario(#[from] scenario::Error),
    /// The record can't be written.
    #[error("keeping the record")]
    Record(#[from] record::Error),
    /// The service's address is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The fleet can't be made known to the service.
    #[error("enrolling the fleet")]
    Enroll(#[from] enroll::Error),
    /// A connection to the broker can't be made, or has ended.
    #[error("publishing")]
    Publish(#[from] publish::Error),
    /// The schedule could not be kept.
    #[error("keeping the schedule")]
    Schedule(#[from] schedule::Error),
    /// The alerts can't be watched.
    #[error("watching alerts at {url}: {why}")]
    Watch {
        /// Where.
        url: String,
        /// What the service said, or did not.
        why: String,
    },
    /// It was told to stop, and the broker did not acknowledge what had been sent.
    #[error("interrupted, with {messages} messages unacknowledged")]
    Unacknowledged {
        /// How many of those handed over.
        messages: u64,
    },
    /// It was told to stop before it had begun to send.
    #[error("interrupted before anything was sent")]
    Interrupted,
}

/// A fleet that is about to run. Its record has begun.
#[derive(Debug)]
pub struct Fleet {
    settings: Settings,
    clock: RunClock,
    roster: Roster,
    recorder: Recorder,
    writing: Writing,
}

impl Fleet {
    /// Draws the fleet, and begins its record.
    ///
    /// # Errors
    /// If the scenario can't be run, or the record can't be written.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let scenario = settings.scenario.clone().resolve()?;
        let settings = Settings { scenario, ..settings };
        let Settings { scenario, record, .. } = &settings;
        let clock = RunClock::start();
        let roster = Roster::new(scenario, clock.began_at());
        let run = Run {
            version: Run::version(),
            began_at: clock.began_at(),
            site: scenario.site.clone(),
            seed: scenario.seed,
            profile: limits::profile(scenario).encode_to_vec(),
            scenario: serde_json::to_value(scenario).expect("a scenario is plain values"),
            devices: roster.devices.clone(),
        };
        let (recorder, writing) = Recorder::begin(record, &run, clock)?;
        Ok(Self { settings, clock, roster, recorder, writing })
    }

    /// Adds lines to the record, for whoever drives the run.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.recorder.marks()
    }

    /// Runs the fleet: until it has sent everything, or `until` completes; then until everything is
    /// acknowledged and the stream of alerts is quiet. The record is closed in any case. Not cancel
    /// safe: the record would miss its end.
    ///
    /// # Errors
    /// If the service or the broker can't be reached or refuse, the broker stays away for longer
    /// than the scenario's patience, the schedule can't be kept, or the record can't be written.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<Summary, Error> {
        let Self { settings, clock, roster, recorder, writing } = self;
        let (stop, stopped) = watch::channel(false);
        let run = Running { settings: &settings, clock, recorder, writing: &writing, stopped };
        let mut running = Box::pin(run.run(roster));
        let ended = tokio::select! {
            ended = &mut running => ended,
            () = until => {
                stop.send_replace(true);
                running.as_mut().await
            }
        };
        drop(running);
        writing.close().await?;
        ended
    }
}
