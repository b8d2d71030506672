//! A patient's quantities summed up in buckets of time: which buckets a page reads, and the token
//! that asks for the next.
//!
//! Buckets are aligned to 1970-01-01T00:00Z and always whole: the first is the one in which `from`
//! lies, the last the one in which the moment before `until` lies. They are made of the minutes or
//! hours that the database keeps, the coarsest that fit, so that a month costs some hundred rows.
//!
//! A statement reads a bounded span of time. Where that holds nothing, the next one is four times
//! as long, so that neither a dense month nor an empty decade costs more than it has to.
//!
//! A token holds a version, a digest of the query it belongs to, and the first bucket to read. It
//! grants nothing: who may see what is decided anew for every page.

use std::time::Duration;

use super::history::{HistoryError, PAGE_SIZE_MAX, unavailable};
use super::page::{self, Digested};
use super::row;
use crate::clock::Timestamp;
use crate::engine::input::Sites;
use crate::vitals::{PatientId, Quantity, Vital};

const MINUTE_MICROS: i64 = 60_000_000;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
/// How much longer a span is than one that held nothing.
const GROWTH: i64 = 4;

/// Which buckets, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketsQuery {
    /// Whose.
    pub patient: PatientId,
    /// The sites that the caller may see.
    pub sites: Sites,
    /// Which vitals; those of consciousness have no buckets.
    pub vitals: Vec<Vital>,
    /// From the bucket in which this lies.
    pub from: Timestamp,
    /// To the bucket in which the moment before this lies.
    pub until: Timestamp,
    /// Of a bucket: whole minutes, at least one.
    pub width: Duration,
    /// Buckets of a page, from 1 to [`PAGE_SIZE_MAX`]; what lies outside is brought inside. It
    /// may change from page to page.
    pub page_size: u32,
    /// The token of the page before; it belongs to an otherwise equal query.
    pub page_token: Option<String>,
}

/// A page of buckets, by time, then vital. It may hold fewer than asked for, also when there are
/// more.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketsPage {
    /// The buckets; empty ones are left out.
    pub buckets: Vec<ReadingBucket>,
    /// What asks for the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// The quantities of one vital in one span of time, in the vital's unit. What says that it is a
/// test, a demonstration or a sensor's absence is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingBucket {
    /// Where it begins, inclusive.
    pub from: Timestamp,
    /// The vital.
    pub vital: Vital,
    /// How many quantities; at least one.
    pub count: u64,
    /// The lowest.
    pub min: Quantity,
    /// The highest.
    pub max: Quantity,
    /// Their arithmetic mean.
    pub mean: f64,
    /// The one measured last.
    pub last: Quantity,
    /// When that was.
    pub last_measured_at: Timestamp,
}

/// What the database keeps, of which buckets are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Minutes,
    Hours,
}

impl Kept {
    /// The name of the relation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Minutes => "readings_1min",
            Self::Hours => "readings_1h",
        }
    }
}

/// What one statement reads: buckets from (`from`, `vital`) to before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) kept: Kept,
    pub(super) width_micros: i64,
    /// Where a bucket begins.
    pub(super) from: Timestamp,
    /// In the first bucket only vitals from this one on.
    pub(super) vital: i16,
    pub(super) until: Timestamp,
    /// One more than the page shows tells where the next page begins.
    pub(super) rows: i64,
}

/// A bucket as both databases give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RawBucket {
    pub(super) from: Timestamp,
    pub(super) vital: i16,
    pub(super) count: i64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) sum: f64,
    pub(super) last: f64,
    pub(super) last_measured_at: Timestamp,
}

/// A page on its way, from statement to statement.
#[derive(Debug)]
pub(super) struct Scan {
    /// The vitals to read, each once, in the order of their numbers.
    pub(super) vitals: Vec<i16>,
    width_micros: i64,
    next: Start,
    until: Timestamp,
    /// How long the next span is.
    span_micros: i64,
    size: u32,
    digest: Digested,
}

/// The first bucket to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    from: Timestamp,
    vital: i16,
}

