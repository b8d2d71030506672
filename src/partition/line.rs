//! The engine thread: inputs in one order, applied one by one, handed on in batches.
//!
//! While nothing arrives it makes inputs itself: a tick when something is due because time passes,
//! the end of a backlog once the inbox has been empty for a moment, and a sign of life now and
//! then. A tick that leads to nothing is not journaled: what it would do, the next input does at
//! the same deadlines.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tracing::warn;

use super::commit::{Batch, Progress};
use super::inbox::{Inbox, Received};
use super::told::Told;
use super::{Backlog, Completion, Recovered, Work};
use crate::clock::{Clock, Timestamp};
use crate::engine::input::{Event, Input, Link, Settings};
use crate::engine::output::{Output, Reply};
use crate::engine::{self, State};
use crate::journal::Record;
use crate::journal::entry::{self, Entry};
use crate::position::Position;

/// A batch is handed on at this many inputs: more gain little from sharing an fsync.
const BATCH_INPUTS_MAX: usize = 1024;
/// Or at this many bytes: bounds what one commit holds in memory.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// A checkpoint is begun after this many journaled bytes: bounds the replay at start to about a
/// second.
const CHECKPOINT_EVERY_BYTES: usize = 64 << 20;
/// Rows gathered for a checkpoint between two batches: about what one commit takes along of it.
const CAPTURE_ROWS: usize = 512;

/// Deadlines closer together than this share a tick: a bound on what a quiet house costs.
const TICK_SPACING: Duration = Duration::from_millis(10);

/// When the line makes an input itself.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    /// A backlog is drained once the inbox has been empty for this long with the link up.
    drained_after: Duration,
    /// Something is journaled at least this often, so that the next start knows when this service
    /// was alive last: what it tells as an outage of its own begins there. Well below the time
    /// after which an outage is told.
    alive_every: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { drained_after: Duration::from_secs(1), alive_every: Duration::from_secs(5) }
    }
}

/// The state and what it is fed from and into.
pub(super) struct Line {
    state: State,
    /// The last entry applied.
    position: Position,
    /// What followers believed of alerts at the start.
    told: Told,
    inbox: Inbox,
    batches: SyncSender<Batch>,
    backlog: Arc<Backlog>,
    checkpoint: Checkpointing,
    clock: Arc<dyn Clock>,
    rhythm: Rhythm,
    /// When something last came from the inbox.
    fed_at: Instant,
    /// When something was last journaled.
    journaled_at: Instant,
}

/// What an input led to.
struct Applied {
    input: Input,
    outputs: Vec<Output>,
    reply: Option<Reply>,
    took: Duration,
}

enum Checkpointing {
    /// None under way; this much was journaled since the last.
    Waiting { bytes: usize },
    /// Rows are being gathered.
    Gathering,
}

impl Line {
    pub(super) fn new(
        recovered: Recovered,
        inbox: Receiver<Work>,
        batches: SyncSender<Batch>,
        backlog: Arc<Backlog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let Recovered { state, position, told, replayed_bytes } = recovered;
        let checkpoint = Checkpointing::Waiting { bytes: replayed_bytes };
        let (inbox, rhythm, now) = (Inbox::new(inbox), Rhythm::default(), Instant::now());
        Self {
            state,
            position,
            told,
            inbox,
            batches,
            backlog,
            checkpoint,
            clock,
            rhythm,
            fed_at: now,
            journaled_at: now,
        }
    }

    /// Runs until the inbox is closed and empty, or the committer is gone.
    pub(super) fn run(mut self, settings: Settings) {
        let mut batch = Batch::default();
        self.start(settings, &mut batch);
        loop {
            self.fill(&mut batch);
            self.checkpoint(&mut batch);
            // The committer is gone only if a commit failed; its error tells.
            if self.batches.send(std::mem::take(&mut batch)).is_err() {
                return;
            }
            if !self.wait(&mut batch) {
                break;
            }
        }
        self.finish();
    }

    /// The first inputs of a run.
    fn start(&mut self, settings: Settings, batch: &mut Batch) {
        let last_alive = self.state.now();
        self.make(Event::Started { last_alive }, batch);
        self.make(Event::Settings(settings), batch);
        let mut told = std::mem::take(&mut self.told);
        batch.records.iter().for_each(|record| told.follow(&record.entry.outputs));
        if !told.is_true_of(&self.state) {
            warn!("open alerts differ from what followers were told: they are told anew");
            self.make(Event::Reconcile(told.open_alerts().cloned().collect()), batch);
        }
    }

    /// Waits for the next input; false once none will come. While a checkpoint is being gathered
    /// there is always work, so it doesn't wait.
    fn wait(&mut self, batch: &mut Batch) -> bool {
        if matches!(self.checkpoint, Checkpointing::Gathering) && self.inbox.is_empty() {
            return true;
        }
        loop {
            match self.inbox.wait(self.patience()) {
                Received::Work(work) => {
                    self.take(work, batch);
                    return true;
                }
                Received::Closed => return false,
                Received::Nothing => self.pass_time(batch),
            }
            if !batch.records.is_empty() {
                return true;
            }
        }
    }

