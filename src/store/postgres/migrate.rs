//! Brings the schema up to date, once per connection, under one lock and in one transaction.
//!
//! Where the server offers TimescaleDB but the role may not create the extension, this fails and
//! says so, instead of choosing partitions for good.

use std::time::Duration;

use tokio_postgres::{Client, Transaction};
use tracing::info;

use super::types::Time;
use super::{SCHEMA, away, bounded};
use crate::clock::{Clock, SystemClock};
use crate::store::database::Failure;
use crate::store::migration::{Applied, Migration, pending};
use crate::vitals::Vital;

/// Any number, the same in every version of the service: "pulsewrd".
const LOCK: i64 = i64::from_be_bytes(*b"pulsewrd");

/// How long one migration may take. It may have to read and write all of a table, which takes far
/// longer than a batch may. Until it is done the store is away, which costs nothing but that: what
/// is not written yet waits in the journal.
pub(super) const MIGRATION_MAX: Duration = Duration::from_secs(60 * 60);

/// How `readings` is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Range partitions by day, made by us.
    Partitioned,
    /// A hypertable of TimescaleDB.
    Hypertable,
}

const TABLES: &str = include_str!("migrations/V1__tables.sql");

const PARTITIONED: &[Migration] = &[
    Migration {
        version: 1,
        name: "first_light",
        parts: &[include_str!("migrations/V1__partitioned.sql"), TABLES],
    },
    ALARMS,
    INTAKE,
    Migration {
        version: 4,
        name: "aggregates",
        parts: &[
            include_str!("migrations/V4__aggregates_partitioned.sql"),
            AGGREGATE_VIEWS,
            BUCKETS,
        ],
    },
    SET_ASIDE,
    LINEAGE,
    AUDIT,
    ERASURES,
    ALERTS,
    BURDEN,
];

const HYPERTABLE: &[Migration] = &[
    Migration {
        version: 1,
        name: "first_light",
        parts: &[include_str!("migrations/V1__hypertable.sql"), TABLES],
    },
    ALARMS,
    INTAKE,
    Migration {
        version: 4,
        name: "aggregates",
        parts: &[include_str!("migrations/V4__aggregates_hypertable.sql"), BUCKETS],
    },
    SET_ASIDE,
    LINEAGE,
    AUDIT,
    ERASURES,
    ALERTS,
    BURDEN,
];

const ALARMS: Migration =
    Migration { version: 2, name: "alarms", parts: &[include_str!("migrations/V2__alarms.sql")] };

const INTAKE: Migration =
    Migration { version: 3, name: "intake", parts: &[include_str!("migrations/V3__intake.sql")] };

/// The views over what we keep ourselves. Run again to move on the constant in it.
pub(super) const AGGREGATE_VIEWS: &str = include_str!("migrations/V4__aggregates_views.sql");

const BUCKETS: &str = include_str!("migrations/V4__aggregates.sql");

const SET_ASIDE: Migration = Migration {
    version: 5,
    name: "set_aside",
    parts: &[include_str!("migrations/V5__set_aside.sql")],
};

const LINEAGE: Migration =
    Migration { version: 6, name: "lineage", parts: &[include_str!("migrations/V6__lineage.sql")] };

const AUDIT: Migration =
    Migration { version: 7, name: "audit", parts: &[include_str!("migrations/V7__audit.sql")] };

const ERASURES: Migration = Migration {
    version: 8,
    name: "erasures",
    parts: &[include_str!("migrations/V8__erasures.sql")],
};

const ALERTS: Migration =
    Migration { version: 9, name: "alerts", parts: &[include_str!("migrations/V9__alerts.sql")] };

const BURDEN: Migration =
    Migration { version: 10, name: "burden", parts: &[include_str!("migrations/V10__burden.sql")] };

impl Layout {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Partitioned => "partitioned",
            Self::Hypertable => "hypertable",
        }
    }

    fn from_name(name: &str) -> Result<Self, Failure> {
        [Self::Partitioned, Self::Hypertable]
            .into_iter()
            .find(|layout| layout.name() == name)
            .ok_or_else(|| Failure::Away(format!("store_meta names an unknown layout {name:?}")))
    }

    const fn migrations(self) -> &'static [Migration] {
        match self {
            Self::Partitioned => PARTITIONED,
            Self::Hypertable => HYPERTABLE,
        }
    }
}

/// Lets the transaction find TimescaleDB's functions in whichever schema they were installed.
pub(super) const FIND_TIMESCALEDB: &str =
    "SELECT set_config('search_path', quote_ident(nspname), true)
    FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'timescaledb'";

