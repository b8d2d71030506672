//! Earlier versions of profiles from Postgres.

use tokio_postgres::{Error, Row};

use super::super::reason;
use super::super::types::Time;
use super::PostgresHistory;
use crate::clock::Timestamp;
use crate::engine::output::ProfileRow;
use crate::engine::profile::Scope;
use crate::store::history::{HistoryError, profile_of, unavailable};
use crate::store::row::{scope_columns, signed};

const ONE: &str = "
    SELECT p.profile::text, p.put_at, p.put_by
    FROM pulseward.profiles p
    WHERE p.scope = $1 AND p.scope_key = $2 AND p.version = $3";

impl PostgresHistory {
    /// A version of a scope's profile. Cancel safe.
    pub(super) async fn one_profile(
        &self,
        scope: Scope,
        version: u32,
    ) -> Result<ProfileRow, HistoryError> {
        let (kind, key) = scope_columns(scope);
        let rows = self.rows(ONE, &[&kind, &signed(key), &signed(version)]).await?;
        let row = rows.first().ok_or(HistoryError::UnknownProfile)?;
        let (profile, put_at, put_by) =
            columns(row).map_err(|error| unavailable(reason(&error)))?;
        profile_of(scope, version, (profile, put_at, put_by))
    }
}

fn columns(row: &Row) -> Result<(&str, Timestamp, String), Error> {
    Ok((row.try_get(0)?, row.try_get::<_, Time>(1)?.0, row.try_get(2)?))
}
