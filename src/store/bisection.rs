//! Finds the rows that a database refuses, by trying ever smaller parts.
//!
//! Promises: every row is tried until a part with it was taken, or it was refused alone; rows are
//! taken in their order. Of `n` rows of which `k` are refused, at most `1 + 2 k ceil(log2 n)` parts
//! are tried, and never more than `2 n - 1`.

use std::ops::Range;

/// What is still to be tried, the next part last.
#[derive(Debug)]
pub(super) struct Bisection {
    waiting: Vec<Range<usize>>,
}

impl Bisection {
    /// Of so many rows, none of which was tried.
    pub(super) fn of(rows: usize) -> Self {
        let whole = (rows > 0).then_some(0..rows);
        Self { waiting: whole.into_iter().collect() }
    }

    /// The part to try next. It counts as taken unless [`Bisection::refused`] says otherwise.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        self.waiting.pop()
    }

    /// A part was refused. Gives the row if it is alone; else its halves will be tried.
    pub(super) fn refused(&mut self, part: Range<usize>) -> Option<usize> {
        if part.len() <= 1 {
            return Some(part.start);
        }
        let middle = part.start + part.len() / 2;
        self.waiting.push(middle..part.end);
        self.waiting.push(part.start..middle);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The rows that were taken, those that were refused, and how many parts were tried.
    fn sift(rows: usize, bad: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut taken, mut refused, mut tries) = (Vec::new(), Vec::new(), 0);
        let mut bisection = Bisection::of(rows);
        while let Some(part) = bisection.next() {
            tries += 1;
            if bad.range(part.clone()).next().is_none() {
                taken.extend(part);
            } else {
                refused.extend(bisection.refused(part));
            }
        }
        (taken, refused, tries)
    }

    #[test]
    fn no_rows_are_not_tried() {
        assert_eq!(sift(0, &BTreeSet::new()), (vec![], vec![], 0));
    }

    #[test]
    fn rows_that_are_all_refused_are_found_in_bounded_time() {
        let (taken, refused, tries) = sift(1000, &(0..1000).collect());
        assert_eq!((taken.len(), refused.len(), tries), (0, 1000, 1999));
    }

    proptest! {
        #[test]
        fn exactly_the_bad_rows_are_refused(
            rows in 1_usize..3000,
            bad in prop::collection::btree_set(0_usize..3000, 0..20),
        ) {
            let bad: BTreeSet<_> = bad.into_iter().filter(|row| *row < rows).collect();
            let (taken, refused, tries) = sift(rows, &bad);
            prop_assert_eq!(&refused, &bad.iter().copied().collect::<Vec<_>>());
            prop_assert!(taken.is_sorted());
            prop_assert_eq!(taken.len() + refused.len(), rows);
            let depth = rows.next_power_of_two().ilog2() as usize;
            prop_assert!(tries <= 1 + 2 * bad.len() * depth, "{} tries", tries);
            prop_assert!(tries < 2 * rows);
        }
    }
}
