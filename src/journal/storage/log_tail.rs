//! Makes the end of fjall's write-ahead log trustworthy before fjall reads it.
//!
//! After a power cut the batch that was being written may be there in part, in any part: pages of
//! a file reach the disk in any order. fjall cuts off a batch that breaks off, but refuses to open
//! at one that is whole in shape and wrong in content, and it would also cut at damage in the
//! middle, taking acknowledged batches behind it along. After a failed fsync the batch may be in
//! the page cache only, marked clean, and be read back though it never reached the disk.
//!
//! So [`settle`] checks every batch of the newest log, cuts behind the last whole one, and writes
//! what stays anew, through an fsync of its own. Only the last batch can have been unacknowledged,
//! because each is synced before the next begins; a whole batch behind a broken one therefore
//! proves damage, and is an error. Older logs were synced when they were closed; damage there
//! shows as a hole between entries.
//!
//! The layout is that of fjall's format 3 and does not change within it. A batch is a start (its
//! count of items and sequence number), items, and an end (XXH3 of the items, then the magic). A
//! log is preallocated with zeros.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use crate::journal::directory;

const VERSION_FILE: &str = "version";
const MAGIC: [u8; 4] = *b"FJL\x03";
const EXTENSION: &str = "jnl";
/// Not a log by its extension, so that fjall passes over one that a crash left.
const DRAFT_EXTENSION: &str = "draft";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// Sequence numbers rise by one with each batch, and with each keyspace made or removed. Bytes
/// that look like a batch with a number further on are a payload's.
const SEQUENCE_STEP_MAX: u64 = 1 << 16;

/// Why a log can't be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("{action} the write-ahead log {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the write-ahead log {} is damaged at byte {at}, before acknowledged entries", path.display())]
    Damaged { path: PathBuf, at: usize },
}

/// Settles the newest log in `dir`, if there is one of the format known here.
pub(super) fn settle(dir: &Path) -> Result<(), LogError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| LogError::Io { action, path, source }
    };
    if !fs::read(dir.join(VERSION_FILE)).is_ok_and(|version| version == MAGIC) {
        return Ok(());
    }
    let Some(path) = newest_log(dir).map_err(failed("looking for", dir))? else {
        return Ok(());
    };
    let log = fs::read(&path).map_err(failed("reading", &path))?;
    let end = match trusted_end(&log) {
        Ok(end) => end,
        Err(at) => return Err(LogError::Damaged { path, at }),
    };
    rewrite(dir, &path, &log[..end]).map_err(failed("rewriting", &path))
}

/// Where the whole batches end, if nothing behind them was ever acknowledged; else where the
/// damage begins.
fn trusted_end(log: &[u8]) -> Result<usize, usize> {
    let Whole { end, sequence } = whole_batches(log);
    let rest = &log[end..];
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else { return Ok(end) };
    if is_continued(&rest[..=last], sequence) {
        return Err(end);
    }
    warn!(bytes = last + 1, "the last commit was cut short before it was acknowledged");
    Ok(end)
}

