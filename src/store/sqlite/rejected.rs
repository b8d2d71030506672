//! Refused messages from SQLite: the statements of Postgres in its words.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::query::{json, sites_json, time};
use crate::engine::input::Sites;
use crate::position::MessageId;
use crate::store::rejected::{Key, PAGE_BYTES_MAX, Page, RawRejected, RejectedQuery};

/// What the topic of `r` names must be one of the sites, and known.
macro_rules! visible {
    ($sites:literal) => {
        concat!(
            "(",
            $sites,
            " IS NULL OR (r.site_id IN (SELECT value FROM json_each(",
            $sites,
            ")) AND EXISTS (SELECT 1 FROM sites s WHERE s.site_id = r.site_id)))"
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
    "WITH found AS MATERIALIZED (
        SELECT DISTINCT r.received_at, r.journal_id, r.partition, r.position
        FROM rejected_messages r
        WHERE ",
    visible!("?1"),
    "     AND (?2 IS NULL OR r.site_id = ?2)
          AND (?3 IS NULL OR r.device_id = ?3)
          AND (?4 IS NULL OR r.reason IN (SELECT value FROM json_each(?4)))
          AND r.received_at >= ?5 AND r.received_at < ?6
          AND (?7 IS NULL
               OR (r.received_at, r.journal_id, r.partition, r.position) < (?7, ?8, ?9, ?10))
        ORDER BY r.received_at DESC, r.journal_id DESC, r.partition DESC, r.position DESC
        LIMIT ?11 + 1
    ), sized AS (
        SELECT f.received_at, f.journal_id, f.partition, f.position,
               sum(64 + octet_length(r.topic) + octet_length(r.detail)
                   + CASE WHEN ?12 THEN coalesce(octet_length(r.payload), 0) ELSE 0 END) AS bytes
        FROM found f JOIN rejected_messages r USING (journal_id, partition, position)
        GROUP BY f.received_at, f.journal_id, f.partition, f.position
    ), placed AS (
        SELECT *, row_number() OVER latest_first AS place,
               sum(bytes) OVER latest_first - bytes AS bytes_before
        FROM sized
        WINDOW latest_first AS (
            ORDER BY received_at DESC, journal_id DESC, partition DESC, position DESC)
    )
    SELECT (SELECT count(*) FROM found), ",
    columns!("CASE WHEN ?12 THEN r.payload END"),
    " FROM placed p JOIN rejected_messages r USING (journal_id, partition, position)
    WHERE p.place <= ?11 AND (p.place = 1 OR p.bytes_before + p.bytes <= ?13)
    ORDER BY r.received_at DESC, r.journal_id DESC, r.partition DESC, r.position DESC,
             r.output_index"
);

const ONE: &str = concat!(
    "SELECT coalesce((SELECT number FROM redrives n WHERE n.partition = r.partition), 0), ",
    columns!("r.payload"),
    " FROM rejected_messages r
    WHERE r.journal_id = ?2 AND r.partition = ?3 AND r.position = ?4 AND ",
    visible!("?1"),
    " ORDER BY r.output_index"
);

/// The rows of a page, and how many messages there are from its beginning on.
pub(super) fn list(
    connection: &Connection,
    query: &RejectedQuery,
    page: &Page,
) -> rusqlite::Result<(Vec<RawRejected>, i64)> {
    let after = page.after;
    let values = params![
        sites_json(&query.sites),
        query.site.as_ref().map(|site| site.as_str()),
        query.device.as_ref().map(|device| device.as_str()),
        query.reason_names().map(json),
        query.from.micros(),
        page.until.micros(),
        after.map(|key| key.received_at.micros()),
        after.map(|key| key.journal_id.to_string()),
        after.map(|key| key.partition),
        after.map(|key| key.position),
        page.size(),
        query.with_payload,
        PAGE_BYTES_MAX,
    ];
    let mut statement = connection.prepare_cached(LIST)?;
    let rows = statement.query_map(values, numbered)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(split(rows))
}

/// The rows of one message, and how many redrives are stored.
pub(super) fn one(
    connection: &Connection,
    message: MessageId,
    sites: &Sites,
) -> rusqlite::Result<(Vec<RawRejected>, i64)> {
    let values = params![
        sites_json(sites),
        message.journal_id.to_string(),
        message.partition.0.cast_signed(),
        message.position.0.cast_signed(),
    ];
    let mut statement = connection.prepare_cached(ONE)?;
    let rows = statement.query_map(values, numbered)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(split(rows))
}

/// The rows, and the number that stood first in each; 0 if there is none.
fn split(rows: Vec<(i64, RawRejected)>) -> (Vec<RawRejected>, i64) {
    let number = rows.first().map_or(0, |(number, _)| *number);
    (rows.into_iter().map(|(_, raw)| raw).collect(), number)
}

fn numbered(row: &Row<'_>) -> rusqlite::Result<(i64, RawRejected)> {
    Ok((row.get(0)?, raw(row)?))
}

fn raw(row: &Row<'_>) -> rusqlite::Result<RawRejected> {
    let redriven_at = row.get::<_, Option<i64>>(12)?;
    let erased_at = row.get::<_, Option<i64>>(13)?;
    Ok(RawRejected {
        key: Key {
            received_at: time(1, row.get(1)?)?,
            journal_id: journal_id(row)?,
            partition: row.get(3)?,
            position: row.get(4)?,
        },
        topic: row.get(5)?,
        reading_index: row.get(6)?,
        reading_count: row.get(7)?,
        reason: row.get(8)?,
        detail: row.get(9)?,
        encoding: row.get(10)?,
        redriven_from: row.get(11)?,
        redriven_at: redriven_at.map(|micros| time(12, micros)).transpose()?,
        erased_at: erased_at.map(|micros| time(13, micros)).transpose()?,
        payload: row.get(14)?,
    })
}

fn journal_id(row: &Row<'_>) -> rusqlite::Result<Uuid> {
    let text: String = row.get(2)?;
    Uuid::parse_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
    })
}
