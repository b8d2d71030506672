//! Where a page of readings begins, and the token that says so to the next call; and the form of
//! all such tokens.
//!
//! A page begins at a key (measured time, vital, device), and skips the rows of that very key that
//! were shown before. Skipping by count is sound, because rows of one key are ordered by receipt,
//! which never decreases: what comes later stands behind what was counted.
//!
//! A token holds a version, a digest of the query it belongs to, and that place. It grants
//! nothing: who may see what is decided anew for every page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::history::{HistoryError, PAGE_SIZE_MAX, RawReading, ReadingsQuery};
use crate::clock::Timestamp;
use crate::vitals::Vital;

const VERSION: u8 = 1;
const DIGEST_LENGTH: usize = 12;

/// What a query asks for, in short.
pub(super) type Digested = [u8; DIGEST_LENGTH];

/// A page to be read.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The vitals to read, each once, in the order of their numbers.
    pub(super) vitals: Vec<i16>,
    /// Where it begins.
    pub(super) start: Start,
    size: u32,
    digest: Digested,
}

/// The key of the first row to read, and how many rows of that key were shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) measured_at: Timestamp,
    pub(super) vital: i16,
    pub(super) device_key: i32,
    pub(super) skip: u32,
}

impl Page {
    /// The page that a query asks for.
    pub(super) fn of(query: &ReadingsQuery) -> Result<Self, HistoryError> {
        let vitals = numbers(&query.vitals);
        let digest = digest_of(query, &vitals);
        let start = match &query.page_token {
            None => {
                Start { measured_at: query.from, vital: i16::MIN, device_key: i32::MIN, skip: 0 }
            }
            Some(token) => decode(token, digest)
                .filter(|start| query.from <= start.measured_at && start.measured_at < query.until)
                .ok_or(HistoryError::InvalidPageToken)?,
        };
        Ok(Self { vitals, start, size: query.page_size.clamp(1, PAGE_SIZE_MAX), digest })
    }

    /// How many readings it shows.
    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    /// How many rows to read: one more than it shows tells whether there are more.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// The token of the page after these rows, which fill this one.
    pub(super) fn next_token(&self, shown: &[RawReading]) -> Option<String> {
        let key = key(shown.last()?);
        let same = shown.iter().rev().take_while(|row| self::key(row) == key).count();
        let before =
            if same == shown.len() && self.start.key() == key { self.start.skip } else { 0 };
        let skip = before.saturating_add(u32::try_from(same).unwrap_or(u32::MAX));
        let (measured_at, vital, device_key) = key;
        Some(encode(Start { measured_at, vital, device_key, skip }, self.digest))
    }
}

impl Start {
    fn key(&self) -> (Timestamp, i16, i32) {
        (self.measured_at, self.vital, self.device_key)
    }
}

fn key(row: &RawReading) -> (Timestamp, i16, i32) {
    (row.measured_at, row.vital, row.device_key)
}

fn digest_of(query: &ReadingsQuery, vitals: &[i16]) -> Digested {
    digest(&[query.from.micros(), query.until.micros()], vitals, query.patient.as_str())
}

fn encode(start: Start, digest: Digested) -> String {
    let Start { measured_at, vital, device_key, skip } = start;
    let place: [&[u8]; 4] = [
        &measured_at.micros().to_be_bytes(),
        &vital.to_be_bytes(),
        &device_key.to_be_bytes(),
        &skip.to_be_bytes(),
    ];
    seal(digest, &place)
}

fn decode(token: &str, digest: Digested) -> Option<Start> {
    let place = open(token, digest)?;
    let (measured_at, rest) = place.split_first_chunk()?;
    let (vital, rest) = rest.split_first_chunk()?;
    let (device_key, rest) = rest.split_first_chunk()?;
    Some(Start {
        measured_at: Timestamp::from_micros(i64::from_be_bytes(*measured_at))?,
        vital: i16::from_be_bytes(*vital),
        device_key: i32::from_be_bytes(*device_key),
        skip: u32::from_be_bytes(rest.try_into().ok()?),
    })
}

