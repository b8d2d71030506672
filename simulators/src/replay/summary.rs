//! What a replay did, for people and, with stable field names, for programs.

use std::fmt;

use serde::Serialize;

/// The closing summary. Field names of its JSON are a contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Format of the files.
    pub format: &'static str,
    /// Files read.
    pub files: usize,
    /// Devices replayed.
    pub devices: usize,
    /// When the recordings' time 0 was, RFC 3339.
    pub start: String,
    /// Boot id of every device.
    pub boot_id: u64,
    /// Messages that the broker has acknowledged.
    pub batches: u64,
    /// Readings in them.
    pub readings: u64,
    /// Readings in the files.
    pub readings_total: u64,
    /// Missing values in the files, which are not sent.
    pub missing: u64,
    /// Acknowledged messages to which nobody was subscribed.
    pub unheard_batches: u64,
    /// How often the broker was lost and found again.
    pub reconnects: u64,
    /// From the first message to the last acknowledgement.
    pub duration_s: f64,
    /// Readings acknowledged per second.
    pub readings_per_s: f64,
    /// Whether every reading was acknowledged.
    pub complete: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, devices, start, batches, readings, readings_total, missing, .. } = self;
        writeln!(f, "files      {files} ({devices} devices)")?;
        writeln!(f, "start      {start} (boot {})", self.boot_id)?;
        writeln!(f, "readings   {readings} of {readings_total} sent in {batches} messages")?;
        writeln!(f, "missing    {missing} values, not sent")?;
        write!(f, "duration   {:.1} s ({:.0} readings/s)", self.duration_s, self.readings_per_s)?;
        if self.reconnects > 0 {
            write!(f, "\nreconnects {}", self.reconnects)?;
        }
        if self.unheard_batches > 0 {
            let unheard = self.unheard_batches;
            write!(
                f,
                "\nunheard    {unheard} messages had no subscriber: is the service running?"
            )?;
        }
        Ok(())
    }
}
