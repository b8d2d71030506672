//! The way to read: what was measured of a patient, page by page, the latest of it, and summed up
//! in buckets ([`super::buckets`]). Alerts, what was refused, and who did what, are read through the
//! same trait, and stand in [`super::alerts`], [`super::rejected`] and [`super::audit`].
//!
//! Promises: a caller sees a patient of the sites they may see, decided inside the statement that
//! reads, and nothing tells an unknown patient from one elsewhere. Pages follow measured time, and
//! together hold each row once: one that was there when the first page was read is never left out
//! and never repeated, whatever is inserted meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::burden::{Burden, BurdenQuery};
use super::alerts::{AlertStory, AlertsPage, AlertsQuery};
use super::audit::{AuditPage, AuditQuery, ChainKey, StoredAuditEvent};
use super::blob;
use super::buckets::{BucketsPage, BucketsQuery};
use super::erasure::StoredErasure;
use super::ledger::{Cells, LedgerError, Type};
use super::page::Page;
use super::rejected::{DeadLetter, RejectedPage, RejectedQuery};
use super::row;
use super::settings::Kind;
use super::{Settings, postgres, sqlite};
use crate::clock::Timestamp;
use crate::engine::alerts::AlertId;
use crate::engine::input::Sites;
use crate::engine::output::{ProfileRow, Quality};
use crate::engine::profile::Scope;
use crate::position::MessageId;
use crate::vitals::{DeviceId, PatientId, PatientKey, Quantity, Unit, Value, Vital};

/// A page holds no more readings than this, however many are asked for.
pub const PAGE_SIZE_MAX: u32 = 10_000;

/// Readings and refusals of the past, and who did what.
#[tonic::async_trait]
pub trait History: Send + Sync {
    /// A page of a patient's readings, by measured time, then vital, then device. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn list_readings(&self, query: ReadingsQuery) -> Result<ReadingsPage, HistoryError>;

    /// The latest reading of each vital that was ever measured of a patient, by the vital's number:
    /// the one measured last, of those the one received last. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn latest_readings(&self, query: LatestQuery)
    -> Result<Vec<StoredReading>, HistoryError>;

    /// A page of a patient's quantities summed up in buckets of time. What came in within the last
    /// minutes is in them; what came in late may take a minute to be. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn aggregate_readings(&self, query: BucketsQuery) -> Result<BucketsPage, HistoryError>;

    /// A page of alerts, latest onset first. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn list_alerts(&self, query: AlertsQuery) -> Result<AlertsPage, HistoryError>;

    /// How much alarms ask of a ward in a span of time, as everything stands that is stored. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn alarm_burden(&self, query: BurdenQuery) -> Result<Burden, HistoryError>;

    /// An alert with its story, for a caller who may see `sites`; `None` if there is no such alert,
    /// or none for this caller. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn alert(&self, id: AlertId, sites: Sites) -> Result<Option<AlertStory>, HistoryError>;

    /// A page of refused messages, latest first. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn list_rejected(&self, query: RejectedQuery) -> Result<RejectedPage, HistoryError>;

    /// One refused message with its payload, for a caller who may see `sites`. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn dead_letter(
        &self,
        message: MessageId,
        sites: Sites,
    ) -> Result<DeadLetter, HistoryError>;

    /// How the erasure of the patient of this number stands, for a caller who may see `sites`.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`]; [`HistoryError::UnknownPatient`] if the store has not heard of it.
    async fn erasure(
        &self,
        patient: PatientKey,
        sites: Sites,
    ) -> Result<StoredErasure, HistoryError>;

    /// A version of a scope's profile. Who may see that scope is for the caller to know, who has its
    /// key from the engine. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`]; [`HistoryError::UnknownProfile`] if the store has no such version.
    async fn profile(&self, scope: Scope, version: u32) -> Result<ProfileRow, HistoryError>;

    /// A page of audit events, latest first. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn list_audit_events(&self, query: AuditQuery) -> Result<AuditPage, HistoryError>;

    /// At most so many events of an audit chain, in the order in which it is verified, each with
    /// what asks for those behind it. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    async fn audit_chain(
        &self,
        after: ChainKey,
        limit: u32,
    ) -> Result<Vec<(ChainKey, StoredAuditEvent)>, HistoryError>;
}

/// Which readings, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingsQuery {
    /// Whose.
    pub patient: PatientId,
    /// The sites that the caller may see.
    pub sites: Sites,
    /// Only these vitals; all if there are none.
    pub vitals: Vec<Vital>,
    /// Measured from here on, inclusive.
    pub from: Timestamp,
    /// Measured before this.
    pub until: Timestamp,
    /// Readings of a page, from 1 to [`PAGE_SIZE_MAX`]; what lies outside is brought inside. It
    /// may change from page to page.
    pub page_size: u32,
    /// The token of the page before; it belongs to the same patient, vitals and times.
    pub page_token: Option<String>,
}

/// The latest readings of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestQuery {
    /// Whose.
    pub patient: PatientId,
    /// The sites that the caller may see.
    pub sites: Sites,
    /// Only these vitals; all if there are none.
    pub vitals: Vec<Vital>,
}

