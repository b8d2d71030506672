//! The way to read who did what: events of the audit chain, latest first, page by page; and the
//! chain as it stands, to be verified ([`verify`]).
//!
//! Promises: a caller sees the events about their own sites; one that is about several sites, or
//! about none that is known, only who may see all. That is decided inside the statement that reads.
//! Pages together hold each event once that was there when the first was read: a page begins behind
//! the last event of the one before, in an order in which what comes later stands first.
//!
//! A page is bounded in bytes too, inside the statement, because an event may name a thousand
//! patients: it ends early, and is not the last for that.

mod page;
pub mod verify;

use uuid::Uuid;

pub(super) use self::page::Page;
use super::row::Cell;
use crate::clock::Timestamp;
use crate::engine::audit::Salt;
use crate::engine::input::Sites;
use crate::position::Partition;
use crate::vitals::PatientId;

/// A page holds no more events than this, however many are asked for.
pub const AUDIT_PAGE_SIZE_MAX: u32 = 1_000;
/// Which audit events, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// The sites that the caller may see.
    pub sites: Sites,
    /// Only by this subject.
    pub subject: Option<String>,
    /// Only about this patient.
    pub patient: Option<PatientId>,
    /// From here on, inclusive.
    pub from: Timestamp,
    /// Before this.
    pub until: Timestamp,
    /// Events of a page, from 1 to [`AUDIT_PAGE_SIZE_MAX`]; what lies outside is brought inside. It
    /// may change from page to page.
    pub page_size: u32,
    /// The token of the page before; it belongs to the same query.
    pub page_token: Option<String>,
}

/// A page of audit events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The events, latest first.
    pub events: Vec<StoredAuditEvent>,
    /// What asks for the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// An audit event as it is stored. Texts are as they stand there, so that one that was changed can
/// be shown, and found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAuditEvent {
    /// Of which partition's chain it is.
    pub partition: Partition,
    /// Its number in the chain.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who; empty if not known.
    pub subject: String,
    /// In which role.
    pub role: Option<String>,
    /// From where.
    pub peer: String,
    /// The call.
    pub method: String,
    /// How it ended.
    pub outcome: String,
    /// Why, for programs.
    pub reason: String,
    /// At which site.
    pub site: Option<String>,
    /// What tells of patients.
    pub details: StoredDetails,
    /// The digest of the details.
    pub commitment: Vec<u8>,
    /// The digest of the event.
    pub digest: Vec<u8>,
}

/// The details of a stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredDetails {
    /// They are there.
    Kept {
        /// What the commitment is salted with.
        salt: Salt,
        /// Whom it was about.
        patients: Vec<String>,
        /// How many there were.
        patient_count: u32,
        /// What exactly.
        text: String,
    },
    /// They were erased, all of them.
    Erased,
    /// There is only a part of them, or something else.
    Torn,
}

/// An event as both databases give it.
#[derive(Clone, Debug)]
pub(super) struct RawAudit {
    pub(super) key: ChainKey,
    pub(super) at: Timestamp,
    pub(super) subject: String,
    pub(super) role: Option<String>,
    pub(super) peer: String,
    pub(super) method: String,
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) site: Option<String>,
    pub(super) patients: Option<String>,
    pub(super) patient_count: Option<i32>,
    pub(super) detail: Option<String>,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) commitment: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

/// Where an event stands in the order in which a chain is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainKey {
    pub(super) partition: i16,
    pub(super) number: i64,
    pub(super) journal_id: Uuid,
    pub(super) position: i64,
    pub(super) output_index: i32,
}

impl ChainKey {
    /// Before the first event of the first partition that is `partition` or a later one.
    #[must_use]
    pub const fn before(partition: Partition) -> Self {
        Self {
            partition: partition.0.cast_signed(),
            number: i64::MIN,
            journal_id: Uuid::nil(),
            position: i64::MIN,
            output_index: i32::MIN,
        }
    }
}

