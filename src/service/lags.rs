//! How far behind the journal each of its followers is, once a second, as metrics.
//!
//! Entries behind are told by positions alone. For the time behind it reads the oldest entry that a
//! follower has not done with, and remembers when that was received: from memory as a rule, from
//! disk where the follower is far behind, and no more of it than is needed to find the entry. It is
//! a stage of its own, so that a slow disk holds up neither readiness nor a follower.
//!
//! What is not known it tells as NaN, and never as 0 or as what it was: how far the store is, before
//! the database has said so, and how old an entry is that can't be read. Of entries that the journal
//! no longer has, the oldest that it has stands in: a follower is at least that far behind.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock::{Clock, Timestamp};
use crate::engine::output::Output;
use crate::journal::{self, Entry, Follower, Journal, Progress};
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
        store: watch::Receiver<store::State>,
    ) -> Self {
        let readings = (store.clone(), Lookout::new(has_reading));
        let lags = Self { journal, clock, followed: Vec::new(), readings };
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
        for Followed { name, done, lookout } in &mut self.followed {
            let entries = gauge!(names::FOLLOWER_LAG_ENTRIES, "follower" => *name);
            let seconds = gauge!(names::FOLLOWER_LAG_SECONDS, "follower" => *name);
            let done = done.position();
            entries
                .set(done.map_or(f64::NAN, |done| journal.last().0.saturating_sub(done.0) as f64));
            seconds.set(age_of_oldest(lookout, journal, done, now).await);
        }
        let (store, lookout) = &mut self.readings;
        let stored = store.borrow().cursor;
        let age = age_of_oldest(lookout, journal, stored, now).await;
        gauge!(names::OLDEST_UNSTORED_READING_SECONDS).set(age);
    }
}

/// How old the oldest behind `done` is, in seconds; 0 if there is none, NaN if that is not known.
async fn age_of_oldest(
    lookout: &mut Lookout,
    journal: &Journal,
    done: Option<Position>,
    now: Timestamp,
) -> f64 {
    let Some(done) = done else { return f64::NAN };
    match lookout.oldest(journal, done).await {
        Ok(oldest) => oldest.map_or(0.0, |at| now.since(at).as_secs_f64()),
        Err(error) => {
            debug!(error = %telemetry::with_causes(&error), "a follower's lag is not known");
            f64::NAN
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

    /// When the oldest one behind `done` that the journal still has was received; `None` if there is
    /// none, or none was come upon yet. Cancel safe.
    async fn oldest(
        &mut self,
        journal: &Journal,
        done: Position,
    ) -> Result<Option<Timestamp>, journal::Error> {
        if !self.still_holds(done) {
            let oldest_kept = Position(journal.first().0.saturating_sub(1));
            self.follower = Some(journal.follow(done.max(oldest_kept))?);
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
    use crate::telemetry::Metrics;

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
    async fn of_entries_that_are_gone_the_oldest_that_is_there_stands_in() {
        let (memory, opened) = Memory::journal(&settings(0));
        let (journal, mut writer) = (opened.journal, opened.writer);
        writer.commit((1..=9).map(received).collect()).expect("works");
        let mut any = Lookout::new(|_| true);
        let at = |second| Some(Timestamp::from_seconds(second));
        assert_eq!(any.oldest(&journal, Position(2)).await.expect("readable"), at(3));
        memory.forget_through(6);
        let mut anew = Lookout::new(|_| true);
        assert_eq!(anew.oldest(&journal, Position(2)).await.expect("readable"), at(7));
        assert_eq!(any.oldest(&journal, Position(4)).await.expect("readable"), at(7));
    }

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0)
        }
    }

    /// What is told of the store, in the words of `/metrics`: entries, seconds, oldest reading.
    fn told_of_store(lags: &mut Lags) -> [String; 3] {
        let (metrics, recorder) = Metrics::detached();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        metrics::with_local_recorder(&recorder, || {
            names::begin();
            runtime.block_on(lags.look());
        });
        let text = metrics.render();
        [
            format!("{}{{follower=\"store\"}} ", names::FOLLOWER_LAG_ENTRIES),
            format!("{}{{follower=\"store\"}} ", names::FOLLOWER_LAG_SECONDS),
            format!("{} ", names::OLDEST_UNSTORED_READING_SECONDS),
        ]
        .map(|series| {
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.unwrap_or_else(|| panic!("no {series}in {text}")).to_owned()
        })
    }

    #[test]
    fn what_is_not_known_is_told_as_such_and_not_as_nothing_or_as_what_it_was() {
        let (memory, opened) = Memory::journal(&settings(0));
        let (journal, mut writer) = (opened.journal, opened.writer);
        writer.commit((1..=9).map(received).collect()).expect("works");
        let state = store::State {
            link: store::Link::Connecting,
            cursor: None,
            journal_last: Position(9),
            readings_stored: 0,
            batches_stored: 0,
            rows_refused: 0,
            gap: None,
        };
        let (store, seen) = watch::channel(state);
        let mut lags = Lags::new(journal, Arc::new(At(20)), seen);
        assert_eq!(told_of_store(&mut lags), ["NaN", "NaN", "NaN"], "the database was not reached");
        store.send_modify(|state| state.cursor = Some(Position(4)));
        assert_eq!(told_of_store(&mut lags), ["5", "15", "0"]);
        // The disk has lost what comes next.
        memory.lose(7);
        store.send_modify(|state| state.cursor = Some(Position(6)));
        assert_eq!(told_of_store(&mut lags)[..2], ["3", "NaN"]);
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