/// A page of readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingsPage {
    /// The readings.
    pub readings: Vec<StoredReading>,
    /// What asks for the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// A reading as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReading {
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What was measured.
    pub vital: Vital,
    /// What measured it.
    pub device: DeviceId,
    /// What it says.
    pub value: Value,
    /// What is to be known about its worth.
    pub quality: Quality,
    /// When the service received it.
    pub received_at: Timestamp,
    /// When it was written to the database.
    pub stored_at: Timestamp,
    /// What arrived, if that was in another unit than the vital's.
    pub original: Option<(Quantity, Unit)>,
    /// The span before `measured_at` that it is about, if it is about one.
    pub interval: Option<Duration>,
    /// What was measured together with it has the same number; 0 if it stands alone.
    pub measurement_id: u32,
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The database is away or too slow.
    #[error("the history is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The page token is not one of ours, or belongs to another query.
    #[error("the page token does not belong to this query")]
    InvalidPageToken,
    /// No such patient, or none at these sites.
    #[error("no such patient")]
    UnknownPatient,
    /// No such message, or none at these sites.
    #[error("no such message")]
    UnknownMessage,
    /// No such version of a profile.
    #[error("no such version of the profile")]
    UnknownProfile,
}

/// The history in a database. Connects when it is asked, not before.
#[must_use]
pub fn open_history(settings: &Settings) -> Arc<dyn History> {
    match &settings.url.0 {
        Kind::Postgres(config) => Arc::new(postgres::history(config, settings)),
        Kind::Sqlite(path) => Arc::new(sqlite::history(path, settings)),
    }
}

/// A row as both databases give it.
#[derive(Clone, Debug)]
pub(super) struct RawReading {
    pub(super) measured_at: Timestamp,
    pub(super) received_at: Timestamp,
    pub(super) stored_at: Timestamp,
    pub(super) value: Option<f64>,
    pub(super) device_key: i32,
    pub(super) quality: i32,
    pub(super) vital: i16,
    pub(super) absent: i16,
    pub(super) original_value: Option<f64>,
    pub(super) original_unit: Option<String>,
    pub(super) interval_us: Option<i64>,
    pub(super) measurement_id: Option<i64>,
    /// `None` if the device has no row.
    pub(super) device: Option<String>,
}

/// The columns of a [`RawReading`], in its order.
pub(super) const READING: &[Type] = &[
    Type::Time,
    Type::Time,
    Type::Time,
    Type::Real,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Real,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Text,
];

impl RawReading {
    /// A reading, cell by cell.
    pub(super) fn from_cells(mut row: Cells) -> Result<Self, LedgerError> {
        Ok(Self {
            measured_at: row.time()?,
            received_at: row.time()?,
            stored_at: row.time()?,
            value: row.real_or_null()?,
            device_key: row.number()?,
            quality: row.number()?,
            vital: row.number()?,
            absent: row.number()?,
            original_value: row.real_or_null()?,
            original_unit: row.text_or_null()?,
            interval_us: row.int_or_null()?,
            measurement_id: row.int_or_null()?,
            device: row.text_or_null()?,
        })
    }

    fn read(&self) -> Option<StoredReading> {
        let vital = row::vital_of(self.vital)?;
        Some(StoredReading {
            measured_at: self.measured_at,
            vital,
            device: DeviceId::new(self.device.as_deref()?).ok()?,
            value: row::value_of(vital, self.value, self.absent)?,
            quality: row::quality_of(self.quality)?,
            received_at: self.received_at,
            stored_at: self.stored_at,
            original: row::original_of(self.original_value, self.original_unit.as_deref())?,
            interval: row::interval_of(self.interval_us)?,
            measurement_id: row::measurement_of(self.measurement_id)?,
        })
    }
}

/// The version of a scope's profile whose columns these are.
pub(super) fn profile_of(
    scope: Scope,
    version: u32,
    (profile, put_at, put_by): (&str, Timestamp, String),
) -> Result<ProfileRow, HistoryError> {
    let profile = blob::decode(profile).map_err(|error| unavailable(super::chain(&error)))?;
    Ok(ProfileRow { scope, version, profile, put_at, put_by })
}

pub(super) fn unavailable(reason: impl Into<String>) -> HistoryError {
    HistoryError::Unavailable { reason: reason.into() }
}

/// The page that the rows found make: up to its size of them, with a token if there are more.
pub(super) fn page_of(page: &Page, rows: &[RawReading]) -> Result<ReadingsPage, HistoryError> {
    let shown = &rows[..rows.len().min(page.size())];
    let more = rows.len() > shown.len();
    Ok(ReadingsPage {
        readings: read_all(shown)?,
        next_page_token: if more { page.next_token(shown) } else { None },
    })
}

/// The readings that rows are.
pub(super) fn read_all(rows: &[RawReading]) -> Result<Vec<StoredReading>, HistoryError> {
    let readings = rows.iter().map(RawReading::read).collect::<Option<Vec<_>>>();
    readings.ok_or_else(|| unavailable("a stored reading makes no sense"))
}
