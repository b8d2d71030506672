//! The erasure of patients in Postgres, step by step.
//!
//! Readings and buckets are found by the index that begins with the patient: of one vital the
//! latest few thousand at a time, so that a step touches a bounded number of rows whatever the
//! partitions or chunks are. On TimescaleDB the patient and the vital are what a compressed chunk is
//! segmented by, so that only segments of theirs are opened; buckets are deleted where continuous
//! aggregates keep them, because a refresh would make those of others again from readings that may
//! be gone by now..

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Transaction};
use uuid::Uuid;

use super::query::PostgresHistory;
use super::reason;
use super::types::Time;
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::store::erasure::{Deleted, Mass, READINGS_PER_STEP, ROWS_PER_STEP, StoredErasure};
use crate::store::history::{HistoryError, unavailable};
use crate::store::row::signed;
use crate::vitals::PatientKey;

const NEXT: &str = "
    SELECT patient_key, patient_id, requested_at, journal_id, partition, position
    FROM pulseward.erasures WHERE done_at IS NULL ORDER BY requested_at, patient_key LIMIT 1";

const COUNT: &str = "
    UPDATE pulseward.erasures SET
        reading_count = reading_count + $2, bucket_count = bucket_count + $3,
        alert_count = alert_count + $4, alert_event_count = alert_event_count + $5,
        rejected_count = rejected_count + $6, refused_row_count = refused_row_count + $7,
        audit_event_count = audit_event_count + $8
    WHERE patient_key = $1";

const FINISH: &str = "
    UPDATE pulseward.erasures SET done_at = $2, patient_id = NULL
    WHERE patient_key = $1 AND done_at IS NULL";

/// The tables of buckets: our own, or those behind continuous aggregates.
const BUCKETS: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pulseward' AND c.relname IN ('readings_1min_kept', 'readings_1h_kept')
    ORDER BY 1";

const CONTINUOUS: &str = "
    SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = 'pulseward' ORDER BY 1";

const HAS_TIMESCALE: &str =
    "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')";

/// Of rows that the database refused; those of alerts last, because they tell whose events there
/// are. What tells of the erasure itself stays.
const REFUSED_ROWS: &str = "
    DELETE FROM pulseward.refused_rows WHERE ctid = ANY (ARRAY(
        SELECT r.ctid FROM pulseward.refused_rows r
        WHERE r.table_name NOT IN ('audit_events', 'erasures', 'erased_wear') AND (
            r.content ->> 'patient_key' = $1::integer::text
            OR (r.table_name = 'profiles' AND r.content ->> 'scope' = 'patient'
                AND r.content ->> 'scope_key' = $1::integer::text)
            OR (r.content ->> 'alert_id' IN (
                SELECT alert_id::text FROM pulseward.alerts WHERE patient_key = $1
                UNION ALL
                SELECT a.content ->> 'alert_id' FROM pulseward.refused_rows a
                WHERE a.table_name = 'alerts' AND a.content ->> 'patient_key' = $1::integer::text))
            OR (r.table_name = 'rejected_messages' AND EXISTS (
                SELECT FROM pulseward.erased_wear w JOIN pulseward.devices d USING (device_key)
                WHERE w.patient_key = $1 AND d.device_id = r.content ->> 'device_id'
                  AND (r.content ->> 'received_at')::timestamptz < w.worn_until
                  AND (w.worn_from IS NULL
                       OR (r.content ->> 'received_at')::timestamptz >= w.worn_from))))
        ORDER BY r.table_name = 'alerts' LIMIT $2::bigint))";

