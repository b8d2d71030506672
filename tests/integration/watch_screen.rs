//! Somebody sits at the demo: an alert appears on the screen, is acknowledged by a key, and the
//! acknowledgement is in the database; then they leave, and the terminal is as it was.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::support::terminal::Terminal;
use crate::support::wait::wait_for;

/// How long a question waits for the demo, which writes to the same file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Some of them are worse at any time.
const PATIENTS: &str = "60";
const NOTE: &str = "seen at the bedside";

/// The demo on a terminal; its database is in `home`.
fn demo(home: &Path) -> Terminal {
    let demo = env!("CARGO_BIN_EXE_pulseward");
    let keep = home.display();
    Terminal::run(&format!("{demo} demo --patients {PATIENTS} --keep {keep}"))
}

/// What the database says was acknowledged with that note: whose alert, and of which rule.
fn acknowledged(home: &Path) -> Option<(String, String)> {
    let file = home.join("readings.sqlite");
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    database.busy_timeout(BUSY_WAIT).expect("set");
    let sql = "SELECT p.patient_id, a.rule_id FROM alert_events e \
               JOIN alerts a USING (alert_id) JOIN patients p USING (patient_key) \
               WHERE e.phase = 'acknowledge' AND e.note = ?1";
    database.query_row(sql, [NOTE], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

/// The patient and the rule of a dialog's title.
fn subject(line: &str) -> Option<(String, String)> {
    let (rule, patient) = line.split_once(" Acknowledge ")?.1.split_once(" of ")?;
    Some((patient.split_whitespace().next()?.to_owned(), rule.to_owned()))
}

#[tokio::test]
async fn an_alert_appears_is_acknowledged_by_a_key_and_that_is_in_the_store() {
    let dir = TempDir::with_prefix("demo-").expect("temporary directory");
    let home = dir.path().join("kept");
    let terminal = demo(&home);
    terminal.until("the ward to be live", |screen| screen.contains(" LIVE ")).await;
    terminal.line("where the ward page is", |line| line.contains("ward page http://127.")).await;
    terminal.until("vitals", |screen| screen.contains("heart rate")).await;
    terminal
        .line("an alert that signals", |line| line.contains("!!! patient") && line.contains(" ON "))
        .await;

    terminal.press(&["Home"]);
    terminal.line("the worst to be chosen", |line| line.starts_with("> !!! patient")).await;
    terminal.press(&["a"]);
    let title = terminal.line("the dialog", |line| line.contains(" Acknowledge ")).await;
    let subject = subject(&title).expect("an alert is named");
    terminal.press(&["-l", NOTE]);
    terminal.press(&["Enter"]);
    let told = format!(" acknowledged {} of {}", subject.1, subject.0);
    terminal.line("the answer", |line| line.starts_with(&told)).await;
    let stored = wait_for("the acknowledgement", async || acknowledged(&home)).await;
    assert_eq!(stored, subject);

    terminal.press(&["q"]);
    let summary = |line: &str| line.starts_with("{\"sent\":");
    terminal.line("the summary, as without a screen", summary).await;
    terminal.line("a demo without a mistake", |line| line == "exit code 0").await;
    terminal.until("the terminal as it was", |screen| screen.contains(" echo ")).await;
}

#[test]
fn the_demo_says_where_it_listens_once_and_without_the_page_of_a_service() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_pulseward"));
    let output = demo.args(["demo", "--patients", "2", "--for", "1s", "--plain"]).output();
    let output = output.expect("the demo runs");
    let (said, logged) = (&output.stdout[..], &output.stderr[..]);
    let all = String::from_utf8_lossy(&[said, logged].concat()).into_owned();
    assert!(output.status.success(), "{all}");
    assert_eq!(all.matches("/metrics").count(), 1, "{all}");
    assert!(!all.contains(", process "), "{all}");
}

#[tokio::test]
async fn the_keys_are_shown_and_ctrl_c_leaves_too() {
    let dir = TempDir::with_prefix("demo-").expect("temporary directory");
    let terminal = demo(&dir.path().join("kept"));
    terminal.until("the ward to be live", |screen| screen.contains(" LIVE ")).await;
    terminal.press(&["?"]);
    terminal.line("the keys", |line| line.contains("acknowledge the alert")).await;
    terminal.press(&["C-c"]);
    terminal.line("an end in order", |line| line == "exit code 0").await;
    terminal.until("the terminal as it was", |screen| screen.contains(" icanon ")).await;
}
