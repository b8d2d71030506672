//! The line by itself: what it makes of its inbox, of time, and of what followers believe.

use std::sync::mpsc::sync_channel;
use std::thread;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::clock::SystemClock;
use crate::engine;
use crate::engine::alerts::{Alert, AlertEvent, Phase, Trigger};
use crate::engine::audit::{Digest, Head};
use crate::engine::input::{Principal, Publish, Role, Sites};
use crate::engine::output::Refusal;
use crate::engine::query::{Query, Question};
use crate::journal::memory::{Memory, settings};
use crate::partition::commit::Committer;
use crate::partition::guard::Apply;
use crate::partition::quarantine::Quarantine;
use crate::partition::told::tests::unknown_alert;
use crate::vitals::DeviceId;

/// An hour: no test lasts as long.
const NEVER: Duration = Duration::from_secs(3600);
/// After so long without a link the service tells of it.
const OUTAGE_TOLD_AFTER: Duration = Duration::from_secs(10);

struct Bench {
    _dir: TempDir,
    line: Line,
    inbox: mpsc::Sender<Work>,
    commands: mpsc::Sender<Work>,
    batches: std::sync::mpsc::Receiver<Batch>,
}

/// A line whose last input was received this long ago.
fn bench(ago: Duration) -> Bench {
    bench_with(ago, engine::apply)
}

/// The same with another engine.
fn bench_with(ago: Duration, apply: Apply) -> Bench {
    let dir = TempDir::new().unwrap();
    let guard = Guard::with(apply, Quarantine::open(dir.path()).unwrap());
    let mut recovered = Recovered::nothing(guard);
    let received_at = SystemClock.now().minus(ago);
    let before = Input { received_at, event: Event::Tick };
    engine::apply(&mut recovered.state, &before, &mut Vec::new());
    let (inbox, delivered) = mpsc::channel(16);
    let (commands, commanded) = mpsc::channel(16);
    let (sender, batches) = sync_channel(16);
    let surroundings = Surroundings {
        backlog: Arc::default(),
        stopping: CancellationToken::new(),
        clock: Arc::new(SystemClock),
        checkpoint_bytes: u64::MAX,
    };
    let mut line = Line::new(recovered, Inbox::new(delivered, commanded), sender, surroundings);
    line.rhythm = Rhythm { drained_after: NEVER, alive_every: NEVER };
    Bench { _dir: dir, line, inbox, commands, batches }
}

fn arrives(event: Event) -> Work {
    let (received_at, task) = (SystemClock.now(), Task::Apply(event));
    Work { received_at, task, completion: Completion::Nobody, admission: None }
}

const UP: Event = Event::Link(Link::Up { session_present: true });

fn events(batch: &Batch) -> Vec<&Event> {
    batch.records.iter().map(|record| &record.entry.input.event).collect()
}

