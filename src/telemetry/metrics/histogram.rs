//! Durations in log-linear buckets: eight to each power of two of microseconds, so that a quantile is within 6.25% of the truth.
//!
//! The scheme of HdrHistogram (Tene), with a fixed range: 1 microsecond to 2^32 (72 minutes); longer ones count as the longest.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets to each power of two.
const SUB: usize = 8;

/// Powers of two in the range.
const OCTAVES: usize = 32;

/// The first octaves have fewer than [`SUB`] distinct values and share the first buckets.
const BUCKETS: usize = (OCTAVES - 2) * SUB;

/// Upper bounds of the exported buckets, in microseconds.
pub(super) const BOUNDS: [(u64, &str); 14] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
    (300_000_000, "300"),
];

/// A histogram with one writer; takes memory with its first sample.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: OnceLock<Box<[AtomicU64]>>,
    sum_micros: AtomicU64,
}

/// Counts with one writer.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

fn index(micros: u64) -> usize {
    if micros < SUB as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() as usize;
    let sub = (micros >> (octave - 3)) as usize & (SUB - 1);
    ((octave - 2) * SUB + sub).min(BUCKETS - 1)
}

/// The smallest value of a bucket, in microseconds.
fn floor(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let octave = index / SUB + 2;
    ((SUB + index % SUB) as u64) << (octave - 3)
}

impl Histogram {
    /// Adds a sample.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(1 << OCTAVES);
        let buckets = self.buckets.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        add(&buckets[index(micros)], 1);
        add(&self.sum_micros, micros);
    }

    /// Adds what it holds to `snapshot`.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot) {
        let Some(buckets) = self.buckets.get() else { return };
        if snapshot.buckets.is_empty() {
            snapshot.buckets.resize(BUCKETS, 0);
        }
        for (sum, bucket) in snapshot.buckets.iter_mut().zip(buckets) {
            *sum += bucket.load(Relaxed);
        }
        snapshot.sum_micros += self.sum_micros.load(Relaxed);
    }
}

/// The sum of several histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    buckets: Vec<u64>,
    sum_micros: u64,
}

impl Snapshot {
    /// Adds the samples of another one.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (sum, bucket) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*bucket);
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// Adds one sample, in seconds.
    pub fn record(&mut self, seconds: f64) {
        let micros = ((seconds.max(0.0) * 1e6) as u64).min(1 << OCTAVES);
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        self.buckets[index(micros)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Returns the samples that came since `earlier`, an earlier state of the same sum.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |index: usize| earlier.buckets.get(index).copied().unwrap_or(0);
        let buckets = self.buckets.iter().enumerate().map(|(index, count)| count.saturating_sub(before(index))).collect();
        Self { buckets, sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros) }
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of the samples, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum_micros as f64 / 1e6
    }

    /// Returns the mean in seconds, `None` without samples.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum() / count as f64)
    }

    /// Returns the value in seconds that `quantile` (0 to 1) of the samples do not exceed, `None` without samples.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if seen >= rank {
                // The middle of the bucket halves the worst error.
                return Some((floor(index) + floor(index + 1)) as f64 / 2.0 / 1e6);
            }
        }
        None
    }

    /// Returns how many samples are at most `micros`, for an exported bucket.
    pub(super) fn at_most(&self, micros: u64) -> u64 {
        self.buckets.iter().enumerate().take_while(|(index, _)| floor(index + 1) <= micros + 1).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for i in 0..BUCKETS - 1 {
            assert!(floor(i) < floor(i + 1));
            assert_eq!(index(floor(i)), i);
            assert_eq!(index(floor(i + 1) - 1), i);
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Snapshot::default().quantile(0.5), None);
        assert_eq!(Snapshot::default().mean(), None);
    }

    #[test]
    fn the_longest_duration_is_counted() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        let mut snapshot = Snapshot::default();
        histogram.add_to(&mut snapshot);
        assert_eq!(snapshot.count(), 1);
    }

    #[test]
    fn what_came_since_then_is_the_difference() {
        let mut sum = Snapshot::default();
        sum.record(0.005);
        let then = sum.clone();
        sum.record(0.08);
        let mut news = Snapshot::default();
        news.record(0.08);
        assert_eq!(sum.since(&then), news);
        assert_eq!(sum.since(&sum).count(), 0);
        let mut both = then.clone();
        both.add(&news);
        assert_eq!(both, sum);
        assert_eq!(then.since(&sum).count(), 0, "a state that is not earlier yields nothing");
    }

    proptest! {
        #[test]
        fn quantiles_are_within_their_error(mut samples in proptest::collection::vec(8_u64..3_000_000_000, 1..200), q in 0.0..1.0_f64) {
            let histogram = Histogram::default();
            for &micros in &samples {
                histogram.record(Duration::from_micros(micros));
            }
            let mut snapshot = Snapshot::default();
            histogram.add_to(&mut snapshot);
            samples.sort_unstable();
            let rank = ((samples.len() as f64 * q).ceil() as usize).clamp(1, samples.len());
            let truth = samples[rank - 1] as f64 / 1e6;
            let said = snapshot.quantile(q).unwrap();
            prop_assert!((said - truth).abs() <= truth * 0.0626, "{said} is not near {truth}");
        }
    }
}
