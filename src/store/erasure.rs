//! The erasure of patients: what is deleted beside the writer, and how far that is.
//!
//! The transaction that brings an erasure writes a row of `erasures`, the tombstone, and deletes the
//! few rows that say who the patient was ([`super::row::FORGET`]). From then on nothing of theirs
//! can be read by their id. The masses follow piece by piece, [`Mass`] by mass: a step deletes a
//! bounded number of rows and counts them, in one transaction, and begins by looking at what is
//! left. So an erasure goes on wherever it was cut, and holds up the writer no longer than a small
//! batch does. `done_at` is set last, when nothing of any mass is left.
//!
//! Of audit events only what tells of patients goes, so that the chain of their digests stays whole;
//! of refused messages only the payload. What mentions the patient's id and is newer than the
//! erasure is about another patient of the same id, and stays.
//!
//! A database that was put back from a backup from before an erasure has its rows again, and no row
//! of `erasures`. The journal brings that again, behind everything that it erases; where the journal
//! no longer reaches, the engine tells all erasures anew.

use crate::clock::Timestamp;
use crate::vitals::PatientKey;

/// Rows of the tables that have one for each reading, deleted by one step: some tens of
/// milliseconds.
pub(super) const READINGS_PER_STEP: i64 = 10_000;
/// Rows of other tables, some of which are large.
pub(super) const ROWS_PER_STEP: i64 = 500;

/// What is deleted, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mass {
    Readings,
    /// After the readings that they would be made from again.
    Buckets,
    /// Rows that the database had refused. Before the alerts that tell whose they are.
    RefusedRows,
    Alerts,
    /// Payloads only.
    Rejected,
    /// Details and salts only.
    AuditEvents,
    /// What went with the erasure already, should anything have brought it back.
    Registry,
}

impl Mass {
    pub(super) const ALL: [Self; 7] = [
        Self::Readings,
        Self::Buckets,
        Self::RefusedRows,
        Self::Alerts,
        Self::Rejected,
        Self::AuditEvents,
        Self::Registry,
    ];
}

/// How many rows a step deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    pub(super) readings: u64,
    pub(super) buckets: u64,
    pub(super) alerts: u64,
    pub(super) alert_events: u64,
    pub(super) rejected: u64,
    pub(super) refused_rows: u64,
    pub(super) audit_events: u64,
    /// Of the registry; not counted for anybody.
    pub(super) others: u64,
}

impl Deleted {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// In the order of the columns of `erasures`.
    pub(super) fn counts(self) -> [i64; 7] {
        let Self { readings, buckets, alerts, alert_events, rejected, refused_rows, .. } = self;
        let counts =
            [readings, buckets, alerts, alert_events, rejected, refused_rows, self.audit_events];
        counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// How an erasure stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredErasure {
    /// The patient's number.
    pub patient_key: PatientKey,
    /// When they were erased.
    pub requested_at: Timestamp,
    /// Who asked for it.
    pub requested_by: String,
    /// When nothing of theirs was left in the database; `None` while something may be.
    pub done_at: Option<Timestamp>,
    /// Readings deleted so far.
    pub readings: u64,
    /// Buckets of readings.
    pub buckets: u64,
    /// Alerts.
    pub alerts: u64,
    /// What had happened to those.
    pub alert_events: u64,
    /// Refused messages, and refused readings, whose payload was deleted.
    pub rejected: u64,
    /// Rows that the database had refused.
    pub refused_rows: u64,
    /// Audit events whose details and salt were deleted.
    pub audit_events: u64,
}

impl StoredErasure {
    pub(super) const fn new(
        patient_key: PatientKey,
        requested_at: Timestamp,
        requested_by: String,
        done_at: Option<Timestamp>,
    ) -> Self {
        let (readings, buckets, alerts, alert_events) = (0, 0, 0, 0);
        let (rejected, refused_rows, audit_events) = (0, 0, 0);
        Self {
            patient_key,
            requested_at,
            requested_by,
            done_at,
            readings,
            buckets,
            alerts,
            alert_events,
            rejected,
            refused_rows,
            audit_events,
        }
    }

    /// The counts in the order of the columns of `erasures`.
    pub(super) fn counted(self, counts: [i64; 7]) -> Self {
        let [readings, buckets, alerts, alert_events, rejected, refused_rows, audit_events] =
            counts.map(i64::cast_unsigned);
        Self {
            readings,
            buckets,
            alerts,
            alert_events,
            rejected,
            refused_rows,
            audit_events,
            ..self
        }
    }
}
