//! Erasures of patients: requests to actions, what the engine and the store say to answers.

use super::{Violations, wire_timestamp};
use crate::engine::input::Action;
use crate::engine::output::Erased;
use crate::engine::profile::Violation;
use crate::proto::v1;
use crate::store::StoredErasure;

pub(in crate::grpc) fn erase_patient(
    request: &v1::ErasePatientRequest,
) -> Result<Action, Vec<Violation>> {
    let mut wrong = Violations::default();
    let patient = wrong.id("patient_id", &request.patient_id);
    let added_before = wrong.optional_time("added_before", request.added_before.as_ref());
    let is_confirmed = if request.confirm_patient_id == request.patient_id {
        Some(())
    } else {
        wrong.refuse("confirm_patient_id", "not the same as patient_id")
    };
    wrong.finish(|| {
        is_confirmed?;
        Some(Action::ErasePatient { patient: patient?, added_before: added_before? })
    })
}

/// An erasure that has just begun.
pub(in crate::grpc) fn begun(erased: &Erased) -> v1::Erasure {
    v1::Erasure {
        patient_number: erased.tombstone.key.0,
        requested_at: Some(wire_timestamp(erased.tombstone.created_at)),
        requested_by: erased.requested_by.clone(),
        ..v1::Erasure::default()
    }
}

/// An erasure as the store knows it.
pub(in crate::grpc) fn stored(erasure: StoredErasure) -> v1::Erasure {
    v1::Erasure {
        patient_number: erasure.patient_key.0,
        requested_at: Some(wire_timestamp(erasure.requested_at)),
        requested_by: erasure.requested_by,
        done_at: erasure.done_at.map(wire_timestamp),
        reading_count: erasure.readings,
        bucket_count: erasure.buckets,
        alert_count: erasure.alerts,
        alert_event_count: erasure.alert_events,
        rejected_count: erasure.rejected,
        refused_row_count: erasure.refused_rows,
        audit_event_count: erasure.audit_events,
    }
}
