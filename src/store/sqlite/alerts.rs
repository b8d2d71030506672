//! Alerts from SQLite: the statements of Postgres in its words.

use rusqlite::params_from_iter;

use super::ledger::cells;
use super::query::SqliteHistory;
use crate::store::alerts::Select;
use crate::store::audit::Statement;
use crate::store::history::{HistoryError, unavailable};
use crate::store::ledger::{Cells, Type};

impl Select for SqliteHistory {
    const PREFIX: &'static str = "";
    const MARK: char = '?';
    const BYTEWISE: &'static str = "";

    fn micros(time: &str) -> String {
        time.to_owned()
    }

    async fn select(
        &self,
        statement: Statement,
        types: &'static [Type],
    ) -> Result<Vec<Cells>, HistoryError> {
        let rows = self.ask(move |connection| {
            let mut prepared = connection.prepare_cached(&statement.sql)?;
            let mut rows = prepared.query(params_from_iter(&statement.values))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(cells(row, types));
            }
            Ok(found)
        });
        let read = |row| Ok(Cells::new("FROM @alerts", row?));
        let rows = rows.await?.into_iter().map(read).collect::<Result<_, _>>();
        rows.map_err(|error: crate::store::LedgerError| unavailable(error.to_string()))
    }
}