const REFUSED_AUDIT_EVENTS: &str = "
    UPDATE pulseward.refused_rows SET
        content = (content::jsonb || '{\"patients\": null, \"patient_count\": null,
                                       \"detail\": null, \"salt\": null}')::json,
        error = ''
    WHERE table_name = 'audit_events' AND content::jsonb -> 'patients' @> to_jsonb($1::text)
      AND ((content ->> 'at')::timestamptz < $2
           OR (journal_id = $3 AND partition = $4 AND position = $5))";

const ALERT_EVENTS: &str = "
    DELETE FROM pulseward.alert_events WHERE alert_id IN (
        SELECT alert_id FROM pulseward.alerts WHERE patient_key = $1
        ORDER BY alert_id LIMIT $2::bigint)";

const ALERTS: &str = "
    DELETE FROM pulseward.alerts WHERE alert_id IN (
        SELECT alert_id FROM pulseward.alerts WHERE patient_key = $1
        ORDER BY alert_id LIMIT $2::bigint)";

const REJECTED: &str = "
    UPDATE pulseward.rejected_messages SET payload = NULL, erased_at = $3
    WHERE (journal_id, partition, position, output_index) IN (
        SELECT m.journal_id, m.partition, m.position, m.output_index
        FROM pulseward.erased_wear w
        JOIN pulseward.devices d USING (device_key)
        JOIN pulseward.rejected_messages m ON m.device_id = d.device_id
            AND m.received_at >= coalesce(w.worn_from, '-infinity') AND m.received_at < w.worn_until
        WHERE w.patient_key = $1 AND m.erased_at IS NULL
        LIMIT $2::bigint)";

const AUDIT_EVENTS: &str = "
    UPDATE pulseward.audit_events
    SET patients = NULL, patient_count = NULL, detail = NULL, salt = NULL
    WHERE (journal_id, partition, position, output_index) IN (
        SELECT journal_id, partition, position, output_index
        FROM pulseward.audit_events
        WHERE patients @> to_jsonb($1::text)
          AND (at < $2 OR (journal_id = $3 AND partition = $4 AND position = $5))
        LIMIT $6::bigint)";

const REGISTRY: [&str; 3] = [
    "DELETE FROM pulseward.bindings WHERE patient_key = $1",
    "DELETE FROM pulseward.profiles WHERE scope = 'patient' AND scope_key = $1",
    "DELETE FROM pulseward.patient_monitoring WHERE patient_key = $1",
];

const ONE: &str = "
    SELECT e.requested_at, e.requested_by, e.done_at, e.reading_count, e.bucket_count,
           e.alert_count, e.alert_event_count, e.rejected_count, e.refused_row_count,
           e.audit_event_count
    FROM pulseward.erasures e
    JOIN pulseward.patients p USING (patient_key) JOIN pulseward.sites s USING (site_key)
    WHERE e.patient_key = $1 AND ($2::text[] IS NULL OR s.site_id = ANY ($2))";

/// An erasure that is not done.
struct Erasure {
    patient: i32,
    id: Option<String>,
    requested_at: Time,
    /// The entry that brought it.
    journal_id: Uuid,
    partition: i16,
    position: i64,
}

/// Deletes a bounded number of rows of the erasure that was asked for first; false if none is left
/// to do. Cancel safe: what is dropped is rolled back.
pub(super) async fn step(client: &mut Client, now: Timestamp) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let Some(erasure) = transaction.query_opt(NEXT, &[]).await? else { return Ok(false) };
    let erasure = Erasure::read(&erasure)?;
    for mass in Mass::ALL {
        let deleted = erasure.delete(&transaction, mass, now).await?;
        if !deleted.is_nothing() {
            erasure.count(&transaction, deleted).await?;
            transaction.commit().await?;
            return Ok(true);
        }
    }
    transaction.execute(FINISH, &[&erasure.patient, &Time(now)]).await?;
    transaction.commit().await?;
    Ok(true)
}

