//! Readings summed up in buckets, made of the minutes or hours that the database keeps.

use rusqlite::{Connection, Row, params};

use super::{FIND_PATIENT, sites_json, time};
use crate::store::buckets::{BucketsQuery, RawBucket, Reach};

/// The numbers of vitals come from an enum and can stand in the text. Of a bucket's parts the one
/// measured last is the first of its window. Times before 1970 are negative, and their remainder
/// too, unless it is taken twice.
fn sql(vitals: &[i16], reach: Reach) -> String {
    let vitals: Vec<_> = vitals.iter().map(ToString::to_string).collect();
    let (vitals, kept) = (vitals.join(", "), reach.kept.name());
    format!(
        "WITH {FIND_PATIENT},
            part AS (
                SELECT b.*, b.bucket - ((b.bucket % ?3) + ?3) % ?3 AS begins
                FROM {kept} b
                WHERE b.patient_key = (SELECT patient_key FROM patient)
                  AND b.vital IN ({vitals}) AND b.bucket >= ?4 AND b.bucket < ?5),
            ranked AS (
                SELECT part.*, row_number() OVER (
                    PARTITION BY begins, vital ORDER BY last_measured_at DESC) AS rank
                FROM part),
            found AS (
                SELECT begins, vital, sum(count) AS count, min(min) AS min, max(max) AS max,
                       total(sum) AS sum, max(CASE WHEN rank = 1 THEN last END) AS last,
                       max(last_measured_at) AS last_measured_at
                FROM ranked
                WHERE (begins, vital) >= (?4, ?6)
                GROUP BY begins, vital
                ORDER BY begins, vital
                LIMIT ?7)
        SELECT found.begins, found.vital, found.count, found.min, found.max, found.sum,
               found.last, found.last_measured_at
        FROM patient LEFT JOIN found ON true
        ORDER BY found.begins, found.vital"
    )
}

/// `None` if there is no such patient at these sites.
pub(super) fn span(
    connection: &Connection,
    query: &BucketsQuery,
    vitals: &[i16],
    reach: Reach,
) -> rusqlite::Result<Option<Vec<RawBucket>>> {
    let values = params![
        query.patient.as_str(),
        sites_json(&query.sites),
        reach.width_micros,
        reach.from.micros(),
        reach.until.micros(),
        reach.vital,
        reach.rows,
    ];
    let mut statement = connection.prepare_cached(&sql(vitals, reach))?;
    let rows = statement.query_map(values, bucket)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let known = !rows.is_empty();
    // The patient's row of nulls stands for no buckets.
    Ok(known.then(|| rows.into_iter().flatten().collect()))
}

/// `None` for the row of nulls.
fn bucket(row: &Row<'_>) -> rusqlite::Result<Option<RawBucket>> {
    let Some(begins) = row.get::<_, Option<i64>>(0)? else {
        return Ok(None);
    };
    Ok(Some(RawBucket {
        from: time(0, begins)?,
        vital: row.get(1)?,
        count: row.get(2)?,
        min: row.get(3)?,
        max: row.get(4)?,
        sum: row.get(5)?,
        last: row.get(6)?,
        last_measured_at: time(7, row.get(7)?)?,
    }))
}
