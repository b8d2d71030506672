//! What stands in SQLite. Queries block their thread: nothing else is done meanwhile.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Params, params_from_iter};

use super::{Error, Keys, Row, STRAYS_MAX, StoredReading};
use crate::oracle::profile::Micros;

const COLUMNS: &str =
    "r.device_key, r.vital, r.measured_at, r.value, r.absent, r.quality, r.received_at";

/// A file that is read.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    keys: Keys,
    since: Micros,
}

fn failed(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Sqlite { doing, source }
}

impl Database {
    pub(super) fn open(path: &str, devices: &[&str], since: Micros) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(failed("opening the file"))?;
        let patience = std::time::Duration::from_secs(30);
        connection.busy_timeout(patience).map_err(failed("setting the patience"))?;
        let mut database = Self { connection, keys: Keys::default(), since };
        database.read_keys(devices)?;
        Ok(database)
    }

    fn read_keys(&mut self, devices: &[&str]) -> Result<(), Error> {
        let patients = self.pairs("SELECT patient_key, patient_id FROM patients")?;
        self.keys.patients = patients.into_iter().map(|(key, name)| (name, key)).collect();
        let found = self.pairs("SELECT device_key, device_id FROM devices")?;
        self.keys.add_devices(devices, found.into_iter());
        let vitals = self.pairs("SELECT vital, name FROM vitals")?;
        self.keys.add_vitals(vitals.into_iter());
        Ok(())
    }

    fn pairs(&self, sql: &str) -> Result<Vec<(i64, String)>, Error> {
        let failed = || failed("reading who there is");
        let mut statement = self.connection.prepare(sql).map_err(failed())?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.map_err(failed())?.collect::<Result<_, _>>().map_err(failed())
    }

    pub(super) fn count(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM readings WHERE received_at >= ?1";
        let count: Result<i64, _> = self.connection.query_row(sql, [self.since], |row| row.get(0));
        Ok(u64::try_from(count.map_err(failed("counting readings"))?).unwrap_or(0))
    }

    pub(super) fn of_patient(&self, patient: &str) -> Result<Vec<StoredReading>, Error> {
        let Some(key) = self.keys.patients.get(patient) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {COLUMNS}, '' FROM readings r WHERE r.patient_key = ?1 AND r.received_at >= ?2"
        );
        let rows = self.readings(&sql, [*key, self.since])?;
        Ok(rows.into_iter().map(|(_, reading)| reading).collect())
    }

    pub(super) fn strays(&self, patients: &[&str]) -> Result<Vec<(String, StoredReading)>, Error> {
        let sql = format!(
            "SELECT {COLUMNS}, coalesce(p.patient_id, '') FROM readings r \
             LEFT JOIN patients p USING (patient_key) \
             WHERE r.device_key IN (SELECT value FROM json_each(?1)) \
             AND coalesce(p.patient_id, '') NOT IN (SELECT value FROM json_each(?2)) \
             AND r.received_at >= ?3 LIMIT {STRAYS_MAX}"
        );
        let devices: Vec<i64> = self.keys.devices.keys().copied().collect();
        let parameters =
            [Value::from(json(&devices)), Value::from(json(&patients)), Value::from(self.since)];
        self.readings(&sql, params_from_iter(parameters))
    }

    fn readings(
        &self,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Vec<(String, StoredReading)>, Error> {
        let failed = || failed("reading readings");
        let mut statement = self.connection.prepare_cached(sql).map_err(failed())?;
        let rows = statement.query_map(parameters, |row| {
            let found = Row {
                device_key: row.get(0)?,
                vital: row.get(1)?,
                measured_at: row.get(2)?,
                value: row.get(3)?,
                absent: row.get(4)?,
                quality: row.get(5)?,
                received_at: row.get(6)?,
            };
            Ok((row.get(7)?, self.keys.reading(&found)))
        });
        rows.map_err(failed())?.collect::<Result<_, _>>().map_err(failed())
    }

    pub(super) fn refused(&self, devices: &[&str]) -> Result<BTreeMap<String, u64>, Error> {
        let failed = || failed("reading what was refused");
        let sql = "SELECT reason, count(DISTINCT position) FROM rejected_messages \
                   WHERE device_id IN (SELECT value FROM json_each(?1)) AND received_at >= ?2 \
                   AND topic LIKE '%/readings' GROUP BY reason";
        let mut statement = self.connection.prepare(sql).map_err(failed())?;
        let parameters = [Value::from(json(&devices)), Value::from(self.since)];
        let rows = statement.query_map(params_from_iter(parameters), |row| {
            Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
        });
        rows.map_err(failed())?.collect::<Result<_, _>>().map_err(failed())
    }
}

fn json(values: &impl serde::Serialize) -> String {
    serde_json::to_string(values).expect("numbers and names are JSON")
}
