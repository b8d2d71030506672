//! What clinicians do with alerts: requests to actions.

use std::time::Duration;

use super::{Violations, wire_duration};
use crate::engine::alerts::AlertId;
use crate::engine::input::{Action, AlertAction};
use crate::engine::profile::Violation;
use crate::proto::v1;

/// What goes with an acknowledgement or a pause: a sentence or two.
const REMARK_BYTES_MAX: usize = 500;
/// A note of its own.
const NOTE_BYTES_MAX: usize = 2000;
/// The subject of a token.
const ASSIGNEE_BYTES_MAX: usize = 200;
/// A bath or a procedure, not a shift.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

type Converted = Result<Action, Vec<Violation>>;

pub(in crate::grpc) fn acknowledge(request: &v1::AcknowledgeAlertRequest) -> Converted {
    let mut wrong = Violations::default();
    let alert = alert_id(&mut wrong, &request.alert_id);
    let revision = revision(&mut wrong, &request.etag);
    let note = remark(&mut wrong, &request.note);
    wrong.finish(|| {
        let action = AlertAction::Acknowledge { revision: revision?, note: note? };
        Some(Action::WorkOnAlert { alert: alert?, action })
    })
}

pub(in crate::grpc) fn pause(request: &v1::PauseAlertRequest) -> Converted {
    let mut wrong = Violations::default();
    let alert = alert_id(&mut wrong, &request.alert_id);
    let revision = revision(&mut wrong, &request.etag);
    let duration = pause_duration(&mut wrong, request.duration.as_ref());
    let note = remark(&mut wrong, &request.note);
    wrong.finish(|| {
        let action = AlertAction::Pause { revision: revision?, duration: duration?, note: note? };
        Some(Action::WorkOnAlert { alert: alert?, action })
    })
}

pub(in crate::grpc) fn reset(request: &v1::ResetAlertRequest) -> Converted {
    let mut wrong = Violations::default();
    let alert = alert_id(&mut wrong, &request.alert_id);
    let revision = revision(&mut wrong, &request.etag);
    wrong.finish(|| {
        let action = AlertAction::Reset { revision: revision? };
        Some(Action::WorkOnAlert { alert: alert?, action })
    })
}

pub(in crate::grpc) fn assign(request: &v1::AssignAlertRequest) -> Converted {
    let mut wrong = Violations::default();
    let alert = alert_id(&mut wrong, &request.alert_id);
    let assignee = wrong.optional_text("assignee", &request.assignee, ASSIGNEE_BYTES_MAX);
    let revision = match request.etag.as_str() {
        "" => Some(None),
        etag => revision(&mut wrong, etag).map(Some),
    };
    wrong.finish(|| {
        let action = AlertAction::Assign { assignee: assignee?, revision: revision? };
        Some(Action::WorkOnAlert { alert: alert?, action })
    })
}

pub(in crate::grpc) fn add_note(request: &v1::AddAlertNoteRequest) -> Converted {
    let mut wrong = Violations::default();
    let alert = alert_id(&mut wrong, &request.alert_id);
    let note = match wrong.remark("note", &request.note, NOTE_BYTES_MAX) {
        Some(None) => wrong.refuse("note", "required"),
        checked => checked.flatten(),
    };
    wrong.finish(|| {
        let action = AlertAction::AddNote { note: note? };
        Some(Action::WorkOnAlert { alert: alert?, action })
    })
}

pub(super) fn alert_id(wrong: &mut Violations, text: &str) -> Option<AlertId> {
    if text.is_empty() {
        return wrong.refuse("alert_id", "required");
    }
    match text.parse() {
        Ok(id) => Some(AlertId(id)),
        Err(_) => wrong.refuse("alert_id", "not a UUID"),
    }
}

/// An etag is the alert's revision, in decimal digits and nothing else.
fn revision(wrong: &mut Violations, etag: &str) -> Option<u32> {
    if etag.is_empty() {
        return wrong.refuse("etag", "required");
    }
    match etag.parse::<u32>() {
        Ok(revision) if revision.to_string() == etag => Some(revision),
        _ => wrong.refuse("etag", "not an etag of this service"),
    }
}

fn remark(wrong: &mut Violations, text: &str) -> Option<Option<String>> {
    wrong.remark("note", text, REMARK_BYTES_MAX)
}

fn pause_duration(
    wrong: &mut Violations,
    span: Option<&prost_types::Duration>,
) -> Option<Duration> {
    let duration = wrong.required_span("duration", span)?;
    if duration.is_zero() || duration > PAUSE_MAX {
        let given = wire_duration(duration).seconds;
        return wrong.refuse("duration", format!("{given} s; more than 0 s, at most 24 h"));
    }
    Some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = "00000000-0000-0000-0000-000000000007";

    fn fields(converted: Converted) -> Vec<String> {
        converted.expect_err("wrong").into_iter().map(|violation| violation.field).collect()
    }

    fn etag(etag: &str) -> v1::ResetAlertRequest {
        let (alert_id, etag) = (ALERT.to_owned(), etag.to_owned());
        v1::ResetAlertRequest { alert_id, etag, request_id: String::new() }
    }

    #[test]
    fn an_etag_is_a_revision_in_decimal_digits_and_nothing_else() {
        assert!(reset(&etag("0")).is_ok() && reset(&etag("4294967295")).is_ok());
        for wrong in ["", "-1", "+1", "01", "1 ", "4294967296", "seven"] {
            assert_eq!(fields(reset(&etag(wrong))), ["etag"], "{wrong:?}");
        }
    }

    #[test]
    fn a_pause_is_longer_than_nothing_and_no_longer_than_a_day() {
        let lasting = |seconds, nanos| {
            pause(&v1::PauseAlertRequest {
                alert_id: ALERT.into(),
                etag: "1".into(),
                duration: Some(prost_types::Duration { seconds, nanos }),
                ..v1::PauseAlertRequest::default()
            })
        };
        assert!(lasting(1, 0).is_ok() && lasting(86_400, 0).is_ok());
        for (seconds, nanos) in [(0, 0), (-1, 0), (86_400, 1000), (0, 999)] {
            assert_eq!(fields(lasting(seconds, nanos)), ["duration"], "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let request = v1::AcknowledgeAlertRequest {
            alert_id: "seven".into(),
            note: "x".repeat(501),
            ..v1::AcknowledgeAlertRequest::default()
        };
        assert_eq!(fields(acknowledge(&request)), ["alert_id", "etag", "note"]);
        let request = v1::PauseAlertRequest::default();
        assert_eq!(fields(pause(&request)), ["alert_id", "etag", "duration"]);
        let request = v1::AssignAlertRequest {
            assignee: "x".repeat(201),
            ..v1::AssignAlertRequest::default()
        };
        assert_eq!(fields(assign(&request)), ["alert_id", "assignee"]);
        let request = v1::AddAlertNoteRequest::default();
        assert_eq!(fields(add_note(&request)), ["alert_id", "note"]);
    }

    #[test]
    fn a_note_may_have_lines_but_no_other_control_characters() {
        let noted = |note: String| {
            add_note(&v1::AddAlertNoteRequest {
                alert_id: ALERT.into(),
                note,
                request_id: String::new(),
            })
        };
        assert!(noted("seen at the bedside\nsleeping\twell".into()).is_ok());
        assert!(noted("x".repeat(2000)).is_ok());
        for wrong in ["x".repeat(2001), "bell\u{7}".into(), "nul\0".into()] {
            assert_eq!(fields(noted(wrong)), ["note"]);
        }
    }
}
