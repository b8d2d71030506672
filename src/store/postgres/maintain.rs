//! The connection of the maintenance: a task in, a bounded step done.
//!
//! Locks are waited for only briefly, because whoever comes after us would wait behind us.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config};
use tracing::info;

use super::migrate::{Layout, migrate};
use super::partitions::{self, Family, READINGS};
use super::{Address, Link, aggregate, away, bounded, erasure, expire, policies};
use crate::clock::Timestamp;
use crate::store::Settings;
use crate::store::aggregate::Aggregate;
use crate::store::database::Failure;
use crate::store::maintenance::{Caretaker, Progress, Task};

/// How long a lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The maintenance's way to the server. Connects when there is something to do.
#[derive(Debug)]
pub(in crate::store) struct Maintaining {
    address: Address,
    settings: Settings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    link: Link,
    layout: Layout,
}

impl Maintaining {
    pub(in crate::store) fn new(config: &Config, settings: &Settings) -> Self {
        // A pass sorts and groups some hundred thousand rows; it needs no second process to do so.
        // Were the planner to read a whole day instead of what the index on stored_at finds, each
        // pass of a day would take longer than the one before.
        let options = format!(
            "-c statement_timeout={0} -c idle_in_transaction_session_timeout={0} \
             -c lock_timeout={1} -c work_mem=64MB -c max_parallel_workers_per_gather=0 \
             -c enable_seqscan=off",
            settings.write_timeout.as_millis(),
            LOCK_WAIT.as_millis()
        );
        let mut address = Address::new(config, settings, "pulseward maintenance", &options);
        if address.config.get_hosts().len() > 1 {
            // As for the writer.
            address.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Self { address, settings: settings.clone(), open: None }
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let link = Link::to(&self.address);
        let mut link = bounded(self.settings.connect_timeout, link).await?;
        let layout = migrate(&mut link.client, self.settings.write_timeout).await?;
        info!(layout = layout.name(), "store maintenance connected");
        Ok(Open { link, layout })
    }
}

impl Caretaker for Maintaining {
    async fn step(&mut self, task: Task, now: Timestamp) -> Result<Progress, Failure> {
        let mut open = match self.open.take() {
            Some(open) if !open.link.client.is_closed() => open,
            _ => self.connect().await?,
        };
        let client = &mut open.link.client;
        let step = async {
            match open.layout {
                Layout::Partitioned => on_partitions(client, &self.settings, task, now).await,
                Layout::Hypertable => on_hypertable(client, &self.settings, task, now).await,
            }
        };
        let progress = bounded(self.settings.write_timeout, step).await?;
        self.open = Some(open);
        Ok(progress)
    }
}

async fn on_partitions(
    client: &mut Client,
    settings: &Settings,
    task: Task,
    now: Timestamp,
) -> Result<Progress, Failure> {
    match task {
        Task::Partitions => prepare(client, now).await,
        Task::Aggregate(aggregate) => {
            aggregate::pass(client, aggregate, settings.pass_rows_max).await
        }
        Task::ExpireReadings => {
            drop_expired(client, &READINGS, settings.readings_retention, now).await
        }
        Task::ExpireBuckets(aggregate) => {
            let family = Family::of(aggregate);
            drop_expired(client, family, settings.buckets_retention, now).await
        }
        Task::ExpireRejected => delete_rejected(client, settings, now).await,
        Task::Erase => erase(client, now).await,
        // The server has no jobs of its own.
        Task::Policies => Ok(Progress::Done),
    }
}

/// Most is done by the server's own jobs.
async fn on_hypertable(
    client: &mut Client,
    settings: &Settings,
    task: Task,
    now: Timestamp,
) -> Result<Progress, Failure> {
    match task {
        Task::Policies => policies::apply(client, settings).await.map(|()| Progress::Done),
        Task::ExpireRejected => delete_rejected(client, settings, now).await,
        Task::Erase => erase(client, now).await,
        Task::Partitions | Task::Aggregate(_) | Task::ExpireReadings | Task::ExpireBuckets(_) => {
            Ok(Progress::Done)
        }
    }
}

async fn erase(client: &mut Client, now: Timestamp) -> Result<Progress, Failure> {
    match erasure::step(client, now).await {
        Ok(true) => Ok(Progress::More),
        Ok(false) => Ok(Progress::Done),
        Err(error) => Err(away(&error)),
    }
}

/// What the days to come need.
async fn prepare(client: &mut Client, now: Timestamp) -> Result<Progress, Failure> {
    let families = [&READINGS, Family::of(Aggregate::Minute), Family::of(Aggregate::Hour)];
    let ahead: BTreeSet<_> = families.into_iter().flat_map(|family| family.ahead(now)).collect();
    let prepared = async {
        let transaction = client.transaction().await?;
        partitions::make(&transaction, &ahead).await?;
        transaction.commit().await?;
        aggregate::move_views_on(client).await
    };
    prepared.await.map(|()| Progress::Done).map_err(|error| away(&error))
}

async fn drop_expired(
    client: &Client,
    family: &'static Family,
    retention: Option<Duration>,
    now: Timestamp,
) -> Result<Progress, Failure> {
    let Some(retention) = retention else { return Ok(Progress::Done) };
    let before = now.minus(retention);
    expire::partitions(client, family, before).await.map_err(|error| away(&error))
}

async fn delete_rejected(
    client: &Client,
    settings: &Settings,
    now: Timestamp,
) -> Result<Progress, Failure> {
    let before = now.minus(settings.rejected_retention);
    expire::rejected(client, before).await.map_err(|error| away(&error))
}
