//! Sites and profiles, from their rows.

use super::Take;
use crate::engine::output::{ProfileRow, SiteRow};
use crate::engine::profile::Scope;
use crate::store::blob;
use crate::store::ledger::{Cells, Ledger, LedgerError, Query, Type};
use crate::vitals::{PatientKey, SiteId, SiteKey};

pub(super) fn sites(ledger: &mut dyn Ledger, take: Take<'_, SiteRow>) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT CAST(site_key AS bigint), site_id, display_name, time_zone, created_at
              FROM @sites ORDER BY site_key",
        types: &[Type::Int, Type::Text, Type::Text, Type::Text, Type::Time],
        values: Vec::new(),
    };
    ledger.read(&query, &mut |mut row| {
        take(SiteRow {
            key: SiteKey(row.key()?),
            id: row.word("an id", |id| SiteId::new(id).ok())?,
            display_name: row.text()?,
            time_zone: row.text()?,
            created_at: row.time()?,
        })
    })
}

const PROFILE: &[Type] = &[Type::Text, Type::Int, Type::Int, Type::Text, Type::Time, Type::Text];

/// Everyone's, and those of sites.
pub(super) fn shared_profiles(
    ledger: &mut dyn Ledger,
    take: Take<'_, ProfileRow>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT scope, CAST(scope_key AS bigint), CAST(version AS bigint),
                     CAST(profile AS text), put_at, put_by
              FROM @profiles WHERE scope <> 'patient' ORDER BY scope, scope_key, version",
        types: PROFILE,
        values: Vec::new(),
    };
    ledger.read(&query, &mut |row| take(profile(row)?))
}

/// Those of patients.
pub(super) fn own_profiles(
    ledger: &mut dyn Ledger,
    take: Take<'_, ProfileRow>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: "SELECT scope, CAST(scope_key AS bigint), CAST(version AS bigint),
                     CAST(profile AS text), put_at, put_by
              FROM @profiles WHERE scope = 'patient' ORDER BY scope, scope_key, version",
        types: PROFILE,
        values: Vec::new(),
    };
    ledger.read(&query, &mut |row| take(profile(row)?))
}

fn profile(mut row: Cells) -> Result<ProfileRow, LedgerError> {
    let kind = row.text()?;
    let key = row.key()?;
    let scope = scope(&kind, key).ok_or_else(|| row.wrong("a scope"))?;
    Ok(ProfileRow {
        scope,
        version: row.key()?,
        profile: row.word("a profile", |text| blob::decode(text).ok())?,
        put_at: row.time()?,
        put_by: row.text()?,
    })
}

/// The scope of two columns.
pub(in crate::store) fn scope(kind: &str, key: u32) -> Option<Scope> {
    match kind {
        "default" => Some(Scope::Default),
        "site" => Some(Scope::Site(SiteKey(key))),
        "patient" => Some(Scope::Patient(PatientKey(key))),
        _ => None,
    }
}
