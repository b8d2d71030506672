//! What one fsync costs on the disk under test, measured while something else goes on.
//!
//! A thread appends 4 KiB to a file of its own and waits until the disk has it, again and again at
//! a slow pace, so that it measures the disk and does not load it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::distribution::Latencies;

const BYTES: usize = 4096;
/// Fifty a second: five hundred in a round, a few percent of what a disk does.
const EVERY: Duration = Duration::from_millis(20);

/// A thread that measures until it is asked.
#[derive(Debug)]
pub(super) struct Fsync {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Latencies>>>,
}

impl Fsync {
    /// Begins to append to a file in `dir`.
    ///
    /// # Errors
    /// If the file can't be made.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let path = dir.join("fsync");
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
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
        measured.context("appending to a file and waiting for the disk")
    }
}

impl Drop for Fsync {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn measure(mut file: File, is_over: &AtomicBool) -> io::Result<Latencies> {
    let mut latencies = Latencies::default();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        file.write_all(&[0x5a; BYTES])?;
        file.sync_all()?;
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
    fn each_append_is_measured() {
        let dir = tempfile::tempdir().expect("a directory");
        let fsync = Fsync::start(dir.path()).expect("it starts");
        let path = dir.path().join("fsync");
        while std::fs::metadata(&path).expect("there").len() < 2 * BYTES as u64 {
            std::thread::yield_now();
        }
        let latencies = fsync.finish().expect("the disk works");
        let appended = std::fs::metadata(&path).expect("there").len();
        assert_eq!(latencies.count() * BYTES as u64, appended);
    }
}
