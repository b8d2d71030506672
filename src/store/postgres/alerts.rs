//! Alerts from Postgres.

use tokio_postgres::types::ToSql;

use super::SCHEMA;
use super::ledger::cells;
use super::query::PostgresHistory;
use crate::store::alerts::Select;
use crate::store::audit::Statement;
use crate::store::history::{HistoryError, unavailable};
use crate::store::ledger::{Cells, Type};

impl Select for PostgresHistory {
    const PREFIX: &'static str = SCHEMA;
    const MARK: char = '$';
    const BYTEWISE: &'static str = "COLLATE \"C\"";

    fn micros(time: &str) -> String {
        format!("CAST(extract(epoch FROM {time}) * 1000000 AS bigint)")
    }

    async fn select(
        &self,
        statement: Statement,
        types: &'static [Type],
    ) -> Result<Vec<Cells>, HistoryError> {
        let values: Vec<_> =
            statement.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = self.rows(&statement.sql, &values).await?;
        let read = |row| cells(row, types).map(|cells| Cells::new("FROM @alerts", cells));
        let rows = rows.iter().map(read).collect::<Result<_, _>>();
        rows.map_err(|error| unavailable(error.to_string()))
    }
}
