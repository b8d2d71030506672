//! What the connections say, counted and recorded as they say it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

use super::recorder::Recorder;
use crate::publish::{Cargo, Message, Progress};
use crate::record::{Acknowledged, Published, RunClock, What};

/// What a message of the fleet carries, as the fleet knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Its number within the run.
    pub(super) number: u64,
    /// The device's place in the run.
    pub(super) device: u32,
    /// When it is due.
    pub(super) due_micros: u64,
    pub(super) due: Instant,
    pub(super) readings: u32,
    pub(super) bytes: u64,
}

impl Cargo for Ticket {
    fn due(&self) -> Option<Instant> {
        Some(self.due)
    }
}

/// Counts of a run, as of now.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: AtomicU64,
    pub(super) readings: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) acknowledged_readings: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) lag_micros_max: AtomicU64,
    /// Bytes of messages that were planned and not acknowledged.
    pub(super) waiting_bytes: AtomicU64,
}

/// Where all connections report.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) counts: Counts,
    /// How many connections have been made at least once.
    pub(super) connected: watch::Sender<u32>,
    clock: RunClock,
    recorder: Recorder,
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Board {
    pub(super) fn new(clock: RunClock, recorder: Recorder) -> Self {
        let connected = watch::Sender::new(0);
        Self { counts: Counts::default(), connected, clock, recorder }
    }

    pub(super) fn plan(&self, bytes: u64) {
        add(&self.counts.waiting_bytes, bytes);
    }

    pub(super) fn note(&self, progress: &Progress<'_, Ticket>) {
        match progress {
            Progress::Connected => self.connected.send_modify(|count| *count += 1),
            Progress::Published(message) => self.published(message),
            Progress::Repeated(ticket) => {
                add(&self.counts.repeated, 1);
                self.recorder.add(What::Published(entry(ticket)));
            }
            Progress::Acknowledged { batch, heard } => self.acknowledged(batch, *heard),
            Progress::Lost { .. } => add(&self.counts.losses, 1),
            Progress::Reconnected => {}
        }
    }

    fn published(&self, message: &Message<Ticket>) {
        let (ticket, now) = (&message.batch, self.clock.micros());
        let lag = now.saturating_sub(ticket.due_micros);
        self.counts.lag_micros_max.fetch_max(lag, Ordering::Relaxed);
        add(&self.counts.messages, 1);
        add(&self.counts.readings, ticket.readings.into());
        let published = Published {
            content_type: message.content_type.to_owned(),
            payload: message.payload.clone(),
            ..entry(ticket)
        };
        self.recorder.add_at(now, What::Published(published));
    }

    fn acknowledged(&self, ticket: &Ticket, heard: bool) {
        add(&self.counts.acknowledged, 1);
        add(&self.counts.acknowledged_readings, ticket.readings.into());
        add(&self.counts.unheard, u64::from(!heard));
        self.counts.waiting_bytes.fetch_sub(ticket.bytes, Ordering::Relaxed);
        let acknowledged = Acknowledged { message: ticket.number, heard };
        self.recorder.add(What::Acknowledged(acknowledged));
    }
}

/// The entry of a message that is handed over again.
fn entry(ticket: &Ticket) -> Published {
    Published {
        message: ticket.number,
        device: ticket.device,
        kind: "readings".to_owned(),
        due_micros: ticket.due_micros,
        ..Published::default()
    }
}
