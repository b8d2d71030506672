//! The memory of requests: a bounded number of rows, found by key, forgotten by age.
//!
//! Rows stand in a [`Table`], so that a checkpoint holds only those that changed and a snapshot
//! takes no time; a row that is forgotten is emptied and used again. Everything else here is derived
//! from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::KEPT_FOR;
use super::answer::Answer;
use crate::clock::Timestamp;
use crate::engine::table::Table;
use crate::vitals::{PatientKey, SiteKey};

/// Requests remembered at most: a day of a busy hospital's, in some 20 MiB.
pub(in crate::engine) const MAX: usize = 65_536;
/// Requests of one caller: what a program that enrols a ward sends in the time in which it tries
/// again, and a sixteenth of all, so that it drives out nobody else's.
pub(in crate::engine) const OF_CALLER_MAX: usize = 4096;
/// Bytes of all answers: they take no more, whatever they say.
pub(in crate::engine) const BYTES_MAX: usize = 64 << 20;
/// Bytes of the answers of one caller. One answer may be larger, and is then the only one.
pub(in crate::engine) const BYTES_OF_CALLER_MAX: usize = 4 << 20;

/// Stands for a caller, or for a request of theirs.
pub(in crate::engine) type Key = [u8; 16];
/// Stands for what a request asked for.
pub(in crate::engine) type Content = [u8; 16];

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Kept {
    /// The how manyth it was.
    number: u64,
    at: Timestamp,
    caller: Key,
    key: Key,
    /// `None` once a patient whom it was about was erased.
    carried: Option<Carried>,
}

/// What was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Carried {
    pub(super) content: Content,
    /// Whom it was about.
    pub(super) patients: Vec<PatientKey>,
    /// Where it was, if that was one site.
    pub(super) site: Option<SiteKey>,
    /// Empty for a call that became several commands, each of which has its own.
    answer: Vec<u8>,
}

impl Carried {
    pub(super) fn new(
        content: Content,
        patients: Vec<PatientKey>,
        site: Option<SiteKey>,
        answer: &Answer,
    ) -> Self {
        let answer = postcard::to_stdvec(answer)
            .expect("plain values into a growing buffer have no way to fail");
        Self { content, patients, site, answer }
    }

    /// The call itself that became several commands.
    pub(super) const fn of_several(content: Content) -> Self {
        Self { content, patients: Vec::new(), site: None, answer: Vec::new() }
    }

    /// What it was answered, unless that is said command by command.
    pub(super) fn answer(&self) -> Option<Answer> {
        let read = || self.read().expect("written by this version, or read when it was restored");
        (!self.answer.is_empty()).then(read)
    }

    fn read(&self) -> Result<Answer, postcard::Error> {
        postcard::from_bytes(&self.answer)
    }
}

impl Kept {
    pub(super) const fn new(at: Timestamp, caller: Key, key: Key, carried: Carried) -> Self {
        Self { number: 0, at, caller, key, carried: Some(carried) }
    }

    /// What was carried out; `None` once a patient whom it was about was erased.
    pub(super) const fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(KEPT_FOR) <= now
    }

    fn bytes(&self) -> usize {
        self.carried.as_ref().map_or(0, |carried| carried.answer.len())
    }

    fn is_about(&self, patient: PatientKey) -> bool {
        self.carried.as_ref().is_some_and(|carried| carried.patients.contains(&patient))
    }

    /// Whether what it holds can be read.
    pub(in crate::engine) fn check(&self) -> Result<(), postcard::Error> {
        match &self.carried {
            Some(carried) if !carried.answer.is_empty() => carried.read().map(drop),
            _ => Ok(()),
        }
    }
}

/// The requests that were carried out last.
#[derive(Debug)]
pub(in crate::engine) struct Requests {
    rows: Table<Option<Kept>>,
    /// Rows by key. Derived.
    by_key: BTreeMap<Key, u32>,
    /// Rows by number, the oldest first. Derived.
    by_age: BTreeMap<u64, u32>,
    /// Whose they are. Derived.
    callers: BTreeMap<Key, Caller>,
    /// Rows that hold nothing. Derived.
    free: BTreeSet<u32>,
    /// Bytes of all answers. Derived.
    bytes: usize,
    bounds: Bounds,
}

/// What is one caller's.
#[derive(Debug, Default)]
struct Caller {
    numbers: BTreeSet<u64>,
    bytes: usize,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    count: usize,
    bytes: usize,
    of_caller: usize,
    bytes_of_caller: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            count: MAX,
            bytes: BYTES_MAX,
            of_caller: OF_CALLER_MAX,
            bytes_of_caller: BYTES_OF_CALLER_MAX,
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::restored(Table::new())
    }
}