/// The numbers of these vitals, each once, in order; of all if there are none.
pub(super) fn numbers(vitals: &[Vital]) -> Vec<i16> {
    let wanted = if vitals.is_empty() { &Vital::ALL[..] } else { vitals };
    let mut numbers: Vec<_> = wanted.iter().map(|vital| i16::from(vital.number())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// What a query of one kind asks for, as tokens name it: so many numbers, vitals, and whose.
pub(super) fn digest(numbers: &[i64], vitals: &[i16], patient: &str) -> Digested {
    let mut hash = Sha256::new();
    for number in numbers {
        hash.update(number.to_be_bytes());
    }
    for vital in vitals {
        hash.update(vital.to_be_bytes());
    }
    // Last, because it is the only part of varying length but the vitals, whose bytes no id has.
    hash.update(patient);
    let full: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(&full[..DIGEST_LENGTH]);
    digest
}

/// The token of a place in what a query finds.
pub(super) fn seal(digest: Digested, place: &[&[u8]]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(digest);
    bytes.extend(place.iter().copied().flatten());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a token names, if it is a token of this query.
pub(super) fn open(token: &str, digest: Digested) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (theirs, place) = rest.split_first_chunk::<DIGEST_LENGTH>()?;
    (*version == VERSION && *theirs == digest).then(|| place.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::input::Sites;
    use crate::vitals::PatientId;

    fn query() -> ReadingsQuery {
        ReadingsQuery {
            patient: PatientId::new("p-1").expect("an id"),
            sites: Sites::All,
            vitals: vec![],
            from: Timestamp::from_seconds(0),
            until: Timestamp::from_seconds(100),
            page_size: 10,
            page_token: None,
        }
    }

    fn row(second: i64, device_key: i32) -> RawReading {
        RawReading {
            measured_at: Timestamp::from_seconds(second),
            received_at: Timestamp::EPOCH,
            stored_at: Timestamp::EPOCH,
            value: Some(1.0),
            device_key,
            quality: 0,
            vital: 1,
            absent: 0,
            original_value: None,
            original_unit: None,
            interval_us: None,
            measurement_id: None,
            device: None,
        }
    }

    fn after(query: &ReadingsQuery, shown: &[RawReading]) -> ReadingsQuery {
        let token = Page::of(query).expect("a page").next_token(shown);
        ReadingsQuery { page_token: token, ..query.clone() }
    }

    #[test]
    fn rows_of_one_key_are_counted_across_pages() {
        let second = after(&query(), &[row(1, 1), row(2, 1), row(2, 1)]);
        assert_eq!(Page::of(&second).expect("a page").start.skip, 2);
        let third = after(&second, &[row(2, 1), row(2, 1)]);
        assert_eq!(Page::of(&third).expect("a page").start.skip, 4);
        let fourth = after(&third, &[row(2, 1), row(2, 2)]);
        let start = Page::of(&fourth).expect("a page").start;
        assert_eq!((start.device_key, start.skip), (2, 1));
    }

    #[test]
    fn a_token_belongs_to_one_query() {
        let token = after(&query(), &[row(50, 1)]).page_token;
        let with = |change: fn(&mut ReadingsQuery)| {
            let mut query = ReadingsQuery { page_token: token.clone(), ..query() };
            change(&mut query);
            Page::of(&query).map(|page| page.size)
        };
        assert_eq!(with(|query| query.page_size = 3), Ok(3));
        assert_eq!(with(|query| query.sites = Sites::Only(vec![])), Ok(10));
        assert_eq!(with(|query| query.vitals = Vital::ALL.to_vec()), Ok(10));
        let refused = Err(HistoryError::InvalidPageToken);
        assert_eq!(with(|query| query.vitals = vec![Vital::Spo2]), refused);
        assert_eq!(with(|query| query.until = Timestamp::from_seconds(99)), refused);
        assert_eq!(with(|query| query.patient = "p-2".parse().expect("an id")), refused);
    }

    #[test]
    fn garbage_is_no_token() {
        for token in ["", "AAAA", "not base64!", &"A".repeat(42), &"A".repeat(400)] {
            let query = ReadingsQuery { page_token: Some(token.to_owned()), ..query() };
            assert_eq!(Page::of(&query).err(), Some(HistoryError::InvalidPageToken), "{token}");
        }
    }

    #[test]
    fn a_page_size_is_brought_inside_its_bounds() {
        let size = |page_size| Page::of(&ReadingsQuery { page_size, ..query() }).map(|p| p.size);
        assert_eq!(size(0), Ok(1));
        assert_eq!(size(u32::MAX), Ok(PAGE_SIZE_MAX));
    }
}
