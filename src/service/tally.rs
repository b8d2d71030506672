//! Counts what the journal says happened, and tells people what was refused.
//!
//! A follower like the others: it reads what is durable, from where this run began. So a replay
//! counts nothing a second time, a message that comes again after a crash is refused once, and
//! neither the engine nor the committer spends a moment on it. Counters move once for each batch
//! of entries, never for each reading.
//!
//! A refusal is one WARN line for each message and reason, with the device of its topic and never
//! with anything of its payload. A device that sends nothing but nonsense must not drown the log:
//! at most [`LINES_MAX`] such lines are written in [`WINDOW`], and what was left out is told as a
//! number. Every refusal is counted, and stands in the store with its payload.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tracing::warn;

use crate::engine::input::{Event, Poisoned, Publish};
use crate::engine::output::{Output, RejectReason, SequenceEvents};
use crate::journal::{self, Entry, Follower, Progress};
use crate::mqtt::topic::Topic;
use crate::telemetry::names;
use crate::vitals::Vital;

/// Lines about refusals in one window: enough to see what is wrong, and with whom.
const LINES_MAX: u32 = 50;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

/// The follower that counts.
pub(super) struct Tally {
    follower: Follower,
    refusals: RefusalLog,
}

impl Tally {
    pub(super) fn new(follower: Follower) -> Self {
        Self { follower, refusals: RefusalLog::new(Instant::now()) }
    }

    /// How far it has come, now and later.
    pub(super) fn done(&self) -> Progress {
        self.follower.done()
    }

    /// Runs until the journal ends.
    pub(super) async fn run(mut self) -> Result<(), journal::Error> {
        while let Some(entries) = self.follower.next().await? {
            self.refusals.turn(Instant::now());
            let mut counts = Counts::default();
            for entry in &entries {
                counts.add(entry);
                self.refusals.tell(entry);
            }
            counts.publish();
        }
        self.refusals.close();
        Ok(())
    }
}

