//! Live vitals: requests to filters, and what is told to messages.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use super::readings::{flags, value, vitals};
use super::{Violations, wire_duration, wire_timestamp};
use crate::engine::input::Sites;
use crate::engine::output::Reading;
use crate::engine::profile::Violation;
use crate::engine::query::{LiveQuestion, NewestReading};
use crate::hub::vitals::{LiveReading, Told, VitalsFilter};
use crate::proto::v1;
use crate::proto::v1::watch_vitals_response::{Heartbeat, LeftScope, Live, Message};
use crate::vitals::InvalidId;

/// Sites that a stream may name.
const SITES_MAX: usize = 100;
/// Patients that a stream may name.
const PATIENTS_MAX: usize = 1000;
/// Readings a second of a patient's vital, if the caller names no rate.
const PER_SECOND_DEFAULT: f64 = 1.0;
/// The slowest rate: one in 100 s.
const PER_SECOND_MIN: f64 = 0.01;
/// The fastest rate: more than eyes can follow.
const PER_SECOND_MAX: f64 = 10.0;
/// Patients whose newest readings are asked for at once: well under a millisecond of the engine.
const PAGE_PATIENTS: u32 = 256;

/// What `request` wants, by a caller who may see `scope`.
pub(in crate::grpc) fn filter(
    request: &v1::WatchVitalsRequest,
    scope: &Sites,
) -> Result<VitalsFilter, Vec<Violation>> {
    let mut wrong = Violations::default();
    if request.site_ids.is_empty() && request.patient_ids.is_empty() {
        wrong.add("site_ids", "required, or patient_ids");
    }
    let sites = ids(&mut wrong, "site_ids", &request.site_ids, SITES_MAX);
    let patients = ids(&mut wrong, "patient_ids", &request.patient_ids, PATIENTS_MAX);
    let vitals = vitals(&mut wrong, &request.vitals);
    let interval = interval(&mut wrong, request.per_second_max);
    wrong.finish(|| {
        let (scope, vitals) = (scope.clone(), vitals.into_iter().collect());
        Some(VitalsFilter { scope, sites, patients, vitals, interval: interval? })
    })
}

fn ids<Id: FromStr<Err = InvalidId> + Ord>(
    wrong: &mut Violations,
    field: &str,
    texts: &[String],
    most: usize,
) -> BTreeSet<Id> {
    if texts.len() > most {
        wrong.add(field, format!("{} ids; at most {most}", texts.len()));
        return BTreeSet::new();
    }
    let id = |(index, text): (usize, &String)| wrong.id(&format!("{field}[{index}]"), text);
    texts.iter().enumerate().filter_map(id).collect()
}

/// How far two readings of a vital are apart at least.
fn interval(wrong: &mut Violations, per_second: f64) -> Option<Duration> {
    let per_second = if per_second == 0.0 { PER_SECOND_DEFAULT } else { per_second };
    if (PER_SECOND_MIN..=PER_SECOND_MAX).contains(&per_second) {
        return Some(Duration::from_secs_f64(per_second.recip()));
    }
    wrong.refuse("per_second_max", "not from 0.01 to 10")
}

/// Asks for what is known of those whom a stream shows: the first page.
pub(in crate::grpc) fn question(filter: &VitalsFilter) -> LiveQuestion {
    LiveQuestion {
        sites: filter.sites.clone(),
        patients: filter.patients.clone(),
        vitals: filter.vitals.clone(),
        behind: None,
        limit: PAGE_PATIENTS,
    }
}

/// What the engine knows, as the hub tells it.
pub(in crate::grpc) fn known(newest: NewestReading) -> LiveReading {
    let reading = Reading {
        measured_at: newest.measured_at,
        patient: newest.patient_key,
        device: newest.device_key,
        vital: newest.vital,
        value: newest.value,
        quality: newest.quality,
        original: None,
        interval: None,
        measurement_id: 0,
    };
    LiveReading { patient: newest.patient, device: newest.device, reading, received_at: None }
}

pub(in crate::grpc) fn message(told: Told) -> Message {
    match told {
        Told::Reading { live, conflated } => Message::Reading(Live {
            patient_id: live.patient.to_string(),
            reading: Some(live_reading(&live)),
            conflated,
        }),
        Told::Left(patient) => Message::LeftScope(LeftScope { patient_id: patient.to_string() }),
        Told::Heartbeat(heartbeat) => Message::Heartbeat(Heartbeat {
            service_time: Some(wire_timestamp(heartbeat.service_time)),
            ingest_connected: heartbeat.ingest_connected,
            engine_lag: Some(wire_duration(heartbeat.engine_lag)),
        }),
    }
}

pub(in crate::grpc) const fn response(message: Message) -> v1::WatchVitalsResponse {
    v1::WatchVitalsResponse { message: Some(message) }
}

fn live_reading(live: &LiveReading) -> v1::StoredReading {
    let reading = &live.reading;
    let original_unit = reading.original.map(|(_, unit)| unit.ucum().to_owned());
    v1::StoredReading {
        measured_at: Some(wire_timestamp(reading.measured_at)),
        vital: i32::from(reading.vital.number()),
        value: Some(value(reading.value)),
        unit: reading.vital.unit().ucum().to_owned(),
        flags: flags(reading.quality),
        device_id: live.device.to_string(),
        received_at: live.received_at.map(wire_timestamp),
        stored_at: None,
        original_quantity: reading.original.map(|(quantity, _)| quantity.to_f64()),
        original_unit: original_unit.unwrap_or_default(),
        interval: reading.interval.map(wire_duration),
        measurement_id: reading.measurement_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::WatchVitalsRequest {
        v1::WatchVitalsRequest {
            site_ids: vec!["north".into()],
            ..v1::WatchVitalsRequest::default()
        }
    }

    #[test]
    fn a_rate_becomes_how_far_readings_are_apart() {
        for (per_second_max, millis) in [(0.0, 1000), (1.0, 1000), (10.0, 100), (0.01, 100_000)] {
            let request = v1::WatchVitalsRequest { per_second_max, ..request() };
            let filter = filter(&request, &Sites::All).expect("valid");
            assert_eq!(filter.interval, Duration::from_millis(millis), "{per_second_max}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let fields = |request: &v1::WatchVitalsRequest| {
            let wrong = filter(request, &Sites::All).expect_err("wrong");
            wrong.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        let many = vec!["p".to_owned(); PATIENTS_MAX + 1];
        let wrong = v1::WatchVitalsRequest {
            site_ids: vec!["north".into(), "a b".into()],
            patient_ids: many,
            vitals: vec![77],
            per_second_max: 11.0,
        };
        assert_eq!(fields(&wrong), ["site_ids[1]", "patient_ids", "vitals[0]", "per_second_max"]);
        for per_second_max in [-1.0, 0.009, f64::NAN, f64::INFINITY] {
            let wrong = v1::WatchVitalsRequest { per_second_max, ..request() };
            assert_eq!(fields(&wrong), ["per_second_max"], "{per_second_max}");
        }
        assert_eq!(fields(&v1::WatchVitalsRequest::default()), ["site_ids"]);
    }
}
