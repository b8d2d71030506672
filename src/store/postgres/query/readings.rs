//! Readings as they stand: pages of them, and the latest.
//!
//! For each vital the index gives the rows in order, so that a page costs what it shows, not what
//! the range holds. A statement answers with one row of nulls when the patient is known and has no
//! readings, and with no row when not known.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{PostgresHistory, ids};
use crate::store::history::{
    HistoryError, LatestQuery, RawReading, ReadingsPage, ReadingsQuery, StoredReading, page_of,
    read_all, unavailable,
};
use crate::store::page::{self, Page};
use crate::store::postgres::reason;
use crate::store::postgres::types::Time;

/// Columns, in the order in which [`reading`] takes them. The few devices of a page are looked up
/// once each, not once a row.
const LIST_READINGS: &str = "
    WITH patient AS (
        SELECT p.patient_key
        FROM pulseward.patients p JOIN pulseward.sites s USING (site_key)
        WHERE p.patient_id = $1 AND ($2::text[] IS NULL OR s.site_id = ANY ($2))
    ),
    page AS MATERIALIZED (
        SELECT found.*
        FROM patient
        CROSS JOIN unnest($3::smallint[]) AS wanted (number)
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
    ),
    device AS MATERIALIZED (
        SELECT d.device_key, d.device_id
        FROM pulseward.devices d
        WHERE d.device_key = ANY (ARRAY(SELECT DISTINCT device_key FROM page))
    )
    SELECT page.measured_at, page.received_at, page.stored_at, page.value, page.device_key,
           page.quality, page.vital, page.absent, page.original_value, page.original_unit,
           page.interval_us, page.measurement_id, device.device_id
    FROM patient
    LEFT JOIN page ON true
    LEFT JOIN device USING (device_key)
    ORDER BY page.measured_at, page.vital, page.device_key, page.received_at,
             page.stored_at, page.absent, page.value, page.quality, page.original_value,
             page.original_unit, page.interval_us, page.measurement_id";

/// The columns of [`LIST_READINGS`].
const LATEST_READINGS: &str = "
    WITH patient AS (
        SELECT p.patient_key
        FROM pulseward.patients p JOIN pulseward.sites s USING (site_key)
        WHERE p.patient_id = $1 AND ($2::text[] IS NULL OR s.site_id = ANY ($2))
    )
    SELECT latest.measured_at, latest.received_at, latest.stored_at, latest.value,
           latest.device_key, latest.quality, latest.vital, latest.absent,
           latest.original_value, latest.original_unit, latest.interval_us,
           latest.measurement_id, d.device_id
    FROM patient
    LEFT JOIN LATERAL (
        SELECT found.*
        FROM unnest($3::smallint[]) AS wanted (number)
        CROSS JOIN LATERAL (
            SELECT r.*
            FROM pulseward.readings r
            WHERE r.patient_key = patient.patient_key AND r.vital = wanted.number
            ORDER BY r.measured_at DESC, r.received_at DESC, r.stored_at DESC, r.device_key,
                     r.absent, r.value
            LIMIT 1
        ) found
    ) latest ON true
    LEFT JOIN pulseward.devices d USING (device_key)
    ORDER BY latest.vital";

impl PostgresHistory {
    pub(super) async fn readings(
        &self,
        query: &ReadingsQuery,
    ) -> Result<ReadingsPage, HistoryError> {
        let page = Page::of(query)?;
        let start = page.start;
        let values: [&(dyn ToSql + Sync); 9] = [
            &query.patient.as_str(),
            &ids(&query.sites),
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

    pub(super) async fn latest(
        &self,
        query: &LatestQuery,
    ) -> Result<Vec<StoredReading>, HistoryError> {
        let vitals = page::numbers(&query.vitals);
        let values: [&(dyn ToSql + Sync); 3] =
            [&query.patient.as_str(), &ids(&query.sites), &vitals];
        let rows = self.rows(LATEST_READINGS, &values).await?;
        read_all(&found(&rows)?)
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
