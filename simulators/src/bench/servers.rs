//! The servers of a benchmark, all its own: broker, database and service on loopback and free
//! ports, with their files in the benchmark's directory.
//!
//! Promises: each runs with the configuration that is shipped, or with its own defaults, durable
//! as in earnest; dropping one ends it, and no other process is ever touched. A benchmark that is
//! killed outright (`kill -9`) can end nothing. Each stands in a process group of its own, so that
//! a ctrl-c at the terminal reaches the benchmark alone, which then ends them in order.

mod broker;
mod postgres;
mod process;
mod service;

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub(super) use broker::Mosquitto;
pub(super) use postgres::Postgres;
pub(super) use process::version;
pub(super) use service::{Options, Service};

/// How many ports a server may find taken.
const PORT_ATTEMPTS_MAX: usize = 20;
/// Below the ports that systems hand out to outgoing connections, above the well-known servers.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The programs that are run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The service.
    pub pulseward: PathBuf,
    /// The broker.
    pub mosquitto: PathBuf,
    /// The directory of `postgres`, `initdb` and `createdb`.
    pub postgres_bin: PathBuf,
}

/// Broker, database and service that belong together. The service ends first.
#[derive(Debug)]
pub(super) struct House {
    pub(super) service: Service,
    pub(super) broker: Mosquitto,
}

impl House {
    /// Starts a broker and a service that keeps its rows in a new database; ready on return.
    pub(super) async fn open(
        name: &str,
        dir: &Path,
        programs: &Programs,
        postgres: &Postgres,
        options: Options,
    ) -> Result<Self> {
        let dir = dir.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let broker = Mosquitto::start(&programs.mosquitto, &dir).await?;
        let store = postgres.database(name)?;
        let service =
            Service::start(&programs.pulseward, &dir, &broker.url(), &store, options).await?;
        Ok(Self { service, broker })
    }
}

/// Tries ports until `start` gets one: it gives `None` where its port is taken.
async fn on_free_port<T, F>(name: &str, mut start: impl FnMut(u16) -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    for _ in 0..PORT_ATTEMPTS_MAX {
        if let Some(started) = start(free_port()).await? {
            return Ok(started);
        }
    }
    bail!("no free port for {name} after {PORT_ATTEMPTS_MAX} attempts")
}

/// A port that was free a moment ago, another one each time. Whether it still is shows only when a
/// server binds it.
fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let offset = random % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset).expect("below 12,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
