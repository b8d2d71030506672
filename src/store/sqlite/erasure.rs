//! The erasure of patients in SQLite, step by step: as in Postgres, without partitions.
//!
//! What is deleted is overwritten (`secure_delete`), so that the file does not hold it in pages that
//! are free; the write-ahead log does until it is written over.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::query::{sites_json, time};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::store::erasure::{Deleted, Mass, READINGS_PER_STEP, ROWS_PER_STEP, StoredErasure};
use crate::store::row::signed;
use crate::vitals::PatientKey;

const NEXT: &str = "
    SELECT patient_key, patient_id, requested_at, journal_id, partition, position
    FROM erasures WHERE done_at IS NULL ORDER BY requested_at, patient_key LIMIT 1";

const COUNT: &str = "
    UPDATE erasures SET
        reading_count = reading_count + ?2, bucket_count = bucket_count + ?3,
        alert_count = alert_count + ?4, alert_event_count = alert_event_count + ?5,
        rejected_count = rejected_count + ?6, refused_row_count = refused_row_count + ?7,
        audit_event_count = audit_event_count + ?8
    WHERE patient_key = ?1";

const FINISH: &str = "
    UPDATE erasures SET done_at = ?2, patient_id = NULL
    WHERE patient_key = ?1 AND done_at IS NULL";

/// Of rows that the database refused; those of alerts last, because they tell whose events there
/// are. What tells of the erasure itself stays.
const REFUSED_ROWS: &str = "
    DELETE FROM refused_rows WHERE rowid IN (
        SELECT r.rowid FROM refused_rows r
        WHERE r.table_name NOT IN ('audit_events', 'erasures', 'erased_wear') AND (
            r.content ->> 'patient_key' = ?1
            OR (r.table_name = 'profiles' AND r.content ->> 'scope' = 'patient'
                AND r.content ->> 'scope_key' = ?1)
            OR (r.content ->> 'alert_id' IN (
                SELECT alert_id FROM alerts WHERE patient_key = ?1
                UNION ALL
                SELECT a.content ->> 'alert_id' FROM refused_rows a
                WHERE a.table_name = 'alerts' AND a.content ->> 'patient_key' = ?1))
            OR (r.table_name = 'rejected_messages' AND EXISTS (
                SELECT 1 FROM erased_wear w JOIN devices d USING (device_key)
                WHERE w.patient_key = ?1 AND d.device_id = r.content ->> 'device_id'
                  AND r.content ->> 'received_at' < w.worn_until
                  AND (w.worn_from IS NULL OR r.content ->> 'received_at' >= w.worn_from))))
        ORDER BY r.table_name = 'alerts' LIMIT ?2)";

const REFUSED_AUDIT_EVENTS: &str = "
    UPDATE refused_rows SET
        content = json_set(content, '$.patients', NULL, '$.patient_count', NULL, '$.detail', NULL,
                           '$.salt', NULL),
        error = ''
    WHERE table_name = 'audit_events'
      AND EXISTS (SELECT 1 FROM json_each(content -> 'patients') p WHERE p.value = ?1)
      AND (content ->> 'at' < ?2
           OR (journal_id = ?3 AND partition = ?4 AND position = ?5))";

const ALERT_EVENTS: &str = "
    DELETE FROM alert_events WHERE alert_id IN (
        SELECT alert_id FROM alerts WHERE patient_key = ?1 ORDER BY alert_id LIMIT ?2)";

const ALERTS: &str = "
    DELETE FROM alerts WHERE alert_id IN (
        SELECT alert_id FROM alerts WHERE patient_key = ?1 ORDER BY alert_id LIMIT ?2)";

const REJECTED: &str = "
    UPDATE rejected_messages SET payload = NULL, erased_at = ?3
    WHERE (journal_id, partition, position, output_index) IN (
        SELECT m.journal_id, m.partition, m.position, m.output_index
        FROM erased_wear w
        JOIN devices d USING (device_key)
        JOIN rejected_messages m ON m.device_id = d.device_id
            AND m.received_at >= coalesce(w.worn_from, -9223372036854775808)
            AND m.received_at < w.worn_until
        WHERE w.patient_key = ?1 AND m.erased_at IS NULL
        LIMIT ?2)";

/// By the two indices that there are on patients: of the first, and of lists of several.
const AUDIT_EVENTS: &str = "
    UPDATE audit_events
    SET patients = NULL, patient_count = NULL, detail = NULL, salt = NULL
    WHERE (journal_id, partition, position, output_index) IN (
        SELECT journal_id, partition, position, output_index FROM (
            SELECT * FROM audit_events WHERE patients ->> 0 = ?1
            UNION
            SELECT * FROM audit_events
            WHERE json_array_length(patients) > 1
              AND EXISTS (SELECT 1 FROM json_each(patients) p WHERE p.value = ?1))
        WHERE at < ?2 OR (journal_id = ?3 AND partition = ?4 AND position = ?5)
        LIMIT ?6)";

const REGISTRY: [&str; 3] = [
    "DELETE FROM bindings WHERE patient_key = ?1",
    "DELETE FROM profiles WHERE scope = 'patient' AND scope_key = ?1",
    "DELETE FROM patient_monitoring WHERE patient_key = ?1",
];

const ONE: &str = "
    SELECT e.requested_at, e.requested_by, e.done_at, e.reading_count, e.bucket_count,
           e.alert_count, e.alert_event_count, e.rejected_count, e.refused_row_count,
           e.audit_event_count
    FROM erasures e JOIN patients p USING (patient_key) JOIN sites s USING (site_key)
    WHERE e.patient_key = ?1
      AND (?2 IS NULL OR s.site_id IN (SELECT value FROM json_each(?2)))";

