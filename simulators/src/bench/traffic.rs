//! The messages of a benchmark: a ward of wearables that all is well with, and probes whose every
//! second message raises an alert.
//!
//! A wearable measures heart rate, SpO2, respiratory rate and pulse rate five times, and sends the
//! twenty readings at once, in protobuf, with numbers and offsets, as a gateway that saves bytes. A
//! probe sends one perfusion index. The same messages go to the service and, under another first
//! level of the topic, to what it is compared with.

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use prost::bytes::Bytes;

use crate::convert;
use crate::proto::v1;
use crate::publish::Message;
use crate::sample::Batch;

/// Readings of one message of a wearable.
pub(super) const READINGS: u32 = 4 * INSTANTS;
/// The site of the wearables.
pub(super) const WARD: &str = "ward";
/// The site of the probes.
pub(super) const PROBES: &str = "probes";
/// The rule that a probe breaches.
pub(super) const PROBE_RULE: &str = "probe";
/// The profile of the probes' site: one reading raises, at a priority that no flood holds back, and
/// one ends it.
pub(super) const PROBE_PROFILE: &str = r#"
[[rules]]
id = "probe"
kind = "limit"
vital = "perfusion_index"
side = "below"

[[rules.levels]]
priority = "high"
limit = 1
sustained = { delay = "0 s", max_gap = "90 s" }
"#;

const INSTANTS: u32 = 5;
/// Values well within every limit, so that rules judge and nothing alarms.
const VITALS: [(v1::Vital, f64); 4] = [
    (v1::Vital::HeartRate, 72.0),
    (v1::Vital::Spo2, 97.0),
    (v1::Vital::RespiratoryRate, 15.0),
    (v1::Vital::PulseRate, 72.0),
];
const BREACH: f64 = 0.5;
const CLEAR: f64 = 3.0;
const CONTENT_TYPE: &str = "application/protobuf";

/// Who listens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The service.
    Service,
    /// The subscriber that the service is compared with. Its first level is as long as the
    /// service's, so that the messages are.
    Reference,
}

impl To {
    /// The first level of the topic.
    pub(super) const fn root(self) -> &'static str {
        match self {
            Self::Service => "pulseward",
            Self::Reference => "reference",
        }
    }
}

/// Devices of a site, and how far their numbers have come.
#[derive(Clone, Debug)]
pub(super) struct Devices {
    to: To,
    site: &'static str,
    boot_id: u64,
    next_seqs: Vec<u64>,
}

impl Devices {
    /// So many, none of which has sent anything since it began at `began_at`.
    pub(super) fn new(to: To, site: &'static str, count: usize, began_at: Timestamp) -> Self {
        let boot_id = crate::sample::boot_id(began_at);
        Self { to, site, boot_id, next_seqs: vec![1; count] }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.next_seqs.len()
    }

    /// The next message of a wearable: five instants, the last at `until`, so far apart.
    pub(super) fn vitals(
        &mut self,
        device: usize,
        until: Timestamp,
        spacing: SignedDuration,
        sent_at: Timestamp,
    ) -> Message {
        let spacing_ms = i64::try_from(spacing.as_millis()).unwrap_or(i64::MAX);
        let instants = (0..INSTANTS).rev().map(|back| -i64::from(back) * spacing_ms);
        let readings: Vec<_> = instants
            .flat_map(|offset| VITALS.map(|(vital, value)| (offset, vital, value)))
            .enumerate()
            .map(|(index, (offset, vital, value))| reading(offset, vital, value + wobble(index)))
            .collect();
        self.message(device, until, readings, sent_at)
    }

    /// The next message of a wearable that sends each heart rate by itself.
    pub(super) fn single(&mut self, device: usize, at: Timestamp, sent_at: Timestamp) -> Message {
        let (vital, value) = VITALS[0];
        self.message(device, at, vec![reading(0, vital, value)], sent_at)
    }

    /// The next message of a probe.
    pub(super) fn probe(&mut self, device: usize, at: Timestamp, breaches: bool) -> Message {
        let value = if breaches { BREACH } else { CLEAR };
        let readings = vec![reading(0, v1::Vital::PerfusionIndex, value)];
        self.message(device, at, readings, at)
    }

