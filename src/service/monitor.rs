//! Watches how the stages stand, and says so: in readiness, to who needs the store's cursor, and as
//! the age of what is not durable yet. It reads no disk, so that it can say that one hangs.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::partition::Backlog;
use crate::position::Position;
use crate::readiness::{Part, Readiness};
use crate::store::{Gap, GapReason, Link, MaintenanceState, State};
use crate::telemetry::names;

/// How often the partition's backlog is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A commit that takes longer than this is no hiccup of a disk.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// One task for all of it.
pub(super) struct Monitor {
    ingest_connected: watch::Receiver<bool>,
    /// Why the broker can't be reached, while it can't.
    broker_trouble: watch::Receiver<Option<String>>,
    store: watch::Receiver<State>,
    maintenance: watch::Receiver<MaintenanceState>,
    stored: watch::Sender<Position>,
    /// How far behind the partition is, and by whose clock.
    backlog: (Arc<Backlog>, Arc<dyn Clock>),
    mqtt_part: Part,
    journal_part: Part,
    store_part: Part,
    maintenance_part: Part,
}

impl Monitor {
    pub(super) fn new(
        readiness: &Readiness,
        ingest_connected: watch::Receiver<bool>,
        (store, maintenance): (watch::Receiver<State>, watch::Receiver<MaintenanceState>),
        backlog: (Arc<Backlog>, Arc<dyn Clock>),
    ) -> Self {
        let (stored, _) = watch::channel(Position::START);
        let mqtt_part = readiness.register("mqtt");
        let journal_part = readiness.register("journal");
        let store_part = readiness.register("store");
        let maintenance_part = readiness.register("store maintenance");
        Self {
            ingest_connected,
            broker_trouble: watch::channel(None).1,
            store,
            maintenance,
            stored,
            backlog,
            mqtt_part,
            journal_part,
            store_part,
            maintenance_part,
        }
    }

    /// The same, which also tells why the broker can't be reached.
    pub(super) fn of_broker(self, broker_trouble: watch::Receiver<Option<String>>) -> Self {
        Self { broker_trouble, ..self }
    }

    /// How far the store has read, now and later.
    pub(super) fn stored(&self) -> watch::Receiver<Position> {
        self.stored.subscribe()
    }

    /// Runs until every stage that it watches has ended.
    pub(super) async fn run(mut self) {
        let (mut hub_runs, mut store_runs, mut maintenance_runs) = (true, true, true);
        let mut session_runs = true;
        let mut look = tokio::time::interval(LOOK_EVERY);
        self.look_at_ingest();
        self.look_at_store();
        self.look_at_maintenance();
        while hub_runs || store_runs {
            tokio::select! {
                changed = self.ingest_connected.changed(), if hub_runs => {
                    hub_runs = changed.is_ok();
                    self.look_at_ingest();
                }
                changed = self.broker_trouble.changed(), if session_runs => {
                    session_runs = changed.is_ok();
                    self.look_at_ingest();
                }
                changed = self.store.changed(), if store_runs => {
                    store_runs = changed.is_ok();
                    self.look_at_store();
                }
                changed = self.maintenance.changed(), if maintenance_runs => {
                    maintenance_runs = changed.is_ok();
                    self.look_at_maintenance();
                }
                _ = look.tick() => self.look_at_backlog(),
            }
        }
    }

    fn look_at_ingest(&mut self) {
        let is_connected = *self.ingest_connected.borrow_and_update();
        match &*self.broker_trouble.borrow_and_update() {
            _ if is_connected => self.mqtt_part.ready(),
            None => self.mqtt_part.not_ready("no messages come from the broker"),
            Some(why) => {
                self.mqtt_part.not_ready(format!("no messages come from the broker: {why}"));
            }
        }
    }

