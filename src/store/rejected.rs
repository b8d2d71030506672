//! The way to read what was refused: message by message, latest first, page by page; and one
//! message as it came, to be sent through the intake again.
//!
//! Promises: a caller sees the messages whose topic names a site of theirs; one whose topic names
//! no known site only who may see all. Both are decided inside the statement that reads. Pages
//! together hold each message once that was there when the first was read: a page begins behind
//! the last message of the one before, in an order in which what comes later stands first.
//!
//! A page is bounded in bytes too, inside the statement, because payloads may be large: it ends
//! early, and is not the last for that.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::history::{HistoryError, unavailable};
use super::row;
use crate::clock::Timestamp;
use crate::engine::input::{Encoding, RefusedSpan, Sites};
use crate::engine::output::RejectReason;
use crate::position::{JournalId, MessageId, Partition, Position};
use crate::vitals::{DeviceId, SiteId};

/// A page holds no more messages than this, however many are asked for.
pub const REJECTED_PAGE_SIZE_MAX: u32 = 1_000;
/// And, beyond its first message, no more bytes: what is sent to a caller stays below 4 MiB with
/// all that surrounds it.
pub(super) const PAGE_BYTES_MAX: i64 = 2 << 20;

/// Which refused messages, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedQuery {
    /// The sites that the caller may see.
    pub sites: Sites,
    /// Only of this site.
    pub site: Option<SiteId>,
    /// Only of this device, as the topic names it.
    pub device: Option<DeviceId>,
    /// Only those with a refusal for one of these reasons.
    pub reasons: Option<Vec<RejectReason>>,
    /// Received from here on, inclusive.
    pub from: Timestamp,
    /// Received before this.
    pub until: Timestamp,
    /// Whether payloads are wanted.
    pub with_payload: bool,
    /// Messages of a page, from 1 to [`REJECTED_PAGE_SIZE_MAX`]; what lies outside is brought
    /// inside. It may change from page to page.
    pub page_size: u32,
    /// The token of the page before; it belongs to the same query.
    pub page_token: Option<String>,
}

/// A page of refused messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPage {
    /// The messages, latest first.
    pub messages: Vec<RejectedMessage>,
    /// What asks for the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// A message of which something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedMessage {
    /// Which.
    pub id: MessageId,
    /// The topic it came on.
    pub topic: String,
    /// When it was received, or sent through again.
    pub received_at: Timestamp,
    /// What was refused; at least one.
    pub refusals: Vec<StoredRefusal>,
    /// The encoding that it declared.
    pub encoding: Option<Encoding>,
    /// Its payload, if it was asked for and kept.
    pub payload: Option<Bytes>,
    /// The message that it was before it was sent through again.
    pub redriven_from: Option<MessageId>,
    /// When it was sent through again.
    pub redriven_at: Option<Timestamp>,
    /// When its payload was erased, with a patient whom it may have been about.
    pub erased_at: Option<Timestamp>,
}

/// One refusal of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRefusal {
    /// The first of the readings it is of; `None` if it is of the message as a whole.
    pub index: Option<u32>,
    /// How many readings it stands for.
    pub count: u32,
    /// Why.
    pub reason: RejectReason,
    /// What exactly.
    pub detail: String,
}

impl RejectedQuery {
    /// The reasons by name.
    pub(super) fn reason_names(&self) -> Option<Vec<&'static str>> {
        Some(self.reasons.as_ref()?.iter().map(|reason| reason.name()).collect())
    }
}

impl RejectedMessage {
    /// Which of its readings were refused; none if it was refused as a whole.
    #[must_use]
    pub fn refused_spans(&self) -> Vec<RefusedSpan> {
        let span = |refusal: &StoredRefusal| {
            let StoredRefusal { count, reason, .. } = *refusal;
            Some(RefusedSpan { first: refusal.index?, count, reason })
        };
        self.refusals.iter().filter_map(span).collect()
    }
}

/// A message with its payload, and how much the store knew when it gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub message: RejectedMessage,
    /// How many messages had been sent through again by all that the store has written.
    pub redrives_stored: u64,
}

/// A row as both databases give it.
#[derive(Clone, Debug)]
pub(super) struct RawRejected {
    pub(super) key: Key,
    pub(super) topic: String,
    pub(super) reading_index: Option<i64>,
    pub(super) reading_count: i32,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) encoding: Option<String>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) redriven_from: Option<String>,
    pub(super) redriven_at: Option<Timestamp>,
    pub(super) erased_at: Option<Timestamp>,
}

