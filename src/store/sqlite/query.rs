//! History from SQLite, over a few connections that only read.
//!
//! A query that takes too long, or whose caller has gone, is interrupted; its connection is not
//! used again.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags, Row, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::{BUSY_WAIT, rejected};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::position::MessageId;
use crate::store::Settings;
use crate::store::history::{
    History, HistoryError, RawReading, ReadingsPage, ReadingsQuery, page_of, unavailable,
};
use crate::store::page::Page;
use crate::store::rejected::{
    DeadLetter, Page as RejectedPages, RejectedPage, RejectedQuery, dead_letter,
};

const FIND_PATIENT: &str = "patient AS (
        SELECT p.patient_key
        FROM patients p JOIN sites s USING (site_key)
        WHERE p.patient_id = ?1
          AND (?2 IS NULL OR s.site_id IN (SELECT value FROM json_each(?2)))
    )";

const ORDER: &str = "measured_at, vital, device_key, received_at, stored_at, absent, value, \
     quality, original_value, original_unit, interval_us, measurement_id";
/// The same within one vital. The planner would not see that it is, and leave the index aside.
const ORDER_IN_VITAL: &str = "r.measured_at, r.device_key, r.received_at, r.stored_at, r.absent, \
     r.value, r.quality, r.original_value, r.original_unit, r.interval_us, r.measurement_id";

struct SqliteHistory {
    path: PathBuf,
    timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// The history in a file.
pub(in crate::store) fn history(path: &Path, settings: &Settings) -> impl History + use<> {
    SqliteHistory {
        path: path.to_owned(),
        timeout: settings.query_timeout,
        permits: Arc::new(Semaphore::new(settings.query_connections_max)),
        idle: Mutex::new(Vec::new()),
    }
}

#[tonic::async_trait]
impl History for SqliteHistory {
    async fn list_readings(&self, query: ReadingsQuery) -> Result<ReadingsPage, HistoryError> {
        let page = Page::of(&query)?;
        let (rows, page) = self
            .ask(move |connection| list(connection, &query, &page).map(|rows| (rows, page)))
            .await?;
        page_of(&page, &rows.ok_or(HistoryError::UnknownPatient)?)
    }

    async fn list_rejected(&self, query: RejectedQuery) -> Result<RejectedPage, HistoryError> {
        let page = RejectedPages::of(&query)?;
        let ((rows, found), page) = self
            .ask(move |connection| {
                rejected::list(connection, &query, &page).map(|rows| (rows, page))
            })
            .await?;
        page.filled(rows, found)
    }

    async fn dead_letter(
        &self,
        message: MessageId,
        sites: Sites,
    ) -> Result<DeadLetter, HistoryError> {
        let one = self.ask(move |connection| rejected::one(connection, message, &sites)).await;
        one.and_then(|(rows, redrives_stored)| dead_letter(rows, redrives_stored))
    }
}

impl SqliteHistory {
    /// Reads, no longer than the timeout. Cancel safe.
    async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let deadline = Instant::now() + self.timeout;
        timeout_at(deadline, self.at_work(read))
            .await
            .unwrap_or_else(|_| Err(unavailable("the database did not answer in time")))
    }

    async fn at_work<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| unavailable(closed.to_string()))?;
        let connection = self.connection(permit).await?;
        let interrupt = InterruptOnDrop(Some(connection.sqlite.get_interrupt_handle()));
        let work = spawn_blocking(move || {
            let rows = read(&connection.sqlite);
            (connection, rows)
        });
        let (connection, rows) = work.await.map_err(|ended| unavailable(ended.to_string()))?;
        interrupt.disarm();
        let rows = rows.map_err(|error| unavailable(crate::store::chain(&error)))?;
        self.put_back(connection);
        Ok(rows)
    }

    /// An idle connection, or a new one.
    async fn connection(&self, permit: OwnedSemaphorePermit) -> Result<Permitted, HistoryError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(sqlite) = idle {
            return Ok(Permitted { sqlite, permit });
        }
        let path = self.path.clone();
        let opened =
            spawn_blocking(move || connect(&path).map(|sqlite| Permitted { sqlite, permit }));
        let opened = opened.await.map_err(|ended| unavailable(ended.to_string()))?;
        opened.map_err(|error| unavailable(crate::store::chain(&error)))
    }

    fn put_back(&self, Permitted { sqlite, permit }: Permitted) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sqlite);
        drop(permit);
    }
}

