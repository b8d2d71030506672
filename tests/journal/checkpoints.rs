//! Checkpoints in pieces, between commits: whatever cuts one off, an open finds the last one
//! whole, and the entries behind it lead to the same state.
//!
//! The state here is simple: an entry at position `p` sets cell `p % 37` to `p`, or empties it. So
//! what a checkpoint at any position must hold is known without having been there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use pulseward::journal::{self, BlobKey, Checkpoint, Journal, Opened, Settings, Writer};
use pulseward::position::Position;

use super::{commit_next, read_all};

const CELLS: u64 = 37;

type State = BTreeMap<BlobKey, Bytes>;

fn cell(position: u64) -> BlobKey {
    BlobKey { kind: u8::try_from(position % 2).expect("0 or 1"), id: position % CELLS }
}

/// What the entry at a position does.
fn apply(state: &mut State, position: u64) {
    if position.is_multiple_of(5) {
        state.remove(&cell(position));
    } else {
        // Large enough that a checkpoint takes several pieces, some of which go by themselves.
        let repeats = usize::try_from(position * 997 % 3000).expect("below 3000");
        state.insert(cell(position), position.to_be_bytes().repeat(repeats).into());
    }
}

fn state_at(position: Position) -> State {
    let mut state = State::new();
    (1..=position.0).for_each(|position| apply(&mut state, position));
    state
}

fn blobs(checkpoint: Checkpoint) -> (Position, State) {
    let found: Vec<_> = checkpoint.blobs.map(|blob| blob.expect("readable")).collect();
    assert!(found.is_sorted_by_key(|(key, _)| *key), "in the order of their keys");
    (checkpoint.position, found.into_iter().collect())
}

/// Checks that checkpoint and entries lead to the state at the journal's end.
fn check_replay(journal: &Journal, checkpoint: Option<Checkpoint>) -> Option<Position> {
    let found = checkpoint.map(blobs);
    let position = found.as_ref().map(|(position, _)| *position);
    let (after, mut state) = found.unwrap_or_default();
    assert!(state == state_at(after), "the checkpoint at {after} is whole");
    read_all(journal, after.0).into_iter().for_each(|position| apply(&mut state, position));
    assert!(state == state_at(journal.last()));
    position
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many entries in one commit.
    Commit(u64),
    /// So many blobs of a checkpoint, a new one if none is under way.
    Gather(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(1_u64..12).prop_map(Step::Commit), (1_usize..30).prop_map(Step::Gather)]
}

/// A writer that takes checkpoints of what changed, as the partition does.
struct Writing {
    writer: Writer,
    checkpointed: Position,
    under_way: Option<(Position, Vec<BlobKey>)>,
}

impl Writing {
    fn new(writer: Writer, checkpointed: Position) -> Self {
        Self { writer, checkpointed, under_way: None }
    }

    /// Gives the position of a checkpoint that the step completed.
    fn take(&mut self, step: Step) -> Option<Position> {
        match step {
            Step::Commit(count) => commit_next(&mut self.writer, count),
            Step::Gather(count) => return self.gather(count),
        }
        None
    }

    fn gather(&mut self, count: usize) -> Option<Position> {
        let (position, mut left) = self.under_way.take().unwrap_or_else(|| self.begin());
        let state = state_at(position);
        for key in left.drain(left.len().saturating_sub(count)..) {
            let written = match state.get(&key) {
                Some(blob) => self.writer.checkpoint_put(key, blob.clone()),
                None => self.writer.checkpoint_remove(key),
            };
            written.expect("writes");
        }
        if !left.is_empty() {
            self.under_way = Some((position, left));
            return None;
        }
        self.writer.checkpoint_complete(position).expect("completes");
        self.checkpointed = position;
        Some(position)
    }

    fn begin(&self) -> (Position, Vec<BlobKey>) {
        let position = self.writer.last();
        let mut changed: Vec<_> = (self.checkpointed.0 + 1..=position.0).map(cell).collect();
        changed.sort_unstable();
        changed.dedup();
        (position, changed)
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("fjall").join("0.jnl")
}

fn log_bytes(dir: &Path) -> u64 {
    fs::metadata(log(dir)).expect("there").len()
}

fn open(dir: &Path) -> Opened {
    journal::open(&Settings::new(dir)).expect("opens")
}

/// Opens a new journal whose log is as long as its content.
fn open_new(dir: &Path) -> Opened {
    drop(open(dir));
    open(dir)
}

fn live_through_a_cut(before: &[Step], share: f64, after: &[Step]) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Opened { journal, writer, .. } = open_new(dir.path());
    let begin = log_bytes(dir.path());
    let mut writing = Writing::new(writer, Position::START);
    // Each complete checkpoint, and where the log ended when it was.
    let mut complete = vec![(begin, None)];
    for step in before {
        if let Some(position) = writing.take(*step) {
            complete.push((log_bytes(dir.path()), Some(position)));
        }
    }
    drop((journal, writing));
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "any byte will do"
    )]
    let cut = begin + ((log_bytes(dir.path()) - begin) as f64 * share) as u64;
    let file = fs::OpenOptions::new().write(true).open(log(dir.path())).expect("there");
    file.set_len(cut).expect("cut");

    let Opened { journal, writer, checkpoint } = open(dir.path());
    let found = check_replay(&journal, checkpoint);
    let expected = complete.iter().rev().find(|(end, _)| *end <= cut).expect("begins before");
    assert_eq!(found, expected.1);

    let mut writing = Writing::new(writer, found.unwrap_or(Position::START));
    let mut last = found;
    for step in after {
        last = writing.take(*step).or(last);
    }
    drop((journal, writing));
    let Opened { journal, checkpoint, .. } = open(dir.path());
    assert_eq!(check_replay(&journal, checkpoint), last, "also behind a cut");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_at_any_byte_leaves_the_last_complete_checkpoint_and_replay_leads_to_the_same_state(
        before in prop::collection::vec(step(), 4..40),
        share in 0.0..=1.0,
        after in prop::collection::vec(step(), 0..30),
    ) {
        live_through_a_cut(&before, share, &after);
    }
}

