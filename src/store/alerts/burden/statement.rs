//! The one statement that counts, in the words of both databases.
//!
//! It reads the alerts of the span once, by an index of when they were raised, makes a line of facts
//! for each, and counts those lines in several ways. Each way is a [`Section`] of the rows that come
//! back: all rows have the same columns, and a section leaves those empty that it does not need.
//!
//! How an alert was answered stands beside it ([`crate::store::row::ANSWER`]): no event is read.

use std::time::Duration;

use super::{BURDEN_LISTED_MAX, BurdenQuery, SELF_ENDED_WITHIN};
use crate::clock::Timestamp;
use crate::engine::alerts::flood;
use crate::engine::input::Sites;
use crate::store::alerts::{Select, at_sites, listed, tables, visible};
use crate::store::audit::Statement;
use crate::store::ledger::Type;
use crate::store::row::Cell;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// All alerts of a kind.
    Kinds = 1,
    /// How long it took to acknowledge those of a kind, or of both.
    Waits = 2,
    /// Alerts of a rule.
    Rules = 3,
    /// Alerts of a kind in an hour.
    Hours = 4,
    /// Alerts of one of the patients with most.
    Patients = 5,
    /// The tenth of patients with most.
    Tenth = 6,
    /// Patients with devices.
    Monitored = 7,
    /// What is told apart.
    Apart = 8,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Kinds,
        Self::Waits,
        Self::Rules,
        Self::Hours,
        Self::Patients,
        Self::Tenth,
        Self::Monitored,
        Self::Apart,
    ];

    /// The section of this number.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|section| *section as i64 == number)
    }
}

/// The columns of every row: its section, two words and a number that say what it counts, and
/// counts.
pub(super) const COLUMNS: &[Type] = &[
    Type::Int,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
];

/// What is counted of some lines of facts: as many as a row has counts.
const COUNTS: &str = "count(*) AS alerts,
    count(*) FILTER (WHERE priority = 3) AS high,
    count(*) FILTER (WHERE priority = 2) AS medium,
    count(*) FILTER (WHERE priority = 1) AS low,
    count(wait) AS acknowledged,
    count(*) FILTER (WHERE wait IS NULL AND is_ended) AS ended,
    count(*) FILTER (WHERE wait IS NULL AND NOT is_ended) AS still_open,
    count(*) FILTER (WHERE self_ended) AS self_ended,
    count(*) FILTER (WHERE paused) AS paused,
    count(*) FILTER (WHERE raised_paused) AS raised_paused";
/// The same, where they were counted before.
const COUNTED: [&str; 10] = [
    "alerts",
    "high",
    "medium",
    "low",
    "acknowledged",
    "ended",
    "still_open",
    "self_ended",
    "paused",
    "raised_paused",
];

const NO_WORD: &str = "CAST(NULL AS text)";
const NO_NUMBER: &str = "CAST(NULL AS bigint)";

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// Counts what a query asks for.
pub(super) fn statement<D: Select>(query: &BurdenQuery) -> Statement {
    let mut statement = Statement::new(D::MARK);
    let parts = [
        known::<D>(query, &mut statement),
        facts(query),
        worn::<D>(query, &mut statement),
        MONITORED.to_owned(),
        PEOPLE.to_owned(),
        by_rule(),
        ranked::<D>(),
    ];
    let sections =
        [kinds(), waits(), rules::<D>(), hours(), patients(), tenth(), time_monitored(), apart()];
    let (parts, sections) = (parts.join(",\n"), sections.join("\nUNION ALL\n"));
    statement.sql = format!("WITH {parts}\n{sections}\nORDER BY section, number");
    statement
}

/// Everything raised in the span that the caller may see, the service's own alerts included.
fn known<D: Select>(query: &BurdenQuery, statement: &mut Statement) -> String {
    let mut conditions = visible(&query.scope, D::PREFIX, statement);
    if !query.sites.is_empty() {
        conditions.push(at_sites(&query.sites, statement));
    }
    let from = statement.value(Cell::Time(query.span.start));
    let until = statement.value(Cell::Time(query.span.end));
    conditions.push(format!("a.raised_at >= {from} AND a.raised_at < {until}"));
    let (tables, rank, conditions) =
        (tables(D::PREFIX), rank("a.priority"), conditions.join(" AND "));
    let [raised, acknowledged, ended] =
        ["a.raised_at", "a.acknowledged_at", "a.condition_ended_at"].map(D::micros);
    format!(
        "known AS MATERIALIZED (
            SELECT a.kind, a.rule_id, a.vital, a.patient_key, {raised} AS raised,
                   {acknowledged} AS acknowledged, {ended} AS ended,
                   coalesce(a.priority_reached, {rank}) AS priority,
                   a.condition = 'inactive' AS is_ended, a.paused_at IS NOT NULL AS paused,
                   a.raised_paused, a.retrospective, a.covered,
                   coalesce(s.site_id, a.site_id) IS NOT NULL AS is_somewhere
            FROM {tables} WHERE {conditions})"
    )
}