/// What some entries add to the counters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Inputs, by kind.
    inputs: BTreeMap<&'static str, u64>,
    /// Inputs refused unread, by what they are.
    poisoned: BTreeMap<&'static str, u64>,
    /// Readings admitted, by the vital's number.
    readings: [u64; Vital::ALL.len() + 1],
    /// Refusals, by reason.
    rejects: BTreeMap<RejectReason, u64>,
    /// What happened to the order of devices' readings, by kind.
    sequences: BTreeMap<&'static str, u64>,
    /// Alert events, by phase and priority.
    alerts: BTreeMap<(&'static str, &'static str), u64>,
    /// Changes of how patients are watched, by the state they reached.
    monitoring: BTreeMap<&'static str, u64>,
    /// Refused messages that were sent through again.
    redriven: u64,
    /// Audit events, by outcome.
    audit: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn add(&mut self, entry: &Entry) {
        *self.inputs.entry(entry.input.event.kind()).or_default() += 1;
        match entry.input.event {
            Event::Poisoned(Poisoned::Publish(_)) => {
                *self.poisoned.entry("publish").or_default() += 1
            }
            Event::Poisoned(Poisoned::Command(_)) => {
                *self.poisoned.entry("command").or_default() += 1
            }
            _ => {}
        }
        for output in &entry.outputs {
            match output {
                Output::Reading(reading) => {
                    self.readings[usize::from(reading.vital.number())] += 1;
                }
                Output::Reject(reject) => {
                    *self.rejects.entry(reject.reason).or_default() += u64::from(reject.count)
                }
                Output::Alert(event) => {
                    let labels = (event.phase.name(), event.alert.priority.name());
                    *self.alerts.entry(labels).or_default() += 1;
                }
                Output::Monitoring(change) => {
                    *self.monitoring.entry(change.state.name()).or_default() += 1;
                }
                Output::Redriven(_) => self.redriven += 1,
                Output::DeviceSequences(account) => self.add_sequences(&account.events),
                Output::Audit(event) => *self.audit.entry(event.outcome.name()).or_default() += 1,
                Output::Registry(_)
                | Output::Verdict(_)
                | Output::DeviceNumbers(_)
                | Output::Erased(_) => {}
            }
        }
    }

    fn add_sequences(&mut self, events: &SequenceEvents) {
        let SequenceEvents { in_order, reordered, duplicate, amended, restarted, gap } = *events;
        for (kind, count) in [
            ("in_order", in_order),
            ("reordered", reordered),
            ("duplicate", duplicate),
            ("amended", amended),
            ("restarted", restarted),
            ("gap", gap),
        ] {
            if count > 0 {
                *self.sequences.entry(kind).or_default() += u64::from(count);
            }
        }
    }

    fn publish(&self) {
        for (kind, count) in &self.inputs {
            counter!(names::INPUTS_TOTAL, "kind" => *kind).increment(*count);
        }
        for (kind, count) in &self.poisoned {
            counter!(names::INPUTS_POISONED_TOTAL, "kind" => *kind).increment(*count);
        }
        for vital in Vital::ALL {
            let count = self.readings[usize::from(vital.number())];
            if count > 0 {
                counter!(names::READINGS_ADMITTED_TOTAL, "vital" => vital.name()).increment(count);
            }
        }
        for (reason, count) in &self.rejects {
            counter!(names::REJECTS_TOTAL, "reason" => reason.name()).increment(*count);
        }
        if self.redriven > 0 {
            counter!(names::REDRIVEN_TOTAL).increment(self.redriven);
        }
        for (kind, count) in &self.sequences {
            counter!(names::SEQUENCE_EVENTS_TOTAL, "kind" => *kind).increment(*count);
        }
        for (state, count) in &self.monitoring {
            counter!(names::MONITORING_CHANGES_TOTAL, "state" => *state).increment(*count);
        }
        for (outcome, count) in &self.audit {
            counter!(names::AUDIT_EVENTS_TOTAL, "outcome" => *outcome).increment(*count);
        }
        for ((phase, priority), count) in &self.alerts {
            counter!(names::ALERT_EVENTS_TOTAL, "phase" => *phase, "priority" => *priority)
                .increment(*count);
        }
    }
}

/// Writes the lines about refusals, and no more of them than a log can bear.
struct RefusalLog {
    /// When the present window began.
    since: Instant,
    /// Lines written in it.
    lines: u32,
    /// Lines left out of it.
    left_out: u64,
}

impl RefusalLog {
    const fn new(now: Instant) -> Self {
        Self { since: now, lines: 0, left_out: 0 }
    }

    /// Begins a new window if the present one is over.
    fn turn(&mut self, now: Instant) {
        if now.duration_since(self.since) >= WINDOW {
            self.close();
            *self = Self::new(now);
        }
    }

    fn close(&self) {
        if self.left_out > 0 {
            warn!(left_out = self.left_out, "more messages were refused than are logged");
        }
    }

    fn tell(&mut self, entry: &Entry) {
        let Some(publish) = entry.input.event.message() else { return };
        for (reason, refusals) in refusals(entry) {
            if self.lines == LINES_MAX {
                self.left_out += 1;
            } else {
                self.lines += 1;
                warn_of(publish, reason, refusals);
            }
        }
    }
}

/// How often an entry's message was refused, by reason.
fn refusals(entry: &Entry) -> BTreeMap<RejectReason, u64> {
    let mut refusals = BTreeMap::new();
    for output in &entry.outputs {
        if let Output::Reject(reject) = output {
            *refusals.entry(reject.reason).or_default() += u64::from(reject.count);
        }
    }
    refusals
}

