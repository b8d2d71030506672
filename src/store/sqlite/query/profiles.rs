//! Earlier versions of profiles from SQLite.

use rusqlite::{Connection, OptionalExtension, params};

use super::time;
use crate::clock::Timestamp;
use crate::engine::profile::Scope;
use crate::store::row::{scope_columns, signed};

const ONE: &str = "
    SELECT profile, put_at, put_by FROM profiles
    WHERE scope = ?1 AND scope_key = ?2 AND version = ?3";

/// The columns of a version of a scope's profile.
pub(super) fn one(
    connection: &Connection,
    scope: Scope,
    version: u32,
) -> rusqlite::Result<Option<(String, Timestamp, String)>> {
    let (kind, key) = scope_columns(scope);
    let mut statement = connection.prepare_cached(ONE)?;
    statement
        .query_row(params![kind, signed(key), signed(version)], |row| {
            Ok((row.get(0)?, time(1, row.get(1)?)?, row.get(2)?))
        })
        .optional()
}
