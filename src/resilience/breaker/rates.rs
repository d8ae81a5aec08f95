//! Pure: successes and failures of a sliding window in ten buckets.
//!
//! The bucket that is being filled counts with the nine before it, so the window is between nine tenths of its length and all of it. Does
//! not judge.

use std::time::Duration;

use crate::kit::clock::Tick;

const BUCKETS: u64 = 10;

/// Counts of the last window.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    bucket_nanos: u64,
    buckets: [Bucket; BUCKETS as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    number: u64,
    successes: u32,
    failures: u32,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Sum {
    pub(super) const fn attempts(self) -> u64 {
        self.successes + self.failures
    }

    /// Returns successes over attempts, `None` without any.
    pub(super) fn success_rate(self) -> Option<f64> {
        (self.attempts() > 0).then(|| self.successes as f64 / self.attempts() as f64)
    }
}

impl Rates {
    pub(super) fn new(window: Duration) -> Self {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Self { bucket_nanos: (nanos / BUCKETS).max(1), buckets: [Bucket::default(); BUCKETS as usize] }
    }

    pub(super) const fn bucket_nanos(&self) -> u64 {
        self.bucket_nanos
    }

    pub(super) fn clear(&mut self) {
        self.buckets = [Bucket::default(); BUCKETS as usize];
    }

    pub(super) fn add(&mut self, at: Tick, successes: u32, failures: u32) {
        let number = at.as_nanos() / self.bucket_nanos;
        // Below ten, so it fits.
        let bucket = &mut self.buckets[(number % BUCKETS) as usize];
        if number != bucket.number {
            *bucket = Bucket { number, ..Bucket::default() };
        }
        bucket.successes = bucket.successes.saturating_add(successes);
        bucket.failures = bucket.failures.saturating_add(failures);
    }

    pub(super) fn sum(&self, now: Tick) -> Sum {
        let current = now.as_nanos() / self.bucket_nanos;
        // Threads read the clock a little apart: a bucket may have begun after `now`.
        let recent = self.buckets.iter().filter(|bucket| bucket.number.abs_diff(current) < BUCKETS);
        recent.fold(Sum::default(), |sum, bucket| Sum {
            successes: sum.successes + u64::from(bucket.successes),
            failures: sum.failures + u64::from(bucket.failures),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_bucket_leaves_when_the_window_has_passed_it() {
        let mut rates = Rates::new(Duration::from_secs(10));
        rates.add(at(500), 1, 2);
        assert_eq!(rates.sum(at(9_999)), Sum { successes: 1, failures: 2 });
        assert_eq!(rates.sum(at(10_000)), Sum::default());
    }

    #[test]
    fn a_count_of_a_clock_that_is_a_little_ahead_is_seen() {
        let mut rates = Rates::new(Duration::from_secs(10));
        rates.add(at(15_001), 1, 0);
        assert_eq!(rates.sum(at(14_999)).attempts(), 1);
    }

    #[test]
    fn a_window_of_nothing_or_for_ever_still_counts() {
        for window in [Duration::ZERO, Duration::MAX] {
            let mut rates = Rates::new(window);
            rates.add(at(1), 1, 1);
            assert_eq!(rates.sum(at(1)).success_rate(), Some(0.5));
        }
    }

    proptest! {
        #[test]
        fn the_sum_holds_all_of_nine_tenths_and_nothing_older_than_the_window(
            adds in prop::collection::vec((0_u64..3_000, 0_u32..3, 0_u32..3), 1..80),
        ) {
            let mut rates = Rates::new(Duration::from_secs(10));
            let mut now = 0;
            let mut all = Vec::new();
            for &(pause, successes, failures) in &adds {
                now += pause;
                rates.add(at(now), successes, failures);
                all.push((now, u64::from(successes + failures)));
            }
            let within = |ms: u64| all.iter().filter(|(then, _)| then + ms > now).map(|(_, n)| n).sum::<u64>();
            let attempts = rates.sum(at(now)).attempts();
            prop_assert!(within(9_000) <= attempts && attempts <= within(10_000));
            prop_assert_eq!(rates.sum(at(now + 10_000)).attempts(), 0);
        }
    }
}
