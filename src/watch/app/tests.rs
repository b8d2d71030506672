//! What keys do, to whom, and what news do to what is shown.

use std::time::Duration;

use super::*;
use crate::proto::v1::Priority;
use crate::watch::tests::{alert, event, live, monitored, snapshot};
use crate::watch::work::What;

/// Three patients: `b` with a medium and a low alert, `a` and `c` without.
fn app() -> App {
    let mut app = App::new("north".to_owned(), Instant::now());
    let alerts = vec![alert("1", "b", Priority::Medium), alert("2", "b", Priority::Low)];
    let patients = ["a", "b", "c"].map(|it| monitored(it, "north")).to_vec();
    tell(&mut app, snapshot(0, alerts, patients));
    tell(&mut app, live());
    app
}

fn tell(app: &mut App, message: v1::watch_alerts_response::Message) {
    app.take(News::Alerts(Box::new(message)), Instant::now());
}

fn press(app: &mut App, code: KeyCode) -> Option<Intent> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn types(app: &mut App, text: &str) {
    for character in text.chars() {
        assert_eq!(press(app, KeyCode::Char(character)), None);
    }
}

/// The change that Enter asks for.
fn entered(app: &mut App) -> work::Change {
    match press(app, KeyCode::Enter) {
        Some(Intent::Ask(Ask::Change(change))) => change,
        other => panic!("{other:?}"),
    }
}

fn chosen(app: &App) -> String {
    let rows = rows(&app.ward);
    rows[app.chosen(&rows).expect("somebody")].place.name()
}

fn refusal(reason: &str) -> Refusal {
    Refusal { reason: reason.to_owned(), message: "no".to_owned(), by: None }
}

#[test]
fn an_acknowledgement_is_of_the_worst_alert_of_the_chosen_and_carries_its_etag() {
    let mut app = app();
    assert_eq!(chosen(&app), "b");
    types(&mut app, "aseen");
    let change = entered(&mut app);
    assert_eq!(
        (change.seen.alert_id.as_str(), change.seen.etag.as_str()),
        ("1", "1-PRIORITY_MEDIUM")
    );
    assert_eq!(change.what, What::Acknowledge { note: "seen".to_owned() });
    assert_eq!(app.over, None);
}

#[test]
fn what_escalates_under_an_open_dialog_is_answered_as_it_was_seen() {
    let mut app = app();
    types(&mut app, "a");
    tell(&mut app, event(alert("1", "b", Priority::High)));
    assert_eq!(entered(&mut app).seen.etag, "1-PRIORITY_MEDIUM", "so that the service refuses");
}

#[test]
fn a_refusal_is_shown_and_nothing_is_asked_for_again() {
    let mut app = app();
    types(&mut app, "a");
    let change = entered(&mut app);
    let answer = Answer::Refused(change, refusal("ALERT_ESCALATED"));
    app.take(News::Answer(answer), Instant::now());
    assert!(matches!(app.over, Some(Over::Refused(..))));
    assert_eq!(press(&mut app, KeyCode::Enter), None, "any key only takes it away");
    assert_eq!(app.over, None);
    assert!(app.notice.starts_with("NOT acknowledged spo2-low of b"), "{}", app.notice);
}

#[test]
fn a_refusal_never_covers_a_dialog_in_which_somebody_types() {
    let mut app = app();
    types(&mut app, "a");
    let change = entered(&mut app);
    types(&mut app, "nwords");
    app.take(News::Answer(Answer::Refused(change, refusal("ALERT_ENDED"))), Instant::now());
    assert!(matches!(&app.over, Some(Over::Dialog(it)) if it.fields[0].text == "words"));
    assert!(app.notice.contains("It is over"), "{}", app.notice);
}

#[test]
fn only_a_key_chooses_another_however_the_order_changes() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    assert_eq!(chosen(&app), "a");
    tell(&mut app, event(alert("3", "c", Priority::High)));
    assert_eq!(chosen(&app), "a");
    press(&mut app, KeyCode::Home);
    assert_eq!(chosen(&app), "c", "the worst");
    press(&mut app, KeyCode::End);
    assert_eq!(chosen(&app), "a");
}

#[test]
fn tab_goes_round_the_alerts_of_the_chosen() {
    let mut app = app();
    press(&mut app, KeyCode::Tab);
    types(&mut app, "r");
    assert_eq!(entered(&mut app).seen.alert_id, "2");
    press(&mut app, KeyCode::Tab);
    types(&mut app, "r");
    assert_eq!(entered(&mut app).seen.alert_id, "1");
}