/// Of the topic only what is an id is told: the rest may be any text.
fn warn_of(publish: &Publish, reason: RejectReason, refusals: u64) {
    let topic = Topic::parse(&publish.topic).ok();
    let (site, device) = (topic.map(|topic| topic.site), topic.map(|topic| topic.device));
    let (reason, bytes) = (reason.name(), publish.payload.len());
    warn!(site, device, reason, refusals, bytes, "message refused");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::Input;
    use crate::engine::output::{
        DeviceSequences, IntakeCounts, MonitoringChange, MonitoringState, Reject,
    };
    use crate::position::Position;
    use crate::vitals::{DeviceKey, PatientKey};

    fn refused(reasons: &[RejectReason]) -> Entry {
        let topic = "pulseward/v1/north/d-1/readings".to_owned();
        let reject = |reason: &RejectReason| {
            let (topic, reason, detail) = (topic.clone(), *reason, String::new());
            Output::Reject(Box::new(Reject { topic, index: None, reason, detail, count: 1 }))
        };
        let outputs = reasons.iter().map(reject).collect();
        let publish = Publish {
            topic: topic.clone(),
            payload: Bytes::new(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        let input = Input { received_at: Timestamp::EPOCH, event: Event::Publish(publish) };
        Entry { position: Position(1), input, outputs }
    }

    #[test]
    fn every_refusal_counts_and_a_message_is_one_line_for_each_reason() {
        let entry = refused(&[RejectReason::TooOld, RejectReason::NoValue, RejectReason::TooOld]);
        let mut counts = Counts::default();
        counts.add(&entry);
        counts.add(&entry);
        let expected = BTreeMap::from([(RejectReason::NoValue, 2), (RejectReason::TooOld, 4)]);
        assert_eq!(counts.rejects, expected);
        assert_eq!(counts.inputs, BTreeMap::from([("publish", 2)]));
        let mut log = RefusalLog::new(Instant::now());
        log.tell(&entry);
        assert_eq!((log.lines, log.left_out), (2, 0));
    }

    #[test]
    fn changes_of_monitoring_count_by_the_state_that_was_reached() {
        let change = |number: u32, state| {
            Output::Monitoring(Box::new(MonitoringChange {
                patient: "p-1".parse().unwrap(),
                patient_key: PatientKey(number),
                site: "north".parse().unwrap(),
                state,
                since: Timestamp::EPOCH,
                moved_from: None,
            }))
        };
        let mut entry = refused(&[]);
        entry.outputs = vec![
            change(1, MonitoringState::NoData),
            change(2, MonitoringState::NoData),
            change(1, MonitoringState::Monitored),
        ];
        let mut counts = Counts::default();
        counts.add(&entry);
        assert_eq!(counts.monitoring, BTreeMap::from([("monitored", 1), ("no_data", 2)]));
    }

    #[test]
    fn the_order_of_readings_counts_by_kind_since_it_was_told_before() {
        let account = |in_order, gap| {
            Output::DeviceSequences(Box::new(DeviceSequences {
                device: DeviceKey(1),
                boot_id: 7,
                highest_seq: Some(99),
                missing: 0,
                counts: IntakeCounts { accepted: 1_000_000, ..IntakeCounts::default() },
                events: SequenceEvents { in_order, gap, ..SequenceEvents::default() },
                last_seen_at: Timestamp::EPOCH,
                clock_skew_ms: None,
            }))
        };
        let mut entry = refused(&[]);
        entry.outputs = vec![account(1200, 0), account(20, 1)];
        let mut counts = Counts::default();
        counts.add(&entry);
        assert_eq!(counts.sequences, BTreeMap::from([("gap", 1), ("in_order", 1220)]));
    }

    #[test]
    fn a_flood_of_refusals_is_cut_off_and_the_next_window_begins_anew() {
        let begun = Instant::now();
        let mut log = RefusalLog::new(begun);
        for _ in 0..LINES_MAX + 7 {
            log.tell(&refused(&[RejectReason::UnknownDevice]));
        }
        assert_eq!((log.lines, log.left_out), (LINES_MAX, 7));
        log.turn(begun + WINDOW / 2);
        assert_eq!(log.left_out, 7, "the window is not over");
        log.turn(begun + WINDOW);
        assert_eq!((log.lines, log.left_out), (0, 0));
    }
}