/// What messages are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) received_at: Timestamp,
    pub(super) journal_id: Uuid,
    pub(super) partition: i16,
    pub(super) position: i64,
}

impl Key {
    pub(super) const fn message(self) -> MessageId {
        MessageId {
            journal_id: JournalId(self.journal_id),
            partition: Partition(self.partition.cast_unsigned()),
            position: Position(self.position.cast_unsigned()),
        }
    }
}

impl RawRejected {
    fn refusal(&self) -> Option<StoredRefusal> {
        Some(StoredRefusal {
            index: self.reading_index.map(u32::try_from).transpose().ok()?,
            count: self.reading_count.cast_unsigned(),
            reason: RejectReason::from_name(&self.reason)?,
            detail: self.detail.clone(),
        })
    }

    /// The message of its rows, in their order.
    fn message(rows: &mut [Self]) -> Option<RejectedMessage> {
        let refusals = rows.iter().map(Self::refusal).collect::<Option<Vec<_>>>()?;
        let first = rows.first_mut()?;
        let redriven_from = first.redriven_from.as_deref().map(str::parse).transpose().ok()?;
        Some(RejectedMessage {
            id: first.key.message(),
            topic: std::mem::take(&mut first.topic),
            received_at: first.key.received_at,
            refusals,
            encoding: row::encoding_of(first.encoding.as_deref())?,
            payload: first.payload.take().map(Bytes::from),
            redriven_from,
            redriven_at: first.redriven_at,
            erased_at: first.erased_at,
        })
    }
}

/// The messages of rows that are sorted by message and within each by output.
fn messages(mut rows: Vec<RawRejected>) -> Result<Vec<RejectedMessage>, HistoryError> {
    let of_one = |one: &RawRejected, other: &RawRejected| one.key == other.key;
    let messages: Option<Vec<_>> = rows.chunk_by_mut(of_one).map(RawRejected::message).collect();
    messages.ok_or_else(|| unavailable("a stored refusal makes no sense"))
}

/// The message of these rows, which are all of it.
pub(super) fn dead_letter(
    rows: Vec<RawRejected>,
    redrives_stored: i64,
) -> Result<DeadLetter, HistoryError> {
    let message = messages(rows)?.pop().ok_or(HistoryError::UnknownMessage)?;
    Ok(DeadLetter { message, redrives_stored: redrives_stored.cast_unsigned() })
}

/// A page to be read.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Behind which message it begins, if not at the latest.
    pub(super) after: Option<Key>,
    /// Before when its messages were received: no later than that one, so that the index is not
    /// read from its end for every page.
    pub(super) until: Timestamp,
    size: u32,
    digest: [u8; DIGEST_LENGTH],
}

const VERSION: u8 = 1;
const DIGEST_LENGTH: usize = 12;

impl Page {
    /// The page that a query asks for.
    pub(super) fn of(query: &RejectedQuery) -> Result<Self, HistoryError> {
        let digest = digest(query);
        let after = match &query.page_token {
            None => None,
            Some(token) => Some(decode(token, digest).ok_or(HistoryError::InvalidPageToken)?),
        };
        let behind = |after: Key| after.received_at.plus(Duration::from_micros(1));
        let until = after.map_or(query.until, |after| query.until.min(behind(after)));
        let size = query.page_size.clamp(1, REJECTED_PAGE_SIZE_MAX);
        Ok(Self { after, until, size, digest })
    }

    /// How many messages it shows.
    pub(super) fn size(&self) -> i64 {
        i64::from(self.size)
    }

    /// The page that these rows make, of `found` messages that there are from its beginning on (or
    /// more than fit).
    pub(super) fn filled(
        &self,
        rows: Vec<RawRejected>,
        found: i64,
    ) -> Result<RejectedPage, HistoryError> {
        let last = rows.last().map(|row| row.key);
        let messages = messages(rows)?;
        let has_more = usize::try_from(found).is_ok_and(|found| found > messages.len());
        let next_page_token = last.filter(|_| has_more).map(|last| encode(last, self.digest));
        Ok(RejectedPage { messages, next_page_token })
    }
}

