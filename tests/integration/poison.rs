//! A message on which the engine panics, through a real Mosquitto and a real journal: it is set
//! aside, refused once, acknowledged, and nothing else is lost or doubled.
//!
//! The shipped engine has no such message, so that a fault is planted by the partition's seam; the
//! source and the partition around it are the service's own. The process that is killed is this
//! test binary, run again for the one test that serves until then.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::Arc;

use pulseward::clock::{Clock, SystemClock};
use pulseward::engine::alerts::Phase;
use pulseward::engine::audit::Origin;
use pulseward::engine::input::{
    Action, Command, Event, Input, NewBinding, Poisoned, Principal, Role, Schedule, Settings, Sites,
};
use pulseward::engine::output::{Output, RejectReason, Reply};
use pulseward::engine::{self, State};
use pulseward::journal::{self, Entry, Journal};
use pulseward::mqtt::session::Session;
use pulseward::partition::{self, Error, Guard, Inlets, Partition, Quarantine, Surroundings, Work};
use pulseward::position::Position;
use pulseward::vitals::{DeviceId, PatientId, SiteId, Value};
use pulseward::{mqtt, vitals};
use pulseward_sim::publish::Message;
use pulseward_sim::sample::Batch;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::journal::entries;
use crate::support::mosquitto::{self, Mosquitto};
use crate::support::process::{Process, Signal};
use crate::support::publishing::publish;
use crate::support::wait::{wait_for, wait_until};

const SITE: &str = "north";
const DEVICE: &str = "watch-1";
const TOPIC: &str = "pulseward/v1/north/watch-1/readings";
/// What the planted fault can't stand.
const POISON: &str = "poison";

/// The engine, with a fault planted in it.
fn faulty(state: &mut State, input: &Input, outputs: &mut Vec<Output>) -> Option<Reply> {
    if let Event::Publish(publish) = &input.event {
        let payload = String::from_utf8_lossy(&publish.payload);
        assert!(!payload.contains(POISON), "the fault, on {payload}");
    }
    engine::apply(state, input, outputs)
}

/// Source and partition, as the service wires them.
struct Line {
    inbox: mpsc::Sender<Work>,
    commands: partition::Handle,
    journal: Journal,
    stop: CancellationToken,
    source: JoinHandle<Result<(), mqtt::Error>>,
    partition: JoinHandle<Result<(), Error>>,
}

impl Line {
    fn start(dir: &Path, broker_url: &str) -> Self {
        let settings = journal::Settings::new(dir.join("journal"));
        let opened = journal::open(&settings).expect("opens");
        let guard = Guard::with(faulty, Quarantine::open(&settings.dir).expect("readable"));
        let recovered =
            partition::recover(&opened.journal, opened.checkpoint, guard).expect("recovers");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        let surroundings = Surroundings {
            stored: watch::channel(Position::START).1,
            backlog: Arc::default(),
            stopping: stop.clone(),
            clock: Arc::clone(&clock),
        };
        let (partition, Inlets { deliveries, commands: inbox }) =
            Partition::new(recovered, opened.writer, Settings::default(), surroundings);
        let commands = partition::handle(&inbox, Arc::clone(&clock));
        let settings = mqtt::Settings::new(broker_url.parse().expect("an address"));
        let source = Session::new(settings, clock, deliveries);
        Self {
            inbox,
            commands,
            journal: opened.journal,
            source: tokio::spawn(source.run(stop.clone())),
            partition: tokio::spawn(partition.run()),
            stop,
        }
    }

    async fn command(&self, action: Action) {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let origin = Origin { peer: "test".to_owned(), salt: [7; 16] };
        let reply = self
            .commands
            .submit(Command { principal, action, origin, request: None })
            .await
            .expect("runs");
        reply.expect("carried out");
    }

    /// One patient with one device.
    async fn enroll(&self) {
        let site = SiteId::new(SITE).expect("an id");
        let (display_name, time_zone) = ("North".to_owned(), "UTC".to_owned());
        self.command(Action::CreateSite { site: site.clone(), display_name, time_zone }).await;
        let patient = PatientId::new("p-1").expect("an id");
        let device = DeviceId::new(DEVICE).expect("an id");
        self.command(Action::CreatePatient { patient: patient.clone(), site: site.clone() }).await;
        self.command(Action::CreateDevice { device: device.clone(), site }).await;
        let (from, schedule) = (None, Schedule::default());
        self.command(Action::BindDevice(NewBinding { device, patient, from, schedule })).await;
    }

    /// Waits until the broker holds a session of the source.
    async fn until_subscribed(&self, broker: &Mosquitto) {
        wait_until("the subscription", async || broker.log().contains("SUBACK")).await;
    }

    /// Waits until so many readings are admitted and durable.
    async fn until_admitted(&self, count: usize) {
        wait_until(&format!("{count} readings"), async || {
            let entries = self.journal.read(Position::START, usize::MAX).expect("readable");
            admitted(&entries).len() >= count
        })
        .await;
    }

    /// Waits until it ends by itself.
    async fn ended(self) -> Error {
        let Self { partition, source, stop, .. } = self;
        let ended = partition.await.expect("no panic").expect_err("it can't go on");
        stop.cancel();
        // It may have found its inbox closed before.
        let source = source.await.expect("no panic");
        assert!(matches!(source, Ok(()) | Err(mqtt::Error::InboxClosed)), "{source:?}");
        ended
    }

    async fn stop(self) {
        let Self { inbox, stop, partition, source, .. } = self;
        stop.cancel();
        source.await.expect("no panic").expect("stopped");
        drop(inbox);
        partition.await.expect("no panic").expect("everything is committed");
    }
}

