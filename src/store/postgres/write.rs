//! One connection of the follower: batches in, transactions out.
//!
//! The cursor's row is changed last, so that a transaction that hangs before never stands in its
//! successor's way; the compare-and-set decides between two that come that far, and the loser
//! writes nothing.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Statement, Transaction};
use uuid::Uuid;

use super::migrate::Layout;
use super::partitions::Partitions;
use super::types::Time;
use super::{Link, SCHEMA, away, bounded};
use crate::clock::Timestamp;
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::batch::Batch;
use crate::store::database::{Failure, Session};
use crate::store::row::{self, Beside, ReadingRow, Row, Table};

/// The types of the columns of `readings`, in their order.
const READING_TYPES: [Type; 13] = [
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::FLOAT8,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT2,
    Type::INT2,
    Type::FLOAT8,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
];

const READ_CURSOR: &str =
    "SELECT journal_id, position FROM pulseward.journal_cursor WHERE partition = $1";

const BEGIN_CURSOR: &str = "INSERT INTO pulseward.journal_cursor \
     (partition, journal_id, position, updated_at) VALUES ($1, $2, $3, now()) \
     ON CONFLICT DO NOTHING";

const MOVE_CURSOR: &str = "UPDATE pulseward.journal_cursor SET position = $1, updated_at = $2 \
     WHERE journal_id = $3 AND partition = $4 AND position = $5";

/// A connection that writes.
#[derive(Debug)]
pub(in crate::store) struct Writing {
    link: Link,
    /// Where `readings` is partitioned by us.
    partitions: Option<Partitions>,
    statements: Statements,
    write_timeout: Duration,
}

/// Prepared once per connection.
#[derive(Debug)]
struct Statements {
    copy: Statement,
    move_cursor: Statement,
    /// Prepared when a message was first sent through again.
    mark_redriven: Option<Statement>,
    /// By table, prepared when a row of it first comes.
    inserts: HashMap<&'static str, Statement>,
}

impl Writing {
    pub(super) async fn open(
        link: Link,
        layout: Layout,
        write_timeout: Duration,
    ) -> Result<Self, Failure> {
        let partitions = (layout == Layout::Partitioned).then(Partitions::default);
        let columns = row::READINGS.columns.join(", ");
        let copy = format!("COPY {SCHEMA}readings ({columns}) FROM STDIN BINARY");
        let prepare = |sql: String| async {
            let sql = sql;
            link.client.prepare(&sql).await.map_err(|error| away(&error))
        };
        let statements = bounded(write_timeout, async {
            Ok(Statements {
                copy: prepare(copy).await?,
                move_cursor: prepare(MOVE_CURSOR.to_owned()).await?,
                mark_redriven: None,
                inserts: HashMap::new(),
            })
        });
        let statements = statements.await?;
        Ok(Self { link, partitions, statements, write_timeout })
    }

    async fn commit(&mut self, batch: &Batch, stored_at: Timestamp) -> Result<(), Failure> {
        let client = &mut self.link.client;
        if let Some(partitions) = &mut self.partitions {
            partitions.ensure(client, &batch.readings, stored_at).await?;
        }
        let transaction = client.transaction().await.map_err(|error| away(&error))?;
        let moved = self.statements.write(&transaction, batch, stored_at).await;
        if !moved.map_err(|error| away(&error))? {
            return Err(Failure::Moved);
        }
        transaction.commit().await.map_err(|error| away(&error))
    }
}

impl Session for Writing {
    async fn cursor(&mut self, partition: Partition) -> Result<Option<Cursor>, Failure> {
        bounded(self.write_timeout, async {
            let number = partition.0.cast_signed();
            let row = self.link.client.query_opt(READ_CURSOR, &[&number]).await;
            let read = |row: &tokio_postgres::Row| {
                let journal_id = JournalId(row.try_get::<_, Uuid>(0)?);
                let position = Position(row.try_get::<_, i64>(1)?.cast_unsigned());
                Ok(Cursor { journal_id, partition, position })
            };
            row.and_then(|row| row.as_ref().map(read).transpose()).map_err(|error| away(&error))
        })
        .await
    }

    async fn begin(&mut self, cursor: Cursor) -> Result<(), Failure> {
        bounded(self.write_timeout, async {
            let (partition, position) =
                (cursor.partition.0.cast_signed(), cursor.position.0.cast_signed());
            let values: [&(dyn ToSql + Sync); 3] = [&partition, &cursor.journal_id.0, &position];
            match self.link.client.execute(BEGIN_CURSOR, &values).await {
                Ok(1) => Ok(()),
                Ok(_) => Err(Failure::Moved),
                Err(error) => Err(away(&error)),
            }
        })
        .await
    }

