//! Rows of the registry: sites, patients, devices, who wears what, and profiles.

use super::{Cell, Identity, Row, Table, int, json, text, time_or_null};
use crate::engine::output::{
    BindingRow, DeviceRow, PatientRow, ProfileRow, RegistryChange, SiteRow,
};
use crate::engine::profile::{AgeGroup, Pregnancy, Scope};
use crate::store::ledger;

pub(super) const SITES: Table = Table {
    name: "sites",
    columns: &["site_key", "site_id", "display_name", "time_zone", "created_at"],
    key: 1,
};

pub(super) const PATIENTS: Table = Table {
    name: "patients",
    columns: &[
        "patient_key",
        "patient_id",
        "site_key",
        "created_at",
        "age_group",
        "pregnancy",
        "paused_until",
    ],
    key: 1,
};

pub(super) const DEVICES: Table = Table {
    name: "devices",
    columns: &["device_key", "device_id", "site_key", "created_at"],
    key: 1,
};

pub(super) const BINDINGS: Table = Table {
    name: "bindings",
    columns: &["device_key", "bound_from", "bound_until", "patient_key", "schedule"],
    key: 2,
};

pub(super) static PROFILES: Table = Table {
    name: "profiles",
    columns: &["scope", "scope_key", "version", "profile", "put_at", "put_by"],
    key: 3,
};

/// The row of a change of the registry, and which row it overwrites.
pub(in crate::store) fn registry(change: &RegistryChange) -> (Identity, Row) {
    match change {
        RegistryChange::Site(row) => (Identity::Site(row.key), site(row)),
        RegistryChange::Patient(row) => (Identity::Patient(row.key), patient(row)),
        RegistryChange::Device(row) => (Identity::Device(row.key), device(row)),
        RegistryChange::Binding(row) => (Identity::Binding(row.device, row.from), binding(row)),
        RegistryChange::Profile(row) => (Identity::Profile(row.scope, row.version), profile(row)),
    }
}

pub(in crate::store) fn scope_cells(scope: Scope) -> [Cell; 2] {
    let (kind, key) = scope_columns(scope);
    [text(kind), int(key)]
}

/// The two columns of a scope.
pub(in crate::store) const fn scope_columns(scope: Scope) -> (&'static str, u32) {
    match scope {
        Scope::Default => ("default", 0),
        Scope::Site(site) => ("site", site.0),
        Scope::Patient(patient) => ("patient", patient.0),
    }
}

fn site(row: &SiteRow) -> Row {
    vec![
        int(row.key.0),
        text(row.id.as_str()),
        text(&row.display_name),
        text(&row.time_zone),
        Cell::Time(row.created_at),
    ]
}

fn patient(row: &PatientRow) -> Row {
    let age_group = match row.eligibility.age_group {
        AgeGroup::Unknown => "unknown",
        AgeGroup::Adult => "adult",
        AgeGroup::Child => "child",
    };
    let pregnancy = match row.eligibility.pregnancy {
        Pregnancy::Unknown => "unknown",
        Pregnancy::NotPregnant => "not_pregnant",
        Pregnancy::Pregnant => "pregnant",
    };
    vec![
        int(row.key.0),
        text(row.id.as_str()),
        int(row.site.0),
        Cell::Time(row.created_at),
        text(age_group),
        text(pregnancy),
        time_or_null(row.paused_until),
    ]
}

fn device(row: &DeviceRow) -> Row {
    vec![int(row.key.0), text(row.id.as_str()), int(row.site.0), Cell::Time(row.created_at)]
}

fn binding(row: &BindingRow) -> Row {
    vec![
        int(row.device.0),
        Cell::Time(row.from),
        time_or_null(row.until),
        int(row.patient.0),
        json(&*row.schedule),
    ]
}

fn profile(row: &ProfileRow) -> Row {
    let mut cells = Row::from(scope_cells(row.scope));
    cells.extend([int(row.version), json(&row.profile), Cell::Time(row.put_at), text(&row.put_by)]);
    cells
}

/// A version of a profile, where no row says what it is.
pub(in crate::store) fn missing_profile(row: &ProfileRow) -> ledger::Change {
    ledger::Change::Add(&PROFILES, profile(row))
}
