//! What is asked before something is done to an alert: a note, a length, a reason.
//!
//! Pure. It holds the alert as it was seen when it opened, and what it asks for carries that one's
//! etag. It knows the service's limits of length, so that nobody types in vain.

use std::time::Duration;

use super::work::{Change, What};
use crate::config::Period;
use crate::proto::v1;

/// As the service takes it for a note beside an answer, in bytes.
const REASON_BYTES_MAX: usize = 500;
/// As the service takes it for a note by itself, in bytes.
const NOTE_BYTES_MAX: usize = 2000;
const PAUSE_DEFAULT: &str = "5min";
/// As the service takes it.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Acknowledge,
    Pause,
    Reset,
    Note,
}

/// A line to type in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) label: &'static str,
    pub(super) text: String,
    bytes_max: usize,
}

/// The open dialog.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dialog {
    pub(super) task: Task,
    /// The alert as it stood when the dialog opened.
    pub(super) seen: Box<v1::Alert>,
    pub(super) fields: Vec<Field>,
    pub(super) focus: usize,
    /// What is wrong with what was typed.
    pub(super) complaint: Option<String>,
}

impl Task {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledge",
            Self::Pause => "Pause the signal of",
            Self::Reset => "Reset",
            Self::Note => "Note on",
        }
    }

    fn fields(self) -> Vec<Field> {
        let field =
            |label, text: &str, bytes_max| Field { label, text: text.to_owned(), bytes_max };
        match self {
            Self::Acknowledge => vec![field("note, if any", "", REASON_BYTES_MAX)],
            Self::Pause => {
                let length = field("for how long", PAUSE_DEFAULT, 32);
                vec![length, field("why", "", REASON_BYTES_MAX)]
            }
            Self::Reset => Vec::new(),
            Self::Note => vec![field("note", "", NOTE_BYTES_MAX)],
        }
    }
}

impl Dialog {
    pub(super) fn new(task: Task, seen: v1::Alert) -> Self {
        Self { task, seen: Box::new(seen), fields: task.fields(), focus: 0, complaint: None }
    }

    pub(super) fn typed(&mut self, character: char) {
        self.complaint = None;
        let Some(field) = self.fields.get_mut(self.focus) else { return };
        if !character.is_control() && field.text.len() + character.len_utf8() <= field.bytes_max {
            field.text.push(character);
        }
    }

    pub(super) fn erased(&mut self) {
        if let Some(field) = self.fields.get_mut(self.focus) {
            field.text.pop();
        }
    }

    /// To the next field, and from the last to the first.
    pub(super) fn next(&mut self) {
        self.focus = (self.focus + 1) % self.fields.len().max(1);
    }

    /// The change, if everything was said: at the last field. Otherwise on to the next one.
    pub(super) fn entered(&mut self) -> Option<Change> {
        if self.focus + 1 < self.fields.len() {
            self.focus += 1;
            return None;
        }
        match self.what() {
            Ok(what) => Some(Change { seen: self.seen.clone(), what }),
            Err((focus, complaint)) => {
                self.focus = focus;
                self.complaint = Some(complaint);
                None
            }
        }
    }

    /// What is asked for; or in which field something is wrong, and what.
    fn what(&self) -> Result<What, (usize, String)> {
        let text = |index: usize| self.fields[index].text.trim().to_owned();
        let required = |index: usize, complaint: &str| match text(index) {
            empty if empty.is_empty() => Err((index, complaint.to_owned())),
            said => Ok(said),
        };
        Ok(match self.task {
            Task::Acknowledge => What::Acknowledge { note: text(0) },
            Task::Reset => What::Reset,
            Task::Note => What::Note { note: required(0, "say something")? },
            Task::Pause => What::Pause {
                length: length(&text(0)).map_err(|complaint| (0, complaint))?,
                reason: required(1, "say why")?,
            },
        })
    }
}

/// How long a pause is to be. A number alone is minutes.
fn length(text: &str) -> Result<Duration, String> {
    let text = match text.parse::<u32>() {
        Ok(minutes) => format!("{minutes}min"),
        Err(_) => text.to_owned(),
    };
    match text.parse::<Period>() {
        Ok(Period(length)) if length.is_zero() || length > PAUSE_MAX => {
            Err("more than nothing, and at most 24h".to_owned())
        }
        Ok(Period(length)) => Ok(length),
        Err(_) => Err(format!("{text:?} is no length, such as 5min or 1h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(task: Task) -> Dialog {
        let seen = v1::Alert { etag: "7".to_owned(), ..v1::Alert::default() };
        Dialog::new(task, seen)
    }

    fn types(dialog: &mut Dialog, text: &str) {
        text.chars().for_each(|it| dialog.typed(it));
    }

    #[test]
    fn an_acknowledgement_needs_no_note_and_carries_what_was_seen() {
        let change = dialog(Task::Acknowledge).entered().expect("complete");
        assert_eq!(change.what, What::Acknowledge { note: String::new() });
        assert_eq!(change.seen.etag, "7");
    }

    #[test]
    fn a_pause_needs_a_length_and_a_reason() {
        let mut dialog = dialog(Task::Pause);
        assert_eq!(dialog.entered(), None, "on to the reason");
        assert_eq!(dialog.entered(), None);
        assert_eq!(dialog.complaint.as_deref(), Some("say why"));
        types(&mut dialog, "turning");
        let change = dialog.entered().expect("complete");
        let length = Duration::from_secs(300);
        assert_eq!(change.what, What::Pause { length, reason: "turning".to_owned() });
    }

    #[test]
    fn a_length_is_a_span_or_minutes_up_to_a_day() {
        let minutes = |minutes: u64| Ok(Duration::from_secs(60 * minutes));
        assert_eq!((length("10"), length("90s")), (minutes(10), Ok(Duration::from_secs(90))));
        assert_eq!(length("24h"), minutes(24 * 60));
        assert!(length("25h").is_err() && length("0").is_err() && length("soon").is_err());
        let mut dialog = dialog(Task::Pause);
        types(&mut dialog, "x");
        dialog.next();
        types(&mut dialog, "turning");
        assert_eq!((dialog.entered(), dialog.focus), (None, 0), "the length is wrong");
    }

    #[test]
    fn nothing_longer_than_the_service_takes_and_no_control_characters() {
        let mut dialog = dialog(Task::Acknowledge);
        types(&mut dialog, &"ä\u{7}".repeat(REASON_BYTES_MAX));
        assert_eq!(dialog.fields[0].text.len(), REASON_BYTES_MAX);
        assert!(!dialog.fields[0].text.contains('\u{7}'));
        dialog.erased();
        assert_eq!(dialog.fields[0].text.len(), REASON_BYTES_MAX - 2);
    }
}
