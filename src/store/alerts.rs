//! The way to read alerts: page by page, latest onset first; and one with its story
//! ([`story`]); and counted over a span of time ([`burden`]).
//!
//! Promises: a caller sees the alerts of patients who are at their sites *now*, those of gateways at
//! their sites, and those of the service itself; decided inside the statement that reads. An alert
//! of a patient who was erased is nobody's, also before its row is gone. Pages together hold each
//! alert once that was there when the first was read: a page begins behind the last alert of the one
//! before, in an order that never changes.
//!
//! What stands here is as old as the store is behind. Whoever must not show what somebody else has
//! seen change waits for the store first.
//!
//! A page can be cut of open alerts from elsewhere too ([`Page::cut`]), in the same order and by the
//! same tokens.

pub mod burden;
mod read;
pub mod story;

use std::borrow::Borrow;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub(super) use self::read::{ALERT, alert, alert_columns};
pub use self::story::{AlertStory, Provenance};
use super::audit::Statement;
use super::history::{HistoryError, unavailable};
use super::ledger::{Cells, Type};
use super::page::{self, Digested};
use super::row::Cell;
use crate::clock::Timestamp;
use crate::engine::alerts::Alert;
use crate::engine::input::Sites;
use crate::vitals::{PatientId, Priority, RuleId, SiteId};

/// A page holds no more alerts than this, however many are asked for: with everything that one may
/// carry, it stays well below 4 MiB.
pub const ALERTS_PAGE_SIZE_MAX: u32 = 1_000;

/// Which alerts, and which page of them. Conditions are joined by "and".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsQuery {
    /// The sites that the caller may see.
    pub scope: Sites,
    /// Only of these sites, beside those of the service itself; of all if there are none.
    pub sites: Vec<SiteId>,
    /// Only of these patients, beside those of the service itself; of all if there are none.
    pub patients: Vec<PatientId>,
    /// Only of these rules; of all if there are none.
    pub rules: Vec<RuleId>,
    /// Only of this priority and higher ones, as it is or was at the end.
    pub priority_min: Priority,
    /// Only those that are over, or that are not; all if it is `None`.
    pub is_over: Option<bool>,
    /// With their onset from here on, inclusive.
    pub from: Timestamp,
    /// With their onset before this.
    pub until: Timestamp,
    /// Alerts of a page, from 1 to [`ALERTS_PAGE_SIZE_MAX`]; what lies outside is brought inside. It
    /// may change from page to page.
    pub page_size: u32,
    /// The token of the page before; it belongs to the same query.
    pub page_token: Option<String>,
}

/// A page of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsPage<A = Alert> {
    /// The alerts, latest onset first.
    pub alerts: Vec<A>,
    /// What asks for the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// A page to be made.
#[derive(Clone, Debug)]
pub struct Page {
    /// Behind which alert it begins, if not at the latest.
    after: Option<Place>,
    size: u32,
    digest: Digested,
}

/// What alerts are ordered by, descending. Neither ever changes.
type Place = (Timestamp, Uuid);

impl Page {
    /// The page that a query asks for.
    ///
    /// # Errors
    /// [`HistoryError::InvalidPageToken`] if its token is of another query, or none of ours.
    pub fn of(query: &AlertsQuery) -> Result<Self, HistoryError> {
        let digest = digest(query);
        let after = match &query.page_token {
            None => None,
            Some(token) => Some(decode(token, digest).ok_or(HistoryError::InvalidPageToken)?),
        };
        let size = query.page_size.clamp(1, ALERTS_PAGE_SIZE_MAX);
        Ok(Self { after, size, digest })
    }

    /// The page, of all alerts that the query picks.
    #[must_use]
    pub fn cut<A: Borrow<Alert>>(&self, mut alerts: Vec<A>) -> AlertsPage<A> {
        alerts.retain(|alert| self.after.is_none_or(|after| place(alert.borrow()) < after));
        alerts.sort_unstable_by_key(|alert| std::cmp::Reverse(place(alert.borrow())));
        self.filled(alerts)
    }

    /// The page, of the alerts behind its beginning, in order; at least one more than it shows, if
    /// there are more.
    fn filled<A: Borrow<Alert>>(&self, mut alerts: Vec<A>) -> AlertsPage<A> {
        let has_more = alerts.len() > self.size as usize;
        alerts.truncate(self.size as usize);
        let last = alerts.last().filter(|_| has_more).map(|alert| place(alert.borrow()));
        AlertsPage { alerts, next_page_token: last.map(|last| encode(last, self.digest)) }
    }
}

fn place(alert: &Alert) -> Place {
    (alert.onset, alert.id.0)
}

