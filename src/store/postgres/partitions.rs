//! Partitions by time: those of `readings` and of the tables behind the buckets. Made before rows
//! need them, also for late days.
//!
//! A partition is made as a table of its own and then attached: `CREATE TABLE … PARTITION OF`
//! would lock every reader of the parent out, attaching does not. How many there can be is bounded
//! by the engine, which refuses readings older than the retention or ahead of the clock.

use std::collections::BTreeSet;

use tokio_postgres::{Client, GenericClient, Transaction};
use tracing::info;

use super::away;
use crate::clock::Timestamp;
use crate::store::aggregate::Aggregate;
use crate::store::database::Failure;
use crate::store::row::ReadingRow;

/// Partitions are there this many days before their time, so that midnight is like any other
/// hour.
const DAYS_AHEAD: i64 = 2;
const DAY_MICROS: i64 = 86_400_000_000;
/// 1970-01-05, the first Monday since 1970: weeks are counted from it.
const FIRST_MONDAY: i64 = 4;
/// Keeps two writers from making the same partition: "pulsepar".
const LOCK: i64 = i64::from_be_bytes(*b"pulsepar");

/// The days that have a partition of `readings`, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    days: BTreeSet<Day>,
}

/// A day in UTC, by its number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(DAY_MICROS))
    }

    pub(super) fn start(self) -> Timestamp {
        let micros = self.0.saturating_mul(DAY_MICROS);
        let fallback = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_micros(micros).unwrap_or(fallback)
    }

    pub(super) fn end(self) -> Timestamp {
        Self(self.0 + 1).start()
    }

    pub(super) fn numbered(number: i32) -> Self {
        Self(i64::from(number))
    }

    /// Since 1970-01-01.
    pub(super) fn number(self) -> i32 {
        i32::try_from(self.0).expect("a timestamp's day lies in the years 1 to 9999")
    }

    /// What [`Day::date`] gave.
    pub(super) fn from_date(date: &str) -> Option<Self> {
        format!("{date}T00:00:00Z").parse().ok().map(Self::of)
    }

    /// Such as `2026-01-31`.
    pub(super) fn date(self) -> String {
        self.start().to_string().chars().take(10).collect()
    }
}

/// A table that is partitioned by time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) parent: &'static str,
    /// Before the first day of a partition, in its name.
    pub(super) prefix: &'static str,
    days: i64,
    /// Storage parameters, which a partitioned table itself can't have.
    storage: &'static str,
}

pub(super) static READINGS: Family =
    Family { parent: "readings", prefix: "readings_", days: 1, storage: "" };

/// A bucket is written again while readings of it come, and none of what changes is indexed: with
/// room in its page that adds nothing to an index.
const ROOM: &str = " WITH (fillfactor = 80)";

static MINUTES: Family =
    Family { parent: "readings_1min_kept", prefix: "readings_1min_", days: 7, storage: ROOM };

static HOURS: Family =
    Family { parent: "readings_1h_kept", prefix: "readings_1h_", days: 28, storage: ROOM };

impl Family {
    pub(super) const fn of(aggregate: Aggregate) -> &'static Self {
        match aggregate {
            Aggregate::Minute => &MINUTES,
            Aggregate::Hour => &HOURS,
        }
    }

    /// The partition that a day belongs to.
    pub(super) const fn at(&'static self, day: Day) -> Partition {
        let spans = (day.0 - FIRST_MONDAY).div_euclid(self.days);
        Partition { family: self, first: Day(spans * self.days + FIRST_MONDAY) }
    }

    /// The partitions of today and of the days to come.
    pub(super) fn ahead(&'static self, now: Timestamp) -> BTreeSet<Partition> {
        let today = Day::of(now).0;
        (today..=today + DAYS_AHEAD).map(|day| self.at(Day(day))).collect()
    }

    /// The partition of this name, if it is one of ours.
    pub(super) fn named(&'static self, table: &str) -> Option<Partition> {
        let digits = table.strip_prefix(self.prefix)?;
        let (year, rest) = digits.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        let first = Day::from_date(&format!("{year}-{month}-{day}"))?;
        Some(self.at(first)).filter(|partition| partition.table() == table)
    }
}

/// A span of time of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    family: &'static Family,
    first: Day,
}

impl PartialOrd for Partition {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Partition {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.family.parent, self.first).cmp(&(other.family.parent, other.first))
    }
}

impl Partition {
    /// Such as `readings_20260131`.
    pub(super) fn table(self) -> String {
        let digits: String = self.first.date().chars().filter(|c| *c != '-').collect();
        format!("{}{digits}", self.family.prefix)
    }

    /// Its first day.
    pub(super) const fn first(self) -> Day {
        self.first
    }

