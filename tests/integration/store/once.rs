//! Each row once: over restarts, over rivals, and over connections that die at any moment.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pulseward::clock::{Clock, SystemClock, Timestamp};
use pulseward::store::{Error, Writer};

use super::cutter::{Cut, Cutter};
use super::on_both;
use super::stand::{Running, Source, Store, noon, readings, settings};
use crate::support::postgres::Database;
use crate::support::wait::wait_until;

on_both! {
    async fn a_restart_goes_on_where_the_last_run_ended(store: Store) {
        let mut source = Source::new();
        for (from, until) in [(0, 100), (100, 250), (250, 251)] {
            let running = Running::start(store.settings(), &source.journal);
            source.commit(readings(from, until, 10));
            let closed = source.close();
            running.end().await.expect("drained");
            store.holds_readings(until).await;
            source = closed.open();
        }
        let id = source.journal.journal_id().to_string();
        let cursor = store.rows("SELECT journal_id, partition, position FROM journal_cursor").await;
        assert_eq!(cursor, [[id, "0".to_owned(), source.journal.last().to_string()]]);
    }

    async fn a_run_dropped_at_any_moment_loses_and_doubles_nothing(store: Store) {
        let mut source = Source::new();
        let (mut until, mut runs) = (0, 0_u64);
        while until < 6000 {
            source.commit(readings(until, until + 100, 7));
            until += 100;
            let mut settings = store.settings();
            settings.batch_rows_max = 40;
            settings.flush_interval = Duration::ZERO;
            let run = Writer::new(settings, source.journal.clone(), SystemClock).run();
            runs += 1;
            let moment = Duration::from_micros(runs * 997 % 40_000);
            assert!(tokio::time::timeout(moment, run).await.is_err(), "it ran on");
        }
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.journal.last()).await;
        store.holds_readings(until).await;
    }

    async fn two_rivals_write_each_row_once(store: Store) {
        let mut source = Source::new();
        let mut settings = store.settings();
        settings.batch_rows_max = 50;
        settings.flush_interval = Duration::ZERO;
        let mut rivals =
            [0, 1].map(|_| Running::start(settings.clone(), &source.journal));
        for part in 0..40 {
            source.commit(readings(part * 100, (part + 1) * 100, 9));
            rivals[part as usize % 2].stored(source.journal.last()).await;
        }
        for rival in &mut rivals {
            rival.stored(source.journal.last()).await;
        }
        store.holds_readings(4000).await;
    }

    async fn a_foreign_journal_is_refused_with_both_names(store: Store) {
        let mut first = Source::new();
        let running = Running::start(store.settings(), &first.journal);
        first.commit(readings(0, 10, 5));
        let (ours, closed) = (first.journal.journal_id(), first.close());
        running.end().await.expect("drained");
        drop(closed);

        let mut other = Source::new();
        other.commit(readings(10, 20, 5));
        let error = Running::start(store.settings(), &other.journal).end().await;
        let error = error.expect_err("another journal's database");
        assert!(matches!(
            error,
            Error::ForeignJournal { database, journal }
                if database == ours && journal == other.journal.journal_id()
        ));
        store.holds_readings(10).await;
    }

    async fn a_database_ahead_of_the_journal_is_refused(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(readings(0, 10, 5))).await;
        drop(running);
        store.rows("UPDATE journal_cursor SET position = 1000").await;
        let error = Running::start(store.settings(), &source.journal).end().await;
        assert!(matches!(error, Err(Error::CursorAhead { .. })), "{error:?}");
    }

    async fn rows_are_stored_at_later_times_also_when_the_clock_steps_back(store: Store) {
        let mut source = Source::new();
        let mut cursors = Vec::new();
        for (run, start) in [noon(), noon().minus(Duration::from_secs(3600)), noon()]
            .into_iter()
            .enumerate()
        {
            let clock = Backwards::from(start);
            let mut running = Running::start_by(clock, store.settings(), &source.journal);
            let from = u32::try_from(run).expect("few") * 30;
            for part in [from, from + 10, from + 20] {
                let last = source.commit(readings(part, part + 10, 5));
                running.stored(last).await;
                let sql = format!("SELECT {} FROM journal_cursor", store.micros("updated_at"));
                cursors.push((store.value(&sql).await.parse::<i64>().expect("micros"), part + 10));
            }
            let closed = source.close();
            running.end().await.expect("drained");
            source = closed.open();
        }
        assert!(cursors.is_sorted_by(|(a, _), (b, _)| a < b), "{cursors:?}");
        // What is stored up to a time is what the transactions up to it have brought.
        for (time, until) in cursors {
            let sql = format!(
                "SELECT count(*) FROM readings WHERE {} <= {time}",
                store.micros("stored_at")
            );
            assert_eq!(store.value(&sql).await, until.to_string());
        }
        store.holds_readings(90).await;
    }

    async fn an_entry_without_rows_moves_the_cursor_too(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        running.stored(source.commit(vec![vec![], vec![], vec![]])).await;
        assert_eq!(store.value("SELECT position FROM journal_cursor").await, "3");
        store.holds_readings(0).await;
    }
}

