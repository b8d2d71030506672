//! The partition as a whole: inputs on which the engine panics, on a journal on disk; and a journal
//! that is full.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::SystemClock;
use crate::engine::alerts::Phase;
use crate::engine::audit::{About, Access, Method, Origin, Outcome};
use crate::engine::input::{Action, Input, Intake, Poisoned, Principal, Publish, Role, Sites};
use crate::engine::output::{Done, Output, Refusal, RejectReason};
use crate::engine::query::{self, Query, Question};
use crate::engine::{self, State};
use crate::journal::memory::{self, Memory};
use crate::journal::{self, Entry, Follower};
use crate::vitals::{DeviceId, SiteId};

/// Everything at once.
const READ_BYTES_MAX: usize = 16 << 20;

/// An engine with a fault.
fn faulty(state: &mut State, input: &Input, outputs: &mut Vec<Output>) -> Option<Reply> {
    let is_faulty = match &input.event {
        Event::Publish(publish) => publish.payload.starts_with(b"poison"),
        Event::Command(command) => command.principal.subject == "poison",
        _ => false,
    };
    assert!(!is_faulty, "an invariant that does not hold");
    engine::apply(state, input, outputs)
}

fn message(payload: impl Into<Bytes>) -> Work {
    let publish = Publish {
        topic: "pulseward/v1/north/watch-1/readings".to_owned(),
        payload: payload.into(),
        encoding: None,
        correlation: None,
        retained: false,
    };
    let (received_at, task) = (SystemClock.now(), Task::Apply(Event::Publish(publish)));
    Work { received_at, task, completion: Completion::Nobody, admission: None }
}

fn create_site(subject: &str) -> Command {
    let principal = Principal { subject: subject.to_owned(), role: Role::Admin, sites: Sites::All };
    let action = Action::CreateSite {
        site: SiteId::new("north").unwrap(),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    };
    Command {
        principal,
        action,
        origin: Origin { peer: String::new(), salt: [0; 16] },
        request: None,
    }
}

/// A data directory, on which runs follow each other.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn settings(&self) -> journal::Settings {
        journal::Settings::new(self.0.path().join("journal"))
    }

    /// One run of an engine, while `work` goes on; how it ended.
    async fn run<F: Future<Output = ()>>(
        &self,
        apply: Apply,
        work: impl FnOnce(Inlets, Handle) -> F,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let opened = journal::open(&settings).unwrap();
        let guard = Guard::with(apply, Quarantine::open(&settings.dir)?);
        let recovered = recover(&opened.journal, opened.checkpoint, guard)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let surroundings = Surroundings {
            stored: watch::channel(Position::START).1,
            backlog: Arc::default(),
            stopping: CancellationToken::new(),
            clock: Arc::clone(&clock),
        };
        let settings = Settings::default();
        let (partition, inlets) = Partition::new(recovered, opened.writer, settings, surroundings);
        let running = tokio::spawn(partition.run());
        let handle = handle(&inlets.commands, clock);
        work(inlets, handle).await;
        running.await.unwrap()
    }

    async fn run_messages(&self, apply: Apply, payloads: &[&'static str]) -> Result<(), Error> {
        self.run(apply, async |inlets, _| {
            for payload in payloads {
                // A run that has ended takes no more.
                drop(inlets.deliveries.send(message(*payload)).await);
            }
        })
        .await
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let journal = journal::open(&self.settings()).unwrap().journal;
        journal.read(Position::START, READ_BYTES_MAX).unwrap()
    }

    /// The payloads of the messages that were read, and of those that were refused unread.
    fn messages(&self) -> (Vec<String>, Vec<String>) {
        let text = |publish: &Publish| String::from_utf8(publish.payload.to_vec()).unwrap();
        let (mut read, mut unread) = (Vec::new(), Vec::new());
        for entry in self.entries() {
            match &entry.input.event {
                Event::Publish(publish) => read.push(text(publish)),
                Event::Poisoned(Poisoned::Publish(publish)) => unread.push(text(publish)),
                _ => {}
            }
        }
        (read, unread)
    }

    /// What happened to the alerts about it.
    fn told(&self) -> Vec<Phase> {
        let entries = self.entries();
        let outputs = entries.iter().flat_map(|entry| &entry.outputs);
        outputs
            .filter_map(|output| match output {
                Output::Alert(event) if event.alert.rule.as_str() == "pulseward.poison" => {
                    Some(event.phase)
                }
                _ => None,
            })
            .collect()
    }
}

fn assert_set_aside(ended: Result<(), Error>) {
    assert!(matches!(ended, Err(Error::Poisoned { .. })), "{ended:?}");
}

