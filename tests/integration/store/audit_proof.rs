//! The proof that the audit chain is: every field of every event, every pair of events, every event
//! by itself, every tail; and what erasures leave of it.

use pulseward::clock::SystemClock;
use pulseward::engine::input::Action;
use pulseward::position::Partition;
use pulseward::store::Writer;
use pulseward::store::audit::verify::{BrokenLink, ExportedHead, VerifiedChain};

use super::audit::{House, patient, stored, verified};
use super::on_both;
use super::stand::{Caring, Running, Source, Store};
use crate::support::wait::wait_until;

/// Events of the house that [`stored`] stores.
const EVENTS: u64 = 12;

/// The columns that are no part of an event: where in the journal it stood.
const OF_THE_STORE: [&str; 4] = ["journal_id", "partition", "position", "output_index"];

/// Every column of the table.
async fn columns(store: &Store) -> Vec<String> {
    let names = match store {
        Store::Postgres(_) => {
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = 'pulseward' AND table_name = 'audit_events' ORDER BY 1"
        }
        Store::Sqlite(_) => "SELECT name FROM pragma_table_info('audit_events') ORDER BY 1",
    };
    store.lines(names).await
}

/// Every other value that a column may be given, in SQL. A column that nobody thought of here fails
/// the test that walks all of them.
fn others(store: &Store, column: &str) -> Vec<String> {
    let text = |values: &[&str]| values.iter().map(|it| format!("'{it}'")).collect();
    let bytes = |count: usize| store.bytes(&"ab".repeat(count));
    match column {
        "number" => vec!["number + 100".to_owned()],
        "at" => match store {
            Store::Postgres(_) => vec!["at + interval '1 microsecond'".to_owned()],
            Store::Sqlite(_) => vec!["at + 1".to_owned(), "at - 1".to_owned()],
        },
        "subject" => text(&["nobody", "Anna", "anna "]),
        "role" => text(&["auditor"]),
        "peer" => text(&["", "192.0.2.8:50122"]),
        "method" => text(&["pulseward.v1.RegistryService/GetSite"]),
        "outcome" => text(&["closed"]),
        "reason" => text(&["X"]),
        "site_id" => text(&["west"]),
        "patients" => vec!["'[\"p-9\"]'".to_owned(), "NULL".to_owned()],
        "patient_count" => vec!["patient_count + 1".to_owned(), "NULL".to_owned()],
        "detail" => vec!["detail || 'x'".to_owned(), "NULL".to_owned()],
        "salt" => vec![bytes(16), "NULL".to_owned()],
        "commitment" | "digest" => vec![bytes(32)],
        other => panic!("{other} is a new column: is it part of the chain?"),
    }
}

/// What is named when a column of event `number` was changed.
fn named(column: &str, number: u64) -> BrokenLink {
    match column {
        "number" if number == EVENTS => BrokenLink::Missing { first: EVENTS, last: EVENTS + 99 },
        "number" => BrokenLink::Missing { first: number, last: number },
        "patients" | "patient_count" | "detail" | "salt" | "commitment" => {
            BrokenLink::DetailsChanged { number }
        }
        _ => BrokenLink::Changed { number },
    }
}

impl Store {
    /// Keeps the events beside the table.
    async fn keep(&self) {
        self.tamper("CREATE TABLE kept AS SELECT * FROM audit_events").await;
    }

    /// Puts what was kept back.
    async fn put_back(&self) {
        self.tamper("DELETE FROM audit_events").await;
        self.tamper("INSERT INTO audit_events SELECT * FROM kept").await;
    }
}