/// Of everything that decides which messages there are. Who asks is decided anew for every page.
fn digest(query: &RejectedQuery) -> [u8; DIGEST_LENGTH] {
    let mut hash = Sha256::new();
    hash.update(query.from.micros().to_be_bytes());
    hash.update(query.until.micros().to_be_bytes());
    let ids =
        [query.site.as_ref().map(SiteId::as_str), query.device.as_ref().map(DeviceId::as_str)];
    for part in ids {
        // No id and no name has a slash.
        hash.update(part.unwrap_or_default());
        hash.update("/");
    }
    for reason in query.reasons.iter().flatten() {
        hash.update(reason.name());
        hash.update("/");
    }
    let full: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(&full[..DIGEST_LENGTH]);
    digest
}

fn encode(key: Key, digest: [u8; DIGEST_LENGTH]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(digest);
    bytes.extend(key.received_at.micros().to_be_bytes());
    bytes.extend(key.journal_id.as_bytes());
    bytes.extend(key.partition.to_be_bytes());
    bytes.extend(key.position.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(token: &str, digest: [u8; DIGEST_LENGTH]) -> Option<Key> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (theirs, rest) = rest.split_first_chunk::<DIGEST_LENGTH>()?;
    let (received_at, rest) = rest.split_first_chunk()?;
    let (journal_id, rest) = rest.split_first_chunk()?;
    let (partition, rest) = rest.split_first_chunk()?;
    if *version != VERSION || *theirs != digest {
        return None;
    }
    Some(Key {
        received_at: Timestamp::from_micros(i64::from_be_bytes(*received_at))?,
        journal_id: Uuid::from_bytes(*journal_id),
        partition: i16::from_be_bytes(*partition),
        position: i64::from_be_bytes(rest.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> RejectedQuery {
        RejectedQuery {
            sites: Sites::All,
            site: None,
            device: None,
            reasons: None,
            from: Timestamp::MIN,
            until: Timestamp::MAX,
            with_payload: false,
            page_size: 2,
            page_token: None,
        }
    }

    fn raw(position: i64, index: Option<i64>) -> RawRejected {
        let received_at = Timestamp::from_seconds(position);
        RawRejected {
            key: Key { received_at, journal_id: Uuid::from_u128(7), partition: 0, position },
            topic: "t".to_owned(),
            reading_index: index,
            reading_count: 1,
            reason: "too_old".to_owned(),
            detail: String::new(),
            encoding: None,
            payload: None,
            redriven_from: None,
            redriven_at: None,
            erased_at: None,
        }
    }

    #[test]
    fn the_rows_of_a_message_are_one_message_and_the_next_page_begins_behind_the_last() {
        let page = Page::of(&query()).expect("a page");
        let rows = vec![raw(9, Some(1)), raw(9, Some(4)), raw(3, None)];
        let filled = page.filled(rows, 3).expect("a page");
        let refusals: Vec<_> = filled.messages.iter().map(|it| it.refusals.len()).collect();
        assert_eq!(refusals, [2, 1]);
        let spans = filled.messages[0].refused_spans();
        let span = |first| RefusedSpan { first, count: 1, reason: RejectReason::TooOld };
        assert_eq!((spans, filled.messages[1].refused_spans()), (vec![span(1), span(4)], vec![]));
        let next = RejectedQuery { page_token: filled.next_page_token, ..query() };
        assert_eq!(Page::of(&next).expect("a page").after, Some(raw(3, None).key));
        let last = page.filled(vec![raw(9, None)], 1).expect("a page");
        assert_eq!(last.next_page_token, None);
    }

    #[test]
    fn a_token_belongs_to_one_query() {
        let token = Page::of(&query()).and_then(|page| page.filled(vec![raw(9, None)], 2));
        let token = token.expect("a page").next_page_token;
        let with = |change: fn(&mut RejectedQuery)| {
            let mut query = RejectedQuery { page_token: token.clone(), ..query() };
            change(&mut query);
            Page::of(&query).map(|page| page.size())
        };
        assert_eq!(with(|query| query.page_size = 9), Ok(9));
        assert_eq!(with(|query| query.with_payload = true), Ok(2));
        let refused = Err(HistoryError::InvalidPageToken);
        assert_eq!(with(|query| query.site = Some("x".parse().expect("an id"))), refused);
        assert_eq!(with(|query| query.device = Some("x".parse().expect("an id"))), refused);
        assert_eq!(with(|query| query.reasons = Some(vec![RejectReason::TooOld])), refused);
        assert_eq!(with(|query| query.from = Timestamp::EPOCH), refused);
        assert_eq!(with(|query| query.page_token = Some("x".repeat(60))), refused);
        assert_eq!(with(|query| query.page_token = Some(String::new())), refused);
    }
}
