//! The write side: group commits, checkpoints, and letting old entries go.
//!
//! All calls block and belong on a thread of their own. The writer is the only one that changes
//! the journal. Once a write has failed it is broken: what the disk holds is then known only to
//! the next open, so every later call fails and the process must end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::checkpoint::{BlobKey, Piece};
use super::disk::Disk;
use super::entry::{self, Entry};
use super::storage::{Batch, Failure, Storage, is_for_want_of_space};
use super::window::weight;
use super::{Error, Room, Settings, Shared, Shortage};
use crate::clock::Timestamp;
use crate::position::Position;

/// A checkpoint is written in pieces of about this size: a few hundred blobs, which a commit that
/// takes them along writes in a millisecond or two. Smaller ones would cost an fsync each for
/// little, where no commit takes them.
const PIECE_BYTES: usize = 256 << 10;

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

/// The one writer of a journal.
pub struct Writer {
    storage: Box<dyn Storage>,
    shared: Arc<Shared>,
    /// Shows commits to followers; closing it tells them that no more will come.
    progress: watch::Sender<Position>,
    /// The position of the last checkpoint.
    checkpointed: Position,
    /// What the next commit takes along of the checkpoint under way.
    piece: Piece,
    dir: PathBuf,
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
        let disk = Disk::new(settings.max_bytes, &*shared.reader);
        let (piece, dir, resume_window) =
            (Piece::default(), settings.dir.clone(), settings.resume_window);
        let broken = false;
        Self { storage, shared, progress, checkpointed, piece, dir, resume_window, disk, broken }
    }

    /// The last entry committed.
    #[must_use]
    pub fn last(&self) -> Position {
        *self.progress.borrow()
    }

    /// Commits the records in one atomic, durable write, then shows them to followers. A piece of
    /// the checkpoint under way goes along. Blocking, for one fsync.
    ///
    /// Nothing is refused for want of room, see [`Writer::room`].
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::Storage`] if writing failed, [`Error::Broken`] if it had
    /// failed before: the process must end.
    ///
    /// # Panics
    /// If the positions don't follow [`Writer::last`] one by one.
    pub fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.check_sound()?;
        let Some(newest) = records.last().map(|record| Arc::clone(&record.entry)) else {
            return Ok(());
        };
        self.check_order(&records);
        let piece = std::mem::take(&mut self.piece);
        let bytes = records.iter().map(|record| record.bytes.len()).sum::<usize>() + piece.bytes();
        let shown: Vec<_> =
            records.iter().map(|record| (Arc::clone(&record.entry), weight(record))).collect();
        let batch = Batch {
            records: records
                .into_iter()
                .map(|record| (record.entry.position, record.bytes))
                .collect(),
            newest: newest.input.received_at,
            piece,
        };
        self.write("committing to", bytes, |storage| storage.append(batch))?;
        self.show(shown, newest.position);
        Ok(())
    }

    /// Adds a blob to the checkpoint under way, or begins one. It goes along with a commit to come;
    /// where none takes it, a piece is written by itself, for one fsync. Taken also where the limit
    /// is reached, for a checkpoint is what lets entries go.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Storage`] and [`Error::Broken`] as for [`Writer::commit`].
    pub fn checkpoint_put(&mut self, key: BlobKey, blob: Bytes) -> Result<(), Error> {
        self.checkpoint_change(key, Some(blob))
    }

    /// As [`Writer::checkpoint_put`], of a blob that is gone.
    ///
    /// # Errors
    /// As there.
    pub fn checkpoint_remove(&mut self, key: BlobKey) -> Result<(), Error> {
        self.checkpoint_change(key, None)
    }

    fn checkpoint_change(&mut self, key: BlobKey, blob: Option<Bytes>) -> Result<(), Error> {
        self.check_sound()?;
        if self.piece.bytes() >= PIECE_BYTES {
            let piece = std::mem::take(&mut self.piece);
            self.write("checkpointing", piece.bytes(), |storage| storage.checkpoint_piece(piece))?;
        }
        self.piece.change(key, blob);
        Ok(())
    }

    /// Completes the checkpoint under way, which stands for every entry up to `position`: what
    /// was put and removed since the last one replaces what was there before, all at once. Until
    /// it returns, an open finds the last one. Blocking, for one fsync.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Storage`] and [`Error::Broken`] as for [`Writer::commit`].
    ///
    /// # Panics
    /// If the position is beyond [`Writer::last`] or before that of the last checkpoint.
    pub fn checkpoint_complete(&mut self, position: Position) -> Result<(), Error> {
        self.check_sound()?;
        assert!(
            self.checkpointed <= position && position <= self.last(),
            "a checkpoint at {position} after one at {} in a journal that ends at {}",
            self.checkpointed,
            self.last()
        );
        let piece = std::mem::take(&mut self.piece);
        self.write("checkpointing", piece.bytes(), |storage| {
            storage.complete_checkpoint(piece, position)
        })?;
        self.checkpointed = position;
        Ok(())
    }

    /// Lets go of entries that nobody needs: held by the checkpoint, read by every durable
    /// follower (`read_by` is the least of their cursors), and received longer before `now` than
    /// the resume window, which no longer counts once [`Writer::room`] is short. Whole segments
    /// go, so some such entries stay. Returns the oldest position kept.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::Storage`] if removing failed, [`Error::Broken`]: the process
    /// must end.
    pub fn retain(&mut self, now: Timestamp, read_by: Position) -> Result<Position, Error> {
        self.check_sound()?;
        let unneeded = self.checkpointed.min(read_by);
        let resumable_from = match self.room() {
            Room::Plenty => now.minus(self.resume_window),
            Room::Low | Room::CommandsOnly | Room::ChangesOnly => Timestamp::MAX,
        };
        let through = self
            .shared
            .reader
            .sealed()
            .into_iter()
            .take_while(|segment| segment.last <= unneeded && segment.newest < resumable_from)
            .last();
        if let Some(segment) = through {
            self.write("clearing", 0, |storage| storage.drop_through(segment.last))?;
            self.disk.measure(&*self.shared.reader);
        }
        Ok(self.shared.reader.first())
    }

    /// How much is left of the disk limit, or of the file system where that is less.
    #[must_use]
    pub fn room(&self) -> Room {
        self.disk.room(&*self.shared.reader)
    }

    /// Measures what the journal has on disk, so that [`Writer::room`] is as of now: the storage
    /// lets go of files some time after it was told. Blocking; looks at every file.
    pub fn measure(&mut self) {
        self.disk.measure(&*self.shared.reader);
    }

    /// Why [`Writer::room`] is not plenty, for people: which limit is near, and where.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        self.disk.shortage(&*self.shared.reader, &self.dir)
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

    /// Changes the storage by about so many bytes, once; a failure is final.
    fn write(
        &mut self,
        action: &'static str,
        bytes: usize,
        change: impl FnOnce(&mut dyn Storage) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        let Err(source) = change(self.storage.as_mut()) else {
            self.disk.wrote(bytes as u64, &*self.shared.reader);
            return Ok(());
        };
        self.broken = true;
        let dir = self.dir.clone();
        match self.shared.reader.space() {
            // The storage keeps the first of its failures to itself, so that space is looked at too.
            Ok(space) if is_for_want_of_space(&source) || space.left() == 0 => {
                Err(Error::NoSpace { action, dir, available_bytes: space.available, source })
            }
            _ => Err(Error::Storage { action, source }),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Opened;
    use crate::journal::storage::memory::{Memory, settings, ticks};

    fn journal() -> (Memory, Opened) {
        Memory::journal(&settings(1 << 20))
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
        assert!(matches!(writer.checkpoint_complete(Position(2)), Err(Error::Broken)));
        assert!(matches!(writer.retain(Timestamp::MAX, Position(0)), Err(Error::Broken)));
        assert_eq!(journal.last(), Position(2));
        assert_eq!(journal.read(Position(0), 1 << 20).expect("readable").len(), 2);
    }

    fn blob(id: u64) -> (BlobKey, Bytes) {
        (BlobKey { kind: 1, id }, vec![7; PIECE_BYTES / 4].into())
    }

    #[test]
    fn a_commit_takes_one_piece_of_the_checkpoint_along_and_no_more() {
        let (memory, Opened { mut writer, .. }) = journal();
        for id in 1..=11 {
            let (key, blob) = blob(id);
            writer.checkpoint_put(key, blob).expect("works");
        }
        let written = |memory: &Memory| memory.state().pieces.iter().map(Vec::len).sum::<usize>();
        assert_eq!(written(&memory), 8, "what is more than a piece was written by itself");
        writer.commit(ticks(1..=1)).expect("works");
        assert_eq!(written(&memory), 11);
        assert!(memory.state().pieces.iter().all(|piece| piece.len() <= 4));
        assert_eq!(memory.state().checkpoint, (Position::START, vec![]), "not complete yet");
        writer.commit(ticks(2..=2)).expect("works");
        assert_eq!(written(&memory), 11, "only once");
        writer.checkpoint_complete(Position(1)).expect("works");
        assert_eq!(memory.state().checkpoint.0, Position(1));
    }

    #[test]
    fn a_write_that_fails_for_want_of_space_says_so_and_where() {
        for (space_left, is_told) in [(Some(0), true), (None, false)] {
            let (memory, Opened { mut writer, .. }) = journal();
            memory.state().space_left = space_left;
            memory.state().fails = true;
            let failed = writer.commit(ticks(1..=1)).expect_err("fails");
            assert_eq!(matches!(failed, Error::NoSpace { available_bytes: 0, .. }), is_told);
            assert_eq!(failed.to_string().contains("in memory: its file system is full"), is_told);
            assert!(matches!(writer.commit(ticks(1..=1)), Err(Error::Broken)));
        }
    }

    #[test]
    fn want_of_room_is_told_and_refuses_nothing() {
        let (memory, Opened { journal, mut writer, .. }) = journal();
        assert_eq!((writer.room(), writer.shortage()), (Room::Plenty, None));
        memory.state().disk_bytes = 1000;
        writer.measure();
        let of_settings = Shortage::Limit { disk_bytes: 1000, max_bytes: 1000 };
        assert_eq!((writer.room(), writer.shortage()), (Room::ChangesOnly, Some(of_settings)));
        writer.commit(ticks(1..=1)).expect("a command goes on");
        memory.state().disk_bytes = 100;
        memory.state().space_left = Some(1);
        writer.measure();
        assert!(matches!(writer.shortage(), Some(Shortage::FileSystem { available_bytes: 1, .. })));
        writer.commit(ticks(2..=2)).expect("a command goes on");
        assert_eq!(journal.last(), Position(2));
    }

    #[test]
    fn a_failed_checkpoint_breaks_the_writer_too() {
        let (memory, Opened { mut writer, .. }) = journal();
        writer.commit(ticks(1..=2)).expect("works");
        memory.state().fails = true;
        assert!(matches!(writer.checkpoint_complete(Position(1)), Err(Error::Storage { .. })));
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
        drop(writer.checkpoint_complete(Position(3)));
    }

    /// What is kept of ten entries, received a second apart, at second `now` with a resume window
    /// of five seconds.
    fn kept(checkpoint: u64, read_by: u64, now: i64, disk_bytes: u64) -> u64 {
        let settings = Settings { resume_window: Duration::from_secs(5), ..settings(1 << 20) };
        let (memory, Opened { mut writer, .. }) = Memory::journal(&settings);
        for position in 1..=10 {
            writer.commit(ticks(position..=position)).expect("works");
        }
        writer.checkpoint_complete(Position(checkpoint)).expect("works");
        memory.state().disk_bytes = disk_bytes;
        writer.disk.measure(&*writer.shared.reader);
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
