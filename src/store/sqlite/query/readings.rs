//! Readings as they stand: pages of them, and the latest.

use rusqlite::{Connection, Params, Row, params};

use super::{FIND_PATIENT, sites_json, time};
use crate::store::history::{LatestQuery, RawReading, ReadingsQuery};
use crate::store::page::{self, Page};

const ORDER: &str = "measured_at, vital, device_key, received_at, stored_at, absent, value, \
     quality, original_value, original_unit, interval_us, measurement_id";
/// The same within one vital. The planner would not see that it is, and leave the index aside.
const ORDER_IN_VITAL: &str = "r.measured_at, r.device_key, r.received_at, r.stored_at, r.absent, \
     r.value, r.quality, r.original_value, r.original_unit, r.interval_us, r.measurement_id";

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
pub(super) fn list(
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
    found(connection, &list_sql(page), values)
}

/// One part for each vital: the last row of its part of the index.
fn latest_sql(vitals: &[i16]) -> String {
    let part = |number: &i16| {
        format!(
            "SELECT * FROM (
                SELECT r.* FROM readings r
                WHERE r.patient_key = (SELECT patient_key FROM patient) AND r.vital = {number}
                ORDER BY r.measured_at DESC, r.received_at DESC, r.stored_at DESC, r.device_key,
                         r.absent, r.value
                LIMIT 1)"
        )
    };
    let parts: Vec<_> = vitals.iter().map(part).collect();
    format!(
        "WITH {FIND_PATIENT}, latest AS MATERIALIZED ({})
        SELECT latest.measured_at, latest.received_at, latest.stored_at, latest.value,
               latest.device_key, latest.quality, latest.vital, latest.absent,
               latest.original_value, latest.original_unit, latest.interval_us,
               latest.measurement_id, d.device_id
        FROM patient LEFT JOIN latest ON true LEFT JOIN devices d USING (device_key)
        ORDER BY latest.vital",
        parts.join(" UNION ALL ")
    )
}

/// `None` if there is no such patient at these sites.
pub(super) fn latest(
    connection: &Connection,
    query: &LatestQuery,
) -> rusqlite::Result<Option<Vec<RawReading>>> {
    let sql = latest_sql(&page::numbers(&query.vitals));
    found(connection, &sql, params![query.patient.as_str(), sites_json(&query.sites)])
}

/// `None` where not even the patient's row of nulls is found.
fn found(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Option<Vec<RawReading>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, reading)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let known = !rows.is_empty();
    // The row of nulls stands for no readings.
    Ok(known.then(|| rows.into_iter().flatten().collect()))
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
