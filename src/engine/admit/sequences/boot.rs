//! One boot of a device: its high-water mark, and the gaps below it.

use serde::{Deserialize, Serialize};

/// Numbers from the first, inclusive, to the second, exclusive.
pub(super) type Span = (u64, u64);

/// One boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::admit) struct Boot {
    pub(super) id: u64,
    /// One past the highest number that has come.
    pub(super) next: u64,
    /// Spans below `next` that have not come, ascending and apart.
    pub(super) gaps: Vec<Span>,
}

/// Number 0 of a device that begins at 1.
pub(super) const ZERO_ALONE: Span = (0, 1);

/// Spans by their distance from the end of the one before, and their length: small numbers, which
/// pack into few bytes.
pub(super) fn relative(spans: &[Span]) -> Vec<Span> {
    let mut end = 0;
    let mut distance = |(start, until): &Span| {
        let relative = (start.wrapping_sub(end), until.wrapping_sub(*start));
        end = *until;
        relative
    };
    spans.iter().map(&mut distance).collect()
}

pub(super) fn absolute(mut spans: Vec<Span>) -> Vec<Span> {
    let mut end = 0_u64;
    for (start, until) in &mut spans {
        *start = end.wrapping_add(*start);
        *until = start.wrapping_add(*until);
        end = *until;
    }
    spans
}

impl Boot {
    /// Whether its gaps are ascending, apart and below its mark.
    pub(super) fn is_sound(&self) -> bool {
        let mut end = 0;
        self.gaps.iter().all(|(start, until)| {
            let is_sound = end <= *start && start < until && *until <= self.next;
            end = *until;
            is_sound
        })
    }

    /// Records that the numbers from `first` up to `end`, exclusive, have come; says whether that
    /// opened a gap.
    pub(super) fn come(&mut self, first: u64, end: u64) -> bool {
        let opened = (self.next, first);
        if first > self.next {
            self.gaps.push(opened);
        } else {
            self.close(first, end);
        }
        self.next = self.next.max(end);
        first > opened.0 && opened != ZERO_ALONE
    }

    /// Takes the numbers from `first` up to `end` out of the gaps.
    fn close(&mut self, first: u64, end: u64) {
        let mut left = Vec::with_capacity(self.gaps.len() + 1);
        for (start, until) in self.gaps.drain(..) {
            let (below, above) = ((start, until.min(first)), (start.max(end), until));
            left.extend([below, above].into_iter().filter(|(start, until)| start < until));
        }
        self.gaps = left;
    }

    /// Makes the `count + 1` lowest gaps one; says how many were lost by that.
    pub(super) fn join_lowest(&mut self, count: usize) -> u64 {
        if count > 0 {
            self.gaps[count].0 = self.gaps[0].0;
            self.gaps.drain(..count);
        }
        count as u64
    }
}
