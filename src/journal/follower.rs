//! A reader of the journal at its own pace.
//!
//! It takes entries from memory when they are there and reads them from disk when it is further
//! behind; it never holds up the writer or another follower, and holds no entry itself. It is the
//! follower's owner who keeps its cursor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::entry::Entry;
use super::{Error, Shared};
use crate::position::Position;

/// A batch is about this large at most: enough to make reading from disk and writing to a
/// database worth the call, small enough to be held by each of several followers.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Gives every entry behind its position, in order, once.
pub struct Follower {
    shared: Arc<Shared>,
    /// The last durable position; closed when the writer is gone.
    progress: watch::Receiver<Position>,
    /// The last entry given.
    after: Position,
    /// The last entry that its owner has done with.
    done: Progress,
    /// A read from disk that a cancelled call left under way.
    reading: Option<JoinHandle<Result<Vec<Arc<Entry>>, Error>>>,
}

/// How far the owner of a follower has come, for who looks on from another task.
#[derive(Clone, Debug)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The last entry that it has done with.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.0.load(Ordering::Relaxed))
    }
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        progress: watch::Receiver<Position>,
        after: Position,
    ) -> Self {
        let done = Progress(Arc::new(AtomicU64::new(after.0)));
        Self { shared, progress, after, done, reading: None }
    }

    /// How far its owner has come, now and later.
    #[must_use]
    pub fn done(&self) -> Progress {
        self.done.clone()
    }

    /// The last entry that was given.
    #[must_use]
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next entries, at least one, as soon as there are any; `None` once the writer is gone
    /// and everything was given. Who asks for more says that it has done with what it was given.
    ///
    /// Cancel safe: what a dropped call would have given, the next one gives.
    ///
    /// # Errors
    /// [`Error::TooOld`] if the follower was so slow that its next entry is no longer kept, else
    /// what the disk said. The position stays where it was.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Entry>>>, Error> {
        self.done.0.store(self.after.0, Ordering::Relaxed);
        let Some(last) = self.durable().await else { return Ok(None) };
        let recent = self.shared.window().read(self.after, BATCH_BYTES_MAX);
        let entries = match recent {
            Some(entries) if self.reading.is_none() => entries,
            _ => self.read_disk(last).await?,
        };
        if let Some(newest) = entries.last() {
            self.after = newest.position;
        }
        Ok(Some(entries))
    }

    /// The last durable position, once it lies behind ours.
    async fn durable(&mut self) -> Option<Position> {
        loop {
            let last = *self.progress.borrow_and_update();
            if last > self.after {
                return Some(last);
            }
            self.progress.changed().await.ok()?;
        }
    }

    async fn read_disk(&mut self, last: Position) -> Result<Vec<Arc<Entry>>, Error> {
        let reading = self.reading.get_or_insert_with(|| {
            let (shared, after) = (Arc::clone(&self.shared), self.after);
            tokio::task::spawn_blocking(move || shared.read_disk(after, last, BATCH_BYTES_MAX))
        });
        let read = reading.await;
        self.reading = None;
        read.map_err(|ended| Error::Storage { action: "reading", source: ended.into() })?
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::Timestamp;
    use crate::journal::storage::memory::{Memory, settings, ticks};
    use crate::journal::{Journal, Opened, Settings, Writer};

    /// Ten entries, of which memory holds none (`0`) or all.
    fn ten(memory_bytes: usize) -> (Memory, Journal, Writer) {
        let (memory, Opened { journal, mut writer, .. }) = Memory::journal(&settings(memory_bytes));
        for position in 1..=10 {
            writer.commit(ticks(position..=position)).expect("works");
        }
        (memory, journal, writer)
    }

    async fn drain(mut follower: Follower) -> Result<Vec<u64>, Error> {
        let mut seen = Vec::new();
        while let Some(entries) = follower.next().await? {
            assert!(!entries.is_empty());
            seen.extend(entries.iter().map(|entry| entry.position.0));
        }
        Ok(seen)
    }

    #[tokio::test]
    async fn it_ends_when_the_writer_is_gone_and_everything_was_read() {
        for memory_bytes in [0, 1 << 20] {
            let (_memory, journal, writer) = ten(memory_bytes);
            let follower = journal.follow(Position(4)).expect("within");
            drop(writer);
            assert_eq!(drain(follower).await.expect("readable"), [5, 6, 7, 8, 9, 10]);
        }
    }

    #[tokio::test]
    async fn recent_entries_come_from_memory_as_the_very_same_values() {
        let (memory, journal, _writer) = ten(1 << 20);
        let mut one = journal.follow(Position(0)).expect("within");
        let mut other = journal.follow(Position(0)).expect("within");
        let (one, other) = (one.next().await.expect("ok"), other.next().await.expect("ok"));
        assert!(Arc::ptr_eq(&one.expect("some")[3], &other.expect("some")[3]));
        assert_eq!(memory.state().reads, 0);
    }

    #[tokio::test]
    async fn one_that_fell_behind_reads_from_disk_and_joins_memory_again() {
        let settings = Settings { max_bytes: 1 << 30, ..settings(1000) };
        let (memory, Opened { journal, mut writer, .. }) = Memory::journal(&settings);
        let mut follower = journal.follow(Position(0)).expect("within");
        writer.commit(ticks(1..=500)).expect("works");
        while follower.position() < Position(500) {
            follower.next().await.expect("readable");
        }
        let reads = memory.state().reads;
        assert!(reads > 0);
        writer.commit(ticks(501..=502)).expect("works");
        assert_eq!(follower.next().await.expect("readable").expect("some").len(), 2);
        assert_eq!(memory.state().reads, reads);
    }

    #[tokio::test]
    async fn what_was_given_is_done_with_once_more_is_asked_for() {
        let (_memory, journal, writer) = ten(1 << 20);
        let mut follower = journal.follow(Position(4)).expect("within");
        let done = follower.done();
        follower.next().await.expect("readable");
        assert_eq!(done.position(), Position(4));
        drop(writer);
        assert_eq!(follower.next().await.expect("readable"), None);
        assert_eq!(done.position(), Position(10));
    }

    #[tokio::test]
    async fn it_waits_for_the_next_commit() {
        let (_memory, journal, mut writer) = ten(1 << 20);
        let mut follower = journal.follow(Position(10)).expect("within");
        let committing = async {
            tokio::task::yield_now().await;
            writer.commit(ticks(11..=12)).expect("works");
        };
        let (next, ()) = tokio::join!(follower.next(), committing);
        assert_eq!(next.expect("readable").expect("some").len(), 2);
    }

    #[tokio::test]
    async fn a_call_dropped_in_the_middle_of_a_read_loses_nothing() {
        let (memory, journal, writer) = ten(0);
        memory.stall_reads(true);
        let mut follower = journal.follow(Position(3)).expect("within");
        for _ in 0..3 {
            let mut call = pin!(follower.next());
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
        }
        memory.stall_reads(false);
        drop(writer);
        assert_eq!(drain(follower).await.expect("readable"), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(memory.state().reads, 1, "the read under way was taken up again");
    }

    #[tokio::test]
    async fn one_that_was_outrun_by_retention_is_told_so() {
        let (_memory, journal, mut writer) = ten(0);
        let mut follower = journal.follow(Position(2)).expect("within");
        writer.checkpoint_complete(Position(10)).expect("works");
        writer.retain(Timestamp::MAX, Position(5)).expect("works");
        let error = follower.next().await.expect_err("gone");
        assert!(matches!(error, Error::TooOld { after: Position(2), first: Position(6) }));
    }

    #[tokio::test]
    async fn a_hole_is_an_error_and_nothing_behind_it_is_given() {
        let (memory, journal, writer) = ten(0);
        memory.lose(7);
        let mut follower = journal.follow(Position(4)).expect("within");
        let before = follower.next().await.expect("readable").expect("some");
        assert_eq!(before.iter().map(|entry| entry.position.0).collect::<Vec<_>>(), [5, 6]);
        for _ in 0..2 {
            let error = follower.next().await.expect_err("a hole");
            assert!(matches!(error, Error::Hole { after: Position(6) }));
        }
        drop(writer);
    }
}
