//! Audit events: a request to a query, stored events to an answer.

use super::readings::PAGE_TOKEN_BYTES_MAX;
use super::{Violations, wire_timestamp};
use crate::engine::audit::Outcome;
use crate::engine::input::Sites;
use crate::engine::profile::Violation;
use crate::proto::v1;
use crate::store::{AuditPage, AuditQuery, StoredAuditEvent, StoredDetails};

/// A page, if the caller names no size.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// The subject of a token, as events hold it.
const SUBJECT_BYTES_MAX: usize = 256;

/// The query of `request`, by a caller who may see `sites`.
pub(in crate::grpc) fn query(
    request: &v1::ListAuditEventsRequest,
    sites: Sites,
) -> Result<AuditQuery, Vec<Violation>> {
    let mut wrong = Violations::default();
    let subject = wrong.optional_text("subject", &request.subject, SUBJECT_BYTES_MAX);
    let patient = match request.patient_id.as_str() {
        "" => Some(None),
        text => wrong.id("patient_id", text).map(Some),
    };
    let times = wrong.range(request.from.as_ref(), request.until.as_ref());
    let page_size = wrong.page_size(request.page_size, PAGE_SIZE_DEFAULT);
    let page_token = wrong.optional_text("page_token", &request.page_token, PAGE_TOKEN_BYTES_MAX);
    wrong.finish(|| {
        let times = times?;
        Some(AuditQuery {
            sites,
            subject: subject?,
            patient: patient?,
            from: times.start,
            until: times.end,
            page_size: page_size?,
            page_token: page_token?,
        })
    })
}

pub(in crate::grpc) fn page(page: AuditPage) -> v1::ListAuditEventsResponse {
    v1::ListAuditEventsResponse {
        events: page.events.into_iter().map(event).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

fn event(event: StoredAuditEvent) -> v1::AuditEvent {
    let (salt, patient_ids, patient_count, detail) = match event.details {
        StoredDetails::Kept { salt, patients, patient_count, text } => {
            (salt.to_vec(), patients, patient_count, text)
        }
        StoredDetails::Erased | StoredDetails::Torn => Default::default(),
    };
    v1::AuditEvent {
        number: event.number,
        at: Some(wire_timestamp(event.at)),
        subject: event.subject,
        role: event.role.unwrap_or_default(),
        peer: event.peer,
        method: event.method,
        patient_ids,
        outcome: outcome(&event.outcome).into(),
        detail,
        detail_digest: event.commitment,
        chain_digest: event.digest,
        reason: event.reason,
        site_id: event.site.unwrap_or_default(),
        patient_count,
        salt,
    }
}

/// One that is none of ours is unspecified: the chain tells that it was changed.
fn outcome(name: &str) -> v1::AuditOutcome {
    match Outcome::from_name(name) {
        Some(Outcome::Done) => v1::AuditOutcome::Done,
        Some(Outcome::Denied) => v1::AuditOutcome::Denied,
        Some(Outcome::Failed) => v1::AuditOutcome::Failed,
        Some(Outcome::Opened) => v1::AuditOutcome::Opened,
        Some(Outcome::Closed) => v1::AuditOutcome::Closed,
        None => v1::AuditOutcome::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = v1::ListAuditEventsRequest {
            subject: "x".repeat(300),
            patient_id: "a b".to_owned(),
            from: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }),
            until: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }),
            page_size: -1,
            page_token: "\n".to_owned(),
        };
        let wrong = query(&wrong, Sites::All).expect_err("refused");
        let fields: Vec<_> = wrong.into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["subject", "patient_id", "until", "page_size", "page_token"]);
        let all = query(&v1::ListAuditEventsRequest::default(), Sites::All).expect("a query");
        assert_eq!((all.subject, all.patient, all.page_size), (None, None, PAGE_SIZE_DEFAULT));
    }

    #[test]
    fn every_outcome_has_its_number_on_the_wire() {
        for known in Outcome::ALL {
            let number = outcome(known.name());
            let expected = format!("AUDIT_OUTCOME_{}", known.name().to_uppercase());
            assert_eq!(number.as_str_name(), expected);
        }
        assert_eq!(outcome("changed"), v1::AuditOutcome::Unspecified);
    }
}
