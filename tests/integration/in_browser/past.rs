//! A ward that has a past: hours of vitals as they are on a ward, with episodes of every priority, a
//! patient whose wearable was off for a while, and what devices say of themselves.
//!
//! The same ward each time: nothing is drawn by chance.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::proto::v1;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{Batch, Numbering, Sample, Vital};

use super::bedside::device_of;

/// Between two samples of a vital.
const EVERY: SignedDuration = SignedDuration::from_secs(20);
/// What one message carries.
const BATCH_ROUNDS: usize = 15;
/// In each how manieth round slow vitals are measured.
const SLOW_ROUNDS: usize = 45;

/// Something that befell a patient.
struct Episode {
    /// Their place in the ward.
    place: usize,
    vital: Vital,
    /// When it began, before now.
    minutes_ago: i64,
    seconds: i64,
    /// How far the vital moved from what it is for them.
    by: f64,
}

const fn episode(place: usize, vital: Vital, minutes_ago: i64, seconds: i64, by: f64) -> Episode {
    Episode { place, vital, minutes_ago, seconds, by }
}

/// Two patients make most of them, as it is on wards; some are over within half a minute.
const EPISODES: [Episode; 16] = [
    episode(0, Vital::Spo2, 150, 240, -9.0),
    episode(0, Vital::Spo2, 131, 25, -6.0),
    episode(0, Vital::Spo2, 112, 25, -6.0),
    episode(0, Vital::Spo2, 95, 600, -14.0),
    episode(0, Vital::Spo2, 61, 25, -6.0),
    episode(0, Vital::Spo2, 33, 180, -8.0),
    episode(1, Vital::HeartRate, 160, 900, 52.0),
    episode(1, Vital::HeartRate, 102, 25, 50.0),
    episode(1, Vital::HeartRate, 74, 420, 55.0),
    episode(1, Vital::HeartRate, 21, 25, 50.0),
    episode(2, Vital::RespiratoryRate, 140, 300, 12.0),
    episode(2, Vital::RespiratoryRate, 55, 25, 11.0),
    episode(3, Vital::Spo2, 85, 120, -7.0),
    episode(5, Vital::HeartRate, 120, 25, 49.0),
    episode(7, Vital::RespiratoryRate, 44, 180, 12.0),
    episode(9, Vital::Spo2, 66, 25, -6.0),
];

/// Whose wearable was off, and for which minutes before now.
const OFF: (usize, i64, i64) = (0, 58, 41);

/// What patients at these places measured until `now`, in the order in which it was sent.
pub(super) fn messages(
    site: &str,
    devices: &mut [Numbering],
    hours: i64,
    now: Timestamp,
) -> Vec<Message> {
    let rounds = usize::try_from(hours * 3600 / EVERY.as_secs()).expect("hours");
    let start = now - SignedDuration::from_hours(hours);
    let mut messages = Vec::new();
    for first in (0..rounds).step_by(BATCH_ROUNDS) {
        for (place, device) in devices.iter_mut().enumerate() {
            let of = first..(first + BATCH_ROUNDS).min(rounds);
            let samples: Vec<_> = of.flat_map(|round| measured(place, start, round, now)).collect();
            if !samples.is_empty() {
                let batch = device.number(samples);
                messages.push(encode::message(site, batch, Encoding::Protobuf, now));
            }
        }
    }
    messages
}

/// What a wearable measures in one round.
fn measured(place: usize, start: Timestamp, round: usize, now: Timestamp) -> Vec<Sample> {
    let at = start + EVERY * i32::try_from(round).expect("hours");
    let (whose, off_from, off_until) = OFF;
    let ago = (now - at).get_seconds() / 60;
    if place == whose && ago <= off_from && ago > off_until {
        return Vec::new();
    }
    let slow = if round.is_multiple_of(SLOW_ROUNDS) { &Vital::SLOW[..3] } else { &[] };
    let vitals = Vital::STEADY.iter().chain(slow);
    vitals.map(|vital| sample(place, *vital, at, now)).collect()
}

fn sample(place: usize, vital: Vital, at: Timestamp, now: Timestamp) -> Sample {
    let moved = EPISODES.iter().filter(|episode| episode.place == place && episode.vital == vital);
    let moved = moved.filter(|episode| {
        let since = (at - now).get_seconds() + episode.minutes_ago * 60;
        (0..episode.seconds).contains(&since)
    });
    let by: f64 = moved.map(|episode| episode.by).sum();
    Sample { measured_at: at, vital, value: value(place, vital, at) + by }
}

/// What a vital is for the patient at this place, at rest, at this time: never quite the same.
pub(super) fn value(place: usize, vital: Vital, at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some hours, in seconds, and a few places")]
    let (seconds, place) = ((at.as_second() % 86_400) as f64, place as f64);
    let wave = |period: f64, shift: f64| (seconds / period + shift * place).sin();
    let (rest, spread) = match vital {
        Vital::HeartRate | Vital::PulseRate => (74.0 + 6.0 * (place * 1.7).sin(), 4.0),
        Vital::RespiratoryRate => (15.0 + 2.0 * (place * 2.3).sin(), 1.4),
        Vital::Spo2 => (96.4 + (place * 1.1).sin(), 0.8),
        Vital::SystolicPressure => (122.0 + 9.0 * (place * 0.9).sin(), 4.0),
        Vital::DiastolicPressure => (76.0 + 5.0 * (place * 0.9).sin(), 3.0),
        Vital::BodyTemperature => (36.8 + 0.3 * (place * 2.9).sin(), 0.1),
        Vital::BloodGlucose => (104.0, 8.0),
    };
    let moving = rest + spread * (0.6 * wave(610.0, 1.0) + 0.4 * wave(47.0, 2.0));
    match vital {
        Vital::BodyTemperature => (moving * 10.0).round() / 10.0,
        _ => moving.round(),
    }
}

/// What devices say of themselves, and messages that are refused.
pub(super) fn said(site: &str, patients: &[&str], now: Timestamp) -> Vec<Message> {
    let batteries = [81, 64, 92, 17, 55, 78, 6, 88, 43, 97, 71, 60];
    let statuses = patients.iter().zip(batteries).map(|(patient, battery)| {
        let status = v1::DeviceStatus {
            online: true,
            boot_id: 1,
            at: Some(prost_types::Timestamp { seconds: now.as_second() - 60, nanos: 0 }),
            battery_percent: Some(battery),
            sensor_attached: Some(true),
            firmware: "2.4.1".to_owned(),
            ..v1::DeviceStatus::default()
        };
        raw(site, &device_of(patient), "status", status.encode_to_vec())
    });
    let unreadable = raw(site, &device_of(patients[1]), "readings", b"\x0a\xff\x01".to_vec());
    let unknown = {
        let mut stranger = Numbering::new("wearable-unlisted".into(), 1);
        let at = now - SignedDuration::from_secs(30);
        let sample = Sample { measured_at: at, vital: Vital::HeartRate, value: 77.0 };
        encode::message(site, stranger.number(vec![sample]), Encoding::Protobuf, now)
    };
    statuses.chain([unreadable, unknown]).collect()
}

fn raw(site: &str, device: &str, kind: &str, payload: Vec<u8>) -> Message {
    let batch = Batch { device: Arc::from(device), boot_id: 1, first_seq: 1, samples: Vec::new() };
    Message {
        topic: format!("pulseward/v1/{site}/{device}/{kind}"),
        content_type: Encoding::Protobuf.content_type(),
        payload: payload.into(),
        batch,
    }
}