#[tokio::test]
async fn the_line_goes_on_behind_an_input_on_which_the_engine_panics() {
    let data = Data::new();
    let all = ["one", "two", "poison", "three"];
    assert_set_aside(data.run_messages(faulty, &all).await);
    let (read, unread) = data.messages();
    assert!(all.starts_with(&read.iter().map(String::as_str).collect::<Vec<_>>()), "{read:?}");
    assert_eq!((read.len() <= 2, unread.len()), (true, 0), "nothing behind it");

    // What was not acknowledged comes again.
    data.run_messages(faulty, &all[read.len()..]).await.unwrap();
    let expected = |payloads: &[&str]| payloads.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(data.messages(), (expected(&["one", "two", "three"]), expected(&["poison"])));
    assert_eq!(data.told(), [Phase::Start, Phase::End]);
    let entries = data.entries();
    let outputs = entries.iter().flat_map(|entry| &entry.outputs);
    let is_dead = |output: &&Output| match output {
        Output::Reject(reject) => reject.reason == RejectReason::Poisoned,
        _ => false,
    };
    assert_eq!(outputs.filter(is_dead).count(), 1);

    // A third run replays the refusal, and says nothing twice.
    data.run_messages(faulty, &["poison"]).await.unwrap();
    assert_eq!(data.told(), [Phase::Start, Phase::End, Phase::Update]);
}

#[tokio::test]
async fn what_was_applied_before_the_panic_is_committed() {
    let data = Data::new();
    let ended = data
        .run(faulty, async |inlets, _| {
            for payload in ["one", "two"] {
                inlets.deliveries.send(message(payload)).await.unwrap();
            }
            inlets.deliveries.send(message("poison")).await.unwrap();
        })
        .await;
    assert_set_aside(ended);
    assert_eq!(data.messages().0, ["one", "two"]);
}

#[tokio::test]
async fn a_command_on_which_the_engine_panics_is_refused_when_it_is_repeated() {
    let data = Data::new();
    let ended = data
        .run(faulty, async |_inlets, handle| {
            assert_eq!(handle.submit(create_site("poison")).await, Err(Closed));
        })
        .await;
    assert_set_aside(ended);
    let run = data.run(faulty, async |_inlets, handle| {
        let answer = handle.submit(create_site("poison")).await;
        assert_eq!(answer, Ok(Err(Refusal::Poisoned)));
        assert!(handle.submit(create_site("anna")).await.unwrap().is_ok(), "others go on");
    });
    run.await.unwrap();
}

#[tokio::test]
async fn an_entry_on_which_a_newer_engine_panics_is_replayed_as_refused() {
    let data = Data::new();
    let before = {
        // Sound when it was written, and not followed by a checkpoint.
        let settings = data.settings();
        let mut opened = journal::open(&settings).unwrap();
        let mut state = State::default();
        let inputs = [message("one"), message("poison"), message("two")];
        let records = inputs.into_iter().zip(1..).map(|(work, position)| {
            let Task::Apply(event) = work.task else { unreachable!("messages are applied") };
            let input = Input { received_at: work.received_at, event };
            let mut outputs = Vec::new();
            engine::apply(&mut state, &input, &mut outputs);
            let position = Position(position);
            journal::Record::new(Arc::new(Entry { position, input, outputs }))
        });
        opened.writer.commit(records.collect()).unwrap();
        opened.journal.last()
    };
    for _ in 0..2 {
        let settings = data.settings();
        let opened = journal::open(&settings).unwrap();
        let guard = Guard::with(faulty, Quarantine::open(&settings.dir).unwrap());
        match recover(&opened.journal, opened.checkpoint, guard) {
            Err(error) => assert!(matches!(error, Error::Poisoned { .. }), "{error}"),
            Ok(recovered) => {
                assert_eq!(recovered.position, before);
                assert_eq!(recovered.state.open_alerts().count(), 1);
            }
        }
    }
    data.run_messages(faulty, &[]).await.unwrap();
    assert_eq!(data.told(), [Phase::Start], "followers are told of it");
    let entries = data.entries();
    let is_refused = |entry: &&Arc<Entry>| matches!(entry.input.event, Event::Poisoned(_));
    assert_eq!(entries.iter().filter(is_refused).count(), 0, "what stands there stays");
}

/// An engine that breaks down on the messages of a device that it knows.
fn faulty_on_what_it_knows(
    state: &mut State,
    input: &Input,
    outputs: &mut Vec<Output>,
) -> Option<Reply> {
    let principal = create_site("anna").principal;
    let question = Question::DeviceReport(DeviceId::new("watch-1").unwrap());
    let is_known = query::answer(state, &Query { principal, question }).is_ok();
    assert!(!(is_known && matches!(input.event, Event::Publish(_))), "it knows too much");
    engine::apply(state, input, outputs)
}

