//! The store in Postgres 15 or newer, with TimescaleDB where the server offers it.
//!
//! Everything stands in the schema `pulseward`, and every statement names it, so that no search
//! path matters. Which of the two layouts `readings` has is found out at the first migration and
//! recorded; it can't be changed later. A connection is a session with settings of its own, so a
//! pooler between us must keep sessions whole.
//!
//! Least privilege. One role writes; it owns the schema, because it makes a partition a day:
//!
//! ```sql
//! CREATE ROLE pulseward LOGIN PASSWORD '…';
//! CREATE SCHEMA pulseward AUTHORIZATION pulseward;
//! -- With TimescaleDB, where the role may not do it itself:
//! CREATE EXTENSION IF NOT EXISTS timescaledb;
//! ```
//!
//! Those who only read, such as Grafana, get `USAGE` on the schema and `SELECT` on its tables and
//! views; the partitions behind `readings` need no grants of their own.

mod migrate;
mod partitions;
mod query;
mod rejected;
mod types;
mod write;

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::Settings;
use super::database::{Database, Failure};

pub(super) use query::history;

/// With the schema's dot, as it stands before every name.
const SCHEMA: &str = "pulseward.";

/// A connection is probed after this much silence, so that one whose peer vanished is noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// And given up when the peer has acknowledged nothing for this long.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// The server that the follower writes to.
#[derive(Debug)]
pub(super) struct Postgres {
    config: Config,
    write_timeout: Duration,
}

impl Postgres {
    pub(super) fn new(config: &Config, settings: &Settings) -> Self {
        let limit = settings.write_timeout;
        // The server's own limit ends what a lost client began: a transaction that nobody commits
        // would hold the cursor's row against its successor.
        let options = format!(
            "-c statement_timeout={0} -c idle_in_transaction_session_timeout={0}",
            limit.as_millis()
        );
        let config = prepared(config, settings, "pulseward writer", &options);
        Self { config, write_timeout: limit }
    }
}

impl Database for Postgres {
    type Session = write::Writing;

    async fn open(&self) -> Result<write::Writing, Failure> {
        let connected = self.config.connect(NoTls).await.map_err(|error| away(&error))?;
        let (mut client, connection) = connected;
        // Ends by itself once the client is dropped.
        let driver = tokio::spawn(connection);
        let layout = bounded(self.write_timeout, migrate::migrate(&mut client)).await?;
        let link = Link { client, driver };
        write::Writing::open(link, layout, self.write_timeout).await
    }
}

/// A connection: what speaks through it, and the task that moves its bytes.
#[derive(Debug)]
struct Link {
    client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// The connection settings of the URL with ours added, whose bounds don't depend on the URL.
fn prepared(config: &Config, settings: &Settings, name: &str, options: &str) -> Config {
    let mut config = config.clone();
    let options = match config.get_options() {
        Some(theirs) => format!("{theirs} {options}"),
        None => options.to_owned(),
    };
    config.options(options);
    if config.get_application_name().is_none() {
        config.application_name(name);
    }
    config
        .connect_timeout(settings.connect_timeout)
        .keepalives_idle(KEEPALIVE_IDLE)
        .tcp_user_timeout(PEER_SILENCE_MAX);
    config
}

/// Work on the database that may not take longer than `limit`.
async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Failure::Away(format!("the database did not answer within {} s", limit.as_secs())))
    })
}

fn away(error: &tokio_postgres::Error) -> Failure {
    Failure::Away(reason(error))
}

/// What went wrong, for people. The server's details are left out: they quote rows.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => super::chain(error),
    }
}
