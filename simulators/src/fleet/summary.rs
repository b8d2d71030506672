//! What a run came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::board::{Counts, read};
use super::fault::Kind;

/// A run's end, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Devices that measured, strangers and spares included.
    pub devices: u64,
    /// MQTT connections.
    pub connections: u32,
    /// Messages that were handed over at least once.
    pub messages: u64,
    /// The readings in them.
    pub readings: u64,
    /// Messages that the broker has acknowledged.
    pub acknowledged_messages: u64,
    /// The readings in them.
    pub acknowledged_readings: u64,
    /// Messages to which nobody was subscribed.
    pub unheard_messages: u64,
    /// How often a message was handed over again.
    pub resent_messages: u64,
    /// How often a connection was lost.
    pub lost_connections: u64,
    /// The longest time by which a message was handed over behind its schedule, in milliseconds.
    pub lag_ms_max: f64,
    /// Live alerts that the first watcher was told of.
    pub alerts: usize,
    /// How often watchers' streams were cut.
    pub cut_streams: u64,
    /// Devices that were replaced.
    pub replaced_devices: u64,
    /// How often each fault happened.
    pub faults: BTreeMap<Kind, u64>,
    /// How long sending took, in seconds.
    pub seconds: f64,
    /// Whether all was sent that the scenario has, and acknowledged.
    pub complete: bool,
}

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 microseconds")]
    pub(super) fn take(&mut self, counts: &Counts) {
        self.messages = read(&counts.messages);
        self.readings = read(&counts.readings);
        self.acknowledged_messages = read(&counts.acknowledged);
        self.acknowledged_readings = read(&counts.acknowledged_readings);
        self.unheard_messages = read(&counts.unheard);
        self.resent_messages = read(&counts.repeated);
        self.lost_connections = read(&counts.losses);
        self.lag_ms_max = read(&counts.lag_micros_max) as f64 / 1000.0;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.complete { "" } else { "; incomplete" };
        let Self { devices, connections, seconds, readings, messages, .. } = self;
        writeln!(
            f,
            "{readings} readings in {messages} messages from {devices} devices over {connections} \
             connections in {seconds:.1} s{end}"
        )?;
        let Self { acknowledged_messages, unheard_messages, resent_messages, .. } = self;
        writeln!(
            f,
            "{acknowledged_messages} messages acknowledged, {unheard_messages} unheard, \
             {resent_messages} sent again; {} connections lost",
            self.lost_connections
        )?;
        let Self { alerts, cut_streams, lag_ms_max, .. } = self;
        write!(
            f,
            "{alerts} alerts told; {cut_streams} streams cut; at most {lag_ms_max:.1} ms behind the \
             schedule"
        )?;
        if self.replaced_devices > 0 {
            write!(f, "; {} devices replaced", self.replaced_devices)?;
        }
        if !self.faults.is_empty() {
            let faults = self.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
            write!(f, "\nfaults: {}", faults.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}
