//! Numbers that are the same for the same seed, in every version of this program and on every machine.
//!
//! Each step of a campaign has numbers of its own, made of the campaign's seed and the step's index: a step is
//! planned without those before it, and so repeated alone.

/// A generator of numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The numbers of one step.
    pub(super) fn of(seed: u64, index: u64) -> Self {
        let mut mixed = Self(seed);
        let mixed = mixed.next() ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`, which is not empty.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The bias is far smaller than anybody could notice here.
        self.next() % end
    }

    /// One of them.
    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).expect("an index")]
    }

    /// One of them, each as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, all: &[(u32, T)]) -> T {
        let total = all.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.below(total);
        for (weight, one) in all {
            let weight = u64::from(*weight);
            if at < weight {
                return *one;
            }
            at -= weight;
        }
        unreachable!("it is below the sum of all weights")
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_seed_and_index_for_ever() {
        let numbers = |seed, index| {
            let mut random = Random::of(seed, index);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(numbers(7, 0), numbers(7, 0));
        assert_ne!(numbers(7, 0), numbers(7, 1));
        assert_ne!(numbers(7, 0), numbers(8, 0));
        // A seed that was printed once is good for ever.
        assert_eq!(numbers(1, 1), [59, 596, 884]);
    }

    #[test]
    fn every_one_comes_and_those_without_weight_do_not() {
        let mut random = Random::of(1, 1);
        let mut seen = [0; 3];
        for _ in 0..1000 {
            seen[random.weighted(&[(1, 0), (0, 1), (9, 2)])] += 1;
        }
        assert!(seen[0] > 0 && seen[1] == 0 && seen[2] > seen[0], "{seen:?}");
    }
}
