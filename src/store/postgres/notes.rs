//! The notes that batches leave for the passes that sum them up.
//!
//! A note becomes visible together with the rows it is about, because it commits with them.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Statement, Transaction};

use super::migrate::Layout;
use super::partitions::Day;
use super::types::Time;
use crate::clock::Timestamp;
use crate::store::row::ReadingRow;

const NOTE: &str = "INSERT INTO pulseward.stored_batches (aggregate, stored_at, reading_count, days) \
     SELECT name, $1, $2, $3 FROM pulseward.aggregates";

/// Writes the notes. TimescaleDB needs none.
#[derive(Debug)]
pub(super) struct Notes {
    note: Option<Statement>,
}

impl Notes {
    pub(super) async fn open(
        client: &Client,
        layout: Layout,
    ) -> Result<Self, tokio_postgres::Error> {
        let note = match layout {
            Layout::Partitioned => Some(client.prepare(NOTE).await?),
            Layout::Hypertable => None,
        };
        Ok(Self { note })
    }

    /// Notes that these rows are stored by this transaction. `stored_at` is no other batch's.
    pub(super) async fn note(
        &self,
        transaction: &Transaction<'_>,
        rows: &[ReadingRow],
        stored_at: Timestamp,
    ) -> Result<(), tokio_postgres::Error> {
        let Some(note) = self.note.as_ref().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        let count = i32::try_from(rows.len()).unwrap_or(i32::MAX);
        transaction.execute(note, &[&Time(stored_at), &count, &days(rows)]).await?;
        Ok(())
    }
}

fn days(rows: &[ReadingRow]) -> Vec<i32> {
    let days: BTreeSet<_> = rows.iter().map(|row| Day::of(row.reading.measured_at)).collect();
    days.into_iter().map(Day::number).collect()
}
