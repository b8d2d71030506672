//! One connection of the follower: batches in, transactions out.
//!
//! The cursor's row is changed last, so that a transaction that hangs before never stands in its
//! successor's way; the compare-and-set decides between two that come that far, and the loser
//! writes nothing. It compares the time of the last transaction as well, so that times grow from
//! each to the next whoever else moves it.
//!
//! A batch that the server refuses is written again with care: by halves down to the row, in a
//! transaction with a savepoint before each part. Each part has the time limit of a transaction,
//! and the number of parts is bounded.
//!
//! How durable a commit is, is the server's setting: `synchronous_commit` is not touched. Off, it
//! would spare each transaction a wait for the disk, but the journal lets go of old entries by what
//! is stored, and a site with a synchronous standby has chosen to wait for it. (Whoever wants it
//! off sets it for the role. Nothing is doubled by it: the cursor goes back with its rows, and the
//! journal brings them again as long as it has them.)

use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Statement, Transaction};
use tracing::warn;
use uuid::Uuid;

use super::fault::failure;
use super::migrate::Layout;
use super::notes::Notes;
use super::partitions::Partitions;
use super::put::Statements;
use super::types::Time;
use super::{Link, away, bounded};
use crate::clock::Timestamp;
use crate::position::{Cursor, JournalId, Partition, Position};
use crate::store::batch::Batch;
use crate::store::bisection::Bisection;
use crate::store::database::{Failure, Session, Stand};
use crate::store::refused::{Dialect, REFUSED_ROWS, Refusals, Written, hexadecimal, quoted};

const READ_CURSOR: &str = "SELECT journal_id, position, updated_at \
     FROM pulseward.journal_cursor WHERE partition = $1";

const BEGIN_CURSOR: &str = "WITH begun AS (
         INSERT INTO pulseward.journal_cursor (partition, journal_id, position, updated_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING *
     )
     INSERT INTO pulseward.journals (journal_id, partition, how, began_at)
     SELECT journal_id, partition, 'first', updated_at FROM begun";

const MOVE_CURSOR: &str = "UPDATE pulseward.journal_cursor SET position = $1, updated_at = $2, \
     received_at = coalesce($6, received_at) \
     WHERE journal_id = $3 AND partition = $4 AND position = $5 AND updated_at < $2";

/// As `jsonb_populate_record` reads them.
const DIALECT: Dialect = Dialect {
    time: |time| quoted(&time.to_string()),
    bytes: |bytes| format!("\\x{}", hexadecimal(bytes)),
};

/// A connection that writes.
#[derive(Debug)]
pub(in crate::store) struct Writing {
    link: Link,
    /// Where `readings` is partitioned by us.
    partitions: Option<Partitions>,
    notes: Notes,
    statements: Statements,
    move_cursor: Statement,
    write_timeout: Duration,
}

impl Writing {
    pub(super) async fn open(
        link: Link,
        layout: Layout,
        write_timeout: Duration,
    ) -> Result<Self, Failure> {
        let partitions = (layout == Layout::Partitioned).then(Partitions::default);
        let prepared = bounded(write_timeout, async {
            let statements = Statements::prepare(&link.client).await;
            let statements = statements.map_err(|error| away(&error))?;
            let move_cursor = link.client.prepare(MOVE_CURSOR).await;
            Ok((statements, move_cursor.map_err(|error| away(&error))?))
        });
        let (statements, move_cursor) = prepared.await?;
        let notes = bounded(write_timeout, async {
            Notes::open(&link.client, layout).await.map_err(|error| away(&error))
        });
        let notes = notes.await?;
        Ok(Self { link, partitions, notes, statements, move_cursor, write_timeout })
    }

    /// The whole batch at once, as long as nothing in it is refused.
    async fn write_whole(&mut self, batch: &Batch, stored_at: Timestamp) -> Result<(), Failure> {
        self.make_partitions(batch, stored_at).await?;
        let transaction = self.link.client.transaction().await.map_err(|error| away(&error))?;
        let noted = self.notes.note(&transaction, &batch.readings, stored_at).await;
        noted.map_err(|error| failure(&error))?;
        for part in batch.parts() {
            let rows = 0..part.len();
            let put = self.statements.put(&transaction, &part, rows, stored_at).await;
            put.map_err(|error| failure(&error))?;
        }
        move_cursor(&transaction, &self.move_cursor, batch, stored_at).await?;
        transaction.commit().await.map_err(|error| failure(&error))
    }

