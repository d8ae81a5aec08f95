//! A moving average that believes bad news at once and good news slowly.
//!
//! Peak EWMA as in Finagle's `PeakEwma` load balancer: a sample above the average replaces it, a sample below pulls it down with
//! weight `1 - exp(-elapsed / decay)`. Value and time share one atomic word, so that any number of threads may record and read
//! without a lock and without ever seeing one half of an update.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::clock::Tick;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The average of durations that the module describes.
///
/// The upper half of the word is the average in seconds as `f32` (0 until the first sample), the lower half the time of the last sample
/// in milliseconds. The time wraps after 49 days: an average untouched for that long looks fresh again, which is harmless.
#[derive(Debug, Default)]
pub struct PeakEwma(AtomicU64);

/// What is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The average in seconds after the last sample; positive.
    pub last: f64,
    /// The same, faded towards 0 by the time that has passed since.
    pub faded: f64,
}

impl PeakEwma {
    /// Takes in a sample; `decay` is the time in which the past loses all but 1/e of its weight.
    pub fn record(&self, sample: Duration, decay: Duration, now: Tick) {
        // A sample of nothing would read as "never measured".
        let sample = sample.as_secs_f32().max(1e-9);
        let stamp = millis(now);
        let mut word = self.0.load(Relaxed);
        loop {
            let (average, then) = unpack(word);
            let next = if sample >= average {
                sample
            } else {
                let past = fade(then, stamp, decay) as f32;
                average * past + sample * (1.0 - past)
            };
            match self.0.compare_exchange_weak(word, pack(next, latest(then, stamp)), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }

    /// Returns what is known at `now`, `None` before the first sample.
    pub fn read(&self, decay: Duration, now: Tick) -> Option<Reading> {
        let (average, then) = unpack(self.0.load(Relaxed));
        (average > 0.0).then(|| {
            let last = f64::from(average);
            Reading { last, faded: last * fade(then, millis(now), decay) }
        })
    }

    /// Returns the average in seconds after the last sample, `None` before the first.
    pub fn last(&self) -> Option<f64> {
        let (average, _) = unpack(self.0.load(Relaxed));
        (average > 0.0).then(|| f64::from(average))
    }
}

/// Milliseconds, wrapped.
const fn millis(now: Tick) -> u32 {
    (now.as_nanos() / NANOS_PER_MILLI) as u32
}

/// Returns the later of two wrapped times: threads may record out of order.
const fn latest(a: u32, b: u32) -> u32 {
    if b.wrapping_sub(a) < u32::MAX / 2 { b } else { a }
}

fn fade(then: u32, now: u32, decay: Duration) -> f64 {
    let elapsed = f64::from(latest(then, now).wrapping_sub(then)) / 1000.0;
    (-elapsed / decay.as_secs_f64().max(1e-3)).exp()
}

fn pack(average: f32, stamp: u32) -> u64 {
    (u64::from(average.to_bits()) << 32) | u64::from(stamp)
}

const fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * NANOS_PER_MILLI)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_is_known_before_the_first_sample() {
        assert_eq!(PeakEwma::default().read(DECAY, at(5)), None);
        assert_eq!(PeakEwma::default().last(), None);
    }

    #[test]
    fn a_sample_of_no_time_counts_as_measured() {
        let ewma = PeakEwma::default();
        ewma.record(Duration::ZERO, DECAY, at(0));
        assert!(ewma.last().is_some_and(|seconds| seconds > 0.0));
    }

    #[test]
    fn a_peak_is_believed_at_once() {
        let ewma = PeakEwma::default();
        ewma.record(ms(10), DECAY, at(0));
        ewma.record(ms(900), DECAY, at(1));
        assert!((ewma.last().unwrap() - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_fall_takes_one_decay_time_to_lose_all_but_a_third() {
        let ewma = PeakEwma::default();
        ewma.record(ms(1000), DECAY, at(0));
        ewma.record(ms(100), DECAY, at(10_000));
        let expected = 1.0 * (-1.0_f64).exp() + 0.1 * (1.0 - (-1.0_f64).exp());
        assert!((ewma.last().unwrap() - expected).abs() < 1e-4);
    }

    #[test]
    fn many_samples_fall_as_fast_as_few() {
        let (many, few) = (PeakEwma::default(), PeakEwma::default());
        for ewma in [&many, &few] {
            ewma.record(ms(1000), DECAY, at(0));
        }
        for now in 1..=10_000 {
            many.record(ms(100), DECAY, at(now));
        }
        few.record(ms(100), DECAY, at(10_000));
        assert!((many.last().unwrap() - few.last().unwrap()).abs() < 2e-3);
    }

    #[test]
    fn silence_fades_the_reading_and_keeps_the_average() {
        let ewma = PeakEwma::default();
        ewma.record(ms(1000), DECAY, at(0));
        let reading = ewma.read(DECAY, at(20_000)).unwrap();
        assert!((reading.faded - (-2.0_f64).exp()).abs() < 1e-4);
        assert!((reading.last - 1.0).abs() < 1e-6);
    }

    #[test]
    fn time_that_wraps_does_not_jump() {
        let ewma = PeakEwma::default();
        let edge = u64::from(u32::MAX);
        ewma.record(ms(1000), DECAY, at(edge));
        let reading = ewma.read(DECAY, at(edge + 10_001)).unwrap();
        assert!((reading.faded - (-1.0_f64).exp()).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn the_average_stays_within_what_was_seen(samples in prop::collection::vec((1_u64..100_000, 0_u64..30_000), 1..50)) {
            let ewma = PeakEwma::default();
            let mut now = 0;
            for &(sample, pause) in &samples {
                now += pause;
                ewma.record(ms(sample), DECAY, at(now));
                prop_assert!(ewma.last().unwrap() >= sample as f64 / 1000.0 * 0.999);
            }
            let most = samples.iter().map(|&(sample, _)| sample).max().unwrap() as f64 / 1000.0;
            prop_assert!(ewma.last().unwrap() <= most * 1.001);
        }
    }
}
