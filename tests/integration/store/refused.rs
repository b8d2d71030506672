//! Rows that the database refuses: set aside with the reason, blocking nobody, and put back by the
//! statements that the page about them gives to operators.

use std::time::Instant;

use pulseward::engine::output::{
    Output, RedrivenMessage, RegistryChange, Reject, RejectReason, SiteRow,
};
use pulseward::position::{MessageId, Position};
use pulseward::store::{Link, State};
use pulseward::vitals::SiteKey;

use super::on_both;
use super::stand::{Running, Source, Store, noon, readings};
use crate::support::from_tests_run;
use crate::support::postgres::Database;

/// What operators are told.
const PAGE: &str = include_str!("../../../docs/operations.md");

/// The statements of the page's section, in its order.
fn told_to_operators() -> Vec<String> {
    let (_, section) = PAGE.split_once("\n## Rows that the database refuses\n").expect("there");
    let section = section.split("\n## ").next().expect("a section");
    let blocks = section.split("```sql").skip(1);
    blocks.map(|block| block.split("```").next().expect("a block").to_owned()).collect()
}

impl Store {
    /// Refuses the readings whose value is one of these; as little else as can be is told of them.
    async fn refuse_values(&self, condition: &str) {
        let sql = match self {
            Self::Postgres(_) => format!(
                "ALTER TABLE pulseward.readings ADD CONSTRAINT sane CHECK (NOT ({condition}))"
            ),
            Self::Sqlite(_) => format!(
                "CREATE TRIGGER sane BEFORE INSERT ON readings
                 WHEN {} BEGIN SELECT RAISE(ABORT, 'insane'); END",
                condition.replace("value", "NEW.value")
            ),
        };
        self.execute(&sql).await;
    }

    async fn refuse_no_more(&self) {
        let sql = match self {
            Self::Postgres(_) => "ALTER TABLE pulseward.readings DROP CONSTRAINT sane",
            Self::Sqlite(_) => "DROP TRIGGER sane",
        };
        self.execute(sql).await;
    }

    async fn put_readings_back(&self) {
        let statements = told_to_operators();
        let back = match self {
            Self::Postgres(_) => &statements[1],
            Self::Sqlite(_) => &statements[3],
        };
        self.execute(back).await;
    }
}

/// A store that has its tables, and what follows into it.
async fn with_tables(store: &Store) -> (Source, Running) {
    let mut source = Source::new();
    let mut running = Running::start(store.settings(), &source.journal);
    running.stored(source.commit(vec![vec![]])).await;
    (source, running)
}

fn site(key: u32, id: &str, display_name: &str) -> Output {
    Output::Registry(Box::new(RegistryChange::Site(SiteRow {
        key: SiteKey(key),
        id: id.parse().expect("an id"),
        display_name: display_name.to_owned(),
        time_zone: "UTC".to_owned(),
        created_at: noon(),
    })))
}

