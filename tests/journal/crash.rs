//! The process dies at any moment: what was acknowledged is there, and there is no hole (V2).
//!
//! The process that dies is this test binary, run again for the one test that writes until it is
//! killed. It reports each acknowledged position on its standard output.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use pulseward::engine::input::{Event, Input, Publish};
use pulseward::journal::{self, BlobKey, Checkpoint, Entry, Error, Opened, Record, Settings};
use pulseward::position::Position;

use super::{commit_next, entry, open, read_all};

const DIRECTORY: &str = "PULSEWARD_TEST_CRASH_DIRECTORY";
const REPORT: &str = "acknowledged ";

/// Writes for ever if it is told where; as a test of its own it has nothing to do.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let Opened { mut writer, .. } = open(Path::new(&dir));
    let mut stdout = std::io::stdout().lock();
    loop {
        let count = 1 + writer.last().0 % 90;
        commit_next(&mut writer, count);
        writeln!(stdout, "{REPORT}{}", writer.last()).expect("the parent listens");
        let position = writer.last();
        for id in 0..BLOBS {
            writer.checkpoint_put(BlobKey { kind: 1, id }, blob(position)).expect("checkpoints");
            if id % 16 == 0 {
                // Its piece goes along.
                commit_next(&mut writer, 1);
                writeln!(stdout, "{REPORT}{}", writer.last()).expect("the parent listens");
            }
        }
        writer.checkpoint_complete(position).expect("checkpoints");
    }
}

/// A checkpoint of several pieces, every blob of which says what it stands for.
const BLOBS: u64 = 64;

fn blob(position: Position) -> Bytes {
    position.0.to_be_bytes().repeat(2000).into()
}

fn check_checkpoint(checkpoint: Checkpoint, last: Position) {
    let position = checkpoint.position;
    assert!(position <= last);
    let blobs: Vec<_> = checkpoint.blobs.map(|blob| blob.expect("readable")).collect();
    assert_eq!(blobs.len() as u64, BLOBS);
    for (key, found) in blobs {
        assert!(found == blob(position), "blob {key:?} is not of the checkpoint at {position}");
    }
}

fn spawn_writer(dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "crash::writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Lets a writer acknowledge so many commits, kills it, and gives the last position it reported.
fn acknowledged_before_kill(dir: &Path, commits: usize) -> u64 {
    let mut child = spawn_writer(dir);
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut last = 0;
    let reports = stdout.lines().map_while(Result::ok).filter_map(|line| reported(&line));
    for (count, position) in reports.enumerate() {
        last = position;
        if count + 1 == commits {
            // What it still reports until it is dead counts as well.
            child.kill().expect("killed");
        }
    }
    child.wait().expect("dead");
    last
}

/// The test harness may have begun the line.
fn reported(line: &str) -> Option<u64> {
    let (_, position) = line.split_once(REPORT)?;
    position.parse().ok()
}

#[test]
fn a_killed_writer_leaves_every_acknowledged_entry_and_no_hole() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for commits in [1, 2, 40, 7, 150, 3, 90] {
        let acknowledged = acknowledged_before_kill(dir.path(), commits);
        let Opened { journal, mut writer, checkpoint } = open(dir.path());
        assert!(acknowledged > 0 && journal.last().0 >= acknowledged);
        assert_eq!(read_all(&journal, 0), (1..=journal.last().0).collect::<Vec<_>>());
        if let Some(checkpoint) = checkpoint {
            check_checkpoint(checkpoint, journal.last());
        }
        commit_next(&mut writer, 3);
    }
}

/// The storage's newest write-ahead log, and where its content ends.
fn log(dir: &Path) -> (PathBuf, usize) {
    let path = dir.join("fjall").join("0.jnl");
    let bytes = fs::read(&path).expect("there");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("a batch ends in its magic");
    (path, last + 1)
}

/// Ten acknowledged entries and a last commit of large payloads, its bytes in the log changed by
/// `tear`; then what a reopen finds.
fn reopen_after(tear: impl FnOnce(&mut Vec<u8>, Range<usize>)) -> Result<u64, Error> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let settings = Settings::new(dir.path());
    let Opened { journal, mut writer, .. } = journal::open(&settings).expect("opens");
    commit_next(&mut writer, 6);
    commit_next(&mut writer, 4);
    let (_, begin) = log(dir.path());
    writer.commit((11..=13).map(large).collect()).expect("commits");
    drop((journal, writer));
    let (path, end) = log(dir.path());
    let mut bytes = fs::read(&path).expect("there");
    tear(&mut bytes, begin..end);
    fs::write(&path, bytes).expect("written");

    let Opened { journal, mut writer, .. } = journal::open(&settings)?;
    let last = journal.last().0;
    let found = journal.read(Position::START, 1 << 20).expect("readable");
    assert!(found.iter().take(10).map(|found| (**found).clone()).eq((1..=10).map(entry)));
    if last == 10 {
        commit_next(&mut writer, 5);
        drop((journal, writer));
        let Opened { journal, .. } = journal::open(&settings)?;
        assert_eq!(read_all(&journal, 0), (1..=15).collect::<Vec<_>>());
    }
    Ok(last)
}

/// An entry of several pages.
fn large(position: u64) -> Record {
    let entry = entry(position);
    let Event::Publish(publish) = entry.input.event else { unreachable!("it is a publish") };
    let publish = Publish { payload: vec![7; 12_000].into(), ..publish };
    let input = Input { event: Event::Publish(publish), ..entry.input };
    Record::new(Arc::new(Entry { input, ..entry }))
}

#[test]
fn a_commit_cut_short_is_gone_whole_and_what_was_before_is_there() {
    for share in [1, 5, 50, 95, 99] {
        let cut = |bytes: &mut Vec<u8>, last: Range<usize>| {
            bytes.truncate(last.start + last.len() * share / 100);
        };
        assert_eq!(reopen_after(cut).expect("opens"), 10);
    }
}

#[test]
fn a_page_of_the_last_commit_that_never_reached_the_disk_takes_the_whole_commit() {
    for page in 0..8 {
        let lose = |bytes: &mut Vec<u8>, last: Range<usize>| {
            let begin = last.start + page * 4096;
            bytes[begin..(begin + 4096).min(last.end)].fill(0);
        };
        assert_eq!(reopen_after(lose).expect("opens"), 10, "page {page}");
    }
}

#[test]
fn garbage_behind_the_last_commit_is_cut_off() {
    let litter = |bytes: &mut Vec<u8>, last: Range<usize>| {
        bytes[last.end..last.end + 5000].fill(1);
    };
    assert_eq!(reopen_after(litter).expect("opens"), 13);
}

#[test]
fn damage_before_acknowledged_entries_is_an_error_and_not_a_shorter_journal() {
    let damage = |bytes: &mut Vec<u8>, last: Range<usize>| bytes[last.start - 40] ^= 0xff;
    let error = reopen_after(damage).expect_err("refused");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("is damaged at byte"), "{cause}");
}