impl Erasure {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            patient: row.try_get(0)?,
            id: row.try_get(1)?,
            requested_at: row.try_get(2)?,
            journal_id: row.try_get(3)?,
            partition: row.try_get(4)?,
            position: row.try_get(5)?,
        })
    }

    async fn count(&self, transaction: &Transaction<'_>, deleted: Deleted) -> Result<(), Error> {
        let counts = deleted.counts();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&self.patient];
        values.extend(counts.iter().map(|count| count as &(dyn ToSql + Sync)));
        transaction.execute(COUNT, &values).await.map(drop)
    }

    async fn delete(
        &self,
        transaction: &Transaction<'_>,
        mass: Mass,
        now: Timestamp,
    ) -> Result<Deleted, Error> {
        let mut deleted = Deleted::default();
        let patient = &self.patient;
        match mass {
            Mass::Readings => {
                let readings = ("pulseward.readings", "measured_at");
                deleted.readings = self.delete_latest(transaction, readings).await?;
            }
            Mass::Buckets => deleted.buckets = self.delete_buckets(transaction).await?,
            Mass::RefusedRows => deleted.refused_rows = self.delete_refused(transaction).await?,
            Mass::Alerts => {
                let values: [&(dyn ToSql + Sync); 2] = [patient, &ROWS_PER_STEP];
                deleted.alert_events = transaction.execute(ALERT_EVENTS, &values).await?;
                deleted.alerts = transaction.execute(ALERTS, &values).await?;
            }
            Mass::Rejected => {
                let values: [&(dyn ToSql + Sync); 3] = [patient, &ROWS_PER_STEP, &Time(now)];
                deleted.rejected = transaction.execute(REJECTED, &values).await?;
            }
            Mass::AuditEvents => deleted.audit_events = self.forget_audited(transaction).await?,
            Mass::Registry => {
                for sql in REGISTRY {
                    deleted.others += transaction.execute(sql, &[patient]).await?;
                }
            }
        }
        Ok(deleted)
    }

    /// The latest rows of the first vital that there are rows of. Names come from us or the
    /// catalog, quoted.
    async fn delete_latest(
        &self,
        transaction: &Transaction<'_>,
        (table, time): (&str, &str),
    ) -> Result<u64, Error> {
        let first = format!(
            "SELECT vital FROM {table} WHERE patient_key = $1 ORDER BY vital, {time} DESC LIMIT 1"
        );
        let Some(row) = transaction.query_opt(&first, &[&self.patient]).await? else {
            return Ok(0);
        };
        let vital: i16 = row.try_get(0)?;
        let bound = format!(
            "SELECT {time} FROM {table} WHERE patient_key = $1 AND vital = $2
             ORDER BY {time} DESC OFFSET $3::bigint LIMIT 1"
        );
        let values: [&(dyn ToSql + Sync); 3] = [&self.patient, &vital, &(READINGS_PER_STEP - 1)];
        let bound = transaction.query_opt(&bound, &values).await?;
        let delete = format!("DELETE FROM {table} WHERE patient_key = $1 AND vital = $2");
        match bound {
            None => transaction.execute(&delete, &[&self.patient, &vital]).await,
            Some(row) => {
                let from: Time = row.try_get(0)?;
                let delete = format!("{delete} AND {time} >= $3");
                transaction.execute(&delete, &[&self.patient, &vital, &from]).await
            }
        }
    }

    async fn delete_buckets(&self, transaction: &Transaction<'_>) -> Result<u64, Error> {
        let mut tables = transaction.query(BUCKETS, &[]).await?;
        let has_timescale: bool = transaction.query_one(HAS_TIMESCALE, &[]).await?.try_get(0)?;
        if has_timescale {
            tables.extend(transaction.query(CONTINUOUS, &[]).await?);
        }
        for table in tables {
            let table: String = table.try_get(0)?;
            let deleted = self.delete_latest(transaction, (&table, "bucket")).await?;
            if deleted > 0 {
                return Ok(deleted);
            }
        }
        Ok(0)
    }

    async fn delete_refused(&self, transaction: &Transaction<'_>) -> Result<u64, Error> {
        let gone = transaction.execute(REFUSED_ROWS, &[&self.patient, &ROWS_PER_STEP]).await?;
        let Some(id) = &self.id else { return Ok(gone) };
        let values: [&(dyn ToSql + Sync); 5] =
            [id, &self.requested_at, &self.journal_id, &self.partition, &self.position];
        Ok(gone + transaction.execute(REFUSED_AUDIT_EVENTS, &values).await?)
    }

    async fn forget_audited(&self, transaction: &Transaction<'_>) -> Result<u64, Error> {
        let Some(id) = &self.id else { return Ok(0) };
        let values: [&(dyn ToSql + Sync); 6] = [
            id,
            &self.requested_at,
            &self.journal_id,
            &self.partition,
            &self.position,
            &ROWS_PER_STEP,
        ];
        transaction.execute(AUDIT_EVENTS, &values).await
    }
}

impl PostgresHistory {
    /// How the erasure of a patient stands. Cancel safe.
    pub(super) async fn one_erasure(
        &self,
        patient_key: PatientKey,
        sites: &Sites,
    ) -> Result<StoredErasure, HistoryError> {
        let sites: Option<Vec<&str>> = match sites {
            Sites::All => None,
            Sites::Only(sites) => Some(sites.iter().map(|site| site.as_str()).collect()),
        };
        let rows = self.rows(ONE, &[&signed(patient_key.0), &sites]).await?;
        let row = rows.first().ok_or(HistoryError::UnknownPatient)?;
        stored(patient_key, row).map_err(|error| unavailable(reason(&error)))
    }
}

fn stored(patient_key: PatientKey, row: &Row) -> Result<StoredErasure, Error> {
    let mut counts = [0; 7];
    for (column, count) in (3..).zip(&mut counts) {
        *count = row.try_get(column)?;
    }
    let requested_at = row.try_get::<_, Time>(0)?.0;
    let done_at = row.try_get::<_, Option<Time>>(2)?.map(|time| time.0);
    Ok(StoredErasure::new(patient_key, requested_at, row.try_get(1)?, done_at).counted(counts))
}
