//! How far behind the journal each of its followers is, once a second, as metrics.
//!
//! Entries behind are told by positions alone. For the time behind it reads the oldest entry that a
//! follower has not done with, and remembers when that was received: from memory as a rule, from
//! disk where the follower is far behind, and no more of it than is needed to find the entry. It is
//! a task of its own, so that a slow disk holds up neither readiness nor a follower, and what it
//! can't read it leaves at what it told last.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, gauge};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock::{Clock, Timestamp};
use crate::engine::output::Output;
use crate::journal::{self, Entry, Follower, Journal, Progress};
use crate::partition::Backlog;
use crate::position::Position;
use crate::store;
use crate::telemetry::{self, names};

/// How often it looks: scrapes are some seconds apart.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Reads of one look on the way to the oldest unstored reading, each of about a MiB: where there is
/// none in so much, the next look goes on from there.
const READS_MAX: usize = 8;

/// The task.
pub(super) struct Lags {
    journal: Journal,
    clock: Arc<dyn Clock>,
    backlog: Arc<Backlog>,
    followed: Vec<Followed>,
    /// Looks for the oldest reading that is not in the database.
    readings: (watch::Receiver<store::State>, Lookout),
}

/// Who follows the journal, and where their oldest entry is.
struct Followed {
    name: &'static str,
    done: Done,
    lookout: Lookout,
}

/// How far somebody has come.
pub(super) enum Done {
    /// A follower says so itself.
    Followed(Progress),
    /// The store is as far as the database says, once it has said so.
    Stored(watch::Receiver<store::State>),
}

impl Done {
    fn position(&self) -> Option<Position> {
        match self {
            Self::Followed(progress) => Some(progress.position()),
            Self::Stored(store) => store.borrow().cursor,
        }
    }
}

impl Lags {
    pub(super) fn new(
        journal: Journal,
        clock: Arc<dyn Clock>,
        backlog: Arc<Backlog>,
        store: watch::Receiver<store::State>,
    ) -> Self {
        let readings = (store.clone(), Lookout::new(has_reading));
        let lags = Self { journal, clock, backlog, followed: Vec::new(), readings };
        lags.of("store", Done::Stored(store))
    }

    /// The same, which also tells of this follower.
    pub(super) fn of(mut self, name: &'static str, done: Done) -> Self {
        self.followed.push(Followed { name, done, lookout: Lookout::new(|_| true) });
        self
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look_at(&mut looks) => {}
            }
        }
    }

    /// Cancel safe: what was read of the journal is read again.
    async fn look_at(&mut self, looks: &mut Interval) {
        looks.tick().await;
        self.look().await;
    }

    async fn look(&mut self) {
        let (journal, now) = (&self.journal, self.clock.now());
        gauge!(names::UNCOMMITTED_SECONDS).set(self.backlog.age(now).as_secs_f64());
        for Followed { name, done, lookout } in &mut self.followed {
            let Some(done) = done.position() else { continue };
            let entries = journal.last().0.saturating_sub(done.0);
            gauge!(names::FOLLOWER_LAG_ENTRIES, "follower" => *name).set(entries as f64);
            let seconds = gauge!(names::FOLLOWER_LAG_SECONDS, "follower" => *name);
            tell(&seconds, lookout.oldest(journal, done).await, now);
        }
        let (store, lookout) = &mut self.readings;
        let Some(stored) = store.borrow().cursor else { return };
        let age = gauge!(names::OLDEST_UNSTORED_READING_SECONDS);
        tell(&age, lookout.oldest(journal, stored).await, now);
    }
}

/// Tells how old the oldest is; what can't be found out stays as it was told last.
fn tell(age: &Gauge, oldest: Result<Option<Timestamp>, journal::Error>, now: Timestamp) {
    match oldest {
        Ok(oldest) => age.set(oldest.map_or(0.0, |at| now.since(at).as_secs_f64())),
        Err(error) => {
            debug!(error = %telemetry::with_causes(&error), "a follower's lag is not known");
        }
    }
}

fn has_reading(entry: &Entry) -> bool {
    entry.outputs.iter().any(|output| matches!(output, Output::Reading(_)))
}

