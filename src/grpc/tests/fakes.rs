//! An engine and a store that answer what a test told them to, and the door before them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::clock::{Clock, SystemClock};
use crate::engine::alerts::AlertId;
use crate::engine::audit::Access;
use crate::engine::input::{Command, Sites};
use crate::engine::output::{Done, ProfileRow, Refusal, Reply};
use crate::engine::profile::Scope;
use crate::engine::query::Query;
use crate::grpc::{Closed, Commands, Error, Parts, Reached, Server, Settings, Web};
use crate::hub;
use crate::hub::vitals::VitalsHandle;
use crate::position::{MessageId, Position};
use crate::proto::v1::alert_service_client::AlertServiceClient;
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::ingest_service_client::IngestServiceClient;
use crate::proto::v1::profile_service_client::ProfileServiceClient;
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::proto::v1::vitals_service_client::VitalsServiceClient;
use crate::store::audit::ChainKey;
use crate::store::{
    AlertStory, AlertsPage, AlertsQuery, AuditPage, AuditQuery, BucketsPage, BucketsQuery, Burden,
    BurdenQuery, DeadLetter, History, HistoryError, LatestQuery, ReadingsPage, ReadingsQuery,
    RejectedPage, RejectedQuery, StoredAuditEvent, StoredErasure, StoredReading,
};
use crate::vitals::PatientKey;

/// Answers in the order in which it was told to, and remembers what it was asked.
pub(super) struct Fake<Question, Answer> {
    answers: Mutex<VecDeque<Answer>>,
    questions: Mutex<Vec<Question>>,
}

/// What is answered where a test gave no answer: that there is nothing.
pub(super) trait Nothing {
    fn nothing() -> Self;
}

impl<T> Nothing for Result<T, HistoryError> {
    fn nothing() -> Self {
        Err(HistoryError::Unavailable { reason: "the test gave no answer".to_owned() })
    }
}

impl Nothing for Result<Reply, Closed> {
    fn nothing() -> Self {
        Ok(Err(Refusal::NotFound { kind: "answer", id: "of this test".to_owned() }))
    }
}

impl<Question: Clone, Answer: Nothing> Fake<Question, Answer> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { answers: Mutex::default(), questions: Mutex::default() })
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    pub(super) fn seen(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }

    fn ask(&self, question: Question) -> Answer {
        self.questions.lock().unwrap().push(question);
        self.answers.lock().unwrap().pop_front().unwrap_or_else(Answer::nothing)
    }
}

/// An engine: commands and queries are asked and answered apart from each other. What goes on
/// record is taken, unless the test says that there is no room.
pub(super) struct FakeEngine {
    commands: Arc<Fake<Command, Result<Reply, Closed>>>,
    pub(super) queries: Arc<Fake<Query, Result<Reply, Closed>>>,
    recorded: watch::Sender<Vec<Access>>,
    is_full: AtomicBool,
}

impl FakeEngine {
    pub(super) fn new() -> Arc<Self> {
        let (recorded, is_full) = (watch::Sender::default(), AtomicBool::new(false));
        Arc::new(Self { commands: Fake::new(), queries: Fake::new(), recorded, is_full })
    }

    pub(super) fn answer(&self, answer: Result<Reply, Closed>) {
        self.commands.answer(answer);
    }

    pub(super) fn seen(&self) -> Vec<Command> {
        self.commands.seen()
    }

