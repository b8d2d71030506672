//! What is seen, on terminals in memory; and the screens of `docs/watch.md`, which are these.

#[path = "../../../tests/support/page.rs"]
mod page;

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::vitals::Vital;
use crate::watch::News;
use crate::watch::tests::{alert, event, monitored, reading, snapshot};
use crate::watch::work::{Answer, Refusal};

/// When the ward is drawn: 12:04:31Z.
const TIME: i64 = 1_769_861_071;

fn at(seconds_ago: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: TIME - seconds_ago, nanos: 0 })
}

fn on(vital: Vital, limit: f64, alert: v1::Alert) -> v1::Alert {
    v1::Alert {
        vital: vital.number().into(),
        limit: Some(limit),
        unit: vital.unit().ucum().to_owned(),
        ..alert
    }
}

fn alerts() -> Vec<v1::Alert> {
    let high = on(Vital::Spo2, 90.0, alert("1", "p-1042", Priority::High));
    let medium = on(Vital::HeartRate, 110.0, alert("2", "p-1043", Priority::Medium));
    let technical = alert("3", "p-1045", Priority::Low);
    vec![
        v1::Alert { raised_at: at(12), ..high },
        v1::Alert {
            rule_id: "hr-high".to_owned(),
            raised_at: at(300),
            signal: SignalState::Acknowledged.into(),
            ..medium
        },
        v1::Alert {
            rule_id: "spo2-silent".to_owned(),
            raised_at: at(3_700),
            kind: v1::AlertKind::Technical.into(),
            signal: SignalState::Paused.into(),
            paused_until: at(-600),
            ..technical
        },
    ]
}

fn patients() -> Vec<v1::PatientMonitoring> {
    let states = [
        ("p-1041", MonitoringState::Monitored),
        ("p-1042", MonitoringState::Monitored),
        ("p-1043", MonitoringState::Partial),
        ("p-1044", MonitoringState::NoDevice),
        ("p-1045", MonitoringState::NoData),
    ];
    let of = |(id, state): (&str, MonitoringState)| v1::PatientMonitoring {
        state: state.into(),
        since: at(7_200),
        ..monitored(id, "north")
    };
    states.map(of).to_vec()
}

fn heartbeat() -> v1::watch_alerts_response::Message {
    let heartbeat = v1::watch_alerts_response::Heartbeat {
        service_time: at(0),
        ingest_connected: true,
        ..Default::default()
    };
    v1::watch_alerts_response::Message::Heartbeat(heartbeat)
}

/// A ward of five as it is live at `now`.
fn app(now: Instant) -> App {
    let mut app = App::new("north at http://127.0.0.1:50051".to_owned(), now);
    let live = crate::watch::tests::live();
    for message in [snapshot(0, alerts(), patients()), live, heartbeat()] {
        app.take(News::Alerts(Box::new(message)), now);
    }
    for (second, saturation) in (0..).zip([97, 97, 96, 94, 92, 90, 88, 87, 86, 86, 85, 86]) {
        for (patient, vital, value) in [
            ("p-1041", Vital::HeartRate, 71 + second % 2),
            ("p-1041", Vital::Spo2, 98),
            ("p-1042", Vital::HeartRate, 92 + second),
            ("p-1042", Vital::RespiratoryRate, 19),
            ("p-1042", Vital::Spo2, saturation),
            ("p-1043", Vital::PulseRate, 118),
        ] {
            let value = f64::from(i32::try_from(value).expect("small"));
            let message = reading(patient, vital, value, TIME - 12 + second);
            app.take(News::Vitals(Box::new(message)), now);
        }
    }
    let old = reading("p-1045", Vital::Spo2, 95.0, TIME - 4_000);
    app.take(News::Vitals(Box::new(old)), now);
    app
}

fn press(app: &mut App, keys: &str) {
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

fn seen_sized(app: &App, now: Instant, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
    terminal.draw(|frame| draw(frame, app, now)).expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content().chunks(usize::from(width));
    let row = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    };
    rows.map(row).collect()
}

fn seen(app: &App, now: Instant) -> String {
    seen_sized(app, now, 80, 24)
}

fn line<'t>(text: &'t str, with: &str) -> &'t str {
    text.lines().find(|line| line.contains(with)).unwrap_or_else(|| panic!("no {with} in\n{text}"))
}

#[test]
fn a_row_tells_priority_by_mark_monitoring_alert_signal_and_vitals() {
    let now = Instant::now();
    let text = seen(&app(now), now);
    let row = "> !!! p-1042         monitored  spo2-low      ON             103    19    86";
    assert_eq!(line(&text, "> !!! p"), row, "{text}");
    let row = "  !!  p-1043         partial    hr-high       acknowledged   118     .     .";
    assert_eq!(line(&text, "p-1043"), row, "{text}");
    let row = "  !   p-1045         NO DATA    spo2-silent   paused           .     .  (95)";
    assert_eq!(line(&text, "p-1045"), row, "an old value stands in brackets\n{text}");
    let counts = " 5 patients, 2 fully monitored   open: !!! 1 HIGH  !! 1 MEDIUM  ! 1 LOW";
    assert_eq!(line(&text, "open:"), counts, "{text}");
}

#[test]
fn whoever_is_chosen_is_told_in_full() {
    let now = Instant::now();
    let text = seen(&app(now), now);
    assert!(
        line(&text, "-- p-1042").starts_with("-- p-1042, north: monitored for 2 h --"),
        "{text}"
    );
    let told = "> !!! HIGH   spo2-low         signal ON, since 12 s, limit 90 %";
    assert_eq!(line(&text, "> !!! HIGH"), told);
    let told = "    spo2                   86 %         1 s  limit 90 %     ██▇▆▅▄▃▂▂▂▁▂";
    assert_eq!(line(&text, "    spo2 "), told, "{text}");
}

