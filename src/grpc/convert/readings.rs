//! Readings: requests to queries and stored readings to answers; readings by hand to an action.

use prost::Message as _;

use super::{Violations, wire_duration, wire_timestamp};
use crate::clock::Timestamp;
use crate::engine::input::{Action, Sites};
use crate::engine::output::{Quality, RejectedReading};
use crate::engine::profile::Violation;
use crate::proto::v1;
use crate::proto::v1::stored_reading::Value as WireValue;
use crate::store::{LatestQuery, ReadingsPage, ReadingsQuery, StoredReading};
use crate::vitals::{Value, Vital};

/// A page, if the caller names no size.
const PAGE_SIZE_DEFAULT: u32 = 1_000;
/// The largest page: under 1 MiB on the wire.
const PAGE_SIZE_MAX: u32 = 10_000;
/// Page tokens of ours are far shorter; a longer one is refused before it is read.
pub(super) const PAGE_TOKEN_BYTES_MAX: usize = 1024;
/// Readings by hand at once: more than a round brings in.
const RECORDED_MAX: usize = 100;

/// The query of `request`, by a caller who may see `sites`.
pub(in crate::grpc) fn query(
    request: &v1::ListReadingsRequest,
    sites: Sites,
) -> Result<ReadingsQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let vitals = vitals(&mut wrong, &request.vitals);
    let (from, until) = wrong.required_times(request.from.as_ref(), request.until.as_ref());
    let page_size = page_size(&mut wrong, request.page_size);
    let page_token = wrong.optional_text("page_token", &request.page_token, PAGE_TOKEN_BYTES_MAX);
    wrong.finish(|| {
        Some(ReadingsQuery {
            patient: patient?,
            sites,
            vitals,
            from: from?,
            until: until?,
            page_size: page_size?,
            page_token: page_token?,
        })
    })
}

pub(super) fn vitals(wrong: &mut Violations, numbers: &[i32]) -> Vec<Vital> {
    let mut vitals: Vec<_> = numbers
        .iter()
        .enumerate()
        .filter_map(|(index, number)| wrong.vital(&format!("vitals[{index}]"), *number))
        .collect();
    vitals.sort_unstable();
    vitals.dedup();
    vitals
}

pub(super) fn page_size(wrong: &mut Violations, asked: i32) -> Option<u32> {
    wrong.page_size(asked, PAGE_SIZE_DEFAULT).map(|size| size.min(PAGE_SIZE_MAX))
}

pub(in crate::grpc) fn page(page: ReadingsPage) -> v1::ListReadingsResponse {
    v1::ListReadingsResponse {
        readings: page.readings.iter().map(stored_reading).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

/// The readings are passed on as they are: what is wrong with one of them refuses that one only,
/// and is found where the readings of devices are judged.
pub(in crate::grpc) fn record(
    request: &v1::RecordReadingsRequest,
) -> Result<Action, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    match request.readings.len() {
        0 => wrong.add("readings", "required"),
        count if count > RECORDED_MAX => {
            wrong.add("readings", format!("{count} readings; at most {RECORDED_MAX}"));
        }
        _ => {}
    }
    wrong.finish(|| {
        let readings = request.readings.clone();
        let batch = v1::ReadingBatch { readings, ..v1::ReadingBatch::default() };
        Some(Action::RecordReadings { patient: patient?, readings: batch.encode_to_vec().into() })
    })
}

pub(in crate::grpc) fn rejected(reading: RejectedReading) -> v1::Rejected {
    let RejectedReading { index, reason, detail } = reading;
    v1::Rejected { index, reason: i32::from(reason as u8), detail }
}

/// The query of `request`, by a caller who may see `sites`.
pub(in crate::grpc) fn latest_query(
    request: &v1::GetLatestVitalsRequest,
    sites: Sites,
) -> Result<LatestQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let vitals = vitals(&mut wrong, &request.vitals);
    wrong.finish(|| Some(LatestQuery { patient: patient?, sites, vitals }))
}

