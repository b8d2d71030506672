//! What readings are to the patient who wears their device: live, delayed or late, and so to which
//! rules they go, and what they prove of the sensor.

use std::sync::Arc;
use std::time::Duration;

use super::LIVE_WINDOW_GRACE;
use super::place::{Grade, Placed};
use crate::clock::Timestamp;
use crate::engine::alerts::Trigger;
use crate::engine::context::Context;
use crate::engine::decode::Decoded;
use crate::engine::input::Schedule;
use crate::engine::late;
use crate::engine::monitoring;
use crate::engine::output::{Output, Quality, Reading};
use crate::engine::patient::{Channel, Patient, Source};
use crate::engine::profile::TechnicalCondition;
use crate::engine::rules::technical::{self, Fault};
use crate::engine::rules::track::Weight;
use crate::engine::rules::{self, Seen, absence, score, silence};
use crate::engine::state::State;
use crate::vitals::{AbsentReason, DeviceKey, Mode, PatientKey, Quantity, Vital};

/// A device on a patient, for the readings of one batch.
pub(super) struct Wearing {
    device: DeviceKey,
    pub(super) patient: PatientKey,
    /// How it measures and sends.
    schedule: Arc<Schedule>,
    /// Whether the binding has ended since.
    is_over: bool,
    /// How old a reading may be and still be live.
    live_window: Duration,
    mode: Mode,
}

impl Wearing {
    pub(super) fn of(state: &State, device: DeviceKey, index: usize, mode: Mode) -> Self {
        let binding = &state.device(device).bindings[index];
        Self {
            device,
            patient: binding.patient,
            schedule: Arc::clone(&binding.schedule),
            is_over: binding.until.is_some(),
            live_window: binding.schedule.upload_interval.saturating_add(LIVE_WINDOW_GRACE),
            mode,
        }
    }

    /// What people measure by hand on a patient, as if a device of its own measured it.
    pub(super) fn by_hand(patient: PatientKey, schedule: Schedule) -> Self {
        Self {
            device: DeviceKey::BY_HAND,
            patient,
            is_over: false,
            live_window: schedule.upload_interval.saturating_add(LIVE_WINDOW_GRACE),
            schedule: Arc::new(schedule),
            mode: Mode::Real,
        }
    }

    fn timing(&self, patient: &Patient, placed: &Placed, now: Timestamp) -> Timing {
        let Decoded { measured_at, vital, historical, .. } = placed.reading;
        let channel = patient.channel_index(self.device, vital);
        let is_newest =
            channel.is_none_or(|channel| measured_at > patient.channels[channel].newest);
        // An amendment comes after what it amends, whether that was live or not.
        let amends = placed.quality.has(Quality::AMENDED);
        if self.is_over || historical || amends || !is_newest {
            Timing::Late
        } else if now.since(measured_at) <= self.live_window {
            Timing::Live
        } else {
            Timing::Delayed
        }
    }
}

/// When a reading arrived, as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    Live,
    Delayed,
    Late,
}

/// Takes in the readings of one device that are one patient's, in measured order.
pub(super) fn take_all(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    wearing: &Wearing,
    placed: &[Placed],
) {
    let at_once =
        |one: &Placed, other: &Placed| one.reading.measured_at == other.reading.measured_at;
    for instant in placed.chunk_by(at_once) {
        let mut is_scored = false;
        for placed in instant {
            let is_judged = take(patient, cx, wearing, placed);
            is_scored |= is_judged && cx.rules.scores_are_made_of(placed.reading.vital);
        }
        if is_scored {
            score::observe(patient, cx, instant[0].reading.measured_at, Weight::Full);
        }
    }
    if patient.late.is_some() {
        late::conclude(patient, cx);
    }
}

/// Takes one reading in; true if the rules judged it as one that is live.
fn take(patient: &mut Patient, cx: &mut Context<'_>, wearing: &Wearing, placed: &Placed) -> bool {
    let now = cx.moment.now;
    let timing = wearing.timing(patient, placed, now);
    let reading = reading(wearing, placed, timing);
    cx.outputs.push(Output::Reading(reading));
    if wearing.mode != Mode::Real {
        return false;
    }
    match timing {
        Timing::Late => {
            fold(patient, cx, wearing, placed);
            false
        }
        Timing::Live | Timing::Delayed => hear(patient, cx, wearing, (placed, &reading), timing),
    }
}

fn reading(wearing: &Wearing, placed: &Placed, timing: Timing) -> Reading {
    let late = if timing == Timing::Live { Quality(0) } else { Quality::LATE };
    let mode = match wearing.mode {
        Mode::Real => Quality(0),
        Mode::Test => Quality::TEST,
        Mode::Demo => Quality::DEMO,
    };
    Reading {
        measured_at: placed.reading.measured_at,
        patient: wearing.patient,
        device: wearing.device,
        vital: placed.reading.vital,
        value: placed.reading.value,
        quality: placed.quality.with(late).with(mode),
        original: placed.reading.original,
        interval: placed.reading.interval,
        measurement_id: placed.reading.measurement_id,
    }
}

