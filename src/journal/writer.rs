//! The write side: group commits, checkpoints, and letting old entries go.
//!
//! All calls block and belong on a thread of their own. The writer is the only one that changes
//! the journal. Once a write has failed it is broken: what the disk holds is then known only to
//! the next open, so every later call fails and the process must end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::checkpoint::CheckpointDelta;
use super::entry::{self, Entry};
use super::storage::{Batch, Failure, Storage};
use super::window::weight;
use super::{Error, Settings, Shared};
use crate::clock::Timestamp;
use crate::position::Position;

/// The disk is measured again after this much was written; what was written since is counted.
const MEASURE_EVERY_BYTES: u64 = 4 << 20;
/// Kept free of the limit for what the storage does between two measures: preallocating a
/// write-ahead log file (64 MiB), and flushing a table before it clears the log.
pub(super) const SLACK_BYTES: u64 = 128 << 20;
/// Above this share of the limit the resume window is given up.
const LOW_PERCENT: u64 = 85;
/// Above this share only commands are to be taken.
const COMMANDS_ONLY_PERCENT: u64 = 95;

/// An entry and its bytes, encoded by whoever made it, so that the committing thread need not.
#[derive(Clone, Debug)]
pub struct Record {
    /// The entry, shared with every follower.
    pub entry: Arc<Entry>,
    /// What [`entry::encode`] makes of it.
    pub bytes: Vec<u8>,
}

impl Record {
    /// Encodes an entry.
    #[must_use]
    pub fn new(entry: Arc<Entry>) -> Self {
        let bytes = entry::encode(&entry.input, &entry.outputs, Vec::new());
        Self { entry, bytes }
    }
}

/// How much of the disk limit is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Plenty,
    /// Over 85 %: [`Writer::retain`] gives up the resume window.
    Low,
    /// Over 95 %: what is left is for commands.
    CommandsOnly,
}

/// The one writer of a journal.
pub struct Writer {
    storage: Box<dyn Storage>,
    shared: Arc<Shared>,
    /// Shows commits to followers; closing it tells them that no more will come.
    progress: watch::Sender<Position>,
    /// The position of the last checkpoint.
    checkpointed: Position,
    resume_window: Duration,
    disk: Disk,
    broken: bool,
}

impl Writer {
    pub(super) fn new(
        settings: &Settings,
        storage: Box<dyn Storage>,
        shared: Arc<Shared>,
        progress: watch::Sender<Position>,
        checkpointed: Position,
    ) -> Self {
        let max = settings.max_bytes.saturating_sub(SLACK_BYTES);
        let mut disk = Disk { measured: 0, since: 0, max };
        disk.measure(&shared);
        let resume_window = settings.resume_window;
        Self { storage, shared, progress, checkpointed, resume_window, disk, broken: false }
    }

    /// The last entry committed.
    #[must_use]
    pub fn last(&self) -> Position {
        *self.progress.borrow()
    }

