//! The stored readings of a fleet, made by the database itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pulseward::clock::{Clock, SystemClock, Timestamp};
use tokio_postgres::{Client, NoTls};

pub(crate) const PATIENTS: u32 = 1_000;
/// By their numbers: heart rate, pulse rate, SpO2, respiratory rate, systolic pressure.
pub(crate) const VITALS: [i32; 5] = [1, 2, 3, 4, 5];
const STEP: Duration = Duration::from_secs(300);
const STEPS_A_DAY: u64 = 288;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the service may take to make its tables.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(60);
/// And to sum up what was stored.
const SUMMED_UP_TIMEOUT: Duration = Duration::from_secs(3600);
const POLL: Duration = Duration::from_millis(200);

/// A database of readings.
pub(crate) struct Fleet {
    server: String,
    name: String,
    days: u64,
    /// The midnight at which the readings end.
    pub(crate) until: Timestamp,
}

impl Fleet {
    pub(crate) async fn create(server: &str, readings: u64) -> Result<Self> {
        let a_day = u64::from(PATIENTS) * VITALS.len() as u64 * STEPS_A_DAY;
        let days = readings.div_ceil(a_day);
        let name = format!("bench_history_{}", std::process::id());
        let now = SystemClock.now().micros();
        let day = i64::try_from(DAY.as_micros())?;
        let until = Timestamp::from_micros(now - now % day).context("a midnight")?;
        connect(server).await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server: server.to_owned(), name, days, until })
    }

    pub(crate) fn url(&self) -> String {
        let (address, _) = self.server.rsplit_once('/').unwrap_or((&self.server, ""));
        format!("{address}/{}", self.name)
    }

    pub(crate) const fn days(&self) -> u64 {
        self.days
    }

    /// The server and what of its settings matters.
    pub(crate) async fn described(&self) -> Result<String> {
        let sql = "SELECT version() || '; shared_buffers ' || current_setting('shared_buffers')
            || ', fsync ' || current_setting('fsync')";
        Ok(self.connect().await?.query_one(sql, &[]).await?.get(0))
    }

    pub(crate) async fn drop_database(&self) -> Result<()> {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        Ok(connect(&self.server).await?.batch_execute(&sql).await?)
    }

    /// Waits until the service has made its tables.
    pub(crate) async fn has_tables(&self) -> Result<()> {
        // All of them are made in one transaction.
        let schema = "SELECT to_regclass('pulseward.stored_batches') IS NOT NULL";
        let client = self.connect().await?;
        until(&client, schema, SCHEMA_TIMEOUT).await.context("the service's tables")
    }

    /// Stores everything.
    pub(crate) async fn fill(&self) -> Result<()> {
        let client = self.connect().await?;
        client.batch_execute(&registry()).await?;
        let begun = Instant::now();
        for day in 0..self.days {
            client.batch_execute(&self.day(day)?).await.context("storing a day")?;
        }
        let sql = "SELECT count(*), pg_size_pretty(pg_database_size(current_database()))
            FROM pulseward.readings";
        let row = client.query_one(sql, &[]).await?;
        let (rows, size): (i64, String) = (row.get(0), row.get(1));
        println!("{rows} readings of {} days stored in {:.0?}: {size}", self.days, begun.elapsed());
        Ok(())
    }

    /// Waits until the service has summed it up.
    pub(crate) async fn summed_up(&self) -> Result<()> {
        let client = &self.connect().await?;
        let begun = Instant::now();
        let summed_up = "SELECT NOT EXISTS (SELECT FROM pulseward.stored_batches)";
        until(client, summed_up, SUMMED_UP_TIMEOUT).await.context("the service's buckets")?;
        let sql = "SELECT (SELECT count(*) FROM pulseward.readings_1h_kept),
            (SELECT count(*) FROM pulseward.readings_1min_kept),
            pg_size_pretty(pg_database_size(current_database()))";
        let row = client.query_one(sql, &[]).await?;
        let (hours, minutes, size): (i64, i64, String) = (row.get(0), row.get(1), row.get(2));
        let took = begun.elapsed();
        println!("summed up in {took:.0?}: {hours} hours, {minutes} minutes; {size} in all");
        Ok(())
    }

    /// What happens by itself in a database that has been there for a while.
    pub(crate) async fn settle(&self) -> Result<()> {
        let client = self.connect().await?;
        // Each by itself: sent together they would be one transaction, in which nothing is vacuumed.
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            client.batch_execute(statement).await.context(statement)?;
        }
        Ok(())
    }

    /// The readings of a day, counted back from the last; earlier days first. Each step is a batch,
    /// as the service would have stored it.
    fn day(&self, number: u64) -> Result<String> {
        let back = u32::try_from(self.days - number)?;
        let from =
            Timestamp::from_micros(self.until.micros() - i64::try_from((DAY * back).as_micros())?)
                .context("a day")?;
        let table = from.to_string()[..10].replace('-', "");
        let until = from.plus(DAY);
        let vitals = VITALS.map(|vital| vital.to_string()).join(", ");
        Ok(format!(
            "DO $$ BEGIN
                IF to_regclass('pulseward.readings_{table}') IS NULL THEN
                    CREATE TABLE pulseward.readings_{table} PARTITION OF pulseward.readings
                        FOR VALUES FROM ('{from}') TO ('{until}');
                END IF;
                FOR step IN 0..{STEPS_A_DAY} - 1 LOOP
                    INSERT INTO pulseward.readings (measured_at, received_at, stored_at, value,
                        patient_key, device_key, quality, vital, absent)
                    SELECT at, at + INTERVAL '1 second', batch + INTERVAL '5 minutes',
                           60 + (patient * 7 + vital * 13 + step) % 60, patient, patient, 0, vital, 0
                    FROM (SELECT '{from}'::timestamptz + step * INTERVAL '{step_seconds} s') b (batch),
                         generate_series(0, {PATIENTS} - 1) patient,
                         unnest(ARRAY[{vitals}]) vital,
                         LATERAL (SELECT batch + patient * INTERVAL '0.29 s') m (at)
                    ORDER BY patient, vital;
                    INSERT INTO pulseward.stored_batches (aggregate, stored_at, reading_count, days)
                    SELECT name, '{from}'::timestamptz + (step + 1) * INTERVAL '{step_seconds} s',
                           {batch}, ARRAY[{number_of_day}]::integer[]
                    FROM pulseward.aggregates;
                END LOOP;
            END $$",
            step_seconds = STEP.as_secs(),
            batch = PATIENTS as usize * VITALS.len(),
            number_of_day = from.micros() / i64::try_from(DAY.as_micros())?,
        ))
    }

    async fn connect(&self) -> Result<Client> {
        connect(&self.url()).await
    }
}

/// A site with its patients and their devices.
fn registry() -> String {
    format!(
        "INSERT INTO pulseward.sites VALUES (0, 'north', 'North', 'UTC', 'epoch');
         INSERT INTO pulseward.patients (patient_key, patient_id, site_key, created_at)
         SELECT n, 'p-' || n, 0, 'epoch' FROM generate_series(0, {PATIENTS} - 1) n;
         INSERT INTO pulseward.devices (device_key, device_id, site_key, created_at)
         SELECT n, 'd-' || n, 0, 'epoch' FROM generate_series(0, {PATIENTS} - 1) n"
    )
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits until a statement says so.
async fn until(client: &Client, sql: &str, timeout: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        // A table that is not there yet is an error to begin with.
        if let Ok(row) = client.query_one(sql, &[]).await
            && row.get(0)
        {
            return Ok(());
        }
        if begun.elapsed() > timeout {
            bail!("not within {timeout:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}