    /// For how long nothing happens if nothing arrives. Wall time may jump; a sign of life is due
    /// so often that it is looked at again soon.
    fn patience(&self) -> Duration {
        let alive = self.rhythm.alive_every.saturating_sub(self.journaled_at.elapsed());
        let now = self.clock.now();
        let due = self.state.next_deadline().map(|at| at.since(now).max(TICK_SPACING));
        let drained = self.rhythm.drained_after.saturating_sub(self.fed_at.elapsed());
        let drained = self.state.is_catching_up().then_some(drained);
        [due, drained].into_iter().flatten().fold(alive, Duration::min)
    }

    /// Nothing has arrived for a while: what is due happens.
    fn pass_time(&mut self, batch: &mut Batch) {
        let is_drained = self.fed_at.elapsed() >= self.rhythm.drained_after;
        if self.state.is_catching_up() && is_drained {
            self.make(Event::Link(Link::CaughtUp), batch);
            return;
        }
        let now = self.clock.now();
        let is_due = self.state.next_deadline().is_some_and(|at| at <= now);
        let is_to_live = self.journaled_at.elapsed() >= self.rhythm.alive_every;
        if !is_due && !is_to_live {
            return;
        }
        let applied = self.apply(now, Event::Tick);
        if is_to_live || !applied.outputs.is_empty() {
            self.journal(applied, Completion::Nobody, batch);
        }
    }

    /// Takes along whatever else has arrived.
    fn fill(&mut self, batch: &mut Batch) {
        while batch.records.len() < BATCH_INPUTS_MAX && batch.bytes < BATCH_BYTES_MAX {
            let Some(work) = self.inbox.take() else { return };
            self.take(work, batch);
        }
    }

    /// Applies and journals an input from the inbox.
    fn take(&mut self, work: Work, batch: &mut Batch) {
        let Work { received_at, event, completion } = work;
        self.fed_at = Instant::now();
        let applied = self.apply(received_at, event);
        self.journal(applied, completion, batch);
    }

    /// Applies and journals an input of the line's own, now.
    fn make(&mut self, event: Event, batch: &mut Batch) {
        let applied = self.apply(self.clock.now(), event);
        self.journal(applied, Completion::Nobody, batch);
    }

    fn apply(&mut self, received_at: Timestamp, event: Event) -> Applied {
        // Wall time may step back; the order of receipt may not.
        let received_at = self.state.now().map_or(received_at, |now| now.max(received_at));
        let input = Input { received_at, event };
        let mut outputs = Vec::new();
        let begun = Instant::now();
        let reply = engine::apply(&mut self.state, &input, &mut outputs);
        Applied { input, outputs, reply, took: begun.elapsed() }
    }

    fn journal(&mut self, applied: Applied, completion: Completion, batch: &mut Batch) {
        let Applied { input, outputs, reply, took } = applied;
        if batch.records.is_empty() {
            self.backlog.enter(input.received_at);
        }
        batch.applying += took;
        self.journaled_at = Instant::now();
        self.position = self.position.next();
        let bytes = entry::encode(&input, &outputs, Vec::new());
        let entry = Arc::new(Entry { position: self.position, input, outputs });
        batch.add(Record { entry, bytes }, completion, reply);
    }

    /// Moves the checkpoint on by one step.
    fn checkpoint(&mut self, batch: &mut Batch) {
        match &mut self.checkpoint {
            Checkpointing::Waiting { bytes } => {
                *bytes += batch.bytes;
                if *bytes >= CHECKPOINT_EVERY_BYTES {
                    self.begin_checkpoint(batch);
                }
            }
            Checkpointing::Gathering => {
                let rows = self.state.capture(CAPTURE_ROWS);
                if rows.is_empty() {
                    self.checkpoint = Checkpointing::Waiting { bytes: 0 };
                    batch.progress.push(Progress::Complete);
                } else {
                    batch.progress.push(Progress::Rows(rows));
                }
            }
        }
    }

    fn begin_checkpoint(&mut self, batch: &mut Batch) {
        let general = self.state.begin_snapshot();
        batch.progress.push(Progress::Begin { position: self.position, general });
        self.checkpoint = Checkpointing::Gathering;
    }