/// A line for each alert that the ward could hear.
fn facts(query: &BurdenQuery) -> String {
    let [offset, within] = [query.hour_offset, SELF_ENDED_WITHIN].map(micros);
    format!(
        "facts AS MATERIALIZED (
            SELECT kind, rule_id, vital, patient_key, priority, acknowledged - raised AS wait,
                   raised - ((raised - {offset}) % {HOUR} + {HOUR}) % {HOUR} AS hour, is_ended,
                   (ended - raised <= {within} AND acknowledged IS NULL AND NOT paused)
                       AS self_ended, paused, raised_paused
            FROM known WHERE is_somewhere AND NOT retrospective)"
    )
}

/// Each patient's bindings, cut to the span.
fn worn<D: Select>(query: &BurdenQuery, statement: &mut Statement) -> String {
    let mut conditions = vec![format!(
        "NOT EXISTS (SELECT 1 FROM {}erasures e WHERE e.patient_key = b.patient_key)",
        D::PREFIX
    )];
    if let Sites::Only(scope) = &query.scope {
        conditions.push(format!("s.site_id IN ({})", listed(scope, statement)));
    }
    if !query.sites.is_empty() {
        conditions.push(format!("s.site_id IN ({})", listed(&query.sites, statement)));
    }
    let (from, until) = (query.span.start, query.span.end.min(query.as_of));
    let starts = clipped(&D::micros("b.bound_from"), '<', from);
    let stops = clipped(&D::micros("b.bound_until"), '>', until);
    let (from, until) = (statement.value(Cell::Time(from)), statement.value(Cell::Time(until)));
    conditions.push(format!(
        "b.bound_from < {until} AND (b.bound_until IS NULL OR b.bound_until > {from})"
    ));
    let (prefix, conditions) = (D::PREFIX, conditions.join(" AND "));
    format!(
        "worn AS (
            SELECT b.patient_key, {starts} AS starts, {stops} AS stops
            FROM {prefix}bindings b JOIN {prefix}patients p ON p.patient_key = b.patient_key
            JOIN {prefix}sites s ON s.site_key = p.site_key
            WHERE {conditions})"
    )
}

/// A time, or the bound of the span if it lies beyond, or never comes.
fn clipped(time: &str, beyond: char, bound: Timestamp) -> String {
    let bound = bound.micros();
    format!("CASE WHEN {time} IS NULL OR {time} {beyond} {bound} THEN {bound} ELSE {time} END")
}

/// For how long each patient had a device. Of bindings by their beginning, each adds what lies
/// behind the ends of all before it, so that two at once count once.
const MONITORED: &str = "monitored AS MATERIALIZED (
    SELECT patient_key, sum(CASE WHEN reached IS NULL OR reached <= starts THEN stops - starts
                                 WHEN reached < stops THEN stops - reached ELSE 0 END) AS time
    FROM (SELECT patient_key, starts, stops,
                 max(stops) OVER (PARTITION BY patient_key ORDER BY starts, stops
                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
          FROM worn WHERE stops > starts) w
    GROUP BY patient_key)";

/// How many patients there are to speak of, and a tenth of them, rounded up.
const PEOPLE: &str = "people AS (
    SELECT count(*) AS patients, (count(*) + 9) / 10 AS tenth
    FROM (SELECT patient_key FROM monitored
          UNION SELECT patient_key FROM facts WHERE patient_key IS NOT NULL) p)";

/// Alerts by their rules; kinds are summed up from these.
fn by_rule() -> String {
    format!(
        "by_rule AS MATERIALIZED (
            SELECT kind, rule_id, CAST(vital AS bigint) AS vital, {COUNTS} FROM facts
            GROUP BY kind, rule_id, vital)"
    )
}