/// A clock that goes back by a second whenever it is looked at.
struct Backwards(AtomicI64);

impl Backwards {
    fn from(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.micros()))
    }
}

impl Clock for Backwards {
    fn now(&self) -> Timestamp {
        let micros = self.0.fetch_sub(1_000_000, Ordering::Relaxed);
        Timestamp::from_micros(micros).expect("in range")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_killed_at_any_moment_loses_and_doubles_nothing() {
    const READINGS: u32 = 30_000;
    const KILLS: usize = 60;
    let database = Database::create().await;
    let admin = database.connect().await;
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let mut settings = store.settings();
    settings.batch_rows_max = 300;
    settings.flush_interval = Duration::ZERO;
    let mut running = Running::start(settings, &source.journal);
    running.stored(source.commit(readings(0, 100, 100))).await;

    let kill = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut kills = 0;
    let mut until = 100;
    while until < READINGS || kills < KILLS {
        // What is to be written never runs out before the kills do.
        let next = until + 100;
        source.commit(readings(until, next, 33));
        until = next;
        let killed: i64 = admin.query_one(kill, &[]).await.expect("answers").get(0);
        kills += usize::from(killed > 0);
    }
    running.stored(source.journal.last()).await;
    store.holds_readings(until).await;
}

async fn cut_at(cut: Cut) {
    let database = Database::create().await;
    let cutter = Cutter::before(&database.url()).await;
    let url = cutter.url(&database.url());
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let mut running = Running::start(settings(&url), &source.journal);
    running.stored(source.commit(readings(0, 10, 5))).await;

    for part in 1..=5 {
        cutter.arm(cut);
        let last = source.commit(readings(part * 10, (part + 1) * 10, 5));
        wait_until("the cut", async || !cutter.is_armed()).await;
        running.stored(last).await;
        store.holds_readings((part + 1) * 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_repeated() {
    cut_at(Cut::AfterCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrives_is_made_up_for() {
    cut_at(Cut::BeforeCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_cut_after_any_byte_loses_and_doubles_nothing() {
    // A transaction of ten readings is about this long on the wire.
    const TRANSACTION_BYTES: usize = 1100;
    let database = Database::create().await;
    let cutter = Cutter::before(&database.url()).await;
    let url = cutter.url(&database.url());
    let store = Store::Postgres(database);
    let mut source = Source::new();
    let mut settings = settings(&url);
    settings.flush_interval = Duration::ZERO;
    let mut running = Running::start(settings, &source.journal);
    running.stored(source.commit(readings(0, 10, 10))).await;

    let (mut until, mut cuts) = (10, 0);
    for bytes in (1..TRANSACTION_BYTES).step_by(19) {
        cutter.arm(Cut::AfterBytes(bytes));
        running.stored(source.commit(readings(until, until + 10, 10))).await;
        until += 10;
        cuts += u32::from(!cutter.is_armed());
    }
    store.holds_readings(until).await;
    assert!(cuts > 40, "{cuts} cuts");
}
