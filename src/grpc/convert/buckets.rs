//! Readings in buckets: a request to a query, and buckets to an answer.

use std::time::Duration;

use super::readings::{PAGE_TOKEN_BYTES_MAX, page_size, vitals};
use super::{Violations, wire_timestamp};
use crate::engine::input::Sites;
use crate::engine::profile::Violation;
use crate::proto::v1;
use crate::store::{BucketsPage, BucketsQuery, ReadingBucket};
use crate::vitals::Vital;

const MINUTE: Duration = Duration::from_secs(60);
/// The widest bucket.
const WIDTH_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// The query of `request`, by a caller who may see `sites`.
pub(in crate::grpc) fn query(
    request: &v1::AggregateReadingsRequest,
    sites: Sites,
) -> Result<BucketsQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    if request.vitals.is_empty() {
        wrong.add("vitals", "required");
    }
    let vitals = vitals(&mut wrong, &request.vitals);
    if vitals.contains(&Vital::Consciousness) {
        wrong.add("vitals", "levels of consciousness have no sum");
    }
    let (from, until) = wrong.required_times(request.from.as_ref(), request.until.as_ref());
    let width = width(&mut wrong, request.bucket.as_ref());
    let page_size = page_size(&mut wrong, request.page_size);
    let page_token = wrong.text("page_token", &request.page_token, PAGE_TOKEN_BYTES_MAX);
    wrong.finish(|| {
        Some(BucketsQuery {
            patient: patient?,
            sites,
            vitals,
            from: from?,
            until: until?,
            width: width?,
            page_size: page_size?,
            page_token: Some(page_token?).filter(|token| !token.is_empty()),
        })
    })
}

fn width(wrong: &mut Violations, asked: Option<&prost_types::Duration>) -> Option<Duration> {
    let width = wrong.required_span("bucket", asked)?;
    let is_whole = width.subsec_nanos() == 0 && width.as_secs() % MINUTE.as_secs() == 0;
    if is_whole && (MINUTE..=WIDTH_MAX).contains(&width) {
        return Some(width);
    }
    wrong.refuse("bucket", "not whole minutes from 1 min to 31 days")
}

pub(in crate::grpc) fn page(page: BucketsPage) -> v1::AggregateReadingsResponse {
    v1::AggregateReadingsResponse {
        buckets: page.buckets.iter().map(bucket).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

fn bucket(bucket: &ReadingBucket) -> v1::ReadingBucket {
    v1::ReadingBucket {
        from: Some(wire_timestamp(bucket.from)),
        vital: i32::from(bucket.vital.number()),
        unit: bucket.vital.unit().ucum().to_owned(),
        count: bucket.count,
        min: bucket.min.to_f64(),
        max: bucket.max.to_f64(),
        mean: bucket.mean,
        last: bucket.last.to_f64(),
        last_measured_at: Some(wire_timestamp(bucket.last_measured_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::AggregateReadingsRequest {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::AggregateReadingsRequest {
            patient_id: "p-1".into(),
            vitals: vec![1],
            from: at(0),
            until: at(60),
            bucket: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..v1::AggregateReadingsRequest::default()
        }
    }

    fn fields(request: &v1::AggregateReadingsRequest) -> Vec<String> {
        let violations = query(request, Sites::All).expect_err("wrong");
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_bucket_is_whole_minutes_up_to_a_month() {
        let with = |seconds, nanos| {
            let bucket = Some(prost_types::Duration { seconds, nanos });
            query(&v1::AggregateReadingsRequest { bucket, ..request() }, Sites::All)
        };
        for minutes in [1, 5, 60, 31 * 24 * 60] {
            let width = with(minutes * 60, 0).expect("right").width;
            assert_eq!(width.as_secs(), minutes.unsigned_abs() * 60);
        }
        for (seconds, nanos) in [(0, 0), (59, 0), (61, 0), (60, 1_000), (-60, 0), (2_678_460, 0)] {
            assert!(with(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_by_its_path() {
        let wrong = v1::AggregateReadingsRequest {
            vitals: vec![],
            until: request().from,
            bucket: None,
            page_size: -1,
            ..request()
        };
        assert_eq!(fields(&wrong), ["vitals", "until", "bucket", "page_size"]);
        let consciousness = i32::from(Vital::Consciousness.number());
        let wrong = v1::AggregateReadingsRequest { vitals: vec![1, consciousness], ..request() };
        assert_eq!(fields(&wrong), ["vitals"]);
    }
}