impl Scan {
    /// The page that a query asks for.
    pub(super) fn of(query: &BucketsQuery) -> Result<Self, HistoryError> {
        let width_micros = i64::try_from(query.width.as_micros()).unwrap_or(i64::MAX);
        let width_micros = width_micros.max(MINUTE_MICROS);
        let vitals = page::numbers(&query.vitals);
        let digest = digest(query, &vitals, width_micros);
        let first = begin_of_bucket(query.from, width_micros);
        let until = end_of_bucket(query.until, width_micros);
        let next = match &query.page_token {
            None => Start { from: first, vital: i16::MIN },
            Some(token) => decode(token, digest)
                .filter(|start| first <= start.from && start.from < until)
                .ok_or(HistoryError::InvalidPageToken)?,
        };
        let size = query.page_size.clamp(1, PAGE_SIZE_MAX);
        let buckets = i64::from(size) / i64::try_from(vitals.len()).unwrap_or(1).max(1) + 1;
        let span_micros = width_micros.saturating_mul(buckets);
        Ok(Self { vitals, width_micros, next, until, span_micros, size, digest })
    }

    /// What the next statement is to read. Behind the end it reads nothing, and only tells
    /// whether there is such a patient.
    pub(super) fn reach(&self) -> Reach {
        let Start { from, vital } = self.next;
        let end = from.micros().saturating_add(self.span_micros).min(self.until.micros());
        Reach {
            kept: if self.width_micros % HOUR_MICROS == 0 { Kept::Hours } else { Kept::Minutes },
            width_micros: self.width_micros,
            from,
            vital,
            until: Timestamp::from_micros(end).unwrap_or(self.until),
            rows: i64::from(self.size) + 1,
        }
    }

    /// The page, if what was read makes one; else there is more to read.
    pub(super) fn take(
        &mut self,
        reach: Reach,
        rows: &[RawBucket],
    ) -> Result<Option<BucketsPage>, HistoryError> {
        let is_end = reach.until >= self.until;
        if rows.is_empty() && !is_end {
            self.next = Start { from: reach.until, vital: i16::MIN };
            self.span_micros = self.span_micros.saturating_mul(GROWTH);
            return Ok(None);
        }
        let shown = &rows[..rows.len().min(self.size as usize)];
        let next = match rows.get(shown.len()) {
            Some(row) => Some(Start { from: row.from, vital: row.vital }),
            None if is_end => None,
            None => Some(Start { from: reach.until, vital: i16::MIN }),
        };
        let buckets = shown.iter().map(RawBucket::read).collect::<Option<Vec<_>>>();
        Ok(Some(BucketsPage {
            buckets: buckets.ok_or_else(|| unavailable("a stored bucket makes no sense"))?,
            next_page_token: next.map(|start| encode(start, self.digest)),
        }))
    }
}

impl RawBucket {
    fn read(&self) -> Option<ReadingBucket> {
        let count = u64::try_from(self.count).ok().filter(|count| *count > 0)?;
        Some(ReadingBucket {
            from: self.from,
            vital: row::vital_of(self.vital)?,
            count,
            min: Quantity::from_f64(self.min)?,
            max: Quantity::from_f64(self.max)?,
            mean: self.sum / count as f64,
            last: Quantity::from_f64(self.last)?,
            last_measured_at: self.last_measured_at,
        })
    }
}

/// The earliest time stands in for what lies before it.
fn begin_of_bucket(time: Timestamp, width_micros: i64) -> Timestamp {
    let micros = time.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(width_micros)).unwrap_or(Timestamp::MIN)
}

/// Of the bucket in which the moment before `time` lies; the latest time stands in for what lies
/// behind it.
fn end_of_bucket(time: Timestamp, width_micros: i64) -> Timestamp {
    let over = time.micros().rem_euclid(width_micros);
    let missing = if over == 0 { 0 } else { width_micros - over };
    let end = time.micros().checked_add(missing).and_then(Timestamp::from_micros);
    end.unwrap_or(Timestamp::MAX)
}

fn digest(query: &BucketsQuery, vitals: &[i16], width_micros: i64) -> Digested {
    let numbers = [query.from.micros(), query.until.micros(), width_micros];
    page::digest(&numbers, vitals, query.patient.as_str())
}

fn encode(start: Start, digest: Digested) -> String {
    page::seal(digest, &[&start.from.micros().to_be_bytes(), &start.vital.to_be_bytes()])
}

