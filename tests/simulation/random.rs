//! Randomness that is the same everywhere: SplitMix64, by integers only.
//!
//! One seed gives one run, on every platform and with every version of every library. It serves
//! to spread faults over a ward, and nothing that needs to be unpredictable.

/// A stream of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own, so that who draws more from it shifts nobody else's numbers.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to just before `high`.
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        let width = u128::try_from(high - low).expect("low is below high");
        let offset = (u128::from(self.next()) * width) >> 64;
        low + i64::try_from(offset).expect("less than the width")
    }

    /// An index of a list of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let length = i64::try_from(length).expect("a short list");
        usize::try_from(self.range(0, length)).expect("not negative")
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// True this often in a thousand.
    pub(crate) fn per_mille(&mut self, chances: i64) -> bool {
        self.range(0, 1000) < chances
    }

    /// A waiting time with this mean, never zero.
    pub(crate) fn wait(&mut self, mean: i64) -> i64 {
        self.range(mean / 8, mean * 15 / 8).max(1)
    }
}
