//! The engine twice: one that goes on through restarts as the service would, and a twin whose time
//! is looked at otherwise and who is cut off and restored wherever it hits.
//!
//! Whatever both say must be the same, byte for byte (V3).

use std::collections::{BTreeMap, VecDeque};

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Event, Input};
use pulseward::engine::output::{Output, Reply};
use pulseward::engine::snapshot::{BlobKey, Captured, Restoration};
use pulseward::engine::{self, State};

use crate::checks::Violation;
use crate::random::Random;
use crate::ward::{MINUTE, Micros};

/// Inputs between two checkpoints at most.
const CHECKPOINT_EVERY: i64 = 3_000;
/// Between two cuts of the twin's run, on average.
const CUT_EVERY: Micros = 20 * MINUTE;

/// One engine with what its last complete checkpoint holds.
struct Engine {
    state: State,
    /// The blobs of all checkpoints, the newest of each.
    blobs: BTreeMap<BlobKey, Vec<u8>>,
    /// What the checkpoint under way has gathered.
    gathering: Option<Gathering>,
    /// The inputs since the last complete checkpoint began.
    since: Vec<Input>,
    /// Inputs until the next checkpoint begins.
    until_next: i64,
    random: Random,
}

struct Gathering {
    captured: Vec<Captured>,
    /// How many of the inputs it will cover.
    covers: usize,
}

impl Engine {
    fn new(random: Random) -> Self {
        Self {
            state: State::default(),
            blobs: BTreeMap::new(),
            gathering: None,
            since: Vec::new(),
            until_next: 10,
            random,
        }
    }

    fn apply(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Option<Reply> {
        let reply = engine::apply(&mut self.state, input, outputs);
        self.since.push(input.clone());
        self.go_on_with_checkpoint();
        reply
    }

    fn go_on_with_checkpoint(&mut self) {
        if let Some(gathering) = &mut self.gathering {
            let rows = usize::try_from(self.random.range(1, 20)).expect("not negative");
            let captured = self.state.capture(rows);
            let is_complete = captured.is_empty();
            gathering.captured.extend(captured);
            if is_complete {
                self.complete();
            }
            return;
        }
        self.until_next -= 1;
        if self.until_next < 0 {
            self.until_next = self.random.range(1, CHECKPOINT_EVERY);
            let captured = vec![self.state.begin_snapshot()];
            self.gathering = Some(Gathering { captured, covers: self.since.len() });
        }
    }

    fn complete(&mut self) {
        let Some(Gathering { captured, covers }) = self.gathering.take() else { return };
        self.blobs.extend(captured.iter().map(Captured::encode));
        self.since.drain(..covers);
    }

    /// Cuts the run here and goes on from the last complete checkpoint and the inputs behind it.
    fn restore(&mut self) {
        self.gathering = None;
        let mut restoration = Restoration::default();
        for (key, bytes) in &self.blobs {
            restoration.add(*key, bytes).expect("a checkpoint can be read");
        }
        self.state = if self.blobs.is_empty() { State::default() } else { restoration.finish() };
        let mut outputs = Vec::new();
        for input in &self.since {
            outputs.clear();
            engine::apply(&mut self.state, input, &mut outputs);
        }
    }
}

/// Both engines.
pub(crate) struct Engines {
    first: Engine,
    twin: Engine,
    /// What the first has said and the twin has not yet: ticks make it say things earlier.
    ahead: VecDeque<Output>,
    /// The other way round.
    behind: VecDeque<Output>,
    last: Option<Timestamp>,
    /// When the twin's run is cut next.
    cut_at: Micros,
    random: Random,
}

impl Engines {
    /// Two engines that know nothing.
    pub(crate) fn new(mut random: Random) -> Self {
        let (first, twin) = (Engine::new(random.fork()), Engine::new(random.fork()));
        let (ahead, behind) = (VecDeque::new(), VecDeque::new());
        Self { first, twin, ahead, behind, last: None, cut_at: 0, random }
    }

    /// The state of the first.
    pub(crate) const fn state(&self) -> &State {
        &self.first.state
    }

    /// Applies an input to both; says what it led to.
    pub(crate) fn apply(
        &mut self,
        input: &Input,
        outputs: &mut Vec<Output>,
    ) -> Result<Option<Reply>, Violation> {
        let is_start = matches!(input.event, Event::Started { .. });
        if is_start {
            self.first.restore();
        }
        let reply = self.first.apply(input, outputs);
        self.ahead.extend(outputs.iter().cloned());
        if input.event != Event::Tick {
            self.trouble_twin(input, is_start);
            let answer = self.follow(input);
            if answer != reply {
                return Err(Violation::new("V3", format!("answered {reply:?}, and {answer:?}")));
            }
            self.compare()?;
        }
        self.last = Some(input.received_at);
        Ok(reply)
    }

    fn follow(&mut self, input: &Input) -> Option<Reply> {
        let mut outputs = Vec::new();
        let reply = self.twin.apply(input, &mut outputs);
        self.behind.extend(outputs);
        reply
    }

    /// Cuts the twin's run, or lets it look at the time, now and then. Not while the service is
    /// down: nobody looks then.
    fn trouble_twin(&mut self, input: &Input, is_start: bool) {
        let now = input.received_at.micros();
        if now >= self.cut_at {
            self.cut_at = now + self.random.wait(CUT_EVERY);
            self.twin.restore();
        }
        let Some(last) = self.last.filter(|_| !is_start && self.random.per_mille(50)) else {
            return;
        };
        let micros = self.random.range(last.micros(), input.received_at.micros() + 1);
        let received_at = Timestamp::from_micros(micros).expect("between two inputs");
        self.follow(&Input { received_at, event: Event::Tick });
    }

    fn compare(&mut self) -> Result<(), Violation> {
        while let (Some(one), Some(other)) = (self.ahead.front(), self.behind.front()) {
            if one != other {
                let detail = format!("one said {one:?}\nand the other {other:?}");
                return Err(Violation::new("V3", detail));
            }
            self.ahead.pop_front();
            self.behind.pop_front();
        }
        match (self.ahead.front(), self.behind.front()) {
            (None, None) => Ok(()),
            (one, other) => {
                let detail = format!("one said {one:?}\nand the other {other:?}");
                Err(Violation::new("V3", detail))
            }
        }
    }
}