fn alerts(batch: &Batch) -> Vec<&AlertEvent> {
    let outputs = batch.records.iter().flat_map(|record| &record.entry.outputs);
    outputs
        .filter_map(|output| match output {
            Output::Alert(event) => Some(&**event),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_due_happens_by_itself_while_nothing_arrives() {
    let Bench { line, inbox, commands, batches, .. } =
        bench(OUTAGE_TOLD_AFTER - Duration::from_millis(100));
    let running = thread::spawn(move || line.run(Settings::default()));
    let first = batches.recv().unwrap();
    assert!(alerts(&first).is_empty(), "not down for long enough yet");
    let second = batches.recv().unwrap();
    assert_eq!(events(&second), [&Event::Tick]);
    let [event] = alerts(&second)[..] else { panic!("one alert: the service's own") };
    assert_eq!((event.phase, &event.alert.site), (Phase::Start, &None));
    drop((inbox, commands));
    running.join().unwrap().unwrap();
}

#[test]
fn what_is_due_happens_although_somebody_asks_without_a_pause() {
    let Bench { _dir, mut line, inbox, commands, batches } =
        bench(OUTAGE_TOLD_AFTER - Duration::from_millis(100));
    line.start(Settings::default(), &mut Batch::default()).unwrap();
    let begun = Instant::now();
    let told = std::iter::repeat_with(|| {
        let mut batch = Batch::default();
        commands.try_send(question().0).unwrap();
        assert!(line.wait(&mut batch).unwrap());
        line.round(&mut batch).unwrap();
        batch
    })
    .take_while(|_| begun.elapsed() < Duration::from_secs(5))
    .find(|batch| !alerts(batch).is_empty());
    assert_eq!(events(&told.expect("time goes on")), [&Event::Tick]);
    drop((inbox, batches));
}

#[test]
fn time_does_not_pass_by_what_was_delivered_before() {
    let Bench { mut line, inbox, .. } = bench(Duration::ZERO);
    line.rhythm.alive_every = Duration::ZERO;
    inbox.try_send(arrives(UP)).unwrap();
    let mut batch = Batch::default();
    line.mind_time(&mut batch).unwrap();
    assert!(batch.records.is_empty(), "{:?}", events(&batch));
    line.fill(&mut batch).unwrap();
    line.mind_time(&mut batch).unwrap();
    assert_eq!(events(&batch), [&UP, &Event::Tick]);
}

#[test]
fn nothing_is_journaled_before_something_is_due() {
    let Bench { mut line, .. } = bench(Duration::ZERO);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    let mut quiet = Batch::default();
    line.pass_time(&mut quiet).unwrap();
    assert!(quiet.records.is_empty(), "{:?}", events(&quiet));
    let patience = line.patience();
    assert!(patience <= OUTAGE_TOLD_AFTER && patience > TICK_SPACING, "{patience:?}");
}

#[test]
fn a_sign_of_life_is_journaled_although_nothing_is_due() {
    let Bench { mut line, .. } = bench(Duration::ZERO);
    line.rhythm.alive_every = Duration::ZERO;
    let mut batch = Batch::default();
    line.pass_time(&mut batch).unwrap();
    assert_eq!(events(&batch), [&Event::Tick]);
}

#[test]
fn a_backlog_is_drained_once_the_inbox_has_been_empty_for_a_moment() {
    let Bench { mut line, inbox, .. } = bench(Duration::ZERO);
    line.rhythm.drained_after = Duration::from_millis(50);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    line.fed_at = Instant::now() - Duration::from_millis(60);
    let mut down = Batch::default();
    line.pass_time(&mut down).unwrap();
    assert!(down.records.is_empty(), "while the link is down nothing can be drained");
    inbox.try_send(arrives(UP)).unwrap();
    let mut up = Batch::default();
    assert!(line.wait(&mut up).unwrap());
    assert_eq!(events(&up), [&UP]);
    let linked_at = line.fed_at;
    let mut drained = Batch::default();
    assert!(line.wait(&mut drained).unwrap());
    assert_eq!(events(&drained), [&Event::Link(Link::CaughtUp)]);
    assert!(linked_at.elapsed() >= line.rhythm.drained_after);
    assert!(!line.state.is_catching_up(), "once is enough");
}

/// A query, and where it is answered.
fn question() -> (Work, oneshot::Receiver<Reply>) {
    let principal = Principal { subject: "anna".to_owned(), role: Role::Viewer, sites: Sites::All };
    let device = DeviceId::new("watch").unwrap();
    let query = Query { principal, question: Question::DeviceReport(device) };
    let (answer, answered) = oneshot::channel();
    let (received_at, task) = (SystemClock.now(), Task::Answer(Box::new(query)));
    let completion = Completion::Answer(answer);
    (Work { received_at, task, completion, admission: None }, answered)
}

#[test]
fn a_query_is_answered_from_the_state_and_leaves_with_the_batch_before_it() {
    let Bench { _dir, mut line, inbox, commands, batches } = bench(Duration::ZERO);
    let (work, mut answered) = question();
    inbox.try_send(arrives(Event::Tick)).unwrap();
    commands.try_send(work).unwrap();
    let mut batch = Batch::default();
    line.fill(&mut batch).unwrap();
    assert_eq!((events(&batch), batch.len()), (vec![&Event::Tick], 1));
    assert!(answered.try_recv().is_err(), "nothing is durable yet");
    drop((line, inbox, commands, batches));
    let (memory, opened) = Memory::journal(&settings(1 << 20));
    let (_, stored) = watch::channel(Position::START);
    let committer = Committer::new(opened.writer, stored, Arc::default());
    let (sender, to_commit) = sync_channel(1);
    sender.send(batch).unwrap();
    drop((sender, memory));
    committer.run(to_commit).unwrap();
    let reply = answered.try_recv().unwrap();
    assert!(matches!(reply, Err(Refusal::NotFound { kind: "device", .. })), "{reply:?}");
}

#[test]
fn what_piled_up_while_messages_were_held_is_given_its_moment_to_come() {
    let Bench { mut line, inbox, .. } = bench(Duration::ZERO);
    line.rhythm.drained_after = Duration::from_millis(50);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    inbox.try_send(arrives(UP)).unwrap();
    line.fill(&mut batch).unwrap();
    for (is_held, intake) in [(true, Intake::Held), (false, Intake::Resumed)] {
        line.surroundings.backlog.hold(is_held);
        line.fed_at = Instant::now() - Duration::from_secs(60);
        let mut changed = Batch::default();
        line.mind_room(&mut changed).unwrap();
        line.pass_time(&mut changed).unwrap();
        assert_eq!(events(&changed), [&Event::Intake(intake)]);
    }
    let mut drained = Batch::default();
    assert!(line.wait(&mut drained).unwrap());
    assert_eq!(events(&drained), [&Event::Link(Link::CaughtUp)]);
}

#[test]
fn a_message_that_was_waited_for_is_not_taken_where_the_room_has_gone_meanwhile() {
    let Bench { _dir, mut line, inbox, .. } = bench(Duration::ZERO);
    line.start(Settings::default(), &mut Batch::default()).unwrap();
    for number in [2, 3] {
        inbox.try_send(arrives(message(number))).unwrap();
    }
    line.surroundings.backlog.hold(true);
    let mut held = Batch::default();
    line.take_awaited(arrives(message(1)), &mut held).unwrap();
    line.take_awaited(arrives(Event::Tick), &mut held).unwrap();
    assert_eq!(events(&held), [&Event::Intake(Intake::Held), &Event::Tick]);

    line.surroundings.backlog.hold(false);
    let mut taken = Batch::default();
    line.fill(&mut taken).unwrap();
    let resumed = Event::Intake(Intake::Resumed);
    let messages = [1, 2, 3].map(message);
    let in_order: Vec<_> = std::iter::once(&resumed).chain(&messages).collect();
    assert_eq!(events(&taken), in_order);
}

/// A message, told apart by its topic.
fn message(number: u32) -> Event {
    Event::Publish(Publish {
        topic: number.to_string(),
        payload: bytes::Bytes::new(),
        encoding: None,
        correlation: None,
        retained: false,
    })
}

#[test]
fn a_query_waits_for_no_input() {
    let Bench { _dir, mut line, inbox, commands, batches } = bench(Duration::ZERO);
    let mut first = Batch::default();
    line.start(Settings::default(), &mut first).unwrap();
    commands.try_send(question().0).unwrap();
    let mut batch = Batch::default();
    assert!(line.wait(&mut batch).unwrap());
    assert_eq!((events(&batch), batch.len()), (vec![], 1));
    drop((inbox, commands, batches));
}

fn told(alert: Alert) -> Output {
    Output::Alert(Box::new(AlertEvent {
        phase: Phase::Start,
        determined_at: Timestamp::EPOCH,
        trigger: Trigger::Timer,
        priority_before: None,
        actor: None,
        note: None,
        alert,
    }))
}

#[test]
fn followers_are_told_of_an_alert_that_this_engine_does_not_have() {
    let Bench { mut line, .. } = bench(Duration::ZERO);
    line.told.follow(&[told(unknown_alert())]);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    let reconcile = Event::Reconcile(vec![unknown_alert()]);
    assert_eq!(events(&batch).last(), Some(&&reconcile));
    let closed: Vec<_> = alerts(&batch).iter().map(|event| event.alert.id).collect();
    assert_eq!(closed, [unknown_alert().id]);
    assert!(alerts(&batch)[0].alert.is_over());
}

#[test]
fn audit_events_go_on_from_where_followers_know_them() {
    let Bench { mut line, .. } = bench(Duration::ZERO);
    let head = Head { number: 7, digest: Digest([7; 32]) };
    let mut elsewhere = State::default();
    let set = Input { received_at: SystemClock.now(), event: Event::AuditHead(head) };
    engine::apply(&mut elsewhere, &set, &mut Vec::new());
    line.told = Told::of(&elsewhere);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    assert_eq!(events(&batch).last(), Some(&&Event::AuditHead(head)));
    assert_eq!(line.state.audit_head(), head);
}

#[test]
fn what_the_start_itself_tells_needs_no_second_telling() {
    // Away for so long that the start raises the alert of the service itself.
    let Bench { mut line, .. } = bench(NEVER);
    let mut batch = Batch::default();
    line.start(Settings::default(), &mut batch).unwrap();
    assert_eq!(alerts(&batch).len(), 1);
    let kinds = events(&batch);
    assert!(!kinds.iter().any(|event| matches!(event, Event::Reconcile(_))), "{kinds:?}");
}

#[test]
fn a_checkpoint_begins_once_as_much_was_journaled_as_was_set() {
    for (checkpoint_bytes, begins) in [(1, true), (1 << 20, false)] {
        let Bench { mut line, .. } = bench(Duration::ZERO);
        line.surroundings.checkpoint_bytes = checkpoint_bytes;
        let mut batch = Batch::default();
        line.start(Settings::default(), &mut batch).unwrap();
        line.round(&mut batch).unwrap();
        let begun = batch.progress.iter().any(|step| matches!(step, Progress::Begin { .. }));
        assert_eq!(begun, begins, "after {checkpoint_bytes} bytes");
    }
}