/// Patients by their alerts, most first.
fn ranked<D: Select>() -> String {
    let (bytewise, prefix) = (D::BYTEWISE, D::PREFIX);
    format!(
        "ranked AS MATERIALIZED (
            SELECT f.*, p.patient_id, s.site_id,
                   row_number() OVER (ORDER BY f.alerts DESC, p.patient_id {bytewise}) AS place
            FROM (SELECT patient_key, {COUNTS},
                         count(*) FILTER (WHERE kind = 'technical') AS technical
                  FROM facts WHERE patient_key IS NOT NULL GROUP BY patient_key) f
            JOIN {prefix}patients p ON p.patient_key = f.patient_key
            JOIN {prefix}sites s ON s.site_key = p.site_key)"
    )
}

/// The first columns of a section's rows.
fn head(section: Section, [word, other]: [&str; 2], number: &str) -> String {
    let section = section as i64;
    format!(
        "SELECT CAST({section} AS bigint) AS section, {word} AS word, {other} AS other,
                {number} AS number"
    )
}

/// Counts, and zeros in the place of those that a section does not have.
fn counts<const N: usize>(counts: [&str; N]) -> String {
    let counts = counts.into_iter().map(|count| format!("CAST({count} AS bigint)"));
    let zeros = std::iter::repeat_n("0".to_owned(), COUNTED.len() - N);
    counts.chain(zeros).collect::<Vec<_>>().join(", ")
}

fn kinds() -> String {
    let head = head(Section::Kinds, ["kind", NO_WORD], NO_NUMBER);
    let sums = COUNTED.map(|count| format!("CAST(sum({count}) AS bigint)")).join(", ");
    format!("{head}, {sums} FROM by_rule GROUP BY kind")
}

/// The nearest rank: the first of the times in order that has as many at or before it.
fn waits() -> String {
    let head = head(Section::Waits, ["kind", NO_WORD], NO_NUMBER);
    let counts = counts([
        "min(wait) FILTER (WHERE place * 2 >= total)",
        "min(wait) FILTER (WHERE place * 10 >= total * 9)",
    ]);
    format!(
        "{head}, {counts}
         FROM (SELECT kind, wait, row_number() OVER (PARTITION BY kind ORDER BY wait) AS place,
                      count(*) OVER (PARTITION BY kind) AS total
               FROM (SELECT kind, wait FROM facts WHERE wait IS NOT NULL
                     UNION ALL SELECT {NO_WORD}, wait FROM facts WHERE wait IS NOT NULL) f) w
         GROUP BY kind"
    )
}

fn rules<D: Select>() -> String {
    let head = head(Section::Rules, ["kind", "rule_id"], "vital");
    let (counts, bytewise) = (COUNTED.join(", "), D::BYTEWISE);
    format!(
        "{head}, {counts}
         FROM (SELECT * FROM by_rule ORDER BY alerts DESC, rule_id {bytewise}, vital, kind
               LIMIT {BURDEN_LISTED_MAX}) r"
    )
}

fn hours() -> String {
    let head = head(Section::Hours, ["kind", NO_WORD], "hour");
    format!("{head}, {COUNTS} FROM facts GROUP BY kind, hour")
}

fn patients() -> String {
    let head = head(Section::Patients, ["patient_id", "site_id"], "technical");
    let counts = COUNTED.join(", ");
    format!(
        "{head}, {counts} FROM ranked, people
         WHERE place <= tenth AND place <= {BURDEN_LISTED_MAX}"
    )
}

fn tenth() -> String {
    let head = head(Section::Tenth, [NO_WORD, NO_WORD], NO_NUMBER);
    let counts = counts([
        "patients",
        "tenth",
        "(SELECT coalesce(sum(alerts), 0) FROM ranked)",
        "(SELECT coalesce(sum(alerts), 0) FROM ranked WHERE place <= tenth)",
    ]);
    format!("{head}, {counts} FROM people")
}

fn time_monitored() -> String {
    let head = head(Section::Monitored, [NO_WORD, NO_WORD], NO_NUMBER);
    let counts = counts(["count(*)", "coalesce(sum(time), 0)"]);
    format!("{head}, {counts} FROM monitored")
}

fn apart() -> String {
    let head = head(Section::Apart, [NO_WORD, NO_WORD], NO_NUMBER);
    let covered = format!(
        "coalesce(sum(covered) FILTER (WHERE rule_id = '{}' AND is_somewhere), 0)",
        flood::RULE
    );
    let counts = counts([
        "count(*) FILTER (WHERE retrospective AND is_somewhere)",
        "count(*) FILTER (WHERE NOT is_somewhere)",
        &covered,
    ]);
    format!("{head}, {counts} FROM known")
}

/// A priority as a number, to be compared.
fn rank(column: &str) -> String {
    format!("CASE {column} WHEN 'high' THEN 3 WHEN 'medium' THEN 2 ELSE 1 END")
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
