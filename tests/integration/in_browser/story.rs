//! A story that a real browser goes through: a script of `page/test/browser`, and the test that
//! stands behind it and does what the script asks for.
//!
//! Over its standard streams they exchange lines of JSON: first what the script is given, then its
//! questions (each marked, because a script may print besides) and their answers, one at a time.
//! A story is told if its script ends well; what it printed stands in the test's output.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::from_tests_run;
use crate::support::wait::wait_blocking;

/// Where the page's sources and their tools are.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
/// Marks a question among other lines.
const QUESTION: char = '@';
/// No story that comes to an end lasts so long.
const PATIENCE: Duration = Duration::from_secs(150);
/// Lines that wait for the test; a script waits for each answer.
const LINES_MAX: usize = 64;

/// A script that runs. Dropping it ends it, and its browser with it.
struct Script {
    child: Child,
    answers: ChildStdin,
    lines: mpsc::Receiver<String>,
}

/// Goes through the story `name`, which is given `given` and asks `answer` for what it needs.
///
/// # Panics
/// If the story doesn't end well, with what its script said.
pub(super) async fn tell(name: &str, given: Value, mut answer: impl AsyncFnMut(&Value) -> Value) {
    let mut script = Script::start(name);
    script.write(&given);
    let told = async {
        while let Some(line) = script.lines.recv().await {
            let Some(question) = line.strip_prefix(QUESTION) else {
                eprintln!("{name}: {line}");
                continue;
            };
            let question = serde_json::from_str(question).expect("a question is JSON");
            let answer = answer(&question).await;
            script.write(&answer);
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert!(told.is_ok(), "{name} has not come to an end within {PATIENCE:?}");
    let ended = wait_blocking("the script to end", || script.child.try_wait().expect("ours"));
    assert!(ended.success(), "{name} went wrong: see above");
}

/// For a story that asks for nothing.
pub(super) async fn nothing(question: &Value) -> Value {
    panic!("nobody answers {question}")
}

impl Script {
    fn start(name: &str) -> Self {
        let chromium = from_tests_run("PULSEWARD_TEST_CHROMIUM");
        let mut command = Command::new("node");
        command.current_dir(PAGE).args(["--import", "tsx", &format!("test/browser/{name}.ts")]);
        command.env("PULSEWARD_TEST_CHROMIUM", chromium);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let answers = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, answers, lines }
    }

    fn write(&mut self, value: &Value) {
        // A script that has failed reads nothing; its end tells.
        let _failed = writeln!(self.answers, "{value}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Its browser ends when the pipe to it is closed.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// The answer to a question that asks for something to be done.
pub(super) fn done() -> Value {
    json!({})
}