impl Requests {
    /// Those of these rows.
    pub(in crate::engine) fn restored(rows: Table<Option<Kept>>) -> Self {
        let mut requests = Self {
            rows: Table::new(),
            by_key: BTreeMap::new(),
            by_age: BTreeMap::new(),
            callers: BTreeMap::new(),
            free: BTreeSet::new(),
            bytes: 0,
            bounds: Bounds::default(),
        };
        for (row, kept) in (0..).zip(rows.iter()) {
            match kept {
                Some(kept) => requests.index(row, kept),
                None => drop(requests.free.insert(row)),
            }
        }
        Self { rows, ..requests }
    }

    /// What was carried out under `key` and is not over.
    pub(super) fn find(&self, key: &Key, now: Timestamp) -> Option<&Kept> {
        self.row(*self.by_key.get(key)?).filter(|kept| !kept.is_over(now))
    }

    fn row(&self, row: u32) -> Option<&Kept> {
        self.rows.get(row as usize)?.as_ref()
    }

    /// Takes note of a request, the how manyth `count` says, and forgets others for it.
    pub(super) fn insert(&mut self, count: &mut u64, kept: Kept) {
        *count += 1;
        let kept = Kept { number: *count, ..kept };
        if let Some(row) = self.by_key.get(&kept.key).copied() {
            self.clear(row);
        }
        self.make_room(&kept);
        let row = self.free.pop_first().unwrap_or_else(|| self.add_row());
        self.index(row, &kept);
        *self.rows.get_mut(row as usize).expect("a row of the table") = Some(kept);
    }

    fn add_row(&mut self) -> u32 {
        let row = u32::try_from(self.rows.len()).expect("rows are few");
        self.rows.push(None);
        row
    }

    fn make_room(&mut self, kept: &Kept) {
        let Bounds { count, bytes, of_caller, bytes_of_caller } = self.bounds;
        while let Some(caller) = self.callers.get(&kept.caller)
            && (caller.numbers.len() >= of_caller || caller.bytes + kept.bytes() > bytes_of_caller)
        {
            let oldest = caller.numbers.first().copied();
            self.clear_number(oldest);
        }
        while !self.by_age.is_empty()
            && (self.by_age.len() >= count || self.bytes + kept.bytes() > bytes)
        {
            let oldest = self.by_age.keys().next().copied();
            self.clear_number(oldest);
        }
    }

    /// Forgets what is over.
    pub(in crate::engine) fn expire(&mut self, now: Timestamp) {
        while let Some((_, row)) = self.by_age.first_key_value()
            && self.row(*row).is_some_and(|kept| kept.is_over(now))
        {
            self.clear(*row);
        }
    }

    /// Forgets what was asked and answered about a patient, but not that something was.
    pub(in crate::engine) fn forget(&mut self, patient: PatientKey) {
        let is_about = |row: &u32| self.row(*row).is_some_and(|kept| kept.is_about(patient));
        let rows: Vec<u32> = self.by_age.values().copied().filter(is_about).collect();
        for row in rows {
            let Some(kept) = self.row(row).cloned() else { continue };
            self.clear(row);
            self.free.remove(&row);
            let kept = Kept { carried: None, ..kept };
            self.index(row, &kept);
            *self.rows.get_mut(row as usize).expect("just seen") = Some(kept);
        }
    }

    fn clear_number(&mut self, number: Option<u64>) {
        let row = number.and_then(|number| self.by_age.get(&number)).copied();
        self.clear(row.expect("whoever has a number has a row"));
    }

    fn clear(&mut self, row: u32) {
        let kept = self.rows.get_mut(row as usize).and_then(Option::take);
        let kept = kept.expect("only rows that hold something are indexed");
        self.by_key.remove(&kept.key);
        self.by_age.remove(&kept.number);
        self.bytes -= kept.bytes();
        let caller = self.callers.get_mut(&kept.caller).expect("whose a row is");
        caller.bytes -= kept.bytes();
        caller.numbers.remove(&kept.number);
        if caller.numbers.is_empty() {
            self.callers.remove(&kept.caller);
        }
        self.free.insert(row);
    }

    fn index(&mut self, row: u32, kept: &Kept) {
        self.by_key.insert(kept.key, row);
        self.by_age.insert(kept.number, row);
        self.bytes += kept.bytes();
        let caller = self.callers.entry(kept.caller).or_default();
        caller.bytes += kept.bytes();
        caller.numbers.insert(kept.number);
    }

    /// Begins a snapshot of the rows that changed.
    pub(in crate::engine) fn begin_snapshot(&mut self) {
        self.rows.begin_snapshot();
    }

