//! The last few numbers, their mean and their median, shared by threads without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The last `N` numbers.
///
/// The mean costs one division. Each number enters by one swap, whose old value leaves the sum, so the sum is exact once the writers are
/// done, in whatever order they came; a reader beside them may be off by the numbers that are just being written.
#[derive(Debug)]
pub struct Window<const N: usize> {
    slots: [AtomicU32; N],
    pushed: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Window<N> {
    fn default() -> Self {
        Self { slots: [const { AtomicU32::new(0) }; N], pushed: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Window<N> {
    /// Takes in a number; the oldest leaves when `N` are there.
    pub fn push(&self, number: u32) {
        let turn = self.pushed.fetch_add(1, Relaxed);
        // `N` fits any integer that counts to it, and a window of none has no slot.
        let Some(slot) = turn.checked_rem(N as u64).and_then(|slot| self.slots.get(slot as usize)) else { return };
        let old = slot.swap(number, Relaxed);
        self.sum.fetch_add(u64::from(number).wrapping_sub(u64::from(old)), Relaxed);
    }

    /// Returns how many numbers are there, at most `N`.
    pub fn len(&self) -> usize {
        self.pushed.load(Relaxed).min(N as u64) as usize
    }

    /// Tells whether there is no number yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the mean, `None` without a number.
    pub fn mean(&self) -> Option<f64> {
        let len = self.len();
        // A writer that has swapped but not yet added can make the sum seem negative.
        (len > 0).then(|| (self.sum.load(Relaxed) as i64).max(0) as f64 / len as f64)
    }

    /// Returns the median of the `last` numbers (of all when there are fewer), the lower one of an even count; `None` without a number.
    ///
    /// Looks at a copy: O(`N`), and off by the numbers that are just being written.
    pub fn median(&self, last: usize) -> Option<u32> {
        let pushed = self.pushed.load(Relaxed);
        let count = pushed.min(N as u64).min(last as u64);
        let mut copy = [0; N];
        let mut filled = 0;
        for (to, turn) in copy.iter_mut().zip(pushed - count..pushed) {
            *to = turn.checked_rem(N as u64).and_then(|slot| self.slots.get(slot as usize)).map_or(0, |slot| slot.load(Relaxed));
            filled += 1;
        }
        let numbers = copy.get_mut(..filled).filter(|numbers| !numbers.is_empty())?;
        let middle = (numbers.len() - 1) / 2;
        Some(*numbers.select_nth_unstable(middle).1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_window_of_nothing_has_no_mean() {
        assert_eq!(Window::<4>::default().mean(), None);
        let none = Window::<0>::default();
        none.push(1);
        assert!(none.is_empty());
    }

    #[test]
    fn the_median_is_of_the_last_ones_only() {
        let window = Window::<5>::default();
        assert_eq!(window.median(5), None);
        [90, 1, 2, 80, 3, 70, 4].iter().for_each(|&number| window.push(number));
        assert_eq!([0, 1, 2, 3, 5, 99].map(|last| window.median(last)), [None, Some(4), Some(4), Some(4), Some(4), Some(4)]);
        window.push(60);
        assert_eq!([1, 2, 3, 4, 5].map(|last| window.median(last)), [60, 4, 60, 4, 60].map(Some));
        assert_eq!(Window::<0>::default().median(1), None);
    }

    #[test]
    fn the_sum_is_exact_after_threads_raced() {
        let window = Window::<100>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|n| window.push(n)));
            }
        });
        let held: u64 = window.slots.iter().map(|slot| u64::from(slot.load(Relaxed))).sum();
        assert_eq!(window.sum.load(Relaxed), held);
    }

    proptest! {
        #[test]
        fn the_mean_is_that_of_the_last_ones(numbers in prop::collection::vec(any::<u32>(), 1..40)) {
            let window = Window::<10>::default();
            numbers.iter().for_each(|&number| window.push(number));
            let last: Vec<_> = numbers.iter().rev().take(10).map(|&number| f64::from(number)).collect();
            prop_assert_eq!(window.len(), last.len());
            let mean = last.iter().sum::<f64>() / last.len() as f64;
            prop_assert!((window.mean().unwrap() - mean).abs() < 1e-3);
        }

        #[test]
        fn half_of_the_last_ones_are_on_each_side_of_the_median(numbers in prop::collection::vec(any::<u32>(), 1..40), last in 1..12_usize) {
            let window = Window::<10>::default();
            numbers.iter().for_each(|&number| window.push(number));
            let mut sorted: Vec<_> = numbers.iter().rev().take(last.min(10)).copied().collect();
            sorted.sort_unstable();
            prop_assert_eq!(window.median(last), Some(sorted[(sorted.len() - 1) / 2]));
        }
    }
}