    /// A last checkpoint, so that the next start has nothing to replay.
    fn finish(mut self) {
        let mut batch = Batch::default();
        while matches!(self.checkpoint, Checkpointing::Gathering) {
            self.checkpoint(&mut batch);
        }
        self.begin_checkpoint(&mut batch);
        while matches!(self.checkpoint, Checkpointing::Gathering) {
            self.checkpoint(&mut batch);
        }
        drop(self.batches.send(batch));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::engine::alerts::{Alert, AlertEvent, Phase, Trigger};
    use crate::partition::told::tests::unknown_alert;

    /// An hour: no test lasts as long.
    const NEVER: Duration = Duration::from_secs(3600);
    /// After so long without a link the service tells of it.
    const OUTAGE_TOLD_AFTER: Duration = Duration::from_secs(10);

    struct Bench {
        line: Line,
        inbox: mpsc::Sender<Work>,
        batches: std::sync::mpsc::Receiver<Batch>,
    }

    /// A line whose last input was received this long ago.
    fn bench(ago: Duration) -> Bench {
        let mut recovered = Recovered::default();
        let received_at = SystemClock.now().minus(ago);
        let before = Input { received_at, event: Event::Tick };
        engine::apply(&mut recovered.state, &before, &mut Vec::new());
        let (inbox, receiver) = mpsc::channel(16);
        let (sender, batches) = sync_channel(16);
        let mut line =
            Line::new(recovered, receiver, sender, Arc::default(), Arc::new(SystemClock));
        line.rhythm = Rhythm { drained_after: NEVER, alive_every: NEVER };
        Bench { line, inbox, batches }
    }

    fn arrives(event: Event) -> Work {
        let received_at = SystemClock.now();
        Work { received_at, event, completion: Completion::Nobody }
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
        let Bench { line, inbox, batches } = bench(OUTAGE_TOLD_AFTER - Duration::from_millis(100));
        let running = thread::spawn(move || line.run(Settings::default()));
        let first = batches.recv().unwrap();
        assert!(alerts(&first).is_empty(), "not down for long enough yet");
        let second = batches.recv().unwrap();
        assert_eq!(events(&second), [&Event::Tick]);
        let [event] = alerts(&second)[..] else { panic!("one alert: the service's own") };
        assert_eq!((event.phase, &event.alert.site), (Phase::Start, &None));
        drop(inbox);
        running.join().unwrap();
    }

    #[test]
    fn nothing_is_journaled_before_something_is_due() {
        let Bench { mut line, .. } = bench(Duration::ZERO);
        let mut batch = Batch::default();
        line.start(Settings::default(), &mut batch);
        let mut quiet = Batch::default();
        line.pass_time(&mut quiet);
        assert!(quiet.records.is_empty(), "{:?}", events(&quiet));
        let patience = line.patience();
        assert!(patience <= OUTAGE_TOLD_AFTER && patience > TICK_SPACING, "{patience:?}");
    }

    #[test]
    fn a_sign_of_life_is_journaled_although_nothing_is_due() {
        let Bench { mut line, .. } = bench(Duration::ZERO);
        line.rhythm.alive_every = Duration::ZERO;
        let mut batch = Batch::default();
        line.pass_time(&mut batch);
        assert_eq!(events(&batch), [&Event::Tick]);
    }

    #[test]
    fn a_backlog_is_drained_once_the_inbox_has_been_empty_for_a_moment() {
        let Bench { mut line, inbox, .. } = bench(Duration::ZERO);
        line.rhythm.drained_after = Duration::from_millis(50);
        let mut batch = Batch::default();
        line.start(Settings::default(), &mut batch);
        line.fed_at = Instant::now() - Duration::from_millis(60);
        let mut down = Batch::default();
        line.pass_time(&mut down);
        assert!(down.records.is_empty(), "while the link is down nothing can be drained");
        inbox.try_send(arrives(UP)).unwrap();
        let mut up = Batch::default();
        assert!(line.wait(&mut up));
        assert_eq!(events(&up), [&UP]);
        let linked_at = line.fed_at;
        let mut drained = Batch::default();
        assert!(line.wait(&mut drained));
        assert_eq!(events(&drained), [&Event::Link(Link::CaughtUp)]);
        assert!(linked_at.elapsed() >= line.rhythm.drained_after);
        assert!(!line.state.is_catching_up(), "once is enough");
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
        line.start(Settings::default(), &mut batch);
        let reconcile = Event::Reconcile(vec![unknown_alert()]);
        assert_eq!(events(&batch).last(), Some(&&reconcile));
        let closed: Vec<_> = alerts(&batch).iter().map(|event| event.alert.id).collect();
        assert_eq!(closed, [unknown_alert().id]);
        assert!(alerts(&batch)[0].alert.is_over());
    }

    #[test]
    fn what_the_start_itself_tells_needs_no_second_telling() {
        // Away for so long that the start raises the alert of the service itself.
        let Bench { mut line, .. } = bench(NEVER);
        let mut batch = Batch::default();
        line.start(Settings::default(), &mut batch);
        assert_eq!(alerts(&batch).len(), 1);
        let kinds = events(&batch);
        assert!(!kinds.iter().any(|event| matches!(event, Event::Reconcile(_))), "{kinds:?}");
    }
}
