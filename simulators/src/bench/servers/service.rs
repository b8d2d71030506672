//! `pulseward serve` as a child process, and what can be told of it from outside: where it listens,
//! its readiness, its metrics, and what the kernel says it has used.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::process::Process;
use crate::bench::http::{self, Metrics};
use crate::bench::usage::Usage;

/// How often a service that starts is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A start that takes longer is a fault, and no figure.
const START_PATIENCE: Duration = Duration::from_secs(300);

/// What a part of the benchmark sets otherwise than shipped.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct Options {
    /// No checkpoint but the one of an orderly end.
    pub(in crate::bench) without_checkpoints: bool,
}

/// A service with its data. Dropping it kills it.
#[derive(Debug)]
pub(in crate::bench) struct Service {
    process: Process,
    program: PathBuf,
    dir: PathBuf,
    http: SocketAddr,
    grpc: SocketAddr,
}

/// How long a start took.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Started {
    /// Until `/readyz` said that it is ready.
    pub(in crate::bench) ready: Duration,
    /// Until it took messages from the broker.
    pub(in crate::bench) connected: Duration,
}

impl Service {
    /// Starts it over new data; ready on return.
    pub(in crate::bench) async fn start(
        program: &Path,
        dir: &Path,
        mqtt: &str,
        store: &str,
        options: Options,
    ) -> Result<Self> {
        std::fs::write(dir.join("pulseward.toml"), configuration(dir, mqtt, store, options)?)?;
        let (process, [http, grpc]) = launch(program, dir).await?;
        let (program, dir) = (program.to_owned(), dir.to_owned());
        let service = Self { process, program, dir, http, grpc };
        service.await_ready(Instant::now()).await?;
        Ok(service)
    }

    /// Kills it as a crash does, and starts it again over what it left.
    pub(in crate::bench) async fn crash_and_restart(&mut self) -> Result<Started> {
        self.process.kill();
        let began = Instant::now();
        let (process, [http, grpc]) = launch(&self.program, &self.dir).await?;
        (self.process, self.http, self.grpc) = (process, http, grpc);
        self.await_ready(began).await
    }

    /// Its gRPC address.
    pub(in crate::bench) fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Its HTTP address.
    pub(in crate::bench) const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its metrics now.
    pub(in crate::bench) async fn metrics(&self) -> Result<Metrics> {
        http::metrics(self.http).await
    }

    /// What it has used so far.
    pub(in crate::bench) fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id())
    }

    /// Runs another command of the same program, such as `enroll`, to its end.
    pub(in crate::bench) async fn command(&self, arguments: Vec<String>) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.dir).args(&arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pulseward {}: {said}", arguments.join(" "));
        Ok(output.stdout)
    }

    /// A file of its directory.
    pub(in crate::bench) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until it is ready and takes messages.
    async fn await_ready(&self, began: Instant) -> Result<Started> {
        let (mut ready, mut connected) = (None, None);
        loop {
            if connected.is_none() && self.is_connected().await {
                connected = Some(began.elapsed());
            }
            if ready.is_none() && self.is_ready().await {
                ready = Some(began.elapsed());
            }
            if let (Some(ready), Some(connected)) = (ready, connected) {
                return Ok(Started { ready, connected });
            }
            if began.elapsed() > START_PATIENCE {
                bail!("not ready after {START_PATIENCE:?}:\n{}", self.process.last_words());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn is_ready(&self) -> bool {
        http::get(self.http, "/readyz").await.is_ok_and(|answer| answer.status == 200)
    }

    async fn is_connected(&self) -> bool {
        self.metrics().await.is_ok_and(|metrics| metrics.sum("pulseward_mqtt_connected") > 0.0)
    }
}

/// The process, and where it listens for HTTP and gRPC. Each run has a log of its own, because the
/// ports that it took stand in it.
async fn launch(program: &Path, dir: &Path) -> Result<(Process, [SocketAddr; 2])> {
    let log = dir.join("pulseward.log");
    if log.exists() {
        std::fs::rename(&log, dir.join("pulseward.log.before"))?;
    }
    let mut command = Command::new(program);
    command.current_dir(dir).args(["serve", "--config", "pulseward.toml"]);
    let mut process = Process::spawn("pulseward", &mut command, &log)?;
    let began = Instant::now();
    let addresses = loop {
        let said = process.log();
        if let (Some(http), Some(grpc)) = (listener(&said, "http"), listener(&said, "grpc")) {
            break [http, grpc];
        }
        if let Some(exit) = process.exit()? {
            bail!("pulseward ended ({exit}):\n{}", process.last_words());
        }
        ensure!(began.elapsed() < START_PATIENCE, "pulseward does not listen:\n{said}");
        sleep(LOOK_EVERY).await;
    };
    Ok((process, addresses))
}

/// The address that a listener says it has, in a log of JSON lines.
fn listener(log: &str, name: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        let is_it = fields["message"] == "listening" && fields["listener"] == name;
        is_it.then(|| fields["address"].as_str()?.parse().ok())?
    })
}

fn configuration(dir: &Path, mqtt: &str, store: &str, options: Options) -> Result<String> {
    let journal = dir.join("journal");
    let journal = journal.to_str().context("the benchmark's directory has no plain name")?;
    let mut text = format!(
        "[mqtt]\nurl = {mqtt:?}\n[store]\nurl = {store:?}\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n\
         [journal]\ndir = {journal:?}\n"
    );
    if options.without_checkpoints {
        text.write_str("max_bytes = \"40GiB\"\ncheckpoint_bytes = \"10GiB\"\n")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_log_once_it_has_its_port() {
        let line = |listener: &str, port: u16| {
            format!(
                r#"{{"level":"INFO","fields":{{"message":"listening","listener":"{listener}","address":"127.0.0.1:{port}"}}}}"#
            )
        };
        let log = format!("starting\n{}\n{}\n", line("http", 1234), line("grpc", 4321));
        assert_eq!(listener(&log, "grpc"), "127.0.0.1:4321".parse().ok());
        assert_eq!(listener(&line("http", 1234), "grpc"), None);
    }
}
