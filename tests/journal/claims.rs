//! One claim a test.

use std::path::Path;
use std::time::Duration;

use pulseward::clock::Timestamp;
use pulseward::journal::{self, Error, Opened, Settings};
use pulseward::position::{Cursor, JournalId, Partition, Position};

use super::{commit_next, drain, open, read_all, settings};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

#[test]
fn what_was_committed_is_there_after_a_reopen_with_the_same_identity() {
    let dir = directory();
    let Opened { journal, mut writer, checkpoint } = open(dir.path());
    assert!(checkpoint.is_none());
    assert_eq!((journal.first(), journal.last()), (Position(1), Position(0)));
    commit_next(&mut writer, 30);
    commit_next(&mut writer, 12);
    let journal_id = journal.journal_id();
    drop((journal, writer));

    let Opened { journal, mut writer, .. } = open(dir.path());
    assert_eq!(journal.journal_id(), journal_id);
    assert_eq!((journal.first(), journal.last()), (Position(1), Position(42)));
    commit_next(&mut writer, 1);
    assert_eq!(read_all(&journal, 0), (1..=43).collect::<Vec<_>>());
    assert_eq!(read_all(&journal, 40), [41, 42, 43]);
}

#[test]
fn each_new_directory_has_an_identity_of_its_own() {
    let (one, other) = (directory(), directory());
    assert_ne!(open(one.path()).journal.journal_id(), open(other.path()).journal.journal_id());
}

#[test]
fn a_directory_in_use_is_refused_until_its_last_holder_is_gone() {
    let dir = directory();
    let Opened { journal, writer, .. } = open(dir.path());
    drop(writer);
    let error = journal::open(&settings(dir.path())).err().expect("locked");
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(journal);
    open(dir.path());
}

#[test]
fn a_directory_of_another_partition_is_refused() {
    let dir = directory();
    drop(open(dir.path()));
    let other = Settings { partition: Partition(3), ..settings(dir.path()) };
    assert!(matches!(journal::open(&other), Err(Error::OtherPartition { .. })));
}

#[test]
fn a_limit_too_small_for_the_storage_is_refused() {
    let dir = directory();
    let small = Settings { max_bytes: (1 << 30) - 1, ..settings(dir.path()) };
    assert!(matches!(journal::open(&small), Err(Error::LimitTooSmall { .. })));
}

#[test]
fn a_position_or_cursor_from_elsewhere_is_a_clear_error() {
    let dir = directory();
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 5);
    let beyond = journal.follow(Position(6)).err().expect("refused");
    assert!(matches!(beyond, Error::Beyond { after: Position(6), last: Position(5) }));
    assert_eq!(beyond.to_string(), "position 6 is beyond the journal, which ends at 5");

    let cursor = journal.cursor(Position(5));
    journal.resume(cursor).expect("ours");
    let foreign = Cursor { journal_id: JournalId::generate(), ..cursor };
    assert!(matches!(journal.resume(foreign), Err(Error::Foreign { .. })));
    let foreign = Cursor { partition: Partition(9), ..cursor };
    assert!(matches!(journal.resume(foreign), Err(Error::Foreign { .. })));
}

#[tokio::test]
async fn old_entries_go_by_segments_and_whoever_needed_them_is_told() {
    let dir = directory();
    let Opened { journal, mut writer, .. } = open(dir.path());
    let mut slow = journal.follow(Position(0)).expect("within");
    for _ in 0..20 {
        commit_next(&mut writer, 10);
    }
    let position = Position(150);
    writer.checkpoint_complete(position).expect("checkpoints");
    let first = writer.retain(Timestamp::MAX, Position(200)).expect("retains");
    assert!((100..=151).contains(&first.0), "kept from {first}");
    assert_eq!(journal.first(), first);

    let error = slow.next().await.expect_err("gone");
    assert!(matches!(error, Error::TooOld { after: Position(0), .. }), "{error}");
    let too_old = journal.follow(Position(first.0 - 2)).err().expect("refused");
    assert!(matches!(too_old, Error::TooOld { .. }), "{too_old}");
    assert_eq!(read_all(&journal, first.0 - 1), (first.0..=200).collect::<Vec<_>>());
    drop((slow, journal, writer));

    let Opened { journal, .. } = open(dir.path());
    assert_eq!((journal.first(), journal.last()), (first, Position(200)));
}

#[test]
fn a_journal_that_lost_everything_but_its_active_segment_goes_on_counting() {
    let dir = directory();
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 100);
    commit_next(&mut writer, 1);
    let position = Position(101);
    writer.checkpoint_complete(position).expect("checkpoints");
    assert_eq!(writer.retain(Timestamp::MAX, position).expect("retains"), Position(101));
    drop((journal, writer));
    let Opened { journal, mut writer, .. } = open(dir.path());
    commit_next(&mut writer, 2);
    assert_eq!(read_all(&journal, 100), [101, 102, 103]);
}

#[test]
fn the_resume_window_keeps_entries_by_their_receipt_across_a_reopen() {
    let dir = directory();
    let settings = Settings { resume_window: Duration::from_secs(50), ..settings(dir.path()) };
    let Opened { mut writer, .. } = journal::open(&settings).expect("opens");
    for _ in 0..20 {
        commit_next(&mut writer, 10);
    }
    let position = Position(200);
    writer.checkpoint_complete(position).expect("checkpoints");
    drop(writer);
    let Opened { mut writer, .. } = journal::open(&settings).expect("opens");
    let first = writer.retain(Timestamp::from_seconds(200), position).expect("retains");
    assert!((100..=150).contains(&first.0), "kept from {first}");
}

#[tokio::test]
async fn a_follower_reads_across_segments_and_a_reopen() {
    let dir = directory();
    let Opened { mut writer, .. } = open(dir.path());
    for _ in 0..10 {
        commit_next(&mut writer, 25);
    }
    drop(writer);
    let Opened { journal, mut writer, .. } = open(dir.path());
    let mut follower = journal.follow(Position(17)).expect("within");
    commit_next(&mut writer, 50);
    drop(writer);
    let seen = drain(&mut follower).await.expect("readable");
    assert_eq!(seen, (18..=300).collect::<Vec<_>>());
}

/// How many directories of keyspaces the storage has.
fn keyspaces(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("fjall").join("keyspaces")).expect("listed").count()
}

#[test]
fn dropped_segments_leave_the_disk() {
    let dir = directory();
    let Opened { journal, mut writer, .. } = open(dir.path());
    let empty = keyspaces(dir.path());
    let mut most = 0;
    for _ in 0..30 {
        for _ in 0..4 {
            commit_next(&mut writer, 50);
        }
        let position = writer.last();
        writer.checkpoint_complete(position).expect("checkpoints");
        writer.retain(Timestamp::MAX, position).expect("retains");
        most = most.max(keyspaces(dir.path()));
    }
    assert!(writer.last().0 - journal.first().0 < 200, "kept from {}", journal.first());
    assert!(most < empty + 10, "{most} keyspaces");
}
