//! A terminal with somebody at it: a tmux of the test's own, in which a program runs, whose screen
//! is read and whose keys are pressed.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::from_tests_run;
use super::wait::{wait_for, wait_until};

const COLUMNS: &str = "100";
const LINES: &str = "30";
/// The only session.
const SESSION: &str = "ward";

/// The terminal. Dropping it ends what runs in it.
#[derive(Debug)]
pub(crate) struct Terminal {
    tmux: String,
    home: TempDir,
}

impl Terminal {
    /// One in which `command`, a line for the shell, runs, and then tells its exit code; it shows
    /// that until it is dropped.
    pub(crate) fn run(command: &str) -> Self {
        let home = TempDir::with_prefix("tmux-").expect("temporary directory");
        let terminal = Self { tmux: from_tests_run("PULSEWARD_TEST_TMUX"), home };
        let shell = format!("{command}; echo exit code $?; stty -a; exec cat");
        let size = ["-x", COLUMNS, "-y", LINES];
        let begun = [&["new-session", "-d", "-s", SESSION], &size[..], &[&shell]].concat();
        let output = terminal.tmux(&begun);
        assert!(output.status.success(), "{output:?}");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let socket: PathBuf = self.home.path().join("socket");
        let mut command = Command::new(&self.tmux);
        // Nobody's configuration, and UTF-8 whatever the test's locale is.
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(socket).args(arguments);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").output().expect("tmux runs")
    }

    /// What is seen now.
    pub(crate) fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-t", SESSION]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by tmux's names; another word is typed letter by letter.
    pub(crate) fn press(&self, keys: &[&str]) {
        let output = self.tmux(&[&["send-keys", "-t", SESSION], keys].concat());
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits until the screen is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        wait_until(what, async || is_so(&self.screen())).await;
    }

    /// Waits until a line of the screen is so, and gives it.
    pub(crate) async fn line(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let found = async || self.screen().lines().find(|line| is_so(line)).map(str::to_owned);
        wait_for(what, found).await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the screen was at last:\n{}---", self.screen());
        }
        let _ended_already = self.tmux(&["kill-server"]);
    }
}
