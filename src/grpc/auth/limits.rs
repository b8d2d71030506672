//! What one caller may do: calls a second, and streams at once.
//!
//! Promises: a caller who does too much is refused and told when to come back, and the others notice
//! nothing; what is remembered of callers is bounded. A caller is a subject, on however many
//! connections. Where everybody is the same caller, nothing is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::{Bucket, Rate};
use super::refusal::Refused;
use crate::clock::Timestamp;

/// Callers of whom is remembered how often they called. One who pauses is forgotten, so that it takes
/// as many at once, each with a token of their own; beyond, others are refused.
const CALLERS_MAX: usize = 65_536;
/// How soon after the last time those who paused are looked for again.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// What one caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second in the long run. Default 100.
    pub calls_per_second_max: u32,
    /// Calls at once after a pause. Default 300.
    pub calls_burst_max: u32,
    /// Open streams. Default 32.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls_per_second_max: 100, calls_burst_max: 300, streams_max: 32 }
    }
}

/// Counts calls.
pub(super) struct Calls {
    rate: Rate,
    callers_max: usize,
    callers: Mutex<Callers>,
}

struct Callers {
    buckets: HashMap<String, Bucket>,
    swept_at: Timestamp,
}

impl Calls {
    pub(super) fn new(limits: Limits) -> Self {
        let second = Duration::from_secs(1);
        let rate = Rate::new(limits.calls_per_second_max, second, limits.calls_burst_max);
        let callers = Callers { buckets: HashMap::new(), swept_at: Timestamp::MIN };
        Self { rate, callers_max: CALLERS_MAX, callers: Mutex::new(callers) }
    }

    /// Counts a call, or says when the caller may call again.
    pub(super) fn count(&self, subject: &str, now: Timestamp) -> Result<(), Refused> {
        let mut callers = lock(&self.callers);
        let is_new = !callers.buckets.contains_key(subject);
        if is_new && !callers.has_room(now, self.callers_max) {
            return Err(Refused::TooManyCalls { retry_after: SWEEP_PAUSE });
        }
        let bucket = callers.buckets.entry(subject.to_owned()).or_insert(Bucket::full(now));
        let taken = bucket.take(self.rate, now);
        taken.map_err(|retry_after| Refused::TooManyCalls { retry_after })
    }
}

impl Callers {
    /// Whether one more can be remembered; forgets who paused, if need be.
    fn has_room(&mut self, now: Timestamp, callers_max: usize) -> bool {
        let is_full = self.buckets.len() >= callers_max;
        if is_full && (now.since(self.swept_at) >= SWEEP_PAUSE || now < self.swept_at) {
            self.swept_at = now;
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.len() < callers_max
    }
}

/// Counts open streams. Clones count together.
#[derive(Clone)]
pub(in crate::grpc) struct Streams {
    /// `None` where nothing is limited.
    streams_max: Option<u32>,
    open: Arc<Mutex<HashMap<String, u32>>>,
}

/// A stream that is counted as long as this lives.
pub(in crate::grpc) struct OpenStream {
    streams: Streams,
    subject: String,
}

impl Streams {
    /// At most so many of each caller; `None` for any number.
    pub(in crate::grpc) fn new(streams_max: Option<u32>) -> Self {
        Self { streams_max, open: Arc::default() }
    }

    /// Counts a stream of this caller; the limit, if there are as many.
    pub(in crate::grpc) fn open(&self, subject: &str) -> Result<OpenStream, u32> {
        let mut open = lock(&self.open);
        let count = open.entry(subject.to_owned()).or_default();
        if let Some(streams_max) = self.streams_max.filter(|most| *count >= *most) {
            return Err(streams_max);
        }
        *count += 1;
        Ok(OpenStream { streams: self.clone(), subject: subject.to_owned() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = lock(&self.streams.open);
        if let Some(count) = open.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.subject);
            }
        }
    }
}

/// What is held is whole at every moment, so that a panic elsewhere spoils nothing.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(callers_max: usize) -> Calls {
        let limits = Limits { calls_per_second_max: 1, calls_burst_max: 2, streams_max: 2 };
        Calls { callers_max, ..Calls::new(limits) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn who_calls_too_often_is_told_when_to_come_back_and_others_are_not_refused() {
        let calls = calls(10);
        assert_eq!([(); 2].map(|()| calls.count("nora", at(0))), [Ok(()), Ok(())]);
        let retry_after = Duration::from_secs(1);
        assert_eq!(calls.count("nora", at(0)), Err(Refused::TooManyCalls { retry_after }));
        assert_eq!(calls.count("omar", at(0)), Ok(()));
        assert_eq!(calls.count("nora", at(1)), Ok(()));
    }

    #[test]
    fn of_callers_only_so_many_are_remembered_and_who_pauses_makes_room() {
        let calls = calls(2);
        assert!(calls.count("a", at(0)).is_ok() && calls.count("b", at(0)).is_ok());
        assert!(calls.count("c", at(0)).is_err());
        assert!(calls.count("c", at(1)).is_ok(), "a bucket is full again");
        assert!(lock(&calls.callers).buckets.len() <= 2);
    }

    #[test]
    fn a_caller_has_so_many_streams_and_one_that_ends_makes_room() {
        let streams = Streams::new(Some(2));
        let (one, two) = (streams.open("nora").ok(), streams.open("nora").ok());
        assert!(one.is_some() && two.is_some());
        assert_eq!(streams.open("nora").err(), Some(2));
        assert!(streams.open("omar").is_ok());
        drop(one);
        assert!(streams.open("nora").is_ok());
        drop(two);
        assert!(lock(&streams.open).is_empty(), "who has none is forgotten");
        let unlimited = Streams::new(None);
        let all: Vec<_> = (0..100).map(|_| unlimited.open("anonymous").ok()).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