/// Applies what is missing, and says how `readings` is laid out. A migration may take
/// [`MIGRATION_MAX`]; what is done before and after them all, `limit` each.
pub(super) async fn migrate(client: &mut Client, limit: Duration) -> Result<Layout, Failure> {
    let (transaction, layout, applied) = bounded(limit, begin(client)).await?;
    for migration in pending(layout.migrations(), &applied)? {
        let Migration { version, name, .. } = migration;
        info!(version, name, "migrating the store's schema, which may take minutes");
        bounded(MIGRATION_MAX, apply(&transaction, migration)).await?;
        info!(version, name, "store schema migrated");
    }
    bounded(limit, async {
        execute(&transaction, &vitals_sql()).await?;
        transaction.commit().await.map_err(|error| away(&error))
    })
    .await?;
    Ok(layout)
}

/// A transaction that nobody else migrates beside, the layout, and what was applied.
async fn begin(client: &mut Client) -> Result<(Transaction<'_>, Layout, Vec<Applied>), Failure> {
    let transaction = client.transaction().await.map_err(|error| away(&error))?;
    execute(&transaction, &format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    prepare_history(&transaction).await?;
    let layout = layout(&transaction).await?;
    if layout == Layout::Hypertable {
        execute(&transaction, FIND_TIMESCALEDB).await?;
    }
    let applied = applied(&transaction).await?;
    Ok((transaction, layout, applied))
}

async fn execute(transaction: &Transaction<'_>, sql: &str) -> Result<(), Failure> {
    transaction.batch_execute(sql).await.map_err(|error| away(&error))
}

async fn exists(transaction: &Transaction<'_>, what: &str) -> Result<bool, Failure> {
    let sql = format!("SELECT EXISTS ({what})");
    let row = transaction.query_one(&sql, &[]).await.map_err(|error| away(&error))?;
    row.try_get(0).map_err(|error| away(&error))
}

/// The tables that tell what was done. `IF NOT EXISTS` is not enough: it asks for the right to
/// create before it looks.
async fn prepare_history(transaction: &Transaction<'_>) -> Result<(), Failure> {
    if !exists(transaction, "SELECT FROM pg_namespace WHERE nspname = 'pulseward'").await? {
        execute(transaction, "CREATE SCHEMA pulseward").await?;
    }
    if exists(transaction, "SELECT WHERE to_regclass('pulseward.store_meta') IS NULL").await? {
        let sql = "CREATE TABLE pulseward.store_meta (
                name text PRIMARY KEY,
                value text NOT NULL
            );
            CREATE TABLE pulseward.schema_migrations (
                version integer PRIMARY KEY,
                name text NOT NULL,
                digest text NOT NULL,
                applied_at timestamptz NOT NULL
            )";
        execute(transaction, sql).await?;
    }
    Ok(())
}

/// The layout on record, or the one that this server allows, which then is put on record.
async fn layout(transaction: &Transaction<'_>) -> Result<Layout, Failure> {
    let sql = "SELECT value FROM pulseward.store_meta WHERE name = 'layout'";
    if let Some(row) = transaction.query_opt(sql, &[]).await.map_err(|error| away(&error))? {
        return Layout::from_name(row.try_get(0).map_err(|error| away(&error))?);
    }
    let offered = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'";
    let layout = if exists(transaction, offered).await? {
        execute(transaction, "CREATE EXTENSION IF NOT EXISTS timescaledb").await?;
        Layout::Hypertable
    } else {
        Layout::Partitioned
    };
    let sql = "INSERT INTO pulseward.store_meta (name, value) VALUES ('layout', $1)";
    transaction.execute(sql, &[&layout.name()]).await.map_err(|error| away(&error))?;
    info!(layout = layout.name(), "store layout chosen, for good");
    Ok(layout)
}

async fn applied(transaction: &Transaction<'_>) -> Result<Vec<Applied>, Failure> {
    let sql = "SELECT version, name, digest FROM pulseward.schema_migrations ORDER BY version";
    let rows = transaction.query(sql, &[]).await.map_err(|error| away(&error))?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Applied { version: row.try_get(0)?, name: row.try_get(1)?, digest: row.try_get(2)? })
    };
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| away(&error))
}

async fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), Failure> {
    let millis = MIGRATION_MAX.as_millis();
    execute(transaction, &format!("SET LOCAL statement_timeout = {millis}")).await?;
    for part in migration.parts {
        execute(transaction, part).await?;
    }
    let sql = "INSERT INTO pulseward.schema_migrations (version, name, digest, applied_at)
        VALUES ($1, $2, $3, $4)";
    let now = Time(SystemClock.now());
    transaction
        .execute(sql, &[&migration.version, &migration.name, &migration.digest(), &now])
        .await
        .map_err(|error| away(&error))?;
    Ok(())
}

/// The names and units behind the numbers, from the one place that knows them.
fn vitals_sql() -> String {
    let rows = Vital::ALL
        .map(|vital| format!("({}, '{}', '{}')", vital.number(), vital.name(), vital.unit().ucum()))
        .join(", ");
    format!("INSERT INTO {SCHEMA}vitals (vital, name, unit) VALUES {rows} ON CONFLICT DO NOTHING")
}
