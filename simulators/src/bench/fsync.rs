//! What one fsync costs on the disk under test, measured while something else goes on.
//!
//! A thread writes 4 KiB after 4 KiB into a file of its own and waits each time until the disk has
//! them, at a slow pace, so that it measures the disk and does not load it. The file has its blocks
//! already, as the log of a database has: that is the cheapest durable write there is. An append to
//! a growing file would also wait for the file system's own journal, and for what others have in it,
//! which would flatter whoever is compared with it.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::distribution::Latencies;

const BYTES: usize = 4096;
/// Writes before the file begins anew.
const BLOCKS: u64 = 1024;
/// Fifty a second: five hundred in a round, a few percent of what a disk does.
const EVERY: Duration = Duration::from_millis(20);

/// A thread that measures until it is asked.
#[derive(Debug)]
pub(super) struct Fsync {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Latencies>>>,
}

impl Fsync {
    /// Begins to write to a file in `dir`.
    ///
    /// # Errors
    /// If the file can't be made.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let path = dir.join("fsync");
        let file = prepared(&path).with_context(|| format!("making {}", path.display()))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || measure(file, &asked));
        Ok(Self { is_over, thread: Some(thread) })
    }

    /// What was measured. Blocks for the fsync under way.
    ///
    /// # Errors
    /// If the disk failed.
    pub(super) fn finish(mut self) -> Result<Latencies> {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here alone");
        let measured = thread.join().map_err(|_| anyhow::anyhow!("the fsync thread panicked"))?;
        measured.context("writing to a file and waiting for the disk")
    }
}

impl Drop for Fsync {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// A file that has all of its blocks on the disk.
fn prepared(path: &Path) -> io::Result<File> {
    let mut file = File::create(path)?;
    (0..BLOCKS).try_for_each(|_| file.write_all(&[0; BYTES]))?;
    file.sync_all()?;
    Ok(file)
}

fn measure(mut file: File, is_over: &AtomicBool) -> io::Result<Latencies> {
    let mut latencies = Latencies::default();
    while !is_over.load(Ordering::Relaxed) {
        if latencies.count().is_multiple_of(BLOCKS) {
            file.rewind()?;
        }
        let began = Instant::now();
        file.write_all(&[0x5a; BYTES])?;
        file.sync_data()?;
        let took = began.elapsed();
        latencies.record(took);
        std::thread::sleep(EVERY.saturating_sub(took));
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_its_blocks_is_written_again_and_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let fsync = Fsync::start(dir.path()).expect("it starts");
        let path = dir.path().join("fsync");
        while std::fs::read(&path).expect("there")[BYTES] == 0 {
            std::thread::yield_now();
        }
        let latencies = fsync.finish().expect("the disk works");
        assert!(latencies.count() >= 2, "{latencies:?}");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), BLOCKS * BYTES as u64);
    }
}