    /// From now on nothing can be put on record.
    pub(super) fn fill(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// What went on record.
    pub(super) fn recorded(&self) -> Vec<Access> {
        self.recorded.borrow().clone()
    }

    /// The same, once there is so much.
    pub(super) async fn recorded_in_time(&self, count: usize) -> Vec<Access> {
        let mut recorded = self.recorded.subscribe();
        let there = recorded.wait_for(|recorded| recorded.len() >= count);
        let there = tokio::time::timeout(Duration::from_secs(30), there).await;
        there.expect("goes on record").expect("the fake is there").clone()
    }
}

pub(super) type FakeReadings = Fake<ReadingsQuery, Result<ReadingsPage, HistoryError>>;
pub(super) type FakeLatest = Fake<LatestQuery, Result<Vec<StoredReading>, HistoryError>>;
pub(super) type FakeBuckets = Fake<BucketsQuery, Result<BucketsPage, HistoryError>>;
pub(super) type FakeRejected = Fake<RejectedQuery, Result<RejectedPage, HistoryError>>;
pub(super) type FakeAlerts = Fake<AlertsQuery, Result<AlertsPage, HistoryError>>;
pub(super) type FakeBurdens = Fake<BurdenQuery, Result<Burden, HistoryError>>;
pub(super) type FakeStories = Fake<(AlertId, Sites), Result<Option<AlertStory>, HistoryError>>;
pub(super) type FakeAudit = Fake<AuditQuery, Result<AuditPage, HistoryError>>;
pub(super) type FakeErasures = Fake<(PatientKey, Sites), Result<StoredErasure, HistoryError>>;
pub(super) type FakeProfiles = Fake<(Scope, u32), Result<ProfileRow, HistoryError>>;
pub(super) type FakeLetters = Fake<(MessageId, Sites), Result<DeadLetter, HistoryError>>;

/// A fake of each kind of question.
#[derive(Clone)]
pub(super) struct FakeStore {
    readings: Arc<FakeReadings>,
    latest: Arc<FakeLatest>,
    buckets: Arc<FakeBuckets>,
    rejected: Arc<FakeRejected>,
    letters: Arc<FakeLetters>,
    audit: Arc<FakeAudit>,
    erasures: Arc<FakeErasures>,
    profiles: Arc<FakeProfiles>,
    alerts: Arc<FakeAlerts>,
    stories: Arc<FakeStories>,
    burdens: Arc<FakeBurdens>,
}

impl FakeStore {
    pub(super) fn new() -> Self {
        Self {
            readings: Fake::new(),
            latest: Fake::new(),
            buckets: Fake::new(),
            rejected: Fake::new(),
            letters: Fake::new(),
            audit: Fake::new(),
            erasures: Fake::new(),
            profiles: Fake::new(),
            alerts: Fake::new(),
            stories: Fake::new(),
            burdens: Fake::new(),
        }
    }
}

#[tonic::async_trait]
impl Commands for FakeEngine {
    async fn submit(&self, command: Command) -> Result<Reply, Closed> {
        self.commands.ask(command)
    }

    async fn record(&self, access: Access) -> Result<Reply, Closed> {
        if self.is_full.load(Ordering::Relaxed) {
            return Ok(Err(Refusal::JournalFull));
        }
        let mut number = 0;
        self.recorded.send_modify(|recorded| {
            recorded.push(access);
            number = recorded.len() as u64;
        });
        Ok(Ok(Done::Audited { number }))
    }

    async fn query(&self, query: Query) -> Result<Reply, Closed> {
        self.queries.ask(query)
    }
}

#[tonic::async_trait]
impl History for FakeStore {
    async fn list_readings(&self, query: ReadingsQuery) -> Result<ReadingsPage, HistoryError> {
        self.readings.ask(query)
    }

    async fn latest_readings(
        &self,
        query: LatestQuery,
    ) -> Result<Vec<StoredReading>, HistoryError> {
        self.latest.ask(query)
    }

    async fn aggregate_readings(&self, query: BucketsQuery) -> Result<BucketsPage, HistoryError> {
        self.buckets.ask(query)
    }

    async fn list_alerts(&self, query: AlertsQuery) -> Result<AlertsPage, HistoryError> {
        self.alerts.ask(query)
    }

    async fn alarm_burden(&self, query: BurdenQuery) -> Result<Burden, HistoryError> {
        self.burdens.ask(query)
    }

    async fn alert(&self, id: AlertId, sites: Sites) -> Result<Option<AlertStory>, HistoryError> {
        self.stories.ask((id, sites))
    }

    async fn list_rejected(&self, query: RejectedQuery) -> Result<RejectedPage, HistoryError> {
        self.rejected.ask(query)
    }

    async fn dead_letter(
        &self,
        message: MessageId,
        sites: Sites,
    ) -> Result<DeadLetter, HistoryError> {
        self.letters.ask((message, sites))
    }

    async fn erasure(
        &self,
        patient: PatientKey,
        sites: Sites,
    ) -> Result<StoredErasure, HistoryError> {
        self.erasures.ask((patient, sites))
    }

    async fn profile(&self, scope: Scope, version: u32) -> Result<ProfileRow, HistoryError> {
        self.profiles.ask((scope, version))
    }

    async fn list_audit_events(&self, query: AuditQuery) -> Result<AuditPage, HistoryError> {
        self.audit.ask(query)
    }