/// All that is in a state.
fn everything(mut state: State) -> Vec<Vec<u8>> {
    let mut captured = vec![state.begin_snapshot()];
    captured.extend(state.capture(usize::MAX));
    captured.iter().map(|row| row.encode().1).collect()
}

#[tokio::test]
async fn what_was_taken_before_is_replayed_as_it_was_though_the_same_bytes_are_set_aside_now() {
    let data = Data::new();
    let ended = data.run(faulty_on_what_it_knows, async |inlets, handle| {
        let (answer, answered) = oneshot::channel();
        let first = Work { completion: Completion::Answer(answer), ..message("twice") };
        inlets.deliveries.send(first).await.unwrap();
        // A message has no answer: whoever waits for one is let go after the commit.
        answered.await.unwrap_err();
        handle.submit(create_site("anna")).await.unwrap().unwrap();
        handle.submit(create_device()).await.unwrap().unwrap();
        inlets.deliveries.send(message("twice")).await.unwrap();
    });
    assert_set_aside(ended.await);

    let settings = data.settings();
    let opened = journal::open(&settings).unwrap();
    let guard = Guard::with(faulty_on_what_it_knows, Quarantine::open(&settings.dir).unwrap());
    let recovered = recover(&opened.journal, opened.checkpoint, guard).unwrap();
    let mut state = State::default();
    for entry in opened.journal.read(Position::START, READ_BYTES_MAX).unwrap() {
        let mut outputs = Vec::new();
        engine::apply(&mut state, &entry.input, &mut outputs);
        assert_eq!(outputs, entry.outputs);
    }
    assert!(everything(recovered.state) == everything(state), "as if nothing were set aside");
    drop(opened.journal);
    drop(opened.writer);

    data.run_messages(faulty_on_what_it_knows, &["twice"]).await.unwrap();
    assert_eq!(data.messages(), (vec!["twice".to_owned()], vec!["twice".to_owned()]));
    assert_eq!(data.told(), [Phase::Start, Phase::End], "of the one that came again");
}

fn create_device() -> Command {
    let site = SiteId::new("north").unwrap();
    let action = Action::CreateDevice { device: DeviceId::new("watch-1").unwrap(), site };
    Command { action, ..create_site("anna") }
}

/// More than 95 % of what the journal in memory may take, and less.
const FULL: u64 = 990;
const EMPTY: u64 = 0;
/// Only the reserve is left, and all of it.
const COMMANDS_ONLY: u64 = 955;

/// A partition on a journal in memory.
struct Small {
    memory: Memory,
    backlog: Arc<Backlog>,
    inlets: Inlets,
    handle: Handle,
    follower: Follower,
    stopping: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), Error>>,
    _dir: TempDir,
}

impl Small {
    fn run(disk_bytes: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let guard = Guard::new(Quarantine::open(dir.path()).unwrap());
        let (memory, opened) = Memory::journal(&memory::settings(1 << 20));
        memory.state().disk_bytes = disk_bytes;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (backlog, stopping) = (Arc::<Backlog>::default(), CancellationToken::new());
        let surroundings = Surroundings {
            stored: watch::channel(Position::START).1,
            backlog: Arc::clone(&backlog),
            stopping: stopping.clone(),
            clock: Arc::clone(&clock),
        };
        let (partition, inlets) = Partition::new(
            Recovered::nothing(guard),
            opened.writer,
            Settings::default(),
            surroundings,
        );
        let handle = handle(&inlets.commands, clock);
        let follower = opened.journal.follow(Position::START).unwrap();
        let running = tokio::spawn(partition.run());
        Self { memory, backlog, inlets, handle, follower, stopping, running, _dir: dir }
    }

    async fn send(&self, number: usize) {
        self.inlets.deliveries.send(message(number.to_string())).await.unwrap();
    }

    /// A command is answered although messages wait.
    async fn command(&self) {
        self.handle.submit(create_site("anna")).await.unwrap().unwrap();
    }

    /// The next entries, in words.
    async fn next(&mut self) -> Vec<String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.follower.next());
        let entries = next.await.expect("not that long").unwrap().unwrap_or_default();
        entries.iter().filter_map(|entry| word(&entry.input.event)).collect()
    }

    /// Entries until one says this.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut words = Vec::new();
        while words.last().is_none_or(|word| word != last) {
            words.extend(self.next().await);
        }
        words
    }

    /// What is left, once everybody has gone.
    async fn end(self) -> Vec<String> {
        let Self { inlets, running, mut follower, .. } = self;
        drop(inlets);
        running.await.unwrap().unwrap();
        let mut words = Vec::new();
        while let Some(entries) = follower.next().await.unwrap() {
            words.extend(entries.iter().filter_map(|entry| word(&entry.input.event)));
        }
        words
    }
}