/// A connection, and the right to have it. The two stay together also when the caller has gone
/// while the query still runs, so that the bound holds.
struct Permitted {
    sqlite: Connection,
    permit: OwnedSemaphorePermit,
}

struct InterruptOnDrop(Option<InterruptHandle>);

impl InterruptOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.interrupt();
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

/// One part for each vital, so that the index gives each in order and none is read beyond what
/// the page may need; materialized, because merging them step by step costs more than sorting
/// the few that they are. The numbers come from an enum and can stand in the text.
fn list_sql(page: &Page) -> String {
    let part = |number: &i16| {
        format!(
            "SELECT * FROM (
                SELECT r.* FROM readings r
                WHERE r.patient_key = (SELECT patient_key FROM patient) AND r.vital = {number}
                  AND r.measured_at >= ?3 AND r.measured_at < ?4
                  AND (r.measured_at > ?3 OR (r.vital, r.device_key) >= (?5, ?6))
                ORDER BY {ORDER_IN_VITAL} LIMIT ?7 + ?8)"
        )
    };
    let parts: Vec<_> = page.vitals.iter().map(part).collect();
    format!(
        "WITH {FIND_PATIENT},
            found AS MATERIALIZED ({}),
            page AS (SELECT * FROM found ORDER BY {ORDER} LIMIT ?8 OFFSET ?7)
        SELECT page.measured_at, page.received_at, page.stored_at, page.value, page.device_key,
               page.quality, page.vital, page.absent, page.original_value, page.original_unit,
           page.interval_us, page.measurement_id, d.device_id
        FROM patient LEFT JOIN page ON true LEFT JOIN devices d USING (device_key)
        ORDER BY {ORDER}",
        parts.join(" UNION ALL ")
    )
}

/// `None` if there is no such patient at these sites.
fn list(
    connection: &Connection,
    query: &ReadingsQuery,
    page: &Page,
) -> rusqlite::Result<Option<Vec<RawReading>>> {
    let start = page.start;
    let values = params![
        query.patient.as_str(),
        sites_json(&query.sites),
        start.measured_at.micros(),
        query.until.micros(),
        start.vital,
        start.device_key,
        start.skip,
        page.rows(),
    ];
    let mut statement = connection.prepare_cached(&list_sql(page))?;
    let rows = statement.query_map(values, reading)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let known = !rows.is_empty();
    // The patient's row of nulls stands for no readings.
    Ok(known.then(|| rows.into_iter().flatten().collect()))
}

/// `None` for all of them.
pub(super) fn sites_json(sites: &Sites) -> Option<String> {
    match sites {
        Sites::All => None,
        Sites::Only(sites) => Some(json(sites)),
    }
}

/// An array of what needs no escapes: ids and names.
pub(super) fn json(ids: impl IntoIterator<Item = impl Display>) -> String {
    let ids: Vec<_> = ids.into_iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(","))
}

/// `None` for the row of nulls.
fn reading(row: &Row<'_>) -> rusqlite::Result<Option<RawReading>> {
    let Some(measured_at) = row.get::<_, Option<i64>>(0)? else {
        return Ok(None);
    };
    Ok(Some(RawReading {
        measured_at: time(0, measured_at)?,
        received_at: time(1, row.get(1)?)?,
        stored_at: time(2, row.get(2)?)?,
        value: row.get(3)?,
        device_key: row.get(4)?,
        quality: row.get(5)?,
        vital: row.get(6)?,
        absent: row.get(7)?,
        original_value: row.get(8)?,
        original_unit: row.get(9)?,
        interval_us: row.get(10)?,
        measurement_id: row.get(11)?,
        device: row.get(12)?,
    }))
}

pub(super) fn time(column: usize, micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, micros))
}