    fn message(
        &mut self,
        device: usize,
        base: Timestamp,
        readings: Vec<v1::Reading>,
        sent_at: Timestamp,
    ) -> Message {
        let first_seq = self.next_seqs[device];
        self.next_seqs[device] += readings.len() as u64;
        let wire = v1::ReadingBatch {
            boot_id: self.boot_id,
            first_seq,
            sent_at: Some(convert::to_timestamp(sent_at)),
            base_time: Some(convert::to_timestamp(base)),
            clock_sync: v1::ClockSync::Synchronised.into(),
            readings,
            ..v1::ReadingBatch::default()
        };
        let device = device_id(self.site, device);
        let topic = format!("{}/v1/{}/{device}/readings", self.to.root(), self.site);
        let payload = Bytes::from(wire.encode_to_vec());
        // What a message carries is in its payload; the publisher need not know it.
        let (device, boot_id, samples) = (device.into(), self.boot_id, Vec::new());
        let batch = Batch { device, boot_id, first_seq, samples };
        Message { topic, content_type: CONTENT_TYPE, payload, batch }
    }
}

/// Values differ a little from one to the next, as measured ones do.
fn wobble(index: usize) -> f64 {
    [0.0, 1.0, -1.0][index % 3]
}

fn reading(offset_ms: i64, vital: v1::Vital, value: f64) -> v1::Reading {
    v1::Reading {
        measured: Some(v1::reading::Measured::OffsetMs(offset_ms)),
        vital: vital.into(),
        value: Some(v1::reading::Value::Quantity(value)),
        ..v1::Reading::default()
    }
}

/// A device's id.
pub(super) fn device_id(site: &str, number: usize) -> String {
    format!("{site}-{number:05}")
}

/// The sheet by which `pulseward enroll` knows who wears what: each device on a patient of its own,
/// since a day ago.
pub(super) fn sheet(site: &str, count: usize, from: Timestamp) -> String {
    let mut sheet = "site,patient_id,device_id,from\n".to_owned();
    for number in 0..count {
        let device = device_id(site, number);
        sheet.push_str(&format!("{site},p-{device},{device},{from}\n"));
    }
    sheet
}

/// The time to which a message's first reading belongs; `None` if it is none of ours.
pub(super) fn base_time(payload: &[u8]) -> Option<Timestamp> {
    v1::ReadingBatch::decode(payload).ok()?.base_time.and_then(convert::from_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn devices(to: To, site: &'static str) -> Devices {
        Devices::new(to, site, 3, time("2026-01-31T08:00:00Z"))
    }

    #[test]
    fn a_wearable_sends_five_instants_of_four_vitals_with_numbers_that_follow_on() {
        let mut ward = devices(To::Service, WARD);
        let now = time("2026-01-31T08:15:00.5Z");
        let send = |ward: &mut Devices, until| {
            let message = ward.vitals(1, until, SignedDuration::from_secs(1), now);
            (message.topic, v1::ReadingBatch::decode(message.payload).expect("ours"))
        };
        let (topic, first) = send(&mut ward, time("2026-01-31T08:15:00Z"));
        let (_, second) = send(&mut ward, time("2026-01-31T08:15:05Z"));
        assert_eq!(topic, "pulseward/v1/ward/ward-00001/readings");
        assert_eq!(first.readings.len(), READINGS as usize);
        assert_eq!((first.first_seq, second.first_seq), (1, 1 + u64::from(READINGS)));
        assert_eq!(first.readings[0].measured, Some(v1::reading::Measured::OffsetMs(-4000)));
        assert_eq!(first.readings[19].measured, Some(v1::reading::Measured::OffsetMs(0)));
    }

    #[test]
    fn a_probes_message_tells_to_the_microsecond_when_it_was_due() {
        let at = time("2026-01-31T08:15:00.123456Z");
        let breach = devices(To::Reference, PROBES).probe(2, at, true);
        assert_eq!(base_time(&breach.payload), Some(at));
        assert_eq!(breach.topic, "reference/v1/probes/probes-00002/readings");
        assert_eq!(base_time(b"\xff\xff"), None);
    }

    #[test]
    fn the_reference_gets_messages_of_the_same_size() {
        let now = time("2026-01-31T08:15:00Z");
        let sizes = [To::Service, To::Reference].map(|to| {
            let message = devices(to, WARD).vitals(0, now, SignedDuration::from_secs(1), now);
            (message.topic.len(), message.payload.len())
        });
        assert_eq!(sizes[0], sizes[1]);
    }

    #[test]
    fn a_sheet_has_a_line_for_each_device() {
        let sheet = sheet(WARD, 2, time("2026-01-31T08:00:00Z"));
        let line = "ward,p-ward-00001,ward-00001,2026-01-31T08:00:00Z";
        assert_eq!(sheet.lines().collect::<Vec<_>>().len(), 3);
        assert_eq!(sheet.lines().last(), Some(line));
    }
}
