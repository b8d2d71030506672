//! History from Postgres, over a small pool that the follower has no part in.
//!
//! Each statement checks the site itself, so that what is decided and what is read come from one
//! snapshot.

mod buckets;
mod profiles;
mod readings;

use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};

use super::{Address, reason, tls};
use crate::engine::alerts::AlertId;
use crate::engine::input::Sites;
use crate::engine::output::ProfileRow;
use crate::engine::profile::Scope;
use crate::position::MessageId;
use crate::store::Settings;
use crate::store::alerts::burden::{Burden, BurdenQuery};
use crate::store::alerts::{self, AlertStory, AlertsPage, AlertsQuery};
use crate::store::audit::{AuditPage, AuditQuery, ChainKey, StoredAuditEvent};
use crate::store::buckets::{BucketsPage, BucketsQuery};
use crate::store::erasure::StoredErasure;
use crate::store::history::{
    History, HistoryError, LatestQuery, ReadingsPage, ReadingsQuery, StoredReading, unavailable,
};
use crate::store::rejected::{DeadLetter, RejectedPage, RejectedQuery};
use crate::vitals::PatientKey;

pub(super) struct PostgresHistory {
    pool: Pool,
    timeout: Duration,
}

/// The history behind a URL.
pub(in crate::store) fn history(config: &Config, settings: &Settings) -> impl History + use<> {
    let timeout = settings.query_timeout;
    let options =
        format!("-c statement_timeout={} -c default_transaction_read_only=on", timeout.as_millis());
    let address = Address::new(config, settings, "pulseward history", &options);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let config = address.config.clone();
    let pool = Pool::builder(Manager::from_connect(config, address, recycling))
        .max_size(settings.query_connections_max)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool without timeouts of its own can't fail to be built");
    PostgresHistory { pool, timeout }
}

impl Connect for Address {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        // Without its file, the driver or the server says that the password is missing.
        let config = self.with_password().unwrap_or_else(|_| config.clone());
        async move {
            let (client, connection) = tls::connect(&config, self.tls.as_ref()).await?;
            // It ends with an error where its next query does, too; the pool ends it with its client.
            Ok((client, tokio::spawn(connection.map(drop))))
        }
        .boxed()
    }
}

#[tonic::async_trait]
impl History for PostgresHistory {
    async fn list_readings(&self, query: ReadingsQuery) -> Result<ReadingsPage, HistoryError> {
        self.readings(&query).await
    }

    async fn latest_readings(
        &self,
        query: LatestQuery,
    ) -> Result<Vec<StoredReading>, HistoryError> {
        self.latest(&query).await
    }

    async fn aggregate_readings(&self, query: BucketsQuery) -> Result<BucketsPage, HistoryError> {
        self.buckets(&query).await
    }

    async fn list_alerts(&self, query: AlertsQuery) -> Result<AlertsPage, HistoryError> {
        alerts::list(self, &query).await
    }

    async fn alarm_burden(&self, query: BurdenQuery) -> Result<Burden, HistoryError> {
        alerts::burden::tell(self, &query).await
    }

    async fn alert(&self, id: AlertId, sites: Sites) -> Result<Option<AlertStory>, HistoryError> {
        alerts::story::tell(self, id, &sites).await
    }

    async fn list_rejected(&self, query: RejectedQuery) -> Result<RejectedPage, HistoryError> {
        self.rejected(&query).await
    }

    async fn dead_letter(
        &self,
        message: MessageId,
        sites: Sites,
    ) -> Result<DeadLetter, HistoryError> {
        self.one_rejected(message, &sites).await
    }

    async fn erasure(
        &self,
        patient: PatientKey,
        sites: Sites,
    ) -> Result<StoredErasure, HistoryError> {
        self.one_erasure(patient, &sites).await
    }

    async fn profile(&self, scope: Scope, version: u32) -> Result<ProfileRow, HistoryError> {
        self.one_profile(scope, version).await
    }

    async fn list_audit_events(&self, query: AuditQuery) -> Result<AuditPage, HistoryError> {
        self.audit_events(&query).await
    }

    async fn audit_chain(
        &self,
        after: ChainKey,
        limit: u32,
    ) -> Result<Vec<(ChainKey, StoredAuditEvent)>, HistoryError> {
        self.chain(after, limit).await
    }
}

impl PostgresHistory {
    /// The rows of a statement, which is prepared once for each connection. Cancel safe.
    pub(super) async fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, HistoryError> {
        let deadline = Instant::now() + self.timeout;
        let slow = || unavailable("the database did not answer in time");
        let client = timeout_at(deadline, self.pool.get()).await.map_err(|_| slow())?;
        let client = client.map_err(|error| unavailable(connecting(&error)))?;
        let answered = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, values).await
        };
        let Ok(rows) = timeout_at(deadline, answered).await else {
            // Not fit for the next caller: its answer is still under way.
            drop(Object::take(client));
            return Err(slow());
        };
        rows.map_err(|error| unavailable(reason(&error)))
    }
}

fn connecting(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => reason(error),
        other => crate::store::chain(other),
    }
}

/// The ids of the sites that a caller may see; `None` for all of them.
fn ids(sites: &Sites) -> Option<Vec<&str>> {
    match sites {
        Sites::All => None,
        Sites::Only(sites) => Some(sites.iter().map(|site| site.as_str()).collect()),
    }
}