fn newest_log(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for found in fs::read_dir(dir)? {
        let path = found?.path();
        let is_log = path.extension().is_some_and(|extension| extension == EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(number)) = (is_log, number)
            && newest.as_ref().is_none_or(|(highest, _)| number > *highest)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Puts a new file with this content in the log's place.
fn rewrite(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(DRAFT_EXTENSION);
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    directory::sync(dir)
}

/// Where the whole batches from the beginning end, and the sequence number of the last.
#[derive(Default)]
struct Whole {
    end: usize,
    sequence: Option<u64>,
}

fn whole_batches(log: &[u8]) -> Whole {
    let mut whole = Whole::default();
    while let Some(batch) = Scanner::new(log, whole.end).batch() {
        whole = Whole { end: batch.end, sequence: Some(batch.sequence) };
    }
    whole
}

/// Whether a whole batch that would follow `last` stands anywhere in `rest`.
fn is_continued(rest: &[u8], last: Option<u64>) -> bool {
    let follows = |sequence: u64| {
        last.is_none_or(|last| sequence > last && sequence - last <= SEQUENCE_STEP_MAX)
    };
    let starts = rest.iter().enumerate().filter(|(_, byte)| **byte == START);
    starts.filter_map(|(at, _)| Scanner::new(rest, at).batch()).any(|batch| follows(batch.sequence))
}

struct Batch {
    sequence: u64,
    end: usize,
}

/// Reads a log; `None` where it does not go on as it should.
struct Scanner<'a> {
    log: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(log: &'a [u8], at: usize) -> Self {
        Self { log, at }
    }

    /// The batch that begins here, if it is whole.
    fn batch(mut self) -> Option<Batch> {
        self.tag(START)?;
        let count = u32::from_le_bytes(self.take()?);
        let sequence = u64::from_le_bytes(self.take()?);
        let begin = self.at;
        for _ in 0..count {
            self.item()?;
        }
        let items = &self.log[begin..self.at];
        self.tag(END)?;
        let checksum = u64::from_le_bytes(self.take()?);
        let magic: [u8; 4] = self.take()?;
        let whole = count > 0 && magic == MAGIC && xxh3_64(items) == checksum;
        whole.then_some(Batch { sequence, end: self.at })
    }

    fn item(&mut self) -> Option<()> {
        match self.take::<1>()? {
            [ITEM] => {
                let [_value_type, _compression] = self.take()?;
                let _keyspace: [u8; 8] = self.take()?;
                let key = u16::from_le_bytes(self.take()?);
                let _length_uncompressed: [u8; 4] = self.take()?;
                let value = u32::from_le_bytes(self.take()?);
                self.skip(usize::from(key))?;
                self.skip(usize::try_from(value).ok()?)
            }
            [CLEAR] => self.skip(8),
            _ => None,
        }
    }

    fn tag(&mut self, expected: u8) -> Option<()> {
        (self.take()? == [expected]).then_some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.log.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        let end = self.at.checked_add(length)?;
        (end <= self.log.len()).then(|| self.at = end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a batch that its checksum does not cover and its shape does not show.
    const SEQUENCE: std::ops::Range<usize> = 5..13;

    fn batch(sequence: u64, values: &[&[u8]]) -> Vec<u8> {
        let mut items = Vec::new();
        for value in values {
            let length = u32::try_from(value.len()).expect("short").to_le_bytes();
            items.extend([ITEM, 0, 0]);
            items.extend(7_u64.to_le_bytes());
            items.extend(3_u16.to_le_bytes());
            items.extend(length);
            items.extend(length);
            items.extend(b"key");
            items.extend(*value);
        }
        let mut bytes = vec![START];
        bytes.extend(u32::try_from(values.len()).expect("few").to_le_bytes());
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(&items);
        bytes.push(END);
        bytes.extend(xxh3_64(&items).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    fn check(log: &[u8], trusted: &[u8]) {
        assert_eq!(trusted_end(log).map(|end| &log[..end]), Ok(trusted));
    }

    #[test]
    fn a_log_of_whole_batches_stays_but_for_its_preallocation() {
        let log = [batch(4, &[b"a", b"b"]), batch(5, &[&[0; 9000]])].concat();
        check(&[&log[..], &[0; 5000]].concat(), &log);
        check(&log, &log);
        check(&[0; 5000], b"");
        check(&[], b"");
    }

    #[test]
    fn a_last_batch_that_is_not_whole_is_cut_off_wherever_it_is_torn() {
        let log = batch(4, &[b"a", b"b"]);
        let torn = batch(5, &[b"one", &[9; 700], b"three"]);
        for at in 0..torn.len() {
            check(&[&log, &torn[..at], &[0; 300][..]].concat(), &log);
            if !SEQUENCE.contains(&at) {
                let mut changed = [&log[..], &torn].concat();
                changed[log.len() + at] ^= 0x40;
                check(&changed, &log);
            }
        }
    }

    #[test]
    fn a_page_that_never_reached_the_disk_cuts_its_batch_off() {
        let log = batch(4, &[b"a", b"b"]);
        let mut torn = [&log[..], &batch(5, &[&[9; 20_000]])].concat();
        torn[4096..8192].fill(0);
        check(&torn, &log);
    }

    #[test]
    fn damage_before_an_acknowledged_batch_is_an_error() {
        let first = batch(4, &[b"a", b"b"]);
        let log = [&first[..], &batch(5, &[&[9; 700]]), &batch(7, &[b"acknowledged"])].concat();
        for at in [0, 3, first.len() + 1, first.len() + 20, first.len() + 100] {
            let mut damaged = log.clone();
            damaged[at] ^= 0x40;
            let begin = if at < first.len() { 0 } else { first.len() };
            assert_eq!(trusted_end(&damaged), Err(begin), "damaged at {at}");
        }
    }

    #[test]
    fn a_payload_that_looks_like_a_batch_of_another_time_proves_nothing() {
        let log = batch(4, &[b"a", b"b"]);
        for sequence in [4, 4 + SEQUENCE_STEP_MAX + 1, u64::MAX] {
            let payload = batch(sequence, &[b"forged"]);
            let torn = batch(5, &[b"one", &payload, b"three"]);
            check(&[&log, &torn[..torn.len() - 1]].concat(), &log);
        }
    }

    #[test]
    fn only_the_newest_log_is_written_anew() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name| dir.path().join(name);
        let whole = batch(4, &[b"a", b"b"]);
        fs::write(path(VERSION_FILE), MAGIC).expect("written");
        fs::write(path("9.jnl"), "an older one").expect("written");
        fs::write(path("10.jnl"), [&whole[..], b"\x01torn"].concat()).expect("written");
        fs::write(path("10.draft"), "left by a crash").expect("written");
        settle(dir.path()).expect("settled");
        assert_eq!(fs::read(path("9.jnl")).expect("there"), b"an older one");
        assert_eq!(fs::read(path("10.jnl")).expect("there"), whole);
        assert!(!path("10.draft").exists());
    }

    #[test]
    fn a_directory_that_is_new_or_of_another_format_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        settle(dir.path()).expect("nothing to do");
        fs::write(dir.path().join("0.jnl"), "of a later format").expect("written");
        fs::write(dir.path().join(VERSION_FILE), b"FJL\x04").expect("written");
        settle(dir.path()).expect("nothing to do");
        let log = fs::read(dir.path().join("0.jnl")).expect("there");
        assert_eq!(log, b"of a later format");
    }
}