/// Heart rates of these values, a message each; 0 is the one that the engine can't stand.
fn messages(values: impl IntoIterator<Item = i64>) -> Vec<Message> {
    let message = |value: i64| {
        let gateway = if value == 0 { POISON } else { "gateway" };
        let measured_at = SystemClock.now();
        let payload = format!(
            "{{\"gateway\": {gateway:?}, \"boot_id\": 7, \"first_seq\": {value}, \"readings\": [\
             {{\"measured_at\": \"{measured_at}\", \"vital\": \"heart_rate\", \"quantity\": {}}}]}}",
            60 + value
        );
        let batch = Batch { device: DEVICE.into(), boot_id: 0, first_seq: 0, samples: Vec::new() };
        let content_type = "application/json";
        Message { topic: TOPIC.to_owned(), content_type, payload: payload.into(), batch }
    };
    values.into_iter().map(message).collect()
}

fn start_broker() -> Mosquitto {
    let settings = mosquitto::Settings { persistent: true, ..mosquitto::Settings::default() };
    Mosquitto::start_with(settings)
}

/// What was admitted, in order, by the values of [`messages`].
fn admitted(entries: &[Arc<Entry>]) -> Vec<i64> {
    let outputs = entries.iter().flat_map(|entry| &entry.outputs);
    let value = |output: &Output| match output {
        Output::Reading(reading) => match reading.value {
            Value::Quantity(quantity) => {
                assert_eq!(reading.vital, vitals::Vital::HeartRate);
                Some(quantity.ten_thousandths() / 10_000 - 60)
            }
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    outputs.filter_map(value).collect()
}

/// Runs on twice over what a run has left behind that ended at the poison: everything else is
/// admitted once, and what the poison leads to is told once.
async fn check_that_it_goes_on(dir: &Path, broker: &Mosquitto) {
    publish(&broker.url(), messages(5..=8)).await;
    let line = Line::start(dir, &broker.url());
    line.until_admitted(8).await;
    line.stop().await;
    // Had anything not been acknowledged, it would come again before this one.
    let line = Line::start(dir, &broker.url());
    publish(&broker.url(), messages([9])).await;
    line.until_admitted(9).await;
    line.stop().await;

    let entries = entries(dir);
    let mut all = admitted(&entries);
    all.sort_unstable();
    assert_eq!(all, (1..=9).collect::<Vec<_>>());
    let refused = entries
        .iter()
        .filter(|entry| matches!(entry.input.event, Event::Poisoned(Poisoned::Publish(_))));
    assert_eq!(refused.count(), 1);
    let outputs = || entries.iter().flat_map(|entry| &entry.outputs);
    let rejects: Vec<_> = outputs()
        .filter_map(|output| match output {
            Output::Reject(reject) => Some((reject.reason, reject.topic.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(rejects, [(RejectReason::Poisoned, TOPIC)], "one dead letter");
    let told: Vec<_> = outputs()
        .filter_map(|output| match output {
            Output::Alert(event) if event.alert.rule.as_str() == "pulseward.poison" => {
                let device = event.alert.device.as_ref().map(DeviceId::as_str);
                Some((event.phase, device))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(Phase::Start, Some(DEVICE)), (Phase::End, Some(DEVICE))]);
}

/// The files of what is set aside.
fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.join("journal").join("poison").join(env!("CARGO_PKG_VERSION"));
    let Ok(listing) = std::fs::read_dir(dir) else { return Vec::new() };
    let files = listing.map(|found| found.expect("listed").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.len() == 64)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_the_engine_is_a_dead_letter_after_the_restart() {
    let (dir, broker) = (TempDir::new().expect("temporary directory"), start_broker());
    let line = Line::start(dir.path(), &broker.url());
    line.enroll().await;
    line.until_subscribed(&broker).await;
    publish(&broker.url(), messages([1, 2, 0, 3, 4])).await;
    let error = line.ended().await;
    let Error::Poisoned { kind: "publish", location, file } = &error else { panic!("{error}") };
    assert!(location.starts_with("tests/integration/poison.rs:"), "{location}");
    assert_eq!(set_aside(dir.path()), std::slice::from_ref(file));
    for text in [error.to_string(), std::fs::read_to_string(file).expect("readable")] {
        assert!(!text.contains("heart_rate") && !text.contains("the fault"), "{text}");
    }
    check_that_it_goes_on(dir.path(), &broker).await;
}

const DIRECTORY: &str = "PULSEWARD_TEST_POISON_DIRECTORY";
const BROKER: &str = "PULSEWARD_TEST_POISON_BROKER";

/// Serves if it is told where; as a test of its own it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let broker = std::env::var(BROKER).expect("set with it");
    let _line = Line::start(Path::new(&dir), &broker);
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_once_the_message_is_set_aside_changes_nothing() {
    let (dir, broker) = (TempDir::new().expect("temporary directory"), start_broker());
    let line = Line::start(dir.path(), &broker.url());
    line.enroll().await;
    line.until_subscribed(&broker).await;
    line.stop().await;

    let mut command = Program::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "poison::serves_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, dir.path())
        .env(BROKER, broker.url());
    let mut serving = Process::spawn("the line", &mut command, &dir.path().join("log"));
    publish(&broker.url(), messages([1, 2, 0, 3, 4])).await;
    wait_for("the message to be set aside", async || set_aside(dir.path()).pop()).await;
    serving.stop(Signal::Kill);
    check_that_it_goes_on(dir.path(), &broker).await;
}