on_both! {
    async fn any_other_value_in_any_column_of_any_event_is_found_and_named(store: Store) {
        let house = stored(&store).await;
        store.keep().await;
        let columns = columns(&store).await;
        assert_eq!(columns.len(), 19, "{columns:?}");
        for column in columns.iter().filter(|it| !OF_THE_STORE.contains(&it.as_str())) {
            for other in others(&store, column) {
                for number in 1..=EVENTS {
                    let change = format!("UPDATE audit_events SET {column} = {other}
                        WHERE number = {number}");
                    store.tamper(&change).await;
                    let found = verified(&store, &[]).await;
                    assert_eq!(found, Err(named(column, number)), "{change}");
                    let restore = format!("DELETE FROM audit_events WHERE number IN
                        ({number}, {number} + 100)");
                    store.tamper(&restore).await;
                    let restore = format!("INSERT INTO audit_events
                        SELECT * FROM kept WHERE number = {number}");
                    store.tamper(&restore).await;
                }
            }
        }
        verified(&store, &[house.head()]).await.expect("whole again");
    }

    async fn any_two_events_that_change_places_are_found_at_the_first_of_them(store: Store) {
        let house = stored(&store).await;
        store.keep().await;
        for first in 1..=EVENTS {
            for second in first + 1..=EVENTS {
                let swap = format!("UPDATE audit_events SET number =
                    CASE number WHEN {first} THEN {second} + 1000 ELSE {first} + 1000 END
                    WHERE number IN ({first}, {second})");
                store.tamper(&swap).await;
                store.tamper("UPDATE audit_events SET number = number - 1000
                    WHERE number > 1000").await;
                let found = verified(&store, &[]).await;
                assert_eq!(found, Err(BrokenLink::Changed { number: first }), "{first}, {second}");
                store.put_back().await;
            }
        }
        verified(&store, &[house.head()]).await.expect("whole again");
    }

    async fn any_event_deleted_is_found_and_a_tail_by_a_head_of_any_time(store: Store) {
        let house = stored(&store).await;
        store.keep().await;
        let mut heads = vec![house.head()];
        for number in (1..EVENTS).rev() {
            store.tamper(&format!("DELETE FROM audit_events WHERE number = {number}")).await;
            let missing = BrokenLink::Missing { first: number, last: number };
            assert_eq!(verified(&store, &[]).await, Err(missing));
            // And everything behind it: nothing is missing in what is left.
            store.tamper(&format!("DELETE FROM audit_events WHERE number > {number}")).await;
            let head = match number {
                1 => None,
                _ => Some(verified(&store, &[]).await.expect("whole by itself").head),
            };
            let last = number - 1;
            for exported in &heads {
                let cut = BrokenLink::CutOff { last, expected: exported.head.number };
                if last > 0 {
                    assert_eq!(verified(&store, &[*exported]).await, Err(cut));
                }
            }
            let exported = head.map(|head| ExportedHead { partition: Partition::FIRST, head });
            heads.extend(exported);
            store.put_back().await;
        }
        verified(&store, &heads).await.expect("it holds all heads that there ever were");
    }

    async fn after_the_erasure_of_several_patients_the_chain_still_proves_the_rest(store: Store) {
        let mut source = Source::new();
        let writer = Writer::new(store.settings(), source.journal.clone(), SystemClock);
        let _caring = Caring::start(&writer);
        let mut running = Running::of(writer);
        let mut house = House::new();
        house.read("nora", &[0], "alone");
        house.read("nora", &[0, 1], "both of whom go");
        house.read("nora", &[2, 1], "one of whom goes");
        house.read("nora", &[2], "who stays");
        house.read("omar", &[3], "who stays");
        house.store(&mut source, &mut running).await;
        let before = house.head();
        for number in [0, 1] {
            let added_before = None;
            house.command(Action::ErasePatient { patient: patient(number), added_before });
        }
        house.store(&mut source, &mut running).await;
        let undone = "SELECT count(*) FROM erasures WHERE done_at IS NULL";
        let all = "SELECT count(*) FROM erasures";
        wait_until("the erasures to be done", async || {
            store.value(all).await == "2" && store.value(undone).await == "0"
        })
        .await;
        let chain = verified(&store, &[before, house.head()]).await.expect("whole");
        let VerifiedChain { erased, erased_spans, .. } = chain;
        // Both were added, read of, together and with another; and each erasure tells of itself.
        assert_eq!((erased, erased_spans), (7, vec![3..=4, 7..=9, 12..=13]));
        let kept = "SELECT number FROM audit_events WHERE salt IS NOT NULL ORDER BY 1";
        assert_eq!(store.lines(kept).await, ["1", "2", "5", "6", "10", "11"]);
        store.keep().await;
        for number in 1..=13 {
            let change = format!("UPDATE audit_events SET outcome = 'denied'
                WHERE number = {number}");
            store.tamper(&change).await;
            assert_eq!(verified(&store, &[]).await, Err(BrokenLink::Changed { number }));
            store.put_back().await;
            store.tamper(&format!("DELETE FROM audit_events WHERE number = {number}")).await;
            assert!(verified(&store, &[house.head()]).await.is_err(), "{number}");
            store.put_back().await;
        }
        // What is erased can't be written anew, not even with the right patients.
        let salt = store.bytes(&"07".repeat(16));
        store.tamper(&format!("UPDATE audit_events SET salt = {salt}, patients = '[\"p-9\"]',
            patient_count = 1, detail = 'alone' WHERE number = 7")).await;
        assert_eq!(verified(&store, &[]).await, Err(BrokenLink::DetailsChanged { number: 7 }));
    }
}
