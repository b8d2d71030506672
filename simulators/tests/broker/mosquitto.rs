//! A private Mosquitto on a free port of the loopback, with its data in a temporary directory.
//!
//! `PULSEWARD_TEST_MOSQUITTO` names the program; `tests/run` finds or installs it. The broker ends
//! with its value.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = "PULSEWARD_TEST_MOSQUITTO";
/// Another process may take a port between our finding it free and the broker's taking it.
const PORT_ATTEMPTS: usize = 10;

/// A running broker.
pub(crate) struct Mosquitto {
    program: PathBuf,
    directory: TempDir,
    pub(crate) port: u16,
    process: Child,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        let program = std::env::var_os(PROGRAM)
            .unwrap_or_else(|| panic!("{PROGRAM} is not set: run tests/run"))
            .into();
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port();
            if let Some(process) = spawn(&program, &directory, port) {
                return Self { program, directory, port, process };
            }
        }
        panic!("no free port in {PORT_ATTEMPTS} attempts");
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends the broker in good order and starts it again on the same port with what it has saved.
    pub(crate) fn restart(&mut self) {
        self.end();
        let again = spawn(&self.program, &self.directory, self.port);
        self.process = again.expect("the port that was ours a moment ago is free");
    }

    /// SIGTERM, on which the broker saves sessions and queues.
    fn end(&mut self) {
        let id = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(told.success());
        self.process.wait().expect("our own child");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_gone = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("bound").port()
}

/// `None` if the broker ended instead of coming up.
fn spawn(program: &PathBuf, directory: &TempDir, port: u16) -> Option<Child> {
    let at = directory.path().display();
    let configuration = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
         persistence true\npersistence_location {at}/\nlog_dest stderr\n"
    );
    let file = directory.path().join("mosquitto.conf");
    std::fs::write(&file, configuration).expect("written");
    let mut process = Command::new(program)
        .arg("-c")
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut log = BufReader::new(process.stderr.take().expect("piped")).lines();
    let up = log.by_ref().map_while(Result::ok).any(|line| line.ends_with(" running"));
    if !up {
        process.wait().expect("our own child");
        return None;
    }
    // The log is read on until the broker ends, so that it never waits for a full pipe.
    std::thread::spawn(move || log.map_while(Result::ok).count());
    Some(process)
}
