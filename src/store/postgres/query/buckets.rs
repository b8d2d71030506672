//! Readings summed up in buckets, made of the minutes or hours that the database keeps.
//!
//! The patient's key is looked up by a subquery of its own, not by a join: only so does the
//! condition reach the indexes behind the views. A statement answers with one row of nulls when
//! the patient is known and the span holds nothing, and with no row when not known.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{PostgresHistory, ids};
use crate::store::buckets::{BucketsPage, BucketsQuery, Kept, RawBucket, Reach, Scan};
use crate::store::history::{HistoryError, unavailable};
use crate::store::postgres::reason;
use crate::store::postgres::types::Time;

fn sql(kept: Kept) -> String {
    format!(
        "
    WITH patient AS (
        SELECT p.patient_key
        FROM pulseward.patients p JOIN pulseward.sites s USING (site_key)
        WHERE p.patient_id = $1 AND ($2::text[] IS NULL OR s.site_id = ANY ($2))
    )
    SELECT found.begins, found.vital, found.count, found.min, found.max, found.sum,
           found.last, found.last_measured_at
    FROM patient
    LEFT JOIN (
        SELECT date_bin(make_interval(secs => $4), b.bucket, TIMESTAMPTZ 'epoch') AS begins,
               b.vital, sum(b.count)::bigint AS count, min(b.min) AS min, max(b.max) AS max,
               sum(b.sum) AS sum,
               (array_agg(b.last ORDER BY b.last_measured_at DESC))[1] AS last,
               max(b.last_measured_at) AS last_measured_at
        FROM pulseward.{} b
        WHERE b.patient_key = (SELECT patient_key FROM patient) AND b.vital = ANY ($3)
          AND b.bucket >= $5 AND b.bucket < $6
        GROUP BY 1, 2
        HAVING (date_bin(make_interval(secs => $4), b.bucket, TIMESTAMPTZ 'epoch'), b.vital)
               >= ($5, $7)
        ORDER BY 1, 2
        LIMIT $8
    ) found ON true
    ORDER BY 1, 2",
        kept.name()
    )
}

impl PostgresHistory {
    pub(super) async fn buckets(&self, query: &BucketsQuery) -> Result<BucketsPage, HistoryError> {
        let mut scan = Scan::of(query)?;
        loop {
            let reach = scan.reach();
            let rows = self.span(query, &scan.vitals, reach).await?;
            if let Some(page) = scan.take(reach, &rows)? {
                return Ok(page);
            }
        }
    }

    async fn span(
        &self,
        query: &BucketsQuery,
        vitals: &[i16],
        reach: Reach,
    ) -> Result<Vec<RawBucket>, HistoryError> {
        let values: [&(dyn ToSql + Sync); 8] = [
            &query.patient.as_str(),
            &ids(&query.sites),
            &vitals,
            &(reach.width_micros as f64 / 1e6),
            &Time(reach.from),
            &Time(reach.until),
            &reach.vital,
            &reach.rows,
        ];
        let rows = self.rows(&sql(reach.kept), &values).await?;
        if rows.is_empty() {
            return Err(HistoryError::UnknownPatient);
        }
        let found: Result<Option<Vec<_>>, _> = rows.iter().map(bucket).collect();
        found.map(Option::unwrap_or_default).map_err(|error| unavailable(reason(&error)))
    }
}

/// `None` for the row of nulls.
fn bucket(row: &Row) -> Result<Option<RawBucket>, tokio_postgres::Error> {
    let Some(Time(from)) = row.try_get(0)? else {
        return Ok(None);
    };
    Ok(Some(RawBucket {
        from,
        vital: row.try_get(1)?,
        count: row.try_get(2)?,
        min: row.try_get(3)?,
        max: row.try_get(4)?,
        sum: row.try_get(5)?,
        last: row.try_get(6)?,
        last_measured_at: row.try_get::<_, Time>(7)?.0,
    }))
}