fn decode(token: &str, digest: Digested) -> Option<Start> {
    let place = page::open(token, digest)?;
    let (from, vital) = place.split_first_chunk()?;
    Some(Start {
        from: Timestamp::from_micros(i64::from_be_bytes(*from))?,
        vital: i16::from_be_bytes(vital.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn query(until_hours: i64) -> BucketsQuery {
        BucketsQuery {
            patient: PatientId::new("p-1").expect("an id"),
            sites: Sites::All,
            vitals: vec![Vital::Spo2, Vital::HeartRate],
            from: hours(0),
            until: hours(until_hours),
            width: HOUR,
            page_size: 4,
            page_token: None,
        }
    }

    fn hours(count: i64) -> Timestamp {
        Timestamp::from_micros(count * HOUR_MICROS).expect("in range")
    }

    fn row(hour: i64, vital: Vital) -> RawBucket {
        RawBucket {
            from: hours(hour),
            vital: i16::from(vital.number()),
            count: 2,
            min: 1.0,
            max: 4.0,
            sum: 5.0,
            last: 4.0,
            last_measured_at: hours(hour),
        }
    }

    fn after(query: &BucketsQuery, rows: &[RawBucket]) -> BucketsQuery {
        let mut scan = Scan::of(query).expect("a page");
        let page = scan.take(scan.reach(), rows).expect("sense").expect("a page");
        BucketsQuery { page_token: page.next_page_token, ..query.clone() }
    }

    #[test]
    fn buckets_are_whole_however_the_times_lie() {
        let query = BucketsQuery { from: hours(-5).plus(HOUR / 2), width: 7 * HOUR, ..query(1) };
        let reach = Scan::of(&query).expect("a page").reach();
        assert_eq!((reach.from, reach.until), (hours(-7), hours(7)));
    }

    #[test]
    fn hours_are_made_of_hours_and_all_else_of_minutes() {
        for (width, kept) in [
            (HOUR, Kept::Hours),
            (24 * HOUR, Kept::Hours),
            (HOUR / 60, Kept::Minutes),
            (HOUR + HOUR / 2, Kept::Minutes),
        ] {
            let scan = Scan::of(&BucketsQuery { width, ..query(100) }).expect("a page");
            assert_eq!(scan.reach().kept, kept, "{width:?}");
        }
    }

    #[test]
    fn an_empty_span_is_followed_by_a_longer_one_up_to_the_end() {
        let mut scan = Scan::of(&query(40)).expect("a page");
        let mut ends = Vec::new();
        loop {
            let reach = scan.reach();
            ends.push(reach.until);
            if let Some(page) = scan.take(reach, &[]).expect("sense") {
                assert_eq!(page, BucketsPage { buckets: vec![], next_page_token: None });
                break;
            }
        }
        assert_eq!(ends, [hours(3), hours(15), hours(40)]);
    }

    #[test]
    fn a_full_page_goes_on_with_the_very_bucket_that_it_did_not_show() {
        let rows: Vec<_> =
            (0..3).flat_map(|hour| [row(hour, Vital::HeartRate), row(hour, Vital::Spo2)]).collect();
        let next = after(&query(40), &rows[..5]);
        let reach = Scan::of(&next).expect("a page").reach();
        assert_eq!((reach.from, reach.vital), (hours(2), i16::from(Vital::HeartRate.number())));
    }

    #[test]
    fn a_page_that_is_not_full_goes_on_behind_what_was_read() {
        let next = after(&query(40), &[row(0, Vital::HeartRate)]);
        assert_eq!(Scan::of(&next).expect("a page").reach().from, hours(3));
        assert_eq!(after(&query(2), &[row(0, Vital::HeartRate)]).page_token, None);
    }

    #[test]
    fn a_token_belongs_to_one_query() {
        let token = after(&query(40), &[row(0, Vital::HeartRate)]).page_token;
        let with = |change: fn(&mut BucketsQuery)| {
            let mut query = BucketsQuery { page_token: token.clone(), ..query(40) };
            change(&mut query);
            Scan::of(&query).map(|scan| scan.size)
        };
        assert_eq!(with(|query| query.page_size = 3), Ok(3));
        assert_eq!(with(|query| query.vitals.reverse()), Ok(4));
        let refused = Err(HistoryError::InvalidPageToken);
        assert_eq!(with(|query| query.width = 2 * HOUR), refused);
        assert_eq!(with(|query| query.vitals.truncate(1)), refused);
        assert_eq!(with(|query| query.patient = "p-2".parse().expect("an id")), refused);
        assert_eq!(with(|query| query.page_token = Some("AAAA".to_owned())), refused);
    }

    #[test]
    fn a_bucket_without_sense_is_not_shown_as_if_it_had_some() {
        for wrong in [
            RawBucket { count: 0, ..row(0, Vital::Spo2) },
            RawBucket { vital: 0, ..row(0, Vital::Spo2) },
            RawBucket { min: f64::NAN, ..row(0, Vital::Spo2) },
        ] {
            let mut scan = Scan::of(&query(1)).expect("a page");
            assert!(scan.take(scan.reach(), &[wrong]).is_err(), "{wrong:?}");
        }
    }
}
