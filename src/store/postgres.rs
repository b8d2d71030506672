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
//! GRANT USAGE ON SCHEMA public TO pulseward;
//! ```
//!
//! Those who only read, such as Grafana, get `USAGE` on the schema and `SELECT` on its tables and
//! views; the partitions behind `readings` need no grants of their own.

mod aggregate;
mod alerts;
mod audit;
mod copy;
mod erasure;
mod expire;
mod export;
mod fault;
mod ledger;
mod maintain;
mod migrate;
mod notes;
mod partitions;
mod policies;
mod put;
mod query;
mod rejected;
mod tls;
mod types;
mod write;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config};
use tokio_rustls::rustls::ClientConfig;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Settings;
use super::database::{Database, Failure};
use crate::config::{Secret, SecretError};
use crate::tls::Current;

pub(super) use export::export;
pub(super) use ledger::ledger;
pub(super) use maintain::Maintaining;
pub(super) use query::history;

/// With the schema's dot, as it stands before every name.
const SCHEMA: &str = "pulseward.";

/// A connection is probed after this much silence, so that one whose peer vanished is noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// And given up when the peer has acknowledged nothing for this long.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a connection that is not needed any more may take to say goodbye. One whose network
/// says nothing would otherwise stay for ever.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// The server that the follower writes to.
#[derive(Debug)]
pub(super) struct Postgres {
    address: Address,
    connect_timeout: Duration,
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
        let mut address = Address::new(config, settings, "pulseward writer", &options);
        if address.config.get_hosts().len() > 1 {
            // After a failover the one that can be written to is another.
            address.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Self { address, connect_timeout: settings.connect_timeout, write_timeout: limit }
    }
}

impl Database for Postgres {
    type Session = write::Writing;

    async fn open(&self) -> Result<write::Writing, Failure> {
        let mut link = bounded(self.connect_timeout, Link::to(&self.address)).await?;
        let layout = migrate::migrate(&mut link.client, self.write_timeout).await?;
        write::Writing::open(link, layout, self.write_timeout).await
    }
}

/// A connection: what speaks through it, and the task that moves its bytes.
#[derive(Debug)]
struct Link {
    client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    /// Tells the task that nobody speaks through it any more.
    _gone: DropGuard,
}

impl Link {
    async fn to(address: &Address) -> Result<Self, Failure> {
        let config = address.with_password().map_err(|error| {
            // The reason names the file, not what stands in it.
            Failure::Away(super::chain(&error))
        })?;
        let (client, connection) =
            tls::connect(&config, address.tls.as_ref()).await.map_err(|error| away(&error))?;
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let driver = tokio::spawn(async move {
            tokio::select! {
                ended = connection => ended,
                () = async { gone.cancelled().await; sleep(GOODBYE_MAX).await } => Ok(()),
            }
        });
        Ok(Self { client, driver, _gone: guard })
    }
}

/// How to reach the server.
#[derive(Clone, Debug)]
struct Address {
    config: Config,
    password_file: Option<PathBuf>,
    tls: Option<Current<ClientConfig>>,
}

impl Address {
    fn new(config: &Config, settings: &Settings, name: &str, options: &str) -> Self {
        let config = prepared(config, settings, name, options);
        let (password_file, tls) = (settings.password_file.clone(), settings.tls.clone());
        Self { config, password_file, tls }
    }

    /// With the password as its file has it now: one that was corrected needs no restart.
    fn with_password(&self) -> Result<Config, SecretError> {
        let mut config = self.config.clone();
        if let Some(file) = &self.password_file {
            config.password(Secret::read(file)?.expose());
        }
        Ok(config)
    }
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
        None => tls::reason(error).unwrap_or_else(|| super::chain(error)),
    }
}
