//! A private Mosquitto on loopback.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::from_tests_run;
use super::port;
use super::process::{Process, Signal};
use super::wait::wait_blocking;

/// A broker of one test. Dropping it ends it and removes its files.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    // Declared before the directory, so that it ends before its files go.
    process: Process,
    port: u16,
    settings: Settings,
    dir: TempDir,
}

/// What a test may ask of its broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Keep sessions, queues and retained messages over a restart. Each change is written at once,
    /// so that a kill loses none.
    pub(crate) persistent: bool,
    /// The configuration that we ship, on another port, instead of the least that works.
    pub(crate) shipped: bool,
    /// Log no packets: logging them is a third of what a broker does.
    pub(crate) quiet: bool,
    /// Further lines of `mosquitto.conf`.
    pub(crate) extra: String,
}

impl Mosquitto {
    /// A broker that forgets everything when it stops.
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::default())
    }

    /// A broker as asked for.
    pub(crate) fn start_with(settings: Settings) -> Self {
        let dir = TempDir::with_prefix("mosquitto-").expect("temporary directory");
        for _ in 0..port::ATTEMPTS_MAX {
            let port = port::candidate();
            if let Some(process) = launch(&dir, port, &settings) {
                return Self { process, port, settings, dir };
            }
        }
        panic!("no free port for mosquitto");
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address as the configuration of the service wants it.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What it has logged so far, over all its runs.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it in order: a persistent one saves what it holds.
    pub(crate) fn stop(&mut self) {
        self.process.stop(Signal::Terminate);
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process.stop(Signal::Kill);
    }

    /// Starts it again on the same port, after [`Mosquitto::stop`] if it still runs.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = wait_blocking("mosquitto to have its port again", || {
            launch(&self.dir, self.port, &self.settings)
        });
    }
}

/// Starts the broker, and waits until it listens; `None` if its port is taken.
fn launch(dir: &TempDir, port: u16, settings: &Settings) -> Option<Process> {
    let config = write_config(dir, port, settings);
    let log = dir.path().join("log");
    let running_before = count_running(&log);
    let mut command = Command::new(from_tests_run("PULSEWARD_TEST_MOSQUITTO"));
    command.current_dir(dir.path()).arg("-c").arg(config);
    if !settings.quiet {
        command.arg("-v");
    }
    let mut process = Process::spawn("mosquitto", &mut command, &log);
    wait_blocking("mosquitto to listen", || {
        if let Some(exit) = process.exit() {
            let said = process.log();
            assert!(said.contains("Address already in use"), "mosquitto ended ({exit}):\n{said}");
            return Some(false);
        }
        // It says so only once it has bound its listener; a connection that succeeds could be
        // one to whoever else has the port.
        (count_running(&log) > running_before).then_some(true)
    })
    .then_some(process)
}

fn count_running(log: &std::path::Path) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().matches(" running\n").count()
}

const SHIPPED: &str = include_str!("../../../deploy/mosquitto.conf");
const SHIPPED_LISTENER: &str = "\nlistener 1883 127.0.0.1\nallow_anonymous true\n";

fn write_config(dir: &TempDir, port: u16, settings: &Settings) -> PathBuf {
    let listener = format!("\nlistener {port} 127.0.0.1\nallow_anonymous true\n");
    let mut text = if settings.shipped {
        assert!(SHIPPED.contains(SHIPPED_LISTENER), "the shipped listener is on loopback");
        SHIPPED.replace(SHIPPED_LISTENER, &listener)
    } else {
        listener
    };
    // As root, Mosquitto would become a user that may not write to our directory.
    text.push_str("user root\n");
    if settings.persistent {
        text.push_str("persistence true\nautosave_on_changes true\nautosave_interval 1\n");
    }
    text.push_str(&settings.extra);
    let path = dir.path().join("mosquitto.conf");
    std::fs::write(&path, text).expect("configuration written");
    path
}
