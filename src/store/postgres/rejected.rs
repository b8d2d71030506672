//! Refused messages from Postgres. Each query is one statement, and so of one snapshot.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::query::PostgresHistory;
use super::reason;
use super::types::Time;
use crate::engine::input::Sites;
use crate::position::MessageId;
use crate::store::history::{HistoryError, unavailable};
use crate::store::rejected::{
    DeadLetter, Key, PAGE_BYTES_MAX, Page, RawRejected, RejectedPage, RejectedQuery, dead_letter,
};

/// What the topic of `r` names must be one of the sites, and known.
macro_rules! visible {
    ($sites:literal) => {
        concat!(
            "(",
            $sites,
            "::text[] IS NULL OR (r.site_id = ANY (",
            $sites,
            ") AND EXISTS (SELECT FROM pulseward.sites s WHERE s.site_id = r.site_id)))"
        )
    };
}

/// The columns of [`raw`], after the number that comes first.
macro_rules! columns {
    ($payload:literal) => {
        concat!(
            "r.received_at, r.journal_id, r.partition, r.position, r.topic, r.reading_index,
             r.reading_count, r.reason, r.detail, r.encoding, r.redriven_from, r.redriven_at,
             r.erased_at, ",
            $payload
        )
    };
}

/// The messages in order, as the index gives them; how large each is; then as many as fit.
const LIST: &str = concat!(
    "WITH found AS (
        SELECT DISTINCT r.received_at, r.journal_id, r.partition, r.position
        FROM pulseward.rejected_messages r
        WHERE ",
    visible!("$1"),
    "     AND ($2::text IS NULL OR r.site_id = $2)
          AND ($3::text IS NULL OR r.device_id = $3)
          AND ($4::text[] IS NULL OR r.reason = ANY ($4))
          AND r.received_at >= $5 AND r.received_at < $6
          AND ($7::timestamptz IS NULL
               OR (r.received_at, r.journal_id, r.partition, r.position) < ($7, $8, $9, $10))
        ORDER BY r.received_at DESC, r.journal_id DESC, r.partition DESC, r.position DESC
        LIMIT $11::bigint + 1
    ), sized AS (
        SELECT f.received_at, f.journal_id, f.partition, f.position,
               sum(64 + octet_length(r.topic) + octet_length(r.detail)
                   + CASE WHEN $12 THEN coalesce(octet_length(r.payload), 0) ELSE 0 END) AS bytes
        FROM found f JOIN pulseward.rejected_messages r USING (journal_id, partition, position)
        GROUP BY f.received_at, f.journal_id, f.partition, f.position
    ), placed AS (
        SELECT *, row_number() OVER latest_first AS place,
               sum(bytes) OVER latest_first - bytes AS bytes_before
        FROM sized
        WINDOW latest_first AS (
            ORDER BY received_at DESC, journal_id DESC, partition DESC, position DESC)
    )
    SELECT (SELECT count(*) FROM found), ",
    columns!("CASE WHEN $12 THEN r.payload END"),
    " FROM placed p JOIN pulseward.rejected_messages r USING (journal_id, partition, position)
    WHERE p.place <= $11 AND (p.place = 1 OR p.bytes_before + p.bytes <= $13::bigint)
    ORDER BY r.received_at DESC, r.journal_id DESC, r.partition DESC, r.position DESC,
             r.output_index"
);

const ONE: &str = concat!(
    "SELECT coalesce((SELECT number FROM pulseward.redrives n WHERE n.partition = r.partition), 0), ",
    columns!("r.payload"),
    " FROM pulseward.rejected_messages r
    WHERE r.journal_id = $2 AND r.partition = $3 AND r.position = $4 AND ",
    visible!("$1"),
    " ORDER BY r.output_index"
);

fn site_ids(sites: &Sites) -> Option<Vec<&str>> {
    match sites {
        Sites::All => None,
        Sites::Only(sites) => Some(sites.iter().map(|site| site.as_str()).collect()),
    }
}

impl PostgresHistory {
    pub(super) async fn rejected(
        &self,
        query: &RejectedQuery,
    ) -> Result<RejectedPage, HistoryError> {
        let page = Page::of(query)?;
        let after = page.after;
        let values: [&(dyn ToSql + Sync); 13] = [
            &site_ids(&query.sites),
            &query.site.as_ref().map(|site| site.as_str()),
            &query.device.as_ref().map(|device| device.as_str()),
            &query.reason_names(),
            &Time(query.from),
            &Time(page.until),
            &after.map(|key| Time(key.received_at)),
            &after.map(|key| key.journal_id),
            &after.map(|key| key.partition),
            &after.map(|key| key.position),
            &page.size(),
            &query.with_payload,
            &PAGE_BYTES_MAX,
        ];
        let rows = self.rows(LIST, &values).await?;
        let (rows, found) = numbered(&rows)?;
        page.filled(rows, found)
    }

    pub(super) async fn one_rejected(
        &self,
        message: MessageId,
        sites: &Sites,
    ) -> Result<DeadLetter, HistoryError> {
        let values: [&(dyn ToSql + Sync); 4] = [
            &site_ids(sites),
            &message.journal_id.0,
            &message.partition.0.cast_signed(),
            &message.position.0.cast_signed(),
        ];
        let rows = self.rows(ONE, &values).await?;
        let (rows, redrives_stored) = numbered(&rows)?;
        dead_letter(rows, redrives_stored)
    }
}

/// The rows, and the number that stands first in each; 0 if there is none.
fn numbered(rows: &[Row]) -> Result<(Vec<RawRejected>, i64), HistoryError> {
    let read = || {
        let number = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok((rows.iter().map(raw).collect::<Result<_, _>>()?, number))
    };
    read().map_err(|error: tokio_postgres::Error| unavailable(reason(&error)))
}

fn raw(row: &Row) -> Result<RawRejected, tokio_postgres::Error> {
    Ok(RawRejected {
        key: Key {
            received_at: row.try_get::<_, Time>(1)?.0,
            journal_id: row.try_get(2)?,
            partition: row.try_get(3)?,
            position: row.try_get(4)?,
        },
        topic: row.try_get(5)?,
        reading_index: row.try_get(6)?,
        reading_count: row.try_get(7)?,
        reason: row.try_get(8)?,
        detail: row.try_get(9)?,
        encoding: row.try_get(10)?,
        redriven_from: row.try_get(11)?,
        redriven_at: row.try_get::<_, Option<Time>>(12)?.map(|time| time.0),
        erased_at: row.try_get::<_, Option<Time>>(13)?.map(|time| time.0),
        payload: row.try_get(14)?,
    })
}
