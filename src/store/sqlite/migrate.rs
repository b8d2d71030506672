//! Brings the schema up to date, in one transaction that excludes every other writer.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tracing::info;

use super::away;
use crate::clock::{Clock, SystemClock};
use crate::store::database::Failure;
use crate::store::migration::{Applied, Migration, pending};
use crate::vitals::Vital;

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "first_light",
        parts: &[include_str!("migrations/V1__tables.sql")],
    },
    Migration { version: 2, name: "alarms", parts: &[include_str!("migrations/V2__alarms.sql")] },
    Migration { version: 3, name: "intake", parts: &[include_str!("migrations/V3__intake.sql")] },
    Migration {
        version: 4,
        name: "aggregates",
        parts: &[include_str!("migrations/V4__aggregates.sql")],
    },
    Migration {
        version: 5,
        name: "set_aside",
        parts: &[include_str!("migrations/V5__set_aside.sql")],
    },
    Migration { version: 6, name: "lineage", parts: &[include_str!("migrations/V6__lineage.sql")] },
    Migration { version: 7, name: "audit", parts: &[include_str!("migrations/V7__audit.sql")] },
    Migration {
        version: 8,
        name: "erasures",
        parts: &[include_str!("migrations/V8__erasures.sql")],
    },
    Migration { version: 9, name: "alerts", parts: &[include_str!("migrations/V9__alerts.sql")] },
    Migration { version: 10, name: "burden", parts: &[include_str!("migrations/V10__burden.sql")] },
];

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

/// Applies what is missing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| away(&error))?;
    let applied = applied(&transaction).map_err(|error| away(&error))?;
    for migration in pending(MIGRATIONS, &applied)? {
        apply(&transaction, migration).map_err(|error| away(&error))?;
        info!(version = migration.version, name = migration.name, "store schema migrated");
    }
    name_vitals(&transaction).map_err(|error| away(&error))?;
    transaction.commit().map_err(|error| away(&error))
}

fn applied(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Applied>> {
    transaction.execute_batch(HISTORY)?;
    let sql = "SELECT version, name, digest FROM schema_migrations ORDER BY version";
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Applied { version: row.get(0)?, name: row.get(1)?, digest: row.get(2)? })
    })?;
    rows.collect()
}

fn apply(transaction: &Transaction<'_>, migration: &Migration) -> rusqlite::Result<()> {
    for part in migration.parts {
        transaction.execute_batch(part)?;
    }
    let sql = "INSERT INTO schema_migrations (version, name, digest, applied_at)
        VALUES (?1, ?2, ?3, ?4)";
    let now = SystemClock.now().micros();
    transaction
        .execute(sql, params![migration.version, migration.name, migration.digest(), now])?;
    Ok(())
}

/// The names and units behind the numbers, from the one place that knows them.
fn name_vitals(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO vitals (vital, name, unit) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let mut statement = transaction.prepare(sql)?;
    for vital in Vital::ALL {
        statement.execute(params![vital.number(), vital.name(), vital.unit().ucum()])?;
    }
    Ok(())
}
