//! Which messages a replay sends, and when each is due.
//!
//! A device's samples get their numbers in measured order, over the whole recording, so that
//! neither the batch size nor the speed changes a number. A batch holds the samples of one span
//! of the recording and is due when the last of them is: a device can't send what it has not
//! measured. All of it is kept in memory, which recordings of hours fit well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::timeline::{Span, Timeline};
use crate::bidmc::{Recording, Row};
use crate::sample::{Batch, Numbering, Sample};

/// A batch, and when it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    /// From the begin of the replay.
    pub(super) due: Duration,
    pub(super) batch: Batch,
}

/// A recording's device and patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wearer {
    pub(super) device: Arc<str>,
    pub(super) patient: String,
}

impl Wearer {
    pub(super) fn of(recording: &Recording) -> Self {
        let device = format!("bidmc-{}", recording.number);
        Self { patient: format!("patient-{device}"), device: device.into() }
    }
}

/// How the readings of a device are numbered and put into messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    pub(super) boot_id: u64,
    /// How much of the recording one message carries.
    pub(super) span: Duration,
}

/// From the first to the last moment of the recordings; `None` without any.
pub(super) fn span(recordings: &[Recording]) -> Option<Span> {
    let moments = || recordings.iter().flat_map(|recording| &recording.rows);
    let offsets = || moments().map(|row| row.offset_ms);
    Some(Span { first_ms: offsets().min()?, last_ms: offsets().max()? })
}

/// The messages of all devices, spread over `lanes`; in each lane by due time. A device's
/// messages stand in one lane, so that they stay in order.
pub(super) fn lanes(
    recordings: &[Recording],
    timeline: &Timeline,
    batching: Batching,
    lanes: usize,
) -> Vec<Vec<Planned>> {
    let mut planned = vec![Vec::new(); lanes.clamp(1, recordings.len().max(1))];
    for (lane, recording) in (0..planned.len()).cycle().zip(recordings) {
        planned[lane].extend(device(recording, timeline, batching));
    }
    for lane in &mut planned {
        lane.sort_by_key(|planned| planned.due);
    }
    planned
}

fn device(recording: &Recording, timeline: &Timeline, batching: Batching) -> Vec<Planned> {
    let mut numbering = Numbering::new(Wearer::of(recording).device, batching.boot_id);
    let mut spans: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
    let span_ms = i64::try_from(batching.span.as_millis()).unwrap_or(i64::MAX).max(1);
    for row in recording.rows.iter().filter(|row| !row.values.is_empty()) {
        spans.entry(row.offset_ms.div_euclid(span_ms)).or_default().push(row);
    }
    let plan = |rows: Vec<&Row>| {
        let last_ms = rows.last().map_or(0, |row| row.offset_ms);
        let samples = rows.into_iter().flat_map(|row| samples(row, timeline)).collect();
        Planned { due: timeline.due(last_ms), batch: numbering.number(samples) }
    };
    spans.into_values().map(plan).collect()
}

fn samples(row: &Row, timeline: &Timeline) -> impl Iterator<Item = Sample> {
    let measured_at = timeline.measured_at(row.offset_ms);
    row.values.iter().map(move |(vital, value)| Sample {
        measured_at,
        vital: *vital,
        value: *value,
    })
}

#[cfg(test)]
mod tests {
    use super::super::timeline::{Speed, Start};
    use super::*;
    use crate::sample::Vital;

    /// One row a second from second `first`, with `counts[i]` values in row i.
    fn recording(number: &str, first: i64, counts: &[usize]) -> Recording {
        let row = |(second, count): (i64, &usize)| Row {
            offset_ms: second * 1000,
            values: Vital::STEADY[..*count].iter().map(|vital| (*vital, 80.0)).collect(),
            missing: (4 - count) as u64,
        };
        Recording { number: number.to_owned(), rows: (first..).zip(counts).map(row).collect() }
    }

    fn plan(recordings: &[Recording], batch_seconds: u64, count: usize) -> Vec<Vec<Planned>> {
        let now = "2026-01-31T12:00:00Z".parse().expect("valid");
        let start = Start::At("2026-01-31T11:00:00Z".parse().expect("valid"));
        let span = span(recordings).expect("there are recordings");
        let timeline = Timeline::new(start, Speed::Times(2.0), span, now).expect("not ahead");
        let batching = Batching { boot_id: 9, span: Duration::from_secs(batch_seconds) };
        lanes(recordings, &timeline, batching, count)
    }

    /// (device, first number, samples, due in ms) of each message.
    fn outline(lane: &[Planned]) -> Vec<(&str, u64, usize, u128)> {
        let outline = |Planned { due, batch }: &'_ Planned| {
            (batch.first_seq, batch.samples.len(), due.as_millis())
        };
        let with_device = |planned| {
            let (seq, samples, due) = outline(planned);
            (&*planned.batch.device, seq, samples, due)
        };
        lane.iter().map(with_device).collect()
    }

    #[test]
    fn a_message_a_second_carries_consecutive_numbers_and_skips_what_is_missing() {
        let plan = plan(&[recording("01", -1, &[4, 4, 0, 3])], 1, 1);
        let device = "bidmc-01";
        assert_eq!(outline(&plan[0]), [(device, 1, 4, 0), (device, 5, 4, 0), (device, 9, 3, 1000)]);
    }

    #[test]
    fn a_longer_batch_is_due_with_its_last_sample_and_keeps_every_number() {
        let recordings = [recording("01", -1, &[4, 4, 0, 3, 4, 4])];
        let plan = plan(&recordings, 3, 1);
        let device = "bidmc-01";
        assert_eq!(
            outline(&plan[0]),
            [(device, 1, 4, 0), (device, 5, 7, 1000), (device, 12, 8, 2000)]
        );
    }

    #[test]
    fn every_reading_has_the_same_number_in_batches_of_any_size() {
        let recordings = [recording("01", 0, &[4, 1, 0, 3, 4, 2, 4])];
        let numbered = |batch_seconds| {
            let plan = plan(&recordings, batch_seconds, 1);
            let batches = plan[0].iter().map(|planned| planned.batch.clone());
            batches.flat_map(|batch| (batch.first_seq..).zip(batch.samples)).collect::<Vec<_>>()
        };
        assert_eq!(numbered(1).len(), 18);
        assert_eq!(numbered(1), numbered(2));
        assert_eq!(numbered(1), numbered(100));
    }

    #[test]
    fn a_device_stays_in_one_lane_and_a_lane_is_in_order_of_time() {
        let recordings = ["01", "02", "03"].map(|number| recording(number, 0, &[1, 1]));
        let plan = plan(&recordings, 1, 2);
        assert_eq!(
            outline(&plan[0]),
            [
                ("bidmc-01", 1, 1, 0),
                ("bidmc-03", 1, 1, 0),
                ("bidmc-01", 2, 1, 500),
                ("bidmc-03", 2, 1, 500)
            ]
        );
        assert_eq!(outline(&plan[1]), [("bidmc-02", 1, 1, 0), ("bidmc-02", 2, 1, 500)]);
    }

    #[test]
    fn there_are_never_more_lanes_than_devices() {
        assert_eq!(plan(&[recording("01", 0, &[1])], 1, 8).len(), 1);
    }
}