    /// Gathers some of them: see [`Table::capture`].
    pub(in crate::engine) fn capture(&mut self, rows: usize) -> Vec<(u32, Arc<Option<Kept>>)> {
        self.rows.capture(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: usize, of_caller: usize, bytes: usize, bytes_of_caller: usize) -> Requests {
        let bounds = Bounds { count, bytes, of_caller, bytes_of_caller };
        Requests { bounds, ..Requests::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn kept(caller: u8, key: u8, seconds: i64, bytes: usize) -> Kept {
        let patients = vec![PatientKey(u32::from(key))];
        let carried = Carried { content: [0; 16], patients, site: None, answer: vec![0; bytes] };
        Kept::new(at(seconds), [caller; 16], [key; 16], carried)
    }

    fn keys(requests: &Requests) -> Vec<u8> {
        requests.by_key.keys().map(|key| key[0]).collect()
    }

    #[test]
    fn a_caller_drives_out_their_own_oldest_and_nobody_elses() {
        let (mut requests, mut count) = (requests(10, 2, 1000, 1000), 0);
        for (caller, key) in [(1, 1), (2, 2), (2, 3), (2, 4)] {
            requests.insert(&mut count, kept(caller, key, 0, 1));
        }
        assert_eq!(keys(&requests), [1, 3, 4]);
        requests.insert(&mut count, kept(1, 5, 0, 1));
        assert_eq!(keys(&requests), [1, 3, 4, 5]);
    }

    #[test]
    fn the_oldest_of_all_goes_when_there_is_no_room() {
        let (mut requests, mut count) = (requests(3, 3, 1000, 1000), 0);
        for key in 1..=5 {
            requests.insert(&mut count, kept(key, key, 0, 1));
        }
        assert_eq!((keys(&requests), requests.rows.len()), (vec![3, 4, 5], 3));
    }

    #[test]
    fn large_answers_drive_out_others_and_the_newest_is_always_kept() {
        let (mut requests, mut count) = (requests(10, 10, 25, 15), 0);
        for (caller, key) in [(1, 1), (1, 2), (2, 3), (3, 4)] {
            requests.insert(&mut count, kept(caller, key, 0, 10));
        }
        // Of the first caller one has to go, and then the other for the third.
        assert_eq!(keys(&requests), [3, 4]);
        requests.insert(&mut count, kept(4, 5, 0, 99));
        assert_eq!((keys(&requests), requests.bytes), (vec![5], 99));
    }

    #[test]
    fn what_is_a_day_old_is_over_and_goes() {
        let (mut requests, mut count) = (Requests::default(), 0);
        requests.insert(&mut count, kept(1, 1, 0, 1));
        requests.insert(&mut count, kept(1, 2, 60, 1));
        let day = 24 * 60 * 60;
        assert!(requests.find(&[1; 16], at(day - 1)).is_some());
        assert!(requests.find(&[1; 16], at(day)).is_none());
        requests.expire(at(day));
        assert_eq!((keys(&requests), requests.free.len()), (vec![2], 1));
        requests.insert(&mut count, kept(1, 3, day, 1));
        assert_eq!((keys(&requests), requests.rows.len()), (vec![2, 3], 2));
    }

    #[test]
    fn of_an_erased_patient_only_that_something_was_asked_is_left() {
        let (mut requests, mut count) = (Requests::default(), 0);
        requests.insert(&mut count, kept(1, 1, 0, 7));
        requests.insert(&mut count, kept(1, 2, 0, 5));
        requests.forget(PatientKey(1));
        assert_eq!(requests.find(&[1; 16], at(1)).map(Kept::carried), Some(None));
        assert!(requests.find(&[2; 16], at(1)).is_some_and(|kept| kept.carried().is_some()));
        assert_eq!((requests.bytes, requests.free.len()), (5, 0));
    }

    #[test]
    fn what_is_restored_goes_on_as_what_was_kept() {
        let (mut requests, mut count) = (Requests::default(), 0);
        for (key, seconds) in [(1, 0), (2, 10), (3, 20)] {
            requests.insert(&mut count, kept(1, key, seconds, 3));
        }
        requests.expire(at(24 * 60 * 60 + 5));
        let rows: Vec<_> = requests.rows.iter().cloned().collect();
        let mut restored = Requests::restored(Table::restored(rows.into_iter()));
        assert_eq!((keys(&restored), restored.bytes), (vec![2, 3], 6));
        let mut count_again = count;
        for (requests, count) in [(&mut requests, &mut count), (&mut restored, &mut count_again)] {
            requests.insert(count, kept(1, 4, 30, 3));
        }
        assert!(requests.rows.iter().eq(restored.rows.iter()));
    }
}
