//! What goes wrong, in gRPC's words: codes with `google.rpc.ErrorInfo` and `BadRequest`.
//!
//! Reasons are `UPPER_SNAKE` and stable: clients branch on them. Messages are for people and may
//! change.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::engine::output::Refusal;
use crate::engine::profile::Violation;
use crate::store::HistoryError;

/// The `domain` of every ErrorInfo.
pub(super) const DOMAIN: &str = "pulseward";

/// Details travel in HTTP/2 trailers, of which clients accept as little as 8 KiB, in base64: the
/// violations that fit into this are listed, the others only counted.
const VIOLATIONS_BYTES_MAX: usize = 3 * 1024;

/// Who has too many streams is told to wait so long: streams end when a screen is closed.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The fields of a request that are wrong.
pub(super) fn invalid(violations: Vec<Violation>) -> Status {
    let message = match violations.as_slice() {
        [only] => format!("{}: {}", only.field, only.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
        [] => "the request is wrong".to_owned(),
    };
    let mut details = ErrorDetails::with_error_info("INVALID_FIELDS", DOMAIN, HashMap::new());
    for Violation { field, description } in those_that_fit(violations) {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn those_that_fit(violations: Vec<Violation>) -> impl Iterator<Item = Violation> {
    let mut bytes = 0;
    violations.into_iter().take_while(move |violation| {
        bytes += violation.field.len() + violation.description.len();
        bytes <= VIOLATIONS_BYTES_MAX
    })
}

/// The engine did not carry out a command.
pub(super) fn refused(refusal: Refusal) -> Status {
    let (message, reason) = (refusal.to_string(), refusal.reason());
    let (code, id) = match refusal {
        Refusal::AlertAcknowledged { by, at, revision } => {
            let told = [("by", by), ("at", at.to_string()), ("etag", revision.to_string())];
            return with_reason(Code::FailedPrecondition, &reason, message, &told);
        }
        Refusal::InvalidArgument(violations) => return invalid(violations),
        Refusal::NotFound { id, .. } => (Code::NotFound, Some(id)),
        Refusal::AlreadyExists { id, .. } => (Code::AlreadyExists, Some(id)),
        Refusal::FailedPrecondition { .. } => (Code::FailedPrecondition, None),
        Refusal::Aborted { .. } => (Code::Aborted, None),
        Refusal::Poisoned => (Code::Internal, None),
        Refusal::JournalFull => (Code::Unavailable, None),
        Refusal::PermissionDenied { .. } => (Code::PermissionDenied, None),
        Refusal::RequestReused { id } => (Code::AlreadyExists, Some(id)),
    };
    let metadata: Vec<_> = id.map(|id| ("id", id)).into_iter().collect();
    with_reason(code, &reason, message, &metadata)
}

/// Why a call ended, for programs: the reason of an error of ours, or what gRPC calls it.
pub(super) fn reason_of(status: &Status) -> String {
    let told = status.get_details_error_info().map(|info| info.reason);
    told.unwrap_or_else(|| format!("{:?}", status.code()).to_uppercase())
}

/// No stream more can be opened now.
pub(super) fn too_many_streams(max: usize) -> Status {
    let message = format!("{max} streams are open; try again later");
    with_reason(Code::ResourceExhausted, "TOO_MANY_STREAMS", message, &[])
}

/// There is not enough of something to go on.
pub(super) fn exhausted(reason: &str, message: &str) -> Status {
    with_reason(Code::ResourceExhausted, reason, message.to_owned(), &[])
}

/// The past of what has this id could not be read.
pub(super) fn no_history(error: HistoryError, id: &str) -> Status {
    let message = error.to_string();
    match error {
        HistoryError::Unavailable { reason } => {
            with_reason(Code::Unavailable, "HISTORY_UNAVAILABLE", message, &[("cause", reason)])
        }
        HistoryError::InvalidPageToken => {
            invalid(vec![Violation { field: "page_token".to_owned(), description: message }])
        }
        HistoryError::UnknownPatient => {
            refused(Refusal::NotFound { kind: "patient", id: id.to_owned() })
        }
        HistoryError::UnknownProfile => {
            refused(Refusal::NotFound { kind: "profile", id: id.to_owned() })
        }
        HistoryError::UnknownMessage => {
            refused(Refusal::NotFound { kind: "message", id: id.to_owned() })
        }
    }
}

/// The store has not got everything that was durable when it was asked.
pub(super) fn history_behind(entries: u64) -> Status {
    let message = format!(
        "the history is {entries} entries behind what has happened; try again later, or ask for \
         what is open only"
    );
    with_reason(Code::Unavailable, "HISTORY_BEHIND", message, &[("entries", entries.to_string())])
}

/// The service takes no more commands.
pub(super) fn stopping() -> Status {
    let message = "the service is stopping; what was asked may or may not have happened";
    with_reason(Code::Unavailable, "SERVICE_STOPPING", message.to_owned(), &[])
}

/// The text of an error with those that caused it, for the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The caller did nothing wrong, or only too much of it, and may try again after that time.
pub(super) fn retry_later(
    code: Code,
    reason: &str,
    message: String,
    retry_after: Duration,
) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(code, message, details)
}

/// What the caller of a stream is known by has ended. Where it can resume, it is told behind what.
pub(super) fn token_expired(cursor: Option<String>) -> Status {
    let message = "the token or certificate has expired; call again with a new one".to_owned();
    let metadata: Vec<_> = cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
    with_reason(Code::Unauthenticated, "TOKEN_EXPIRED", message, &metadata)
}

/// The caller has as many streams open as one caller may.
pub(super) fn too_many_streams_of_caller(max: u32) -> Status {
    let message = format!("{max} streams of this caller are open; end one, or try again later");
    retry_later(Code::ResourceExhausted, "TOO_MANY_STREAMS_OF_CALLER", message, STREAM_RETRY_AFTER)
}

pub(super) fn with_reason(
    code: Code,
    reason: &str,
    message: String,
    metadata: &[(&str, String)],
) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::Role;

    fn check(status: &Status, code: Code, reason: &str) {
        assert_eq!(status.code(), code, "{status}");
        let details = status.get_error_details();
        let info = details.error_info().expect("every error says its reason");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "pulseward"));
    }

    #[test]
    fn each_refusal_has_its_code_and_reason() {
        let id = || "x".to_owned();
        for (refusal, code, reason) in [
            (Refusal::NotFound { kind: "site", id: id() }, Code::NotFound, "SITE_NOT_FOUND"),
            (
                Refusal::AlreadyExists { kind: "device", id: id() },
                Code::AlreadyExists,
                "DEVICE_EXISTS",
            ),
            (
                Refusal::FailedPrecondition { reason: "DEVICE_BOUND", description: id() },
                Code::FailedPrecondition,
                "DEVICE_BOUND",
            ),
            (
                Refusal::Aborted { reason: "PROFILE_CHANGED", description: id() },
                Code::Aborted,
                "PROFILE_CHANGED",
            ),
            (
                Refusal::PermissionDenied { role: Role::Viewer, action: "put profiles" },
                Code::PermissionDenied,
                "ROLE_NOT_ALLOWED",
            ),
            (
                Refusal::AlertAcknowledged { by: id(), at: Timestamp::EPOCH, revision: 2 },
                Code::FailedPrecondition,
                "ALERT_ACKNOWLEDGED",
            ),
            (Refusal::RequestReused { id: id() }, Code::AlreadyExists, "REQUEST_ID_REUSED"),
            (Refusal::Poisoned, Code::Internal, "POISONED"),
            (Refusal::JournalFull, Code::Unavailable, "JOURNAL_FULL"),
            (Refusal::InvalidArgument(Vec::new()), Code::InvalidArgument, "INVALID_FIELDS"),
        ] {
            check(&refused(refusal), code, reason);
        }
    }

    #[test]
    fn a_patient_unknown_to_the_store_reads_like_one_unknown_to_the_engine() {
        let engine = Refusal::NotFound { kind: "patient", id: "p-1".to_owned() };
        let (store, engine) = (no_history(HistoryError::UnknownPatient, "p-1"), refused(engine));
        check(&store, Code::NotFound, "PATIENT_NOT_FOUND");
        assert_eq!((store.message(), store.details()), (engine.message(), engine.details()));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = |field: &str| Violation { field: field.to_owned(), description: "no".into() };
        let status = invalid(vec![wrong("a"), wrong("b")]);
        assert_eq!(status.message(), "a: no (and 1 more)");
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .expect("violations")
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["a", "b"]);
    }
}
