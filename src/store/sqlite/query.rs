//! History from SQLite, over a few connections that only read.
//!
//! A query that takes too long, or whose caller has gone, is interrupted; its connection is not
//! used again.

mod buckets;
mod profiles;
mod readings;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::{BUSY_WAIT, audit, erasure, rejected};
use crate::clock::Timestamp;
use crate::engine::alerts::AlertId;
use crate::engine::input::Sites;
use crate::engine::output::ProfileRow;
use crate::engine::profile::Scope;
use crate::position::MessageId;
use crate::store::Settings;
use crate::store::alerts::burden::{Burden, BurdenQuery};
use crate::store::alerts::{self, AlertStory, AlertsPage, AlertsQuery};
use crate::store::audit::{AuditPage, AuditQuery, ChainKey, Page as AuditPages, StoredAuditEvent};
use crate::store::buckets::{BucketsPage, BucketsQuery, Scan};
use crate::store::erasure::StoredErasure;
use crate::store::history::{
    History, HistoryError, LatestQuery, ReadingsPage, ReadingsQuery, StoredReading, page_of,
    profile_of, read_all, unavailable,
};
use crate::store::page::Page;
use crate::store::rejected::{
    DeadLetter, Page as RejectedPages, RejectedPage, RejectedQuery, dead_letter,
};
use crate::vitals::PatientKey;

/// `patient`, with the key of the one of id `?1`, if the caller may see its site.
const FIND_PATIENT: &str = "patient AS (
        SELECT p.patient_key
        FROM patients p JOIN sites s USING (site_key)
        WHERE p.patient_id = ?1
          AND (?2 IS NULL OR s.site_id IN (SELECT value FROM json_each(?2)))
    )";

pub(super) struct SqliteHistory {
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
            .ask(move |connection| {
                readings::list(connection, &query, &page).map(|rows| (rows, page))
            })
            .await?;
        page_of(&page, &rows.ok_or(HistoryError::UnknownPatient)?)
    }

    async fn latest_readings(
        &self,
        query: LatestQuery,
    ) -> Result<Vec<StoredReading>, HistoryError> {
        let rows = self.ask(move |connection| readings::latest(connection, &query)).await?;
        read_all(&rows.ok_or(HistoryError::UnknownPatient)?)
    }

    async fn aggregate_readings(&self, query: BucketsQuery) -> Result<BucketsPage, HistoryError> {
        let mut scan = Scan::of(&query)?;
        let query = Arc::new(query);
        loop {
            let (reach, vitals) = (scan.reach(), scan.vitals.clone());
            let query = Arc::clone(&query);
            let rows = self
                .ask(move |connection| buckets::span(connection, &query, &vitals, reach))
                .await?;
            if let Some(page) = scan.take(reach, &rows.ok_or(HistoryError::UnknownPatient)?)? {
                return Ok(page);
            }
        }
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

    async fn erasure(
        &self,
        patient: PatientKey,
        sites: Sites,
    ) -> Result<StoredErasure, HistoryError> {
        let one = self.ask(move |connection| erasure::one(connection, patient, &sites)).await?;
        one.ok_or(HistoryError::UnknownPatient)
    }

    async fn profile(&self, scope: Scope, version: u32) -> Result<ProfileRow, HistoryError> {
        let one = self.ask(move |connection| profiles::one(connection, scope, version)).await?;
        let (profile, put_at, put_by) = one.ok_or(HistoryError::UnknownProfile)?;
        profile_of(scope, version, (&profile, put_at, put_by))
    }

    async fn list_audit_events(&self, query: AuditQuery) -> Result<AuditPage, HistoryError> {
        let page = AuditPages::of(&query)?;
        let ((rows, found), page) = self
            .ask(move |connection| audit::list(connection, &query, &page).map(|rows| (rows, page)))
            .await?;
        Ok(page.filled(rows, found))
    }

    async fn audit_chain(
        &self,
        after: ChainKey,
        limit: u32,
    ) -> Result<Vec<(ChainKey, StoredAuditEvent)>, HistoryError> {
        self.ask(move |connection| audit::chain(connection, after, limit)).await
    }
}

impl SqliteHistory {
    /// Reads, no longer than the timeout. Cancel safe.
    pub(super) async fn ask<T: Send + 'static>(
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

/// A connection that only reads.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
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

pub(super) fn time(column: usize, micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, micros))
}
