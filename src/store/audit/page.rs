//! A page of audit events: which it is, the statement that reads it, and the token of the next.
//!
//! A token holds a version, a digest of the query it belongs to, and the place behind which its
//! page begins. It grants nothing: who may see what is decided anew for every page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::{AUDIT_PAGE_SIZE_MAX, AuditPage, AuditQuery, COLUMNS, Dialect, RawAudit, Statement};
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::store::history::HistoryError;
use crate::store::row::{self, Cell};
use crate::vitals::{PatientId, SiteId};

/// And, beyond its first event, no more bytes: what is sent to a caller stays below 4 MiB with all
/// that surrounds it.
const PAGE_BYTES_MAX: i64 = 2 << 20;
/// What an event takes beside its details, at most.
const EVENT_BYTES: i64 = 768;

/// A page to be read.
#[derive(Clone, Debug)]
pub(in crate::store) struct Page {
    /// Behind which event it begins, if not at the latest.
    after: Option<Place>,
    size: u32,
    digest: [u8; DIGEST_LENGTH],
}

/// What events are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: Timestamp,
    partition: i16,
    number: i64,
}

const VERSION: u8 = 1;
const DIGEST_LENGTH: usize = 12;

impl Page {
    /// The page that a query asks for.
    pub(in crate::store) fn of(query: &AuditQuery) -> Result<Self, HistoryError> {
        let digest = digest(query);
        let after = match &query.page_token {
            None => None,
            Some(token) => Some(decode(token, digest).ok_or(HistoryError::InvalidPageToken)?),
        };
        Ok(Self { after, size: query.page_size.clamp(1, AUDIT_PAGE_SIZE_MAX), digest })
    }

    /// The statement that reads it: first how many events there are from its beginning on (or more
    /// than fit), then an event. Only the filters that are wanted stand in it, so that each
    /// combination gets a plan of its own.
    pub(in crate::store) fn statement(&self, query: &AuditQuery, dialect: &Dialect) -> Statement {
        let mut statement = Statement::new(dialect.mark);
        let filters = self.filters(query, &mut statement).join(" AND ");
        let prefix = dialect.prefix;
        let limit = statement.value(Cell::Int(i64::from(self.size) + 1));
        let size = statement.value(Cell::Int(self.size.into()));
        let latest = |about: &String| {
            format!(
                "SELECT * FROM (
                    SELECT e.* FROM {prefix}audit_events e WHERE {filters}{about}
                    ORDER BY e.at DESC, e.partition DESC, e.number DESC LIMIT {limit}) l"
            )
        };
        let about = about(query.patient.as_ref(), dialect, &mut statement);
        let found: Vec<_> = about.iter().map(latest).collect();
        let found = found.join(" UNION ALL ");
        statement.sql = format!(
            "WITH found AS MATERIALIZED (
                SELECT * FROM ({found}) f
                ORDER BY f.at DESC, f.partition DESC, f.number DESC LIMIT {limit}
            ), placed AS (
                SELECT f.*, row_number() OVER latest_first AS place,
                       sum({EVENT_BYTES} + length(coalesce(CAST(f.patients AS text), ''))
                           + length(coalesce(f.detail, ''))) OVER latest_first AS bytes
                FROM found f
                WINDOW latest_first AS (ORDER BY f.at DESC, f.partition DESC, f.number DESC)
            )
            SELECT {COLUMNS}, (SELECT count(*) FROM found) FROM placed e
            WHERE e.place <= {size} AND (e.place = 1 OR e.bytes <= {PAGE_BYTES_MAX})
            ORDER BY e.at DESC, e.partition DESC, e.number DESC"
        );
        statement
    }

    fn filters(&self, query: &AuditQuery, statement: &mut Statement) -> Vec<String> {
        let from = statement.value(Cell::Time(query.from));
        let until = statement.value(Cell::Time(query.until));
        let mut filters = vec![format!("e.at >= {from} AND e.at < {until}")];
        if let Sites::Only(sites) = &query.sites {
            let site = |site: &SiteId| statement.value(Cell::Text(site.as_str().to_owned()));
            let sites: Vec<_> = sites.iter().map(site).collect();
            // `IN ()` is not SQL everywhere, and nobody's id is null.
            let listed = if sites.is_empty() { "NULL".to_owned() } else { sites.join(", ") };
            filters.push(format!("e.site_id IN ({listed})"));
        }
        if let Some(subject) = &query.subject {
            let subject = statement.value(Cell::Text(subject.clone()));
            filters.push(format!("e.subject = {subject}"));
        }
        if let Some(after) = self.after {
            let at = statement.value(Cell::Time(after.at));
            let partition = statement.value(Cell::Int(after.partition.into()));
            let number = statement.value(Cell::Int(after.number));
            filters.push(format!("(e.at, e.partition, e.number) < ({at}, {partition}, {number})"));
        }
        filters
    }

    /// The page that these rows make, of `found` events that there are from its beginning on (or
    /// more than fit).
    pub(in crate::store) fn filled(&self, rows: Vec<RawAudit>, found: i64) -> AuditPage {
        let last = rows.last().map(|row| Place {
            at: row.at,
            partition: row.key.partition,
            number: row.key.number,
        });
        let has_more = usize::try_from(found).is_ok_and(|found| found > rows.len());
        AuditPage {
            events: rows.into_iter().map(|row| row.stored().1).collect(),
            next_page_token: last.filter(|_| has_more).map(|last| encode(last, self.digest)),
        }
    }
}

