//! The daily partitions of `readings`: made before rows need them, also for late days.
//!
//! A partition is made as a table of its own and then attached: `CREATE TABLE … PARTITION OF`
//! would lock every reader of `readings` out, attaching does not. How many there can be is bounded
//! by the engine, which refuses readings older than the retention or ahead of the clock.

use std::collections::BTreeSet;

use tokio_postgres::{Client, GenericClient, Transaction};
use tracing::info;

use super::away;
use crate::clock::Timestamp;
use crate::store::database::Failure;
use crate::store::row::ReadingRow;

/// Partitions are there this many days before their time, so that midnight is like any other
/// hour.
const DAYS_AHEAD: i64 = 2;
const DAY_MICROS: i64 = 86_400_000_000;
/// Keeps two writers from making the same partition: "pulsepar".
const LOCK: i64 = i64::from_be_bytes(*b"pulsepar");

/// The days that have a partition, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    days: BTreeSet<Day>,
}

/// A day in UTC, by its number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Day(i64);

impl Day {
    fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(DAY_MICROS))
    }

    fn start(self) -> Timestamp {
        let micros = self.0.saturating_mul(DAY_MICROS);
        let fallback = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_micros(micros).unwrap_or(fallback)
    }

    /// Such as `readings_20260131`.
    fn table(self) -> String {
        let digits: String =
            self.start().to_string().chars().take(10).filter(|c| *c != '-').collect();
        format!("readings_{digits}")
    }

    fn sql(self) -> String {
        let (table, from, until) = (self.table(), self.start(), Self(self.0 + 1).start());
        format!(
            "CREATE TABLE pulseward.{table} (LIKE pulseward.readings INCLUDING ALL);
            ALTER TABLE pulseward.readings ATTACH PARTITION pulseward.{table}
                FOR VALUES FROM ('{from}') TO ('{until}')"
        )
    }
}

impl Partitions {
    /// Looks at the database again before the next rows: what is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.days.clear();
    }

    /// Makes the partitions that rows stored now need, and those of the days to come. Costs
    /// nothing when they are known to be there.
    pub(super) async fn ensure(
        &mut self,
        client: &mut Client,
        rows: &[ReadingRow],
        now: Timestamp,
    ) -> Result<(), Failure> {
        let missing = self.missing(rows, now);
        if missing.is_empty() {
            return Ok(());
        }
        let transaction = client.transaction().await.map_err(|error| away(&error))?;
        make(&transaction, &missing).await.map_err(|error| away(&error))?;
        transaction.commit().await.map_err(|error| away(&error))?;
        self.days.extend(missing);
        Ok(())
    }

    fn missing(&self, rows: &[ReadingRow], now: Timestamp) -> BTreeSet<Day> {
        let today = Day::of(now).0;
        let mut missing: BTreeSet<_> = (today..=today + DAYS_AHEAD).map(Day).collect();
        missing.retain(|day| !self.days.contains(day));
        // Rows are sorted by patient, so neighbours mostly share a day.
        let mut before = None;
        for row in rows {
            let day = Day::of(row.reading.measured_at);
            if before.replace(day) != Some(day) && !self.days.contains(&day) {
                missing.insert(day);
            }
        }
        missing
    }
}

async fn make(
    transaction: &Transaction<'_>,
    days: &BTreeSet<Day>,
) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    for day in days {
        if !is_attached(transaction, &day.table()).await? {
            transaction.batch_execute(&day.sql()).await?;
            info!(partition = day.table(), "partition made");
        }
    }
    Ok(())
}

async fn is_attached(
    client: &impl GenericClient,
    table: &str,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT FROM pg_inherits
        WHERE inhparent = 'pulseward.readings'::regclass
          AND inhrelid = to_regclass('pulseward.' || $1::text)";
    Ok(client.query_opt(sql, &[&table]).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::of(text.parse().expect("a time"))
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(day("2026-01-31T23:59:59.999999Z").table(), "readings_20260131");
        assert_eq!(day("2026-02-01T00:30:00+01:00").table(), "readings_20260131");
        assert_eq!(day("1969-12-31T23:59:59Z").table(), "readings_19691231");
        assert_eq!(day("0999-01-01T00:00:00Z").table(), "readings_09990101");
    }

    #[test]
    fn a_partition_ends_where_the_next_begins() {
        let sql = day("2028-02-28T12:00:00Z").sql();
        assert!(sql.contains("FROM ('2028-02-28T00:00:00Z') TO ('2028-02-29T00:00:00Z')"), "{sql}");
    }

    #[test]
    fn today_and_the_days_ahead_are_made_even_without_rows() {
        let now = "2026-01-31T08:00:00Z".parse().expect("a time");
        let mut partitions = Partitions::default();
        let missing = partitions.missing(&[], now);
        let tables: Vec<_> = missing.iter().map(|day| day.table()).collect();
        assert_eq!(tables, ["readings_20260131", "readings_20260201", "readings_20260202"]);
        partitions.days.extend(missing);
        assert!(partitions.missing(&[], now).is_empty());
    }
}