impl RawAudit {
    pub(super) fn stored(self) -> (ChainKey, StoredAuditEvent) {
        let details = details(self.patients, self.patient_count, self.detail, self.salt);
        let event = StoredAuditEvent {
            partition: Partition(self.key.partition.cast_unsigned()),
            number: self.key.number.cast_unsigned(),
            at: self.at,
            subject: self.subject,
            role: self.role,
            peer: self.peer,
            method: self.method,
            outcome: self.outcome,
            reason: self.reason,
            site: self.site,
            details,
            commitment: self.commitment,
            digest: self.digest,
        };
        (self.key, event)
    }
}

fn details(
    patients: Option<String>,
    patient_count: Option<i32>,
    detail: Option<String>,
    salt: Option<Vec<u8>>,
) -> StoredDetails {
    match (patients, patient_count, detail, salt) {
        (None, None, None, None) => StoredDetails::Erased,
        (Some(patients), Some(count), Some(text), Some(salt)) => {
            let patients = serde_json::from_str(&patients).ok();
            match (patients, salt.try_into()) {
                (Some(patients), Ok(salt)) => {
                    let patient_count = count.cast_unsigned();
                    StoredDetails::Kept { salt, patients, patient_count, text }
                }
                _ => StoredDetails::Torn,
            }
        }
        _ => StoredDetails::Torn,
    }
}

/// The columns of a [`RawAudit`], in the order in which both databases read them.
const COLUMNS: &str = "e.partition, e.number, e.journal_id, e.position, e.output_index, e.at,
    e.subject, e.role, e.peer, e.method, e.outcome, e.reason, e.site_id,
    CAST(e.patients AS text), e.patient_count, e.detail, e.salt, e.commitment, e.digest";

/// How a database says what the other says otherwise.
pub(super) struct Dialect {
    /// The schema with its dot.
    pub(super) prefix: &'static str,
    /// What begins a numbered parameter.
    pub(super) mark: char,
    /// Whether patients are found by `@>`, for which Postgres has an index.
    pub(super) has_containment: bool,
}

/// A statement, and the values of its parameters.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Cell>,
    mark: char,
}

impl Statement {
    pub(super) fn new(mark: char) -> Self {
        Self { sql: String::new(), values: Vec::new(), mark }
    }

    /// The parameter that stands for a value.
    pub(super) fn value(&mut self, value: Cell) -> String {
        self.values.push(value);
        format!("{}{}", self.mark, self.values.len())
    }
}

/// The next events of a chain, in order.
pub(super) fn chain_statement(after: ChainKey, limit: u32, dialect: &Dialect) -> Statement {
    let mut statement = Statement::new(dialect.mark);
    let prefix = dialect.prefix;
    let partition = statement.value(Cell::Int(after.partition.into()));
    let number = statement.value(Cell::Int(after.number));
    let journal_id = statement.value(Cell::Uuid(after.journal_id));
    let position = statement.value(Cell::Int(after.position));
    let output_index = statement.value(Cell::Int(after.output_index.into()));
    let limit = statement.value(Cell::Int(limit.into()));
    statement.sql = format!(
        "SELECT {COLUMNS} FROM {prefix}audit_events e
        WHERE e.partition = (SELECT min(m.partition) FROM {prefix}audit_events m
                             WHERE m.partition >= {partition})
          AND e.number >= {number}
          AND (e.number, e.journal_id, e.position, e.output_index)
              > ({number}, {journal_id}, {position}, {output_index})
        ORDER BY e.number, e.journal_id, e.position, e.output_index
        LIMIT {limit}"
    );
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_whole_or_erased_or_torn() {
        let all = || (Some("[\"p\"]".to_owned()), Some(1), Some(String::new()), Some(vec![7; 16]));
        let (patients, count, text, salt) = all();
        assert!(matches!(details(patients, count, text, salt), StoredDetails::Kept { .. }));
        assert_eq!(details(None, None, None, None), StoredDetails::Erased);
        let (patients, count, text, _) = all();
        assert_eq!(details(patients, count, text, None), StoredDetails::Torn);
        let (_, count, text, salt) = all();
        assert_eq!(details(Some("{}".to_owned()), count, text, salt), StoredDetails::Torn);
        let (patients, count, text, _) = all();
        assert_eq!(details(patients, count, text, Some(vec![7; 15])), StoredDetails::Torn);
    }
}
