//! What the database needs beside its rows: partitions made ahead, buckets kept, and what is older
//! than its retention deleted. A stage of its own beside the writer.
//!
//! Promises: it works in bounded steps and rests longer between them, so that the writer is never
//! held up for long; it has a connection of its own in Postgres, and takes turns with the writer on the
//! one connection of SQLite. A task that fails is tried again later, after growing waits, while
//! the others go on; it never ends because of a failure, and says in [`MaintenanceState`] what
//! does not succeed. A crash at any moment leaves no step half done.
//!
//! Deliberately absent: it decides nothing about what is stored, and makes no backups. A database
//! that does not need a task, such as TimescaleDB the keeping of buckets, is done with it at once.
//!
//! A further kind of work is a [`Task`] more, with its bounded step in both databases.

mod task;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::database::Failure;
use super::settings::Kind;
use super::state::{Link, State};
use super::{Settings, postgres, sqlite};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::names;

pub use task::Task;

pub(super) use task::Progress;
use task::Schedule;

/// A task that fails for so long is told in readiness. A lock that somebody holds for a moment is
/// no news.
const FAILING_MIN: Duration = Duration::from_secs(60);

/// What has hands to do a task with.
pub(super) trait Caretaker: Send {
    /// Does a bounded piece of a task, in transactions that are whole or not at all. Cancel safe:
    /// what is dropped is rolled back, or comes to its end unseen.
    fn step(
        &mut self,
        task: Task,
        now: Timestamp,
    ) -> impl Future<Output = Result<Progress, Failure>> + Send;
}

/// How each task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceState {
    /// Tasks that were tried.
    pub tasks: BTreeMap<Task, TaskState>,
}

/// How a task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// When nothing was left to do for it.
    pub last_done: Option<Timestamp>,
    /// Why it does not succeed now.
    pub failing: Option<Failing>,
}

/// A task that does not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// When it failed last.
    pub last: Timestamp,
    /// What the database said last.
    pub reason: String,
}

impl MaintenanceState {
    /// What people should know, if a task fails again and again for a minute.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.tasks.iter().find_map(|(task, state)| {
            let failing = state.failing.as_ref()?;
            let lasts = failing.last.since(failing.since) >= FAILING_MIN;
            lasts.then(|| {
                format!("{} fails since {}: {}", task.name(), failing.since, failing.reason)
            })
        })
    }
}

/// The maintenance of the writer's database. [`Maintenance::run`] does the work.
pub struct Maintenance<C> {
    settings: Settings,
    connection: sqlite::WriteConnection,
    writer: watch::Receiver<State>,
    clock: C,
    state: watch::Sender<MaintenanceState>,
}

impl<C: Clock> Maintenance<C> {
    /// Beside the writer whose state and, in SQLite, connection these are.
    pub(super) fn new(
        settings: Settings,
        connection: sqlite::WriteConnection,
        writer: watch::Receiver<State>,
        clock: C,
    ) -> Self {
        let (state, _) = watch::channel(MaintenanceState::default());
        Self { settings, connection, writer, clock, state }
    }

    /// How it is doing, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<MaintenanceState> {
        self.state.subscribe()
    }

    /// Does what is due while the writer has its database, until the writer ends. Dropping it
    /// leaves nothing half done.
    pub async fn run(self) {
        match &self.settings.url.0 {
            Kind::Postgres(config) => {
                let caretaker = postgres::Maintaining::new(config, &self.settings);
                self.run_on(caretaker).await;
            }
            Kind::Sqlite(_) => {
                let connection = self.connection.clone();
                self.run_on(sqlite::Maintaining::new(connection, &self.settings)).await;
            }
        }
    }

    async fn run_on(&self, mut caretaker: impl Caretaker) {
        let mut schedule = Schedule::new(&self.settings, Instant::now());
        let mut writer = self.writer.clone();
        while is_there(&mut writer).await {
            let (task, due) = schedule.next();
            let begun = due.max(Instant::now());
            let step = async {
                sleep_until(due).await;
                caretaker.step(task, self.clock.now()).await
            };
            let result = tokio::select! {
                biased;
                () = is_gone(&mut writer) => continue,
                result = step => result,
            };
            match result {
                Ok(progress) => {
                    schedule.went_well(task, progress, begun, Instant::now());
                    self.report_success(task, progress, begun);
                }
                Err(failure) => {
                    schedule.failed(task, Instant::now());
                    self.report_failure(task, failure.reason());
                }
            }
        }
    }

    fn report_success(&self, task: Task, progress: Progress, begun: Instant) {
        histogram!(names::STORE_MAINTENANCE_SECONDS, "task" => task.name()).record(begun.elapsed());
        let now = self.clock.now();
        let done = (progress == Progress::Done).then_some(now);
        if done.is_some() {
            gauge!(names::STORE_MAINTENANCE_DONE_TIMESTAMP_SECONDS, "task" => task.name())
                .set(now.micros() as f64 / 1e6);
        }
        self.state.send_modify(|state| {
            let state = state.tasks.entry(task).or_default();
            if let Some(failing) = state.failing.take() {
                info!(task = task.name(), since = %failing.since, "store maintenance succeeds again");
            }
            state.last_done = done.or(state.last_done);
        });
    }

    fn report_failure(&self, task: Task, reason: String) {
        counter!(names::STORE_MAINTENANCE_FAILURES_TOTAL, "task" => task.name()).increment(1);
        self.state.send_modify(|state| {
            let state = state.tasks.entry(task).or_default();
            let before = state.failing.take();
            // Once per reason, not once per attempt.
            if before.as_ref().is_none_or(|before| before.reason != reason) {
                warn!(task = task.name(), reason, "store maintenance failed, tried again later");
            }
            let last = self.clock.now();
            let since = before.map_or(last, |before| before.since);
            state.failing = Some(Failing { since, last, reason });
        });
    }
}

/// Waits until the writer has its database; `false` once it has ended. Cancel safe.
async fn is_there(writer: &mut watch::Receiver<State>) -> bool {
    let known = writer.wait_for(|state| matches!(state.link, Link::Connected | Link::Ended { .. }));
    known.await.is_ok_and(|state| state.link == Link::Connected)
}

/// Waits until the writer does not have its database. Cancel safe.
async fn is_gone(writer: &mut watch::Receiver<State>) {
    // A writer that was dropped has ended.
    drop(writer.wait_for(|state| state.link != Link::Connected).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_for(span: Duration) -> MaintenanceState {
        let since = Timestamp::EPOCH;
        let failing = Failing { since, last: since.plus(span), reason: "why".to_owned() };
        let state = TaskState { last_done: None, failing: Some(failing) };
        MaintenanceState { tasks: [(Task::Partitions, state)].into() }
    }

    #[test]
    fn every_task_is_a_label_of_its_metrics() {
        let row = names::row(names::STORE_MAINTENANCE_SECONDS).expect("in the catalogue");
        for task in Task::ALL {
            assert!(row.admits("task", task.name()), "{}", task.name());
        }
    }

    #[test]
    fn only_what_fails_for_a_while_is_a_problem() {
        assert_eq!(MaintenanceState::default().problem(), None);
        assert_eq!(failing_for(FAILING_MIN / 2).problem(), None);
        let expected = "partitions fails since 1970-01-01T00:00:00Z: why";
        assert_eq!(failing_for(FAILING_MIN).problem().as_deref(), Some(expected));
    }
}
