//! What there is to do beside writing, and when each is due.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::Settings;
use crate::store::aggregate::Aggregate;
use crate::store::backoff::Backoff;

/// A kind of maintenance. A database that needs nothing of a kind is done with it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Partitions for the days to come, also when no rows come.
    Partitions,
    /// TimescaleDB's own jobs as the configuration wants them, and whether they succeed.
    Policies,
    /// What was stored goes into the buckets.
    Aggregate(Aggregate),
    /// Readings older than their retention are deleted.
    ExpireReadings,
    /// Buckets older than theirs.
    ExpireBuckets(Aggregate),
    /// Refused messages older than theirs.
    ExpireRejected,
    /// What is left of patients who were erased.
    Erase,
}

/// How often erasures are looked for: whoever asked for one waits for it.
const ERASE_INTERVAL: Duration = Duration::from_secs(5);

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Progress {
    /// Nothing is left to do for now.
    Done,
    /// There may be more: the step was bounded.
    More,
}

impl Task {
    /// In the order in which they are done when all are due: first what rows need.
    pub(super) const ALL: [Self; 9] = [
        Self::Partitions,
        Self::Policies,
        Self::Aggregate(Aggregate::Minute),
        Self::Aggregate(Aggregate::Hour),
        Self::ExpireReadings,
        Self::ExpireBuckets(Aggregate::Minute),
        Self::ExpireBuckets(Aggregate::Hour),
        Self::ExpireRejected,
        Self::Erase,
    ];

    /// Its name in logs, metrics and readiness.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Policies => "policies",
            Self::Aggregate(Aggregate::Minute) => "aggregate_1min",
            Self::Aggregate(Aggregate::Hour) => "aggregate_1h",
            Self::ExpireReadings => "expire_readings",
            Self::ExpireBuckets(Aggregate::Minute) => "expire_1min",
            Self::ExpireBuckets(Aggregate::Hour) => "expire_1h",
            Self::ExpireRejected => "expire_rejected",
            Self::Erase => "erase",
        }
    }

    const fn interval(self, settings: &Settings) -> Duration {
        match self {
            Self::Aggregate(Aggregate::Minute) => settings.minute_pass_interval,
            Self::Aggregate(Aggregate::Hour) => settings.hour_pass_interval,
            Self::Partitions
            | Self::Policies
            | Self::ExpireReadings
            | Self::ExpireBuckets(_)
            | Self::ExpireRejected => settings.maintenance_interval,
            Self::Erase => ERASE_INTERVAL,
        }
    }
}

/// When each task is due.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    task: Task,
    due: Instant,
    interval: Duration,
    backoff: Backoff,
}

impl Schedule {
    /// Everything is due at once.
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        let entry = |task: Task| Entry {
            task,
            due: now,
            interval: task.interval(settings),
            backoff: Backoff::new(settings.retry_first, settings.retry_max),
        };
        Self { entries: Task::ALL.into_iter().map(entry).collect() }
    }

    /// What is due first, and when.
    pub(super) fn next(&self) -> (Task, Instant) {
        let first = self.entries.iter().min_by_key(|entry| entry.due);
        first.map(|entry| (entry.task, entry.due)).expect("there are tasks")
    }

    /// A step that began at `begun` has succeeded. One that leaves more to do rests twice as long as
    /// it worked, so that catching up takes a third of the database's time for us at most.
    pub(super) fn went_well(
        &mut self,
        task: Task,
        progress: Progress,
        begun: Instant,
        now: Instant,
    ) {
        let entry = self.entry(task);
        entry.backoff.reset();
        let rest = match progress {
            Progress::Done => entry.interval,
            Progress::More => now.saturating_duration_since(begun) * 2,
        };
        entry.due = now + rest;
    }

    /// It failed; the others are due as they were.
    pub(super) fn failed(&mut self, task: Task, now: Instant) {
        let entry = self.entry(task);
        entry.due = now + entry.backoff.wait();
    }

    fn entry(&mut self, task: Task) -> &mut Entry {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.task == task).expect("every task has an entry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn schedule(now: Instant) -> Schedule {
        Schedule::new(&Settings::new("sqlite:x".parse().expect("a url")), now)
    }

    #[test]
    fn everything_is_due_at_once_and_then_by_its_interval() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        for task in Task::ALL {
            assert_eq!(schedule.next(), (task, now));
            schedule.went_well(task, Progress::Done, now, now);
        }
        assert_eq!(schedule.next(), (Task::Erase, now + ERASE_INTERVAL));
        schedule.went_well(Task::Erase, Progress::Done, now + 2 * MINUTE, now + 2 * MINUTE);
        assert_eq!(schedule.next(), (Task::Aggregate(Aggregate::Minute), now + MINUTE));
    }

    #[test]
    fn a_step_that_leaves_more_rests_twice_as_long_as_it_worked() {
        let begun = Instant::now();
        let mut schedule = schedule(begun);
        for task in Task::ALL {
            schedule.went_well(task, Progress::Done, begun, begun);
        }
        let worked = Duration::from_millis(30);
        schedule.went_well(Task::ExpireReadings, Progress::More, begun, begun + worked);
        assert_eq!(schedule.next(), (Task::ExpireReadings, begun + worked * 3));
    }

    #[test]
    fn what_fails_again_and_again_holds_up_nothing_else() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.failed(Task::Partitions, now);
        // The others have just been done, and are not due again before all the attempts.
        for task in &Task::ALL[1..] {
            assert_eq!(schedule.next().0, *task);
            schedule.went_well(*task, Progress::Done, now, now + MINUTE);
        }
        for _ in 0..10 {
            let (task, due) = schedule.next();
            assert_eq!(task, Task::Partitions);
            assert!(due <= now + Duration::from_secs(10), "{due:?}");
            schedule.failed(task, now);
        }
    }
}
