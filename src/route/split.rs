//! The shares of a route's pools.
//!
//! A rotation, not a lottery: whoever asks counts its turns, and over any W turns in a row (W = the sum of the weights in lowest
//! terms) every pool gets exactly its weight. A lottery strays by the square root of the number of requests, which for a 5% canary
//! means long droughts and bursts. Turns walk the circle of W places in steps of about W times the golden ratio (a Weyl sequence),
//! so the shares are interleaved also within a round, and a pick needs no state but the number of the turn: no lock, no table.
//! A request does not stay with a pool: who needs that matches on a header or hashes inside one pool.

use crate::model::Split;

/// 2^64 divided by the golden ratio: the step whose multiples are spread most evenly (Knuth, TAOCP volume 3, section 6.4).
const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;

/// Deals turns out to pools in proportion to their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splitter {
    /// The end of each pool's stretch of the circle; empty stretches take nothing.
    ends: Box<[u64]>,
    /// Coprime to the length of the circle, so that a round visits each place once.
    step: u64,
}

/// Why weights cannot be dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitterError {
    /// There is no pool.
    #[error("a split names no pool")]
    Empty,
    /// Nothing can take a request.
    #[error("every weight of a split is 0")]
    Weightless,
}

impl Splitter {
    /// Takes the weights of `splits`; a pool of weight 0 gets nothing.
    ///
    /// # Errors
    /// When there is no pool, or every weight is 0.
    pub fn new(splits: &[Split]) -> Result<Self, SplitterError> {
        if splits.is_empty() {
            return Err(SplitterError::Empty);
        }
        let divisor = splits.iter().fold(0, |divisor, split| gcd(divisor, u64::from(split.weight)));
        if divisor == 0 {
            return Err(SplitterError::Weightless);
        }
        let ends = splits.iter().scan(0_u64, |sum, split| {
            // A sum that overflows would need 2^32 pools.
            *sum = sum.saturating_add(u64::from(split.weight) / divisor);
            Some(*sum)
        });
        let ends: Box<[u64]> = ends.collect();
        let step = step(ends.last().copied().unwrap_or(1));
        Ok(Self { ends, step })
    }

    /// Returns the index of the pool whose turn it is. The caller counts turns, one counter for each worker and route; workers that
    /// start at different turns do not move in step.
    pub fn pick(&self, turn: u64) -> usize {
        let [ends @ .., last] = &*self.ends else { return 0 };
        if ends.is_empty() {
            return 0;
        }
        // Fits: a remainder of `last`.
        let place = (u128::from(turn % last) * u128::from(self.step) % u128::from(*last)) as u64;
        self.ends.partition_point(|&end| end <= place)
    }
}

/// Returns the number coprime to `length` that is nearest to `length` divided by the golden ratio.
fn step(length: u64) -> u64 {
    let ideal = ((u128::from(length) * GOLDEN) >> 64) as u64;
    let near = (0..length).flat_map(|off| [ideal.saturating_sub(off), ideal.saturating_add(off)]);
    near.filter(|&step| step > 0).find(|&step| gcd(step, length) == 1).unwrap_or(1)
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn splitter(weights: &[u32]) -> Result<Splitter, SplitterError> {
        let splits: Vec<_> = weights.iter().map(|&weight| Split { pool: "p".parse().unwrap(), weight }).collect();
        Splitter::new(&splits)
    }

    #[test]
    fn a_split_without_any_weight_is_refused() {
        assert_eq!(splitter(&[]), Err(SplitterError::Empty));
        assert_eq!(splitter(&[0, 0]), Err(SplitterError::Weightless));
    }

    #[test]
    fn a_canary_comes_at_even_intervals() {
        let canary = splitter(&[95, 5]).unwrap();
        let turns: Vec<u64> = (0..200).filter(|&turn| canary.pick(turn) == 1).collect();
        assert_eq!(turns.len(), 10);
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == 20), "{turns:?}");
    }

    #[test]
    fn shares_are_interleaved_within_a_round() {
        let shares = splitter(&[50, 30, 20]).unwrap();
        let picks: Vec<usize> = (0..20).map(|turn| shares.pick(turn)).collect();
        assert!(picks.windows(3).all(|three| three.iter().any(|&pick| pick != three[0])), "{picks:?}");
    }

    #[test]
    fn a_pool_of_weight_zero_gets_nothing() {
        let middle = splitter(&[0, 3, 0, 2, 0]).unwrap();
        assert!((0..50).all(|turn| matches!(middle.pick(turn), 1 | 3)));
        assert!((0..50).all(|turn| splitter(&[0, 7]).unwrap().pick(turn) == 1));
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let large = splitter(&[u32::MAX, u32::MAX - 1, 1]).unwrap();
        let first = (0..10_000).filter(|&turn| large.pick(u64::MAX - turn) == 0).count();
        assert!((4_990..=5_010).contains(&first), "{first}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_round_gives_each_pool_exactly_its_weight(
            weights in proptest::collection::vec(0..60_u32, 1..6), start in 0..1_000_000_u64,
        ) {
            let Ok(splitter) = splitter(&weights) else { return Ok(()) };
            let total = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            let mut counts = vec![0; weights.len()];
            for turn in start..start + total {
                counts[splitter.pick(turn)] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn a_share_is_never_far_from_due(weights in proptest::collection::vec(1..1_000_u32, 2..5), start in any::<u32>()) {
            let splitter = splitter(&weights).unwrap();
            let total = f64::from(weights.iter().sum::<u32>());
            let mut counts = vec![0_u32; weights.len()];
            for turn in 0..2_000_u32 {
                counts[splitter.pick(u64::from(start) + u64::from(turn))] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    let due = f64::from(turn + 1) * f64::from(*weight) / total;
                    prop_assert!((f64::from(*count) - due).abs() <= 8.0, "{count} instead of {due} at {turn}");
                }
            }
        }
    }
}