    async fn write(&mut self, mut batch: Batch, stored_at: Timestamp) -> Result<(), Failure> {
        batch.sort();
        bounded(self.write_timeout, self.commit(&batch, stored_at)).await
    }

    async fn lost(&mut self) -> String {
        match (&mut self.link.driver).await {
            Ok(Err(error)) => super::reason(&error),
            Ok(Ok(())) => "the connection was closed".to_owned(),
            Err(panicked) => panicked.to_string(),
        }
    }
}

impl Statements {
    /// Writes everything of a batch, and says whether the cursor stood where it should.
    async fn write(
        &mut self,
        transaction: &Transaction<'_>,
        batch: &Batch,
        stored_at: Timestamp,
    ) -> Result<bool, tokio_postgres::Error> {
        self.copy(transaction, &batch.readings, stored_at).await?;
        self.upsert(transaction, batch).await?;
        self.insert(transaction, &row::ALERT_EVENTS, batch.alert_events.iter()).await?;
        self.insert(transaction, &row::REJECTED_MESSAGES, batch.rejects.iter()).await?;
        self.mark_redriven(transaction, &batch.redriven).await?;
        self.move_cursor(transaction, batch, stored_at).await
    }

    async fn copy(
        &self,
        transaction: &Transaction<'_>,
        rows: &[ReadingRow],
        stored_at: Timestamp,
    ) -> Result<(), tokio_postgres::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let sink = transaction.copy_in(&self.copy).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &READING_TYPES));
        let stored_at = Time(stored_at);
        for ReadingRow { reading, received_at } in rows {
            let (value, absent) = row::value_columns(reading.value);
            let beside = Beside::of(reading);
            let values: [&(dyn ToSql + Sync); 13] = [
                &Time(reading.measured_at),
                &Time(*received_at),
                &stored_at,
                &value,
                &row::signed(reading.patient.0),
                &row::signed(reading.device.0),
                &i32::from(reading.quality.0),
                &i16::from(reading.vital.number()),
                &absent,
                &beside.original_value,
                &beside.original_unit,
                &beside.interval_us,
                &beside.measurement_id,
            ];
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// The map is sorted by table, so that rows of one table stand together.
    async fn upsert(
        &mut self,
        transaction: &Transaction<'_>,
        batch: &Batch,
    ) -> Result<(), tokio_postgres::Error> {
        let mut rest = batch.upserts.iter().peekable();
        while let Some((identity, _)) = rest.peek() {
            let table = identity.table();
            let rows = std::iter::from_fn(|| {
                rest.next_if(|(identity, _)| identity.table().name == table.name)
            });
            let rows: Vec<&Row> = rows.map(|(_, row)| row).collect();
            self.insert(transaction, table, rows.into_iter()).await?;
        }
        Ok(())
    }

    /// Sends all rows at once and then waits for all answers: one round trip, not one a row.
    async fn insert<'a>(
        &mut self,
        transaction: &Transaction<'_>,
        table: &'static Table,
        rows: impl ExactSizeIterator<Item = &'a Row>,
    ) -> Result<(), tokio_postgres::Error> {
        if rows.len() == 0 {
            return Ok(());
        }
        let statement = self.statement(transaction, table).await?;
        try_join_all(rows.map(|row| transaction.execute_raw(&statement, row))).await?;
        Ok(())
    }

    async fn mark_redriven(
        &mut self,
        transaction: &Transaction<'_>,
        rows: &[Row],
    ) -> Result<(), tokio_postgres::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = match &self.mark_redriven {
            Some(statement) => statement.clone(),
            None => transaction.prepare(&row::MARK_REDRIVEN.sql(SCHEMA, '$')).await?,
        };
        try_join_all(rows.iter().map(|row| transaction.execute_raw(&statement, row))).await?;
        self.mark_redriven = Some(statement);
        Ok(())
    }

    async fn statement(
        &mut self,
        transaction: &Transaction<'_>,
        table: &'static Table,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.inserts.get(table.name) {
            return Ok(statement.clone());
        }
        let statement = transaction.prepare(&table.insert_sql(SCHEMA, '$')).await?;
        self.inserts.insert(table.name, statement.clone());
        Ok(statement)
    }

    async fn move_cursor(
        &self,
        transaction: &Transaction<'_>,
        batch: &Batch,
        stored_at: Timestamp,
    ) -> Result<bool, tokio_postgres::Error> {
        let from = batch.from;
        let values: [&(dyn ToSql + Sync); 5] = [
            &batch.through.0.cast_signed(),
            &Time(stored_at),
            &from.journal_id.0,
            &from.partition.0.cast_signed(),
            &from.position.0.cast_signed(),
        ];
        Ok(transaction.execute(&self.move_cursor, &values).await? == 1)
    }
}
