//! The same questions to either kind of database, answered as text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::SimpleQueryMessage;

use super::postgres::{Database, connect};

/// How long a statement waits for the service that holds the file.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A database of a test, of either kind.
#[derive(Debug)]
pub(crate) enum Sql {
    Postgres(Database),
    Sqlite(TempDir),
}

impl Sql {
    /// A new, empty database on the run's Postgres.
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Database::create().await)
    }

    /// A new SQLite file, made when it is first written.
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::with_prefix("store-").expect("temporary directory"))
    }

    /// `[store] url`
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(dir) => format!("sqlite:{}", sqlite_file(dir).display()),
        }
    }

    /// Lets nobody else write to it, until that is released.
    pub(crate) async fn hold(&self) -> Hold {
        match self {
            Self::Postgres(database) => {
                let client = database.connect().await;
                let lock = "BEGIN; LOCK TABLE pulseward.journal_cursor IN EXCLUSIVE MODE";
                client.batch_execute(lock).await.expect("locked");
                Hold::Postgres(client)
            }
            Self::Sqlite(dir) => {
                let connection = rusqlite::Connection::open(sqlite_file(dir)).expect("opens");
                connection.busy_timeout(std::time::Duration::from_secs(30)).expect("set");
                connection.execute_batch("BEGIN IMMEDIATE").expect("locked");
                Hold::Sqlite(connection)
            }
        }
    }

    /// The microseconds of a time's column, in SQL.
    pub(crate) fn micros(&self, column: &str) -> String {
        match self {
            Self::Postgres(_) => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
            Self::Sqlite(_) => column.to_owned(),
        }
    }

    /// The microseconds at which the first of an event's deciding readings was measured, in SQL.
    pub(crate) fn decided_by(&self, column: &str) -> String {
        match self {
            Self::Postgres(_) => format!("({column} -> 'body' -> 0 ->> 'measured_at')::bigint"),
            Self::Sqlite(_) => format!("json_extract({column}, '$.body[0].measured_at')"),
        }
    }

    /// What a statement gives, as text; `NULL` for none.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Postgres(database) => postgres_rows(&database.url(), sql).await,
            Self::Sqlite(dir) => sqlite_rows(&sqlite_file(dir), sql),
        }
    }

    /// Runs statements, beside a service that writes.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database) => {
                database.connect().await.batch_execute(sql).await.expect("executes");
            }
            Self::Sqlite(dir) => {
                let connection = rusqlite::Connection::open(sqlite_file(dir)).expect("opens");
                connection.busy_timeout(BUSY_WAIT).expect("set");
                connection.execute_batch(sql).expect("executes");
            }
        }
    }

    /// The one number that a statement gives.
    pub(crate) async fn number(&self, sql: &str) -> usize {
        let rows = self.rows(sql).await;
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
        rows[0][0].parse().unwrap_or_else(|_| panic!("{sql}: {rows:?}"))
    }
}

/// Who keeps a database from being written to.
pub(crate) enum Hold {
    Postgres(tokio_postgres::Client),
    Sqlite(rusqlite::Connection),
}

impl Hold {
    /// Lets others write again.
    pub(crate) async fn release(self) {
        match self {
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.expect("released"),
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").expect("released"),
        }
    }
}

fn sqlite_file(dir: &TempDir) -> PathBuf {
    dir.path().join("store.db")
}

/// What a statement gives on the Postgres at `url`.
pub(crate) async fn postgres_rows(url: &str, sql: &str) -> Vec<Vec<String>> {
    let client = connect(url).await;
    client.batch_execute("SET search_path = pulseward").await.expect("search path");
    let messages =
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|n| row.get(n).unwrap_or("NULL").to_owned()).collect())
        .collect()
}

/// What a statement gives on the SQLite file at `path`.
pub(crate) fn sqlite_rows(path: &Path, sql: &str) -> Vec<Vec<String>> {
    use rusqlite::types::ValueRef;
    let connection = rusqlite::Connection::open(path).expect("the file opens");
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("\\x{}", hex(bytes)),
    };
    statement
        .query_map([], |row| (0..columns).map(|n| row.get_ref(n).map(text)).collect())
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