    /// By time alone, and without reading anything: a disk that hangs is told of all the same.
    fn look_at_backlog(&self) {
        let (backlog, clock) = &self.backlog;
        let age = backlog.age(clock.now());
        gauge!(names::UNCOMMITTED_SECONDS).set(age.as_secs_f64());
        if backlog.is_held() {
            self.journal_part
                .not_ready("full: messages are left at the broker until there is room");
        } else if age >= STALLED_AFTER {
            self.journal_part.not_ready("nothing was committed for several seconds");
        } else {
            self.journal_part.ready();
        }
    }

    fn look_at_store(&mut self) {
        let state = self.store.borrow_and_update().clone();
        match state.link {
            Link::Connecting => self.store_part.not_ready("connecting"),
            Link::Connected if state.rows_refused > 0 => self.store_part.degraded(format!(
                "the database has refused {} rows since the start, see refused_rows",
                state.rows_refused
            )),
            Link::Connected => match state.gap {
                Some(gap) => self.store_part.noted(note_of(&gap)),
                None => self.store_part.ready(),
            },
            Link::Away { since, reason } => {
                self.store_part.degraded(format!("away since {since}: {reason}"));
            }
            Link::Ended { error } => {
                self.store_part.degraded(error.unwrap_or_else(|| "stopped".to_owned()));
            }
        }
        if let Some(cursor) = state.cursor {
            self.stored.send_replace(cursor);
        }
    }

    /// Never worse than degraded: rows are written all the same.
    fn look_at_maintenance(&mut self) {
        match self.maintenance.borrow_and_update().problem() {
            None => self.maintenance_part.ready(),
            Some(problem) => self.maintenance_part.degraded(problem),
        }
    }
}

/// A gap, for people; it is told until the service is started anew, and stays in the database.
fn note_of(gap: &Gap) -> String {
    let missing = match gap.reason {
        GapReason::AgedOut => "rows of entries that are gone",
        GapReason::OtherJournal => "rows between this journal and the one before",
    };
    let time = |time: Option<Timestamp>| time.map_or("?".to_owned(), |time| time.to_string());
    let (from, until) = (time(gap.missing_from), time(gap.missing_until));
    format!("a gap was accepted: {missing}, received from {from} to {until}, are missing for good")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    /// A clock that goes on whenever it is looked at.
    struct At(std::sync::atomic::AtomicI64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.fetch_add(4, std::sync::atomic::Ordering::SeqCst))
        }
    }

    fn store() -> watch::Receiver<State> {
        let state = State {
            link: Link::Connecting,
            cursor: None,
            journal_last: Position::START,
            readings_stored: 0,
            batches_stored: 0,
            rows_refused: 0,
            gap: None,
        };
        watch::channel(state).1
    }

    #[test]
    fn a_disk_that_hangs_is_told_of_as_long_as_it_does() {
        let (metrics, recorder) = Metrics::detached();
        let (backlog, readiness) = (Arc::new(Backlog::default()), Readiness::new());
        backlog.enter(Timestamp::from_seconds(100));
        let maintenance = watch::channel(MaintenanceState::default()).1;
        let clock = Arc::new(At(101.into()));
        let connected = watch::channel(true).1;
        let seen = (Arc::clone(&backlog), clock as Arc<dyn Clock>);
        let monitor = Monitor::new(&readiness, connected, (store(), maintenance), seen);
        let mut told = Vec::new();
        for _ in 0..3 {
            metrics::with_local_recorder(&recorder, || monitor.look_at_backlog());
            let text = metrics.render();
            let series = format!("{} ", names::UNCOMMITTED_SECONDS);
            let age = text.lines().find_map(|line| line.strip_prefix(&series));
            let parts = readiness.parts();
            let journal = parts.iter().find(|(name, _)| *name == "journal").expect("registered");
            told.push((age.expect("told").to_owned(), journal.1.is_ready()));
        }
        let expected = [("1", true), ("5", false), ("9", false)];
        assert_eq!(told, expected.map(|(age, is_ready)| (age.to_owned(), is_ready)));
    }
}