/// An erasure that is not done.
struct Erasure {
    patient: i32,
    id: Option<String>,
    requested_at: i64,
    /// The entry that brought it.
    journal_id: String,
    partition: i64,
    position: i64,
}

/// Deletes a bounded number of rows of the erasure that was asked for first; false if none is left
/// to do.
pub(super) fn step(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let next = connection.query_row(NEXT, [], Erasure::read).optional()?;
    let Some(erasure) = next else { return Ok(false) };
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for mass in Mass::ALL {
        let deleted = erasure.delete(&transaction, mass, now)?;
        if !deleted.is_nothing() {
            erasure.count(&transaction, deleted)?;
            transaction.commit()?;
            return Ok(true);
        }
    }
    transaction.execute(FINISH, params![erasure.patient, now.micros()])?;
    transaction.commit()?;
    Ok(true)
}

impl Erasure {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            patient: row.get(0)?,
            id: row.get(1)?,
            requested_at: row.get(2)?,
            journal_id: row.get(3)?,
            partition: row.get(4)?,
            position: row.get(5)?,
        })
    }

    fn count(&self, transaction: &Transaction<'_>, deleted: Deleted) -> rusqlite::Result<()> {
        let [a, b, c, d, e, f, g] = deleted.counts();
        transaction.execute(COUNT, params![self.patient, a, b, c, d, e, f, g]).map(drop)
    }

    fn delete(
        &self,
        transaction: &Transaction<'_>,
        mass: Mass,
        now: Timestamp,
    ) -> rusqlite::Result<Deleted> {
        let mut deleted = Deleted::default();
        let some = params![self.patient, ROWS_PER_STEP];
        let change = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            transaction.execute(sql, values).map(|rows| rows as u64)
        };
        match mass {
            Mass::Readings => {
                deleted.readings = self.delete_latest(transaction, "readings", "measured_at")?;
            }
            Mass::Buckets => {
                for table in ["readings_1min_kept", "readings_1h_kept"] {
                    if deleted.buckets == 0 {
                        deleted.buckets = self.delete_latest(transaction, table, "bucket")?;
                    }
                }
            }
            Mass::RefusedRows => {
                deleted.refused_rows = change(REFUSED_ROWS, some)?;
                // Without an id nothing is found.
                deleted.refused_rows += change(REFUSED_AUDIT_EVENTS, &self.audited())?;
            }
            Mass::Alerts => {
                deleted.alert_events = change(ALERT_EVENTS, some)?;
                deleted.alerts = change(ALERTS, some)?;
            }
            Mass::Rejected => {
                let values = params![self.patient, ROWS_PER_STEP, now.micros()];
                deleted.rejected = change(REJECTED, values)?;
            }
            Mass::AuditEvents => {
                let mut values = self.audited().to_vec();
                values.push(&ROWS_PER_STEP);
                deleted.audit_events = change(AUDIT_EVENTS, &values)?;
            }
            Mass::Registry => {
                for sql in REGISTRY {
                    deleted.others += change(sql, params![self.patient])?;
                }
            }
        }
        Ok(deleted)
    }

    /// By what audit events about the patient are told from those about another of the same id.
    fn audited(&self) -> [&dyn rusqlite::ToSql; 5] {
        [&self.id, &self.requested_at, &self.journal_id, &self.partition, &self.position]
    }

    /// The latest rows of the first vital that there are rows of.
    fn delete_latest(
        &self,
        transaction: &Transaction<'_>,
        table: &str,
        time: &str,
    ) -> rusqlite::Result<u64> {
        let first = format!(
            "SELECT vital FROM {table} WHERE patient_key = ?1 ORDER BY vital, {time} DESC LIMIT 1"
        );
        let vital: Option<i64> =
            transaction.query_row(&first, [self.patient], |row| row.get(0)).optional()?;
        let Some(vital) = vital else { return Ok(0) };
        let bound = format!(
            "SELECT {time} FROM {table} WHERE patient_key = ?1 AND vital = ?2
             ORDER BY {time} DESC LIMIT 1 OFFSET ?3"
        );
        let values = params![self.patient, vital, READINGS_PER_STEP - 1];
        let from: Option<i64> =
            transaction.query_row(&bound, values, |row| row.get(0)).optional()?;
        let delete =
            format!("DELETE FROM {table} WHERE patient_key = ?1 AND vital = ?2 AND {time} >= ?3");
        let from = from.unwrap_or(i64::MIN);
        transaction.execute(&delete, params![self.patient, vital, from]).map(|rows| rows as u64)
    }
}

/// How the erasure of a patient stands, if there is one at these sites.
pub(super) fn one(
    connection: &Connection,
    patient_key: PatientKey,
    sites: &Sites,
) -> rusqlite::Result<Option<StoredErasure>> {
    let values = params![signed(patient_key.0), sites_json(sites)];
    let mut statement = connection.prepare_cached(ONE)?;
    statement.query_row(values, |row| stored(patient_key, row)).optional()
}

fn stored(patient_key: PatientKey, row: &Row<'_>) -> rusqlite::Result<StoredErasure> {
    let mut counts = [0; 7];
    for (column, count) in (3..).zip(&mut counts) {
        *count = row.get(column)?;
    }
    let requested_at = time(0, row.get(0)?)?;
    let done_at = row.get::<_, Option<i64>>(2)?.map(|at| time(2, at)).transpose()?;
    Ok(StoredErasure::new(patient_key, requested_at, row.get(1)?, done_at).counted(counts))
}