#[test]
fn a_checkpoint_that_was_begun_again_and_again_and_never_completed_leaves_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Opened { journal, writer, .. } = open_new(dir.path());
    let mut writing = Writing::new(writer, Position::START);
    writing.take(Step::Commit(80));
    let complete = writing.take(Step::Gather(100));
    drop((journal, writing));
    for count in [2, 30, 7] {
        let Opened { journal, writer, checkpoint } = open(dir.path());
        assert_eq!(check_replay(&journal, checkpoint), complete);
        let mut writing = Writing::new(writer, Position(80));
        writing.take(Step::Commit(30));
        writing.take(Step::Gather(count));
        writing.take(Step::Commit(1));
    }
    let Opened { journal, writer, checkpoint } = open(dir.path());
    assert_eq!(check_replay(&journal, checkpoint), complete);
    // It takes the number of those that were cut off, and holds nothing of theirs.
    let mut writing = Writing::new(writer, Position(80));
    let complete = writing.take(Step::Gather(100));
    drop((journal, writing));
    let Opened { journal, checkpoint, .. } = open(dir.path());
    assert_eq!(check_replay(&journal, checkpoint), complete);
}

fn key(kind: u8, id: u64) -> BlobKey {
    BlobKey { kind, id }
}

#[test]
fn a_checkpoint_replaces_what_changed_and_keeps_the_rest() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 9);
    for key in [key(2, 1), key(1, 300), key(1, 7)] {
        writer.checkpoint_put(key, "first".into()).expect("puts");
    }
    writer.checkpoint_remove(key(5, 5)).expect("removes");
    writer.checkpoint_complete(Position(4)).expect("completes");
    writer.checkpoint_put(key(1, 300), "second".into()).expect("puts");
    writer.checkpoint_put(key(3, 0), Bytes::new()).expect("puts");
    writer.checkpoint_remove(key(2, 1)).expect("removes");
    writer.checkpoint_complete(Position(9)).expect("completes");
    drop((journal, writer));

    let (position, found) = blobs(open(dir.path()).checkpoint.expect("one"));
    assert_eq!(position, Position(9));
    let expected = [(key(1, 7), "first"), (key(1, 300), "second"), (key(3, 0), "")];
    assert_eq!(found, expected.map(|(key, blob)| (key, blob.into())).into());
}

/// An engine that decides otherwise may change other rows than the one that was cut off.
#[test]
fn the_next_checkpoint_holds_nothing_of_one_that_was_cut_off_whatever_it_changes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 5);
    writer.checkpoint_put(key(1, 1), "complete".into()).expect("puts");
    writer.checkpoint_complete(Position(2)).expect("completes");
    writer.checkpoint_put(key(1, 1), "cut off".into()).expect("puts");
    writer.checkpoint_put(key(1, 2), "cut off".into()).expect("puts");
    // Takes them along.
    commit_next(&mut writer, 1);
    drop((journal, writer));

    let Opened { journal, mut writer, .. } = open(dir.path());
    writer.checkpoint_put(key(1, 3), "another".into()).expect("puts");
    writer.checkpoint_complete(Position(6)).expect("completes");
    drop((journal, writer));
    let (position, found) = blobs(open(dir.path()).checkpoint.expect("one"));
    assert_eq!(position, Position(6));
    let expected = [(key(1, 1), "complete"), (key(1, 3), "another")];
    assert_eq!(found, expected.map(|(key, blob)| (key, blob.into())).into());
}

#[test]
fn a_checkpoint_being_restored_does_not_change_under_later_ones() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 3);
    writer.checkpoint_put(key(1, 1), "old".into()).expect("puts");
    writer.checkpoint_complete(Position(1)).expect("completes");
    drop((journal, writer));

    let Opened { mut writer, checkpoint, .. } = open(dir.path());
    for (position, blob) in [(2, "newer"), (3, "newest")] {
        writer.checkpoint_put(key(1, 1), blob.into()).expect("puts");
        writer.checkpoint_complete(Position(position)).expect("completes");
    }
    let (position, found) = blobs(checkpoint.expect("one"));
    assert_eq!((position, &found[&key(1, 1)][..]), (Position(1), &b"old"[..]));
}