/// Looks for the oldest entry of a kind behind somebody's position.
struct Lookout {
    is_wanted: fn(&Entry) -> bool,
    /// The position behind which it began to look.
    from: Position,
    /// Between `from` and here there is none, unless one was found.
    follower: Option<Follower>,
    /// The oldest behind `from`, and when it was received.
    found: Option<(Position, Timestamp)>,
}

impl Lookout {
    fn new(is_wanted: fn(&Entry) -> bool) -> Self {
        Self { is_wanted, from: Position::START, follower: None, found: None }
    }

    /// When the oldest one behind `done` was received; `None` if there is none, or none was come
    /// upon yet. Cancel safe.
    async fn oldest(
        &mut self,
        journal: &Journal,
        done: Position,
    ) -> Result<Option<Timestamp>, journal::Error> {
        if !self.still_holds(done) {
            self.follower = Some(journal.follow(done)?);
            (self.from, self.found) = (done, None);
        }
        let Some(follower) = &mut self.follower else { return Ok(None) };
        for _ in 0..READS_MAX {
            if self.found.is_some() || follower.position() >= journal.last() {
                break;
            }
            let entries = follower.next().await?.unwrap_or_default();
            let found = entries.iter().find(|entry| (self.is_wanted)(entry));
            self.found = found.map(|entry| (entry.position, entry.input.received_at));
        }
        Ok(self.found.map(|(_, received_at)| received_at))
    }

    /// Whether what is known says something about what is behind `done`. A position goes back with
    /// a database that was put back.
    fn still_holds(&self, done: Position) -> bool {
        let reached = self.follower.as_ref().map(Follower::position);
        let known =
            self.found.map_or(reached, |(position, _)| position.0.checked_sub(1).map(Position));
        self.from <= done && known.is_some_and(|known| known >= done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::input::{Event, Input};
    use crate::journal::Record;
    use crate::journal::memory::{Memory, settings, ticks};

    /// An entry that was received in the second of its position.
    fn received(position: u64) -> Record {
        let at = i64::try_from(position).expect("small");
        let input = Input { received_at: Timestamp::from_seconds(at), event: Event::Tick };
        let entry = Entry { position: Position(position), input, outputs: Vec::new() };
        Record::new(Arc::new(entry))
    }

    fn is_tenth(entry: &Entry) -> bool {
        entry.position.0.is_multiple_of(10)
    }

    #[tokio::test]
    async fn the_oldest_entry_is_found_again_whichever_way_its_reader_moves() {
        for memory_bytes in [0, 1 << 20] {
            let (_memory, opened) = Memory::journal(&settings(memory_bytes));
            let (journal, mut writer) = (opened.journal, opened.writer);
            writer.commit((1..=35).map(received).collect()).expect("works");
            let (mut any, mut tenth) = (Lookout::new(|_| true), Lookout::new(is_tenth));
            for (done, oldest, oldest_tenth) in [
                (0, Some(1), Some(10)),
                (7, Some(8), Some(10)),
                (10, Some(11), Some(20)),
                (29, Some(30), Some(30)),
                (30, Some(31), None),
                (33, Some(34), None),
                (35, None, None),
                (3, Some(4), Some(10)),
            ] {
                let at = |second: Option<i64>| second.map(Timestamp::from_seconds);
                let found = any.oldest(&journal, Position(done)).await.expect("readable");
                assert_eq!(found, at(oldest), "behind {done}");
                let found = tenth.oldest(&journal, Position(done)).await.expect("readable");
                assert_eq!(found, at(oldest_tenth), "behind {done}");
            }
        }
    }

    #[tokio::test]
    async fn what_comes_later_is_found_without_reading_anything_twice() {
        let (memory, opened) = Memory::journal(&settings(0));
        let (journal, mut writer) = (opened.journal, opened.writer);
        writer.commit(ticks(1..=9)).expect("works");
        let mut tenth = Lookout::new(is_tenth);
        for _ in 0..3 {
            assert_eq!(tenth.oldest(&journal, Position(2)).await.expect("readable"), None);
        }
        assert_eq!(memory.state().reads, 1);
        writer.commit(vec![received(10)]).expect("works");
        let found = tenth.oldest(&journal, Position(4)).await.expect("readable");
        assert_eq!(found, Some(Timestamp::from_seconds(10)));
        assert_eq!(memory.state().reads, 2);
    }
}