    /// Commits the records in one atomic, durable write, then shows them to followers. Blocking,
    /// for one fsync.
    ///
    /// # Errors
    /// [`Error::Full`] if they don't fit the limit: nothing has changed. [`Error::Storage`] if
    /// writing failed, [`Error::Broken`] if it had failed before: the process must end.
    ///
    /// # Panics
    /// If the positions don't follow [`Writer::last`] one by one.
    pub fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.check_sound()?;
        let bytes = records.iter().map(|record| record.bytes.len() as u64).sum();
        self.make_sure_of_room(bytes)?;
        self.commit_from_reserve(records)
    }

    /// As [`Writer::commit`], whatever room is left: for the few and small entries that must go
    /// on when the limit is reached, such as commands.
    ///
    /// # Errors
    /// [`Error::Storage`] and [`Error::Broken`] as there.
    ///
    /// # Panics
    /// As there.
    pub fn commit_from_reserve(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.check_sound()?;
        let Some(newest) = records.last().map(|record| Arc::clone(&record.entry)) else {
            return Ok(());
        };
        self.check_order(&records);
        let bytes = records.iter().map(|record| record.bytes.len() as u64).sum();
        let shown: Vec<_> =
            records.iter().map(|record| (Arc::clone(&record.entry), weight(record))).collect();
        let batch = Batch {
            records: records
                .into_iter()
                .map(|record| (record.entry.position, record.bytes))
                .collect(),
            newest: newest.input.received_at,
        };
        self.write("committing to", |storage| storage.append(batch))?;
        self.disk.wrote(bytes, &self.shared);
        self.show(shown, newest.position);
        Ok(())
    }

    /// Makes a checkpoint of what changed since the last one, in one atomic, durable write.
    /// Blocking, for as long as writing the changes takes. Taken also where the limit is reached,
    /// for it is what lets entries go.
    ///
    /// # Errors
    /// [`Error::Storage`] and [`Error::Broken`] as for [`Writer::commit`].
    ///
    /// # Panics
    /// If the position is beyond [`Writer::last`] or before that of the last checkpoint.
    pub fn checkpoint(&mut self, delta: CheckpointDelta) -> Result<(), Error> {
        self.check_sound()?;
        let position = delta.position;
        assert!(
            self.checkpointed <= position && position <= self.last(),
            "a checkpoint at {position} after one at {} in a journal that ends at {}",
            self.checkpointed,
            self.last()
        );
        let bytes = delta.put.iter().map(|(_, blob)| blob.len() as u64).sum();
        self.write("checkpointing", |storage| storage.checkpoint(delta))?;
        self.checkpointed = position;
        self.disk.wrote(bytes, &self.shared);
        Ok(())
    }

    /// Lets go of entries that nobody needs: held by the checkpoint, read by every durable
    /// follower (`read_by` is the least of their cursors), and received longer before `now` than
    /// the resume window, which no longer counts once [`Writer::room`] is short. Whole segments
    /// go, so some such entries stay. Returns the oldest position kept.
    ///
    /// # Errors
    /// [`Error::Storage`] if removing failed, [`Error::Broken`]: the process must end.
    pub fn retain(&mut self, now: Timestamp, read_by: Position) -> Result<Position, Error> {
        self.check_sound()?;
        let unneeded = self.checkpointed.min(read_by);
        let resumable_from = match self.room() {
            Room::Plenty => now.minus(self.resume_window),
            Room::Low | Room::CommandsOnly => Timestamp::MAX,
        };
        let through = self
            .shared
            .reader
            .sealed()
            .into_iter()
            .take_while(|segment| segment.last <= unneeded && segment.newest < resumable_from)
            .last();
        if let Some(segment) = through {
            self.write("clearing", |storage| storage.drop_through(segment.last))?;
            self.disk.measure(&self.shared);
        }
        Ok(self.shared.reader.first())
    }

    /// How much of the disk limit is left.
    #[must_use]
    pub fn room(&self) -> Room {
        self.disk.room()
    }

    fn check_sound(&self) -> Result<(), Error> {
        if self.broken { Err(Error::Broken) } else { Ok(()) }
    }

    /// What the journal has on disk: as last measured, with what was written since.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk.bytes()
    }

    fn check_order(&self, records: &[Record]) {
        let mut expected = self.last().next();
        for record in records {
            assert_eq!(record.entry.position, expected, "entries are committed in order");
            expected = expected.next();
        }
    }

    /// Measures whether this much more fits the limit.
    ///
    /// # Errors
    /// [`Error::Full`] if not.
    pub fn make_sure_of_room(&mut self, bytes: u64) -> Result<(), Error> {
        if self.disk.fits(bytes) {
            return Ok(());
        }
        self.disk.measure(&self.shared);
        if self.disk.fits(bytes) {
            return Ok(());
        }
        Err(Error::Full { disk_bytes: self.disk.bytes(), max_bytes: self.disk.max })
    }

    /// Changes the storage, once; a failure is final.
    fn write(
        &mut self,
        action: &'static str,
        change: impl FnOnce(&mut dyn Storage) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        change(self.storage.as_mut()).map_err(|source| {
            self.broken = true;
            Error::Storage { action, source }
        })
    }

    /// Only what is durable gets here.
    fn show(&self, entries: Vec<(Arc<Entry>, usize)>, last: Position) {
        {
            let mut window = self.shared.window();
            for (entry, weight) in entries {
                window.push(entry, weight);
            }
        }
        self.progress.send_replace(last);
    }
}

/// What is on disk against what may be.
struct Disk {
    measured: u64,
    /// Written since it was measured.
    since: u64,
    max: u64,
}

impl Disk {
    fn bytes(&self) -> u64 {
        self.measured.saturating_add(self.since)
    }

    fn fits(&self, bytes: u64) -> bool {
        self.bytes().saturating_add(bytes) <= self.max
    }

    fn room(&self) -> Room {
        let above = |percent| self.bytes() > self.max / 100 * percent;
        if above(COMMANDS_ONLY_PERCENT) {
            Room::CommandsOnly
        } else if above(LOW_PERCENT) {
            Room::Low
        } else {
            Room::Plenty
        }
    }

    fn wrote(&mut self, bytes: u64, shared: &Shared) {
        self.since = self.since.saturating_add(bytes);
        if self.since >= MEASURE_EVERY_BYTES {
            self.measure(shared);
        }
    }