#[test]
fn not_live_is_the_first_thing_seen_with_since_when_and_why() {
    let now = Instant::now();
    let mut app = app(now);
    assert!(seen(&app, now).starts_with(" LIVE  12:04:31Z  north at"), "{}", seen(&app, now));
    let later = now + Duration::from_secs(24);
    let silent = " NOT LIVE since 12:04:31Z, 24 s: the service says nothing\n";
    assert!(seen(&app, later).starts_with(silent), "{}", seen(&app, later));
    app.take(News::Cut("no connection".to_owned()), now);
    let cut = seen_sized(&app, later, 30, 5);
    assert!(cut.starts_with(" NOT LIVE since 12:04:31Z, 24"), "also where it is narrow\n{cut}");
}

#[test]
fn vitals_that_stand_still_are_said_to_whatever_was_done_last() {
    let now = Instant::now();
    let mut app = app(now);
    app.notice = "acknowledged".to_owned();
    app.take(News::VitalsCut("too wide".to_owned()), now);
    let text = seen(&app, now);
    assert!(text.contains(" vitals NOT LIVE: too wide  acknowledged"), "{text}");
    let again = reading("p-1042", Vital::Spo2, 86.0, TIME + 1);
    app.take(News::Vitals(Box::new(again)), now);
    assert!(!seen(&app, now).contains("NOT LIVE"));
}

#[test]
fn a_dialog_names_its_alert_and_warns_when_it_has_changed() {
    let now = Instant::now();
    let mut app = app(now);
    press(&mut app, "jaseen");
    let text = seen(&app, now);
    assert!(text.contains(" Acknowledge hr-high of p-1043 "), "{text}");
    assert!(text.contains("!! MEDIUM, active, signal acknowledged"), "{text}");
    assert!(text.contains("note, if any: seen_"), "{text}");
    assert!(!text.contains("CHANGED"), "{text}");
    let high = v1::Alert { rule_id: "hr-high".to_owned(), ..alert("2", "p-1043", Priority::High) };
    app.take(News::Alerts(Box::new(event(high))), now);
    let text = seen(&app, now);
    assert!(text.contains("CHANGED since: !!! HIGH, active, signal ON"), "{text}");
}

/// A refused acknowledgement of what has escalated.
fn refused(now: Instant) -> App {
    let mut app = app(now);
    let seen = alerts().remove(1);
    let high = v1::Alert {
        priority: Priority::High.into(),
        signal: SignalState::On.into(),
        ..seen.clone()
    };
    app.take(News::Alerts(Box::new(event(high))), now);
    let what = crate::watch::work::What::Acknowledge { note: String::new() };
    let change = crate::watch::work::Change { seen: Box::new(seen), what };
    let (reason, message) = ("ALERT_ESCALATED".to_owned(), "no".to_owned());
    let refusal = Refusal { reason, message, by: None };
    app.take(News::Answer(Answer::Refused(change, refusal)), now);
    app
}

#[test]
fn a_refusal_shows_what_was_seen_and_what_it_is() {
    let now = Instant::now();
    let text = seen(&refused(now), now);
    assert!(text.contains(" NOT ACKNOWLEDGED "), "{text}");
    assert!(text.contains("Its priority has risen since you saw it."), "{text}");
    assert!(text.contains("you saw: !! MEDIUM"), "{text}");
    assert!(text.contains("it is:   !!! HIGH, active, signal ON"), "{text}");
}

#[test]
fn the_chosen_row_is_seen_however_many_there_are() {
    let now = Instant::now();
    let mut app = App::new("north".to_owned(), now);
    let patients = (0..200).map(|it| monitored(&format!("p-{it:03}"), "north")).collect();
    app.take(News::Alerts(Box::new(snapshot(0, Vec::new(), patients))), now);
    assert!(seen(&app, now).contains("> "));
    app.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    let text = seen(&app, now);
    assert!(text.contains(">     p-199") && text.contains("p-190"), "{text}");
    assert!(!text.contains("p-000"), "{text}");
}

#[test]
fn a_wider_window_has_more_vitals_and_lines_of_them() {
    let now = Instant::now();
    let text = seen_sized(&app(now), now, 120, 30);
    assert!(line(&text, "worst alert").ends_with("HR    RR  SpO2   SBP   DBP  Temp"), "{text}");
    assert!(line(&text, "> !!! p").ends_with('▂'), "{text}");
}

#[test]
fn the_newest_value_is_seen_however_many_there_are() {
    let now = Instant::now();
    let mut app = app(now);
    for second in 0..40 {
        let value = f64::from(second) + 100.0;
        let message = reading("p-1042", Vital::HeartRate, value, TIME + i64::from(second));
        app.take(News::Vitals(Box::new(message)), now);
    }
    for width in [80, 100, 140] {
        let text = seen_sized(&app, now, width, 24);
        assert!(line(&text, "    heart rate").ends_with('█'), "{text}");
    }
}

#[test]
fn no_window_is_too_small_to_be_drawn_in() {
    let now = Instant::now();
    for (width, height) in [(1, 1), (10, 3), (40, 10), (300, 100)] {
        for app in [app(now), refused(now)] {
            seen_sized(&app, now, width, height);
        }
    }
}

#[test]
fn the_page_shows_the_screens_as_they_are() {
    let now = Instant::now();
    let mut keys = app(now);
    press(&mut keys, "?");
    let block = |text: String| format!("```text\n{}\n```", text.trim_end());
    let screens = BTreeMap::from([
        ("ward", block(seen(&app(now), now))),
        ("refused", block(seen(&refused(now), now))),
        ("keys", block(seen(&keys, now))),
    ]);
    page::check("watch.md", &screens);
}