fn seen(placed: &Placed, value: Quantity, weight: Weight, delayed_by: Option<Duration>) -> Seen {
    Seen { measured_at: placed.reading.measured_at, value, weight, delayed_by }
}

fn fold(patient: &mut Patient, cx: &mut Context<'_>, wearing: &Wearing, placed: &Placed) {
    let Decoded { measured_at, vital, .. } = placed.reading;
    let source = Source::Channel(wearing.device, vital);
    let (value, weight) = match placed.grade {
        Grade::Plausible(value) => (value, Weight::Full),
        Grade::Implausible(value) => (value, Weight::Doubtful),
        Grade::Missing(_) => {
            let spacing = spacing(patient, cx, wearing, vital);
            return absence::miss_late(patient, cx, source, spacing, measured_at);
        }
        Grade::Doubted => return,
    };
    let spacing = spacing(patient, cx, wearing, vital);
    rules::observe_late(patient, cx, source, spacing, seen(placed, value, weight, None));
}

/// How far apart a limit is to think the readings of a vital, also of a binding that is over.
fn spacing(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    wearing: &Wearing,
    vital: Vital,
) -> Option<Duration> {
    if wearing.is_over {
        let heard = cx.moment.attentive;
        return Channel::new(wearing.device, vital, &wearing.schedule, heard).spacing();
    }
    let index = channel_for(patient, cx, wearing, vital);
    patient.channels[index].spacing()
}

/// Takes in the newest reading of a channel; true if it was judged as one that is live.
fn hear(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    wearing: &Wearing,
    (placed, reading): (&Placed, &Reading),
    timing: Timing,
) -> bool {
    let index = channel_for(patient, cx, wearing, placed.reading.vital);
    let measured_at = placed.reading.measured_at;
    let channel = &mut patient.channels[index];
    channel.note(reading);
    channel.heard = cx.moment.attentive;
    let source = channel.source();
    if !patient.tracks.is_empty() {
        let trigger = heard(placed);
        silence::end(patient, cx, source, &trigger);
    }
    let age = cx.moment.now.since(measured_at);
    let delayed_by = (timing == Timing::Delayed).then_some(age);
    match placed.grade {
        Grade::Plausible(value) => {
            let weight = if timing == Timing::Live { Weight::Full } else { Weight::Delayed };
            let seen = seen(placed, value, weight, delayed_by);
            rules::observe(patient, cx, index, seen);
            note_value(patient, cx, index, seen);
            timing == Timing::Live
        }
        Grade::Implausible(value) => {
            let seen = seen(placed, value, Weight::Doubtful, delayed_by);
            rules::observe(patient, cx, index, seen);
            false
        }
        Grade::Missing(reason) => {
            absence::miss(patient, cx, index, (measured_at, delayed_by));
            note_missing(patient, cx, source, reason);
            false
        }
        Grade::Doubted => false,
    }
}

/// What says that a source is not silent.
fn heard(placed: &Placed) -> Trigger {
    let Decoded { measured_at, vital, value, .. } = placed.reading;
    Trigger::Readings(vec![crate::engine::alerts::DecidingReading { measured_at, vital, value }])
}

fn channel_for(
    patient: &mut Patient,
    cx: &mut Context<'_>,
    wearing: &Wearing,
    vital: Vital,
) -> usize {
    patient.channel_index(wearing.device, vital).unwrap_or_else(|| {
        let channel = Channel::new(wearing.device, vital, &wearing.schedule, cx.moment.attentive);
        cx.is_changed = true;
        patient.add_channel(channel)
    })
}

/// A value was judged: it is what is known of the vital now, and proves that the sensor works.
fn note_value(patient: &mut Patient, cx: &mut Context<'_>, index: usize, seen: Seen) {
    let channel = &mut patient.channels[index];
    (channel.judged_at, channel.value) = (seen.measured_at, seen.value);
    let source = channel.source();
    if seen.weight == Weight::Full {
        channel.valued = cx.moment.attentive;
        let was_stale = std::mem::take(&mut channel.is_stale);
        if was_stale {
            cx.is_changed = true;
            monitoring::review(patient, cx);
        }
        if !patient.tracks.is_empty() {
            absence::revive(patient, cx, source, seen);
        }
    }
    if !patient.tracks.is_empty() {
        for condition in [TechnicalCondition::SensorOff, TechnicalCondition::DeviceFault] {
            let fault = Fault::Absent(condition);
            technical::note(patient, cx, source, fault, &Trigger::DeviceStatus);
        }
    }
}

fn note_missing(patient: &mut Patient, cx: &mut Context<'_>, source: Source, reason: AbsentReason) {
    let condition = match reason {
        AbsentReason::SensorOff => TechnicalCondition::SensorOff,
        AbsentReason::Error => TechnicalCondition::DeviceFault,
        AbsentReason::Unknown | AbsentReason::NotANumber | AbsentReason::Artefact => return,
    };
    technical::note(patient, cx, source, Fault::Present(condition), &Trigger::DeviceStatus);
}
