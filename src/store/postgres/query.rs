//! History from Postgres, over a small pool that the follower has no part in.
//!
//! Each query is one statement: the site check, the rows and their devices come from one
//! snapshot. For each vital the index gives the rows in order, so that a page costs what it shows,
//! not what the range holds.

use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

use super::types::Time;
use super::{Address, reason};
use crate::engine::input::Sites;
use crate::position::MessageId;
use crate::store::Settings;
use crate::store::history::{
    History, HistoryError, RawReading, ReadingsPage, ReadingsQuery, page_of, unavailable,
};
use crate::store::page::Page;
use crate::store::rejected::{DeadLetter, RejectedPage, RejectedQuery};

/// One row of nulls when the patient is known and has no readings; no row when not known.
const LIST_READINGS: &str = "
    WITH patient AS (
        SELECT p.patient_key
        FROM pulseward.patients p JOIN pulseward.sites s USING (site_key)
        WHERE p.patient_id = $1 AND ($2::text[] IS NULL OR s.site_id = ANY ($2))
    )
    SELECT page.measured_at, page.received_at, page.stored_at, page.value, page.device_key,
           page.quality, page.vital, page.absent, page.original_value, page.original_unit,
           page.interval_us, page.measurement_id, d.device_id
    FROM patient
    LEFT JOIN LATERAL (
        SELECT found.*
        FROM unnest($3::smallint[]) AS wanted (number)
        CROSS JOIN LATERAL (
            SELECT r.*
            FROM pulseward.readings r
            WHERE r.patient_key = patient.patient_key AND r.vital = wanted.number
              AND r.measured_at >= $4 AND r.measured_at < $5
              AND (r.measured_at > $4 OR (r.vital, r.device_key) >= ($6, $7))
            ORDER BY r.measured_at, r.device_key, r.received_at, r.stored_at,
                     r.absent, r.value, r.quality, r.original_value, r.original_unit,
                     r.interval_us, r.measurement_id
            LIMIT $8::bigint + $9
        ) found
        ORDER BY found.measured_at, found.vital, found.device_key, found.received_at,
                 found.stored_at, found.absent, found.value, found.quality,
                 found.original_value, found.original_unit, found.interval_us,
                 found.measurement_id
        OFFSET $8 LIMIT $9
    ) page ON true
    LEFT JOIN pulseward.devices d USING (device_key)
    ORDER BY page.measured_at, page.vital, page.device_key, page.received_at,
             page.stored_at, page.absent, page.value, page.quality, page.original_value,
             page.original_unit, page.interval_us, page.measurement_id";

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
            let (client, connection) = config.connect(NoTls).await?;
            // It ends with an error where its next query does, too; the pool ends it with its client.
            Ok((client, tokio::spawn(connection.map(drop))))
        }
        .boxed()
    }
}

#[tonic::async_trait]
impl History for PostgresHistory {
    async fn list_readings(&self, query: ReadingsQuery) -> Result<ReadingsPage, HistoryError> {
        let page = Page::of(&query)?;
        let sites: Option<Vec<&str>> = match &query.sites {
            Sites::All => None,
            Sites::Only(sites) => Some(sites.iter().map(|site| site.as_str()).collect()),
        };
        let start = page.start;
        let values: [&(dyn ToSql + Sync); 9] = [
            &query.patient.as_str(),
            &sites,
            &page.vitals,
            &Time(start.measured_at),
            &Time(query.until),
            &start.vital,
            &start.device_key,
            &i64::from(start.skip),
            &page.rows(),
        ];
        let rows = self.rows(LIST_READINGS, &values).await?;
        page_of(&page, &found(&rows)?)
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

fn found(rows: &[Row]) -> Result<Vec<RawReading>, HistoryError> {
    let read: Result<Option<Vec<_>>, _> = rows.iter().map(reading).collect();
    match read {
        Ok(_) if rows.is_empty() => Err(HistoryError::UnknownPatient),
        Ok(readings) => Ok(readings.unwrap_or_default()),
        Err(error) => Err(unavailable(reason(&error))),
    }
}

/// `None` for the row of nulls.
fn reading(row: &Row) -> Result<Option<RawReading>, tokio_postgres::Error> {
    let Some(Time(measured_at)) = row.try_get(0)? else {
        return Ok(None);
    };
    Ok(Some(RawReading {
        measured_at,
        received_at: row.try_get::<_, Time>(1)?.0,
        stored_at: row.try_get::<_, Time>(2)?.0,
        value: row.try_get(3)?,
        device_key: row.try_get(4)?,
        quality: row.try_get(5)?,
        vital: row.try_get(6)?,
        absent: row.try_get(7)?,
        original_value: row.try_get(8)?,
        original_unit: row.try_get(9)?,
        interval_us: row.try_get(10)?,
        measurement_id: row.try_get(11)?,
        device: row.try_get(12)?,
    }))
}