    /// When it ends, exclusive.
    pub(super) fn end(self) -> Timestamp {
        Day(self.first.0 + self.family.days).start()
    }

    /// A table of that name may be left of an attempt to drop it: then it is used again.
    fn sql(self) -> String {
        let Family { parent, storage, .. } = self.family;
        let (table, from, until) = (self.table(), self.first.start(), self.end());
        format!(
            "CREATE TABLE IF NOT EXISTS pulseward.{table} \
                (LIKE pulseward.{parent} INCLUDING ALL){storage};
            ALTER TABLE pulseward.{parent} ATTACH PARTITION pulseward.{table}
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
        let partitions = missing.iter().map(|day| READINGS.at(*day)).collect();
        make(&transaction, &partitions).await.map_err(|error| away(&error))?;
        transaction.commit().await.map_err(|error| away(&error))?;
        self.days.extend(missing);
        Ok(())
    }

    fn missing(&self, rows: &[ReadingRow], now: Timestamp) -> BTreeSet<Day> {
        let ahead = READINGS.ahead(now).into_iter().map(|partition| partition.first);
        let mut missing: BTreeSet<_> = ahead.collect();
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

/// Makes those of the partitions that are not there.
pub(super) async fn make(
    transaction: &Transaction<'_>,
    partitions: &BTreeSet<Partition>,
) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    for partition in partitions {
        if !is_attached(transaction, *partition).await? {
            transaction.batch_execute(&partition.sql()).await?;
            info!(partition = partition.table(), "partition made");
        }
    }
    Ok(())
}

async fn is_attached(
    client: &impl GenericClient,
    partition: Partition,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT FROM pg_inherits
        WHERE inhparent = to_regclass('pulseward.' || $1::text)
          AND inhrelid = to_regclass('pulseward.' || $2::text)";
    let found = client.query_opt(sql, &[&partition.family.parent, &partition.table()]).await?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::of(text.parse().expect("a time"))
    }

    fn table(text: &str) -> String {
        READINGS.at(day(text)).table()
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(table("2026-01-31T23:59:59.999999Z"), "readings_20260131");
        assert_eq!(table("2026-02-01T00:30:00+01:00"), "readings_20260131");
        assert_eq!(table("1969-12-31T23:59:59Z"), "readings_19691231");
        assert_eq!(table("0999-01-01T00:00:00Z"), "readings_09990101");
    }

    #[test]
    fn a_partition_ends_where_the_next_begins() {
        let sql = READINGS.at(day("2028-02-28T12:00:00Z")).sql();
        assert!(sql.contains("FROM ('2028-02-28T00:00:00Z') TO ('2028-02-29T00:00:00Z')"), "{sql}");
        let sql = MINUTES.at(day("2026-02-01T12:00:00Z")).sql();
        assert!(sql.contains("FROM ('2026-01-26T00:00:00Z') TO ('2026-02-02T00:00:00Z')"), "{sql}");
    }

    #[test]
    fn weeks_begin_on_monday() {
        let minutes = |text| MINUTES.at(day(text)).table();
        assert_eq!(minutes("2026-02-02T00:00:00Z"), "readings_1min_20260202");
        assert_eq!(minutes("2026-02-01T23:59:59Z"), "readings_1min_20260126");
        assert_eq!(HOURS.at(day("1970-01-05T00:00:00Z")).table(), "readings_1h_19700105");
        assert_eq!(HOURS.at(day("1970-01-04T00:00:00Z")).table(), "readings_1h_19691208");
    }

    #[test]
    fn a_partition_is_known_by_its_name() {
        for partition in [
            READINGS.at(day("2026-01-31T12:00:00Z")),
            MINUTES.at(day("2026-01-31T12:00:00Z")),
            HOURS.at(day("2026-01-31T12:00:00Z")),
        ] {
            assert_eq!(partition.family.named(&partition.table()), Some(partition));
        }
        // The last is no Monday.
        for other in ["readings_archive", "readings_20261301", "readings_1h_20260105", "x"] {
            assert_eq!(READINGS.named(other), None, "{other}");
        }
        assert_eq!(MINUTES.named("readings_1min_20260131"), None);
    }

    #[test]
    fn today_and_the_days_ahead_are_made_even_without_rows() {
        let now = "2026-01-31T08:00:00Z".parse().expect("a time");
        let mut partitions = Partitions::default();
        let missing = partitions.missing(&[], now);
        let tables: Vec<_> = missing.iter().map(|day| READINGS.at(*day).table()).collect();
        assert_eq!(tables, ["readings_20260131", "readings_20260201", "readings_20260202"]);
        partitions.days.extend(missing);
        assert!(partitions.missing(&[], now).is_empty());
    }
}