pub(in crate::grpc) fn latest(
    readings: &[StoredReading],
    now: Timestamp,
) -> v1::GetLatestVitalsResponse {
    v1::GetLatestVitalsResponse {
        readings: readings.iter().map(stored_reading).collect(),
        service_time: Some(wire_timestamp(now)),
    }
}

pub(super) fn stored_reading(reading: &StoredReading) -> v1::StoredReading {
    let original_unit = reading.original.map(|(_, unit)| unit.ucum().to_owned());
    v1::StoredReading {
        measured_at: Some(wire_timestamp(reading.measured_at)),
        vital: i32::from(reading.vital.number()),
        value: Some(value(reading.value)),
        unit: reading.vital.unit().ucum().to_owned(),
        flags: flags(reading.quality),
        device_id: reading.device.to_string(),
        received_at: Some(wire_timestamp(reading.received_at)),
        stored_at: Some(wire_timestamp(reading.stored_at)),
        original_quantity: reading.original.map(|(quantity, _)| quantity.to_f64()),
        original_unit: original_unit.unwrap_or_default(),
        interval: reading.interval.map(wire_duration),
        measurement_id: reading.measurement_id,
    }
}

pub(super) fn value(value: Value) -> WireValue {
    match value {
        Value::Quantity(quantity) => WireValue::Quantity(quantity.to_f64()),
        Value::Consciousness(level) => WireValue::Consciousness(level as i32),
        Value::Absent(reason) => WireValue::Absent(reason as i32),
    }
}

pub(super) fn flags(quality: Quality) -> Vec<i32> {
    use v1::ReadingFlag;
    [
        (Quality::QUESTIONABLE, ReadingFlag::Questionable),
        (Quality::IMPLAUSIBLE, ReadingFlag::Implausible),
        (Quality::NO_SENSOR, ReadingFlag::NoSensor),
        (Quality::LATE, ReadingFlag::Late),
        (Quality::CLOCK_AHEAD, ReadingFlag::ClockAhead),
        (Quality::TEST, ReadingFlag::Test),
        (Quality::DEMO, ReadingFlag::Demo),
        (Quality::AMENDED, ReadingFlag::Amended),
        (Quality::CLOCK_UNSET, ReadingFlag::ClockUnset),
    ]
    .into_iter()
    .filter_map(|(bit, flag)| quality.has(bit).then_some(flag as i32))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::ListReadingsRequest {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::ListReadingsRequest {
            patient_id: "p-1".into(),
            from: at(0),
            until: at(60),
            ..v1::ListReadingsRequest::default()
        }
    }

    #[test]
    fn a_page_has_a_default_size_and_a_largest_one() {
        for (asked, size) in [(0, 1_000), (1, 1), (10_000, 10_000), (i32::MAX, 10_000)] {
            let request = v1::ListReadingsRequest { page_size: asked, ..request() };
            assert_eq!(query(&request, Sites::All).expect("valid").page_size, size);
        }
    }

    #[test]
    fn every_wrong_field_of_a_query_is_named_by_its_path() {
        let request = v1::ListReadingsRequest {
            patient_id: String::new(),
            vitals: vec![1, 0, 77],
            until: request().from,
            page_size: -1,
            page_token: "x".repeat(PAGE_TOKEN_BYTES_MAX + 1),
            ..request()
        };
        let violations = query(&request, Sites::All).expect_err("wrong");
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            ["patient_id", "vitals[1]", "vitals[2]", "until", "page_size", "page_token"]
        );
    }

    #[test]
    fn a_vital_asked_for_twice_is_asked_for_once() {
        let request = v1::ListReadingsRequest { vitals: vec![3, 1, 3], ..request() };
        let query = query(&request, Sites::All).expect("valid");
        assert_eq!(query.vitals, [Vital::HeartRate, Vital::Spo2]);
    }

    #[test]
    fn each_bit_of_quality_has_its_flag() {
        assert_eq!(flags(Quality(0b1_0111_1111)), [1, 2, 3, 4, 5, 6, 7, 9]);
        assert_eq!(flags(Quality::LATE.with(Quality::DEMO)), [4, 7]);
    }
}