on_both! {
    async fn readings_that_are_refused_are_set_aside_and_can_be_put_back(store: Store) {
        let (mut source, mut running) = with_tables(&store).await;
        // Their values are ten-thousandths: 7, 300 to 303 and 899 of 1000 are refused.
        store.refuse_values("value = 0.0007 OR value BETWEEN 0.03 AND 0.0303 OR value = 0.0899")
            .await;
        let last = source.commit(readings(0, 1000, 10));
        running.stored(last).await;
        let state = running.until("the refusals to show", |state| state.rows_refused == 6).await;
        assert_eq!((state.link, state.readings_stored), (Link::Connected, 994));
        assert_eq!(store.value("SELECT count(*) FROM readings").await, "994");

        // Each is known by the output that it comes from.
        let places = store
            .lines("SELECT position, output_index, table_name FROM refused_rows ORDER BY 1, 2")
            .await;
        let expected = [7, 300, 301, 302, 303, 899]
            .map(|n| format!("{} {} readings", 2 + n / 10, n % 10));
        assert_eq!(places, expected);
        let reason = store.lines("SELECT DISTINCT error_code, error FROM refused_rows").await;
        match &store {
            Store::Postgres(_) => assert!(reason[0].starts_with("23514 new row"), "{reason:?}"),
            Store::Sqlite(_) => assert_eq!(reason, ["1811 insane"]),
        }

        store.refuse_no_more().await;
        store.put_readings_back().await;
        store.holds_readings(1000).await;
        assert_eq!(store.value("SELECT count(*) FROM refused_rows").await, "0");
        // They are a transaction of their own, behind which the follower goes on.
        let times = "SELECT count(DISTINCT stored_at) FROM readings r WHERE stored_at =
            (SELECT updated_at FROM journal_cursor)";
        assert_eq!(store.value(times).await, "1");
        running.stored(source.commit(readings(1000, 1010, 5))).await;
        store.holds_readings(1010).await;
    }

    async fn where_everything_is_refused_everything_is_set_aside_in_time(store: Store) {
        let (mut source, mut running) = with_tables(&store).await;
        store.refuse_values("true").await;
        let begun = Instant::now();
        let last = source.commit(readings(0, 3000, 100));
        running.stored(last).await;
        eprintln!("3000 rows were set aside in {:?}", begun.elapsed());
        assert_eq!(store.value("SELECT count(*) FROM refused_rows").await, "3000");
        assert_eq!(store.value("SELECT count(*) FROM readings").await, "0");
        store.refuse_no_more().await;
        store.put_readings_back().await;
        store.holds_readings(3000).await;
    }

    async fn a_row_of_another_table_blocks_nobody_either(store: Store) {
        let (mut source, mut running) = with_tables(&store).await;
        // Two sites of one id: the journal says so, the table can't.
        let twice = vec![site(1, "north", "North"), site(2, "north", "Another"), site(3, "s", "S")];
        let mut entries = readings(0, 20, 5);
        entries.insert(2, twice);
        running.stored(source.commit(entries)).await;
        store.holds_readings(20).await;
        let sites = store.lines("SELECT site_key, display_name FROM sites ORDER BY 1").await;
        assert_eq!(sites, ["1 North", "3 S"]);
        let refused = "SELECT position, output_index, table_name, content FROM refused_rows";
        let refused = store.rows(refused).await;
        assert_eq!(refused[0][..3], ["4", "1", "sites"]);
        let content: serde_json::Value = serde_json::from_str(&refused[0][3]).expect("JSON");
        assert_eq!((&content["site_key"], &content["display_name"]), (&2.into(), &"Another".into()));
        assert_eq!(refused.len(), 1);
    }

    async fn a_row_that_cannot_even_be_set_aside_is_an_outage_with_a_reason(store: Store) {
        let (mut source, mut running) = with_tables(&store).await;
        store.refuse_values("value = 0.0003").await;
        let (broken, mended) = match &store {
            Store::Postgres(_) => (
                "ALTER TABLE pulseward.refused_rows ADD CONSTRAINT none CHECK (position < 0)",
                "ALTER TABLE pulseward.refused_rows DROP CONSTRAINT none",
            ),
            Store::Sqlite(_) => (
                "CREATE TRIGGER none BEFORE INSERT ON refused_rows
                 BEGIN SELECT RAISE(ABORT, 'none'); END",
                "DROP TRIGGER none",
            ),
        };
        store.execute(broken).await;
        let last = source.commit(readings(0, 10, 5));
        let is_told = |state: &State| {
            matches!(&state.link, Link::Away { reason, .. } if reason.contains("to set it aside"))
        };
        let state = running.until("the reason to show", is_told).await;
        assert_eq!(state.rows_refused, 0);
        store.holds_readings(0).await;
        store.execute(mended).await;
        running.stored(last).await;
        assert_eq!(store.value("SELECT count(*) FROM readings").await, "9");
    }

    async fn no_row_is_blamed_for_a_table_that_is_not_as_it_should_be(store: Store) {
        let (mut source, mut running) = with_tables(&store).await;
        let prefix = if matches!(store, Store::Postgres(_)) { "pulseward." } else { "" };
        let rename = |from: &str, to: &str| {
            format!("ALTER TABLE {prefix}readings RENAME COLUMN {from} TO {to}")
        };
        store.execute(&rename("quality", "worth")).await;
        let last = source.commit(readings(0, 10, 5));
        let state = running
            .until("the outage to show", |state| matches!(state.link, Link::Away { .. }))
            .await;
        let Link::Away { reason, .. } = state.link else { unreachable!() };
        assert!(reason.contains("quality"), "{reason}");
        store.execute(&rename("worth", "quality")).await;
        running.stored(last).await;
        store.holds_readings(10).await;
        assert_eq!(store.value("SELECT count(*) FROM refused_rows").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_that_is_checked_at_commit_finds_its_row_too() {
    let store = Store::postgres().await;
    let (mut source, mut running) = with_tables(&store).await;
    let trigger = "
        CREATE FUNCTION pulseward.insane() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.display_name = 'Nowhere' THEN RAISE EXCEPTION 'no such place'; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER sane AFTER INSERT ON pulseward.sites
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pulseward.insane()";
    store.execute(trigger).await;
    let sites = vec![site(1, "a", "Somewhere"), site(2, "b", "Nowhere"), site(3, "c", "Here")];
    running.stored(source.commit(vec![sites])).await;
    assert_eq!(store.lines("SELECT site_id FROM sites ORDER BY 1").await, ["a", "c"]);
    let refused = store.lines("SELECT error_code, error, output_index FROM refused_rows").await;
    assert_eq!(refused, ["P0001 no such place 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_somebody_dropped_is_made_again_and_no_row_is_blamed() {
    let store = Store::postgres().await;
    let (mut source, mut running) = with_tables(&store).await;
    running.stored(source.commit(readings(0, 10, 5))).await;
    if store.is_hypertable().await {
        // TimescaleDB makes its chunks itself.
        return;
    }
    store.execute("DROP TABLE pulseward.readings_20260131").await;
    running.stored(source.commit(readings(0, 20, 5))).await;
    store.holds_readings(20).await;
    assert_eq!(store.value("SELECT count(*) FROM refused_rows").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_the_databases_encoding_lacks_is_set_aside_and_kept_whole() {
    let database = Database::create_like(
        &from_tests_run("PULSEWARD_TEST_POSTGRES_URL"),
        "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    .await;
    let store = Store::Postgres(database);
    let (mut source, mut running) = with_tables(&store).await;
    let sites = vec![site(1, "z", "Zürich"), site(2, "k", "東京")];
    running.stored(source.commit(vec![sites])).await;
    assert_eq!(store.lines("SELECT display_name FROM sites").await, ["Zürich"]);
    let refused = store.rows("SELECT error_code, content FROM refused_rows").await;
    assert_eq!(refused[0][0], "22P05");
    let content: serde_json::Value = serde_json::from_str(&refused[0][1]).expect("JSON");
    assert_eq!(content["display_name"], "東京");
}

/// A number that the driver finds too large for its column, before the server sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_too_narrow_refuses_only_what_does_not_fit() {
    let store = Store::postgres().await;
    let (mut source, running) = with_tables(&store).await;
    drop(running);
    store.execute("ALTER TABLE pulseward.redrives ALTER COLUMN number TYPE smallint").await;
    let mut running = Running::start(store.settings(), &source.journal);
    let (journal_id, partition) = (source.journal.journal_id(), source.journal.partition());
    let message = MessageId { journal_id, partition, position: Position(1) };
    let redriven = |number| {
        let (accepted, duplicate, refused) = (1, 0, 0);
        let told = RedrivenMessage { message, number, accepted, duplicate, refused };
        vec![Output::Redriven(Box::new(told))]
    };
    running.stored(source.commit(vec![redriven(7)])).await;
    running.stored(source.commit(vec![redriven(70_000)])).await;
    assert_eq!(store.lines("SELECT number FROM redrives").await, ["7"]);
    let refused = "SELECT error_code, table_name, content ->> 'number' FROM refused_rows";
    assert_eq!(store.lines(refused).await, ["22003 redrives 70000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_other_tables_can_be_put_back_as_operators_are_told() {
    let store = Store::postgres().await;
    let (mut source, mut running) = with_tables(&store).await;
    store.execute("ALTER TABLE pulseward.rejected_messages ADD CHECK (topic <> 'bad')").await;
    let reject = |topic: &str| {
        Output::Reject(Box::new(Reject {
            topic: topic.to_owned(),
            index: None,
            reason: RejectReason::MalformedPayload,
            detail: "\u{1f9ea}".to_owned(),
            count: 1,
        }))
    };
    running.stored(source.commit(vec![vec![reject("good")], vec![reject("bad")]])).await;
    assert_eq!(store.lines("SELECT topic FROM rejected_messages").await, ["good"]);
    store
        .execute(
            "ALTER TABLE pulseward.rejected_messages DROP CONSTRAINT
        rejected_messages_topic_check",
        )
        .await;
    let back = told_to_operators()[2].replace("alert_events", "rejected_messages");
    store.execute(&back).await;
    let rows =
        "SELECT topic, detail, payload, received_at FROM rejected_messages ORDER BY position";
    let rows = store.rows(rows).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][1..], rows[1][1..], "but for its topic the same message");
}
