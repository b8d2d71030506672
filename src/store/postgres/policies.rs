//! TimescaleDB's own jobs as the configuration wants them: when continuous aggregates are
//! refreshed, chunks go to the columnstore, and chunks are dropped.
//!
//! The policies in force are on record in `store_meta`, and made anew when the configuration wants
//! others; what an administrator changed by hand meanwhile is left alone as long as it does not.
//! The older names of the functions are used, which both version 2.13 and version 2.28 know.

use std::time::Duration;

use tokio_postgres::{Client, Transaction};
use tracing::info;

use super::away;
use super::migrate::FIND_TIMESCALEDB;
use crate::store::Settings;
use crate::store::aggregate::Aggregate;
use crate::store::database::Failure;

const RECORDED: &str = "SELECT value FROM pulseward.store_meta WHERE name = $1";

const RECORD: &str = "INSERT INTO pulseward.store_meta (name, value)
    VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Ours, of the last run of which the server says that it failed.
const FAILED: &str = "
    SELECT j.application_name::text, s.total_failures
    FROM timescaledb_information.job_stats s JOIN timescaledb_information.jobs j USING (job_id)
    WHERE s.last_run_status = 'Failed' AND s.job_id = ANY($1)
    ORDER BY s.job_id";

/// Makes the policies if they are not those on record, and says which of the jobs fails.
pub(super) async fn apply(client: &mut Client, settings: &Settings) -> Result<(), Failure> {
    let wanted = wanted(settings);
    let text = wanted.join(";\n");
    let recorded = recorded(client, "policies").await.map_err(|error| away(&error))?;
    if recorded.as_ref() != Some(&text) {
        let transaction = client.transaction().await.map_err(|error| away(&error))?;
        make(&transaction, &wanted, &text).await.map_err(|error| away(&error))?;
        transaction.commit().await.map_err(|error| away(&error))?;
        info!("policies of TimescaleDB set");
    }
    complain(client).await
}

async fn recorded(client: &Client, name: &str) -> Result<Option<String>, tokio_postgres::Error> {
    client.query_opt(RECORDED, &[&name]).await?.map(|row| row.try_get(0)).transpose()
}

async fn make(
    transaction: &Transaction<'_>,
    wanted: &[String],
    text: &str,
) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(FIND_TIMESCALEDB).await?;
    transaction.batch_execute(REMOVE).await?;
    let mut jobs = Vec::new();
    for sql in wanted {
        let job: i32 = transaction.query_one(sql, &[]).await?.try_get(0)?;
        jobs.push(job.to_string());
    }
    transaction.execute(RECORD, &[&"policies", &text]).await?;
    transaction.execute(RECORD, &[&"policy_jobs", &jobs.join(",")]).await?;
    Ok(())
}

const REMOVE: &str = "
    SELECT remove_continuous_aggregate_policy('pulseward.readings_1min', if_exists => true);
    SELECT remove_continuous_aggregate_policy('pulseward.readings_1h', if_exists => true);
    SELECT remove_compression_policy('pulseward.readings', if_exists => true);
    SELECT remove_retention_policy('pulseward.readings', if_exists => true);
    SELECT remove_retention_policy('pulseward.readings_1min', if_exists => true);
    SELECT remove_retention_policy('pulseward.readings_1h', if_exists => true)";

async fn complain(client: &Client) -> Result<(), Failure> {
    let jobs = recorded(client, "policy_jobs").await.map_err(|error| away(&error))?;
    let jobs: Vec<i32> =
        jobs.iter().flat_map(|jobs| jobs.split(',')).filter_map(|job| job.parse().ok()).collect();
    let failed = client.query_opt(&format!("{FAILED} LIMIT 1"), &[&jobs]).await;
    let failed = failed.map_err(|error| away(&error))?;
    let Some(row) = failed else { return Ok(()) };
    let read = || Ok((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?));
    let (job, times) = read().map_err(|error| away(&error))?;
    Err(Failure::Away(format!(
        "TimescaleDB's job {job:?} failed {times} times; see timescaledb_information.job_errors"
    )))
}

/// A refresh is not made more often than this: each is a process that is started, and what is not
/// refreshed is shown all the same.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// The calls that make the policies.
fn wanted(settings: &Settings) -> Vec<String> {
    let mut calls = vec![
        refresh(Aggregate::Minute, settings.minute_pass_interval, settings.readings_retention),
        refresh(Aggregate::Hour, settings.hour_pass_interval, settings.readings_retention),
        format!(
            "SELECT add_compression_policy('pulseward.readings', {})",
            interval(settings.columnstore_after)
        ),
    ];
    let mut retention = |what: &str, retention: Option<Duration>| {
        calls.extend(retention.map(|retention| {
            format!("SELECT add_retention_policy('pulseward.{what}', {})", interval(retention))
        }));
    };
    retention("readings", settings.readings_retention);
    retention("readings_1min", settings.buckets_retention);
    retention("readings_1h", settings.buckets_retention);
    calls
}

/// A refresh looks at all that has changed, for late readings may be old; but not at what is
/// dropped, or its buckets would go with it.
fn refresh(aggregate: Aggregate, every: Duration, retention: Option<Duration>) -> String {
    let (name, width) = (aggregate.name(), aggregate.width());
    let from = retention.map_or_else(|| "NULL".to_owned(), interval);
    format!(
        "SELECT add_continuous_aggregate_policy('pulseward.{name}', start_offset => {from}, \
         end_offset => {}, schedule_interval => {})",
        interval(width),
        interval(every.max(REFRESH_INTERVAL_MIN))
    )
}

fn interval(span: Duration) -> String {
    format!("INTERVAL '{} seconds'", span.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("postgres://db/x".parse().expect("a url"))
    }

    #[test]
    fn nothing_is_dropped_unless_a_retention_is_set() {
        let calls = wanted(&settings()).join("\n");
        assert!(!calls.contains("add_retention_policy"), "{calls}");
        assert!(calls.contains("start_offset => NULL"), "{calls}");
    }

    #[test]
    fn a_refresh_stays_within_what_is_kept() {
        let day = Duration::from_secs(86_400);
        let settings = Settings {
            readings_retention: Some(90 * day),
            buckets_retention: Some(400 * day),
            ..settings()
        };
        let calls = wanted(&settings).join("\n");
        assert_eq!(calls.matches("start_offset => INTERVAL '7776000 seconds'").count(), 2);
        let readings = "add_retention_policy('pulseward.readings', INTERVAL '7776000 seconds')";
        let buckets = "add_retention_policy('pulseward.readings_1h', INTERVAL '34560000 seconds')";
        assert!(calls.contains(readings) && calls.contains(buckets), "{calls}");
    }
}