fn word(event: &Event) -> Option<String> {
    match event {
        Event::Publish(publish) => Some(String::from_utf8(publish.payload.to_vec()).unwrap()),
        Event::Command(_) => Some("command".to_owned()),
        Event::Intake(Intake::Held) => Some("held".to_owned()),
        Event::Intake(Intake::Resumed) => Some("resumed".to_owned()),
        Event::Access(_) => Some("access".to_owned()),
        _ => None,
    }
}

/// A call that reads, or the end of one.
fn access(outcome: Outcome) -> Access {
    Access {
        principal: None,
        origin: Origin { peer: String::new(), salt: [0; 16] },
        method: Method::WatchAlerts,
        about: About::default(),
        outcome,
        reason: String::new(),
    }
}

#[tokio::test]
async fn who_only_reads_is_turned_away_before_who_changes_something() {
    let mut small = Small::run(COMMANDS_ONLY);
    small.until("held").await;
    // What was written since the disk was measured counts until it is measured again: in a journal
    // as small as this one that is much.
    let mut done = small.handle.record(access(Outcome::Done)).await.unwrap();
    while done == Err(Refusal::JournalFull) {
        done = small.handle.record(access(Outcome::Done)).await.unwrap();
    }
    assert_eq!(done, Ok(Done::Audited { number: 1 }), "from the reserve");
    assert_eq!(small.until("access").await, ["access"]);
    small.memory.state().disk_bytes = FULL;
    // It is seen soon after, and then nothing is on record that was answered otherwise.
    while small.handle.record(access(Outcome::Done)).await.unwrap().is_ok() {}
    let turned_away = small.handle.record(access(Outcome::Opened)).await.unwrap();
    assert_eq!(turned_away, Err(Refusal::JournalFull));
    small.handle.record(access(Outcome::Closed)).await.unwrap().unwrap();
    small.command().await;
    small.memory.state().disk_bytes = EMPTY;
    small.until("resumed").await;
    small.handle.record(access(Outcome::Done)).await.unwrap().unwrap();
    assert_eq!(small.end().await, ["access"]);
}

#[tokio::test]
async fn while_the_journal_is_full_messages_wait_and_commands_go_on() {
    let mut small = Small::run(FULL);
    assert_eq!(small.until("held").await, ["held"], "before any message");
    small.send(1).await;
    small.send(2).await;
    small.command().await;
    assert_eq!(small.until("command").await, ["command"]);
    assert!(small.backlog.is_held());
    small.memory.state().disk_bytes = EMPTY;
    assert_eq!(small.until("2").await, ["resumed", "1", "2"]);
    assert!(!small.backlog.is_held());
    assert_eq!(small.end().await, [""; 0]);
}

#[tokio::test]
async fn a_journal_that_fills_up_under_load_holds_what_comes_and_loses_nothing() {
    let mut small = Small::run(EMPTY);
    small.memory.state().disk_bytes = FULL;
    // The disk is looked at once enough was written.
    let mut sent = 0;
    let mut words = Vec::new();
    while !words.iter().any(|word| word == "held") {
        sent += 1;
        small.send(sent).await;
        words.extend(small.next().await);
    }
    let behind = sent + 5;
    for number in sent + 1..=behind {
        small.send(number).await;
    }
    small.command().await;
    words.extend(small.until("command").await);
    small.memory.state().disk_bytes = EMPTY;
    words.extend(small.until(&behind.to_string()).await);
    let messages: Vec<_> = words.iter().filter_map(|word| word.parse::<usize>().ok()).collect();
    assert_eq!(messages, (1..=behind).collect::<Vec<_>>());
    let place = |wanted: &str| words.iter().position(|word| word == wanted).unwrap();
    assert!(place("held") < place("command") && place("command") < place("resumed"));
    let is_message = |word: &String| word.parse::<usize>().is_ok();
    assert!(!small.end().await.iter().any(is_message), "nothing comes twice");
}

#[tokio::test]
async fn stopping_gives_messages_that_are_held_back_to_the_broker() {
    let mut small = Small::run(FULL);
    small.until("held").await;
    small.send(1).await;
    small.stopping.cancel();
    small.command().await;
    assert_eq!(small.end().await, ["command"]);
}
