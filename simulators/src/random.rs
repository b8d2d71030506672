//! Seeded randomness, the same on every machine: SplitMix64, and streams of it by name.
//!
//! [`Random::stream`] promises that two streams have nothing to do with each other: who draws from
//! one changes no other, however many there are. It is no randomness for secrets.

/// SplitMix64: small, seeded, the same everywhere. Nothing here needs more.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// A stream of `seed`, told apart by all of `names`.
    pub(crate) fn stream(seed: u64, names: &[u64]) -> Self {
        // Each name is mixed in before the next: streams that began one step apart would be one
        // stream, shifted.
        let mixed = |state: u64, name: &u64| mix(state.wrapping_add(STEP) ^ mix(*name));
        Self(names.iter().fold(mix(seed), mixed))
    }

    /// 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 to just below 1.
    pub(crate) fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float")]
        let share = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }

    /// Between the two.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// A whole number from `-most` to `most`.
    pub(crate) fn whole(&mut self, most: i32) -> f64 {
        let most = f64::from(most);
        self.between(-most - 0.5, most + 0.5).round().clamp(-most, most)
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: i64, high: i64) -> i64 {
        let count = high.abs_diff(low).saturating_add(1);
        low.saturating_add_unsigned(self.bits() % count)
    }

    /// True in this share of cases.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn streams_do_not_meet() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            for name in 0..100 {
                for kind in 0..3 {
                    let mut random = Random::stream(seed, &[name, kind]);
                    (0..50).for_each(|_| assert!(seen.insert(random.bits()), "{seed} {name}"));
                }
            }
        }
    }

    #[test]
    fn what_is_drawn_lies_where_it_should() {
        let mut random = Random::stream(7, &[]);
        let drawn: Vec<i64> = (0..1000).map(|_| random.within(-2, 3)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&3)));
        assert!((0..1000).all(|_| random.whole(2).abs() <= 2.0));
        let hits = (0..10_000).filter(|_| random.chance(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!random.chance(0.0) && random.chance(1.0));
    }
}
