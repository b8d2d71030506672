//! Keeps the buckets on plain Postgres: what was stored since the last pass is added to them.
//!
//! A pass takes notes from `stored_batches`, the oldest first and not too many, and adds the
//! readings that they are about, all in one transaction. Of two passes at the same time one waits
//! for the other. Nothing is read but the days that the notes name, and of them what the block
//! range index on `stored_at` finds.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::{Client, Transaction};
use tracing::debug;

use super::away;
use super::migrate::AGGREGATE_VIEWS;
use super::partitions::{self, Day, Family};
use super::types::Time;
use crate::clock::Timestamp;
use crate::store::aggregate::{Aggregate, COUNTED};
use crate::store::database::Failure;
use crate::store::maintenance::Progress;

/// Notes are taken up to this number at once, each of a batch.
const BATCHES_MAX: i64 = 1_000;

const LOCK: &str = "SELECT FROM pulseward.aggregates WHERE name = $1 FOR UPDATE";

/// Takes the oldest notes: as many as have `$2` readings together, and one at least. Each bound
/// lets through all notes of one `stored_at`.
const TAKE: &str = "
    DELETE FROM pulseward.stored_batches WHERE ctid IN (
        SELECT ctid FROM (
            SELECT ctid, stored_at,
                   sum(reading_count) OVER (ORDER BY stored_at) AS through,
                   first_value(stored_at) OVER (ORDER BY stored_at) AS first
            FROM pulseward.stored_batches
            WHERE aggregate = $1
            ORDER BY stored_at
            FETCH FIRST ($3) ROWS WITH TIES) AS oldest
        WHERE through <= $2 OR stored_at = first)
    RETURNING stored_at, days";

const MARK: &str = "UPDATE pulseward.aggregates SET mark = greatest(mark, $2) WHERE name = $1";

const IS_MORE: &str = "SELECT EXISTS (SELECT FROM pulseward.stored_batches WHERE aggregate = $1)";

/// Batches that are summed up together.
#[derive(Debug, Default)]
struct Taken {
    stored_at: BTreeSet<Timestamp>,
    days: BTreeSet<Day>,
}

/// One pass.
pub(super) async fn pass(
    client: &mut Client,
    aggregate: Aggregate,
    rows_max: usize,
) -> Result<Progress, Failure> {
    let (days, progress) = try_pass(client, aggregate, rows_max).await.map_err(|e| away(&e))?;
    for day in days {
        summarize(client, day).await;
    }
    Ok(progress)
}

async fn try_pass(
    client: &mut Client,
    aggregate: Aggregate,
    rows_max: usize,
) -> Result<(BTreeSet<Day>, Progress), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[&aggregate.name()]).await?;
    let taken = take(&transaction, aggregate, rows_max).await?;
    let Some(last) = taken.stored_at.last() else {
        return Ok((BTreeSet::new(), Progress::Done));
    };
    let family = Family::of(aggregate);
    let wanted = taken.days.iter().map(|day| family.at(*day)).collect();
    partitions::make(&transaction, &wanted).await?;
    for day in &taken.days {
        add(&transaction, aggregate, *day, &taken).await?;
    }
    transaction.execute(MARK, &[&aggregate.name(), &Time(*last)]).await?;
    let more: bool = transaction.query_one(IS_MORE, &[&aggregate.name()]).await?.try_get(0)?;
    transaction.commit().await?;
    Ok((taken.days, if more { Progress::More } else { Progress::Done }))
}

async fn take(
    transaction: &Transaction<'_>,
    aggregate: Aggregate,
    rows_max: usize,
) -> Result<Taken, tokio_postgres::Error> {
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut taken = Taken::default();
    for row in transaction.query(TAKE, &[&aggregate.name(), &rows_max, &BATCHES_MAX]).await? {
        taken.stored_at.insert(row.try_get::<_, Time>(0)?.0);
        let days: Vec<i32> = row.try_get(1)?;
        taken.days.extend(days.into_iter().map(Day::numbered));
    }
    Ok(taken)
}

