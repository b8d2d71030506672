//! What stands in Postgres, in the schema `pulseward`. Rows are taken as they stream in.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use super::{Error, Keys, Row, STRAYS_MAX, StoredReading};
use crate::oracle::profile::Micros;

const COLUMNS: &str = "r.device_key::bigint, r.vital::bigint, r.measured_at, r.value, \
                       r.absent::bigint, r.quality::bigint, r.received_at";

/// A database that is read.
#[derive(Debug)]
pub struct Database {
    client: Client,
    keys: Keys,
    since: SystemTime,
}

fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |source| Error::Postgres { doing, source }
}

impl Database {
    pub(super) async fn open(url: &str, devices: &[&str], since: Micros) -> Result<Self, Error> {
        let connected = tokio_postgres::connect(url, NoTls).await;
        let (client, connection) = connected.map_err(failed("connecting"))?;
        // It ends with its client; what it says, the next query says again.
        tokio::spawn(connection);
        let mut database = Self { client, keys: Keys::default(), since: system_time(since) };
        database.read_keys(devices).await?;
        Ok(database)
    }

    async fn read_keys(&mut self, devices: &[&str]) -> Result<(), Error> {
        let patients = self.pairs("SELECT patient_key::bigint, patient_id FROM pulseward.patients");
        let patients = patients.await?;
        self.keys.patients = patients.into_iter().map(|(key, name)| (name, key)).collect();
        let found = self.pairs("SELECT device_key::bigint, device_id FROM pulseward.devices");
        self.keys.add_devices(devices, found.await?.into_iter());
        let vitals = self.pairs("SELECT vital::bigint, name FROM pulseward.vitals").await?;
        self.keys.add_vitals(vitals.into_iter());
        Ok(())
    }

    async fn pairs(&self, sql: &str) -> Result<Vec<(i64, String)>, Error> {
        let rows = self.client.query(sql, &[]).await.map_err(failed("reading who there is"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    pub(super) async fn count(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM pulseward.readings WHERE received_at >= $1";
        let row = self.client.query_one(sql, &[&self.since]).await;
        let count: i64 = row.map_err(failed("counting readings"))?.get(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn of_patient(&self, patient: &str) -> Result<Vec<StoredReading>, Error> {
        let Some(key) = self.keys.patients.get(patient) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {COLUMNS}, '' FROM pulseward.readings r \
             WHERE r.patient_key = ($1::bigint)::integer AND r.received_at >= $2"
        );
        let rows = self.readings(&sql, &[key, &self.since]).await?;
        Ok(rows.into_iter().map(|(_, reading)| reading).collect())
    }

    pub(super) async fn strays(
        &self,
        patients: &[&str],
    ) -> Result<Vec<(String, StoredReading)>, Error> {
        let sql = format!(
            "SELECT {COLUMNS}, coalesce(p.patient_id, '') FROM pulseward.readings r \
             LEFT JOIN pulseward.patients p USING (patient_key) \
             WHERE r.device_key::bigint = ANY($1) \
             AND coalesce(p.patient_id, '') <> ALL($2) \
             AND r.received_at >= $3 LIMIT {STRAYS_MAX}"
        );
        let devices: Vec<i64> = self.keys.devices.keys().copied().collect();
        self.readings(&sql, &[&devices, &patients, &self.since]).await
    }

    async fn readings(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<(String, StoredReading)>, Error> {
        let failed = failed("reading readings");
        let rows = self.client.query_raw(sql, parameters.iter().copied()).await;
        let rows = rows.map_err(&failed)?.map(|row| {
            row.map(|row| {
                let found = Row {
                    device_key: row.get(0),
                    vital: row.get(1),
                    measured_at: micros(row.get(2)),
                    value: row.get(3),
                    absent: row.get(4),
                    quality: row.get(5),
                    received_at: micros(row.get(6)),
                };
                (row.get(7), self.keys.reading(&found))
            })
        });
        rows.try_collect().await.map_err(&failed)
    }

    pub(super) async fn refused(&self, devices: &[&str]) -> Result<BTreeMap<String, u64>, Error> {
        let sql = "SELECT reason, count(DISTINCT position) FROM pulseward.rejected_messages \
                   WHERE device_id = ANY($1) AND received_at >= $2 \
                   AND topic LIKE '%/readings' GROUP BY reason";
        let rows = self.client.query(sql, &[&devices, &self.since]).await;
        let rows = rows.map_err(failed("reading what was refused"))?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(rows.iter().map(|row| (row.get(0), count(row.get(1)))).collect())
    }
}

fn system_time(micros: Micros) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn micros(time: SystemTime) -> Micros {
    let since = |span: Duration| Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => since(after),
        Err(before) => -since(before.duration()),
    }
}