/// Whether an event is about a patient, in parts that no event has in common, each of which has an
/// index. In SQLite they are two, because there a list can't be indexed by its elements: the first
/// of those whom an event is about, and, of the few events that are about several, the others.
fn about(patient: Option<&PatientId>, dialect: &Dialect, statement: &mut Statement) -> Vec<String> {
    let Some(patient) = patient else { return vec![String::new()] };
    if dialect.has_containment {
        let list = row::patients_json(std::iter::once(patient.as_str()));
        let list = statement.value(Cell::Json(list));
        return vec![format!(" AND e.patients @> {list}")];
    }
    let patient = statement.value(Cell::Text(patient.as_str().to_owned()));
    vec![
        format!(" AND e.patients ->> 0 = {patient}"),
        format!(
            " AND json_array_length(e.patients) > 1 AND e.patients ->> 0 <> {patient}
              AND EXISTS (SELECT 1 FROM json_each(e.patients) WHERE value = {patient})"
        ),
    ]
}

/// Of everything that decides which events there are. Who asks is decided anew for every page.
fn digest(query: &AuditQuery) -> [u8; DIGEST_LENGTH] {
    let mut hash = Sha256::new();
    hash.update(query.from.micros().to_be_bytes());
    hash.update(query.until.micros().to_be_bytes());
    // No id has a slash; of the subject, which comes last, anything may be part.
    hash.update(query.patient.as_ref().map_or("", PatientId::as_str));
    hash.update("/");
    hash.update([u8::from(query.subject.is_some())]);
    hash.update(query.subject.as_deref().unwrap_or_default());
    let full: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(&full[..DIGEST_LENGTH]);
    digest
}

fn encode(place: Place, digest: [u8; DIGEST_LENGTH]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(digest);
    bytes.extend(place.at.micros().to_be_bytes());
    bytes.extend(place.partition.to_be_bytes());
    bytes.extend(place.number.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(token: &str, digest: [u8; DIGEST_LENGTH]) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (theirs, rest) = rest.split_first_chunk::<DIGEST_LENGTH>()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (partition, rest) = rest.split_first_chunk()?;
    if *version != VERSION || *theirs != digest {
        return None;
    }
    Some(Place {
        at: Timestamp::from_micros(i64::from_be_bytes(*at))?,
        partition: i16::from_be_bytes(*partition),
        number: i64::from_be_bytes(rest.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Partition;
    use crate::store::audit::ChainKey;

    fn query() -> AuditQuery {
        AuditQuery {
            sites: Sites::All,
            subject: None,
            patient: None,
            from: Timestamp::MIN,
            until: Timestamp::MAX,
            page_size: 2,
            page_token: None,
        }
    }

    fn raw(number: i64) -> RawAudit {
        RawAudit {
            key: ChainKey { number, ..ChainKey::before(Partition::FIRST) },
            at: Timestamp::from_seconds(number),
            subject: String::new(),
            role: None,
            peer: String::new(),
            method: String::new(),
            outcome: String::new(),
            reason: String::new(),
            site: None,
            patients: None,
            patient_count: None,
            detail: None,
            salt: None,
            commitment: Vec::new(),
            digest: Vec::new(),
        }
    }

    #[test]
    fn the_next_page_begins_behind_the_last_event_and_the_last_page_has_no_next() {
        let page = Page::of(&query()).expect("a page");
        let token = page.filled(vec![raw(9), raw(8)], 3).next_page_token;
        let next = AuditQuery { page_token: token, ..query() };
        let place = Place { at: Timestamp::from_seconds(8), partition: 0, number: 8 };
        assert_eq!(Page::of(&next).expect("a page").after, Some(place));
        assert_eq!(page.filled(vec![raw(9)], 1).next_page_token, None);
    }

    #[test]
    fn a_token_belongs_to_one_query() {
        let page = Page::of(&query()).expect("a page");
        let token = page.filled(vec![raw(9)], 2).next_page_token;
        let with = |change: fn(&mut AuditQuery)| {
            let mut query = AuditQuery { page_token: token.clone(), ..query() };
            change(&mut query);
            Page::of(&query).map(|page| page.size)
        };
        assert_eq!(with(|query| query.page_size = 9), Ok(9));
        assert_eq!(with(|query| query.sites = Sites::Only(vec![])), Ok(2));
        let refused = Err(HistoryError::InvalidPageToken);
        assert_eq!(with(|query| query.subject = Some(String::new())), refused);
        assert_eq!(with(|query| query.patient = Some("p".parse().expect("an id"))), refused);
        assert_eq!(with(|query| query.from = Timestamp::EPOCH), refused);
        assert_eq!(with(|query| query.page_token = Some("x".repeat(60))), refused);
        assert_eq!(with(|query| query.page_token = Some(String::new())), refused);
    }
}
