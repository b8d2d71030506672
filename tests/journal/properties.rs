//! Any history of commits, reopens, retentions and followers that come and go.

use proptest::prelude::*;
use pulseward::clock::Timestamp;
use pulseward::journal::{self, Error, Follower, Opened, Settings};
use pulseward::position::Position;

use super::{commit_next, drain, entry, read_all, settings};

#[derive(Clone, Debug)]
enum Step {
    /// So many entries in one commit.
    Commit(u64),
    /// The process ends and starts again. Followers read to the end and are gone.
    Reopen,
    /// A follower joins at this share of what is there.
    Join(f64),
    /// The follower of this number takes what there is for it, in one call.
    Take(usize),
    /// Checkpoint here, and let go of what is read up to this share of what is there.
    Retain(f64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..60).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        2 => (0.0..1.0).prop_map(Step::Join),
        6 => (0_usize..5).prop_map(Step::Take),
        1 => (0.0..1.0).prop_map(Step::Retain),
    ]
}

/// A follower, and the position it is expected to give next.
struct Watched {
    follower: Follower,
    next: u64,
}

impl Watched {
    fn expect(&mut self, positions: &[u64]) {
        for position in positions {
            assert_eq!(*position, self.next, "in order, without a gap, once");
            self.next += 1;
        }
    }

    async fn take(&mut self, first: Position, last: Position) {
        if self.follower.position() == last {
            return;
        }
        match self.follower.next().await {
            Ok(entries) => {
                let entries = entries.expect("the writer lives");
                let positions = entries.iter().map(|found| {
                    assert_eq!(**found, entry(found.position.0));
                    found.position.0
                });
                self.expect(&positions.collect::<Vec<_>>());
            }
            Err(Error::TooOld { .. }) => assert!(self.next < first.0, "its next entry is there"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn finish(mut self, first: Position, last: Position) {
        match drain(&mut self.follower).await {
            Ok(positions) => {
                self.expect(&positions);
                assert_eq!(self.next, last.0 + 1, "nothing is missing at the end");
            }
            Err(Error::TooOld { .. }) => assert!(self.next < first.0, "its next entry is there"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The position at this share of those that are there.
fn at(share: f64, first: Position, last: Position) -> Position {
    let before = first.0 - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a small number"
    )]
    Position(before + ((last.0 - before) as f64 * share).round() as u64)
}

async fn live_through(steps: Vec<Step>, memory_bytes: usize) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let settings = Settings { memory_bytes, ..settings(dir.path()) };
    let Opened { mut journal, mut writer, .. } = journal::open(&settings).expect("opens");
    let mut watched: Vec<Watched> = Vec::new();
    for step in steps {
        let (first, last) = (journal.first(), journal.last());
        match step {
            Step::Commit(count) => commit_next(&mut writer, count),
            Step::Join(share) => {
                let after = at(share, first, last);
                let follower = journal.follow(after).expect("within");
                watched.push(Watched { follower, next: after.0 + 1 });
            }
            Step::Take(number) => {
                let count = watched.len().max(1);
                if let Some(watched) = watched.get_mut(number % count) {
                    watched.take(first, last).await;
                }
            }
            Step::Retain(share) => {
                writer.checkpoint_complete(last).expect("checkpoints");
                let read_by = at(share, first, last);
                let kept = writer.retain(Timestamp::MAX, read_by).expect("retains");
                assert!(first <= kept && kept <= read_by.next());
            }
            Step::Reopen => {
                drop(writer);
                for watched in watched.drain(..) {
                    watched.finish(first, last).await;
                }
                let journal_id = journal.journal_id();
                drop(journal);
                Opened { journal, writer, .. } = journal::open(&settings).expect("opens");
                assert_eq!(journal.journal_id(), journal_id);
                assert_eq!((journal.first(), journal.last()), (first, last));
            }
        }
    }
    let (first, last) = (journal.first(), journal.last());
    assert_eq!(read_all(&journal, first.0 - 1), (first.0..=last.0).collect::<Vec<_>>());
    drop(writer);
    for watched in watched {
        watched.finish(first, last).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_follower_gets_exactly_the_entries_behind_its_position_in_order_once(
        steps in prop::collection::vec(step(), 1..40),
        memory_bytes in prop_oneof![Just(0_usize), 2000_usize..20_000, Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(live_through(steps, memory_bytes));
    }
}
