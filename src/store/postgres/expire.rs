//! Deletes what is older than its retention: partitions whole, refused messages in pieces.
//!
//! A partition is dropped in steps, each of which may be the last before a crash: it is marked by
//! a comment, detached `CONCURRENTLY`, which lets readers and writers go on, and dropped once it
//! stands alone. Nothing that lacks the mark is dropped: a table that an administrator has
//! detached stays. What is still to be summed up stays too, for a while.

use tokio_postgres::Client;
use tracing::{debug, info};

use super::partitions::{Day, Family, READINGS};
use super::types::Time;
use crate::clock::Timestamp;
use crate::store::maintenance::Progress;

/// The comment of a table that is being dropped.
const MARK: &str = "expired, is being dropped by the service";

/// Marked tables of a parent, and whether they are attached, being detached, or neither.
const MARKED: &str = "
    SELECT c.relname, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'pulseward'
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relkind = 'r' AND starts_with(c.relname, $1)
      AND obj_description(c.oid, 'pg_class') = $2";

const ATTACHED: &str = "
    SELECT c.relname
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass('pulseward.' || $1::text)
    ORDER BY c.relname";

const IS_WAITED_FOR: &str =
    "SELECT EXISTS (SELECT FROM pulseward.stored_batches WHERE $1 = ANY(days))";

/// Deletes at most this many refused messages at once, each of which may be as large as a payload.
const REJECTED_MAX: i64 = 1_000;

const DELETE_REJECTED: &str = "
    DELETE FROM pulseward.rejected_messages WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM pulseward.rejected_messages
        WHERE received_at < $1 ORDER BY received_at LIMIT $2))";

/// Goes a step towards having no partition that ended before `before`.
pub(super) async fn partitions(
    client: &Client,
    family: &'static Family,
    before: Timestamp,
) -> Result<Progress, tokio_postgres::Error> {
    if let Some((table, is_attached, is_pending)) = marked(client, family, before).await? {
        let parent = family.parent;
        let alter = format!("ALTER TABLE pulseward.{parent} DETACH PARTITION pulseward.{table}");
        let sql = match (is_attached, is_pending) {
            (true, false) => format!("{alter} CONCURRENTLY"),
            (true, true) => format!("{alter} FINALIZE"),
            (false, _) => format!("DROP TABLE pulseward.{table}"),
        };
        client.batch_execute(&sql).await?;
        if !is_attached {
            info!(partition = table, "partition dropped, its retention is over");
        }
        return Ok(Progress::More);
    }
    let Some(table) = oldest_expired(client, family, before).await? else {
        return Ok(Progress::Done);
    };
    client.batch_execute(&format!("COMMENT ON TABLE pulseward.{table} IS '{MARK}'")).await?;
    Ok(Progress::More)
}

/// A table to go on with. One that is not expired any more, because the retention was made longer,
/// stays if nothing was done to it yet.
async fn marked(
    client: &Client,
    family: &'static Family,
    before: Timestamp,
) -> Result<Option<(String, bool, bool)>, tokio_postgres::Error> {
    for row in client.query(MARKED, &[&family.prefix, &MARK]).await? {
        let (table, is_attached, is_pending): (String, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(partition) = family.named(&table) else { continue };
        if partition.end() <= before || !is_attached || is_pending {
            return Ok(Some((table, is_attached, is_pending)));
        }
    }
    Ok(None)
}

async fn oldest_expired(
    client: &Client,
    family: &'static Family,
    before: Timestamp,
) -> Result<Option<String>, tokio_postgres::Error> {
    for row in client.query(ATTACHED, &[&family.parent]).await? {
        let table: String = row.try_get(0)?;
        let Some(partition) = family.named(&table).filter(|found| found.end() <= before) else {
            continue;
        };
        if *family == READINGS && is_waited_for(client, partition.first()).await? {
            debug!(partition = table, "an expired partition waits to be summed up");
            continue;
        }
        return Ok(Some(table));
    }
    Ok(None)
}

async fn is_waited_for(client: &Client, day: Day) -> Result<bool, tokio_postgres::Error> {
    client.query_one(IS_WAITED_FOR, &[&day.number()]).await?.try_get(0)
}

/// Deletes a piece of the refused messages that were received before `before`.
pub(super) async fn rejected(
    client: &Client,
    before: Timestamp,
) -> Result<Progress, tokio_postgres::Error> {
    let deleted = client.execute(DELETE_REJECTED, &[&Time(before), &REJECTED_MAX]).await?;
    if deleted > 0 {
        info!(deleted, "refused messages deleted, their retention is over");
    }
    let is_full = deleted >= REJECTED_MAX.cast_unsigned();
    Ok(if is_full { Progress::More } else { Progress::Done })
}