    /// The batch part by part, without the rows that are refused; those are set aside.
    async fn write_with_care(
        &mut self,
        batch: &Batch,
        stored_at: Timestamp,
    ) -> Result<Written, Failure> {
        let limit = self.write_timeout;
        if let Some(partitions) = &mut self.partitions {
            // A partition that somebody has dropped shows as rows that are refused.
            partitions.forget();
        }
        bounded(limit, self.make_partitions(batch, stored_at)).await?;
        let begun = async { self.link.client.transaction().await.map_err(|error| away(&error)) };
        let transaction = bounded(limit, begun).await?;
        bounded(limit, execute(&transaction, CARE)).await?;
        let mut refusals = Refusals::new(batch.from, stored_at, DIALECT);
        for part in batch.parts() {
            let mut bisection = Bisection::of(part.len());
            while let Some(rows) = bisection.next() {
                let put = self.statements.put(&transaction, &part, rows.clone(), stored_at);
                let put = async { put.await.map_err(|error| failure(&error)) };
                match bounded(limit, put).await {
                    Ok(()) => bounded(limit, execute(&transaction, TAKEN)).await?,
                    Err(Failure::Refused(fault)) => {
                        bounded(limit, execute(&transaction, REFUSED)).await?;
                        if let Some(row) = bisection.refused(rows) {
                            refusals.push(&part, row, &fault);
                        }
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        bounded(limit, async {
            let rows: Vec<_> = refusals.rows().iter().collect();
            let kept = self.statements.insert(&transaction, &REFUSED_ROWS, &rows).await;
            kept.map_err(|error| failure(&error))?;
            let noted = self.notes.note(&transaction, &batch.readings, stored_at).await;
            noted.map_err(|error| failure(&error))?;
            move_cursor(&transaction, &self.move_cursor, batch, stored_at).await?;
            transaction.commit().await.map_err(|error| failure(&error))
        })
        .await?;
        Ok(refusals.written())
    }

    async fn make_partitions(&mut self, batch: &Batch, now: Timestamp) -> Result<(), Failure> {
        match &mut self.partitions {
            Some(partitions) => {
                partitions.ensure(&mut self.link.client, &batch.readings, now).await
            }
            None => Ok(()),
        }
    }
}

/// Constraints that would be checked at COMMIT are checked row by row, where they can be told
/// apart.
const CARE: &str = "SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT part";
const TAKEN: &str = "RELEASE SAVEPOINT part; SAVEPOINT part";
const REFUSED: &str = "ROLLBACK TO SAVEPOINT part";

async fn execute(transaction: &Transaction<'_>, sql: &str) -> Result<(), Failure> {
    transaction.batch_execute(sql).await.map_err(|error| failure(&error))
}

async fn move_cursor(
    transaction: &Transaction<'_>,
    statement: &Statement,
    batch: &Batch,
    stored_at: Timestamp,
) -> Result<(), Failure> {
    let from = batch.from;
    let values: [&(dyn ToSql + Sync); 6] = [
        &batch.through.0.cast_signed(),
        &Time(stored_at),
        &from.journal_id.0,
        &from.partition.0.cast_signed(),
        &from.position.0.cast_signed(),
        &batch.received_at.map(Time),
    ];
    match transaction.execute(statement, &values).await {
        Ok(1) => Ok(()),
        Ok(_) => Err(Failure::Moved),
        Err(error) => Err(failure(&error)),
    }
}

impl Session for Writing {
    async fn stand(&mut self, partition: Partition) -> Result<Option<Stand>, Failure> {
        bounded(self.write_timeout, async {
            let number = partition.0.cast_signed();
            let row = self.link.client.query_opt(READ_CURSOR, &[&number]).await;
            let read = |row: &tokio_postgres::Row| {
                let journal_id = JournalId(row.try_get::<_, Uuid>(0)?);
                let position = Position(row.try_get::<_, i64>(1)?.cast_unsigned());
                let cursor = Cursor { journal_id, partition, position };
                Ok(Stand { cursor, stored_at: row.try_get::<_, Time>(2)?.0 })
            };
            row.and_then(|row| row.as_ref().map(read).transpose()).map_err(|error| away(&error))
        })
        .await
    }

    async fn begin(&mut self, stand: Stand) -> Result<(), Failure> {
        bounded(self.write_timeout, async {
            let cursor = stand.cursor;
            let (partition, position) =
                (cursor.partition.0.cast_signed(), cursor.position.0.cast_signed());
            let values: [&(dyn ToSql + Sync); 4] =
                [&partition, &cursor.journal_id.0, &position, &Time(stand.stored_at)];
            match self.link.client.execute(BEGIN_CURSOR, &values).await {
                Ok(1) => Ok(()),
                Ok(_) => Err(Failure::Moved),
                Err(error) => Err(away(&error)),
            }
        })
        .await
    }

    async fn write(&mut self, mut batch: Batch, stored_at: Timestamp) -> Result<Written, Failure> {
        batch.sort();
        match bounded(self.write_timeout, self.write_whole(&batch, stored_at)).await {
            Err(Failure::Refused(fault)) => {
                warn!(%fault, "the database refuses a row, looking for it");
                self.write_with_care(&batch, stored_at).await
            }
            done => done.map(|()| Written::default()),
        }
    }

    async fn lost(&mut self) -> String {
        match (&mut self.link.driver).await {
            Ok(Err(error)) => super::reason(&error),
            Ok(Ok(())) => "the connection was closed".to_owned(),
            Err(panicked) => panicked.to_string(),
        }
    }
}