    async fn audit_chain(
        &self,
        _after: ChainKey,
        _limit: u32,
    ) -> Result<Vec<(ChainKey, StoredAuditEvent)>, HistoryError> {
        unreachable!("no call verifies the chain")
    }
}

/// A served door with a client before it.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) channel: Channel,
    pub(super) commands: Arc<FakeEngine>,
    pub(super) history: Arc<FakeReadings>,
    pub(super) latest: Arc<FakeLatest>,
    pub(super) buckets: Arc<FakeBuckets>,
    pub(super) rejected: Arc<FakeRejected>,
    pub(super) letters: Arc<FakeLetters>,
    pub(super) listed: Arc<FakeAlerts>,
    pub(super) stories: Arc<FakeStories>,
    pub(super) burdens: Arc<FakeBurdens>,
    pub(super) audit: Arc<FakeAudit>,
    /// How far the store has come.
    pub(super) stored: watch::Sender<Position>,
    /// Tells the streams to end.
    pub(super) stopping: CancellationToken,
    pub(super) erasures: Arc<FakeErasures>,
    pub(super) profile_versions: Arc<FakeProfiles>,
    /// The services as the ward page calls them.
    pub(super) web: Web,
    pub(super) cancel: CancellationToken,
    pub(super) running: JoinHandle<Result<(), Error>>,
}

impl Door {
    pub(super) fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel.clone())
    }

    pub(super) fn alerts(&self) -> AlertServiceClient<Channel> {
        AlertServiceClient::new(self.channel.clone())
    }

    pub(super) fn profiles(&self) -> ProfileServiceClient<Channel> {
        ProfileServiceClient::new(self.channel.clone())
    }

    pub(super) fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    pub(super) fn auditing(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    pub(super) fn vitals(&self) -> VitalsServiceClient<Channel> {
        VitalsServiceClient::new(self.channel.clone())
    }

    /// Stops the server and waits until it has drained.
    pub(super) async fn close(self) {
        self.cancel.cancel();
        self.running.await.expect("does not panic").expect("ends well");
    }
}

/// These parts, and a hub that has nothing to say.
pub(super) fn parts(commands: Arc<dyn Commands>, history: Arc<dyn History>) -> Parts {
    let (hub, vitals) = (hub::tests::idle(), hub::vitals::tests::idle());
    let (stopping, clock) = (CancellationToken::new(), Arc::new(SystemClock));
    let stored = watch::Sender::new(Position(u64::MAX)).subscribe();
    Parts { commands, history, stored, hub, vitals, stopping, clock }
}

/// Settings for a free port on the loopback interface.
pub(super) fn settings() -> Settings {
    Settings::new(SocketAddr::from(([127, 0, 0, 1], 0)))
}

pub(super) async fn open() -> Door {
    open_with(settings()).await
}

pub(super) async fn open_with(settings: Settings) -> Door {
    open_before(hub::tests::idle(), settings).await
}

/// A door behind which this hub stands.
pub(super) async fn open_before(hub: hub::Handle, settings: Settings) -> Door {
    open_by(Arc::new(SystemClock), hub, settings).await
}

/// The same, by a clock of the test's.
pub(super) async fn open_by(clock: Arc<dyn Clock>, hub: hub::Handle, settings: Settings) -> Door {
    open_parts(settings, |parts| Parts { hub, clock, ..parts }).await
}

/// A door behind which this hub of vitals stands.
pub(super) async fn open_watching(vitals: VitalsHandle, settings: Settings) -> Door {
    open_parts(settings, |parts| Parts { vitals, ..parts }).await
}

async fn open_parts(settings: Settings, change: impl FnOnce(Parts) -> Parts) -> Door {
    let (commands, store) = (FakeEngine::new(), FakeStore::new());
    let stored = watch::Sender::new(Position(u64::MAX));
    let parts = change(parts(commands.clone(), Arc::new(store.clone())));
    let parts = Parts { stored: stored.subscribe(), ..parts };
    let stopping = parts.stopping.clone();
    let server = Server::build(settings, parts).expect("a free port");
    let (address, web) = (server.local_addr(), server.web(Reached::FromThisMachine));
    let channel = connect(address);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(server.run(cancel.clone()));
    let FakeStore { readings: history, latest, buckets, rejected, letters, burdens, .. } =
        store.clone();
    let FakeStore { audit, erasures, profiles: profile_versions, alerts: listed, stories, .. } =
        store;
    Door {
        address,
        channel,
        commands,
        history,
        latest,
        buckets,
        rejected,
        letters,
        listed,
        stories,
        burdens,
        stored,
        audit,
        erasures,
        profile_versions,
        stopping,
        web,
        cancel,
        running,
    }
}

/// A client that connects with its first call.
pub(super) fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect_lazy()
}
