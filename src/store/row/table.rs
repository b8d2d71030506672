//! Tables and their rows, as far as writing them goes: the cells, and the statements that both
//! databases write them by.

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;

/// One value of a projected row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    /// JSON text; a type of its own in Postgres.
    Json(String),
    Bytes(Bytes),
    Time(Timestamp),
    Uuid(Uuid),
}

/// The cells of a row, in the order of its table's columns.
pub(in crate::store) type Row = Vec<Cell>;

/// A table, as far as writing it goes.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) columns: &'static [&'static str],
    /// The first so many columns identify a row that is overwritten; 0 where rows only come.
    pub(in crate::store) key: usize,
}

/// How a row gets into its table.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Change {
    /// It is added, or overwrites the one of its key if the table has one.
    Insert(&'static Table),
    /// It tells what to change in rows that are there.
    Update(&'static Update),
    /// It is what a statement of its own is told.
    Execute(&'static Statement),
}

impl Change {
    /// With the table's name it tells two statements apart.
    pub(in crate::store) const fn kind(self) -> &'static str {
        match self {
            Self::Insert(_) => "insert",
            Self::Update(_) => "update",
            Self::Execute(_) => "execute",
        }
    }

    pub(in crate::store) const fn table_name(self) -> &'static str {
        match self {
            Self::Insert(table) => table.name,
            Self::Update(update) => update.name,
            Self::Execute(statement) => statement.table,
        }
    }

    /// What its cells are, in their order.
    pub(in crate::store) fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Insert(table) => table.columns.to_vec(),
            Self::Update(update) => [&[update.set], update.key].concat(),
            Self::Execute(statement) => statement.columns.to_vec(),
        }
    }

    /// The statement for one row; see [`Table::insert_sql`].
    pub(in crate::store) fn sql(self, prefix: &str, mark: char) -> String {
        match self {
            Self::Insert(table) => table.insert_sql(prefix, mark),
            Self::Update(update) => update.sql(prefix, mark),
            Self::Execute(statement) => statement.sql(prefix, mark),
        }
    }
}

/// A statement that is no plain insert or update of one column.
#[derive(Debug)]
pub(in crate::store) struct Statement {
    /// The table that it changes.
    pub(super) table: &'static str,
    /// What its parameters are, in their order.
    pub(super) columns: &'static [&'static str],
    /// With `{schema}` before each name of ours.
    pub(super) sql: &'static str,
}

impl Statement {
    pub(in crate::store) fn sql(&self, prefix: &str, mark: char) -> String {
        self.sql.replace("{schema}", prefix).replace('$', mark.encode_utf8(&mut [0; 4]))
    }
}

/// A change of one column in the rows of a key.
#[derive(Debug)]
pub(in crate::store) struct Update {
    pub(super) name: &'static str,
    pub(super) set: &'static str,
    pub(super) key: &'static [&'static str],
}

impl Update {
    /// The statement, with the new value as its first parameter; see [`Table::insert_sql`].
    pub(in crate::store) fn sql(&self, prefix: &str, mark: char) -> String {
        let key = (2..).zip(self.key).map(|(n, name)| format!("{name} = {mark}{n}"));
        let key = key.collect::<Vec<_>>().join(" AND ");
        format!("UPDATE {prefix}{} SET {} = {mark}1 WHERE {key}", self.name, self.set)
    }
}

impl Table {
    /// `INSERT` of one row, overwriting the row of the same key if the table has one. `prefix` is
    /// the schema with its dot, `mark` what begins a numbered parameter.
    pub(in crate::store) fn insert_sql(&self, prefix: &str, mark: char) -> String {
        let marks: Vec<_> = (1..=self.columns.len()).map(|n| format!("{mark}{n}")).collect();
        self.insert_from(prefix, &format!("VALUES ({})", marks.join(", ")))
    }

    /// `INSERT` of the rows that `source` gives, overwriting in the same way. They must be of
    /// different keys.
    pub(in crate::store) fn insert_from(&self, prefix: &str, source: &str) -> String {
        let columns = self.columns.join(", ");
        let mut sql = format!("INSERT INTO {prefix}{} ({columns}) {source}", self.name);
        if self.key > 0 {
            let (key, rest) = self.columns.split_at(self.key);
            let set: Vec<_> = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect();
            sql += &format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "));
        }
        sql
    }
}

impl Table {
    /// `INSERT` of one row, unless the table has one of its key.
    pub(in crate::store) fn add_sql(&self, prefix: &str, mark: char) -> String {
        let marks: Vec<_> = (1..=self.columns.len()).map(|n| format!("{mark}{n}")).collect();
        let (columns, marks) = (self.columns.join(", "), marks.join(", "));
        let name = self.name;
        format!("INSERT INTO {prefix}{name} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING")
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::DEVICES;
    use super::super::{MARK_REDRIVEN, REJECTED_MESSAGES};

    #[test]
    fn an_insert_overwrites_only_where_there_is_a_key() {
        assert_eq!(
            DEVICES.insert_sql("pulseward.", '$'),
            "INSERT INTO pulseward.devices (device_key, device_id, site_key, created_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (device_key) DO UPDATE SET \
             device_id = excluded.device_id, site_key = excluded.site_key, \
             created_at = excluded.created_at"
        );
        assert!(!REJECTED_MESSAGES.insert_sql("", '?').contains("CONFLICT"));
    }

    #[test]
    fn an_update_changes_the_rows_of_its_key() {
        assert_eq!(
            MARK_REDRIVEN.sql("", '?'),
            "UPDATE rejected_messages SET redriven_at = ?1 \
             WHERE journal_id = ?2 AND partition = ?3 AND position = ?4"
        );
    }
}
