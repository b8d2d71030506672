//! The recent past in slices: a bounded memory of a moving window, by measured time.
//!
//! A slice begins with the first reading that no longer belongs to the slice before, and takes
//! the readings of one width after it. So no hour on the clock has a part in it: the same course
//! of readings an hour later is cut the same.
//!
//! A slice falls out whole, once the reading that began it is older than the window. What is kept
//! is therefore never older than the window; of readings that come closely it may reach one width
//! less far back, and of readings further apart than a width it reaches back exactly. A gap stays
//! a gap: nothing is filled in, and time passes only with readings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// At most `MAX` slices, two or more, of what `T` keeps of the readings of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slices<T, const MAX: u32> {
    /// From the oldest to the newest, each begun a width or more after the one before.
    slices: Vec<Slice<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slice<T> {
    /// When the reading that began it was measured.
    begun: Timestamp,
    kept: T,
}

impl<T, const MAX: u32> Default for Slices<T, MAX> {
    fn default() -> Self {
        Self { slices: Vec::new() }
    }
}

impl<T: Default, const MAX: u32> Slices<T, MAX> {
    /// Lets go of what is older than the window; true if there was something.
    pub(super) fn let_go(&mut self, window: Duration, now: Timestamp) -> bool {
        let horizon = now.minus(window);
        let old = self.slices.iter().take_while(|slice| slice.begun < horizon).count();
        self.slices.drain(..old);
        old > 0
    }

    /// The slice of a reading measured `now`, which is not before any reading so far. Call
    /// [`Slices::let_go`] before.
    pub(super) fn newest(&mut self, window: Duration, now: Timestamp) -> &mut T {
        debug_assert!(self.slices.last().is_none_or(|slice| slice.begun <= now), "out of order");
        // One slice less than there may be, because the window touches one more than it holds.
        let width = window / (MAX - 1);
        if self.slices.last().is_none_or(|slice| now.since(slice.begun) >= width) {
            self.begin(now);
        }
        &mut self.slices.last_mut().expect("a slice has begun").kept
    }

    fn begin(&mut self, now: Timestamp) {
        // Happens only after the window has changed: slices of one width fit it.
        if self.slices.len() >= MAX as usize {
            self.slices.remove(0);
        }
        self.slices.push(Slice { begun: now, kept: T::default() });
    }

    /// What is kept of each slice, from the oldest to the newest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.slices.iter().map(|slice| &slice.kept)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps the seconds of its readings themselves, of a window of 30 s in slices of 10 s.
    fn check(seconds: &[i64], expected: &[&[i64]]) {
        let window = Duration::from_secs(30);
        let mut slices = Slices::<Vec<i64>, 4>::default();
        for second in seconds {
            let now = Timestamp::from_seconds(*second);
            slices.let_go(window, now);
            slices.newest(window, now).push(*second);
        }
        assert_eq!(slices.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_slice_begins_with_its_first_reading_and_takes_those_of_one_width() {
        check(&[3, 5, 12, 13, 14, 40], &[&[13, 14], &[40]]);
        check(&[3, 5, 12, 13, 14, 33], &[&[3, 5, 12], &[13, 14], &[33]]);
    }

    #[test]
    fn readings_far_apart_reach_back_over_exactly_the_window() {
        check(&[0, 15, 30], &[&[0], &[15], &[30]]);
        check(&[0, 15, 31], &[&[15], &[31]]);
    }

    #[test]
    fn after_a_gap_longer_than_the_window_it_begins_anew() {
        check(&[0, 1, 2, 100], &[&[100]]);
    }

    #[test]
    fn when_the_window_grows_the_oldest_slice_makes_room() {
        let mut slices = Slices::<Vec<i64>, 4>::default();
        for (second, window) in [(0, 30), (10, 30), (20, 30), (30, 30), (400, 900)] {
            let (now, window) = (Timestamp::from_seconds(second), Duration::from_secs(window));
            slices.let_go(window, now);
            slices.newest(window, now).push(second);
        }
        assert_eq!(slices.iter().flatten().collect::<Vec<_>>(), [&10, &20, &30, &400]);
    }

    proptest! {
        #[test]
        fn never_more_slices_than_the_bound_even_if_the_window_changes(
            steps in proptest::collection::vec((0..50_i64, 0..100_u64), 0..200),
        ) {
            let mut slices = Slices::<u8, 8>::default();
            let mut second = 0;
            for (step, window) in steps {
                second += step;
                let now = Timestamp::from_seconds(second);
                slices.let_go(Duration::from_secs(window), now);
                slices.newest(Duration::from_secs(window), now);
                prop_assert!(slices.iter().count() <= 8);
            }
        }

        #[test]
        fn of_one_window_nothing_younger_than_it_less_a_width_is_lost(
            steps in proptest::collection::vec(0..20_i64, 1..200),
        ) {
            let window = Duration::from_secs(70);
            let mut slices = Slices::<Vec<i64>, 8>::default();
            let (mut second, mut all) = (0, Vec::new());
            for step in steps {
                second += step;
                all.push(second);
                slices.let_go(window, Timestamp::from_seconds(second));
                slices.newest(window, Timestamp::from_seconds(second)).push(second);
                let kept: Vec<i64> = slices.iter().flatten().copied().collect();
                prop_assert!(all.ends_with(&kept));
                prop_assert!(kept.iter().all(|kept| second - kept <= 70));
                let young = all.iter().filter(|at| second - *at <= 60).count();
                prop_assert!(kept.len() >= young);
            }
        }
    }
}
