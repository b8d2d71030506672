//! Readings that people take by hand: a level of consciousness, oxygen, a manual pressure.
//!
//! They go the way of a device's readings, under a device of their own that is on every patient
//! and in no registry, [`DeviceKey::BY_HAND`](crate::vitals::DeviceKey::BY_HAND). Each is a
//! measurement for itself: nothing is expected of it, so that it never falls silent, and a limit
//! judges it by its spot form.
//!
//! A nurse types in a round's observations some minutes after they were made. What was measured up
//! to [`ENTRY_DELAY`] ago (and the two minutes that every device has) is taken for live: it counts
//! for scores as present, raises and clears. What is older but the newest of its kind may raise,
//! marked delayed, and ends nothing; what was measured before another by hand is retrospective.
//!
//! A condition that a reading by hand began is a person's finding: another one ends it, a device's
//! reading does not, unless it stands in a score, where the newest of any origin counts.
//!
//! Duplicates are told by (vital, measured time, value), over the last [`REMEMBERED_MAX`] of a
//! patient. What is refused is answered, and kept nowhere: who typed it is there to correct it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::place::{self, Placed};
use super::take::{self, Wearing};
use crate::clock::Timestamp;
use crate::engine::bounded;
use crate::engine::decode::{self, Decoded, Refused};
use crate::engine::input::{Encoding, Publish, Schedule};
use crate::engine::output::{Done, Output, Refusal, RejectReason, RejectedReading, Reply};
use crate::engine::profile::Violation;
use crate::engine::state::State;
use crate::vitals::{PatientKey, Value, Vital};

/// How long after an observation it is usually typed in: the time of a patient's round.
const ENTRY_DELAY: Duration = Duration::from_secs(15 * 60);
/// Readings by hand that are recognised when they come again: several rounds of all vitals.
const REMEMBERED_MAX: usize = 128;

/// What was measured by hand on a patient last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::engine) struct ByHand {
    last: VecDeque<(Timestamp, Vital, Value)>,
}

impl ByHand {
    /// These were taken last, the latest at the end.
    pub(in crate::engine) fn restored(readings: &[(Timestamp, Vital, Value)]) -> Self {
        let from = readings.len().saturating_sub(REMEMBERED_MAX);
        Self { last: readings[from..].iter().copied().collect() }
    }

    /// Takes note of a reading; false if it was taken before.
    fn remember(&mut self, reading: &Decoded) -> bool {
        let identity = (reading.measured_at, reading.vital, reading.value);
        if self.last.contains(&identity) {
            return false;
        }
        if self.last.len() == REMEMBERED_MAX {
            self.last.pop_front();
        }
        self.last.push_back(identity);
        true
    }
}

/// Takes readings of a patient that were measured by hand.
pub(in crate::engine) fn record(
    state: &mut State,
    key: PatientKey,
    readings: &Bytes,
    now: Timestamp,
    outputs: &mut Vec<Output>,
) -> Reply {
    let batch = decode::batch(&as_published(readings), &state.general.settings)
        .map_err(|(_, description)| wrong(description))?;
    let retention = state.general.settings.retention;
    let mut refused = batch.refused;
    let mut duplicate = 0;
    let mut placed = Vec::with_capacity(batch.readings.len());
    let patient = state.patients.get_mut(key.index()).expect("the caller looked it up");
    let remembered = patient.by_hand.get_or_insert_default();
    for reading in batch.readings {
        match judge(reading, now, retention) {
            Err((reason, detail)) => refused.push((reading.index, reason, detail)),
            Ok(admitted) if remembered.remember(&reading) => placed.push(admitted),
            Ok(_) => duplicate += 1,
        }
    }
    // Stable, so that readings of one instant keep the order in which they were given.
    placed.sort_by_key(|it| it.reading.measured_at);
    place::doubt_impossible_panels(&mut placed);
    let wearing = Wearing::by_hand(key, schedule());
    state.with_patient(key, now, outputs, |patient, cx| {
        take::take_all(patient, cx, &wearing, &placed);
    });
    refused.sort_by_key(|(index, ..)| *index);
    let accepted = u32::try_from(placed.len()).unwrap_or(u32::MAX);
    Ok(Done::Recorded { accepted, duplicate, rejected: refused.into_iter().map(told).collect() })
}

/// The same bytes as a gateway's, so that the same code reads them.
fn as_published(readings: &Bytes) -> Publish {
    Publish {
        topic: String::new(),
        payload: readings.clone(),
        encoding: Some(Encoding::Protobuf),
        correlation: None,
        retained: false,
    }
}

fn wrong(description: String) -> Refusal {
    Refusal::InvalidArgument(vec![Violation { field: "readings".to_owned(), description }])
}

const fn schedule() -> Schedule {
    Schedule { upload_interval: ENTRY_DELAY, expected_intervals: Vec::new() }
}

/// A person has no sensor that could be off.
fn judge(reading: Decoded, now: Timestamp, retention: Duration) -> Result<Placed, Refused> {
    place::check_clock(reading.measured_at, now, retention)?;
    let vital = reading.vital;
    match reading.value {
        Value::Absent(_) => {
            let detail = "by hand there is a value, or no reading".to_owned();
            Err((RejectReason::NoValue, detail))
        }
        Value::Quantity(quantity) if vital.means_no_sensor(quantity, reading.original) => {
            let detail = format!("that {vital} is what a monitor without a sensor shows");
            Err((RejectReason::ImpossibleValue, detail))
        }
        _ => place::judge(reading, 0, now),
    }
}

fn told((index, reason, detail): (u32, RejectReason, String)) -> RejectedReading {
    RejectedReading { index, reason, detail: bounded(detail) }
}
