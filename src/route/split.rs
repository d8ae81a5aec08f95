//! Divides a route's requests over its pools by weight, in a smooth rotation.
//!
//! A rotation rather than a draw: over each cycle every pool gets exactly its share, and a canary of 5% gets one request in twenty, never
//! five in a row by chance. Each worker turns its own; all begin alike, so nothing here is random.

/// A smooth rotation over weighted places (the "smooth weighted round-robin" of nginx's `upstream` module).
///
/// Weights 5, 1, 1 give 0, 0, 1, 0, 2, 0, 0 and again.
#[derive(Clone, Debug)]
pub struct Rotation {
    places: Box<[Place]>,
    total: i64,
}

#[derive(Clone, Debug)]
struct Place {
    weight: i64,
    /// How far the place is behind its due; the sum over all places is 0 between calls.
    credit: i64,
}

impl Rotation {
    /// Begins a rotation; the place in `weights` is what [`next`](Self::next) returns.
    pub fn new(weights: &[u32]) -> Self {
        let places: Box<[Place]> = weights.iter().map(|weight| Place { weight: (*weight).into(), credit: 0 }).collect();
        let total = places.iter().map(|place| place.weight).sum();
        Self { places, total }
    }

    /// Returns the place whose turn it is: never one of weight 0 unless all are, then 0. Costs one step per place.
    #[expect(clippy::should_implement_trait, reason = "a rotation has no end, so an iterator's Option would be noise")]
    pub fn next(&mut self) -> usize {
        if self.places.len() < 2 {
            return 0;
        }
        let mut best: Option<(usize, i64)> = None;
        for (index, place) in self.places.iter_mut().enumerate().filter(|(_, place)| place.weight > 0) {
            place.credit += place.weight;
            if best.is_none_or(|(_, credit)| place.credit > credit) {
                best = Some((index, place.credit));
            }
        }
        let Some((index, _)) = best else { return 0 };
        self.places[index].credit -= self.total;
        index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn turns(weights: &[u32], n: usize) -> Vec<usize> {
        let mut rotation = Rotation::new(weights);
        (0..n).map(|_| rotation.next()).collect()
    }

    #[test]
    fn the_rotation_is_smooth() {
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[1, 1], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn weight_zero_never_has_its_turn() {
        assert_eq!(turns(&[0, 3, 0], 3), [1, 1, 1]);
    }

    #[test]
    fn without_any_weight_the_first_place_is_named() {
        assert_eq!(turns(&[], 2), [0, 0]);
        assert_eq!(turns(&[7], 2), [0, 0]);
        assert_eq!(turns(&[0, 0], 2), [0, 0]);
    }

    #[test]
    fn a_canary_is_spread_evenly() {
        let at: Vec<usize> = turns(&[95, 5], 100).iter().enumerate().filter(|(_, place)| **place == 1).map(|(n, _)| n).collect();
        assert_eq!(at.len(), 5);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 20), "{at:?}");
    }

    proptest! {
        #[test]
        fn each_cycle_gives_exact_shares(weights in prop::collection::vec(0u32..50, 1..6).prop_filter("some weight", |w| w.iter().any(|w| *w > 0))) {
            let total = weights.iter().sum::<u32>() as usize;
            let two_cycles = turns(&weights, 2 * total);
            for cycle in two_cycles.chunks(total) {
                for (index, weight) in weights.iter().enumerate() {
                    prop_assert_eq!(cycle.iter().filter(|turn| **turn == index).count(), *weight as usize);
                }
            }
        }

        #[test]
        fn the_largest_weights_do_not_overflow(n in 1usize..8) {
            let mut rotation = Rotation::new(&vec![u32::MAX; n]);
            for _ in 0..100 {
                prop_assert!(rotation.next() < n);
            }
        }
    }
}
