//! The real `pulseward serve`, as a process that may be terminated, killed and started again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::{Process, Signal};
use super::wait::{wait_for, wait_until};

/// A running service with its own directory. Dropping it kills it and removes its files.
#[derive(Debug)]
pub(crate) struct Service {
    // Declared before the directory, so that it ends before its files go.
    process: Process,
    environment: Vec<(&'static str, String)>,
    /// What runs it: a command, and its arguments before the program's name. Empty: nothing.
    under: Vec<String>,
    /// Options of `serve`, behind its configuration.
    options: Vec<&'static str>,
    /// How many bytes of the log are of earlier runs.
    log_before: usize,
    dir: TempDir,
}

/// Where a service under test finds its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `[mqtt] url`
    pub(crate) mqtt_url: String,
    /// `[store] url`; `None` for an SQLite file in the service's directory.
    pub(crate) store_url: Option<String>,
    /// Variables that override keys of the configuration, as in `("PULSEWARD_LOG__LEVEL", "debug")`.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Service {
    /// Starts it on free ports and waits until `/readyz` says that it is ready.
    pub(crate) async fn start(settings: &Settings) -> Self {
        let service = Self::launch(settings);
        service.ready().await;
        service
    }

    /// Starts it without waiting, for tests of what it says before it is ready.
    pub(crate) fn launch(settings: &Settings) -> Self {
        Self::launch_under(settings, Vec::new())
    }

    /// [`Service::launch`] by another command, which takes the program and its arguments.
    pub(crate) fn launch_under(settings: &Settings, under: Vec<String>) -> Self {
        let dir = TempDir::with_prefix("pulseward-").expect("temporary directory");
        std::fs::write(dir.path().join("pulseward.toml"), configuration(dir.path(), settings))
            .expect("configuration written");
        let environment = settings.environment.clone();
        let process = spawn(dir.path(), &environment, &under, &[]);
        Self { process, environment, under, options: Vec::new(), log_before: 0, dir }
    }

    /// Starts it with a configuration of the test's, without waiting. What of it stands in the
    /// service's directory is relative to that.
    pub(crate) fn launch_configured(
        configuration: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let dir = TempDir::with_prefix("pulseward-").expect("temporary directory");
        std::fs::write(dir.path().join("pulseward.toml"), configuration).expect("written");
        let process = spawn(dir.path(), &environment, &[], &[]);
        let (under, options) = (Vec::new(), Vec::new());
        Self { process, environment, under, options, log_before: 0, dir }
    }

    /// Where its HTTP server listens in this run.
    pub(crate) async fn http(&self) -> SocketAddr {
        self.listener("http").await
    }

    /// Waits until `/readyz` says that it is ready.
    pub(crate) async fn ready(&self) {
        let address = self.http().await;
        wait_until("the service to be ready", async || {
            http::get(address, "/readyz").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Its directory, with its data.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has logged so far, over all its runs: JSON lines.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Asks it to end, and waits until it has drained.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.stop(Signal::Terminate)
    }

    /// Rewrites its configuration, and asks it to read that again.
    pub(crate) fn reload(&mut self, rewrite: impl FnOnce(String) -> String) {
        let file = self.dir().join("pulseward.toml");
        let text = std::fs::read_to_string(&file).expect("configuration read");
        std::fs::write(&file, rewrite(text)).expect("configuration written");
        self.process.signal(Signal::HangUp);
    }

    /// Waits for a line of this run's log with this message, behind the first `after`; its fields.
    pub(crate) async fn logged(&self, message: &str, after: usize) -> Value {
        wait_for(&format!("{message:?} in the log"), async || {
            let log = self.log();
            let lines = log[self.log_before..].lines().filter_map(|line| {
                Some(serde_json::from_str::<Value>(line).ok()?["fields"].take())
            });
            lines.filter(|fields| fields["message"] == message).nth(after)
        })
        .await
    }

    /// Ends it as a crash does: `kill -9`.
    pub(crate) fn kill9(&mut self) {
        self.process.stop(Signal::Kill);
    }

    /// Starts it again over the same data, after `kill -9` if it still runs, and waits until it is
    /// ready. Its ports are other ones.
    pub(crate) async fn restart(&mut self) {
        self.relaunch();
        self.ready().await;
    }

    /// [`Service::restart`] without waiting, for tests that do not let it get ready.
    pub(crate) fn relaunch(&mut self) {
        self.kill9();
        self.log_before = self.log().len();
        self.process = spawn(self.dir.path(), &self.environment, &self.under, &self.options);
    }

    /// [`Service::restart`] with these options of `serve` from now on.
    pub(crate) async fn restart_with(&mut self, options: &[&'static str]) {
        self.options = options.to_vec();
        self.restart().await;
    }

    /// From the next start on it has another `[store] url`.
    pub(crate) fn use_store(&mut self, url: &str) {
        self.environment.retain(|(name, _)| *name != STORE_URL);
        self.environment.push((STORE_URL, url.to_owned()));
    }

    /// [`Service::relaunch`] by another command from now on.
    pub(crate) fn relaunch_under(&mut self, under: Vec<String>) {
        self.under = under;
        self.relaunch();
    }

    /// Where its listener `name` (`http` or `grpc`) listens in this run. It takes any free port and
    /// logs it, because such a port is the only one that nobody else can take in between.
    pub(crate) async fn listener(&self, name: &str) -> SocketAddr {
        wait_for(&format!("the {name} listener"), async || {
            self.log()[self.log_before..].lines().find_map(|line| {
                let fields = serde_json::from_str::<Value>(line).ok()?["fields"].take();
                (fields["message"] == "listening" && fields["listener"] == name)
                    .then(|| fields["address"].as_str()?.parse().ok())?
            })
        })
        .await
    }
}

/// Overrides the configuration's key.
const STORE_URL: &str = "PULSEWARD_STORE__URL";

fn spawn(
    dir: &Path,
    environment: &[(&'static str, String)],
    under: &[String],
    options: &[&str],
) -> Process {
    let program = env!("CARGO_BIN_EXE_pulseward");
    let mut words = under.iter().map(String::as_str).chain([program]);
    let mut command = Command::new(words.next().expect("at least the program"));
    // By its whole path: what runs it may have gone to another directory.
    let configuration = dir.join("pulseward.toml");
    command.args(words).current_dir(dir).args(["serve", "--config", path_text(&configuration)]);
    command.args(options);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::spawn("pulseward", &mut command, &dir.join("log"))
}

fn configuration(dir: &Path, settings: &Settings) -> String {
    let sqlite = || format!("sqlite:{}", path_text(&dir.join("readings.sqlite")));
    let store_url = settings.store_url.clone().unwrap_or_else(sqlite);
    format!(
        "[mqtt]\nurl = {:?}\n[store]\nurl = {store_url:?}\n[journal]\ndir = {:?}\n\
         [grpc]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\n",
        settings.mqtt_url,
        path_text(&dir.join("journal")),
    )
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