/// Of everything that decides which alerts there are. Who asks is decided anew for every page.
fn digest(query: &AlertsQuery) -> Digested {
    let mut hash = Sha256::new();
    hash.update(query.from.micros().to_be_bytes());
    hash.update(query.until.micros().to_be_bytes());
    hash.update([query.priority_min as u8, query.is_over.map_or(2, u8::from)]);
    // No id has a slash.
    for list in [texts(&query.sites), texts(&query.patients), texts(&query.rules)] {
        list.iter().for_each(|id| hash.update(format!("{id}/")));
        hash.update("//");
    }
    let full: [u8; 32] = hash.finalize().into();
    *full.first_chunk().expect("a digest has 32 bytes")
}

fn texts(ids: &[impl ToString]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn encode((onset, id): Place, digest: Digested) -> String {
    page::seal(digest, &[&onset.micros().to_be_bytes(), id.as_bytes()])
}

fn decode(token: &str, digest: Digested) -> Option<Place> {
    let place = page::open(token, digest)?;
    let (onset, id) = place.split_first_chunk()?;
    let onset = Timestamp::from_micros(i64::from_be_bytes(*onset))?;
    Some((onset, Uuid::from_slice(id).ok()?))
}

/// A database that is asked by a statement of ours.
pub(super) trait Select: Sync {
    /// The schema with its dot.
    const PREFIX: &'static str;
    /// What begins a numbered parameter.
    const MARK: char;
    /// What makes texts ordered by their bytes, behind an expression.
    const BYTEWISE: &'static str;

    /// The microseconds since 1970 of a time, in SQL.
    fn micros(time: &str) -> String;

    /// The rows of a statement. Cancel safe.
    fn select(
        &self,
        statement: Statement,
        types: &'static [Type],
    ) -> impl Future<Output = Result<Vec<Cells>, HistoryError>> + Send;
}

/// A page of alerts.
pub(super) async fn list<D: Select>(
    database: &D,
    query: &AlertsQuery,
) -> Result<AlertsPage, HistoryError> {
    let page = Page::of(query)?;
    let rows = database.select(statement::<D>(query, &page), ALERT).await?;
    let alerts = rows.into_iter().map(|mut row| alert(&mut row)).collect::<Result<_, _>>();
    Ok(page.filled(alerts.map_err(|error| unavailable(error.to_string()))?))
}

/// The alerts behind the page's beginning, one more than it shows. Only the conditions that are
/// wanted stand in it, so that each combination gets a plan of its own.
fn statement<D: Select>(query: &AlertsQuery, page: &Page) -> Statement {
    let mut statement = Statement::new(D::MARK);
    let (columns, tables) = (alert_columns!("coalesce(s.site_id, a.site_id)"), tables(D::PREFIX));
    let mut conditions = visible(&query.scope, D::PREFIX, &mut statement);
    conditions.extend(wanted(query, &mut statement));
    if let Some((onset, id)) = page.after {
        let (onset, id) = (statement.value(Cell::Time(onset)), statement.value(Cell::Uuid(id)));
        conditions.push(format!("(a.onset, a.alert_id) < ({onset}, {id})"));
    }
    let conditions = conditions.join(" AND ");
    let limit = statement.value(Cell::Int(i64::from(page.size) + 1));
    statement.sql = format!(
        "SELECT {columns} FROM {tables} WHERE {conditions}
         ORDER BY a.onset DESC, a.alert_id DESC LIMIT {limit}"
    );
    statement
}

/// Alerts with their patients, and where those are.
fn tables(prefix: &str) -> String {
    format!(
        "{prefix}alerts a LEFT JOIN {prefix}patients p ON p.patient_key = a.patient_key
         LEFT JOIN {prefix}sites s ON s.site_key = p.site_key"
    )
}

/// What a caller may see.
fn visible(scope: &Sites, prefix: &str, statement: &mut Statement) -> Vec<String> {
    let mut conditions = vec![
        // A patient's row stands before the first of their alerts.
        "(a.patient_key IS NULL OR p.patient_key IS NOT NULL)".to_owned(),
        format!(
            "NOT EXISTS (SELECT 1 FROM {prefix}erasures e WHERE e.patient_key = a.patient_key)"
        ),
    ];
    if let Sites::Only(sites) = scope {
        conditions.push(at_sites(sites, statement));
    }
    conditions
}

/// An alert of the service itself is at no site, and everybody's.
fn at_sites(sites: &[SiteId], statement: &mut Statement) -> String {
    let sites = listed(sites, statement);
    format!(
        "(coalesce(s.site_id, a.site_id) IS NULL OR coalesce(s.site_id, a.site_id) IN ({sites}))"
    )
}

/// What a caller asked for, beside what of it may be seen.
fn wanted(query: &AlertsQuery, statement: &mut Statement) -> Vec<String> {
    let from = statement.value(Cell::Time(query.from));
    let until = statement.value(Cell::Time(query.until));
    let mut conditions = vec![format!("a.onset >= {from} AND a.onset < {until}")];
    if !query.sites.is_empty() {
        conditions.push(at_sites(&query.sites, statement));
    }
    if !query.patients.is_empty() {
        let patients = listed(&query.patients, statement);
        // An alert of a gateway is not about single patients.
        conditions.push(format!(
            "(p.patient_id IN ({patients}) OR (a.patient_key IS NULL AND a.site_id IS NULL))"
        ));
    }
    if !query.rules.is_empty() {
        conditions.push(format!("a.rule_id IN ({})", listed(&query.rules, statement)));
    }
    if query.priority_min > Priority::Low {
        let names = Priority::ALL.into_iter().filter(|priority| *priority >= query.priority_min);
        let names: Vec<_> = names.map(|priority| priority.name().to_owned()).collect();
        conditions.push(format!("a.priority IN ({})", listed(&names, statement)));
    }
    match query.is_over {
        Some(true) => conditions.push("a.is_over".to_owned()),
        Some(false) => conditions.push("NOT a.is_over".to_owned()),
        None => {}
    }
    conditions
}

/// Parameters for a list of texts. `IN ()` is not SQL everywhere, and nobody's id is null.
fn listed(texts: &[impl ToString], statement: &mut Statement) -> String {
    let marks = texts.iter().map(|text| statement.value(Cell::Text(text.to_string())));
    let marks: Vec<_> = marks.collect();
    if marks.is_empty() { "NULL".to_owned() } else { marks.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::alerts::{AlertId, AlertKind, Condition, Signal};
    use crate::engine::profile::Scope;

    fn query() -> AlertsQuery {
        AlertsQuery {
            scope: Sites::All,
            sites: Vec::new(),
            patients: Vec::new(),
            rules: Vec::new(),
            priority_min: Priority::Low,
            is_over: Some(false),
            from: Timestamp::MIN,
            until: Timestamp::MAX,
            page_size: 2,
            page_token: None,
        }
    }

    fn alert_of(onset: i64, number: u128) -> Arc<Alert> {
        let at = Timestamp::from_seconds(onset);
        Arc::new(Alert {
            id: AlertId(Uuid::from_u128(number)),
            kind: AlertKind::Technical,
            patient: None,
            patient_key: None,
            site: None,
            device: None,
            rule: RuleId::new("hr").expect("an id"),
            rule_version: 0,
            scope: Scope::Default,
            vital: None,
            limit: None,
            score: None,
            priority: Priority::Low,
            condition: Condition::Active,
            signal: Signal::On,
            onset: at,
            raised_at: at,
            ended_at: None,
            retrospective: false,
            delayed: false,
            unconfirmed: false,
            escalation_level: 0,
            assignee: None,
            covered: 0,
            revision: 1,
            risen_in: 1,
        })
    }

    #[test]
    fn pages_follow_each_other_latest_onset_first_and_none_is_told_twice() {
        let alerts = [(1, 7), (5, 1), (3, 2), (3, 9), (3, 4)];
        let alerts: Vec<_> = alerts.map(|(onset, number)| alert_of(onset, number)).to_vec();
        let mut query = query();
        let mut told = Vec::new();
        loop {
            let page = Page::of(&query).expect("a page").cut(alerts.clone());
            told.push(page.alerts.iter().map(|alert| alert.id.0.as_u128()).collect::<Vec<_>>());
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        assert_eq!(told, [vec![1, 9], vec![4, 2], vec![7]]);
    }

    #[test]
    fn a_token_belongs_to_one_query() {
        let alerts = vec![alert_of(1, 1), alert_of(2, 2), alert_of(3, 3)];
        let token = Page::of(&query()).expect("a page").cut(alerts).next_page_token;
        let with = |change: fn(&mut AlertsQuery)| {
            let mut query = AlertsQuery { page_token: token.clone(), ..query() };
            change(&mut query);
            Page::of(&query).map(|page| page.size)
        };
        assert_eq!(with(|query| query.page_size = 9), Ok(9));
        assert_eq!(with(|query| query.scope = Sites::Only(vec![])), Ok(2));
        let refused = Err(HistoryError::InvalidPageToken);
        assert_eq!(with(|query| query.is_over = None), refused);
        assert_eq!(with(|query| query.is_over = Some(true)), refused);
        assert_eq!(with(|query| query.sites = vec!["x".parse().expect("an id")]), refused);
        assert_eq!(with(|query| query.patients = vec!["x".parse().expect("an id")]), refused);
        assert_eq!(with(|query| query.rules = vec!["x".parse().expect("an id")]), refused);
        assert_eq!(with(|query| query.priority_min = Priority::High), refused);
        assert_eq!(with(|query| query.until = Timestamp::EPOCH), refused);
        assert_eq!(with(|query| query.page_token = Some("x".repeat(60))), refused);
        assert_eq!(with(|query| query.page_token = Some(String::new())), refused);
    }
}
