//! A service's journal, opened once the service has let it go.

use std::path::Path;
use std::sync::Arc;

use pulseward::engine::output::Output;
use pulseward::journal::{self, Entry};
use pulseward::position::Position;

/// Read from disk at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// All that it holds.
pub(crate) fn entries(service_dir: &Path) -> Vec<Arc<Entry>> {
    let settings = journal::Settings::new(service_dir.join("journal"));
    let journal = journal::open(&settings).expect("the service has let it go").journal;
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    while entries.len() as u64 != journal.last().0 {
        let after = entries.last().map_or(Position::START, |entry| entry.position);
        entries.extend(journal.read(after, READ_BYTES_MAX).expect("readable"));
    }
    entries
}

/// How many readings it has admitted.
pub(crate) fn admitted(service_dir: &Path) -> usize {
    let is_reading = |output: &&Output| matches!(output, Output::Reading(_));
    let entries = entries(service_dir);
    entries.iter().flat_map(|entry| &entry.outputs).filter(is_reading).count()
}
