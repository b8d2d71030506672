//! The maintenance of the file: a task in, a bounded step on the writer's connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::expire::{self, Series};
use super::{WriteConnection, aggregate, away, blocking, erasure};
use crate::clock::Timestamp;
use crate::store::Settings;
use crate::store::aggregate::Aggregate;
use crate::store::database::Failure;
use crate::store::maintenance::{Caretaker, Progress, Task};

/// A pass is done with about this many readings, because the writer waits for it: some 10 ms.
const PASS_ROWS_MAX: usize = 5_000;

const READINGS: Series =
    Series { table: "readings", time: "measured_at", key: "rowid", condition: expire::SUMMED_UP };

/// Takes turns with the writer on its connection.
#[derive(Debug)]
pub(in crate::store) struct Maintaining {
    connection: WriteConnection,
    settings: Arc<Settings>,
    places: Arc<Mutex<Places>>,
}

/// Where the deleting of readings and of buckets goes on.
#[derive(Debug, Default)]
struct Places {
    readings: Option<(i64, i64)>,
    minutes: Option<(i64, i64)>,
    hours: Option<(i64, i64)>,
}

impl Maintaining {
    pub(in crate::store) fn new(connection: WriteConnection, settings: &Settings) -> Self {
        let mut settings = settings.clone();
        settings.pass_rows_max = settings.pass_rows_max.min(PASS_ROWS_MAX);
        Self { connection, settings: Arc::new(settings), places: Arc::default() }
    }
}

impl Caretaker for Maintaining {
    async fn step(&mut self, task: Task, now: Timestamp) -> Result<Progress, Failure> {
        let (connection, settings) = (self.connection.clone(), Arc::clone(&self.settings));
        let places = Arc::clone(&self.places);
        blocking(move || {
            connection.with(|connection| {
                let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
                step(connection, &settings, &mut places, task, now)
            })
        })
        .await
    }
}

fn step(
    connection: &mut Connection,
    settings: &Settings,
    places: &mut Places,
    task: Task,
    now: Timestamp,
) -> Result<Progress, Failure> {
    match task {
        Task::Aggregate(aggregate) => {
            let rows_max = i64::try_from(settings.pass_rows_max).unwrap_or(i64::MAX);
            aggregate::pass(connection, aggregate, rows_max)
        }
        Task::ExpireReadings => {
            let retention = settings.readings_retention;
            delete(connection, READINGS, retention, now, &mut places.readings)
        }
        Task::ExpireBuckets(aggregate) => {
            let place = match aggregate {
                Aggregate::Minute => &mut places.minutes,
                Aggregate::Hour => &mut places.hours,
            };
            let buckets = Series {
                table: aggregate.kept(),
                time: "bucket",
                key: "bucket",
                condition: expire::ANY,
            };
            delete(connection, buckets, settings.buckets_retention, now, place)
        }
        Task::ExpireRejected => {
            expire::rejected(connection, now.minus(settings.rejected_retention))
        }
        Task::Erase => match erasure::step(connection, now) {
            Ok(true) => Ok(Progress::More),
            Ok(false) => Ok(Progress::Done),
            Err(error) => Err(away(&error)),
        },
        // There are none.
        Task::Partitions | Task::Policies => Ok(Progress::Done),
    }
}

fn delete(
    connection: &mut Connection,
    series: Series,
    retention: Option<Duration>,
    now: Timestamp,
    place: &mut Option<(i64, i64)>,
) -> Result<Progress, Failure> {
    let Some(retention) = retention else { return Ok(Progress::Done) };
    expire::series(connection, series, now.minus(retention), place)
}
