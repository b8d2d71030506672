//! A Mosquitto with the configuration that is shipped, on a port of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::on_free_port;
use super::process::Process;
use crate::publish::Broker;

const SHIPPED: &str = include_str!("../../../../deploy/mosquitto.conf");
const LISTENER: &str = "listener 1883 127.0.0.1";
/// It says so only once it has bound its listener.
const RUNNING: &str = " running\n";

/// A broker. Dropping it ends it.
#[derive(Debug)]
pub(in crate::bench) struct Mosquitto {
    _process: Process,
    port: u16,
}

impl Mosquitto {
    /// Starts it; it keeps its database in `dir`.
    pub(in crate::bench) async fn start(program: &Path, dir: &Path) -> Result<Self> {
        let attempt = |port| launch(program, dir, port);
        on_free_port("mosquitto", attempt).await
    }

    /// Its address.
    pub(in crate::bench) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// The same, for our own publishers.
    pub(in crate::bench) fn broker(&self) -> Broker {
        Broker { host: "127.0.0.1".to_owned(), port: self.port, credentials: None }
    }
}

async fn launch(program: &Path, dir: &Path, port: u16) -> Result<Option<Mosquitto>> {
    let configuration = dir.join("mosquitto.conf");
    std::fs::write(&configuration, configured(port)?)?;
    let log = dir.join(format!("mosquitto-{port}.log"));
    let mut command = Command::new(program);
    command.current_dir(dir).arg("-c").arg(&configuration);
    let mut process = Process::spawn("mosquitto", &mut command, &log)?;
    let has_port = process.until("listening", |process| {
        let said = process.log();
        if said.contains("Address already in use") {
            return Ok(Some(false));
        }
        Ok(said.contains(RUNNING).then_some(true))
    });
    Ok(has_port.await?.then_some(Mosquitto { _process: process, port }))
}

/// What is shipped, on this port. As root, Mosquitto would become a user that may not write to our
/// directory.
fn configured(port: u16) -> Result<String> {
    ensure!(SHIPPED.contains(LISTENER), "deploy/mosquitto.conf does not listen where it used to");
    let listener = format!("listener {port} 127.0.0.1");
    Ok(format!("{}\nuser root\n", SHIPPED.replace(LISTENER, &listener)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_keeps_its_limits_on_another_port() {
        let text = configured(20_001).expect("it listens on loopback");
        assert!(text.contains("\nlistener 20001 127.0.0.1\n") && !text.contains(" 1883 "));
        assert!(
            text.contains("\nmax_inflight_messages 1024\n") && text.contains("persistence true")
        );
    }
}