#[test]
fn a_pause_has_a_length_and_a_reason() {
    let mut app = app();
    types(&mut app, "p");
    press(&mut app, KeyCode::Enter);
    types(&mut app, "q");
    let change = entered(&mut app);
    let length = Duration::from_secs(300);
    assert_eq!(change.what, What::Pause { length, reason: "q".to_owned() }, "q is a letter here");
}

#[test]
fn where_there_is_no_alert_nothing_is_asked_for() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    types(&mut app, "a");
    assert_eq!(app.over, None);
    assert_eq!(press(&mut app, KeyCode::Enter), None);
    assert!(app.notice.contains("no open alert"), "{}", app.notice);
}

#[test]
fn a_story_is_asked_for_and_again_when_its_alert_changes() {
    let mut app = app();
    let asked = press(&mut app, KeyCode::Enter);
    assert_eq!(asked, Some(Intent::Ask(Ask::Story("1".to_owned()))));
    let story = v1::GetAlertResponse {
        alert: Some(alert("1", "b", Priority::Medium)),
        ..v1::GetAlertResponse::default()
    };
    app.take(News::Answer(Answer::Story(Box::new(story))), Instant::now());
    let first = app.page.as_ref().expect("open").lines[0].clone();
    assert_eq!(first, "!! MEDIUM, condition active, signal ON");
    assert_eq!(app.refresh(), None);
    tell(&mut app, event(alert("2", "b", Priority::High)));
    assert_eq!(app.refresh(), None, "another alert");
    tell(&mut app, event(alert("1", "b", Priority::High)));
    assert_eq!(app.refresh(), Some(Ask::Story("1".to_owned())));
    assert_eq!(app.refresh(), None, "once");
    types(&mut app, "a");
    assert_eq!(entered(&mut app).seen.etag, "1-PRIORITY_HIGH", "keys work on the story's alert");
}

#[test]
fn limits_are_those_of_the_chosen_and_an_answer_for_another_page_is_dropped() {
    let mut app = app();
    let asked = press(&mut app, KeyCode::Char('l'));
    assert_eq!(asked, Some(Intent::Ask(Ask::Limits("b".to_owned()))));
    let of = |patient: &str| v1::EffectiveProfile {
        patient_id: patient.to_owned(),
        ..v1::EffectiveProfile::default()
    };
    app.take(News::Answer(Answer::Limits(Box::new(of("a")))), Instant::now());
    assert!(app.page.as_ref().expect("open").lines[0].contains("asking"));
    app.take(News::Answer(Answer::Limits(Box::new(of("b")))), Instant::now());
    assert_eq!(app.page.as_ref().expect("open").lines, ["no rule is in force"]);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.page, None);
}

#[test]
fn q_and_ctrl_c_leave_and_in_a_dialog_only_ctrl_c() {
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut app(), KeyCode::Char('q')), Some(Intent::Leave));
    let mut app = app();
    types(&mut app, "aq");
    assert_eq!(app.key(ctrl_c), Some(Intent::Leave));
}

#[test]
fn a_request_that_finds_no_room_is_said_and_a_story_is_asked_for_later() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    app.busy(&Ask::Story("1".to_owned()));
    assert_eq!(app.refresh(), Some(Ask::Story("1".to_owned())));
    types(&mut app, "a");
    let change = entered(&mut app);
    app.busy(&Ask::Change(change));
    assert!(app.notice.starts_with("NOT asked for"), "{}", app.notice);
}

#[test]
fn a_page_scrolls_as_far_as_it_goes() {
    let mut app = app();
    types(&mut app, "?");
    let last = app.page.as_ref().expect("keys").lines.len() - 1;
    let keys = [KeyCode::Up, KeyCode::Down, KeyCode::End, KeyCode::PageDown, KeyCode::Home];
    let tops = keys.map(|key| {
        press(&mut app, key);
        app.page.as_ref().expect("open").top
    });
    assert_eq!(tops, [0, 1, last, last, 0]);
}

#[test]
fn a_story_that_cannot_be_told_is_said_on_its_own_page_and_on_no_other() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Char('?'));
    let keys = app.page.clone();
    let untold = || Answer::Untold(Subject::Alert("1".to_owned()), "away".to_owned());
    app.take(News::Answer(untold()), Instant::now());
    assert_eq!(app.page, keys, "the keys are still there");
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Enter);
    app.take(News::Answer(untold()), Instant::now());
    assert_eq!(app.page.expect("open").lines, ["this can't be told now: away"]);
}