    /// Where the disk doesn't say, the count goes on from the last measure: too high, never low.
    fn measure(&mut self, shared: &Shared) {
        if let Ok(measured) = shared.reader.disk_bytes() {
            (self.measured, self.since) = (measured, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Opened;
    use crate::journal::storage::memory::{Memory, settings, ticks};

    fn journal() -> (Memory, Opened) {
        Memory::journal(&settings(1 << 20))
    }

    fn checkpoint_at(position: u64) -> CheckpointDelta {
        CheckpointDelta { position: Position(position), ..CheckpointDelta::default() }
    }

    #[test]
    fn a_failed_write_is_final_and_shows_nothing() {
        let (memory, Opened { journal, mut writer, .. }) = journal();
        writer.commit(ticks(1..=2)).expect("works");
        memory.state().fails = true;
        let failed = writer.commit(ticks(3..=4));
        assert!(matches!(failed, Err(Error::Storage { action: "committing to", .. })));
        assert_eq!(journal.last(), Position(2));

        // The disk works again, and is still not trusted.
        assert!(matches!(writer.commit(ticks(3..=4)), Err(Error::Broken)));
        assert!(matches!(writer.commit(vec![]), Err(Error::Broken)));
        assert!(matches!(writer.checkpoint(checkpoint_at(2)), Err(Error::Broken)));
        assert!(matches!(writer.retain(Timestamp::MAX, Position(0)), Err(Error::Broken)));
        assert_eq!(journal.last(), Position(2));
        assert_eq!(journal.read(Position(0), 1 << 20).expect("readable").len(), 2);
    }

    #[test]
    fn a_failed_checkpoint_breaks_the_writer_too() {
        let (memory, Opened { mut writer, .. }) = journal();
        writer.commit(ticks(1..=2)).expect("works");
        memory.state().fails = true;
        assert!(matches!(writer.checkpoint(checkpoint_at(1)), Err(Error::Storage { .. })));
        assert!(matches!(writer.commit(ticks(3..=3)), Err(Error::Broken)));
    }

    #[test]
    #[should_panic(expected = "entries are committed in order")]
    fn a_gap_between_positions_is_our_own_bug() {
        let (_memory, Opened { mut writer, .. }) = journal();
        drop(writer.commit(ticks(2..=3)));
    }

    #[test]
    #[should_panic(expected = "a checkpoint at 3")]
    fn a_checkpoint_of_what_is_not_durable_is_our_own_bug() {
        let (_memory, Opened { mut writer, .. }) = journal();
        writer.commit(ticks(1..=2)).expect("works");
        drop(writer.checkpoint(checkpoint_at(3)));
    }

    #[test]
    fn a_commit_beyond_the_limit_changes_nothing_and_goes_through_once_there_is_room() {
        let (memory, Opened { journal, mut writer, .. }) = journal();
        memory.state().disk_bytes = 1000;
        writer.disk.measure(&writer.shared);
        let full = writer.commit(ticks(1..=1));
        assert!(matches!(full, Err(Error::Full { disk_bytes: 1000, max_bytes: 1000 })));
        assert_eq!(journal.last(), Position::START);
        memory.state().disk_bytes = 900;
        writer.commit(ticks(1..=1)).expect("there is room");
    }

    #[test]
    fn room_follows_the_disk() {
        for (bytes, room) in [
            (0, Room::Plenty),
            (850, Room::Plenty),
            (851, Room::Low),
            (950, Room::Low),
            (951, Room::CommandsOnly),
        ] {
            assert_eq!(Disk { measured: bytes, since: 0, max: 1000 }.room(), room);
            assert_eq!(Disk { measured: 0, since: bytes, max: 1000 }.room(), room);
        }
    }

    /// What is kept of ten entries, received a second apart, at second `now` with a resume window
    /// of five seconds.
    fn kept(checkpoint: u64, read_by: u64, now: i64, disk_bytes: u64) -> u64 {
        let settings = Settings { resume_window: Duration::from_secs(5), ..settings(1 << 20) };
        let (memory, Opened { mut writer, .. }) = Memory::journal(&settings);
        for position in 1..=10 {
            writer.commit(ticks(position..=position)).expect("works");
        }
        writer.checkpoint(checkpoint_at(checkpoint)).expect("works");
        memory.state().disk_bytes = disk_bytes;
        writer.disk.measure(&writer.shared);
        writer.retain(Timestamp::from_seconds(now), Position(read_by)).expect("works").0
    }

    #[test]
    fn an_entry_goes_only_when_checkpoint_followers_and_resume_window_let_it() {
        assert_eq!(kept(4, 8, 1000, 0), 5, "held back by the checkpoint");
        assert_eq!(kept(8, 4, 1000, 0), 5, "held back by a follower");
        assert_eq!(kept(8, 8, 10, 0), 5, "held back by the resume window");
        assert_eq!(kept(10, 10, 1000, 0), 10, "the active segment stays");
        assert_eq!(kept(0, 10, 1000, 0), 1, "nothing goes before the first checkpoint");
    }

    #[test]
    fn the_resume_window_goes_first_when_space_is_short() {
        assert_eq!(kept(8, 8, 10, 860), 9);
        assert_eq!(kept(8, 3, 10, 990), 4, "but never what a follower needs");
    }
}