/// Adds the readings of a day. Naming the day lets the planner leave out all other partitions;
/// the list decides, and its ends are what the index can use.
async fn add(
    transaction: &Transaction<'_>,
    aggregate: Aggregate,
    day: Day,
    taken: &Taken,
) -> Result<(), tokio_postgres::Error> {
    let (Some(first), Some(last)) = (taken.stored_at.first(), taken.stored_at.last()) else {
        return Ok(());
    };
    let stored_at: Vec<_> = taken.stored_at.iter().copied().map(Time).collect();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&Time(day.start()), &Time(day.end()), &Time(*first), &Time(*last), &stored_at];
    let rows = transaction.execute(&add_sql(aggregate), &values).await?;
    debug!(aggregate = aggregate.name(), day = day.date(), rows, "buckets kept");
    Ok(())
}

/// Buckets come in the order of the index, so that its pages are touched one after the other.
fn add_sql(aggregate: Aggregate) -> String {
    let (kept, width) = (aggregate.kept(), aggregate.width().as_secs());
    let bucket = format!("date_bin('{width} seconds', measured_at, 'epoch')");
    format!(
        "INSERT INTO pulseward.{kept} AS kept (
            bucket, patient_key, vital, count, min, max, sum, last, last_measured_at)
        SELECT {bucket}, patient_key, vital,
               count(*), min(value), max(value), sum(value),
               (max(ARRAY[extract(epoch FROM measured_at)::double precision, value]))[2],
               max(measured_at)
        FROM pulseward.readings
        WHERE measured_at >= $1 AND measured_at < $2
          AND stored_at >= $3 AND stored_at <= $4 AND stored_at = ANY($5)
          AND {COUNTED}
        GROUP BY patient_key, vital, {bucket}
        ORDER BY patient_key, vital, {bucket}
        ON CONFLICT (patient_key, vital, bucket) DO UPDATE SET
            count = kept.count + excluded.count,
            min = least(kept.min, excluded.min),
            max = greatest(kept.max, excluded.max),
            sum = kept.sum + excluded.sum,
            last = CASE WHEN excluded.last_measured_at >= kept.last_measured_at
                        THEN excluded.last ELSE kept.last END,
            last_measured_at = greatest(kept.last_measured_at, excluded.last_measured_at)"
    )
}

/// Puts what was just read into the block range index, so that the next pass leaves it out.
/// Autovacuum does so too, in its time; where it is at work this gives way at once, before the
/// server would end it for us.
async fn summarize(client: &Client, day: Day) {
    let table = super::partitions::READINGS.at(day).table();
    let sql = format!(
        "SET lock_timeout = '50ms';
        SELECT brin_summarize_new_values(i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE i.indrelid = to_regclass('pulseward.{table}') AND a.amname = 'brin'"
    );
    // The next pass is only slower where this did not work out.
    drop(client.batch_execute(&sql).await);
    drop(client.batch_execute("RESET lock_timeout").await);
}

/// How long before the mark the views begin to make buckets from the readings themselves, at most:
/// an hour, and the bucket that it falls into.
const VIEWS_LOOK_BACK: Duration = Duration::from_secs(2 * 60 * 60);

const RECORDED: &str = "SELECT value FROM pulseward.store_meta WHERE name = 'aggregates_since'";

const RECORD: &str = "INSERT INTO pulseward.store_meta (name, value)
    VALUES ('aggregates_since', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Moves on the constant in the views that spares the planner the partitions of earlier days. Once
/// a day there is something to do.
pub(super) async fn move_views_on(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let mark = "SELECT min(mark) FROM pulseward.aggregates";
    let mark = client.query_one(mark, &[]).await?.try_get::<_, Time>(0)?.0;
    let since = Day::of(mark.minus(VIEWS_LOOK_BACK)).start().to_string();
    let recorded = client.query_opt(RECORDED, &[]).await?;
    let recorded: Option<String> = recorded.map(|row| row.try_get(0)).transpose()?;
    if mark == Timestamp::EPOCH || recorded.as_ref() == Some(&since) {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(&views_sql(&since)).await?;
    transaction.execute(RECORD, &[&since]).await?;
    transaction.commit().await
}

fn views_sql(since: &str) -> String {
    AGGREGATE_VIEWS.replace("TIMESTAMPTZ 'epoch'", &format!("TIMESTAMPTZ '{since}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_view_has_the_constant_that_is_moved_on() {
        let sql = views_sql("2026-01-31T00:00:00Z");
        let lines = |what: &str| sql.lines().filter(|line| line.trim() == what).count();
        assert_eq!(lines("AND measured_at >= TIMESTAMPTZ '2026-01-31T00:00:00Z'"), 2, "{sql}");
    }
}
