//! A child process whose output goes to a file, and which never outlives its test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::wait::wait_blocking;

/// How much of its log a failed test shows, in bytes.
const LOG_SHOWN_MAX: usize = 8 * 1024;

/// A running or ended child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// The signals that tests send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// Please end.
    Terminate,
    /// As ctrl-c does. Postgres: end now, in order.
    Interrupt,
    /// Read the configuration again.
    HangUp,
    /// End without a chance to do anything.
    Kill,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    pub(crate) fn spawn(name: &'static str, command: &mut Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, child, log: log.to_owned() }
    }

    /// Everything it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit, if it has ended.
    pub(crate) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exit().is_some() {
            return;
        }
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::HangUp => "HUP",
            Signal::Kill => "KILL",
        };
        // The shell's own kill: a minimal system has no other.
        let kill = format!("kill -s {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
        assert!(sent.success() || self.exit().is_some(), "no {name} to {}", self.name);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After 30 s, with what it wrote.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("{} (pid {}) to end", self.name, self.child.id());
        wait_blocking(&what, || self.exit())
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(LOG_SHOWN_MAX);
            let shown = log.get(from..).unwrap_or(&log);
            eprintln!("--- {} wrote at last:\n{shown}---", self.name);
        }
    }
}
