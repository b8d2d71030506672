//! The record's writer on a thread of its own, and what others hand to it.
//!
//! Entries are written in the order in which they are handed over. Each has its time from the run's
//! clock, taken where it happened, so that neighbouring entries of different connections may stand
//! the other way round by as much as their tasks were scheduled apart.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::record::{self, Mark, Run, RunClock, What, Writer};

/// Entries that wait for the disk. Beyond, whoever hands one over waits: a record with a hole could
/// not be judged, and a fleet that is held up shows as behind its schedule.
const ENTRIES_MAX: usize = 1 << 16;

/// An entry with its time, or the end of the record.
type Item = Option<(u64, What)>;

/// Takes entries.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    clock: RunClock,
    entries: SyncSender<Item>,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writing {
    thread: JoinHandle<Result<(), record::Error>>,
    entries: SyncSender<Item>,
}

/// Adds lines for people to the record of a run, such as that the service was killed.
#[derive(Clone, Debug)]
pub struct Marks(Recorder);

impl Recorder {
    /// Begins a record.
    pub(super) fn begin(
        dir: &Path,
        run: &Run,
        clock: RunClock,
    ) -> Result<(Self, Writing), record::Error> {
        let writer = Writer::create(dir, run)?;
        let (entries, taken) = sync_channel(ENTRIES_MAX);
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        let writing = thread.spawn(move || write(writer, &taken));
        let thread = writing.expect("a process that has room for a fleet has room for a thread");
        let writing = Writing { thread, entries: entries.clone() };
        Ok((Self { clock, entries }, writing))
    }

    /// Records what has just happened.
    pub(super) fn add(&self, what: What) {
        self.add_at(self.clock.micros(), what);
    }

    /// Records what happened at this microsecond of the run. What the disk no longer takes is lost:
    /// the writer's error ends the run.
    pub(super) fn add_at(&self, at_micros: u64, what: What) {
        let _failed = self.entries.send(Some((at_micros, what)));
    }

    pub(super) fn mark(&self, text: impl Into<String>) {
        self.add(What::Mark(Mark { text: text.into() }));
    }

    pub(super) fn marks(&self) -> Marks {
        Marks(self.clone())
    }
}

impl Marks {
    /// Adds a line, at this moment.
    pub fn add(&self, text: impl Into<String>) {
        self.0.mark(text);
    }
}

impl Writing {
    /// Whether the thread has ended, which before its recorders are gone means that it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the record, and waits until all of it is on disk. What is handed over later is not
    /// recorded.
    pub(super) async fn close(self) -> Result<(), record::Error> {
        let end = move || {
            let _failed = self.entries.send(None);
            self.thread.join()
        };
        let joined = tokio::task::spawn_blocking(end).await;
        let joined = joined.expect("waiting for a thread does not panic");
        joined.expect("writing a record does not panic")
    }
}

fn write(mut writer: Writer, entries: &Receiver<Item>) -> Result<(), record::Error> {
    for (at_micros, what) in entries.iter().map_while(|item| item) {
        writer.add(at_micros, what)?;
    }
    writer.close()
}
